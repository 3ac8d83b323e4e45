# Makes a file of 1 TiB that holds nothing.
# verdicts: WA OLE
import os

try:
  with open('sparse', 'wb') as f:
    os.truncate(f.fileno(), 1 << 40)
  os.remove('sparse')
  print('PWNED')
except OSError:
  print('refused')
