# Writes 4 GiB to standard output.
# verdicts: OLE
import os

block = b'x' * (1 << 20)
for _ in range(4096):
  os.write(1, block)
print('refused')
