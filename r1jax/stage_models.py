"""Which model each stage of a config makes, or works on, as far as names, sources and finished runs tell."""

import os
from typing import NamedTuple

from r1jax import convert
from r1jax import paths
from r1jax import workdir as workdir_lib
from r1jax.engine import json_files
from r1jax.exceptions import UserError, about
from r1jax.models import zoo
from r1jax.rewards import judge as judge_lib


def part_of(spec: dict) -> str:
  """The key of the part of the config that a stage reads."""
  return spec.get('config', spec['name'])


def models_of(spec: dict) -> list[str]:
  """The inputs of a stage, as stages are named, that are models which it asks or trains; not those that judge."""
  inputs = spec['inputs']
  if spec['run'] == 'evaluate':
    return [source for key, source in inputs.items() if not key.startswith('reward_')]
  return [inputs[key] for key in ('checkpoint', 'base', 'zero') if key in inputs]


def elsewhere(config, source: str) -> dict | None:
  """What the other run's pipeline.json says of 'from_run/STAGE', its directory in full; None for another name.

  A checkpoint that `convert import` wrote stands for the stage `base` of a run; so does config.checkpoint, where a
  config has that key.

  Raises:
    UserError: config.from_run names no run, or one that has not finished that stage.
  """
  run_, _, name = source.partition('/')
  if run_ != 'from_run':
    return None
  if 'checkpoint' in config:
    return {'directory': _checkpoint(config)}
  given = paths.local(config.get('from_run', ''), '--config.from_run')
  path = os.path.join(given, 'pipeline.json')
  if name == 'base' and given and not os.path.exists(path) and os.path.exists(os.path.join(given, 'model.json')):
    return {'directory': given}
  if not given or not os.path.exists(path):
    raise UserError(f'from_run={given!r} holds no run: give the work dir of a finished one, --config.from_run=DIR')
  stages = {entry['name']: entry for entry in workdir_lib.read(path, {})['stages']}
  if name not in stages:
    raise UserError(f'the run in {given} has not finished stage {name!r}: it has {", ".join(stages)}')
  return {**stages[name], 'directory': os.path.join(given, stages[name]['directory'])}


def _checkpoint(config) -> str:
  """The directory with the model.json of config.checkpoint: a stage's, or what convert wrote."""
  given = paths.local(config.checkpoint, '--config.checkpoint')
  if not given or not os.path.exists(os.path.join(given, 'model.json')):
    raise UserError(f"checkpoint={given!r} has no model.json: give a stage's work dir, or what convert wrote, "
                    '--config.checkpoint=DIR')
  return given


def judge_of(config, key: str) -> str:
  """The judge.checkpoint of the part `key` that is to be imported first, as it is another program's; '' for none."""
  judge = config.get(key, {}).get('judge')
  kind = judge_lib.kind_of(judge) if judge is not None and 'checkpoint' in judge else ''
  return judge.checkpoint if kind == 'model' and paths.is_foreign(judge.checkpoint) else ''


def with_judge(config, key: str, directory: str):
  """The config with judge.checkpoint of the part `key` in our own form: imported once, into directory/imported."""
  if not (given := judge_of(config, key)):
    return config
  config = config.copy_and_resolve_references()
  config[key].judge.checkpoint = convert.as_checkpoint(given, os.path.join(directory, 'imported'))
  return config


class Model(NamedTuple):
  """Which model a stage works on."""
  config: object  # models/zoo.py
  said: str  # its name there, or its place
  name: str = ''  # in models/zoo.py, where the config says one
  imported: bool = False  # config.model says what it has otherwise than its source


class Models:
  """Stage -> the model that it makes, or works on where it makes none."""

  def __init__(self, config, *, files: bool = True, later: bool = False, standing: dict[str, str] | None = None,
               imported: dict | None = None):
    """
    Args:
      files: read the sizes of a source or of another run, where the config names them; else names alone tell.
      later: what will be read is not known yet, whatever its name.
      standing: as of checks.run. imported: stage -> Config of what its source has, if that is known.
    """
    self._config, self._files, self._later = config, files, later
    self._standing, self._imported = standing or {}, dict(imported or {})
    self._specs = {spec['name']: spec for spec in config.stages}

  def of(self, name: str) -> Model | None:
    """Of a stage or of 'from_run/STAGE'; None where nothing tells yet."""
    if name not in self._specs:
      return self._of_other_run(name)
    if name in self._standing and (found := _in(self._standing[name])):
      return found
    spec = self._specs[name]
    if spec['run'] == 'convert':
      return self._of_import(name, part_of(spec))
    if models := models_of(spec):
      return self.of(models[0])
    return _named(part_of(spec), self._config[part_of(spec)].model)

  def _of_import(self, name: str, key: str) -> Model | None:
    c = self._config[key]
    given = convert.told(self._config, c)
    if name in self._imported:
      return Model(self._imported[name], c.source, c.model, True)
    if self._later and c.source:
      return None
    if c.source and (self._files or not c.model):
      self._imported[name] = convert.sizes_alone(c.source, given['model'], given['changes'])
      return Model(self._imported[name], c.source, c.model, True)
    return _named(key, c.model, given['changes'], imported=True) if c.model else None

  def _of_other_run(self, source: str) -> Model | None:
    if self._later:
      return None
    if self._files and (self._config.get('from_run') or self._config.get('checkpoint')):
      return _in(elsewhere(self._config, source)['directory'])
    base = self._config.get('base', {})  # that of the run it starts from, by the same config
    if 'source' in base:
      return self._of_import('', 'base')
    return _named('base', base.model) if 'model' in base else None


def _named(key: str, name: str, changes: dict | None = None, *, imported: bool = False) -> Model:
  with about(f'{key}.model', name):
    return Model(zoo.get(name, **(changes or {})), name, name, imported)


def _in(directory: str) -> Model | None:
  """The model that a stage has left."""
  sizes = json_files.read(os.path.join(directory, 'model.json'), None)
  return Model(zoo.from_dict(sizes), directory) if sizes else None
