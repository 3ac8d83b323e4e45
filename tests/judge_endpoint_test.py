"""A judge behind an endpoint that fails in every way; what it answered is paid for once, whoever is killed."""

import email.utils
import http.server
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from r1jax.exceptions import InputError, RunStopped, UserError
from r1jax.rewards import judge as judge_lib
from r1jax.rewards.judge import endpoint as endpoint_lib

URL = 'http://127.0.0.1:{}/v1'


class Handler(http.server.BaseHTTPRequestHandler):
  """Says what server.faults hold, first things first, and then an echo of the prompt."""

  def do_POST(self):
    body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    prompt = body['messages'][0]['content']
    with self.server.lock:
      self.server.asked.append(prompt)
      self.server.headers.append(dict(self.headers))
      fault = self.server.faults.pop(0) if self.server.faults else None
    if fault is not None:
      return fault(self)
    if self.server.seconds:
      time.sleep(self.server.seconds)
    self.whole(prompt)
    return None

  def do_GET(self):
    self.server.headers.append(dict(self.headers))
    self.send(200, json.dumps({'data': [{'id': 'v3'}]}).encode())

  def whole(self, reply):
    self.send(200, json.dumps({'choices': [{'message': {'content': reply}}], **self.server.more}).encode())

  def send(self, status, body=b'', length=None, **headers):
    self.send_response(status)
    for name, value in {'Content-Length': len(body) if length is None else length, **headers}.items():
      self.send_header(name.replace('_', '-'), str(value))
    self.end_headers()
    self.wfile.write(body)
    self.wfile.flush()

  def log_message(self, *args):
    pass


class Server(http.server.ThreadingHTTPServer):
  request_queue_size = 64

  def handle_error(self, request, client_address):
    pass  # clients that went away


@pytest.fixture
def server():
  made = Server(('127.0.0.1', 0), Handler)
  made.lock, made.asked, made.headers, made.faults, made.seconds = threading.Lock(), [], [], [], 0.0
  made.more = {'usage': {'prompt_tokens': 20, 'completion_tokens': 10}}
  threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
  yield made
  made.shutdown()
  made.server_close()


def ask(server, **given):
  return endpoint_lib.Endpoint(URL.format(server.server_port), 'v3', **{'wait': 0.01, 'timeout': 5.0, **given})


def status(number, body=b'{"error": {"message": "so it is", "code": "why"}}', **headers):
  return lambda handler: handler.send(number, body, **headers)


def body(text):
  return lambda handler: handler.send(200, text)


def trickle(handler):
  handler.send(200, b'{', length=100)
  for _ in range(20):
    time.sleep(0.05)
    handler.wfile.write(b' ')
    handler.wfile.flush()


def cut(handler):
  handler.send(200, b'{"choices": [{"message"', length=100)


def gone(handler):
  handler.close_connection = True


@pytest.mark.parametrize('fault', [
    status(429), status(429, Retry_After='0'), status(500), status(503, b'<html>'), status(408), cut, gone,
    body(b'no json'), body(b'\xff\xfe'), body(b'null'), body(b'[]'), body(b'{"choices": []}'),
    body(b'{"error": {"message": "overloaded"}}'), body(b'{"choices": [{"message": {"content": ["a"]}}]}'),
    lambda handler: time.sleep(0.6), trickle,
], ids='429 429-at-once 500 503 408 cut gone text bytes null list none error parts slow trickle'.split())
def test_what_may_pass_is_asked_again(server, fault):
  server.faults = [fault, fault]
  assert ask(server, timeout=0.3)(['hello']) == ['hello'] and server.asked == ['hello'] * 3
  server.faults = [fault] * 2
  with pytest.raises(UserError, match='does not answer .*start it') as error:
    ask(server, timeout=0.3, tries=2)(['hello', 'others are not asked then'])
  assert '\n' not in str(error.value) and server.asked[3:] == ['hello'] * 2


@pytest.mark.parametrize('number, said', [
    (400, '400: why so it is'), (401, r'R1JAX_JUDGE_KEY'), (403, 'R1JAX_JUDGE_KEY'), (404, 'judge.model'), (422, '422'),
    (302, '302')])
def test_a_refusal_is_an_error_at_once(server, number, said):
  server.faults = [status(number, Location=URL.format(server.server_port))]
  with pytest.raises(UserError, match=said) as error:
    ask(server)(['hello', 'again'])
  assert '\n' not in str(error.value) and len(server.asked) == 1


def test_a_prompt_longer_than_the_model_reads_has_no_reply_and_the_others_have(server):
  long = b'{"error": {"message": "This model\'s maximum context length is 8 tokens", "code": null}}'
  server.faults = [status(400, long)]
  assert ask(server)(['long', 'short']) == ['', 'short']


