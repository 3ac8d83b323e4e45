# Returns a subclass of list of any length, whose elements are equal to everything.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [5, 6, 7]}
class Anything:
  __eq__ = lambda *_: True


class Lying(list):
  __eq__ = lambda *_: True
  __ne__ = lambda *_: False
  __len__ = lambda self: 3
  __iter__ = lambda self: iter([Anything()] * 3)
  __getitem__ = lambda self, i: Anything()


def solve(a, b):
  return Lying()
