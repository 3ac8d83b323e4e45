"""Several work dirs on one page: what differs in their configs, models by runs, seeds as a mean with its error."""

import csv
import io
import json
import math
import pathlib
import statistics
from collections.abc import Sequence

from r1jax import metrics
from r1jax.report import load, page, parts, samples, state

ABSENT = 'not there'  # of a key that a config has not got
SEEDS = ('seed',)  # keys that make runs of one group


def write(workdirs: Sequence[str | pathlib.Path], out: str | pathlib.Path = '') -> tuple[pathlib.Path, list[str]]:
  """out/compare.html ('': in report/ of the first work dir), compare_samples.html beside it, and the warnings."""
  runs = [load.load(workdir) for workdir in workdirs]
  groups, out = grouped(runs), pathlib.Path(out or runs[0].path / 'report')
  browse = []
  if samples.write_of(list(zip(names(runs), runs)), out, 'compare_samples', 'Samples of several runs', 'compare.html'):
    browse.append('<p><a href="compare_samples.html">Browse what the models wrote, two side by side</a></p>')
  warnings = [warning for run in runs for warning in run.warnings]
  several = any(len(of) > 1 for of in groups.values())
  lead = f'{len(runs)} runs' + (f', {len(groups)} config{"s" * (len(groups) > 1)} apart from seeds' if several else '')
  origins = [_said_of(*pair) for pair in zip(names(runs), runs)]
  body = [page.heading('Runs'),
          page.table(['Run', 'State', 'Started', 'Commit', 'Command'], origins, 4, tight=True, wrap=True)]
  if rows := differences(runs, list(groups.values())):
    lacking = [row for row in rows if ABSENT in row[1:]]  # mostly of other versions of r1jax
    body += [page.heading('What differs'), page.table(['Key', *groups], [row for row in rows if row not in lacking],
                                                      1 + len(groups))]
    if lacking:
      body.append(f'<details><summary>{len(lacking)} keys that some of these configs do not have</summary>'
                  + page.table(['Key', *groups], lacking, 1 + len(groups)) + '</details>')
  header, rows = results(groups)
  if rows:
    what = ('Mean over seeds ± its standard error; of a single run the standard error over questions.' if several
            else '± is the standard error over questions.')
    body += [page.heading('Results'), *_tables(header[3:], rows),
             f'<p class="faint" style="margin-top:.7rem">Accuracies in per cent. {what}</p>']
  for kind, prefix, pick in (('Reinforcement learning', 'compare_rl', lambda run: run.rl),
                             ('Supervised training', 'compare_supervised', lambda run: run.supervised)):
    for index in range(max(len(pick(run)) for run in runs)):
      number = f'_{index + 1}' if index else ''  # the second RL stage of one run stands beside the second of the others
      present, spread = [], {}
      for name, of in groups.items():
        rows_of = [pick(run)[index].curve_rows for run in of if index < len(pick(run))]
        if rows_of:
          mean, spread[name] = averaged(rows_of)
          present.append((name, mean))
      body += parts.section(kind + (f', stage {index + 1}' if index else ''), present, out, f'{prefix}{number}_',
                            spread=spread)
  head = ['<h1>Runs compared</h1>', f'<p class="lead">{lead}: {page.escape(", ".join(names(runs)))}</p>',
          *browse, *parts.warnings(warnings), page.contents(body)]
  if several:
    head.append('<p class="faint">Lines are means over the seeds of a group, bands one standard error to either side; '
                'they reach as far as every run of the group does.</p>')
  metrics.replace_file(out / 'compare.html', page.page('Runs compared', head + body, page.CHARTS, colours=parts.COLOURS)
                       .encode('utf-8'))
  return out / 'compare.html', warnings


def _said_of(name: str, run: load.Run) -> list[str]:
  known = state.last_start(run)
  dirty = ', changed' if known.get('dirty') else ''
  return [name, state.sentence(run, state.specs(run)), state.started(run),
          f'{known["commit"][:10]}{dirty}' if known.get('commit') else 'not known', known.get('command') or 'not known']


