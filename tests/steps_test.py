"""Models of steps (section 4.2): labels by roll-outs as in Math-Shepherd, both kinds balanced, the AUC that a model is
judged by, and plain sampling for as many tokens as a search has spent."""

import json

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import stopping
from r1jax.exceptions import RunStopped, UserError
from r1jax.plan import memory
from r1jax.rewards import Score
from r1jax.stages import common
from r1jax.stages import matched
from r1jax.stages import process
from r1jax.stages import reward_model
from r1jax.stages import search
from r1jax.stages import tree
from r1jax.stages import shepherd
from r1jax.stages import step_quality
from r1jax.types import Completion

import search_test

RIGHT, WRONG, NONE = Score(1.0, 'correct'), Score(0.0, 'wrong'), Score(0.0, 'timeout')


class Letters(search_test.Letters):

  def decode_batch(self, ids):
    return [self.decode(of) for of in ids]


# --- how good it is


@pytest.mark.parametrize('seed', range(8))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed):
  rng = np.random.default_rng(seed)
  scores, right = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.3  # six values: many ties
  pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[right] for b in scores[~right]]
  assert step_quality.auc(scores, right) == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize('scores, right, wanted', [
    ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75), ([0.9] * 50 + [0.9], [1] * 50 + [0], 0.5), ([0.2, 0.9], [1, 0], 0.0),
    ([0.3, 0.7], [1, 1], None), ([], [], None)])
def test_auc_by_hand(scores, right, wanted):
  assert step_quality.auc(scores, right) == wanted


def test_a_model_that_calls_everything_right_has_accuracy_and_no_auc():
  found = step_quality.of_steps([0.97] * 100, [1.0] * 98 + [0.0] * 2)
  assert (found['accuracy'], found['accuracy_of_wrong'], found['auc']) == (0.98, 0.0, 0.5)


def test_calibration_by_hand():
  # 0.9, 0.9: mean label 0.5, apart by 0.4; 0.2: label 0.25, apart by 0.05; a third of the weight each score.
  assert step_quality.calibration([0.9, 0.9, 0.2], [1.0, 0.0, 0.25]) == pytest.approx((2 * 0.4 + 0.05) / 3)
  assert step_quality.calibration([1.0, 0.0], [1.0, 0.0]) == 0.0


def test_labels_are_held_against_the_rule_where_it_speaks():
  found = step_quality.of_steps([0.9, 0.2, 0.4], [0.9, 0.6, 0.1], [True, False, None])
  assert (found['auc_by_rule'], found['labels_by_rule'], found['right_share']) == (1.0, 1.0, pytest.approx(2 / 3))


@pytest.mark.parametrize('odds, labels, wanted', [
    ([0.0] * 4, [1, 1, 1, 0], np.log(41 / 19)), ([1.0, 3.0], [1, 1], 0.0), ([1.0], [0], 0.0), ([], [], 0.0)])
def test_platt_by_hand(odds, labels, wanted):
  """Three right ones of four have targets 4/5 and 1/3, whose mean is 41/60: odds that say nothing say that."""
  slope, shift = step_quality.platt(odds, labels)
  assert shift == pytest.approx(wanted, abs=1e-6) and slope == pytest.approx(1.0)


@pytest.mark.parametrize('seed, unit', [(0, 1.0), (1, 1e-4), (2, 1e4), (3, 1.0)])
def test_no_other_line_has_a_smaller_loss(seed, unit):
  rng = np.random.default_rng(seed)
  odds, labels = rng.normal(1, 3, 400), rng.random(400)
  labels = np.where(rng.random(400) < 0.5, labels, (rng.random(400) < 1 / (1 + np.exp(2 - odds))).astype(float))
  right, wrong = labels.sum(), (1 - labels).sum()
  target = labels * (right + 1) / (right + 2) + (1 - labels) / (wrong + 2)
  loss = lambda a, b: np.mean(np.logaddexp(0, a * odds * unit + b) - target * (a * odds * unit + b))
  a, b = step_quality.platt(odds * unit, labels)
  assert all(loss(a, b) < loss(a * x, b + y) for x, y in ((1.02, 0), (0.98, 0), (1, 0.02), (1, -0.02)))


