"""SIGTERM in the long parts of an RL stage that are neither sampling nor learning, and what exit code 4 advises."""

import json
import logging
import shutil
import threading
import time
import types

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import checks
from r1jax import metrics
from r1jax import pipeline
from r1jax import report
from r1jax import stopping
from r1jax.rewards import pool as pool_lib
from r1jax.stages import batches
from r1jax.stages import judging
from r1jax.stages import policy
from r1jax.stages import record
from r1jax.stages import rl
from r1jax.types import RunStopped

import interrupted_test
from interrupted_test import Counted, killed_at, rows, train, weights
import policy_test
import simulated

pytestmark = pytest.mark.usefixtures('one_device')
base, compiled_once, whole = policy_test.base, interrupted_test.compiled_once, interrupted_test.whole
EVALUATED = {'rl.eval_every': 4, 'rl.eval_questions': 3, 'rl.eval_samples': 2}


@pytest.fixture(autouse=True)
def nobody_asked():
  stopping.requested.clear()
  yield
  stopping.requested.clear()


@pytest.fixture
def counted(monkeypatch):
  """Tokens that were sampled; who asks whether to stop is told the truth."""
  due = interrupted_test.hosts.stop_due
  found = Counted(monkeypatch)
  monkeypatch.setattr(interrupted_test.hosts, 'stop_due', due)
  return found


def stopped_in(monkeypatch, of, name: str, when, workdir, base, **kw):
  """A start that is asked to stop as of.name(...) is called, when(*args) is true: it ends so, and another one goes on.
  """
  real = getattr(of, name)

  def asked(*args, **more):
    if when(*args):
      stopping.requested.set()
    return real(*args, **more)

  with monkeypatch.context() as patch:
    patch.setattr(of, name, asked)
    with pytest.raises(stopping.Stopped):
      train(workdir, base, **kw)
  stopping.requested.clear()


def same_bits(one, other):
  assert rows(one) == rows(other)
  for x, y in zip(weights(one), weights(other)):
    np.testing.assert_array_equal(x, y)


@pytest.fixture(scope='module')
def evaluated(tmp_path_factory, base):
  """A run that evaluates on its way, and was never stopped."""
  workdir = tmp_path_factory.mktemp('evaluated')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(rl.policy, 'Policy', interrupted_test.made_once)
    train(workdir, base, **EVALUATED)
  assert [r['step'] for r in rows(workdir) if any(name.startswith('eval/') for name in r)] == [0, 4, 8]
  return workdir


@pytest.mark.parametrize('of, name, when, stands', [
    (rl, '_look_before', lambda *_: True, None),
    (rl, '_evaluated', lambda heldout, params, rollout: rollout.number == 1, 4),
    (rl, '_learn', lambda actor, state, minibatches, advantages, rollout, *_: rollout.number == 3, 8)])
def test_an_evaluation_that_a_stop_puts_off_is_made_up_for(evaluated, base, tmp_path, monkeypatch, of, name, when,
                                                           stands):
  """Before the first step, in the middle of one, and behind the last step, where it has not begun."""
  kw = EVALUATED if stands != 8 else {**EVALUATED, 'checkpoints.grace': 1e9}  # the update is not cut
  stopped_in(monkeypatch, of, name, when, tmp_path, base, **kw)
  found = rows(tmp_path)
  if stands is None:
    assert found == [] and not list((tmp_path / 'checkpoints').glob('[0-9]*'))
  else:
    assert found[-1]['step'] == stands and not any(name.startswith('eval/') for name in found[-1])
    assert max(int(p.name) for p in (tmp_path / 'checkpoints').glob('[0-9]*')) == stands
  train(tmp_path, base, **EVALUATED)
  same_bits(evaluated, tmp_path)


def test_a_stop_between_log_probs_keeps_the_rollout(whole, base, tmp_path, monkeypatch, counted):
  calls = []
  third = lambda passes: len(rows(tmp_path)) == 2 and (calls.append(passes) or len(calls) == 3)
  stopped_in(monkeypatch, batches.Passes, 'make_room', third, tmp_path, base)
  assert len(rows(tmp_path)) == 2 and (tmp_path / 'rollouts/00000001.npz').exists()
  train(tmp_path, base)
  assert counted.tokens - whole[2] in range(0, 200)
  same_bits(whole[0], tmp_path)


