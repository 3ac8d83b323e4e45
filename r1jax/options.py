"""The command line's config: --config=experiments/NAME.py[:ARG] and --config.KEY=VALUE, every mistake one line."""

import ast
import difflib
import functools
import os
import re
import sys

from absl import flags
from ml_collections import ConfigDict
from ml_collections import config_flags

from r1jax import configs
from r1jax import values
from r1jax import limits
from r1jax import paths
from r1jax.exceptions import UserError

CONFIG = config_flags.DEFINE_config_file('config', None, 'NAME:ARG of `r1jax configs`, or a path FILE.py[:ARG]',
                                         lock_config=True)
_PRINT = flags.DEFINE_bool('print_config', False, 'print every value of the config, as the flag that gives it, and end')


def parse(argv: list[str], needed: tuple[str, ...] = ()):
  """argv -> the config; the flags named in `needed` must be given too.

  Raises:
    UserError: an unknown flag or key, no such file, a value of another kind.
    SystemExit: 0, behind --help or --print_config.
  """
  if any(arg in ('--help', '-h', '-help') for arg in argv[1:]):
    print(usage())
    sys.exit(0)
  argv = _found(argv)
  whole, others = [], []
  for arg in argv:
    key, _, value = arg.removeprefix('--config.').partition('=')
    if arg.startswith('--config.'):
      _check_key(key, argv)
    is_whole = arg.startswith('--config.') and (key.endswith('.max_tokens') or value.strip()[:1] in ('{', '[', '(')
                                                ) and _literal(value) is not None
    (whole if is_whole else others).append((key, value) if is_whole else arg)
  given, sys.argv = sys.argv, others  # ml_collections looks there for what is overridden
  try:
    rest = flags.FLAGS(others)
  except Exception as e:
    # absl and ml_collections raise many kinds; a config file that fails, any: its last line says why.
    raise UserError(_in_our_words(str(e).strip().splitlines()[-1])) from e
  finally:
    sys.argv = given
  if _PRINT.value:
    needed = ()
  missing = [] if flags.FLAGS['config'].present else ['--config=NAME:ARG']
  missing += [f'--{name}=DIR' for name in needed if not flags.FLAGS[name].value]
  if not flags.FLAGS['config'].present and len(rest) > 1:
    raise UserError(f'unexpected argument {rest[1]!r}: a config stands right behind the command, or as '
                    f'--config={rest[1]}')
  if missing:
    raise UserError(' and '.join(missing) + (' are needed' if len(missing) > 1 else ' is needed'))
  if len(rest) > 1:
    raise UserError(f'unexpected argument {rest[1]!r}: options start with --')
  try:
    CONFIG.value.to_dict()
  except OSError as e:
    raise UserError(f'no config file {_config_file(argv)}') from e
  for key, value in whole:
    _set_whole(CONFIG.value, key, _literal(value))
  _expand(CONFIG.value)
  if _PRINT.value:
    values.check(CONFIG.value)
    print('\n'.join(configs.lines(CONFIG.value)))
    sys.exit(0)
  return CONFIG.value


def _found(argv: list[str]) -> list[str]:
  """argv with the config's path for its name, in one argument."""
  out, args = [], iter(argv)
  for arg in args:
    if arg == '--config':
      arg = f'--config={next(args, "")}'
    out.append(f'--config={configs.find(arg.partition("=")[2])}' if arg.startswith('--config=') else arg)
  return out


def usage() -> str:
  """The running command's docstring and its own flags."""
  command, found = sys.modules['__main__'], []
  for module, defined in sorted(flags.FLAGS.flags_by_module_dict().items()):
    if module.startswith('r1jax') or module == sys.argv[0]:
      found += [flag for flag in defined if flag.name != 'child']
  lines = [(f'--{flag.name}', ' '.join((flag.help or '').split())) for flag in found]
  return '\n'.join([(command.__doc__ or '').strip(), '', *(f'  {name:18} {text}' for name, text in lines)])


def _expand(config, prefix: str = '') -> None:
  """Paths as a person means them, where a value is one: ~ is the home directory, gs://bucket an error."""
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      _expand(value, f'{prefix}{key}.')
    elif isinstance(value, str) and key in ('path', 'source', 'from_run'):
      kind, colon, path = value.partition(':')
      if not colon or kind not in ('jsonl', 'parquet', 'json') and key == 'source':
        kind, colon, path = '', '', value
      if path.startswith('~') or ('://' in path and (kind or key != 'source')):  # an import knows addresses of the hub
        config[key] = kind + colon + paths.local(path, f'--config.{prefix}{key}')


