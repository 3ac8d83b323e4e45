// Includes the standard input of the compiler, which may be where the sandbox gets its orders, or never end.
// verdicts: WA CE
#include <stdio.h>
#include "/dev/stdin"

int main() { puts("refused"); }
