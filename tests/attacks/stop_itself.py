# Stops itself with SIGSTOP and is never continued.
# verdicts: TLE
# seconds: 0.5
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
print('refused')
