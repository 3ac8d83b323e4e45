"""Accuracy reward for maths: the answer in its stated form, compared by rule (paper, 2.2.2).

Numbers are compared as Python integers and Fractions (reading.py), sets, tuples, intervals, matrices and equations part
by part (compound.py); expressions of plain algebra are evaluated (numeric.py), and what is left goes to math-verify
(expressions.py), in a process that may be killed (../pool.py). A sample of verdicts is graded again by other means:
`second` here, for ../../scoring.py.
"""

import functools
from fractions import Fraction
import re

from r1jax.data import answers
from r1jax.rewards import CORRECT, NO_ANSWER, Score, WRONG, error
from r1jax.rewards import format as form
from r1jax.rewards import pool
from r1jax.rewards.math import compound
from r1jax.rewards.math import expressions
from r1jax.rewards.math import numeric
from r1jax.rewards.math.parts import outside
from r1jax.rewards.math.reading import (MAX_CHARS, Based, Quantity, based, choice, number, option, plain, quantity,
                                        same_quantity, words)

NUMBERS, TYPES = answers.NUMBERS, answers.TYPES

# Right, and only if math-verify works.
CANARY = (r'<think> a </think> <answer> \boxed{\sqrt{3}/2} </answer>',
          {'answer': r'\frac{\sqrt{3}}{2}', 'answer_type': 'expr', 'grader': 'math-verify'})

# --- where the answer stands ---


def extract(completion: str, row: dict) -> str | None:
  """The last balanced \\boxed{} after </think>, else the content of the last <answer>...</answer> there, else None.

  Only the last box counts: math-verify merges several into a set and marks honest long reasoning wrong. Where the gold
  answer is of several values, boxes side by side are one answer (answers.last_boxes).
  A completion whose <think> never closes has no answer.
  """
  text = form.summary(completion, row)
  if text is None:
    return None
  box = answers.boxed(text, several=row.get('answer_type') in ('set', 'tuple'))
  if box is not None:
    return box.strip() or None
  answer = form.last_answer(text)
  return None if answer is None else answer.strip() or None


# --- the gold answer ---
_WORD = re.compile(r'\\(?:text|mathrm|textrm|textbf|textit|mbox)\s*\{\s*[A-Za-z][A-Za-z\s\'-]+\}')


def _expression_or_number(answer: str):
  """Of the type 'expr': a Based or a Quantity where it is a number as it stands, else None."""
  return based(answer) or quantity(answer, 'expr', bare=False)


@functools.lru_cache(maxsize=65536)
def _gold(answer: str, kind: str, tolerance):
  """(gold as it is compared, tolerance), read once a question rather than once a sample."""
  if kind not in TYPES:
    raise ValueError(f'answer_type={kind!r} is not supported; there are {", ".join(TYPES)}')
  read = _expression_or_number(answer) if kind == 'expr' else _read(answer, kind)
  if read is None and kind == 'expr':
    if _WORD.fullmatch(answer.strip(' $')):
      raise ValueError(f"{answer=} is a word, and no expression: its answer_type is 'text'")
    read = expressions.measured(answer)
    if read and expressions.SUBSCRIBED.search(read[0]):
      raise ValueError(f'{answer=}: a number in a base stands alone')
    if read and re.search(r'(?<![\\A-Za-z])(?:sqrt|sin|cos|tan|log|ln|exp|frac|pi)[({]', read[0]):
      raise ValueError(f'{answer=} names a function without its backslash')
    if read and (expressions.depth(read[0]) < 0 or {'=', ',', ';', '<', '>'} & set(outside(read[0]))):
      raise ValueError(f'{answer=} is no single expression: its answer_type is one of set, tuple, interval, equation')
  if read is None:
    raise ValueError(f'{answer=} does not parse as {kind!r}')
  try:
    slack = Fraction(str(tolerance or 0))
  except (ValueError, ZeroDivisionError) as e:
    raise ValueError(f'{tolerance=} is not a number') from e
  if slack < 0 or (slack and kind not in ('decimal', 'expr')):
    raise ValueError(f'{tolerance=} with answer_type={kind!r}: wants >= 0, and 0 unless decimal or expr')
  return read, slack


def _read(answer: str, kind: str):
  """The answer as its type, or None."""
  if kind in NUMBERS:
    return quantity(answer, kind)
  if kind in compound.KINDS:
    return compound.read(answer, kind)
  return {'choice': choice, 'text': words, 'expr': expressions.measured}[kind](answer)


_LETTER = re.compile(r'(?:\\text\s*\{)?\(?([A-J])\)?\}?')


