"""Outputs and returned values against what was expected; outside of every box."""

import math


def same_output(output: bytes, expected: str, tolerance: float = 0.0) -> bool:
  """The same lines, but for white space at their ends and empty lines at the end of all.

  With a tolerance, tokens that are both numbers may differ by so much, absolutely or relatively. A prefix of the right
  output is wrong (open-r1 lets it pass).
  """
  said = _lines(output.decode('utf-8', 'replace'))
  wanted = _lines(expected)
  if said == wanted:
    return True
  if not tolerance or len(said) != len(wanted):
    return False
  for a, b in zip(said, wanted):
    a, b = a.split(), b.split()
    if len(a) != len(b) or not all(x == y or _near(_number(x), _number(y), tolerance) for x, y in zip(a, b)):
      return False
  return True


def _lines(text: str) -> list[str]:
  lines = [line.rstrip() for line in text.replace('\r\n', '\n').split('\n')]
  while lines and not lines[-1]:
    lines.pop()
  return lines


def _number(token: str) -> float | None:
  try:
    return float(token)
  except ValueError:
    return None


def _near(a, b, tolerance: float) -> bool:
  if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
    return False
  return abs(a - b) <= tolerance * max(1.0, abs(b))


def same_value(value, expected, tolerance: float = 1e-6) -> bool:
  """A returned value (tagged JSON, inside.py) against the expected one; a tuple is as good as a list.

  Booleans are no numbers. Floats may differ by the tolerance, absolutely or relatively, where a float was expected.
  """
  value, expected = plain(value), plain(expected)
  if isinstance(expected, bool) or isinstance(value, bool):
    return isinstance(expected, bool) and isinstance(value, bool) and value == expected
  if isinstance(expected, float) and isinstance(value, (int, float)):
    try:
      return value == expected or _near(float(value), expected, tolerance)
    except OverflowError:
      return False
  if isinstance(expected, int) and isinstance(value, (int, float)):
    return value == expected
  if type(value) is not type(expected):
    return False
  if isinstance(expected, list):
    return len(value) == len(expected) and all(same_value(a, b, tolerance) for a, b in zip(value, expected))
  if isinstance(expected, dict):
    if set(expected) != set(value):
      return False
    if expected.get('__r1jax__') in ('set', 'dict'):
      left = list(value['items'])
      for item in expected['items']:
        match = next((i for i, other in enumerate(left) if same_value(other, item, tolerance)), None)
        if match is None:
          return False
        left.pop(match)
      return not left and value['__r1jax__'] == expected['__r1jax__']
    return all(same_value(value[k], expected[k], tolerance) for k in expected)
  return value == expected


def plain(value):
  """A tagged tuple as a list, a dict of JSON as a tagged one; one level."""
  if isinstance(value, tuple):
    return list(value)
  if isinstance(value, (set, frozenset)):
    return {'__r1jax__': 'set', 'items': list(value)}
  if isinstance(value, dict):
    if value.get('__r1jax__') == 'tuple':
      return value['items']
    if '__r1jax__' not in value:
      return {'__r1jax__': 'dict', 'items': [[k, v] for k, v in value.items()]}
  return value


def tagged(value):
  """Python values as JSON that inside.py reads back."""
  if isinstance(value, (tuple, set, frozenset)):
    return {'__r1jax__': 'tuple' if isinstance(value, tuple) else 'set', 'items': [tagged(v) for v in value]}
  if isinstance(value, list):
    return [tagged(v) for v in value]
  if isinstance(value, dict):
    if '__r1jax__' in value:
      return value
    return {'__r1jax__': 'dict', 'items': [[tagged(k), tagged(v)] for k, v in value.items()]}
  if isinstance(value, complex):
    return {'__r1jax__': 'complex', 'items': [value.real, value.imag]}
  return value
