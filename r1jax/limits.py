"""rl.max_tokens: one number, or a schedule ((0, 32768), (8200, 65536)): so many tokens from that optimiser step on (the
paper's R1-Zero, section 2.2.3: 32,768, and 65,536 from step 8,200)."""

from r1jax.exceptions import UserError


def schedule(max_tokens, key: str = 'max_tokens') -> tuple[tuple[int, int], ...]:
  """(from step, tokens), ascending; key: of the config, for errors.

  Raises:
    UserError: it is none.
  """
  given = max_tokens
  if isinstance(max_tokens, int) and not isinstance(max_tokens, bool):
    max_tokens = ((0, max_tokens),)
  whole = lambda x: isinstance(x, int) and not isinstance(x, bool)
  pairs = tuple(max_tokens) if isinstance(max_tokens, (tuple, list)) else ()
  if not pairs or not all(isinstance(p, (tuple, list)) and len(p) == 2 and all(map(whole, p)) for p in pairs):
    raise UserError(f'{key}={max_tokens!r} is neither a number nor a schedule ((0, TOKENS), (STEP, TOKENS), ...)')
  if min(tokens for _, tokens in pairs) < 1:
    raise UserError(f'{key}={given!r}: at least 1 token')
  steps = [step for step, _ in pairs]
  if steps[0] != 0 or any(a >= b for a, b in zip(steps, steps[1:])):
    raise UserError(f'{key}={max_tokens!r}: steps must begin with 0 and rise')
  return tuple((step, tokens) for step, tokens in pairs)


def longest(max_tokens) -> int:
  """Tokens that a completion may have at any step: what programs are compiled for."""
  return max(tokens for _, tokens in schedule(max_tokens))


def shortest(max_tokens) -> int:
  """The least that it is at any step."""
  return min(tokens for _, tokens in schedule(max_tokens))


def at(max_tokens, step: int) -> int:
  """Tokens that a completion may have in a rollout that begins behind so many steps."""
  return [tokens for first, tokens in schedule(max_tokens) if first <= step][-1]
