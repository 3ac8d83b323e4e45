# Asks for 64 GiB in one piece and touches what it gets.
# verdicts: WA MLE RE
try:
  data = bytearray(64 << 30)
  for i in range(0, 1200 << 20, 4096):
    data[i] = 1
  print('PWNED')
except MemoryError:
  print('refused')
