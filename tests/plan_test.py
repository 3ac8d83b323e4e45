"""r1jax.plan: its formulas by hand, its mistakes in one line, and the tiny families compiled for TPU by libtpu."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from r1jax import limits
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.models import zoo
from r1jax.plan import __main__ as command
from r1jax.plan import chips, memory, phases, roofline

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MESH = {'data': 1, 'fsdp': 1, 'tensor': 1, 'expert': 1}


def run(*args):
  return subprocess.run([sys.executable, '-m', 'r1jax.plan', *args], cwd=ROOT, capture_output=True, text=True,
                        env={**os.environ, 'JAX_OPTIMIZATION_LEVEL': 'O0'}, check=False)


def test_topologies_are_read():
  where = chips.topology('v5p:4x4x8')
  assert (where.kind, where.shape, where.chips, where.devices) == ('v5p', (4, 4, 8), 128, 128)
  assert chips.topology('tpu7x:2x2x1').devices == 8
  for name in ('v9:2x2', 'v5e', 'v5e:2xb', 'v5e:0x4', 'v5e:3x5', 'v6e:2x2x2', 'v5p:2x2', 'h100:8', 'h100:1x8x2',
               'cpu:1x1'):
    with pytest.raises(UserError, match='topology'):
      chips.topology(name)


def test_gpus_of_several_hosts_are_as_fast_as_the_network_between_them():
  one, two = chips.topology('h100:1x8'), chips.topology('h100:2x8')
  assert (one.chips, two.chips, one.link_bandwidth, two.link_bandwidth) == (8, 16, 450e9, 50e9)
  work = roofline.Work(1.0, 1.0, 1.0, 450e9)
  assert roofline.seconds(work, one)['interconnect'] == 1.0 and roofline.seconds(work, two)['interconnect'] == 9.0
  assert chips.topology('v5p:2x2x2').link_bandwidth == 600e9


def test_formulas_by_hand():
  """A model of two layers, D = 32, four heads of 8, two key heads, F = 64, V = 512, one device."""
  config = zoo.get('nano')
  s = roofline.sizes_of(config, MESH)
  layer = 32 * 8 * (4 + 4 + 2 + 2) + 3 * 32 * 64
  assert s.active == 2 * layer and s.vocabulary == 512 * 32 and s.cache_width == 2 * 2 * 2 * 8
  assert s.attention == 2 * 4 * (2 * 8 + 2 * 8)  # layers, heads, a product for the score and one for the value
  w = roofline.update(s, rows=3, length=10, prompt=0, micro_batches=1, remat=False)
  tokens = 30
  assert w.model_flops == 3 * (2 * s.active * tokens + s.attention * 3 * 10 * 5 + 2 * s.vocabulary * tokens)
  assert w.flops > w.model_flops and w.link_bytes == 0
  d = roofline.decode(s, rows=3, prompt=4, length=10)
  assert d.flops == 2 * (s.active + s.vocabulary) * 3 + s.attention * 3 * 9
  assert d.hbm_bytes == 2 * s.params + 3 * (4 + 5) * s.cache_width * 2  # a row's prompt lies in its own columns
  p = roofline.prefill(s, prompts=2, width=6)
  assert p.flops == 2 * s.active * 12 + s.attention * 2 * 18 + 2 * s.vocabulary * 2


def test_a_mixture_counts_what_a_token_meets():
  config = zoo.get('deepseek-v3-base')
  active = config.active_weights() + config.vocab_size * config.dim
  assert abs(active / 37e9 - 1) < 0.02  # the card: 37B activated
  assert config.cache_width() == 61 * 640
  s = roofline.sizes_of(config, {'data': 1, 'fsdp': 32, 'tensor': 1, 'expert': 16})
  assert s.moe_layers == 58 and s.batch_shards == 32 and s.model_shards == 16


def test_more_shards_cost_links_and_save_memory():
  config = zoo.get('qwen2.5-32b')
  one, many = (roofline.sizes_of(config, {**MESH, **mesh}) for mesh in ({}, {'fsdp': 8, 'tensor': 4}))
  a, b = (roofline.update(s, 64, 4096, 128, 1, remat=True) for s in (one, many))
  assert a.model_flops == b.model_flops and a.link_bytes == 0 < b.link_bytes and b.hbm_bytes < a.hbm_bytes
  times = roofline.seconds(b, chips.topology('v5p:2x4x4'))
  assert set(times) == {'compute', 'hbm', 'interconnect'} and all(t > 0 for t in times.values())


@pytest.mark.parametrize('name, arg', [
    *(('r1_zero', f'qwen2.5-{s}b') for s in ('0.5', '1.5', '3', '7', '32')), ('r1_zero', 'deepseek-v3'),
    *(('distill', s) for s in ('qwen-1.5b', 'qwen-7b', 'qwen-14b', 'qwen-32b', 'llama-8b', 'llama-70b'))])
def test_every_variant_deals_out_its_own_topology(name, arg):
  config = runs.experiment(name, arg)
  phases.check(config, chips.topology(config.topology))
  assert phases.phases(config)
  assert all(phases.model_of(config, p.stage).config.param_count() > 1e8 for p in phases.phases(config))
  rows = config.mesh.data * config.mesh.fsdp
  if name == 'distill':
    c = config.student
    assert c.length == 32768 and c.micro_tokens // c.length % rows == 0 and config.evaluate.max_tokens == 32768
  else:
    rl, longest = config.rl, limits.longest(config.rl.max_tokens)
    assert rl.micro_tokens // longest % rows == 0
    for entry in limits.samplers(rl.max_tokens, rl.slots):
      assert entry.slots % rows == 0 and entry.slots % rl.samples == 0
    assert longest == {'qwen2.5-7b': 8192, 'qwen2.5-32b': 65536, 'deepseek-v3': 65536}.get(arg, 4096)
  assert config.evaluate.batch % rows == 0 and config.evaluate.slots % rows == 0


@pytest.mark.parametrize('args, words', [
    (['--config=experiments/r1_zero.py:tiny', '--topology=v9:2x2'], "no chip 'v9', one of v5e (17 GB)"),
    (['--config=experiments/r1_zero.py:qwen2.5-32b', '--topology=v5p:2x2x2'], 'does not deal out the 8 devices'),
    (['--config=experiments/r1_zero.py:tiny', '--config.rl.stepz=1'], "unknown config key 'rl.stepz'"),
    (['--config=experiments/r1_zero.py:tiny', '--only=rl/sleep'], 'this config has base/update'),
    (['--config=experiments/r1_zero.py:tiny', '--lengths=long'], "--lengths='long' is not of the form MEAN[:SIGMA]"),
    (['--config=experiments/r1_zero.py:tiny', '--lengths=48'], 'must lie between 1 and 99 % of max_tokens=48'),
    ([], '--config=NAME:ARG is needed')])
def test_a_mistake_exits_2_with_one_line(args, words):
  done = run(*args)
  assert done.returncode == 2 and done.stderr.startswith('r1jax: ') and words in done.stderr, done.stderr
  assert done.stderr.count('\n') == 1 and not done.stdout


def test_without_libtpu_one_line_names_the_extra(monkeypatch, capsys):
  real = importlib.util.find_spec
  missing = ('libtpu', 'jax_plugins.xla_cuda13', 'jax_plugins.xla_cuda12')
  monkeypatch.setattr(command.importlib.util, 'find_spec', lambda name: None if name in missing else real(name))
  monkeypatch.setattr(command.options, 'parse', lambda argv: runs.experiment('r1_zero', 'qwen2.5-32b'))
  monkeypatch.setattr(command, '_TOPOLOGY', type('F', (), {'value': None}))
  monkeypatch.setattr(command, '_CHILD', type('F', (), {'value': None}))
  monkeypatch.setattr(command, '_LENGTHS', type('F', (), {'value': ''}))
  monkeypatch.setattr(command, '_ONLY', type('F', (), {'value': None}))
  monkeypatch.setattr(command, '_WITHOUT_FILES', type('F', (), {'value': True}))
  monkeypatch.setattr(command, '_FIT', type('F', (), {'value': False}))
  assert command.main(['plan']) == 2
  assert "pip install 'r1jax[plan]'" in capsys.readouterr().err


NANO = ['--config=experiments/r1_zero.py:tiny', '--config.rl.groups=8', '--config.rl.micro_tokens=2048',
        '--config.rl.samples=4', '--config.rl.minibatches=1', '--config.rl.max_tokens=128',
        '--config.rl.max_prompt=128', '--config.evaluate.samples=4']
RL = 'rl/prefill,rl/decode,rl/update'


def test_on_this_machines_cpu():
  done = run(*NANO, '--config.base.model=nano', f'--only={RL}', '--json')
  plan = json.loads(done.stdout)
  assert done.returncode == 0 and plan['topology'] == 'cpu:1' and plan['chips'] == 1
  for entry in plan['phases']:
    hbm = entry['hbm_bytes']
    assert entry['compiled'] and entry['fits'] and entry['bound'] in entry['seconds_by_resource']
    assert hbm['params'] + hbm['optimizer'] + hbm['activations'] + hbm['cache'] <= hbm['total'] * 1.01 + 1
  params = 4 * zoo.get('nano').param_count()
  by_phase = {entry['phase']: entry['hbm_bytes'] for entry in plan['phases']}
  assert by_phase['update']['params'] == 2 * params  # and the reference
  assert 2 * params <= by_phase['update']['optimizer'] <= 2 * params + 64
  cache = 4 * 32 * (128 + 128 + 16) * zoo.get('nano').cache_width()  # a prompt, a completion and a chunk
  prefix = 4 * 8 * 128 * zoo.get('nano').cache_width()
  assert 0 <= by_phase['decode']['cache'] - cache - prefix < 0.1 * cache


def test_what_waits_beside_a_program_is_counted(one_device):
  """Of nano's 0.1 MB of float32: reference, moments, their dtypes and places, by hand."""
  model, mesh = zoo.build(zoo.get('nano')), mesh_lib.create({'data': 1})
  config, params = runs.experiment('r1_zero', 'tiny'), 4 * zoo.get('nano').param_count()

  def held(**values):
    config.rl.update(values)
    return memory.of_update(config.rl, 'rl', memory.training_of(config, config.rl, 'rl', model, mesh), 0)

  plain = held()
  beside = {part.name: part.beside for part in plain.parts}
  assert plain.params == 2 * params and 2 * params <= plain.optimizer <= 2 * params + 64
  rollout = 16 * 16 * 16 * 2 * 48  # four arrays of 512 outputs
  prefix = 4 * 16 * 24 * zoo.get('nano').cache_width() + 4 * 16 * (32 + 1)  # keys and values; hidden state and length
  assert beside == {'gradient': params + plain.optimizer + rollout,
                    'prompt_gradient': params + plain.optimizer + rollout + prefix,
                    'apply': params + rollout + prefix}
  half = held(ref_dtype='bfloat16', optimizer=dict(dtype='bfloat16'))
  # Norms' scales stay float32.
  assert 1.5 * params <= half.params < 1.6 * params and params <= half.optimizer < 1.01 * params
  away = held(ref_memory='host')
  assert away.params == params and away.parts[0].beside == half.optimizer + rollout
  kl = held(kl_coef=0.0, ref_memory='device')
  assert kl.params == params  # there is no reference


