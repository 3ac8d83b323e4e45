"""Stage: answers cut into steps -> a model that scores each step (section 4.2: process reward models, value models).

  kind 'process'   what a process reward model says of a step
  kind 'value'     how likely a prefix is to end right: what guides a tree search

  form 'head'      a scalar read off the hidden state at a step's end
  form 'implicit'  beta log(pi / pi_ref) of the answer up to there, of the reader and the policy that it began as, whose
                   weights are kept beside it: a language model, without a head. The Q value of Yuan et al. 2024
                   (arXiv:2412.01981), learned here from the label of each step, there from the answer's alone

Labels come from a policy's own samples. With `rollouts` the policy goes on from each step, and a label is how often it
ends right (shepherd.py): one model then serves both kinds. Without, of kind 'process' arithmetic steps are checked by a
rule, of kind 'value' all steps of an answer are as right as its end. Or they come from the steps.jsonl that a search
left behind, so that actor and value can be trained in turns. Answers are kept, and steps weighed, so that right and
wrong ones count alike, log-odds are scaled by what was learned from (step_quality.platt), and a model whose AUC on
held-out questions is under `least_auc` is refused.
"""

import itertools
import logging
import os
import re

from ml_collections import ConfigDict
import numpy as np

from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import lora
from r1jax.exceptions import RunStopped, UserError
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import disk
from r1jax import metrics
from r1jax import terminal
from r1jax.engine import objective
from r1jax.engine import trainings
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.stages import checking
from r1jax.stages import reject
from r1jax.stages import reward_model
from r1jax.stages import shepherd
from r1jax.stages import step_quality
from r1jax.stages import sft
from r1jax.stages import common
from r1jax.stages import gradable
from r1jax.rewards import pool

log = logging.getLogger('r1jax')

KINDS = ('process', 'value')
HELDOUT = 10  # every tenth question's answers are not learned from
CALIBRATED_BY = 512  # answers at most, of those that it learned from, that its log-odds are scaled by
_EQUATION = re.compile(r'(-?\d+) ([+-]) (\d+) = (-?\d+)')


