"""r1jax.stages.asking and rescore: tasks over the same slots, files that any kill leaves fit to go on with, and scores
that samples.jsonl gives again."""

import itertools
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from r1jax import evaluate
from r1jax.data import prompts
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError
from r1jax.models import zoo
from r1jax.stages import asking
from r1jax.stages import common
from r1jax.stages import evaluate as evaluate_stage
from r1jax.stages import rescore

import runs
import simulated

ROOT = pathlib.Path(__file__).resolve().parent.parent
N = 4
TASKS = {'sums': [(f'{i} + {i} =', str(2 * i)) for i in range(7)], 'more': [(f'{i} + 3 =', str(i + 3)) for i in range(5)]}


@pytest.fixture(scope='module')
def place(tmp_path_factory, one_device):
  """A directory with a model of random weights, and the tasks' files."""
  place = tmp_path_factory.mktemp('asking')
  tokenizer = tokenizer_lib.train(['0 1 2 3 4 5 6 7 8 9 + = <answer> </answer>'] * 50, str(place / 'tok'),
                                  vocab_size=64, pieces=[])
  model = zoo.build(zoo.get('nano', vocab_size=tokenizer.vocab_size))
  common.save_model(str(place / 'model'), model, tokenizer, prompt=prompts.record('plain', prefill=' <answer>'))
  checkpoint.save_params(str(place / 'model'), jax.tree.map(np.asarray, mesh_lib.unbox(params_lib.init(model, 0))), {})
  for name, rows in TASKS.items():
    (place / f'{name}.jsonl').write_text(''.join(json.dumps({'question': q, 'answer': a}) + '\n' for q, a in rows))
  return place


def command(place, out, names=('sums', 'more'), **flags):
  given = {'checkpoint': place / 'model', 'tasks': ','.join(f'jsonl:{place}/{name}.jsonl' for name in names),
           'workdir': place / out, 'samples': N, 'max_prompt': 24, 'max_tokens': 12, 'slots': 8, 'temperature': 1.0,
           'mesh': 'data=1', **flags}
  return ['evaluate', *(f'--{name}={value}' for name, value in given.items())]


def texts(place, out, name):
  path = place / out / 'eval' / name / 'samples.jsonl'
  return [[s['text'] for s in json.loads(line)['samples']] for line in path.read_text().splitlines()]


def scores(place, out, name):
  return json.loads((place / out / 'eval' / name / 'scores.json').read_text())


@pytest.fixture(scope='module')
def whole(place):
  """Work dir 'whole' of both tasks, which nobody interrupted."""
  assert evaluate.main(command(place, 'whole')) == 0
  return place


def test_a_task_says_in_company_what_it_says_alone(whole):
  assert evaluate.main(command(whole, 'alone', ['more'], slots=3)) == 0
  assert evaluate.main(command(whole, 'turned', ['more', 'sums'], slots=0, batch=3)) == 0
  for name in TASKS:
    assert texts(whole, 'turned', name) == texts(whole, 'whole', name)
  assert texts(whole, 'alone', 'more') == texts(whole, 'whole', 'more')
  assert len({text for of in texts(whole, 'whole', 'sums') for text in of}) > len(TASKS['sums'])  # they are drawn
  got = scores(whole, 'whole', 'sums')
  assert got['n_samples'] == N and 0 < got['slot_use'] <= 1
  rows = [json.loads(line) for line in (whole / 'whole/metrics.jsonl').read_text().splitlines()]
  assert {key for row in rows for key in row} >= {'eval/sums/pass@1', 'eval/more/pass@1', 'rollout/slot_use'}


class Killed(BaseException):
  """Nobody catches it."""


def dying(monkeypatch, what: str, after: int) -> None:
  """The process ends at a write: 'record' before it, 'half' in its middle, 'scores' before scores.json, behind the
  samples; after so many of the kind."""
  add, write_json, calls = asking.Records.add, json_files.write, itertools.count()

  def record(self, number, said):
    if next(calls) >= after:
      if what == 'half':
        with open(self._path, 'ab') as f:
          f.write(b'{"number": 3, "id"')
      raise Killed
    add(self, number, said)

  def write(path, *args, **kw):
    if path.endswith('scores.json') and next(calls) >= after:
      raise Killed
    write_json(path, *args, **kw)

  if what == 'scores':
    monkeypatch.setattr(json_files, 'write', write)
  else:
    monkeypatch.setattr(asking.Records, 'add', record)


