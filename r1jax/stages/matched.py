"""Plain sampling for as many tokens as a search has spent on each question: what the search is to be compared with.

Whole answers are drawn one after the other; the one that would go over the budget is cut off there, as a sampler's
limit would cut it. So both have generated the same number of tokens, to the token.
"""

from typing import NamedTuple

import jax
import numpy as np

from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import common
from r1jax.types import Request


class Drawn(NamedTuple):
  """An answer of the baseline."""
  tokens: list[int]
  whole: bool  # False: cut off where the budget ended


def cut(lengths: list[int], budget: int) -> tuple[list[int], int]:
  """(how many tokens of each answer, in order, are paid for; what is left of the budget when all are).

  Answers behind the end of the budget are left out: the first list may be shorter than `lengths`.
  """
  taken = []
  for length in lengths:
    if not budget:
      break
    taken.append(min(length, budget))
    budget -= taken[-1]
  return taken, budget


class Plain:
  """(prompts of a batch, tokens for each) -> answers for exactly so many tokens; the compiled sampler is kept."""

  def __init__(self, c, name: str, model, tokenizer, mesh, params, seed: int, samples: int):
    """samples: that the search has of a prefix; so many rows a question are decoded at a time here too."""
    self._key, self._max_tokens = common.key(seed, f'{name} plain'), c.max_tokens
    with terminal.doing('compiling the sampler of the comparison'):
      self._sampler = sampler(c, model, mesh, samples, eos_ids=prompts.eos_ids(tokenizer, c.template),
                              pad_id=tokenizer.pad_id).compile()
    self._params = self._sampler.arrange(params)

  def __call__(self, asked: list[list[int]], budgets: list[int], start: int) -> list[list[Drawn]]:
    """start: the number of the batch's first question, for its random numbers."""
    key, stride = jax.random.fold_in(self._key, start), max(budgets, default=0) + 1
    said = [[] for _ in asked]
    while open_ := [i for i, budget in enumerate(budgets) if cut(list(map(len, said[i])), budget)[1]]:
      lengths = [len(ids) for of in said for ids in of]
      mean = max(sum(lengths) / len(lengths), 1.0) if lengths else self._max_tokens
      requests = []
      for i in open_:
        left = cut(list(map(len, said[i])), budgets[i])[1]
        first = i * stride + len(said[i])
        requests.append(Request(i, np.asarray(asked[i], np.int32), tuple(range(first, first + 1 + int(left / mean)))))
      for i, completions in self._sampler(self._params, requests, key):
        said[i] += [completion.tokens.tolist() for completion in completions]
    drawn = []
    for of, budget in zip(said, budgets):
      taken, _ = cut(list(map(len, of)), budget)
      drawn.append([Drawn(ids[:n], n == len(ids)) for ids, n in zip(of, taken)])
    return drawn


def sampler(c, model, mesh, samples: int, *, eos_ids, pad_id: int) -> sampler_lib.Sampler:
  """Of whole answers, as many at a time as the search extends prefixes: its own sampler needs no less memory."""
  return sampler_lib.Sampler(
      model, mesh, slots=c.slots or c.batch * samples, samples=samples, max_prompt=c.max_prompt,
      max_tokens=c.max_tokens, eos_ids=eos_ids, pad_id=pad_id, temperature=c.temperature)
