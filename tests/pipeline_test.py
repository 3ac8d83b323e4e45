"""The whole path on a model of a few thousand parameters: resume after kill -9, torn checkpoints, signals, errors."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import checks
from r1jax import outputs
from r1jax import pipeline
from r1jax import report
from r1jax import stopping
from r1jax.exceptions import UserError

import report_truth_test
import runs
from runs import rows

ROOT = pathlib.Path(__file__).parent.parent
SMALL = {
    'base.model': 'nano', 'base.documents': 300, 'base.steps': 8, 'base.batch': 4, 'base.log_every': 2,
    'rl.task.size': 64, 'rl.steps': 8, 'rl.groups': 2, 'rl.micro_tokens': 64, 'rl.samples': 4, 'rl.max_tokens': 16,
    'rl.slots': 6,  # of the 16 completions of a rollout: rows are filled again
    'rl.eval_every': 4, 'rl.eval_questions': 4, 'rl.eval_samples': 4, 'rl.ref_every': 4, 'evaluate.task.size': 8, 'evaluate.samples': 4,
    'evaluate.batch': 4, 'evaluate.max_tokens': 16, 'checkpoints.every': 2, 'checkpoints.keep': 10,
}


# Notes what the rollouts of RL are asked, give and leave, and with KILL=N ends the process in the middle of the N-th.
NOTED = """
import json, os, signal
from r1jax.engine import rollout


class Noted(rollout.Rollout):
  number = 0

  def __init__(self, *args, groups=None, **kw):
    super().__init__(*args, groups=groups, **kw)
    Noted.number += groups is not None  # neither the gate's nor an evaluation's
    self._asked, self._at, self._chunks = args[2], Noted.number if groups is not None else None, 0

  def _collect(self, *args):
    ended, self._chunks = super()._collect(*args), self._chunks + 1
    if str(self._at) == os.environ.get('KILL') and self._chunks == 2:
      assert any(self._open), 'it is over'
      os.kill(os.getpid(), signal.SIGKILL)
    return ended

  def __iter__(self):
    given = []
    for finished in super().__iter__():
      given.append(finished)
      yield finished
    if self._at and 'NOTES' in os.environ:
      plain = lambda c: c and [c.tokens.tolist(), c.logps.tolist()]
      asked, left = ([[r.group, r.samples, [plain(c) for c in r.begun or [None] * len(r.samples)]] for r in of]
                     for of in (self._asked, self.unfinished))
      given = [[group, [plain(c) for c in completions]] for group, completions in given]
      with open(os.environ['NOTES'], 'a') as f:
        f.write(json.dumps({'asked': asked, 'left': left, 'given': given}) + chr(10))


