"""A config's phases, and one of them compiled for a topology that is not there: the child of the command."""

import hashlib
import json
import math
import os
import re
import time
from typing import NamedTuple

import jax

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import programs
from r1jax.stages import common
from r1jax.models import zoo
from r1jax.plan import roofline
from r1jax.plan.chips import gpu_target, Topology
from r1jax.types import UserError

EOS, PAD = (1,), 0  # ids do not change a program's size


class Phase(NamedTuple):
  stage: str
  phase: str  # 'prefill' | 'decode' | 'update'


def phases(config) -> list[Phase]:
  """In the order they run."""
  sampled = ('prefill', 'decode')
  of = {'rl': (*sampled, 'update'), 'sft': ('update',), 'evaluate': sampled, 'reject': sampled, 'cold_start': sampled,
        'preference': ('update',), 'process': ('update',), 'search': sampled}
  own = [spec for spec in config.stages if spec.get('config', spec['name']) == spec['name']]  # one that shares is planned once
  asks = lambda spec: sampled if config[spec['name']].get('source') == 'policy' else ()  # its own samples are what it learns from
  return [Phase(spec['name'], phase) for spec in own for phase in (*asks(spec), *of.get(spec['run'], ()))]


def model_of(config, name: str) -> str:
  """The zoo's name of the model that a stage works on: its own, or that of where its input comes from."""
  specs = {spec['name']: spec for spec in config.stages}
  while 'model' not in config[specs[name].get('config', name)]:
    name = next(iter(specs[name]['inputs'].values()))
    if name not in specs:
      if 'model' in config.get('base', {}):  # that of the run it starts from, by the same config
        return config.base.model
      raise UserError(f'its model is that of {name}: plan the config of that run')
  return config[name].model


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
  """Of the process that compiles. Several may load libtpu, as none of them drives a chip; no GPU is there to tune on."""
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


