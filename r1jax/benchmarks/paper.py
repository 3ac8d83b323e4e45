"""Tables 2, 4, 5 and 6 of the paper: its numbers, and which benchmark and which of its scores each of them is."""

import functools
import json
import pathlib
from typing import NamedTuple

from r1jax.benchmarks.table import TABLE

PATH = pathlib.Path(__file__).resolve().parent.parent / 'assets/paper/tables.json'
TABLES = ('table2', 'table4', 'table5', 'table6')


class Place(NamedTuple):
  """A column of tables 2, 5 and 6, or a row of table 4."""
  title: str
  benchmark: str  # of benchmarks.TABLE
  score: str  # of its scores.json


_COLUMNS = {
    'AIME 2024 pass@1': ('aime_2024', 'pass@1'), 'AIME 2024 cons@64': ('aime_2024', 'cons@64'),
    'MATH-500 pass@1': ('math_500', 'pass@1'), 'GPQA Diamond pass@1': ('gpqa_diamond', 'pass@1'),
    'LiveCodeBench pass@1': ('livecodebench', 'pass@1'), 'Codeforces rating': ('codeforces', 'rating')}
_ROWS = {
    'MMLU': 'mmlu', 'MMLU-Redux': 'mmlu_redux', 'MMLU-Pro': 'mmlu_pro', 'DROP': 'drop', 'IF-Eval': 'if_eval',
    'GPQA Diamond': 'gpqa_diamond', 'SimpleQA': 'simpleqa', 'FRAMES': 'frames', 'AlpacaEval2.0': 'alpaca_eval',
    'ArenaHard': 'arena_hard', 'LiveCodeBench': 'livecodebench', 'Codeforces': 'codeforces',
    'SWE Verified': 'swe_bench_verified', 'Aider-Polyglot': 'aider_polyglot', 'AIME 2024': 'aime_2024',
    'MATH-500': 'math_500', 'CNMO 2024': 'cnmo_2024', 'CLUEWSC': 'cluewsc', 'C-Eval': 'c_eval',
    'C-SimpleQA': 'c_simpleqa'}


@functools.cache
def load() -> dict:
  """assets/paper/tables.json: per cent, ratings as they are, None where the paper prints a dash."""
  return json.loads(PATH.read_text(encoding='utf-8'))


def places(table: str) -> list[Place]:
  """What a table has a number of for each model, in its order."""
  if table == 'table4':
    return [Place(f'{row["benchmark"]} ({row["metric"]})', name,
                  'percentile' if row['metric'] == 'Percentile' else TABLE[name].metric)
            for row in load()[table]['rows'] for name in [_ROWS[row['benchmark']]]]
  return [Place(title, *_COLUMNS[title]) for title in load()[table]['columns']]


def models(table: str) -> dict[str, list[float | None]]:
  """Model -> its numbers, one for each of `places`."""
  found = load()[table]
  if table == 'table4':
    return {model: [row['scores'][i] for row in found['rows']] for i, model in enumerate(found['columns'])}
  return dict(found['rows'])
