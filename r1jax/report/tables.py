"""Tables 2, 4, 5 and 6 of the paper: its numbers and those of work dirs side by side; what has none says why.

Of a work dir, of a command or a pipeline, eval/NAME[.MODEL]/scores.json counts for the benchmark NAME of
benchmarks.TABLE; for those that others run also what lm-eval (results_*.json) or inspect_ai (*.json logs) have left in
eval/NAME. A stand-in's score is never among them: its task has another name.
"""

import csv
import dataclasses
import io
import json
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from r1jax import benchmarks
from r1jax.benchmarks import paper
from r1jax.benchmarks.table import TABLE, Benchmark
from r1jax.report import page

NOT_RUN = 'NOT RUN'
_RATINGS = ('rating',)  # all else is a share, shown in per cent


@dataclasses.dataclass
class Model:
  """A model of a work dir, with what is known of each benchmark: its scores.json, or why there is none."""
  label: str
  scores: dict[str, dict] = dataclasses.field(default_factory=dict)
  reasons: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Table:
  """cells: a number, None where the paper prints a dash, or 'NOT RUN: why'; notes: on cells of ours, by (row, column).
  """
  name: str
  title: str
  columns: list[str]
  rows: list[str]
  cells: list[list[float | str | None]]
  notes: dict[tuple[int, int], str]
  kinds: list[list[str]]  # of each cell, the score that it is


# --- what work dirs hold


def models(workdirs: Sequence[str | pathlib.Path]) -> list[Model]:
  """Those that some benchmark of the table was tried on, in the order of the work dirs, the last one of each last."""
  found: dict[str, Model] = {}
  for workdir in map(pathlib.Path, workdirs):
    run = workdir.resolve().name
    stages = [workdir, *sorted((path for path in workdir.glob('[0-9]*_*') if path.is_dir()),
                               key=lambda path: int(path.name.partition('_')[0]))]
    for directory in (path for stage in stages for path in sorted((stage / 'eval').glob('*'))):
      name, _, model = directory.name.partition('.')
      if name not in TABLE:
        continue
      label = run if model in ('', 'final') else f'{run}: {model}'
      scores, reason = _of(directory, TABLE[name])
      if scores or reason:
        of = found.setdefault(label, Model(label))
        of.scores |= {name: scores} if scores else {}
        of.reasons |= {name: reason} if reason else {}
  return list(found.values())


def _of(directory: pathlib.Path, benchmark: Benchmark) -> tuple[dict, str]:
  """(scores, '') of eval/NAME, or ({}, why there are none)."""
  for path in [directory / 'scores.json', *sorted(directory.rglob('*.json'), reverse=True),  # names end in the time
               directory / 'not_run.json']:
    ours = path.parent == directory and path.name in ('scores.json', 'not_run.json')
    try:
      found = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
      continue
    except ValueError as e:
      if ours:
        return {}, f'{path} is corrupt ({e})'
      continue
    if ours and not isinstance(found, dict):
      return {}, f'{path} holds no object'
    if path.name == 'scores.json' and ours:
      return found, ''
    if (value := _foreign(found, benchmark)) is not None:
      return {benchmark.metric: value, 'made_by': benchmarks.RUNNERS[benchmark.official or benchmark.runs]}, ''
  return {}, str(found.get('reason', '')) if (directory / 'not_run.json').exists() else ''


def _foreign(said: Any, benchmark: Benchmark) -> float | None:
  """The score in a file of results of lm-eval, or in a log of inspect_ai."""
  results = said.get('results') if isinstance(said, dict) else None
  if not isinstance(results, dict) or not benchmark.counted_as:
    return None
  if isinstance(of_task := results.get(benchmark.task), dict):
    values = [v for key, v in of_task.items() if key.split(',')[0] == benchmark.counted_as]
  else:
    metrics = [score.get('metrics', {}) for score in results.get('scores') or [] if isinstance(score, dict)]
    values = [m[benchmark.counted_as].get('value') for m in metrics if benchmark.counted_as in m]
  return next((float(v) for v in values if isinstance(v, (int, float))), None)


# --- ours beside the paper's


def build(name: str, found: list[Model]) -> Table:
  """Tables 2, 5 and 6 with a row a model, as the paper has them, table 4 with a column a model."""
  places, theirs = paper.places(name), paper.models(name)
  labels = [*theirs, *(f'{model.label} (ours)' for model in found)]
  lines, notes = [list(numbers) for numbers in theirs.values()], {}
  for model in found:
    line = []
    for i, place in enumerate(places):
      value, note = _cell(model, place)
      line.append(value)
      if note:
        notes[len(lines), i] = note
    lines.append(line)
  kinds = [[place.score for place in places]] * len(lines)
  titles = [place.title for place in places]
  if name == 'table4':
    turned = {(column, row): note for (row, column), note in notes.items()}
    return Table(name, paper.load()[name]['title'], labels, titles, [list(c) for c in zip(*lines)], turned,
                 [list(c) for c in zip(*kinds)])
  return Table(name, paper.load()[name]['title'], titles, labels, lines, notes, kinds)


