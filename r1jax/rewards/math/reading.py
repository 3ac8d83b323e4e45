"""Answers that are read, never worked out: numbers as Fractions, letters of a choice, words.

math-verify holds that 1/2004! equals 1/2006!, and sympy can be made to run for ever: so nothing here is computed.
"""

from fractions import Fraction
import re
from typing import NamedTuple

MAX_CHARS, MAX_DIGITS = 2000, 1000  # CPython's int() raises over 4300 digits, and is quadratic below

_MINUS = str.maketrans(dict.fromkeys('\u2212\u2013\uff0d\ufe63', '-'))
_WRAPPER = re.compile(r'\\(?:boxed|text|textbf|textrm|textit|mathrm|mathbf|mbox|boldsymbol|bm)\s*\{')
_BRACE = re.compile(r'\\.|[{}]', re.DOTALL)


def plain(answer: str) -> str:
  """`answer` without what only dresses it: $, \\( \\), \\text{}, bold, spacing, a final period, a Unicode minus."""
  text, before = answer.translate(_MINUS).replace('\\$', '$'), None
  while text != before:
    before = text
    text = text.strip(' \t\r\n$*`~').rstrip('.。').removesuffix('\\')
    for dress in ('\\(', '\\[', '\\displaystyle', '\\,', '\\!', '\\;'):
      text = text.removeprefix(dress)
    for dress in ('\\)', '\\]', '\\,', '\\!', '\\;'):
      text = text.removesuffix(dress)
    wrapper = _WRAPPER.match(text)
    if wrapper and closing(text, wrapper.end()) == len(text) - 1:
      text = text[wrapper.end():-1]
  return text


def closing(text: str, start: int) -> int:
  """Where the brace that was opened just before `start` closes; -1 if it does not."""
  depth = 1
  for match in _BRACE.finditer(text, start):
    depth += {'{': 1, '}': -1}.get(match[0], 0)
    if not depth:
      return match.start()
  return -1


# --- numbers ---
_SIGN, _INT = r'([+-]?)\s*', r'(?:[1-9][0-9]{0,2}(?:(?:,\\!\s?|\{,\}|\\,|,)[0-9]{3})+|[0-9]+)'
_DECIMAL = rf'{_SIGN}({_INT}(?:\.[0-9]*)?|\.[0-9]+)'
_FRAC = rf'\\[cdt]?frac\s*(?:\{{\s*([+-]?\s*{_INT})\s*\}}|([0-9]))\s*(?:\{{\s*([+-]?\s*{_INT})\s*\}}|([0-9]))'
_LITERAL = re.compile(_DECIMAL)
_SLASH = re.compile(rf'{_SIGN}({_INT})\s*/\s*({_INT})')
_FRACTION = re.compile(rf'{_SIGN}({_INT})?\s*{_FRAC}')
_SCIENTIFIC = re.compile(rf'{_DECIMAL}(?:[eE]|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*)'
                         r'(?:\{\s*([+-]?[0-9]{1,4})\s*\}|([+-]?[0-9]{1,4}))')
_DIGITS = re.compile(r'-?[0-9]{1,18}')
# x = 5, x_1 = 5, f(x) = x^2, f^{-1}(x) = x, P(A) = 1/2, AB = 5, \\angle ABC = 60, dy/dx = 2x
ASSIGNED = re.compile(
    r"(?:\\angle\s*[A-Z]{1,3}|\\frac\s*\{d[a-z]?\}\{d[a-z]\}|\\(?:theta|alpha|beta|phi|lambda|mu|omega)|[A-Z]{2,3}|"
    r"[A-Za-z](?:_(?:\w|\{\w{1,5}\}))?(?:'{1,2}|\^\{-1\})?(?:\([A-Za-z](?:,\s*[A-Za-z])*\))?)\s*=(?!=)\s*")

