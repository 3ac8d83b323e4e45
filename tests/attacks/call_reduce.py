# Returns an object that, unpickled outside of the sandbox, becomes code and then something equal to everything.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
class Bomb:
  def __reduce__(self):
    return eval, ("type('Anything', (), {'__eq__': lambda *_: True, '__ne__': lambda *_: False})()",)


def solve(a, b):
  return Bomb()
