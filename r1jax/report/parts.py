"""Parts that the page of one run and that of several share."""

import pathlib
from collections.abc import Sequence

from r1jax import metrics
from r1jax.report import chart, figures, load, page

COLOURS = (figures.LIGHT['lines'], figures.DARK['lines'])
MAIN = ('accuracy_', 'length', 'rewards', 'process', 'preference')  # figures that are not folded; of an SFT the loss


def section(title: str, runs: list[tuple[str, list[dict]]], out: pathlib.Path, prefix: str, *,
             images: bool = True, spread: dict[str, list[dict]] | None = None,
             goals: dict[str, list[tuple[int, float]]] | None = None) -> list[str]:
  """The figures of one training, or of several side by side: the main ones, then the diagnostics, folded.

  goals: as chart.draw has them.
  """
  main, folded = [], []
  supervised = not any('reward/mean' in row for _, rows in runs for row in rows)
  for figure in figures.figures_of(runs):
    name = f'{prefix}{figure.name}'
    if images:
      figures.draw(figure, runs, out / f'{name}.png', figures.LIGHT)
    drawn, data = chart.draw(figure, runs, spread, goals)
    metrics.replace_file(out / 'csv' / f'{name}.csv', chart.table(data).encode('utf-8'))
    shown = figure.name.startswith(MAIN) or (supervised and figure.name == 'loss')
    (main if shown else folded).append(
        page.figure(name, figure.title, figure.sentence, figure.paper, drawn, chart.embed(data)))
  if not main + folded:
    return []
  steps = max((row['step'] for _, rows in runs for row in rows), default=0)
  smoothed = '<p class="faint">Thin lines are single steps, thick lines a running mean.</p>' if steps >= 60 else ''
  parts = [page.heading(title), smoothed, '<div class="figures">', *main, '</div>']
  if folded:
    parts += [f'<details class="diagnostics"><summary>Diagnostics: {len(folded)} more figure{"s" * (len(folded) > 1)}'
              '</summary><div class="figures">', *folded, '</div></details>']
  return parts


def percent(value: float | None) -> str:
  return '–' if value is None else f'{100 * value:.1f}'


def results(found: list[load.Result], runs: Sequence[str] = ()) -> str:
  """The table of the evaluation: accuracies in per cent, base first, final last and in bold."""
  if not found:
    return ''
  votes = dict.fromkeys(result.votes()[0] for result in found if result.votes()[1] is not None)
  passes = dict.fromkeys(result.passes()[0] for result in found if result.passes()[1] is not None)
  metrics = list(dict.fromkeys(result.metric for result in found))
  header = (['Run'] if runs else []) + ['Task', 'Model', f'{" or ".join(metrics)} ± s.e.', *votes, *passes,
                                        'Length, tokens', 'Cut, %']
  rows = []
  for index, result in enumerate(found):
    error, length = result.scores.get(f'{result.metric}_stderr'), result.scores.get('length_tokens')
    first = percent(result.scores.get(result.metric)) + (f' ± {percent(error)}' if error is not None else '')
    if len(metrics) > 1:
      first = f'{result.metric} {first}'
    rows.append([*([runs[index]] if runs else []), result.task, result.model.replace('_', ' '), first,
                 *(percent(result.scores.get(name)) for name in (*votes, *passes)),
                 '–' if length is None else f'{length:.0f}', percent(result.scores.get('truncated'))])
  strong = [index for index, result in enumerate(found) if result.model == 'final']
  return (page.table(header, rows, 3 if runs else 2, strong)
          + '<p class="faint" style="margin-top:.7rem">Accuracies in per cent: pass@1 is the mean over samples with its'
          ' standard error over questions, cons@k the majority vote of k samples, pass@k one of k right.'
          + (WORKED if any('_worked' in result.model for result in found) else '') + '</p>')


WORKED = (' "Worked": the first words of an answer (evaluate.prefill) were given to that model: what it can do once it '
          'begins so, not what it does by itself.')


def warnings(found: Sequence[str]) -> list[str]:
  return [f'<p class="warning">Left out, could not be read: {page.escape(warning)}</p>' for warning in found]
