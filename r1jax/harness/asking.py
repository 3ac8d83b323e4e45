"""Prompts -> completions, together in slots, whatever each is asked with: what harnesses hand over one by one.

Over engine/continuous.py: a request joins those that run, each with its own temperature, top-p and length. What a
prompt's k-th sample says depends on the seed and the prompt alone, not on what is asked beside it nor in which order.
"""

import functools
import hashlib
import itertools
import logging
import queue
import threading
import time
from typing import Callable, Iterator, NamedTuple, Sequence

import numpy as np

from r1jax import api
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import continuous
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

SLOTS = 64  # completions decoded at a time
MOST = 32768  # tokens of an answer where nobody says otherwise (section 3)
WAIT = 0.05  # seconds in which more may come before the first chunk
_LEAST = 256  # tokens of a row, where the model has as many positions


class Ask(NamedTuple):
  """What is asked of a prompt."""
  prompt: Sequence[int]  # token ids
  samples: int = 1
  max_tokens: int | None = None  # None: MOST, or what the model has positions for
  temperature: float = 1.0  # 0: the likeliest token each time
  top_p: float = 1.0
  seed: int | None = None  # None: the Asker's
  stop: tuple[str, ...] = ()  # texts; an answer ends before the first of them
  heard: bool = False  # log-probabilities are wanted


class Said(NamedTuple):
  """One completion."""
  text: str  # special tokens left out
  ids: np.ndarray  # int32, all that were sampled
  finish: str  # 'stop', or 'length' where it was cut off
  logps: np.ndarray | None  # float32 [n], nats, the model's own, at temperature 1; None where nobody hears them
  top_ids: np.ndarray | None  # int32 [n, k], the likeliest tokens at each place, the largest first
  top_logps: np.ndarray | None


class _Open:
  """A request on its way."""

  def __init__(self, ask: Ask, limit: int):
    self.ask, self.limit = ask, limit
    self.parts: list[list[continuous.Said]] = [[] for _ in range(ask.samples)]
    self.left = ask.samples


@functools.lru_cache(maxsize=2)
def _sampler(module, mesh, **sizes) -> continuous.Sampler:
  """Compiled once for all checkpoints of one size."""
  with terminal.doing(f'compiling the sampler, rows of {sizes["length"]} tokens'):
    return continuous.Sampler(module, mesh, **sizes).compile()


