"""R1's whole pipeline on a model of a few thousand parameters: every stage,
what passes between them, resume, the report.

Such a model answers nothing rightly, so where data is made of samples they are written for it (Scripted); RL and
evaluation sample for themselves. What the pipeline reaches is measured by running it: docs/results.md.
"""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

import numpy as np
import pytest

from r1jax.data import corpus
from r1jax.data import formats
from r1jax.stages import sampling
from r1jax.engine import mesh as mesh_lib
from r1jax import pipeline
from r1jax import report
from r1jax import stopping
from r1jax.data import scenarios
from r1jax.stages import search
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.exceptions import RunStopped
from r1jax.types import Completion, UserError

import runs

ROOT = pathlib.Path(__file__).parent.parent
SUMS = dict(min_terms=2, max_terms=3, min_digits=1, max_digits=1)  # which so small a model sometimes gets right
RL = dict(steps=2, groups=8, micro_tokens=192, samples=4, minibatches=1, max_tokens=24, eval_every=0, sample_groups=8)
REAL = sampling.Generator
pytestmark = pytest.mark.usefixtures('one_device')


class Scripted:
  """Stands for sampling.Generator in the stages that make data: a policy that is right half of the time."""

  def __new__(cls, *args, name='evaluate', **kw):
    measured = name.split()[0] in ('evaluate', 'general')
    return REAL(*args, name=name, **kw) if measured else super().__new__(cls)

  def __init__(self, model, tokenizer, *args, name, template, samples, batch, seed, **kw):
    self.tokenizer = tokenizer
    self.template, self.samples, self.batch, self.seed, self.asked = template, samples, batch, seed, 0

  def __call__(self, params, rows, first=0):
    for start in range(first, len(rows), self.batch):
      self.asked += 1
      part = rows[start:start + self.batch]
      texts = [[self.answer(row, random.Random(f'{self.seed} {row["id"]} {g}')) for g in range(self.samples)]
               for row in part]
      yield sampling.Sampled(part, texts, [[self.said(text) for text in of_row] for of_row in texts])

  def said(self, text):
    ids = np.asarray([*self.tokenizer.encode(text), self.tokenizer.eos_ids[0]], np.int32)
    return Completion(ids, np.zeros(len(ids), np.float32), True)

  def answer(self, row, rng):
    form = formats.of_template(self.template)
    if row.get('scenario'):
      return form.write(*scenarios.written(row, rng))
    steps, value = corpus.worked(row['expression'], rng, corpus.Mixture(slip=0.0, spoken=True), 'en')
    value += rng.choice([0, 0, 1])
    if self.template == 'plain':
      return f' {steps}.'
    summary = f'{value}' if self.template == 'r1_zero' else f'The answer is \\boxed{{ {value} }}.'
    text = form.write(f'Step by step: {steps}.', summary)
    return text.removeprefix((row.get('prefill') or '').strip()) if row.get('prefill') else text


def small(config, **overrides):
  """The same stages with the same keys, shrunk."""
  for name in ('base', 'zero', 'rl', 'cold_data', 'reject', 'evaluate'):
    if name in config and config[name].get('task'):
      config[name].task.params.update(SUMS)
  if 'base' in config:
    config.base.update(model='nano', documents=2400, steps=4, batch=8, length=96)
  for name in ('zero', 'rl', 'scenarios'):
    if name in config:
      config[name].update(RL)
      config[name].task.size = 64
  if 'cold_data' in config:
    config.cold_data.batch = 32
    for source in ('few_shot', 'reflection', 'zero'):
      config.cold_data[source].questions = 40
    config.cold_start.epochs = 0.2
    config.reject.batch, config.reject.reasoning, config.reject.general.count, config.reject.task.size = 64, 60, 80, 128
    config.sft.epochs = 0.2
    for name in ('helpful', 'harmless', 'second'):
      config[name].update(samples=3, epochs=0.1)
  config.evaluate.update(samples=2, batch=8, max_tokens=24)
  config.evaluate.task.size = 8
  if config.evaluate.general.source:
    config.evaluate.general.samples = 2
  config.update_from_flattened_dict(overrides)
  return config


def blank(figure, runs, path, theme):
  """Stands for figures.draw, which takes most of a report's time: report_test.py draws."""
  del figure, runs, theme
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(b'')


