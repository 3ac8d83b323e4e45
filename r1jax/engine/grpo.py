"""GRPO: rewards -> advantages, and the clipped objective with its KL term (paper, section 2.2.1).

Arrays in, arrays out. Nothing here knows of models, configs or files.
"""

import jax
import jax.numpy as jnp

from r1jax.engine.losses import KL, masked_sum

_MAX_LOG_RATIO = 20.0  # e^20 = 5e8: beyond it a sequence ratio says only "far away"
_OVERFLOW = 80.0  # e^88.7 is float32's largest; inf * 0 would make one token's NaN everybody's

SCALES = ('std', 'none', 'rloo', 'batch_std', 'global')
RATIOS = ('token', 'sequence', 'gspo')
SURROGATES = ('clip', 'cispo', 'reinforce')
AGGREGATES = ('sequence_mean', 'token_mean', 'fixed_length')
IS_KINDS = ('truncate', 'mask')


def group_advantages(rewards_NxG: jax.Array, *, scale: str = 'std', ddof: int = 0, eps: float = 0.0) -> jax.Array:
  """A_i = (r_i - mean(r)) / std(r) within each group (paper, eq. 3).

  A group of equal rewards carries no preference and gets exactly zero; the bare formula does not
  give that in float32 (sixteen rewards of 1.1 come out as -1.0).

  Args:
    rewards_NxG: one row a group, all groups of a rollout.
    scale: 'std' (eq. 3); 'none': r - mean (Dr. GRPO, Liu et al. 2025); 'rloo': r - mean of the others
      (Ahmadian et al. 2024) = (r - mean) G / (G - 1); 'batch_std': (r - mean of the group) / std of that over all
      groups (REINFORCE++ with a baseline, Hu et al. 2025); 'global': (r - mean of all) / std of all (REINFORCE++): here
      a group of equal rewards has an advantage too.
    ddof: 0 for the population's standard deviation (numpy's default), 1 for the sample's.
    eps: added to the standard deviation.

  Returns: [N, G] float32.

  Raises:
    ValueError: a group of one has nothing to be compared with; an unknown scale.
  """
  G = rewards_NxG.shape[-1]
  if G < 2 and scale != 'global':
    raise ValueError(f"a group of {G} sample has no baseline: give rl.samples >= 2, or rl.scale='global'")
  r = jnp.asarray(rewards_NxG, jnp.float32)
  of = None if scale == 'global' else -1  # what a reward is compared with: the rollout, or its group
  same = jnp.max(r, of, keepdims=True) == jnp.min(r, of, keepdims=True)
  centred = jnp.where(same, 0.0, r - jnp.mean(r, of, keepdims=True))
  if scale in ('std', 'batch_std', 'global'):
    over, n = (-1, G) if scale == 'std' else (None, r.size)
    std = jnp.sqrt(jnp.sum(jnp.square(centred), over, keepdims=True) / (n - ddof))
    return centred / jnp.where(jnp.all(same, over, keepdims=True), 1.0, std + eps)
  if scale == 'none':
    return centred
  if scale == 'rloo':
    return centred * (G / (G - 1))
  raise ValueError(f'{scale=} is not one of {", ".join(map(repr, SCALES))}')


def importance_weights(old_logps_BxT: jax.Array, sampler_logps_BxT: jax.Array, *, cap: float,
                       kind: str = 'truncate') -> jax.Array:
  """For a sampler that is not quite the policy, w = exp(old - sampler) of each token, no gradient.

  'truncate': min(w, C) (Yao et al. 2025); 'mask': w where 1/C <= w <= C, else 0, so that such a token teaches nothing
  (IcePop, Ling team 2025). `old` must be the trainer's own recomputation.

  Raises:
    ValueError: an unknown kind.
  """
  w = jnp.exp(old_logps_BxT - sampler_logps_BxT)
  if kind == 'truncate':
    w = jnp.minimum(w, cap)
  elif kind == 'mask':
    w = jnp.where((w >= 1 / cap) & (w <= cap), w, 0.0)
  else:
    raise ValueError(f'{kind=} is not one of {", ".join(map(repr, IS_KINDS))}')
  return jax.lax.stop_gradient(w)


def importance_cut(old_logps_BxT: jax.Array, sampler_logps_BxT: jax.Array, *, cap: float, kind: str) -> jax.Array:
  """[B, T] bool: tokens whose weight importance_weights truncates, or masks."""
  w = jnp.exp(old_logps_BxT - sampler_logps_BxT)
  return (w > cap) | ((kind == 'mask') & (w < 1 / cap))