def _literal(text: str):
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return None


def _set_whole(config, key: str, value) -> None:
  """A dict is added to what stands there, key by key; a list of tasks takes the place of a task, a tuple that of one.

  Raises:
    UserError: a key that it has not got, but for rewards, where 'FILE.py:NAME' and entry points come in; another kind.
  """
  *path, last = key.split('.')
  parent = functools.reduce(lambda node, part: node[part], path, config)
  there = parent[last]
  with config.unlocked(), config.ignore_type():
    if isinstance(there, ConfigDict) and isinstance(value, dict):
      if last == 'rewards':
        for name, weight in value.items():
          _same_kind(f'{key}.{name}', 0.0, weight)
        parent[last] = ConfigDict({**there.to_dict(), **value}, allow_dotted_keys=True)
        return
      _check_dict(there, value, key)
      there.update(value)
    elif last in limits.KEYS:  # a number or a schedule, whatever stands there
      limits.schedule(value, key)
      parent[last] = value
    elif last == 'task' and isinstance(value, (list, tuple)) and all(isinstance(one, dict) for one in value):
      parent[last] = [dict(one) for one in value]
    elif isinstance(there, ConfigDict) or isinstance(there, tuple) != isinstance(value, (tuple, list)):
      raise UserError(f'{key}={value!r} is of another kind than {type(there).__name__}')
    else:
      parent[last] = tuple(value) if isinstance(there, tuple) else value


def _check_dict(there, value: dict, key: str) -> None:
  """Every key is one that stands there, at every depth, and every value of its kind."""
  if key.endswith('params'):
    return
  for k, v in value.items():
    if k not in there:
      raise UserError(f'unknown config key {key}.{k}: {key} has {", ".join(sorted(there.keys()))}')
    if isinstance(there[k], ConfigDict) and isinstance(v, dict):
      _check_dict(there[k], v, f'{key}.{k}')
    else:
      _same_kind(f'{key}.{k}', there[k], v)


def _same_kind(key: str, there, value) -> None:
  kinds = {float: (int, float), tuple: (list, tuple), ConfigDict: dict}.get(type(there), type(there))
  if there is not None and (not isinstance(value, kinds) or isinstance(value, bool) != isinstance(there, bool)):
    raise UserError(f'{key}={value!r} is of another kind than {there!r}')


_NOT_AN_OBJECT = re.compile(r'flag (--config\.\S+?)=(.*): Failed to parse .* as a ConfigDict: ')
_NOT_A_NUMBER = re.compile(r'flag (--config\.\S+?=.*): (invalid literal for int|could not convert string to float)')


def _in_our_words(said: str) -> str:
  """What absl and ml_collections say of a value of the wrong kind, with the way out."""
  if found := _NOT_AN_OBJECT.match(said):
    return f"{found[1]}={found[2]} is no object: in quotes and braces, {found[1]}='{{\"NAME\": VALUE}}'"
  if found := _NOT_A_NUMBER.match(said):
    return f'{found[1]} is no {"whole number" if "int" in found[2] else "number"}'
  return said


def _config_file(argv: list[str]) -> str:
  return next((a.partition('=')[2].partition(':')[0] for a in argv if a.startswith('--config=')), '')


def _check_key(key: str, argv: list[str]) -> None:
  """A key that the config has not got is an error that names its nearest neighbours."""
  given = next((a.partition('=')[2] for a in argv if a.startswith('--config=')), '')
  path, _, arg = given.partition(':')
  if not os.path.exists(path):
    return  # parse says so
  experiment = configs.module(path)
  try:
    node = experiment.get_config(arg) if arg else experiment.get_config()
  except Exception as e:
    raise UserError(str(e).strip().splitlines()[-1]) from e
  for i, part in enumerate(key.split('.')):
    if not hasattr(node, 'keys') or part not in node:
      at = '.'.join(key.split('.')[:i])
      has = ', '.join(sorted(node.keys())) if hasattr(node, 'keys') else 'no keys of its own'
      near = difflib.get_close_matches(part, has.split(', '), 1)
      at_once = f'{".".join([*key.split(".")[:i], near[0]])}? ' if near else ''
      raise UserError(f'unknown config key {key!r}: {at_once}{at or "the config"} ' + (
          f'has {has}' if has else f"is empty: give all of it, --config.{at}='{{\"NAME\": VALUE}}'"))
    node = node[part]


