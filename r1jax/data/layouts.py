"""Benchmarks as their publishers lay them out -> {id, question, answer, answer_type, reward, tests ...}; the prompt
round the question is benchmarks.TABLE's.

  math, math_integers   question or problem, answer (AIME, MATH-500, LiveMathBench)
  gpqa                  Question, Correct Answer, Incorrect Answer 1 to 3, Record ID
  livecodebench         question_content, starter_code, public_test_cases, private_test_cases, metadata, contest_date
  codeforces            a contest a row: contest, problems, standings (ours: docs/benchmarks.md)
  humaneval             task_id, prompt, canonical_solution, test, entry_point
  humaneval_mul         language, prompt, tests or test, as MultiPL-E and DeepSeek-Coder have it; humaneval's of Python
  drop                  context, completion, ref_text (simple-evals)
  cluewsc               text, target {span1_text, span2_text, span2_index}, label
  simpleqa              problem, answer, metadata
  c_simpleqa            question, answer, id
  frames                Prompt, Answer
  alpaca_eval           instruction, output (the baseline's), generator
  arena_hard            uid or question_id, prompt or turns, baseline (the published answers stand in another file)
"""

import hashlib
import random
import re

from r1jax.data import columns
from r1jax.data.columns import LeftOut

WINDOW = ('2024-08-01', '2025-01-31')  # of LiveCodeBench, both days included (section 3)


def read(layout: str, row: dict, shots: list[dict] = ()) -> list[dict]:
  """The questions of one published row.

  shots: rows to show before a question, where the layout shows some.

  Raises:
    LeftOut: it cannot be asked; the text is why.
  """
  if not isinstance(row, dict):
    raise LeftOut('no object')
  found = _LAYOUTS[layout](row, shots) if layout == 'drop' else _LAYOUTS[layout](row)
  return found if isinstance(found, list) else [found]


def _needs(row: dict, *names: str) -> None:
  if missing := [name for name in names if row.get(name) in (None, '')]:
    raise LeftOut(f'no {missing[0]!r}')


def _lower(row: dict) -> dict:
  """AIME's columns are capital in one place, small in another; small ones count where both are there."""
  return {**{key.lower(): value for key, value in row.items()}, **row}


def _math(row: dict, **defaults) -> dict:
  row = _lower(row)
  found = columns.normal({key: value for key, value in row.items() if key not in ('answer_type', 'solution')
                          or 'answer' not in row}, defaults=defaults)
  number = next((row[key] for key in ('unique_id', 'id', 'problem_idx') if row.get(key) is not None), None)
  keep = ('question', 'answer', 'answer_type', 'subject', 'level')
  return {**{key: found[key] for key in keep if key in found}, **({} if number is None else {'id': str(number)})}


def _integers(row: dict) -> dict:
  return _math(row, answer_type='int')


def _gpqa(row: dict) -> dict:
  """Options in an order that the question alone decides, as every sample, and every run, must see the same one."""
  names = ('Correct Answer', 'Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3')
  _needs(row, 'Question', *names)
  options = [str(row[name]).strip() for name in names]
  order = sorted(range(4), key=lambda i: hashlib.sha256(f'{row["Question"]} {options[i]} {i}'.encode()).digest())
  return _choice(str(row['Question']).strip(), [options[i] for i in order], order.index(0), row.get('Record ID'))


def _choice(question: str, options: list[str], right: int, number) -> dict:
  lines = [f'{chr(65 + i)}) {option}' for i, option in enumerate(options)]
  return {'question': '\n'.join([question, '', *lines]), 'answer': chr(65 + right), 'answer_type': 'choice',
          'reward': 'choice', **({} if number is None else {'id': str(number)})}


