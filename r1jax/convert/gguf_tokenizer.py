"""The byte-level BPE in a GGUF file's metadata -> tokenizer.json."""

from typing import Callable

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from r1jax.convert import tokenizer_files
from r1jax.convert.source import TokenizerFiles
from r1jax.exceptions import UserError

_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type


def _by(pattern: str):
  return lambda: pre_tokenizers.Sequence([
      pre_tokenizers.Split(tokenizers.Regex(pattern), 'isolated'),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


# The patterns of the published tokenizer.json files; they differ in how many digits stay together.
_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|"
          r'\s*[\r\n]+|\s+(?!\S)|\s+')
_LLAMA3, _QWEN2 = _by(_WORDS.format(digits='{1,3}')), _by(_WORDS.format(digits=''))
# Splits of text before the merges, by tokenizer.ggml.pre. 'smollm' is read as transformers reads it, so that ids
# are the same. llama.cpp cuts digits off first, Sequence([Digits(individual_digits=True), ByteLevel(..)]), which
# gives other ids only where two or more white spaces stand before a digit, or one before a digit beyond ASCII.
_SPLITS = {'smollm': lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
           'llama-bpe': _LLAMA3, 'llama3': _LLAMA3, 'llama-v3': _LLAMA3, 'qwen2': _QWEN2, 'deepseek-r1-qwen': _QWEN2}
_WHOLE_FIRST = ('llama-bpe', 'llama3', 'llama-v3')  # a word that is a token is one, whatever the merges would make
_NFC = ('qwen2', 'deepseek-r1-qwen')


def of_file(path: str, fact: Callable, rows: int, stop: tuple[str, ...] = ()) -> TokenizerFiles:
  """fact: (key, default) -> metadata. rows: of the embedding.

  Raises:
    UserError: another kind of tokenizer.
  """
  kind, split = fact('tokenizer.ggml.model'), fact('tokenizer.ggml.pre', 'none')
  if kind != 'gpt2' or split not in _SPLITS:
    raise UserError(f'{path} has a tokenizer.ggml.model={kind!r} with pre={split!r}: supported is \'gpt2\' with '
                    f'{", ".join(_SPLITS)}; import the Hugging Face directory that the file was made from')
  tokens, types = fact('tokenizer.ggml.tokens'), fact('tokenizer.ggml.token_type')
  merges = [_merge(path, merge) for merge in fact('tokenizer.ggml.merges')]
  try:
    tokenizer = tokenizers.Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)}, merges=merges, ignore_merges=split in _WHOLE_FIRST))
  except Exception as e:  # pylint: disable=broad-except  the library raises nothing narrower
    raise UserError(f'{path}: tokenizer.ggml.merges do not fit tokenizer.ggml.tokens ({e}): the file is torn, or was '
                    'written by hand') from e
  if split in _NFC:
    tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer, tokenizer.decoder = _SPLITS[split](), decoders.ByteLevel()
  added = [tokenizers.AddedToken(token, normalized=False, special=kind == _CONTROL)
           for token, kind in zip(tokens, types) if kind in (_CONTROL, _USER_DEFINED)]
  tokenizer.add_special_tokens([t for t in added if t.special])
  tokenizer.add_tokens([t for t in added if not t.special])
  eos, bos = fact('tokenizer.ggml.eos_token_id'), fact('tokenizer.ggml.bos_token_id', -1)
  # Llama 3's files leave the key out; llama.cpp begins their texts all the same.
  if bos >= len(tokens):
    raise UserError(f'{path} has tokenizer.ggml.bos_token_id={bos}, but {len(tokens)} tokens')
  adds = bos >= 0 and fact('tokenizer.ggml.add_bos_token', split in _WHOLE_FIRST)
  if adds:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f'{tokens[bos]} $A', pair=f'{tokens[bos]} $A {tokens[bos]} $B', special_tokens=[(tokens[bos], bos)])
  ends = [eos, *(fact(f'tokenizer.ggml.{name}_token_id', -1) for name in ('eot', 'eom'))]
  return tokenizer_files.checked(tokenizer, {
      'eos_ids': [e for e in ends if e >= 0], 'pad_id': fact('tokenizer.ggml.padding_token_id', eos),
      'chat_template': fact('tokenizer.chat_template', '') or None, 'bos_id': bos if adds else None,
      'special': {} if bos < 0 else {'bos_token': tokens[bos]}}, rows, path, stop)


def _merge(path: str, merge: str) -> tuple[str, str]:
  parts = merge.split(' ')
  if len(parts) != 2:
    raise UserError(f'{path}: tokenizer.ggml.merges has {merge!r}, which is no pair of tokens: the file is torn, or '
                    'was written by hand')
  return parts[0], parts[1]
