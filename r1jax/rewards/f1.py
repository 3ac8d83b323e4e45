"""DROP's F1 of an answer in words (Dua et al. 2019, section 5): words in common, whichever order they stand in.

An answer is a bag of words without case, punctuation and articles, numbers by their value. Where the gold answer has
numbers, one of them must be among those said, or the score is 0. Of several gold answers ('|' between them) the best
counts, as simple-evals has it.
"""

import re
import string

from r1jax.data import answers
from r1jax.rewards import NO_ANSWER, Score
from r1jax.rewards import format as form

METRIC = 'f1'  # the mean of the values is what is reported
IDEAL_SCORE = 1.0
_LINE = re.compile(r'(?i)answer[*_`]*\s*[:：]\s*([^\n]+)')
_ARTICLES = re.compile(r'\b(?:a|an|the)\b')
_PUNCTUATION = str.maketrans('', '', string.punctuation)


def _number(word: str) -> float | None:
  try:
    return float(word)
  except ValueError:
    return None


def words(answer: str) -> frozenset[str]:
  """The bag, in which a word counts once: numbers as str(float), others without what does not count."""
  out = []
  for word in re.split('[ -]', answer.lower()):
    word = word if _number(word) is not None else word.translate(_PUNCTUATION)
    word = str(_number(word)) if _number(word) is not None else word
    out += _ARTICLES.sub(' ', word).split()
  return frozenset(out)


def f1(said: str, gold: str) -> float:
  """0..1, harmonic mean of precision and recall of words."""
  ours, theirs = words(said), words(gold)
  numbers = {word for word in theirs if _number(word) is not None}
  if numbers and not numbers & ours:
    return 0.0
  common = len(ours & theirs)
  precision, recall = (common / len(bag) if bag else 1.0 for bag in (ours, theirs))
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def extract(completion: str, row: dict) -> str | None:
  """Of the summary, or its last <answer>: what stands behind the last `Answer:`, else in the last box, else all."""
  text = form.summary(completion, row)
  if text is None:
    return None
  text = form.last_answer(text) or text
  lines = _LINE.findall(text)
  said = lines[-1] if lines else text
  box = answers.boxed(said, several=False)
  return (said if box is None else box).strip() or None


def decide(completion: str, row: dict) -> Score:
  """The best F1 over the gold answers, rounded to 1e-4 as DROP's own (in per cent, to 0.01)."""
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  return Score(round(max(f1(said, gold) for gold in row['answer'].split('|')), 4), 'measured')


score = judge = decide


def check_row(row: dict) -> None:
  """ValueError for a row whose answers hold no word."""
  if not any(words(gold) for gold in str(row.get('answer') or '').split('|')):
    raise ValueError(f"answer={row.get('answer')!r} holds no word")


def normalise(answer: str | None, answer_type: str) -> str | None:
  del answer_type
  return None if answer is None else ' '.join(sorted(words(answer)))
