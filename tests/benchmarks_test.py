"""The paper's benchmarks: the table's rows, published layouts, what grades them, each on its stand-in with a model whose
answers are known; Codeforces' arithmetic against closed forms."""

import functools
import gzip
import json
import math
import random
import shutil

import pytest

from r1jax import benchmarks
from r1jax import rewards
from r1jax.benchmarks import paper
from r1jax.benchmarks import rating
from r1jax.benchmarks.table import RUNNERS, TABLE
from r1jax.data import benchmarks as data
from r1jax.data import layouts
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.exceptions import UserError
from r1jax.rewards import f1
from r1jax.rewards import pool
from r1jax.rewards import tested
from r1jax.rewards.sandbox import languages
from r1jax.stages import asking
from r1jax.stages import benchmarks as stage
from r1jax.stages import grading
from r1jax.stages import rescore
from r1jax.stages import scoring

import runs

OURS = [name for name, row in TABLE.items() if row.runs == 'ours' and not row.judge]  # judged_test.py has the others

# --- the table


def test_the_table_has_every_benchmark_of_section_3():
  wanted = ('AIME 2024', 'AIME 2025', 'MATH-500', 'GPQA Diamond', 'LiveCodeBench', 'Codeforces', 'CNMO 2024', 'MMLU',
            'MMLU-Redux', 'MMLU-Pro', 'DROP', 'IF-Eval', 'SimpleQA', 'FRAMES', 'C-SimpleQA', 'CLUEWSC', 'C-Eval',
            'CMMLU', 'HumanEval', 'HumanEval-Mul', 'AlpacaEval2.0', 'ArenaHard', 'SWE Verified', 'Aider-Polyglot')
  assert {row.title for row in TABLE.values()} == set(wanted)


@pytest.mark.parametrize('name', TABLE)
def test_a_row_says_all_that_runs_it(name):
  row = TABLE[name]
  assert row.name == name and row.runs in RUNNERS and row.licence and row.prompt_from
  assert row.source == 'file' or row.source.startswith('hf:')
  if row.runs == 'ours':
    assert bool(row.judge) == bool(row.official) == bool(row.command)
    assert row.layout and '{question}' in row.prompt and 'x{y}' in row.prompt.format(question='x{y}')
  else:
    assert row.task and row.command and not row.layout


def test_every_number_of_the_papers_tables_has_its_benchmark():
  """Both ways: a column without a benchmark, or a benchmark that says it is in a table and is not."""
  found = {name: set() for name in TABLE}
  for table in paper.TABLES:
    for place in paper.places(table):
      found[place.benchmark].add(table)
      assert place.score in ('pass@1', TABLE[place.benchmark].metric, 'cons@64', 'percentile')
  assert {name: set(row.tables) for name, row in TABLE.items()} == found


def test_the_papers_numbers_are_those_that_it_prints():
  columns = [place.title for place in paper.places('table5')]
  assert dict(zip(columns, paper.models('table5')['DeepSeek-R1-Distill-Qwen-1.5B'])) == {
      'AIME 2024 pass@1': 28.9, 'AIME 2024 cons@64': 52.7, 'MATH-500 pass@1': 83.9, 'GPQA Diamond pass@1': 33.8,
      'LiveCodeBench pass@1': 16.9, 'Codeforces rating': 954}
  rows = {place.title: number for place, number in zip(paper.places('table4'), paper.models('table4')['DeepSeek-R1'])}
  assert rows['DROP (3-shot F1)'] == 92.2 and rows['Codeforces (Percentile)'] == 96.3 and len(rows) == 21


# --- where data is found


def test_what_has_no_data_or_is_run_elsewhere_is_refused_in_one_line(tmp_path, monkeypatch):
  monkeypatch.delenv('R1JAX_DATA', raising=False)
  for source, said in (('codeforces', 'has no data here'), ('mmlu', 'is run by inspect_ai'), ('mmlu_pro', 'is run by lm-eval'),
                       ('livecodebench', 'livecodebench:FILE, test.jsonl to test6.jsonl of hf:'), ('drop', 'has no data here'),
                       ('arena_hard:x.jsonl', 'no file'), (f'aime_2024:{tmp_path}/none.jsonl', 'no file')):
    with pytest.raises(UserError, match=said) as error:
      tasks.load(source, size=0, seed=0)
    assert '\n' not in str(error.value)
  with pytest.raises(UserError, match="no benchmark 'aime2024': aime_2024?"):
    benchmarks.find('aime2024')
  (tmp_path / 'math_500.jsonl').write_text('{"a": 1}\n')
  with pytest.raises(UserError, match='no row is as math_500 is published: no question'):
    tasks.load(f'math_500:{tmp_path}/math_500.jsonl', size=0, seed=0)
  monkeypatch.setenv('R1JAX_DATA', str(tmp_path / 'nowhere'))
  with pytest.raises(UserError, match='R1JAX_DATA=.*nowhere is no folder'):
    tasks.load('aime_2024', size=0, seed=0)


