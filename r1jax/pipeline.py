"""Stages in order, each skipped when its output already stands: what a config's `stages` lists, from one command."""

import contextlib
import glob
import json
import logging
import os
import time
from typing import NamedTuple

from r1jax import checks
from r1jax import disk
from r1jax import environment
from r1jax import expect
from r1jax import files_read
from r1jax import metrics
from r1jax import outputs
from r1jax import paths
from r1jax import stage_models
from r1jax import stopping
from r1jax import summary
from r1jax import terminal
from r1jax import trackers
from r1jax import values
from r1jax import workdir as workdir_lib
from r1jax.engine import json_files
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.stages import judges
from r1jax.workdir import move_aside

log = logging.getLogger('r1jax')

RERUN = 'rerun.json'  # while a run goes on: the stages that --rerun named and that were set aside for it
CHANGES = 'changes.json'  # of a stage: values with which it went on from a step, each as it was and is
# Parts of a config that change what a stage makes, beside its own. All others (mesh, attention, remat, checkpoints ..)
# change only how: a run that stands may go on with other ones.
READS = ('seed', 'dtype', 'experts')


def run(config, workdir: str, rerun: tuple[str, ...] = (), *, verify: bool = False) -> None:
  """Runs or goes on with every stage, then writes the report.

  Stages named in `rerun` are made anew; what they left is moved to set_aside/. Those behind them run again only where
  what they take in has changed. Interrupted, the same call goes on, as rerun.json says that they were set aside
  already. With `verify` every stage's output is read and hashed again, else only where its files look other than
  recorded.

  A stage whose own values have changed, or what files that it read hold (files_read.py), is made anew in the same way,
  and the log says which; where only `steps` has
  grown, and nothing in the stage depends on how many there are, it goes on.

  Each entry of config.stages is {name, run, inputs}: `run` names the module of r1jax.stages (or r1jax.convert) whose
  run() is called, and `inputs` maps what it needs to the name of an earlier stage, or to 'from_run/STAGE', a stage of
  the finished run in config.from_run. An entry's `config`, if it has one, names the part of the config that it reads;
  else its own name does. A module's FREE are the keys of that part that change nothing it makes, its READS what else of
  the config does, where that is not READS; as functions of the part, free() and reads().
  """
  workdir = paths.local(workdir, '--workdir')
  values.check(config)
  if mesh_lib.first_process():
    trackers.use(config.get('trackers', ()), workdir, _plain(config))
  with workdir_lib.made(workdir), workdir_lib.held(workdir):
    path = os.path.join(workdir, 'pipeline.json')
    done, elsewhere = _checked(config, workdir, path, rerun, verify)
    # Not before: a config with a mistake claims nothing.
    workdir_lib.claim(workdir, _plain(config))
    _set_aside(config, workdir, rerun)
    environment.note(workdir, seed=config.get('seed'))
    if mesh_lib.first_process():
      expect.use(config, workdir)
    _Run(config, workdir, path, done, elsewhere, verify).stages()
    trackers.finish()
    expect.end()
    if mesh_lib.first_process():
      with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(workdir, RERUN))
      _report(workdir)
      terminal.settle()
      print(summary.text(workdir), flush=True)


def look(config, workdir: str, rerun: tuple[str, ...] = ()) -> None:
  """What `run` looks at before its first stage begins; nothing is written to the work dir."""
  workdir = paths.local(workdir, '--workdir')
  values.check(config)
  trackers.installed(config.get('trackers', ()))
  workdir_lib.check(workdir, _plain(config))
  _checked(config, workdir, os.path.join(workdir, 'pipeline.json'), rerun, False)


def _checked(config, workdir: str, path: str, rerun: tuple[str, ...], verify: bool) -> tuple[dict, dict]:
  """(Entries of pipeline.json at `path` by name, what other runs pass on), with which the config is looked at.

  Raises:
    UserError: no such stage in `rerun`, or a mistake in the config.
  """
  noted, names = workdir_lib.read(path, {'stages': []}), [spec['name'] for spec in config.stages]
  if unknown := [name for name in rerun if name not in names]:
    raise UserError(f'--rerun={unknown[0]}: no such stage, there are {", ".join(names)}')
  done = {entry['name']: entry for entry in noted['stages']}
  checks.run(config, standing=_standing(config, workdir, done, rerun, verify))
  return done, noted.get('elsewhere', {})


