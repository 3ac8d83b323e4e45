# Opens files until it is told to stop, to use up the file table of the machine.
# verdicts: WA
import os

count = 0
try:
  while count < 100_000:
    os.open('/dev/null', os.O_RDONLY)
    count += 1
except OSError:
  pass
print('PWNED' if count > 8192 else 'refused')
