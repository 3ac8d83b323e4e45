"""Stage: rejection sampling from a checkpoint -> a data set for SFT (section 2.3.3).

n samples a prompt; kept are those that rewards accept (by rule, or by a generative judge where no rule can) and that no
filter turns away. Beside them go samples that are no reasoning. What is written is read by SFT, by people and by
others: data.jsonl, an ArrayRecord data set for tensorflow-datasets under tfds/, and the data card: card.json, card.md.
"""

import collections
import contextlib
import functools
import importlib.util
import io
import json
import logging
import os
import random
import re
import shutil
from typing import Callable, Iterable, Iterator, NamedTuple

from r1jax.engine import json_files
from r1jax.data import documents
from r1jax.data import formats
from r1jax.exceptions import UserError
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import disk
from r1jax import metrics
from r1jax import terminal
from r1jax.data import prompts
from r1jax.data import scenarios
from r1jax.stages import judges as judges_lib
from r1jax.stages import gradable
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.rewards import format as form_lib
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import language
from r1jax.rewards import pool

log = logging.getLogger('r1jax')
COLUMNS = ('id', 'kind', 'prompt', 'completion', 'language')
SHARD_BYTES = 128 << 20  # of data.jsonl, a file of tfds/; tensorflow-datasets holds one of them


FREE = ('batch', 'slots')  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.create(config.mesh)
  prompts.render(c.template, '')
  checking.task(tasks.only(c.task), f'{name}.task')
  judges_lib.check(c.judge, f'{name}.judge')


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions, general samples or a judge that are not there, or do not work on this machine."""
  c = config[name]
  asked = gradable.questions(c.task, key=f'{name}.task', split='train', template=c.template, judged=True)
  ruled = [row for row in asked if row.get('grader') != 'judge']
  if not ruled and not judge_lib.kind_of(c.judge) and not c.general.source:
    raise UserError(f'{name}.task.source={c.task.source!r}: no rule can grade any of its {len(asked)} questions, and '
                    f'no judge is given: {judges_lib.ways(name)}')
  checking.graders(ruled)
  if c.general.source and c.general.source != 'scenarios' and not os.path.exists(c.general.source):
    raise UserError(f"{name}.general.source={c.general.source!r} is neither 'scenarios' nor a JSONL of "
                    '{"prompt", "completion"}')
  if c.general.source not in ('', 'scenarios'):
    collections.deque(documents.from_jsonl(c.general.source), maxlen=0)  # each line is one that can be read
  if len(ruled) < len(asked):
    judges_lib.check_files(c.judge, f'{name}.judge')
  if c.filters.language:
    gradable.check_languages(asked, f'set {name}.filters.language=0')
  return [checking.asked(c, name, asked)]


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Samples from inputs['checkpoint'], filters, mixes, writes; returns the counts of the card."""
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  rows = gradable.questions(c.task, split='train', template=c.template, judged=True)
  ruled = [row for row in rows if row.get('grader') != 'judge']
  judge = None
  if len(ruled) < len(rows):
    judge = judges_lib.create(config, c.judge, mesh, workdir)
    judges_lib.say(judge, c.judge, name, len(rows) - len(ruled), len(rows))
  asked = rows if judge else ruled
  gradable.start_graders(ruled)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  asked = prompts.ready(asked, tokenizer, template=c.template, max_prompt=c.max_prompt, key=f'{name}.max_prompt')
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=c.samples, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=c.batch, temperature=c.temperature, top_p=c.top_p, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace)
  place = common.host_directory(workdir)
  progress = terminal.Progress(len(asked), name, os.path.join(place, 'log.txt'))
  batches = common.Batches(workdir)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges:
    params = common.load_sampling_params(model, step_dir, mesh)
    for sampled in generator(params, asked, first=batches.done('')):
      batches.add('', len(sampled.rows), *accepted(sampled, c, judges, judge))
      progress.update(batches.done(''), kept=batches.kept_count(''))
      common.stop_if_asked(name)
  if not batches.kept_count() and not (c.general.source and c.general.count):
    raise UserError(f'{name}: of {sum(batches.reasons.values())} samples none was kept ({dict(batches.reasons)}): '
                    'a stronger checkpoint, more samples or weaker filters are needed')
  if not mesh_lib.first_process():
    return {}  # it has seen the same samples, and one host writes them
  mixed = _mixed(batches.kept_path, c, random.Random(config.seed))
  card = {'sampled': len(asked) * c.samples, 'questions': len(asked), 'kept': batches.kept_count(),
          'turned_away': dict(batches.reasons.most_common()), 'reasoning': mixed.reasoning, 'general': mixed.general,
          'judge': judge_lib.kind_of(c.judge) if judge else 'none: rule-checked data only',
          **({'verdicts that the order changed, since the last start': judge.swapped} if judge else {})}
  write(workdir, mixed.rows(), card, title=name,
        prompt=prompts.record(c.template, prefill=c.task.get('prefill', ''), system=c.task.get('system', '')))
  return {'samples_in': card['sampled'], 'samples_out': len(mixed.order),
          **{k: card[k] for k in ('kept', 'turned_away', 'reasoning', 'general')}}


