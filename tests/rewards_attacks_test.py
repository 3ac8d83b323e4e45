"""Programs that try to get out of the box, or to bring the machine down:
tests/attacks/README.md says how they are written."""

import contextlib
import itertools
import json
import os
import pathlib
import socket
import time

import pytest

from r1jax.exceptions import UserError
from r1jax.rewards import sandbox
from r1jax.rewards.sandbox import boxes
from r1jax.rewards.sandbox import places

ATTACKS = sorted(p for p in (pathlib.Path(__file__).parent / 'attacks').glob('*.*') if p.suffix in ('.py', '.cpp'))
HONEST = 'print(sum(map(int, input().split())))'
NAME = 'R1JAX_ATTACK_SECRET'


def why_not(level: str) -> str | None:
  return boxes._why_not(level)


LEVELS = ['strong', pytest.param('confined', marks=pytest.mark.slow)]


def header(path) -> dict:
  """The comment lines at the top: {'verdicts': 'WA RE', ...}."""
  out = {}
  for line in path.read_text().splitlines()[1:]:
    comment = line.lstrip('#/ ')
    if not line.startswith(('#', '//')) or ':' not in comment:
      break
    key, _, value = comment.partition(':')
    out[key.strip()] = value.strip()
  return out


@pytest.fixture(scope='module')
def host(tmp_path_factory):
  """What an attack must not reach: a file, an environment variable, sockets, this process."""
  places.sweep()
  directory = tmp_path_factory.mktemp('host')
  for parent in (directory, *directory.parents[:-2]):
    parent.chmod(0o755)
  token = os.urandom(8).hex()
  secret = directory / 'secret.txt'
  secret.write_text(token)
  secret.chmod(0o644)
  path, abstract = str(directory / 'socket'), f'r1jax-{token}'
  with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
    patch.setenv(NAME, token)
    tcp = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(('127.0.0.1', 0))
    for address in (path, '\0' + abstract):
      unix = stack.enter_context(socket.socket(socket.AF_UNIX))
      unix.bind(address)
      unix.listen()
    os.chmod(path, 0o777)
    yield json.dumps({'secret_file': str(secret), 'host_pid': os.getpid(), 'port': tcp.getsockname()[1],
                      'udp_port': udp.getsockname()[1], 'unix': path, 'abstract': abstract, 'environ_name': NAME})


@pytest.fixture(params=LEVELS)
def level(request, monkeypatch):
  """Each level that works here; a level that does not is skipped aloud, and its refusal is tested below."""
  reason = why_not(request.param)
  if reason:
    pytest.skip(f'level {request.param}: {reason}')
  monkeypatch.setattr(boxes, 'level', lambda: request.param)
  monkeypatch.setattr(sandbox.programs.boxes, 'level', lambda: request.param)
  return request.param


def cases_of(path, host) -> tuple[str, list[dict], dict]:
  head = header(path)
  lines = path.read_text().splitlines()
  # The header holds what is expected.
  body = list(itertools.dropwhile(lambda line: line.startswith(('# ', '// ')), lines))
  code = '\n'.join(body).replace('@SECRET_FILE@', json.loads(host)['secret_file'])
  if head.get('mode') == 'call':
    test = json.loads(head['call'])
  else:
    test = {'stdin': host + '\n', 'stdout': 'PWNED'}
  return code, [test] * int(head.get('tests', 1)), head


def test_there_are_enough():
  assert len(ATTACKS) >= 64
  for path in ATTACKS:
    verdicts = header(path)['verdicts'].split()
    assert verdicts and set(verdicts) <= set(sandbox.Verdict) - {'AC', 'IE'}, path.name


@pytest.mark.parametrize('path', ATTACKS, ids=lambda p: p.name)
def test_an_attack_is_contained(path, level, host):
  """Its verdict is one of those that count as contained, and the next honest program is right."""
  code, tests, head = cases_of(path, host)
  limits = sandbox.Limits(seconds=float(head.get('seconds', 2)), compile_seconds=4.0, total_seconds=60.0)
  contained = head['verdicts'].split()
  if level == 'confined':
    # Where /proc and /dev/shm cannot even be looked at, a program may end by an exception, a compiler too.
    contained += ['RE', 'CE']
  for result in sandbox.run(code, 'python' if path.suffix == '.py' else 'cpp', tests, limits):
    assert result.verdict in contained, (result.verdict, result.detail)
  honest = sandbox.run(HONEST, 'python', [{'stdin': '2 3', 'stdout': '5'}])[0]
  assert honest.verdict == sandbox.Verdict.AC, honest.detail
  given = json.loads(host)
  assert pathlib.Path(given['secret_file']).read_text() == os.environ[NAME]
  end = time.monotonic() + 5
  while (left := places.left_behind()) and time.monotonic() < end:
    time.sleep(0.05)
  assert not left, left


def test_no_isolation_is_refused_before_anything_runs(monkeypatch):
  monkeypatch.setattr(boxes, '_why_not', lambda level: 'not here')
  for name in (boxes.FLAG_SET, boxes.VARIABLE):
    monkeypatch.delenv(name, raising=False)
  boxes.level.cache_clear()
  try:
    with pytest.raises(UserError, match=f'cannot be run safely here.*--{boxes.FLAG} and {boxes.VARIABLE}=1'):
      sandbox.judge('print(1)', 'python', [{'stdin': '', 'stdout': '1'}])
    monkeypatch.setenv(boxes.VARIABLE, '1')  # one of the two is not enough
    with pytest.raises(UserError, match='cannot be run safely'):
      boxes.level()
    monkeypatch.setenv(boxes.FLAG_SET, '1')
    assert boxes.level() == 'none'
  finally:
    boxes.level.cache_clear()
