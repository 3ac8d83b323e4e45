"""Programming rows in the layouts that published sets have: what is asked, and that a right program is right."""

import base64
import json
import pickle
import zlib

import pytest

from r1jax.data import tasks
from r1jax.exceptions import UserError
from r1jax.rewards import pool

TWICE, THRICE = 'n = int(input())\nprint(2 * n)', 'n = int(input())\nprint(3 * n)'
SOLUTION = 'class Solution:\n  def twice(self, nums: List[int]) -> List[int]:\n    return [2 * n for n in nums]'
PAIRS = {'inputs': ['1\n', '5\n'], 'outputs': ['2\n', '10\n']}
CASES = [{'input': '1\n', 'output': '2\n'}, {'input': '5\n', 'output': '10\n'}]
CALLS = {'fn_name': 'twice', 'inputs': [[[1, 2]], [[5]]], 'outputs': [[[2, 4]], [[10]]]}
PRIVATE = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(
    [{'input': '[7]', 'output': '[14]', 'testtype': 'functional'}])))).decode()

# layout -> (row as published, a right program, a wrong one)
LAYOUTS = {
    'ours': ({'question': 'Double it.', 'tests': [{'stdin': '1', 'stdout': '2'}]}, TWICE, THRICE),
    'HumanEval': ({'task_id': 'HumanEval/0', 'prompt': 'def twice(n):\n  """Double it."""\n', 'entry_point': 'twice',
                   'canonical_solution': '  return 2 * n\n',
                   'test': 'METADATA = {}\n\ndef check(candidate):\n  assert candidate(2) == 4\n'},
                  'def twice(n): return n + n', 'def twice(n): return n'),
    'MBPP': ({'task_id': 2, 'text': 'Write a function to double a number.', 'code': 'def twice(n):\n  return 2 * n',
              'test_list': ['assert twice(2) == 4', 'assert twice(-1) == -2'], 'test_setup_code': ''},
             'def twice(n): return n + n', 'def twice(n): return n * n'),
    'MBPP sanitized': ({'task_id': 3, 'prompt': 'Write a function to check.', 'code': 'def check(n):\n  return n > 0',
                        'test_list': ['assert check(1) == True', 'assert check(-1) == False'],
                        'test_imports': ['import math']},
                       'def check(n): return 0 < n', 'def check(n): return True'),
    'LeetCode': ({'task_id': 'twice', 'prompt': 'import random\nfrom typing import *\n', 'query': 'Double every number.',
                  'completion': SOLUTION, 'entry_point': 'Solution().twice', 'starter_code': 'class Solution:\n  pass',
                  'test': 'def check(candidate):\n  assert candidate(nums = [1, 2]) == [2, 4]\n'},
                 SOLUTION, SOLUTION.replace('2 *', '3 *')),
    'LiveCodeBench': ({'question_title': 'Twice', 'question_content': 'Double every number.',
                       'starter_code': 'class Solution:\n    def twice(self, nums: List[int]) -> List[int]:\n        ',
                       'public_test_cases': json.dumps([{'input': '[1, 2]', 'output': '[2, 4]',
                                                         'testtype': 'functional'}]),
                       'private_test_cases': PRIVATE, 'metadata': '{"func_name": "twice"}'},
                      SOLUTION, SOLUTION.replace('2 * n', 'n + n % 7')),
    'LiveCodeBench, whole programs': ({'question_content': 'Double it.', 'starter_code': '', 'metadata': '{}',
                                       'public_test_cases': json.dumps([{**c, 'testtype': 'stdin'} for c in CASES]),
                                       'private_test_cases': '[]'}, TWICE, THRICE),
    'APPS': ({'question': 'Double it.', 'solutions': json.dumps([TWICE]), 'input_output': json.dumps(PAIRS)},
             TWICE, THRICE),
    'TACO': ({'question': 'Double all.', 'starter_code': 'def twice(nums):\n\t', 'input_output': json.dumps(CALLS),
              'solutions': json.dumps(['def twice(nums): return [2 * n for n in nums]'])},
             'def twice(nums): return [n + n for n in nums]', 'def twice(nums): return nums'),
    'DeepCoder': ({'problem': 'Double it.', 'tests': json.dumps([{**c, 'type': 'stdin_stdout'} for c in CASES]),
                   'solutions': [f'```python\n{TWICE}\n```']}, TWICE, THRICE),
    'PRIME': ({'prompt': [{'role': 'system', 'content': 'Think.'}, {'role': 'user', 'content': 'Double it.'}],
               'reward_model': {'style': 'rule', 'ground_truth': json.dumps(PAIRS)}}, TWICE, THRICE),
    'CodeContests': ({'description': 'Double it.', 'public_tests': {'input': ['1\n'], 'output': ['2\n']},
                      'private_tests': {'input': ['5\n'], 'output': ['10\n']}, 'generated_tests': {'input': [],
                                                                                                   'output': []},
                      'solutions': {'language': [2, 3], 'solution': ['int main() {}', TWICE]}}, TWICE, THRICE),
    'Codeforces': ({'description': 'Double it.', 'input_format': 'A number.', 'output_format': 'Twice it.',
                    'examples': CASES[:1], 'official_tests': CASES, 'generated_checker': None}, TWICE, THRICE),
    'Codeforces with a checker': ({
        'description': 'Any number above.', 'examples': CASES[:1], 'official_tests': CASES,
        'generated_checker': 'import sys\nn = int(open(sys.argv[1]).read())\nsaid = int(open(sys.argv[3]).read())\n'
                             'print(1 if said > n else 0)'}, THRICE, 'print(input())')}


