"""What a rollout does on the devices: prompts -> prefix, rows that begin, tokens chosen for all rows at once.

`prefill` computes each prompt once for its group, `admit` copies what attention keeps of it into the rows of its
samples, `decode` chooses tokens for all rows until some have ended. The host loop is rollout.py's.

`apply` is a model's apply with the methods `hidden`, `decode` and `unembed` (models/decoder.py).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.engine import choose as choose_lib
from r1jax.models import attention
from r1jax.models import moe
from r1jax.models.decoder import Cache, Prefix
from r1jax.types import NOWHERE, Prompts


class Slots(NamedTuple):
  """S rows between two tokens; what a row holds beyond its columns may be anything."""
  cache: Cache
  hidden_SxD: jax.Array  # from which the next token is chosen
  sample_S: jax.Array  # int32, the number of the sample that a row works on
  length_S: jax.Array  # int32, tokens chosen so far
  limit_S: jax.Array  # int32, tokens at which a row is cut off
  done_S: jax.Array  # bool: ended, or free


class Chunk(NamedTuple):
  """What one call of `decode` chose, whole on every host."""
  tokens_Sxn: jax.Array  # int32
  logps_Sxn: jax.Array  # float32, nats, of the distribution sampled from
  count_S: jax.Array  # int32, tokens of each row
  done_S: jax.Array  # bool
  steps: jax.Array  # int32, decode steps that ran
  choices_SxnxLxk: jax.Array | None = None  # the experts that each was sent to, where they are kept; 0 of a row's last


def prompt_positions(prompts: Prompts) -> jax.Array:
  """[N, P]: 0 at each prompt's first token, NOWHERE on the padding behind it."""
  at = jnp.arange(prompts.tokens_NxP.shape[1], dtype=jnp.int32)
  return jnp.where(at < prompts.lengths_N[:, None], at, NOWHERE)


def prefill(apply, params, prompts: Prompts) -> Prefix:
  """Each prompt, computed once."""
  apply = moe.replaying(apply, prompts.choices_NxPxLxk)
  with jax.named_scope('prefill'):
    hidden_NxPxD, kv = apply({'params': params}, prompts.tokens_NxP, prompt_positions(prompts), method='hidden')
  last = jnp.take_along_axis(hidden_NxPxD, (prompts.lengths_N - 1)[:, None, None], axis=1)[:, 0]
  return Prefix(kv, last, prompts.lengths_N)


def prefill_choosing(apply, params, prompts: Prompts) -> tuple[Prefix, jax.Array]:
  """`prefill`, and the experts [N, P, L, k] that tokens were sent to."""
  call, seen = moe.choosing(apply)
  return prefill(call, params, prompts), seen[0]


def admit(slots: Slots, prefix: Prefix, source_S, sample_S, length_S, limit_S) -> Slots:
  """Row s begins with prompt source_S[s] of the prefix as sample sample_S[s]; -1: it goes on as it is.

  length_S: tokens chosen already, where the prefix holds a prompt with the beginning of its completion.
  """
  new_S = source_S >= 0
  source = jnp.maximum(source_S, 0)
  per_row = lambda mask, ndim, axis: mask.reshape([-1 if i == axis else 1 for i in range(ndim)])

  def put(stored, kept, axis):  # rows are the axis 0 of a layer's array, 1 of a stack's
    kept = jnp.take(kept, source, axis=axis).astype(stored.dtype)
    old = stored[tuple(slice(0, n) for n in kept.shape)]
    kept = jnp.where(per_row(new_S, kept.ndim, axis), kept, old)
    return jax.lax.dynamic_update_slice(stored, kept, (0,) * stored.ndim)

  kv = attention.as_stored(prefix.kv_LxNx)
  if isinstance(slots.cache.kv[0], tuple) and jax.sharding.get_abstract_mesh().size <= 1:
    stored = _put_rows(slots.cache.kv, kv, source_S)
  else:
    stored = tuple(tuple(put(layer, kept[i], 0) for i, layer in enumerate(whole)) if isinstance(whole, tuple)
                   else put(whole, kept, 1) for whole, kept in zip(slots.cache.kv, kv))
  pick = lambda new, old: jnp.where(per_row(new_S, old.ndim, 0), new.astype(old.dtype), old)
  return Slots(Cache(stored, pick(prefix.lengths_N[source], slots.cache.columns_S)),
               pick(prefix.hidden_NxD[source], slots.hidden_SxD),
               pick(sample_S, slots.sample_S), pick(length_S, slots.length_S), pick(limit_S, slots.limit_S),
               slots.done_S & ~new_S)


def _put_rows(stored, kept_LxNx, source_S):
  """On one device: row by row, so that what is not touched is not copied."""
  rows_S = jnp.argsort(source_S < 0, stable=True)

  def one(i, stored):
    s = rows_S[i]
    parts = tuple(jax.lax.dynamic_index_in_dim(whole, source_S[s], axis=1) for whole in kept_LxNx)  # [L, 1, ...]
    return tuple(tuple(jax.lax.dynamic_update_slice(layer, part[n].astype(layer.dtype), (s, 0, 0, 0))
                       for n, layer in enumerate(layers)) for layers, part in zip(stored, parts))

  return jax.lax.fori_loop(0, jnp.sum(source_S >= 0), one, stored)


