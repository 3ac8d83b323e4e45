# Leaves files in every place that it may write to, with awkward names and modes, for the next test to find.
# verdicts: WA
# tests: 2
import os

names = ('r1jax_left', 'r1jax\nleft', b'r1jax_\xff\xfe', '.r1jax_left', '-rf r1jax', 'sem.r1jax')
places = ('.', '/tmp', '/dev/shm', '/var/tmp', '/dev', '/dev/mqueue', '/run', '/var', '/home', '/root', '/mnt', '/srv', '/', '/prog')
found = False
for place in dict.fromkeys(map(os.path.realpath, places)):  # some are one place by two names
  for name in names:
    path = os.path.join(os.fsencode(place), os.fsencode(name))
    try:
      if os.path.lexists(path):
        found = True
        os.remove(path)
        continue
      with open(path, 'wb') as f:
        f.write(b'x')
      os.chmod(path, 0)
    except OSError:
      pass
  path = os.path.join(place, 'r1jax_locked')
  found = found or os.path.lexists(path)
  try:
    os.makedirs(os.path.join(path, 'inner'))
    os.chmod(os.path.join(path, 'inner'), 0)
    os.chmod(path, 0)
  except OSError:
    pass
print('PWNED' if found else 'refused')
