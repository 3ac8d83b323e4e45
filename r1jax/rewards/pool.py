"""A batch of completions -> scores, in order, with a wall clock that no completion can stop.

math-verify's own timeout is signal.alarm: it raises outside the main thread, where every item was once scored 0
(verl#5635), and Python code cannot interrupt a long C call. So what needs a clock is judged in processes of our own,
killed at the deadline and started again. They are plain subprocesses that run `serve`, not multiprocessing's: 'spawn'
imports the main program, and jax with it, in every worker.
"""

import atexit
from concurrent import futures
import functools
import json
import logging
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Iterable

from r1jax import own as own_lib
from r1jax import rewards
from r1jax.data import long_numbers
from r1jax.rewards import Score

log = logging.getLogger('r1jax')

START_SECONDS = 60.0  # for the first verdict of a worker: it imports sympy
GRACE_SECONDS = 2.0  # past the parent's deadline, a worker ends itself
MEMORY_BYTES = 2 << 30  # a worker's address space; an import of math-verify takes a tenth of it
STAYS = ('question', 'expression', 'reference', 'where')  # what of a row no judge of ours reads

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# '-c' puts the current directory first on the path, where a file named math.py may lie.
_SERVE = (f'import sys; sys.path[:] = [{_ROOT!r}] + [p for p in sys.path if p]; '
          'from r1jax.rewards import pool; pool.serve()')


