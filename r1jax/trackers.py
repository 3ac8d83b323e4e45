"""Weights & Biases and trackio beside metrics.jsonl: numbers, config and some texts, a run of theirs for each stage.

`config.trackers = ('wandb',)`, ('trackio',) or both; the extras of the same names install them. What a tracker is asked
beyond that is its own environment's (WANDB_MODE=offline, WANDB_PROJECT, TRACKIO_SPACE_ID ..). metrics.jsonl is the
record: a tracker that fails is switched off with a warning, and training goes on.
"""

import atexit
import hashlib
import importlib
import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

NAMES = ('wandb', 'trackio')
SAMPLES = 16  # of a step that are sent as text
COLUMNS = ('step', 'id', 'prompt', 'completion', 'gold', 'answer', 'correct', 'reward', 'tokens', 'finish')

_active: dict[str, '_Tracker'] = {}


def check(names: Sequence[str]) -> None:
  """Raises UserError for a name that is none of NAMES."""
  if isinstance(names, str) or not all(isinstance(name, str) for name in names):
    raise UserError(f"trackers={names!r} is not a tuple of names, as ('wandb',)")
  for name in names:
    if name not in NAMES:
      raise UserError(f'trackers={name!r} is not one of {", ".join(NAMES)}')


def installed(names: Sequence[str]) -> None:
  """Raises UserError for a name that is none of NAMES, or whose package is not installed."""
  check(names)
  for name in names:
    found = importlib.util.find_spec(name)
    if found is None or getattr(found, 'origin', '') is None:  # wandb leaves folders ./wandb, which are no package
      raise UserError(f"trackers={name!r}: no package {name}; pip install 'r1jax[{name}]'")


def use(names: Sequence[str], workdir: str, config: Mapping[str, Any]) -> None:
  """From now on what metrics.py writes goes to these as well.

  Raises:
    UserError: a package is not installed.
  """
  installed(names)
  finish()
  _active.clear()
  _active.update({name: _Tracker(name, os.path.abspath(workdir), config) for name in names})


def write(place: str, stage: str, step: int, values: Mapping[str, Any]) -> None:
  """The numbers of one row; place: the directory it is written in."""
  model = values.get('model')
  numbers = {f'{model}/{name}' if model else name: value for name, value in values.items()
             if isinstance(value, (int, float)) and not isinstance(value, bool)}
  # Rows of several models do not come in the order of their steps, which a tracker wants.
  for tracker in list(_active.values()):
    tracker.log(place, stage, numbers, None if model else step)


def write_samples(place: str, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
  """The first texts of a step, to the run of the stage that has the same place."""
  for tracker in list(_active.values()):
    tracker.table(place, step, [[str(step) if name == 'step' else str(row.get(name, '')) for name in COLUMNS]
                                for row in rows[:SAMPLES]])


def finish() -> None:
  for tracker in list(_active.values()):
    tracker.finish()


class _Tracker:
  """One service; its run is that of the stage that wrote last."""

  def __init__(self, name: str, workdir: str, config: Mapping[str, Any]):
    self.name, self._workdir, self._config = name, workdir, config
    self._module, self._stage, self._place, self._texts = None, None, None, None

  def log(self, place: str, stage: str, numbers: Mapping[str, float], step: int | None) -> None:
    self._attempt(self._log, place, stage, numbers, step)

  def table(self, place: str, step: int, rows: list[list[str]]) -> None:
    """Sent with the first row that is not before it: wandb drops what comes after a later step."""
    self._texts = (place, step, rows) if rows else self._texts

  def finish(self) -> None:
    if self._stage is not None:
      self._stage = None
      self._attempt(self._end)

  def _attempt(self, call, *args) -> None:
    try:
      call(*args)
    except Exception as error:  # pylint: disable=broad-except  a service's, of any kind
      _active.pop(self.name, None)
      log.warning('%s is switched off for the rest of this start: %s: %s', self.name, type(error).__name__,
                  ' '.join(str(error).split()))

  def _log(self, place: str, stage: str, numbers: Mapping[str, float], step: int | None) -> None:
    if self._stage != stage:
      self.finish()
      self._begin(stage)
      self._place = place
    due = self._texts and self._texts[0] == place and step is not None and self._texts[1] <= step
    texts = self._taken() if due else {}
    self._module.log({**numbers, **texts}, **({} if step is None else {'step': step}))

  def _begin(self, stage: str) -> None:
    self._module = importlib.import_module(self.name)
    run = os.path.basename(self._workdir)
    # The same for every start, so that one that goes on takes it up again.
    same = hashlib.sha256(f'{self._workdir}/{stage}'.encode()).hexdigest()[:16]
    project = os.environ.get(f'{self.name.upper()}_PROJECT') or self._config.get('name') or 'r1jax'
    known = dict(project=project, group=run, resume='allow', config=dict(self._config))
    if self.name == 'wandb':
      self._module.init(**known, name=f'{run}/{stage}', id=same, dir=self._workdir)
    else:
      self._module.init(**known, name=f'{run}-{stage}-{same[:6]}')
    self._stage = stage

  def _end(self) -> None:
    if self._texts and self._texts[0] == self._place:
      self._module.log(self._taken())
    self._module.finish()

  def _taken(self) -> dict[str, Any]:
    (*_, rows), self._texts = self._texts, None
    return {'samples': self._module.Table(columns=list(COLUMNS), data=rows)}


atexit.register(finish)
