// Starts a child in a new user namespace with clone3, whose flags a filter of system calls cannot see.
// verdicts: WA
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  uint64_t args[8] = {CLONE_NEWUSER | CLONE_NEWNS, 0, 0, 0, SIGCHLD};
  long pid = syscall(435 /* clone3 */, args, sizeof args);
  if (pid == 0) _exit(0);
  puts(pid > 0 ? "PWNED" : "refused");
}
