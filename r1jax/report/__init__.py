"""A work dir -> one HTML page with the paper's figures, a table of the evaluation, and samples to browse.

`write(workdir)` makes `DIR/report/index.html`, `samples.html` and PNGs from what stands in DIR, a single
stage or a pipeline, finished or still running. `compare(workdirs)` draws several runs into one
`compare.html`. Missing stages and metrics leave their figures out; a corrupt file is named on the page.

  load.py     DIR -> Run            figures.py  rows -> PNG
  samples.py  samples -> HTML       page.py     the parts of a page
  stages.py   a pipeline's table, answers side by side
"""

import pathlib
import shlex
from collections.abc import Sequence

from r1jax import metrics
from r1jax.report import figures, load, page, samples, stages


def write(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes DIR/report and returns its index.html; what could not be read stands in a warning on the page."""
  path, _ = write_checked(workdir)
  return path


def write_checked(workdir: str | pathlib.Path) -> tuple[pathlib.Path, list[str]]:
  """`write`, and the warnings."""
  run = load.load(workdir)
  out = run.path / 'report'
  command = f'python -m r1jax.report --workdir={shlex.quote(str(workdir))}'
  pipeline = len(run.stages) > 1 or run.pipeline is not None
  moments, results = samples.moments(run), load.results(run)

  body = [stages.table(run), _results(results)]
  for stage in run.rl + run.supervised:
    kind = 'Reinforcement learning' if stage.is_rl else 'Supervised training'
    prefix = f'{stage.name}_' if pipeline else ''
    body += _section(f'{kind} · {stage.name}', [('', stage.curve_rows)], out, prefix, command)
  if not run.stages:
    body.append('<p class="faint">Nothing has been measured here yet.</p>')
  body += [*stages.side_by_side(run), _stages(run), _configs(run)]
  head = [f'<h1>{page.escape(run.name)}</h1>', f'<p class="lead">{_state(run)}</p>']
  if moments:
    samples.write(moments, run.name, out / 'samples.html')
    head.append('<p><a href="samples.html">Browse what the model wrote</a></p>')
  head += _warnings(run.warnings) + [page.tiles(_headline(run, results))]
  metrics.replace_file(out / 'index.html', page.page(run.name, head + body).encode('utf-8'))
  return out / 'index.html', run.warnings


def compare(workdirs: Sequence[str | pathlib.Path]) -> tuple[pathlib.Path, list[str]]:
  """The figures with a line for each DIR, in the first DIR's report/compare.html; the path and the warnings."""
  runs = [load.load(workdir) for workdir in workdirs]
  names = [run.name for run in runs]
  if len(set(names)) < len(names):
    names = [str(run.path) for run in runs]
  out = runs[0].path / 'report'
  command = 'python -m r1jax.report --workdir=' + shlex.quote(','.join(map(str, workdirs)))
  warnings = [warning for run in runs for warning in run.warnings]
  body = ['<h1>Runs compared</h1>', f'<p class="lead">{page.escape(", ".join(names))}</p>', *_warnings(warnings)]
  rows = [(name, result) for name, run in zip(names, runs) for result in load.results(run)]
  body.append(_results([result for _, result in rows], [name for name, _ in rows]))
  for kind, stages_of, prefix in (('Reinforcement learning', [run.rl for run in runs], 'compare_rl'),
                                  ('Supervised training', [run.supervised for run in runs], 'compare_supervised')):
    for index in range(max(map(len, stages_of))):
      number = f'_{index + 1}' if index else ''  # the second RL stage of one run stands beside the second of the others
      present = [(name, stages[index].curve_rows) for name, stages in zip(names, stages_of) if index < len(stages)]
      body += _section(kind + (f', stage {index + 1}' if index else ''), present, out, f'{prefix}{number}_', command)
  metrics.replace_file(out / 'compare.html', page.page('Runs compared', body).encode('utf-8'))
  return out / 'compare.html', warnings


def _section(title: str, runs: list[tuple[str, list[dict]]], out: pathlib.Path, prefix: str, command: str) -> list[str]:
  parts = []
  for figure in figures.figures_of(runs):
    name = f'{prefix}{figure.name}.png'
    figures.draw(figure, runs, out / name, figures.LIGHT)
    figures.draw(figure, runs, out / 'dark' / name, figures.DARK)
    parts.append(page.figure(figure.title, figure.sentence, figure.paper, command, name, f'dark/{name}'))
  if not parts:
    return []
  steps = max((row['step'] for _, rows in runs for row in rows), default=0)
  smoothed = '<p class="faint">Thin lines are single steps, thick lines a running mean.</p>' if steps >= 60 else ''
  return [f'<h2>{page.escape(title)}</h2>{smoothed}', '<div class="figures">', *parts, '</div>']


def percent(value: float | None) -> str:
  return '–' if value is None else f'{100 * value:.1f}'


def _results(results: list[load.Result], runs: Sequence[str] = ()) -> str:
  """The table of the evaluation: accuracies in per cent, base first, final last and in bold."""
  if not results:
    return ''
  votes = dict.fromkeys(result.votes()[0] for result in results if result.votes()[1] is not None)
  passes = dict.fromkeys(result.passes()[0] for result in results if result.passes()[1] is not None)
  header = (['Run'] if runs else []) + ['Task', 'Model', 'pass@1 ± s.e.', *votes, *passes, 'Length, tokens', 'Cut, %']
  rows = []
  for index, result in enumerate(results):
    error, length = result.scores.get('pass@1_stderr'), result.scores.get('length_tokens')
    first = percent(result.scores.get('pass@1')) + (f' ± {percent(error)}' if error is not None else '')
    rows.append([*([runs[index]] if runs else []), result.task, result.model.replace('_', ' '), first,
                 *(percent(result.scores.get(name)) for name in (*votes, *passes)),
                 '–' if length is None else f'{length:.0f}', percent(result.scores.get('truncated'))])
  strong = [index for index, result in enumerate(results) if result.model == 'final']
  return ('<h2>Final evaluation</h2>' + page.table(header, rows, 3 if runs else 2, strong)
          + '<p class="faint" style="margin-top:.7rem">Accuracies in per cent: pass@1 is the mean over samples with its'
          ' standard error over questions, cons@k the majority vote of k samples, pass@k one of k right.</p>')


def _headline(run: load.Run, results: list[load.Result]) -> list[tuple[str, str]]:
  """A few numbers worth a glance; each only where it is known."""
  items = []
  for task in dict.fromkeys(result.task for result in results):
    by_model = {result.model: result for result in results if result.task == task}
    base, final = by_model.get('base'), by_model.get('final')
    if base and final:
      for name in ('pass@1', final.votes()[0]):
        if name in base.scores and name in final.scores:
          items.append((f'{name} on {task}, %', f'{percent(base.scores[name])} → {percent(final.scores[name])}'))
  for stage in run.rl:
    name = f', {stage.name}' if len(run.rl) > 1 else ''
    wanted = run.steps_wanted(stage)
    items.append((f'RL steps{name}', f'{stage.last_step}' + (f' of {wanted}' if wanted else '')))
    lengths = [value for row in stage.rows if (value := load.number(row.get('length/tokens'))) is not None]
    if len(lengths) > 1:
      few = max(1, len(lengths) // 20)
      ends = [sum(part) / len(part) for part in (lengths[:few], lengths[-few:])]
      items.append((f'mean response, tokens{name}', f'{ends[0]:.0f} → {ends[1]:.0f}'))
  seconds = sum(stage.seconds for stage in run.stages)
  if seconds:
    items.append(('in training steps', metrics.duration(seconds)))
  return items[:8]


def _state(run: load.Run) -> str:
  if not run.stages:
    return 'No metrics.jsonl with a whole row was found in this work dir.'
  newest = run.stages[-1]
  wanted = run.steps_wanted(newest)
  steps = f'{newest.last_step}' + (f' of {wanted}' if wanted else '')
  return f'Newest stage: {page.escape(newest.name)}, at step {steps}.'


def _stages(run: load.Run) -> str:
  if not run.stages:
    return ''
  rows = [[stage.name, str(stage.last_step), str(len(stage.rows)),
           metrics.duration(stage.seconds) if stage.seconds else '–'] for stage in run.stages]
  return '<h2>Stages</h2>' + page.table(['Stage', 'Last step', 'Rows', 'Time in steps'], rows)


def _configs(run: load.Run) -> str:
  parts = [('Configuration', run.config), ('Pipeline', run.pipeline)]
  parts += [(f'Configuration of {stage.name}', stage.config) for stage in run.stages if stage.config != run.config]
  found = [page.folded(title, value) for title, value in parts if value is not None]
  return '<h2>Configuration</h2>' + ''.join(found) if found else ''


def _warnings(warnings: Sequence[str]) -> list[str]:
  return [f'<p class="warning">Left out, could not be read: {page.escape(warning)}</p>' for warning in warnings]