rollout.Rollout = Noted
"""
# The command but for the report's figures, which take half of such a start's time; report_test.py draws them.
UNDRAWN = NOTED + """
import runpy
from r1jax.report import figures
figures.draw = lambda *args: None
runpy.run_module('r1jax.main', run_name='__main__')
"""
# RL alone: config, work dir, checkpoint.
ALONE = NOTED + """
import sys
from ml_collections import ConfigDict
from r1jax.stages import rl
config, workdir, start = sys.argv[1:]
rl.run(ConfigDict(json.loads(config)), 'rl', workdir, {'checkpoint': start})
"""


# What it reaches is anybody's guess, but for numbers that it has at once, or never.
EXPECT = tuple(dict(stage='rl', metric='eval/chain_sum/pass@1', step=step, least=least)
               for step, least in ((4, 0.0), (4, 1.1), (80, 1.1)))


def command(workdir, *, drawn=False, **overrides):
  flags = [f'--config.{k}={v}' for k, v in {**SMALL, 'expect': EXPECT, **overrides}.items()]
  program = ['-m', 'r1jax.main'] if drawn else ['-c', UNDRAWN]
  return [sys.executable, *program, '--config=experiments/r1_zero.py:tiny', f'--workdir={workdir}', *flags]


def environment():
  return {**os.environ, 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}


def run(workdir, *, check=True, drawn=False, env=None, **overrides):
  out = subprocess.run(command(workdir, drawn=drawn, **overrides), cwd=ROOT, env={**environment(), **(env or {})},
                       capture_output=True, text=True, timeout=300, check=False)
  if check:
    assert out.returncode == 0, out.stderr[-3000:]
  return out


def interrupt(workdir, reached, how=signal.SIGKILL):
  """Starts the run, sends the signal as soon as reached() is true, and returns the exit code."""
  with open(workdir.parent / f'{workdir.name}.log', 'ab') as log:
    process = subprocess.Popen(command(workdir), cwd=ROOT, env=environment(), stdout=log, stderr=log)
    end = time.monotonic() + 240
    while not reached():
      assert process.poll() is None, (workdir.parent / f'{workdir.name}.log').read_text()[-3000:]
      assert time.monotonic() < end, 'never got that far'
      time.sleep(0.002)
    process.send_signal(how)
    return process.wait(timeout=60)


def weights(workdir, stage, step):
  return runs.weights(workdir / stage / 'checkpoints' / str(step))


def assert_same(a, b):
  """Two finished runs are the same, bit for bit, in weights, optimiser, metrics, samples and evaluation."""
  for stage in ('1_base', '2_rl', '3_evaluate'):
    assert rows(a / stage / 'metrics.jsonl') == rows(b / stage / 'metrics.jsonl'), stage
  for stage in ('1_base', '2_rl'):
    x, y = weights(a, stage, 8), weights(b, stage, 8)
    assert x.keys() == y.keys() and len(x) > 20
    for name in x:
      np.testing.assert_array_equal(x[name], y[name], err_msg=f'{stage} {name}')
  assert (a / 'recipe.json').read_bytes() == (b / 'recipe.json').read_bytes()
  for name in ('2_rl/samples', '3_evaluate/eval'):
    files = sorted(p.relative_to(a) for p in (a / name).rglob('*') if p.is_file())
    assert files and files == sorted(p.relative_to(b) for p in (b / name).rglob('*') if p.is_file())
    for file in files:
      assert (a / file).read_bytes() == (b / file).read_bytes(), file


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that nobody interrupts."""
  workdir = tmp_path_factory.mktemp('whole') / 'run'
  run(workdir, drawn=True)
  return workdir


def test_the_report_says_what_the_files_say(whole):
  report_truth_test.check(whole)


def test_a_run_leaves_what_the_interface_promises(whole):
  for name in ('config.json', 'pipeline.json', 'report/index.html', '1_base/checkpoints/8', '2_rl/checkpoints/8',
               'report/2_rl_length.png', '2_rl/samples/step_00000008.jsonl', '3_evaluate/eval/chain_sum/samples.jsonl',
               '3_evaluate/eval/chain_sum/scores.json', '2_rl/log.txt'):
    assert (whole / name).exists(), name
  assert list((whole / '2_rl' / 'tensorboard').glob('events*'))
  found = rows(whole / '2_rl/metrics.jsonl')
  assert [r['step'] for r in found] == list(range(9))  # 0 is the evaluation before the first update
  assert all(r['stage'] == 'rl' and 'rollout' in r for r in found)
  needed = {'reward/mean', 'reward/accuracy', 'reward/format', 'accuracy/mean', 'length/tokens', 'length/truncated',
            'kl/nats_per_token', 'entropy/nats_per_token', 'clip/low', 'clip/high', 'groups/no_signal',
            'groups/std_min', 'reflection/words_per_completion', 'loss', 'grad_norm', 'rollout/slot_use',
            'update/token_use', 'rewards/errors'}
  assert needed <= found[1].keys()
  assert all(0 < r[name] <= 1 for r in found[1:] for name in ('rollout/slot_use', 'update/token_use'))
  assert 'mismatch/logp_max_abs' in found[1] and found[1]['mismatch/logp_max_abs'] < 1e-4
  assert 0 <= found[1]['mismatch/kl_nats_per_token'] < 1e-6 and found[1]['mismatch/beyond_half_nat'] == 0
  assert 'mismatch/logp_max_abs' not in found[2]  # the second minibatch: the policy has moved
  assert 'eval/chain_sum/pass@1' in found[4] and 'eval/chain_sum/cons@4' in found[4]
  assert {r['model'] for r in rows(whole / '3_evaluate/metrics.jsonl')} == {'base', 'final', 'base_worked'}
  recipe = json.loads((whole / 'recipe.json').read_text())['expect']
  assert [(entry['state'], entry['at']) for entry in recipe] == [('met', 0), ('missed', 4), ('open', None)]
  assert 'missed, ' in (whole / 'report/index.html').read_text()
  passed = json.loads((whole / 'pipeline.json').read_text())['stages']
  assert [s['name'] for s in passed] == ['base', 'rl', 'evaluate']
  assert passed[1]['inputs'] == {'checkpoint': passed[0]['output']}


