"""What lies on one device while a phase runs: the programs of its stage, compiled, and all that waits beside them.

Each program is the one that the stage itself runs (engine/sampler.Sampler, engine/update.Training). Its arguments, its
results and its temporaries are the compiler's; what it does not take but the stage keeps meanwhile is counted from
shapes.
"""

import hashlib
import json
import math
import os
import re
import time
from typing import NamedTuple

import jax

from r1jax import limits
from r1jax import stage_models
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import trainings
from r1jax.stages import shepherd

EOS, PAD = (1,), 0  # ids do not change a program's size
JUDGES = ('helpful', 'harmless', 'process', 'steps')  # inputs that are models of their own, beside the policy


class Part(NamedTuple):
  """One program of a phase."""
  name: str
  program: mesh_lib.Program
  beside: int  # bytes on a device of what is no argument of it and stays there while it runs


class Held(NamedTuple):
  """A phase's programs, and bytes on a device of what all of them find there."""
  parts: list[Part]
  params: int
  optimizer: int
  cache: int
  gradients: int = 0  # the sum over micro-batches, and one micro-batch's own


def device_bytes(tree) -> int:
  """Bytes on one device of a tree of shapes with shardings; what is kept in a host's memory is none."""
  one = lambda x: math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize if x.shape else x.dtype.itemsize
  there = lambda x: getattr(x, 'sharding', None) is not None and x.sharding.memory_kind != 'pinned_host'
  return sum(one(x) for x in jax.tree.leaves(tree) if there(x))


def reference_bytes(c, state) -> int:
  """Of the reference policy on one device. jax's descriptions of GPUs know no memory but the device's, so the config
  says where it lies."""
  return 0 if c.get('ref_memory') == 'host' else device_bytes(state.ref_params)


def training_of(config, c, run: str, model, mesh):
  """The update.Training of a stage that learns."""
  if run == 'rl':
    return trainings.rl(config, c, model, mesh).training
  make = {'sft': trainings.sft, 'preference': trainings.preference, 'process': trainings.process}[run]
  return make(config, c, model, mesh)


def sampler_of(c, run: str, model, mesh, step: int = 0) -> sampler_lib.Sampler:
  """The sampler of a stage, as the stage makes it; of RL the one that it has from a step on."""
  shared = dict(eos_ids=EOS, pad_id=PAD, temperature=c.temperature, top_p=c.get('top_p', 1.0))
  if run == 'rl':  # stages/policy.py
    entry = limits.sampler_at(limits.samplers(c.max_tokens, c.slots), step)
    slots = min(entry.slots or 512, c.groups * c.minibatches * c.samples)
    return sampler_lib.Sampler(model, mesh, slots=slots, samples=c.samples, max_prompt=c.max_prompt,
                               max_tokens=entry.tokens, resume=c.carry > 0,
                               choices=trainings.replayed(c, model) is not None, **shared)
  if run == 'search' and c.kind != 'rerank':  # stages/search.py: prefixes of any length are extended by one step
    samples = c.samples // c.keep if c.kind == 'beam' else c.expand
    return sampler_lib.Sampler(model, mesh, slots=c.slots or c.batch * samples, samples=samples,
                               max_prompt=c.max_prompt + c.max_tokens, max_tokens=c.step_tokens,
                               longest=c.max_prompt + c.max_tokens, **shared)
  if run == 'process' and c.rollouts:  # the larger of its two samplers: prefixes are longer than prompts
    return shepherd.sampler(c, model, mesh, eos_ids=EOS, pad_id=PAD)
  batch = c.sample_batch if run in ('preference', 'process') else c.batch  # stages/sampling.py
  return sampler_lib.Sampler(model, mesh, slots=c.slots or batch * c.samples, samples=c.samples,
                             max_prompt=c.max_prompt, max_tokens=c.max_tokens, **shared)


class Saved(NamedTuple):
  """Bytes of a checkpoint."""
  whole: int  # on disk
  host: int  # that a host holds while it is written, beside what its devices hold


def checkpoint_of(state, devices: int) -> Saved:
  """devices: of a host."""
  leaves = [x for x in jax.tree.leaves(state) if hasattr(x, 'shape')]
  return Saved(sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves), device_bytes(state) * devices)


class Replay(NamedTuple):
  """Bytes of the experts that rl.moe_replay keeps, were every prompt and output as long as may be."""
  token: int
  device: int  # of all micro-batches and prompts of a rollout, dealt out over the devices
  host: int  # of every host


