"""A run that goes on on other devices and other numbers of hosts, and hosts that cut every axis of a mesh: the same data
in the same order, the same numbers. Slow: docs/pods.md has the last result."""

import json
import os
import pathlib
import pickle
import shutil
import socket
import subprocess
import sys

import pytest

import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
SMALL = {
    'base.model': 'nano', 'base.steps': 40, 'base.documents': 400, 'rl.steps': 9, 'rl.groups': 8, 'rl.samples': 4,
    'rl.minibatches': 1, 'rl.micro_tokens': 256, 'rl.task.size': 64, 'rl.max_tokens': 16, 'rl.eval_every': 0,
    'rl.sample_groups': 8, 'evaluate.task.size': 8, 'evaluate.batch': 8, 'evaluate.samples': 2,
    'evaluate.max_tokens': 16, 'checkpoints.every': 2}
NAMES = ('reward/mean', 'accuracy/mean', 'length/tokens', 'loss', 'grad_norm', 'entropy/nats_per_token',
         'kl/nats_per_token', 'groups/no_signal', 'clip/low', 'clip/high')


def config_of(**overrides):
  config = runs.experiment('r1_zero', 'tiny', **{**SMALL, **overrides})
  config.rewards.truncated = 0.5  # so that a base that is never right has something to learn
  return config


def run(config, workdir, *, hosts, devices, across=''):
  """The pipeline in so many processes with so many devices each, the axes of `across` leading from host to host."""
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}
  several = lambda i: {'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}', 'JAX_NUM_PROCESSES': str(hosts),
                       'JAX_PROCESS_ID': str(i)} if hosts > 1 else {}
  processes = [subprocess.Popen([sys.executable, '-m', 'r1jax.rehearse.child', 'host', str(workdir), across], cwd=ROOT,
                                env={**env, **several(i)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT) for i in range(hosts)]
  for process in processes:
    process.stdin.write(pickle.dumps({'config': config}))
    process.stdin.close()
  said = [process.stdout.read().decode(errors='replace') for process in processes]
  assert [process.wait(timeout=600) for process in processes] == [0] * hosts, '\n'.join(said)[-3000:]


def rows(workdir, stage='rl'):
  (path,) = workdir.glob(f'*_{stage}/metrics.jsonl')
  return [json.loads(line) for line in path.read_text().splitlines()]


def asked(workdir):
  """Step -> ids of the questions whose completions were written, in order; of all hosts."""
  out = {}
  for path in sorted(workdir.glob('*_rl/**/samples/step_*.jsonl')):
    out.setdefault(path.name, set()).update((r['group'], r['id']) for r in map(json.loads, path.open()))
  return {name: sorted(found) for name, found in out.items()}


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('base') / 'run'
  run(config_of(**{'rl.steps': 1}), workdir, hosts=1, devices=4)
  return workdir


def from_base(base, **overrides):
  config = config_of(**overrides)
  config.from_run = str(base)
  config.stages = (dict(name='rl', run='rl', inputs=dict(checkpoint='from_run/base')),)
  return config


def test_four_devices_then_eight_on_two_hosts_then_two(base, tmp_path):
  """Behind each change against a reference that goes on from the same checkpoint on what it was on before."""
  parts = ((3, 1, 4), (6, 2, 4), (9, 1, 2))  # up to which step, hosts, devices of each
  run(from_base(base, **{'rl.steps': 3}), tmp_path / 'elastic', hosts=1, devices=4)
  for (_, hosts_before, devices_before), (steps, hosts, devices) in zip(parts, parts[1:]):
    config, reference = from_base(base, **{'rl.steps': steps}), tmp_path / f'to_{steps}'
    shutil.copytree(tmp_path / 'elastic', reference)
    run(config, reference, hosts=hosts_before, devices=devices_before)
    run(config, tmp_path / 'elastic', hosts=hosts, devices=devices)
    one, other = rows(reference), rows(tmp_path / 'elastic')
    assert [r['step'] for r in other] == [r['step'] for r in one] == list(range(1, steps + 1))
    assert asked(reference) == asked(tmp_path / 'elastic') and len(asked(reference)) == steps
    for x, y in zip(one[steps - 3:], other[steps - 3:]):
      for name in NAMES:
        assert y[name] == pytest.approx(x[name], rel=1e-4, abs=1e-6), (x['step'], name)


@pytest.mark.parametrize('mesh, model', [({'fsdp': 4, 'tensor': 2}, 'nano'), ({'fsdp': 4, 'expert': 2}, 'nano-deepseek')])
def test_hosts_that_cut_every_axis_say_what_one_says(mesh, model, tmp_path):
  """2 x 4 and 4 x 2 processes x devices against one with eight: five steps."""
  config = config_of(**{'mesh.data': 1, **{f'mesh.{axis}': n for axis, n in mesh.items()}, 'base.model': model,
                        'rl.steps': 5, 'base.batch': 8})
  across = ','.join(mesh)
  for name, hosts, devices in (('1x8', 1, 8), ('2x4', 2, 4), ('4x2', 4, 2)):
    run(config, tmp_path / name, hosts=hosts, devices=devices, across=across)
  one = rows(tmp_path / '1x8')
  worst = {}
  for name in ('2x4', '4x2'):
    for x, y in zip(one, rows(tmp_path / name), strict=True):
      for key in NAMES:
        # The loss is a mean of terms of size 1 that nearly cancel: it rounds as they do.
        gap = abs(x[key] - y[key]) / max(abs(x[key]), 0.1 if key == 'loss' else 1e-3)
        worst[name, key] = max(worst.get((name, key), 0), gap)
  print('relative gaps at most:', {k: f'{v:.1e}' for k, v in worst.items()})
  assert max(worst.values()) <= 1e-5, worst
