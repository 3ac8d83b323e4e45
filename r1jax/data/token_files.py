"""Documents as token ids on disk: tokenised once, by as many processes as there are cores, then read by number.

A part is two files: NUMBER.array_record with a record a document (its ids, int32, little-endian), and NUMBER.npz,
written behind it, with what packing needs of each (tokens of the prompt, tokens in all) and how large the first one is.
Which documents a part holds follows from the source alone, so that no number of processes or hosts changes the order.

A process that tokenises is a plain subprocess that runs `serve`: multiprocessing's 'spawn' imports the main program,
and jax with it, in each of them.
"""

from concurrent import futures
import contextlib
import errno
import json
import os
import queue
import signal
import subprocess
import sys
from typing import Callable, Iterable, Iterator, NamedTuple

from array_record.python import array_record_data_source
from array_record.python import array_record_module
import numpy as np

from r1jax.data import documents as documents_lib
from r1jax.data import formats
from r1jax.data.tokenizer import Tokenizer
from r1jax.exceptions import UserError
from r1jax.metrics import replace_arrays

PART_BYTES = 32 << 20  # of a JSONL, a part: half a minute of one core
PROCESSES = 32  # at most, a host: 0.2 GB each
_OPTIONS = 'group_size:1,zstd:1'  # a document is read alone

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# '-c' puts the current directory first on the path, where a file named math.py may lie.
_SERVE = (f'import sys; sys.path[:] = [{_ROOT!r}] + [p for p in sys.path if p]; '
          'from r1jax.data import token_files; token_files.serve()')


def _paths(directory: str, number: int) -> tuple[str, str]:
  return tuple(os.path.join(directory, f'{number:05d}.{ending}') for ending in ('array_record', 'npz'))


def write_part(directory: str, number: int, texts: Iterable[tuple[str, str]], tokenizer: Tokenizer,
               stop: Callable[[], bool] = lambda: False) -> int:
  """Tokenises (prompt, completion) texts into a part, whole or not at all; returns how many they were, 0 where it was
  left in the middle.

  stop: asked before each document; where it is true nothing is left of the part.

  Raises:
    OSError: it cannot be written.
  """
  path, index = _paths(directory, number)
  temporary, lengths = f'{path}.{os.getpid()}.tmp', []
  try:
    writer = array_record_module.ArrayRecordWriter(temporary, _OPTIONS)
    try:
      for prompt, completion in texts:
        if stop():
          return 0
        prompt, completion = formats.encode(tokenizer, prompt, completion)
        lengths.append((len(prompt), len(prompt) + len(completion)))
        writer.write(np.asarray(prompt + completion, '<i4').tobytes())
        if not writer.ok():  # why not, close() says
          break
    finally:
      writer.close()
    with open(temporary, 'rb') as f:
      os.fsync(f.fileno())
      size = os.fstat(f.fileno()).st_size
    os.replace(temporary, path)
  except RuntimeError as e:  # the library's, which has the system's reason in its text
    number = next((number for number in errno.errorcode if os.strerror(number) in str(e)), errno.EIO)
    raise OSError(number, os.strerror(number), path) from e
  finally:
    if os.path.exists(temporary):
      os.remove(temporary)
  replace_arrays(index, lengths_Nx2=np.asarray(lengths, np.int32).reshape(-1, 2), size=np.int64(size))
  return len(lengths)


def read_index(directory: str, number: int) -> np.ndarray | None:
  """[N, 2] int32 of a part: tokens of each document's prompt, and in all; None where the part is not whole."""
  path, index = _paths(directory, number)
  try:
    with np.load(index) as found:
      whole = int(found['size']) == os.path.getsize(path)
      return found['lengths_Nx2'] if whole else None
  except Exception:  # pylint: disable=broad-except  what a torn file raises depends on where it is torn
    return None


class _Shard(NamedTuple):
  """What array_record takes in place of a path, so that it opens no file before it is read from."""
  filename: str
  skip: int
  take: int
  examples_in_shard: int


