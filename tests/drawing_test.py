"""Which groups a rollout has (stages/drawing.py, data/curriculum.py, docs/objectives.md): by hand, and whole stages that
are killed in the middle of it."""

import json

import numpy as np
import pytest

from ml_collections import ConfigDict

from r1jax import metrics
from r1jax import stopping
from r1jax import values
from r1jax.data import curriculum
from r1jax.data import questions
from r1jax.data import tasks
from r1jax.exceptions import UserError
from r1jax.stages import batches
from r1jax.stages import drawing
from r1jax.stages import judging
from r1jax.stages import rl
from r1jax.types import Completion, Request

import interrupted_test
import policy_test
import runs

pytestmark = pytest.mark.usefixtures('one_device')
base, compiled_once = policy_test.base, interrupted_test.compiled_once


# --- which questions


class Listed:
  """An order of 6 questions, three a draw, that never changes."""

  def __call__(self, number, step):
    return np.arange(3 * number, 3 * number + 3) % 6


def passing(mode, rows=6, **kw):
  return curriculum.Curriculum(Listed(), mode, [{'id': i} for i in range(rows)], 3, **{'askings': 1, 'seed': 0, **kw})


def test_what_was_solved_is_not_asked_again_until_all_is():
  asks = passing('drop_solved', askings=2)
  assert asks(0).tolist() == [0, 1, 2]
  for row, rates in ((0, (1, 1)), (1, (0.5, 1)), (2, (1,)), (4, (1, 1, 0.75)), (5, (0.5, 1, 1)), (3, (np.nan,))):
    for rate in rates:
      asks.note(row, rate)
  assert asks(0).tolist() == [3, 4, 1] and asks.left_out == 2 / 5  # 0 and 5 are passed by
  assert asks(0).tolist() == [2, 3, 4] and asks.left_out == 0
  for row in range(6):
    asks.note(row, 1)
    asks.note(row, 1)
  assert asks(0).tolist() == [5, 0, 1] and asks.left_out == 6 / 9  # an epoch is passed by, then they come as they are


def test_questions_are_asked_by_how_often_they_fail():
  asks = passing('prioritized')
  for row, rate in enumerate((0, 0.25, 0.5, 0.75, 1, 1)):
    asks.note(row, rate)
  counts = np.bincount(np.concatenate([asks(0) for _ in range(1000)]), minlength=6)
  want = np.array([1, 0.75, 0.5, 0.25, curriculum.LEAST, curriculum.LEAST])
  np.testing.assert_allclose(counts / 3000, want / want.sum(), atol=0.02)


def test_a_restart_asks_what_would_have_been_asked():
  asks, again = passing('prioritized', askings=3), passing('prioritized', askings=3)
  for turn in range(5):
    for row in asks(0):
      asks.note(int(row), (row + turn) % 5 / 4)
  again.restore(json.loads(json.dumps(asks.state())))
  assert [asks(0).tolist() for _ in range(9)] == [again(0).tolist() for _ in range(9)]


@pytest.mark.parametrize('column, values, want', [
    ('difficulty', (3, 1, 2, 1, 9, 0), [5, 1, 3, 2, 0, 4]), ('pass_rate', (0.5, 1, 0.75, 1, 0, 0.1), [1, 3, 2, 0, 5, 4])])
def test_the_first_epoch_goes_from_easy_to_hard(column, values, want):
  asks = curriculum.Curriculum(Listed(), 'easy_first', [{column: value} for value in values], 3, askings=1, seed=0)
  assert [*asks(0), *asks(0)] == want and asks(0).tolist() == [0, 1, 2]  # then it is the order


def test_bounds_leave_what_a_file_calls_too_easy_or_too_hard():
  rows = [{'id': i, 'pass_rate': rate} for i, rate in enumerate((0, 0.1, 0.5, 0.9, 1))]
  assert [row['id'] for row in curriculum.within(rows, 0.1, 0.9, 'rl.curriculum')] == [1, 2, 3]
  assert curriculum.within([{}], 0.0, 1.0, '') == [{}]
  with pytest.raises(UserError, match=r'low=0.2 and rl.curriculum.high=0.3 leave none of 5 .* are 0 to 1'):
    curriculum.within(rows, 0.2, 0.3, 'rl.curriculum')
  with pytest.raises(UserError, match="row 7 has no number as `pass_rate`, but 'all'"):
    curriculum.within([*rows, {'id': 7, 'pass_rate': 'all'}], 0.1, 0.9, 'rl.curriculum')
  with pytest.raises(UserError, match='wants a column `difficulty` or `pass_rate`, which f.jsonl:3 has not'):
    curriculum.easy_first([{'where': 'f.jsonl:3'}])


