"""What a source is after it was imported, and what else lies in it: other weights under the same name, files that a
cache lacks, two models in one directory, tokens that one file names and another has not, dates in prompts."""

import json
import os
import time
import types

import numpy as np
import pytest

from r1jax import convert
from r1jax import evaluate
from r1jax import workdir
from r1jax.convert import __main__ as convert_main
from r1jax.convert import chat_template, fingerprint, hub, peft
from r1jax.data import chat
from r1jax.data.tokenizer import Tokenizer
from r1jax.exceptions import UserError
from r1jax.stages import adapters
from r1jax.stages import common
from tests import hub_test
from tests import published_test
from tests.published_test import GONE, LLAMA, TOKENS, publish, put, weights_of

server, model = hub_test.server, hub_test.model


@pytest.fixture(autouse=True)
def _asks_anew(monkeypatch):
  monkeypatch.setattr(hub, '_SAID', set())


CHATML = ('{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
          '<|im_start|>assistant\n')


def negated(path):
  """The same directory with other numbers in files of the same sizes."""
  put(os.path.join(path, 'model.safetensors'), {name: -x for name, x in weights_of(LLAMA).items()})


def embedding(directory):
  return np.asarray(adapters.Parts(convert.checkpoint.find(directory)[1])('embedding', ()), np.float32)


def test_a_fingerprint_is_of_what_stands_in_the_files(tmp_path):
  one, two = publish(tmp_path / 'one'), publish(tmp_path / 'two')
  assert fingerprint.of(one) == fingerprint.of(two)  # a copy
  negated(two)
  assert fingerprint.of(one) != fingerprint.of(two)
  large = tmp_path / 'large.gguf'
  large.write_bytes(bytes(10_000_000))
  before = fingerprint.of(str(large))
  data = bytearray(large.read_bytes())
  data[3_900_000:4_100_000] = b'x' * 200_000  # a tensor in the middle
  large.write_bytes(data)
  assert fingerprint.of(str(large)) != before


@pytest.fixture
def base(tmp_path):
  """(a source, what it was imported to, a config of a stage that did so)."""
  source = publish(tmp_path / 'base')
  return source, convert.as_checkpoint(source, str(tmp_path / 'work')), {
      'base': types.SimpleNamespace(source=source, model='')}


def test_other_weights_under_the_same_name_are_noticed(base, tmp_path, caplog):
  source, out, config = base
  first = embedding(out)
  convert.as_checkpoint(source, str(tmp_path / 'work'))
  convert.check_standing(config, 'base', out)
  assert 'other weights' not in caplog.text
  negated(source)
  with pytest.raises(UserError, match='holds other weights than those that base .*: put them back, or take another '
                                      '--workdir, or --rerun=base'):
    convert.check_standing(config, 'base', out)
  found = peft._base_name(convert.checkpoint.find(out)[1], out)
  assert found[0].startswith(out) and 'other weights than those that the adapters stand on' in caplog.text
  convert.as_checkpoint(source, str(tmp_path / 'work'))
  assert 'holds other weights than those that' in caplog.text and 'imported anew' in caplog.text
  np.testing.assert_array_equal(embedding(out), -first)
  convert.check_standing(config, 'base', out)
  os.rename(source, tmp_path / 'gone')  # nothing is known of what is not there
  convert.check_standing(config, 'base', out)


def test_an_import_anew_that_breaks_off_is_made_by_the_next_start(base, tmp_path, monkeypatch, caplog):
  source, out, _ = base
  first = embedding(out)
  negated(source)
  with monkeypatch.context() as patch:
    patch.setattr(convert.checkpoint, 'save_params', lambda *args: (_ for _ in ()).throw(OSError('killed')))
    with pytest.raises(OSError, match='killed'):
      convert.as_checkpoint(source, str(tmp_path / 'work'))
  caplog.clear()
  convert.as_checkpoint(source, str(tmp_path / 'work'))
  assert 'imported anew' in caplog.text
  np.testing.assert_array_equal(embedding(out), -first)


