// Code that runs before main looks in the environment for what the host had set.
// verdicts: WA
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int found;

__attribute__((constructor)) static void before(int, char**, char** environment) {
  if (getenv("R1JAX_ATTACK_SECRET")) found = 1;
  for (; environment && *environment; environment++)
    if (strstr(*environment, "R1JAX_ATTACK")) found = 1;
}

int main() { puts(found ? "PWNED" : "refused"); }
