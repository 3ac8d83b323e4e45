"""plan --fit: what it looks for, in what order, and how rarely it asks; the compiler is a line in micro_tokens and slots."""

import json
import math

import pytest

from r1jax import checks
from r1jax.exceptions import UserError
from r1jax.plan import chips, fit, phases

import plan_test
import runs

GIB = 1 << 30


class Compiler:
  """Bytes of a phase by a formula that the test can do in its head; counts what it is asked."""

  def __init__(self, where, *, state=0.0, token=0.0, weights=0.0, slot=0.0, saved=(), bend=None):
    self.where, self.asked, self.saved, self.bend = where, [], dict(saved), bend or (lambda x: x)
    self.state, self.token, self.weights, self.slot = state, token, weights, slot

  def __call__(self, changes, phase):
    self.asked.append((phase.phase, dict(changes)))
    name = f'{phase.stage}.{"micro_tokens" if phase.phase == "update" else "slots"}'
    size = changes.get(name, 0)
    total = self.state + self.token * size if phase.phase == 'update' else self.weights + self.slot * size
    total -= sum(saves for key, saves in self.saved.items() if key in changes)
    total = self.bend(total)
    ran_out = total > 2 * self.where.available
    return {'stage': phase.stage, 'phase': phase.phase, 'compiled': not ran_out, 'fits': total <= self.where.available,
            'hbm_bytes': {'total': None if ran_out else total, 'available': self.where.available}}


def config_of(name='r1_zero', arg='qwen2.5-0.5b', topology='h100:1x1', **changes):
  config, where = runs.experiment(name, arg, **changes), chips.topology(topology)
  fit.apply(config, fit.mesh_of(config, where))
  return config, where, phases.phases(config)


@pytest.mark.parametrize('topology, changed', [
    ('h100:1x1', dict(data=1, fsdp=1, tensor=1, expert=1)), ('v5e:2x2', dict(data=1, fsdp=4, tensor=1, expert=1)),
    ('v5e:2x4', {}), ('h100:1x8', {})])
def test_a_mesh_that_does_not_deal_out_the_devices_is_changed(topology, changed):
  config = runs.experiment('r1_zero', 'qwen2.5-0.5b')  # fsdp=4, tensor=2
  assert fit.mesh_of(config, chips.topology(topology)) == {f'mesh.{axis}': n for axis, n in changed.items()}


def test_values_that_cannot_begin_on_a_topology_are_what_is_looked_for():
  """A row a device and slots for all: a config of eight chips on 32, and on 12."""
  for topology, wanted in (('v5e:4x8', {'rl.micro_tokens': 32 * 4096}), ('v5e:2x4', {}),
                           ('h100:1x3', {'rl.slots': 255, 'evaluate.slots': 255})):
    config, where, phases_ = config_of(topology=topology, **{'rl.groups': 96})
    assert fit.starts(config, phases_, where) == wanted, topology
    fit.apply(config, fit.starts(config, phases_, where))
    phases.check(config, where)


def test_the_largest_that_fits_is_found_by_a_few_questions():
  config, where, wanted = config_of()  # a row is 4,096 tokens; 59.3 GiB are there, of which 0.97 are used: 57.5
  compiler = Compiler(where, state=10 * GIB, token=47 * GIB / (64 * 4096), weights=20 * GIB, slot=37.4 * GIB / 256)
  changes, found = fit.fit(config, wanted, where, compiler)
  assert changes == {'rl.micro_tokens': 64 * 4096, 'rl.slots': 256, 'evaluate.slots': 256}
  assert [entry['phase'] for entry in found] == ['prefill', 'decode', 'update', 'prefill', 'decode']
  assert [phase for phase, _ in compiler.asked].count('update') == 3  # one row, two rows, the end of the line
  assert len(compiler.asked) <= 3 + 2 * 3 + 2
  assert fit.flags(changes).startswith('--config.rl.micro_tokens=262144 --config.rl.slots=256')


