"""r1jax.stages.judging, statistics, monitor: what is said about a rollout,
and verdicts that are replayed, never judged anew."""

import json
import logging
import math
import os
import threading
import types

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import rewards
from r1jax.data import scenarios
from r1jax.engine import mesh as mesh_lib
from r1jax.rewards import Score
from r1jax.stages import gradable
from r1jax.stages import judging
from r1jax.stages import second
from r1jax.stages import monitor
from r1jax.stages import record
from r1jax.stages import statistics
from r1jax.types import Completion, RunStopped, UserError

ROW = {'id': 'a', 'question': '1 + 1 =', 'answer': '2', 'answer_type': 'int'}
RIGHT = ' <think> 1 + 1 = 2. </think> <answer> 2 </answer>'
WRONG = ' <think> wait. </think> <answer> 3 </answer>'
NO_SECOND = {'rewards/disagreement': pytest.approx(math.nan, nan_ok=True),
             'rewards/overpaid': pytest.approx(math.nan, nan_ok=True)}


class Book:
  """A tokenizer of whole texts: token n is the n-th text,
  and a completion has as many of them as it is to have tokens."""

  def __init__(self):
    self.texts, self.batches = [], []

  def said(self, text, tokens=2, stopped=True):
    self.texts.append(text)
    return Completion(np.full(tokens, len(self.texts) - 1, np.int32), np.zeros(tokens, np.float32), stopped)

  def decode_batch(self, rows):
    self.batches.append(len(rows))
    return [self.texts[ids[0]] for ids in rows]


def of(texts, lengths=None, stopped=None, book=None):
  """A group's completions."""
  book, n = book or Book(), len(texts)
  return book, [book.said(*each) for each in zip(texts, lengths or [2] * n, stopped or [True] * n)]


def judge(scorer, row, texts, *, number=0, max_tokens=10, **said):
  """What a rollout of one group of `row` is judged to be worth."""
  book, completions = of(texts, **said)
  verdicts = scorer.begin(number, {7: row}, book, samples=len(texts), max_tokens=max_tokens)
  verdicts.add(7, completions)
  return verdicts.result([7], completions)


@pytest.fixture
def scorer_of(tmp_path):
  """Makes scorers, all of one work dir, as a run that is started again does; and closes them."""
  made = []

  def make(weights, rows=(ROW,), **kw):
    made.append(judging.Scorer(weights, str(tmp_path), list(rows), **kw))
    return made[-1]

  yield make
  for scorer in made:
    scorer.close()


def assert_same(a: judging.Judged, b: judging.Judged):
  np.testing.assert_array_equal(a.total_B, b.total_B)
  assert a.by_name.keys() == b.by_name.keys()
  for name in a.by_name:
    np.testing.assert_array_equal(a.by_name[name], b.by_name[name], err_msg=name)
  assert (a.reasons, a.errors, str(a.second)) == (b.reasons, b.errors, str(b.second))  # str: NaN is NaN


def test_total_is_the_weighted_sum(scorer_of):
  scorer = scorer_of({'accuracy': 1.0, 'format': 0.5, 'language': 0.0})
  judged = judge(scorer, ROW, [RIGHT, WRONG, ' 2', ' <answer> 2 </answer>'])
  np.testing.assert_array_equal(judged.by_name['accuracy'], [1, 0, 0, 1])
  np.testing.assert_array_equal(judged.by_name['format'], [1, 1, 0, 0])
  np.testing.assert_array_equal(judged.total_B, [1.5, 0.5, 0, 1])
  assert judged.total_B.dtype == np.float32
  assert set(judged.by_name) == {'accuracy', 'format'} and judged.errors == 0


