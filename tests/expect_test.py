"""Thresholds of a config: met, missed, open, read again after a resume, said once; the page shows them."""

import json
import logging

from ml_collections import ConfigDict
import pytest

from r1jax import checks
from r1jax import expect
from r1jax import metrics
from r1jax import report
from r1jax import values
from r1jax.exceptions import UserError

import runs

METRIC = 'eval/sums/pass@1'


def threshold(**changes) -> dict:
  return {**dict(stage='rl', metric=METRIC, step=40, least=0.7, says='a paper: 0.72'), **changes}


def config_of(*entries, **more) -> ConfigDict:
  stages = (dict(name='base', run='sft', inputs={}), dict(name='rl', run='rl', inputs=dict(checkpoint='base')),
            dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='rl')))
  return ConfigDict(dict(name='a', stages=stages, expect=tuple(entries), **more))


@pytest.fixture(autouse=True)
def nobody_looks():
  yield
  expect.end(said=False)
  assert not metrics.observers


def written(workdir) -> list[dict]:
  return json.loads((workdir / 'recipe.json').read_text())['expect']


def lines(caplog) -> list[tuple[str, str]]:
  return [(record.levelname, record.getMessage()) for record in caplog.records if 'expected' in record.getMessage()]


# (what was measured at which step, in order; verdict, the step that decided it, its value, the best)
@pytest.mark.parametrize('points, state, at, value, best', [
    ([], 'open', None, None, None),
    ([(0, 0.2), (20, 0.6)], 'open', None, None, 0.6),
    ([(0, 0.2), (20, 0.7)], 'met', 20, 0.7, 0.7),  # at least: the number itself will do
    ([(0, 0.2), (20, 0.75), (40, 0.6)], 'met', 20, 0.75, 0.75),  # once there, it was reached
    ([(0, 0.2), (40, 0.69)], 'missed', 40, 0.69, 0.69),
    ([(30, 0.6), (60, 0.71)], 'met', 60, 0.71, 0.71),  # the first look behind the step counts as the one at it
    ([(30, 0.6), (60, 0.69), (90, 0.9)], 'missed', 60, 0.69, 0.9),  # later is too late, and is said
])
def test_a_verdict_by_hand(points, state, at, value, best):
  found = expect.judged(points, step=40, least=0.7)
  assert (found['state'], found['at'], found['value'], found['best']) == (state, at, value, best)


def test_step_0_is_decided_by_the_first_row():
  assert expect.judged([(160, 0.5), (320, 0.9)], step=0, least=0.7)['state'] == 'missed'


def test_it_is_looked_at_while_rows_are_written_and_said_once(tmp_path, caplog):
  caplog.set_level(logging.INFO, 'r1jax')
  expect.use(config_of(threshold(), threshold(step=20, least=0.5), threshold(metric='eval/other/pass@1')), str(tmp_path))
  assert [entry['state'] for entry in written(tmp_path)] == ['open'] * 3
  with metrics.Writer(tmp_path / '2_rl', 'rl', tensorboard=False) as writer:
    writer.write(0, {METRIC: 0.1})
    writer.write(10, {'accuracy/mean': 0.9})  # another metric says nothing
    writer.write(20, {METRIC: 0.4})
    writer.write(40, {METRIC: 0.8})
    writer.write(60, {METRIC: None})
    writer.write(80, {METRIC: 0.85})
  first, second, third = written(tmp_path)
  assert (first['state'], first['at'], first['value'], first['best']) == ('met', 40, 0.8, 0.85)
  assert (second['state'], second['at'], second['value']) == ('missed', 20, 0.4)
  assert third['state'] == 'open' and third['best'] is None
  assert lines(caplog) == [
      ('WARNING', f'expected {METRIC} >= 0.5 by step 20 of rl: missed, 0.4 at step 20 (a paper: 0.72)'),
      ('INFO', f'expected {METRIC} >= 0.7 by step 40 of rl: met, 0.8 at step 40 (a paper: 0.72)')]
  caplog.clear()
  expect.end()
  assert lines(caplog) == [('WARNING', 'expected eval/other/pass@1 >= 0.7 by step 40 of rl: the run has ended, and no '
                            'row of rl has it')]


def test_a_run_that_ends_early_says_how_far_it_came(tmp_path, caplog):
  expect.use(config_of(threshold(step=100)), str(tmp_path))
  with metrics.Writer(tmp_path / '2_rl', 'rl', tensorboard=False) as writer:
    writer.write(40, {METRIC: 0.6})
  expect.end()
  assert lines(caplog) == [('WARNING', f'expected {METRIC} >= 0.7 by step 100 of rl: the run has ended before that '
                            'step, with 0.6 at best')]


def test_rows_of_another_place_and_of_another_model_do_not_count(tmp_path):
  expect.use(config_of(threshold(stage='evaluate', model='final', step=0)), str(tmp_path))
  for place in ('2_rl', 'hosts/1'):
    with metrics.Writer(tmp_path / place, 'rl', tensorboard=False) as writer:
      writer.write(40, {METRIC: 0.9, 'model': 'final'})
  with metrics.Writer(tmp_path / '3_evaluate', 'evaluate', tensorboard=False) as writer:
    writer.write(0, {METRIC: 0.2, 'model': 'base'})
    assert written(tmp_path)[0]['state'] == 'open'
    writer.write(80, {METRIC: 0.9, 'model': 'final'})
  assert (written(tmp_path)[0]['state'], written(tmp_path)[0]['at']) == ('met', 80)


