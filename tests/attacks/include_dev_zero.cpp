// Includes a file that never ends.
// verdicts: CE
#include "/dev/zero"

int main() {}
