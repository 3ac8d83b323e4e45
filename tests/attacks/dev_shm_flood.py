# Fills /dev/shm, which is memory.
# verdicts: WA OLE MLE
import os

written = 0
block = b'x' * (1 << 20)
try:
  for i in range(80):
    with open(f'/dev/shm/r1jax_flood{i}', 'xb', buffering=0) as f:
      for _ in range(8):
        written += f.write(block)
except OSError:
  pass
for name in os.listdir('/dev/shm') if os.path.isdir('/dev/shm') else ():
  if name.startswith('r1jax_flood'):
    os.remove(f'/dev/shm/{name}')
print('PWNED' if written > 512 << 20 else 'refused')