# --- which groups, with a sampler and judges that say what the test says

SIGNAL = {1, 3, 4, 5, 6, 13}  # questions whose answers differ in worth
ERRORS = {2, 7, 16}  # questions of whose answers one has no verdict


class Judges:
  """As judging.Scorer and its Verdicts."""

  def limited(self, rows, max_tokens):
    return {group: {**row, 'max_tokens': max_tokens} for group, row in rows.items()}

  def begin(self, number, rows, tokenizer, **kw):
    found = Judges()
    found.rows, found.texts = self.limited(rows, kw['max_tokens']), {}
    return found

  def ask(self, rows):
    self.rows.update(rows)

  def add(self, group, completions):
    self.texts[group] = ['', '']

  def look(self, groups, measured):
    assert all(group in self.texts for group in groups)
    right = np.array([float(self.rows[g]['id'] in SIGNAL and sample) for g in groups for sample in (0, 1)])
    return right, right, sum(self.rows[g]['id'] in ERRORS for g in groups)

  def result(self, groups, completions, measured):
    total, right, _ = self.look(groups, measured)
    return judging.Judged(total, {'accuracy': right}, {}, 0, {})


class Actor:
  """As policy.Policy: a sample of group g says g + 1 tokens, and what a draw said is in the journal."""

  def __init__(self, drawing_=None, said=None):
    self.drawing, self.said, self.begun, self.asked, self.stops = drawing_ or {}, said or {}, [], [], False
    self.journal, self.choices = self, None

  def begin(self, number, oldest):
    self.begun.append((number, oldest, self.drawing))

  def request(self, group, row):
    return Request(group, np.array([row], np.int32), (2 * group, 2 * group + 1))

  def requests(self, chosen, number, most):
    return [self.request(4 * number + place, row) for place, row in enumerate(chosen)]

  def rows_of(self, requests, rows):
    return {r.group: rows[r.prompt[0]] for r in requests}

  def sample(self, state, requests, verdicts, clock, number):
    if self.stops:
      return None
    self.asked.append((state, number))
    said = Completion(np.zeros(number + 1, np.int32), np.zeros(number + 1, np.float32), True)
    self.said[number] = {r.group: r._replace(begun=(said, said)) for r in requests}
    for request in requests:
      verdicts.add(request.group, [said, said])
    return batches.Batch([r.group for r in requests], [int(r.prompt[0]) for r in requests],
                        [r.prompt for r in requests], [said] * 8, 0.5 + 0.1 * number, 10)

  def groups(self, number, requests, choices=None):
    return [self.said[number][r.group] for r in requests] if number in self.said else None


def drawn_by(actor, **values):
  """Four groups of two, draw d asks questions 4 d to 4 d + 3."""
  c = ConfigDict(dict(groups=2, minibatches=2, samples=2, epochs=1, steps=6, dynamic_tries=3, dynamic_by='reward', lag=0,
                      max_tokens=9, curriculum=dict(mode='', askings=1), general=dict(from_step=0)))
  c.update(values)
  rows = [{'id': i} for i in range(24)]
  return drawing.Drawing(ConfigDict(dict(seed=0)), c, actor, Judges(), None, rows,
                         lambda number, step: np.arange(4 * number, 4 * number + 4), {}, metrics.Clock())


