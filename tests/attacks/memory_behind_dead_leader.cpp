// The main thread ends, after which /proc/PID/statm says 0, and another thread takes more than 1 GiB.
// verdicts: MLE WA RE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void* take(void*) {
  usleep(100000);
  size_t size = 1040ul << 20;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) {
    memset(p, 1, size);
    usleep(300000);
  }
  puts(p == MAP_FAILED ? "refused" : "PWNED");
  fflush(stdout);
  _exit(0);
}

int main() {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 << 10);
  pthread_t t;
  if (pthread_create(&t, &attr, take, nullptr)) return puts("refused") < 0;
  pthread_exit(nullptr);
}
