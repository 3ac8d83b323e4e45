"""Scaled dot-product attention: whole rows three ways, and one new token a row when decoding.

  xla      softmax(q k) v as XLA fuses it; every platform
  splash   jax's Pallas kernel for TPU, under shard_map: the [T, S] scores are never built. Decoding has a kernel of its
           own beside it (decode_kernel.py)
  cudnn    jax.nn.dot_product_attention on NVIDIA GPUs, for whole rows
  splash_interpret    splash and the decode kernel by Pallas' interpreter: for tests, on any platform

All give the same numbers (tests/attention_test.py).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from r1jax.models import decode_kernel
from r1jax.models.layers import constrain, spec_for
from r1jax.types import NOWHERE

PATHS = ('xla', 'splash', 'splash_interpret', 'cudnn')
_MASKED = -1e30  # finite: a row of masked scores must not become NaN


class Where(NamedTuple):
  """Who sees whom among whole rows; made once by `where`, read by every layer."""
  mask_BxTxS: jax.Array | None  # bool, S = P + T; None when the kernel needs none
  q_segments_BxT: jax.Array | None  # int32, 0 for padding; for splash
  k_segments_BxS: jax.Array | None
  prompt_B: jax.Array | None  # int32: which prompt of the prefix each row follows
  real_BxT: jax.Array  # bool, False for padding


class Step(NamedTuple):
  """Where decoding stands: one new token a row."""
  filled_S: jax.Array  # int32, columns of the cache that hold something
  recent: jax.Array  # int32 scalar: the column of `recent` that the new token takes; those before it are seen
  live_S: jax.Array  # bool; rows that have ended or are free see nothing


def where(path: str, positions_BxT, segment_ids_BxT=None, prefix_lengths_N=None, prompt_B=None,
          prefix_width: int = 0) -> Where:
  """From positions (NOWHERE: padding) and the segments of packed rows; a query sees earlier keys of its segment.

  Behind a prefix of width P, row b also sees the first prefix_lengths_N[prompt_B[b]] of its P columns.
  """
  real_BxT = positions_BxT != NOWHERE
  valid_BxP = None
  if prefix_lengths_N is not None:
    valid_BxP = jnp.arange(prefix_width) < prefix_lengths_N[prompt_B][:, None]
  if path.startswith('splash'):
    # Rows are in order, so what is earlier is what stands to the left; padding is a segment of its own.
    segments = real_BxT.astype(jnp.int32) * (1 if segment_ids_BxT is None else segment_ids_BxT + 1)
    if valid_BxP is None:
      return Where(None, segments, segments, None, real_BxT)
    ones = jnp.ones_like(segments)  # completions are one segment after their prompt, whatever stands to their right
    return Where(None, ones, jnp.concatenate([valid_BxP.astype(jnp.int32), ones], axis=1), prompt_B, real_BxT)
  mask_BxTxS = positions_BxT[:, None, :] <= positions_BxT[:, :, None]
  if segment_ids_BxT is not None:
    mask_BxTxS &= segment_ids_BxT[:, None, :] == segment_ids_BxT[:, :, None]
  if valid_BxP is not None:
    before = jnp.broadcast_to(valid_BxP[:, None], (*positions_BxT.shape, prefix_width))
    mask_BxTxS = jnp.concatenate([before, mask_BxTxS], axis=-1)
  return Where(mask_BxTxS, None, None, prompt_B, real_BxT)


def attend(q_BxHxTxd: jax.Array, k_BxKxTxd: jax.Array, v_BxKxTxe: jax.Array, seen: Where, prefix=None, *,
           scale: float | None = None, path: str = 'xla') -> jax.Array:
  """softmax(q k * scale) v with grouped query heads (Ainslie et al. 2023); softmax in float32.

  Args:
    q_BxHxTxd: queries; head h reads key head h // (H / K).
    k_BxKxTxd, v_BxKxTxe: the rows' own keys and values.
    seen: of `where`, made for the same path.
    prefix: (k_NxKxPxd, v_NxKxPxe): keys of prompts, each shared by the rows whose seen.prompt_B names it.
    scale: None: 1 / sqrt(d).
    path: one of PATHS.

  Returns: [B, H, T, e]
  """
  scale = q_BxHxTxd.shape[-1]**-0.5 if scale is None else scale
  k, v = k_BxKxTxd, v_BxKxTxe
  with jax.named_scope('attention'):
    if prefix is not None:  # prompts are fetched once; rows taken from other devices' would be summed over all of them
      whole = (constrain(shared, None, 'kv_heads', None, None) for shared in prefix)
      k, v = (jnp.concatenate([jnp.take(shared, seen.prompt_B, axis=0), own], axis=2)
              for shared, own in zip(whole, (k, v)))
    if path == 'xla':
      return _xla(q_BxHxTxd, k, v, seen.mask_BxTxS, scale)
    if path == 'cudnn':
      return _cudnn(q_BxHxTxd, k, v, seen.mask_BxTxS, scale)
    return _splash(q_BxHxTxd * scale, k, v, seen, interpret=path == 'splash_interpret')


def _xla(q_BxHxTxd, k_BxKxSxd, v_BxKxSxe, mask_BxTxS, scale):
  B, H, T, d = q_BxHxTxd.shape
  K = k_BxKxSxd.shape[1]
  q_BxKxQxd = (q_BxHxTxd * scale).reshape(B, K, H // K * T, d)
  return _softmax_mix(q_BxKxQxd, k_BxKxSxd, v_BxKxSxe, mask_BxTxS).reshape(B, H, T, -1)


@jax.custom_vjp
def _softmax_mix(q_BxKxQxd, k_BxKxSxd, v_BxKxSxe, mask_BxTxS):
  """softmax(q k) v, with a backward pass of its own: the scores are gone through twice instead of five times (forward
  and backward 11.4 ms for 19.7, [32, 4, 48, 32] behind 32 shared keys, medians of one run on 2 cores, 2026-11-26)."""
  return _softmax_mix_fwd(q_BxKxQxd, k_BxKxSxd, v_BxKxSxe, mask_BxTxS)[0]


def _softmax_mix_fwd(q, k, v, mask_BxTxS):
  (B, T, S), Q, wide_dtype = mask_BxTxS.shape, q.shape[2], jnp.promote_types(q.dtype, jnp.float32)
  scores = jnp.einsum('bkqd,bksd->bkqs', q, k, preferred_element_type=wide_dtype)
  mask = jnp.broadcast_to(mask_BxTxS[:, None, None], (B, 1, Q // T, T, S)).reshape(B, 1, Q, S)
  scores = jnp.where(mask, scores, _MASKED)
  weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
  scale_BxKxQx1 = 1 / jnp.sum(weights, axis=-1, keepdims=True)
  weights = weights.astype(q.dtype)
  out = (jnp.einsum('bkqs,bkse->bkqe', weights, v, preferred_element_type=wide_dtype) * scale_BxKxQx1).astype(q.dtype)
  return out, (q, k, v, weights, scale_BxKxQx1, out)


def _softmax_mix_bwd(saved, grad):
  q, k, v, weights, scale_BxKxQx1, out = saved
  scaled = grad * scale_BxKxQx1  # at least float32
  back = scaled.astype(q.dtype)
  dots = jnp.sum(scaled * out, axis=-1, keepdims=True)
  slopes = jnp.einsum('bkqe,bkse->bkqs', back, v, preferred_element_type=scaled.dtype)
  slopes = (weights * (slopes - dots)).astype(q.dtype)
  return (jnp.einsum('bkqs,bksd->bkqd', slopes, k), jnp.einsum('bkqs,bkqd->bksd', slopes, q),
          jnp.einsum('bkqs,bkqe->bkse', weights, back), None)


_softmax_mix.defvjp(_softmax_mix_fwd, _softmax_mix_bwd)


# --- decoding. A row's keys lie in two places: its cache, filled up to filled_S, and `recent`, the few columns that all
# rows write at the same place in one chunk of decoding. So a step writes one slice, whatever lengths rows have;
# `append` puts a chunk's columns behind each row's own.

def as_stored(kv):
  """Keys and values [..., C, d] as a cache keeps them: keys [..., d, C], so that products with them run along C (XLA's
  CPU path: 0.28 ms for 0.74, [256, 2, 2, 32] x 64 columns, 2 cores, 2026-11-26). Latents, which are both (MLA), as they
  are."""
  return (kv[0].swapaxes(-1, -2), kv[1]) if len(kv) == 2 else kv


def columns_axis(kv) -> tuple[int, ...]:
  """Which axis, from the last, of each stored array counts columns."""
  return (-1, -2) if len(kv) == 2 else (-2,)


def attend_cache(q_SxHx1xd, new, stored, layer, recent, step: Step, *, scale: float | None = None, path: str = 'xla',
                 value_dim: int | None = None):
  """One query a row against its cache, the chunk's recent columns, and itself.

  Args:
    new: (k_SxKx1xd, v_SxKx1xe), or the latent alone, of the token itself: written into `recent` first.
    stored: of this layer, as as_stored lays it out; or all layers', where `layer` is a number.
    recent: of this layer, n columns, laid out as stored.
    value_dim: of latents, how many of their first entries are the values.

  Returns: ([S, H, 1, e], recent)
  """
  S, H, _, d = q_SxHx1xd.shape
  scale = d**-0.5 if scale is None else scale
  recent = tuple(jax.lax.dynamic_update_slice_in_dim(whole, part.astype(whole.dtype), step.recent, axis % 4)
                 for whole, part, axis in zip(recent, as_stored(new), columns_axis(recent)))
  K = recent[0].shape[1]
  q_SxKxRxd = (q_SxHx1xd * scale).reshape(S, K, H // K, d)
  filled_S = jnp.where(step.live_S, step.filled_S, 0)
  with jax.named_scope('attention'):
    scores = _scores(q_SxKxRxd, recent)
    scores = jnp.where(jnp.arange(scores.shape[-1]) <= step.recent, scores, _MASKED)
    if path.startswith('splash'):
      before, lse_SxKxR = _by_kernel(q_SxKxRxd, stored, layer, filled_S, value_dim, path == 'splash_interpret')
      top = jnp.maximum(jnp.max(scores, axis=-1), lse_SxKxR)[..., None]
      weight, probs = jnp.exp(lse_SxKxR[..., None] - top), jnp.exp(scores - top)
      out, total = weight * before + _mix(probs, recent, value_dim), weight + jnp.sum(probs, axis=-1, keepdims=True)
    else:
      if layer is not None:
        stored = tuple(jax.lax.dynamic_index_in_dim(x, layer, keepdims=False) for x in stored)
      stored = tuple(x.astype(q_SxKxRxd.dtype) for x in stored)
      early = _scores(q_SxKxRxd, stored)
      early = jnp.where(jnp.arange(early.shape[-1]) < filled_S[:, None, None, None], early, _MASKED)
      top = jnp.maximum(jnp.max(scores, axis=-1), jnp.max(early, axis=-1))[..., None]
      probs, before = jnp.exp(scores - top), jnp.exp(early - top)
      total = jnp.sum(probs, axis=-1, keepdims=True) + jnp.sum(before, axis=-1, keepdims=True)
      out = _mix(before, stored, value_dim) + _mix(probs, recent, value_dim)
  return (out / total).astype(q_SxHx1xd.dtype).reshape(S, H, 1, -1), recent


def _scores(q_SxKxRxd, kv):
  """[S, K, R, C], at least float32: queries against stored keys."""
  keys = kv[0].astype(q_SxKxRxd.dtype)
  return jnp.einsum('skrd,skdc->skrc' if len(kv) == 2 else 'skrd,skcd->skrc', q_SxKxRxd, keys,
                    preferred_element_type=jnp.promote_types(q_SxKxRxd.dtype, jnp.float32))


def _mix(probs_SxKxRxC, kv, value_dim):
  """[S, K, R, e], in probs' dtype: stored values weighted."""
  values = kv[-1] if value_dim is None else kv[0][..., :value_dim]
  return jnp.einsum('skrc,skce->skre', probs_SxKxRxC.astype(values.dtype), values,
                    preferred_element_type=probs_SxKxRxC.dtype)


