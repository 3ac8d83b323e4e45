"""Slow: weights of full size. `pytest -m slow`; needs 24 GB of memory, 20 GB of disk. Last result: docs/models.md."""

import json
import os
import subprocess
import sys
import time

import pytest

from r1jax.convert import hf_config, table
from r1jax.models import zoo

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
pytestmark = pytest.mark.slow


class Ids:
  eos_ids, pad_id = (1,), 0


def write_sparse(directory, name, shards=4):
  """A directory shaped like a published checkpoint, bfloat16, its weights holes in the files (they read as zeros)."""
  config = zoo.get(name)
  tensors = list(table.places(config).items())
  os.makedirs(directory)
  index = {}
  for n in range(shards):
    header, at = {}, 0
    for key, place in tensors[n::shards]:
      shape = table.their_shape(place)
      size = 2
      for dim in shape:
        size *= dim
      header[key] = {'dtype': 'BF16', 'shape': list(shape), 'data_offsets': [at, at + size]}
      at += size
    head = json.dumps(header).encode()
    head += b' ' * (-len(head) % 8)
    file = f'model-{n + 1:05d}-of-{shards:05d}.safetensors'
    with open(os.path.join(directory, file), 'wb') as f:
      f.write(len(head).to_bytes(8, 'little') + head)
      f.truncate(8 + len(head) + at)
    index |= dict.fromkeys(header, file)
  vocab = {'<a>': 0, '</s>': 1}
  for file, facts in (('config.json', hf_config.facts_of(config, 'bfloat16', [1], 0)),
                      ('model.safetensors.index.json', {'weight_map': index}),
                      ('tokenizer.json', {'version': '1.0', 'added_tokens': [], 'model': {
                          'type': 'BPE', 'vocab': vocab, 'merges': []}})):
    with open(os.path.join(directory, file), 'w', encoding='utf-8') as f:
      json.dump(facts, f)
  return str(directory)


def convert(*args):
  """(exit code, what it said on stderr, peak resident bytes)."""
  code = ('import resource, sys; from r1jax.convert.__main__ import main; '
          f'rc = main({["", *args]}); '
          'print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024); sys.exit(rc)')
  env = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
  peak = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith('peak ')]
  return done.returncode, done.stderr, peak[0] if peak else 0


def import_(source, out):
  return convert('import', f'--source={source}', '--model=qwen2.5-7b', f'--out={out}')


def test_a_7b_checkpoint_goes_in_and_out_in_its_own_size(tmp_path, capsys):
  """In at most 1.3 times the memory of its weights, and out, a tensor at a time, in five minutes."""
  source, share = write_sparse(tmp_path / 'hf', 'qwen2.5-7b'), 2 * zoo.get('qwen2.5-7b').param_count()
  ways = {'import': lambda: import_(source, tmp_path / 'out'),
          'export': lambda: convert('export', f'--checkpoint={tmp_path / "out"}', f'--out={tmp_path / "hf2"}')}
  for way, run in ways.items():
    begun = time.monotonic()
    code, said, peak = run()
    seconds = time.monotonic() - begun
    assert code == 0, said
    with capsys.disabled():
      print(f'\n{way}: {seconds:.0f} s, peak {peak:,} bytes, {peak / share:.3f} times the {share:,} bytes of the target')
    assert peak <= 1.3 * share and seconds <= 300


def test_a_truncated_7b_shard_is_refused_in_one_line(tmp_path):
  source = write_sparse(tmp_path / 'hf', 'qwen2.5-7b')
  shard = os.path.join(source, 'model-00003-of-00004.safetensors')
  os.truncate(shard, os.path.getsize(shard) - 1)
  code, said, peak = import_(source, tmp_path / 'out')
  assert code == 2 and 'r1jax: ' in said and 'model-00003-of-00004' in said and said.count('\n') == 1
  assert peak < 2 << 30
