"""A pipeline, stage by stage: the table of what went in and out and what it reached, and answers side by side."""

import collections
import itertools
import pathlib

from r1jax import metrics
from r1jax.report import chunks, load, page, samples, state

QUESTIONS = 3  # of each task, shown side by side
CHARACTERS = 600  # of an answer there
LOOKED = 500  # of a file's questions, for kinds that differ


def table(run: load.Run, specs: list[dict]) -> str:
  """One row a stage: what it reached, steps, time, data; of those that are not finished what they are doing."""
  if len(specs) < 2:
    return ''
  found = _evaluations(run)
  scores = {name: look for name, look in SCORES.items() if any(look(of) != NOTHING for of in found.values())}
  header = ['Stage', *scores, 'Steps', 'Time', 'Data']  # what a narrow page shows first is what it reached
  rows = []
  for spec in specs:
    facts, of = spec['entry'].get('facts') or {}, found.get(spec['name'])
    reached = [look(of) for look in scores.values()] if of else [''] * len(scores)
    data = _data(spec['run'], facts) if spec['state'] == 'finished' else spec['state']
    rows.append([f'{spec["number"]} {spec["name"]}', *reached, state.steps(run, spec),
                 metrics.duration(spec['seconds']) if spec['seconds'] else NOTHING, data])
  said = ['Shares in per cent, on held-out questions, after the stage.'] if scores else []
  said += [text for name, text in CAPTIONS.items() if name in scores]
  return page.table(header, rows, tight=True, wrap=True) + (
      f'<p class="faint" style="margin-top:.7rem">{" ".join(said)}</p>')


CAPTIONS = {  # of a column, where there is one
    'Words': 'Words are those of the reasoning.',
    'Helpful': 'Helpfulness by the rule that made the preference pairs, by the reward model trained against and by a '
               'second one.',
    'Harmless': 'Harmlessness is the share of answers to harmful questions that tell nothing harmful.'}


def _evaluations(run: load.Run) -> dict[str, dict[str, float]]:
  """Stage -> its scores, whichever later stage evaluated it."""
  stages = run.config.get('stages', []) if isinstance(run.config, dict) else []
  source = {(spec['name'], label): name for spec in stages if spec.get('run') == 'evaluate'
            for label, name in spec['inputs'].items()}
  names = {f'{number}_{spec["name"]}': spec['name'] for number, spec in enumerate(stages, 1)}
  found = {}
  for stage in run.stages:
    for row in stage.rows:
      name = source.get((names.get(stage.name), row.get('model')))
      for key, value in row.items() if name else ():
        match = load.EVALUATION.fullmatch(key)
        if match and load.number(value) is not None:  # the first task's scores, and what only general questions have
          if match['task'] != 'general' or match['score'] in GENERAL:
            found.setdefault(name, {}).setdefault(match['score'], value)
  return found


def _data(kind: str | None, facts: dict) -> str:
  """What went through a finished stage."""
  if kind in ('reject', 'cold_start'):
    return f'{_text(facts.get("samples_in"))} samples, {_text(facts.get("samples_out"))} kept'
  if kind == 'sft':
    epochs = facts.get('epochs')
    return f'{_text(facts.get("documents"))} documents' + ('' if epochs is None else f', {epochs:.3g} epochs')
  if kind in ('rl', 'evaluate'):
    asked = f'{_text(facts.get("questions"))} questions'
    asked += f' + {facts["general_questions"]} general' if facts.get('general_questions') else ''
    return f'{asked}, {_text(facts.get("samples"))} samples'
  if kind == 'preference':
    return f'{_text(facts.get("preferences"))} preferences, {_percent(facts.get("accuracy"))} % right'
  if kind == 'process':
    return f'{_text(facts.get("learned_from"))} answers, AUC on held-out steps {_decimals(facts.get("auc"))}'
  if kind == 'search':
    plain = [f'{name} {_percent(facts[key])}' for name, key in PLAIN.items() if key in facts]
    beside = f'; plain samples of as many tokens: {", ".join(plain)}' if plain else ''
    return f'{_text(facts.get("questions"))} questions, best {_percent(facts.get("pass@1"))} %{beside}'
  return NOTHING


