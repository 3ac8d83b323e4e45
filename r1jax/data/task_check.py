"""What a stage's task says of the questions that it asks, looked at before any is read."""

from r1jax.data import answers
from r1jax.data import columns
from r1jax.data import tasks
from r1jax.data.sources import SPLITS
from r1jax.exceptions import UserError


def check(task, key: str, *, sized: bool = True) -> None:
  """Of a stage's task, or of its list of tasks: what no row is needed to see. A source of '' passes: it is what a file
  is to be given for, and missing like one.

  Args:
    key: of the task in the config.
    sized: it says itself how many questions it asks.

  Raises:
    UserError: no such source, split or answer type, shares that do not add up, a generated source without a size.
  """
  for one in tasks.several(task):
    tasks.kind_of(one.source)
    if one.source.startswith('reasoning_gym:') and sized and one.size < 1:
      raise UserError(f'{key}.size={one.size}: {one.source} makes problems without end, say how many')
    for name, allowed in (('split', ('', *SPLITS)), ('answer_type', ('', 'auto', *answers.TYPES))):
      if one.get(name, '') not in allowed:
        raise UserError(f'{key}.{name}={one[name]!r} is not one of {", ".join(map(repr, allowed))}')
    if not 0 <= one.get('holdout', 0.0) < 1:
      raise UserError(f'{key}.holdout={one.holdout} of a file must lie in [0, 1)')
    if one.get('holdout') and one.get('split') and tasks.is_file(one.source):
      raise UserError(f'{key}.split={one.split!r} and {key}.holdout={one.holdout}: one of them')
    columns.check({k: v for k, v in one.get('columns', {}).items() if v})