def test_some_groups_are_looked_at_while_others_are_to_come(scorer_of):
  """Each with the limits of its own; the result of some of all is theirs alone."""
  scorer, book = scorer_of({'format': 0.5, 'accuracy': 1.0, 'truncated': 1.0}), Book()
  verdicts = scorer.begin(0, {10: ROWS[10]}, book, samples=2, max_tokens=10)
  said = {group: of(TEXTS[group], stopped=[True, group == 4], book=book)[1] for group in (10, 4)}
  verdicts.add(10, said[10])
  total, right, errors = verdicts.look([10])
  assert errors == 0
  assert right.tolist() == [1, 0] and total.dtype == np.float32
  verdicts.ask(scorer.limited({4: ROWS[4]}, 10))
  verdicts.add(4, said[4])
  assert verdicts.look([4])[1].tolist() == [0, 1] and verdicts.look([10, 4])[1].tolist() == [1, 0, 0, 1]
  judged = verdicts.result([4], said[4])
  np.testing.assert_array_equal(judged.total_B, verdicts.look([4])[0])
  np.testing.assert_array_equal(verdicts.look([10])[0], total)
  assert np.isnan(scorer_of({'format': 1.0}).begin(1, {}, book, samples=2).look([])[1]).all()


def test_where_every_host_judges_all_the_first_ones_verdicts_count(scorer_of, monkeypatch):
  """One that a clock has cut off on this host alone, say: how many groups are drawn next follows from it."""
  scorer, book = scorer_of({'accuracy': 1.0}), Book()
  monkeypatch.setattr(judging.mesh_lib, 'of_first', lambda values: 1 - values)
  verdicts = scorer.begin(0, {10: ROWS[10]}, book, samples=2)
  said = of(TEXTS[10], book=book)[1]
  verdicts.add(10, said)
  assert verdicts.look([10])[0].tolist() == verdicts.look([10])[1].tolist() == [0, 1]
  judged = verdicts.result([10], said)
  assert judged.total_B.tolist() == judged.by_name['accuracy'].tolist() == [0, 1]


def test_equal_values_have_equal_totals(scorer_of):
  """To the bit, wherever they stand: a group of them has no signal."""
  scorer = scorer_of({'accuracy': 0.7, 'format': 0.3, 'language': 0.1})
  verdicts = scorer.begin(0, {}, Book(), samples=2)
  for B in (1, 12, 15, 40, 72, 100, 257):
    assert len(set(verdicts._total(np.tile(np.float32([[0.1, 1 / 3, np.nan]]), (B, 1))).tolist())) == 1


def test_no_reward_is_an_error(scorer_of):
  with pytest.raises(UserError, match='all rewards are off'):
    scorer_of({'accuracy': 0.0})


def test_judges_are_as_many_as_cores_but_for_one(scorer_of, monkeypatch):
  """It drives the devices."""
  for cores, wanted in ((64, 63), (2, 1), (1, 1), (None, 1)):
    monkeypatch.setattr(os, 'cpu_count', lambda cores=cores: cores)
    assert judging.workers() == len(scorer_of({'format': 1.0}).pool._workers) == wanted


ROWS = {10: ROW, 4: {**ROW, 'id': 'b', 'answer': '3'}, 8: {**ROW, 'id': 'c', 'answer_type': 'expr'}}
TEXTS = {10: [RIGHT, WRONG], 4: [RIGHT, WRONG], 8: [' <answer> ? </answer>', RIGHT]}


@pytest.mark.parametrize('order', [(4, 8, 10), (10, 4, 8)])
@pytest.mark.parametrize('together', [True, False])
def test_groups_are_judged_as_they_come_and_the_verdicts_are_the_same(scorer_of, order, together):
  scorer, book = scorer_of({'accuracy': 1.0, 'format': 0.5}), Book()
  said = {group: of(texts, book=book)[1] for group, texts in TEXTS.items()}
  gate = threading.Event()
  scorer.thread.submit(gate.wait if together else gate.set)  # judging is held up until all have come together
  verdicts = scorer.begin(0, ROWS, book, samples=2)
  for group in order:
    verdicts.add(group, said[group])
    if not together:
      verdicts.wait()
  gate.set()
  judged = verdicts.result([4, 8, 10], [c for group in (4, 8, 10) for c in said[group]])
  assert book.batches == ([6] if together else [2, 2, 2])  # one pass of the tokenizer for what waits
  assert verdicts.texts == TEXTS
  np.testing.assert_array_equal(judged.by_name['accuracy'], [0, 1, 0, 1, 1, 0])
  np.testing.assert_array_equal(judged.total_B, [0.5, 1.5, 0, 1.5, 1.5, 0.5])
  assert judged.reasons['accuracy'][3] == 'correct' and list(judged.reasons['accuracy']) == [0, 1, 2, 3, 4, 5]


