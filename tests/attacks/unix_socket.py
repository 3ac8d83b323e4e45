# Connects to sockets of the host that have a path: the one given, docker's, systemd's.
# verdicts: WA
import json
import socket

given = json.loads(input())
got = False
for path in (given['unix'], '/run/docker.sock', '/var/run/docker.sock', '/run/containerd/containerd.sock',
             '/run/systemd/private', '/run/dbus/system_bus_socket'):
  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
      with socket.socket(socket.AF_UNIX, kind) as s:
        s.connect(path)
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
