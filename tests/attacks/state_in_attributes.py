# Leaves a message for the next test in the times, the mode and the attributes of directories that outlive a test.
# verdicts: WA
# tests: 2
import os
import sys

found = False
for place in {os.getcwd(), '/tmp', '/dev/shm', '/'}:
  try:
    found = found or int(os.stat(place).st_mtime) == 12345 or os.stat(place).st_mode & 0o7777 == 0o1733
    found = found or 'user.r1jax' in os.listxattr(place)
  except OSError:
    pass
if not found and os.getuid():
  print('refused')
  sys.stdout.flush()
  for place in {os.getcwd(), '/tmp', '/dev/shm', '/'}:
    for change in (lambda: os.setxattr(place, 'user.r1jax', b'x'), lambda: os.chmod(place, 0o1733), lambda: os.utime(place, (12345, 12345))):
      try:
        change()
      except OSError:
        pass
else:
  print('PWNED')
