# Connects to a port on which the host listens, by several of its names.
# verdicts: WA
import json
import socket

given = json.loads(input())
got = False
for host in ('127.0.0.1', '0.0.0.0', '::1', '::ffff:127.0.0.1', '10.0.2.2', '172.17.0.1'):
  try:
    socket.create_connection((host, given['port']), 0.2).close()
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
