"""A work dir that goes away in the middle, and a disk that does not answer: one line, nothing written elsewhere, nothing
taken for torn or for not there."""

import errno
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
from orbax.checkpoint._src.serialization import serialization
import pytest

from r1jax import disk
from r1jax import errors
from r1jax import metrics
from r1jax import outputs
from r1jax import workdir as workdir_lib
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import checksums
from r1jax.engine import update
from r1jax.exceptions import UserError
from r1jax.stages import carried
from r1jax.stages import common
from r1jax.stages import journal
from r1jax.types import Completion, Request

import journal_test

ROOT = pathlib.Path(__file__).resolve().parent.parent


def state_of(step=0):
  weights = {'w': jnp.arange(4096.0)}
  return update.fresh(weights, optax.sgd(1e-3), seed=0, reference=None).replace(
      step=jnp.int32(step), position=jnp.int32(step))


def restore(workdir, beside=None):
  state = state_of()
  checkpoints = checkpoint.Checkpoints(str(workdir))
  try:
    return checkpoints.restore(state, jax.tree.map(lambda x: x.sharding, state), beside)
  finally:
    checkpoints.close()


def saved(workdir, *steps):
  checkpoints = checkpoint.Checkpoints(str(workdir))
  for step in steps:
    checkpoints.save(state_of(step), {})
  checkpoints.close()
  return [str(step) for step in steps]


def standing(workdir):
  return sorted(path.name for path in (workdir / 'checkpoints').iterdir())


# --- it goes away


WAYS = {  # how -> (what is done to the directory, what is said)
    'removed': (shutil.rmtree, 'is gone: removed, or its disk is not mounted any more'),
    'moved': (lambda path: path.rename(path.with_name('elsewhere')), 'is gone'),
    'made again': (lambda path: (shutil.rmtree(path), path.mkdir()), 'is another directory than when this began'),
    # Under the mount point of a disk there is an empty folder.
    'another': (lambda path: (path.rename(path.with_name('elsewhere')), path.mkdir()), 'is another directory')}


def row(run):
  writer = metrics.Writer(run / '1_base', 'base', tensorboard=False)
  return lambda: writer.write(1, {'x': 1})


def save(run):
  checkpoints = checkpoint.Checkpoints(str(run / '1_base'))
  checkpoints.save(state_of(1), {})
  checkpoints.wait()
  return lambda: checkpoints.save(state_of(2), {})


def close(run):
  """Nobody says that a checkpoint stands."""
  checkpoints = checkpoint.Checkpoints(str(run / '1_base'))
  checkpoints.save(state_of(1), {})
  checkpoints.wait()
  return checkpoints.close


def rollout(run):
  said, kept = journal_test.drawn(0), journal.Journal(str(run / '1_base'))
  kept.write(0, said)
  return lambda: kept.write(1, said)


def batch(run):
  batches = common.Batches(str(run / '1_base'))
  return lambda: batches.add('', 1, [{'x': 1}])


WRITES = {'row': row, 'save': save, 'close': close, 'rollout': rollout, 'batch': batch,
          'json': lambda run: lambda: json_files.write(str(run / '1_base/seconds.json'), 1),
          'samples': lambda run: lambda: metrics.write_samples(run / '1_base', 1, [{'x': 1}]),
          'folder': lambda run: lambda: disk.make(run / '1_base/eval/task'),
          'aside': lambda run: lambda: workdir_lib.move_aside(str(run), str(run / '1_base'))}


@pytest.mark.parametrize('write', WRITES)
@pytest.mark.parametrize('way', WAYS)
def test_nothing_is_written_in_the_place_of_a_work_dir(tmp_path, capsys, way, write):
  run, (vanish, said) = tmp_path / 'run', WAYS[way]
  (run / '1_base').mkdir(parents=True)

  def command():
    with disk.watched(str(run)):
      again = WRITES[write](run)
      vanish(run)
      again()
    return 0

  assert errors.run(command) == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and f'{run} {said}' in err and 'the same command goes on' in err, err
  assert not run.exists() or not list(run.iterdir())


