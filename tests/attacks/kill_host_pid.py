# Sends a signal that does nothing to the process that started the sandbox, and to its group.
# verdicts: WA
import json
import os
import signal

given = json.loads(input())
pid, got = given['host_pid'], False
for target in (pid, -pid):
  try:
    if abs(target) not in (os.getpid(), os.getppid(), os.getpgrp(), 1):
      os.kill(target, 0)
      os.kill(target, signal.SIGCONT)
      got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