def test_the_time_of_a_step_is_accounted_for(whole):
  found = [json.loads(line) for line in (whole / '2_rl/metrics.jsonl').read_text().splitlines()][1:]
  for row in found:
    spans = {name.removeprefix('time/'): value for name, value in row.items() if name.startswith('time/')}
    assert {'admit', 'decode', 'judge_wait', 'reference', 'update', 'metrics', 'other'} <= spans.keys()
    assert sum(spans.values()) == pytest.approx(row['step/seconds'], rel=0.02) and min(spans.values()) >= 0
    parts = {'rollout': ('admit', 'decode'), 'rewards': ('judge_wait',), 'update': ('reference', 'update')}
    for name, of in parts.items():
      assert row[f'{name}/seconds'] == pytest.approx(sum(spans[part] for part in of))
    assert row['rollout/tokens_per_second'] == pytest.approx(row['rollout/tokens'] / 2 / row['rollout/seconds'])
  assert {'time/evaluate', 'time/checkpoint'} <= set().union(*found)
  stage = json.loads((whole / 'pipeline.json').read_text())['stages'][1]
  assert 0 < sum(row['step/seconds'] for row in found) < stage['seconds']


def test_killed_anywhere_it_ends_the_same(whole, tmp_path):
  workdir = tmp_path / 'run'
  step = lambda stage: max([r['step'] for r in rows(workdir / stage / 'metrics.jsonl')], default=-1)
  points = [
      lambda: step('1_base') >= 4,  # inside the first stage
      lambda: (workdir / '1_base/checkpoints/8').exists(),  # the boundary: weights stand, the pipeline has not noted it
      lambda: step('2_rl') >= 3,  # between checkpoints of RL
      lambda: step('2_rl') >= 7,  # just before the last one
  ]
  assert [interrupt(workdir, reached) for reached in points[:2]] == [-signal.SIGKILL] * 2
  assert run(workdir, check=False, env={'KILL': '2'}).returncode == -signal.SIGKILL  # in the middle of a rollout
  assert interrupt(workdir, points[2], signal.SIGTERM) == 143  # this one saves what it has
  assert step('2_rl') in {int(p.name) for p in (workdir / '2_rl/checkpoints').iterdir() if p.name.isdigit()}
  assert interrupt(workdir, points[3]) == -signal.SIGKILL
  run(workdir)
  assert_same(whole, workdir)


def alone(workdir, start, *, env=None, code=0, **overrides):
  """RL alone, from a checkpoint, with groups that a rollout may leave to the next."""
  carried = {'rl.carry': 2, 'rl.kl_coef': 0.0, 'rl.eval_every': 0, 'rl.max_tokens': 40, 'rl.sample_groups': 4}
  config = json.dumps(small_config(**{**carried, 'mesh.tensor': 1, **overrides}).to_dict())
  out = subprocess.run([sys.executable, '-c', ALONE, config, str(workdir), str(start)], cwd=ROOT,
                       env={**environment(), **(env or {})}, capture_output=True, text=True, timeout=300, check=False)
  assert out.returncode == code, out.stderr[-3000:]


