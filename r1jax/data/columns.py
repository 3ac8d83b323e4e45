"""A row of somebody's file -> {question, answer, ...}, by the names that published sets use or by those that are given.

  question   question, problem, prompt, input, query, instruction, messages, conversations
  answer     answer, final_answer, expected_answer, ground_truth, target, reward_model.ground_truth, solution, output

A dot leads into an object. The first name that a row has counts; null is absent. Of messages the first of a user's.
"""

from r1jax.data import answers
from r1jax.data import programs
from r1jax.exceptions import UserError

QUESTION = ('question', 'problem', 'prompt', 'input', 'query', 'instruction', 'messages', 'conversations')
ANSWER = ('answer', 'final_answer', 'expected_answer', 'ground_truth', 'target', 'reward_model.ground_truth',
          'solution', 'output')


LONGEST = 200  # characters of an answer in words


class LeftOut(ValueError):
  """A row that cannot be asked; the text is the reason, the same for all rows of its kind."""


def without_null(value):
  """What parquet writes for a field that some rows lack is taken out, at every depth."""
  if isinstance(value, dict):
    values = ('args', 'expected', 'inputs', 'outputs')  # of a test: null is a value there
    return {k: v if k in values else without_null(v) for k, v in value.items()
            if v is not None or (k == 'expected' and value.get('call'))}
  if isinstance(value, list):
    return [without_null(v) for v in value]
  return value


def check(columns: dict) -> None:
  """Raises UserError for what is no map from question and answer to names of columns."""
  wrong = [k for k, v in columns.items() if k not in ('question', 'answer') or not isinstance(v, str) or not v]
  if wrong:
    raise UserError(f'task.columns={dict(columns)}: wants names of columns for question and answer')


def normal(row, columns: dict | None = None, defaults: dict | None = None) -> dict:
  """The row with `question`, `answer` and `answer_type`; its other fields stay.

  Args:
    columns: {'question': NAME, 'answer': NAME}, where names differ.
    defaults: fields that rows have unless they say otherwise.

  Raises:
    LeftOut: no question, no answer, or none that an answer could equal.
  """
  if not isinstance(row, dict):
    raise LeftOut('no object')
  row, columns = without_null(row), columns or {}
  if 'answer' not in columns and (program := _program(row)) is not None:
    question = _question(_first(row, (columns['question'],)) if 'question' in columns else program['question'])
    answer = row.get('answer')
    return {'reward': 'code', **(defaults or {}), **_system(row), **program, 'question': question,
            'answer': answer if isinstance(answer, str) else '', 'answer_type': 'text'}
  question = _question(_first(row, (columns['question'],) if 'question' in columns else QUESTION))
  found = {**(defaults or {}), **_system(row), **row, 'question': question}
  value = _first(row, (columns['answer'],) if 'answer' in columns else ANSWER)
  if value is None:
    value = _from_messages(row)
  # 'auto', none, or a word of the data set's own: the task's, else what the answer looks like.
  kind = next((kind for kind in (row.get('answer_type'),
                                 (defaults or {}).get('answer_type')) if kind in answers.TYPES), '')
  try:
    if kind == 'set' and isinstance(value, list):
      answer = ', '.join(map(answers.gold, value))
    else:
      answer = answers.gold(value)
  except ValueError as e:
    raise LeftOut(str(e)) from e
  if not kind and (kind := answers.infer(answer, question)) == 'text' and len(answer) > LONGEST:
    raise LeftOut(f'prose of more than {LONGEST} characters as answer, without a box')  # no answer would ever equal it
  return {**found, 'answer': answer, 'answer_type': kind}


def _program(row: dict) -> dict | None:
  try:
    return programs.find(row)
  except programs.Unreadable as e:
    raise LeftOut(str(e)) from e
  except (TypeError, KeyError, AttributeError) as e:
    raise LeftOut(f'tests of no known form ({type(e).__name__})') from e


def _first(row: dict, names):
  for name in names:
    value = row
    for part in name.split('.'):
      value = value.get(part) if isinstance(value, dict) else None
    if value is not None:
      return value
  return None


def _question(value) -> str:
  if isinstance(value, bytes):
    try:
      value = value.decode()
    except UnicodeDecodeError as e:
      raise LeftOut('bytes that are no UTF-8 as question') from e
  if isinstance(value, list):
    said = [m for m in value if isinstance(m, dict) and _role(m) in ('user', 'human')]
    value = _content(said[0]) if said else None
  if value is None or (isinstance(value, str) and not value.strip()):
    raise LeftOut('no question')
  if not isinstance(value, str):
    raise LeftOut(f'a question of type {type(value).__name__}')
  try:
    value.encode()
  except UnicodeEncodeError as e:
    raise LeftOut('half a surrogate pair in the question') from e
  return value


def _system(row: dict) -> dict:
  """{'system': what messages begin with}, where they do."""
  for name in ('messages', 'conversations', 'prompt', 'question'):
    first = row[name][0] if isinstance(row.get(name), list) and row[name] else None
    if isinstance(first, dict) and _role(first) == 'system' and isinstance(_content(first), str):
      return {'system': _content(first)}
  return {}


def _from_messages(row: dict):
  """The box in the last thing that an assistant said."""
  for name in ('messages', 'conversations'):
    said = [m for m in row.get(name) or [] if isinstance(m, dict) and _role(m) in ('assistant', 'gpt')]
    if said and (box := answers.last_box(str(_content(said[-1])), frames=True)) is not None:
      return box
  return None


def _role(message: dict):
  return message.get('role') or message.get('from')


def _content(message: dict):
  return message.get('content') if message.get('content') is not None else message.get('value')
