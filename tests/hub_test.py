"""Weights by name: an endpoint of this machine in the hub's place, and its cache laid out by hand. No network."""

import hashlib
import http.server
import contextlib
import json
import types
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib

import pytest

from r1jax import convert
from r1jax import evaluate
from r1jax import paths
from r1jax.convert import __main__ as convert_main
from r1jax.convert import find, hub
from r1jax.exceptions import UserError
from r1jax.rehearse import inputs
from r1jax.stages import common

huggingface_hub = pytest.importorskip('huggingface_hub', reason="weights by name need the extra 'hub'")
constants = pytest.importorskip('huggingface_hub.constants')

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLD, NEW = 'a' * 40, 'b' * 40
GATE = {'gated': 'me/gated', 'forbidden': 'me/forbidden'}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  """Files of a tiny Qwen3 in two shards, as a repository of the hub holds them: name -> bytes."""
  work = tmp_path_factory.mktemp('model')
  directory = inputs.publish(str(work / 'base'), str(work), 'nano-qwen3')
  return {name: open(os.path.join(directory, name), 'rb').read() for name in os.listdir(directory)}


class Hub(http.server.ThreadingHTTPServer):
  """The routes that huggingface_hub asks for a download: revision, tree, resolve by HEAD and by GET with ranges; what
  is large is redirected, as to a CDN."""

  def __init__(self, files):
    super().__init__(('127.0.0.1', 0), Handler)
    self.repositories = {'me/tiny': {NEW: files}}
    self.main = {'me/tiny': NEW}
    self.asked, self.cut = [], None  # (method, path, range); name of a file that breaks off in the middle
    self.sizes = {}  # of files, that are otherwise than they are
    self.tokens, self.held = set(), None  # held: an event, until which what is large is kept back
    self.url = f'http://127.0.0.1:{self.server_port}'
    threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *args):
    pass

  def say(self, code, body=b'', **headers):
    body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    self.send_response(code)
    for key, value in {'Content-Length': str(len(body)), **{k.replace('_', '-'): v for k, v in headers.items()}}.items():
      self.send_header(key, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(body)

  def do_HEAD(self):
    self.do_GET()

  def do_GET(self):
    path = urllib.parse.unquote(self.path.partition('?')[0])
    self.server.asked.append((self.command, path, self.headers.get('Range')))
    self.server.tokens.add(self.headers.get('Authorization'))
    name = '/'.join(path.removeprefix('/api/models').removeprefix('/cdn').split('/')[1:3])
    if name in GATE.values() and 'resolve' not in path:  # what a gated one is, all may know
      commits, main = {NEW: dict.fromkeys(('config.json', 'generation_config.json', 'model.safetensors'), b'{}')}, NEW
    elif name in GATE.values():
      code, kind = (401, 'GatedRepo') if name == GATE['gated'] else (403, '')
      return self.say(code, {'error': 'no'}, **({'X_Error_Code': kind} if kind else {}))
    elif name not in self.server.repositories:
      return self.say(404, {'error': 'Repository not found'}, X_Error_Code='RepoNotFound')
    else:
      commits, main = self.server.repositories[name], self.server.main[name]
    if path.startswith('/api/models'):
      kind, revision = (path.split('/')[5:7] + ['main'])[:2] if path.count('/') > 4 else ('revision', 'main')
    else:
      kind, revision = path.removeprefix('/cdn').split('/')[3:5]
    commit = main if revision == 'main' else revision
    if commit not in commits:
      return self.say(404, {'error': 'Revision not found'}, X_Error_Code='RevisionNotFound')
    files = commits[commit]
    if kind == 'revision':
      listed = [{'rfilename': f, 'size': self.server.sizes.get(f, len(data))} for f, data in files.items()]
      return self.say(200, {'id': name, 'modelId': name, 'sha': commit, 'siblings': listed,
                            'tags': [], 'private': False, 'downloads': 0, 'likes': 0})
    if kind == 'tree':
      return self.say(200, [{'type': 'file', 'path': f, 'size': len(data), 'oid': etag(data)}
                            for f, data in files.items()])
    file = path.removeprefix('/cdn').split('/', 5)[5]
    if file not in files:
      return self.say(404, b'', X_Error_Code='EntryNotFound', X_Repo_Commit=commit)
    data = files[file]
    facts = {'X_Repo_Commit': commit, 'ETag': f'"{etag(data)}"', 'Accept_Ranges': 'bytes'}
    if file.endswith('.safetensors') and not path.startswith('/cdn'):
      return self.say(302, b'', Location=f'{self.server.url}/cdn{path}', X_Linked_Size=str(len(data)),
                      X_Linked_ETag=f'"{etag(data)}"', **facts)
    if path.startswith('/cdn') and self.command == 'GET' and self.server.held:
      self.server.held.wait(60)
    start = int(re.match(r'bytes=(\d+)-', self.headers.get('Range') or 'bytes=0-')[1])
    part = data[start:]
    if file == self.server.cut and self.command == 'GET':
      self.server.cut = None
      self.send_response(200)
      self.send_header('Content-Length', str(len(part)))
      self.end_headers()
      self.wfile.write(part[:len(part) // 2])
      self.close_connection = True
      return None
    if start:
      return self.say(206, part, Content_Range=f'bytes {start}-{len(data) - 1}/{len(data)}', **facts)
    return self.say(200, part, **facts)


def etag(data):
  return hashlib.sha1(data).hexdigest()


@pytest.fixture
def server(model, tmp_path, monkeypatch):
  """The endpoint, with an empty cache that is used with it."""
  hub_ = Hub(dict(model))
  cache = tmp_path / 'cache'
  for name, value in (('ENDPOINT', hub_.url), ('HF_HUB_CACHE', str(cache)), ('HF_HUB_OFFLINE', False),
                      ('HUGGINGFACE_CO_URL_TEMPLATE', hub_.url + '/{repo_id}/resolve/{revision}/{filename}'),
                      ('HF_HUB_DISABLE_PROGRESS_BARS', True)):
    monkeypatch.setattr(constants, name, value)
  for name, value in (('HF_ENDPOINT', hub_.url), ('HF_HUB_CACHE', str(cache)), ('HF_HUB_DISABLE_PROGRESS_BARS', '1'),
                      ('HF_HUB_DISABLE_TELEMETRY', '1'), ('HF_HOME', str(tmp_path / 'home'))):
    monkeypatch.setenv(name, value)
  monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)
  hub_.cache = cache
  yield hub_
  hub_.shutdown()
  hub_.server_close()


def imported(out):
  model_, _, _ = common.load_model(str(out))
  return model_.config, common.origin(str(out))


def test_a_name_is_downloaded_and_then_needs_no_hub(server, tmp_path):
  assert convert_main.main(['', 'import', '--source=hf:me/tiny', f'--out={tmp_path / "one"}']) == 0
  config, origin = imported(tmp_path / 'one')
  assert config.qk_norm and config.layers == 2
  assert origin['hub'] == 'me/tiny' and origin['commit'] == NEW and origin['source'] == 'hf:me/tiny'
  assert sum(path.startswith('/cdn') and method == 'GET' for method, path, _ in server.asked) == 2
  server.shutdown()
  server.asked.clear()
  assert convert_main.main(['', 'import', '--source=me/tiny', f'--out={tmp_path / "two"}']) == 0
  assert convert_main.main(['', 'import', f'--source=hf:me/tiny@{NEW}', f'--out={tmp_path / "three"}']) == 0
  assert not server.asked and imported(tmp_path / 'two')[0] == config


@pytest.mark.parametrize('source, words', [
    ('hf:me/gated', ['hf:me/gated is gated', 'hf auth login', '/me/gated']),
    ('hf:me/forbidden', ['hf:me/forbidden is gated', 'hf auth login']),
    ('hf:me/nobody', ['no model me/nobody', 'spelling', 'private']),
    ('hf:me/tiny@v9', ["has no revision 'v9'"]),
    ('hf:me/tiny/none.gguf', ['has no file none.gguf', '/me/tiny/tree/main']),
    ('hf:tiny', ['wants hf:OWNER/NAME']),
    ('hf:', ['wants hf:OWNER/NAME']),
])
def test_what_the_hub_refuses_is_one_line(server, tmp_path, capsys, source, words):
  out = tmp_path / 'out'
  assert convert_main.main(['', 'import', f'--source={source}', f'--out={out}']) == 2
  *before, said = capsys.readouterr().err.splitlines()  # of a gated one, that it is downloaded
  assert said.startswith('r1jax: ') and all(word in said for word in words), said
  assert len(before) <= ('gated' in words[0]) and 'Traceback' not in ''.join(before)
  assert not out.exists() and os.listdir(tmp_path) in (['cache'], [])


def test_no_network_is_one_line_of_the_command_itself(server, tmp_path):
  server.shutdown()
  server.server_close()
  done = subprocess.run([sys.executable, '-m', 'r1jax', 'convert', 'import', '--source=hf:me/tiny', '--out=out'],
                        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, 'PYTHONPATH': ROOT})
  assert done.returncode == 2, done.stderr
  said = [line for line in done.stderr.splitlines() if line.startswith('r1jax: ')]
  assert len(said) == 1 and 'cannot be downloaded' in said[0] and 'hf download me/tiny' in said[0], done.stderr
  assert 'Traceback' not in done.stderr and not os.path.exists(tmp_path / 'out')


def test_a_download_that_broke_off_is_gone_on_with(server, tmp_path, monkeypatch):
  """The connection breaks in the middle of a file: the rest of it is asked for, by the same start or the next one."""
  monkeypatch.setattr(constants, 'DOWNLOAD_CHUNK_SIZE', 1000)  # what is whole of these is kept; else 10 MB
  server.cut = file = 'model-00002-of-00002.safetensors'
  try:
    convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  except UserError as e:
    assert 'cannot be downloaded' in str(e) and not os.path.exists(tmp_path / 'out')
    convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  assert server.cut is None and imported(tmp_path / 'out')[1]['commit'] == NEW
  ranges = [range_ for method, path, range_ in server.asked if method == 'GET' and path.endswith(file) and '/cdn' in path]
  assert ranges[0] is None and int(re.match(r'bytes=(\d+)-', ranges[1])[1]) > 50000 and len(ranges) == 2, ranges


def test_a_download_ends_when_the_run_is_asked_to_stop(server, tmp_path, monkeypatch):
  """Whatever its threads wait for; the next start goes on with what is there."""
  server.held, asked = threading.Event(), server.asked
  program = ('import sys\nfrom r1jax import errors, convert\nfrom r1jax.convert import hub\nerrors.stop_on_signals()\n'
             'sys.exit(errors.run(lambda: hub.fetched(hub.named("hf:me/tiny")) and 0))\n')
  process = subprocess.Popen([sys.executable, '-c', program], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, 'PYTHONPATH': ROOT})
  end = time.monotonic() + 60
  while not any(method == 'GET' and path.startswith('/cdn') for method, path, _ in asked) and time.monotonic() < end:
    time.sleep(0.05)
  process.terminate()
  begun = time.monotonic()
  said = process.communicate(timeout=20)[1]
  server.held.set()
  assert process.returncode == 143 and time.monotonic() - begun < 10, said
  assert said.splitlines()[-1] == ('r1jax: stopped while hf:me/tiny was downloaded; the same command goes on with what '
                                   'is there')
  assert not (tmp_path / 'out').exists()
  convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))


