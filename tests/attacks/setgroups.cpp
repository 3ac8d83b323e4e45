// Joins groups of the host, or still is in some: disk, docker, shadow, kvm.
// verdicts: WA
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

int main() {
  gid_t groups[64];
  int n = getgroups(64, groups), got = 0;
  for (int i = 0; i < n; i++) got += groups[i] != getgid() && groups[i] != 65534;
  gid_t wanted[] = {0, 6, 42};
  got += setgroups(3, wanted) == 0 || setgroups(0, nullptr) == 0;
  puts(got ? "PWNED" : "refused");
}
