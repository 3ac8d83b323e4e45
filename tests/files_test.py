"""Files as they are published, of our own writing: read with no option but their path."""

import gzip
import json
import logging

from ml_collections import ConfigDict
import pytest

from r1jax.data import answers
from r1jax.data import tasks
from r1jax.exceptions import UserError


def lines(*rows):
  return '\n'.join(json.dumps(row) for row in rows).encode()


SAID = [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'What is 3 + 4?'},
        {'role': 'assistant', 'content': r'<think> 7 </think> It is \boxed{7}.'}]
LAYOUTS = {  # name: (row, question, answer, type)
    'gsm8k': ({'question': 'Tom has 3 eggs and buys 4. How many?', 'answer': '3 + 4 = <<3+4=7>>7 eggs.\n#### 7'},
              'Tom has 3 eggs and buys 4. How many?', '7', 'int'),
    'math': ({'problem': 'Halve 1.', 'level': 'Level 1', 'type': 'Algebra', 'solution': r'It is $\boxed{\frac12}$.'},
             'Halve 1.', r'\frac12', 'rational'),
    'math-500': ({'problem': 'Solve x^2=3, x>0.', 'solution': r'\boxed{\sqrt3}', 'answer': r'\sqrt3',
                  'subject': 'Algebra',
                  'unique_id': 'a/1'}, 'Solve x^2=3, x>0.', r'\sqrt3', 'expr'),
    'numina': ({'problem': 'Add 3 and 4.', 'solution': r'so \boxed{7}', 'source': 'olympiads',
                'messages': [{'content': 'Add 3 and 4.', 'role': 'user'}, {'content': '7', 'role': 'assistant'}]},
               'Add 3 and 4.', '7', 'int'),
    'openr1': ({'problem': 'Add 3 and 4.', 'solution': 'long', 'answer': '7', 'problem_type': 'Algebra',
                'question_type': 'math-word-problem', 'messages': SAID, 'is_reasoning_complete': [True, None]},
               'Add 3 and 4.', '7', 'int'),
    'deepscaler': ({'problem': 'Add 3 and 4.', 'answer': '7', 'solution': 'We add.'}, 'Add 3 and 4.', '7', 'int'),
    'dapo': ({'data_source': 'math_dapo', 'prompt': [{'content': 'Add 3 and 4.', 'role': 'user'}], 'ability': 'MATH',
              'reward_model': {'ground_truth': '34', 'style': 'rule-lighteval/MATH_v2'}, 'extra_info': {'index': 'x'}},
             'Add 3 and 4.', '34', 'int'),
    'aime': ({'ID': '2024-I-1', 'Problem': 'x', 'problem': 'Add 3 and 4.', 'answer': 7.0}, 'Add 3 and 4.', '7', 'int'),
    'olympiad': ({'question': 'Add 3 and 4.', 'final_answer': ['7'], 'answer_type': 'Numerical', 'unit': None},
                 'Add 3 and 4.', '7', 'int'),
    'limo': ({'question': 'Add.', 'solution': 'so', 'answer': '(1, 2)'}, 'Add.', '(1, 2)', 'tuple'),
    'expected': ({'query': 'Add 3 and 4.', 'expected_answer': '7'}, 'Add 3 and 4.', '7', 'int'),
    'messages': ({'messages': SAID}, 'What is 3 + 4?', '7', 'int'),
    'conversations': ({'conversations': [{'from': 'human', 'value': 'What is 3 + 4?'}, {'from': 'gpt',
     'value': r'\boxed{7}'}]},
                      'What is 3 + 4?', '7', 'int'),
    'alpaca': ({'instruction': 'Name the largest planet.', 'output': 'Jupiter'}, 'Name the largest planet.', 'Jupiter',
               'text')}


@pytest.mark.parametrize('name', LAYOUTS)
@pytest.mark.parametrize('kind', ['jsonl', 'json', 'jsonl.gz', 'parquet'])
def test_a_published_layout_is_read_as_it_is(tmp_path, name, kind):
  row, question, answer, answer_type = LAYOUTS[name]
  path = tmp_path / f'data.{kind}'
  if kind == 'parquet':
    pa = pytest.importorskip('pyarrow')
    import pyarrow.parquet
    pyarrow.parquet.write_table(pa.Table.from_pylist([row] * 2), path)
  else:
    data = json.dumps([row] * 2, indent=1).encode() if kind == 'json' else lines(row, row)
    path.write_bytes(gzip.compress(data) if kind.endswith('gz') else data)
  found = tasks.load(f"{'parquet' if kind == 'parquet' else 'jsonl'}:{path}", size=0, seed=0)
  assert [(r['question'], r['answer'], r['answer_type']) for r in found] == [(question, answer, answer_type)] * 2


