"""What answers of several parts are made of: cutting text outside of brackets, leaves, sets."""

import re
from typing import NamedTuple

from r1jax.data.notation import closing
from r1jax.rewards.math.expressions import depth
from r1jax.rewards.math.reading import plain

MAX_PARTS = 400


class Parts(NamedTuple):
  """A node: 'set' | 'tuple' | 'matrix' | 'equation', with parts that are texts or nodes; of a matrix, rows of texts."""
  kind: str
  parts: tuple
  names: tuple = ()  # of a tuple's parts, where it gives them


def split(text: str, separators: str) -> list[str] | None:
  """`text` cut where `separators` (a regular expression) match outside of brackets;
  None where brackets do not match."""
  cut, start, level, i = [], 0, 0, 0
  pattern = re.compile(separators)
  while i < len(text):
    char, two = text[i], text[i:i + 2]
    if two in ('\\{', '\\}'):
      level += 1 if two == '\\{' else -1
      i += 2
    elif text.startswith(('\\langle', '\\rangle', '\\begin', '\\end'), i):
      word = re.match(r'\\[a-z]+', text[i:])[0]
      level += 1 if word in ('\\langle', '\\begin') else -1
      i += len(word)
    elif char in '([{' or char in ')]}':
      level += 1 if char in '([{' else -1
      i += 1
    elif not level and (match := pattern.match(text, i)):
      cut.append(text[start:i])
      i = start = match.end()
    else:
      i += 2 if char == '\\' and len(two) == 2 and not two[1].isalpha() else 1
    if level < 0:
      return None
  return None if level else [*cut, text[start:]]


_AND = (r'(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|\\(?:land|lor|vee|wedge)(?![A-Za-z])|'
        r'(?<=[\s\d})])(?:and|or)(?=[\s\d({\\]))')
_LIST = rf'[,;]?\s*{_AND}|[,;]'
NAME = r'(?:[A-Za-z](?:_(?:\w|\{\w+\}))?|\\(?:theta|alpha|beta|phi|lambda|mu|omega))'
NAMED = re.compile(rf'\s*({NAME})\s*=(?!=)')


def listed(text: str) -> list[str] | None:
  """Parts of a bare list, none of them empty."""
  parts = split(text, _LIST)
  if parts is None or len(parts) > MAX_PARTS:
    return None
  parts = [part.strip() for part in parts]
  return parts if all(parts) else None


def leaf_of(text: str):
  """A part that is not taken apart further, or a tuple within."""
  text = plain(text.strip())
  if (re.match(r'\(|\\langle', text) and (inner := enclosed(text)) is not None and (parts := listed(inner))
      and len(parts) > 1):
    leaves = tuple(leaf_of(part) for part in parts)
    return None if None in leaves else Parts('tuple', leaves)
  return text if text and depth(text) >= 0 and not re.search(r'[=<>,;]|\\[{}]', outside(text)) else None


def outside(text: str) -> str:
  """`text` without what stands in brackets."""
  kept, level = [], 0
  for char in text:
    level += (char in '{([') - (char in '})]')
    if not level:
      kept.append(char)
  return ''.join(kept)


def enclosed(text: str) -> str | None:
  """What one pair of brackets around all of `text` encloses."""
  for left, right in (('(', ')'), ('[', ']'), ('\\langle', '\\rangle'), ('\\{', '\\}')):
    if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
      inner = text[len(left):-len(right)]
      return inner if split(inner, r'(?!)') is not None else None
  return None


# --- sets ---


def read_set(text: str) -> Parts | None:
  text = re.sub(rf'^\s*(?:{NAME}\s*(?:\\in(?![A-Za-z])|∈)|'
                rf'\(\s*{NAME}(?:\s*,\s*{NAME})+\s*\)\s*(?:=|\\in(?![A-Za-z])))\s*', '', text)
  if re.fullmatch(r'\\emptyset|\\varnothing|∅|\\\{\s*\\\}', text.strip()):
    return Parts('set', ())
  if text.startswith('\\{'):
    inner = enclosed(text.strip())
    if inner is None or '\\{' in inner:
      return None
    text = inner
  else:
    text = re.sub(rf'^\s*{NAME}\s*=\s*(?=\\\{{)', '', text)
    if text.startswith('\\{'):
      return read_set(text)
  if text.startswith('{') and closing(text, 1) == len(text) - 1:  # a group, which prints no braces
    text = text[1:-1]
  parts = listed(text)
  if parts is None:
    return None
  names, leaves = set(), []
  for i, part in enumerate(parts):  # x = 1, x = 2 and x = 1, 2
    if named := NAMED.match(part):
      if i and not names:
        return None
      names.add(named[1].partition('_')[0])  # x_1 = 1, x_2 = 2 are values of x
      part = part[named.end():].strip()
    leaves += _signs(part)
  # x = 1, x = 2 is a set of values; x = 1, y = 2 is none.
  if len(names) > 1 or len(leaves) > MAX_PARTS:
    return None
  leaves = tuple(leaf_of(leaf) for leaf in leaves)
  return None if None in leaves else Parts('set', leaves)


def _signs(part: str) -> list[str]:
  """a \\pm b is two values."""
  found = re.split(r'\\pm(?![A-Za-z])|±', part)
  if len(found) != 2:
    return [part]
  before, after = found
  return [f'{before.strip()} + {after.strip()}', f'{before.strip()} - {after.strip()}'] if before.strip() else [
      after.strip(), f'-{after.strip()}' if re.match(r'[\w\\]', after.strip()) else f'-({after.strip()})']
