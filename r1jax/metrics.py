"""What a run writes down while it goes: metrics.jsonl, TensorBoard events and samples.

`metrics.jsonl` is the record: one object a line, `step` and `stage` in each, on disk before `write`
returns. TensorBoard is a view of it. After a resume `truncate` takes away what lies past the restored
step, so that each (stage, step) occurs once. Names and units are listed in docs/metrics.md.
"""

import contextlib
import io
import itertools
import json
import logging
import math
import numbers
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from r1jax import disk
from r1jax import trackers
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_EVENT_FILE = itertools.count()
# Called of each row on disk with (path of metrics.jsonl, step, values), and with (path, None, {}) where rows went.
observers: list[Callable[[pathlib.Path, int | None, Mapping[str, Any]], None]] = []


def plain(value: Any, name: str = 'value') -> Any:
  """`value` in types that strict JSON knows: NaN and infinity become None, array scalars Python numbers."""
  if value is None or isinstance(value, (bool, str)):
    return value
  if isinstance(value, Mapping):
    return {str(key): plain(item, f'{name}.{key}') for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(item, name) for item in value]
  if isinstance(value, numbers.Integral):  # numpy's integers register here
    return int(value)
  try:
    number = float(value)
  except (TypeError, ValueError) as error:
    raise TypeError(f'{name} is neither a scalar nor a string: {type(value).__name__}') from error
  return number if math.isfinite(number) else None


def encode(row: Mapping[str, Any]) -> bytes:
  """One row as a line of UTF-8 JSON. A lone surrogate in model text becomes '?': UTF-8 cannot hold it."""
  text = json.dumps(plain(row, 'row'), ensure_ascii=False, allow_nan=False)
  return text.encode('utf-8', errors='replace') + b'\n'


def replace_file(path: str | os.PathLike, data: bytes) -> None:
  """Writes `data` to `path` so that a reader, or a crash, sees the old file or the new one, never half of it.

  Raises:
    Gone: a watched directory that it lies in is not what it was (disk.py).
  """
  path = pathlib.Path(path)
  disk.make(path.parent)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with open(temporary, 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError:  # of a full disk nothing is to stay
    with contextlib.suppress(OSError):
      os.remove(temporary)
    raise


def replace_arrays(path: str | os.PathLike, **arrays) -> None:
  """Writes a .npz of arrays, by replace_file."""
  import numpy as np  # what only reads metrics does without
  out = io.BytesIO()
  np.savez(out, **arrays)
  replace_file(path, out.getvalue())


class Corrupt(UserError, ValueError):
  """A line of a .jsonl file that is no row: a disk or a person has changed it."""


def _refuse(constant: str) -> None:
  raise ValueError(f'{constant} is not JSON')


def _row(line: bytes) -> dict:
  row = json.loads(line.decode('utf-8'), parse_constant=_refuse)
  if not isinstance(row, dict):
    raise ValueError(f'a {type(row).__name__}, not an object')
  return row


def read(path: str | os.PathLike) -> list[dict]:
  """The rows of a .jsonl file.

  A last line without its newline was torn by a crash, or is just being written, and is dropped.

  Raises:
    Corrupt: another line is not a JSON object.
  """
  rows = []
  for number, line in enumerate(disk.patiently(pathlib.Path(path).read_bytes).split(b'\n')[:-1], 1):
    try:
      rows.append(_row(line))
    except ValueError as error:
      raise Corrupt(f'{path}, line {number}: corrupt ({error}): take that line out, or restore the file') from error
  return rows


class Writer:
  """Appends rows to `workdir/metrics.jsonl` and their numbers to `workdir/tensorboard/`.

  Lines that a disk has torn are moved to metrics.jsonl.torn when it is opened: nothing but the row is lost.
  """

  def __init__(self, workdir: str | os.PathLike, stage: str, tensorboard: bool = True):
    self.stage = stage
    self.path = pathlib.Path(workdir) / 'metrics.jsonl'
    disk.make(self.path.parent)
    self._tensorboard_dir = self.path.parent / 'tensorboard' if tensorboard else None
    if disk.exists(self.path):
      self._drop_torn_lines()
    self._open(purge_step=None)

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """One row {step, stage, **values}, on disk when this returns.

    Raises:
      Gone: a watched directory that it lies in is not what it was.
    """
    taken = {'step', 'stage'} & set(values)
    if taken:
      raise ValueError(f'{sorted(taken)} are set by the writer, not among the values')
    values = {name: plain(value, name) for name, value in values.items()}
    nested = [name for name, value in values.items() if isinstance(value, (dict, list))]
    if nested:
      raise TypeError(f'{nested} are not scalars; a row of metrics is flat')
    self._see_that_it_stands()
    self._file.write(encode({'step': int(step), 'stage': self.stage, **values}))
    self._file.flush()
    os.fsync(self._file.fileno())
    trackers.write(str(self.path.parent), self.stage, int(step), values)
    for seen in list(observers):
      seen(self.path, int(step), values)
    if self._events is None:
      return
    # Rows of two models may share a step; TensorBoard would draw them as one zigzag line.
    prefix = f'{values["model"]}/' if values.get('model') else ''
    for name, value in values.items():
      if isinstance(value, (int, float)):
        self._events.add_scalar(prefix + name, float(value), int(step))

  def truncate(self, step: int) -> None:
    """Removes this stage's rows past `step`, from which a restored run counts on; other stages' rows stay."""
    self.close()
    rows = read(self.path)
    kept = [row for row in rows if row.get('stage') != self.stage or row.get('step', 0) <= step]
    if len(kept) < len(rows):
      replace_file(self.path, b''.join(encode(row) for row in kept))
    self._open(purge_step=step + 1)  # TensorBoard hides events at or past purge_step
    for seen in list(observers):
      seen(self.path, None, {})

  def amend(self, step: int, values: Mapping[str, Any]) -> None:
    """Adds values to this stage's row of `step`, its last one, in one rename."""
    self.close()
    *rows, last = read(self.path)
    assert (last['stage'], last['step']) == (self.stage, step), (last['stage'], last['step'])
    whole = {**last, **{name: plain(value, name) for name, value in values.items()}}
    replace_file(self.path, b''.join(encode(row) for row in [*rows, whole]))
    self._open(purge_step=None)
    whole = {name: value for name, value in whole.items() if name not in ('step', 'stage')}
    trackers.write(str(self.path.parent), self.stage, int(step), values)
    for seen in list(observers):
      seen(self.path, None, {})
      seen(self.path, int(step), whole)
    for name in values if self._events is not None else ():
      if isinstance(whole[name], (int, float)):
        self._events.add_scalar(name, float(whole[name]), int(step))

  def close(self) -> None:
    self._file.close()
    if self._events is not None:
      self._events.close()
      self._events = None

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _open(self, purge_step: int | None) -> None:
    self._file = open(self.path, 'ab')
    self._events = None
    if self._tensorboard_dir is not None:
      import tensorboardX  # costs a second, and a run without event files need not have it
      # Event files are named by the second; the suffix keeps two of one second from overwriting each other.
      self._events = tensorboardX.SummaryWriter(
          str(self._tensorboard_dir), purge_step=purge_step, flush_secs=30,
          filename_suffix=f'.{os.getpid()}.{next(_EVENT_FILE):04d}')

  def _see_that_it_stands(self) -> None:
    """Rows written to a file that has no name are lost."""
    disk.check(self.path)
    if os.fstat(self._file.fileno()).st_nlink == 0 or not disk.exists(self.path):
      log.warning('%s was removed while it was written to: begun anew, without the rows that were in it', self.path)
      self._file.close()
      self._file = open(self.path, 'ab')

  def _drop_torn_lines(self) -> None:
    """A last line that has no newline is cut off, as the next row would be glued to it; others that are no rows go to
    metrics.jsonl.torn."""
    data = disk.patiently(self.path.read_bytes)
    *lines, rest = data.split(b'\n')
    kept, torn = [], []
    for number, line in enumerate(lines, 1):
      try:
        _row(line)
        kept.append(line)
      except ValueError:
        torn.append((number, line))
    if torn:
      aside = self.path.with_name(f'{self.path.name}.torn')
      log.warning('%s: %s corrupt: moved to %s, the other %d rows stand', self.path, ', '.join(
          f'line {number}' for number, _ in torn) + (' is' if len(torn) == 1 else ' are'), aside, len(kept))
      with open(aside, 'ab') as file:
        file.writelines(line + b'\n' for _, line in torn)
    if torn or rest:
      replace_file(self.path, b''.join(line + b'\n' for line in kept))


def duration(seconds: float | None) -> str:
  """42 s, 3 min 20 s, 5 h 07 min, 3 d 04 h; '?' when not known."""
  if seconds is None or not math.isfinite(seconds):
    return '?'
  whole = int(round(seconds))
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60:02d} s'
  if whole < 86400:
    return f'{whole // 3600} h {whole % 3600 // 60:02d} min'
  return f'{whole // 86400} d {whole % 86400 // 3600:02d} h'


