// Makes an executable of 1 GiB out of one line.
// verdicts: CE
#include <stdio.h>

__attribute__((used)) static volatile char data[1 << 30] = {1};

int main() { puts(data[0] ? "PWNED" : "refused"); }
