"""A rollout that never ends: completions are asked for at any time and join the rows that run.

`Sampler` is sampler.py's, but that how a row is sampled (temperature, top-p, seed) is no longer compiled in: it comes
with every chunk, a number a row. `Running` is the host loop, one chunk a call; who calls it decides what waits.

What a completion says depends on the weights, its seed and its number among the samples of that seed alone: it is
sample `number` of a Rollout with key(seed), temperature and top-p, whoever runs beside it.
"""

import collections
import functools
import time
from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.engine import choose
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import slots as slots_lib
from r1jax.engine.packing import buckets
from r1jax.types import Prompts

TOP = 20  # likeliest tokens whose log-probabilities can be heard, of each token
_LEAST = 64  # tokens of the narrowest prefill
_SOON, _LATER = 0.05, 0.25  # seconds of a chunk, where somebody reads along, and where nobody does


class Ask(NamedTuple):
  """A completion that is asked for."""
  name: int  # the caller's; its own while it runs
  prompt: np.ndarray  # int32 token ids, the same array in all that share it
  seed: int  # 0 <= seed < 2**64
  number: int  # of this one among the samples of its seed
  limit: int  # tokens at most
  temperature: float = 1.0  # 0: the likeliest token each time
  top_p: float = 1.0
  heard: bool = False  # log-probabilities are wanted, the model's own
  soon: bool = False  # somebody reads along: chunks are short


class Said(NamedTuple):
  """What a completion said in one chunk."""
  name: int
  tokens: np.ndarray  # int32 [n]
  logps: np.ndarray | None  # float32 [n], nats, at temperature 1 with nothing cut away; None where nobody hears them
  top_ids: np.ndarray | None  # int32 [n, k], the likeliest tokens at each place, the largest first
  top_logps: np.ndarray | None
  done: bool  # ended, by a token that ends or at its limit


class _Each(NamedTuple):
  """What comes with a chunk, a number a row."""
  live_S: jax.Array  # bool; False: nobody waits for this row any longer
  seeds_Sx2: jax.Array  # uint32, the words of a key
  wanted: choose.Wanted


