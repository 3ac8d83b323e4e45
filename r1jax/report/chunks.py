"""One file of samples -> chunks of whole texts and a table of small fields, scripts that a page loads beside it.

A page filters and sorts by the table, NAME-rows.js, a column for each field and a row for each sample, and loads the
chunks NAME-0.js, NAME-1.js ... only for the texts that are looked at or searched. A file is read a line at a time, a
chunk is written as soon as it is full: what is held is a question, a chunk and the table, however long the texts are.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from r1jax import metrics
from r1jax.report import chart, page

CHUNK = 1 << 18  # characters of a chunk, from which on the next sample begins another
NAMED = ('step', 'rollout', 'group', 'sample', 'tokens', 'reward', 'advantage', 'value', 'language')  # not as a part
SAID = ('correct', 'wrong', 'measured')  # reasons that say no more than the verdict or the value beside them
FORMULA = re.compile(r'\$|\\[(\[]|\\boxed|\\begin\{')  # what may be one: the page looks closer


@dataclasses.dataclass
class Moment:
  """What a model wrote at one time: a file of samples, with its counts over all of them."""
  key: str  # '3_evaluate/chain_sum.base', '2_rl/step 40': the first part of a link to a sample
  kind: str  # 'evaluation' | 'training'
  stage: str
  task: str
  model: str
  step: int
  path: pathlib.Path
  prefill: str = ''
  run: str = ''  # of several on one page
  questions: int = 0
  samples: int = 0
  judged: int = 0  # of the samples, those that are right or wrong: general questions have no right answer
  right: int = 0
  rule: float | None = None  # mean value of those that a rule measures instead
  chunks: list[str] = dataclasses.field(default_factory=list)
  rows: str = ''  # the script with the table
  parts: list[str] = dataclasses.field(default_factory=list)  # rewards and whatever else is a number of each sample
  finishes: list[str] = dataclasses.field(default_factory=list)
  languages: list[str] = dataclasses.field(default_factory=list)
  formulas: bool = False  # whether some text may have one


COUNTS = ('questions', 'samples', 'judged', 'right', 'rule', 'chunks', 'rows', 'parts', 'finishes', 'languages',
          'formulas')


class Table:
  """Columns of a moment. Texts that recur are numbers into the moment's lists of them."""

  def __init__(self, moment: Moment):
    self._moment, self._facts, self._numbers = moment, {}, {}
    self.questions = {name: [] for name in ('id', 'gold', 'n', 'judged', 'right')}
    self.columns = {name: [] for name in ('question', 'i', 'right', 'tokens', 'finish', 'language')}
    self.firsts = []  # the first row of each chunk

  def add(self, key: Any, row: dict, sample: dict) -> None:
    moment, asked, columns = self._moment, self.questions, self.columns
    number = self._numbers.setdefault(key, len(self._numbers))
    if number == len(asked['id']):
      for name, value in (('id', text(row.get('id'))), ('gold', text(row.get('gold'))), ('n', 0), ('judged', 0),
                          ('right', 0)):
        asked[name].append(value)
    right = sample['right']
    for name, value in (('n', 1), ('judged', int(right is not None)), ('right', right or 0)):
      asked[name][number] += value
    for name, known in (('finish', moment.finishes), ('language', moment.languages)):
      if sample[name] not in known:
        known.append(sample[name])
      columns[name].append(known.index(sample[name]))
    for name, value in (('question', number), ('i', sample['i']), ('right', right), ('tokens', sample['tokens'])):
      columns[name].append(value)
    count = len(columns['question'])
    for name, value in sample['facts'].items():
      self._facts.setdefault(name, [None] * (count - 1)).append(float(f'{value:.6g}'))
    for values in self._facts.values():
      values += [None] * (count - len(values))

  def close(self) -> dict:
    """As the page reads it; the moment's counts are set."""
    moment, asked = self._moment, self.questions
    moment.questions, moment.samples = len(asked['id']), len(self.columns['question'])
    moment.judged, moment.right, moment.parts = sum(asked['judged']), sum(asked['right']), list(self._facts)
    measured = [value for value in self._facts.get('rule', ()) if value is not None]
    moment.rule = sum(measured) / len(measured) if measured else None
    return {'questions': asked, **self.columns, 'facts': list(self._facts.values()), 'firsts': self.firsts}


def write(moment: Moment, place: pathlib.Path, stamp: list) -> None:
  """Writes a moment's chunks and its table. Raises ValueError for a line that is no question.

  stamp: what changes with the file; it is in the names, so that a page read earlier never mixes two states of it.
  """
  mark = hashlib.blake2b(json.dumps([moment.key, *stamp]).encode(), digest_size=4).hexdigest()
  stem = re.sub(r'[^\w.-]+', '_', moment.key, flags=re.ASCII)[-60:] + f'.{mark}'
  table, pieces, size, made = Table(moment), [], 0, 0

  def save(name: str, data: Any) -> str:
    script = f'given({chart.embed(name)}, {chart.embed(data)});\n'
    metrics.replace_file(place / name, script.encode('utf-8', errors='replace'))
    return name

  for key, row, before, sample in _samples(moment):
    if not pieces:
      table.firsts.append(made)
    if not pieces or pieces[-1][0] != key:
      pieces.append((key, {'prompt': text(row.get('prompt')), 'prefill': text(before), 'samples': []}))
      size += len(pieces[-1][1]['prompt'])
    table.add(key, row, sample)
    pieces[-1][1]['samples'].append({name: sample[name] for name in ('text', 'answer', 'why')})
    moment.formulas = moment.formulas or bool(FORMULA.search(sample['text']))
    size, made = size + len(sample['text']), made + 1
    if size > CHUNK:
      moment.chunks.append(save(f'{stem}-{len(moment.chunks)}.js', [piece for _, piece in pieces]))
      pieces, size = [], 0
  if pieces:
    moment.chunks.append(save(f'{stem}-{len(moment.chunks)}.js', [piece for _, piece in pieces]))
  moment.rows = save(f'{stem}-rows.js', table.close())


