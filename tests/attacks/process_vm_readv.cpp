// Reads memory of its parent; a bad address instead of a refusal says that it may.
// verdicts: WA
#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

int main() {
  char buffer[8];
  iovec mine{buffer, sizeof buffer}, theirs{(void*)0x1000, sizeof buffer};
  bool read = process_vm_readv(getppid(), &mine, 1, &theirs, 1, 0) >= 0 || errno == EFAULT;
  bool wrote = process_vm_writev(getppid(), &mine, 1, &theirs, 1, 0) >= 0 || errno == EFAULT;
  puts(read || wrote ? "PWNED" : "refused");
}
