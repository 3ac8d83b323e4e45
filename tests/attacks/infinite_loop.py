# Computes for ever.
# verdicts: TLE
# seconds: 1
import time

begin = time.monotonic()
while time.monotonic() - begin < 60:
  pass
print('PWNED')
