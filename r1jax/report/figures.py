"""Rows -> PNG. Each figure is a description (FIGURES); `draw` knows how to draw any of them, for one run or several."""

import dataclasses
import pathlib
import re

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from r1jax.report import load


@dataclasses.dataclass(frozen=True)
class Panel:
  """One pair of axes: every metric whose whole name matches `pattern`; the pattern's group, if any, is its label."""
  title: str
  pattern: str
  share: bool = False   # a share of 1, printed in per cent
  points: bool = False  # few and far between: markers, no running mean
  spiky: bool = False   # positive, and may span orders of magnitude
  height: float = 1.0
  stack: bool = False   # phases of a step on top of each other


@dataclasses.dataclass(frozen=True)
class Figure:
  name: str
  title: str
  sentence: str
  panels: tuple[Panel, ...]
  paper: str = ''
  needs: str = ''  # a metric without which it says nothing


def accuracy(task: str) -> Figure:
  pattern = f'eval/{re.escape(task)}/(pass@1|cons@\\d+)'
  return Figure(
      'accuracy_' + re.sub(r'[^A-Za-z0-9.-]+', '_', task), f'Accuracy on {task}',
      f'Accuracy on held-out questions of {task} against steps: the mean over samples (pass@1) and the majority vote'
      ' over them (cons@k).', (Panel('Held-out accuracy', pattern, share=True, points=True),), 'figure 2')


FIGURES = (
    Figure('length', 'Response length', 'Mean length of the responses to training prompts against steps, and the share'
           ' of them cut at the limit.',
           (Panel('Mean response length, tokens', 'length/tokens', height=2.2),
            Panel('Cut at the limit', 'length/truncated', share=True)), 'figure 3'),
    Figure('reflection', 'Reflection', 'Reflection words such as "wait" in a response, on average, against steps.',
           (Panel('Reflection words per completion', r'reflection/words_per_completion'),), 'table 3'),
    Figure('rewards', 'Rewards', 'Mean reward of the sampled responses, whole and by part, against steps.',
           (Panel('Mean reward', r'reward/(.+)'),)),
    Figure('kl', 'Distance from the reference', 'KL divergence of the policy from the reference model; it falls back'
           ' where the reference is replaced.', (Panel('KL, nats per token', 'kl/nats_per_token'),), 'equation 2'),
    Figure('entropy', 'Entropy', 'Entropy of the policy at the sampled tokens; near zero it no longer explores.',
           (Panel('Entropy, nats per token', 'entropy/nats_per_token'),)),
    Figure('clip', 'Clipped tokens', 'Share of tokens whose probability ratio was clipped from below and from above.',
           (Panel('Share of tokens clipped', r'clip/(low|high)', share=True),), 'equation 1'),
    Figure('no_signal', 'Groups without signal', 'Share of groups whose rewards are all equal: every advantage is zero'
           ' and nothing is learnt from them.', (Panel('Groups of equal rewards', 'groups/no_signal', share=True),),
           'equation 3'),
    Figure('loss', 'Loss', 'Training loss against steps.', (Panel('Loss', r'(.+/)?loss'),)),
    Figure('grad_norm', 'Gradient norm', 'Norm of the gradient before clipping, against steps.',
           (Panel('Gradient norm', 'grad_norm', spiky=True),)),
    Figure('mismatch', 'Sampler and trainer', 'How far the log-probabilities of the sampler and the trainer differ on'
           ' the same tokens, on average and at most.',
           (Panel('Mean |difference|, nats', 'mismatch/logp_mean_abs', spiky=True),
            Panel('Largest |difference|, nats', 'mismatch/logp_max_abs', spiky=True))),
    Figure('language', 'Language consistency', 'Share of words in the language asked for, against steps.',
           (Panel('Language consistency', 'language/consistency', share=True, height=1.6),
            Panel('Words in the reasoning', 'language/words')), 'section 2.3.2'),
    Figure('monitor', 'Hacking monitor', 'What the reward models say of general answers, and what the rule says that '
           'labelled their pairs; a model that rises while its rule falls is being gamed.',
           (Panel('Helpfulness', r'(reward/helpful|monitor/helpful_by_rule)', share=True),
            Panel('Harmlessness', r'(reward/harmless|monitor/harmless_by_rule)', share=True)), 'section 2.3.4'),
    Figure('process', 'Model of steps and accuracy', 'What the model of steps says of answers to training questions, '
           'their least step, and the share that is right by the rule: one that rises while the other falls is being '
           'gamed.', (Panel('Score of the steps, and right answers', r'reward/(process|accuracy)', share=True),),
           'section 4.2', needs='reward/process'),
    Figure('all_correct', 'Gradient from right answers', 'Share of the advantages (their sizes) in groups whose '
           'answers are all right: what a continuous reward makes of nearly equal answers; and the least deviation in '
           'a group.',
           (Panel('Share of the gradient', 'groups/all_correct_gradient', share=True),
            Panel('Least deviation', 'groups/std_min'))),
    Figure('preference', 'Reward model', 'Accuracy of a reward model on what it learns from: preferences, or labels of'
           ' steps.', (Panel('Accuracy', 'accuracy/train', share=True),), 'sections 2.3.4 and 4.2'),
    Figure('seconds', 'Time per step', 'Where the time of a step goes; steps over four times the median, such as the'
           ' first with its compilation, are left out.', (Panel('Seconds per step', '', stack=True),)),
    Figure('use', 'Slots and positions in use', 'Share of the rows of a rollout that were still decoding, over its'
           ' steps, and of the positions of an update that hold a token: the rest is computed for nothing.',
           (Panel('In use', r'(rollout/slot_use|update/token_use)', share=True),)),
    Figure('throughput', 'Throughput', 'Tokens sampled and trained on per second, against steps.',
           (Panel('Tokens per second', r'(rollout|update)/tokens_per_second', spiky=True),)),
)

