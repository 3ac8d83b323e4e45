"""Every number of the report against one worked out from the work dir's files by other code than the report's."""

import csv as csv_lib
import html as html_lib
import io
import json
import math
import re
import statistics
import subprocess
import sys
import time
import urllib.parse

import pytest

from r1jax import metrics
from r1jax import report
from r1jax.report import chunks as chunks_lib
from r1jax.report import runs as runs_lib

import chromium
import report_test

STAGES = [{'name': 'base', 'run': 'sft', 'inputs': {}}, {'name': 'rl', 'run': 'rl', 'inputs': {'checkpoint': 'base'}},
          {'name': 'evaluate', 'run': 'evaluate', 'inputs': {'base': 'base', 'final': 'rl'}}]


def cells(html, heading):
  """The first table behind a heading, as rows of texts."""
  table = re.search(rf'id="{heading}">.*?<table>(.*?)</table>', html, re.S)[1]
  return [[html_lib.unescape(re.sub('<[^>]+>', '', cell))
           for cell in re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row, re.S)]
          for row in re.findall(r'<tr.*?</tr>', table, re.S)]


def figures(html):
  """Name -> panels of data in the page."""
  return {name: json.loads(data) for name, data in re.findall(
      r'<figure id="([^"]+)">.*?<script type="application/json" class="data">(.*?)</script>', html, re.S)}


def tiles(html):
  return {html_lib.unescape(what): html_lib.unescape(value)
          for value, what in re.findall(r'class="tile"><b>(.*?)</b><span>(.*?)</span>', html)}


