# Ends at once, but leaves a process that holds its output open and prints the answer later.
# verdicts: WA
import os
import time

if os.fork() == 0:
  os.setsid()
  time.sleep(1.0)
  os.write(1, b'PWNED\n')
  time.sleep(30)
  os._exit(0)
os._exit(0)