def memory_of(program, known: str) -> dict:
  """{used: bytes on one device, reason: '' or why it does not compile, seconds}; from the directory `known` where an equal
  program stands there: R1-Zero, R1 and its last stage run one and the same, but for numbers such as a learning rate.
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


def compile_phase(config, phase: Phase, where: Topology, known: str = '') -> dict:
  """One entry of `phases` as in --json. known: a directory for what other phases of the same plan have compiled."""
  spec = next(s for s in config.stages if s['name'] == phase.stage)
  c, run = config[phase.stage], spec['run']
  mesh = mesh_lib.create(config.mesh, devices_of(where))
  head = {'reward_head': True} if run in ('preference', 'process') and phase.phase == 'update' else {}
  model = zoo.build(zoo.get(model_of(config, phase.stage), **common.computed(config, mesh), **head))
  sizes = roofline.sizes_of(model.config, dict(mesh.shape))
  resident = {'params': 0, 'optimizer': 0}
  if phase.phase == 'update':
    built = {'rl': programs.rl, 'sft': programs.sft, 'preference': programs.preference, 'process': programs.process}[run](config, c, model, mesh)
    program = built.step
    parts = {**_state_bytes(built.state), 'cache': 0}
    work = _update_work(config, c, run, sizes)
  else:
    prompts, at_once = _wave(c, run)
    max_prompt, max_tokens = _lengths(c, run)
    built = programs.sampling(model, mesh, prompts=prompts, max_prompt=max_prompt, samples=at_once,
                              max_tokens=max_tokens, eos_ids=EOS, pad_id=PAD, temperature=c.temperature,
                              top_p=c.get('top_p', 1.0))
    program = getattr(built, 'prefill' if phase.phase == 'prefill' else 'step')
    sampler, prefix = device_bytes(program.args[0]), program.args[2] if phase.phase == 'decode' else ()
    parts = {'params': sampler, 'optimizer': 0,
             'cache': device_bytes((built.cache, prefix)) if phase.phase == 'decode' else 0}
    if run == 'rl':  # the training state stays where it is while completions are sampled
      resident = _state_bytes(programs.rl(config, c, model, mesh).state)
      if params_lib.as_trained(model, mesh):
        resident['params'] -= sampler  # they are the same arrays
    rows = prompts * at_once
    work = (roofline.prefill(sizes, prompts, max_prompt) if phase.phase == 'prefill'
            else roofline.decode(sizes, rows, max_prompt, max_tokens))
  if run == 'rl':  # reward models stay loaded, in the sampler's layout, beside all three phases
    judges = sum(name in spec['inputs'] for name in ('helpful', 'harmless', 'process'))
    resident['params'] += judges * device_bytes(params_lib.sampling_shapes(model, mesh))
  available = where.chip.hbm_bytes / where.chip.devices
  found = memory_of(program, known)
  compiled, used = not found['reason'], found['used']
  total = used + sum(resident.values())
  hbm = {name: parts[name] + resident.get(name, 0) for name in ('params', 'optimizer', 'cache')}
  counted = sum(hbm.values())
  hbm |= {'activations': max(total - counted, 0) if compiled else None, 'total': total if compiled else None,
          'available': available}
  times = roofline.seconds(work, where)
  bound = max(times, key=times.get)
  return {'stage': phase.stage, 'phase': phase.phase, 'compiled': compiled, 'fits': compiled and total <= available,
          'hbm_bytes': hbm, 'flops': work.model_flops, 'roofline_seconds': times[bound], 'bound': bound,
          'seconds_by_resource': times, 'mfu_bound': work.model_flops / (where.chips * where.chip.flops) / times[bound],
          'tokens_per_second': _tokens(c, run, phase.phase) / times[bound], 'reason': found['reason'],
          'compile_seconds': found['seconds']}


def _update_work(config, c, run, sizes):
  remat = config.remat != 'none'
  if run in ('sft', 'preference', 'process'):
    rows = c.batch * (2 if c.get('kind') == 'pairs' else 1)
    return roofline.update(sizes, rows, c.length, 0, c.micro_batches, remat=remat)
  cuts = c.groups // c.micro_groups * (c.samples // (c.micro_samples or c.samples))
  return roofline.update(sizes, c.groups * c.samples, c.max_tokens, c.max_prompt, cuts, remat=remat)


def _wave(c, run: str) -> tuple[int, int]:
  """(prompts, samples of each) that are drawn at a time."""
  if run == 'search' and c.kind != 'rerank':
    return c.batch, c.samples // c.keep if c.kind == 'beam' else c.expand
  if run in ('preference', 'process'):
    return c.sample_batch, c.samples
  return (programs.wave_of(c), c.samples) if run == 'rl' else (c.batch, c.get('at_once', 0) or c.samples)


def _lengths(c, run: str) -> tuple[int, int]:
  """(prompt, completion) positions of the sampler: a search by steps extends prefixes of any length by one step."""
  return (c.max_prompt + c.max_tokens, c.step_tokens) if run == 'search' and c.kind != 'rerank' else (c.max_prompt, c.max_tokens)


def _tokens(c, run: str, phase: str) -> int:
  """Tokens that one run of a phase handles."""
  if run in ('sft', 'preference', 'process') and phase == 'update':
    return c.batch * (2 if c.get('kind') == 'pairs' else 1) * c.length
  prompts, at_once = _wave(c, run)
  return {'prefill': prompts * _lengths(c, run)[0], 'decode': prompts * at_once,
          'update': c.groups * c.samples * c.max_tokens if run == 'rl' else 0}[phase]


def device_bytes(tree) -> int:
  """Bytes of a tree of shapes with shardings on one device."""
  one = lambda x: math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize if x.shape else x.dtype.itemsize
  return sum(one(x) for x in jax.tree.leaves(tree) if getattr(x, 'sharding', None) is not None)


def _state_bytes(state) -> dict[str, int]:
  return {'params': device_bytes(state.params) + device_bytes(state.ref_params),
          'optimizer': device_bytes(state.opt_state)}


def check(config, where: Topology) -> None:
  """Raises UserError for what no compiler is needed to see."""
  if not phases(config):
    raise UserError('this config has no stage that computes: nothing to plan')
  sizes = {axis: int(config.mesh.get(axis, 1)) for axis in mesh_lib.AXES}
  fixed = math.prod(size for size in sizes.values() if size != -1)
  if where.devices % fixed or (-1 not in sizes.values() and fixed != where.devices):
    raise UserError(f'mesh={sizes} does not deal out the {where.devices} devices of {where.name}: change config.mesh '
                    'or --topology')