def test_equal_odds_keep_their_slope():
  assert 0 < step_quality.platt([0.1] * 3, [1, 0, 1])[0] < 2


def test_steps_told_apart_without_an_error_keep_finite_odds():
  slope, shift = step_quality.platt([-2.0] * 20 + [2.0] * 20, [0] * 20 + [1] * 20)
  assert 1 / (1 + np.exp(-(2 * slope + shift))) == pytest.approx(21 / 22, abs=1e-4)


# --- labels


@pytest.mark.parametrize('verdicts, soft, hard', [
    ([RIGHT, WRONG, WRONG, WRONG], 0.25, 1.0), ([WRONG] * 4, 0.0, 0.0), ([RIGHT] * 4, 1.0, 1.0),
    ([RIGHT, NONE, NONE, WRONG], 0.5, 1.0), ([NONE] * 4, None, None)])
def test_soft_and_hard_estimation(verdicts, soft, hard):
  assert shepherd.estimate(verdicts, 'soft') == soft and shepherd.estimate(verdicts, 'hard') == hard


@pytest.mark.parametrize('right, keep, wanted', [
    ([1, 1, 1, 0, 1, 0, 0, 0], 4, [0, 1, 3, 5]), ([1] * 8, 4, [0, 1]), ([0] * 8, 4, [0, 1]), ([1, 0], 4, [0, 1]),
    ([0, 0, 1], 3, [0, 1, 2]), ([1, 1, 0], 1, [0]), ([], 4, [])])
def test_as_many_right_answers_as_wrong_ones(right, keep, wanted):
  assert shepherd.balanced([bool(r) for r in right], keep) == wanted


def test_prefixes_that_are_equal_are_gone_on_with_once():
  answers = [[1, 2, 3, 4], [1, 2, 5, 6], [1, 2]]
  found = shepherd.distinct(answers, [[1, 2, 3], [1, 2, 3], [1]], 16)
  assert found == {(1, 2): [(0, 1), (1, 1)], (1, 2, 3): [(0, 2)], (1, 2, 5): [(1, 2)]}
  assert shepherd.evenly(list(range(10)), 3) == [0, 3, 6] and shepherd.evenly([4, 7], 3) == [4, 7]


class Hand:
  """Stands for sampler.Sampler: what is said behind each prefix is written down."""

  def __init__(self, said):
    self.said, self.asked, self.interrupted = said, [], False

  def compile(self):
    return self

  def arrange(self, params):
    return params

  def __call__(self, params, requests, key, **limits):
    self.asked += requests
    letters = Letters()
    self.found = [(r.group, [Completion(np.asarray(letters.encode(text)[:limit], np.int32), np.zeros(1), True)
                             for text, limit in zip(self.said[letters.decode(r.prompt)], r.limits)]) for r in requests]
    return self

  def __iter__(self):
    return iter(self.found)


class Judges:
  """A text is right that ends in 'r', and a judge fails at 'x'."""

  def score(self, items):
    return [NONE if text.endswith('x') else RIGHT if text.endswith('r') else WRONG for _, text, _ in items]


C = ConfigDict(dict(template='plain', separators=(',', '.'), kind='process', estimate='soft', rollouts=4, keep=2,
                    prefixes=8, max_tokens=12, rollout_temperature=1.0, slots=0, sample_batch=2, max_prompt=8))


def labeller(monkeypatch, said, **changes):
  hand = Hand(said)
  monkeypatch.setattr(shepherd, 'sampler', lambda *args, **kw: hand)
  config = ConfigDict(dict(seed=0, checkpoints=dict(grace=5.0)))
  return shepherd.Labeller(config, ConfigDict({**C.to_dict(), **changes}), 'steps', None, Letters(), None, {},
                           Judges()), hand


