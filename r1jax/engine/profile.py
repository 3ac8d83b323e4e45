"""JAX traces of a few optimiser steps: --profile=FIRST:LAST, for TensorBoard, xprof or Perfetto."""

import os
import re

import jax

from r1jax.exceptions import UserError

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
  """Traces steps `first` to `last`. close() belongs in a `finally`: jax writes nothing before a trace is stopped."""

  def __init__(self, first: int, last: int, directory: str | os.PathLike):
    self._first, self._last, self._directory = first, last, os.fspath(directory)
    self._running = self._ended = False

  def at(self, step: int, until: int | None = None) -> None:
    """Called before optimiser step `step` begins;
    or steps `step` to `until`, where one turn of a loop makes several."""
    if step > self._last:
      self.close()
    elif not self._running and not self._ended and (step if until is None else until) >= self._first:
      jax.profiler.start_trace(self._directory)
      self._running = True

  def close(self) -> None:
    """Ends the trace if it runs; it does not start again."""
    self._ended = True
    if self._running:
      self._running = False
      jax.profiler.stop_trace()
