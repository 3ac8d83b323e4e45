"""A user's own functions before a run: tried once, refused in one line, and the same until the run ends."""

import json
import logging
import os

import pytest

from r1jax import checks
from r1jax import own
from r1jax import rewards
from r1jax.data import tasks
from r1jax.exceptions import UserError
from r1jax.rewards import pool as pool_lib
from r1jax.stages import checking
from r1jax.stages import trial

import runs

ROW = {'id': '7', 'where': 'rows.jsonl:7', 'question': '2 + 3 =', 'answer': '5', 'answer_type': 'int', 'points': 2}
WRONG = {  # body of a function (completion, row) -> what the line says of it
    'return 1 / 0': 'mine.py:{line}: ZeroDivisionError: division by zero, when it was tried on a right answer to rows.jsonl:7',
    "return 'good'": "gave 'good', no number", "return '0.5'": "gave '0.5', no number", 'return None': 'gave None, no number',
    'return float("nan")': 'gave nan, no number', 'return row["score"]': "mine.py:{line}: KeyError: 'score'",
    'return json.loads(completion)': "mine.py:{line}: NameError: name 'json' is not defined",
    'return float("</answer>" in completion or row["nope"])': "KeyError: 'nope', when it was tried on an answer that is cut off",
    'import os; os._exit(3)': 'the judge died, twice'}
RIGHT = ('return 0.5', 'return True', 'return row["points"] * len(completion)', 'return row["tokens"] / row["max_tokens"]',
         'import r1jax.rewards as r; return r.Score(1, "fine")')


@pytest.fixture(scope='module')
def judges():
  with pool_lib.Pool(workers=1, deadline=1.0) as found:
    yield found


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  rewards.get.cache_clear()
  yield tmp_path
  rewards.get.cache_clear()


def write(here, bodies, more=''):
  """here/NAME.py with a function f0, f1, .. of each body, two lines each; a name of its own, as a pool holds what it has read."""
  name = f'mine{abs(hash(tuple(bodies)))}.py'
  (here / name).write_text(''.join(f'def f{i}(completion, row):\n  {body}\n' for i, body in enumerate(bodies)) + more)
  return name


def test_what_is_wrong_with_a_reward_is_one_line(here, judges):
  file = write(here, WRONG, 'def few(completion):\n  return 1\n')
  for i, said in enumerate(WRONG.values()):
    with pytest.raises(UserError) as e:
      trial.rewards_of([(f'{file}:f{i}', ROW)], judges)
    assert said.format(line=2 * i + 2).replace('mine.py', file) in str(e.value) and '\n' not in str(e.value)
    assert str(e.value).startswith(f'{file}:f{i}: ') and str(e.value).count(f'{file}:f{i}') == 1
  with pytest.raises(UserError, match=f'{file}:{2 * len(WRONG) + 1}: TypeError: few.. takes 1 positional argument but 2'):
    trial.rewards_of([(f'{file}:few', ROW)], judges)
  assert judges.errors == 0  # none of them is an error of the run


def test_rewards_that_work_pass(here, judges):
  file = write(here, RIGHT)
  trial.rewards_of([(f'{file}:f{i}', ROW) for i in range(len(RIGHT))] + [('format', ROW), ('math', ROW)], judges)


def test_what_a_trial_shows_a_reward(here, judges):
  file = write(here, [f'open("{here}/calls", "a").write(__import__("json").dumps([completion, row]) + "\\n"); return 1'])
  rows = [{**ROW, 'task': 'a'}, {**ROW, 'task': 'a', 'id': '8'}, {**ROW, 'task': 'b', 'id': '9'}]
  trial.rewards_of([(f'{file}:f0', row) for row in rows], judges, overlong_buffer=3)
  right, cut, *_ = calls = [json.loads(line) for line in (here / 'calls').read_text().splitlines()]
  assert [row['id'] for _, row in calls] == ['7', '7', '9', '9']  # the first row of each task, twice
  assert rewards.get('math').score(right[0], ROW).value == 1 and right[0].startswith(cut[0]) and '</answer>' not in cut[0]
  assert (right[1]['stopped'], cut[1]['stopped'], cut[1]['overlong_buffer']) == (True, False, 3)
  assert 0 < cut[1]['tokens'] == cut[1]['max_tokens'] and right[1]['tokens'] < right[1]['max_tokens']
  (here / 'calls').unlink()
  trial.graders([{**row, 'reward': f'{file}:f0'} for row in rows])  # what grades an evaluation is told no lengths
  assert [set(row) & {'tokens', 'max_tokens'} for _, row in map(json.loads, (here / 'calls').read_text().splitlines())] == [set()] * 4