def test_groups_without_a_signal_are_replaced_and_what_is_left_over_comes_next():
  actor = Actor()
  draws = drawn_by(actor)
  first = draws.rollout('w0', 0)
  assert first.batch.rows == first.batch.groups == [1, 3, 4, 5]  # 6 is left over
  assert first.facts == {'dynamic/draws': 2, 'dynamic/groups': 8, 'dynamic/carried_over': 0,
                         'dynamic/without_signal': 0, 'dynamic/accuracy': 5 / 16, 'rollout/tokens': 8 * 1 + 8 * 2,
                         'rewards/errors': 2 / 16}  # of those that were replaced, too
  assert [len(x.tokens) for x in first.batch.completions] == [1] * 4 + [2] * 4
  assert first.batch.slot_use == pytest.approx(0.55) and first.batch.steps == 20
  assert first.judged().total_B.tolist() == [0, 1] * 4
  assert actor.drawing == {'draws': 2, 'left': [[6, 6]]}
  second = draws.rollout('w1', 1)  # draws 2, 3 and 4 have one group with a signal
  assert second.batch.rows == [6, 8, 9, 13]
  assert (second.facts['dynamic/without_signal'], second.facts['dynamic/carried_over']) == (2, 1)
  assert second.facts['dynamic/groups'] == 12 and second.judged().total_B.tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
  assert actor.asked == [('w0', 0), ('w0', 1), ('w1', 2), ('w1', 3), ('w1', 4)]
  assert actor.drawing == {'draws': 5, 'left': []} and draws.sampled(2) == 20
  assert [(number, oldest) for number, oldest, _ in actor.begun] == [(0, 0), (1, 1)]  # draw 1 has what was left over


@pytest.mark.parametrize('by, want', [('reward', [True, True, True, False]), ('accuracy', [True, False, True, False])])
def test_what_a_signal_is(by, want):
  """Of totals and accuracies: both differ; the total alone; nobody is right or wrong; the accuracy alone."""
  found = drawn_by(Actor(), dynamic_by=by)
  nan = float('nan')
  cases = [([0, 1], [0, 1]), ([0.9, 1], [1, 1]), ([0.9, 1], [nan, nan]), ([1, 1], [0, 1])]
  assert [found._has_signal(np.array(total), np.array(right)) for total, right in cases] == want


def test_what_was_left_over_is_there_after_a_restart():
  actor = Actor()
  draws = drawn_by(actor)
  draws.rollout('w0', 0)
  want = draws.rollout('w1', 1)
  again = Actor(json.loads(json.dumps(actor.begun[1][2])), {1: actor.said[1]})
  found = drawn_by(again).rollout('w1', 1)
  assert found.batch.rows == want.batch.rows and found.facts == want.facts and again.drawing == actor.drawing
  for x, y in zip(found.batch.completions, want.batch.completions, strict=True):
    np.testing.assert_array_equal(x.tokens, y.tokens)
  lost = drawn_by(Actor(json.loads(json.dumps(actor.begun[1][2]))))  # another group takes its place
  assert lost.rollout('w1', 1).facts['dynamic/carried_over'] == 0


def test_a_stop_between_two_draws_gives_no_rollout():
  actor = Actor()
  draws = drawn_by(actor)
  draws.rollout('w0', 0)
  actor.stops = True
  with pytest.raises(stopping.Stopped):
    draws.rollout('w1', 1)
  assert actor.begun[-1][2] == {'draws': 2, 'left': [[6, 6]]}


def test_with_a_lag_the_policy_before_the_update_samples():
  actor = Actor()
  draws = drawn_by(actor, dynamic_tries=0, lag=1, minibatches=1, groups=4, steps=4)
  for number in range(4):
    drawn = draws.rollout(f'w{number}', number)
    assert drawn.batch.rows == list(range(4 * number, 4 * number + 4)) and drawn.facts == {}
    drawn.judged()
    draws.ahead(f'w{number}', number + 1)
  assert actor.asked == [('w0', 0), ('w0', 1), ('w1', 2), ('w2', 3)]  # and none behind the last
  actor = Actor()
  draws = drawn_by(actor, dynamic_tries=0, lag=1)
  actor.stops = True
  with pytest.raises(stopping.Stopped):
    draws.ahead('w0', 1)
  draws.ahead('w0', 3)  # there are three rollouts


