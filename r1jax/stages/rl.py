"""Stage: prompt -> rollout -> reward -> advantage -> update -> checkpoint -> eval. The data-flow diagram.

One rollout serves `minibatches` optimiser steps (paper v2: 8,192 outputs, 16 minibatches, one inner epoch), so the
policy moves away from the one that sampled, and old log-probabilities matter.
"""

import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.engine import checkpoint
from r1jax.stages import evaluate
from r1jax.engine import grpo
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax.engine import programs
from r1jax.data import prompts
from r1jax.data import questions
from r1jax.stages import reward_model
from r1jax.stages import judging
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.types import Batch, Prompts, Rollout, UserError


def check(config, name: str) -> None:
  """Raises UserError for what would fail later, after hours of another stage, and less clearly."""
  c, mesh = config[name], mesh_lib.create(config.mesh)
  if c.samples < 2:
    raise UserError(f'{name}.samples={c.samples}: a group of one has no baseline (eq. 3), give at least 2')
  if c.temperature <= 0:
    raise UserError(f'{name}.temperature={c.temperature} must be > 0: a greedy policy has no gradient')
  if c.steps % c.minibatches:
    raise UserError(f'{name}.steps={c.steps} is not a multiple of {name}.minibatches={c.minibatches}: '
                    f'use {c.steps // c.minibatches * c.minibatches or c.minibatches}')
  if c.groups % c.micro_groups:
    raise UserError(f'{name}.groups={c.groups} is not a multiple of {name}.micro_groups={c.micro_groups}')
  if c.micro_samples and c.samples % c.micro_samples:
    raise UserError(f'{name}.samples={c.samples} is not a multiple of {name}.micro_samples={c.micro_samples}')
  if c.groups * c.minibatches % programs.wave_of(c):
    raise UserError(f'{name}.groups x minibatches={c.groups * c.minibatches} is not a multiple of '
                    f'{name}.rollout_groups={c.rollout_groups}')
  if c.is_cap and c.old_logps != 'trainer':
    raise UserError(f"{name}.is_cap={c.is_cap} compares trainer and sampler: it needs {name}.old_logps='trainer', "
                    f'not {c.old_logps!r}')
  mesh_lib.check_divides(f'{name}.micro_groups', c.micro_groups, mesh)
  mesh_lib.check_divides(f'{name}.rollout_groups', programs.wave_of(c), mesh)
  prompts.render(c.template, '')
  weights = _weights(config, c)
  given = next((spec['inputs'] for spec in config.stages if spec['name'] == name), {})
  for reward in judging.MODELS:
    if weights.get(reward) and reward not in given:
      raise UserError(f'reward {reward!r} comes from a reward model: stage {name!r} needs the input {reward!r}, or the weight 0')
  if c.general.source and not 0 < c.general.share < 1:
    raise UserError(f'{name}.general.share={c.general.share} of the groups must lie between 0 and 1')
  judging.Scorer(weights, '', sum(_rows(c), []), max_tokens=c.max_tokens, overlong_buffer=c.overlong_buffer).close()


def _weights(config, c) -> dict[str, float]:
  """The stage's own rewards where it has some, else the config's."""
  return (c.rewards if c.get('rewards') else config.rewards).to_dict()


