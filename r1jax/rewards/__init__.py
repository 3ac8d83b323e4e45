"""Rewards: one module each, found by file name, and each with score(completion, row) -> Score.

A row is a dict: 'answer', 'answer_type', 'tolerance', 'language', 'tests', and 'prefill', the text that already
stood in the prompt after 'Assistant:'. A reward sees prefill + completion, tags included (paper, 2.2.2).
"""

import dataclasses
import functools
import importlib
import pkgutil
import types

_PARTS = ('pool', 'sandbox')  # siblings that rewards stand on; they score nothing themselves


@dataclasses.dataclass(frozen=True)
class Score:
  """A verdict.

  Attributes:
    value: the reward; 0..1 for every rule.
    reason: 'correct' | 'wrong' | 'no answer' (none was given where it is looked for) | 'timeout' (the judge was
      killed at its wall clock) | 'error: ...' (the judge failed: no fault of the completion, counted by Pool.errors).
  """
  value: float
  reason: str


CORRECT, WRONG = Score(1.0, 'correct'), Score(0.0, 'wrong')
NO_ANSWER, TIMEOUT = Score(0.0, 'no answer'), Score(0.0, 'timeout')


def error(what: object) -> Score:
  """The verdict of a judge that failed. One line, and short: it goes into samples.jsonl."""
  text = f'{type(what).__name__}: {what}' if isinstance(what, BaseException) else str(what)
  return Score(0.0, f'error: {" ".join(text.split())[:120]}')


@functools.lru_cache(maxsize=None)
def get(name: str) -> types.ModuleType:
  """The module r1jax.rewards.<name>. ValueError, one line, when there is no such reward."""
  known = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS)
  if name not in known:
    raise ValueError(f'no reward {name!r}; there are {", ".join(known)}')
  return importlib.import_module(f'{__name__}.{name}')
