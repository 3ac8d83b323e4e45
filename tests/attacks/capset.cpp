// Has a capability, or takes one: capset, ambient capabilities, no_new_privs cleared.
// verdicts: WA
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct has[2] = {}, all[2] = {{~0u, ~0u, ~0u}, {0x1FF, 0x1FF, 0x1FF}};
  int got = syscall(SYS_capget, &head, has) == 0 && (has[0].effective || has[1].effective || has[0].permitted || has[1].permitted);
  got += syscall(SYS_capset, &head, all) == 0;
  for (int cap = 0; cap < 41; cap++) got += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0;
  got += prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
  puts(got ? "PWNED" : "refused");
}
