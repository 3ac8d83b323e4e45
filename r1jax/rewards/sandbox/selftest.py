"""A live test of the box, before anything is generated:
a program that tries to get out must not, and an honest one works."""

import functools
import json
import os
import socket
import tempfile

from r1jax.exceptions import UserError
from r1jax.rewards import sandbox
from r1jax.rewards.sandbox import places

_ATTEMPTS = '''
import json, os, socket, sys
given, done = json.loads(sys.stdin.read()), []
def attempt(name, what):
  try:
    if what():
      done.append(name)
  except BaseException:
    pass
attempt('read a file of the host', lambda: open(given['file']).read() == given['token'])
attempt('read the environment of the host', lambda: given['token'] in os.environ.values())
attempt('connect to the host', lambda: socket.create_connection(('127.0.0.1', given['port']), 1))
attempt('send a signal to the host', lambda: os.kill(given['pid'], 0) is None)
attempt('look through /proc of the host', lambda: given['token'] in open('/proc/%d/environ' % given['pid']).read())
attempt('write to /usr', lambda: open('/usr/r1jax_probe', 'w'))
def processes():
  for i in range(given['processes'] + 1):
    if os.fork() == 0:
      import time
      time.sleep(5)
      os._exit(0)
  return True
attempt('start more processes than it may', processes)
print(json.dumps(done))
'''
_MEMORY = 'x = bytearray(400 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint(len(x))'
_HONEST = 'print(sum(map(int, input().split())))'


@functools.lru_cache(maxsize=None)
def run() -> str:
  """The level that holds here.

  Raises:
    UserError: a program got out of its box, an honest one did not run in it, or there is no isolation.
  """
  level = sandbox.level()
  places.sweep()
  limits = sandbox.Limits(seconds=5.0, memory_bytes=128 << 20, processes=16)
  honest = sandbox.run(_HONEST, 'python', [{'stdin': '2 3', 'stdout': '5'}], limits)[0]
  if honest.verdict != sandbox.Verdict.AC:
    raise UserError(f'an honest program does not run in a box here: {honest.verdict}, {honest.detail}')
  if level == 'none':
    return level
  token = os.urandom(8).hex()
  with (tempfile.NamedTemporaryFile('w', prefix='r1jax-probe-') as file,
        socket.create_server(('127.0.0.1', 0)) as server):
    file.write(token)
    file.flush()
    os.chmod(file.name, 0o644)
    os.environ['R1JAX_PROBE'] = token
    try:
      given = {'file': file.name, 'token': token, 'port': server.getsockname()[1], 'pid': os.getpid(),
               'processes': limits.processes}
      tried = sandbox.run(_ATTEMPTS, 'python', [{'stdin': json.dumps(given), 'stdout': '[]'}], limits)[0]
    finally:
      del os.environ['R1JAX_PROBE']
  if tried.verdict != sandbox.Verdict.AC:
    raise UserError(f'the box (level {level}) does not hold: a program that tries to get out ended with '
                    f'{tried.verdict} {tried.detail}')
  memory = sandbox.run(_MEMORY, 'python', [{'stdin': '', 'stdout': '0'}], limits)[0]
  if memory.verdict not in (sandbox.Verdict.MLE, sandbox.Verdict.RE):
    raise UserError(f'the box (level {level}) does not hold memory: 400 MiB of 128 ended with {memory.verdict}')
  return level
