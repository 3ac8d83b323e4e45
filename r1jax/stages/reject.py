"""Stage: rejection sampling from a checkpoint -> a data set for SFT (section 2.3.3).

n samples a prompt; kept are those that rewards accept (by rule, or by a generative judge where no rule can) and that no
filter turns away. Beside them go samples that are no reasoning. What is written is read by SFT, by people and by
others: data.jsonl, an ArrayRecord data set for tensorflow-datasets under tfds/, and the data card: card.json, card.md.
"""

import collections
import contextlib
import functools
import io
import logging
import os
import random
import re
import shutil

from r1jax.engine import checkpoint
from r1jax.data import corpus
from r1jax.data import formats
from r1jax.exceptions import UserError, about
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax.data import prompts
from r1jax.data import scenarios
from r1jax.stages import judging
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.rewards import format as form_lib
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import language
from r1jax.rewards import pool

log = logging.getLogger('r1jax')
COLUMNS = ('id', 'kind', 'prompt', 'completion', 'language')


FREE = ('batch', 'slots')  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.create(config.mesh)
  prompts.render(c.template, '')
  checking.task(tasks.only(c.task), f'{name}.task')
  judge_lib.create(c.judge.to_dict())
  if c.judge.kind == 'model':
    with about(f'{name}.judge.template', c.judge.template):
      prompts.render(c.judge.template, 'a question')


