// Attaches to its parent with ptrace.
// verdicts: WA
#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main() {
  long seized = ptrace(PTRACE_SEIZE, getppid(), nullptr, nullptr);
  puts(seized == 0 ? "PWNED" : "refused");
}
