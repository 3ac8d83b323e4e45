# Connects to an abstract unix socket of the host, which no file permission protects.
# verdicts: WA
import json
import socket

given = json.loads(input())
got = False
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
  try:
    with socket.socket(socket.AF_UNIX, kind) as s:
      s.connect('\0' + given['abstract'])
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
