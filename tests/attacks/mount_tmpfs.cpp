// Mounts a tmpfs, a proc and a bind mount, makes a read-only one writable, and asks for mounts to expire.
// verdicts: WA
#include <errno.h>
#include <initializer_list>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main() {
  const char* place = "r1jax_mount";
  mkdir(place, 0700);
  int got = 0;
  for (const char* kind : {"tmpfs", "proc", "sysfs", "overlay", "cgroup2", "devpts"}) {
    if (mount("none", place, kind, 0, nullptr) == 0) got += 1, umount2(place, MNT_DETACH);
  }
  if (mount("/", place, nullptr, MS_BIND | MS_REC, nullptr) == 0) got += 1, umount2(place, MNT_DETACH);
  got += mount(nullptr, "/usr", nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0;
  rmdir(place);
  for (const char* mounted : {"/proc", "/dev", "/usr", "/tmp", "/"})  // the first time, that unmounts nothing
    got += umount2(mounted, MNT_EXPIRE) == 0 || errno == EAGAIN || errno == EBUSY;
  puts(got ? "PWNED" : "refused");
}