def check_loss(ratio: str, aggregate: str, surrogate: str, kl: str, *, importance: bool) -> None:
  """Raises ValueError for what has no meaning together; importance: tokens have importance weights."""
  for name, value, choices in (('ratio', ratio, RATIOS), ('aggregate', aggregate, AGGREGATES),
                               ('surrogate', surrogate, SURROGATES), ('kl', kl, tuple(KL))):
    if value not in choices:
      raise ValueError(f'{name}={value!r} is not one of {", ".join(map(repr, choices))}')
  if ratio != 'token' and aggregate != 'sequence_mean':
    raise ValueError(f"ratio={ratio!r} gives one term an output: {aggregate=} must be 'sequence_mean'")
  if ratio != 'token' and importance:
    raise ValueError(f"is_weights_BxT are per token: they need ratio='token', not {ratio!r}")
  if ratio != 'token' and surrogate != 'clip':
    raise ValueError(f"{surrogate=} weighs tokens: it needs ratio='token', not {ratio!r}")
  if ratio == 'sequence' and kl != 'k3':
    raise ValueError(f"ratio='sequence' has eq. 2 as printed: {kl=} must be 'k3'")


def _check_numbers(aggregate, max_length, kl_coef, ref_logps_BxT, clip_low, clip_high) -> None:
  if aggregate == 'fixed_length' and not max_length:
    raise ValueError(f"aggregate='fixed_length' divides by a constant: {max_length=} must be given")
  if kl_coef != 0 and ref_logps_BxT is None:
    raise ValueError(f'{kl_coef=} needs ref_logps_BxT')
  if min(clip_low, clip_high) < 0:
    raise ValueError(f'{clip_low=} and {clip_high=} must be >= 0')


def _mean_of_output(x_BxT, mask_BxT, lengths_B):
  """[B]: the mean over each output's tokens; 0 of none."""
  return jnp.sum(jnp.where(mask_BxT > 0, x_BxT * mask_BxT, 0.0), axis=-1) / jnp.maximum(lengths_B, 1.0)


def aggregated(x_BxT: jax.Array, mask_BxT: jax.Array, aggregate: str) -> jax.Array:
  """The numerator of a term that each token has, as policy_loss adds it up."""
  if aggregate == 'sequence_mean':
    return jnp.sum(_mean_of_output(x_BxT, mask_BxT, jnp.sum(mask_BxT, axis=-1)))
  return masked_sum(x_BxT, mask_BxT)


