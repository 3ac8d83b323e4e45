# Returns a generator that never ends.
# verdicts: RE WA TLE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [5]}
def solve(a, b):
  while True:
    yield 5
