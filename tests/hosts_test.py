"""Two processes with four devices each against one with eight: the same numbers, and each scores its own rollouts."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
import tokenizers
from tokenizers import pre_tokenizers

from r1jax import outputs
from r1jax.convert import hf_config, table
from r1jax.models import zoo

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARGS = ['--config=experiments/r1_zero.py:tiny', '--config.base.model=nano', '--config.base.steps=3',
        '--config.base.documents=300', '--config.rl.steps=3', '--config.rl.groups=8', '--config.rl.micro_tokens=256',
        '--config.rl.samples=4', '--config.rl.minibatches=1', '--config.rl.task.size=64', '--config.rl.max_tokens=16',
        '--config.rl.eval_every=0', '--config.rl.sample_groups=8', '--config.evaluate.task.size=8',
        '--config.evaluate.batch=8', '--config.evaluate.samples=2', '--config.evaluate.max_tokens=16',
        '--config.checkpoints.every=2']


def start(workdir, devices, args=ARGS, **env):
  env = {**os.environ, 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}', 'JAX_PLATFORMS': 'cpu', **env}
  return subprocess.Popen([sys.executable, '-m', 'r1jax.main', *args, f'--workdir={workdir}'], cwd=ROOT, env=env,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow  # three minutes on two cores; docs/pods.md has its last result
@pytest.mark.parametrize('more', [[], ['--config.rl.dynamic_tries=3'], ['--config.rl.lag=1'],
                                  ['--config.lora.rank=4', '--config.rl.learning_rate=1e-3']],
                         ids=['', 'dynamic', 'lag', 'adapters'])
def test_two_hosts_train_as_one_does(tmp_path, more):
  """Each decides alike which groups a rollout has."""
  reward = tmp_path / 'third.py'
  reward.write_text('def third(completion, row):\n  return float(len(completion) % 3 == 0)\n')
  args = [*ARGS, *more, *([f'--config.rewards={{"{reward}:third": 1.0}}'] if more else [])]
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  two = [start(tmp_path / 'two', 4, args, JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}', JAX_NUM_PROCESSES='2',
               JAX_PROCESS_ID=str(i)) for i in range(2)]
  said = [p.communicate(timeout=400)[0] for p in two]
  assert [p.returncode for p in two] == [0, 0], '\n'.join(said)[-3000:]
  one = start(tmp_path / 'one', 8, args)
  text = one.communicate(timeout=400)[0]
  assert one.returncode == 0, text[-2000:]

  a, b = (rows(tmp_path / name / '2_rl' / 'metrics.jsonl') for name in ('one', 'two'))
  assert len(a) == len(b) == 3
  for x, y in zip(a, b):
    for name in ('reward/mean', 'length/tokens', 'loss', 'grad_norm', 'entropy/nats_per_token', 'kl/nats_per_token',
                 'groups/no_signal', *(name for name in x if name.startswith('dynamic/'))):
      assert y[name] == pytest.approx(x[name], rel=2e-3, abs=1e-5), name
  # Each host wrote the samples that it scored: other groups, none twice, together all of them.
  mine, other = ({r['id'] for r in rows(tmp_path / 'two' / '2_rl' / place / 'samples' / 'step_00000001.jsonl')}
                 for place in ('.', 'hosts/1'))
  whole = {r['id'] for r in rows(tmp_path / 'one' / '2_rl' / 'samples' / 'step_00000001.jsonl')}
  assert mine and other and not mine & other and mine | other == whole
  assert (tmp_path / 'two' / 'report' / 'index.html').exists()
  scores = [json.loads((tmp_path / name / '3_evaluate' / 'eval' / 'chain_sum' / 'scores.json').read_text())
            for name in ('one', 'two')]
  assert scores[0]['n_questions'] == scores[1]['n_questions'] == 8


def published(directory, model='nano-qwen'):
  """A Hugging Face directory of random weights in that model's sizes, its tokenizer one of bytes."""
  directory.mkdir()
  config, rng = zoo.get(model), np.random.default_rng(0)
  save_file({name: rng.normal(size=table.their_shape(place)).astype(np.float32) * 0.05
             for name, place in table.places(config).items()}, str(directory / 'model.safetensors'), {'format': 'pt'})

  class Ids:
    eos_ids, pad_id = (0,), 1

  (directory / 'config.json').write_text(json.dumps(hf_config.facts_of(config, 'float32', [0], 1)))
  vocab = {token: i for i, token in enumerate(['<e>', '<p>', *sorted(pre_tokenizers.ByteLevel.alphabet())])}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.save(str(directory / 'tokenizer.json'))
  return directory


IMPORTED = ['--config=experiments/r1_zero.py:smollm2', '--config.base.model=nano-qwen', '--config.rl.template=plain',
            '--config.evaluate.template=plain', '--config.rl.max_prompt=200', '--config.rl.max_tokens=16',
            '--config.rl.steps=2', '--config.rl.groups=8', '--config.rl.samples=2', '--config.rl.micro_tokens=512',
            '--config.rl.task.size=16', '--config.evaluate.task.size=8', '--config.evaluate.batch=8',
            '--config.evaluate.samples=1', '--config.evaluate.max_prompt=200', '--config.evaluate.max_tokens=16']


@pytest.mark.slow
def test_two_hosts_import_a_base(tmp_path):
  """Published weights, of which each host reads its part: the same base as on one host; then the run stands."""
  args = [*IMPORTED, f'--config.base.source={published(tmp_path / "hf")}']
  for name, hosts in (('two', 2), ('one', 1), ('two', 2)):
    with socket.create_server(('127.0.0.1', 0)) as free:
      port = free.getsockname()[1]
    env = dict(JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}', JAX_NUM_PROCESSES='2') if hosts == 2 else {}
    all_ = [start(tmp_path / name, 8 // hosts, args, **env, **({'JAX_PROCESS_ID': str(i)} if env else {}))
            for i in range(hosts)]
    said = [p.communicate(timeout=400)[0] for p in all_]
    assert [p.returncode for p in all_] == [0] * hosts, '\n'.join(said)[-3000:]
  assert said[0].count('stands: skipped') == 3
  assert outputs.digest(str(tmp_path / 'one/1_base')) == outputs.digest(str(tmp_path / 'two/1_base'))
