"""Questions without a right answer: what a helpful and harmless model is asked beside those that rules grade."""

import logging

from r1jax.data import formats
from r1jax.data import tasks
from r1jax.data.sources import split_of
from r1jax.exceptions import UserError, about


def check(c, key: str) -> None:
  """UserError for a source, at `key` of the config, that `questions` does not know."""
  if c.source != 'scenarios' and not c.source.startswith('jsonl:'):
    raise UserError(f"{key}.source: no general questions in {c.source!r}: 'scenarios' or 'jsonl:FILE'")


def questions(c, *, seed: int, split: str, template: str, key: str = 'general') -> list[dict]:
  """Rows as tasks.load gives them: c.source 'scenarios', whose rows say what they are about, so that a rule can
  judge answers to them, or 'jsonl:FILE' of {"question"} and, if it may do harm, "scenario": "harm". c.size: 0 for all.

  key: of c in the config.

  Raises:
    UserError: another source, a row without a question, too few.
  """
  check(c, key)
  with about(f'{key}.source', c.source):
    return _rows(c, key, seed=seed, split=split, template=template)


def _rows(c, key: str, *, seed: int, split: str, template: str) -> list[dict]:
  if c.source.startswith('jsonl:'):
    path = c.source.partition(':')[2]
    rows = []
    for number, row in tasks.json_lines(path):
      if not isinstance(row, dict) or not isinstance(row.get('question'), str):
        raise UserError(f'{path}:{number}: no question in this row')
      rows.append({'id': f'general-{number}', 'answer': '', 'answer_type': 'text', 'reward': 'scenario',
                   'scenario': 'general', **row})
    whole, rows = len(rows), [row for row in rows if split_of(row['question']) == split]
    if 0 < c.size < len(rows):
      tasks.say(logging.INFO, f'asks {c.size} of {len(rows)} questions of {path} ({key}.size; 0: all)')
    if not rows or c.size > len(rows):
      raise UserError(f'{c.source} has {len(rows)} questions in split {split!r}, {c.size or "some"} wanted')
    tasks.say(logging.INFO, f'{c.source}: {len(rows)} of {whole} questions are those of split {split!r}, as training '
              'and evaluation share the file')
    rows = rows[:c.size] if c.size else rows
  else:
    rows = tasks.load(c.source, size=c.size, seed=seed, split=split)
  return [{**row, 'format': formats.of_template(template).name} for row in rows]
