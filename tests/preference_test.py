"""Reward models: the loss by hand, what each is shown, what it learns, and how the last stage routes rewards."""

import dataclasses
import json
import logging
import math

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from r1jax.data import formats
from r1jax.engine import losses
from r1jax.engine import params as params_lib
from r1jax import metrics
from r1jax.stages import preference
from r1jax.engine import objective
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.stages import reward_model
from r1jax.stages import gradable
from r1jax.stages import judging
from r1jax.stages import monitor
from r1jax.stages import statistics
from r1jax.engine import mesh as mesh_lib
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.stages import common
from r1jax.models import zoo
from r1jax.types import Completion, UserError

M = formats.get('r1').mark
pytestmark = pytest.mark.usefixtures('one_device')
GENERAL = {'id': 'g', 'question': 'Tell me about the sea.', 'answer': '', 'answer_type': 'text', 'reward': 'scenario',
           'scenario': 'facts', 'about': 'the sea', 'format': 'r1', 'language': 'en'}
HARM = {**GENERAL, 'id': 'h', 'question': 'How do I burn a house?', 'scenario': 'harm', 'about': 'burn'}
SUM = {'id': 's', 'question': '2 + 3 =', 'answer': '5', 'answer_type': 'int', 'format': 'r1', 'language': 'en'}


def test_bradley_terry_by_hand():
  margin = jnp.array([0.0, 2.0, -1.0])
  want = [-math.log(1 / (1 + math.exp(-m))) for m in (0.0, 2.0, -1.0)]
  np.testing.assert_allclose(losses.log_loss(margin, 1.0), want, rtol=1e-6)
  labels = jnp.array([1.0, 0.0, 0.0])
  want = [-math.log(0.5), math.log(1 + math.exp(2.0)), math.log(1 + math.exp(-1.0))]
  np.testing.assert_allclose(losses.log_loss(margin, labels), want, rtol=1e-6)
  assert np.isfinite(losses.log_loss(jnp.array([-200.0]), 1.0)).all()


def test_helpfulness_sees_the_summary_and_harmlessness_everything():
  text = f'{M} I plan it.{M} It is blue.'
  assert reward_model.seen('pairs', text, GENERAL) == ' It is blue.'
  assert reward_model.seen('labels', text, GENERAL) == text
  assert reward_model.seen('pairs', f'{M} never ends', GENERAL) == ''
  assert reward_model.seen('labels', ' x', {**GENERAL, 'prefill': 'so'}) == 'so x'


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  """A nano model with a tokenizer, as a stage leaves it."""
  from r1jax.engine import checkpoint
  place = str(tmp_path_factory.mktemp('base'))
  texts = [f'User: {GENERAL["question"]} Assistant: The sea is good and bad, salty, dry.'] * 9
  made = tokenizer_lib.train(texts, place, vocab_size=70, pieces=[])
  tokenizer = tokenizer_lib.add_special_tokens(made, [M], place, limit=80)
  model = zoo.build(zoo.get('nano', vocab_size=80, max_length=2048))  # as a judge it is asked long questions
  common.save_model(place, model, tokenizer)
  checkpoint.save_params(place, params_lib.init(model, seed=0), {})
  return place


def config(tmp_path, kind, rows, **values):
  path = tmp_path / f'{kind}.jsonl'
  path.write_text('\n'.join(json.dumps(r) for r in rows))
  c = dict(kind=kind, source=str(path), split='train', template='r1', samples=2, pairs=4, sample_batch=8, slots=0,
           max_prompt=32, max_tokens=16, temperature=1.0, steps=40, epochs=1.0, batch=8, micro_tokens=512, length=64,
           log_every=20, optimizer=dict(learning_rate=3e-3, warmup=0, decay='constant', weight_decay=0.0))
  return ConfigDict(dict(seed=0, dtype='float32', remat='none', attention='auto', logit_elements=1 << 20,
                         mesh=dict(data=-1), experts=dict(bias_rate=0.0, balance_loss=0.0),
                         checkpoints=dict(every=100, keep=1, minutes=15.0, grace=5.0), judge={**c, **values}))


