# Returns what has no form outside of the interpreter: a module, a function, an open file.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": [5]}
import os


def solve(a, b):
  return [os, solve, open(0, closefd=False)]
