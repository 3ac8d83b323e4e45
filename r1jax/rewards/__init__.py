"""Rewards: one module each, found by file name, and each with score(completion, row) -> Score.

A row is a dict: 'answer', 'answer_type', 'tolerance', 'language', 'tests', and 'prefill', the text that already
stood in the prompt after 'Assistant:'. A reward sees prefill + completion, tags included (paper, 2.2.2).
"""

import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
from math import isfinite  # `math` is a module of this package
import pkgutil
import types

from r1jax import own

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
def _installed() -> dict:
  """Name -> entry point of the rewards that installed packages bring: group 'r1jax.rewards'."""
  return {entry.name: entry for entry in importlib.metadata.entry_points(group='r1jax.rewards')}


def _own(name: str) -> types.SimpleNamespace:
  """A reward of a user's file or of an installed package: a function, or a module with one named score.

  It is only ever called in a process of the pool, under its deadline, or the function's own `deadline` in seconds.
  """
  if name in _installed():
    found = _installed()[name].load()
    found = getattr(found, 'score', found)
  else:
    found = own.function(name)

  def score(completion: str, row: dict) -> Score:
    try:
      said = found(completion, row)
    except MemoryError:  # a judge ends then, and another one takes its place
      raise
    except Exception as e:  # pylint: disable=broad-except  a user's may raise anything: where it did is what helps
      return error(own.told(e, found))
    if isinstance(said, Score):
      value, reason = said.value, str(said.reason or 'measured')
    else:
      value, reason = said, 'measured'
    if isinstance(value, bool) or isinstance(value, (int, float)) or hasattr(value, '__float__'):
      if isfinite(float(value)):
        return Score(float(value), reason)
    return error(f'{name} gave {said!r}, no number')

  seconds = getattr(found, 'deadline', None)
  if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0):
    raise ValueError(f'{name}.deadline={seconds!r} is no number of seconds')
  more = {'deadline': lambda row: float(seconds)} if seconds else {}
  return types.SimpleNamespace(score=score, judge=score, decide=lambda completion, row: None, IDEAL_SCORE=None,
                               OWN=True, **more)


@functools.lru_cache(maxsize=None)
def get(name: str) -> types.ModuleType | types.SimpleNamespace:
  """The module r1jax.rewards.<name>, a rule of one, or a user's own 'FILE.py:NAME'.

  Raises:
    ValueError: no such reward; UserError: no such file, or no such function in it.

  Beside score, a reward may have: decide (the verdict where no clock is needed, else None) with judge (the rest, in a
  process that may be killed) and deadline(row) in seconds; check_row; start; extract and normalise; IDEAL_SCORE, what
  an ideal completion scores (1 if not said otherwise, None where nobody can say).
  """
  if ':' in name or name in _installed():
    return _own(name)
  if name == 'judge':  # no rule: who has a judge asks it (stages/judges.py), for all others it is none
    return types.SimpleNamespace(score=lambda completion, row: error('no judge is given'), IDEAL_SCORE=None)
  if name in _RULES:
    module = get(_RULES[name])
    return types.SimpleNamespace(score=getattr(module, name), IDEAL_SCORE=module.IDEAL_SCORE)
  known = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS)
  if name not in known:
    there = sorted(('accuracy', *known, *_RULES, *_installed()))
    near = difflib.get_close_matches(name, there, 1)
    raise ValueError(f'no reward {name!r}' + (f': {near[0]}? There' if near else '; there')
                     + f' are {", ".join(there)}, or \'FILE.py:NAME\'')
  return importlib.import_module(f'{__name__}.{name}')