# --- units ---
_POWER = r'(?:\s*\^\s*(?:[23]|\{\s*[23]\s*\})|²|³)?'
_WORDS = (r'(?:[cmk]?m|[km]?g|meters?|metres?|centimeters?|kilometers?|miles?|inch(?:es)?|feet|foot|ft|yards?|liters?|'
          r'litres?|ml|kilograms?|grams?|pounds?|seconds?|sec|s|minutes?|min|hours?|hrs?|h|days?|weeks?|months?|'
          r'years?|dollars?|cents?|degrees?|units?|mph|people|ways?)')
_SCALES = {'thousand', 'million', 'billion', 'trillion', 'hundred', 'dozen', 'half', 'squared', 'cubed', 'factorial',
           'pi', 'i', 'e', 'x', 'y', 'n', 'times', 'and', 'or'}  # words that change a number are no units of it
_ALIASES = {name: names.split()[0] for names in (
    'cm centimeter centimetre', 'mm millimeter', 'm meter metre', 'km kilometer kilometre', 'kg kilogram', 'g gram',
    'ft foot feet', 'in inch inche inches', 'h hr hour', 'min minute', 's sec second', 'mph mile_per_hour',
    'l liter litre', 'lb pound', 'degree deg') for name in names.split()}
_PERCENT = re.compile(r'\s*(?:\\?%|\\text\s*\{\s*(?:\\?%|percent|pct)\s*\}|(?:percent|pct))\Z')
_DEGREE = re.compile(r'(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°)\Z')
_IN_TEXT = re.compile(r'\\(?:text|mathrm|textrm|textbf|textnormal|mbox)\{\s*((?:(?:square|cubic|sq\.?)\s+)?'
                      rf'[A-Za-z]{{1,14}}(?:(?:\s+per\s+|/)[A-Za-z]{{1,14}})?{_POWER})\s*\}}({_POWER})\Z')
_BARE = re.compile(rf'(?<=[0-9}}\s])((?:(?:square|cubic|sq\.?)\s+)?{_WORDS}(?:(?:\s+per\s+|/){_WORDS})?{_POWER})\Z')


class Quantity(NamedTuple):
  """A number as it is spelled."""
  value: Fraction
  unit: str = ''  # in one form, '' for none
  percent: bool = False


def _unit(words: str) -> str:
  words = re.sub(r'[{}\s^]+', ' ', words.casefold().replace('²', ' 2').replace('³', ' 3')).strip()
  words = re.sub(r'^(square|sq\.?) (.*)', r'\2 2', re.sub(r'^cubic (.*)', r'\1 3', words))
  words = [w[:-1] if len(w) > 2 and w.endswith('s') else w for w in words.replace('/', ' per ').split()]
  return ' '.join(_ALIASES.get(w, w) for w in words)


def without_unit(text: str) -> tuple[str, str]:
  """(text, unit) where a unit in \\text{} may stand behind an expression; the unit is '' where none does."""
  match = _IN_TEXT.search(text)
  return (text[:match.start()].strip(), _unit(match[1] + match[2])) if match else (text, '')


def quantity(answer: str, kind: str = 'decimal', units: bool = True, bare: bool = True) -> Quantity | None:
  """`answer` as the exact number that it spells, or None: 1+4 and 10/2 are questions, no numbers.

  kind: 'int' takes 5 and 5.0; 'rational' also 1/2, \\frac12, 2\\frac{1}{2}, 0.5; 'decimal' also 1.5e-3 and
  1.5 \\times 10^{-3}. A percent sign, a degree sign or one unit may follow; without `units`, none may; without `bare`,
  only one in \\text{}: 2m may be twice m.
  """
  if _DIGITS.fullmatch(answer):  # nearly all there are
    return Quantity(Fraction(int(answer)))
  if len(answer) > MAX_CHARS:
    return None
  text = plain(answer)
  text = plain(text[assigned.end():]) if (assigned := ASSIGNED.match(text)) else text
  unit, percent = 'dollar' if '\\$' in answer else '', False
  if not units:
    pass
  elif match := _PERCENT.search(text):
    text, percent = text[:match.start()], True
  elif match := _DEGREE.search(text):
    text, unit = text[:match.start()], 'degree'
  elif match := _IN_TEXT.search(text):
    text, unit = text[:match.start()], _unit(match[1] + match[2])
  elif bare and (match := _BARE.search(text)):
    text, unit = text[:match.start()], _unit(match[1])
  if set(unit.split()) & _SCALES:
    return None
  text = plain(re.sub(r'\\(?:left|right)(?![A-Za-z])', '', text))
  if text.startswith('(') and text.endswith(')') and not re.search('[()]', text[1:-1]):
    text = plain(text[1:-1])
  value = _value(text, kind)
  if value is None and kind == 'int' and percent:
    value = _value(text, 'decimal')
  if value is None or max(abs(value.numerator), value.denominator) >= 10**MAX_DIGITS:
    return None
  return Quantity(value, unit, percent)


