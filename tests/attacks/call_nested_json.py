# Writes as its result JSON that is nested too deeply, or a number with too many digits, for whoever reads it outside.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [[5]]}
import os


def solve(a, b):
  for fd in range(3, 16):
    try:
      os.write(fd, b'[' * 60_000)
      os.write(fd, b'9' * 6_000)
      os.write(fd, b']' * 60_000)
    except OSError:
      pass
  os._exit(0)
