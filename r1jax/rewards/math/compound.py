"""Answers of several parts: sets, tuples, intervals, matrices, equations. Read into parts here, compared part by part.

`read` gives a tree whose leaves are texts; `same` compares two trees, leaf by leaf, by a function that may also answer
None, for "not without sympy". Nothing here works anything out.
"""

from fractions import Fraction
import re
from typing import Callable, NamedTuple

from r1jax.rewards.math.expressions import depth, latex
from r1jax.rewards.math.reading import MAX_CHARS, closing, number, plain

KINDS = ('set', 'tuple', 'interval', 'matrix', 'equation')
MAX_PARTS = 400


class Parts(NamedTuple):
  """A node: 'set' | 'tuple' | 'matrix' | 'equation', with parts that are texts or nodes; of a matrix, rows of texts."""
  kind: str
  parts: tuple
  names: tuple = ()  # of a tuple's parts, where it gives them


class Piece(NamedTuple):
  """An interval; lo == hi, both closed, is a point. Ends are texts; '-oo' and 'oo' are the infinities."""
  lo: str
  lo_closed: bool
  hi: str
  hi_closed: bool


def read(answer: str, kind: str):
  """The answer's parts, or None where it is no such thing."""
  if len(answer) > MAX_CHARS:
    return None
  text = re.sub(r'\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])\s*|(?<!\\)\\[,!;:\s]|\\q?quad(?![A-Za-z])', ' ', plain(answer))
  text = re.sub(r'\s*\$\s*', ' ', text).replace('\\lbrace', '\\{').replace('\\rbrace', '\\}').strip().rstrip('.')
  reader = {'set': _set, 'tuple': _tuple, 'interval': _interval, 'matrix': _matrix, 'equation': _equation}[kind]
  return reader(text)


# --- splitting ---


def split(text: str, separators: str) -> list[str] | None:
  """`text` cut where `separators` (a regular expression) match outside of brackets; None where brackets do not match."""
  cut, start, level, i = [], 0, 0, 0
  pattern = re.compile(separators)
  while i < len(text):
    char, two = text[i], text[i:i + 2]
    if two in ('\\{', '\\}'):
      level += 1 if two == '\\{' else -1
      i += 2
    elif text.startswith(('\\langle', '\\rangle', '\\begin', '\\end'), i):
      word = re.match(r'\\[a-z]+', text[i:])[0]
      level += 1 if word in ('\\langle', '\\begin') else -1
      i += len(word)
    elif char in '([{' or char in ')]}':
      level += 1 if char in '([{' else -1
      i += 1
    elif not level and (match := pattern.match(text, i)):
      cut.append(text[start:i])
      i = start = match.end()
    else:
      i += 2 if char == '\\' and len(two) == 2 and not two[1].isalpha() else 1
    if level < 0:
      return None
  return None if level else [*cut, text[start:]]


_AND = r'(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|\\(?:land|lor|vee|wedge)(?![A-Za-z])|(?<=[\s\d})])(?:and|or)(?=[\s\d({\\]))'
_LIST = rf'[,;]?\s*{_AND}|[,;]'
_NAME = r'(?:[A-Za-z](?:_(?:\w|\{\w+\}))?|\\(?:theta|alpha|beta|phi|lambda|mu|omega))'
_NAMED = re.compile(rf'\s*({_NAME})\s*=(?!=)')


def _list(text: str) -> list[str] | None:
  """Parts of a bare list, none of them empty."""
  parts = split(text, _LIST)
  if parts is None or len(parts) > MAX_PARTS:
    return None
  parts = [part.strip() for part in parts]
  return parts if all(parts) else None


def _leaf(text: str):
  """A part that is not taken apart further, or a tuple within."""
  text = plain(text.strip())
  if re.match(r'\(|\\langle', text) and (inner := _enclosed(text)) is not None and (parts := _list(inner)) and len(parts) > 1:
    leaves = tuple(_leaf(part) for part in parts)
    return None if None in leaves else Parts('tuple', leaves)
  return text if text and depth(text) >= 0 and not re.search(r'[=<>,;]|\\[{}]', _outside(text)) else None


