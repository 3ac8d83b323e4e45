"""A task's row and a template -> token ids."""

import json
import logging
import os

import numpy as np

from r1jax import terminal
from r1jax.data import chat
from r1jax.data import formats
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

# Table 1 of the paper, to the letter; {question} stands where it prints "prompt".
R1_ZERO = (
    'A conversation between User and Assistant. The user asks a question, and the Assistant solves it. '
    'The assistant first thinks about the reasoning process in the mind and then provides the user with the '
    'answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, '
    'respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>. '
    'User: {question}. Assistant:')

TEMPLATES = {
    'r1_zero': R1_ZERO,
    'r1': 'User: {question} Assistant:',  # R1's turn; formats.py has what answers look like
    'plain': '{question}',
    # The chat format of SmolLM2-Instruct, for comparison.
    'chatml': '<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n',
    # One turn of the published chat templates, beginning-of-sequence token included. DeepSeek-R1's and its distills'
    # has ended in "<think>" since February 2025 (before, at the assistant's token); a row's prefill can say otherwise.
    'deepseek_r1': '<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>{question}<\uff5cAssistant\uff5c>'
                   '<think>\n',
    'qwen2.5': '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n'
               '<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n',
    'qwen2.5_instruct': '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.'
                        '<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n',
    'llama3': '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n'
              'Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>'
              '<|start_header_id|>assistant<|end_header_id|>\n\n',
}


CHAT = 'chat'  # the model's own chat template, of its tokenizer
RECORD = 'prompt.json'  # beside a checkpoint: what it was trained to be asked with

# What ends an answer in a template, where its tokenizer has such a token: Qwen2.5's bases end texts with another one.
_ENDS = {'chatml': '<|im_end|>', 'qwen2.5': '<|im_end|>', 'qwen2.5_instruct': '<|im_end|>', 'llama3': '<|eot_id|>',
         'deepseek_r1': '<\uff5cend\u2581of\u2581sentence\uff5c>'}


def record(template: str, *, prefill: str = '', system: str = '', max_prompt: int = 0, max_tokens: int = 0) -> dict:
  """What RECORD says: a model is asked later, and its export prompts, as it was trained. What ends an answer is told by
  the template and the tokenizer beside it.

  max_prompt, max_tokens: of a prompt and an answer; 0: nothing has limited them.
  """
  lengths = {key: n for key, n in (('max_prompt', max_prompt), ('max_tokens', max_tokens)) if n}
  format_ = {} if template == CHAT else {'format': formats.of_template(template).name}  # else the tokenizer tells
  return {'template': template, 'prefill': prefill, 'system': system, **format_, **lengths}


def trained_with(directory: str) -> dict | None:
  """RECORD of a checkpoint, or of a stage's documents; None: nothing has trained it on prompts that we know of."""
  path = os.path.join(directory, RECORD)
  if not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except ValueError as e:
    raise UserError(f'{path} cannot be read: {e}') from e


def warn_if_other(tokenizer, template: str, name: str) -> None:
  """Where a stage asks a checkpoint otherwise than it was trained."""
  known = trained_with(tokenizer.directory)
  if known and known['template'] != template:
    log.warning('%s.template=%r, but the checkpoint in %s was trained with %r', name, template, tokenizer.directory,
                known['template'])


def end_of_turn(tokenizer, template: str) -> str | None:
  """The token that ends a turn in a template, as it is written; None where it has none, or the tokenizer has not."""
  if template == CHAT:
    number = chat.end_of_turn(tokenizer)
  else:
    number = tokenizer.find(_ENDS[template]) if template in _ENDS else None
  return None if number is None else tokenizer.piece(number)


def eos_ids(tokenizer, template: str) -> tuple[int, ...]:
  """What ends an answer: the tokenizer's own, and what ends a turn in the template, if it is a token."""
  text = end_of_turn(tokenizer, template)
  end = None if text is None else tokenizer.find(text)
  if end is None or end in tokenizer.eos_ids:
    return tuple(tokenizer.eos_ids)
  log.info('answers end at %r too, as a turn of template %r does', tokenizer.piece(end), template)
  return (*tokenizer.eos_ids, end)


def render(template: str, question: str, prefill: str = '') -> str:
  """The prompt's text. `prefill` opens the answer on the model's behalf, and rewards count it in.

  Raises:
    UserError: no such template; 'chat', which only `for_model` can render.
  """
  if template == CHAT and not question:
    return prefill
  if template not in TEMPLATES:
    raise UserError(f'no template {template!r}: one of {", ".join(TEMPLATES)}; {CHAT!r}, the model\'s own, only where '
                    'questions of a task are asked')
  return TEMPLATES[template].replace('{question}', question) + prefill


def talk(tokenizer, template: str, turns: list[dict], *, system: str = '', prefill: str = '', way_out: str = '') -> str:
  """The prompt's text of a chat, each turn {'role', 'content'}, up to where the model begins to answer.

  Args:
    system: of a chat template, for a talk that does not begin with a system prompt of its own.
    way_out: behind the error, what helps where turns have no place.

  Raises:
    UserError: turns for which a template of one question has no place; as `render`, chat.render_messages.
  """
  if template == CHAT:
    return chat.render_messages(tokenizer, list(turns), system) + prefill
  roles = [turn['role'] for turn in turns]
  if roles != ['user']:
    raise UserError(f'asked by template {template!r}, which has a place for one message of a user, not for '
                    f'{", ".join(roles[:8])}{way_out}')
  return render(template, turns[0]['content'], prefill)


