"""Whatever a body holds, the endpoint answers it: never 5xx, and it goes on serving."""

import asyncio
import collections
import json

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from r1jax.serve import protocol
import serve_load
import serving

for _package in ('starlette', 'uvicorn', 'prometheus_client'):
  pytest.importorskip(_package)

LONG = 10_000  # bodies of the slow tests, each
USER = [{'role': 'user', 'content': 'a'}]


@pytest.fixture(scope='module')
def tiny():
  with serving.serving(slots=8, queue=256, length=64) as running:
    yield running


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([2**64, -1, '', 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8)

# What a field may well be: most bodies shall get further than their first field.
SENSIBLE = {
    'model': st.just('tiny'), 'n': st.integers(1, 3), 'temperature': st.floats(0, 2), 'top_p': st.floats(0, 1),
    'max_tokens': st.integers(1, 3), 'max_completion_tokens': st.integers(1, 3), 'seed': st.integers(-2**63, 2**64 - 1),
    'stop': st.text(min_size=1, max_size=3) | st.lists(st.text(min_size=1, max_size=3), max_size=3),
    'stream': st.booleans(), 'stream_options': st.just({'include_usage': True}), 'user': st.text(max_size=5),
    'messages': st.lists(st.fixed_dictionaries({'role': st.just('user'), 'content': st.text(min_size=1, max_size=40)}),
                         min_size=1, max_size=1),
    'prompt': st.text(min_size=1, max_size=40) | st.lists(st.integers(0, 319), min_size=1, max_size=40)
              | st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3),
}


def fields(chat):
  """A body: some fields as they should be, some of any kind, always short."""
  known = protocol.CHAT if chat else protocol.COMPLETIONS
  logprobs = st.booleans() if chat else st.integers(0, 5)
  field = lambda name: SENSIBLE.get(name, logprobs if name == 'logprobs' else st.sampled_from([None, 0, 1, {}, [], False]))
  needed = 'messages' if chat else 'prompt'
  sensible = st.fixed_dictionaries({needed: field(needed), 'max_tokens': SENSIBLE['max_tokens']}, optional={
      name: field(name) for name in known if name not in (needed, 'max_tokens')})
  wild = st.dictionaries(st.sampled_from(sorted(known)) | st.text(max_size=8), anything, max_size=2)
  return sensible.flatmap(lambda body: wild.map(lambda other: body | other | (
      {} if other.get('max_tokens', 1) else {'max_tokens': 1})))


chats = st.tuples(st.just('/v1/chat/completions'), fields(True))
completions = st.tuples(st.just('/v1/completions'), fields(False))
raw = st.tuples(st.sampled_from(['/v1/chat/completions', '/v1/completions']), st.binary(max_size=60) | anything)
bodies = st.one_of(chats, completions, chats, completions, raw)


def check(tiny, path, body, seen):
  data = body if isinstance(body, bytes) else json.dumps(body).encode()
  status, answer = asyncio.run(serve_load.ask(tiny.port, 'POST', path, data))
  seen[status] += 1
  assert status < 500, (status, answer, body)
  if status != 200:
    assert set(json.loads(answer)['error']) == {'message', 'type', 'param', 'code'}
  elif answer.startswith(b'data: '):
    assert answer.endswith(b'data: [DONE]\n\n') and b'"error"' not in answer.split(b'\n\n')[-3]
  else:
    assert json.loads(answer)['choices']


def fuzz(tiny, examples):
  seen = collections.Counter()

  @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck))
  @given(bodies)
  def one(case):
    check(tiny, *case, seen)

  one()
  serving.until(tiny.idle)
  assert tiny.complete(temperature=0)[0] == 200 and tiny.ask('/health')[0] == 200
  return seen


def test_bodies_of_all_kinds_are_answered(tiny):
  seen = fuzz(tiny, 250)
  assert seen[200] > 25 and seen[400] > 25, seen  # both are met


@pytest.mark.slow
def test_ten_thousand_bodies(tiny):
  seen = fuzz(tiny, LONG)
  assert sum(seen.values()) >= LONG and seen[200] > LONG / 20, seen


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['positive', 'negative'])
@pytest.mark.parametrize('path', ['/v1/chat/completions', '/v1/completions'])
def test_bodies_that_schemathesis_draws_from_the_schema(tiny, path, mode):
  """Those that /openapi.json allows are served; of what it forbids much is told, and nothing is a fault."""
  schemathesis = pytest.importorskip('schemathesis')
  schema = schemathesis.openapi.from_url(f'http://127.0.0.1:{tiny.port}/openapi.json')
  mode, seen = schemathesis.GenerationMode(mode), collections.Counter()
  needed = {'messages': USER} if 'chat' in path else {'prompt': 'a'}
  # What no schema says: what goes together, and what there is room for.
  short = needed | {'max_tokens': 1, 'n': 1, 'model': 'tiny', 'max_completion_tokens': None, 'best_of': None}

  @settings(max_examples=LONG // 4, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck))
  @given(schema[path]['POST'].as_strategy(generation_mode=mode))
  def one(case):
    body = case.body
    if mode is schemathesis.GenerationMode.POSITIVE:
      body = {**body, **{key: short[key] for key in short if key in body or key in ('max_tokens', *needed)}}
      if not body.get('logprobs'):
        body.pop('top_logprobs', None)
    status, answer = asyncio.run(serve_load.ask(tiny.port, 'POST', path, json.dumps(body, default=str).encode()))
    seen[status] += 1
    assert status < 500, (status, answer, body)
    assert status == 200 or mode is schemathesis.GenerationMode.NEGATIVE, (answer, body)

  one()
  assert sum(seen.values()) > LONG // 8, seen
  serving.until(tiny.idle)
  assert tiny.complete(temperature=0)[0] == 200
