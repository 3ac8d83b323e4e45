"""sentencepiece's tokenizer.model and Hugging Face's tokenizer.json behind one class."""

import hashlib
import io
import json
import os
import re
import shutil

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
import tokenizers

from r1jax.exceptions import UserError
from r1jax.metrics import replace_file

_FILES = ('tokenizer.model', 'tokenizer.json', 'tokenizer_r1jax.json')
_USER_DEFINED = sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED


class Tokenizer:
  """Text <-> token ids.

  Attributes:
    eos_ids: each ends a completion.
    pad_id: fills; no mask is ever made from it.
    bos_id: the token that begins every text of this model; None where it was trained without one (Llama 3's has one,
      the published DeepSeek-V3's writes it in its chat template alone).
    chat_template: a jinja text, or None.
    special: {'bos_token': ..., 'eos_token': ...}, texts that chat templates ask for.
  """

  def __init__(self, directory: str):
    """Reads tokenizer.model or tokenizer.json, and tokenizer_r1jax.json (eos and pad ids), from a directory.

    Raises:
      UserError: none of the two is there.
    """
    self.directory = directory
    model, hf = (os.path.join(directory, f) for f in ('tokenizer.model', 'tokenizer.json'))
    meta = os.path.join(directory, 'tokenizer_r1jax.json')
    facts = {}
    if os.path.exists(meta):
      try:
        with open(meta, encoding='utf-8') as f:
          facts = json.load(f)
      except ValueError as e:
        raise UserError(f'{meta} cannot be read: {e}') from e
    if os.path.exists(model):
      self._sp = sentencepiece.SentencePieceProcessor(model_file=model)
      self._hf = None
      self.vocab_size = self._sp.vocab_size()
      self.eos_ids = tuple(facts.get('eos_ids', (self._sp.eos_id(),)))
      self.pad_id = facts.get('pad_id', max(self._sp.pad_id(), 0))
    elif os.path.exists(hf):
      self._sp, self._hf = None, _from_file(hf)
      self.vocab_size = self._hf.get_vocab_size()
      if 'eos_ids' not in facts:
        raise UserError(f'{directory} has tokenizer.json but no tokenizer_r1jax.json with eos_ids: import it with '
                        'python -m r1jax.convert import')
      self.eos_ids = tuple(facts['eos_ids'])
      self.pad_id = facts.get('pad_id', self.eos_ids[0])
    else:
      raise UserError(f'no tokenizer in {directory}: expected tokenizer.model or tokenizer.json there')
    self.chat_template = facts.get('chat_template')
    self.bos_id = facts['bos_id'] if 'bos_id' in facts else self._begins_with()
    begins = '' if self.bos_id is None else self.piece(self.bos_id)
    self.special = {'bos_token': begins, 'eos_token': self.piece(self.eos_ids[0]), **facts.get('special', {})}

  def _begins_with(self) -> int | None:
    """What the library itself puts before a text."""
    if self._hf is None:
      return None
    bare, whole = (self._hf.encode('a', add_special_tokens=adds).ids for adds in (False, True))
    return whole[0] if len(whole) > len(bare) and whole[0] != bare[0] else None

  def encode_prompt(self, text: str) -> list[int]:
    """Ids of a text that begins a sequence: with the model's token for that in front, unless the text has it."""
    ids = self.encode(text)
    return ids if self.bos_id is None or ids[:1] == [self.bos_id] else [self.bos_id, *ids]

  def encode(self, text: str) -> list[int]:
    """Ids of a text; adds no beginning or end of its own."""
    if self._sp is not None:
      return self._sp.encode(text)
    return self._hf.encode(text, add_special_tokens=False).ids

  def decode(self, ids) -> str:
    """Text of ids, special tokens left out."""
    ids = [int(i) for i in ids]
    if self._sp is not None:
      return self._sp.decode([i for i in ids if i < self.vocab_size])  # a model may have rows to spare
    return self._hf.decode(ids, skip_special_tokens=True)

  def decode_batch(self, rows) -> list[str]:
    """Texts of many, by as many threads as the library takes."""
    if self._sp is not None:
      return self._sp.decode([[int(i) for i in ids if i < self.vocab_size] for ids in rows]) if rows else []
    return self._hf.decode_batch([[int(i) for i in ids] for ids in rows], skip_special_tokens=True)

  def piece(self, token: int) -> str:
    """The token itself, as the vocabulary spells it."""
    return self._sp.id_to_piece(token) if self._sp is not None else self._hf.id_to_token(token)

  def is_special(self, token: int) -> bool:
    """Whether decode leaves it out."""
    if self._sp is not None:
      return self._sp.is_control(token)
    added = self._hf.get_added_tokens_decoder().get(token)
    return added is not None and added.special

  def find(self, piece: str) -> int | None:
    """The id of a token spelled so, if there is one."""
    if self._hf is not None:
      return self._hf.token_to_id(piece)
    found = self._sp.piece_to_id(piece.replace(' ', '\u2581'))
    return None if found == self._sp.unk_id() else found

  def digest(self) -> str:
    """sha256 of its files: what has the same one gives the same ids."""
    h = hashlib.sha256()
    for name in _FILES:
      path = os.path.join(self.directory, name)
      if os.path.exists(path):
        with open(path, 'rb') as f:
          h.update(f'{name} {os.path.getsize(path)}\n'.encode() + f.read())
    return h.hexdigest()

  def save(self, directory: str) -> None:
    """Copies the files, so that a work dir is whole in itself."""
    os.makedirs(directory, exist_ok=True)
    for name in _FILES:
      source = os.path.join(self.directory, name)
      if os.path.exists(source) and os.path.abspath(directory) != os.path.abspath(self.directory):
        shutil.copyfile(source, os.path.join(directory, name))


