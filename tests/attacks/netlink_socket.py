# Makes netlink sockets of every protocol: routes, audit, netfilter, kernel events.
# verdicts: WA
import socket

got = False
for protocol in range(32):
  for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
    try:
      socket.socket(16, kind, protocol).close()
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