@pytest.fixture(scope='module')
def carried(whole, tmp_path_factory):
  """RL alone with rl.carry, which nobody interrupts; what each of its rollouts was asked and gave is in `notes`."""
  place = tmp_path_factory.mktemp('carried')
  alone(place / '1_whole', whole / '1_base', env={'NOTES': str(place / 'notes')})
  return place


def test_what_a_rollout_leaves_the_next_goes_on_with(carried):
  """rl.carry: each group and each sample once, tokens and log-probs kept."""
  notes = [json.loads(line) for line in (carried / 'notes').read_text().splitlines()]
  assert [len(note['given']) for note in notes] == [4] * 4 and [len(note['left']) for note in notes] == [2] * 4
  given, left = [group for note in notes for group, _ in note['given']], {group for group, *_ in notes[-1]['left']}
  assert len(set(given)) == 16 and not set(given) & left
  assert {group for note in notes for group, *_ in note['asked']} == set(given) | left
  samples = {tuple(numbers) for note in notes for _, numbers, _ in note['asked']}
  assert len(samples) == 18 and len(set(sum(samples, ()))) == 18 * 4
  said, cut = {group: completions for note in notes for group, completions in note['given']}, 0
  for before, note in zip(notes, notes[1:]):
    assert note['asked'][:2] == before['left'] and len(note['asked']) == 6  # first of all
    for group, _, begun in before['left']:
      for part, completion in zip(begun, said[group]):
        if part:  # log-probs are those of the policy that chose the token
          assert [of[:len(part[0])] for of in completion] == part
          cut += len(part[0]) < len(completion[0])
  assert cut  # some were left in the middle
  found = rows(carried / '1_whole/metrics.jsonl')
  assert [r['step'] for r in found] == list(range(1, 9)) and all(np.isfinite(r['loss']) for r in found)


def test_what_was_left_is_gone_on_with_after_a_kill_too(whole, carried):
  one, two = carried / '1_whole', carried / '2_killed'
  alone(two, whole / '1_base', env={'KILL': '3'}, code=-signal.SIGKILL)
  assert 0 < len(rows(two / 'metrics.jsonl')) < 8 and any((two / 'carried').iterdir())
  alone(two, whole / '1_base')
  assert rows(one / 'metrics.jsonl') == rows(two / 'metrics.jsonl')
  x, y = (weights(carried, stage.name, 8) for stage in (one, two))
  assert x.keys() == y.keys() and len(x) > 20
  for name in x:
    np.testing.assert_array_equal(x[name], y[name], err_msg=name)
  files = sorted(p.name for p in (one / 'samples').iterdir())
  assert files == sorted(p.name for p in (two / 'samples').iterdir()) and len(files) == 4
  for name in files:
    assert (one / 'samples' / name).read_bytes() == (two / 'samples' / name).read_bytes(), name


