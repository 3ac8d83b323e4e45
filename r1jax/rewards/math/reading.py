"""Answers that are read, never worked out: numbers as Fractions, letters of a choice, words.

math-verify holds that 1/2004! equals 1/2006!, and sympy can be made to run for ever: so nothing here is computed.
"""

from fractions import Fraction
import re
from typing import NamedTuple

from r1jax.data import notation
from r1jax.data.notation import closing

MAX_CHARS, MAX_DIGITS = 2000, 1000  # CPython's int() raises over 4300 digits, and is quadratic below

# What Chinese and Japanese prompts bring: （B）, 1，-2, x＝5, １８.
_ASCII = str.maketrans({**{chr(c): chr(c - 0xfee0) for c in range(0xff01, 0xff5f)}, '\u3000': ' ', '\u3001': ',',
                        **dict.fromkeys('\u2212\u2013\uff0d\ufe63', '-')})
_WRAPPER = re.compile(r'\\(?:boxed|text|textbf|textrm|textit|mathrm|mathbf|mbox|boldsymbol|bm)\s*\{')
_BEFORE = re.compile(r'(?:\\[(\[,!;: ]|\\(?:displaystyle|q?quad)(?![A-Za-z]))+')
_BEHIND = ('\\)', '\\]', '\\,', '\\!', '\\;')
_STYLE = re.compile(r'\\(?:bf|rm|it|sf|tt|bfseries|displaystyle|textstyle|color\s*\{\s*\w+\s*\})(?![A-Za-z])\s*')
_DOUBLED = re.compile(r'\\\\(?=[A-Za-z%$({\[,;!])')  # a backslash that was escaped twice


def plain(answer: str) -> str:
  """`answer` without what only dresses it: $, \\( \\), \\text{}, bold, colour, spacing, a final period, braces around
  all; full-width signs and a Unicode minus as ASCII, backslashes that were doubled as one."""
  text, before = answer.translate(_ASCII), None
  if '\\\\' in text and '\\begin' not in text:
    text = _DOUBLED.sub(r'\\', text)
  text = notation.read(text).replace('\\$', '$')
  while text != before:
    before = text
    text = text.strip(' \t\r\n$*`~').rstrip('.。').removesuffix('\\')
    if '\\' in text:
      if dress := _BEFORE.match(text):
        text = text[dress.end():]
      while text[-2:] in _BEHIND or text.endswith(('\\quad', '\\qquad')):
        text = text[:-2] if text[-2:] in _BEHIND else text[:text.rindex('\\')]
      if style := _STYLE.match(text):
        text = text[style.end():]
    if text.startswith('{') and closing(text, 1) == len(text) - 1:
      text = text[1:-1]
    wrapper = _WRAPPER.match(text) if text[:1] == '\\' else None
    if wrapper and closing(text, wrapper.end()) == len(text) - 1:
      text = text[wrapper.end():-1]
  return text


# --- numbers ---
_SIGN, _INT = r'([+-]?)\s*', r'(?:[1-9][0-9]{0,2}(?:(?:,\\!\s?|\{,\}|\\[,\s]|,)[0-9]{3})+|[0-9]+)'
_DECIMAL = rf'{_SIGN}({_INT}(?:\.[0-9]*)?|\.[0-9]+)'
_FRAC = rf'\\[cdt]?frac\s*(?:\{{\s*([+-]?\s*{_INT})\s*\}}|([0-9]))\s*(?:\{{\s*([+-]?\s*{_INT})\s*\}}|([0-9]))'
_LITERAL = re.compile(_DECIMAL)
_SPACED = re.compile(r'[1-9][0-9]{0,2}(?: [0-9]{3})+')
_SLASH = re.compile(rf'{_SIGN}(?:([0-9]+)(?:\s|\\\s)+)?({_INT})\s*/\s*({_INT})')
_FRACTION = re.compile(rf'{_SIGN}({_INT})?(?:\s|\\[\s,;!])*{_FRAC}')
_REPEATING = re.compile(r'([+-]?)\s*([0-9]*)\.([0-9]*)\s*'
                        r'(?:\\overline\s*\{\s*([0-9]+)\s*\}|\\dot\s*(?:\{\s*([0-9])\s*\}|([0-9]))'
                        r'(?:([0-9]*)\\dot\s*(?:\{\s*([0-9])\s*\}|([0-9])))?)')
