"""A user's own rewards and graders, called before anything is made: what is wrong with one is seen in seconds, and not
behind a base that has trained and a rollout."""

import logging
from typing import Iterable

from r1jax import rewards
from r1jax.exceptions import UserError
from r1jax.rewards import format as format_lib
from r1jax.rewards import pool as pool_lib

log = logging.getLogger('r1jax')

_KINDS = ('a right answer', 'an answer that is cut off')


def graders(rows: list[dict]) -> None:
  """`rewards_of` what rows say that grades them, where that is a user's own."""
  pairs = ((row['reward'], row) for row in rows if row.get('reward'))
  try:
    with pool_lib.Pool(workers=1) as pool:
      rewards_of(pairs, pool, trained=False)
  except ValueError as e:  # no reward has that name
    raise UserError(str(e)) from e


def rewards_of(pairs: Iterable[tuple[str, dict]], pool: pool_lib.Pool, *, trained: bool = True,
               overlong_buffer: int = 0) -> None:
  """Calls each reward of a user's own twice, on the first row of each task: with a right answer, and with the first
  half of it, as of a completion that max_tokens has cut off. By the judges of training, under the deadline that counts
  there.

  Args:
    pairs: (name of a reward, row that it speaks of).
    trained: the row has what an RL stage adds to it: tokens, stopped, max_tokens, overlong_buffer.

  Raises:
    UserError: it cannot be loaded, has raised, gave no number, or took longer than its deadline both times.
  """
  first = {}
  for name, row in pairs:
    if _own(name):
      first.setdefault((name, row.get('task')), row)
  pool.hold({name for name, _ in first})
  if not first:
    return
  items = [(name, text, {**row, **(_lengths(text, stopped, overlong_buffer) if trained else {})})
           for (name, _), row in first.items() for text, stopped in _answers(row)]
  try:
    verdicts = pool.score(items, count_errors=False)
  except RuntimeError as e:  # it cannot be loaded
    raise UserError(str(e)) from e
  for (name, _, row), *pair in zip(items[::2], verdicts[::2], verdicts[1::2]):
    _look(name, row, pair)


def _own(name: str) -> bool:
  return bool(getattr(rewards.get(name), 'OWN', False))


def _answers(row: dict) -> list[tuple[str, bool]]:
  """[(text, whether it ended by itself)] of _KINDS."""
  right = format_lib.ideal(str(row.get('answer') or ''), row.get('prefill') or '', row)
  return [(right, True), (right[:len(right) // 2], False)]


def _lengths(text: str, stopped: bool, overlong_buffer: int) -> dict:
  tokens = max(1, len(text) // 3)
  return {'tokens': tokens, 'stopped': stopped, 'max_tokens': 2 * tokens if stopped else tokens,
          'overlong_buffer': overlong_buffer}


def _look(name: str, row: dict, verdicts: list) -> None:
  for kind, verdict in zip(_KINDS, verdicts):
    if verdict.reason.startswith('error'):
      said = verdict.reason.removeprefix('error: ').removeprefix(f'{name} ')
      raise UserError(f'{name}: {said}, when it was tried on {kind} to '
                      f'{pool_lib.where(row)}: mend it, or give it the weight 0')
  slow = [kind for kind, verdict in zip(_KINDS, verdicts) if verdict.reason == 'timeout']
  if not slow:
    return
  seconds = pool_lib.seconds_of(name, row)
  way = f'{name.rpartition(":")[2]}.deadline = {5 * seconds:g} behind the function gives it longer'
  if len(slow) == len(verdicts):
    raise UserError(f'{name}: no verdict within {seconds:g} s, when it was tried on answers to {pool_lib.where(row)}, '
                    f'and training would count that as errors: {way}')
  log.warning('%s: no verdict on %s within %g s: a verdict that takes so long counts as an error; %s', name, slow[0],
              seconds, way)
