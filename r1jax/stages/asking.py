"""Several tasks asked of one model over one set of slots; a question's samples are on disk as soon as they are judged.

A directory eval/TASK of an evaluation holds
  settings.json    samples, temperature, top_p, max_tokens: how it is asked
  questions.jsonl  the rows that are asked, with what grades them
  samples.jsonl    a record a question, appended as it is judged, in order once all are there: what rescore.py reads
  scores.json      written last: where it stands the task is finished
The first of several hosts writes it, and tells the others what stands there: they may be more or fewer at each start.
"""

import collections
from concurrent import futures
import contextlib
import itertools
import json
import logging
import os
from typing import Callable, Iterator, NamedTuple

from r1jax import disk
from r1jax import metrics
from r1jax import stopping
from r1jax import terminal
from r1jax.data import formats
from r1jax.data import prompts
from r1jax.engine import json_files
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import pool
from r1jax.stages import common
from r1jax.stages import grading
from r1jax.stages import judges as judges_lib
from r1jax.stages import gradable
from r1jax.stages import sampling
from r1jax.stages import scoring
from r1jax.types import Request

log = logging.getLogger('r1jax')

SETTINGS, QUESTIONS, SAMPLES, SCORES = 'settings.json', 'questions.jsonl', 'samples.jsonl', 'scores.json'


class Task(NamedTuple):
  """What one directory below eval/ holds."""
  name: str
  rows: list[dict]
  template: str
  directory: str
  samples: int  # of each question
  max_tokens: int = 0  # of a sample, where that is less than the evaluation's; 0: as that
  score: Callable = scoring.scores  # (records, rows, settings, name) -> scores.json


class Records:
  """samples.jsonl of a task that is asked: what stands there is gone on with."""

  def __init__(self, task: Task, settings: dict):
    """settings: n_samples, temperature, top_p, max_tokens. Hosts call it together; the first one's directory counts.

    Raises:
      UserError: what stands there answers other questions, or has not n samples of each.
    """
    # As JSON has them, now and when they are read again: what a grader sees is then the same.
    self.task = task._replace(rows=json.loads(json.dumps(task.rows, default=str)))
    self.settings, self._path = settings, os.path.join(task.directory, SAMPLES)
    self._at: dict[int, tuple[int, int]] = {}  # question -> where its line begins, and its bytes
    self._slim: dict[int, dict] = {}  # records without texts
    self.said, self.right, self.tokens = 0, 0.0, 0  # samples, of them right, and their tokens
    for entry in common.told_by_first(self._standing):
      self._note(*entry)
    self._writes = mesh_lib.first_process()

  def _standing(self) -> list:
    """[record without texts, where its line begins, its bytes] of each question that has its samples; what a kill left
    half written is taken out."""
    disk.make(self.task.directory)
    self._keep_questions()
    return self._read()

  def _keep_questions(self) -> None:
    path, asked = os.path.join(self.task.directory, QUESTIONS), lambda row: (str(row['id']), row['question'])
    if os.path.exists(path) and os.path.exists(self._path):
      before = [asked(row) for row in rows_of(path)]
      if before != (now := [asked(row) for row in self.task.rows]):
        other = next((b for a, b in zip(before, now) if a != b), None)
        raise UserError(f'{self.task.directory} was begun with {len(before)} questions, now {len(now)}'
                        + (f', of which {other[0]!r} is another' if other else '') + ': move it away, or take another '
                        '--workdir')
      return
    rows = (json.dumps(row, ensure_ascii=False).encode('utf-8', errors='replace') + b'\n' for row in self.task.rows)
    metrics.replace_file(path, b''.join(rows))

  def _read(self) -> list:
    found, end = [], 0
    if disk.exists(self._path):
      with open(self._path, 'rb') as f:
        for place, line in enumerate(itertools.takewhile(lambda line: line.endswith(b'\n'), f), 1):
          try:
            found.append((slim(json.loads(line)), end, len(line)))
          except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f'{self._path}, line {place}: corrupt ({e}): move {self.task.directory} away') from e
          end += len(line)
      os.truncate(self._path, end)
    return found

  def _note(self, record: dict, start: int, size: int) -> None:
    number, n = record.get('number'), self.settings['n_samples']
    if not isinstance(number, int) or not 0 <= number < len(self.task.rows):
      raise UserError(f'{self._path}: question {record.get("id")!r} has number={number!r} of {len(self.task.rows)}: '
                      f'move {self.task.directory} away')
    if number in self._at:
      raise UserError(f'{self._path}: question {record["id"]!r} has samples twice')
    if len(record['samples']) != n:
      raise UserError(f'{self._path}: question {record["id"]!r} has {len(record["samples"])} samples, {n} wanted')
    self._at[number] = start, size
    self._slim[number] = record
    self.said += n
    self.right += sum(s.get('value', float(s['correct'])) for s in record['samples'])
    self.tokens += sum(s['tokens'] for s in record['samples'])

  @property
  def missing(self) -> list[int]:
    """Questions without samples."""
    return [i for i in range(len(self.task.rows)) if i not in self._at]

  @property
  def done(self) -> int:
    return len(self._at)

  @property
  def whole(self) -> bool:
    return len(self._at) == len(self.task.rows)

  def add(self, number: int, record: dict) -> None:
    """On disk when this returns on the first host."""
    start, size = next(reversed(self._at.values()), (0, 0))  # lines follow one another
    start += size
    line = metrics.encode({'number': number, **record})
    self._note(slim({'number': number, **record}), start, len(line))
    if self._writes:
      with open(self._path, 'ab') as f:
        f.write(line)
        f.flush()
        os.fsync(f.fileno())

  def finish(self, **facts) -> dict:
    """samples.jsonl in order, then scores.json, which is returned; facts: of how it was sampled, for scores.json."""
    order = sorted(self._at)
    if self._writes and order != list(self._at):
      with open(self._path, 'rb') as f, replaced(self._path) as out:
        for number in order:
          start, size = self._at[number]
          f.seek(start)
          out.write(f.read(size))
    result = self.task.score([self._slim[i] for i in order], self.task.rows, self.settings, self.task.name) | facts
    json_files.write(os.path.join(self.task.directory, SCORES), result)
    return result


