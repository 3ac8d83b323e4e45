# Writes files until the disk is full.
# verdicts: WA OLE
import os

written = 0
block = b'x' * (1 << 20)
try:
  for i in range(80):
    with open(f'r1jax_flood{i}', 'xb', buffering=0) as f:
      for _ in range(8):
        written += f.write(block)
except OSError:
  pass
for name in os.listdir('.'):
  if name.startswith('r1jax_flood'):
    os.remove(name)
print('PWNED' if written > 512 << 20 else 'refused')
