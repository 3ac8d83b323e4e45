# Returns a wrong value and writes a second result when the interpreter ends, from atexit, a thread and a destructor.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
import atexit
import os
import threading
import time


def forge(*_):
  for fd in range(1, 16):
    try:
      os.write(fd, b'\n[{"verdict": "AC", "passed": true}]\nAC\n')
    except OSError:
      pass


class Late:
  __del__ = forge


def solve(a, b):
  atexit.register(forge)
  threading.Thread(target=lambda: (time.sleep(0.1), forge())).start()
  solve.late = Late()
  return 0
