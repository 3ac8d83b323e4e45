"""r1jax.plan.run: lengths, slots and a whole run, by hand and against the rollout itself."""

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import packing
from r1jax.engine import sampler as sampler_lib
from r1jax.models import zoo
from r1jax.plan import chips, roofline, run
from r1jax.types import Request, UserError

MESH = {'data': 1, 'fsdp': 1, 'tensor': 1, 'expert': 1}


def test_lengths_are_as_asked():
  assert run.lengths('', 4096) == (2048.0, 1.0, 4096) and run.lengths('300', 4096) == (300.0, 1.0, 4096)
  assert run.lengths('300:0.25', 4096) == (300.0, 0.25, 4096)
  for text in ('x', '300:wide', '5000', '300:-1', '0.5'):
    with pytest.raises(UserError, match='--lengths'):
      run.lengths(text, 4096)


def test_quantiles_have_the_mean_after_the_cut_and_no_order():
  found = run.quantiles(8192, run.Lengths(4803, 1.0, 32768))
  assert abs(found.mean() - 4803) < 1 and found.max() == 32768 and found.min() >= 1
  assert abs(np.median(found) / 3000 - 1) < 0.01  # exp(mu) of that mean: ../shared/faults/engine_and_pods.md, section 3
  assert (found == run.quantiles(8192, run.Lengths(4803, 1.0, 32768))).all()
  parts = found.reshape(16, 512).mean(axis=1)
  assert np.abs(parts / 4803 - 1).max() < 0.1
  assert (run.quantiles(7, run.Lengths(20, 0.0, 48)) == 20).all()


def test_slots_by_hand():
  """Three outputs in two rows; a chunk ends when one has ended and another waits."""
  chunks = []
  at_once = run.through_slots(np.array([3, 1, 2]), rows=2, chunk=4, ahead=0, step=lambda *chunk: chunks.append(chunk))
  assert chunks == [(1, 2, 1.0, 1), (2, 2, 3.0, 3)]  # 1 step of two rows; then tokens 1 and 0, two more steps of both
  assert at_once == (3, 6, 2) and at_once.slot_use(2) == 1.0
  late = run.through_slots(np.array([3, 1, 2]), rows=2, chunk=4, ahead=1, step=lambda *_: None)
  assert late == (5, 6, 2) and late.slot_use(2) == 0.6  # the freed row is seen a chunk later
  alone = run.through_slots(np.array([9]), rows=4, chunk=4, ahead=1, step=lambda *_: None)
  assert alone == (9, 9, 1)
  nothing_lost = run.through_slots(run.quantiles(500, run.Lengths(30, 1.0, 200)), rows=32, chunk=16, ahead=1,
                                   step=lambda *_: None)
  assert nothing_lost.live == run.quantiles(500, run.Lengths(30, 1.0, 200)).sum()


def test_waves_by_hand():
  waves = []
  found = run.in_waves(np.array([3, 1, 2, 2, 5]), rows=2, step=lambda *wave: waves.append(wave))
  assert waves == [(3, 2, 3.0, 3), (2, 2, 2.0, 2), (5, 1, 2.5, 5)]
  assert found == (10, 13, 3) and found.slot_use(2) == 0.65


def test_slots_are_played_as_a_rollout_fills_them(nano, one_device):
  """The nano model's own completions, ended by any of many tokens: steps and live rows of the rollout itself."""
  model, params = nano
  mesh = mesh_lib.create({'data': 1})
  sampler = sampler_lib.Sampler(model, mesh, slots=6, samples=2, max_prompt=8, max_tokens=24, eos_ids=tuple(range(40)),
                                pad_id=0, steps=4)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    requests = [Request(i, np.arange(1, 4 + i % 3, dtype=np.int32), (2 * i, 2 * i + 1)) for i in range(10)]
    played = sampler.compile()(params, requests, jax.random.key(3))
    said = dict(played)
  lengths = np.array([len(completion.tokens) for i in range(10) for completion in said[i]])
  assert len(set(lengths.tolist())) > 5
  found = run.through_slots(lengths, rows=6, chunk=4, ahead=0, step=lambda *_: None)
  assert (found.steps, found.live) == (played.steps, played.live) and found.slot_use(6) == played.slot_use


def stage(**values):
  """A tiny stage of nano: two minibatches of two groups of four, all prompts of 8 tokens."""
  c = ConfigDict(dict(groups=2, samples=4, minibatches=2, steps=20, max_tokens=64, kl_coef=0.001, old_logps='sampler',
                      epochs=1, dynamic_tries=0))
  shapes = packing.shapes(64, tokens=256, shards=1, multiple=8)
  return run.Stage(**{**dict(
      c=c, sizes=roofline.sizes_of(zoo.get('nano'), MESH), where=chips.topology('v5e:1x1'), remat=False, moment_bytes=4,
      shapes=shapes, slots=8, chunk=16, prompts=2, width=8, buckets=(32, 88), kernel=True, reward_models=(),
      verdict_seconds=0.0, rollouts=10), **values})