_SCIENTIFIC = re.compile(rf'{_DECIMAL}(?:[eE]|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*)'
                         r'(?:\{\s*([+-]?[0-9]{1,4})\s*\}|([+-]?[0-9]{1,4}))')
_POWER_OF_TEN = re.compile(rf'{_SIGN}10\s*\^\s*(?:\{{\s*([+-]?[0-9]{{1,3}})\s*\}}|([0-9]))')
_DIGITS = re.compile(r'-?[0-9]{1,18}')
# x = 5, x_1 = 5, f(x) = x^2, f^{-1}(x) = x, P(A) = 1/2, AB = 5, \\angle ABC = 60, dy/dx = 2x
ASSIGNED = re.compile(
    r"(?:\\angle\s*[A-Z]{1,3}|\\frac\s*\{d[a-z]?\}\{d[a-z]\}|\\(?:theta|alpha|beta|phi|lambda|mu|omega)|[A-Z]{2,3}|"
    r"\\text\s*\{(?![^{}]*\b(?:not|no|never|wrong|incorrect)\b)[A-Za-z\s]+\}|"
    r"(?:[A-Za-z]\s*[+-]\s*)+[A-Za-z]|(?:[A-Z]{2,3}\s*[+-]\s*)+[A-Z]{2,3}|"
    r"\|\s*(?:\\overline\s*\{)?[A-Z]{1,3}\}?\s*\||\\overline\s*\{\s*[A-Z]{2,3}\s*\}|[A-Z]{1,2}\s*[:/]\s*[A-Z]{1,2}|"
    r"\\frac\s*\{\s*\|?[A-Z]{1,3}\|?\s*\}\s*\{\s*\|?[A-Z]{1,3}\|?\s*\}|"
    r"(?:m\s*)?\\angle\s*[A-Z]{1,3}|\\(?:sin|cos|tan|cot|log|ln)\s*(?:[A-Z]|\\?[a-z]+)|"
    r"\\(?:gcd|max|min|lcm|det|deg)\s*(?:\([^()=]{1,30}\)|[A-Z])|"
    r"[A-Za-z](?:_(?:\w|\{(?:\\(?:text|mathrm)\s*\{)?\s*\w{1,8}\s*\}{1,2}))?(?:'{1,2}|\^\{-1\})?"
    r"(?:\(\s*[A-Za-z0-9+-]{1,6}(?:,\s*[A-Za-z0-9+-]{1,6})*\s*\))?)\s*=(?!=)\s*")

# --- units ---
_POWER = r'(?:\s*\^\s*(?:[23]|\{\s*[23]\s*\})|²|³)?'
_WORDS = (r'(?:[cmk]?m|[km]?g|meters?|metres?|centimeters?|kilometers?|miles?|inch(?:es)?|feet|foot|ft|yards?|liters?|'
          r'litres?|ml|kilograms?|grams?|pounds?|seconds?|sec|s|minutes?|min|hours?|hrs?|h|days?|weeks?|months?|'
          r'years?|dollars?|cents?|degrees?|units?|mph|people|ways?)')
# Words that change a number are no units of it; as _unit gives them, without a plural's s.
_SCALES = set('''
    ten hundred thousand million billion trillion k bn mn mil dozen
    half halve third quarter fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth
    eightieth ninetieth hundredth thousandth millionth billionth score gross pair
    double triple twice time plus minus negative over less more squared square cubed cube root factorial base mod
    percent pct pi i e j x y n and or is are was not wrong incorrect right correct maybe about
    approximately no none lakh crore quadrillion permille fold fewer false true off'''.split())
_NO_PLURAL = {'plus', 'minus', 'less', 'this', 'is', 'was', 'gross'}
_ALIASES = {name: names.split()[0] for names in (
    'cm centimeter centimetre', 'mm millimeter', 'm meter metre', 'km kilometer kilometre', 'kg kilogram', 'g gram',
    'ft foot feet', 'in inch inche inches', 'h hr hour', 'min minute', 's sec second', 'mph mile_per_h',
    'kmh kph km_per_h', 'l liter litre', 'lb pound', 'degree deg') for name in names.split()}
_PERCENT = re.compile(r'\s*(?:\\?%|\\text\s*\{\s*(?:\\?%|per\s?cent|pct)\s*\}|(?:per\s?cent|pct))\Z')
_MINUTES = re.compile(r'([0-9]+)\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°)\s*([0-5]?[0-9])\s*'
                      r"(?:'|\^\s*(?:\{\s*\\prime\s*\}|\\prime))\Z")
