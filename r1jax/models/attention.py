"""Scaled dot-product attention: one function, three ways to compute it.

  xla      softmax(q k) v as XLA fuses it; every platform, and every step of decoding that nothing else covers
  splash   jax's Pallas kernel for TPU, under shard_map, for whole rows: the [T, S] scores are never built. Decoding
           has a kernel of its own beside it (models/decode_kernel.py)
  cudnn    jax.nn.dot_product_attention on NVIDIA GPUs, for whole rows
  splash_interpret    splash and the decode kernel by Pallas' interpreter: for tests, on any platform

All three give the same numbers (tests/attention_test.py).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from r1jax.models import decode_kernel
from r1jax.models.layers import spec_for
from r1jax.types import NOWHERE

PATHS = ('xla', 'splash', 'splash_interpret', 'cudnn')
_MASKED = -1e30  # finite: a row of masked scores must not become NaN


class Where(NamedTuple):
  """Who sees whom; made once by `where`, read by every layer."""
  mask_BxTxS: jax.Array | None  # bool; None when the kernel needs none
  q_segments_BxT: jax.Array | None  # int32, 0 for padding; for splash
  k_segments_BxS: jax.Array | None
  prefix_valid_NxP: jax.Array | None  # bool
  slot: jax.Array | None  # int32 scalar: where a cache is written
  real_BxT: jax.Array  # bool, False for padding


def where(path: str, q_positions_BxT, k_positions_BxS, segment_ids_BxT=None, prefix_positions_NxP=None,
          slot=None) -> Where:
  """From positions (NOWHERE: padding) and the segments of packed rows; a query sees earlier keys of its segment."""
  valid = None if prefix_positions_NxP is None else prefix_positions_NxP != NOWHERE
  real_BxT = q_positions_BxT != NOWHERE
  if path.startswith('splash') and slot is None:
    # Rows are in order, so what is earlier is what stands to the left; padding is a segment of its own.
    segments = real_BxT.astype(jnp.int32) * (1 if segment_ids_BxT is None else segment_ids_BxT + 1)
    return Where(None, segments, segments, valid, None, real_BxT)
  mask_BxTxS = k_positions_BxS[:, None, :] <= q_positions_BxT[:, :, None]
  if segment_ids_BxT is not None:
    mask_BxTxS &= segment_ids_BxT[:, None, :] == segment_ids_BxT[:, :, None]
  return Where(mask_BxTxS, None, None, valid, slot, real_BxT)


def attend(q_BxHxTxd: jax.Array, k_BxKxSxd: jax.Array, v_BxKxSxe: jax.Array, seen: Where, prefix=None, *,
           scale: float | None = None, path: str = 'xla') -> jax.Array:
  """softmax(q k * scale) v with grouped query heads (Ainslie et al. 2023); softmax in float32.

  Args:
    q_BxHxTxd: queries; head h reads key head h // (H / K).
    k_BxKxSxd, v_BxKxSxe: the rows' own keys and values; T == S but for the XLA path.
    seen: of `where`, made for the same path.
    prefix: (k_NxKxPxd, v_NxKxPxe): keys that the B / N rows of a group share, all of them before every query.
    scale: None: 1 / sqrt(d).
    path: one of PATHS.

  Returns: [B, H, T, e]
  """
  scale = q_BxHxTxd.shape[-1]**-0.5 if scale is None else scale
  with jax.named_scope('attention'):
    if path == 'xla':
      return _xla(q_BxHxTxd, k_BxKxSxd, v_BxKxSxe, seen, prefix, scale)
    if prefix is not None:
      G = q_BxHxTxd.shape[0] // prefix[0].shape[0]
      k_BxKxSxd, v_BxKxSxe = (jnp.concatenate([jnp.repeat(shared, G, axis=0), own], axis=2)
                              for shared, own in zip(prefix, (k_BxKxSxd, v_BxKxSxe)))
    if path == 'cudnn':
      return _cudnn(q_BxHxTxd, k_BxKxSxd, v_BxKxSxe, seen, prefix, scale)
    return _splash(q_BxHxTxd * scale, k_BxKxSxd, v_BxKxSxe, seen, prefix, interpret=path == 'splash_interpret')


def write(cached, new, layer, slot):
  """Puts a layer's new keys and values into the stacked cache in place: it is a carry, not a scanned output."""
  at = (layer, 0, 0, slot, 0)
  return tuple(jax.lax.dynamic_update_slice(whole, part[None].astype(whole.dtype), at)
               for whole, part in zip(cached, new))


