# Forks and exits without end, so that whoever kills by process id is always one too late.
# verdicts: WA
# tests: 2
import os
import time

begin = time.monotonic()
for name in os.listdir('/proc'):
  if name.isdigit():
    try:
      with open(f'/proc/{name}/comm') as f:
        if f.read().strip() == 'fleeing':
          print('PWNED')
    except OSError:
      pass
if os.fork() == 0:
  with open('/proc/self/comm', 'w') as f:
    f.write('fleeing')
  while time.monotonic() - begin < 20:
    try:
      if os.fork():
        os._exit(0)
    except OSError:
      pass
  os._exit(0)
print('refused')