def check_files(config, name: str) -> None:
  """Raises UserError for questions, general samples or a judge that are not there, or do not work on this machine."""
  c = config[name]
  asked = judging.questions(c.task, key=f'{name}.task', split='train', template=c.template, judged=True)
  ruled = [row for row in asked if row.get('grader') != 'judge']
  if not ruled and not c.judge.kind and not c.general.source:
    raise UserError(f'{name}.task.source={c.task.source!r}: no rule can grade any of its {len(asked)} questions, and '
                    f"{name}.judge.kind is '': give a judge, 'endpoint' or 'model'")
  checking.graders(ruled)
  if c.general.source and c.general.source != 'scenarios' and not os.path.exists(c.general.source):
    raise UserError(f"{name}.general.source={c.general.source!r} is neither 'scenarios' nor a JSONL of "
                    '{"prompt", "completion"}')
  if c.general.source not in ('', 'scenarios'):
    corpus.from_jsonl(c.general.source)
  if c.judge.kind == 'model':
    with about(f'{name}.judge.checkpoint', c.judge.checkpoint):
      model, _, _ = common.load_model(c.judge.checkpoint)
      common.check_length(model, c.judge.max_prompt + c.judge.max_tokens, f'{name}.judge')
  if c.filters.language:
    judging.check_languages(asked, f'set {name}.filters.language=0')


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Samples from inputs['checkpoint'], filters, mixes, writes; returns the counts of the card."""
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  rows = judging.questions(c.task, split='train', template=c.template, judged=True)
  judge = judge_lib.create(c.judge.to_dict(), _in_process(config, c.judge, mesh))
  ruled = [row for row in rows if row.get('grader') != 'judge']
  asked = rows if judge else ruled
  if len(ruled) < len(rows) and not judge:
    log.warning('%s: no judge is configured: %d questions that no rule can grade are left out', name,
                len(rows) - len(ruled))
  judging.start({row.get('reward', 'math') for row in ruled}, ruled)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  asked = prompts.ready(asked, tokenizer, template=c.template, max_prompt=c.max_prompt)
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=c.samples, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=c.batch, temperature=c.temperature, top_p=c.top_p, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace)
  place = common.host_directory(workdir)
  progress = metrics.Progress(len(asked), name, os.path.join(place, 'log.txt'))
  batches = common.Batches(place)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges:
    params = common.load_sampling_params(model, step_dir, mesh)
    for sampled in generator(params, asked, first=batches.done('')):
      batches.add('', len(sampled.rows), *accepted(sampled, c, judges, judge))
      progress.update(batches.done(''), kept=batches.kept_count(''))
      common.stop_if_asked(name)
  kept, reasons = batches.kept, batches.reasons
  rng = random.Random(config.seed)
  reasoning = _take(kept, c.reasoning, rng)
  general = _general(c, rng)
  data = reasoning + general
  if not data:
    raise UserError(f'{name}: of {sum(reasons.values())} samples none was kept ({dict(reasons)}): '
                    'a stronger checkpoint, more samples or weaker filters are needed')
  rng.shuffle(data)
  card = {'sampled': len(asked) * c.samples, 'questions': len(asked), 'kept': len(kept),
          'turned_away': dict(reasons.most_common()), 'reasoning': len(reasoning),
          'general': dict(collections.Counter(row['kind'] for row in general)),
          'with_reasoning': sum(row['reasoned'] for row in data),
          'judge': c.judge.kind or 'none: rule-checked data only',
          **({'verdicts that the order changed, since the last start': judge.swapped} if judge else {})}
  write(workdir, data, card, title=name,
        prompt=prompts.record(c.template, prefill=c.task.get('prefill', ''), system=c.task.get('system', '')))
  return {'samples_in': card['sampled'], 'samples_out': len(data),
          **{k: card[k] for k in ('kept', 'turned_away', 'reasoning', 'general')}}


def _in_process(config, c, mesh):
  """prompt -> reply of the checkpoint c.checkpoint, greedily, for judge.kind='model'; else None."""
  if c.kind != 'model':
    return None
  model, tokenizer, step_dir = common.load_model(c.checkpoint, **common.computed(config, mesh))
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=1, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=mesh_lib.batch_shards(mesh), temperature=0.0, top_p=1.0, seed=0, name='judge')
  params = generator.arrange(common.load_sampling_params(model, step_dir, mesh))  # once, not for every question

  def ask(prompt: str) -> str:
    ids = prompts.ids(tokenizer, c.template, {'question': prompt})
    if len(ids) > c.max_prompt:  # two long answers: no verdict
      return ''
    return next(generator(params, [{'id': 'judge', 'question': prompt}])).texts[0][0]

  return ask


def accepted(sampled: sampling.Sampled, c, judges: pool.Pool, judge) -> tuple[list[dict], collections.Counter]:
  """The samples of a batch that stay, and why the others do not: reason -> count."""
  out, reasons = [], collections.Counter()
  by_rule = lambda row: row.get('grader') != 'judge'
  verdicts = iter(judges.score([
      (row.get('reward', 'math'), text, row) for row, texts in zip(sampled.rows, sampled.texts) if by_rule(row)
      for text in texts]))
  ended = ([c.stopped for c in group] for group in sampled.completions)
  for row, texts, stopped in zip(sampled.rows, sampled.texts, ended):
    seen, of_row = set(), []
    if by_rule(row):
      faults = [wrong(next(verdicts)) for _ in texts]
    else:
      same = judge.all_same(row['question'], row['answer'], [form_lib.summary(text, row) or '' for text in texts])
      faults = ['' if agrees else 'the judge cannot be read' if agrees is None else 'wrong' for agrees in same]
    for text, fault, ended in zip(texts, faults, stopped):
      why = ('cut at the limit' if not ended else fault or
             unreadable(text, row, c.filters) or ('duplicate' if text in seen else ''))
      if why:
        reasons[why] += 1
        continue
      seen.add(text)
      of_row.append({'id': row['id'], 'kind': 'reasoning',
                     'prompt': prompts.text(c.template, row),
                     'completion': text, 'language': row.get('language', 'en'),
                     'reasoned': bool(form_lib.reasoning(text, row).strip())})
    taken = of_row[:c.keep] if c.keep else of_row
    reasons['more than keep'] += len(of_row) - len(taken)
    out += taken
  return out, reasons


def wrong(verdict) -> str:
  """Why a rule's verdict turns a sample away, '' where it does not:
  a judge that failed has not said that it is wrong."""
  failed = verdict.reason.startswith(('error', 'timeout'))
  return 'no verdict' if failed else '' if verdict.value == 1.0 else 'wrong'


def unreadable(text: str, row: dict, filters) -> str:
  """Why a right sample is hard to read (section 2.3.3), '' where it is not.

  filters: format (the layout must match), language (least consistency), paragraph (longest, in characters; 0: any),
  code (code blocks in the reasoning are turned away). A language whose words cannot be told passes: `check` refuses it.
  """
  reasoning = form_lib.reasoning(text, row)
  if filters.format and not form_lib.of(row).matches(form_lib.full(text, row)):
    return 'format'
  if filters.language and language.measured(reasoning, row.get('language')) < filters.language:
    return 'mixed language'
  if filters.paragraph and max(map(len, re.split(r'\n\s*\n', reasoning))) > filters.paragraph:
    return 'long paragraph'
  if filters.code and ('```' in reasoning or re.search(r'(?m)^(?: {4}|\t)\S', reasoning)):
    return 'code block'
  return ''


def _take(rows: list[dict], wanted: int, rng: random.Random) -> list[dict]:
  """`wanted` of the rows (0: all), one question after the other, so that easy ones do not crowd out the rest."""
  if not wanted or len(rows) <= wanted:
    if wanted > len(rows):
      log.warning('%d reasoning samples wanted, %d kept: all are taken', wanted, len(rows))
    return rows
  turn = collections.Counter()
  order = []
  for row in rng.sample(rows, len(rows)):
    turn[row['id']] += 1
    order.append((turn[row['id']], len(order), row))
  return [row for _, _, row in sorted(order, key=lambda entry: entry[:2])[:wanted]]


def _general(c, rng: random.Random) -> list[dict]:
  """c.general.count samples that are no reasoning: written for the tiny world, or read from a user's file."""
  if not c.general.source:
    return []
  if c.general.source != 'scenarios':
    found = [{'prompt': prompt, 'completion': completion, 'kind': 'general', 'id': f'general-{i}', 'language': '',
              'reasoned': bool(formats.of_template(c.template).reasoning(completion))}
             for i, (prompt, completion) in enumerate(corpus.from_jsonl(c.general.source))]
    if len(found) < c.general.count:
      log.warning('%s has %d samples, %d are wanted: all are taken', c.general.source, len(found), c.general.count)
    return rng.sample(found, min(c.general.count, len(found)))
  form, out = formats.of_template(c.template), []
  questions = tasks.load('scenarios', size=0, seed=0, split='base')
  for i in range(c.general.count):
    row = questions[i % len(questions)]
    reasoning, summary = scenarios.written(row, rng, false=c.general.false, harm=c.general.harm)
    out.append({'id': f'{row["id"]}-{i}', 'kind': row['scenario'],
                'prompt': prompts.render(c.template, row['question']),
                'completion': form.write(reasoning, summary), 'language': 'en', 'reasoned': bool(reasoning)})
  return out


