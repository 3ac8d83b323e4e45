// Asks to handle page faults itself, the usual first step of an attack on the kernel.
// verdicts: WA
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  bool got = syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */) >= 0 || syscall(SYS_userfaultfd, 0) >= 0;
  puts(got ? "PWNED" : "refused");
}
