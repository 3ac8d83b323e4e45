// Loads and unloads modules of the kernel; what it sends is no module.
// verdicts: WA
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool allowed(long result) { return result >= 0 || (errno != EPERM && errno != ENOSYS); }

int main() {
  bool got = allowed(syscall(SYS_init_module, "", 0, ""));
  got |= allowed(syscall(SYS_finit_module, -1, "", 0));
  got |= allowed(syscall(SYS_delete_module, "r1jax_no_such_module", 0x800));
  puts(got ? "PWNED" : "refused");
}
