"""Checkpoints are written in the background, whole or not at all, and every host agrees which one can be read."""

import os
import pathlib
import resource
import socket
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from orbax.checkpoint._src.serialization import serialization
import pytest

from r1jax.engine import checkpoint
from r1jax.engine import checksums
from r1jax.engine import update
from r1jax.exceptions import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent


def state_of(size=256, step=0):
  """A TrainState whose weights are random: what does not compress takes its place on disk."""
  weights = {'w': jax.random.normal(jax.random.key(0), (size, size))}
  return update.fresh(weights, optax.adam(1e-3), seed=0, reference='float32').replace(step=jnp.int32(step))


def restored(workdir, state):
  checkpoints = checkpoint.Checkpoints(workdir)
  found = checkpoints.restore(state, jax.tree.map(lambda x: x.sharding, state))
  checkpoints.close()
  return found


def assert_same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_state_that_is_donated_meanwhile_is_saved_as_it_was(tmp_path, monkeypatch):
  """No array is written before its buffer has been given away three times."""
  returned, write, held = threading.Event(), serialization.async_serialize_from_host, []

  async def held_up(*args, **kwargs):
    held.append(returned.wait(20))
    await write(*args, **kwargs)

  monkeypatch.setattr(serialization, 'async_serialize_from_host', held_up)
  advance = jax.jit(lambda s: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), s), donate_argnums=0)
  state = advance(state_of(1024))
  before = jax.tree.map(lambda x: np.array(x, copy=True), state)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  checkpoints.save(state, {'stage': 'rl'})
  assert not (tmp_path / 'checkpoints/1').exists()
  for _ in range(3):
    state = advance(state)
  jax.block_until_ready(state)
  returned.set()
  checkpoints.wait()
  assert held and all(held) and (tmp_path / 'checkpoints/1/params').is_dir()
  checkpoints.close()
  checkpoints.close()
  found, meta = restored(tmp_path, state)
  assert meta == {'stage': 'rl'}
  assert_same(found, before)


@pytest.mark.parametrize('said_by', ['wait', 'save', 'close'])
def test_a_full_disk_is_said_in_one_line(tmp_path, said_by):
  """By whatever comes next, once; the checkpoint before stands, and the next start removes what was half written."""
  checkpoints = checkpoint.Checkpoints(tmp_path)
  checkpoints.save(state_of(step=1), {})
  checkpoints.wait()
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, limits[1]))  # the kernel refuses from here on, like a full disk
  try:
    checkpoints.save(state_of(step=2), {})
    with pytest.raises(UserError, match=r'checkpoints: File too large; mend that') as error:
      getattr(checkpoints, said_by)(*[state_of(step=3), {}][:2 * (said_by == 'save')])
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert '\n' not in str(error.value)
  checkpoints.close()  # it has been said
  assert int(restored(tmp_path, state_of())[0].step) == 1
  again = checkpoint.Checkpoints(tmp_path)
  again.save(state_of(step=2), {})
  again.close()
  assert sorted(p.name for p in (tmp_path / 'checkpoints').iterdir()) == ['1', '2']


