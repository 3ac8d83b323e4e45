"""Stages in order, each skipped when its output already stands: what a config's `stages` lists, from one command."""

import contextlib
import hashlib
import importlib
import itertools
import json
import logging
import os
import time

import jax
from jax.experimental import multihost_utils
import numpy as np

from r1jax.engine import checkpoint
from r1jax.engine import mesh as mesh_lib
from r1jax.types import UserError

log = logging.getLogger('r1jax')

RERUN = 'rerun.json'  # while a run goes on: the stages that --rerun named and that were set aside for it
SMALL_FILES = ('model.json', 'tokenizer.model', 'tokenizer.json', 'tokenizer_r1jax.json')  # what goes with weights
FREE = ('compile_cache',)  # keys of a config that may differ between the starts of a run: they change no result


def run(config, workdir: str, rerun: tuple[str, ...] = (), *, verify: bool = False) -> None:
  """Runs or goes on with every stage, then writes the report.

  Stages named in `rerun` are made anew; what they left is moved to set_aside/. Those behind them run again only where
  what they take in has changed. Interrupted, the same call goes on, as rerun.json says that they were set aside
  already. With `verify` every stage's output is read and hashed again, else only where its files look other than
  recorded.

  Each entry of config.stages is {name, run, inputs}: `run` names the module of r1jax.stages (or r1jax.convert) whose
  run() is called, and `inputs` maps what it needs to the name of an earlier stage, or to 'from_run/STAGE', a stage of
  the finished run in config.from_run. An entry's `config`, if it has one, names the part of the config that it reads;
  else its own name does.
  """
  mine = _differs_from(config, workdir)
  path = os.path.join(workdir, 'pipeline.json')
  noted = _read(path, {'stages': []})
  done, elsewhere = {entry['name']: entry for entry in noted['stages']}, noted.get('elsewhere', {})
  _check(config)
  # Not before: a config with a mistake claims nothing.
  checkpoint.write_json(os.path.join(workdir, 'config.json'), mine)
  _set_aside(config, workdir, rerun)
  directories, outputs, entries = {}, {}, []  # of a stage's name, or 'from_run/STAGE'

  def note(behind: int) -> None:
    later = [done[spec['name']] for spec in config.stages[behind:] if spec['name'] in done]  # may stand all the same
    checkpoint.write_json(path, {'stages': entries + later, **({'elsewhere': elsewhere} if elsewhere else {})})

  for number, spec in enumerate(config.stages, 1):
    name = spec['name']
    directory = os.path.join(workdir, f'{number}_{name}')
    for source in spec['inputs'].values():
      if source not in directories:
        theirs = _elsewhere(config, source)
        directories[source] = theirs['directory']
        elsewhere[source] = _passed_on(theirs['directory'], [elsewhere.get(source), theirs], verify=verify)
        outputs[source] = elsewhere[source]['output']
    inputs = {key: directories[source] for key, source in spec['inputs'].items()}
    passed = {key: outputs[source] for key, source in spec['inputs'].items()}
    entry = done.get(name)
    same = entry is not None and entry['inputs'] == passed
    record = _passed_on(directory, [entry], verify=verify) if same else None
    if same and entry['output'] == record['output']:
      log.info('stage %s stands: skipped', name)
      entry = {**entry, **record}
    else:
      if same and os.path.isdir(os.path.join(directory, 'eval')) and mesh_lib.first_process():
        _move_aside(workdir, directory)  # somebody has changed what an evaluation found
      note(number)  # without it: a run that starts from this one must not take it for finished
      _begin(workdir, directory, passed, config)
      start, before, facts = time.time(), _seconds(directory), None
      module = _module(spec)
      try:
        if mesh_lib.first_process() or not getattr(module, 'ON_ONE_HOST', False):
          facts = module.run(config, spec.get('config', name), directory, inputs)
      finally:
        seconds = round(before + time.time() - start, 1)
        with contextlib.suppress(OSError):  # of a full disk the stage has said so itself
          checkpoint.write_json(os.path.join(directory, 'seconds.json'), seconds)
      mesh_lib.barrier(f'after {name}')
      entry = {'name': name, 'directory': os.path.basename(directory), 'run': spec['run'], 'inputs': passed,
               **_passed_on(directory), 'seconds': seconds, **({'facts': facts} if facts else {})}
    directories[name], outputs[name] = directory, entry['output']
    entries.append(entry)
    note(number)
    if number < len(config.stages) and mesh_lib.any_process(checkpoint.stop_requested.is_set()):
      raise checkpoint.Stopped(f'stopped behind {name}')
  from r1jax import report  # matplotlib is most of a second, which a run that is started again need not wait for
  if mesh_lib.first_process():
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(workdir, RERUN))
    report.write(workdir)


