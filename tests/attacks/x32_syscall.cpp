// Makes a system call by its x32 number, which a filter that compares numbers only does not know.
// verdicts: RE WA
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() { puts(syscall(0x40000000L + SYS_getpid) > 0 ? "PWNED" : "refused"); }
