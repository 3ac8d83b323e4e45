# Reads the memory of the kernel through /proc.
# verdicts: WA
got = False
for name in ('kcore', 'kpagecount', 'kpageflags', 'vmallocinfo', 'slabinfo'):
  try:
    with open(f'/proc/{name}', 'rb') as f:
      got = got or bool(f.read(16))
  except OSError:
    pass
print('PWNED' if got else 'refused')