def _report(workdir: str) -> None:
  """Writes the page where it does not stand, or is older than what some stage has done."""
  page = os.path.join(workdir, 'report', 'index.html')
  ended = [os.path.getmtime(path) for path in glob.glob(os.path.join(glob.escape(workdir), '*', 'seconds.json'))]
  if not os.path.exists(page) or os.path.getmtime(page) < max(ended, default=0.0):
    with terminal.doing('writing the report'):
      from r1jax import report  # matplotlib is most of a second, which a run that is started again need not wait for
      report.write(workdir)


class _Run:
  """One start of a pipeline."""

  def __init__(self, config, workdir: str, path: str, done: dict, elsewhere: dict, verify: bool):
    self._config, self._workdir, self._path, self._verify = config, workdir, path, verify
    self._done, self._elsewhere = done, elsewhere  # of pipeline.json: entries by name, and what other runs pass on
    self._directories, self._outputs, self._entries = {}, {}, []  # of a stage's name, or 'from_run/STAGE'

  def stages(self) -> None:
    specs = self._config.stages
    for number, spec in enumerate(specs, 1):
      directory = os.path.join(self._workdir, f'{number}_{spec["name"]}')
      self._said = f'stage {number} of {len(specs)}: {spec["name"]}'
      entry = self._stage(number, spec, directory)
      self._directories[spec['name']], self._outputs[spec['name']] = directory, entry['output']
      self._entries.append(entry)
      self._note(number)
      if number < len(specs) and hosts.stop_asked():
        raise stopping.Stopped(f'stopped behind {spec["name"]}')

  def _stage(self, number: int, spec: dict, directory: str) -> dict:
    """The stage's entry of pipeline.json, once its output stands."""
    name, inputs, passed = spec['name'], *self._inputs(spec)
    entry = self._done.get(name)
    changed, grown, tuned = _changed(self._config, name, directory, verify=self._verify, finished=entry is not None)
    if mesh_lib.any_process(bool(changed)) and not changed:
      changed, grown, tuned = ['a file that it reads is another one on another host'], '', []
    mesh_lib.barrier(f'{name} is compared')  # before the first process moves or writes what others still look at
    if changed:
      log.warning('stage %s: %s: what it made is moved to set_aside/, made anew', name, '; '.join(changed))
      entry = None
      if mesh_lib.first_process():
        move_aside(self._workdir, directory)
      mesh_lib.barrier(f'{name} is set aside')
    same = entry is not None and entry['inputs'] == passed
    record = outputs.passed_on(directory, [entry], verify=self._verify) if same else None
    if same and entry['output'] == record['output'] and not grown:
      log.info('%s stands: skipped', self._said)
      return {**entry, **record}
    if same and not grown:
      log.warning('stage %s: what it passes on is not what it was when the stage ended: made again', name)
    if grown:
      log.info('stage %s: %s: goes on', name, grown)
    if same and not disk.exists(os.path.join(directory, 'checkpoints')) and mesh_lib.first_process():
      move_aside(self._workdir, directory)  # somebody has changed its data or scores, which it would take for made
    if tuned:
      _go_on(name, checks.module(spec), _plain(self._config)[stage_models.part_of(spec)], directory, tuned)
    self._note(number)  # without it: a run that starts from this one must not take it for finished
    _begin(self._workdir, directory, passed, self._config, _Bound.of(
        checks.module(spec), stage_models.part_of(spec), _plain(self._config)))
    start, before, facts = time.time(), _seconds(directory), None
    log.info('%s%s', self._said, f', begun before ({metrics.duration(before)})' if before else '')
    try:
      part = stage_models.part_of(spec)
      with disk.watched(directory):
        facts = checks.module(spec).run(stage_models.with_judge(self._config, part, directory), part, directory, inputs)
    finally:
      seconds = round(before + time.time() - start, 1)
      with contextlib.suppress(OSError):  # of a full disk the stage has said so itself
        json_files.write(os.path.join(directory, 'seconds.json'), seconds)
    mesh_lib.barrier(f'after {name}')
    log.info('%s: done in %s', self._said, metrics.duration(seconds))
    return {'name': name, 'directory': os.path.basename(directory), 'run': spec['run'], 'inputs': passed,
            **outputs.passed_on(directory), 'seconds': seconds, **({'facts': facts} if facts else {})}

  def _inputs(self, spec: dict) -> tuple[dict, dict]:
    """({what a stage needs: the directory it is in}, {the same: the digest of it})."""
    for source in spec['inputs'].values():
      if source not in self._directories:
        theirs = stage_models.elsewhere(self._config, source)
        self._directories[source] = theirs['directory']
        self._elsewhere[source] = outputs.passed_on(theirs['directory'], [self._elsewhere.get(source), theirs],
                                                    verify=self._verify)
        self._outputs[source] = self._elsewhere[source]['output']
    return ({key: self._directories[source] for key, source in spec['inputs'].items()},
            {key: self._outputs[source] for key, source in spec['inputs'].items()})

  def _note(self, behind: int) -> None:
    later = [self._done[spec['name']] for spec in self._config.stages[behind:] if spec['name'] in self._done]
    json_files.write(self._path, {'stages': self._entries + later,  # those may stand all the same
                                  **({'elsewhere': self._elsewhere} if self._elsewhere else {})})


