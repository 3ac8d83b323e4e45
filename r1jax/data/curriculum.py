"""Which questions are worth asking again: a draw goes along the order of questions and passes some of them by.

  drop_solved   those whose samples were all right in their last askings (Skywork-OR1, arXiv:2505.22312)
  prioritized   each with the probability of its pass rate, so that what is asked has the weight 1 - rate (Kimi k1.5,
                arXiv:2501.12599: prioritized sampling)
  easy_first    none; the first epoch goes from easy to hard by a column of the file (Kimi k1.5: curriculum sampling)
"""

import logging

import numpy as np

from r1jax.data import questions
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

LEAST = 0.05  # of the weight 1 - rate: what is solved is asked now and then all the same


class Curriculum:
  """questions.Order, but for what is passed by. Called draw after draw; what it has seen is in `state`."""

  def __init__(self, order: questions.Order, mode: str, rows: list[dict], per_draw: int, *, askings: int, seed: int):
    """
    Args:
      rows: of the order, general ones last.
      per_draw: questions that a draw asks, and that `order` gives at a time.
      askings: of a question, the last ones, that its pass rate is of.

    Raises:
      UserError: easy_first, and a row that does not say how hard it is.
    """
    self._order, self._mode, self._n, self._askings, self._seed = order, mode, per_draw, askings, seed
    self._rows = len(rows)
    self._first = easy_first(rows) if mode == 'easy_first' else ()  # of the first epoch
    self._place = 0  # in the order, as one endless list
    self._rates: dict[int, list[float]] = {}  # row -> shares of right answers, the last ones
    self._cached = (None, ())
    self._said = False
    self.left_out = 0.0  # share of the questions that the last draw passed by

  def __call__(self, step: int) -> np.ndarray:
    """The rows that the next draw asks, at this optimiser step. Where it has passed all questions by in a row, it takes
    the others as they come."""
    chosen, passed, in_a_row = [], 0, 0
    while len(chosen) < self._n:
      row = self._at(self._place, step)
      if in_a_row < self._rows and self._passes(row, self._place):
        passed, in_a_row = passed + 1, in_a_row + 1
      else:
        chosen.append(row)
        in_a_row *= in_a_row == self._rows
      self._place += 1
    if in_a_row == self._rows and not self._said:
      log.warning('curriculum: all %d questions were to be left out, as they are solved: they are asked as they come',
                  self._rows)
      self._said = True
    self.left_out = passed / (passed + self._n)
    return np.asarray(chosen)

  def _at(self, place: int, step: int) -> int:
    if place < len(self._first):
      return int(self._first[place])
    key = place // self._n, step
    if self._cached[0] != key:
      self._cached = key, self._order(*key)
    return int(self._cached[1][place % self._n])

  def _passes(self, row: int, place: int) -> bool:
    rates = self._rates.get(row)
    if not rates:
      return False
    if self._mode == 'drop_solved':
      return len(rates) == self._askings and min(rates) >= 1
    weight = max(1 - float(np.mean(rates)), LEAST)
    return np.random.default_rng([self._seed, place, 3]).random() >= weight

  def note(self, row: int, rate: float) -> None:
    """A question was asked, and this share of the answers was right; NaN of one without right answers."""
    if self._mode in ('drop_solved', 'prioritized') and rate == rate:
      self._rates[row] = [*self._rates.get(row, ()), float(rate)][-self._askings:]

  def state(self) -> dict:
    """All that decides about the next draws, as JSON has it."""
    return {'place': self._place, 'rates': {str(row): list(rates) for row, rates in self._rates.items()}}

  def restore(self, state: dict) -> None:
    self._place = state['place']
    self._rates = {int(row): list(rates) for row, rates in state['rates'].items()}


def hardness(rows: list[dict], key: str) -> np.ndarray:
  """[rows], larger is harder: the column `difficulty`, else `pass_rate` turned round.

  Raises:
    UserError: a row that has neither as a number; key: of the config that asks for it.
  """
  for column, sign in (('difficulty', 1.0), ('pass_rate', -1.0)):
    if column in rows[0]:
      return sign * _numbers(rows, column, key)
  raise UserError(f'{key} wants a column `difficulty` or `pass_rate`, which {_where(rows[0])} has not')


def easy_first(rows: list[dict], key: str = 'rl.curriculum.mode=easy_first') -> np.ndarray:
  """The numbers of the rows from easy to hard, as they stand where they are equally hard."""
  return np.argsort(hardness(rows, key), kind='stable')


def within(rows: list[dict], low: float, high: float, key: str) -> list[dict]:
  """Rows whose column `pass_rate` lies from low to high; all of them for 0 and 1, with or without that column.

  Raises:
    UserError: a row without it, or none that is left.
  """
  if (low, high) == (0.0, 1.0):
    return rows
  rates = _numbers(rows, 'pass_rate', f'{key}.low={low} and {key}.high={high}')
  left = [row for row, rate in zip(rows, rates) if low <= rate <= high]
  if not left:
    raise UserError(f'{key}.low={low} and {key}.high={high} leave none of {len(rows)} questions: their pass rates are '
                    f'{rates.min():g} to {rates.max():g}')
  log.info('%s: %d of %d questions have a pass rate from %g to %g', key, len(left), len(rows), low, high)
  return left


def _numbers(rows: list[dict], column: str, key: str) -> np.ndarray:
  number = lambda x: isinstance(x, (int, float)) and not isinstance(x, bool) and np.isfinite(x)
  for row in rows:
    if not number(row.get(column)):
      raise UserError(f'{key}: {_where(row)} has no number as `{column}`, but {row.get(column)!r}')
  return np.asarray([row[column] for row in rows], np.float64)


def _where(row: dict) -> str:
  return row.get('where') or f'row {row.get("id", "")}'
