"""Stage: prompt -> rollout -> reward -> advantage -> update -> checkpoint -> eval. The data-flow diagram.

One rollout serves `minibatches` x `epochs` optimiser steps (paper v2: 8,192 outputs, 16 minibatches, one inner epoch),
so the policy moves away from the one that sampled, and old log-probabilities matter. drawing.py asks, samples, judges.
"""

import contextlib
import functools
import logging
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import limits
from r1jax import metrics
from r1jax import stopping
from r1jax import terminal
from r1jax.data import general as general_lib
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.engine import grpo
from r1jax.engine import hosts
from r1jax.engine import lora
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import profile
from r1jax.engine import trainings
from r1jax.exceptions import UserError
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.stages import drawing
from r1jax.stages import evaluate
from r1jax.stages import journal
from r1jax.stages import judging
from r1jax.stages import policy
from r1jax.stages import record
from r1jax.stages import reward_model
from r1jax.stages import rl_options
from r1jax.stages import rl_questions
from r1jax.stages import statistics

log = logging.getLogger('r1jax')


def reads(c: dict) -> tuple[str, ...]:
  """What the stage's numbers depend on beside its own part (pipeline.py)."""
  return ('seed', 'dtype', 'experts', 'lora', *([] if c.get('rewards') else ['rewards']))


def free(c: dict) -> tuple[str, ...]:
  """Keys of its part that change no number: slots do where groups are carried over, as they say which end first."""
  return ('micro_tokens', 'ref_memory', 'eval_every', 'eval_questions', 'eval_samples', 'sample_groups',
          'mismatch_limit', 'bad_steps', *([] if c.get('carry') else ['slots']))


def goes_on_with(c: dict, key: str, was, now) -> bool:
  """Whether a stage that has begun goes on where this key of its part is another: a run that exit code 4 ended is given
  a lower learning rate. Rollouts that were drawn by policies that come otherwise then are forgotten (`changed`), and
  with rl.dynamic_tries nothing tells which those are."""
  if c.get('dynamic_tries'):
    return False
  if key == 'kl_coef':
    return bool(was and now)  # else there is a reference with one of them alone
  return key in ('learning_rate', 'optimizer.clip_norm', 'clip_low', 'clip_high')


