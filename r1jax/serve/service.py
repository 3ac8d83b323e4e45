"""Completions for many who ask at once: one thread owns the devices, the event loop owns the text.

The thread runs engine/continuous.Running, a chunk after the other; it hears of new completions and of those that nobody
waits for any longer by a queue, between two chunks. What a chunk brought goes to the event loop in one call, where it
becomes text (text.py) and reaches the `Job` that waits for it. All other methods are called on the event loop.
"""

import asyncio
import itertools
import logging
import queue
import secrets
import threading
import time
from typing import NamedTuple

import numpy as np

from r1jax.engine import continuous
from r1jax.serve import text as text_lib
from r1jax.serve.protocol import Refused

log = logging.getLogger('r1jax')

_STOPPING = 'the server is stopping'


class Delta(NamedTuple):
  """What a chunk added to a choice."""
  choice: int
  content: str
  reasoning: str
  logps: list  # (token, log-probability, likeliest tokens, theirs) each; empty where none are wanted
  finish: str | None  # 'stop', 'length'; None: it goes on


class Choice:
  """One completion on its way."""

  def __init__(self, job: 'Job', index: int, text: text_lib.Text):
    self.job, self.index, self.text = job, index, text
    self.tokens, self.finish = 0, None


class Job:
  """A request's choices.

  Attributes:
    choices: in order; prompt_tokens: of all its prompts, each counted once.
    first: seconds from its beginning to its first token; None: none yet.
  """

  def __init__(self, prompt_tokens: int):
    self.prompt_tokens, self.names, self.choices = prompt_tokens, [], []
    self.begun, self.first = time.perf_counter(), None
    self._news: asyncio.Queue[list[Delta] | Refused] = asyncio.Queue()

  @property
  def open(self) -> int:
    return sum(choice.finish is None for choice in self.choices)

  def tell(self, news: list[Delta] | Refused) -> None:
    self._news.put_nowait(news)

  async def deltas(self):
    """Lists of Delta until all choices have ended.

    Raises:
      Refused: it was broken off by the server.
    """
    while True:
      news = await self._news.get()
      if isinstance(news, Refused):
        raise news
      yield news
      if not self.open and self._news.empty():
        return

  @property
  def completion_tokens(self) -> int:
    return sum(choice.tokens for choice in self.choices)


