"""A gold answer as a file has it -> the answer itself, and its type where the row names none ('auto').

The type follows from the gold answer and the question's options, by the rules in `infer`, never from what a model says.
Published layouts: GSM8K's `####`, a \\boxed{} in a worked solution (MATH, NuminaMath), a list of one answer.
"""

import math
import re

from r1jax.data import notation

NUMBERS = ('int', 'rational', 'decimal')
TYPES = (*NUMBERS, 'choice', 'text', 'expr', 'set', 'tuple', 'interval', 'matrix', 'equation')


def gold(value) -> str:
  """The answer in a cell of a file, as text.

  Raises:
    ValueError: there is none, or several; with the reason.
  """
  if isinstance(value, (list, tuple)):
    if len(value) != 1:
      raise ValueError('several answers' if value else 'no answer')
    return gold(value[0])
  if isinstance(value, bytes):
    try:
      value = value.decode()
    except UnicodeDecodeError as e:
      raise ValueError('bytes that are no UTF-8 as answer') from e
  if value is None or (isinstance(value, float) and math.isnan(value)):
    raise ValueError('no answer')
  if isinstance(value, dict):
    raise ValueError('an object as answer')
  if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
    value = int(value)  # pandas makes 27.0 of 27 where a column has a gap
  text = str(value)
  if (box := boxed(text, several=True, frames=True)) is not None:
    text = box
  elif '####' in text:
    text = text.rpartition('####')[2]
  text = text.strip()
  if not text:
    raise ValueError('no answer')
  if text.lower() in ('proof', 'notfound', 'not found', 'n/a', 'nan'):
    raise ValueError('a word in place of an answer')
  return text


_BOXED = re.compile(r'\\boxed\s*\{|\\.|[{}]', re.DOTALL)
_FRAMED = re.compile(r'\\(?:boxed|fbox)\s*\{|\\.|[{}]', re.DOTALL)


def last_box(text: str, *, frames: bool = False) -> str | None:
  """What stands in the last balanced \\boxed{}; None without one. frames: \\fbox{}, which solutions have, is one, too.

  One pass: 10,000 boxes that never close take no longer than any other text. What closes last is the outermost, so
  \\boxed{6=\\boxed{5}} says 6=5.
  """
  if '\\boxed' not in text and not (frames and '\\fbox' in text):
    return None
  stack, box = [], None
  for match in (_FRAMED if frames else _BOXED).finditer(text):
    token = match[0]
    if token == '}' and stack:
      is_box, start = stack.pop()
      box = text[start:match.start()] if is_box else box
    elif token[-1] == '{' and token != '\\{':
      stack.append((token != '{', match.end()))
  return box


def boxed(text: str, *, several: bool, frames: bool = False) -> str | None:
  """What the last box says, or with `several` the boxes side by side at the end, as a list; None without one."""
  box = last_box(text, frames=frames)
  boxes = last_boxes(text) if several and box is not None and text.count('\\boxed') > 1 else []
  return ', '.join(boxes) if len(boxes) > 1 else box


# What may stand between boxes that are one answer: $\\boxed{3}$ and $\\boxed{7}$, within a sentence.
_BETWEEN = re.compile(r'(?:[\s$,;~]|\\q?quad(?![A-Za-z])|\\[,;:!)\](\[]|\b(?:and|or|also)\b|[和或与及、，]|'
                      r'\\(?:text|mbox|mathrm)\s*\{\s*,?\s*(?:and|or|和|或)\s*\}|[A-Za-z](?:_\{?\w\}?)?\s*=)*')


def last_boxes(text: str) -> list[str]:
  """What stands in the last \\boxed{}, and in those before it that nothing but "and", "or", a comma or a name parts
  from it."""
  found, level, start = [], 0, 0
  for match in _BOXED.finditer(text):  # outermost boxes alone
    token = match[0]
    if token.startswith('\\boxed') and not level:
      start, level = match.start(), 1
    elif token[-1] == '{' and token != '\\{' and level:
      level += 1
    elif token == '}' and level:
      level -= 1
      if not level:
        found.append((start, match.end(), text[text.index('{', start) + 1:match.start()]))
  last = found[-1:]
  for box in reversed(found[:-1]):
    if '\n\n' in text[box[1]:last[0][0]] or not _BETWEEN.fullmatch(text[box[1]:last[0][0]]):
      break
    last.insert(0, box)
  return list(dict.fromkeys(inside for _, _, inside in last))


