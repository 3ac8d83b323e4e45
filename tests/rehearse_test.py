"""A rehearsal: axes cross hosts as on the topology, configs become small and keep what they are, failures are named."""

import itertools
import json
import math
import pathlib
import re
import subprocess
import sys

from absl import flags
import numpy as np
import pytest

from r1jax import checks
from r1jax import stage_models
from r1jax import workdir
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.plan import chips, places
from r1jax.rehearse import __main__ as command
from r1jax.rehearse import inputs, judge, layout, shrink
from r1jax.rewards import judge as judge_lib
from r1jax.rewards.judge import wording

import runs

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = [(name, arg) for name in ('r1_zero', 'r1', 'distill', 'table6', 'evaluate', 'search', 'recipes')
           for arg in runs.module(name).VARIANTS] + [('objectives', 'dapo')]  # its siblings differ in values alone


@pytest.mark.parametrize('topology, mesh, across', [
    ('v5p:4x4x8', dict(fsdp=32, tensor=4), ('fsdp', 'tensor')),  # a line of four chips is on two hosts of 2 x 2
    ('v5p:8x8x8', dict(fsdp=32, expert=16), ('fsdp', 'expert')),
    ('v5p:2x2x2', dict(fsdp=8), ('fsdp',)), ('v5e:2x4', dict(fsdp=4, tensor=2), ()),
    ('v5e:4x4', dict(fsdp=16), ('fsdp',)), ('h100:1x8', dict(fsdp=8), ()),
    ('h100:2x8', dict(fsdp=4, tensor=4), ('fsdp',)), ('h100:4x8', dict(tensor=32), ('tensor',)),
    ('tpu7x:2x2x2', dict(fsdp=8, tensor=2), ('fsdp',))])
def test_axes_cross_hosts_where_they_do_on_the_topology(topology, mesh, across):
  assert places.crossing(chips.topology(topology), mesh) == across


@pytest.mark.parametrize('topology', [
    'v5p:2x2x1', 'v5p:4x4x8', 'v5e:2x4', 'v5e:4x8', 'v6e:8x8', 'tpu7x:4x4x4', 'h100:3x8'])
def test_hosts_of_a_topology_have_equal_parts(topology):
  where = chips.topology(topology)
  hosts = [d.process_index for d in places.devices(where)]
  assert len(hosts) == where.devices and set(hosts) == set(range(where.hosts))
  assert len({hosts.count(host) for host in set(hosts)}) == 1


@pytest.mark.parametrize('hosts, devices', [(2, 4), (4, 2), (2, 2), (4, 4), (8, 1), (2, 8)])
def test_fake_devices_cross_hosts_in_the_same_axes(hosts, devices):
  for used in itertools.chain.from_iterable(itertools.combinations(mesh_lib.AXES[1:], n) for n in (1, 2, 3)):
    mesh = {axis: 16 if axis in used else 1 for axis in mesh_lib.AXES}
    if 2 ** len(used) > hosts * devices:
      with pytest.raises(UserError, match='give --hosts and --devices'):
        layout.small(mesh, hosts * devices)
      continue
    small = layout.small(mesh, hosts * devices)
    assert math.prod(small.values()) == hosts * devices and all(small[axis] >= 2 for axis in used)
    for across in itertools.chain.from_iterable(itertools.combinations(used, n) for n in range(1, len(used) + 1)):
      placed = layout.arrange(tuple(small.values()), across, hosts)
      assert np.bincount(placed.ravel(), minlength=hosts).tolist() == [devices] * hosts
      for axis in across:
        assert np.any(np.diff(placed, axis=mesh_lib.AXES.index(axis))), (small, across, placed)


@pytest.mark.parametrize('name, nano', [
    ('qwen3-8b', 'nano-qwen3'), ('qwen2.5-7b', 'nano-qwen'), ('r1-distill-qwen-1.5b', 'nano-qwen'),
    ('llama-3.2-1b', 'nano-llama'), ('r1-distill-llama-70b', 'nano-llama'), ('smollm2-135m', 'nano'),
    ('deepseek-v3-base', 'nano-deepseek')])
def test_a_rehearsal_has_a_nano_of_each_family(name, nano):
  assert inputs.nano_of(name) == nano


