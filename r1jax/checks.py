"""What is looked at before any stage works: by a run, on its own devices (pipeline.py), and by a plan, on those of its
topology (plan/phases.py).

A stage's module has check(config, part), which sees its values and the mesh, and check_files(config, part), which sees
what it reads on this machine and what judges there. What several stages must agree on is here: inputs, the model's
positions, rows that a mesh deals out.
"""

import contextlib
import importlib
import logging
import math
import os
import re

from r1jax import convert
from r1jax import expect
from r1jax import limits
from r1jax import stage_models
from r1jax import values
from r1jax.data import formats
from r1jax.data.tokenizer import Tokenizer
from r1jax.engine import lora
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import trainings
from r1jax.exceptions import InputError, UserError, about
from r1jax.models import zoo
from r1jax.stages import cold_start
from r1jax.stages import common
from r1jax.stages import evaluate

log = logging.getLogger('r1jax')

_SLOW = 1e-5  # under it adapters hardly move in a run's steps; RL of all weights is under it


def module(spec: dict):
  """The module of a stage: of r1jax.stages, or convert, which is a tool as well."""
  room = 'r1jax' if spec['run'] == 'convert' else 'r1jax.stages'
  return importlib.import_module(f'{room}.{spec["run"]}')


def run(config, *, files: bool = True, standing: dict[str, str] | None = None, even: bool = False) -> None:
  """Every stage that is to run looks at its part of the config, and then at what it reads.

  Args:
    files: look at what is read on this machine, too; else at values alone.
    standing: stages that are finished and will not run again, each with its directory: what one of them has read may be
      gone.
    even: rows that the mesh does not deal out evenly are an error; else they are filled up, and the log says so.

  Raises:
    UserError: a value that cannot be; InputError: something that is read is missing or cannot be used.
  """
  standing = standing or {}
  values.check(config)
  if 'attention' in config and 'mesh' in config:
    common.attention_path(config.attention, config.dtype, mesh_lib.create(config.mesh))
  _check_order(config)
  to_run = [spec for spec in config.stages if spec['name'] not in standing]
  looking = [spec for spec in to_run if hasattr(module(spec), 'check')]
  for spec in looking:
    _check_inputs(config, spec)
  _say_unread(config)
  models = stage_models.Models(config, files=False, later=files)
  _check_positions(config, to_run, models)
  _check_adapters(config, to_run, models)
  for spec in looking:
    with _of_stage(spec):
      module(spec).check(config, stage_models.part_of(spec))
      _check_tokens(config, spec)
  _say_undecided(config)
  _check_mixtures(config, to_run, models)
  _check_rows(config, to_run, even)
  if files:
    try:
      models = common.in_turn(lambda: _check_files(config, standing))
    except UserError as e:
      raise InputError(str(e)) from e
    _check_positions(config, to_run, models)
    _check_mixtures(config, to_run, models)
    _check_adapters(config, to_run, models)


def _check_files(config, standing: dict[str, str]) -> stage_models.Models:
  """What stages read; returns the models, of which sources now tell."""
  found = {}
  for spec in config.stages:
    for source in spec['inputs'].values():
      if source.startswith('from_run/'):
        stage_models.elsewhere(config, source)
    stage = module(spec)
    with _of_stage(spec):
      if spec['name'] in standing:
        if hasattr(stage, 'check_standing'):
          stage.check_standing(config, stage_models.part_of(spec), standing[spec['name']])
      elif hasattr(stage, 'check_files'):
        found[spec['name']] = stage.check_files(config, stage_models.part_of(spec))
        _check_judge(config, stage_models.part_of(spec))
  imported = {spec['name']: found.pop(spec['name'], None) for spec in config.stages if spec['run'] == 'convert'}
  imported = {name: model for name, model in imported.items() if model is not None}
  for spec in config.stages:
    _check_prompts(config, spec, found.get(spec['name']) or [], standing, imported)
  return stage_models.Models(config, standing=standing, imported=imported)