def accepted(sampled: sampling.Sampled, c, judges: pool.Pool, judge) -> tuple[list[dict], collections.Counter]:
  """The samples of a batch that stay, and why the others do not: reason -> count."""
  out, reasons = [], collections.Counter()
  by_rule = lambda row: row.get('grader') != 'judge'
  verdicts = iter(judges.score([
      (row.get('reward', 'math'), text, row) for row, texts in zip(sampled.rows, sampled.texts) if by_rule(row)
      for text in texts]))
  # The judge is not asked of samples that would be turned away whatever it says.
  asked = [(i, g) for i, row in enumerate(sampled.rows) if not by_rule(row) for g, text in enumerate(sampled.texts[i])
           if sampled.completions[i][g].stopped and not unreadable(text, row, c.filters)]
  agreed = dict(zip(asked, judge.agree([
      (sampled.rows[i]['question'], sampled.rows[i]['answer'], judge_lib.final(sampled.texts[i][g], sampled.rows[i]))
      for i, g in asked]) if asked else ()))
  ended = ([c.stopped for c in group] for group in sampled.completions)
  for i, (row, texts, stopped) in enumerate(zip(sampled.rows, sampled.texts, ended)):
    seen, of_row = set(), []
    if by_rule(row):
      faults = [wrong(next(verdicts)) for _ in texts]
    else:
      faults = [_JUDGED[agreed.get((i, g), True)] for g in range(len(texts))]
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


_JUDGED = {True: '', False: 'wrong', None: 'the judge cannot be read'}


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


class Mixed(NamedTuple):
  """Rows of a data set, each read when its turn comes: what was kept may be more than memory holds."""
  order: list[tuple[Callable[[int], dict], int]]  # in which they are written: what reads a row, and its number
  reasoning: int
  general: dict[str, int]  # kind -> count

  def rows(self) -> Iterator[dict]:
    return (read(number) for read, number in self.order)


def _mixed(kept_path: str, c, rng: random.Random) -> Mixed:
  """c.reasoning of the samples that were kept and c.general.count others, shuffled."""
  kept = documents.Lines(kept_path)
  read = lambda number: json.loads(kept[number][0])
  ids = [read(number)['id'] if 0 < c.reasoning < len(kept) else '' for number in range(len(kept))]
  reasoning = _take(ids, c.reasoning, rng)
  general, kinds = _general(c, rng)
  order = [(read, number) for number in reasoning] + general
  rng.shuffle(order)
  return Mixed(order, len(reasoning), dict(kinds))


def _take(ids: list, wanted: int, rng: random.Random) -> list[int]:
  """The numbers of `wanted` samples (0: all), of which each has its question's id: one question after the other, so
  that easy ones do not crowd out the rest."""
  if not wanted or len(ids) <= wanted:
    if wanted > len(ids):
      log.warning('%d reasoning samples wanted, %d kept: all are taken', wanted, len(ids))
    return list(range(len(ids)))
  turn = collections.Counter()
  order = []
  for number in rng.sample(range(len(ids)), len(ids)):
    turn[ids[number]] += 1
    order.append((turn[ids[number]], len(order), number))
  return [number for _, _, number in sorted(order)[:wanted]]


def _general(c, rng: random.Random) -> tuple[list, collections.Counter]:
  """c.general.count samples that are no reasoning, as in Mixed.order, and how many there are of each kind: written for
  the tiny world, or read from a user's file."""
  if not c.general.source:
    return [], collections.Counter()
  if c.general.source != 'scenarios':
    lines, form = documents.Lines(c.general.source), formats.of_template(c.template)
    if len(lines) < c.general.count:
      log.warning('%s has %d samples, %d are wanted: all are taken', c.general.source, len(lines), c.general.count)

    def read(number: int) -> dict:
      line, at = lines[number]
      prompt, completion = documents.parse(line, c.general.source, at)
      return {'prompt': prompt, 'completion': completion, 'kind': 'general', 'id': f'general-{number}', 'language': '',
              'reasoned': bool(form.reasoning(completion))}

    chosen = rng.sample(range(len(lines)), min(c.general.count, len(lines)))
    return [(read, number) for number in chosen], collections.Counter(general=len(chosen))
  rows = _scenarios(c, rng)
  return [(rows.__getitem__, number) for number in range(len(rows))], collections.Counter(row['kind'] for row in rows)


