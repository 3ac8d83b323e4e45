# Makes two million empty files: next to no bytes on disk, and much memory of the kernel.
# verdicts: WA OLE MLE TLE
import os

made = 0
try:
  os.mkdir('inodes')
  for _ in range(2_000_000):
    os.close(os.open(f'inodes/{made}', os.O_CREAT | os.O_WRONLY))
    made += 1
except OSError:
  pass
print('PWNED' if made > 1_000_000 else 'refused')
