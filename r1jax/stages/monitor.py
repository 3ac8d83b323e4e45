"""What an RL run watches while it goes: gaps, NaN, verdicts that are none, reward models that are gamed."""

import collections
import logging
import os
from typing import Callable

import numpy as np

from r1jax import metrics
from r1jax.types import RunStopped

log = logging.getLogger('r1jax')


def warn_if_rare(ema: float, number: int, samples: int) -> None:
  """Where the base almost never answers rightly, RL learns the format and then never reasons. ema: below 0 where no
  answer is graded."""
  if samples > 1 and number >= 20 and number % 10 == 0 and 0 <= ema < 1 / samples:
    log.warning('accuracy has been about %.3f, under 1/%d, for long: groups carry no signal and only the format is '
                'learned; take easier problems or a stronger base', ema, samples)


WATCHED = (('reward/helpful', 'monitor/helpful_by_rule'), ('reward/harmless', 'monitor/harmless_by_rule'),
           ('reward/helpful', 'accuracy/mean'), ('reward/process', 'accuracy/mean'))


def watched(row: dict) -> dict[tuple[str, str], tuple[float, float]]:
  """(a reward model's score, what it stands for) -> both values, where a row of metrics.jsonl has both as numbers."""
  pairs = {names: tuple(row.get(name) for name in names) for names in WATCHED}
  return {names: values for names, values in pairs.items() if None not in values and np.isfinite(values).all()}


def first_watched(rows: list[dict]) -> dict[tuple[str, str], tuple[float, float]]:
  """Of each pair the values in the first of the rows that has both."""
  found = {}
  for row in rows:
    found = {**watched(row), **found}
  return found


def warn_if_hacked(first: dict, now: dict) -> None:
  """The hacking monitor: a reward model's score that rises while what it stands for falls (section 4.2, 2.2.2).

  Args:
    first, now: what `watched` says of the first rollout that had both, and of this one.
  """
  for names in first.keys() & now.keys():
    (score, stands_for), (score_now, stands_for_now) = first[names], now[names]
    if score_now - score > 0.1 and stands_for_now - stands_for < -0.05:
      log.warning('%s rose from %.3f to %.3f while %s fell from %.3f to %.3f: '
                  'the policy may be gaming its reward model',
                  names[0], score, score_now, names[1], stands_for, stands_for_now)


def stop_if_unjudged(facts: dict[str, float], limit: float = 0.1) -> None:
  """Raises RunStopped when more than this share of completions have a verdict that is none (over all hosts)."""
  if facts['rewards/errors'] > limit:
    raise RunStopped(f'{facts["rewards/errors"]:.0%} of the completions have verdicts that are errors, the limit is '
                     f'{limit:.0%}: log lines above say of what kind')


class Skipped:
  """Counts updates that were skipped as not finite; more than `most` in a row stop the run."""

  def __init__(self, most: int, directory: str, advice: str, in_a_row: int = 0):
    """directory: where the minibatch of the last one is written. advice: what the run then says can be done. in_a_row:
    how many an earlier start has left, on all hosts the same."""
    self._most, self._directory, self._advice, self._in_a_row = most, directory, advice, in_a_row

  def look(self, step: int, means: dict, arrays: Callable[[], dict]) -> bool:
    """Whether the update of this optimiser step was skipped; arrays: name -> array of what it learned from.

    Raises:
      RunStopped: it is one too many.
    """
    if not float(means['update/skipped']):
      self._in_a_row = 0
      return False
    self._in_a_row += 1
    loss, norm = float(means['loss']), float(means['grad_norm'])
    log.warning('step %d: loss=%g, grad_norm=%g: the update is skipped', step, loss, norm)
    if self._in_a_row > self._most:
      path = os.path.join(self._directory, f'bad_minibatch_{step}.npz')
      metrics.replace_arrays(path, **arrays())
      raise RunStopped(f'loss={loss} and grad_norm={norm} are not finite, the update was skipped, {self._in_a_row} in '
                       f'a row; the last one learned from {path}: {self._advice}')
    return True


# Metric, whether it is under or over, the limit, and what then to do. Of entropy the limit is a share of the first
# rollout's.
_ALARMS = (
    ('entropy/nats_per_token', 'under', 0.05, 'entropy has collapsed: the policy says nearly the same every time; '
     'lower learning_rate or raise clip_high; with another temperature the stage begins anew'),
    ('kl/nats_per_token', 'over', 1.0, 'the policy has run away from its reference; lower learning_rate, or raise '
     'kl_coef'),
    ('groups/no_signal', 'over', 0.9, 'hardly any group has answers of different worth, so hardly anything is learned; '
     'take questions that are neither too easy nor too hard, or more samples'),
    ('rewards/errors', 'over', 0.01, 'verdicts that are errors count as wrong answers; lines above say of what kind'),
    ('length/truncated', 'over', 0.5, 'most completions are cut off at max_tokens, so that their answers are not seen; '
     'raise max_tokens'),
)


class Alarms:
  """Warns of what ends many runs, when it has held for three rollouts; again after fifty."""

  def __init__(self, first: dict | None):
    """first: a row of the first rollout's metrics, where an earlier start has written one."""
    self._entropy = (first or {}).get('entropy/nats_per_token')
    self._held, self._said = collections.Counter(), {}
    self._number = 0

  def look(self, row: dict) -> list[str]:
    """At a rollout's last row of metrics; the metrics that it warns of."""
    self._number += 1
    self._entropy = self._entropy if self._entropy is not None else row.get('entropy/nats_per_token')
    warned = []
    for name, side, limit, text in _ALARMS:
      value = row.get(name)
      most = limit * self._entropy if name.startswith('entropy') and self._entropy is not None else limit
      beyond = value is not None and (value < most if side == 'under' else value > most)
      self._held[name] = self._held[name] + 1 if beyond else 0
      if self._held[name] >= 3 and self._number - self._said.get(name, -50) >= 50:
        log.warning('%s=%.3g has been %s %.3g for %d rollouts: %s', name, value, side, most, self._held[name], text)
        self._said[name] = self._number
        warned.append(name)
    return warned


BEYOND_SHARE = 1e-3  # of tokens whose gap is over half a nat


def gap_limit(c, dtype: str) -> float:
  """Nats of KL per token between sampler and trainer: c.mismatch_limit, or by dtype
  (NeMo-RL gates its recipes at 5e-4)."""
  return c.mismatch_limit or (5e-3 if dtype == 'bfloat16' else 5e-4)


def stop_if_apart(kl: float, beyond: float, tokens: int, limit: float) -> None:
  """The gate before the first rollout: sampler and trainer must be one model. Neither figure grows with the number of
  tokens, as a maximum does.

  Args:
    kl: nats per token. beyond: share of the tokens whose log-probs differ by more than half a nat.

  Raises:
    RunStopped: they are apart.
  """
  if not kl <= limit or not beyond <= max(BEYOND_SHARE, 1.5 / tokens):
    raise RunStopped(f"before the first rollout the trainer's log-probs differ from the sampler's by {kl:.2g} nats of "
                     f'KL a token (limit rl.mismatch_limit={limit:g}), {beyond:.2%} of {tokens} tokens by more than '
                     f'half a nat (limit {BEYOND_SHARE:.1%}): they do not run the same model')
