"""A config's phases, and one of them compiled for a topology that is not there: the child of the command."""

import dataclasses
import math
import os
from typing import NamedTuple

import jax

from r1jax import checks
from r1jax import limits
from r1jax import stage_models
from r1jax import values
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import trainings
from r1jax.exceptions import InputError, UserError
from r1jax.models import zoo
from r1jax.plan import memory
from r1jax.plan import places
from r1jax.plan import roofline
from r1jax.plan import run as run_lib
from r1jax.plan.chips import gpu_target, Topology
from r1jax.stages import common


class Phase(NamedTuple):
  stage: str
  phase: str  # 'prefill' | 'decode' | 'update'; 'decode@8200': with the slots that there are from that step on

  @property
  def kind(self) -> str:
    return self.phase.partition('@')[0]

  @property
  def step(self) -> int:
    return int(self.phase.partition('@')[2] or 0)


def phases(config) -> list[Phase]:
  """In the order they run."""
  sampled = ('prefill', 'decode')
  of = {'sft': ('update',), 'evaluate': sampled, 'reject': sampled, 'cold_start': sampled,
        'preference': ('update',), 'process': ('update',), 'search': sampled}
  # One that shares its keys is planned once; one may learn from its own samples.
  own = [spec for spec in config.stages if spec.get('config', spec['name']) == spec['name']]
  asks = lambda spec: sampled if config[spec['name']].get('source') == 'policy' else ()

  def rl(spec) -> tuple[str, ...]:
    c = config[spec['name']]
    later = [entry.step for entry in limits.samplers(c.max_tokens, c.slots)[1:]]
    return (*sampled, *(f'{phase}@{step}' for step in later for phase in sampled), 'update')

  return [Phase(spec['name'], phase) for spec in own
          for phase in (rl(spec) if spec['run'] == 'rl' else (*asks(spec), *of.get(spec['run'], ())))]


def learning(config) -> list[str]:
  """Stages that run reinforcement learning: each has a run to be planned."""
  return [phase.stage for phase in phases(config) if phase.phase == 'update' and
          next(s for s in config.stages if s['name'] == phase.stage)['run'] == 'rl']


def by_name(config) -> None:
  """Takes out of the config what names weights and runs on this machine: sizes are then those that names tell, but of
  an import that has none."""
  values.check(config)
  for spec in config.stages:
    key = stage_models.part_of(spec)
    part = config[key] if spec['run'] == 'convert' and key in config else {}
    if part.get('model'):
      part.source = ''
  if 'from_run' in config:
    config.from_run = ''


def model_of(config, name: str, models: stage_models.Models | None = None) -> stage_models.Model:
  """The model that a stage works on. Where an import names a source, the sizes are its, of which no weight is read.

  models: of the config, where several stages are asked for.
  """
  found = (models or stage_models.Models(config)).of(name)
  if found is None:
    raise UserError(f'stage {name!r}: nothing says which model it works on: give its sizes by a name, '
                    '--config.base.model=NAME, or what has them, --config.base.source=DIR or --config.from_run=DIR')
  return found


def devices_of(where: Topology):
  """Devices of a topology to compile for: TPU by libtpu, GPU by jax's CUDA plugin, or this machine's CPU."""
  from jax.experimental import topologies
  if where.chip.platform == 'cpu':
    return jax.devices()[:where.devices]
  if where.chip.platform == 'gpu':
    hosts = math.prod(where.shape[:-1])
    return topologies.get_topology_desc(platform='cuda', topology_name='', topology=f'1x{hosts}x{where.shape[-1]}',
                                        target_config=gpu_target(where.kind)).devices
  shape = 'x'.join(map(str, where.shape))
  # A slice smaller than a host is a host of its own.
  small = {} if where.chips >= 4 else {'chips_per_host_bounds': (*where.shape, 1, 1)[:3]}
  return topologies.get_topology_desc(platform='tpu', topology_name=f'{where.kind}:{shape}', **small).devices


