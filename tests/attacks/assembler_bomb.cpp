// Makes the assembler repeat an instruction two billion times.
// verdicts: CE
#include <stdio.h>

asm(".data\n.rept 2000000000\n.quad 0x1234567812345678\n.endr\n.text");

int main() { puts("PWNED"); }
