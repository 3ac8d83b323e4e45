# Sends every signal there is to its parent, queued ones too: a handler that was left there may end it.
# verdicts: WA
# tests: 2
import ctypes
import os
import signal

libc = ctypes.CDLL(None)
parent = os.getppid()
for number in range(1, 65):
  if number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
    continue
  try:
    os.kill(parent, number)
  except OSError:
    pass
  libc.sigqueue(parent, number, ctypes.c_void_p(1))
print('refused')
