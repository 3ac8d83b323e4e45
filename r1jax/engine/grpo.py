"""GRPO: rewards -> advantages, and the clipped objective with its KL term (paper, section 2.2.1).

Arrays in, arrays out. Nothing here knows of models, configs or files.
"""

import jax
import jax.numpy as jnp

from r1jax.engine.losses import kl_k3, masked_sum

_MAX_LOG_RATIO = 20.0  # e^20 = 5e8: beyond it a sequence ratio says only "far away"
_OVERFLOW = 80.0  # e^88.7 is float32's largest; inf * 0 would make one token's NaN everybody's


def group_advantages(rewards_NxG: jax.Array, *, scale: str = 'std', ddof: int = 0, eps: float = 0.0) -> jax.Array:
  """A_i = (r_i - mean(r)) / std(r) within each group (paper, eq. 3).

  A group of equal rewards carries no preference and gets exactly zero; the bare formula does not
  give that in float32 (sixteen rewards of 1.1 come out as -1.0).

  Args:
    rewards_NxG: one row a group.
    scale: 'std' (eq. 3); 'none': r - mean (Dr. GRPO, Liu et al. 2025); 'rloo': r - mean of the others
      (Ahmadian et al. 2024) = (r - mean) G / (G - 1).
    ddof: 0 for the population's standard deviation (numpy's default), 1 for the sample's.
    eps: added to the standard deviation.

  Returns: [N, G] float32.

  Raises:
    ValueError: a group of one has nothing to be compared with; an unknown scale.
  """
  G = rewards_NxG.shape[-1]
  if G < 2:
    raise ValueError(f'a group of {G} sample has no baseline: give rl.samples >= 2')
  r = jnp.asarray(rewards_NxG, jnp.float32)
  same = jnp.max(r, -1, keepdims=True) == jnp.min(r, -1, keepdims=True)
  centred = r - jnp.mean(r, -1, keepdims=True)
  if scale == 'std':
    std = jnp.sqrt(jnp.sum(jnp.square(centred), -1, keepdims=True) / (G - ddof))
    out = centred / jnp.where(same, 1.0, std + eps)
  elif scale == 'none':
    out = centred
  elif scale == 'rloo':
    out = centred * (G / (G - 1))
  else:
    raise ValueError(f"{scale=} is not one of 'std', 'none', 'rloo'")
  return jnp.where(same, 0.0, out)


def importance_weights(old_logps_BxT: jax.Array, sampler_logps_BxT: jax.Array, *, cap: float) -> jax.Array:
  """min(exp(old - sampler), C), no gradient: truncated importance sampling for a sampler that is not quite
  the policy (Yao et al. 2025). `old` must be the trainer's own recomputation."""
  return jax.lax.stop_gradient(jnp.minimum(jnp.exp(old_logps_BxT - sampler_logps_BxT), cap))


def _check_loss(ratio, aggregate, max_length, is_weights_BxT, kl_coef, ref_logps_BxT, clip_low, clip_high) -> None:
  if ratio not in ('token', 'sequence'):
    raise ValueError(f"{ratio=} is not one of 'token', 'sequence'")
  if aggregate not in ('sequence_mean', 'token_mean', 'fixed_length'):
    raise ValueError(f"{aggregate=} is not one of 'sequence_mean', 'token_mean', 'fixed_length'")
  if ratio == 'sequence' and aggregate != 'sequence_mean':
    raise ValueError(f"ratio='sequence' gives one term an output: {aggregate=} must be 'sequence_mean'")
  if ratio == 'sequence' and is_weights_BxT is not None:
    raise ValueError("is_weights_BxT are per token: they need ratio='token'")
  if aggregate == 'fixed_length' and not max_length:
    raise ValueError(f"aggregate='fixed_length' divides by a constant: {max_length=} must be given")
  if kl_coef != 0 and ref_logps_BxT is None:
    raise ValueError(f'{kl_coef=} needs ref_logps_BxT')
  if min(clip_low, clip_high) < 0:
    raise ValueError(f'{clip_low=} and {clip_high=} must be >= 0')


