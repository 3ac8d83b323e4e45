"""Stage: n samples a question -> pass@1, pass@k, cons@k, length. ../evaluate.py is the command, asking.py what both
share."""

import functools
import logging
import os
from typing import Callable, NamedTuple

from r1jax import limits
from r1jax import metrics
from r1jax.data import formats
from r1jax.data import general as general_lib
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import pool
from r1jax.stages import asking
from r1jax.stages import benchmarks
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.stages import grading
from r1jax.stages import judges as judges_lib
from r1jax.stages import gradable
from r1jax.stages import reward_model
from r1jax.stages import sampling
from r1jax.stages import scoring

log = logging.getLogger('r1jax')


class Evaluator:
  """Samples and grades a fixed set of questions; the compiled sampler is kept between calls."""

  def __init__(self, model, tokenizer, mesh, rows, *, template: str, key: str = 'max_prompt', **settings):
    """settings: what sampling.Generator takes. key: of its max_prompt in the config."""
    if not rows:
      raise UserError('no questions to evaluate on')
    if any(map(judge_lib.needed, rows)):
      raise UserError('questions for a judge are asked by a stage of their own, not while a model is trained')
    rows = [{**row, 'format': formats.of_template(template).name} for row in rows]
    self.rows = prompts.ready(rows, tokenizer, template=template, max_prompt=settings['max_prompt'], key=key)
    gradable.start({row.get('reward', 'math') for row in rows}, self.rows)
    self._pool = pool.Pool(workers=os.cpu_count() or 2)
    self._generator = sampling.Generator(model, tokenizer, mesh, template=template, **settings)
    self.settings = self._generator.settings

  def close(self) -> None:
    self._pool.close()

  def __call__(self, params) -> list[dict]:
    """One record a question, as in samples.jsonl; params as a sampler takes them (params_lib.to_sampling)."""
    return [record for batch in self.by_batch(params) for record in batch]

  def by_batch(self, params, first: int = 0):
    """The same, a list for each batch of questions, from question `first` on."""
    for sampled in self._generator(params, self.rows, first):
      yield self._grade(sampled)

  def _grade(self, sampled: sampling.Sampled) -> list[dict]:
    rows, texts, completions = sampled
    said = [[grading.Said(text, len(c.tokens), 'stop' if c.stopped else 'length') for text, c in zip(*of)]
            for of in zip(texts, completions)]
    return grading.records(self._pool, list(zip(rows, said)))


def write(directory: str, records: list[dict], result: dict) -> None:
  """samples.jsonl and scores.json of one evaluation; by the first of several hosts."""
  if not mesh_lib.first_process():
    return
  os.makedirs(directory, exist_ok=True)
  metrics.replace_file(os.path.join(directory, 'samples.jsonl'), b''.join(metrics.encode(record) for record in records))
  json_files.write(os.path.join(directory, 'scores.json'), result)


def rows_during(config, c) -> list[dict]:
  """The first c.eval_questions held-out questions of the first task, which a stage of RL asks on its way."""
  return _rows(*_named(config.evaluate)[0], c.template)[:c.eval_questions]


def during_training(config, c, name: str, model, tokenizer, mesh):
  """params -> the entries of figure 2, from rows_during, c.eval_samples of each; None if eval_every is 0. It raises
  Stopped within it, checkpoints.grace seconds after SIGTERM. name: of c in the config."""
  if not c.eval_every:
    return None
  rows = rows_during(config, c)
  of, batch = config.evaluate, min(config.evaluate.batch, len(rows))
  slots = of.slots or batch * c.eval_samples
  evaluator = Evaluator(
      model, tokenizer, mesh, rows, template=c.template, key=f'{name}.max_prompt', samples=c.eval_samples,
      max_prompt=c.max_prompt, max_tokens=limits.longest(c.max_tokens), batch=batch, temperature=of.temperature,
      top_p=of.top_p, seed=config.seed, slots=min(slots, limits.shortest(c.slots or slots)),  # beside the trained state
      grace=config.checkpoints.grace)
  return lambda params: scoring.as_metrics(
      scoring.scores(evaluator(params), evaluator.rows, evaluator.settings, rows[0]['task']))


FREE = ('batch', 'slots')  # keys that change nothing it makes


def all_tasks(c, name: str = 'evaluate') -> list[tuple]:
  """(task, its key in the config) of c.task, where it has a source or stands alone, and of those of c.tasks.

  Raises:
    UserError: a key that no task has.
  """
  given = c.get('tasks', ())
  if not all(isinstance(one, str) or hasattr(one, 'items') for one in given):
    raise UserError(f"{name}.tasks={given!r}: wants sources or tasks, as ('aime_2024', {{'source': 'jsonl:FILE'}})")
  more = tasks.several(list(given)) if given else []
  first = tasks.only(c.task)
  return [*([(first, f'{name}.task')] if first.source or not more else []),
          *((task, f'{name}.tasks[{i}]') for i, task in enumerate(more))]


