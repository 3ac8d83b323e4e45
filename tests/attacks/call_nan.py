# Returns what is not a number, which no "differs by more than" rejects.
# verdicts: WA RE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [1.5, 2.5]}
def solve(a, b):
  return [float('nan'), float('nan')]