def attend_cache(q_BxHxTxd, cached, layer, seen: Where, prefix=None, *, scale: float | None = None,
                 path: str = 'xla', value_dim: int | None = None) -> jax.Array:
  """`attend` to what `write` has put into a cache.

  Args:
    cached: (k_LxBxKxSxd, v_LxBxKxSxe), or (k_LxBxKxSxd,) whose first value_dim entries are the values (MLA).
  """
  scale = q_BxHxTxd.shape[-1]**-0.5 if scale is None else scale
  if path.startswith('splash') and q_BxHxTxd.shape[2] == 1:
    with jax.named_scope('attention'):
      return _decode(q_BxHxTxd * scale, cached, layer, seen, prefix, value_dim, path == 'splash_interpret')
  kv = [jax.lax.dynamic_index_in_dim(whole, layer, keepdims=False).astype(q_BxHxTxd.dtype) for whole in cached]
  k, v = kv if len(kv) == 2 else (kv[0], kv[0][..., :value_dim])
  return attend(q_BxHxTxd, k, v, seen, prefix, scale=scale)


def _xla(q_BxHxTxd, k_BxKxSxd, v_BxKxSxe, seen, prefix, scale):
  B, H, T, d = q_BxHxTxd.shape
  K = k_BxKxSxd.shape[1]
  R = H // K
  q = (q_BxHxTxd * scale).reshape(B, K, R * T, d)
  own = jnp.einsum('bkqd,bksd->bkqs', q, k_BxKxSxd, preferred_element_type=jnp.float32)
  mask = jnp.broadcast_to(seen.mask_BxTxS[:, None, None], (B, 1, R) + seen.mask_BxTxS.shape[1:])
  scores = jnp.where(mask.reshape(B, 1, R * T, -1), own, _MASKED)
  if prefix is None:
    probs = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
    return jnp.einsum('bkqs,bkse->bkqe', probs, v_BxKxSxe).reshape(B, H, T, -1)
  shared, by_group = _shared_scores(q, prefix[0], seen)
  P = shared.shape[-1]
  probs = jax.nn.softmax(jnp.concatenate([shared, scores], axis=-1), axis=-1).astype(q.dtype)
  out = by_group(probs[..., :P], prefix[1]) + jnp.einsum('bkqs,bkse->bkqe', probs[..., P:], v_BxKxSxe)
  return out.reshape(B, H, T, -1)


def _shared_scores(q_BxKxQxd, k_NxKxPxd, seen):
  """Scores [B, K, Q, P] against a group's shared keys, read once for the group; and the same way back for values."""
  B, K, Q, d = q_BxKxQxd.shape
  N, _, P, _ = k_NxKxPxd.shape
  G = B // N
  q_N = q_BxKxQxd.reshape(N, G, K, Q, d).swapaxes(1, 2).reshape(N, K, G * Q, d)
  shared = jnp.einsum('nkqd,nkpd->nkqp', q_N, k_NxKxPxd, preferred_element_type=jnp.float32)
  shared = jnp.where(seen.prefix_valid_NxP[:, None, None], shared, _MASKED)
  shared = shared.reshape(N, K, G, Q, P).swapaxes(1, 2).reshape(B, K, Q, P)

  def by_group(probs_BxKxQxP, v_NxKxPxe):
    probs_N = probs_BxKxQxP.reshape(N, G, K, Q, P).swapaxes(1, 2).reshape(N, K, G * Q, P)
    out = jnp.einsum('nkqp,nkpe->nkqe', probs_N, v_NxKxPxe)
    return out.reshape(N, K, G, Q, -1).swapaxes(1, 2).reshape(B, K, Q, -1)

  return shared, by_group


