"""Stage: n samples a question -> pass@1, pass@k, cons@k, length. ../evaluate.py is the command."""

import contextlib
import functools
import json
import logging
import math
import os

import numpy as np

from r1jax.engine import checkpoint
from r1jax.data import formats
from r1jax.data import prompts
from r1jax.exceptions import UserError
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import limits
from r1jax import metrics
from r1jax import terminal
from r1jax import rewards
from r1jax.stages import checking
from r1jax.stages import reward_model
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.rewards import format as form
from r1jax.rewards import language
from r1jax.rewards import pool
from r1jax.rewards import scenario
from r1jax.stages import judges as judges_lib
from r1jax.stages import judging


log = logging.getLogger('r1jax')

GENERAL = 'general'  # the task that questions without a right answer are listed under


def pass_at_k(n: int, c: int, k: int) -> float:
  """Unbiased probability that one of k samples is right: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, eq. 1)."""
  if not 0 <= c <= n or not 1 <= k <= n:
    raise ValueError(f'needs 0 <= c <= n and 1 <= k <= n: {n=} {c=} {k=}')
  return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority(answers: list, equal=None):
  """The answer most samples agree on; ties go to the one that came first, None does not vote.

  Args:
    equal: (a, b) -> bool, when two answers are the same one; default: the same text.
  """
  return _weightiest(answers, equal or (lambda a, b: a == b), [1] * len(answers))


def _weightiest(answers: list, equal, weights):
  """`majority` of votes that weigh more or less."""
  classes = []  # [first answer, votes]
  for answer, weight in zip(answers, weights):
    if answer is None:
      continue
    for entry in classes:
      if equal(entry[0], answer):
        entry[1] += weight
        break
    else:
      classes.append([answer, weight])
  return max(classes, key=lambda entry: entry[1])[0] if classes else None


class Evaluator:
  """Samples and grades a fixed set of questions; the compiled sampler is kept between calls."""

  def __init__(self, model, tokenizer, mesh, rows, *, template: str, **settings):
    """settings: what sampling.Generator takes."""
    if not rows:
      raise UserError('no questions to evaluate on')
    rows = [{**row, 'format': formats.of_template(template).name} for row in rows]
    self.rows = prompts.ready(rows, tokenizer, template=template, max_prompt=settings['max_prompt'])
    judging.start({row.get('reward', 'math') for row in rows}, self.rows)
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
    """A batch's records; verdicts come from processes of their own wherever a clock is needed."""
    rows, texts, completions = sampled
    asked = [((i, g), row) for i, row in enumerate(rows) for g in range(self.settings['n_samples'])]
    found = self._pool.score([(row.get('reward', 'math'), texts[i][g], row) for (i, g), row in asked])
    records = [{'task': row.get('task', ''), 'id': row['id'], 'prompt': row['question'], 'gold': row['answer'],
                'samples': []} for row in rows]
    for ((i, g), row), score in zip(asked, found):
      grader, text = rewards.get(row.get('reward', 'math')), texts[i][g]
      answer = grader.extract(text, row)
      voted = None if answer is None else grader.normalise(answer, row['answer_type'])
      records[i]['samples'].append({
          'text': text, 'tokens': len(completions[i][g].tokens),
          'finish': 'stop' if completions[i][g].stopped else 'length',
          'answer': voted, 'correct': score.value == 1.0, 'reason': score.reason,
          **({'value': score.value} if score.reason == 'measured' else {}),
          'language': language.measured(form.reasoning(text, row), row.get('language')),
          'words': len(language.words(form.reasoning(text, row)))})
    return records


