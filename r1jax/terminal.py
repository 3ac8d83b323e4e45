"""What a person reads while a command works: lines of the log, what is under way, one live line with its share done.

On a terminal the live line is rewritten in place and log lines pass above it; in a file or a pipe there is a line now
and then. A thread of its own looks every second, so that nothing is silent for long, whatever the command waits for.
"""

import collections
import contextlib
import logging
import math
import numbers
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from r1jax import disk
from r1jax import metrics

log = logging.getLogger('r1jax')

EVERY = 10.0  # seconds between two lines of one thing in a file, in its first minute
LATER = 30.0  # and behind that

_ERASE = '\r\x1b[K'
_lock = threading.RLock()
_under_way: list['_Shown'] = []  # the last one is shown
_live: TextIO | None = None  # the terminal that a live line stands on
_looking: threading.Thread | None = None


def _is_terminal(stream: TextIO) -> bool:
  return bool(getattr(stream, 'isatty', lambda: False)())


ONCE = {'once': True}  # `extra` of a line that several looks come upon: a command writes it the first time alone


class _Handler(logging.StreamHandler):
  """Lines on stderr: ours as they are, warnings named, those of libraries with their name; above the live line."""

  def __init__(self):
    super().__init__(sys.stderr)
    self._written = set()  # of ONCE

  def format(self, record: logging.LogRecord) -> str:
    ours = record.name.split('.')[0] == 'r1jax'
    level = '' if record.levelno < logging.WARNING else f'{record.levelname.lower()}: '
    text = ('' if ours else f'{record.name}: ') + level + super().format(record)
    if not _is_terminal(self.stream) or '\n' in text:
      return text
    return '\n'.join(textwrap.wrap(text, max(40, _width()), subsequent_indent='  ', break_long_words=False,
                                   break_on_hyphens=False)) or text

  def emit(self, record: logging.LogRecord) -> None:
    if getattr(record, 'once', False):
      if record.getMessage() in self._written:
        return
      self._written.add(record.getMessage())
    with _lock:
      self.stream = sys.stderr
      hide()
      super().emit(record)
      if _under_way:
        _under_way[-1].show()


def use(level: int = logging.INFO) -> None:
  """Log lines of this process as _Handler writes them. Handlers that libraries put up on being imported go, those of a
  program around this one stay."""
  root = logging.getLogger()
  for handler in list(root.handlers):
    kind = type(handler)  # itself: a subclass is somebody's own
    if kind is logging.StreamHandler or kind.__module__.startswith('absl'):
      root.removeHandler(handler)
  if not any(isinstance(handler, _Handler) for handler in root.handlers):
    root.addHandler(_Handler())
  root.setLevel(logging.WARNING)
  log.setLevel(level)


def _width() -> int:
  return shutil.get_terminal_size().columns - 1


def hide() -> None:
  """Takes the live line away, for somebody else's line."""
  global _live
  with _lock:
    if _live is not None:
      with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
        _live.write(_ERASE)
        _live.flush()
      _live = None


def _show(stream: TextIO, text: str) -> None:
  """The live line. One longer than the terminal would wrap, and \\r only goes back to the start of its last row."""
  global _live
  stream.write('\r' + text[:_width()] + '\x1b[K')
  stream.flush()
  _live = stream


def settle() -> None:
  """Before a command ends: what is under way is over, and its last line stays."""
  with _lock:
    while _under_way:
      _under_way[-1].close()
    hide()


class _Shown:
  """What is under way: looked at every second."""

  def begin(self) -> None:
    global _looking
    with _lock:
      _under_way.append(self)
      if _looking is None:
        _looking = threading.Thread(target=_look, name='terminal', daemon=True)
        _looking.start()

  def end(self) -> None:
    with _lock:
      hide()
      if self in _under_way:
        _under_way.remove(self)

  def show(self) -> None:
    """As a live line, on a terminal."""

  def beat(self) -> None:
    """It goes on."""

  def close(self) -> None:
    self.end()


def _look() -> None:
  while True:
    time.sleep(1.0)
    with _lock, contextlib.suppress(OSError, ValueError):  # a stream that is closed
      if _under_way:
        _under_way[-1].beat()


class _Doing(_Shown):

  def __init__(self, text: str):
    self._text, self._begun, self._next = text, time.monotonic(), EVERY
    self._terminal, self.detail = _is_terminal(sys.stderr), ''

  @property
  def seconds(self) -> float:
    return time.monotonic() - self._begun

  def show(self) -> None:
    if self._terminal:
      _show(sys.stderr, self._goes_on())

  def beat(self) -> None:
    self.show()
    if not self._terminal and self.seconds >= self._next:
      self._next = self.seconds + (EVERY if self.seconds < 60 else LATER)
      log.info('%s', self._goes_on())

  def _goes_on(self) -> str:
    return f'{self._text} ... {metrics.duration(self.seconds)}{self.detail and ", "}{self.detail}'