def test_a_folder_of_data_serves_every_benchmark(tmp_path, monkeypatch, caplog):
  monkeypatch.setenv('R1JAX_DATA', str(tmp_path))
  text = (data._STANDINS + '/aime_2024.jsonl', data._STANDINS + '/math_500.jsonl')
  (tmp_path / 'aime_2024.jsonl').write_bytes(open(text[0], 'rb').read())
  (tmp_path / 'math_500.jsonl.gz').write_bytes(gzip.compress(open(text[1], 'rb').read()))
  with caplog.at_level('INFO', 'r1jax'):
    assert len(tasks.load('aime_2024', size=0, seed=0)) == 12 and len(tasks.load('math_500', size=0, seed=0)) == 11
  assert 'aime_2024 as published has 30 questions' in caplog.text
  assert data.digest(str(tmp_path / 'aime_2024.jsonl')) in caplog.text


def test_another_file_than_the_published_one_is_refused_where_its_sha256_is_known(monkeypatch, tmp_path):
  import dataclasses
  path = tmp_path / 'a.jsonl'
  path.write_bytes(open(data._STANDINS + '/aime_2024.jsonl', 'rb').read())
  for sha256, right in ((data.digest(str(path)), True), ('0' * 64, False)):
    monkeypatch.setitem(TABLE, 'aime_2024', dataclasses.replace(TABLE['aime_2024'], sha256=sha256))
    if right:
      assert len(data.rows('aime_2024', str(path))) == 12
    else:
      with pytest.raises(UserError, match=f'as published {sha256}: another file'):
        data.rows('aime_2024', str(path))


def test_a_standin_never_bears_the_benchmarks_name():
  assert tasks.name_of('aime_2024:standin') == 'aime_2024_standin'
  assert tasks.name_of('aime_2024:/data/x.jsonl') == tasks.name_of('aime_2024') == 'aime_2024'


def test_options_stand_in_an_order_that_the_question_decides():
  rows = tasks.load('gpqa_diamond:standin', size=0, seed=0)
  assert rows == tasks.load('gpqa_diamond:standin', size=0, seed=5)
  assert len({row['answer'] for row in rows}) == 4  # all letters come to be right
  first = rows[0]
  assert f'\n{first["answer"]}) Electron' in first['question'] and first['question'].endswith(')' + first['question'].rpartition(')')[2])


def test_livecodebench_is_its_window():
  ids = {row['id'] for row in tasks.load('livecodebench:standin', size=0, seed=0)}
  assert len(ids) == 10 and {'add', 'even'} <= ids and not ids & {'too_early', 'too_late'}


def test_drop_shows_three_worked_examples_and_names_the_file_it_lacks(tmp_path):
  (row, *_) = tasks.load('drop:standin', size=0, seed=0)
  assert row['question'].count('\n---\n') == 4 and row['question'].count('# Your Task') == 1
  assert not row['question'].split('# Your Task')[1].count(row['answer'] + '\n')
  path = tmp_path / 'drop_v0_dev.jsonl'
  path.write_bytes(open(data._STANDINS + '/drop.jsonl', 'rb').read())
  with pytest.raises(UserError, match='drop_v0_train.jsonl is not there'):
    data.rows('drop', str(path))
  (tmp_path / 'drop_v0_train.jsonl').write_bytes(open(data._STANDINS + '/drop_train.jsonl', 'rb').read())
  assert data.rows('drop', str(path))[0]['question'] == row['question']


