"""The programs of a rollout (rollout.py), for a model on a mesh: prefill, admit, decode, and caches of a few sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import rollout
from r1jax.engine.packing import buckets
from r1jax.engine.slots import Slots, admit, decode, padded, prefill, prefill_choosing
from r1jax.models.decoder import Cache, Prefix
from r1jax.types import Prompts, Request


class Sampler:
  """Compiled ahead, for every size of the cache; called with weights and requests it begins a rollout."""

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

  def __call__(self, params, requests: list[Request], key, **limits) -> rollout.Rollout:
    """Begins a rollout; see rollout.Rollout. params: as `arrange` takes them."""
    return rollout.Rollout(self, self.arrange(params), requests, key, **limits)

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
