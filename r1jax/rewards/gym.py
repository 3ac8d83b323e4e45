"""Accuracy reward of reasoning-gym's tasks by each task's own verifier: many have more than one right answer.

A row has 'gym': {'task', 'entry'}, with the entry as the package made it. Only full marks count: several verifiers give
a few hundredths for an answer that is merely there.
"""

import functools
import json

from r1jax.rewards import CORRECT, NO_ANSWER, Score, WRONG
from r1jax.rewards import math

extract = math.extract


def decide(completion: str, row: dict) -> Score | None:
  """NO_ANSWER without one; right where it is the reference answer to the letter; else None: a verifier may take for ever."""
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  return CORRECT if said == str(row['answer']).strip() else None


@functools.lru_cache(maxsize=256)
def _verifier(task: str):
  import reasoning_gym  # a second, which rows of other rewards do not pay

  return reasoning_gym.get_score_answer_fn(task)


def judge(completion: str, row: dict) -> Score:
  """The package's verdict."""
  verdict = decide(completion, row)
  if verdict is not None:
    return verdict
  return CORRECT if _verifier(row['gym']['task'])(extract(completion, row), row['gym']['entry']) >= 1.0 else WRONG


def deadline(row: dict) -> float:
  return 20.0  # for the first of a worker, which imports the package; verifiers that search take seconds


def score(completion: str, row: dict) -> Score:
  verdict = decide(completion, row)
  return judge(completion, row) if verdict is None else verdict


def check_row(row: dict) -> None:
  """ValueError for a row that lacks what its verifier reads."""
  gym = row.get('gym')
  if not isinstance(gym, dict) or not {'task', 'entry'} <= set(gym) or not str(row.get('answer') or '').strip():
    raise ValueError(f"a row for the reward 'gym' needs 'answer' and 'gym': {{'task', 'entry'}}, has {sorted(row)}")
  json.dumps(gym)  # it travels to a worker


def normalise(answer: str | None, answer_type: str) -> str | None:
  return None if answer is None else ' '.join(answer.split())
