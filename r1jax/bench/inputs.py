"""Weights and prompts on disk, the same for every program. Made once for a work dir, and kept."""

import json
import math
import os
import subprocess
import sys
from typing import NamedTuple
import zlib

import numpy as np
import safetensors.numpy
import tokenizers

from r1jax.data.tokenizer import Tokenizer
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file

BOS = 1  # every prompt begins with it: tunix puts it there itself, whatever a tokenizer says
_SPECIAL = ('<pad>', '<bos>', '<eos>', '<unk>')  # of the random model's words, which are t4, t5, ..
_SUBJECTS = (
    'A baker sells 14 loaves before noon and 9 after it, each of them for 3 coins. How many coins does she have then? ',
    'Two boats leave the same harbour, one of them to the north at 12 knots and the other to the east at 5. ',
    'List the squares of the whole numbers from one to twelve, then say which of them are even and why. ',
    'A field is 45 metres long and 30 metres wide, and a wall of stone is to be built all the way around it. ')


class Inputs(NamedTuple):
  """Of a workload."""
  checkpoint: str  # what common.load_model reads; '' where weights are made on the devices
  hf: str  # the same as a Hugging Face directory; '' where nobody asks for it
  prompts: list[list[int]]  # token ids, BOS first
  texts: list[str]  # the same without BOS
  bos: str  # which is written so


def path(work: str, name: str) -> str:
  return os.path.join(work, 'inputs', f'{name}.json')


def read(work: str, name: str) -> Inputs:
  with open(path(work, name), encoding='utf-8') as f:
    return Inputs(**json.load(f))


def prepare(w, name: str, work: str, *, peers: bool) -> Inputs:
  """Makes what is not there yet. w: the workload's part of the config.

  Raises:
    UserError: weights that cannot be had.
  """
  if w.source == 'fresh':
    prompts = _random_ids(w, w.sizes.get('vocab_size', 256))
    made = Inputs('', '', prompts, [''] * len(prompts), '')
  else:
    sizes = w.sizes.to_dict()
    title = w.model or f'random-{zlib.crc32(json.dumps(sizes, sort_keys=True).encode()):08x}'
    checkpoint, hf = (os.path.join(os.path.abspath(work), 'models', title + end) for end in ('', '-hf'))
    if w.source == 'random' and not os.path.exists(os.path.join(hf, 'config.json')):
      write_random(hf, sizes)
    if not _whole(checkpoint):
      source = hf if w.source == 'random' else w.source
      _convert('import', f'--source={source}', *([f'--model={w.model}'] if w.model else []), f'--out={checkpoint}')
    if peers and not os.path.exists(os.path.join(hf, 'config.json')):
      _convert('export', f'--checkpoint={checkpoint}', f'--out={hf}')
    tokenizer = Tokenizer(checkpoint)
    made = Inputs(checkpoint, hf if peers else '', *_prompts(w, sizes, tokenizer), tokenizer.piece(BOS))
  replace_file(path(work, name), json.dumps(made._asdict()).encode())
  return made


def _whole(checkpoint: str) -> bool:
  """Whether an import has ended there: its command writes config.json last."""
  return os.path.exists(os.path.join(checkpoint, 'config.json'))


def _convert(*args: str) -> None:
  done = subprocess.run([sys.executable, '-m', 'r1jax.convert', *args], capture_output=True, text=True, check=False)
  if done.returncode:
    said = done.stderr.strip().splitlines() or ['it said nothing']
    raise UserError(f'r1jax convert {args[0]}: {said[-1].removeprefix("r1jax: ")}')


def _random_ids(w, vocab_size: int) -> list[list[int]]:
  ids = np.random.default_rng(1).integers(len(_SPECIAL), vocab_size, (w.prompts, w.prompt_tokens - 1))
  return [[BOS, *row] for row in ids.tolist()]


