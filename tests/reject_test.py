"""Rejection sampling and the cold start: what is kept, why the rest is not, and what is written."""

import collections
import json
import random
import sys

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.stages import cold_start
from r1jax.data import formats
from r1jax.data import tasks
from r1jax.stages import sampling
from r1jax.stages import reject
from r1jax.stages import sft
from r1jax.stages import common
from r1jax.rewards import judge as judge_lib
from r1jax.rewards import pool
from r1jax.rewards import Score
from r1jax.types import Completion, UserError
import simulated

M = formats.get('r1').mark
ROW = {'id': '1', 'question': '2 + 3 =', 'answer': '5', 'answer_type': 'int', 'format': 'r1', 'language': 'en'}
FILTERS = ConfigDict(dict(format=True, language=0.9, paragraph=60, code=True))
CONFIG = ConfigDict(dict(template='r1', keep=2, filters=FILTERS))


def turn(reasoning, answer='5'):
  return f'{M} {reasoning}{M} The answer is \\boxed{{ {answer} }}.'


def sampled(texts, rows=(ROW,), stopped=True):
  n, one = len(texts) // len(rows), Completion(np.zeros(1, np.int32), np.zeros(1, np.float32), stopped)
  return sampling.Sampled(list(rows), [texts[i * n:(i + 1) * n] for i in range(len(rows))], [[one] * n] * len(rows))


@pytest.fixture(scope='module')
def judges():
  with pool.Pool(workers=1) as made:
    yield made


@pytest.mark.parametrize('text, why', [
    (turn('two and three make five'), ''), ('no marks at all', 'format'),
    (turn('two \u548c\u4e09\u662f\u4e94'), 'mixed language'), (turn('two and three ' * 9), 'long paragraph'),
    (turn('two and\n\nthree ' * 9), ''), (turn('as in ```x = 5``` it is five'), 'code block'),
    (turn('it is\n\n    return five\n'), 'code block'),
])
def test_what_cannot_be_read(text, why):
  assert reject.unreadable(text, ROW, FILTERS) == why


def test_filters_that_are_off_turn_nothing_away():
  off = ConfigDict(dict(format=False, language=0.0, paragraph=0, code=False))
  for text in ('no marks', turn('\u4e8c'), turn('a word ' * 99), turn('```x```')):
    assert reject.unreadable(text, ROW, off) == ''


def test_the_right_the_readable_and_the_new_stay(judges):
  texts = [turn('two and three'), turn('two and three'), turn('it is six', '6'), turn('so it is five'),
           turn('or else it is five')]
  kept, reasons = reject.accepted(sampled(texts), CONFIG, judges, None)
  assert [k['completion'] for k in kept] == [texts[0], texts[3]]
  assert reasons == {'duplicate': 1, 'wrong': 1, 'more than keep': 1}
  assert kept[0]['prompt'] == 'User: 2 + 3 = Assistant:' and kept[0]['reasoned'] and kept[0]['language'] == 'en'
  kept, reasons = reject.accepted(sampled(texts, stopped=False), CONFIG, judges, None)
  assert not kept and reasons == {'cut at the limit': 5, 'more than keep': 0}


def test_a_judge_grades_what_no_rule_can(judges):
  judge = judge_lib.Judge(lambda p: 'VERDICT: SAME' if 'blue whale' in p else 'VERDICT: DIFFERENT')
  row = {**ROW, 'answer': 'the whale', 'answer_type': 'text', 'grader': 'judge'}
  said = sampled([turn('it is large', 'blue whale'), turn('it is large', 'ant')], (row,))
  kept, reasons = reject.accepted(said, CONFIG, judges, judge)
  assert len(kept) == 1 and 'blue whale' in kept[0]['completion'] and reasons['wrong'] == 1
  mute = judge_lib.Judge(lambda p: 'hm')
  _, reasons = reject.accepted(sampled([turn('it is large', 'blue whale')], (row,)), CONFIG, judges, mute)
  assert reasons['the judge cannot be read'] == 1 and not reasons['wrong']


def test_a_verdict_that_failed_is_not_wrong():
  verdicts = ((1.0, 'correct'), (0.0, 'wrong'), (0.0, 'timeout'), (0.0, 'error: no box'))
  assert [reject.wrong(Score(*v)) for v in verdicts] == ['', 'wrong', 'no verdict', 'no verdict']


def test_taking_fewer_goes_from_question_to_question():
  ids = list('aaaaaab')
  assert {ids[i] for i in reject._take(ids, 2, random.Random(0))} == {'a', 'b'}
  assert reject._take(ids, 0, random.Random(0)) == list(range(7))


