# Leaves a process behind that ignores signals, in a group of its own, and that the next test can find.
# verdicts: WA
# tests: 2
import os
import signal
import time

found = os.path.exists('r1jax_alive')
for name in os.listdir('/proc'):
  if name.isdigit():
    try:
      with open(f'/proc/{name}/comm') as f:
        found = found or f.read().strip() == 'r1jax_left'
    except OSError:
      pass
if os.fork() == 0:
  os.setsid()
  if os.fork():
    os._exit(0)
  with open('/proc/self/comm', 'w') as f:
    f.write('r1jax_left')
  for number in range(1, 65):
    try:
      signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
      pass
  os.closerange(0, 64)
  begin = time.monotonic()
  while time.monotonic() - begin < 20:
    open('r1jax_alive', 'w').close()
    time.sleep(0.01)
  os._exit(0)
time.sleep(0.1)
print('PWNED' if found else 'refused')
