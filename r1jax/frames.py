"""A work dir as tables, for who looks at a run: r1jax.read(DIR).metrics, .samples, .rollouts, .scores.

Files only, and no jax: a run that is under way is read as far as it has come.
"""

import dataclasses
import functools
import glob
import json
import os
import re

from r1jax import metrics
from r1jax import paths
from r1jax.exceptions import UserError

NAMES = ('metrics', 'samples', 'rollouts', 'scores')


@dataclasses.dataclass(frozen=True)
class Tables:
  """What a work dir holds, each table a list of dicts; each is read once, by who asks for it: `read` again for more.

  Attributes:
    path: the work dir.
  """
  path: str

  @functools.cached_property
  def stages(self) -> list[str]:
    """Directories of the stages in order, '1_base' and so on; [''] of a work dir that is one stage."""
    found = [(int(match[1]), name) for name in os.listdir(self.path) if (match := re.match(r'(\d+)_', name))
             and os.path.isdir(os.path.join(self.path, name))]
    return ([''] if os.path.exists(os.path.join(self.path, 'metrics.jsonl')) else []) + [n for _, n in sorted(found)]

  @functools.cached_property
  def config(self) -> dict:
    """config.json; {} where there is none yet."""
    return self._json('config.json') or {}

  @functools.cached_property
  def metrics(self) -> list[dict]:
    """The rows of metrics.jsonl of all stages, each with `directory`: losses, rewards and lengths of training, one an
    optimiser step, and the scores of evaluations."""
    return [{'directory': stage, **row} for stage in self.stages for row in self._rows(stage, 'metrics.jsonl')]

  @functools.cached_property
  def samples(self) -> list[dict]:
    """What models said in evaluations, a row a sample: directory, task, model, id, prompt, gold, sample (its number),
    text, tokens, finish, answer, correct, reason."""
    return [{'directory': stage, 'task': task, 'model': model, **{k: record[k] for k in ('id', 'prompt', 'gold')},
             'sample': number, **sample}
            for stage, task, model, place in self._evaluations() for record in self._rows(place, 'samples.jsonl')
            for number, sample in enumerate(record['samples'])]

  @functools.cached_property
  def rollouts(self) -> list[dict]:
    """What a policy said while it learned, as far as it was kept (rl.sample_groups), a row a completion: directory,
    step, group, prompt, completion, tokens, reward, advantage and more."""
    found = []
    for stage in self.stages:
      place = os.path.join(self.path, stage, 'samples')
      for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
        if name.endswith('.jsonl'):
          found += [{'directory': stage, **row} for row in self._rows(stage, 'samples', name)]
    return found

  @functools.cached_property
  def scores(self) -> list[dict]:
    """scores.json of each evaluation, with `directory` and `model`: pass@1 and its standard error, cons@k, length."""
    found = [(stage, model, self._json(place, 'scores.json')) for stage, _, model, place in self._evaluations()]
    return [{'directory': stage, 'model': model, **scores} for stage, model, scores in found if scores]

  def frame(self, name: str = 'metrics'):
    """One of the tables as a pandas.DataFrame.

    Raises:
      UserError: no such table; pandas is not installed.
    """
    if name not in NAMES:
      raise UserError(f'no table {name!r}: one of {", ".join(NAMES)}')
    try:
      import pandas
    except ImportError as e:
      raise UserError(f'frame({name!r}) needs pandas: pip install pandas, or take the list .{name}') from e
    return pandas.DataFrame(getattr(self, name))

  def series(self, name: str, directory: str | None = None) -> tuple[list[int], list[float]]:
    """(steps, values) of a metric where a row has it; directory: of one stage alone."""
    rows = [row for row in self.metrics if row.get(name) is not None and directory in (None, row['directory'])]
    return [row['step'] for row in rows], [row[name] for row in rows]

  def _evaluations(self) -> list[tuple[str, str, str, str]]:
    """(stage, task, model, directory in the work dir), in the stages' order; models as their directories came."""
    found = []
    for stage in self.stages:
      root = os.path.join(self.path, stage, 'eval')
      for directory in (os.path.dirname(path) for path in glob.glob(
          os.path.join(glob.escape(root), '**', 'scores.json'), recursive=True)):
        scores = self._json(directory, 'scores.json')
        name = os.path.relpath(directory, root)
        task = scores.get('task', name)
        model = name.removeprefix(task).removeprefix('.') or 'final'
        found.append((os.path.getmtime(os.path.join(directory, 'scores.json')), stage, task, model, directory))
    return [rest for _, *rest in sorted(found)]

  def _rows(self, *parts: str) -> list[dict]:
    path = os.path.join(self.path, *parts)
    try:
      return metrics.read(path) if os.path.exists(path) else []
    except ValueError as e:
      raise UserError(str(e)) from e

  def _json(self, *parts: str) -> dict | None:
    path = os.path.join(self.path, *parts)
    try:
      with open(path, encoding='utf-8') as f:
        return json.load(f)
    except FileNotFoundError:
      return None
    except ValueError as e:
      raise UserError(f'{path} cannot be read: {e}') from e


def read(workdir: str | os.PathLike) -> Tables:
  """The tables of a work dir: a run's, one stage's, or what `evaluate` wrote.

  Raises:
    UserError: no such directory; when a table is asked for, a file in it that is corrupt.
  """
  path = paths.local(os.fspath(workdir), 'workdir')
  if not os.path.isdir(path):
    raise UserError(f'no work dir {path}')
  return Tables(os.path.abspath(path))
