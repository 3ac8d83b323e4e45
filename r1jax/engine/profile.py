"""JAX traces of a few optimiser steps: --profile=FIRST:LAST, for TensorBoard, xprof or Perfetto."""

import logging
import os
import re
import threading

import jax

from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

steps: tuple[int, int] | None = None  # the first and the last to be traced, in whatever stage makes them; main sets it


def parse(text: str) -> tuple[int, int]:
  """'3:5' -> (3, 5).

  Raises:
    UserError: anything else.
  """
  match = re.fullmatch(r'(\d+):(\d+)', text)
  if not match or int(match[1]) > int(match[2]):
    raise UserError(f'--profile={text} names no optimiser steps: give FIRST:LAST, as in --profile=3:5')
  return int(match[1]), int(match[2])


def trace(directory: str | os.PathLike) -> 'Trace':
  """The trace that the command line asks for, to be written to `directory`; one of no step where it asks for none."""
  return Trace(*(steps or (1, 0)), directory)


class Trace:
  """Traces steps `first` to `last`, and what the loop does between them. close() belongs in a `finally`: jax writes
  nothing before a trace is stopped."""

  def __init__(self, first: int, last: int, directory: str | os.PathLike):
    self._first, self._last, self._directory = first, last, os.fspath(directory)
    self._running = self._ended = False

  def at(self, step: int) -> None:
    """Called before optimiser step `step`, or the rollout that it learns from, begins."""
    if self._running or self._ended or step < self._first:
      return
    if step > self._last:
      self._ended = True
      if self._last >= self._first:
        log.info('--profile=%d:%d: the next step is %d, so nothing is traced', self._first, self._last, step)
      return
    jax.profiler.start_trace(self._directory)
    self._running = True
    _traces.add(self)

  def behind(self, step: int, result) -> None:
    """Called when optimiser step `step` is on its way. Behind the last one it waits for the step's `result`, arrays,
    and writes the trace: whatever ends the run later, it is there."""
    if self._running and step >= self._last:
      jax.block_until_ready(result)
      self.close()

  def close(self) -> None:
    """Ends the trace if it runs; it does not start again."""
    self._ended = True
    if self._running:
      self._running = False
      _traces.discard(self)
      jax.profiler.stop_trace()
      log.info('%s: steps %d to %d are traced', self._directory, self._first, self._last)


_traces: set[Trace] = set()  # that run


def end_all(within: float) -> None:
  """Ends what is traced, for who ends the process without its `finally`s and has so many seconds."""
  for running in list(_traces):
    writing = threading.Thread(target=running.close, daemon=True)
    writing.start()
    writing.join(within)