def _module(spec: dict):
  """The stage's module: of r1jax.stages, or convert, which is a tool as well."""
  room = 'r1jax' if spec['run'] == 'convert' else 'r1jax.stages'
  return importlib.import_module(f'{room}.{spec["run"]}')


def _check(config) -> None:
  """Every stage looks at its part of the config before the first one starts to work."""
  earlier = set()
  for spec in config.stages:
    unknown = [source for source in spec['inputs'].values() if source not in earlier and not _elsewhere(config, source)]
    if unknown:
      raise UserError(f'stage {spec["name"]!r} takes input from {unknown[0]!r}, which is no earlier stage')
    earlier.add(spec['name'])
    module = _module(spec)
    if hasattr(module, 'check'):
      module.check(config, spec.get('config', spec['name']))


def _set_aside(config, workdir: str, names: tuple[str, ...]) -> None:
  numbers = {spec['name']: number for number, spec in enumerate(config.stages, 1)}
  unknown = [name for name in names if name not in numbers]
  if unknown:
    raise UserError(f'--rerun={unknown[0]}: no such stage, there are {", ".join(numbers)}')
  note = os.path.join(workdir, RERUN)
  if mesh_lib.first_process() and names and _read(note, None) != sorted(names):
    for name in names:
      _move_aside(workdir, os.path.join(workdir, f'{numbers[name]}_{name}'))
    checkpoint.write_json(note, sorted(names))
  mesh_lib.barrier('stages are set aside')


def _move_aside(workdir: str, directory: str) -> None:
  for times in itertools.count(1):
    aside = os.path.join(workdir, 'set_aside', f'{os.path.basename(directory)}.{times}')
    if not os.path.exists(aside):
      break
  if os.path.isdir(directory):
    os.makedirs(os.path.dirname(aside), exist_ok=True)
    os.replace(directory, aside)


def _begin(workdir: str, directory: str, passed: dict, config) -> None:
  """The stage's directory, as an interrupted start left it; but one begun with other inputs is no start of this one."""
  path = os.path.join(directory, 'inputs.json')
  if mesh_lib.first_process() and os.path.exists(path):
    with open(path, encoding='utf-8') as f:
      if json.load(f) != passed:
        log.warning('%s was made from other inputs: moved to set_aside/, made anew', os.path.basename(directory))
        _move_aside(workdir, directory)
  mesh_lib.barrier(f'{directory} is free')
  os.makedirs(directory, exist_ok=True)
  checkpoint.write_json(path, passed)
  checkpoint.write_json(os.path.join(directory, 'config.json'), config.to_dict())


def _seconds(directory: str) -> float:
  """What earlier starts of a stage took; one that was killed is not counted."""
  return _read(os.path.join(directory, 'seconds.json'), 0.0)


def _read(path: str, missing):
  if not os.path.exists(path):
    return missing
  with open(path, encoding='utf-8') as f:
    return json.load(f)


def _elsewhere(config, source: str) -> dict | None:
  """What the other run's pipeline.json says of 'from_run/STAGE', its directory in full; None for another name.

  Raises:
    UserError: config.from_run names no run, or one that has not finished that stage.
  """
  run_, _, name = source.partition('/')
  if run_ != 'from_run':
    return None
  given = config.get('from_run', '')
  path = os.path.join(given, 'pipeline.json')
  if not given or not os.path.exists(path):
    raise UserError(f'from_run={given!r} holds no run: give the work dir of a finished one, --config.from_run=DIR')
  with open(path, encoding='utf-8') as f:
    stages = {entry['name']: entry for entry in json.load(f)['stages']}
  if name not in stages:
    raise UserError(f'the run in {given} has not finished stage {name!r}: it has {", ".join(stages)}')
  return {**stages[name], 'directory': os.path.join(given, stages[name]['directory'])}


