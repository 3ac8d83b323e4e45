"""Runs programs that a model wrote, on tests whose expected outputs they never see, and says what came of each.

  judge(code, 'python', [{'stdin': '2 3', 'stdout': '5'}]) -> [Verdict.AC]

A test is one of
  {'stdin', 'stdout'}             a whole program; 'tolerance': floats may differ by so much
  {'stdin', 'checker'}            the same with a special checker {'language', 'code'}, which runs in a box of its own,
                                  reads {"stdin", "output", "expected"} as JSON and prints AC for what is right
  {'call', 'args', 'expected'}    a function, or a method of class Solution; args a list, or an object for a call by
                                  keyword; 'inplace': i judges argument i afterwards; 'types', 'returns': annotations
                                  that name ListNode or TreeNode, where the program's own need not say so
  {'call', 'check'}               as in HumanEval: `check` is Python that defines check(candidate); it sees, in a box of
                                  its own, what the program's function returned for the arguments that it gives to
                                  'reference', source of a right one (else `check` defines it, or accepts anything)
'compare' of the first and third: one or several of 'tokens', 'any_case', 'any_order', 'any_order_within' (compare.py).

boxes.py how a program is confined, places.py what boxes share on a machine, selftest.py whether it holds; inside.py and
usage.py what runs in there; seccomp.py, solution.py, values.py what Python does there; languages.py, drivers.py;
programs.py compiles and runs; checkers.py and compare.py look at what came out.
"""

import json
import re

from r1jax.exceptions import UserError
from r1jax.rewards.sandbox import checkers
from r1jax.rewards.sandbox import compare
from r1jax.rewards.sandbox import languages
from r1jax.rewards.sandbox import values
from r1jax.rewards.sandbox.boxes import level
from r1jax.rewards.sandbox.programs import Program, Reply
from r1jax.rewards.sandbox.verdicts import Limits, Result, Verdict

SYNTAX = 77  # exit code of inside.py for Python that does not compile
_SIGXCPU, _SIGXFSZ = 24, 25
_BROKEN = {'wall': Verdict.TLE, 'cpu': Verdict.TLE, 'memory': Verdict.MLE, 'output': Verdict.OLE, 'disk': Verdict.OLE}
_OUT_OF_MEMORY = re.compile(r'\bMemoryError\b|bad_alloc|OutOfMemory|heap out of memory')

_OUT_OF_DISK = re.compile(r'No space left on device|File too large')


def judge(code: str, language: str, tests: list[dict], limits: Limits = Limits(), *,
          fresh_boxes: bool = False) -> list[Verdict]:
  """One verdict a test, in order.

  Each test is a process of its own in a box that is emptied between tests (fresh_boxes: a box of its own).

  Raises:
    UserError: no such language, no toolchain for it, no isolation here, or a test of no known form.
  """
  return [result.verdict for result in run(code, language, tests, limits, fresh_boxes=fresh_boxes)]


def run(code: str, language: str, tests: list[dict], limits: Limits = Limits(), *,
        fresh_boxes: bool = False) -> list[Result]:
  """judge, with what each test took and why."""
  for test in tests:
    check_test(test)
  results: list[Result | None] = [None] * len(tests)
  for call in dict.fromkeys(test.get('call') for test in tests):  # a program is compiled once for each function called
    with Program(code, language, limits, call=call, fresh=fresh_boxes) as program:
      for i, test in enumerate(tests):
        if test.get('call') == call:
          results[i] = program.failed or _test(program, test, limits)
  return results


def check_test(test: dict) -> str:
  """The form of a test: 'stdin' | 'call' | 'check'. UserError for any other, or for values of another kind."""
  has = lambda **kinds: all(isinstance(test.get(name), kind) for name, kind in kinds.items())
  if not isinstance(test.get('tolerance', 0.0), (int, float)):
    raise UserError(f'tolerance={test["tolerance"]!r} is not a number')
  if (unknown := set(_how(test)) - set(compare.HOW)) or (test.get('compare') and test.get('check')):
    raise UserError(f"compare={test['compare']!r}: " + (f'one or several of {", ".join(compare.HOW)}' if unknown else
                                                        "'check' says itself what is right"))
  if has(stdin=str, checker=dict) and {'language', 'code'} <= set(test['checker']):
    languages.require(test['checker']['language'])
    return 'stdin'
  if has(stdin=str, stdout=str):
    return 'stdin'
  if has(call=str, check=str):
    return 'check'
  if has(call=str, args=(list, tuple, dict)) and 'expected' in test:
    return 'call'
  raise UserError("a test has 'stdin' and 'stdout', texts, or 'call', 'args' and 'expected'; "
                  f'this one has {sorted(test)}')


