"""What a run is doing, with what it was started, and a drawing of its stages with the one that runs marked."""

import datetime
import fcntl
import os
import pathlib
from typing import Any

from r1jax import metrics
from r1jax.report import load, page

WIDE, HIGH, BETWEEN, ROW = 132, 34, 14, 58  # of a stage's box, what is left between two, from one row to the next


def specs(run: load.Run) -> list[dict]:
  """Every stage that the config lists, with number, state ('finished', 'running', 'stopped', 'waiting') and seconds."""
  wanted = run.config.get('stages') if isinstance(run.config, dict) else None
  wanted = [spec for spec in wanted or () if isinstance(spec, dict) and {'name', 'run', 'inputs'} <= spec.keys()]
  entries = {entry['name']: entry for entry in run.entries}
  held, begun, out = is_held(run.path), False, []
  for number, spec in enumerate(wanted, 1):
    directory, entry = run.path / f'{number}_{spec["name"]}', entries.get(spec['name'])
    state = 'finished' if entry else 'waiting'
    if not entry and not begun and directory.is_dir():
      begun, state = True, 'running' if held else 'stopped'
    stage = next((stage for stage in run.stages if stage.path == directory), None)
    out.append({**spec, 'number': number, 'state': state, 'entry': entry or {}, 'stage': stage,
                'seconds': (entry or {}).get('seconds') or (stage.seconds if stage and not entry else None)})
  return out