def test_a_slow_reward(here, judges, caplog):
  """It has the deadline of training; one that keeps it for some answers is only warned of."""
  file = write(here, ['import time; time.sleep(9)', 'import time; time.sleep(9 * ("</answer>" in completion)); return 1',
                      'import time; time.sleep(0.3); return 1'],
               'f0.deadline = f1.deadline = 0.2\nf2.deadline = 5.0\n')
  with pytest.raises(UserError, match=rf'{file}:f0: no verdict within 0.2 s.*: f0.deadline = 1 behind the function'):
    trial.rewards_of([(f'{file}:f0', ROW)], judges)
  assert not caplog.messages
  with caplog.at_level(logging.WARNING):
    trial.rewards_of([(f'{file}:f1', ROW), (f'{file}:f2', ROW)], judges)
  said, = caplog.messages
  assert said.startswith(f'{file}:f1: no verdict on a right answer within 0.2 s')


def test_a_run_keeps_the_reward_that_it_began_with(here):
  """Workers are killed and started again; one must not judge by what was edited meanwhile."""
  (here / 'kept.py').write_text('def f(completion, row):\n  return 1\n')
  with pool_lib.Pool(workers=1) as pool:
    pool.hold(['kept.py:f'])
    (here / 'kept.py').write_text('def f(completion, row):\n  return 2\n')
    first = pool.score([('kept.py:f', '', {})])
    pool._workers[0].kill()
    (here / 'kept.py').unlink()
    assert [s.value for s in first + pool.score([('kept.py:f', '', {})])] == [1, 1]
  (here / 'kept.py').write_text('def f(completion, row):\n  return 3\n')
  with pool_lib.Pool(workers=1) as pool:
    assert pool.score([('kept.py:f', '', {})])[0].value == 3


@pytest.mark.parametrize('text, said', [
    ('def rows():\n  x = 1\n  return [x.y]\n', "src.py:rows with {} failed (src.py:3: AttributeError: 'int' object has no attribute 'y')"),
    ('def rows(n):\n  return []\n', 'failed (src.py:1: TypeError: rows() missing 1 required positional argument'),
    ('def rows():\n  yield {"question": "a", "answer": "1"}\n  raise KeyError("b")\n', "failed (src.py:3: KeyError: 'b')"),
    ('def rows():\n  import sys; sys.exit(1)\n', 'failed (src.py:2: SystemExit: 1)'),
    ('def rows():\n  pass\n', "failed (src.py:1: TypeError: 'NoneType' object is not iterable)"),
    ('x = 1\ny = x.z\n', "src.py cannot be run (src.py:2: AttributeError: 'int' object has no attribute 'z')"),
    ('import sys\nsys.exit("usage")\n', 'cannot be run (src.py:2: SystemExit: usage)'),
    ('def rows(:\n  pass\n', 'cannot be run (src.py:1: SyntaxError: invalid syntax)')])
def test_own_questions_say_where_they_fail(here, text, said):
  (here / 'src.py').write_text(text)
  with pytest.raises(UserError) as e:
    tasks.load('src.py:rows', size=0, seed=0)
  assert said in str(e.value) and '\n' not in str(e.value)


def test_a_file_that_was_edited_is_run_again(here):
  """Though it was written in the same moment, and is as long."""
  for value in (1, 2):
    (here / 'twice.py').write_text(f'def f():\n  return {value}\n')
    os.utime(here / 'twice.py', (1, 1))
    assert own.function('twice.py:f')() == value


@pytest.mark.parametrize('stage, key', [('rl', 'rl.max_prompt'), ('evaluate', 'evaluate.max_prompt')])
def test_max_prompt_is_looked_at_before_a_run_that_has_its_tokenizer(stage, key):
  config = runs.experiment('r1_zero', 'tiny-rl', **{'rl.task.size': 32, 'evaluate.task.size': 32, f'{stage}.max_prompt': 3})
  with pytest.raises(UserError, match=rf'32 of 32 questions are longer than {key}=3 tokens .*: raise {key}$'):
    checks.run(config)


def test_a_grader_of_rows_is_tried_in_every_stage_that_asks(here):
  (here / 'grade.py').write_text('def f(completion, row):\n  return row["level"]\n')
  (here / 'rows.jsonl').write_text('{"question": "a", "answer": "1", "reward": "grade.py:f"}\n')
  with pytest.raises(UserError, match="no reward 'graed'"):
    trial.graders([{**ROW, 'reward': 'graed'}])
  with pytest.raises(UserError, match="grade.py:2: KeyError: 'level'"):
    checking.graders(tasks.load('jsonl:rows.jsonl', size=0, seed=0))
