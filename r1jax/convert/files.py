"""Files of a published model: each that cannot be read is one line that says why."""

import json
import os
import re

from r1jax.exceptions import UserError

_POINTER = b'version https://git-lfs'  # what git leaves of a large file where git-lfs did not fetch it


def parts(path: str) -> list[str]:
  """All files of a GGUF model that was cut in parts, NAME-00001-of-00003.gguf, by the name of one; else it alone."""
  found = re.fullmatch(r'(.*)-\d{5}-of-(\d{5})\.gguf', path, re.DOTALL)
  count = int(found[2]) if found else 1
  return [f'{found[1]}-{i:05d}-of-{found[2]}.gguf' for i in range(1, count + 1)] if count > 1 else [path]


def only_adapter(source: str) -> UserError:
  """Of a directory, or a repository, that has no weights of a model's own."""
  return UserError(f'{source} holds an adapter, not a model: merge it into its base first (peft: merge_and_unload(), '
                   'then save_pretrained), and give that directory')


def is_pointer(path: str) -> bool:
  """Whether a file is what git-lfs leaves for one that it has not fetched."""
  try:
    with open(path, 'rb') as f:
      return f.read(len(_POINTER)) == _POINTER
  except OSError:
    return False


def again(path: str) -> str:
  """The way out of a file that is torn. One in a hub's cache stands for what was fetched until it is removed."""
  blob = os.path.realpath(path)
  if os.path.islink(path) and os.path.basename(os.path.dirname(blob)) == 'blobs':
    return f'remove {blob}, so that it is downloaded again'
  return 'fetch it again'


def read_text(path: str) -> str:
  """Raises UserError for what is not there, not UTF-8, or a git-lfs pointer."""
  if is_pointer(path):
    raise UserError(f'{path} is a git-lfs pointer, not the file: run `git lfs pull` there, or fetch it again')
  try:
    with open(path, encoding='utf-8-sig') as f:
      return f.read()
  except (OSError, ValueError) as e:
    raise UserError(f'{path} cannot be read: {e}; {again(path)}') from e


def read_json(directory: str, name: str, needed: bool = True) -> dict:
  """A JSON object; {} of a file that is not there and not needed."""
  path = os.path.join(directory, name)
  if not needed and not os.path.lexists(path):  # a link that leads nowhere is a fault
    return {}
  try:
    found = json.loads(read_text(path))
  except ValueError as e:
    raise UserError(f'{path} cannot be read: {e}; {again(path)}') from e
  if not isinstance(found, dict):
    raise UserError(f'{path} holds {type(found).__name__}, not a JSON object; {again(path)}')
  return found
