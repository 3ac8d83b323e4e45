// Reboots the machine or starts another kernel, with arguments that are wrong: it asks for the permission only.
// verdicts: WA
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool allowed(long result) { return result >= 0 || (errno != EPERM && errno != ENOSYS); }

int main() {
  bool got = allowed(syscall(SYS_reboot, 0xBAD, 0xBAD, 0xBAD, nullptr));
  got |= allowed(syscall(SYS_kexec_load, 0, 0, nullptr, 0x8000));
  got |= allowed(syscall(SYS_kexec_file_load, -1, -1, 0, nullptr, 0x8000));
  puts(got ? "PWNED" : "refused");
}
