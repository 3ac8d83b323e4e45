r"""Kinds of answers that were once paid wrongly, or not paid though right: (gold, type, right ones, wrong ones)."""

import pytest

from r1jax.rewards import format as form
from r1jax.rewards import math
from r1jax.rewards import pool
from r1jax.rewards.sandbox import compare

KINDS = {
    'upright i and e are numbers, no units': [
        (r'6+9\mathrm{i}', 'expr', ['6+9i', r'6+9\mathrm{i}', r'9i+6', r'6+9\text{i}'], ['15', '6', '6+9',
         r'6-9\mathrm{i}']),
        (r'2\sqrt{3}', 'expr', [r'2\sqrt{3}', r'2\sqrt3\text{ cm}', r'\sqrt{12}'],
         [r'2\sqrt{3}\mathrm{i}', r'2\sqrt{3}\mathrm{e}', r'2\sqrt{3}\text{ million}', r'2\sqrt{3}\text{ thousand}']),
        (r'1-5\mathrm{i}', 'expr', ['1-5i', r'-5\mathrm{i}+1'], ['-4', '1']),
        (r'\frac{1}{\mathrm{e}}', 'expr', [r'\frac1e', 'e^{-1}', r'1/\mathrm{e}'], ['1', 'e', r'\frac{1}{2}']),
        (r'3\mathrm{e}', 'expr', ['3e', r'3\mathrm{e}'], ['3', r'3\mathrm{i}'])],
    'e in an expression is the number e': [
        ('2e+1', 'expr', ['2e+1', '2e + 1', '1+2e', '2(e)+1'], ['20', '2e', '21', '2']),
        ('4e', 'expr', ['4e', r'4\mathrm{e}', r'e\cdot 4'], ['4', '40', '40000']),
        ('(2e+1, 3)', 'tuple', ['(1+2e, 3)', '(2e+1,3)'], ['(20, 3)', '(2e, 3)']),
        ('0.0015', 'decimal', ['1.5e-3', r'1.5\times 10^{-3}', '.0015'], ['1.5', '1.5e3'])],
    'a base is part of a number': [
        ('4343_6', 'expr', ['4343_6', '4343_{6}', r'4343_{\text{six}}', '(4343)_6', r'(4343)_{\text{six}}', '4343'],
         ['4343_7', '4343_{10}', '975', '4344_6', '4343_5', r'4343_{\text{seven}}']),
        ('1A_{16}', 'expr', ['1a_{16}', '(1A)_{16}'], ['1A_{15}', '26', '1B_{16}']),
        ('15', 'int', ['15', '15_{10}', r'15_{\text{ten}}'], ['15_6', '15_{16}', '1111_2'])],
    'parts and multiples are no units': [
        ('5', 'int', ['5', r'5\text{ eggs}', '5 eggs', r'5 \text{ square feet}', r'\text{5 apples}', '5 元', '£5',
                      '€ 5', '5 USD'],
         [r'5\text{ hundredths}', r'5\text{ thirds}', r'5\text{ k}', r'5\text{ thousand}', '5 million', '5 or 6',
          '5 dozen',
          '5 hundred', r'5\text{ halves}', '5 万', '5 tenths', 'five']),
        ('12', 'int', [r'12 \mathrm{~min}', r'12 \text { days}', r'12\ \text{days}', r'12\text{ (days)}', '12 min'],
         [r'12 \mathrm{~i}', r'12\text{ and }13', '12 plus 1']),
        ('12.5', 'decimal', ['12.5', r'12.5\text{ cm}', '12.5 cm', r'12.5\%'], ['12', '1.25'])],
    'words are no products of letters': [
        (r'\text{east}', 'text', ['east', r'\text{East}', 'East'], ['seat', 'west', 'e a s t'])],
    'a choice may bring its option': [
        ('B', 'choice', ['B', '(B)', r'\textbf{(B)}\ 12', 'B. 12', '(B) 12', 'B: twelve', r'\text{(B) }12', '（B）', 'b',
                         'B) 12'],
         ['C. 12', 'A', 'B or C', '(A) 12', 'Bob', 'a B', '12', '(A) 1 (B) 12', 'BC'])],
    'full-width signs are signs': [
        ('18', 'int', ['１８', '＋18', 'x＝18', '18。'], ['１９', '-18', '－１８']),
        ('(1,-2)', 'tuple', ['（1，-2）', '(1，−2)', '（１，－２）'], ['（1，2）', '（-2，1）']),
        ('12.5', 'decimal', ['12.5％', '12．5'], ['12，5', '125'])],
    'style is no part of an answer': [
        ('18', 'int', ['{18}', r'18 \quad', r'\color{red}{18}', r'\bf 18', r'{\bf 18}', r'\\text{18}',
                       r'\displaystyle 18', '**18**'],
         ['{19}', r'\color{red}{19}', '{1}8 8'])],
    'repeating decimals are numbers': [
        (r'\frac{1}{3}', 'rational', [r'0.\overline{3}', r'.\overline{3}', r'0.\dot{3}', r'0.3\overline{3}'],
         ['0.3', '0.333', r'0.\overline{4}', r'0.\overline{03}']),
        (r'0.1\overline{6}', 'decimal', [r'\frac16', r'0.1\overline{6}'], ['0.16', r'0.\overline{16}'])],
    'thousands may stand apart': [
        ('1234567', 'int', [r'1\ 234\ 567', '1,234,567', r'1\,234\,567', '1 234 567', '1{,}234{,}567'],
         ['1 234', '1234 567 8', '123 4567'])],
    'mixed numbers': [
        ('3.5', 'rational', [r'3\ \frac12', '3 1/2', r'3\frac{1}{2}', '7/2'], [r'3\cdot\frac12', '31/2', '3/2',
         '3 3/2'])],
    'names of functions': [
        (r'\ln 2', 'expr', [r'\operatorname{ln} 2', r'\ln(2)', r'\operatorname{ln}(2)'], [r'\log_{10} 2', '2',
         r'\ln 3'])],
    'roots and powers as they are typed': [
        (r'\sqrt{3}', 'expr', ['sqrt(3)', '√3', r'\sqrt3', r'\sqrt 3'], ['sqrt(2)', '√2', '3', r'\sqrt[3]{3}']),
        ('3*sqrt(2)', 'expr', [r'3\sqrt2', r'\sqrt{18}', '3√2'], ['sqrt(3)*2', '3*2']),
        ('x^2', 'expr', ['x²', 'x^{2}', 'x*x'], ['x³', '2x', 'x']),
        (r'\sqrt[3]{2}', 'expr', [r'\sqrt[3]2', r'2^{1/3}', r'\sqrt[3]{2}'], [r'\sqrt2', r'\sqrt[3]3'])],
    'what is asked for may be named': [
        ('18', 'int', [r'\text{Area} = 18', 'm+n=18', 'x = 18', r'\text{Total cost}=18'], ['2x=18', '6=18', 'm+n=19',
         '18=m+1']),
        ('(15,-29)', 'tuple', ['P(15,-29)', '(15, -29)', 'P = (15,-29)'], ['P(-29,15)', 'P(15,29)'])],
    'a matrix may have a sign and a name': [
        (r'\begin{pmatrix}-1\\-2\end{pmatrix}', 'matrix',
         [r'-\begin{pmatrix}1\\2\end{pmatrix}', r'\mathbf{v}=\begin{pmatrix}-1\\-2\end{pmatrix}',
          r'A^{-1}=\begin{pmatrix}-1\\-2\end{pmatrix}'],
         [r'\begin{pmatrix}1\\2\end{pmatrix}', r'-\begin{pmatrix}-1\\-2\end{pmatrix}'])],
    'backslashes may be doubled': [
        (r'\frac{1}{2}', 'rational', [r'\\frac{1}{2}', '1/2'], [r'\\frac{1}{3}', r'\\frac{2}{1}']),
        (r'\frac{\sqrt{3}}{2}', 'expr', [r'\\frac{\\sqrt{3}}{2}'], [r'\\frac{\\sqrt{2}}{2}'])],
}
CASES = [(kind, gold, answer_type, said, right) for kind, rows in KINDS.items() for gold, answer_type, good, bad in rows
         for right, of in ((1.0, good), (0.0, bad)) for said in of]