def _ratio_term(logps_BxT, log_ratio_BxT, advantages_B, mask_BxT, exists_B, lengths_B, clip_low, clip_high, ratio: str,
                surrogate: str, metrics: dict):
  """What a token, or an output, adds of its advantage, and how much the clip takes away."""
  if ratio == 'token':
    log_ratio, A, weight = log_ratio_BxT, advantages_B[:, None], mask_BxT
  else:
    log_ratio, A, weight = jnp.sum(log_ratio_BxT, axis=-1), advantages_B, exists_B
  if ratio == 'gspo':
    log_ratio = log_ratio / jnp.maximum(lengths_B, 1.0)
  elif ratio == 'sequence':
    limited = jnp.abs(log_ratio) > _MAX_LOG_RATIO
    log_ratio = jnp.clip(log_ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    metrics['clip/log_ratio_limited'] = (jnp.sum(limited * weight), jnp.sum(weight))
  w = jnp.exp(log_ratio)
  clipped = jnp.clip(w, 1 - clip_low, 1 + clip_high)
  if surrogate != 'reinforce':
    # The share of terms whose gradient the clip takes away: only where the clipped branch is the smaller one. Of cispo
    # those whose weight it holds.
    below, above = (A != 0, A != 0) if surrogate == 'cispo' else (A < 0, A > 0)
    metrics['clip/low'] = (jnp.sum(((w < 1 - clip_low) & below) * weight), jnp.sum(weight))
    metrics['clip/high'] = (jnp.sum(((w > 1 + clip_high) & above) * weight), jnp.sum(weight))
  if surrogate == 'clip':
    return -jnp.minimum(w * A, clipped * A)
  held = jax.lax.stop_gradient(clipped) if surrogate == 'cispo' else 1.0
  return -held * A * jnp.where(mask_BxT > 0, logps_BxT, 0.0)


def _kl_term(logps_BxT, ref_logps_BxT, mask_BxT, lengths_B, kl_coef: float, ratio: str, kl: str, metrics: dict):
  """What the loss has of it, [B, T] or of an output, [B]; and its metric."""
  zero_outside = lambda x: jnp.where(mask_BxT > 0, x, 0.0)
  ref_BxT = jnp.minimum(ref_logps_BxT, logps_BxT + _OVERFLOW)
  k3_BxT = KL['k3'](zero_outside(logps_BxT), zero_outside(ref_BxT))
  metrics['kl/nats_per_token'] = (masked_sum(jax.lax.stop_gradient(k3_BxT), mask_BxT), jnp.sum(mask_BxT))
  if kl_coef == 0:
    return 0.0
  if ratio == 'sequence':
    ref_ratio = jnp.sum(zero_outside(ref_logps_BxT - logps_BxT), axis=-1)
    return kl_coef * KL['k3'](0.0, jnp.clip(ref_ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO))
  kl_BxT = k3_BxT if kl == 'k3' else KL[kl](zero_outside(logps_BxT), zero_outside(ref_BxT))
  return kl_coef * (kl_BxT if ratio == 'token' else _mean_of_output(kl_BxT, mask_BxT, lengths_B))


def policy_loss(logps_BxT: jax.Array, old_logps_BxT: jax.Array, ref_logps_BxT: jax.Array | None,
                advantages_B: jax.Array, mask_BxT: jax.Array, *, clip_low: float, clip_high: float,
                kl_coef: float, ratio: str = 'token', aggregate: str = 'sequence_mean',
                max_length: int | None = None, is_weights_BxT: jax.Array | None = None, surrogate: str = 'clip',
                kl: str = 'k3', counts_B: jax.Array | None = None):
  """-J of eq. 1 as (numerator, denominator, metrics); the loss to minimise is numerator / denominator.

  With ratio='token' (the default; DeepSeekMath, eq. 3) each token has its own ratio w_t = pi/pi_old, and
    l_t = -min(w_t A, clip(w_t, 1 - clip_low, 1 + clip_high) A) * is_weight_t + kl_coef * k3_t.
  With ratio='sequence' (eqs. 1 and 2 of this paper as printed) w and k3 are those of whole outputs, from
  masked sums of log-probabilities. With ratio='gspo' (GSPO, Zheng et al. 2025, eq. 7) w is an output's, the |o|-th root
  of that one, clipped and weighed as such, and KL stays the tokens' mean.

  Args:
    logps_BxT: log-probabilities of the sampled tokens under the policy, nats, with gradient.
    old_logps_BxT: the same under the policy that sampled them.
    ref_logps_BxT: the same under the reference; None only when kl_coef == 0.
    advantages_B: one an output.
    mask_BxT: 1 for tokens of the completion, its end-of-sequence token among them.
    clip_low, clip_high: eps of eq. 1 below and above; any numbers >= 0.
    kl_coef: beta of eq. 1.
    aggregate: 'sequence_mean': mean over outputs of each one's token mean (1/|o_i|, DeepSeekMath);
      'token_mean': mean over all tokens (DAPO, Yu et al. 2025, eq. 8);
      'fixed_length': sum over tokens / (B * max_length) (Dr. GRPO, Liu et al. 2025).
    max_length: the constant of 'fixed_length'.
    is_weights_BxT: see importance_weights; not applied to the KL term.
    surrogate: 'clip', as above; 'cispo': -stop_gradient(clip(w, 1 - clip_low, 1 + clip_high)) A log pi, from which no
      clip takes the gradient (MiniMax-M1, Chen et al. 2025, eq. 4); 'reinforce': -A log pi, no ratio (Ahmadian et al.
      2024), the gradient of J while the policy is the one that sampled.
    kl: the estimator of the KL term, 'k1', 'k2' or 'k3' (losses.py); the metric is k3's whichever it is.
    counts_B: 1 for outputs that count, 0 for those left out: they add to neither numerator nor denominator, nor to
      these metrics.

  Returns:
    numerator, denominator: scalars; those of several micro-batches add. An output with an empty mask counts
      in no denominator.
    metrics: name -> (sum, count).

  Raises:
    ValueError: a combination that has no meaning.
  """
  check_loss(ratio, aggregate, surrogate, kl, importance=is_weights_BxT is not None)
  _check_numbers(aggregate, max_length, kl_coef, ref_logps_BxT, clip_low, clip_high)
  mask = mask_BxT.astype(jnp.float32)
  if counts_B is not None:
    mask = jnp.where(counts_B[:, None] > 0, mask, 0.0)
  inside = mask > 0
  lengths_B = jnp.sum(mask, axis=-1)
  exists_B = (lengths_B > 0).astype(jnp.float32)
  zero_outside = lambda x: jnp.where(inside, x, 0.0)
  log_ratio_BxT = jnp.clip(zero_outside(logps_BxT - old_logps_BxT), -_OVERFLOW, _OVERFLOW)
  metrics = {}

  loss = _ratio_term(logps_BxT, log_ratio_BxT, advantages_B, mask, exists_B, lengths_B, clip_low, clip_high, ratio,
                     surrogate, metrics)
  if is_weights_BxT is not None:
    loss = loss * jnp.where(inside, is_weights_BxT, 0.0)
  if ref_logps_BxT is not None:
    loss = loss + _kl_term(logps_BxT, ref_logps_BxT, mask, lengths_B, kl_coef, ratio, kl, metrics)

  if ratio == 'token':
    numerator = aggregated(loss, mask, aggregate)
  else:
    numerator = jnp.sum(jnp.where(exists_B > 0, loss, 0.0))
  denominator = {'sequence_mean': jnp.sum(exists_B), 'token_mean': jnp.sum(mask),
                 'fixed_length': jnp.sum(exists_B) * (max_length or 0)}[aggregate]
  metrics['loss'] = (jax.lax.stop_gradient(numerator), denominator)
  return numerator, denominator, metrics