def _check_judge(config, key: str) -> None:
  """A published checkpoint that judges: all but its weights is looked at."""
  if given := stage_models.judge_of(config, key):
    c = config[key].judge
    with about(f'{key}.judge.checkpoint', given):
      sizes = convert.looked_at(given)[1]
      common.check_length(zoo.build(sizes), c.max_prompt + c.max_tokens, f'{key}.judge')


def _check_prompts(config, spec: dict, asked: list, standing: dict[str, str], imported: dict) -> None:
  """UserError where most of a stage's questions are longer than it lets prompts be, a warning where some are, as far as
  its models' tokenizers are there before the run."""
  for label, source in spec['inputs'].items() if asked else ():
    if source in stage_models.models_of(spec):
      with _tokenizer(config, source, standing, imported) as tokenizer, _of_stage(spec):
        for some in asked if tokenizer else ():
          some.check(label, tokenizer)


@contextlib.contextmanager
def _tokenizer(config, source: str, standing: dict[str, str], imported: dict):
  """Of the model that a stage of this run, or 'from_run/STAGE', passes on; None where this run makes it, or may add
  tokens to it."""
  specs = {spec['name']: spec for spec in config.stages}
  directory = standing.get(source) or (stage_models.elsewhere(config, source) or {}).get('directory')
  spec = specs.get(source)
  if directory:
    yield Tokenizer(directory) if os.path.exists(os.path.join(directory, 'model.json')) else None
  elif spec['run'] == 'convert' and source in imported:
    with convert.tokenizer(config, config[stage_models.part_of(spec)]) as found:
      yield found
  elif stage_models.models_of(spec) and not config[stage_models.part_of(spec)].get('format'):
    with _tokenizer(config, stage_models.models_of(spec)[0], standing, imported) as found:
      yield found
  else:
    yield None


@contextlib.contextmanager
def _of_stage(spec: dict):
  """Names the stage, where an error does not."""
  try:
    yield
  except UserError as e:
    if re.search(rf'\b({re.escape(spec["name"])}|{re.escape(stage_models.part_of(spec))})\b', str(e)):
      raise
    raise UserError(f'{spec["name"]}: {e}') from e


# --- what stages take in


def _check_order(config) -> None:
  earlier = set()
  for spec in config.stages:
    unknown = [source for source in spec['inputs'].values()
               if source not in earlier and not source.startswith('from_run/')]
    if unknown:
      raise UserError(f'stage {spec["name"]!r} takes input from {unknown[0]!r}, which is no earlier stage')
    earlier.add(spec['name'])


LEARN = ('rl', 'sft', 'preference', 'process')  # stages that train a model
_NEEDS = {'rl': ('checkpoint',), 'reject': ('checkpoint',), 'preference': ('checkpoint',), 'process': ('checkpoint',),
          'search': ('checkpoint', 'steps')}


def _check_inputs(config, spec: dict) -> None:
  """Of one stage: its part of the config is there, and so are the inputs that it cannot do without."""
  name, run_, key = spec['name'], spec['run'], stage_models.part_of(spec)
  if key not in config:
    raise UserError(f'stage {name!r} reads the part {key!r} of the config, which has none of that name')
  c, needed = config[key], set(_NEEDS.get(run_, ()))
  if run_ == 'cold_start':
    needed |= {wanted for source, wanted in cold_start.SOURCES.items() if c[source].questions}
  if (run_, c.get('corpus')) == ('sft', 'stage') or (run_, c.get('source')) == ('process', 'stage'):
    needed.add('data')
  if run_ == 'sft' and 'checkpoint' not in spec['inputs'] and 'model' not in c:
    needed.add('checkpoint')
  if missing := sorted(needed - set(spec['inputs'])):
    raise UserError(f'stage {name!r} needs the input {missing[0]!r}: name an earlier stage, or from_run/STAGE, for it')
  if run_ == 'evaluate' and not stage_models.models_of(spec):
    raise UserError(f'stage {name!r} has no model to evaluate among its inputs')


