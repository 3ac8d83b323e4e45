"""Expressions decided by value: what is equal, what only looks equal in floating point, and what is left to sympy."""

import pytest

from r1jax.rewards.math import numeric


@pytest.mark.parametrize('gold, said, want', [
    (r'\frac{\sqrt3}{2}', r'\sqrt{3}/2', True), ('(x+1)^2', 'x^2+2x+1', True), (r'\sqrt{12}', r'2\sqrt{3}', True),
    (r'\frac12', '0.5', True), ('x^{10}', 'x^9 x', True), (r'2\sin x\cos x', r'\sin(2x)', True),
    (r'\sin^2 x+\cos^2 x', '1', True), (r'\log_2 8', '3', True), (r'e^{2}', 'e e', True), ('(1+i)^2', '2i', True),
    (r'x^12', '2x', True),
    ('x+1', 'x+2', False), ('x', 'y', False), ('x', 'X', False), (r'\sqrt{2}', '1.41421356237309505', False),
    (r'\sqrt{2}', r'\frac{' + '141421356237309504880168872420969807856967187537694' + '}{' + '1' + '0' * 50 + '}',
     False),
    (r'\pi', r'\frac{355}{113}', False), (r'e^{\pi\sqrt{163}}', '262537412640768744', False),
    ('1+10^{-200}', '1', False), ('1+10^{-400}', '1', False),
    (r'1+1000000^{-20}', '1', None), ('x^{400}+1', '1+x^{400}', None), (r'(1+(10^{-20})^{20})', '1', False),
    (r'(1+(10^{-50})^{50})', '1', None), ('1+e^{-100}', '1', False), (r'x+10^{-9\cdot 20}', 'x', False),
    (r'x+10^{-9\cdot 99}', 'x', None),
    (r'\sqrt{x^2}', 'x', None), (r'\sqrt[3]{8}', '2', None), (r'\log x', r'\ln x', None), ('1/2x', 'x/2', None),
    ('9^{9^{9}}', '1', None), ('5!', '120', None), ('x', '', None), ('x', '(', None), (r'\sin x^2', r'\sin(x^2)', None),
    (r'(-8)^{1/3}', '-2', None), ('0', r'\sqrt{2}-\sqrt{2}', None), ('1/0', '1', None), ('x' * 700, 'x', None),
    ('(' * 500 + 'x' + ')' * 500, 'x', None), (r'\frac{1}{x-x}', '1', None)])
def test_same(gold, said, want):
  assert numeric.same(gold, said) is want and numeric.same(said, gold) is want


@pytest.mark.parametrize('verdict, gold, said, want', [
    (True, '5', '5.0', True), (True, '1/2', r'\frac{1}{2}', True), (False, '5', '6', True), (True, '5', '6', False),
    (False, '5', '1+4', False), (True, '1,000', '1000', True), (True, '5', 'x', None), (True, '5', None, None),
    (True, '5', 'five', None), (True, '5', '9^{99999}', None), (True, '-0.5', r'-\frac12', True)])
def test_agrees(verdict, gold, said, want):
  assert numeric.agrees(verdict, gold, said) is want
