"""Prompt ids -> completions: one jitted loop, and the trainer's view of the same tokens beside it.

The prompt is prefilled once and its keys are read by all G samples of the group; only completions have a cache
of their own, which the loop carries and writes in place. `apply` is a model's apply with the methods `hidden`
and `unembed` (models/decoder.py); nothing here knows which model it is.
"""

from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp

from r1jax.engine.losses import token_logps
from r1jax.types import NOWHERE, Prompts, Rollout


def prompt_positions(prompts: Prompts) -> jax.Array:
  """[N, P]: 0 at each prompt's first token, NOWHERE on the padding before it."""
  P = prompts.tokens_NxP.shape[1]
  positions = jnp.arange(P) - (P - prompts.lengths_N[:, None])
  return jnp.where(positions < 0, NOWHERE, positions).astype(jnp.int32)


def adjusted_logits(logits_BxV: jax.Array, *, temperature: float, top_k: int = 0, top_p: float = 1.0) -> jax.Array:
  """Logits of the distribution that is sampled from: what top-k and top-p cut away is at -inf.

  Args:
    temperature: > 0.
    top_k: keep the k largest; 0 keeps all.
    top_p: keep the smallest set of largest tokens whose probability reaches p (Holtzman et al. 2020); the
      largest token always stays.
  """
  logits = logits_BxV / temperature
  if top_k:
    kth = jax.lax.top_k(logits, top_k)[0][:, -1:]
    logits = jnp.where(logits < kth, -jnp.inf, logits)
  if top_p < 1.0:
    ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
    probs = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probs, axis=-1) - probs  # probability of all larger tokens
    smallest = jnp.min(jnp.where(before < top_p, ordered, ordered[:, :1]), axis=-1, keepdims=True)
    logits = jnp.where(logits < smallest, -jnp.inf, logits)
  return logits


def choose(logits_BxV: jax.Array, keys_B: jax.Array, *, temperature: float, top_k: int, top_p: float):
  """(token_B, logp_B): one token a row and its log-probability under the distribution sampled from.

  temperature == 0 takes the largest logit; its log-probability there is 0.
  """
  if temperature == 0:
    return jnp.argmax(logits_BxV, axis=-1).astype(jnp.int32), jnp.zeros(logits_BxV.shape[:1], jnp.float32)
  logits = adjusted_logits(logits_BxV, temperature=temperature, top_k=top_k, top_p=top_p)
  token_B = jax.vmap(jax.random.categorical)(keys_B, logits).astype(jnp.int32)
  logps = jax.nn.log_softmax(logits, axis=-1)
  return token_B, jnp.take_along_axis(logps, token_B[:, None], axis=-1)[:, 0]


class Decoding(NamedTuple):
  """The loop's state, between two tokens."""
  t: jax.Array  # int32 scalar, tokens chosen so far
  hidden_BxD: jax.Array  # from which the next token is chosen
  cache: object
  tokens_BxT: jax.Array  # int32
  logps_BxT: jax.Array  # float32
  done_B: jax.Array  # bool
  lengths_B: jax.Array  # int32


class Sampler(NamedTuple):
  """The parts of `sample`, for those who compile or time them one by one."""
  prefill: Callable  # (params, prompts) -> (hidden_NxD, prefix)
  start: Callable  # (hidden_NxD) -> Decoding
  step: Callable  # (params, prompts, prefix, keys_B, Decoding) -> Decoding, one token further
  sample: Callable  # (params, prompts, key, first=0) -> Rollout


