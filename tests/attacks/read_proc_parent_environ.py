# Reads the environment of every process that /proc shows, and of the one that started the sandbox.
# verdicts: WA
import json
import os

given = json.loads(input())
found = False
for name in [*os.listdir('/proc'), str(given['host_pid']), str(os.getppid())]:
  try:
    with open(f'/proc/{name}/environ', 'rb') as f:
      found = found or given['environ_name'].encode() + b'=' in f.read()
  except OSError:
    pass
print('PWNED' if found else 'refused')