def policy_loss(logps_BxT: jax.Array, old_logps_BxT: jax.Array, ref_logps_BxT: jax.Array | None,
                advantages_B: jax.Array, mask_BxT: jax.Array, *, clip_low: float, clip_high: float,
                kl_coef: float, ratio: str = 'token', aggregate: str = 'sequence_mean',
                max_length: int | None = None, is_weights_BxT: jax.Array | None = None):
  """-J of eq. 1 as (numerator, denominator, metrics); the loss to minimise is numerator / denominator.

  With ratio='token' (the default; DeepSeekMath, eq. 3) each token has its own ratio w_t = pi/pi_old, and
    l_t = -min(w_t A, clip(w_t, 1 - clip_low, 1 + clip_high) A) * is_weight_t + kl_coef * k3_t.
  With ratio='sequence' (eqs. 1 and 2 of this paper as printed) w and k3 are those of whole outputs, from
  masked sums of log-probabilities.

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

  Returns:
    numerator, denominator: scalars; those of several micro-batches add. An output with an empty mask counts
      in no denominator.
    metrics: name -> (sum, count).

  Raises:
    ValueError: a combination that has no meaning.
  """
  _check_loss(ratio, aggregate, max_length, is_weights_BxT, kl_coef, ref_logps_BxT, clip_low, clip_high)
  mask = mask_BxT.astype(jnp.float32)
  inside = mask > 0
  lengths_B = jnp.sum(mask, axis=-1)
  exists_B = (lengths_B > 0).astype(jnp.float32)
  zero_outside = lambda x: jnp.where(inside, x, 0.0)
  log_ratio_BxT = jnp.clip(zero_outside(logps_BxT - old_logps_BxT), -_OVERFLOW, _OVERFLOW)
  metrics = {}

  if ratio == 'token':
    log_ratio, A, weight = log_ratio_BxT, advantages_B[:, None], mask
  else:
    summed_B = jnp.sum(log_ratio_BxT, axis=-1)
    log_ratio = jnp.clip(summed_B, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    A, weight = advantages_B, exists_B
    metrics['clip/log_ratio_limited'] = (jnp.sum((jnp.abs(summed_B) > _MAX_LOG_RATIO) * weight), jnp.sum(weight))
  w = jnp.exp(log_ratio)
  clipped = jnp.clip(w, 1 - clip_low, 1 + clip_high)
  loss = -jnp.minimum(w * A, clipped * A)
  if is_weights_BxT is not None:
    loss = loss * jnp.where(inside, is_weights_BxT, 0.0)
  # The share of terms whose gradient the clip takes away: only where the clipped branch is the smaller one.
  metrics['clip/low'] = (jnp.sum(((w < 1 - clip_low) & (A < 0)) * weight), jnp.sum(weight))
  metrics['clip/high'] = (jnp.sum(((w > 1 + clip_high) & (A > 0)) * weight), jnp.sum(weight))

  if ref_logps_BxT is not None:
    ref_BxT = jnp.minimum(ref_logps_BxT, logps_BxT + _OVERFLOW)
    k3_BxT = kl_k3(zero_outside(logps_BxT), zero_outside(ref_BxT))
    metrics['kl/nats_per_token'] = (masked_sum(jax.lax.stop_gradient(k3_BxT), mask), jnp.sum(mask))
    if kl_coef != 0 and ratio == 'token':
      loss = loss + kl_coef * k3_BxT
    elif kl_coef != 0:
      ref_ratio = jnp.sum(zero_outside(ref_logps_BxT - logps_BxT), axis=-1)
      loss = loss + kl_coef * kl_k3(0.0, jnp.clip(ref_ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO))

  if ratio == 'sequence':
    numerator, denominator = jnp.sum(jnp.where(exists_B > 0, loss, 0.0)), jnp.sum(exists_B)
  elif aggregate == 'sequence_mean':
    per_output = jnp.sum(zero_outside(loss * mask), axis=-1) / jnp.maximum(lengths_B, 1.0)
    numerator, denominator = jnp.sum(per_output), jnp.sum(exists_B)
  elif aggregate == 'token_mean':
    numerator, denominator = masked_sum(loss, mask), jnp.sum(mask)
  else:
    numerator, denominator = masked_sum(loss, mask), jnp.sum(exists_B) * max_length
  metrics['loss'] = (jax.lax.stop_gradient(numerator), denominator)
  return numerator, denominator, metrics
