"""One optimiser step: (state, batch) -> (state, metrics), jitted and sharded, whatever the loss."""

from flax import struct
import jax
import jax.numpy as jnp
import optax

from r1jax.engine import mesh as mesh_lib


class TrainState(struct.PyTreeNode):
  """All that a run needs to go on as if it had never stopped."""
  step: jax.Array  # int32, optimiser updates so far
  params: dict  # float32
  opt_state: tuple
  ref_params: dict | None  # the reference policy of eq. 2; None when kl_coef == 0
  key: jax.Array  # uint32[2], never advanced: what is random is keyed by fold_in(key, what, number)
  position: jax.Array  # int32, batches (SFT) or rollouts (RL) taken from the data
  accuracy_ema: jax.Array  # float32, reward statistics: running share of right answers


def fresh(params, optimizer: optax.GradientTransformation, *, seed: int, reference: bool) -> TrainState:
  """State at step 0; the reference starts as the policy."""
  return TrainState(
      step=jnp.int32(0), params=params, opt_state=optimizer.init(params),
      ref_params=jax.tree.map(jnp.copy, params) if reference else None,
      key=jax.random.key_data(jax.random.key(seed)), position=jnp.int32(0), accuracy_ema=jnp.float32(-1.0))


def state_shardings(boxed_params, optimizer, mesh, *, reference: bool) -> TrainState:
  """Where every leaf of `fresh` lies; boxed_params is the abstract tree of model.init, names on."""
  boxed = jax.eval_shape(lambda p: fresh(p, optimizer, seed=0, reference=reference), boxed_params)
  return mesh_lib.param_shardings(boxed, mesh)


def abstract_params(model):
  """Shapes of the parameters with their logical axis names, without computing anything."""
  return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32)))['params']


def init_params(model, seed: int):
  """Fresh float32 parameters, names taken off."""
  init = jax.jit(lambda key: mesh_lib.unbox(model.init(key, jnp.zeros((1, 2), jnp.int32)))['params'])
  return init(jax.random.key(seed))


def make_update(loss_fn, optimizer: optax.GradientTransformation, mesh, shardings: TrainState, *,
                groups: int, micro_batches: int = 1, micro_samples: int = 1, after=None):
  """Compiles the step.

  loss_fn(params, batch) -> (numerator, denominator, {name: (sum, count)}). The gradient of the numerator is
  summed over `micro_batches` slices of the batch and divided once by the sum of denominators, so that the
  step does not depend on how the batch was cut up or dealt out. A batch has `groups` groups (rows, in SFT):
  the first axis of each array is a multiple of that, and slices are of whole groups. With micro_samples > 1 each is
  cut once more: 1 / micro_samples of every group's outputs, behind the same prompts.

  Args:
    after: (params, sums) -> (params, means): what a model does to its parameters beside the optimiser, with the
      arrays under 'experts/' in the summed metrics (mixture of experts: its router's bias), and what to log of it.

  Returns: update(state, batch) -> (state, metrics). The state is donated.
  """
  if groups % micro_batches:
    raise ValueError(f'{groups=} is not a multiple of {micro_batches=}')
  grad_fn = jax.value_and_grad(lambda p, b: (lambda n, d, m: (n, (d, m)))(*loss_fn(p, b)), has_aux=True)
  rows = mesh_lib.batch_sharding(mesh)

  def slices(x):
    # Micro-batch m takes group m of each run of k: rows stay on their devices when the batch is dealt out.
    outputs = x.shape[0] // groups
    parts = micro_samples if outputs > 1 else 1
    y = x.reshape(groups // micro_batches, micro_batches, parts, outputs // parts, *x.shape[1:])
    y = jnp.moveaxis(y, 0, 2).reshape(micro_batches, parts, -1, *x.shape[1:])
    y = jnp.broadcast_to(y, (micro_batches, micro_samples, *y.shape[2:])).reshape(-1, *y.shape[2:])
    return jax.lax.with_sharding_constraint(
        y, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, *rows.spec)))

  def total(params, batch):
    (numerator, (denominator, metrics)), grads = grad_fn(params, batch)
    return grads, numerator, denominator, metrics

  def update(state: TrainState, batch):
    if micro_batches * micro_samples == 1:
      grads, numerator, denominator, metrics = total(state.params, batch)
    else:
      parts = jax.tree.map(slices, batch)
      shapes = jax.eval_shape(total, state.params, jax.tree.map(lambda x: x[0], parts))
      zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

      def add(acc, part):
        out = total(state.params, part)
        merged = {name: _merge(name, acc[3][name], value) for name, value in out[3].items()}
        return (*jax.tree.map(jnp.add, acc[:3], out[:3]), merged), None

      (grads, numerator, denominator, metrics), _ = jax.lax.scan(add, zeros, parts)
    denominator = jnp.maximum(denominator, 1e-9)
    grads = jax.tree.map(lambda g: g / denominator, grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    own = {}
    if after is not None:
      params, own = after(params, {name: s for name, (s, _) in metrics.items() if name.startswith('experts/')})
    means = {name: s / jnp.maximum(n, 1e-9) for name, (s, n) in metrics.items() if not name.startswith('experts/')}
    means |= own
    means |= {'loss': numerator / denominator, 'grad_norm': optax.global_norm(grads)}
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), means

  return jax.jit(update, donate_argnums=0, in_shardings=(shardings, rows),
                 out_shardings=(shardings, mesh_lib.replicated(mesh)))


def _merge(name: str, a, b):
  """(sum, count) pairs add; a maximum is (maximum, 1)."""
  if name.endswith('max_abs'):
    return jnp.maximum(a[0], b[0]), b[1]
  return a[0] + b[0], a[1] + b[1]