FREE = ('micro_tokens', 'log_every', 'slots', 'sample_batch', 'least_auc')  # keys that change nothing it makes
READS = ('seed', 'dtype', 'experts', 'lora')


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  if c.kind not in KINDS:
    raise UserError(f"{name}.kind={c.kind!r} is not one of {', '.join(KINDS)}")
  if c.source not in ('policy', 'stage'):
    raise UserError(f"{name}.source={c.source!r} is not one of policy, stage")
  if (c.form == 'implicit') != (c.beta > 0):
    raise UserError(f"{name}.beta={c.beta} with {name}.form={c.form!r}: " + (
        'times the log-ratio, it must be more than 0' if c.form == 'implicit' else "'implicit' alone reads it, give 0"))
  prompts.check(c.template)
  if c.source == 'policy':
    checking.task(tasks.only(c.task), f'{name}.task')
  trainings.check(c, mesh_lib.create(config.mesh), c.length)


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions that cannot be read or judged on this machine."""
  c = config[name]
  if c.source != 'policy':
    return []
  rows = _rows(c, name)
  checking.graders(rows)
  return [checking.asked(c, name, rows)]


def _rows(c, name: str) -> list[dict]:
  return gradable.questions(c.task, key=f'{name}.task', split='train', template=c.template)


def right_step(text: str) -> bool | None:
  """Whether every 'a + b = c' in a step holds; None for a step without one, which is neither right nor wrong."""
  found = _EQUATION.findall(text)
  value = lambda a, op, b: int(a) + int(b) if op == '+' else int(a) - int(b)
  return all(value(a, op, b) == int(c) for a, op, b, c in found) if found else None


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Trains config[name] from inputs['checkpoint'], on its own samples or on inputs['data']/steps.jsonl.

  Raises:
    RunStopped: its AUC on held-out questions is under config[name].least_auc. No stage behind it has begun then.
  """
  c = ConfigDict(config[name].to_dict())
  mesh = mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  path = os.path.join(inputs['data'] if c.source == 'stage' else workdir, 'steps.jsonl')
  if c.source == 'stage':
    if not disk.exists(path):
      raise UserError(f"{name}.source='stage', but {path} is not there: a tree search on the training split leaves it")
    rows = metrics.read(path)
  else:
    rows = common.made_once(path, lambda: _from_policy(config, c, name, workdir, model, tokenizer, step_dir, mesh))
  if c.form == 'implicit' and any('start' not in row for row in rows):
    raise UserError(f"{name}.form='implicit' needs to know where answers begin, which {path} does not say: an earlier "
                    "version of r1jax wrote it. Move its stage's directory away, or give form='head'")
  learned, heldout = reward_model.by_question(rows, HELDOUT)
  if not learned or not any(row['labels'] for row in heldout):
    raise UserError(f'{name}: {len(rows)} answers are too few to learn from and to hold some out')
  implicit = c.form == 'implicit'
  reader, params = (model, common.load_params(model, step_dir, mesh)) if implicit else (
      reward_model.with_head(model, step_dir, mesh))
  common.save_model(workdir, reader, tokenizer, made_from=inputs['checkpoint'],
                    prompt=prompts.trained_with(checkpoint.find(inputs['checkpoint'])[0]),
                    lora=lora.of(config, c, reader))
  share = right_share(learned)
  log.info('%s: %d answers, %d of them to learn from, of whose %d steps %.1f %% are right%s', name, len(rows),
           len(learned), sum(len(row['labels']) for row in learned), 100 * share,
           '; both kinds weigh the same' if c.balance else '')
  encoded = encode(learned, c.length, tokenizer.pad_id, share if c.balance else None)
  compiled = lambda: reward_model.Reader(c.form, reader, tokenizer.pad_id, mesh, length=c.length, batch=c.batch,
                                         logit_elements=config.logit_elements, grace=config.checkpoints.grace)
  reference = lambda: common.load_sampling_params(model, step_dir, mesh) if implicit else None
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    encoded = _beside_reference(encoded, learned, compiled(), reference()) if implicit else encoded
  c.steps = c.steps or max(1, round(c.epochs * len(learned) / c.batch))
  training = trainings.process(config, c, reader, mesh)
  take = lambda chosen: trainings.cut(training, objective.Steps(*(None if a is None else a[chosen] for a in encoded)),
                                      encoded.lengths_B[chosen])
  params = sft.train(config, c, name, workdir, training, params, take, len(learned), mesh)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    # As whoever asks it later has it: adapters merged with their base as it lies on the disk.
    params = common.load_sampling_params(reader, checkpoint.find(workdir)[1], mesh)
    score = reward_model.StepScores(compiled(), params, reference=reference(), beta=c.beta)
    some = [learned[i] for i in np.random.default_rng(0).permutation(len(learned))[:CALIBRATED_BY]]
    score.slope, score.shift = step_quality.platt(*_at_steps(score.log_odds(*_read(some)), some)[:2])
    found = score(*_read(heldout))
  facts = {'answers': len(rows), 'learned_from': len(learned), 'heldout': len(heldout),
           **step_quality.of_steps(*_at_steps(found, heldout))}
  _refuse(facts, c.least_auc, name)
  held_against = {'beta': c.beta, 'reference': reward_model.reference_of(workdir, step_dir)} if implicit else {}
  json_files.write(os.path.join(workdir, 'reward_model.json'), {
      'kind': 'steps', 'form': c.form, **held_against, 'separators': list(c.separators), 'template': c.template,
      'length': c.length, 'slope': score.slope, 'shift': score.shift, 'combine': c.combine, **facts})
  return {**facts, 'preferences': len(rows), 'steps': c.steps}


def _read(rows: list[dict]) -> tuple[list[list[int]], list[int]]:
  """What a model of steps is asked: token ids, and where answers begin."""
  return [row['ids'] for row in rows], [row.get('start', 0) for row in rows]