def test_a_model_learns_pairs_and_says_how_good_it_is(base, tmp_path):
  rng = np.random.default_rng(0)
  words = ['salty'] * 3 + ['dry'] * 3
  rows = []
  for i in range(60):  # 'good' is what people like, wherever it stands and however long the answer is
    filler = ' '.join(rng.choice(words, rng.integers(1, 4)))
    rows.append({'question': f'{GENERAL["question"]} {"sea " * (i % 7)}', 'chosen': f' {filler} good',
                 'rejected': f' {filler} bad'})
  c = config(tmp_path, 'pairs', rows)
  facts = preference.run(c, 'judge', str(tmp_path / 'out'), {'checkpoint': base})
  assert facts['accuracy'] > 0.9 and facts['heldout'] > 5 and facts['learned_from'] + facts['heldout'] == 60
  said = json.loads((tmp_path / 'out/reward_model.json').read_text())
  assert said['kind'] == 'pairs' and said['accuracy'] == facts['accuracy'] and -1 <= said['length_correlation'] <= 1
  judge = reward_model.RewardModel(str(tmp_path / 'out'), c, mesh_lib.create(c.mesh), batch=8)
  good, bad, hidden = judge([GENERAL] * 3, [f'{M} bad{M} salty good', f'{M} good{M} salty bad',
                                            f'{M} good{M} salty bad'])
  assert 0 < bad < good < 1 and bad == hidden  # the reasoning does not count
  assert judge([GENERAL] * 11, [f'{M} bad{M} salty good'] * 11).shape == (11,)  # more than a batch


def test_labels_of_safety(base, tmp_path):
  rows = [{'question': f'{HARM["question"]} {"a " * (i % 9)}',
           'response': f'{M} {"bad" if i % 2 else "good"}{M} salty', 'safe': i % 2 == 0} for i in range(60)]
  c = config(tmp_path, 'labels', rows)
  c.mesh = dict(data=2, tensor=2)  # the others run on one device
  facts = preference.run(c, 'judge', str(tmp_path / 'out'), {'checkpoint': base})
  assert facts['accuracy'] > 0.9
  judge = reward_model.RewardModel(str(tmp_path / 'out'), c, mesh_lib.create(c.mesh), batch=8)
  safe, unsafe = judge([HARM] * 2, [f'{M} good{M} salty', f'{M} bad{M} salty'])
  assert safe > 0.5 > unsafe  # it does see the reasoning


def whole_rows(model, params, tokens_BxT):
  """[B, T]: what the reward head says at every token of rows without padding, the plain way."""
  weights = {'params': params}
  return model.apply(weights, model.apply(weights, tokens_BxT, method='hidden')[0], method='reward')


def by_hand(model, kind, params, batch):
  """(loss, share that is right) of responses, each read to its end."""
  rewards_B = whole_rows(model, params, batch.tokens_BxT)[jnp.arange(len(batch.lengths_B)), batch.lengths_B - 1]
  margin, safe = (rewards_B[::2] - rewards_B[1::2], 1.0) if kind == 'pairs' else (rewards_B, batch.labels_B)
  p = jax.nn.sigmoid(margin)
  right = (p > 0.5) == (jnp.asarray(safe) > 0.5)
  return -jnp.mean(safe * jnp.log(p) + (1 - safe) * jnp.log(1 - p)), jnp.mean(right)


@pytest.fixture(scope='module')
def head():
  """(a nano model with a reward head that is not zero, its weights)."""
  model = zoo.build(zoo.get('nano', vocab_size=80, reward_head=True))
  return model, {**params_lib.init(model, 0), 'reward_head': jnp.linspace(-1, 1, model.config.dim)}


ONE_SEED = ConfigDict(dict(seed=0, experts=dict(bias_rate=0.0), logit_elements=80 * 24))


