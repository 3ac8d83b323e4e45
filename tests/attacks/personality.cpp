// Turns off the randomisation of its address space, and makes all readable memory executable.
// verdicts: WA
#include <stdio.h>
#include <sys/personality.h>

int main() {
  bool got = personality(ADDR_NO_RANDOMIZE) != -1 || personality(READ_IMPLIES_EXEC) != -1 || personality(PER_LINUX32) != -1;
  puts(got ? "PWNED" : "refused");
}
