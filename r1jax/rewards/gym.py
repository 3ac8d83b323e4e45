"""Accuracy reward of reasoning-gym's tasks by each task's own verifier: many have more than one right answer.

A row has 'gym': {'task', 'params', 'seed', 'size', 'index'}, from which its entry is made again: entries hold tuples
and other things that do not survive JSON. Only full marks count: several verifiers give a few hundredths for any
answer.
"""

import functools
import inspect
import json
import re

from r1jax.rewards import CORRECT, NO_ANSWER, Score, WRONG
from r1jax.rewards import math
from r1jax.rewards.math.reading import plain

# Many verifiers call eval or sympy.parse_expr on the answer: these see numbers, operators and single letters alone, and
# the functions that answers of theirs may use. `integrate(...)` would box the question, and `__import__` anything.
_EVALUATES = re.compile(r'\b(?:eval|parse_expr|sympify|literal_eval|exec)\(')
_SAFE = re.compile(r'(?:[0-9\s.,+*/^()\[\]{}<>!|&~%:;-]|\b(?:sin|cos|tan|exp|log|sqrt|pi|I)\b'
                   r'|(?<![A-Za-z_])[A-Za-z](?![A-Za-z_]))*')
FIELDS = {'task', 'params', 'seed', 'size', 'index'}
IDEAL_SCORE = None  # some tasks state no answer
extract = math.extract


def decide(completion: str, row: dict) -> Score | None:
  """NO_ANSWER without one; right where it is the stated answer to the letter;
  else None: a verifier may take for ever."""
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  return CORRECT if row.get('answer') and str(row['answer']).strip() in (said, _bare(said)) else None


def _bare(said: str) -> str:
  """Without what chat models put round an answer: `5`, **5**, $5$, \\text{5}."""
  return plain(said).strip()


@functools.lru_cache(maxsize=256)
def _verifier(task: str, params: str, seed: int, size: int, index: int):
  import reasoning_gym  # seconds, which rows of other rewards do not pay

  data = reasoning_gym.create_dataset(task, seed=seed, size=size, **json.loads(params))
  entry = data[index]
  source = inspect.getsource(inspect.getmodule(type(data)))
  evaluates = bool(_EVALUATES.search(source))
  return lambda said: 0.0 if evaluates and not _SAFE.fullmatch(said) else data.score_answer(said, entry)


def judge(completion: str, row: dict) -> Score:
  """The package's verdict."""
  verdict = decide(completion, row)
  if verdict is not None:
    return verdict
  gym = row['gym']
  verify = _verifier(gym['task'], json.dumps(gym['params'], sort_keys=True), gym['seed'], gym['size'], gym['index'])
  said = extract(completion, row)
  return CORRECT if any(verify(text) >= 1.0 for text in dict.fromkeys((said, _bare(said))) if text) else WRONG


def deadline(row: dict) -> float:
  return 30.0  # for the first of a worker, which imports the package; verifiers that search take seconds


def score(completion: str, row: dict) -> Score:
  verdict = decide(completion, row)
  return judge(completion, row) if verdict is None else verdict


def check_row(row: dict) -> None:
  """ValueError for a row that lacks what its entry is made from."""
  gym = row.get('gym')
  if not isinstance(gym, dict) or set(gym) != FIELDS:
    raise ValueError(f"a row for the reward 'gym' needs 'gym' with {', '.join(sorted(FIELDS))}; it has {gym}")


def normalise(answer: str | None, answer_type: str) -> str | None:
  return None if answer is None else ' '.join(answer.split())
