"""What users bring without touching r1jax: rewards, data, several tasks; docs/own.md's examples as they stand there."""

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from r1jax import own, rewards
from r1jax.data import questions, tasks
from r1jax.exceptions import UserError
from r1jax.rewards import pool

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / 'docs' / 'own.md').read_text(encoding='utf-8')
FILES = dict(zip(re.findall(r'^`(my_\w+\.py)`:$', PAGE, re.M), re.findall(r'```python\n(.*?)```', PAGE, re.S)))
SMALL = ['--config.base.model=nano', '--config.base.steps=4', '--config.base.documents=300', '--config.rl.steps=2',
         '--config.rl.groups=4', '--config.rl.samples=2', '--config.rl.eval_every=0', '--config.rl.max_prompt=64', '--config.rl.max_tokens=8',
         '--config.evaluate.samples=1', '--config.evaluate.task.size=4', '--config.evaluate.max_tokens=8',
         '--config.evaluate.batch=4', '--config.rl.slots=8', '--config.rl.micro_tokens=128', '--config.evaluate.max_prompt=24',
         '--config.stages=({"name": "base", "run": "sft", "inputs": {}}, '
         '{"name": "rl", "run": "rl", "inputs": {"checkpoint": "base"}})']


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name, text in FILES.items():
    (tmp_path / name).write_text(text)
  return tmp_path


def test_the_page_has_what_is_tested():
  assert set(FILES) == {'my_rewards.py', 'my_data.py'}


