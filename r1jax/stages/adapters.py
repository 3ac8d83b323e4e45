"""A checkpoint that holds adapters alone: which base it stands on, and the two merged for whoever loads it.

lora.json, beside model.json: {base: the step of the checkpoint that it began with, as seen from here; digest: of that
one's weights; rank, alpha, targets; base_dtype: what it was in while they were trained beside it}.
"""

import dataclasses
import functools
import hashlib
import logging
import os

from flax import traverse_util
import jax
import numpy as np

from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import leaves as leaves_lib
from r1jax.engine import lora as lora_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError
from r1jax.models import adapted
from r1jax.models import zoo

log = logging.getLogger('r1jax')

RECORD = 'lora.json'


def save(stage_dir: str, lora: lora_lib.Lora | None, base_step_dir: str) -> None:
  """Notes what a stage's checkpoints stand on; of a stage that trains all weights nothing is left."""
  path = os.path.join(stage_dir, RECORD)
  if lora is None:
    if os.path.exists(path) and mesh_lib.first_process():  # of an earlier start
      os.remove(path)
    return
  if mesh_lib.first_process():
    where = os.path.relpath(base_step_dir, os.path.abspath(stage_dir))
    known = json_files.read(path, {})
    fresh = known.get('base') != where or known.get('digest') is None
    json_files.write(path, {
        'base': where, 'digest': digest(base_step_dir) if fresh else known['digest'], 'rank': lora.rank,
        'alpha': lora.alpha, 'targets': list(lora.targets), 'base_dtype': lora.base_dtype})
  log.info('adapters of %s, beside %s in %s: they alone are trained and saved', lora_lib.said(lora), base_step_dir,
           lora.base_dtype)


def digest(step_dir: str) -> str:
  """sha256 of a step's weights by their values; of adapters with what they stand on. A second for every 0.8 GB, once
  a process."""
  files = [entry for entry in os.scandir(os.path.join(step_dir, 'params')) if entry.is_file()]
  return _digest(step_dir, tuple(sorted((x.name, x.stat().st_size, x.stat().st_mtime_ns) for x in files)))


@functools.lru_cache
def _digest(step_dir: str, look: tuple) -> str:
  del look
  h = hashlib.sha256()
  leaves_lib.hash_each(step_dir, h)
  if found := read(step_dir):
    h.update(found['digest'].encode())
  return h.hexdigest()


def read(step_dir: str) -> dict | None:
  """What lora.json says of a step's directory; None: it holds whole weights."""
  return json_files.read(os.path.join(os.path.dirname(os.path.dirname(step_dir)), RECORD))


def _place(step_dir: str, found: dict) -> str:
  return os.path.normpath(os.path.join(os.path.dirname(os.path.dirname(step_dir)), found['base']))


def base_of(step_dir: str, found: dict) -> str:
  """The step's directory that adapters stand on.

  Raises:
    UserError: it is gone, or holds other weights than then.
  """
  there = _place(step_dir, found)
  check_weights(there, found['digest'], f'{step_dir} holds adapters of {there}', f'{RECORD} of the stage', 'they were')
  return there


def check_weights(there: str, known: str, said: str, record: str, trained: str = 'it was') -> None:
  """Raises UserError where a step that another one needs is gone, or has another digest than `known`; record: the file
  that says where it is."""
  if not os.path.isdir(os.path.join(there, 'params')):
    raise UserError(f'{said}, which is not there: put it back, or write where it is now to {record}')
  if mesh_lib.any_process(mesh_lib.first_process() and digest(there) != known):
    raise UserError(f'{said}, whose weights are others than when {trained} trained')


def lora_of(found: dict, base_dtype: str = 'float32') -> lora_lib.Lora:
  return lora_lib.Lora(found['rank'], found['alpha'], tuple(found['targets']), base_dtype)


def load(model, step_dir: str, shapes, mesh, rules):
  """Weights of a step in the layout of `shapes`, adapters merged with their base, a kernel at a time.

  Args:
    shapes: as checkpoint.load_params takes them, with shardings. rules: of the mesh, that they are laid out by.
  """
  found = read(step_dir)
  if found is None:
    return checkpoint.load_params(step_dir, shapes, jax.tree.map(lambda x: x.sharding, shapes))
  there, lora = base_of(step_dir, found), lora_of(found)
  log.info('%s holds adapters (%s): merged with %s', step_dir, lora_lib.said(lora), there)
  boxed = lora_lib.adapters(params_lib.abstract(model), model, lora)
  trained = traverse_util.flatten_dict(checkpoint.load_params(
      step_dir, mesh_lib.unbox(boxed), mesh_lib.param_shardings(boxed, mesh, rules)))
  wanted = traverse_util.flatten_dict(shapes)
  # Adapters that lie below are merged to what these ones were trained beside, not to what their own base is kept in.
  kept = ('bfloat16' if found.get('base_dtype') == 'bfloat16' else 'float32') if read(there) else kept_in(there)
  kept = jax.numpy.dtype(kept)
  own = {path for path in trained if path[-1] not in ('a', 'b')}
  changed = {path[:-1] for path in trained} - {path[:-1] for path in own}
  read_as = {path: jax.ShapeDtypeStruct(x.shape, kept if path in changed else x.dtype, sharding=x.sharding)
             for path, x in wanted.items() if path not in own}
  plain = zoo.build(dataclasses.replace(model.config, reward_head=False))
  out = traverse_util.flatten_dict(load(plain, there, traverse_util.unflatten_dict(read_as), mesh, rules))

  def added(kernel, a, b):
    return adapted.added(kernel.astype(a.dtype), a, b, lora.scale).astype(dtype)

  for path in sorted(changed):
    dtype, where = wanted[path].dtype, wanted[path].sharding
    out[path] = jax.jit(added, out_shardings=where)(out.pop(path), trained[*path, 'a'], trained[*path, 'b'])
  return traverse_util.unflatten_dict(out | {path: trained[path] for path in own})


def kept_in(step_dir: str) -> np.dtype:
  """leaves.kept_in, of adapters what their base is kept in."""
  found = read(step_dir)
  return leaves_lib.kept_in(step_dir) if found is None else kept_in(_place(step_dir, found))


class Parts:
  """(path, at) -> the part `at` (layer, expert) of a leaf, as leaves.Parts has it, adapters merged.

  Attributes:
    leaves: path -> the unread leaf of the base, for shapes and dtypes.
    steps: the steps' directories that it reads.
  """

  def __init__(self, step_dir: str):
    self._found = read(step_dir)
    if self._found is None:
      self.leaves, self.steps = leaves_lib.open_each(step_dir), [step_dir]
      self._base, self._own = leaves_lib.Parts(self.leaves), {}
      return
    there = base_of(step_dir, self._found)
    log.info('%s holds adapters (%s): merged with %s', step_dir, lora_lib.said(lora_of(self._found)), there)
    self._base, own = Parts(there), leaves_lib.open_each(step_dir)
    self.leaves, self.steps = self._base.leaves, [step_dir, *self._base.steps]
    self._own = {path: leaf.read().result() for path, leaf in own.items()}  # small

  def __call__(self, path: str, at: tuple[int, ...]) -> np.ndarray:
    kernel = self._base(path, at)
    if f'{path}/a' not in self._own:
      return kernel
    a, b = (self._own[f'{path}/{name}'][at] for name in 'ab')
    return lora_lib.merged_part(kernel, a, b, lora_of(self._found).scale)