# --- its type
_DRESS = re.compile(r'\\(?:left|right|displaystyle|bigl?|bigr?|Bigl?|Bigr?)(?![A-Za-z])|\\[,!;:]|\\\s|~|'
                    r'\\q?quad(?![A-Za-z])')
_SIGNED = r'[+-]?\s*'
_DIGITS = r'(?:[0-9]{1,3}(?:(?:,|\{,\}|\\,|,\\!)[0-9]{3})+|[0-9]+)'
_UNIT = (r'(?:\s*(?:\\?%|°|\^\s*\{?\s*\\circ\s*\}?|\\(?:text|mathrm|mbox|textrm)\s*\{[^{}]*\}(?:\s*\^\s*\{?[23]\}?)?|'
         r'\([a-z]{2,14}(?:\s+[a-z]{2,14})?\)|'
         r'(?:(?<=\s)[a-z]{2,14}|(?<=[0-9])(?:[cmk]m|[km]g|m[lL]|ft|in|lbs?|oz|mph|kph|sec|min|hrs?|am|pm))'
         r'(?:\s+[a-z]{2,14})?|[\u4e00-\u9fff]{1,5}|[€£¥$]))?')
_MONEY = r'(?:\\?\$|£|€|¥)?\s*'
_NAMED = (r"(?:[A-Za-z](?:_(?:\w|\{\w+\}))?|\\[a-z]+|[A-Z]{2,3}|\|\s*[A-Z]{1,3}\s*\||[A-Z]{1,2}\s*[:/]\s*[A-Z]{1,2}|"
          r"\\overline\s*\{\s*[A-Z]{2}\s*\}|\\frac\s*\{\s*\|?[A-Z]{1,3}\|?\s*\}\s*\{\s*\|?[A-Z]{1,3}\|?\s*\})")
_INT = re.compile(rf'{_MONEY}{_SIGNED}{_DIGITS}(?:\.0+)?{_UNIT}')
_RATIONAL = re.compile(rf'{_MONEY}{_SIGNED}(?:{_DIGITS}\s*)?(?:{_DIGITS}\s*/\s*{_DIGITS}|\\[cdt]?frac\s*'
                       rf'(?:\{{\s*{_SIGNED}{_DIGITS}\s*\}}|[0-9])\s*(?:\{{\s*{_DIGITS}\s*\}}|[0-9])){_UNIT}')
_TIMES_TEN = rf'\s*(?:\\times|\\cdot|×)\s*10\s*\^\s*\{{?\s*{_SIGNED}[0-9]+\s*\}}?'
_DECIMAL = re.compile(rf'{_MONEY}{_SIGNED}(?:(?:{_DIGITS}?\.[0-9]+|{_DIGITS}\.)(?:[eE]{_SIGNED}[0-9]+|{_TIMES_TEN})?|'
                      rf'{_DIGITS}{_TIMES_TEN}){_UNIT}')
_CHOICE = re.compile(r'(?:\\(?:text|textbf|mathbf|mathrm)\s*\{\s*)?\(?\s*([A-J])\s*\)?\.?\s*\}?\.?')
_OPTIONS = [re.compile(rf'(?:^|[\s({{]){letter}\s*[).:\]}}]') for letter in 'AB']
_RELATION = re.compile(r'\\(?:le|leq|ge|geq|lt|gt|ne|neq|leqslant|geqslant)(?![A-Za-z])|[<>≤≥≠]')
_OF_INTERVALS = re.compile('interval|domain|range of|solution set|inequalit', re.IGNORECASE)
_OF_POINTS = re.compile(r'\bpoints?\b|coordinate|ordered pair|vertex|intersect', re.IGNORECASE)
_INFINITE = re.compile(r'\\infty|∞|\\cup(?![A-Za-z])|∪|\\mathbb\s*\{?\s*R')
_ASSIGNED = re.compile(rf'\s*(?:{_NAMED}\s*(?:\(\s*[A-Za-z0-9]{{1,4}}(?:,\s*[A-Za-z0-9]{{1,4}})*\s*\))?|'
                       r'\\(?:sin|cos|tan|cot)\s*(?:[A-Z]|\\?[a-z]+)|(?:m\s*)?\\angle\s*[A-Z]{1,3})\s*=(?!=)\s*')
