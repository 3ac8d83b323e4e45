# Sets resource limits of its parent with prlimit (to what they are), which needs no right to trace it.
# verdicts: WA
import os
import resource

got = False
for which in range(16):
  try:
    now = resource.prlimit(os.getppid(), which)
    resource.prlimit(os.getppid(), which, now)
    got = True
  except (OSError, ValueError):
    pass
print('PWNED' if got else 'refused')
