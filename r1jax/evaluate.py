"""Stage and command: n samples a question -> pass@1, pass@k, cons@k, length.

  python -m r1jax.evaluate --checkpoint=DIR --tasks=chain_sum --samples=64 --temperature=0.6 --top_p=0.95 \
      --max_tokens=32768 --workdir=DIR
"""

import argparse
import json
import math
import os
import sys

import jax
import numpy as np

from r1jax import checkpoint
from r1jax import mesh as mesh_lib
from r1jax import metrics
from r1jax import programs
from r1jax import prompts
from r1jax import rewards
from r1jax import stage
from r1jax import tasks
from r1jax.rewards import pool
from r1jax import scoring
from r1jax.types import Prompts, UserError


def pass_at_k(n: int, c: int, k: int) -> float:
  """Unbiased probability that one of k samples is right: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, eq. 1)."""
  if not 0 <= c <= n or not 1 <= k <= n:
    raise ValueError(f'needs 0 <= c <= n and 1 <= k <= n: {n=} {c=} {k=}')
  return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority(answers: list[str | None], equal=None) -> str | None:
  """The answer most samples agree on; ties go to the one that came first, None does not vote.

  Args:
    equal: (a, b) -> bool, when two answers are the same one; default: the same text.
  """
  equal = equal or (lambda a, b: a == b)
  classes = []  # [first answer, votes]
  for answer in answers:
    if answer is None:
      continue
    for entry in classes:
      if equal(entry[0], answer):
        entry[1] += 1
        break
    else:
      classes.append([answer, 1])
  return max(classes, key=lambda entry: entry[1])[0] if classes else None


class Evaluator:
  """Samples and grades a fixed set of questions; the compiled sampler is kept between calls."""

  def __init__(self, model, tokenizer, mesh, rows, *, template: str, samples: int, max_prompt: int, max_tokens: int,
               batch: int, temperature: float, top_p: float, seed: int, at_once: int = 0):
    """at_once: samples of a question that are drawn at a time; 0: all."""
    if not rows:
      raise UserError('no questions to evaluate on')
    scoring.start({row.get('reward', 'math') for row in rows}, rows)
    self._pool = pool.Pool(workers=os.cpu_count() or 2)
    mesh_lib.check_divides('evaluate.batch', batch, mesh)
    self._tokenizer, self._mesh, self.rows, self._batch = tokenizer, mesh, rows, batch
    self._prompts = prompts.encode(rows, tokenizer, template=template, max_prompt=max_prompt)
    self.settings = {'n_samples': samples, 'temperature': temperature, 'top_p': top_p, 'max_tokens': max_tokens}
    self._key = jax.random.key(seed)
    self._at_once = at_once or samples
    if samples % self._at_once:
      raise UserError(f'evaluate.samples={samples} is not a multiple of evaluate.at_once={at_once}')
    self._sample = programs.sampling(
        model, mesh, prompts=batch, max_prompt=max_prompt, samples=self._at_once, max_tokens=max_tokens,
        eos_ids=tokenizer.eos_ids, pad_id=tokenizer.pad_id, temperature=temperature, top_p=top_p).sample.compile()

  def close(self) -> None:
    self._pool.close()

  def __call__(self, params) -> list[dict]:
    """One record a question, as in samples.jsonl; params as a sampler takes them (programs.to_sampling)."""
    n, records = self.settings['n_samples'], []
    for start in range(0, len(self.rows), self._batch):
      # The last batch is filled up with copies, so that one compiled shape serves all.
      chosen = [min(i, len(self.rows) - 1) for i in range(start, start + self._batch)]
      batch = mesh_lib.put(Prompts(*(a[chosen] for a in self._prompts)), self._mesh)
      key, some = jax.random.fold_in(self._key, start), self._at_once
      parts = [mesh_lib.everywhere(self._sample(params, batch, key, np.int32(g * self._batch))) for g in range(0, n, some)]
      by_question = lambda x: x.reshape(self._batch, some, *x.shape[1:])
      out = jax.tree.map(lambda *p: np.concatenate([by_question(x) for x in p], axis=1), *parts)
      records += self._grade(self.rows[start:start + self._batch], out)
    return records

  def _grade(self, rows, out) -> list[dict]:
    """A batch's records; verdicts come from processes of their own wherever a clock is needed."""
    asked = [((i, g), row) for i, row in enumerate(rows) for g in range(self.settings['n_samples'])]
    texts = [self._tokenizer.decode(out.tokens_BxT[b][:out.lengths_B[b]]) for b, _ in asked]
    found = self._pool.score([(row.get('reward', 'math'), text, row) for text, (_, row) in zip(texts, asked)])
    records = [{'task': row.get('task', ''), 'id': row['id'], 'prompt': row['question'], 'gold': row['answer'], 'samples': []}
               for row in rows]
    for (b, row), text, score in zip(asked, texts, found):
      grader = rewards.get(row.get('reward', 'math'))
      answer = grader.extract(text, row)
      voted = None if answer is None else grader.normalise(answer, row['answer_type'])
      records[b[0]]['samples'].append({
          'text': text, 'tokens': int(out.lengths_B[b]), 'finish': 'stop' if out.stopped_B[b] else 'length',
          'answer': voted, 'correct': score.value == 1.0, 'reason': score.reason})
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
         f'cons@{n}': float(np.mean([_voted_right(r, row) for r, row in zip(records, rows)])),
         'errors': float(np.mean([s['reason'].startswith(('error', 'timeout')) for r in records for s in r['samples']])),
         'truncated': float(np.mean([s['finish'] == 'length' for r in records for s in r['samples']])),
         'length_tokens': float(np.mean([s['tokens'] for r in records for s in r['samples']]))}
  return {**out, **{k: settings[k] for k in ('temperature', 'top_p', 'max_tokens')}, 'grader': f"r1jax.rewards.{rows[0].get('reward', 'math')}"}


