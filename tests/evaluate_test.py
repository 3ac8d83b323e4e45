"""pass@k, the vote, scores by hand; the command, from flags to scores.json."""

import inspect
import itertools
import json

import numpy as np
import pytest

from r1jax import evaluate as command
from r1jax.exceptions import UserError
from r1jax.stages import scoring


@pytest.mark.parametrize('n, c, k, want', [
    (4, 0, 1, 0.0), (4, 4, 4, 1.0), (4, 1, 1, 0.25), (4, 1, 2, 0.5), (4, 2, 2, 5 / 6), (4, 3, 2, 1.0),
    (64, 1, 64, 1.0), (200, 100, 1, 0.5), (1000, 1, 1, 0.001)])
def test_pass_at_k_by_hand(n, c, k, want):
  assert scoring.pass_at_k(n, c, k) == pytest.approx(want, abs=1e-15)


def test_pass_at_k_counts_subsets():
  for n in range(1, 8):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
      subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
      assert scoring.pass_at_k(n, c, k) == pytest.approx(np.mean([any(s) for s in subsets])), (n, c, k)


@pytest.mark.parametrize('n, c, k', [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5), (0, 0, 1)])
def test_pass_at_k_refuses_what_cannot_be(n, c, k):
  with pytest.raises(ValueError, match=f'n={n} c={c} k={k}'):
    scoring.pass_at_k(n, c, k)


@pytest.mark.parametrize('answers, want', [
    (['1', '2', '2'], '2'),
    (['2', '1', '1', '2'], '2'),  # ties go to the earliest
    (['1', '2', '2', '1', '3'], '1'),
    ([None, None, None, '7'], '7'),  # None does not vote
    ([None, '5', None, '6', '6'], '6'),
    ([None], None), ([], None),
    (['1/2', '0.5'], '1/2'),  # as texts
])
def test_majority(answers, want):
  assert scoring.majority(answers) == want


def test_majority_over_equivalence_classes():
  equal = lambda a, b: eval(a) == eval(b)
  assert scoring.majority(['3', '1/2', '3', '0.5', '2/4'], equal) == '1/2'  # its first member speaks for a class
  assert scoring.majority(['3', '1/2', '3', '0.5', '2/4']) == '3'
  assert scoring.majority([None, '0.5', None, '1/2', '3', '3'], equal) == '0.5'


SETTINGS = {'n_samples': 3, 'temperature': 0.6, 'top_p': 0.95, 'max_tokens': 32}
ROWS = [{'id': 'a', 'answer': '5', 'answer_type': 'int'}, {'id': 'b', 'answer': '7', 'answer_type': 'int'}]


def record(row, answers, tokens=(2, 4, 6)):
  return {'task': 't', 'id': row['id'], 'prompt': '', 'gold': row['answer'], 'samples': [
      {'tokens': n, 'finish': 'stop' if a is not None else 'length', 'answer': a,
       'correct': a == row['answer'], 'reason': '', 'language': float(n > 3), 'words': n,
       'reflection': 0}
      for a, n in zip(answers, tokens)]}


def test_scores_by_hand():
  records = [record(ROWS[0], ['5', '5', '6']), record(ROWS[1], ['8', None, '7'], (1, 32, 3))]
  got = scoring.scores(records, ROWS, SETTINGS, 't')
  assert got == {
      'task': 't', 'n_questions': 2, 'n_samples': 3, 'metric': 'pass@1', 'pass@1': pytest.approx(0.5),  # 2/3 and 1/3
      'pass@1_stderr': pytest.approx(1 / 6),  # half their distance
      'pass@1_low': pytest.approx(1 / 3), 'pass@1_high': pytest.approx(2 / 3),
      'pass@2': pytest.approx(5 / 6), 'pass@2_stderr': pytest.approx(1 / 6),  # 1 and 2/3
      'pass@3': 1.0, 'pass@3_stderr': 0.0,
      'cons@2': 0.5, 'cons@2_stderr': 0.5,  # of the first two samples: 5, and 8 alone votes
      'cons@3': 0.5, 'cons@3_stderr': 0.5,  # the tie of 8 and 7 goes to 8
      'errors': 0.0, 'truncated': pytest.approx(1 / 6), 'length_tokens': 8.0,
      'length_tokens_p50': 3.5, 'length_tokens_p90': 19.0, 'reflection_words': 0.0,
      'language_consistency': pytest.approx(3 / 6), 'words': 8.0, 'temperature': 0.6, 'top_p': 0.95, 'max_tokens': 32,
      'grader': 'r1jax.rewards.math'}
  assert scoring.as_metrics(got)['eval/t/cons@3'] == 0.5 and scoring.as_metrics(got)['eval/t/pass@1'] == got['pass@1']