def _samples(moment: Moment) -> Iterator[tuple[Any, dict, str, dict]]:
  """(key of the question, its row, what stood before the answer, a sample), in the order of the file."""
  if moment.kind == 'evaluation':
    for number, row in enumerate(lines(moment.path)):
      before = row.get('prefill', moment.prefill)
      samples = [sample for sample in row.get('samples') or [] if isinstance(sample, dict)]
      for index, sample in enumerate(samples):
        yield number, row, before, _sample(index, {**sample, 'completion': sample.get('text'),
                                                   'reasons': {'verdict': sample.get('reason')}})
    return
  seen: dict[Any, int] = {}
  for row in lines(moment.path):  # a line is a sample
    asked = json.dumps([row.get('group'), row.get('id'), row.get('prompt')])
    key = hashlib.blake2b(asked.encode(), digest_size=12).digest()
    seen[key] = seen.get(key, -1) + 1
    yield key, row, row.get('prefill', ''), _sample(seen[key], row)


def lines(path: pathlib.Path) -> Iterator[dict]:
  """As metrics.read, a line at a time: an evaluation's file may hold gigabytes."""
  with open(path, 'rb') as file:
    for number, line in enumerate(file, 1):
      if not line.endswith(b'\n'):  # being written just now
        return
      try:
        row = json.loads(line)
      except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}, line {number}: corrupt ({error})') from error
      if not isinstance(row, dict):
        raise ValueError(f'{path}, line {number}: corrupt (a {type(row).__name__}, not an object)')
      yield row


def _sample(index: int, row: dict) -> dict:
  """right: 1, 0, or None of an answer that nothing calls right or wrong."""
  rewards = row.get('rewards') if isinstance(row.get('rewards'), dict) else {}
  reasons = row.get('reasons') if isinstance(row.get('reasons'), dict) else {}
  facts = {'reward': row.get('reward'), **rewards, 'advantage': row.get('advantage'), 'rule': row.get('value'),
           'language share': row.get('language'), **{name: of for name, of in row.items() if name not in NAMED}}
  unjudged = (finite(row.get('value')) is not None or (rewards and 'accuracy' not in rewards)
              or ('correct' in row and row['correct'] is None))
  written, number = text(row.get('completion')), row.get('sample', index)
  return {'i': number if isinstance(number, int) else index, 'text': written,
          'right': None if unjudged else int(bool(row.get('correct'))),
          'tokens': finite(row.get('tokens')), 'finish': text(row.get('finish')), 'answer': text(row.get('answer')),
          'language': language(written),
          'facts': {text(name): value for name, value in facts.items() if finite(value) is not None},
          'why': [[text(name), text(value)] for name, value in reasons.items() if value not in (None, '', *SAID)]}


def text(value: Any) -> str:
  return '' if value is None else page.visible(value)


def finite(value: Any) -> float | None:
  """A number that JSON knows; None for all else."""
  number = isinstance(value, (int, float)) and not isinstance(value, bool)
  return value if number and abs(value) < 1e300 and math.isfinite(value) else None


# Words of each script: a character of Chinese and Japanese, else a run of letters. Greek letters are mostly symbols.
_SCRIPTS = {name: re.compile(pattern) for name, pattern in {
    'Latin letters': r'[A-Za-zÀ-ÖØ-öø-ɏ]{2,}', 'Chinese': r'[㐀-䶿一-鿿]', 'Japanese': r'[぀-ヿ]', 'Korean': r'[가-힣]+',
    'Cyrillic letters': r'[Ѐ-ԯ]{2,}', 'Arabic letters': r'[\u0600-\u06ff]{2,}',
    'Hebrew letters': r'[\u0590-\u05ff]{2,}', 'Devanagari': r'[\u0900-\u097f]{2,}',
    'Thai': r'[\u0e00-\u0e7f]{2,}'}.items()}
_NO_WORDS = re.compile(r'\\[A-Za-z]+|</?\w{1,20}>|<?\|\w{1,20}\|>?')
MOSTLY = 0.9  # of the words


def language(written: str) -> str:
  """What a text is written in, by its letters: 'Latin letters', 'Chinese', 'Chinese and Latin letters', 'no words'.

  One name where it has nine words of ten, else the two most frequent, in the order of the alphabet. Letters cannot tell
  English from French.
  """
  plain = _NO_WORDS.sub(' ', written)
  if plain.isascii():
    return 'Latin letters' if _SCRIPTS['Latin letters'].search(plain) else 'no words'
  counts = {name: len(pattern.findall(plain)) for name, pattern in _SCRIPTS.items()}
  if counts['Japanese']:  # written with Chinese characters as well
    counts['Japanese'] += counts.pop('Chinese')
  first, second = sorted(counts, key=counts.get, reverse=True)[:2]
  if not counts[first]:
    return 'no words'
  return first if counts[first] >= MOSTLY * sum(counts.values()) else ' and '.join(sorted((first, second)))