def test_all_of_it_is_on_disk_whenever_it_is_killed(whole, monkeypatch):
  """Nothing is lost, nothing drawn twice."""
  asked, graded, out = [], asking.Evaluation._graded, whole / 'killed'
  monkeypatch.setattr(asking.Evaluation, '_graded', lambda self, judges, row, completions: asked.append(
      (row['task'], row['question'])) or graded(self, judges, row, completions))
  for what, after in (('record', 0), ('half', 1), ('half', 3), ('scores', 0), ('scores', 0), ('record', 1)):
    stood = [(name, json.loads(line)['prompt']) for name in TASKS for line in _lines(out, name)]
    with monkeypatch.context() as m, pytest.raises(Killed):
      dying(m, what, after)
      evaluate.main(command(whole, 'killed'))
    assert not set(asked) & set(stood), (what, after)  # what stands is not asked again
    del asked[:]
  assert len(stood) >= 4
  assert evaluate.main(command(whole, 'killed')) == 0
  for name in TASKS:
    assert _lines(out, name) == _lines(whole / 'whole', name)
    assert {**scores(whole, 'killed', name), 'slot_use': 0} == {**scores(whole, 'whole', name), 'slot_use': 0}


def _lines(out, name):
  path = out / 'eval' / name / 'samples.jsonl'
  return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b'\n')] if path.exists() else []


def chaos(place, kills: int, seed: int, say=print) -> None:
  """SIGKILL at random moments of the command, every other one while it samples, until there were so many; what is
  finished at last is what nobody interrupted."""
  rng = random.Random(seed)
  env = {**os.environ, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', '')}
  begin = lambda out: subprocess.Popen(
      [sys.executable, '-m', 'r1jax.evaluate', *command(place, out, max_tokens=200, slots=4, mesh='data=-1')[1:]],
      env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  started = time.monotonic()
  assert begin('reference').wait(timeout=300) == 0
  seconds, questions, out, done = time.monotonic() - started, sum(map(len, TASKS.values())), 'run', 0
  kept = lambda: sum(len(_lines(place / out, name)) for name in TASKS)
  while True:
    process, sampling, before = begin(out), done % 2 == 0, kept()
    at = rng.uniform(0, seconds)
    until, wanted = time.monotonic() + at, rng.randint(before + 1, questions) if before < questions else questions
    while done < kills and process.poll() is None and (
        kept() < wanted if sampling else time.monotonic() < until):
      time.sleep(0.01)
    if done < kills and process.poll() is None:
      process.kill()
      done += 1
      process.wait()
      say(f'kill {done}: {kept()} of {questions} questions stand, {before} stood before')
      assert kept() >= before
    elif process.wait(timeout=10 * seconds + 60) == 0:
      for name in TASKS:
        assert _lines(place / out, name) == _lines(place / 'reference', name)
        assert {**scores(place, out, name), 'slot_use': 0} == {**scores(place, 'reference', name), 'slot_use': 0}
      shutil.rmtree(place / out)
      if done >= kills:
        break
    else:
      raise AssertionError(f'started again it ended with {process.returncode}')
  shutil.rmtree(place / 'reference')


def test_three_kills_from_outside(place):
  chaos(place, 3, seed=1)


@pytest.mark.slow
def test_twenty_kills_from_outside(place):
  chaos(place, 20, seed=2)


def hosts_of(place, out, hosts):
  """The command on so many hosts of one device each; what each says goes to out.HOST.log."""
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': '--xla_force_host_platform_device_count=1'}
  several = lambda i: {'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}', 'JAX_NUM_PROCESSES': str(hosts),
                       'JAX_PROCESS_ID': str(i)} if hosts > 1 else {}
  argv = [sys.executable, '-m', 'r1jax.evaluate', *command(place, out, max_tokens=200, slots=4, mesh='data=-1')[1:]]
  found = []
  for i in range(hosts):
    with open(place / f'{out}.{i}.log', 'wb') as log:
      found.append(subprocess.Popen(argv, env={**env, **several(i)}, stdout=log, stderr=log))
  return found


@pytest.mark.slow
@pytest.mark.parametrize('before, after', [(1, 2), (2, 1)])
def test_an_evaluation_goes_on_on_more_or_fewer_hosts(place, before, after):
  """Stopped half way, it keeps every record that it has, asks the rest, and ends with what one host says."""
  assert hosts_of(place, 'straight', 1)[0].wait(timeout=300) == 0
  out, total = f'from_{before}', sum(map(len, TASKS.values()))
  stands = lambda: [line for name in TASKS for line in _lines(place / out, name)]
  processes, end = hosts_of(place, out, before), time.monotonic() + 300
  while len(stands()) < 4:
    assert time.monotonic() < end and processes[0].poll() is None, (place / f'{out}.0.log').read_text()[-2000:]
    time.sleep(0.01)
  for process in processes:
    process.kill()
    process.wait()
  stood = stands()
  assert 4 <= len(stood) < total
  codes = [process.wait(timeout=300) for process in hosts_of(place, out, after)]
  said = [(place / f'{out}.{i}.log').read_text() for i in range(after)]
  assert codes == [0] * after, said[0][-2000:]
  assert all(f'resuming, {len(stood)} of {total} questions have their samples' in text for text in said)
  assert f'this run was on {before} host' in said[0] and f', now on {after} host' in said[0]
  assert set(stood) <= set(stands()) and len(stands()) == len(set(stands())) == total
  for name in TASKS:
    assert texts(place, out, name) == texts(place, 'straight', name)
    assert scores(place, out, name)['pass@1'] == scores(place, 'straight', name)['pass@1']
  assert not (place / out / 'hosts/1/eval').exists()


def test_rescore_is_the_first_score(whole, capsys, caplog):
  for name in TASKS:
    before = [(whole / 'whole/eval' / name / file).read_bytes() for file in ('samples.jsonl', 'scores.json')]
    metrics = (whole / 'whole/metrics.jsonl').read_bytes()
    caplog.clear()
    with caplog.at_level('INFO', 'r1jax'):
      assert evaluate.main(['evaluate', '--rescore', f'--workdir={whole}/whole']) == 0
    assert before == [(whole / 'whole/eval' / name / file).read_bytes() for file in ('samples.jsonl', 'scores.json')]
    assert metrics == (whole / 'whole/metrics.jsonl').read_bytes()
    assert f'eval/{name}: every verdict is what it was' in caplog.text
  capsys.readouterr()
  (whole / 'whole/eval/sums/scores.json').unlink()  # the samples alone give it again
  assert evaluate.main(['evaluate', '--rescore', f'--workdir={whole}/whole']) == 0
  printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  again = next(p for p in printed if p['task'] == 'sums')
  assert again == scores(whole, 'whole', 'sums') and again['slot_use'] is None
  assert again['pass@1'] == json.loads(metrics.decode().splitlines()[0])['eval/sums/pass@1']


def edited(whole, out, change):
  """A copy of 'whole' whose task sums has other records."""
  shutil.copytree(whole / 'whole', whole / out)
  path = whole / out / 'eval/sums/samples.jsonl'
  records = [json.loads(line) for line in path.read_text().splitlines()]
  change(records)
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))
  return ['evaluate', '--rescore', f'--workdir={whole}/{out}']