def test_a_folder_of_shards(tmp_path):
  for n in (2, 1):
    (tmp_path / f'part-{n}.jsonl').write_bytes(lines({'question': f'q{n}', 'answer': n}))
  (tmp_path / 'README.md').write_text('not data')
  assert [r['question'] for r in tasks.load(f'jsonl:{tmp_path}', size=0, seed=0)] == ['q1', 'q2']
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError, match='is a folder without a file that ends in'):
    tasks.load(f"jsonl:{tmp_path / 'empty'}", size=0, seed=0)


def test_what_is_left_out_is_said_with_counts_and_places(tmp_path, caplog):
  caplog.set_level(logging.INFO, 'r1jax')
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines({'question': 'a', 'answer': 1}, {'question': 'b'}, {'question': 'c', 'answer': ['1', '2']},
                         {'question': 5, 'answer': 1}, {'question': '\ud83d', 'answer': 1}, [1],
                         {'question': 'g', 'answer': None}, {'question': 'a', 'answer': r'\sqrt2'}))
  assert [r['where'] for r in tasks.load(f'jsonl:{path}', size=0, seed=0)] == [f'{path}:1', f'{path}:8']
  assert caplog.messages == [
      f'{path}: 2 rows: 1 int, 1 expr', f'{path}: 1 questions stand there more than once ({path}:8 as {path}:1)',
      f'{path}: 2 rows left out: no answer ({path}:2, {path}:7)',
      f'{path}: 1 rows left out: several answers ({path}:3)',
      f'{path}: 1 rows left out: a question of type int ({path}:4)',
      f'{path}: 1 rows left out: half a surrogate pair in the question ({path}:5)',
      f'{path}: 1 rows left out: no object ({path}:6)']
  with pytest.raises(UserError, match=r'a.jsonl:2: no answer in this row, has question: .*task.strict=False'):
    tasks.load(f'jsonl:{path}', size=0, seed=0, strict=True)


def test_columns_may_be_named(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines({'Aufgabe': '3 + 4', 'data': {'value': 7}}))
  with pytest.raises(UserError, match=r'a.jsonl:1: no question in this row, has Aufgabe, data: name the columns'):
    tasks.load(f'jsonl:{path}', size=0, seed=0)
  row, = tasks.load(f'jsonl:{path}', size=0, seed=0, columns={'question': 'Aufgabe', 'answer': 'data.value'})
  assert (row['question'], row['answer'], row['answer_type']) == ('3 + 4', '7', 'int')
  with pytest.raises(UserError, match='wants names of columns for question and answer'):
    tasks.load(f'jsonl:{path}', size=0, seed=0, columns={'gold': 'x'})


def test_null_is_absent_at_every_depth(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines({'question': 'a', 'answer': 1, 'answer_type': None, 'reward': None, 'tolerance': None},
                         {'question': 'b', 'answer': None, 'tests': [{'stdin': '1', 'stdout': '1', 'checker': None}],
                          'limits': {'seconds': None}}))
  a, b = tasks.load(f'jsonl:{path}', size=0, seed=0, params={'answer_type': 'decimal'})
  assert a['answer_type'] == 'decimal' and not {'reward', 'tolerance'} & set(a)
  assert b['reward'] == 'code' and b['tests'] == [{'stdin': '1', 'stdout': '1'}] and b['limits'] == {}


def test_a_file_is_asked_whole_unless_a_split_is_named(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines(*({'question': f'What is {n} + 1?', 'answer': n + 1} for n in range(30))))
  task = ConfigDict(dict(source=f'jsonl:{path}', size=0, seed=0, params={}, split=''))
  assert len(tasks.asked(task, split='heldout', template='r1')) == len(tasks.asked(task, split='train',
   template='r1')) == 30
  task.split = 'train'
  assert 0 < len(tasks.asked(task, split='heldout', template='r1')) < 15


