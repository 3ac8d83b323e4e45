"""Optimiser and schedule from a config's plain values."""

import jax
import optax


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
           clip_norm: float = 1.0) -> optax.GradientTransformation:
  """AdamW after clipping by the global norm; kernels decay, embeddings, norms and biases do not."""
  rate = schedule(learning_rate=learning_rate, warmup=warmup, steps=steps, decay=decay, final_share=final_share)
  exempt = ('scale', 'bias', 'embedding')  # by name: layers are stacked, so the number of axes says nothing
  name = lambda path: [entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey)][-1]
  kernels = lambda params: jax.tree_util.tree_map_with_path(lambda path, _: not name(path).endswith(exempt), params)
  return optax.chain(
      optax.clip_by_global_norm(clip_norm),
      optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=kernels))