def check(template: str) -> None:
  """Raises UserError for a template that there is not."""
  if template != CHAT:
    render(template, '')


def text(template: str, row: dict) -> str:
  """The text of a row's prompt: as `for_model` rendered it, else by one of TEMPLATES."""
  if 'rendered' in row:
    return row['rendered'] + row.get('prefill', '')
  return render(template, row['question'], row.get('prefill', ''))


def ids(tokenizer, template: str, row: dict) -> list[int]:
  """Token ids of a row's prompt, with the token that begins every text of the model, where it has one."""
  return tokenizer.encode_prompt(text(template, row))


def chat_format(tokenizer) -> str:
  """The format of answers to the tokenizer's chat template."""
  return 'deepseek_r1' if chat.render(tokenizer, '', '').rstrip().endswith('<think>') else 'r1_zero'


def answer_format(tokenizer, template: str) -> formats.Tagged | formats.Marked | formats.Opened:
  """The format of answers to a template, which of a chat template only its tokenizer tells."""
  return formats.get(chat_format(tokenizer)) if template == CHAT else formats.of_template(template)


def for_model(rows: list[dict], tokenizer, template: str) -> list[dict]:
  """Rows with what only the model's tokenizer tells: of its chat template the prompt, and the format of answers to it.

  A chat template that ends in <think> opens the reasoning (DeepSeek-R1's and its distills').
  """
  told = sum(bool(row.get('system')) for row in rows)
  if told and template != CHAT:
    log.warning('%d of %d questions have a system prompt, for which template %r has no place: left out', told,
                len(rows), template)
  if template != CHAT:
    return rows
  format_ = chat_format(tokenizer)
  log.info('chat: answers are read as format %r has them', format_)
  return [{**row, 'format': format_, 'rendered': chat.render(tokenizer, row['question'], row.get('system', ''))}
          for row in rows]


def fixed_parts(template: str) -> list[str]:
  """What stands before and after the question, but of a chat template, which only its tokenizer knows."""
  if template == CHAT:
    return []
  return [part for part in TEMPLATES[template].split('{question}') if part]


def encode(rows: list[dict], tokenizer, *, template: str, max_prompt: int, key: str = 'max_prompt') -> list[np.ndarray]:
  """Rows -> the token ids of each one's prompt, int32. key: of max_prompt in the config, for errors.

  Raises:
    UserError: a prompt is longer than max_prompt; cutting it would change the question.
  """
  out = []
  for row in rows:
    found = ids(tokenizer, template, row)
    if len(found) > max_prompt:
      raise UserError(f'the prompt of row {row["id"]} has {len(found)} tokens, the limit {key}={max_prompt}: '
                      f'raise {key} or leave the row out')
    out.append(np.asarray(found, np.int32))
  return out


def ready(rows: list[dict], tokenizer, *, template: str, max_prompt: int, key: str = 'max_prompt') -> list[dict]:
  """`for_model`, and `fitting`: what a stage does with its questions once it has a model."""
  return fitting(for_model(rows, tokenizer, template), tokenizer, template=template, max_prompt=max_prompt, key=key)


LOOKED = 1000  # questions whose prompts are looked at before a run


def check_fit(rows: list[dict], tokenizer, *, template: str, max_prompt: int, key: str) -> None:
  """Before a run, where its tokenizer is there: UserError and warning as of `fitting`, by up to LOOKED rows, spread
  evenly."""
  some = rows[::-(-len(rows) // LOOKED)] if rows else []
  if template == CHAT:
    some = [{**row, 'rendered': chat.render(tokenizer, row['question'], row.get('system', ''))} for row in some]
  lengths = [len(ids(tokenizer, template, row)) for row in some]
  _leave_out(some, lengths, max_prompt, key, 'will be left out', terminal.ONCE,  # asked of each model of an evaluation
             f' (of {len(rows)}, these were looked at)' if len(some) < len(rows) else '')


def _leave_out(rows: list[dict], lengths: list[int], max_prompt: int, key: str, how: str, extra: dict | None = None,
               of_all: str = '') -> None:
  """A warning where some prompts are longer than max_prompt, UserError where most are."""
  longer = [row for row, length in zip(rows, lengths) if length > max_prompt]
  if not longer:
    return
  first = [str(row.get('where') or f"row {row['id']}") for row in longer[:3]]
  said = (f'{len(longer)} of {len(rows)} questions are longer than {key}={max_prompt} tokens ({", ".join(first)})'
          f'{of_all}')
  if 2 * len(longer) > len(rows):
    raise UserError(f'{said}, the longest has {max(lengths)}: raise {key}')
  log.warning('%s: %s', said, how, extra=extra)


def fitting(rows: list[dict], tokenizer, *, template: str, max_prompt: int, key: str = 'max_prompt') -> list[dict]:
  """Rows whose prompt has no more than max_prompt tokens; the log says how many are left out, and which. key: of
  max_prompt in the config.

  Raises:
    UserError: fewer than half have, so that the limit is meant for other questions.
  """
  lengths = [len(ids(tokenizer, template, row)) for row in rows]
  _leave_out(rows, lengths, max_prompt, key, 'left out')
  return [row for row, length in zip(rows, lengths) if length <= max_prompt]
