"""What goes out: the model card, what --check asks other programs, and --push with a hub that is made up."""

import importlib.util
import json
import os
import types

import numpy as np
import pytest

from r1jax import convert
from r1jax.convert import __main__ as convert_main
from r1jax.convert import card, push, verify
from r1jax.exceptions import UserError
from r1jax.models import zoo
from r1jax.rehearse import inputs

RL = dict(steps=80, groups=16, samples=16, minibatches=2, learning_rate=3e-4, kl_coef=0.001, max_tokens=48,
          optimizer=dict(learning_rate=9.0, dtype='float32'), task=dict(source='jsonl:/home/me/secret/questions.jsonl'))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A directory as it is published, and the checkpoint that an import makes of it."""
  work = tmp_path_factory.mktemp('checkpoint')
  source = inputs.publish(str(work / 'hf'), str(work), 'nano-qwen3')
  convert.import_model(source, out=str(work / 'ours'))
  return types.SimpleNamespace(source=source, ours=str(work / 'ours'))


def write(path, value):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(value, f)


@pytest.fixture
def run(tmp_path):
  """A work dir: a base from the hub, RL, a judge that has nothing to do with it, an evaluation of base and RL."""
  stages = [dict(name='base', run='convert', inputs={}), dict(name='judge', run='preference', inputs={}),
            dict(name='rl', run='rl', inputs=dict(checkpoint='base')),
            dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='rl'))]
  config = dict(name='mine', seed=3, stages=stages, base=dict(source='hf:me/tiny', model=''), rl=RL, judge=dict(steps=5),
                rewards={'accuracy': 1.0, 'format': 0.0, '/home/me/rewards.py:brief': 0.5})
  for number, spec in enumerate(stages, 1):
    write(tmp_path / f'{number}_{spec["name"]}' / 'config.json', config)
  write(tmp_path / 'pipeline.json', {'stages': [
      dict(name=spec['name'], directory=f'{i}_{spec["name"]}') for i, spec in enumerate(stages, 1)]})
  for model, right in (('base', 0.25), ('final', 0.75), ('stranger', 0.9)):
    write(tmp_path / '4_evaluate' / 'eval' / f'aime.{model}' / 'scores.json', {
        'task': 'aime', 'n_questions': 30, 'n_samples': 16, 'pass@1': right, 'pass@1_stderr': 0.01, 'cons@16': 0.5,
        'length_tokens': 33.4, 'temperature': 0.6, 'top_p': 0.95})
  return tmp_path


def test_a_card_says_base_recipe_data_scores_and_prompt(run):
  text = card.text(zoo.get('nano-qwen3'), origin=dict(hub='me/tiny', commit='abc'), prompt=dict(template='r1_zero'),
                   name='me/mine', stage_dir=str(run / '3_rl'), step_dir=str(run / '3_rl' / 'checkpoints' / '80'))
  front, _, body = text[4:].partition('---\n')
  assert 'base_model: me/tiny\n' in front and 'library_name: transformers\n' in front
  assert '# me/mine' in body and '(commit `abc`)' in body and 'template `r1_zero`' in body
  assert 'experiment `mine`, seed 3, stage `rl` at step 80' in body
  assert 'rewards accuracy x 1 + rewards.py:brief x 0.5' in body and 'format' not in body
  assert '| rl | GRPO | steps=80, groups=16, samples=16, minibatches=2, learning_rate=0.0003' in body
  assert '`jsonl:questions.jsonl`' in body and '/home/me' not in text
  assert '| base | import |' in body and 'judge' not in body
  assert '| aime | base | 0.250 | 0.010 | 0.500 | 16 | 30 | 0.6 | 0.95 | 33 |' in body
  assert '| aime | final | 0.750 |' in body and '`final` is this model' in body and 'stranger' not in body


def test_a_card_says_what_an_objective_changes_and_by_whom(run):
  config = json.loads((run / '3_rl/config.json').read_text())
  config['recipe'] = dict(title='DAPO with Qwen', page='https://arxiv.org/abs/2503.14476', missing='its prompt')
  config['lora'] = dict(rank=8, alpha=16.0, targets='all', base_dtype='')
  config['rl'] |= dict(surrogate='cispo', kl='k3', dynamic_tries=4, rewards={'accuracy': 2.0, 'overlong': 1.0},
                       overlong_buffer=4096, curriculum=dict(mode='prioritized', askings=2, low=0.1, high=1.0),
                       optimizer=dict(b2=0.95, weight_decay=0.1))
  write(run / '3_rl' / 'config.json', config)
  text = card.text(zoo.get('nano-qwen3'), origin={}, prompt=None, name='x', stage_dir=str(run / '3_rl'),
                   step_dir=str(run / '3_rl' / 'checkpoints' / '80'))
  row = next(line for line in text.splitlines() if line.startswith('| rl | GRPO |'))
  assert ('b2=0.95, weight_decay=0.1, surrogate=cispo, dynamic_tries=4, curriculum.mode=prioritized, '
          'curriculum.low=0.1, curriculum.askings=2, LoRA of rank 8') in row
  assert 'rewards accuracy x 2 + overlong x 1 of the last 4096 tokens' in row
  assert 'brief' not in row and 'kl=' not in row
  assert 'It follows DAPO with Qwen, https://arxiv.org/abs/2503.14476; otherwise than there: its prompt.' in text
  assert 'LoRA' not in next(line for line in text.splitlines() if line.startswith('| base |'))


def test_data_of_a_card_that_a_stage_made_is_said_by_its_name():
  spec = dict(name='sft', run='sft', inputs=dict(checkpoint='rl', data='reject'))
  assert card._data({'sft': dict(corpus='stage', path='')}, spec) == 'what reject made'
  assert card._data({'sft': dict(corpus='jsonl', path='/data/x.jsonl')}, spec) == '`x.jsonl`'


def test_a_card_of_what_was_not_evaluated_has_no_scores(run):
  text = card.text(zoo.get('nano'), origin={}, prompt=None, name='x', stage_dir=str(run / '2_judge'),
                   step_dir=str(run / '2_judge' / 'checkpoints' / '5'))
  assert '## Scores' not in text and 'base_model' not in text and 'Nothing is known of the prompts' in text
  alone = card.text(zoo.get('nano'), origin={}, prompt=None, name='x', stage_dir=str(run / 'nowhere'),
                    step_dir=str(run / 'nowhere' / 'checkpoints' / '0'))
  assert '## Recipe' in text and '## Recipe' not in alone


class Api:
  """huggingface_hub.HfApi, which notes what it is asked."""
  seen, login, there = {}, True, {}  # there: name -> whether a repository that exists is private

  def whoami(self):
    if not self.login:
      raise OSError('401 Client Error')
    return {'name': 'me'}

  def create_repo(self, name, private, exist_ok):
    self.seen.update(name=name, private=private)

  def model_info(self, name):
    return types.SimpleNamespace(private=self.there.get(name, self.seen.get('private')))

  def upload_folder(self, repo_id, folder_path, delete_patterns):
    self.seen.pop('card', None)
    self.seen.update(files=set(os.listdir(folder_path)), replaced=delete_patterns)
    if 'README.md' in self.seen['files']:
      self.seen['card'] = open(os.path.join(folder_path, 'README.md'), encoding='utf-8').read()


@pytest.mark.parametrize('args, private, left', [
    (['--push=me/mine'], True, []), (['--push=me/mine', '--public', '--out=out'], False, ['out'])])
def test_push_uploads_an_export(checkpoint, tmp_path, monkeypatch, capsys, args, private, left):
  monkeypatch.setattr(pytest.importorskip('huggingface_hub'), 'HfApi', Api)
  monkeypatch.setattr(Api, 'seen', {})
  monkeypatch.chdir(tmp_path)
  assert convert_main.main(['', 'export', f'--checkpoint={checkpoint.ours}', *args]) == 0
  assert Api.seen['name'] == 'me/mine' and Api.seen['private'] is private
  assert {'config.json', 'model.safetensors', 'tokenizer.json', 'README.md'} <= Api.seen['files']
  assert '# me/mine' in Api.seen['card'].splitlines()
  assert 'https://huggingface.co/me/mine' in capsys.readouterr().out and os.listdir(tmp_path) == left


@pytest.mark.parametrize('args, words', [
    ([], 'wants --out=DIR, --push=OWNER/NAME'), (['--out=out', '--public'], '--public goes with --push'),
    (['--push=mine'], 'wants OWNER/NAME'), (['--push=me/mine', '--out=out'], '`hf auth login` first')])
def test_a_push_that_cannot_be_is_refused_before_anything_is_written(checkpoint, tmp_path, monkeypatch, capsys, args,
                                                                    words):
  monkeypatch.setattr(pytest.importorskip('huggingface_hub'), 'HfApi', Api)
  monkeypatch.setattr(Api, 'login', False)
  monkeypatch.chdir(tmp_path)
  assert convert_main.main(['', 'export', f'--checkpoint={checkpoint.ours}', *args]) == 2
  said = capsys.readouterr().err
  assert said.count('\n') == 1 and words in said and not os.listdir(tmp_path), said


def test_a_push_leaves_no_weights_of_an_earlier_one(tmp_path, monkeypatch):
  """By what huggingface_hub makes of the patterns: of four files and an index none is read beside the one of today."""
  huggingface_hub = pytest.importorskip('huggingface_hub')
  monkeypatch.setattr(huggingface_hub, 'HfApi', Api)
  monkeypatch.setattr(Api, 'seen', {})
  push.upload(str(tmp_path), 'me/mine')
  old = [*(f'model-{i:05d}-of-00004.safetensors' for i in range(1, 5)), 'model.safetensors.index.json', 'LICENSE',
         'chat_template.jinja', *(kept := ['adapter_model.safetensors', 'notes/eval.json', 'models/old.safetensors',
                                           'model_v1/model.safetensors', 'model-fp16.safetensors'])]
  gone = set(huggingface_hub.utils.filter_repo_objects(old, allow_patterns=Api.seen['replaced']))
  assert gone == set(old) - {'LICENSE', *kept}


def test_what_was_to_be_private_does_not_go_to_a_public_repository(tmp_path, monkeypatch):
  monkeypatch.setattr(pytest.importorskip('huggingface_hub'), 'HfApi', Api)
  monkeypatch.setattr(Api, 'seen', {})
  monkeypatch.setattr(Api, 'there', {'me/mine': False})
  with pytest.raises(UserError, match='me/mine is there and public: say --public'):
    push.upload(str(tmp_path), 'me/mine')
  assert 'files' not in Api.seen
  push.upload(str(tmp_path), 'me/mine', private=False)
  assert 'files' in Api.seen


def test_what_the_hub_refuses_is_one_line(tmp_path, monkeypatch):
  monkeypatch.setattr(pytest.importorskip('huggingface_hub'), 'HfApi', Api)
  monkeypatch.setattr(Api, 'upload_folder', lambda *args, **kw: (_ for _ in ()).throw(OSError('403\nForbidden')))
  with pytest.raises(UserError, match='me/mine cannot be uploaded .OSError: 403 Forbidden.: .*hf auth whoami'):
    push.upload(str(tmp_path), 'me/mine')


def test_the_command_is_called_as_it_was(capsys):
  for first, called in (('r1jax convert', 'usage: r1jax convert '), ('x/__main__.py', 'usage: python -m r1jax.convert ')):
    with pytest.raises(SystemExit):
      convert_main.main([first, '--help'])
    assert capsys.readouterr().out.startswith(called)


def test_a_check_without_its_packages_is_one_line_before_anything(checkpoint, tmp_path, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"--check needs torch and transformers: pip install 'r1jax\[parity\]'"):
    convert.export_model(checkpoint.ours, str(tmp_path / 'out'), look=True)
  assert not os.listdir(tmp_path)


def test_an_export_is_looked_at_by_transformers(checkpoint, tmp_path, caplog):
  if importlib.util.find_spec('torch') is None:
    pytest.skip("comparison with transformers needs the extra parity: pip install -e '.[parity]'")
  pytest.importorskip('transformers')
  caplog.set_level('INFO', 'r1jax')
  convert.export_model(checkpoint.ours, str(tmp_path / 'out'), dtype='bfloat16', look=True)
  assert "the checkpoint's logits to" in caplog.text and 'vLLM is not installed here' in caplog.text


def test_an_export_that_is_read_otherwise_goes_again(checkpoint, tmp_path, monkeypatch):
  if importlib.util.find_spec('torch') is None:
    pytest.skip("comparison with transformers needs the extra parity: pip install -e '.[parity]'")
  pytest.importorskip('transformers')
  real = convert.export.facts_of
  monkeypatch.setattr(convert.export, 'facts_of', lambda *args: {**real(*args), 'rms_norm_eps': 1.0})
  with pytest.raises(UserError, match='logits of transformers .* are off by'):
    convert.export_model(checkpoint.ours, str(tmp_path / 'out'), look=True)
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize('file', [True, False])
def test_a_class_of_transformers_that_splits_texts_in_its_own_way_is_named(file, tmp_path):
  """As Qwen2Tokenizer does, which it takes for every directory of model_type qwen2, whatever tokenizer.json says."""
  pytest.importorskip('transformers', reason="comparison with transformers needs the extra parity: pip install -e '.[parity]'")
  import tokenizers
  words = tokenizers.Tokenizer(tokenizers.models.WordLevel({'a': 0, 'b': 1, '?': 2}, unk_token='?'))
  words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  if file:
    words.save(str(tmp_path / 'tokenizer.json'))
  class Theirs:
    pass
  said = verify._otherwise(str(tmp_path), Theirs(), 'a b', [2, 1], [0, 1])  # pylint: disable=protected-access
  assert "reads 'a b' by its Theirs as the tokens [2, 1], the checkpoint has [0, 1]" in said
  assert said.endswith("PreTrainedTokenizerFast(tokenizer_file='tokenizer.json')") == file


def test_vllm_is_asked_where_it_is_installed(monkeypatch):
  """By a stand-in: vLLM needs an accelerator."""
  logits = np.array([[0.0, 5.0, 1.0]])
  say = lambda token: types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=[token])])
  made = types.ModuleType('vllm')
  made.__version__, made.SamplingParams = '0', dict
  made.LLM = lambda **kw: types.SimpleNamespace(generate=lambda asked, _: [say(made.token)] * len(asked))
  made.__spec__ = importlib.util.spec_from_loader('vllm', None)
  monkeypatch.setitem(__import__('sys').modules, 'vllm', made)
  made.token = 1
  assert 'says the likeliest tokens' in verify._vllm('out', [[1]], [logits])  # pylint: disable=protected-access
  made.token = 2
  with pytest.raises(UserError, match='says token 2, the checkpoint 1, which lies 4.00 above'):
    verify._vllm('out', [[1]], [logits])  # pylint: disable=protected-access
