// Recurses without end through C++ frames.
// verdicts: RE MLE
#include <stdio.h>

static int deeper(volatile char* above) {
  volatile char here[4096];
  here[0] = above[0];
  return deeper(here) + here[0];
}

int main() {
  volatile char start[1] = {1};
  printf("%d\n", deeper(start));
}
