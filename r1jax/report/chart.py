"""Rows -> SVG with its values inside, for a page that reads offline: hover and CSV show what is drawn."""

import csv
import io
import json
import math
import re
from typing import Any

import numpy as np

from r1jax.report import figures, page

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 460, 52, 10, 8, 26
SMALL, HIGH = 130, 210  # heights of the drawing: of a panel among several, of one that is alone or first among them


def draw(figure: figures.Figure, runs: list[tuple[str, list[dict]]],
         spread: dict[str, list[dict]] | None = None,
         goals: dict[str, list[tuple[int, float]]] | None = None) -> tuple[str, list[dict]]:
  """(the panels as HTML, the panels' series as data): one run, a colour for each metric; several, one for each run.

  spread: of a run, rows of how far to either side of its values a band is drawn. goals: metric -> (step, value) that it
  was to have by then, marked where a panel draws it.
  """
  parts, data = [], []
  for panel in figure.panels:
    found = _layers(runs) if panel.stack else _series(panel, runs, spread or {})
    if not found:
      continue
    high = HIGH if len(figure.panels) == 1 or panel.height > 1 else SMALL
    aims = [aim for name, of in (goals or {}).items() if not panel.stack and re.fullmatch(panel.pattern, name)
            for aim in of]
    drawn, box = _panel(panel, found, high, stacked=panel.stack and len(runs) == 1, goals=aims)
    parts.append(f'<div class="panel"><div class="title">{page.escape(panel.title)}</div>{_legend(found)}{drawn}</div>')
    data.append({'title': panel.title, 'share': panel.share, **box, 'series': [
        {'name': of['name'], 'steps': of['steps'], 'values': of['values'], 'colour': of['colour']} for of in found]})
  return ''.join(parts), data


def _series(panel: figures.Panel, runs, spread: dict) -> list[dict]:
  found = [figures.curves(panel, run, rows) for run, rows in runs]
  labels = list(dict.fromkeys(curve.label for of in found for curve in of))
  several, out = len(runs) > 1, []
  for index, of in enumerate(found):
    bands = {curve.label: curve for curve in figures.curves(panel, '', spread.get(runs[index][0], []))}
    for curve in of:
      variant = labels.index(curve.label)
      values = [None if math.isnan(value) else float(f'{value:.6g}') for value in curve.values]
      window = 1 if panel.points else figures.window_of(len(values))
      out.append(dict(
          name=' '.join(filter(None, (curve.run, curve.label))) or panel.title, steps=curve.steps.tolist(),
          values=values, smooth=figures.running_mean(curve.values, window).tolist() if window > 1 else None,
          colour=(index if several else variant) % len(figures.LIGHT['lines']), dash=variant % 4 if several else 0,
          dots=panel.points or len(values) < 3,
          band=dict(zip(bands[curve.label].steps.tolist(), bands[curve.label].values)) if curve.label in bands else {}))
  return out


def _layers(runs) -> list[dict]:
  """Seconds of each phase of a step; of several runs the whole step, a line each."""
  out = []
  for index, (run, rows) in enumerate(runs):
    steps, seconds = figures.phases(rows)
    total = sum(seconds.values())
    usual = total <= figures.LONG * np.median(total) if len(steps) else np.zeros(0, bool)
    for number, (name, values) in enumerate(seconds.items() if len(runs) == 1 else [(run, total)] if seconds else []):
      out.append(dict(name=name, steps=steps[usual].tolist(), values=[float(f'{v:.6g}') for v in values[usual]],
                      smooth=None, colour=(number if len(runs) == 1 else index) % len(figures.LIGHT['lines']), dash=0,
                      dots=usual.sum() < 3, band={}))
  return out


def _panel(panel: figures.Panel, found: list[dict], high: int, *, stacked: bool,
           goals: list[tuple[int, float]]) -> tuple[str, dict]:
  values = np.array([value for of in found for value in of['values'] if value is not None] + [of for _, of in goals])
  steps = [step for of in found for step in of['steps']] + [step for step, _ in goals]
  low, peak, log = float(values.min()), float(values.max()), False
  if stacked:
    low, peak = 0.0, float(np.sum([of['values'] for of in found], axis=0).max()) * 1.05
  elif panel.spiky and low > 0 and peak > 30 * np.median(values):
    log = True
  elif low >= 0 and (len(found) > 1 or panel.share or low < 0.6 * peak):
    low, peak = 0.0, (1.0 if panel.share and peak > 0.85 else peak * 1.08 or (0.05 if panel.share else 1.0))
  if peak <= low:
    low, peak = low - (abs(low) or 1) * 0.1, peak + (abs(peak) or 1) * 0.1
  first, last = min(steps), max(steps)
  last = last if last > first else first + 1
  wide, size = WIDTH - LEFT - RIGHT, high - TOP - BOTTOM
  x = lambda step: LEFT + wide * (step - first) / (last - first)
  scale = math.log10 if log else float
  within = lambda value: min(max(value, low), peak)  # a band may reach further
  y = lambda value: TOP + size * (1 - (scale(within(value)) - scale(low)) / (scale(peak) - scale(low)))
  lines = []
  for tick in _ticks(low, peak, log):
    lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
                 f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{_label(tick, panel.share)}</text>')
  for tick in _ticks(first, last, False, whole=True):
    lines.append(f'<text x="{x(tick):.1f}" y="{high - 8}" text-anchor="middle">{tick:g}</text>')
  lines += [_goal(step, value, x, y, panel.share) for step, value in goals]
  lines += _areas(found, x, y) if stacked else [line for of in found for line in _line(of, x, y)]
  box = {'first': first, 'last': last, 'left': LEFT, 'width': wide}
  return (f'<svg class="chart" viewBox="0 0 {WIDTH} {high}" role="img" aria-label="{page.escape(panel.title)}">'
          + ''.join(lines) + f'<line class="cursor" y1="{TOP}" y2="{high - BOTTOM}"/></svg>', box)


