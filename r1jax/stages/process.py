"""Stage: answers cut into steps -> a model that scores each step (section 4.2: process reward models, value models).

  kind 'process'   a step is right or wrong by itself: what a process reward model says
  kind 'value'     whether the answer that a step belongs to ends right: what guides a tree search

Labels come from a policy's own samples (arithmetic steps are checked by rule, ends by the accuracy reward), or from the
steps.jsonl that a search left behind, so that actor and value can be trained in turns.
"""

import os
import re

from ml_collections import ConfigDict
import numpy as np

from r1jax.engine import checkpoint
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax.engine import objective
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.stages import checking
from r1jax.stages import reject
from r1jax.stages import reward_model
from r1jax.stages import sft
from r1jax.stages import common
from r1jax.stages import judging
from r1jax.rewards import pool

KINDS = ('process', 'value')
HELDOUT = 10  # every tenth question's answers are not learned from
_EQUATION = re.compile(r'(-?\d+) ([+-]) (\d+) = (-?\d+)')


FREE = ('micro_tokens', 'log_every', 'slots', 'sample_batch')  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  if c.kind not in KINDS:
    raise UserError(f"{name}.kind={c.kind!r} is not one of {', '.join(KINDS)}")
  if c.source not in ('policy', 'stage'):
    raise UserError(f"{name}.source={c.source!r} is not one of policy, stage")
  prompts.check(c.template)
  if c.source == 'policy':
    checking.task(tasks.only(c.task), f'{name}.task')
  objective.check(c, mesh_lib.create(config.mesh), c.length)


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions that cannot be read or judged on this machine."""
  c = config[name]
  if c.source != 'policy':
    return []
  rows = _rows(c, name)
  checking.graders(rows)
  return [checking.asked(c, name, rows)]


def _rows(c, name: str) -> list[dict]:
  return judging.questions(c.task, key=f'{name}.task', split='train', template=c.template)


def right_step(text: str) -> bool | None:
  """Whether every 'a + b = c' in a step holds; None for a step without one, which is neither right nor wrong."""
  found = _EQUATION.findall(text)
  value = lambda a, op, b: int(a) + int(b) if op == '+' else int(a) - int(b)
  return all(value(a, op, b) == int(c) for a, op, b, c in found) if found else None


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Trains config[name] from inputs['checkpoint'], on its own samples or on inputs['data']/steps.jsonl."""
  c = ConfigDict(config[name].to_dict())
  mesh = mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  if c.source == 'stage':
    path = os.path.join(inputs['data'], 'steps.jsonl')
    if not os.path.exists(path):
      raise UserError(f"{name}.source='stage', but {path} is not there: a tree search on the training split leaves it")
    rows = metrics.read(path)
  else:
    rows = common.made_once(os.path.join(workdir, 'steps.jsonl'),
                           lambda: _from_policy(config, c, name, workdir, model, tokenizer, step_dir, mesh))
  learned, heldout = reward_model.by_question(rows, HELDOUT)
  if not learned or not any(row['labels'] for row in heldout):
    raise UserError(f'{name}: {len(rows)} answers are too few to learn from and to hold some out')
  head, params = reward_model.with_head(model, step_dir, mesh)
  common.save_model(workdir, head, tokenizer, made_from=inputs['checkpoint'],
                    prompt=prompts.trained_with(checkpoint.find(inputs['checkpoint'])[0]))
  encoded = encode(learned, c.length, tokenizer.pad_id)
  c.steps = c.steps or max(1, round(c.epochs * len(learned) / c.batch))
  training = objective.process(config, c, head, mesh)
  take = lambda chosen: objective.cut(training, objective.Steps(*(a[chosen] for a in encoded)), encoded[1][chosen])
  params = sft.train(config, c, name, workdir, training, params, take, len(learned), mesh)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    score = reward_model.StepScores(head, tokenizer.pad_id, mesh, params_lib.to_sampling(head, mesh)(params),
                                length=c.length, batch=c.batch)
    found = score([row['ids'] for row in heldout])
  pairs = [(p[e], label) for p, row in zip(found, heldout) for e, label in zip(row['ends'], row['labels'])]
  right = [(p > 0.5) == label for p, label in pairs]
  wrong = [p <= 0.5 for p, label in pairs if not label]
  facts = {'answers': len(rows), 'learned_from': len(learned), 'heldout': len(heldout),
           'accuracy': float(np.mean(right)), 'right_share': float(np.mean([label for _, label in pairs])),
           'accuracy_of_wrong': float(np.mean(wrong)) if wrong else 1.0}
  checkpoint.write_json(os.path.join(workdir, 'reward_model.json'), {
      'kind': 'steps', 'separators': list(c.separators), 'template': c.template, 'length': c.length, **facts})
  return {**facts, 'preferences': len(rows), 'steps': c.steps}


def _from_policy(config, c, name: str, workdir: str, model, tokenizer, step_dir: str, mesh) -> list[dict]:
  """{id, ids, ends, labels} of each of the policy's samples: its question, token ids of prompt and answer, where steps
  end, what they are."""
  asked = _rows(c, name)
  batches = common.Batches(common.host_directory(workdir), every_host=True)
  asked = prompts.ready(asked, tokenizer, template=c.template, max_prompt=c.max_prompt, key=f'{name}.max_prompt')
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=c.samples, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=c.sample_batch, temperature=c.temperature, top_p=1.0, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges:
    params = common.load_sampling_params(model, step_dir, mesh)
    for sampled in generator(params, asked, first=batches.done('')):
      kept = []
      for row, texts, completions in zip(sampled.rows, sampled.texts, sampled.completions):
        prompt = prompts.ids(tokenizer, c.template, row)
        verdicts = judges.score([(row.get('reward', 'math'), text, row) for text in texts])
        for said, verdict in zip(completions, verdicts):
          if reject.wrong(verdict) != 'no verdict':
            kept.append({'id': row['id'], **labelled(prompt, said.tokens.tolist(), verdict.value == 1.0, c, tokenizer)})
      batches.add('', len(sampled.rows), kept)
      common.stop_if_asked(name)
  return list(batches.kept())


def labelled(prompt: list[int], ids: list[int], right: bool, c, tokenizer) -> dict:
  """A row of steps.jsonl. The last step, the answer, is as right as the whole; of kind 'value' every step is."""
  found, labels, start = reward_model.ends(ids, tokenizer, c.separators), [], 0
  kept = []
  for end in found:
    label = right if c.kind == 'value' or end == len(ids) - 1 else right_step(tokenizer.decode(ids[start:end + 1]))
    start = end + 1
    if label is not None:
      kept.append(len(prompt) + end)
      labels.append(bool(label))
  return {'ids': prompt + ids, 'ends': kept, 'labels': labels}


def encode(rows: list[dict], length: int, pad_id: int):
  """tokens [n, T], lengths [n], mask [n, T] (1 where a step ends), labels [n, T]; what lies past `length` is cut."""
  tokens, lengths = np.full((len(rows), length), pad_id, np.int32), np.zeros(len(rows), np.int32)
  mask, labels = np.zeros((2, len(rows), length), np.float32)
  for i, row in enumerate(rows):
    ids = row['ids'][:length]
    tokens[i, :len(ids)], lengths[i] = ids, len(ids)
    for end, label in zip(row['ends'], row['labels']):
      if end < length:
        mask[i, end], labels[i, end] = 1.0, float(label)
  return tokens, lengths, mask, labels
