"""r1jax.engine.grpo: advantages and losses worked out by hand,
gradients by table, combinations that have no meaning."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import grpo
from r1jax.engine import losses

MODES = [('token', 'sequence_mean'), ('token', 'token_mean'), ('token', 'fixed_length'),
         ('sequence', 'sequence_mean')]
LN2 = math.log(2)


def mode(ratio, aggregate):
  return dict(ratio=ratio, aggregate=aggregate, max_length=5 if aggregate == 'fixed_length' else None)


def loss_of(w, A, lengths, *, ref=None, **numbers):
  """policy_loss for ratios w [B, T]; `ref` is the reference's log-prob above the policy's."""
  w = np.asarray(w, np.float32)
  old = np.full_like(w, -LN2)
  logps = old + np.log(w)
  numbers = {**dict(clip_low=0.2, clip_high=0.2, kl_coef=0.0), **numbers}
  mask = (np.arange(w.shape[1]) < np.asarray(lengths)[:, None]).astype(np.float32)
  ref = None if ref is None else jnp.asarray(logps + np.asarray(ref, np.float32))
  return grpo.policy_loss(jnp.asarray(logps), jnp.asarray(old), ref, jnp.asarray(A, jnp.float32), mask, **numbers)


# Two outputs of 3 and 1 tokens. Row 0, A = 1: 1.5 is clipped to 1.2, 0.5 is not (the smaller one counts), 1.
# Row 1, A = -2: 1.1 is inside: -2.2. What stands past the end of row 1 must not matter.
W, A, LENGTHS = [[1.5, 0.5, 1.0], [1.1, 7.0, 7.0]], [1.0, -2.0], [3, 1]
# k3 is 2 - ln 2 - 1 = 0.306853 in row 0 and 0.5 + ln 2 - 1 = 0.193147 in row 1: 0.5 together.
REF = [[LN2, 0.0, 0.0], [-LN2, 3.0, 3.0]]


# --- advantages

@pytest.mark.parametrize('numbers, want', [
    (dict(), [-1 / 3**0.5, -1 / 3**0.5, -1 / 3**0.5, 3**0.5]),  # mean 1/4, std sqrt(3)/4
    (dict(ddof=1), [-0.5, -0.5, -0.5, 1.5]),  # std 1/2
    (dict(ddof=1, eps=0.5), [-0.25, -0.25, -0.25, 0.75]),
    (dict(scale='none'), [-0.25, -0.25, -0.25, 0.75]),
    (dict(scale='rloo'), [-1 / 3, -1 / 3, -1 / 3, 1.0]),  # r - mean of the three others
])
def test_advantages_by_hand(numbers, want):
  got = grpo.group_advantages(np.array([[0, 0, 0, 1]]), **numbers)
  np.testing.assert_allclose(got, [want], rtol=1e-6)
  assert got.dtype == jnp.float32


def test_each_group_has_its_own_mean_and_std():
  got = grpo.group_advantages(np.array([[0, 1], [5, 9], [7, 7]]))
  np.testing.assert_allclose(got, [[-1, 1], [-1, 1], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize('scale', ['std', 'none', 'rloo'])
@pytest.mark.parametrize('eps', [0.0, 1e-6])
def test_equal_rewards_have_exactly_no_advantage(scale, eps):
  rewards = jnp.asarray([[1.1] * 16, [0.1] * 16, [1.1] * 15 + [0.0]], jnp.float32)
  got = np.asarray(jax.jit(lambda r: grpo.group_advantages(r, scale=scale, eps=eps))(rewards))
  assert (got[:2] == 0).all() and np.isfinite(got).all()
  assert (got[2] != 0).all()  # its neighbours have theirs


def test_a_group_of_one_is_refused():
  with pytest.raises(ValueError, match='group of 1 .*samples >= 2'):
    grpo.group_advantages(np.ones((4, 1)))


def test_an_unknown_scale_is_refused():
  with pytest.raises(ValueError, match="scale='max'.*'std', 'none', 'rloo'"):
    grpo.group_advantages(np.eye(2), scale='max')


# --- the loss by hand

@pytest.mark.parametrize('ratio, aggregate, numerator, denominator', [
    ('token', 'sequence_mean', -2.7 / 3 + 2.2, 2),
    ('token', 'token_mean', -2.7 + 2.2, 4),
    ('token', 'fixed_length', -2.7 + 2.2, 10),  # 2 outputs x max_length 5
    ('sequence', 'sequence_mean', -0.75 + 2.2, 2),  # 1.5 * 0.5 * 1 = 0.75 < 0.8: the smaller one counts
])
def test_loss_by_hand(ratio, aggregate, numerator, denominator):
  n, d, metrics = loss_of(W, A, LENGTHS, **mode(ratio, aggregate))
  np.testing.assert_allclose([n, d], [numerator, denominator], rtol=1e-6)
  np.testing.assert_allclose(metrics['loss'], [numerator, denominator], rtol=1e-6)


@pytest.mark.parametrize('ratio, aggregate, kl', [
    ('token', 'sequence_mean', 0.306853 / 3 + 0.193147), ('token', 'token_mean', 0.5),
    ('token', 'fixed_length', 0.5), ('sequence', 'sequence_mean', 0.5)])
def test_kl_by_hand(ratio, aggregate, kl):
  without, denominator, _ = loss_of(W, A, LENGTHS, **mode(ratio, aggregate))
  n, d, metrics = loss_of(W, A, LENGTHS, ref=REF, kl_coef=0.1, **mode(ratio, aggregate))
  np.testing.assert_allclose([n, d], [without + 0.1 * kl, denominator], rtol=1e-5)
  np.testing.assert_allclose(metrics['kl/nats_per_token'], [0.5, 4], rtol=1e-5)


def test_clip_metrics_count_the_tokens_that_lose_their_gradient():
  _, _, metrics = loss_of([[1.5, 0.5, 1.0], [1.5, 0.5, 0.1]], [1.0, -2.0], [3, 2])
  np.testing.assert_array_equal(metrics['clip/high'], [1, 5])  # 1.5 with A > 0; not 1.5 with A < 0
  np.testing.assert_array_equal(metrics['clip/low'], [1, 5])  # 0.5 with A < 0; not the one past the end


def test_importance_weights_come_after_the_clip_and_not_on_the_kl():
  weights = jnp.asarray([[2.0, 1.0, 0.5], [0.25, 9.0, 9.0]])
  n, d, _ = loss_of(W, A, LENGTHS, ref=REF, kl_coef=0.1, aggregate='token_mean', is_weights_BxT=weights)
  surrogate = -(1.2 * 2 + 0.5 * 1 + 1.0 * 0.5) + 2.2 * 0.25
  np.testing.assert_allclose([n, d], [surrogate + 0.1 * 0.5, 4], rtol=1e-5)
  zero, _, _ = loss_of(W, A, LENGTHS, ref=REF, kl_coef=0.1, aggregate='token_mean', is_weights_BxT=0 * weights)
  np.testing.assert_allclose(zero, 0.1 * 0.5, rtol=1e-5)


def test_importance_weights_are_cut_off_and_have_no_gradient():
  old, sampler = jnp.log(jnp.asarray([0.4, 0.8, 0.1])), jnp.log(jnp.asarray([0.5, 0.2, 0.1]))
  np.testing.assert_allclose(grpo.importance_weights(old, sampler, cap=2.0), [0.8, 2.0, 1.0], rtol=1e-6)
  assert (jax.grad(lambda x: grpo.importance_weights(x, sampler, cap=2.0).sum())(old) == 0).all()


# --- eqs. 1 and 2 as printed: whole outputs

def test_sequence_ratio_and_k3_come_from_sums():
  # pi/pi_old of the output: 2 * 1.5 = 3; of the reference: 2 * 2 = 4, k3 = 4 - ln 4 - 1 (not two times 1 - ln 2)
  n, d, metrics = loss_of([[2.0, 1.5, 9.0]], [-1.0], [2], ref=[[LN2, LN2, 1.0]], kl_coef=0.5, ratio='sequence')
  np.testing.assert_allclose([n, d], [3.0 + 0.5 * (3 - 2 * LN2), 1], rtol=1e-6)
  np.testing.assert_array_equal(metrics['clip/log_ratio_limited'], [0, 1])


def test_sequence_log_ratio_is_limited_to_20():
  w = np.exp([[10.0, 10.0, 10.0], [-10.0, -10.0, -10.0], [0.0, 0.0, 0.0]])
  n, d, metrics = loss_of(w, [-1.0, 1.0, 1.0], [3, 3, 2], ratio='sequence')
  np.testing.assert_allclose(n, math.exp(20) - math.exp(-20) - 1.0, rtol=1e-6)
  np.testing.assert_array_equal(metrics['clip/log_ratio_limited'], [2, 3])
  far = np.full((1, 3), 10.0)
  n, _, _ = loss_of(np.ones((1, 3)), [0.0], [3], ref=far, kl_coef=1.0, ratio='sequence')
  np.testing.assert_allclose(n, math.exp(20) - 20 - 1, rtol=1e-6)


# --- gradients

@pytest.mark.parametrize('ratio', ['token', 'sequence'])
@pytest.mark.parametrize('A', [2.0, -3.0])
@pytest.mark.parametrize('w, where', [(0.5, 'below'), (0.78, 'below'), (0.82, 'inside'), (1.0, 'inside'),
                                      (1.25, 'inside'), (1.35, 'above'), (2.0, 'above')])
def test_gradient_table(ratio, A, w, where):
  """clip_low 0.2 and clip_high 0.3: only what would go further in the wrong direction is held."""
  old = jnp.asarray([[-1.0]])
  def f(logps):
    n, d, metrics = grpo.policy_loss(logps, old, None, jnp.asarray([A]), jnp.ones((1, 1)), clip_low=0.2,
                                     clip_high=0.3, kl_coef=0.0, ratio=ratio)
    return n / d, metrics
  gradient, metrics = jax.grad(f, has_aux=True)(old + math.log(w))
  held = (A > 0 and where == 'above') or (A < 0 and where == 'below')
  np.testing.assert_allclose(gradient, [[0.0 if held else -A * w]], rtol=1e-5)
  assert float(metrics['clip/high'][0]) == (A > 0 and where == 'above')
  assert float(metrics['clip/low'][0]) == (A < 0 and where == 'below')


@pytest.mark.parametrize('A, w, gradient', [(1.0, 9.0, -9.0), (1.0, 12.0, 0.0), (-1.0, 0.001, 0.001)])
def test_a_clip_of_ten_is_a_number_like_others(A, w, gradient):
  f = lambda x: grpo.policy_loss(x, jnp.zeros((1, 1)), None, jnp.asarray([A]), jnp.ones((1, 1)), clip_low=10,
                                 clip_high=10, kl_coef=0.0)[0]
  np.testing.assert_allclose(jax.grad(f)(jnp.full((1, 1), math.log(w))), [[gradient]], rtol=1e-5)


@pytest.mark.parametrize('ratio', ['token', 'sequence'])
def test_the_reference_moves_the_gradient(ratio):
  """d k3 / d logp = 1 - exp(ref - logp): zero at equality, and another one for each reference (k1's is always 1)."""
  logps = jnp.asarray([[-1.0]])
  def gradient(ref):
    f = lambda x: grpo.policy_loss(x, logps, ref, jnp.zeros(1), jnp.ones((1, 1)), clip_low=0.2, clip_high=0.2,
                                   kl_coef=0.1, ratio=ratio)[0]
    return float(jax.grad(f)(logps)[0, 0])
  assert gradient(logps) == 0
  np.testing.assert_allclose(gradient(logps + LN2), 0.1 * (1 - 2), rtol=1e-6)
  np.testing.assert_allclose(gradient(logps - LN2), 0.1 * (1 - 0.5), rtol=1e-6)


@pytest.mark.parametrize('ratio, aggregate', MODES)
def test_kl_is_zero_at_equality(ratio, aggregate):
  with_ref, _, metrics = loss_of(W, A, LENGTHS, ref=np.zeros((2, 3), np.float32), kl_coef=5.0, **mode(ratio, aggregate))
  without, _, _ = loss_of(W, A, LENGTHS, **mode(ratio, aggregate))
  assert float(with_ref) == float(without) and float(metrics['kl/nats_per_token'][0]) == 0


def test_kl_is_reported_but_not_learned_without_its_coefficient():
  n, _, metrics = loss_of(W, A, LENGTHS, ref=REF, kl_coef=0.0)
  np.testing.assert_allclose(n, loss_of(W, A, LENGTHS)[0])
  np.testing.assert_allclose(metrics['kl/nats_per_token'], [0.5, 4], rtol=1e-5)
  assert 'kl/nats_per_token' not in loss_of(W, A, LENGTHS)[2]


# --- masks

@pytest.mark.parametrize('ratio, aggregate', MODES)
def test_an_empty_output_counts_in_no_denominator(ratio, aggregate):
  want = loss_of(W, A, LENGTHS, ref=REF, kl_coef=0.1, **mode(ratio, aggregate))
  got = loss_of(W + [[3.0, 3.0, 3.0]], A + [9.0], LENGTHS + [0], ref=REF + [[1.0] * 3], kl_coef=0.1,
                **mode(ratio, aggregate))
  jax.tree.map(np.testing.assert_allclose, got, want)
  n, d, metrics = loss_of(W, A, [0, 0], ref=REF, kl_coef=0.1, **mode(ratio, aggregate))
  assert n == 0 and d == 0 and all(float(s) == 0 and float(c) == 0 for s, c in metrics.values())


@pytest.mark.parametrize('ratio, aggregate', MODES)
@pytest.mark.parametrize('rubbish', [np.nan, np.inf, -np.inf])
def test_what_lies_outside_the_mask_does_no_harm(ratio, aggregate, rubbish):
  rng = np.random.default_rng(0)
  mask = np.asarray(losses.length_mask(jnp.asarray([3, 1, 0]), 3))
  clean = [rng.normal(-1, 0.3, (3, 3)).astype(np.float32) for _ in range(4)]
  clean.append(np.asarray([1.0, -1.0, 2.0], np.float32))  # advantages; the third is of an output without a token
  dirty = [np.where(mask > 0, x, np.float32(rubbish)) for x in clean[:4]] + [clean[4] * np.float32([1, 1, rubbish])]
  def f(x):
    logps, old, ref, weights, A = x
    n, d, metrics = grpo.policy_loss(
        logps, old, ref, A, mask, clip_low=0.2, clip_high=0.2, kl_coef=0.1,
        is_weights_BxT=weights if ratio == 'token' else None, **mode(ratio, aggregate))
    return n / d, metrics
  grad = jax.value_and_grad(f, has_aux=True)
  (want, want_metrics), want_gradient = grad([jnp.asarray(x) for x in clean])
  (got, got_metrics), got_gradient = grad([jnp.asarray(x) for x in dirty])
  jax.tree.map(np.testing.assert_array_equal, (got, got_metrics, got_gradient[0]),
               (want, want_metrics, want_gradient[0]))
  assert (np.asarray(got_gradient[0])[mask == 0] == 0).all() and np.isfinite(got_gradient[0]).all()


@pytest.mark.parametrize('ratio, aggregate', MODES)
def test_micro_batches_add(ratio, aggregate):
  rng = np.random.default_rng(1)
  w, ref, A = np.exp(rng.normal(0, 0.4, (3, 3))), rng.normal(0, 0.5, (3, 3)), rng.normal(size=3)
  lengths = np.array([2, 0, 3])
  part = lambda s: loss_of(w[s], A[s], lengths[s], ref=ref[s], kl_coef=0.1, **mode(ratio, aggregate))
  added = jax.tree.map(lambda a, b: a + b, jax.device_get(part(slice(0, 2))), jax.device_get(part(slice(2, 3))))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), added, part(slice(0, 3)))


