"""One way of writing what LaTeX, Unicode and Chinese have many for: dress is taken off, no value is changed."""

import functools
import re

_GREEK = dict(zip('αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ',
                  'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon '
                  'phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega'.split()))
_VULGAR = {'½': (1, 2), '⅓': (1, 3), '⅔': (2, 3), '¼': (1, 4), '¾': (3, 4), '⅕': (1, 5), '⅖': (2, 5), '⅗': (3, 5),
           '⅘': (4, 5), '⅙': (1, 6), '⅚': (5, 6), '⅛': (1, 8), '⅜': (3, 8), '⅝': (5, 8), '⅞': (7, 8), '⅐': (1, 7),
           '⅑': (1, 9), '⅒': (1, 10)}
_SIGNS = str.maketrans({
    **{letter: f'\\{name} ' for letter, name in _GREEK.items()},
    **{sign: f'\\frac{{{a}}}{{{b}}}' for sign, (a, b) in _VULGAR.items()},
    '·': '\\cdot ', '⋅': '\\cdot ', '×': '\\times ', '÷': '/', '⁄': '/', '∕': '/',
    '⩾': '≥', '⩽': '≤', '≧': '≥', '≦': '≤',
    '∛': '\\sqrt[3]', '∜': '\\sqrt[4]', '′': "'", '⟨': '\\langle ', '⟩': '\\rangle ',
    '∠': '\\angle ', '△': '\\triangle ',
    'ℝ': '\\mathbb{R}', '⋃': '∪', '−': '-', '∶': ':'})
_RAISED, _LOWERED = str.maketrans('⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾', '0123456789+-n()'), str.maketrans('₀₁₂₃₄₅₆₇₈₉₊₋ₙ', '0123456789+-n')
_RAISED_RUN, _LOWERED_RUN = re.compile('[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾]+'), re.compile('[₀₁₂₃₄₅₆₇₈₉₊₋ₙ]+')

_OR, _AND = re.compile(r'(?:\\(?:text|mbox|mathrm)\s*\{\s*或者?\s*\}|或者?)'), re.compile(
    r'(?:\\(?:text|mbox|mathrm)\s*\{\s*[和与及且]\s*\}|(?<=[0-9A-Za-z)}\]\s])[和与及且](?=[0-9A-Za-z({\[\\\s-]))')

# Commands that mean nothing, with and without what they hold, and those of two names.
_SIZE = re.compile(r'\\(?:tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|limits|nolimits|'
                   r'displaystyle|textstyle|scriptstyle|mathstrut|strut|'
                   r'bigl|bigr|Bigl|Bigr|biggl|biggr|Biggl|Biggr|big|Big|bigg|Bigg|thinspace|'
                   r'negthinspace|allowbreak|nobreak)(?![A-Za-z])\s*')
_HOLDING = re.compile(r'\\(?:underline|uline|fbox|framebox|mathsf|mathtt|mathit|mathnormal|textsf|texttt|emph|'
                      r'textnormal|hbox|ensuremath|(?:textcolor|colorbox|color)\s*(?:\[\w+\])?\s*\{[^{}]*\})\s*\{')
_UNSEEN = re.compile(r'\\[hv]?phantom\s*\{')
_UNBRACED = re.compile(r'\\(mathrm|mathbf|mathit|text|textbf|boldsymbol|bm|vec|hat)\s+([A-Za-z0-9])(?![A-Za-z])')
_VECTOR = re.compile(r'\\(?:vec|overrightarrow)\s*\{\s*([A-Za-z]{1,2})\s*\}|'
                     r'\\(?:mathbf|boldsymbol|bm|hat|widehat|mathbf\s*\{\s*\\hat)\s*\{\s*(?:([a-z])|\\([ij])math)\s*\}')