def test_choices_that_are_replayed_are_counted(one_device):
  """Two layers that are mixtures, two experts of each: four bytes a token, of 512 outputs and 32 prompts."""
  model, mesh = zoo.build(zoo.get('nano-deepseek')), mesh_lib.create({'data': 1})
  config = runs.experiment('r1_zero', 'tiny')

  def held(**values):
    config.rl.update(values)
    training = memory.training_of(config, config.rl, 'rl', model, mesh)
    return memory.of_update(config.rl, 'rl', training, 0), memory.replay_of(config.rl, training)

  (plain, none), (more, replay) = held(), held(moe_replay=True)
  whole = 4 * (512 * 48 + 32 * config.rl.max_prompt)
  assert none is None and replay == (4, whole, whole)
  assert [b.beside - a.beside for a, b in zip(plain.parts, more.parts)] == [whole] * 3
  entry = dict(stage='rl', phase='update', hbm_bytes=dict.fromkeys(
      ('params', 'optimizer', 'gradients', 'activations', 'cache', 'total', 'available'), 0), fits=True, flops=1.0,
               roofline_seconds=1.0, bound='hbm', tokens_per_second=1.0, mfu_bound=0.1)
  printed = lambda **more: command.table('r1_zero', chips.topology('cpu:1'), [{**entry, **more}]).splitlines()
  kept = dict(token=464, device=3 << 30, host=24 << 30)
  assert printed(replay_bytes=kept)[-1] == (
      'rl.moe_replay keeps 464 bytes a token: 3.00 GiB of the total, and 24.00 GiB on every host, if all are as long as '
      'may be')
  assert printed(replay_bytes=kept)[:-1] == printed()


