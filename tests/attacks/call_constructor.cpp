// Writes forged results before main runs and ends with exit code 0: the function is never called.
// verdicts: WA RE
// mode: call
// call: {"call": "solve", "args": [2, 3], "expected": 5}
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void before() {
  const char* said = "[{\"verdict\": \"AC\", \"passed\": true, \"equal\": true}]";
  for (int fd = 1; fd < 64; fd++)
    if (write(fd, said, strlen(said)) < 0) continue;
  _exit(0);
}

int solve(int, int) { return 0; }
