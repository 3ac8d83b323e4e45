# Makes pipes as large as it may and fills them, in several children.
# verdicts: WA MLE TLE RE
import fcntl
import os
import time

read, write = os.pipe()
os.set_blocking(read, False)
block, children = b'x' * (64 << 10), 0
for _ in range(16):
  try:
    pid = os.fork()
  except OSError:
    break
  children += 1
  if pid == 0:
    mib = 0
    try:
      for _ in range(110):
        _, end = os.pipe()
        os.set_blocking(end, False)
        try:
          fcntl.fcntl(end, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError:
          pass
        try:
          while True:
            mib += os.write(end, block) / (1 << 20)
        except BlockingIOError:
          pass
    except OSError:
      pass
    os.write(write, b'%6d' % mib)
    time.sleep(20)
    os._exit(0)
end, total = time.monotonic() + 2, 0
while total <= 1100 and children and time.monotonic() < end:
  time.sleep(0.01)
  try:
    total += int(os.read(read, 6))
    children -= 1
  except BlockingIOError:
    pass
print('PWNED' if total > 1100 else 'refused')