def test_what_judging_raises_is_raised_where_it_is_waited_for(scorer_of):
  scorer, (book, said) = scorer_of({'accuracy': 1.0}), of([RIGHT])
  verdicts = scorer.begin(0, {0: ROW}, book, samples=1)
  book.decode_batch = lambda rows: 1 / 0
  verdicts.add(0, said)
  with pytest.raises(ZeroDivisionError):
    verdicts.wait()


class Counting:
  """A pool of judges that gives what it is told to, and counts what it is asked."""

  def __init__(self, *verdicts):
    self.verdicts, self.asked = list(verdicts), 0

  def score(self, items, count_errors=True):
    if not count_errors:  # the second grader's
      return [Score(0.0, 'error')] * len(items)
    self.asked += len(items)
    taken, self.verdicts = self.verdicts[:len(items)], self.verdicts[len(items):]
    return taken

  def close(self):
    pass


TIMEOUT, CORRECT = Score(0.0, 'timeout'), Score(1.0, 'correct')
TIMED = {**ROW, 'answer_type': 'expr'}


def test_a_verdict_with_a_clock_is_replayed_when_the_rollout_comes_again(scorer_of, tmp_path):
  def once(number, texts, *verdicts):
    """(what is judged by a judge that would now say this, how much it was asked), as after a restart."""
    scorer = scorer_of({'accuracy': 1.0})
    scorer.pool.close()
    scorer.pool = Counting(*verdicts)
    judged = judge(scorer, TIMED, texts, number=number)
    return judged, scorer.pool.asked

  texts = [RIGHT] * 20
  first, asked = once(3, texts, TIMEOUT, *[CORRECT] * 19)
  assert asked == 20 and first.total_B[0] == 0 and first.errors == 1
  again, asked = once(3, texts, *[CORRECT] * 20)
  assert asked == 0
  assert_same(first, again)
  other, asked = once(3, [RIGHT] * 19 + [WRONG], *[CORRECT] * 20)  # another rollout: judged, and kept in its place
  assert asked == 20 and other.total_B[0] == 1
  assert once(3, [RIGHT] * 19 + [WRONG])[1] == 0
  half = [Score(0.5, 'correct')] * 20
  for number in (4, 5):
    assert once(number, texts, *half)[1] == 20
  back, asked = once(4, texts)  # several rollouts back, too
  assert back.total_B[0] == 0.5 and asked == 0
  scorer_of({'accuracy': 1.0}).forget(before=5)
  assert [p.name for p in (tmp_path / 'verdicts').iterdir()] == ['00000005.json']


def test_each_group_is_replayed_by_itself(scorer_of):
  """Two ask the same and were told the same, but one hung: each has its own verdict again; a third has changed."""
  def once(texts, *verdicts):
    scorer, book = scorer_of({'accuracy': 1.0}), Book()
    scorer.pool.close()
    scorer.pool = Counting(*verdicts)
    said = [of([text], book=book)[1] for text in texts]
    waiting = scorer.begin(0, dict.fromkeys(range(3), TIMED), book, samples=1)
    for group, completions in enumerate(said):
      waiting.add(group, completions)
      waiting.wait()
    return waiting.result([0, 1, 2], sum(said, [])), scorer.pool.asked

  first, asked = once([RIGHT, RIGHT, RIGHT], TIMEOUT, CORRECT, CORRECT)
  assert asked == 3 and first.total_B.tolist() == [0, 1, 1]
  again, asked = once([RIGHT, RIGHT, WRONG], Score(0.0, 'wrong'))
  assert asked == 1 and again.total_B.tolist() == [0, 1, 0]


def test_numbers_are_judged_again_as_no_clock_decides_them(scorer_of, tmp_path):
  judge(scorer_of({'accuracy': 1.0}), ROW, [RIGHT, WRONG])
  assert not (tmp_path / 'verdicts').exists()


def test_too_many_errors_stop_the_run(scorer_of, caplog):
  with caplog.at_level(logging.WARNING, logger='r1jax'):
    judged = judge(scorer_of({'accuracy': 1.0, 'format': 1.0}), {**ROW, 'answer_type': 'nonsense'}, [RIGHT] * 4)
  assert judged.errors == 4 and '4 of 8 verdicts are errors' in caplog.text
  monitor.stop_if_unjudged({'rewards/errors': 0.1})
  with pytest.raises(RunStopped, match='100% of the completions have verdicts that are errors'):
    monitor.stop_if_unjudged({'rewards/errors': judged.errors / 4})


