# Stops its parent, so that nobody watches it.
# verdicts: WA
import os
import signal
import time

parent = os.getppid()
try:
  os.kill(parent, signal.SIGSTOP)
except OSError:
  pass
time.sleep(0.2)
try:
  with open(f'/proc/{parent}/stat') as f:
    stopped = f.read().rpartition(')')[2].split()[0] in 'Tt'
  os.kill(parent, signal.SIGCONT)
except OSError:
  stopped = False
print('PWNED' if stopped else 'refused')
