# Returns infinity, from which the relative distance of everything is as small as infinity.
# verdicts: WA RE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 1.5}
def solve(a, b):
  return float('inf')
