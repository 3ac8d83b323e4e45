# Doubles itself nine times: 512 processes, each of which reports that it lives.
# verdicts: WA MLE
import os
import time

first = os.getpid()
read, write = os.pipe()
os.set_blocking(read, False)
for _ in range(9):
  try:
    os.fork()
  except OSError:
    pass
os.write(write, b'x')
if os.getpid() != first:
  time.sleep(2)
  os._exit(0)
time.sleep(1)
print('PWNED' if len(os.read(read, 65536)) > 256 else 'refused')
