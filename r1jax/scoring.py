"""r1jax.score: one answer judged by one reward, as in a run. No model, and no jax."""

import logging

from r1jax import rewards
from r1jax.data import answers
from r1jax.data import columns
from r1jax.exceptions import UserError
from r1jax.rewards import pool

log = logging.getLogger('r1jax')


def score(reward: str, text: str, row: dict) -> rewards.Score:
  """What a reward gives an answer: r1jax.score('math', '<think> .. </think> <answer> 12 </answer>', {'answer': '12'}).

  Judged as in a run: what needs a clock or a sandbox, and a user's own 'FILE.py:NAME', in a process of its own.

  Args:
    reward: 'math', 'format', 'language', 'length', 'code', 'FILE.py:NAME' and others (r1jax.rewards).
    text: the completion as decoded, tags included.
    row: what the reward wants: 'answer' (its 'answer_type' is told from it), 'language', 'tests' ..; a Group's row
      serves.

  Returns:
    Score(value, reason); 0 with the reason 'error: ..', and a warning, where the reward failed.

  Raises:
    UserError: no such reward, or a row that it cannot grade.
  """
  row = {'question': '', **row}
  if 'answer' in row and row.get('answer_type') not in answers.TYPES:
    try:
      normal = columns.normal({**row, 'question': row['question'] or '?'})
    except columns.LeftOut as e:
      raise UserError(f'answer={row["answer"]!r}: {e}') from e
    row |= {key: normal[key] for key in ('answer', 'answer_type')}
  try:
    module = rewards.get(reward)
    if hasattr(module, 'check_row'):
      module.check_row(row)
  except (ValueError, TypeError) as e:
    raise UserError(str(e)) from e
  except KeyError as e:
    raise UserError(f'the reward {reward!r} wants {e} in the row') from e
  found = pool.shared().score([(reward, text, row)])[0]
  if found.reason.startswith('error'):
    log.warning('%s gave no verdict, which counts as 0: %s', reward, found.reason)
  return found