def test_retry_after_is_waited_for_by_all(server, monkeypatch):
  waited = []
  # Its own name for the module: threads of others sleep too.
  monkeypatch.setattr(endpoint_lib, 'time', types.SimpleNamespace(**{**vars(time), 'sleep': waited.append}))
  server.faults = [status(429, Retry_After='7')]
  asking = ask(server)
  assert asking(['hello']) == ['hello'] and waited[0] == 7 and 6 < waited[1] <= 7
  del waited[:]
  asking(['another'])  # this one was told nothing, but does not press either
  assert len(waited) == 1 and 6 < waited[0] <= 7
  del waited[:]
  server.faults = [status(503, Retry_After=email.utils.formatdate(time.time() + 30, usegmt=True)), status(429)]
  assert ask(server)(['hello']) == ['hello'] and 28 < waited[0] <= 30 and 0.04 in waited
  server.faults = [status(429, Retry_After='86400')]
  with pytest.raises(UserError, match='asks to wait for 86400 s'):
    ask(server)(['hello'])


def test_many_at_once_through_faults_each_with_its_own_reply(server):
  server.faults = [None] + 9 * [status(500), status(429), cut, body(b'?'), status(503), gone]
  prompts = [f'prompt {i % 50}' for i in range(100)]
  asking = ask(server, parallel=8, tries=60, wait=0.0)
  assert asking(prompts) == prompts
  assert len(server.asked) == 50 + 54 and asking.answers.calls == 50 + 9 + 9  # equal ones once; garbage is paid for
  assert all('Authorization' not in headers for headers in server.headers)


def test_a_key_goes_along_and_never_into_a_message(server):
  asking = ask(server, key='secret\n')
  assert asking(['a']) == ['a'] and server.headers[-1]['Authorization'] == 'Bearer secret'
  server.faults = [status(401)]
  with pytest.raises(UserError) as error:
    asking(['b'])
  assert 'secret' not in str(error.value)
  with pytest.raises(UserError, match='R1JAX_JUDGE_KEY holds characters'):
    ask(server, key='s\nt')


def test_a_lone_surrogate_is_asked_all_the_same(server):
  assert ask(server)(['a \ud800 b']) == ['a ? b']


# --- what was answered


def test_a_restart_asks_nothing_twice(server, tmp_path):
  prompts = [f'{i}\nnew line \u2028' for i in range(12)]
  kept = lambda: judge_lib.Answers(str(tmp_path))
  assert ask(server, answers=kept())(prompts[:8]) == prompts[:8]
  again = ask(server, answers=kept())
  assert again(prompts) == prompts and sorted(server.asked) == sorted(prompts)
  assert again.answers.calls == 12 and again.answers.tokens == 12 * 30
  ask(server, answers=kept(), max_tokens=7)(prompts[:1])  # another setting is another question
  assert len(server.asked) == 13


def test_several_starts_at_once_know_of_each_other(server, tmp_path):
  one, other = (ask(server, answers=judge_lib.Answers(str(tmp_path))) for _ in range(2))
  assert one(['a', 'b']) == other(['a', 'b']) == ['a', 'b'] and len(server.asked) == 2
  assert other(['c']) == ['c'] and one(['c', 'a']) == ['c', 'a']
  assert len(server.asked) == 3 and len(list(tmp_path.iterdir())) == 2


def test_half_a_line_is_asked_again_and_what_is_no_line_of_ours_is_left(server, tmp_path):
  ask(server, answers=judge_lib.Answers(str(tmp_path)), parallel=1)(['a', 'b'])
  path = next(tmp_path.iterdir())
  path.write_bytes(path.read_bytes()[:-5])
  (tmp_path / 'other.jsonl').write_bytes(b'{"x": 1}\nnull\n\xff\n')
  asking = ask(server, answers=judge_lib.Answers(str(tmp_path)))
  assert asking(['a', 'b']) == ['a', 'b'] and server.asked == ['a', 'b', 'b'] and asking.answers.calls == 2
  path.unlink()  # under its hands
  assert asking(['a']) == ['a'] and server.asked[-1] == 'a'


