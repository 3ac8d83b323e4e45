"""Tokenizers: added tokens are one id each, and what is written for others gives the same ids."""

import json
import os

import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers

from r1jax.data.tokenizer import Tokenizer, add_special_tokens, as_tokenizer_json
from r1jax.data.tokenizer import train as train_tokenizer
from r1jax.exceptions import UserError

TOKENS = ['<|end|>', '<|pad|>', '<think>', *sorted(pre_tokenizers.ByteLevel.alphabet()), 'he', 'll', 'hell', 'Ġhell']
MERGES = ['h e', 'l l', 'he ll', 'Ġ hell']


def test_a_tiny_tokenizer_goes_out_with_the_same_ids(tmp_path):
  texts = [' <think> 3 + 4 = 7. </think> <answer> 7 </answer>', 'the sum of 12 and -5 is 7', 'wait, no'] * 40
  ours = train_tokenizer(texts, str(tmp_path), vocab_size=90, pieces=[' <think>', '</think>', ' <answer>', ' 12'])
  as_tokenizer_json(ours, str(tmp_path / 'out.json'))
  theirs = tokenizers.Tokenizer.from_file(str(tmp_path / 'out.json'))
  for text in [*texts[:3], 'a sum <think>of 12 12 is', '  two  spaces 7', 'unknown: üü!']:
    assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text), text
    assert theirs.decode(ours.encode(texts[0])) == texts[0]


def made(kind, path, special=()):
  """A small tokenizer of that kind; special: tokens that a text leaves out."""
  if kind == 'sentencepiece':
    return train_tokenizer(['the sum of 12 and 5 is 17'] * 9, str(path), vocab_size=40, pieces=[' 12'])
  vocab = {token: i for i, token in enumerate(TOKENS)}
  theirs = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [tuple(m.split(' ')) for m in MERGES]))
  theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  theirs.decoder = tokenizers.decoders.ByteLevel()
  theirs.add_special_tokens(list(special))
  os.makedirs(path / 'hf')
  theirs.save(str(path / 'hf' / 'tokenizer.json'))
  (path / 'hf' / 'tokenizer_r1jax.json').write_text(json.dumps({'eos_ids': [0]}))
  return Tokenizer(str(path / 'hf'))


@pytest.mark.parametrize('kind', ['sentencepiece', 'tokenizer.json'])
def test_many_are_decoded_as_one_by_one(tmp_path, kind):
  """Of any length, of any ids: pieces of a character, special ones, and those that a model has rows to spare for."""
  ours = made(kind, tmp_path, special=('<|end|>', '<|pad|>'))
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, ours.vocab_size, n).astype(np.int32) for n in (0, 1, 1, 5, 64, 2, 300)]
  rows += [np.array([0, 2, 0], np.int32), np.array(ours.encode('hell <think> the sum \u00fc\u4e8c'), np.int32), [3, 4]]
  if kind == 'sentencepiece':
    rows.append(np.array([5, ours.vocab_size, 6, ours.vocab_size + 99], np.int32))
  assert ours.decode_batch(rows) == [ours.decode(ids) for ids in rows]
  assert ours.decode_batch(rows[:1]) == [''] and ours.decode_batch([]) == []
  assert len(set(map(ours.decode, rows))) > 7  # they are texts


@pytest.mark.parametrize('kind', ['sentencepiece', 'tokenizer.json'])
def test_special_tokens_are_one_id_each(tmp_path, kind):
  ours = made(kind, tmp_path)
  marks = ['|special_token|', '<sum>']
  new = add_special_tokens(ours, marks, str(tmp_path / 'new'), limit=ours.vocab_size + 2)
  ids = new.encode('|special_token|he<sum>')
  assert ids[0] == ours.vocab_size and ids[-1] == ours.vocab_size + 1 and new.vocab_size == ours.vocab_size + 2
  assert new.decode(ids).startswith('|special_token|') and new.encode('the') == ours.encode('the')
  assert add_special_tokens(new, marks, str(tmp_path / 'again'), limit=new.vocab_size).vocab_size == new.vocab_size
  with pytest.raises(UserError, match='2 special tokens after'):
    add_special_tokens(ours, marks, str(tmp_path / 'full'), limit=ours.vocab_size + 1)


def test_a_full_vocabulary_gives_its_reserved_tokens(tmp_path):
  theirs = tokenizers.Tokenizer(tokenizers.models.BPE(
      {token: i for i, token in enumerate(TOKENS)}, [tuple(m.split(' ')) for m in MERGES]))
  theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  theirs.add_special_tokens(['<|end_of_text|>', '<|reserved_special_token_0|>', '<|reserved_special_token_1|>'])
  theirs.save(str(tmp_path / 'tokenizer.json'))
  (tmp_path / 'tokenizer_r1jax.json').write_text(json.dumps({'eos_ids': [len(TOKENS)]}))
  full = Tokenizer(str(tmp_path))
  new = add_special_tokens(full, ['<|thought|>'], str(tmp_path / 'new'), limit=full.vocab_size)
  assert new.vocab_size == full.vocab_size and new.find('<|thought|>') == full.find('<|reserved_special_token_0|>')
  ids = new.encode('<|thought|>he')
  assert ids[0] == new.find('<|thought|>') and ids[1:] == full.encode('he')
  assert new.decode(ids).startswith('<|thought|>')
  with pytest.raises(UserError, match='3 special tokens after'):
    add_special_tokens(full, ['<a>', '<b>', '<c>'], str(tmp_path / 'none'), limit=full.vocab_size)
