"""Accuracy reward: tables by hand. What is right, what only looks right, and what must not be read at all."""

from fractions import Fraction
import threading

from hypothesis import given, settings, strategies as st
import pytest

from r1jax import rewards
from r1jax.rewards import format as form
from r1jax.rewards import math

THINK = '<think> so it is </think> '


def row(gold, kind, **more):
  return {'answer': gold, 'answer_type': kind, **more}


def boxed(said):
  return rf'{THINK}\boxed{{{said}}}'


@pytest.mark.parametrize('completion, want', [
    (THINK + r'\boxed{5}', '5'),
    (THINK + r'\boxed{1} then \boxed{5}', '5'),
    (THINK + r'\boxed{\frac{1}{2}}', r'\frac{1}{2}'),
    (THINK + r'\boxed{5} and \boxed{6', '5'),
    (THINK + r'{ \boxed{5}', '5'),
    (THINK + r'\boxed{\{1, 2\}}', r'\{1, 2\}'),
    (THINK + r'\boxed{6=\boxed{5}}', r'6=\boxed{5}'),
    (THINK + '<answer> 14 </answer>', '14'),
    (THINK + r'<answer> \boxed{5} </answer>', r'5'),
    (THINK + '<answer>1</answer> <answer>2</answer>', '2'),
    (THINK + '<answer>1</answer> <answer>2', '1'),
    (THINK + 'it is 5', None),
    (THINK + r'\boxed{}', None),
    (THINK + '<answer> </answer>', None),
    (THINK + '</answer>5<answer>', None),
    (r'<think> \boxed{5} </think> no', None),
    (r'<think> <answer>5</answer> </think> no', None),
    (r'<think> \boxed{5}', None),
    (r'<think> a </think> \boxed{4} <think> \boxed{5}', None),
    (r'<think> a </think> \boxed{4} </think> \boxed{5}', '5'),
    (r'<think> "</think>" \boxed{4} </think> it is 5', None),
    (THINK + r'\boxed{4} \boxed{1 \boxed{5}', '5'),
    (r'the sum is \boxed{5}', '5'),
    ('<answer>5</answer>', '5'),
])
def test_extract(completion, want):
  assert math.extract(completion, {}) == want


def test_extract_sees_the_prefill():
  assert math.extract(r'so \boxed{5}', {'prefill': '<think>'}) is None
  assert math.extract(r'so </think> \boxed{5}', {'prefill': '<think>'}) == '5'
  assert math.extract(r'so \boxed{5}', {'prefill': None}) == '5'


@pytest.mark.parametrize('kind', ['int', 'rational', 'decimal', 'expr'])
@pytest.mark.parametrize('said', ['6=5', 'x=6=5', '1+4', '5,5', '10/2', '2+3=5', '5=5', '5, 6', r'\{5\}', '5 or 6',
                                  'no answer 5 here', r'\frac{10}{2}', r'\sqrt{25}', '5!', r'\approx 5', r'\pm 5',
                                  r'5\text{ or }6', '55', '-5', '5 5', '4.9999999'])
def test_hacks_of_a_gold_of_five(kind, said):
  assert math.score(boxed(said), row('5', kind)) == rewards.WRONG
  assert math.score(f'{THINK}<answer> {said} </answer>', row('5', kind)) == rewards.WRONG


def test_unboxed_prose_is_no_answer():
  for text in ['no answer 5 here', THINK + 'no answer 5 here', '5', r'\boxed 5', '']:
    assert math.score(text, row('5', 'int')) == rewards.NO_ANSWER, text


@pytest.mark.parametrize('said', ['5', '+5', ' 5 ', '5.', '5.0', '$5$', r'\(5\)', r'\$5', '**5**', r'\text{5}',
                                  r'\boxed{5}', '05', 'x=5', 'n = 5', r'5\text{ cm}', r'5\,\text{square cm}', r'5\%',
                                  r'5^\circ', r'\displaystyle 5'])
def test_int_right(said):
  assert math.score(boxed(said), row('5', 'int')) == rewards.CORRECT
  assert math.score(f'{THINK}<answer>{said}</answer>', row('5', 'int')) == rewards.CORRECT


