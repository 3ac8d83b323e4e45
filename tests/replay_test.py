"""rl.moe_replay: the sampler's experts are kept with what it says, and the trainer sends tokens to them again."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import packing
from r1jax.engine import params as params_lib
from r1jax.engine import rollout
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import slots as slots_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.models import attention
from r1jax.models import moe
from r1jax.models import zoo
from r1jax.models.decoder import split_layers
from r1jax.stages import rl
from r1jax.types import Prompts, Request, UserError

import interrupted_test
import policy_test
import update_test

LENGTHS, G, T, P = (5, 3, 4, 5), 2, 12, 6
N = len(LENGTHS)
ASKED = [np.random.default_rng(n).integers(3, 512, length).astype(np.int32) for n, length in enumerate(LENGTHS)]
REQUESTS = [Request(i, ids, (2 * i, 2 * i + 1)) for i, ids in enumerate(ASKED)]


def model_of(dtype='float32'):
  return zoo.build(zoo.get('nano-deepseek', layers=3, dtype=dtype))


def nano(dtype='float32'):
  """(model, params) whose router is sure of little: choices differ where weights do."""
  model = model_of(dtype)
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params_lib.init(model, 0))
  return model, params


def other_bias(params):
  """The same function of tokens and experts, other experts chosen: the bias weighs nothing."""
  block = params['moe_blocks']
  bias = jax.random.normal(jax.random.key(1), block['moe']['router_bias'].shape)
  return {**params, 'moe_blocks': {**block, 'moe': {**block['moe'], 'router_bias': bias}}}


@functools.cache
def sampler_of(resume=False, dtype='float32', slots=5):
  one = mesh_lib.create({}, jax.devices()[:1])
  return sampler_lib.Sampler(model_of(dtype), one, slots=slots, samples=G, max_prompt=P, max_tokens=T,
                             eos_ids=tuple(range(32)), pad_id=0, steps=4, choices=True, resume=resume).compile()


class Sampled:
  """What a sampler of these weights says to REQUESTS, on the host."""

  def __init__(self, params, sampler=None, requests=REQUESTS):
    run = (sampler or sampler_of())(params, requests, jax.random.key(0))
    said = dict(run)
    self.completions = [c for i in range(N) for c in said[i]]
    self.prompts = [run.choices[i] for i in range(N)]
    self.order = np.argsort([-len(c.tokens) for c in self.completions], kind='stable')  # of the rows of a micro-batch


@functools.cache
def other():
  return Sampled(other_bias(nano()[1]))


def config(**changes):
  return update_test.numbers(**{**dict(T=T, P=P, groups=N, samples=G, temperature=1.0, kl_coef=0.0, moe_replay=True),
                                **changes})


def batch(said, choices, rows=N * G):
  """(Prompts, micro-batches of so many rows) on the host, advantages of +1 and -1."""
  tokens, lengths = slots_lib.padded(ASKED, N, P, 0)
  prompts = Prompts(tokens, lengths, trainings.chosen(said.prompts, tokens.shape, choices) if choices else None)
  shape, out = packing.Shape(rows, T), []
  for size, some in packing.micro_batches([len(x.tokens) for x in said.completions], {T: shape}):
    del size
    out.append(trainings.outputs([said.completions[b] for b in some], [b // G for b in some],
                                 [1.0 - 2 * (b % G) for b in some], shape, 0, reference=False, choices=choices))
  return prompts, out


@jax.jit
def forward(params, prompts, rows):
  """(log-probs [R, T] of the trainer, the experts [R, T, L, k] that it sends tokens to)."""
  apply = model_of().apply
  call, seen = moe.choosing(moe.replaying(apply, rows.choices_RxTxLxk))
  prefix = slots_lib.prefill(apply, params, prompts)
  logps, _ = objective.completion_logps(call, params, prefix, rows.tokens_RxT, rows.lengths_R, rows.prompt_R,
                                        temperature=1.0)
  return logps, seen[0]


@jax.jit
def metrics_of(params, prompts, rows):
  model = model_of()
  prefix = slots_lib.prefill(model.apply, params, prompts)
  return {k: update.value(m) for k, m in objective.grpo_loss(model.apply, config(), experts=True)(
      params, prefix, rows)[2].items()}


def seen_by_trainer(said, replay):
  """[B] of (the gap of log-probs [n], experts [n, L, k]) in completion order."""
  model, params = nano()
  prompts, (rows,) = batch(said, model.choices() if replay else None)
  logps, experts = map(np.asarray, forward(params, prompts, rows))
  row_of = np.argsort(said.order)
  return [((logps[r] - rows.sampler_RxT[r])[:len(c.tokens)], experts[r][:len(c.tokens)])
          for r, c in zip(row_of, said.completions)]


def step(model, params, said, choices, rows=N * G):
  """(loss, its gradient, metrics) of a minibatch by the parts of a step, in the dtype of `params`."""
  prompts, micro_batches = batch(said, choices, rows)
  loss_fn = objective.grpo_loss(model.apply, config(), experts=True)

  @jax.jit
  def first(params):
    prefix, metrics = slots_lib.prefill(model.apply, params, prompts), None
    metrics = jax.eval_shape(loss_fn, params, prefix, micro_batches[0])[2]
    zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)), tree)
    return prefix, update.Sums(zeros(params), zeros(prefix), *jnp.zeros(2), zeros(metrics))

  prefix, sums = first(params)
  add = jax.jit(lambda *args: update.gradient(loss_fn, *args))
  for part in micro_batches:
    sums = add(params, sums, prefix, part)
  sums = jax.jit(lambda p, sums: update.prompt_gradient(model.apply, p, sums, prompts))(params, sums)
  return (float(sums.numerator / sums.denominator), jax.tree.map(lambda g: np.asarray(g / sums.denominator), sums.grads),
          {name: np.asarray(update.value(m)) for name, m in sums.metrics.items()}, len(micro_batches))


@pytest.mark.parametrize('experts, dtype, size', [(8, np.uint8, 1), (256, np.uint8, 1), (257, np.uint16, 2)])
def test_a_choice_takes_a_byte_as_long_as_a_byte_will_do(experts, dtype, size):
  assert moe.id_dtype(experts) == dtype and moe.id_dtype(experts).itemsize == size
  assert np.array(experts - 1).astype(moe.id_dtype(experts)) == experts - 1


def test_choices_come_with_what_is_said():
  """Of every token: distinct experts that there are; of the last one, behind which nothing follows, none."""
  model, _ = nano()
  (layers, k), dtype = model.choices()
  for ids, prompt in zip(ASKED, other().prompts):
    assert prompt.shape == (len(ids), layers, k) and prompt.dtype == dtype == np.uint8
  for c in other().completions:
    assert c.choices.shape == (len(c.tokens), layers, k) and c.choices.dtype == np.uint8
    assert (c.choices[-1] == 0).all() and (c.choices < model.config.experts).all()
    assert (np.diff(np.sort(c.choices[:-1], axis=-1), axis=-1) > 0).all()
  assert zoo.build(zoo.get('nano')).choices() is None


def test_what_is_kept_does_not_depend_on_slots():
  for a, b in zip(other().completions, Sampled(other_bias(nano()[1]), sampler_of(resume=True, slots=8)).completions):
    np.testing.assert_array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.choices, b.choices)


@pytest.mark.parametrize('shape', [{'fsdp': 2, 'expert': 2},
                                   pytest.param({'data': 2, 'tensor': 2}, marks=pytest.mark.slow)])
def test_on_a_mesh_they_go_there_too(shape):
  model, params = nano()
  prompts, (rows,) = batch(other(), model.choices())
  mesh = mesh_lib.create(shape, jax.devices()[:4])
  with mesh_lib.use_mesh(mesh):
    logps, experts = forward(params, *mesh_lib.put((prompts, rows), mesh))
  for r, b in enumerate(other().order):
    c = other().completions[b]
    n = len(c.tokens)
    np.testing.assert_array_equal(np.asarray(experts)[r][:n - 1], c.choices[:n - 1])
    np.testing.assert_allclose(np.asarray(logps)[r][:n], c.logps, atol=1e-4)


def test_layers_in_a_stack_and_apart_choose_the_same():
  """A sampler on TPU has them in a stack, elsewhere apart: prefill and a decode step."""
  model, params = nano()
  prompts, found = Prompts(*slots_lib.padded(ASKED, N, P, 0)), []
  for apart in (False, True):
    weights = split_layers(model, params) if apart else params

    @jax.jit
    def both(weights, apart=apart):
      _, prefilled = slots_lib.prefill_choosing(model.apply, weights, prompts)
      call, seen = moe.choosing(model.apply)
      step = attention.Step(jnp.zeros(N, jnp.int32), jnp.int32(0), jnp.ones(N, bool))
      call({'params': weights}, prompts.tokens_NxP[:, 0], jnp.zeros(N, jnp.int32), model.empty_cache(N, 8, apart=apart),
           model.empty_cache(N, 4, apart=apart).kv, step, method='decode')
      return prefilled, seen[0]

    found.append(both(weights))
  np.testing.assert_array_equal(found[0][0], found[1][0])
  np.testing.assert_array_equal(found[0][1], found[1][1])
  np.testing.assert_array_equal(found[0][1][:, 0], found[0][0][:, 0])  # a prompt's first token, decoded by itself


def test_the_trainer_sends_tokens_where_the_sampler_sent_them():
  """With a replay exactly there, and the gap is closed, as the bias weighs nothing; without one often elsewhere."""
  replayed, own, differ = seen_by_trainer(other(), True), seen_by_trainer(other(), False), []
  for c, (_, experts), (_, theirs) in zip(other().completions, replayed, own):
    n = len(c.tokens) - 1
    np.testing.assert_array_equal(experts[:n], c.choices[:n])
    differ.append(np.any(np.sort(theirs[:n], -1) != np.sort(c.choices[:n], -1), axis=-1).ravel())
  assert np.concatenate(differ).mean() > 0.2
  gap = lambda of: np.abs(np.concatenate([gap for gap, _ in of]))
  assert gap(own).mean() > 1e-2 and gap(replayed).max() < 1e-4


def test_replayed_choices_shrink_the_gap_of_a_sampler_in_bfloat16():
  half = Sampled(nano()[1], sampler_of(dtype='bfloat16'))
  own, replayed = (np.mean(np.abs(np.concatenate([gap for gap, _ in seen_by_trainer(half, replay)])))
                   for replay in (False, True))
  assert replayed < 0.9 * own, (replayed, own)


def test_with_the_samplers_own_weights_a_replay_changes_nothing():
  """In float64: loss, every leaf of the gradient, the load; and no token would have gone elsewhere."""
  with jax.enable_x64(True):
    model, params = nano('float64')
    params = jax.tree.map(lambda x: x.astype(jnp.float64), params)
    one = mesh_lib.create({}, jax.devices()[:1])
    same = Sampled(params, sampler_lib.Sampler(model, one, slots=8, samples=G, max_prompt=P, max_tokens=T, eos_ids=(1,),
                                               pad_id=0, choices=True).compile())
    loss, grads, means, _ = step(model, params, same, None)
    again, same_grads, same_means, _ = step(model, params, same, model.choices())
  assert same_means.pop('mismatch/routed_otherwise') == 0
  assert again == pytest.approx(loss, abs=1e-9) and set(means) == set(same_means)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), grads, same_grads)
  np.testing.assert_array_equal(means['experts/load'], same_means['experts/load'])
  moved = [np.abs(g).max() for g in (grads['moe_blocks']['moe']['router'], grads['moe_blocks']['moe']['gate'])]
  assert min(moved) > 1e-6  # the router learns through its weights


@pytest.mark.slow  # half a minute of compiling
def test_a_replay_does_not_depend_on_how_outputs_are_cut_up():
  model, params = nano()
  whole, cut = (step(model, params, other(), model.choices(), rows) for rows in (N * G, 2))
  assert (whole[3], cut[3]) == (1, N * G // 2)
  assert cut[0] == pytest.approx(whole[0], abs=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), cut[1], whole[1])
  assert cut[2]['mismatch/routed_otherwise'] == pytest.approx(whole[2]['mismatch/routed_otherwise'])
  assert 0.2 < whole[2]['mismatch/routed_otherwise'] < 1


def test_the_gradient_goes_through_the_routers_scores_at_the_replayed_experts():
  """By hand: two of four experts, normalised; the others' columns have no gradient."""
  scores = jnp.array([[0.9, 0.8, 0.2, 0.1]])
  total = lambda s: moe.weigh(s, jnp.array([[3, 2]]), scaling=2.0, normalise=True)[0, 0]
  assert float(total(scores)) == pytest.approx(2 * 0.1 / 0.3)
  np.testing.assert_allclose(jax.grad(total)(scores), [[0, 0, -2 * 0.1 / 0.09, 2 * 0.2 / 0.09]], rtol=1e-5)