@contextlib.contextmanager
def doing(text: str):
  """Says that something long begins, that it goes on, and how long it took. Silent where the log is."""
  if not log.isEnabledFor(logging.INFO):
    yield
    return
  shown = _Doing(text)
  if shown._terminal:  # pylint: disable=protected-access
    with _lock:
      shown.show()
  else:
    log.info('%s ...', text)
  shown.begin()
  try:
    yield
  finally:
    shown.end()
  log.info('%s: %s', text, metrics.duration(shown.seconds))


def under_way() -> str:
  """What `doing` has begun and not ended, '' for nothing. No lock: a signal's handler asks."""
  return next((shown._text for shown in reversed(_under_way) if isinstance(shown, _Doing)), '')


def now(detail: str) -> None:
  """How far that is which `doing` has begun."""
  with _lock:
    if _under_way and isinstance(_under_way[-1], _Doing):
      _under_way[-1].detail = detail


class Progress(_Shown):
  """Step, share done, time left and a few facts: one line rewritten on a terminal, a line now and then in a file.

  The speed is that of the last `window` updates. The first update only starts the clock: what came
  before it is compilation, and after a resume the steps of an earlier process.
  """

  def __init__(self, total: int, name: str, log_path: str | os.PathLike | None, stream: TextIO | None = None,
               *, every_seconds: float = EVERY, window: int = 50, activity: Callable[[], str] | None = None):
    """activity: what is done just now, in a word, for steps that take long."""
    self.total, self.name, self.every_seconds = total, name, every_seconds
    self.stream = stream if stream is not None else sys.stdout
    self._terminal = _is_terminal(self.stream)
    self._times = collections.deque(maxlen=window)  # (clock, done)
    self._printed = self._begun = -math.inf
    self._pending, self._line, self._activity = None, '', activity or (lambda: '')
    self._log = None
    if log_path is not None:
      disk.make(os.path.dirname(log_path))
      self._log = open(log_path, 'a', encoding='utf-8', errors='replace')

  def start(self, done: int, **facts: Any) -> 'Progress':
    """Before the first update: so much stands already, and the first unit is under way."""
    with _lock:
      self._line, self._printed = self.line(done, facts), time.monotonic()
      self._begun = self._printed
      self.begin()
      self.show()
    return self

  def update(self, done: int, **facts: Any) -> None:
    """`done` units of `total` stand; `facts` are printed in the order given, for example accuracy=0.4, length=812."""
    now = time.monotonic()
    with _lock:
      self._times.append((now, done))
      self._line = line = self.line(done, facts)
      if self._log is not None:
        self._log.write(f'{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} {line}\n')
        self._log.flush()
      last = done >= self.total
      if self not in _under_way and not last:
        self.begin()
      if self._terminal:
        _show(self.stream, line)
        if last:
          self._keep(line)
      elif last or now - self._printed >= self.every_seconds:
        self._print(line, now)
      else:
        self._pending = line
      if last:
        self.end()

  def _keep(self, line: str) -> None:
    """The live line, for good."""
    global _live
    self.stream.write('\n')
    self.stream.flush()
    _live = None

  def _since(self) -> float:
    """When what is done now began."""
    return self._times[-1][0] if self._times else self._begun

  def _now(self) -> str:
    """The line, with what is done at the moment and for how long there has been no other."""
    since, activity = time.monotonic() - self._since(), self._activity()
    return f'{self._line}  {activity or "now"} {metrics.duration(since)}' if since >= 2 else self._line

  def show(self) -> None:
    if self._terminal and self._line:
      _show(self.stream, self._now())

  def beat(self) -> None:
    self.show()
    now_, since = time.monotonic(), self._since()
    if not self._terminal and now_ - self._printed >= (self.every_seconds if now_ - since < 60 else LATER):
      self._print(self._now(), now_)

  def line(self, done: int, facts: Mapping[str, Any]) -> str:
    share = 100 * done / self.total if self.total else 100.0
    parts = [f'{self.name} {done}/{self.total}', f'{share:.0f}%', f'{metrics.duration(self.seconds_left())} left']
    return '  '.join(parts + [f'{_fact(value)} {name}' if '/' in name else f'{name} {_fact(value)}'
                              for name, value in facts.items()])

  def seconds_left(self) -> float | None:
    """None before two updates, or while nothing moves."""
    if not self._times:
      return None
    (first, done_then), (now, done) = self._times[0], self._times[-1]
    if done >= self.total:
      return 0.0
    if done <= done_then or now <= first:
      return None
    return (self.total - done) * (now - first) / (done - done_then)

  def close(self) -> None:
    """Prints what was held back, so that the last update of a stopped run is seen too."""
    with _lock:
      if self._terminal and _live is self.stream and self in _under_way:
        _show(self.stream, self._line)
        self._keep(self._line)
      self.end()
      if self._pending is not None:
        self._print(self._pending, time.monotonic())
      if self._log is not None:
        self._log.close()
        self._log = None

  def _print(self, line: str, now: float) -> None:
    print(line, file=self.stream, flush=True)
    self._printed, self._pending = now, None


def _fact(value: Any) -> str:
  if isinstance(value, str) or value is None or isinstance(value, numbers.Integral):
    return str(value)
  try:
    number = float(value)
  except (TypeError, ValueError):
    return str(value)
  return f'{number:,.0f}' if abs(number) >= 1000 else f'{number:.4g}'
