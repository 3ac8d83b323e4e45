"""An RL stage that is asked to stop anywhere goes on as if it had not been: nothing sampled is sampled again."""

import json
import pathlib

import numpy as np
import pytest

from r1jax import stopping
from r1jax.engine import hosts
from r1jax.engine import rollout
from r1jax.models import zoo
from r1jax.stages import policy
from r1jax.stages import rl
from r1jax.types import RunStopped

import policy_test
import runs

pytestmark = pytest.mark.usefixtures('one_device')
base = policy_test.base
# Two minibatches a rollout, of which each has several micro-batches; rollouts of several chunks with rows filled again.
SMALL = {'rl.minibatches': 2, 'rl.steps': 8, 'rl.samples': 4, 'checkpoints.every': 4, 'checkpoints.grace': 0.0}


POLICY = policy.Policy
MADE = {}  # a stage's numbers -> the policy of it, as a new start makes one: compiling takes most of a start


def made_once(config, c, name, model, tokenizer, mesh, encoded, journal_):
  key = json.dumps([c.to_dict(), config.lora.to_dict()], sort_keys=True)
  if key not in MADE:
    if len(MADE) > 12:  # a process may map only so many programs (vm.max_map_count)
      MADE.pop(next(iter(MADE)))
    MADE[key] = POLICY(config, c, name, model, tokenizer, mesh, encoded, journal_)
    MADE[key].fresh = {k: v for k, v in vars(MADE[key]).items() if k in ('_lengths', '_carried', '_row_of')}
  actor = MADE[key]
  actor.journal, actor._config = journal_, config
  for k, v in actor.fresh.items():
    setattr(actor, k, type(v)())
  return actor


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch):
  monkeypatch.setattr(rl.policy, 'Policy', made_once)


def train(workdir, base, **overrides):
  most, slots = overrides.pop('rl.max_tokens', 24), overrides.pop('rl.slots', 4)
  config = policy_test.small_config(**{**SMALL, **overrides})
  with config.ignore_type():
    config.rl.max_tokens, config.rl.slots = most, slots
  reward = base / 'reward.py'
  reward.write_text('def letters(completion, row):\n  return len(set(completion)) / 20\n')
  config.rewards.update({f'{reward}:letters': 1.0})  # a nano model that nobody trained is never right
  return rl.run(config, 'rl', str(workdir), {'checkpoint': str(base)})


def rows(workdir):
  return runs.rows(workdir / 'metrics.jsonl')


def weights(workdir):
  found = runs.weights(runs.newest(workdir))
  return [found[name] for name in sorted(found) if name.startswith('params')]


class Counted:
  """Tokens that samplers chose, and where a run may be stopped: `at` the so-manieth look; None: it is not."""

  def __init__(self, monkeypatch):
    self.tokens = self.looks = 0
    self.at = None
    collect = rollout.Rollout._collect

    def counted(run, *args):
      before = run.live
      out = collect(run, *args)
      self.tokens += run.live - before
      return out

    def due(grace):
      del grace
      self.looks += 1
      if self.looks == self.at:
        stopping.requested.set()
      return stopping.requested.is_set()

    monkeypatch.setattr(rollout.Rollout, '_collect', counted)
    monkeypatch.setattr(hosts, 'stop_due', due)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, base):
  workdir = tmp_path_factory.mktemp('whole')
  patch = pytest.MonkeyPatch()
  try:
    counted = Counted(patch)
    train(workdir, base)
  finally:
    patch.undo()
  return workdir, counted.looks, counted.tokens


def until_done(workdir, base, counted, at, **overrides):
  """Starts it again after each stop, `at` looks later; how many stops it took."""
  for stops in range(100):
    counted.looks, counted.at = 0, at
    stopping.requested.clear()
    try:
      train(workdir, base, **overrides)
      return stops
    except stopping.Stopped:
      pass
    finally:
      stopping.requested.clear()
  raise AssertionError('it does not get on')


@pytest.mark.parametrize('share', [0.03, 0.31, 0.55, 0.79, 0.97])
def test_stopped_once_anywhere_it_ends_the_same(whole, base, tmp_path, monkeypatch, share):
  """Between chunks and between micro-batches; what was sampled before is not sampled again."""
  one, looks, tokens = whole
  counted = Counted(monkeypatch)
  stopping.requested.clear()
  counted.at = max(1, round(share * looks))
  with pytest.raises(stopping.Stopped):
    train(tmp_path, base)
  stopping.requested.clear()
  counted.at = None
  train(tmp_path, base)
  assert counted.tokens - tokens in range(0, 200), 'the gate before the first rollout, and nothing else'
  same(one, tmp_path)


