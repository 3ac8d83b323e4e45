"""Weights in their layouts: fresh, as they are trained, as a sampler takes them.

For training they are split over fsdp and float32; for sampling they are whole along the width, in the dtype they are
computed in (mesh.DECODE_RULES), and on CPU and GPU one array a layer (models/decoder.split_layers).
"""

import functools

import jax
import jax.numpy as jnp

from r1jax.engine import mesh as mesh_lib
from r1jax.models import adapted
from r1jax.models.decoder import split_layers
from r1jax.models.layers import FEW_ROWS

_FLOAT32 = ('scale', 'router', 'router_bias', 'reward_head')  # leaves that models use in float32 whatever the dtype


def abstract(model):
  """Shapes of the parameters with their logical axis names, without computing anything."""
  return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32)))['params']


def init(model, seed: int):
  """Fresh float32 parameters, names taken off."""
  make = jax.jit(lambda key: mesh_lib.unbox(model.init(key, jnp.zeros((1, 2), jnp.int32)))['params'])
  return make(jax.random.key(seed))


def kept_as(params, dtype: str):
  """A copy of the weights in a dtype; what models read in float32 whatever the dtype stays so."""
  # The last key of a dict: boxed leaves have an attribute behind it.
  name = lambda path: [entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey)][-1]
  copy = lambda path, x: jnp.array(x, x.dtype if name(path) in _FLOAT32 or dtype == 'float32' else dtype)
  return jax.tree_util.tree_map_with_path(copy, params)


def sampling_shapes(model, mesh, *, apart: bool = False, turn: bool = False):
  """Shapes, dtypes and shardings of the weights that a sampler takes.

  Args:
    apart: with one array a layer.
    turn: with kernels turned (models/layers.Turned), on one device.
  """
  boxed = abstract(model)
  shardings = mesh_lib.param_shardings(boxed, mesh, mesh_lib.DECODE_RULES)

  def one(path, leaf, sharding):
    dtype = leaf.dtype if path[-1].key in _FLOAT32 else jnp.dtype(model.config.dtype)
    return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)

  shapes = jax.tree_util.tree_map_with_path(one, mesh_lib.unbox(boxed), shardings)
  if not apart:
    return shapes
  split = jax.eval_shape(functools.partial(split_layers, model, turn=turn), shapes)
  layer = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype, sharding=jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec(*x.sharding.spec[1:])))
  if turn:
    whole = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=mesh_lib.replicated(mesh))
    return {**shapes, **{name: jax.tree.map(whole, split[name]) for name, _, _ in model.stacks()}}
  return {**shapes, **{name: (jax.tree.map(layer, shapes[name]),) * length for name, _, length in model.stacks()}}


def turns(mesh, rows: int) -> bool:
  """Whether a sampler of so many rows holds its kernels turned: on one CPU device, where rows are few."""
  return mesh_lib.platform(mesh) == 'cpu' and mesh.size == 1 and rows <= FEW_ROWS


def as_trained(model, mesh) -> bool:
  """Whether a sampler takes the weights just as they are trained: float32, in the same layout."""
  wanted = sampling_shapes(model, mesh)
  trained = mesh_lib.param_shardings(abstract(model), mesh)
  return jax.tree.all(jax.tree.map(lambda w, t: w.dtype == jnp.float32 and w.sharding.is_equivalent_to(t, len(w.shape)),
                                   wanted, trained))


def to_sampling(model, mesh, *, apart: bool = False, turn: bool = False):
  """A function: params as they are trained -> as a sampler takes them, adapters merged; the identity where nothing
  changes."""
  same = not apart and as_trained(model, mesh)
  wanted = sampling_shapes(model, mesh, apart=apart, turn=turn)

  def cast(params):
    params = adapted.merged(params)
    return jax.tree.map(lambda x, w: x.astype(w.dtype),
                        split_layers(model, params, turn=turn) if apart else params, wanted)

  turned = jax.jit(cast, out_shardings=jax.tree.map(lambda w: w.sharding, wanted))
  return turned if not same else lambda params: turned(params) if adapted.is_joined(params) else params