def make_sampler(apply: Callable, empty_cache: Callable, *, samples: int, max_tokens: int, eos_ids: tuple[int, ...],
                 pad_id: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Sampler:
  """sample(params, prompts, key) -> Rollout of N * samples completions, prompt-major; pure, to be jitted.

  Row b draws with its own key fold_in(key, first + b), so what it says does not depend on its neighbours, nor on the
  number of prompts that are sampled at once.

  Args:
    apply: apply({'params': params}, ..., method='hidden' | 'unembed').
    empty_cache: (rows, slots) -> a cache for `hidden`.
    max_tokens: T; a completion that has not ended by then is cut off.
    eos_ids: any of these ends a completion.
  """
  if not eos_ids:
    raise ValueError('eos_ids is empty: no completion could end')
  eos, T = jnp.asarray(eos_ids, jnp.int32), max_tokens

  def prefill(params, prompts: Prompts):
    with jax.named_scope('prefill'):
      hidden_NxPxD, prefix = apply({'params': params}, prompts.tokens_NxP, prompt_positions(prompts), method='hidden')
    return hidden_NxPxD[:, -1], prefix

  def start(hidden_NxD) -> Decoding:
    B = hidden_NxD.shape[0] * samples
    return Decoding(jnp.int32(0), jnp.repeat(hidden_NxD, samples, axis=0), empty_cache(B, T),
                    jnp.full((B, T), pad_id, jnp.int32), jnp.zeros((B, T), jnp.float32), jnp.zeros(B, bool),
                    jnp.zeros(B, jnp.int32))

  def step(params, prompts: Prompts, prefix, row_keys, state: Decoding) -> Decoding:
    weights = {'params': params}
    t, hidden_BxD, cache, tokens_BxT, logps_BxT, done_B, lengths_B = state
    keys_B = jax.vmap(jax.random.fold_in, (0, None))(row_keys, t)
    with jax.named_scope('choose'):
      token_B, logp_B = choose(apply(weights, hidden_BxD, method='unembed'), keys_B,
                               temperature=temperature, top_k=top_k, top_p=top_p)
    token_B = jnp.where(done_B, pad_id, token_B)
    tokens_BxT = jax.lax.dynamic_update_slice(tokens_BxT, token_B[:, None], (0, t))
    logps_BxT = jax.lax.dynamic_update_slice(logps_BxT, jnp.where(done_B, 0.0, logp_B)[:, None], (0, t))
    lengths_B = lengths_B + ~done_B
    done_B = done_B | jnp.any(token_B[:, None] == eos, axis=-1)
    start_B = jnp.repeat(prompts.lengths_N, samples)
    with jax.named_scope('decode'):
      hidden, cache = apply(weights, token_B[:, None], (start_B + t)[:, None], cache=cache, prefix=prefix,
                            method='hidden')
    return Decoding(t + 1, hidden[:, 0], cache, tokens_BxT, logps_BxT, done_B, lengths_B)

  def sample(params, prompts: Prompts, key: jax.Array, first=0) -> Rollout:
    B = prompts.tokens_NxP.shape[0] * samples
    hidden_NxD, prefix = prefill(params, prompts)
    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(B))
    running = lambda state: (state.t < T) & ~jnp.all(state.done_B)
    body = lambda state: step(params, prompts, prefix, row_keys, state)
    end = jax.lax.while_loop(running, body, start(hidden_NxD))
    return Rollout(end.tokens_BxT, end.logps_BxT, end.lengths_B, end.done_B)

  return Sampler(prefill, start, step, sample)


def completion_logps(apply: Callable, params, prompts: Prompts, completions_BxT: jax.Array, *,
                     temperature: float, chunk: int = 128) -> tuple[jax.Array, jax.Array]:
  """(logps_BxT, entropy_BxT) of completions by teacher forcing, nats: what the sampler should have said.

  As in the sampler, each prompt is computed once for its group; gradients flow into it from all G rows.
  """
  weights = {'params': params}
  B, T = completions_BxT.shape
  G = B // prompts.tokens_NxP.shape[0]
  hidden_NxPxD, prefix = apply(weights, prompts.tokens_NxP, prompt_positions(prompts), method='hidden')
  hidden_BxTxD = jnp.repeat(hidden_NxPxD[:, -1:], G, axis=0)
  if T > 1:  # the last token predicts nothing; it is computed all the same, so that T stays a multiple of a block
    positions_BxT = jnp.repeat(prompts.lengths_N, G)[:, None] + jnp.arange(T)
    rest, _ = apply(weights, completions_BxT, positions_BxT, prefix=prefix, method='hidden')
    hidden_BxTxD = jnp.concatenate([hidden_BxTxD, rest[:, :-1]], axis=1)
  unembed = lambda hidden: apply(weights, hidden, method='unembed')
  return token_logps(unembed, hidden_BxTxD, completions_BxT, temperature=temperature, chunk=chunk)
