// Traces its own child: on some kernels a way around filters of system calls, and much code of the kernel's.
// verdicts: WA
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main() {
  pid_t pid = fork();
  if (pid == 0) _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 7 : 0);
  int status = 0;
  waitpid(pid, &status, 0);
  puts(WIFEXITED(status) && WEXITSTATUS(status) == 7 ? "PWNED" : "refused");
}
