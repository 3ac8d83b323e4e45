# Eight children hold 200 MiB each, so that none of them is over the limit alone.
# verdicts: MLE WA RE
import os
import time

read, write = os.pipe()
for _ in range(8):
  try:
    pid = os.fork()
  except OSError:
    break
  if pid == 0:
    try:
      held = bytearray(b'x') * (200 << 20)
      os.write(write, b'x')
      time.sleep(10)
    finally:
      os._exit(0)
os.close(write)
holding = 0
os.set_blocking(read, False)
end = time.monotonic() + 4
while holding < 6 and time.monotonic() < end:
  time.sleep(0.05)
  try:
    holding += len(os.read(read, 8))
  except BlockingIOError:
    pass
print('PWNED' if holding >= 6 else 'refused')
