"""rl.max_tokens: one number, or a schedule ((0, 32768), (8200, 65536)): so many tokens from that optimiser step on (the
paper's R1-Zero, section 2.2.3: 32,768, and 65,536 from step 8,200). rl.slots likewise: rows that may grow twice as long
take twice the memory."""

from typing import Iterable, NamedTuple

from r1jax.exceptions import UserError

KEYS = ('max_tokens', 'slots')  # of RL, that may be schedules


def schedule(max_tokens, key: str = 'max_tokens') -> tuple[tuple[int, int], ...]:
  """(from step, tokens), ascending; key: of the config, for errors. Of slots the same.

  Raises:
    UserError: it is none.
  """
  given = max_tokens
  if isinstance(max_tokens, int) and not isinstance(max_tokens, bool):
    max_tokens = ((0, max_tokens),)
  whole = lambda x: isinstance(x, int) and not isinstance(x, bool)
  pairs = tuple(max_tokens) if isinstance(max_tokens, (tuple, list)) else ()
  if not pairs or not all(isinstance(p, (tuple, list)) and len(p) == 2 and all(map(whole, p)) for p in pairs):
    n = 'SLOTS' if key.endswith('slots') else 'TOKENS'
    raise UserError(f'{key}={max_tokens!r} is neither a number nor a schedule ((0, {n}), (STEP, {n}), ...)')
  if min(n for _, n in pairs) < 1 and not (given == 0 and key.endswith('slots')):  # 0: as many as are needed
    raise UserError(f'{key}={given!r}: at least 1{" token" * (not key.endswith("slots"))}')
  steps = [step for step, _ in pairs]
  if steps[0] != 0 or any(a >= b for a, b in zip(steps, steps[1:])):
    raise UserError(f'{key}={max_tokens!r}: steps must begin with 0 and rise')
  return tuple((step, tokens) for step, tokens in pairs)


def steps_a_rollout(c) -> int:
  """Optimiser steps that one rollout serves; c: of an RL stage."""
  return c.minibatches * c.epochs


def longest(max_tokens) -> int:
  """Tokens that a completion may have at any step: what programs are compiled for."""
  return max(tokens for _, tokens in schedule(max_tokens))


def shortest(max_tokens) -> int:
  """The least that it is at any step."""
  return min(tokens for _, tokens in schedule(max_tokens))


def at(max_tokens, step: int) -> int:
  """Tokens that a completion may have in a rollout that begins behind so many steps."""
  return _held(schedule(max_tokens), step)[1]


def _held(pairs, step: int):
  """Of entries that begin with a step, ascending: the one that holds behind so many."""
  return [pair for pair in pairs if pair[0] <= step][-1]


class Entry(NamedTuple):
  """Of both schedules together: what holds from a step on."""
  step: int
  tokens: int
  slots: int


def entries(max_tokens, slots) -> list[Entry]:
  """One for each step at which tokens or slots change."""
  tokens, slots = schedule(max_tokens), schedule(slots, 'slots')
  steps = sorted({step for step, _ in (*tokens, *slots)})
  return [Entry(step, _held(tokens, step)[1], _held(slots, step)[1]) for step in steps]


def samplers(max_tokens, slots) -> list[Entry]:
  """What samplers are made for: one for each number of slots in turn, with the most tokens while that holds."""
  found: list[Entry] = []
  for entry in entries(max_tokens, slots):
    if found and found[-1].slots == entry.slots:
      found[-1] = found[-1]._replace(tokens=max(found[-1].tokens, entry.tokens))
    else:
      found.append(entry)
  return found


def sampler_at(found: Iterable[Entry], step: int) -> Entry:
  """Of `samplers`: for a rollout that begins behind so many steps."""
  return _held(found, step)
