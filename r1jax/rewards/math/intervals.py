"""Intervals of the real line and their unions: brackets, inequalities, the line without some points, set builders."""

from fractions import Fraction
import functools
import itertools
import re
from typing import NamedTuple

from r1jax.rewards.math.parts import MAX_PARTS, NAME, Parts, leaf_of, read_set, split
from r1jax.rewards.math.reading import number


class Piece(NamedTuple):
  """An interval; lo == hi, both closed, is a point. Ends are texts; '-oo' and 'oo' are the infinities."""
  lo: str
  lo_closed: bool
  hi: str
  hi_closed: bool


_INFINITY = re.compile(r'\s*([+-]?)\s*(?:\\infty|∞|\\infin|oo|infinity|inf)\s*')
_REALS = re.compile(r'\\mathbb\s*\{?\s*R\s*\}?|\\R(?![A-Za-z])|ℝ|\\text\s*\{\s*all real numbers\s*\}|all real numbers',
                    re.IGNORECASE)
RELATION = r'\\(?:leqslant|geqslant|leq|geq|le|ge|lt|gt|neq|ne)(?![A-Za-z])|<=|>=|!=|[<>≤≥≠]'
_SENSE = {'<': ('<', False), '\\lt': ('<', False), '>': ('>', False), '\\gt': ('>', False), '≠': ('!', False),
          '!=': ('!', False), '\\ne': ('!', False), '\\neq': ('!', False)}


def _end(text: str) -> str | None:
  if match := _INFINITY.fullmatch(text):
    return '-oo' if match[1] == '-' else 'oo'
  leaf = leaf_of(text)
  return leaf if isinstance(leaf, str) else None


# { x | x > 2 }, { x in R : x > 2 }
_BUILT = re.compile(rf'\\\{{\s*{NAME}\s*(?:\\in\s*\\mathbb\s*\{{?R\}}?\s*)?(?:\\mid(?![A-Za-z])|:|\|)(.*)\\\}}',
                    re.DOTALL)


_MEMBER = re.compile(rf'^\s*{NAME}\s*(?:\\in(?![A-Za-z])|∈)\s*')
_BOTH = re.compile(r'\\text\s*\{\s*and\s*\}|\\(?:wedge|cap)(?![A-Za-z])|∩|(?<=[\s\d})\]])and(?=[\s\\])')


def read_interval(text: str) -> tuple[Piece, ...] | None:
  if built := _BUILT.fullmatch(text.strip()):
    text = built[1].strip()
  text = _MEMBER.sub('', text)
  if re.fullmatch(r'\\emptyset|\\varnothing|∅|\\\{\s*\\\}', text.strip()):
    return ()
  pieces = []
  # Reversed brackets (]0,1[) do not nest, so unions are cut by their sign alone.
  for part in re.split(r'\\cup(?![A-Za-z])|∪|\\text\s*\{\s*or\s*\}|\\(?:lor|vee)(?![A-Za-z])|'
                       r'(?<=[\s\d})\]])or(?=[\s\\])|(?<=[)\]])\s*U\s*(?=[(\[])', text):
    # x > -1 and x < 5: what all of them hold.
    found = functools.reduce(_common, [_piece(_MEMBER.sub('', one.strip())) for one in _BOTH.split(part)])
    if found is None or len(pieces) > MAX_PARTS:
      return None
    pieces += found
  for piece in pieces:
    lo, hi = value(piece.lo), value(piece.hi)
    if ((piece.lo_closed and piece.lo == '-oo') or (piece.hi_closed and piece.hi == 'oo')
        or piece.lo == 'oo' or piece.hi == '-oo'):
      return None
    if lo is not None and hi is not None and (lo > hi or (lo == hi and not (piece.lo_closed and piece.hi_closed))):
      return None
  return tuple(pieces)


def _common(a: list[Piece] | None, b: list[Piece] | None) -> list[Piece] | None:
  """What lies in both; None where an end is no number."""
  if a is None or b is None or any(value(end) is None for piece in (*a, *b) for end in (piece.lo, piece.hi)):
    return None
  found = []
  for p, q in itertools.product(a, b):
    lo, lo_closed = max((value(x.lo), not x.lo_closed, x.lo, x.lo_closed) for x in (p, q))[2:]
    hi, hi_closed = min((value(x.hi), x.hi_closed, x.hi, x.hi_closed) for x in (p, q))[2:]
    if value(lo) < value(hi) or (value(lo) == value(hi) and lo_closed and hi_closed):
      found.append(Piece(lo, lo_closed, hi, hi_closed))
  return found


def _outside(pieces: tuple[Piece, ...] | None) -> list[Piece] | None:
  """The rest of the real line; None where an end is no number."""
  if not pieces or any(value(end) is None for piece in pieces for end in (piece.lo, piece.hi)):
    return None
  rest, lo, closed = [], '-oo', False
  for piece in merged(pieces):
    if value(lo) < value(piece.lo):
      rest.append(Piece(lo, closed, piece.lo, not piece.lo_closed))
    lo, closed = piece.hi, not piece.hi_closed
  return rest + ([Piece(lo, closed, 'oo', False)] if lo != 'oo' else [])


def _piece(text: str) -> list[Piece] | None:
  if reals := _REALS.match(text):
    rest = text[reals.end():].strip()
    if not rest:
      return [Piece('-oo', False, 'oo', False)]
    without = re.match(r'\\(?:setminus|backslash)(?![A-Za-z])|\\\\|-|\\', rest)
    rest = rest[without.end():].strip() if without else ''
    return _without(read_set(rest)) if rest.startswith('\\{') else _outside(read_interval(rest)) if rest else None
  if text.startswith('\\{'):
    points = read_set(text)
    if points is None or not points.parts or not all(isinstance(p, str) for p in points.parts):
      return None
    return [Piece(p, True, p, True) for p in points.parts]
  if (len(text) > 2 and text[0] in '([]' and text[-1] in ')][' and (ends := split(text[1:-1], r'[,;]'))
      and len(ends) == 2):
    lo, hi = (_end(end) for end in ends)
    return None if lo is None or hi is None else [Piece(lo, text[0] == '[', hi, text[-1] == ']')]
  terms = split(text, RELATION)
  if terms is None or len(terms) not in (2, 3):
    return None
  signs = [_SENSE.get(sign) or (('<', True) if sign in ('≤', '<=') or sign.startswith('\\le') else ('>', True))
           for sign in re.findall(RELATION, text)]
  return _inequality([term.strip() for term in terms], signs)


def _inequality(terms, signs) -> list[Piece] | None:
  variable = lambda term: bool(re.fullmatch(rf'{NAME}|[a-zA-Z]\s*\(\s*[a-z]\s*\)', term)) and term not in ('e',)
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
  if sense == '!' and variable(terms[0]):
    return _without(read_set(terms[1]))  # x \ne \pm 1
  end = _end(terms[1])
  if not variable(terms[0]) or variable(terms[1]) or end is None:
    return None
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