_PAIR = re.compile(r'\s*\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\)\s*=\s*(?=\()')
_WORD = re.compile(r'(?<![A-Za-z])(?:[A-Z][a-z]{2,}|[a-z]{3,}|[A-Z]{3,})(?![A-Za-z])')
_VARIABLES = set('abcdfghjklmnopqrstuvwxyzABCDEFGHJKLMNOPQRSTUVWXYZ')
_NO_ALGEBRA = re.compile(r':|[?!]\s*$|[\u0400-\uffff]')
# An infinity, a score or a date, a chemical formula.
_NO_SUM = re.compile(r'[+-]?\s*(?:\\infty|∞)|[0-9]+\s*-\s*[0-9]+(?:\s*-\s*[0-9]+)?|'
                     r'(?=.*[0-9])(?:[A-Z][a-z]?[0-9]*){2,}')
_FUNCTIONS = {'sin', 'cos', 'tan', 'log', 'exp', 'sqrt', 'cot', 'sec', 'csc', 'arcsin', 'arccos', 'arctan', 'max',
              'min'}
_TEXT = re.compile(r'\\(?:text|mathrm|textbf|textit|textrm|mbox)\s*\{([^{}]*)\}')


def infer(answer: str, question: str = '') -> str:
  """One of TYPES, by the first rule that holds (docs/data.md has them as a table).

  choice     one letter A to J, and the question lists options
  matrix     a LaTeX matrix or array
  int, rational, decimal    a number, perhaps named (x = 5), with a unit, a currency, a percent or degree sign
  interval   a relation (x > 2), an infinity or a union, a half-open bracket; (a, b) where the question speaks of them
  tuple      (a, b); x = 1, y = 2: several names
  set        \\{a, b\\}; a, b; a \\pm b; a or b: several values of one thing
  equation   two sides with letters on both, y = 2x + 1
  expr       letters, numbers and LaTeX that can be worked out
  text       all else: words, times, ratios
  """
  answer = notation.read(answer)
  text = _DRESS.sub(' ', answer.replace('$', ' ') if not answer.startswith('\\$') else answer).strip().rstrip('.')
  text = re.sub(r'^\\[\(\[]|\\[\)\]]$', '', text).strip()
  if _CHOICE.fullmatch(text) and all(option.search(question) for option in _OPTIONS):
    return 'choice'
  if _NO_SUM.fullmatch(text):
    return 'text'
  if re.fullmatch(r'\\emptyset|\\varnothing|∅|\\\{\s*\\\}', text):
    return 'set'
  if re.search(r'\\begin\s*\{(?:[pbBvV]?matrix|smallmatrix|array)\}', text):
    return 'matrix'
  named = _ASSIGNED.match(text)
  value = text[named.end():].strip() if named else text
  for kind, pattern in (('int', _INT), ('rational', _RATIONAL), ('decimal', _DECIMAL)):
    if pattern.fullmatch(value):
      return kind
  if re.fullmatch(r'\(?[0-9A-Za-z]+\)?\s*_\s*\{?.{1,20}', text) and text[0] in '0123456789(':
    return 'expr'  # a number in a base
  return _of_parts(text, question) or ('equation' if _is_equation(text) else 'expr' if _is_algebra(value) else 'text')


