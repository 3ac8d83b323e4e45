"""The choices of rl's objective beside the paper's (docs/objectives.md): numbers by hand, one step by the arithmetic of
whole rows, combinations that have no meaning."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import grpo
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.exceptions import UserError
from r1jax.stages import batches
from r1jax.stages import rl
from r1jax import values

import grpo_test as by_hand
import runs
import update_test as toy

LN2 = by_hand.LN2


@pytest.mark.parametrize('scale, want', [
    ('batch_std', [[-2**0.5, 2**0.5], [0, 0]]),  # deviations -1/2, 1/2, 0, 0: their std is sqrt(1/8)
    ('global', [[-1 / 3**0.5, 3**0.5], [-1 / 3**0.5, -1 / 3**0.5]])])  # mean 1/4, std sqrt(3)/4
def test_advantages_of_a_whole_rollout(scale, want):
  np.testing.assert_allclose(grpo.group_advantages(np.array([[0, 1], [0, 0]]), scale=scale), want, rtol=1e-6)
  same = grpo.group_advantages(jnp.full((3, 16), 1.1, jnp.float32), scale=scale)
  assert (np.asarray(same) == 0).all()


def test_one_sample_a_question_against_the_rollouts_mean():
  want = [[-1 / 3**0.5], [3**0.5], [-1 / 3**0.5], [-1 / 3**0.5]]
  np.testing.assert_allclose(grpo.group_advantages(np.array([[0], [1], [0], [0]]), scale='global'), want, rtol=1e-6)


# by_hand.W, A, LENGTHS: ratios 1.5, 0.5, 1 with A = 1, and 1.1 with A = -2; log-probs are those of w / 2.
LOGPS = [[math.log(w / 2) for w in row] for row in by_hand.W]


@pytest.mark.parametrize('numbers, want', [
    # The third root of 0.75 is inside, 1.1 as well.
    (dict(ratio='gspo'), (-0.75**(1 / 3) + 2.2, 2)),
    (dict(ratio='gspo', clip_high=0.05), (-0.75**(1 / 3) + 2.2, 2)),  # with A < 0 what is larger stays
    (dict(ratio='gspo', clip_low=0.05), (-0.75**(1 / 3) + 2.2, 2)),  # with A > 0 what is smaller stays
    # Weights 1.2, 0.8, 1 and 1.1.
    (dict(surrogate='cispo'), (-(1.2 * LOGPS[0][0] + 0.8 * LOGPS[0][1] + LOGPS[0][2]) / 3 + 2.2 * LOGPS[1][0], 2)),
    (dict(surrogate='cispo', aggregate='token_mean'),
     (-(1.2 * LOGPS[0][0] + 0.8 * LOGPS[0][1] + LOGPS[0][2]) + 2.2 * LOGPS[1][0], 4)),
    (dict(surrogate='reinforce'), (-sum(LOGPS[0]) / 3 + 2 * LOGPS[1][0], 2)),
    (dict(counts_B=jnp.array([1.0, 0.0])), (-(1.2 + 0.5 + 1) / 3, 1)),
    (dict(counts_B=jnp.array([0.0, 1.0]), aggregate='token_mean'), (2.2, 1)),
    (dict(counts_B=jnp.array([0.0, 1.0]), aggregate='fixed_length', max_length=5), (2.2, 5)),
    (dict(counts_B=jnp.array([0.0, 0.0])), (0, 0)),
])
def test_losses_by_hand(numbers, want):
  numerator, denominator, metrics = by_hand.loss_of(by_hand.W, by_hand.A, by_hand.LENGTHS, **numbers)
  np.testing.assert_allclose([numerator, denominator], want, rtol=1e-5, atol=1e-7)
  assert metrics['loss'][1] == denominator


@pytest.mark.parametrize('ratio', ['token', 'gspo'])
@pytest.mark.parametrize('kl, want', [('k1', 0.0), ('k2', LN2**2), ('k3', 0.5)])  # log ratios ln 2 and -ln 2
def test_estimators_of_the_kl(ratio, kl, want):
  loss = lambda kl_coef: by_hand.loss_of([[1.0], [1.0]], [0, 0], [1, 1], ref=[[LN2], [-LN2]], kl_coef=kl_coef,
                                         ratio=ratio, kl=kl)
  np.testing.assert_allclose(loss(0.3)[0] - loss(0.0)[0], 0.3 * want, atol=1e-6)
  np.testing.assert_allclose(loss(0.3)[2]['kl/nats_per_token'][0], 0.5, rtol=1e-5)  # k3's, whichever the loss has


def test_no_clip_takes_the_gradient_from_cispo():
  def gradient(surrogate):
    return jax.grad(lambda logps: grpo.policy_loss(
        logps, jnp.zeros((1, 2)), None, jnp.ones(1), jnp.ones((1, 2)), clip_low=0.2, clip_high=0.2, kl_coef=0.0,
        surrogate=surrogate)[0])(jnp.log(jnp.array([[2.0, 1.0]])))

  np.testing.assert_allclose(gradient('clip'), [[0, -0.5]], atol=1e-6)
  np.testing.assert_allclose(gradient('cispo'), [[-0.6, -0.5]], rtol=1e-6)
  np.testing.assert_allclose(gradient('reinforce'), [[-0.5, -0.5]], rtol=1e-6)


def test_the_weight_of_cispo_has_no_gradient():
  """Inside the clip too: the gradient is -w A, whatever the log-prob is, and no part of it goes through w."""
  old, logps = jnp.array([[-0.6, -2.0]]), jnp.array([[-0.5, -2.1]])
  gradient = jax.grad(lambda logps: grpo.policy_loss(
      logps, old, None, jnp.ones(1), jnp.ones((1, 2)), clip_low=0.2, clip_high=0.2, kl_coef=0.0,
      surrogate='cispo')[0])(logps)
  np.testing.assert_allclose(gradient, [[-math.exp(0.1) / 2, -math.exp(-0.1) / 2]], rtol=1e-6)


def test_importance_weights():
  old, sampler = jnp.log(jnp.array([[4.0, 2.0, 1.0, 0.5, 0.2]])), jnp.zeros((1, 5))
  np.testing.assert_allclose(grpo.importance_weights(old, sampler, cap=2.0), [[2, 2, 1, 0.5, 0.2]], rtol=1e-6)
  np.testing.assert_allclose(grpo.importance_weights(old, sampler, cap=2.001, kind='mask'), [[0, 2, 1, 0.5, 0]], rtol=1e-6)
  with pytest.raises(ValueError, match="kind='drop' is not one of 'truncate', 'mask'"):
    grpo.importance_weights(old, sampler, cap=2.0, kind='drop')


@pytest.mark.parametrize('kind, want', [('truncate', [1, 0, 0, 0, 0]), ('mask', [1, 0, 0, 0, 1])])
def test_which_weights_are_cut(kind, want):
  old, sampler = jnp.log(jnp.array([[4.0, 2.0, 1.0, 0.5, 0.2]])), jnp.zeros((1, 5))
  np.testing.assert_array_equal(grpo.importance_cut(old, sampler, cap=2.001, kind=kind), [want])


@pytest.mark.parametrize('surrogate, want', [('clip', (0, 1)), ('cispo', (1, 1)), ('reinforce', None)])
def test_what_the_clip_holds(surrogate, want):
  """Ratios 1.5 and 0.5 with A = 1: of a clip the first loses its gradient, of cispo both weights are held."""
  metrics = by_hand.loss_of([[1.5, 0.5]], [1], [2], surrogate=surrogate)[2]
  assert want == (None if 'clip/low' not in metrics else (metrics['clip/low'][0], metrics['clip/high'][0]))


def test_the_gradient_of_the_entropy():
  rng = np.random.default_rng(0)
  hidden, targets = rng.normal(size=(2, 5, 7)), rng.integers(0, 7, (2, 5))
  with jax.enable_x64(True):
    hidden = jnp.asarray(hidden, jnp.float64)
    plain = lambda h: -jnp.sum(jax.nn.softmax(h / 0.7) * jax.nn.log_softmax(h / 0.7), axis=-1).sum()
    ours = lambda h, **kw: losses.token_logps(lambda x: x, h, jnp.asarray(targets), temperature=0.7, chunk=2, **kw)
    got = jax.grad(lambda h: ours(h, entropy_gradient=True)[1].sum())(hidden)
    np.testing.assert_allclose(got, jax.grad(plain)(hidden), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda h: ours(h, entropy_gradient=True)[0].sum())(hidden),
                               jax.grad(lambda h: ours(h)[0].sum())(hidden), rtol=1e-9, atol=1e-12)
    assert not jax.grad(lambda h: ours(h)[1].sum())(hidden).any()


# --- one step, however it is cut up

OPTIONS = [dict(ratio='gspo'), dict(surrogate='cispo'), dict(surrogate='reinforce', aggregate='token_mean'),
           dict(kl='k2'), dict(kl='k1', aggregate='fixed_length'), dict(entropy_coef=0.3),
           dict(entropy_coef=0.3, aggregate='token_mean', drop_truncated=True), dict(drop_equal=True),
           dict(is_cap=1.2), dict(is_cap=1.2, is_kind='mask'), dict(ratio='gspo', drop_truncated=True, drop_equal=True, kl='k2')]


def whole_loss(params, w, counts_B, options):
  """numerator / denominator of a minibatch in one piece, from logits of whole rows."""
  options = dict(options)
  entropy_coef = options.pop('entropy_coef', 0.0)
  cap, kind = options.pop('is_cap', 0.0), options.pop('is_kind', 'truncate')
  for name in ('drop_truncated', 'drop_equal'):
    options.pop(name, None)
  logps, entropy = toy.whole_logps(toy.TOY.whole, params, w)
  mask = (jnp.arange(w.tokens_BxT.shape[1]) < w.lengths_B[:, None]) * counts_B[:, None]
  weights = grpo.importance_weights(w.old_BxT, w.sampler_BxT, cap=cap, kind=kind) if cap else None
  numerator, denominator, _ = grpo.policy_loss(
      logps, w.old_BxT, w.ref_BxT, w.advantages_B, mask, clip_low=0.2, clip_high=0.3, kl_coef=0.1,
      max_length=w.tokens_BxT.shape[1], is_weights_BxT=weights, **options)
  lengths = jnp.maximum(mask.sum(axis=1), 1)
  each = {'sequence_mean': entropy / lengths[:, None]}.get(options.get('aggregate', 'sequence_mean'), entropy)
  return (numerator - entropy_coef * jnp.sum(each * mask)) / denominator


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_a_step_is_the_arithmetic_of_whole_rows(options):
  c = toy.numbers(**options, micro_tokens=60)
  mesh = mesh_lib.create({'data': 1}, jax.devices()[:1])
  built = trainings.rl(toy.CONFIG, c, toy.TOY, mesh)
  case = toy.ragged(toy.TOY.whole, toy.TOY_PARAMS, toy.VOCAB, 3, empty=True)
  # Group 2 has equal rewards, and every fifth completion was cut off.
  case = case._replace(advantages=np.where(np.arange(toy.N * toy.G) // toy.G == 2, 0, case.advantages).astype(np.float32))
  ended_B = np.arange(toy.N * toy.G) % 5 != 4
  counts_B = batches.counts(c, ended_B, case.advantages) if trainings.leaves_out(c) else np.ones(len(ended_B), np.float32)
  assert (counts_B == 0).sum() == {(False, False): 0, (True, False): 3, (False, True): 2, (True, True): 4}[
      bool(c.drop_truncated), bool(c.drop_equal)]
  w = toy.whole(case, 6, 24)
  if c.is_cap:  # a sampler that is not the policy: the old log-probs are the trainer's
    rng = np.random.default_rng(1)
    w = w._replace(sampler_BxT=w.old_BxT + rng.normal(0, 0.3, w.old_BxT.shape).astype(np.float32))
  loss, gradient = jax.jit(jax.value_and_grad(lambda params: whole_loss(params, w, counts_B, options)))(toy.TOY_PARAMS)
  micro_batches, units = [], []
  for (T, rows), (_, some) in zip(toy.cut_up(case, built.shapes), toy.packing.micro_batches(
      [len(x.tokens) for x in case.completions], built.shapes)):
    fill = lambda values: np.asarray([*values[some], *[0.0] * (len(rows.lengths_R) - len(some))], np.float32)
    if c.is_cap:
      sampler = np.zeros_like(rows.sampler_RxT)
      sampler[:len(some)] = w.sampler_BxT[some, :T]
      rows = rows._replace(sampler_RxT=sampler)
    micro_batches.append((T, rows._replace(counts_R=fill(counts_B) if trainings.leaves_out(c) else None)))
    units += some
  assert sorted(units) == list(range(toy.N * toy.G)) and len(micro_batches) > 2
  training = built.training.compile()
  with mesh_lib.use_mesh(mesh):
    state, means = training.step(toy.begin(training, toy.TOY_PARAMS), update.put_micro_batches(micro_batches, mesh),
                                 toy.prompts_of(case, mesh, 6))
  np.testing.assert_allclose(float(means['loss']), loss, atol=1e-5)
  largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
  assert largest > 1e-3
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest, rtol=0),
               toy.gradient_of(state), gradient)


@pytest.mark.parametrize('changes, said', [
    (dict(ratio='gspo', aggregate='token_mean'), "rl.ratio='gspo' .* rl.aggregate='sequence_mean'.* not 'token_mean'"),
    (dict(ratio='gspo', surrogate='cispo'), "rl.ratio='gspo' .* rl.surrogate='clip'.*'cispo'"),
    (dict(ratio='sequence', is_cap=2.0, old_logps='trainer'), "rl.ratio='sequence' .*rl.is_cap=0, not .* 2.0"),
    (dict(ratio='sequence', kl='k2'), "rl.ratio='sequence' .* rl.kl='k3', not 'k2'"),
    (dict(drop_equal=True, scale='global'), "rl.drop_equal=True .* rl.scale='global'"),
    (dict(is_kind='mask', is_cap=0.5, old_logps='trainer'), "rl.is_cap=0.5 with rl.is_kind='mask' .* more than 1"),
    (dict(is_kind='mask', is_cap=1.0, old_logps='trainer'), "rl.is_cap=1.0 with rl.is_kind='mask' .* more than 1"),
    (dict(samples=1), "rl.samples=1: a group of one has no baseline .* rl.scale='global'"),
    (dict(samples=1, groups=1, minibatches=1, scale='global'), 'a rollout of one has no baseline'),
    (dict(general=dict(source='scenarios', size=9, share=0.01)),
     'rl.general.share=0.01 of the 32 groups .* at least 0.0312'),
    (dict(is_cap=2.0), "rl.is_cap=2.0 .* needs rl.old_logps='trainer'"),
    (dict(is_kind='mask'), "rl.is_kind='mask' .* rl.is_cap=0 has none: give rl.is_cap=2 with rl.old_logps='trainer'"),
])
def test_what_has_no_meaning_together_is_refused_at_the_start(changes, said):
  config = runs.experiment('r1_zero', 'tiny')
  config.rl.update(changes)
  with pytest.raises(UserError, match=said):
    rl.check(config, 'rl')


@pytest.mark.parametrize('changes, said', [
    (dict(kl='k1'), "rl.kl='k1': as a term of the loss its gradient is zero"),
    (dict(surrogate='reinforce'), "rl.surrogate='reinforce' has no ratio, and from the second of 2 minibatches"),
    (dict(kl_coef=0.0, kl='k2'), "rl.kl='k2' is not read: rl.kl_coef=0 has neither a KL nor a reference"),
    (dict(kl_coef=0.0, ref_dtype='bfloat16'), "rl.ref_dtype='bfloat16' is not read: rl.kl_coef=0"),
    (dict(kl_coef=0.0, ref_every=7), 'rl.ref_every=7 is not read: rl.kl_coef=0'),
    (dict(surrogate='reinforce', clip_high=0.28), "rl.clip_high=0.28 is not read: rl.surrogate='reinforce'"),
    (dict(surrogate='reinforce', old_logps='trainer'), "rl.old_logps='trainer' is not read: rl.surrogate='reinforce'"),
    (dict(dynamic_by='accuracy'), "rl.dynamic_by='accuracy' is not read: rl.dynamic_tries=0"),
    (dict(dynamic_tries=3, rewards=dict(accuracy=1.0, overlong=1.0), overlong_buffer=8),
     "rl.dynamic_tries=3: a group of right answers alone .* overlong differs; with rl.dynamic_by='accuracy'"),
    (dict(overlong_buffer=8), "rl.overlong_buffer=8 is not read: the reward 'overlong' has the weight 0"),
    (dict(old_logps='trainer', is_cap=0.2), 'rl.is_cap=0.2: weights are about 1'),
    (dict(general=dict(share=0.5)), 'rl.general.share=0.5 is not read: rl.general.source is empty'),
    (dict(general=dict(source='scenarios', size=9, share=0.5, from_step=80)), 'from_step=80: no rollout begins at step 80 or behind it'),
    (dict(max_tokens=((0, 16), (80, 32))),
     r'rl.max_tokens=\(\(0, 16\), \(80, 32\)\): no rollout begins at step 80 or behind it, the last of rl.steps=80 begins at 7[89]'),
    (dict(optimizer=dict(warmup=80)), 'rl.optimizer.warmup=80 is not over before the last of rl.steps=80'),
    (dict(curriculum=dict(askings=4, mode='easy_first'), task=dict(source='jsonl:f')),
     'rl.curriculum.askings=4 is not read: rl.curriculum.mode is easy_first'),
    (dict(curriculum=dict(askings=4)), 'rl.curriculum.askings=4 is not read: rl.curriculum.mode is empty'),
])
def test_what_has_little_meaning_is_said(changes, said, caplog):
  config = runs.experiment('r1_zero', 'tiny')
  with config.ignore_type():
    config.rl.update(changes)
  rl.check(config, 'rl')
  assert re.search(said, caplog.text)


def test_nothing_is_said_of_what_is_read(caplog):
  config = runs.experiment('r1_zero', 'tiny')
  with config.ignore_type():
    config.rl.update(dict(max_tokens=((0, 16), (78, 32)), optimizer=dict(warmup=79), surrogate='cispo', clip_high=2.0))
  rl.check(config, 'rl')
  assert not caplog.text


def test_what_a_config_may_say_is_what_the_loss_knows():
  """values.py, which is read where nothing of jax is, and grpo.py."""
  assert {key: values._CHOICES[key] for key in ('ratio', 'aggregate', 'surrogate', 'scale', 'is_kind', 'kl')} == dict(
      ratio=grpo.RATIOS, aggregate=grpo.AGGREGATES, surrogate=grpo.SURROGATES, scale=grpo.SCALES,
      is_kind=grpo.IS_KINDS, kl=tuple(losses.KL))
