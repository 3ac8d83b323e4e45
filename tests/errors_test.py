"""What goes wrong is one line with the way out; values that cannot be are refused before anything runs."""

import errno
import json
import pathlib

import jax
import numpy as np
import pytest

from r1jax import errors
from r1jax import evaluate
from r1jax import stopping
from r1jax import values
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import RunStopped, UserError
from r1jax.data import prompts
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.models import zoo
from r1jax.stages import asking
from r1jax.stages import common

import runs

ROOT = pathlib.Path(__file__).parent.parent


class XlaRuntimeError(RuntimeError):
  """As jaxlib names it."""


def chained(cause):
  e = ValueError('some library says that something failed')
  e.__cause__ = cause
  return e


@pytest.mark.parametrize('e, code, said', [
    (UserError('do this'), 2, 'do this'), (RunStopped('NaN'), 4, 'the run stopped itself: NaN'),
    (KeyboardInterrupt(), 130, 'stopped by Ctrl-C; the same command goes on'),
    (stopping.Stopped('stopped at 5'), 143, 'stopped at 5; the same command goes on'),
    (OSError(errno.ENOSPC, 'x', '/data/run'), 2, 'No space left on device: free some in /data/run'),
    (OSError(errno.EDQUOT, 'x'), 2, 'free some in PLACE'),
    (ValueError("INTERNAL: Error writing .. [source locations='..'] [os_error_code='28']"), 2, 'No space left'),
    (chained(OSError(errno.ENOSPC, 'x', '/data/run')), 2, 'free some in /data/run'),
    (PermissionError(errno.EACCES, 'x', '/data/run/lock'), 2, 'Permission denied: /data/run/lock'),
    (OSError(errno.EROFS, 'x', '/ro'), 2, 'Read-only file system: /ro'),
    (MemoryError(), 2, 'out of memory'),
    (XlaRuntimeError('RESOURCE_EXHAUSTED: Out of memory while trying to allocate 230854492160 bytes.'), 2,
     'out of memory on a device or this host (215.0 GiB at once): it takes fewer of: micro_tokens'),
])
def test_what_a_person_can_mend_is_one_line(capsys, e, code, said):
  def fail():
    raise e

  assert errors.run(fail, place='PLACE') == code
  err = capsys.readouterr().err
  assert err.startswith('r1jax: ') and err.count('\n') == 1 and said in err, err


@pytest.mark.parametrize('e', [ValueError('a fault of ours'), KeyError('x'), XlaRuntimeError('INTERNAL: a compiler')])
def test_what_is_a_fault_of_the_program_is_not_hidden(e):
  def fail():
    raise e

  with pytest.raises(type(e)):
    errors.run(fail)


@pytest.mark.parametrize('key, value, said', [
    ('dtype', 'bf16', "dtype='bf16' is not one of float32, bfloat16"),
    ('remat', 'fulll', 'remat'), ('attention', 'flashh', 'attention'), ('rl.ratio', 'tok', 'rl.ratio'),
    ('rl.aggregate', 'mean', 'sequence_mean'), ('rl.scale', 'stdd', 'rl.scale'), ('rl.old_logps', 'x', 'rl.old_logps'),
    ('rl.optimizer.decay', 'lin', 'rl.optimizer.decay'), ('base.optimizer.decay', 'cos', 'base.optimizer.decay'),
    ('rl.optimizer.dtype', 'fp8', 'rl.optimizer.dtype'), ('rl.steps', 0, 'rl.steps=0: nothing to train'),
    ('rl.steps', -2, 'rl.steps=-2 must be at least 0'), ('rl.groups', 0, 'rl.groups=0 must be at least 1'),
    ('rl.learning_rate', -1.0, 'more than 0'), ('rl.learning_rate', float('nan'), 'rl.learning_rate=nan'),
    ('rl.learning_rate', float('inf'), 'rl.learning_rate=inf'),
    ('rl.groups', 99999999999, 'at most 2147483647'), ('stages', (), 'stages is empty'),
    ('stages', (1,), 'stages has 1'),
    ('stages', ({'name': 'a'},), 'name, run and inputs'),
    ('stages', ({'name': 'a', 'run': 'nope', 'inputs': {}},), "run='nope': one of sft"),
    ('stages', 2 * ({'name': 'base', 'run': 'sft', 'inputs': {}},), "two stages are named 'base'"),
    ('rl.kl_coef', -1.0, 'rl.kl_coef'), ('rl.clip_low', -0.2, 'rl.clip_low'), ('rl.max_tokens', 0, 'rl.max_tokens'),
    ('rl.optimizer.b2', 1.5, 'at least 0 and at most 1'), ('evaluate.samples', 0, 'evaluate.samples'),
    ('evaluate.temperature', -1.0, 'evaluate.temperature'), ('evaluate.top_p', 0.0, 'evaluate.top_p'),
    ('evaluate.top_p', 1.1, 'evaluate.top_p'), ('checkpoints.every', 0, 'checkpoints.every'),
    ('checkpoints.keep', 0, 'checkpoints.keep'), ('seed', -1, 'seed=-1'), ('mesh.data', 0, 'mesh.data=0'),
    ('mesh.data', -2, 'mesh.data=-2'), ('rl.task.size', -3, 'rl.task.size'), ('rl.task.holdout', 1.5, 'holdout'),
    ('model.rope_theta', -1.0, 'model.rope_theta'), ('experts.bias_rate', -1.0, 'experts.bias_rate')])
