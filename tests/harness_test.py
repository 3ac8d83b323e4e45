"""Harnesses of others over our models: inspect_ai, lm-eval; what they give is what r1jax itself gives."""

import json
import os
import re
import types

import numpy as np
import pytest

import r1jax
from r1jax.harness import asking
from r1jax.harness import likelihood
from r1jax.harness import local_data
from r1jax.harness import messages

pytestmark = pytest.mark.usefixtures('one_device')

PREFILL = ' <think> Step by step:'
MOST = 64  # tokens of an answer
SLOTS = 16  # in all tests, so that few samplers are compiled


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
                         max_prompt=128, batch=64, slots=SLOTS, dtype='float32')
  return found.scores[0]['pass@1'], [(row['text'], row['correct']) for row in found.samples]


def asked(model, number: int) -> list[int]:
  talk = [{'role': 'user', 'content': f'{number} + {number + 3} ='}]
  return model.tokenizer.encode_prompt(messages.text(model, talk))


# --- what both stand on


def test_answers_depend_on_their_prompt_alone(model):
  ask = lambda n, **kw: asking.Ask(asked(model, n), max_tokens=16, **kw)
  said = lambda asks, **kw: {i: [s.text for s in samples] for i, samples in asking.Asker(model, **kw)(asks)}
  alone = said([ask(1, samples=3)], slots=SLOTS)[0]
  among = said([ask(2), ask(1, samples=3), ask(3, temperature=0), ask(1, samples=3, seed=7)], slots=SLOTS)
  assert among[1] == alone and len(set(alone)) > 1
  assert among[3] != alone  # another seed
  asker = asking.Asker(model, slots=SLOTS)
  again = [next(asker([ask(1)]))[1][0].text for _ in range(3)]
  assert again == alone  # one after the other they are the samples of one group


def test_an_answer_ends_before_a_text_or_at_its_limit(model):
  whole = next(asking.Asker(model, slots=SLOTS)([asking.Ask(asked(model, 5), max_tokens=16, temperature=0)]))[1][0]
  cut = next(asking.Asker(model, slots=SLOTS)([asking.Ask(asked(model, 5), max_tokens=16, temperature=0,
                                                      stop=('zzz', whole.text[4:6]))]))[1][0]
  assert cut.text == whole.text[:whole.text.find(whole.text[4:6])] and cut.finish == 'stop'
  short = next(asking.Asker(model, slots=SLOTS)([asking.Ask(asked(model, 5), max_tokens=2, temperature=0)]))[1][0]
  assert (len(short.ids), short.finish) == (2, 'length')


@pytest.mark.parametrize('text, stop, kept', [
    ('abcabc', ('c',), 'ab'), ('abcabc', ('ca', 'b'), 'a'), ('abc', (), 'abc'), ('abc', ('', 'x'), 'abc'), ('abc', ('a',), '')])
def test_until(text, stop, kept):
  assert asking.until(text, stop) == kept


@pytest.mark.parametrize('ask, said', [
    (dict(samples=0), 'samples=0'), (dict(temperature=-1), 'temperature=-1'), (dict(top_p=0), 'top_p=0'),
    (dict(max_tokens=0), 'max_tokens=0'), (dict(prompt=[5] * 256), '256 positions'),
    (dict(prompt=[]), 'a prompt has 0 tokens')])
def test_what_cannot_be_asked_is_one_line(model, ask, said):
  with pytest.raises(r1jax.UserError, match=said):
    list(asking.Asker(model)([asking.Ask(**{'prompt': [5, 6], **ask})]))


def test_one_callers_fault_is_not_anothers(model):
  service, found = asking.Service(asking.Asker(model, slots=SLOTS)), {}
  with pytest.raises(r1jax.UserError):
    service.submit(asking.Ask([5] * 300), None)
  for n in range(6):
    service.submit(asking.Ask(asked(model, n), max_tokens=16, temperature=0), lambda said, n=n: found.__setitem__(n, said))
  service.close()
  assert sorted(found) == list(range(6)) and all(len(samples) == 1 for samples in found.values())


