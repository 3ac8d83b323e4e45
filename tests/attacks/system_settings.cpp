// Changes what belongs to the whole machine: swap, name, clock, accounting, quotas, log, ports; it asks in ways without effect.
// verdicts: WA
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool allowed(long result) { return result >= 0 || (errno != EPERM && errno != ENOSYS); }

int main() {
  bool got = allowed(syscall(SYS_swapon, "/r1jax_no_such_file", 0)) | allowed(syscall(SYS_swapoff, "/r1jax_no_such_file"));
  got |= allowed(syscall(SYS_sethostname, "x", -1)) | allowed(syscall(SYS_setdomainname, "x", -1));
  got |= allowed(syscall(SYS_settimeofday, nullptr, nullptr));
  got |= allowed(syscall(SYS_acct, "/r1jax_no_such_file"));
  got |= allowed(syscall(SYS_quotactl, 0x80000100 /* sync */, nullptr, 0, nullptr));
  got |= allowed(syscall(SYS_syslog, 10 /* size of the kernel's log */, nullptr, 0));
#ifdef __x86_64__
  got |= syscall(SYS_iopl, 3) == 0 || syscall(SYS_ioperm, 0x80, 1, 1) == 0;
#endif
  puts(got ? "PWNED" : "refused");
}
