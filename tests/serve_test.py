"""r1jax serve: OpenAI's protocol over the tiny model, by HTTP; who asks too much, wrongly, or hangs up."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import r1jax
from r1jax import serve
from r1jax.data import prompts
from r1jax.exceptions import UserError
from r1jax.serve import asked
from r1jax.serve import protocol
import serve_load
import serving

for _package in ('starlette', 'uvicorn', 'prometheus_client'):
  pytest.importorskip(_package)

LONG = {'max_tokens': 100, 'stop': None, 'temperature': 1.0}


@pytest.fixture(scope='module')
def model():
  return serving.tiny()


@pytest.fixture(scope='module')
def tiny(model):
  with serving.serving(model) as running:
    yield running


@pytest.fixture(autouse=True)
def nothing_left(request):
  """Whatever a test has asked: in the end every row is free."""
  yield
  if 'tiny' in request.fixturenames:
    serving.until(request.getfixturevalue('tiny').idle)


# --- what is said

def test_a_chat(tiny, model):
  status, answer = tiny.chat(temperature=0, max_tokens=60)
  assert status == 200 and answer['object'] == 'chat.completion' and answer['model'] == 'tiny'
  assert set(answer) == {'id', 'object', 'created', 'model', 'system_fingerprint', 'choices', 'usage'}
  choice, = answer['choices']
  said = choice['message']['content']
  assert choice['message'] == {'role': 'assistant', 'content': said} and said.endswith('.')
  assert (choice['index'], choice['finish_reason'], choice['logprobs']) == (0, 'stop', None)
  asked_, tokens = len(model.tokenizer.encode_prompt('What is 3 + 4?')), len(model.tokenizer.encode(said)) + 1
  assert answer['usage'] == {'prompt_tokens': asked_, 'completion_tokens': tokens, 'total_tokens': asked_ + tokens}
  assert tiny.complete(temperature=0, max_tokens=60)[1]['choices'][0]['text'] == said  # template 'plain'


def test_a_completion_of_texts_and_of_ids(tiny, model):
  ids = model.tokenizer.encode_prompt('What is 3 + 4?')
  said = [tiny.complete(prompt, temperature=0)[1]['choices'] for prompt in ('What is 3 + 4?', ids, [ids])]
  assert said[0] == said[1] == said[2] and said[0][0]['text'] and said[0][0]['finish_reason'] == 'length'
  status, answer = tiny.complete(['What is 3 + 4?', 'What is 5 + 6?'], temperature=0, n=2)
  texts = [choice['text'] for choice in answer['choices']]
  assert [choice['index'] for choice in answer['choices']] == [0, 1, 2, 3]
  assert texts[0] == texts[1] == said[0][0]['text'] and texts[2] == texts[3]
  assert answer['usage']['prompt_tokens'] == 2 * len(ids) and answer['usage']['completion_tokens'] == 32


def test_a_seed_says_the_same_again_and_samples_differ(tiny):
  one, again, other = (tiny.chat(seed=seed, n=4, max_tokens=30)[1]['choices'] for seed in (7, 7, 8))
  assert one == again != other
  assert len({choice['message']['content'] for choice in one}) > 1
  free = {json.dumps(tiny.chat(max_tokens=30)[1]['choices']) for _ in range(4)}
  assert len(free) > 1
  assert tiny.chat(seed=-1)[0] == tiny.chat(seed=2**63)[0] == 200


def test_what_a_rollout_with_that_seed_says(tiny, model):
  """A request's choices are samples 0 to n - 1 under key(seed), as engine/rollout.py draws them."""
  import jax
  from r1jax.engine import sampler as sampler_lib
  from r1jax.types import Request
  module, weights = model.served()
  sampler = sampler_lib.Sampler(module, model.mesh, slots=4, samples=4, max_prompt=16, max_tokens=30, steps=8, pad_id=0,
                                eos_ids=model.tokenizer.eos_ids, temperature=0.8, top_p=0.9)
  sampler.buckets = sampler.buckets[-1:]
  sampler.compile()
  ids = np.asarray(model.tokenizer.encode_prompt('What is 3 + 4?'), np.int32)
  (_, said), = sampler(weights(), [Request(0, ids, (0, 1, 2, 3))], jax.random.key(11))
  _, answer = tiny.complete(seed=11, n=4, temperature=0.8, top_p=0.9, max_tokens=30)
  assert [choice['text'] for choice in answer['choices']] == model.tokenizer.decode_batch([c.tokens for c in said])