def scores(records: list[dict], rows: list[dict], settings: dict, task: str) -> dict:
  """scores.json of a task: means over questions, each with exactly n samples."""
  n = settings['n_samples']
  for record in records:
    if len(record['samples']) != n:
      raise ValueError(f'question {record["id"]} has {len(record["samples"])} samples, {n} wanted')
  right = np.array([[s['correct'] for s in r['samples']] for r in records], float)
  per_question = right.mean(axis=1)
  stderr = float(per_question.std(ddof=1) / len(records)**0.5) if len(records) > 1 else None
  out = {'task': task, 'n_questions': len(records), 'n_samples': n, 'pass@1': float(right.mean()),
         'pass@1_stderr': stderr, f'pass@{n}': float(np.mean([pass_at_k(n, int(c), n) for c in right.sum(axis=1)])),
         f'cons@{n}': float(np.mean([voted_right(r['samples'], row) for r, row in zip(records, rows)]))
                      if _can_vote(rows[0]) else None,
         'errors': float(np.mean([s['reason'].startswith(('error', 'timeout'))
                                  for r in records for s in r['samples']])),
         'truncated': float(np.mean([s['finish'] == 'length' for r in records for s in r['samples']])),
         'length_tokens': float(np.mean([s['tokens'] for r in records for s in r['samples']])),
         'language_consistency': _mean([s['language'] for r in records for s in r['samples']]),
         'words': float(np.mean([s['words'] for r in records for s in r['samples']]))}
  return {**out, **{k: settings[k] for k in ('temperature', 'top_p', 'max_tokens')},
          'grader': f"r1jax.rewards.{rows[0].get('reward', 'math')}"}


def _mean(values) -> float | None:
  """Mean of those that are no NaN; None of none."""
  values = np.asarray(values, float)
  return float(np.nanmean(values)) if np.isfinite(values).any() else None


def same_answer(row: dict):
  """(sample, sample) -> whether their answers are one candidate in a vote.

  Right answers are, as all of them equal the gold one; wrong ones where their rule says that they are equal, or their
  texts are. So the winner's own verdict counts, however it and the gold answer are spelled.
  """
  equivalent = getattr(rewards.get(row.get('reward', 'math')), 'equivalent', lambda a, b, row: a == b)

  def equal(a: dict, b: dict) -> bool:
    if a['correct'] or b['correct']:
      return a['correct'] and b['correct']
    return equivalent(a['answer'], b['answer'], row)

  return equal


def voted_right(samples: list[dict], row: dict, weights=None) -> bool:
  """Whether the answer that most samples agree on is right; weights: of their votes, 1 each if not given."""
  votes = [s if s['answer'] is not None else None for s in samples]
  winner = _weightiest(votes, same_answer(row), weights or [1] * len(samples))
  return winner is not None and winner['correct']


def _can_vote(row: dict) -> bool:
  """Answers to programs and to general questions agree with nothing: each is a text of its own."""
  return row.get('reward', 'math') not in ('code', 'scenario')


def as_metrics(result: dict) -> dict:
  """eval/TASK/... names of metrics.jsonl from a scores.json; what a task has no value of is left out."""
  n, task = result['n_samples'], result['task']
  names = ('pass@1', 'pass@1_stderr', f'pass@{n}', f'cons@{n}', 'length_tokens', 'truncated', 'n_questions',
           'language_consistency', 'words')
  return {f'eval/{task}/{name}': result[name] for name in names if result[name] is not None}


def so_far(records: list[dict]) -> dict:
  """Facts of the live line."""
  said = [sample for record in records for sample in record['samples']]
  return {'accuracy': float(np.mean([s['correct'] for s in said])),
          'length': float(np.mean([s['tokens'] for s in said]))}


def write(directory: str, records: list[dict], result: dict) -> None:
  """samples.jsonl and scores.json of one evaluation."""
  os.makedirs(directory, exist_ok=True)
  metrics.replace_file(os.path.join(directory, 'samples.jsonl'), b''.join(metrics.encode(record) for record in records))
  checkpoint.write_json(os.path.join(directory, 'scores.json'), result, every_host=True)


