"""A work dir as it stands: its stages, their rows, what an evaluation found. Whatever is missing is left out."""

import collections
import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from r1jax import metrics

EVALUATION = re.compile(r'eval/(?P<task>.+)/(?P<score>[^/]+)')


@dataclasses.dataclass
class Stage:
  """One directory with metrics: a single work dir, or a step of a pipeline."""
  name: str  # the directory's name in a pipeline ('2_rl'), the rows' stage in a single work dir ('rl')
  path: pathlib.Path
  rows: list[dict]
  config: Any = None

  @property
  def is_rl(self) -> bool:
    return any(row.get('stage') == 'rl' or 'rollout' in row or 'reward/mean' in row for row in self.rows)

  @property
  def is_training(self) -> bool:
    return self.is_rl or any('loss' in row for row in self.rows)

  @property
  def last_step(self) -> int:
    return max((row.get('step', 0) for row in self.rows), default=0)

  @property
  def seconds(self) -> float:
    """What its steps took. A row speaks of all steps since the one before it: an SFT logs one in log_every."""
    total, before = 0.0, 0
    for row in self.rows:
      if number(row.get('step/seconds')) is not None:
        total += row['step/seconds'] * max(row['step'] - before, 0)
        before = row['step']
    return total

  @property
  def curve_rows(self) -> list[dict]:
    """What its figures are drawn from.
    The final evaluation has more samples than those on the way: it is in the table."""
    return [row for row in self.rows if row.get('model') != 'final']


@dataclasses.dataclass
class Run:
  name: str
  path: pathlib.Path
  stages: list[Stage]
  config: Any = None
  pipeline: Any = None
  environment: Any = None
  recipe: Any = None  # r1jax/expect.py
  warnings: list[str] = dataclasses.field(default_factory=list)

  @property
  def entries(self) -> list[dict]:
    """What pipeline.json says of each stage that is finished."""
    found = self.pipeline.get('stages') if isinstance(self.pipeline, dict) else None
    return [entry for entry in found if isinstance(entry, dict) and 'name' in entry] if isinstance(found, list) else []

  @property
  def rl(self) -> list[Stage]:
    return [stage for stage in self.stages if stage.is_rl]

  @property
  def supervised(self) -> list[Stage]:
    return [stage for stage in self.stages if stage.is_training and not stage.is_rl]

  def steps_wanted(self, stage: Stage) -> int | None:
    """How many steps the config asks of a training stage, where it says so in the usual place."""
    own = stage.name.partition('_')[2] or stage.name  # '13_scenarios': a pipeline may have several RL stages
    for config in (stage.config, self.config):
      part = (config.get(own) or (config.get('rl') if stage.is_rl else None)) if isinstance(config, dict) else None
      if isinstance(part, dict) and isinstance(part.get('steps'), int) and part['steps']:
        return part['steps']
    return None


def load(workdir: str | pathlib.Path) -> Run:
  """Reads DIR, a single stage or a pipeline. A file that cannot be read becomes a warning, not an exception."""
  path = pathlib.Path(workdir)
  run = Run(name=path.resolve().name, path=path, stages=[])
  run.config = attempt(run, json_of, path / 'config.json')
  run.pipeline = attempt(run, json_of, path / 'pipeline.json')
  run.environment = attempt(run, json_of, path / 'environment.json')
  run.recipe = attempt(run, json_of, path / 'recipe.json')
  for directory in [path, *_numbered(path)]:
    rows = attempt(run, metrics.read, directory / 'metrics.jsonl')
    if rows is None:
      continue
    rows = [row for row in rows if isinstance(row.get('step'), int)]
    alone = directory == path
    stages = sorted({str(row.get('stage', '')) for row in rows})
    name = ' and '.join(stages) if alone else directory.name
    config = None if alone else attempt(run, json_of, directory / 'config.json')
    run.stages.append(Stage(name or path.name, directory, rows, config))
  return run


def is_run(path: pathlib.Path) -> bool:
  """Whether a directory looks like a work dir."""
  return any((path / name).exists() for name in ('pipeline.json', 'config.json', 'metrics.jsonl'))


def attempt(run: Run, reader: Callable, path: pathlib.Path) -> Any:
  """reader(path), or None where the file is not there; what is wrong with one that is goes to run.warnings."""
  try:
    return reader(path)
  except FileNotFoundError:
    return None
  except (OSError, ValueError) as error:
    warn(run, error)
    return None


def warn(run: Run, error: Exception) -> None:
  """Once, however many parts of the page read a file."""
  if str(error) not in run.warnings:
    run.warnings.append(str(error))


