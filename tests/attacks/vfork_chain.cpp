// A chain of vfork and exec: every process waits for the next, to a depth of 300.
// verdicts: WA
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  int depth = argc > 1 ? atoi(argv[1]) : 0;
  if (depth > 300) return puts("PWNED") < 0;
  char next[16];
  snprintf(next, sizeof next, "%d", depth + 1);
  char* args[] = {argv[0], next, nullptr};
  char* none[] = {nullptr};
  pid_t pid = vfork();
  if (pid == 0) {
    execve("/proc/self/exe", args, none);
    _exit(1);
  }
  if (pid < 0) return puts("refused") < 0;
  int status = 0;
  waitpid(pid, &status, 0);
  if (status) puts("refused");
  return 0;
}