def same(one, other):
  mine, theirs = rows(one), rows(other)
  assert [r['step'] for r in theirs] == [r['step'] for r in mine] == list(range(1, 9))
  for x, y in zip(mine, theirs):
    assert x.keys() == y.keys()
    for name in x:
      if name != 'rollout/slot_use':  # of the part that was left
        near = x[name] if isinstance(x[name], (str, type(None))) else pytest.approx(x[name], rel=1e-3, abs=1e-5)
        assert y[name] == near, (x['step'], name)
  for x, y in zip(weights(one), weights(other)):
    np.testing.assert_allclose(x, y, atol=2e-5)
  texts = [[json.loads(line)['completion'] for path in sorted((of / 'samples').iterdir())
            for line in path.read_text().splitlines()] for of in (one, other)]
  assert texts[0] == texts[1] and len(texts[0]) > 8


@pytest.mark.parametrize('at', [20])
def test_stopped_again_and_again_it_gets_there(whole, base, tmp_path, monkeypatch, at):
  stops = until_done(tmp_path, base, Counted(monkeypatch), at)
  assert stops >= 2
  same(whole[0], tmp_path)


@pytest.mark.parametrize('at', [14, 17])
def test_groups_that_are_carried_over_survive_stops_in_the_middle(base, tmp_path, monkeypatch, at):
  """A checkpoint within a rollout goes on with what that rollout began with, not with what it left."""
  kw = {'rl.carry': 1, 'rl.kl_coef': 0.0}
  assert until_done(tmp_path, base, Counted(monkeypatch), at, **kw) >= 2
  assert [r['step'] for r in rows(tmp_path)] == list(range(1, 9))


def killed_at(number: int, train):
  """train(), a stage of RL that dies before it learns from rollout `number`."""
  real = rl._learn

  def dies(actor, state, minibatches, advantages, rollout_, *args):
    if rollout_.number == number:
      raise KeyboardInterrupt
    return real(actor, state, minibatches, advantages, rollout_, *args)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(rl, '_learn', dies)
    with pytest.raises(KeyboardInterrupt):
      train()


def test_a_killed_run_takes_whole_rollouts_from_the_journal(whole, base, tmp_path, monkeypatch):
  """Bit for bit: the checkpoint is that of step 0, the rollouts since are read."""
  counted = Counted(monkeypatch)
  killed_at(1, lambda: train(tmp_path, base, **{'checkpoints.every': 100}))
  assert sorted(p.name for p in (tmp_path / 'rollouts').iterdir()) == ['00000000.npz', '00000001.npz']
  train(tmp_path, base)
  assert counted.tokens - whole[2] in range(0, 200)
  assert rows(tmp_path) == rows(whole[0])
  for x, y in zip(weights(whole[0]), weights(tmp_path)):
    np.testing.assert_array_equal(x, y)


def test_with_the_trainers_old_log_probs_a_stop_goes_back_to_a_whole_rollout(base, tmp_path, monkeypatch):
  """They are nowhere else: between two minibatches nothing is saved, and the journal gives the rollout again."""
  kw = {'rl.old_logps': 'trainer'}
  counted = Counted(monkeypatch)
  stopping.requested.clear()
  train(tmp_path / 'whole', base, **kw)
  learn = rl._learn

  def stops(actor, state, minibatches, advantages, rollout_, *args):
    if rollout_.number == 2 and counted.at is None:
      counted.at = counted.looks + 4  # behind the first of its two steps
    return learn(actor, state, minibatches, advantages, rollout_, *args)

  monkeypatch.setattr(rl, '_learn', stops)
  with pytest.raises(stopping.Stopped):
    train(tmp_path / 'other', base, **kw)
  stopping.requested.clear()
  assert {int(p.name) % 2 for p in (tmp_path / 'other/checkpoints').glob('[0-9]*')} == {0}
  train(tmp_path / 'other', base, **kw)
  assert rows(tmp_path / 'other') == rows(tmp_path / 'whole')


