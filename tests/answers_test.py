"""Gold answers of files: what the answer is, and which type it has where nobody says."""

import math

import pytest

from r1jax.data import answers
from r1jax.rewards import math as math_lib
from r1jax.rewards import pool
from r1jax.rewards.math import compound

OPTIONS = 'Which is it? (A) 1 (B) 2 (C) 3'


@pytest.mark.parametrize('cell, wanted', [
    (27.0, '27'), (27, '27'), (0.1, '0.1'), (True, 'True'), (['2'], '2'), ((3,), '3'), (b'2', '2'),
    ('She has 5 + 3 = 8 eggs.\n#### 8', '8'), ('a\n#### 1,200', '1,200'),
    (r'Then $x = 3$, so the answer is $\boxed{\frac{1}{2}}$.', r'\frac{1}{2}'), (r'\boxed{1} or \boxed{2}', '1, 2'),
    (r'$\boxed{\{1, 2\}}$', r'\{1, 2\}'), (' 7 ', '7'), (['\\boxed{7}'], '7')])
def test_the_answer_in_a_cell(cell, wanted):
  assert answers.gold(cell) == wanted


@pytest.mark.parametrize('cell, reason', [
    (None, 'no answer'), (math.nan, 'no answer'), ('', 'no answer'), ('  ', 'no answer'), ([], 'no answer'),
    (['1', '2'], 'several answers'), ({'a': 1}, 'an object as answer'), (b'\xff', 'bytes that are no UTF-8 as answer'),
    ('long\n#### ', 'no answer')])
def test_no_answer_is_made_of_what_is_none(cell, reason):
  with pytest.raises(ValueError, match=reason):
    answers.gold(cell)


KINDS = [
    ('int', ['5', '-5', '+7', '1,234', '1{,}234', '12\\text{ cm}', '18 eggs', '\\$5', '$42$', '12\\%', '90^\\circ',
             'x = 5',
             '12 \\mathrm{~min}', '27.0', '100', '3 元', 'n=7', '7.']),
    ('rational', ['1/2', '-3/4', '\\frac{1}{2}', '\\frac12', '-\\dfrac{3}{4}', '2\\frac{1}{2}', 'x=\\frac{3}{7}']),
    ('decimal', ['0.5', '-1.25', '.5', '1.5e-3', '1.5 \\times 10^{-3}', '\\$12.50', '0.5\\%']),
    ('choice', ['A', '(B)', '\\text{(C)}', '\\textbf{B}']),
    ('matrix', ['\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}', '-\\begin{bmatrix}1\\\\2\\end{bmatrix}']),
    ('interval', ['[0,1)', '(-\\infty, 2]', '(-\\infty,-1)\\cup(1,\\infty)', 'x > 2', '2 \\le x < 5', '[2, 5]',
                  '\\mathbb{R}']),
    ('tuple', ['(1, 2)', '(1,-2,3)', '\\left(\\frac{1}{2}, 3\\right)', 'x=1, y=2', '(-3, 4)']),
    ('set', ['\\{1, 2\\}', '1, 2', '-1, 1, 3', '\\pm 2', 'x = 1 \\text{ or } x = 2', '2 \\text{ and } 3', 'x=1, x=2']),
    ('equation', ['y = 2x + 1', 'x^2 + y^2 = 4', '2x+3y-5=0']),
    ('expr', ['\\sqrt{3}', '2\\pi', 'x^2+1', '\\frac{\\sqrt{3}}{2}', '6+9i', '6+9\\mathrm{i}', '2^{10}', 'x',
              '\\frac{a+b}{2}',
              '4343_6', '\\sin x', '3\\sqrt{2}+1', 'f(x) = x^2', '(x+1)(x-2)', '(-x+1)(x-2)', '-\\frac{\\pi}{4}', 'n!',
              '2e+1']),
    ('text', ['Monday', 'east', '\\text{even}', '4:30 p.m.', '3:4', 'Yes', 'the set is empty', 'No solution',
              'Paris, France', '北京', '\\text{odd}'])]


@pytest.mark.parametrize('kind, answer', [(kind, answer) for kind, of in KINDS for answer in of])
def test_the_type_is_a_persons(kind, answer):
  assert answers.infer(answer, OPTIONS if kind == 'choice' else 'What is it?') == kind


def test_options_and_intervals_are_told_by_the_question():
  assert answers.infer('A', 'Which letter comes first?') == 'expr' and answers.infer('B', OPTIONS) == 'choice'
  assert answers.infer('5', OPTIONS) == 'int'
  assert answers.infer('(1, 2)', 'Find the domain, in interval notation.') == 'interval'


def test_what_is_inferred_can_be_read():
  """By the reader of its type; words and all."""
  rows = [{'id': answer, 'answer': answer, 'answer_type': kind} for kind, of in KINDS for answer in of]
  assert pool.unreadable(rows) == []


def test_there_is_one_list_of_types():
  assert answers.TYPES == math_lib.TYPES and answers.NUMBERS == math_lib.NUMBERS
  assert set(compound.KINDS) < set(answers.TYPES)
