"""Graders of benchmarks: a judge that goes by a script, and numbers that were worked out by hand."""

import math

import numpy as np
import pytest

from r1jax.exceptions import UserError
from r1jax.rewards import Score
from r1jax.rewards import judge as judge_lib
from r1jax.rewards.judge import scores
from r1jax.rewards.judge import wording
from r1jax.stages import judges

ROW = {'id': '1', 'question': 'Which is the largest {planet}?', 'answer': 'Jupiter', 'judge': 'correct',
       'format': 'deepseek_r1'}
PAIR = {'id': '2', 'question': 'Write a line.', 'baseline': 'theirs', 'format': 'deepseek_r1'}


def turn(said):
  return f'I think of Saturn.\n</think>\n\n{said}'


def scripted(says):
  """A judge whose reply to a prompt is says(prompt), and the batches of prompts that it was asked."""
  batches = []

  def together(prompts):
    batches.append(list(prompts))
    return [says(prompt) for prompt in prompts]

  return judge_lib.Judge(together=together), batches


@pytest.mark.parametrize('reply, verdict', [
    ('VERDICT: CORRECT', 'CORRECT'), ('VERDICT: INCORRECT', 'INCORRECT'), ('VERDICT: NOT_ATTEMPTED', 'NOT_ATTEMPTED'),
    ('**VERDICT:** not attempted.', 'NOT_ATTEMPTED'), (r'VERDICT: NOT\_ATTEMPTED', 'NOT_ATTEMPTED'),
    ('VERDICT: TRUE', 'TRUE'), ('Verdict: [False]', 'FALSE'), ('VERDICT: CORRECTLY', None), ('VERDICT: 1>2', None),
    ('VERDICT: CORRECT?\nVERDICT: INCORRECT', 'INCORRECT'), ('VERDICT: NOT', None),
])
def test_verdicts_are_read(reply, verdict):
  assert wording.read(reply) == verdict


@pytest.mark.parametrize('reply, grade', [
    ('VERDICT: 1>>2', '>>'), ('VERDICT: 1 > 2', '>'), ('**VERDICT**: [[1=2]]', '='), ('VERDICT: 2>1', '<'),
    ('VERDICT: 2>>1', '<<'), ('VERDICT: Reply 2 >> Reply 1', '<<'), ('VERDICT: 2<1', '>'), ('VERDICT: 1>1', None),
    ('VERDICT: 1', None), ('', None), ('VERDICT: 1>2\nno: VERDICT: 2>1', '<'), ('VERDICT: 1>2</think>hm', None),
])
def test_grades_are_read_as_of_the_first(reply, grade):
  assert wording.read_grade(reply) == grade


@pytest.mark.parametrize('template, name', [
    (wording.CORRECT, 'CORRECT'), (wording.TRUE, 'TRUE'), (wording.GRADE, '2>>1'), (wording.BETTER, '2'),
    (wording.SAME, 'DIFFERENT')])
def test_what_is_asked_names_its_verdicts(template, name):
  asked = template.format(question='{q}', first='{a}', second='{b}')
  assert asked.index('{q}') < asked.index('{a}') < asked.index('{b}') and f'VERDICT: {name}' in asked


def test_three_grades_and_the_final_part_alone():
  says = {'Jupiter': 'CORRECT', 'Mars': 'INCORRECT', 'no idea': 'NOT_ATTEMPTED', 'mumble': '?'}
  judge, batches = scripted(lambda p: f'VERDICT: {says[p.split("Reply:")[1].split("End with")[0].strip()]}')
  texts = [turn(said) for said in says] + ['thinking that never ends']
  graded = judge.grade([ROW] * 5, texts)
  assert graded[0] == judge_lib.Graded(1.0, 'correct', ('CORRECT',))
  assert [(g.value, g.reason) for g in graded[1:]] == [
      (0.0, 'wrong'), (0.0, 'wrong: not attempted'), (0.0, 'error: the judge cannot be read'),
      (0.0, 'wrong: not attempted')]
  assert len(batches) == 1 and len(batches[0]) == 4 and judge.unread == 1  # once each, and not the unended one
  assert all('Saturn' not in p and 'largest {planet}?' in p and 'Jupiter' in p for p in batches[0])
  assert isinstance(graded[0], Score)


@pytest.mark.parametrize('text, row, seen', [
    (turn('so'), ROW, 'so'), ('<think> a </think> <answer> b </answer>', {'format': 'r1_zero'}, 'b'), ('b', {}, 'b'),
    ('<think> a', {'format': 'r1_zero'}, ''), ('a', ROW, ''), ('<|thought|> a<|thought|> b', {'format': 'r1'}, 'b'),
])
def test_what_a_judge_sees(text, row, seen):
  assert judge_lib.final(text, row) == seen