def test_labels_by_hand_made_completions(monkeypatch):
  letters = Letters()
  answers = [letters.encode(text) for text in ('a,b.r$', 'a,c.w$')]
  ends = [[1, 3, 5], [1, 3, 5]]
  said = {'q a,': ['b.r', 'b.w', 'b.x', 'b.r'], 'q a,b.': ['r'] * 4, 'q a,c.': ['w', 'w', 'w', 'r']}
  asked = [shepherd.Asked(3, {}, letters.encode('q '), answers, ends)]
  label, hand = labeller(monkeypatch, said)
  found = label(asked)
  assert found == [[{1: pytest.approx(2 / 3), 3: 1.0}, {1: pytest.approx(2 / 3), 3: 0.25}]]
  assert [r.limits for r in hand.asked] == [(10,) * 4, (8,) * 4, (8,) * 4]  # what is left of the answer's twelve
  numbers = [n for r in hand.asked for n in r.samples]
  assert numbers == list(range(3 * 2 * 8 * 4, 3 * 2 * 8 * 4 + 12))  # of the third question, whoever stands beside it
  row = process.labelled([7], answers[1], False, C, letters, found[0][1])
  assert row['labels'] == [pytest.approx(2 / 3), 0.25, 0.0] and row['ends'] == [2, 4, 6]
  hard, _ = labeller(monkeypatch, said, estimate='hard')
  assert hard(asked) == [[{1: 1.0, 3: 1.0}, {1: 1.0, 3: 1.0}]]


def test_a_step_whose_roll_outs_have_no_verdict_is_left_out(monkeypatch):
  letters = Letters()
  label, _ = labeller(monkeypatch, {'a,': ['x'] * 4})
  found = label([shepherd.Asked(0, {}, [], [letters.encode('a,r$')], [[1, 3]])])
  assert found == [[{}]]
  assert process.labelled([], letters.encode('a,r$'), True, C, letters, found[0][0])['ends'] == [3]


def test_both_kinds_weigh_the_same():
  rows = [{'ids': list(range(6)), 'ends': [1, 3, 4], 'labels': [1.0, 1.0, 0.75]},
          {'ids': list(range(6)), 'ends': [2], 'labels': [0.0]}]
  share = process.right_share(rows)
  *_, weights, labels = process.encode(rows, 8, 0, share)
  right, wrong = (weights * labels).sum(), (weights * (1 - labels)).sum()
  assert right == pytest.approx(wrong) == pytest.approx(2.0)  # four steps
  assert (weights[0, 1], weights[1, 2]) == (pytest.approx(0.5 / share), pytest.approx(0.5 / (1 - share)))
  *_, plain, same = process.encode(rows, 8, 0)
  assert plain.sum() == 4 and same[0, 4] == 0.75


def test_an_answer_s_score_from_its_steps():
  assert reward_model.combined([0.5, 0.8, 0.9], 'product') == pytest.approx(0.36)
  assert reward_model.combined([0.5, 0.8, 0.9], 'min') == 0.5
  judge = reward_model.RewardModel.__new__(reward_model.RewardModel)
  judge._tokenizer, judge.facts = Letters(), {'separators': (',', '.'), 'combine': 'product'}
  ids = Letters().encode('a,b.c')
  assert judge.answer(2, ids, np.asarray([0, 0, 1, 0.5, 1, 0.5, 0.25])) == pytest.approx(0.0625)
  assert judge.answer(2, ids, np.asarray([0, 0, 1, 0.5, 1, 0.5])) == 0.0  # not read to its end


@pytest.mark.parametrize('auc, least, refused', [(0.62, 0.75, True), (0.75, 0.75, False), (None, 0.75, True),
                                                 (0.4, 0.0, False), (None, 0.0, False)])
def test_a_model_under_the_limit_is_refused_in_one_line(auc, least, refused):
  facts = {'auc': auc, 'ece': 0.1, 'heldout_steps': 120, 'heldout': 30, 'right_share': 0.5}
  if not refused:
    return process._refuse(facts, least, 'steps')
  with pytest.raises(RunStopped, match=r'120 steps of 30 answers held out.*steps.least_auc=0.75 refuses it') as e:
    process._refuse(facts, least, 'steps')
  assert '\n' not in str(e.value) and ('AUC 0.620' in str(e.value)) == (auc is not None)