def test_the_devices_have_two_passes_at_most(monkeypatch):
  """With more a stop would wait for all of them; with one alone they would wait for the host."""
  waited = []
  monkeypatch.setattr(policy.jax, 'block_until_ready', waited.append)
  passes = batches.Passes(lambda: False)
  for i in range(5):
    passes.make_room()
    passes.add(i)
  assert waited == [0, 1, 2]


def test_a_stop_does_not_wait_for_verdicts(whole, base, tmp_path, monkeypatch, counted):
  """Judges that hang for two seconds on each of 24 completions; the next start finds them well."""
  hangs, begin = tmp_path / 'hangs', judging.Scorer.begin
  reward = base / 'reward.py'

  def begun(scorer, number, *args, **kw):
    if number == 1:
      hangs.touch()
    return begin(scorer, number, *args, **kw)

  write = type(reward).write_text
  text = ('import os, time\ndef letters(completion, row):\n'
          f'  if os.path.exists({str(hangs)!r}):\n    time.sleep(100)\n  return len(set(completion)) / 20\n')
  monkeypatch.setattr(type(reward), 'write_text', lambda path, said: write(path, text if path == reward else said))
  monkeypatch.setattr(judging.Scorer, 'begin', begun)
  second = lambda verdicts, *_: '00000001' in verdicts._path
  stopped_in(monkeypatch, judging.Verdicts, 'result', second, tmp_path / 'run', base)
  assert time.monotonic() - ASKED[-1] < 15
  hangs.unlink()
  monkeypatch.setattr(judging.Scorer, 'begin', begin)
  train(tmp_path / 'run', base)
  assert counted.tokens - whole[2] in range(0, 200)
  same_bits(whole[0], tmp_path / 'run')


ASKED = []


@pytest.fixture(autouse=True)
def noted_when(monkeypatch):
  set_ = stopping.requested.set
  monkeypatch.setattr(stopping.requested, 'set', lambda: (ASKED.append(time.monotonic()), set_()))


def test_a_pool_that_is_closed_leaves_its_batch(tmp_path):
  (tmp_path / 'slow.py').write_text(
      'import time\ndef slow(completion, row):\n  time.sleep(float(completion or 0))\n  return 1.0\n')
  name, found = f'{tmp_path}/slow.py:slow', []
  pool = pool_lib.Pool(workers=1, deadline=20.0)
  asking = threading.Thread(target=lambda: found.extend(pool.score([(name, '15', {}), (name, '15', {})])))
  asking.start()
  time.sleep(3)
  begun = time.monotonic()
  pool.close()
  asking.join(10)
  assert time.monotonic() - begun < 5 and [s.reason for s in found] == ['error: the judges were closed'] * 2
  assert pool.score([(name, '', {})])[0].value == 1.0, 'a batch that comes later is judged'
  pool.close()


def test_skipped_updates_are_counted_alike_on_all_hosts(tmp_path, monkeypatch):
  """One that has come since has no rows: it must stop with the others, which gather what was learned from."""
  c = types.SimpleNamespace(bad_steps=3, steps=9, kl_coef=0.0, dynamic_tries=0)
  hosts = simulated.Hosts(monkeypatch, 2)

  def stopped_at(number):
    place = tmp_path / str(number)
    with metrics.Writer(place, 'rl', tensorboard=False) as writer:
      for step in range(1, 4) if number == 0 else ():
        writer.write(step, {'update/skipped': float(step > 1)})
      skipped = record.Record(c, str(place), writer, 3, metrics.Clock())._skipped
    for step in range(4, 9):
      try:
        skipped.look(step, {'update/skipped': 1.0, 'loss': np.nan, 'grad_norm': np.nan}, dict)
      except RunStopped as e:
        return step, str(e).rpartition(': ')[2]

  first, second = hosts(stopped_at)
  assert first == second and first[0] == 5


# --- exit code 4