def test_what_cannot_vote_and_languages_that_cannot_be_told_have_no_score():
  records = [record(ROWS[0], ['5', '5', '6'])]
  for sample in records[0]['samples']:
    sample['language'] = float('nan')
  got = scoring.scores(records, [{**ROWS[0], 'reward': 'scenario'}], SETTINGS, 't')
  assert got['cons@3'] is None and got['language_consistency'] is None
  assert not {'eval/t/cons@3', 'eval/t/language_consistency'} & scoring.as_metrics(got).keys()


@pytest.mark.parametrize('answers', [['5', '5'], ['5'] * 4, []])
def test_each_question_has_n_samples(answers):
  records = [record(ROWS[0], ['5', '5', '6']), record(ROWS[1], answers, range(9))]
  with pytest.raises(UserError, match=f'question b has {len(answers)} samples, 3 wanted'):
    scoring.scores(records, ROWS, SETTINGS, 't')


def test_more_samples_do_not_lower_pass_at_1():
  """The mean over samples, not over those that were expected."""
  for n in (1, 2, 4):
    records = [record(ROWS[0], ['5', '6'] * n, range(1, 9))]
    assert scoring.scores(records, ROWS[:1], {**SETTINGS, 'n_samples': 2 * n}, 't')['pass@1'] == 0.5


@pytest.mark.parametrize('f, signature', [(command.pass_at_k, '(n, c, k)'),
                                          (command.majority, '(answers, equal=None)')])
def test_others_rely_on_these_signatures(f, signature):
  s = inspect.signature(f)
  bare = s.replace(return_annotation=s.empty, parameters=[p.replace(annotation=p.empty) for p in s.parameters.values()])
  assert str(bare) == signature


def test_command_writes_scores_and_refuses_in_one_line(tmp_path, nano, capsys):
  from r1jax.engine import checkpoint
  from r1jax.stages import common
  from r1jax.data import tokenizer
  model, params = nano
  texts = [f'{a} + {b} =' for a in range(30) for b in range(30)]
  trained = tokenizer.train(texts, str(tmp_path / 'tokenizer'), vocab_size=60, pieces=['A'])
  common.save_model(str(tmp_path / 'm'), model, trained)
  checkpoint.save_params(str(tmp_path / 'm'), params, {})
  (tmp_path / 'q.jsonl').write_text('{"question": "1 + 1 =", "answer": "2", "answer_type": "int"}\n' * 3)
  flags = [f'--checkpoint={tmp_path}/m', f'--workdir={tmp_path}/e', '--samples=2', '--max_tokens=8', '--batch=8']
  assert command.main(['x', *flags, '--max_prompt=600', f'--tasks=jsonl:{tmp_path}/q.jsonl']) == 2
  assert 'max_length=256' in capsys.readouterr().err
  assert command.main(['x', *flags, '--max_prompt=16', f'--tasks=jsonl:{tmp_path}/q.jsonl,jsonl:q.jsonl']) == 2
  assert "written as 'q'" in capsys.readouterr().err
  assert command.main(['x', *flags, '--max_prompt=16', '--template=plain', f'--tasks=jsonl:{tmp_path}/q.jsonl']) == 0
  assert json.loads((tmp_path / 'e/eval/q/scores.json').read_text())['n_questions'] == 3
  assert not (tmp_path / 'q.jsonl').is_dir() and capsys.readouterr().out.startswith('{"task": "q"')
  assert command.main(['x', *flags, '--max_prompt=200', '--tasks=nothing']) == 2
  assert "no task 'nothing'" in capsys.readouterr().err


def test_a_vote_is_by_equivalence_and_the_winners_verdict_counts():
  """Right answers that are spelled in other ways than the gold one, or than each other, are one candidate; so are wrong
  ones that a rule finds equal."""
  row = {'answer': r'11\sqrt2', 'answer_type': 'expr'}
  said = lambda answer, correct: {'answer': answer, 'correct': correct}
  right = [said(r'11\sqrt{2}', True), said(r'\sqrt{2}\cdot 11', True)]
  wrong = [said('5', False), said('5.0', False), said('10/2', False)]
  voted = lambda samples: scoring.voted_right(samples, row)
  assert voted(right * 2) and voted(right + wrong[:1]) and not voted(right + wrong[:2] + [said('5', False)])
  assert voted([wrong[0], *right, wrong[2]]) and not voted([said(None, False)] * 3)