def _plain(config) -> dict:
  """As it is read from a config.json."""
  return json.loads(json.dumps(config.to_dict()))


class _Bound(NamedTuple):
  """What of a config a stage depends on."""
  part: str  # the key of its own part
  own: dict  # that part, but for keys that change nothing it makes
  beside: dict  # other keys

  @classmethod
  def of(cls, module, part: str, config: dict) -> '_Bound':
    own = config.get(part, {})  # a stage may have nothing to say
    reads = module.reads(own) if hasattr(module, 'reads') else getattr(module, 'READS', READS)
    free = module.free(own) if hasattr(module, 'free') else getattr(module, 'FREE', ())
    return cls(part, {key: value for key, value in own.items() if key not in free},
               {key: config[key] for key in reads if key in config} if part not in reads else {})

  def files(self, before: dict | None = None, *, verify: bool = False) -> dict:
    """files_read.noted of it."""
    return files_read.noted([self.own, self.beside], before, verify=verify)


def _go_on(name: str, module, part: dict, directory: str, tuned: list[tuple]) -> None:
  """Says and notes that a stage goes on with other values, before its config.json has them: a start that ends before
  does this again."""
  kept = map(os.path.basename, glob.glob(os.path.join(glob.escape(directory), 'checkpoints', '*')))
  step = max((int(name) for name in kept if name.isdigit()), default=0)
  log.warning('stage %s: %s: goes on with that from step %d (to begin anew: --rerun=%s)', name,
              '; '.join(f'{key} was {was!r}, now {is_!r}' for key, was, is_ in tuned), step, name)
  if mesh_lib.first_process():
    module.changed(part, directory, step)
    path = os.path.join(directory, CHANGES)
    before, now = workdir_lib.read(path, []), {'step': step, 'values': {key: [was, is_] for key, was, is_ in tuned}}
    if before[-1:] != [now]:
      json_files.write(path, [*before, now])
  mesh_lib.barrier(f'{name} is changed')


