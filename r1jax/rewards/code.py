"""Accuracy reward for programs: compiled and run on given tests (paper, 2.2.2), in a box (sandbox/).

A row has 'tests' (sandbox/__init__.py says of what form), 'code_language' (default python), optionally 'limits'
(fields of sandbox.Limits) and 'share': of the tests, how many must pass (default all, 1.0).
"""

import hashlib
import re

from r1jax.exceptions import UserError
from r1jax.rewards import CORRECT, NO_ANSWER, Score, error
from r1jax.rewards import format as form
from r1jax.rewards import sandbox
from r1jax.rewards.sandbox import boxes
from r1jax.rewards.sandbox import languages
from r1jax.rewards.sandbox import selftest

IDEAL_SCORE = None  # nobody here can say what a right program is
# Right, and only if the box works.
CANARY = ('<think> a </think>\n```python\nprint(int(input()) + 1)\n```', {'tests': [{'stdin': '1', 'stdout': '2'}]})

# A fence may stand behind the tag that opens the answer, and be closed before the one that ends it.
_OPEN = re.compile(r'([ \t]*)(?:.*<answer>[ \t]*)?(`{3,}|~{3,})[ \t]*([^`\n]*)')
_CLOSE = re.compile(r'[ \t]*(`{3,}|~{3,})[ \t]*(?:</answer>.*)?')


def language_of(row: dict) -> str:
  """'code_language', else 'language' where that names no tongue but a programming language, else python."""
  for name in (row.get('code_language'), row.get('language')):
    if name and (name == row.get('code_language') or _known(name)):
      return languages.find(name)
  return 'python'


def extract(completion: str, row: dict) -> str | None:
  """The last fenced block after </think> in the row's language; else the last that names none;
  else the last <answer>."""
  text = form.summary(completion, row)
  if text is None:
    return None
  language = language_of(row)
  blocks = _blocks(text)
  named = [code for label, code in blocks if label and (_known(label) == language or (label, language) == ('c', 'cpp'))]
  plain = [code for label, code in blocks if not label]  # behind the program often stands what it prints
  code = named[-1] if named else plain[-1] if plain else form.last_answer(text)
  return code if code and code.strip() else None


def _blocks(text: str) -> list[tuple[str, str]]:
  """(label, content) of the fenced blocks that close, without the fence's own indent; one pass over the lines."""
  found, opened, kept = [], None, []
  for line in text.splitlines(keepends=True):
    if opened is None:
      opened, kept = _OPEN.match(line), []
      continue
    close = _CLOSE.fullmatch(line.rstrip())
    if close and close[1].startswith(opened[2]):
      found.append((opened[3].strip().strip('{.}'), ''.join(kept)))
      opened = None
    else:
      indent = 0 if '<answer>' in opened[0] else len(opened[1])
      kept.append(line[min(indent, len(line) - len(line.lstrip(' \t'))):])
  return found


def _known(name: str) -> str | None:
  try:
    return languages.find(name)
  except UserError:
    return None


def decide(completion: str, row: dict) -> Score | None:
  """NO_ANSWER where there is no program; None where one must be run."""
  return NO_ANSWER if extract(completion, row) is None else None


def limits(row: dict) -> sandbox.Limits:
  return sandbox.Limits(**(row.get('limits') or {}))


def deadline(row: dict) -> float:
  """Seconds on the wall that judging may take at most, compiling and a retry included."""
  bound = limits(row)
  return 2 * (3 * bound.compile_seconds + bound.total_seconds + 3 * bound.seconds) + 60


def judge(completion: str, row: dict) -> Score:
  """1 when enough of the tests pass; the reason names the first that did not."""
  code = extract(completion, row)
  if code is None:
    return NO_ANSWER
  verdicts = sandbox.judge(code, language_of(row), row['tests'], limits(row))
  failed = [(i, verdict) for i, verdict in enumerate(verdicts, 1) if verdict != sandbox.Verdict.AC]
  for i, verdict in failed:
    if verdict == sandbox.Verdict.IE:  # says nothing about the program: an error, never a wrong answer
      return error(f'the sandbox failed on test {i}')
  if len(verdicts) - len(failed) >= row.get('share', 1.0) * len(verdicts):
    return CORRECT
  number, verdict = failed[0]
  return Score(0.0, f'wrong: {verdict} on test {number}, {len(failed)} of {len(verdicts)} failed')


def score(completion: str, row: dict) -> Score:
  """`judge`, here and now."""
  verdict = decide(completion, row)
  return judge(completion, row) if verdict is None else verdict


def check_row(row: dict) -> None:
  """ValueError for a row whose tests are of no known form, whose language is none, or whose toolchain is missing."""
  if not row.get('tests') or not isinstance(row['tests'], list):
    raise ValueError("a row for the reward 'code' needs 'tests', a list that is not empty")
  if not isinstance(row.get('share', 1.0), (int, float)) or not 0 < row.get('share', 1.0) <= 1:
    raise ValueError(f'share={row["share"]} must be in (0, 1]')
  try:
    language = language_of(row)
    languages.require(language)
    for test in row['tests']:
      if sandbox.check_test(test) != 'stdin':
        languages.callable_source(language, '', test['call'])
    limits(row)
  except (UserError, TypeError, AttributeError) as e:
    raise ValueError(str(e)) from e


def probes(row: dict) -> list[tuple[str, str, dict]]:
  """What must be right for the row to be asked: the program that it brings along, on its own tests.

  Raises:
    ValueError: as of check_row.
  """
  check_row(row)
  sources = [row.get('reference'), *(test.get('reference') for test in row['tests'])]
  source = next((s for s in sources if isinstance(s, str) and s.strip()), None)
  if source is None:
    source = next((test['check'] for test in row['tests'] if 'check' in test and
                   re.search(rf'def +{re.escape(test["call"].rpartition(".")[2])}\b', test['check'])), None)
  if source is None:
    return []
  boxes.level()  # UserError where programs cannot be run: no fault of the row's
  fence = '`' * 12
  given = {k: v for k, v in row.items() if k not in ('prefill', 'format')}
  return [('code', f'<think> </think>\n{fence}{language_of(row)}\n{source}\n{fence}', given)]


def unread(row: dict, verdict: Score) -> str:
  """Why a row cannot be asked whose own program got this verdict."""
  del row
  return f"its tests do not accept its own reference ({verdict.reason})"


def key(row: dict) -> str:
  """The same for rows with the same tests and reference."""
  said = repr([row.get('reference'), row.get('tests'), row.get('limits'), row.get('share')])
  return hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()


def start() -> None:
  """Before anything is generated: UserError where programs cannot be run safely, or the box does not hold."""
  selftest.run()


def normalise(answer: str | None, answer_type: str) -> str | None:
  """Programs do not vote: each is its own text."""
  return answer