def test_the_bias_is_moved_by_what_the_router_chooses_itself():
  """Replayed choices cannot follow the bias: it would be moved the same way at every minibatch of a rollout."""
  model, params = nano()
  prompts, (rows,) = batch(other(), model.choices())
  load = np.asarray(metrics_of(params, prompts, rows)['experts/load'])
  count = lambda layer, of: np.bincount(np.concatenate(
      [experts[:len(c.tokens) - 1, layer].ravel() for c, experts in zip(other().completions, of)]), minlength=8)
  sent = np.stack([count(layer, [c.choices for c in other().completions]) for layer in range(2)])
  assert load.sum() == sent.sum() and np.abs(load - sent).sum() > 0.1 * sent.sum()
  # What the first layer is given is the same with a replay and without one.
  np.testing.assert_array_equal(load[0], count(0, [experts for _, experts in seen_by_trainer(other(), False)]))


def test_beginnings_go_on_as_they_began():
  """Under other weights the beginning is prefilled again, and goes where it went; so does a prompt that was computed
  before. A token has one choice then, which all behind it have seen and the trainer replays."""
  cut = []
  for r in REQUESTS:
    some = [(c, min(2, len(c.tokens) - 1)) for c in other().completions[r.group * G:][:G]]
    cut_off = lambda x: np.concatenate([x[:-1], 0 * x[-1:]])  # as a lower limit leaves it
    begun = tuple(c._replace(tokens=c.tokens[:n], logps=c.logps[:n], choices=cut_off(c.choices[:n]), stopped=False)
                  if n else None for c, n in some)
    cut.append(r._replace(begun=begun, choices=other().prompts[r.group]))
  begun = [c for r in cut for c in r.begun]
  assert any(begun)
  on = Sampled(nano()[1], sampler_of(resume=True, slots=8), cut)
  for r, prompt in zip(cut, on.prompts):
    np.testing.assert_array_equal(prompt, r.choices)
  for before, after in zip(begun, on.completions):
    if before:
      n = len(before.tokens) - 1  # nothing had followed the last one
      np.testing.assert_array_equal(after.choices[:n], before.choices[:n])
      np.testing.assert_array_equal(after.logps[:len(before.tokens)], before.logps)
  # Of the tokens that these weights have chosen.
  replayed, own = (np.abs(np.concatenate([gap[len(c.tokens) if c else 0:] for c, (gap, _) in zip(
      begun, seen_by_trainer(on, replay))])).max() for replay in (True, False))
  assert replayed < 1e-4 and own > 1e-3, (replayed, own)