def test_what_bends_upwards_is_gone_down_from():
  config, where, wanted = config_of()
  compiler = Compiler(where, state=10 * GIB, token=47 * GIB / (64 * 4096),
                      bend=lambda x: x + 20 * GIB * (x > 50 * GIB))
  assert fit.fit(config, wanted, where, compiler)[0]['rl.micro_tokens'] == 32 * 4096


@pytest.mark.parametrize('bend', [lambda x: x, lambda x: x * x / (20 * GIB), lambda x: x + 900 * GIB * (x > 30 * GIB)])
@pytest.mark.parametrize('slot', [0.02, 0.1, 0.3, 1.0, 5.0])
def test_no_larger_one_would_fit(bend, slot):
  """Lines and what grows faster: the next power of two is over, whatever was guessed on the way."""
  config, where, wanted = config_of()
  compiler = Compiler(where, weights=10 * GIB, slot=slot * GIB, bend=bend)
  slots = fit.fit(config, [p for p in wanted if p.phase == 'decode' and p.stage == 'rl'], where, compiler)[0]['rl.slots']
  fits = lambda n: bend(10 * GIB + slot * GIB * n) <= fit.ROOM * where.available
  assert fits(slots) and (slots == 512 or not fits(2 * slots)) and len(compiler.asked) <= 7


def test_a_mesh_with_what_is_left_over_deals_out_all_devices():
  config, where, wanted = config_of(arg='tiny', topology='v5e:2x2')  # data=-1
  assert fit.fit(config, wanted, where, Compiler(where, token=1e6))[0]['rl.micro_tokens'] % (4 * 48) == 0


def test_all_of_a_minibatch_is_enough():
  config, where, wanted = config_of()
  changes, _ = fit.fit(config, wanted, where, Compiler(where, state=GIB))
  assert changes['rl.micro_tokens'] == config.rl.groups * config.rl.samples * 4096
  assert changes['rl.slots'] == 512 and changes['evaluate.slots'] == 256


def test_it_gives_up_first_what_changes_no_number():
  config, where, wanted = config_of(arg='smollm2', topology='h100:1x1')
  fit.apply(config, {'remat': 'none', 'logit_elements': 1 << 33})
  keys = [sorted(set(b) - set(a)) for a, b in zip(fit.ladder(config, 'rl', where), fit.ladder(config, 'rl', where)[1:])]
  assert keys == [['logit_elements'], ['remat'], ['dtype'], ['rl.optimizer.dtype', 'rl.ref_dtype'], ['rl.ref_memory']]
  compiler = Compiler(where, state=80 * GIB, saved={'logit_elements': 5 * GIB, 'remat': 10 * GIB, 'dtype': 20 * GIB})
  changes, _ = fit.fit(config, wanted, where, compiler)
  assert changes['dtype'] == 'bfloat16' and changes['remat'] == 'full' and 'rl.ref_dtype' not in changes
  assert all(changes[key] == before.get(key, changes[key]) for _, before in compiler.asked[-3:] for key in ('dtype',))
  assert not any('dtype' in step for step in fit.ladder(config, 'rl', chips.topology('t4:1x1')))


@pytest.mark.parametrize('rank', [0, 8])
@pytest.mark.parametrize('arg', list(runs.module('recipes').VARIANTS))
def test_what_is_given_up_is_what_a_run_takes(arg, rank, one_device):
  """Moments that bfloat16 would lose, a reference that is not there: each rung passes the checks of a run."""
  config = runs.experiment('recipes', arg)
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  config.lora.rank, keys = rank, set()
  for stage in phases.learning(config):
    if rank:
      config[stage].ref_dtype = 'float32'  # with adapters another is refused
    for step in fit.ladder(config, stage, chips.topology('h100:1x1')):
      tried = config.copy_and_resolve_references()
      fit.apply(tried, step)
      checks.run(tried, files=False)
      keys |= {key.partition('.')[2] or key for key in step}
  assert ('base_dtype' in keys) == bool(rank)
  assert not keys & {'ref_dtype', 'ref_memory'} or (not rank and config[phases.learning(config)[0]].kl_coef)