def _outside(text: str) -> str:
  """`text` without what stands in brackets."""
  kept, level = [], 0
  for char in text:
    level += (char in '{([') - (char in '})]')
    if not level:
      kept.append(char)
  return ''.join(kept)


def _enclosed(text: str) -> str | None:
  """What one pair of brackets around all of `text` encloses."""
  for left, right in (('(', ')'), ('[', ']'), ('\\langle', '\\rangle'), ('\\{', '\\}')):
    if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
      inner = text[len(left):-len(right)]
      return inner if split(inner, r'(?!)') is not None else None
  return None


# --- sets and tuples ---


def _set(text: str) -> Parts | None:
  text = re.sub(rf'^\s*{_NAME}\s*(?:\\in(?![A-Za-z])|∈)\s*', '', text)
  if re.fullmatch(r'\\emptyset|\\varnothing|∅|\\\{\s*\\\}', text.strip()):
    return Parts('set', ())
  if text.startswith('\\{'):
    inner = _enclosed(text.strip())
    if inner is None or '\\{' in inner:
      return None
    text = inner
  else:
    text = re.sub(rf'^\s*{_NAME}\s*=\s*(?=\\\{{)', '', text)
    if text.startswith('\\{'):
      return _set(text)
  if text.startswith('{') and closing(text, 1) == len(text) - 1:  # a group, which prints no braces
    text = text[1:-1]
  parts = _list(text)
  if parts is None:
    return None
  names, leaves = set(), []
  for i, part in enumerate(parts):  # x = 1, x = 2 and x = 1, 2
    if named := _NAMED.match(part):
      if i and not names:
        return None
      names.add(named[1].partition('_')[0])  # x_1 = 1, x_2 = 2 are values of x
      part = part[named.end():].strip()
    leaves += _signs(part)
  # x = 1, x = 2 is a set of values; x = 1, y = 2 is none.
  if len(names) > 1 or len(leaves) > MAX_PARTS:
    return None
  leaves = tuple(_leaf(leaf) for leaf in leaves)
  return None if None in leaves else Parts('set', leaves)


def _signs(part: str) -> list[str]:
  """a \\pm b is two values."""
  found = re.split(r'\\pm(?![A-Za-z])|±', part)
  if len(found) != 2:
    return [part]
  before, after = found
  return [f'{before.strip()} + {after.strip()}', f'{before.strip()} - {after.strip()}'] if before.strip() else [
      after.strip(), f'-{after.strip()}' if re.match(r'[\w\\]', after.strip()) else f'-({after.strip()})']


def _tuple(text: str) -> Parts | None:
  names = ()
  sides = split(text, r'=')
  if sides and len(sides) == 2 and (inner := _enclosed(sides[0].strip())) is not None:
    names = tuple(name.strip() for name in inner.split(','))
    if not all(re.fullmatch(_NAME, name) for name in names):
      return None
    text = sides[1].strip()
  inner = _enclosed(text) if not text.startswith('\\{') else None
  parts = _list(text if inner is None else inner)
  if parts is None or (inner is None and text.startswith('\\{')):
    return None
  if inner is None and len(parts) == 1:
    return None
  found = [_NAMED.match(part) for part in parts]
  if all(found):
    names = tuple(match[1] for match in found)
    parts = [part[match.end():].strip() for part, match in zip(parts, found)]
  elif any(found):
    return None
  if names and (len(names) != len(parts) or len(set(names)) != len(names)):
    return None
  leaves = tuple(_leaf(part) for part in parts)
  return None if None in leaves else Parts('tuple', leaves, names)


