// Sets up an io_uring, through which calls are made that no filter of system calls sees.
// verdicts: WA
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  char params[120] = {};
  puts(syscall(425 /* io_uring_setup */, 1, params) >= 0 ? "PWNED" : "refused");
}
