"""Asked to stop: by SIGTERM or Ctrl-C to this process (errors.py), which the hosts of a run tell one another
(engine/hosts.py). No jax."""

import signal
import threading
import time


class _Request(threading.Event):
  """An event that knows when it was set first, and by what."""
  at: float | None = None
  by: int | None = None  # the signal

  def set(self) -> None:
    self.at = self.at or time.monotonic()
    super().set()

  def clear(self) -> None:
    self.at = self.by = None
    super().clear()


requested = _Request()  # a stage that sees it saves at the next step and raises Stopped


class Stopped(Exception):
  """The run was asked to stop, and its state is on disk."""


def code() -> int:
  """The exit code of who was asked to stop: 130 by Ctrl-C, 143 by SIGTERM."""
  return 130 if requested.by == signal.SIGINT else 143