def _goal(step: int, value: float, x, y, share: bool) -> str:
  """A hollow diamond where a recipe wants the metric to be by then."""
  return (f'<path class="goal" d="M{x(step) - 5:.1f} {y(value):.1f}l5 -5l5 5l-5 5Z"><title>expected: at least '
          f'{_label(value, share)} by step {step}</title></path>')


def _line(of: dict, x, y) -> list[str]:
  """The single steps thin under a running mean, or the values alone; a gap where one is not known."""
  look = f'class="l d{of["dash"]}" stroke="var(--c{of["colour"]})"'
  main = of['smooth'] or of['values']
  out = []
  if of['band']:
    sides = [(step, value, of['band'].get(step, 0.0)) for step, value in zip(of['steps'], main) if value is not None]
    points = [(step, value + side) for step, value, side in sides] + [(s, v - side) for s, v, side in sides[::-1]]
    out.append(f'<path class="band" fill="var(--c{of["colour"]})" d="M'
               + 'L'.join(f'{x(step):.1f} {y(value):.1f}' for step, value in points) + 'Z"/>')
  if of['smooth']:
    out.append(f'<path class="l thin" stroke="var(--c{of["colour"]})" d="{_path(of["steps"], of["values"], x, y)}"/>')
  out.append(f'<path {look} d="{_path(of["steps"], main, x, y)}"/>')
  if of['dots']:
    out += [f'<circle fill="var(--c{of["colour"]})" cx="{x(step):.1f}" cy="{y(value):.1f}" r="3"/>'
            for step, value in zip(of['steps'], of['values']) if value is not None]
  return out


def _path(steps, values, x, y) -> str:
  out, pen = [], 'M'
  for step, value in zip(steps, values):
    if value is None or math.isnan(value):
      pen = 'M'
      continue
    out.append(f'{pen}{x(step):.1f} {y(value):.1f}')
    pen = 'L'
  return ''.join(out)


def _areas(found: list[dict], x, y) -> list[str]:
  below, out = np.zeros(len(found[0]['steps'])), []
  for of in found:
    steps, above = of['steps'], below + np.array(of['values'])
    if len(steps) == 1:  # an area needs two points
      out.append(f'<circle fill="var(--c{of["colour"]})" cx="{x(steps[0]):.1f}" cy="{y(above[0]):.1f}" r="3"/>')
    else:
      there = [f'{x(step):.1f} {y(value):.1f}' for step, value in zip(steps, above)]
      back = [f'{x(step):.1f} {y(value):.1f}' for step, value in zip(steps, below)][::-1]
      out.append(f'<path fill="var(--c{of["colour"]})" opacity=".85" d="M{"L".join(there + back)}Z"/>')
    below = above
  return out


def _ticks(low: float, high: float, log: bool, whole: bool = False) -> list[float]:
  if log:
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [10.0 ** power for power in powers][::max(1, len(powers) // 4)] or [low, high]
  rough = (high - low) / 4
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
  step = max(1, round(step)) if whole else step
  return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _label(value: float, share: bool) -> str:
  if share:
    return f'{100 * value:.3g} %'
  return f'{value / 1000:g}k' if abs(value) >= 10_000 else f'{value:.4g}'


def _legend(found: list[dict]) -> str:
  if len(found) < 2:
    return ''
  return '<div class="legend">' + ''.join(
      f'<span><i class="d{of["dash"]}" style="border-color:var(--c{of["colour"]})"></i>{page.escape(of["name"])}</span>'
      for of in found) + '</div>'


def table(data: list[dict]) -> str:
  """The values of a figure as CSV, a line a step: what the page offers to be saved, and report/csv holds."""
  columns = [(f'{panel["title"]}: {of["name"]}' if of['name'] != panel['title'] else of['name'],
              dict(zip(of['steps'], of['values']))) for panel in data for of in panel['series']]
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['step', *(name for name, _ in columns)])
  for step in sorted({step for _, of in columns for step in of}):
    writer.writerow([step, *('' if of.get(step) is None else of[step] for _, of in columns)])
  return out.getvalue()


def embed(data: Any) -> str:
  """JSON that may stand in a script element."""
  return json.dumps(data, ensure_ascii=False).replace('<', '\\u003c').replace('\u2028', '\\u2028')
