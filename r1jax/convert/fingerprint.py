"""Whether a source still holds the weights that were imported: a directory keeps its name when its files are others."""

import hashlib
import os

from r1jax import paths
from r1jax.convert import find
from r1jax.convert import hf
from r1jax.convert.files import parts
from r1jax.engine import json_files
from r1jax.exceptions import UserError
from r1jax.stages import common

_BYTES = 512  # that are read at each place
_PLACES = 4096  # of a GGUF file, evenly
_TENSORS = 2048  # about so many of a model are looked at, where it has more


def of(path: str) -> str:
  """A digest of the sizes of the files that a directory's model, or a GGUF one, is read from, and of what stands at
  some places in each: the header of a safetensors file, and in each tensor two (of thousands, in some). A copy has the
  same.

  Raises:
    UserError: files that are not there, or cannot be read.
  """
  files = parts(path) if os.path.isfile(path) else hf.shards(path)
  h = hashlib.sha256()
  try:
    for file in files:
      size = os.path.getsize(file)
      h.update(f'{size}\n'.encode())
      with open(file, 'rb') as f:
        for at in _places(file, size, len(files)):
          f.seek(at)
          h.update(f.read(_BYTES))
  except OSError as e:
    raise UserError(f'{e.filename or path} cannot be read: {e.strerror}') from e
  return h.hexdigest()


def _places(file: str, size: int, files: int) -> list[int]:
  if not file.endswith('.safetensors'):
    return [max(size - _BYTES, 0) * i // (_PLACES - 1) for i in range(_PLACES)]
  try:
    spans = sorted((start, end) for _, start, end in hf.spans(file).values())
  except (ValueError, TypeError, KeyError, AttributeError) as e:
    raise UserError(f'{file} cannot be read as safetensors') from e
  # Of a mixture with a hundred thousand tensors, that is asked over a network at every start, not each.
  some = spans[::-(-len(spans) * files // _TENSORS) or 1]
  return [0, *(start + (end - start) * i // 3 for start, end in some for i in (1, 2))]


def changed(source: str, step_dir: str) -> bool:
  """Whether a directory or file holds other weights than those that `step_dir` was imported from (`weights` of its
  meta.json); one that is gone, or in parts, or a model of the hub, whose commit says so, does not. Hosts ask it
  together: the first one looks."""
  known = (json_files.read(os.path.join(step_dir, 'meta.json'), {}) or {}).get('weights')
  if not known or source in paths.SHIPPED or source.startswith(paths.HUB):
    return False

  def look() -> bool:
    try:
      return os.path.exists(os.path.expanduser(source)) and of(find.local(source)) != known
    except UserError:  # who opens it says why
      return False

  return common.told_by_first(look)


def check(source: str, step_dir: str, name: str) -> None:
  """Raises UserError where the source of a stage that is finished is `changed`."""
  if changed(source, step_dir):
    raise UserError(f'{source} holds other weights than those that {name} was imported from, from which the stages '
                    f'behind it learned: put them back, or take another --workdir, or --rerun={name}')