# 5 million, 2.5 \\text{ thousand}: a number, whatever is counted behind it.
_SCALE = {'hundred': 2, 'thousand': 3, 'million': 6, 'billion': 9, 'trillion': 12}
_SCALED = re.compile(r'(?<=[0-9])\s*(?:\\[,;:\s]|~)?\s*'
                     rf'(?:\\(?:text|mathrm|textrm)\s*\{{\s*~?\s*({"|".join(_SCALE)})(?:\s*\}}|\s+(?=[a-z]))|'
                     rf'(?<=[0-9\s])({"|".join(_SCALE)})(?![A-Za-z]))', re.IGNORECASE)
_DEGREE = re.compile(r'(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°)\Z')
_IN_TEXT = re.compile(r'\(?\\(?:text|mathrm|textrm|textbf|textnormal|mbox)\s*\{[\s~]*\(?((?:(?:square|cubic|sq\.?)\s+)?'
                      rf'(?:[A-Za-z]{{1,14}}(?:(?:\s+per\s+|/|\s+)[A-Za-z]{{1,14}})?|'
                      rf'[\u4e00-\u9fff]{{1,5}}){_POWER})\)?'
                      rf'[\s~.]*\}}({_POWER})\)?\Z')
# 18 eggs, 元; a number is what is asked, and no word that changes one.
_COUNTED = re.compile(r'(?<=[0-9])\s+\(?([A-Za-z]{2,14}(?:\s+[A-Za-z]{2,14})?)\)?\Z|'
                      r'(?<=[0-9])\s*([\u4e00-\u9fff]{1,5})\Z')
_MULTIPLES = set('十百千万亿兆半成倍分折点零一二三四五六七八九又')
_KILO = re.compile('[千百兆](?=[克米瓦帕卡焦伏赫升])')
_TIMES = re.compile(r'(?<=[0-9])\s*(?:\\(?:text|mathrm)\s*\{\s*)?((?:[百千万亿](?![克米瓦帕卡焦伏赫升])){1,2})\s*\}?')
_SI = re.compile(r'(?<=[0-9}\s,~])(?:\\[,;:\s]|\s|~)*'
                 r'(?:\\(?:mathrm|text)\s*\{\s*~?([LNJWVAKFCTH])\s*\}|(?<=\s)([LNJWVAKFCTH]))\Z')
_POWERS = {'百': 2, '千': 3, '万': 4, '亿': 8}
_CURRENCY = re.compile(r'((?:US\s*)?\$|£|€|¥|￥|\\pounds|'
                       r'\\text\s*\{\s*(?:USD|EUR|GBP|RMB|CNY)\s*\}|USD|EUR|GBP|RMB|CNY)\s*')
_MONEY = {'€': 'euro', 'eur': 'euro', '£': 'lb', '\\pounds': 'lb', 'gbp': 'lb', '¥': 'yuan', '￥': 'yuan',
          'rmb': 'yuan', 'cny': 'yuan', '元': 'yuan', 'usd': 'dollar', '美元': 'dollar', '欧元': 'euro',
          '人民币': 'yuan', 'pound': 'lb'}
_BARE = re.compile(rf'(?<=[0-9}}\s])((?:(?:square|cubic|sq\.?)\s+)?{_WORDS}(?:(?:\s+per\s+|/){_WORDS})?{_POWER})\Z')


class Quantity(NamedTuple):
  """A number as it is spelled."""
  value: Fraction
  unit: str = ''  # in one form, '' for none
  percent: bool = False


def _unit(words: str) -> str:
  words = re.sub(r'[{}\s^]+', ' ', words.casefold().replace('²', ' 2').replace('³', ' 3')).strip()
  words = re.sub(r'^(square|sq\.?) (.*)', r'\2 2', re.sub(r'^cubic (.*)', r'\1 3', words))
  words = [w[:-1] if len(w) > 2 and w.endswith('s') and w not in _NO_PLURAL else w
           for w in words.replace('/', ' per ').split()]
  named = ' '.join(_MONEY.get(w) or _ALIASES.get(w, w) for w in words)
  return _ALIASES.get(named.replace(' ', '_'), named)


