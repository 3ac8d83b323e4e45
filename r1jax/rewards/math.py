"""Accuracy reward for maths: the answer in its stated form, compared by rule (paper, 2.2.2).

Numbers are compared here, as Python integers and Fractions: math-verify holds that 1/2004! equals 1/2006!, and
sympy can be made to run for ever. Only answers of type 'expr' go to math-verify, and only in a process that may be
killed (pool.py). Gold and prediction do not play the same part: the gold is trusted, and what it does not use
(a relation, a comma, an integral, a tower of powers) the prediction may not use either, else `\\boxed{6=5}`,
`\\boxed{5,5}` and `\\boxed{1+4}` are right for a gold of 5.
"""

import functools
from fractions import Fraction
import re

from r1jax.rewards import CORRECT, NO_ANSWER, Score, WRONG, error
from r1jax.rewards import format as form
from r1jax.rewards import pool

TYPES = ('int', 'rational', 'decimal', 'choice', 'text', 'expr')
MAX_CHARS, MAX_DIGITS, MAX_DEPTH = 2000, 1000, 30  # CPython's int() raises over 4300 digits, and is quadratic below

# --- where the answer stands ---
_BRACES = re.compile(r'\\boxed\s*\{|\\.|[{}]', re.DOTALL)


def extract(completion: str, row: dict) -> str | None:
  """The last balanced \\boxed{} after </think>, else the content of the last <answer>...</answer> there, else None.

  Only the last box counts: math-verify merges several into a set and marks honest long reasoning wrong.
  A completion whose <think> never closes has no answer.
  """
  text = form.after_think(form.full(completion, row))
  if text is None:
    return None
  box = _last_box(text) if '\\boxed' in text else None
  if box is not None:
    return box.strip() or None
  start = text.rfind(form.ANSWER, 0, max(0, text.rfind(form.ANSWER_END)))  # the last one that closes
  if start < 0:
    return None
  start += len(form.ANSWER)
  return text[start:text.find(form.ANSWER_END, start)].strip() or None


def _last_box(text: str) -> str | None:
  """One pass: 10,000 boxes that never close take no longer than any other text.

  What closes last is the outermost, so \\boxed{6=\\boxed{5}} says 6=5.
  """
  stack, box = [], None
  for match in _BRACES.finditer(text):
    token = match[0]
    if token == '}' and stack:
      is_box, start = stack.pop()
      box = text[start:match.start()] if is_box else box
    elif token[-1] == '{' and token != '\\{':
      stack.append((token != '{', match.end()))
  return box


# --- reading an answer ---
_MINUS = str.maketrans(dict.fromkeys('\u2212\u2013\uff0d\ufe63', '-'))
_WRAPPER = re.compile(r'\\(?:boxed|text|textbf|textrm|textit|mathrm|mathbf|mbox)\s*\{')


def plain(answer: str) -> str:
  """`answer` without what only dresses it: $, \\( \\), \\text{}, bold, spacing, a final period, a Unicode minus."""
  text, before = answer.translate(_MINUS).replace('\\$', '$'), None
  while text != before:
    before = text
    text = text.strip(' \t\r\n$*`~').rstrip('.。')
    for dress in ('\\(', '\\[', '\\displaystyle', '\\,', '\\!', '\\;'):
      text = text.removeprefix(dress)
    for dress in ('\\)', '\\]', '\\,', '\\!', '\\;'):
      text = text.removesuffix(dress)
    wrapper = _WRAPPER.match(text)
    if wrapper and _closing(text, wrapper.end()) == len(text) - 1:
      text = text[wrapper.end():-1]
  return text


def _closing(text: str, start: int) -> int:
  """Where the brace that was opened just before `start` closes; -1 if it does not."""
  depth = 1
  for match in re.compile(r'\\.|[{}]', re.DOTALL).finditer(text, start):
    depth += {'{': 1, '}': -1}.get(match[0], 0)
    if not depth:
      return match.start()
  return -1