def _rows(c) -> tuple[list[dict], list[dict]]:
  """(questions that reason, general ones)."""
  at = dict(split='train', template=c.template)
  return tasks.asked(c.task, **at), tasks.general(c.general, seed=c.task.seed, **at) if c.general.source else []


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """GRPO from inputs['checkpoint'] for config[name].steps optimiser steps; returns what it took in.

  inputs['helpful'] and inputs['harmless'] are reward models for the general questions (c.general).
  """
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  common.save_model(workdir, model, tokenizer)
  weights, (reasoning, general) = _weights(config, c), _rows(c)
  rows = reasoning + general
  per_rollout = c.groups * c.minibatches
  all_prompts = prompts.encode(rows, tokenizer, template=c.template, max_prompt=c.max_prompt)
  order = questions.Order(len(reasoning), len(general), per_rollout, seed=config.seed, share=c.general.share, first=c.general.from_step)
  place, wave = common.host_directory(workdir), programs.wave_of(c)
  # Of each wave, the prompts that this process's devices sample: it alone scores them, and deals them out to minibatches.
  own = mesh_lib.own_rows(wave, mesh)
  mesh_lib.check_own(own, wave)
  here = np.concatenate([start + own for start in range(0, per_rollout, wave)])
  scorer = judging.Scorer(weights, place, rows, max_tokens=c.max_tokens, overlong_buffer=c.overlong_buffer)

  reference = c.kl_coef > 0
  built = programs.rl(config, c, model, mesh)
  to_sampling = programs.to_sampling(model, mesh)
  sample = programs.sampling(
      model, mesh, prompts=wave, max_prompt=c.max_prompt, samples=c.samples, max_tokens=c.max_tokens,
      eos_ids=tokenizer.eos_ids, pad_id=tokenizer.pad_id, temperature=c.temperature).sample.compile()
  logps_of = built.logps.compile() if reference or c.old_logps == 'trainer' else None
  step_fn = built.step.compile()
  heldout = evaluate.during_training(config, c, model, tokenizer, mesh)
  models = {reward: reward_model.RewardModel(inputs[reward], config, mesh, batch=programs.wave_of(c))
            for reward in judging.MODELS if weights.get(reward)}

  checkpoints = checkpoint.Checkpoints(workdir, keep=config.checkpoints.keep)
  writer = metrics.Writer(place, name)
  progress = metrics.Progress(c.steps, name, os.path.join(place, 'log.txt'))
  common.release_memory()
  with programs.use_mesh(mesh):
    restored = checkpoints.restore(built.state, built.shardings)
    state = restored[0] if restored else built.fresh(common.load_params(model, step_dir, mesh))
    common.release_memory()
    step, number = int(state.step), int(state.position)
    writer.truncate(step if restored else -1)
    metrics.truncate_samples(place, step)
    unhacked = judging.first_watched(metrics.read(writer.path))  # what the hacking monitor compares with
    if restored is None and heldout:
      writer.write(0, {'rollout': 0, **heldout(state.params)})

    while step < c.steps:
      start = time.monotonic()
      if reference and step and _crossed(step, c.minibatches, c.ref_every):
        state = state.replace(ref_params=jax.tree.map(jnp.copy, state.params))
      chosen = order(number, step)
      asked = Prompts(*(a[chosen] for a in all_prompts))
      waves = [Prompts(*(a[i:i + wave] for a in asked)) for i in range(0, per_rollout, wave)]
      key = jax.random.fold_in(jax.random.wrap_key_data(state.key), number)
      out = _in_waves(sample, to_sampling(state.params), waves, mesh, key, c.samples)
      asked_tokens, chosen, asked = asked.lengths_N.sum(), chosen[here], Prompts(*(a[here] for a in asked))
      sampled = time.monotonic()

      texts = [tokenizer.decode(ids[:n]) for ids, n in zip(out.tokens_BxT, out.lengths_B)]
      answered = [rows[i] for i in np.repeat(chosen, c.samples)]
      # Before its step no question is general. From there on every host asks, in one order, whatever its rows are.
      measured = {reward: ask(answered, texts) for reward, ask in models.items()
                  if reward == 'process' or step >= c.general.from_step}
      verdicts = scorer.begin(number, answered, texts, out, measured)
      old, ref = out.logps_BxT, None  # while the host judges, the devices go on
      if c.old_logps == 'trainer':
        old = _logps(logps_of, state.params, asked, out.tokens_BxT, c, mesh)
      if reference:
        ref = _logps(logps_of, state.ref_params, asked, out.tokens_BxT, c, mesh)
      waiting = time.monotonic()
      judged = verdicts.result()
      scored = time.monotonic()
      advantages_NxG = np.asarray(grpo.group_advantages(judged.total_B.reshape(-1, c.samples), scale=c.scale))
      batch = Batch(*asked, out.tokens_BxT, out.lengths_B, out.logps_BxT, old, ref, advantages_NxG.reshape(-1))
      facts = mesh_lib.over_processes(judging.facts(out, judged, advantages_NxG, answered, texts, general=bool(general)))
      judging.stop_if_unjudged(facts)
      ema = float(state.accuracy_ema)
      ema = facts['accuracy/mean'] if ema < 0 else 0.95 * ema + 0.05 * facts['accuracy/mean']
      state = state.replace(position=jnp.int32(number + 1), accuracy_ema=jnp.float32(ema))
      means = []
      for part in _minibatches(batch, c, seed=config.seed, number=number):
        state, mean = step_fn(state, mesh_lib.put_own(part, mesh))
        means.append(mean)
      means = [{k: float(v) for k, v in mean.items()} for mean in means]
      done = time.monotonic()

      judging.stop_if_broken(means, mismatch_limit=c.mismatch_limit, first=number == 0)
      seconds = {'rollout/seconds': sampled - start, 'rewards/seconds': scored - waiting,
                 'update/seconds': done - scored + waiting - sampled, 'step/seconds': done - start}
      facts |= {k: v / c.minibatches for k, v in seconds.items()}
      tokens = facts['length/tokens'] * per_rollout * c.samples
      facts['rollout/tokens_per_second'] = tokens / (sampled - start)
      facts['update/tokens_per_second'] = (tokens + float(asked_tokens)) / seconds['update/seconds']
      metrics.write_samples(place, step + c.minibatches, judging.sample_rows(
          step + c.minibatches, number, [rows[i] for i in chosen], texts, out, judged, advantages_NxG,
          keep=c.sample_groups))
      step, number = step + c.minibatches, number + 1
      last, stop = step >= c.steps, mesh_lib.any_process(checkpoint.stop_requested.is_set())
      for i, mean in enumerate(means, 1 - c.minibatches):
        if i > 1 - c.minibatches:  # after the first minibatch the policy has moved: the gap is not the sampler's
          mean = {k: v for k, v in mean.items() if not k.startswith('mismatch/')}
        if i == 0 and heldout and (last or _crossed(step, c.minibatches, c.eval_every)):
          mean |= heldout(state.params)
        writer.write(step + i, {'rollout': number - 1, **facts, **mean})
      progress.update(step, accuracy=facts['accuracy/mean'], length=facts['length/tokens'])
      judging.warn_if_rare(ema, number, c.samples)
      if models:
        unhacked = {**judging.watched(facts), **unhacked}
        judging.warn_if_hacked(unhacked, judging.watched(facts))
      if last or stop or _crossed(step, c.minibatches, config.checkpoints.every):
        checkpoints.save(state, {'stage': name})
        scorer.forget(before=number)
      if stop and not last:
        raise checkpoint.Stopped(f'{name} stopped at step {step}')
  checkpoints.close()
  writer.close()
  scorer.close()
  return {'questions': len(reasoning), **({'general_questions': len(general)} if general else {}), 'steps': step,
          'rollouts': number, 'samples': number * per_rollout * c.samples}


