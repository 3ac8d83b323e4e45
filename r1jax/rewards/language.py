"""Language consistency: the share of the target language's words in the reasoning (paper, 2.3.2).
Added to accuracy in R1.

Words are told apart by Unicode script: one for each Han character or run of letters. Script cannot tell English from
French; for languages that share one, 'en+lingua', 'fr+lingua' ... judge sentence by sentence with the package lingua.
"""

import functools
import math
import re
import unicodedata

from r1jax.rewards import Score
from r1jax.rewards import format as form

# Language -> scripts that its words are written in, by the first word of Unicode's character names.
SCRIPTS = {
    'en': {'LATIN'}, 'zh': {'CJK', 'BOPOMOFO'}, 'ja': {'CJK', 'HIRAGANA', 'KATAKANA', 'KATAKANA-HIRAGANA'},
    'ko': {'HANGUL'}, 'ru': {'CYRILLIC'}, 'uk': {'CYRILLIC'}, 'el': {'GREEK'}, 'ar': {'ARABIC'}, 'fa': {'ARABIC'},
    'he': {'HEBREW'}, 'hi': {'DEVANAGARI'}, 'bn': {'BENGALI'}, 'ta': {'TAMIL'}, 'te': {'TELUGU'}, 'th': {'THAI'},
    'ka': {'GEORGIAN'}, 'hy': {'ARMENIAN'}, 'am': {'ETHIOPIC'}}
KANA = {'HIRAGANA', 'KATAKANA', 'KATAKANA-HIRAGANA'}
_FORMULA = re.compile(r'[A-Z]{2,4}|a?(?:rc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|lg|lim|max|min|gcd|lcm|mod|det|exp')
LATIN = ('en', 'fr', 'de', 'es', 'it', 'pt', 'nl', 'pl', 'vi', 'tr', 'id', 'sv')  # lingua tells these apart

IDEAL_SCORE = None  # depends on the language that a row asks for

_NO_WORDS = re.compile(
    # Bounded, so that ten thousand openers that never close take no longer than any other text.
    r'```.{0,4000}?(?:```|\Z)|`[^`\n]{0,500}`|\$\$.{0,1000}?\$\$|\$[^$\n]{0,500}\$|\\\(.{0,1000}?\\\)'
    r'|\\\[.{0,1000}?\\\]|\\begin\{(\w{1,20}\*?)\}.{0,2000}?\\end\{\1\}'
    r'|\\[A-Za-z]+(?:\{[^{}]*\})*|https?://\S+|www\.\S+|<\|?/?[\w-]+\|?>', re.DOTALL)
_SENTENCE = re.compile(r'[^.!?\n\u3002\uff01\uff1f]+')


@functools.lru_cache(maxsize=65536)
def _script(char: str) -> str:
  """'LATIN', 'CJK', 'HIRAGANA' ...; '' for what is no letter."""
  if not unicodedata.category(char).startswith(('L', 'M')):
    return ''
  name = unicodedata.name(char, '').removeprefix('FULLWIDTH ').removeprefix('HALFWIDTH ')
  mark = unicodedata.category(char).startswith('M') and name.startswith('COMBINING')
  return 'MARK' if mark else name.partition(' ')[0]


def words(text: str) -> list[tuple[str, str]]:
  """(word, script) of the words outside of code, formulas and links; single letters of an alphabet are left out."""
  found, run, script = [], [], ''
  for char in _NO_WORDS.sub(' ', text) + ' ':
    now = _script(char)
    if now == 'MARK' and run:
      run.append(char)
      continue
    if run and now != script:
      if len(run) > 1:
        found.append((''.join(run), script))
      run = []
    script = now
    if now == 'CJK':
      found.append((char, now))
    elif now:
      run.append(char)
  return found


def consistency(text: str, language: str) -> float:
  """Share of `language`'s words among the words of `text`, 0..1; 0 where there is no word, or silence would earn 1.

  Raises:
    ValueError: no such language, or one that needs the package lingua, which is not there.
  """
  name, _, way = language.partition('+')
  if way == 'lingua':
    return _by_sentence(text, name)
  if name not in SCRIPTS or way:
    raise ValueError(f"language={language!r} cannot be told by script: one of {', '.join(SCRIPTS)}, "
                     f"or {', '.join(LATIN)} with '+lingua' behind")
  right = total = 0
  for sentence in _SENTENCE.findall(_NO_WORDS.sub(' ', text)):
    found = words(sentence)
    if 'LATIN' not in SCRIPTS[name]:  # AB = AC and sin x are written so everywhere
      found = [(word, script) for word, script in found if script != 'LATIN' or not _FORMULA.fullmatch(word)]
    scripts = {script for _, script in found}
    # Han letters beside kana are Japanese, whichever of the two languages was asked for.
    own = SCRIPTS[name] - {'CJK'} if name == 'zh' and scripts & KANA else SCRIPTS[name]
    total += len(found)
    right += sum(script in own for _, script in found)
  return right / total if total else 0.0


def measured(text: str, language: str | None) -> float:
  """`consistency` for a statistic: NaN for a language that cannot be told, instead of an error."""
  try:
    return consistency(text, language or 'en')
  except ValueError:
    return math.nan


@functools.lru_cache(maxsize=1)
def _detector():
  try:
    import lingua
  except ImportError as e:
    raise ValueError("a language with '+lingua' needs the package: pip install 'r1jax[languages]'") from e
  codes = [getattr(lingua.IsoCode639_1, code.upper()) for code in LATIN]
  return lingua.LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


def _by_sentence(text: str, name: str) -> float:
  """Words of sentences in the language, among all words."""
  if name not in LATIN:
    raise ValueError(f"language='{name}+lingua': lingua is asked for languages in Latin letters alone, "
                     f"{', '.join(LATIN)}")
  detector, right, total = _detector(), 0, 0
  for sentence in _SENTENCE.findall(_NO_WORDS.sub(' ', text)):
    found = words(sentence)
    latin = [word for word, script in found if script == 'LATIN']
    total += len(found)
    if latin:
      language = detector.detect_language_of(' '.join(latin))
      right += len(latin) * (language is not None and language.iso_code_639_1.name.lower() == name)
  return right / total if total else 0.0


def score(completion: str, row: dict) -> Score:
  """The consistency of the reasoning with row['language'] (default 'en')."""
  said = form.reasoning(completion, row)
  if row.get('scenario') and not said:  # a simple question is answered without reasoning (section 2.3.3)
    said = form.summary(completion, row) or ''
  value = consistency(said, row.get('language') or 'en')
  return Score(value, 'measured')