@pytest.mark.parametrize('layout, row, why', [
    ('gpqa', {'Question': 'q'}, "no 'Correct Answer'"), ('cluewsc', {'text': 'a'}, 'no target'),
    ('cluewsc', {'text': 'a', 'target': {'span1_text': 'a', 'span2_text': 'b'}, 'label': -1}, 'no label'),
    ('drop', {'context': 'a', 'ref_text': ' | '}, 'no answer'), ('humaneval', {'prompt': 'a', 'test': 'b'}, 'entry_point'),
    ('humaneval_mul', {'language': 'rust', 'prompt': 'a', 'tests': 'b'}, 'none of the eight'),
    ('codeforces', {'contest': 1, 'problems': [], 'standings': [{'rating': 1}]}, "'rating' and 'points'"),
    ('livecodebench', {'contest_date': '2024-09-01', 'question_content': 'q'}, 'no '), ('math', 'text', 'no object')])
def test_what_cannot_be_asked_says_why(layout, row, why):
  with pytest.raises(layouts.LeftOut, match=why):
    layouts.read(layout, row)


# --- each on its stand-in: the model's answers, and so its score, are known

PROGRAMS = {
    'add': 'a, b = map(int, input().split())\nprint(a + b)', 'reverse': 'print(input()[::-1])',
    'largest': 'input()\nprint(max(map(int, input().split())))', 'vowels': 'print(sum(c in "aeiou" for c in input()))',
    'factorial': 'import math\nprint(math.factorial(int(input())))',
    'even': 'print("NO" if int(input()) % 2 else "YES")',
    'twice': 'class Solution:\n  def twice(self, nums):\n    return [2 * n for n in nums]',
    'total': 'class Solution:\n  def total(self, nums):\n    return sum(nums)',
    'palindrome': 'class Solution:\n  def palindrome(self, s):\n    return s == s[::-1]',
    'gap': 'class Solution:\n  def gap(self, nums):\n    return max(nums) - min(nums)',
    '901A': 'print(sum(map(int, input().split())))', '901B': 'a, b = map(int, input().split())\nprint(a * b)',
    '901C': 'n = int(input())\nprint(sum(n % d == 0 for d in range(1, n + 1)))',
    '901D': 'n, k = int(input()), 0\nwhile n > 1:\n  n, k = (3 * n + 1 if n % 2 else n // 2), k + 1\nprint(k)',
    '902A': 'print(int(input()) ** 2)', '902B': 'a, b = map(int, input().split())\nprint(abs(a - b))',
    '902C': 'print(format(int(input()), "b"))', '903A': 'print(min(map(int, input().split())))',
    '903B': 'print(sum(map(int, input().strip())))', '903C': 'a, b = map(int, input().split())\nprint(a ** b)'}
# What a right program of HumanEval-Mul's stand-in says, by language and function.
MUL = {
    ('cpp', 'twice'): '#include <cassert>\nlong twice(long n) {\n  return 2 * n;\n}\nint main() { return 1; }',
    ('cpp', 'flip'): '#include <string>\nstd::string flip(std::string text) {\n  return {text.rbegin(), text.rend()};\n}',
    ('java', 'twice'): 'class Problem {\n  public static long twice(long n) {\n    return 2 * n;\n  }\n}',
    ('java', 'flip'): 'public static String flip(String text) {\n  return new StringBuilder(text).reverse().toString();\n}',
    ('javascript', 'twice'): 'function twice(n) {\n  return 2 * n;\n}',
    ('javascript', 'flip'): 'const flip = text => [...text].reverse().join("");',
    ('typescript', 'twice'): 'function twice(n: number): number {\n  return 2 * n;\n}',
    ('typescript', 'flip'): 'function flip(text: string): string {\n  return text.split("").reverse().join("");\n}',
    ('csharp', 'flip'): 'public static string Flip(string text) {\n  return new string(text.Reverse().ToArray());\n}',
    ('php', 'flip'): 'function flip($text) {\n  return strrev($text);\n}',
    ('csharp', 'twice'): 'class Problem {\n  public static long Twice(long n) {\n    return 2 * n;\n  }\n}',
    ('php', 'twice'): '<?php\nfunction twice($n) {\n  return 2 * $n;\n}',
    ('bash', 'twice'): 'twice() {\n  echo $((2 * $1))\n}',
    ('bash', 'even'): 'is_even() {\n  if (( $1 % 2 )); then echo false; else echo true; fi\n}'}