def environment(where: Topology) -> dict[str, str]:
  """Of the process that compiles. Several may load libtpu, as none of them drives a chip; no GPU is there to tune
  on."""
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'TF_CPP_MIN_LOG_LEVEL': '3'}
  env.pop('XLA_FLAGS', None)
  if where.chip.platform == 'gpu':
    env['XLA_FLAGS'] = '--xla_gpu_autotune_level=0'
  elif where.chip.platform == 'cpu':
    env['XLA_FLAGS'] = f'--xla_force_host_platform_device_count={where.devices}'
  else:
    env |= {'TPU_SKIP_MDS_QUERY': '1', 'TPU_ACCELERATOR_TYPE': f'{where.kind}-{where.chips}',
            'TPU_WORKER_HOSTNAMES': 'localhost', 'ALLOW_MULTIPLE_LIBTPU_LOAD': '1', 'TPU_STDERR_LOG_LEVEL': '3',
            'TPU_MIN_LOG_LEVEL': '3'}
  return env


def model_on(config, stage: str, phase: str, mesh):
  """The model that a phase of a stage runs, as the stage makes it."""
  run = next(s for s in config.stages if s['name'] == stage)['run']
  scalar = run == 'preference' or run == 'process' and config[stage].form == 'head'
  head = {'reward_head': True} if scalar and phase == 'update' else {}
  return zoo.build(dataclasses.replace(model_of(config, stage).config, **common.computed(config, mesh), **head))


def documents(config) -> list[str]:
  """Stages whose batch counts documents: what a step computes depends on how long they are."""
  return [phase.stage for phase in phases(config) if phase.phase == 'update'
          and config[phase.stage].get('batch_of') == 'documents']


