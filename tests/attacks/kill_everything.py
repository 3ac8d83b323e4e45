# Kills all that it can reach with kill(-1), after stopping it; only who judges can tell what that hit.
# verdicts: WA
# tests: 2
import os
import signal

for number in (signal.SIGTERM, signal.SIGKILL):
  try:
    os.kill(-1, number) if number == signal.SIGKILL else None
  except OSError:
    pass
print('refused')
