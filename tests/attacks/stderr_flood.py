# Writes 4 GiB to standard error.
# verdicts: OLE TLE WA
import os

block = b'x' * (1 << 20)
for _ in range(4096):
  os.write(2, block)
print('refused')