@pytest.fixture(scope='module')
def verdicts():
  """All of them at once, as a run has them judged."""
  rows = [{'answer': gold, 'answer_type': answer_type} for _, gold, answer_type, _, _ in CASES]
  items = [('math', rf'<think> a </think> \boxed{{{said}}}', row) for (*_, said, _), row in zip(CASES, rows)]
  with pool.Pool(workers=2, deadline=10.0) as judges:
    return dict(zip(CASES, judges.score(items)))


def name_of(case):
  kind, gold, _, said, right = case
  return f'{kind}: {gold} is {"" if right else "not "}{said}'


@pytest.mark.parametrize('case', CASES, ids=name_of)
def test_verdict(verdicts, case):
  assert verdicts[case].value == case[4], verdicts[case]


def test_every_gold_answer_loads():
  rows = [{'id': gold, 'answer': gold, 'answer_type': kind} for of in KINDS.values() for gold, kind, *_ in of]
  assert pool.unreadable(rows) == []


@pytest.mark.parametrize('gold', [r'\text{east}', r'\mathrm{Monday}', '4343_6+1', r'\text{no solution}'])
def test_what_is_no_expression_is_refused_with_the_way_out(gold):
  with pytest.raises(ValueError, match='text|alone'):
    math.check_row({'answer': gold, 'answer_type': 'expr'})


