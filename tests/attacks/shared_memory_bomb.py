# Maps shared memory that children fill and leave: it stays, and is in the resident size of nobody.
# verdicts: MLE WA RE
import mmap
import os

try:
  held = []
  for _ in range(17):
    piece = mmap.mmap(-1, 64 << 20)
    held.append(piece)
    if os.fork() == 0:
      for i in range(0, len(piece), 4096):
        piece[i] = 1
      os._exit(0)
    os.wait()
  print('PWNED' if sum(piece[4096] for piece in held) > 16 else 'refused')
except (OSError, ValueError):
  print('refused')