def _row_gold(row: dict):
  if row.get('answer') is None or row.get('answer_type') is None:
    raise ValueError(f"row needs 'answer' and 'answer_type', has {sorted(row)}")
  return _gold(str(row['answer']), row['answer_type'], row.get('tolerance'))


# --- the verdict ---
def decide(completion: str, row: dict) -> Score | None:
  """The verdict wherever no wall clock is needed for it; None where math-verify must speak."""
  if row.get('grader') == 'math-verify':
    return None
  gold, slack = _row_gold(row)
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  right = _decide(said, gold, row['answer_type'], slack, str(row['answer']))
  return None if right is None else CORRECT if right else WRONG


@functools.lru_cache(maxsize=16384)  # what one sample of a group says, others say too
def _decide(said: str, gold, kind: str, slack, answer: str) -> bool | None:
  if _LETTER.fullmatch(answer.strip(' $')) and kind in ('expr', 'text') and (letter := option(said)):
    return letter == _LETTER.fullmatch(answer.strip(' $'))[1]  # an option, though its question lists none
  if isinstance(gold, Based):  # the question says in which base; without one the digits stand for it
    found = based(said)
    return found == gold if found else plain(said).upper() == gold.digits
  if isinstance(gold, Quantity):
    # 35\\% may be said as 0.35.
    found = quantity(said, 'rational' if gold.percent and kind == 'int' else kind, bare=kind != 'expr')
    if found is None and (in_ten := based(said)) and in_ten.base == 10:
      found = quantity(in_ten.digits, kind)
    return found is not None and same_quantity(gold, found, slack)
  read = _read(said, kind)
  if read is None or read == gold:
    return read is not None
  if kind == 'text' and ':' in gold:  # a ratio, part by part; 3 to 4 is one
    read = re.sub(r'(?<=[0-9])\s+to\s+(?=[0-9])', ':', read)
  if kind == 'text' and ':' in gold and gold.count(':') == read.count(':'):
    return all(_quick(a, b, answer=a) is True for a, b in zip(gold.split(':'), read.split(':')))
  if kind == 'expr':
    if read[1] and gold[1] and read[1] != gold[1]:
      return False
    if read[0] == gold[0] or not expressions.admissible(read[0], gold[0]):
      return read[0] == gold[0]
    return None if slack else _same(gold[0], read[0])
  if kind not in compound.KINDS:
    return False
  if kind == 'equation':
    return None if all(expressions.admissible(side, ' '.join(gold.parts)) for side in read.parts) else False
  return compound.same(gold, read, functools.partial(_quick, answer=expressions.latex(answer) or answer))


def _quick(gold: str, said: str, *, answer: str) -> bool | None:
  """Whether two parts are equal, without sympy; None where that cannot be said. A number is a number as it stands."""
  a, b = number(gold), number(said)
  if a is not None:
    return a == b
  gold, said = expressions.latex(gold), expressions.latex(said)
  if gold == said:
    return True
  return _same(gold, said) if said and expressions.admissible(said, answer) else False


@functools.lru_cache(maxsize=65536)
def _same(gold: str, said: str) -> bool | None:
  """By value."""
  return False if expressions.differ_in_case(gold, said) else numeric.same(gold, said)


def judge(completion: str, row: dict) -> Score:
  """`decide`, then math-verify. It may take for ever: call it only in a process that may be killed."""
  verdict = decide(completion, row)
  if verdict is not None:
    return verdict
  if row.get('grader') == 'math-verify':
    return _by_math_verify(extract(completion, row), row)
  (gold, slack), kind = _row_gold(row), row['answer_type']
  said = _read(extract(completion, row), kind)
  try:
    if kind == 'expr':
      right = expressions.equal(gold[0], said[0], slack)
    elif kind == 'equation':
      right = expressions.proportional(gold.parts, said.parts)
    else:
      right = compound.same(gold, said, functools.partial(_slow, answer=str(row['answer'])))
  except ValueError as e:
    return error(e)
  return CORRECT if right else WRONG


def _slow(gold: str, said: str, *, answer: str) -> bool:
  quick = _quick(gold, said, answer=expressions.latex(answer) or answer)
  return expressions.equal(expressions.latex(gold), expressions.latex(said)) if quick is None else quick


def _by_math_verify(said: str | None, row: dict) -> Score:
  """What math-verify alone says of the two texts: all types of its own reading, none of our rules."""
  gold, value = expressions.parse_gold(plain(str(row['answer']))), said and expressions.parse(plain(said))
  if gold is None or value is None:
    return error('math-verify does not read it')
  return CORRECT if expressions.verify(gold, value) else WRONG