@pytest.mark.parametrize('said, expected, tolerance, right', [
    ('998244352', '998244353', 1e-6, False), ('1000000000000000001', '1000000000000000000', 1e-9, False),
    ('1000001 0.5', '1000000 0.5', 1e-6, False), ('1000000 0.5000001', '1000000 0.5', 1e-6, True),
    ('2.9999999', '3', 1e-6, True), ('3.0', '3', 1e-6, True), ('3', '3.0000001', 1e-6, True), ('4', '3.0', 1e-6, False),
    ('+5', '5', 1e-6, True), ('nan', 'nan', 1e-6, True), ('inf', '1.0', 1e-6, False), ('0x10', '16.0', 1e-6, False)])
def test_a_tolerance_is_of_floats(said, expected, tolerance, right):
  assert compare.same_output(said.encode(), expected, tolerance) == right


@pytest.mark.parametrize('value, expected, right', [
    (998244352, 998244353.0, False), (3, 3.0, True), (2.9999999999, 3.0, True), (2.9999999999, 3, False),
    (3.0, 3, True)])
def test_a_returned_whole_number_has_no_tolerance(value, expected, right):
  assert compare.same_value(value, expected) == right


# --- DeepSeek-R1's chat, whose prompt ends in <think>

R1 = {'answer': '5', 'answer_type': 'int', 'format': 'deepseek_r1'}


@pytest.mark.parametrize('said, answer, laid_out', [
    (r'so it is 5</think> It is \boxed{5}.', '5', 1.0), ('a\n</think>\n\n\\boxed{5}', '5', 1.0),
    (r'<think> a </think> \boxed{5}', '5', 1.0), (r'perhaps \boxed{5}', None, 0.0),
    (r'perhaps \boxed{5} or \boxed{6}, wait', None, 0.0), (r'\boxed{4} </think> \boxed{5}', '5', 1.0),
    (r'</think> \boxed{5}', '5', 0.0), ('a </think>', None, 0.0), (r'a </think> <think> \boxed{5}', None, 0.0),
    (r'a </think> b </think> \boxed{5}', '5', 0.0)])
def test_a_turn_that_begins_within_its_thinking(said, answer, laid_out):
  assert math.extract(said, R1) == answer
  assert form.score(said, R1).value == laid_out


def test_an_ideal_turn_of_it_scores_one():
  for prefill in ('', '<think>\n'):
    row = {**R1, 'prefill': prefill}
    text = form.ideal('5', prefill, row)
    assert form.score(text, row).value == 1.0 and math.score(text, row).value == 1.0


@pytest.mark.parametrize('gold, kind, said, right', [
    ('5', 'int', r'5\text{分之一}', 0), ('5', 'int', r'5\text{倍}', 0), ('5', 'int', r'5\text{点五}', 0), ('5', 'int', '5 lakh', 0),
    ('5', 'int', '5 crore', 0), ('5', 'int', '5 permille', 0), ('5', 'int', '5 less', 0), ('5', 'int', '5 fewer', 0),
    ('5', 'int', '5 false', 0), ('5', 'int', '5 plus', 0), ('5', 'int', r'5\text{ minus}', 0), ('5', 'int', '5 meters', 1),
    (r'\sqrt{2}', 'expr', r'\sqrt{2}\text{万}', 0), (r'\sqrt{2}', 'expr', r'\sqrt{2}\text{ crore}', 0),
    (r'\sqrt{2}', 'expr', r'\sqrt{2}\mathrm{a}', 0), (r'\sqrt{2}', 'expr', r'\sqrt{2}\mathrm{m}', 1),
    ('5', 'int', r'\text{The answer is not }=5', 0), ('5', 'int', r'\text{Area}=5', 1), ('53/4', 'rational', '5(3)/(4)', 0),
    ('31/4', 'rational', '3{1}/{4}', 0), ('3/4', 'rational', '(3)/(4)', 1), (r'\frac{\sqrt{15}}{4}', 'expr', r'\sqrt{15}/{4}', 1),
    (r'4 \text{ p.m.}', 'text', '4 PM', 1), (r'4 \text{ p.m.}', 'text', '4 p.m.', 1), (r'4 \text{ p.m.}', 'text', '4 a.m.', 0),
    (r'\infty', 'text', '+\\infty', 1), (r'\infty', 'text', '-\\infty', 0), (r'\infty', 'text', '∞', 1)])
def test_kinds_of_a_review(gold, kind, said, right):
  with pool.Pool(workers=1) as judges:
    (score,) = judges.score([('math', rf'\boxed{{{said}}}', {'answer': gold, 'answer_type': kind})])
  assert score.value == right


def test_equal_boxes_on_two_lines_are_one():
  row = {'answer': '1, 2', 'answer_type': 'set'}
  assert math.score('\\boxed{1, 2}\n\n\\boxed{1, 2}', row).value == 1