_SIGN, _INT = r'([+-]?)\s*', r'(?:[0-9]{1,3}(?:(?:,\\!|\{,\}|\\,|,)[0-9]{3})+|[0-9]+)'
_DECIMAL = rf'{_SIGN}({_INT}(?:\.[0-9]*)?|\.[0-9]+)'
_FRAC = rf'\\[dt]?frac\s*(?:\{{\s*([+-]?\s*{_INT})\s*\}}\s*\{{\s*([+-]?\s*{_INT})\s*\}}|([0-9])\s*([0-9]))'
_LITERAL = re.compile(_DECIMAL)
_SLASH = re.compile(rf'{_SIGN}({_INT})\s*/\s*({_INT})')
_FRACTION = re.compile(rf'{_SIGN}({_INT})?\s*{_FRAC}')
_SCIENTIFIC = re.compile(rf'{_DECIMAL}(?:[eE]|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*)'
                         r'(?:\{\s*([+-]?[0-9]{1,4})\s*\}|([+-]?[0-9]{1,4}))')
_ASSIGNED = re.compile(r'[A-Za-z](?:\([a-z]\))?\s*=\s*')  # x = 5, f(x) = x^2
_UNIT = re.compile(r'(?:\\?%|\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°|\\(?:text|mathrm|textrm|mbox)\{\s*'
                   r'(?:(?:square|cubic|sq)\.?\s+)?[A-Za-z]{1,14}(?:(?:\s+per\s+|/)[A-Za-z]{1,14})?\s*\}'
                   r'(?:\^(?:[23]|\{[23]\}))?)\Z')


def number(answer: str, kind: str = 'decimal') -> Fraction | None:
  """`answer` as the exact number that it spells, or None. It is read, never worked out: 1+4 and 10/2 are no numbers.

  kind: 'int' takes 5 and 5.0; 'rational' also 1/2, \\frac12, 2\\frac{1}{2}, 0.5; 'decimal' also 1.5e-3 and
  1.5 \\times 10^{-3}. A percent sign, a degree sign and one unit in \\text{} are dropped.
  """
  if len(answer) > MAX_CHARS:
    return None
  text = plain(answer)
  text = plain(_UNIT.sub('', text[_ASSIGNED.match(text).end():] if _ASSIGNED.match(text) else text))
  value = None
  if match := _LITERAL.fullmatch(text):
    value = _exact(*match.groups())
    if kind == 'int' and value.denominator != 1:
      value = None
  elif kind == 'int':
    return None
  elif match := _SLASH.fullmatch(text):
    value = _ratio(match[1], match[2], match[3])
  elif match := _FRACTION.fullmatch(text):
    sign, whole, a, b, c, d = match.groups()
    value = _ratio(sign, a or c, b or d)
    if whole and value is not None:  # 2\frac{1}{2}; but 2\frac{3}{2} and 2\frac{-1}{2} are products
      proper = 0 < abs(value) < 1 and not re.search('[+-]', a or c) and not re.search('[+-]', b or d)
      value = value + _exact(sign, whole) if proper else None
  elif kind == 'decimal' and (match := _SCIENTIFIC.fullmatch(text)):
    value, power = _exact(match[1], match[2]), int(match[3] or match[4])
    value = value * Fraction(10) ** power if abs(power) <= MAX_DIGITS else None
  if value is None or max(abs(value.numerator), value.denominator) >= 10**MAX_DIGITS:
    return None
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


_CHOICE = re.compile(r'\(?\s*([A-Za-z])\s*\)?\s*[.):]?')


def _choice(answer: str) -> str | None:
  match = _CHOICE.fullmatch(plain(answer)) if len(answer) <= MAX_CHARS else None
  return match[1].upper() if match else None


def _text(answer: str) -> str | None:
  text = plain(answer) if len(answer) <= MAX_CHARS else ''
  return ' '.join(text.casefold().split()).strip('\'"') or None