def _in_waves(sample, params, waves, mesh, key, samples: int) -> Rollout:
  """This process's part of the rollout on its host, one wave of prompts after the other."""
  outs, first = [], 0
  for wave in waves:
    outs.append(jax.tree.map(mesh_lib.own, sample(params, mesh_lib.put(wave, mesh), key, np.int32(first))))
    first += len(wave.lengths_N) * samples
  return jax.tree.map(lambda *parts: np.concatenate(parts), *outs)


def _logps(logps_of, params, asked: Prompts, tokens_BxT, c, mesh) -> np.ndarray:
  """[B, T] log-probs under `params`, as many outputs at a time as the update holds."""
  tokens = tokens_BxT.reshape(-1, c.samples, tokens_BxT.shape[1])
  out = np.zeros(tokens.shape, np.float32)
  some, groups = c.micro_samples or c.samples, len(mesh_lib.own_rows(c.micro_groups, mesh))
  for n in range(0, len(tokens), groups):
    prompts_ = mesh_lib.put_own(Prompts(*(a[n:n + groups] for a in asked)), mesh)
    for g in range(0, c.samples, some):
      part = tokens[n:n + groups, g:g + some]
      found = logps_of(params, prompts_, mesh_lib.put_own(part.reshape(-1, part.shape[-1]), mesh))
      out[n:n + groups, g:g + some] = mesh_lib.own(found).reshape(part.shape)
  return out.reshape(tokens_BxT.shape)


def _minibatches(batch: Batch, c, *, seed: int, number: int):
  """The rollout's groups, shuffled and dealt out to optimiser steps; a group is never split."""
  n = len(batch.prompt_lengths_N)
  shuffled = np.random.default_rng([seed, number]).permutation(n)
  for part in np.split(shuffled, c.minibatches):
    of = lambda x: np.asarray(x).reshape(n, -1, *x.shape[1:])[part].reshape(-1, *x.shape[1:])
    yield jax.tree.map(of, batch)


def _crossed(step: int, stride: int, every: int) -> bool:
  """Whether a multiple of `every` lies in the last `stride` steps; never, for 0."""
  return bool(every) and step // every != (step - stride) // every
