"""r1jax.stages.judging: what is said about a rollout, and verdicts that are replayed, never judged anew."""

import json
import logging

import numpy as np
import pytest

from r1jax.stages import judging
from r1jax.rewards import Score
from r1jax.types import Rollout, RunStopped, UserError

ROW = {'id': 'a', 'question': '1 + 1 =', 'answer': '2', 'answer_type': 'int'}
RIGHT = ' <think> 1 + 1 = 2. </think> <answer> 2 </answer>'
WRONG = ' <think> wait. </think> <answer> 3 </answer>'


def rollout(lengths, stopped):
  B = len(lengths)
  return Rollout(np.zeros((B, 8), np.int32), np.zeros((B, 8), np.float32), np.array(lengths), np.array(stopped))


FOUR = rollout([2] * 4, [True] * 4)


def test_total_is_the_weighted_sum(tmp_path):
  scorer = judging.Scorer({'accuracy': 1.0, 'format': 0.5, 'language': 0.0}, str(tmp_path), [ROW])
  judged = scorer.begin(0, [ROW] * 4, [RIGHT, WRONG, ' 2', ' <answer> 2 </answer>'], FOUR).result()
  np.testing.assert_array_equal(judged.by_name['accuracy'], [1, 0, 0, 1])
  np.testing.assert_array_equal(judged.by_name['format'], [1, 1, 0, 0])
  np.testing.assert_array_equal(judged.total_B, [1.5, 0.5, 0, 1])
  assert set(judged.by_name) == {'accuracy', 'format'} and judged.errors == 0


def test_no_reward_is_an_error(tmp_path):
  with pytest.raises(UserError, match='all rewards are off'):
    judging.Scorer({'accuracy': 0.0}, str(tmp_path), [ROW])


def test_a_verdict_with_a_clock_is_replayed_when_the_rollout_comes_again(tmp_path):
  row = {**ROW, 'answer_type': 'expr'}
  verdicts = iter([[Score(0.0, 'timeout')] + [Score(1.0, 'correct')] * 19, [Score(1.0, 'correct')] * 20])

  class Clock:
    """A judge that times out the first time and not the second."""

    def score(self, items, count_errors=True):
      return next(verdicts) if count_errors else [Score(0.0, 'error')] * len(items)

  def judge(number, texts):
    scorer = judging.Scorer({'accuracy': 1.0}, str(tmp_path), [ROW])  # as after a restart
    scorer._pool = Clock()
    return scorer.begin(number, [row] * 20, texts, rollout([2] * 20, [True] * 20)).result()

  first = judge(3, [RIGHT] * 20)
  assert first.total_B[0] == 0 and first.errors == 1
  np.testing.assert_array_equal(judge(3, [RIGHT] * 20).total_B, first.total_B)  # replayed
  np.testing.assert_array_equal(judge(3, [RIGHT] * 19 + [WRONG]).total_B, np.ones(20))  # another rollout: judged
  verdicts = iter([[Score(0.5, 'correct')] * 20] * 3)
  judge(4, [RIGHT] * 20), judge(5, [RIGHT] * 20)
  assert judge(4, [RIGHT] * 20).total_B[0] == 0.5 and len(list(verdicts)) == 1  # several rollouts back, too
  scorer = judging.Scorer({'accuracy': 1.0}, str(tmp_path), [ROW])
  scorer.forget(before=5)
  assert [p.name for p in (tmp_path / 'verdicts').iterdir()] == ['00000005.json']


def test_too_many_errors_stop_the_run(tmp_path):
  scorer = judging.Scorer({'accuracy': 1.0}, str(tmp_path), [ROW])
  judged = scorer.begin(0, [{**ROW, 'answer_type': 'nonsense'}] * 4, [RIGHT] * 4, FOUR).result()
  assert judged.errors == 4
  judging.stop_if_unjudged({'rewards/errors': 0.1})
  with pytest.raises(RunStopped, match='100% of the completions have verdicts that are errors'):
    judging.stop_if_unjudged({'rewards/errors': judged.errors / 4})


def test_facts_by_hand():
  total = np.array([1, 1, 0, 2], np.float32)
  judged = judging.Judged(total, {'accuracy': np.array([1, 1, 0, 1], np.float32)}, {'accuracy': ['correct'] * 4}, 0, {})
  advantages = np.array([[0, 0], [-1, 1]], np.float32)
  found = judging.facts(rollout([2, 4, 8, 2], [True, True, False, True]), judged, advantages, [ROW] * 4,
                        ['Wait, but', 'nothing', 'waiting', 'wait wait'])
  assert found['reward/mean'] == 1.0 and found['accuracy/mean'] == 0.75 and found['length/tokens'] == 4.0
  assert found['length/truncated'] == 0.25 and found['groups/no_signal'] == 0.5 and found['groups/std_min'] == 1.0
  assert found['reflection/words_per_completion'] == 1.0  # whole words only
  assert found['rollout/slot_use'] == 16 / 32