def test_a_torn_checkpoint_is_set_aside_for_the_one_before(whole, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(whole, workdir)
  shutil.rmtree(workdir / '3_evaluate')
  passed = json.loads((workdir / 'pipeline.json').read_text())
  passed['stages'] = passed['stages'][:1]
  (workdir / 'pipeline.json').write_text(json.dumps(passed))
  for file in (workdir / '2_rl/checkpoints/8/params').rglob('*'):
    if file.is_file() and file.stat().st_size > 100:
      file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
  out = run(workdir)
  assert 'checkpoints/8 cannot be read' in out.stderr and 'trying the one before' in out.stderr
  assert_same(whole, workdir)


def test_a_finished_run_is_left_alone(whole):
  before = {p: p.stat().st_mtime_ns for p in whole.glob('2_rl/checkpoints/*')}
  out = run(whole)
  assert 'skipped' in out.stderr
  assert before == {p: p.stat().st_mtime_ns for p in whole.glob('2_rl/checkpoints/*')}


def small_config(**overrides):
  return runs.experiment('r1_zero', 'tiny', **{**SMALL, 'mesh.data': 1, 'mesh.tensor': 8, **overrides})


@pytest.mark.parametrize('overrides, said', [
    ({'rl.samples': 1}, 'rl.samples=1'),
    ({'mesh.tensor': 3}, 'devices'),
    ({'mesh.data': 8, 'mesh.tensor': 1}, 'micro_tokens=64 are fewer than one row of 16 tokens on each of 8 mesh'),
    ({'rl.steps': 7}, 'rl.steps=7'),
    ({'rl.micro_tokens': 8}, 'micro_tokens=8 are fewer than one row of 16 tokens'),
    ({'rl.slots': -1}, 'rl.slots=-1'),
    ({'rl.carry': 1, 'rl.old_logps': 'trainer'}, "rl.old_logps must be 'sampler'"),
    ({'rl.ref_memory': 'disk'}, "rl.ref_memory='disk' is not one of device, host"),
    ({'rl.ref_dtype': 'float16'}, "rl.ref_dtype='float16' is not one of float32, bfloat16"),
    ({'rl.is_cap': 2.0}, "rl.old_logps='trainer'"),
    ({'rl.temperature': 0.0}, 'temperature'),
    ({'rl.template': 'none'}, "no template 'none'"),
    ({'base.model': 'huge'}, "no model 'huge'"),
    ({'rewards.accuracy': 0.0, 'rewards.format': 0.0}, 'rewards are off'),
    ({'evaluate.task.source': 'none:x'}, "no source 'none:x'"),
])
def test_a_mistake_is_found_before_the_first_stage_works(tmp_path, overrides, said):
  with pytest.raises(UserError, match=re.escape(said)) as error:
    pipeline.run(small_config(**overrides), str(tmp_path / 'run'))
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run/1_base').exists()


def test_mistakes_about_files(tmp_path):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'bad.jsonl').write_text('{"question": "1 + 1 =", "answer": "2"}\n{"question": \n')
  (tmp_path / 'empty.jsonl').write_text('')
  for workdir, source, said in [('file/run', None, 'cannot write'), ('a', 'bad.jsonl', 'bad.jsonl:2'),
                                ('b', 'empty.jsonl', 'is empty')]:
    config = small_config(**({'rl.task.source': f'jsonl:{tmp_path}/{source}'} if source else {}))
    with pytest.raises(UserError, match=re.escape(said)):
      pipeline.run(config, str(tmp_path / workdir))


@pytest.mark.parametrize('overrides, said', [
    ({'rl.no_such_key': 1}, 'unknown config key'),
    ({'name': 'other'}, "name='r1_zero_tiny', now 'other'"),  # the work dir holds another experiment
])
def test_on_the_command_line_a_mistake_is_one_line_and_exit_2(whole, overrides, said):
  out = run(whole, check=False, **overrides)
  lines = [line for line in out.stderr.splitlines() if line.startswith('r1jax: ')]
  assert out.returncode == 2, out.stderr[-2000:]
  assert len(lines) == 1 and said in lines[0] and 'Traceback' not in out.stderr, out.stderr[-2000:]


def test_a_stage_runs_again_when_its_input_changed(tmp_path, monkeypatch):
  """Stand-ins for two stages: the second is skipped while the first's weights are what they were."""
  ran = []

  def write(config, name, workdir, inputs):
    del inputs
    ran.append(name)
    directory = pathlib.Path(workdir) / 'checkpoints' / '1' / 'params'
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'weights').write_text(config.weights + name)

  monkeypatch.setattr(checks.importlib, 'import_module', lambda name: types.SimpleNamespace(run=write))
  monkeypatch.setattr(report, 'write', lambda workdir: None)
  config = ConfigDict({'weights': 'a', 'stages': (dict(name='one', run='sft', inputs={}),
                                                  dict(name='two', run='rl', inputs={'checkpoint': 'one'}))})
  pipeline.run(config, str(tmp_path))
  pipeline.run(config, str(tmp_path))
  assert ran == ['one', 'two']
  (tmp_path / '1_one/checkpoints/1/params/weights').write_text('somebody else')
  pipeline.run(config, str(tmp_path))  # the first is made anew, as its own output is another; the second still stands
  assert ran == ['one', 'two', 'one']
  entries = json.loads((tmp_path / 'pipeline.json').read_text())
  entries['stages'][1]['inputs']['checkpoint'] = 'what it was made from is another'
  (tmp_path / 'pipeline.json').write_text(json.dumps(entries))
  pipeline.run(config, str(tmp_path))
  assert ran == ['one', 'two', 'one', 'two']