def test_rescore_says_which_verdicts_are_others_and_corrects_what_stands(whole, caplog):
  def turn(records):
    records[2]['samples'][1].update(text=' 4 </answer>', answer='9', correct=False)

  argv = edited(whole, 'turned_verdict', turn)
  right = scores(whole, 'turned_verdict', 'sums')['pass@1']
  with caplog.at_level('INFO', 'r1jax'):
    assert evaluate.main(argv) == 0
  assert 'question 3, sample 1: no answer -> correct' in caplog.text and '1 verdicts are others' in caplog.text
  now = scores(whole, 'turned_verdict', 'sums')['pass@1']
  assert now == pytest.approx(right + 1 / (N * len(TASKS['sums'])))
  rows = [json.loads(line) for line in (whole / 'turned_verdict/metrics.jsonl').read_text().splitlines()]
  assert [row['eval/sums/pass@1'] for row in rows if 'eval/sums/pass@1' in row] == [now]


@pytest.mark.parametrize('change, said', [
    (lambda r: r.insert(2, r[1]), "question '2' has samples twice"),
    (lambda r: r.pop(4), "question '5' has no samples"), (lambda r: r.pop(), "question '7' has no samples"),
    (lambda r: r[3]['samples'].pop(), "question '4' has 3 samples, 4 wanted"),
    (lambda r: r[3]['samples'].append(r[3]['samples'][0]), "question '4' has 5 samples, 4 wanted"),
    (lambda r: r.append({**r[0], 'number': 99}), "question '1' is none that was asked")])
def test_samples_that_are_not_n_a_question_are_one_line(whole, change, said, capsys, request):
  argv = edited(whole, f'bad{abs(hash(said))}', change)
  before = (whole / argv[2].rpartition('/')[2] / 'eval/sums/samples.jsonl').read_bytes()
  assert evaluate.main(argv) == 2
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('r1jax: ')]
  assert len(lines) == 1 and said in lines[0]
  assert (whole / argv[2].rpartition('/')[2] / 'eval/sums/samples.jsonl').read_bytes() == before