def written(tmp_path, rows):
  path = tmp_path / 'rows.jsonl'
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return f'jsonl:{path}'


@pytest.mark.parametrize('layout', LAYOUTS)
def test_published_layouts(tmp_path, layout):
  row, right, wrong = LAYOUTS[layout]
  (loaded,) = tasks.load(written(tmp_path, [row]), size=0, seed=0)
  assert loaded['reward'] == 'code' and loaded['tests'] and not pool.unreadable([loaded])
  asked = loaded['question'].lower()
  assert any(word in asked for word in ('double', 'function to check', 'number above')) and 'import random' not in asked
  judged = pool.shared().score([('code', f'<think> t </think>\n```python\n{source}\n```', loaded)
                                for source in (right, wrong)])
  assert [score.value for score in judged] == [1.0, 0.0], judged


def test_what_the_program_starts_with_is_asked(tmp_path):
  (row,) = tasks.load(written(tmp_path, [LAYOUTS['LiveCodeBench'][0]]), size=0, seed=0)
  assert row['question'].startswith('Double every number.') and 'def twice(self' in row['question']
  (row,) = tasks.load(written(tmp_path, [LAYOUTS['MBPP'][0]]), size=0, seed=0)
  assert 'assert twice(2) == 4' in row['question'] and '-1' not in row['question']


def test_nodes_of_the_starter_code(tmp_path):
  row = {'question_content': 'Turn it round.', 'metadata': '{"func_name": "turn"}', 'starter_code':
         '# class ListNode:\n#   def __init__(self, val=0, next=None): pass\nclass Solution:\n'
         '    def turn(self, head: Optional[ListNode], k: Dict[str, int]) -> Optional[ListNode]:\n        ',
         'public_test_cases': json.dumps([{'input': '[1, 2]\n{}', 'output': '[2, 1]', 'testtype': 'functional'}])}
  (loaded,) = tasks.load(written(tmp_path, [row]), size=0, seed=0)
  assert loaded['tests'][0]['types'] == ['Optional[ListNode]', 'Dict[str, int]']
  source = 'class Solution:\n  def turn(self, head, k):\n    last = None\n    while head:\n' \
           '      head.next, last, head = last, head, head.next\n    return last'
  assert pool.shared().score([('code', f'<think> t </think>\n```python\n{source}\n```', loaded)])[0].value == 1


