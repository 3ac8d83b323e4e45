"""Harnesses of others over our models: inspect_ai, lm-eval; what they give is what r1jax itself gives."""

import json
import os

import numpy as np
import pytest

import r1jax
from r1jax.harness import asking
from r1jax.harness import likelihood
from r1jax.harness import local_data
from r1jax.harness import messages

pytestmark = pytest.mark.usefixtures('one_device')

PREFILL = ' <think> Step by step:'
MOST = 48  # tokens of an answer


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """The tiny base, as if it had been trained to be asked by table 1, its answers opened."""
  from r1jax import convert
  from r1jax.data import prompts
  out = tmp_path_factory.mktemp('harness') / 'tiny'
  convert.import_model('tiny-base', out=str(out))
  (out / prompts.RECORD).write_text(json.dumps(prompts.record('r1_zero', prefill=PREFILL)))
  return str(out)


@pytest.fixture(scope='module')
def model(place, one_device):
  return r1jax.load(place, dtype='float32')


@pytest.fixture(scope='module')
def questions(tmp_path_factory):
  """64 held-out sums in a file."""
  from r1jax.data import tasks
  rows, _ = tasks.named('chain_sum')
  path = tmp_path_factory.mktemp('questions') / 'sums.jsonl'
  path.write_text(''.join(json.dumps({'question': row['question'], 'answer': row['answer']}) + '\n' for row in rows[:64]))
  return str(path)


@pytest.fixture(scope='module')
def ours(model, questions):
  """(pass@1, text and whether right of each question) by `r1jax evaluate` at temperature 0."""
  found = r1jax.evaluate(model, f'jsonl:{questions}', samples=1, temperature=0, top_p=1.0, max_tokens=MOST,
                         max_prompt=128, batch=64, dtype='float32')
  return found.scores[0]['pass@1'], [(row['text'], row['correct']) for row in found.samples]


def asked(model, number: int) -> list[int]:
  talk = [{'role': 'user', 'content': f'{number} + {number + 3} ='}]
  return model.tokenizer.encode_prompt(messages.text(model, talk))


# --- what both stand on


def test_answers_depend_on_their_prompt_alone(model):
  ask = lambda n, **kw: asking.Ask(asked(model, n), max_tokens=12, **kw)
  said = lambda asks, **kw: {i: [s.text for s in samples] for i, samples in asking.Asker(model, **kw)(asks)}
  alone = said([ask(1, samples=3)], slots=4)[0]
  among = said([ask(2), ask(1, samples=3), ask(3, temperature=0.5), ask(1, seed=7)], slots=4)
  assert among[1] == alone and len(set(alone)) > 1
  assert among[3] != alone[:1]  # another seed
  asker = asking.Asker(model, slots=4)
  again = [next(asker([ask(1)]))[1][0].text for _ in range(3)]
  assert again == alone  # one after the other they are the samples of one group


def test_an_answer_ends_before_a_text_or_at_its_limit(model):
  whole = next(asking.Asker(model, slots=4)([asking.Ask(asked(model, 5), max_tokens=16, temperature=0)]))[1][0]
  cut = next(asking.Asker(model, slots=4)([asking.Ask(asked(model, 5), max_tokens=16, temperature=0,
                                                      stop=('zzz', whole.text[4:6]))]))[1][0]
  assert cut.text == whole.text[:whole.text.find(whole.text[4:6])] and cut.finish == 'stop'
  short = next(asking.Asker(model, slots=4)([asking.Ask(asked(model, 5), max_tokens=2, temperature=0)]))[1][0]
  assert (short.tokens, short.finish) == (2, 'length')


@pytest.mark.parametrize('text, stop, kept', [
    ('abcabc', ('c',), 'ab'), ('abcabc', ('ca', 'b'), 'a'), ('abc', (), 'abc'), ('abc', ('', 'x'), 'abc'), ('abc', ('a',), '')])
def test_until(text, stop, kept):
  assert asking.until(text, stop) == kept


@pytest.mark.parametrize('ask, said', [
    (dict(samples=0), 'samples=0'), (dict(temperature=-1), 'temperature=-1'), (dict(top_p=0), 'top_p=0'),
    (dict(max_tokens=0), 'max_tokens=0'), (dict(top_k=-1), 'top_k=-1'), (dict(prompt=[5] * 256), '256 positions'),
    (dict(prompt=[]), 'a prompt has 0 tokens')])
def test_what_cannot_be_asked_is_one_line(model, ask, said):
  with pytest.raises(r1jax.UserError, match=said):
    list(asking.Asker(model)([asking.Ask(**{'prompt': [5, 6], **ask})]))


