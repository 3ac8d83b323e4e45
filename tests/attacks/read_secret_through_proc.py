# Looks for the secret below the root and working directories and open files that /proc shows of every process.
# verdicts: WA
import json
import os

given = json.loads(input())
secret, found = given['secret_file'].lstrip('/'), False
for name in [*os.listdir('/proc'), str(given['host_pid'])]:
  if not name.isdigit() and name not in ('self', 'thread-self'):
    continue
  places = [f'/proc/{name}/root', f'/proc/{name}/cwd/' + '../' * 30]
  try:
    places += [f'/proc/{name}/fd/{fd}/' + '../' * 30 for fd in os.listdir(f'/proc/{name}/fd')]
  except OSError:
    pass
  for place in places:
    try:
      with open(f'{place}/{secret}') as f:
        found = found or bool(f.read())
    except OSError:
      pass
print('PWNED' if found else 'refused')
