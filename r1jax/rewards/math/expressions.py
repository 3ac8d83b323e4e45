"""Expressions: what of a prediction may reach sympy at all, and whether it equals the gold one by math-verify.

Gold and prediction do not play the same part: the gold is trusted, and what it does not use (a relation, a comma, an
integral, a tower of powers) the prediction may not use either, else \\boxed{6=5}, \\boxed{5,5} and \\boxed{1+4} are
right for a gold of 5. `equal` may take for ever: call it only in a process that may be killed (pool.py).
"""

import functools
import re

from r1jax.rewards.math.reading import ASSIGNED, MAX_CHARS, plain, without_unit

MAX_DEPTH = 30
DIGITS = 120  # to which numbers that sympy could not tell apart are compared
_LETTERS = set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ')

_GROUPED = re.compile(r'(?<![0-9.])[0-9]{1,3}(?:(?:,\\!|\{,\}|\\,|,)[0-9]{3})+(?![0-9])')
_POINT = re.compile(r'([0-9]*)\.([0-9]+)')
# As typed in a program: x**10, x^10, 2pi.
_TYPED = re.compile(r'(?:\*\*|\^)\s*(-?[0-9]+(?:\.[0-9]+)?|[A-Za-z](?![A-Za-z]))|(?<![A-Za-z\\])pi(?![A-Za-z])')
_DRESS = re.compile(r'\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,!;:]')
# What makes a question, a list or a relation of an expression,
_MARKS = re.compile(
    r'[=<>,;!&|~?@]|\\[{}]|\\frac\s*\{\s*d\s*\}\s*\{\s*d|\b(?:or|and|is|not)\b|'
    r'\\(?:le|leq|ge|geq|ne|neq|lt|gt|approx|equiv|sim|simeq|in|notin|subset|cup|cap|setminus|pm|mp|to|implies'
    r'|text|mathrm|textrm|mbox|int|iint|oint|sum|prod|lim|binom|dbinom|tbinom|choose|det|gcd|lcm|max|min|bmod|mod|pmod'
    r'|lfloor|lceil|partial|infty|quad|qquad|boxed|begin)(?![A-Za-z])')
# and what makes it long to work out: a power of a power, an exponent or a number of many digits.
_TOWER = re.compile(
    r'\^\s*(?:\{[^{}]*(?:\^|\}\s*\^)|(?:[A-Za-z0-9]|\\[A-Za-z]+)\s*\^)|\^\s*\{?\s*-?[0-9]{4}|[0-9]{101}|!\s*!')


# What sympy's reader drops: 4343_6 is 4343 to it.
SUBSCRIBED = re.compile(r'[0-9)}]\s*_')
_EXPONENT = re.compile(r'[0-9][eE][0-9]')  # 4e1 is 40 to one reader and 4e to another
_TWO_WAYS = re.compile(r'/\s*\([^()]*\)\s*\(')  # 2/(x-1)(x+3)
_UPRIGHT = re.compile(r'\\(?:mathrm|rm|text|operatorname)\s*\{\s*([eidj])\s*\}')


_NAMED = re.compile(r'\\operatorname\*?\s*\{\s*(ln|log|exp|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|sinh|cosh|tanh)\s*\}')
_SUPERSCRIPTS = {ord(c): f'^{{{n}}}' for n, c in enumerate('⁰¹²³⁴⁵⁶⁷⁸⁹')}


# cos(x) for \\cos(x); \\sin^2 t for (\\sin(t))^2, which math-verify reads for some letters alone.
_TYPED_FUNCTION = re.compile(r'(?<![\\A-Za-z{])(sin|cos|tan|cot|sec|csc|ln|log|arcsin|arccos|arctan|exp)'
                             r'(?=[\s(\\0-9a-z^])'
                             r'(?![a-df-wyz]{3})')
_POWER_OF_FUNCTION = re.compile(r'\\(sin|cos|tan|cot|sec|csc)\s*\^\s*(?:\{\s*)?([2-9])(?:\s*\})?\s*'
                                r'([A-Za-z](?![A-Za-z])|\\[a-z]+(?![A-Za-z(])|[0-9]+[A-Za-z]?(?![A-Za-z]))')


