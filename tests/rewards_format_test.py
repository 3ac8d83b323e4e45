"""Format reward: the paper's own template scores 1, and nothing beside it does."""

import pytest

from r1jax import rewards
from r1jax.rewards import format as form

GOOD = '<think> a </think> <answer> 5 </answer>'


@pytest.mark.parametrize('text', [
    '<think> reasoning process here </think> <answer> answer here </answer>',  # table 1, one line
    GOOD, '\n' + GOOD + '\n', '<think>a</think><answer>5</answer>',
    '<think>\na\n\nb\n</think>\n\n<answer>\n5\n</answer>', r'<think> 1 < 2 </think> <answer> \boxed{5} </answer>',
    '<think>\u4f60\u597d</think><answer>\u4e94</answer>',
])
def test_right(text):
  assert form.score(text, {}) == rewards.CORRECT


@pytest.mark.parametrize('text', [
    '', 'a', '<think> a </think>', '<answer> 5 </answer>', '<think> a </think> 5', '<think> a <answer> 5 </answer>',
    '<think> a </think> <answer> 5', '<think></think> <answer> 5 </answer>', '<think> \n </think> <answer> 5 </answer>',
    '<think> a </think> <answer> </answer>', 'So: ' + GOOD, GOOD + ' done',
    '<think> a </think> so <answer> 5 </answer>', GOOD + GOOD, GOOD + ' <answer> 6 </answer>',
    '<think> b </think> ' + GOOD, '<think> <think> a </think> <answer> 5 </answer>',
    '<think> a <think> b </think> </think> <answer> 5 </answer>',
    '<think> a </think> <answer> <answer> 5 </answer> </answer>', '<think> a </think> <answer> 5 </answer> </answer>',
    '<think> a </think> <answer> <think> 5 </answer>', '<think> <answer> a </think> 5 </answer>',
    '<answer> 5 </answer> <think> a </think>', '<THINK> a </THINK> <ANSWER> 5 </ANSWER>',
    '<think > a </think> <answer> 5 </answer>', '</think> a <think> <answer> 5 </answer>',
])
def test_wrong(text):
  assert form.score(text, {}) == rewards.WRONG


def test_the_prefill_is_part_of_the_text():
  assert form.score(' a </think> <answer> 5 </answer>', {'prefill': '<think>'}) == rewards.CORRECT
  assert form.score(' a </think> <answer> 5 </answer>', {'prefill': None}) == rewards.WRONG
  assert form.score(GOOD, {'prefill': '<think>'}) == rewards.WRONG


def test_ideal():
  assert form.ideal('answer here') == '<think> reasoning process here </think> <answer> answer here </answer>'
  for prefill in ('', '<think>', '<think>\n', ' <think> '):
    assert form.score(form.ideal('{5}', prefill), {'prefill': prefill}) == rewards.CORRECT
  with pytest.raises(ValueError, match='prefill'):
    form.ideal('5', 'Sure, ')


def test_hostile_lengths_take_no_time():
  for text in ['<think>' * 50_000, '<think>a</think>' + ' ' * 400_000,
               '<think>' + ' ' * 400_000 + '</think><answer>5</answer>x']:
    assert form.score(text, {}) == rewards.WRONG


@pytest.mark.parametrize('prefill', [' <think>', ' <think> Step by step:', ' <think> I add. </think> <answer>'])
def test_ideal_goes_on_after_a_prefill_of_other_words(prefill):
  assert form.score(form.ideal('5', prefill), {'prefill': prefill}) == rewards.CORRECT