def test_what_a_checkpoint_takes():
  """Weights, both moments and the reference, float32: 16 bytes a weight on disk; of a host's memory that for each copy
  which its devices hold."""
  model = zoo.build(zoo.get('nano'))
  config = runs.experiment('r1_zero', 'tiny')
  for shape, devices, copies in (({'data': 1}, 1, 1), ({'data': 2, 'fsdp': 2}, 4, 2), ({'data': 2, 'fsdp': 2}, 2, 1)):
    state = memory.training_of(config, config.rl, 'rl', model, mesh_lib.create(shape)).state
    saved = memory.checkpoint_of(state, devices)
    assert saved.whole == pytest.approx(16 * model.config.param_count(), rel=0.01)
    assert saved.host == pytest.approx(copies * saved.whole, rel=0.05)


def test_a_run_is_printed_and_stands_in_the_json():
  args = ['--config=experiments/r1_zero.py:tiny', '--config.base.model=nano', '--only=rl/run', '--lengths=20:0.5']
  shown = run(*args)
  assert shown.returncode == 0 and 'planned by formula, 100 % of peak' in shown.stdout
  assert shown.stdout.startswith('across hosts: none\n')
  assert 'static waves' in shown.stdout
  plan = json.loads(run(*args, '--json').stdout)
  found = plan['run']['rl']
  assert plan['phases'] == [] and (found['rollouts'], found['outputs']) == (40, 512)
  assert abs(found['lengths']['mean'] - 20) < 0.5 and found['lengths']['most'] == 48
  for way in (found, found['static']):
    assert abs(sum(s for name, s in way['seconds'].items() if name != 'total') - way['seconds']['total']) < 1e-9
    assert abs(way['days'] * 86400 - 40 * way['seconds']['total']) < 1e-6 and way['chip_hours'] == way['days'] * 24
    assert way['bound'] in way['seconds'] and 0 < way['slot_use'] <= 1 and 0 < way['token_use'] <= 1
  assert found['seconds']['update'] < found['static']['seconds']['update']