PHASES = ('rollout', 'rewards', 'update')  # of rows that have no spans
SPANS = {'rollout': ('weights', 'admit', 'decode'), 'judging': ('judge_wait',), 'reference': ('reference',),
         'update': ('update',), 'metrics': ('metrics',), 'evaluation': ('evaluate',), 'checkpoints': ('checkpoint',)}
LIGHT = dict(paper='#ffffff', ink='#2b2f36', faint='#6b7280', grid='#e7e9ed',
             lines=('#2563b8', '#d1652a', '#2a8f6b', '#8558b8', '#b58a12', '#4b5563', '#b03a5b', '#2b8fa3'))
DARK = dict(paper='#181b20', ink='#d9dde3', faint='#9aa3af', grid='#2a2f37',
            lines=('#6ea8f5', '#f0955c', '#5fc9a0', '#b794e8', '#e0bd55', '#a3adba', '#ea7d9d', '#62c3d6'))
LONG = 4.0  # times the median: such a step would press all others flat against the axis
STYLES = ('-', (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


@dataclasses.dataclass
class Curve:
  run: str
  label: str
  steps: np.ndarray
  values: np.ndarray


def figures_of(runs: list[tuple[str, list[dict]]]) -> list[Figure]:
  """Those that the rows have something for, the paper's own first."""
  tasks = dict.fromkeys(task for _, rows in runs for task in load.tasks(rows))
  wanted = [*map(accuracy, tasks), *FIGURES]
  there = {name for _, rows in runs for row in rows for name in row}
  return [figure for figure in wanted if any(_has(panel, runs) for panel in figure.panels)
          and (not figure.needs or figure.needs in there)]


def _has(panel: Panel, runs: list[tuple[str, list[dict]]]) -> bool:
  return any(phases(rows)[1] if panel.stack else curves(panel, '', rows) for _, rows in runs)


def curves(panel: Panel, run: str, rows: list[dict]) -> list[Curve]:
  """A curve for every metric of the panel; the last row of a step wins, null is a gap."""
  pattern = re.compile(panel.pattern)
  names = dict.fromkeys(name for row in rows for name in row if pattern.fullmatch(name))
  found = []
  for name in sorted(names, key=lambda name: (not name.endswith(('/mean', '/pass@1')), list(names).index(name))):
    points = {row['step']: load.number(row[name]) for row in rows if name in row}
    steps = np.array(sorted(points))
    values = np.array([np.nan if points[step] is None else points[step] for step in steps], float)
    if np.isfinite(values).any():
      match = pattern.fullmatch(name)
      label = (match[1] or name) if match.groups() else ''
      found.append(Curve(run, label.rstrip('/').replace('_', ' '), steps, values))
  return found


def phases(rows: list[dict]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Steps, and the seconds of each phase at them; 'rest' is what of step/seconds no phase accounts for."""
  spans = {name: [f'time/{span}' for span in of] for name, of in SPANS.items()}
  if not any(name in row for row in rows for of in spans.values() for name in of):
    spans = {name: [f'{name}/seconds'] for name in PHASES}
  wanted = ['step/seconds', *sum(spans.values(), [])]
  rows = [row for row in rows if any(load.number(row.get(name)) is not None for name in wanted)]
  rows = list({row['step']: row for row in rows}.values())
  column = lambda names: np.array([sum(load.number(row.get(name)) or 0.0 for name in names) for row in rows], float)
  found = {name: column(of) for name, of in spans.items() if column(of).any()}
  rest = np.maximum(column(['step/seconds']) - sum(found.values(), np.zeros(len(rows))), 0)
  if rest.any():
    found['rest' if found else 'step'] = rest
  return np.array([row['step'] for row in rows]), found


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
  """Centred mean over `window` steps, over fewer at the ends; gaps do not count."""
  known = np.isfinite(values)
  kernel = np.ones(window)
  total = np.convolve(np.where(known, values, 0.0), kernel, mode='same')
  count = np.convolve(known.astype(float), kernel, mode='same')
  return np.where(known, total / np.maximum(count, 1), np.nan)


def window_of(n: int) -> int:
  """About a thirtieth of the run, odd; 1 (no smoothing) below 60 points."""
  return 1 if n < 60 else n // 30 // 2 * 2 + 1


def draw(figure: Figure, runs: list[tuple[str, list[dict]]], path: pathlib.Path, theme: dict) -> None:
  """One run: a colour for each metric. Several: a colour for each run and a line style for each metric."""
  heights = [panel.height for panel in figure.panels]
  style = {'text.parse_math': False, 'font.size': 12.5, 'text.color': theme['ink'], 'axes.labelcolor': theme['faint'],
           'xtick.color': theme['faint'], 'ytick.color': theme['faint'], 'axes.edgecolor': theme['grid'],
           'font.sans-serif': ['Helvetica Neue', 'Arial', 'Liberation Sans', 'DejaVu Sans'],
           'axes.spines.top': False, 'axes.spines.right': False, 'axes.spines.left': False}
  fonts = matplotlib.font_manager.fontManager.get_font_names()
  style['font.sans-serif'] = [name for name in style['font.sans-serif'] if name in fonts]  # else a warning for each
  with matplotlib.rc_context(style):
    canvas = Canvas(figsize=(6.4, 4.0), facecolor=theme['paper'], layout='constrained')
    FigureCanvasAgg(canvas)  # no pyplot: no display, no global state, safe in a thread of a running job
    all_axes = canvas.subplots(len(heights), 1, squeeze=False, height_ratios=heights,
                               sharex=not figure.panels[0].stack)[:, 0]
    legend = {}
    for panel, axes in zip(figure.panels, all_axes):
      axes.set_facecolor(theme['paper'])
      axes.set_title(panel.title, loc='left', fontsize=13, color=theme['ink'], pad=8)
      axes.grid(axis='y', color=theme['grid'], linewidth=0.8)
      axes.tick_params(length=0)
      axes.set_axisbelow(True)
      if panel.stack and len(runs) > 1:
        legend |= _bars(axes, runs, theme)
      elif panel.stack:
        legend |= _stack(axes, runs[0][1], theme)
      else:
        legend |= _lines(axes, panel, runs, theme)
    if not (figure.panels[0].stack and len(runs) > 1):
      all_axes[-1].set_xlabel('Step')
      all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    if len(legend) > 1:
      _legend(canvas, all_axes[0], legend)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=160, facecolor=theme['paper'])


def _legend(canvas: Canvas, axes, legend: dict) -> None:
  """Beside the title where it fits, below the figure where it is long."""
  looks = dict(ncols=4, frameon=False, fontsize=12, handlelength=1.5, handletextpad=0.5, columnspacing=1.3)
  if sum(len(label) + 5 for label in legend) + len(axes.get_title(loc='left')) < 56 and len(legend) <= 4:
    axes.legend(legend.values(), legend.keys(), loc='lower right', bbox_to_anchor=(1, 1.02), borderpad=0,
                borderaxespad=0, **looks)
  else:
    looks['ncols'] = max(1, min(4, int(64 / (max(map(len, legend)) + 6))))
    canvas.legend(legend.values(), legend.keys(), loc='outside lower left', **looks)


def _lines(axes, panel: Panel, runs: list[tuple[str, list[dict]]], theme: dict) -> dict:
  found = [curves(panel, run, rows) for run, rows in runs]
  labels = list(dict.fromkeys(curve.label for of_run in found for curve in of_run))
  legend, peak, low = {}, 0.0, 0.0
  for index, of_run in enumerate(found):
    for curve in of_run:
      variant = labels.index(curve.label)
      colour = theme['lines'][(index if len(runs) > 1 else variant) % len(theme['lines'])]
      line = dict(color=colour, linestyle=STYLES[variant % len(STYLES)] if len(runs) > 1 or panel.points else '-')
      window = 1 if panel.points else window_of(len(curve.values))
      marker = dict(marker='o', markersize=4) if panel.points or np.isfinite(curve.values).sum() < 3 else {}
      if window > 1:
        axes.plot(curve.steps, curve.values, color=colour, linewidth=0.7, alpha=0.25)
      drawn, = axes.plot(curve.steps, running_mean(curve.values, window), linewidth=1.9, **line, **marker)
      if len(runs) == 1 and curve.label:
        legend[curve.label] = drawn
      peak, low = max(peak, np.nanmax(curve.values)), min(low, np.nanmin(curve.values))
  if len(runs) > 1:  # colours, then line styles: n + m entries where naming every curve would take n * m
    legend = {run: Line2D([], [], color=theme['lines'][index % len(theme['lines'])], linewidth=1.9)
              for index, (run, _) in enumerate(runs)}
    if len(labels) > 1:
      legend |= {label: Line2D([], [], color=theme['faint'], linestyle=STYLES[index % len(STYLES)], linewidth=1.9)
                 for index, label in enumerate(labels)}
  values = np.concatenate([curve.values for of_run in found for curve in of_run] or [np.zeros(0)])
  values = values[np.isfinite(values)]
  if panel.spiky and len(values) and values.min() > 0 and values.max() > 30 * np.median(values):
    axes.set_yscale('log')
  elif low == 0 and (len(labels) > 1 or panel.share or not len(values) or values.min() < 0.6 * values.max()):
    axes.set_ylim(0, 1.02 if panel.share and peak > 0.85 else peak * 1.12 or (0.05 if panel.share else 1))
  if panel.share:
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1 if peak < 0.03 else 0))
  elif peak >= 10_000:
    axes.yaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
  if panel.height < 2 and axes.get_yscale() == 'linear':
    axes.yaxis.set_major_locator(MaxNLocator(5))
  return legend


def _stack(axes, rows: list[dict], theme: dict) -> dict:
  steps, seconds = phases(rows)
  total = sum(seconds.values())
  usual = total <= LONG * np.median(total)
  window = window_of(usual.sum())
  steps, layers = steps[usual], {name: running_mean(values[usual], window) for name, values in seconds.items()}
  if len(steps) == 1:  # an area needs two points
    steps, layers = np.array([steps[0] - 0.5, steps[0] + 0.5]), {k: np.repeat(v, 2) for k, v in layers.items()}
  drawn = axes.stackplot(steps, *layers.values(), colors=theme['lines'], alpha=0.85, linewidth=0)
  axes.set_ylim(0, sum(layers.values()).max() * 1.1)
  axes.margins(x=0)
  return dict(zip(layers, drawn))


def _bars(axes, runs: list[tuple[str, list[dict]]], theme: dict) -> dict:
  """Several runs: the mean of each phase, one bar a run."""
  means = []
  for _, rows in runs:
    seconds = phases(rows)[1]
    total = sum(seconds.values(), np.zeros(1))
    usual = total <= LONG * np.median(total)
    means.append({name: values[usual].mean() for name, values in seconds.items()})
  order = dict.fromkeys((*SPANS, *PHASES, 'rest', 'step'))
  names = [name for name in order if any(name in mean for mean in means)]
  left, legend = np.zeros(len(runs)), {}
  for index, name in enumerate(names):
    width = np.array([mean.get(name, 0.0) for mean in means])
    legend[name] = axes.barh(range(len(runs)), width, left=left, height=0.5, color=theme['lines'][index], alpha=0.85)
    left = left + width
  axes.set_yticks(range(len(runs)), [run for run, _ in runs])
  axes.set_ylim(len(runs) - 0.4, -0.6)
  axes.grid(axis='y', visible=False)
  axes.grid(axis='x', color=theme['grid'], linewidth=0.8)
  axes.set_title('Mean seconds per step', loc='left', fontsize=13, color=theme['ink'], pad=8)
  return legend
