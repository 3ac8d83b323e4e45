"""LoRA (Hu et al. 2021): adapters beside a frozen base; they alone are trained, and kept in checkpoints.

Three trees, all with the model's paths:

  base     the model's weights but for a reward head; kernels may be kept in bfloat16 or as whole numbers (QLoRA)
  trained  {'a', 'b'} in the place of each adapted kernel, and the reward head of a model that has one
  joined   the two in one, kernels as layers.Adapted: what the losses are given. No number is computed for it.

A sampler takes them merged (models/adapted.py): kernel + scale * a b, in its own dtype. b begins at zero, so that the
policy begins as its base, bit for bit.
"""

import math
from typing import NamedTuple
import zlib

from flax import traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError
from r1jax.models import adapted
from r1jax.models.layers import Adapted, Int8

FEED_FORWARD = ('gate', 'up', 'down')
DTYPES = ('', 'float32', 'bfloat16', 'int8')
DEFAULTS = {'alpha': 32.0, 'targets': 'all', 'base_dtype': ''}  # of a config; rank 0 reads none of them


class Lora(NamedTuple):
  """What is adapted, and how."""
  rank: int
  alpha: float
  targets: tuple[str, ...]  # names of kernels
  base_dtype: str  # of the base while it is trained beside: 'float32', 'bfloat16' or 'int8'

  @property
  def scale(self) -> float:
    return self.alpha / self.rank


def section(config, c):
  """The part `lora` of a config that holds for a stage whose own part is c: the config's, with what the stage's own has
  otherwise; None where nothing is adapted: rank 0, or a model that begins from scratch, of which there is no base."""
  found = ConfigDict({key: value for some in (config, c) for key, value in (some.get('lora') or {}).items()})
  return found if found.get('rank') and 'model' not in c else None


def of(config, c, model) -> Lora | None:
  """The adapters of a stage that learns from a checkpoint; None: it trains all weights.

  Raises:
    UserError: a target that the family has not, a rank that is no lower than a kernel's, or what cannot be with it.
  """
  s = section(config, c)
  if s is None:
    return None
  check(s, model, bias_rate=config.experts.bias_rate if 'experts' in config else 0.0)
  return Lora(s.rank, float(s.alpha), names(s.targets, model), s.base_dtype or config.dtype)


def names(targets, model) -> tuple[str, ...]:
  """Kernels that `targets` name: a tuple, or a text with commas; 'all', 'attention' and 'mlp' stand for several.

  Raises:
    UserError: the family has none of that name.
  """
  kernels = tuple(model.kernels())
  groups = {'all': kernels, 'attention': tuple(k for k in kernels if k not in FEED_FORWARD), 'mlp': FEED_FORWARD}
  given = [t.strip() for t in targets.split(',')] if isinstance(targets, str) else list(targets)
  for name in given:
    if name not in kernels and name not in groups:
      raise UserError(f'lora.targets={targets!r}: {model.config.family} has no kernel {name!r}: one of '
                      f'{", ".join((*groups, *kernels))}')
  if not given:
    raise UserError(f'lora.targets={targets!r} names no kernel: one of {", ".join((*groups, *kernels))}')
  wanted = {kernel for name in given for kernel in groups.get(name, (name,))}
  return tuple(k for k in kernels if k in wanted)


def check(s, model, *, bias_rate: float = 0.0) -> None:
  """Raises UserError for a section `lora` that this model cannot be adapted by."""
  if s.alpha <= 0:
    raise UserError(f'lora.alpha={s.alpha} must be more than 0 with lora.rank={s.rank}: the change is alpha / rank '
                    'times the adapters')
  if s.base_dtype not in DTYPES:
    raise UserError(f"lora.base_dtype={s.base_dtype!r} is not one of {', '.join(map(repr, DTYPES))}")
  if model.mixture and bias_rate:
    raise UserError(f'lora.rank={s.rank} leaves the router as it is, experts.bias_rate={bias_rate} moves its bias: '
                    'give --config.experts.bias_rate=0')
  boxed = traverse_util.flatten_dict(params_lib.abstract(model))
  for path, n in _adapted(boxed, model, names(s.targets, model)).items():
    shape = boxed[path].value.shape[1:]
    most = min(math.prod(shape[:n]), math.prod(shape[n:]))
    if s.rank > most:
      raise UserError(f'lora.rank={s.rank} is more than the {most} of {"/".join(path)}, whose kernel is '
                      f'{math.prod(shape[:n])} x {math.prod(shape[n:])}: at most {most}, or other lora.targets')


def _adapted(flat: dict, model, targets) -> dict[tuple, int]:
  """Path -> input axes, of the kernels that bear these names; the routed experts' are none."""
  inputs = model.kernels()
  return {path: inputs[path[-1]] for path in flat if path[-1] in targets and path[-2:-1] != ('moe',)}


# --- shapes, with names of axes


