"""What a user brings in a file of Python: 'FILE.py:NAME' -> the function NAME of it."""

import functools
import importlib.util
import inspect
import os
import sys
import traceback
from typing import Callable

from r1jax.exceptions import UserError

_held: dict[str, bytes] = {}  # path -> what the file is to hold, whatever stands there now


def names(text: str) -> bool:
  """Whether a text is 'FILE.py:NAME'."""
  return text.partition(':')[0].endswith('.py') and ':' in text


def function(text: str) -> Callable:
  """The function that 'FILE.py:NAME' names; the file is run once a process, again where it has changed.

  Raises:
    UserError: no such file, one that fails, or no function of that name in it.
  """
  path, _, name = text.partition(':')
  module = _module(os.path.abspath(path), source(text))
  found = getattr(module, name, None)
  if not callable(found):
    its_own = lambda value: inspect.isfunction(value) and value.__module__ == module.__name__
    there = [key for key, value in vars(module).items() if its_own(value)]
    raise UserError(f'{text}: no function {name!r} in {path}' + (f', which has {", ".join(there)}' if there else ''))
  return found


def source(text: str) -> bytes:
  """What the file of 'FILE.py:NAME' holds, or is held to. UserError where there is none."""
  path = text.partition(':')[0]
  if (held := _held.get(os.path.abspath(path))) is not None:
    return held
  if not os.path.isfile(path):
    raise UserError(f'{text}: no file {path}')
  with open(path, 'rb') as f:
    return f.read()


def hold(text: str, held: bytes) -> None:
  """In this process the file of 'FILE.py:NAME' is what it was: a judge that is started again judges as the others."""
  _held[os.path.abspath(text.partition(':')[0])] = held


def told(e: BaseException, function_: Callable | None = None, path: str = '') -> str:
  """'FILE.py:LINE: KIND: what it says' of what a user's code has raised. LINE is the last one of the function's file,
  or of the file at `path`, that was running; where none was, as of a call that does not fit, that of its `def`."""
  code = getattr(function_, '__code__', None)
  path = path or getattr(code, 'co_filename', '')
  lines = [frame.lineno for frame in traceback.extract_tb(e.__traceback__) if frame.filename == path]
  if isinstance(e, SyntaxError) and e.filename == path:
    lines.append(e.lineno)
  line = lines[-1] if lines else getattr(code, 'co_firstlineno', None)
  place = f'{os.path.basename(path)}:{line}: ' if path and line else ''
  what = e.msg if isinstance(e, SyntaxError) else ' '.join(str(e).split())
  return f'{place}{type(e).__name__}{": " if what else ""}{what}'


@functools.lru_cache(maxsize=64)
def _module(path: str, text: bytes):
  if os.path.dirname(path) not in sys.path:
    sys.path.append(os.path.dirname(path))  # it may import what lies beside it
  spec = importlib.util.spec_from_file_location(f'own_{os.path.basename(path)[:-3]}', path)
  module = importlib.util.module_from_spec(spec)
  try:
    exec(compile(text, path, 'exec'), module.__dict__)  # pylint: disable=exec-used  not the loader, which reads again
  except (Exception, SystemExit) as e:  # pylint: disable=broad-except  it is a user's, and may raise anything
    raise UserError(f'{path} cannot be run ({told(e, path=path)})') from e
  return module