def test_what_fits_with_nothing_is_one_line():
  config, where, wanted = config_of(topology='t4:1x1')
  with pytest.raises(UserError, match=r'rl/update does not fit t4:1x1, even with .*rl.ref_memory=host '
                     r'--config.rl.micro_tokens=4096: the compiler runs out of 11.06 GiB; take more chips'):
    fit.fit(config, wanted, where, Compiler(where, state=900 * GIB))
  with pytest.raises(UserError, match=r'rl/decode does not fit t4:1x1, even with --config.rl.slots=1: 20.00 GiB of 11'):
    fit.fit(config, wanted, where, Compiler(where, weights=20 * GIB))
  with pytest.raises(UserError, match=r'12.00 GiB of 11.06 a device; with the environment variable '
                     'XLA_PYTHON_CLIENT_MEM_FRACTION=0.95, of this plan and of the run, it fits'):
    fit.fit(config, wanted, where, Compiler(where, state=12 * GIB))


def test_a_reference_in_host_memory_is_not_on_the_device():
  """Where a topology's devices know of no other memory, too."""
  import jax
  from r1jax.plan import memory
  state = type('State', (), {'ref_params': jax.ShapeDtypeStruct((8, 4), 'float32', sharding=jax.sharding.NamedSharding(
      jax.make_mesh((1,), ('data',), devices=jax.devices()[:1]), jax.P()))})
  assert memory.reference_bytes({'ref_memory': 'device'}, state) == 128
  assert memory.reference_bytes({'ref_memory': 'host'}, state) == 0


def test_topologies_of_one_gpu():
  for name, gib in (('l4:1x1', 22.5), ('t4:1x1', 14.7), ('a100-80:1x1', 79.3), ('a100-40:1x1', 39.6), ('h100:1x1', 79.1)):
    where = chips.topology(name)
    assert where.chips == where.hosts == 1 and math.isclose(where.available, 0.75 * gib * GIB, rel_tol=5e-3), name
    target = chips.gpu_target(where.kind)
    assert f'device_memory_size: {int(where.chip.hbm_bytes)}' in target
  assert 'major: 7 minor: 5' in chips.gpu_target('t4') and 'major: 8 minor: 9' in chips.gpu_target('l4')
  assert 'A100-SXM4-80GB' in chips.gpu_target('a100-80')


def test_a_gpu_without_bfloat16_takes_xla_s_attention_and_says_how_it_computes(caplog):
  import numpy as np
  from r1jax.plan import places
  from r1jax.stages import common
  caplog.set_level('INFO', 'r1jax')

  def path(capability):
    device = places.Device(0, 0, 'gpu')
    if capability:
      object.__setattr__(device, 'compute_capability', capability)
    mesh = type('Mesh', (), {'devices': np.array([device], object)})
    config = type('Config', (), {'dtype': 'bfloat16', 'remat': 'full', 'attention': 'auto'})
    return common.computed(config, mesh)['attention']

  assert path('7.5') == 'xla' and '7.5' in caplog.text and 'multiplies them in float32' in caplog.text
  caplog.clear()
  assert [path(capability) for capability in ('8.0', '9.0', None)] == ['cudnn'] * 3 and not caplog.text


def test_the_command_prints_flags_with_which_it_fits():
  """For this machine's CPU; with the libtpu that the extra `plan` brings, the same for a TPU."""
  args = [*plan_test.NANO, '--config.base.model=nano-qwen3', '--config.rl.groups=1', '--config.rl.samples=2']
  done = plan_test.run(*args, '--topology=cpu:1', '--fit', '--json', '--only=rl/decode')
  assert done.returncode == 0, done.stderr
  plan = json.loads(done.stdout)
  assert plan['fit'] == {'rl.slots': 2} and [entry['fits'] for entry in plan['phases']] == [True]
  assert plan['phases'][0]['phase'] == 'decode'
