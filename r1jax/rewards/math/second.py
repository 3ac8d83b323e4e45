"""A second, independent grader: evaluates both answers in floating point, at points of its own. It never decides a reward.

It shares no code with the first one but where the answer stands. A small recursive reader of LaTeX arithmetic, complex
floats, no sympy: it takes microseconds and cannot hang. What it cannot read it does not judge.
"""

import cmath
import math
import re

KINDS = ('int', 'rational', 'decimal', 'expr')  # of answers that it can read
LIMIT = 600  # characters; the reader recurses
_TOKEN = re.compile(r'\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|\\([A-Za-z]+)|([A-Za-z])|(.))', re.DOTALL)
_DRESS = re.compile(r'\\(?:left|right|displaystyle|,|!|;|:|quad)|\$|(?<=\d),(?=\d{3}(?!\d))|\{,\}')
_FUNCTIONS = {'sin': cmath.sin, 'cos': cmath.cos, 'tan': cmath.tan, 'ln': cmath.log, 'log': cmath.log, 'exp': cmath.exp,
              'arctan': cmath.atan, 'arcsin': cmath.asin, 'arccos': cmath.acos, 'sinh': cmath.sinh, 'cosh': cmath.cosh}
POINTS = (0.73, 1.61, 2.37)  # where variables are looked at


class _Unread(Exception):
  pass


def equal(gold: str, said: str) -> bool | None:
  """Whether two answers agree at every point; None where one of them cannot be read."""
  try:
    pairs = [(evaluate(gold, point), evaluate(said, point)) for point in POINTS]
  except (_Unread, ArithmeticError, ValueError, RecursionError):
    return None
  if any(cmath.isnan(x) or cmath.isinf(x) for pair in pairs for x in pair):
    return None
  return all(abs(a - b) <= 1e-9 * max(abs(a), abs(b)) + 1e-300 for a, b in pairs)


def evaluate(text: str, point: float) -> complex:
  """The value of an arithmetic expression. Variable number i of the alphabet stands at point * (1 + i / 26).

  Raises:
    _Unread, ArithmeticError, ValueError: it is no such expression, or has no value there.
  """
  if len(text) > LIMIT:
    raise _Unread
  text = _DRESS.sub('', text).strip().rstrip('.')
  named = re.match(r'[A-Za-z]\s*=(?!=)', text)
  reader = _Reader(text[named.end():] if named else text, point)
  value = reader.sum()
  if reader.token is not None:
    raise _Unread
  return value


class _Reader:
  """sum -> product -> power -> atom, on one token of look-ahead."""

  def __init__(self, text: str, point: float):
    self._tokens, self._point = iter(_tokens(text)), point
    self._advance()

  def _advance(self):
    self.token, was = next(self._tokens, None), getattr(self, 'token', None)
    return was

  def _take(self, kind: str, value: str) -> bool:
    if self.token != (kind, value):
      return False
    self._advance()
    return True

  def _need(self, value: str):
    if not self._take('mark', value):
      raise _Unread

  def sum(self) -> complex:
    value = self._signed()
    while self.token in (('mark', '+'), ('mark', '-')):
      value = value + self.product() if self._advance()[1] == '+' else value - self.product()
    return value

  def _signed(self) -> complex:
    sign = 1
    while self.token in (('mark', '+'), ('mark', '-')):
      sign = -sign if self._advance()[1] == '-' else sign
    return sign * self.product()

  def product(self) -> complex:
    value = self._power()
    while self.token is not None:
      if self._take('mark', '*') or self._take('word', 'cdot') or self._take('word', 'times'):
        value *= self._power()
      elif self._take('mark', '/') or self._take('word', 'div'):
        value /= self._power()
      elif self.token[0] in ('letter', 'word', 'number') or self.token in (('mark', '('), ('mark', '{')):
        value *= self._power()
      else:
        break
    return value

  def _power(self) -> complex:
    base = self._atom()
    while self._take('mark', '!'):
      if base.real != int(base.real) or base.imag or not 0 <= base.real <= 150:
        raise _Unread
      base = complex(math.factorial(int(base.real)))
    if self._take('mark', '^'):
      if self._take('word', 'circ'):
        return base
      return base ** self._argument(signed=True)
    return base

  def _argument(self, signed: bool = False) -> complex:
    """What stands in braces, or one digit, letter or command."""
    if self._take('mark', '{'):
      value = self.sum()
      self._need('}')
      return value
    if signed and self._take('mark', '-'):
      return -self._atom()
    if self.token and self.token[0] == 'number' and len(self.token[1]) > 1 and not signed:
      raise _Unread  # \frac12: digits are dealt out in _tokens
    return self._atom()

  def _atom(self) -> complex:
    if self.token is None:
      raise _Unread
    kind, word = self._advance()
    if kind == 'number':
      return complex(float(word))
    if kind == 'letter':
      if word == 'e':
        return complex(math.e)
      return 1j if word == 'i' else complex(self._point * (1 + (ord(word.lower()) - 97) / 26 + (word < 'a') / 7))
    if kind == 'mark' and word in '({[':
      value = self.sum()
      self._need({'(': ')', '{': '}', '[': ']'}[word])
      return value
    if kind == 'word':
      return self._command(word)
    raise _Unread

  def _command(self, word: str) -> complex:
    if word == 'pi':
      return complex(math.pi)
    if word in ('frac', 'dfrac', 'tfrac'):
      top = self._argument()
      return top / self._argument()
    if word == 'sqrt':
      if self._take('mark', '['):
        order = self.sum()
        self._need(']')
        base = self._argument()
        if order == 3 and not base.imag and base.real < 0:
          return -((-base) ** (1 / 3))
        return base ** (1 / order)
      return cmath.sqrt(self._argument())
    if word in _FUNCTIONS:
      power, base = None, None
      if word == 'log' and self._take('mark', '_'):
        base = self._argument()
      if self._take('mark', '^'):
        power = self._argument(signed=True)
        if power == -1:
          raise _Unread
      inside = self._power()
      while self.token and (self.token[0] == 'letter' or self.token[0] == 'number'):
        inside *= self._power()  # \sin 2x
      value = _FUNCTIONS[word](inside)
      if word == 'log':
        value = value / (cmath.log(base) if base is not None else math.log(10))
      return value if power is None else value ** power
    raise _Unread


def _tokens(text: str):
  after_command = False
  for number, word, letter, mark in _TOKEN.findall(text):
    if number and after_command and number.isdigit():  # \frac12 is 1/2, \sqrt3 the root of 3
      yield from (('number', digit) for digit in number)
    elif number:
      yield 'number', number
    elif word:
      yield 'word', word
    elif letter:
      yield 'letter', letter
    elif mark.strip():
      yield 'mark', mark
    after_command = word in ('frac', 'dfrac', 'tfrac', 'sqrt')


def agrees(verdict: bool, gold: str, said: str | None) -> bool | None:
  """Whether this grader gives the same verdict; None where it has none."""
  found = None if said is None else equal(gold, said)
  return None if found is None else found == verdict
