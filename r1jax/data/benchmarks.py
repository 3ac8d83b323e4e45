"""A benchmark's questions, from a user's file, $R1JAX_DATA or the hub: NAME or NAME:PATH, wherever a source is wanted.

What is read where, the first that there is: PATH, a file or a folder of files, or `standin` for ten rows of our own
writing in the published layout; NAME.jsonl, .json or .parquet (or a folder NAME) in $R1JAX_DATA; the published data
set, by the package datasets, from its cache when offline.
"""

import functools
import hashlib
import logging
import os

from r1jax import benchmarks
from r1jax.benchmarks import Benchmark
from r1jax.data import files
from r1jax.data import layouts
from r1jax.data import sources
from r1jax.data.columns import LeftOut
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_STANDINS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'assets', 'standins')
PACKAGE = {'humaneval': sources.humaneval}  # data that comes with a package


def rows(name: str, path: str = '') -> list[dict]:
  """The questions of a benchmark, in its prompt: {id, question, answer, answer_type, reward, benchmark, where ...}.

  Args:
    name: NAME or NAME:PATH.
    path: instead of what NAME:PATH says.

  Raises:
    UserError: no such benchmark, one that another program runs, no data, or none of its rows can be asked.
  """
  benchmark = benchmarks.find(name)
  if benchmark.runs != 'ours':
    raise UserError(f'{benchmark.name} is run by {benchmarks.not_run(benchmark)}')
  source = found(benchmark, path or name.partition(':')[2])
  if source in PACKAGE:
    asked = [{**row, 'benchmark': benchmark.name, 'where': f'{source}: {row["id"]}'} for row in PACKAGE[source]()]
  else:
    asked = _read(benchmark, source)
  _say(benchmark, source, len(asked))
  return asked


def found(benchmark: Benchmark, path: str = '') -> str:
  """Where a benchmark's data is: a path, 'hf:...' of the hub, or a name of PACKAGE.

  Raises:
    UserError: nothing says where.
  """
  if path == benchmarks.STANDIN:
    return os.path.join(_STANDINS, f'{benchmark.name}.jsonl')
  if path:
    return os.path.expanduser(path)
  folder = os.environ.get(benchmarks.DATA, '')
  if folder and not os.path.isdir(folder):
    raise UserError(f'{benchmarks.DATA}={folder} is no folder')
  for ending in (*files.ENDINGS, '') if folder else ():
    if os.path.exists(there := os.path.join(folder, benchmark.name + ending)):
      return there
  if benchmark.source.startswith('hf:') or benchmark.name in PACKAGE:
    return benchmark.name if benchmark.name in PACKAGE else benchmark.source
  named = f'FILE, {benchmark.file}' if benchmark.file else 'FILE'
  raise UserError(f'{benchmark.name} has no data here: --tasks={benchmark.name}:{named}, or {benchmark.name}.jsonl in '
                  f'${benchmarks.DATA} (docs/benchmarks.md says of what layout)')


def digest(source: str) -> str:
  """sha256 of a file; '' of a folder or of a data set of the hub."""
  if not os.path.isfile(source):
    return ''
  with open(source, 'rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()


def _read(benchmark: Benchmark, source: str) -> list[dict]:
  sha256 = digest(source)
  if benchmark.sha256 and sha256 and source != found(benchmark, benchmarks.STANDIN) and sha256 != benchmark.sha256:
    raise UserError(f'{source} has sha256 {sha256}, {benchmark.name} as published {benchmark.sha256}: another file')
  shots = _shots(benchmark, source)
  facts = {'benchmark': benchmark.name, 'data_sha256': sha256}
  if benchmark.layout == 'codeforces':
    facts['standings'] = os.path.abspath(source)
  out, left_out = [], {}
  for number, where, row in files.read(source):
    try:
      asked = layouts.read(benchmark.layout, row, shots)
    except LeftOut as e:
      left_out.setdefault(str(e), []).append(where)
      continue
    for each in asked:
      question = benchmark.prompt.format(question=each['question'])
      language = {'language': benchmark.language} if benchmark.language else {}
      out.append({'id': str(number), **language, **each, 'question': question, **facts, 'where': where})
  for reason, places in left_out.items():
    _once(logging.WARNING, f'{source}: {len(places)} rows left out: {reason} ({", ".join(places[:3])})')
  if not out:
    raise UserError(f'{source}: no row is as {benchmark.name} is published'
                    + ''.join(f': {reason} ({places[0]})' for reason, places in list(left_out.items())[:1]))
  return out


def _shots(benchmark: Benchmark, source: str) -> list[dict]:
  """Worked examples: rows of the file beside it that has 'train' in its name for 'dev', or behind its own."""
  if not benchmark.shots:
    return []
  folder, name = os.path.split(source)
  stem, dot, ending = name.partition('.')
  beside = os.path.join(folder, (stem.replace('dev', 'train') if 'dev' in stem else f'{stem}_train') + dot + ending)
  if not os.path.exists(beside):
    raise UserError(f'{benchmark.name} shows {benchmark.shots} worked examples, and {beside} is not there')
  shots = [row for _, _, row in files.read(beside)]
  if len(shots) < benchmark.shots:
    raise UserError(f'{beside} has {len(shots)} rows, {benchmark.shots} worked examples are wanted')
  return shots


def _say(benchmark: Benchmark, source: str, questions: int) -> None:
  sha256 = digest(source)
  _once(logging.INFO, f'{benchmark.name}: {questions} questions of {source}' + (f', sha256 {sha256}' if sha256 else ''))
  if benchmark.questions and questions != benchmark.questions and not source.startswith(_STANDINS):
    _once(logging.WARNING, f'{benchmark.name} as published has {benchmark.questions} questions, {source} {questions}')


@functools.cache
def _once(level: int, text: str) -> None:
  log.log(level, '%s', text)
