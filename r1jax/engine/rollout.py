"""Prompt ids -> completions, in slots: a row that ends makes room for the next sample.

S rows lie on the devices (slots.py). The host loop (`Rollout`) reads which have ended, yields each group when its last
member ends, and admits what waits. A cache has as many columns as its longest row needs, in few sizes (`buckets`), so
that a step costs what is filled.

What a sample says depends on nothing but the weights, the key and its own number: key = fold_in(fold_in(key, sample),
position); neither on its neighbours, nor on slots, order, buckets or hosts.
"""

import collections
import functools
from typing import Callable, Iterator, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import metrics
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine.packing import buckets
from r1jax.engine.slots import Chunk, Slots, admit, decode, padded, prefill, prefill_choosing
from r1jax.models.decoder import Cache, Prefix
from r1jax.types import Completion, Finished, Prompts, Request


class Sampler:
  """The programs of a rollout, for a model on a mesh; compiled ahead, for every size of the cache."""

  def __init__(self, model, mesh, *, slots: int, samples: int, max_prompt: int, max_tokens: int,
               eos_ids: tuple[int, ...], pad_id: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
               steps: int = 16, resume: bool = False, longest: int = 0, choices: bool = False):
    """
    Args:
      slots: S, rows decoded at a time.
      samples: G, of each prompt: how many prompts are prefilled at a time follows from it.
      max_prompt, max_tokens: P and the limit of a completion, in tokens.
      eos_ids: any of these ends a completion.
      steps: of one chunk, at most.
      resume: completions that were begun elsewhere may be asked for (rl.carry).
      longest: of a prompt with its completion, where the requests' own limits keep that under P and the limit together.
      choices: the experts that tokens are sent to are kept (rl.moe_replay); a mixture of experts alone has some.

    Raises:
      ValueError: no eos_ids.
    """
    if not eos_ids:
      raise ValueError('eos_ids is empty: no completion could end')
    shards = mesh_lib.batch_shards(mesh)
    up = lambda n: -(-n // shards) * shards
    self.mesh, self.slots, self.steps = mesh, up(slots), steps
    self.max_prompt, self.max_tokens, self.eos_ids, self.pad_id = max_prompt, max_tokens, tuple(eos_ids), pad_id
    self.prompts = up(max(-(-self.slots // samples), min(4, -(-self.slots // 4))))
    self._apart = mesh_lib.platform(mesh) != 'tpu'
    self._turn = params_lib.turns(mesh, self.slots)
    self.choices = model.choices() if choices else None
    self._model, self._settings = model, dict(
        steps=steps, eos_ids=self.eos_ids, pad_id=pad_id, experts=self.choices, temperature=temperature, top_k=top_k,
        top_p=top_p)
    # On TPU a kernel reads what is filled, in blocks; elsewhere a step reads all that is allocated.
    multiple, ratio = {'cpu': (16, 1.5), 'gpu': (128, 1.5)}.get(mesh_lib.platform(mesh), (128, 2.0))
    most = (longest or max_prompt + max_tokens) + steps
    first = max_prompt + steps
    self.buckets = buckets(first, most, multiple=multiple, ratio=max(ratio, (most / first)**(1 / 7)))
    self.widths = tuple(sorted({max_prompt, *self.buckets})) if resume else (max_prompt,)  # of what is prefilled
    # Of the choices of prompts that may have been computed before, -1 for others: beginnings go on as they began.
    self._known = np.promote_types(self.choices[1], np.int16) if self.choices and resume else None
    self._compiled, self._arrange = {}, None
    # Traced once each, asked for by every program.
    self.params_shapes, self.prefix_shapes = functools.cache(self.params_shapes), functools.cache(self.prefix_shapes)

  def params_shapes(self):
    """Of the weights as this sampler takes them (params.to_sampling)."""
    return params_lib.sampling_shapes(self._model, self.mesh, apart=self._apart, turn=self._turn)

  def to_sampling(self):
    """A function: params as they are trained -> as this sampler takes them."""
    return params_lib.to_sampling(self._model, self.mesh, apart=self._apart, turn=self._turn)

  def _rows(self, shape=(), dtype=jnp.int32):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=mesh_lib.batch_sharding(self.mesh))

  def slots_shapes(self, columns: int) -> Slots:
    """Shapes of the slots with a cache of so many columns."""
    cache = jax.eval_shape(functools.partial(self._model.empty_cache, self.slots, columns, apart=self._apart))
    names = ('batch', 'kv_heads', None, None)

    def lay(x):
      named = names if len(x.shape) == 4 else ('layers', *names)
      where = mesh_lib.sharding(named, x.shape, self.mesh, mesh_lib.DECODE_RULES)
      return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    S, config = self.slots, self._model.config
    rows = self._rows((S,))
    hidden = self._rows((S, config.dim), jnp.dtype(config.dtype))
    return Slots(Cache(jax.tree.map(lay, cache.kv), rows), hidden, rows, rows, rows, self._rows((S,), jnp.bool_))

  def prefix_shapes(self, width: int) -> Prefix:
    prompts = self._prompts_shapes(width)
    with mesh_lib.use_mesh(self.mesh, mesh_lib.DECODE_RULES):
      shapes = jax.eval_shape(functools.partial(prefill, self._model.apply), self.params_shapes(), prompts)
    kv = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=mesh_lib.sharding(
        ('layers', 'batch', 'kv_heads', None, None), x.shape, self.mesh, mesh_lib.DECODE_RULES)), shapes.kv_LxNx)
    return Prefix(kv, self._rows(shapes.hidden_NxD.shape, shapes.hidden_NxD.dtype), self._rows(shapes.lengths_N.shape))

  def _prompts_shapes(self, width: int) -> Prompts:
    shape = (self.prompts, width)
    known = self._rows((*shape, *self.choices[0]), self._known) if self._known else None
    return Prompts(self._rows(shape), self._rows(shape[:1]), known)

  def _empty_recent(self):
    """Where a chunk's keys are kept: a small cache of its own."""
    return self._model.empty_cache(self.slots, self.steps, apart=self._apart).kv

  def program(self, name: str, *sizes: int) -> mesh_lib.Program:
    """'empty' (columns), 'prefill' (width), 'admit' (width, columns), 'decode' (columns), 'resize' (from, to)."""
    where = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
    make = lambda f, args, options={}, **kw: mesh_lib.Program(
        jax.jit(f, keep_unused=True, **kw), args, self.mesh, mesh_lib.DECODE_RULES, options)
    whole = mesh_lib.replicated(self.mesh)
    rows = self._rows((self.slots,))
    if name == 'prefill':
      args, out = (self.params_shapes(), self._prompts_shapes(*sizes)), where(self.prefix_shapes(*sizes))
      if self.choices:
        return make(functools.partial(prefill_choosing, self._model.apply), args, out_shardings=(out, whole))
      return make(functools.partial(prefill, self._model.apply), args, out_shardings=out)
    if name == 'empty':
      shapes = self.slots_shapes(*sizes)

      def empty():
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return zeros._replace(done_S=jnp.ones_like(zeros.done_S))

      return make(empty, (), out_shardings=where(shapes))
    if name == 'admit':
      width, columns = sizes
      slots = self.slots_shapes(columns)
      args = (slots, self.prefix_shapes(width), *[rows] * 4)
      return make(admit, args, donate_argnums=0, out_shardings=where(slots))
    if name == 'resize':
      before, after = (self.slots_shapes(columns) for columns in sizes)
      fit = lambda x, s: jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, n - m, 0) for m, n in zip(x.shape, s.shape)])
      return make(lambda slots: jax.tree.map(fit, slots, after), (before,), out_shardings=where(after))
    slots = self.slots_shapes(*sizes)
    step, args, out = self._decoding()
    # XLA would make one product of two that share an input, and write both their weights side by side at every step.
    options = {'xla_gpu_dot_merger_threshold_mb': 0} if mesh_lib.platform(self.mesh) == 'gpu' else {}
    return make(step, (self.params_shapes(), slots, *args), options, donate_argnums=1,
                out_shardings=(where(slots), *[whole] * out))

  def _decoding(self):
    """(what decodes a chunk, shapes of what it takes beside weights and slots, how much it gives beside slots)."""
    whole, key = mesh_lib.replicated(self.mesh), jax.eval_shape(lambda: jax.random.key(0))
    step = functools.partial(decode, self._model.apply, self._empty_recent, **self._settings)
    return step, (jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole),
                  jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)), 1

  def compile(self) -> 'Sampler':
    """Every program that a rollout may need, so that none is compiled in the loop."""
    wanted = [('empty', self.buckets[0]), *(('prefill', width) for width in self.widths)]
    wanted += [('decode', b) for b in self.buckets]
    for less, more in zip(self.buckets, self.buckets[1:]):
      wanted += [('resize', less, more), ('resize', more, less)]
    wanted += [('admit', width, b) for b in self.buckets for width in self.widths if width <= b]
    for what in wanted:
      if what not in self._compiled:
        self._compiled[what] = self.program(*what).compile()
    return self

  def arrange(self, params):
    """Weights, as they are trained or in a sampler's layout, as this sampler takes them; untouched where they are."""
    wanted = self.params_shapes()
    same = lambda x, w: x.shape == w.shape and x.dtype == w.dtype and x.sharding.is_equivalent_to(w.sharding, x.ndim)
    if jax.tree.structure(params) == jax.tree.structure(wanted) and jax.tree.all(jax.tree.map(same, params, wanted)):
      return params
    if self._arrange is None:
      self._arrange = self.to_sampling()
    return self._arrange(params)

  def __call__(self, params, requests: list[Request], key, **limits) -> 'Rollout':
    """Begins a rollout; see Rollout. params: as `arrange` takes them."""
    return Rollout(self, self.arrange(params), requests, key, **limits)

  def prefill(self, params, batch: list[tuple], width: int):
    """((width, the prompts' lengths, their Prefix), their choices on the devices or None).

    batch: (token ids, rows that follow them, choices [n, L, k] or None) of each.
    """
    tokens, lengths = padded([ids for ids, *_ in batch], self.prompts, width, self.pad_id)
    known = None
    if self._known:
      known = np.full((*tokens.shape, *self.choices[0]), -1, self._known)
      for row, (*_, choices) in zip(known, batch):
        if choices is not None:
          row[:len(choices)] = choices
    found = self.run(('prefill', width), params, mesh_lib.put(Prompts(tokens, lengths, known), self.mesh))
    prefix, chosen = found if self.choices else (found, None)
    return (width, lengths, prefix), chosen

  def run(self, what: tuple, *args):
    if what not in self._compiled:
      raise KeyError(f'{what} was not compiled: call compile() first')
    return self._compiled[what](*args)


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

  def __init__(self, sampler: Sampler, params, requests: list[Request], key, *, groups: int | None = None,
               most_steps: int | None = None, clock: metrics.Clock | None = None,
               stop: Callable[['Rollout'], bool] | None = None):
    """
    Args:
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
