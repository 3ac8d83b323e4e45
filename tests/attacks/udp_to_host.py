# Sends a datagram to the host; nobody there would be told by an error at the second one.
# verdicts: WA
import json
import socket
import time

given = json.loads(input())
try:
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(('127.0.0.1', given['udp_port']))
    for _ in range(3):
      s.send(b'r1jax attack')
      time.sleep(0.1)
  print('PWNED')
except OSError:
  print('refused')