# --- intervals ---
_INFINITY = re.compile(r'\s*([+-]?)\s*(?:\\infty|∞|\\infin|oo|infinity|inf)\s*')
_REALS = re.compile(r'\\mathbb\s*\{?\s*R\s*\}?|\\R(?![A-Za-z])|ℝ|\\text\s*\{\s*all real numbers\s*\}|all real numbers', re.IGNORECASE)
_RELATION = r'\\(?:leqslant|geqslant|leq|geq|le|ge|lt|gt|neq|ne)(?![A-Za-z])|<=|>=|!=|[<>≤≥≠]'
_SENSE = {'<': ('<', False), '\\lt': ('<', False), '>': ('>', False), '\\gt': ('>', False), '≠': ('!', False), '!=': ('!', False),
          '\\ne': ('!', False), '\\neq': ('!', False)}


def _end(text: str) -> str | None:
  if match := _INFINITY.fullmatch(text):
    return '-oo' if match[1] == '-' else 'oo'
  leaf = _leaf(text)
  return leaf if isinstance(leaf, str) else None


# { x | x > 2 }, { x in R : x > 2 }
_BUILT = re.compile(rf'\\\{{\s*{_NAME}\s*(?:\\in\s*\\mathbb\s*\{{?R\}}?\s*)?(?:\\mid(?![A-Za-z])|:|\|)(.*)\\\}}', re.DOTALL)


def _interval(text: str) -> tuple[Piece, ...] | None:
  if built := _BUILT.fullmatch(text.strip()):
    text = built[1].strip()
  text = re.sub(rf'^\s*{_NAME}\s*(?:\\in(?![A-Za-z])|∈)\s*', '', text)
  if re.fullmatch(r'\\emptyset|\\varnothing|∅|\\\{\s*\\\}', text.strip()):
    return ()
  pieces = []
  # Reversed brackets (]0,1[) do not nest, so unions are cut by their sign alone.
  for part in re.split(r'\\cup(?![A-Za-z])|∪|\\text\s*\{\s*or\s*\}|\\(?:lor|vee)(?![A-Za-z])|(?<=[\s\d})\]])or(?=[\s\\])|(?<=[)\]])\s*U\s*(?=[(\[])', text):
    found = _piece(part.strip())
    if found is None or len(pieces) > MAX_PARTS:
      return None
    pieces += found
  for piece in pieces:
    lo, hi = value(piece.lo), value(piece.hi)
    if (piece.lo_closed and piece.lo == '-oo') or (piece.hi_closed and piece.hi == 'oo') or piece.lo == 'oo' or piece.hi == '-oo':
      return None
    if lo is not None and hi is not None and (lo > hi or (lo == hi and not (piece.lo_closed and piece.hi_closed))):
      return None
  return tuple(pieces)


def _piece(text: str) -> list[Piece] | None:
  if reals := _REALS.match(text):
    rest = text[reals.end():].strip()
    if not rest:
      return [Piece('-oo', False, 'oo', False)]
    without = re.match(r'\\(?:setminus|backslash)(?![A-Za-z])|\\\\|-|\\', rest)
    return _without(_set(rest[without.end():].strip())) if without else None
  if text.startswith('\\{'):
    points = _set(text)
    if points is None or not points.parts or not all(isinstance(p, str) for p in points.parts):
      return None
    return [Piece(p, True, p, True) for p in points.parts]
  if len(text) > 2 and text[0] in '([]' and text[-1] in ')][' and (ends := split(text[1:-1], r'[,;]')) and len(ends) == 2:
    lo, hi = (_end(end) for end in ends)
    return None if lo is None or hi is None else [Piece(lo, text[0] == '[', hi, text[-1] == ']')]
  terms = split(text, _RELATION)
  if terms is None or len(terms) not in (2, 3):
    return None
  signs = [_SENSE.get(sign) or (('<', True) if sign in ('≤', '<=') or sign.startswith('\\le') else ('>', True))
           for sign in re.findall(_RELATION, text)]
  return _inequality([term.strip() for term in terms], signs)


