"""r1jax.stages.scoring: planted counts give the numbers that are worked out here in another way; what a graded value is
reported as; what is said of samples that are missing or there twice."""

import collections
from fractions import Fraction
import math

import numpy as np
import pytest

from r1jax import rewards
from r1jax.stages import scoring

SETTINGS = {'temperature': 0.6, 'top_p': 0.95, 'max_tokens': 32768}


def sample(answer, right, **more):
  return {'answer': answer, 'correct': right, 'reason': 'correct' if right else 'wrong', 'tokens': 10, 'finish': 'stop',
          'language': 1.0, 'words': 3, 'reflection': 1, **more}


def planted(questions=200, n=64, seed=7):
  """(records, rows, [Q, n] answers): of question i the right answer is i, wrong ones are few, so that they win votes."""
  rng, records, rows, said = np.random.default_rng(seed), [], [], []
  for i in range(questions):
    right = rng.permutation(n) < int(rng.integers(0, n + 1))
    answers = [str(i) if r else None if (w := int(rng.integers(0, 4))) == 3 else f'{1000 + w}' for r in right]
    rows.append({'id': f'q{i}', 'answer': str(i), 'answer_type': 'int'})
    records.append({'id': f'q{i}', 'samples': [sample(a, bool(r)) for a, r in zip(answers, right)]})
    said.append(answers)
  return records, rows, said


def mean_and_error(values):
  """In exact arithmetic but for the root."""
  values = [Fraction(v) for v in values]
  mean = sum(values) / len(values)
  return float(mean), math.sqrt(sum((v - mean)**2 for v in values) / (len(values) - 1) / len(values))


def voted(answers, gold) -> bool:
  """The most frequent answer, the earlier one of equals; Counter keeps the order of the first ones."""
  counts = collections.Counter(a for a in answers if a is not None)
  return bool(counts) and counts.most_common(1)[0][0] == gold