def _changes(unit: str) -> bool:
  """Whether what looks like a unit is part of the number: million, 倍, a letter that is no unit of anything."""
  words = set(unit.split())
  letters = {w for w in words if len(w) == 1 and w.isascii() and w.isalpha()} if 'SI' not in words else set()
  return bool(words & _SCALES or letters - set('mgshl') or set(_KILO.sub('', unit)) & _MULTIPLES)


def without_unit(text: str) -> tuple[str, str]:
  """(text, unit) where a unit in \\text{} may stand behind an expression; the unit is '' where none does."""
  match = _IN_TEXT.search(text)
  unit = _unit(match[1] + match[2]) if match else ''
  return (text, '') if _changes(unit) else (text[:match.start()].strip() if match else text, unit)


def quantity(answer: str, kind: str = 'decimal', units: bool = True, bare: bool = True) -> Quantity | None:
  """`answer` as the exact number that it spells, or None: 1+4 and 10/2 are questions, no numbers.

  kind: 'int' takes 5 and 5.0; 'rational' also 1/2, \\frac12, 2\\frac{1}{2}, 0.5; 'expr' also 1.5 \\times 10^{-3};
  'decimal' also 1.5e-3, which in an expression is 1.5 times e less 3. A percent sign, a degree sign or one unit may
  follow, and a currency stand before; without `units`, none may; without `bare`,
  only one in \\text{}: 2m may be twice m.
  """
  if _DIGITS.fullmatch(answer):  # nearly all there are
    return Quantity(Fraction(int(answer)))
  if len(answer) > MAX_CHARS:
    return None
  text = plain(answer)
  text = plain(text[assigned.end():]) if (assigned := ASSIGNED.match(text)) else text
  power = 0
  unit, percent = 'dollar' if '\\$' in answer else '', False
  if units and (currency := _CURRENCY.match(text)):
    text = text[currency.end():]
    unit = unit or _MONEY.get(re.sub(r'\\text|[{}\s]', '', currency[1]).lower(), '')  # a bare $ may be a formula's
  elif units and (behind := re.search(r'(?<=[0-9}])\s*([€£¥￥$])\Z', text)):
    text, unit = text[:behind.start()], unit or _MONEY.get(behind[1], '')
  if units and (times := _TIMES.search(text)):
    text, power = text[:times.start()] + text[times.end():], sum(_POWERS[c] for c in times[1])
  elif units and (scaled := _SCALED.search(text)):
    opened = scaled[1] and not scaled[0].endswith('}')  # \\text{million dollars}
    text = text[:scaled.start()] + (r' \text{' if opened else ' ') + text[scaled.end():].strip()
    text, power = text.strip(), _SCALE[(scaled[1] or scaled[2]).lower()]
  elif units and (parts := _MINUTES.search(text)) and parts.start() == 0:
    return Quantity(Fraction(int(parts[1])) + Fraction(int(parts[2]), 60), 'degree') if kind != 'int' else None
  if not units:
    pass
  elif match := _PERCENT.search(text):
    text, percent = text[:match.start()], True
  elif match := _DEGREE.search(text):
    text, unit = text[:match.start()], 'degree'
  elif (match := _SI.search(text)) and (bare or match[1]):
    letter = match[1] or match[2]
    text, unit = text[:match.start()], 'l' if letter == 'L' else f'SI {letter}'
  elif match := _IN_TEXT.search(text):
    text, unit = text[:match.start()], _unit(match[1] + match[2])
  elif bare and (match := _BARE.search(text)):
    text, unit = text[:match.start()], _unit(match[1])
  elif bare and (match := _COUNTED.search(text)):
    if set(_KILO.sub('', match[2] or '')) & _MULTIPLES:
      return None
    text, unit = text[:match.start()], _unit(match[1] or match[2])
  if _changes(unit):
    return None
  text = plain(re.sub(r'\\(?:left|right)(?![A-Za-z])', '', text))
  if (signed := re.match(r'([+-])\s*\{', text)) and closing(text, signed.end()) == len(text) - 1:
    text = signed[1] + plain(text[signed.end():-1])
  if enclosed := re.fullmatch(r'([+-]?)\s*\(([^()]*)\)', text):
    inner = plain(enclosed[2])
    text = enclosed[1] + inner if not enclosed[1] or inner[:1] not in ('+', '-') else text
  value = _value(text, 'decimal' if power and kind == 'int' else kind)
  value = value if value is None else value * 10 ** power
  if kind == 'int' and value is not None and value.denominator != 1:
    value = None
  if value is None and kind == 'int' and percent:
    value = _value(text, 'decimal')
  if value is None or max(abs(value.numerator), value.denominator) >= 10**MAX_DIGITS:
    return None
  return Quantity(value, unit, percent)