def test_who_waits_no_longer_gives_its_rows_back(model):
  asker = asking.Asker(model, slots=SLOTS)
  gone = asker.add(asking.Ask(asked(model, 1), samples=3, max_tokens=64))
  stays = asker.add(asking.Ask(asked(model, 2), max_tokens=8, temperature=0))
  found = list(asker.step())
  asker.cancel(gone)
  asker.cancel(gone)
  while asker.busy:
    found += asker.step()
  assert [ticket for ticket, _ in found] == [stays] and not asker._running.busy
  waits = asker.add(asking.Ask(asked(model, 3), max_tokens=64))
  asker.cancel(waits)
  assert not asker.busy and not asker.step()


def test_an_answer_that_is_stopped_frees_its_row(model):
  """Decoding ends where the text is found, not at max_tokens."""
  ask = asking.Ask(asked(model, 5), max_tokens=100, temperature=0)
  whole = next(asking.Asker(model, slots=SLOTS)([ask]))[1][0]
  stopped = next(asking.Asker(model, slots=SLOTS)([ask._replace(stop=(whole.text[2:5],))]))[1][0]
  assert stopped.text == whole.text[:whole.text.find(whole.text[2:5])]
  assert len(stopped.ids) <= 32 or len(stopped.ids) < len(whole.ids)


def test_log_probabilities_are_the_models_own(model):
  """At temperature 1 whatever it is sampled at, and the sampled token's rank among the likeliest."""
  said = next(asking.Asker(model, slots=SLOTS)([asking.Ask(asked(model, 5), max_tokens=8, temperature=0, heard=True)]))[1][0]
  likely, = likelihood.Scorer(model)([(asked(model, 5), said.ids)])
  np.testing.assert_allclose(said.logps, likely.logps, atol=2e-4)
  assert (said.top_ids[:, 0] == said.ids).all() and (np.diff(said.top_logps, axis=1) <= 0).all()


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
  said = next(asking.Asker(model, slots=SLOTS)([asking.Ask(asked(model, 14), max_tokens=6, temperature=0)]))[1][0]
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
    ([('system', 's'), ('user', 'a')], 'refuse', 'has a place for one message of a user, not for system, user: turns=join'),
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


def test_talks_by_a_chat_template():
  """Earlier turns, and the system prompt that the checkpoint was trained with unless the talk has one."""
  template = '{% for m in messages %}[{{m.role}}]{{m.content}}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}'
  tokenizer = types.SimpleNamespace(chat_template=template, special={}, directory='somewhere')
  chat = types.SimpleNamespace(template='chat', system='s', prefill=' so', tokenizer=tokenizer)
  talk = [{'role': role, 'content': text} for role, text in (('user', '1'), ('assistant', '2'), ('user', '3'))]
  assert messages.text(chat, talk) == '[system]s[user]1[assistant]2[user]3[a] so'
  own = [{'role': 'system', 'content': 't'}, talk[0]]
  assert messages.text(chat, own) == '[system]t[user]1[a] so'
  assert messages.apart(chat, ' 4') == ('', ' so 4')
  tokenizer.chat_template = template.replace('[a]', '[a]<think>')
  assert messages.apart(chat, ' 4 </think> 5') == ('so 4', ' 5')


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


# --- inspect_ai


@pytest.fixture(scope='module')
def inspected(place, questions, tmp_path_factory):
  """An evaluation of the same questions by inspect_ai, two epochs at temperature 0."""
  ai = pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: extra eval')
  from r1jax.harness import inspect_registry
  log, = ai.eval(inspect_registry.questions(f'jsonl:{questions}'), model=f'r1jax/{place}',
                 model_args={'dtype': 'float32', 'slots': SLOTS}, temperature=0.0, max_tokens=MOST, max_connections=64,
                 epochs=ai.Epochs(2, ['mean', 'r1jax/cons']), display='none',
                 log_dir=str(tmp_path_factory.mktemp('logs')))
  assert log.status == 'success', log.error
  return log