_OVER = re.compile(r'\{([^{}]*(?:\{[^{}]*\}[^{}]*)*?)\\(over|choose)(?![A-Za-z])([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}')
_NAMES = {'lg': 'log_{10}', 'tg': 'tan', 'ctg': 'cot', 'arctg': 'arctan', 'bigcup': 'cup', 'bigcap': 'cap',
          'cfrac': 'frac', 'leqq': 'le', 'geqq': 'ge', 'imath': 'i ', 'jmath': 'j ', 'infin': 'infty',
          'degree': '^\\circ',
          'colon': ':', 'lvert': '|', 'rvert': '|', 'mid': '|', 'vert': '|', 'smallsetminus': 'setminus',
          'land': 'wedge',
          'epsilon': 'epsilon', 'varepsilon': 'epsilon', 'varphi': 'phi', 'dots': 'ldots', 'cdots': 'ldots'}
_RENAMED = re.compile(r'\\(?:operatorname\*?\s*\{\s*(lg|tg|ctg|arctg)\s*\}|(' + '|'.join(_NAMES) + r')(?![A-Za-z]))')
# \mathrm{ln} is \ln, \mathrm{~km} / \mathrm{h} one unit, \text{\$} a sign.
_UPRIGHT_NAME = re.compile(r'\\(?:mathrm|text|textrm)\s*\{\s*'
                           r'((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|ln|log|lg|exp)\s*\}')
_UNIT_OVER = re.compile(r'\\(mathrm|text|textrm)\s*\{([^{}]*)\}\s*/\s*\\(?:mathrm|text|textrm)\s*\{([^{}]*)\}')
_AS_THEY_ARE = (':', '|', 'i ', 'j ', '^')


@functools.lru_cache(maxsize=8192)
def read(text: str) -> str:
  """`text` with signs of Unicode as LaTeX, without colour, size and frames, by one name for each thing."""
  if not text.isascii():
    text = _RAISED_RUN.sub(lambda m: f'^{{{m[0].translate(_RAISED)}}}', text)
    text = _LOWERED_RUN.sub(lambda m: f'_{{{m[0].translate(_LOWERED)}}}', text).translate(_SIGNS)
    text = _AND.sub(r' \\text{ and } ', _OR.sub(r' \\text{ or } ', text))
  text = re.sub(r'(?<![\w)\]}^])\(\s*([0-9]+)\s*\)\s*/\s*\(\s*([0-9]+)\s*\)', r'\1/\2', text)
  if '\\' not in text and '{' not in text:
    return text
  text = _UNBRACED.sub(r'\\\1{\2}', _SIZE.sub('', text))
  text = _held(_HOLDING, text, keep=True)
  text = _held(_UNSEEN, text, keep=False)
  text = _VECTOR.sub(lambda m: m[1] or m[2] or m[3], text)
  text = _UPRIGHT_NAME.sub(r'\\\1 ', text)
  text = _RENAMED.sub(_renamed, text)
  text = _UNIT_OVER.sub(r'\\\1{\2/\3}', text)
  text = re.sub(r'\\(?:text|mathrm)\s*\{\s*\\\$\s*\}', r'\\$', text)
  text = re.sub(r'(?<![\w)\]}^])\{\s*([0-9]+)\s*\}\s*/\s*\{\s*([0-9]+)\s*\}', r'\1/\2', text)
  for _ in range(4):
    if '\\over' not in text and '\\choose' not in text:
      break
    text = _OVER.sub(lambda m: f'\\{"frac" if m[2] == "over" else "binom"}{{{m[1].strip()}}}{{{m[3].strip()}}}', text)
  return text


def _renamed(match) -> str:
  name = _NAMES[match[1] or match[2]]
  return name if name.startswith(_AS_THEY_ARE) else f'\\{name}'


def _held(pattern: re.Pattern, text: str, *, keep: bool) -> str:
  """Without a command, and without what stands in its braces unless `keep`; one that does not close stays."""
  found = pattern.search(text)
  for _ in range(100):
    if not found:
      break
    end = closing(text, found.end())
    if end < 0:
      break
    text = text[:found.start()] + (text[found.end():end] if keep else '') + text[end + 1:]
    found = pattern.search(text, found.start())
  return text


_BRACE = re.compile(r'\\.|[{}]', re.DOTALL)


def closing(text: str, start: int) -> int:
  """Where the brace that was opened just before `start` closes; -1 if it does not."""
  depth = 1
  for match in _BRACE.finditer(text, start):
    depth += {'{': 1, '}': -1}.get(match[0], 0)
    if not depth:
      return match.start()
  return -1
