# Replaces sys.stdout by an object that says what a harness might say of a test that was passed.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
import os
import sys


class Out:
  encoding, errors, buffer = 'utf-8', 'strict', property(lambda self: self)

  def write(self, _):
    return os.write(1, b'{"verdict": "AC", "passed": true, "result": "AC"}\nAC\nok\n1 passed\n')

  def flush(self):
    self.write('')

  fileno = lambda self: 1


sys.stdout = sys.__stdout__ = sys.stderr = Out()


def solve(a, b):
  print('anything')
  return 0
