"""Decoding's attention on TPU: one query a row against the filled part of that row's cache (Pallas).

XLA's own code reads all S slots of a cache at every step, and a slice of the stacked cache has to be copied out for
a kernel. This one takes the stack and the layer's number, and reads blocks only up to each row's length: half the
bytes on average over a completion, none for a row that has ended. Queries and keys meet head by head; the log-sum-exp
comes back with the output, so that keys kept elsewhere can be joined to it.
"""

import functools

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp

_LANES = 128
_MASKED = -1e30


def attend(q_BxKxRxd: jax.Array, cached, layer, lengths_B, *, value_dim: int | None = None,
           interpret: bool = False) -> tuple[jax.Array, jax.Array]:
  """softmax(q k) v over the first lengths_B slots of layer `layer`.

  Args:
    q_BxKxRxd: the R query heads of each key head, scaled already.
    cached: (k_LxBxKxdxS, v_LxBxKxSxe), or (k_LxBxKxSxd,) whose first value_dim entries are the values.
    layer: int32 scalar.
    lengths_B: int32; 0: a row that reads nothing.

  Returns: ([B, K, R, e] float32, log-sum-exp [B, K, R] float32); 0 and -1e30 for a row of length 0.
  """
  B, K, R, d = q_BxKxRxd.shape
  S = cached[-1].shape[3]
  turned = len(cached) == 2  # keys stand [d, S]
  e = value_dim if len(cached) == 1 else cached[1].shape[-1]
  block = next((b for b in (512, 256, 128) if S % b == 0), S)
  rows = max(R, 8)  # sublanes: a tile has at least eight
  q = jnp.pad(q_BxKxRxd, ((0, 0), (0, 0), (0, rows - R), (0, 0)))

  def last(b, j, layer_ref, lengths_ref):  # blocks past the end are the last one again, which is not fetched twice
    return jnp.minimum(j, jnp.maximum(lengths_ref[b] - 1, 0) // block)

  row = lambda b, j, *_: (b, 0, 0, 0)
  slots = lambda b, j, *refs: (refs[0][0], b, 0, last(b, j, *refs), 0)
  across = lambda b, j, *refs: (refs[0][0], b, 0, 0, last(b, j, *refs))
  keys = pl.BlockSpec((1, 1, K, d, block), across) if turned else pl.BlockSpec((1, 1, K, block, d), slots)
  values = (pl.BlockSpec((1, 1, K, block, cached[1].shape[-1]), slots),) if turned else ()
  out, lse = pl.pallas_call(
      functools.partial(_kernel, block=block, value_dim=e, heads=K, turned=turned),
      grid_spec=pltpu.PrefetchScalarGridSpec(
          num_scalar_prefetch=2, grid=(B, S // block),
          in_specs=[pl.BlockSpec((1, K, rows, d), row), keys, *values],
          out_specs=[pl.BlockSpec((1, K, rows, e), row), pl.BlockSpec((1, K, rows, _LANES), row)],
          scratch_shapes=[pltpu.VMEM((K, rows, _LANES), jnp.float32), pltpu.VMEM((K, rows, _LANES), jnp.float32),
                          pltpu.VMEM((K, rows, e), jnp.float32)]),
      out_shape=[jax.ShapeDtypeStruct((B, K, rows, e), jnp.float32),
                 jax.ShapeDtypeStruct((B, K, rows, _LANES), jnp.float32)],
      compiler_params=pltpu.CompilerParams(dimension_semantics=('parallel', 'arbitrary')),
      interpret=interpret, name='decode_attention',
  )(jnp.reshape(layer, (1,)).astype(jnp.int32), lengths_B, q, *cached)
  return out[:, :, :R], lse[:, :, :R, 0]


def _kernel(layer_ref, lengths_ref, q_ref, *refs, block, value_dim, heads, turned):
  *kv_refs, out_ref, lse_ref, top_ref, sum_ref, acc_ref = refs
  k_ref, v_ref = kv_refs[0], kv_refs[-1]
  del layer_ref
  b, j = pl.program_id(0), pl.program_id(1)
  length = lengths_ref[b]

  @pl.when(j == 0)
  def _():
    top_ref[...] = jnp.full_like(top_ref, _MASKED)
    sum_ref[...] = jnp.zeros_like(sum_ref)
    acc_ref[...] = jnp.zeros_like(acc_ref)

  @pl.when(j * block < length)
  def _():
    for head in range(heads):
      k = k_ref[0, 0, head]
      scores = jax.lax.dot_general(q_ref[0, head].astype(k.dtype), k, (((1,), (0 if turned else 1,)), ((), ())),
                                   preferred_element_type=jnp.float32)
      slot = j * block + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
      scores = jnp.where(slot < length, scores, _MASKED)
      before = top_ref[head, :, :1]
      top = jnp.maximum(before, jnp.max(scores, axis=1, keepdims=True))
      probs, shrink = jnp.exp(scores - top), jnp.exp(before - top)
      lanes = top_ref.shape[1:]
      sum_ref[head] = shrink * sum_ref[head] + jnp.broadcast_to(jnp.sum(probs, axis=1, keepdims=True), lanes)
      v = v_ref[0, 0, head]
      new = jax.lax.dot_general(probs.astype(v.dtype), v[:, :value_dim], (((1,), (0,)), ((), ())),
                                preferred_element_type=jnp.float32)
      acc_ref[head] = shrink * acc_ref[head] + new
      top_ref[head] = jnp.broadcast_to(top, lanes)

  @pl.when(j == pl.num_programs(1) - 1)
  def _():
    for head in range(heads):
      total = jnp.maximum(sum_ref[head], 1e-30)
      out_ref[0, head] = acc_ref[head] / total[:, :1]
      lse_ref[0, head] = top_ref[head] + jnp.log(total)