def _in_braces(text: str) -> str:
  """3**(1/2), x^(n+1) and \\exp(x) with braces round what is raised."""
  out, start = [], 0
  for match in re.finditer(r'(\*\*|\^)\s*\(|\\exp\s*\(', text):
    end = _closes(text, match.end())
    if match.start() < start or end < 0:
      continue
    out += [text[start:match.start()], '^{' if match[1] else 'e^{', text[match.end():end], '}']
    start = end + 1
  return ''.join(out) + text[start:]


def _roots(text: str) -> str:
  """sqrt(3), √3 and \\sqrt[3]2 with braces round what is under the root."""
  text = re.sub(r'(?<![\\A-Za-z])sqrt\s*(?=[({0-9])|√\s*', r'\\sqrt ', text)
  text = re.sub(r'\\sqrt\s*(\[[0-9n]+\])?\s*([0-9]+(?![0-9])|[A-Za-z])', lambda m: _root(m), text)
  out, start = [], 0
  for match in re.finditer(r'\\sqrt\s*(\[[0-9n]+\])?\s*\(', text):
    if match.start() < start:
      continue
    end = _closes(text, match.end())
    if end < 0:
      break
    out += [text[start:match.start()], f'\\sqrt{match[1] or ""}{{', text[match.end():end], '}']
    start = end + 1
  return ''.join(out) + text[start:]


def _root(match) -> str:
  # \\sqrt12 is the root of 1, times 2, in TeX; of 12 as it is meant where it was typed as √12 or sqrt 12.
  return match[0] if match[0].startswith('\\sqrt') and not match[0][5:6].isspace() and not match[1] else (
      f'\\sqrt{match[1] or ""}{{{match[2]}}}')


def _closes(text: str, start: int) -> int:
  level = 1
  for i in range(start, len(text)):
    level += {'(': 1, ')': -1}.get(text[i], 0)
    if not level:
      return i
  return -1


def measured(answer: str) -> tuple[str, str] | None:
  """(expression as `latex` gives it, unit behind it or '')."""
  if len(answer) > MAX_CHARS:
    return None
  text, unit = without_unit(_UPRIGHT.sub(r' \1 ', plain(answer)))
  text = latex(text)
  return text and (text, unit)


# \sin(\pi/3) for \sqrt{3}/2: a function of a number, where the gold is a number without one.
_FUNCTION = re.compile(r'\\(?:sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|exp)(?![A-Za-z])')
_VARIABLE = re.compile(r'(?<![\\A-Za-z])[A-Za-df-hj-z](?![A-Za-z])')


def latex(answer: str) -> str | None:
  """An expression as it is handed to math-verify: decimals as fractions, so that 1.414214 is not the root of 2."""
  if len(answer) > MAX_CHARS:
    return None
  text = _DRESS.sub('', _UPRIGHT.sub(r' \1 ', plain(answer)))
  text = re.sub(r'\\[cdt](frac|binom)(?![A-Za-z])', r'\\\1', text)
  text = _NAMED.sub(r'\\\1 ', text)
  if not text.isascii() or 'sqrt' in text:
    text = _roots(text.translate(_SUPERSCRIPTS))
  text = re.sub(r'\\(?:cdot|times)\s*i(?![A-Za-z])', 'i', text).strip()
  text = _POWER_OF_FUNCTION.sub(r'(\\\1(\3))^{\2}', _TYPED_FUNCTION.sub(r'\\\1 ', text))
  if '**(' in text or '^(' in text or 'exp' in text:
    text = _in_braces(text)
  text = _TYPED.sub(lambda m: r'\pi ' if m[0] == 'pi' else f'^{{{m[1]}}}', text)
  text = text[ASSIGNED.match(text).end():] if ASSIGNED.match(text) else text
  text = _GROUPED.sub(lambda m: re.sub('[^0-9]', '', m[0]), text)
  return _POINT.sub(lambda m: rf'\frac{{{m[1] + m[2]}}}{{1{"0" * len(m[2])}}}', text) or None


