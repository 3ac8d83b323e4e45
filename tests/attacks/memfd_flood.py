# Fills many files in memory (memfd_create), none of them mapped, so that no resident size tells of them.
# verdicts: MLE WA OLE
import os

filled = 0
block = b'x' * (1 << 20)
try:
  for _ in range(100):
    fd = os.memfd_create('m')
    for _ in range(12):
      filled += os.write(fd, block)
except OSError:
  pass
print('PWNED' if filled > 1100 << 20 else 'refused')
