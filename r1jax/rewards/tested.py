"""Accuracy of a program that MultiPL-E's tests are joined to: it passes where the whole ends without an error.

A row has 'tested', the piece of program with the tests, 'head', that with which the question begins, and
'code_language'. The tests of Java, C#, C++, PHP and Bash begin with the brackets that close a function which is still
open, as they are made for models that go on with a text: so many of the program's last brackets are taken off.
"""

import re

from r1jax.rewards import NO_ANSWER, CORRECT, Score
from r1jax.rewards import code

IDEAL_SCORE = None
_TEXTS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*')
_MAIN = {'cpp': r'^\s*(?:int|auto|void)\s+main\s*\(', 'java': r'^\s*public\s+static\s+void\s+main\s*\(',
         'csharp': r'^\s*(?:public\s+)?static\s+(?:void|int)\s+Main\s*\('}
_HEAD = re.compile(r'^(?:#include|import |using |<\?php|#!|declare ).*$', re.MULTILINE)
# Assertions of these do nothing as programs are run here.
_ASSERTS = {'java': (re.compile(r'^(\s*)assert\s*\((.*)\);\s*$', re.MULTILINE), r'\1if (!(\2)) throw new Error();'),
            'csharp': (re.compile(r'^(\s*)Debug\.Assert\s*\((.*)\);\s*$', re.MULTILINE),
                       r'\1if (!(\2)) throw new System.Exception();')}
extract, normalise = code.extract, code.normalise
# Any output will do, if it ends well: of several languages' tests some say what they do.
_ENDS = [{'stdin': '', 'checker': {'language': 'python', 'code': 'print("AC")'}}]


def _open(text: str) -> int:
  """Brackets { that are opened and not closed; negative where more are closed."""
  bare = _TEXTS.sub('', text)
  return bare.count('{') - bare.count('}')


def joined(program: str, row: dict) -> str:
  """The program, its own main program left out, with the head's imports before it and the tests behind it."""
  language, tests, head = row['code_language'], row['tested'], row['head']
  if language in _MAIN and (main := re.search(_MAIN[language], program, re.MULTILINE)):
    program = program[:main.start()]
  if language in ('java', 'csharp') and not re.search(r'\bclass\s+Problem\b', program):
    program = f'class Problem {{\n{program}\n}}'
  wanted = -_open(tests)
  while _open(program) < wanted and '}' in program:
    program = program[:program.rindex('}')]
  missing = [line for line in _HEAD.findall(head) if line.strip() not in program and 'javatuples' not in line]
  pattern, instead = _ASSERTS.get(language, (re.compile('(?!)'), ''))
  whole = '\n'.join([*missing, program, pattern.sub(instead, tests)])
  return re.sub(r'\bclass\s+Problem\b', 'class Main', whole) if language == 'java' else whole


def _row(row: dict) -> dict:
  return {'tests': _ENDS, **row}


def decide(completion: str, row: dict) -> Score | None:
  return NO_ANSWER if extract(completion, row) is None else None


def deadline(row: dict) -> float:
  return code.deadline(row)


def judge(completion: str, row: dict) -> Score:
  program = extract(completion, row)
  if program is None:
    return NO_ANSWER
  fence = '`' * 12
  text = f'<think> </think>\n{fence}{row["code_language"]}\n{joined(program, row)}\n{fence}'
  found = code.judge(text, {key: value for key, value in _row(row).items() if key not in ('format', 'prefill')})
  return CORRECT if found == CORRECT else found


def score(completion: str, row: dict) -> Score:
  verdict = decide(completion, row)
  return judge(completion, row) if verdict is None else verdict


def check_row(row: dict) -> None:
  """ValueError for a row without tests, or in a language that cannot be run here."""
  if not isinstance(row.get('tested'), str) or not isinstance(row.get('head'), str):
    raise ValueError("a row for the reward 'tested' needs 'tested' and 'head', texts")
  code.check_row(_row(row))


start = code.start
