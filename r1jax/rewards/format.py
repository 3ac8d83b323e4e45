"""Format reward: the turn is laid out as its row's format says (paper, 2.2.2 and table 1; 2.3.1), see ../formats.py."""

from r1jax.data import formats
from r1jax.rewards import CORRECT, Score, WRONG
from r1jax.data.formats import last_answer  # noqa: F401  what graders look for beside a box


def of(row: dict):
  """The format that a row's completions have: row['format'], by default table 1's."""
  return formats.get(row.get('format') or 'r1_zero')


def full(completion: str, row: dict) -> str:
  """What the assistant's turn reads: a prefilled '<think>' is part of it, or every reward would be 0 (trl#6966)."""
  return (row.get('prefill') or '') + completion


def ideal(answer: str, prefill: str = '', row: dict | None = None) -> str:
  """A completion that scores 1 on the format, and on maths when `answer` is the gold one."""
  return of(row or {}).ideal(answer, prefill)


def reasoning(completion: str, row: dict) -> str:
  return of(row).reasoning(full(completion, row))


def summary(completion: str, row: dict) -> str | None:
  """The part that is meant for the user; None where the reasoning never closes."""
  return of(row).summary(full(completion, row))


def score(completion: str, row: dict) -> Score:
  """1 for a turn in its format; a row with 'scenario' may be answered without reasoning (section 2.3.3)."""
  text, form = full(completion, row), of(row)
  if row.get('scenario') and not form.reasoning(text) and (form.summary(text) or '').strip() and not _opens(form, text):
    return CORRECT
  return CORRECT if form.matches(text) else WRONG


def _opens(form, text: str) -> bool:
  return any(token in text for token in (*form.tokens, *formats.TAGS))