def rows_of(path: str) -> list[dict]:
  """Of a questions.jsonl."""
  with open(path, encoding='utf-8') as f:
    return [json.loads(line) for line in f]


def slim(record: dict) -> dict:
  """Without texts: what scores are made of."""
  return {**record, 'samples': [{k: v for k, v in s.items() if k != 'text'} for s in record['samples']]}


@contextlib.contextmanager
def replaced(path: str):
  """A file that takes the place of another one when it is whole; of a kill one name alone is left behind."""
  temporary = f'{path}.tmp'
  with open(temporary, 'wb') as f:
    yield f
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)


class Evaluation:
  """Tasks asked of one model, whose questions follow one another into the slots, so that none waits for another's tail.

  A sample's randomness is of the evaluation's name, the question's place in its task and the sample's own number: a
  task alone says what it says in company.

  Attributes:
    slot_use: live rows / rows over the decode steps of this start; None where nothing was sampled.
  """

  def __init__(self, model, tokenizer, mesh, tasks: list[Task], *, log_path: str | None = None, stream=None,
               said: str = '', judge=None, judge_model: str = '', key: str = 'max_prompt', **settings):
    """
    Args:
      said: what the line of progress calls it; the name, if not given.
      judge: rewards.judge.Judge, for rows whose reward is 'judge'; judge_model: its name, for scores.json.
      key: of max_prompt, as a person knows it.
      settings: what sampling.Generator takes, but template and samples. slots: of all tasks together.

    Raises:
      UserError: no questions, prompts that do not fit, a grader that does not work here, no judge for what needs one.
    """
    self._judge, self._judge_model = judge, judge_model
    self._model, self._tokenizer, self._mesh, self._settings = model, tokenizer, mesh, settings
    self._log_path, self._stream, self._name = log_path, stream, settings.get('name', 'evaluate')
    self._key = key
    self._said, self._steps, self._live, self._slots = said or self._name, 0, 0, 1
    self.tasks = [self._ready(task) for task in tasks]
    rows = [row for task in self.tasks for row in task.rows]
    gradable.start_graders(rows)

  def _ready(self, task: Task) -> Task:
    if not task.rows:
      raise UserError(f'{task.name}: no questions to evaluate on')
    form = formats.of_template(task.template).name
    if self._judge is None and any(map(judge_lib.needed, task.rows)):
      raise UserError(f'{task.name} needs a judge, and none is given')
    rows = [{**row, 'format': form} for row in task.rows]
    rows = prompts.ready(rows, self._tokenizer, template=task.template, max_prompt=self._settings['max_prompt'],
                         key=self._key)
    return task._replace(rows=rows, max_tokens=min(task.max_tokens or self._settings['max_tokens'],
                                                   self._settings['max_tokens']))

  @property
  def slot_use(self) -> float | None:
    return self._live / (self._steps * self._slots) if self._steps else None

  def __call__(self, params: Callable) -> Iterator[tuple[Task, dict]]:
    """(task, scores.json) of each as its last question ends; first of those that stand.

    Args:
      params: gives the weights as a sampler takes them; called where something is sampled.

    Raises:
      UserError: what stands in a directory cannot be gone on with.
      Stopped: the run was asked to stop; what is judged is kept.
    """
    open_ = []
    for task, scores in zip(self.tasks, common.told_by_first(self._standing)):
      if scores is None:
        open_.append(self._records(task))
      else:
        log.info('%s: %s stands: skipped', self._said, task.name)
        yield task, scores
    if not open_:
      return
    done, total = sum(r.done for r in open_), sum(len(r.task.rows) for r in open_)
    if done:
      log.info('%s: resuming, %d of %d questions have their samples', self._said, done, total)
    progress = terminal.Progress(total, self._said, self._log_path, self._stream)
    together = collections.defaultdict(list)  # what ends an answer is compiled into the sampler
    for records in open_:
      together[prompts.eos_ids(self._tokenizer, records.task.template)].append(records)
    with (pool.Pool(workers=os.cpu_count() or 2) as judges, contextlib.closing(progress.start(done)),
          futures.ThreadPoolExecutor(1, thread_name_prefix='grading') as thread,
          contextlib.closing(grading.Together(lambda asked: grading.records(judges_lib.Pool(judges, self._judge), [
              (row, grading.as_said(self._tokenizer, completions)) for row, completions in asked]))) as together_):
      judged = judges_lib.Shared(together_)

      def graded(row, completions) -> futures.Future:
        if judge_lib.needed(row):
          return judged.submit(row, completions)  # a rule's verdict waits for no server
        return thread.submit(self._graded, judges, row, completions)

      for some in together.values():
        yield from self._sampled(params, some, graded, judged.share, lambda: _show(progress, open_))

  def _standing(self) -> list[dict | None]:
    """scores.json of each task that is finished."""
    return [json_files.read(os.path.join(task.directory, SCORES)) for task in self.tasks]

  def _records(self, task: Task) -> Records:
    settings = {key: self._settings[key] for key in ('temperature', 'top_p')} | {'max_tokens': task.max_tokens}
    settings |= {'judge_model': self._judge_model} if any(map(judge_lib.needed, task.rows)) else {}
    path = os.path.join(task.directory, SETTINGS)
    if mesh_lib.first_process() and not os.path.exists(path):
      os.makedirs(task.directory, exist_ok=True)
      json_files.write(path, {'samples': task.samples, **settings, 'template': task.template})
    return Records(task, {'n_samples': task.samples, **settings})

  def _sampled(self, params: Callable, open_: list[Records], graded: Callable, share: Callable, shown: Callable):
    """Tasks asked by one sampler; graded: (row, completions) -> the record, a Future; share: of judges.Shared."""
    for records in open_:
      if records.whole:  # ended between its last sample and its scores
        yield records.task, records.finish(slot_use=None)
    of, requests = [], []
    for records in open_:
      task = records.task
      encoded = prompts.encode(task.rows, self._tokenizer, template=task.template,
                               max_prompt=self._settings['max_prompt'])
      for i in records.missing:
        numbers = tuple(range(i * task.samples, (i + 1) * task.samples))
        limits = (task.max_tokens,) * task.samples if task.max_tokens < self._settings['max_tokens'] else None
        requests.append(Request(len(of), encoded[i], numbers, limits=limits))
        of.append((records, i))
    if not requests:
      return
    generator = sampling.Generator(self._model, self._tokenizer, self._mesh, template=open_[0].task.template,
                                   samples=max(records.task.samples for records in open_), **self._settings)
    waiting, run = [], generator.begin(params(), requests)
    begun, self._slots = (self._steps, self._live), generator.slots

    def recorded(wait: bool):
      failed = None
      while waiting:
        if not (ended := [each for each in waiting if each[2].done()]):
          if not wait:
            break
          futures.wait([job for *_, job in waiting], return_when=futures.FIRST_COMPLETED)
        for records, number, job in ended:
          waiting.remove((records, number, job))
          if job.exception():  # what others have found is kept first
            failed = failed or job.exception()
            continue
          records.add(number, job.result())
          shown()
          if records.whole:
            yield records.task, records.finish(slot_use=self.slot_use)
      if failed:
        raise failed

    try:
      for ended, (group, completions) in enumerate(run, 1):
        self._steps, self._live = begun[0] + run.steps, begun[1] + run.live
        records, number = of[group]
        waiting.append((records, number, graded(records.task.rows[number], completions)))
        share()
        yield from recorded(wait=False)
        if ended < len(requests) and hosts.stop_asked():
          raise stopping.Stopped(f'{self._name} stopped between two questions')
      if run.interrupted:
        raise stopping.Stopped(f'{self._name} stopped within questions, which are sampled again')
    except stopping.Stopped:
      share(wait=True)
      collections.deque(recorded(wait=True), maxlen=0)
      raise
    self._steps, self._live = begun[0] + run.steps, begun[1] + run.live
    share(wait=True)
    yield from recorded(wait=True)

  def _graded(self, judges, row: dict, completions) -> dict:
    return grading.records(judges, [(row, grading.as_said(self._tokenizer, completions))])[0]


def _show(progress: terminal.Progress, open_: list[Records]) -> None:
  said = sum(records.said for records in open_)
  progress.update(sum(records.done for records in open_), accuracy=sum(records.right for records in open_) / said,
                  length=sum(records.tokens for records in open_) / said)
