# Leaves hundreds of dead children unreaped, each of which holds a place in the process table.
# verdicts: WA
import os

dead = 0
try:
  for _ in range(600):
    if os.fork() == 0:
      os._exit(0)
    dead += 1
except OSError:
  pass
print('PWNED' if dead > 256 else 'refused')