GENERAL = {'id': 'g', 'question': 'Hi', 'answer': '', 'answer_type': 'text', 'reward': 'scenario'}
KINDS = {0: ROW, 1: {**GENERAL, 'scenario': 'facts'}, 2: {**GENERAL, 'scenario': 'harm'}}


def test_what_models_say_goes_where_rules_do_not(scorer_of):
  scorer = scorer_of({'helpful': 2.0, 'harmless': 1.0}, [ROW])
  # It earns nothing, but the models are watched by it.
  assert list(scorer.weights) == ['accuracy', 'helpful', 'harmless']
  verdicts = scorer.begin(0, KINDS, book := Book(), samples=2)
  said = [of([RIGHT, WRONG], book=book)[1] for _ in KINDS]
  for group, completions in enumerate(said):
    verdicts.add(group, completions)
  measured = {'helpful': np.array([9, 9, 0.25, 0.5, 9, 9]), 'harmless': np.array([9, 9, 1.0, 0.0, 0.75, 0.5])}
  judged = verdicts.result([0, 1, 2], sum(said, []), measured)
  none = np.nan
  np.testing.assert_array_equal(judged.by_name['accuracy'], [1, 0, none, none, none, none])
  # Not of a harmful question.
  np.testing.assert_array_equal(judged.by_name['helpful'], [none, none, 0.25, 0.5, none, none])
  np.testing.assert_array_equal(judged.by_name['harmless'], [none, none, 1.0, 0.0, 0.75, 0.5])
  np.testing.assert_array_equal(judged.total_B, [0, 0, 1.5, 1.0, 0.75, 0.5])
  assert judged.reasons['harmless'] == {b: 'measured' for b in (2, 3, 4, 5)} and judged.errors == 0


def test_lengths_reach_the_rewards_that_ask_for_them(scorer_of):
  scorer = scorer_of({'accuracy': 1.0, 'truncated': 0.5, 'overlong': 1.0, 'repetition': 1.0}, overlong_buffer=4)
  judged = judge(scorer, ROW, [RIGHT, RIGHT, 'a b c d a b c d a b c d', RIGHT], lengths=[6, 8, 3, 10],
                 stopped=[True, True, True, False])
  np.testing.assert_allclose(judged.by_name['overlong'], [0, -0.5, 0, -1])
  np.testing.assert_allclose(judged.by_name['truncated'], [0, 0, 0, -1])
  assert judged.by_name['repetition'][2] == pytest.approx(4 / 9 - 1) and judged.by_name['repetition'][0] == 0
  np.testing.assert_allclose(judged.total_B, [1, 0.5, 0 + 4 / 9 - 1, 1 - 0.5 - 1], rtol=1e-6)


def test_a_second_grader_reports_what_it_sees_otherwise(scorer_of):
  scorer = scorer_of({'accuracy': 1.0})
  # A question is no answer; a mark is not read.
  judged = judge(scorer, ROW, [RIGHT, WRONG, ' <answer> 1+1 </answer>', ' <answer> ? </answer>'])
  assert judged.second == {'rewards/disagreement': pytest.approx(1 / 3), 'rewards/overpaid': 0.0}
  first = [[1.0, 'correct']] * 4  # of a grader that pays for all
  broken = second.again(scorer.pool, first, [ROW] * 4, [RIGHT, WRONG, WRONG, RIGHT])
  assert broken == {'rewards/disagreement': 0.5, 'rewards/overpaid': 0.5}
  row = {**ROW, 'answer': r'\{1, 2\}', 'answer_type': 'set'}  # to math-verify, which accepts a repeated element
  judged = judge(scorer, row, [r' <answer> \{2, 1\} </answer>', r' <answer> \{1, 2, 1\} </answer>'], number=1)
  np.testing.assert_array_equal(judged.by_name['accuracy'], [1, 0])
  assert judged.second == {'rewards/disagreement': 0.5, 'rewards/overpaid': 0.0}
  assert judge(scorer, {**GENERAL, 'scenario': 'facts'}, ['hello']).second == NO_SECOND  # nothing that a rule can grade