def _beginning_with(bos_id: int | None, bos: str):
  """What puts that token before a text, and nothing else."""
  begins, special = ('', []) if bos_id is None else (f'{bos}:0 ', [(bos, bos_id)])
  return tokenizers.processors.TemplateProcessing(single=f'{begins}$A:0', pair=f'{begins}$A:0 $B:1',
                                                  special_tokens=special)


def _from_file(path: str) -> tokenizers.Tokenizer:
  """A tokenizer.json, neither cutting nor filling texts, whatever stands in it.

  Raises:
    UserError: it cannot be read.
  """
  try:
    hf = tokenizers.Tokenizer.from_file(path)
  except Exception as e:  # pylint: disable=broad-except  the library raises nothing narrower
    raise UserError(f'{path} cannot be read as a tokenizer: {" ".join(str(e).split())[:200]}') from e
  hf.no_truncation()
  hf.no_padding()
  return hf


def add_special_tokens(tokenizer: Tokenizer, tokens: list[str], directory: str, *, limit: int) -> Tokenizer:
  """The same tokenizer with `tokens` as one id each, written to `directory` and loaded from there.

  They are kept when decoding: a format's marks are part of the text. Ids follow the vocabulary, where published models
  may have rows to spare (Qwen2.5: 151,665 tokens, 151,936 rows); where none is left, tokens that a vocabulary reserves
  for such uses are renamed (Llama 3: <|reserved_special_token_0|> and more).

  Args:
    limit: rows of the model's embedding.

  Raises:
    UserError: not enough rows are left.
  """
  new = [token for token in tokens if tokenizer.find(token) is None]
  reserved = _reserved(tokenizer) if tokenizer.vocab_size + len(new) > limit else []
  if tokenizer.vocab_size + len(new) > limit and len(reserved) < len(new):
    raise UserError(f'{len(new)} special tokens after {tokenizer.vocab_size} need {tokenizer.vocab_size + len(new)} '
                    f'rows, the model has {limit}: take a model with more, or name tokens that it has')
  tokenizer.save(directory)
  if reserved:
    data = json.loads(tokenizer._hf.to_str())  # pylint: disable=protected-access
    renamed = dict(zip(reserved, new))
    data['added_tokens'] = [{**entry, 'content': renamed[entry['content']], 'special': False, 'normalized': False}
                            if entry['content'] in renamed else entry for entry in data['added_tokens']]
    replace_file(os.path.join(directory, 'tokenizer.json'), json.dumps(data, ensure_ascii=False).encode())
  elif tokenizer._hf is not None:  # pylint: disable=protected-access
    hf = tokenizers.Tokenizer.from_str(tokenizer._hf.to_str())  # pylint: disable=protected-access
    hf.add_tokens([tokenizers.AddedToken(token, special=False, normalized=False) for token in new])
    replace_file(os.path.join(directory, 'tokenizer.json'), hf.to_str().encode())
  else:
    proto = sentencepiece_model_pb2.ModelProto.FromString(
        tokenizer._sp.serialized_model_proto())  # pylint: disable=protected-access
    for token in new:
      proto.pieces.add(piece=token.replace(' ', '\u2581'), score=0.0, type=_USER_DEFINED)
    replace_file(os.path.join(directory, 'tokenizer.model'), proto.SerializeToString())
  return Tokenizer(directory)