def decode(apply, empty_recent, params, slots: Slots, key, enough, *, steps: int, eos_ids, pad_id: int,
           experts=None, **choice) -> tuple[Slots, Chunk]:
  """Up to `steps` tokens for every row that has not ended; less when `enough` rows have ended meanwhile, or all.

  Args:
    empty_recent: () -> where the keys of these tokens are kept until the end of the chunk.
    experts: a model's choices(): they are kept; None: they are not.
    choice: temperature, top_k, top_p.
  """
  choose = functools.partial(choose_lib.choose, **choice)
  slots, chunk, kept = decode_by(choose, apply, empty_recent, params, slots, key, enough, steps, columns=steps,
                                 eos_ids=eos_ids, pad_id=pad_id, experts=experts)
  return slots, chunk if experts is None else chunk._replace(choices_SxnxLxk=kept[-1])


def decode_by(choose, apply, empty_recent, params, slots: Slots, key, enough, steps, *, columns: int, eos_ids,
              pad_id: int, beside=(), experts=None) -> tuple[Slots, Chunk, tuple]:
  """`decode` with a choice of one's own.

  Args:
    choose: (logits_SxV, keys_S) -> token_S, logp_S, and what is kept of each token beside them.
    key: one for all rows, or [S].
    steps: at most; may be known when it runs only.
    columns: of what is given back and of empty_recent, at least `steps`.
    beside: (shape, dtype) of a row, for each array that `choose` gives beside.
    experts: as of decode; they are the last of what is kept beside.

  Returns:
    slots, chunk, and a tuple of [S, columns, *shape].
  """
  recorded, seen = (apply, []) if experts is None else moe.choosing(apply)
  beside = (*beside, *([] if experts is None else [experts]))
  weights, eos, done_before = {'params': params}, jnp.asarray(eos_ids, jnp.int32), jnp.sum(slots.done_S)
  row_keys = jax.vmap(jax.random.fold_in, (0 if key.ndim else None, 0))(key, slots.sample_S)
  columns_S, first_S = slots.cache.columns_S, slots.length_S

  def running(state):
    i, _, _, length_S, done_S, *_ = state
    return (i < steps) & ~jnp.all(done_S) & (jnp.sum(done_S) - done_before < enough)

  def step(state):
    i, hidden_SxD, recent, length_S, done_S, *said = state
    with jax.named_scope('choose'):
      keys_S = jax.vmap(jax.random.fold_in)(row_keys, length_S)
      token_S, *more = choose(apply(weights, hidden_SxD, method='unembed'), keys_S)
    token_S = jnp.where(done_S, pad_id, token_S)
    length_S = length_S + ~done_S
    done_S = done_S | jnp.any(token_S[:, None] == eos, axis=-1) | (length_S >= slots.limit_S)
    with jax.named_scope('decode'):
      hidden_SxD, recent = recorded(weights, token_S, columns_S + i, slots.cache, recent,
                                    attention.Step(columns_S, i, ~done_S), method='decode')
    if seen:  # nothing follows a row's last token: what it was sent to is never asked for
      more = [*more, jnp.where(done_S[:, None, None], 0, seen.pop()[:, 0])]
    said = [jax.lax.dynamic_update_slice_in_dim(kept, new[:, None].astype(kept.dtype), i, axis=1)
            for kept, new in zip(said, (token_S, *more), strict=True)]
    return i + 1, hidden_SxD, recent, length_S, done_S, *said

  rows = slots.done_S.shape[0]
  start = (jnp.int32(0), slots.hidden_SxD, empty_recent(), slots.length_S, slots.done_S,
           jnp.full((rows, columns), pad_id, jnp.int32), jnp.zeros((rows, columns), jnp.float32),
           *(jnp.zeros((rows, columns, *shape), dtype) for shape, dtype in beside))
  i, hidden_SxD, recent, length_S, done_S, tokens_Sxn, logps_Sxn, *more = jax.lax.while_loop(running, step, start)
  count_S = length_S - first_S
  if isinstance(recent[0], tuple):
    both = zip(zip(*slots.cache.kv), zip(*recent))
    layers = [attention.append(old, new, columns_S, stacked=False) for old, new in both]
    kv = tuple(zip(*layers))
  else:
    kv = attention.append(slots.cache.kv, recent, columns_S, stacked=True)
  slots = Slots(Cache(kv, columns_S + count_S), hidden_SxD, slots.sample_S, length_S, slots.limit_S, done_S)
  return slots, Chunk(tokens_Sxn, logps_Sxn, count_S, done_S, i), tuple(more)


def padded(prompts: list[np.ndarray], rows: int, width: int, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
  """(tokens [rows, width], lengths [rows]), padded on the right; rows without a prompt have one token."""
  tokens, lengths = np.full((rows, width), pad_id, np.int32), np.ones(rows, np.int32)
  for i, ids in enumerate(prompts):
    tokens[i, :len(ids)], lengths[i] = ids, len(ids)
  return tokens, lengths
