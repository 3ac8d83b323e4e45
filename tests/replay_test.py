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
from r1jax.engine import slots as slots_lib
from r1jax.engine import update
from r1jax.models import moe
from r1jax.models import zoo
from r1jax.stages import rl
from r1jax.types import Prompts, Request, RunStopped, UserError

import interrupted_test
import policy_test
import update_test

LENGTHS, G, T, P = (5, 3, 4, 5), 2, 12, 6
N = len(LENGTHS)
ASKED = [np.random.default_rng(n).integers(3, 512, length).astype(np.int32) for n, length in enumerate(LENGTHS)]
REQUESTS = [Request(i, ids, (2 * i, 2 * i + 1)) for i, ids in enumerate(ASKED)]


def nano(dtype='float32'):
  """(model, params) whose router is sure of little: choices differ where weights do."""
  model = zoo.build(zoo.get('nano-deepseek', layers=3, dtype=dtype))
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
  return rollout.Sampler(nano(dtype)[0], one, slots=slots, samples=G, max_prompt=P, max_tokens=T, eos_ids=tuple(range(32)),
                         pad_id=0, steps=4, choices=True, resume=resume).compile()


class Sampled:
  """What a sampler of these weights says to REQUESTS, on the host."""

  def __init__(self, params, sampler=None, requests=REQUESTS):
    run = (sampler or sampler_of())(params, requests, jax.random.key(0))
    said = dict(run)
    self.completions = [c for i in range(N) for c in said[i]]
    self.prompts = [run.choices[i] for i in range(N)]


@functools.cache
def other():
  return Sampled(other_bias(nano()[1]))


def config(**changes):
  return update_test.numbers(**{**dict(T=T, P=P, groups=N, samples=G, micro_tokens=4 * T, temperature=1.0, kl_coef=0.0,
                                       moe_replay=True), **changes})


def batch(said, shapes, choices):
  """(Prompts, micro-batches) on the host, advantages of +1 and -1."""
  tokens, lengths = slots_lib.padded(ASKED, N, P, 0)
  prompts = Prompts(tokens, lengths, objective.chosen(said.prompts, tokens.shape, choices) if choices else None)
  out = []
  for size, some in packing.micro_batches([len(x.tokens) for x in said.completions], shapes):
    out.append((size, objective.outputs([said.completions[b] for b in some], [b // G for b in some],
                                        [1.0 - 2 * (b % G) for b in some], shapes[size], 0, reference=False,
                                        choices=choices)))
  return prompts, out


def sums(model, params, said, c, choices):
  """(loss, its gradient, metrics) by the parts of a step, in the dtype of `params`."""
  one = mesh_lib.create({}, jax.devices()[:1])
  shapes = objective._shapes(c, one, T, N * G, buckets=True)
  prompts, micro_batches = batch(said, shapes, choices)
  loss_fn = objective.grpo_loss(model.apply, c, experts=True)

  @jax.jit
  def prefix_of(p):
    return slots_lib.prefill(model.apply, p, prompts)

  prefix = prefix_of(params)
  zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)), tree)
  metrics = zeros(jax.eval_shape(loss_fn, params, prefix, micro_batches[0][1])[2])
  acc = update.Sums(zeros(params), zeros(prefix), jnp.float32(0), jnp.float32(0), metrics)
  add = jax.jit(lambda *args: update.gradient(loss_fn, *args))
  for _, rows in micro_batches:
    acc = add(params, acc, prefix, rows)
  acc = jax.jit(lambda p, acc: update.prompt_gradient(model.apply, p, acc, prompts))(params, acc)
  means = {name: np.asarray(update.value(m)) for name, m in acc.metrics.items()}
  loss = acc.numerator / acc.denominator
  return float(loss), jax.tree.map(lambda g: np.asarray(g / acc.denominator), acc.grads), means, len(micro_batches)


def used(model, params, said, choices):
  """[B][n, L, k]: the experts that the trainer's forward pass sends each token to."""
  prompts, micro_batches = batch(said, {T: packing.Shape(N * G, T)}, choices)
  ((_, rows),) = micro_batches

  @jax.jit
  def forward(params):
    prefix = slots_lib.prefill(model.apply, params, prompts)
    call, seen = moe.choosing(moe.replaying(model.apply, rows.choices_RxTxLxk))
    objective.completion_hidden(call, params, prefix, rows.tokens_RxT, rows.lengths_R, rows.prompt_R)
    return seen[0]

  found, order = np.asarray(forward(params)), np.argsort([-len(c.tokens) for c in said.completions], kind='stable')
  return {int(b): found[row] for row, b in enumerate(order)}


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
  params = other_bias(nano()[1])
  for a, b in zip(other().completions, Sampled(params, sampler_of(slots=8)).completions):
    np.testing.assert_array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.choices, b.choices)


def test_the_trainer_sends_tokens_where_the_sampler_sent_them():
  """With a replay exactly there; without one elsewhere, often: the bias that chose is another."""
  model, params = nano()
  replayed, own = (used(model, params, other(), choices) for choices in (model.choices(), None))
  differ = []
  for b, c in enumerate(other().completions):
    n = len(c.tokens) - 1
    np.testing.assert_array_equal(replayed[b][:n], c.choices[:n])
    differ.append(np.any(np.sort(own[b][:n], -1) != np.sort(c.choices[:n], -1), axis=-1).ravel())
  assert np.concatenate(differ).mean() > 0.2