# --- expressions ---
_GROUPED = re.compile(r'(?<![0-9.])[0-9]{1,3}(?:(?:,\\!|\{,\}|\\,|,)[0-9]{3})+(?![0-9])')
_POINT = re.compile(r'([0-9]*)\.([0-9]+)')
# As typed in a program: x**10, x^10, 2pi.
_TYPED = re.compile(r'(?:\*\*|\^)\s*(-?[0-9]+|[A-Za-z](?![A-Za-z]))|(?<![A-Za-z\\])pi(?![A-Za-z])')
_DRESS = re.compile(r'\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,!;:]')
# What makes a question, a list or a relation of an expression,
_MARKS = re.compile(
    r'[=<>,;!&|~?@]|\\[{}]|\\frac\s*\{\s*d\s*\}\s*\{\s*d|\b(?:or|and|is|not)\b|'
    r'\\(?:le|leq|ge|geq|ne|neq|lt|gt|approx|equiv|sim|simeq|in|notin|subset|cup|cap|setminus|pm|mp|to|implies'
    r'|text|mathrm|textrm|mbox|int|iint|oint|sum|prod|lim|binom|dbinom|tbinom|choose|det|gcd|lcm|max|min|bmod|mod|pmod'
    r'|lfloor|lceil|partial|infty|quad|qquad|boxed|begin)(?![A-Za-z])')
# and what makes it long to work out: a power of a power, an exponent or a number of many digits.
_TOWER = re.compile(
    r'\^\s*(?:\{[^{}]*(?:\^|\}\s*\^)|(?:[A-Za-z0-9]|\\[A-Za-z]+)\s*\^)|\^\s*\{?\s*-?[0-9]{4}|[0-9]{101}')


def _latex(answer: str) -> str | None:
  """An expression as it is handed to math-verify: decimals as fractions, so that 1.414214 is not the root of 2."""
  if len(answer) > MAX_CHARS:
    return None
  text = _DRESS.sub('', plain(answer)).replace('dfrac', 'frac').replace('tfrac', 'frac').strip()
  text = _TYPED.sub(lambda m: r'\pi ' if m[0] == 'pi' else f'^{{{m[1]}}}', text)
  text = text[_ASSIGNED.match(text).end():] if _ASSIGNED.match(text) else text
  text = _GROUPED.sub(lambda m: re.sub('[^0-9]', '', m[0]), text)
  return _POINT.sub(lambda m: rf'\frac{{{m[1] + m[2]}}}{{1{"0" * len(m[2])}}}', text) or None


def _depth(text: str) -> int:
  """The deepest nesting, or -1 where braces do not match."""
  depth = deepest = 0
  for char in re.sub(r'\\[{}]', '', text):
    depth += (char in '{([') - (char in '})]')
    deepest = max(deepest, depth)
    if depth < 0:
      return -1
  return deepest if depth == 0 else -1


def _admissible(said: str, gold: str) -> bool:
  """Whether a prediction may reach sympy at all."""
  marks = lambda text: set(_MARKS.findall(text))
  return (len(said) <= max(400, 4 * len(gold)) and 0 <= _depth(said) <= MAX_DEPTH and marks(said) <= marks(gold)
          and (not _TOWER.search(said) or bool(_TOWER.search(gold))))


# --- the reward ---
@functools.lru_cache(maxsize=65536)
def _gold(answer: str, kind: str, tolerance) -> tuple[Fraction | str, Fraction]:
  """(gold, tolerance), read once a question rather than once a sample."""
  if kind not in TYPES:
    raise ValueError(f'answer_type={kind!r} is not supported; there are {", ".join(TYPES)}')
  read = number(answer) if kind == 'expr' else _read(answer, kind)
  if read is None and kind == 'expr':
    read = _latex(answer)
    if read and (_depth(read) < 0 or {'=', ',', ';', '<', '>'} & set(_outer(read))):
      raise ValueError(f'{answer=} is no single expression: its answer_type is one of set, tuple, interval, equation')
  if read is None:
    raise ValueError(f'{answer=} does not parse as {kind!r}')
  try:
    slack = Fraction(str(tolerance or 0))
  except (ValueError, ZeroDivisionError) as e:
    raise ValueError(f'{tolerance=} is not a number') from e
  if slack < 0 or (slack and kind not in ('decimal', 'expr')):
    raise ValueError(f'{tolerance=} with answer_type={kind!r}: wants >= 0, and 0 unless decimal or expr')
  return read, slack


def _outer(text: str) -> str:
  """`text` without what stands in brackets."""
  kept, depth = [], 0
  for char in text:
    depth += (char in '{([') - (char in '})]')
    if not depth:
      kept.append(char)
  return ''.join(kept)


def _read(answer: str, kind: str) -> Fraction | str | None:
  if kind == 'choice':
    return _choice(answer)
  if kind == 'text':
    return _text(answer)
  return _latex(answer) if kind == 'expr' else number(answer, kind)