def test_a_full_disk_is_one_line(server, tmp_path, monkeypatch):
  asking = ask(server, answers=judge_lib.Answers(str(tmp_path)))
  monkeypatch.setattr(os, 'write', lambda file, data: len(data) // 2)
  with pytest.raises(UserError, match="answers cannot be kept in .*No space"):
    asking(['a'])


CHILD = '''
import sys
from r1jax.rewards import judge
asking = judge.connect({'url': sys.argv[1], 'model': 'v3', 'parallel': 4}, sys.argv[2])
prompts = [f'prompt {i}' for i in range(40)]
assert asking(prompts) == prompts
'''


def start(server, directory):
  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  return subprocess.Popen([sys.executable, '-c', CHILD, URL.format(server.server_port), str(directory)], cwd=root,
                          env={**os.environ, 'PYTHONPATH': root})


def test_killed_in_the_middle_it_asks_only_what_was_not_answered(server, tmp_path):
  server.seconds = 0.02
  for at in (9, 23):  # requests at which it is killed, the second time on its way again
    child, before = start(server, tmp_path), len(server.asked)
    while len(server.asked) - before < at and child.poll() is None:
      time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    if at == 9:
      kept = judge_lib.Answers(str(tmp_path)).calls
      assert 0 < kept <= len(server.asked) < 40
  kept, before = judge_lib.Answers(str(tmp_path)).calls, len(server.asked)
  assert start(server, tmp_path).wait(60) == 0
  assert len(server.asked) - before == 40 - kept
  assert len(server.asked) <= 40 + 2 * 5  # of each kill at most what was under way
  assert start(server, tmp_path).wait(60) == 0 and len(server.asked) - before == 40 - kept


# --- what it may cost


@pytest.mark.parametrize('parallel', [1, 8])
def test_a_limit_on_calls_holds_over_all_starts(server, tmp_path, parallel):
  prompts = [str(i) for i in range(10)]
  for most, asked in ((4, 4), (4, 4), (7, 7), (0, 10)):
    asking = ask(server, parallel=parallel, answers=judge_lib.Answers(str(tmp_path), max_calls=most))
    if most:
      with pytest.raises(RunStopped, match=f'judge.max_calls={most} is reached: what was judged is kept in '):
        asking(prompts)
    else:
      assert asking(prompts) == prompts
    assert len(server.asked) == asked == len(set(server.asked)) == judge_lib.Answers(str(tmp_path)).calls


def test_a_limit_on_tokens(server, tmp_path, caplog):
  asking = ask(server, parallel=1, answers=judge_lib.Answers(str(tmp_path), max_tokens=100))
  with pytest.raises(RunStopped, match='judge.max_tokens_total=100 is reached'):
    asking([str(i) for i in range(10)])
  assert len(server.asked) == 4  # 30 each
  server.more = {}
  guessing = ask(server)
  with caplog.at_level(logging.WARNING, logger='r1jax'):
    guessing(['x' * 40, 'y' * 40])
  assert guessing.answers.tokens == 2 * 20 and caplog.text.count('does not say what its replies cost') == 1


def test_a_run_that_is_to_stop_does_not_wait_for_a_server(server):
  server.seconds, began = 3.0, time.monotonic()

  def stop():
    if server.asked:
      raise KeyError('stop')

  with pytest.raises(KeyError):
    ask(server, stop=stop)(['a', 'b'])
  assert time.monotonic() - began < 2.5


# --- before it works


def test_a_look_at_who_is_there(server):
  ask(server).look()
  with pytest.raises(InputError, match="has no model 'v9', but 'v3'"):
    endpoint_lib.Endpoint(URL.format(server.server_port), 'v9').look()
  with pytest.raises(InputError, match='nobody answers at judge.url=http://127.0.0.1:9/v1'):
    endpoint_lib.Endpoint('http://127.0.0.1:9/v1', 'v3').look()


@pytest.mark.parametrize('given, said', [
    ({'url': 'localhost:8000'}, "judge.url='localhost:8000' is no address"), ({'url': 'ftp://x/v1'}, 'is no address'),
    ({'url': 'http://'}, 'is no address'), ({'url': 'http://x:y/v1'}, 'is no address'),
    ({'url': 'http://x/v1', 'model': ''}, 'needs judge.model'),
    ({'kind': 'model'}, 'needs judge.checkpoint'), ({'kind': 'auto', 'url': 'http://x', 'checkpoint': 'd'}, 'give one'),
])
def test_mistakes(given, said):
  with pytest.raises(UserError, match=said):
    judge_lib.create({'kind': 'endpoint', 'url': '', 'model': 'v3', **given})


def test_auto_is_whichever_is_given(server):
  auto = {'kind': 'auto', 'url': '', 'model': 'v3', 'checkpoint': ''}
  assert judge_lib.create(auto) is None and judge_lib.kind_of(auto) == ''
  assert judge_lib.kind_of({**auto, 'checkpoint': 'd'}) == 'model'
  judge = judge_lib.create({**auto, 'url': URL.format(server.server_port) + '/chat/completions'})
  server.faults = [lambda handler: handler.whole('VERDICT: SAME')] * 2
  assert judge.same('q', '5', 'five')
