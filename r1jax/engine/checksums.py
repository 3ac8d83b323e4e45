"""A CRC-32 of each file of a finished checkpoint, beside it: Orbax keeps none, and a flipped bit is other weights.

Of several processes each numbers and checks its own share of the files: DeepSeek-V3's state is 5 TB. What stands beside
checkpoints in files of JSON carries its own (`sealed`).
"""

import concurrent.futures
import json
import os
import re
import stat
from typing import Any
import zlib

import jax

from r1jax import disk
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file

_BLOCK = 8 << 20
_THREADS = 8  # a number is made of 1 to 3 GB a second and thread; zlib lets other threads run meanwhile


def write(step_dir: str) -> None:
  """Notes size and CRC-32 of this process's share of the files below a checkpoint that is whole."""
  found = {os.path.relpath(file, step_dir): number for file, number in _numbers(_share(step_dir)).items()}
  replace_file(_path(step_dir), json.dumps(found).encode())


def is_written(step_dir: str) -> bool:
  return disk.exists(_path(step_dir))


def check(step_dir: str, *, whole: bool = False, below: str = '') -> None:
  """Whether files are as they were written: of this process's share, or of the whole; of those `below` a folder.

  A checkpoint without numbers passes: it was stopped before they were noted, or another program wrote it.

  Raises:
    UserError: one is gone, or other than it was written.
    OSError: one cannot be read, which says nothing of what it holds (disk.of_the_moment).
  """
  noted = {}
  for file in _files(step_dir, numbers=True):
    try:
      with open(file, encoding='utf-8') as f:
        noted = json.load(f) | noted  # the first word counts
    except (FileNotFoundError, TypeError, ValueError) as e:
      raise UserError(f'{file} cannot be read: {e}') from e
  noted = {name: number for name, number in noted.items() if name.startswith(below)}
  mine = sorted(noted) if whole else sorted(noted)[jax.process_index()::jax.process_count()]
  paths = {name: os.path.join(step_dir, name) for name in mine}
  for name, path in paths.items():  # sizes first: they cost nothing
    found = disk.stat(path)
    size = found.st_size if found and stat.S_ISREG(found.st_mode) else None
    if size != noted[name][0]:
      raise UserError(f'{path} is torn: {"not there" if size is None else f"{size} bytes"}, written were '
                      f'{noted[name][0]}')
  found = _numbers(list(paths.values()))
  for name, path in paths.items():
    if list(found[path]) != list(noted[name]):
      raise UserError(f'{path} is other than it was written: its CRC-32 is {found[path][1]:08x}, then it was '
                      f'{noted[name][1]:08x}')


def _path(step_dir: str) -> str:
  return os.path.join(step_dir, f'checksums.{jax.process_index()}.json')


def _files(step_dir: str, *, numbers: bool) -> list[str]:
  """All files below it, in order: those that hold numbers, or all others."""
  found = disk.files(step_dir)
  is_number = lambda file: os.path.dirname(file) == step_dir and os.path.basename(file).startswith('checksums.')
  return [file for file in found if is_number(file) == numbers and not os.path.basename(file).endswith('.tmp')]


def _share(step_dir: str) -> list[str]:
  return _files(step_dir, numbers=False)[jax.process_index()::jax.process_count()]


def _number(file: str) -> tuple[int, int]:
  crc, size = 0, 0
  with open(file, 'rb') as f:
    while block := f.read(_BLOCK):
      crc, size = zlib.crc32(block, crc), size + len(block)
  return size, crc


def _numbers(files: list[str]) -> dict[str, tuple[int, int]]:
  """File -> (size, CRC-32)."""
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    return dict(zip(files, pool.map(_number, files)))


# --- small files of JSON

_SEALED = re.compile(rb'\{"crc32": "([0-9a-f]{8})", "value": (.*)\}\n?', re.DOTALL)


def sealed(value: Any) -> bytes:
  """JSON of it with its own CRC-32, for `opened`."""
  text = json.dumps(value).encode()
  return b'{"crc32": "%08x", "value": %s}\n' % (zlib.crc32(text), text)


def opened(path: str) -> Any:
  """What `sealed` made and replace_file wrote. JSON without a number is taken as it is: an older version wrote it.

  Raises:
    ValueError: it is other than it was written.
    OSError: it cannot be read, or is not there.
  """
  data = disk.patiently(_read, path)
  found = _SEALED.fullmatch(data)
  if not found:
    return json.loads(data)
  if zlib.crc32(found[2]) != int(found[1], 16):
    raise ValueError(f'its CRC-32 is {zlib.crc32(found[2]):08x}, written was {found[1].decode()}')
  return json.loads(found[2])


def _read(path: str) -> bytes:
  with open(path, 'rb') as f:
    return f.read()
