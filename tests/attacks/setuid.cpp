// Becomes root, or one of the users that other boxes run as.
// verdicts: WA
#include <initializer_list>
#include <stdio.h>
#include <sys/fsuid.h>
#include <unistd.h>

int main() {
  uid_t me = getuid();
  int got = me == 0 || geteuid() == 0;
  for (uid_t id : {0u, me + 1, me - 1, 65534u}) {
    if (id == me) continue;
    got += setresuid(id, id, id) == 0 || setuid(id) == 0 || setreuid(id, id) == 0 || seteuid(id) == 0;
    got += setresgid(id, id, id) == 0 || setgid(id) == 0 || setegid(id) == 0;
    setfsuid(id);
    got += setfsuid(-1) == (int)id;
  }
  puts(got ? "PWNED" : "refused");
}
