"""A judge: questions about answers -> verdicts, many at once."""

from concurrent import futures
import dataclasses
from typing import NamedTuple

from r1jax.exceptions import UserError
from r1jax.data.formats import TAGS
from r1jax.rewards import Score
from r1jax.rewards import format as format_lib
from r1jax.rewards.judge import wording

MAX_CHARS = 20000  # of an answer: what is longer is cut, as no judge reads it


class _Kind(NamedTuple):
  """How one row is judged.

  wording: the prompt. read: reply -> verdict. against: the row's key with the other text. swapped: asked once more with
  the two texts changed about. nothing: the verdict on a reply without a final part, which nobody is asked about.
  """
  wording: str
  read: object
  against: str
  swapped: bool
  nothing: str


KINDS = {
    'same': _Kind(wording.SAME, wording.read, 'answer', True, 'DIFFERENT'),  # section 2.3.3
    'correct': _Kind(wording.CORRECT, wording.read, 'answer', False, 'NOT_ATTEMPTED'),  # SimpleQA, C-SimpleQA
    'true': _Kind(wording.TRUE, wording.read, 'answer', False, 'FALSE'),  # FRAMES
    'better': _Kind(wording.BETTER, wording.read_better, 'baseline', True, '<'),  # AlpacaEval
    'grade': _Kind(wording.GRADE, wording.read_grade, 'baseline', True, '<<'),  # ArenaHard
}
WORTH = {'>>': 1.0, '>': 1.0, '=': 0.5, '<': 0.0, '<<': 0.0}  # of a comparison with the baseline
UNREAD = 'error: the judge cannot be read'


@dataclasses.dataclass(frozen=True)
class Graded(Score):
  """A Score by a judge: value 1 for CORRECT, TRUE and SAME; for a comparison the share, 0..1, that the reply wins of
  its games, a tie being half of one. What cannot be read is an error, with value 0.

  Attributes:
    verdicts: as the judge gave them, () where one cannot be read. Of a comparison one for each order, of the reply
      against the baseline: '>>', '>', '=', '<' or '<<'.
  """
  verdicts: tuple[str, ...] = ()