def number(answer: str, kind: str = 'decimal') -> Fraction | None:
  """The value of a number that stands alone, with nothing behind it."""
  found = quantity(answer, kind, units=False)
  return None if found is None else found.value


def same_quantity(gold: Quantity, said: Quantity, slack: Fraction = Fraction(0)) -> bool:
  """Equal within `slack`. A unit or a percent sign that only one of the two has is dress; two units must be one."""
  if gold.unit and said.unit and gold.unit != said.unit:
    return False
  if said.value == gold.value or not (slack or said.percent or gold.percent):  # nearly always: no arithmetic
    return said.value == gold.value
  near = lambda a, b, within: abs(a - b) <= within
  if near(said.value, gold.value, slack):
    return True
  if gold.percent and not said.percent:
    return near(said.value, gold.value / 100, slack / 100)
  return said.percent and not gold.percent and near(said.value / 100, gold.value, slack)


def _value(text: str, kind: str) -> Fraction | None:
  if match := _LITERAL.fullmatch(text):
    value = _exact(*match.groups())
    return value if kind != 'int' or value.denominator == 1 else None
  if kind == 'int':
    return None
  if match := _SLASH.fullmatch(text):
    return _ratio(match[1], match[2], match[3])
  if match := _FRACTION.fullmatch(text):
    sign, whole, a, c, b, d = match.groups()
    value = _ratio(sign, a or c, b or d)
    if whole and value is not None:  # 2\frac{1}{2}; but 2\frac{3}{2} and 2\frac{-1}{2} are products
      proper = 0 < abs(value) < 1 and not re.search('[+-]', a or c) and not re.search('[+-]', b or d)
      value = value + _exact(sign, whole) if proper else None
    return value
  if kind == 'decimal' and (match := _SCIENTIFIC.fullmatch(text)):
    value, power = _exact(match[1], match[2]), int(match[3] or match[4])
    return value * Fraction(10) ** power if abs(power) <= MAX_DIGITS else None
  return None


def _exact(sign: str, digits: str) -> Fraction:
  whole, _, part = re.sub(r'[^0-9.]', '', digits).partition('.')
  value = Fraction(int(whole + part), 10 ** len(part)) if part else Fraction(int(whole))
  return -value if sign == '-' else value


def _ratio(sign: str, top: str, bottom: str) -> Fraction | None:
  a, b = (_exact(x[0] if x[0] in '+-' else '', x) for x in (top, bottom))
  if not b or (a % b == 0 and abs(b) != 1):  # 10/2 is a question, not an answer
    return None
  return -a / b if sign == '-' else a / b


# --- letters and words ---
_CHOICE = re.compile(r'\(?\s*([A-Za-z])\s*\)?\s*[.):]?')


def choice(answer: str) -> str | None:
  match = _CHOICE.fullmatch(plain(answer)) if len(answer) <= MAX_CHARS else None
  return match[1].upper() if match else None


def words(answer: str) -> str | None:
  text = plain(answer) if len(answer) <= MAX_CHARS else ''
  return ' '.join(text.casefold().split()).strip('\'"') or None
