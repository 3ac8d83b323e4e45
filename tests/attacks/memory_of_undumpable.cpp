// Makes itself undumpable, so that its files in /proc belong to root, and then takes more than 1 GiB.
// verdicts: MLE WA RE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main() {
  prctl(PR_SET_DUMPABLE, 0);
  size_t size = 1040ul << 20;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return puts("refused") < 0;
  memset(p, 1, size);
  usleep(300000);
  puts("PWNED");
}
