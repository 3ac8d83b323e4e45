"""The accuracy reward over a table of pairs, a table of golds that must be refused, and hostile answers."""

import os
import time

import pytest

from r1jax import rewards
from r1jax.rewards import math
from r1jax.rewards import pool
import rewards_math_table as table


def item(kind, gold, said, **extras):
  return ('math', rf'<think> so </think> \boxed{{{said}}}', {'answer': gold, 'answer_type': kind, **extras})


@pytest.fixture(scope='module')
def judges():
  with pool.Pool(workers=2) as p:
    yield p


@pytest.mark.parametrize('kind', math.TYPES)
def test_no_pair_is_misjudged(judges, kind):
  rows = [(gold, said, right, (extras or [{}])[0]) for k, gold, said, right, *extras in table.PAIRS if k == kind]
  assert len(rows) >= 40
  found = judges.score([item(kind, gold, said, **extras) for gold, said, _, extras in rows])
  wrong = [(gold, said, extras, score.reason) for (gold, said, right, extras), score in zip(rows, found)
           if score.value != right or score.reason.startswith(('error', 'timeout'))]
  assert not wrong, '\n'.join(map(str, wrong))


def test_every_gold_of_the_table_is_accepted():
  for kind, gold, extras in dict.fromkeys((k, g, str(x)) for k, g, _, _, *x in table.PAIRS):
    math.check_row({'answer': gold, 'answer_type': kind, **(eval(extras) or [{}])[0]})  # pylint: disable=eval-used


@pytest.mark.parametrize('kind, gold', table.REFUSED)
def test_golds_that_are_refused(kind, gold):
  with pytest.raises(ValueError):
    math.check_row({'answer': gold, 'answer_type': kind})


GOLDS = {'int': '7', 'rational': '7/77', 'decimal': '7.7', 'choice': 'G', 'text': 'seven', 'expr': 'x+7',
         'set': r'\{7, 77\}', 'tuple': '(7,77)', 'interval': '[7, 77)', 'matrix': r'\begin{pmatrix}7\\77\end{pmatrix}',
         'equation': 'y = 7x+77'}


def test_hostile_answers_score_nothing_and_hold_nobody_up(judges):
  slowest = 0.0
  for kind, gold in GOLDS.items():
    for said in table.HOSTILE:
      start = time.monotonic()
      score, = judges.score([item(kind, gold, said)])
      slowest = max(slowest, time.monotonic() - start)
      assert score.value == 0, (kind, said[:100], score)
  assert slowest < 8  # the deadline, a worker's start and a busy machine
  assert not os.path.exists('/tmp/pwned')


def test_hostile_answers_to_a_gold_as_strange_as_they_are(judges):
  """Where the gold allows towers and sums, what is admitted goes to sympy: the clock alone stops it."""
  gold = r'\sum_{k=1}^{n} 9^{k^{2}} + \int_0^1 x! dx'
  for said in table.HOSTILE[:200:16]:
    score, = judges.score([item('expr', gold, said)])
    assert score.value == 0 and score.reason in ('wrong', 'timeout', 'no answer') or score.reason.startswith('error')


def test_votes_join_what_the_reward_joins():
  same = {'set': [r'\{1,2\}', '2, 1', 'x = 1, x = 2', r'\{2, 1.0\}'], 'tuple': ['(1,2)', r'\left(1, 2\right)', '1, 2'],
          'interval': ['[0,1)', r'0 \le x < 1', r'x \in [0, 1)'],
          'matrix': [r'\begin{pmatrix}1\\2\end{pmatrix}', '[[1],[2]]', '(1,2)^T']}
  for kind, answers in same.items():
    assert len({math.normalise(a, kind) for a in answers}) == 1, kind
  assert math.normalise(r'\{1', 'set') == r'\{1'
  assert rewards.get('math').normalise('(1,2)', 'set') != math.normalise('(2,3)', 'set')
