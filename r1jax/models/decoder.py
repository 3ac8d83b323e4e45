"""What every family shares: embedding, stacks of scanned blocks, final norm, unembedding, and the cache's shape.

Layers of one kind are scanned, so compile time does not grow with depth and every weight has a leading axis L.
Three ways to run it, all through `hidden`:
  whole rows           cache=None                    training, teacher forcing, prefill
  after a shared part  prefix=Prefix                 completions of a group behind one prompt
  step by step         cache=Cache (and a prefix)    decoding; the cache is a carry written in place
"""

from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from r1jax.models import attention
from r1jax.models.layers import RMSNorm, constrain, matmul, rope, weight
from r1jax.types import NOWHERE


class Prefix(NamedTuple):
  """What attention keeps of N prompts, all layers; read by the G completions of each prompt."""
  kv_LxNx: tuple[jax.Array, ...]  # as in Cache, S = P
  positions_NxP: jax.Array


class Cache(NamedTuple):
  """What attention keeps of B rows, all layers; slot s of row b holds position positions_BxS[b, s]."""
  kv_LxBx: tuple[jax.Array, ...]  # dense: keys and values [L, B, K, S, d]; MLA: latents [L, B, 1, S, c + r]
  positions_BxS: jax.Array
  slot: jax.Array  # int32 scalar, where the next tokens are written


class Decoder(nn.Module):
  """apply(tokens) -> logits; methods `hidden` and `unembed` for everything that must stay small.

  A family gives `stacks`: (name, class of block, number of layers), in order, and `cache_dims`. A block is called
  with (x, cached), layer, prefix_kv, cos_sin, where and returns ((x, cached), new_kv).
  """
  config: Any

  def setup(self):
    c = self.config
    self.embedding = weight(self, 'embedding', (c.vocab_size, c.dim), ('vocab', 'embed'), fan_in=c.dim)
    for name, block, length in self.stacks():
      if c.remat != 'none':
        policy = {'full': None, 'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable}[c.remat]
        block = nn.remat(block, policy=policy, prevent_cse=False)
      stacked = nn.scan(block, variable_axes={'params': 0, 'experts': 0}, split_rngs={'params': True}, length=length,
                        unroll=min(c.unroll, length), in_axes=(0, 0, nn.broadcast, nn.broadcast),
                        metadata_params={nn.PARTITION_NAME: 'layers'})
      setattr(self, name, stacked(c))
    self.final_norm = RMSNorm(c.norm_eps)
    if not c.tied:
      self.unembedding = weight(self, 'unembedding', (c.dim, c.vocab_size), ('embed', 'vocab'), fan_in=c.dim)
    if c.reward_head:
      self.reward_head = weight(self, 'reward_head', (c.dim,), ('embed',), fan_in=c.dim)

  def stacks(self) -> list[tuple[str, type, int]]:
    raise NotImplementedError

  def cache_dims(self) -> tuple[tuple[int, int], ...]:
    """(key heads, width) of each array that the cache keeps."""
    raise NotImplementedError

  @nn.nowrap
  def empty_cache(self, batch: int, slots: int) -> Cache:
    c = self.config
    kv = tuple(jnp.zeros((c.layers, batch, heads, slots, width), c.dtype) for heads, width in self.cache_dims())
    return Cache(tuple(constrain(x, 'layers', 'batch', 'kv_heads', None, None) for x in kv),
                 jnp.full((batch, slots), NOWHERE, jnp.int32), jnp.int32(0))

  def __call__(self, tokens_BxT):
    """Logits [B, T, V], float32: for tests and exports; training goes through losses.token_logps."""
    return self.unembed(self.hidden(tokens_BxT)[0])

  def hidden(self, tokens_BxT, positions_BxT=None, segment_ids_BxT=None, cache: Cache | None = None,
             prefix: Prefix | None = None):
    """Last hidden states [B, T, D] after the final norm, and what the next call needs.

    Args:
      tokens_BxT: int32.
      positions_BxT: int32, NOWHERE for padding; None: 0 .. T-1.
      segment_ids_BxT: int32; tokens see only their own segment (packed rows). Not with a cache.
      cache: the T tokens are written at its slot, and see all that lies in it at earlier positions.
      prefix: B / N rows follow each of its N prompts and see all of theirs.

    Returns: (hidden, Cache) with a cache, else (hidden, Prefix of these very tokens).
    """
    c = self.config
    B, T = tokens_BxT.shape
    if positions_BxT is None:
      positions_BxT = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32), (B, T))
    # Looked up in a table whose rows are whole: split along D, XLA would deal the rows out anew for every batch.
    table_VxD = constrain(self.embedding.astype(c.dtype), 'vocab', 'hidden')
    x_BxTxD = constrain(jnp.take(table_VxD, tokens_BxT, axis=0), 'batch', 'length', 'hidden')
    key_positions, slot, cached = positions_BxT, None, None
    if cache is not None:
      slot, cached = cache.slot, cache.kv_LxBx
      key_positions = jax.lax.dynamic_update_slice(cache.positions_BxS, positions_BxT, (0, slot))
    where = attention.where(c.attention, positions_BxT, key_positions, segment_ids_BxT,
                            None if prefix is None else prefix.positions_NxP, slot)
    cos_sin = rope(jnp.where(positions_BxT == NOWHERE, 0, positions_BxT), c.rope_dim, c.rope_theta, c.rope_scaling)
    first, kept = 0, []
    for name, _, length in self.stacks():
      part = slice(first, first + length)
      shared = None if prefix is None else tuple(kv[part] for kv in prefix.kv_LxNx)
      (x_BxTxD, cached), new_kv = getattr(self, name)(
          (x_BxTxD, cached), jnp.arange(part.start, part.stop), shared, cos_sin, where)
      first, kept = part.stop, kept + [new_kv]
    x_BxTxD = self.final_norm(x_BxTxD)
    if cache is not None:
      return x_BxTxD, Cache(cached, key_positions, slot + T)
    kv = kept[0] if len(kept) == 1 else tuple(jnp.concatenate(parts) for parts in zip(*kept))
    return x_BxTxD, Prefix(kv, positions_BxT)

  def reward(self, hidden_BxD):
    """[B] float32: what a reward model says at a response's last token (preference.py)."""
    return hidden_BxD.astype(jnp.float32) @ self.reward_head

  def unembed(self, hidden_BxTxD):
    """Logits, float32; any leading shape."""
    kernel = self.embedding.T if self.config.tied else self.unembedding
    return matmul(hidden_BxTxD, kernel.astype(hidden_BxTxD.dtype)).astype(jnp.float32)