class Sampler(sampler_lib.Sampler):
  """The programs of completions in slots, each row sampled in its own way; compiled ahead."""

  def __init__(self, model, mesh, *, slots: int, length: int, eos_ids: tuple[int, ...], pad_id: int, steps: int = 16):
    """
    Args:
      slots: S, completions decoded at a time.
      length: of a prompt and its completion together, in tokens.
      eos_ids: any of these ends a completion.
      steps: of one chunk, at most.

    Raises:
      ValueError: no eos_ids.
    """
    super().__init__(model, mesh, slots=slots, samples=slots, max_prompt=length, max_tokens=0, eos_ids=eos_ids,
                     pad_id=pad_id, steps=steps)
    self.length, self.top = length, min(TOP, model.config.vocab_size)
    multiple = 16 if mesh_lib.platform(mesh) == 'cpu' else 128
    # Ratios that keep what is compiled at every start small: a row of less than half a cache is none of the slow ones.
    widths = [length]
    while widths[-1] > 4 * _LEAST:
      widths.append(-(-widths[-1] // 4 // multiple) * multiple)
    self.widths = tuple(sorted({min(w, length) for w in (*widths, _LEAST)}))
    self.buckets = buckets(self.widths[0] + steps, length + steps, multiple=multiple, ratio=2.0)

  def _decoding(self):
    whole = mesh_lib.replicated(self.mesh)
    k = self.top

    def decode(params, slots, each: _Each, enough, steps):
      slots = slots._replace(done_S=slots.done_S | ~each.live_S)
      keys_S = jax.random.wrap_key_data(each.seeds_Sx2, impl='threefry2x32')
      return slots_lib.decode_by(
          functools.partial(choose.choose_each, wanted=each.wanted, top=k), self._model.apply, self._empty_recent,
          params, slots, keys_S, enough, steps, columns=self.steps, eos_ids=self.eos_ids, pad_id=self.pad_id,
          beside=(((k,), jnp.int32), ((k,), jnp.float32)))

    row = lambda dtype, *shape: self._rows((self.slots, *shape), dtype)
    each = _Each(row(jnp.bool_), row(jnp.uint32, 2), choose.Wanted(row(jnp.float32), row(jnp.float32), row(jnp.bool_)))
    number = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
    return decode, (each, number, number), 2


class Running:
  """Completions on their way.

  Attributes:
    steps, live: decode steps that ran, and live rows summed over them: slot_use = live / (steps * slots).
    prefilled: prompt tokens that were computed.
  """

  def __init__(self, sampler: Sampler, params):
    """params: as sampler.arrange takes them."""
    self._sampler, self._params = sampler, sampler.arrange(params)
    S = sampler.slots
    self._rows: list[Ask | None] = [None] * S
    self._columns = np.zeros(S, np.int64)
    self._waiting: collections.deque[list[Ask]] = collections.deque()  # of one prompt each
    self._prefix, self._left = None, collections.deque()  # the prompts prefilled last, and who is still to begin
    self._flying = collections.deque()
    self._bucket, self._slots = 0, sampler.run(('empty', sampler.buckets[0]))
    self._pace, self._read = None, 0.0  # seconds of a decode step; when a chunk was read last
    self.steps = self.live = self.prefilled = 0

  @property
  def rows(self) -> int:
    """Completions that have a row."""
    return sum(row is not None for row in self._rows)

  @property
  def waiting(self) -> int:
    """Completions that have none yet."""
    return len(self._left) + sum(map(len, self._waiting))

  @property
  def busy(self) -> bool:
    return bool(self._flying or self._left or self._waiting or any(self._rows))

  def add(self, asks: Sequence[Ask]) -> None:
    """Completions of one prompt, which is computed once for them; they begin in the order in which they are added.

    Raises:
      ValueError: prompt and limit together are longer than the sampler's length.
    """
    longest = len(asks[0].prompt) + max(ask.limit for ask in asks)
    if longest > self._sampler.length or not len(asks[0].prompt):
      raise ValueError(f'{longest} tokens of a prompt and its completion, the sampler has {self._sampler.length}')
    self._waiting.append(list(asks))

  def cancel(self, names: set[int]) -> None:
    """Nobody waits for these any longer: their rows are free at once, and nothing more is given out of them."""
    self._rows = [None if row is not None and row.name in names else row for row in self._rows]
    self._left = collections.deque((n, ask) for n, ask in self._left if ask.name not in names)
    left = ([ask for ask in group if ask.name not in names] for group in self._waiting)
    self._waiting = collections.deque(group for group in left if group)

  def step(self) -> list[Said]:
    """Admits what waits, runs one chunk, reads one; what it brought."""
    ahead = 0 if mesh_lib.platform(self._sampler.mesh) == 'cpu' else 1  # an accelerator decodes while the host reads
    self._refill()
    if any(self._rows):
      self._flying.append(self._dispatch())
    return self._collect() if len(self._flying) > (ahead if any(self._rows) else 0) else []

  # --- one chunk

  def _refill(self) -> None:
    """Puts what waits into free rows, as long as there are both."""
    while (self._left or self._waiting) and None in self._rows:
      if not self._left:
        self._prefill(self._rows.count(None))
      width, lengths, prefix = self._prefix
      S = self._sampler.slots
      source, (sample, length, limit) = np.full(S, -1, np.int32), np.zeros((3, S), np.int32)
      free = [s for s, row in enumerate(self._rows) if row is None]
      for s, _ in zip(free, range(len(self._left))):
        n, ask = self._left.popleft()
        self._rows[s], source[s], self._columns[s] = ask, n, lengths[n]
        sample[s], limit[s] = ask.number, ask.limit
      self._resize(width)
      what = ('admit', width, self._sampler.buckets[self._bucket])
      self._slots = self._sampler.run(what, self._slots, prefix,
                                      *mesh_lib.put((source, sample, length, limit), self._sampler.mesh))

  def _prefill(self, free: int) -> None:
    """The prompts that wait longest, as many as are prefilled at a time and have a row to go to."""
    groups = []
    while self._waiting and len(groups) < self._sampler.prompts and sum(map(len, groups)) < free:
      groups.append(self._waiting.popleft())
    longest = max(len(group[0].prompt) for group in groups)
    width = next(w for w in self._sampler.widths if w >= longest)
    tokens, lengths = slots_lib.padded([group[0].prompt for group in groups], self._sampler.prompts, width,
                                       self._sampler.pad_id)
    put = mesh_lib.put(Prompts(tokens, lengths), self._sampler.mesh)
    self._prefix = width, lengths, self._sampler.run(('prefill', width), self._params, put)
    self._left = collections.deque((n, ask) for n, group in enumerate(groups) for ask in group)
    self.prefilled += sum(len(group[0].prompt) for group in groups)

  def _resize(self, least: int = 0) -> None:
    """The smallest cache that holds what live rows have and one chunk more, and `least` columns."""
    sizes = self._sampler.buckets
    live = max((int(self._columns[s]) for s, row in enumerate(self._rows) if row is not None), default=0)
    columns = max(live + (len(self._flying) + 1) * self._sampler.steps, least)
    wanted = next((n for n, size in enumerate(sizes) if size >= columns), len(sizes) - 1)
    while self._bucket != wanted:
      next_ = self._bucket + (1 if wanted > self._bucket else -1)
      self._slots = self._sampler.run(('resize', sizes[self._bucket], sizes[next_]), self._slots)
      self._bucket = next_

  def _each(self) -> _Each:
    S = self._sampler.slots
    live, seeds, (temperature, top_p) = np.zeros(S, np.bool_), np.zeros((S, 2), np.uint32), np.ones((2, S), np.float32)
    heard = np.zeros(S, np.bool_)
    for s, ask in enumerate(self._rows):
      if ask is not None:
        live[s], heard[s], temperature[s], top_p[s] = True, ask.heard, ask.temperature, ask.top_p
        seeds[s] = ask.seed >> 32, ask.seed & 0xFFFFFFFF
    return _Each(live, seeds, choose.Wanted(temperature, top_p, heard))

  def _dispatch(self):
    """Starts a chunk: who had which row in it, and when."""
    self._resize()
    seconds = _SOON if any(row is not None and row.soon for row in self._rows) else _LATER
    steps = 4 if self._pace is None else int(seconds / self._pace)
    steps = max(1, min(steps, self._sampler.steps))
    enough = max(1, self._sampler.slots // 8) if self.waiting else self._sampler.slots + 1
    what = ('decode', self._sampler.buckets[self._bucket])
    each = mesh_lib.put(self._each(), self._sampler.mesh)
    self._slots, chunk, top = self._sampler.run(what, self._params, self._slots, each, np.int32(enough),
                                                np.int32(steps))
    return chunk, top, list(self._rows), time.perf_counter()

  def _collect(self) -> list[Said]:
    chunk, top, rows, begun = self._flying.popleft()
    heard = any(row is not None and row.heard for row in rows)
    tokens, logps, count, done, steps = jax.device_get(chunk[:5])  # an endpoint replays no experts
    top_ids, top_logps = jax.device_get(top) if heard else (None, None)
    begun, self._read = max(begun, self._read), time.perf_counter()
    if steps:
      pace = (self._read - begun) / int(steps)
      self._pace = pace if self._pace is None else 0.8 * self._pace + 0.2 * pace
    self.steps += int(steps)
    self.live += int(count.sum())
    out = []
    for s, ask in enumerate(rows):
      if ask is None or self._rows[s] is not ask or not count[s]:  # free, cancelled meanwhile, or ended a chunk ago
        continue
      n = int(count[s])
      self._columns[s] += n
      more = (logps[s, :n], top_ids[s, :n], top_logps[s, :n]) if ask.heard else (None, None, None)
      out.append(Said(ask.name, tokens[s, :n], *more, bool(done[s])))
      if done[s]:
        self._rows[s] = None
    return out
