// Takes more than 1 GiB in one system call and gives it back at once, between two looks of a watchdog.
// verdicts: MLE WA RE
#include <stdio.h>
#include <sys/mman.h>

int main() {
  size_t size = 1100ul << 20;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (p == MAP_FAILED) return puts("refused") < 0;
  munmap(p, size);
  puts("PWNED");
}