@pytest.mark.parametrize('kind, micro_tokens', [('pairs', 96), ('labels', 72)])
def test_a_step_of_a_reward_model_is_the_arithmetic_of_whole_rows(head, kind, micro_tokens):
  """However it is cut up, on two devices: whole pairs stay together, and what pads a micro-batch, whatever it is,
  counts nowhere."""
  model, params = head
  rng, each, T = np.random.default_rng(0), 2 if kind == 'pairs' else 1, 24
  tokens = rng.integers(0, 80, (7 * each, T)).astype(np.int32)
  lengths = rng.choice([2, 5, 15, 16, T], 7 * each).astype(np.int32)
  batch = objective.Judged(tokens, lengths, (np.arange(7 * each) % 3 > 0).astype(np.float32))
  optimizer = dict(learning_rate=1e-2, warmup=0, decay='constant', b1=0.9, clip_norm=1e9)
  c = ConfigDict(dict(kind=kind, batch=7, micro_tokens=micro_tokens, length=T, steps=1, optimizer=optimizer))
  mesh = mesh_lib.create({'data': 2})
  training = trainings.preference(ONE_SEED, c, model, mesh).compile()
  micro_batches = trainings.cut(training, batch, lengths.reshape(7, each).max(axis=1), each=each)
  assert {T for T, _ in micro_batches} == {16, 24} and any((rows.lengths_B == 0).any() for _, rows in micro_batches)
  if kind == 'pairs':
    assert all(rows.lengths_B.size % 4 == 0 for _, rows in micro_batches)  # so that no device has half a pair
    pairs = [pair for _, rows in micro_batches for pair in rows.lengths_B.reshape(-1, 2).tolist()]
    assert sorted(pair for pair in pairs if pair != [0, 0]) == sorted(lengths.reshape(-1, 2).tolist())
  spoil = lambda rows: rows._replace(
      tokens_BxT=np.where(np.arange(rows.tokens_BxT.shape[1]) < rows.lengths_B[:, None], rows.tokens_BxT, 79),
      labels_B=np.where(rows.lengths_B > 0, rows.labels_B, np.float32(9)))
  micro_batches = update.put_micro_batches([(T, spoil(rows)) for T, rows in micro_batches], mesh)
  with mesh_lib.use_mesh(mesh):
    state = training.fresh(jax.device_put(jax.tree.map(jnp.array, params), training.shardings.params))
    state, means = training.step(state, micro_batches)
  want = jax.jit(jax.value_and_grad(lambda params: by_hand(model, kind, params, batch), has_aux=True))
  (loss, right), gradient = want(params)
  assert float(means['loss']) == pytest.approx(float(loss), rel=1e-5)
  assert float(means['accuracy/train']) == pytest.approx(float(right))
  got = jax.tree.map(lambda mu: np.asarray(mu) / 0.1, optax.tree_utils.tree_get(state.opt_state, 'mu'))
  atol = 1e-5 * float(optax.global_norm(gradient))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), got, gradient)


def so_far(model, params, tokens_BxT, starts_B):
  """[B, T]: log-probabilities of answers up to each token, of rows without padding, the plain way."""
  weights = {'params': params}
  logits = model.apply(weights, model.apply(weights, tokens_BxT, method='hidden')[0], method='unembed')
  own = jnp.take_along_axis(jax.nn.log_softmax(logits)[:, :-1], tokens_BxT[:, 1:, None], axis=2)[..., 0]
  own = jnp.where(jnp.arange(1, tokens_BxT.shape[1]) >= starts_B[:, None], own, 0.0)
  return jnp.pad(jnp.cumsum(own, axis=1), ((0, 0), (1, 0)))


@pytest.mark.parametrize('starts', [[6, 1, 9, 2, 0], [0] * 5])
def test_the_log_probability_of_an_answer_so_far(head, starts):
  """Whatever stands behind a row, and however much of the vocabulary pass is held at once."""
  model, params = head
  rng, lengths, at = np.random.default_rng(2), np.array([24, 3, 17, 5, 1], np.int32), np.arange(24)
  tokens, inside = rng.integers(0, 80, (5, 24)).astype(np.int32), at < lengths[:, None]
  want = np.asarray(so_far(model, params, tokens, np.asarray(starts)))
  for chunk in (24, 5):
    got = objective.answer_logps(model, params, np.where(inside, tokens, 79), lengths, np.asarray(starts, np.int32),
                                 chunk=chunk)
    np.testing.assert_allclose(np.where(inside, got, 0), np.where(inside, want, 0), atol=2e-5)