@pytest.mark.parametrize('row, reason', [
    ({'question': 'a', 'tests': 'none'}, 'tests of no known form'), ({'question': 'a', 'tests': [{'in': 1}]}, 'a test with in'),
    ({'question': 'a', 'input_output': json.dumps({'inputs': ['1'], 'outputs': []})}, 'as many outputs'),
    ({'question': 'a', 'code': 'def f(): pass', 'test_list': ['assert g() == 1']}, 'asserts that call no function')])
def test_tests_that_cannot_be_read_are_left_out_and_named(tmp_path, row, reason, caplog):
  good = LAYOUTS['ours'][0]
  with caplog.at_level('WARNING', 'r1jax'):
    assert len(tasks.load(written(tmp_path, [good, row]), size=0, seed=0)) == 1
  assert '1 rows left out' in caplog.text and reason in caplog.text and 'rows.jsonl:2' in caplog.text
  with pytest.raises(UserError, match='rows.jsonl:2: .*' + reason[:10]):
    tasks.load(written(tmp_path, [good, row]), size=0, seed=0, strict=True)


def test_what_a_file_pickled_is_never_called(tmp_path):
  class Bad:
    def __reduce__(self):
      return (tmp_path.joinpath('ran').write_text, ('x',))

  text = base64.b64encode(zlib.compress(pickle.dumps(Bad()))).decode()
  row = {'question_content': 'a', 'private_test_cases': text, 'public_test_cases': json.dumps(CASES)}
  try:
    tasks.load(written(tmp_path, [row]), size=0, seed=0)
  except UserError:
    pass
  assert not (tmp_path / 'ran').exists()


def test_examples_never_take_the_place_of_tests_or_answers(tmp_path):
  rows = [{'question': 'Double it.', 'tests': CASES, 'examples': CASES[:1]},
          {'question': 'Double it.', 'input_output': json.dumps(PAIRS), 'examples': CASES[:1]},
          {'question': '2 + 3?', 'answer': '5', 'examples': CASES[:1]}]
  first, second, third = tasks.load(written(tmp_path, rows), size=0, seed=0)
  assert len(first['tests']) == len(second['tests']) == 2 and third['answer_type'] == 'int' and 'tests' not in third


def test_null_is_a_value_of_a_call(tmp_path):
  tests = [{'call': 'f', 'args': {'root': None}, 'expected': {'a': None}, 'tolerance': None},
           {'call': 'f', 'args': [1], 'expected': None}]
  (row,) = tasks.load(written(tmp_path, [{'question': 'a', 'tests': tests}]), size=0, seed=0)
  assert row['tests'] == [{'call': 'f', 'args': {'root': None}, 'expected': {'a': None}}, tests[1]]


def test_humaneval_helpers_of_the_prompt_are_there(tmp_path):
  row = {'prompt': 'def help(n): return n\n\ndef twice(n):\n  """Double it."""\n', 'entry_point': 'twice',
         'canonical_solution': '  return 2 * help(n)\n', 'test': 'def check(candidate):\n  assert candidate(2) == 2 * help(2)\n'}
  assert not pool.unreadable(tasks.load(written(tmp_path, [row]), size=0, seed=0))


def test_a_checkers_question_shows_what_the_other_shows(tmp_path):
  row = {**LAYOUTS['Codeforces with a checker'][0], 'input_format': 'A number.', 'output_format': 'Another.'}
  (row,) = tasks.load(written(tmp_path, [row]), size=0, seed=0)
  assert 'A number.' in row['question'] and 'Another.' in row['question'] and '1\n' in row['question']


def test_results_in_a_list_of_one_and_long_numbers(tmp_path):
  cases = [{'type': 'function_call', 'fn_name': 'f', 'input': [[3, 1]], 'output': [[1, 3]]},
           {'type': 'function_call', 'fn_name': 'f', 'input': [[2]], 'output': [[2]]}]
  rows = tasks.load(written(tmp_path, [{'question': 'Sort.', 'tests': json.dumps(cases)}, {
      'question': 'Same.', 'tests': '[{"call": "f", "args": [1], "expected": ' + '9' * 5000 + '}]'}]), size=0, seed=0)
  assert [test['expected'] for test in rows[0]['tests']] == [[1, 3], [2]]
  assert rows[1]['tests'][0]['expected'] == 10 ** 5000 - 1