# --- as many tokens


@pytest.mark.parametrize('lengths, budget, taken, left', [
    ([5, 7, 3], 12, [5, 7], 0), ([5, 7, 3], 10, [5, 5], 0), ([5, 7], 20, [5, 7], 8), ([], 4, [], 4), ([5], 0, [], 0)])
def test_answers_are_paid_for_to_the_token(lengths, budget, taken, left):
  assert matched.cut(lengths, budget) == (taken, left)


class Counted:
  """Stands for sampler.Sampler: sample n of question i says i + n % 5 + 1 tokens."""

  def compile(self):
    return self

  def arrange(self, params):
    return params

  def __call__(self, params, requests, key):
    size = lambda r, n: r.group + n % 5 + 1
    return [(r.group, [Completion(np.full(size(r, n), n, np.int32), None, True) for n in r.samples]) for r in requests]


@pytest.mark.parametrize('budgets', [[1, 40, 0, 17], [300, 2, 3, 1]])
def test_plain_sampling_has_as_many_tokens_as_the_search(monkeypatch, budgets):
  monkeypatch.setattr(matched, 'sampler', lambda *args, **kw: Counted())
  plain = matched.Plain(ConfigDict(dict(max_tokens=9, template='plain')), 'beam', None, Letters(), None, {}, 0, 4)
  drawn = plain([[1]] * 4, budgets, 0)
  assert [sum(len(of.tokens) for of in answers) for answers in drawn] == budgets
  for answers in drawn:
    assert all(of.whole for of in answers[:-1])
    assert len({of.tokens[0] for of in answers}) == len(answers)  # no sample twice


def test_the_search_counts_all_that_it_sampled():
  """Two questions, a letter a step, three steps sampled of each prefix: what is dropped was sampled too."""
  extend = search.Extender.__new__(search.Extender)
  extend._n, extend._round, extend._key, extend._params, extend._eos_ids = 3, 0, search.common.key(0, 'x'), None, (36,)
  extend._c = ConfigDict(dict(step_tokens=2, max_tokens=5))
  words = [[97, 98], [97, 98], [99]]  # two say the same: one child, and tokens of both
  extend._sampler = lambda params, requests, key: [
      (r.group, [Completion(np.asarray(w, np.int32), None, True) for w in words]) for r in requests]
  extend._judge = type('', (), {'steps': lambda self, rows, starts: [np.linspace(0, 1, len(ids)) for ids in rows]})()
  roots = [tree.Node([]), tree.Node([])]
  ended = tree.beam(extend, [[1], [1, 2]], keep=1, roots=roots)
  assert all(len(nodes) == 1 for nodes in ended)
  calls = [len(nodes[0].ids) for nodes in ended]
  assert [root.spent for root in roots] == [5 * rounds for rounds in (depth(nodes[0]) for nodes in ended)], calls


def depth(node):
  return 0 if node.parent is None else 1 + depth(node.parent)


def test_votes_of_plain_sampling():
  sample = lambda answer, correct, tokens: {'answer': answer, 'correct': correct, 'tokens': tokens}
  samples = [sample('5', True, 4), sample('6', False, 6), sample('5', True, 5), sample(None, False, 2)]
  found = search._votes({'answer_type': 'int'}, samples, [True, True, True, False])
  assert found == {'spent': 17, 'samples': 3, 'pass@1': pytest.approx(2 / 3), 'voted': True, 'any': True}


def test_answers_that_are_reranked_vote_in_the_order_in_which_they_were_drawn():
  """One vote each, a wrong one drawn first: a tie is not broken by the score."""
  row = {'task': 't', 'id': '1', 'question': 'q', 'answer': '5', 'answer_type': 'int', 'format': 'r1'}
  texts = [f'{search_test.M} a{search_test.M} \\boxed{{{x}}}' for x in '65']
  judge = lambda rows, texts: np.asarray([0.1, 0.9])
  answers, order = search._ranked(judge, row, {'samples': [{'text': text, 'tokens': 3} for text in texts]})
  with search.pool.Pool(workers=1) as judges:
    record = search._whole_record(ConfigDict(dict(kind='rerank')), row, answers, 6, order, None, judges)
  assert order == [1, 0] and record['chosen'] and record['voted']
  assert record['plain'] == {'spent': 6, 'samples': 2, 'pass@1': 0.5, 'voted': False, 'any': True}


