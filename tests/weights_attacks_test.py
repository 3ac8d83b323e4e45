"""Weights by name and by path, attacked: what is there otherwise than usual is read as it is, or refused in one line;
never in silence, never with a traceback."""

import json
import os
import re
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from r1jax import convert
from r1jax.convert import __main__ as convert_main
from r1jax.convert import hub
from r1jax.exceptions import UserError
from r1jax.rehearse import inputs
from r1jax.stages import common

import convert_test
import hub_test

model, server, NEW = hub_test.model, hub_test.server, hub_test.NEW
FILES = [f'model-0000{i}-of-00002.safetensors' for i in (1, 2)]
INDEX = 'model.safetensors.index.json'


@pytest.fixture(scope='module')
def published(tmp_path_factory):
  work = tmp_path_factory.mktemp('published')
  return inputs.publish(str(work / 'base'), str(work), 'nano-llama')


@pytest.fixture
def directory(published, tmp_path):
  """A copy, in a path with a space."""
  return shutil.copytree(published, tmp_path / 'my models' / 'a b')


def edit(path, **facts):
  """A JSON object with other values; None: without."""
  found = json.loads(path.read_text()) if path.exists() else {}
  path.write_text(json.dumps({key: value for key, value in {**found, **facts}.items() if value is not None}))


def tensors(directory, number, change):
  """Shard `number` written anew, by `change` of its tensors; its first name is given too. No metadata is kept."""
  found = load_file(directory / FILES[number])
  save_file(change(found, next(iter(found))) or found, directory / FILES[number])


def twice(directory, add):
  first = load_file(directory / FILES[0])
  name = next(iter(first))
  tensors(directory, 1, lambda found, _: {**found, name: first[name] + np.float32(add)})


def mixed(found, _):
  kinds = (ml_dtypes.bfloat16, np.float16, np.float32)
  return {name: x.astype(kinds[i % 3]) for i, (name, x) in enumerate(found.items())}


def names_in_index(directory, file):
  path = directory / INDEX
  weight_map = json.loads(path.read_text())['weight_map']
  edit(path, weight_map={**weight_map, next(iter(weight_map)): file})


config = lambda **facts: lambda d: edit(d / 'config.json', **facts)

FINE = {
    'no torch_dtype': config(torch_dtype=None),
    'no metadata in the files': lambda d: [tensors(d, i, lambda found, _: None) for i in (0, 1)],
    'a mixture of dtypes': lambda d: tensors(d, 0, mixed),
    'a tensor twice, the same': lambda d: twice(d, 0.0),
    'a file that no index names': lambda d: save_file({'x': np.zeros(2, np.float32)}, d / 'extra.safetensors'),
    'a mark before config.json': lambda d: (d / 'config.json').write_text(
        (d / 'config.json').read_text(), encoding='utf-8-sig'),
    'an index of nothing': lambda d: (d / INDEX).write_text('{}'),
    'layers all alike': config(layer_types=['full_attention'] * 2, partial_rotary_factor=1.0, sliding_window=128),
    'no chat template, no tokenizer_config': lambda d: (d / 'tokenizer_config.json').unlink(missing_ok=True),
    'a head that is tied and left out': lambda d: (edit(d / 'config.json', tie_word_embeddings=True), [
        tensors(d, i, lambda found, _: {k: x for k, x in found.items() if k != 'lm_head.weight'}) for i in (0, 1)]),
}


@pytest.mark.parametrize('case', FINE)
def test_what_is_unusual_is_read(directory, case):
  FINE[case](directory)
  source, sizes, tokenizer = convert.looked_at(str(directory))
  assert sizes.dim == 32 and tokenizer.facts['eos_ids'] == [0]
  read = {name: source.read(name) for name in source.shapes}
  assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in read.values())


