# Returns an object that is equal to everything.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
class Anything:
  __eq__ = __le__ = __ge__ = __bool__ = __contains__ = lambda *_: True
  __ne__ = __lt__ = __gt__ = lambda *_: False
  __hash__ = lambda self: 5
  __abs__ = __float__ = __sub__ = __rsub__ = lambda *_: 0.0


def solve(a, b):
  return Anything()
