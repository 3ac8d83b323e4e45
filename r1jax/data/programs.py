"""Programming rows as published sets write them -> {question, tests, code_language, reference}, for the reward `code`.

  ours               tests: [{stdin, stdout} | {call, args, expected} | ...] (rewards/sandbox has the forms)
  HumanEval          prompt, canonical_solution, test, entry_point
  MBPP               text or prompt, code, test_list, test_setup_code or test_imports
  LeetCode           query, prompt (what is imported), completion, entry_point 'Solution().f', test, starter_code
  LiveCodeBench      question_content, starter_code, public_test_cases, private_test_cases, metadata
  APPS, TACO         question, solutions, input_output {inputs, outputs, fn_name}, starter_code
  DeepCoder, PRIME   tests, or reward_model.ground_truth, as a text of JSON of either kind
  CodeContests       description, public_tests, private_tests, generated_tests {input, output}, solutions
  Codeforces         description, examples, official_tests [{input, output}], generated_checker
"""

import ast
import base64
import io
import json
import pickle
import re
import zlib

from r1jax.data import files

QUESTION = ('question', 'problem', 'question_content', 'description', 'prompt', 'text', 'problem_description',
            'content', 'instruction', 'messages', 'conversations')
# What is turned into tests and need not travel with the row.
_RAW = ('test', 'test_list', 'challenge_test_list', 'input_output', 'public_test_cases', 'private_test_cases',
        'public_tests', 'private_tests', 'generated_tests', 'official_tests', 'examples', 'solutions',
        'incorrect_solutions', 'canonical_solution', 'completion', 'generated_checker', 'reward_model')


class Unreadable(ValueError):
  """Tests of no known form; the text says which."""


def find(row: dict) -> dict | None:
  """The row with tests of our own forms, and where it has them a right program and its language; None: no program is
  asked for. `question` is that of the first name of QUESTION it has, as it stands there.

  Raises:
    Unreadable: it has tests, in no form that is known.
  """
  for read in (_check, _mbpp, _livecodebench, _code_contests, _tests, _codeforces):
    found = read(row)
    if found is not None:
      rest = {k: v for k, v in row.items() if k not in _RAW}
      found = {**rest, 'question': _first(row, QUESTION), **{k: v for k, v in found.items() if v is not None}}
      return _with_starter(found)
  return None


def _first(row: dict, names):
  return next((row[name] for name in names if row.get(name) is not None), None)


def _check(row: dict) -> dict | None:
  """HumanEval's and LeetCode's check(candidate)."""
  test, call = row.get('test'), row.get('entry_point')
  if not isinstance(test, str) or not isinstance(call, str) or 'check' not in test:
    return None
  prompt, body = row.get('prompt') or '', row.get('canonical_solution')
  if isinstance(body, str):  # the prompt is the head of the function, the solution goes on from it
    question = f'Write this Python function, whole, in a ```python block:\n\n{prompt}'
    return {'question': question, 'reference': prompt + body, 'code_language': 'python',
            'tests': [{'call': call, 'check': f'{prompt}{body}\n{test}', 'reference': prompt + body}]}
  reference = row.get('completion') or row.get('solution')
  if isinstance(reference, str) and (blocks := re.findall(r'```\w*\n(.*?)```', reference, re.S)):
    reference = blocks[-1]
  imports = prompt if re.match(r'\s*(import|from) ', prompt) else ''
  whole = f'{imports}\n{reference}' if isinstance(reference, str) else None
  return {'question': _first(row, ('query', 'problem_description', 'question', 'problem', 'content', 'prompt')),
          'reference': whole, 'code_language': 'python',
          'tests': [{'call': call, 'check': f'{imports}\n{test}', **({'reference': whole} if whole else {})}]}


def _mbpp(row: dict) -> dict | None:
  asserts, code = row.get('test_list'), row.get('code')
  if not isinstance(asserts, list) or not asserts or not isinstance(code, str):
    return None
  defined = re.findall(r'^def +(\w+)', code, re.M)
  called = [name for name in defined if re.search(rf'\b{name}\s*\(', asserts[0])]
  if not called:
    raise Unreadable('asserts that call no function of the code')
  setup = [row.get('test_setup_code') or '', *(row.get('test_imports') or [])]
  body = [f'  {called[-1]} = candidate', *('  ' + line for test in asserts for line in test.splitlines())]
  check = '\n'.join([*setup, 'def check(candidate):', *body])
  question = f'{_first(row, ("text", "prompt", "question"))}\nThe function is called like this:\n{asserts[0]}'
  return {'question': question, 'reference': '\n'.join([*setup, code]), 'code_language': 'python',
          'tests': [{'call': called[-1], 'check': check, 'reference': '\n'.join([*setup, code])}]}


