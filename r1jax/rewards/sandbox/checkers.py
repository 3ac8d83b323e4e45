"""Verdicts that need a program of the data set's: a special checker, or HumanEval's check(candidate).
In boxes of their own.

The program under test never shares a box with them. check(candidate) is run twice: once with the reference, to record
the calls that it makes; and once on what the program returned for those calls, value by value.
"""

import functools
import json

from r1jax.rewards.sandbox.programs import Program, Reply, output_of
from r1jax.rewards.sandbox.verdicts import Limits, Verdict

_COMMON = '''
import json as _json, random as _random, sys as _sys
def _tag(v):
  if isinstance(v, list):
    return [_tag(x) for x in v]
  if isinstance(v, (tuple, set, frozenset)):
    return {'__r1jax__': 'tuple' if isinstance(v, tuple) else 'set', 'items': [_tag(x) for x in v]}
  if isinstance(v, dict):
    return {'__r1jax__': 'dict', 'items': [[_tag(k), _tag(x)] for k, x in v.items()]}
  if isinstance(v, complex):
    return {'__r1jax__': 'complex', 'items': [v.real, v.imag]}
  return v
def _untag(v):
  if isinstance(v, list):
    return [_untag(x) for x in v]
  if isinstance(v, dict):
    items = [_untag(x) for x in v['items']]
    return complex(*items) if v['__r1jax__'] == 'complex' else {'tuple': tuple, 'set': set, 'dict': dict}[v['__r1jax__']](items)
  return v
_random.seed(0)
'''
_RECORD = _COMMON + '''
_calls = []
def _candidate(*args):
  _calls.append(_tag(args)['items'])
  return %(call)s(*args)
check(_candidate)
_sys.stdout.write(_json.dumps(_calls))
'''
_REPLAY = _COMMON + '''
_values = iter(_untag(_json.loads(_sys.stdin.read())))
def _candidate(*_):
  return next(_values)
try:
  check(_candidate)
  print('AC')
except Exception as e:
  print('WA', type(e).__name__)
'''


@functools.lru_cache(maxsize=4096)
def calls(check: str, call: str) -> list:
  """Arguments, as tagged JSON, of the calls that check makes when the candidate is the reference it was written with.

  Raises:
    ValueError: it does not accept its own reference.
  """
  output = output_of(check + _RECORD % {'call': call}, '')
  try:
    return json.loads(output or '')
  except ValueError as e:
    raise ValueError(f'check(candidate) does not accept its own reference {call}') from e


def checked(check: str, values: list) -> Verdict:
  """What check says of values returned earlier. A check that fails in another way than that says nothing."""
  return _word(output_of(check + _REPLAY, json.dumps(values)))


def special(checker: dict, stdin: str, output: bytes, expected: str | None) -> Verdict:
  """A special checker's word."""
  given = json.dumps({'stdin': stdin, 'output': output.decode(errors='replace'), 'expected': expected})
  with Program(checker['code'], checker['language'], Limits()) as program:
    reply = program.failed or program.run(given)
  if not isinstance(reply, Reply):
    return Verdict.IE  # its box failed, or it does not compile
  # A checker that dies of an output has not accepted it; were that an error, a policy could stop the run with it.
  ended = (reply.status, reply.code) == ('exit', 0)
  return _word(reply.stdout.decode(errors='replace') or 'WA') if ended else Verdict.WA


def _word(said: str | None) -> Verdict:
  """AC or WA; a box that failed says nothing about the program."""
  if said is None or not said.split():
    return Verdict.IE
  return Verdict.AC if said.split()[0] == 'AC' else Verdict.WA
