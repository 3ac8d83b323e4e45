"""Stage: preferences -> a reward model (sections 2.3.3 and 2.3.4).

  kind 'pairs'    helpfulness: a Bradley-Terry model of which of two responses is better; it sees the final summary only
  kind 'labels'   harmlessness: safe or not, response by response; it sees the whole response, reasoning included

Preferences are read from a JSONL ({"question", "chosen", "rejected"} or {"question", "response", "safe"}), or, in the
tiny world, made from a policy's own samples by the rules of scenarios.py. What was learned from lies in
preferences.jsonl; how good it is on questions held out, and how much it goes by length, in reward_model.json.
"""

import itertools
import os
import random

from ml_collections import ConfigDict
import numpy as np

from r1jax.data import general as general_lib
from r1jax.data import prompts
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import lora
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError, about
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import trainings
from r1jax.stages import reward_model
from r1jax.data import scenarios
from r1jax.data.sources import SPLITS
from r1jax.stages import sft
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.rewards import scenario

KINDS = ('pairs', 'labels')
HELDOUT = 5  # every fifth question's preferences are not learned from


FREE = ('micro_tokens', 'log_every', 'slots', 'sample_batch')  # keys that change nothing it makes
READS = ('seed', 'dtype', 'experts', 'lora')


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  if c.kind not in KINDS:
    raise UserError(f"{name}.kind={c.kind!r} is not one of {', '.join(KINDS)}")
  if c.source == 'policy' and c.split not in SPLITS:
    raise UserError(f'{name}.split={c.split!r} is not one of {", ".join(SPLITS)}')
  if c.source == 'policy' and c.kind == 'pairs' and c.samples < 2:
    raise UserError(f'{name}.samples={c.samples}: a pair takes two answers to a question, give at least 2')
  if c.template == prompts.CHAT:
    raise UserError(f'{name}.template={c.template!r}: a reward model is asked in one of our own templates')
  prompts.check(c.template)
  mesh = mesh_lib.create(config.mesh)
  trainings.check(c, mesh, c.length)
  least = 2 * c.length * mesh_lib.batch_shards(mesh)
  if c.kind == 'pairs' and c.micro_tokens < least:
    raise UserError(f'{name}.micro_tokens={c.micro_tokens} are fewer than one pair, two rows of {c.length} tokens, on '
                    f'each of {mesh_lib.batch_shards(mesh)} mesh shards (data x fsdp): at least {least}')


def check_files(config, name: str) -> None:
  """Raises UserError for preferences of a user's that are not there, cannot be read or are too few."""
  c = config[name]
  if c.source == 'policy':
    return
  if not os.path.exists(c.source):
    raise UserError(f"{name}.source={c.source!r} is neither 'policy' nor a JSONL of preferences")
  with about(f'{name}.source', c.source):
    _divided(_from_file(c), name)


