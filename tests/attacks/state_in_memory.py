# Prints a mark in the first test and looks for it, in the second, in memory that was inherited from the sandbox.
# verdicts: WA RE
# tests: 2
import os
import re

mark, found = re.compile(b'LEFT:' + b'[0-9a-f]{32}' + b':OVER'), False
with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', buffering=0) as memory:
  for line in maps:
    low, high = (int(x, 16) for x in line.split()[0].split('-'))
    try:
      memory.seek(low)
      found = found or bool(mark.search(memory.read(high - low)))
    except (OSError, ValueError, OverflowError, TypeError):
      continue
if found:
  print('PWNED')
else:
  print('refused')
  print(f'LEFT:{os.urandom(16).hex()}:OVER\n' * 1000)
