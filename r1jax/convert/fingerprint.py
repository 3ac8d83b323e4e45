"""Whether a source still holds the weights that were imported: a directory keeps its name when its files are others."""

import glob
import hashlib
import os

from r1jax import paths
from r1jax.convert.files import parts
from r1jax.exceptions import UserError

_PLACES, _BYTES = 16, 1 << 16  # of a file that are read: training changes every tensor


def of(path: str) -> str:
  """A digest of the sizes of a directory's safetensors, or of a GGUF file and its parts, and of what stands at some
  places in each: no more than a megabyte of a file is read, and a copy has the same."""
  files = parts(path) if os.path.isfile(path) else sorted(
      glob.glob(os.path.join(glob.escape(path), '*.safetensors')))
  h = hashlib.sha256()
  for file in files:
    size = os.path.getsize(file)
    h.update(f'{size}\n'.encode())
    with open(file, 'rb') as f:
      for i in range(_PLACES):
        f.seek(max(size - _BYTES, 0) * i // (_PLACES - 1))
        h.update(f.read(_BYTES))
  return h.hexdigest()


def changed(source: str, known: dict) -> bool:
  """Whether a directory or file holds other weights than those that an import noted (`weights` of common.origin); one
  that is gone, or a model of the hub, whose commit says so, does not.

  Raises:
    UserError: it cannot be read.
  """
  path = os.path.expanduser(source)
  if not known.get('weights') or known.get('hub') or source in paths.SHIPPED or not os.path.exists(path):
    return False
  try:
    held = [path] if os.path.isfile(path) else glob.glob(os.path.join(glob.escape(path), '*.safetensors'))
    found = held or glob.glob(os.path.join(glob.escape(path), '*.gguf'))
    return bool(found) and of(path if held else min(found)) != known['weights']
  except OSError as e:
    raise UserError(f'{e.filename or path} cannot be read: {e.strerror}') from e


def check(source: str, known: dict, name: str) -> None:
  """Raises UserError where the source of a stage that is finished is `changed`."""
  if changed(source, known):
    raise UserError(f'{source} holds other weights than those that {name} was imported from, from which the stages '
                    f'behind it learned: put them back, or take another --workdir, or --rerun={name}')
