"""OpenAI's protocol: what a body may hold, what is wrong with one, and the schema that says so.

A field is declared once: how it is read, and its JSON schema (/openapi.json). A field that is not declared is refused
by name, as is one whose value asks for what this server does not do: nothing is left out in silence.
"""

import dataclasses
import json
import math
from typing import Any, Callable, NamedTuple

from r1jax.engine.continuous import TOP

MOST = 128  # choices of a request
STOPS, STOP_LENGTH = 16, 256  # strings that end a text, and characters of one
COLD = 1e-3  # temperatures below it count as 0: logits divided by them would no longer be numbers


class Refused(Exception):
  """A request that is not served: its status and OpenAI's error body."""

  def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None,
               retry_after: int | None = None):
    super().__init__(message)
    self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

  def body(self) -> dict:
    kind = {401: 'authentication_error', 404: 'not_found_error', 429: 'rate_limit_error'}.get(
        self.status, 'server_error' if self.status >= 500 else 'invalid_request_error')
    return {'error': {'message': self.message, 'type': kind, 'param': self.param, 'code': self.code}}


@dataclasses.dataclass(frozen=True)
class Wish:
  """What a body asks for.

  Attributes:
    messages: of a chat, each {'role', 'content'}; else prompts: texts, or token ids.
    n: choices, of the chat or of each prompt.
    max_tokens: of a choice; None: as many as there is room for.
    top: likeliest tokens at each place, whose log-probabilities are wanted beside its own; None: none at all.
  """
  chat: bool
  model: str | None
  messages: list[dict]
  prompts: list[str | list[int]]
  n: int
  temperature: float
  top_p: float
  max_tokens: int | None
  stop: tuple[str, ...]
  seed: int | None
  top: int | None
  stream: bool
  include_usage: bool


class Field(NamedTuple):
  read: Callable[[Any], Any]  # raises ValueError with what is wanted
  schema: dict
  default: Any = None


def _shown(value) -> str:
  try:
    text = json.dumps(value)
  except RecursionError:
    return '...'
  return text if len(text) <= 60 else f'{text[:57]}...'


def _text(value, wants: str = 'a string') -> str:
  if not isinstance(value, str):
    raise ValueError(f'wants {wants}')
  try:
    value.encode()
  except UnicodeEncodeError:
    raise ValueError('has half of a surrogate pair, which is no character') from None
  return value


def _number(low: float, high: float, default: float) -> Field:
  def read(value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
      raise ValueError(f'wants a number from {low:g} to {high:g}')
    return float(value)
  return Field(read, {'type': 'number', 'minimum': low, 'maximum': high}, default)


def _integer(low: int, high: int, default: int | None = None) -> Field:
  def read(value):
    whole = isinstance(value, int) or isinstance(value, float) and math.isfinite(value) and value == int(value)
    if isinstance(value, bool) or not whole or not low <= value <= high:
      raise ValueError(f'wants a whole number from {low} to {high}')
    return int(value)
  return Field(read, {'type': 'integer', 'minimum': low, 'maximum': high}, default)


def _boolean() -> Field:
  def read(value):
    if not isinstance(value, bool):
      raise ValueError('wants true or false')
    return value
  return Field(read, {'type': 'boolean'}, False)


def _only(*values, why: str) -> Field:
  """A field that this server knows only at the value that changes nothing."""
  def read(value):
    if not any(value == each and type(value) in (type(each), int, float) for each in values):
      raise ValueError(f'is not supported ({why})' + (f': leave it out, or {_shown(values[0])}' if values else ''))
  return Field(read, {'enum': list(values)} if values else {'type': 'null'})


def _anything(schema: dict) -> Field:
  return Field(lambda value: None, schema)


def _stop() -> Field:
  wants = f'wants a string or up to {STOPS} of them, each of 1 to {STOP_LENGTH} characters'

  def read(value):
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list) or len(several) > STOPS:
      raise ValueError(wants)
    if not all(1 <= len(_text(each, 'strings')) <= STOP_LENGTH for each in several):
      raise ValueError(wants)
    return tuple(dict.fromkeys(several))
  one = {'type': 'string', 'minLength': 1, 'maxLength': STOP_LENGTH}
  return Field(read, {'anyOf': [one, {'type': 'array', 'items': one, 'maxItems': STOPS}]}, ())


def _stream_options() -> Field:
  def read(value):
    if not isinstance(value, dict) or not set(value) <= {'include_usage', 'include_obfuscation'}:
      raise ValueError('wants {"include_usage": true or false}')
    return bool(value.get('include_usage'))
  return Field(read, {'type': 'object', 'properties': {'include_usage': {'type': 'boolean'}},
                      'additionalProperties': False}, False)