def second(verdict: bool, completion: str, row: dict) -> bool | tuple | None:
  """Whether a second grader agrees; an item for the pool, whose score is its verdict;
  or None where there is none to ask.

  Numbers, which reading.py decides, are evaluated; all else goes to math-verify, without any rule of ours.
  """
  kind, said = row.get('answer_type'), extract(completion, row)
  if said is None or row.get('tolerance') or kind in ('choice', 'text'):
    return None
  if kind in NUMBERS:
    return numeric.agrees(verdict, str(row['answer']), said)
  return ('math', completion, {**row, 'grader': 'math-verify'}) if len(said) <= MAX_CHARS else None


def score(completion: str, row: dict) -> Score:
  """1 when the answer equals the gold one. ValueError for a row that check_row refuses."""
  verdict = decide(completion, row)
  return pool.shared().score([('math', completion, row)])[0] if verdict is None else verdict


@functools.lru_cache(maxsize=65536)
def _equivalent(a: str, b: str, kind: str) -> bool:
  try:
    gold, _ = _gold(a, kind, None)
    return _decide(b, gold, kind, Fraction(0), a) is True
  except ValueError:
    return False


def equivalent(a: str, b: str, row: dict) -> bool:
  """Whether two answers to a row are one, as far as that can be said without sympy: what a vote may count together."""
  return a == b or _equivalent(a, b, row['answer_type'])


def normalise(answer: str | None, answer_type: str) -> str | None:
  """One string per equivalence class, to vote over: 1/2, \\frac{1}{2} and 0.5 are one candidate.

  What cannot be read as its type votes as its own text; None stays None. Expressions are told apart by their text
  alone: sympy has no place in a vote.
  """
  if answer_type not in TYPES:
    raise ValueError(f'{answer_type=} is not supported; there are {", ".join(TYPES)}')
  if answer is None:
    return None
  read = _expression_or_number(answer) if answer_type == 'expr' else None
  read = _read(answer, answer_type) if read is None else read
  if read is None:
    return ' '.join(answer.split())
  if isinstance(read, Based):
    return f'{read.digits}_{read.base}'
  if isinstance(read, Quantity):
    return str(read.value)
  if answer_type == 'expr':
    return _spaced(read[0])
  if isinstance(read, str):
    return read
  return compound.spelled(read, lambda leaf: normalise(leaf, 'expr'))


def _spaced(latex: str) -> str:
  return re.sub(r'(\\[A-Za-z]+)\s+(?=[A-Za-z])|\s+', lambda m: f'{m[1]} ' if m[1] else '', latex)  # \pi x, never \pix


def check_row(row: dict) -> None:
  """ValueError for a row whose gold does not parse: one such row gives free reward, or none for ever (open-r1)."""
  for item in probes(row):
    verdict = pool.shared().score([item])[0]
    if verdict != CORRECT:
      raise ValueError(unread(row, verdict))


def unread(row: dict, verdict: Score) -> str:
  return f"answer={row['answer']!r} does not parse as {row['answer_type']!r}: {verdict.reason}"


def probes(row: dict) -> list[tuple[str, str, dict]]:
  """What a pool must find right for the row's gold to be one that math-verify reads. ValueError where it is none.

  Not the same text as the gold, so that both sides are read.
  """
  gold, _ = _row_gold(row)
  if row['answer_type'] == 'equation':  # 0 = 0 has no multiple but itself
    return [('math', form.ideal(rf'{gold.parts[0]}+0={gold.parts[1]}', row=row), {**row, 'prefill': ''})]
  items = []
  for leaf in [gold[0]] if row['answer_type'] == 'expr' and not isinstance(gold, (Quantity, Based)) else _leaves(gold):
    if number(leaf) is None and leaf not in ('oo', '-oo') and not (len(leaf) == 1 and leaf.isalpha()):
      leaf = expressions.latex(leaf)
      items.append(('math', form.ideal(leaf), {'answer': f'{leaf}+0', 'answer_type': 'expr'}))
  return items


def _leaves(gold):
  """The expressions in a gold answer that only sympy can read."""
  if isinstance(gold, compound.Parts):
    rows = gold.parts if gold.kind != 'matrix' else [cell for row in gold.parts for cell in row]
    return [leaf for part in rows for leaf in ([part] if isinstance(part, str) else _leaves(part))]
  if isinstance(gold, tuple) and not isinstance(gold, (Quantity, Based)):
    return [end for piece in gold for end in (piece.lo, piece.hi)]
  return []