@pytest.mark.parametrize('data, said', [
    (b'\x1f\x8bnonsense', 'is compressed, and cannot be read'), (b'[{"question": 1}',
     'neither a JSON array nor one object'),
    (b'{"question": "a"', r'a.jsonl:1: not JSON'), (b'', 'is empty'), (b'[]', 'is empty'),
    (b'\xff\xfe\x00{', 'not JSON')])
def test_what_is_no_such_file_is_one_line(tmp_path, data, said):
  (tmp_path / 'a.jsonl').write_bytes(data)
  with pytest.raises(UserError, match=said) as e:
    tasks.load(f"jsonl:{tmp_path / 'a.jsonl'}", size=0, seed=0)
  assert '\n' not in str(e.value)


def test_a_type_that_is_none_is_a_mistake(tmp_path):
  (tmp_path / 'a.jsonl').write_bytes(lines({'question': 'a', 'answer': 1}))
  with pytest.raises(UserError, match="answer_type='integer': 'auto' or one of int, rational"):
    tasks.load(f"jsonl:{tmp_path / 'a.jsonl'}", size=0, seed=0, params={'answer_type': 'integer'})


def test_a_data_set_of_the_hub(tmp_path, monkeypatch):
  """By the package datasets, here of a folder; and without it one line says what to install."""
  pytest.importorskip('datasets', reason="data sets of the hub need the extra hub: pip install -e '.[hub]'")
  monkeypatch.setenv('HF_DATASETS_OFFLINE', '1')
  monkeypatch.setenv('HF_DATASETS_CACHE', str(tmp_path / 'cache'))
  (tmp_path / 'set').mkdir()
  (tmp_path / 'set/train.jsonl').write_bytes(lines({'problem': '3 + 4', 'answer': '7'}, {'problem': 'b',
   'answer': None}))
  row, = tasks.load(f"hf:{tmp_path / 'set'}", size=0, seed=0)
  assert (row['question'], row['answer'], row['answer_type']) == ('3 + 4', '7', 'int')
  with pytest.raises(UserError, match='cannot be read'):
    tasks.load('hf:nobody/nothing', size=0, seed=0)


def test_without_its_package_the_hub_is_one_line(monkeypatch):
  monkeypatch.setitem(__import__('sys').modules, 'datasets', None)
  with pytest.raises(UserError, match=r"pip install 'r1jax\[hub\]'"):
    tasks.load('hf:a/b', size=0, seed=0)


def test_the_types_of_a_row_of_its_task_and_of_its_answer(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines({'question': 'a', 'answer': '7', 'answer_type': 'Numerical'},
                         {'question': 'b', 'answer': '7', 'answer_type': 'text'},
                         {'question': 'c', 'answer': ['1', '2'], 'answer_type': 'set'},
                         {'question': 'd', 'solution': 'We see at once ' + 'that it holds. ' * 20}))
  kinds = lambda **params: [r['answer_type'] for r in tasks.load(f'jsonl:{path}', size=0, seed=0, params=params)]
  assert kinds() == ['int', 'text', 'set']  # the last would never be equal to anything
  assert kinds(answer_type='decimal') == ['decimal', 'text', 'set', 'decimal']
  assert tasks.load(f'jsonl:{path}', size=0, seed=0)[2]['answer'] == '1, 2'


def test_rows_that_no_reward_could_grade_are_left_out_of_a_file(tmp_path, caplog):
  from r1jax.stages import gradable
  path = tmp_path / 'a.jsonl'
  path.write_bytes(lines({'question': 'a', 'answer': '7'}, {'question': 'b', 'answer': 'x}', 'answer_type': 'expr'},
                         {'question': 'c', 'answer': r'\sqrt2'}))
  task = ConfigDict(dict(source=f'jsonl:{path}', size=0, seed=0, params={}, strict=False))
  asked = lambda: [row['question'] for row in gradable.questions(task, split='train', template='r1')]
  assert asked() == ['a', 'c']
  assert f'1 of 3 rows left out, as no reward could grade them: {path}:2: ' in caplog.text
  task.strict = True
  assert asked() == ['a', 'b', 'c']  # gradable.start stops at the second
  path.write_bytes(lines({'question': 'b', 'answer': 'x}', 'answer_type': 'expr'}))
  task.strict = False
  with pytest.raises(UserError, match=r'a.jsonl:1: .*no single expression'):
    asked()