def json_of(path: pathlib.Path) -> Any:
  """Raises ValueError, which names it, where it is corrupt."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path}: corrupt ({error})') from error


def _numbered(path: pathlib.Path) -> list[pathlib.Path]:
  """The stages of a pipeline in order: 1_base, 2_rl, ... 10_rl."""
  found = [(int(match[1]), child) for child in path.iterdir()
           if child.is_dir() and (match := re.match(r'(\d+)_', child.name))]
  return [child for _, child in sorted(found)]


def tasks(rows: list[dict]) -> list[str]:
  """The tasks that some row has a score of, in order of appearance."""
  found = {}
  for row in rows:
    of = collections.defaultdict(list)
    for match in filter(None, map(EVALUATION.fullmatch, row)):
      of[match['task']].append(match['score'])
    found |= {task: True for task, names in of.items() if metric_of(names)}
  return list(found)


def metric_of(names: Iterable[str]) -> str:
  """Of the names of a task's scores that which it is scored by: pass@1, or of graded answers the one with an interval;
  '' for none."""
  names = list(names)
  return 'pass@1' if 'pass@1' in names else next(
      (name for name in names if f'{name}_low' in names and f'{name}_high' in names), '')


@dataclasses.dataclass
class Result:
  """One line of the table: a model on a task."""
  task: str
  model: str
  step: int
  scores: dict[str, float]

  @property
  def metric(self) -> str:
    """'pass@1', or what graded answers are scored by ('f1')."""
    return metric_of(self.scores) or 'pass@1'

  def votes(self) -> tuple[str, float | None]:
    """('cons@16', value) of the largest K."""
    return self._largest('cons')

  def passes(self) -> tuple[str, float | None]:
    """('pass@16', value) of the largest K above 1."""
    return self._largest('pass')

  def _largest(self, kind: str) -> tuple[str, float | None]:
    found = [(int(match[1]), name) for name in self.scores if (match := re.fullmatch(kind + r'@(\d+)', name))]
    found = [(k, name) for k, name in found if k > 1]
    return (max(found)[1], self.scores[max(found)[1]]) if found else (f'{kind}@k', None)


ORDER = {'base': 0, 'final': 2}  # of models in a table; others stand between, as they come


def results(run: Run) -> list[Result]:
  """The final evaluation: the newest row of each (task, model), base first and final last.

  Evaluations on the way through a training stage are points of figure 2, not lines of the table; its
  'base' and 'final' rows count where no stage of its own evaluated them. Where two stages call another model alike, as
  two searches do, each has its line, with the stage's name.
  """
  found: dict[tuple[str, str, str], Result] = {}
  for stage in sorted(run.stages, key=lambda stage: not stage.is_training):  # training first, so that others win
    for row in stage.rows:
      model = row.get('model')
      if model is None or (stage.is_training and model not in ORDER):
        continue
      for task in tasks([row]):
        scores = {match['score']: value for name, value in row.items()
                  if (match := EVALUATION.fullmatch(name)) and match['task'] == task and number(value) is not None}
        found[task, str(model), stage_of(stage.name, model)] = Result(task, str(model), row['step'], scores)
  for stage_name, model, scores in _scores(run):
    task = scores.get('task')
    metric = scores.get('metric', 'pass@1')
    if not isinstance(task, str) or not isinstance(metric, str) or number(scores.get(metric)) is None:
      continue
    known = found.setdefault((task, model, stage_of(stage_name, model)), Result(task, model, 0, {}))
    if known.scores.get(metric) in (None, scores[metric]):  # else a row of another evaluation, which is newer
      known.scores = {**_numbers(scores), **known.scores}
  stages = collections.Counter((task, model) for task, model, _ in found)
  for (task, model, stage_name), result in found.items():
    result.model = told_apart(model, stage_name, stages[task, model])
  by_task = list(dict.fromkeys(task for task, *_ in found))
  return sorted(found.values(), key=lambda result: (by_task.index(result.task), ORDER.get(result.model, 1)))


def stage_of(directory: str, model: str) -> str:
  """The stage ('rerank' of '2_rerank') that a model's name belongs to; '' for those that mean the same in all, of which
  the last stage counts. A stage that has got another number since is the same one."""
  return '' if model in ORDER else re.sub(r'^\d+_', '', directory)


def told_apart(model: str, stage: str, stages: int) -> str:
  """A model's name, with its stage's where several stages evaluate one of that name."""
  return f'{model}, {stage}' if stages > 1 else model


def _scores(run: Run) -> list[tuple[str, str, dict]]:
  """(stage, model, scores) of every eval/TASK[.MODEL]/scores.json of the stages that only evaluate."""
  directories = [(stage.name, stage.path) for stage in run.stages if not stage.is_training]
  paths = [(name, path) for name, directory in directories or ([] if run.stages else [('', run.path)])
           for path in sorted(directory.glob('eval/**/scores.json'))]
  last = 'final' if run.stages else 'evaluated'
  return [(name, path.parent.name.partition('.')[2] or last, scores) for name, path in paths
          if isinstance(scores := attempt(run, json_of, path), dict)]


def _numbers(scores: dict) -> dict[str, float]:
  return {name: value for name, value in scores.items() if number(value) is not None}


def number(value: Any) -> float | None:
  """The value of a metric; None for text, null and booleans."""
  return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
