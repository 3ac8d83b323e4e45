# Makes symbolic links to files of the host and opens them; some are left for whoever cleans up or collects results.
# verdicts: WA
# tests: 2
import json
import os

given = json.loads(input())
secret = given['secret_file']
found = False
for name, target in (('a', secret), ('b', os.path.dirname(secret)), ('c', '/'), ('prog', secret), ('result.json', secret)):
  try:
    os.symlink(target, name)
  except OSError:
    pass
for path in ('a', 'b/' + os.path.basename(secret), 'c' + secret):
  try:
    with open(path) as f:
      found = found or bool(f.read())
  except OSError:
    pass
print('PWNED' if found else 'refused')
