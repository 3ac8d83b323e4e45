"""The generative judge: both orders, unreadable replies, an endpoint that fails."""

import http.server
import json
import threading
import time
import types

import pytest

from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib


@pytest.mark.parametrize('reply, verdict', [
    ('VERDICT: SAME', 'SAME'), ('so...\nVERDICT: **different**', 'DIFFERENT'),
    ('VERDICT: SAME\nno: VERDICT: DIFFERENT', 'DIFFERENT'), ('<think> VERDICT: SAME </think> I cannot say', None),
    ('SAME', None), ('', None), ('VERDICT: 2', '2'), ('VERDICT: SAMELY', None), ('**VERDICT:** SAME', 'SAME'),
    ('VERDICT：SAME', 'SAME'), ('VERDICT: "SAME"', 'SAME'), ('VERDICT: Reply 1', '1'), ('__VERDICT__: `DIFFERENT`',
     'DIFFERENT'),
    ('my verdict is SAME', None),
])
def test_the_last_verdict_counts_and_none_is_none(reply, verdict):
  assert judge_lib.read(reply) == verdict


def first_and_second(prompt):
  first = prompt.split('Answer 1:\n')[1].split('\n\nAnswer 2:')[0]
  return first, prompt.split('Answer 2:\n')[1].split('\n\nEnd with')[0]


def test_same_needs_both_orders():
  equal = judge_lib.Judge(lambda p: 'VERDICT: SAME' if len(set(first_and_second(p))) == 1 else 'VERDICT: DIFFERENT')
  assert equal.same('q', '5', '5') and not equal.same('q', '5', '6')
  leaning = judge_lib.Judge(lambda p: 'VERDICT: SAME' if first_and_second(p)[0] == 'gold' else 'VERDICT: DIFFERENT')
  assert not leaning.same('q', 'gold', 'guess') and leaning.swapped == 1
  assert not equal.same('q', '', '  ')  # nothing was said: not asked


def test_it_is_not_told_which_answer_is_gold_and_sees_all_three():
  seen = []
  judge_lib.Judge(lambda p: seen.append(p) or 'VERDICT: SAME').same('What {is} it?', 'the {gold} one', 'mine')
  assert len(seen) == 2 and all('What {is} it?' in p and 'the {gold} one' in p and 'mine' in p for p in seen)
  assert first_and_second(seen[0]) == first_and_second(seen[1])[::-1] == ('the {gold} one', 'mine')


def test_what_cannot_be_read_is_no_verdict():
  mute = judge_lib.Judge(lambda p: 'hm')
  assert mute.same('q', '5', '5') is None and mute.unread == 2


def test_the_better_of_two_in_both_orders():
  longer = judge_lib.Judge(
      lambda p: 'VERDICT: 1' if len(p.split('Reply 1:\n')[1].split('\n\nReply 2:')[0]) > 3 else 'VERDICT: 2')
  assert longer.better('q', 'long one', 'no') == 1 and longer.better('q', 'no', 'long one') == -1
  always = judge_lib.Judge(lambda p: 'VERDICT: 1')
  assert always.better('q', 'a', 'b') == 0 and always.swapped == 1


@pytest.fixture
def server():
  """An OpenAI-compatible endpoint; `server.replies` are given in turn, None is a 500."""
  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      said = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
      self.server.asked.append((self.path, said, dict(self.headers)))
      reply = self.server.replies.pop(0)
      self.send_response(500 if reply is None else 200)
      self.end_headers()
      self.wfile.write(json.dumps({'choices': [{'message': {'content': reply}}]}).encode())

    def log_message(self, *args):
      pass

  made = http.server.HTTPServer(('127.0.0.1', 0), Handler)
  made.asked, made.replies = [], []
  thread = threading.Thread(target=made.serve_forever, daemon=True)
  thread.start()
  yield made
  made.shutdown()
  made.server_close()


def test_an_endpoint_is_asked_and_asked_again(server, monkeypatch):
  monkeypatch.setenv('R1JAX_JUDGE_KEY', 'secret')
  waited = []
  # Its own clock: threads that other tests have left sleep too.
  monkeypatch.setattr(judge_lib.endpoint, 'time', types.SimpleNamespace(sleep=waited.append, monotonic=time.monotonic))
  server.replies = [None, 'VERDICT: SAME', 'VERDICT: SAME']
  made = judge_lib.create({'kind': 'endpoint', 'url': f'http://127.0.0.1:{server.server_port}/v1', 'model': 'v3'})
  assert made.same('q', '5', 'five')
  path, body, headers = server.asked[-1]
  assert path == '/v1/chat/completions' and body['model'] == 'v3' and body['temperature'] == 0
  assert headers['Authorization'] == 'Bearer secret'
  assert waited == [1.0]
  server.replies = [None] * 5
  with pytest.raises(UserError, match='does not answer'):
    made.same('q', '5', 'five')
  assert waited == [1.0, 1.0, 4.0, 16.0, 64.0]


def test_mistakes_and_no_judge():
  none = {'kind': '', 'url': '', 'model': ''}
  assert judge_lib.create(none) is None
  for wrong, said in (({'kind': 'endpoint'}, 'needs judge.url'), ({'kind': 'oracle'}, "'oracle'")):
    with pytest.raises(UserError, match=said):
      judge_lib.create({**none, **wrong})
