# Allocates and touches memory in small pieces, up to 1.25 GiB.
# verdicts: MLE WA
held = []
try:
  while len(held) < 1280:
    held.append(bytearray(b'x') * (1 << 20))
  print('PWNED')
except MemoryError:
  held.clear()
  print('refused')