class Service:
  """A model that many ask.

  Attributes:
    open: completions that have not ended, with a row or waiting for one.
    running: the engine's (its counters may be read at any time).
    died: what ended the engine's thread, if something has.
  """

  def __init__(self, sampler: continuous.Sampler, params, tokenizer, *, waiting: int, metrics):
    """
    Args:
      sampler: compiled.
      waiting: completions that may wait for a row; more are refused.
      metrics: metrics.Metrics of this server.
    """
    self.sampler, self.tokenizer, self.metrics = sampler, tokenizer, metrics
    self.capacity = sampler.slots + waiting
    self.running = continuous.Running(sampler, params)
    self.open, self.died, self.stopping = 0, None, False
    self._choices: dict[int, Choice] = {}
    self._names = itertools.count()
    self._inbox: queue.SimpleQueue = queue.SimpleQueue()
    self._loop: asyncio.AbstractEventLoop | None = None
    self._thread = threading.Thread(target=self._work, name='engine', daemon=True)
    self._seconds = 1.0  # of a request, lately

  # --- on the event loop

  def start(self) -> None:
    self._loop = asyncio.get_running_loop()
    self._thread.start()

  def submit(self, prompts: list[np.ndarray], *, n: int, limits: list[int], seed: int | None, temperature: float,
             top_p: float, heard: bool, soon: bool, text) -> Job:
    """A job of n choices of each prompt.

    Args:
      limits: tokens of a choice, at most, for each prompt.
      text: () -> text.Text, of one choice.

    Raises:
      Refused: 429 where the queue is full, 503 where the server stops.
    """
    if self.stopping or self.died is not None:
      raise Refused(503, _STOPPING if self.stopping else 'the engine has ended: see the server\'s log')
    wanted = n * len(prompts)
    if self.open + wanted > self.capacity:
      after = int(min(60, max(1, self._seconds * self.open / self.sampler.slots)))
      raise Refused(429, f'{self.open} completions are on their way and {wanted} more exceed the {self.capacity} that '
                    'run or wait at a time: ask again later', code='queue_full', retry_after=after)
    seed = secrets.randbits(63) if seed is None else seed % 2**64
    job = Job(sum(map(len, prompts)))
    for i, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
      asks = []
      for number in range(i * n, i * n + n):
        name = next(self._names)
        job.choices.append(Choice(job, number, text()))
        job.names.append(name)
        self._choices[name] = job.choices[-1]
        asks.append(continuous.Ask(name, prompt, seed, number, limit, temperature, top_p, heard, soon))
      self._inbox.put(asks)
    self.open += wanted
    self.metrics.prompt_tokens.inc(job.prompt_tokens)
    return job

  def release(self, job: Job) -> None:
    """Whatever of a job is still open is not waited for any longer; nothing where it has ended."""
    left = {name for name in job.names if self._choices.pop(name, None) is not None}
    if left:
      self.open -= len(left)
      self.metrics.cancelled.inc(len(left))
      self._inbox.put(left)

  def break_off(self, why: str = _STOPPING) -> int:
    """Ends all jobs; how many there were."""
    jobs = {id(choice.job): choice.job for choice in self._choices.values()}
    for job in jobs.values():
      self.release(job)
      job.tell(Refused(503, why))
    return len(jobs)

  def close(self, seconds: float = 10.0) -> None:
    """Ends the engine's thread, behind the chunk that runs."""
    self.stopping = True
    self.break_off()
    self._inbox.put(None)
    if self._thread.is_alive():
      self._thread.join(seconds)

  def _deliver(self, said: list[continuous.Said]) -> None:
    """What a chunk brought, as text, to who waits for it."""
    news: dict[int, tuple[Job, list[Delta]]] = {}
    stopped = set()
    for each in said:
      choice = self._choices.get(each.name)
      if choice is None:  # cancelled meanwhile
        continue
      shown = choice.text.push(each.tokens, last=each.done)
      choice.tokens += shown.tokens
      if each.done or choice.text.stopped:
        ended = each.tokens[-1] in self.sampler.eos_ids
        choice.finish = 'stop' if choice.text.stopped or ended else 'length'
        del self._choices[each.name]
        self.open -= 1
        if not each.done:
          stopped.add(each.name)
      kept = shown.tokens - (each.done and not choice.text.stopped and each.tokens[-1] in self.sampler.eos_ids)
      logps = [] if each.logps is None else list(zip(
          each.tokens[:kept].tolist(), each.logps[:kept].tolist(), each.top_ids[:kept].tolist(),
          each.top_logps[:kept].tolist()))
      delta = Delta(choice.index, shown.content, shown.reasoning, logps, choice.finish)
      news.setdefault(id(choice.job), (choice.job, []))[1].append(delta)
      self.metrics.completion_tokens.inc(shown.tokens)
    if stopped:
      self._inbox.put(stopped)
    now = time.perf_counter()
    for job, deltas in news.values():
      if job.first is None:
        job.first = now - job.begun
        self.metrics.first_token.observe(job.first)
      if not job.open:
        self._seconds = 0.9 * self._seconds + 0.1 * (now - job.begun)
      job.tell(deltas)

  def _end(self, error: Exception) -> None:
    self.died = error
    self.break_off('the engine has ended: see the server\'s log')

  # --- the engine's thread

  def _work(self) -> None:
    try:
      while True:
        heard = [] if self.running.busy else [self._inbox.get()]
        while not self._inbox.empty():
          heard.append(self._inbox.get())
        for one in heard:
          if one is None:
            return
          if isinstance(one, set):
            self.running.cancel(one)
          else:
            self.running.add(one)
        if said := self.running.step():
          self._loop.call_soon_threadsafe(self._deliver, said)
    except RuntimeError as e:
      if not self._loop.is_closed():
        self._failed(e)
    except Exception as e:  # pylint: disable=broad-except  whatever it is, who waits must hear of it
      self._failed(e)

  def _failed(self, e: Exception) -> None:
    log.error('the engine has ended: %s: %s', type(e).__name__, e, exc_info=e)
    self._loop.call_soon_threadsafe(self._end, e)