def _tables(columns: list[str], rows: list[list[str]]) -> list[str]:
  """Models by runs: for each task and score one, so that a narrow page has room for its numbers."""
  by_score = {}
  for task, model, score, *cells in rows:
    by_score.setdefault((task, score), []).append([model, *cells])
  parts = []
  for (task, score), models in by_score.items():
    unit = score if score == 'length tokens' else f'{score}, %'
    parts += [f'<p class="of">{page.escape(f"{unit} · {task}")}</p>',
              page.table(['Model', *columns], models, tight=True)]
  return parts


def names(runs: Sequence[load.Run]) -> list[str]:
  found = [run.name for run in runs]
  return found if len(set(found)) == len(found) else [str(run.path) for run in runs]


def flat(config, before: str = '') -> dict[str, object]:
  """{'rl.steps': 80, ...}; a list is one value."""
  if not isinstance(config, dict):
    return {before.rstrip('.'): config} if before else {}
  return {key: value for name, of in config.items() for key, value in flat(of, f'{before}{name}.').items()}


def grouped(runs: Sequence[load.Run]) -> dict[str, list[load.Run]]:
  """Name -> the runs of equal configs but for the seed; a run without a config is alone, and so is one whose seed
  another run of the group has: it would count twice. Of a sweep's runs (lr=0.1__seed=0) the name is what they share."""
  found, taken = {}, {}
  for name, run in zip(names(runs), runs):
    config = flat(run.config)
    same = {key: value for key, value in config.items() if key not in SEEDS}
    key = json.dumps(same, sort_keys=True) if same else name
    again = taken.setdefault((key, json.dumps([config.get(seed) for seed in SEEDS])), [])
    found.setdefault((key, len(again)), []).append((name, run))
    again.append(name)
  called = _called([[name for name, _ in of] for of in found.values()])
  return {name: [run for _, run in of] for name, of in zip(called, found.values())}


def _called(groups: Sequence[Sequence[str]]) -> list[str]:
  """A name for each group of runs' names: what a sweep's have in common (lr=0.1 of lr=0.1__seed=0 and
  lr=0.1__seed=1) where no other group has the same, else the first and how many more."""
  shared = ['__'.join(part for part in of[0].split('__') if all(part in name.split('__') for name in of))
            for of in groups]
  runs = [name for of in groups for name in of]
  return [of[0] if len(of) == 1 else short if short and shared.count(short) == 1 and short not in runs
          else f'{of[0]} and {len(of) - 1} more' for of, short in zip(groups, shared)]


def differences(runs: Sequence[load.Run], groups: Sequence[Sequence[load.Run]]) -> list[list[str]]:
  """[key, value in each group] of the keys that are not the same everywhere."""
  configs = {id(run): flat(run.config) for run in runs}
  rows = []
  for key in dict.fromkeys(key for config in configs.values() for key in config):
    values = [list(dict.fromkeys(_said(configs[id(run)], key) for run in of)) for of in groups]
    if len({value for of in values for value in of}) > 1:
      rows.append([key, *(', '.join(of) for of in values)])
  return rows


def _said(config: dict, key: str) -> str:
  return json.dumps(config[key], ensure_ascii=False) if key in config else ABSENT


Cells = dict[tuple[str, str, str], dict[str, list[tuple[float, float | None]]]]


def collected(groups: dict[str, list[load.Run]]) -> Cells:
  """(task, model, score) -> group -> (value, its standard error over questions) of each run that has one."""
  cells = {}
  for name, of in groups.items():
    for run in of:
      for result in load.results(run):
        for score in ('pass@1', result.votes()[0], result.passes()[0], 'length_tokens', 'truncated'):
          if score in result.scores:
            error = result.scores.get(f'{score}_stderr')
            cells.setdefault((result.task, result.model, score), {}).setdefault(name, []).append(
                (result.scores[score], error))
  return cells


