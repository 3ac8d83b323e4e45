"""samples.html: everything that the model wrote, to be searched from a file without a server.

Samples stand in chunks beside the page, report/samples/NAME.js, which the browser loads as they are looked at, so that
a hundred thousand do not choke it; few of them stand in the page itself. A file of samples that has not changed is not
read again.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from r1jax import metrics
from r1jax.report import browser, chart, load, page

CHUNK = 1 << 20  # characters of a chunk, from which on the next question begins another
INLINE = 3 << 20  # bytes of chunks that stand in the page itself
FORMAT = 2  # of chunks: others are written anew


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
  questions: int = 0
  samples: int = 0
  judged: int = 0  # of the samples, those that are right or wrong: general questions have no right answer
  right: int = 0
  rule: float | None = None  # mean value of those that a rule measures instead
  chunks: list[str] = dataclasses.field(default_factory=list)


SAID = ('correct', 'measured')  # reasons that say no more than the verdict or the value beside them
COUNTS = ('questions', 'samples', 'judged', 'right', 'rule', 'chunks')


def write(run: load.Run, out: pathlib.Path) -> list[Moment]:
  """Writes samples.html and its chunks, where there is a sample; what there is, newest first."""
  place = out / 'samples'
  before = load.attempt(run, load.json_of, place / 'index.json') or {}
  before = before if isinstance(before, dict) and before.get('format') == FORMAT else {}
  found, index = [], {}
  for moment in moments(run):
    at = moment.path.stat()
    stamp = [at.st_mtime_ns, at.st_size, moment.prefill]
    known = before.get(moment.key)
    if known and known['stamp'] == stamp and all((place / name).exists() for name in known['chunks']):
      for name in COUNTS:
        setattr(moment, name, known[name])
    else:
      try:
        _write_chunks(moment, place)
      except ValueError as error:
        run.warnings.append(str(error))
        continue
    if moment.samples:
      found.append(moment)
    index[moment.key] = {'stamp': stamp, **{name: getattr(moment, name) for name in COUNTS}}
  if not found:
    return []
  metrics.replace_file(place / 'index.json', json.dumps({'format': FORMAT, **index}).encode())
  wanted = {name for of in index.values() for name in of['chunks']}
  for old in place.glob('*.js'):  # of samples that are gone
    if old.name not in wanted:
      old.unlink()
  metrics.replace_file(out / 'samples.html', _page(run.name, found, place).encode('utf-8'))
  return found


def moments(run: load.Run) -> list[Moment]:
  """Evaluations, the last stage's first and its last model's first of all; then the steps of training, last first."""
  directories = [(stage.name, stage.path) for stage in run.stages] or [(run.name, run.path)]
  tested, trained = [], []
  for name, directory in reversed(directories):
    for path in sorted(directory.glob('eval/**/samples.jsonl'), key=lambda path: ('.' in path.parent.name, str(path))):
      label = str(path.parent.relative_to(directory / 'eval'))
      task, _, model = label.partition('.')
      tested.append(Moment(f'{name}/{label}', 'evaluation', name, task, model or 'final', 0, path,
                           prefill(run, directory, model)))
    steps = {metrics.samples_step(path): path for path in (directory / 'samples').glob('step_*.jsonl')}
    for step in sorted((step for step in steps if step is not None), reverse=True):
      trained.append(Moment(f'{name}/step {step}', 'training', name, '', '', step, steps[step]))
  return tested + trained


def prefill(run: load.Run, directory: pathlib.Path, model: str) -> str:
  """What stood before the answers of a model that was made to begin so: it is not among what the model wrote."""
  stage = next((stage for stage in run.stages if stage.path == directory), None)
  config = stage.config if stage and isinstance(stage.config, dict) else run.config
  part = config.get('evaluate') if isinstance(config, dict) else None
  of = part.get('prefill') if isinstance(part, dict) else None
  return str(of.get(model.removesuffix('_worked'), '')) if isinstance(of, dict) and model.endswith('_worked') else ''


def _write_chunks(moment: Moment, place: pathlib.Path) -> None:
  """Raises ValueError for a line that is no question."""
  stem = re.sub(r'[^\w.-]+', '_', moment.key)
  questions, size, measured = [], 0, []

  def close():
    name = f'{stem}-{len(moment.chunks)}.js'
    text = f'chunk({chart.embed(name)}, {chart.embed(questions)});\n'
    metrics.replace_file(place / name, text.encode('utf-8', errors='replace'))
    moment.chunks.append(name)

  for question in _questions(moment):
    moment.questions += 1
    moment.samples += question['n']
    moment.judged += question['judged']
    moment.right += question['right']
    measured += [sample['facts']['rule'] for sample in question['samples'] if 'rule' in sample['facts']]
    questions.append(question)
    size += sum(len(sample['text']) for sample in question['samples']) + len(question['prompt'])
    if size > CHUNK:
      close()
      questions, size = [], 0
  if questions:
    close()
  moment.rule = sum(measured) / len(measured) if measured else None


def _questions(moment: Moment) -> Iterator[dict]:
  """Questions with their samples, in the order of the file; of training, where a line is a sample, put together."""
  if moment.kind == 'evaluation':
    for row in _lines(moment.path):
      samples = [sample for sample in row.get('samples') or [] if isinstance(sample, dict)]
      samples = [_sample(index, {**sample, 'completion': sample.get('text'),
                                 'reasons': {'verdict': sample.get('reason')}}) for index, sample in enumerate(samples)]
      yield _question(row, samples, row.get('prefill', moment.prefill))
    return
  together: dict[Any, list[dict]] = {}
  for row in _lines(moment.path):
    together.setdefault((str(row.get('group')), str(row.get('id')), str(row.get('prompt'))), []).append(row)
  for rows in together.values():
    yield _question(rows[0], [_sample(index, row) for index, row in enumerate(rows)], rows[0].get('prefill', ''))


def _lines(path: pathlib.Path) -> Iterator[dict]:
  """As metrics.read, a line at a time: an evaluation's file may hold gigabytes."""
  with open(path, 'rb') as file:
    for number, line in enumerate(file, 1):
      if not line.endswith(b'\n'):  # being written just now
        return
      try:
        row = json.loads(line)
      except ValueError as error:
        raise ValueError(f'{path}, line {number}: corrupt ({error})') from error
      if not isinstance(row, dict):
        raise ValueError(f'{path}, line {number}: corrupt (a {type(row).__name__}, not an object)')
      yield row