def test_nothing_to_score_again_is_one_line(tmp_path, capsys):
  assert evaluate.main(['evaluate', '--rescore', f'--workdir={tmp_path}']) == 2
  assert 'holds no evaluation to score again' in capsys.readouterr().err
  assert evaluate.main(['evaluate', f'--workdir={tmp_path}']) == 2
  assert 'required: --checkpoint, --tasks' in capsys.readouterr().err


def test_other_questions_are_not_taken_for_those_that_were_asked(tmp_path):
  rows = lambda *asked: [{'id': str(i), 'question': q, 'answer': '1', 'answer_type': 'int'} for i, q in enumerate(asked)]
  task = asking.Task('t', rows('a', 'b'), 'plain', str(tmp_path / 't'), 1)
  settings = {'n_samples': 1, 'temperature': 1.0, 'top_p': 1.0, 'max_tokens': 4}
  said = {'id': '0', 'samples': [{'text': 'x', 'tokens': 1, 'correct': True}]}
  asking.Records(task, settings).add(0, said)
  assert asking.Records(task, settings).missing == [1]
  with pytest.raises(UserError, match="begun with 2 questions, now 2, of which '1' is another"):
    asking.Records(task._replace(rows=rows('a', 'c')), settings)
  with pytest.raises(UserError, match="question '0' has 1 samples, 2 wanted"):
    asking.Records(task, {**settings, 'n_samples': 2})
  (tmp_path / 't/samples.jsonl').write_text((tmp_path / 't/samples.jsonl').read_text() * 2)
  with pytest.raises(UserError, match="question '0' has samples twice"):
    asking.Records(task, settings)


@pytest.mark.parametrize('hosts', [1, 2, 3])
def test_hosts_however_many_go_on_with_what_the_first_has(hosts, tmp_path, monkeypatch):
  """Begun on one; what a second one wrote of its own, by another version, says nothing."""
  rows = [{'id': str(i), 'question': str(i), 'answer': '1', 'answer_type': 'int'} for i in range(4)]
  task = asking.Task('t', rows, 'plain', str(tmp_path / 't'), 1)
  settings = {'n_samples': 1, 'temperature': 1.0, 'top_p': 1.0, 'max_tokens': 4}
  records = asking.Records(task, settings)
  for i in (2, 0, 3):
    records.add(i, {'id': str(i), 'samples': [{'text': f'text {i}', 'tokens': 1, 'correct': True}]})
  with open(tmp_path / 't/samples.jsonl', 'ab') as f:
    f.write(b'{"number": 1, "id"')  # killed while it wrote

  def go_on(_):
    again = asking.Records(task, settings)
    found = again.missing, again.said, again.tokens, again.right
    again.add(1, {'id': '1', 'samples': [{'text': 'text 1', 'tokens': 1, 'correct': True}]})
    return *found, again.whole

  with monkeypatch.context() as patched:
    assert simulated.Hosts(patched, hosts)(go_on) == [([1], 3, 3, 3.0, True)] * hosts
  lines = (tmp_path / 't/samples.jsonl').read_text().splitlines()
  assert [json.loads(line)['number'] for line in lines] == [2, 0, 3, 1]


def test_what_a_first_host_cannot_go_on_with_is_said_by_all(tmp_path, monkeypatch):
  rows = [{'id': '0', 'question': 'a', 'answer': '1', 'answer_type': 'int'}]
  task = asking.Task('t', rows, 'plain', str(tmp_path / 't'), 1)
  (tmp_path / 't').mkdir()
  (tmp_path / 't/samples.jsonl').write_text('{"numb\n')
  found = simulated.Hosts(monkeypatch, 2)(lambda _: asking.Records(task, {'n_samples': 1}))
  assert [type(e) for e in found] == [UserError] * 2 and 'line 1: corrupt' in str(found[1]) == str(found[0])


def stage(place, **overrides):
  """A config whose stage asks the file of sums, and two tasks of one name beside it."""
  config = runs.module('r1_zero').get_config('tiny')
  config.mesh.data = 1
  config.evaluate.update(template='plain', samples=2, max_prompt=24, max_tokens=8, batch=4)
  config.evaluate.prefill = {}
  config.evaluate.task.update(source=f'jsonl:{place}/sums.jsonl', size=0)
  config.evaluate.tasks = ({'source': f'jsonl:{place}/more.jsonl'}, {'source': f'jsonl:{place}/sums.jsonl', 'size': 3})
  config.evaluate.update(overrides)
  return config


