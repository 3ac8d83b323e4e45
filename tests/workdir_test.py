"""A work dir: which values may change in a run that stands, what is made anew, and who holds it."""

import errno
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import checks
from r1jax import lock
from r1jax import paths
from r1jax import pipeline
from r1jax import report
from r1jax import workdir as workdir_lib
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import checksums
from r1jax.exceptions import UserError

import runs

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def stages(monkeypatch):
  """(config, names of those that ran) of three stages that write their values as their weights."""
  ran = []

  def write(config, name, workdir, inputs):
    ran.append(name)
    before = [path.read_text() for place in inputs.values() for path in pathlib.Path(place).rglob('weights')]
    directory = pathlib.Path(workdir) / 'checkpoints' / '1' / 'params'
    directory.mkdir(parents=True, exist_ok=True)
    told = {k: v for k, v in config[name].to_dict().items() if k not in ('micro_tokens', 'steps')}
    weights = config.rewards.to_dict() if name == 'rl' else 0
    (directory / 'weights').write_text(json.dumps([before, told, config.seed, weights]))

  modules = {'sft': types.SimpleNamespace(run=write, FREE=('micro_tokens',)),
             'rl': types.SimpleNamespace(run=write, FREE=('micro_tokens', 'slots'),
                                                      READS=('seed', 'dtype', 'rewards')),
             'evaluate': types.SimpleNamespace(run=write, FREE=('batch',))}
  monkeypatch.setattr(checks, 'module', lambda spec: modules[spec['run']])
  monkeypatch.setattr(report, 'write', lambda workdir: None)
  specs = (dict(name='base', run='sft', inputs={}), dict(name='rl', run='rl', inputs={'checkpoint': 'base'}),
           dict(name='evaluate', run='evaluate', inputs={'final': 'rl'}))
  constant = dict(decay='constant')
  return ConfigDict(dict(
      name='x', seed=0, dtype='float32', mesh=dict(data=-1), attention='auto', checkpoints=dict(keep=3),
      rewards=dict(accuracy=1.0), stages=specs,
      base=dict(lr=1.0, steps=8, micro_tokens=64, optimizer=dict(decay='cosine')),
      rl=dict(lr=1.0, steps=8, micro_tokens=64, slots=4, optimizer=constant), evaluate=dict(samples=4, batch=2))), ran


ALL = ['base', 'rl', 'evaluate']


@pytest.mark.parametrize('changes, again, aside, said', [
    ({}, [], [], ''),
    ({'mesh.data': 8, 'attention': 'xla', 'checkpoints.keep': 9}, [], [], ''),
    ({'base.micro_tokens': 8, 'rl.micro_tokens': 8, 'rl.slots': 2, 'evaluate.batch': 9}, [], [], ''),
    ({'rl.lr': 2.0}, ALL[1:], ['2_rl.1', '3_evaluate.1'], 'stage rl: rl.lr was 1.0, now 2.0'),
    ({'rewards.accuracy': 2.0}, ALL[1:], ['2_rl.1', '3_evaluate.1'], 'rewards.accuracy was 1.0, now 2.0'),
    ({'evaluate.samples': 8}, ALL[2:], ['3_evaluate.1'], 'evaluate.samples was 4, now 8'),
    ({'base.lr': 2.0}, ALL, ['1_base.1', '2_rl.1', '3_evaluate.1'], 'stage base: base.lr was 1.0, now 2.0'),
    ({'rewards.mine.py:score': 1.0}, ALL[1:], ['2_rl.1', '3_evaluate.1'], 'rewards.mine.py:score was None, now 1.0'),
    ({'rewards.format': 0.0}, [], [], ''),  # a weight of 0 is none
    ({'seed': 1}, ALL, ['1_base.1', '2_rl.1', '3_evaluate.1'], 'seed was 0, now 1'),
    ({'dtype': 'bfloat16'}, ALL, ['1_base.1', '2_rl.1', '3_evaluate.1'], "dtype was 'float32', now 'bfloat16'"),
    ({'rl.steps': 16}, ['rl'], [], 'stage rl: rl.steps was 8, now 16: goes on'),
    ({'rl.steps': 4}, ['rl'], ['2_rl.1'], 'rl.steps was 8, now 4'),  # the stand-in's weights are the same
    ({'base.steps': 16}, ['base'], ['1_base.1'], 'base.steps was 8, now 16'),  # its rate falls by their number
    ({'rl.steps': 16, 'rl.lr': 2.0}, ALL[1:], ['2_rl.1', '3_evaluate.1'], 'rl.lr was 1.0, now 2.0; rl.steps was 8'),
])
def test_what_a_changed_value_makes_anew(stages, tmp_path, caplog, changes, again, aside, said):
  config, ran = stages
  pipeline.run(config, str(tmp_path))
  assert ran == ALL
  ran.clear()
  for key, value in changes.items():
    if key.startswith('rewards.'):
      with config.unlocked():
        config.rewards = ConfigDict({**config.rewards.to_dict(), key.removeprefix('rewards.'): value},
                                    allow_dotted_keys=True)
    else:
      config.update_from_flattened_dict({key: value})
  with caplog.at_level('INFO'):
    pipeline.run(config, str(tmp_path))
  assert ran == again and said in caplog.text
  found = sorted(p.name for p in (tmp_path / 'set_aside').iterdir()) if (tmp_path / 'set_aside').exists() else []
  assert found == aside
  pipeline.run(config, str(tmp_path))
  assert ran == again  # now it stands


