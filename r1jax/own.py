"""What a user brings in a file of Python: 'FILE.py:NAME' -> the function NAME of it."""

import functools
import importlib.util
import inspect
import os
import sys
from typing import Callable

from r1jax.exceptions import UserError


def names(text: str) -> bool:
  """Whether a text is 'FILE.py:NAME'."""
  return text.partition(':')[0].endswith('.py') and ':' in text


def function(text: str) -> Callable:
  """The function that 'FILE.py:NAME' names; the file is run once a process, again where it has changed.

  Raises:
    UserError: no such file, one that fails, or no function of that name in it.
  """
  path, _, name = text.partition(':')
  if not os.path.isfile(path):
    raise UserError(f'{text}: no file {path}')
  module = _module(os.path.abspath(path), os.stat(path).st_mtime_ns)
  found = getattr(module, name, None)
  if not callable(found):
    its_own = lambda value: inspect.isfunction(value) and value.__module__ == module.__name__
    there = [key for key, value in vars(module).items() if its_own(value)]
    raise UserError(f'{text}: no function {name!r} in {path}' + (f', which has {", ".join(there)}' if there else ''))
  return found


@functools.lru_cache(maxsize=64)
def _module(path: str, changed: int):
  del changed
  if os.path.dirname(path) not in sys.path:
    sys.path.append(os.path.dirname(path))  # it may import what lies beside it
  spec = importlib.util.spec_from_file_location(f'own_{os.path.basename(path)[:-3]}', path)
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as e:  # pylint: disable=broad-except  it is a user's, and may raise anything
    raise UserError(f'{path} cannot be run ({type(e).__name__}: {e})') from e
  return module