def test_a_tree_without_an_end_gets_one():
  def extend(asked, nodes):
    made = [[tree.Node([*node.ids, letter], node) for letter in 'ab'] for node in nodes]
    for child in sum(made, []):
      child.done, child.value = len(child.ids) == 4, 0.9 if child.ids[-1] == 'a' else 0.1
    return made

  root, = tree.mcts(extend, [[0]], simulations=1, cap=2, explore=0.5)
  ends = [node.ids for node in tree.nodes_of(root) if node.done]
  assert ends == [['a'] * 4, ['a'] * 3 + ['b']] and all(len(n.children) <= 2 for n in tree.nodes_of(root))


# --- a stage that is stopped in the middle


class Policy:
  """Stands for sampling.Generator: answers depend on the question alone."""

  def __init__(self, *args, samples, batch, **kw):
    self.samples, self.batch = samples, batch

  def __call__(self, params, rows, first=0):
    for start in range(first, len(rows), self.batch):
      some = rows[start:start + self.batch]
      texts = [[f'a,{row["id"] % 3},{"r" if (row["id"] + g) % 2 else "w"}$' for g in range(self.samples)]
               for row in some]
      ids = [[Completion(np.asarray(Letters().encode(text), np.int32), None, True) for text in of] for of in texts]
      yield process.sampling.Sampled(some, [[text[:-1] for text in of] for of in texts], ids)


class Going(Hand):
  """Roll-outs that end by the numbers of their samples."""

  def __init__(self):
    super().__init__(None)

  def __call__(self, params, requests, key, **limits):
    self.asked += requests
    ends = lambda n: np.asarray(Letters().encode('r' if n * 7919 % 5 < 3 else 'w'), np.int32)
    self.found = [(r.group, [Completion(ends(n), None, True) for n in r.samples]) for r in requests]
    return self


def test_a_stop_in_the_middle_of_labelling_loses_nothing(monkeypatch, tmp_path):
  monkeypatch.setattr(process.sampling, 'Generator', Policy)
  monkeypatch.setattr(process.prompts, 'ids', lambda tokenizer, template, row: [1, row['id']])
  c = ConfigDict({**C.to_dict(), 'samples': 4, 'temperature': 1.0})
  config = ConfigDict(dict(seed=0, checkpoints=dict(grace=5.0)))
  asked = [{'id': i} for i in range(7)]

  def labels(directory, stop_after=None):
    """The rows, and how many roll-outs were asked for; stop_after: so many batches that are written."""
    batches, sampler = common.Batches(str(directory)), Going()
    monkeypatch.setattr(shepherd, 'sampler', lambda *args, **kw: sampler)
    add, written = batches.add, []

    def counted(*args):
      add(*args)
      written.append(args[0])
      if len(written) == stop_after:
        stopping.requested.set()

    batches.add = counted
    try:
      process._answers(config, c, 'steps', batches, None, Letters(), None, None, Judges(), asked)
      process._labels(config, c, 'steps', batches, None, Letters(), None, None, Judges(), asked)
    finally:
      stopping.requested.clear()
    return list(batches.kept('labels')), len(sampler.asked), written

  directory = lambda name: (tmp_path / name).mkdir() or tmp_path / name
  whole, all_asked, written = labels(directory('whole'))
  assert written == ['answers'] * 4 + ['labels'] * 4 and len(whole) == 14 and any(
      0 < label < 1 for row in whole for label in row['labels'])
  for stop_after in (1, 3, 5, 6):
    place = directory(f'stopped{stop_after}')
    with pytest.raises(stopping.Stopped):
      labels(place, stop_after)
    rest, asked_again, written_again = labels(place)
    assert rest == whole and written_again == written[stop_after:]
    done = max(0, stop_after - 4)  # batches of two questions whose roll-outs are not made again
    assert asked_again == sum(len(shepherd.distinct(
        [row['ids'][2:] for row in whole if row['id'] == i],
        [[1, 3, len(row['ids']) - 3] for row in whole if row['id'] == i], 8)) for i in range(2 * done, 7))
    assert asked_again < all_asked or not done
  assert json.loads(json.dumps(whole)) == whole