def test_a_stage_that_samples_ahead_is_no_beginning_of_a_longer_one(stages, tmp_path, caplog):
  """With rl.lag its last rollout is drawn behind the last update, where a longer run has drawn it before."""
  config, ran = stages
  with config.unlocked():
    config.rl.lag = 1
  pipeline.run(config, str(tmp_path))
  ran.clear()
  config.rl.steps = 16
  pipeline.run(config, str(tmp_path))
  assert ran == ['rl'] and [p.name for p in (tmp_path / 'set_aside').iterdir()] == ['2_rl.1']
  assert 'goes on' not in caplog.text


EDITS = [  # file, what it then holds, stages that are made anew (the stand-in's weights are the same), said
    ('mine.py', 'import helper\ndef f(completion, row):\n  return 2\n', ['rl'], 'stage rl: mine.py has changed since: its sha256 was '),
    ('helper.py', 'X = 2\n', ['rl'], 'stage rl: helper.py has changed since'),
    ('rows.jsonl', '{}\n{}\n', ['rl'], 'stage rl: rows.jsonl has changed since'),
    ('asked.jsonl', '{}\n{}\n', ALL[2:], 'stage evaluate: asked.jsonl has changed since'),
    ('rows.jsonl', '{}\n', [], ''), ('rows.jsonl', None, [], ''), ('unused.py', 'X = 2\n', [], '')]


@pytest.fixture
def with_files(stages, tmp_path, monkeypatch):
  """The stages, with a reward and rows of a user's in files."""
  config, ran = stages
  monkeypatch.chdir(tmp_path)
  for name, text in (('mine.py', 'import helper\ndef f(completion, row):\n  return 1\n'), ('helper.py', 'X = 1\n'),
                     ('unused.py', ''), ('rows.jsonl', '{}\n'), ('asked.jsonl', '{}\n')):
    (tmp_path / name).write_text(text)
  with config.unlocked():
    config.rewards = ConfigDict({'accuracy': 0.0, 'mine.py:f': 1.0, 'unused.py:f': 0.0}, allow_dotted_keys=True)
    config.rl.task, config.evaluate.task = dict(source='jsonl:rows.jsonl'), dict(source='jsonl:asked.jsonl')
  pipeline.run(config, 'run')
  ran.clear()
  return config, ran