def is_held(path: pathlib.Path) -> bool:
  """Whether a process holds the work dir: a run that goes on. The lock ends with its process."""
  try:
    with open(path / 'lock', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except BlockingIOError:
    return True
  except OSError:  # no such file, or a file system without locks
    return False
  return False


def finished(found: list[dict]) -> bool:
  return bool(found) and all(spec['state'] == 'finished' for spec in found)


def sentence(run: load.Run, found: list[dict]) -> str:
  """'Finished: 3 stages in 9 min', 'Running: stage 2 of 3, rl, at step 40 of 80'."""
  if not found:
    if not run.stages:
      return 'No metrics.jsonl with a whole row was found in this work dir.'
    at = ', '.join(f'{stage.name} at step {stage.last_step}' for stage in run.stages)
    return f'A work dir of single stages, without a list of what is to run: {at}.'
  seconds = metrics.duration(sum(spec['seconds'] or 0 for spec in found))
  if finished(found):
    return f'Finished: {len(found)} stages, {seconds} in all.'
  spec = next((spec for spec in found if spec['state'] in ('running', 'stopped')), None)
  if spec is None:
    done = sum(spec['state'] == 'finished' for spec in found)
    return (f'{"Running" if is_held(run.path) else "Stopped"}: {done} of {len(found)} stages are finished, no other '
            'begun.')
  step = f', at step {steps(run, spec)}' if spec['stage'] and spec['stage'].is_training else ''
  at = f'stage {spec["number"]} of {len(found)}, {spec["name"]}{step}'
  return f'{spec["state"].capitalize()}: {at}; {seconds} so far.'


def steps(run: load.Run, spec: dict) -> str:
  """'40 of 80' while it is not finished, '80' afterwards, '–' of a stage without."""
  done = spec['entry'].get('facts', {}).get('steps') if spec['entry'] else None
  if done is not None:
    return f'{done:,}'
  if not spec['stage'] or not spec['stage'].is_training:
    return '–'
  wanted = run.steps_wanted(spec['stage'])
  return f'{spec["stage"].last_step:,}' + (f' of {wanted:,}' if wanted and not spec['entry'] else '')


def _starts(run: load.Run) -> list[dict]:
  found = run.environment.get('starts') if isinstance(run.environment, dict) else None
  return [start for start in found if isinstance(start, dict)] if isinstance(found, list) else []


def last_start(run: load.Run) -> dict:
  """What environment.json says of the last start; {} where it says nothing."""
  return (_starts(run) or [{}])[-1]


def started(run: load.Run) -> str:
  """When it was first, and where it was started again how often and when last."""
  starts = _starts(run) or [{}]
  again = f'; {len(starts)} starts, the last at {when(starts[-1].get("started"))}' if len(starts) > 1 else ''
  return when(starts[0].get('started')) + again


def facts(run: load.Run) -> str:
  """Command, commit, versions, device, seed and dates, as environment.json has them."""
  starts = _starts(run)
  seed = run.config.get('seed') if isinstance(run.config, dict) else None
  rows: list[tuple[str, Any]] = []
  if starts:
    last, packages = starts[-1], starts[-1].get('packages') or {}
    dirty = ', with changes that are in no commit' if last.get('dirty') else ''
    rows += [('Command', last.get('command') or 'not known'), ('Started', started(run)),
             ('Commit', f'{last["commit"]}{dirty}' if last.get('commit') else 'not known'),
             ('Versions', ', '.join(f'{name} {_known(version)}' for name, version in (
                 ('r1jax', last.get('r1jax')), ('Python', last.get('python')), *packages.items()))),
             ('Device', f'{_known(last.get("devices"))} x {_known(last.get("device_kind"))} '
                        f'({_known(last.get("platform"))}), {_known(last.get("hosts"))} '
                        f'host{"s" * (last.get("hosts") != 1)}, {_known(last.get("system"))}'),
             ('Processor', f'{_known(last.get("cpu"))}, {_known(last.get("cpu_count"))} cores')]
  if seed is not None:
    rows.append(('Seed', seed))
  if not starts:
    rows.append(('Not recorded', 'command, commit, versions, device and date: this work dir has no environment.json'))
  return '<dl class="facts-of-run">' + ''.join(
      f'<dt>{page.escape(name)}</dt><dd>{page.escape(value)}</dd>' for name, value in rows) + '</dl>'


def _known(value: Any) -> str:
  return 'not known' if value is None else str(value)


def when(text: Any) -> str:
  """In UTC, to the minute."""
  if text is None:
    return 'not known'
  try:
    return datetime.datetime.fromisoformat(str(text)).astimezone(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
  except ValueError:
    return str(text)


def drawing(run: load.Run, found: list[dict]) -> str:
  """Stages as boxes under those that they take something from."""
  if len(found) < 2:
    return ''
  rank, rows = {}, {}
  for spec in found:
    rank[spec['name']] = 1 + max((rank.get(source, -1) for source in spec['inputs'].values()), default=-1)
    rows.setdefault(rank[spec['name']], []).append(spec)
  width = max(map(len, rows.values())) * (WIDE + BETWEEN) + BETWEEN
  left = lambda row: (width - len(row) * (WIDE + BETWEEN) + BETWEEN) / 2
  place = {spec['name']: (left(row) + index * (WIDE + BETWEEN), 6 + ROW * level)
           for level, row in rows.items() for index, spec in enumerate(row)}
  parts = []
  for spec in found:
    x, y = place[spec['name']]
    for source in dict.fromkeys(spec['inputs'].values()):
      if source in place:  # else it is another run's
        u, v = place[source][0] + WIDE / 2, place[source][1] + HIGH
        bend = (y - v) / 2
        parts.append(f'<path class="wire" d="M{u:.0f} {v} C{u:.0f} {v + bend:.0f} {x + WIDE / 2:.0f} {y - bend:.0f} '
                     f'{x + WIDE / 2:.0f} {y}"/>')
  for spec in found:
    x, y = place[spec['name']]
    at = steps(run, spec) if spec['state'] in ('running', 'stopped') and spec['stage'] else ''
    said = spec['state'] + (f' at {at}' if at and at != '–' else '')
    parts.append(f'<g class="stage {spec["state"]}"><rect x="{x:.0f}" y="{y}" width="{WIDE}" height="{HIGH}" rx="8"/>'
                 f'<text x="{x + 9:.0f}" y="{y + 15}">{spec["number"]} {page.escape(spec["name"])}</text>'
                 f'<text class="state" x="{x + 9:.0f}" y="{y + 28}">{page.escape(spec["run"])} · {said}</text></g>')
  high = ROW * len(rows) + 6 - (ROW - HIGH) + 6
  return (f'<div class="scroll" style="padding:.6rem"><svg class="pipeline" style="max-width:{width}px" '
          f'viewBox="0 0 {width} {high}" role="img" aria-label="Stages of the pipeline">{"".join(parts)}</svg></div>')


def last_change(path: pathlib.Path) -> float:
  """When the newest metrics, samples or log were written: seconds since 1970, 0 where there are none."""
  names = ['metrics.jsonl', 'pipeline.json', 'log.txt']
  places = [path, *(each for each in path.iterdir() if each.is_dir() and each.name != 'report')]
  found = [place / name for place in places for name in names]
  return max((os.stat(file).st_mtime for file in found if file.exists()), default=0)
