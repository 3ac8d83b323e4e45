"""A model's own chat template: the jinja text of its tokenizer_config.json, rendered as transformers renders it."""

import datetime
import functools
import json
import logging
import re

from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_DAY = datetime.date(2024, 7, 26)  # what Llama 3.2's template falls back to where nobody tells it the date
_NONE = {'tools': None, 'documents': None}  # 'tools is not none' is true of what a template is not told of


def dated(text: str) -> str:
  """A template that says the day which `render` tells it, whatever the day is on which another program renders it."""
  fixed = re.sub(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda m: f"'{_DAY.strftime(m[2])}'", text)
  return fixed.replace('strftime_now is defined', 'true').replace('strftime_now is not defined', 'false')


def render(tokenizer, question: str, system: str = '') -> str:
  """One turn of a user's, behind a system prompt if there is one, up to where the model begins to answer.

  Raises:
    UserError: the tokenizer has no chat template, it fails, or the package jinja2 is not there.
  """
  messages = [{'role': 'system', 'content': system}] if system else []
  return render_messages(tokenizer, [*messages, {'role': 'user', 'content': question}])


def render_messages(tokenizer, messages: list[dict], system: str = '') -> str:
  """A chat, each message {'role', 'content'}, up to where the model begins to answer; system: a system prompt for one
  that does not begin with its own.

  Raises:
    UserError: as of render.
  """
  if not tokenizer.chat_template:
    raise UserError(f"template 'chat': the tokenizer in {tokenizer.directory} has no chat template: give another "
                    'template, or import the model again from a directory whose tokenizer_config.json has one')
  if system and messages[0]['role'] != 'system':
    messages = [{'role': 'system', 'content': system}, *messages]
  try:
    return _compiled(tokenizer.chat_template).render(messages=messages, add_generation_prompt=True, **_NONE,
                                                     **tokenizer.special)
  except Exception as e:  # pylint: disable=broad-except  a template may raise anything, also by its own raise_exception
    raise UserError(f'the chat template of {tokenizer.directory} fails ({type(e).__name__}: {e})') from e


def end_of_turn(tokenizer) -> int | None:
  """The token that the chat template puts behind an answer; None where it puts none, or text."""
  said = 'SAID'
  messages = [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': said}]
  try:
    text = _compiled(tokenizer.chat_template or '').render(messages=messages, **_NONE, **tokenizer.special)
  except Exception:  # pylint: disable=broad-except  a template may refuse such a talk; then it says nothing
    return None
  behind = text.rpartition(said)[2].lstrip()
  return next((number for number in tokenizer.encode(behind)[:1] if tokenizer.is_special(number)), None)


@functools.lru_cache(maxsize=8)
def _compiled(text: str):
  try:
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
  except ImportError as e:
    raise UserError("template 'chat' needs the package jinja2: pip install jinja2") from e

  def raise_exception(message):
    raise jinja2.TemplateError(message)

  class Generation(jinja2.ext.Extension):
    """{% generation %}, which marks for a trainer what an assistant said: its text as it is."""
    tags = {'generation'}

    def parse(self, parser):
      line = next(parser.stream).lineno
      body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
      return jinja2.nodes.Scope(body).set_lineno(line)

  def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

  # What transformers gives to templates: they come from a hub, so in jinja's sandbox, without a way to change anything.
  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                             extensions=[Generation, jinja2.ext.loopcontrols])
  environment.filters['tojson'] = tojson
  environment.globals.update(raise_exception=raise_exception, strftime_now=_DAY.strftime)
  if 'strftime_now' in text:
    log.info("the chat template asks for today's date: it is told %s on every day, so that prompts stay as they are",
             _DAY.strftime('%d %b %Y'))
  return environment.from_string(text)
