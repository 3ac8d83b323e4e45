"""Questions -> n completions each, for the stages that sample from a checkpoint: evaluate, cold_start, reject, preference."""

from typing import Iterator, NamedTuple

import jax
import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import programs
from r1jax.data import prompts
from r1jax.types import Prompts, Rollout, UserError


class Sampled(NamedTuple):
  """Completions of some questions: texts[i][g] is sample g of rows[i], its arrays [len(rows), n, ...] in out."""
  rows: list[dict]
  texts: list[list[str]]
  out: Rollout


class Generator:
  """Samples a fixed number of completions a question; the compiled sampler is kept between calls."""

  def __init__(self, model, tokenizer, mesh, *, template: str, samples: int, max_prompt: int, max_tokens: int, batch: int,
               temperature: float, top_p: float, seed: int, at_once: int = 0, name: str = 'evaluate'):
    """at_once: samples of a question that are drawn at a time, 0: all. batch: questions at a time. name: for messages."""
    mesh_lib.check_divides(f'{name}.batch', batch, mesh)
    self._tokenizer, self._mesh, self._batch = tokenizer, mesh, batch
    self._template, self._max_prompt = template, max_prompt
    self.settings = {'n_samples': samples, 'temperature': temperature, 'top_p': top_p, 'max_tokens': max_tokens}
    self._key = jax.random.key(seed)
    self._at_once = at_once or samples
    if samples % self._at_once:
      raise UserError(f'{name}.samples={samples} is not a multiple of {name}.at_once={at_once}')
    self._sample = programs.sampling(
        model, mesh, prompts=batch, max_prompt=max_prompt, samples=self._at_once, max_tokens=max_tokens,
        eos_ids=tokenizer.eos_ids, pad_id=tokenizer.pad_id, temperature=temperature, top_p=top_p).sample.compile()

  def __call__(self, params, rows: list[dict], first: int = 0) -> Iterator[Sampled]:
    """A batch of questions after the other; params as a sampler takes them (programs.to_sampling).

    first: the questions before it are left out; those behind it are answered as they would have been.

    Raises:
      UserError: a prompt is longer than max_prompt.
    """
    n, some = self.settings['n_samples'], self._at_once
    encoded = prompts.encode(rows, self._tokenizer, template=self._template, max_prompt=self._max_prompt)
    for start in range(first, len(rows), self._batch):
      # The last batch is filled up with copies, so that one compiled shape serves all.
      chosen = [min(i, len(rows) - 1) for i in range(start, start + self._batch)]
      batch = mesh_lib.put(Prompts(*(a[chosen] for a in encoded)), self._mesh)
      key = jax.random.fold_in(self._key, start)
      parts = [mesh_lib.everywhere(self._sample(params, batch, key, np.int32(g * self._batch))) for g in range(0, n, some)]
      by_question = lambda x: x.reshape(self._batch, some, *x.shape[1:])
      asked = rows[start:start + self._batch]
      out = jax.tree.map(lambda *p: np.concatenate([by_question(x) for x in p], axis=1)[:len(asked)], *parts)
      texts = [[self._tokenizer.decode(out.tokens_BxT[i, g][:out.lengths_B[i, g]]) for g in range(n)] for i in range(len(asked))]
      yield Sampled(asked, texts, out)
