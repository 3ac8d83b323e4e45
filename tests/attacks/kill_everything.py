# Kills all that it can reach with kill(-1); only who judges can tell what that hit.
# verdicts: WA
# tests: 2
import os
import signal

try:
  os.kill(-1, signal.SIGKILL)
except OSError:
  pass
print('refused')
