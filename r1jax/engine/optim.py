"""Optimiser and schedule from a config's plain values."""

import jax
import jax.numpy as jnp
import optax

COARSEST_BETA = 1 - 2**-6  # a bfloat16 moment moves by steps of 2^-8: smaller ones than (1 - b2) would be lost


def schedule(*, learning_rate: float, warmup: int, steps: int, decay: str, final_share: float):
  """Linear warm-up, then 'constant', 'linear' or 'cosine' down to final_share * learning_rate at `steps`."""
  rest = max(steps - warmup, 1)
  after = {
      'constant': lambda: optax.constant_schedule(learning_rate),
      'linear': lambda: optax.linear_schedule(learning_rate, final_share * learning_rate, rest),
      'cosine': lambda: optax.cosine_decay_schedule(learning_rate, rest, alpha=final_share),
  }
  if decay not in after:
    raise ValueError(f'{decay=} is not one of {", ".join(after)}')
  if warmup == 0:
    return after[decay]()
  return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup), after[decay]()], [warmup])


def create(*, learning_rate: float, steps: int, warmup: int = 0, decay: str = 'constant', final_share: float = 0.1,
           b1: float = 0.9, b2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.0,
           clip_norm: float = 1.0, dtype: str = 'float32') -> optax.GradientTransformation:
  """AdamW after clipping by the global norm; kernels decay, embeddings, norms and biases do not.

  Args:
    dtype: of both moments while they are kept; they are computed in float32.

  Raises:
    ValueError: moments in bfloat16 with a b2 whose changes bfloat16 cannot hold.
  """
  if dtype not in ('float32', 'bfloat16'):
    raise ValueError(f"optimizer.{dtype=} is not one of 'float32', 'bfloat16'")
  if dtype == 'bfloat16' and max(b1, b2) > COARSEST_BETA:
    raise ValueError(f"optimizer.dtype='bfloat16' loses changes as small as 1 - b2={1 - max(b1, b2):.4g} makes them: "
                     f'b1 and b2 of at most {COARSEST_BETA:.4f}, or float32')
  rate = schedule(learning_rate=learning_rate, warmup=warmup, steps=steps, decay=decay, final_share=final_share)
  exempt = ('scale', 'bias')  # by name: layers are stacked, so the number of axes says nothing
  name = lambda path: [entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey)][-1]
  decays = lambda path: not name(path).endswith(exempt) and name(path) != 'embedding'
  kernels = lambda params: jax.tree_util.tree_map_with_path(lambda path, _: decays(path), params)
  adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
  return optax.chain(
      optax.clip_by_global_norm(clip_norm),
      adam if dtype == 'float32' else _kept_as(adam, jnp.dtype(dtype)),
      optax.add_decayed_weights(weight_decay, kernels),
      optax.scale_by_learning_rate(rate))


def _kept_as(inner: optax.GradientTransformation, dtype) -> optax.GradientTransformation:
  """`inner` with the floats of its state kept in `dtype` between updates."""
  cast = lambda state, to: jax.tree.map(lambda x: x.astype(to) if jnp.issubdtype(x.dtype, jnp.floating) else x, state)

  def update(grads, state, params=None):
    updates, state = inner.update(grads, cast(state, jnp.float32), params)
    return updates, cast(state, dtype)

  return optax.GradientTransformation(lambda params: cast(inner.init(params), dtype), update)