def test_frames_is_true_or_false():
  judge, _ = scripted(lambda p: 'VERDICT: TRUE' if 'gas giant Jupiter' in p else 'VERDICT: FALSE')
  rows, texts = [{**ROW, 'judge': 'true'}] * 3, [turn('the gas giant Jupiter'), turn('Mars'), 'unended']
  graded = judge.grade(rows, texts)
  assert [g.value for g in graded] == [1.0, 0.0, 0.0] and [g.verdicts for g in graded] == [('TRUE',)] + [('FALSE',)] * 2
  assert scores.of(rows, texts, graded, judge_lib.final) == {'accuracy': pytest.approx(1 / 3), 'errors': 0.0}


def first(prompt):
  return prompt.split('Reply 1:\n')[1].split('\n\nReply 2:')[0]


@pytest.mark.parametrize('kind, says, value, verdicts', [
    ('better', lambda p: '1' if first(p) == 'ours' else '2', 1.0, ('>', '>')),
    ('better', lambda p: '1', 0.5, ('>', '<')),  # the order decides
    ('better', lambda p: '1' if first(p) == 'theirs' else '2', 0.0, ('<', '<')),
    ('grade', lambda p: '1>>2' if first(p) == 'ours' else '1=2', 0.75, ('>>', '=')),
    ('grade', lambda p: '2>1' if first(p) == 'ours' else '1>>2', 0.0, ('<', '<<')),
])
def test_two_replies_in_both_orders(kind, says, value, verdicts):
  judge, batches = scripted(lambda p: f'VERDICT: {says(p)}')
  graded = judge.grade([{**PAIR, 'judge': kind}], [turn('ours')])[0]
  assert (graded.value, graded.verdicts) == (value, verdicts) and len(batches[0]) == 2
  assert judge.swapped == (verdicts[0][0] != verdicts[1][0])
  assert judge.grade([{**PAIR, 'judge': kind}], ['unended'])[0].value == 0.0 and len(batches) == 1  # unasked
  mute, _ = scripted(lambda p: '1>2' if first(p) == 'ours' else 'VERDICT: 1>2')
  assert mute.grade([{**PAIR, 'judge': kind}], [turn('ours')])[0].reason.startswith('error')


def test_rows_of_all_kinds_go_in_one_batch_and_each_needs_its_own():
  judge, batches = scripted(lambda p: 'VERDICT: SAME' if 'Answer 1' in p else 'VERDICT: 1')
  rows = [{**ROW, 'judge': 'same'}, {**PAIR, 'judge': 'better'}]
  assert [g.value for g in judge.grade(rows, [turn('a'), turn('b')])] == [1.0, 0.5] and len(batches[0]) == 4
  for row, said in (({'judge': 'vibes'}, "judge='vibes': one of same"), ({'judge': 'grade'}, "has no 'baseline'")):
    with pytest.raises(UserError, match=said):
      judge.grade([{**ROW, **row}], ['a'])


def test_judged_items_and_ruled_ones_keep_their_places():
  class Pool:
    def score(self, items):
      return [Score(0.25, text) for _, text, _ in items]

  judge, batches = scripted(lambda p: 'VERDICT: CORRECT')
  items = [('math', 'a', {}), ('judge', turn('b'), ROW), ('math', 'c', {}), ('judge', 'unended', ROW)]
  found = judges.score(Pool(), judge, items)
  assert [(s.value, s.reason) for s in found] == [(0.25, 'a'), (1.0, 'correct'), (0.25, 'c'),
                                                  (0.0, 'wrong: not attempted')] and len(batches) == 1
  assert judges.Pool(Pool(), judge).score(items) == found
  assert judges.score(Pool(), None, items)[1].reason == 'error: no judge is given'


def test_a_judge_is_no_reward():
  from r1jax import rewards
  from r1jax.stages import checking
  assert rewards.get('judge').score('a', ROW).reason == 'error: no judge is given'
  with pytest.raises(UserError, match="'judge' is no reward"):
    checking.weights({'accuracy': 1.0, 'judge': 1.0}, max_tokens=9, overlong_buffer=0)


# --- SimpleQA


def test_factual_by_hand():
  of = lambda verdict, n: [judge_lib.Graded(0.0, '', (verdict,) if verdict else ())] * n
  found = scores.factual(of('CORRECT', 3) + of('INCORRECT', 1) + of('NOT_ATTEMPTED', 4) + of('', 2))
  # 3 of 8, 3 of the 4 attempted; 2 * 3/8 * 3/4 / (9/8) = 1/2
  assert found == pytest.approx({'correct': 3 / 8, 'incorrect': 1 / 8, 'not_attempted': 1 / 2,
                                 'correct_given_attempted': 3 / 4, 'f1': 1 / 2, 'errors': 1 / 5})
  assert scores.factual(of('NOT_ATTEMPTED', 2))['f1'] == 0.0
  with pytest.raises(ValueError, match='none with a verdict'):
    scores.factual(of('', 2))


# --- AlpacaEval


def test_length_controlled_by_hand():
  """Half of 40 replies are longer and win 4 of 5, half are as much shorter and win 1 of 2. Two groups, two
  coefficients: the fit is exact, logits log 4 and 0 lie at +x and -x, and in the middle is log 2: 2/3, not 0.65."""
  y = np.array([1, 1, 1, 1, 0] * 4 + [1, 0] * 10, float)
  d = np.array([100] * 20 + [-100] * 20)
  found = scores.length_controlled(y, 500 + d, np.full(40, 500), ridge=0.0, resamples=0)
  assert found.winrate == pytest.approx(0.65) and found.lc_winrate == pytest.approx(2 / 3, abs=1e-12)
  x = math.tanh(100 / np.std(d, ddof=1))
  assert found.coefficients == pytest.approx((math.log(2), math.log(2) / x, 0.0), abs=1e-10)