def _voted_right(record: dict, row: dict) -> bool:
  # Answers are in canonical form already, so the same text means the same class.
  answer = majority([s['answer'] for s in record['samples']])
  gold = rewards.get(row.get('reward', 'math')).normalise(row['answer'], row['answer_type'])
  return answer is not None and answer == gold


def as_metrics(result: dict) -> dict:
  """eval/TASK/... names of metrics.jsonl from a scores.json."""
  n, task = result['n_samples'], result['task']
  names = ('pass@1', 'pass@1_stderr', f'pass@{n}', f'cons@{n}', 'length_tokens', 'truncated', 'n_questions')
  return {f'eval/{task}/{name}': result[name] for name in names}


def write(directory: str, records: list[dict], result: dict) -> None:
  """samples.jsonl and scores.json of one evaluation."""
  os.makedirs(directory, exist_ok=True)
  text = ''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in records)
  metrics.replace_file(os.path.join(directory, 'samples.jsonl'), text.encode())
  checkpoint.write_json(os.path.join(directory, 'scores.json'), result, every_host=True)


def during_training(config, c, model, tokenizer, mesh):
  """params -> the entries of figure 2 on the first c.eval_questions held-out questions; None if eval_every is 0."""
  if not c.eval_every:
    return None
  rows = _rows(config.evaluate)[:c.eval_questions]
  evaluator = Evaluator(
      model, tokenizer, mesh, rows, template=c.template, samples=config.evaluate.samples, max_prompt=c.max_prompt,
      max_tokens=c.max_tokens, batch=min(config.evaluate.batch, len(rows)), temperature=config.evaluate.temperature,
      top_p=config.evaluate.top_p, seed=config.seed)
  to_sampling = programs.to_sampling(model, mesh)
  return lambda params: as_metrics(scores(evaluator(to_sampling(params)), rows, evaluator.settings, rows[0]['task']))


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.check_divides(f'{name}.batch', c.batch, mesh_lib.create(config.mesh))
  _rows(c)


