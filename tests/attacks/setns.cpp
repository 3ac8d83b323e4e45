// Enters the namespaces of every process that /proc shows.
// verdicts: WA
#include <dirent.h>
#include <fcntl.h>
#include <initializer_list>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main() {
  int got = 0;
  char path[400];
  DIR* proc = opendir("/proc");
  while (dirent* entry = proc ? readdir(proc) : nullptr) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    for (const char* kind : {"user", "mnt", "net", "pid", "uts", "ipc", "cgroup", "time"}) {
      snprintf(path, sizeof path, "/proc/%s/ns/%s", entry->d_name, kind);
      int fd = open(path, O_RDONLY);
      got += fd >= 0 && setns(fd, 0) == 0;
      if (fd >= 0) close(fd);
    }
  }
  puts(got ? "PWNED" : "refused");
}
