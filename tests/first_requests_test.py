"""What the programs of docs/harnesses.md send to the endpoint first, and what it makes of it.

first_requests.json holds one of each, recorded from the program itself by a server of our own, the texts of its
messages left out; where `recorded` is false it was built from the program's source instead.
"""

import json
import pathlib

import pytest

from r1jax.benchmarks.table import TABLE
from r1jax.data import prompts

pytest.importorskip('uvicorn', reason='uvicorn is not installed: extra serve')
from r1jax.serve import protocol  # noqa: E402
import serving  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FIRST = json.loads((HERE / 'first_requests.json').read_text(encoding='utf-8'))
# What each wants of the endpoint.
WANTED = {
    'agentless': dict(n=1, temperature=0.0, max_tokens=300, stream=False),
    'agentless, repair': dict(n=9, temperature=0.8, max_tokens=1024),
    'aider': dict(n=1, temperature=0.0, max_tokens=None, stream=False),
    'alpaca_eval': dict(n=1, temperature=0.6, top_p=0.95, max_tokens=32768),
    'arena-hard': dict(n=1, temperature=0.6, top_p=1.0, max_tokens=32768),
    'Chinese SimpleQA': dict(temperature=0.5, max_tokens=2048),
    'LiveCodeBench': dict(n=16, temperature=0.6, top_p=0.95, max_tokens=32768),
    'optillm frames': dict(n=1, temperature=0.7, max_tokens=1000)}
# A program's row in the table of benchmarks, and so its command.
ROWS = {'agentless': 'swe_bench_verified', 'aider': 'aider_polyglot', 'alpaca_eval': 'alpaca_eval',
        'arena-hard': 'arena_hard', 'Chinese SimpleQA': 'c_simpleqa', 'optillm frames': 'frames'}


def test_every_program_that_asks_the_endpoint_has_one():
  by_endpoint = {name for name, row in TABLE.items() if 'endpoint' in (row.runs, row.official)}
  assert set(ROWS.values()) == by_endpoint and set(WANTED) == set(FIRST)
  assert {name for name, first in FIRST.items() if not first['recorded']} == {'optillm frames'}


@pytest.mark.parametrize('name', FIRST)
def test_it_is_understood_as_it_came(name):
  body = FIRST[name]['body']
  wish = protocol.parse(protocol.loads(json.dumps(body).encode()), chat=FIRST[name]['path'].endswith('/chat/completions'))
  assert {key: getattr(wish, key) for key in WANTED[name]} == WANTED[name]
  assert wish.messages == body['messages'] and wish.model == 'r1'


def test_what_nobody_does_is_refused():
  with pytest.raises(protocol.Refused, match='frequency_penalty'):
    protocol.parse({**FIRST['LiveCodeBench']['body'], 'frequency_penalty': 0.5}, chat=True)
  with pytest.raises(protocol.Refused, match='optillm_approach'):  # for the proxy that stands between
    protocol.parse({**FIRST['optillm frames']['body'], 'optillm_approach': 'readurls&memory'}, chat=True)


@pytest.fixture(scope='module', name='running')
def _running():
  """The tiny base, asked by a chat template."""
  model = serving.tiny()
  model.tokenizer.chat_template = ("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
                                   "{% if add_generation_prompt %}assistant:{% endif %}")
  model.template = prompts.CHAT
  with serving.serving(model, name='r1', length=256, queue=128) as running:
    yield running


@pytest.mark.parametrize('name', FIRST)
def test_it_is_answered(running, name):
  """With short texts and answers, as the tiny model has room for 256 tokens."""
  body = FIRST[name]['body']
  body = {**body, 'messages': [{**message, 'content': 'a'} for message in body['messages']], 'max_tokens': 4}
  status, said = running.ask(FIRST[name]['path'], body)
  assert status == 200, said
  assert len(said['choices']) == body.get('n', 1) and said['model'] == 'r1'
  assert all(choice['message']['role'] == 'assistant' for choice in said['choices'])
  assert said['usage']['completion_tokens'] <= 4 * body.get('n', 1)