def test_the_mixer_keeps_its_counts_and_gives_simple_questions_no_reasoning():
  c = ConfigDict(dict(template='r1', general=dict(source='scenarios', count=700, false=0.25, harm=0.3)))
  general, kinds = reject._general(c, random.Random(0))
  rows = [read(number) for read, number in general]
  assert len(rows) == 700 and collections.Counter(row['kind'] for row in rows) == kinds
  reasoned = {kind: {r['reasoned'] for r in rows if r['kind'] == kind}
              for kind in ('facts', 'greeting', 'self', 'harm')}
  assert reasoned == {'facts': {True}, 'greeting': {False}, 'self': {False}, 'harm': {True}}


def test_without_tensorflow_datasets_it_is_said(tmp_path, monkeypatch, caplog):
  """The extra tfds is missing: samples are kept all the same, and a source of that kind is one line."""
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  monkeypatch.setattr(reject.importlib.util, 'find_spec', lambda name: None)
  row = {'id': '0', 'kind': 'reasoning', 'prompt': 'User: a', 'completion': 'b', 'language': 'en', 'reasoned': True}
  reject.write(str(tmp_path), [row], {}, title='reject', prompt={'template': 'r1_zero'})
  assert json.loads((tmp_path / 'data.jsonl').read_text()) == row and not (tmp_path / 'tfds').exists()
  assert "pip install 'r1jax[tfds]'" in caplog.text
  with pytest.raises(UserError, match=r"tfds:gsm8k needs .* pip install 'r1jax\[tfds\]'"):
    tasks.load('tfds:gsm8k', size=0, seed=0)


@pytest.mark.parametrize('shard_bytes', [reject.SHARD_BYTES, 300])
def test_what_is_written_is_read_by_sft_and_by_tfds(tmp_path, monkeypatch, shard_bytes):
  monkeypatch.setattr(reject, 'SHARD_BYTES', shard_bytes)
  data = [{'id': str(i), 'kind': 'reasoning', 'prompt': f'User: {i} Assistant:', 'completion': turn('\u4e8c'),
           'language': 'zh', 'reasoned': True} for i in range(7)]
  for _ in range(2):  # a stage that is made anew writes over it
    reject.write(str(tmp_path), data, {'turned_away': {'wrong': 3}}, title='reject', prompt={'template': 'r1_zero'})
  import tensorflow_datasets as tfds
  found = tfds.data_source('r1jax_samples', data_dir=str(tmp_path / 'tfds'), split='train', download=False)
  assert [r['prompt'].decode() for r in found] == [r['prompt'] for r in data]
  assert (len(list((tmp_path / 'tfds').rglob('*.array_record-*'))) > 1) == (shard_bytes == 300)
  assert found[0]['completion'].decode() == turn('\u4e8c')
  texts = sft._source(ConfigDict(dict(corpus='stage')), None, {'data': str(tmp_path)})
  assert list(texts) == [(r['prompt'], r['completion']) for r in data]
  card = json.loads((tmp_path / 'card.json').read_text())
  assert card['samples'] == card['with_reasoning'] == 7 and card['languages'] == {'zh': 7}
  assert not (tmp_path / '.data.jsonl.tmp').exists()
  assert '| turned away: wrong | 3 |' in (tmp_path / 'card.md').read_text()


def mixed_before(kept, general, wanted, rng):
  """Rows as they were mixed when all of them lay in memory, for comparison: the same ones, in the same order."""
  reasoning = kept
  if wanted and len(kept) > wanted:
    turn, order = collections.Counter(), []
    for row in rng.sample(kept, len(kept)):
      turn[row['id']] += 1
      order.append((turn[row['id']], len(order), row))
    reasoning = [row for _, _, row in sorted(order, key=lambda entry: entry[:2])[:wanted]]
  data = reasoning + general(rng)
  rng.shuffle(data)
  return data


@pytest.mark.parametrize('wanted', [0, 11, 500])
@pytest.mark.parametrize('source', ['', 'scenarios', 'general.jsonl'])
def test_the_mix_is_row_for_row_that_of_before(tmp_path, wanted, source):
  kept = [{'id': str(i % 13), 'kind': 'reasoning', 'prompt': f'{i}\u2028', 'completion': turn('\u4e8c'),
           'language': 'zh', 'reasoned': True} for i in range(40)]
  batches = common.Batches(str(tmp_path))
  for start in range(0, 40, 9):
    batches.add('', 9, kept[start:start + 9])
  lines = [{'prompt': f'q{i}', 'completion': turn('so') if i % 2 else 'a'} for i in range(20)]
  path = tmp_path / 'general.jsonl'
  path.write_text('\n\n'.join(map(json.dumps, lines)))
  c = ConfigDict(dict(template='r1', reasoning=wanted, general=dict(
      source=str(path) if '.' in source else source, count=7, false=0.25, harm=0.3)))
  rows = [{**row, 'kind': 'general', 'id': f'general-{i}', 'language': '', 'reasoned': i % 2 == 1}
          for i, row in enumerate(lines)]
  general = {'': lambda rng: [], 'scenarios': lambda rng: reject._scenarios(c, rng),
             'general.jsonl': lambda rng: rng.sample(rows, 7)}[source]
  mixed = reject._mixed(batches.kept_path, c, random.Random(3))
  assert list(mixed.rows()) == mixed_before(kept, general, wanted, random.Random(3))
  assert mixed.reasoning == (min(wanted, 40) or 40) and sum(mixed.general.values()) == (7 if source else 0)


