# Climbs out with "..", from the working directory, from / and from every directory that it was handed open.
# verdicts: WA
import json
import os

given = json.loads(input())
secret = given['secret_file'].lstrip('/')
found = False
for start in ('', '/', '/tmp/', '/proc/self/cwd/', '/proc/1/cwd/', '/dev/fd/', '/usr/lib/'):
  try:
    with open(start + '../' * 40 + secret) as f:
      found = found or bool(f.read())
  except OSError:
    pass
for fd in range(1024):
  try:
    found = found or bool(os.read(os.open('../' * 40 + secret, os.O_RDONLY, dir_fd=fd), 1))
  except OSError:
    pass
print('PWNED' if found else 'refused')