def test_a_dense_model_is_refused():
  model = zoo.build(zoo.get('nano'))
  with pytest.raises(UserError, match="family 'dense'. has no experts to be replayed: set moe_replay=False"):
    trainings.replayed(config(), model)
  assert trainings.replayed(types.SimpleNamespace(get=lambda key: False), model) is None


# --- a stage


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  return policy_test.untrained(tmp_path_factory.mktemp('base'), *nano())


@pytest.fixture
def stage(base, monkeypatch, one_device):
  """Trains in a directory; its sampler has another bias, so that its experts are others."""
  call = sampler_lib.Sampler.__call__
  monkeypatch.setattr(sampler_lib.Sampler, '__call__', lambda self, params, *args, **kw: call(
      self, other_bias(params), *args, **kw))
  monkeypatch.setattr(rl.policy, 'Policy', interrupted_test.made_once)
  return lambda workdir, **kw: interrupted_test.train(workdir, base, **{
      'rl.steps': 6, 'rl.max_tokens': 16, 'rl.micro_tokens': 64, 'rl.moe_replay': True, 'checkpoints.every': 2,
      'rl.kl_coef': 0.0, 'rl.ref_every': 0, **kw})


@pytest.mark.slow  # half a minute of compiling
def test_the_gate_sees_what_the_update_sees(stage, tmp_path):
  """A sampler whose experts are others is no other policy to a trainer that replays them; without a replay it is one,
  and a run would stop there."""
  stage(tmp_path, **{'rl.steps': 2, 'rl.old_logps': 'trainer', 'rl.kl_coef': 0.1})
  first = interrupted_test.rows(tmp_path)[0]
  assert first['mismatch/routed_otherwise'] > 0.2 and first['mismatch/kl_nats_per_token'] < 1e-8
  assert first['kl/nats_per_token'] > 5e-4  # the reference is a policy of its own, whose router chooses