def number(answer: str, kind: str = 'expr') -> Fraction | None:
  """The value of a number that stands alone, with nothing behind it."""
  found = quantity(answer, kind, units=False)
  return None if found is None else found.value


def same_quantity(gold: Quantity, said: Quantity, slack: Fraction = Fraction(0)) -> bool:
  """Equal within `slack`. A unit or a percent sign that only one of the two has is dress; two units must be one."""
  if gold.unit and said.unit and gold.unit != said.unit:
    return False
  near = lambda a, b, within: abs(a - b) <= within
  if said.percent and not gold.percent and not gold.unit and gold.value.denominator != 1 and abs(gold.value) < 1:
    return near(said.value / 100, gold.value, slack)  # 1/5 is no 1/5 of a hundredth
  if said.value == gold.value or not (slack or said.percent or gold.percent):  # nearly always: no arithmetic
    return said.value == gold.value
  if near(said.value, gold.value, slack):
    return True
  if gold.percent and not said.percent:
    return near(said.value, gold.value / 100, slack / 100)
  return said.percent and not gold.percent and near(said.value / 100, gold.value, slack)


def _value(text: str, kind: str) -> Fraction | None:
  if _SPACED.fullmatch(text):  # 1 234 567
    text = text.replace(' ', '')
  if match := _LITERAL.fullmatch(text):
    value = _exact(*match.groups())
    return value if kind != 'int' or value.denominator == 1 else None
  if kind == 'int':
    return _whole(text)
  if match := _SLASH.fullmatch(text):
    return _mixed(*match.groups())
  if match := _FRACTION.fullmatch(text):
    sign, whole, a, c, b, d = match.groups()
    return _mixed(sign, whole, a or c, b or d)
  if match := _REPEATING.fullmatch(text):
    sign, whole, before, repeated, *dotted = match.groups()
    period = repeated or ''.join(digits or '' for digits in dotted)
    value = Fraction(int(f'{whole}{before}{period}') - int(f'{whole}{before}' or '0'),
                     10**len(before) * (10**len(period) - 1))
    return -value if sign == '-' else value
  if kind in ('decimal', 'expr') and (match := _POWER_OF_TEN.fullmatch(text)):
    return _exact(match[1], '1') * Fraction(10) ** int(match[2] or match[3])
  match = _SCIENTIFIC.fullmatch(text) if kind in ('decimal', 'expr') else None
  if match and (kind == 'decimal' or not re.search('[eE]', text)):
    value, power = _exact(match[1], match[2]), int(match[3] or match[4])
    return value * Fraction(10) ** power if abs(power) <= MAX_DIGITS else None
  return None


def _whole(text: str) -> Fraction | None:
  """2.5 \\times 10^6, a digit before its point: the way to write a whole number, and no product to be worked out."""
  match = _SCIENTIFIC.fullmatch(text)
  if not match or len(re.sub(r'\D', '', match[2].partition('.')[0])) != 1:
    return None
  power = int(match[3] or match[4])
  value = _exact(match[1], match[2]) * Fraction(10) ** power if abs(power) <= MAX_DIGITS else Fraction(1, 2)
  return value if value.denominator == 1 and value else None


def _mixed(sign: str, whole: str | None, top: str, bottom: str) -> Fraction | None:
  """1/2, and 2\\frac{1}{2}; but 2\\frac{3}{2} and 2\\frac{-1}{2} are products."""
  value = _ratio(sign, top, bottom)
  if whole and value is not None:
    proper = 0 < abs(value) < 1 and not re.search('[+-]', top) and not re.search('[+-]', bottom)
    value = value + _exact(sign, whole) if proper else None
  return value


def _exact(sign: str, digits: str) -> Fraction:
  whole, _, part = re.sub(r'[^0-9.]', '', digits).partition('.')
  value = Fraction(int(whole + part), 10 ** len(part)) if part else Fraction(int(whole))
  return -value if sign == '-' else value


def _ratio(sign: str, top: str, bottom: str) -> Fraction | None:
  a, b = (_exact(x[0] if x[0] in '+-' else '', x) for x in (top, bottom))
  if not b or (a % b == 0 and abs(b) != 1):  # 10/2 is a question, not an answer
    return None
  return -a / b if sign == '-' else a / b


