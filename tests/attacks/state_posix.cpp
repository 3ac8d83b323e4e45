// Leaves POSIX shared memory, a semaphore and a message queue for the next test.
// verdicts: WA
// tests: 2
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>

int main() {
  int found = shm_open("/r1jax_left", O_RDWR, 0) >= 0 || sem_open("/r1jax_left", 0) != SEM_FAILED || mq_open("/r1jax_left", O_RDWR) != (mqd_t)-1;
  if (found) {
    shm_unlink("/r1jax_left"), sem_unlink("/r1jax_left"), mq_unlink("/r1jax_left");
  } else {
    shm_open("/r1jax_left", O_RDWR | O_CREAT, 0600);
    sem_open("/r1jax_left", O_CREAT, 0600, 1);
    mq_open("/r1jax_left", O_RDWR | O_CREAT, 0600, nullptr);
  }
  puts(found ? "PWNED" : "refused");
}