@pytest.mark.parametrize('write', [name for name in WRITES if name != 'aside'])
def test_nothing_is_written_in_the_place_of_a_stage(tmp_path, write):
  (tmp_path / '1_base').mkdir()
  with disk.watched(str(tmp_path)), disk.watched(str(tmp_path / '1_base')):
    again = WRITES[write](tmp_path)
    shutil.rmtree(tmp_path / '1_base')
    with pytest.raises(disk.Gone, match='1_base is gone'):
      again()
  assert not list(tmp_path.iterdir())


def test_a_directory_that_nobody_watches_is_made(tmp_path):
  with disk.watched(str(tmp_path)):
    shutil.rmtree(tmp_path)
    metrics.replace_file(tmp_path.with_name(f'{tmp_path.name}_2') / 'a/b', b'x')  # no part of it by its name
  metrics.replace_file(tmp_path / 'a/b', b'x')  # it is over
  assert (tmp_path / 'a/b').read_bytes() == b'x'


def test_a_mistake_of_the_users_is_said_as_it_is(tmp_path):
  with pytest.raises(FileNotFoundError), disk.watched(str(tmp_path)):
    open(tmp_path / 'questions.jsonl', encoding='utf-8')


def test_rows_of_a_file_that_was_removed_are_not_lost(tmp_path, caplog):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(1, {'x': 1})
    writer.path.unlink()
    writer.write(2, {'x': 2})
  assert [each['step'] for each in metrics.read(tmp_path / 'metrics.jsonl')] == [2]
  assert 'was removed while it was written to' in caplog.text


UNMOUNTED = '''
import pathlib, subprocess, sys
import disk_test
from r1jax import disk, errors, workdir
run = pathlib.Path(sys.argv[1])
def command():
  with workdir.held(str(run)):
    writes = [disk_test.WRITES[name](run) for name in ('row', 'save', 'json')]
    subprocess.run(['umount', '-l', str(run)], check=True)
    for write in writes:
      try:
        write()
      except disk.Gone as e:
        said = e
      else:
        raise AssertionError(write)
    raise said
sys.exit(errors.run(command))
'''