def _beside_reference(encoded: objective.Steps, rows: list[dict], read, params) -> objective.Steps:
  """With what the reference says of each answer."""
  reference_NxT = np.zeros(encoded.tokens_BxT.shape, np.float32)
  for i, said in enumerate(read(params, *_read(rows))):
    reference_NxT[i, :len(said)] = said
  return encoded._replace(starts_B=np.asarray([row['start'] for row in rows], np.int32), reference_BxT=reference_NxT)


def _at_steps(found: list[np.ndarray], rows: list[dict]) -> tuple[list, list, list]:
  """(what was found at the steps' ends that the model has read, their labels, what the rule says of them)."""
  scores, labels, rules = [], [], []
  for said, row in zip(found, rows):
    for end, label, rule in zip(row['ends'], row['labels'], row.get('rule') or [None] * len(row['ends'])):
      if end < len(said):
        scores.append(said[end])
        labels.append(label)
        rules.append(rule)
  return scores, labels, rules


def _refuse(facts: dict, least: float, name: str) -> None:
  """Raises RunStopped for a model that cannot tell right steps from wrong ones; says how well it can."""
  said = (f'{facts["heldout_steps"]} steps of {facts["heldout"]} answers held out, {facts["right_share"]:.1%} of them '
          'right')
  if facts['auc'] is None:
    text = f'{name}: {said}: with one kind alone nothing tells whether the model learned anything'
  else:
    text = f'{name}: AUC {facts["auc"]:.3f} on {said}, calibration error {facts["ece"]:.3f}'
  if (facts['auc'] or 0.0) < least:
    raise RunStopped(f'{text}; {name}.least_auc={least} refuses it: label more answers ({name}.task.size), at a higher '
                     f'{name}.temperature, or lower the limit')
  log.info('%s', text)


def right_share(rows: list[dict]) -> float:
  """The share of right steps, labels added up."""
  return float(np.mean([label for row in rows for label in row['labels']] or [0.0]))


def _from_policy(config, c, name: str, workdir: str, model, tokenizer, step_dir: str, mesh) -> list[dict]:
  """{id, ids, ends, labels, rule} of answers of the policy's: ids of prompt and answer, where steps end, what they are.

  First all answers, then the roll-outs: each batch of questions is on disk as soon as it is judged, or labelled.
  """
  asked = prompts.ready(_rows(c, name), tokenizer, template=c.template, max_prompt=c.max_prompt,
                        key=f'{name}.max_prompt')
  batches = common.Batches(workdir)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges:
    params = common.load_sampling_params(model, step_dir, mesh)
    _answers(config, c, name, batches, model, tokenizer, mesh, params, judges, asked)
    _labels(config, c, name, batches, model, tokenizer, mesh, params, judges, asked)
  batches.written()
  return list(batches.kept('labels'))


def _answers(config, c, name: str, batches, model, tokenizer, mesh, params, judges, asked: list[dict]) -> None:
  """Samples, of which `keep` a question are kept, right ones and wrong ones alike (shepherd.balanced)."""
  if batches.done('answers') == len(asked):
    return
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=c.samples, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=c.sample_batch, temperature=c.temperature, top_p=1.0, seed=config.seed, slots=c.slots, name=name,
      grace=config.checkpoints.grace)
  progress = _progress(batches, len(asked), f'{name}, answers')
  for sampled in generator(params, asked, first=batches.done('answers')):
    verdicts = judges.score([(row.get('reward', 'math'), text, row)
                             for row, texts in zip(sampled.rows, sampled.texts) for text in texts])
    # Each host asks by its own clock, and the roll-outs that follow must be the same: the first one's verdicts.
    told_BxG = mesh_lib.of_first(np.array([-1 if reject.wrong(verdict) == 'no verdict' else verdict.value == 1.0
                                           for verdict in verdicts], np.int8)).reshape(len(sampled.rows), -1)
    kept = []
    for completions, told_G in zip(sampled.completions, told_BxG):
      told = [(said.tokens.tolist(), right == 1) for said, right in zip(completions, told_G)
              if right >= 0 and len(said.tokens)]
      chosen = [told[i] for i in shepherd.balanced([right for _, right in told], c.keep)]
      kept.append({'answers': [ids for ids, _ in chosen], 'right': [right for _, right in chosen]})
    batches.add('answers', len(sampled.rows), kept)
    progress.update(batches.done('answers'))
    common.stop_if_asked(name)


