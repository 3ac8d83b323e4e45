# Looks for every directory that it may write to, not only the one it was given, and fills them all.
# verdicts: WA OLE MLE TLE
import os

written, made = 0, []
block = b'x' * (1 << 20)
for place, directories, _ in os.walk('/'):
  if place.startswith(('/proc', '/sys')) or place.count('/') > 3:
    directories.clear()
    continue
  try:
    for i in range(80):
      path = os.path.join(place, f'r1jax_flood{i}')
      with open(path, 'xb', buffering=0) as f:
        made.append(path)
        for _ in range(8):
          written += f.write(block)
      if written > 520 << 20:
        break
  except OSError:
    continue
for path in made:
  os.remove(path)
print('PWNED' if written > 512 << 20 else 'refused')
