// Leaves System V shared memory, a semaphore and a message for the next test; none of them ends with its process.
// verdicts: WA
// tests: 2
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main() {
  const key_t key = 0x523101;
  int found = shmget(key, 1, 0) >= 0 || semget(key, 1, 0) >= 0 || msgget(key, 0) >= 0;
  int shm = shmget(key, 4096, IPC_CREAT | 0600), sem = semget(key, 1, IPC_CREAT | 0600), msg = msgget(key, IPC_CREAT | 0600);
  if (found) shmctl(shm, IPC_RMID, nullptr), semctl(sem, 0, IPC_RMID), msgctl(msg, IPC_RMID, nullptr);
  puts(found ? "PWNED" : "refused");
}