def _passed_on(directory: str, records=(), *, verify: bool = False) -> dict:
  """{'output': the digest of what a stage passes on, 'files': how its files look}, the same output on every process.

  Only the first process hashes, a second for every 0.8 GB (7 hours for all stages of DeepSeek-V3's R1), and only where
  none of `records` was made from files of these names, sizes and times.
  """
  output, files = None, None
  if mesh_lib.first_process():
    files = _look(directory)
    fitting = [record for record in records if record and record.get('files') == files and not verify]
    if records and not fitting:
      log.info('%s: reading and hashing all of it, as %s', directory,
               '--verify asks' if verify else 'no record has its files, sizes and times')
    output = fitting[0]['output'] if fitting else digest(directory)
  return {'output': _from_first(output), 'files': files}


def _from_first(output: str | None) -> str | None:
  """The first process's digest, on every process."""
  if jax.process_count() == 1:
    return output
  there, digits = multihost_utils.broadcast_one_to_all(
      (np.array(output is not None), np.frombuffer(bytes.fromhex(output or '00' * 32), np.uint8)))
  return bytes(digits).hex() if there else None


def _look(stage_dir: str) -> str:
  """Number and size of the files that digest() reads, and a sha256 over the name, size and mtime_ns of each.

  One line, not a list: DeepSeek-V3's weights lie in thousands of files, and the report shows pipeline.json.
  """
  files = [os.path.join(stage_dir, name) for name in (*SMALL_FILES, 'data.jsonl')]
  files += _below(os.path.join(stage_dir, 'eval'))
  with contextlib.suppress(UserError):  # no checkpoint
    files += _below(os.path.join(checkpoint.find(stage_dir)[1], 'params'))
  looks = [(os.path.relpath(file, stage_dir), os.stat(file)) for file in files if os.path.isfile(file)]
  h = hashlib.sha256()
  for name, stat in looks:
    h.update(f'{name} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
  return f'{len(looks)} files, {sum(stat.st_size for _, stat in looks)} bytes, {h.hexdigest()}'


def _below(directory: str) -> list[str]:
  """Every file in it and in what it holds, in order."""
  return [os.path.join(base, name) for base, _, names in sorted(os.walk(directory)) for name in sorted(names)]


def digest(stage_dir: str) -> str | None:
  """sha256 over what a stage passes on: its model, its tokenizer and its newest weights, or its data or scores.

  Weights count by their values: the same ones saved twice lie in files of other names.
  """
  files = [os.path.join(stage_dir, name) for name in SMALL_FILES]
  h, step_dir = hashlib.sha256(), ''
  try:
    step_dir = checkpoint.find(stage_dir)[1]
    checkpoint.hash_params(step_dir, h)
  except UserError:  # no checkpoint, or a torn one
    files += _below(os.path.join(step_dir, 'params') if step_dir else os.path.join(stage_dir, 'eval'))
    files.append(os.path.join(stage_dir, 'data.jsonl'))
  any_file = False
  for file in files:
    if os.path.isfile(file):
      any_file = True
      h.update(os.path.relpath(file, stage_dir).encode())
      with open(file, 'rb') as f:
        while block := f.read(1 << 20):
          h.update(block)
  return h.hexdigest() if any_file else None


def _differs_from(config, workdir: str) -> dict:
  """Says which key differs from the run that the work dir holds; returns what config.json is to hold.

  Raises:
    UserError: not writable, or it holds a run of another config.
  """
  try:
    os.makedirs(workdir, exist_ok=True)
    probe = os.path.join(workdir, f'.writable.{os.getpid()}')
    with open(probe, 'w', encoding='utf-8'):
      pass
    os.remove(probe)
  except OSError as e:
    raise UserError(f'cannot write to --workdir={workdir}: {e.strerror}') from e
  path = os.path.join(workdir, 'config.json')
  mine = json.loads(json.dumps(config.to_dict()))
  theirs = _read(path, None)
  mesh_lib.barrier('each has looked before the first one writes')
  if theirs is not None:
    for key, was, now in _differences({**theirs, **dict.fromkeys(FREE)}, {**mine, **dict.fromkeys(FREE)}):
      raise UserError(f'{workdir} holds a run with {key}={was!r}, now {now!r}: '
                      'take another --workdir, or the old value')
  return mine if theirs is None else theirs


def _differences(a, b, prefix=''):
  for key in sorted(set(a) | set(b)):
    x, y = a.get(key), b.get(key)
    if isinstance(x, dict) and isinstance(y, dict):
      yield from _differences(x, y, f'{prefix}{key}.')
    elif x != y:
      yield f'{prefix}{key}', x, y