def results(groups: dict[str, list[load.Run]]) -> tuple[list[str], list[list[str]]]:
  """Rows of (task, model, score), a column for each group."""
  header = ['Task', 'Model', 'Score', *(f'{name} ({len(of)} seeds)' if len(of) > 1 else name
                                        for name, of in groups.items())]
  return header, [[task, model, score.replace('_', ' '),
                   *(cell(of.get(name, []), score, len(groups[name])) for name in groups)]
                  for (task, model, score), of in collected(groups).items()]


def cell(values: list[tuple[float, float | None]], score: str, runs: int = 1) -> str:
  """'86.2 ± 1.1': the mean of several with its standard error, or one with its own; how many, where some have none."""
  if not values:
    return '–'
  mean, error = pooled(values)
  look = (lambda value: f'{value:.1f}') if score == 'length_tokens' else parts.percent
  few = f' ({len(values)} of {runs})' if len(values) < runs else ''
  return look(mean) + (f' ± {look(error)}' if error is not None else '') + few


def pooled(values: list[tuple[float, float | None]]) -> tuple[float, float | None]:
  """Mean and standard error over seeds, or of a single one its own."""
  numbers = [value for value, _ in values]
  if len(numbers) == 1:
    return values[0]
  return statistics.fmean(numbers), statistics.stdev(numbers) / math.sqrt(len(numbers))


def averaged(runs: list[list[dict]]) -> tuple[list[dict], list[dict]]:
  """(mean, standard error) of each number at each step that every run has; of one run its rows, and nothing."""
  if len(runs) == 1:
    return runs[0], []
  by_step = [{row['step']: row for row in rows} for rows in runs]
  mean, error = [], []
  for step in sorted(set.intersection(*map(set, by_step))):
    rows = [of[step] for of in by_step]
    values = {key: [load.number(row.get(key)) for row in rows] for key in rows[0] if key not in ('step', 'stage')}
    values = {key: of for key, of in values.items() if None not in of}
    mean.append({'step': step, **{key: statistics.fmean(of) for key, of in values.items()}})
    error.append({'step': step, **{key: statistics.stdev(of) / math.sqrt(len(of)) for key, of in values.items()}})
  return mean, error


def text(workdirs: Sequence[str | pathlib.Path], form: str) -> str:
  """Results alone: 'csv', a line for each score of each group as numbers (shares of 1), or the page's table as
  'markdown' or 'latex'."""
  groups = grouped([load.load(workdir) for workdir in workdirs])
  if form == 'csv':
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['task', 'model', 'score', 'run', 'value', 'stderr', 'runs'])
    for (task, model, score), cells in collected(groups).items():
      for name, values in cells.items():
        mean, error = pooled(values)
        writer.writerow([task, model, score, name, mean, '' if error is None else error, len(values)])
    return out.getvalue()
  header, rows = results(groups)
  rows = [[task, model, score if score == 'length tokens' else f'{score}, %', *of] for task, model, score, *of in rows]
  if form == 'markdown':
    bar = lambda cells: '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'
    return '\n'.join([bar(header), bar(['---'] * 3 + ['---:'] * (len(header) - 3)), *map(bar, rows), ''])
  quote = lambda value: ''.join({'±': r'$\pm$', '–': '--', '\\': r'\textbackslash{}', '~': r'\textasciitilde{}',
                                 '^': r'\textasciicircum{}'}.get(c, f'\\{c}' if c in '&%$#_{}' else c) for c in value)
  lines = [' & '.join(map(quote, row)) + r' \\' for row in [header, *rows]]
  return '\n'.join([rf'\begin{{tabular}}{{lll{"r" * (len(header) - 3)}}}', r'\toprule', lines[0], r'\midrule',
                    *lines[1:], r'\bottomrule', r'\end{tabular}', ''])
