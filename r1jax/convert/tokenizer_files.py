"""A published tokenizer, checked before any weight is read: tokenizer.json and what stands beside it."""

import json
import logging
import os

import tokenizers

from r1jax.convert.source import TokenizerFiles
from r1jax.convert.files import read_json, read_text
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_FLAGS = ('special', 'normalized', 'lstrip', 'rstrip', 'single_word')  # of an added token


def of_directory(directory: str, config: dict, rows: int, stop: tuple[str, ...] = ()) -> TokenizerFiles:
  """The tokenizer of a Hugging Face directory.

  Args:
    config: its config.json.
    rows: of the model's embedding.
    stop: texts of tokens that end an answer, beside those that the directory names.

  Raises:
    UserError: none, a torn one, ids that the embedding has not got, or no token that ends a text.
  """
  text = _read(directory)
  said = read_json(directory, 'tokenizer_config.json', needed=False)
  facts = {**config, **read_json(directory, 'generation_config.json', needed=False)}
  # A generation_config.json may say null, and mean nothing by it.
  eos = next((f['eos_token_id'] for f in (facts, config) if f.get('eos_token_id') is not None), None)
  special = _special(directory, said)
  hf = parsed(text, os.path.join(directory, 'tokenizer.json'))
  _add_listed(hf, directory, said, rows)
  if eos is None:
    eos = hf.token_to_id(special.get('eos_token', ''))
  if eos is None:
    raise UserError(f'no eos_token_id in {directory}/generation_config.json or config.json, and no eos_token in '
                    'tokenizer_config.json: a text would never end; write one of them')
  pad = next((f['pad_token_id'] for f in (facts, config) if f.get('pad_token_id') is not None), None)
  known = {'eos_ids': eos if isinstance(eos, list) else [eos], 'pad_id': pad,
           'chat_template': _chat_template(directory, said), 'special': special}
  return checked(hf, known, rows, directory, stop)


def checked(hf: tokenizers.Tokenizer, facts: dict, rows: int, path: str, stop: tuple[str, ...] = ()) -> TokenizerFiles:
  """Neither cutting nor filling texts, with ids that the model has; `stop` added to facts['eos_ids'].

  Raises:
    UserError: ids outside 0 .. rows - 1, or a stop token that the tokenizer has not got.
  """
  for what, value in (('truncation', hf.truncation), ('padding', hf.padding)):
    if value:
      length = value.get('max_length') or value.get('length')
      log.warning('%s: tokenizer.json has %s (%s tokens), which would change prompts: switched off', path, what, length)
  hf.no_truncation()
  hf.no_padding()
  token, largest = max(hf.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1], default=('', -1))
  if largest < 0:
    raise UserError(f'{path}: tokenizer.json has no tokens: fetch it again')
  if largest >= rows:
    raise UserError(f'{path}: tokenizer.json has the token {token!r} with id {largest}, but the embedding has {rows} '
                    'rows (vocab_size): tokenizer and weights do not belong together')
  for text in stop:
    if hf.token_to_id(text) is None:
      raise UserError(f'{path}: stop token {text!r} is no token of this tokenizer')
  listed = [*facts['eos_ids'], *map(hf.token_to_id, stop)]
  if not listed:
    raise UserError(f'{path}: eos_token_id=[], so a text would never end: put it right in generation_config.json')
  for number in listed:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < rows:
      raise UserError(f'{path}: eos_token_id={number!r} is no id of 0 .. {rows - 1} (vocab_size={rows}), so a text '
                      'would never end: put it right in generation_config.json')
    if hf.id_to_token(number) is None:
      log.warning('%s: eos_token_id=%d is the id of no token of tokenizer.json: is it the right one?', path, number)
  eos, pad = list(dict.fromkeys(listed)), facts.get('pad_id')
  if pad is not None and (not isinstance(pad, int) or isinstance(pad, bool)):
    raise UserError(f'{path}: pad_token_id={json.dumps(pad)} is no id: put it right in generation_config.json or '
                    'config.json')
  if pad is None or not 0 <= pad < rows:  # -1, as the first Llamas have it
    pad = eos[0]
  return TokenizerFiles(hf.to_str(), {**facts, 'eos_ids': eos, 'pad_id': pad})