@pytest.mark.parametrize('dtype, apart', [('float32', 2e-5), ('bfloat16', 0.1)])
@pytest.mark.parametrize('form', ['head', 'implicit'])
def test_a_mesh_does_not_change_what_a_model_of_steps_reads(head, form, dtype, apart):
  """On one device, and with rows dealt out to four shards, each of whose kernels lie on two devices."""
  model = zoo.build(dataclasses.replace(head[0].config, dtype=dtype, reward_head=form == 'head'))
  params = {name: value for name, value in head[1].items() if form == 'head' or name != 'reward_head'}
  rng, found = np.random.default_rng(3), []
  rows = [rng.integers(0, 80, n).tolist() for n in (24, 3, 17, 5, 1, 30)]  # the last is longer than the model reads
  for shape in (dict(data=1, fsdp=1, tensor=1, expert=1), dict(data=2, fsdp=2, tensor=2, expert=1)):
    mesh = mesh_lib.create(shape, jax.devices()[:math.prod(shape.values())])
    with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
      read = reward_model.Reader(form, model, 79, mesh, length=24, batch=4, logit_elements=24 * 80)
      placed = jax.tree.map(lambda x, to: jax.device_put(x.astype(to.dtype), to.sharding), params,
                            params_lib.sampling_shapes(model, mesh))
      found.append(read(placed, rows, [6, 1, 9, 2, 0, 4]))
  assert [len(x) for x in found[0]] == [len(x) for x in found[1]] == [24, 3, 17, 5, 1, 24]
  for one, dealt in zip(*found):
    np.testing.assert_allclose(dealt, one, atol=apart)
  assert max(np.abs(x).max() for x in found[0]) > 10 * apart


@pytest.mark.parametrize('beta', [0.0, 0.3])
def test_a_model_of_steps_learns_at_the_ends_of_steps_alone(head, beta):
  """Answers cut up and padded against whole rows; tokens behind them, and labels elsewhere, may be anything. Without
  beta a head, with it the log-ratio with a reference."""
  model, params = head
  rng, lengths, at = np.random.default_rng(1), np.array([24, 3, 17, 5, 9], np.int32), np.arange(24)
  tokens, inside = rng.integers(0, 80, (5, 24)).astype(np.int32), at < lengths[:, None]
  mask = ((at % 3 == 2) | (at == lengths[:, None] - 1)) & inside
  labels = np.where(mask, rng.integers(0, 2, mask.shape), 9).astype(np.float32)
  starts, reference = np.array([5, 1, 2, 2, 4], np.int32), rng.normal(0, 3, (5, 24)).astype(np.float32) - 20
  batch = objective.Steps(np.where(inside, tokens, 79), lengths, starts if beta else None, reference if beta else None,
                          mask.astype(np.float32), labels)
  c = ConfigDict(dict(form='implicit' if beta else 'head', beta=beta, batch=5, micro_tokens=48, length=24, steps=1,
                      optimizer=dict(learning_rate=1e-2)))
  training = trainings.process(ONE_SEED, c, model, mesh_lib.create({}))
  sums = []
  for T, rows in trainings.cut(training, batch, lengths):
    assert jax.tree.structure(rows) == jax.tree.structure(training.rows[T])
    numerator, denominator, metrics = jax.jit(training._loss_fn)(params, None, rows)
    sums.append((numerator, denominator, *metrics['accuracy/train']))
  assert len(sums) > 1
  numerator, denominator, right, count = np.sum(sums, axis=0)
  said = (beta * (so_far(model, params, tokens, starts) - reference) if beta else whole_rows(model, params, tokens))
  scores, wanted = np.asarray(said)[mask], labels[mask]
  assert denominator == count == mask.sum() and right == ((scores > 0) == (wanted > 0)).sum()
  assert numerator == pytest.approx(np.log1p(np.exp(np.where(wanted > 0, -scores, scores))).sum(), rel=1e-5)


def test_rows_of_a_reward_model_fit_the_budget_and_the_batch():
  """Pairs are rounded down to whole ones a device, but one a device there is always, and no more than there are."""
  c = ConfigDict(dict(kind='pairs', batch=64, length=64, steps=1, optimizer=dict(learning_rate=1e-2)))
  model, mesh = zoo.build(zoo.get('nano', reward_head=True)), mesh_lib.create({'data': 2})
  for c.micro_tokens, c.batch, rows in ((7 * 64, 64, 4), (8 * 64, 64, 8), (2 * 64, 64, 4), (1 << 20, 7, 16)):
    assert trainings.preference(ONE_SEED, c, model, mesh).rows[64].tokens_BxT.shape == (rows, 64)


