# Makes hard links to files of the host and to programs that run as root.
# verdicts: WA
import json
import os

given = json.loads(input())
got = False
for target in (given['secret_file'], '/etc/shadow', '/usr/bin/su', '/usr/bin/passwd', '/usr/bin/mount'):
  try:
    os.link(target, 'hard')
    os.remove('hard')
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