def test_batches_go_on_where_they_were_cut(tmp_path):
  batches = common.Batches(str(tmp_path))
  batches.add('', 2, [{'id': '1'}], collections.Counter(wrong=1))
  written = [(tmp_path / name).read_bytes() for name in ('batches.jsonl', 'kept.jsonl')]
  with open(tmp_path / 'batches.jsonl', 'ab') as f:
    f.write(b'{"source": "", "questions": 2, "ke')  # killed while it wrote
  with open(tmp_path / 'kept.jsonl', 'ab') as f:
    f.write(b'{"id": "2"}\n{"i')
  again = common.Batches(str(tmp_path))
  assert [(tmp_path / name).read_bytes() for name in ('batches.jsonl', 'kept.jsonl')] == written
  assert again.done('') == 2 and list(again.kept()) == [{'id': '1'}] and again.reasons == {'wrong': 1}
  again.add('', 1, [], collections.Counter(wrong=1))
  assert common.Batches(str(tmp_path)).done('') == 3 and common.Batches(str(tmp_path)).reasons == {'wrong': 2}


def test_batches_keep_what_each_source_gave(tmp_path):
  batches = common.Batches(str(tmp_path))
  for source, ids in (('a', ['\u4e8c', '2']), ('b', []), ('b', ['3']), ('a', ['4'])):
    batches.add(source, 1, [{'id': i} for i in ids])
  for found in (batches, common.Batches(str(tmp_path))):
    assert [row['id'] for row in found.kept('a')] == ['\u4e8c', '2', '4'] and found.kept_count('a') == 3
    assert [row['id'] for row in found.kept()] == ['\u4e8c', '2', '3', '4'] and found.kept_count() == 4
    assert found.done('b') == 2


def test_a_batch_whose_samples_are_lost_is_asked_again(tmp_path):
  batches = common.Batches(str(tmp_path))
  for i in '12':
    batches.add('', 1, [{'id': i}])
  (tmp_path / 'kept.jsonl').write_bytes((tmp_path / 'kept.jsonl').read_bytes()[:-1])  # a disk that forgot its end
  assert common.Batches(str(tmp_path)).done('') == 1
  (tmp_path / 'batches.jsonl').write_text('{"source": "", "questions": 2, "kept": [], "turned_away": {}}\n')
  with pytest.raises(UserError, match='was written by an earlier version'):
    common.Batches(str(tmp_path))


def test_the_first_of_several_hosts_writes_what_all_share(tmp_path, monkeypatch):
  first = common.Batches(str(tmp_path))
  first.add('', 2, [{'id': '1'}])
  before = (tmp_path / 'kept.jsonl').read_bytes()
  monkeypatch.setattr(common.mesh_lib, 'first_process', lambda: False)
  other = common.Batches(str(tmp_path))
  assert other.done('') == 2
  other.add('', 1, [{'id': '2'}])
  assert other.done('') == 3 and (tmp_path / 'kept.jsonl').read_bytes() == before


@pytest.mark.parametrize('hosts', [1, 3])
def test_batches_go_on_on_however_many_hosts(hosts, tmp_path, monkeypatch, caplog):
  """Begun on two; each host reads what the first has written, and nothing is asked twice."""
  def begun(_):
    batches = common.Batches(str(tmp_path))
    batches.add('a', 2, [{'id': '1'}])

  def go_on(_):
    batches = common.Batches(str(tmp_path))
    done = batches.done('a')
    batches.add('a', 1, [{'id': '2'}])
    batches.written()
    return done, list(batches.kept('a'))

  with monkeypatch.context() as patched:
    simulated.Hosts(patched, 2)(begun)
  with monkeypatch.context() as patched, caplog.at_level('INFO', 'r1jax'):
    assert simulated.Hosts(patched, hosts)(go_on) == [(2, [{'id': '1'}, {'id': '2'}])] * hosts
  assert f'{tmp_path.name}: resuming behind 2 questions, of which 1 rows are kept' in caplog.text