def test_a_restart_takes_the_commit_that_the_work_dir_began_with(server, model, tmp_path, monkeypatch):
  out = tmp_path / '1_base'
  out.mkdir()
  monkeypatch.setattr(convert.checkpoint, 'save_params', lambda *args: (_ for _ in ()).throw(OSError('killed')))
  with pytest.raises(OSError, match='killed'):
    convert.import_model('hf:me/tiny', out=str(out))
  monkeypatch.undo()
  later = json.loads(model['config.json']) | {'rope_theta': 12345.0}
  server.repositories['me/tiny'][OLD] = {**model, 'config.json': json.dumps(later).encode()}
  server.main['me/tiny'] = OLD
  with open(server.cache / 'models--me--tiny' / 'refs' / 'main', 'w', encoding='utf-8') as f:
    f.write(OLD)
  for name, value in (('ENDPOINT', server.url), ('HF_HUB_CACHE', str(server.cache)), ('HF_HUB_OFFLINE', False)):
    monkeypatch.setattr(constants, name, value)
  convert.import_model('hf:me/tiny', out=str(out))
  assert imported(out)[1]['commit'] == NEW and imported(out)[0].rope_theta != 12345.0


def cached(cache, name, files, revision=NEW, main=NEW, left_out=()):
  """A hub's cache by hand: blobs, a snapshot of links to them, refs; what is left out has no blob."""
  place = os.path.join(cache, 'models--' + name.replace('/', '--'))
  snapshot = os.path.join(place, 'snapshots', revision)
  for directory in (os.path.join(place, 'blobs'), snapshot, os.path.join(place, 'refs')):
    os.makedirs(directory, exist_ok=True)
  for file, data in files.items():
    if file in left_out:
      continue
    with open(os.path.join(place, 'blobs', etag(data)), 'wb') as f:
      f.write(data)
    os.symlink(os.path.join('..', '..', 'blobs', etag(data)), os.path.join(snapshot, file))
  with open(os.path.join(place, 'refs', 'main'), 'w', encoding='utf-8') as f:
    f.write(main)
  return snapshot


