"""Every key of a config with values that it cannot have: each is refused in one line, or may be; none is a traceback."""

import math
import sys

from absl import flags
import pytest

from r1jax import checks
from r1jax import configs
from r1jax import options
from r1jax.exceptions import UserError

import runs

CONFIGS = [('r1_zero', 'tiny'), ('r1', 'tiny'), ('search', 'prm'), ('search', 'mcts'), ('distill', 'qwen-1.5b')]
WRONG = {int: (-3, 0, 1 << 40), float: (-1.0, math.nan, math.inf), str: ('nope',), tuple: ((1,), ('nope',))}
# May be anything of their kind, as far as values tell: texts, names, and paths, at which a start looks later.
FREE = ('name', 'compile_cache', 'prefill', 'ask', 'system', 'columns', 'params', 'source', 'path', 'examples', 'url',
        'from_run', 'checkpoint', 'separators', 'stop')
UNREAD = ('evaluate.general.', 'judge.', 'value.task.')  # where no source and no judge is named, nothing reads what stands beside it


def parsed(*args):
  """The config of a command line; of the one before, in the same process, no override is left."""
  for flag in list(flags.FLAGS):
    if flag.startswith('config.'):
      delattr(flags.FLAGS, flag)
  return options.parse([sys.argv[0], *args])


def read_keys(name, arg):
  """(key, value) of the config, of parts that one of its stages reads, or all do."""
  config = runs.experiment(name, arg)
  parts = {spec.get('config', spec['name']) for spec in config.stages}
  return [(key, value) for key, value in runs.leaves(config)
          if key != 'stages' and (key.split('.')[0] in parts | {'mesh', 'model', 'experts', 'checkpoints', 'rewards'}
                                  or '.' not in key)]


def set_to(config, key, value):
  *path, last = key.split('.')
  for part in path:
    config = config[part]
  with config.unlocked(), config.ignore_type():
    config[last] = value


@pytest.mark.parametrize('name, arg', CONFIGS)
def test_a_value_that_cannot_be_is_one_line_and_no_fault(name, arg, one_device):
  tried = refused = 0
  for key, value in read_keys(name, arg):
    for wrong in WRONG.get(type(value), ()):
      config = runs.experiment(name, arg)
      config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
      set_to(config, key, wrong)
      tried, said = tried + 1, ''
      try:
        checks.run(config, files=False, even=True)
      except UserError as e:
        said = str(e)
        refused += 1
        assert said and '\n' not in said, (key, wrong, said)
      must = wrong == 'nope' or wrong == (1,) or (isinstance(wrong, (int, float)) and not 0 <= wrong < math.inf)
      weight = 'rewards.' in key and wrong == -1.0  # a penalty
      texts = wrong == (1,) and key.endswith(('separators', 'stop'))
      free = set(key.split('.')) & set(FREE) and not texts or any(part in f'{key}.' for part in UNREAD) or weight
      assert said or not must or free, f'{key}={wrong!r} is taken without a word'
  assert refused > tried / 3 > 30


@pytest.mark.parametrize('name, arg', CONFIGS[:3])
def test_a_value_of_another_kind_is_refused_where_it_is_given(name, arg):
  seen = set()
  for key, value in read_keys(name, arg):
    wrong = {int: 'four', float: 'a lot', bool: 'perhaps'}.get(type(value), '')
    wrong = '4' if hasattr(value, 'items') else wrong
    short = (key.rpartition('.')[2], type(value))
    if not wrong or short in seen:
      continue
    seen.add(short)
    with pytest.raises(UserError) as error:
      parsed(f'--config={name}:{arg}', f'--config.{key}={wrong}')
    assert '\n' not in str(error.value) and key.rpartition('.')[2] in str(error.value), (key, str(error.value))
  assert len(seen) > 20


@pytest.mark.parametrize('name, arg', [*CONFIGS, ('r1_zero', 'qwen2.5-32b')])
def test_what_is_printed_gives_the_config_again(name, arg):
  printed = list(configs.lines(runs.experiment(name, arg)))
  given = parsed(f'--config={name}:{arg}', *printed)
  assert list(configs.lines(given)) == printed and len(printed) > 60