def replay_of(c, training) -> Replay | None:
  """None where a stage replays nothing."""
  rows = training.rows[max(training.rows)]
  choices = getattr(rows, 'choices_RxTxLxk', None)
  if choices is None:
    return None
  token = math.prod(choices.shape[2:]) * choices.dtype.itemsize
  groups = c.groups * c.minibatches
  whole = token * groups * (c.samples * limits.longest(c.max_tokens) + c.max_prompt)
  return Replay(token, whole // mesh_lib.batch_shards(training.mesh), whole)


def of_update(c, run: str, training, judges: int) -> Held:
  """An optimiser step: micro-batches of the longest rows, what they ask of their prompts, the optimiser.

  The reference's own pass is not compiled: where this holds the sums, float32, that holds the reference, which is no
  wider, and a forward pass where this has a backward pass too. So it needs less, wherever the reference lies between
  passes.

  Args:
    judges: bytes of reward models.
  """
  state, prefix = training.state, device_bytes(training.prefix_shapes())
  params, moments = device_bytes(training.params), device_bytes(state.opt_state)
  frozen = params - device_bytes(state.params)  # below adapters
  reference = reference_bytes(c, state)
  longest = max(training.rows)
  kept = judges
  if run == 'rl':  # all micro-batches of a rollout wait on the devices: four arrays of a number a token
    outputs = c.groups * c.samples * c.minibatches
    kept += 16 * outputs * limits.longest(c.max_tokens) // mesh_lib.batch_shards(training.mesh)
    kept += replay.device if (replay := replay_of(c, training)) else 0
  parts = [Part('gradient', training.program('gradient', longest), moments + reference + kept)]
  if run == 'rl':
    parts.append(Part('prompt_gradient', training.program('prompt_gradient'), moments + reference + prefix + kept))
  parts.append(Part('apply', training.program('apply'), frozen + reference + prefix + kept))
  return Held(parts, params + reference + judges, moments, 0, 2 * device_bytes(training.sums_shapes().grads))


def of_sampling(phase: str, sampler: sampler_lib.Sampler, training, judges: int, reference: int = 0) -> Held:
  """A rollout: `phase` is 'prefill', of the prompts that come next while the slots are full, or 'decode', with the
  copying of prompts into rows and of rows into a longer cache, which may need more than a chunk of decoding.

  Args:
    training: of the policy that is trained meanwhile; None where nothing is.
    judges, reference: bytes of reward models, and of the policy's reference.
  """
  width, bucket = sampler.widths[-1], sampler.buckets[-1]
  weights, slots = device_bytes(sampler.params_shapes()), device_bytes(sampler.slots_shapes(bucket))
  prefix = device_bytes(sampler.prefix_shapes(width))
  trained, moments = ((0, 0) if training is None else
                      (device_bytes(training.params) + reference, device_bytes(training.state.opt_state)))
  trained += judges - (weights if training is not None and _same(training.params, sampler.params_shapes()) else 0)
  beside = trained + moments
  if phase == 'prefill':  # the prompts before these are let go when these are computed
    parts = [Part('prefill', sampler.program('prefill', width), beside + slots + prefix)]
    return Held(parts, trained + weights, moments, slots + 2 * prefix)
  fitting = max((w for w in sampler.widths if w <= bucket), default=width)
  parts = [Part('decode', sampler.program('decode', bucket), beside + prefix),
           Part('admit', sampler.program('admit', fitting, bucket), beside + weights)]
  if len(sampler.buckets) > 1:
    parts.append(Part('resize', sampler.program('resize', sampler.buckets[-2], bucket), beside + weights + prefix))
  return Held(parts, trained + weights, moments, slots + prefix)


def _same(trained, wanted) -> bool:
  """Whether a sampler works on the very arrays that are trained (Sampler.arrange)."""
  alike = lambda t, w: t.dtype == w.dtype and w.sharding.is_equivalent_to(t.sharding, len(w.shape))
  return (jax.tree.structure(trained) == jax.tree.structure(wanted)
          and jax.tree.all(jax.tree.map(alike, trained, wanted)))


def judges_of(config, inputs, model, mesh) -> int:
  """Bytes of the reward models that a stage keeps beside its policy, in a sampler's layout; of an implicit one also of
  the reference that it is held against."""
  weights = sum(1 + is_implicit(part) for part in judging(config, inputs).values())
  return weights * device_bytes(params_lib.sampling_shapes(model, mesh))


def judging(config, inputs) -> dict:
  """Input that is a reward model -> the part of the config it is trained by; None: another run's."""
  parts = {spec['name']: config.get(stage_models.part_of(spec)) for spec in config.stages}
  return {name: parts.get(source) for name, source in inputs.items() if name in JUDGES}


def is_implicit(part) -> bool:
  """Whether a reward model that is trained by this part is a language model held against another (`steps.form`)."""
  return part is not None and part.get('form', 'head') == 'implicit'


def memory_of(program, known: str) -> dict:
  """{used: bytes on one device, reason: '' or why it does not compile, seconds}; from the directory `known` where an
  equal program stands there: R1-Zero, R1 and its last stage run one and the same, but for numbers such as a learning
  rate.
  """
  start, lowered = time.monotonic(), program.lower()
  text = re.sub(r'dense<[^<>"\[\]]*> : tensor<(f32|i32)>', 'number', lowered.as_text())
  path = os.path.join(known, f'{hashlib.sha256(text.encode()).hexdigest()}.json') if known else ''
  if os.path.exists(path):
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  found = {'used': math.nan, 'reason': ''}
  try:
    m = lowered.compile().memory_analysis()
    found['used'] = (m.argument_size_in_bytes + m.output_size_in_bytes - m.alias_size_in_bytes + m.temp_size_in_bytes
                     + m.generated_code_size_in_bytes)
  except jax.errors.JaxRuntimeError as e:
    if 'RESOURCE_EXHAUSTED' not in str(e):
      raise
    found['reason'] = ' '.join(str(e).split())[:300]
  found['seconds'] = round(time.monotonic() - start, 1)
  if path:
    with open(path, 'w', encoding='utf-8') as f:
      json.dump(found, f)
  return found


def largest(held: Held, known: str) -> dict:
  """memory_of the program that needs most, with what lies beside it, its `name`, and the seconds of all."""
  found, seconds = [], 0.0
  for part in held.parts:
    one = memory_of(part.program, known)
    seconds += one['seconds']
    found.append({**one, 'name': part.name, 'used': one['used'] + part.beside})
    if one['reason']:
      break
  worst = next((one for one in found if one['reason']), None) or max(found, key=lambda one: one['used'])
  return {**worst, 'seconds': round(seconds, 1),
          'programs': {one['name']: one['used'] for one in found if not one['reason']}}