def test_what_lies_beside_the_weights_is_none_of_them(base):
  source, out, config = base
  for name in ('adapter_model.safetensors', 'optimizer.safetensors', 'consolidated.safetensors', 'other.gguf'):
    put(os.path.join(source, name), {'a': np.ones(2, np.float32)} if name.endswith('safetensors') else b'GGUF')
  convert.check_standing(config, 'base', out)
  os.remove(os.path.join(source, 'model.safetensors'))  # to save room
  convert.check_standing(config, 'base', out)


def test_an_import_of_an_earlier_version_notes_no_digest(base):
  source, out, config = base
  path = os.path.join(convert.checkpoint.find(out)[1], 'meta.json')
  meta = json.load(open(path, encoding='utf-8'))
  assert meta.pop('weights')
  put(path, meta)
  negated(source)
  assert not fingerprint.changed(source, os.path.dirname(path))
  convert.check_standing(config, 'base', out)


def test_of_thousands_of_tensors_some_are_looked_at(tmp_path, monkeypatch):
  file = os.path.join(publish(tmp_path / 'base'), 'model.safetensors')
  count = len(weights_of(LLAMA))
  whole = fingerprint._places(file, os.path.getsize(file), 1)
  monkeypatch.setattr(fingerprint, '_TENSORS', 8)
  some, of_several = (fingerprint._places(file, os.path.getsize(file), files) for files in (1, 4))
  assert len(whole) == 1 + 2 * count and 1 + 2 * 4 <= len(some) <= 1 + 2 * 8 and 3 <= len(of_several) < len(some)
  assert set(of_several) < set(whole) and set(some) < set(whole)


def test_a_change_of_one_tensor_is_noticed(tmp_path):
  """As of adapters on the queries alone that were merged."""
  facts = LLAMA | dict(hidden_size=64, intermediate_size=96)
  weights = weights_of(facts)
  source = publish(tmp_path / 'base', facts, weights=weights)
  before = fingerprint.of(source)
  for name in ('model.layers.1.self_attn.q_proj.weight', 'model.norm.weight'):
    put(os.path.join(source, 'model.safetensors'), weights | {name: weights[name] * 1.5})
    assert fingerprint.of(source) != before, name


@pytest.mark.parametrize('name', ['model.safetensors', 'model-00001-of-00001.safetensors'])
def test_nothing_is_written_over_a_model(tmp_path, capsys, name):
  source = publish(tmp_path / 'base', files={'model.safetensors': GONE, name: weights_of(LLAMA)})
  before = sorted((p, os.stat(os.path.join(source, p)).st_mtime_ns) for p in os.listdir(source))
  assert convert_main.main(['', 'import', f'--source={source}', f'--out={source}']) == 2
  assert f'--out={source} holds a model ({name} is there)' in capsys.readouterr().err
  for check in (lambda: workdir.check(source, {'name': 'x'}), lambda: workdir.made(source).__enter__()):
    with pytest.raises(UserError, match=r'--workdir=.* holds a model \(.* take another directory'):
      check()
  assert before == sorted((p, os.stat(os.path.join(source, p)).st_mtime_ns) for p in os.listdir(source))
  put(os.path.join(source, 'pipeline.json'), {'stages': []})  # a run, in which somebody keeps weights as well
  workdir.check(source, {'name': 'x'})


@pytest.mark.parametrize('beside, left', [
    ({'adapter_model.safetensors': {'a': np.ones(2, np.float32)}}, 'adapter_model.safetensors'),
    ({'consolidated.safetensors': {'a': np.ones(2, np.float32)}}, 'consolidated.safetensors'),
])
def test_weights_that_are_not_read_are_named(tmp_path, caplog, beside, left):
  convert.open_source(publish(tmp_path / 'base', files=beside))
  assert f'model.safetensors is read, not {left}' in caplog.text
  caplog.clear()
  parts = published_test.shards(weights_of(LLAMA), 2)
  convert.open_source(publish(tmp_path / 'two', files=parts | {'model.safetensors': weights_of(LLAMA)}))
  assert 'the 2 files from model-00001-of-00002.safetensors on are read, not model.safetensors' in caplog.text
  caplog.clear()
  convert.open_source(publish(tmp_path / 'alone'))
  assert 'read, not' not in caplog.text


