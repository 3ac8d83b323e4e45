"""Chat templates and beginnings of sequence as the model's own tokenizer has them."""

import importlib
import importlib.util
import json

import pytest
import tokenizers

from r1jax.convert import tokenizer_files
from r1jax.data import chat, columns, formats, prompts
from r1jax.data.tokenizer import Tokenizer
from r1jax.exceptions import UserError

SPECIAL = ['<s>', '</s>', '<|user|>', '<|assistant|>', '<|system|>']
# In the manner of the published ones: a loop, a system prompt in a variable, an error for a role that is unknown.
LOOP = ("{%- for m in messages %}{%- if m['role'] not in ['system', 'user'] %}{{ raise_exception('no role ' + m['role']) }}"
        "{%- endif %}{{ '<|' + m['role'] + '|>' + m['content'] | trim }}\n{%- endfor %}")
PLAIN = "{{ bos_token }}" + LOOP + "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
THINKS = "{{ bos_token }}" + LOOP + "{%- if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{%- endif %}"


def imported(tmp_path, template, *, adds_bos: bool):
  """A tokenizer as a published directory has it, imported."""
  source, out = tmp_path / 'published', tmp_path / 'imported'
  source.mkdir()
  out.mkdir()
  made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={chr(i): i for i in range(32, 127)} | {'\n': 127}, merges=[]))
  made.add_special_tokens(SPECIAL)
  if adds_bos:
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single='<s> $A', special_tokens=[('<s>', made.token_to_id('<s>'))])
  made.save(str(source / 'tokenizer.json'))
  (source / 'tokenizer_config.json').write_text(json.dumps(
      {'bos_token': {'__type': 'AddedToken', 'content': '<s>', 'special': True}, 'eos_token': '</s>', 'chat_template': template,
       'tokenizer_class': 'PreTrainedTokenizerFast'}))
  (source / 'generation_config.json').write_text(json.dumps({'eos_token_id': made.token_to_id('</s>')}))
  tokenizer_files.of_directory(str(source), {}, 256).write(str(out))
  return Tokenizer(str(out)), source


ROWS = [{'id': '1', 'question': 'What is 2 + 2?'}, {'id': '2', 'question': ' Why? ', 'system': 'Be brief.', 'prefill': 'So'}]


@pytest.mark.parametrize('template, format_', [(PLAIN, 'r1_zero'), (THINKS, 'deepseek_r1')])
def test_a_chat_template_is_rendered_and_says_how_answers_are_read(tmp_path, template, format_):
  tokenizer, _ = imported(tmp_path, template, adds_bos=True)
  rows = prompts.for_model(ROWS, tokenizer, 'chat')
  end = '<|assistant|>' + ('<think>\n' if template is THINKS else '')
  assert prompts.text('chat', rows[0]) == f'<s><|user|>What is 2 + 2?{end}'
  assert prompts.text('chat', rows[1]) == f'<s><|system|>Be brief.<|user|>Why?{end}So'
  assert {row['format'] for row in rows} == {format_} and formats.get(format_)
  first, _ = prompts.encode(rows, tokenizer, template='chat', max_prompt=100)
  assert list(first).count(tokenizer.bos_id) == 1 and first[0] == tokenizer.bos_id  # once, though both add one


OF_TRANSFORMERS = {  # what its templates may say -> what comes of it for the question 'hé', in JSON of whatever order
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}": 'hé',
    '{% for m in messages %}{% set x = m.content %}{% generation %}{% set x = 1 %}{% endgeneration %}{{ x }}{% endfor %}': 'hé',
    "{{ {'b': 1, 'a': messages[0].content} | tojson(sort_keys=true, separators=(',', ':')) }}": '{"a":"hé","b":1}',
    "{{ messages[0].content | tojson(ensure_ascii=true) }}": '"h\\u00e9"',
    "{{ [1] | tojson(indent=2) }}": '[\n  1\n]',
    "{% if tools is not none or documents is not none %}tools{% else %}none{% endif %}": 'none',
    "{% for m in messages %}{{ m.content }}{% break %}{% endfor %}": 'hé',
    "{% set ns = namespace(x=1) %}{% set ns.x = 2 %}{{ ns.x }}{{ 'a</think>b'.split('</think>')[-1] }}": '2b',
}


@pytest.mark.parametrize('template', OF_TRANSFORMERS)
def test_a_template_may_use_what_transformers_gives(tmp_path, template):
  tokenizer, source = imported(tmp_path, template, adds_bos=False)
  assert chat.render(tokenizer, 'hé') == OF_TRANSFORMERS[template]
  if importlib.util.find_spec('transformers'):
    theirs = importlib.import_module('transformers').AutoTokenizer.from_pretrained(source)
    assert theirs.apply_chat_template([{'role': 'user', 'content': 'hé'}], tokenize=False, add_generation_prompt=True
                                      ) == OF_TRANSFORMERS[template]


def test_as_transformers_renders_it(tmp_path):
  transformers = pytest.importorskip('transformers')
  tokenizer, source = imported(tmp_path, THINKS, adds_bos=False)
  theirs = transformers.AutoTokenizer.from_pretrained(source)
  messages = [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'é {x} \n 1'}]
  assert chat.render(tokenizer, 'é {x} \n 1', 'Be brief.') == theirs.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize('adds_bos', [True, False])
@pytest.mark.parametrize('template', ['r1_zero', 'plain', 'r1', 'chatml'])
def test_the_beginning_of_a_text_is_a_fact_of_the_tokenizer(tmp_path, adds_bos, template):
  tokenizer, _ = imported(tmp_path, PLAIN, adds_bos=adds_bos)
  ids, = prompts.encode(ROWS[:1], tokenizer, template=template, max_prompt=1000)
  bos = tokenizer.find('<s>')
  assert (ids[0] == bos) == adds_bos and list(ids).count(bos) == adds_bos
  document, _ = formats.encode(tokenizer, 'a prompt', 'an answer')
  assert (document[0] == bos) == adds_bos


def test_what_cannot_be_rendered_is_an_error_with_a_way_out(tmp_path):
  tokenizer, _ = imported(tmp_path, None, adds_bos=False)
  with pytest.raises(UserError, match='has no chat template: give another'):
    prompts.for_model(ROWS, tokenizer, 'chat')
  tokenizer.chat_template = "{{ raise_exception('no ' + messages[0]['role']) }}"
  with pytest.raises(UserError, match='fails .*no user'):
    chat.render(tokenizer, 'a')
  tokenizer.chat_template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
  with pytest.raises(UserError, match='SecurityError'):
    chat.render(tokenizer, 'a')
  with pytest.raises(UserError, match="only where questions"):
    prompts.render('chat', 'a')


def test_system_prompts_of_a_file_and_where_there_is_no_place_for_them(tmp_path, caplog):
  row = columns.normal({'messages': [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': '2 + 2?'}],
                        'answer': '4'})
  assert row['system'] == 'Be brief.' and row['question'] == '2 + 2?'
  tokenizer, _ = imported(tmp_path, PLAIN, adds_bos=False)
  with caplog.at_level('WARNING', 'r1jax'):
    (same,) = prompts.for_model([row], tokenizer, 'r1_zero')
  assert same is row and '1 of 1 questions have a system prompt' in caplog.text
