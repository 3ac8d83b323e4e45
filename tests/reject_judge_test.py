"""Rejection sampling with a judge: whom it asks, what it leaves out, and that what was paid for is not asked again."""

import json
import logging
import os

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import checks
from r1jax import pipeline
from r1jax import stage_models
from r1jax import stopping
from r1jax.data import formats
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import RunStopped, UserError
from r1jax.models import zoo
from r1jax.rewards import judge as judge_lib
from r1jax.stages import common
from r1jax.stages import judges
from r1jax.stages import reject
from r1jax.stages import sampling
from r1jax.types import Completion

import hosts_test
import judge_endpoint_test as endpoint
import runs

server = endpoint.server
M = formats.get('r1').mark
OFF = dict(format=False, language=0.0, paragraph=0, code=False)
ROW = {'id': '1', 'question': 'Who?', 'answer': 'the whale', 'answer_type': 'text', 'grader': 'judge', 'format': 'r1',
       'language': 'en'}


def verdict(prompt):
  """Of the answers that are compared, in whichever order: every second pair says the same."""
  first, second = (prompt.split(f'Answer {i}:\n')[1].split('\n\n')[0] for i in (1, 2))
  return 'VERDICT: SAME' if sum(map(ord, first + second)) % 2 else 'VERDICT: DIFFERENT'


@pytest.fixture
def judging(server, monkeypatch):
  monkeypatch.setattr(endpoint.Handler, 'whole', lambda self, prompt: self.send(200, json.dumps(
      {'choices': [{'message': {'content': verdict(prompt)}}]}).encode()))
  return server


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  """A nano model with a tokenizer, as a stage leaves it."""
  place = str(tmp_path_factory.mktemp('model'))
  made = tokenizer_lib.train(['User: Who is it? Assistant: The whale, the ant.'] * 9, place, vocab_size=70, pieces=[])
  tokenizer = tokenizer_lib.add_special_tokens(made, [M], place, limit=80)
  made = zoo.build(zoo.get('nano', vocab_size=80, max_length=2048))
  common.save_model(place, made, tokenizer)
  checkpoint.save_params(place, params_lib.init(made, seed=0), {})
  return place


