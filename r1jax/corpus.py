"""The text that the tiny base model is pre-trained on: it must know how to work a sum out, and seldom choose to.

Two kinds of document, over the 'base' split of the problems:
  textbook       an expression, worked out step by step, no template: where the model learns to calculate
  conversation   the template of table 1. Most answers are a quick guess and mostly wrong, some are worked out and
                 mostly right, some of those with a slip noticed ("wait"), some break the format
"""

import dataclasses
import json
import random

from r1jax.types import UserError


@dataclasses.dataclass(frozen=True)
class Mixture:
  """Shares of the corpus, each in 0..1."""
  textbook: float = 0.5  # of all documents
  worked: float = 0.2  # of conversations: worked out
  broken_format: float = 0.08  # of conversations: tags missing
  guess_right: float = 0.08  # of guesses
  slip: float = 0.03  # of steps: a wrong result ...
  noticed: float = 0.5  # ... that is noticed and mended at once


WORKED_OPENING = ' <think> Step by step:'  # prefilled, it makes the model work


def _terms(expression: str) -> tuple[int, list[tuple[str, int]]]:
  words = expression.split()
  return int(words[0]), [(words[i], int(words[i + 1])) for i in range(1, len(words), 2)]


def worked(expression: str, rng: random.Random, mixture: Mixture) -> tuple[str, int]:
  """('5 + 9 = 14, 14 - 7 = 7', 7): the steps, and the value they arrive at (slips left alone carry on)."""
  total, rest = _terms(expression)
  steps = []
  for operator, term in rest:
    right = total + term if operator == '+' else total - term
    if rng.random() < mixture.slip:
      wrong = right + rng.choice([-2, -1, 1, 2, 10, -10])
      steps.append(f'{total} {operator} {term} = {wrong}')
      if rng.random() < mixture.noticed:
        steps += ['wait', f'{total} {operator} {term} = {right}']
        wrong = right
      total = wrong
    else:
      steps.append(f'{total} {operator} {term} = {right}')
      total = right
  return ', '.join(steps), total


def guess(answer: int, rng: random.Random, mixture: Mixture) -> int:
  """A number near the answer, seldom the answer."""
  if rng.random() < mixture.guess_right:
    return answer
  return answer + rng.choice([-1, 1]) * rng.randint(1, 9)


def conversation(row: dict, rng: random.Random, mixture: Mixture) -> str:
  """What stands after 'Assistant:' in one document."""
  if rng.random() < mixture.worked:
    steps, value = worked(row['expression'], rng, mixture)
    thought = f' <think> Step by step: {steps}. </think>'
  else:
    value = guess(int(row['answer']), rng, mixture)
    thought = f' <think> It is {value}. </think>'
  if rng.random() < mixture.broken_format:
    return rng.choice([f' {value}', f'{thought} {value}', f' <answer> {value} </answer>'])
  return f'{thought} <answer> {value} </answer>'


def documents(rows: list[dict], render, *, seed: int, mixture: Mixture = Mixture()):
  """Yields (prompt, completion) texts, one a row; a textbook page has no prompt.

  Args:
    rows: problems with 'expression', 'question' and 'answer'.
    render: question -> prompt text.
  """
  rng = random.Random(seed)
  for row in rows:
    if rng.random() < mixture.textbook:
      yield '', f'{row["expression"]}: {worked(row["expression"], rng, mixture)[0]}.'
    else:
      yield render(row['question']), conversation(row, rng, mixture)


def from_jsonl(path: str) -> list[tuple[str, str]]:
  """(prompt, completion) of every line {"prompt", "completion"}.

  Raises:
    UserError: not readable, or a line that is not of that form, by its number.
  """
  out = []
  try:
    with open(path, encoding='utf-8') as f:
      for number, line in enumerate(f, 1):
        if line.strip():
          try:
            row = json.loads(line)
            out.append((row['prompt'] + '', row['completion'] + ''))
          except (ValueError, KeyError, TypeError) as e:
            raise UserError(f'{path}:{number} is not {{"prompt": text, "completion": text}}: {e}') from e
  except (OSError, UnicodeDecodeError) as e:
    raise UserError(f'{path} cannot be read: {e}') from e
  return out


def whole_pieces(low: int = -60, high: int = 100) -> list[str]:
  """Numbers and tags that the tiny tokenizer keeps whole, with and without a space before them."""
  tags = ['<think>', '</think>', '<answer>', '</answer>']
  numbers = [str(n) for n in range(low, high)]
  return [f' {p}' for p in tags + numbers] + tags
