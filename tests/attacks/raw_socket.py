# Makes raw sockets and packet sockets, which see all that passes on an interface.
# verdicts: WA
import socket

got = False
for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, 10):
  try:
    socket.socket(socket.AF_PACKET, kind, 0x0300).close()
    got = True
  except OSError:
    pass
for family in (socket.AF_INET, socket.AF_INET6):
  for protocol in (1, 6, 17, 58, 255):
    try:
      socket.socket(family, socket.SOCK_RAW, protocol).close()
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
