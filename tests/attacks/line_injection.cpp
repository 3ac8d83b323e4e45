// Gives itself, with #line, names that read like options of the compiler and commands of a shell.
// verdicts: WA CE
#include <stdio.h>
#include <unistd.h>
#line 1 "-wrapper /bin/sh,-c,touch /tmp/r1jax_injected"
static int first() { return 1; }
#line 1 "x.cpp; touch /tmp/r1jax_injected; $(touch /tmp/r1jax_injected) `touch /tmp/r1jax_injected`"
int main() {
  puts(first() && access("/tmp/r1jax_injected", F_OK) == 0 ? "PWNED" : "refused");
}
