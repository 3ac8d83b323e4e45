# Writes as its result a tagged value that lacks what the tag promises, for whoever reads it outside.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [5]}
import os


def solve(a, b):
  for fd in range(3, 16):
    try:
      os.write(fd, b'[{"__r1jax__": "tuple"}]')
    except OSError:
      pass
  os._exit(0)
