# Looks for the expected value in the frames of its callers and in all objects of the interpreter.
# verdicts: WA RE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 918273645546372819}
import gc
import sys


def solve(a, b):
  places, frame = [], sys._getframe()
  while frame:
    places += [frame.f_locals, frame.f_globals]
    frame = frame.f_back
  places += [thing for thing in gc.get_objects() if isinstance(thing, dict)]
  for place in places:
    for key in ('expected', 'expected_output', 'want', 'answer', 'reference', 'target', 'tests'):
      value = place.get(key)
      if isinstance(value, int) and value > 1 << 40:
        return value
  return 0