def right_answer(row):
  """A completion in table 1's format that is right."""
  fence = lambda language, code: f'```{language}\n{code}\n```'
  if row['reward'] == 'tested':
    _, _, name, language = row['id'].rsplit('_', 2)[0], *row['id'].replace('-', '_').rsplit('_', 2)
    return fence(language, MUL[language, name])
  if row['reward'] == 'code':
    return fence('python', PROGRAMS.get(row['id']) or row['reference'])
  if row['reward'] == 'choice':
    return f'It is so.\nAnswer: {row["answer"]}'
  if row['reward'] == 'f1':
    return f'It is so.\nAnswer: {row["answer"].split("|")[0]}'
  return rf'\boxed{{{row["answer"]}}}'


def wrong_answer(row):
  if row['reward'] in ('code', 'tested'):
    return f'```{row["code_language"] if row.get("code_language") else "python"}\nno program\n```'
  if row['reward'] == 'choice':
    return f'Answer: {"B" if row["answer"] == "A" else "A"}'
  return 'Answer: nothing of it' if row['reward'] == 'f1' else r'\boxed{-777}'


def standin(name):
  """Rows that can be judged on this machine, and how many cannot."""
  rows = [{'reward': 'math', 'task': name, **row} for row in tasks.load(f'{name}:standin', size=0, seed=0)]
  judged = [row for row in rows if row['reward'] not in ('code', 'tested') or _runs(row.get('code_language', 'python'))]
  return judged, len(rows) - len(judged)


def _runs(language):
  try:
    return bool(languages.require(language))
  except UserError:
    return False


def records_of(rows, samples, plan):
  """As an evaluation grades what was said: plan(i, g) says whether sample g of question i is right."""
  said = lambda text: grading.Said(f'<think> t </think> <answer> {text} </answer>', 5, 'stop')
  return grading.records(pool.shared(), [
      (row, [said(right_answer(row) if plan(i, g) else wrong_answer(row)) for g in range(samples)])
      for i, row in enumerate(rows)])


@pytest.mark.parametrize('name', OURS)
def test_a_standin_scores_what_was_planted(name, tmp_path):
  """Question i is right in i % 3 of its two samples: pass@1 is known, of DROP F1; the same again by --rescore."""
  rows, missing = standin(name)
  assert len(rows) + missing >= 10 and all(row['question'] for row in rows)
  plan = lambda i, g: g < i % 3
  records = records_of(rows, 2, plan)
  want = [[plan(i, g) for g in range(2)] for i in range(len(rows))]
  assert [[s['correct'] for s in record['samples']] for record in records] == want, [
      (record['id'], [s['reason'] for s in record['samples']]) for record in records]
  settings = dict(n_samples=2, temperature=0.6, top_p=0.95, max_tokens=32)
  got = scoring.scores(records, rows, settings, name)
  planted = sum(map(sum, want)) / (2 * len(rows))
  assert got['f1' if name == 'drop' else 'pass@1'] == pytest.approx(planted, abs=1e-12)
  assert got['benchmark'] == name and len(got['data_sha256']) == 64
  assert got['metric'] == ('f1' if name == 'drop' else 'pass@1') and ('rating' in got) == (name == 'codeforces')
  assert rescored(tmp_path, rows, records, settings, name) == {**got, 'slot_use': None}


def rescored(directory, rows, records, settings, name):
  """What `r1jax evaluate --rescore` makes of the samples as they lie on disk."""
  write = lambda file, found: (directory / file).write_text(''.join(json.dumps(each) + '\n' for each in found))
  write(asking.QUESTIONS, rows)
  write(asking.SAMPLES, [{'number': i, **record} for i, record in enumerate(records)])
  write(asking.SETTINGS, [{**settings, 'samples': settings['n_samples']}])
  write(asking.SCORES, [{'task': name}])
  again = rescore.rescore(str(directory))
  assert not again.changes
  return again.result