def rows_of(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def work(tmp_path, monkeypatch):
  """A finished run whose SFT logs one step in five, with an environment."""
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  return make(tmp_path / 'run')


def check(work):
  """A finished run of r1_zero.py, whose report stands."""
  check_results(work)
  assert check_figures(work) and check_counts(work)


def make(path, seed=3, **entries):
  report_test.make_run(path, steps=8, seed=seed)
  with metrics.Writer(path / '1_base', 'base', tensorboard=False) as writer:
    writer.truncate(-1)
    for step in range(5, 101, 5):
      writer.write(step, {'loss': 2.0 - step / 100, 'step/seconds': 0.25})
  (path / 'config.json').write_text(json.dumps({
      'name': 'r1_zero_tiny', 'seed': seed, 'stages': STAGES, 'base': {'steps': 100},
      'rl': {'steps': 8, 'kl_coef': 0.0},
      'evaluate': {'prefill': {'base': 'Step by step:'}}}))
  done = [{'name': spec['name'], 'directory': f'{n}_{spec["name"]}', 'run': spec['run'], 'inputs': {},
           'seconds': seconds, 'facts': facts} for n, (spec, seconds, facts) in enumerate(zip(
               STAGES, (61.5, 300.0, 20.0), ({'documents': 1234, 'epochs': 1.5, 'steps': 100},
                                             {'questions': 64, 'samples': 512, 'steps': 8},
                                             {'questions': 1, 'samples': 4096})), 1)]
  (path / 'pipeline.json').write_text(json.dumps({'stages': done[:entries.get('finished', 3)]}))
  directory = path / '3_evaluate' / 'eval' / 'sums.base_worked'
  directory.mkdir(parents=True)
  with open(directory / 'samples.jsonl', 'w') as file:
    for question in range(40):
      file.write(json.dumps({'task': 'sums', 'id': f'q{question}', 'prompt': f'What is {question} + 4?', 'gold': '7',
                             'samples': [{'text': f'= {question + sample}', 'tokens': sample, 'finish': 'stop',
                                          'answer': str(sample), 'correct': (question + sample) % 3 == 0,
                                          'reason': 'wrong'} for sample in range(16)]}) + '\n')
  return path


def check_results(work):
  header, *table = cells((work / 'report' / 'index.html').read_text(), 'results')
  wanted = {}
  for row in rows_of(work / '3_evaluate' / 'metrics.jsonl'):
    score = {key.split('/')[-1]: value for key, value in row.items()}
    share = lambda name: f'{100 * score[name]:.1f}'
    k = max(int(name.partition('@')[2]) for name in score if name.startswith('cons@'))
    wanted[row['model'].replace('_', ' ')] = [
        f'{share("pass@1")} ± {share("pass@1_stderr")}', share(f'cons@{k}'), share(f'pass@{k}'),
        f'{score["length_tokens"]:.0f}', share('truncated')]
  assert header == ['Task', 'Model', 'pass@1 ± s.e.', f'cons@{k}', f'pass@{k}', 'Length, tokens', 'Cut, %']
  assert {row[1]: row[2:] for row in table} == wanted and len(wanted) == 3


def test_the_table_of_results(work):
  report.write(work)
  check_results(work)


def test_the_papers_numbers_stand_beside(work):
  """Table 2 and figure 2 of the paper, by hand; the run's from its rows."""
  html = report.write(work).read_text()
  row = {row['model']: row for row in rows_of(work / '3_evaluate' / 'metrics.jsonl')}
  share = lambda model, score: f'{100 * row[model]["eval/sums/" + score]:.1f}'
  assert cells(html, 'beside-the-paper') == [
      ['', 'Asked', 'pass@1 before', 'after RL', 'majority'],
      ['this run', 'sums', share('base', 'pass@1'), share('final', 'pass@1'), f'{share("final", "cons@16")} (cons@16)'],
      ['DeepSeek-R1-Zero, 671B', 'AIME 2024', '15.6', '71.0', '86.7 (cons@64)']]
  assert 'Another size of model and other questions' in html


def test_the_head_and_the_stages(work):
  html = report.write(work).read_text()
  seconds = [entry['seconds'] for entry in json.loads((work / 'pipeline.json').read_text())['stages']]
  assert f'Finished: 3 stages, {metrics.duration(sum(seconds))} in all.' in html
  rl = rows_of(work / '2_rl' / 'metrics.jsonl')
  lengths = [row['length/tokens'] for row in rl if 'length/tokens' in row]
  found = tiles(html)
  assert found['RL steps'] == f'{max(row["step"] for row in rl)} of 8'
  assert found['mean response, tokens'] == f'{lengths[0]:.0f} → {lengths[-1]:.0f}'
  assert found['in all stages'] == metrics.duration(sum(seconds))
  final = {row['model']: row for row in rows_of(work / '3_evaluate' / 'metrics.jsonl')}
  for name in ('pass@1', 'cons@16'):
    values = [100 * final[model][f'eval/sums/{name}'] for model in ('base', 'final')]
    assert found[f'{name} on sums, %'] == '{:.1f} → {:.1f}'.format(*values)
  header, *table = cells(html, 'the-pipeline')
  rows = {row[0]: dict(zip(header, row)) for row in table}
  assert [rows[name]['Time'] for name in ('1 base', '2 rl', '3 evaluate')] == list(map(metrics.duration, seconds))
  assert rows['1 base']['Data'] == '1,234 documents, 1.5 epochs' and rows['1 base']['Steps'] == '100'
  assert rows['2 rl']['pass@1'] == f'{100 * final["final"]["eval/sums/pass@1"]:.1f}'
  assert rows['3 evaluate']['Data'] == '1 questions, 4,096 samples' and rows['3 evaluate']['pass@1'] == ''


def check_figures(work):
  """What hovering shows and the CSV holds is what metrics.jsonl holds; how many values were compared."""
  compared = 0
  for name, panels in figures((work / 'report' / 'index.html').read_text()).items():
    if name.endswith('_seconds'):  # sums of spans; report_test adds them up
      continue
    stage = max((path for path in work.iterdir() if name.startswith(f'{path.name}_')), key=lambda path: len(path.name))
    known = {}
    for row in rows_of(stage / 'metrics.jsonl'):
      for key, value in row.items():
        if row.get('model') != 'final' and not isinstance(value, str):
          known.setdefault(key, {})[row['step']] = value
    close = lambda a, b: a is b is None or (None not in (a, b) and math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-12))
    for of in (series for panel in panels for series in panel['series']):
      points = dict(zip(of['steps'], of['values']))
      assert any(points.keys() == one.keys() and all(close(points[step], value) for step, value in one.items())
                 for one in known.values()), (name, of['name'])
      compared += len(points)
    saved = (work / 'report' / 'csv' / f'{name}.csv').read_text().splitlines()
    assert len(saved) - 1 == len({step for panel in panels for of in panel['series'] for step in of['steps']}), name
  return compared