def test_inspect_says_what_evaluate_says(inspected, ours):
  """The same texts, the same verdicts, the same pass@1; a vote of equals changes nothing."""
  from r1jax.harness import inspect_registry
  pass_at_1, samples = ours
  found = {(s.id, s.epoch): s for s in inspected.samples}
  assert len(found) == 128
  for number, (text, correct) in enumerate(samples, 1):
    for epoch in (1, 2):
      sample = found[str(number), epoch]
      assert inspect_registry.completion(sample.output) == _tagged(PREFILL + text)
      assert sample.scores['math'].value == float(correct)
  values = {score.reducer: score.metrics['accuracy'].value for score in inspected.results.scores}
  assert values == {'mean': pytest.approx(pass_at_1, abs=1e-12), 'r1jax/cons': pytest.approx(pass_at_1, abs=1e-12)}
  assert 0 < pass_at_1 < 1


def _tagged(text: str) -> str:
  """An answer in table 1's tags as it comes out of its parts: white space before them is gone."""
  return text.lstrip()


def test_inspect_counts_tokens_and_how_answers_end(inspected, model):
  for sample in inspected.samples[:8]:
    usage, = sample.model_usage.values()
    said = usage.output_tokens
    assert usage.input_tokens == len(model.tokenizer.encode_prompt(
        messages.text(model, [{'role': 'user', 'content': sample.input}])))
    assert 0 < usage.reasoning_tokens <= usage.output_tokens <= MOST
    assert sample.output.stop_reason == ('max_tokens' if said == MOST else 'stop')


def test_inspect_finds_all_by_name():
  """By the entry point of setup.py, as its command looks for them."""
  pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: extra eval')
  from importlib import metadata
  from inspect_ai._util import registry
  where = {entry.name: entry.value for entry in metadata.entry_points(group='inspect_ai')}
  if 'r1jax' not in where:
    pytest.skip('r1jax was installed before it had this entry point')
  assert where['r1jax'] == 'r1jax.harness.inspect_registry'
  registry.ensure_entry_points('r1jax')
  assert registry.registry_find(lambda info: info.type == 'modelapi' and info.name in ('r1jax', 'r1jax/r1jax'))
  for kind, name in (('score_reducer', 'r1jax/cons'), ('scorer', 'r1jax/math'),
                     ('task', 'r1jax/questions'), ('task', 'r1jax/local')):
    assert registry.registry_lookup(kind, name) is not None, name


@pytest.mark.parametrize('answers, k, won', [
    ('112', 0, 1.0), ('122', 0, 0.0), ('1222', 2, 0.5), ('12', 0, 1.0), ('--1', 0, 1.0), ('---', 0, 0.0)])
def test_a_vote_counts_classes(answers, k, won):
  """1 is right however it is spelled; K votes over disjoint blocks, ties go to the first."""
  pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: extra eval')
  from inspect_ai.scorer import Score
  from r1jax.harness import inspect_registry
  spelled = iter(['1', '1', '1'])
  scores = [Score(value=float(a == '1'), answer=None if a == '-' else next(spelled) if a == '1' else a,
                  metadata={'answer_type': 'int', 'reward': 'math'}) for a in answers]
  assert inspect_registry.cons(k)(scores).value == won
  plain = [Score(value='C' if a == '1' else 'I', answer=None if a == '-' else a) for a in answers]  # of another scorer
  assert inspect_registry.cons(k)(plain).value == won


