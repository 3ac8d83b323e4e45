# Looks for file descriptors that were left open: directories, files, sockets, the reading ends of pipes, devices.
# verdicts: WA
import fcntl
import os
import stat

found = []
for fd in range(3, 4096):
  try:
    mode = os.fstat(fd).st_mode
    writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
  except OSError:
    continue
  if not (stat.S_ISFIFO(mode) and writes):  # a pipe that takes the result of a call is all there may be
    found.append(fd)
print('PWNED' if found else 'refused')
