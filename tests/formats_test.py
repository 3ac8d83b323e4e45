"""Formats: what writes a turn and what reads it fit, in both layouts, and through a tokenizer."""

import pytest

from r1jax.data import formats
from r1jax.engine import packing
from r1jax import rewards
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.exceptions import UserError

R1 = formats.get('r1')
M = R1.mark


@pytest.mark.parametrize('name', ['r1', 'r1_zero'])
def test_what_is_written_is_read(name):
  form = formats.get(name)
  text = form.write('first this.', 'so 5')
  assert form.matches(text)
  assert form.reasoning(text).strip() == 'first this.'
  assert 'so 5' in form.summary(text) and 'first' not in form.summary(text)


def test_the_paper_s_layout_to_the_letter():
  assert R1.write('a', 'b') == f'{M} a{M} b'
  assert R1.write('', 'Hello!') == ' Hello!'  # no reasoning for what is simple
  assert R1.tokens == (M,)


@pytest.mark.parametrize('text, reasoning, summary', [
    (f'{M} a{M} b', ' a', ' b'), (' Hello!', '', ' Hello!'), (f'{M} a', ' a', None), (f'{M} a{M} b{M} c', None, None),
    (f'x{M} a{M} b', ' a', None), (f'{M}{M} b', '', ' b'), (f'{M} a{M}', ' a', ''),
])
def test_the_parser(text, reasoning, summary):
  assert R1.summary(text) == summary
  if reasoning is not None:
    assert R1.reasoning(text) == reasoning


@pytest.mark.parametrize('text', [f'{M} a{M}', f'{M}{M} b', f'{M} a', 'b', f'x {M} a{M} b', f'{M} a{M} b{M}', ''])
def test_what_does_not_match(text):
  assert not R1.matches(text)


def test_rewards_read_the_format_of_their_row():
  row = {'answer': '5', 'answer_type': 'int', 'format': 'r1'}
  right = f'{M} 2 + 3 = 5.{M} The answer is \\boxed{{ 5 }}.'
  assert rewards.get('math').score(right, row) == rewards.CORRECT
  assert rewards.get('format').score(right, row) == rewards.CORRECT
  # A guess while thinking.
  assert rewards.get('math').score(f'{M} \\boxed{{5}}{M} I do not know.', row) == rewards.NO_ANSWER
  assert rewards.get('math').score(f'{M} it is \\boxed{{5}}', row) == rewards.NO_ANSWER  # never stopped thinking
  assert rewards.get('language').score(f'{M} all in English{M} \u7b54\u6848', row).value == 1.0  # the reasoning alone
  assert rewards.get('format').score('<think> a </think> <answer> 5 </answer>', row) == rewards.WRONG


@pytest.mark.parametrize('text, value', [(' Hello!', 1.0), (f'{M} a{M} b', 1.0), (f'{M} a', 0.0), ('', 0.0),
                                         ('<think> a </think> b', 0.0), (f'{M}{M} b', 0.0)])
def test_a_general_question_may_be_answered_without_reasoning(text, value):
  assert rewards.get('format').score(text, {'format': 'r1', 'scenario': 'greeting'}).value == value
  assert rewards.get('format').score(' Hello!', {'format': 'r1'}).value == 0.0


def test_an_ideal_answer_scores_one():
  for name in formats.FORMATS:
    row = {'answer': '5', 'answer_type': 'int', 'format': name}
    assert rewards.get('math').score(formats.get(name).ideal('5'), row) == rewards.CORRECT
    assert rewards.get('format').score(formats.get(name).ideal('5'), row) == rewards.CORRECT
  assert R1.ideal('5', f'{M} reasoning') == f' process here{M} \\boxed{{5}}'
  with pytest.raises(ValueError, match='does not begin'):
    R1.ideal('5', 'Sure')


def test_an_unknown_format_is_named():
  with pytest.raises(UserError, match="no format 'r2'"):
    formats.get('r2')
  assert [formats.of_template(name).name for name in ('r1', 'deepseek_r1', 'qwen2.5')] == ['r1', 'deepseek_r1', 'r1_zero']


def test_the_mask_learns_marks_and_end_and_no_prompt(tmp_path):
  made = tokenizer_lib.train(['User: what? Assistant: because of the sum, 5.'] * 20, str(tmp_path / 'a'),
                             vocab_size=60, pieces=[])
  tokenizer = tokenizer_lib.add_special_tokens(made, list(R1.tokens), str(tmp_path / 'b'), limit=made.vocab_size + 1)
  prompt, completion = formats.encode(tokenizer, 'User: what? Assistant:', R1.write('the sum', '5'))
  mark = tokenizer.find(M)
  assert completion.count(mark) == 2 and completion[0] == mark and completion[-1] == tokenizer.eos_ids[0]
  assert tokenizer.decode(completion[:-1]) == R1.write('the sum', '5')
  packed = packing.pack([(prompt, completion)], length=len(prompt) + len(completion))
  learned = packed.targets_BxT[0][packed.mask_BxT[0] > 0]
  assert list(learned) == completion