def test_a_vote_joins_spellings():
  pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: extra eval')
  from inspect_ai.scorer import Score
  from r1jax.harness import inspect_registry
  kind = {'answer_type': 'rational', 'reward': 'math'}
  wrong = [Score(value=0.0, answer=a, metadata=kind) for a in ('1/2', r'\frac{1}{2}', '0.5')]
  right = [Score(value=1.0, answer='3', metadata=kind)] * 2
  assert inspect_registry.cons()(right + wrong).value == 0.0  # one candidate of three votes


@pytest.mark.parametrize('arguments, said', [
    (dict(slotz=3), 'slotz'), (dict(turns='drop'), 'turns=drop'), (dict(slots=0), 'slots=0'),
    (dict(template='none'), "no template 'none'")])
def test_wrong_model_arguments_are_one_line(place, arguments, said):
  ai = pytest.importorskip('inspect_ai', reason='inspect_ai is not installed: extra eval')
  from inspect_ai._util.error import PrerequisiteError
  with pytest.raises(PrerequisiteError, match=said):
    ai.model.get_model(f'r1jax/{place}', memoize=False, **arguments)


def test_a_task_of_inspect_evals_with_data_of_ones_own(tmp_path):
  pytest.importorskip('inspect_evals', reason='inspect_evals is not installed: extra eval')
  from inspect_ai._util.error import PrerequisiteError
  from r1jax.harness import inspect_registry
  (tmp_path / 'gsm8k/main').mkdir(parents=True)
  row = {'question': 'What is 2 + 3?', 'answer': 'It is 2 + 3 = 5.\n#### 5'}
  (tmp_path / 'gsm8k/main/test.jsonl').write_text(json.dumps(row) + '\n')
  task = inspect_registry.local('gsm8k', f'openai/gsm8k={tmp_path}/gsm8k', fewshot=0)
  assert [(sample.input, sample.target) for sample in task.dataset] == [('What is 2 + 3?', '5')]
  with pytest.raises(PrerequisiteError, match="no task 'gsm9k'"):
    inspect_registry.local('gsm9k', f'openai/gsm8k={tmp_path}/gsm8k')


# --- lm-eval