@pytest.mark.parametrize('name, text, again, said', EDITS)
def test_what_an_edited_file_makes_anew(with_files, caplog, name, text, again, said):
  config, ran = with_files
  if text is None:
    os.remove(name)  # what a finished stage has read may be gone
  else:
    pathlib.Path(name).write_text(text)
  pipeline.run(config, 'run')
  assert ran == again and said in caplog.text
  assert sorted(os.listdir('run/set_aside') if again else []) == [f'{ALL.index(stage) + 1}_{stage}.1' for stage in again]
  lines = [line for line in caplog.messages if 'has changed since' in line]
  assert len(lines) == bool(again) and all('what it made is moved to set_aside/, made anew' in line for line in lines)
  pipeline.run(config, 'run')
  assert ran == again  # now it stands


def test_moved_files_change_nothing_and_are_watched_where_they_are(with_files, caplog):
  config, ran = with_files
  os.mkdir('there')
  for name in ('mine.py', 'helper.py', 'rows.jsonl'):
    os.rename(name, f'there/{name}')
  with config.unlocked():
    config.rewards = ConfigDict({'accuracy': 0.0, 'there/mine.py:f': 1.0}, allow_dotted_keys=True)
    config.rl.task.source = 'jsonl:there/rows.jsonl'
  pipeline.run(config, 'run')
  assert not ran and not os.path.exists('run/set_aside')
  pathlib.Path('there/rows.jsonl').write_text('{}\n{}\n')
  pipeline.run(config, 'run')  # other rows in another place are another source
  assert ran == ALL[1:] and "rl.task.source was 'jsonl:rows.jsonl', now 'jsonl:there/rows.jsonl'" in caplog.text


def test_a_stage_in_the_middle_goes_on_with_no_other_reward(with_files, caplog):
  config, ran = with_files
  noted = json.loads(pathlib.Path('run/pipeline.json').read_text())
  noted['stages'] = noted['stages'][:1]  # RL was interrupted
  pathlib.Path('run/pipeline.json').write_text(json.dumps(noted))
  config.rl.steps = 16  # so many more might follow those that are done
  pathlib.Path('mine.py').write_text('def f(completion, row):\n  return 3\n')
  pipeline.run(config, 'run')
  assert ran == ALL[1:] and os.path.isdir('run/set_aside/2_rl.1')
  assert 'rl.steps was 8, now 16; helper.py is read no more; mine.py has changed since' in caplog.text


def test_a_run_older_than_the_note_of_files_stands(with_files):
  config, ran = with_files
  for path in pathlib.Path('run').glob('*/files.json'):
    path.unlink()
  pathlib.Path('mine.py').write_text('X = 1\n')
  pipeline.run(config, 'run')
  assert not ran


@pytest.mark.parametrize('there, refused', [
    (['.git/'], '.git'), (['.git'], '.git'), (['.hg/', 'a.py'], '.hg'), (['.git/', 'pipeline.json'], ''),
    (['.git/', 'environment.json'], ''), (['.git/', 'config.json'], '.git'), (['.gitignore'], ''), ([], '')])
def test_the_root_of_a_repository_is_no_work_dir(tmp_path, there, refused):
  for name in there:
    (tmp_path / name).mkdir() if name.endswith('/') else (tmp_path / name).write_text('{}')
  before = sorted(p.name for p in tmp_path.iterdir())
  if refused:
    with pytest.raises(UserError, match=rf'root of a repository \({refused} is there\).*--workdir={tmp_path}/runs/NAME'):
      with workdir_lib.made(str(tmp_path)):
        pass
  else:
    with workdir_lib.made(str(tmp_path)):
      pass
  assert sorted(p.name for p in tmp_path.iterdir()) == before
  with workdir_lib.made(str(tmp_path / 'runs/x')):  # beneath it one may be
    pass


def test_a_run_older_than_a_key_stands(stages, tmp_path):
  config, ran = stages
  pipeline.run(config, str(tmp_path))
  with config.unlocked():
    config.rl.new_key, config.compile_cache = 1, 'auto'
  pipeline.run(config, str(tmp_path))
  assert ran == ALL