# --- numbers in a base ---
_BASE_NAMES = dict(zip('two three four five six seven eight nine ten eleven twelve sixteen'.split(),
                       (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16)))
_BASED = re.compile(r'([+-]?)(?:\(\s*([0-9A-Fa-f]+)\s*\)|([0-9A-Fa-f]+))\s*_\s*'
                    r'(?:([2-9])|\{\s*(?:base\s*)?([0-9]{1,2})\s*\}|'
                    r'\{?\s*\\(?:text|mathrm|textrm|mbox)\s*\{\s*(?:base\s*)?([a-z]+|[0-9]{1,2})\s*\}\s*\}?)')


class Based(NamedTuple):
  """A number as it is written in a base: 4343_6."""
  digits: str
  base: int


def based(answer: str) -> Based | None:
  """4343_6, (4343)_{6}, 4343_{\\text{six}}; None for what has no base, or a digit that its base has not."""
  text = re.sub(r'\\(?:left|right)(?![A-Za-z])', '', plain(answer)) if len(answer) <= MAX_CHARS else ''
  match = _BASED.fullmatch(text)
  if not match:
    return None
  sign, enclosed, bare, digit, braced, word = match.groups()
  name = digit or braced or word
  base = int(name) if name.isdigit() else _BASE_NAMES.get(name, 0)
  digits = (enclosed or bare).upper()
  if not 2 <= base <= 36 or any(int(d, 36) >= base for d in digits):
    return None
  return Based(('-' if sign == '-' else '') + (digits.lstrip('0') or '0'), base)


# --- letters and words ---
_CHOICE = re.compile(r'\(?\s*([A-Za-z])\s*\)?\s*[.):,]?')
# With its option behind: (B) 12, B. 12, \\textbf{(B)}\\ 12; not "a dog", and not "A or B".
_WITH_OPTION = re.compile(r'(?:\\(?:text|textbf|mathbf|mathrm|textrm)\s*\{\s*)?(?:\(\s*([A-Z])\s*\)|([A-Z])\s*[.):])'
                          r'\s*\}?[.:]?(?:\s|\\\s|\\q?quad|~|:)*(.*)', re.DOTALL)
_ANOTHER = re.compile(r'(?<![A-Za-z\\])\(?[A-Z]\s*[.)]|\b(?:or|and)\b')


def option(answer: str) -> str | None:
  """B of (B) 12, B. 12 or \\textbf{(B)}\\ 12; None of a letter alone."""
  match = _WITH_OPTION.fullmatch(plain(answer)) if len(answer) <= MAX_CHARS else None
  return (match[1] or match[2]) if match and not _ANOTHER.search(match[3]) else None


def choice(answer: str) -> str | None:
  text = plain(answer) if len(answer) <= MAX_CHARS else ''
  text = re.sub(r'\\(?:text|textbf|mathbf|mathrm|textrm)\s*\{\s*([A-Za-z])\s*\}', r'\1', text)
  if match := _CHOICE.fullmatch(text):
    return match[1].upper()
  return option(text)


_CLOCK = re.compile(r'(?<![0-9])([0-9]{1,2})(?::([0-9]{2}))?\s*([ap])\.?\s?m\b\.?')
_HELD = re.compile(r'\\(?:text|mathrm|textrm|textbf|textit|mbox)\s*\{([^{}]*)\}')


def words(answer: str) -> str | None:
  """Words, times and ratios in one spelling: 4:30 \\text{ p.m.} is 4:30 PM, 3 : 4 is 3:4."""
  text = plain(answer) if len(answer) <= MAX_CHARS else ''
  if ':' in text or '\\' in text or _CLOCK.search(text.casefold()):
    text = text.replace('{:}', ':')
    text = plain(re.sub(r'\\[,;:\s]|~|\\q?quad(?![A-Za-z])', ' ', _HELD.sub(r' \1 ', text).replace('\\!', '')))
    text = text.strip().rstrip('.')
    text = re.sub(r'\s*:\s*', ':', text)
    text = _CLOCK.sub(lambda m: f'{m[1]}:{m[2] or "00"} {m[3]}m', text.casefold()).rstrip('.')
  text = text.replace('∞', '\\infty').removeprefix('+')
  return ' '.join(text.casefold().split()).strip('\'"') or None
