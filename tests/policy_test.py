"""r1jax.stages.policy, rl: what is asked and in which order, what is counted, and that no loop compiles anything."""

import json
import pathlib

import jax
import numpy as np
import pytest

from r1jax import metrics
from r1jax.data import corpus
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import checkpoint
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import batches
from r1jax.stages import common
from r1jax.stages import monitor
from r1jax.stages import policy
from r1jax.stages import record
from r1jax.stages import rl
from r1jax.types import Completion, Request, RunStopped

import runs

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures('one_device')
SMALL = {
    'rl.task.size': 64, 'rl.steps': 6, 'rl.groups': 3, 'rl.minibatches': 1, 'rl.samples': 4, 'rl.max_tokens': 24,
    'rl.micro_tokens': 48, 'rl.slots': 4, 'rl.ref_every': 2, 'rl.eval_every': 0, 'checkpoints.every': 2,
}
COMPILED = '/jax/core/compile/backend_compile_duration'  # also of what then comes from the cache on disk


def small_config(**overrides):
  return runs.experiment('r1_zero', 'tiny', **{**SMALL, **overrides})


@pytest.fixture(scope='module')
def base(tmp_path_factory, nano):
  return untrained(tmp_path_factory.mktemp('base'), *nano)


def untrained(path, model, params):
  """What a stage leaves, of a model that was never trained; many a token ends its answers, so that lengths differ."""
  config = small_config()
  texts = [row['question'] for row in tasks.load(
      config.rl.task.source, size=64, seed=1, split='train', params=config.rl.task.params.to_dict())]
  pieces = prompts.fixed_parts(config.rl.template) + corpus.whole_pieces()
  common.save_model(str(path), model, tokenizer_lib.train(texts, str(path / 'pieces'), vocab_size=300, pieces=pieces))
  (path / 'tokenizer_r1jax.json').write_text(json.dumps({'eos_ids': [2, *range(450, 510)], 'pad_id': 0}))
  checkpoint.save_params(str(path), params, {})
  return path


@pytest.fixture(scope='module')
def run(tmp_path_factory, base):
  """(the policy of a whole stage, its work dir, programs that were compiled in each rollout, the lengths in each)."""
  made, compiled, lengths, now = [], [], [], [0]

  class Noted(policy.Policy):

    def __init__(self, *args):
      super().__init__(*args)
      made.append(self)

    def sample(self, *args):
      batch = super().sample(*args)
      lengths.append([len(x.tokens) for x in batch.completions])
      return batch

  def count(name, seconds, **kw):
    del seconds, kw
    now[0] += name == COMPILED

  def write(self, *args):
    written(self, *args)
    compiled.append(now[0])
    now[0] = 0

  patch = pytest.MonkeyPatch()
  written = record.Record.write
  patch.setattr(policy, 'Policy', Noted)
  patch.setattr(record.Record, 'write', write)
  jax.monitoring.register_event_duration_secs_listener(count)
  workdir = tmp_path_factory.mktemp('rl')
  try:
    rl.run(small_config(), 'rl', str(workdir), {'checkpoint': str(base)})
  finally:
    patch.undo()
    jax._src.monitoring.unregister_event_duration_listener(count)
  return made[0], workdir, compiled, lengths


def test_nothing_is_compiled_after_the_first_rollout(run):
  """Buckets of the cache and of the update, checkpoints and a new reference included."""
  _, workdir, compiled, lengths = run
  assert len(compiled) == 6 and compiled[1:] == [0] * 5
  assert len({tuple(sorted(of)) for of in lengths}) > 1 and len({n for of in lengths for n in of}) > 6
  assert [row['step'] for row in metrics.read(workdir / 'metrics.jsonl')] == [1, 2, 3, 4, 5, 6]


def test_the_reference_is_renewed_as_often_as_asked(run):
  """Right after it, the policy is its own reference: to rounding, as on some CPUs the two passes are compiled otherwise,
  and log-probs that lie 1e-7 apart have a k3 of 5e-15."""
  _, workdir, _, _ = run
  kl = [row['kl/nats_per_token'] for row in metrics.read(workdir / 'metrics.jsonl')]
  assert all(own < 1e-13 for own in kl[::2]) and any(other > 1e-8 for other in kl[1::2]), kl


@pytest.mark.parametrize('kept', [{'rl.ref_dtype': 'bfloat16'}, {'rl.ref_dtype': 'bfloat16', 'rl.old_logps': 'trainer'},
                                  {'rl.ref_dtype': 'bfloat16', 'rl.ref_memory': 'host'}])
def test_the_reference_may_be_kept_smaller_or_elsewhere(base, tmp_path, kept):
  """In bfloat16 it is another policy by as much as rounding makes; on the host it is the same."""
  config = small_config(**{'rl.steps': 2, 'rl.kl_coef': 0.1, 'rl.ref_every': 0, **kept})
  rl.run(config, 'rl', str(tmp_path), {'checkpoint': str(base)})
  found = [row['kl/nats_per_token'] for row in metrics.read(tmp_path / 'metrics.jsonl')]
  assert len(found) == 2 and all(0 < kl < 1e-2 for kl in found), found