@pytest.fixture
def config(tmp_path):
  rows = [{'question': f'Who is number {i}?', 'answer': 'whale', 'answer_type': 'text', 'grader': 'judge'}
          for i in range(6)]
  (tmp_path / 'q.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  config = runs.experiment('r1', 'tiny')
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  config.reject.update(dict(template='plain', batch=3, samples=8, keep=0, max_tokens=48, max_prompt=64, reasoning=0,
                            filters=OFF))
  config.reject.task = dict(source=f'jsonl:{tmp_path}/q.jsonl', size=0, seed=0, prefill='', chinese=0.0,
                            answer_type='text', params={})
  config.reject.general = dict(source='', count=0)
  return config


def made(config, model, workdir):
  reject.check(config, 'reject')
  reject.check_files(config, 'reject')
  os.makedirs(workdir, exist_ok=True)
  reject.run(config, 'reject', str(workdir), {'checkpoint': model})
  return (workdir / 'data.jsonl').read_text(), json.loads((workdir / 'card.json').read_text())


def test_a_stage_that_reached_its_limit_goes_on_and_pays_for_nothing_twice(config, model, judging, tmp_path,
                                                                          one_device, caplog):
  config.reject.judge.update(dict(kind='auto', url=endpoint.URL.format(judging.server_port), model='v3', timeout=20.0))
  with caplog.at_level(logging.INFO, logger='r1jax'):
    whole, card = made(config, model, tmp_path / 'whole')
  assert f'reject: 6 of 6 questions are judged by v3 at http://127.0.0.1:{judging.server_port}/v1' in caplog.text
  assert card['kept'] > 0 and card['turned_away']['wrong'] > 0 and card['judge'] == 'endpoint'
  asked = list(judging.asked)
  assert len(asked) == len(set(asked)) > 10  # equal samples once
  del judging.asked[:]
  for most in (3, len(asked) // 2):
    config.reject.judge.max_calls = most
    with pytest.raises(RunStopped, match=f'judge.max_calls={most} is reached'):
      made(config, model, tmp_path / 'parts')
    assert len(judging.asked) == most
  config.reject.judge.max_calls = 0
  assert made(config, model, tmp_path / 'parts')[0] == whole and sorted(judging.asked) == sorted(asked)


def test_a_checkpoint_judges_together_what_it_judges_alone(config, model, one_device):
  config.reject.judge.update(dict(kind='model', checkpoint=model, max_prompt=64, max_tokens=8, template='plain'))
  mesh = mesh_lib.create(config.mesh)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    ask = judges.in_process(config, config.reject.judge, mesh)
    prompts = [f'Who is {"ant" * (i % 7)}{i}?' for i in range(40)] + ['the whale ' * 999]
    together = ask(prompts + prompts[:3])
    assert together[:41] + together[:3] == together and together[40] == '' and len(set(together)) > 2
    assert [ask([prompt])[0] for prompt in prompts[::8]] == together[:41:8]


def test_a_published_judge_is_imported_once(config, one_device, tmp_path, caplog):
  """judge.checkpoint=hf:OWNER/NAME, or a directory of the hub's: as anywhere else where a checkpoint is named."""
  theirs = str(hosts_test.published(tmp_path / 'theirs'))
  config.reject.judge.update(dict(kind='model', checkpoint=theirs, max_prompt=64, max_tokens=8, template='plain'))
  reject.check_files(config, 'reject')
  checks._check_judge(config, 'reject')
  mesh, replies = mesh_lib.create(config.mesh), []
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), caplog.at_level(logging.INFO, logger='r1jax'):
    for _ in range(2):
      given = stage_models.with_judge(config, 'reject', str(tmp_path))
      replies.append(judges.in_process(given, given.reject.judge, mesh)(['Who is it?', 'And who?']))
  assert caplog.text.count('is imported into') == 1 and len(os.listdir(tmp_path / 'imported')) == 1
  assert replies[0] == replies[1] and config.reject.judge.checkpoint == theirs
  config.reject.judge.max_tokens = 1 << 20
  with pytest.raises(UserError, match="reject.judge: texts of up to 1048640 tokens exceed the model's max_length"):
    checks._check_judge(config, 'reject')
  (tmp_path / 'theirs' / 'tokenizer.json').unlink()
  with pytest.raises(UserError, match='reject.judge.checkpoint=.*tokenizer'):
    checks._check_judge(config, 'reject')


def test_who_is_given_no_judge_is_told_what_is_left_out(config, model, one_device, tmp_path, caplog):
  config.reject.judge.kind = 'auto'
  ways = 'reject.judge.url=http://HOST:8000/v1, or reject.judge.checkpoint=DIR'
  with pytest.raises(UserError, match=f'no rule can grade any of its 6 questions, and no judge is given: {ways}'):
    made(config, model, tmp_path / 'run')
  judges.say(None, config.reject.judge, 'reject', 6, 9)
  assert f'reject: 6 of 9 questions need a judge, none is given: left out; {ways}' in caplog.text


def test_only_what_would_stay_is_put_to_the_judge():
  asked = []
  judge = judge_lib.Judge(together=lambda prompts: asked.extend(prompts) or ['VERDICT: SAME'] * len(prompts))
  turn = lambda said: f'{M} it is large{M} {said}'
  texts, stopped = [turn('a'), 'no marks', turn('b'), turn('a')], [True, True, False, True]
  one = lambda ended: Completion(np.zeros(1, np.int32), np.zeros(1, np.float32), ended)
  sampled = sampling.Sampled([ROW, {**ROW, 'id': '2'}], [texts, [turn('c')] * 4],
                             [[one(ended) for ended in stopped], [one(True)] * 4])
  c = ConfigDict(dict(template='r1', keep=0, filters=dict(OFF, format=True)))
  kept, reasons = reject.accepted(sampled, c, type('Pool', (), {'score': lambda self, items: []})(), judge)
  assert [row['completion'] for row in kept] == [turn('a'), turn('c')]
  assert reasons == {'format': 1, 'cut at the limit': 1, 'duplicate': 4, 'more than keep': 0}
  assert len(asked) == 2 * 6 and not any('no marks' in prompt or '\nb\n' in prompt for prompt in asked)


def test_what_changes_no_verdict_leaves_a_stage_as_it_is(config, tmp_path):
  config.reject.judge.update(dict(kind='auto', url='http://a/v1', model='v3'))
  json_files.write(str(tmp_path / 'config.json'), config.to_dict())
  changed = lambda: pipeline._changed(config, 'reject', str(tmp_path))[0]
  config.reject.judge.update(dict(url='http://b:9/v1', parallel=3, timeout=1.0, tries=1, max_calls=9,
                                  max_tokens_total=9, answers='elsewhere', slots=8))
  assert changed() == []
  config.reject.judge.model = 'v4'
  assert changed() == ["reject.judge.model was 'v3', now 'v4'"]
  config.reject.judge.update(dict(model='v3', url=''))
  assert changed() == ["reject.judge.url was 'http://a/v1', now ''"]


def test_hosts_are_told_what_the_first_one_heard(monkeypatch):
  sent = []
  monkeypatch.setattr(mesh_lib, 'from_first', lambda data: sent.append(data) or sent[0])
  assert judges._telling(lambda prompts: ['5 \u2028'], ['q']) == judges._told(['q']) == ['5 \u2028']
  for failure in (UserError('no'), RunStopped('full'), stopping.Stopped('ended')):
    del sent[:]

    def fail(prompts):
      raise failure  # pylint: disable=cell-var-from-loop

    for one in (lambda: judges._telling(fail, ['q']), lambda: judges._told(['q'])):
      with pytest.raises(type(failure), match=str(failure)):
        one()


@pytest.mark.parametrize('arg, kind', [('tiny', ''), ('qwen2.5-7b', 'auto'), ('deepseek-v3', 'auto')])
def test_full_sizes_have_the_papers_judge(arg, kind):
  judge = runs.experiment('r1', arg).reject.judge
  assert judge.kind == kind and judge.model == ('deepseek-ai/DeepSeek-V3' if kind else '')
  assert judge_lib.kind_of({**judge.to_dict(), 'url': 'http://a/v1'}) == ('endpoint' if kind else '')
