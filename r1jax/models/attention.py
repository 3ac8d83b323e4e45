"""Scaled dot-product attention over a row's own keys and, where given, a prefix its group shares."""

import jax
import jax.numpy as jnp

_MASKED = -1e30  # finite: a row of masked scores must not become NaN


def attend(q_BxHxTxd: jax.Array, k_BxKxSxd: jax.Array, v_BxKxSxd: jax.Array, mask_BxTxS: jax.Array,
           prefix: tuple[jax.Array, jax.Array, jax.Array] | None = None) -> jax.Array:
  """softmax(q k / sqrt(d)) v with grouped query heads (Ainslie et al. 2023); softmax in float32.

  Args:
    q_BxHxTxd: queries; head h reads key head h // (H / K).
    k_BxKxSxd, v_BxKxSxd: the row's own keys and values.
    mask_BxTxS: True where a query may look.
    prefix: (k_NxKxPxd, v_NxKxPxd, valid_NxP): keys that the B / N rows of a group share, all of them
      before every query. They are read once for the group instead of once a row.

  Returns: [B, H, T, d]
  """
  B, H, T, d = q_BxHxTxd.shape
  K = k_BxKxSxd.shape[1]
  R = H // K
  with jax.named_scope('attention'):
    q = (q_BxHxTxd * d**-0.5).reshape(B, K, R * T, d)
    own = jnp.einsum('bkqd,bksd->bkqs', q, k_BxKxSxd, preferred_element_type=jnp.float32)
    mask = jnp.broadcast_to(mask_BxTxS[:, None, None], (B, 1, R) + mask_BxTxS.shape[1:])
    scores = jnp.where(mask.reshape(B, 1, R * T, -1), own, _MASKED)
    if prefix is not None:
      k_NxKxPxd, v_NxKxPxd, valid_NxP = prefix
      N, _, P, _ = k_NxKxPxd.shape
      G = B // N
      q_N = q.reshape(N, G, K, R * T, d).swapaxes(1, 2).reshape(N, K, G * R * T, d)
      shared = jnp.einsum('nkqd,nkpd->nkqp', q_N, k_NxKxPxd, preferred_element_type=jnp.float32)
      shared = jnp.where(valid_NxP[:, None, None], shared, _MASKED)
      shared = shared.reshape(N, K, G, R * T, P).swapaxes(1, 2).reshape(B, K, R * T, P)
      scores = jnp.concatenate([shared, scores], axis=-1)
    probs = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
    if prefix is None:
      out = jnp.einsum('bkqs,bksd->bkqd', probs, v_BxKxSxd)
    else:
      probs_N = probs[..., :P].reshape(N, G, K, R * T, P).swapaxes(1, 2).reshape(N, K, G * R * T, P)
      out = jnp.einsum('nkqp,nkpd->nkqd', probs_N, v_NxKxPxd)
      out = out.reshape(N, K, G, R * T, d).swapaxes(1, 2).reshape(B, K, R * T, d)
      out = out + jnp.einsum('bkqs,bksd->bkqd', probs[..., P:], v_BxKxSxd)
    return out.reshape(B, H, T, d)