def _livecodebench(row: dict) -> dict | None:
  if row.get('public_test_cases') is None and row.get('private_test_cases') is None:
    return None
  metadata = _parsed(row.get('metadata')) or {}
  name = metadata.get('func_name') if isinstance(metadata, dict) else None
  cases = [*(_parsed(row.get('public_test_cases')) or []), *(_parsed(row.get('private_test_cases')) or [])]
  return {'tests': [_case(case, name) for case in cases], 'reference': _reference(row)}


def _code_contests(row: dict) -> dict | None:
  names = ('public_tests', 'private_tests', 'generated_tests')
  parts = [row[name] for name in names if isinstance(row.get(name), dict)]
  if not parts:
    return None
  pairs = [pair for part in parts for pair in zip(part.get('input') or [], part.get('output') or [])]
  return {'tests': [{'stdin': given, 'stdout': expected} for given, expected in pairs], 'reference': _reference(row)}


def _codeforces(row: dict) -> dict | None:
  if not (row.get('official_tests') or row.get('input_format')):
    return None  # examples alone may be of anything
  cases = [case for name in ('official_tests', 'examples') for case in _cases(row.get(name))]
  if not cases:
    return None
  parts = [row.get('description') or '', *(f'\n{title}\n{row[name]}' for title, name in
                                           (('Input', 'input_format'), ('Output', 'output_format')) if row.get(name))]
  shown = [f'\nInput:\n{c["input"]}\nOutput:\n{c["output"]}' for c in _cases(row.get('examples'))]
  tests = list({(case['input'], case['output']): _case(case, None) for case in cases}.values())
  checker = row.get('generated_checker')
  if isinstance(checker, str) and checker:  # a program of three files, as its set has it
    tests = [{**test, 'checker': {'language': 'python', 'code': _FILES + checker}} for test in tests]
  return {'question': '\n'.join([*parts, *shown]) if parts[0] else None, 'tests': tests}


def _cases(value) -> list[dict]:
  value = _parsed(value)
  return [case for case in value if isinstance(case, dict) and {'input', 'output'} <= case.keys()] \
      if isinstance(value, list) else []


# A checker that is started as `checker.py INPUT EXPECTED OUTPUT` and prints how much of it is right.
_FILES = '''
import io as _io, json as _json, sys as _sys
_given = _json.loads(_sys.stdin.read())
for _name in ('stdin', 'expected', 'output'):
  with open('/tmp/' + _name, 'w') as _file:
    _file.write(_given[_name] or '')
_sys.argv = ['checker.py', '/tmp/stdin', '/tmp/expected', '/tmp/output']
_out, _sys.stdout = _sys.stdout, _io.StringIO()
import atexit as _atexit
@_atexit.register
def _say():
  said, _sys.stdout = _sys.stdout.getvalue().split(), _out
  _out.write('AC' if said and said[-1] in ('1', '1.0', 'True', 'OK', 'AC', '100') else 'WA')
'''


def _tests(row: dict) -> dict | None:
  """Ours, or a text of JSON of one of two kinds: [{input, output}] or {inputs, outputs, fn_name}."""
  for value in (row.get('tests'), row.get('input_output'), _ground_truth(row)):
    value = _parsed(value)
    if isinstance(value, dict) and 'inputs' in value and 'outputs' in value:
      return {'tests': _inputs_outputs(value), 'reference': _reference(row)}
    if isinstance(value, list) and value and all(isinstance(case, dict) for case in value):
      calls = [case for case in value if case.get('type') == 'function_call']
      if calls and all(isinstance(case['output'], list) and len(case['output']) == 1 for case in calls):
        value = [{**case, 'output': case['output'][0]} if case in calls else case for case in value]  # [result]
      ours = [case if {'stdin', 'call'} & case.keys() else _case(case, None) for case in value]
      return {'tests': ours, 'reference': _reference(row)}
  if row.get('tests') or row.get('input_output'):
    raise Unreadable('tests of no known form')
  return None


def _ground_truth(row: dict):
  """verl's reward_model.ground_truth, where it holds tests and no answer."""
  model = row.get('reward_model')
  text = model.get('ground_truth') if isinstance(model, dict) else None
  start = text.lstrip()[:1] if isinstance(text, str) else ''
  return text if (start == '{' and '"inputs"' in text) or (start == '[' and '"input"' in text) else None