def test_a_value_that_cannot_be(key, value, said):
  config = runs.experiment('r1_zero', 'tiny')
  values.check(config)
  if key == 'stages':
    config.stages = value
  else:
    config.update_from_flattened_dict({key: value})
  with pytest.raises(UserError) as error:
    values.check(config)
  assert said in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('name, arg', [
    ('r1_zero', 'smollm2'), ('r1_zero', 'qwen2.5-32b'), ('r1_zero', 'deepseek-v3'), ('r1', 'tiny'),
    ('r1', 'deepseek-v3'),
    ('distill', 'tiny'), ('distill', 'llama-70b'), ('table6', 'qwen2.5-32b'), ('search', 'mcts')])
def test_every_experiment_has_values_that_can_be(name, arg):
  values.check(runs.experiment(name, arg))


@pytest.fixture
def trained(tmp_path, monkeypatch):
  """A checkpoint of random weights, trained (it says) with a template of its own; a file of questions; no report."""
  place = tmp_path / 'model'
  tokenizer = tokenizer_lib.train(['0 1 2 3 4 5 6 7 8 9 + = What is ? abcdefghijklmnop'] * 50, str(tmp_path / 'tok'),
                                  vocab_size=64, pieces=[])
  model = zoo.build(zoo.get('nano', vocab_size=tokenizer.vocab_size))
  common.save_model(str(place), model, tokenizer, prompt=prompts.record('plain', prefill=' 1'))
  checkpoint.save_params(str(place), jax.tree.map(np.asarray, mesh_lib.unbox(params_lib.init(model, 0))), {})
  (tmp_path / 'q.jsonl').write_text(''.join(json.dumps({'question': f'{i} + 1', 'answer': str(i + 1)}) + '\n'
                                            for i in range(6)))
  return tmp_path


def command(place, workdir='out', **flags):
  given = {'checkpoint': place / 'model', 'tasks': f'jsonl:{place}/q.jsonl', 'workdir': place / workdir, 'samples': 2,
           'max_prompt': 32, 'max_tokens': 6, 'batch': 2, 'mesh': 'data=1,tensor=-1', 'temperature': 1.0, **flags}
  return ['evaluate', *(f'--{name}={value}' for name, value in given.items())]


