// Changes its own executable, which a cache may hand to others who send the same program.
// verdicts: WA
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main() {
  char path[4096] = {}, beside[4200];
  if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) return puts("refused") < 0;
  bool got = access("/proc/self/exe", W_OK) == 0 || access(path, W_OK) == 0 || chmod(path, 0755) == 0;
  snprintf(beside, sizeof beside, "%s.new", path);
  int fd = open(beside, O_CREAT | O_WRONLY, 0644);
  got = got || fd >= 0;
  if (fd >= 0) unlink(beside);
  puts(got ? "PWNED" : "refused");
}
