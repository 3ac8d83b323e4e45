"""Weights that hold adapters or whole numbers (layers.Adapted, layers.Int8), as plain ones."""

import jax
import jax.numpy as jnp

from r1jax.models.layers import Adapted, Int8


def _held(x) -> bool:
  return isinstance(x, (Adapted, Int8))


def is_joined(params) -> bool:
  """Whether some kernel of a tree is held so."""
  return any(map(_held, jax.tree.leaves(params, is_leaf=_held)))


def added(kernel, a, b, scale: float):
  """kernel + scale * a b of a stack of layers, in the dtype that holds all of them."""
  product = jnp.einsum('lir,lro->lio', a.reshape(len(a), -1, a.shape[-1]), b.reshape(*b.shape[:2], -1),
                       precision=jax.lax.Precision.HIGHEST)
  return kernel + scale * product.reshape(kernel.shape)


def _plain(x):
  if isinstance(x, Int8):
    inputs = x.values.ndim - x.scale.ndim
    return x.values * x.scale.reshape(x.scale.shape[0], *(1,) * inputs, *x.scale.shape[1:])
  return added(_plain(x.kernel), x.a, x.b, x.scale) if isinstance(x, Adapted) else x


def merged(params):
  """The weights that a tree stands for; one that holds nothing so is left as it is."""
  return jax.tree.map(_plain, params, is_leaf=_held)
