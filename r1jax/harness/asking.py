"""Prompts -> completions, together in slots, whatever each is asked with: what harnesses hand over one by one.

Requests of one temperature, top-p and top-k are sampled together; lengths and numbers of samples may differ. What a
prompt's k-th sample says depends on the seed and the prompt alone, not on what is asked beside it nor in which order.
"""

import functools
import hashlib
import logging
import queue
import threading
from typing import Callable, Iterator, NamedTuple, Sequence

import numpy as np

from r1jax import api
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import rollout
from r1jax.exceptions import UserError
from r1jax.stages import common
from r1jax.types import Request

log = logging.getLogger('r1jax')

SLOTS = 64  # completions decoded at a time
WAIT = 0.05  # seconds in which nothing more has come: then what waits is begun


class Ask(NamedTuple):
  """What is asked of a prompt."""
  prompt: Sequence[int]  # token ids
  samples: int = 1
  max_tokens: int | None = None  # None: what the model has positions for
  temperature: float = 1.0
  top_p: float = 1.0
  top_k: int = 0
  seed: int | None = None  # None: the Asker's
  stop: tuple[str, ...] = ()  # texts; an answer ends before the first of them


@functools.lru_cache(maxsize=4)
def _sampler(model, mesh, **sizes) -> rollout.Sampler:
  with terminal.doing('compiling the sampler'):
    return rollout.Sampler(model, mesh, **sizes).compile()


class Asker:
  """A model that is asked by token ids."""

  def __init__(self, model: api.Model, *, slots: int = SLOTS, seed: int = 0):
    """slots: completions decoded at a time. seed: of all that is asked without one.

    Raises:
      UserError: a number that cannot be.
    """
    for name, value, least in (('slots', slots, 1), ('seed', seed, 0)):
      if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f'{name}={value!r}: wants a whole number of at least {least}')
    self.model, self._slots, self._seed = model, slots, seed
    self._eos = prompts.eos_ids(model.tokenizer, model.template)
    self._times: dict[int, int] = {}  # samples that each prompt has had
    self._told = set()

  def room(self, ask: Ask) -> int:
    """Tokens that an answer may have: max_tokens, or what the model has positions for.

    Raises:
      UserError: the prompt alone fills the model, or a number cannot be.
    """
    positions, length = self.model.config.max_length, len(ask.prompt)
    for name, value, least in (('samples', ask.samples, 1), ('temperature', ask.temperature, 0), ('top_k', ask.top_k, 0),
                               ('max_tokens', 1 if ask.max_tokens is None else ask.max_tokens, 1)):
      if value < least:
        raise UserError(f'{name}={value} must be at least {least}')
    if not 0 < ask.top_p <= 1:
      raise UserError(f'top_p={ask.top_p} must be more than 0 and at most 1')
    if not length or length >= positions:
      raise UserError(f'a prompt has {length} tokens, the model {positions} positions: shorten it')
    left = positions - length
    if ask.max_tokens is not None and ask.max_tokens > left:
      self._say_once('room', 'max_tokens=%d behind a prompt of %d tokens exceed the %d positions: answers end there',
                     ask.max_tokens, length, positions)
    return min(ask.max_tokens or left, left)

  def __call__(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[api.Sample]]]:
    """(number of an ask, its samples), in the order in which they end, those sampled alike one after the other.

    Raises:
      UserError: as `room`; nothing is sampled then.
    """
    limits = [self.room(ask) for ask in asks]
    alike: dict[tuple, list[int]] = {}
    for i, ask in enumerate(asks):
      alike.setdefault((float(ask.temperature), float(ask.top_p), ask.top_k), []).append(i)
    if any(ask.stop for ask in asks):
      self._say_once('stop', 'texts that end an answer are looked for when it has ended: rows go on to max_tokens')
    for (temperature, top_p, top_k), numbers in alike.items():
      yield from self._alike(numbers, asks, limits, temperature=temperature, top_p=top_p, top_k=top_k)

  def _alike(self, numbers, asks, limits, **choice) -> Iterator[tuple[int, list[api.Sample]]]:
    model, positions = self.model, self.model.config.max_length
    module, weights = model.served()
    up = lambda n, least: min(max(1 << (n - 1).bit_length(), least), positions)  # few sizes, so few programs
    sampler = _sampler(
        module, model.mesh, slots=self._slots, samples=1, max_prompt=up(max(len(asks[i].prompt) for i in numbers), 16),
        max_tokens=up(max(limits[i] for i in numbers), 16), eos_ids=self._eos, pad_id=model.tokenizer.pad_id, **choice)
    requests = [Request(i, np.asarray(asks[i].prompt, np.int32), self._numbers(asks[i]),
                        limits=(limits[i],) * asks[i].samples) for i in numbers]
    key = common.key(self._seed, 'harness')
    for finished in sampler(weights(), requests, key):
      texts = model.tokenizer.decode_batch([c.tokens for c in finished.completions])
      yield finished.group, [self._sample(text, c, asks[finished.group].stop)
                             for text, c in zip(texts, finished.completions)]

  def _sample(self, text: str, completion, stop) -> api.Sample:
    kept = until(text, stop)
    finish = 'stop' if completion.stopped or len(kept) < len(text) else 'length'
    return api.Sample(kept, completion.tokens, completion.logps, finish)

  def _numbers(self, ask: Ask) -> tuple[int, ...]:
    """Of the samples, which their randomness comes from: a prompt asked again goes on where it was."""
    seed = self._seed if ask.seed is None else ask.seed
    digest = hashlib.sha256(f'{seed} '.encode() + np.asarray(ask.prompt, np.int32).tobytes()).digest()
    first = int.from_bytes(digest[:4], 'little') & 0x7FFFFFFF
    before = self._times.get(first, 0)
    self._times[first] = before + ask.samples
    return tuple((first + before + k) & 0x7FFFFFFF for k in range(ask.samples))

  def _say_once(self, what: str, *line) -> None:
    if what not in self._told:
      self._told.add(what)
      log.warning(*line)


def until(text: str, stop: Sequence[str]) -> str:
  """What stands before the first of some texts; empty ones are none."""
  return text[:min((at for s in stop if s and (at := text.find(s)) >= 0), default=len(text))]


class Service:
  """Asks of many callers, gathered while the last ones are answered; one thread asks the model."""

  def __init__(self, asker: Asker, wait: float = WAIT):
    self._asker, self._wait = asker, wait
    self._queue: queue.SimpleQueue = queue.SimpleQueue()
    self._thread = threading.Thread(target=self._work, name='r1jax asks', daemon=True)
    self._thread.start()

  def submit(self, ask: Ask, done: Callable[[list[api.Sample] | Exception], None]) -> None:
    """done is called in the thread, with the samples or with why there are none."""
    self._asker.room(ask)  # the caller's own mistake is not that of others
    self._queue.put((ask, done))

  def close(self) -> None:
    """What has been asked is answered before."""
    self._queue.put(None)
    self._thread.join()

  def _work(self) -> None:
    while (first := self._queue.get()) is not None:
      waiting, more = [first], True
      while more:
        try:
          waiting.append(self._queue.get(timeout=self._wait))
          more = waiting[-1] is not None
        except queue.Empty:
          break
      if waiting[-1] is None:
        self._queue.put(waiting.pop())
      self._answer(waiting)

  def _answer(self, waiting) -> None:
    left = dict(enumerate(waiting))
    try:
      for i, samples in self._asker([ask for ask, _ in waiting]):
        left.pop(i)[1](samples)
    except Exception as e:  # pylint: disable=broad-except  the thread serves those that come later
      for _, done in left.values():
        done(e)
