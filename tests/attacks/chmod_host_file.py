# Changes mode, owner and times of files of the host (to what they are).
# verdicts: WA
import json
import os

given = json.loads(input())
got = False
for path in (given['secret_file'], os.path.dirname(given['secret_file']), '/usr/bin/env', '/usr', '/usr/lib', '/'):
  try:
    now = os.stat(path)
  except OSError:
    continue
  for change in (lambda: os.chmod(path, now.st_mode & 0o7777), lambda: os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns)),
                 lambda: os.chown(path, now.st_uid, now.st_gid)):
    try:
      change()
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