def _add_listed(hf: tokenizers.Tokenizer, directory: str, said: dict, rows: int) -> None:
  """Tokens that tokenizer_config.json (else added_tokens.json) names, and tokenizer.json does not: added at the ids
  that follow, as transformers does. One for which the model has no row, or that would get another id than it has there,
  is left out with a warning.

  Raises:
    UserError: no list of tokens by their ids.
  """
  given = said.get('added_tokens_decoder')
  if given is None:
    texts = read_json(directory, 'added_tokens.json', needed=False)
    given = {number: {'content': text} for text, number in texts.items()}
  try:
    listed = sorted((int(number), facts['content'], facts) for number, facts in given.items())
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise UserError(f'{directory}: added_tokens_decoder of tokenizer_config.json, or added_tokens.json, has no tokens '
                    'by their ids: put it right, or fetch it again') from e
  new, left = [], []
  for number, text, facts in listed:
    if hf.token_to_id(text) is not None:
      continue
    if number != hf.get_vocab_size(with_added_tokens=True) or number >= rows or hf.id_to_token(number) is not None:
      left.append(f'{text} ({number})')
      continue
    flags = {key: bool(facts[key]) for key in _FLAGS if key in facts}
    hf.add_tokens([tokenizers.AddedToken(text, **{'normalized': False, **flags})])
    new.append(text)
  if new:
    log.info('%s: %d tokens that tokenizer.json has not are added, as files beside it say: %s', directory, len(new),
             ', '.join(new[:4]))
  if left:
    log.warning('%s: tokens that files beside tokenizer.json name are left out, as their ids are not the next ones or '
                'the model has no rows for them (%d): %s', directory, rows, ', '.join(left[:4]))


def parsed(text: str, path: str) -> tokenizers.Tokenizer:
  """A tokenizer.json's text as the library has it."""
  try:
    return tokenizers.Tokenizer.from_str(text)
  except Exception as e:  # pylint: disable=broad-except  the library raises nothing narrower
    raise UserError(f'{path} cannot be read as a tokenizer: {" ".join(str(e).split())[:200]}; fetch it again') from e


def _read(directory: str) -> str:
  path = os.path.join(directory, 'tokenizer.json')
  if not os.path.exists(path):
    if os.path.exists(os.path.join(directory, 'tokenizer.model')):
      raise UserError(f'no tokenizer.json in {directory}, only tokenizer.model: write one with transformers, '
                      'AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)')
    raise UserError(f'no tokenizer.json in {directory}: fetch it from where the weights are')
  return read_text(path)


def _chat_template(directory: str, said: dict) -> str | None:
  """chat_template.jinja, else that of tokenizer_config.json; of several the one named default."""
  path = os.path.join(directory, 'chat_template.jinja')
  if os.path.lexists(path):
    return read_text(path)
  template = said.get('chat_template')
  if isinstance(template, list):  # several, by name
    try:
      template = {t['name']: t['template'] for t in template}
    except (TypeError, KeyError) as e:
      raise UserError(f'{directory}/tokenizer_config.json has a chat_template that is a list, but not of objects with '
                      'name and template: put it right, or fetch it again') from e
  if isinstance(template, dict):
    if template and not template.get('default'):
      log.warning('%s: chat templates %s, none of them named default: %s is taken', directory, ', '.join(template),
                  next(iter(template)))
    template = template.get('default') or next(iter(template.values()), None)
  if template is not None and not isinstance(template, str):
    raise UserError(f'{directory}/tokenizer_config.json has chat_template={json.dumps(template)[:80]}: supported is a '
                    'text, or several by name')
  return template


def _special(directory: str, said: dict) -> dict[str, str]:
  """Texts of the tokens that chat templates name: in tokenizer_config.json a text, or an object with its content."""
  names = ('bos_token', 'eos_token', 'pad_token', 'unk_token')
  found = {name: said[name] for name in names if said.get(name)}
  texts = {name: token.get('content') if isinstance(token, dict) else token for name, token in found.items()}
  for name, text in texts.items():
    if not isinstance(text, str):
      raise UserError(f'{directory}/tokenizer_config.json has {name}={json.dumps(found[name])[:80]}: supported is a '
                      'text, or an object with its content')
  return texts
