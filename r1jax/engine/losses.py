"""Token log-probabilities without the [B, T, V] array, masked sums, cross entropy, KL estimators."""

import jax
import jax.numpy as jnp


def token_logps(unembed, hidden_BxTxD: jax.Array, targets_BxT: jax.Array, *, temperature: float = 1.0,
                chunk: int = 128, entropy_gradient: bool = False) -> tuple[jax.Array, jax.Array]:
  """Log-probability of each target and entropy of each distribution, both [B, T], at least float32, nats.

  The entropy is for looking at, without a gradient, unless entropy_gradient.

  The vocabulary is met `chunk` positions at a time, and met again in the backward pass, so the largest
  array is [B, chunk, V].

  Args:
    unembed: hidden states of any leading shape -> logits, float32.
    hidden_BxTxD: position t predicts targets_BxT[:, t].
    targets_BxT: token ids.
    temperature: the sampler's; logits are divided by it. A policy that is sampled at another temperature
      than it is trained at is another policy.
  """
  if temperature <= 0:
    raise ValueError(f'{temperature=} must be > 0: a greedy sampler has no gradient')
  B, T, D = hidden_BxTxD.shape

  @jax.checkpoint
  def one(hidden, targets):
    with jax.named_scope('token_logps'):
      logits = unembed(hidden) / temperature
      return _logp_and_entropy_fwd(logits, targets)[0] if entropy_gradient else _logp_and_entropy(logits, targets)

  if T <= chunk:
    return one(hidden_BxTxD, targets_BxT)
  n = -(-T // chunk)
  pad = n * chunk - T
  hidden = jnp.pad(hidden_BxTxD, ((0, 0), (0, pad), (0, 0))).reshape(B, n, chunk, D).swapaxes(0, 1)
  targets = jnp.pad(targets_BxT, ((0, 0), (0, pad))).reshape(B, n, chunk).swapaxes(0, 1)
  _, (logps, entropy) = jax.lax.scan(lambda _, x: (None, one(*x)), None, (hidden, targets))
  join = lambda y: y.swapaxes(0, 1).reshape(B, n * chunk)[:, :T]
  return join(logps), join(entropy)


@jax.custom_vjp
def _logp_and_entropy(logits, targets):
  """Of logits [..., V]; with a backward pass of its own, which goes through the vocabulary once."""
  return _logp_and_entropy_fwd(logits, targets)[0]


def _logp_and_entropy_fwd(logits, targets):
  shifted = logits - jnp.max(logits, axis=-1, keepdims=True)
  weights = jnp.exp(shifted)
  total = jnp.sum(weights, axis=-1)
  log_total = jnp.log(total)
  logp = jnp.take_along_axis(shifted, targets[..., None], axis=-1)[..., 0] - log_total
  return (logp, log_total - jnp.sum(weights * shifted, axis=-1) / total), (weights, total, targets)


def _logp_and_entropy_bwd(saved, grads):
  (weights, total, targets), grad = saved, grads[0]
  hit = jax.lax.broadcasted_iota(targets.dtype, weights.shape, weights.ndim - 1) == targets[..., None]
  return jnp.where(hit, grad[..., None], 0) - weights * (grad / total)[..., None], None


_logp_and_entropy.defvjp(_logp_and_entropy_fwd, _logp_and_entropy_bwd)


def chunk_positions(elements: int, B: int, V: int) -> int:
  """Positions a chunk, so that its [B, chunk, V] logits have at most `elements` entries (at least one position)."""
  return max(elements // (B * V), 1)


def length_mask(lengths_B: jax.Array, T: int) -> jax.Array:
  """[B, T] float32, 1 for the first lengths_B tokens of a row. The only place a mask comes from."""
  return (jnp.arange(T) < lengths_B[:, None]).astype(jnp.float32)


def masked_sum(x_BxT: jax.Array, mask_BxT: jax.Array) -> jax.Array:
  """Sum over the tokens of the mask; what lies outside may be NaN."""
  return jnp.sum(jnp.where(mask_BxT > 0, x_BxT * mask_BxT, 0.0))


def cross_entropy(logps_BxT: jax.Array, mask_BxT: jax.Array) -> tuple[jax.Array, jax.Array, dict]:
  """(numerator, denominator, metrics) of the mean negative log-likelihood per token, nats."""
  numerator, denominator = -masked_sum(logps_BxT, mask_BxT), jnp.sum(mask_BxT)
  return numerator, denominator, {'loss': (numerator, denominator)}


def log_loss(logits_B: jax.Array, labels_B) -> jax.Array:
  """Of each, -log sigmoid(logit) where the label is 1, -log sigmoid(-logit) where it is 0, nats.

  With logits r(better) - r(worse) and labels 1 it is the Bradley-Terry model's (Ouyang et al. 2022, eq. 1).
  """
  return -(labels_B * jax.nn.log_sigmoid(logits_B) + (1 - labels_B) * jax.nn.log_sigmoid(-logits_B))


def kl_k1(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
  """log(pi / pi_ref): unbiased, may be negative; as a loss it has no gradient from the reference."""
  return logps - ref_logps


def kl_k2(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
  """log(pi / pi_ref)^2 / 2 >= 0, biased; as a loss it has, on policy, the gradient of KL(pi || pi_ref)."""
  return jnp.square(logps - ref_logps) / 2


def kl_k3(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
  """exp(ref - logp) - (ref - logp) - 1 >= 0, unbiased for KL(pi || pi_ref) (paper, eq. 2; Schulman 2020)."""
  log_ratio = ref_logps - logps
  return jnp.expm1(log_ratio) - log_ratio


KL = {'k1': kl_k1, 'k2': kl_k2, 'k3': kl_k3}