def test_a_row_that_cannot_be_graded_is_refused_with_its_place(scorer_of):
  rows = [ROW, {**ROW, 'answer': 'two', 'where': 'questions.jsonl:7'}]
  with pytest.raises(UserError, match="questions.jsonl:7: answer='two' does not parse as 'int'"):
    scorer_of({'accuracy': 1.0}, rows)
  with pytest.raises(UserError, match='row b: .*matrix'):
    gradable.start(set(), [{**ROW, 'id': 'b', 'answer_type': 'matrix'}])
  with pytest.raises(UserError, match="a row for the reward 'code' needs 'tests'"):
    gradable.start(set(), [{**ROW, 'reward': 'code'}])
  with pytest.raises(UserError, match=r"x\^ \+|'x\^'"):
    gradable.start(set(), [{**ROW, 'answer': 'x^', 'answer_type': 'expr'}])


# --- several hosts


def on_hosts(monkeypatch, hosts: int, work):
  """[work(host) of each], which meet where processes would: each in a thread of its own."""
  here, meet, sent, out = threading.local(), threading.Barrier(hosts), [None] * hosts, [None] * hosts

  def exchange(value):
    sent[here.number] = value
    meet.wait(20)
    found = list(sent)
    meet.wait(20)
    return found

  def gather_rows(values, rows, n):
    whole = np.full((n, *values.shape[1:]), -1e9, values.dtype)
    for part, at in exchange((values, rows)):
      whole[at] = part
    return whole

  def mean_over_hosts(values):
    found = exchange(values)
    assert len({tuple(sorted(part)) for part in found}) == 1, 'the same names on every host'
    means = {name: np.nanmean([part[name] for part in found]) if any(part[name] == part[name] for part in found) else
             math.nan for name in values}
    return {name: float(mean) for name, mean in means.items() if mean == mean}

  def run(number):
    here.number = number
    out[number] = work(number)

  for name, f in (('processes', lambda: hosts), ('is_local', lambda number: number % hosts == here.number),
                  ('gather_rows', gather_rows), ('mean_over_hosts', mean_over_hosts)):
    monkeypatch.setattr(mesh_lib, name, f)
  threads = [threading.Thread(target=run, args=(number,)) for number in range(hosts)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert None not in out
  return out


@pytest.mark.parametrize('hosts', [2, 4])  # of four, one has no group
def test_hosts_that_judge_in_turns_know_what_one_would(tmp_path, monkeypatch, hosts):
  groups, book = [4, 5, 6], Book()
  rows = {4: ROW, 5: {**ROW, 'answer': '3', 'id': 'b'}, 6: {**ROW, 'answer_type': 'nonsense', 'id': 'c'}}
  said = [of([RIGHT, WRONG], book=book)[1] for _ in groups]
  count = lambda row, text, words: [len(text), float(words), math.nan if row is ROW else 1.0]

  def work(number):
    scorer = judging.Scorer({'accuracy': 1.0, 'format': 0.5}, str(tmp_path / str(number)), [ROW])
    verdicts = scorer.begin(0, rows, book, samples=2)
    for group, completions in zip(groups, said):
      verdicts.add(group, completions)
    judged = verdicts.result(groups, sum(said, []))
    counted = verdicts.gathered(verdicts.text_facts(groups, count, 3), 6)
    scorer.close()
    return judged, counted, sorted(verdicts.texts)

  alone, counted, judged_here = work('alone')
  assert judged_here == groups and alone.errors == 2
  divided = on_hosts(monkeypatch, hosts, work)
  for judged, theirs, _ in divided:
    assert_same(alone, judged._replace(reasons=alone.reasons, second=alone.second))
    assert str(judged.second) == str(divided[0][0].second)  # the mean over hosts of what each has looked at
    np.testing.assert_array_equal(theirs, counted)
  assert sorted(sum((here for *_, here in divided), [])) == groups  # each by one of them
  for name, reasons in alone.reasons.items():
    assert {b: why for judged, *_ in divided for b, why in judged.reasons[name].items()} == reasons


def test_what_models_measure_is_not_divided(scorer_of, monkeypatch):
  """A reward model is one program of all hosts, and asks for every text."""
  monkeypatch.setattr(mesh_lib, 'processes', lambda: 2)
  monkeypatch.setattr(mesh_lib, 'is_local', lambda number: False)
  book, said = of([RIGHT, WRONG])
  verdicts = scorer_of({'process': 1.0}).begin(0, {3: ROW}, book, samples=2, divided=False)
  verdicts.add(3, said)
  judged = verdicts.result([3], said, {'process': np.array([0.25, 0.5])})
  assert judged.total_B.tolist() == [0.25, 0.5] and judged.by_name['accuracy'].tolist() == [1, 0]


# --- statistics


def test_facts_by_hand():
  total = np.array([1, 1, 0, 2], np.float32)
  verdicts = {'accuracy': np.array([1, 1, 0, 1], np.float32),
              'helpful': np.array([np.nan, 0.5, np.nan, 0.25], np.float32)}
  judged = judging.Judged(total, verdicts, {}, 2, {'rewards/overpaid': 0.125})
  advantages, nan = np.array([[0.5, -0.5], [-1, 1]], np.float32), np.nan
  texts = ['Wait, but', 'nothing', 'waiting', 'wait wait']
  text_Bxk = np.array([statistics.of_text(ROW, text, words=True) for text in texts])
  text_Bxk[:, 1:3] = [[0.5, 3], [nan, nan], [nan, nan], [1.0, 4]]  # words of two alone were counted
  _, said = of(texts, [2, 4, 8, 2], [True, True, False, True])
  found = statistics.facts(said, judged, advantages, text_Bxk)
  assert found == {
      'reward/mean': 1.0, 'reward/accuracy': 0.75, 'reward/helpful': 0.375, 'accuracy/mean': 0.75, 'length/tokens': 4.0,
      'length/truncated': 0.25, 'groups/no_signal': 0.0, 'groups/std_min': 1.0,
      'groups/all_correct_gradient': pytest.approx(1 / 3),  # of the first group: |A| of 1 in 3
      'reflection/words_per_completion': 1.0,  # whole words only
      'language/consistency': 0.75, 'language/words': 3.5, 'rewards/errors': 0.5, 'rewards/overpaid': 0.125}
  judged = judged._replace(total_B=np.array([1, 1, 1, 1], np.float32), by_name={})
  flat = statistics.facts(said, judged, np.zeros((2, 2)), text_Bxk, general=True)
  assert flat['groups/no_signal'] == 1.0  # of what nobody has measured there is no number, and 0 is one
  assert all(math.isnan(flat[name]) for name in ('groups/std_min', 'groups/all_correct_gradient', 'accuracy/mean'))
  assert not {'reward/accuracy', 'reward/helpful'} & flat.keys()
  # The same names on every host and in every rollout, though none of these questions was general.
  assert math.isnan(flat['monitor/helpful_by_rule']) and math.isnan(flat['monitor/harmless_by_rule'])


def test_what_a_text_has_not_is_no_number():
  columns = lambda row, text, words=True: dict(zip(statistics.TEXT, statistics.of_text(row, text, words=words)))
  missing = lambda found: {name for name, value in found.items() if math.isnan(value)}
  rules = {'monitor/helpful_by_rule', 'monitor/harmless_by_rule'}
  language = {'language/consistency', 'language/words'}
  found = columns(ROW, '<think> so it is, wait, 2 </think> <answer> 2 </answer>')
  assert missing(found) == rules and found['reflection/words_per_completion'] == 1.0
  assert found['language/consistency'] == 1.0 and found['language/words'] == 4.0
  assert missing(columns(ROW, WRONG, words=False)) == rules | language
  row = {kind: next(r for r in scenarios.questions() if r['scenario'] == kind) for kind in ('self', 'harm')}
  found = columns({**row['self'], 'format': 'r1'}, f'<|thought|> So.<|thought|> {scenarios.SELF}')
  assert missing(found) == language | {'monitor/harmless_by_rule'} and found['monitor/helpful_by_rule'] == 1.0
  found = columns({**row['harm'], 'format': 'r1'}, f'<|thought|> First take a rope.<|thought|> {scenarios.REFUSAL}')
  assert missing(found) == language | {'monitor/helpful_by_rule'} and found['monitor/harmless_by_rule'] == 0.0
  assert missing(columns({**GENERAL, 'scenario': 'facts'}, 'hello')) == rules | language  # a user's own: no rule


def test_sample_rows_are_json_and_belong_together():
  judged = judging.Judged(np.arange(6, dtype=np.float32),
                          {'accuracy': np.array([1, 0, 0, 1, np.nan, np.nan], np.float32),
                           'helpful': np.array([np.nan] * 4 + [0.5, 0.25], np.float32)},
                          {'accuracy': {0: 'correct', 1: 'wrong', 2: 'wrong', 3: ''},
                           'helpful': {4: 'measured', 5: 'measured'}}, 0, {})
  _, said = of(list('pqrstu'), [1, 2, 3, 4, 5, 6], [True, False, True, True, True, True])
  advantages = np.array([[1, -1], [-1, 1], [0.5, -0.5]], np.float32)
  asked = [ROW, {**ROW, 'id': 'b'}, {**GENERAL, 'scenario': 'facts'}]
  rows = statistics.sample_rows(6, 2, asked, {0: ['p', 'q'], 2: ['t', 'u']}, said, judged, advantages)
  assert [(r['id'], r['group'], r['sample'], r['completion'], r['tokens'], r['correct'])
          for r in json.loads(json.dumps(rows))] == [
              ('a', 0, 0, 'p', 1, True), ('a', 0, 1, 'q', 2, False), ('g', 2, 0, 't', 5, None),
              ('g', 2, 1, 'u', 6, None)]
  assert [r['finish'] for r in rows] == ['stop', 'length', 'stop', 'stop']
  assert [r['advantage'] for r in rows] == [1, -1, 0.5, -0.5] and [r['reward'] for r in rows] == [0, 1, 4, 5]
  assert [r['rewards'] for r in rows] == [{'accuracy': 1}, {'accuracy': 0}, {'helpful': 0.5}, {'helpful': 0.25}]
  assert rows[0]['reasons'] == {'accuracy': 'correct'} and rows[2]['reasons'] == {'helpful': 'measured'}
  assert all((r['step'], r['rollout']) == (6, 2) for r in rows)


# --- the monitor


FINE = {'entropy/nats_per_token': 0.8, 'kl/nats_per_token': 0.01, 'groups/no_signal': 0.3, 'rewards/errors': 0.0,
        'length/truncated': 0.1}


@pytest.mark.parametrize('name, good, bad, says', [
    ('entropy/nats_per_token', 0.05, 0.039, 'entropy has collapsed'), ('kl/nats_per_token', 0.9, 1.1, 'run away'),
    ('groups/no_signal', 0.9, 0.95, 'hardly any group'), ('rewards/errors', 0.01, 0.02, 'errors count as wrong'),
    ('length/truncated', 0.5, 0.51, 'cut off at max_tokens')])
def test_an_alarm_comes_when_it_has_held_for_three_rollouts(name, good, bad, says, caplog):
  alarms = monitor.Alarms(FINE)
  assert [alarms.look({**FINE, name: value}) for value in (bad, bad, good, bad, bad)] == [[]] * 5
  assert alarms.look({**FINE, name: bad}) == [name] and says in caplog.text and f'{name}=' in caplog.text
  again = [alarms.look({**FINE, name: bad}) for _ in range(50)]
  assert [bool(warned) for warned in again] == [False] * 49 + [True]  # said again, but not each time


def test_without_a_figure_there_is_no_alarm():
  """Without a reference there is no KL, without a first rollout the present one is it."""
  alarms = monitor.Alarms(None)
  row = {'entropy/nats_per_token': 0.01, 'rewards/errors': None}
  assert [alarms.look(row) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize('dtype, own, limit', [
    ('float32', 0.0, 5e-4), ('bfloat16', 0.0, 5e-3), ('bfloat16', 0.02, 0.02)])
def test_the_gate_takes_its_limit_from_the_dtype(dtype, own, limit):
  limit_ = monitor.gap_limit(ConfigDict(dict(mismatch_limit=own)), dtype)
  assert limit_ == limit
  monitor.stop_if_apart(limit, 0.0, 4096, limit_)
  with pytest.raises(RunStopped, match=f'(?s)before the first rollout.*rl.mismatch_limit={limit:g}'):
    monitor.stop_if_apart(1.01 * limit, 0.0, 4096, limit_)


@pytest.mark.parametrize('far, tokens, stops', [
    (0, 64, False), (1, 64, False), (2, 64, True),  # one token of few says nothing: bfloat16 has such
    (4, 4096, False), (5, 4096, True), (1, 1000, False), (2, 1000, True), (2, 1999, True), (2, 2000, False)])
def test_the_gate_asks_for_the_share_of_tokens_that_are_far_apart(far, tokens, stops):
  """Neither figure is a maximum, which grows with the number of tokens."""
  check = lambda: monitor.stop_if_apart(1e-5, far / tokens, tokens, 5e-4)
  if not stops:
    return check()
  with pytest.raises(RunStopped, match=f'{far / tokens:.2%} of {tokens} tokens by more than half a nat'):
    check()


@pytest.mark.parametrize('kl, beyond', [(math.nan, 0.0), (0.0, math.nan)])
def test_a_gap_that_is_no_number_stops_the_run(kl, beyond):
  with pytest.raises(RunStopped):
    monitor.stop_if_apart(kl, beyond, 64, 5e-4)


def test_rare_success_is_warned_of(caplog):
  with caplog.at_level(logging.WARNING, logger='r1jax'):
    monitor.warn_if_rare(0.2, 30, 16)
    monitor.warn_if_rare(0.01, 5, 16)
    assert not caplog.records
    monitor.warn_if_rare(0.01, 30, 16)
  assert 'only the format is learned' in caplog.text


@pytest.mark.parametrize('weights, row, measured', [
    ({'format': 1.0}, ROW, True), ({'format': 1.0, 'accuracy': 0.0}, ROW, True), ({'accuracy': 1.0}, ROW, True),
    ({'format': 1.0}, {**GENERAL, 'scenario': 'facts'}, False),  # no answer is right
    ({'format': 1.0, 'accuracy': 0.0}, {**ROW, 'reward': 'judge'}, False),  # which is never asked in RL
    ({'format': 1.0}, {**ROW, 'reward': 'gone'}, False)])
def test_an_accuracy_that_earns_nothing_is_measured_where_it_can_be(scorer_of, caplog, monkeypatch, weights, row, measured):
  """Where it cannot, it is no number: neither in metrics.jsonl nor in samples/, and nothing is warned of."""
  def stop():
    raise ValueError('nothing works here')

  found = rewards.get
  monkeypatch.setattr(rewards, 'get', lambda name: types.SimpleNamespace(start=stop) if name == 'gone' else found(name))
  monkeypatch.setattr(judging.pool_lib, 'check_rows', lambda rows: None)
  gradable._say_once.cache_clear()
  with caplog.at_level('INFO'):
    judged = judge(scorer_of(weights, [row]), row, [RIGHT, WRONG])
  paid = weights.get('accuracy', 0.0)
  np.testing.assert_array_equal(judged.total_B, [1, paid == 0])  # both are in their format
  assert ('measured' in caplog.text) == (not paid and row.get('reward') != 'judge' and 'scenario' not in row)
  assert ('nothing works here' in caplog.text) == (row.get('reward') == 'gone')
  _, said = of([RIGHT, WRONG])
  facts = statistics.facts(said, judged, np.array([[1.0, -1.0]]), np.full((2, 5), np.nan))
  sample, other = statistics.sample_rows(1, 0, [row], {0: [RIGHT, WRONG]}, said, judged, np.zeros((1, 2)))
  if measured:
    assert facts['accuracy/mean'] == facts['reward/accuracy'] == 0.5 and (sample['correct'], other['correct']) == (True, False)
    assert facts['groups/all_correct_gradient'] == 0.0
  else:
    assert math.isnan(facts['accuracy/mean']) and math.isnan(facts['groups/all_correct_gradient'])
    assert sample['correct'] is None and other['correct'] is None
  caplog.clear()
  ema, kept = -1.0, types.SimpleNamespace()
  for number in range(20):
    ema = record.Record.ema(kept, {'accuracy/mean': facts['accuracy/mean']}, ema)
    monitor.warn_if_rare(ema, number + 1, 16)
  assert ema == (pytest.approx(0.5) if measured else -1) and not caplog.messages


def test_an_accuracy_that_pays_must_work(scorer_of):
  with pytest.raises(UserError, match='questions for a judge'):
    scorer_of({'accuracy': 1.0}, [{**ROW, 'reward': 'judge'}])
