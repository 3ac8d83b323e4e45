"""Which questions a rollout asks."""

import grain
import numpy as np


class Order:
  """(number of a rollout, optimiser step) -> which rows it asks.

  Rows that reason come first, general ones behind them. From a step on, a share of the groups is general (paper v2: in
  the last 400 of 1,700 steps). Each kind is shuffled. General ones displace questions that reason; those come again
  only after all the others. Nothing but the arguments decides, so a resumed run asks what it would have asked.
  """

  def __init__(self, reasoning: int, general: int, per_rollout: int, *, seed: int, share: float = 0.0, first: int = 0):
    """reasoning, general: numbers of rows. share: of groups that are general from step `first` on."""
    shuffled = lambda n: grain.MapDataset.source(np.arange(n)).seed(seed).shuffle().repeat()
    self._reasoning, self._general = shuffled(reasoning), shuffled(general) if general else None
    self._offset, self._first, self._n, self._seed = reasoning, first, per_rollout, seed
    self._share = round(share * per_rollout) if general else 0

  def __call__(self, number: int, step: int) -> np.ndarray:
    n, some = self._n, self._share
    chosen = np.asarray([self._reasoning[number * n + i] for i in range(n)])
    if some and step >= self._first:
      at = np.random.default_rng([self._seed, number, 1]).permutation(n)[:some]
      chosen[at] = [self._offset + self._general[number * some + i] for i in range(some)]
    return chosen