def _named(c, name: str = 'evaluate') -> list[tuple]:
  """(what metrics and directories call it, task, key) of all_tasks; the second of a name is NAME_2."""
  found = {}
  for task, key in all_tasks(c, name):
    short = tasks.name_of(task.source)
    found[next(n for n in (short, *(f'{short}_{i}' for i in range(2, 2 + len(found)))) if n not in found)] = task, key
  return [(short, task, key) for short, (task, key) in found.items()]


def names(c, name: str = 'evaluate') -> list[str]:
  """What metrics call its tasks, those of general questions behind the others."""
  return [*(short for short, _, _ in _named(c, name)), *([scoring.GENERAL] if c.general.models else [])]


def _rows(name: str, task, key: str, template: str) -> list[dict]:
  """key: of the task in the config, for errors."""
  return [{**row, 'task': name} for row in gradable.questions(task, key=key, split='heldout', template=template)]


def check_tasks(c, name: str) -> None:
  """Raises UserError for what no row of c.task and c.tasks is needed to see."""
  for task, key in all_tasks(c, name):
    checking.task(task, key)
    if key != f'{name}.task' and not task.source:
      raise UserError(f"{key}.source='': give questions, as jsonl:FILE")
    if key != f'{name}.task' and task.share:
      raise UserError(f'{key}.share={task.share}: an evaluation asks all of each task, take it out')


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.create(config.mesh)
  for template in (c.template, *c.templates.values()):
    prompts.check(template)
  check_tasks(c, name)
  judges_lib.check(c.judge, f'{name}.judge')
  if judge_lib.kind_of(c.judge) == 'model' and any(benchmarks.judged(task.source) for task, _ in all_tasks(c, name)):
    raise UserError(f'{name}.judge.checkpoint={c.judge.checkpoint!r}: an evaluation asks its judge by an '
                    f'endpoint: r1jax serve --checkpoint={c.judge.checkpoint} --port=8000, and {_way(name)}')
  if c.general.models:
    for task, key in all_tasks(c, name):
      if tasks.name_of(task.source) == scoring.GENERAL:
        raise UserError(f'{key}.source={task.source!r} would be written where general questions are: '
                        'rename the file')
    general_lib.check(c.general, f'{name}.general')


def _way(name: str) -> str:
  return f'{name}.judge.url=http://HOST:8000/v1 and {name}.judge.model=NAME'


def _left_out(c, name: str) -> dict[str, str]:
  """benchmarks.left_out of the tasks."""
  why = judges_lib.none_for_evaluation(judge_lib.kind_of(c.judge), _way(name))
  return benchmarks.left_out({short: task.source for short, task, _ in _named(c, name)}, why)


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions that cannot be read or judged on this machine, or a judge that does not answer."""
  c = config[name]
  lacking, judged = _left_out(c, name), judge_lib.kind_of(c.judge) == 'endpoint'
  asked = [row for short, task, key in _named(c, name) if short not in lacking
           for row in _rows(short, task, key, c.template)]
  needing = next((row for row in asked if judge_lib.needed(row)), None)
  if needing and not judged:
    raise UserError(f'{needing["task"]} needs a judge: {_way(name)}')
  checking.graders(asked, judged=judged)
  if needing:
    judges_lib.check_files(c.judge, f'{name}.judge')
  if c.general.models:
    general_lib.questions(c.general, seed=c.task.seed, split='heldout', template=c.template, key=f'{name}.general')
  return [checking.asked(c, name, asked)]


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Evaluates each checkpoint of `inputs` (model name -> path) on all tasks at once, and once more where the config
  gives it a prefill.

  Inputs named reward_NAME are reward models: they speak of the answers to c.general, which c.general.models are asked.
  A stage that was interrupted goes on with the questions that have no samples: pipeline.py moves away what other inputs
  gave.
  """
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  judges = {key.removeprefix('reward_'): path for key, path in inputs.items() if key.startswith('reward_')}
  inputs = {key: path for key, path in inputs.items() if not key.startswith('reward_')}
  lacking = _left_out(c, name)
  asked = [(short, _rows(short, task, key, c.template)) for short, task, key in _named(c, name) if short not in lacking]
  place, questions = common.host_directory(workdir), sum(len(rows) for _, rows in asked)
  judge, needing = None, sum(judge_lib.needed(row) for _, rows in asked for row in rows)
  if needing:
    judge = judges_lib.for_evaluation(c.judge.to_dict(), workdir, config.checkpoints.grace)
    judges_lib.say(judge, c.judge, name, needing, questions)
  runs = [(label, path, '') for label, path in inputs.items()]
  runs += [(f'{label}_worked', inputs[label], prefill) for label, prefill in c.prefill.items() if label in inputs]
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), metrics.Writer(place, name) as writer:
    writer.truncate(-1)
    for number, (label, path, prefill) in enumerate(runs, 1):
      model, tokenizer, step_dir = common.load_model(path, **common.computed(config, mesh))
      one = _Model(label, model, tokenizer, mesh, functools.cache(
          lambda model=model, step_dir=step_dir: common.load_sampling_params(model, step_dir, mesh)), judge)
      for short, why in lacking.items():
        benchmarks.note(one.directory(workdir, short), short, why)
      results = _evaluated(config, c, name, workdir, one, asked, prefill)
      row = {'model': label}
      for result in results:
        row |= scoring.as_metrics(result)
        log.info('%s %d of %d: %s%s: %s %.3f, %.1f tokens', name, number, len(runs), label,
                 f', {result["task"]}' if len(results) > 1 else '', *scoring.headline(result), result['length_tokens'])
      if results[-1].get('slot_use') is not None:
        row['rollout/slot_use'] = results[-1]['slot_use']
      if label in c.general.models:
        scored = _general(config, c, name, workdir, one, judges)
        row |= {f'eval/{scoring.GENERAL}/{k}': v for k, v in scored.items() if isinstance(v, float) and k != 'slot_use'}
      writer.write(int(os.path.basename(step_dir)), row)
  return {'questions': questions, 'samples': questions * c.samples, 'models': len(runs)}


