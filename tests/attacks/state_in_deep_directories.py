# Leaves directories nested so deeply that cleaning up by recursion fails.
# verdicts: WA OLE
# tests: 2
import os

found = os.path.lexists('r1jax_deep')
try:
  for _ in range(0 if found else 3000):
    os.mkdir('r1jax_deep')
    os.chdir('r1jax_deep')
except OSError:
  pass
print('PWNED' if found else 'refused')
