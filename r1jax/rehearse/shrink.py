"""A config as it is, made small: sizes, numbers and files, never stages, templates, losses or how it is computed."""

import os

from ml_collections import ConfigDict

from r1jax import benchmarks
from r1jax import limits
from r1jax.data import tasks
from r1jax.rehearse import inputs
from r1jax.rehearse import judge as stand_in

PROMPT, TOKENS = 256, 24  # tokens of a prompt and of a completion
BENCHMARK_PROMPT = 2048  # of a benchmark's, which stays as it is published: DROP shows three passages
LENGTH = 384  # of a packed row
QUESTIONS = 24  # rows of a file of questions
BASE_STEPS, FORMAT_STEPS = 250, 200  # of a base that is trained here, and of what learns a format from it
LIGHT = dict(  # of sums: what a model of a few thousand parameters can learn
    min_terms=2, max_terms=2, min_digits=1, max_digits=1)


def shrink(config, mesh: dict[str, int], work: str, models: dict[str, str], *, checkpoint: str = '',
           judge: str = '') -> ConfigDict:
  """The same stages with the same keys.

  Args:
    mesh: of the rehearsal, by layout.small.
    work: where made files are written.
    models: name in models/zoo.py -> the directory of a nano model of its family.
    checkpoint: of a nano model, for a config that evaluates one.
    judge: the URL of one, for stages that may ask one.
  """
  small = config.copy_and_resolve_references()
  small.unlock()
  small.mesh, small.topology, small.keep_freed_memory = mesh, 'cpu:1', False
  small.logit_elements, small.checkpoints = 1 << 19, dict(config.checkpoints.to_dict(), every=1)
  small.model.update(max_length=0, rope_theta=0.0)  # they would not fit nano's
  if 'trackers' in small:
    small.trackers = ()
  if 'lora' in small:
    small.lora.rank = min(small.lora.rank, 4)
  shards = mesh['data'] * mesh['fsdp']
  for spec in small.stages:
    c = small[spec.get('config', spec['name'])]
    if spec['run'] == 'convert':
      _convert(c, models)
    else:
      _STAGES[spec['run']](c, shards, work)
    if judge and 'judge' in c and c.judge.kind:
      c.judge.update(kind='endpoint', url=judge, checkpoint='', model=stand_in.NAME)
    if _from_nothing(config):
      _of_tiny_world(c, spec['run'])
  if 'checkpoint' in small:
    small.checkpoint = checkpoint
  if not any(spec.get('config', spec['name']) == 'evaluate' for spec in small.stages):
    _evaluate(small.evaluate, shards, work)  # RL looks at its questions
  return small


def _from_nothing(config) -> bool:
  """Whether the base is trained here, by this config or the one that it begins with: a nano model has 256 positions."""
  parts = (config[spec.get('config', spec['name'])] for spec in config.stages if spec['run'] == 'sft')
  return bool(other_run(config)) or any(part.corpus == 'arithmetic' for part in parts)


def _of_tiny_world(c, run: str) -> None:
  """Its texts are short, and what no one has taught the base it must read here: later stages keep what is right."""
  for key, part in (('max_prompt', 3), ('length', 2)):
    if key in c:
      c[key] //= part
  if run == 'sft':
    c.steps, c.log_every = (BASE_STEPS, 100) if c.corpus == 'arithmetic' else (FORMAT_STEPS, 20)
  elif run in ('cold_start', 'reject'):
    c.samples, c.keep, c.task.size = 8, 2, 32
  if run == 'reject':
    c.general.count = 96  # so that answers to general questions differ in what they say
  elif run == 'preference':
    c.samples = 8