@pytest.mark.parametrize('given', [{'rl.carry': 1}, pytest.param({}, marks=pytest.mark.slow),
                                   pytest.param({'rl.carry': 1, 'lora.rank': 2}, marks=pytest.mark.slow)], ids=str)
def test_choices_survive_a_kill(stage, tmp_path, monkeypatch, given):
  """Bit for bit: those of whole rollouts in the journal, those of groups that were carried over beside a checkpoint;
  with adapters, too."""
  stage(tmp_path / 'whole', **given)
  interrupted_test.killed_at(2, lambda: stage(tmp_path / 'killed', **given))
  with np.load(tmp_path / 'killed' / 'rollouts' / '00000002.npz') as kept:
    assert len(kept['choices']) == len(kept['tokens']) and len(kept['prompt_choices']) == len(kept['prompts'])
  sampled = []
  monkeypatch.setattr(rollout.Rollout, '_collect', lambda run, *args: sampled.append(run))
  stage(tmp_path / 'killed', **given)
  assert not sampled  # it is all in the journal
  assert interrupted_test.rows(tmp_path / 'killed') == interrupted_test.rows(tmp_path / 'whole')
  for x, y in zip(interrupted_test.weights(tmp_path / 'whole'), interrupted_test.weights(tmp_path / 'killed')):
    np.testing.assert_array_equal(x, y)