def _livecodebench(row: dict) -> dict:
  _needs(row, 'contest_date', 'question_content')
  date = str(row['contest_date'])[:10]
  if not WINDOW[0] <= date <= WINDOW[1]:
    raise LeftOut(f'not of {WINDOW[0]} to {WINDOW[1]}')
  found = columns.normal(row)
  if not found.get('tests'):
    raise LeftOut('no tests')
  return {**_asked(found), 'id': str(row.get('question_id', '')), 'difficulty': row.get('difficulty', ''),
          'contest_date': date}


_PROGRAM = ('question', 'answer', 'answer_type', 'reward', 'tests', 'code_language', 'reference', 'limits')


def _asked(found: dict) -> dict:
  """Of a program's row what is asked and judged by; the rest may be long."""
  if found.get('reward') != 'code':
    raise LeftOut('no tests')
  return {key: found[key] for key in _PROGRAM if found.get(key) is not None}


def _codeforces(row: dict) -> list[dict]:
  """A contest's problems. Its standings stay in the file: stages/benchmarks.py reads them once all is judged."""
  _needs(row, 'contest', 'problems', 'standings')
  standings(row)
  out = []
  for problem in row['problems']:
    _needs(problem, 'index')
    name = f'{row["contest"]}{problem["index"]}'
    found = _asked(columns.normal(problem))
    limits = {ours: kind(problem[theirs] * factor) for ours, theirs, factor, kind in (
        ('seconds', 'time_limit', 1, float), ('memory_bytes', 'memory_limit', 1 << 20, int)) if problem.get(theirs)}
    out.append({**found, **({'limits': limits} if limits else {}), 'id': name, 'contest': str(row['contest']),
                'points': float(problem.get('points') or 1.0)})
  return out


def standings(row: dict) -> list[tuple[float, float]]:
  """(rating, points) of each who took part in a contest.

  Raises:
    LeftOut: none, or one without a number.
  """
  try:
    return [(float(each['rating']), float(each['points'])) for each in row['standings']]
  except (TypeError, KeyError, ValueError) as e:
    raise LeftOut("standings: each wants 'rating' and 'points', numbers") from e


def _humaneval(row: dict) -> dict:
  _needs(row, 'prompt', 'test', 'entry_point')
  return {**_asked(columns.normal(row)), 'id': str(row.get('task_id', row['entry_point']))}


_FENCES = {'cpp': 'cpp', 'c++': 'cpp', 'java': 'java', 'cs': 'csharp', 'csharp': 'csharp', 'js': 'javascript',
           'javascript': 'javascript', 'ts': 'typescript', 'typescript': 'typescript', 'php': 'php', 'sh': 'bash',
           'bash': 'bash', 'py': 'python', 'python': 'python'}
_TITLES = {'cpp': 'C++', 'java': 'Java', 'csharp': 'C#', 'javascript': 'JavaScript', 'typescript': 'TypeScript',
           'php': 'PHP', 'bash': 'Bash'}


def _humaneval_mul(row: dict) -> dict:
  """The tests are a piece of program, which rewards/tested.py joins to what the model wrote."""
  if row.get('entry_point'):
    return {**_humaneval(row), 'code_language': 'python'}
  tests = row.get('tests') or row.get('test')
  _needs({**row, 'tests': tests}, 'language', 'prompt', 'tests')
  language = _FENCES.get(str(row['language']).lower())
  if language not in _TITLES:
    raise LeftOut(f'language {row["language"]!r} is none of the eight')
  if language == 'java' and re.search(r'\b(Pair|Triplet|Quartet)\b', row['prompt'] + tests):
    raise LeftOut('Java with the package javatuples, which is not installed')
  question = (f'Complete this {_TITLES[language]} code, and give it whole in a ```{language} block, without tests and '
              f'without a main program:\n\n```{language}\n{row["prompt"].rstrip()}\n```')
  return {'id': f'{row.get("task_id") or row.get("name")}-{language}', 'question': question, 'answer': '',
          'answer_type': 'text', 'reward': 'tested', 'code_language': language, 'head': row['prompt'], 'tested': tests}