def _of_parts(text: str, question: str) -> str | None:
  bracketed = bool(re.fullmatch(r'[\[(\]].*[\])\[]', text, re.DOTALL)) and (text[0] + text[-1] in ('[)', '(]', '][')
                                                                          or _one_pair(text))
  if re.fullmatch(r'[A-Z](?:_\w)?\s*=?\s*\([^()]*,[^()]*\)', text):
    return 'tuple'  # P(2, 3)
  parts = top_level(text[1:-1] if bracketed else text)
  if _RELATION.search(text) or _INFINITE.search(text):
    return 'interval' if not _words(text) or 'mathbb' in text else None
  if bracketed and len(parts) == 2 and (text[0] + text[-1]) in ('[)', '(]', '[]', ']['):
    return 'interval' if not _words(text) else None
  if bracketed and len(parts) > 1 and _one_pair(text):
    if len(parts) == 2 and text[0] == '(' and _OF_INTERVALS.search(question) and not _OF_POINTS.search(question):
      return 'interval' if not _falling(parts) else 'tuple'
    return 'tuple' if not _words(text) else None
  if text.startswith(('\\{', '\\lbrace')):
    return 'set' if not _words(text) else None
  if text.startswith('\\langle'):
    return 'tuple'
  listed = re.split(r'\\text\s*\{\s*,?\s*(?:and|or)\s*\}|\s(?:and|or)\s', text)
  parts = [part for piece in listed for part in top_level(piece)] if not bracketed else [text]
  if _PAIR.match(text):
    return _of_parts(text[_PAIR.match(text).end():], question)
  if len(parts) > 1 or '\\pm' in text or '±' in text:
    names = [match[0].replace(' ', '') for part in parts if (match := _ASSIGNED.match(part))]
    if any(_words(_ASSIGNED.sub('', part, count=1)) for part in parts):
      return None
    return 'tuple' if len({name.partition('_')[0] for name in names}) > 1 else 'set'
  return None


def _falling(parts: list[str]) -> bool:
  """Whether the first of two numbers is the larger: they are no ends of an interval."""
  try:
    return float(parts[0]) > float(parts[1])
  except ValueError:
    return False


def top_level(text: str) -> list[str]:
  """The parts of `text` between commas (and semicolons) outside of brackets; thousands stay together."""
  parts, level, start = [], 0, 0
  for i, char in enumerate(text):
    level += (char in '([{') - (char in ')]}')
    grouped = char == ',' and re.match(r'[0-9]{3}(?![0-9])', text[i + 1:]) and text[i - 1:i].isdigit()
    if char in ',;' and level == 0 and not grouped and text[i - 1:i] != '\\':
      parts.append(text[start:i])
      start = i + 1
  parts = [part.strip() for part in (*parts, text[start:])]
  return parts if all(parts) else [text]


def _one_pair(text: str) -> bool:
  """Whether the first bracket closes with the last."""
  level = 0
  for i, char in enumerate(text):
    level += (char in '([{') - (char in ')]}')
    if level == 0:
      return i == len(text) - 1
  return False


def _words(text: str) -> bool:
  """Whether there is prose in it."""
  said = ' '.join(_TEXT.findall(text)) + ' ' + re.sub(r'\\[A-Za-z]+', ' ', _TEXT.sub(' ', text))
  return any(word.lower() not in _FUNCTIONS | {'and'} for word in _WORD.findall(said))


def _is_equation(text: str) -> bool:
  sides = re.split(r'(?<![<>!:=])=(?!=)', text)
  # f(x) and a_n are names of what stands on the other side.
  if len(sides) != 2 or _words(text) or re.fullmatch(r'\s*[A-Za-z]\s*(?:\([a-z]\)|_\s*\{?\s*\w+\s*\}?)\s*', sides[0]):
    return False
  left, right = (set(re.sub(r'\\[A-Za-z]+|[ei](?![A-Za-z])', ' ', side)) & _VARIABLES for side in sides)
  # m + n = 18 states a value; x^2 + y^2 = 4 and 2x + 3y = 5 do not.
  return bool(left and right) or len(left) > 1 and bool(
      re.search(r'\^|[0-9]\s*[A-Za-z]', sides[0]) or sides[1].strip() == '0'
      or re.fullmatch(r'\s*[a-z]{2,3}\s*', sides[0]))


def _is_algebra(text: str) -> bool:
  if _words(text) or not re.search(r'[0-9A-Za-z]', text) or _NO_ALGEBRA.search(text):
    return bool(re.search(r'[0-9A-Za-z)]!$', text)) and not _words(text)
  bare = re.sub(r'\\[A-Za-z]+', ' ', text)
  return bool(re.search(r'\\[a-z]|[0-9^*/+()√-]', text) or re.fullmatch(r'\s*[A-Za-z]\s*', bare)) and '=' not in text