def test_a_sweep_trains_the_base_once(stages, tmp_path):
  config, ran = stages
  for rate in (1.0, 2.0, 3.0):
    config.rl.lr = rate
    pipeline.run(config, str(tmp_path / 'one'))
  assert ran == ALL + 2 * ALL[1:]
  ran.clear()
  base = ConfigDict(config.to_dict())
  base.stages = (dict(name='rl', run='rl', inputs={'checkpoint': 'from_run/base'}),)
  base.from_run = str(tmp_path / 'one')
  for rate in (1.0, 2.0, 3.0):
    base.rl.lr = rate
    pipeline.run(base, str(tmp_path / f'from{rate}'))
  assert ran == ['rl'] * 3


def test_an_interrupted_stage_with_another_value_begins_anew(stages, tmp_path, monkeypatch):
  config, ran = stages
  pipeline.run(config, str(tmp_path))
  noted = json.loads((tmp_path / 'pipeline.json').read_text())
  noted['stages'] = noted['stages'][:1]  # RL was interrupted
  (tmp_path / 'pipeline.json').write_text(json.dumps(noted))
  ran.clear()
  config.rl.lr = 5.0
  pipeline.run(config, str(tmp_path))
  assert ran == ALL[1:] and (tmp_path / 'set_aside/2_rl.1').is_dir()


def test_another_experiment_may_have_a_work_dir_that_has_nothing_finished(stages, tmp_path, caplog):
  config, ran = stages
  pipeline.run(config, str(tmp_path / 'a'))
  config.name = 'y'
  with pytest.raises(UserError, match="name='x', now 'y', and its stages base, rl, evaluate are finished"):
    pipeline.run(config, str(tmp_path / 'a'))
  (tmp_path / 'a/pipeline.json').unlink()
  ran.clear()
  pipeline.run(config, str(tmp_path / 'a'))
  assert ran == ALL and len(list((tmp_path / 'a/set_aside').iterdir())) == 3


def test_a_value_is_looked_at_again_only_where_a_stage_is_to_run(stages, tmp_path, monkeypatch):
  """What a finished stage has read may be gone."""
  config, ran = stages
  looked = []
  stage, config.base.model = checks.module(config.stages[0]), 'nano'
  stage.check = lambda config, name: looked.append(name)
  stage.check_files = lambda config, name: looked.append(f'files of {name}')
  pipeline.run(config, str(tmp_path))
  pipeline.run(config, str(tmp_path))
  assert looked == ['base', 'files of base']
  config.base.lr = 3.0
  pipeline.run(config, str(tmp_path))
  assert looked == 2 * ['base', 'files of base']


def test_an_imported_directory_serves_what_starts_from_a_run(stages, tmp_path):
  config, ran = stages
  there = tmp_path / 'imported'
  (there / 'checkpoints/0/params').mkdir(parents=True)
  (there / 'model.json').write_text('{}')
  config.stages = (dict(name='rl', run='rl', inputs={'checkpoint': 'from_run/base'}),)
  with config.unlocked():
    config.from_run = str(there)
  pipeline.run(config, str(tmp_path / 'run'))
  assert ran == ['rl']
  config.from_run = str(tmp_path)
  with pytest.raises(UserError, match='holds no run'):
    pipeline.run(config, str(tmp_path / 'other'))


HOLDS = '''
import sys, time
from r1jax import workdir
with workdir.held(sys.argv[1]):
  print('held', flush=True)
  time.sleep(60)
'''