def _inequality(terms, signs) -> list[Piece] | None:
  variable = lambda term: bool(re.fullmatch(_NAME, term)) and term not in ('e',)
  if len(signs) != len(terms) - 1:
    return None
  if len(terms) == 3:
    (a, closed_a), (b, closed_b) = signs
    ends = _end(terms[0]), _end(terms[2])
    if not variable(terms[1]) or a != b or a == '!' or None in ends:
      return None
    return [Piece(ends[0], closed_a, ends[1], closed_b)] if a == '<' else [Piece(ends[1], closed_b, ends[0], closed_a)]
  sense, closed = signs[0]
  if variable(terms[1]) and not variable(terms[0]):
    terms, sense = terms[::-1], {'<': '>', '>': '<', '!': '!'}[sense]
  end = _end(terms[1])
  if not variable(terms[0]) or variable(terms[1]) or end is None:
    return None
  if sense == '!':
    return _without(Parts('set', (end,)))
  return [Piece('-oo', False, end, closed)] if sense == '<' else [Piece(end, closed, 'oo', False)]


def _without(points: Parts | None) -> list[Piece] | None:
  """The real line without some numbers, given in any order."""
  if points is None or not points.parts or not all(isinstance(p, str) for p in points.parts):
    return None
  values = [value(p) for p in points.parts]
  if None in values and len(values) > 1:
    return None
  ends = ['-oo', *(p for _, p in sorted(zip(values, points.parts))), 'oo']
  return [Piece(a, False, b, False) for a, b in zip(ends, ends[1:])]


def value(end: str) -> Fraction | float | None:
  """An end as a number, where it can be read."""
  if end in ('-oo', 'oo'):
    return float(end.replace('oo', 'inf'))
  return number(end)


