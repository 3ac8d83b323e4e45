"""Prompt ids -> completions, in slots: a row that ends makes room for the next sample.

S rows lie on the devices (slots.py). The host loop reads which have ended, yields each group when its last member ends,
and admits what waits. A cache has as many columns as its longest row needs, in few sizes (Sampler.buckets), so that a
step costs what is filled.

What a sample says depends on nothing but the weights, the key and its own number: key = fold_in(fold_in(key, sample),
position); neither on its neighbours, nor on slots, order, buckets or hosts.
"""

import collections
from typing import Callable, Iterator, NamedTuple

import jax
import numpy as np

from r1jax import metrics
from r1jax.engine import mesh as mesh_lib
from r1jax.engine.slots import Chunk
from r1jax.types import Completion, Finished, Request


class _Row(NamedTuple):
  """A sample on its way: request `number`, its member `member`."""
  number: int
  member: int


class Rollout:
  """An iterator of Finished groups, in the order in which their last members end.

  Attributes:
    steps, live: decode steps that ran, and live rows summed over them: slot_use = live / (steps * slots).
    unfinished: after the end, with `groups`: the requests that were not finished, with what they have so far.
    interrupted: `stop` has ended it.
    choices: request's group -> the experts [n, L, k] of its prompt's tokens, where the sampler keeps them.
  """

  def __init__(self, sampler, params, requests: list[Request], key, *, groups: int | None = None,
               most_steps: int | None = None, clock: metrics.Clock | None = None,
               stop: Callable[['Rollout'], bool] | None = None):
    """
    Args:
      sampler: sampler.Sampler, whose programs it runs. params: as they take them.
      requests: in the order in which they are begun.
      groups: end when so many have finished; None: all.
      most_steps: end after so many decode steps; what has not ended is cut off there.
      clock: counts the spans 'admit' and 'decode'.
      stop: asked between two chunks; true on all hosts: it ends there.
    """
    self._clock, self._stop, self.interrupted, self._given = clock or metrics.Clock(), stop, False, set()
    self._sampler, self._params, self._key, self._requests = sampler, params, key, requests
    self._groups, self._most = len(requests) if groups is None else min(groups, len(requests)), most_steps
    self._parts = [[[(c.tokens, c.logps, c.choices)] if c else [] for c in r.begun or [None] * len(r.samples)]
                   for r in requests]
    self._open = [sum(not self._over(i, m) for m in range(len(r.samples))) for i, r in enumerate(requests)]
    self._waiting = collections.deque(self._in_batches())
    self._rows: list[_Row | None] = [None] * sampler.slots
    self._columns = np.zeros(sampler.slots, np.int64)
    self._prefix, self._left = None, collections.deque()
    self._bucket, self._slots = 0, None
    self.steps = self.live = 0
    self.unfinished: list[Request] = []
    self.choices = {r.group: r.choices for r in requests if r.choices is not None}
    self._prefilled = []  # (what was prefilled since the last chunk, its choices on the devices)

  @property
  def slot_use(self) -> float:
    return self.live / max(self.steps * self._sampler.slots, 1)

  def __iter__(self) -> Iterator[Finished]:
    # Those that were begun elsewhere may have nothing left to do.
    ended = collections.deque(i for i, open_ in enumerate(self._open) if not open_)
    given, flying = self._given, collections.deque()
    ahead = 0 if mesh_lib.platform(self._sampler.mesh) == 'cpu' else 1  # an accelerator decodes while the host reads
    with self._clock.span('admit'):
      self._slots = self._sampler.run(('empty', self._sampler.buckets[0]))
    while True:
      while ended and len(given) < self._groups:
        given.add(ended[0])
        yield self._finished(ended.popleft())
      if len(given) == self._groups or (self._most is not None and self.steps >= self._most):
        break
      with self._clock.span('admit'):
        self._refill(len(flying))
      with self._clock.span('decode'):
        flying.append(self._dispatch(len(flying)))
        if len(flying) > ahead:
          ended += self._collect(*flying.popleft())
      if self._stop is not None and self._stop(self):
        self.interrupted = True
        break
    with self._clock.span('decode'):
      while flying:
        ended += self._collect(*flying.popleft())
    if self._most is not None:
      yield from (self._finished(i) for i in range(len(self._requests)) if i not in given and any(self._parts[i]))
    self.unfinished = self.so_far()
    self._slots = self._prefix = None

  def so_far(self) -> list[Request]:
    """The requests that are not given out, with what they have said."""
    return [self._begun(i) for i in range(len(self._requests)) if i not in self._given]

  # --- what waits

  def _over(self, number: int, member: int) -> bool:
    """Whether a member that was begun elsewhere has ended there."""
    parts = self._parts[number][member]
    return bool(parts) and self._ends(parts[-1][0], sum(len(t) for t, *_ in parts), self._limit(number, member))

  def _limit(self, number: int, member: int) -> int:
    limits = self._requests[number].limits
    return min(limits[member], self._sampler.max_tokens) if limits else self._sampler.max_tokens

  def _ends(self, tokens, length: int, limit: int) -> bool:
    return length >= limit or (len(tokens) > 0 and int(tokens[-1]) in self._sampler.eos_ids)

  def _in_batches(self):
    """(ids of a prompt, the rows that follow it, its choices or None), as many as are prefilled at a time and of one
    width."""
    batch, width = [], 0
    for number, request in enumerate(self._requests):
      fresh = [_Row(number, m) for m in range(len(request.samples)) if not self._parts[number][m]]
      begun = [_Row(number, m) for m in range(len(request.samples))
               if self._parts[number][m] and not self._over(number, m)]
      for rows, ids, choices in ([(fresh, request.prompt, request.choices)] * bool(fresh)
                                 + [([r], *self._so_far(r)) for r in begun]):
        needed = next(w for w in self._sampler.widths if w >= len(ids))
        if batch and (needed != width or len(batch) == self._sampler.prompts):
          yield width, batch
          batch = []
        width = needed
        batch.append((ids, rows, choices))
    if batch:
      yield width, batch

  def _so_far(self, row: _Row) -> tuple[np.ndarray, np.ndarray | None]:
    """(Tokens of a prompt and the beginning behind it, and where they are kept the choices of all but the last, which
    nothing has followed yet: it may have none, where a limit that was lower has cut it off.)"""
    request, parts = self._requests[row.number], self._parts[row.number][row.member]
    tokens = np.concatenate([request.prompt, *(t for t, *_ in parts)])
    if not self._sampler.choices:
      return tokens, None
    return tokens, np.concatenate([request.choices, *(chosen for *_, chosen in parts)])[:-1]

  def _note(self, batch: list[tuple], chosen: np.ndarray) -> None:
    """What a prefill chose (Sampler.prefill): of prompts, and of the last token of each beginning."""
    for (ids, rows, _), of in zip(batch, chosen):
      number, parts = rows[0].number, self._parts[rows[0].number][rows[0].member]
      if parts:
        tokens, logps, choices = parts[-1]
        parts[-1] = tokens, logps, np.concatenate([choices[:-1], of[len(ids) - 1:len(ids)]])
      elif self._requests[number].choices is None:
        self.choices[self._requests[number].group] = of[:len(ids)].copy()

  # --- one chunk

  def _refill(self, flying: int) -> None:
    """Puts waiting samples into free rows, as long as there are both; flying: as of _dispatch."""
    while (self._left or self._waiting) and None in self._rows:
      if not self._left:
        width, batch = self._waiting.popleft()
        self._prefix, chosen = self._sampler.prefill(self._params, batch, width)
        if chosen is not None:
          self._prefilled.append((batch, chosen))
        self._left = collections.deque((n, row) for n, (_, rows, _) in enumerate(batch) for row in rows)
      width, lengths, prefix = self._prefix
      free = [s for s, row in enumerate(self._rows) if row is None]
      source = np.full(self._sampler.slots, -1, np.int32)
      sample, length, limit = np.zeros((3, self._sampler.slots), np.int32)
      for s, _ in zip(free, range(len(self._left))):
        n, row = self._left.popleft()
        self._rows[s], source[s], self._columns[s] = row, n, lengths[n]
        sample[s] = self._requests[row.number].samples[row.member]
        length[s] = sum(len(t) for t, *_ in self._parts[row.number][row.member])
        limit[s] = self._limit(row.number, row.member)
      self._resize(flying)
      bucket = self._sampler.buckets[self._bucket]
      self._slots = self._sampler.run(('admit', width, bucket), self._slots, prefix,
                                      *mesh_lib.put((source, sample, length, limit), self._sampler.mesh))

  def _resize(self, flying: int) -> None:
    """The smallest cache that holds what live rows have and one chunk more; flying: as of _dispatch."""
    sizes, live = self._sampler.buckets, [s for s, row in enumerate(self._rows) if row]
    columns = int(max(self._columns[live], default=0)) + (flying + 1) * self._sampler.steps
    wanted = next((n for n, size in enumerate(sizes) if size >= columns), len(sizes) - 1)
    while self._bucket != wanted:
      next_ = self._bucket + (1 if wanted > self._bucket else -1)
      self._slots = self._sampler.run(('resize', sizes[self._bucket], sizes[next_]), self._slots)
      self._bucket = next_

  def _dispatch(self, flying: int):
    """Starts a chunk; `flying` chunks whose results are not read yet have moved rows further than is known."""
    self._resize(flying)
    enough = max(1, self._sampler.slots // 8) if self._left or self._waiting else self._sampler.slots + 1
    what = ('decode', self._sampler.buckets[self._bucket])
    self._slots, chunk = self._sampler.run(what, self._params, self._slots, self._key, np.int32(enough))
    prefilled, self._prefilled = self._prefilled, []
    return chunk, list(self._rows), prefilled

  def _collect(self, chunk: Chunk, rows: list[_Row | None], prefilled: list) -> list[int]:
    """Reads a chunk, and of the prompts prefilled before it their choices; the numbers of requests whose last member
    has ended."""
    ended = []
    for batch, chosen in prefilled:
      self._note(batch, jax.device_get(chosen))
    tokens, logps, count, done, steps, choices = jax.device_get(tuple(chunk))
    self.steps += int(steps)
    self.live += int(count.sum())
    for s, row in enumerate(rows):
      if row is None or not count[s]:
        continue
      self._parts[row.number][row.member].append((tokens[s, :count[s]].copy(), logps[s, :count[s]].copy(),
                                                  None if choices is None else choices[s, :count[s]].copy()))
      self._columns[s] += count[s]
      if done[s]:
        self._rows[s] = None
        self._open[row.number] -= 1
        if not self._open[row.number]:
          ended.append(row.number)
    return ended

  # --- what is given out

  def _completion(self, number: int, member: int) -> Completion:
    parts = self._parts[number][member]
    join = lambda arrays, dtype: np.concatenate([np.zeros(0, dtype), *arrays])
    tokens = join([t for t, *_ in parts], np.int32)
    stopped = bool(len(tokens)) and int(tokens[-1]) in self._sampler.eos_ids
    kept = self._sampler.choices
    choices = np.concatenate([np.zeros((0, *kept[0]), kept[1]), *(c for *_, c in parts)]) if kept else None
    return Completion(tokens, join([l for _, l, _ in parts], np.float32), stopped, choices)

  def _finished(self, number: int) -> Finished:
    request = self._requests[number]
    return Finished(request.group, [self._completion(number, m) for m in range(len(request.samples))])

  def _begun(self, number: int) -> Request:
    completions = [self._completion(number, m) for m in range(len(self._requests[number].samples))]
    request = self._requests[number]
    return request._replace(begun=tuple(c if len(c.tokens) else None for c in completions),
                            choices=self.choices.get(request.group))
