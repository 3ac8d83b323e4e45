// Makes a 32-bit system call (int 0x80), whose numbers a filter for 64 bits takes for others.
// verdicts: RE WA
#include <stdio.h>

int main() {
  long got = -1;
#ifdef __x86_64__
  asm volatile("int $0x80" : "=a"(got) : "a"(20 /* getpid */) : "memory", "cc");
#endif
  puts((int)got > 0 ? "PWNED" : "refused");
}