@pytest.mark.parametrize('name, arg', CONFIGS)
def test_every_experiment_becomes_small_and_stays_what_it_is(name, arg, tmp_path, monkeypatch):
  config = runs.experiment(name, arg)
  mesh = layout.small(config.mesh.to_dict(), 8)
  models = {model: str(tmp_path / (model or 'given')) for model in shrink.models(config)}
  for model, out in models.items():
    inputs.publish(out, str(tmp_path / 'data'), inputs.nano_of(model or 'qwen2.5-7b'))
  small = shrink.shrink(config, mesh, str(tmp_path / 'data'), models)
  assert small.stages == config.stages
  shards = mesh['data'] * mesh['fsdp']
  for spec in small.stages:
    was, is_ = config[spec.get('config', spec['name'])], small[spec.get('config', spec['name'])]
    kept = ('template', 'templates', 'format', 'kind', 'ratio', 'aggregate', 'scale', 'old_logps', 'clip_low',
            'clip_high', 'kl_coef', 'temperature', 'top_p', 'rewards', 'ref_dtype', 'ref_memory', 'filters', 'prefill',
            'learning_rate', 'form', 'beta', 'combine', 'estimate', 'balance')
    for key in kept:
      assert is_.get(key) == was.get(key), (spec['name'], key)
    if spec['run'] == 'rl':
      assert is_.steps == 2 * is_.minibatches and is_.groups == shards
  assert (small.dtype, small.remat, small.attention) == (config.dtype, config.remat, config.attention)
  monkeypatch.setattr(stage_models, 'elsewhere', lambda config, source: {'directory': str(tmp_path)})
  checks.run(small)  # all that a run looks at before it starts


@pytest.mark.parametrize('arg', ['paper', 'judged', 'r1-distill-qwen-7b'])
def test_an_evaluation_rehearses_the_stand_ins_of_its_own_benchmarks(arg, tmp_path):
  config = runs.experiment('evaluate', arg)
  small = shrink.shrink(config, layout.small(config.mesh.to_dict(), 8), str(tmp_path), {'': str(tmp_path)},
                        checkpoint='here', judge='http://localhost:1/v1')
  sources = [task['source'] for task in small.evaluate.tasks]
  assert sources == [f'{name}:standin' for name in config.evaluate.tasks]
  assert small.evaluate.judge.url == 'http://localhost:1/v1' and small.evaluate.judge.model == judge.NAME
  assert small.get('checkpoint', 'here') == 'here'


def test_a_rehearsals_judge_gives_the_first_verdict_of_each_question_that_judges_are_asked(tmp_path):
  of_each = [judge.verdict(text.format(question='Q. VERDICT: NO', first='VERDICT: 7', second='b')) for text in (
      wording.SAME, wording.BETTER, wording.GRADE, wording.CORRECT, wording.TRUE)]
  assert of_each == [f'VERDICT: {said}' for said in ('SAME', '1', '1>>2', 'CORRECT', 'TRUE')]
  assert judge.verdict('How are you?') == ''
  with judge.serving() as url:
    config = {'kind': 'endpoint', 'url': url, 'model': judge.NAME}
    judge_lib.connect(config).look()
    assert judge_lib.create(config, directory=str(tmp_path)).same('Who?', 'I', 'me')


def test_some_stages_bring_what_they_need():
  config = runs.experiment('r1', 'deepseek-v3')
  command._choose(config, ('rl',))
  assert [spec['name'] for spec in config.stages] == ['base', 'zero', 'cold_data', 'cold_start', 'rl']
  with pytest.raises(UserError, match='no such stage, there are base, zero'):
    command._choose(config, ('rll',))


@pytest.fixture
def parsed():
  flags.FLAGS.mark_as_parsed()
  saved = flags.FLAGS['hosts'].value, flags.FLAGS['devices'].value, flags.FLAGS['work'].value
  yield flags.FLAGS
  flags.FLAGS.hosts, flags.FLAGS.devices, flags.FLAGS.work = saved


def test_what_hosts_say_differently_is_found(tmp_path, parsed):
  rows = [{'step': 1, 'loss': 0.5, 'time/decode': 1.0}, {'step': 2, 'loss': 0.25, 'step/seconds': 3.0}]
  other = tmp_path / 'hosts' / '1' / 'metrics.jsonl'
  other.parent.mkdir(parents=True)
  write = lambda path, found: path.write_text(''.join(json.dumps(row) + '\n' for row in found))
  write(tmp_path / 'metrics.jsonl', rows)
  assert command._compared(str(tmp_path)) == (0, [])  # what the first host alone writes
  write(other, [{**row, 'time/decode': 2.0, 'step/seconds': 1.0} for row in rows])
  assert command._compared(str(tmp_path)) == (2, [])
  write(other, [rows[0], {**rows[1], 'loss': 0.26}])
  assert command._compared(str(tmp_path))[1] == ['loss at step 2 is 0.25 on host 0 and 0.26 on host 1']
  write(other, rows[:1])
  assert command._compared(str(tmp_path))[1] == ['2 rows of metrics on host 0 and 1 on host 1']
  parsed.hosts = 3
  assert '2 rows of metrics on host 0 and 0 on host 2' in command._compared(str(tmp_path))[1]