def test_every_value_of_every_figure(work):
  found = figures(report.write(work).read_text())
  assert {'1_base_loss', '2_rl_accuracy_sums', '2_rl_length', '2_rl_rewards', '2_rl_grad_norm'} <= found.keys()
  assert check_figures(work) > 150


def check_counts(work):
  browsed = (work / 'report' / 'samples.html').read_text()
  index = {moment['key']: moment for moment in json.loads(
      re.search(r'id="index">(.*?)</script>', browsed, re.S)[1])}
  for key, moment in index.items():
    stage, _, rest = key.partition('/')
    if moment['kind'] == 'evaluation':
      samples = [sample for row in rows_of(work / stage / 'eval' / rest / 'samples.jsonl') for sample in row['samples']]
    else:
      samples = rows_of(work / stage / 'samples' / f'step_{moment["step"]:08d}.jsonl')
    values = [sample['value'] for sample in samples if 'value' in sample]
    verdicts = [sample['correct'] for sample in samples
                if 'value' not in sample and 'accuracy' in sample.get('rewards', ('accuracy',))]
    assert (moment['samples'], moment['judged'], moment['right']) == (len(samples), len(verdicts), sum(verdicts)), key
    assert moment['rule'] == (pytest.approx(statistics.mean(values)) if values else None), key
  return index


def script(path):
  """What a script beside the page hands over."""
  text = path.read_text()
  return json.loads(text[text.index(', ') + 2:].rstrip().removesuffix(');'))


def test_counts_of_the_browser_are_of_all_samples(work):
  report.write(work)
  index = check_counts(work)
  assert index['3_evaluate/sums.base_worked']['samples'] == 640 and len(index) == 10
  of = index['3_evaluate/sums.base_worked']
  pieces = [piece for name in of['chunks'] for piece in script(work / 'report' / 'samples' / name)]
  assert {piece['prefill'] for piece in pieces} == {'Step by step:'}
  rows = rows_of(work / '3_evaluate' / 'eval' / 'sums.base_worked' / 'samples.jsonl')
  assert [one['text'] for piece in pieces for one in piece['samples']] == [
      one['text'] for row in rows for one in row['samples']]
  table = script(work / 'report' / 'samples' / of['rows'])
  assert table['questions']['right'] == [sum(one['correct'] for one in row['samples']) for row in rows]
  assert table['questions']['id'] == [row['id'] for row in rows] and set(table['questions']['n']) == {16}
  assert table['right'] == [int(one['correct']) for row in rows for one in row['samples']]
  assert table['tokens'] == [one['tokens'] for row in rows for one in row['samples']]
  assert list(index)[0] == '3_evaluate/sums', 'the last model comes first'
  steps = [moment['step'] for moment in index.values() if moment['kind'] == 'training']
  assert steps == sorted(steps, reverse=True) and len(steps) == 8


