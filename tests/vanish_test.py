"""An RL stage whose work dir goes away between two steps, and comes again: it goes on as if it had been there."""

import errno

import numpy as np
import pytest

from r1jax import disk
from r1jax import errors
from r1jax import metrics
from r1jax.engine import checkpoint

import interrupted_test

pytestmark = pytest.mark.usefixtures('one_device')
base, compiled_once = interrupted_test.base, interrupted_test.compiled_once
train = interrupted_test.train


def started(run, base, **overrides):
  def command():
    with disk.watched(str(run)), disk.watched(str(run / '2_rl')):
      train(run / '2_rl', base, **overrides)
    return 0

  return errors.run(command, place=str(run))


def test_a_stage_whose_disk_is_unmounted_goes_on_when_it_is_there_again(base, tmp_path, monkeypatch, capsys):
  run, other, away, seen = tmp_path / 'run', tmp_path / 'other', tmp_path / 'away', []
  carry = {'rl.carry': 2, 'rl.kl_coef': 0.0}
  for each in (run, other):
    (each / '2_rl').mkdir(parents=True)

  def unmount(path, step, values):
    del path, values
    seen.append(step)
    if step == 6:  # a checkpoint is at step 4
      run.rename(away)
      run.mkdir()  # the empty folder under a mount point

  monkeypatch.setattr(metrics, 'observers', [unmount])
  assert started(run, base, **carry) == 2 and seen[-1] == 6
  err = capsys.readouterr().err
  assert f'r1jax: {run} is another directory than when this began' in err and 'Traceback' not in err, err
  assert not list(run.iterdir())
  monkeypatch.setattr(metrics, 'observers', [])
  run.rmdir()
  away.rename(run)
  assert [p.name for p in sorted((run / '2_rl/checkpoints').iterdir())] == ['4']
  assert started(run, base, **carry) == 0 and started(other, base, **carry) == 0
  steps = [[row['step'] for row in interrupted_test.rows(each / '2_rl')] for each in (run, other)]
  assert steps[0] == steps[1] == list(range(1, 9))
  for x, y in zip(*(interrupted_test.weights(each / '2_rl') for each in (run, other))):
    np.testing.assert_array_equal(x, y)


def test_a_torn_file_beside_a_checkpoint_sends_the_stage_back_to_the_one_before(base, tmp_path, caplog):
  run, carry = tmp_path / 'run', {'rl.carry': 2, 'rl.kl_coef': 0.0}
  (run / '2_rl').mkdir(parents=True)
  assert started(run, base, **carry) == 0
  before = interrupted_test.weights(run / '2_rl')
  (newest,) = sorted((run / '2_rl/carried').iterdir())[-1:]
  newest.write_bytes(newest.read_bytes()[:-20])
  assert started(run, base, **carry) == 0
  assert f'{newest.name} is torn' in caplog.text and (run / '2_rl/torn_checkpoint_8').is_dir()
  for x, y in zip(before, interrupted_test.weights(run / '2_rl')):
    np.testing.assert_array_equal(x, y)


def test_a_disk_that_answers_no_more_is_one_line_and_the_last_checkpoint_stays(base, tmp_path, monkeypatch, capsys):
  run, save, carry = tmp_path / 'run', checkpoint.Checkpoints.save, {'rl.carry': 2, 'rl.kl_coef': 0.0}
  (run / '2_rl').mkdir(parents=True)

  def stale(checkpoints, state, meta):
    if int(state.step) > 4:
      raise OSError(errno.ESTALE, 'Stale file handle', str(run / '2_rl/checkpoints/8'))
    save(checkpoints, state, meta)

  monkeypatch.setattr(checkpoint.Checkpoints, 'save', stale)
  assert started(run, base, **carry) == 2
  err = capsys.readouterr().err
  assert f'r1jax: Stale file handle: {run}/2_rl/checkpoints/8' in err and 'mount it again' in err, err
  assert [p.name for p in (run / '2_rl/checkpoints').iterdir()] == ['4']