@pytest.fixture(scope='module')
def run(tmp_path_factory, one_device):
  """(config, work dir) of a run that was stopped in the middle of sampling and went on."""
  workdir = tmp_path_factory.mktemp('r1') / 'run'
  config = small(runs.module('r1').get_config('tiny'))
  added, draw = common.Batches.add, report.figures.draw
  report.figures.draw = blank

  def stopped(self, *args):
    added(self, *args)
    if '8_reject' in self._path:
      stopping.requested.set()

  common.Batches.add, sampling.Generator = stopped, Scripted
  try:
    with pytest.raises(stopping.Stopped, match='reject stopped between two batches'):
      pipeline.run(config, str(workdir))
  finally:
    common.Batches.add = added
    stopping.requested.clear()
  assert len((workdir / '8_reject/batches.jsonl').read_text().splitlines()) == 1
  pipeline.run(config, str(workdir))
  yield config, workdir
  sampling.Generator, report.figures.draw = REAL, draw


def entries(workdir):
  return {e['name']: e for e in json.loads((workdir / 'pipeline.json').read_text())['stages']}


def test_every_stage_says_what_it_took_and_gave(run):
  config, workdir = run
  found = entries(workdir)
  assert list(found) == [spec['name'] for spec in config.stages] and len(found) == 14
  for spec in config.stages:
    assert found[spec['name']]['inputs'] == {k: found[v]['output'] for k, v in spec['inputs'].items()}
    assert re.fullmatch('[0-9a-f]{64}', found[spec['name']]['output'])
  facts = {name: e['facts'] for name, e in found.items()}
  assert facts['reject']['samples_in'] == 128 * 3 and facts['cold_data']['samples_in'] == 3 * 40 * 4
  assert facts['cold_start']['documents'] == facts['cold_data']['samples_out'] > 0
  assert facts['sft']['documents'] == facts['reject']['samples_out'] == facts['reject']['reasoning'] + 80 == 140
  assert facts['helpful']['preferences'] > facts['helpful']['learned_from'] > 0
  assert facts['scenarios']['general_questions'] > 50 and facts['scenarios']['steps'] == 2


def test_sampling_went_on_behind_the_batch_it_was_stopped_at(run):
  _, workdir = run
  lines = (workdir / '8_reject/batches.jsonl').read_text().splitlines()
  assert [json.loads(line)['questions'] for line in lines] == [64, 64]


def test_a_generator_goes_on_as_it_would_have(run):
  config, workdir = run
  c, mesh = config.evaluate, mesh_lib.create(config.mesh)
  model, tokenizer, step_dir = common.load_model(str(workdir / '9_sft'))
  rows = tasks.asked(c.task, split='heldout', template='r1', size=11)
  with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
    params = common.load_sampling_params(model, step_dir, mesh)
    made = REAL(model, tokenizer, mesh, template='r1', samples=2, max_prompt=36, max_tokens=8, batch=4,
                temperature=1.0, top_p=1.0, seed=3)
    whole, rest = ([texts for s in made(params, rows, first) for texts in s.texts] for first in (0, 4))
  assert len(whole) == 11 and rest == whole[4:] and len({tuple(t) for t in whole}) > 4


def test_the_base_starts_again_and_the_format_s_token_has_one_id(run):
  _, workdir = run
  from r1jax.data.tokenizer import Tokenizer
  ids = {Tokenizer(str(workdir / place)).find('<|thought|>')
         for place in ('5_cold_start', '6_rl', '9_sft', '13_scenarios')}
  assert len(ids) == 1 and None not in ids
  assert Tokenizer(str(workdir / '1_base')).find('<|thought|>') is None
  assert entries(workdir)['sft']['inputs']['checkpoint'] == entries(workdir)['base']['output']


def test_the_last_stage_routes_its_rewards(run):
  _, workdir = run
  samples = [json.loads(line) for path in sorted((workdir / '13_scenarios/samples').glob('*'))
             for line in path.read_text().splitlines()]
  for sample in samples:
    general = sample['id'].startswith('scenario')
    assert ('accuracy' in sample['rewards']) != general and ('harmless' in sample['rewards']) == general
  assert {s['id'].startswith('scenario') for s in samples} == {True, False}
  rows = [json.loads(line) for line in (workdir / '13_scenarios/metrics.jsonl').read_text().splitlines()]
  assert {'reward/helpful', 'reward/harmless', 'monitor/helpful_by_rule', 'monitor/harmless_by_rule',
          'language/consistency', 'language/words', 'groups/std_min', 'groups/all_correct_gradient'} <= rows[-1].keys()
  of_rl = [json.loads(line) for line in (workdir / '6_rl/metrics.jsonl').read_text().splitlines()]
  assert 'reward/language' in of_rl[-1] and 'reward/helpful' not in of_rl[-1] and 'reward/format' not in of_rl[-1]