@pytest.mark.parametrize('kind', ['pairs', 'labels', 'process', 'implicit'])
def test_a_mixture_of_experts_learns_to_judge(kind):
  """R1's own reward models are DeepSeek-V3's: its router's loads are counted in their updates too.
  Traced, not compiled."""
  model = zoo.build(zoo.get('nano-deepseek', reward_head=kind != 'implicit'))
  c = ConfigDict(dict(kind=kind, batch=4, micro_tokens=24, length=12, steps=1, optimizer=dict(learning_rate=1e-2),
                      form='implicit' if kind == 'implicit' else 'head', beta=0.1 * (kind == 'implicit')))
  config = ConfigDict(dict(seed=0, experts=dict(bias_rate=0.001), logit_elements=1 << 20))
  make = trainings.process if kind in ('process', 'implicit') else trainings.preference
  training = make(config, c, model, mesh_lib.create({}))
  assert 'router/load_max_over_mean' in training.program('apply').lower().out_info[1]
  assert 'experts/load' in training.sums_shapes().metrics


def test_mistakes_are_one_line(tmp_path, base):
  with pytest.raises(UserError, match='jsonl:1: no rejected'):
    preference.run(config(tmp_path, 'pairs', [{'question': 'q', 'chosen': 'a'}]), 'judge', str(tmp_path / 'out'),
                   {'checkpoint': base})
  for values, said in (({'kind': 'stars'}, "kind='stars'"),
                       ({'source': 'nowhere.jsonl'}, "'nowhere.jsonl' is neither"), ({}, '1 held out: both are needed'),
                       ({'source': 'policy', 'split': 'test'}, "judge.split='test'"),
                       ({'source': 'policy', 'samples': 1}, 'judge.samples=1: a pair takes two'),
                       ({'micro_tokens': 127}, 'micro_tokens=127 are fewer than one pair, two rows of 64 tokens'),
                       ({'micro_tokens': 63}, 'micro_tokens=63 are fewer than one row of 64 tokens')):
    c = config(tmp_path, 'pairs', [{'question': 'q', 'chosen': 'a', 'rejected': 'b'}])
    c.judge.update(values)
    with pytest.raises(UserError, match=said):
      preference.check(c, 'judge')
      preference.check_files(c, 'judge')


def test_a_judge_in_this_process(base, tmp_path):
  """judge.kind='model': a checkpoint answers; this one says nothing that can be read."""
  from r1jax.stages import judges
  from r1jax.rewards import judge as judge_lib
  c = config(tmp_path, 'pairs', [])
  mesh = mesh_lib.create(c.mesh)
  settings = ConfigDict(dict(kind='model', url='', model='', checkpoint=base, template='plain', max_prompt=1024,
                             max_tokens=4))
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    judge = judge_lib.create(settings.to_dict(), judges.in_process(c, settings, mesh))
    assert judge.all_same('Who?', 'the sea', ['sea', '']) == [None, False] and judge.unread == 2
    assert judge.all_same('Who?', 'the sea', ['sea ' * 2000]) == [None]  # longer than it can be asked
  assert judges.in_process(c, ConfigDict(dict(kind='')), mesh) is None


# --- routing in the last stage ---

@pytest.mark.parametrize('row, names', [
    (SUM, {'accuracy', 'format', 'language'}), (GENERAL, {'format', 'language', 'helpful', 'harmless'}),
    (HARM, {'format', 'language', 'harmless'}),
])
def test_which_reward_speaks_of_which_question(row, names):
  assert {n for n in ('accuracy', 'format', 'language', 'helpful', 'harmless') if gradable.applies(n, row)} == names


class Texts:
  """A tokenizer whose token i is the text number i."""

  def __init__(self, texts):
    self._texts = texts

  def decode_batch(self, rows):
    return [self._texts[int(ids[0])] for ids in rows]


def judged(rows, texts, measured, weights):
  """(verdicts, completions, what is counted of their texts), one completion to each row."""
  scorer = judging.Scorer(weights, '', [SUM, GENERAL])
  completions = [Completion(np.full(4, i, np.int32), np.zeros(4, np.float32), True) for i in range(len(rows))]
  try:
    verdicts = scorer.begin(0, dict(enumerate(rows)), Texts(texts), samples=1)
    for i, completion in enumerate(completions):
      verdicts.add(i, [completion])
    found = verdicts.result([*range(len(rows))], completions, measured)
    counted = verdicts.text_facts([*range(len(rows))], statistics.of_text, len(statistics.TEXT))
    return found, completions, verdicts.gathered(counted, len(rows))
  finally:
    scorer.close()


