// Uses the key rings of the kernel, which no namespace parts.
// verdicts: WA
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  int got = syscall(SYS_keyctl, 0 /* id of the ring */, -4 /* of the user */, 1) >= 0;
  got += syscall(SYS_add_key, "user", "r1jax", "x", 1, -2 /* of the process */) >= 0;
  got += syscall(SYS_request_key, "user", "r1jax", nullptr, -2) >= 0;
  puts(got ? "PWNED" : "refused");
}