class _Model(NamedTuple):
  """What is evaluated."""
  label: str
  model: object
  tokenizer: object
  mesh: object
  params: Callable
  judge: judge_lib.Judge | None

  def directory(self, workdir: str, task: str) -> str:
    return os.path.join(workdir, 'eval', task + ('' if self.label == 'final' else f'.{self.label}'))


def _evaluation(config, c, workdir: str, one: _Model, asked: list[asking.Task], name: str, **more) -> asking.Evaluation:
  return asking.Evaluation(
      one.model, one.tokenizer, one.mesh, asked, log_path=os.path.join(common.host_directory(workdir), 'log.txt'),
      max_tokens=c.max_tokens,
      batch=c.batch, temperature=c.temperature, top_p=c.top_p, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace,
      judge=one.judge, judge_model=c.judge.model, **more)


def _evaluated(config, c, name: str, workdir: str, one: _Model, asked: list, prefill: str) -> list[dict]:
  """scores.json of each task, in the tasks' order."""
  template = c.templates.get(one.label, c.template)
  prompts.warn_if_other(one.tokenizer, template, name)
  several = [asking.Task(task, [{**row, 'prefill': prefill} for row in rows] if prefill else rows, template,
                         one.directory(workdir, task), c.samples) for task, rows in asked]
  evaluation = _evaluation(config, c, workdir, one, several, f'{name} {one.label}', key=f'{name}.max_prompt',
                           max_prompt=c.max_prompt + (16 if prefill else 0))
  found = {task.name: result for task, result in evaluation(one.params)}
  return [found[task] for task, _ in asked]


def _general(config, c, name: str, workdir: str, one: _Model, judges: dict[str, str]) -> dict:
  """Questions without a right answer: what rules and reward models say of the answers.

  NAME_model: mean reward of the reward model reward_NAME, on what it is for; the rest by scoring.general.
  """
  template = c.templates.get(one.label, c.template)
  rows = general_lib.questions(c.general, seed=c.task.seed, split='heldout', template=template)
  rows = [{**row, 'task': scoring.GENERAL} for row in rows]
  task = asking.Task(scoring.GENERAL, rows, template, one.directory(workdir, scoring.GENERAL), c.general.samples,
                     score=scoring.general)
  evaluation = _evaluation(config, c, workdir, one, [task], scoring.GENERAL, key=f'{name}.max_prompt',
                           max_prompt=c.max_prompt)
  (task, out), = evaluation(one.params)
  if not mesh_lib.any_process(any(f'{name}_model' not in out for name in judges)):
    return out
  mesh_lib.barrier(f'{task.directory} is written')
  records = metrics.read(os.path.join(task.directory, asking.SAMPLES))
  said = [(row, sample) for row, record in zip(task.rows, records) for sample in record['samples']]
  for each, path in judges.items():
    judge = reward_model.RewardModel(path, config, one.mesh, batch=c.batch)
    of_it = [(row, s) for row, s in said if judge.facts['kind'] == 'labels' or row['scenario'] != 'harm']
    out[f'{each}_model'] = scoring.mean(judge([row for row, _ in of_it], [s['text'] for _, s in of_it]))
  json_files.write(os.path.join(task.directory, asking.SCORES), out)
  return out
