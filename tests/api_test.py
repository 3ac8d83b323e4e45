"""r1jax.load, score, train, evaluate, read: what a notebook calls, on nano models."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import r1jax
from r1jax import api
from r1jax import launch

ASKED = 'State the final answer to the following arithmetic problem: 7 + 8 - 3 ='
NANO = {'base.model': 'nano', 'base.documents': 300, 'base.steps': 4, 'base.batch': 4, 'base.log_every': 2,
        'rl.task.size': 32, 'rl.steps': 2, 'rl.groups': 2, 'rl.micro_tokens': 64, 'rl.samples': 4, 'rl.max_tokens': 16,
        'rl.eval_every': 0, 'evaluate.task.size': 4, 'evaluate.samples': 2, 'evaluate.batch': 4,
        'evaluate.max_tokens': 16}
ONE_DEVICE = os.environ.get('R1JAX_TEST_XLA_FLAGS', '')  # in processes that are started, as a user has it


@pytest.fixture(scope='module')
def place(tmp_path_factory, nano):
  """A checkpoint with a tokenizer, which was trained with template 'r1_zero' and a prefill."""
  from r1jax.data import prompts
  from r1jax.data import tokenizer
  from r1jax.engine import checkpoint
  from r1jax.stages import common
  model, params = nano
  root = tmp_path_factory.mktemp('api')
  texts = [f'User: {a} + {b} = Assistant: <think> so </think> <answer> {a + b} </answer>' for a in range(20)
           for b in range(20)]
  trained = tokenizer.train(texts, str(root / 'tokenizer'), vocab_size=60, pieces=['A'])
  record = prompts.record('r1', prefill=' so')
  common.save_model(str(root / 'm'), model, trained, prompt=record)
  checkpoint.save_params(str(root / 'm'), params, {})
  return str(root / 'm')


@pytest.fixture(scope='module')
def model(place):
  return r1jax.load(place, mesh={'data': 1})


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A whole run of the tiny job at nano size, by r1jax.train."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XLA_FLAGS', ONE_DEVICE)
    return r1jax.train('r1_zero:tiny', tmp_path_factory.mktemp('run') / 'w', **NANO)


def test_import_takes_neither_jax_nor_matplotlib():
  code = ('import sys, r1jax; r1jax.read, r1jax.train, r1jax.UserError; dir(r1jax); '
          'print(sorted({"jax", "matplotlib", "numpy", "flax"} & set(sys.modules)))')
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == '[]'


def test_an_answer_is_judged_without_jax():
  code = ('import sys, r1jax; print(r1jax.score("math", "<answer>12</answer>", {"answer": "12"}).value); '
          'print(sorted({"jax", "flax"} & set(sys.modules)))')
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.split() == ['1.0', '[]']


def test_names_are_listed_and_unknown_ones_refused():
  assert {'load', 'Model', 'score', 'train', 'evaluate', 'read', '__version__'} <= set(dir(r1jax))
  assert r1jax.load is api.load and r1jax.train is launch.train
  with pytest.raises(AttributeError, match="no attribute 'lode'"):
    r1jax.lode  # pylint: disable=pointless-statement


def test_evaluate_is_a_function_and_a_module():
  assert callable(r1jax.evaluate) and r1jax.evaluate.pass_at_k(4, 2, 1) == 0.5


def test_load_takes_what_the_checkpoint_records(model):
  assert (model.template, model.prefill) == ('r1', ' so')
  assert "asked by template 'r1', as it was trained" in repr(model)
  group, = model.generate(ASKED, samples=1, max_tokens=4)
  assert (group.row['format'], group.row['prefill']) == ('r1', ' so')


def test_generate_gives_groups_in_order_and_the_same_again(model):
  asked = [ASKED, {'question': '1 + 1 =', 'answer': '2'}, '2 + 3 =']
  groups = model.generate(asked, samples=3, max_tokens=8, seed=3)
  assert [group.number for group in groups] == [0, 1, 2] and groups[1].row['answer'] == '2'
  assert all(len(group.samples) == 3 and 0 < s.tokens <= 8 for group in groups for s in group.samples)
  streamed = list(model.generate(asked, samples=3, max_tokens=8, seed=3, stream=True))
  text = lambda groups: {group.number: [s.text for s in group.samples] for group in groups}
  assert text(streamed) == text(groups)
  assert text(model.generate(asked, samples=3, max_tokens=8, seed=4)) != text(groups)


def test_stream_gives_groups_as_they_end(model, monkeypatch):
  """Slots for one question at a time, so the first is there before the second has begun."""
  monkeypatch.setattr(api, 'SLOTS', 1)
  groups = model.generate([ASKED, '1 + 1 ='], samples=1, max_tokens=8, stream=True)
  assert not isinstance(groups, list) and next(groups).number == 0


def test_logps_are_the_samplers_own(model):
  groups = model.generate([ASKED, '1 + 1 ='], samples=2, max_tokens=12)
  for group in groups:
    found = model.logps([group.row] * 2, group.samples)
    for sample, logps in zip(group.samples, found):
      assert logps.shape == sample.ids.shape
      np.testing.assert_allclose(logps, sample.logps, atol=2e-4)
  text, = model.logps([ASKED], ['12'])
  assert len(text) == len(model.tokenizer.encode('12')) and (text < 0).all()


@pytest.mark.parametrize('call, said', [
    (lambda m: m.generate([]), 'no questions'),
    (lambda m: m.generate([' ']), 'wants a text'),
    (lambda m: m.generate('a', samples=0), 'samples=0 must be at least 1'),
    (lambda m: m.generate('a', top_p=0), 'top_p=0'),
    (lambda m: m.generate('a', max_tokens=0), 'max_tokens=0'),
    (lambda m: m.generate('1 ' * 400), '256 positions'),
    (lambda m: m.logps(['a', 'b'], ['c']), '2 questions and 1 completions'),
    (lambda m: m.logps(['a'], ['']), 'completion 0 is empty'),
    (lambda m: m.push('name'), 'wants OWNER/NAME'),
    (lambda m: m.save('x', dtype='int8'), "dtype='int8'"),
    (lambda m: r1jax.load('/nowhere/at/all'), '/nowhere/at/all'),
    (lambda m: r1jax.load(m.path, template='none'), "no template 'none'"),
    (lambda m: r1jax.load(m.path, dtype='int8'), "dtype='int8'"),
    (lambda m: r1jax.score('maths', 'a', {'answer': '1'}), "no reward 'maths'"),
    (lambda m: r1jax.read('/nowhere'), 'no work dir /nowhere'),
    (lambda m: r1jax.read(m.path).frame('sample'), "no table 'sample'"),
    (lambda m: r1jax.train('r1_zeroo', '/nowhere'), "no config 'r1_zeroo'"),
    (lambda m: r1jax.train(3, '/nowhere'), 'config=3'),
    (lambda m: r1jax.evaluate(m, 'nothing', max_prompt=16), "no task 'nothing'"),
])
def test_mistakes_are_one_line(model, call, said):
  with pytest.raises(r1jax.UserError) as e:
    call(model)
  assert said in str(e.value) and '\n' not in str(e.value)


def test_score_tells_the_kind_of_answer_itself(tmp_path):
  right, wrong = ('<think> so </think> <answer> {} </answer>'.format(n) for n in ('1/2', '3'))
  assert r1jax.score('math', right, {'answer': '0.5'}).value == 1.0
  assert r1jax.score('math', wrong, {'answer': '0.5'}).value == 0.0
  assert r1jax.score('format', right, {}).value == 1.0
  (tmp_path / 'mine.py').write_text('def short(completion, row):\n  return 1.0 / len(completion)\n')
  assert r1jax.score(f'{tmp_path}/mine.py:short', 'abcd', {}).value == 0.25


def test_save_is_loaded_again_with_the_same_answers(model, tmp_path):
  out = model.save(tmp_path / 'hf', dtype='float32')
  again = r1jax.load(out, mesh={'data': 1}, template='r1')
  assert again.config.param_count() == model.config.param_count()
  np.testing.assert_allclose(again.logps([{'question': ASKED, 'prefill': ' so'}], ['12'])[0],
                             model.logps([ASKED], ['12'])[0], rtol=1e-5)
  with pytest.raises(r1jax.UserError, match='not empty'):
    model.save(out)


def test_push_uploads_what_save_writes(model, monkeypatch):
  hub = pytest.importorskip('huggingface_hub')
  seen = {}

  class Hub:
    def create_repo(self, name, **kw):
      seen['name'] = name

    def upload_folder(self, repo_id, folder_path, delete_patterns):
      seen['files'] = sorted(os.listdir(folder_path))

  monkeypatch.setattr(hub, 'HfApi', Hub)
  assert model.push('me/mine') == 'https://huggingface.co/me/mine'
  assert seen['name'] == 'me/mine' and {'config.json', 'tokenizer.json', 'README.md'} <= set(seen['files'])
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(r1jax.UserError, match='pip install'):
    model.push('me/mine')


def test_evaluate_writes_and_returns_scores(model, tmp_path):
  (tmp_path / 'q.jsonl').write_text('{"question": "1 + 1 =", "answer": "2", "answer_type": "int"}\n' * 3)
  settings = dict(samples=2, max_tokens=8, max_prompt=32, mesh='data=-1')
  found = r1jax.evaluate(model, f'jsonl:{tmp_path}/q.jsonl', tmp_path / 'e', **settings)
  assert found.scores[0]['n_questions'] == 3 and len(found.samples) == 6
  assert found.scores[0] == r1jax.read(tmp_path / 'e').scores[0]
  assert json.loads((tmp_path / 'e/eval/q/settings.json').read_text())['template'] == 'r1'  # as it was trained


def test_train_gives_tables(run):
  assert run.stages == ['1_base', '2_rl', '3_evaluate'] and run.config['name'] == 'r1_zero_tiny'
  assert run.series('reward/mean', '2_rl')[0] == [1, 2]
  assert [row['model'] for row in run.scores] == ['base', 'final', 'base_worked']
  assert len(run.samples) == 3 * 4 * 2 and {row['model'] for row in run.samples} == {'base', 'final', 'base_worked'}
  assert run.rollouts and {'step', 'completion', 'reward', 'advantage'} <= run.rollouts[0].keys()


def test_tables_as_frames(run, monkeypatch):
  pandas = pytest.importorskip('pandas')
  frame = run.frame('scores')
  assert isinstance(frame, pandas.DataFrame) and list(frame['pass@1']) == [row['pass@1'] for row in run.scores]
  monkeypatch.setitem(sys.modules, 'pandas', None)
  with pytest.raises(r1jax.UserError, match='pip install pandas'):
    run.frame()


def test_a_trained_stage_is_asked_as_it_was_trained(run):
  model = r1jax.load(os.path.join(run.path, '2_rl'), mesh={'data': 1})
  assert model.template == 'r1_zero' and "as it was trained" in repr(model)
  with pytest.raises(r1jax.UserError, match='it holds the stages'):
    r1jax.load(run.path)


def test_a_mistake_of_a_run_is_its_line_and_leaves_nothing(tmp_path):
  with pytest.raises(r1jax.UserError, match='rl.stepps'):
    r1jax.train('r1_zero:tiny', tmp_path / 'w', **{'rl.stepps': 3})
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize('code, raised, said', [
    (2, r1jax.UserError, 'no'), (4, r1jax.RunStopped, 'no'), (143, r1jax.RunStopped, 'no'),
    (130, r1jax.RunStopped, 'no'), (1, r1jax.UserError, 'exit code 1: no')])
def test_how_a_run_ends_is_told_by_its_exit_code(tmp_path, code, raised, said):
  run = launch.Run([sys.executable, '-c', f'print("r1jax: no"); raise SystemExit({code})'], str(tmp_path), show=True,
                   given=None)
  with pytest.raises(raised) as told:
    run.wait()
  assert str(told.value) == said


def test_a_config_object_and_a_run_to_look_on(tmp_path, monkeypatch):
  import runs
  monkeypatch.setenv('XLA_FLAGS', ONE_DEVICE)
  config = runs.experiment('r1_zero', 'tiny', **{**NANO, 'base.steps': 100000})
  run = r1jax.train(config, tmp_path / 'w', wait=False)
  try:
    for tables in run.watch(0.5):
      if tables.series('loss')[0]:
        break
    assert not run.running  # left in the middle, it was stopped
  finally:
    run.stop()
  assert tables.config['base']['steps'] == 100000
  with pytest.raises(r1jax.RunStopped, match='goes on'):
    run.wait()