def _changed(config, name: str, directory: str, *, verify: bool = False,
             finished: bool = True) -> tuple[list[str], str, list[tuple]]:
  """([each value, and each file, that is another than the stage in `directory` was begun with, and changes what it
  makes], '', []), or ([], 'steps was 80, now 160', []) where that many more steps can follow those that are done, or
  ([], '', [(key, before, now)]) where the stage is not `finished` and goes on with other values: its module's
  goes_on_with says so of each key of its part. verify: read files whose sizes and times are as they were, too."""
  before = workdir_lib.read(os.path.join(directory, 'config.json'), None)
  spec = next((spec for spec in config.stages if spec['name'] == name), None)
  if before is None or spec is None:
    return [], '', []
  part, plain = stage_models.part_of(spec), _plain(config)
  now = _Bound.of(checks.module(spec), part, plain)
  held = workdir_lib.read(os.path.join(directory, files_read.NOTE), {})
  holds = now.files(held, verify=verify)
  of_now = lambda value: files_read.as_before(value, files_read.moved(held, holds))
  own = plain.get(part, {})
  was_own = {key: value for key, value in before.get(part, {}).items() if key in now.own or key not in own}
  found = list(workdir_lib.differences(was_own, of_now(now.own), f'{part}.'))
  found = [each for each in found if not judges.alike(*each)]
  found += [each for key in now.beside if key in before for each in workdir_lib.differences(
      {key: before[key]}, of_now({key: now.beside[key]}))]
  said = [f'{key} was {was!r}, now {is_!r}' for key, was, is_ in found]
  if edited := files_read.changes(held, holds):
    return said + edited, '', []
  more = len(found) == 1 and found[0][0] == f'{part}.steps' and found[0][2] > found[0][1] and found[0][1]
  # With rl.lag the last rollout is drawn behind the last update, where a longer run has drawn it before.
  if more and own.get('optimizer', {}).get('decay') == 'constant' and not own.get('lag'):
    return [], said[0], []
  goes_on = getattr(checks.module(spec), 'goes_on_with', lambda *_: False)
  if not finished and all(key.startswith(f'{part}.') and goes_on(own, key[len(part) + 1:], was, is_)
                          for key, was, is_ in found):
    return [], '', found
  return said, '', []


def _standing(config, workdir: str, done: dict, rerun: tuple[str, ...], verify: bool) -> dict[str, str]:
  """Stages that are finished and will not run again by anything that the config says, each with its directory."""
  found = {}
  for spec in config.stages:
    entry = done.get(spec['name'])
    behind = all(source in found or source.startswith('from_run/') for source in spec['inputs'].values())
    if entry and behind and spec['name'] not in rerun and _changed(
        config, spec['name'], os.path.join(workdir, entry['directory']), verify=verify) == ([], '', []):
      found[spec['name']] = os.path.join(workdir, entry['directory'])
  return found


def _set_aside(config, workdir: str, names: tuple[str, ...]) -> None:
  numbers = {spec['name']: number for number, spec in enumerate(config.stages, 1)}
  note = os.path.join(workdir, RERUN)
  if mesh_lib.first_process() and names and workdir_lib.read(note, None) != sorted(names):
    for name in names:
      move_aside(workdir, os.path.join(workdir, f'{numbers[name]}_{name}'))
    json_files.write(note, sorted(names))
  mesh_lib.barrier('stages are set aside')


def _begin(workdir: str, directory: str, passed: dict, config, bound: _Bound) -> None:
  """The stage's directory, as an interrupted start left it; but one begun with other inputs is no start of this one."""
  path = os.path.join(directory, 'inputs.json')
  if mesh_lib.first_process() and disk.exists(path):
    if workdir_lib.read(path, None) != passed:
      log.warning('%s was made from other inputs: moved to set_aside/, made anew', os.path.basename(directory))
      move_aside(workdir, directory)
  mesh_lib.barrier(f'{directory} is free')
  disk.make(directory)
  json_files.write(path, passed)
  json_files.write(os.path.join(directory, 'config.json'), config.to_dict())
  note = os.path.join(directory, files_read.NOTE)
  if files := bound.files(workdir_lib.read(note, {})):
    json_files.write(note, files)


def _seconds(directory: str) -> float:
  """What earlier starts of a stage took; one that was killed is not counted."""
  return workdir_lib.read(os.path.join(directory, 'seconds.json'), 0.0)
