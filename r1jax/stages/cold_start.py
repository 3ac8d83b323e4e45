"""Stage: the paper's four sources of long chains of thought -> the cold start's data set (section 2.3.1).

  few_shot     a base model shown worked examples before the question
  reflection   a base model asked for reflection and verification
  zero         R1-Zero's own outputs, those that can be read
  (all three)  post-processing: white space, repeated sentences, a summary behind the reasoning

Kept is what is right, readable and new; each sample is rewritten in the format |special_token|<reasoning_process>|
special_token|<summary> (formats.py). Writes what reject.py writes: data.jsonl, tfds/, card.json, card.md.
"""

import collections
import functools
import json
import os
import random
import re

from r1jax.data import corpus
from r1jax.data import documents
from r1jax.data import formats
from r1jax.exceptions import UserError, about
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import terminal
from r1jax.data import prompts
from r1jax.stages import reject
from r1jax.stages import gradable
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.rewards import format as form_lib
from r1jax.rewards import math as math_lib
from r1jax.rewards import pool

SOURCES = {'few_shot': 'base', 'reflection': 'base', 'zero': 'zero'}  # source -> the input that is sampled from
_ENDS = re.compile(r'(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*')  # a point within a number is followed by no space


FREE = ('batch', 'slots')  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.create(config.mesh)
  formats.get(c.format)
  checking.task(tasks.only(c.task), f'{name}.task', sized=False)
  if not any(c[source].questions for source in SOURCES):
    raise UserError(f'{name} asks nothing: questions of {", ".join(f"{name}.{each}" for each in SOURCES)} are all 0')
  for key in ('ask', 'prefill'):
    if c.reflection.questions and 'en' not in c.reflection[key]:
      raise UserError(f"{name}.reflection.{key} has no 'en', which questions in other languages are asked with too")


def check_files(config, name: str) -> None:
  """Raises UserError for questions or worked examples that cannot be read, or not judged on this machine."""
  c = config[name]
  for source in SOURCES:
    rows = _rows(c, source, random.Random(0), name) if c[source].questions else []
    checking.graders(rows)
    if c.filters.language:
      gradable.check_languages(rows, f'set {name}.filters.language=0')


def _rows(c, source: str, rng: random.Random, name: str = '') -> list[dict]:
  """The questions of a source as they are put, each source its own: row['asked'] is the question alone. name: of the
  stage, for errors."""
  first = sum(c[other].questions for other in list(SOURCES)[:list(SOURCES).index(source)])
  rows = gradable.questions(c.task, key=name and f'{name}.task', split='train', template='r1_zero',
                            size=first + c[source].questions)[first:]
  if source == 'few_shot' and c.few_shot.examples != 'worked':
    with about(name and f'{name}.few_shot.examples', c.few_shot.examples):
      _examples(c.few_shot.examples)
  put = {'few_shot': lambda row: _shown(row, c.few_shot, rng), 'reflection': lambda row: _reflecting(row, c.reflection),
         'zero': lambda row: row}[source]
  return [{**put(row), 'asked': row['question']} for row in rows]


@functools.lru_cache(maxsize=1)
def _examples(path: str) -> list[dict]:
  """Worked examples of a user's file, read once and not for every question that they are shown before."""
  found = [e for _, e in tasks.json_lines(path)]
  missing = [i for i, e in enumerate(found, 1)
             if not isinstance(e, dict) or not {'question', 'reasoning', 'answer'} <= e.keys()]
  if missing:
    raise UserError(f'{path}: example {missing[0]} has not all of question, reasoning, answer')
  return found


def _shown(row: dict, c, rng: random.Random) -> dict:
  """The question behind c.shots worked examples, laid out as the base's own text is."""
  language = row.get('language', 'en')
  if c.examples == 'worked':  # the tiny base's textbook pages
    clean = corpus.Mixture(spoken=True, slip=0.0, boxed=1.0)

    def problem() -> str:
      terms = ''.join(f'{digit} {rng.choice("+-")} ' for digit in rng.choices(range(10), k=3))
      return terms + str(rng.randint(0, 9))

    pages = [f'{corpus.page({"expression": problem()}, rng, clean, language)} ' for _ in range(c.shots)]
    return {**row, 'question': f'{"".join(pages)}{row["expression"]}:'}
  found = _examples(c.examples)
  shown = [f'{prompts.render("r1_zero", e["question"])} {formats.get("r1_zero").write(e["reasoning"], e["answer"])}'
           for e in rng.sample(found, min(c.shots, len(found)))]
  return {**row, 'question': '\n\n'.join([*shown, prompts.render('r1_zero', row['question'])])}


