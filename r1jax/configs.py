"""Experiments by name: r1_zero:tiny is experiments/r1_zero.py:tiny, wherever the package lies. No jax."""

import importlib.util
import os
import sys
from typing import Any, Iterator

from r1jax import paths
from r1jax.exceptions import UserError

# In the package, where a checkout has a link to its own folder and a wheel the files.
DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'experiments')
_SHARED = ('__init__', 'common', 'document')


def names() -> list[str]:
  """Experiments that have variants: r1_zero, r1 .."""
  files = sorted(os.listdir(DIRECTORY)) if os.path.isdir(DIRECTORY) else []
  return [file[:-3] for file in files if file.endswith('.py') and file[:-3] not in _SHARED]


def find(name: str) -> str:
  """FILE.py[:ARG] of an experiment's name NAME[:ARG], or of what is a path already.

  Raises:
    UserError: no such experiment, or file.
  """
  stem, colon, arg = name.partition(':')
  if stem.endswith('.py') or os.sep in stem:
    stem = paths.local(stem, '--config')
    if not os.path.exists(stem):
      known = os.path.basename(stem).removesuffix('.py')
      if known == 'sweep':
        raise UserError(f'no config file {stem}: r1jax sweep NAME[:ARG] runs what sweep(add) of a config file adds')
      way = (f'{known}{colon}{arg} is the one that comes with the package' if known in names() else
             'r1jax configs lists those that there are')
      raise UserError(f'no config file {stem}: {way}')
    return f'{stem}{colon}{arg}'
  if stem not in names():
    raise UserError(f'no config {stem!r}: one of {", ".join(names())} (r1jax configs lists their variants), or a path '
                    'FILE.py[:ARG]')
  return os.path.join(DIRECTORY, f'{stem}.py') + colon + arg


def module(path: str) -> Any:
  """A config file, run as --config runs it.

  Raises:
    UserError: it fails; the last line says why.
  """
  spec = importlib.util.spec_from_file_location('experiment', path)
  found = importlib.util.module_from_spec(spec)
  before = list(sys.path)
  try:
    spec.loader.exec_module(found)
  except Exception as e:  # a file of the user's may raise anything
    raise UserError(f'{path}: {type(e).__name__}: {" ".join(str(e).split())}') from e
  finally:
    sys.path[:] = before  # experiments put their folder first
  return found


def config(name: str) -> Any:
  """The ConfigDict of NAME:ARG or FILE.py[:ARG], to be looked at or changed before `r1jax.train` takes it.

  Raises:
    UserError: no such experiment, or no such ARG of it.
  """
  path, colon, arg = find(name).partition(':')
  make = module(path).get_config
  try:
    return make(arg) if colon else make()
  except Exception as e:  # a file of the user's may raise anything
    raise UserError(f'{name}: {" ".join(str(e).split()) or type(e).__name__}') from e


def listed(only: str = '') -> Iterator[tuple[str, str]]:
  """(NAME:ARG, what it is in one line) of every variant, or of one experiment's."""
  for name in [only] if only else names():
    for arg, line in module(os.path.join(DIRECTORY, f'{name}.py')).VARIANTS.items():
      yield f'{name}:{arg}', line


def lines(config: Any, prefix: str = '') -> Iterator[str]:
  """The whole config as the flags that would give it."""
  for key in sorted(config):
    value = config[key]
    if hasattr(value, 'keys') and len(value):
      yield from lines(value, f'{prefix}{key}.')
    else:
      shown = value.to_dict() if hasattr(value, 'to_dict') else value
      yield f'--config.{prefix}{key}={shown if isinstance(shown, str) else repr(shown)}'


def fitting(name: str) -> Iterator[str]:
  """Topologies that its file names for NAME:ARG, each with the flags that make it fit there (docs/plans.md)."""
  path, _, arg = find(name).partition(':')
  for topology, values in getattr(module(path), 'TOPOLOGIES', {}).get(arg, {}).items():
    if isinstance(values, str):
      continue  # why it does not
    flags = [f'--config.{key}={value}' for key, value in values.items() if not key.isupper()]
    flags += [f'(environment: {key}={value})' for key, value in values.items() if key.isupper()]
    yield f'# on {topology}: {" ".join(flags) or "as it is"}'
