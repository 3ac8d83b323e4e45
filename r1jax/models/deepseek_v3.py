"""DeepSeek-V3 (arXiv 2412.19437): multi-head latent attention, leading dense layers, then mixture of experts.

MLA keeps one latent of kv_rank numbers and one rotated key of rope_dim numbers a token, for all heads. Whole rows
expand them to keys and values of every head; decoding folds the expansion into the queries and the output instead
(the absorbed form), so that the latent is all that the cache holds and all that a step reads.
The multi-token-prediction block is not part of this model: convert.py drops it with a warning.
"""

import dataclasses

from flax import linen as nn
import jax.numpy as jnp

from r1jax.models import attention
from r1jax.models.decoder import Decoder
from r1jax.models.layers import RMSNorm, RopeScaling, SwiGLU, constrain, project, rotate, weight
from r1jax.models.moe import MoE, id_dtype

_LATENT_EPS = 1e-6  # of the two latents' norms, whatever rms_norm_eps is, as in DeepSeek's code and transformers'


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes as in a model's config.json, and how to compute it."""
  vocab_size: int
  dim: int
  layers: int
  heads: int
  ffn_dim: int  # of the leading dense layers
  expert_dim: int  # moe_intermediate_size
  experts: int  # n_routed_experts
  experts_per_token: int
  q_rank: int  # q_lora_rank
  kv_rank: int  # kv_lora_rank
  nope_dim: int  # qk_nope_head_dim
  rope_dim: int  # qk_rope_head_dim
  value_dim: int  # v_head_dim
  dense_layers: int = 3  # first_k_dense_replace
  shared_experts: int = 1
  groups: int = 1  # n_group
  groups_kept: int = 1  # topk_group
  routed_scaling: float = 1.0  # routed_scaling_factor
  normalise_top_k: bool = True  # norm_topk_prob
  rope_theta: float = 1e4
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-6
  tied: bool = False
  max_length: int = 4096
  family: str = 'deepseek_v3'
  dtype: str = 'float32'
  remat: str = 'none'
  attention: str = 'xla'
  reward_head: bool = False  # a scalar beside the vocabulary: a reward model
  unroll: int = 1

  def __post_init__(self):
    if self.experts % self.groups or self.groups_kept > self.groups:
      raise ValueError(f'experts={self.experts} in groups={self.groups}, groups_kept={self.groups_kept}: groups must '
                       'divide experts and be no fewer than groups_kept')
    if self.experts_per_token > self.groups_kept * self.experts // self.groups:
      raise ValueError(f'experts_per_token={self.experts_per_token} is more than the '
                       f'{self.groups_kept * self.experts // self.groups} experts of groups_kept={self.groups_kept}')
    if self.groups > 1 and self.experts // self.groups < 2:
      raise ValueError(f'groups={self.groups} of {self.experts // self.groups} expert: '
                       'a group is judged by its best two')
    if not 0 < self.dense_layers < self.layers:
      raise ValueError(f'dense_layers={self.dense_layers} of layers={self.layers}: both kinds must be there')

  @property
  def kv_heads(self) -> int:
    return self.heads

  @property
  def softmax_scale(self) -> float:
    return (self.nope_dim + self.rope_dim)**-0.5 * (self.rope_scaling.softmax_factor if self.rope_scaling else 1.0)

  def param_count(self) -> int:
    """Number of parameters, by formula; the expert bias counted in."""
    norms = 2 * self.dim + self.q_rank + self.kv_rank
    moe = self._moe_weights(self.experts) + self.experts
    return (self.layers * (self._mla_weights() + norms) + self.dense_layers * 3 * self.dim * self.ffn_dim
            + (self.layers - self.dense_layers) * moe + self.dim + self.vocab_size * self.dim * (1 if self.tied else 2))

  def _mla_weights(self) -> int:
    return (self.dim * self.q_rank + self.q_rank * self.heads * (self.nope_dim + self.rope_dim)
            + self.dim * (self.kv_rank + self.rope_dim) + self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
            + self.heads * self.value_dim * self.dim)

  def _moe_weights(self, routed: int) -> int:
    return 3 * self.dim * self.expert_dim * (routed + self.shared_experts) + self.dim * self.experts

  def active_weights(self) -> int:
    """Weights that a token is multiplied with, unembedding aside."""
    return (self.layers * self._mla_weights() + self.dense_layers * 3 * self.dim * self.ffn_dim
            + (self.layers - self.dense_layers) * self._moe_weights(self.experts_per_token))

  def attention_flops(self) -> int:
    """FLOPs of one query against one key, all layers and heads, in the expanded form."""
    return 2 * self.layers * self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

  def decode_attention_flops(self) -> int:
    """The same in the absorbed form: every head meets the latent itself."""
    return 2 * self.layers * self.heads * (2 * self.kv_rank + self.rope_dim)

  @property
  def latent_dim(self) -> int:
    """Numbers of a token's latent in the cache: kv_rank + rope_dim, filled up to whole rows of a TPU's 128 lanes where
    it is longer than one (V3: 576 -> 640), or XLA keeps a second, padded copy of the cache for the kernel."""
    width = self.kv_rank + self.rope_dim
    return width if width < 128 else -(-width // 128) * 128

  def cache_width(self) -> int:
    """Numbers that the cache keeps of a token."""
    return self.layers * self.latent_dim


class MLA(nn.Module):
  """Multi-head latent attention (DeepSeek-V3 report, section 2.1.1)."""
  config: Config

  @nn.compact
  def __call__(self, y_BxTxD, layer, prefix_kv, cos_sin, where, stored, recent):
    c, (B, T, _), dtype = self.config, y_BxTxD.shape, y_BxTxD.dtype
    H, C, nope = c.heads, c.kv_rank, c.nope_dim
    kernel = lambda name, shape, axes, fan_in, scale=1.0: weight(
        self, name, shape, axes, fan_in=fan_in, scale=scale)
    q_a = kernel('q_a', (c.dim, c.q_rank), ('embed', None), c.dim)
    q_b = kernel('q_b', (c.q_rank, H, nope + c.rope_dim), ('embed', 'heads', 'head'), c.q_rank)
    kv_a = kernel('kv_a', (c.dim, C + c.rope_dim), ('embed', None), c.dim)
    kv_b = kernel('kv_b', (C, H, nope + c.value_dim), ('embed', 'heads', 'head'), C)
    o = kernel('o', (H, c.value_dim, c.dim), ('heads', 'head', 'embed'), H * c.value_dim, (2 * c.layers)**-0.5)

    q = project(RMSNorm(_LATENT_EPS, name='q_norm')(project(y_BxTxD, q_a)), q_b)
    q = constrain(q.reshape(B, T, H, -1).swapaxes(1, 2), 'batch', 'heads', None, None)
    q_nope, q_rope = q[..., :nope], rotate(q[..., nope:], *cos_sin)
    kv = project(y_BxTxD, kv_a)
    latent = RMSNorm(_LATENT_EPS, name='kv_norm')(kv[..., :C])[:, None]
    fill = jnp.zeros((B, 1, T, c.latent_dim - C - c.rope_dim), dtype)
    new_kv = (jnp.concatenate([latent, rotate(kv[:, None, :, C:], *cos_sin), fill], axis=-1),)

    if stored is None:
      def expand(latents_Bx1xSxC):
        both = project(latents_Bx1xSxC[:, 0, :, :C], kv_b)
        both = both.reshape(*both.shape[:2], H, -1).swapaxes(1, 2)
        both = constrain(both, 'batch', 'heads', None, None)
        turned = jnp.broadcast_to(latents_Bx1xSxC[..., C:C + c.rope_dim], (*both.shape[:3], c.rope_dim))
        return jnp.concatenate([both[..., :nope], turned], axis=-1), both[..., nope:]

      out = attention.attend(jnp.concatenate([q_nope, q_rope], axis=-1), *expand(new_kv[0]), where,
                             None if prefix_kv is None else expand(prefix_kv[0]), scale=c.softmax_scale,
                             path=c.attention)
    else:
      kv_b = kv_b.astype(dtype)
      absorbed = jnp.einsum('bhtn,chn->bhtc', q_nope, kv_b[..., :nope])
      fill = jnp.zeros((*q_rope.shape[:3], fill.shape[-1]), dtype)
      queries = jnp.concatenate([absorbed, q_rope, fill], axis=-1)
      out, new_kv = attention.attend_cache(queries, new_kv, stored, layer, recent, where, scale=c.softmax_scale,
                                           path=c.attention, value_dim=C)
      out = jnp.einsum('bhtc,chv->bhtv', out, kv_b[..., nope:])
    out = project(out.swapaxes(1, 2).reshape(B, T, -1), o)
    return out, new_kv


class _Block(nn.Module):
  config: Config

  @nn.compact
  def __call__(self, x_BxTxD, layer, prefix_kv, cos_sin, where, stored=None, recent=None):
    c = self.config
    y = RMSNorm(c.norm_eps, name='attention_norm')(x_BxTxD)
    out, new_kv = MLA(c, name='attention')(y, layer, prefix_kv, cos_sin, where, stored, recent)
    x_BxTxD = constrain(x_BxTxD + out, 'batch', 'length', 'hidden')
    y = RMSNorm(c.norm_eps, name='mlp_norm')(x_BxTxD)
    real = where.real_BxT if stored is None else where.live_S[:, None]
    x_BxTxD = x_BxTxD + self.feed_forward(y, real)
    return constrain(x_BxTxD, 'batch', 'length', 'hidden'), new_kv


class DenseBlock(_Block):

  def feed_forward(self, y, real):
    return SwiGLU(self.config.ffn_dim, (2 * self.config.layers)**-0.5, name='mlp')(y)


class MoEBlock(_Block):

  def feed_forward(self, y, real):
    return MoE(self.config, name='moe')(y, real)


class Model(Decoder):
  """DeepSeek-V3 without its multi-token-prediction block."""
  config: Config
  mixture = True

  @nn.nowrap
  def stacks(self):
    return [('dense_blocks', DenseBlock, self.config.dense_layers),
            ('moe_blocks', MoEBlock, self.config.layers - self.config.dense_layers)]

  @nn.nowrap
  def choices(self):
    c = self.config
    return (c.layers - c.dense_layers, c.experts_per_token), id_dtype(c.experts)

  @nn.nowrap
  def kernels(self):  # of the routed experts none: their products are grouped (models/moe.py)
    return {'q_a': 1, 'q_b': 1, 'kv_a': 1, 'kv_b': 1, 'o': 2, 'gate': 1, 'up': 1, 'down': 1}

  @nn.nowrap
  def cache_dims(self):
    return ((1, self.config.latent_dim),)
