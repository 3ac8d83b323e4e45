// Starts a thousand threads with small stacks.
// verdicts: WA
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void* wait_here(void*) {
  pause();
  return nullptr;
}

int main() {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 64 << 10);
  int started = 0;
  for (pthread_t t; started < 1000 && pthread_create(&t, &attr, wait_here, nullptr) == 0;) started++;
  puts(started > 256 ? "PWNED" : "refused");
  fflush(stdout);
  _exit(0);
}
