"""What a run came to, as text for a terminal of 80 columns: the models it evaluated, and what each stage took."""

import os

from r1jax import metrics
from r1jax import workdir as workdir_lib

WIDTH = 80


def text(workdir: str) -> str:
  """Of a run's pipeline.json and its evaluations' metrics.jsonl; a number that there is not is '-'."""
  stages = workdir_lib.read(os.path.join(workdir, 'pipeline.json'), {'stages': []})['stages']
  lines = []
  for entry in stages:
    if entry['run'] == 'evaluate':
      lines += results(os.path.join(workdir, entry['directory']))
  rows = [(entry['directory'], metrics.duration(entry.get('seconds'))) for entry in stages]
  rows.append(('in all', metrics.duration(sum(entry.get('seconds') or 0.0 for entry in stages))))
  lines += ['', *table(('stage', 'took'), rows)]
  page = os.path.join(workdir, 'report', 'index.html')
  return '\n'.join([*lines, '', *([f'report: {page}'] if os.path.exists(page) else [])])


def results(directory: str) -> list[str]:
  """Of an evaluation: a table a task, a row a model in the order in which they were evaluated."""
  path = os.path.join(directory, 'metrics.jsonl')
  of = {row['model']: row for row in metrics.read(path) if 'model' in row} if os.path.exists(path) else {}
  # What a task is scored by is what has an interval, in rows of before the intervals pass@1.
  scored = {name.removeprefix('eval/').removesuffix('_low').rpartition('/')[::2]: None
            for row in of.values() for name in row if name.endswith(('/pass@1', '_low'))}
  lines = []
  for task, metric in scored:
    votes = sorted({name.rpartition('/')[2] for row in of.values() for name in row
                    if name.startswith(f'eval/{task}/cons@')})
    head, rows = (task, metric, *votes, 'tokens'), []
    for model, row in of.items():
      scores = {name: row.get(f'eval/{task}/{name}') for name in (metric, f'{metric}_stderr', *votes)}
      accuracy, error, *shares = (_number(value, '{:.3f}') for value in scores.values())
      rows.append((model, f'{accuracy} ± {error}', *shares, _number(row.get(f'eval/{task}/length_tokens'), '{:,.0f}')))
    lines += ['', *table(head, rows)]
  if any(model.endswith('_worked') for model in of):
    lines += ['', '_worked: the first words of an answer (evaluate.prefill) were given to it']
  return lines


def _number(value: float | None, form: str) -> str:
  return '-' if value is None else form.format(value)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
  """Columns as wide as they need be, the first one cut to what is left of WIDTH."""
  widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
  widths[0] = min(widths[0], WIDTH - sum(w + 2 for w in widths[1:]))
  line = lambda row: '  '.join(
      [row[0][:widths[0]].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:]))])
  return [line(row) for row in (head, tuple('-' * w for w in widths), *rows)]
