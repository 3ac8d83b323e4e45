"""Runs programs that a model wrote, on tests whose expected outputs they never see, and says what came of each.

  judge(code, 'python', [{'stdin': '2 3', 'stdout': '5'}]) -> [Verdict.AC]

A test is one of
  {'stdin', 'stdout'}             a whole program; 'tolerance': numbers may differ by so much
  {'stdin', 'checker'}            the same with a special checker {'language', 'code'}, which runs in a box of its own,
                                  reads {"stdin", "output", "expected"} as JSON and prints AC for what is right
  {'call', 'args', 'expected'}    a function, or a method of class Solution; 'inplace': i judges argument i afterwards
  {'call', 'check'}               as in HumanEval: `check` is Python that defines check(candidate) and a reference of
                                  the function; it sees, in a box of its own, what the program's function returned

boxes.py how a program is confined, selftest.py whether it holds; inside.py what runs in there; seccomp.py,
languages.py, drivers.py; programs.py compiles and runs; checkers.py and compare.py look at what came out.
"""

import json
import re

from r1jax.rewards.sandbox import checkers
from r1jax.rewards.sandbox import compare
from r1jax.rewards.sandbox import languages
from r1jax.rewards.sandbox.boxes import level
from r1jax.rewards.sandbox.programs import Program, Reply
from r1jax.rewards.sandbox.verdicts import Limits, Result, Verdict
from r1jax.types import UserError

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
  if has(stdin=str, checker=dict) and {'language', 'code'} <= set(test['checker']):
    languages.require(test['checker']['language'])
    return 'stdin'
  if has(stdin=str, stdout=str):
    return 'stdin'
  if has(call=str, check=str):
    return 'check'
  if has(call=str, args=(list, tuple)) and 'expected' in test:
    return 'call'
  raise UserError("a test has 'stdin' and 'stdout', texts, or 'call', 'args' and 'expected'; "
                  f'this one has {sorted(test)}')


def _test(program: Program, test: dict, limits: Limits) -> Result:
  form = check_test(test)
  if form == 'stdin':
    reply = program.run(test['stdin'])
  else:
    calls = checkers.calls(test['check'], test['call']) if form == 'check' else compare.tagged([list(test['args'])])
    inplace = test.get('inplace', -1)
    reply = program.run('' if program.name == 'python' else f'{inplace} {json.dumps(calls)}',
                        {'name': test['call'], 'calls': calls, 'inplace': inplace})
  return reply if isinstance(reply, Result) else _verdict(reply, test, form, limits)


def _verdict(reply: Reply, test: dict, form: str, limits: Limits) -> Result:
  """Outside of the box: what the program did, compared with what was expected."""
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
    return right(compare.same_output(reply.stdout, test['stdout'], test.get('tolerance', 0.0)))
  try:
    tags = json.loads(reply.returned)
    values = compare.untagged(tags)
  except (ValueError, RecursionError):
    return out(Verdict.RE, 'it ended without a result')
  if not isinstance(values, list) or (form == 'call' and len(values) != 1):
    return out(Verdict.RE, 'it ended with another result than its own')
  if form == 'check':
    return out(checkers.checked(test['check'], tags))
  return right(compare.same_value(values[0], test['expected'], test.get('tolerance', 1e-6)))