def test_one_callers_fault_is_not_anothers(model):
  service, found = asking.Service(asking.Asker(model, slots=4)), {}
  with pytest.raises(r1jax.UserError):
    service.submit(asking.Ask([5] * 300), None)
  for n in range(6):
    service.submit(asking.Ask(asked(model, n), max_tokens=4, temperature=0), lambda said, n=n: found.__setitem__(n, said))
  service.close()
  assert sorted(found) == list(range(6)) and all(len(samples) == 1 for samples in found.values())


def test_likelihoods_are_the_models(model):
  """Those of Model.logps, whatever is scored beside, in batches of any size; greedy where no token is likelier."""
  pairs = [(asked(model, n), model.tokenizer.encode(text)) for n in (3, 14, 3, 159) for text in
           (' 9.', ' 12', ' 4 + 7 = 11. </think> <answer> 11 </answer>')]
  want = model.logps([f'{n} + {n + 3} =' for n in (3, 14, 3, 159) for _ in range(3)],
                     [' 9.', ' 12', ' 4 + 7 = 11. </think> <answer> 11 </answer>'] * 4)
  for tokens in (64, 1 << 14):
    found = likelihood.Scorer(model, tokens=tokens)(pairs)
    for likely, logps in zip(found, want, strict=True):
      np.testing.assert_allclose(likely.logps, logps, atol=2e-5)
  said = next(asking.Asker(model, slots=4)([asking.Ask(asked(model, 14), max_tokens=6, temperature=0)]))[1][0]
  other = said.ids.copy()
  other[3] += 1
  right, wrong = likelihood.Scorer(model)([(asked(model, 14), said.ids), (asked(model, 14), other)])
  assert right.greedy.all() and list(wrong.greedy[:4]) == [True, True, True, False]
  with pytest.raises(r1jax.UserError, match='empty completion'):
    likelihood.Scorer(model)([([5], [])])


@pytest.mark.parametrize('talk, turns, said', [
    ([], 'refuse', 'the last message is none'),
    ([('user', 'a'), ('assistant', 'b')], 'refuse', "of role 'assistant'"),
    ([('tool', 'a')], 'refuse', "role 'tool'"),
    ([('system', 's'), ('user', 'a')], 'refuse', 'has a place for one question'),
    ([('user', 'a'), ('assistant', 'b'), ('user', 'c')], 'refuse', 'turns=join'),
    ([('user', 'a')], 'drop', "turns='drop'")])
def test_talks_without_a_place_are_refused(model, talk, turns, said):
  with pytest.raises(r1jax.UserError, match=said):
    messages.text(model, [{'role': role, 'content': text} for role, text in talk], turns=turns)


def test_talks_are_prompts(model):
  from r1jax.data import prompts
  turn = lambda role, text: {'role': role, 'content': text}
  assert messages.text(model, [turn('user', 'a')]) == prompts.render('r1_zero', 'a', PREFILL)
  joined = messages.text(model, [turn('system', 's'), turn('user', 'a')], turns='join')
  assert joined == prompts.render('r1_zero', 's\n\na', PREFILL)


@pytest.mark.parametrize('text, reasoning, answer', [
    (' 1. </think> <answer> 2 </answer>', ' Step by step: 1. ', ' <answer> 2 </answer>'),
    (' 1, and so on', ' Step by step: 1, and so on', '')])
def test_reasoning_is_apart(model, text, reasoning, answer):
  assert messages.apart(model, text) == (reasoning, answer)


# --- data sets


def test_data_of_the_hub_from_files(tmp_path):
  datasets = pytest.importorskip('datasets', reason='datasets is not installed: extras eval, lm-eval')
  (tmp_path / 'set/algebra').mkdir(parents=True)
  (tmp_path / 'set/algebra/test.jsonl').write_text('{"q": 1}\n{"q": 2}\n')
  (tmp_path / 'set/algebra/train-00000-of-00001.jsonl').write_text('{"q": 3}\n')
  load = datasets.load_dataset
  with local_data.instead(local_data.pairs(f'some/one={tmp_path}/set')):
    whole = datasets.load_dataset('some/one', 'algebra', revision='abc')
    assert {split: rows['q'][:] for split, rows in whole.items()} == {'test': [1, 2], 'train': [3]}
    assert datasets.load_dataset(path='some/one', data_dir='algebra', split='test[:1]')['q'][:] == [1]
    with pytest.raises(r1jax.UserError, match="no split 'validation'"):
      datasets.load_dataset('some/one', 'algebra', split='validation')
  assert datasets.load_dataset is load


@pytest.mark.parametrize('text', ['a', 'a=', '=b', 'a=/nowhere/at/all'])
def test_data_of_another_form_is_refused(text):
  with pytest.raises(r1jax.UserError, match='data='):
    local_data.pairs(text)


def test_the_flag_is_taken_out(tmp_path):
  assert local_data.flag(['run', '--data', f'a={tmp_path}', '--tasks', 'x', f'--data=b={tmp_path}']) == (
      {'a': str(tmp_path), 'b': str(tmp_path)}, ['run', '--tasks', 'x'])