def general(work):
  """Answers that a rule measures, and completions of a training step that no accuracy was asked of."""
  directory = work / '3_evaluate' / 'eval' / 'general'
  directory.mkdir()
  (directory / 'samples.jsonl').write_text(''.join(json.dumps({
      'task': 'general', 'id': f'scenario-{question}', 'prompt': 'Tell me about a rose.', 'gold': '', 'samples': [
          {'text': 'A rose is red.', 'tokens': 5, 'finish': 'stop', 'answer': 'A rose is red.',
           'correct': value == 1.0, 'reason': 'measured', 'value': value} for value in (0.25, 0.5, 1.0)]
  }) + '\n' for question in range(2)))
  path = work / '2_rl' / 'samples' / 'step_00000008.jsonl'
  asked = {'step': 8, 'group': 9, 'sample': 0, 'id': 'rose', 'prompt': 'Tell me about a rose.', 'gold': '',
           'completion': 'Red.', 'tokens': 3, 'finish': 'stop', 'rewards': {'helpful': 0.5}, 'reasons': {},
           'reward': 0.5, 'advantage': 0.0, 'correct': False}
  with open(path, 'a') as file:
    file.write(json.dumps(asked) + '\n')


def test_what_has_no_right_answer_is_neither_right_nor_wrong(work):
  general(work)
  report.write(work)
  index = check_counts(work)
  of = index['3_evaluate/general']
  assert (of['samples'], of['judged'], of['right'], round(of['rule'], 4)) == (6, 0, 0, 0.5833)
  assert index['2_rl/step 8']['judged'] == index['2_rl/step 8']['samples'] - 1
  report.write(work)  # from the index of what has not changed
  assert check_counts(work) == index


@pytest.mark.skipif(chromium.PATH is None, reason='no chromium or chrome')
@pytest.mark.parametrize('inline', [3 << 20, 0], ids=['in the page', 'in chunks beside it'])
def test_what_a_browser_shows_is_what_the_files_hold(work, tmp_path, monkeypatch, inline):
  """The page's own scripts in a browser: matches are counted over all samples, however few are shown."""
  monkeypatch.setattr(chunks_lib, 'CHUNK', 2000)
  monkeypatch.setattr(report.samples, 'INLINE', inline)
  general(work)
  report.write(work)
  rows = rows_of(work / '3_evaluate' / 'eval' / 'sums.base_worked' / 'samples.jsonl')
  with chromium.Page(tmp_path / 'profile') as page:
    def shown(**controls):
      page.open(work / 'report' / 'samples.html', '#?' + urllib.parse.urlencode(controls))
      page.until("document.querySelector('#list > *')")
      return page.evaluate('document.body.innerText')

    seen = shown(moment='3_evaluate/sums.base_worked', verdict='0', search='= 4')
    found = [sample for row in rows for sample in row['samples'] if not sample['correct'] and '= 4' in sample['text']]
    assert f'{len(found)} of 640 samples match, 0 of these right.' in seen and 40 < len(found) < 640
    right = sum(sample['correct'] for row in rows for sample in row['samples'])
    assert f'{right} of 640 samples right, 40 questions.' in seen
    seen = shown(moment='all', task='general')
    assert '6 samples neither right nor wrong, 2 questions.' in seen and 'rule 0.25' in seen
    assert page.evaluate("document.querySelectorAll('article').length + 10 * document.querySelectorAll('.wrong').length") == 6
    page.open(work / 'report' / 'samples.html', '#' + '|'.join(['3_evaluate%2Fsums.base_worked', 'q7', '3']))
    page.until("document.querySelector('article')")
    seen = page.evaluate('document.body.innerText')
    assert page.evaluate("document.querySelectorAll('article').length") == 1
    assert '= 10' in seen and 'one is shown' in seen
    page.open(work / 'report' / 'samples.html', '#gone|q7|3')
    assert 'samples that are not here: gone' in page.evaluate('document.body.innerText')
    assert not page.errors


def test_many_samples_stand_in_chunks_beside_the_page_and_are_not_read_again(work, monkeypatch):
  monkeypatch.setattr(chunks_lib, 'CHUNK', 2000)
  monkeypatch.setattr(report.samples, 'INLINE', 1000)
  report.write(work)
  chunks = sorted((work / 'report' / 'samples').glob('[0-9]*.js'))
  assert len(chunks) > 12 and (work / 'report' / 'samples.html').stat().st_size < 60_000
  before = {path: path.stat().st_mtime_ns for path in chunks}
  (work / '2_rl' / 'samples' / 'step_00000002.jsonl').unlink()
  report.write(work)
  after = {path: path.stat().st_mtime_ns for path in sorted((work / 'report' / 'samples').glob('[0-9]*.js'))}
  gone = before.keys() - after.keys()
  assert gone and all('step_2.' in path.name for path in gone)
  assert all(before[path] == when for path, when in after.items())