def adapters(boxed, model, lora: Lora):
  """The tree `trained`, from params.abstract(model): boxed shapes."""
  flat, out = traverse_util.flatten_dict(boxed), {}
  for path, n in _adapted(flat, model, lora.targets).items():
    box, (first, *shape) = flat[path], flat[path].value.shape
    layer, *axes = box.names
    named = lambda shape, names, box=box: box.replace(value=jax.ShapeDtypeStruct(shape, jnp.float32), names=names)
    out[*path, 'a'] = named((first, *shape[:n], lora.rank), (layer, *axes[:n], None))
    out[*path, 'b'] = named((first, lora.rank, *shape[n:]), (layer, None, *axes[n:]))
  out |= {path: box for path, box in flat.items() if path == ('reward_head',)}
  return traverse_util.unflatten_dict(out)


def base(boxed, model, lora: Lora):
  """The tree `base`: boxed shapes, in the dtype that it is kept in."""
  shapes = jax.eval_shape(lambda p: kept(p, model, lora), mesh_lib.unbox(boxed))
  flat, out = traverse_util.flatten_dict(boxed), {}
  for path, x in traverse_util.flatten_dict(shapes).items():
    box = flat[path]
    if isinstance(x, Int8):
      outputs = x.scale.ndim - 1
      out[path] = Int8(box.replace(value=x.values), box.replace(value=x.scale, names=(
          box.names[0], *box.names[len(box.names) - outputs:])))
    else:
      out[path] = box.replace(value=x)
  return traverse_util.unflatten_dict(out)


def without_head(params: dict) -> dict:
  """A tree by the names of weights, but for a reward head, which is trained whole."""
  return {name: x for name, x in params.items() if name != 'reward_head'}


# --- numbers


def init(shapes, key) -> dict:
  """`trained` at step 0 but for a reward head: a uniform in +- 1 / sqrt(inputs), as PEFT draws it, b at zero."""
  out = {}
  for path, x in traverse_util.flatten_dict(shapes).items():
    if path[-1] == 'a':
      bound = math.prod(x.shape[1:-1])**-0.5
      number = jax.random.fold_in(key, zlib.crc32('/'.join(path).encode()))
      out[path] = jax.random.uniform(number, x.shape, x.dtype, -bound, bound)
    elif path[-1] == 'b':
      out[path] = jnp.zeros(x.shape, x.dtype)
  return traverse_util.unflatten_dict(out)


def _kept(params: dict, model, dtype: str) -> dict:
  """A base's weights in `dtype`; of 'int8' the kernels that could be adapted, the rest as the model computes."""
  if dtype != 'int8':
    return params_lib.kept_as(params, dtype)
  flat = traverse_util.flatten_dict(params_lib.kept_as(params, model.config.dtype))
  whole = traverse_util.flatten_dict(params)
  return traverse_util.unflatten_dict(flat | {
      path: quantised(whole[path], n) for path, n in _adapted(whole, model, tuple(model.kernels())).items()})


def kept(params: dict, model, lora: Lora) -> dict:
  """`base` of a model's weights."""
  return _kept(without_head(params), model, lora.base_dtype)


def quantised(kernel, inputs: int) -> Int8:
  """A stack of kernels [L, I.., O..] with `inputs` axes I, each output in whole numbers of its largest weight / 127."""
  largest = jnp.max(jnp.abs(kernel), axis=tuple(range(1, 1 + inputs)), keepdims=True).astype(jnp.float32)
  scale = jnp.where(largest > 0, largest / 127, 1.0)
  values = jnp.clip(jnp.round(kernel / scale), -127, 127).astype(jnp.int8)
  return Int8(values, scale.reshape(scale.shape[0], *scale.shape[1 + inputs:]))


# --- the trees in one and apart


def joined(base_: dict, trained: dict, scale: float) -> dict:
  """base and trained -> what the losses take."""
  whole, learned = traverse_util.flatten_dict(base_), traverse_util.flatten_dict(trained)
  there = {path[:-1] for path in learned if path[-1] in ('a', 'b')}
  out = {path: Adapted(x, learned[*path, 'a'], learned[*path, 'b'], scale) if path in there else x
         for path, x in whole.items()}
  out |= {path: x for path, x in learned.items() if path[:-1] not in there}
  return traverse_util.unflatten_dict(out)


def parted(params):
  """(what is trained of params, a function that puts it back): of a joined tree `trained`, else all of it."""
  if not adapted.is_joined(params):
    return params, lambda trained: trained
  flat, learned = traverse_util.flatten_dict(params), {}
  scale = next(x.scale for x in flat.values() if isinstance(x, Adapted))
  for path, x in flat.items():
    if isinstance(x, Adapted):
      learned |= {(*path, 'a'): x.a, (*path, 'b'): x.b}
  learned |= {path: x for path, x in flat.items() if path == ('reward_head',)}
  rest = traverse_util.unflatten_dict({path: x.kernel if isinstance(x, Adapted) else x for path, x in flat.items()
                                       if path not in learned})
  return traverse_util.unflatten_dict(learned), lambda trained: joined(rest, trained, scale)


def merged_part(kernel: np.ndarray, a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
  """kernel + scale * a b of one layer, float32 numpy: what an export writes."""
  product = a.reshape(-1, a.shape[-1]).astype(np.float32) @ b.reshape(b.shape[0], -1).astype(np.float32)
  return kernel.astype(np.float32) + np.float32(scale) * product.reshape(kernel.shape)


def said(lora: Lora) -> str:
  return f'rank {lora.rank}, alpha {lora.alpha:g}, on {", ".join(lora.targets)}'
