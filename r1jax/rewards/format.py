"""Format reward: the reasoning between <think> tags, then the answer between <answer> tags (paper, 2.2.2 and table 1).

The template and its parser stand side by side here, so that neither can drift: `ideal` writes what `score` and
math.extract read, and a run checks at start-up that an ideal completion scores 1.
"""

import re

from r1jax.rewards import CORRECT, Score, WRONG

THINK, THINK_END, ANSWER, ANSWER_END = TAGS = ('<think>', '</think>', '<answer>', '</answer>')
IDEAL = f'{THINK} reasoning process here {THINK_END} {ANSWER} {{answer}} {ANSWER_END}'  # table 1's own one-line form

# Each tag is counted apart, so the lazy groups below cannot hide a second one.
_FORM = re.compile(r'\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*', re.DOTALL)


def full(completion: str, row: dict) -> str:
  """What the assistant's turn reads: a prefilled '<think>' is part of it, or every reward would be 0 (trl#6966)."""
  return (row.get('prefill') or '') + completion


def ideal(answer: str, prefill: str = '') -> str:
  """A completion that scores 1 on the format, and on maths when `answer` is the gold one.

  It goes on where the prefill left off: to the letter, or after the last tag that the prefill has.
  """
  text, given = IDEAL.replace('{answer}', str(answer)), prefill.strip()
  if text.startswith(given):
    return text[len(given):]
  last = max(TAGS, key=given.rfind)
  if not given.startswith(THINK) or last not in given:
    raise ValueError(f'{prefill=} does not begin {IDEAL!r}')
  return text[text.index(last) + len(last):]


def after_think(text: str) -> str | None:
  """What follows the reasoning: all of it where no thinking was opened, None where it never closes.

  The last </think> counts: tags quoted within the reasoning must not turn a guess in it into the answer.
  """
  end = text.rfind(THINK_END)
  rest = text[end + len(THINK_END):] if end >= 0 else text
  return None if THINK in rest else rest


def last_answer(text: str) -> str | None:
  """The content of the last <answer> that closes."""
  start = text.rfind(ANSWER, 0, max(0, text.rfind(ANSWER_END)))
  if start < 0:
    return None
  start += len(ANSWER)
  return text[start:text.find(ANSWER_END, start)]


def reasoning(text: str) -> str:
  """What stands between <think> and the last </think>, or behind a <think> that never closes; '' without one."""
  start = text.find(THINK)
  if start < 0:
    return ''
  end = text.rfind(THINK_END)
  return text[start + len(THINK):end if end > start else len(text)]


def score(completion: str, row: dict) -> Score:
  """1 for exactly <think>...</think><answer>...</answer>, nothing outside but white space, neither of them empty."""
  text = full(completion, row)
  if any(text.count(tag) != 1 for tag in TAGS):
    return WRONG
  match = _FORM.fullmatch(text)
  return CORRECT if match and match[1].strip() and match[2].strip() else WRONG