def test_a_resume_comes_to_the_same_verdicts_and_says_nothing_again(tmp_path, caplog):
  caplog.set_level(logging.INFO, 'r1jax')
  config = config_of(threshold(step=20), threshold(step=60))
  expect.use(config, str(tmp_path))
  with metrics.Writer(tmp_path / '2_rl', 'rl', tensorboard=False) as writer:
    for step, value in ((20, 0.3), (40, 0.75)):
      writer.write(step, {METRIC: value})
  before, said = written(tmp_path), lines(caplog)
  assert [entry['state'] for entry in before] == ['missed', 'met'] and len(said) == 2
  expect.end(said=False)
  expect.use(config, str(tmp_path))  # started again
  assert written(tmp_path) == before and lines(caplog) == said
  with metrics.Writer(tmp_path / '2_rl', 'rl', tensorboard=False) as writer:
    writer.truncate(20)  # it goes on from a checkpoint before the row that met it
    assert [entry['state'] for entry in written(tmp_path)] == ['missed', 'open']
    writer.write(40, {METRIC: 0.6})
    writer.write(60, {METRIC: 0.65})
  assert [(entry['state'], entry['at']) for entry in written(tmp_path)] == [('missed', 20), ('missed', 60)]
  assert len(lines(caplog)) == 3


def test_a_torn_recipe_json_is_written_anew(tmp_path):
  (tmp_path / 'recipe.json').write_text('{"expect": [')
  expect.use(config_of(threshold()), str(tmp_path))
  assert written(tmp_path)[0]['state'] == 'open'


def test_a_config_that_expects_nothing_writes_nothing(tmp_path):
  expect.use(config_of(), str(tmp_path))
  assert not list(tmp_path.iterdir()) and not metrics.observers


@pytest.mark.parametrize('entry, said', [
    ('0.7', 'each is an object with stage, metric, step, least'),
    ({'stage': 'rl', 'metric': METRIC, 'step': 40}, 'each is an object with'),
    (threshold(wanted=1), 'each is an object with'),
    (threshold(least='0.7'), "least='0.7' of 'eval/sums/pass@1' is of another kind"),
    (threshold(step=True), 'step=True'),
    (threshold(stage='dpo'), "of the stage 'dpo', there are base, rl, evaluate")])
def test_a_threshold_that_is_none_is_refused_before_anything_runs(entry, said):
  config = runs.experiment('r1_zero', 'tiny')
  with config.ignore_type():
    config.expect = (entry,)
  with pytest.raises(UserError, match=said.replace('(', r'\(')):
    values.check(config)


CHAIN = 'eval/chain_sum/pass@1'


# (a threshold, what is changed in r1_zero:tiny, what the start says)
@pytest.mark.parametrize('entry, changes, said', [
    (dict(metric=CHAIN), {}, ''),
    (dict(metric='length/tokens'), {}, ''),
    (dict(metric=CHAIN, step=81), {}, 'the run ends at rl.steps=80: it may be met before, and is never missed'),
    (dict(metric=CHAIN), {'rl.eval_every': 0}, 'rl.eval_every=0'),
    (dict(metric='length/tokens'), {'rl.eval_every': 0}, ''),
    (dict(metric=CHAIN), {'evaluate.task.source': 'jsonl:mine.jsonl'}, 'rl is evaluated on mine'),
    (dict(metric=CHAIN, stage='evaluate', step=0, model='final'), {}, ''),
    (dict(metric=CHAIN, stage='evaluate', step=0, model='base_worked'), {}, ''),
    (dict(metric=CHAIN, stage='evaluate', step=0, model='last'), {}, 'evaluate evaluates base, final'),
    (dict(metric='eval/gsm8k/pass@1', stage='evaluate', step=0), {}, 'evaluate is evaluated on chain_sum')])
def test_a_threshold_that_no_row_will_decide_is_said_at_the_start(caplog, entry, changes, said):
  config = runs.experiment('r1_zero', 'tiny', **changes)
  with config.ignore_type():
    config.expect = (threshold(**entry),)
  checks.run(config, files=False)
  found = [text for _, text in lines(caplog)]
  assert len(found) == bool(said) and all(
      (said if said.startswith('the run') else f'no row will say so, as {said}: it stays open') in text for text in found)


def test_the_page_shows_them_beside_the_curve(tmp_path):
  config = config_of(threshold(), threshold(step=200, least=0.99), threshold(metric='eval/other/pass@1'), recipe=dict(title='A recipe', page='https://x.y/z',
                                                                             reached='0.72 at step 40'))
  (tmp_path / 'config.json').write_text(json.dumps(config.to_dict()))
  expect.use(config, str(tmp_path))
  with metrics.Writer(tmp_path / '2_rl', 'rl', tensorboard=False) as writer:
    for step, value in ((0, 0.1), (20, 0.5), (40, 0.8)):
      writer.write(step, {METRIC: value, 'reward/mean': 1.0})
  text = report.write(tmp_path).read_text()
  assert 'A recipe' in text and 'https://x.y/z' in text and '0.72 at step 40' in text
  assert 'open: no row has it, by step 40' in text
  assert 'met, 80.0 at step 40' in text and 'open: step 40 of 200, 80.0 at best' in text
  figure = text[text.index('id="accuracy_sums"'):].partition('</figure>')[0]
  assert figure.count('class="goal') == 2 and '70 % by step 40' in figure and '99 % by step 200' in figure


def test_a_recipe_json_that_cannot_be_read_is_a_warning_of_the_page(tmp_path):
  (tmp_path / 'recipe.json').write_text('{')
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(0, {'reward/mean': 1.0})
  assert 'recipe.json' in report.write(tmp_path).read_text()