def test_a_stage_made_again_is_not_finished_until_it_is(tmp_path, monkeypatch):
  """Interrupted, it is in no pipeline.json, so that nobody takes it for finished,
  and the same command goes on with it."""
  ran, stop = [], []

  def write(config, name, workdir, inputs):
    del config, inputs
    ran.append(name)
    directory = pathlib.Path(workdir) / 'checkpoints' / '1' / 'params'
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'weights').write_text(name)
    if stop:
      raise stopping.Stopped('asked to')

  monkeypatch.setattr(checks.importlib, 'import_module', lambda name: types.SimpleNamespace(run=write))
  monkeypatch.setattr(report, 'write', lambda workdir: None)
  stages = (dict(name='one', run='sft', inputs={}), dict(name='two', run='rl', inputs={'checkpoint': 'one'}))
  config = ConfigDict({'stages': stages})
  names = lambda: [entry['name'] for entry in json.loads((tmp_path / 'pipeline.json').read_text())['stages']]
  pipeline.run(config, str(tmp_path))
  stop.append(True)
  for _ in range(2):
    with pytest.raises(stopping.Stopped):
      pipeline.run(config, str(tmp_path), rerun=('one',))
    assert names() == ['two'] and [p.name for p in (tmp_path / 'set_aside').iterdir()] == ['1_one.1']
  stop.clear()
  pipeline.run(config, str(tmp_path), rerun=('one',))
  assert names() == ['one', 'two'] and ran == ['one', 'two', 'one', 'one', 'one']
  stopping.requested.set()
  try:
    with pytest.raises(stopping.Stopped, match='stopped behind one'):
      pipeline.run(config, str(tmp_path), rerun=('one',))
  finally:
    stopping.requested.clear()
  assert ran == ['one', 'two', 'one', 'one', 'one', 'one'] and names() == ['one', 'two']
  pipeline.run(config, str(tmp_path), rerun=('one',))
  assert ran == ['one', 'two', 'one', 'one', 'one', 'one'] and not (tmp_path / 'rerun.json').exists()


def stand_ins(monkeypatch) -> tuple[ConfigDict, list, list]:
  """(a config of two stages that only write a file, the names of those that ran, the directories that were hashed)."""
  ran, hashed, digest = [], [], outputs.digest

  def write(config, name, workdir, inputs):
    del config, inputs
    ran.append(name)
    directory = pathlib.Path(workdir) / 'checkpoints' / '1' / 'params'
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'weights').write_text(name)

  def counted(directory):
    hashed.append(os.path.basename(directory))
    return digest(directory)

  monkeypatch.setattr(checks.importlib, 'import_module', lambda name: types.SimpleNamespace(run=write))
  monkeypatch.setattr(report, 'write', lambda workdir: None)
  monkeypatch.setattr(outputs, 'digest', counted)
  stages = dict(name='one', run='sft', inputs={}), dict(name='two', run='rl', inputs={'checkpoint': 'one'})
  return ConfigDict({'stages': stages}), ran, hashed


def taken(items: list) -> list:
  """What it holds, which it holds no longer."""
  out = items[:]
  items.clear()
  return out


