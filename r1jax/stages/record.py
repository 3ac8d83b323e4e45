"""What an RL stage writes down while it goes: rows of metrics, samples, checkpoints and what stands beside them."""

import contextlib
import functools
import itertools
import math
import os
from typing import Callable

import numpy as np

from r1jax import metrics
from r1jax import stopping
from r1jax import terminal
from r1jax.engine import checkpoint
from r1jax.engine import mesh as mesh_lib
from r1jax.stages import carried
from r1jax.stages import monitor
from r1jax.stages import statistics


class Rollout:
  """A rollout on its way.

  Attributes:
    number, step: its own, and the optimiser steps before those whose means are here.
    means: of each optimiser step that is not written yet. written, counted: how many are, or were looked at.
    facts: what is said of the rollout as a whole.
  """

  def __init__(self, number: int, step: int, first: int, facts: Callable[[], dict], clock: metrics.Clock):
    """first: of its minibatches, which an earlier start has learned from. facts: asked while the devices learn."""
    self.number, self.step, self.first, self.clock = number, step, first, clock
    self.means, self.written, self.counted, self.facts, self._facts = [], 0, 0, {}, facts

  def add(self, means: dict) -> None:
    self.means.append(means)
    if not self.facts:
      with self.clock.span('metrics'):
        self.facts = self._facts()

  def read(self) -> None:
    """Waits for the devices."""
    with self.clock.span('update'):
      self.means = [{k: float(v) for k, v in mean.items()} for mean in self.means]


# Spans of a rollout's clock, as the live line calls them.
_WORDS = {'weights': 'sampling', 'admit': 'sampling', 'decode': 'sampling', 'judge_wait': 'judging',
          'reference': 'log-probs', 'update': 'learning', 'evaluate': 'evaluating', 'checkpoint': 'saving'}


class Record:
  """metrics.jsonl, samples/ and the progress line of an RL stage, a rollout after the other."""

  def __init__(self, c, place: str, writer: metrics.Writer, restored_step: int, clock: metrics.Clock):
    self._c, self._place, self._writer = c, place, writer
    writer.truncate(restored_step)
    metrics.truncate_samples(place, max(restored_step, 0))
    before = metrics.read(writer.path)
    in_a_row = len(list(itertools.takewhile(lambda row: row.get('update/skipped'), reversed(before))))
    # The first host's: one that has come since has no rows, and who stops has all hosts gather what it learned from.
    self._skipped = monitor.Skipped(c.bad_steps, place, _advice(c, writer.stage),
                                    int(mesh_lib.of_first(np.int32(in_a_row))))
    self._unhacked = monitor.first_watched(before)  # what the hacking monitor compares with
    self._alarms = monitor.Alarms(next((row for row in before if 'entropy/nats_per_token' in row), None))
    self._progress = terminal.Progress(c.steps, writer.stage, os.path.join(place, 'log.txt'),
                                       activity=lambda: _WORDS.get(clock.span_now, '')).start(max(restored_step, 0))

  def lacks_evaluation(self, step: int) -> bool:
    """Whether the last row is that of `step`, and has none of an evaluation's entries; on all hosts the same."""
    row = next(iter(metrics.read(self._writer.path)[-1:]), {})
    lacks = row.get('step') == step and not any(name.startswith('eval/') for name in row)
    return bool(mesh_lib.of_first(np.int32(lacks)))

  def add_evaluation(self, step: int, entries: dict) -> None:
    """To the row of `step`, where this host has one: it may have come since."""
    if [row['step'] for row in metrics.read(self._writer.path)[-1:]] == [step]:
      self._writer.amend(step, entries)

  def samples(self, step: int, number: int, batch, rows: list[dict], verdicts, judged, advantages_NxG) -> None:
    shown = [i for i, group in enumerate(batch.groups) if group in verdicts.texts][:self._c.sample_groups]
    texts = {i: verdicts.texts[batch.groups[i]] for i in shown}
    metrics.write_samples(self._place, step, statistics.sample_rows(
        step, number, [rows[i] for i in batch.rows], texts, batch.completions, judged, advantages_NxG))

  def ema(self, facts: dict, before: float) -> float:
    """Of accuracy; what it was, below 0 at first, where no answer of this rollout is graded."""
    now = facts['accuracy/mean']
    if math.isnan(now):
      return before
    return now if before < 0 else 0.95 * before + 0.05 * now

  def stop_if_broken(self, rollout: Rollout, minibatch: Callable[[int], dict]) -> None:
    """Raises RunStopped where more than rl.bad_steps updates in a row were skipped; minibatch: which of those that
    were learned from -> its arrays, which are kept."""
    rollout.read()
    for i, mean in enumerate(rollout.means):
      if rollout.written + i < rollout.counted:
        continue
      rollout.counted = rollout.written + i + 1
      self._skipped.look(rollout.step + i + 1, mean, functools.partial(minibatch, rollout.written + i))

  def write(self, rollout: Rollout, ema: float | None = None) -> None:
    """One row an optimiser step of those not written yet; what they took is divided among them. ema: of accuracy, at
    the end of a rollout."""
    rollout.read()
    seconds, n = rollout.clock.lap(), len(rollout.means)
    spent = {f'time/{name}': s / n for name, s in seconds.items()}
    update = sum(seconds.get(name, 0.0) for name in ('update', 'reference'))
    sampled, facts = sum(seconds.get(name, 0.0) for name in ('admit', 'decode')), rollout.facts
    facts = {**facts, **spent, 'step/seconds': sum(seconds.values()) / n, 'rollout/seconds': sampled / n,
             'rewards/seconds': seconds.get('judge_wait', 0.0) / n, 'update/seconds': update / n,
             'update/tokens_per_second': facts['update/tokens'] / max(update, 1e-9)}
    if 'decode' in seconds:  # not where an earlier start has sampled
      facts['rollout/tokens_per_second'] = facts['rollout/tokens'] / max(sampled, 1e-9)
    for i, mean in enumerate(rollout.means):
      if rollout.first + rollout.written + i:  # the policy has moved: the gap is not the sampler's
        mean = {k: v for k, v in mean.items() if not k.startswith('mismatch/')}
      elif self._c.lag and rollout.number:  # and so it has, by an update
        mean = {f'lag/{k[9:]}' if k.startswith('mismatch/') else k: v for k, v in mean.items()}
      self._writer.write(rollout.step + 1 + i, {'rollout': rollout.number, **facts, **mean})
    last = rollout.means[-1]
    rollout.step, rollout.written, rollout.means = rollout.step + n, rollout.written + n, []
    speed = {'tokens/s': facts[name] for name in ('rollout/tokens_per_second',) if name in facts}
    graded = {} if math.isnan(facts['accuracy/mean']) else {'accuracy': facts['accuracy/mean']}
    self._progress.update(rollout.step, **graded, length=facts['length/tokens'], **speed)
    if ema is not None:
      monitor.warn_if_rare(ema, rollout.number + 1, self._c.samples)
      self._unhacked = {**monitor.watched(facts), **self._unhacked}
      monitor.warn_if_hacked(self._unhacked, monitor.watched(facts))
      self._alarms.look({**facts, **last})