def test_a_rehearsal_removes_nothing_but_rehearsals(tmp_path, parsed, monkeypatch, capsys):
  """--work=runs, where a run of the same name stands."""
  parsed.work = str(tmp_path)
  ran = []
  monkeypatch.setattr(command, 'rehearse', lambda config, work, *_: ran.append(work) or 0)
  monkeypatch.setattr(command.options, 'parse', lambda argv: runs.experiment('r1', 'tiny'))
  run = tmp_path / 'r1_tiny' / '1_base'
  run.mkdir(parents=True)
  assert command.main(['rehearse']) == 2 and run.exists() and not ran
  assert f'{tmp_path}/r1_tiny holds what no rehearsal wrote' in capsys.readouterr().err
  parsed.work = str(tmp_path / 'other')
  for _ in range(2):
    assert command.main(['rehearse']) == 0
    (tmp_path / 'other' / 'r1_tiny' / 'run').mkdir()
    (tmp_path / 'other' / 'r1_tiny' / 'green.json').write_text('{}')
  assert command.main(['rehearse']) == 0 and len(ran) == 3
  assert sorted(path.name for path in (tmp_path / 'other' / 'r1_tiny').iterdir()) == ['rehearsal']
  with workdir.held(str(tmp_path / 'other' / 'r1_tiny')):
    assert command.main(['rehearse']) == 2
  assert 'is in use by process' in capsys.readouterr().err


@pytest.mark.parametrize('hosts, devices, lacking', [(3, 4, 'tensor'), (6, 2, 'tensor'), (2, 4, ''), (4, 2, ''), (1, 8, '')])
def test_hosts_that_axes_cannot_cross_are_refused(parsed, hosts, devices, lacking):
  parsed.hosts, parsed.devices = hosts, devices
  config = runs.experiment('r1_zero', 'qwen2.5-32b')
  mesh = layout.small(config.mesh.to_dict(), hosts * devices)
  if lacking:
    with pytest.raises(UserError, match=f'--hosts={hosts} --devices={devices}: {lacking} cannot cross hosts as on v5p'):
      command._across(config, mesh)
  else:
    assert command._across(config, mesh) == ('fsdp', 'tensor')


@pytest.mark.parametrize('config', [
    'r1_zero.py:qwen2.5-32b',
    pytest.param('r1_zero.py:deepseek-v3', marks=pytest.mark.slow)])  # six minutes; docs/pods.md has its last result
def test_a_pod_run_rehearses(config, tmp_path):
  """With tensor, or expert, across two hosts: import, RL, evaluation."""
  done = subprocess.run([sys.executable, '-m', 'r1jax.rehearse', f'--config=experiments/{config}', f'--work={tmp_path}',
                         '--devices=2'], cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
  assert done.returncode == 0 and 'hosts differ' not in done.stdout, done.stdout + done.stderr
  said = {line.split()[0]: line for line in done.stdout.splitlines() if line[0] != ' '}
  assert list(said) == ['base', 'rl', 'evaluate'] and re.search(r'hosts agree in \d+ rows', said['rl']), done.stdout
  did = re.findall(r'^  host [01]: [\d.]+ s of CPU, read [\d,.]+ MB, [\d,]+ MB at its peak', done.stdout, re.MULTILINE)
  assert len(did) == 6, done.stdout


def test_a_rehearsal_of_r1_is_taken_for_what_begins_with_it_while_the_code_is_the_same(tmp_path, monkeypatch):
  flags.FLAGS.mark_as_parsed()
  ran = []
  monkeypatch.setattr(command.subprocess, 'run', lambda args, **_: ran.append(args) or subprocess.CompletedProcess(args, 0))
  run, noted = tmp_path / 'r1_tiny' / 'run', tmp_path / 'r1_tiny' / 'green.json'
  assert command._other(str(tmp_path / 'distill_tiny')) == str(run) and len(ran) == 1
  run.mkdir(parents=True)
  noted.write_text(json.dumps(command._of_now()))
  assert command._other(str(tmp_path / 'distill_tiny')) == str(run) and len(ran) == 1
  noted.write_text(json.dumps({**command._of_now(), 'code': 'of another day'}))
  assert command._other(str(tmp_path / 'distill_tiny')) == str(run) and len(ran) == 2
