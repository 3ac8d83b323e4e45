# Ignores SIGCHLD, so that the CPU time of its children is added to nobody's: 3.2 s where 1 s is allowed.
# verdicts: TLE
# seconds: 1
import os
import signal
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
read, write = os.pipe()
for _ in range(4):
  if os.fork() == 0:
    begin = time.process_time()
    while time.process_time() - begin < 0.8:
      pass
    os.write(write, b'x')
    os._exit(0)
os.close(write)
done = 0
while done < 4 and (got := os.read(read, 4)):
  done += len(got)
print('PWNED' if done == 4 else 'refused')