NEXT = max(json.loads(published_test.byte_level())['model']['vocab'].values()) + 1
TOOL = {'content': '<|tool|>', 'special': True, 'normalized': False}


@pytest.mark.parametrize('files', [
    {'added_tokens.json': {'<|tool|>': NEXT, '<think>': TOKENS.index('<think>')}},
    {'tokenizer_config.json': {'eos_token': '<|endoftext|>', 'added_tokens_decoder': {
        str(NEXT): TOOL, str(TOKENS.index('<think>')): {'content': '<think>'}}}}])
def test_tokens_that_stand_beside_a_tokenizer_are_added(tmp_path, caplog, files):
  caplog.set_level('INFO', 'r1jax')
  convert.looked_at(publish(tmp_path / 'base', files=files))[2].write(str(tmp_path))
  found = Tokenizer(str(tmp_path))
  assert found.find('<|tool|>') == NEXT and found.encode('hell<|tool|>')[-1] == NEXT
  assert '1 tokens that tokenizer.json has not are added' in caplog.text


@pytest.mark.parametrize('files, left', [
    ({'added_tokens.json': {'<|pad|>': published_test.ROWS}}, f'<|pad|> ({published_test.ROWS})'),  # no row for it
    ({'added_tokens.json': {'<|tool|>': NEXT + 1}}, f'<|tool|> ({NEXT + 1})'),  # a gap
    ({'added_tokens.json': {'<|tool|>': 5}}, '<|tool|> (5)'),
    ({'added_tokens.json': {'<|tool|>': NEXT}, 'tokenizer_config.json': {'eos_token': '<|endoftext|>',
                                                                        'added_tokens_decoder': {}}}, '')])
def test_tokens_that_cannot_be_added_are_left_out_with_a_warning(tmp_path, caplog, files, left):
  convert.looked_at(publish(tmp_path / 'base', files=files))[2].write(str(tmp_path))
  assert Tokenizer(str(tmp_path)).find(next(iter(files['added_tokens.json']))) is None
  assert (f'left out, as their ids are not the next ones or the model has no rows for them ({published_test.ROWS}): {left}'
          in caplog.text) == bool(left)


@pytest.mark.parametrize('decoder', [['<|tool|>'], {'x': {'content': 'a'}}, {'1': 'a'}, {'1': {}}])
def test_what_is_no_list_of_tokens_is_refused(tmp_path, decoder):
  with pytest.raises(UserError, match='has no tokens by their ids: put it right'):
    convert.looked_at(publish(tmp_path / 'base', files={'tokenizer_config.json': {
        'eos_token': '<|endoftext|>', 'added_tokens_decoder': decoder}}))


def test_an_end_that_no_token_is_is_said(tmp_path, caplog):
  convert.looked_at(publish(tmp_path / 'base', files={'generation_config.json': {'eos_token_id': NEXT + 1}}))
  assert f'eos_token_id={NEXT + 1} is the id of no token' in caplog.text


def test_of_several_chat_templates_the_one_that_is_taken_is_said(tmp_path, caplog):
  names = {'eos_token': '<|endoftext|>', 'chat_template': [{'name': 'tool_use', 'template': 'TOOL'},
                                                           {'name': 'rag', 'template': 'RAG'}]}
  convert.looked_at(publish(tmp_path / 'base', files={'tokenizer_config.json': names}))
  assert 'chat templates tool_use, rag, none of them named default: tool_use is taken' in caplog.text


def test_a_prompt_is_the_same_on_every_day(tmp_path, monkeypatch, caplog):
  """Else a run that is resumed the next day trains on other prompts."""
  caplog.set_level('INFO', 'r1jax')
  text = '{% if strftime_now is defined %}{{ strftime_now("%d %b %Y") }}{% else %}26 Jul 2024{% endif %}' + CHATML
  convert.looked_at(publish(tmp_path / 'base', files={'chat_template.jinja': text}))[2].write(str(tmp_path))
  assert chat.render(Tokenizer(str(tmp_path)), 'hi').startswith('26 Jul 2024<|im_start|>user')
  assert "asks for today's date: it is told 26 Jul 2024 on every day" in caplog.text
  exported, _ = chat_template.of(Tokenizer(str(tmp_path)), None)
  assert 'strftime_now' not in exported and exported.startswith("{% if true %}{{ '26 Jul 2024' }}{% else %}")