@pytest.mark.parametrize('gold, said, kind, right', [
    ('1234', '1,234', 'int', True), ('1234', '1{,}234', 'int', True), ('1234', r'1\,234', 'int', True),
    ('1234', r'1,\!234', 'int', True), ('1234567', '1,234,567', 'int', True), ('1,234', '1234', 'int', True),
    ('12345', '1,2345', 'int', False), ('1234', '1.234', 'int', False), ('-5', '\u22125', 'int', True),
    ('-5', '- 5', 'int', True), ('-5', '5', 'int', False), ('0', '-0', 'int', True), (5, '5', 'int', True),
    ('5', '\u0665', 'int', False),
    ('1/2', '0.5', 'rational', True), ('1/2', r'\frac{1}{2}', 'rational', True), ('0.5', r'\dfrac12', 'rational', True),
    ('1/2', '2/4', 'rational', True), ('-1/2', r'-\frac{1}{2}', 'rational', True),
    ('-1/2', r'\frac{-1}{2}', 'rational', True), ('-1/2', r'\frac{1}{-2}', 'rational', True),
    ('5/2', r'2\frac{1}{2}', 'rational', True), ('-5/2', r'-2\frac{1}{2}', 'rational', True),
    ('3', r'2\frac{3}{2}', 'rational', False), ('1/3', '0.333333', 'rational', False),
    ('1/3', '0.3333333333333333', 'rational', False), ('1/2', '1/0', 'rational', False),
    ('3.14', '3.14159', 'decimal', False), ('0.0015', r'1.5\times 10^{-3}', 'decimal', True),
    ('0.0015', '1.5e-3', 'decimal', True), ('300', r'3 \cdot 10^2', 'decimal', True),
    ('B', '(B)', 'choice', True), ('B', 'b', 'choice', True), ('(B)', r'\text{B}', 'choice', True),
    ('B', 'B.', 'choice', True), ('B', r'\textbf{(B)}', 'choice', True), ('B', 'C', 'choice', False),
    ('B', 'B or C', 'choice', False), ('B', 'AB', 'choice', False), ('B', 'B, C', 'choice', False),
    ('Paris', 'paris.', 'text', True), ('New York', r'\text{New  york}', 'text', True),
    ('Paris', 'Paris or Rome', 'text', False),
])
def test_pairs(gold, said, kind, right):
  assert math.score(boxed(said), row(gold, kind)) == (rewards.CORRECT if right else rewards.WRONG)


def test_tolerance_is_absolute_and_exact():
  for said, right in [('3.15', True), ('3.13', True), ('3.1500000000000000000001', False), ('3.16', False),
                      (r'\frac{22}{7}', True)]:
    assert math.score(boxed(said), row('3.14', 'decimal', tolerance=0.01)).value == right, said


def test_numbers_differ_however_long():
  gold = '1' + '0' * 600
  assert math.score(boxed(gold), row(gold, 'int')).value == 1
  assert math.score(boxed(gold[:-1] + '1'), row(gold, 'int')).value == 0
  assert math.number('9' * 1001) is None and math.number('1e1001') is None and math.number('9' * 5000) is None
  assert math.number('9' * 1000) == 10**1000 - 1 and math.number('0.' + '0' * 1500 + '1') is None


def test_numbers_never_reach_sympy(monkeypatch):
  monkeypatch.setattr(math.pool, 'shared', lambda: pytest.fail('a process for a number'))
  for kind in math.TYPES[:5]:
    gold = 'B' if kind in ('choice', 'text') else '5'
    assert math.score(boxed('9^{9^{9}}'), row(gold, kind)) == rewards.WRONG
    assert math.score(boxed(gold), row(gold, kind)) == rewards.CORRECT
  # nor does an expression that uses what its gold does not
  for said in ['9^{9^{9}}', '9^9^9', 'x=x=x+1', 'x+1, x+1', r'\int_0^{x+1} 1 dt', r'\text{not } x+1',
               '(' * 40 + 'x' + ')' * 40, 'x' * 500, '1{' * 5, 'x+1 or x', r'\frac{d}{dx} x', '(x+1)!', 'x^{99999}',
               '9' * 200]:
    assert math.score(boxed(said), row('x+1', 'expr')).value == 0, said


@pytest.mark.parametrize('gold, said, right', [
    (r'\frac{\sqrt{3}}{2}', r'\sqrt{3}/2', True), (r'2\sqrt{3}', r'\sqrt{12}', True), ('(x+1)^2', 'x^2+2x+1', True),
    ('x+1', 'y = 1+x', True), (r'\frac{\pi}{2}', r'0.5\pi', True), (r'2\pi', '2pi', True), ('x^{10}+1', '1+x^10', True),
    ('x^{10}+1', '1+x**10', True), ('x^2y^3', 'y^3x^2', True), (r'\infty', r'+\infty', True),
    (r'\infty', r'\infty+0', True), ('1{,}000x', 'x 1000', True), (r'\frac{1}{2004!}', '1/2004!', True),
    ('x+1', 'y+1', False), ('x+1', 'x+2', False), (r'\sqrt{2}', '1.414214', False),
    (r'\sqrt{2}', '1.41421356237309505', False), (r'\frac{1}{2004!}', r'\frac{1}{2006!}', False),
    ('x+1', 'no answer x+1 here', False), ('x+1', r'\sqrt', False),
])
def test_expressions(gold, said, right):
  assert math.judge(boxed(said), row(gold, 'expr')) == (rewards.CORRECT if right else rewards.WRONG)