@pytest.mark.parametrize('held, word', [(True, 'Running'), (False, 'Stopped')])
def test_a_run_that_is_not_finished_says_which_stage(tmp_path, monkeypatch, held, word):
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  work = make(tmp_path / 'run', finished=1)
  for path in sorted((work / '3_evaluate').rglob('*'), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()
  (work / '3_evaluate').rmdir()
  with open(work / 'lock', 'w') as file:
    if held:
      report.state.fcntl.flock(file, report.state.fcntl.LOCK_EX)
    html = report.write(work).read_text()
  took = sum(row.get('step/seconds') or 0 for row in rows_of(work / '2_rl' / 'metrics.jsonl'))
  assert f'{word}: stage 2 of 3, rl, at step 8 of 8; {metrics.duration(61.5 + took)} so far.' in html
  assert f'class="stage {word.lower()}"' in html and html.count('class="stage waiting"') == 1
  assert html.count('class="stage finished"') == 1 and '>Results<' not in html


def test_time_of_rows_that_stand_for_several_steps(work):
  (work / 'pipeline.json').unlink()
  _, *table = cells(report.write(work).read_text(), 'the-pipeline')
  assert dict((row[0], row[-2]) for row in table)['1 base'] == metrics.duration(100 * 0.25)


def test_environment_is_shown_and_its_absence_said(work):
  assert 'this work dir has no environment.json' in report.write(work).read_text()
  start = {'command': "r1jax train 'r1_zero:tiny' --workdir=run --config.rl.None=None", 'started': '2031-01-02T09:14:11+00:00',
           'r1jax': '0.1.0',
           'commit': 'abc123', 'dirty': True, 'python': '3.11.7', 'packages': {'jax': '0.10.2', 'numpy': '2.1.0'},
           'platform': 'cpu', 'device_kind': None, 'devices': 2, 'hosts': 1, 'cpu': 'Some CPU @ 2.5GHz', 'cpu_count': 6,
           'host': 'h', 'system': 'Linux-x', 'seed': 3}
  later = {**start, 'started': '2031-01-03T00:00:00+02:00'}
  (work / 'environment.json').write_text(json.dumps({'starts': [start, later]}))
  html = html_lib.unescape(report.write(work).read_text())
  for text in (start['command'], 'abc123, with changes that are in no commit', 'jax 0.10.2, numpy 2.1.0', 'r1jax 0.1.0',
               'Python 3.11.7', '2 x not known (cpu), 1 host, Linux-x', 'Some CPU @ 2.5GHz, 6 cores', '<dd>3</dd>',
               '2031-01-02 09:14 UTC; 2 starts, the last at 2031-01-02 22:00 UTC'):
    assert text in html, text


def test_of_several_runs_each_says_its_state_and_where_it_came_from(tmp_path, monkeypatch):
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  one, two = make(tmp_path / 'one'), make(tmp_path / 'two', seed=4, finished=2)
  (one / 'environment.json').write_text(json.dumps({'starts': [
      {'started': '2031-01-02T09:14:11+00:00', 'commit': 'old', 'command': 'x'},
      {'started': '2031-01-03T09:14:11+00:00', 'commit': 'abcdef0123456', 'dirty': True, 'command': 'r1jax train <it>'}]}))
  html = report.compare([one, two])[0].read_text()
  seconds = [entry['seconds'] for entry in json.loads((one / 'pipeline.json').read_text())['stages']]
  assert cells(html, 'runs') == [
      ['Run', 'State', 'Started', 'Commit', 'Command'],
      ['one', f'Finished: 3 stages, {metrics.duration(sum(seconds))} in all.',
       '2031-01-02 09:14 UTC; 2 starts, the last at 2031-01-03 09:14 UTC', 'abcdef0123, changed', 'r1jax train <it>'],
      ['two', f'Stopped: stage 3 of 3, evaluate; {metrics.duration(sum(seconds[:2]))} so far.', 'not known', 'not known',
       'not known']]


def test_seeds_are_one_column_with_mean_and_error(tmp_path, monkeypatch):
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  dirs = [make(tmp_path / f'seed{seed}', seed=seed) for seed in range(3)]
  other = make(tmp_path / 'other', seed=0)
  config = json.loads((other / 'config.json').read_text())
  config['rl']['kl_coef'] = 0.5
  (other / 'config.json').write_text(json.dumps(config))
  html = report.compare([*dirs, other])[0].read_text()
  assert cells(html, 'what-differs') == [['Key', 'seed0 and 2 more', 'other'], ['seed', '0, 1, 2', '0'],
                                         ['rl.kl_coef', '0.0', '0.5']]
  finals = [100 * row['eval/sums/pass@1'] for path in dirs for row in rows_of(path / '3_evaluate' / 'metrics.jsonl')
            if row['model'] == 'final']
  wanted = f'{statistics.mean(finals):.1f} ± {statistics.stdev(finals) / math.sqrt(3):.1f}'
  header, *table = cells(html, 'results')
  assert '<p class="of">pass@1, % · sums</p>' in html[html.index('id="results"'):][:60]
  assert header == ['Model', 'seed0 and 2 more (3 seeds)', 'other']
  assert ['final', wanted, '84.3 ± 1.2'] in table and len(table) == 3
  drawn = figures(html)['compare_rl_length'][0]['series'][0]
  lengths = [[row['length/tokens'] for row in rows_of(path / '2_rl' / 'metrics.jsonl') if row['step'] == 4]
             for path in dirs]
  at_4 = drawn['values'][drawn['steps'].index(4)]
  assert at_4 == pytest.approx(statistics.mean(value for value, in lengths), rel=1e-5)
  csv, latex, markdown = (runs_lib.text([*dirs, other], form) for form in ('csv', 'latex', 'markdown'))
  rows = {tuple(row[:4]): list(map(float, row[4:])) for row in csv_lib.reader(io.StringIO(csv))
          if row[2] == 'pass@1'}
  assert rows['sums', 'final', 'pass@1', 'seed0 and 2 more'] == pytest.approx(
      [statistics.mean(finals) / 100, statistics.stdev(finals) / 100 / math.sqrt(3), 3])
  assert rows['sums', 'final', 'pass@1', 'other'] == pytest.approx([0.8431, 0.0123, 1])
  assert f'sums & final & pass@1, \\% & {wanted.replace("±", "$"+chr(92)+"pm$")} & ' in latex and r'\bottomrule' in latex
  lines = markdown.splitlines()
  assert lines[:2] == ['| Task | Model | Score | seed0 and 2 more (3 seeds) | other |', '| --- | --- | --- | ---: | ---: |']
  assert f'| sums | final | pass@1, % | {wanted} | 84.3 ± 1.2 |' in lines and len(lines) == len(latex.splitlines()) - 4  # rules and both ends


@pytest.mark.parametrize('groups, called', [
    ([['lr=0.1__seed=0', 'lr=0.1__seed=1'], ['lr=0.3__seed=0', 'lr=0.3__seed=1']], ['lr=0.1', 'lr=0.3']),
    ([['dapo__lr=0.1__seed=0', 'dapo__lr=0.1__seed=1']], ['dapo__lr=0.1']),
    ([['seed=0__lr=0.1', 'seed=1__lr=0.1'], ['grpo']], ['lr=0.1', 'grpo']),
    ([['dapo__seed=0', 'dapo__seed=1'], ['dapo']], ['dapo__seed=0 and 1 more', 'dapo']),
    ([['dapo__seed=0', 'dapo__seed=1'], ['dapo', 'x']], ['dapo__seed=0 and 1 more', 'dapo and 1 more']),
    ([['a__seed=0', 'a__seed=1'], ['a__seed=2', 'a__seed=3']], ['a__seed=0 and 1 more', 'a__seed=2 and 1 more']),
    ([['seed0', 'seed1', 'seed2'], ['other']], ['seed0 and 2 more', 'other'])])
def test_a_group_is_called_by_what_its_runs_share(groups, called):
  assert runs_lib._called(groups) == called


def test_a_seed_counts_once_and_a_run_without_a_score_is_not_counted(tmp_path, monkeypatch):
  monkeypatch.setattr(report.figures, 'draw', lambda *args: None)
  dirs = [make(tmp_path / name, seed=seed) for name, seed in (('a', 0), ('b', 1), ('c', 2), ('again', 0))]
  (dirs[1] / '3_evaluate' / 'metrics.jsonl').unlink()
  html = report.compare(dirs)[0].read_text()
  header, *table = cells(html, 'results')
  assert header[1:] == ['a and 2 more (3 seeds)', 'again']
  finals = [100 * row['eval/sums/pass@1'] for path in (dirs[0], dirs[2])
            for row in rows_of(path / '3_evaluate' / 'metrics.jsonl') if row['model'] == 'final']
  row, = (row for row in table if row[0] == 'final')
  assert row[1] == f'{statistics.mean(finals):.1f} ± {statistics.stdev(finals) / math.sqrt(2):.1f} (2 of 3)'
  assert row[2] == '84.3 ± 1.2'


def test_watch_writes_until_the_run_ends(tmp_path):
  work = make(tmp_path / 'run', finished=1)
  page = work / 'report' / 'index.html'
  with open(work / 'lock', 'w') as file:
    report.state.fcntl.flock(file, report.state.fcntl.LOCK_EX)
    watching = subprocess.Popen([sys.executable, '-m', 'r1jax.report', f'--workdir={work}', '--watch=1'],
                                stdout=subprocess.PIPE, text=True)
    assert 'written again as the run goes on' in watching.stdout.readline()
    first = page.read_text()
    assert '<meta http-equiv="refresh" content="1">' in first and 'id="results-so-far"' in first
    assert 'sessionStorage' in first, 'the place of a reader'
    with metrics.Writer(work / '2_rl', 'rl', tensorboard=False) as writer:
      writer.write(9, {'rollout': 9, 'reward/mean': 123.5})
    until = time.monotonic() + 60
    while '123.5' not in page.read_text() and time.monotonic() < until:
      time.sleep(0.2)
    assert '123.5' in page.read_text()
  watching.communicate(timeout=120)
  assert watching.returncode == 0 and not re.search('http-equiv|sessionStorage', page.read_text())
  assert 'Stopped:' in page.read_text()


def test_watch_says_that_nothing_goes_on(tmp_path):
  work = make(tmp_path / 'run')
  done = subprocess.run([sys.executable, '-m', 'r1jax.report', f'--workdir={work}', '--watch'], capture_output=True,
                        text=True, check=True)
  assert done.stderr == (f'no process of this host holds {work}: the report is written once, --watch has nothing to '
                         'wait for\n')
  assert done.stdout == f'{work}/report/index.html\n' and 'http-equiv' not in (work / 'report/index.html').read_text()


def test_a_pattern_names_the_runs_of_a_folder_and_the_table_comes_alone(tmp_path):
  for seed in range(2):
    make(tmp_path / 'sweep' / f'seed{seed}', seed=seed)
  (tmp_path / 'sweep' / 'notes').mkdir()
  done = subprocess.run([sys.executable, '-m', 'r1jax.report', f'--workdir={tmp_path}/sweep/*', '--format=csv'],
                        capture_output=True, text=True, check=True)
  first, *lines = done.stdout.splitlines()
  assert first == 'task,model,score,run,value,stderr,runs'
  assert lines and all(',seed0 and 1 more,' in line and line.endswith(',2') for line in lines)
