"""The benchmarks of the paper's section 3: what each asks, how it counts, where its data is, who runs it.

`TABLE` (table.py) has a row for each, as data: nothing is read here. ../data/benchmarks.py reads one's questions from
a user's file or the hub, rating.py has Codeforces' arithmetic, paper.py the numbers that the paper prints. `r1jax
tables` puts ours beside those.
"""

import difflib

from r1jax.benchmarks.table import RUNNERS, TABLE, Benchmark
from r1jax.exceptions import UserError

__all__ = ['JUDGE_FLAGS', 'RUNNERS', 'TABLE', 'Benchmark', 'find', 'known', 'not_run']

JUDGE_FLAGS = '--judge_url=http://HOST:8000/v1 --judge_model=NAME'  # what r1jax evaluate asks a judge by

STANDIN = 'standin'  # NAME:standin, ten rows of our own writing in the published layout
DATA = 'R1JAX_DATA'  # a folder with NAME.jsonl or NAME.parquet of each


def known(name: str) -> bool:
  """Whether a source is a benchmark: NAME or NAME:PATH."""
  return name.partition(':')[0] in TABLE


def find(name: str) -> Benchmark:
  """The row of NAME or NAME:PATH.

  Raises:
    UserError: no such benchmark.
  """
  short = name.partition(':')[0]
  if short not in TABLE:
    near = difflib.get_close_matches(short, TABLE, 1)
    raise UserError(f'no benchmark {short!r}: ' + (f'{near[0]}? ' if near else '') + f'There are {", ".join(TABLE)}')
  return TABLE[short]


def not_run(benchmark: Benchmark) -> str:
  """Why a benchmark has no score of ours, as long as nothing else is known: what would give it one."""
  if benchmark.runs == 'ours':
    judge = f' {JUDGE_FLAGS}' if benchmark.judge else ''
    other = (f', or {RUNNERS[benchmark.official]}, judged by {benchmark.judge}: {benchmark.command}'
             if benchmark.official else '')
    return f'no eval/{benchmark.name}/scores.json here: r1jax evaluate --tasks={benchmark.name}{judge}{other}'
  return f'{RUNNERS[benchmark.runs]}: {benchmark.command}'