def test_what_a_cache_lacks_is_fetched_and_nothing_else(server, model, tmp_path):
  cached(server.cache, 'me/tiny', model, left_out=('model-00002-of-00002.safetensors', 'tokenizer.json'))
  convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  fetched = {os.path.basename(path) for method, path, _ in server.asked if method == 'GET' and 'resolve' in path}
  assert fetched == {'model-00002-of-00002.safetensors', 'tokenizer.json'}


def test_what_a_cache_lacks_is_named_offline(server, model, tmp_path):
  cached(server.cache, 'me/tiny', model, left_out=('model-00002-of-00002.safetensors',))
  server.shutdown()
  server.server_close()
  with pytest.raises(UserError, match='model-00002-of-00002.safetensors, which is not there.* and cannot be downloaded'):
    convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))


def of_config(**facts):
  return lambda files: {**files, 'config.json': json.dumps(json.loads(files['config.json']) | facts).encode()}


def without(name, **more):
  return lambda files: {k: data for k, data in {**files, **more}.items() if k != name}


@pytest.mark.parametrize('change, given, words', [
    (of_config(model_type='gemma2'), {}, "model_type='gemma2'"),
    (of_config(quantization_config={'quant_method': 'bitsandbytes'}), {}, "quant_method='bitsandbytes'"),
    (of_config(eos_token_id=99999), {}, 'eos_token_id=99999'),
    (of_config(), {'model': 'nano-qwen'}, 'is not a nano-qwen'),
    (without('tokenizer.json'), {}, 'no tokenizer.json in'),
    (without('tokenizer.json', **{'tokenizer.model': b'x'}), {}, 'only tokenizer.model: write one'),
    (without('config.json'), {}, 'has no config.json: see'),
    (without('config.json', **{'adapter_config.json': b'{}'}), {}, 'holds an adapter, not a model'),
    (without('config.json'), {'model': 'nano-qwen3'}, 'has no config.json: see'),
    (without('config.json', **{'adapter_config.json': b'{}'}), {'model': 'nano-qwen3'}, 'holds an adapter, not a model'),
    (lambda files: {'a.gguf': b'GGUF'}, {'model': 'nano-qwen3'}, 'holds 1 GGUF files: name one of them'),
    (lambda files: {f'checkpoint-10/{name}': data for name, data in files.items()}, {}, 'has no *.safetensors: see'),
])
def test_no_weight_is_downloaded_of_what_is_refused(server, model, tmp_path, change, given, words):
  server.repositories['me/tiny'][NEW] = {name: data for name, data in change(dict(model)).items()
                                         if not name.startswith('generation')}
  with pytest.raises(UserError) as e:
    convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'), **given)
  assert words in str(e.value) and '\n' not in str(e.value), e.value
  assert not any(path.endswith('.safetensors') for _, path, _ in server.asked) and not (tmp_path / 'out').exists()


