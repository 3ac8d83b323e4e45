// Changes its own executable, which a cache may hand to others who send the same program.
// verdicts: WA
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main() {
  char path[4096] = {}, beside[4200];
  if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) return puts("refused") < 0;
  bool got = open("/proc/self/exe", O_WRONLY) >= 0 || errno == ETXTBSY || open(path, O_WRONLY) >= 0 || errno == ETXTBSY;
  got = got || chmod(path, 0755) == 0;
  snprintf(beside, sizeof beside, "%s.new", path);
  int fd = open(beside, O_CREAT | O_WRONLY, 0644);
  got = got || fd >= 0;
  if (fd >= 0) unlink(beside);
  got = got || rename(path, path) == 0;
  puts(got ? "PWNED" : "refused");
}
