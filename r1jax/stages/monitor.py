"""What an RL run watches while it goes: gaps, NaN, verdicts that are none, reward models that are gamed."""

import logging

import numpy as np

from r1jax.types import RunStopped

log = logging.getLogger('r1jax')


def warn_if_rare(ema: float, number: int, samples: int) -> None:
  """Where the base almost never answers rightly, RL learns the format and then never reasons."""
  if number >= 20 and number % 10 == 0 and ema < 1 / samples:
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


def stop_if_broken(means: list[dict]) -> None:
  """Raises RunStopped for NaN."""
  for mean in means:
    if not np.isfinite(mean['loss'] + mean['grad_norm']):
      raise RunStopped(f'loss={mean["loss"]} and grad_norm={mean["grad_norm"]} are not finite: lower rl.learning_rate')


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