def _row_gold(row: dict) -> tuple[Fraction | str, Fraction]:
  if row.get('answer') is None or row.get('answer_type') is None:
    raise ValueError(f"row needs 'answer' and 'answer_type', has {sorted(row)}")
  return _gold(str(row['answer']), row['answer_type'], row.get('tolerance'))


def decide(completion: str, row: dict) -> Score | None:
  """The verdict wherever no wall clock is needed for it; None where math-verify must speak."""
  gold, slack = _row_gold(row)
  said = extract(completion, row)
  if said is None:
    return NO_ANSWER
  kind = row['answer_type']
  if isinstance(gold, Fraction):
    value = number(said, 'decimal' if kind == 'expr' else kind)
    return CORRECT if value is not None and abs(value - gold) <= slack else WRONG
  read = _read(said, kind)
  if read == gold or read is None or kind != 'expr':
    return CORRECT if read == gold else WRONG
  return None if _admissible(read, gold) else WRONG


def judge(completion: str, row: dict) -> Score:
  """`decide`, then math-verify. It may take for ever: call it only in a process that may be killed."""
  verdict = decide(completion, row)
  if verdict is not None:
    return verdict
  gold, slack = _row_gold(row)
  import math_verify  # here and not above: half a second of sympy that most runs never need

  def parse(latex):
    config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
    # No timeouts of its own: they are signal.alarm, which raises in every thread but the main one.
    found = math_verify.parse(rf'\boxed{{{latex}}}', config, fallback_mode='no_fallback', extraction_mode='first_match',
                              parsing_timeout=None, raise_on_error=True)
    return found[0] if found else None

  target, value = parse(gold), parse(_latex(extract(completion, row)))
  if target is None:
    return error(f'gold {gold!r} does not parse')
  if value is None:
    return WRONG
  numbers = getattr(target, 'is_number', False) and getattr(value, 'is_number', False)
  if not (slack and numbers) and not math_verify.verify(target, value, timeout_seconds=None, raise_on_error=True):
    return WRONG
  if numbers and target != value:  # math-verify compares to an absolute 1e-15: any two tiny numbers are equal to it
    gap, size = abs((target - value).evalf(30)), abs(target.evalf(30))
    if not gap.is_finite:  # two infinities: nothing to measure
      return WRONG if slack else CORRECT
    return CORRECT if gap <= max(slack, size / 10**12) else WRONG
  return CORRECT


def score(completion: str, row: dict) -> Score:
  """1 when the answer equals the gold one. ValueError for a row that check_row refuses."""
  verdict = decide(completion, row)
  return pool.shared().score([('math', completion, row)])[0] if verdict is None else verdict


def normalise(answer: str | None, answer_type: str) -> str | None:
  """One string per equivalence class, to vote over: 1/2, \\frac{1}{2} and 0.5 are one candidate.

  What cannot be read as its type votes as its own text; None stays None. Expressions are told apart by their text
  alone: sympy has no place in a vote.
  """
  if answer_type not in TYPES:
    raise ValueError(f'{answer_type=} is not supported; there are {", ".join(TYPES)}')
  if answer is None:
    return None
  read = number(answer) if answer_type == 'expr' else None
  read = _read(answer, answer_type) if read is None else read
  if read is None:
    return ' '.join(answer.split())
  if answer_type != 'expr' or isinstance(read, Fraction):
    return str(read)
  return re.sub(r'(\\[A-Za-z]+)\s+(?=[A-Za-z])|\s+', lambda m: f'{m[1]} ' if m[1] else '', read)  # \pi x, never \pix


def check_row(row: dict) -> None:
  """ValueError for a row whose gold does not parse: one such row gives free reward, or none for ever (open-r1)."""
  gold, _ = _row_gold(row)
  if row['answer_type'] == 'expr' and isinstance(gold, str):
    probe = {**row, 'prefill': '', 'answer': gold + '+0'}  # not the same text, so that math-verify reads both
    verdict = pool.shared().score([('math', form.ideal(gold), probe)])[0]
    if verdict != CORRECT:
      raise ValueError(f"answer={row['answer']!r} does not parse as 'expr': {verdict.reason}")
