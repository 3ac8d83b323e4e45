# Makes raw sockets.
# verdicts: WA
import socket

got = False
for family in (socket.AF_INET, socket.AF_INET6):
  for protocol in (1, 6, 17, 58, 255):
    try:
      socket.socket(family, socket.SOCK_RAW, protocol).close()
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