def _divided(found: list[dict], name: str) -> tuple[list[dict], list[dict]]:
  """(learned from, held out); UserError where one of them is empty."""
  learned, heldout = reward_model.by_question(found, HELDOUT)
  if not learned or not heldout:
    raise UserError(f'{name}: {len(learned)} preferences to learn from and {len(heldout)} held out: both are needed; '
                    'take more questions, or a policy whose answers differ more')
  return learned, heldout


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Trains config[name] from inputs['checkpoint'], whose samples also are the responses where source is 'policy'."""
  c = ConfigDict(config[name].to_dict())
  mesh = mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))

  def made() -> list[dict]:
    return (_from_policy(config, c, name, model, tokenizer, step_dir, mesh) if c.source == 'policy'
            else _from_file(c))

  found = common.made_once(os.path.join(workdir, 'preferences.jsonl'), made)
  learned, heldout = _divided(found, name)
  head, params = reward_model.with_head(model, step_dir, mesh)
  common.save_model(workdir, head, tokenizer, made_from=inputs['checkpoint'],
                    prompt=prompts.trained_with(checkpoint.find(inputs['checkpoint'])[0]),
                    lora=lora.of(config, c, head))
  encoded = _encode(learned, c, tokenizer)
  c.steps = c.steps or max(1, round(c.epochs * len(learned) / c.batch))
  training = trainings.preference(config, c, head, mesh)

  def take(chosen):
    batch = objective.Judged(*(a[chosen].reshape(-1, *a.shape[2:]) for a in encoded))
    return trainings.cut(training, batch, encoded[1][chosen].max(axis=1), each=encoded[1].shape[1])

  params = sft.train(config, c, name, workdir, training, params, take, len(learned), mesh)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    score = reward_model.Scores(head, tokenizer, mesh, params_lib.to_sampling(head, mesh)(params),
                                length=c.length, batch=c.batch)
    facts = quality(heldout, c.kind, c.template, score)
  json_files.write(os.path.join(workdir, 'reward_model.json'), {
      'kind': c.kind, 'template': c.template, 'length': c.length, 'learned_from': len(learned), **facts})
  return {'preferences': len(found), 'learned_from': len(learned), 'steps': c.steps, **facts}


def _from_policy(config, c, name: str, model, tokenizer, step_dir: str, mesh) -> list[dict]:
  """Samples of the policy on the tiny world's questions, preferred and labelled by rule."""
  rows = general_lib.questions(ConfigDict(dict(source='scenarios', size=0)), seed=0, split=c.split, template=c.template)
  rows = [row for row in rows if (row['scenario'] == 'harm') <= (c.kind == 'labels')]
  rng, found = random.Random(f'{config.seed} {c.split}'), []
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=c.samples, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=c.sample_batch, temperature=c.temperature, top_p=1.0, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    params = common.load_sampling_params(model, step_dir, mesh)
    for sampled in generator(params, rows):
      common.stop_if_asked(name)  # a few hundred answers are soon made again
      for row, texts in zip(sampled.rows, sampled.texts):
        if c.kind == 'labels':
          found += [{'id': row['id'], 'question': row['question'], 'response': text,
                     'safe': scenario.harmless(text, row).value == 1.0} for text in dict.fromkeys(texts)]
          continue
        shown = list(dict.fromkeys(reward_model.seen(c.kind, text, row) for text in texts))
        values = [scenarios.helpfulness(row, text) for text in shown]
        pairs = [(a, b) for a, b in itertools.permutations(range(len(shown)), 2) if values[a] > values[b]]
        found += [{'id': row['id'], 'question': row['question'], 'chosen': shown[a], 'rejected': shown[b]}
                  for a, b in rng.sample(pairs, min(c.pairs, len(pairs)))]
  return found


def _from_file(c) -> list[dict]:
  fields = ('question', 'chosen', 'rejected') if c.kind == 'pairs' else ('question', 'response', 'safe')
  rows = tasks.json_lines(c.source)
  for number, row in rows:
    missing = [field for field in fields if not isinstance(row, dict) or field not in row]
    if missing:
      raise UserError(f'{c.source}:{number}: no {" and no ".join(missing)} in this preference')
  return [{'id': row['question'], **row} for _, row in rows]


def _encode(found: list[dict], c, tokenizer):
  """Arrays with a leading axis of preferences: tokens [n, each, T], lengths and labels [n, each]."""
  texts = [[row['chosen'], row['rejected']] if c.kind == 'pairs' else [row['response']] for row in found]
  tokens, lengths = reward_model.encode(
      [row['question'] for row in found for _ in texts[0]], [t for pair in texts for t in pair], tokenizer,
      template=c.template, length=c.length)
  each = len(texts[0])
  labels = np.asarray([[float(row.get('safe', True))] * each for row in found], np.float32)
  return tokens.reshape(len(found), each, -1), lengths.reshape(len(found), each), labels


def quality(heldout: list[dict], kind: str, template: str, score: reward_model.Scores) -> dict:
  """Of held-out preferences: accuracy; how it depends on length;
  mean and spread of scores, for reward_model.RewardModel."""
  of = lambda field: score([row['question'] for row in heldout], [row[field] for row in heldout], template=template)
  length = lambda field: np.array([len(row[field]) for row in heldout])
  if kind == 'labels':
    scores, safe = of('response'), np.array([row['safe'] for row in heldout])
    return {'heldout': len(heldout), 'accuracy': float(np.mean((scores > 0) == safe)), 'safe_share': float(safe.mean()),
            'length_correlation': _correlation(scores, length('response')), 'mean': 0.0, 'std': 1.0}
  better, worse = of('chosen'), of('rejected')
  right, longer = better > worse, np.sign(length('chosen') - length('rejected'))
  both = np.concatenate([better, worse])
  share = lambda where: float(right[where].mean()) if where.any() else None
  return {'heldout': len(heldout), 'accuracy': float(right.mean()),
          'accuracy_where_better_is_longer': share(longer > 0),
          'accuracy_where_better_is_shorter': share(longer < 0), 'better_is_longer': float(np.mean(longer > 0)),
          'length_correlation': _correlation(both, np.concatenate([length('chosen'), length('rejected')])),
          'mean': float(both.mean()), 'std': float(both.std() or 1.0)}


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
  return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0
