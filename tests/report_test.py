"""r1jax.report on a made-up work dir: figures stand, numbers are shown, text is escaped, gaps are borne."""

import json
import math
import random
import re
import subprocess
import sys

import numpy as np
import pytest

from r1jax import metrics, report
from r1jax.report import figures, load, stages

HOSTILE = '<script>alert("x")</script> & <think> wait, 3 < 4 </think> <answer>7</answer>'


def make_run(path, steps=20, seed=0, every=None):
  """A pipeline base -> RL -> evaluate with plausible numbers."""
  rng = random.Random(seed)
  every = every or max(1, steps // 8)
  path.mkdir(parents=True, exist_ok=True)
  (path / 'config.json').write_text(json.dumps({'seed': seed, 'rl': {'steps': steps, 'kl_coef': 0.001}}))
  (path / 'pipeline.json').write_text(json.dumps({'stages': [{'name': '1_base', 'inputs': {}}]}))
  with metrics.Writer(path / '1_base', 'base', tensorboard=False) as writer:
    for step in range(1, steps + 1):
      writer.write(step, {'loss': 4 * math.exp(-3 * step / steps) + 0.6 + rng.gauss(0, 0.04),
                          'grad_norm': rng.lognormvariate(0, 0.3), 'step/seconds': 0.2})
  with metrics.Writer(path / '2_rl', 'rl', tensorboard=False) as writer:
    for step in range(steps + 1):
      x = step / steps
      skill = 1 / (1 + math.exp(4 - 8 * x))
      row = {'rollout': step}
      if step:
        noisy = skill + rng.gauss(0, 0.03)
        row |= {
            'reward/mean': noisy + 0.9, 'reward/accuracy': noisy, 'reward/format': min(1, 0.9 + x / 10),
            'length/tokens': 60 + 190 * x + rng.gauss(0, 8),
            'length/truncated': max(0, 0.12 - 0.1 * x + rng.gauss(0, 0.01)),
            'kl/nats_per_token': 0.02 * x + abs(rng.gauss(0, 0.002)), 'entropy/nats_per_token': 1.1 - 0.7 * x,
            'clip/low': 0.01 + rng.random() / 200, 'clip/high': 0.02 + rng.random() / 200,
            'groups/no_signal': 0.3 + 0.2 * x, 'mismatch/logp_mean_abs': 0.002 + rng.random() / 5000,
            'mismatch/logp_max_abs': rng.lognormvariate(-2, 1),
            'reflection/words_per_completion': 0.1 + x * x + abs(rng.gauss(0, 0.05)), 'loss': rng.gauss(0, 0.01),
            'grad_norm': float('nan') if step == 5 else rng.lognormvariate(-1, 0.4),
            'rollout/seconds': 3 + 4 * x, 'rewards/seconds': 0.3, 'update/seconds': 2 + x,
            'step/seconds': 6 + 5 * x + (40 if step == 1 else 0), 'rollout/slot_use': 0.5 + x / 3,
            'update/token_use': 0.8 + x / 9, 'time/decode': 2 + 4 * x, 'time/admit': 1.0, 'time/judge_wait': 0.3,
            'time/update': 2 + x, 'time/other': 0.7, 'rollout/tokens_per_second': 9e4 + rng.gauss(0, 3e3)}
      if step % every == 0:
        row |= {'eval/sums/pass@1': 0.05 + 0.8 * skill, 'eval/sums/cons@16': min(1, 0.1 + 0.88 * skill)}
        if step:
          metrics.write_samples(path / '2_rl', step, make_samples(step, rng, skill))
      writer.write(step, row)
  with metrics.Writer(path / '3_evaluate', 'evaluate', tensorboard=False) as writer:
    for model, score in (('base', 0.0512), ('base_worked_out', 0.2345), ('final', 0.8431 + seed / 100)):
      writer.write(steps, {'model': model, 'eval/sums/pass@1': score, 'eval/sums/pass@1_stderr': 0.0123,
                           'eval/sums/cons@16': score + 0.05, 'eval/sums/pass@16': score + 0.1,
                           'eval/sums/length_tokens': 250.4, 'eval/sums/truncated': 0.021})
  directory = path / '3_evaluate' / 'eval' / 'sums'
  directory.mkdir(parents=True)
  (directory / 'samples.jsonl').write_text(json.dumps({
      'task': 'sums', 'id': 'q1', 'prompt': 'What is 3 + 4?', 'gold': '7', 'samples': [
          {'text': 'evaluated ' + HOSTILE, 'tokens': 12, 'finish': 'stop', 'answer': '7', 'correct': True,
           'reason': 'equal'}]
  }) + '\n')
  return path


def make_samples(step, rng, skill, groups=3):
  for group in range(groups):
    for sample in range(4):
      right = rng.random() < skill
      yield {'step': step, 'rollout': step, 'group': group, 'sample': sample, 'id': f'sums-{group}',
             'prompt': f'A conversation between User and Assistant. User: What is 3 + 4 <{group}>? Assistant:',
             'gold': '7', 'completion': f'step {step}: {HOSTILE}\n' + 'I add the numbers. ' * 8, 'tokens': 40 + sample,
             'finish': 'stop' if right else 'length', 'rewards': {'accuracy': float(right), 'format': 1.0},
             'reasons': {'accuracy': 'equal' if right else 'no answer'}, 'reward': 1.0 + right,
             'advantage': rng.gauss(0, 1), 'correct': right}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  path = make_run(tmp_path_factory.mktemp('runs') / 'r1 & zero')
  return path, report.write(path).read_text()


def test_every_figure_of_the_page_stands_with_its_values_and_beside_it_as_png_and_csv(written):
  path, html = written
  names = [f'2_rl_{name}' for name in ('accuracy_sums', 'length', 'reflection', 'rewards', 'kl', 'entropy', 'clip',
                                       'no_signal', 'loss', 'grad_norm', 'mismatch', 'seconds', 'use', 'throughput')]
  for name in names + ['1_base_loss']:
    assert f'<figure id="{name}">' in html
    data = (path / 'report' / f'{name}.png').read_bytes()
    assert data[:8] == b'\x89PNG\r\n\x1a\n' and len(data) > 8000
  assert html.count('<figure ') == html.count('class="data"') == len(list((path / 'report').glob('*.png')))
  assert html.count('<figure ') == len(list((path / 'report' / 'csv').glob('*.csv')))
  assert '<img' not in html and ' src=' not in html  # one file, to mail
  assert 'language' not in html  # a metric that this run has not


def test_captions_name_the_papers_figures_and_diagnostics_are_folded(written):
  html = written[1]
  assert 'Paper: figure 2.' in html and 'Paper: figure 3.' in html
  folded = html.index('<details class="diagnostics">')
  assert html.index('id="2_rl_length"') < folded < html.index('id="2_rl_clip"')
  assert '<a href="#results">Results</a>' in html and 'id="results"' in html


def test_table_shows_the_final_evaluation_base_first(written):
  _, html = written
  for text in ('5.1 ± 1.2', '23.4 ± 1.2', '84.3 ± 1.2', '89.3', '94.3', '>250<', '2.1', 'base worked out', 'cons@16',
               'pass@16'):
    assert text in html, text
  assert html.index('>base<') < html.index('>base worked out<') < html.index('>final<')
  assert '5.1 → 84.3' in html and '20 of 20' in html


def test_model_text_is_escaped_everywhere(written):
  path, html = written
  browsed = (path / 'report' / 'samples.html').read_text()
  assert '<script>alert' not in browsed + html and 'alert(' in browsed and 'innerHTML' not in browsed + html
  assert '<h1>r1 &amp; zero</h1>' in html
  for page in (browsed, html):  # nothing is loaded from elsewhere
    assert 'http' not in page.replace('http://www.w3.org', '') and '@import' not in page and 'fetch(' not in page


def test_config_is_folded_into_the_page(written):
  assert '<details><summary>Configuration</summary>' in written[1] and '&quot;kl_coef&quot;: 0.001' in written[1]


def test_a_single_stage_still_going_has_a_page(tmp_path):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(1, {'rollout': 1, 'length/tokens': 812.0, 'reward/mean': None})
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 2, "stage": "r')  # being written just now
  html = report.write(tmp_path).read_text()
  assert '<figure id="length">' in html and html.count('<figure ') == 1 and 'class="warning"' not in html


@pytest.mark.parametrize('keep', ['1_base', '2_rl', '3_evaluate', None])
def test_missing_stages_leave_their_part_out(tmp_path, monkeypatch, keep):
  monkeypatch.setattr(figures, 'draw', lambda *args: None)
  make_run(tmp_path / 'run', steps=2)
  for stage in ('1_base', '2_rl', '3_evaluate'):
    if stage != keep:
      (tmp_path / 'run' / stage / 'metrics.jsonl').unlink()
  html = report.write(tmp_path / 'run').read_text()
  assert ('Reinforcement learning' in html) == (keep == '2_rl')
  assert ('Supervised training' in html) == (keep == '1_base')
  assert ('id="results' in html) == (keep == '3_evaluate')


def test_an_empty_dir_has_a_page(tmp_path):
  assert 'Nothing has been measured here yet' in report.write(tmp_path).read_text()


def test_a_corrupt_line_is_named_on_the_page_and_the_rest_stands(tmp_path, monkeypatch):
  monkeypatch.setattr(figures, 'draw', lambda *args: None)
  make_run(tmp_path / 'run', steps=2)
  path = tmp_path / 'run' / '2_rl' / 'metrics.jsonl'
  lines = path.read_text().splitlines()
  path.write_text('\n'.join([lines[0], lines[1][:20], lines[2]]) + '\n')
  index, warnings = report.write_checked(tmp_path / 'run')
  html = index.read_text()
  assert len(warnings) == 1 and '2_rl/metrics.jsonl, line 2' in warnings[0] and '2_rl/metrics.jsonl, line 2' in html
  assert 'id="results' in html and 'Reinforcement learning' not in html


def test_compare_draws_a_line_for_each_dir(tmp_path, monkeypatch):
  monkeypatch.setattr(figures, 'FIGURES', tuple(
      figure for figure in figures.FIGURES if figure.name in ('length', 'seconds', 'loss')))
  one, two = make_run(tmp_path / 'one', steps=4), make_run(tmp_path / '_two$', steps=6, seed=1)
  path, warnings = report.compare([one, two])
  html = path.read_text()
  assert path == one / 'report' / 'compare.html' and not warnings
  there, _ = report.compare([one, two], tmp_path / 'both' / 'report')
  assert there == tmp_path / 'both' / 'report' / 'compare.html' and there.read_text() == html
  assert '84.3' in html and '85.3' in html and '_two$' in html
  for name in ('compare_rl_accuracy_sums', 'compare_rl_length', 'compare_rl_seconds', 'compare_supervised_loss'):
    assert f'<figure id="{name}">' in html and (one / 'report' / f'{name}.png').stat().st_size > 8000


@pytest.mark.parametrize('arguments, said', [
    ([], '--workdir'), (['--workdir=/no/such/dir'], 'no such directory: /no/such/dir'), (['--nonsense=1'], 'nonsense')])
def test_a_users_mistake_is_one_line_and_exit_2(arguments, said):
  done = subprocess.run([sys.executable, '-m', 'r1jax.report', *arguments], capture_output=True, text=True)
  assert done.returncode == 2 and said in done.stderr and 'Traceback' not in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1


def test_results_take_missing_scores_from_scores_json(tmp_path):
  with metrics.Writer(tmp_path, 'evaluate', tensorboard=False) as writer:
    writer.write(0, {'model': 'final', 'eval/aime/pass@1': 0.5, 'eval/aime/cons@64': 0.6})
  (tmp_path / 'eval' / 'aime').mkdir(parents=True)
  (tmp_path / 'eval' / 'aime' / 'scores.json').write_text(json.dumps(
      {'task': 'aime', 'pass@1': 0.5, 'pass@1_stderr': 0.04, 'cons@64': 0.6, 'length_tokens': 900, 'grader': 'math'}))
  result, = load.results(load.load(tmp_path))
  assert (result.model, result.votes(), result.scores['pass@1_stderr']) == ('final', ('cons@64', 0.6), 0.04)


def test_scores_json_is_that_of_its_own_model_however_equal_two_are(tmp_path):
  with metrics.Writer(tmp_path, 'evaluate', tensorboard=False) as writer:
    for model in ('base', 'final'):
      writer.write(0, {'model': model, 'eval/sums/pass@1': 0.0})
  for folder, length in (('sums', 900.0), ('sums.base', 20.0), ('sums.between', 50.0)):
    (tmp_path / 'eval' / folder).mkdir(parents=True)
    (tmp_path / 'eval' / folder / 'scores.json').write_text(json.dumps(
        {'task': 'sums', 'pass@1': 0.0, 'length_tokens': length}))
  found = {result.model: result.scores['length_tokens'] for result in load.results(load.load(tmp_path))}
  assert found == {'base': 20.0, 'between': 50.0, 'final': 900.0} and list(found)[-1] == 'final'


def test_models_of_one_name_from_two_stages_each_have_their_line(tmp_path):
  """Two searches before and after an actor learned are both called by their kind; none may hide another."""
  (tmp_path / 'pipeline.json').write_text(json.dumps({'stages': [{'name': 'before'}, {'name': 'after'}]}))
  for number, (stage, model, right) in enumerate([
      ('before', 'mcts', 0.75), ('after', 'mcts', 0.875), ('evaluate', 'base', 0.5), ('evaluate', 'final', 1.0)], 1):
    work = tmp_path / f'{min(number, 3)}_{stage}'
    folder = work / 'eval' / ('sums' if model == 'final' else f'sums.{model}')
    folder.mkdir(parents=True)
    with metrics.Writer(work, stage, tensorboard=False) as writer:
      writer.write(number, {'model': model, 'eval/sums/pass@1': right})
    (folder / 'scores.json').write_text(json.dumps({'task': 'sums', 'pass@1': right, 'length_tokens': 10.0 * number}))
    (folder / 'samples.jsonl').write_text(json.dumps(
        {'id': 'one', 'prompt': '1 + 1 =', 'gold': '2', 'samples': [{'text': f'by {stage}', 'tokens': 3, 'correct': True}]}) + '\n')
  run = load.load(tmp_path)
  assert [(found.model, found.scores['pass@1'], found.scores['length_tokens']) for found in load.results(run)] == [
      ('base', 0.5, 30.0), ('mcts, before', 0.75, 10.0), ('mcts, after', 0.875, 20.0), ('final', 1.0, 40.0)]
  shown = ' '.join(stages.side_by_side(run))
  assert re.findall('<div class="facts"><b>(.*?)</b>', shown) == ['base', 'mcts, before', 'mcts, after', 'final']


def test_a_stage_that_has_got_another_number_is_the_same_one(tmp_path):
  """Somebody has put a stage before it: the folder of its old number stands beside the new one."""
  (tmp_path / 'pipeline.json').write_text(json.dumps({'stages': [{'name': 'evaluate'}]}))
  for number, right in ((3, 0.25), (4, 0.875)):
    work = tmp_path / f'{number}_evaluate'
    with metrics.Writer(work, 'evaluate', tensorboard=False) as writer:
      for model in ('base', 'dev', 'final'):
        writer.write(number, {'model': model, 'eval/sums/pass@1': right})
    for model in ('.base', '.dev', ''):
      (folder := work / f'eval/sums{model}').mkdir(parents=True)
      (folder / 'scores.json').write_text(json.dumps({'task': 'sums', 'pass@1': right, 'length_tokens': number}))
      (folder / 'samples.jsonl').write_text(json.dumps(
          {'id': 'one', 'prompt': '1 =', 'gold': '1', 'samples': [{'text': f'<{number}>', 'tokens': 1, 'correct': True}]}) + '\n')
  run = load.load(tmp_path)
  assert [(of.model, of.scores['pass@1'], of.scores['length_tokens']) for of in load.results(run)] == [
      ('base', 0.875, 4), ('dev', 0.875, 4), ('final', 0.875, 4)]
  shown = ' '.join(stages.side_by_side(run))
  assert re.findall('<div class="facts"><b>(.*?)</b>', shown) == ['base', 'dev', 'final'] and '&lt;3&gt;' not in shown


def test_base_and_final_are_no_other_models_where_two_stages_evaluate_them(tmp_path):
  (tmp_path / 'pipeline.json').write_text(json.dumps({'stages': [{'name': 'greedy'}, {'name': 'evaluate'}]}))
  for number, (stage, right) in enumerate([('greedy', 0.25), ('evaluate', 0.875)], 1):
    with metrics.Writer(tmp_path / f'{number}_{stage}', stage, tensorboard=False) as writer:
      for model in ('base', 'dev', 'final'):
        writer.write(number, {'model': model, 'eval/sums/pass@1': right})
  assert [(of.model, of.scores['pass@1']) for of in load.results(load.load(tmp_path))] == [
      ('base', 0.875), ('dev, greedy', 0.25), ('dev, evaluate', 0.875), ('final', 0.875)]


@pytest.mark.parametrize('kind, facts, said', [
    ('process', {'learned_from': 3656, 'auc': 0.98123}, '3,656 answers, AUC on held-out steps 0.981'),
    ('search', {'questions': 256, 'pass@1': 0.957}, '256 questions, best 95.7 %'),
    ('search', {'questions': 256, 'pass@1': 0.957, 'plain_pass@1': 0.816, 'plain_voted': 0.961},
     '256 questions, best 95.7 %; plain samples of as many tokens: pass@1 81.6, vote 96.1'),
    ('process', {}, '– answers, AUC on held-out steps –')])
def test_the_row_of_a_stage_says_what_it_found(kind, facts, said):
  assert stages._data(kind, facts) == said


def test_phases_of_a_step_add_up():
  steps, seconds = figures.phases([
      {'step': 1, 'rollout/seconds': 3.0, 'rewards/seconds': 0.5, 'update/seconds': 1.0, 'step/seconds': 5.0},
      {'step': 2, 'rollout/seconds': 2.0, 'rewards/seconds': None, 'update/seconds': 1.0, 'step/seconds': 2.9}])
  assert list(steps) == [1, 2] and list(seconds) == ['rollout', 'rewards', 'update', 'rest']
  np.testing.assert_allclose(seconds['rest'], [0.5, 0.0])
  np.testing.assert_allclose(seconds['rewards'], [0.5, 0.0])


def test_spans_of_a_step_add_up_in_layers():
  """Where there are spans they say more than the seconds of three phases; two that belong together are one layer."""
  rows = [{'step': 0, 'eval/sums/pass@1': 0.5},
          {'step': 1, 'time/admit': 1.0, 'time/decode': 2.0, 'time/judge_wait': 0.25, 'time/reference': 0.5,
           'time/update': 4.0, 'time/metrics': 0.125, 'time/other': 0.25, 'step/seconds': 8.125,
           'rollout/seconds': 3.0, 'rewards/seconds': 0.25},
          {'step': 2, 'time/admit': 1.0, 'time/decode': None, 'time/checkpoint': 3.0, 'time/other': 2.0,
           'step/seconds': 6.0}]
  steps, seconds = figures.phases(rows)
  assert list(steps) == [1, 2]
  assert {name: values.tolist() for name, values in seconds.items()} == {
      'rollout': [3.0, 1.0], 'judging': [0.25, 0.0], 'reference': [0.5, 0.0], 'update': [4.0, 0.0],
      'metrics': [0.125, 0.0], 'checkpoints': [0.0, 3.0], 'rest': [0.25, 2.0]}


def test_running_mean_by_hand():
  found = figures.running_mean(np.array([1.0, 2.0, np.nan, 6.0, 4.0]), 3)
  np.testing.assert_allclose(found, [1.5, 1.5, np.nan, 5.0, 5.0])


def test_curve_keeps_gaps_and_the_last_row_of_a_step():
  panel = figures.Panel('Gradient norm', 'grad_norm')
  curve, = figures.curves(panel, '', [{'step': 2, 'grad_norm': 5.0}, {'step': 1, 'grad_norm': 1.0},
                                      {'step': 2, 'grad_norm': 2.0}, {'step': 3, 'grad_norm': None},
                                      {'step': 4, 'loss': 1.0}])
  np.testing.assert_array_equal(curve.steps, [1, 2, 3])
  np.testing.assert_array_equal(curve.values, [1.0, 2.0, np.nan])
