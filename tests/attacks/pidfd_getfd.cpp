// Takes file descriptors out of its parent, such as the pipe on which the next test comes.
// verdicts: WA
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  int pidfd = syscall(SYS_pidfd_open, getppid(), 0), got = 0;
  for (int fd = 0; fd < 16; fd++) got += syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0;
  got += syscall(SYS_kcmp, getpid(), getppid(), 1 /* KCMP_VM */, 0, 0) >= 0;
  puts(got ? "PWNED" : "refused");
}