def _cell(model: Model, place: paper.Place) -> tuple[float | str, str]:
  """(number as the paper prints it, what to know about it) or ('NOT RUN: why', '')."""
  benchmark, scores = TABLE[place.benchmark], model.scores.get(place.benchmark)
  if scores is None:
    return f'{NOT_RUN}: {model.reasons.get(place.benchmark) or benchmarks.not_run(benchmark)}', ''
  key, said = place.score, []
  if key.startswith('cons@') and scores.get(key) is None and scores.get('n_samples'):
    key = f'cons@{scores["n_samples"]}'
    said.append(key)
  value = scores.get(key)
  if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
    return f'{NOT_RUN}: its scores.json has no {key}', ''
  asked = scores.get('n_questions')
  if asked and benchmark.questions and asked != benchmark.questions:
    said.append(f'{asked} of {benchmark.questions} questions')
  if scores.get('judge'):
    said.append(f'judged by {scores["judge"]} in our words, not by {benchmark.judge or "a person"}')
  error = scores.get(f'{key}_stderr')
  if isinstance(error, (int, float)) and math.isfinite(error):
    said.append(f's.e. {100 * error:.1f}')
  if scores.get('n_samples') and key == 'pass@1':
    said.append(f'{scores["n_samples"]} samples a question')
  return (value if key in _RATINGS else 100 * value), ', '.join(said)


def shown(value: float | str | None, kind: str) -> str:
  """As the paper prints it: one decimal of a per cent, a rating whole, a dash."""
  if value is None:
    return '–'
  return value if isinstance(value, str) else f'{value:.0f}' if kind in _RATINGS else f'{value:.1f}'


def _numbered(table: Table) -> tuple[list[list[str]], list[str]]:
  """(cells as texts, with a number for each note and each reason; the notes)."""
  notes: dict[str, int] = {}
  number = lambda text: notes.setdefault(text, len(notes) + 1)
  lines = []
  for i, row in enumerate(table.cells):
    line = []
    for j, value in enumerate(row):
      text = shown(value, table.kinds[i][j])
      if text.startswith(NOT_RUN):
        text = f'{NOT_RUN} [{number(text)}]'
      elif (i, j) in table.notes:
        text = f'{text} [{number(table.notes[i, j])}]'
      line.append(text)
    lines.append(line)
  return lines, [f'[{n}] {text}' for text, n in notes.items()]


def title(table: Table) -> str:
  return f'Table {table.name.removeprefix("table")}: {table.title}'


def text(table: Table) -> str:
  """Columns set under each other, notes behind."""
  lines, notes = _numbered(table)
  rows = [['', *table.columns], *([name, *line] for name, line in zip(table.rows, lines))]
  widths = [max(map(len, column)) for column in zip(*rows)]
  out = [title(table), '']
  out += ['  '.join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip()
          for row in rows]
  return '\n'.join([*out, *([''] if notes else []), *notes]) + '\n'


def as_csv(table: Table) -> str:
  """Numbers in full, 'NOT RUN: why' where there is none; a column of notes for each of ours that has some."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  noted = sorted({j for _, j in table.notes})
  writer.writerow([table.name, *table.columns, *(f'{table.columns[j]}: note' for j in noted)])
  for i, (name, row) in enumerate(zip(table.rows, table.cells)):
    writer.writerow([name, *('' if v is None else v for v in row), *(table.notes.get((i, j), '') for j in noted)])
  return out.getvalue()


def latex(table: Table) -> str:
  """A tabular with booktabs' rules, the notes as lines below it."""
  lines, notes = _numbered(table)
  body = [' & '.join(map(_tex, cells)) + r' \\' for cells in ([name, *line] for name, line in zip(table.rows, lines))]
  return '\n'.join([f'% {title(table)}', f'\\begin{{tabular}}{{l{"r" * len(table.columns)}}}', r'\toprule',
                    ' & '.join(map(_tex, ['', *table.columns])) + r' \\', r'\midrule', *body, r'\bottomrule',
                    r'\end{tabular}', *(f'\\par\\small {_tex(note)}' for note in notes)]) + '\n'


def _tex(said: str) -> str:
  special = {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '–': '--'}
  return ''.join(special.get(c, '\\' + c if c in '&%#_${}' else c) for c in said)


def section(workdirs: Sequence[str | pathlib.Path]) -> list[str]:
  """The tables as parts of the report's page, those in which something of ours was tried; none where nothing was."""
  found = models(workdirs)
  out = []
  for name in paper.TABLES:
    within = {place.benchmark for place in paper.places(name)}
    ours = [model for model in found if within & {*model.scores, *model.reasons}]
    if not ours:
      continue
    table = build(name, ours)
    lines, notes = _numbered(table)
    strong = [i for i, row in enumerate(table.rows) if row.endswith('(ours)')]
    out += [f'<h3>{page.escape(title(table))}</h3>',
            page.table(['', *table.columns], [[row, *line] for row, line in zip(table.rows, lines)], 1, strong),
            ''.join(f'<p class="faint">{page.escape(note)}</p>' for note in notes)]
  return [page.heading('Beside the paper'), *out] if out else []


def is_workdir(path: pathlib.Path) -> bool:
  """Whether something was evaluated in it."""
  return any(path.glob('eval/*')) or any(re.match(r'\d+_', child.name) and any(child.glob('eval/*'))
                                         for child in path.iterdir() if child.is_dir())