def test_expression_with_tolerance():
  for said, right in [('1.41', 1), ('1.4', 0), (r'\sqrt{2}', 1)]:
    assert math.judge(boxed(said), row(r'\sqrt{2}', 'expr', tolerance=0.01)).value == right


def test_judge_in_a_thread():
  """math-verify's own timeout is signal.alarm: with it on, every verdict given in a thread was 0 (verl#5635)."""
  got = []
  thread = threading.Thread(target=lambda: got.append(math.judge(boxed('1+x'), row('x+1', 'expr'))))
  thread.start()
  thread.join()
  assert got == [rewards.CORRECT]


def test_normalise_joins_equivalence_classes():
  assert {math.normalise(a, 'rational') for a in ['1/2', r'\frac{1}{2}', '0.5', r'$\dfrac12$', '2/4', '.50']} == {'1/2'}
  assert {math.normalise(a, 'int') for a in ['1,234', '1234', '+1234', '1234.0']} == {'1234'}
  assert {math.normalise(a, 'choice') for a in ['(b)', 'B', r'\text{B}']} == {'B'}
  assert math.normalise(r'\dfrac{x}{2}', 'expr') == math.normalise(r'\frac{ x }{2}', 'expr') == r'\frac{x}{2}'
  assert math.normalise('0.5', 'expr') == '1/2'
  assert math.normalise(r'2 \pi  x', 'expr') == math.normalise(r'2\pi x', 'expr') == r'2\pi x'
  assert math.normalise(None, 'int') is None
  assert math.normalise('no  answer', 'int') == 'no answer' and math.normalise('10/2', 'int') != '5'
  with pytest.raises(ValueError, match='nonsense'):
    math.normalise('1', 'nonsense')


@settings(max_examples=200, deadline=None)
@given(st.fractions(), st.sampled_from(['rational', 'decimal', 'expr']))
def test_normalise_is_idempotent_and_reads_back(value, kind):
  text = f'{value.numerator}/{value.denominator}'
  assert math.number(text) == (value if value.denominator != 1 else Fraction(value.numerator))
  assert math.normalise(math.normalise(text, kind), kind) == math.normalise(text, kind) == str(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([
    '<think>', '</think>', '<answer>', '</answer>', '\\boxed{', '{', '}', '\\', '5', ' ', '$', '\\frac', ',', '.', '/',
    '-', '^', '=', 'x'])))
def test_no_text_makes_it_raise_or_credits_another_number(parts):
  text = ''.join(parts)
  for kind in ('int', 'rational', 'decimal', 'choice', 'text'):
    assert math.score(text, row('7', kind) if kind != 'choice' else row('B', kind)).value == 0
  assert math.decide(text, row('y+1', 'expr')) in (None, rewards.WRONG, rewards.NO_ANSWER)


@pytest.mark.parametrize('answer, kind, more', [
    ('1+4', 'int', {}), ('0.5', 'int', {}), ('', 'int', {}), ('five', 'rational', {}), ('10/2', 'rational', {}),
    ('AB', 'choice', {}), ('', 'text', {}), ('1, 2', 'expr', {}), ('y=x=1', 'expr', {}), ('x}', 'expr', {}),
    (r'\sqrt', 'expr', {}), ('1', 'matrix', {}), ('1,', 'set', {}), (None, 'int', {}), ('1', None, {}),
    ('1', 'int', {'tolerance': 0.1}), ('1', 'decimal', {'tolerance': -1}), ('1', 'decimal', {'tolerance': 'nan'}),
    ('1', 'decimal', {'tolerance': 'wide'}),
])
def test_check_row_refuses(answer, kind, more):
  with pytest.raises(ValueError) as e:
    math.check_row(row(answer, kind, **more))
  assert '\n' not in str(e.value)


@pytest.mark.parametrize('gold, kind', [('5', 'int'), ('-1,234', 'int'), ('1/2', 'rational'), ('3.14', 'decimal'),
                                        ('C', 'choice'), ('New York', 'text'), (r'\frac{\sqrt{3}}{2}', 'expr'),
                                        ('7', 'expr'), (r'0.5\pi', 'expr')])
def test_ideal_scores_one(gold, kind):
  for prefill in ('', '<think>', '<think>\n', '<think> '):
    r = row(gold, kind, prefill=prefill)
    math.check_row(r)
    assert math.score(form.ideal(gold, prefill), r) == rewards.CORRECT


def test_get():
  assert rewards.get('math') is math
  for name in ('nonsense', 'pool', '../math', ''):
    with pytest.raises(ValueError, match='here are accuracy, choice, code, .*format, .*math') as e:
      rewards.get(name)
    assert '\n' not in str(e.value)
