"""Which benchmarks of an evaluation can be run here, and what scores.json says of one beside pass@1: which file was
asked, and of contests the rating."""

import functools
import logging
import os

import numpy as np

from r1jax import benchmarks
from r1jax import disk
from r1jax.benchmarks import rating
from r1jax.data import files
from r1jax.data import layouts
from r1jax.data import tasks
from r1jax.engine import json_files
from r1jax.exceptions import UserError
from r1jax.stages import checking

log = logging.getLogger('r1jax')

NOT_RUN = 'not_run.json'  # in eval/NAME, instead of scores.json


def judged(source: str) -> bool:
  """Whether it is a benchmark that r1jax runs by a judge."""
  return tasks.is_benchmark(source) and bool((row := benchmarks.find(source)).judge) and row.runs == 'ours'


def left_out(named: dict[str, str], no_judge: str = '') -> dict[str, str]:
  """Of several tasks, name -> source, those that are benchmarks and cannot be run here: name -> why, in one line.

  no_judge: why nobody judges here, and the way out; '' where somebody does.

  Raises:
    UserError: none is left; for a task alone, or one that is no benchmark, its mistake comes when it is read.
  """
  why_not = lambda source: (no_judge if judged(source) else '') or _lacks(source)
  if len(named) < 2:
    for name, source in named.items():
      if no_judge and judged(source):
        raise UserError(f'{name} {no_judge}')
    return {}
  lacking = {name: why for name, source in named.items() if tasks.is_benchmark(source) and (why := why_not(source))}
  if len(lacking) == len(named):
    raise UserError(f'none of {len(named)} benchmarks can be run here: {next(iter(lacking.values()))}')
  for name, why in lacking.items():
    _say(f'{name}: NOT RUN: {why}')
  return lacking


@functools.cache
def _lacks(source: str) -> str:
  """Why its questions cannot be had, or not be judged; '' where they can."""
  try:
    checking.graders(tasks.load(source, size=0, seed=0), judged=judged(source))
  except UserError as e:
    return str(e)
  return ''


@functools.cache
def _say(text: str) -> None:
  log.warning('%s', text)


def note(directory: str, name: str, why: str) -> None:
  """NOT_RUN of a benchmark, as r1jax tables reads it; by the first of several hosts."""
  disk.make(directory)
  json_files.write(os.path.join(directory, NOT_RUN), {'task': name, 'reason': why})


def facts(records: list[dict], rows: list[dict]) -> dict:
  """{'benchmark', 'data_sha256', and of Codeforces 'rating', 'percentile', 'contests'}; {} for rows of no benchmark.

  records: as in samples.jsonl, one a row, each with as many samples.
  """
  if 'benchmark' not in rows[0]:
    return {}
  found = {'benchmark': rows[0]['benchmark'], 'data_sha256': rows[0].get('data_sha256', '')}
  return {**found, **(_contests(records, rows) if 'standings' in rows[0] else {})}


@functools.lru_cache(maxsize=1)
def _standings(path: str) -> dict[str, list[tuple[float, float]]]:
  """Contest -> (rating, points) of each who took part."""
  return {str(row['contest']): layouts.standings(row) for _, _, row in files.read(path)
          if isinstance(row, dict) and row.get('contest') is not None}


def _contests(records: list[dict], rows: list[dict]) -> dict:
  """rating: the mean over contests of that which is expected of the model's mean place over its samples; percentile:
  the share of all who took part in them whose rating is lower.

  Sample g of every problem of a contest is one contestant. It has the whole points of what it solved: a program has no
  time at which it was sent in, and no second try.
  """
  standings = _standings(rows[0]['standings'])
  ratings, people = [], []
  for contest in dict.fromkeys(row['contest'] for row in rows):
    if contest not in standings:
      raise UserError(f'{rows[0]["standings"]} has no contest {contest!r} any more')
    theirs = standings[contest]
    mine = [(row['points'], [s['correct'] for s in record['samples']]) for record, row in zip(records, rows)
            if row['contest'] == contest]
    points_G = np.sum([points * np.asarray(right, float) for points, right in mine], axis=0)
    places = [rating.place(points, [p for _, p in theirs]) for points in points_G]
    ratings.append(rating.of_place(float(np.mean(places)), [r for r, _ in theirs]))
    people += [r for r, _ in theirs]
  mean = float(np.mean(ratings))
  return {'rating': mean, 'percentile': rating.percentile(mean, people), 'contests': len(ratings)}
