"""samples.html: what the model wrote, step by step, to be browsed from a file without a server."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from r1jax import metrics
from r1jax.report import load, page

MOMENTS = 12      # steps shown of each stage, first and last among them
ROWS = 24         # samples of a moment: the page has to open on a phone
CHARACTERS = 12_000  # of a completion; the middle of a longer one is left out

SCRIPT = '''
const moment = document.getElementById('moment'), verdict = document.getElementById('verdict');
function show() {
  for (const section of document.querySelectorAll('.moment')) {
    section.hidden = section.dataset.moment !== moment.value;
    let shown = 0;
    for (const question of section.querySelectorAll('.question')) {
      let some = 0;
      for (const sample of question.querySelectorAll('.sample')) {
        sample.hidden = verdict.value !== 'all' && sample.dataset.verdict !== verdict.value;
        if (!sample.hidden) some++;
      }
      question.hidden = !some;
      shown += some;
    }
    section.querySelector('.none').hidden = shown > 0;
  }
}
function turn(by) {
  const next = moment.selectedIndex + by;
  if (next >= 0 && next < moment.options.length) { moment.selectedIndex = next; show(); }
}
moment.addEventListener('change', show);
verdict.addEventListener('change', show);
document.addEventListener('keydown', event => {
  if (event.target.tagName === 'SELECT') return;
  if (event.key === 'ArrowLeft') turn(-1);
  if (event.key === 'ArrowRight') turn(1);
});
show();
'''


@dataclasses.dataclass
class Moment:
  """One entry of the step menu."""
  name: str
  rows: list[dict]
  total: int


def moments(run: load.Run) -> list[Moment]:
  """Samples of the training steps, then of the evaluations."""
  found = []
  several = len(run.stages) > 1
  directories = [(stage.name, stage.path) for stage in run.stages] or [('', run.path)]
  for name, directory in directories:
    steps = {metrics.samples_step(path): path for path in (directory / 'samples').glob('step_*.jsonl')}
    steps.pop(None, None)
    for step in spread(sorted(steps), MOMENTS):
      rows = load.attempt(run, metrics.read, steps[step])
      if rows:
        found.append(Moment(f'step {step}' + (f', {name}' if several else ''), choose(rows, ROWS), len(rows)))
  for name, directory in directories:
    for path in sorted(directory.glob('eval/**/samples.jsonl')):
      rows = [row for question in load.attempt(run, metrics.read, path) or [] for row in _of_evaluation(question)]
      if rows:
        task = path.parent.relative_to(directory / 'eval')
        found.append(Moment(f'evaluation of {task}' + (f', {name}' if several else ''), choose(rows, ROWS), len(rows)))
  return found


def spread(steps: Sequence[int], n: int) -> list[int]:
  """At most n of them, evenly, the first and the last included."""
  if len(steps) <= n:
    return list(steps)
  return [steps[round(index * (len(steps) - 1) / (n - 1))] for index in range(n)]


def choose(rows: list[dict], n: int) -> list[dict]:
  """The first n rows, but half of them right and half wrong where there are enough of both; in their own order."""
  right = [index for index, row in enumerate(rows) if is_right(row)]
  wrong = [index for index, row in enumerate(rows) if not is_right(row)]
  of_right = min(len(right), max(n // 2, n - len(wrong)))
  return [rows[index] for index in sorted(right[:of_right] + wrong[:n - of_right])]


def is_right(row: dict) -> bool:
  return bool(row.get('correct'))


def _of_evaluation(question: dict) -> Iterator[dict]:
  """A row of eval/TASK/samples.jsonl holds a question and its samples; here each sample is a row, as in training."""
  samples = question.get('samples')
  for index, sample in enumerate(samples if isinstance(samples, list) else []):
    if isinstance(sample, dict):
      yield {'id': question.get('id'), 'prompt': question.get('prompt'), 'gold': question.get('gold'), 'sample': index,
             'completion': sample.get('text'), 'reasons': {'verdict': sample.get('reason')},
             **{name: sample.get(name) for name in ('tokens', 'finish', 'answer', 'correct')}}


def write(found: list[Moment], name: str, path: pathlib.Path) -> None:
  options = ''.join(f'<option value="{index}">{page.escape(moment.name)}</option>'
                    for index, moment in enumerate(found))
  body = [
      f'<h1>Samples of {page.escape(name)}</h1>',
      '<p class="lead">What the model wrote, as it wrote it. Left and right arrow keys go through the steps.'
      ' <a href="index.html">Back to the report</a></p>',
      f'<nav><label>When <select id="moment">{options}</select></label><label>Show <select id="verdict">'
      '<option value="all">all</option><option value="right">right</option><option value="wrong">wrong</option>'
      '</select></label></nav>']
  for index, moment in enumerate(found):
    body.append(f'<section class="moment" data-moment="{index}"><h2>{page.escape(moment.name)}</h2>'
                f'<p class="faint">{len(moment.rows)} of {moment.total} samples.</p>')
    for rows in _by_question(moment.rows):
      body.append(_question(rows))
    body.append('<p class="faint none" hidden>None here.</p></section>')
  metrics.replace_file(path, page.page(f'Samples of {name}', body, SCRIPT).encode('utf-8'))


def _by_question(rows: list[dict]) -> list[list[dict]]:
  """Samples of one question together, whatever their order in the file."""
  found: dict[Any, list[dict]] = {}
  for row in rows:
    found.setdefault((str(row.get('group')), str(row.get('id')), str(row.get('prompt'))), []).append(row)
  return list(found.values())


def _question(rows: list[dict]) -> str:
  first = rows[0]
  right = sum(map(is_right, rows))
  facts = [f'Question {first["id"]}' if first.get('id') is not None else 'Question', f'{right} of {len(rows)} right']
  if first.get('gold') is not None:
    facts.insert(1, f'answer {_short(first["gold"])}')
  head = ' · '.join(map(page.escape, facts))
  return (f'<div class="question"><h3>{head}</h3><pre dir="auto">{page.escape(_cut(first.get("prompt") or ""))}</pre>'
          + ''.join(map(_sample, rows)) + '</div>')


def _sample(row: dict) -> str:
  verdict = 'right' if is_right(row) else 'wrong'
  rewards = row.get('rewards') if isinstance(row.get('rewards'), dict) else {}
  reasons = row.get('reasons') if isinstance(row.get('reasons'), dict) else {}
  facts = [f'<b class="{verdict}">{verdict}</b>']
  facts += [f'<span>{page.escape(name)} {page.escape(_short(value))}</span>' for name, value in (
      ('', row.get('answer') and f'said {row["answer"]}'), ('reward', row.get('reward')), *rewards.items(),
      ('advantage', row.get('advantage')), ('length', row.get('tokens')),
      ('', {'stop': 'ended by itself', 'length': 'cut at the limit'}.get(row.get('finish'), row.get('finish'))))
            if value is not None]
  why = ' · '.join(f'{name}: {_short(value)}' for name, value in reasons.items() if value)
  reason = f'<div class="facts">{page.escape(why)}</div>' if why else ''
  return (f'<article class="sample" data-verdict="{verdict}"><div class="facts">{"".join(facts)}</div>{reason}'
          f'<pre dir="auto">{page.completion(_cut(row.get("completion") or ""))}</pre></article>')


def _short(value: Any) -> str:
  if load.number(value) is not None:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
  text = str(value)
  return text if len(text) <= 120 else text[:119] + '…'


def _cut(text: Any) -> str:
  text = str(text)
  if len(text) <= CHARACTERS:
    return text
  half = CHARACTERS // 2
  return f'{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}'