@pytest.mark.parametrize('text, tidy', [
    ('  first  0.5 + 1.5 = 2.\n\n\n\nthen stop ', 'first 0.5 + 1.5 = 2.\n\nthen stop.'),
    ('Wait. Wait. It is 5.', 'Wait. It is 5.'), ('\u662f\u4e94\u3002\u662f\u4e94\u3002', '\u662f\u4e94\u3002'),
    ('so', 'so.'),
])
def test_post_processing(text, tidy):
  assert cold_start.postprocess(text) == tidy


COLD = ConfigDict(dict(format='r1', keep=2, filters=dict(format=True, language=0.6, paragraph=0, code=True),
                       few_shot=dict(examples='worked', shots=2),
                       reflection=dict(ask=dict(en=' Check it.'), prefill=dict(en=' <think> So:'))))


@pytest.mark.parametrize('source, row, text, completion', [
    ('few_shot', {}, ' first 2 + 3 = 5.', turn('Step by step: first 2 + 3 = 5.')),
    ('reflection', {'prefill': ' <think> So:'}, ' 2 + 3 = 5, check 2 + 3 = 5. </think> <answer> 5 </answer>',
     turn('So: 2 + 3 = 5, check 2 + 3 = 5.')),
    ('zero', {}, ' <think> it is 5 </think> <answer> 5 </answer>', turn('it is 5.')),
    ('zero', {'language': 'zh'}, ' <think> \u662f 5 </think> <answer> 5 </answer>',
     f'{M} \u662f 5.{M} \u7b54\u6848\u662f \\boxed{{ 5 }}\u3002'),
])
def test_each_source_is_rewritten_in_the_format(judges, source, row, text, completion):
  row = {**ROW, 'format': 'r1_zero', 'expression': '2 + 3', 'asked': ROW['question'], **row}
  kept, _ = cold_start.kept(sampled([text], (row,)), source, COLD, judges)
  assert [k['completion'] for k in kept] == [completion] and kept[0]['kind'] == source
  assert kept[0]['prompt'] == 'User: 2 + 3 = Assistant:'  # neither the examples nor the request to check


@pytest.mark.parametrize('text, why', [
    (' <think> a b </think> 5', 'no answer in the layout asked for'),
    (' <think> it is </think> <answer> 6 </answer>', 'wrong'),
    (' <think> \u5341\u4e8c it </think> <answer> 5 </answer>', 'mixed language'),
])
def test_what_r1_zero_says_is_filtered(judges, text, why):
  kept, reasons = cold_start.kept(sampled([text], ({**ROW, 'asked': ROW['question']},)), 'zero', COLD, judges)
  assert not kept and reasons == {why: 1}


def test_sources_ask_different_questions_and_examples_come_first():
  c = ConfigDict(dict(COLD.to_dict(), task=dict(source='reasoning_gym:chain_sum', seed=1, params=dict(
      min_terms=4, max_terms=6, min_digits=1, max_digits=1), answer_type='', chinese=0.0)))
  for source in cold_start.SOURCES:
    c[source] = ConfigDict({**c.get(source, ConfigDict()).to_dict(), 'questions': 20})
  rows = {source: cold_start._rows(c, source, random.Random(0)) for source in cold_start.SOURCES}
  asked = [row['expression'] for found in rows.values() for row in found]
  assert len(set(asked)) == 60
  shown = rows['few_shot'][0]['question']
  assert shown.endswith(f'. {rows["few_shot"][0]["expression"]}:') and shown.count('first') == 2
  assert rows['reflection'][0]['question'].endswith(' Check it.') and rows['reflection'][0]['prefill'] == ' <think> So:'


def test_a_base_that_was_shown_examples_has_answered_where_it_goes_on(judges):
  text = ' <think> it is 5 </think> <answer> 5 </answer>'
  row, own = {**ROW, 'format': 'r1_zero', 'asked': ROW['question']}, ConfigDict(COLD.to_dict())
  own.few_shot.examples = 'shown.jsonl'
  said = sampled([f'{text}\n\nUser: 3 + 3 = Assistant: <think>'], (row,), stopped=False)
  kept, _ = cold_start.kept(said, 'few_shot', own, judges)
  assert [k['completion'] for k in kept] == [turn('it is 5.')]
  kept, reasons = cold_start.kept(sampled([f'{text} and'], (row,), stopped=False), 'zero', own, judges)
  assert not kept and reasons == {'cut at the limit': 1}


def test_shown_examples_must_be_whole(tmp_path):
  (tmp_path / 'shown.jsonl').write_text('{"question": "1 + 1 =", "answer": "2"}\n')
  with pytest.raises(UserError, match='example 1 has not all of question, reasoning, answer'):
    cold_start._shown(ROW, ConfigDict(dict(examples=str(tmp_path / 'shown.jsonl'), shots=1)), random.Random(0))
