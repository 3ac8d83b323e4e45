"""GGUF files of the Llama architecture, read by the package gguf."""

import os
from typing import Callable

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from r1jax.engine import checkpoint
from r1jax.convert.source import Source
from r1jax.types import UserError

# Splits of text before the merges, by tokenizer.ggml.pre. 'smollm' is read as transformers reads it, so that ids
# are the same. llama.cpp cuts digits off first, Sequence([Digits(individual_digits=True), ByteLevel(..)]), which
# gives other ids only where two or more white spaces stand before a digit, or one before a digit beyond ASCII.
_SPLITS = {'smollm': lambda: pre_tokenizers.ByteLevel(add_prefix_space=False)}
_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type


def open_gguf(path: str) -> Source:
  """A GGUF file of the Llama architecture, in any quantisation that the gguf package can undo.

  Raises:
    UserError: not a GGUF file, or one of another architecture.
  """
  try:
    import gguf
  except ImportError as e:
    raise UserError("reading GGUF needs the package gguf: pip install 'r1jax[smollm2]'") from e
  try:
    reader = gguf.GGUFReader(path)
  except (OSError, ValueError, IndexError, KeyError) as e:
    raise UserError(f'{path} cannot be read as GGUF: {" ".join(str(e).split()) or type(e).__name__}') from e
  tensors = {t.name: t for t in reader.tensors}

  def fact(key, default=None):
    field = reader.fields.get(key)
    if field is None and default is None:
      raise UserError(f'{path} has no {key} in its metadata')
    return default if field is None else field.contents()

  if (found := fact('general.architecture')) != 'llama':
    raise UserError(f"{path} holds the architecture {found!r}: only 'llama' is supported")
  if fact('llama.rope.scaling.type', 'none') != 'none':
    raise UserError(f'{path} has llama.rope.scaling.type={fact("llama.rope.scaling.type")!r}: not supported')
  dim, heads = fact('llama.embedding_length'), fact('llama.attention.head_count')
  sizes = dict(
      vocab_size=len(fact('tokenizer.ggml.tokens')), dim=dim, layers=fact('llama.block_count'),
      heads=heads, kv_heads=fact('llama.attention.head_count_kv', heads), ffn_dim=fact('llama.feed_forward_length'),
      head_dim=fact('llama.rope.dimension_count', dim // heads), rope_theta=fact('llama.rope.freq_base', 1e4),
      # Stored in float32: 1e-5 comes out as 9.999999747e-06.
      norm_eps=float(str(np.float32(fact('llama.attention.layer_norm_rms_epsilon')))),
      qkv_bias=False, tied='output.weight' not in tensors, max_length=fact('llama.context_length'))

  def read(name):
    tensor = tensors[name]
    try:
      return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape.tolist()[::-1])
    except NotImplementedError as e:
      raise UserError(f'{path}: tensor {name} has quantisation {tensor.tensor_type.name}, which the package gguf '
                      'cannot undo') from e

  shapes = {name: tuple(t.shape.tolist()[::-1]) for name, t in tensors.items()}
  dtypes = dict.fromkeys(shapes, np.dtype(np.float32))
  return Source(path, 'gguf', sizes, shapes, dtypes, read, lambda out: _gguf_tokenizer(path, fact, out))


def _gguf_tokenizer(path: str, fact: Callable, out: str) -> None:
  """Byte-level BPE from GGUF's metadata -> tokenizer.json and tokenizer_r1jax.json."""
  kind, split = fact('tokenizer.ggml.model'), fact('tokenizer.ggml.pre', 'none')
  if kind != 'gpt2' or split not in _SPLITS:
    raise UserError(f'{path} has a tokenizer.ggml.model={kind!r} with pre={split!r}: supported is \'gpt2\' with '
                    f'{", ".join(_SPLITS)}')
  tokens = fact('tokenizer.ggml.tokens')
  tokenizer = tokenizers.Tokenizer(models.BPE(
      vocab={token: i for i, token in enumerate(tokens)},
      merges=[tuple(merge.split(' ')) for merge in fact('tokenizer.ggml.merges')]))
  tokenizer.pre_tokenizer, tokenizer.decoder = _SPLITS[split](), decoders.ByteLevel()
  added = [tokenizers.AddedToken(token, normalized=False, special=kind == _CONTROL)
           for token, kind in zip(tokens, fact('tokenizer.ggml.token_type')) if kind in (_CONTROL, _USER_DEFINED)]
  tokenizer.add_special_tokens([t for t in added if t.special])
  tokenizer.add_tokens([t for t in added if not t.special])
  eos, bos = fact('tokenizer.ggml.eos_token_id'), fact('tokenizer.ggml.bos_token_id', -1)
  tokenizer.save(os.path.join(out, 'tokenizer.json'))
  checkpoint.write_json(os.path.join(out, 'tokenizer_r1jax.json'), {
      'eos_ids': [eos], 'pad_id': fact('tokenizer.ggml.padding_token_id', eos),
      'chat_template': fact('tokenizer.chat_template', '') or None,
      'bos_id': bos if bos >= 0 and fact('tokenizer.ggml.add_bos_token', False) else None,
      'special': {} if bos < 0 else {'bos_token': tokens[bos]}})