HOSTS = '''
import sys, pathlib
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import NamedSharding, PartitionSpec
jax.distributed.initialize(f'127.0.0.1:{sys.argv[1]}', 2, int(sys.argv[2]))
from r1jax.engine import checkpoint, checksums, mesh, update
from r1jax import disk, outputs
from r1jax.exceptions import UserError
from r1jax.stages import journal
workdir = pathlib.Path(sys.argv[3])
devices = mesh.create({'data': -1})
def put(x):
  spec = PartitionSpec('data') if x.ndim == 2 else PartitionSpec()
  return jax.make_array_from_callback(x.shape, NamedSharding(devices, spec), lambda index: np.asarray(x)[index])
noise = np.random.default_rng(0).normal(size=(64, 4096)).astype(np.float32)
state = update.fresh({'w': noise}, optax.sgd(1e-3), seed=0, reference=None)
states = [jax.tree.map(put, state.replace(step=jnp.int32(step), params={'w': noise + step})) for step in (1, 2)]
checkpoints = checkpoint.Checkpoints(workdir)
for each in states:
  checkpoints.save(each, {})
checkpoints.wait()
def refused(call, *said):  # on both, each in its own words
  try:
    call()
  except UserError as e:
    assert said[jax.process_index()] in str(e), str(e)
    mesh.barrier(said[0])
  else:
    raise AssertionError(said)
if jax.process_index() == 1:  # its mount is another
  checkpoints._place.taken = 'gone, says one'
refused(lambda: checkpoints.save(states[1].replace(step=put(jnp.int32(3))), {}), 'is gone on another host', 'says one')
checkpoints._place.taken = ''
checkpoints.close()
assert not (workdir / 'checkpoints/3').exists()
disk.PAUSES, check, kept = (), checksums.check, journal.Journal(str(workdir))
kept.write(0, journal.Said([], [], 0.0, 0, True))
mesh.barrier('written')
kept = journal.Journal(str(workdir))
def stale(*args, **kw):
  raise OSError(116, 'Stale file handle')
if jax.process_index() == 1:  # only it cannot read, for the moment
  checksums.check = kept._read = stale
checkpoints = checkpoint.Checkpoints(workdir)
refused(lambda: checkpoints.restore(states[0], jax.tree.map(lambda x: x.sharding, states[0])),
        'as another process says', 'Stale file handle')
refused(lambda: kept.read(0, []), 'as another process says', 'Stale file handle')
checkpoints.close()
checksums.check = check
assert (workdir / 'checkpoints/2').is_dir()
if jax.process_index() == 1:  # what the second process wrote of the newest
  files = (workdir / 'checkpoints/2/params/ocdbt.process_1').rglob('*')
  torn = [path for path in files if path.is_file() and path.stat().st_size > 1000]
  assert torn
  for path in torn:
    path.write_bytes(path.read_bytes()[:100])
mesh.barrier('torn')
checkpoints = checkpoint.Checkpoints(workdir)
found, _ = checkpoints.restore(states[0], jax.tree.map(lambda x: x.sharding, states[0]))
assert int(found.step) == 1
for a, b in zip(found.params['w'].addressable_shards, states[0].params['w'].addressable_shards):
  np.testing.assert_array_equal(a.data, b.data)
checkpoints.close()
assert (workdir / 'torn_checkpoint_2').is_dir() and not (workdir / 'checkpoints/2').exists()
given = [outputs.from_first(text if jax.process_index() == 0 else None) for text in ('0f' * 32, None)]
assert given == ['0f' * 32, None], given
hashed, digest = [], outputs.digest
outputs.digest = lambda directory: hashed.append(directory) or digest(directory)
output = outputs.passed_on(str(workdir))['output']
assert output == digest(str(workdir)) and len(hashed) == 1 - jax.process_index()
'''


def test_hosts_agree_that_a_checkpoint_is_torn(tmp_path):
  """Only one of two processes cannot read its part: neither hangs, one moves it aside, both restore the one before.

  Where one finds its directory gone, or cannot read for the moment, both end with a line, and nothing is moved. And the first alone hashes what is passed on.
  """
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_force_host_platform_device_count=1'}
  both = [subprocess.Popen([sys.executable, '-c', HOSTS, str(port), str(i), str(tmp_path)], cwd=ROOT, env=env,
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for i in range(2)]
  try:
    said = [p.communicate(timeout=120)[0] for p in both]
  finally:
    for p in both:
      p.kill()
  assert [p.returncode for p in both] == [0, 0], '\n'.join(said)[-4000:]
  assert all('trying the one before' in text for text in said), said


def test_the_newest_checkpoint_is_numbered_as_soon_as_it_is_whole(tmp_path):
  """A kill leaves it newest: a bit that turns then is seen, and is not taken for what was written."""
  state = update.fresh({'w': jnp.arange(4096.0)}, optax.sgd(1e-3), seed=0, reference=None)
  checkpoints = checkpoint.Checkpoints(str(tmp_path), keep=2)
  for step in (1, 2):
    checkpoints.save(state.replace(step=jnp.int32(step)), {})
  begun = time.monotonic()
  while not checksums.is_written(str(tmp_path / 'checkpoints/2')):  # nobody waits for it, or closes
    assert time.monotonic() - begun < 30
    time.sleep(0.01)
  file = max((tmp_path / 'checkpoints/2/params').rglob('*'), key=lambda p: p.is_file() and p.stat().st_size)
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)
  again = checkpoint.Checkpoints(str(tmp_path), keep=2)
  found, _ = again.restore(state, jax.tree.map(lambda x: x.sharding, state))
  assert int(found.step) == 1 and (tmp_path / 'torn_checkpoint_2').is_dir()
  again.close()
  checkpoints.close()
