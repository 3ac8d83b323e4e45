# Makes sockets of every family but those of unix and the internet, socket pairs too: little used code of the kernel.
# verdicts: WA
import socket

got = []
for family in range(3, 64):
  for kind in (1, 2, 3, 4, 5) if family != socket.AF_INET6 else ():
    for make in (socket.socket, socket.socketpair):
      try:
        made = make(family, kind)
        got.append(family)
        for end in made if isinstance(made, tuple) else (made,):
          end.close()
      except (OSError, ValueError):
        pass
print('PWNED' if got else 'refused')