@pytest.mark.parametrize('how', ['learning_rate', 'kl_coef'])
def test_with_another_rate_it_goes_on_with_the_rollout_that_stands(base, tmp_path, counted, how):
  """From step 4, with rollout 2 as it stands; rollout 3 was drawn by a policy that there will not be."""
  now = {f'rl.{how}': {'learning_rate': 1e-4, 'kl_coef': 0.02}[how]}
  killed_at(3, lambda: train(tmp_path / 'kept', base))
  shutil.copytree(tmp_path / 'kept', tmp_path / 'anew')
  c = policy_test.small_config(**interrupted_test.SMALL).rl.to_dict()
  stood = sorted(p.name for p in (tmp_path / 'kept/rollouts').iterdir())
  rl.changed(c, str(tmp_path / 'kept'), 4)
  assert [n for n in stood if n not in {p.name for p in (tmp_path / 'kept/rollouts').iterdir()}] == ['00000003.npz']
  for path in (tmp_path / 'anew/rollouts').iterdir():
    path.unlink()
  used = []
  for name in ('kept', 'anew'):
    before = counted.tokens
    train(tmp_path / name, base, **now)
    used.append(counted.tokens - before)
  assert 0 < used[0] < 0.75 * used[1], 'one rollout of two was sampled'
  drop = lambda found: [{k: v for k, v in row.items() if k != 'rollout/slot_use'} for row in found]
  assert drop(rows(tmp_path / 'kept')) == drop(rows(tmp_path / 'anew'))


@pytest.fixture
def staged(tmp_path, monkeypatch):
  """start(**values of rl): a pipeline of one stage, a stand-in that leaves step 4 and rollouts, then ends by exit 4."""
  ends = [True]

  def write(config, name, workdir, inputs):
    del config, name, inputs
    for path in ('checkpoints/4/params/weights', 'rollouts/00000002.npz', 'rollouts/00000003.npz'):
      file = tmp_path / workdir / path
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text('')
    if ends[0]:
      raise RunStopped('not finite')

  monkeypatch.setattr(checks.importlib, 'import_module', lambda name: types.SimpleNamespace(
      run=write, goes_on_with=rl.goes_on_with, changed=lambda *args: (left.append(1), rl.changed(*args))))
  monkeypatch.setattr(report, 'write', lambda workdir: None)
  left = []

  def start(end: bool = True, **values):
    ends[0] = end
    own = {'learning_rate': 1e-3, 'kl_coef': 0.1, 'minibatches': 2, 'epochs': 1, 'lag': 0, 'temperature': 1.0,
           'optimizer': {'clip_norm': 1.0, 'b1': 0.9}, 'dynamic_tries': 0, **values}
    config = ConfigDict({'rl': own, 'stages': (dict(name='rl', run='rl', inputs={}),)})
    left.clear()
    try:
      pipeline.run(config, str(tmp_path))
    except RunStopped:
      pass
    aside = tmp_path / 'set_aside'
    return len(left), len(list(aside.iterdir())) if aside.exists() else 0

  return start


@pytest.mark.parametrize('values, goes_on', [
    ({'learning_rate': 1e-4}, True), ({'kl_coef': 0.2}, True), ({'optimizer': {'clip_norm': 0.5, 'b1': 0.9}}, True),
    ({'learning_rate': 1e-4, 'kl_coef': 0.2}, True), ({'kl_coef': 0.0}, False), ({'temperature': 0.9}, False),
    ({'learning_rate': 1e-4, 'temperature': 0.9}, False), ({'optimizer': {'clip_norm': 1.0, 'b1': 0.8}}, False)])
def test_which_values_a_stage_goes_on_with(staged, values, goes_on, tmp_path, caplog):
  assert staged() == (0, 0)
  with caplog.at_level(logging.WARNING, logger='r1jax'):
    assert staged(**values) == ((1, 0) if goes_on else (0, 1))
  if goes_on:
    said, = [text for text in caplog.messages if 'goes on with' in text]
    assert 'goes on with that from step 4' in said and '--rerun=rl' in said
    kept, = json.loads((tmp_path / '1_rl/changes.json').read_text())
    assert kept['step'] == 4 and len(kept['values']) == len(values)
  assert staged(**values)[1] == (not goes_on), 'the same again changes nothing'


def test_a_finished_stage_is_made_anew_with_another_rate(staged):
  assert staged(end=False) == (0, 0)
  assert staged(end=False, learning_rate=1e-4) == (0, 1)


def test_groups_until_a_signal_begin_anew_and_the_line_says_so(staged):
  assert staged(dynamic_tries=2) == (0, 0)
  assert staged(dynamic_tries=2, learning_rate=1e-4) == (0, 1)
  c = lambda **kw: types.SimpleNamespace(**{'dynamic_tries': 0, 'kl_coef': 0.0, **kw})
  assert record._advice(c(dynamic_tries=2), 'rl').endswith('begins anew')
  assert 'kl_coef' not in record._advice(c(), 'rl') and 'rl.kl_coef' in record._advice(c(kl_coef=0.1), 'rl')
