"""Layers that more than one family uses: norm, rotary positions, SwiGLU; and where activations lie."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

from flax import linen as nn
from flax import struct
import jax
from jax import ad_checkpoint
import jax.numpy as jnp
import numpy as np


def spec_for(names: tuple[str | None, ...], shape: tuple[int, ...]) -> jax.P:
  """PartitionSpec of an array with these logical axes on the mesh and rules in use.

  An axis that its mesh axes do not divide stays whole, so that tiny models run on any mesh.
  """
  mesh = jax.sharding.get_abstract_mesh()
  out = []
  for axes, size in zip(nn.logical_to_mesh_axes(names), shape):
    axes = (axes,) if isinstance(axes, str) else (axes or ())
    axes = tuple(a for a in axes if mesh.shape.get(a, 1) > 1)
    out.append(axes if axes and size % math.prod(mesh.shape[a] for a in axes) == 0 else None)
  return jax.P(*out)


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
  """Lays an activation out by the names of its axes; without a mesh in use, nothing."""
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, spec_for(names, x.shape))


def weight(module: nn.Module, name: str, shape, axes, *, fan_in: int, scale: float = 1.0):
  """A float32 kernel, normal with std scale / sqrt(fan_in), with the logical names of its axes on it.

  Where it is used it is held to its layout once more: inside a scan over layers XLA would else gather the whole stack
  before the loop and leave the stack of gradients whole (DeepSeek-V3 on 512 chips: 84 GiB a chip, by the compiler).
  """
  held = module.get_variable('params', name)
  if isinstance(held, Turned):
    return held
  if isinstance(held, (Adapted, Int8)):
    return held.constrained(axes)
  init = nn.with_logical_partitioning(nn.initializers.normal(scale / fan_in**0.5), axes)
  return constrain(module.param(name, init, shape, jnp.float32), *axes)


FEW_ROWS = 128  # up to which XLA's packing of weights on a CPU costs more than what it brings
PRODUCT = 'product'  # what remat='dots' keeps: a policy does not see the products within a custom_vjp


class Turned(NamedTuple):
  """A kernel as a sampler on a CPU holds it, outputs first: XLA packs the right-hand side of a product anew at every
  call, which for a few rows takes longer than the product (32 x 576 by 576 x 1,536: 85 GFLOP/s, turned 117; 2 cores,
  2026-11-26)."""
  kernel_OxI: jax.Array


class Int8(NamedTuple):
  """A frozen kernel in whole numbers, one scale for each of its outputs: it stands for values * scale."""
  values: jax.Array  # int8, -127 .. 127
  scale: jax.Array  # float32, of the kernel's output axes

  def constrained(self, axes) -> 'Int8':
    return Int8(constrain(self.values, *axes), constrain(self.scale, *axes[-self.scale.ndim:]))


class Adapted(struct.PyTreeNode):
  """A frozen kernel and what is learned beside it (LoRA, Hu et al. 2021): it stands for kernel + scale * a b.

  a has the kernel's input axes and then the rank, b the rank and then the kernel's output axes, so that each lies on a
  mesh as the kernel does.
  """
  kernel: Any  # an array, or Int8
  a: jax.Array
  b: jax.Array
  scale: float = struct.field(pytree_node=False)

  def constrained(self, axes) -> 'Adapted':
    inputs = self.a.ndim - 1
    kernel = self.kernel.constrained(axes) if isinstance(self.kernel, Int8) else constrain(self.kernel, *axes)
    return self.replace(kernel=kernel, a=constrain(self.a, *axes[:inputs], None),
                        b=constrain(self.b, None, *axes[inputs:]))


def project(x: jax.Array, kernel) -> jax.Array:
  """x [..., I] times a kernel whose first axes hold the I inputs, the others the O outputs: [..., O]; in x's dtype."""
  if isinstance(kernel, Adapted):  # no sum of kernel and change is ever made, nor the gradient of one
    frozen = project if isinstance(kernel.kernel, Int8) else _frozen_product
    return frozen(x, kernel.kernel) + project(project(x, kernel.a) * kernel.scale, kernel.b)
  if isinstance(kernel, Int8):
    return _int8_matmul(x, kernel.values.reshape(x.shape[-1], -1), kernel.scale.reshape(-1))
  if not isinstance(kernel, Turned):
    return matmul(x, kernel.astype(x.dtype).reshape(x.shape[-1], -1))
  return turned_product(x, kernel.kernel_OxI.astype(x.dtype), x.dtype)