def _rows(c) -> list[dict]:
  rows = tasks.load(c.task.source, size=c.task.size, seed=c.task.seed, split='heldout', params=tasks.params_of(c.task),
                    prefill=c.task.prefill)
  return [{**row, 'task': c.task.source.partition(':')[2]} for row in rows]


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """Evaluates each checkpoint of `inputs` (model name -> path), once more where the config gives it a prefill."""
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  rows = _rows(c)
  task = rows[0]['task']
  place = stage.host_directory(workdir)
  writer = metrics.Writer(place, name)
  writer.truncate(-1)
  runs = [(label, path, '') for label, path in inputs.items()]
  runs += [(f'{label}_worked', inputs[label], prefill) for label, prefill in c.prefill.items()]
  progress = metrics.Progress(len(runs), name, os.path.join(place, 'log.txt'))
  with programs.use_mesh(mesh, mesh_lib.DECODE_RULES):
    for number, (label, path, prefill) in enumerate(runs, 1):
      model, tokenizer, step_dir = stage.load_model(path, **stage.computed(config, mesh))
      params = stage.load_sampling_params(model, step_dir, mesh)
      asked = [{**row, 'prefill': prefill} for row in rows] if prefill else rows
      evaluator = Evaluator(model, tokenizer, mesh, asked, template=c.template, samples=c.samples,
                            max_prompt=c.max_prompt + (16 if prefill else 0), max_tokens=c.max_tokens, batch=c.batch,
                            temperature=c.temperature, top_p=c.top_p, seed=config.seed, at_once=c.at_once)
      records = evaluator(params)
      evaluator.close()
      result = scores(records, asked, evaluator.settings, task)
      suffix = '' if label == 'final' else f'.{label}'
      write(os.path.join(place, 'eval', task + suffix), records, result)
      writer.write(int(os.path.basename(step_dir)), {'model': label, **as_metrics(result)})
      progress.update(number, model=label, accuracy=result['pass@1'], length=result['length_tokens'])
  writer.close()


def main(argv: list[str]) -> int:
  """The command in this module's docstring; exit 2 and one line for a mistake."""
  parser = argparse.ArgumentParser(prog='r1jax.evaluate', description=__doc__.splitlines()[0])
  parser.add_argument('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what convert wrote")
  parser.add_argument('--tasks', required=True, help='names, with commas between them')
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--samples', type=int, default=64)  # section 3, as the three that follow
  parser.add_argument('--temperature', type=float, default=0.6)
  parser.add_argument('--top_p', type=float, default=0.95)
  parser.add_argument('--max_tokens', type=int, default=32768)
  parser.add_argument('--max_prompt', type=int, default=1024)
  parser.add_argument('--batch', type=int, default=8, help='questions at a time')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--dtype', default='float32')
  a = parser.parse_args(argv[1:])
  try:
    mesh = mesh_lib.create({'data': -1})
    model, tokenizer, step_dir = stage.load_model(a.checkpoint, dtype=a.dtype, attention=stage.attention_path('auto', a.dtype, mesh))
    if a.max_prompt + a.max_tokens > model.config.max_length:
      raise UserError(f'max_prompt={a.max_prompt} + max_tokens={a.max_tokens} exceed the model\'s '
                      f'max_length={model.config.max_length}: lower them')
    os.makedirs(a.workdir, exist_ok=True)
    with programs.use_mesh(mesh, mesh_lib.DECODE_RULES), metrics.Writer(a.workdir, 'evaluate') as writer:
      params = stage.load_sampling_params(model, step_dir, mesh)
      for name in a.tasks.split(','):
        rows, template = tasks.named(name)
        rows = [{**row, 'task': name} for row in rows]
        evaluator = Evaluator(model, tokenizer, mesh, rows, template=template, samples=a.samples,
                              max_prompt=a.max_prompt, max_tokens=a.max_tokens, batch=a.batch,
                              temperature=a.temperature, top_p=a.top_p, seed=a.seed)
        records = evaluator(params)
        evaluator.close()
        result = scores(records, rows, evaluator.settings, name)
        write(os.path.join(a.workdir, 'eval', name.replace('/', '_')), records, result)
        writer.write(int(os.path.basename(step_dir)), {'model': 'final', **as_metrics(result)})
        print(json.dumps(result))
  except (UserError, OSError) as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
