"""Faults that were found by trying to earn a reward wrongly, to lose one, or to hold the run up:
each kept as a case."""

import os
import time

import pytest

from r1jax.data import tasks
from r1jax.rewards import code, language, math, pool


@pytest.fixture(scope='module')
def judges():
  with pool.Pool(workers=1) as p:
    yield p


@pytest.mark.parametrize('kind, gold, said, right', [
    ('int', '5', r'5\text{ million}', False), ('int', '5', r'5\text{ dozen}', False),
    ('int', '5', r'5\text{ squared}', False), ('int', '5', r'5\mathrm{i}', False),
    ('int', r'\$5', r'5\text{ cents}', False), ('int', r'\$5', r'5\text{ dollars}', True), ('int', '5', r'\$5', True),
    ('expr', '2m', '2', False), ('expr', '3m^2', '3', False), ('tuple', '(2m,m)', '(2,m)', False),
    ('interval', '(0,2m)', '(0,2)', False), ('set', '2,3', '2s,3g', False),
    ('expr', r'\frac{\sqrt3}{2}', r'\sin(\pi/3)', False), ('expr', r'\frac{\pi}{4}', r'\arctan(1)', False),
    ('expr', r'\sqrt{2}', r'\sqrt[3]{2.8284271247461900976}', False), ('interval', r'\{3\}', r'\{3,(5,6)\}', False),
    ('tuple', '(1,2)', 'y=1,x=2', False), ('tuple', '(1,2)', 'x=1,y=2', True),
    ('int', '5', 'x_1=5', True), ('int', '5', r'\theta=5', True), ('int', '5', 'AB=5', True),
    ('rational', '1/2', r'P(A)=\frac12', True), ('int', '60', r'\angle ABC=60^\circ', True),
    ('expr', r'\frac{x-1}{2}', r'f^{-1}(x)=\frac{x-1}{2}', True), ('expr', '2n+1', 'a_n=2n+1', True),
    ('expr', '2x', r'\frac{dy}{dx}=2x', True), ('expr', '2x', "f'(x)=2x", True),
    ('set', '1,2', 'x_1=1, x_2=2', True), ('interval', r'(2,\infty)', r'\{x \mid x>2\}', True),
    ('interval', r'(2,\infty)', r'\{x\in\mathbb{R}\mid x>2\}', True),
    ('int', '5', r'5\ \text{cm}', True), ('int', '5', r'\boldsymbol{5}', True),
    ('decimal', r'5\text{ cm}', r'5\text{ centimeters}', True), ('decimal', '5 ft', '5 feet', True),
    ('decimal', r'5\text{ cm}', r'5\text{ m}', False), ('expr', 'x^{1.5}', 'x^1.5', True)])
def test_pairs(judges, kind, gold, said, right):
  score, = judges.score([('math', rf'<think> a </think> \boxed{{{said}}}', {'answer': gold, 'answer_type': kind})])
  assert score.value == right, score


@pytest.mark.parametrize('gold, tolerance, said, right', [
    (r'50\%', 0.5, '0', False), (r'50\%', 0.5, '0.503', True), (r'35\%', 1, '1', False), (r'50\%', 0.5, '50.4', True)])
def test_a_tolerance_goes_with_the_percent(gold, tolerance, said, right):
  row = {'answer': gold, 'answer_type': 'decimal', 'tolerance': tolerance}
  assert math.score(rf'\boxed{{{said}}}', row).value == right


@pytest.mark.parametrize('gold', ['3*frac{1}{2}', 'frac{1}{2}'])
def test_a_gold_that_would_be_misread_is_refused(gold):
  with pytest.raises(ValueError, match='without its backslash'):
    math.check_row({'answer': gold, 'answer_type': 'expr'})


@pytest.mark.parametrize('task, said', [
    ('spiral_matrix', "[__import__('os').system('touch /tmp/r1jax_pwned')]"),
    ('countdown', "__import__('os').system('touch /tmp/r1jax_pwned')"), ('puzzle24', '().__class__.__base__'),
    ('simple_integration', 'integrate(2 - 18*x**2,x)'), ('polynomial_multiplication', 'expand((x+1)*(x+2))')])
def test_a_verifier_that_evaluates_sees_no_names(judges, task, said):
  row, = tasks.load(f'reasoning_gym:{task}', size=1, seed=4)
  score, = judges.score([('gym', rf'<think> a </think> <answer>{said}</answer>', row)])
  assert score.value == 0 and score.reason == 'wrong' and not os.path.exists('/tmp/r1jax_pwned')


def test_long_hostile_texts_take_no_time():
  """Where no clock runs, time must be bounded by length."""
  sevens = r'\sqrt{2}', '+'.join(rf'\sin({i})' for i in range(1, 25)) + '+10^{300}-10^{300}+' + '7' * 99
  for work in (lambda: math.decide(rf'\boxed{{{sevens[1]}}}', {'answer': sevens[0], 'answer_type': 'expr'}),
               lambda: language.score('<think>' + '\\(' * 20_000, {}),
               lambda: language.score('<think>' + '\\begin{a}' * 10_000, {}),
               lambda: code.decide('```a b\n' * 20_000, {}), lambda: code.decide('```\n```python\n' * 20_000, {})):
    start = time.monotonic()
    work()
    assert time.monotonic() - start < 2.5


def test_what_a_program_prints_behind_it_is_not_the_program():
  text = '<think> a </think>\n```python\nprint(1)\n```\nIt prints:\n```\n2\n```\n'
  assert code.extract(text, {}) == 'print(1)\n'
  assert code.extract(text.replace('python', ''), {}) == '2\n'


def test_a_row_that_is_no_json_costs_itself_alone(judges):
  row = {'tests': [{'call': 'f', 'args': [{(1, 2): 3}], 'expected': 1}]}
  got = judges.score([('code', '```python\nx\n```', row),
                      ('math', r'\boxed{\sqrt[3]{x}+1}', {'answer': r'1+\sqrt[3]{x}', 'answer_type': 'expr'})])
  assert got[0].reason.startswith('error: TypeError') and got[1].value == 1


@pytest.mark.parametrize('row', [
    {'tests': [{'stdin': 5, 'stdout': '5'}]}, {'tests': [{'stdin': '', 'stdout': 6}]},
    {'tests': [{'stdin': '', 'checker': {}}]}, {'tests': [{'call': 5, 'args': [], 'expected': 1}]},
    {'tests': [{'stdin': '', 'checker': {'language': 'cobol', 'code': ''}}]}, {'tests': [5]},
    {'tests': [{'stdin': '', 'stdout': '', 'tolerance': 'x'}]},
    {'share': 'all', 'tests': [{'stdin': '', 'stdout': ''}]}])
def test_programs_that_nothing_could_judge_are_refused(row):
  with pytest.raises(ValueError, match='row x: '):
    pool.check_rows([{**row, 'id': 'x', 'reward': 'code'}])


@pytest.mark.parametrize('row', [
    {'answer': '1', 'answer_type': ['int']}, {'answer': '1', 'answer_type': 'decimal', 'tolerance': [1]},
    {'reward': 'nope'}, {'answer': '1', 'answer_type': 'int', 'grader': 'math-verify'}])
def test_odd_rows_are_refused_in_one_line(row):
  with pytest.raises(ValueError, match='file.jsonl:3: ') as e:
    pool.check_rows([{**row, 'where': 'file.jsonl:3'}])
  assert '\n' not in str(e.value)