def test_plainly_a_rollout_is_its_own_draw():
  actor = Actor()
  draws = drawn_by(actor, dynamic_tries=0)
  assert [draws.rollout('w', number).batch.rows for number in (0, 1)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
  draws.ahead('w', 2)
  assert actor.asked == [('w', 0), ('w', 1)] and actor.drawing == {}
  assert draws.sampled(2) == 8


def test_pass_rates_come_from_what_was_judged():
  actor = Actor()
  draws = drawn_by(actor, dynamic_tries=0, curriculum=dict(mode='drop_solved', askings=1))
  drawn = draws.rollout('w', 0)
  assert actor.drawing['curriculum'] == {'place': 0, 'rates': {}} and drawn.facts == {'curriculum/left_out': 0}
  drawn.judged()
  assert actor.drawing['curriculum'] == {'place': 4, 'rates': {'0': [0.0], '1': [0.5], '2': [0.0], '3': [0.5]}}


def test_each_epoch_has_every_minibatch_in_an_order_of_its_own():
  orders = [batches.in_epochs(6, 3, [seed, number]) for seed in (0, 1) for number in (0, 1)]
  for order in orders:
    assert order[:6] == list(range(6)) and sorted(order[6:12]) == sorted(order[12:]) == list(range(6))
  assert len({tuple(part) for order in orders for part in (order[6:12], order[12:])}) == 8
  assert batches.in_epochs(3, 1, [0, 5]) == [0, 1, 2]


# --- what is refused


@pytest.mark.parametrize('changes, said', [
    (dict(epochs=3), r'rl.steps=80 is not a multiple of rl.minibatches=2 x rl.epochs=3: use 78'),
    (dict(epochs=0), 'rl.epochs=0 must be at least 1'),
    (dict(lag=2), 'rl.lag=2 must be at least 0 and at most 1'),
    (dict(dynamic_tries=1), 'rl.dynamic_tries=1 samples a rollout once'),
    (dict(dynamic_tries=3, scale='global'), "rl.dynamic_tries=3 .* rl.scale='global'"),
    ({'dynamic_tries': 3, 'dynamic_by': 'accuracy', 'rewards': {'format': 1.0}},
     "rl.dynamic_by='accuracy' goes by right answers: it needs the reward 'accuracy'"),
    (dict(dynamic_by='score'), "rl.dynamic_by='score' is not one of reward, accuracy"),
    (dict(dynamic_tries=3, carry=2), 'rl.dynamic_tries=3 and rl.carry=2 both'),
    (dict(dynamic_tries=3, lag=1), 'rl.lag=1 and rl.dynamic_tries=3 both'),
    (dict(dynamic_tries=3, old_logps='trainer'), "rl.dynamic_tries=3 .* rl.old_logps='trainer' with rl.is_cap=0"),
    (dict(lag=1, carry=1), 'rl.lag=1 and rl.carry=1 both'),
    (dict(lag=1, old_logps='trainer'), "rl.lag=1 .* rl.old_logps='trainer' with rl.is_cap=0"),
    (dict(carry=4, surrogate='reinforce', minibatches=1), "rl.carry=4 .* rl.surrogate='reinforce' has no correction"),
    (dict(lag=1, surrogate='reinforce'), "rl.lag=1 .* rl.surrogate='reinforce' has no correction"),
    ({'curriculum.mode': 'hard'}, "rl.curriculum.mode='hard' is not one of"),
    ({'curriculum.askings': 0}, 'rl.curriculum.askings=0 must be at least 1'),
    ({'curriculum.low': 0.8, 'curriculum.high': 0.2}, 'rl.curriculum.low=0.8 is more than rl.curriculum.high=0.2'),
    ({'curriculum.low': 0.1}, "rl.curriculum.low=0.1 and .* rl.task.source='reasoning_gym:chain_sum' is none"),
    ({'curriculum.mode': 'easy_first'}, "rl.curriculum.mode='easy_first' read .* rl.task.source='reasoning_gym"),
    ({'curriculum.mode': 'easy_first', 'task.source': 'jsonl:f', 'general.source': 'scenarios'},
     "rl.curriculum.mode='easy_first' and rl.general.source='scenarios'"),
    ({'curriculum.mode': 'drop_solved', 'rewards': {'format': 1.0}}, "rl.curriculum.mode='drop_solved' .* 'accuracy'"),
    ({'curriculum.mode': 'prioritized', 'task': [dict(source='reasoning_gym:chain_sum', size=9, share=0.5),
                                                 dict(source='reasoning_gym:gcd', size=9, share=0.5)]},
     "rl.curriculum.mode='prioritized' .* rl.task has shares"),
])
def test_what_cannot_work_is_refused_with_both_names(changes, said):
  config = runs.experiment('r1_zero', 'tiny')
  with config.ignore_type():
    for key, value in changes.items():
      *above, last = key.split('.')
      part = config.rl
      for name in above:
        part = part[name]
      part[last] = value
  with pytest.raises(UserError, match=said):
    values.check(config)
    rl.check(config, 'rl')


@pytest.mark.parametrize('changes', [
    dict(lag=1), dict(lag=1, old_logps='trainer', is_cap=2.0), dict(dynamic_tries=2, old_logps='trainer', is_cap=2.0),
    dict(lag=1, surrogate='reinforce', old_logps='trainer', is_cap=2.0), dict(dynamic_tries=2, drop_equal=True)])
def test_what_is_corrected_is_taken(changes):
  config = runs.experiment('r1_zero', 'tiny')
  config.rl.update(changes)
  rl.check(config, 'rl')


# --- whole stages

OPTIONS = {
    'epochs': {'rl.epochs': 2, 'rl.steps': 12},
    'dynamic': {'rl.dynamic_tries': 3},
    'lag': {'rl.lag': 1},
    'lag_truncated': {'rl.lag': 1, 'rl.old_logps': 'trainer', 'rl.is_cap': 2.0},
    'drop_solved': {'rl.curriculum.mode': 'drop_solved', 'rl.lag': 1},
    'all': {'rl.dynamic_tries': 3, 'rl.curriculum.mode': 'prioritized', 'rl.epochs': 2, 'rl.steps': 12},
}
OPTIONS['adapters'] = {**OPTIONS['all'], 'lora.rank': 2}
OPTIONS['adapters_lag'] = {**OPTIONS['lag_truncated'], 'lora.rank': 2}
# And every objective that has a row in docs/objectives.md, at this size.
SIZES = {'task.size': None, 'max_tokens': ((0, 16), (4, 24))}
OPTIONS |= {f'objectives:{name}': {f'rl.{key}': SIZES.get(key, value) for key, value in runs.leaves(changes)
                                   if SIZES.get(key, value) is not None}
            for name, (_, changes) in runs.module('objectives').OBJECTIVES.items()}
OPTIONS['objectives:epochs']['rl.steps'] = 12
OPTIONS['easy_first'] = {'rl.curriculum.mode': 'easy_first'}
QUICK = ('dynamic', 'lag', 'all')
of_option = pytest.mark.parametrize('name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                                             for name in OPTIONS])


def train(workdir, base, name, **more):
  config = policy_test.small_config(**interrupted_test.SMALL)
  with config.ignore_type(), config.unlocked():  # a limit may be a schedule
    config.update_from_flattened_dict({**OPTIONS[name], **more})
  if name == 'easy_first':
    graded = base / 'graded.jsonl'
    graded.write_text('\n'.join(json.dumps({**row, 'difficulty': number * 7 % 64}) for number, row in enumerate(
        tasks.load(config.rl.task.source, size=64, seed=1, split='train', params=config.rl.task.params.to_dict()))))
    config.rl.task.source = f'jsonl:{graded}'
  reward = base / 'fifth.py'
  reward.write_text('def fifth(completion, row):\n  return float(len(completion) % 5 == 0)\n')  # often all the same
  config.rewards.update({f'{reward}:fifth': 1.0})
  return rl.run(config, 'rl', str(workdir), {'checkpoint': str(base)})


@pytest.fixture(scope='module')
def whole(tmp_path_factory, base):
  """name of an option -> the work dir of a stage with it that nobody stopped."""
  made = {}

  def of(name):
    if name not in made:
      made[name] = tmp_path_factory.mktemp(name)
      train(made[name], base, name)
    return made[name]

  return of


@pytest.fixture(autouse=True)
def odd_questions_are_solved(monkeypatch):
  """A nano model that nobody trained is never right: half of the questions count as if it were."""
  note = curriculum.Curriculum.note
  monkeypatch.setattr(curriculum.Curriculum, 'note', lambda self, row, rate: note(
      self, row, row % 2.0 if isinstance(self._order, questions.Order) else rate))


def same(one, other):
  assert interrupted_test.rows(one) == interrupted_test.rows(other)
  for x, y in zip(interrupted_test.weights(one), interrupted_test.weights(other), strict=True):
    np.testing.assert_array_equal(x, y)


@of_option
@pytest.mark.parametrize('where', ['sample', 'judged'])
def test_a_stage_that_is_killed_ends_the_same_bit_for_bit(whole, base, tmp_path, monkeypatch, name, where):
  """In the middle of a rollout, a checkpoint or two behind it; between its minibatches, too."""
  want = whole(name)
  sample, judged, calls = interrupted_test.POLICY.sample, interrupted_test.POLICY.judged, []

  def dies_sampling(self, state, requests, verdicts, clock, number):
    if number == 2:
      raise KeyboardInterrupt
    return sample(self, state, requests, verdicts, clock, number)

  def dies_learning(self, *args):
    calls.append(1)
    if len(calls) == 4:
      raise KeyboardInterrupt
    return judged(self, *args)

  with monkeypatch.context() as patch:
    dies = {'sample': dies_sampling, 'judged': dies_learning}[where]
    patch.setattr(interrupted_test.POLICY, where, dies)
    with pytest.raises(KeyboardInterrupt):
      train(tmp_path, base, name, **{'checkpoints.minutes': 0.0 if where == 'judged' else 9.0})
  train(tmp_path, base, name)
  same(want, tmp_path)


@of_option
def test_what_its_rows_say(whole, name):
  found = interrupted_test.rows(whole(name))
  if 'rl.dynamic_tries' in OPTIONS[name]:
    for row in found:
      if OPTIONS[name].get('rl.dynamic_by') == 'accuracy':  # a group of wrong answers may have unequal rewards
        assert row['groups/no_signal'] * 6 <= row['dynamic/without_signal'] + 1e-6
      else:
        assert row['groups/no_signal'] * 6 == pytest.approx(row['dynamic/without_signal'])
      assert row['dynamic/groups'] == 6 * row['dynamic/draws'] <= 6 * OPTIONS[name]['rl.dynamic_tries']
    assert max(row['dynamic/draws'] for row in found) > 1
    assert OPTIONS[name].get('rl.dynamic_by') == 'accuracy' or any(row['dynamic/carried_over'] for row in found)
  if 'rl.lag' in OPTIONS[name]:
    assert 'mismatch/kl_nats_per_token' in found[0] and found[0]['mismatch/kl_nats_per_token'] < 1e-6
    late = [row for row in found if 'lag/kl_nats_per_token' in row]
    assert [row['rollout'] for row in late] == [1, 2, 3] and all(row['lag/kl_nats_per_token'] > 1e-6 for row in late)
    assert not any('mismatch/kl_nats_per_token' in row for row in found[1:])
  if 'rl.curriculum.mode' in OPTIONS[name]:
    assert found[0]['curriculum/left_out'] == 0 and 'curriculum/left_out' in found[-1]
  if 'rl.epochs' in OPTIONS[name]:
    assert [row['rollout'] for row in found] == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.slow
@of_option
def test_a_stage_does_not_depend_on_how_its_rows_are_cut_up(whole, base, tmp_path, name):
  train(tmp_path, base, name, **{'rl.micro_tokens': 96})
  for x, y in zip(interrupted_test.weights(whole(name)), interrupted_test.weights(tmp_path), strict=True):
    np.testing.assert_allclose(x, y, atol=2e-5)


@pytest.mark.slow
@of_option
@pytest.mark.parametrize('at', [9])
def test_a_stage_that_is_asked_to_stop_gets_there(base, whole, tmp_path, monkeypatch, name, at):
  counted = interrupted_test.Counted(monkeypatch)
  for _ in range(100):
    counted.looks, counted.at = 0, at
    stopping.requested.clear()
    try:
      train(tmp_path, base, name)
      break
    except stopping.Stopped:
      at += 1
    finally:
      stopping.requested.clear()
  found, want = interrupted_test.rows(tmp_path), interrupted_test.rows(whole(name))
  assert [row['step'] for row in found] == [row['step'] for row in want]
  for x, y in zip(interrupted_test.weights(whole(name)), interrupted_test.weights(tmp_path), strict=True):
    np.testing.assert_allclose(x, y, atol=2e-5)
