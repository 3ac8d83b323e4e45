"""One optimiser step, whatever the loss: `gradient` for every micro-batch of a minibatch, then `apply` once.

A loss is loss_fn(params, prefix, rows) -> (numerator, denominator, {name: metric}). Gradients of numerators are added
up and divided once, by the sum of denominators, so that a step does not depend on how its rows were cut up or dealt
out.

Rows may follow prompts (`prefix`), each computed once for all rows of the minibatch that follow it: `prefix` runs
forward, micro-batches leave behind what the loss asks of it, and `prompt_gradient` carries that back to the weights at
the end, for one more forward pass over the prompts.
"""

from typing import Any, Callable, NamedTuple
import zlib

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from r1jax.engine import lora as lora_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine.slots import prefill
from r1jax.types import Max, Prompts, Sum


class TrainState(struct.PyTreeNode):
  """All that a run needs to go on as if it had never stopped."""
  step: jax.Array  # int32, optimiser updates so far
  params: dict  # float32; with adapters: what is trained alone (lora.py)
  opt_state: tuple
  ref_params: dict | None  # the reference policy of eq. 2; None when kl_coef == 0
  key: jax.Array  # uint32[2], never advanced: what is random is keyed by fold_in(key, what, number)
  position: jax.Array  # int32, batches (SFT) or rollouts (RL) taken from the data
  accuracy_ema: jax.Array  # float32, reward statistics: running share of right answers


class Sums(NamedTuple):
  """What micro-batches add to."""
  grads: Any  # of the numerator, float32, like params
  prefix: Any  # the same of the prompts' keys and hidden states; None without prompts
  numerator: jax.Array
  denominator: jax.Array
  metrics: dict


def fresh(params, optimizer: optax.GradientTransformation, *, seed: int, reference: str | None) -> TrainState:
  """State at step 0; the reference starts as the policy, in the dtype `reference`; None: there is none."""
  return TrainState(
      step=jnp.int32(0), params=params, opt_state=optimizer.init(params),
      ref_params=params_lib.kept_as(params, reference) if reference else None,
      key=jax.random.key_data(jax.random.key(seed)), position=jnp.int32(0), accuracy_ema=jnp.float32(-1.0))


def state_shardings(boxed_params, optimizer, mesh, *, reference: str | None, ref_memory: str = 'device') -> TrainState:
  """Where every leaf of `fresh` lies; boxed_params is the abstract tree of model.init, names on."""
  boxed = jax.eval_shape(lambda p: fresh(p, optimizer, seed=0, reference=reference), boxed_params)
  shardings = mesh_lib.param_shardings(boxed, mesh)
  if reference and ref_memory == 'host':
    on_host = jax.tree.map(lambda s: s.with_memory_kind('pinned_host'), shardings.ref_params)
    shardings = shardings.replace(ref_params=on_host)
  return shardings


def add(a, b):
  """Two metrics of one name: (total, count) pairs and Sums add, of a Max the larger stays."""
  if isinstance(a, Max):
    return Max(jnp.maximum(a.value, b.value))
  return jax.tree.map(jnp.add, a, b)


def value(metric) -> jax.Array:
  """A metric of the whole minibatch: of a (total, count) pair the mean."""
  if isinstance(metric, (Max, Sum)):
    return metric.value
  total, count = metric
  return total / jnp.maximum(count, 1e-9)


def gradient(loss_fn: Callable, params, sums: Sums, prefix, rows) -> Sums:
  """sums with one micro-batch added; params as the loss takes them, of which adapters are learned alone."""
  trained, whole = lora_lib.parted(params)
  wrapped = lambda p, before: (lambda n, d, m: (n, (d, m)))(*loss_fn(whole(p), before, rows))
  both = jax.value_and_grad(wrapped, (0, 1), has_aux=True, allow_int=True)
  (numerator, (denominator, metrics)), (grads, back) = both(trained, prefix)
  floats = lambda acc, x: acc + x.astype(acc.dtype) if x.dtype != jax.dtypes.float0 else acc
  return Sums(jax.tree.map(jnp.add, sums.grads, grads), jax.tree.map(floats, sums.prefix, back),
              sums.numerator + numerator, sums.denominator + denominator,
              {name: add(sums.metrics[name], m) for name, m in metrics.items()})


def prompt_gradient(apply: Callable, params, sums: Sums, prompts: Prompts) -> Sums:
  """sums with what the rows ask of their prompts carried back to the weights."""
  trained, whole = lora_lib.parted(params)
  prefix, back = jax.vjp(lambda p: prefill(apply, whole(p), prompts)[:2], trained)
  (grads,) = back(jax.tree.map(lambda x, g: g.astype(x.dtype), prefix, tuple(sums.prefix[:2])))
  return sums._replace(grads=jax.tree.map(jnp.add, sums.grads, grads))