def _scenarios(c, rng: random.Random) -> list[dict]:
  """Of the tiny world."""
  form, out = formats.of_template(c.template), []
  questions = tasks.load('scenarios', size=0, seed=0, split='base')
  for i in range(c.general.count):
    row = questions[i % len(questions)]
    reasoning, summary = scenarios.written(row, rng, false=c.general.false, harm=c.general.harm)
    out.append({'id': f'{row["id"]}-{i}', 'kind': row['scenario'],
                'prompt': prompts.render(c.template, row['question']),
                'completion': form.write(reasoning, summary), 'language': 'en', 'reasoned': bool(reasoning)})
  return out


def write(workdir: str, data: Iterable[dict], card: dict, *, title: str, prompt: dict) -> None:
  """data.jsonl, tfds/, the card and what its prompts are, each whole or not at all; on the first of several hosts.

  data: read once, a row at a time.
  """
  if not mesh_lib.first_process():
    return
  path, temporary = (os.path.join(workdir, name) for name in ('data.jsonl', '.data.jsonl.tmp'))
  languages, samples, reasoned, characters = collections.Counter(), 0, 0, 0
  disk.make(workdir)
  with open(temporary, 'wb') as f:
    for row in data:
      f.write(metrics.encode(row))
      languages[row['language'] or 'unknown'] += 1
      samples, reasoned = samples + 1, reasoned + bool(row['reasoned'])
      characters += len(row['completion'])
    f.flush()
    os.fsync(f.fileno())
  card = {'samples': samples, **card, 'with_reasoning': reasoned, 'languages': dict(languages),
          'characters': {'completion': characters / max(samples, 1)}}
  _array_record(os.path.join(workdir, 'tfds'), temporary)
  json_files.write(os.path.join(workdir, 'card.json'), card)
  json_files.write(os.path.join(workdir, prompts.RECORD), prompt)
  lines = [f'# Data card of `{title}`', '', f'{samples} rows of `prompt`, `completion`, `kind`, `language`, `id`.',
           '', '| what | count |', '|---|---|']
  for key, value in card.items():
    items = value.items() if isinstance(value, dict) else [('', value)]
    lines += [f'| {key.replace("_", " ")}{": " + str(k) if k else ""} | '
              f'{round(v, 1) if isinstance(v, float) else v} |' for k, v in items]
  metrics.replace_file(os.path.join(workdir, 'card.md'), ('\n'.join(lines) + '\n').encode())
  os.replace(temporary, path)


@functools.lru_cache(maxsize=1)
def _builder():
  """The tensorflow-datasets builder, a class that may be defined once a process.

  Its generator of whole splits would shuffle once more, and asks for TensorFlow where they are more than 1 GB.
  """
  import tensorflow_datasets as tfds  # takes a second to import, which other stages need not wait for

  class R1jaxSamples(tfds.core.ShardBasedBuilder):
    """Samples that a stage kept, and those mixed in."""
    VERSION = tfds.core.Version('1.0.0')
    name = 'r1jax_samples'
    path = ''  # of a JSONL of them

    def _info(self):
      features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in COLUMNS})
      return tfds.core.DatasetInfo(builder=self, features=features, description=self.__doc__)

    def _shard_iterators_per_split(self, dl_manager):
      del dl_manager
      lines = documents.Lines(self.path)
      return {'train': [functools.partial(_examples, lines, numbers) for numbers in lines.cut(SHARD_BYTES)]}

  tfds.disable_progress_bar()
  return R1jaxSamples


def _examples(lines: documents.Lines, numbers: range) -> Iterator[tuple[int, dict]]:
  for number in numbers:
    row = json.loads(lines[number][0])
    yield number, {name: row[name] for name in COLUMNS}


def _array_record(directory: str, path: str) -> None:
  """The rows of a JSONL for tfds.data_source('r1jax_samples', data_dir=directory), without TensorFlow; where
  the package is missing the log says that they are not written."""
  shutil.rmtree(directory, ignore_errors=True)
  if importlib.util.find_spec('tensorflow_datasets') is None:
    log.warning("%s is not written, data.jsonl has all of it: tensorflow-datasets is missing, pip install "
                "'r1jax[tfds]'", directory)
    return
  builder = _builder()(data_dir=directory, file_format='array_record')
  builder.path = path
  with contextlib.redirect_stdout(io.StringIO()):  # it talks
    builder.download_and_prepare()
