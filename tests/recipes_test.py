"""experiments/recipes.py: the public recipes are configs that start, and documents whose every number has a source."""

import json
import re
import subprocess
import sys

import pytest

from r1jax import configs
from r1jax import values
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.engine import mesh as mesh_lib
from r1jax.plan import chips
from r1jax.plan import fit
from r1jax.plan import phases as phases_lib
from r1jax.plan import places

import runs

RECIPES = runs.module('recipes')
of_recipe = pytest.mark.parametrize('arg', list(RECIPES.VARIANTS))
# Keys that change no result (docs/configs.md): what devices hold at once, what is looked at.
FREE = {'slots', 'micro_tokens', 'ref_memory', 'sample_groups', 'batch', 'log_every'}


def leaves(node, prefix=''):
  for key, value in node.items():
    if hasattr(value, 'items') and key not in ('task', 'params'):
      yield from leaves(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


@of_recipe
def test_a_recipe_starts_where_it_is_meant_for(arg):
  """What `plan --without-files` asks before it compiles, on every topology that the recipe names; and it is JSON."""
  for topology, flags in RECIPES.TOPOLOGIES[arg].items():
    config, where = RECIPES.get_config(arg), chips.topology(topology)
    assert json.loads(json.dumps(config.to_dict()))['name'] == f'recipe_{arg}'
    fit.apply(config, flags)
    phases_lib.by_name(config)
    phases_lib.check(config, where)
    assert places.crossing(where, config.mesh.to_dict()) is not None
    for phase in phases_lib.phases(config):
      assert phases_lib.model_of(config, phase.stage).config.param_count() > 1e8
  assert config.recipe.topologies == tuple(RECIPES.TOPOLOGIES[arg])


@of_recipe
def test_it_prints_as_flags_that_give_it(arg):
  """--print_config: what it prints is checked first; each line of a plain value is one that sets it."""
  config = RECIPES.get_config(arg)
  values.check(config)
  lines = list(configs.lines(config))
  for line in (f'--config.base.source={config.base.source}', f'--config.mesh.fsdp={config.mesh.fsdp}',
               f'--config.recipe.page={config.recipe.page}'):
    assert line in lines
  assert any(line.startswith('--config.expect=(') for line in lines)


def test_print_config_of_the_command_itself():
  done = subprocess.run([sys.executable, '-m', 'r1jax.main', f'--config={configs.find("recipes:gsm8k-1.5b")}',
                         '--print_config'], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert '--config.base.source=hf:Qwen/Qwen2.5-1.5B-Instruct' in done.stdout.splitlines()


@of_recipe
def test_every_number_has_its_source(arg):
  """Each value of RL and of the rewards that is not the paper's default, and every one that decides a result, says
  where it is from; what is said is of a key that there is."""
  config, before = RECIPES.get_config(arg), RECIPES.common.defaults()
  said = dict(config.recipe.sources)
  assert len(said) == len(config.recipe.sources) and all(said.values())
  for name in [spec['name'] for spec in config.stages if spec['run'] == 'rl']:
    default, found = dict(leaves(before.rl)), dict(leaves(config[name]))
    other = {key for key, value in found.items() if key.split('.')[-1] not in FREE and key != 'ref_every' and (
        value != default[key])}
    always = {'groups', 'samples', 'steps', 'minibatches', 'learning_rate', 'kl_coef', 'temperature', 'max_prompt',
              'max_tokens', 'clip_low', 'clip_high', 'optimizer.b1', 'optimizer.b2', 'optimizer.weight_decay',
              'optimizer.clip_norm', 'optimizer.warmup'}
    if name == 'rl' and config.rl.surrogate == 'reinforce':
      always -= {'clip_low', 'clip_high'}  # it has no ratio
    assert not sorted(key for key in other | always if f'{name}.{key}' not in said)
  assert {'rewards.accuracy', 'rewards.format', 'evaluate.temperature', 'evaluate.top_p'} <= set(said)
  every = dict(leaves(config))
  assert not [key for key in said if key not in every and not hasattr(config[key.split('.')[0]].get(
      key.split('.')[1]), 'items')]


@of_recipe
def test_a_recipe_is_a_document(arg):
  config = RECIPES.get_config(arg)
  recipe = config.recipe
  assert re.fullmatch(r'https://\S+', recipe.page) and recipe.title and recipe.reached and recipe.hardware
  assert config.base.source == f'hf:{recipe.model}' and recipe.model.count('/') == 1
  sources = {task.source for name in ('rl', 'rl_8k') if name in config for task in tasks.several(config[name].task)}
  assert sources and all(source.startswith(('hf:', 'reasoning_gym:')) for source in sources)
  made = [source for source in sources if source.startswith('reasoning_gym:')]
  assert bool(made) == arg.startswith('countdown')  # these need weights alone


@of_recipe
def test_what_is_expected_will_be_measured(arg):
  """Each threshold is of a metric that its stage writes, at a step that the stage reaches, under what was reached."""
  config = RECIPES.get_config(arg)
  assert config.expect
  names = {f'eval/{tasks.name_of(config.evaluate.task.source)}/pass@1'}
  more = {f'eval/{tasks.name_of(task.source)}/pass@1' for task in tasks.several(list(config.evaluate.tasks))} if (
      config.evaluate.tasks) else set()
  for entry in config.expect:
    if entry['stage'] == 'evaluate':
      assert entry['model'] == 'final' and entry['metric'] in names | more and entry['step'] == 0
      continue
    c = config[entry['stage']]
    assert entry['metric'] in names and 0 < entry['step'] <= c.steps
    assert entry['step'] == c.steps or entry['step'] % c.eval_every == 0
    assert c.eval_every and c.steps % c.minibatches == 0 and 0 < entry['least'] < 1


@of_recipe
def test_greedy_answers_are_asked_for_once(arg):
  config = RECIPES.get_config(arg)
  samples = [config.evaluate.samples, *(config[spec['name']].eval_samples for spec in config.stages if (
      spec['run'] == 'rl'))]
  assert config.evaluate.temperature > 0 or set(samples) == {1}


@of_recipe
def test_evaluating_costs_a_twentieth_at_most(arg):
  config = RECIPES.get_config(arg)
  for spec in config.stages:
    if spec['run'] == 'rl':
      c = config[spec['name']]
      asked = min(c.eval_questions, 30) if config.evaluate.task.source == RECIPES.common.AIME_2024 else c.eval_questions
      share = 0.1 if arg == 'countdown-1gpu' else 0.05  # its script evaluates every 25 iterations of 64
      assert asked * c.eval_samples <= share * c.eval_every * c.groups * c.samples, spec['name']


def test_every_recipe_of_the_list_is_there_and_has_its_line():
  assert set(RECIPES.VARIANTS) == set(RECIPES.TOPOLOGIES) == {
      'gsm8k-0.5b', 'gsm8k-1.5b', 'countdown-3b', 'countdown-1gpu', 'simplerl-0.5b', 'simplerl-1.5b', 'simplerl-7b',
      'dr-grpo-1.5b', 'dr-grpo-7b', 'deepscaler-1.5b', 'open-rs-1.5b', 'orz-7b', 'dapo-32b'}
  assert [name for name, _ in configs.listed('recipes')] == [f'recipes:{arg}' for arg in RECIPES.VARIANTS]
  assert 'document' not in configs.names()
  with pytest.raises(ValueError, match="has no 'huge': one of gsm8k-0.5b, gsm8k-1.5b"):
    RECIPES.get_config('huge')


def test_the_numbers_that_are_known_by_heart():
  """As the sources have them: questions x samples, minibatches, rate, KL, tokens."""
  of = lambda arg, name='rl': (lambda c: (c.groups * c.minibatches, c.samples, c.minibatches, c.learning_rate, c.kl_coef,
                                          c.max_tokens))(RECIPES.get_config(arg)[name])
  assert of('gsm8k-1.5b') == (1024, 5, 4, 1e-6, 0.001, 1024)
  assert of('countdown-3b') == (256, 5, 2, 1e-6, 0.001, 1024)
  assert of('countdown-1gpu') == (16, 4, 1, 1e-6, 0.001, 1024)
  assert of('simplerl-7b') == (1024, 8, 4, 5e-7, 1e-4, 8192)
  assert of('dr-grpo-7b') == (128, 8, 8, 1e-6, 0.0, 3000)
  assert of('orz-7b') == (128, 64, 1, 1e-6, 0.0, 8000)
  assert of('dapo-32b') == (512, 16, 16, 1e-6, 0.0, 20480)
  assert [of('deepscaler-1.5b', name)[1::4] for name in ('rl_8k', 'rl_16k', 'rl_24k')] == [
      (8, 8192), (16, 16384), (16, 24576)]
  assert of('open-rs-1.5b') == (12, 6, 1, 1e-6, 0.04, 3584)


@of_recipe
def test_a_prompt_says_where_the_answer_is_read(arg):
  """In a box or in tags: of another place the grader knows nothing."""
  config = RECIPES.get_config(arg)
  for c in [config[spec['name']] for spec in config.stages if spec['run'] in ('rl', 'evaluate')]:
    for task in (c.task, *c.get('tasks', ())):
      asked = task.get('system', '') if c.template == 'chat' else prompts.render(c.template, 'How many?')
      assert '<answer>' in asked or '\\boxed{}' in asked, (arg, task)


def test_what_the_sources_set_otherwise_than_the_default():
  of = lambda arg: RECIPES.get_config(arg).rl
  assert of('orz-7b').scale == 'batch_std' and of('orz-7b').optimizer.b2 == 0.95
  assert of('dr-grpo-1.5b').optimizer.b2 == of('dr-grpo-7b').optimizer.b2 == 0.95
  asked = {arg: RECIPES.get_config(arg).evaluate.temperature for arg in RECIPES.VARIANTS}
  assert [arg for arg, temperature in asked.items() if temperature == 0] == [
      'gsm8k-0.5b', 'gsm8k-1.5b', 'countdown-3b', 'dr-grpo-1.5b', 'dr-grpo-7b']
  assert asked['countdown-1gpu'] == 0.3
  assert of('dapo-32b').dynamic_tries * 512 == 10 * 3 * 512  # max_num_gen_batches x gen_prompt_bsz
  assert of('dapo-32b').dynamic_by == 'accuracy'  # filter_groups_metric=acc


def test_countdown_has_questions_and_its_verifier():
  config = RECIPES.get_config('countdown-1gpu')
  config.rl.task.size = 8
  rows = tasks.asked(config.rl.task, split='train', template='chat')
  assert len(rows) == 8 and all(row['reward'] == 'gym' and row['prefill'] == '<think>' for row in rows)
  assert all(10 <= int(re.search(r'(?:make|equals?|get) (\d+)', row['question'])[1]) <= 100 for row in rows if (
      re.search(r'(?:make|equals?|get) (\d+)', row['question'])))


def test_the_meshes_are_of_as_many_devices_as_the_first_topology():
  for arg in RECIPES.VARIANTS:
    config = RECIPES.get_config(arg)
    assert set(config.mesh.keys()) == set(mesh_lib.AXES)
    assert config.mesh.fsdp * config.mesh.tensor == chips.topology(config.topology).devices, arg