def test_stop_strings_are_not_shown(tiny):
  whole = tiny.complete(temperature=0, max_tokens=60)[1]['choices'][0]['text']
  mark = whole[10:13]
  status, answer = tiny.complete(temperature=0, max_tokens=60, stop=[mark, 'nowhere'])
  choice = answer['choices'][0]
  assert choice['text'] == whole[:whole.find(mark)] and choice['finish_reason'] == 'stop'
  assert answer['usage']['completion_tokens'] < 60
  events = tiny.events('/v1/completions', {'prompt': 'What is 3 + 4?', 'temperature': 0, 'max_tokens': 60, 'stop': mark})
  assert ''.join(event['choices'][0]['text'] for event in events) == choice['text']
  assert events[-1]['choices'][0]['finish_reason'] == 'stop'


def test_log_probs_are_the_models(tiny, model):
  _, answer = tiny.chat(temperature=0.5, top_p=0.5, seed=1, logprobs=True, top_logprobs=3)
  choice = answer['choices'][0]
  content = choice['logprobs']['content']
  assert ''.join(entry['token'] for entry in content) == choice['message']['content']
  assert all(bytes(entry['bytes']).decode() == entry['token'] for entry in content)
  text = choice['message']['content']
  ids = model.tokenizer.encode(text)
  assert len(ids) == len(content)  # the text gives its own tokens again, so they can be looked at
  heard = model.logps(['What is 3 + 4?'], [text])[0]
  np.testing.assert_allclose([entry['logprob'] for entry in content], heard, atol=1e-4)
  for entry in content:
    values = [each['logprob'] for each in entry['top_logprobs']]
    assert len(values) == 3 and values == sorted(values, reverse=True) and values[0] >= entry['logprob'] - 1e-6
  _, answer = tiny.complete(temperature=0, logprobs=2)
  logprobs = answer['choices'][0]['logprobs']
  assert ''.join(logprobs['tokens']) == answer['choices'][0]['text']
  assert logprobs['text_offset'][:3] == [0, len(logprobs['tokens'][0]), len(''.join(logprobs['tokens'][:2]))]
  assert [max(best.values()) for best in logprobs['top_logprobs']] == logprobs['token_logprobs']  # greedy
  assert all(2 <= len(best) <= 3 for best in logprobs['top_logprobs'])


def test_a_stream_says_what_the_whole_says(tiny):
  body = {'messages': [{'role': 'user', 'content': 'What is 12 + 30?'}], 'n': 3, 'seed': 5, 'max_tokens': 60,
          'logprobs': True}
  whole = tiny.ask('/v1/chat/completions', body)[1]
  events = tiny.events('/v1/chat/completions', body | {'stream_options': {'include_usage': True}})
  usage = events.pop()
  assert usage['choices'] == [] and usage['usage'] == whole['usage'] and all(event['usage'] is None for event in events)
  assert {event['object'] for event in events} == {'chat.completion.chunk'} and len({e['id'] for e in events}) == 1
  for choice in whole['choices']:
    parts = [part for event in events for part in event['choices'] if part['index'] == choice['index']]
    assert parts[0]['delta'] == {'role': 'assistant', 'content': ''} and len(parts) > 1
    assert ''.join(part['delta'].get('content', '') for part in parts) == choice['message']['content']
    assert [part['finish_reason'] for part in parts if part['finish_reason']] == [choice['finish_reason']]
    entries = [entry for part in parts if part['logprobs'] for entry in part['logprobs']['content']]
    assert [e['token'] for e in entries] == [e['token'] for e in choice['logprobs']['content']]