def test_an_instruct_model_is_evaluated_by_its_own_template(tmp_path, caplog):
  """As serve and r1jax.load ask it; what was trained here as it was trained, and as told where that is said."""
  caplog.set_level('INFO', 'r1jax')
  convert.looked_at(publish(tmp_path / 'chat', files={'chat_template.jinja': CHATML}))[2].write(str(tmp_path))
  asked = lambda template, foreign=True: evaluate._asked(
      types.SimpleNamespace(template=template, samples=1), 'q', [], 'r1_zero', Tokenizer(str(tmp_path)), str(tmp_path),
      foreign=foreign).template
  assert asked('') == 'chat'
  assert "q: template 'chat', the tokenizer's own; --template=r1_zero for the task's" in caplog.text
  assert asked('r1') == 'r1'
  assert asked('', foreign=False) == 'r1_zero'  # beside what is trained from it
  assert "q: template 'r1_zero', the task's; --template=chat for the tokenizer's own" in caplog.text
  common.save_model(str(tmp_path), convert.zoo.build(convert.zoo.get('nano')), Tokenizer(str(tmp_path)),
                    prompt={'template': 'plain'})
  assert asked('') == 'plain'


@pytest.mark.parametrize('name', ['generation_config.json', 'tokenizer_config.json', 'chat_template.jinja'])
def test_what_a_cache_has_not_got_beside_the_weights_is_fetched(server, model, name, caplog):
  """Left so by a program that wanted weights alone: an answer's end and the chat template would be guessed."""
  caplog.set_level('INFO', 'r1jax')
  files = {**model, 'generation_config.json': b'{"eos_token_id": [2, 0]}', 'chat_template.jinja': CHATML.encode(),
           'tokenizer_config.json': b'{}'}
  server.repositories['me/tiny'][hub_test.NEW] = files
  snapshot = hub_test.cached(str(server.cache), 'me/tiny', {k: v for k, v in files.items() if k != name})
  convert.find.local('hf:me/tiny')
  assert f'{name} was not in the hub cache: downloaded' in caplog.text and os.path.exists(os.path.join(snapshot, name))
  server.asked.clear()
  convert.find.local('hf:me/tiny')
  assert not server.asked


@pytest.mark.parametrize('why', ['gone', 'gated', 'no such repository', 'offline'])
def test_what_a_cache_has_not_got_is_said_where_the_hub_says_nothing(server, model, caplog, why):
  """And the model is taken as it lies there, without waiting long."""
  name = 'me/gated' if why == 'gated' else 'me/lost' if why == 'no such repository' else 'me/tiny'
  files = {k: v for k, v in model.items() if k != 'generation_config.json'}
  names = json.dumps({'eos_token': '<|endoftext|>', 'chat_template': CHATML}).encode()
  hub_test.cached(str(server.cache), name, {**files, 'tokenizer_config.json': names})
  if why == 'gone':
    server.shutdown()
    server.server_close()
  if why == 'offline':
    hub_test.constants.HF_HUB_OFFLINE = True  # the fixture puts it back
  begun = time.monotonic()
  for _ in range(2):
    convert.find.local(f'hf:{name}')
  said = [record.message for record in caplog.records if 'the hub cache is without' in record.message]
  assert time.monotonic() - begun < 10 and len(said) == 1, said
  assert 'without generation_config.json, and the hub says nothing of it' in said[0]


def test_what_the_hub_has_not_got_either_is_asked_once(server, model):
  files = {k: v for k, v in model.items() if k not in ('generation_config.json', 'chat_template.jinja')}
  server.repositories['me/tiny'][hub_test.NEW] = files
  hub_test.cached(str(server.cache), 'me/tiny', files)
  convert.find.local('hf:me/tiny')
  assert len(server.asked) == 1
  server.asked.clear()
  convert.find.local('hf:me/tiny')
  assert not server.asked
