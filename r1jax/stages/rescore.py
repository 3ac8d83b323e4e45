"""scores.json again from samples.jsonl: every text is graded by today's graders, and no model is asked: what a judge
said of a text stays.

What it reads stands beside the scores: questions.jsonl (the rows, with what grades them) and settings.json.
"""

import glob
import itertools
import json
import logging
import os
from typing import Iterator, NamedTuple

from r1jax import metrics
from r1jax.engine import json_files
from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import pool
from r1jax.stages import asking
from r1jax.stages import grading
from r1jax.stages import judges as judges_lib
from r1jax.stages import gradable
from r1jax.stages import scoring

log = logging.getLogger('r1jax')

_AT_ONCE = 64  # questions whose texts are held


class Change(NamedTuple):
  """A verdict that is another one today."""
  question: str
  sample: int
  before: str
  now: str

  def __str__(self):
    return f'question {self.question}, sample {self.sample}: {self.before} -> {self.now}'


class Rescored(NamedTuple):
  directory: str
  before: dict  # scores.json as it was; {} where there was none
  result: dict
  changes: list[Change]


def directories(workdir: str) -> list[str]:
  """Every eval/TASK that can be scored again below a work dir: of `evaluate`, of a stage, or of a run's stages.

  Raises:
    UserError: there is none.
  """
  wanted = [os.path.join(glob.escape(workdir), *where, 'eval', '**', asking.SAMPLES) for where in ((), ('[0-9]*_*',))]
  places = sorted({os.path.dirname(path) for one in wanted for path in glob.glob(one, recursive=True)})
  found = [place for place in places if os.path.exists(os.path.join(place, asking.QUESTIONS))]
  for place in places:
    if place not in found:
      log.warning('%s has no %s (a search, or an earlier version of r1jax): left as it is', place, asking.QUESTIONS)
  if not found:
    raise UserError(f'--workdir={workdir} holds no evaluation to score again: wants eval/TASK/{asking.SAMPLES} and '
                    f'{asking.QUESTIONS}')
  return found


def rescore(directory: str) -> Rescored:
  """Writes samples.jsonl with today's verdicts, then scores.json.

  Raises:
    UserError: a question has not exactly n samples, or is none of those that were asked; names it.
  """
  rows = asking.rows_of(os.path.join(directory, asking.QUESTIONS))
  before = json_files.read(os.path.join(directory, asking.SCORES), {})
  said = json_files.read(os.path.join(directory, asking.SETTINGS), None)
  if said is None:
    raise UserError(f'{directory} has no {asking.SETTINGS}: nothing says how it was sampled')
  settings = {'n_samples': said['samples'], **{key: said[key] for key in ('temperature', 'top_p', 'max_tokens')},
              'judge_model': said.get('judge_model', '')}
  if any(map(judge_lib.needed, rows)):
    log.info('%s: the verdicts of the judge %s stay as they are, its numbers are made again', directory,
             settings['judge_model'])
  gradable.start_graders(rows)
  path, found, changes = os.path.join(directory, asking.SAMPLES), [], []
  with pool.Pool(workers=os.cpu_count() or 2) as judges, asking.replaced(path) as out:
    for record, again in _graded(path, rows, settings['n_samples'], judges):
      changes += _changed(record, again)
      out.write(metrics.encode(again))
      found.append(asking.slim(again))
    task = before.get('task') or found[0]['task'] if found else ''
    score = scoring.general if task == scoring.GENERAL else scoring.scores
    result = score(found, rows, settings, task)
  # What no text tells: how slots were filled, and what reward models have said.
  kept = {key: value for key, value in before.items() if key == 'slot_use' or key.endswith('_model')}
  result |= kept or ({} if task == scoring.GENERAL else {'slot_use': None})
  json_files.write(os.path.join(directory, asking.SCORES), result, every_host=True)
  return Rescored(directory, before, result, changes)


def _graded(path: str, rows: list[dict], n: int, judges) -> Iterator[tuple[dict, dict]]:
  """(record as it stands, record with today's verdicts) of each question, in order."""
  behind = 0  # questions that have come
  with open(path, encoding='utf-8') as f:
    records = (json.loads(line) for line in f if line.endswith('\n'))
    for some in iter(lambda: list(itertools.islice(records, _AT_ONCE)), []):
      asked, kept = [], []
      for record in some:
        if record.get('number') != behind:
          _explain(path, rows, record, behind)
        if len(record['samples']) != n:
          raise UserError(f'{path}: question {record["id"]!r} has {len(record["samples"])} samples, {n} wanted')
        asked.append((rows[behind], [grading.Said(s['text'], s['tokens'], s['finish']) for s in record['samples']]))
        if judge_lib.needed(rows[behind]):
          kept += map(_kept, record['samples'])
        behind += 1
      for record, again in zip(some, grading.records(judges_lib.Pool(judges, _Said(kept)), asked)):
        yield record, {'number': record['number'], **again}
  if behind < len(rows):
    raise UserError(f'{path}: question {rows[behind]["id"]!r} has no samples: start the same evaluation again')


class _Said:
  """A judge that says what it has said."""

  def __init__(self, kept: list[judge_lib.Graded]):
    self._kept = kept

  def grade(self, rows: list[dict], texts: list[str]) -> list[judge_lib.Graded]:
    del rows, texts  # all of them, in their order
    return self._kept


def _kept(sample: dict) -> judge_lib.Graded:
  return judge_lib.Graded(sample.get('value', float(sample['correct'])), sample['reason'],
                          tuple(sample.get('verdicts', ())))


def _explain(path: str, rows: list[dict], record: dict, behind: int) -> None:
  """Raises UserError for a record that stands where another one should."""
  number = record.get('number')
  if isinstance(number, int) and number < behind:
    raise UserError(f'{path}: question {record["id"]!r} has samples twice')
  if behind < len(rows) and isinstance(number, int) and number < len(rows):
    raise UserError(f'{path}: question {rows[behind]["id"]!r} has no samples: start the same evaluation again')
  raise UserError(f'{path}: question {record.get("id")!r} is none that was asked')


def _changed(before: dict, now: dict) -> list[Change]:
  said = lambda s: f"{s['reason'] or s['correct']}" if 'value' not in s else f"{s['reason']} {s['value']:g}"
  return [Change(str(before['id']), g, said(a), said(b)) for g, (a, b) in enumerate(zip(
      before['samples'], now['samples'])) if (a['correct'], a.get('value')) != (b['correct'], b.get('value'))]
