"""The dense decoder of Llama, Qwen2, Qwen2.5, Qwen3 and SmolLM2: RMSNorm, RoPE, grouped-query attention, SwiGLU."""

import dataclasses

from flax import linen as nn
import jax.numpy as jnp

from r1jax.models import attention
from r1jax.models.decoder import Decoder
from r1jax.models.layers import RMSNorm, RopeScaling, SwiGLU, constrain, project, rotate, weight


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
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-5
  qkv_bias: bool = False  # Qwen2.5: True
  qk_norm: bool = False  # Qwen3: an RMSNorm of each head's query and key, before they are turned
  tied: bool = True  # the unembedding is the embedding
  max_length: int = 2048  # positions the model was made for
  family: str = 'dense'
  dtype: str = 'float32'  # of activations; parameters are float32
  remat: str = 'none'  # 'none' | 'full' | 'dots': what the backward pass computes again
  attention: str = 'xla'  # one of attention.PATHS
  reward_head: bool = False  # a scalar beside the vocabulary: a reward model
  unroll: int = 1  # layers an iteration of the scan; all of them is faster on a CPU, and slower to compile

  def __post_init__(self):
    if self.heads % self.kv_heads:
      raise ValueError(f'heads={self.heads} is not a multiple of kv_heads={self.kv_heads}')
    if self.head_dim is None:
      object.__setattr__(self, 'head_dim', self.dim // self.heads)

  @property
  def rope_dim(self) -> int:
    return self.head_dim

  def param_count(self) -> int:
    """Number of parameters, by formula."""
    layer = self.layer_weights() + 2 * self.dim
    if self.qkv_bias:
      layer += self.head_dim * (self.heads + 2 * self.kv_heads)
    if self.qk_norm:
      layer += 2 * self.head_dim
    return self.layers * layer + self.dim + self.vocab_size * self.dim * (1 if self.tied else 2)

  def layer_weights(self) -> int:
    """Weights of one layer's products."""
    return self.dim * self.head_dim * (2 * self.heads + 2 * self.kv_heads) + 3 * self.dim * self.ffn_dim

  def active_weights(self) -> int:
    """Weights that a token is multiplied with, unembedding aside."""
    return self.layers * self.layer_weights()

  def attention_flops(self) -> int:
    """FLOPs of one query against one key, all layers and heads: a product for the score, one for the value."""
    return 4 * self.layers * self.heads * self.head_dim

  def decode_attention_flops(self) -> int:
    return self.attention_flops()

  def cache_width(self) -> int:
    """Numbers that the cache keeps of a token."""
    return 2 * self.layers * self.kv_heads * self.head_dim


class Block(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, x_BxTxD, layer, prefix_kv, cos_sin, where, stored=None, recent=None):
    c = self.config
    dtype, out_scale = x_BxTxD.dtype, (2 * c.layers)**-0.5

    def heads(name, n, axis, y):
      kernel = weight(self, name, (c.dim, n, c.head_dim), ('embed', axis, 'head'), fan_in=c.dim)
      out = project(y, kernel).reshape(*y.shape[:2], n, c.head_dim).swapaxes(1, 2)
      if c.qkv_bias:
        bias = self.param(f'{name}_bias', nn.with_logical_partitioning(nn.initializers.zeros, (axis, 'head')),
                          (n, c.head_dim), jnp.float32)
        out = out + bias.astype(dtype)[None, :, None]
      return constrain(out, 'batch', axis, None, None)

    def turned(name, n, axis, y):
      out = heads(name, n, axis, y)
      if c.qk_norm:  # one scale for all heads, so it lies whole wherever they are split
        out = RMSNorm(c.norm_eps, name=f'{name}_norm')(out)
      return rotate(out, *cos_sin)

    y = RMSNorm(c.norm_eps, name='attention_norm')(x_BxTxD)
    q = turned('q', c.heads, 'heads', y)
    new_kv = (turned('k', c.kv_heads, 'kv_heads', y), heads('v', c.kv_heads, 'kv_heads', y))
    if stored is None:
      o = attention.attend(q, *new_kv, where, prefix_kv, path=c.attention)
    else:
      o, new_kv = attention.attend_cache(q, new_kv, stored, layer, recent, where, path=c.attention)
    kernel = weight(self, 'o', (c.heads, c.head_dim, c.dim), ('heads', 'head', 'embed'),
                    fan_in=c.heads * c.head_dim, scale=out_scale)
    o = o.swapaxes(1, 2).reshape(*x_BxTxD.shape[:2], -1)
    x_BxTxD = x_BxTxD + project(o, kernel)
    y = RMSNorm(c.norm_eps, name='mlp_norm')(x_BxTxD)
    x_BxTxD = x_BxTxD + SwiGLU(c.ffn_dim, out_scale, name='mlp')(y)
    return constrain(x_BxTxD, 'batch', 'length', 'hidden'), new_kv


class Model(Decoder):
  """Llama, Qwen2, Qwen2.5, Qwen3, SmolLM2."""
  config: Config

  @nn.nowrap
  def stacks(self):
    return [('blocks', Block, self.config.layers)]

  @nn.nowrap
  def kernels(self):
    return {'q': 1, 'k': 1, 'v': 1, 'o': 2, 'gate': 1, 'up': 1, 'down': 1}

  @nn.nowrap
  def turned(self):
    return self.kernels()

  @nn.nowrap
  def cache_dims(self):
    return ((self.config.kv_heads, self.config.head_dim),) * 2