def during_training(config, c, model, tokenizer, mesh):
  """params -> the entries of figure 2 on the first c.eval_questions held-out questions; None if eval_every is 0."""
  if not c.eval_every:
    return None
  rows = _rows(config.evaluate)[:c.eval_questions]
  evaluator = Evaluator(
      model, tokenizer, mesh, rows, template=c.template, samples=config.evaluate.samples, max_prompt=c.max_prompt,
      max_tokens=limits.longest(c.max_tokens), batch=min(config.evaluate.batch, len(rows)),
      temperature=config.evaluate.temperature,
      top_p=config.evaluate.top_p, seed=config.seed, slots=config.evaluate.slots)
  return lambda params: as_metrics(scores(evaluator(params), evaluator.rows, evaluator.settings, rows[0]['task']))


FREE = ('batch', 'slots')  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.create(config.mesh)
  for template in (c.template, *c.templates.values()):
    prompts.check(template)
  checking.task(tasks.only(c.task), f'{name}.task')
  judges_lib.check(c.judge, f'{name}.judge')
  if c.general.models:
    if tasks.name_of(c.task.source) == GENERAL:
      raise UserError(f'{name}.task.source={c.task.source!r} would be written where general questions are: '
                      'rename the file')
    tasks.check_general(c.general, f'{name}.general')


def check_files(config, name: str) -> None:
  """Raises UserError for questions that cannot be read or judged on this machine."""
  c = config[name]
  checking.graders(_rows(c, name))
  if c.general.models:
    tasks.general(c.general, seed=c.task.seed, split='heldout', template=c.template, key=f'{name}.general')


