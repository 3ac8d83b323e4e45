# May it write to the interpreter that runs it, its library, its byte code, or the program of the sandbox?
# verdicts: WA
import os
import sys

paths = ['/proc/self/exe', '/proc/1/exe', sys.executable, os.__file__, os.__file__ + 'c', *sys.argv[:1], '/inside.py']
paths += [m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]
own = os.path.abspath(sys.argv[0])
got = False
for path in paths:
  if path and os.path.abspath(path) != own:
    got = got or os.access(path, os.W_OK)  # unlike open, it does not answer "text file busy" before "read-only"
print('PWNED' if got else 'refused')