@pytest.mark.parametrize('n', [64, 24, 5, 1])
def test_planted_counts_give_every_score_and_its_error(n):
  records, rows, said = planted(n=n)
  got = scoring.scores(records, rows, {**SETTINGS, 'n_samples': n}, 't')
  counts = [sum(a == str(i) for a in answers) for i, answers in enumerate(said)]
  wanted = {'pass@1': mean_and_error(Fraction(c, n) for c in counts)}
  sizes = [k for k in (2, 4, 8, 16, 32) if k < n] + [n] * (n > 1)
  for k in sizes:
    none = lambda c, k=k: math.prod((Fraction(max(n - c - j, 0), n - j) for j in range(k)), start=Fraction(1))
    wanted[f'pass@{k}'] = mean_and_error(1 - none(c) for c in counts)
  for k in sizes or [1]:
    blocks = lambda answers, k=k: [answers[b * k:b * k + k] for b in range(n // k)]
    wanted[f'cons@{k}'] = mean_and_error(Fraction(sum(voted(b, str(i)) for b in blocks(answers)), n // k)
                                         for i, answers in enumerate(said))
  for name, (mean, error) in wanted.items():
    assert got[name] == pytest.approx(mean, abs=1e-12), name
    assert got[f'{name}_stderr'] == pytest.approx(error, abs=1e-12), name
  assert {name for name in got if '@' in name and not name.endswith(('_stderr', '_low', '_high'))} == wanted.keys()
  assert got['n_questions'] == 200 and got['pass@1_low'] < got['pass@1'] < got['pass@1_high']


def test_the_error_is_clustered_by_question():
  """As for a regression on a constant with questions as clusters (Liang and Zeger 1986, with Q / (Q - 1))."""
  records, rows, _ = planted(n=8)
  got = scoring.scores(records, rows, {**SETTINGS, 'n_samples': 8}, 't')
  right = np.array([[s['correct'] for s in r['samples']] for r in records], float)
  residuals = (right - right.mean()).sum(axis=1)
  assert got['pass@1_stderr'] == pytest.approx(math.sqrt(200 / 199 * (residuals**2).sum()) / right.size, abs=1e-12)
  naive = right.std(ddof=1) / right.size**0.5
  assert got['pass@1_stderr'] > 1.5 * naive


def test_the_interval_has_the_shares_of_its_binomial():
  """Where every question is all right or all wrong, the mean of a draw of Q questions is Binomial(Q, p) / Q."""
  Q, p = 200, 0.3
  values = np.array([1.0] * int(Q * p) + [0.0] * int(Q * (1 - p)))
  low, high = scoring.interval(values)
  below = lambda x: sum(math.comb(Q, i) * p**i * (1 - p)**(Q - i) for i in range(round(x * Q) + 1))
  assert below(low - 1 / Q) <= 0.03 and below(low) >= 0.02
  assert below(high) >= 0.97 and below(high - 1 / Q) <= 0.98
  assert (low, high) == scoring.interval(values)  # the same draws every time
  assert scoring.interval(np.array([0.25] * 9)) == (0.25, 0.25) and scoring.interval(np.array([1.0])) == (None, None)


def test_the_interval_is_the_plain_bootstrap_s_whatever_is_drawn_at_once(monkeypatch):
  values = np.random.default_rng(3).random(37)
  rng = np.random.default_rng(scoring.SEED)
  means = [values[rng.integers(37, size=37)].mean() for _ in range(scoring.RESAMPLES)]
  want = np.percentile(means, [2.5, 97.5])
  assert scoring.interval(values) == pytest.approx(want, abs=1e-12)
  monkeypatch.setattr(scoring, '_AT_ONCE', 1000)
  assert scoring.interval(values) == pytest.approx(want, abs=1e-12)


def test_what_samples_look_like_by_hand():
  samples = [sample('5', True, tokens=t, finish=f, language=l, words=w, reflection=r, reason=reason)
             for t, f, l, w, r, reason in [(10, 'stop', 1.0, 4, 0, 'correct'), (20, 'stop', None, 0, 3, 'timeout'),
                                           (30, 'length', 0.5, 8, 1, 'error: x'), (100, 'length', float('nan'), 0, 0, 'wrong')]]
  got = scoring.scores([{'id': 'a', 'samples': samples}], [{'id': 'a', 'answer': '5', 'answer_type': 'int'}],
                       {**SETTINGS, 'n_samples': 4}, 't')
  assert {k: got[k] for k in ('errors', 'truncated', 'length_tokens', 'length_tokens_p50', 'length_tokens_p90',
                              'language_consistency', 'words', 'reflection_words')} == {
      'errors': 0.5, 'truncated': 0.5, 'length_tokens': 40.0, 'length_tokens_p50': 25.0,
      'length_tokens_p90': pytest.approx(79.0), 'language_consistency': 0.75, 'words': 3.0, 'reflection_words': 1.0}
  assert got['pass@1_stderr'] is None and got['pass@1_low'] is None  # of one question


def test_a_graded_value_is_reported_under_its_own_name(monkeypatch):
  values = [[0.5, 1.0], [0.0, 0.25], [1.0, 1.0]]
  records = [{'id': str(i), 'samples': [sample('x', v == 1.0, value=v) for v in of]} for i, of in enumerate(values)]
  rows = [{'id': str(i), 'answer': '', 'answer_type': 'text', 'reward': 'math'} for i in range(3)]
  monkeypatch.setattr(rewards.get('math'), 'METRIC', 'f1', raising=False)
  got = scoring.scores(records, rows, {**SETTINGS, 'n_samples': 2}, 'drop')
  assert got['metric'] == 'f1' and got['f1'] == pytest.approx(0.625, abs=1e-12)
  assert got['f1_stderr'] == pytest.approx(np.std([0.75, 0.125, 1.0], ddof=1) / 3**0.5, abs=1e-12)
  assert got['f1_low'] < got['f1'] < got['f1_high'] and not any(name.startswith(('pass@', 'cons@')) for name in got)
  assert scoring.headline(got) == ('f1', got['f1']) and scoring.as_metrics(got)['eval/drop/f1'] == got['f1']
  rows = [{**row, 'metric': 'rubric'} for row in rows]  # a row that names its reward may name its metric too
  assert scoring.scores(records, rows, {**SETTINGS, 'n_samples': 2}, 'drop')['rubric'] == pytest.approx(0.625)


@pytest.mark.parametrize('change, said', [
    (lambda r: r[1]['samples'].pop(), "question q1 has 63 samples, 64 wanted"),
    (lambda r: r[1]['samples'].append(r[1]['samples'][0]), "question q1 has 65 samples, 64 wanted"),
    (lambda r: r.pop(), "the first that is missing is 'q199'"),
    (lambda r: r.pop(3), "samples of question 'q4' stand where those of 'q3' should"),
    (lambda r: r.append(r[0]), "the first that is too many is 'q0'"),
    (lambda r: r.insert(5, r[4]), "samples of question 'q4' stand where those of 'q5' should")])
def test_samples_that_are_missing_or_double_name_their_question(change, said):
  records, rows, _ = planted()
  change(records)
  with pytest.raises(scoring.UserError) as e:
    scoring.scores(records, rows, {**SETTINGS, 'n_samples': 64}, 't')
  assert said in str(e.value) and '\n' not in str(e.value)


@pytest.mark.parametrize('n, want', [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (64, [1, 2, 4, 8, 16, 32, 64])])
def test_k_are_powers_of_two_and_n(n, want):
  assert scoring.powers(n) == want