_ROLES = ('system', 'developer', 'user', 'assistant')
_DROPPED = ('name', 'reasoning_content')  # of a message; templates leave the reasoning of earlier turns out


def _content(value) -> str:
  """A message's text: a string, or parts of type 'text'."""
  if isinstance(value, list):
    for part in value:
      if not isinstance(part, dict) or part.get('type') != 'text':
        raise ValueError('wants parts of type "text": the model reads nothing else')
    value = ''.join(_text(part.get('text')) for part in value)
  return _text(value, 'a string, or parts of type "text"')


def _messages() -> Field:
  def read(value):
    if not isinstance(value, list) or not value:
      raise ValueError('wants a list of messages, one at least')
    out = []
    for i, message in enumerate(value):
      try:
        if not isinstance(message, dict) or message.get('role') not in _ROLES:
          raise ValueError(f'wants a role of {", ".join(_ROLES)}')
        known = ('role', 'content', *_DROPPED)
        if other := sorted(key for key, given in message.items() if given and key not in known):
          raise ValueError(f'has {_shown(other[0])}, which is not supported')
        role = 'system' if message['role'] == 'developer' else message['role']
        out.append({'role': role, 'content': _content(message.get('content'))})
      except ValueError as e:
        raise ValueError(f'[{i}] {e}') from None
    if out[-1]['role'] != 'user':
      raise ValueError('wants a user\'s message as the last')
    return out
  part = {'type': 'object', 'properties': {'type': {'const': 'text'}, 'text': {'type': 'string'}},
          'required': ['type', 'text']}
  message = {'type': 'object', 'required': ['role', 'content'], 'additionalProperties': False,
             'properties': {'role': {'enum': list(_ROLES)}, **{name: {'type': 'string'} for name in _DROPPED},
                            'content': {'anyOf': [{'type': 'string'}, {'type': 'array', 'items': part}]}}}
  return Field(read, {'type': 'array', 'minItems': 1, 'items': message})


def _prompt() -> Field:
  ids = lambda value: isinstance(value, list) and bool(value) and all(
      isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in value)

  def read(value):
    several = [value] if isinstance(value, str) or ids(value) else value
    if not isinstance(several, list) or not several or not all(isinstance(p, str) or ids(p) for p in several):
      raise ValueError('wants a string, token ids, or a list of these')
    return [_text(p) if isinstance(p, str) else p for p in several]
  numbers = {'type': 'array', 'minItems': 1, 'items': {'type': 'integer', 'minimum': 0}}
  one = {'anyOf': [{'type': 'string'}, numbers]}
  return Field(read, {'anyOf': [*one['anyOf'], {'type': 'array', 'minItems': 1, 'items': one}]})


_LARGE = 1 << 31
_SAMPLED = 'text is sampled by temperature and top_p alone'
_COMMON = {
    'model': Field(_text, {'type': 'string'}),
    'n': _integer(1, MOST, 1),
    'temperature': _number(0, 2, 1.0),
    'top_p': _number(0, 1, 1.0),
    'max_tokens': _integer(1, _LARGE),
    'stop': _stop(),
    'seed': _integer(-2**63, 2**64 - 1),
    'stream': _boolean(),
    'stream_options': _stream_options(),
    'frequency_penalty': _only(0, why=_SAMPLED),
    'presence_penalty': _only(0, why=_SAMPLED),
    'repetition_penalty': _only(1, why=_SAMPLED),
    'logit_bias': _only({}, why=_SAMPLED),
    'top_k': _only(-1, 0, why=_SAMPLED),
    'min_p': _only(0, why=_SAMPLED),
    # Who asks, and what a provider may do with it: nothing here depends on them.
    'user': _anything({'type': 'string'}),
    'metadata': _anything({'type': 'object'}),
}
CHAT = _COMMON | {
    'messages': _messages(),
    'max_completion_tokens': _integer(1, _LARGE),
    'logprobs': _boolean(),
    'top_logprobs': _integer(0, TOP),
    'tools': _only([], why='the model calls no tools'),
    'tool_choice': _only('none', 'auto', why='the model calls no tools'),
    'parallel_tool_calls': _anything({'type': 'boolean'}),
    'response_format': _only({'type': 'text'}, why='text is free'),
    'modalities': _only(['text'], why='the model speaks text'),
    'store': _only(False, why='nothing is stored'),
    'service_tier': _anything({'type': 'string'}),
    'safety_identifier': _anything({'type': 'string'}),
    'prompt_cache_key': _anything({'type': 'string'}),
}
COMPLETIONS = _COMMON | {
    'prompt': _prompt(),
    'logprobs': _integer(0, 5),
    'best_of': _integer(1, MOST),
    'echo': _only(False, why='a prompt has no log-probabilities here'),
    'suffix': _only('', why='the model reads from left to right'),
}


