// Starts a child in a new user namespace with clone.
// verdicts: WA
#include <initializer_list>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  long got = 0;
  for (long others : {0, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID}) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | others | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    got += pid > 0;
  }
  puts(got ? "PWNED" : "refused");
}