def write_samples(workdir: str | os.PathLike, step: int, rows: Iterable[Mapping[str, Any]]) -> pathlib.Path:
  """Writes `workdir/samples/step_XXXXXXXX.jsonl`, whole or not at all."""
  path = pathlib.Path(workdir) / 'samples' / f'step_{step:08d}.jsonl'
  rows = list(rows)
  replace_file(path, b''.join(encode(row) for row in rows))
  trackers.write_samples(str(workdir), step, rows)
  return path


def samples_step(path: str | os.PathLike) -> int | None:
  """The step that a samples file was written at; None for any other file."""
  match = re.fullmatch(r'step_(\d+)\.jsonl', pathlib.Path(path).name)
  return int(match[1]) if match else None


def truncate_samples(workdir: str | os.PathLike, step: int) -> None:
  """Removes the samples of later steps, which a restored run draws again."""
  for path in sorted((pathlib.Path(workdir) / 'samples').glob('step_*.jsonl')):
    if (samples_step(path) or 0) > step:
      path.unlink()


class Clock:
  """Wall time by named spans. A span inside another counts for itself alone,
  what no span holds for 'other': they add up."""

  def __init__(self):
    self._seconds, self._names, self._mark = {}, ['other'], time.monotonic()

  def _count(self) -> None:
    now = time.monotonic()
    self._seconds[self._names[-1]] = self._seconds.get(self._names[-1], 0.0) + now - self._mark
    self._mark = now

  @contextlib.contextmanager
  def span(self, name: str):
    self._count()
    self._names.append(name)
    try:
      yield
    finally:
      self._count()
      self._names.pop()

  def lap(self) -> dict[str, float]:
    """Seconds of each span since the last lap."""
    self._count()
    seconds, self._seconds = self._seconds, {}
    return seconds

  @property
  def span_now(self) -> str:
    """The innermost span that is open."""
    return self._names[-1]