class Worker:
  """One child process: a JSON line in, a JSON line out."""

  def __init__(self):
    self.process, self.checked = None, set()  # rewards whose canary was known in this batch

  def ask(self, item: tuple[str, str, dict], seconds: float, *, load: bool = False,
          source: bytes | None = None) -> Score:
    """The child's score; with `load`, right as soon as it has imported the reward: from `source`, where that is a
    user's file.

    Raises:
      TimeoutError: after `seconds`; EOFError: the child died. It must be killed after either.
    """
    if self.process is None:
      self.process = subprocess.Popen([sys.executable, '-c', _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, bufsize=0)
      for pipe in (self.process.stdin, self.process.stdout):
        os.set_blocking(pipe.fileno(), False)
    name, completion, row = item
    stays = ('where',) if getattr(rewards.get(name), 'OWN', False) else STAYS  # a user's may read any column
    row = {k: v for k, v in row.items() if k not in stays}
    request = {'name': name, 'completion': completion, 'row': row, 'seconds': seconds, 'load': load,
               **({'source': source.decode('latin-1')} if source is not None else {})}  # any bytes are some text
    with long_numbers.allowed():
      request = json.dumps(request, default=str)
    reply = self._exchange(request.encode() + b'\n', time.monotonic() + seconds)
    return Score(**json.loads(reply))

  def _exchange(self, request: bytes, end: float) -> bytes:
    """Writes and reads as the pipes allow, so that a child that reads nothing cannot block us either."""
    into, out, reply = self.process.stdin.fileno(), self.process.stdout.fileno(), b''
    poll = select.poll()
    poll.register(out, select.POLLIN)
    poll.register(into, select.POLLOUT)
    while not reply.endswith(b'\n'):
      left = end - time.monotonic()
      ready = dict(poll.poll(left * 1000)) if left > 0 else {}
      if left <= 0:
        raise TimeoutError
      try:
        if request and into in ready:
          request = request[os.write(into, request):]
          if not request:
            poll.unregister(into)
        if out in ready:
          got = os.read(out, 65536)
          if not got:
            raise EOFError
          reply += got
      except BrokenPipeError as e:
        raise EOFError from e
    return reply

  def kill(self):
    if self.process is not None:
      self.process.kill()
      self.process.wait()
      self.process.stdin.close()
      self.process.stdout.close()
    self.process, self.checked = None, set()  # rewards whose canary was known in this batch


class Pool:
  """Scores batches. No process is started before a row comes that needs one.

  Attributes:
    errors: verdicts so far that judged nothing: 'error: ...' and 'timeout'. Its rate is a reason to stop a run.
    timeouts: those of them that were killed at the deadline.
  """

  def __init__(self, workers: int = 2, deadline: float = 2.0):
    """deadline: seconds on the wall for one verdict, where the reward has no deadline(row) of its own."""
    if workers < 1 or deadline <= 0:
      raise ValueError(f'{workers=} and {deadline=} must be positive')
    self.deadline, self.errors, self.timeouts = deadline, 0, 0
    self._workers = [Worker() for _ in range(workers)]
    self._lock = threading.Lock()  # callers may be threads; the workers are shared
    self._closing = False
    self._sources: dict[str, bytes | None] = {}  # of users' rewards, as this pool has first seen them

  def hold(self, names: Iterable[str]) -> None:
    """Rewards of users' files stay what they are now: no worker that is started later reads a file that was edited."""
    for name in names:
      if name not in self._sources:
        self._sources[name] = own_lib.source(name) if own_lib.names(name) else None

  def score(self, batch: list[tuple[str, str, dict]], *, count_errors: bool = True) -> list[Score]:
    """Scores of (reward's name, completion, row), in the order of the batch.

    A judge that fails yields an error and the rest of the batch is still scored. RuntimeError when a worker does not
    know the canary: then no verdict of this batch means anything.
    """
    scores = [self._here(*item) for item in batch]
    waiting = queue.SimpleQueue()
    for i, score in enumerate(scores):
      if score is None:
        waiting.put(i)
    with self._lock:
      self._judge(batch, scores, waiting)
      scores = [rewards.error('the judges were closed') if score is None else score for score in scores]
      if count_errors:
        self.errors += sum(s.reason == 'timeout' or s.reason.startswith('error') for s in scores)
        self.timeouts += sum(s.reason == 'timeout' for s in scores)
    return scores

  def _judge(self, batch, scores, waiting: queue.SimpleQueue):
    workers = self._workers[:waiting.qsize()]
    if not workers:
      return
    with futures.ThreadPoolExecutor(len(workers)) as threads:
      driven = [threads.submit(self._drive, worker, batch, scores, waiting) for worker in workers]
      try:
        for done in driven:
          done.result()
      finally:  # when one fails, or at Ctrl-C, the others must not go through the rest of the batch first
        while not waiting.empty():
          _next(waiting)

  def _here(self, name, completion, row) -> Score | None:
    """The verdict if this process may give it, else None."""
    module = rewards.get(name)
    try:
      return getattr(module, 'decide', module.score)(completion, row)
    except Exception as e:  # pylint: disable=broad-except; one sample's failure must not cost the batch
      return rewards.error(e)

  def _drive(self, worker: Worker, batch, scores, waiting):
    worker.checked = set()
    while not self._closing and (i := _next(waiting)) is not None:
      name, _, row = batch[i]
      seconds = seconds_of(name, row, self.deadline)
      # A worker may be killed from outside at any moment: each item gets a second one.
      for last in (False, True):
        try:
          if name not in worker.checked:
            self._check(worker, name)
          scores[i] = worker.ask(batch[i], seconds)
          break
        except TimeoutError:
          worker.kill()
          scores[i] = rewards.TIMEOUT
          break
        except EOFError:
          worker.kill()
          if self._closing:
            return
          if last:
            scores[i] = rewards.error('the judge died, twice')
        except (TypeError, ValueError, OSError) as e:
          # A row that is no JSON, a reply that is none, no process to be had.
          worker.kill()
          scores[i] = rewards.error(e)
          break

  def _check(self, worker: Worker, name: str):
    """A known-right completion, once a batch and after each start: were the judge broken, every batch would read as a
    policy that knows nothing. A worker that died between batches gets a second life."""
    canary, own = getattr(rewards.get(name), 'CANARY', None), getattr(rewards.get(name), 'OWN', False)
    self.hold([name] if own else [])
    for _ in range(2 if canary or own else 0):
      try:
        verdict = worker.ask((name, *(canary or ('', {}))), max(START_SECONDS, self.deadline), load=own,
                             source=self._sources.get(name))
        break
      except (TimeoutError, EOFError) as e:
        worker.kill()
        verdict = rewards.error(e)
        if self._closing:
          raise
    if own and verdict != rewards.CORRECT:
      worker.kill()
      raise RuntimeError(f'the reward {name!r} cannot be loaded by a judge: {verdict.reason}')
    if canary and verdict != rewards.CORRECT:
      worker.kill()
      raise RuntimeError(f'a known-right answer was judged {verdict.reason!r}: the reward {name!r} does not work here')
    worker.checked.add(name)

  def close(self):
    """Ends the judges. A batch that another thread has given them is not waited for: what of it is not judged by then
    has verdicts that are errors."""
    self._closing = True
    for process in [worker.process for worker in self._workers]:
      if process is not None:
        process.kill()
    with self._lock:
      for worker in self._workers:
        worker.kill()
      self._closing = False  # a batch that comes later has new ones

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


def seconds_of(name: str, row: dict, otherwise: float = 2.0) -> float:
  """The deadline of one verdict: the reward's own, else the pool's."""
  return getattr(rewards.get(name), 'deadline', lambda _: otherwise)(row)


def _next(waiting: queue.SimpleQueue) -> int | None:
  try:
    return waiting.get_nowait()
  except queue.Empty:
    return None


def check_rows(rows: list[dict]) -> None:
  """Every row can be graded, by the reward that it names (default math).

  Raises:
    ValueError: one cannot; with its 'where' (file and line) or its 'id'.
  """
  for number, reason in unreadable(rows):
    raise ValueError(f'{where(rows[number])}: {reason}')


_sound: set[tuple] = set()  # of what was found to be read: stages ask again for the rows that their check has seen


def unreadable(rows: list[dict]) -> list[tuple[int, str]]:
  """(number of the row, reason) of those that no reward could grade, in order."""
  found, items, owners = {}, [], []
  for number, row in enumerate(rows):
    try:
      module = rewards.get(row.get('reward', 'math'))
      if 'grader' in row:
        raise ValueError("'grader' is not a row's to choose")
      if hasattr(module, 'probes'):
        if _known(row, module) in _sound:
          continue
        probes = module.probes(row)
        items += probes
        owners += [(number, module)] * len(probes)
        if not probes:
          _sound.add(_known(row, module))
      elif hasattr(module, 'check_row'):
        module.check_row(row)
    except (ValueError, TypeError) as e:
      found[number] = str(e)
  items, owners = _spread(items, owners)
  if items:
    with Pool(workers=os.cpu_count() or 2, deadline=10.0) as pool:
      for (number, module), verdict in zip(owners, pool.score(items)):
        if verdict != rewards.CORRECT:
          found.setdefault(number, module.unread(rows[number], verdict))
    _sound.update(_known(rows[number], module) for number, module in owners if number not in found)
  return sorted(found.items())


PROGRAMS = 1000  # of a file that brings right programs along, so many are run on their own tests


def _spread(items: list, owners: list) -> tuple[list, list]:
  """All, but of programs at most PROGRAMS, spread evenly; how many is said."""
  programs = [i for i, (name, _, _) in enumerate(items) if name == 'code']
  if len(programs) <= PROGRAMS:
    return items, owners
  chosen = {programs[i * len(programs) // PROGRAMS] for i in range(PROGRAMS)}
  log.info('%d of the %d rows with a right program of their own are tried on it', PROGRAMS, len(programs))
  kept = [i for i, item in enumerate(items) if item[0] != 'code' or i in chosen]
  return [items[i] for i in kept], [owners[i] for i in kept]


def _known(row: dict, module) -> tuple:
  if hasattr(module, 'key'):
    return row['reward'], module.key(row)
  return row.get('reward', 'math'), str(row.get('answer')), row.get('answer_type'), str(row.get('tolerance'))


def where(row: dict) -> str:
  return row.get('where') or f"row {row.get('id')}"


@functools.lru_cache(maxsize=None)
def shared() -> Pool:
  """One worker for whoever scores a single answer; it ends with the program."""
  pool = Pool(workers=1)
  atexit.register(pool.close)
  return pool


def serve():
  """The child: judges what comes until its input ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
  signal.signal(signal.SIGALRM, signal.SIG_DFL)
  sys.set_int_max_str_digits(0)  # tests may hold long numbers; what takes long is killed
  most = resource.getrlimit(resource.RLIMIT_AS)[1]
  limit = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
  resource.setrlimit(resource.RLIMIT_AS, (limit, most))  # the boxes that it starts take the hard limit again
  logging.disable(logging.CRITICAL)
  replies = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # what a library prints is no reply
  for line in sys.stdin:
    request = json.loads(line)
    # Should the parent be killed, nobody keeps the clock: the kernel then ends a judge that hangs.
    signal.setitimer(signal.ITIMER_REAL, request['seconds'] + GRACE_SECONDS)
    try:
      if 'source' in request:
        own_lib.hold(request['name'], request['source'].encode('latin-1'))
      reward = rewards.get(request['name'])
      verdict = rewards.CORRECT if request.get('load') else reward.judge(request['completion'], request['row'])
    except MemoryError:
      os._exit(1)
    except Exception as e:  # pylint: disable=broad-except
      verdict = rewards.error(e)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps({'value': verdict.value, 'reason': verdict.reason}), file=replies, flush=True)
