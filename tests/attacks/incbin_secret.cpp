// Has the assembler put a file of the host into the program.
// verdicts: CE
#include <stdio.h>

asm(".data\nstolen: .incbin \"@SECRET_FILE@\"\n.byte 0\n.text");

int main() { puts("PWNED"); }