def test_64_at_once_say_what_one_at_a_time_says(tiny):
  wishes = [serve_load.wish(i, 40) for i in range(64)]
  at_once = asyncio.run(serve_load.all_of(tiny.port, wishes, 64))
  alone = asyncio.run(serve_load.all_of(tiny.port, wishes[::4], 1))
  assert {status for status, _ in at_once} == {status for status, _ in alone} == {200}
  pairs = [(json.loads(a), json.loads(b)) for (_, a), (_, b) in zip(alone, at_once[::4])]
  assert not any(serve_load.apart(a, b) for a, b in pairs)
  assert len({a['choices'][0]['text'] for a, _ in pairs}) > 8  # they say different things


# --- who hangs up

def test_who_hangs_up_leaves_no_slot_taken(tiny):
  before = asyncio.run(serve_load.gauge(tiny.port, 'r1jax_cancelled_completions'))

  async def many():
    body = lambda i: {'prompt': 'What is 3 + 4?', 'ignored': None, **LONG, 'n': 1 + i % 3, 'stream': i % 2 == 0}
    body_ = lambda i: {key: value for key, value in body(i).items() if key != 'ignored'}
    await asyncio.gather(*(serve_load.ask(tiny.port, 'POST', '/v1/completions', body_(i), hang_up=0.01 * (i % 6))
                           for i in range(32)))

  asyncio.run(many())
  serving.until(tiny.idle)
  assert asyncio.run(serve_load.gauge(tiny.port, 'r1jax_slots_live')) == 0
  assert asyncio.run(serve_load.gauge(tiny.port, 'r1jax_cancelled_completions')) > before
  assert tiny.complete()[0] == 200


# --- too much

def test_a_full_queue_is_429(tiny):
  statuses, heads = [], []

  async def raw():
    data = json.dumps({'prompt': 'What is 3 + 4?', **LONG, 'n': 40}).encode()
    reader, writer = await asyncio.open_connection('127.0.0.1', tiny.port)
    writer.write(b'POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n' % len(data) + data)
    head, _, body = (await reader.read()).partition(b'\r\n\r\n')
    writer.close()
    statuses.append(int(head.split()[1]))
    if statuses[-1] == 429:
      heads.append((head.decode().lower(), json.loads(body)))

  async def four():
    await asyncio.gather(*(raw() for _ in range(4)))

  asyncio.run(four())
  assert sorted(statuses) == [200, 200, 429, 429]  # of 16 + 64 that may run or wait
  for head, body in heads:
    assert 1 <= int(head.split('retry-after: ')[1].split()[0]) <= 60
    assert body['error']['code'] == 'queue_full' and body['error']['type'] == 'rate_limit_error'
  assert tiny.complete(n=100)[0] == 429  # more than ever fit


def test_large_bodies_and_prompts(tiny):
  status, answer = tiny.complete('a' * (1 << 20))
  assert status == 413 and answer['error']['code'] == 'body_too_large'

  async def chunked():  # no content-length tells beforehand
    reader, writer = await asyncio.open_connection('127.0.0.1', tiny.port)
    writer.write(b'POST /v1/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')
    for _ in range(40):
      writer.write(b'%x\r\n' % (1 << 15) + b'a' * (1 << 15) + b'\r\n')
    writer.write(b'0\r\n\r\n')
    return (await reader.read(20)).split()[1]

  assert asyncio.run(chunked()) == b'413'
  for prompt, status in (('1 ' * 40000, 400), ([5] * 128, 400), ([5] * 127, 200)):
    found, answer = tiny.complete(prompt, max_tokens=1)
    assert found == status
    if status == 400:
      assert answer['error']['code'] == 'context_length_exceeded' and answer['error']['param'] == 'prompt'
  status, answer = tiny.complete([5] * 100, max_tokens=29)
  assert status == 400 and answer['error']['param'] == 'max_tokens' and 'up to 28' in answer['error']['message']
  assert tiny.complete([5] * 100, max_tokens=None, temperature=0)[1]['usage']['completion_tokens'] <= 28


# --- what is wrong

