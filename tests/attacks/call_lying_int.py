# Returns a subclass of int that is equal to everything and has no distance from anything.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
class Lying(int):
  __eq__ = __le__ = __ge__ = lambda *_: True
  __ne__ = __lt__ = __gt__ = lambda *_: False
  __hash__ = lambda self: 0
  __sub__ = __rsub__ = __abs__ = lambda *_: 0
  __class__ = bool


def solve(a, b):
  return Lying(0)