TASK = r"""
task: r1jax_sums
dataset_path: json
dataset_kwargs: {data_files: {test: QUESTIONS}}
test_split: test
output_type: generate_until
doc_to_text: '{{question}}'
doc_to_target: '{{answer}}'
generation_kwargs: {until: [], max_gen_toks: MOST, do_sample: false}
filter_list:
  - name: answer
    filter: [{function: regex, regex_pattern: '<answer>\s*(\S+)\s*</answer>'}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture(scope='module')
def lm(place):
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  from r1jax.harness import lm_eval
  return lm_eval.R1JaxLM(place, dtype='float32', slots=SLOTS)


def test_lm_eval_says_what_evaluate_says(lm, questions, ours, tmp_path, monkeypatch):
  """A task of one's own with local data, through lm-eval's own evaluation."""
  import lm_eval
  from lm_eval.tasks import TaskManager
  monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  (tmp_path / 'sums.yaml').write_text(TASK.replace('QUESTIONS', questions).replace('MOST', str(MOST)))
  found = lm_eval.simple_evaluate(lm, tasks=['r1jax_sums'], apply_chat_template=True, bootstrap_iters=0,
                                  task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False))
  assert found['results']['r1jax_sums']['exact_match,answer'] == pytest.approx(ours[0], abs=1e-12)
  texts = {row['doc_id']: row['resps'][0][0] for row in found['samples']['r1jax_sums']}
  assert [texts[i] for i in range(64)] == [text for text, _ in ours[1]]


@pytest.mark.slow
def test_the_command_asks_lm_evals_own_tasks_about_local_data(place, tmp_path, monkeypatch):
  """MMLU by likelihoods and GSM8K by answers, the built-in tasks, our model by name, data sets of the hub from files."""
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  from r1jax.harness import lm_eval
  monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  mmlu, gsm8k = tmp_path / 'mmlu/abstract_algebra', tmp_path / 'gsm8k/main'
  mmlu.mkdir(parents=True)
  gsm8k.mkdir(parents=True)
  rows = [{'question': f'{n} + 1 =', 'choices': [str(n + k) for k in range(4)], 'answer': 1} for n in range(6)]
  (mmlu / 'test.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  (mmlu / 'dev.jsonl').write_text(json.dumps(rows[0]) + '\n')
  row = {'question': 'What is 2 + 3?', 'answer': 'It is 2 + 3 = 5.\n#### 5'}
  for split in ('test', 'train'):
    (gsm8k / f'{split}.jsonl').write_text(json.dumps(row) + '\n')
  code = lm_eval.main([
      'lm_eval', '--model_args', f'path={place},dtype=float32,slots={SLOTS}', '--tasks', 'mmlu_abstract_algebra,gsm8k',
      '--num_fewshot', '1', '--gen_kwargs', 'max_gen_toks=16', '--data', f'cais/mmlu={tmp_path}/mmlu',
      '--data', f'openai/gsm8k={tmp_path}/gsm8k', '--log_samples', '--output_path', str(tmp_path / 'out')])
  assert code == 0
  result, = (tmp_path / 'out').rglob('results_*.json')
  found = json.loads(result.read_text())
  assert found['n-samples']['mmlu_abstract_algebra']['effective'] == 6 and found['n-samples']['gsm8k']['effective'] == 1
  assert 0 <= found['results']['mmlu_abstract_algebra']['acc,none'] <= 1
  assert found['config']['model_num_parameters'] == 1025152
  samples, = (tmp_path / 'out').rglob('samples_mmlu*.jsonl')
  scorer, model = likelihood.Scorer(r1jax.load(place, dtype='float32')), r1jax.load(place, dtype='float32')
  for row in map(json.loads, samples.read_text().splitlines()):
    prompt = row['arguments']['gen_args_0']['arg_0']
    assert prompt.endswith('Answer:') and prompt.count('Answer:') == 2  # one shot
    pairs = [(model.tokenizer.encode(prompt), model.tokenizer.encode(f'{prompt} {letter}')) for letter in 'ABCD']
    want = [scorer([(ids, whole[len(ids):])])[0].logps.sum() for ids, whole in pairs]
    assert [float(answer[0][0]) for answer in row['resps']] == pytest.approx(want, abs=1e-4)


def requests(*args):
  from lm_eval.api.instance import Instance
  return [Instance('loglikelihood', {}, one, i) for i, one in enumerate(args)]


def test_loglikelihood_is_the_models(lm, model):
  """Sums of Model.logps where the prompt ends at a token; spaces at a context's end go to the continuation."""
  context = messages.text(model, [{'role': 'user', 'content': '4 + 5 ='}])
  texts = [' 9.', ' 12. </think>', ' 9']
  found = lm.loglikelihood(requests(*[(context, text) for text in texts]))
  want = model.logps(['4 + 5 ='] * 3, texts)
  np.testing.assert_allclose([total for total, _ in found], [w.sum() for w in want], atol=5e-5)
  assert all(isinstance(greedy, bool) for _, greedy in found)
  spaced, plain = lm.loglikelihood(requests(('User: 4 + 5 ', '= 9'), ('User: 4 + 5', ' = 9')))
  assert spaced == pytest.approx(plain)
  answer = lm.generate_until(requests((context, {'until': [], 'max_gen_toks': 4})))[0]
  assert lm.loglikelihood(requests((context, answer)))[0][1]  # what greedy decoding says is greedy