def test_the_evaluation_asks_models_that_nobody_trained_against(run):
  _, workdir = run
  rows = {r['model']: r for r in map(json.loads, (workdir / '14_evaluate/metrics.jsonl').read_text().splitlines())}
  for model in ('sft', 'final'):
    for name in ('helpfulness', 'harmlessness', 'helpful_model', 'harmless_model', 'second_model', 'helpfulness_facts'):
      assert 0 <= rows[model][f'eval/general/{name}'] <= 1
    assert 0 <= rows[model]['eval/chain_sum/language_consistency'] <= 1 and rows[model]['eval/chain_sum/words'] >= 0


def test_the_report_has_a_row_a_stage_and_answers_side_by_side(run):
  config, workdir = run
  page = (workdir / 'report/index.html').read_text()
  table = page[page.index('id="the-pipeline"'):]
  table = table[:table.index('</table>')]
  for number, spec in enumerate(config.stages, 1):
    assert f'<td class="text">{number} {spec["name"]}</td>' in table
  of = {r['model']: r for r in map(json.loads, (workdir / '14_evaluate/metrics.jsonl').read_text().splitlines())}
  row = table[table.index('<td class="text">13 scenarios</td>'):].partition('</tr>')[0]
  for score in ('chain_sum/pass@1', 'chain_sum/language_consistency', 'general/helpfulness', 'general/helpful_model',
                'general/second_model', 'general/harmlessness'):
    assert f'<td>{100 * of["final"][f"eval/{score}"]:.1f}</td>' in row, score
  assert f'<td>{of["final"]["eval/chain_sum/words"]:.1f}</td>' in row
  assert 'The same questions after each stage' in page and 'Hacking monitor' in page
  assert 'could not be read' not in page


@pytest.fixture
def no_report(monkeypatch):
  """One report of fourteen stages is enough: its figures take most of a finished run's time."""
  monkeypatch.setattr(report, 'write', lambda workdir: None)


def test_a_stage_is_made_again_alone(run, no_report):
  """Its output is the same, so nothing behind it runs;
  then its input changes, and it must not go on from what it left."""
  config, workdir = run
  before = entries(workdir)
  stamp = (workdir / '13_scenarios/metrics.jsonl').stat().st_mtime_ns
  pipeline.run(config, str(workdir), rerun=('reject',))
  after = entries(workdir)
  assert (workdir / 'set_aside/8_reject.1').is_dir() and after['reject']['output'] == before['reject']['output']
  assert (workdir / '13_scenarios/metrics.jsonl').stat().st_mtime_ns == stamp and list(after) == list(before)
  with pytest.raises(UserError, match='--rerun=no: no such stage'):
    pipeline.run(config, str(workdir), rerun=('no',))
  (workdir / '9_sft/inputs.json').write_text('{}')
  pipeline.run(config, str(workdir))  # it stands: nobody looks
  assert not (workdir / 'set_aside/9_sft.1').exists()
  kept = json.loads((workdir / 'pipeline.json').read_text())
  next(e for e in kept['stages'] if e['name'] == 'evaluate')['inputs']['sft'] = 'another'
  (workdir / 'pipeline.json').write_text(json.dumps(kept))
  (workdir / '14_evaluate/inputs.json').write_text('{"sft": "another"}')
  pipeline.run(config, str(workdir))
  assert (workdir / 'set_aside/14_evaluate.1').is_dir()


@pytest.mark.parametrize('name, arg, stages', [
    ('r1', 'no-language', ['rl', 'evaluate']), ('distill', 'tiny', ['base', 'student', 'evaluate']),
    ('table6', 'tiny', ['base', 'rl', 'distilled', 'evaluate']),
    ('search', 'prm', ['steps', 'rerank', 'beam', 'rl', 'evaluate']),
    pytest.param('search', 'mcts', ['steps', 'search', 'actor', 'value', 'before', 'after', 'evaluate'],
                 marks=pytest.mark.slow)])
