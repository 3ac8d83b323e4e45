// Eight busy threads that ignore SIGXCPU, SIGTERM and whatever else can be ignored.
// verdicts: TLE
// seconds: 1
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static void* spin(void*) {
  for (time_t begin = time(nullptr); time(nullptr) - begin < 60;) {}
  return nullptr;
}

int main() {
  for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
  pthread_t threads[8];
  int n = 0;
  while (n < 8 && pthread_create(&threads[n], nullptr, spin, nullptr) == 0) n++;
  spin(nullptr);
  puts("PWNED");
}
