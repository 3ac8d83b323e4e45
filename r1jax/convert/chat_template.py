"""The prompt a model was trained with -> a jinja chat template that renders the same text."""

from r1jax.data import chat
from r1jax.data import prompts


def of(tokenizer, prompt: dict | None) -> tuple[str | None, str]:
  """(chat template or None, what the model card says of it).

  A single turn of a user's gives the same ids as r1jax asks with; turns after it go on in the same layout.
  """
  if prompt is None or prompt['template'] == prompts.CHAT:
    text, prefill = tokenizer.chat_template, (prompt or {}).get('prefill', '')
    if not text:
      return None, 'It has no chat template: prompts are plain text.\n'
    text = chat.dated(text)
    if prefill:
      text += '{%- if add_generation_prompt %}{{- ' + repr_(prefill) + ' }}{%- endif %}'
    begins = tokenizer.bos_id is not None and tokenizer.special['bos_token']
    if begins and not chat.render(tokenizer, 'a').startswith(tokenizer.special['bos_token']):
      # transformers adds nothing to what a template gives, where r1jax begins every text with this token.
      return '{{- bos_token }}' + text, "The chat template is the source's, with the token that begins a text.\n"
    return text, "The chat template is the source's.\n"
  return written(tokenizer, prompt), (
      f'The chat template renders `{prompt["template"]}`'
      + (f', answers begin with `{prompt["prefill"].strip()}`' if prompt.get('prefill') else '')
      + '. System messages have no place in it and are an error.\n')


def written(tokenizer, prompt: dict) -> str:
  """One of prompts.TEMPLATES as jinja."""
  before, after = prompts.TEMPLATES[prompt['template']].split('{question}')
  bos = tokenizer.special['bos_token']
  begins = bool(bos) and (before.startswith(bos) or tokenizer.bos_id is not None)
  before = before.removeprefix(bos)  # once, not at each turn
  prefill, end = prompt.get('prefill', ''), prompts.end_of_turn(tokenizer, prompt['template'])
  quoted = lambda text: '{{- ' + repr_(text) + ' }}'
  return ''.join([
      '{{- bos_token }}' if begins else '',
      "{%- for message in messages %}{%- if message['role'] == 'user' %}", quoted(before),
      "{{- message['content'] }}", quoted(after), "{%- elif message['role'] == 'assistant' %}",
      quoted(prefill) if prefill else '', "{{- message['content'] }}", quoted(end) if end else '{{- eos_token }}',
      "{%- else %}{{- raise_exception('no place for a message of ' + message['role']) }}{%- endif %}{%- endfor %}",
      '{%- if add_generation_prompt %}' + quoted(prefill) + '{%- endif %}' if prefill else ''])


def repr_(text: str) -> str:
  """A string as jinja reads it."""
  for plain, escaped in (('\\', '\\\\'), ("'", "\\'"), ('\n', '\\n'), ('\r', '\\r'), ('\t', '\\t')):
    text = text.replace(plain, escaped)
  return f"'{text}'"