def test_a_stage_asks_all_its_tasks_of_each_model(place, tmp_path):
  config = stage(place)
  evaluate_stage.check(config, 'evaluate')
  evaluate_stage.check_files(config, 'evaluate')
  inputs = {'base': str(place / 'model'), 'final': str(place / 'model')}
  assert evaluate_stage.run(config, 'evaluate', str(tmp_path), inputs) == {'questions': 15, 'samples': 30, 'models': 2}
  assert sorted(p.name for p in (tmp_path / 'eval').iterdir()) == [
      'more', 'more.base', 'sums', 'sums.base', 'sums_2', 'sums_2.base']
  rows = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert [row['model'] for row in rows] == ['base', 'final']
  for row in rows:
    assert {'eval/sums/pass@1', 'eval/more/cons@2', 'eval/sums_2/pass@1_low', 'rollout/slot_use'} <= row.keys()
  read = lambda name: [json.loads(line) for line in (tmp_path / 'eval' / name / 'samples.jsonl').read_text().splitlines()]
  assert [r['samples'] for r in read('sums_2')] == [r['samples'] for r in read('sums')][:3]
  assert read('sums') != read('sums.base')  # each model has random numbers of its own
  before = {p: p.read_bytes() for p in tmp_path.rglob('*.json*')}
  evaluate_stage.run(config, 'evaluate', str(tmp_path), inputs)  # all stands
  for record in rescore.directories(str(tmp_path)):
    assert not rescore.rescore(record).changes
  assert before == {p: p.read_bytes() for p in before}


@pytest.mark.parametrize('tasks, said', [
    (({'source': 'none:x'},), "no source 'none:x'"), (({'sauce': 'champ'},), "task has no 'sauce'"), ((1,), 'wants sources or tasks'),
    (({'size': 4},), "evaluate.tasks[0].source=''"), (({'source': 'champ', 'share': 1.0},), 'evaluate.tasks[0].share=1.0'),
    (({'source': 'reasoning_gym:chain_sum'},), 'evaluate.tasks[0].size=0')])
def test_a_task_that_cannot_be_is_one_line(place, tasks, said):
  with pytest.raises(UserError) as e:
    evaluate_stage.check(stage(place, tasks=tasks), 'evaluate')
  assert said in str(e.value) and '\n' not in str(e.value)


def test_no_task_s_tail_idles_the_slots(nano, tmp_path, monkeypatch, one_device):
  """Three tasks of 64 samples a question, lengths log-normal (mean 64, cap 256), over 16 slots: 90 % of rows are live."""
  model, params = zoo.build(zoo.get('nano', max_length=512)), nano[1]
  rng = np.random.default_rng(0)
  mesh = mesh_lib.create({'data': 1})
  tokenizer = tokenizer_lib.train(['0 1 2 3 4 5 6 7 8 9 + ='] * 50, str(tmp_path / 'tok'), vocab_size=60, pieces=[])
  lengths = {}

  def request(*args, **kw):
    """As if samples ended there by themselves."""
    made = asking_request(*args, **kw)
    drawn = rng.lognormal(np.log(64) - 0.8**2 / 2, 0.8, len(made.samples))
    lengths[made.group] = tuple(int(n) for n in np.clip(np.rint(drawn), 1, 256))
    return made._replace(limits=lengths[made.group])

  asking_request = asking.Request
  monkeypatch.setattr(asking, 'Request', request)
  monkeypatch.setattr(prompts, 'eos_ids', lambda *_: (-1,))
  tasks = [asking.Task(name, [{'id': str(i), 'question': f'{i} + {i} =', 'answer': str(2 * i), 'answer_type': 'int'}
                              for i in range(2)], 'plain', str(tmp_path / name), 64) for name in 'abc']
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    evaluation = asking.Evaluation(model, tokenizer, mesh, tasks, max_prompt=16, max_tokens=256, batch=1, slots=16,
                                   temperature=1.0, top_p=1.0, seed=0)
    found = [result for _, result in evaluation(lambda: params)]
  assert [(result['task'], result['n_samples']) for result in found] == [(name, 64) for name in 'abc']
  mean = np.mean([result['length_tokens'] for result in found])
  assert mean == pytest.approx(np.mean(list(lengths.values()))) and 50 < mean < 75
  print('slot use', evaluation.slot_use)
  assert evaluation.slot_use >= 0.9
