"""A judge's replies on disk, and what they have cost.

DIR/HOST-PID-TIME.jsonl, a line a reply: {"key", "reply", "tokens"}; key is the sha256 of what was asked. Each process
appends to a file of its own and reads everybody's, so that several may work at once, on a shared disk too. A line is
written by one call: a kill leaves at most a last half line, behind which nobody writes. A line without a reply is an
answer that could not be read, and was paid for.
"""

import glob
import json
import os
import socket
import threading
import time

from r1jax.exceptions import RunStopped, UserError


class Answers:
  """key -> reply, for several threads."""

  def __init__(self, directory: str = '', *, max_calls: int = 0, max_tokens: int = 0):
    """directory: '': nothing is kept. max_calls, max_tokens: what all starts on it may cost together; 0: any number.
    """
    self.directory = directory
    self._most = {'max_calls': max_calls, 'max_tokens_total': max_tokens}
    self._spent = {'max_calls': 0, 'max_tokens_total': 0}
    self._flying = 0  # calls under way
    self._lock = threading.Condition()
    self._places: dict[str, tuple[str, int]] = {}  # key -> file, where its line begins
    self._read: dict[str, int] = {}  # file -> bytes of it that are known
    self._file, self._path = None, ''
    self.refresh()

  @property
  def calls(self) -> int:
    return self._spent['max_calls']

  @property
  def tokens(self) -> int:
    return self._spent['max_tokens_total']

  def refresh(self) -> None:
    """What other processes have written meanwhile is known, too."""
    if not self.directory:
      return
    with self._lock:
      for path in sorted(glob.glob(os.path.join(glob.escape(self.directory), '*.jsonl'))):
        if path != self._path:
          self._learn(path)

  def _learn(self, path: str) -> None:
    start = self._read.get(path, 0)
    if os.path.getsize(path) <= start:
      return
    with open(path, 'rb') as f:
      f.seek(start)
      for line in f:
        if not line.endswith(b'\n'):  # half a line: of a killed process, or it is being written
          break
        try:
          self._count(json.loads(line), path, start)
        except (ValueError, KeyError, TypeError, AttributeError):
          pass  # no line of ours: what it may have held is asked again
        start += len(line)
    self._read[path] = start

  def _count(self, row: dict, path: str, start: int) -> None:
    tokens = int(row['tokens'])
    if path and 'reply' in row:
      self._places.setdefault(row['key'], (path, start))
    self._spent['max_calls'] += 1
    self._spent['max_tokens_total'] += tokens

  def get(self, key: str) -> str | None:
    """The reply; None where none is known."""
    with self._lock:
      place = self._places.get(key)
    if place is None:
      return None
    try:
      with open(place[0], 'rb') as f:
        f.seek(place[1])
        return str(json.loads(f.readline())['reply'])
    except (OSError, ValueError, KeyError):  # somebody has removed it since
      return None

  def begin(self) -> None:
    """A call begins, of which `end` is told, whatever becomes of it.

    Raises:
      RunStopped: a limit is reached, what is under way counted in.
    """
    with self._lock:
      for name, most in self._most.items():
        spent = self._spent[name] + (self._flying if name == 'max_calls' else 0)
        if most and spent >= most:
          kept = f'what was judged is kept in {self.directory}, and ' if self.directory else ''
          raise RunStopped(f'judge.{name}={most} is reached: {kept}with a higher one the same command goes on')
      self._flying += 1

  def end(self) -> None:
    with self._lock:
      self._flying -= 1
      self._lock.notify_all()

  def wait(self, seconds: float) -> None:
    """Until no call is under way."""
    with self._lock:
      self._lock.wait_for(lambda: not self._flying, seconds)

  def add(self, key: str, reply: str | None, tokens: int) -> None:
    """A call was answered; reply: None for what cannot be read.

    Raises:
      UserError: the disk takes no more.
    """
    row = {'key': key, **({} if reply is None else {'reply': reply}), 'tokens': tokens}
    with self._lock:
      path, start = '', 0
      if self.directory:
        try:
          path, start = self._write(json.dumps(row).encode() + b'\n')
        except OSError as e:
          raise UserError(f"the judge's answers cannot be kept in {self.directory}: {e.strerror}") from e
      self._count(row, path, start)

  def _write(self, line: bytes) -> tuple[str, int]:
    """(file, where the line begins), once it is on disk."""
    if self._file is None:
      os.makedirs(self.directory, exist_ok=True)
      self._path = os.path.join(self.directory, f'{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl')
      self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)
    start = os.fstat(self._file).st_size
    if os.write(self._file, line) != len(line):  # a full disk took half of it: nobody writes behind that
      os.close(self._file)
      self._file = None
      raise OSError(28, os.strerror(28))
    os.fsync(self._file)
    return self._path, start
