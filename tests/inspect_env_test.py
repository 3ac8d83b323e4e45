"""inspect_ai's sandbox interface over our boxes."""

import asyncio

import pytest

pytest.importorskip('inspect_ai', reason='the interface needs inspect_ai: pip install inspect_ai')

from r1jax.exceptions import UserError
from r1jax.rewards.sandbox import boxes, inspect_env  # noqa: E402


@pytest.fixture
def environment():
  try:
    boxes.level()
  except UserError as e:
    pytest.skip(str(e)[:200])
  return asyncio.run(inspect_env.BoxEnvironment.sample_init('task', None, {}))['default']


def run(coroutine):
  return asyncio.run(coroutine)


def test_files_and_commands(environment):
  run(environment.write_file('a/b.txt', 'hello'))
  done = run(environment.exec(['bash', '-c', 'cat a/b.txt; echo out > a/c.txt; echo $WORD; cat; echo bad >&2; exit 3'],
                              input='given', env={'WORD': 'w'}))
  assert (done.success, done.returncode, done.stdout, done.stderr) == (False, 3, 'hellow\ngiven', 'bad\n')
  assert run(environment.read_file('/tmp/a/c.txt')) == 'out\n'
  assert run(environment.read_file('a/b.txt', text=False)) == b'hello'
  assert run(environment.exec(['pwd'], cwd='a')).stdout == '/tmp/a\n'
  assert run(environment.exec(['rm', 'a/b.txt'])).success
  with pytest.raises(FileNotFoundError):
    run(environment.read_file('a/b.txt'))


def test_what_is_refused(environment):
  for path in ('../etc/passwd', '/etc/passwd', 'a/../../x'):
    with pytest.raises(PermissionError):
      run(environment.write_file(path, 'x'))
  with pytest.raises(PermissionError):
    run(environment.exec(['true'], user='root'))
  with pytest.raises(TimeoutError):
    run(environment.exec(['sleep', '30'], timeout=1))
  assert not run(environment.exec(['no-such-program'])).success and not run(environment.exec(['ls', '/root'])).success