def _prompts(w, sizes: dict, tokenizer: Tokenizer) -> tuple[list[list[int]], list[str]]:
  """(ids, texts): words of the random model's, else sentences cut to length."""
  if w.source == 'random':
    ids = _random_ids(w, sizes['vocab_size'])
    return ids, [' '.join(f't{i}' for i in row[1:]) for row in ids]
  n = w.prompt_tokens - 1
  texts = []
  for i in range(w.prompts):
    text = _SUBJECTS[i % len(_SUBJECTS)] * (n // 4 + 2)
    cuts = (tokenizer.decode(tokenizer.encode(text[first:])[:n]) for first in range(64))
    texts.append(next(cut for cut in cuts if len(tokenizer.encode(cut)) == n))  # the cut may fall within a word
  return [[BOS, *tokenizer.encode(text)] for text in texts], texts


def write_random(directory: str, sizes: dict) -> None:
  """A Llama with random weights, normal with std 0.02, norms 1, as a Hugging Face directory."""
  draw, D, F = np.random.default_rng(0), sizes['dim'], sizes['ffn_dim']
  head = sizes.get('head_dim') or D // sizes['heads']
  q, kv = sizes['heads'] * head, sizes['kv_heads'] * head
  shapes = {'model.embed_tokens.weight': (sizes['vocab_size'], D), 'model.norm.weight': (D,)}
  for i in range(sizes['layers']):
    layer = {'self_attn.q_proj': (q, D), 'self_attn.k_proj': (kv, D), 'self_attn.v_proj': (kv, D),
             'self_attn.o_proj': (D, q), 'mlp.gate_proj': (F, D), 'mlp.up_proj': (F, D), 'mlp.down_proj': (D, F),
             'input_layernorm': (D,), 'post_attention_layernorm': (D,)}
    shapes |= {f'model.layers.{i}.{name}.weight': shape for name, shape in layer.items()}
  weights = {name: np.ones(shape, np.float32) if len(shape) == 1 else
             0.02 * draw.standard_normal(math.prod(shape), np.float32).reshape(shape) for name, shape in shapes.items()}
  os.makedirs(directory, exist_ok=True)
  safetensors.numpy.save_file(weights, os.path.join(directory, 'model.safetensors'), {'format': 'pt'})
  _write_words(directory, sizes['vocab_size'])
  facts = dict(
      architectures=['LlamaForCausalLM'], model_type='llama', hidden_act='silu', torch_dtype='float32',
      vocab_size=sizes['vocab_size'], hidden_size=D, intermediate_size=F, num_hidden_layers=sizes['layers'],
      num_attention_heads=sizes['heads'], num_key_value_heads=sizes['kv_heads'], head_dim=head,
      rope_theta=sizes['rope_theta'], rms_norm_eps=sizes['norm_eps'], tie_word_embeddings=sizes['tied'],
      max_position_embeddings=sizes['max_length'], attention_bias=False, mlp_bias=False, pad_token_id=0,
      bos_token_id=BOS, eos_token_id=2)
  # Last: it says that all is there.
  replace_file(os.path.join(directory, 'config.json'), json.dumps(facts, indent=1).encode())


def _write_words(directory: str, vocab_size: int) -> None:
  """The random model's tokenizer: a token a word."""
  words = {word: i for i, word in enumerate(_SPECIAL)} | {f't{i}': i for i in range(len(_SPECIAL), vocab_size)}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token='<unk>'))
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  tokenizer.add_special_tokens(list(_SPECIAL))
  tokenizer.save(os.path.join(directory, 'tokenizer.json'))
  facts = {'tokenizer_class': 'PreTrainedTokenizerFast', 'pad_token': '<pad>', 'bos_token': '<bos>',
           'eos_token': '<eos>', 'unk_token': '<unk>', 'padding_side': 'left', 'clean_up_tokenization_spaces': False}
  replace_file(os.path.join(directory, 'tokenizer_config.json'), json.dumps(facts, indent=1).encode())