def _decode(q_BxHx1xd, cached, layer, seen, prefix, value_dim, interpret):
  """One new token a row: the row's own slots by the kernel, the shared prefix by XLA, joined by their log-sums."""
  B, H, _, d = q_BxHx1xd.shape
  K = cached[0].shape[2]
  q_BxKxRxd = q_BxHx1xd.reshape(B, K, H // K, d)
  lengths_B = jnp.full(B, seen.slot + 1, jnp.int32)
  kernel = functools.partial(decode_kernel.attend, value_dim=value_dim, interpret=interpret)
  mesh = jax.sharding.get_abstract_mesh()
  if not mesh.empty:
    # One key head for all (MLA): its queries are dealt out, the cache is whole on every device of a row.
    rows = spec_for(('batch', 'kv_heads', None), (B, K, 1)) if K > 1 else spec_for(('batch', None, 'heads'), (B, 1, H))
    whole = jax.P(None, rows[0], rows[1])
    kernel = jax.shard_map(kernel, in_specs=(rows, (whole,) * len(cached), jax.P(), jax.P(rows[0])),
                           out_specs=(rows, rows), check_vma=False)
  out, lse_BxKxR = kernel(q_BxKxRxd, cached, layer, lengths_B)
  if prefix is None:
    return out.astype(q_BxHx1xd.dtype).reshape(B, H, 1, -1)
  shared, by_group = _shared_scores(q_BxKxRxd, prefix[0], seen)
  top = jnp.maximum(jnp.max(shared, axis=-1), lse_BxKxR)
  probs = jnp.exp(shared - top[..., None])
  own = jnp.exp(lse_BxKxR - top)[..., None]
  total = jnp.sum(probs, axis=-1, keepdims=True) + own
  out = (by_group(probs.astype(q_BxHx1xd.dtype), prefix[1]) + own * out) / total
  return out.astype(q_BxHx1xd.dtype).reshape(B, H, 1, -1)


def _cudnn(q, k, v, seen, prefix, scale, implementation: str = 'cudnn'):
  mask = seen.mask_BxTxS
  if prefix is not None:
    G = q.shape[0] // seen.prefix_valid_NxP.shape[0]
    shared = jnp.repeat(seen.prefix_valid_NxP, G, axis=0)[:, None, :]
    mask = jnp.concatenate([jnp.broadcast_to(shared, (*mask.shape[:2], shared.shape[-1])), mask], axis=-1)
  values = v.shape[-1]
  v = jnp.pad(v, ((0, 0), (0, 0), (0, 0), (0, q.shape[-1] - values)))  # MLA: narrower than keys, cuDNN wants one width
  q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))  # [B, T, H, d]
  out = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None], scale=scale, implementation=implementation)
  return out.swapaxes(1, 2)[..., :values]


def _splash(q, k, v, seen, prefix, *, interpret):
  """jax's splash kernel for queries that are the last T of S positions, padded to whole blocks."""
  (B, H, T, _), (_, K, S, _) = q.shape, k.shape
  q_segments, k_segments = seen.q_segments_BxT, seen.k_segments_BxS
  if prefix is not None:  # completions are one segment after their prompt, whatever stands to their right
    shared = jnp.repeat(seen.prefix_valid_NxP, B // seen.prefix_valid_NxP.shape[0], axis=0).astype(jnp.int32)
    q_segments = jnp.ones_like(q_segments)
    k_segments = jnp.concatenate([shared, jnp.ones_like(k_segments)], axis=1)
  (block_q, pad_q), (block_k, pad_k) = _blocks(T), _blocks(S)
  pad = lambda x, n, axis: jnp.pad(x, [(0, n if i == axis else 0) for i in range(x.ndim)]) if n else x
  q, q_segments = pad(q, pad_q, 2), pad(q_segments, pad_q, 1)
  k, v, k_segments = pad(k, pad_k, 2), pad(v, pad_k, 2), pad(k_segments, pad_k, 1)
  run = functools.partial(_splash_shard, offset=S - T, block_q=block_q, block_k=block_k, interpret=interpret)
  mesh = jax.sharding.get_abstract_mesh()
  if not mesh.empty:
    head = spec_for(('batch', 'heads'), (B, H))
    if head[1] is not None and spec_for(('batch', 'heads'), (B, K))[1] is None:
      k, v = (jnp.repeat(x, H // K, axis=1) for x in (k, v))  # fewer key heads than devices to deal them to
    row = jax.P(head[0])
    run = jax.shard_map(run, in_specs=(head, head, head, row, row), out_specs=head, check_vma=False)
  return run(q, k, v, q_segments, k_segments)[:, :, :T]


def _splash_shard(q, k, v, q_segments, k_segments, *, offset, block_q, block_k, interpret):
  from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
  from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
  H, T, S = q.shape[1], q.shape[2], k.shape[2]
  sizes = splash.BlockSizes(block_q=block_q, block_kv=block_k, block_kv_compute=block_k, block_q_dkv=block_q,
                            block_kv_dkv=block_k, block_kv_dkv_compute=block_k, block_q_dq=block_q,
                            block_kv_dq=block_k)
  mask = masks.MultiHeadMask([masks.CausalMask((T, S), offset=offset)] * H)
  kernel = splash.make_splash_mha(mask, block_sizes=sizes, head_shards=1, q_seq_shards=1, interpret=interpret)
  return jax.vmap(kernel)(q, k, v, splash.SegmentIds(q_segments, k_segments))


def _blocks(n: int) -> tuple[int, int]:
  """(block size, padding): whole blocks of 512, of 128 where rows are short."""
  block = 512 if n >= 512 else 128
  return block, -n % block
