# Writes to what all programs on the machine share: makes files beside them, and asks for the right to write to them.
# verdicts: WA
import os

got = False
for place in ('/usr', '/usr/bin', '/usr/lib', '/usr/local/bin', '/usr/local/lib', '/bin', '/lib', '/lib64', '/etc', '/opt', '/header', '/prog'):
  path = os.path.join(place, 'r1jax_attack')
  try:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.remove(path)
    got = True
  except OSError:
    pass
for path in ('/usr/bin/env', '/usr/bin/g++', '/bin/sh', '/lib64/ld-linux-x86-64.so.2', '/etc/ld.so.cache', '/etc/passwd'):
  got = got or os.access(path, os.W_OK)
print('PWNED' if got else 'refused')