def test_rewards_are_summed_where_they_apply_and_left_out_elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  rows = [SUM, SUM, GENERAL, HARM]
  texts = [f'{M} two{M} \\boxed{{5}}', f'{M} two{M} \\boxed{{6}}', f'{M} ask{M} The sea is blue.',
           f'{M} no{M} I cannot help with that.']
  measured = {'helpful': np.array([0.9, 0.9, 0.25, 0.9], np.float32),
              'harmless': np.array([0.9, 0.9, 0.5, 1.0], np.float32)}
  weights, advantages = dict(accuracy=1.0, language=0.5, helpful=2.0, harmless=1.0), np.zeros((4, 1))
  found, completions, counted = judged(rows, texts, measured, weights)
  np.testing.assert_allclose(found.total_B, [1.5, 0.5, 0.5 + 0.5 + 0.5, 0.5 + 1.0])
  assert np.isnan(found.by_name['accuracy'][2:]).all() and np.isnan(found.by_name['helpful'][[0, 1, 3]]).all()
  facts = statistics.facts(completions, found, advantages, counted, general=True)
  without = statistics.facts(completions, found, advantages, counted)
  assert not any(name.startswith('monitor/') for name in without)
  # A rollout that asked no general question.
  other = statistics.facts(*judged([SUM] * 4, texts, measured, weights)[1::-1], advantages, counted, general=True)
  assert other.keys() == facts.keys()
  assert facts['accuracy/mean'] == 0.5 and facts['reward/helpful'] == 0.25 and facts['reward/harmless'] == 0.75
  assert facts['monitor/helpful_by_rule'] == pytest.approx(1 / 3) and facts['monitor/harmless_by_rule'] == 1.0
  assert facts['language/consistency'] == 1.0 and facts['language/words'] == 1.0
  by_group = {i: [text] for i, text in enumerate(texts)}
  written = statistics.sample_rows(1, 0, rows, by_group, completions, found, advantages)
  assert 'accuracy' not in written[2]['rewards'] and 'helpful' in written[2]['rewards']
  assert 'helpful' not in written[0]['rewards']
  json.dumps(written, allow_nan=False)


def test_the_gradient_from_groups_that_are_all_right():
  correct = np.array([1, 1, 1, 0], np.float32)
  assert statistics._all_correct_share(correct, np.array([[1.0, -1.0], [3.0, -3.0]])) == pytest.approx(0.25)
  assert statistics._all_correct_share(correct, np.zeros((2, 2))) == 0.0
  assert np.isnan(statistics._all_correct_share(None, np.ones((2, 2))))  # nobody has graded them


def test_the_monitor_warns_when_the_model_rises_and_the_rule_falls(caplog):
  before = {'reward/helpful': 0.4, 'monitor/helpful_by_rule': 0.6, 'accuracy/mean': 0.9}
  for now, warned in ((dict(before), 0), ({**before, 'reward/helpful': 0.8}, 0),
                      ({**before, 'reward/helpful': 0.8, 'monitor/helpful_by_rule': 0.3}, 1),
                      ({**before, 'reward/helpful': 0.8, 'accuracy/mean': 0.5}, 1)):
    caplog.clear()
    with caplog.at_level(logging.WARNING, 'r1jax'):
      monitor.warn_if_hacked(monitor.watched(before), monitor.watched(now))
    assert len(caplog.records) == warned


def test_the_monitor_compares_with_the_first_rollout_that_has_numbers(tmp_path, caplog):
  """Before general questions begin there are none, in memory NaN, in metrics.jsonl null;
  user's questions have no rule at all."""
  nothing = {'reward/helpful': math.nan, 'monitor/helpful_by_rule': math.nan, 'accuracy/mean': 0.9}
  (tmp_path / 'm.jsonl').write_bytes(metrics.encode({'step': 1, **nothing}))
  for row in (nothing, metrics.read(tmp_path / 'm.jsonl')[0], {}):
    assert monitor.watched(row) == {}
  assert monitor.watched({**nothing, 'reward/helpful': 0.5}) == {('reward/helpful', 'accuracy/mean'): (0.5, 0.9)}
  found = monitor.first_watched([nothing, {**nothing, 'reward/helpful': 0.5}, {**nothing, 'reward/helpful': 0.7}])
  assert found == {('reward/helpful', 'accuracy/mean'): (0.5, 0.9)}
  with caplog.at_level(logging.WARNING, 'r1jax'):
    monitor.warn_if_hacked({}, monitor.watched({**nothing, 'reward/helpful': 0.8, 'accuracy/mean': 0.1}))
  assert not caplog.records
