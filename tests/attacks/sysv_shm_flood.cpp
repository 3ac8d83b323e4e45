// Fills System V shared memory and detaches it: it stays without belonging to a process.
// verdicts: WA MLE RE
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main() {
  int ids[20], n = 0;
  for (; n < 20; n++) {
    ids[n] = shmget(IPC_PRIVATE, 64 << 20, IPC_CREAT | 0600);
    void* p = ids[n] < 0 ? (void*)-1 : shmat(ids[n], nullptr, 0);
    if (p == (void*)-1) break;
    memset(p, 1, 64 << 20);
    shmdt(p);
  }
  for (int i = 0; i < n; i++) shmctl(ids[i], IPC_RMID, nullptr);
  puts(n > 16 ? "PWNED" : "refused");
}
