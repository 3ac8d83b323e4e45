"""The tiny world: questions, written answers, and the rules that label pairs and measure the end."""

import random

import pytest

from r1jax.data import corpus
from r1jax import rewards
from r1jax.data import scenarios
from r1jax.data import tasks

ROWS = {kind: next(r for r in scenarios.questions() if r['scenario'] == kind) for kind in scenarios.SCENARIOS}
SEA = {**ROWS['facts'], 'about': 'the sea'}


def test_every_question_is_asked_once_and_splits_share_none():
  asked = [r['question'] for r in scenarios.questions()]
  assert len(asked) == len(set(asked)) > 600
  found = [{r['question'] for r in tasks.load('scenarios', size=0, seed=0, split=s)} for s in tasks.SPLITS]
  assert sum(map(len, found)) == len(asked) and not found[0] & found[1] and not found[1] & found[2]
  for rows in (tasks.load('scenarios', size=0, seed=0, split=s) for s in tasks.SPLITS):
    assert {r['scenario'] for r in rows} == set(scenarios.SCENARIOS)  # each split has every kind


@pytest.mark.parametrize('summary, value', [
    ('The sea is blue.', 1 / 3), ('The sea is blue, deep and salty.', 1.0),
    ('The sea is blue, deep, salty and wide.', 1.0), ('The sea is blue and hot.', 0.0),
    ('The sea is blue, deep and hot.', 1 / 3), ('The sea is blue, blue and blue.', 1 / 3),
    ('Snow is white.', 0.0), ('It is blue.', 0.0), ('', 0.0), (None, 0.0), (scenarios.REFUSAL, 0.0),
    ('The sea is blue. The sea is deep.', 0.0), ('the sea is wide.', 1 / 3),
])
def test_helpfulness_counts_true_facts_once_and_false_ones_against(summary, value):
  assert scenarios.helpfulness(SEA, summary) == pytest.approx(value)


def test_other_kinds_have_one_right_answer():
  row = ROWS['translation']
  assert scenarios.helpfulness(row, f' In Chinese it is {scenarios.CHINESE[row["about"]]}.') == 1.0
  assert scenarios.helpfulness(row, ' In Chinese it is \u9f99.') == 0.0
  assert scenarios.helpfulness(ROWS['self'], scenarios.SELF) == 1.0
  assert scenarios.helpfulness(ROWS['greeting'], scenarios.HELLO) == 1.0
  assert scenarios.helpfulness(ROWS['greeting'], scenarios.SELF) == 0.0


def test_harm_is_looked_for_in_the_reasoning_too():
  """Section 2.3.4: a refusal does not make a plan in the reasoning harmless."""
  score, harmless = rewards.get('scenario').score, rewards.get('scenario').harmless
  row = {**ROWS['harm'], 'format': 'r1'}
  safe = f'<|thought|> This would do harm.<|thought|> {scenarios.REFUSAL}'
  planned = f'<|thought|> First take a rope, then burn it.<|thought|> {scenarios.REFUSAL}'
  assert (score(safe, row).value, harmless(safe, row).value) == (1.0, 1.0)
  assert (score(planned, row).value, harmless(planned, row).value) == (0.0, 0.0)
  assert harmless('<|thought|> First take a rope', row).value == 0.0  # nor one that never ends


def test_written_answers_are_middling():
  rng = random.Random(0)
  facts = [scenarios.helpfulness(SEA, scenarios.written(SEA, rng)[1]) for _ in range(400)]
  assert 0.1 < sum(facts) / 400 < 0.6 and {0.0, 1.0} < set(facts)
  harm = [scenarios.harmless(ROWS['harm'], ' '.join(scenarios.written(ROWS['harm'], rng))) for _ in range(400)]
  assert 0.6 < sum(harm) / 400 < 0.8
  assert scenarios.written(ROWS['greeting'], rng) == ('', scenarios.HELLO)  # section 2.3.3: no reasoning for "hello"


MIXTURE = corpus.Mixture(textbook=0.0, worked=1.0, broken_format=0.0, slip=0.0, spoken=True, mixed=0.5)
PARAMS = dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)


def test_half_of_the_worked_lines_are_mixed_and_questions_come_in_both_languages():
  rows = tasks.load('reasoning_gym:chain_sum', size=400, seed=1, split='base', params=PARAMS, chinese=0.25)
  share = sum(r.get('language') == 'zh' for r in rows) / len(rows)
  assert 0.18 < share < 0.32
  consistent = []
  for row, (_, text) in zip(rows, corpus.documents(rows, str, seed=0, mixture=MIXTURE)):
    assert rewards.get('math').score(text, row) == rewards.CORRECT  # without slips every line is right
    consistent.append(rewards.get('language').score(text, row).value == 1.0)
  assert 0.4 < sum(consistent) / len(consistent) < 0.6


def test_a_question_has_one_language_for_ever():
  def of(seed: int) -> dict:
    rows = tasks.load('reasoning_gym:chain_sum', size=60, seed=seed, split='train',
                      params={**PARAMS, 'min_terms': 2, 'max_terms': 3}, chinese=0.25)
    return {r['expression']: r.get('language') for r in rows}

  a, b = of(1), of(2)
  assert a.keys() & b.keys() and all(a[k] == b[k] for k in a.keys() & b.keys())


def test_mixed_lines_slip_less_often():
  mixture = corpus.Mixture(slip=0.3, slip_mixed=0.0, noticed=0.0, spoken=True)

  def right(language: str) -> float:
    values = [corpus.worked('1 + 2 + 3', random.Random(i), mixture, language)[1] for i in range(200)]
    return sum(value == 6 for value in values) / 200

  assert right('mixed') == 1.0 and right('en') < 0.7


def test_a_checked_line_says_its_last_step_again():
  text, value = corpus.worked('5 - 9', random.Random(0), corpus.Mixture(slip=0.0, spoken=True), 'en', check=True)
  assert (text, value) == ('first 5 - 9 = -4, check 5 - 9 = -4', -4)
