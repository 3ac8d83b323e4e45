# Leaves a process that reads on from every input it finds, and looks for more in its own than one test.
# verdicts: WA
# tests: 2
import os
import time

more = os.read(0, 1 << 20).partition(b'\n')[2]
os.set_blocking(0, False)
try:
  more += os.read(0, 1 << 20)
except OSError:
  pass
found = bool(more.strip()) or os.path.exists('/dev/shm/r1jax_stolen')
if os.fork() == 0:
  if os.fork():
    os._exit(0)
  os.setsid()
  begin = time.monotonic()
  while time.monotonic() - begin < 10:
    for path in ['/dev/stdin', *(f'/proc/{n}/fd/0' for n in os.listdir('/proc') if n.isdigit() and int(n) != os.getpid())]:
      try:
        got = os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1 << 16)
        if got.strip() and time.monotonic() - begin > 0.5:
          open('/dev/shm/r1jax_stolen', 'w').close()
      except OSError:
        pass
    time.sleep(0.01)
  os._exit(0)
print('PWNED' if found else 'refused')