def _by_kernel(q_SxKxRxd, stored, layer, filled_S, value_dim, interpret):
  """(softmax(q k) v over filled columns, log-sum-exp [S, K, R]) by the kernel, which reads no block past a row's
  end."""
  S, K, R, _ = q_SxKxRxd.shape
  if layer is None:
    stored, layer = tuple(x[None] for x in stored), jnp.int32(0)
  kernel = functools.partial(decode_kernel.attend, value_dim=value_dim, interpret=interpret)
  mesh = jax.sharding.get_abstract_mesh()
  if not mesh.empty:
    # One key head for all (MLA): its queries are dealt out, the cache is whole on every device of a row.
    rows = spec_for(('batch', 'kv_heads', None), (S, K, 1)) if K > 1 else spec_for(('batch', None, 'heads'), (S, 1, R))
    whole = jax.P(None, rows[0], rows[1])
    kernel = jax.shard_map(kernel, in_specs=(rows, (whole,) * len(stored), jax.P(), jax.P(rows[0])),
                           out_specs=(rows, rows), check_vma=False)
  return kernel(q_SxKxRxd, stored, layer, filled_S)


def append(stored, recent, filled_S, *, stacked: bool):
  """`stored` with a chunk's `recent` columns behind each row's first filled_S; past a row's end may be anything.

  Args:
    stored, recent: arrays of one layer, or stacked [L, ...].
  """
  rows_axis = 1 if stacked else 0

  def rows(filled, *arrays):  # under shard_map each device has its own rows
    n = len(arrays) // 2
    out = []
    for whole, part, axis in zip(arrays[:n], arrays[n:], columns_axis(arrays[:n])):
      write = lambda w, p, at, axis=axis: jax.lax.dynamic_update_slice_in_dim(w, p.astype(w.dtype), at, axis % w.ndim)
      out.append(jax.vmap(write, (rows_axis, rows_axis, 0), rows_axis)(whole, part, filled))
    return tuple(out)

  mesh = jax.sharding.get_abstract_mesh()
  if not mesh.empty:
    heads = recent[0].shape[rows_axis + 1]
    spec = spec_for(('batch', 'kv_heads'), (filled_S.shape[0], heads))
    lead = (None,) if stacked else ()
    each = tuple(jax.P(*lead, *spec) for _ in range(2 * len(stored)))
    rows = jax.shard_map(rows, in_specs=(jax.P(spec[0]), *each), out_specs=each[:len(stored)], check_vma=False)
  return rows(filled_S, *stored, *recent)


def _cudnn(q, k, v, mask_BxTxS, scale, implementation: str = 'cudnn'):
  values = v.shape[-1]
  v = jnp.pad(v, ((0, 0), (0, 0), (0, 0), (0, q.shape[-1] - values)))  # MLA: narrower than keys, cuDNN wants one width
  q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))  # [B, T, H, d]
  out = jax.nn.dot_product_attention(q, k, v, mask=mask_BxTxS[:, None], scale=scale, implementation=implementation)
  return out.swapaxes(1, 2)[..., :values]


def _splash(q, k, v, seen: Where, *, interpret):
  """jax's splash kernel for queries that are the last T of S positions, padded to whole blocks."""
  (B, H, T, _), (_, K, S, _) = q.shape, k.shape
  q_segments, k_segments = seen.q_segments_BxT, seen.k_segments_BxS
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