REFUSED = {
    'a tensor twice, otherwise': (lambda d: twice(d, 1.0), f'{FILES[0]} and, otherwise, in {FILES[1]}'),
    'an index that leads out': (lambda d: names_in_index(d, '../a b.safetensors'), 'not in that directory'),
    'an index that leads anywhere': (lambda d: names_in_index(d, '/etc/passwd'), 'not in that directory'),
    'an index of a missing shard': (lambda d: (d / FILES[1]).unlink(), f'names {FILES[1]}, which is not there'),
    'a link in a circle': (lambda d: ((d / FILES[1]).unlink(), (d / FILES[1]).symlink_to(FILES[1])),
                           f'names {FILES[1]}, which is not there'),
    'an index of a list': (lambda d: edit(d / INDEX, weight_map=[]), 'no weight_map of tensors to files'),
    'whole numbers': (lambda d: tensors(d, 0, lambda found, name: {**found, name: np.ones((32,), np.int32)}),
                      'is kept as I32: supported is'),
    'an empty file': (lambda d: (d / FILES[1]).write_bytes(b''), f'{FILES[1]} cannot be read as safetensors'),
    'a cut header': (lambda d: os.truncate(d / FILES[1], 50), f'{FILES[1]} cannot be read as safetensors'),
    'cut numbers': (lambda d: os.truncate(d / FILES[1], (d / FILES[1]).stat().st_size - 9),
                    f'{FILES[1]} cannot be read as safetensors'),
    'a page in its place': (lambda d: (d / FILES[1]).write_text('<!DOCTYPE html><html>Access denied</html>'),
                            f'{FILES[1]} cannot be read as safetensors'),
    'an adapter left in': (lambda d: tensors(d, 1, lambda found, _: {
        **found, 'model.layers.0.self_attn.q_proj.lora_A.weight': np.zeros((2, 2), np.float32)}),
                           'lora_A.weight with shape (2, 2) has no place'),
    'a classifier': (lambda d: tensors(d, 1, lambda found, _: {**found, 'score.weight': np.zeros((1, 32), np.float32)}),
                     'score.weight with shape (1, 32) has no place'),
    'a head that is tied and is another': (config(tie_word_embeddings=True), 'but lm_head.weight is not'),
    'no head and not tied': (lambda d: [tensors(d, i, lambda found, _: {
        k: x for k, x in found.items() if k != 'lm_head.weight'}) for i in (0, 1)], 'no tensor lm_head.weight'),
    'fewer rows than the tokenizer has tokens': (lambda d: (edit(d / 'config.json', vocab_size=300), [
        tensors(d, i, lambda found, _: {k: x[:300] if x.shape[0] == 512 else x for k, x in found.items()})
        for i in (0, 1)]), 'the embedding has 300 rows'),
    'layers of windows': (config(layer_types=['full_attention', 'sliding_attention']), "layer_types='sliding_attention'"),
    'half of a head turned': (config(partial_rotary_factor=0.5), 'partial_rotary_factor=0.5: supported is 1'),
    'half of it, as transformers 5 says': (config(rope_parameters={'rope_type': 'default', 'rope_theta': 1e4,
                                                                   'partial_rotary_factor': 0.25}),
                                           'partial_rotary_factor=0.25: supported is 1'),
    'a flag in words': (config(tie_word_embeddings='yes'), 'tie_word_embeddings="yes": supported is true or false'),
    'experts': (config(model_type='qwen3_moe'), "model_type='qwen3_moe'"),
    'a list': (lambda d: (d / 'config.json').write_text('[]'), 'holds list, not a JSON object'),
    'an end that is no token': (lambda d: edit(d / 'generation_config.json', eos_token_id=99999),
                                'eos_token_id=99999 is no id of 0 .. 511'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_cannot_be_is_one_line_before_a_weight_is_read(directory, case):
  change, words = REFUSED[case]
  change(directory)
  with pytest.raises(UserError) as e:
    convert.looked_at(str(directory))
  assert words in str(e.value) and '\n' not in str(e.value), e.value


def test_a_tokenizer_without_a_chat_template_says_so_where_one_is_asked_for(directory):
  """And tokens that were added behind the vocabulary are there."""
  path = directory / 'tokenizer.json'
  found = json.loads(path.read_text())
  last = max(*found['model']['vocab'].values(), *(token['id'] for token in found['added_tokens']))
  added = {**found['added_tokens'][0], 'id': last + 1, 'content': '<|more|>'}
  edit(path, added_tokens=[*found['added_tokens'], added])
  _, _, files = convert.looked_at(str(directory), stop=('<|more|>',))
  assert files.facts['eos_ids'] == [0, last + 1] and files.facts.get('chat_template') is None


# --- GGUF


def gguf(tmp_path, change=lambda tensors: None, edit_bytes=lambda data: data, **metadata):
  path = convert_test.write_gguf(tmp_path / 'x.gguf', change, **metadata)
  with open(path, 'rb') as f:
    data = f.read()
  with open(path, 'wb') as f:
    f.write(edit_bytes(data))
  return path


def kind_of(number):
  """Says that the last tensor's quantisation is another: its number stands before the offset, in its header."""
  def change(data):
    name = b'blk.0.ffn_down.weight'
    at = data.index(name) + len(name)
    dims = int.from_bytes(data[at:at + 4], 'little')
    at += 4 + 8 * dims
    return data[:at] + number.to_bytes(4, 'little') + data[at + 4:]
  return change


GGUFS = {
    'an architecture': (dict(edit_bytes=lambda data: data.replace(b'llama', b'gemma')), "architecture 'gemma'"),
    'a quantisation that nobody knows': (dict(edit_bytes=kind_of(99)), 'cannot be read as GGUF'),
    'one that is known and not undone': (dict(edit_bytes=kind_of(24)), 'quantisation I8, which the package gguf cannot undo'),
    'cut numbers': (dict(edit_bytes=lambda data: data[:-3000]), 'cannot be read as GGUF'),
    'a cut header': (dict(edit_bytes=lambda data: data[:200]), 'cannot be read as GGUF'),
    'another version': (dict(edit_bytes=lambda data: data[:4] + b'\x63' + data[5:]), 'cannot be read as GGUF'),
    'experts': (dict(expert_count=8), 'a mixture of 8 experts'),
    'a tensor more': (dict(change=lambda t: t.update({'blk.0.attn_q.bias': np.zeros(4, np.float32)})),
                      'blk.0.attn_q.bias with shape (4,) has no place'),
    'a tensor less': (dict(change=lambda t: t.pop('output_norm.weight')), 'no tensor output_norm.weight'),
}


@pytest.mark.parametrize('case', GGUFS)
def test_gguf_files_that_cannot_be_are_one_line(tmp_path, case):
  how, words = GGUFS[case]
  with pytest.raises(UserError) as e:
    convert.looked_at(gguf(tmp_path, **how))
  assert words in str(e.value) and '\n' not in str(e.value), e.value


# --- the hub's cache, and a hub that is not well


@pytest.fixture
def cache(server, model):
  """A cache by hand, and a hub that cannot be reached."""
  server.shutdown()
  server.server_close()
  return hub_test.cached(server.cache, 'me/tiny', model), server.cache / 'models--me--tiny'


@pytest.mark.parametrize('revision', ['', '@main', '@v1.0', '@refs/pr/1', f'@{NEW}'])
def test_revisions_of_a_cache(cache, revision):
  """A branch, a tag, a pull request, a commit: all by refs, but for the last."""
  snapshot, place = cache
  for name in ('v1.0', 'refs/pr/1'):
    (place / 'refs' / name).parent.mkdir(parents=True, exist_ok=True)
    (place / 'refs' / name).write_text(NEW)
  source, *_ = convert.looked_at(f'hf:me/tiny{revision}')
  assert os.path.samefile(source.path, snapshot) and hub.origin('hf:me/tiny', source.path) == ('me/tiny', NEW)


@pytest.mark.parametrize('revision', ['@v2', f'@{NEW[:7]}', '@main'])
def test_a_revision_that_a_cache_has_not_is_one_line_offline(cache, revision):
  _, place = cache
  (place / 'refs' / 'main').write_text('c' * 40)  # whose snapshot was deleted
  with pytest.raises(UserError, match=f'hf:me/tiny{revision} is neither a path here nor in the hub cache') as e:
    convert.looked_at(f'hf:me/tiny{revision}')
  assert '\n' not in str(e.value)


def test_a_link_to_a_snapshot_keeps_its_commit(cache, tmp_path):
  """As people put models of a cache in a folder of their own; and a cache of copies, as file systems without links
  have it."""
  snapshot, _ = cache
  link = tmp_path / 'my model'
  link.symlink_to(snapshot)
  source, *_ = convert.looked_at(str(link))
  assert hub.origin(str(link), source.path) == ('me/tiny', NEW)
  copied = shutil.copytree(snapshot, tmp_path / 'copied')
  convert.looked_at(str(copied))
  for name in os.listdir(snapshot):
    data = open(os.path.join(snapshot, name), 'rb').read()
    os.remove(os.path.join(snapshot, name))
    with open(os.path.join(snapshot, name), 'wb') as f:
      f.write(data)
  assert convert.looked_at('hf:me/tiny')[0].path == snapshot


@pytest.mark.parametrize('where', ['HF_HOME', 'HF_HUB_CACHE', 'both'])
def test_where_a_cache_lies(model, tmp_path, where):
  """HF_HUB_CACHE is it, else hub/ in HF_HOME; paths with spaces. HF_HUB_OFFLINE is heard."""
  home, cache_ = tmp_path / 'a home', tmp_path / 'a cache'
  hub_test.cached(str(home / 'hub' if where == 'HF_HOME' else cache_), 'me/tiny', model)
  given = {'HF_HOME': str(home), **({} if where == 'HF_HOME' else {'HF_HUB_CACHE': str(cache_)})}
  if where == 'HF_HUB_CACHE':
    del given['HF_HOME']
  ask = ("import sys; sys.path.insert(0, sys.argv[1])\nfrom r1jax.convert import hub\n"
         "print(hub.fetched(hub.named('hf:me/tiny')))\n"
         "try:\n  hub.fetched(hub.named('hf:me/none'))\nexcept Exception as e:\n  print(type(e).__name__, e)")
  env = {k: v for k, v in os.environ.items() if not k.startswith(('HF_', 'HUGGINGFACE'))}
  done = subprocess.run([sys.executable, '-c', ask, hub_test.ROOT], capture_output=True, text=True, check=False,
                        env={**env, **given, 'HF_HUB_OFFLINE': '1'})
  found, none = done.stdout.splitlines()
  assert found.startswith(str(tmp_path)) and found.endswith(NEW), done.stderr
  assert none.startswith('UserError hf:me/none is neither a path here nor in the hub cache and cannot be downloaded')


SICK = {
    'it falls over': lambda handler: handler.say(500, b'oops'),
    'a page of a proxy': lambda handler: handler.say(200, b'<html>log in to this network</html>'),
    'another object': lambda handler: handler.say(200, {'hello': 1}),
    'it hangs up': lambda handler: handler.connection.close(),
    'too many asked': lambda handler: handler.say(429, b'slow down'),
}


@pytest.mark.parametrize('case', SICK)
def test_a_hub_that_is_not_well_is_one_line(server, tmp_path, monkeypatch, capsys, case):
  monkeypatch.setattr(hub_test.Handler, 'do_GET', SICK[case])
  monkeypatch.setattr('time.sleep', lambda seconds: None)
  out = tmp_path / 'out'
  assert convert_main.main(['', 'import', '--source=hf:me/tiny', f'--out={out}']) == 2
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 1 and said[0].startswith('r1jax: hf:me/tiny') and 'Traceback' not in said[0], said
  assert not out.exists()


def test_a_file_that_came_short_is_never_taken(server, tmp_path):
  """The hub says one size and its store gives less, all of it: the line says how it goes out of the cache again."""
  whole = server.repositories['me/tiny'][NEW]
  short = {**whole, FILES[1]: whole[FILES[1]][:-1000]}
  real = hub_test.Handler.do_GET

  def do_GET(handler):
    server.repositories['me/tiny'][NEW] = short if handler.path.startswith('/cdn') else whole
    return real(handler)

  patch = pytest.MonkeyPatch()
  patch.setattr(hub_test.Handler, 'do_GET', do_GET)
  try:
    with pytest.raises(UserError) as e:
      convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  finally:
    patch.undo()
  assert '\n' not in str(e.value) and f'{FILES[1]} cannot be read' in str(e.value) and not (tmp_path / 'out').exists()
  server.repositories['me/tiny'][NEW] = whole
  os.remove(re.search(r'remove (\S+/blobs/\w+), so that it is downloaded again', str(e.value))[1])
  convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  assert common.origin(str(tmp_path / 'out'))['commit'] == NEW