def apply(optimizer, state: TrainState, sums: Sums, after=None) -> tuple[TrainState, dict]:
  """One division by the one denominator, then the optimiser. Where loss or gradients are not finite the weights and the
  optimiser's state stay as they are, and only the step counts: 'update/skipped' is then 1.

  after: (params, sums of metrics) -> (params, means): what a model does to its parameters beside the optimiser, with
    the metrics that are a Sum (a mixture of experts moves its router's bias by the load), and what to log of it.
  """
  denominator = jnp.maximum(sums.denominator, 1e-9)
  grads = jax.tree.map(lambda g: g / denominator, sums.grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  means = {name: value(m) for name, m in sums.metrics.items() if not isinstance(m, Sum)}
  if after is not None:
    params, more = after(params, {name: m.value for name, m in sums.metrics.items() if isinstance(m, Sum)})
    means |= more
  means |= {'loss': sums.numerator / denominator, 'grad_norm': optax.global_norm(grads)}
  fine = jnp.isfinite(means['loss']) & jnp.isfinite(means['grad_norm'])
  means['update/skipped'] = 1.0 - fine.astype(jnp.float32)
  keep = lambda new, old: jnp.where(fine, new, old)
  return state.replace(step=state.step + 1, params=jax.tree.map(keep, params, state.params),
                       opt_state=jax.tree.map(keep, opt_state, state.opt_state)), means


class Training:
  """The programs of a stage that learns, compiled ahead for every shape of its micro-batches.

  Attributes:
    shardings, state: of the TrainState, and its shapes.
    params: shapes of the weights as losses take them.
    lora: what is adapted; None: all weights are trained.
    base: with adapters, the frozen weights on the devices, from `fresh` or `resumed` on.
  """

  def __init__(self, model, mesh, optimizer, loss_fn: Callable, rows: dict[int, Any], *, seed: int,
               prompts: tuple[int, int] | None = None, reference: str | None = None, ref_memory: str = 'device',
               after=None, choices=None, lora: lora_lib.Lora | None = None):
    """
    Args:
      rows: T -> the shapes of a micro-batch of rows of T tokens, with shardings.
      prompts: (N, P) of the minibatch's prompts, where rows follow prompts.
      reference: dtype of the reference policy; None: there is none.
      ref_memory: 'device' or 'host': where the reference lies between its passes.
      choices: a model's choices(), where prompts come with the experts of their tokens.
    """
    whole = params_lib.abstract(model)
    boxed = whole if lora is None else lora_lib.adapters(whole, model, lora)
    self.lora, self.base, self._seed = lora, None, seed
    self.mesh, self.model, self.rows = mesh, model, rows
    self._loss_fn, self._optimizer, self._after, self._ref_memory = loss_fn, optimizer, after, ref_memory
    self.shardings = state_shardings(boxed, optimizer, mesh, reference=reference, ref_memory=ref_memory)
    fresh_ = lambda p: fresh(p, optimizer, seed=seed, reference=reference)
    self.state = mesh_lib.with_shardings(jax.eval_shape(fresh_, mesh_lib.unbox(boxed)), self.shardings)
    self._fresh = jax.jit(fresh_, out_shardings=self.shardings, donate_argnums=0)
    self.params = self.state.params
    if lora is not None:
      frozen = lora_lib.base(whole, model, lora)
      self._base_shardings = mesh_lib.param_shardings(frozen, mesh)
      self.params = self._joined(mesh_lib.with_shardings(mesh_lib.unbox(frozen), self._base_shardings),
                                 self.state.params)
    dealt = mesh_lib.batch_sharding(mesh)
    known = choices and jax.ShapeDtypeStruct((*prompts, *choices[0]), choices[1], sharding=dealt)
    self._prompts = prompts and Prompts(jax.ShapeDtypeStruct(prompts, jnp.int32, sharding=dealt),
                                        jax.ShapeDtypeStruct(prompts[:1], jnp.int32, sharding=dealt), known)
    self._compiled = {}

  def _joined(self, base, trained):
    return lora_lib.joined(base, trained, self.lora.scale)

  def fresh(self, params) -> TrainState:
    """State at step 0; params are donated. With adapters they become the base, and a new pair stands beside it."""
    if self.lora is None:
      return self._fresh(params)
    head = {name: params[name] for name in ('reward_head',) if name in params}
    self._hold(params)
    key = jax.random.fold_in(jax.random.key(self._seed), zlib.crc32(b'lora'))
    begin = lambda key: lora_lib.init(self.state.params, key)
    where = lora_lib.without_head(self.shardings.params)
    return self._fresh(jax.jit(begin, out_shardings=where)(key) | head)

  def resumed(self, state: TrainState, params: Callable) -> TrainState:
    """A restored state; params() gives the weights that the stage began with, which adapters have as their base."""
    if self.lora is not None:
      self._hold(params())
    return state

  def _hold(self, params) -> None:
    self.base = lora_lib.without_head(params)
    if self.lora.base_dtype != 'float32':
      kept = lambda params: lora_lib.kept(params, self.model, self.lora)
      self.base = jax.jit(kept, out_shardings=self._base_shardings)(self.base)

  def whole(self, trained):
    """A state's params, or its reference's, as the losses and a sampler take them."""
    return trained if self.lora is None else self._joined(self.base, trained)

  def prefix_shapes(self):
    """Of the prompts, as `prefix` gives them; None without prompts."""
    if self._prompts is None:
      return None
    with mesh_lib.use_mesh(self.mesh):
      shapes = jax.eval_shape(lambda p, q: prefill(self.model.apply, p, q), self.params, self._prompts)
    axes = {5: ('layers', 'batch', 'kv_heads', None, None), 2: ('batch', None), 1: ('batch',)}
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=mesh_lib.sharding(
        axes[len(x.shape)], x.shape, self.mesh)), shapes)

  def sums_shapes(self) -> Sums:
    prefix, whole = self.prefix_shapes(), mesh_lib.replicated(self.mesh)
    rows = next(iter(self.rows.values()))
    with mesh_lib.use_mesh(self.mesh):
      numerator, denominator, metrics = jax.eval_shape(self._loss_fn, self.params, prefix, rows)
    scalar = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
    wide = lambda x: jax.ShapeDtypeStruct(x.shape, jnp.promote_types(x.dtype, jnp.float32), sharding=x.sharding)
    back = None if prefix is None else prefix._replace(kv_LxNx=jax.tree.map(wide, prefix.kv_LxNx),
                                                       hidden_NxD=wide(prefix.hidden_NxD))
    return Sums(self.state.params, back, scalar(numerator), scalar(denominator), jax.tree.map(scalar, metrics))

  def program(self, name: str, T: int = 0, params=None, *, replay: bool = True) -> mesh_lib.Program:
    """'empty', 'prefix', 'gradient' (T), 'prompt_gradient', 'apply'. params: shapes of the weights of a 'prefix', where
    they are not the policy's; replay: it takes the prompts' choices, where they come with some."""
    where = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
    make = lambda f, args, **kw: mesh_lib.Program(jax.jit(f, keep_unused=True, **kw), args, self.mesh, mesh_lib.RULES)
    state = self.state
    if name == 'prefix':
      prompts = self._prompts if replay else self._prompts._replace(choices_NxPxLxk=None)
      return make(lambda p, q: prefill(self.model.apply, p, q), (params or self.params, prompts),
                  out_shardings=where(self.prefix_shapes()))
    sums = self.sums_shapes()
    out = where(sums)
    if name == 'empty':
      return make(lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), sums), (), out_shardings=out)
    if name == 'gradient':
      return make(lambda *args: gradient(self._loss_fn, *args),
                  (self.params, sums, self.prefix_shapes(), self.rows[T]), donate_argnums=1, out_shardings=out)
    if name == 'prompt_gradient':
      return make(lambda *args: prompt_gradient(self.model.apply, *args), (self.params, sums, self._prompts),
                  donate_argnums=1, out_shardings=out)
    bare = state.replace(ref_params=None)  # the optimiser has no business with the reference
    return make(lambda s, acc: apply(self._optimizer, s, acc, self._after), (bare, sums), donate_argnums=0,
                out_shardings=(where(bare), mesh_lib.replicated(self.mesh)))

  def compile(self) -> 'Training':
    """Every program of a step, so that none is compiled in the loop."""
    names = ['empty', 'apply', *(['prefix', 'prompt_gradient'] if self._prompts else [])]
    for what in [(name,) for name in names] + [('gradient', T) for T in self.rows]:
      if what not in self._compiled:
        self._compiled[what] = self.program(*what).compile()
    return self

  def prefix(self, params, prompts: Prompts | None):
    """What rows need of their prompts; None where there are none."""
    return None if prompts is None else self._compiled['prefix',](params, prompts)

  def step(self, state: TrainState, micro_batches, prompts: Prompts | None = None,
           stop: Callable[[], bool] | None = None) -> tuple[TrainState, dict] | None:
    """One optimiser step on device arrays; the state is donated, all but its reference. Means are device arrays,
    too.

    stop: asked before each micro-batch, once the one before is done; where it is true the state stays as it was, and
      the step gives None.
    """
    params = self.whole(state.params)
    prefix, sums = self.prefix(params, prompts), self._compiled['empty',]()
    for T, rows in micro_batches:
      if stop is not None:
        jax.block_until_ready(sums.numerator)  # or the devices would have all of them to finish first
        if stop():
          return None
      sums = self._compiled['gradient', T](params, sums, prefix, rows)
    if prompts is not None:
      sums = self._compiled['prompt_gradient',](params, sums, prompts)
    reference = state.ref_params
    state, means = self._compiled['apply',](state.replace(ref_params=None), sums)
    return state.replace(ref_params=reference), means


def put_micro_batches(micro_batches: list[tuple[int, Any]], mesh) -> list[tuple[int, Any]]:
  """Host arrays, the same on every process -> device arrays."""
  return [(T, mesh_lib.put(jax.tree.map(np.asarray, rows), mesh)) for T, rows in micro_batches]