def _drop(row: dict, shots: list[dict]) -> dict:
  _needs(row, 'context', 'ref_text')
  seed = int.from_bytes(hashlib.sha256(row['context'].encode()).digest()[:8], 'big')
  shown = random.Random(seed).sample(list(shots), 3) if shots else []
  text = ''.join(f'\n---\n{each["context"]} {str(each["completion"]).strip()}\n' for each in shown)
  golds = [part.strip() for part in str(row['ref_text']).split('|') if part.strip()]
  if not golds:
    raise LeftOut("no answer in 'ref_text'")
  return {'question': f'{text}\n# Your Task\n\n---\n{row["context"]}', 'answer': '|'.join(golds), 'answer_type': 'text',
          'reward': 'f1'}


def _cluewsc(row: dict) -> dict:
  target = row.get('target')
  if not isinstance(target, dict) or not row.get('text'):
    raise LeftOut('no text, or no target')
  label = {'true': True, '0': True, 'false': False, '1': False}.get(str(row.get('label')).lower())
  if label is None:
    raise LeftOut('no label')
  question = f'{row["text"]}\n\n上文中的“{target["span2_text"]}”指的是“{target["span1_text"]}”吗？'
  return {**_choice(question, ['是', '不是'], 0 if label else 1, row.get('idx')), 'language': 'zh'}



# --- what a judge grades


def _known_answer(question: str, answer: str, judge: str, metric: str, number: str = ''):
  """A layout's reader: columns of the question, of its known answer, and of its id."""

  def read_row(row: dict) -> dict:
    _needs(row, question, answer)
    named = {'id': str(row[number])} if number and row.get(number) is not None else {}
    asked = {'question': str(row[question]).strip(), 'answer': str(row[answer]).strip()}
    return {**named, **asked, **_judged(judge, metric)}

  return read_row


def _judged(judge: str, metric: str) -> dict:
  return {'answer_type': 'text', 'reward': 'judge', 'judge': judge, 'metric': metric}


def _against(question: str, baseline: str, row: dict, judge: str, metric: str) -> dict:
  """A question whose reply is compared with another model's; there is no right answer."""
  if not isinstance(baseline, str) or not baseline.strip():
    raise LeftOut("no text in the baseline's column")
  difficulty = {'difficulty': float(row['difficulty'])} if isinstance(row.get('difficulty'), (int, float)) else {}
  return {'question': question.strip(), 'answer': '', 'baseline': baseline, **difficulty, **_judged(judge, metric)}


def _alpaca_eval(row: dict) -> dict:
  _needs(row, 'instruction', 'output')
  return {**_against(str(row['instruction']), row['output'], row, 'better', 'lc_winrate'),
          'baseline_model': str(row.get('generator', ''))}


def _arena_hard(row: dict) -> dict:
  turns = row.get('turns')
  first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
  prompt = row.get('prompt') or first.get('content')
  _needs({**row, 'prompt': prompt}, 'prompt', 'baseline')
  number = next((row[key] for key in ('uid', 'question_id') if row.get(key) is not None), None)
  return {**({} if number is None else {'id': str(number)}),
          **_against(str(prompt), row['baseline'], row, 'grade', 'winrate')}


_LAYOUTS = {'math': _math, 'math_integers': _integers, 'gpqa': _gpqa, 'livecodebench': _livecodebench,
            'codeforces': _codeforces, 'humaneval': _humaneval, 'humaneval_mul': _humaneval_mul, 'drop': _drop,
            'cluewsc': _cluewsc, 'alpaca_eval': _alpaca_eval, 'arena_hard': _arena_hard,
            'simpleqa': _known_answer('problem', 'answer', 'correct', 'correct'),
            'c_simpleqa': _known_answer('question', 'answer', 'correct', 'correct', 'id'),
            'frames': _known_answer('Prompt', 'Answer', 'true', 'accuracy')}