def libtpu():
  if importlib.util.find_spec('libtpu') is None:
    pytest.skip("compiling for TPU needs the extra plan: pip install -e '.[plan]'")


@pytest.mark.parametrize('topology, model, mesh, wanted', [
    ('v5p:2x2x1', 'nano-llama', (2, 2, 1), 'rl/prefill,rl/decode'), ('v5e:2x2', 'nano-qwen', (2, 2, 1), 'rl/update'),
    ('v5e:2x2', 'nano-deepseek', (2, 1, 2), 'rl/prefill,rl/decode'),
    # Half a minute and more of compiling; last run 2026-11-26, it compiled.
    pytest.param('v5p:2x2x1', 'nano-deepseek', (2, 1, 2), 'rl/update', marks=pytest.mark.slow)])
def test_tiny_families_compile_for_tpu(topology, model, mesh, wanted):
  """All phases in one process, to save time; the command takes one for each."""
  libtpu()
  args = [*NANO, f'--config.base.model={model}', f'--topology={topology}', '--config.mesh.data=1', f'--child={wanted}',
          *(f'--config.mesh.{axis}={n}' for axis, n in zip(('fsdp', 'tensor', 'expert'), mesh)),
          '--config.dtype=bfloat16']
  done = subprocess.run([sys.executable, '-m', 'r1jax.plan', *args], cwd=ROOT, capture_output=True, text=True,
                        env={**phases.environment(chips.topology(topology)), 'JAX_OPTIMIZATION_LEVEL': 'O0'},
                        check=False)
  assert done.returncode == 0, done.stderr
  entries = [json.loads(line) for line in done.stdout.splitlines()]
  assert [f"{entry['stage']}/{entry['phase']}" for entry in entries] == wanted.split(',')
  assert all(entry['compiled'] and entry['fits'] for entry in entries)


def gpu():
  try:
    found = importlib.util.find_spec('jax_plugins.xla_cuda13')
  except ModuleNotFoundError:
    found = None
  if found is None:
    pytest.skip("compiling for GPU needs the extra plan-gpu: pip install -e '.[plan-gpu]'")


def test_a_tiny_family_compiles_for_gpu():
  """By XLA's attention: cuDNN's wants the 0.9 GB of nvidia-cudnn-cu13."""
  gpu()
  done = run(*NANO, '--config.base.model=nano-qwen', '--topology=h100:2x2', '--config.mesh.data=1',
             '--config.mesh.fsdp=2', '--config.mesh.tensor=2', '--config.dtype=bfloat16', '--config.attention=xla',
             '--json', '--only=rl/decode,rl/update')
  assert done.returncode == 0, done.stderr
  plan = json.loads(done.stdout)
  assert plan['chips'] == 4 and all(entry['fits'] and entry['hbm_bytes']['total'] > 0 for entry in plan['phases'])


def test_without_cudnn_one_line_says_so():
  gpu()
  if importlib.util.find_spec('nvidia') and importlib.util.find_spec('nvidia.cudnn'):
    pytest.skip('cuDNN is installed here: nothing to say')
  done = run(*NANO, '--config.base.model=nano-qwen', '--topology=h100:1x1', '--config.dtype=bfloat16',
             '--only=rl/prefill')
  assert done.returncode == 2 and '--config.attention=xla' in done.stderr, done.stderr