@pytest.mark.parametrize('language', sorted(languages.LANGUAGES))
def test_each_of_the_eight_languages_runs(language):
  """The right program passes and one that gives something else does not, whatever it prints."""
  missing = [program for program in languages.LANGUAGES[language].needs if not shutil.which(program)]
  if missing:
    pytest.skip(f'NOT RUN: no {" and no ".join(missing)} on this machine')
  rows = [row for row in tasks.load('humaneval_mul:standin', size=0, seed=0)
          if row.get('code_language', 'python') == language]
  assert len(rows) == 2 and {row['reward'] for row in rows} == {'code' if language == 'python' else 'tested'}
  for row in rows:
    said, grader = right_answer(row), rewards.get(row['reward'])
    wrong = (said.replace('2 * n', '3 * n').replace('2 * $1', '3 * $1').replace('2 * $n', '3 * $n')
             .replace('== 0', '== 1').replace('% 2 )); then echo false', '% 2 )); then echo true')
             .replace('.rbegin(), text.rend()', '.begin(), text.end()').replace('.reverse()', '')
             .replace('.Reverse()', '').replace('strrev($text)', '$text'))
    assert wrong != said
    scores = [grader.score(f'<think> t </think> <answer> {text} </answer>', row) for text in (said, wrong)]
    assert [score.value for score in scores] == [1.0, 0.0], scores


def test_a_benchmark_in_a_language_that_cannot_be_run_here_is_refused_by_name():
  rows = tasks.load('humaneval_mul:standin', size=0, seed=0)
  assert {row.get('code_language', 'python') for row in rows} == set(languages.LANGUAGES)
  for row in rows:
    if not _runs(row.get('code_language', 'python')):
      with pytest.raises(ValueError, match=f'{row["code_language"]} cannot be run here'):
        rewards.get(row['reward']).check_row(row)


@pytest.mark.parametrize('language, program, want', [
    ('cpp', 'int f() {\n  return 1;\n}\nint main() {\n  return 0;\n}', ['int f() {', '}\nint main() {', '#include<a>']),
    ('java', 'class Problem {\n  static int f() {\n    return 1;\n  }\n}', ['class Main {', 'if (!(f() == 1)) throw']),
    ('java', 'static int f() {\n  return 1;\n}', ['class Main {', 'if (!(f() == 1)) throw'])])
def test_tests_that_close_an_open_function_are_joined(language, program, want):
  tests = {'cpp': '}\nint main() {\n  assert(f() == 1);\n}\n',
           'java': '  }\n  public static void main(String[] a) {\n  assert(f() == 1);\n  }\n}\n'}[language]
  whole = tested.joined(program, {'code_language': language, 'tested': tests, 'head': '#include<a>\nclass Problem {'})
  assert all(part in whole for part in want), whole
  assert whole.count('{') == whole.count('}') and whole.count('main') == 1


# --- what grades


@pytest.mark.parametrize('said, want', [
    ('Answer: B', 'B'), ('so it is A.\n**Answer: C**', 'C'), ('Answer: A\nno, Answer: $D$', 'D'), ('**Answer:** (B)', 'B'),
    ('答案：C', 'C'), (r'Answer: \boxed{C}', 'C'), (r'the letter is \boxed{B}', 'B'), ('<answer> D </answer>', 'D'),
    ('Answer: Carbon', None), ('I do not know', None), ('answer: A good one is B', 'A')])
def test_a_letter_is_found(said, want):
  grader, row = rewards.get('choice'), {'answer': want or 'A', 'answer_type': 'choice', 'format': 'deepseek_r1'}
  assert grader.extract(f'thinking </think> {said}', row) == want
  assert grader.score(f'thinking </think> {said}', row) == (rewards.CORRECT if want else rewards.NO_ANSWER)
  assert grader.score(f'thinking {said}', row) == rewards.NO_ANSWER  # never stopped thinking
  with pytest.raises(ValueError, match='no letter'):
    grader.check_row({'answer': 'Carbon'})


@pytest.mark.parametrize('said, gold, want', [
    ('Tom Hale', 'Tom Hale', 1.0), ('the tom hale.', 'Tom Hale', 1.0), ('Tom', 'Tom Hale', 2 / 3), ('8', '8', 1.0),
    ('8.0', '8', 1.0), ('9', '8', 0.0), ('about 8 ships', '8', 0.5), ('8 of 9', '8 and 9', 2 / 3), ('', 'a b', 0.0),
    ('well-known', 'well known', 1.0), ('1,000', '1000', 1.0)])
def test_f1_by_hand(said, gold, want):
  assert f1.f1(said, gold) == pytest.approx(want)


def test_f1_is_the_harnesss_own():
  utils = pytest.importorskip('lm_eval.tasks.drop.utils', reason="lm-eval is not installed: r1jax[lm-eval]")
  rng = random.Random(0)
  vocabulary = ['the', 'a', '3', '3.0', '1,200', 'ships', 'Ships', 'well-known', 'of', "mayor's", '12%', '-', 'an', '7th']
  for _ in range(2000):
    said, gold = (' '.join(rng.choices(vocabulary, k=rng.randint(1, 5))) for _ in range(2))
    assert f1.f1(said, gold) == pytest.approx(utils.get_metrics((said,), (gold,))[1], abs=5e-3), (said, gold)