def _how(test: dict) -> tuple[str, ...]:
  how = test.get('compare') or ()
  return tuple(how.replace(',', ' ').split()) if isinstance(how, str) else tuple(how)


def _test(program: Program, test: dict, limits: Limits) -> Result:
  form = check_test(test)
  if form == 'stdin':
    expected = test.get('stdout') or ''
    reply = program.run(test['stdin'], output_bytes=_room(expected))
    return reply if isinstance(reply, Result) else _verdict(reply, test, form, limits)
  inplace, args = test.get('inplace', -1), test.get('args')
  if form == 'check':
    calls = checkers.calls(test['check'], test['call'], test.get('reference', ''))
  elif isinstance(args, dict):
    calls = [{'items': [[], values.plain(args)]} if program.name == 'python' else list(args.values())]
  else:
    calls = values.plain([list(args)])
  call = {'name': test['call'], 'calls': calls, 'inplace': inplace, 'seen': form == 'check',
          'types': test.get('types'), 'returns': test.get('returns')}
  stdin = '' if program.name == 'python' else f'{inplace} {json.dumps(calls)}'
  reply = program.run(stdin, call, output_bytes=_room(json.dumps(values.plain(test.get('expected')))))
  return reply if isinstance(reply, Result) else _verdict(reply, test, form, limits, len(calls))


def _room(expected: str) -> int:
  """Bytes that a program may say where so much is expected: white space, and a mistake, may be said beside it."""
  return 2 * len(expected.encode('utf-8', 'replace')) + (64 << 10)


def _verdict(reply: Reply, test: dict, form: str, limits: Limits, calls: int = 0) -> Result:
  """Outside of the box: what the program did, compared with what was expected. calls: how many must have returned."""
  last = ' '.join(reply.stderr.decode(errors='replace').split())[-200:]
  out = lambda verdict, detail=last: Result(verdict, reply.seconds, detail)
  if reply.status in _BROKEN:
    return out(_BROKEN[reply.status])
  if reply.seconds >= limits.seconds:
    return out(Verdict.TLE)
  broken = Verdict.MLE if _OUT_OF_MEMORY.search(last) else Verdict.OLE if _OUT_OF_DISK.search(last) else Verdict.RE
  if reply.status == 'signal':
    return out({_SIGXCPU: Verdict.TLE, _SIGXFSZ: Verdict.OLE}.get(reply.code, broken), f'signal {reply.code}. {last}')
  if reply.code:
    return out(Verdict.CE if reply.code == SYNTAX and 'Error' in last else broken)
  right = lambda yes: out(Verdict.AC if yes else Verdict.WA)
  if form == 'stdin':
    if 'checker' in test:
      return out(checkers.special(test['checker'], test['stdin'], reply.stdout, test.get('stdout')))
    return right(compare.same_output(reply.stdout, test['stdout'], test.get('tolerance', 0.0), _how(test)))
  try:
    nodes = {'ListNode': values.ListNode, 'TreeNode': values.TreeNode} if form == 'check' else None
    found = compare.untagged(reply.returned.decode(errors='replace'), nodes)
  except ValueError:
    return out(Verdict.RE, 'it ended without a result')
  if not isinstance(found, list) or len(found) != calls:
    return out(Verdict.RE, 'it ended with another result than its own')
  if form == 'check':
    return out(checkers.checked(test['check'], reply.returned.decode()))
  try:
    return right(compare.same_value(found[0], test['expected'], test.get('tolerance', 1e-6), _how(test)))
  except (ArithmeticError, ValueError):  # it compares with nothing: Decimal('sNaN'), a fraction beyond all floats
    return right(False)