def _reserved(tokenizer: Tokenizer) -> list[str]:
  """Added tokens that no text has, by name; of a tokenizer.json alone."""
  if tokenizer._hf is None:  # pylint: disable=protected-access
    return []
  found = json.loads(tokenizer._hf.to_str())['added_tokens']  # pylint: disable=protected-access
  return [entry['content'] for entry in found if re.fullmatch(r'<\|reserved_special_token_\d+\|>', entry['content'])]


def as_tokenizer_json(tokenizer: Tokenizer, path: str) -> None:
  """Writes it as a tokenizer.json that gives the same ids: a copy, or a BPE built from sentencepiece's pieces."""
  if tokenizer._hf is not None:  # pylint: disable=protected-access
    hf = tokenizers.Tokenizer.from_str(tokenizer._hf.to_str())  # pylint: disable=protected-access
    if hf.encode('a').ids != tokenizer.encode_prompt('a'):  # what a reader of the file would put there by itself
      hf.post_processor = _beginning_with(tokenizer.bos_id, tokenizer.special['bos_token'])
    hf.save(path)
    return
  sp = tokenizer._sp  # pylint: disable=protected-access
  pieces = [sp.id_to_piece(i) for i in range(sp.vocab_size())]
  vocab = {piece: i for i, piece in enumerate(pieces)}
  special = [i for i in range(len(pieces)) if sp.is_control(i) or sp.is_unknown(i)]
  # `train` lists whole pieces right after the special ones; sentencepiece's type for them is not in its Python API.
  proto = sentencepiece_model_pb2.ModelProto.FromString(sp.serialized_model_proto())
  whole = [i for i, p in enumerate(proto.pieces) if p.type == _USER_DEFINED]
  merges = []  # sentencepiece joins the two neighbours that make the earliest piece
  for i, piece in enumerate(pieces):
    if i not in special and i not in whole:
      splits = ((piece[:k], piece[k:]) for k in range(1, len(piece)))
      merges += sorted((s for s in splits if s[0] in vocab and s[1] in vocab), key=lambda s: (vocab[s[0]], vocab[s[1]]))
  hf = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges, unk_token=pieces[sp.unk_id()], fuse_unk=True))
  hf.normalizer = tokenizers.normalizers.Replace(' ', '\u2581')
  hf.decoder = tokenizers.decoders.Sequence([tokenizers.decoders.Replace('\u2581', ' '), tokenizers.decoders.Fuse()])
  hf.add_special_tokens([tokenizers.AddedToken(pieces[i], special=True, normalized=False) for i in special])
  hf.add_tokens([tokenizers.AddedToken(pieces[i], normalized=True) for i in whole])
  hf.save(path)


def train(texts, directory: str, *, vocab_size: int, pieces: list[str]) -> Tokenizer:
  """Trains a sentencepiece BPE model on texts, and returns it loaded.

  Nothing is normalised, so that decode(encode(text)) == text to the letter.

  Args:
    texts: an iterable of lines.
    pieces: texts that are one token each wherever they occur, spaces as they are written (sentencepiece matches
      them with U+2581 in place of a space).
  """
  os.makedirs(directory, exist_ok=True)
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(texts), model_writer=model, vocab_size=vocab_size, hard_vocab_limit=False,
      model_type='bpe', normalization_rule_name='identity', remove_extra_whitespaces=False,
      add_dummy_prefix=False, byte_fallback=False, character_coverage=1.0,
      user_defined_symbols=[p.replace(' ', '\u2581') for p in pieces],
      pad_id=0, unk_id=1, bos_id=-1, eos_id=2, num_threads=1, minloglevel=2, max_sentence_length=1 << 16)
  replace_file(os.path.join(directory, 'tokenizer.model'), model.getvalue())
  return Tokenizer(directory)