# --- what stages and their models must agree on


def _lengths(run_: str, c) -> dict[str, int]:
  """{the keys that say so: positions of a model that a stage's texts may take}."""
  found = {}
  if run_ in ('sft', 'preference', 'process') and 'length' in c:
    found['length'] = c.length
  asks = run_ not in ('sft', 'preference', 'process') or c.get('source') == 'policy'
  if asks and 'max_prompt' in c and 'max_tokens' in c:
    found['max_prompt max_tokens'] = c.max_prompt + limits.longest(c.max_tokens)
    if run_ == 'evaluate' and c.get('prefill'):
      found['max_prompt max_tokens'] += 16  # stages/evaluate.py
  return found


def _check_positions(config, specs: list[dict], models: stage_models.Models) -> None:
  """Texts of a stage that are longer than its models have positions."""
  for spec in specs:
    key = stage_models.part_of(spec)
    for keys, needed in _lengths(spec['run'], config[key] if key in config else {}).items():
      for source in stage_models.models_of(spec) or [spec['name']]:
        model = models.of(source)
        if model is not None and needed > model.config.max_length:
          raise UserError(_too_long(f'stage {spec["name"]}', config[key], key, keys.split(), needed, model))


def _check_mixtures(config, specs: list[dict], models: stage_models.Models) -> None:
  """Stages that replay experts of a model that has none."""
  for spec in specs:
    key = stage_models.part_of(spec)
    if spec['run'] == 'rl' and key in config and config[key].get('moe_replay'):
      model = models.of(spec['name'])
      if model is not None:
        with about(f'{key}.moe_replay', True):
          trainings.replayed(config[key], zoo.build(model.config), model.said)


def _check_adapters(config, specs: list[dict], models: stage_models.Models) -> None:
  """Adapters that the model of a stage cannot have."""
  for spec in specs:
    c = config[stage_models.part_of(spec)] if stage_models.part_of(spec) in config else {}
    model = models.of(spec['name']) if spec['run'] in LEARN and lora.section(config, c) else None
    if model is not None:
      with _of_stage(spec):
        lora.of(config, c, zoo.build(model.config))


def _say_undecided(config) -> None:
  """Thresholds that this run cannot come to."""
  if not config.get('expect'):
    return
  asked = {spec['name']: evaluate.names(config[stage_models.part_of(spec)], spec['name']) for spec in config.stages
           if spec['run'] == 'evaluate'}
  if 'evaluate' in config:  # a stage of RL asks the first of its tasks
    asked |= {spec['name']: evaluate.names(config.evaluate)[:1] for spec in config.stages if spec['run'] == 'rl'}
  for line in expect.doubts(config, asked):
    log.warning(line)


def _say_unread(config) -> None:
  """Values of adapters where no stage has any."""
  parts = {stage_models.part_of(spec): spec['run'] for spec in config.stages}
  adapted = [part for part, run_ in parts.items() if run_ in LEARN and lora.section(config, config.get(part, {}))]
  if config.get('lora') and not adapted:
    _say_of_section('lora', config.lora)
    if rank := config.lora.get('rank'):
      own = any(run_ in LEARN for run_ in parts.values())  # each with a section of its own
      log.warning('lora.rank=%d is not read: %s', rank, 'each stage that learns has its own section with rank 0' if own
                  else 'no stage learns from a checkpoint')
  for part in parts:
    if part not in adapted:
      _say_of_section(f'{part}.lora', config.get(part, {}).get('lora') or {})
  for part in adapted:
    _say_slow(part, config[part])


def _say_slow(part: str, c) -> None:
  """Of a stage that trains adapters with a rate at which all weights are trained."""
  key = 'learning_rate' if 'learning_rate' in c else 'optimizer.learning_rate'
  rate = c.get('learning_rate') or c.get('optimizer', {}).get('learning_rate') or 1.0
  if rate < _SLOW:
    log.warning('%s.%s=%g is a rate for all weights: adapters (lora.rank) are begun with at about ten times it, else '
                'they hardly move (docs/lora.md)', part, key, rate)