def test_sample_rows_are_json_and_belong_together():
  judged = judging.Judged(np.arange(4, dtype=np.float32), {'accuracy': np.array([1, 0, 0, 1], np.float32)},
                          {'accuracy': ['correct', 'wrong', 'wrong', 'correct']}, 0, {})
  rows = judging.sample_rows(6, 2, [ROW, {**ROW, 'id': 'b'}], ['p', 'q', 'r', 's'],
                             rollout([1, 2, 3, 4], [True, False, True, True]), judged,
                             np.array([[1, -1], [-1, 1]], np.float32), keep=5)
  assert [(r['id'], r['sample'], r['completion'], r['tokens'], r['correct']) for r in json.loads(json.dumps(rows))] == [
      ('a', 0, 'p', 1, True), ('a', 1, 'q', 2, False), ('b', 0, 'r', 3, False), ('b', 1, 's', 4, True)]
  assert [r['finish'] for r in rows] == ['stop', 'length', 'stop', 'stop']
  assert [r['advantage'] for r in rows] == [1, -1, -1, 1] and [r['reward'] for r in rows] == [0, 1, 2, 3]


def test_a_broken_run_stops():
  fine = {'loss': 0.1, 'grad_norm': 1.0, 'mismatch/logp_max_abs': 0.01}
  judging.stop_if_broken([fine], mismatch_limit=0.1, first=True)
  judging.stop_if_broken([{**fine, 'mismatch/logp_max_abs': 1.0}], mismatch_limit=0.1, first=False)
  with pytest.raises(RunStopped, match='not finite'):
    judging.stop_if_broken([fine, {**fine, 'grad_norm': float('nan')}], mismatch_limit=0.1, first=False)
  with pytest.raises(RunStopped, match='rl.mismatch_limit=0.1'):
    judging.stop_if_broken([{**fine, 'mismatch/logp_max_abs': 1.0}], mismatch_limit=0.1, first=True)


def test_rare_success_is_warned_of(caplog):
  with caplog.at_level(logging.WARNING, logger='r1jax'):
    judging.warn_if_rare(0.2, 30, 16)
    judging.warn_if_rare(0.01, 5, 16)
    assert not caplog.records
    judging.warn_if_rare(0.01, 30, 16)
  assert 'only the format is learned' in caplog.text


def test_lengths_reach_the_rewards_that_ask_for_them(tmp_path):
  scorer = judging.Scorer({'accuracy': 1.0, 'truncated': 0.5, 'overlong': 1.0, 'repetition': 1.0}, str(tmp_path), [ROW],
                          max_tokens=10, overlong_buffer=4)
  judged = scorer.begin(0, [ROW] * 4, [RIGHT, RIGHT, 'a b c d a b c d a b c d', RIGHT],
                        rollout([6, 8, 3, 10], [True, True, True, False])).result()
  np.testing.assert_allclose(judged.by_name['overlong'], [0, -0.5, 0, -1])
  np.testing.assert_allclose(judged.by_name['truncated'], [0, 0, 0, -1])
  assert judged.by_name['repetition'][2] == pytest.approx(4 / 9 - 1) and judged.by_name['repetition'][0] == 0
  np.testing.assert_allclose(judged.total_B, [1, 0.5, 0 + 4 / 9 - 1, 1 - 0.5 - 1], rtol=1e-6)
  scorer.close()


def test_a_second_grader_reports_what_it_sees_otherwise(tmp_path):
  scorer = judging.Scorer({'accuracy': 1.0}, str(tmp_path), [ROW])
  texts = [RIGHT, WRONG, ' <answer> 1+1 </answer>', ' <answer> ? </answer>']  # a question is no answer; a mark is not read
  judged = scorer.begin(0, [ROW] * 4, texts, FOUR).result()
  assert judged.second == {'rewards/disagreement': pytest.approx(1 / 3), 'rewards/overpaid': 0.0}
  broken = judging._again(scorer._pool, [[1.0, 'correct']] * 4, [ROW] * 4, [RIGHT, WRONG, WRONG, RIGHT])  # a first grader that pays for all
  assert broken == {'rewards/disagreement': 0.5, 'rewards/overpaid': 0.5}
  sets = [{**ROW, 'answer': r'\{1, 2\}', 'answer_type': 'set'}] * 2  # to math-verify, which accepts a repeated element
  judged = scorer.begin(1, sets, [r' <answer> \{2, 1\} </answer>', r' <answer> \{1, 2, 1\} </answer>'], rollout([2] * 2, [True] * 2)).result()
  np.testing.assert_array_equal(judged.by_name['accuracy'], [1, 0])
  assert judged.second == {'rewards/disagreement': 0.5, 'rewards/overpaid': 0.0}
  scorer.close()


def test_a_row_that_cannot_be_graded_is_refused_with_its_place(tmp_path):
  rows = [ROW, {**ROW, 'answer': 'two', 'where': 'questions.jsonl:7'}]
  with pytest.raises(UserError, match="questions.jsonl:7: answer='two' does not parse as 'int'"):
    judging.Scorer({'accuracy': 1.0}, str(tmp_path), rows)
  with pytest.raises(UserError, match='row b: .*matrix'):
    judging.start(set(), [{**ROW, 'id': 'b', 'answer_type': 'matrix'}])
  with pytest.raises(UserError, match="a row for the reward 'code' needs 'tests'"):
    judging.start(set(), [{**ROW, 'reward': 'code'}])
  with pytest.raises(UserError, match=r"x\^ \+|'x\^'"):
    judging.start(set(), [{**ROW, 'answer': 'x^', 'answer_type': 'expr'}])
