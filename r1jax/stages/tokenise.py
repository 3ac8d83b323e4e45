"""A stage's documents as token ids in its work dir: tokenised once, each host its share, and read by number ever after.

tokens/made_from.json says what they were made from; where that is something else now, or a part is torn, it is made
again. What an interrupted start has made stands.
"""

import json
import logging
import os
import shutil
import time
from typing import Callable, Iterable, Iterator, NamedTuple

from r1jax import stopping
from r1jax.data import documents as documents_lib
from r1jax.data import token_files
from r1jax.data.tokenizer import Tokenizer
from r1jax.engine import json_files
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax import terminal
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

LAYOUT = 1  # of the files: another one makes them again


class Jsonl(NamedTuple):
  """A file of {"prompt", "completion"}, the same for every host."""
  path: str

  def __iter__(self) -> Iterator[tuple[str, str]]:
    return documents_lib.from_jsonl(self.path)

  def made_from(self) -> dict:
    try:
      found = os.stat(self.path)
    except OSError as e:
      raise UserError(f'{self.path} cannot be read: {e.strerror}') from e
    return {'bytes': found.st_size, 'mtime_ns': found.st_mtime_ns}

  def jobs(self) -> list[tuple[int, str, int, int]]:
    """Of each part: its number, and which bytes of the file its documents begin at."""
    size = self.made_from()['bytes']
    return [(number, self.path, start, min(start + token_files.PART_BYTES, size))
            for number, start in enumerate(range(0, size, token_files.PART_BYTES))]


class Generated(NamedTuple):
  """Documents that the program itself writes, few enough for one process."""
  texts: Callable[[], Iterable[tuple[str, str]]]
  facts: dict  # what they follow from

  def __iter__(self) -> Iterator[tuple[str, str]]:
    return iter(self.texts())

  def made_from(self) -> dict:
    return json.loads(json.dumps(self.facts))

  def jobs(self) -> list[tuple[int]]:
    return [(0,)]


def documents(source: Jsonl | Generated, tokenizer: Tokenizer, workdir: str, name: str) -> token_files.Documents:
  """All documents of a source, on every host; what is not on disk yet is made first.

  Args:
    workdir: of the stage, the same for all hosts.
    name: of the stage, for messages.

  Raises:
    UserError: a line that is no document, a file that changes meanwhile or is another on another host.
    Stopped: after SIGTERM.
  """
  directory = os.path.join(workdir, 'tokens')
  made_from = _together(name, lambda: {'layout': LAYOUT, 'tokenizer': tokenizer.digest(), **source.made_from()})
  size = made_from.get('bytes', 0) % (1 << 30)  # hosts tell each other 32 bits
  if mesh_lib.any_process(mesh_lib.min_over_hosts(size) != size):
    raise UserError(f'{source.path} is not the same file on every host: here it has {made_from["bytes"]} bytes, on '
                    'another host fewer or more; put one file where all of them read it')
  _together(name, lambda: _clear(directory, made_from, name) if mesh_lib.first_process() else None)
  _together(name, lambda: _make(source, tokenizer, directory, name, made_from))
  if mesh_lib.any_process(hosts.stop_heard()):
    raise stopping.Stopped(f'{name} stopped while it tokenised')
  parts = [token_files.read_index(directory, job[0]) for job in source.jobs()]
  if mesh_lib.any_process(any(part is None for part in parts)):
    raise UserError(f'{directory} has not what other hosts have written there: --workdir must be one directory, which '
                    'all hosts share')
  return token_files.Documents(directory, parts)


def _together(name: str, do: Callable):
  """What do() gives, when every host has done its own; where one fails all do, or they would wait for it."""
  found = fault = None
  try:
    found = do()
  except (UserError, OSError) as e:
    fault = e
  if mesh_lib.any_process(fault is not None):
    raise fault or UserError(f'{name}: another host could not tokenise its share: its own log says why')
  return found


def remove(workdir: str) -> None:
  """For a stage that is finished."""
  mesh_lib.barrier('nobody reads tokens any more')
  if mesh_lib.first_process():
    shutil.rmtree(os.path.join(workdir, 'tokens'), ignore_errors=True)


def _clear(directory: str, made_from: dict, name: str) -> None:
  """Leaves what was made from the same, and what says so."""
  path = os.path.join(directory, 'made_from.json')
  try:
    before = json_files.read(path, {})
  except UserError:
    before = {'layout': 'torn'}
  if before and before != made_from:
    said = (f'{key} was {before.get(key)!r}, now {made_from.get(key)!r}' for key in sorted({*before, *made_from})
            if before.get(key) != made_from.get(key))
    log.warning('%s: %s: its documents are tokenised again', name, '; '.join(said))
  if before != made_from:
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, exist_ok=True)
    json_files.write(path, made_from)
  for left in os.listdir(directory):
    if left.endswith('.tmp'):  # of a process that was killed
      os.remove(os.path.join(directory, left))


def _make(source, tokenizer: Tokenizer, directory: str, name: str, made_from: dict) -> None:
  """This host's parts, those that stand aside."""
  jobs = [job for job in source.jobs() if mesh_lib.is_local(job[0])]
  missing = [job for job in jobs if token_files.read_index(directory, job[0]) is None]
  if not missing:
    return
  torn = [job[0] for job in missing if os.path.exists(os.path.join(directory, f'{job[0]:05d}.npz'))]
  if torn:
    log.warning('%s: part %s of its tokens is torn: made again', name, ', '.join(map(str, torn)))
  elif len(missing) < len(jobs):
    log.info('%s: %d of %d parts of its tokens stand: goes on', name, len(jobs) - len(missing), len(jobs))
  start, made = time.monotonic(), []
  if isinstance(source, Generated):
    made.append(token_files.write_part(directory, 0, source, tokenizer, hosts.stop_heard))
  else:
    processes = min(len(missing), os.cpu_count() or 1, token_files.PROCESSES)
    progress = terminal.Progress(len(missing), f'{name}: tokenising, parts', None)
    for documents_of_part in token_files.write_parts(directory, missing, tokenizer, processes=processes,
                                                      stop=hosts.stop_heard):
      made.append(documents_of_part)
      if len(missing) > 1:
        progress.update(len(made), documents=sum(made))
    progress.close()
  if hosts.stop_heard():  # a part that was left in the middle is made again
    return
  if {**made_from, **source.made_from()} != made_from:
    raise UserError(f'{source.path} was changed while it was read: start again when it is whole')
  log.info('%s: %d documents tokenised in %.0f s', name, sum(made), time.monotonic() - start)