def changed(c: dict, workdir: str, step: int) -> None:
  """Before the stage goes on from `step` with such values: forgets rollouts that it would not draw."""
  journal.forget_after(workdir, step // (c['minibatches'] * c['epochs']) + c.get('lag', 0))


def check(config, name: str) -> None:
  """Raises UserError for what would fail later, after hours of another stage, and less clearly."""
  c, mesh, weights = config[name], mesh_lib.create(config.mesh), _weights(config, config[name])
  rl_options.check(c, name, weights)
  for key, plain in (('ref_dtype', 'float32'), ('ref_memory', 'device')):
    if lora.section(config, c) and c[key] != plain:
      raise UserError(f"{name}.{key}={c[key]!r} is for a reference of its own; with lora.rank="
                      f'{lora.section(config, c).rank} the base is the reference, kept once: give '
                      f'--config.{name}.{key}={plain}')
  trainings.check(c, mesh, limits.longest(c.max_tokens))
  prompts.render(c.template, '')
  given = next((spec['inputs'] for spec in config.stages if spec['name'] == name), {})
  for reward in judging.MODELS:
    if weights.get(reward) and reward not in given:
      raise UserError(f'reward {reward!r} comes from a reward model: stage {name!r} needs the input {reward!r}, '
                      'or the weight 0')
  if c.aggregate == 'fixed_length' and limits.shortest(c.max_tokens) < limits.longest(c.max_tokens):
    raise UserError(f"{name}.aggregate='fixed_length' divides by one {name}.max_tokens, a schedule has several: take "
                    'another aggregate, or one number')
  checking.weights(weights, max_tokens=limits.shortest(c.max_tokens), overlong_buffer=c.overlong_buffer)
  checking.task(c.task, f'{name}.task')
  if c.general.source:
    general_lib.check(c.general, f'{name}.general')
    if not 0 < c.general.share < 1:
      raise UserError(f'{name}.general.share={c.general.share} of the groups must lie between 0 and 1')
  if c.eval_every:
    evaluate.check_tasks(config.evaluate, 'evaluate')


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions that cannot be read or judged on this machine, before hours of another stage."""
  c = config[name]
  rows = rl_questions.rows_of(c, name)
  judging.Scorer(_weights(config, c), '', sum(rows, []), overlong_buffer=c.overlong_buffer).close()
  if c.eval_every and not any(spec.get('config', spec['name']) == 'evaluate' for spec in config.stages):
    evaluate.check_files(config, 'evaluate')  # else a stage of that name does
  for task, key in evaluate.all_tasks(config.evaluate):
    rl_questions.warn_if_shared(task, key, c, rows[0], name)
  learned, measured = tasks.names_of(tasks.several(c.task)), evaluate.names(config.evaluate)
  if not set(learned) & set(measured):
    log.info('%s learns from %s and is measured on %s (evaluate.task.source)', name, ', '.join(learned),
             ', '.join(measured))
  looked = [*rows, *([evaluate.rows_during(config, c)] if c.eval_every else [])]
  return [checking.asked(c, name, some) for some in looked if some]


def _weights(config, c) -> dict[str, float]:
  """The stage's own rewards where it has some, else the config's."""
  return (c.rewards if c.get('rewards') else config.rewards).to_dict()


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """GRPO from inputs['checkpoint'] for config[name].steps optimiser steps; returns what it took in.

  inputs['helpful'] and inputs['harmless'] are reward models for the general questions (c.general).
  """
  c, mesh, place, started = config[name], mesh_lib.create(config.mesh), common.host_directory(workdir), time.monotonic()
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  common.check_length(model, c.max_prompt + limits.longest(c.max_tokens), name)
  prompts.warn_if_other(tokenizer, c.template, name)
  common.save_model(workdir, model, tokenizer, made_from=inputs['checkpoint'], prompt=rl_questions.asked_with(c),
                    lora=lora.of(config, c, model))
  weights, per, named = _weights(config, c), limits.steps_a_rollout(c), tasks.names_of(tasks.several(c.task))
  rows, general, order = rl_questions.ordered(config, c, tokenizer, c.groups * c.minibatches, f'{name}.max_prompt')
  scorer = judging.Scorer(weights, place, rows, overlong_buffer=c.overlong_buffer,
                          stop=lambda: hosts.leave_if_due(config.checkpoints.grace, 'verdicts were waited for'))
  encoded = prompts.encode(rows, tokenizer, template=c.template, max_prompt=c.max_prompt)
  with terminal.doing(f'{name}: compiling sampler and update'):
    actor = policy.Policy(config, c, name, model, tokenizer, mesh, encoded, journal.Journal(workdir))
  heldout = evaluate.during_training(config, c, name, model, tokenizer, mesh)
  advantages_of = jax.jit(functools.partial(grpo.group_advantages, scale=c.scale))
  models = _models(weights, inputs, config, mesh, batch=c.groups)
  checkpoints = common.checkpoints(config, workdir, started)
  with (mesh_lib.use_mesh(mesh), contextlib.closing(scorer), contextlib.closing(checkpoints),
        contextlib.closing(profile.trace(os.path.join(workdir, 'profile'))) as trace,
        contextlib.closing(metrics.Writer(place, name)) as writer):
    state, restored = _restored(checkpoints, actor, model, step_dir, mesh)
    step, number, clock = int(state.step), int(state.position), metrics.Clock()
    common.say_resumed(name, step, c.steps, workdir, restored)
    keeper = record.Keeper(name, workdir, c, actor, scorer, checkpoints, number)
    draws = drawing.Drawing(config, c, actor, scorer, tokenizer, rows, order, models, clock)
    written = record.Record(c, place, writer, step if restored else -1, clock)
    if not restored:
      _look_before(name, actor, state, heldout, writer)
    elif _evaluated_at(c, step) and written.lacks_evaluation(step):
      with terminal.doing(f'{name}: evaluating step {step}, which a stop has put off'):
        written.add_evaluation(step, heldout(actor.training.whole(state.params)))

    while step < c.steps:
      begun = number * per  # steps before this rollout
      first = step - begun  # of its minibatches: an earlier start has learned from those before it
      trace.at(step + 1)
      if not first and _crossed(step, per, c.ref_every) and state.ref_params is not None:
        state = actor.refresh_reference(state)
      with keeper.stops(state, number):
        drawn = draws.rollout(state, number)
        batch, verdicts = drawn.batch, drawn.verdicts
        minibatches = actor.minibatches(batch, number, state, clock, first)  # and log-probs, while the host judges
        with clock.span('judge_wait'):
          judged = drawn.judged()
      with clock.span('reference'):  # which the devices may still be at
        jax.block_until_ready([rows for minibatch in minibatches for _, rows, _ in minibatch.micro_batches])
      with clock.span('update'):
        advantages_NxG = np.asarray(advantages_of(judged.total_B.reshape(-1, c.samples)))
      counted = verdicts.text_facts(batch.groups, statistics.of_text, len(statistics.TEXT))  # while the devices learn
      with keeper.stops(state, number):
        draws.ahead(state, number + 1)

      def facts() -> dict:  # as well
        written.samples(begun + per, number, batch, rows, verdicts, judged, advantages_NxG)
        asked = [rows[row].get('task') for row in batch.rows for _ in range(c.samples)]
        return statistics.facts(
            batch.completions, judged, advantages_NxG, verdicts.gathered(counted, len(batch.completions)),
            general=bool(general)) | statistics.by_task(named, asked, judged) | actor.facts(
                batch, minibatches) | drawn.facts

      rollout = record.Rollout(number, step, first, facts, clock)
      state = _learn(actor, state, minibatches[first:], advantages_NxG, rollout, keeper, written, trace)
      verdicts.stop_if_unjudged(rollout.facts)
      ema = written.ema(rollout.facts, float(state.accuracy_ema))
      step, number = begun + per, number + 1
      state = state.replace(position=jnp.int32(number), accuracy_ema=jnp.float32(ema))
      last, stop = step >= c.steps, hosts.stop_asked()
      if put_off := _evaluated_at(c, step):
        put_off = stop or not _evaluated(heldout, actor.training.whole(state.params), rollout)
      written.write(rollout, ema)
      if put_off or (stop and not last):
        keeper.stop(state, number)
      if last or stop or _crossed(step, per, config.checkpoints.every) or checkpoints.due():
        keeper.save(state, number, clock)
  return {'questions': len(rows) - general, **({'general_questions': general} if general else {}), 'steps': step,
          'rollouts': number, 'samples': draws.sampled(number) * c.samples}


def _look_before(name: str, actor, state, heldout, writer: metrics.Writer) -> None:
  """Before the first rollout: whether sampler and trainer agree, and what the start says to held-out questions."""
  with terminal.doing(f'{name}: comparing sampler and trainer'):
    actor.stop_if_apart(state)
  if heldout:
    with terminal.doing(f'{name}: evaluating before the first step'):
      writer.write(0, {'rollout': 0, **heldout(actor.training.whole(state.params))})


def _evaluated_at(c, step: int) -> bool:
  """Whether the policy behind so many optimiser steps is asked held-out questions."""
  per = limits.steps_a_rollout(c)
  return bool(c.eval_every) and not step % per and (step >= c.steps or _crossed(step, per, c.eval_every))


def _evaluated(heldout, params, rollout: record.Rollout) -> bool:
  """Whether the rollout's last row has its evaluation; not where the run was asked to stop in the middle of it: the
  next start makes up for it."""
  try:
    with rollout.clock.span('evaluate'):
      rollout.means[-1] |= heldout(params)
    return True
  except stopping.Stopped:
    return False


def _restored(checkpoints, actor, model, step_dir: str, mesh):
  """(The state to go on from, whether an earlier start has left it)."""
  found = checkpoints.restore(actor.training.state, actor.training.shardings, record.beside(checkpoints.stage))
  begun = functools.partial(common.load_params, model, step_dir, mesh)
  state = actor.training.resumed(found[0], begun) if found else actor.training.fresh(begun())
  common.release_memory()
  return state, bool(found)


def _learn(actor, state, minibatches: list, advantages_NxG: np.ndarray, rollout, keeper, written, trace):
  """The state behind the optimiser steps of a rollout, whose means and facts are then in `rollout`.

  Raises:
    Stopped: the run was asked to stop between two micro-batches; its steps so far are saved.
    RunStopped: too many steps in a row were not finite.
  """
  steps, step = actor.learn(state, minibatches, advantages_NxG, rollout.clock), rollout.step
  dump = lambda at: actor.noted(minibatches[at], advantages_NxG)
  for left, (state, means) in zip(range(len(minibatches) - 1, -1, -1), steps):
    step += 1
    trace.behind(step, means)
    if left:
      trace.at(step + 1)
    rollout.add(means)
    if left and keeper.due():
      written.stop_if_broken(rollout, dump)
      written.write(rollout)
      keeper.save(state, rollout.number, rollout.clock)
  if len(rollout.means) + rollout.written < len(minibatches):
    if rollout.means:
      written.write(rollout)
    keeper.stop(state, rollout.number, in_the_middle=True)
  written.stop_if_broken(rollout, dump)
  return state


def _models(weights: dict, inputs: dict, config, mesh, *, batch: int) -> dict:
  """{reward: the model that gives it}, of those that count."""
  return {reward: reward_model.RewardModel(inputs[reward], config, mesh, batch=batch)
          for reward in judging.MODELS if weights.get(reward)}


def _crossed(step: int, stride: int, every: int) -> bool:
  """Whether a multiple of `every` lies in the last `stride` steps; never, for 0."""
  return bool(every) and step > 0 and step // every != (step - stride) // every