def test_a_gguf_file_in_parts_comes_with_all_of_them(server):
  names = [f'q8-{i:05d}-of-00003.gguf' for i in (1, 2, 3)]
  server.repositories['me/tiny'][NEW] = {name: name.encode() for name in [*names, 'f16.gguf']}
  found = hub.fetched(hub.named(f'hf:me/tiny/{names[1]}'))
  assert os.path.basename(found) == names[1] and sorted(os.listdir(os.path.dirname(found))) == names
  server.repositories['me/tiny'][NEW].pop(names[2])
  os.remove(os.path.join(os.path.dirname(found), names[2]))
  with pytest.raises(UserError, match=f'has no file {names[2]}'):
    hub.fetched(hub.named(f'hf:me/tiny/{names[0]}'))


def test_a_checkpoint_that_is_a_name_of_the_hub_says_how_it_is_written(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for path, said in (('me/tiny', True), ('runs/x/2_rl', False), ('/runs/x', False)):
    with pytest.raises(UserError) as e:
      common.load_model(path)
    assert (f'a model of the hub is hf:{path}' in str(e.value)) == said


def test_folders_of_a_repository_are_left_there(server, model, tmp_path):
  server.repositories['me/tiny'][NEW] = {**model, 'checkpoint-10/model.safetensors': b'x', 'onnx/config.json': b'{}'}
  convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  assert not any('checkpoint-10' in path or 'onnx' in path for _, path, _ in server.asked)


def test_a_cache_without_room_is_one_line_before_a_weight(server, tmp_path):
  server.sizes['model-00002-of-00002.safetensors'] = 1 << 60
  with pytest.raises(UserError, match=r'needs 1073741824.0 GiB in the hub.s cache .*/cache, .* HF_HOME=DIR'):
    convert.import_model('hf:me/tiny', out=str(tmp_path / 'out'))
  assert not any(path.endswith('.safetensors') for _, path, _ in server.asked)


@pytest.mark.parametrize('held, fits', [([], False), (['sha'], True), (['git'], True), (['sha', 'git'], True)])
def test_what_is_in_the_cache_needs_no_room(tmp_path, monkeypatch, held, fits):
  """The model's folder in the cache is a link to another disk, and one of two files lies there, of another revision."""
  huggingface_hub = pytest.importorskip('huggingface_hub')
  monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
  (tmp_path / 'cache').mkdir()
  (tmp_path / 'large' / 'blobs').mkdir(parents=True)
  (tmp_path / 'cache' / 'models--me--tiny').symlink_to(tmp_path / 'large')
  for name in held:
    (tmp_path / 'large' / 'blobs' / name).write_bytes(b'')
  free = {str(tmp_path / 'cache' / 'models--me--tiny' / 'blobs'): 150}
  monkeypatch.setattr(hub.shutil, 'disk_usage', lambda path: types.SimpleNamespace(free=free.get(path, 0)))
  files = [types.SimpleNamespace(size=100, lfs=types.SimpleNamespace(sha256='sha'), blob_id='x'),
           types.SimpleNamespace(size=100, lfs=None, blob_id='git')]
  with contextlib.nullcontext() if fits else pytest.raises(UserError, match='are free there'):
    hub._room(huggingface_hub, hub.named('hf:me/tiny'), files)


def test_the_login_is_that_of_the_hub(server, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'hf_mine')
  convert.sizes_alone('hf:me/tiny')
  assert 'Bearer hf_mine' in server.tokens  # beside what huggingface_hub asks once a day of nobody in particular


def test_sizes_are_told_without_a_weight(server, model):
  config = convert.sizes_alone('hf:me/tiny')
  assert config.qk_norm and config.layers == 2 and not any('safetensors' in path for _, path, _ in server.asked)
  with pytest.raises(UserError, match='is not a nano-qwen: it has qkv_bias=False'):
    convert.sizes_alone('hf:me/tiny', 'nano-qwen')
  with pytest.raises(UserError, match='no model me/nobody'):
    convert.sizes_alone('hf:me/nobody')


def test_a_repository_of_other_files_says_of_which(server, tmp_path):
  server.repositories['me/gguf'], server.main['me/gguf'] = {NEW: {'a-q8_0.gguf': b'GGUF', 'b-f16.gguf': b'GGUF'}}, NEW
  with pytest.raises(UserError, match='holds 2 GGUF files: name one of them, hf:me/gguf/a-q8_0.gguf'):
    convert.import_model('hf:me/gguf', out=str(tmp_path / 'out'))
  server.repositories['me/bin'], server.main['me/bin'] = {NEW: {'config.json': b'{}', 'pytorch_model.bin': b''}}, NEW
  with pytest.raises(UserError, match='no .*safetensors, only .*bin, which may run code'):
    convert.import_model('hf:me/bin', out=str(tmp_path / 'out'))
  with pytest.raises(UserError, match='a-q8_0.gguf cannot be read as GGUF'):
    convert.import_model('hf:me/gguf/a-q8_0.gguf', out=str(tmp_path / 'out'))


def test_an_evaluation_and_an_export_take_a_name(server, model, tmp_path, monkeypatch, capsys):
  questions = tmp_path / 'q.jsonl'
  questions.write_text('{"question": "1 + 1 =", "answer": "2", "answer_type": "int"}\n' * 2)
  args = ['', '--checkpoint=hf:me/tiny', f'--tasks=jsonl:{questions}', f'--workdir={tmp_path / "e"}', '--samples=2',
          '--max_tokens=4', '--max_prompt=200', '--template=plain']
  assert evaluate.main(args) == 0
  asked = len(server.asked)
  where = tmp_path / 'e' / 'imported' / 'me--tiny'
  assert imported(where)[1]['commit'] == NEW
  assert evaluate.main(args) == 0 and len(server.asked) == asked  # it stands
  assert json.loads(capsys.readouterr().out.splitlines()[-1])['n_questions'] == 2
  assert convert_main.main(['', 'export', '--checkpoint=hf:me/tiny', f'--out={tmp_path / "hf"}']) == 0
  assert (tmp_path / 'hf' / 'README.md').read_text().count('base_model: me/tiny') == 1
  assert sorted(os.listdir(tmp_path)) == ['cache', 'e', 'hf', 'q.jsonl']


@pytest.mark.parametrize('source, wanted', [
    ('hf:Qwen/Qwen2.5-1.5B', hub.Named('Qwen/Qwen2.5-1.5B')),
    ('Qwen/Qwen2.5-1.5B@main', hub.Named('Qwen/Qwen2.5-1.5B', revision='main')),
    ('hf:a/b@refs/pr/3', hub.Named('a/b', revision='refs/pr/3')),
    ('hf:Qwen/Qwen2.5-0.5B-GGUF/q8_0.gguf', hub.Named('Qwen/Qwen2.5-0.5B-GGUF', 'q8_0.gguf')),
    ('hf:a/b/sub/x.gguf@v1', hub.Named('a/b', 'sub/x.gguf', 'v1')),
    ('hf://a/b', None), ('a', None), ('/a/b', None), ('../a/b', None), ('a/b/c', None), ('~/a', None)])
def test_names_of_the_hub(source, wanted):
  assert hub.named(source) == wanted
  if wanted:
    assert hub.named(wanted.text) == wanted


def test_a_path_with_a_mistake_is_no_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert not paths.is_foreign('runs/r1_zero') and paths.is_foreign('hf:runs/r1_zero')


def test_without_its_package_a_name_is_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(UserError, match=r"pip install 'r1jax\[hub\]'"):
    find.local('hf:me/tiny')


def test_two_commits_of_two_hosts_are_refused(monkeypatch):
  numbers = {'min': iter([int(NEW[:7], 16), -int(NEW[:7], 16) - 1])}
  monkeypatch.setattr(convert.mesh_lib, 'min_over_hosts', lambda value: next(numbers['min']))
  with pytest.raises(UserError, match=f'hf:me/tiny@{NEW}'):
    convert._one_commit('me/tiny', NEW)  # pylint: disable=protected-access


@pytest.mark.parametrize('me', [0, 1])
def test_the_first_host_looks_before_the_others(monkeypatch, me):
  """So what it downloads is there for who shares its cache; what it refuses all refuse."""
  order = []
  monkeypatch.setattr(common.mesh_lib, 'processes', lambda: 2)
  monkeypatch.setattr(common.mesh_lib, 'first_process', lambda: me == 0)
  said = {0: ['', None]}
  monkeypatch.setattr(common.mesh_lib, 'from_first', lambda data: (
      order.append('met'), data or zlib.compress(json.dumps(said[0]).encode()))[1])
  look = lambda: order.append('looked') or 'models'
  assert common.in_turn(look) == 'models'
  assert order == (['looked', 'met'] if me == 0 else ['met', 'looked'])
  said[0], order[:] = ['the first host has no way to the hub', None], []

  def refused():
    order.append('looked')
    raise UserError('the first host has no way to the hub')

  with pytest.raises(UserError, match='has no way'):
    common.in_turn(refused)
  assert order == (['looked', 'met'] if me == 0 else ['met'])