def _inputs_outputs(value: dict) -> list[dict]:
  name, inputs, outputs = value.get('fn_name'), value['inputs'], value['outputs']
  if len(inputs) != len(outputs) or not inputs:
    raise Unreadable('as many outputs as inputs are wanted')
  if not name:
    return [{'stdin': _text(given), 'stdout': _text(expected)} for given, expected in zip(inputs, outputs)]
  wrapped = all(isinstance(expected, list) and len(expected) == 1 for expected in outputs)  # APPS writes [result]
  return [{'call': name, 'args': given if isinstance(given, (list, dict)) else [given],
           'expected': expected[0] if wrapped else expected} for given, expected in zip(inputs, outputs)]


def _case(case: dict, name: str | None) -> dict:
  """{input, output, testtype or type, fn_name or metadata.func_name}."""
  if not {'input', 'output'} <= case.keys():
    raise Unreadable(f'a test with {", ".join(sorted(case))[:60]}')
  inner = case.get('metadata') if isinstance(case.get('metadata'), dict) else {}
  name = case.get('fn_name') or inner.get('func_name') or name
  kind = str(case.get('testtype') or case.get('type') or ('functional' if case.get('fn_name') else 'stdin'))
  if not name or kind.startswith('stdin'):
    return {'stdin': _text(case['input']), 'stdout': _text(case['output'])}
  given = case['input']
  args = [_value(line) for line in given.splitlines() if line.strip()] if isinstance(given, str) else given
  return {'call': name, 'args': args, 'expected': _value(case['output'])}


def _text(value) -> str:
  return value if isinstance(value, str) else '\n'.join(map(_text, value)) if isinstance(value, list) else str(value)


def _value(text):
  """A value of a text of JSON, or of Python; any other is the text."""
  if not isinstance(text, str):
    return text
  for read in (json.loads, ast.literal_eval):
    try:
      return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
      continue
  return text


def _parsed(value):
  """Of a text of JSON its value, or of JSON that was pickled, compressed and written in base 64 (LiveCodeBench)."""
  if not isinstance(value, str):
    return value
  try:
    return files.loads(value)
  except (ValueError, RecursionError):
    pass
  try:
    return json.loads(_Plain(io.BytesIO(zlib.decompress(base64.b64decode(value, validate=True)))).load())
  except Exception:  # pylint: disable=broad-except  whatever it is, it is no such text
    return value


class _Plain(pickle.Unpickler):
  """Texts and numbers alone: what a file names is never imported, let alone called."""

  def find_class(self, module, name):
    raise pickle.UnpicklingError(f'{module}.{name}')


def _reference(row: dict) -> str | None:
  """A right program in the row's own language: of `solutions` the first."""
  if isinstance(row.get('reference'), str):
    return row['reference']
  found = _parsed(row.get('solutions'))
  if isinstance(found, dict):  # CodeContests: numbers of languages, 3 is Python 3
    found = [s for s, kind in zip(found.get('solution') or [], found.get('language') or []) if kind == 3]
  found = next((s for s in found if isinstance(s, str)), None) if isinstance(found, list) else None
  blocks = re.findall(r'```\w*\n(.*?)```', found or '', re.S)
  return blocks[-1] if blocks else found


def _with_starter(row: dict) -> dict:
  """What the program starts with stands in the question; where it speaks of nodes, tests write those as lists."""
  starter = row.get('starter_code')
  if not isinstance(starter, str) or not starter.strip():
    return row
  if isinstance(row['question'], str) and starter.strip() not in row['question']:
    row['question'] = f'{row["question"]}\n\nStart from this code:\n```python\n{starter.rstrip()}\n```'
  if 'ListNode' in starter or 'TreeNode' in starter:
    lines = [line for line in starter.splitlines() if not line.lstrip().startswith('#')]
    signature = re.search(r'def +\w+\s*\((.*?)\)\s*(?:->\s*([^:]+))?:', '\n'.join(lines), re.S)
    if signature:
      types = [part.partition(':')[2].strip() for part in _split(signature[1]) if part.strip() != 'self']
      row['tests'] = [{'types': types, 'returns': (signature[2] or '').strip(), **test} if 'args' in test else test
                      for test in row['tests']]
  return row


def _split(parameters: str) -> list[str]:
  """At commas outside of brackets."""
  parts, depth = [''], 0
  for c in parameters:
    depth += (c in '[(') - (c in '])')
    if c == ',' and not depth:
      parts.append('')
    else:
      parts[-1] += c
  return parts