class Judge:
  """What cannot be read is no verdict, and is counted in `unread`."""

  def __init__(self, ask=None, parallel: int = 1, *, together=None):
    """ask: prompt -> reply, of which `parallel` are under way at a time. together: prompts -> replies, instead."""
    self._ask, self._parallel, self._all = ask, parallel, together or self._one_by_one
    self.unread, self.swapped = 0, 0  # swapped: pairs of verdicts that the order changed

  def _one_by_one(self, prompts: list[str]) -> list[str]:
    if self._parallel == 1:
      return list(map(self._ask, prompts))
    with futures.ThreadPoolExecutor(self._parallel) as threads:
      return list(threads.map(self._ask, prompts))

  def _put(self, asked: list[tuple[_Kind, str, str, str]]) -> list[list[str | None]]:
    """The verdicts on each (kind, question, first, second): one, or one for each order."""
    prompts, orders = [], []
    for kind, question, first, second in asked:
      texts = [(first, second), (second, first)] if kind.swapped else [(first, second)]
      prompts += [kind.wording.format(question=question, first=a[:MAX_CHARS], second=b[:MAX_CHARS]) for a, b in texts]
      orders.append(len(texts))
    replies = iter(self._all(prompts) if prompts else ())
    found = [[kind.read(next(replies)) for _ in range(n)] for (kind, *_), n in zip(asked, orders)]
    self.unread += sum(verdict is None for verdicts in found for verdict in verdicts)
    return found

  # --- whether two answers say the same

  def agree(self, asked: list[tuple[str, str, str]]) -> list[bool | None]:
    """Of each (question, gold answer, prediction), whether the two say the same, in both orders. An empty prediction is
    wrong unasked; None where a reply cannot be read."""
    found = iter(self._put([(KINDS['same'], *each) for each in asked if each[2].strip()]))
    return [self._same(next(found)) if prediction.strip() else False for _, _, prediction in asked]

  def _same(self, verdicts: list[str | None]) -> bool | None:
    self.swapped += None not in verdicts and verdicts[0] != verdicts[1]
    return None if None in verdicts else verdicts == ['SAME', 'SAME']

  def same(self, question: str, gold: str, prediction: str) -> bool | None:
    """`agree` of one."""
    return self.agree([(question, gold, prediction)])[0]

  def all_same(self, question: str, gold: str, predictions: list[str]) -> list[bool | None]:
    """`agree` of several predictions."""
    return self.agree([(question, gold, prediction) for prediction in predictions])

  # --- which of two replies is the better one

  def better(self, question: str, a: str, b: str) -> int:
    """1 where a is better in both orders, -1 where b is, 0 where the order decides or nothing can be read."""
    verdicts = tuple(self._put([(KINDS['better'], question, a, b)])[0])
    if verdicts in (('>', '>'), ('<', '<')):
      self.swapped += 1
    return {('>', '<'): 1, ('<', '>'): -1}.get(verdicts, 0)

  # --- rows of a benchmark

  def grade(self, rows: list[dict], texts: list[str]) -> list[Graded]:
    """The verdict on each text, as its row asks: row['judge'] is one of KINDS, 'same' where it says nothing.

    A judge sees the final part of a text alone, without the reasoning (section 3), and of the row its question and its
    'answer', or for 'better' and 'grade' its 'baseline', another model's reply. A text without a final part is wrong,
    not attempted, or worse, unasked.

    Raises:
      UserError: a row asks for another judgement, or lacks what it needs.
    """
    kinds = [kind_of(row) for row in rows]
    finals = [final(text, row) for text, row in zip(texts, rows)]
    found = iter(self._put([(kind, row['question'], *((said, row[kind.against]) if kind.against == 'baseline' else
                                                      (row[kind.against], said)))
                            for kind, row, said in zip(kinds, rows, finals) if said]))
    return [self._graded(row.get('judge', 'same'), next(found) if said else None) for row, said in zip(rows, finals)]

  def _graded(self, name: str, verdicts: list[str | None] | None) -> Graded:
    kind = KINDS[name]
    if verdicts is None:
      verdicts = [kind.nothing] * (2 if kind.swapped else 1)
    elif kind.against == 'baseline' and verdicts[1]:
      verdicts = [verdicts[0], wording.TURNED[verdicts[1]]]  # the second order as the reply's, too
    if None in verdicts:
      return Graded(0.0, UNREAD)
    if kind.swapped:
      self.swapped += verdicts[0][0] != verdicts[1][0]
    if kind.against == 'baseline':
      return Graded(sum(WORTH[verdict] for verdict in verdicts) / 2, 'measured', tuple(verdicts))
    right = all(verdict in ('SAME', 'CORRECT', 'TRUE') for verdict in verdicts)
    why = 'wrong: not attempted' if verdicts[0] == 'NOT_ATTEMPTED' else 'wrong'
    return Graded(1.0, 'correct', tuple(verdicts)) if right else Graded(0.0, why, tuple(verdicts))


def needed(row: dict) -> bool:
  """Whether a row is graded by a model that somebody must name."""
  return row.get('reward') == 'judge'


def kind_of(row: dict) -> _Kind:
  """How a row is judged. UserError: not so, or it lacks what that needs."""
  name = row.get('judge', 'same')
  if name not in KINDS:
    raise UserError(f'question {row.get("id", "?")} has judge={name!r}: one of {", ".join(KINDS)}')
  if not isinstance(row.get(KINDS[name].against), str):
    raise UserError(f'question {row.get("id", "?")} with judge={name!r} has no {KINDS[name].against!r}')
  return KINDS[name]


def final(text: str, row: dict) -> str:
  """What a judge sees of a text: all behind its reasoning, without tags; '' where the reasoning never closes."""
  said = format_lib.summary(text, row) or ''
  for tag in TAGS:
    said = said.replace(tag, '')
  return said.strip()
