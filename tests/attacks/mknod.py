# Makes device files: a disk, the memory, the console.
# verdicts: WA
import os
import stat

got = False
for kind, major, minor in ((stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 253, 0), (stat.S_IFBLK, 259, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 5, 1)):
  for place in ('.', '/dev', '/dev/shm'):
    try:
      os.mknod(f'{place}/r1jax_node', kind | 0o600, os.makedev(major, minor))
      os.remove(f'{place}/r1jax_node')
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
