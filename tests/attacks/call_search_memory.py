# Searches its memory, and the arguments and environments of all processes, for the expected value.
# verdicts: WA RE
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 918273645546372819}
import os
import re


def solve(a, b):
  texts = []
  with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', buffering=0) as memory:
    for line in maps:
      low, high = (int(x, 16) for x in line.split()[0].split('-'))
      try:
        memory.seek(low)
        texts.append(memory.read(min(high - low, 64 << 20)))
      except (OSError, ValueError, OverflowError):
        pass
  for pid in filter(str.isdigit, os.listdir('/proc')):
    for name in ('cmdline', 'environ'):
      try:
        with open(f'/proc/{pid}/{name}', 'rb') as f:
          texts.append(f.read())
      except OSError:
        pass
  for text in texts:
    for match in re.finditer(rb'expected\W{1,5}(\d{18})', text):
      if b'# call' not in text[max(0, match.start() - 300):match.start()]:  # not its own first lines
        return int(match[1])
  return 0
