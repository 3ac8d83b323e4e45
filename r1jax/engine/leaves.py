"""Weights of a checkpoint leaf by leaf, read without a mesh: to hash them, export them, merge adapters into them."""

import json
import os
import threading

import numpy as np
import tensorstore

from r1jax import disk
from r1jax.exceptions import UserError, first_line


def open_each(step_dir: str) -> dict:
  """Path ('blocks/q') -> tensorstore of that leaf, unread: parts of it are read alone, `leaf[i].read().result()`."""
  directory = os.path.join(os.path.abspath(step_dir), 'params')
  try:
    with open(os.path.join(directory, '_METADATA'), encoding='utf-8') as f:
      found = json.load(f)
    driver = 'zarr3' if found.get('use_zarr3') else 'zarr'
    paths = ['/'.join(key['key'] for key in leaf['key_metadata']) for leaf in found['tree_metadata'].values()]
    spec = lambda path: {'driver': driver, 'kvstore': {'driver': 'ocdbt', 'base': f'file://{directory}',
                                                       'path': path.replace('/', '.') + '/'}}
    return {path: tensorstore.open(spec(path)).result() for path in paths}
  except Exception as e:  # pylint: disable=broad-except  as above
    if disk.of_the_moment(e):
      raise  # it may be as good as it was
    raise UserError(f'{step_dir} cannot be read: {first_line(e)}') from e


def kept_in(step_dir: str) -> np.dtype:
  """What most weights of a checkpoint are kept in, told by its embedding: float32 or bfloat16."""
  leaves = open_each(step_dir)
  return np.dtype(leaves['embedding' if 'embedding' in leaves else next(iter(leaves))].dtype.numpy_dtype)


class Parts:
  """(path, at) -> the part `at` (layer, expert) of a leaf as numpy, where each piece on disk is read once.

  A checkpoint of before 2026-11-26 has a leaf in one piece: it is kept until another leaf is asked for.
  """

  def __init__(self, leaves: dict):
    self._leaves, self._lock, self._pieces = leaves, threading.Lock(), {}

  def __call__(self, path: str, at: tuple[int, ...]) -> np.ndarray:
    leaf = self._leaves[path]
    piece = leaf.chunk_layout.read_chunk.shape
    if all(piece[axis] == 1 for axis in range(len(at))):
      return leaf[at].read().result()
    first = tuple(i // n * n for i, n in zip(at, piece))
    with self._lock:  # one thread reads it, those that come meanwhile wait
      if (path, first) not in self._pieces:
        self._pieces = {key: value for key, value in self._pieces.items() if key[0] == path}
        where = tuple(slice(i, min(i + n, size)) for i, n, size in zip(first, piece, leaf.shape))
        self._pieces[path, first] = leaf[where].read().result()
      return self._pieces[path, first][tuple(i - j for i, j in zip(at, first))]


def hash_each(step_dir: str, h, piece: int = 64 << 20) -> None:
  """Feeds every weight of a checkpoint to a hashlib object, by name, at most `piece` bytes or a first index at a time.

  Raises:
    UserError: it cannot be read.
  """
  for path, leaf in sorted(open_each(step_dir).items()):
    h.update(f'{path} {leaf.shape} {leaf.dtype.name}'.encode())
    rows = leaf.shape[0] if leaf.shape else 1
    some = max(1, piece // max(1, leaf.size * leaf.dtype.numpy_dtype.itemsize // max(rows, 1)))
    try:
      for i in range(0, rows, some):
        part = leaf[i:min(i + some, rows)] if leaf.shape else leaf  # past the end is an error, not a shorter slice
        h.update(np.ascontiguousarray(part.read().result()))
    except Exception as e:  # pylint: disable=broad-except  as above
      if disk.of_the_moment(e):
        raise
      raise UserError(f'{step_dir} cannot be read: {first_line(e)}') from e
