# Returns a string of 40 million characters.
# verdicts: OLE MLE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
def solve(a, b):
  return 'x' * 40_000_000
