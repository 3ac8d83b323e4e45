// Changes its root directory, the classic way out of a directory tree: chroot and pivot_root.
// verdicts: WA
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  int got = chroot("/") == 0;
  got += syscall(SYS_pivot_root, ".", ".") == 0;
  puts(got ? "PWNED" : "refused");
}
