"""Stage: prompt -> rollout -> reward -> advantage -> update -> checkpoint -> eval. The data-flow diagram.

One rollout serves `minibatches` optimiser steps (paper v2: 8,192 outputs, 16 minibatches, one inner epoch), so the
policy moves away from the one that sampled, and old log-probabilities matter.
"""

import os
import time

import grain
import jax
import jax.numpy as jnp
import numpy as np

from r1jax import checkpoint
from r1jax import evaluate
from r1jax import grpo
from r1jax import losses
from r1jax import mesh as mesh_lib
from r1jax import metrics
from r1jax import optim
from r1jax import prompts
from r1jax import rollout
from r1jax import scoring
from r1jax import stage
from r1jax import tasks
from r1jax import update
from r1jax.models import dense
from r1jax.types import Batch, Prompts, UserError


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
  if c.is_cap and c.old_logps != 'trainer':
    raise UserError(f"{name}.is_cap={c.is_cap} compares trainer and sampler: it needs {name}.old_logps='trainer', "
                    f'not {c.old_logps!r}')
  mesh_lib.check_divides(f'{name}.micro_groups', c.micro_groups, mesh)
  prompts.render(c.template, '')
  scoring.Scorer(config.rewards.to_dict(), '', _rows(c)).close()


def _rows(c) -> list[dict]:
  return tasks.load(c.task.source, size=c.task.size, seed=c.task.seed, split='train', params=c.task.params.to_dict(),
                    prefill=c.task.prefill)


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """GRPO from inputs['checkpoint'] for config[name].steps optimiser steps."""
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = stage.load_model(inputs['checkpoint'], dtype=config.dtype, remat=config.remat)
  stage.save_model(workdir, model, tokenizer)
  rows = _rows(c)
  per_rollout = c.groups * c.minibatches
  all_prompts = prompts.encode(rows, tokenizer, template=c.template, max_prompt=c.max_prompt)
  order = grain.MapDataset.source(np.arange(len(rows))).seed(config.seed).shuffle().repeat()
  scorer = scoring.Scorer(config.rewards.to_dict(), workdir, rows)

  optimizer = optim.create(steps=c.steps, learning_rate=c.learning_rate, **c.optimizer)
  reference = c.kl_coef > 0
  shardings = update.state_shardings(update.abstract_params(model), optimizer, mesh, reference=reference)
  batch_rows = mesh_lib.batch_sharding(mesh)
  empty_cache = lambda b, slots: dense.empty_cache(model.config, b, slots)
  sample = jax.jit(
      rollout.make_sampler(model.apply, empty_cache, samples=c.samples, max_tokens=c.max_tokens,
                           eos_ids=tokenizer.eos_ids, pad_id=tokenizer.pad_id, temperature=c.temperature),
      in_shardings=(shardings.params, batch_rows, None), out_shardings=batch_rows,
      compiler_options=mesh_lib.compiler_options(mesh))
  chunk = lambda groups: losses.chunk_positions(config.logit_elements, groups * c.samples, model.config.vocab_size)
  logps_of = jax.jit(lambda params, asked, tokens: rollout.completion_logps(
      model.apply, params, asked, tokens, temperature=c.temperature, chunk=chunk(per_rollout))[0],
                     compiler_options=mesh_lib.compiler_options(mesh))
  step_fn = update.make_update(make_loss(model.apply, c, chunk(c.micro_groups)), optimizer, mesh, shardings,
                               groups=c.groups, micro_batches=c.groups // c.micro_groups)
  heldout = evaluate.during_training(config, c, model, tokenizer, mesh)

  checkpoints = checkpoint.Checkpoints(workdir, keep=config.checkpoints.keep)
  writer = metrics.Writer(workdir, name)
  progress = metrics.Progress(c.steps, name, os.path.join(workdir, 'log.txt'))
  with stage.use_mesh(mesh):
    fresh = jax.jit(lambda p: update.fresh(p, optimizer, seed=config.seed, reference=reference),
                    out_shardings=shardings, donate_argnums=0)
    abstract = jax.eval_shape(fresh, jax.eval_shape(lambda: update.init_params(model, 0)))
    restored = checkpoints.restore(abstract, shardings)
    state = restored[0] if restored else fresh(stage.load_params(model, step_dir, mesh))
    step, number = int(state.step), int(state.position)
    writer.truncate(step if restored else -1)
    metrics.truncate_samples(workdir, step)
    if restored is None and heldout:
      writer.write(0, {'rollout': 0, **heldout(state.params)})

    while step < c.steps:
      start = time.monotonic()
      if reference and step and _crossed(step, c.minibatches, c.ref_every):
        state = state.replace(ref_params=jax.tree.map(jnp.copy, state.params))
      chosen = np.asarray([order[number * per_rollout + i] for i in range(per_rollout)])
      asked = Prompts(*(a[chosen] for a in all_prompts))
      on_mesh = mesh_lib.put_batch(asked, mesh)
      key = jax.random.fold_in(jax.random.wrap_key_data(state.key), number)
      out = jax.device_get(sample(state.params, on_mesh, key))
      sampled = time.monotonic()

      texts = [tokenizer.decode(ids[:n]) for ids, n in zip(out.tokens_BxT, out.lengths_B)]
      judged = scorer(number, [rows[i] for i in np.repeat(chosen, c.samples)], texts)
      advantages_NxG = np.asarray(grpo.group_advantages(judged.total_B.reshape(-1, c.samples), scale=c.scale))
      scored = time.monotonic()

      tokens = mesh_lib.put_batch(out.tokens_BxT, mesh)
      old = jax.device_get(logps_of(state.params, on_mesh, tokens)) if c.old_logps == 'trainer' else out.logps_BxT
      ref = jax.device_get(logps_of(state.ref_params, on_mesh, tokens)) if reference else None
      batch = Batch(*asked, out.tokens_BxT, out.lengths_B, out.logps_BxT, old, ref, advantages_NxG.reshape(-1))
      facts = scoring.facts(out, judged, advantages_NxG, texts)
      ema = float(state.accuracy_ema)
      ema = facts['accuracy/mean'] if ema < 0 else 0.95 * ema + 0.05 * facts['accuracy/mean']
      state = state.replace(position=jnp.int32(number + 1), accuracy_ema=jnp.float32(ema))
      means = []
      for part in _minibatches(batch, c, seed=config.seed, number=number):
        state, mean = step_fn(state, mesh_lib.put_batch(part, mesh))
        means.append(mean)
      means = [{k: float(v) for k, v in mean.items()} for mean in means]
      done = time.monotonic()

      scoring.stop_if_broken(means, mismatch_limit=c.mismatch_limit, first=number == 0)
      seconds = {'rollout/seconds': sampled - start, 'rewards/seconds': scored - sampled,
                 'update/seconds': done - scored, 'step/seconds': done - start}
      facts |= {k: v / c.minibatches for k, v in seconds.items()}
      facts['rollout/tokens_per_second'] = float(out.lengths_B.sum()) / (sampled - start)
      facts['update/tokens_per_second'] = float(out.lengths_B.sum() + asked.lengths_N.sum()) / (done - scored)
      metrics.write_samples(workdir, step + c.minibatches, scoring.sample_rows(
          step + c.minibatches, number, [rows[i] for i in chosen], texts, out, judged, advantages_NxG,
          keep=c.sample_groups))
      step, number = step + c.minibatches, number + 1
      last, stop = step >= c.steps, checkpoint.stop_requested.is_set()
      for i, mean in enumerate(means, 1 - c.minibatches):
        if i > 1 - c.minibatches:  # after the first minibatch the policy has moved: the gap is not the sampler's
          mean = {k: v for k, v in mean.items() if not k.startswith('mismatch/')}
        if i == 0 and heldout and (last or _crossed(step, c.minibatches, c.eval_every)):
          mean |= heldout(state.params)
        writer.write(step + i, {'rollout': number - 1, **facts, **mean})
      progress.update(step, accuracy=facts['accuracy/mean'], length=facts['length/tokens'])
      scoring.warn_if_rare(ema, number, c.samples)
      if last or stop or _crossed(step, c.minibatches, config.checkpoints.every):
        checkpoints.save(state, {'stage': name})
      if stop and not last:
        raise checkpoint.Stopped(f'{name} stopped at step {step}')
  checkpoints.close()
  writer.close()
  scorer.close()


def make_loss(apply, c, chunk: int = 128):
  """loss_fn(params, Batch) for update.make_update: grpo.policy_loss on log-probs at the sampler's temperature."""

  def loss_fn(params, batch: Batch):
    asked = Prompts(batch.prompts_NxP, batch.prompt_lengths_N)
    logps, entropy = rollout.completion_logps(apply, params, asked, batch.completions_BxT, temperature=c.temperature,
                                             chunk=chunk)
    mask = losses.length_mask(batch.lengths_B, batch.completions_BxT.shape[1])
    weights = None
    if c.is_cap:
      weights = grpo.importance_weights(batch.old_logps_BxT, batch.sampler_logps_BxT, cap=c.is_cap)
    numerator, denominator, sums = grpo.policy_loss(
        logps, batch.old_logps_BxT, batch.ref_logps_BxT, batch.advantages_B, mask, clip_low=c.clip_low,
        clip_high=c.clip_high, kl_coef=c.kl_coef, ratio=c.ratio, aggregate=c.aggregate, max_length=c.max_tokens,
        is_weights_BxT=weights)
    count = jnp.sum(mask)
    gap = jax.lax.stop_gradient(jnp.where(mask > 0, logps - batch.sampler_logps_BxT, 0.0))
    sums |= {'entropy/nats_per_token': (losses.masked_sum(jax.lax.stop_gradient(entropy), mask), count),
             'mismatch/logp_mean_abs': (jnp.sum(jnp.abs(gap)), count),
             'mismatch/logp_max_abs': (jnp.max(jnp.abs(gap)), jnp.float32(1)),
             'mismatch/kl_nats_per_token': (jnp.sum(losses.kl_k3(-gap, 0.0)), count)}
    return numerator, denominator, sums

  return loss_fn


def _minibatches(batch: Batch, c, *, seed: int, number: int):
  """The rollout's groups, shuffled and dealt out to optimiser steps; a group is never split."""
  n = c.groups * c.minibatches
  shuffled = np.random.default_rng([seed, number]).permutation(n)
  for part in np.split(shuffled, c.minibatches):
    of = lambda x: np.asarray(x).reshape(n, -1, *x.shape[1:])[part].reshape(-1, *x.shape[1:])
    yield jax.tree.map(of, batch)


def _crossed(step: int, stride: int, every: int) -> bool:
  """Whether a multiple of `every` lies in the last `stride` steps; never, for 0."""
  return bool(every) and step // every != (step - stride) // every
