// Leaves its namespaces with unshare, alone and together with a new user namespace.
// verdicts: WA
#include <sched.h>
#include <stdio.h>

int main() {
  const int kinds[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWCGROUP, 0x80 /* time */};
  int got = 0;
  for (int kind : kinds) {
    got += unshare(kind) == 0;
    got += unshare(kind | CLONE_NEWUSER) == 0;
  }
  puts(got ? "PWNED" : "refused");
}