def beside(workdir: str) -> Callable:
  """Of a state that a checkpoint holds, for its restore: that what the Keeper wrote beside it is whole."""
  return lambda state: carried.check(os.path.join(workdir, 'carried'), int(state.position))


def _advice(c, name: str) -> str:
  """What a person can do where updates are not finite (rl.goes_on_with)."""
  if c.dynamic_tries:
    return f'give a lower {name}.learning_rate, with which {name} begins anew'
  more = f', a higher {name}.kl_coef' if c.kl_coef else ''
  return (f'give the same command with a lower --config.{name}.learning_rate or {name}.optimizer.clip_norm{more}: '
          'it goes on from the last checkpoint')


class Keeper:
  """Checkpoints of an RL stage, with what they need beside them, and what no restart will ask for any more removed."""

  def __init__(self, name: str, workdir: str, c, actor, scorer, checkpoints: checkpoint.Checkpoints, number: int):
    """number: of the rollout that it goes on from."""
    self._name, self._c, self._actor, self._scorer, self._checkpoints = name, c, actor, scorer, checkpoints
    self._carried, self._saved = os.path.join(workdir, 'carried'), number
    actor.restore_carried(self._carried, number)

  def due(self) -> bool:
    """Whether the clock asks for a checkpoint between two minibatches. Log-probs that the trainer computed before the
    first of them are nowhere else, so that one goes on from a whole rollout then."""
    return self._c.old_logps == 'sampler' and self._checkpoints.due()

  def save(self, state, number: int, clock: metrics.Clock) -> None:
    """`number`: rollouts that it has passed. The journal and the verdicts of those before the last checkpoint but this
    one go: a kill before this one is whole goes back to that."""
    with clock.span('checkpoint'):
      self._actor.save_carried(self._carried, number)
      self._checkpoints.save(state, {'stage': self._name})
      before, self._saved = self._saved, number
      if before < number:  # else this one may not be whole yet
        self._scorer.forget(before)
        self._actor.forget(before)

  @contextlib.contextmanager
  def stops(self, state, number: int):
    """A block in which rollout `number` is made and `state` stays, which is saved where it is asked to stop."""
    try:
      yield
    except stopping.Stopped:
      self.stop(state, number)

  def stop(self, state, number: int, in_the_middle: bool = False) -> None:
    """Raises Stopped, when the state is on disk. in_the_middle: of a rollout's minibatches."""
    saved = not in_the_middle or self._c.old_logps == 'sampler'
    if saved:
      self.save(state, number, metrics.Clock())
    self._checkpoints.wait()
    raise stopping.Stopped(f'{self._name} stopped at step {int(state.step)}'
                           + ('' if saved else f', its state is that of a step before it: rollout {number} is noted'))
