# Waits for ever and ignores every signal that can be ignored: no CPU time is used.
# verdicts: TLE
# seconds: 0.5
import signal
import time

for number in range(1, 65):
  try:
    signal.signal(number, signal.SIG_IGN)
  except (OSError, ValueError):
    pass
time.sleep(60)
print('PWNED')
