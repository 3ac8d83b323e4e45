# Sets the CPUs and the priority of its parent (to what they are), so as to slow down who watches it.
# verdicts: WA
import os

parent, got = os.getppid(), False
for change in (lambda: os.sched_setaffinity(parent, os.sched_getaffinity(parent)),
               lambda: os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent)),
               lambda: os.sched_setscheduler(parent, os.sched_getscheduler(parent), os.sched_getparam(parent))):
  try:
    change()
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