def test_replayed_choices_close_the_gap():
  """The bias weighs nothing, so with the sampler's choices the trainer's log-probs are the sampler's."""
  model, params = nano()
  _, _, own, _ = sums(model, params, other(), config(), None)
  _, _, replayed, _ = sums(model, params, other(), config(), model.choices())
  assert own['mismatch/logp_mean_abs'] > 1e-2 and replayed['mismatch/logp_mean_abs'] < 1e-5
  assert replayed['mismatch/logp_max_abs'] < 1e-4 and 'mismatch/routed_otherwise' not in own
  assert 0.2 < replayed['mismatch/routed_otherwise'] < 1


def test_replayed_choices_shrink_the_gap_of_a_sampler_in_bfloat16():
  model, params = nano()
  half = Sampled(params, sampler_of(dtype='bfloat16'))
  own, replayed = (sums(model, params, half, config(), choices)[2] for choices in (None, model.choices()))
  assert replayed['mismatch/routed_otherwise'] > 0
  assert replayed['mismatch/logp_mean_abs'] < 0.9 * own['mismatch/logp_mean_abs']


def test_with_the_samplers_own_weights_a_replay_changes_nothing():
  """In float64: loss, every leaf of the gradient, the load; and no token would have gone elsewhere."""
  with jax.enable_x64(True):
    model, params = nano('float64')
    params = jax.tree.map(lambda x: x.astype(jnp.float64), params)
    one = mesh_lib.create({}, jax.devices()[:1])
    same = Sampled(params, rollout.Sampler(model, one, slots=8, samples=G, max_prompt=P, max_tokens=T, eos_ids=(1,),
                                           pad_id=0, choices=True).compile())
    loss, grads, means, _ = sums(model, params, same, config(), None)
    again, same_grads, same_means, _ = sums(model, params, same, config(), model.choices())
  assert same_means.pop('mismatch/routed_otherwise') == 0
  assert again == pytest.approx(loss, abs=1e-9) and set(means) == set(same_means)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), grads, same_grads)
  np.testing.assert_array_equal(means['experts/load'], same_means['experts/load'])
  moved = [np.abs(g).max() for g in (grads['moe_blocks']['moe']['router'], grads['moe_blocks']['moe']['gate'])]
  assert min(moved) > 1e-6  # the router learns through its weights


def test_a_replay_does_not_depend_on_how_outputs_are_cut_up():
  model, params = nano()
  whole = sums(model, params, other(), config(micro_tokens=N * G * T), model.choices())
  cut = sums(model, params, other(), config(micro_tokens=T), model.choices())
  assert cut[3] > whole[3]
  assert cut[0] == pytest.approx(whole[0], abs=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), cut[1], whole[1])
  assert cut[2]['mismatch/routed_otherwise'] == pytest.approx(whole[2]['mismatch/routed_otherwise'])


def test_the_gradient_goes_through_the_routers_scores_at_the_replayed_experts():
  """By hand: two of four experts, normalised; the others' columns have no gradient."""
  scores = jnp.array([[0.9, 0.8, 0.2, 0.1]])
  total = lambda s: moe.weigh(s, jnp.array([[3, 2]]), scaling=2.0, normalise=True)[0, 0]
  assert float(total(scores)) == pytest.approx(2 * 0.1 / 0.3)
  np.testing.assert_allclose(jax.grad(total)(scores), [[0, 0, -2 * 0.1 / 0.09, 2 * 0.2 / 0.09]], rtol=1e-5)


def test_the_bias_is_moved_by_what_the_router_chooses_itself():
  """Replayed choices cannot follow the bias: it would be moved the same way at every minibatch of a rollout."""
  model, params = nano()
  load = sums(model, params, other(), config(), model.choices())[2]['experts/load']
  sent = np.zeros(load.shape)
  for c in other().completions:
    for layer in range(load.shape[0]):
      np.add.at(sent[layer], c.choices[:-1, layer].ravel(), 1)
  assert load.sum() == sent.sum() and np.abs(load - sent).sum() > 0.1 * sent.sum()
  replayed = used(model, params, other(), model.choices())  # of the first layer what is asked is the same either way
  own = used(model, params, other(), None)
  first = np.zeros(load.shape[1])
  for b, c in enumerate(other().completions):
    np.add.at(first, own[b][:len(c.tokens) - 1, 0].ravel(), 1)
  del replayed
  np.testing.assert_array_equal(load[0], first)