def _reflecting(row: dict, c) -> dict:
  language = row.get('language', 'en')
  return {**row, 'question': row['question'] + c.ask.get(language, c.ask['en']),
          'prefill': c.prefill.get(language, c.prefill['en'])}


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Samples from inputs['base'] and inputs['zero'], keeps, rewrites, writes; returns the card's counts."""
  c = config[name]
  mesh, place = mesh_lib.create(config.mesh), common.host_directory(workdir)
  wanted = [source for source in SOURCES if c[source].questions]
  progress = terminal.Progress(len(wanted), name, os.path.join(place, 'log.txt'))
  batches = common.Batches(workdir)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges:
    for number, source in enumerate(wanted, 1):
      rows = _rows(c, source, random.Random(f'{config.seed} {source}'))
      model, tokenizer, step_dir = common.load_model(inputs[SOURCES[source]], **common.computed(config, mesh))
      generator = sampling.Generator(
          model, tokenizer, mesh, template='plain' if source == 'few_shot' else 'r1_zero', samples=c.samples,
          max_prompt=c.max_prompt, max_tokens=c.max_tokens, batch=c.batch, temperature=c.temperature, top_p=c.top_p,
          seed=config.seed, slots=c.slots, name=f'{name} {source}', grace=config.checkpoints.grace)
      params = common.load_sampling_params(model, step_dir, mesh)
      for sampled in generator(params, rows, first=batches.done(source)):
        batches.add(source, len(sampled.rows), *kept(sampled, source, c, judges))
        common.stop_if_asked(name)
      progress.update(number, source=source, kept=batches.kept_count())
  reasons, sampled_in = batches.reasons, sum(batches.done(source) for source in wanted) * c.samples
  if not batches.kept_count():
    raise UserError(f'{name}: none of {sampled_in} samples was kept ({dict(reasons)}): '
                    'a stronger base or weaker filters are needed')
  if not mesh_lib.first_process():
    return {}  # it has seen the same samples, and one host writes them
  lines = documents.Lines(batches.kept_path)
  order = list(range(len(lines)))
  random.Random(config.seed).shuffle(order)
  data = (json.loads(lines[number][0]) for number in order)
  facts = {'samples_in': sampled_in, 'samples_out': len(order),
           'sources': {source: batches.kept_count(source) for source in wanted},
           'turned_away': dict(reasons.most_common())}
  reject.write(workdir, data, {'sampled': sampled_in, **{f'kept from {k}': v for k, v in facts['sources'].items()},
                               'turned_away': facts['turned_away']}, title=name,
               prompt=prompts.record(formats.get(c.format).template))
  return facts


def kept(sampled: sampling.Sampled, source: str, c, judges: pool.Pool) -> tuple[list[dict], collections.Counter]:
  """The samples of a batch that are right, readable and new, rewritten; and why the others are not: reason -> count."""
  form, rewritten, reasons = formats.get(c.format), [], collections.Counter()
  for row, texts, completions in zip(sampled.rows, sampled.texts, sampled.completions):
    new = {**row, 'question': row['asked'], 'format': form.name, 'prefill': ''}
    speech = corpus.SPEECH.get(row.get('language') or 'en', corpus.SPEECH['en'])
    for text, ended in zip(texts, (c.stopped for c in completions)):
      text, ended = _first_answer(text, ended, source, c)
      parts = _parts(text, row, source, c) if ended else None
      if parts is None:
        reasons['no answer in the layout asked for' if ended else 'cut at the limit'] += 1
      else:
        rewritten.append((new, form.write(postprocess(parts[0]), speech.summary.format(parts[1]))))
  verdicts = judges.score([(row.get('reward', 'math'), completion, row) for row, completion in rewritten])
  out, taken = [], collections.Counter()
  seen = set()
  for (row, completion), verdict in zip(rewritten, verdicts):
    why = (reject.wrong(verdict) or reject.unreadable(completion, row, c.filters)
           or ('duplicate' if (row['id'], completion) in seen else '')
           or ('more than keep' if c.keep and taken[row['id']] >= c.keep else ''))
    if why:
      reasons[why] += 1
      continue
    seen.add((row['id'], completion))
    taken[row['id']] += 1
    out.append({'id': f'{source}-{row["id"]}', 'kind': source, 'prompt': prompts.render(form.template, row['question']),
                'completion': completion, 'language': row.get('language') or 'en', 'reasoned': True})
  return out, reasons


def _first_answer(text: str, ended: bool, source: str, c) -> tuple[str, bool]:
  """A base that was shown examples goes on with a question of its own:
  its answer is what comes before, and it has ended."""
  before, found, _ = text.partition('</answer>')
  if source == 'few_shot' and c.few_shot.examples != 'worked' and found:
    return before + found, True
  return text, ended


def _parts(text: str, row: dict, source: str, c) -> tuple[str, str] | None:
  """(reasoning, answer) of a sample as it came; None where it is not laid out as asked."""
  if source == 'few_shot' and c.few_shot.examples == 'worked':  # a textbook page, with the answer in a box or without
    found = re.fullmatch(r'([^.]*= (-?\d+))\.(?:[^.]*\\boxed\{ (-?\d+) \}[.\u3002])?\s*', text)
    opening = corpus.SPEECH[row.get('language', 'en')].opening
    return (f'{opening}{found[1]}.', found[3] or found[2]) if found else None
  tagged = formats.get('r1_zero')
  row = {**row, 'format': tagged.name}
  answer = math_lib.extract(text, row)
  if answer is None or not tagged.matches(form_lib.full(text, row)):
    return None
  return form_lib.reasoning(text, row), answer


def postprocess(reasoning: str) -> str:
  """White space tidied, a sentence that says the one before again left out, a full stop at the end."""
  lines = []
  for line in reasoning.strip().splitlines():
    sentences = _ENDS.split(' '.join(line.split()))
    kept_ = [s for before, s in zip([None, *sentences], sentences) if s and s != before]
    lines.append(''.join(s + (' ' if s[-1] in '.!?' else '') for s in kept_).strip())
  text = re.sub(r'\n{3,}', '\n\n', '\n'.join(lines)).strip()
  return text if text.endswith(('.', '!', '?', '\u3002', '\uff01', '\uff1f')) else f'{text}.'