def loads(body: bytes) -> dict:
  """A body's JSON object.

  Raises:
    Refused: 400, none.
  """
  def constant(name):
    raise ValueError(f'{name} is no JSON')

  try:
    found = json.loads(body, parse_constant=constant)
  except (ValueError, RecursionError) as e:
    raise Refused(400, f'the body is no JSON: {" ".join(str(e).split())[:200]}') from None
  if not isinstance(found, dict):
    raise Refused(400, f'the body wants to be a JSON object, not {_shown(found)}')
  return found


def parse(body: dict, *, chat: bool) -> Wish:
  """A body as the two endpoints take it; null counts as left out.

  Raises:
    Refused: 400, with the field in `param`.
  """
  fields = CHAT if chat else COMPLETIONS
  if unknown := sorted(set(body) - set(fields)):
    raise Refused(400, f'{_shown(unknown[0])} is no field of this endpoint, or not supported', code='unknown_parameter',
                  param=unknown[0].encode('utf-8', 'replace').decode())
  got = {name: field.default for name, field in fields.items()}
  for name, value in body.items():
    if value is None:
      continue
    try:
      got[name] = fields[name].read(value)
    except ValueError as e:
      at = '' if str(e).startswith('[') else ' '
      raise Refused(400, f'{name}{at}{e}; it is {_shown(value)}', param=name) from None
  wanted = 'messages' if chat else 'prompt'
  if got[wanted] is None:
    raise Refused(400, f'{wanted} is missing', param=wanted)
  return _wish(got, chat)


def _wish(got: dict, chat: bool) -> Wish:
  """What needs two fields to be told."""
  limit = got['max_tokens']
  if chat and got['max_completion_tokens'] is not None:
    if limit not in (None, got['max_completion_tokens']):
      raise Refused(400, f'max_tokens={limit} and max_completion_tokens={got["max_completion_tokens"]}: give one',
                    param='max_completion_tokens')
    limit = got['max_completion_tokens']
  if chat and got['top_logprobs'] is not None and not got['logprobs']:
    raise Refused(400, 'top_logprobs wants "logprobs": true beside it', param='top_logprobs')
  if not chat and got['best_of'] not in (None, got['n']):
    raise Refused(400, f'best_of={got["best_of"]} is not supported but as n={got["n"]}', param='best_of')
  top = (got['top_logprobs'] or 0) if chat and got['logprobs'] else None if chat else got['logprobs']
  return Wish(
      chat=chat, model=got['model'], messages=got['messages'] if chat else [], prompts=[] if chat else got['prompt'],
      n=got['n'], temperature=0.0 if got['temperature'] < COLD else got['temperature'], top_p=got['top_p'],
      max_tokens=limit, stop=got['stop'], seed=got['seed'], top=top, stream=got['stream'],
      include_usage=got['stream_options'])


def openapi(version: str) -> dict:
  """The schema of this server, OpenAPI 3.1."""
  error = {'description': 'refused', 'content': {'application/json': {'schema': {
      'type': 'object', 'required': ['error'], 'properties': {'error': {
          'type': 'object', 'required': ['message', 'type', 'param', 'code']}}}}}}
  answer = {'200': {'description': 'done'}}

  def post(fields, needed):
    nullable = lambda schema: {'anyOf': [schema, {'type': 'null'}]}
    schema = {'type': 'object', 'required': [needed], 'additionalProperties': False, 'properties': {
        name: field.schema if name == needed else nullable(field.schema) for name, field in fields.items()}}
    codes = ('400', '401', '404', '413', '429', '503')
    return {'post': {'requestBody': {'required': True, 'content': {'application/json': {'schema': schema}}},
                     'responses': answer | {code: error for code in codes}}}

  get = {'get': {'responses': answer | {'401': error, '503': error}}}
  return {'openapi': '3.1.0', 'info': {'title': 'r1jax serve', 'version': version}, 'paths': {
      '/v1/chat/completions': post(CHAT, 'messages'), '/v1/completions': post(COMPLETIONS, 'prompt'),
      '/v1/models': get, '/health': get, '/metrics': get}}
