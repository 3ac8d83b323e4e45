"""The dense decoder of Llama 3, Qwen2.5 and SmolLM2: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Layers are scanned, so compile time does not grow with depth and every weight has a leading axis L.
Three ways to run it, all through `hidden`:
  whole rows           cache=None                    training, teacher forcing, prefill
  after a shared part  prefix=Prefix                 completions of a group behind one prompt
  step by step         cache=Cache (and a prefix)    decoding; the cache is a carry written in place
"""

import dataclasses
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from r1jax.models.attention import attend
from r1jax.models.layers import RMSNorm, SwiGLU, matmul, rope, rotate, weight
from r1jax.types import NOWHERE


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes as in a model's config.json, and how to compute it."""
  vocab_size: int
  dim: int
  layers: int
  heads: int
  kv_heads: int
  ffn_dim: int
  head_dim: int | None = None  # None: dim // heads
  rope_theta: float = 1e4
  norm_eps: float = 1e-5
  qkv_bias: bool = False  # Qwen2.5: True
  tied: bool = True  # the unembedding is the embedding
  max_length: int = 2048  # positions the model was made for
  family: str = 'dense'
  dtype: str = 'float32'  # of activations; parameters are float32
  remat: str = 'none'  # 'none' | 'full' | 'dots': what the backward pass computes again
  unroll: int = 1  # layers an iteration of the scan; all of them is faster on a CPU, and slower to compile

  def __post_init__(self):
    if self.heads % self.kv_heads:
      raise ValueError(f'heads={self.heads} is not a multiple of kv_heads={self.kv_heads}')
    if self.head_dim is None:
      object.__setattr__(self, 'head_dim', self.dim // self.heads)

  def param_count(self) -> int:
    """Number of parameters, by formula."""
    attention = self.dim * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
    if self.qkv_bias:
      attention += self.head_dim * (self.heads + 2 * self.kv_heads)
    layer = attention + 3 * self.dim * self.ffn_dim + 2 * self.dim
    return self.layers * layer + self.dim + self.vocab_size * self.dim * (1 if self.tied else 2)


class Prefix(NamedTuple):
  """Keys and values of N prompts, all layers; read by the G completions of each prompt."""
  k_LxNxKxPxd: jax.Array
  v_LxNxKxPxd: jax.Array
  positions_NxP: jax.Array


class Cache(NamedTuple):
  """Keys and values of B rows, all layers; slot s of row b holds position positions_BxS[b, s]."""
  k_LxBxKxSxd: jax.Array
  v_LxBxKxSxd: jax.Array
  positions_BxS: jax.Array
  slot: jax.Array  # int32 scalar, where the next tokens are written


def empty_cache(config: Config, batch: int, slots: int) -> Cache:
  shape = (config.layers, batch, config.kv_heads, slots, config.head_dim)
  return Cache(jnp.zeros(shape, config.dtype), jnp.zeros(shape, config.dtype),
               jnp.full((batch, slots), NOWHERE, jnp.int32), jnp.int32(0))


class Block(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, carry, layer, prefix_kv, cos_sin, mask_BxTxS, prefix_valid_NxP, slot):
    c, (x_BxTxD, cached) = self.config, carry
    dtype, out_scale = x_BxTxD.dtype, (2 * c.layers)**-0.5

    def heads(name, n, axis, y):
      kernel = weight(self, name, (c.dim, n, c.head_dim), ('embed', axis, 'head'), fan_in=c.dim)
      out = matmul(y, kernel.astype(dtype).reshape(c.dim, -1))
      out = out.reshape(*y.shape[:2], n, c.head_dim).swapaxes(1, 2)
      if c.qkv_bias:
        bias = self.param(f'{name}_bias', nn.with_logical_partitioning(nn.initializers.zeros, (axis, 'head')),
                          (n, c.head_dim), jnp.float32)
        out = out + bias.astype(dtype)[None, :, None]
      return out

    y = RMSNorm(c.norm_eps, name='attention_norm')(x_BxTxD)
    q = rotate(heads('q', c.heads, 'heads', y), *cos_sin)
    k = rotate(heads('k', c.kv_heads, 'kv_heads', y), *cos_sin)
    v = heads('v', c.kv_heads, 'kv_heads', y)
    new_kv = (k, v)
    if cached is not None:  # written in place: the stacked cache is a carry, not a scanned output
      at = (layer, 0, 0, slot, 0)
      cached = tuple(jax.lax.dynamic_update_slice(whole, part[None].astype(whole.dtype), at)
                     for whole, part in zip(cached, new_kv))
      k, v = (jax.lax.dynamic_index_in_dim(whole, layer, keepdims=False).astype(dtype) for whole in cached)
      new_kv = None
    prefix = None if prefix_kv is None else (*prefix_kv, prefix_valid_NxP)
    o = attend(q, k, v, mask_BxTxS, prefix)
    kernel = weight(self, 'o', (c.heads, c.head_dim, c.dim), ('heads', 'head', 'embed'),
                    fan_in=c.heads * c.head_dim, scale=out_scale)
    o = o.swapaxes(1, 2).reshape(*x_BxTxD.shape[:2], -1)
    x_BxTxD = x_BxTxD + matmul(o, kernel.astype(dtype).reshape(-1, c.dim))
    y = RMSNorm(c.norm_eps, name='mlp_norm')(x_BxTxD)
    x_BxTxD = x_BxTxD + SwiGLU(c.ffn_dim, out_scale, name='mlp')(y)
    x_BxTxD = nn.with_logical_constraint(x_BxTxD, ('batch', 'length', 'hidden'))
    return (x_BxTxD, cached), new_kv


class Model(nn.Module):
  """apply(tokens) -> logits; methods `hidden` and `unembed` for everything that must stay small."""
  config: Config

  def setup(self):
    c = self.config
    self.embedding = weight(self, 'embedding', (c.vocab_size, c.dim), ('vocab', 'embed'), fan_in=c.dim)
    block = Block
    if c.remat != 'none':
      policy = {'full': None, 'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable}[c.remat]
      block = nn.remat(Block, policy=policy, prevent_cse=False)
    stacked = nn.scan(block, variable_axes={'params': 0}, split_rngs={'params': True}, length=c.layers, unroll=c.unroll,
                      in_axes=(0, 0, nn.broadcast, nn.broadcast, nn.broadcast, nn.broadcast),
                      metadata_params={nn.PARTITION_NAME: 'layers'})
    self.blocks = stacked(c)
    self.final_norm = RMSNorm(c.norm_eps)
    if not c.tied:
      self.unembedding = weight(self, 'unembedding', (c.dim, c.vocab_size), ('embed', 'vocab'), fan_in=c.dim)

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
    x_BxTxD = jnp.take(self.embedding, tokens_BxT, axis=0).astype(c.dtype)
    x_BxTxD = nn.with_logical_constraint(x_BxTxD, ('batch', 'length', 'hidden'))
    key_positions, slot, cached = positions_BxT, None, None
    if cache is not None:
      slot, cached = cache.slot, (cache.k_LxBxKxSxd, cache.v_LxBxKxSxd)
      key_positions = jax.lax.dynamic_update_slice(cache.positions_BxS, positions_BxT, (0, slot))
    mask_BxTxS = key_positions[:, None, :] <= positions_BxT[:, :, None]
    if segment_ids_BxT is not None:
      mask_BxTxS &= segment_ids_BxT[:, None, :] == segment_ids_BxT[:, :, None]
    prefix_kv, prefix_valid = None, None
    if prefix is not None:
      prefix_kv = (prefix.k_LxNxKxPxd, prefix.v_LxNxKxPxd)
      prefix_valid = prefix.positions_NxP != NOWHERE
    cos_sin = rope(jnp.where(positions_BxT == NOWHERE, 0, positions_BxT), c.head_dim, c.rope_theta)
    (x_BxTxD, cached), new_kv = self.blocks((x_BxTxD, cached), jnp.arange(c.layers), prefix_kv, cos_sin,
                                            mask_BxTxS, prefix_valid, slot)
    x_BxTxD = self.final_norm(x_BxTxD)
    if cache is not None:
      return x_BxTxD, Cache(*cached, key_positions, slot + T)
    return x_BxTxD, Prefix(*new_kv, positions_BxT)

  def unembed(self, hidden_BxTxD):
    """Logits, float32; any leading shape."""
    kernel = self.embedding.T if self.config.tied else self.unembedding
    return matmul(hidden_BxTxD, kernel.astype(hidden_BxTxD.dtype)).astype(jnp.float32)
