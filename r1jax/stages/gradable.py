"""Which questions rewards can grade, and whether those of a stage can work here: before anything is generated."""

import functools
import logging

from r1jax import rewards
from r1jax.data import tasks
from r1jax.exceptions import about
from r1jax.rewards import format as format_lib
from r1jax.rewards import language
from r1jax.rewards import pool as pool_lib
from r1jax.types import UserError

log = logging.getLogger('r1jax')


def questions(task, *, key: str = '', **asked) -> list[dict]:
  """Of a stage's task, or of all tasks of its list, one after the other: each row then says which as `task`.

  tasks.asked, but for rows of a file whose gold answer or tests cannot be read: they are left out, and the log says
  how many and why.

  Args:
    key: of the task in the config, for errors.

  Raises:
    UserError: as of tasks.asked; without any row that can be read, for the first.
  """
  if isinstance(task, (list, tuple)):
    several = tasks.several(task)
    return [{**row, 'task': name} for i, (one, name) in enumerate(zip(several, tasks.names_of(several)))
            for row in questions(one, key=key and f'{key}[{i}]', **asked)]
  with about(key and f'{key}.source', task.source):
    return _readable(task, key=key, **asked)


def _readable(task, *, key: str, **asked) -> list[dict]:
  rows = tasks.asked(task, key=key, **asked)
  if not tasks.is_file(task.source) or task.get('strict'):
    return rows  # `start` stops at the first that cannot be read
  ruled = [number for number, row in enumerate(rows) if row.get('grader') != 'judge']
  bad = {ruled[number]: reason for number, reason in pool_lib.unreadable([rows[number] for number in ruled])}
  if len(bad) == len(rows):
    number, reason = next(iter(bad.items()))
    raise UserError(f'{pool_lib.where(rows[number])}: {reason}')
  if bad:
    log.warning('%s: %d of %d rows left out, as no reward could grade them: %s', task.source, len(bad), len(rows),
                '; '.join(f'{pool_lib.where(rows[number])}: {reason}' for number, reason in list(bad.items())[:3]))
  return [row for number, row in enumerate(rows) if number not in bad]


def applies(name: str, row: dict) -> bool:
  """Whether a reward speaks of this row (section 2.3.4): rules of accuracy of questions that reason and need no judge,
  reward models of general ones ('scenario'), helpfulness not of those whose answer does harm; all others of all."""
  general = bool(row.get('scenario'))
  return {'accuracy': not general and row.get('reward') != 'judge', 'process': not general, 'harmless': general,
          'helpful': general and row.get('scenario') != 'harm'}.get(name, True)


def module(name: str, row: dict) -> str:
  """The reward module behind a config's name: accuracy is graded by what the row asks for."""
  return row.get('reward', 'math') if name == 'accuracy' else name


def watched(weights: dict[str, float], rows: list[dict]) -> dict[str, float]:
  """With an accuracy that earns nothing: it is measured all the same where rows have an answer, so that whatever pays
  is watched by the rule. Where it cannot be, the log says why, and nothing is said of it afterwards."""
  asked = [row for row in rows if applies('accuracy', row)]
  if 'accuracy' in weights or not asked:
    return weights
  try:
    _look({module('accuracy', row) for row in asked})
    check_ideal({'accuracy': 0.0}, asked[0])
  except (ValueError, UserError) as e:
    _say_once(f'accuracy earns nothing (weight 0), and is not measured: {e}')
    return weights
  _say_once('accuracy earns nothing (weight 0), and is measured all the same')
  return {'accuracy': 0.0, **weights}


@functools.cache
def _say_once(text: str) -> None:
  """A check before the run has said it already."""
  log.info('%s', text)


def start(names: set[str], rows: list[dict]) -> None:
  """Whatever rewards must be sure of before anything is generated.

  Raises:
    UserError: one cannot work here; with file and line, for the first row whose gold answer or tests cannot be read.
  """
  try:
    _look(names)
    pool_lib.check_rows(rows)
  except ValueError as e:
    raise UserError(str(e)) from e


def start_graders(rows: list[dict]) -> None:
  """`start`, of what rows ask to be graded by."""
  start({module('accuracy', row) for row in rows}, rows)


def _look(names: set[str]) -> None:
  """Each reward looks whether it can work here."""
  for name in sorted(names):
    getattr(rewards.get(name), 'start', lambda: None)()


def check_languages(rows: list[dict], instead: str) -> None:
  """Raises UserError for a row whose language's words cannot be told;
  `instead`: the way out, beside another language."""
  for row in rows:
    try:
      language.consistency('', row.get('language') or 'en')
    except ValueError as e:
      raise UserError(f"{row.get('where') or 'row ' + str(row['id'])}: {e}; or {instead}") from e


def check_ideal(weights: dict[str, float], row: dict) -> None:
  """An ideal answer must score 1 (a penalty: 0), or template and parser do not fit."""
  for name in weights:
    reward = rewards.get(module(name, row))
    want = getattr(reward, 'IDEAL_SCORE', 1.0)
    if want is None or not row.get('answer'):
      continue
    text = format_lib.ideal(row['answer'], row.get('prefill', ''), row)
    score = reward.score(text, {**row, 'tokens': 0, 'max_tokens': 2, 'overlong_buffer': 1, 'stopped': True})
    if score.value != want:
      raise UserError(f'an ideal answer to row {row["id"]} scores {score.value} ({score.reason}) for reward {name!r}, '
                      f'not {want}')