def test_frames_and_corrupt_files(tmp_path):
  zstandard = pytest.importorskip('zstandard', reason='reading .zst needs the package zstandard')
  half = lines({'question': 'a', 'answer': 1}).rstrip() + b'\n'
  (tmp_path / 'two.jsonl.zst').write_bytes(zstandard.compress(half) + zstandard.compress(half.replace(b'"a"', b'"b"')))
  assert len(tasks.load(f'jsonl:{tmp_path}/two.jsonl.zst', size=0, seed=0)) == 2
  for name, data in {'a.jsonl.zst': zstandard.compress(half)[:8] + b'xxxxxx', 'b.jsonl.gz': b'\x1f\x8b\x08' + b'x' * 40,
                     'c.jsonl': b'[' * 100000, 'd.jsonl': b'{"a": ' * 100000}.items():
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
      tasks.load(f'jsonl:{tmp_path}/{name}', size=0, seed=0)


def test_rows_of_a_folder_have_numbers_of_their_own(tmp_path):
  for name in ('a.jsonl', 'b.jsonl'):
    (tmp_path / name).write_bytes(lines({'question': name, 'answer': 1, 'expression': 5}, {'question': name + '2', 'answer': 2}))
  rows = tasks.load(f'jsonl:{tmp_path}', size=0, seed=0)
  assert [row['id'] for row in rows] == ['1', '2', '3', '4']
  assert len(tasks.load(f'jsonl:{tmp_path}', size=0, seed=0, split=tasks.split_of('5'))) >= 2


@pytest.mark.parametrize('value, answer', [
    (r'The roots are $\boxed{3}$ and $\boxed{7}$.', '3, 7'), ('#### Step 1\nx\n#### Step 2\nSo \\boxed{5}.', '5'),
    ('So 2 + 3.\n#### 5', '5'), (r'\boxed{1, 2} so' + '\n\n' + r'\boxed{1, 2}', '1, 2')])
def test_gold_answers_of_worked_solutions(value, answer):
  assert answers.gold(value) == answer


@pytest.mark.parametrize('value', ['proof', 'notfound', 'NotFound'])
def test_words_in_place_of_an_answer_are_left_out(value):
  with pytest.raises(ValueError, match='in place of an answer'):
    answers.gold(value)


@pytest.mark.parametrize('answer, question, kind', [
    (r'\infty', '', 'text'), ('CO2', '', 'text'), ('3-1', '', 'text'), ('2019-05-03', '', 'text'),
    ('(2,-3)', 'On the interval [0,4], at which point is the minimum?', 'tuple'), ('(2,-3)', 'Find the interval.', 'tuple'),
    ('(-3,2)', 'On which interval does it fall?', 'interval')])
def test_types_that_a_person_would_give(answer, question, kind):
  assert answers.infer(answer, question) == kind


def hub_cache(tmp_path, monkeypatch, name: str, files: dict[str, str]) -> None:
  """A cache of huggingface_hub laid out by hand, and no network."""
  constants = pytest.importorskip('huggingface_hub.constants', reason='the extra hub')
  place = tmp_path / 'hub' / f'datasets--{name.replace("/", "--")}'
  commit = 'a' * 40
  for file, text in files.items():
    path = place / 'snapshots' / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  (place / 'refs').mkdir()
  (place / 'refs' / 'main').write_text(commit)
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)


def test_one_file_of_a_data_set_of_the_hub(tmp_path, monkeypatch):
  hub_cache(tmp_path, monkeypatch, 'a/b', {'levels/3to5/train.jsonl': '{"extra": {"q": "1 + 1?"}, "gold": {"a": "2"}}\n'})
  source = 'hf:a/b/levels/3to5/train.jsonl'
  row, = tasks.load(source, size=0, seed=0, columns=dict(question='extra.q', answer='gold.a'))
  assert (row['question'], row['answer'], row['answer_type']) == ('1 + 1?', '2', 'int')
  assert source in row['where']
  with pytest.raises(UserError, match=r"hf:a/b/other.parquet cannot be read .* without a network it must lie in the hub"):
    tasks.load('hf:a/b/other.parquet', size=0, seed=0)
  monkeypatch.setitem(__import__('sys').modules, 'huggingface_hub', None)
  with pytest.raises(UserError, match='huggingface_hub: pip install'):
    tasks.load(source, size=0, seed=0)