def test_what_does_not_fit_exits_3_and_says_what_to_change():
  libtpu()
  done = run('--config=experiments/r1_zero.py:qwen2.5-1.5b', '--without-files', '--topology=v5e:1x1',
             '--config.mesh.fsdp=1', '--config.mesh.tensor=1', '--only=rl/decode')
  assert done.returncode == 3 and 'does not fit v5e:1x1' in done.stderr and 'config.' in done.stderr, done.stderr


@pytest.mark.slow
def test_a_model_of_1_5_billion_compiles_for_its_topology():
  """What its sampler runs; the update takes minutes to compile: docs/plans.md has its last result."""
  libtpu()
  done = run('--config=experiments/r1_zero.py:qwen2.5-1.5b', '--without-files', '--only=rl/prefill,rl/decode',
             '--json')
  entries = json.loads(done.stdout)['phases']
  assert done.returncode == 0 and all(entry['fits'] for entry in entries), done.stderr
  assert 1e12 < entries[0]['flops'] < 1e14 and entries[1]['bound'] == 'hbm'


def test_a_program_that_differs_in_numbers_alone_is_compiled_once(tmp_path, one_device):
  """Three RL stages of an R1 run one update: learning rates and steps are constants in it;
  another size is another program."""
  from ml_collections import ConfigDict
  from r1jax.engine import trainings
  model, mesh = zoo.build(zoo.get('nano')), mesh_lib.create({'data': 1})

  def training(rate, steps, length):
    c = ConfigDict(dict(batch=2, micro_tokens=2 * length, length=length, steps=steps,
                        optimizer=dict(learning_rate=rate, warmup=2, decay='cosine')))
    config = ConfigDict(dict(seed=0, logit_elements=1 << 20, experts=dict(bias_rate=0.0, balance_loss=0.0)))
    return trainings.sft(config, c, model, mesh)

  used = lambda program: memory.memory_of(program, str(tmp_path))['used']
  found = [used(training(*sizes).program('apply')) for sizes in ((1e-3, 10, 16), (2e-3, 10, 16), (1e-3, 20, 16))]
  assert found[0] == found[1] == found[2] and len(list(tmp_path.iterdir())) == 1
  short, long = (used(training(1e-3, 10, length).program('gradient', length)) for length in (16, 32))
  assert short < long and len(list(tmp_path.iterdir())) == 3


def test_a_step_of_documents_is_planned_by_the_rows_that_they_fill(one_device):
  """64 documents of 150 tokens are 9,600 tokens and ten rows of 1,024, which two micro-batches of eight hold."""
  from ml_collections import ConfigDict
  from r1jax.engine import mesh as mesh_lib
  from r1jax.engine import trainings
  model, mesh = zoo.build(zoo.get('nano')), mesh_lib.create({'data': 1})
  sizes = roofline.sizes_of(model.config, dict(mesh.shape))
  config = ConfigDict(dict(seed=0, remat='none', logit_elements=1 << 20,
                           experts=dict(bias_rate=0.0, balance_loss=0.0)))
  c = ConfigDict(dict(batch=64, batch_of='documents', micro_tokens=8 * 1024, length=1024, steps=1,
                      optimizer=dict(learning_rate=1e-3, warmup=0, decay='constant')))
  training = trainings.sft(config, c, model, mesh)
  work, tokens = phases._update_work(config, c, 'sft', training, sizes, '150')
  whole = roofline.update(sizes, 16, 1024, 0, 2, remat=False)
  assert tokens == 64 * 150 and work.flops == whole.flops and work.hbm_bytes == whole.hbm_bytes
  assert work.model_flops == roofline.update(sizes, 64, 150, 0, 2, remat=False).model_flops < whole.model_flops
  assert phases._update_work(config, c, 'sft', training, sizes, '')[1] == 64 * 512  # half of a row
  c.batch_of = 'rows'
  work, tokens = phases._update_work(config, c, 'sft', trainings.sft(config, c, model, mesh), sizes, '150')
  assert tokens == 64 * 1024 and work == roofline.update(sizes, 64, 1024, 0, 8, remat=False)


def test_documents_longer_than_a_row_are_a_mistake():
  done = run('--config=experiments/distill.py:qwen-1.5b', '--without-files', '--lengths=40000')
  assert done.returncode == 2 and 'between 1 and 99 % of length=32768' in done.stderr, done.stderr
