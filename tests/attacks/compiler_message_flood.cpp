// Makes the compiler say a million things.
// verdicts: CE WA
#include <stdio.h>
#define M0 _Pragma("message(\"a message that is long enough to fill what takes the messages of a compiler\")")
#define M1 M0 M0 M0 M0 M0 M0 M0 M0 M0 M0
#define M2 M1 M1 M1 M1 M1 M1 M1 M1 M1 M1
#define M3 M2 M2 M2 M2 M2 M2 M2 M2 M2 M2
#define M4 M3 M3 M3 M3 M3 M3 M3 M3 M3 M3
#define M5 M4 M4 M4 M4 M4 M4 M4 M4 M4 M4
#define M6 M5 M5 M5 M5 M5 M5 M5 M5 M5 M5
M6

int main() { puts("refused"); }
