"""What an RL stage samples and learns from at a time: a rollout, the minibatches that it is dealt out to."""

import collections
from typing import Any, Callable, NamedTuple

import jax
import numpy as np

from r1jax import stopping
from r1jax.types import Completion, Prompts


class Batch(NamedTuple):
  """A rollout on the host, the same on every one: N groups of G completions, group by group."""
  groups: list[int]  # a number each, its own in the stage; ascending
  rows: list[int]  # of each group, the number of its question
  prompts: list[np.ndarray]  # token ids of each group's
  completions: list[Completion]  # N * G
  slot_use: float  # live rows / rows, over the decode steps that ran
  steps: int
  choices: list[np.ndarray | None] = []  # of each group, the experts of its prompt's tokens, where they are replayed


class Minibatch(NamedTuple):
  """What one optimiser step learns from: whole groups."""
  prompts: Prompts  # on the devices
  micro_batches: list[tuple[int, Any, list[int]]]  # (T, Outputs on the devices, the completions that they are)
  ended_B: np.ndarray  # bool, of all completions of the rollout: by a token that ends, not cut off
  positions: int  # that are computed, padding too
  tokens: int  # of them, those of prompts and completions


class Passes:
  """Passes that the devices are at. What they were given they do to its end, so they are given two at most: with one in
  store they need not wait for the host either."""

  def __init__(self, stop: Callable[[], bool] | None):
    self._stop, self._given = stop, collections.deque()

  def make_room(self) -> None:
    """Before another one. Raises Stopped where `stop` says so."""
    if self._stop is None:
      return
    if len(self._given) > 1:
      jax.block_until_ready(self._given.popleft())
    if self._stop():
      raise stopping.Stopped('stopped between two passes of log-probs')

  def add(self, found):
    self._given.append(found)
    return found


def in_epochs(minibatches: int, epochs: int, seed: list[int]) -> list[int]:
  """Which minibatch each optimiser step of a rollout learns from: all of them in each epoch, shuffled after the first.
  """
  again = lambda epoch: np.random.default_rng([*seed, epoch]).permutation(minibatches).tolist()
  return [*range(minibatches), *(place for epoch in range(1, epochs) for place in again(epoch))]


def counts(c, ended_B: np.ndarray, advantages_B: np.ndarray) -> np.ndarray:
  """[B] float32, 0: left out of the loss, by rl.drop_truncated or rl.drop_equal; c: of the stage."""
  counts_NxG = (ended_B | (not c.drop_truncated)).reshape(-1, c.samples).astype(np.float32)
  if c.drop_equal:
    counts_NxG *= np.any(advantages_B.reshape(counts_NxG.shape) != 0, axis=1, keepdims=True)
  return counts_NxG.reshape(-1)