USER = {'messages': [{'role': 'user', 'content': 'a'}]}
WRONG = [  # body, status, param, part of the message
    (b'{', 400, None, 'no JSON'), (b'[]', 400, None, 'JSON object'), (b'', 400, None, 'no JSON'),
    (b'{"messages": NaN}', 400, None, 'NaN is no JSON'), (b'\xff', 400, None, 'no JSON'),
    (b'[' * 100000, 400, None, 'no JSON'), (b'{"seed": ' + b'9' * 5000 + b'}', 400, None, 'no JSON'),
    ({}, 400, 'messages', 'messages is missing'), ({'messages': None}, 400, 'messages', 'missing'),
    ({'messages': []}, 400, 'messages', 'one at least'), ({'messages': 'a'}, 400, 'messages', 'list of messages'),
    ({'messages': [{'role': 'tool', 'content': 'a'}]}, 400, 'messages', 'messages[0] wants a role of system'),
    ({'messages': [{'role': [], 'content': 'a'}]}, 400, 'messages', 'wants a role'),
    ({'messages': [{'role': 'user', 'content': 5}]}, 400, 'messages', 'messages[0] wants a string'),
    ({'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {}}]}]}, 400, 'messages', 'type "text"'),
    ({'messages': [{'role': 'user', 'content': 'a', 'tool_calls': [1]}]}, 400, 'messages', '"tool_calls"'),
    ({'messages': [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}]}, 400, 'messages', 'as the last'),
    ({'messages': [{'role': 'system', 'content': 'a'}, {'role': 'user', 'content': 'b'}]}, 400, 'messages',
     "template 'plain', which has a place for one message of a user, not for system, user"),
    ({'messages': [{'role': 'user', 'content': ''}]}, 400, 'messages', 'no tokens'),
    ({'messages': [{'role': 'user', 'content': '\ud800'}]}, 400, 'messages', 'surrogate'),
    ({**USER, 'temperature': -0.1}, 400, 'temperature', 'from 0 to 2; it is -0.1'),
    ({**USER, 'temperature': '1'}, 400, 'temperature', 'from 0 to 2'), ({**USER, 'temperature': True}, 400, 'temperature', '0 to 2'),
    ({**USER, 'top_p': 1.1}, 400, 'top_p', 'from 0 to 1'), ({**USER, 'n': 0}, 400, 'n', 'from 1 to 128'),
    ({**USER, 'n': 1.5}, 400, 'n', 'whole number'), ({**USER, 'n': 129}, 400, 'n', 'from 1 to 128'),
    ({**USER, 'max_tokens': 0}, 400, 'max_tokens', 'from 1'), ({**USER, 'max_tokens': 128}, 400, 'max_tokens', 'together'),
    ({**USER, 'max_tokens': 3, 'max_completion_tokens': 4}, 400, 'max_completion_tokens', 'give one'),
    ({**USER, 'stop': ''}, 400, 'stop', '1 to 256'), ({**USER, 'stop': ['a'] * 17}, 400, 'stop', 'up to 16'),
    ({**USER, 'stop': [1]}, 400, 'stop', 'wants strings'), ({**USER, 'stop': 'a' * 257}, 400, 'stop', '1 to 256'),
    ({**USER, 'seed': 'a'}, 400, 'seed', 'whole number'), ({**USER, 'seed': 2**64}, 400, 'seed', 'whole number'),
    ({**USER, 'logprobs': 2}, 400, 'logprobs', 'true or false'),
    ({**USER, 'top_logprobs': 2}, 400, 'top_logprobs', '"logprobs": true'),
    ({**USER, 'logprobs': True, 'top_logprobs': 21}, 400, 'top_logprobs', 'from 0 to 20'),
    ({**USER, 'stream': 'yes'}, 400, 'stream', 'true or false'),
    ({**USER, 'stream_options': {'include_all': True}}, 400, 'stream_options', 'include_usage'),
    ({**USER, 'frequency_penalty': 0.5}, 400, 'frequency_penalty', 'not supported'),
    ({**USER, 'logit_bias': {'5': 1}}, 400, 'logit_bias', 'not supported'), ({**USER, 'top_k': 40}, 400, 'top_k', 'not supported'),
    ({**USER, 'tools': [{}]}, 400, 'tools', 'calls no tools'), ({**USER, 'store': True}, 400, 'store', 'nothing is stored'),
    ({**USER, 'response_format': {'type': 'json_object'}}, 400, 'response_format', 'text is free'),
    ({**USER, 'temprature': 1}, 400, 'temprature', 'no field of this endpoint'),
    ({**USER, '\ud800': 1}, 400, '?', 'no field'), ({**USER, 'prompt': 'a'}, 400, 'prompt', 'no field'),
    ({**USER, 'model': 'gpt-4'}, 404, 'model', "no model 'gpt-4' here, but 'tiny'"),
]


@pytest.mark.parametrize('body, status, param, text', WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_by_name(tiny, body, status, param, text):
  found, answer = tiny.ask('/v1/chat/completions', body)
  error = answer['error']
  assert (found, error['param']) == (status, param) and text in error['message'], error
  assert len(error['message']) < 400 and set(error) == {'message', 'type', 'param', 'code'}
  assert error['type'] == ('not_found_error' if status == 404 else 'invalid_request_error')


@pytest.mark.parametrize('change, param', [
    ({'prompt': None}, 'prompt'), ({'prompt': []}, 'prompt'), ({'prompt': [[]]}, 'prompt'), ({'prompt': [320]}, 'prompt'),
    ({'prompt': [1.0]}, 'prompt'), ({'prompt': [-1]}, 'prompt'), ({'prompt': ['a', [5]]}, None), ({'logprobs': 6}, 'logprobs'),
    ({'logprobs': True}, 'logprobs'), ({'best_of': 2}, 'best_of'), ({'best_of': 1}, None), ({'echo': True}, 'echo'),
    ({'echo': False, 'suffix': '', 'user': 'me', 'presence_penalty': 0.0, 'n': 2.0}, None), ({'suffix': 'b'}, 'suffix'),
    ({'messages': []}, 'messages')])
def test_completions_have_fields_of_their_own(tiny, change, param):
  status, answer = tiny.complete(**({'prompt': 'a', 'max_tokens': 1} | change))
  assert (status, answer.get('error', {}).get('param')) == (400 if param else 200, param)


def test_paths_and_methods(tiny):
  assert tiny.ask('/v1/models') == (200, {'object': 'list', 'data': [tiny.ask('/v1/models/tiny')[1]]})
  assert tiny.ask('/v1/models/gpt-4')[0] == 404 and tiny.ask('/v1/nothing')[1]['error']['type'] == 'not_found_error'
  assert tiny.ask('/v1/completions')[0] == 405 and tiny.ask('/health', {})[0] == 405
  assert tiny.ask('/health') == (200, {'status': 'ok', 'model': 'tiny'})


def test_metrics_count_what_was_asked(tiny):
  page = lambda: asyncio.run(serve_load.ask(tiny.port, 'GET', '/metrics'))[1].decode()
  value = lambda text, name: float(next((line for line in text.splitlines() if line.startswith(f'{name} ')), '_ 0').split()[-1])
  before = page()
  tiny.complete('What is 3 + 4?', max_tokens=5, temperature=0, n=2)
  tiny.complete(temperature=9)
  after = page()
  grown = lambda name: value(after, name) - value(before, name)
  assert grown('r1jax_completion_tokens_total') == grown('r1jax_decode_rows_total') == 10
  assert grown('r1jax_prompt_tokens_total') == grown('r1jax_prefill_tokens_total') == 8
  assert grown('r1jax_requests_total{path="/v1/completions",status="200"}') == 1
  assert grown('r1jax_requests_total{path="/v1/completions",status="400"}') == 1
  assert grown('r1jax_first_token_seconds_count') == 1 and value(after, 'r1jax_slots') == 16
  from prometheus_client.parser import text_string_to_metric_families
  assert {f.name for f in text_string_to_metric_families(after)} >= {'r1jax_requests', 'r1jax_slots_live', 'r1jax_capacity'}


# --- a key, reasoning, templates

def test_a_key_opens_all_but_health(tiny):
  async def status(path, *headers):
    reader, writer = await asyncio.open_connection('127.0.0.1', tiny.port)
    writer.write('\r\n'.join([f'GET {path} HTTP/1.1', 'host: x', 'connection: close', *headers, '', '']).encode())
    head = await reader.read()
    writer.close()
    return int(head.split()[1]), head

  tiny.app._key = b'open sesame'
  try:
    for path in ('/v1/models', '/metrics', '/openapi.json', '/nowhere'):
      code, said = asyncio.run(status(path))
      assert code == 401 and b'www-authenticate: Bearer' in said and b'invalid_api_key' in said
      assert asyncio.run(status(path, 'authorization: Bearer open'))[0] == 401
      assert asyncio.run(status(path, 'authorization: open sesame'))[0] == 401
    assert asyncio.run(status('/v1/models', 'authorization: Bearer open sesame'))[0] == 200
    assert asyncio.run(status('/health'))[0] == 200
    assert tiny.chat()[0] == 401
  finally:
    tiny.app._key = b''


def test_reasoning_is_apart_or_in_place(tiny, model, monkeypatch):
  """The tiny base never opens a thought: its prefill does, as a checkpoint's own record says."""
  body = {'messages': [{'role': 'user', 'content': 'What is 3 + 4?'}], 'temperature': 0, 'max_tokens': 30}
  plain = tiny.ask('/v1/chat/completions', body)[1]['choices'][0]['message']
  assert set(plain) == {'role', 'content'}
  for reasoning in ('apart', 'inline'):
    how = asked.Asked(model.tokenizer, 'plain', prefill='<think>', vocab=320, length=128, reasoning=reasoning)
    monkeypatch.setattr(tiny.app, '_asked', how)
    choice = tiny.ask('/v1/chat/completions', body)[1]['choices'][0]['message']
    events = tiny.events('/v1/chat/completions', body)
    streamed = {key: ''.join(e['choices'][0]['delta'].get(key, '') for e in events) for key in ('content', 'reasoning_content')}
    if reasoning == 'apart':
      assert choice['content'] == '' and choice['reasoning_content']  # it never closes
    else:
      assert choice['content'] and 'reasoning_content' not in choice
    assert streamed == {'content': choice['content'], 'reasoning_content': choice.get('reasoning_content', '')}


class Chats:
  """A tokenizer of bytes with a chat template."""
  special, directory, vocab_size, bos_id = {}, 'here', 256, None
  is_special = staticmethod(lambda i: False)
  encode = encode_prompt = staticmethod(lambda text: list(text.encode()))
  decode = staticmethod(lambda ids: bytes(map(int, ids)).decode(errors='replace'))

  def __init__(self, opening):
    self.chat_template = ("{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
                          "{% if add_generation_prompt %}<|assistant|>OPEN{% endif %}").replace('OPEN', opening)


@pytest.mark.parametrize('opening, form', [('', 'r1_zero'), ('<think>', 'deepseek_r1')])
def test_a_models_own_chat_template_takes_whole_chats(opening, form):
  tokenizer = Chats(opening)
  how = asked.Asked(tokenizer, prompts.CHAT, system='Be brief.', vocab=256, length=4096)
  turns = [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}, {'role': 'user', 'content': 'c'}]
  text = lambda messages: tokenizer.decode(how.chat_prompt(messages))
  assert how.format.name == form
  assert text(turns) == f'<|system|>Be brief.<|user|>a<|assistant|>b<|user|>c<|assistant|>{opening}'
  assert text([{'role': 'system', 'content': 'x'}, turns[0]]) == f'<|system|>x<|user|>a<|assistant|>{opening}'
  one = how.text((), chat_turn=True)
  shown = one.push(tokenizer.encode('so</think>7'), last=True)
  assert (shown.reasoning, shown.content) == (('so', '7') if form == 'deepseek_r1' else ('', 'so</think>7'))
  tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
  with pytest.raises(protocol.Refused, match='roles must alternate'):
    how.chat_prompt(turns)


# --- who else asks

def test_the_openai_client(tiny):
  openai = pytest.importorskip('openai')
  client = openai.OpenAI(base_url=f'http://127.0.0.1:{tiny.port}/v1', api_key='none', max_retries=0)
  assert [each.id for each in client.models.list()] == ['tiny']
  asked_ = dict(model='tiny', messages=[{'role': 'user', 'content': 'What is 3 + 4?'}], max_completion_tokens=20, seed=2, n=2)
  whole = client.chat.completions.create(**asked_, logprobs=True, top_logprobs=1)
  assert [c.finish_reason for c in whole.choices] and whole.usage.completion_tokens > 0
  assert ''.join(e.token for e in whole.choices[0].logprobs.content) == whole.choices[0].message.content
  stream = client.chat.completions.create(**asked_, stream=True)
  said = ['', '']
  for chunk in stream:
    for choice in chunk.choices:
      said[choice.index] += choice.delta.content or ''
  assert said == [choice.message.content for choice in whole.choices]
  assert client.completions.create(model='tiny', prompt='What is 3 + 4?', max_tokens=4).choices[0].text
  with pytest.raises(openai.BadRequestError) as e:
    client.chat.completions.create(**asked_ | {'n': 0})
  assert e.value.param == 'n' and e.value.type == 'invalid_request_error'
  with pytest.raises(openai.NotFoundError):
    client.completions.create(model='other', prompt='a')
  with pytest.raises(openai.RateLimitError):
    client.completions.create(model='tiny', prompt='a', n=128)


@pytest.mark.skipif(not shutil.which('curl'), reason='curl is not installed')
def test_curl(tiny):
  url = f'http://127.0.0.1:{tiny.port}/v1'
  curl = lambda *args: subprocess.run(['curl', '-sN', *args], capture_output=True, text=True, check=True).stdout
  body = '{"messages": [{"role": "user", "content": "What is 3 + 4?"}], "temperature": 0, "max_tokens": 9}'
  said = json.loads(curl(f'{url}/chat/completions', '-d', body))['choices'][0]['message']['content']
  lines = curl(f'{url}/chat/completions', '-d', body[:-1] + ', "stream": true}').split('\n\n')
  assert lines[-2] == 'data: [DONE]' and said
  deltas = [json.loads(line.removeprefix('data: '))['choices'][0]['delta'] for line in lines[:-2]]
  assert ''.join(delta.get('content', '') for delta in deltas) == said


def test_inspect_ai_asks_by_its_own_provider(tiny, monkeypatch):
  pytest.importorskip('inspect_ai')
  from inspect_ai.model import GenerateConfig, get_model
  monkeypatch.setenv('R1JAX_API_KEY', 'none')
  monkeypatch.setenv('R1JAX_BASE_URL', f'http://127.0.0.1:{tiny.port}/v1')
  asked_ = get_model('openai-api/r1jax/tiny', config=GenerateConfig(temperature=0, max_tokens=12, max_retries=0))
  said = asyncio.run(asked_.generate('What is 3 + 4?'))
  assert said.completion == tiny.chat(temperature=0, max_tokens=12)[1]['choices'][0]['message']['content']
  assert said.stop_reason == 'max_tokens'


# --- beginning and end

def test_it_ends_within_its_grace(model):
  """What runs may end; what does not is told so, also in the middle of a stream; nothing new is taken."""
  with serving.serving(model, slots=2, queue=8, length=64) as running:
    running.server._grace = 2.0
    events, statuses, run = [], {}, running.service.sampler.run

    def slowly(what, *args):
      time.sleep(0.2 if what[0] == 'decode' else 0)
      return run(what, *args)

    running.service.sampler.run = slowly
    running.service.running._pace = 1.0  # a token a chunk
    ask = lambda **more: statuses.setdefault(more['max_tokens'], running.complete(temperature=0, **more)[0])
    body = {'prompt': 'What is 3 + 4?', 'max_tokens': 50, 'temperature': 0}  # 24 tokens
    threads = [threading.Thread(target=lambda: events.extend(running.events('/v1/completions', body))),
               threading.Thread(target=lambda: ask(max_tokens=5)),
               threading.Thread(target=lambda: ask(max_tokens=50, n=4))]
    for open_, thread in zip((1, 2, 5), threads):
      thread.start()
      serving.until(lambda: running.service.open >= open_)
    begun = time.monotonic()
    running.server.loop.call_soon_threadsafe(running.server.stop)
    for thread in threads:
      thread.join(20)
    assert time.monotonic() - begun < 8
  assert statuses == {5: 200, 50: 503} and events[-1]['error']['message'] == 'the server is stopping'
  assert len(events) > 2  # it had said something


def test_an_engine_that_fails_tells_all_and_ends_the_server(model, caplog):
  with serving.serving(model, slots=2, queue=8, length=64) as running:
    def fails(what, *args):
      raise MemoryError('RESOURCE_EXHAUSTED')
    running.service.sampler.run = fails
    assert running.complete('a')[0] == 503
    serving.until(lambda: not running._thread.is_alive())
  assert isinstance(running.service.died, MemoryError) and 'the engine has ended: MemoryError' in caplog.text


def start(*flags, **env):
  return subprocess.Popen([sys.executable, '-m', 'r1jax.serve', '--checkpoint=tiny-base', '--slots=2', '--max_length=64', *flags],
                          stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, 'XLA_FLAGS': os.environ.get('R1JAX_TEST_XLA_FLAGS', ''), 'PYTHONPATH': str(serve_load.ROOT), **env})


