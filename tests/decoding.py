"""One new token a row behind prompts, by the parts of engine/slots.py: what tests of models compare with whole
rows."""

import jax
import jax.numpy as jnp

from r1jax.engine import slots as slots_lib
from r1jax.models import attention
from r1jax.types import Prompts


def right_padded(prompts, width: int) -> Prompts:
  """Lists of ids -> Prompts."""
  return Prompts(*(jnp.asarray(x) for x in slots_lib.padded(prompts, len(prompts), width, 0)))


def stepwise(model, params, prompts: Prompts, prompt_B, tail_BxT, *, columns: int = 32, apart: bool = False):
  """[B, T, D]: hidden states of tail tokens fed one by one, row b behind prompt prompt_B[b]; the last three in a second
  chunk, so that they see what `append` has stored."""
  prefix = slots_lib.prefill(model.apply, params, prompts)
  (B, T), dim = tail_BxT.shape, model.config.dim
  free = jnp.zeros(B, jnp.int32)
  hidden_SxD = jnp.zeros((B, dim), model.config.dtype)
  slots = slots_lib.Slots(model.empty_cache(B, columns, apart=apart), hidden_SxD, free, free, free, jnp.ones(B, bool))
  cache = slots_lib.admit(slots, prefix, jnp.asarray(prompt_B, jnp.int32), free, free, free).cache
  out, at = [], 0
  for n in (max(T - 3, 0), min(T, 3)):
    if not n:
      continue

    def one(recent, x, cache=cache):
      i, token_B = x
      step = attention.Step(cache.columns_S, i, jnp.ones(B, bool))
      at = cache.columns_S + i
      hidden, recent = model.apply({'params': params}, token_B, at, cache, recent, step, method='decode')
      return recent, hidden

    recent, hidden_nxBxD = jax.lax.scan(one, model.empty_cache(B, n, apart=apart).kv,
                                        (jnp.arange(n, dtype=jnp.int32), tail_BxT[:, at:at + n].T))
    if apart:
      both = zip(zip(*cache.kv), zip(*recent))
      kv = tuple(zip(*[attention.append(old, new, cache.columns_S, stacked=False) for old, new in both]))
    else:
      kv = attention.append(cache.kv, recent, cache.columns_S, stacked=True)
    cache, at = cache._replace(kv=kv, columns_S=cache.columns_S + n), at + n
    out.append(hidden_nxBxD)
  return jnp.concatenate(out).swapaxes(0, 1)


def teacher_forced(model, params, prompts: Prompts, prompt_B, tail_BxT):
  """The same by whole rows behind a shared prefix."""
  prefix = slots_lib.prefill(model.apply, params, prompts)
  at = prompts.lengths_N[jnp.asarray(prompt_B)][:, None] + jnp.arange(tail_BxT.shape[1])
  found, _ = model.apply({'params': params}, tail_BxT, at.astype(jnp.int32), prefix=prefix,
                         prompt_B=jnp.asarray(prompt_B), method='hidden')
  return found