def test_parts_of_a_run_add_up():
  """A schedule of lengths: what each part takes is its own, days are all of them."""
  short, long = (run.of_stage(stage(rollouts=n), run.Lengths(most / 2, 0.0, most)) for n, most in ((8, 32), (2, 64)))
  found = run.together([short, long])
  assert found['rollouts'] == 10 and found['seconds'] == long['seconds'] and found['parts'] == [short, long]
  assert short['days'] < 4 * long['days']  # four times as many rollouts, of half the length
  assert found['days'] == short['days'] + long['days']
  assert found['static']['chip_hours'] == short['static']['chip_hours'] + long['static']['chip_hours']


def test_a_run_of_equal_lengths_by_hand():
  s = stage()
  found = run.of_stage(s, run.Lengths(64 * 0.5, 0.0, 64))
  assert (found['rollouts'], found['outputs'], found['lengths']['cut']) == (10, 16, 0.0)
  # 16 outputs of 32 tokens in 8 rows: two times 32 steps; seen to be free a chunk late, all rows at once.
  assert found['decode_steps'] == 64 and found['slot_use'] == 1.0
  assert found['static']['decode_steps'] == 32  # all four groups in one wave
  rows = s.shapes[32].rows  # 8 outputs a minibatch fill one micro-batch
  assert rows == 8 and found['token_use'] == 1.0 and found['static']['token_use'] == 0.5
  at_least = lambda work: max(roofline.seconds(work, s.where).values())
  a_step = (at_least(roofline.prompts(s.sizes, 2, 8, remat=False))
            + at_least(roofline.gradient(s.sizes, 8, 32, 8, remat=False)) + at_least(roofline.optimizer(s.sizes)))
  assert found['seconds']['update'] == pytest.approx(2 * a_step)
  static = at_least(roofline.update(s.sizes, 8, 64, 8, 2, remat=False))  # two cuts of 256 tokens: four rows of 64
  assert found['static']['seconds']['update'] == pytest.approx(2 * static)
  assert found['seconds']['total'] == pytest.approx(sum(s for name, s in found['seconds'].items() if name != 'total'))
  assert found['days'] == pytest.approx(10 * found['seconds']['total'] / 86400)
  assert found['chip_hours'] == pytest.approx(24 * found['days'])


def test_a_rollout_that_is_gone_over_twice_learns_twice_and_samples_once():
  asked, s = run.Lengths(32, 0.5, 64), stage()
  once = run.of_stage(s, asked)
  s.c.epochs, s.c.dynamic_tries = 2, 3
  twice = run.of_stage(s, asked)
  assert twice['token_use'] == once['token_use']
  for name, times in (('update', 2), ('reference', 1), ('decode', 1)):
    assert twice['seconds'][name] == pytest.approx(times * once['seconds'][name])
    if name != 'decode':
      assert twice['static']['seconds'][name] == pytest.approx(times * once['static']['seconds'][name])
  assert twice['judging_assumes'].endswith('rl.dynamic_tries=3 draws up to 3 times')
  assert 'dynamic' not in once['judging_assumes']


def test_judging_counts_where_it_does_not_hide():
  asked = run.Lengths(32, 0.5, 64)
  assert run.of_stage(stage(), asked)['seconds']['judging'] == 0.0
  slow = run.of_stage(stage(verdict_seconds=64.0), asked)
  # 16 verdicts of 64 s on 64 judges: 16 s in all, and 4 s more for the group that ends last.
  hidden = slow['seconds']['decode'] + slow['seconds']['reference']
  assert slow['seconds']['judging'] == pytest.approx(20.0 - hidden) and slow['bound'] == 'judging'
  model = run.of_stage(stage(reward_models=(run.Judge(128),)), asked)
  assert model['seconds']['judging'] > 0 and '1 reward models read all' in model['judging_assumes']
  # A language model and what it is held against: both passes, each with its vocabulary.
  implicit = run.of_stage(stage(reward_models=(run.Judge(128, implicit=True),)), asked)
  assert implicit['seconds']['judging'] >= 2 * model['seconds']['judging']


def test_without_a_reference_there_is_no_pass_for_it():
  s = stage()
  s.c.kl_coef = 0.0
  assert run.of_stage(s, run.Lengths(32, 0.5, 64))['seconds']['reference'] == 0.0
  s.c.old_logps = 'trainer'
  assert run.of_stage(s, run.Lengths(32, 0.5, 64))['seconds']['reference'] > 0.0


def test_a_longer_tail_costs_the_static_way_more():
  short, long = (run.of_stage(stage(), run.Lengths(24, sigma, 64)) for sigma in (0.1, 1.0))
  gain = lambda found: found['static']['decode_steps'] / found['decode_steps']
  assert gain(long) > gain(short) and long['token_use'] > long['static']['token_use']
