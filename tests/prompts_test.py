"""r1jax.data.prompts: the published chat formats to the letter, and what is refused.

The strings are those that the models' own chat templates give for one user turn with the generation prompt, quoted
from public copies of their tokenizer_config.json.
"""

import pytest

from r1jax.data import prompts
from r1jax.exceptions import UserError

Q = 'What is 2 + 2?'


@pytest.mark.parametrize('template, wanted', [
    ('plain', Q),
    ('deepseek_r1', f'<｜begin▁of▁sentence｜><｜User｜>{Q}<｜Assistant｜><think>\n'),
    ('qwen2.5', f'<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{Q}<|im_end|>\n'
                '<|im_start|>assistant\n'),
    ('qwen2.5_instruct', '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.'
                         f'<|im_end|>\n<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n'),
    ('llama3', '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n'
               'Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n'
               f'{Q}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n')])
def test_templates_to_the_letter(template, wanted):
  assert prompts.render(template, Q) == wanted
  assert prompts.render(template, Q, ' so') == wanted + ' so'
  assert ''.join(prompts.fixed_parts(template)) == wanted.replace(Q, '')


def test_a_question_may_hold_braces():
  assert prompts.render('plain', 'f{x} {question}') == 'f{x} {question}'
  assert '{1, 2}' in prompts.render('r1_zero', 'Sum {1, 2}')


def test_an_unknown_template_and_a_long_prompt_are_refused():
  class Letters:
    pad_id = 0
    encode = encode_prompt = staticmethod(lambda text: [ord(c) for c in text])

  with pytest.raises(UserError, match="no template 'r2': one of r1_zero, r1, plain"):
    prompts.render('r2', Q)
  row = {'id': 'a', 'question': 'abc'}
  made = prompts.encode([row], Letters, template='plain', max_prompt=5)
  assert [ids.tolist() for ids in made] == [[97, 98, 99]]
  with pytest.raises(UserError, match='row a has 3 tokens, the limit max_prompt=2'):
    prompts.encode([row], Letters, template='plain', max_prompt=2)


def test_too_long_a_question_is_left_out_and_said(caplog):
  class Words:
    def encode(self, text):
      return text.split()

    encode_prompt = encode

  rows = [{'id': 'a', 'question': 'one two'}, {'id': 'b', 'question': 'one two three', 'where': 'f.jsonl:2'},
          {'id': 'c', 'question': '1 2', 'prefill': ' 3'}, {'id': 'd', 'question': '4'}]
  fitting = lambda n: [r['id'] for r in prompts.fitting(rows, Words(), template='plain', max_prompt=n)]
  assert fitting(3) == ['a', 'b', 'c', 'd'] and not caplog.messages
  assert fitting(2) == ['a', 'd']
  assert caplog.messages == ['2 of 4 questions are longer than max_prompt=2 tokens (f.jsonl:2, row c): left out']
  with pytest.raises(UserError, match='3 of 4 questions .*, the longest has 3: raise max_prompt'):
    fitting(1)
  # Before a run, the same by the key of the config, of some of many.
  look = lambda rows, n: prompts.check_fit(rows, Words(), template='plain', max_prompt=n, key='rl.max_prompt')
  look(rows, 2)
  look([], 2)
  assert caplog.messages[1:] == [
      '2 of 4 questions are longer than rl.max_prompt=2 tokens (f.jsonl:2, row c): will be left out']
  look(rows, 3)
  assert len(caplog.messages) == 2
  with pytest.raises(UserError, match=r'^3 of 4 questions are longer than rl.max_prompt=1 tokens \(row a, .*: raise rl.max_prompt$'):
    look(rows, 1)
  with pytest.raises(UserError, match=r'750 of 1000 questions .* \(of 4000, these were looked at\)'):
    look([rows[i // 1000] for i in range(4000)], 1)
