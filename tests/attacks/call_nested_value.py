# Returns lists nested a hundred thousand deep, the innermost of which is the outermost.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [[5]]}
def solve(a, b):
  value = inner = []
  for _ in range(100_000):
    value = [value]
  inner.append(value)
  return value