@pytest.mark.parametrize('said, want', [('<think> x </think> Answer: Tom', 2 / 3), (r'<think> x </think> \boxed{Tom Hale}', 1.0),
                                        ('<think> x </think> <answer> Tom Hale </answer>', 1.0), ('<think> Tom Hale', 0.0)])
def test_f1_of_what_was_said(said, want):
  row = {'answer': 'Tom Hale|someone else', 'answer_type': 'text'}
  assert f1.score(said, row).value == pytest.approx(want, abs=1e-4)


# --- Codeforces


@pytest.mark.parametrize('n, place, level', [(9, 4, 1500), (1, 1.5, 1200), (200, 17, 1837), (50, 50, 900), (3, 2, 2400)])
def test_a_rating_of_equal_rivals_has_a_closed_form(n, place, level):
  """place - 1 = n / (1 + 10^((r - R) / 400)), so r = R + 400 log10(n / (place - 1) - 1)."""
  want = level + 400 * math.log10(n / (place - 1) - 1)
  assert rating.of_place(place, [level] * n) == pytest.approx(min(max(want, 0), 4000), abs=1e-6)


def test_two_kinds_of_rivals_by_hand():
  """One of 1,500 + d and one of 1,500 - d: by symmetry the middle place, 2, is 1,500's, whatever d is."""
  for d in (0, 100, 400, 1100):
    assert rating.of_place(2, [1500 + d, 1500 - d]) == pytest.approx(1500, abs=1e-6)


def test_the_inversion_is_one():
  rng = random.Random(1)
  for _ in range(50):
    rivals = [rng.gauss(1500, 400) for _ in range(rng.randint(1, 300))]
    r = rng.uniform(300, 3500)
    assert rating.of_place(rating.seed(r, rivals), rivals) == pytest.approx(r, abs=1e-4)


def test_places_count_from_one():
  assert rating.place(10, [5, 5, 1]) == 1 and rating.place(0, [5, 5, 1]) == 4 and rating.place(5, [5, 7, 5, 1]) == 3
  assert rating.of_place(1, [1500] * 9) == rating.HIGHEST and rating.of_place(10, [1500] * 9) == rating.LOWEST
  with pytest.raises(ValueError, match='place=0 among 2 rivals'):
    rating.of_place(0, [1, 2])
  assert rating.percentile(1500, [1000, 1500, 2000, 1499]) == 0.5


def test_a_contest_s_rating_by_hand(tmp_path):
  """Ten rivals of 1,500; six have more than the 500 points of problem A, one has as many: place 1 + 6 + 1/2."""
  problem = lambda index, points: {'index': index, 'description': 'd', 'points': points,
                                   'official_tests': [{'input': '1', 'output': '1'}]}
  people = [{'rating': 1500, 'points': p} for p in (900, 900, 800, 800, 700, 600, 500, 100, 0, 0)]
  path = tmp_path / 'contests.jsonl'
  path.write_text(json.dumps({'contest': 'x', 'problems': [problem('A', 500), problem('B', 1000)], 'standings': people}))
  rows = tasks.load(f'codeforces:{path}', size=0, seed=0)
  assert [row['id'] for row in rows] == ['xA', 'xB']
  said = lambda *right: {'samples': [{'correct': r} for r in right]}
  facts = stage.facts([said(True, True), said(False, False)], rows)
  want = 1500 + 400 * math.log10(10 / 6.5 - 1)
  assert facts['rating'] == pytest.approx(want) and facts['percentile'] == 0.0 and want < 1500
  # One sample that solves both is first of all: the mean of places 7.5 and 1 counts.
  facts = stage.facts([said(True, True), said(False, True)], rows)
  assert facts['rating'] == pytest.approx(1500 + 400 * math.log10(10 / 3.25 - 1)) and facts['percentile'] == 1.0


# --- the rows of the harnesses


@functools.cache
def _tasks_of_lm_eval():
  return set(pytest.importorskip('lm_eval.tasks', reason='lm-eval is not installed: r1jax[lm-eval]').TaskManager().all_tasks)