class Asker:
  """A model that is asked by token ids. Not for several threads: see Service."""

  def __init__(self, model: api.Model, *, slots: int = SLOTS, seed: int = 0):
    """slots: completions decoded at a time. seed: of all that is asked without one.

    Raises:
      UserError: a number that cannot be.
    """
    for name, value, least in (('slots', slots, 1), ('seed', seed, 0)):
      if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f'{name}={value!r}: wants a whole number of at least {least}')
    self.model, self._slots, self._seed = model, slots, seed
    self._sampler, self._running = None, None
    self._times: dict[int, int] = {}  # samples that each prompt has had
    self._open: dict[int, _Open] = {}
    self._of: dict[int, tuple[int, int]] = {}  # name of a completion -> request, sample
    self._tickets, self._names = itertools.count(), itertools.count()
    self._waiting: list[int] = []  # requests that are longer than the sampler's rows
    self._told = set()

  def limit(self, ask: Ask) -> int:
    """Tokens that an answer may have: max_tokens, or what the model has positions for.

    Raises:
      UserError: the prompt alone fills the model, or a number cannot be.
    """
    positions, length = self.model.config.max_length, len(ask.prompt)
    for name, value, least in (('samples', ask.samples, 1), ('temperature', ask.temperature, 0),
                               ('max_tokens', 1 if ask.max_tokens is None else ask.max_tokens, 1)):
      if value < least:
        raise UserError(f'{name}={value} must be at least {least}')
    if not 0 < ask.top_p <= 1:
      raise UserError(f'top_p={ask.top_p} must be more than 0 and at most 1')
    if not length or length >= positions:
      raise UserError(f'a prompt has {length} tokens, the model {positions} positions: shorten it')
    left = positions - length
    if ask.max_tokens is not None and ask.max_tokens > left and 'room' not in self._told:
      self._told.add('room')
      log.warning('max_tokens=%d behind a prompt of %d tokens exceed the %d positions: answers end there',
                  ask.max_tokens, length, positions)
    return min(ask.max_tokens or MOST, left)

  # --- at any time

  @property
  def busy(self) -> bool:
    return bool(self._open)

  def add(self, ask: Ask) -> int:
    """A ticket for an answer that begins with the next step that has a row for it.

    Raises:
      UserError: as `limit`.
    """
    found, ticket = _Open(ask, self.limit(ask)), next(self._tickets)
    self._open[ticket] = found
    if self._sampler is None or self._waiting or len(ask.prompt) + found.limit > self._sampler.length:
      self._waiting.append(ticket)
    else:
      self._begin(ticket)
    return ticket

  def cancel(self, ticket: int) -> None:
    """Nobody waits for it any longer: its rows are free."""
    if self._open.pop(ticket, None) is None:
      return
    names = {name for name, (owner, _) in self._of.items() if owner == ticket}
    for name in names:
      del self._of[name]
    if ticket in self._waiting:
      self._waiting.remove(ticket)
    if names:
      self._running.cancel(names)

  def step(self) -> list[tuple[int, list[Said]]]:
    """A chunk of tokens for all that run; the answers whose last sample has ended with it, by their tickets."""
    if self._waiting and not (self._running and self._running.busy):
      self._lengthen()
    ended = []
    for said in self._running.step() if self._running else ():
      ticket, sample = self._of.get(said.name, (None, None))
      if ticket is None:
        continue
      request = self._open[ticket]
      request.parts[sample].append(said)
      if not said.done and not self._stopped(request, sample):
        continue
      if not said.done:
        self._running.cancel({said.name})
      del self._of[said.name]
      request.left -= 1
      if not request.left:
        del self._open[ticket]
        ended.append((ticket, [self._said(request.ask, parts) for parts in request.parts]))
    return ended

  def __call__(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Said]]]:
    """(number of an ask, its samples), in the order in which they end.

    Raises:
      UserError: as `limit`; nothing is sampled then.
    """
    for ask in asks:
      self.limit(ask)
    numbers = {self.add(ask): number for number, ask in enumerate(asks)}
    while numbers:
      for ticket, samples in self.step():
        yield numbers.pop(ticket), samples

  # --- rows

  def _lengthen(self) -> None:
    """Rows as long as what waits, a power of two, so that few samplers are compiled; then it begins."""
    model = self.model
    longest = max(len(self._open[t].ask.prompt) + self._open[t].limit for t in self._waiting)
    if self._sampler is None or longest > self._sampler.length:
      length = min(max(1 << (longest - 1).bit_length(), _LEAST), model.config.max_length)
      module, weights = model.served()
      self._running = None
      self._sampler = _sampler(module, model.mesh, slots=self._slots, length=length, pad_id=model.tokenizer.pad_id,
                               eos_ids=prompts.eos_ids(model.tokenizer, model.template))
      self._running = continuous.Running(self._sampler, weights())
    tickets, self._waiting = self._waiting, []
    for ticket in tickets:
      self._begin(ticket)

  def _begin(self, ticket: int) -> None:
    """A prompt that is asked again goes on where it was: its samples are those of one group, one after the other."""
    request = self._open[ticket]
    ask, ids = request.ask, np.asarray(request.ask.prompt, np.int32)
    seed = self._seed if ask.seed is None else ask.seed
    own = int.from_bytes(hashlib.sha256(f'{seed} '.encode() + ids.tobytes()).digest()[:8], 'little')
    before = self._times.get(own, 0)
    self._times[own] = before + ask.samples
    names = [next(self._names) for _ in range(ask.samples)]
    self._of.update((name, (ticket, sample)) for sample, name in enumerate(names))
    self._running.add([continuous.Ask(name, ids, own, before + sample, request.limit, float(ask.temperature),
                                      float(ask.top_p), ask.heard) for sample, name in enumerate(names)])

  def _stopped(self, request: _Open, sample: int) -> bool:
    """Whether a text that ends it has been said: so that its row is free at once; `_said` cuts the text itself."""
    if not request.ask.stop:
      return False
    parts = request.parts[sample]
    new, ids = len(parts[-1].tokens), np.concatenate([part.tokens for part in parts])
    window = new + 4 * max(map(len, request.ask.stop))  # a character has up to four tokens
    text = self.model.tokenizer.decode(ids[-window:])
    return any(stop and stop in text for stop in request.ask.stop)

  def _said(self, ask: Ask, parts: list[continuous.Said]) -> Said:
    join = lambda name: np.concatenate([getattr(part, name) for part in parts]) if ask.heard else None
    ids = np.concatenate([part.tokens for part in parts])
    whole = self.model.tokenizer.decode(ids)
    text = until(whole, ask.stop)
    stopped = len(text) < len(whole) or int(ids[-1]) in self._sampler.eos_ids
    return Said(text, ids, 'stop' if stopped else 'length', join('logps'), join('top_ids'), join('top_logps'))


def until(text: str, stop: Sequence[str]) -> str:
  """What stands before the first of some texts; empty ones are none."""
  return text[:min((at for s in stop if s and (at := text.find(s)) >= 0), default=len(text))]


class Service:
  """An Asker for many callers: one thread asks the model, and hears of more between two chunks."""

  def __init__(self, asker: Asker, wait: float = WAIT):
    self._asker, self._wait, self._done = asker, wait, {}
    self._queue: queue.SimpleQueue = queue.SimpleQueue()
    self._keys = itertools.count()
    self._thread = threading.Thread(target=self._work, name='r1jax asks', daemon=True)
    self._thread.start()

  def submit(self, ask: Ask, done: Callable[[list[Said] | Exception], None]) -> int:
    """done is called in the thread, with the samples or with why there are none; what `release` takes.

    Raises:
      UserError: as Asker.limit, here and now.
    """
    self._asker.limit(ask)
    key = next(self._keys)
    self._queue.put((key, ask, done))
    return key

  def release(self, key: int) -> None:
    """Nobody waits for it any longer."""
    self._queue.put((key, None, None))

  def close(self) -> None:
    """What has been asked is answered before."""
    self._queue.put(None)
    self._thread.join()

  def _work(self) -> None:
    tickets, closing = {}, False
    while not closing or self._asker.busy:
      try:
        if not self._asker.busy:
          heard = [self._queue.get()]
          time.sleep(self._wait)
        else:
          heard = []
        while not self._queue.empty():
          heard.append(self._queue.get())
        for one in heard:
          if one is None:
            closing = True
          elif one[1] is None:
            if one[0] in tickets:
              ticket = tickets.pop(one[0])
              self._asker.cancel(ticket)
              self._done.pop(ticket, None)
          else:
            tickets[one[0]] = ticket = self._asker.add(one[1])
            self._done[ticket] = (one[0], one[2])
        for ticket, samples in self._asker.step():
          key, done = self._done.pop(ticket)
          del tickets[key]
          done(samples)
      except Exception as e:  # pylint: disable=broad-except  whatever it is, who waits must hear of it
        log.error('the model cannot be asked: %s: %s', type(e).__name__, e)
        for ticket, (key, done) in list(self._done.items()):
          self._asker.cancel(ticket)
          done(e)
        self._done, tickets = {}, {}