def write(workdir: str, data: list[dict], card: dict, *, title: str, prompt: dict) -> None:
  """data.jsonl, tfds/, the card and what its prompts are, each whole or not at all; on the first of several hosts."""
  if not mesh_lib.first_process():
    return
  languages = dict(collections.Counter(row['language'] or 'unknown' for row in data))
  card = {'samples': len(data), **card, 'languages': languages,
          'characters': {'completion': sum(len(row['completion']) for row in data) / len(data)}}
  _array_record(os.path.join(workdir, 'tfds'), data)
  checkpoint.write_json(os.path.join(workdir, 'card.json'), card)
  checkpoint.write_json(os.path.join(workdir, prompts.RECORD), prompt)
  lines = [f'# Data card of `{title}`', '', f'{len(data)} rows of `prompt`, `completion`, `kind`, `language`, `id`.',
           '', '| what | count |', '|---|---|']
  for key, value in card.items():
    items = value.items() if isinstance(value, dict) else [('', value)]
    lines += [f'| {key.replace("_", " ")}{": " + str(k) if k else ""} | '
              f'{round(v, 1) if isinstance(v, float) else v} |' for k, v in items]
  metrics.replace_file(os.path.join(workdir, 'card.md'), ('\n'.join(lines) + '\n').encode())
  metrics.replace_file(os.path.join(workdir, 'data.jsonl'), b''.join(metrics.encode(row) for row in data))


@functools.lru_cache(maxsize=1)
def _builder():
  """The tensorflow-datasets builder, a class that may be defined once a process."""
  import tensorflow_datasets as tfds  # takes a second to import, which other stages need not wait for

  class R1jaxSamples(tfds.core.GeneratorBasedBuilder):
    """Samples that a stage kept, and those mixed in."""
    VERSION = tfds.core.Version('1.0.0')
    name = 'r1jax_samples'
    rows = ()

    def _info(self):
      features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in COLUMNS})
      return tfds.core.DatasetInfo(builder=self, features=features, description=self.__doc__)

    def _split_generators(self, dl_manager):
      del dl_manager
      return {'train': self._generate_examples()}

    def _generate_examples(self):
      for i, row in enumerate(self.rows):
        yield i, {name: row[name] for name in COLUMNS}

  tfds.disable_progress_bar()
  return R1jaxSamples


def _array_record(directory: str, data: list[dict]) -> None:
  """The same rows for tfds.data_source('r1jax_samples', data_dir=directory), without TensorFlow."""
  shutil.rmtree(directory, ignore_errors=True)
  builder = _builder()(data_dir=directory, file_format='array_record')
  builder.rows = data
  with contextlib.redirect_stdout(io.StringIO()):  # it talks
    builder.download_and_prepare()
