# Opens for writing the interpreter that runs it, its library, its byte code, and the program of the sandbox.
# verdicts: WA
import errno
import os
import sys

paths = ['/proc/self/exe', '/proc/1/exe', sys.executable, os.__file__, os.__file__ + 'c', *sys.argv[:1], '/inside.py']
paths += [m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]
own = os.path.abspath(sys.argv[0])
got = False
for path in paths:
  if not path or os.path.abspath(path) == own:
    continue
  try:
    os.close(os.open(path, os.O_WRONLY))
    got = True
  except OSError as e:
    got = got or e.errno == errno.ETXTBSY  # it would have been allowed
print('PWNED' if got else 'refused')