def _frozen_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`project` without a gradient of the kernel's, for which matmul's own backward pass would hold a place."""
  kernel, several = kernel.astype(x.dtype).reshape(x.shape[-1], -1), jax.sharding.get_abstract_mesh().size > 1
  out = jnp.matmul(x if several else x.reshape(-1, x.shape[-1]), kernel, preferred_element_type=x.dtype)
  return ad_checkpoint.checkpoint_name(out.reshape(*x.shape[:-1], -1), PRODUCT)


def turned_product(x: jax.Array, kernel_OxI: jax.Array, dtype) -> jax.Array:
  flat = x.reshape(-1, x.shape[-1])
  out_OxM = jax.lax.dot_general(kernel_OxI, flat, (((1,), (1,)), ((), ())), preferred_element_type=dtype)
  # Else XLA turns the product round again, and with it the weights.
  return jax.lax.optimization_barrier(out_OxM).T.reshape(*x.shape[:-1], -1)


def wide(x: jax.Array) -> jax.Array:
  """At least float32: what norms, rotations, softmax and logits are computed in."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def matmul(x: jax.Array, kernel: jax.Array, dtype=None) -> jax.Array:
  """x [..., I] @ kernel [I, O]; dtype: of the result, which is not rounded to x's first.

  On one device rows are flattened in both passes: autodiff's own weight gradient contracts over two axes, for which
  XLA's CPU backend transposes the activations element by element, 71 ms for 4,096 x 512 beside 7 ms for the product
  (jax 0.10.2, 2 cores, 2026-11-23). On a mesh they are not: rows split over two mesh axes have no flat layout, and
  XLA would gather them all (32B on 128 chips: 20 GiB a chip, by the compiler).
  """
  dtype = dtype or x.dtype
  several = jax.sharding.get_abstract_mesh().size > 1
  out = jnp.matmul(x, kernel, preferred_element_type=dtype) if several else _flat_matmul(x, kernel, dtype)
  return ad_checkpoint.checkpoint_name(out, PRODUCT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _flat_matmul(x, kernel, dtype):
  flat = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel, preferred_element_type=dtype)
  return flat.reshape(*x.shape[:-1], kernel.shape[-1])


def _matmul_fwd(x, kernel, dtype):
  return _flat_matmul(x, kernel, dtype), (x, kernel)


def _matmul_bwd(dtype, saved, grad):
  del dtype
  x, kernel = saved
  flat = grad.reshape(-1, grad.shape[-1]).astype(x.dtype)
  return (flat @ kernel.T).reshape(x.shape), x.reshape(-1, x.shape[-1]).T @ flat


_flat_matmul.defvjp(_matmul_fwd, _matmul_bwd)


@jax.custom_vjp
def _int8_matmul(x, values_IxO, scale_O):
  """x @ (values * scale); the backward pass keeps the whole numbers alone, and has no gradient for them."""
  out = jnp.matmul(x, values_IxO.astype(x.dtype), preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))
  return (out * scale_O).astype(x.dtype)


def _int8_fwd(x, values_IxO, scale_O):
  return _int8_matmul(x, values_IxO, scale_O), (values_IxO, scale_O)


def _int8_bwd(saved, grad):
  values_IxO, scale_O = saved
  return (wide(grad) * scale_O).astype(grad.dtype) @ values_IxO.astype(grad.dtype).T, None, None


_int8_matmul.defvjp(_int8_fwd, _int8_bwd)


class RMSNorm(nn.Module):
  """x / rms(x) * scale, in float32 (Zhang and Sennrich 2019)."""
  eps: float

  @nn.compact
  def __call__(self, x_BxTxD):
    scale_D = self.param('scale', nn.with_logical_partitioning(nn.initializers.ones, ('hidden',)),
                         (x_BxTxD.shape[-1],), jnp.float32)
    x = wide(x_BxTxD)
    x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.eps)
    return (x * scale_D).astype(x_BxTxD.dtype)


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """Frequencies stretched for contexts longer than the model was trained on; names as in config.json."""
  kind: str  # 'llama3' | 'yarn'
  factor: float
  original_length: int  # original_max_position_embeddings
  low: float = 1.0  # low_freq_factor of llama3, beta_slow of yarn
  high: float = 4.0  # high_freq_factor of llama3, beta_fast (32) of yarn
  mscale: float = 0.0  # yarn
  mscale_all_dim: float = 0.0  # yarn

  def __post_init__(self):
    if self.kind not in ('llama3', 'yarn'):
      raise ValueError(f"rope scaling {self.kind!r} is not supported: 'llama3' or 'yarn'")

  @property
  def softmax_factor(self) -> float:
    """What DeepSeek multiplies the softmax's scale with: mscale_all_dim's own factor, squared."""
    return _mscale(self.factor, self.mscale_all_dim)**2 if self.mscale_all_dim else 1.0


