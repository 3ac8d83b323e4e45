# Looks in its own environment, in the copy that the kernel keeps, and in that of a child, for what the host had set.
# verdicts: WA
import json
import os
import subprocess

given = json.loads(input())
name = given['environ_name']
found = name in os.environ
try:
  with open('/proc/self/environ', 'rb') as f:
    found = found or name.encode() in f.read()
except OSError:
  pass
try:
  found = found or name.encode() in subprocess.run(['/usr/bin/env'], capture_output=True, check=False).stdout
except OSError:
  pass
print('PWNED' if found else 'refused')