def test_signals_end_it_as_they_end_other_commands():
  """It says that it compiles, then where it serves; SIGTERM is 143, Ctrl-C 130."""
  running = {143: (start('--port=0', R1JAX_SERVE_KEY='k'), signal.SIGTERM), 130: (start('--port=0', '--name=mine'), signal.SIGINT)}
  for code, (process, number) in running.items():
    lines = []
    for line in process.stderr:
      lines.append(line)
      if 'serving ' in line:
        break
    assert any(line.startswith('compiling') for line in lines), lines
    assert f'serving {"mine" if code == 130 else "tiny-base"} on http://127.0.0.1:' in lines[-1], lines
    port = int(lines[-1].rsplit(':', 1)[1])
    assert asyncio.run(serve_load.ask(port, 'GET', '/v1/models'))[0] == (200 if code == 130 else 401)
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == code and error == 'r1jax: stopped\n' and not out, error


@pytest.mark.parametrize('flags, text', [
    (['--checkpoint=missing'], '--checkpoint=missing is neither'), (['--checkpoint=tiny-base', '--max_length=257'], 'exceeds the 256 positions'),
    (['--checkpoint=tiny-base', '--slots=0'], '--slots=0 must be at least 1'), (['--checkpoint=tiny-base', '--port=70000'], '65535'),
    (['--checkpoint=tiny-base', '--mesh=data'], '--mesh'), (['--checkpoint=tiny-base', '--template=no'], "no template 'no'"),
    (['--checkpoint=tiny-base', '--host=256.0.0.1'], 'cannot listen on 256.0.0.1'), ([], '--checkpoint'),
    (['--checkpoint=tiny-base', '--reasoning=away'], '--reasoning'), (['--checkpoint=tiny-base', '--port=TAKEN'], 'in use')])