class Documents:
  """Documents by number. Of each only two lengths are held, of its tokens nothing.

  Attributes:
    prompts_N: tokens of its prompt, int32.
    totals_N: tokens of prompt and completion, int32.
  """

  def __init__(self, directory: str, parts: list[np.ndarray]):
    """parts: what read_index gives of each part, in order."""
    self._directory = directory
    whole = np.concatenate([np.zeros((0, 2), np.int32), *parts])
    self.prompts_N, self.totals_N = whole[:, 0], whole[:, 1]
    shards = [_Shard(_paths(directory, number)[0], 0, len(part), len(part)) for number, part in enumerate(parts)
              if len(part)]
    self._source = array_record_data_source.ArrayRecordDataSource(shards) if shards else ()

  def __len__(self) -> int:
    return len(self.totals_N)

  def read(self, numbers) -> dict[int, tuple[np.ndarray, int]]:
    """Number -> (ids, how many of them are the prompt's) of some documents.

    Raises:
      UserError: a file is other than it was written.
    """
    numbers = [int(number) for number in numbers]
    if not numbers:
      return {}
    try:
      found = [np.frombuffer(record, '<i4') for record in self._source.__getitems__(numbers)]
      torn = any(len(ids) != self.totals_N[number] for number, ids in zip(numbers, found))
    except (RuntimeError, ValueError, IndexError, OSError) as e:
      torn = ' '.join(str(e).split())[:200] or type(e).__name__
    if torn:
      said = f' ({torn})' if isinstance(torn, str) else ''
      raise UserError(f'{self._directory} is torn{said}: remove it, and the same command makes it again')
    return {number: (ids, int(self.prompts_N[number])) for number, ids in zip(numbers, found)}


# --- processes


def write_parts(directory: str, jobs: list[tuple[int, str, int, int]], tokenizer: Tokenizer, *, processes: int,
                stop: Callable[[], bool]) -> Iterator[int]:
  """Parts of JSONL files, in processes; yields how many documents each has, as they end.

  Args:
    jobs: (number of the part, path, first byte, byte behind it).
    stop: asked all the time: parts that are under way then are left, of which a .tmp may stay.

  Raises:
    UserError: a line that is no document; a process died.
  """
  if processes < 2:
    for number, *where in jobs:
      if not stop():
        yield write_part(directory, number, documents_lib.from_jsonl(*where), tokenizer, stop)
    return
  idle, all_ = queue.SimpleQueue(), [_Process(directory, tokenizer.directory) for _ in range(processes)]
  for process in all_:
    idle.put(process)

  def make(job) -> int | None:
    process = idle.get()
    try:
      return None if stop() else process.make(job)
    finally:
      idle.put(process)

  threads = futures.ThreadPoolExecutor(processes)
  try:
    left = {threads.submit(make, job) for job in jobs}
    while left and not stop():
      ended, left = futures.wait(left, 0.2, futures.FIRST_COMPLETED)
      yield from (done.result() for done in ended if done.result() is not None)
  finally:
    for process in all_:
      process.close()
    threads.shutdown(cancel_futures=True)


class _Process:
  """One child process: a line of JSON in, a line of JSON out."""

  def __init__(self, directory: str, tokenizer: str):
    self._child = subprocess.Popen([sys.executable, '-c', _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
    self._settings = {'directory': directory, 'tokenizer': tokenizer}

  def make(self, job) -> int:
    try:
      self._child.stdin.write(json.dumps({**self._settings, 'job': job}) + '\n')
      self._child.stdin.flush()
      reply = self._child.stdout.readline()
    except (OSError, ValueError):  # it has ended, or was closed
      reply = ''
    if not reply:
      raise UserError(f'a process that tokenises ended with {self._child.wait()} (-9: the system wanted its memory): '
                      'the same command goes on')
    reply = json.loads(reply)
    if 'user' in reply:
      raise UserError(reply['user'])
    if 'system' in reply:
      raise OSError(*reply['system'])
    return reply['documents']

  def close(self) -> None:
    self._child.kill()
    self._child.wait()
    for pipe in (self._child.stdin, self._child.stdout):
      with contextlib.suppress(OSError):  # what it has not read
        pipe.close()


def serve() -> None:
  """What a process does: a part for every line that it reads, until there is none."""
  for number in (signal.SIGINT, signal.SIGTERM):  # a terminal and SLURM tell the parent too, which ends this process
    signal.signal(number, signal.SIG_IGN)
  parent, replies, loaded = os.getppid(), os.fdopen(os.dup(1), 'w'), {}
  os.dup2(2, 1)  # what a library prints is no reply

  def watched(texts):
    for text in texts:
      if os.getppid() != parent:
        raise SystemExit('whose part this was has ended')
      yield text

  for line in sys.stdin:
    asked = json.loads(line)
    number, *where = asked['job']
    try:
      if asked['tokenizer'] not in loaded:
        loaded[asked['tokenizer']] = Tokenizer(asked['tokenizer'])
      texts = watched(documents_lib.from_jsonl(*where))
      reply = {'documents': write_part(asked['directory'], number, texts, loaded[asked['tokenizer']])}
    except UserError as e:
      reply = {'user': str(e)}
    except OSError as e:
      reply = {'system': [e.errno, e.strerror, e.filename]}
    replies.write(json.dumps(reply) + '\n')
    replies.flush()
