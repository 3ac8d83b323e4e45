// Mounts with the calls of Linux 5.2: fsopen, fspick, open_tree, move_mount, mount_setattr.
// verdicts: WA
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  long attributes[4] = {};
  int got = syscall(430 /* fsopen */, "tmpfs", 0) >= 0;
  got += syscall(433 /* fspick */, AT_FDCWD, "/usr", 0) >= 0;
  int tree = syscall(428 /* open_tree */, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */);
  got += tree >= 0;
  got += syscall(429 /* move_mount */, tree, "", AT_FDCWD, "/r1jax_no_such_place", 4) == 0;
  got += syscall(442 /* mount_setattr */, AT_FDCWD, "/", 0, attributes, sizeof attributes) == 0;
  puts(got ? "PWNED" : "refused");
}