def test_a_wrong_start_is_one_line(capsys, flags, text):
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    flags = [flag.replace('TAKEN', str(taken.getsockname()[1])) for flag in flags]
    port = [] if any('--port' in flag for flag in flags) else ['--port=0']
    assert serve.main(['serve', *flags, *port]) == 2
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith('r1jax: ') and text in last


def test_a_missing_extra_is_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, 'uvicorn', None)
  with pytest.raises(UserError, match=r"needs uvicorn: pip install 'r1jax\[serve\]'"):
    serve._check(serve.parser().parse_args(['--checkpoint=x']))


def test_loading_what_others_made(tmp_path, tiny, model):
  """A checkpoint of ours and a Hugging Face directory say the same."""
  saved = model.save(tmp_path / 'hf', dtype='bfloat16')
  with serving.serving(r1jax.load(saved, mesh={'data': 1}, dtype='float32'), slots=2, queue=8, length=64) as running:
    said = running.complete(temperature=0)[1]['choices'][0]['text']
  assert said == tiny.complete(temperature=0)[1]['choices'][0]['text']


@pytest.mark.slow
def test_the_bars_under_load():
  """500 requests, 64 at a time: alone on the machine, as throughput and waiting are measured."""
  done = subprocess.run([sys.executable, str(serve_load.ROOT / 'tests/serve_load.py')], capture_output=True, text=True,
                        check=False, env={**os.environ, 'XLA_FLAGS': ''})
  assert done.returncode == 0, done.stdout + done.stderr
