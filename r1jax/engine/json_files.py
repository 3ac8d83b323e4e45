"""JSON files of a work dir, written by the first of several hosts and never seen half."""

import json

import jax

from r1jax import disk
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file


def write(path: str, value, *, every_host: bool = False) -> None:
  """Writes by rename, so that a reader never sees half a file;
  on the first of several hosts, unless it is each one's own."""
  if every_host or jax.process_index() == 0:
    replace_file(path, json.dumps(value, indent=1, ensure_ascii=False).encode())


def read(path: str, missing=None):
  """What `write` wrote; `missing` where nothing stands.

  Raises:
    UserError: it is torn. It is written by rename, so a disk or a person has changed it.
    OSError: it cannot be read, which is not as if nothing stood there.
  """
  def load():
    with open(path, encoding='utf-8') as f:
      return json.load(f)

  try:
    return disk.patiently(load)
  except (FileNotFoundError, NotADirectoryError):
    return missing
  except ValueError as e:
    raise UserError(f'{path} cannot be read ({e}): restore it, or make the stage again with --rerun=STAGE') from e
