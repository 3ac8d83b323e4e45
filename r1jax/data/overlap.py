"""Questions that stand in two sets: what is trained on and what is measured on."""

import collections
import re

_WORDING = 4  # words in a row that may be how all are asked


def shared(rows: list[dict], others: list[dict], n: int = 10) -> int:
  """How many of `others` ask what stands in `rows`: all words of one, or n one after the other, as decontamination by
  10-grams looks for them. How all are asked does not count: four words in a row that over 2 % of the rows have, at
  least three, are left out of both.
  """
  words = [_words(row['question']) for row in rows]
  often = collections.Counter(gram for of in words for gram in _grams(of, _WORDING))
  wording = {gram for gram, count in often.items() if count > max(2, len(rows) // 50)}
  known, whole = set().union(*(_grams(_without(of, wording), n) for of in words)), set(words)
  asked = (_words(row['question']) for row in others)
  return sum(of in whole or not known.isdisjoint(_grams(_without(of, wording), n)) for of in asked)


def _words(text: str) -> tuple[str, ...]:
  return tuple(re.findall(r'\w+', text.casefold()))


def _grams(words: tuple[str, ...], n: int) -> set[tuple[str, ...]]:
  return {words[i:i + n] for i in range(len(words) - n + 1)}


def _without(words: tuple[str, ...], wording: set[tuple[str, ...]]) -> tuple[str, ...]:
  """The words that lie in none of `wording`."""
  covered = set()
  for i in range(len(words) - _WORDING + 1):
    if words[i:i + _WORDING] in wording:
      covered.update(range(i, i + _WORDING))
  return tuple(word for i, word in enumerate(words) if i not in covered)
