"""The command line's config: --config=experiments/NAME.py[:ARG] and --config.KEY=VALUE, every mistake one line."""

import importlib.util
import os

from absl import flags
from ml_collections import config_flags

from r1jax.types import UserError

CONFIG = config_flags.DEFINE_config_file('config', None, 'experiments/NAME.py[:ARG]', lock_config=True)


def parse(argv: list[str], needed: tuple[str, ...] = ()):
  """argv -> the config; the flags named in `needed` must be given too.

  Raises:
    UserError: an unknown flag or key, no such file, a value of another kind.
  """
  for arg in argv[1:]:
    if arg.startswith('--config.'):
      _check_key(arg[len('--config.'):].partition('=')[0], argv)
  try:
    rest = flags.FLAGS(argv)
  except Exception as e:
    # absl and ml_collections raise many kinds; a config file that fails, any: its last line says why.
    raise UserError(str(e).strip().splitlines()[-1]) from e
  if not flags.FLAGS['config'].present or not all(flags.FLAGS[name].value for name in needed):
    raise UserError(' and '.join(['--config=experiments/NAME.py[:ARG]', *(f'--{name}=DIR' for name in needed)])
                    + (' are needed' if needed else ' is needed'))
  if len(rest) > 1:
    raise UserError(f'unexpected argument {rest[1]!r}: options start with --')
  try:
    CONFIG.value.to_dict()
  except OSError as e:
    raise UserError(f'no config file {_config_file(argv)}') from e
  return CONFIG.value


def _config_file(argv: list[str]) -> str:
  return next((a.partition('=')[2].partition(':')[0] for a in argv if a.startswith('--config=')), '')


def _check_key(key: str, argv: list[str]) -> None:
  """A key that the config has not got is an error that names its nearest neighbours."""
  given = next((a.partition('=')[2] for a in argv if a.startswith('--config=')), '')
  path, _, arg = given.partition(':')
  if not os.path.exists(path):
    return  # parse says so
  spec = importlib.util.spec_from_file_location('experiment', path)
  experiment = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(experiment)
  try:
    node = experiment.get_config(arg) if arg else experiment.get_config()
  except Exception as e:
    raise UserError(str(e).strip().splitlines()[-1]) from e
  for i, part in enumerate(key.split('.')):
    if not hasattr(node, 'keys') or part not in node:
      at = '.'.join(key.split('.')[:i])
      raise UserError(f'unknown config key {key!r}: {at or "the config"} has '
                      f'{", ".join(sorted(node.keys())) if hasattr(node, "keys") else "no keys of its own"}')
    node = node[part]