# --- what has no meaning, and the interface

@pytest.mark.parametrize('numbers, message', [
    (dict(ratio='word'), "ratio='word'"),
    (dict(aggregate='mean'), "aggregate='mean'"),
    (dict(ratio='sequence', aggregate='token_mean'), "aggregate='token_mean'"),
    (dict(ratio='sequence', aggregate='fixed_length', max_length=5), "aggregate='fixed_length'"),
    (dict(ratio='sequence', is_weights_BxT=jnp.ones((2, 3))), 'is_weights_BxT'),
    (dict(aggregate='fixed_length'), 'max_length=None'),
    (dict(aggregate='fixed_length', max_length=0), 'max_length=0'),
    (dict(kl_coef=0.1), 'kl_coef=0.1 needs ref_logps_BxT'),
    (dict(clip_low=-0.1), 'clip_low=-0.1'),
    (dict(clip_high=-0.1), 'clip_high=-0.1'),
])
def test_what_has_no_meaning_is_refused(numbers, message):
  with pytest.raises(ValueError, match=message):
    loss_of(W, A, LENGTHS, **numbers)


@pytest.mark.parametrize('f, signature', [
    (grpo.group_advantages, "(rewards_NxG, *, scale='std', ddof=0, eps=0.0)"),
    (grpo.policy_loss, '(logps_BxT, old_logps_BxT, ref_logps_BxT, advantages_B, mask_BxT, *, clip_low, clip_high, '
                       "kl_coef, ratio='token', aggregate='sequence_mean', max_length=None, is_weights_BxT=None)"),
    (losses.kl_k3, '(logps, ref_logps)'),
])
def test_others_rely_on_these_signatures(f, signature):
  s = inspect.signature(f)
  bare = s.replace(return_annotation=s.empty, parameters=[p.replace(annotation=p.empty) for p in s.parameters.values()])
  assert str(bare).startswith(signature.removesuffix(')'))
  known = [name for name in signature.strip('()').split(', ') if name != '*']
  assert all(p.default is not p.empty for p in list(s.parameters.values())[len(known):])  # what came later


@pytest.mark.parametrize('gap', [100.0, -100.0])
def test_a_token_beyond_float32_does_not_make_a_nan(gap):
  """e^100 overflows; one such token must not end the run, in value or gradient, whatever its advantage."""
  def loss(logps):
    numerator, denominator, _ = grpo.policy_loss(
        logps, jnp.array([[-1.0, -1.0 - gap], [-1.0, -1.0 - gap]]), jnp.array([[-1.0, -1.0 + gap]] * 2),
        jnp.array([1.0, 0.0]), jnp.ones((2, 2)), clip_low=0.2, clip_high=0.2, kl_coef=0.1)
    return numerator / denominator

  value, gradient = jax.value_and_grad(loss)(jnp.full((2, 2), -1.0))
  assert np.isfinite(value) and np.isfinite(np.asarray(gradient)).all()