def test_length_controlled_finds_what_was_planted():
  rng = np.random.default_rng(1)
  own, other, gamma = rng.integers(900, 4000, 300), rng.integers(50, 2000, 300), rng.normal(size=300)
  d = (own - other).astype(float)
  logit = 0.4 + 1.5 * np.tanh(d / d.std(ddof=1)) - 0.7 * gamma
  found = scores.length_controlled(1 / (1 + np.exp(-logit)), own, other, gamma, ridge=0.0, resamples=0)
  assert found.coefficients == pytest.approx((0.4, 1.5, -0.7), abs=1e-9)
  assert found.lc_winrate == pytest.approx(np.mean(1 / (1 + np.exp(-(0.4 - 0.7 * gamma)))), abs=1e-10)
  assert found.winrate > found.lc_winrate + 0.1  # it won by length


def test_length_controlled_where_there_is_nothing_to_fit():
  equal = scores.length_controlled([1, 0, 1, 1], [5] * 4, [9] * 4)  # one length: the win rate itself
  assert equal.lc_winrate == pytest.approx(0.75, abs=1e-3) and equal.coefficients[1:] == (0.0, 0.0)
  assert equal.interval[0] <= equal.lc_winrate <= equal.interval[1]
  all_won = scores.length_controlled([1] * 50, np.arange(50), np.zeros(50))
  assert 0.99 < all_won.lc_winrate < 1 and np.isfinite(all_won.coefficients).all()
  assert scores.length_controlled([1], [5], [9]).winrate == 1
  for wrong in (([], [], []), ([1, 0], [1], [1, 2]), ([1.5], [1], [1])):
    with pytest.raises(ValueError):
      scores.length_controlled(*wrong)


# --- ArenaHard


def test_arena_by_hand():
  games = [('>>', '>>'), ('>', '='), ('<', '>'), ('<<', '='), ()]
  # won: 6 + 1.5 + 1 + 0.5 = 9 of 6 + 2 + 2 + 4 = 14
  found = scores.arena(games)
  assert found['winrate'] == pytest.approx(9 / 14) and found['elo'] == pytest.approx(400 * math.log10(9 / 5))
  assert found['errors'] == pytest.approx(0.2) and found['n_questions'] == 4
  assert found['winrate_low'] < 9 / 14 < found['winrate_high']
  assert scores.arena([('>', '>')] * 3)['elo'] is None
  with pytest.raises(ValueError, match='none with a verdict'):
    scores.arena([()])


def test_arena_is_the_bradley_terry_model():
  """The likelihood of all weighted games is greatest at the win rate's own rating."""
  games = [('>>', '>'), ('<', '='), ('<<', '>'), ('=', '=')]
  won = 3 + 1 + 0 + 0.5 + 0 + 1 + 0.5 + 0.5
  lost = 0 + 0 + 1 + 0.5 + 3 + 0 + 0.5 + 0.5
  r = np.linspace(-5, 5, 200_001)
  best = r[np.argmax(-won * np.logaddexp(0, -r) - lost * np.logaddexp(0, r))]
  assert scores.arena(games)['winrate'] == pytest.approx(1 / (1 + math.exp(-best)), abs=1e-4)


def test_the_arena_interval_is_of_questions():
  """Of 100 questions half are won whole, half lost: the share of questions has sd 0.05. Games, twice as many, would
  give 0.035."""
  found = scores.arena([('>', '>')] * 50 + [('<', '<')] * 50, resamples=4000)
  assert found['winrate'] == 0.5 and found['winrate_high'] - found['winrate_low'] == pytest.approx(2 * 1.96 * 0.05,
                                                                                                  rel=0.1)


def test_scores_of_a_benchmark():
  better = lambda p: first(p) == 'ours' or first(p) == 'theirs' and 'lost' in p
  judge, _ = scripted(lambda p: 'VERDICT: 1>2' if better(p) else 'VERDICT: 2>1')
  rows, texts = [{**PAIR, 'judge': 'grade'}] * 4, [turn('ours')] * 3 + [turn('lost')]
  found = scores.of(rows, texts, judge.grade(rows, texts), judge_lib.final)
  assert found['winrate'] == pytest.approx(6 / 8)
  judge, _ = scripted(lambda p: 'VERDICT: 1' if better(p) else 'VERDICT: 2')
  rows = [{**PAIR, 'judge': 'better'}] * 4
  found = scores.of(rows, texts, judge.grade(rows, texts), judge_lib.final)
  assert found['winrate'] == pytest.approx(3 / 4) and found['errors'] == 0
  assert set(found) == {'winrate', 'lc_winrate', 'lc_winrate_low', 'lc_winrate_high', 'errors'}