def train(here, *options):
  command = [sys.executable, '-m', 'r1jax.main', f'--config={ROOT}/experiments/r1_zero.py:tiny', f'--workdir={here}/run',
             *SMALL, *options]
  done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False,
                        env={**os.environ, 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')})  # one device
  path = here / 'run' / '2_rl' / 'metrics.jsonl'
  return done, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_run_with_rewards_and_tasks_of_ones_own(here):
  said, written = re.search(r'--config.rewards=\'(.*?)\'', PAGE)[1], re.search(r'--config.rl.task="(.*?)"', PAGE, re.S)[1]
  done, rows = train(here, f'--config.rewards={said}', f'--config.rl.task={written}')
  assert done.returncode == 0, done.stderr
  assert 'my_data.py:rows: 100 rows: ' in done.stderr
  last = rows[-1]
  assert 0.5 < last['reward/my_rewards.py:brevity'] <= 1 and {'accuracy/rows', 'accuracy/chain_sum'} <= last.keys()
  assert last['reward/mean'] == pytest.approx(
      last['reward/accuracy'] + last['reward/format'] + 0.5 * last['reward/my_rewards.py:brevity'], abs=1e-5)


MISTAKES = {
    '--config.rewards={"nowhere.py:f": 1.0}': 'nowhere.py:f: no file nowhere.py',
    '--config.rewards={"my_rewards.py:f": 1.0}': "no function 'f' in my_rewards.py, which has brevity",
    '--config.rewards={"acuracy": 1.0}': "no reward 'acuracy': accuracy? There are accuracy, ",
    '--config.rewards=my_rewards.py:brevity': "=my_rewards.py:brevity is no object: in quotes and braces, --config.rewards='{",
    '--config.rl.steps=many': '--config.rl.steps=many is no whole number',
    '--config.rl.learning_rate=low': '--config.rl.learning_rate=low is no number',
    '--config.rl.step=5': "unknown config key 'rl.step': rl.steps? rl has ",
    '--config.rl.max_tokens=0': 'rl.max_tokens=0: at least 1 token',
    '--config.rl.task.source=mine.jsonl': "no source 'mine.jsonl': a file is named with its kind, jsonl:mine.jsonl",
    '--config.rewards={"brevty": 1.0}': "no reward 'brevty'",
    '--config.rl.task={"sorce": "champ"}': 'unknown config key rl.task.sorce',
    '--config.rl.rewards.accurcy=1.0': "rl.rewards is empty: give all of it, --config.rl.rewards='{",
    '--config.rl.task=[{"sorce": "champ"}]': "task has no 'sorce'",
    '--config.rl.task=[{"source": "champ", "share": 0.5}, {"source": "humaneval"}]': 'shares of the tasks',
    '--config.rl.task=[]': 'shares of the tasks', '--config.rl.task.source=my_data.py:none': "no function 'none'",
    '--config.stages={"a": 1}': 'stages={', '--config.evaluate.task=[{"source": "champ"}]': 'only a stage of RL'}
# One process imports, and forks for each command line: nothing of jax has begun by then.
FORKS = """
import json, os, sys
from r1jax import main
for i, argv in enumerate(json.load(sys.stdin)):
  pid = os.fork()
  if not pid:
    sys.argv = argv
    os.dup2(os.open(f'said{i}', os.O_CREAT | os.O_WRONLY), 2)
    os._exit(main.main(argv))
  print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_mistakes_are_one_line_before_anything_runs(here):
  common = ['r1jax.main', f'--config={ROOT}/experiments/r1_zero.py:tiny', '--workdir=run', '--config.rl.steps=2']
  done = subprocess.run([sys.executable, '-c', FORKS], cwd=here, capture_output=True, text=True, check=True,
                        env={**os.environ, 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')},
                        input=json.dumps([[*common, option] + ['--config.rl.task.size=16'] * ('rl.task' not in option)
                                          for option in MISTAKES]))
  for i, (code, (option, error)) in enumerate(zip(done.stdout.split(), MISTAKES.items(), strict=True)):
    said = (here / f'said{i}').read_text()
    assert code == '2' and error in said.splitlines()[-1] and 'Traceback' not in said, (option, said)
  assert not (here / 'run').exists()  # no mistake has claimed a work dir


@pytest.mark.parametrize('body, value, reason', [
    ('return 0.25', 0.25, 'measured'), ('return True', 1.0, 'measured'), ('return -3', -3.0, 'measured'),
    ('import r1jax.rewards as r; return r.Score(0.5, "wrong: half")', 0.5, 'wrong: half'),
    ('import numpy as np; return np.float32(0.5)', 0.5, 'measured'), ('return None', 0.0, 'error'),
    ('return float("nan")', 0.0, 'error'), ('return "1"', 0.0, 'error'), ('return 1 / 0', 0.0, 'error'),
    ('while True: pass', 0.0, 'timeout'), ('import os; os._exit(0)', 0.0, 'error'),
    ('return float(row["weight"]) * len(completion)', 6.0, 'measured'),
    ('return len(row["question"]) + len(row["expression"])', 5, 'measured'), ('import beside; return beside.VALUE', 7.0, 'measured')])
def test_what_a_function_says(here, body, value, reason):
  (here / 'beside.py').write_text('VALUE = 7')
  (here / 'mine.py').write_text(f'def f(completion, row):\n  {body}\nf.deadline = 1.0\n')
  rewards.get.cache_clear()
  with pool.Pool(workers=1) as judges:
    # The others are judged all the same: a number here, what needs sympy (and its worker's half second) once.
    other = ('math', r'\boxed{\sin^2 x}', {'answer': r'1-\cos^2 x', 'answer_type': 'expr'}) if reason == 'timeout' else (
        'math', r'\boxed{1}', {'answer': '1', 'answer_type': 'int'})
    scores = judges.score([('mine.py:f', 'abc', {'weight': 2, 'question': 'ab', 'expression': 'cde'}), other])
    assert scores[0].value == value and scores[0].reason.startswith(reason) and scores[1].value == 1
    assert judges.errors == reason.startswith(('error', 'timeout'))


def test_a_row_or_a_task_may_name_what_grades_it(here):
  (here / 'mine.py').write_text('def even(completion, row):\n  return len(completion) % 2 == 0\n')
  (here / 'rows.jsonl').write_text('{"question": "a", "answer": "1", "reward": "mine.py:even"}\n{"question": "b", "answer": "2"}\n')
  rows = tasks.load('jsonl:rows.jsonl', size=0, seed=0)
  assert [row.get('reward') for row in rows] == ['mine.py:even', None] and not pool.unreadable(rows)
  (task,) = tasks.several([dict(source='my_data.py:rows', reward='mine.py:even', params=dict(n=3))])
  assert {row['reward'] for row in tasks.asked(task, split='train', template='r1_zero')} == {'mine.py:even'}


def test_an_installed_package_brings_rewards(monkeypatch, here):
  class Entry:
    name = 'brevity'

    def load(self):
      return own.function('my_rewards.py:brevity')

  monkeypatch.setattr(importlib.metadata, 'entry_points', lambda group: [Entry()] if group == 'r1jax.rewards' else [])
  for cached in (rewards.get, rewards._installed):
    cached.cache_clear()
  assert rewards.get('brevity').score('x' * 1000, {}) == rewards.Score(0.5, 'measured')
  for cached in (rewards.get, rewards._installed):
    cached.cache_clear()


def test_a_share_held_out_is_asked_by_evaluations_alone(here):
  (task,) = tasks.several([dict(source='my_data.py:rows', holdout=0.2, params=dict(n=500))])
  trained, held, rest = ({row['question'] for row in tasks.asked(task, split=split, template='r1_zero')}
                         for split in ('train', 'heldout', 'train'))
  assert not trained & held and len(trained | held) == 500 and 70 < len(held) < 130 and trained == rest
  task.split = 'train'
  with pytest.raises(UserError, match='one of them'):
    tasks.asked(task, split='train', template='r1_zero')


def test_every_task_has_its_share():
  order = questions.Order(60, 0, 8, seed=3, tasks=((10, 0.3), (50, 0.7)))
  asked = np.concatenate([order(k, 0) for k in range(20)])
  assert (asked < 10).sum() == 48 and np.array_equal(asked, np.concatenate([order(k, 9) for k in range(20)]))
  first = asked[asked < 10]
  assert len(set(first[:9].tolist())) == 9  # none comes again before all others of its task
  assert any((order(k, 0)[:2] >= 10).any() for k in range(4))  # mixed, not one task behind the other


def test_the_configs_keys_are_the_tasks():
  sys.path.insert(0, str(ROOT / 'experiments'))
  import common
  assert {*common._TASK, 'seed'} == set(tasks.DEFAULTS)
