"""What a config expects of its run: thresholds that are looked at while metrics are written, and WORKDIR/recipe.json.

`config.expect` is a tuple of {'stage', 'metric', 'step', 'least', 'says'} and, of an evaluation's rows, 'model':

  stage   a stage of the config's, by name: 'rl'
  metric  a name of its metrics.jsonl: 'eval/TASK/pass@1'
  step    optimiser steps of that stage by which the metric is to be there; 0: at its first row
  least   the value that it is to have by then
  says    where that number is from

Met at the first row that has it; missed where the first row at the step or behind it comes and no row up to that one
has; else open. A verdict is one line of the log and never ends a run. It is read from metrics.jsonl alone: a run that
is started again, or goes back to an earlier step, comes to the same verdicts and says a line once.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from r1jax import metrics
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

FILE = 'recipe.json'
OPEN, MET, MISSED = 'open', 'met', 'missed'
_KINDS = {'stage': str, 'metric': str, 'step': int, 'least': (int, float), 'says': str, 'model': str}
_NEEDED = ('stage', 'metric', 'step', 'least')

_watch: '_Watch | None' = None


def check(config) -> None:
  """Raises UserError for an entry of config.expect that is none, or that no stage of the config can meet."""
  entries, names = config.get('expect', ()), [spec['name'] for spec in config.stages]
  if not isinstance(entries, (tuple, list)):
    raise UserError(f'expect={entries!r} is no tuple of thresholds')
  for entry in entries:
    if not hasattr(entry, 'items') or not set(_NEEDED) <= set(entry.keys()) <= set(_KINDS):
      raise UserError(f'expect has {_plain(entry)!r}: each is an object with {", ".join(_NEEDED)}, and if need be '
                      f'{", ".join(key for key in _KINDS if key not in _NEEDED)}')
    for key, value in entry.items():
      if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
        raise UserError(f'expect: {key}={value!r} of {entry["metric"]!r} is of another kind than it should be')
    if entry['stage'] not in names:
      raise UserError(f'expect: {entry["metric"]!r} is of the stage {entry["stage"]!r}, there are {", ".join(names)}')


def doubts(config, asked: Mapping[str, list[str]]) -> list[str]:
  """A line for each threshold that no row will decide, by what the config says. asked: stage -> the tasks that it is
  evaluated on, as metrics call them."""
  found, specs = [], {spec['name']: spec for spec in config.stages}
  for entry in map(_plain, config.get('expect', ())):
    spec = specs[entry['stage']]
    part = spec.get('config', spec['name'])
    c, names = config.get(part, {}), asked.get(entry['stage'], [])
    kind, _, task = entry['metric'].partition('/')
    task = task.rpartition('/')[0] if kind == 'eval' else ''
    why = ''
    if spec['run'] == 'rl' and entry['step'] > c.steps:
      found.append(f'{said_of(entry)}: the run ends at {part}.steps={c.steps}: it may be met before, and is never '
                   'missed (config.expect)')
    if spec['run'] == 'rl' and task and not c.eval_every:
      why = f'{part}.eval_every=0'
    elif task and names and task not in names:
      why = f'{entry["stage"]} is evaluated on {", ".join(names)}'
    elif (spec['run'] == 'evaluate' and entry.get('model')
          and entry['model'].removesuffix('_worked') not in spec['inputs']):
      why = f'{entry["stage"]} evaluates {", ".join(spec["inputs"])}'
    if why:
      found.append(f'{said_of(entry)}: no row will say so, as {why}: it stays open (config.expect)')
  return found


def judged(points: Iterable[tuple[int, float]], step: int, least: float) -> dict:
  """{'state', and of what decided it 'at' (a step) and 'value'; 'best' and 'best_at' of all} of (step, value) in the
  order in which they were written; numbers are None before there is one."""
  found = dict(state=OPEN, at=None, value=None, best=None, best_at=None)
  for at, value in points:
    if found['best'] is None or value > found['best']:
      found |= dict(best=value, best_at=at)
    if found['state'] == OPEN and (value >= least or at >= step):
      found |= dict(state=MET if value >= least else MISSED, at=at, value=value)
  return found


def use(config, workdir: str) -> None:
  """From now on rows of this run's stages are looked at, until `end` or another run. Without thresholds and without a
  recipe nothing is written."""
  global _watch
  end(said=False)
  if config.get('expect') or config.get('recipe'):
    _watch = _Watch(config, workdir)
    metrics.observers.append(_watch.seen)


def end(*, said: bool = True) -> None:
  """The run has ended; a line for each threshold that no row has decided."""
  global _watch
  if _watch is not None:
    metrics.observers.remove(_watch.seen)
    if said:
      _watch.say_open()
  _watch = None


class _Watch:

  def __init__(self, config, workdir: str):
    self._path = os.path.join(workdir, FILE)
    numbers = {spec['name']: f'{number}_{spec["name"]}' for number, spec in enumerate(config.stages, 1)}
    self._entries = [{'model': '', 'says': '', **_plain(entry)} for entry in config.get('expect', ())]
    self._places = [os.path.abspath(os.path.join(workdir, numbers[entry['stage']])) for entry in self._entries]
    self._points = [[] for _ in self._entries]
    self._about = {'config': config.get('name', ''), **_plain(config.get('recipe', {}))}
    self._said = {_key(entry): entry.get('state') for entry in _before(self._path)}
    for place in dict.fromkeys(self._places):
      self._read(place)
    self._write()

  def seen(self, path, step: int | None, values: Mapping[str, Any]) -> None:
    """A row that was written to a metrics.jsonl; step None: rows were taken out of it."""
    place = os.path.abspath(os.path.dirname(path))
    if place not in self._places:
      return
    if step is None:
      self._read(place)
    elif not any([self._add(i, step, values) for i, of in enumerate(self._places) if of == place]):
      return
    self._write()

  def _read(self, place: str) -> None:
    path = os.path.join(place, 'metrics.jsonl')
    rows = metrics.read(path) if os.path.exists(path) else []
    for i, of in enumerate(self._places):
      if of == place:
        self._points[i] = []
        for row in rows:
          self._add(i, row['step'], row)

  def _add(self, i: int, step: int, values: Mapping[str, Any]) -> bool:
    """Whether the row has a number for entry i."""
    entry, value = self._entries[i], values.get(self._entries[i]['metric'])
    if not isinstance(value, (int, float)) or entry['model'] not in ('', values.get('model')):
      return False
    self._points[i].append((int(step), float(value)))
    return True

  def _verdicts(self) -> list[dict]:
    return [{**entry, **judged(points, entry['step'], entry['least'])}
            for entry, points in zip(self._entries, self._points)]

  def _write(self) -> None:
    found = self._verdicts()
    for entry in found:
      if entry['state'] not in (OPEN, self._said.get(_key(entry))):
        log.log(logging.INFO if entry['state'] == MET else logging.WARNING, '%s: %s, %.4g at step %d%s', said_of(entry),
                entry['state'], entry['value'], entry['at'], f' ({entry["says"]})' if entry['says'] else '')
      self._said[_key(entry)] = entry['state']
    text = json.dumps(metrics.plain({**self._about, 'expect': found}), ensure_ascii=False, indent=1)
    metrics.replace_file(self._path, text.encode('utf-8'))

  def say_open(self) -> None:
    for entry, points in zip(self._verdicts(), self._points):
      if entry['state'] == OPEN and points:
        log.warning('%s: the run has ended before that step, with %.4g at best', said_of(entry), entry['best'])
      elif entry['state'] == OPEN:
        log.warning('%s: the run has ended, and no row of %s has it', said_of(entry), entry['stage'])


def said_of(entry: Mapping[str, Any]) -> str:
  """'expected eval/sums/pass@1 >= 0.7 by step 560 of rl'."""
  model, step = entry.get('model'), entry['step']
  return (f'expected {entry["metric"]} >= {entry["least"]:g}' + (f' by step {step}' if step else '')
          + f' of {entry["stage"]}' + (f', {model}' if model else ''))


def _key(entry: Mapping[str, Any]) -> str:
  return json.dumps([entry.get(key) for key in (*_NEEDED, 'model')])


def _before(path: str) -> list[dict]:
  """The thresholds of the file that an earlier start has left; [] of none, or of one that cannot be read."""
  try:
    with open(path, encoding='utf-8') as f:
      return list(json.load(f)['expect'])
  except (OSError, ValueError, KeyError, TypeError):
    return []


def _plain(value: Any) -> Any:
  return json.loads(json.dumps(value.to_dict() if hasattr(value, 'to_dict') else value))
