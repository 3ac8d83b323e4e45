"""Rewards: one module each, found by file name, and each with score(completion, row) -> Score.

A row is a dict: 'answer', 'answer_type', 'tolerance', 'language', 'tests', and 'prefill', the text that already
stood in the prompt after 'Assistant:'. A reward sees prefill + completion, tags included (paper, 2.2.2).
"""

import dataclasses
import functools
import importlib
import pkgutil
import types

_PARTS = ('pool', 'sandbox', 'judge')  # siblings that rewards stand on; they score nothing themselves
_RULES = {'truncated': 'length', 'overlong': 'length', 'repetition': 'length'}  # rules that share a module


@dataclasses.dataclass(frozen=True)
class Score:
  """A verdict.

  Attributes:
    value: the reward; 0..1, for the rules of length.py -1..0.
    reason: 'correct' | 'wrong' or 'wrong: ...' | 'measured' (for what is no verdict) | 'no answer' (none was given
      where it is looked for) | 'timeout' (the judge was killed at its wall clock) | 'error: ...' (the judge failed: no
      fault of the completion, counted by Pool.errors).
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
def get(name: str) -> types.ModuleType | types.SimpleNamespace:
  """The module r1jax.rewards.<name>, or a rule of one. ValueError, one line, when there is no such reward.

  Beside score, a reward may have: decide (the verdict where no clock is needed, else None) with judge (the rest, in a
  process that may be killed) and deadline(row) in seconds; check_row; start; extract and normalise; IDEAL_SCORE, what
  an ideal completion scores (1 if not said otherwise, None where nobody can say).
  """
  if name in _RULES:
    module = get(_RULES[name])
    return types.SimpleNamespace(score=getattr(module, name), IDEAL_SCORE=module.IDEAL_SCORE)
  known = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS)
  if name not in known:
    raise ValueError(f'no reward {name!r}; there are {", ".join(sorted((*known, *_RULES)))}')
  return importlib.import_module(f'{__name__}.{name}')
