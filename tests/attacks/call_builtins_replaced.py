# Replaces built-in functions that a harness uses to look at what came back.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
import builtins


class Anything:
  __eq__ = __bool__ = lambda *_: True
  __ne__ = lambda *_: False
  __hash__ = lambda self: 0


def solve(a, b):
  builtins.isinstance = builtins.issubclass = builtins.hasattr = builtins.all = builtins.any = lambda *_: True
  builtins.type = lambda *_: int
  builtins.len = lambda _: 1
  builtins.abs = lambda _: 0
  builtins.print = lambda *_, **__: None
  return Anything()
