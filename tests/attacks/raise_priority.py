# Takes the processor from others: a negative nice value, real-time and deadline scheduling, input and output first.
# verdicts: WA
import ctypes
import os
import struct

got = False
for change in (lambda: os.nice(-5), lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
               lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
               lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))):
  try:
    change()
    got = True
  except OSError:
    pass
if os.uname().machine == 'x86_64':
  libc = ctypes.CDLL(None)
  deadline = struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10_000_000, 20_000_000, 20_000_000)
  got = got or libc.syscall(314, 0, deadline, 0) == 0  # sched_setattr
  got = got or libc.syscall(251, 1, 0, 1 << 13) == 0  # ioprio_set, real time
print('PWNED' if got else 'refused')