def _rl(c, shards: int, work: str) -> None:
  c.minibatches, c.epochs, c.dynamic_tries = min(2, c.minibatches), min(2, c.epochs), min(2, c.dynamic_tries)
  c.curriculum.low, c.curriculum.high = 0.0, 1.0  # of a column that the stand-in questions have not got
  c.curriculum.mode = c.curriculum.mode.replace('easy_first', '')
  per = limits.steps_a_rollout(c)
  c.steps, c.groups, c.samples = 2 * per, shards, min(4, c.samples)
  c.ref_every, c.eval_every = (per if of else 0 for of in (c.ref_every, c.eval_every))
  c.eval_questions, c.eval_samples, c.sample_groups, c.overlong_buffer = 2 * shards, min(2, c.eval_samples), 1, 8
  c.general.from_step = min(c.general.from_step, per)
  longer, fewer = (isinstance(of, (tuple, list)) for of in (c.max_tokens, c.slots))
  _sampled(c, shards)
  with c.ignore_type():  # a schedule stays one
    if longer:
      c.max_tokens = ((0, TOKENS // 2), (per, TOKENS))
    if fewer:
      c.slots = ((0, 2 * shards), (per, shards))
  c.micro_tokens = 2 * shards * TOKENS
  _questions(c.task, work)
  _longer(c)
  _general(c.general, work)


def _evaluate(c, shards: int, work: str) -> None:
  c.samples, c.batch = min(2, c.samples), shards
  c.general.samples = 1
  _sampled(c, shards)
  more = tasks.several(list(c.tasks)) if c.tasks else []
  for task in (c.task, *more):
    _questions(task, work, size=2 * shards)
  if any(benchmarks.known(task.source) for task in more):
    c.max_prompt = BENCHMARK_PROMPT
  c.tasks = tuple(task.to_dict() for task in more)
  _longer(c)
  _general(c.general, work)


def _sampled(c, shards: int) -> None:
  c.max_prompt = PROMPT
  with c.ignore_type():
    c.max_tokens = TOKENS
    if c.slots:
      c.slots = 2 * shards


def _questions(task, work: str, size: int = 0) -> None:
  for each in task if isinstance(task, (list, tuple)) else (task,):
    if benchmarks.known(each.source):
      each.source = f'{each.source.partition(":")[0]}:{benchmarks.STANDIN}'
    elif not each.source.startswith('reasoning_gym:'):
      each.source = f'jsonl:{inputs.questions(work, QUESTIONS)}'
      each.columns = dict(question='', answer='')  # of its own file
    else:
      each.params.update({key: value for key, value in LIGHT.items() if key in each.params})
    each.size = size or (QUESTIONS if each.source.startswith('reasoning_gym:') else 0)


def _longer(c) -> None:
  """Games of reasoning-gym explain their rules in words that the nano model's tokenizer has never seen."""
  several = c.task if isinstance(c.task, (list, tuple)) else (c.task,)
  if any(each.source.startswith('reasoning_gym:') and each.source != 'reasoning_gym:chain_sum' for each in several):
    c.max_prompt = 4 * PROMPT


def _general(c, work: str) -> None:
  c.size = 2 if c.source and not c.source.startswith('jsonl:') else 0
  if c.source.startswith('jsonl:'):
    c.source = f'jsonl:{inputs.general_prompts(work)}'


def _sft(c, shards: int, work: str) -> None:
  c.length, c.batch, c.micro_tokens = LENGTH, shards, shards * LENGTH
  c.optimizer.warmup = min(1, c.optimizer.get('warmup', 0))
  c.steps, c.log_every = 2, 1
  if c.corpus == 'arithmetic':
    c.documents, c.model, c.batch = 1200, 'nano', 2 * shards
    c.task.params.update(dict(LIGHT, max_terms=3))  # two terms alone are too few problems
    c.mixture.update(worked=1.0, textbook=0.3, guess_right=1.0, slip=0.0, slip_mixed=0.0, broken_format=0.0)
  elif c.corpus == 'jsonl':
    c.path = inputs.documents(work, c.get('format', ''))


def _convert(c, models: dict[str, str]) -> None:
  c.source = models[c.get('model') or '']
  if 'model' in c:
    c.model = ''


def _cold_start(c, shards: int, work: str) -> None:
  c.samples, c.keep, c.batch = min(2, c.samples), 1, shards
  for source in (c.few_shot, c.reflection, c.zero):
    source.questions = 8 if source.questions else 0
  if c.few_shot.examples != 'worked':
    c.few_shot.examples = inputs.shown(work)
  _sampled(c, shards)
  c.max_prompt = 2 * PROMPT
  _questions(c.task, work)


def _reject(c, shards: int, work: str) -> None:
  c.samples, c.keep, c.batch, c.reasoning = min(2, c.samples), 1, shards, 16
  c.general.count = 6
  if c.general.source != 'scenarios':
    c.general.source = inputs.documents(work, '')
  _sampled(c, shards)
  _questions(c.task, work)


def _judge(c, shards: int) -> None:
  """A model that scores: what reward models and models of steps share."""
  c.batch, c.sample_batch, c.length = shards * 2, shards, LENGTH
  c.steps, c.log_every, c.micro_tokens = 2, 1, 2 * shards * LENGTH
  c.optimizer.warmup = 0
  _sampled(c, shards)


def _preference(c, shards: int, work: str) -> None:
  _judge(c, shards)
  c.samples, c.pairs = min(4, c.samples), min(4, c.pairs)
  if c.source != 'policy':
    c.source = inputs.preferences(work, c.kind)


def _process(c, shards: int, work: str) -> None:
  _judge(c, shards)
  c.samples, c.keep, c.rollouts, c.prefixes = min(2, c.samples), min(2, c.keep), min(2, c.rollouts), 2
  c.least_auc = 0.0  # it learns nothing in two steps
  _questions(c.task, work)


def _search(c, shards: int, work: str) -> None:
  c.samples, c.keep, c.batch, c.simulations, c.step_tokens = 4, 2, shards, 2, 8
  _sampled(c, shards)
  _questions(c.task, work, size=2 * shards)


_STAGES = dict(rl=_rl, evaluate=_evaluate, sft=_sft, cold_start=_cold_start, reject=_reject, preference=_preference,
               process=_process, search=_search)


def models(config) -> set[str]:
  """Names of the published models that the config's imports name."""
  parts = (config[spec.get('config', spec['name'])] for spec in config.stages if spec['run'] == 'convert')
  named = {part.get('model') or '' for part in parts}
  return named | ({config.base.model} if 'checkpoint' in config else set())


def other_run(config) -> str:
  """The experiment whose finished run the config begins with; '' where it begins with nothing."""
  if 'checkpoint' in config:
    return ''  # a nano model's
  named = any(source.startswith('from_run/') for spec in config.stages for source in spec['inputs'].values())
  return os.path.join('experiments', 'r1.py:tiny') if named else ''
