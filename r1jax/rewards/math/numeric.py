"""Arithmetic in LaTeX, read by recursive descent and evaluated, never simplified: microseconds, and it cannot hang.

Two uses. `same` decides expressions of plain algebra, in more digits than an answer has room to approximate, and leaves
the rest to sympy. `agrees` is the second grader of numbers: it shares no code with reading.py, which decides them.
"""

from fractions import Fraction
import re

LIMIT = 600  # characters; the reader recurses
DIGITS = 40  # beyond one for each character of the longer answer: 1.41421356237309505 is not the root of 2
MAX_EXPONENT, MAX_REACH, MAX_DIGITS = 10_000, 300, 1500
_TOKEN = re.compile(r'\s*(?:(\d+(?:\.\d*)?|\.\d+)|\\([A-Za-z]+)|([A-Za-z])|(.))', re.DOTALL)
_DRESS = re.compile(r'\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,!;:]|\\quad|\$|(?<=\d),(?=\d{3}(?!\d))|\{,\}')
_RING = re.compile(r'\^\s*\{\s*\\circ\s*\}|°')
POINTS, MOST = 3, 5  # at which variables are looked at


class Unread(Exception):
  """It is no plain arithmetic, or has no value there."""


class OutOfDomain(Unread):
  """It has no real value there, as a root or a logarithm of a negative number."""


