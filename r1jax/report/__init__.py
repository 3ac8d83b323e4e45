"""A work dir -> one HTML page: what the run is doing, what it reached, the paper's figures, and samples to browse.

`write(workdir)` makes `DIR/report/index.html`, one file with all its figures in it, the samples' pages, a PNG and a
CSV of each figure, from what stands in DIR, a single stage or a pipeline, finished or still running.
`compare(workdirs)` puts several runs into one `compare.html`. Missing stages and metrics leave their figures out; a
corrupt file is named on the page.

  load.py     DIR -> Run                               figures.py  which figures there are; rows -> PNG
  state.py    what it is doing; its stages drawn       chart.py    rows -> SVG with values inside
  samples.py  samples -> pages to search               page.py     the parts of a page
  tables.py   the paper's tables with ours in them     goals.py    what a recipe expects
  stages.py   a pipeline's table, answers side by side    runs.py  several work dirs; parts.py  what both pages have
"""

import pathlib
from collections.abc import Sequence

from r1jax import metrics
from r1jax.report import goals, load, page, paper, parts, runs, samples, stages, state, tables


def write(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes DIR/report and returns its index.html; what could not be read stands in a warning on the page."""
  path, _ = write_checked(workdir)
  return path


def write_checked(workdir: str | pathlib.Path, *, reload: int = 0) -> tuple[pathlib.Path, list[str]]:
  """`write`, and the warnings. With `reload` the page reads itself again after so many seconds, and no PNG is drawn."""
  run = load.load(workdir)
  out = run.path / 'report'
  pipeline = len(run.stages) > 1 or run.pipeline is not None
  specs, results = state.specs(run), load.results(run)
  browse = samples.write(run, out, reload=reload)

  body = []
  if results:
    whole = not specs or state.finished(specs)
    body += [page.heading('Results' if whole else 'Results so far'), parts.results(results),
             *paper.beside(run, results)]
  body += goals.section(run)
  body += tables.section([run.path])
  drawn = [page.heading('The pipeline'), state.drawing(run, specs), stages.table(run, specs)] if len(specs) > 1 else []
  answers = stages.side_by_side(run)  # of a run that goes on one asks first what it is doing
  body += answers + drawn if state.finished(specs) else drawn + answers
  for stage in run.rl + run.supervised:
    kind = 'Reinforcement learning' if stage.is_rl else 'Supervised training'
    prefix = f'{stage.name}_' if pipeline else ''
    body += parts.section(f'{kind} · {stage.name}', [('', stage.curve_rows)], out, prefix, images=not reload,
                          goals=goals.of_stage(run, stage))
  if not run.stages:
    body.append('<p class="faint">Nothing has been measured here yet.</p>')
  body += [*(_single(run) if not specs else []), *_configs(run)]
  head = [f'<h1>{page.escape(run.name)}</h1>', f'<p class="lead">{page.escape(state.sentence(run, specs))}</p>']
  if browse:
    head.append('<p><a href="samples.html">Browse what the model wrote</a></p>')
  head += [*parts.warnings(run.warnings), page.tiles(_headline(run, results, specs)), state.facts(run),
           page.contents(body)]
  text = page.page(run.name, head + body, page.CHARTS, colours=parts.COLOURS, reload=reload)
  metrics.replace_file(out / 'index.html', text.encode('utf-8'))
  return out / 'index.html', run.warnings


def compare(workdirs: Sequence[str | pathlib.Path], out: str | pathlib.Path = '') -> tuple[pathlib.Path, list[str]]:
  """Several work dirs on one page, out/compare.html ('': in report/ of the first one); the path and the warnings."""
  return runs.write(workdirs, out)


def _headline(run: load.Run, results: list[load.Result], specs: list[dict]) -> list[tuple[str, str]]:
  """A few numbers worth a glance; each only where it is known."""
  items = []
  for task in dict.fromkeys(result.task for result in results):
    by_model = {result.model: result for result in results if result.task == task}
    base, final = by_model.get('base'), by_model.get('final')
    if base and final:
      for name in ('pass@1', final.votes()[0]):
        if name in base.scores and name in final.scores:
          first, last = (parts.percent(of.scores[name]) for of in (base, final))
          items.append((f'{name} on {task}, %', f'{first} → {last}'))
  for stage in run.rl:
    name = f', {stage.name}' if len(run.rl) > 1 else ''
    wanted = run.steps_wanted(stage)
    items.append((f'RL steps{name}', f'{stage.last_step}' + (f' of {wanted}' if wanted else '')))
    for what, metric, look in (('accuracy on the way, %', 'accuracy/mean', parts.percent),
                               ('mean response, tokens', 'length/tokens', lambda value: f'{value:.0f}')):
      values = [value for row in stage.rows if (value := load.number(row.get(metric))) is not None]
      if len(values) > 1 and (metric != 'accuracy/mean' or not items[:-1]):
        few = max(1, len(values) // 20)
        first, last = (sum(part) / len(part) for part in (values[:few], values[-few:]))
        items.append((what + name, f'{look(first)} → {look(last)}'))
  seconds = sum(spec['seconds'] or 0 for spec in specs) or sum(stage.seconds for stage in run.stages)
  if seconds:
    items.append(('in all stages' if specs else 'in training steps', metrics.duration(seconds)))
  return items[:7] + items[-1:] if len(items) > 8 else items


def _single(run: load.Run) -> list[str]:
  """The stages of a work dir that lists none."""
  if not run.stages:
    return []
  rows = [[stage.name, str(stage.last_step), str(len(stage.rows)),
           metrics.duration(stage.seconds) if stage.seconds else '–'] for stage in run.stages]
  return [page.heading('Stages'), page.table(['Stage', 'Last step', 'Rows of metrics', 'Time in steps'], rows)]


def _configs(run: load.Run) -> list[str]:
  parts = [('Configuration', run.config), ('Pipeline', run.pipeline), ('Environment', run.environment)]
  parts += [(f'Configuration of {stage.name}', stage.config) for stage in run.stages if stage.config != run.config]
  found = [page.folded(title, value) for title, value in parts if value is not None]
  return [page.heading('Configuration'), *found] if found else []


