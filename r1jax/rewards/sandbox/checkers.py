"""Verdicts that need a program of the data set's: a special checker, or HumanEval's check(candidate).
In boxes of their own.

The program under test never shares a box with them. check(candidate) is run twice: once with the reference, to record
the calls that it makes; and once on what the program returned for those calls, value by value.
"""

import functools
import json

from r1jax.rewards.sandbox import values
from r1jax.rewards.sandbox.programs import Program, Reply, output_of
from r1jax.rewards.sandbox.verdicts import Limits, Verdict

with open(values.__file__, encoding='utf-8') as _file:
  _VALUES = _file.read()

# {0} check, {1} source of values.py, {2} the reference or '', {3} name of the function; all but the first as literals.
_COMMON = """
import random as _random, sys as _sys
_values = {{'__name__': 'values'}}
exec({1}, _values)
_nodes = {{name: globals().get(name) or _values[name] for name in ('ListNode', 'TreeNode')}}
_random.seed(0)
"""
_RECORD = """{0}
""" + _COMMON + """
_own = dict(globals())
exec({2}, _own)
_calls, _name = [], {3}.rpartition('.')[2]
if {2} or _name in _own or 'Solution' in _own:
  _right = _own[_name] if _name in _own else getattr(_own['Solution'](), _name)
else:
  class _Any:  # without a reference: what is equal to all that it is compared with
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda self, other: True
    __hash__ = None
  _right = lambda *args, **kwargs: _Any()
def _candidate(*args, **kwargs):
  _calls.append({{'items': [_values['plain'](list(args)), _values['plain'](kwargs)]}})
  return _right(*args, **kwargs)
check(_candidate)
_sys.stdout.write(_values['dumps'](_calls))
"""
_REPLAY = """{0}
""" + _COMMON + """
_found = iter(_values['loads'](_sys.stdin.read()))
def _changed(old, new):
  if isinstance(old, list):
    old[:] = new
  elif isinstance(old, (dict, set)):
    old.clear()
    old.update(new)
  elif hasattr(old, '__dict__') and type(old) is type(new):
    old.__dict__.update(new.__dict__)
def _candidate(*args, **kwargs):
  try:
    returned, changed = next(_found)
  except StopIteration:  # which would end a check's own loop in silence
    raise AssertionError('the program has returned less often') from None
  given = (*args, *kwargs.values())
  for at, new in changed:
    _changed(given[at], _values['fancy'](new, _nodes))
  return _values['fancy'](returned, _nodes)
try:
  check(_candidate)
  print('AC')
except Exception as e:
  print('WA', type(e).__name__)
"""


@functools.lru_cache(maxsize=4096)
def calls(check: str, call: str, reference: str = '') -> list:
  """Arguments, as tagged JSON, of the calls that check makes of the reference (of its own, without one; of what is
  equal to anything, where there is none either).

  Raises:
    ValueError: it does not accept it, or calls nothing.
  """
  output = output_of(_RECORD.format(check, repr(_VALUES), repr(reference), repr(call)), '', output_bytes=64 << 20)
  try:
    found = json.loads(output or '')
  except ValueError as e:
    why = 'does not accept its own reference' if reference or _defines(check, call) else (
        "cannot be tried: give the test its 'reference', source of a right")
    raise ValueError(f'check(candidate) {why} {call}') from e
  if not found:
    raise ValueError(f'check(candidate) never calls {call}')
  return found


def _defines(check: str, call: str) -> bool:
  return 'class Solution' in check or f'def {call.rpartition(".")[2]}' in check


def checked(check: str, returned: str) -> Verdict:
  """What check says of values returned earlier, tagged JSON. A check that fails in another way than that says
  nothing."""
  return _word(output_of(_REPLAY.format(check, repr(_VALUES), '', ''), returned))


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