def test_loglikelihood_rolling_is_each_token_once(lm, model):
  """By hand: the first tokens behind the prefix token, those beyond the model's positions behind what fits."""
  text = 'State the final answer: 1 + 2 = 3. '
  long = ''.join(f'{n} + {n + 1} = {2 * n + 1}. ' for n in range(60))
  ids, many = (model.tokenizer.encode(t) for t in (text, long))
  assert len(many) > model.config.max_length + 40
  begin = [model.tokenizer.eos_ids[0]]
  short, whole = lm.loglikelihood_rolling(requests((text,), (long,)))
  score = likelihood.Scorer(model)
  assert short == pytest.approx(score([(begin, ids)])[0].logps.sum(), abs=1e-4)
  P, want, done = model.config.max_length, 0.0, 0
  while done < len(many):
    end = min(done + P, len(many))
    before = begin if not done else many[end - P - 1:done]
    want += float(score([(before, many[done:end])])[0].logps.sum())
    done = end
  assert whole == pytest.approx(want, abs=1e-3)


def test_contexts_beyond_the_model_are_cut_on_the_left(lm, model, caplog):
  long = ''.join(f'{n} + 1. ' for n in range(200))
  (total, _), = lm.loglikelihood(requests((long, ' 7 + 2')))
  whole = model.tokenizer.encode(long.rstrip() + '  7 + 2')
  said = whole[len(model.tokenizer.encode(long.rstrip())):]
  before = whole[:-len(said)][-(model.config.max_length + 1 - len(said)):]
  assert total == pytest.approx(likelihood.Scorer(model)([(before, said)])[0].logps.sum(), abs=1e-4)
  assert 'cut on the left' in caplog.text


@pytest.mark.parametrize('kwargs, said', [
    (dict(path=''), 'names no path'), (dict(max_length=1000), '256 positions'), (dict(add_bos_token=True), 'begins a text')])
def test_wrong_arguments_of_the_model_are_one_line(place, kwargs, said):
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  from r1jax.harness import lm_eval
  with pytest.raises(r1jax.UserError, match=said):
    lm_eval.R1JaxLM(**{'path': place, **kwargs})


def test_generation_kwargs_that_nobody_knows_are_refused(lm):
  with pytest.raises(r1jax.UserError, match='repetition_penalty'):
    lm.generate_until(requests(('a', {'until': [], 'repetition_penalty': 1.1})))


def test_reasoning_is_cut_before_a_stop_is_looked_for(place, model, ours, questions):
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  from r1jax.harness import lm_eval
  thinks = lm_eval.R1JaxLM(place, dtype='float32', slots=SLOTS, think_end_token='</think>')
  number = next(i for i, (text, _) in enumerate(ours[1]) if '</think> <answer>' in text and '.' in text)
  with open(questions, encoding='utf-8') as f:
    question = json.loads(f.read().splitlines()[number])['question']
  context = messages.text(model, [{'role': 'user', 'content': question}])
  said = thinks.generate_until(requests((context, {'until': ['.', '>'], 'max_gen_toks': MOST})))[0]
  assert said == '<answer'


@pytest.mark.slow
def test_lm_evals_own_model_says_the_same(tmp_path):
  """The tiny base through lm-eval's transformers and through ours: likelihoods, greedy or not, whole texts, answers."""
  pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  pytest.importorskip('torch', reason='torch is not installed: extra parity')
  pytest.importorskip('transformers', reason='transformers is not installed: extra parity')
  from lm_eval.models.huggingface import HFLM
  from r1jax.harness import lm_eval
  published = os.path.join(os.path.dirname(r1jax.__file__), 'assets', 'tiny_base')
  theirs = HFLM(pretrained=published, dtype='float32', device='cpu', batch_size=4)
  mine = lm_eval.R1JaxLM('tiny-base', template='r1_zero', dtype='float32', slots=SLOTS)
  start = 'User: 4 + 7 + 7 =. Assistant:'
  pairs = [(start, ' <think> It is 18. </think>'), (start, ' <think> It is 19.'), (start + ' ', '<think>'), ('', '4 + 7'),
           (start, ' It'), ('4 + 7 = ' * 60, ' 11'), (start, ' <think>')]
  for (ours, greedy), (wanted, theirs_greedy) in zip(mine.loglikelihood(requests(*pairs)),
                                                     theirs.loglikelihood(requests(*pairs)), strict=True):
    assert ours == pytest.approx(wanted, abs=2e-3) and greedy == theirs_greedy
  texts = [('4 + 7 = 11, 11 + 7 = 18. ' * n,) for n in (1, 40)]  # the second is longer than the model has positions
  assert mine.loglikelihood_rolling(requests(*texts)) == pytest.approx(
      theirs.loglikelihood_rolling(requests(*texts)), rel=1e-5)
  asks = [(start, {'until': until, 'max_gen_toks': 16, 'do_sample': False}) for until in ([], ['</think>'], ['18', '19'])]
  assert mine.generate_until(requests(*asks)) == theirs.generate_until(requests(*asks))


DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'harnesses.md')


def documented(heading: str) -> list[tuple[str, str]]:
  """(task, hub id) of the rows of a table of docs/harnesses.md."""
  with open(DOCS, encoding='utf-8') as f:
    part = f.read().partition(f'{heading}\n')[2].partition('\n#')[0]
  return [(cells[2].strip('` '), cells[3].strip('` ')) for line in part.splitlines()
          if len(cells := line.split('|')) > 4 and re.fullmatch(r' `[\w.-]+/[\w.-]+` ', cells[3])]


def test_data_sets_in_the_docs_are_those_of_lm_evals_tasks():
  lm_eval = pytest.importorskip('lm_eval', reason='lm-eval is not installed: extra lm-eval')
  import pathlib
  rows = documented('## lm-eval')
  assert len(rows) == 8
  tasks = pathlib.Path(lm_eval.__file__).parent / 'tasks'
  texts = [path.read_text() for path in tasks.rglob('*yaml')]
  for task, hub in rows:
    assert any(f'group: {task}\n' in text or f'task: {task}\n' in text for text in texts), task
    assert any(f'dataset_path: {hub}\n' in text or f'dataset_path: "{hub}"\n' in text for text in texts), hub


def test_data_sets_in_the_docs_are_those_of_inspect_evals_tasks():
  evals = pytest.importorskip('inspect_evals', reason='inspect_evals is not installed: extra eval')
  import pathlib
  from inspect_evals import _registry
  rows = documented('## inspect_ai')
  assert len(rows) >= 6
  for task, hub in rows:
    assert hasattr(_registry, task)
    folder = pathlib.Path(evals.__file__).parent / task.removesuffix('_0_shot')
    assert any(f'"{hub}"' in path.read_text() for path in folder.rglob('*.py')), (task, hub)


# --- the endpoint


def test_the_endpoint_says_what_evaluate_says(model, questions, ours):
  """64 requests at once through the openai client, reasoning apart: the same texts, the same pass@1."""
  openai = pytest.importorskip('openai', reason='openai is not installed: extra test')
  pytest.importorskip('uvicorn', reason='uvicorn is not installed: extra serve')
  serving = pytest.importorskip('serving', reason='there is no endpoint')
  from concurrent import futures
  with open(questions, encoding='utf-8') as f:
    rows = [json.loads(line) for line in f]
  with serving.serving(model, slots=SLOTS, queue=64, length=256) as running:
    client = openai.OpenAI(base_url=f'http://127.0.0.1:{running.port}/v1', api_key='none', max_retries=0)

    def ask(row):
      said = client.chat.completions.create(model='tiny', messages=[{'role': 'user', 'content': row['question']}],
                                            temperature=0, max_tokens=MOST).choices[0].message
      reasoning = getattr(said, 'reasoning_content', None)
      text = f'<think>{reasoning}</think>{said.content}' if reasoning else said.content or ''
      return r1jax.score('math', text, {'answer': row['answer'], 'answer_type': 'int'}).value

    with futures.ThreadPoolExecutor(32) as pool:
      found = list(pool.map(ask, rows))
  assert np.mean(found) == pytest.approx(ours[0], abs=1e-12)
  assert found == [float(correct) for _, correct in ours[1]]
