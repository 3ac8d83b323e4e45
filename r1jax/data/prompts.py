"""A task's row and a template -> token ids."""

import logging

import numpy as np

from r1jax.types import UserError

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


def render(template: str, question: str, prefill: str = '') -> str:
  """The prompt's text. `prefill` opens the answer on the model's behalf, and rewards count it in.

  Raises:
    UserError: no such template.
  """
  if template not in TEMPLATES:
    raise UserError(f'no template {template!r}: one of {", ".join(TEMPLATES)}')
  return TEMPLATES[template].replace('{question}', question) + prefill


def fixed_parts(template: str) -> list[str]:
  """What stands before and after the question."""
  return [part for part in TEMPLATES[template].split('{question}') if part]


def encode(rows: list[dict], tokenizer, *, template: str, max_prompt: int) -> list[np.ndarray]:
  """Rows -> the token ids of each one's prompt, int32.

  Raises:
    UserError: a prompt is longer than max_prompt; cutting it would change the question.
  """
  out = []
  for row in rows:
    ids = tokenizer.encode(render(template, row['question'], row.get('prefill', '')))
    if len(ids) > max_prompt:
      raise UserError(f'the prompt of row {row["id"]} has {len(ids)} tokens, the limit max_prompt={max_prompt}: '
                      'raise max_prompt or leave the row out')
    out.append(np.asarray(ids, np.int32))
  return out


def fitting(rows: list[dict], tokenizer, *, template: str, max_prompt: int) -> list[dict]:
  """Rows whose prompt has no more than max_prompt tokens; the log says how many are left out, and which.

  Raises:
    UserError: none has.
  """
  length = lambda row: len(tokenizer.encode(render(template, row['question'], row.get('prefill', ''))))
  kept = [row for row in rows if length(row) <= max_prompt]
  if len(kept) < len(rows):
    fits = {id(row) for row in kept}
    first = [str(row.get('where') or f"row {row['id']}") for row in rows if id(row) not in fits][:3]
    said = f'{len(rows) - len(kept)} of {len(rows)} questions are longer than {max_prompt=} tokens ({", ".join(first)})'
    if not kept:
      raise UserError(f'{said}: raise max_prompt')
    log.warning('%s: left out', said)
  return kept
