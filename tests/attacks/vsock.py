# Makes a vsock, which reaches from a virtual machine to its host past every network namespace.
# verdicts: WA
import socket

got = False
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
  try:
    socket.socket(40, kind).close()
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