def same(gold: str, said: str) -> bool | None:
  """Whether two expressions are equal: True at every point, False at none, None where sympy must say."""
  import mpmath  # sympy's own, and like it not loaded by runs that need neither

  if max(len(gold), len(said)) > LIMIT:
    return None
  verdicts, reach, imaginary = set(), 1.0, bool(re.search(r'(?<![A-Za-z\\])i(?![A-Za-z])', gold))
  try:
    # How far exponents reach: 1 + 10^{-200} is 1 to as many digits as it has characters.
    for text in (gold, said):
      field = _Many(mpmath.mp, 0)
      _Reader(text, field).value()
      reach *= field.reach
    digits = max(len(gold), len(said)) + DIGITS
    digits += int(min(reach, MAX_REACH) - 1) * max(3, *map(len, re.findall(r'\d+', gold + said) or ['']))
    if digits > MAX_DIGITS:
      return None
    looked = 0
    with mpmath.workdps(digits):
      for k in range(MOST):
        if looked == POINTS:
          break
        try:
          a = _Reader(gold, _Many(mpmath.mp, k)).value()
        except OutOfDomain:
          continue
        if mpmath.im(a) and not imaginary:  # \\sqrt{2/k} speaks of positive k alone
          continue
        b, looked = _Reader(said, _Many(mpmath.mp, k)).value(), looked + 1
        size, gap = max(abs(a), abs(b)), abs(a - b)
        if not mpmath.isfinite(size) or size < mpmath.mpf(10)**(DIGITS // 2 - digits):
          return None
        if gap > size * mpmath.mpf(10)**(-digits // 2):
          verdicts.add(False)
        elif gap <= size * mpmath.mpf(10)**(DIGITS // 2 - digits):
          verdicts.add(True)
        else:
          return None
  except (Unread, ArithmeticError, ValueError, RecursionError):
    return None
  if verdicts == {True} and reach > MAX_REACH:
    return None
  return verdicts.pop() if len(verdicts) == 1 else None


def agrees(verdict: bool, gold: str, said: str | None) -> bool | None:
  """Whether exact arithmetic gives the same verdict on two numbers; None where it gives none."""
  try:
    a, b = (_Reader(text, _Few()).value() for text in (gold, said or ''))
  except (Unread, ArithmeticError, ValueError, RecursionError):
    return None
  return (a == b) == verdict


class _Few:
  """Fractions; no variables, no roots."""
  number = Fraction

  def letter(self, *_):
    raise Unread

  function = sqrt = letter
  pi = e = i = property(letter)

  def power(self, base, exponent):
    if exponent.denominator != 1 or abs(exponent) > 100:
      raise Unread
    return base ** int(exponent)


class _Many:
  """mpmath's numbers at its present precision; a variable has another value, and another sign, at each point."""

  def __init__(self, mp, point: int):
    self._mp, self._point, self.reach = mp, point, 1.0  # the product of all exponents
    self.number, self.sqrt, self.pi, self.e, self.i = mp.mpf, mp.sqrt, +mp.pi, +mp.e, mp.mpc(0, 1)

  def letter(self, name: str):
    index = sum(ord(c) * 7**i for i, c in enumerate(name))
    sign = -1 if self._point == 1 or (self._point == 2 and index % 2) else 1  # at the others all are positive
    return sign * self._mp.exp(self._mp.mpf(index % 32 + 40 * (name < 'a')) / 37 + self._mp.mpf(self._point) / 5) / 2

  def function(self, name: str, argument):
    mp = self._mp
    if abs(argument) > MAX_EXPONENT:
      raise Unread
    if name == 'ln' and (mp.im(argument) or mp.re(argument) <= 0):
      raise OutOfDomain
    return getattr(mp, name)(argument)

  def power(self, base, exponent):
    mp = self._mp
    if abs(exponent) > MAX_EXPONENT:
      raise Unread
    if mp.im(exponent):
      if base != self.e:
        raise Unread
      return mp.exp(exponent)
    self.reach *= max(1.0, float(abs(exponent)))
    whole = mp.isint(exponent)
    # Roots of negative numbers are a matter of convention: sympy's.
    if not whole and not mp.im(base) and mp.re(base) < 0:
      raise OutOfDomain
    return base ** (int(mp.re(exponent)) if whole else exponent)


class _Reader:
  """sum -> product -> power -> atom, on one token of look-ahead."""

  def __init__(self, text: str, field):
    if len(text) > LIMIT:
      raise Unread
    text = _RING.sub(r'^\\circ ', _DRESS.sub('', text)).strip().rstrip('.')
    named = re.match(r'[A-Za-z]\s*=(?!=)', text)
    self._tokens, self._field = iter(_tokens(text[named.end():] if named else text)), field
    self.token = next(self._tokens, None)

  def value(self):
    value = self._sum()
    if self.token is not None:
      raise Unread
    return value

  def _advance(self):
    was, self.token = self.token, next(self._tokens, None)
    return was

  def _take(self, kind: str, value: str) -> bool:
    if self.token != (kind, value):
      return False
    self._advance()
    return True

  def _need(self, value: str):
    if not self._take('mark', value):
      raise Unread

  def _sum(self):
    value = self._signed()
    while self.token in (('mark', '+'), ('mark', '-')):
      value = value + self._product() if self._advance()[1] == '+' else value - self._product()
    return value

  def _signed(self):
    if self._take('mark', '-'):
      return -self._product()
    self._take('mark', '+')
    return self._product()

  def _product(self):
    was = self.token and self.token[0]
    value, slashed = self._power(), False
    while self.token is not None:
      if self._take('mark', '*') or self._take('word', 'cdot') or self._take('word', 'times'):
        value *= self._power()
      elif self._take('mark', '/') or self._take('word', 'div'):
        value, slashed = value / self._power(), True
      elif self.token[0] in ('letter', 'word', 'number') or self.token in (('mark', '('), ('mark', '{')):
        if slashed or (self.token[1] in _FRACTIONS and was == 'number'):  # 1/2x and 2\frac12 are read in two ways
          raise Unread
        value *= self._power()
      else:
        break
    return value

  def _power(self):
    base = self._atom()
    if self._take('mark', '^'):
      if self._take('word', 'circ'):
        return base * self._field.pi / 180
      base = self._field.power(base, self._argument(signed=True))
      if self.token == ('mark', '^'):
        raise Unread
    return base

  def _argument(self, signed: bool = False):
    """What stands in braces, or one number, letter or command."""
    if self._take('mark', '{'):
      value = self._sum()
      self._need('}')
      return value
    if signed and self._take('mark', '-'):
      return -self._atom()
    return self._atom()

  def _atom(self):
    if self.token is None:
      raise Unread
    kind, word = self._advance()
    if kind == 'number':
      return self._field.number(word)
    if kind == 'letter':
      if self._take('mark', '_'):  # x_1, a_{n}: a name
        return self._field.letter(word + self._index())
      return self._field.e if word == 'e' else self._field.i if word == 'i' else self._field.letter(word)
    if kind == 'mark' and word in '({[':
      value = self._sum()
      self._need({'(': ')', '{': '}', '[': ']'}[word])
      return value
    if (kind, word) == ('word', 'pi'):
      return self._field.pi
    if kind == 'word' and word in _FRACTIONS:
      top = self._argument()
      return top / self._argument()
    if (kind, word) == ('word', 'sqrt') and self.token != ('mark', '['):
      return self._field.sqrt(self._argument())
    if kind == 'word' and word in _FUNCTIONS:
      return self._function(word)
    raise Unread  # sums, integrals, roots of another order

  def _index(self) -> str:
    if self._take('mark', '{'):
      kind, name = self._advance() or ('', '')
      self._need('}')
    else:
      kind, name = self._advance() or ('', '')
    if kind not in ('number', 'letter'):
      raise Unread
    return name

  def _function(self, name: str):
    """sin(...), sin x, sin^2 x; where its argument ends must be beyond doubt."""
    power, base = 1, None
    if name == 'log':  # to which base, if not said, is a matter of convention
      if not self._take('mark', '_'):
        raise Unread
      base = self._argument()
    elif self._take('mark', '^'):
      if self.token is None or self.token[0] != 'number' or not self.token[1].isdigit():
        raise Unread
      power = int(self._advance()[1])
    enclosed = self.token in (('mark', '('), ('mark', '{'))
    argument = self._atom()
    if self._take('mark', '^'):
      if not self._take('word', 'circ'):
        raise Unread
      argument = argument * self._field.pi / 180
    if self.token == ('mark', '^') or (not enclosed and self.token and (
        self.token[0] in ('letter', 'number') or self.token[1] in ('(', '{', '[', 'pi', 'sqrt', *_FRACTIONS))):
      raise Unread
    value = self._field.function('ln' if name == 'log' else name, argument)
    return value / self._field.function('ln', base) if base is not None else value**power


_FUNCTIONS = ('sin', 'cos', 'tan', 'ln', 'log')
_FRACTIONS = ('frac', 'dfrac', 'tfrac', 'cfrac')


def _tokens(text: str):
  """(kind, text): 'number', 'word' (a command), 'letter', 'mark'."""
  digits = 0  # that stand for an argument of their own: \\frac12 is 1/2, \\sqrt3 the root of 3, x^12 is x^1 2
  for number, word, letter, mark in _TOKEN.findall(text):
    if number and digits and number.isdigit():
      for digit in number[:digits]:
        yield 'number', digit
      if number[digits:]:
        yield 'number', number[digits:]
      digits = max(0, digits - len(number))
      continue
    if number:
      yield 'number', number
    elif word:
      yield 'word', word
    elif letter:
      yield 'letter', letter
    elif mark.strip():
      yield 'mark', mark
    digits = 2 if word in _FRACTIONS else 1 if word == 'sqrt' or mark == '^' else 0
