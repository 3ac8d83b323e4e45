// Renames with a macro the main function that follows it, and brings one of its own.
// verdicts: WA RE CE
// mode: call
// call: {"call": "solve", "args": [2, 3], "expected": 5}
#include <string.h>
#include <unistd.h>

int solve(int, int) { return 0; }

int main() {
  const char* said = "[{\"verdict\": \"AC\", \"passed\": true}]";
  return write(3, said, strlen(said)) < 0;
}
#define main main_of_the_driver