def test_what_starts_from_a_finished_run(run, no_report, tmp_path, monkeypatch, name, arg, stages):
  _, workdir = run
  config = runs.module(name).get_config(arg)
  config.from_run = str(workdir)
  config = small(config)
  if 'base' in config:
    config.base.documents = 200
  for part in ('steps', 'value', 'rerank', 'beam', 'search', 'before'):
    if part in config:
      config[part].task.size, config[part].batch = 16, 8
  for part in ('steps', 'value'):
    if part in config:
      config[part].least_auc = 0.0  # it learns nothing here
  for part in ('rerank', 'beam', 'search', 'before'):
    if part in config:
      config[part].update(samples=2, keep=2, simulations=4, expand=2, step_tokens=8, max_tokens=24)
  if arg == 'prm':  # the others run on one device
    config.mesh = dict(data=2, fsdp=1, tensor=2, expert=1)
  if arg == 'mcts':
    for part in ('search', 'before'):
      config[part].max_tokens = 16  # two steps to each end, which few trees of so few nodes have otherwise
    # So small a model finds no right answer.
    monkeypatch.setattr(search, '_record', lambda *args: right_by_chance(*args))
  for sft in ('student', 'distilled'):
    if sft in config:
      config[sft].epochs = 0.2
  if arg == 'prm':  # a model that cannot tell steps apart is refused before anything uses it; a lower limit goes on
    config.steps.least_auc = 1.0
    with pytest.raises(RunStopped, match='steps.least_auc=1.0 refuses it'):
      pipeline.run(config, str(tmp_path / 'run'))
    assert sorted(path.name for path in (tmp_path / 'run').glob('[0-9]_*')) == ['1_steps']
    assert not (tmp_path / 'run/1_steps/reward_model.json').exists()
    config.steps.least_auc, labelled = 0.0, (tmp_path / 'run/1_steps/steps.jsonl').stat().st_mtime_ns
  pipeline.run(config, str(tmp_path / 'run'))
  assert list(entries(tmp_path / 'run')) == stages
  if arg == 'prm':
    assert (tmp_path / 'run/1_steps/steps.jsonl').stat().st_mtime_ns == labelled
    for stage in ('2_rerank', '3_beam'):
      scores = json.loads(next((tmp_path / 'run' / stage).glob('eval/*/scores.json')).read_text())
      assert scores['spent'] == scores['plain_spent'] > 0
  rows = [json.loads(line) for path in (tmp_path / 'run').glob('*_rl/metrics.jsonl')
          for line in path.read_text().splitlines()]
  if arg == 'no-language':
    assert rows and not any('reward/language' in row for row in rows)
  if arg == 'prm':
    assert rows and all(0 < row['reward/process'] < 1 for row in rows)
  if arg == 'mcts':
    left = [json.loads(line) for line in (tmp_path / 'run/2_search/steps.jsonl').read_text().splitlines()]
    assert left and all(len(row['ends']) == len(row['labels']) > 0 for row in left)
    assert entries(tmp_path / 'run')['value']['facts']['answers'] > 0
  if name == 'table6':
    models = {json.loads(line)['model']
              for line in (tmp_path / 'run/4_evaluate/metrics.jsonl').read_text().splitlines()}
    assert models == {'base', 'rl_alone', 'distilled'}


RECORD = search._record


def right_by_chance(row, found, judges):
  record = RECORD(row, found, judges)
  for i, sample in enumerate(record['samples']):
    sample['correct'] = i == 0
  return record


def test_a_run_that_is_not_there(tmp_path):
  for number, (given, said) in enumerate((('', "from_run='' holds no run"), (str(tmp_path), 'holds no run'))):
    config = runs.module('distill').get_config('tiny')
    config.from_run = given
    with pytest.raises(UserError, match=said):
      pipeline.run(config, str(tmp_path / f'run{number}'))
  (tmp_path / 'pipeline.json').write_text('{"stages": [{"name": "base", "directory": "1_base"}]}')
  with pytest.raises(UserError, match="has not finished stage 'reject': it has base"):
    pipeline.run(config, str(tmp_path / 'run1'))


def test_a_reward_model_that_no_stage_gives(tmp_path):
  config = runs.module('r1').get_config('tiny')
  config.rl.rewards = dict(accuracy=1.0, helpful=1.0)
  with pytest.raises(UserError, match="stage 'rl' needs the input 'helpful'"):
    pipeline.run(config, str(tmp_path / 'run'))


def test_from_the_command_line(run):
  """A finished run is left alone, and --rerun of no stage is one line and exit 2."""
  config, workdir = run
  del config
  out = subprocess.run(
      [sys.executable, '-m', 'r1jax.main', '--config=experiments/r1.py:tiny', f'--workdir={workdir}', '--rerun=no'],
      cwd=ROOT, env={k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}, capture_output=True, text=True,
      timeout=120, check=False)
  assert out.returncode == 2 and '--rerun=no: no such stage' in out.stderr and 'Traceback' not in out.stderr
