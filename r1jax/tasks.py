"""Where questions come from: a source and its parameters -> rows {id, question, answer, answer_type}.

Sources:
  reasoning_gym:NAME   generated, any task of the package (here: chain_sum)
  jsonl:PATH           one object a line with at least question and answer
  tfds:NAME            a tensorflow-datasets data set already on this machine, read without TensorFlow

Rows are split by a hash of what they ask, so 'base', 'train' and 'heldout' never share a problem, whichever
source, seed or size made them.
"""

import hashlib
import json
import os

from r1jax.types import UserError

# Shares of 100: which split a problem's hash falls into.
SPLITS = {'base': range(0, 70), 'train': range(70, 90), 'heldout': range(90, 100)}

# Tasks that python -m r1jax.evaluate knows by name: what load takes, and the template they are asked in.
TASKS = {
    'chain_sum': dict(source='reasoning_gym:chain_sum', size=256, seed=2, split='heldout', template='r1_zero',
                      params=dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)),
    'gsm8k': dict(source='tfds:gsm8k', size=0, seed=0, split=None, template='r1_zero', params={}),
}

# What a source's answers are; a row may say otherwise.
ANSWER_TYPES = {'chain_sum': 'int', 'basic_arithmetic': 'int', 'gsm8k': 'int'}


def split_of(text: str) -> str:
  """The split that a problem belongs to for ever."""
  bucket = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
  return next(name for name, buckets in SPLITS.items() if bucket in buckets)


def load(source: str, *, size: int, seed: int, split: str | None = None, params: dict | None = None,
         prefill: str = '') -> list[dict]:
  """`size` rows of a source (0: all that a file has), in an order that depends on nothing but these arguments.

  `prefill` opens the answer to each on the model's behalf; rewards count it in.

  Raises:
    UserError: unknown source or split, too few problems, an empty or corrupt file.
  """
  if split is not None and split not in SPLITS:
    raise UserError(f'no split {split!r}: one of {", ".join(SPLITS)}')
  kind, _, name = source.partition(':')
  if kind == 'reasoning_gym':
    rows = _reasoning_gym(name, size, seed, split, dict(params or {}))
    return [{**row, 'prefill': prefill} for row in rows] if prefill else rows
  if kind == 'jsonl':
    rows = read_jsonl(name)
  elif kind == 'tfds':
    rows = _tfds(name)
  else:
    raise UserError(f"no source {source!r}: 'reasoning_gym:NAME', 'jsonl:PATH' or 'tfds:NAME'")
  rows = [r for r in rows if split is None or split_of(r.get('expression') or r['question']) == split]
  if not rows:
    raise UserError(f'{source} has no rows' + (f' in split {split!r}' if split else '') + ': nothing to do')
  if size > len(rows):
    raise UserError(f'{source} has only {len(rows)} rows' + (f' in split {split!r}' if split else '') + f', {size=} wanted')
  rows = [{**row, 'prefill': prefill} for row in rows] if prefill else rows
  return rows[:size] if size else rows


def named(name: str) -> tuple[list[dict], str]:
  """(rows, template) of a task in TASKS, or of a file 'jsonl:PATH' in the template r1_zero.

  Raises:
    UserError: no such task.
  """
  if name.startswith('jsonl:'):
    return load(name, size=0, seed=0), 'r1_zero'
  if name not in TASKS:
    raise UserError(f'no task {name!r}: one of {", ".join(TASKS)}, or jsonl:PATH')
  task = dict(TASKS[name])
  template = task.pop('template')
  return load(**task), template


def _reasoning_gym(name: str, size: int, seed: int, split: str | None, params: dict) -> list[dict]:
  import reasoning_gym

  if size < 1:
    raise UserError(f'reasoning_gym:{name} makes problems without end: {size=} must say how many')
  # Items are made when asked for. The package seeds item i with seed + i, so seeds must lie far apart.
  try:
    data = reasoning_gym.create_dataset(name, seed=seed * 10_000_019, size=100 * size + 1000, **params)
  except (ValueError, TypeError, AssertionError) as e:
    raise UserError(f'reasoning_gym:{name} with {params}: {e}') from e
  rows, seen = [], set()
  for item in data:
    text = item['metadata'].get('expression') or item['question']
    if text in seen or (split is not None and split_of(text) != split):
      continue
    seen.add(text)
    rows.append({'id': f'{name}-{split or "all"}-{seed}-{len(rows)}', 'question': item['question'], 'answer': item['answer'],
                 'answer_type': ANSWER_TYPES.get(name, 'text'), 'expression': text})
    if len(rows) == size:
      return rows
  raise UserError(f'reasoning_gym:{name} with {params} has only {len(rows)} problems in split {split!r}, {size=} '
                  'wanted: ask for fewer or make them harder')


def read_jsonl(path: str) -> list[dict]:
  """Rows of a file; `id` defaults to the line number.

  Raises:
    UserError: missing or empty file, a line that is no object or lacks question or answer.
  """
  if not os.path.exists(path):
    raise UserError(f'no file {path}')
  rows = []
  with open(path, 'rb') as f:  # json finds the encoding, and bytes that are none get their line's number
    for number, line in enumerate(f, 1):
      if not line.strip():
        continue
      try:
        row = json.loads(line)
      except ValueError as e:
        raise UserError(f'{path}:{number}: not JSON ({e})') from e
      missing = [k for k in ('question', 'answer') if not isinstance(row, dict) or k not in row]
      if missing:
        raise UserError(f'{path}:{number}: no {" and no ".join(missing)} in this row')
      rows.append({'id': str(number), 'answer_type': 'text', **row, 'answer': str(row['answer'])})
  if not rows:
    raise UserError(f'{path} is empty')
  return rows


def _tfds(name: str) -> list[dict]:
  import tensorflow_datasets as tfds

  try:
    data = tfds.data_source(name, split='train', download=False)
  except Exception as e:  # tfds raises many kinds; the way out is the same
    raise UserError(f'tfds:{name} cannot be read ({type(e).__name__}: {str(e).splitlines()[0]}): '
                    'prepare it with tfds build, in array_record format') from e
  text = lambda v: v.decode() if isinstance(v, bytes) else str(v)
  return [{'id': str(i), 'question': text(r['question']), 'answer': text(r['answer']),
           'answer_type': ANSWER_TYPES.get(name.split('/')[0], 'text')} for i, r in enumerate(data)]