def test_one_start_at_a_time(tmp_path):
  other = subprocess.Popen([sys.executable, '-c', HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
  try:
    assert other.stdout.readline() == 'held\n'
    begun = time.monotonic()
    with pytest.raises(UserError, match=f'in use by process {other.pid} on .*: wait for it, stop it, or take another'):
      with workdir_lib.held(str(tmp_path)):
        pass
    assert time.monotonic() - begun < 1
  finally:
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
  with workdir_lib.held(str(tmp_path)):  # a lock ends with its process
    assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()
  assert not (tmp_path / 'lock').exists()


def without_locks(number):
  """As flock of a file system that has none."""
  def flock(*_):
    raise OSError(number, os.strerror(number))
  return flock


@pytest.fixture
def quick(monkeypatch):
  for name, seconds in (('BEAT', 0.05), ('SILENCE', 0.4), ('SETTLE', 0.05)):
    monkeypatch.setattr(lock, name, seconds)


HERE = {'host': socket.gethostname(), **lock._machine()}
ELSEWHERE = {'host': 'tpu-host-7', 'boot': 'another', 'pids': 'pid:[1]'}
HOLDERS = [  # holder; whether it shows that it lives; whether the work dir is free where the disk has no locks, and where
    # it has one that keeps no other machine out
    ({**HERE, 'pid': os.getppid()}, False, False, True), ({**HERE, 'pid': os.getpid()}, False, True, True),
    ({**HERE, 'pid': 2**22 + 1}, False, True, True), ({**HERE, 'pids': 'pid:[1]', 'pid': 1}, False, True, True),
    ({**HERE, 'pids': 'pid:[1]', 'pid': 1}, True, False, True),
    ({'host': HERE['host'], 'pid': os.getppid()}, False, False, True),  # of an older version
    ({'host': HERE['host'], 'pid': 2**22 + 1}, False, True, True),
    ({**ELSEWHERE, 'pid': os.getpid()}, False, True, True), ({**ELSEWHERE, 'pid': os.getpid()}, True, False, False),
    ({**ELSEWHERE, 'host': HERE['host'], 'pid': 7}, True, False, False),  # two machines of one name
    ({}, False, True, True)]


@pytest.mark.parametrize('number', [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize('holder, lives, free, free_with', HOLDERS)
def test_who_holds_it_where_locks_tell_nothing(tmp_path, monkeypatch, quick, holder, lives, free, free_with, number):
  if number:
    monkeypatch.setattr(lock.fcntl, 'flock', without_locks(number))
  path, over = tmp_path / 'lock', threading.Event()
  path.write_text(json.dumps({'since': 'then', **holder}) if holder else '')

  def live():
    while not over.wait(0.05):
      os.utime(path)

  beats = threading.Thread(target=live)
  if lives:
    beats.start()
  try:
    if free_with if number is None else free:
      with workdir_lib.held(str(tmp_path)):
        assert json.loads(path.read_text())['pid'] == os.getpid() and json.loads(path.read_text())['boot']
        over.set()
      assert not path.exists()
    else:
      with pytest.raises(UserError, match=f'in use by process {holder["pid"]} on {holder["host"]}, since then: .* remove'):
        with workdir_lib.held(str(tmp_path)):
          pass
      assert json.loads(path.read_text())['host'] == holder['host']
  finally:
    over.set()
    if lives:
      beats.join()


def test_a_lock_of_long_ago_is_taken_at_once(tmp_path, monkeypatch):
  monkeypatch.setattr(lock.fcntl, 'flock', without_locks(errno.ENOSYS))
  (tmp_path / 'lock').write_text(json.dumps({**ELSEWHERE, 'pid': 1, 'since': 'then'}))
  os.utime(tmp_path / 'lock', (time.time() - 60,) * 2)
  begun = time.monotonic()
  with workdir_lib.held(str(tmp_path)):
    assert time.monotonic() - begun < 5


def test_one_that_was_taken_for_dead_writes_no_more(tmp_path, monkeypatch, quick):
  """As it was frozen for longer than the other waits; nor does it take the other's lock away."""
  monkeypatch.setattr(lock.fcntl, 'flock', without_locks(errno.ENOSYS))
  theirs = json.dumps({**ELSEWHERE, 'pid': 1, 'since': 'now'})
  with pytest.raises(UserError, match='in use by process 1 on tpu-host-7.*nothing more is written by this one'):
    with workdir_lib.held(str(tmp_path)):
      json_files.write(str(tmp_path / 'a.json'), 1)
      (tmp_path / 'lock').write_text(theirs)
      time.sleep(0.5)
      json_files.write(str(tmp_path / 'b.json'), 1)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['a.json', 'lock'] and (tmp_path / 'lock').read_text() == theirs


def test_a_disk_that_does_not_answer_is_not_one_without_locks(tmp_path, monkeypatch):
  monkeypatch.setattr(lock.fcntl, 'flock', without_locks(errno.ESTALE))
  with pytest.raises(UserError, match='Stale file handle: .*mount it again'), workdir_lib.held(str(tmp_path)):
    pass


@pytest.mark.parametrize('path, found', [
    ('~/runs/x', os.path.expanduser('~/runs/x')), ('runs/~x', 'runs/~x'), ('/a', '/a'),
    ('gs://bucket/run', None), ('s3://bucket', None), ('~nobodyatall/x', None)])
def test_paths_as_a_person_means_them(path, found):
  if found is None:
    with pytest.raises(UserError, match='--workdir='):
      paths.local(path, '--workdir')
  else:
    assert paths.local(path, '--workdir') == found


def test_every_flipped_bit_is_seen(tmp_path):
  rng = np.random.default_rng(0)
  params = {'blocks': {'w': rng.normal(size=(2, 8, 16)).astype(np.float32)}, 'embedding': np.ones((32, 8), np.float32)}
  checkpoint.save_params(str(tmp_path), params, {})
  step = tmp_path / 'checkpoints/0'
  checksums.check(str(step))
  files = [p for p in step.rglob('*') if p.is_file() and not p.name.startswith('checksums.')]
  for _ in range(60):
    file = files[rng.integers(len(files))]
    data = file.read_bytes()
    torn = bytearray(data)
    if not torn:
      continue
    torn[rng.integers(len(torn))] ^= 1 << int(rng.integers(8))
    file.write_bytes(torn)
    with pytest.raises(UserError, match='CRC-32'):
      checksums.check(str(step))
    file.write_bytes(data)
  checksums.check(str(step))
  for tear in (lambda: file.write_bytes(data[:-1]), file.unlink):
    tear()
    with pytest.raises(UserError, match='is torn'):
      checkpoint.intact(str(step))


def test_the_same_weights_saved_twice_have_one_digest(tmp_path):
  """Weights are hashed by their values."""
  rng = np.random.default_rng(0)
  params = {'w': rng.normal(size=(300, 70, 7)).astype(np.float32)}
  found = []
  for name, change in (('a', 0), ('b', 0), ('c', 1)):
    params['w'][0, 0, 0] += change
    checkpoint.save_params(str(tmp_path / name), params, {})
    found.append(pipeline.outputs.digest(str(tmp_path / name)))
  assert found[0] == found[1] != found[2] and found[0] is not None


@pytest.mark.parametrize('name, record, moved, other', [
    ('lora.json', {'base': '../1_base/checkpoints/4', 'digest': 'a', 'rank': 8},
     {'base': '/mnt/bases/4', 'digest': 'a', 'rank': 8}, {'base': '../1_base/checkpoints/4', 'digest': 'b', 'rank': 8}),
    ('reward_model.json', {'form': 'implicit', 'reference': {'base': '../1_base/checkpoints/4', 'digest': 'a'}},
     {'form': 'implicit', 'reference': {'base': '/mnt/bases/4', 'digest': 'a'}},
     {'form': 'implicit', 'reference': {'base': '../1_base/checkpoints/4', 'digest': 'b'}}),
    ('reward_model.json', {'kind': 'pairs', 'mean': 0.5}, {'kind': 'pairs', 'mean': 0.5}, {'kind': 'pairs', 'mean': 0.25}),
    ('reward_model.json', {'reference': 'none'}, {'reference': 'none'}, {'reference': 'some'}),
    ('reward_model.json', ['base'], ['base'], ['bases'])])
def test_a_base_that_was_moved_is_written_to_its_record_and_what_is_passed_on_stays(tmp_path, name, record, moved, other):
  """The error of a base that is gone says to write where it is now: stages after it must not begin anew for that."""
  (tmp_path / 'data.jsonl').write_text('{}\n')
  found = []
  for content in (record, moved, other):
    json_files.write(str(tmp_path / name), content)
    found.append(pipeline.outputs.digest(str(tmp_path)))
  assert found[0] == found[1] != found[2]


@pytest.mark.parametrize('name, record', [
    ('lora.json', {'base': '../1_base/checkpoints/4', 'digest': 'a'}),
    ('reward_model.json', {'reference': {'base': '../1_base/checkpoints/4', 'digest': 'a'}})])
def test_what_was_noted_with_the_place_of_a_base_is_what_it_was(tmp_path, name, record):
  """Of a work dir that was copied, so that its files look otherwise than the record says."""
  (tmp_path / 'data.jsonl').write_text('{}\n')
  json_files.write(str(tmp_path / name), record)
  older = pipeline.outputs.digest(str(tmp_path), places=True)
  known = {'output': older, 'files': 'of other times'}
  assert older != pipeline.outputs.digest(str(tmp_path))
  assert pipeline.outputs.passed_on(str(tmp_path), [known])['output'] == older
  (tmp_path / 'data.jsonl').write_text('{"changed": 1}\n')
  assert pipeline.outputs.passed_on(str(tmp_path), [known])['output'] == pipeline.outputs.digest(str(tmp_path)) != older


@pytest.mark.parametrize('record, times', [
    (None, 1), ({'kind': 'pairs'}, 1), ({'reference': {'base': 'x', 'digest': 'a'}}, 2)])
def test_weights_are_hashed_again_only_for_a_record_with_a_place(tmp_path, monkeypatch, record, times):
  (tmp_path / 'data.jsonl').write_text('{}\n')
  if record:
    json_files.write(str(tmp_path / 'reward_model.json'), record)
  asked, digest = [], pipeline.outputs.digest
  monkeypatch.setattr(pipeline.outputs, 'digest', lambda *args, **kw: asked.append(kw) or digest(*args, **kw))
  pipeline.outputs.passed_on(str(tmp_path), [{'output': 'another', 'files': 'of other times'}])
  assert len(asked) == times


@pytest.mark.parametrize('before, now, found', [
    ({}, {'dynamic_by': 'accuracy'}, [('rl.dynamic_by', 'reward', 'accuracy')]), ({}, {'dynamic_by': 'reward'}, []),
    ({}, {'form': 'implicit', 'beta': 0.2}, [('rl.beta', 0.0, 0.2), ('rl.form', 'head', 'implicit')]),
    ({}, {'form': 'head', 'beta': 0.0}, []),
    ({'dynamic_by': 'accuracy'}, {'dynamic_by': 'accuracy'}, []), ({}, {'another': 3}, []), ({'gone': 3}, {}, [])])
def test_a_key_that_came_later_changes_a_run_where_it_is_not_as_before(before, now, found):
  assert list(workdir_lib.differences({'rl': before}, {'rl': now})) == found


@pytest.mark.parametrize('changes, args, noted, said', [
    ({}, {}, {}, ''), ({}, dict(rerun=('rl', 'nope')), {}, '--rerun=nope: no such stage, there are base, rl'),
    ({'trackers': ('trackio',)}, {}, {}, "trackers='trackio': no package trackio"), ({'rl.steps': -1}, {}, {}, 'rl.steps=-1'),
    ({}, {}, {'config.json': {'name': 'other'}, 'pipeline.json': {'stages': [{'name': 'base'}]}}, "name='other'"),
    ({}, {}, {'.git': {}}, 'is the root of a repository')])
def test_a_look_finds_what_a_start_refuses_and_writes_nothing(tmp_path, monkeypatch, changes, args, noted, said):
  monkeypatch.setattr(pipeline.trackers.importlib.util, 'find_spec', lambda name: None)
  place = tmp_path / 'run'
  if noted:
    place.mkdir()
  for name, value in noted.items():
    (place / name).write_text(json.dumps(value))
  config = runs.experiment('r1_zero', 'tiny-rl', **changes)
  if said:
    with pytest.raises(UserError, match=re.escape(said)):
      pipeline.look(config, str(place), **args)
  else:
    pipeline.look(config, str(place), **args)
  assert sorted(x.name for x in place.iterdir()) == sorted(noted) if noted else not place.exists()