def _question(row: dict, samples: list[dict], before: str) -> dict:
  return {'id': _text(row.get('id')), 'prompt': _text(row.get('prompt')), 'gold': _text(row.get('gold')),
          'prefill': _text(before), 'n': len(samples), 'samples': samples,
          'judged': sum(sample['right'] is not None for sample in samples),
          'right': sum(sample['right'] or 0 for sample in samples)}


def _sample(index: int, row: dict) -> dict:
  """right: 1, 0, or None of an answer that nothing calls right or wrong."""
  rewards = row.get('rewards') if isinstance(row.get('rewards'), dict) else {}
  reasons = row.get('reasons') if isinstance(row.get('reasons'), dict) else {}
  facts = {'reward': row.get('reward'), **rewards, 'advantage': row.get('advantage'), 'rule': row.get('value')}
  unjudged = load.number(row.get('value')) is not None or (rewards and 'accuracy' not in rewards)
  return {'i': row.get('sample', index), 'text': _text(row.get('completion')),
          'right': None if unjudged else int(bool(row.get('correct'))),
          'tokens': row.get('tokens'), 'finish': row.get('finish'), 'answer': _text(row.get('answer')),
          'facts': {name: value for name, value in facts.items() if load.number(value) is not None},
          'why': {name: _text(value) for name, value in reasons.items() if value not in (None, '', *SAID)}}


def _text(value: Any) -> str:
  return '' if value is None else page.visible(value)


def _page(name: str, found: list[Moment], place: pathlib.Path) -> str:
  fields = ('key', 'kind', 'stage', 'task', 'model', 'step', *COUNTS)
  index = [{field: getattr(moment, field) for field in fields} for moment in found]
  files = [place / chunk for moment in found for chunk in moment.chunks]
  inline = ''
  if sum(path.stat().st_size for path in files) <= INLINE:
    inline = ''.join(path.read_text(encoding='utf-8') for path in files)
  body = [f'<h1>Samples of {page.escape(name)}</h1>',
          '<p class="lead">What the model wrote, as it wrote it. <a href="index.html">Back to the report</a></p>',
          browser.FORM, f'<script type="application/json" id="index">{chart.embed(index)}</script>']
  return page.page(f'Samples of {name}', body, browser.SCRIPT + inline + 'start();')
