// Fills shared mappings of /dev/zero, which hold memory as anonymous ones do, and drops their page table entries.
// verdicts: MLE WA RE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int hold() {  // number of 64 MiB pieces whose content is still there
  static char* pieces[9];
  int n = 0, kept = 0, fd = open("/dev/zero", O_RDWR);
  for (; n < 9; n++) {
    void* p = mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) break;
    memset(p, 1, 64 << 20);
    madvise(p, 64 << 20, MADV_DONTNEED);
    pieces[n] = (char*)p;
  }
  usleep(300000);
  for (int i = 0; i < n; i++) kept += pieces[i][4096] == 1;
  return kept;
}

int main() {
  pid_t pid = fork();
  int kept = hold(), status = 0;
  if (pid == 0) _exit(kept);
  if (pid < 0 || waitpid(pid, &status, 0) < 0) return puts("refused") < 0;
  puts(kept + (WIFEXITED(status) ? WEXITSTATUS(status) : 0) > 16 ? "PWNED" : "refused");
}