NOTHING = '–'
PLAIN = {'pass@1': 'plain_pass@1', 'vote': 'plain_voted'}  # of stages/search.py's facts
GENERAL = ('helpfulness', 'helpful_model', 'second_model', 'harmlessness')  # scores that only general questions have
SCORES = {  # column -> how it reads in a stage's scores
    'pass@1': lambda of: _percent(of.get('pass@1')),
    'cons@k': lambda of: _percent(next((of[k] for k in of if k.startswith('cons@')), None)),
    'Length': lambda of: _text(of.get('length_tokens')),
    'Language': lambda of: _percent(of.get('language_consistency')),
    'Words': lambda of: NOTHING if load.number(of.get('words')) is None else f'{of["words"]:.1f}',
    'Helpful': lambda of: _percent(of.get('helpfulness')), 'its model': lambda of: _percent(of.get('helpful_model')),
    'second': lambda of: _percent(of.get('second_model')), 'Harmless': lambda of: _percent(of.get('harmlessness'))}


def _text(value) -> str:
  return NOTHING if load.number(value) is None else f'{value:,.0f}'


def _decimals(value) -> str:
  return NOTHING if load.number(value) is None else f'{value:.3f}'


def _percent(value) -> str:
  return NOTHING if load.number(value) is None else f'{100 * value:.1f}'


def side_by_side(run: load.Run) -> list[str]:
  """The same held-out questions answered after each stage: the first sample of each, nothing chosen."""
  if not run.entries:
    return []
  answers, asked = {}, {}
  files = []
  for stage in run.stages:
    for path in sorted((stage.path / 'eval').glob('*/samples.jsonl')):
      task, _, model = path.parent.name.partition('.')
      files.append((stage, task, model or 'final', path))  # the last model's folder has no '.MODEL'
  stages = collections.defaultdict(set)  # of (task, model): two searches may call theirs alike
  for stage, task, model, _ in files:
    stages[task, model].add(load.stage_of(stage.name, model))
  for stage, task, model, path in sorted(files, key=lambda of: load.ORDER.get(of[2], 1)):
    shown = load.told_apart(model, load.stage_of(stage.name, model), len(stages[task, model]))
    for row in load.attempt(run, _spread, path) or []:
      asked.setdefault((task, row['id']), row)
      answers.setdefault((task, row['id']), {})[shown] = {
          **row['samples'][0], 'prefill': row.get('prefill') or samples.prefill(run, stage.path, model)}
  body = []
  for key, row in asked.items():
    if len(answers[key]) < 2:
      continue
    gold = f' · answer {page.escape(row["gold"])}' if row.get('gold') else ''
    cells = ''.join(_answer(model, sample) for model, sample in answers[key].items())
    body.append(f'<div class="question"><h3>{page.escape(row.get("prompt"))}{gold}</h3>'
                f'<div class="answers">{cells}</div></div>')
  return [page.heading('The same questions after each stage'),
          '<p class="faint">The first sample of each model, none chosen.</p>', *body[:QUESTIONS],
          *([f'<details><summary>{len(body) - QUESTIONS} more questions</summary>', *body[QUESTIONS:], '</details>']
            if body[QUESTIONS:] else [])] if body else []


def _spread(path: pathlib.Path) -> list[dict]:
  """The first questions of a file; of general ones, the first of each opening word, so that kinds differ."""
  found, words = [], set()
  for row in itertools.islice(chunks.lines(path), LOOKED):  # a file may hold gigabytes
    given = [sample for sample in row.get('samples') or [] if isinstance(sample, dict)]
    word = str(row.get('prompt')).partition(' ')[0]
    if not given or (word in words and not row.get('gold')):
      continue
    words.add(word)
    found.append({**row, 'id': str(row.get('id')), 'samples': given[:1]})
    if len(found) == (QUESTIONS if row.get('gold') else 2 * QUESTIONS):
      break
  return found


def _answer(model: str, sample: dict) -> str:
  verdict = '' if sample.get('value') is not None else ('right' if sample.get('correct') else 'wrong')
  mark = f'<b class="{verdict}">{verdict}</b>' if verdict else f'<span>rule {sample["value"]:.2f}</span>'
  return (f'<article class="sample"><div class="facts"><b>{page.escape(model)}</b>{mark}'
          f'<span>{sample.get("tokens")} tokens</span></div>'
          f'<pre dir="auto"><span class="prefill">{page.escape(sample["prefill"])}</span>'
          f'{page.completion(str(sample.get("text"))[:CHARACTERS])}</pre></article>')