def test_an_evaluation_goes_on_where_it_was_stopped(trained, capsys, caplog, monkeypatch):
  assert evaluate.main(command(trained, 'whole', slots=2)) == 0
  whole = (trained / 'whole/eval/q/samples.jsonl').read_bytes()
  assert b'"prompt": "0 + 1"' in whole
  graded, again = asking.Evaluation._graded, []

  def once(self, *args):
    stopping.requested.set()
    return graded(self, *args)

  monkeypatch.setattr(asking.Evaluation, '_graded', once)
  try:
    assert evaluate.main(command(trained)) == 143
  finally:
    stopping.requested.clear()
  kept = (trained / 'out/eval/q/samples.jsonl').read_bytes().splitlines()
  assert 1 <= len(kept) < 6 and not (trained / 'out/eval/q/scores.json').exists()
  monkeypatch.setattr(asking.Evaluation, '_graded', lambda *args: again.append(1) or graded(*args))
  with caplog.at_level('INFO'):
    assert evaluate.main(command(trained, slots=3)) == 0  # what changes no answer may change
  assert (trained / 'out/eval/q/samples.jsonl').read_bytes() == whole and len(again) == 6 - len(kept)
  assert "template 'plain' with the prefill ' 1', as the checkpoint was trained" in caplog.text
  capsys.readouterr()
  monkeypatch.setattr(common, 'load_sampling_params', None)  # it stands: nothing is loaded
  assert evaluate.main(command(trained)) == 0
  assert json.loads(capsys.readouterr().out)['n_questions'] == 6
  monkeypatch.undo()
  assert evaluate.main(command(trained, max_tokens=4)) == 0
  assert 'max_tokens was 6, now 4' in caplog.text and (trained / 'out/set_aside/q.1').is_dir()


@pytest.mark.parametrize('flags, said', [
    ({'samples': 0}, '--samples=0 must be at least 1'), ({'top_p': 0}, '--top_p=0.0'),
    ({'mesh': 'x=1'}, "--mesh='x=1'"),
    ({'mesh': 'data'}, 'AXIS=DEVICES'), ({'template': 'qwen'}, "no template 'qwen'"),
    ({'max_tokens': 999}, 'max_length=256'),
    ({'max_prompt': 1}, 'longer than --max_prompt=1'), ({'checkpoint': 'gs://b/x'}, 'an address is no path'),
    ({'tasks': 'nothing'}, "no task 'nothing'")])
def test_a_mistake_is_found_before_weights_are_loaded(trained, capsys, monkeypatch, flags, said):
  monkeypatch.setattr(common, 'load_sampling_params', None)
  assert evaluate.main(command(trained, **flags)) == 2
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('r1jax: ')]
  assert len(lines) == 1 and said in lines[0], lines


def test_a_torn_checkpoint_is_one_line(trained, capsys):
  files = [p for p in (trained / 'model/checkpoints/0/params').rglob('*') if p.is_file() and 'd' in p.parts]
  files[0].write_bytes(files[0].read_bytes()[:-1])
  assert evaluate.main(command(trained)) == 2
  err = capsys.readouterr().err
  assert f'{files[0]} is torn' in err and 'Traceback' not in err


def test_a_checkpoint_says_how_long_prompts_and_answers_are(trained, capsys, caplog):
  """Lengths are those of training, like the template; a flag counts, and the contradiction is said."""
  record = prompts.record('plain', prefill=' 1', max_prompt=24, max_tokens=5)
  json_files.write(str(trained / 'model' / prompts.RECORD), record)
  bare = [flag for flag in command(trained) if not flag.startswith('--max_')]
  with caplog.at_level('INFO', 'r1jax'):
    assert evaluate.main(bare) == 0
  assert json.loads(capsys.readouterr().out)['max_tokens'] == 5
  assert '--max_prompt=24, as the checkpoint was trained' in caplog.text and 'but the checkpoint' not in caplog.text
  assert [start['seed'] for start in json.loads((trained / 'out/environment.json').read_text())['starts']] == [0]
  assert evaluate.main([*bare, '--max_tokens=7', '--template=r1']) == 0
  assert json.loads(capsys.readouterr().out)['max_tokens'] == 7
  assert '--max_tokens=7, but the checkpoint was trained with 5' in caplog.text
  assert "was trained with 'plain'" in caplog.text


def test_lengths_that_nobody_has_told_are_what_the_model_has_room_for(trained, capsys):
  assert evaluate.main([flag for flag in command(trained) if not flag.startswith('--max_')]) == 0
  assert json.loads(capsys.readouterr().out)['max_tokens'] == 128  # of 256 positions