def _say_of_section(key: str, given) -> None:
  """Of a section whose rank is 0."""
  for name, plain in lora.DEFAULTS.items():
    if given.get(name, plain) != plain and not given.get('rank'):
      log.warning('%s.%s=%r is not read: lora.rank=0 trains all weights', key, name, given[name])


def _too_long(stage: str, c, key: str, names: list[str], needed: int, model: stage_models.Model) -> str:
  said = ' + '.join(f'{key}.{name}={c[name]}' for name in names)
  prefill = ' and a prefill' if needed > sum(c[name] for name in names) else ''
  more = (f', or say --config.model.max_length={needed} (often with rope_theta or rope_scaling)' if model.imported
          else '')
  return f'{stage}: {said}{prefill} exceed max_length={model.config.max_length} of {model.said}: lower them{more}'


def _check_tokens(config, spec: dict) -> None:
  """A base that is trained here has rows to spare for the tokens that the formats of later stages add."""
  wanted, root = set(), spec
  specs = {other['name']: other for other in config.stages}
  while root is not None and stage_models.models_of(root):
    name = config[stage_models.part_of(root)].get('format', '') if root['run'] == 'sft' else ''
    wanted |= set(formats.get(name).tokens) if name else set()
    root = specs.get(stage_models.models_of(root)[0])
  if root is None or root['run'] != 'sft' or 'tokenizer' in root['inputs']:  # that may have them
    return
  key = stage_models.part_of(root)
  spare = config[key].get('spare_tokens', 0)
  if len(wanted) > spare:
    raise UserError(f'{key}.spare_tokens={spare}, but formats of {spec["name"]} and before it add {len(wanted)}: '
                    f'--config.{key}.spare_tokens={len(wanted)}')


def _dealt(run_: str, c) -> dict[str, int]:
  """{the keys that say so: rows that a stage deals out over the mesh at a time}."""
  times = lambda *keys: {' x '.join(keys): math.prod(c.get(key) or 0 for key in keys)}
  slots = lambda: {f'slots{f" from step {step}" * (step > 0)}': n for step, n in limits.schedule(c.slots, 'slots')}
  if run_ == 'sft':
    return times('batch') if c.get('batch_of', 'rows') == 'rows' else {}
  if run_ == 'rl':
    return times('groups') | slots()
  trains = run_ in ('preference', 'process')
  found = times('batch') if trains else {}
  if trains and c.get('source') != 'policy':
    return found
  if c.get('slots'):
    return found | slots()
  if run_ == 'search' and c.get('kind') != 'rerank':
    each = {'samples / keep': c.samples // c.keep} if c.kind == 'beam' else {'expand': c.expand}
    return {f'batch x {key}': c.batch * n for key, n in each.items()}
  if c.get('rollouts'):
    found |= times('sample_batch', 'rollouts')
  return found | times('sample_batch' if trains else 'batch', 'samples')


def _check_rows(config, specs: list[dict], even: bool) -> None:
  """Rows that are no multiple of the devices over which they are dealt out."""
  if 'mesh' not in config:
    return
  mesh = mesh_lib.create(config.mesh)
  shards = mesh_lib.batch_shards(mesh)
  parts = {stage_models.part_of(spec): spec['run'] for spec in specs}
  for key, run_ in parts.items():
    for keys, n in _dealt(run_, config[key]).items() if run_ != 'convert' and key in config else ():
      if even:
        mesh_lib.check_divides(f'{key}.{keys}', n, mesh)
      elif n % shards:
        log.warning('%s.%s=%d is no multiple of the %d devices on mesh axes data x fsdp: filled up to %d', key, keys, n,
                    shards, -(-n // shards) * shards)
