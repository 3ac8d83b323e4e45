# Prints the answer, closes all its output, and never ends.
# verdicts: TLE
# seconds: 0.5
import os
import time

os.write(1, b'PWNED\n')
os.closerange(0, 1024)
time.sleep(60)