def merged(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
  """In order and without seams: [0,1) and [1,2] are [0,2]. As they stand, where an end is no number."""
  if any(value(end) is None for piece in pieces for end in (piece.lo, piece.hi)):
    return pieces
  out: list[Piece] = []
  for piece in sorted(pieces, key=lambda p: (value(p.lo), not p.lo_closed)):
    if out:
      last = out[-1]
      a, b = value(last.hi), value(piece.lo)
      if b < a or (b == a and (last.hi_closed or piece.lo_closed)):
        if (value(piece.hi), piece.hi_closed) > (a, last.hi_closed):
          out[-1] = last._replace(hi=piece.hi, hi_closed=piece.hi_closed)
        continue
    out.append(piece)
  return tuple(out)


# --- matrices and equations ---
_BEGIN = re.compile(r'\\begin\s*\{(pmatrix|bmatrix|Bmatrix|matrix|smallmatrix|array)\}(?:\s*\{[clr|\s]*\})?')
_TRANSPOSED = re.compile(r'\^\s*(?:\{\s*(?:T|\\top|\\mathsf\s*\{T\})\s*\}|T|\\top)\s*$')


def _matrix(text: str) -> Parts | None:
  text = re.sub(rf'^\s*{_NAME}\s*=\s*', '', text)
  turned = bool(_TRANSPOSED.search(text))
  text = _TRANSPOSED.sub('', text).strip()
  rows = _environment(text) if '\\begin' in text else _nested(text, turned)
  if not rows or len({len(row) for row in rows}) != 1 or sum(map(len, rows)) > MAX_PARTS:
    return None
  leaves = tuple(tuple(_leaf(cell) for cell in row) for row in rows)
  if any(not isinstance(cell, str) for row in leaves for cell in row):
    return None
  return Parts('matrix', tuple(zip(*leaves)) if turned else leaves)


def _environment(text: str) -> list[list[str]] | None:
  text = text.strip()
  factor = text[:text.index('\\begin')].strip()
  inner = text[len(factor):].strip()
  if factor in ('(', '['):
    if not inner.endswith({'(': ')', '[': ']'}[factor]):
      return None
    factor, inner = '', inner[:-1].strip()
  begin = _BEGIN.match(inner)
  if not begin or not inner.endswith(f'\\end{{{begin[1]}}}') or inner.count('\\begin') != 1:
    return None
  body = re.sub(r'\\hline', '', inner[begin.end():-len(f'\\end{{{begin[1]}}}')]).strip()
  rows = [row.split('&') for row in re.split(r'\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])', body.removesuffix('\\\\'))]
  return [[f'({factor})({cell.strip()})' for cell in row] for row in rows] if factor else rows


def _nested(text: str, turned: bool) -> list[list[str]] | None:
  """[[1, 2], [3, 4]], and (1, 2)^T."""
  inner = _enclosed(text)
  parts = _list(inner) if inner is not None else None
  if parts is None:
    return None
  rows = [_list(row) if (row := _enclosed(part)) is not None else None for part in parts]
  if None not in rows:
    return rows
  return [parts] if turned and rows == [None] * len(rows) else None


def _equation(text: str) -> Parts | None:
  sides = split(text, r'(?<![<>!:\\])=(?!=)')
  if not sides or len(sides) != 2 or re.search(_RELATION, text):
    return None
  sides = tuple(latex(side.strip()) or '' for side in sides)
  return Parts('equation', sides) if all(side and depth(side) >= 0 and ',' not in _outside(side) for side in sides) else None


# --- comparing ---
Equal = Callable[[str, str], bool | None]


def same(gold, said, equal: Equal) -> bool | None:
  """Whether two readings are the same; None where `equal` could not tell and it matters."""
  if isinstance(gold, str) or isinstance(said, str):
    return equal(gold, said) if isinstance(gold, str) and isinstance(said, str) else False
  if not isinstance(gold, Parts):
    return _same_pieces(merged(gold), merged(said), equal)
  a, b = gold.parts, said.parts
  if gold.kind != said.kind or len(a) != len(b):
    return False
  if gold.kind == 'set':
    return _same_set(a, b, equal)
  if gold.kind == 'matrix':
    if any(len(x) != len(y) for x, y in zip(a, b)):
      return False
    a, b = (tuple(cell for row in rows for cell in row) for rows in (a, b))
  elif said.names and not gold.names and list(said.names) != sorted(said.names, key=lambda n: n.strip('\\').lower()):
    return False  # y = 1, x = 2 in no order that the gold states
  elif gold.names and said.names:
    if set(gold.names) != set(said.names):
      return False
    b = tuple(b[said.names.index(name)] for name in gold.names)
  return _all(same(x, y, equal) for x, y in zip(a, b))


def _all(found) -> bool | None:
  unknown = False
  for one in found:
    if one is False:
      return False
    unknown = unknown or one is None
  return None if unknown else True


def _same_set(a, b, equal) -> bool | None:
  """A matching of all of a with all of b; equality is transitive, so the first that fits is as good as any."""
  left, unknown = list(b), False
  for x in a:
    found = [same(x, y, equal) for y in left]
    if True in found:
      left.pop(found.index(True))
    elif None in found:
      unknown = True
    else:
      return False
  return None if unknown else not left


def _same_pieces(a, b, equal) -> bool | None:
  if len(a) != len(b):
    return False
  if any(value(end) is None for piece in (*a, *b) for end in (piece.lo, piece.hi)):
    nodes = lambda pieces: tuple(Parts('tuple', (p.lo, f'{int(p.lo_closed)}', p.hi, f'{int(p.hi_closed)}')) for p in pieces)
    return _same_set(nodes(a), nodes(b), lambda x, y: x == y if 'oo' in x or 'oo' in y else equal(x, y))
  return all((value(x.lo), x.lo_closed, value(x.hi), x.hi_closed) == (value(y.lo), y.lo_closed, value(y.hi), y.hi_closed)
             for x, y in zip(a, b))


def spelled(read, leaf: Callable[[str], str]) -> str:
  """One text per class, for votes."""
  if isinstance(read, str):
    return leaf(read)
  if not isinstance(read, Parts):
    return ' U '.join('[('[not p.lo_closed] + f'{leaf(p.lo)},{leaf(p.hi)}' + '])'[not p.hi_closed] for p in merged(read)) or '{}'
  if read.kind == 'matrix':
    return '[' + ';'.join(','.join(leaf(cell) for cell in row) for row in read.parts) + ']'
  parts = [spelled(part, leaf) for part in read.parts]
  if read.kind == 'set':
    return '{' + ','.join(sorted(parts)) + '}'
  return '='.join(parts) if read.kind == 'equation' else '(' + ','.join(parts) + ')'