# --- an implicit reward's reference


@pytest.mark.parametrize('values, said', [
    (dict(form='implicit', beta=0.0), "beta=0.0 with steps.form='implicit': .* must be more than 0"),
    (dict(form='head', beta=0.1), "beta=0.1 with steps.form='head': 'implicit' alone reads it")])
def test_a_form_and_its_beta_are_looked_at_first(values, said):
  c = ConfigDict({**C.to_dict(), 'source': 'stage', 'form': 'head', 'beta': 0.0, **values})
  with pytest.raises(UserError, match=said):
    process.check(ConfigDict(dict(steps=c)), 'steps')


def test_rows_stand_beside_what_the_reference_says():
  rows = [{'ids': [1, 2, 3], 'start': 1, 'ends': [2], 'labels': [1.0]},
          {'ids': [1, 2], 'start': 2, 'ends': [1], 'labels': [0.0]}]
  read = lambda params, ids, starts: [np.arange(len(of)) - 9.0 for of in ids]
  found = process._beside_reference(process.encode(rows, 4, 0), rows, read, None)
  assert found.starts_B.tolist() == [1, 2] and found.reference_BxT.tolist() == [[-9, -8, -7, 0], [-9, -8, 0, 0]]


def test_a_reference_that_is_gone_or_another_is_noticed(tmp_path, monkeypatch):
  step = tmp_path / '1_base/checkpoints/7'
  (step / 'params').mkdir(parents=True)
  monkeypatch.setattr(reward_model.adapters, 'digest', lambda there: (step / 'params/x').read_text())
  monkeypatch.setattr(reward_model.common, 'load_sampling_params', lambda model, there, mesh: there)
  (step / 'params/x').write_text('weights')
  found = reward_model.reference_of(str(tmp_path / '2_steps'), str(step))
  assert found == {'base': '../1_base/checkpoints/7', 'digest': 'weights'}
  load = lambda: reward_model.load_reference(str(tmp_path / '2_steps'), found, None, None)
  assert load() == str(step)
  (step / 'params/x').write_text('others')
  with pytest.raises(UserError, match='2_steps is held against .*7, whose weights are others than when it was trained'):
    load()
  step.rename(tmp_path / 'elsewhere')
  with pytest.raises(UserError, match='which is not there: put it back, or write where it is now'):
    load()


@pytest.mark.parametrize('inputs, form, weights', [
    ({'checkpoint': 'a', 'steps': 'steps'}, 'head', 1), ({'checkpoint': 'a', 'steps': 'steps'}, 'implicit', 2),
    ({'checkpoint': 'a', 'steps': 'again'}, 'implicit', 2),  # a second stage of one part of the config
    ({'checkpoint': 'a', 'steps': 'from_run/steps'}, 'implicit', 1),  # by what the config has not got
    ({'checkpoint': 'a', 'helpful': 'h', 'process': 'steps'}, 'implicit', 3), ({'checkpoint': 'a'}, 'implicit', 0)])
def test_a_plan_counts_the_reference_too(inputs, form, weights, monkeypatch):
  monkeypatch.setattr(memory, 'device_bytes', lambda tree: 10)
  monkeypatch.setattr(memory.params_lib, 'sampling_shapes', lambda model, mesh: None)
  config = ConfigDict(dict(steps=dict(form=form), h=dict(kind='pairs'), stages=(
      dict(name='a'), dict(name='h'), dict(name='steps'), dict(name='again', config='steps'))))
  assert memory.judges_of(config, inputs, None, None) == 10 * weights