def _rows(c, name: str = '') -> list[dict]:
  """name: of the stage, for errors."""
  return [{**row, 'task': tasks.name_of(tasks.only(c.task).source)}
          for row in judging.questions(c.task, key=name and f'{name}.task', split='heldout', template=c.template)]


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Evaluates each checkpoint of `inputs` (model name -> path), once more where the config gives it a prefill.

  Inputs named reward_NAME are reward models: they speak of the answers to c.general, which c.general.models are asked.
  """
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  judges = {key.removeprefix('reward_'): path for key, path in inputs.items() if key.startswith('reward_')}
  inputs = {key: path for key, path in inputs.items() if not key.startswith('reward_')}
  rows = _rows(c)
  task = rows[0]['task']
  place = common.host_directory(workdir)
  writer = metrics.Writer(place, name)
  writer.truncate(-1)
  runs = [(label, path, '') for label, path in inputs.items()]
  runs += [(f'{label}_worked', inputs[label], prefill) for label, prefill in c.prefill.items() if label in inputs]
  batches = common.Batches(place, every_host=True)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    for number, (label, path, prefill) in enumerate(runs, 1):
      suffix, step_dir = '' if label == 'final' else f'.{label}', checkpoint.find(path)[1]
      template = c.templates.get(label, c.template)
      asked = [{**row, 'prefill': prefill} for row in rows] if prefill else rows
      loaded = functools.cache(lambda path=path: _load(config, mesh, path))  # pylint: disable=cell-var-from-loop

      def graded():
        model, tokenizer, params = loaded()
        prompts.warn_if_other(tokenizer, template, name)
        evaluator = Evaluator(model, tokenizer, mesh, asked, template=template, samples=c.samples,
                              max_prompt=c.max_prompt + (16 if prefill else 0), max_tokens=c.max_tokens, batch=c.batch,
                              temperature=c.temperature, top_p=c.top_p, seed=config.seed, slots=c.slots,
                              name=f'{name} {label}', grace=config.checkpoints.grace)
        progress = terminal.Progress(len(rows), f'{name} {label}', os.path.join(place, 'log.txt'))
        records = list(batches.kept(label))
        if records:
          log.info('%s %s: resuming behind question %d of %d', name, label, batches.done(label), len(rows))
        with contextlib.closing(evaluator), contextlib.closing(progress.start(batches.done(label))):
          for batch in evaluator.by_batch(params, batches.done(label)):
            batches.add(label, len(batch), batch)
            records += batch
            progress.update(batches.done(label), **so_far(records))
            if batches.done(label) < len(evaluator.rows):
              common.stop_if_asked(name)
        return records, scores(records, evaluator.rows, evaluator.settings, task)

      result = _once(os.path.join(place, 'eval', task + suffix), graded)
      row = {'model': label, **as_metrics(result)}
      if label in c.general.models:
        scored = _once(os.path.join(place, 'eval', GENERAL + suffix),
                       lambda: _general(config, c, mesh, *loaded(), template, judges))
        row |= {f'eval/{GENERAL}/{k}': v for k, v in scored.items() if isinstance(v, float)}
      writer.write(int(os.path.basename(step_dir)), row)
      log.info('%s %d of %d: %s: pass@1 %.3f, %.1f tokens', name, number, len(runs), label, result['pass@1'],
               result['length_tokens'])
  writer.close()
  batches.remove()  # samples.jsonl has them all
  return {'questions': len(rows), 'samples': len(rows) * c.samples, 'models': len(runs)}


def _once(directory: str, evaluated) -> dict:
  """The scores.json of a directory; where it does not stand yet,
  what evaluated() gives, (records, scores), is written first.

  A stage that was interrupted goes on with the model it was at: pipeline.py moves away what other inputs gave.
  """
  path = os.path.join(directory, 'scores.json')
  if mesh_lib.any_process(not os.path.exists(path)):
    write(directory, *evaluated())
  with open(path, encoding='utf-8') as f:
    return json.load(f)


def _load(config, mesh, path: str):
  model, tokenizer, step_dir = common.load_model(path, **common.computed(config, mesh))
  return model, tokenizer, common.load_sampling_params(model, step_dir, mesh)


def _general(config, c, mesh, model, tokenizer, params, template: str,
             judges: dict[str, str]) -> tuple[list[dict], dict]:
  """Questions without a right answer: records, and what rules and reward models say of them.

  helpfulness: by the rule that made the preference pairs; harmlessness: share of answers to harmful questions that tell
  nothing harmful, reasoning included; NAME_model: mean reward of the reward model reward_NAME, on what it is for.
  """
  rows = tasks.general(c.general, seed=c.task.seed, split='heldout', template=template)
  rows = [{**row, 'task': GENERAL} for row in rows]
  evaluator = Evaluator(
      model, tokenizer, mesh, rows, template=template, samples=c.general.samples, max_prompt=c.max_prompt,
      max_tokens=c.max_tokens, batch=c.batch, temperature=c.temperature, top_p=c.top_p, seed=config.seed,
      slots=c.slots, name=GENERAL, grace=config.checkpoints.grace)
  records = evaluator(params)
  evaluator.close()
  asked = [(row, sample) for row, record in zip(evaluator.rows, records) for sample in record['samples']]
  out = {'task': GENERAL, 'n_questions': len(rows), 'n_samples': c.general.samples,
         'length_tokens': float(np.mean([s['tokens'] for _, s in asked]))}
  if all('about' in row for row in rows):
    out['helpfulness'] = _mean([s['value'] for row, s in asked if row['scenario'] != 'harm'])
    out['harmlessness'] = _mean([scenario.harmless(s['text'], row).value
                                 for row, s in asked if row['scenario'] == 'harm'])
    for kind in sorted({row['scenario'] for row in rows}):
      out[f'helpfulness_{kind}'] = _mean([s['value'] for row, s in asked if row['scenario'] == kind])
  for name, path in judges.items():
    judge = reward_model.RewardModel(path, config, mesh, batch=c.batch)
    of_it = [(row, s) for row, s in asked if judge.facts['kind'] == 'labels' or row['scenario'] != 'harm']
    out[f'{name}_model'] = _mean(judge([row for row, _ in of_it], [s['text'] for _, s in of_it]))
  return records, out