def depth(text: str) -> int:
  """The deepest nesting, or -1 where braces do not match."""
  now = deepest = 0
  for char in re.sub(r'\\[{}]', '', text):
    now += (char in '{([') - (char in '})]')
    deepest = max(deepest, now)
    if now < 0:
      return -1
  return deepest if now == 0 else -1


def admissible(said: str, gold: str) -> bool:
  """Whether a prediction may reach sympy at all."""
  marks = lambda text: set(_MARKS.findall(text))
  if SUBSCRIBED.search(said) or _EXPONENT.search(said) or _TWO_WAYS.search(said):
    return False
  if _FUNCTION.search(said) and not _FUNCTION.search(gold) and not _VARIABLE.search(re.sub(r'\\[A-Za-z]+', ' ', gold)):
    return False
  allowed = marks(gold) | ({'!'} if 'binom' in gold else set())
  return (len(said) <= max(400, 4 * len(gold)) and 0 <= depth(said) <= MAX_DEPTH and marks(said) <= allowed
          and (not _TOWER.search(said) or bool(_TOWER.search(gold))))


def parse(text: str):
  """sympy's reading of LaTeX, or None. It may take for ever."""
  import math_verify  # here and not above: half a second of sympy that most runs never need

  config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
  # No timeouts of its own: they are signal.alarm, which raises in every thread but the main one.
  found = math_verify.parse(rf'\boxed{{{text}}}', config, fallback_mode='no_fallback', extraction_mode='first_match',
                            parsing_timeout=None, raise_on_error=True)
  return found[0] if found else None


parse_gold = functools.lru_cache(maxsize=4096)(parse)  # read once a question rather than once a sample


def equal(gold: str, said: str, slack=0) -> bool:
  """Whether two expressions (as `latex` gives them) are equal, or within `slack` where both are numbers.

  Raises:
    ValueError: the gold one does not parse.
  """
  if said == gold:
    return True
  if differ_in_case(gold, said):
    return False
  target, value = parse_gold(gold), parse(said)
  if target is None:
    raise ValueError(f'gold {gold!r} does not parse')
  return value is not None and same(target, value, slack)


def differ_in_case(gold: str, said: str) -> bool:
  """Whether they differ in the case of a letter: math-verify reads X as x."""
  letters = lambda text: set(re.sub(r'\\[A-Za-z]+', ' ', text)) & _LETTERS
  a, b = letters(gold), letters(said)
  return any(c.swapcase() in a for c in b - a)


def verify(target, value) -> bool:
  import math_verify
  return bool(math_verify.verify(target, value, timeout_seconds=None, raise_on_error=True))


def same(target, value, slack=0) -> bool:
  """`equal`, of what sympy read."""
  numbers = getattr(target, 'is_number', False) and getattr(value, 'is_number', False)
  if not (slack and numbers) and not verify(target, value):
    return False
  if numbers and target != value:  # math-verify compares to an absolute 1e-15: any two tiny numbers are equal to it
    gap, size = abs((target - value).evalf(DIGITS)), abs(target.evalf(DIGITS))
    if not gap.is_finite:  # two infinities: nothing to measure
      return not slack
    return bool(gap <= max(slack, size / 10**(DIGITS - 20)))
  return True


def proportional(gold: tuple[str, str], said: tuple[str, str]) -> bool:
  """Whether two equations, each as its two sides, differ by a constant factor alone: 2y = 4x and y - 2x = 0."""
  import sympy

  if differ_in_case(' '.join(gold), ' '.join(said)):
    return False
  sides = [parse_gold(side) for side in gold] + [parse(side) for side in said]
  if any(side is None for side in sides[:2]):
    raise ValueError(f'gold {gold!r} does not parse')
  if not all(isinstance(side, sympy.Expr) for side in sides):
    return False
  if sides[:2] in (sides[2:], sides[:1:-1]):  # as it stands, also what holds for every x
    return True
  a, b = sides[0] - sides[1], sides[2] - sides[3]
  if a.free_symbols != b.free_symbols or sympy.simplify(b) == 0:
    return False
  ratio = sympy.simplify(a / b)
  return bool(ratio.is_number and ratio.is_finite and ratio != 0)