def _mscale(factor: float, mscale: float) -> float:
  return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def rope(positions_BxT: jax.Array, head_dim: int, theta: float,
         scaling: RopeScaling | None = None) -> tuple[jax.Array, jax.Array]:
  """(cos, sin), each [B, 1, T, d/2] float32, of rotary embeddings (Su et al. 2021, eq. 15)."""
  frequency = theta ** -(np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
  size = 1.0
  if scaling is not None and scaling.kind == 'llama3':
    frequency = _llama3(frequency, scaling)
  elif scaling is not None:
    frequency, size = _yarn(frequency, head_dim, theta, scaling)
  angle = positions_BxT[:, None, :, None].astype(jnp.float32) * jnp.asarray(frequency, jnp.float32)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return (cos, sin) if size == 1.0 else (cos * size, sin * size)


def rope_factors(scaling: RopeScaling, theta: float, head_dim: int) -> np.ndarray:
  """By what llama3's scaling divides each of the head_dim / 2 frequencies: GGUF's rope_freqs.weight."""
  frequency = theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
  return frequency / _llama3(frequency, scaling)


def _llama3(frequency: np.ndarray, s: RopeScaling) -> np.ndarray:
  """Llama 3.1: wave lengths beyond original_length / low are divided, short ones kept, those between blended."""
  turns = s.original_length * frequency / (2 * np.pi)
  blend = np.clip((turns - s.low) / (s.high - s.low), 0.0, 1.0)
  return (1 - blend) * frequency / s.factor + blend * frequency


def _yarn(frequency: np.ndarray, head_dim: int, theta: float, s: RopeScaling) -> tuple[np.ndarray, float]:
  """(frequencies, factor of cos and sin) of YaRN (Peng et al. 2023, sections 3.2 and 3.4)."""
  at = lambda turns: head_dim * math.log(s.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))
  first, last = max(math.floor(at(s.high)), 0), min(math.ceil(at(s.low)), head_dim - 1)
  divided = np.clip((np.arange(head_dim // 2, dtype=np.float32) - first) / max(last - first, 1e-3), 0.0, 1.0)
  if s.mscale and s.mscale_all_dim:
    size = _mscale(s.factor, s.mscale) / _mscale(s.factor, s.mscale_all_dim)
  else:
    size = _mscale(s.factor, 1.0)
  return frequency / s.factor * divided + frequency * (1 - divided), size


def rotate(x_BxHxTxd: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
  """Rotates the two halves of each head (the layout of Hugging Face's Llama and Qwen2 checkpoints)."""
  a, b = jnp.split(wide(x_BxHxTxd), 2, axis=-1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x_BxHxTxd.dtype)


@jax.custom_vjp
def gated(gate: jax.Array, up: jax.Array) -> jax.Array:
  """silu(gate) * up; the backward pass keeps these two alone and takes the sigmoid again."""
  return jax.nn.silu(gate) * up


def _gated_fwd(gate, up):
  return gated(gate, up), (gate, up)


def _gated_bwd(saved, grad):
  gate, up = saved
  sigmoid = jax.nn.sigmoid(gate)
  silu = gate * sigmoid
  return grad * up * (sigmoid + silu * (1 - sigmoid)), grad * silu


gated.defvjp(_gated_fwd, _gated_bwd)


class SwiGLU(nn.Module):
  """down(silu(gate(x)) * up(x)) (Shazeer 2020)."""
  ffn_dim: int
  out_scale: float = 1.0

  @nn.compact
  def __call__(self, x_BxTxD):
    dim = x_BxTxD.shape[-1]
    gate = weight(self, 'gate', (dim, self.ffn_dim), ('embed', 'mlp'), fan_in=dim)
    up = weight(self, 'up', (dim, self.ffn_dim), ('embed', 'mlp'), fan_in=dim)
    down = weight(self, 'down', (self.ffn_dim, dim), ('mlp', 'embed'), fan_in=self.ffn_dim,
                  scale=self.out_scale)
    return project(gated(project(x_BxTxD, gate), project(x_BxTxD, up)), down)
