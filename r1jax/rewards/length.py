"""Rewards for length and repetition. The paper has none of them:
each is off unless its weight in the config says otherwise.

A row then also has 'tokens' (of this completion), 'max_tokens' and 'stopped' (it ended by itself); see judging.py.
All are 0 for what is well and down to -1 for what is not.
"""

from r1jax.rewards import Score
from r1jax.rewards import language

NGRAM = 4  # words
IDEAL_SCORE = 0.0


def truncated(completion: str, row: dict) -> Score:
  """-1 for a completion that was cut off at max_tokens."""
  return Score(0.0, 'stopped') if row['stopped'] else Score(-1.0, 'truncated')


def overlong(completion: str, row: dict) -> Score:
  """Soft overlong punishment (DAPO, arXiv 2503.14476, eq. 13), in tokens.

  0 up to max_tokens - overlong_buffer, falling to -1 at max_tokens; -1 also for what was cut off there.
  """
  n, most, buffer = row['tokens'], row['max_tokens'], row['overlong_buffer']
  if not 0 < buffer <= most:
    raise ValueError(f'overlong_buffer={buffer} must be in 1..max_tokens={most}')
  if not row['stopped']:
    return Score(-1.0, 'measured')
  return Score(max(-1.0, min(0.0, (most - buffer - n) / buffer)), 'measured')


def repetition(completion: str, row: dict) -> Score:
  """Minus the share of n-grams of words that came before (distinct-n)."""
  words = [word.lower() for word, _ in language.words(completion)] or completion.split()
  grams = [tuple(words[i:i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
  return Score(len(set(grams)) / len(grams) - 1.0 if grams else 0.0, 'measured')


def score(completion: str, row: dict) -> Score:
  """The same as overlong: what 'length' alone means."""
  return overlong(completion, row)
