# Replaces modules that a harness imports later, and the import itself.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
import builtins
import sys


class Fake:
  def __getattr__(self, name):
    return Fake()

  def __call__(self, *_, **__):
    return True

  __eq__ = lambda *_: True


def solve(a, b):
  for name in ('json', 'pickle', 'math', 'numpy', 'unittest', 'compare', 'signal', 'traceback', 'base64', 'operator'):
    sys.modules[name] = Fake()
  builtins.__import__ = lambda *_, **__: Fake()
  return 0
