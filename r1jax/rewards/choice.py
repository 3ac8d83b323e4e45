"""Accuracy of a multiple choice by its letter: the last line `Answer: C` of the summary, else its last box or <answer>.

The line is what simple-evals' prompt asks for; R1-Zero's template has the letter between tags.
"""

import re

from r1jax.data import answers
from r1jax.rewards import CORRECT, NO_ANSWER, Score, WRONG
from r1jax.rewards import format as form
from r1jax.rewards.math.reading import choice

_LINE = re.compile(r'(?i:answer|答案)[\s*_`]*[:：][\s*_`$(]*(?:\\(?:boxed|text|textbf|mathrm)\s*\{[\s(]*)*'
                   r'([A-J])(?![A-Za-z])')


def extract(completion: str, row: dict) -> str | None:
  """The letter; what stands where one should, where it is none; None where nothing does."""
  text = form.summary(completion, row)
  if text is None:
    return None
  if lines := _LINE.findall(text):
    return lines[-1]
  said = answers.boxed(text, several=False)
  said = form.last_answer(text) if said is None else said
  return (choice(said) or said.strip() or None) if said is not None else None


def decide(completion: str, row: dict) -> Score:
  """No clock is needed: letters are compared."""
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  return CORRECT if said == row['answer'] else WRONG


score = judge = decide


def check_row(row: dict) -> None:
  """ValueError for an answer that is no letter A to J."""
  if not re.fullmatch('[A-J]', str(row.get('answer'))):
    raise ValueError(f"answer={row.get('answer')!r} is no letter A to J")


def normalise(answer: str | None, answer_type: str) -> str | None:
  del answer_type
  return answer