def test_what_looks_as_recorded_is_not_hashed_again(tmp_path, monkeypatch):
  config, ran, hashed = stand_ins(monkeypatch)
  run_, copy = str(tmp_path / 'run'), str(tmp_path / 'copy')
  pipeline.run(config, run_)
  assert taken(ran) == ['one', 'two'] and taken(hashed) == ['1_one', '2_two']  # once each, as it ends
  pipeline.run(config, run_)
  assert (ran, hashed) == ([], [])
  shutil.copytree(run_, copy, copy_function=shutil.copyfile)  # every file has another time
  pipeline.run(config, copy)
  assert ran == [] and taken(hashed) == ['1_one', '2_two']
  pipeline.run(config, copy)
  assert (ran, hashed) == ([], [])  # the record is renewed
  path = pathlib.Path(run_, 'pipeline.json')
  older = json.loads(path.read_text())
  for entry in older['stages']:
    del entry['files']
  path.write_text(json.dumps(older))
  pipeline.run(config, run_)
  assert ran == [] and taken(hashed) == ['1_one', '2_two']
  pipeline.run(config, run_)
  assert (ran, hashed) == ([], [])


def test_verify_finds_what_the_files_do_not_show(tmp_path, monkeypatch):
  """Another byte in a file of the same size and time, as a bad disk has it."""
  config, ran, hashed = stand_ins(monkeypatch)
  pipeline.run(config, str(tmp_path))
  taken(ran), taken(hashed)
  weights = tmp_path / '1_one/checkpoints/1/params/weights'
  times = weights.stat()
  weights.write_text('onf')
  os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
  pipeline.run(config, str(tmp_path))
  assert (ran, hashed) == ([], [])
  pipeline.run(config, str(tmp_path), verify=True)
  assert taken(ran) == ['one'] and taken(hashed) == ['1_one', '1_one', '2_two']
  pipeline.run(config, str(tmp_path), verify=True)
  assert ran == [] and taken(hashed) == ['1_one', '2_two']


def test_another_runs_record_serves_what_starts_from_it(tmp_path, monkeypatch):
  config, ran, hashed = stand_ins(monkeypatch)
  pipeline.run(config, str(tmp_path / 'run'))
  taken(ran), taken(hashed)
  inputs = {'checkpoint': 'from_run/two', 'judge': 'from_run/one'}
  later = ConfigDict({'from_run': str(tmp_path / 'run'), 'stages': (dict(name='three', run='rl', inputs=inputs),)})
  pipeline.run(later, str(tmp_path / 'later'))
  assert taken(ran) == ['three'] and taken(hashed) == ['1_three']
  path = tmp_path / 'run' / 'pipeline.json'
  older = json.loads(path.read_text())
  del older['stages'][0]['files']
  path.write_text(json.dumps(older))
  pipeline.run(later, str(tmp_path / 'later'))
  assert (ran, hashed) == ([], [])  # it keeps what it found itself
  pipeline.run(later, str(tmp_path / 'other'))
  assert taken(ran) == ['three'] and taken(hashed) == ['1_one', '1_three']
  pipeline.run(later, str(tmp_path / 'other'))
  assert (ran, hashed) == ([], [])


def test_torn_files_of_finished_stages_mend_themselves(whole, tmp_path, caplog):
  """Weights, small files and scores: cut in half, emptied, gone, or with a bit turned; the end is the same to the bit."""
  rng = np.random.default_rng(0)
  largest = lambda place: max((p for p in (tmp_path / place).rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  tears = [lambda p: p.write_bytes(p.read_bytes()[:p.stat().st_size // 2]), lambda p: p.write_bytes(b''),
           lambda p: p.unlink(), flip]
  places = ['run/1_base/checkpoints/8/params', 'run/2_rl/checkpoints/8/params', 'run/3_evaluate/eval',
            'run/1_base/model.json', 'run/3_evaluate/metrics.jsonl']
  shutil.copytree(whole, tmp_path / 'run')
  for place, tear in zip(places, rng.permutation(len(places)) % len(tears)):
    target = tmp_path / place
    tears[tear](target if target.is_file() else largest(place))
  out = run(tmp_path / 'run')
  assert out.stderr.count('made again') >= 1, out.stderr
  assert_same(whole, tmp_path / 'run')


def flip(path):
  """One bit in the middle."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)
