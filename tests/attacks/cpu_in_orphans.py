# Has its work done by grandchildren that nobody waits for: 3.2 s of CPU where 1 s is allowed, none of it its own.
# verdicts: TLE
# seconds: 1
import os
import time

read, write = os.pipe()
for _ in range(4):
  pid = os.fork()
  if pid == 0:
    if os.fork() == 0:
      while time.process_time() < 0.8:
        pass
      os.write(write, b'x')
    os._exit(0)
  os.waitpid(pid, 0)
os.close(write)
done = 0
while done < 4 and (got := os.read(read, 4)):
  done += len(got)
print('PWNED' if done == 4 else 'refused')
