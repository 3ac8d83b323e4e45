"""Log-probabilities of given tokens behind given tokens, and whether greedy decoding would have said them."""

import functools
from typing import Callable, Iterator, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import api
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import slots as slots_lib
from r1jax.exceptions import UserError
from r1jax.models.decoder import Prefix

TOKENS = 1 << 14  # positions of a batch, prompts and completions together
CHUNK = 64  # positions whose logits are held at a time


class Likely(NamedTuple):
  """Of one completion, a number a token."""
  logps: np.ndarray  # float32, nats, at temperature 1
  greedy: np.ndarray  # bool: no token of the vocabulary is likelier


class Scorer:
  """Scores pairs of token ids; completions of one prompt share its computation."""

  def __init__(self, model: api.Model, *, tokens: int = TOKENS):
    """tokens: positions of a batch, at most; a pair longer than that is a batch of its own."""
    if tokens < 1:
      raise UserError(f'tokens={tokens} must be at least 1')
    self._model, self._tokens = model, tokens
    self._module, self._weights = model.scored()

  def __call__(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Likely]:
    """(prompt, completion), token ids each -> what the model makes of the completion, in the order of the pairs.

    The last token of a completion needs no position: both together may have one token more than the model has
    positions.

    Raises:
      UserError: an empty prompt or completion, or more tokens than that.
    """
    positions = self._model.config.max_length
    for i, (prompt, said) in enumerate(pairs):
      if not len(prompt) or not len(said):
        raise UserError(f"pair {i} has an empty {'completion' if len(prompt) else 'prompt'}: it has no log-probability")
      if len(prompt) + len(said) > positions + 1:
        raise UserError(f'pair {i} has {len(prompt)} + {len(said)} tokens, the model {positions} positions: shorten it')
    out: list[Likely | None] = [None] * len(pairs)
    for batch in self._batches(pairs):
      for i, likely in zip(batch, self._score([pairs[i] for i in batch])):
        out[i] = likely
    return out

  def _batches(self, pairs) -> Iterator[list[int]]:
    """Numbers of pairs that are scored together: of one size, the largest first, those of one prompt side by side."""
    of_prompt: dict[tuple, list[int]] = {}
    for i, (prompt, _) in enumerate(pairs):
      of_prompt.setdefault(tuple(prompt), []).append(i)
    sizes: dict[tuple, list[list[int]]] = {}
    for prompt, numbers in of_prompt.items():
      size = _size(len(prompt)), _size(max(len(pairs[i][1]) for i in numbers))
      sizes.setdefault(size, []).append(numbers)
    for (P, T), several in sorted(sizes.items(), key=lambda item: sum(item[0]), reverse=True):
      batch, prompts = [], 0
      for numbers in several:
        new = True
        for i in numbers:
          if batch and _up(prompts + new) * P + _up(len(batch) + 1) * T > self._tokens:
            yield batch
            batch, prompts, new = [], 0, True
          batch.append(i)
          prompts, new = prompts + new, False
      if batch:
        yield batch

  def _score(self, pairs) -> list[Likely]:
    model, pad = self._model, self._model.tokenizer.pad_id
    numbers: dict[tuple, int] = {}
    prompt_of = [numbers.setdefault(tuple(prompt), len(numbers)) for prompt, _ in pairs]
    shards = mesh_lib.batch_shards(model.mesh)
    rows = lambda n: -(-_up(n) // shards) * shards
    prompts = slots_lib.padded(list(numbers), rows(len(numbers)), _size(max(map(len, numbers))), pad)
    said = slots_lib.padded([ids for _, ids in pairs], rows(len(pairs)), _size(max(len(ids) for _, ids in pairs)), pad)
    where = np.zeros(len(said[1]), np.int32)
    where[:len(pairs)] = prompt_of
    with mesh_lib.use_mesh(model.mesh):
      put = mesh_lib.put((*prompts, *said, where), model.mesh)
      logps, greedy = jax.device_get(self._program(self._weights(), *put))
    return [Likely(logps[i, :len(ids)], greedy[i, :len(ids)]) for i, (_, ids) in enumerate(pairs)]

  @functools.cached_property
  def _program(self) -> Callable:
    """Compiled once for each size of a batch."""
    apply = self._module.apply

    def score(params, tokens_NxP, lengths_N, tokens_RxT, lengths_R, prompt_R):
      prefix = Prefix(*slots_lib.prefill(apply, params, slots_lib.Prompts(tokens_NxP, lengths_N)))
      hidden_RxTxD = objective.completion_hidden(apply, params, prefix, tokens_RxT, lengths_R, prompt_R)
      return _likely(lambda hidden: apply({'params': params}, hidden, method='unembed'), hidden_RxTxD, tokens_RxT)

    return jax.jit(score)


def _likely(unembed, hidden_RxTxD, targets_RxT):
  """(logps_RxT, greedy_RxT), the vocabulary met CHUNK positions at a time."""
  R, T, D = hidden_RxTxD.shape
  n = min(CHUNK, T)

  def one(x):
    logits_RxnxV = unembed(x[0])
    logps, _ = losses.token_logps(lambda logits: logits, logits_RxnxV, x[1])
    return logps, jnp.argmax(logits_RxnxV, axis=-1) == x[1]

  chunks = lambda x: x.reshape(R, T // n, n, *x.shape[2:]).swapaxes(0, 1)
  parts = jax.lax.map(one, (chunks(hidden_RxTxD), chunks(targets_RxT)))
  return tuple(part.swapaxes(0, 1).reshape(R, T) for part in parts)


def _up(n: int) -> int:
  """A power of two, so that few programs are compiled."""
  return 1 << (n - 1).bit_length()


def _size(n: int) -> int:
  """Of prompts or completions, in tokens: a power of two from 16 on; 1 stays 1."""
  return 1 if n == 1 else max(16, _up(n))