def _labels(config, c, name: str, batches, model, tokenizer, mesh, params, judges, asked: list[dict]) -> None:
  """Of each question's kept answers the rows of steps.jsonl."""
  first = batches.done('labels')
  if first == len(asked):
    return
  labeller = shepherd.Labeller(config, c, name, model, tokenizer, mesh, params, judges) if c.rollouts else None
  progress = _progress(batches, len(asked), f'{name}, labels')
  batches.written()
  of_question = itertools.islice(batches.kept('answers'), first, None)
  for start in range(first, len(asked), c.sample_batch):
    some = asked[start:start + c.sample_batch]
    given = list(itertools.islice(of_question, len(some)))
    questions = [shepherd.Asked(start + i, row, prompts.ids(tokenizer, c.template, row), kept['answers'], [
        reward_model.ends(ids, tokenizer, c.separators) for ids in kept['answers']])
                 for i, (row, kept) in enumerate(zip(some, given))]
    labels = labeller(questions) if labeller else [[None] * len(kept['answers']) for kept in given]
    rows = [{'id': of.row['id'], **labelled(of.prompt, ids, right, c, tokenizer, known)}
            for of, kept, of_question_ in zip(questions, given, labels)
            for ids, right, known in zip(kept['answers'], kept['right'], of_question_)]
    batches.add('labels', len(some), rows)
    progress.update(batches.done('labels'), right=right_share(rows))
    common.stop_if_asked(name)


def _progress(batches, total: int, said: str) -> terminal.Progress:
  place = common.host_directory(os.path.dirname(batches.kept_path))
  return terminal.Progress(total, said, os.path.join(place, 'log.txt'))


def labelled(prompt: list[int], ids: list[int], right: bool, c, tokenizer,
             known: dict[int, float] | None = None) -> dict:
  """A row of steps.jsonl. The last step, the answer, is as right as the whole.

  Args:
    known: labels of the other steps by the places of their ends, by roll-outs; without them of kind 'value' all are as
      the answer, of kind 'process' as their arithmetic. A step of which nothing is known is left out.
  """
  ends, start = reward_model.ends(ids, tokenizer, c.separators), 0
  kept, labels, rules = [], [], []
  for end in ends:
    rule, start = right_step(tokenizer.decode(ids[start:end + 1])), end + 1
    if end == len(ids) - 1:
      label = right
    elif known is not None:
      label = known.get(end)
    else:
      label = right if c.kind == 'value' else rule
    if label is not None:
      kept.append(len(prompt) + end)
      labels.append(float(label))
      rules.append(rule)
  return {'ids': prompt + ids, 'start': len(prompt), 'ends': kept, 'labels': labels, 'rule': rules}


def encode(rows: list[dict], length: int, pad_id: int, share: float | None = None) -> objective.Steps:
  """Each step's weight and label at its end, no reference beside them; what lies past `length` is cut.

  Args:
    share: of right steps: then both kinds weigh the same, in all as much as there are steps. A label y between both
      weighs as y right steps and 1 - y wrong ones.
  """
  tokens, lengths = np.full((len(rows), length), pad_id, np.int32), np.zeros(len(rows), np.int32)
  weights, labels = np.zeros((2, len(rows), length), np.float32)
  of_right, of_wrong = (0.5 / share, 0.5 / (1 - share)) if share is not None and 0 < share < 1 else (1.0, 1.0)
  for i, row in enumerate(rows):
    ids = row['ids'][:length]
    tokens[i, :len(ids)], lengths[i] = ids, len(ids)
    for end, label in zip(row['ends'], row['labels']):
      if end < length:
        weights[i, end] = label * of_right + (1 - label) * of_wrong
        labels[i, end] = label * of_right / weights[i, end]
  return objective.Steps(tokens, lengths, None, None, weights, labels)