def compile_phase(config, phase: Phase, where: Topology, known: str = '', lengths: str = '') -> dict:
  """One entry of `phases` as in --json.

  Args:
    known: a directory for what other phases of the same plan have compiled.
    lengths: --lengths, for a batch that counts documents.
  """
  spec = next(s for s in config.stages if s['name'] == phase.stage)
  c, run = config[phase.stage], spec['run']
  mesh = mesh_lib.create(config.mesh, devices_of(where))
  model = model_on(config, phase.stage, phase.phase, mesh)
  sizes = roofline.sizes_of(model.config, dict(mesh.shape))
  judges, beside = memory.judges_of(config, spec['inputs'], model, mesh) if run in ('rl', 'search') else 0, {}
  if phase.phase == 'update':
    training = memory.training_of(config, c, run, model, mesh)
    held = memory.of_update(c, run, training, judges)
    beside = {'checkpoint_bytes': memory.checkpoint_of(training.state, where.devices // where.hosts)._asdict()}
    if replay := memory.replay_of(c, training):
      beside['replay_bytes'] = replay._asdict()
    work, tokens = _update_work(config, c, run, training, sizes, lengths)
  else:
    sampler = memory.sampler_of(c, run, model, mesh, phase.step)
    training = memory.training_of(config, c, run, model, mesh) if run == 'rl' else None
    held = memory.of_sampling(phase.kind, sampler, training, judges,
                              0 if training is None else memory.reference_bytes(c, training.state))
    width = sampler.widths[0]
    work, tokens = ((roofline.prefill(sizes, sampler.prompts, width), sampler.prompts * width)
                    if phase.kind == 'prefill' else
                    (roofline.decode(sizes, sampler.slots, width, sampler.max_tokens), sampler.slots))
  return {'stage': phase.stage, 'phase': phase.phase, **_entry(held, memory.largest(held, known), work, tokens, where),
          **beside}


def run_of(config, stage: str, where: Topology, lengths: str, verdict_seconds: float) -> dict:
  """An RL stage's run by formula (plan/run.py), asked of the stage's own programs, none of which is compiled."""
  spec = next(s for s in config.stages if s['name'] == stage)
  c, mesh = config[stage], mesh_lib.create(config.mesh, devices_of(where))
  model = model_on(config, stage, 'run', mesh)
  longest, entries = limits.longest(c.max_tokens), limits.entries(c.max_tokens, c.slots)
  judges = tuple(run_lib.Judge(longest + c.max_prompt if part is None else part.length, memory.is_implicit(part))
                 for part in memory.judging(config, spec['inputs']).values())
  sizes, shapes = roofline.sizes_of(model.config, dict(mesh.shape)), trainings.rl(config, c, model, mesh).shapes
  per, found = limits.steps_a_rollout(c), []
  for entry, end in zip(entries, [*(entry.step for entry in entries[1:]), c.steps]):
    sampler = memory.sampler_of(c, 'rl', model, mesh, entry.step)
    stage_ = run_lib.Stage(
        c, sizes, where, config.remat != 'none', _moment_bytes(c), shapes, sampler.slots, sampler.steps,
        sampler.prompts, sampler.widths[0], sampler.buckets, model.config.attention.startswith('splash'), judges,
        verdict_seconds, -(-end // per) - -(-entry.step // per))
    found.append({'from_step': entry.step, 'slots': sampler.slots,
                  **run_lib.of_stage(stage_, run_lib.lengths(lengths, entry.tokens))})
  found = found[0] if len(found) == 1 else run_lib.together(found)
  paper = {'paper': run_lib.PAPER} if model_of(config, stage).name == 'deepseek-v3-base' else {}
  return {'stage': stage, **found, **paper}


def _moment_bytes(c) -> int:
  return 2 if c.optimizer.get('dtype') == 'bfloat16' else 4


def _entry(held: memory.Held, found: dict, work: roofline.Work, tokens: int, where: Topology) -> dict:
  """What --json says of a phase: the program that needs most memory, and the time that the formulas give."""
  available, compiled, total = where.available, not found['reason'], found['used']
  hbm = {name: getattr(held, name) for name in ('params', 'optimizer', 'cache')}
  hbm['gradients'] = held.gradients
  hbm |= {'activations': max(total - sum(hbm.values()), 0) if compiled else None, 'total': total if compiled else None,
          'available': available}
  times = roofline.seconds(work, where)
  bound = max(times, key=times.get)
  return {'compiled': compiled, 'fits': compiled and total <= available, 'hbm_bytes': hbm, 'flops': work.model_flops,
          'roofline_seconds': times[bound], 'bound': bound, 'seconds_by_resource': times,
          'mfu_bound': work.model_flops / (where.chips * where.chip.flops) / times[bound],
          'tokens_per_second': tokens / times[bound], 'reason': found['reason'], 'compile_seconds': found['seconds'],
          'largest': found['name'], 'bytes_by_program': found['programs']}


def _update_work(config, c, run: str, training, sizes, lengths: str) -> tuple[roofline.Work, int]:
  """(work of one optimiser step, its tokens), where every row is as long as rows may be.

  A batch of documents of their mean length is packed into such rows, full to the end; what is left over of its last
  micro-batch is computed all the same, and is no token and no mathematics.
  """
  remat = config.remat != 'none'
  rows = c.groups * c.samples if run == 'rl' else c.batch * (2 if c.get('kind') == 'pairs' else 1)
  longest = max(training.rows)
  size, tokens = training.rows[longest][0].shape[0], rows * longest
  if c.get('batch_of') == 'documents':
    tokens = round(c.batch * run_lib.lengths(lengths, longest).mean)
    rows = -(-tokens // (longest * size)) * size
  cuts = -(-rows // size)
  prompt = c.max_prompt if run == 'rl' else 0
  step = roofline.update(sizes, rows, longest, prompt, cuts, remat=remat, moment_bytes=_moment_bytes(c))
  if c.get('batch_of') == 'documents':
    wanted = roofline.update(sizes, c.batch, tokens / c.batch, prompt, cuts, remat=remat)
    step = step._replace(model_flops=wanted.model_flops)
  if prompt:
    step = roofline.total([step, roofline.prompts(sizes, c.groups, prompt, remat=remat)])
  return step, tokens


def check(config, where: Topology, *, files: bool = False) -> None:
  """What a run looks at before it starts, here with the topology's devices in place of this machine's.

  files: what it reads, too.

  Raises:
    UserError: for what no compiler is needed to see.
  """
  values.check(config)
  sizes = {axis: int(config.mesh.get(axis, 1)) for axis in mesh_lib.AXES}
  fixed = math.prod(size for size in sizes.values() if size != -1)
  if where.devices % fixed or (-1 not in sizes.values() and fixed != where.devices):
    raise UserError(f'mesh={sizes} does not deal out the {where.devices} devices of {where.name}: change config.mesh '
                    'or --topology, or let --fit look for what fits')
  try:
    with mesh_lib.over(places.devices(where)):
      checks.run(config, files=files, even=True)
  except InputError as e:
    raise UserError(f'{e}; or --without-files, to plan without what a run reads') from e
  if not phases(config):
    raise UserError('this config has no stage that computes: nothing to plan')
