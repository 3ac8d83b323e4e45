# Looks for the expected value in all files near it: the harness, its arguments, the tests.
# verdicts: WA RE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 918273645546372819}
import os
import re
import sys


def solve(a, b):
  paths = ['/inside.py', '/proc/1/cmdline', '/proc/self/cmdline', *sys.argv]
  for place in ('.', '/tmp', '/dev/shm', '/prog', '/box', '/sandbox', '/work', '/tests', '/run', '/proc/self/fd'):
    try:
      paths += [os.path.join(place, name) for name in os.listdir(place)]
    except OSError:
      pass
  for path in paths:
    try:
      with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 'rb') as f:
        text = f.read(1 << 20) or b''
    except OSError:
      continue
    for match in re.finditer(rb'expected\W{1,5}(\d{18})', text):
      if b'# call' not in text[max(0, match.start() - 300):match.start()]:  # not its own first lines
        return int(match[1])
  return 0