def test_checkpoints_come_by_the_clock_too(base, tmp_path):
  """Between minibatches as well as between rollouts."""
  train(tmp_path, base, **{'checkpoints.every': 1000, 'checkpoints.minutes': 0.0, 'checkpoints.keep': 100})
  assert {int(p.name) for p in (tmp_path / 'checkpoints').glob('[0-9]*')} == set(range(1, 9))


@pytest.mark.parametrize('bad, stopped', [((2,), False), ((1, 2, 3), False), ((3, 4, 5, 6), True)])
def test_updates_that_are_not_finite_are_skipped_and_then_stop_the_run(base, tmp_path, monkeypatch, bad, stopped):
  """More than rl.bad_steps=3 in a row; the minibatch is kept, and so are the weights."""
  judged, at = POLICY.judged, [0]

  def poisoned(self, *args):
    at[0] += 1
    found = judged(self, *args)
    if at[0] not in bad and not (stopped and at[0] == 7):  # when it is asked for what is kept
      return found
    return [(T, rows_._replace(advantages_R=rows_.advantages_R * np.nan)) for T, rows_ in found]

  monkeypatch.setattr(POLICY, 'judged', poisoned)
  if stopped:
    with pytest.raises(RunStopped, match=r'4 in a row; the last one learned from .*bad_minibatch_6\.npz'):
      train(tmp_path, base)
    with np.load(tmp_path / 'bad_minibatch_6.npz') as kept:
      assert np.isnan(kept['0/advantages_R']).any() and kept['prompts/tokens'].shape[0] == 3
  else:
    train(tmp_path, base)
    found = rows(tmp_path)
    assert [int(r['step']) for r in found if r['update/skipped']] == list(bad)
    assert all(np.isfinite(x).all() for x in weights(tmp_path))


def test_the_schedule_of_lengths_is_followed(base, tmp_path):
  train(tmp_path, base, **{'rl.max_tokens': ((0, 6), (4, 24))})
  found = {r['step']: r for r in rows(tmp_path)}
  longest = lambda step: max(json.loads(line)['tokens'] for line in pathlib.Path(
      tmp_path / f'samples/step_{step:08d}.jsonl').read_text().splitlines())
  assert longest(2) <= 6 and longest(4) <= 6 < max(longest(6), longest(8)) <= 24
  assert found[1]['length/tokens'] <= 6 and found[1]['length/truncated'] > found[8]['length/truncated']


def test_a_model_too_short_for_the_schedules_end_is_an_error_before_anything(base, tmp_path):
  most = zoo.get('nano').max_length
  with pytest.raises(Exception, match='max_length'):
    train(tmp_path, base, **{'rl.max_tokens': ((0, 6), (4, most))})


@pytest.mark.parametrize('steps, wanted', [
    ((4, 5), ['rollout', 'rollout', 'begins', 'rollout', 'written', 'rollout']),  # a rollout lies between them
    ((3, 3), ['rollout', 'begins', 'rollout', 'written', 'rollout', 'rollout'])])  # the first of its rollout
def test_a_trace_is_of_its_steps_and_what_lies_between(base, tmp_path, monkeypatch, steps, wanted):
  """Of two steps a rollout; it is written before the next rollout begins."""
  said, sample = [], POLICY.sample
  monkeypatch.setattr(rl.profile, 'steps', steps)
  monkeypatch.setattr(rl.profile.jax.profiler, 'start_trace', lambda *_: said.append('begins'))
  monkeypatch.setattr(rl.profile.jax.profiler, 'stop_trace', lambda: said.append('written'))
  monkeypatch.setattr(POLICY, 'sample', lambda *args, **kw: (said.append('rollout'), sample(*args, **kw))[1])
  train(tmp_path, base)
  assert said == wanted


def test_other_slots_on_the_way_change_no_number(whole, base, tmp_path, monkeypatch):
  """A schedule of them: each rollout takes the sampler of its step, and says what it would with any."""
  taken, sampler_of = [], POLICY._entry

  def noted(actor, number):
    taken.append((number, sampler_of(actor, number).slots))
    return sampler_of(actor, number)

  monkeypatch.setattr(POLICY, '_entry', noted)
  train(tmp_path, base, **{'rl.slots': ((0, 4), (3, 8))})
  assert sorted(set(taken)) == [(0, 4), (1, 4), (2, 8), (3, 8)]
  same(whole[0], tmp_path)