@pytest.mark.parametrize('name', [name for name, row in TABLE.items() if 'inspect' in (row.runs, row.official)])
def test_inspect_evals_has_the_task(name):
  registry = pytest.importorskip('inspect_evals._registry', reason='inspect_evals is not installed: r1jax[eval]')
  package, _, task = TABLE[name].task.partition('/')
  assert package == 'inspect_evals' and hasattr(registry, task) and TABLE[name].counted_as
  assert f'inspect eval {TABLE[name].task} ' in TABLE[name].command


@pytest.mark.parametrize('name', [name for name, row in TABLE.items() if row.runs == 'lm-eval'])
def test_lm_eval_has_the_task(name):
  assert TABLE[name].task in _tasks_of_lm_eval() and TABLE[name].counted_as
  assert f'--tasks {TABLE[name].task}' in TABLE[name].command


def test_if_eval_by_the_harnesss_own_function():
  utils = pytest.importorskip('lm_eval.tasks.ifeval.utils', reason='lm-eval[ifeval] is not installed: r1jax[lm-eval]')
  doc = {'key': 1, 'prompt': 'Answer without a comma.', 'instruction_id_list': ['punctuation:no_comma'], 'kwargs': [{}]}
  assert utils.process_results(doc, ['None here'])['prompt_level_strict_acc'] is True
  assert utils.process_results(doc, ['One, two'])['prompt_level_strict_acc'] is False


def test_prompts_are_put_into_any_template():
  (row, *_) = tasks.load('aime_2024:standin', size=0, seed=0)
  for template in prompts.TEMPLATES:
    assert row['question'] in prompts.render(template, row['question'])


# --- a whole evaluation, with the base that ships


def test_smoke_asks_stand_ins_and_says_what_cannot_run(tmp_path, monkeypatch, caplog, one_device):
  """Through the pipeline: import, three stand-ins over the same slots, one that has no data beside them."""
  from r1jax import pipeline
  from r1jax.report import tables
  monkeypatch.delenv('R1JAX_DATA', raising=False)
  config = runs.experiment('evaluate', 'smoke')
  assert config.evaluate.tasks[2] == 'drop:standin'
  config.evaluate.tasks = (*config.evaluate.tasks, 'codeforces')
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  with caplog.at_level('WARNING', 'r1jax'):
    pipeline.run(config, str(tmp_path))
  assert 'codeforces: NOT RUN: codeforces has no data here' in caplog.text
  where = tmp_path / '2_evaluate/eval'
  found = {path.parent.name: json.loads(path.read_text()) for path in where.glob('*/scores.json')}
  assert {name: (of['n_questions'], of['n_samples'], of['benchmark']) for name, of in found.items()} == {
      'aime_2024_standin': (12, 2, 'aime_2024'), 'gpqa_diamond_standin': (11, 2, 'gpqa_diamond'),
      'drop_standin': (12, 2, 'drop')}
  assert found['drop_standin']['metric'] == 'f1' and 0 <= found['drop_standin']['f1'] <= 1
  assert found['aime_2024_standin']['data_sha256'] == data.digest(data._STANDINS + '/aime_2024.jsonl')
  assert json.loads((where / 'codeforces/not_run.json').read_text())['reason'].startswith('codeforces has no data')
  (model,) = tables.models([tmp_path])  # no stand-in is among its scores
  assert not model.scores and set(model.reasons) == {'codeforces'}


def test_where_no_benchmark_can_run_it_is_a_mistake(monkeypatch):
  monkeypatch.delenv('R1JAX_DATA', raising=False)
  with pytest.raises(UserError, match='none of 2 benchmarks can be run here: codeforces has no data here'):
    stage.left_out({'codeforces': 'codeforces', 'drop': 'drop'})
  assert stage.left_out({'codeforces': 'codeforces'}) == {}  # alone it is asked, and its mistake said
  assert set(stage.left_out({'codeforces': 'codeforces', 'a': 'jsonl:a'})) == {'codeforces'}


def test_a_list_of_tasks_may_be_names():
  first, second = tasks.several(['aime_2024', {'source': 'math_500:standin', 'size': 3}])
  assert (first.source, first.size, second.source, second.size) == ('aime_2024', 0, 'math_500:standin', 3)
  with pytest.raises(UserError, match='task=1 is neither a source nor an object'):
    tasks.several([1])
