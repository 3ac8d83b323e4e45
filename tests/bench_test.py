"""r1jax.bench: its workloads, its table, rows of a nano model. Peers are not run here."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from r1jax import convert
from r1jax.bench import __main__ as command
from r1jax.bench import environments
from r1jax.bench import inputs
from r1jax.bench import limits
from r1jax.bench import ours
from r1jax.bench import table
from r1jax.bench import workload
from r1jax.models import zoo

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def experiment(arg=None, **changes):
  config = runs.experiment('bench', *[arg] * bool(arg))
  for name in config.workloads:
    config[name].update(changes)
  return config


NANO = dict(source='fresh', model='nano', sizes=dict(vocab_size=96), prompts=3, samples=4, prompt_tokens=8,
            max_tokens=32, micro_tokens=64, decode={})


def nano(tmp_path, **changes):
  config = experiment('W2', **NANO)
  config.W2.update(changes)
  inputs.prepare(config.W2, 'W2', str(tmp_path), peers=False)
  return workload.load(config, 'W2', str(tmp_path))


# --- workloads

def test_the_config_is_data_and_names_its_workloads():
  config = experiment()
  assert config.workloads == ('W1', 'W2', 'W3') and experiment('W4').workloads == ('W4',)
  assert json.loads(json.dumps(config.to_dict()))['W1']['micro_tokens'] == 512
  with pytest.raises(ValueError, match='W5'):
    experiment('W5')


def test_a_run_s_config_does_what_the_workload_says():
  config = experiment('W2', kl_coef=0.5, remat='full')
  run = workload.run_config(config, 'W2')
  assert (run.rl.groups, run.rl.samples, run.rl.minibatches, run.rl.max_tokens, run.rl.kl_coef) == (16, 16, 1, 48, 0.5)
  assert run.remat == 'full' and config.remat == 'none'


def test_programs_in_order():
  config = experiment()
  assert command.programs(config.W1, peers=True) == ['r1jax', 'trl', 'tunix', 'limits']
  assert command.programs(config.W2, peers=False) == ['r1jax', 'limits', 'decode']
  assert command.programs(config.W3, peers=True) == ['r1jax', 'static']
  assert command.programs(experiment('W4').W4, peers=True) == ['r1jax', 'limits']


def test_w3_s_lengths_are_drawn_once():
  w = experiment('W3').W3
  drawn = workload.lengths(w)
  np.testing.assert_array_equal(drawn, workload.lengths(w))
  assert drawn.shape == (512,) and drawn.min() >= 1 and drawn.max() == 256
  assert 56 < drawn.mean() < 70 and 0.7 < np.log(drawn).std() < 0.85
  assert workload.lengths(experiment('W2').W2) is None


def test_formulas_by_hand():
  config = zoo.get('nano')
  weights = config.active_weights() + config.vocab_size * config.dim
  assert sum(inputs_ * outputs * times for inputs_, outputs, times in limits.products(config)) == weights
  prompts, said = [3, 5], [2, 4, 1, 1]  # two groups of two
  pairs = (9 + 25) / 2 + (2 * 3 + 2) + (4 * 3 + 8) + (5 + 0.5) + (5 + 0.5)
  forward = 2 * config.active_weights() * 16 + config.attention_flops() * pairs + 2 * config.vocab_size * config.dim * 8
  assert workload.update_flops(config, prompts, said, 2) == 3 * forward
  assert workload.rollout_flops(config, prompts, said, 2) == forward
  read = workload.rollout_bytes(config, prompts, said, 2, steps=4, itemsize=4)
  filled = (2 * 3 + 2) + (4 * 3 + 8) + 5.5 + 5.5
  assert read == 4 * (4 * weights + filled * config.cache_width())


# --- inputs

def test_the_random_model_is_what_it_says(tmp_path):
  w = experiment('W2').W2
  inputs.write_random(str(tmp_path), w.sizes.to_dict())
  config, params = convert.load_hf(str(tmp_path))
  assert {key: getattr(config, key) for key in w.sizes} == w.sizes.to_dict()
  assert abs(float(np.std(params['embedding'])) - 0.02) < 1e-3 and (params['final_norm']['scale'] == 1).all()


def test_prompts_are_as_long_as_they_should_be_and_kept(tmp_path):
  config = experiment('W2')
  w, work = config.W2, str(tmp_path)
  found = inputs.prepare(w, 'W2', work, peers=True)
  assert found == inputs.read(work, 'W2') and found.bos == '<bos>'
  assert {len(ids) for ids in found.prompts} == {32} and {ids[0] for ids in found.prompts} == {inputs.BOS}
  tokenizer = inputs.Tokenizer(found.checkpoint)
  assert [tokenizer.encode(found.bos + text) for text in found.texts] == found.prompts  # as TRL reads them
  assert [tokenizer.encode(text) for text in found.texts] == [ids[1:] for ids in found.prompts]  # tunix
  before = os.stat(os.path.join(found.hf, 'model.safetensors')).st_mtime_ns
  assert inputs.prepare(w, 'W2', work, peers=True) == found
  assert os.stat(os.path.join(found.hf, 'model.safetensors')).st_mtime_ns == before


@pytest.mark.parametrize('peer', table.PEERS)
def test_a_peer_s_script_finds_what_it_reads(peer, tmp_path, monkeypatch):
  monkeypatch.setattr(environments, 'python', lambda *_: 'python')
  w = experiment('W2').W2
  os.makedirs(tmp_path / 'inputs')
  (tmp_path / 'inputs' / 'W2.json').write_text(json.dumps(inputs.Inputs('a', 'b', [[1, 5]], ['t5'], '<bos>')._asdict()))
  _, alone, script, spec = environments.command(peer, w, 'W2', str(tmp_path), 5, print)
  assert alone == '-P'  # trl.py must not find itself when it imports trl
  with open(script, encoding='utf-8') as f:
    source = f.read()
  with open(spec, encoding='utf-8') as f:
    given = json.load(f)
  assert set(re.findall(r"spec\['(\w+)'\]", source)) <= given.keys()
  assert set(re.findall(rf"spec\['{peer}'\]\['(\w+)'\]", source)) <= given[peer].keys()
  assert set(re.findall(r"'(\w+)':", source)) >= set(table.KEYS)


# --- rows

@pytest.fixture(scope='module')
def drawn(tmp_path_factory, one_device):
  """The rows of a nano model whose samples have drawn lengths, as r1jax works and the static way."""
  load = nano(tmp_path_factory.mktemp('bench'), lengths=dict(mean=10.0, sigma=0.8), slots=4)
  return load, *(ours.row(load, 1, static=static, say=lambda _: None) for static in (False, True))


def test_a_row_has_what_others_read(drawn):
  load, row, _ = drawn
  assert list(row)[:len(table.KEYS)] == list(table.KEYS) and all(row[key] is not None for key in table.KEYS)
  assert (row['workload'], row['program'], row['steps']) == ('W2', 'r1jax', 1)
  parts = row['rollout_seconds'] + row['reference_seconds'] + row['update_seconds']
  assert 0 < parts <= row['step_seconds'] and row['peak_bytes'] > 1 << 26 and row['gap_nats'] < 1e-4
  assert row['rollout_tokens_per_second'] == pytest.approx(load.lengths.sum() / row['rollout_seconds'])


def test_the_static_way_wastes_rows_and_positions(drawn):
  load, row, static = drawn
  assert static['program'] == 'static' and static['decode_steps'] > row['decode_steps']
  limits_NxG = load.limits(1)
  assert static['decode_steps'] == limits_NxG.max(axis=1).sum()  # each group waits for its longest
  assert static['slot_use'] == pytest.approx(load.lengths.sum() / (4 * static['decode_steps']))
  assert static['token_use'] < row['token_use'] and static['slot_use'] < row['slot_use']
  real = load.lengths.sum() + 3 * 8
  assert static['token_use'] == pytest.approx(real / (3 * 8 + 12 * 32))


def test_lengths_are_dealt_out_anew_every_rollout(drawn):
  load = drawn[0]
  first, second = load.limits(0), load.limits(1)
  assert sorted(first.reshape(-1)) == sorted(second.reshape(-1)) and (first != second).any()
  np.testing.assert_array_equal(first, load.limits(0))


# --- table

def made_up():
  row = lambda program, step, rollout, reference, update, gib, **more: table.row(
      'W1', program, step_seconds=step, rollout_seconds=rollout, rollout_tokens_per_second=2048 / rollout,
      reference_seconds=reference, update_seconds=update, peak_bytes=gib << 30, slot_use=1.0, token_use=1.0, **more)
  reached = dict(update_gflops=50.0, rollout_gflops=10.0, rollout_gbytes_per_second=5.0)
  return [row('r1jax', 10.0, 4.0, 1.0, 5.0, 2, **reached),
          row('trl', 20.0, 12.0, 2.0, 6.0, 4),
          row('tunix', 25.0, 8.0, 2.0, 15.0, 8, note='other numbers'),
          table.row('W1', 'limits', update_limit_gflops={'jax': 80.0, 'numpy': 100.0}, choose_ms={'choose': 3.0},
                    decode_limit_gflops={'jax': 40.0}, memory_gbytes_per_second={'read': 10.0, 'copied': 8.0}),
          *(table.row('W2', f'decode {columns}', step_seconds=seconds, columns=columns // 8, decode_rows=256, filled=16)
            for columns, seconds in ((1024, 0.012), (64, 0.010)))]


def test_ratios_are_of_the_better_peer_in_each_column():
  found = table.ratios(made_up())
  assert found['W1'] == pytest.approx({
      'step': 2.0, 'rollout': 2.0, 'update': 1.2, 'update + reference': 8 / 6, 'memory': 0.5})
  assert found['W2'] == pytest.approx({'decode step': 1.2})
  assert table.ratios(made_up()[:1]) == {}


def test_the_table_reads_well():
  text = table.text(made_up(), 'here, today')
  assert text.splitlines()[0] == 'here, today'
  assert re.search(r'^W1 +r1jax +10\.000 +4\.000 +512 +1\.000 +5\.000 +6\.000 +2\.00 +1\.00 +1\.00$', text, re.M)
  for line in ('W1 against the better peer: step 2.00, rollout 2.00, update 1.20, update + reference 1.33, memory 0.50',
               'W1 update: its products alone 100 GFLOP/s (numpy), r1jax 50 (50%)',
               'W1 rollout: its products alone 40 GFLOP/s (jax), r1jax 10 (25%); memory 10 GB/s, r1jax 5',
               'W1 choosing, ms: choose 3', 'W1 tunix: other numbers',
               'W2 decode step of 256 rows that fill 16: 12 ms with 1,024 columns (a cache of 128); 10 ms with 64 '
               'columns (a cache of 8); 1.20'):
    assert line in text.splitlines()


def test_the_static_way_is_named(drawn):
  _, row, static = drawn
  text = table.text([row, static], '')
  assert 'W2 against the static way: step ' in text


# --- the command

def run(*args):
  return subprocess.run([sys.executable, '-m', 'r1jax.bench', *args], cwd=ROOT, capture_output=True, text=True,
                        check=False)


def test_w4_is_refused_on_a_cpu_in_one_line(tmp_path):
  done = run('--config=experiments/bench.py:W4', f'--work={tmp_path}', '--json')
  mistakes = [line for line in done.stderr.splitlines() if line.startswith('r1jax: W4')]
  assert done.returncode == 2 and len(mistakes) == 1 and 'Traceback' not in done.stderr
  assert 'accelerator' in mistakes[0] and '--config.W4.model=nano' in mistakes[0]


def test_mistakes_are_one_line(tmp_path):
  for args, says in ((['--config=experiments/bench.py:W9'], 'W9'), ([], 'is needed'),
                     (['--config=experiments/bench.py:W2', '--only=nobody'], 'nobody')):
    done = run(*args, f'--work={tmp_path}')
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and last.startswith('r1jax: ') and says in last and 'Traceback' not in done.stderr
