"""Answers of several parts: sets, tuples, intervals, matrices, equations. Read into parts here, compared part by part.

`read` gives a tree whose leaves are texts; `same` compares two trees, leaf by leaf, by a function that may also answer
None, for "not without sympy". Nothing here works anything out.
"""

import re
from typing import Callable

from r1jax.rewards.math import intervals
from r1jax.rewards.math.expressions import depth, latex
from r1jax.rewards.math.parts import MAX_PARTS, NAME, NAMED, Parts, enclosed, leaf_of, listed, outside, read_set, split
from r1jax.rewards.math.reading import MAX_CHARS, number, plain

KINDS = ('set', 'tuple', 'interval', 'matrix', 'equation')


def read(answer: str, kind: str):
  """The answer's parts, or None where it is no such thing."""
  if len(answer) > MAX_CHARS:
    return None
  text = re.sub(r'\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])\s*|(?<!\\)\\[,!;:\s]|\\q?quad(?![A-Za-z])',
                ' ', plain(answer))
  text = re.sub(r'\s*\$\s*', ' ', text).replace('\\lbrace', '\\{').replace('\\rbrace', '\\}').strip().rstrip('.')
  reader = {'set': read_set, 'tuple': _tuple, 'interval': intervals.read_interval, 'matrix': _matrix,
            'equation': _equation}[kind]
  return reader(text)


# --- tuples ---


def _tuple(text: str) -> Parts | None:
  names = ()
  sides = split(text, r'=')
  if sides and len(sides) == 2 and (inner := enclosed(sides[0].strip())) is not None:
    names = tuple(name.strip() for name in inner.split(','))
    if not all(re.fullmatch(NAME, name) for name in names):
      return None
    text = sides[1].strip()
  text = re.sub(r'^\s*[A-Z](?:_\w)?\s*=?\s*(?=\()', '', text)  # P(15, -29), P = (15, -29)
  inner = enclosed(text) if not text.startswith('\\{') else None
  parts = listed(text if inner is None else inner)
  if inner is None and re.search(r'\\text\s*\{\s*or\s*\}|\bor\b|\\(?:lor|vee)(?![A-Za-z])', text):
    return None  # one or the other is no pair
  if parts is None or (inner is None and text.startswith('\\{')):
    return None
  if inner is None and len(parts) == 1:
    return None
  found = [NAMED.match(part) for part in parts]
  if all(found):
    names = tuple(match[1] for match in found)
    parts = [part[match.end():].strip() for part, match in zip(parts, found)]
  elif any(found):
    return None
  if names and (len(names) != len(parts) or len(set(names)) != len(names)):
    return None
  leaves = tuple(leaf_of(part) for part in parts)
  return None if None in leaves else Parts('tuple', leaves, names)


# --- matrices and equations ---
_BEGIN = re.compile(r'\\begin\s*\{(pmatrix|bmatrix|Bmatrix|matrix|smallmatrix|array)\}(?:\s*\{[clr|\s]*\})?')
_TRANSPOSED = re.compile(r'\^\s*(?:\{\s*(?:T|\\top|\\mathsf\s*\{T\})\s*\}|T|\\top)\s*$')


def _matrix(text: str) -> Parts | None:
  text = re.sub(rf'^\s*(?:{NAME}|\\(?:mathbf|vec|boldsymbol|bm)\s*\{{\s*{NAME}\s*\}})(?:\^\{{-1\}})?\s*=\s*', '', text)
  turned = bool(_TRANSPOSED.search(text))
  text = _TRANSPOSED.sub('', text).strip()
  rows = _environment(text) if '\\begin' in text else _nested(text, turned)
  if not rows or len({len(row) for row in rows}) != 1 or sum(map(len, rows)) > MAX_PARTS:
    return None
  leaves = tuple(tuple(leaf_of(cell) for cell in row) for row in rows)
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
  return [[_times(factor, cell.strip()) for cell in row] for row in rows] if factor else rows


def _times(factor: str, cell: str) -> str:
  """A cell of a matrix that stands behind a factor; a number stays one."""
  if factor == '+':
    return cell
  if factor == '-':
    plainly = number(cell) is not None
    return f'-({cell})' if not plainly else cell[1:].strip() if cell.startswith('-') else f'-{cell}'
  a, b = number(factor), number(cell)
  return f'({factor})({cell})' if a is None or b is None else str(a * b)


def _nested(text: str, turned: bool) -> list[list[str]] | None:
  """[[1, 2], [3, 4]], and (1, 2)^T."""
  inner = enclosed(text)
  parts = listed(inner) if inner is not None else None
  if parts is None:
    return None
  rows = [listed(row) if (row := enclosed(part)) is not None else None for part in parts]
  if None not in rows:
    return rows
  return [parts] if turned and rows == [None] * len(rows) else None


def _equation(text: str) -> Parts | None:
  sides = split(text, r'(?<![<>!:\\])=(?!=)')
  if not sides or len(sides) != 2 or re.search(intervals.RELATION, text):
    return None
  sides = tuple(latex(side.strip()) or '' for side in sides)
  sound = all(side and depth(side) >= 0 and ',' not in outside(side) for side in sides)
  return Parts('equation', sides) if sound else None


# --- comparing ---
Equal = Callable[[str, str], bool | None]


def same(gold, said, equal: Equal) -> bool | None:
  """Whether two readings are the same; None where `equal` could not tell and it matters."""
  if isinstance(gold, str) or isinstance(said, str):
    return equal(gold, said) if isinstance(gold, str) and isinstance(said, str) else False
  if not isinstance(gold, Parts):
    return _same_pieces(intervals.merged(gold), intervals.merged(said), equal)
  a, b = gold.parts, said.parts
  if gold.kind != said.kind or len(a) != len(b):
    return False
  if gold.kind == 'set':
    return _same_set(a, b, equal)
  if gold.kind == 'matrix':
    if any(len(x) != len(y) for x, y in zip(a, b)):
      return False
    a, b = (tuple(cell for row in rows for cell in row) for rows in (a, b))
  elif said.names and not gold.names:  # the gold gives them in the order of their names
    b = tuple(part for _, part in sorted(zip(said.names, b), key=lambda pair: pair[0].strip('\\').lower()))
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
  if any(intervals.value(end) is None for piece in (*a, *b) for end in (piece.lo, piece.hi)):
    def nodes(pieces):
      return tuple(Parts('tuple', (p.lo, f'{int(p.lo_closed)}', p.hi, f'{int(p.hi_closed)}')) for p in pieces)

    return _same_set(nodes(a), nodes(b), lambda x, y: x == y if 'oo' in x or 'oo' in y else equal(x, y))
  return all((intervals.value(x.lo), x.lo_closed, intervals.value(x.hi), x.hi_closed)
             == (intervals.value(y.lo), y.lo_closed, intervals.value(y.hi), y.hi_closed) for x, y in zip(a, b))


def spelled(read, leaf: Callable[[str], str]) -> str:
  """One text per class, for votes."""
  if isinstance(read, str):
    return leaf(read)
  if not isinstance(read, Parts):
    return ' U '.join('[('[not p.lo_closed] + f'{leaf(p.lo)},{leaf(p.hi)}' + '])'[not p.hi_closed]
                      for p in intervals.merged(read)) or '{}'
  if read.kind == 'matrix':
    return '[' + ';'.join(','.join(leaf(cell) for cell in row) for row in read.parts) + ']'
  parts = [spelled(part, leaf) for part in read.parts]
  if read.kind == 'set':
    return '{' + ','.join(sorted(parts)) + '}'
  return '='.join(parts) if read.kind == 'equation' else '(' + ','.join(parts) + ')'