def test_questions_that_nobody_knows_come_first_and_then_the_long_ones(run, monkeypatch):
  actor, *_ = run
  carried = Request(1000, actor._encoded[5], (4000, 4001, 4002, 4003))
  for name, value in (('_lengths', {0: 3.0, 1: 9.5, 3: 9.0}), ('_carried', [carried]), ('_row_of', {1000: 5})):
    monkeypatch.setattr(actor, name, value)
  found = actor.requests(np.array([0, 3, 2]), 7) + actor.requests(np.array([1, 4, 0]), 8)[1:]
  assert [r.group for r in found] == [1000, 23, 22, 21, 25, 24, 26]
  assert [actor._row_of[r.group] for r in found] == [5, 2, 3, 0, 4, 1, 0]
  for request in found[1:]:
    np.testing.assert_array_equal(request.prompt, actor._encoded[actor._row_of[request.group]])
  samples = [number for request in found[1:] for number in request.samples]
  assert len(set(samples)) == 6 * 4 and min(samples) == 21 * 4  # a number each, whenever it is asked
  assert actor.rows_of(found, list('abcdef')) == {1000: 'f', 23: 'c', 22: 'd', 21: 'a', 25: 'e', 24: 'b', 26: 'a'}


def test_lengths_are_known_again_after_a_restart(run, base, tmp_path):
  """They decide the order, and so how the slots are used."""
  actor, workdir, _, lengths = run
  kept = sorted(p.name for p in (workdir / 'carried').iterdir())
  assert kept == ['00000002.json', '00000004.json', '00000006.json']
  for place in kept:
    (tmp_path / place).write_text((workdir / 'carried' / place).read_text())
  other = object.__new__(policy.Policy)
  other._encoded, other.choices = actor._encoded, actor.choices
  other.restore_carried(str(tmp_path), 4)
  assert len(other._lengths) == 12 and sorted(other._lengths.values()) == sorted(
      float(np.mean(of[i:i + 4])) for of in lengths[:4] for i in range(0, 12, 4))
  assert other._carried == [] and not (tmp_path / '00000006.json').exists()  # it comes again


def test_what_is_kept_beside_checkpoints_does_not_grow(run, tmp_path):
  actor, *_ = run
  for number in range(1, 8):
    actor.save_carried(str(tmp_path), number)
  assert sorted(int(p.stem) for p in tmp_path.iterdir()) == [4, 5, 6, 7]  # checkpoints.keep and the one under way


def test_a_group_stays_whole_and_every_minibatch_has_other_groups(run):
  actor, *_ = run
  counts = (1, 9, 24, 3, 8, 8, 2, 5, 24, 20, 17, 16)
  said = [Completion(np.full(n, 7, np.int32), np.zeros(n, np.float32), True) for n in counts]
  batch = batches.Batch([3, 4, 5], [0, 1, 2], actor._encoded[:3], said, 0.5, 40)
  state = actor.training.fresh(common.load_params(actor._sampler._model, checkpoint.find(str(run[1]))[1], actor._mesh))
  clock = metrics.Clock()
  (part,) = actor.minibatches(batch, 0, state, clock)
  order = np.random.default_rng([0, 0]).permutation(3)
  seen = {}
  for T, rows, numbers in part.micro_batches:
    lengths = np.asarray(rows.lengths_R)
    assert lengths[:len(numbers)].tolist() == [counts[b] for b in numbers] and not lengths[len(numbers):].any()
    assert max(lengths) <= T and rows.tokens_RxT.shape == (48 // T, T)
    seen |= {b: order[k] for b, k in zip(numbers, np.asarray(rows.prompt_R).tolist())}
  assert seen == {b: b // 4 for b in range(12)}  # each output follows its own group's prompt
  facts = actor.facts(batch, [part])
  assert list(clock.lap()) == ['other', 'reference'] and facts['rollout/slot_use'] == 0.5
  positions = part.prompts.tokens_NxP.size + sum(rows.tokens_RxT.size for _, rows, _ in part.micro_batches)
  real = sum(counts) + sum(map(len, actor._encoded[:3]))
  assert facts['rollout/tokens'] == 137 and facts['update/tokens'] == real
  assert facts['update/token_use'] == pytest.approx(real / positions) and positions == part.positions


def test_the_gate_stops_a_sampler_that_runs_another_model(run, monkeypatch):
  """Before a rollout, of no more completions than there are slots."""
  actor, workdir, _, _ = run
  state = actor.training.fresh(common.load_params(actor._sampler._model, checkpoint.find(str(workdir))[1], actor._mesh))
  asked, stop_if_apart = [], monitor.stop_if_apart
  monkeypatch.setattr(monitor, 'stop_if_apart', lambda *args: asked.append(args) or stop_if_apart(*args))
  actor.stop_if_apart(state)
  kl, beyond, tokens, limit = asked[0]
  assert 0 <= kl < 1e-6 and beyond == 0 and limit == 5e-4
  assert 4 <= tokens <= 4 * 24  # a group in the four slots
  other = jax.tree.map(lambda x: 1.3 * x, state.params)
  whole = sampler_lib.Sampler.__call__
  monkeypatch.setattr(sampler_lib.Sampler, '__call__', lambda self, params, *args, **kw: whole(self, other, *args, **kw))
  with pytest.raises(RunStopped, match='do not run the same model'):
    actor.stop_if_apart(state)
