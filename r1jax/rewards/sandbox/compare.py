"""Outputs and returned values against what was expected; outside of every box."""

import collections
from decimal import Decimal
from fractions import Fraction
import json
import math
import re

from r1jax.rewards.sandbox import values


HOW = ('tokens', 'any_case', 'any_order', 'any_order_within')  # what a test's 'compare' may ask for, one or several


def same_output(output: bytes, expected: str, tolerance: float = 0.0, how: tuple[str, ...] = ()) -> bool:
  """The same lines, but for white space at their ends and empty lines at the end of all.

  With a tolerance, numbers may differ by so much, absolutely or relatively, unless both are written as whole ones: the
  tolerance is of floats. A prefix of the right output is wrong (open-r1 lets it pass).

  how: 'tokens': white space separates, however much of it and whichever; 'any_case'; 'any_order': of lines, of tokens
    where those are compared; 'any_order_within': of tokens within a line.
  """
  said, wanted = _lines(output.decode('utf-8', 'replace')), _lines(expected)
  if how:
    said, wanted = _arranged(said, how), _arranged(wanted, how)
  if said == wanted:
    return True
  if not tolerance or len(said) != len(wanted):
    return False
  for a, b in zip(said, wanted):
    a, b = a.split(), b.split()
    if len(a) != len(b) or not all(x == y or _near(x, y, tolerance) for x, y in zip(a, b)):
      return False
  return True


def _arranged(lines: list[str], how: tuple[str, ...]) -> list[str]:
  if 'any_case' in how:
    lines = [line.casefold() for line in lines]
  if 'tokens' in how:
    lines = [token for line in lines for token in line.split()]
  if 'any_order_within' in how:
    lines = [' '.join(sorted(line.split(), key=_order)) for line in lines]
  return sorted(lines, key=_order) if 'any_order' in how else lines


def _order(text: str):
  """Numbers by their value, so that those within a tolerance stand at the same place."""
  try:
    return (0, float(text.split()[0]) if text.split() else -math.inf, text)
  except ValueError:
    return (1, 0.0, text)


def _lines(text: str) -> list[str]:
  lines = [line.rstrip() for line in text.replace('\r\n', '\n').split('\n')]
  while lines and not lines[-1]:
    lines.pop()
  return lines


_WHOLE = re.compile('[+-]?[0-9]+')


def _near(said: str, wanted: str, tolerance: float) -> bool:
  if _WHOLE.fullmatch(said) and _WHOLE.fullmatch(wanted):
    return said.removeprefix('+') == wanted.removeprefix('+')
  try:
    if _WHOLE.fullmatch(wanted):  # a whole number that floats may come near, but not in proportion to its size
      return math.isfinite(float(said)) and abs(Fraction(said) - int(wanted)) <= tolerance
    return _close(float(said), float(wanted), tolerance)
  except (ValueError, OverflowError):
    return False


def _close(a: float, b: float, tolerance: float) -> bool:
  return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= tolerance * max(1.0, abs(b))


def same_value(value, expected, tolerance: float = 1e-6, how: tuple[str, ...] = ()) -> bool:
  """A returned value (as `untagged` gives it) against the expected one; a tuple is as good as a list.

  Booleans are no numbers. Floats may differ by the tolerance, absolutely or relatively, where a float was expected.

  how: 'any_order': of the items of the outermost list; 'any_order_within': of those of the lists in it; 'any_case'.
  """
  same = lambda a, b: same_value(a, b, tolerance, tuple('any_order' if h == 'any_order_within' else h for h in how
                                                        if h != 'any_order' or 'any_order_within' in how))
  if expected is None:
    return value is None or isinstance(value, values.NoNode)
  if isinstance(expected, bool) or isinstance(value, bool):
    return isinstance(expected, bool) and isinstance(value, bool) and value == expected
  if isinstance(expected, float) and isinstance(value, (float, Fraction, Decimal)):
    return value == expected or _close(float(value), expected, tolerance)
  if isinstance(expected, (int, float)) and isinstance(value, (int, float, Fraction, Decimal)):
    return value == expected
  if isinstance(expected, (list, tuple)):
    if not isinstance(value, (list, tuple, range)) or len(value) != len(expected):
      return False
    return _matched(value, expected, same) if 'any_order' in how else all(map(same, value, expected))
  if isinstance(expected, dict):
    if not isinstance(value, dict) or len(value) != len(expected):
      return False
    names = {_name(k): v for k, v in value.items()}
    return all(_name(k) in names and same(names[_name(k)], v) for k, v in expected.items())
  if 'any_case' in how and isinstance(expected, str) and isinstance(value, str):
    return value.casefold() == expected.casefold()
  return type(value) is type(expected) and value == expected


def _spelled(value) -> str:
  return repr(_listed(value))


def _listed(value):
  return [_listed(v) for v in value] if isinstance(value, (list, tuple)) else value


def _matched(value, expected, same) -> bool:
  """Whether each expected item has one of its own among the values; exact ones are paired first, at little cost."""
  left = collections.Counter(map(_spelled, value))
  rest = []
  for item in expected:
    if left[_spelled(item)] > 0:
      left[_spelled(item)] -= 1
    else:
      rest.append(item)
  others = [v for v in value if left[_spelled(v)] > 0 and not left.subtract([_spelled(v)])]
  if len(rest) > 2000:  # pairs are tried one by one
    return False
  for item in rest:
    at = next((i for i, v in enumerate(others) if same(v, item)), None)
    if at is None:
      return False
    others.pop(at)
  return True


def _name(key):
  return (isinstance(key, bool), key)  # True and 1 are one key to Python, and not to us


def untagged(tags: str, nodes: dict | None = None):
  """values.fancy of what a box handed out. ValueError for what is no value: it may be anything."""
  try:
    return values.fancy(json.loads(tags), nodes)
  except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError, OverflowError) as e:
    raise ValueError(f'no value: {type(e).__name__} {e}') from e
