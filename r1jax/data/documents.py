"""The JSONL of documents that SFT learns from and rejection sampling writes, read a line at a time: none is ever held.

Light to import, as each process that tokenises does it (token_files.py).
"""

import array
import json
from typing import Iterator

import numpy as np

from r1jax.exceptions import UserError


def from_jsonl(path: str, start: int = 0, end: int | None = None) -> Iterator[tuple[str, str]]:
  """(prompt, completion) of every line {"prompt", "completion"}, one after the other: no more than a line is held.

  Args:
    start, end: only the lines whose first byte is one of these, so that several may read a file at once.

  Raises:
    UserError: not readable, or a line that is not of that form, by its number.
  """
  try:
    with open(path, 'rb') as f:
      if start:  # a line that begins before is another reader's
        f.seek(start - 1)
        f.readline()
      at = f.tell()
      while (end is None or at < end) and (line := f.readline()):
        if line.strip():
          yield parse(line, path, at)
        at += len(line)
  except OSError as e:
    raise UserError(f'{path} cannot be read: {e}') from e


def parse(line: bytes, path: str, at: int) -> tuple[str, str]:
  """The line of a file that begins at byte `at`; raises as from_jsonl."""
  try:
    row = json.loads(line.decode())
    prompt, completion = row['prompt'], row['completion']
    for text in (prompt, completion):
      if not isinstance(text, str):
        raise TypeError(f'{text!r:.40} is no text')
      text.encode()  # half a surrogate pair is none either, and no tokenizer takes it
    return prompt, completion
  except (ValueError, KeyError, TypeError, RecursionError) as e:
    with open(path, 'rb') as f:
      number, left = 1, at
      while left and (block := f.read(min(left, 1 << 20))):
        number, left = number + block.count(b'\n'), left - len(block)
    raise UserError(f'{path}:{number} is not {{"prompt": text, "completion": text}}: {e}') from e


class Lines:
  """The lines of a file by number, blank ones aside: of each only where it begins is held, 8 bytes."""

  def __init__(self, path: str):
    starts, at = array.array('q'), 0
    self._file = open(path, 'rb')
    for line in self._file:
      if line.strip():
        starts.append(at)
      at += len(line)
    self._starts_N = np.frombuffer(starts, np.int64)

  def __len__(self) -> int:
    return len(self._starts_N)

  def __getitem__(self, number: int) -> tuple[bytes, int]:
    """(the line, its first byte in the file)."""
    at = int(self._starts_N[number])
    self._file.seek(at)
    return self._file.readline(), at

  def cut(self, size: int) -> list[range]:
    """Numbers of neighbours, cut where their lines have `size` bytes."""
    ends = np.flatnonzero(np.diff(self._starts_N // size)) + 1
    bounds = [0, *ends.tolist(), len(self)]
    return [range(first, behind) for first, behind in zip(bounds, bounds[1:])]

  def close(self) -> None:
    self._file.close()