def test_a_disk_that_is_unmounted_in_the_middle(tmp_path):
  """For real, in a mount namespace: the folder under the mount point stays empty."""
  run, inside = tmp_path / 'run', ['unshare', '-rm']
  run.mkdir()
  mount = f'mount -t tmpfs none {run}'
  if not shutil.which('unshare') or subprocess.run([*inside, 'sh', '-c', mount], capture_output=True).returncode:
    pytest.skip('no mount namespaces here')
  code = f'{mount} && mkdir {run}/1_base && {sys.executable} -c "$1" {run}; code=$?; ls -A {run}; exit $code'
  out = subprocess.run([*inside, 'sh', '-c', code, 'sh', UNMOUNTED], capture_output=True, text=True, timeout=100,
                       env={**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}'}, check=False)
  assert out.returncode == 2 and out.stdout == '', (out.stdout, out.stderr[-2000:])
  assert f'r1jax: {run} is another directory than when this began' in out.stderr


@pytest.mark.parametrize('way', ['moved', 'another'])
def test_a_checkpoint_that_is_being_written_does_not_count(tmp_path, monkeypatch, way):
  """Orbax and TensorStore make again what is not there: what they wrote is in no work dir."""
  go_on, write = threading.Event(), serialization.async_serialize_from_host

  async def held_up(*args, **kwargs):
    go_on.wait(20)
    await write(*args, **kwargs)

  monkeypatch.setattr(serialization, 'async_serialize_from_host', held_up)
  run = tmp_path / 'run'
  run.mkdir()
  with pytest.raises(UserError, match=f'{run} is another directory'), disk.watched(str(run)):
    checkpoints = checkpoint.Checkpoints(str(run))
    checkpoints.save(state_of(1), {})
    WAYS[way][0](run)
    go_on.set()
    checkpoints.close()


# --- it does not answer


LOST = [errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO]


@pytest.mark.parametrize('number', LOST)
@pytest.mark.parametrize('kind', ['file', 'no name', 'tensorstore', 'cause', 'beside'])
def test_what_a_disk_says_is_one_line_with_the_way_out(capsys, number, kind):
  def fail():
    e = OSError(number, os.strerror(number), *(['/run/x'] if kind != 'no name' else []))
    if kind == 'tensorstore':
      raise ValueError(f"INTERNAL: Error reading '/run/x' [os_error_code='{number}']")
    if kind == 'cause':
      raise RuntimeError('some library') from e
    if kind == 'beside':
      try:
        raise e
      except OSError:
        raise RuntimeError('some library')  # pylint: disable=raise-missing-from
    raise e

  assert errors.run(fail, place='/run') == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and f'r1jax: {os.strerror(number)}: /run' in err and 'mount it again or mend it' in err


@pytest.mark.parametrize('e', [OSError(errno.ETIMEDOUT, 'x'), OSError(errno.EHOSTUNREACH, 'x'),
                               OSError(errno.EADDRINUSE, 'x', '/x')])
def test_what_sockets_say_is_no_disks(e):
  assert errors.line_of(e) is None


@pytest.fixture
def away(monkeypatch):
  """away(path, number, times): the system answers with that number to whoever opens, lists or looks at what lies below
  path, so many times."""
  monkeypatch.setattr(disk, 'PAUSES', (0.0, 0.0))

  def use(path, number, times=10**6):
    left = [times]

    def failing(function):
      def of(name, *args, **kw):
        if left[0] and isinstance(name, (str, os.PathLike)) and os.fspath(name).startswith(str(path)):
          left[0] -= 1
          raise OSError(number, os.strerror(number), os.fspath(name))
        return function(name, *args, **kw)
      return of

    for module, name in (('builtins', 'open'), (io, 'open'), (os, 'stat'), (os, 'listdir'), (os, 'scandir')):
      target = f'{module}.{name}' if isinstance(module, str) else None
      if target:
        monkeypatch.setattr(target, failing(open))
      else:
        monkeypatch.setattr(module, name, failing(getattr(module, name)))

  yield use
  monkeypatch.undo()


MOMENT = [errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.EACCES, errno.EMFILE, errno.ETIMEDOUT]


@pytest.mark.parametrize('number', MOMENT)
@pytest.mark.parametrize('file', ['checksums.0.json', 'params'])
def test_a_checkpoint_that_cannot_be_read_now_stays(tmp_path, away, monkeypatch, number, file):
  steps = saved(tmp_path, 1, 2)
  away(tmp_path / 'checkpoints/2' / file, number)
  with pytest.raises(UserError, match=f'checkpoints/2 cannot be read now .{os.strerror(number)}') as error:
    restore(tmp_path)
  assert '\n' not in str(error.value)
  monkeypatch.undo()
  assert standing(tmp_path) == steps and int(restore(tmp_path)[0].step) == 2


@pytest.mark.parametrize('number', [errno.ESTALE, errno.EIO])
def test_what_cannot_be_read_once_is_read_again(tmp_path, away, monkeypatch, number):
  steps = saved(tmp_path, 1, 2)
  away(tmp_path / 'checkpoints/2/checksums.0.json', number, times=1)
  assert int(restore(tmp_path)[0].step) == 2
  monkeypatch.undo()
  assert standing(tmp_path) == steps


@pytest.mark.parametrize('text, stays', [
    ("INTERNAL: Error opening file [os_error_code='24']", True), ("UNKNOWN [os_error_code='116']", True),
    ("NOT_FOUND: [os_error_code='2']", False), ('DATA_LOSS: Error reading local file', False)])
def test_what_tensorstore_says_of_a_file(tmp_path, monkeypatch, text, stays):
  steps = saved(tmp_path, 1, 2)
  monkeypatch.setattr(disk, 'PAUSES', ())
  check = checksums.check

  def failing(step_dir, **kw):
    if step_dir.endswith('2'):
      raise ValueError(text)
    check(step_dir, **kw)

  monkeypatch.setattr(checksums, 'check', failing)
  if stays:
    with pytest.raises(UserError, match='cannot be read now'):
      restore(tmp_path)
    assert standing(tmp_path) == steps
  else:
    assert int(restore(tmp_path)[0].step) == 1 and standing(tmp_path) == ['1']


def flip(path, at=0.5):
  data = bytearray(path.read_bytes())
  data[int(len(data) * at)] ^= 1
  path.write_bytes(data)


@pytest.mark.parametrize('steps', [(1,), (1, 2, 3)])
def test_where_all_are_torn_the_stage_is_not_begun_anew(tmp_path, steps):
  """Nor by the start behind: they stay where they are."""
  stage = tmp_path / '2_rl'
  names = saved(stage, *steps)
  for name in names:
    for file in (stage / 'checkpoints' / name / 'params').rglob('*'):
      if file.is_file() and file.stat().st_size > 500:
        flip(file)
  for _ in range(2):
    with pytest.raises(UserError, match='none of the checkpoints .* can be read .*--rerun=rl'):
      restore(stage)
    assert standing(stage) == names


@pytest.mark.parametrize('number', [errno.ESTALE, errno.EIO, errno.EACCES])
def test_what_cannot_be_read_is_not_as_if_it_were_not_there(tmp_path, away, number):
  (tmp_path / 'pipeline.json').write_text('{"stages": [1]}')
  metrics.replace_file(tmp_path / 'x/model.json', b'{}')
  batches = common.Batches(str(tmp_path / 'x'))
  batches.add('', 2, [{'a': 1}])
  (tmp_path / 'x/rollouts').mkdir()
  kept = (tmp_path / 'x/kept.jsonl').read_bytes()
  away(tmp_path, number)
  for look in (lambda: workdir_lib.read(str(tmp_path / 'pipeline.json'), {}), lambda: common.Batches(str(tmp_path / 'x')),
               lambda: outputs.look(str(tmp_path / 'x')), lambda: outputs.digest(str(tmp_path / 'x')),
               lambda: journal.Journal(str(tmp_path / 'x')), lambda: checkpoint.find(str(tmp_path / 'x')),
               lambda: metrics.Writer(tmp_path, 'x', tensorboard=False)):
    with pytest.raises(OSError) as error:
      look()
    assert error.value.errno == number
  with io.FileIO(tmp_path / 'x/kept.jsonl') as f:
    assert f.read() == kept


@pytest.mark.parametrize('number', MOMENT)
def test_a_rollout_that_cannot_be_read_now_is_not_sampled_again(tmp_path, away, monkeypatch, number):
  said = journal_test.drawn(0)
  journal.Journal(str(tmp_path)).write(0, said)
  kept, asked = journal.Journal(str(tmp_path)), said.given + said.unfinished
  away(tmp_path / 'rollouts/00000000.npz', number)
  for read in (kept.read, kept.groups):
    with pytest.raises(UserError, match=f'cannot be read now .{os.strerror(number)}'):
      read(0, asked)
  monkeypatch.undo()
  journal_test.same(said, kept.read(0, asked))


# --- what stands beside checkpoints is torn


CARRIED = carried.Carried(
    [Request(7, np.arange(3, dtype=np.int32), (0, 1), (Completion(np.arange(4, dtype=np.int32),
                                                                  np.linspace(-1, 0, 4, dtype=np.float32), False), None))],
    {7: 0}, {0: 5.5}, {})
TEARS = {'cut': lambda path: path.write_bytes(path.read_bytes()[:-9]), 'empty': lambda path: path.write_bytes(b''),
         'removed': pathlib.Path.unlink, 'a digit': lambda path: path.write_bytes(path.read_bytes().replace(b'5.5', b'5.4')),
         'another': lambda path: path.write_bytes(checksums.sealed([1]))}


@pytest.mark.parametrize('tear', TEARS)
def test_a_checkpoint_without_what_stands_beside_it_is_torn(tmp_path, caplog, tear):
  """What was carried over cannot be made again: the one before is taken, with what it went on with."""
  for number in (1, 2):
    carried.write(str(tmp_path / 'carried'), number, CARRIED, keep=3)
    saved(tmp_path, number)
  beside = lambda state: carried.check(str(tmp_path / 'carried'), int(state.position))
  assert int(restore(tmp_path, beside)[0].step) == 2
  TEARS[tear](tmp_path / 'carried/00000002.json')
  assert int(restore(tmp_path, beside)[0].step) == 1 and standing(tmp_path) == ['1']
  assert 'carried/00000002.json' in caplog.text and (tmp_path / 'torn_checkpoint_2').is_dir()
  found = carried.read(str(tmp_path / 'carried'), 1, [np.arange(3, dtype=np.int32)], None)
  assert found.lengths == CARRIED.lengths and found.row_of == CARRIED.row_of
  for field in ('tokens', 'logps'):
    np.testing.assert_array_equal(*(getattr(x.requests[0].begun[0], field) for x in (found, CARRIED)))


@pytest.mark.parametrize('seed', range(30))
def test_a_sealed_file_is_never_taken_for_another(tmp_path, seed):
  rng, value = np.random.default_rng(seed), {'requests': [[1, -0.25, None, 'ä"\n']], 'lengths': {'3': 1e-7}}
  path = tmp_path / 'x.json'
  path.write_bytes(checksums.sealed(value))
  assert checksums.opened(str(path)) == value == json.loads(path.read_text())['value']
  data = bytearray(path.read_bytes())
  data[rng.integers(len(data))] ^= 1 << rng.integers(8)
  path.write_bytes(data)
  try:
    found = checksums.opened(str(path))
  except ValueError:
    return
  assert found == value or not {'requests', 'lengths'} <= dict(found).keys()  # a letter of its two outer names


def test_what_an_older_version_carried_over_is_read(tmp_path):
  carried.check(str(tmp_path / 'carried'), 3)  # it wrote none
  metrics.replace_file(tmp_path / 'carried/00000003.json', b'{"requests": [], "lengths": {"0": 2.0}}')
  carried.check(str(tmp_path / 'carried'), 3)
  assert carried.read(str(tmp_path / 'carried'), 3, [], None).lengths == {0: 2.0}


@pytest.mark.parametrize('line', [b'{"step": 2, "stage"', b'\0' * 40, b'[1]', b'{"step": NaN}', b'\xff'])
def test_a_torn_line_of_metrics_is_moved_out(tmp_path, caplog, line):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    for step in (1, 2, 3):
      writer.write(step, {'x': step})
  lines = writer.path.read_bytes().split(b'\n')
  writer.path.write_bytes(b'\n'.join([lines[0], line, *lines[2:]]))
  with pytest.raises(UserError, match='metrics.jsonl, line 2: corrupt .*take that line out'):
    metrics.read(writer.path)
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as again:
    again.truncate(2)
    again.write(3, {'x': 3})
  assert [each['step'] for each in metrics.read(writer.path)] == [1, 3]
  assert (tmp_path / 'metrics.jsonl.torn').read_bytes() == line + b'\n' and 'line 2 is corrupt' in caplog.text


def test_a_torn_batch_is_asked_again(tmp_path, caplog):
  batches = common.Batches(str(tmp_path))
  for i in range(3):
    batches.add('', 2, [{'a': i}])
  lines = (tmp_path / 'batches.jsonl').read_bytes().split(b'\n')
  (tmp_path / 'batches.jsonl').write_bytes(b'\n'.join([lines[0], lines[1][:-5], *lines[2:]]))
  again = common.Batches(str(tmp_path))
  assert again.done('') == 2 and list(again.kept()) == [{'a': 0}] and 'line 2 is torn' in caplog.text
  (tmp_path / 'kept.jsonl').write_bytes(b'{"a":7}\n')  # of the same length
  with pytest.raises(UserError, match='kept.jsonl is other than it was written.*take line 1'):
    list(again.kept())
