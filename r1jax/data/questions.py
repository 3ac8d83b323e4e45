"""Which questions a rollout asks."""

import grain
import numpy as np


class Order:
  """(number of a rollout, optimiser step) -> which rows it asks.

  Rows that reason come first, general ones behind them. From a step on, a share of the groups is general (paper v2: in
  the last 400 of 1,700 steps). Each kind is shuffled. General ones displace questions that reason; those come again
  only after all the others. Questions that reason may be of several tasks, each with its share and an order of its own.
  Nothing but the arguments decides, so a resumed run asks what it would have asked.
  """

  def __init__(self, reasoning: int, general: int, per_rollout: int, *, seed: int, share: float = 0.0, first: int = 0,
               tasks: tuple[tuple[int, float], ...] = ()):
    """
    Args:
      reasoning, general: numbers of rows.
      share: of groups that are general from step `first` on.
      tasks: (rows, share) of each, where those that reason are of several; the rows of one stand together.
    """
    shuffled = lambda n: grain.MapDataset.source(np.arange(n)).seed(seed).shuffle().repeat()
    self._reasoning, self._general = shuffled(reasoning), shuffled(general) if general else None
    self._tasks = [(shuffled(n), s) for n, s in tasks]
    self._starts = np.cumsum([0, *(n for n, _ in tasks)])
    self._offset, self._first, self._n, self._seed = reasoning, first, per_rollout, seed
    self._share = round(share * per_rollout) if general else 0

  def __call__(self, number: int, step: int) -> np.ndarray:
    n, some = self._n, self._share
    chosen = self._of_tasks(number) if self._tasks else np.asarray([self._reasoning[number * n + i] for i in range(n)])
    if some and step >= self._first:
      at = np.random.default_rng([self._seed, number, 1]).permutation(n)[:some]
      chosen[at] = [self._offset + self._general[number * some + i] for i in range(some)]
    return chosen

  def _of_tasks(self, number: int) -> np.ndarray:
    """So many of each task that after every rollout each has had its share of all, to within one."""
    asked = lambda k: np.floor(np.cumsum([s for _, s in self._tasks]) * k * self._n + 1e-6).astype(int)
    before, after = (np.diff(asked(k), prepend=0) for k in (number, number + 1))
    chosen = [start + rows[i] for (rows, _), start, a, b in zip(self._tasks, self._starts, before, after)
              for i in range(a, b)]
    return np.asarray(chosen)[np.random.default_rng([self._seed, number, 2]).permutation(len(chosen))]
