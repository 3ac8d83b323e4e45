"""What a rehearsal reads: a nano model's Hugging Face directory, and files of rows in the layouts that configs name."""

import json
import os

import numpy as np

from r1jax.data import formats
from r1jax.data import prompts
from r1jax.models import zoo

ANSWER = 4  # of every question, so that a model of a few thousand parameters is right now and then
_REASONING = 'I add the two numbers.'
_LENGTH = 4096  # positions of the nano model: worked examples stand before a question


def _write(work: str, name: str, rows) -> str:
  path = os.path.join(work, name)
  if not os.path.exists(path):
    os.makedirs(work, exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
      f.writelines(json.dumps(row) + '\n' for row in rows)
  return path


def _asked(n: int) -> list[str]:
  return [f'What is {a} plus {ANSWER - a}, question {i}?' for i, a in ((i, i % (ANSWER + 1)) for i in range(n))]


def questions(work: str, n: int) -> str:
  return _write(work, 'questions.jsonl', (dict(question=q, answer=str(ANSWER)) for q in _asked(n)))


def general_prompts(work: str) -> str:
  return _write(work, 'prompts.jsonl', (dict(question=f'Tell me of number {i}.') for i in range(24)))


def shown(work: str) -> str:
  return _write(work, 'shown.jsonl', (dict(question=q, reasoning=_REASONING, answer=str(ANSWER)) for q in _asked(4)))


def _turn(template: str, question: str) -> dict:
  form = formats.of_template(template)
  summary = str(ANSWER) if template == 'r1_zero' else f'The answer is \\boxed{{{ANSWER}}}.'
  return dict(prompt=prompts.render(template, question), completion=' ' + form.write(_REASONING, summary))


def documents(work: str, format_: str) -> str:
  template = formats.get(format_).template if format_ else 'r1'
  return _write(work, f'documents_{template}.jsonl', (_turn(template, q) for q in _asked(64)))


def preferences(work: str, kind: str) -> str:
  rows = (dict(question=q, chosen='It is four.', rejected='No.') if kind == 'pairs' else
          dict(question=q, response='It is four.', safe=i % 2 == 0) for i, q in enumerate(_asked(48)))
  return _write(work, f'{kind}.jsonl', rows)


def taught(work: str) -> str:
  """What the nano base reads before it is published: both layouts of a turn, with the one answer."""
  rows = [_turn(template, q) for q in _asked(96) for template in ('r1_zero', 'r1')]
  return _write(work, 'taught.jsonl', rows)


def nano_of(name: str) -> str:
  """The nano model of a published one's family."""
  config = zoo.get(name)
  if config.family == 'deepseek_v3':
    return 'nano-deepseek'
  if config.qk_norm:
    return 'nano-qwen3'
  if config.rope_scaling is not None:
    return 'nano-llama'
  return 'nano-qwen' if config.qkv_bias else 'nano'


def publish(directory: str, work: str, model: str) -> str:
  """A Hugging Face directory of random weights in the nano model's sizes: two shards and an index, config.json, a BPE
  tokenizer of the texts that the rehearsal has."""
  import tokenizers  # here: what shrinks a config needs none of it
  from tokenizers import pre_tokenizers, trainers
  from r1jax.convert import hf_config, table
  os.makedirs(directory, exist_ok=True)
  config, rng = zoo.get(model, max_length=_LENGTH), np.random.default_rng(0)
  tensors = {name: rng.normal(size=table.their_shape(place)).astype(np.float32) * 0.05
             for name, place in table.places(config).items()}
  in_two(directory, tensors)
  with open(os.path.join(directory, 'config.json'), 'w', encoding='utf-8') as f:
    json.dump(hf_config.facts_of(config, 'float32', [0], 1), f)
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  with open(taught(work), encoding='utf-8') as f:
    texts = [text for line in f for text in json.loads(line).values()]
  tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
      vocab_size=config.vocab_size - 32, special_tokens=['<e>', '<p>'], show_progress=False,
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
  tokenizer.save(os.path.join(directory, 'tokenizer.json'))
  return directory


def chat(directory: str) -> None:
  """A chat template, as published models have one: what the nano base was taught, behind a system prompt."""
  before, after = prompts.fixed_parts('r1_zero')
  text = ("{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }} {% else %}"
          f"{before}{{{{ m['content'] }}}}{after}{{% endif %}}{{% endfor %}}")
  with open(os.path.join(directory, 'chat_template.jinja'), 'w', encoding='utf-8') as f:
    f.write(text)


def in_two(directory: str, tensors: dict) -> None:
  """Weights as large models are published: several files and an index."""
  from safetensors.numpy import save_file
  names, files = list(tensors), [f'model-0000{i}-of-00002.safetensors' for i in (1, 2)]
  halves = names[:len(names) // 2], names[len(names) // 2:]
  for file, half in zip(files, halves):
    save_file({name: tensors[name] for name in half}, os.path.join(directory, file), {'format': 'pt'})
  with open(os.path.join(directory, 'model.safetensors.index.json'), 'w', encoding='utf-8') as f:
    json.dump({'metadata': {}, 'weight_map': {name: file for file, half in zip(files, halves) for name in half}}, f)
