"""Outputs and returned values against what was expected; outside of every box."""

import math
import re


def same_output(output: bytes, expected: str, tolerance: float = 0.0) -> bool:
  """The same lines, but for white space at their ends and empty lines at the end of all.

  With a tolerance, numbers may differ by so much, absolutely or relatively, unless both are written as whole ones: the
  tolerance is of floats. A prefix of the right output is wrong (open-r1 lets it pass).
  """
  said = _lines(output.decode('utf-8', 'replace'))
  wanted = _lines(expected)
  if said == wanted:
    return True
  if not tolerance or len(said) != len(wanted):
    return False
  for a, b in zip(said, wanted):
    a, b = a.split(), b.split()
    if len(a) != len(b) or not all(x == y or _near(x, y, tolerance) for x, y in zip(a, b)):
      return False
  return True


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
    return _close(float(said), float(wanted), tolerance)
  except ValueError:
    return False


def _close(a: float, b: float, tolerance: float) -> bool:
  return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= tolerance * max(1.0, abs(b))


def same_value(value, expected, tolerance: float = 1e-6) -> bool:
  """A returned value (as `untagged` gives it) against the expected one; a tuple is as good as a list.

  Booleans are no numbers. Floats may differ by the tolerance, absolutely or relatively, where a float was expected.
  """
  if isinstance(expected, bool) or isinstance(value, bool):
    return isinstance(expected, bool) and isinstance(value, bool) and value == expected
  if isinstance(expected, float) and isinstance(value, float):
    return value == expected or _close(value, expected, tolerance)
  if isinstance(expected, float) and isinstance(value, int):
    return value == expected
  if isinstance(expected, int) and isinstance(value, (int, float)):
    return value == expected
  if isinstance(expected, (list, tuple)):
    return isinstance(value, (list, tuple)) and len(value) == len(expected) and all(
        same_value(a, b, tolerance) for a, b in zip(value, expected))
  if isinstance(expected, dict):
    if not isinstance(value, dict) or len(value) != len(expected):
      return False
    names = {_name(k): v for k, v in value.items()}
    return all(_name(k) in names and same_value(names[_name(k)], v, tolerance) for k, v in expected.items())
  return type(value) is type(expected) and value == expected


def _name(key):
  return (isinstance(key, bool), key)  # True and 1 are one key to Python, and not to us


def untagged(value, depth: int = 250):
  """Python values of tagged JSON (inside.py). ValueError for what is none: it comes from a box, and may be anything."""
  if depth < 0:
    raise ValueError('nested too deeply')
  if isinstance(value, list):
    return [untagged(v, depth - 1) for v in value]
  if not isinstance(value, dict):
    return value
  items = value.get('items')
  if set(value) != {'__r1jax__', 'items'} or not isinstance(items, list):
    raise ValueError(f'no value: an object with {sorted(value)[:5]}')
  items = [untagged(v, depth - 1) for v in items]
  try:
    kinds = {'tuple': tuple, 'set': set, 'dict': dict, 'complex': lambda parts: complex(*parts)}
    return kinds[value['__r1jax__']](items)
  except (KeyError, TypeError, ValueError) as e:
    raise ValueError(f'no value: {type(e).__name__} {e}') from e


def tagged(value):
  """Python values as JSON that inside.py reads back."""
  if isinstance(value, (tuple, set, frozenset)):
    return {'__r1jax__': 'tuple' if isinstance(value, tuple) else 'set', 'items': [tagged(v) for v in value]}
  if isinstance(value, list):
    return [tagged(v) for v in value]
  if isinstance(value, dict):
    return {'__r1jax__': 'dict', 'items': [[tagged(k), tagged(v)] for k, v in value.items()]}
  if isinstance(value, complex):
    return {'__r1jax__': 'complex', 'items': [value.real, value.imag]}
  return value