def test_beginnings_go_on_as_they_began():
  """Under other weights the beginning is prefilled again, and goes where it went; so does a prompt that was computed
  before, and one token has one choice, which the trainer replays."""
  _, params = nano()
  cut = []
  for r in REQUESTS:
    said = other().completions[r.group * G:][:G]
    some = [min(2, len(c.tokens) - 1) for c in said]
    begun = tuple(c._replace(tokens=c.tokens[:n], logps=c.logps[:n], choices=c.choices[:n], stopped=False) if n else None
                  for c, n in zip(said, some))
    cut.append(r._replace(begun=begun, choices=other().prompts[r.group]))
  assert any(b for r in cut for b in r.begun)
  on = Sampled(params, sampler_of(resume=True), cut)
  for r, prompt in zip(cut, on.prompts):
    np.testing.assert_array_equal(prompt, r.choices)
    for before, after in zip(r.begun, on.completions[r.group * G:]):
      if before:
        np.testing.assert_array_equal(after.choices[:len(before.tokens)], before.choices)
  model, _ = nano()
  gaps = []
  for choices in (model.choices(), None):  # of the tokens that these weights have chosen: they see what the sampler saw
    prompts, micro_batches = batch(on, {T: packing.Shape(N * G, T)}, choices)
    ((_, rows),) = micro_batches

    @jax.jit
    def logps_of(params, rows, prompts):
      return objective.completion_logps(moe.replaying(model.apply, rows.choices_RxTxLxk), params, slots_lib.prefill(
          model.apply, params, prompts), rows.tokens_RxT, rows.lengths_R, rows.prompt_R, temperature=1.0)[0]

    logps = np.asarray(logps_of(params, rows, prompts))
    order = np.argsort([-len(c.tokens) for c in on.completions], kind='stable')
    begun = [b for r in cut for b in r.begun]
    gaps.append(max(np.abs(logps[row] - rows.sampler_RxT[row])[len(begun[b].tokens) if begun[b] else 0:rows.lengths_R[row]]
                    .max() for row, b in enumerate(order)))
  assert gaps[0] < 1e-4 and gaps[1] > 1e-2


def test_a_dense_model_is_refused():
  model = zoo.build(zoo.get('nano'))
  with pytest.raises(UserError, match="rl.moe_replay=True .* family 'dense' has none"):
    objective.replayed(config(), model)
  assert objective.replayed(types.SimpleNamespace(get=lambda key: False), model) is None


# --- a stage


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  return policy_test.untrained(tmp_path_factory.mktemp('base'), *nano())


@pytest.fixture
def stage(base, monkeypatch, one_device):
  """Trains in a directory; its sampler has another bias, so that its experts are others."""
  call = rollout.Sampler.__call__
  monkeypatch.setattr(rollout.Sampler, '__call__', lambda self, params, *args, **kw: call(
      self, other_bias(params), *args, **kw))
  monkeypatch.setattr(rl.policy, 'Policy', interrupted_test.made_once)
  return lambda workdir, **kw: interrupted_test.train(workdir, base, **{
      'rl.steps': 6, 'rl.max_tokens': 16, 'rl.micro_tokens': 64, 'rl.moe_replay': True, 'checkpoints.every': 2,
      'rl.kl_coef': 0.0, 'rl.ref_every': 0, **kw})


def test_the_gate_sees_what_the_update_sees(stage, tmp_path):
  """A sampler whose experts are others is no other policy to a trainer that replays them, and one to any other."""
  stage(tmp_path / 'on', **{'rl.steps': 2, 'rl.old_logps': 'trainer', 'rl.kl_coef': 0.1})
  first = interrupted_test.rows(tmp_path / 'on')[0]
  assert first['mismatch/routed_otherwise'] > 0.2 and first['mismatch/kl_nats_per_token'] < 1e-8
  assert first['kl/nats_per_token'] > 1e-6  # the reference is a policy of its own, whose router chooses
  with pytest.raises(RunStopped, match='do not run the same model'):
    stage(tmp_path / 'off', **{'rl.moe_replay': False})


@pytest.mark.parametrize('carry', [0, 1])
def test_choices_survive_a_kill(stage, tmp_path, monkeypatch, carry):
  """Bit for bit: those of whole rollouts in the journal, those of groups that were carried over beside a checkpoint."""
  stage(tmp_path / 'whole', **{'rl.carry': carry})
  real = rl._learn

  def dies(actor, state, minibatches, advantages, rollout_, *args):
    if rollout_.number == 2:
      raise KeyboardInterrupt
    return real(actor, state, minibatches, advantages, rollout_, *args)

  monkeypatch.setattr(rl, '_learn', dies)
  with pytest.raises(KeyboardInterrupt):
    stage(tmp_path / 'killed', **{'rl.carry': carry})
  monkeypatch.setattr(rl, '_learn', real)
  with np.load(tmp_path / 'killed' / 'rollouts' / '00000002.npz') as kept:
    assert len(kept['choices']) == len(kept['tokens']) and len(kept['prompt_choices']) == len(kept['prompts'])
  sampled = []
  monkeypatch.setattr(rollout.Rollout, '_collect', lambda run, *args: sampled.append(run))
  stage(tmp_path / 'killed', **{'rl.carry': carry})
  assert not sampled  # it is all in the journal
  assert interrupted_test.rows(tmp_path / 'killed') == interrupted_test.rows(tmp_path / 'whole')
  for x, y in zip(interrupted_test.weights(tmp_path / 'whole'), interrupted_test.weights(tmp_path / 'killed')):
    np.testing.assert_array_equal(x, y)
