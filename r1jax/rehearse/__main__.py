"""python -m r1jax.rehearse --config=NAME:ARG [--hosts=2] [--devices=4] [--work=DIR] [--stages=A,B]
  [--config.KEY=VALUE ...]

The config's own stages on this machine, two steps each, with a nano model of the same family: as many processes as
hosts, fake CPU devices, the mesh shrunk so that every axis with more than one device keeps two, and crosses hosts
wherever it does on config.topology. Import, evaluation and report are part of it. Exit codes: 0 all of it ran, and
every host says the same; 1 it did not, and the first failure stands last; 2 a user's mistake.
"""

import functools
import hashlib
import json
import os
import pathlib
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time

from absl import flags

from r1jax import metrics
from r1jax import options
from r1jax.exceptions import UserError
from r1jax.rehearse import DID

_BOOL, _STRING, _INTEGER = (functools.partial(define, allow_override=True)
                            for define in (flags.DEFINE_bool, flags.DEFINE_string, flags.DEFINE_integer))
_HOSTS = _INTEGER('hosts', 2, 'processes')
_DEVICES = _INTEGER('devices', 4, 'fake devices of each')
_WORK = _STRING('work', os.path.join('runs', 'rehearsal'), 'below it a directory a config; what a rehearsal left there '
                'is removed')
_STAGES = _STRING('stages', '', 'NAME[,NAME]: these, and what they need; default: all')
_LIMIT = _INTEGER('limit', 3600, 'seconds after which the run counts as stuck')

# Rehearsals of one family compile the same programs; environment's own directory goes before.
_CACHE = {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3', 'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '0',
          'JAX_COMPILATION_CACHE_DIR': os.environ.get('JAX_COMPILATION_CACHE_DIR') or os.path.join(
              os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'r1jax', 'rehearse')}
_MARK = 'rehearsal'  # a file that says that a directory may be removed
_GRACE = 60  # seconds that the other hosts have to end after one has failed
_NOISE = ('For simplicity, JAX', '-----', '[Gloo]')
_TIMED = ('time/', 'seconds', '_per_second')


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its hosts end with it
  try:
    config = options.parse(argv)
    if not config.get('stages'):
      raise UserError(f'{config.name or "this config"} has no stages, so there is nothing to rehearse')
    if _STAGES.value:
      _choose(config, tuple(_STAGES.value.split(',')))
    from r1jax.rehearse import layout
    mesh = layout.small(config.mesh.to_dict(), _HOSTS.value * _DEVICES.value)
    across = _across(config, mesh)
    work = os.path.join(os.path.abspath(_WORK.value), config.name or 'config')
    _own(work)
    from r1jax import workdir  # here, as jax looks for a TPU unless main has told it not to
    with workdir.held(work):
      _clear(work)
      return rehearse(config, work, mesh, across)
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2


def _own(work: str) -> None:
  """Makes the directory, unless something stands there that no rehearsal wrote: a run of the user's, perhaps.

  Raises:
    UserError: something does, or it cannot be made.
  """
  try:
    if os.path.isdir(work) and os.listdir(work) and not os.path.exists(os.path.join(work, _MARK)):
      raise UserError(f'{work} holds what no rehearsal wrote, and a rehearsal would remove it: give another --work=DIR')
    os.makedirs(work, exist_ok=True)
    with open(os.path.join(work, _MARK), 'a', encoding='utf-8'):
      pass
  except OSError as e:
    raise UserError(f'cannot write to --work={_WORK.value}: {e.strerror}') from e


def _clear(work: str) -> None:
  for name in os.listdir(work):
    path = os.path.join(work, name)
    if os.path.isdir(path) and not os.path.islink(path):
      shutil.rmtree(path)
    elif name not in (_MARK, 'lock'):
      os.remove(path)


def _across(config, mesh: dict[str, int]) -> tuple[str, ...]:
  """Axes of the config's mesh that cross hosts on its topology.

  Raises:
    UserError: on so many hosts they cannot.
  """
  from r1jax.plan import chips, places
  from r1jax.rehearse import layout
  where = chips.topology(config.topology)
  across = places.crossing(where, config.mesh.to_dict()) if where.devices > 1 else ()
  crossing = layout.crossing(tuple(mesh.values()), across, _HOSTS.value)
  if _HOSTS.value > 1 and (lacking := [axis for axis in across if axis not in crossing and mesh[axis] > 1]):
    raise UserError(f'--hosts={_HOSTS.value} --devices={_DEVICES.value}: {", ".join(lacking)} cannot cross hosts as on '
                    f'{where.name}: give powers of two, as --hosts=2 --devices=4')
  return across


def rehearse(config, work: str, mesh: dict[str, int], across: tuple[str, ...]) -> int:
  """One config's, on that mesh, of which the axes `across` cross hosts; exit code."""
  from r1jax.rehearse import inputs, judge, shrink
  start = time.time()
  shape = ' x '.join(f'{axis} {n}' for axis, n in mesh.items() if n > 1)
  _say(f'{config.name}: {_HOSTS.value} hosts x {_DEVICES.value} devices, {shape}; across hosts: '
       f'{", ".join(across) or "as it comes"}, as on {config.topology}')
  models = {name: os.path.join(work, 'models', name or 'given') for name in shrink.models(config)}
  for name, out in models.items():
    nano = inputs.nano_of(name or 'qwen2.5-7b')
    _say(f'a {nano} for {name or "the model of base.source"} is taught and published ...')
    _teach(config, work, nano, out)
  data = os.path.join(work, 'data')
  with judge.serving() as url:
    small = shrink.shrink(config, mesh, data, models, judge=url, checkpoint=_taught(
        data, inputs.nano_of(config.base.model)) if 'checkpoint' in config else '')
    if shrink.other_run(config):
      small.from_run = _other(work)
    rundir = os.path.join(work, 'run')
    codes = _run(small, rundir, work, across)
  said = _found(rundir)
  print('\n'.join(said['lines']), flush=True)
  took = f'{(time.time() - start) / 60:.1f} min'
  if any(codes) or said['wrong']:
    _say(f'{config.name}: FAILED after {took}: ' + (_failure(codes, work) if any(codes) else said['wrong'][0]))
    return 1
  if not _STAGES.value:
    pathlib.Path(work, 'green.json').write_text(json.dumps(_of_now()), encoding='utf-8')
  _say(f'{config.name}: green, {len(said["lines"])} stages, {took}')
  return 0


def _choose(config, names: tuple[str, ...]) -> None:
  """Leaves config.stages those named, and what they take in."""
  known = {spec['name']: spec for spec in config.stages}
  wanted = set()

  def add(name):
    if name not in known:
      raise UserError(f'--stages={name}: no such stage, there are {", ".join(known)}')
    if name not in wanted:
      wanted.add(name)
      for source in known[name]['inputs'].values():
        if not source.startswith('from_run/'):
          add(source)

  for name in names:
    add(name)
  with config.unlocked():
    config.stages = tuple(spec for spec in config.stages if spec['name'] in wanted)
    config.expect = tuple(entry for entry in config.get('expect', ()) if entry['stage'] in wanted)


def _environment(devices: int, **more) -> dict:
  hosts = 'JAX_COORDINATOR', 'JAX_NUM', 'JAX_PROC'
  kept = {key: value for key, value in os.environ.items() if not key.startswith(hosts)}
  # XLA would end a host where one of its devices waits 40 s for another, as on a busy machine one may.
  flags = (f'--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0 '
           '--xla_cpu_collective_call_terminate_timeout_seconds=600')
  return {**kept, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flags, **_CACHE, **more}


def _taught(data: str, model: str) -> str:
  """The checkpoint of a nano model that child.teach has taught."""
  return os.path.join(data, 'taught', model, '2_taught')


def _teach(config, work: str, model: str, out: str) -> None:
  log = os.path.join(work, f'teach_{model}.txt')
  with open(log, 'wb') as f:
    done = subprocess.run([sys.executable, '-m', 'r1jax.rehearse.child', 'teach', model, out], check=False, stdout=f,
                          stderr=f, env=_environment(1), input=pickle.dumps(dict(
                              config=config.copy_and_resolve_references(), work=os.path.join(work, 'data'))))
  if done.returncode:
    raise UserError(f'the nano base could not be taught: {_last(log)} ({log})')


def _run(config, rundir: str, work: str, across: tuple[str, ...]) -> list[int]:
  """Exit codes, one a host."""
  with socket.create_server(('127.0.0.1', 0)) as free:
    address = f'127.0.0.1:{free.getsockname()[1]}'
  several, processes = _HOSTS.value > 1, []
  for i in range(_HOSTS.value):
    joined = dict(JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES=str(_HOSTS.value), JAX_PROCESS_ID=str(i))
    env = _environment(_DEVICES.value, **(joined if several else {}))
    with open(os.path.join(work, f'host_{i}.txt'), 'wb') as f:
      processes.append(subprocess.Popen(
          [sys.executable, '-m', 'r1jax.rehearse.child', 'host', rundir, ','.join(across)],
          stdin=subprocess.PIPE, stdout=f, stderr=f, env=env))
    processes[-1].stdin.write(pickle.dumps(dict(config=config)))
    processes[-1].stdin.close()
  end, shown = time.time() + _LIMIT.value, set()
  try:
    while any(p.poll() is None for p in processes):
      _progress(rundir, shown)
      if any(p.poll() for p in processes):
        end = min(end, time.time() + _GRACE)  # the others see it by themselves, or hang
      if time.time() > end:
        late = [i for i, p in enumerate(processes) if p.poll() is None]
        _say(f'host {", ".join(map(str, late))} {"have" if len(late) > 1 else "has"} not ended '
             + (f'{_GRACE} s after another failed' if any(p.poll() for p in processes) else
                f'within --limit={_LIMIT.value} s') + ': stuck, and killed')
        break
      time.sleep(0.5)
    _progress(rundir, shown)
  finally:
    for p in processes:
      if p.poll() is None:
        p.kill()
  return [p.wait() for p in processes]


def _entries(rundir: str) -> list[dict]:
  """Of the stages that have ended."""
  from r1jax.engine import json_files  # here, as jax looks for a TPU unless main has told it not to
  path = os.path.join(rundir, 'pipeline.json')  # written whole or not at all
  return json_files.read(path, {'stages': []})['stages']


def _progress(rundir: str, shown: set) -> None:
  for entry in _entries(rundir):
    if entry['name'] not in shown:
      shown.add(entry['name'])
      _say(f'  {entry["name"]} ({entry["run"]}): {entry["seconds"]} s')


def _found(rundir: str) -> dict:
  """{'lines': a row a finished stage, 'wrong': what differs between hosts}."""
  lines, wrong = [], []
  for entry in _entries(rundir):
    compared, differing = _compared(os.path.join(rundir, entry['directory']))
    wrong += [f'stage {entry["name"]}: {text}' for text in differing]
    facts = ', '.join(f'{key} {value}' for key, value in (entry.get('facts') or {}).items()
                      if not isinstance(value, dict))
    said = 'one host' if _HOSTS.value == 1 else (
        f'hosts agree in {compared} rows' if compared else 'hosts leave no rows of their own')
    lines.append(f'{entry["name"]:14s} {entry["run"]:11s} {entry["seconds"]:7.1f} s  '
                 f'{"hosts differ: " + differing[0] if differing else said}  {facts}'[:160]
                 + _did(os.path.join(os.path.dirname(rundir), DID, entry['directory'])))
  return {'lines': lines, 'wrong': wrong}


def _did(stem: str) -> str:
  """A line a host of what it did for a stage (child.py)."""
  said = ''
  for i in range(_HOSTS.value):
    if os.path.exists(path := f'{stem}.{i}.json'):
      did = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
      said += (f'\n  host {i}: {did["cpu_seconds"]:.1f} s of CPU, read {did["bytes_read"] / 1e6:,.1f} MB, '
               f'{did["peak_bytes"] / 1e6:,.0f} MB at its peak so far')
  return said


def _compared(directory: str) -> tuple[int, list[str]]:
  """(rows of metrics that each host has, what the others' say otherwise than the first one's; times aside)."""
  path, found = os.path.join(directory, 'metrics.jsonl'), []
  hosts = [os.path.join(directory, 'hosts', str(i), 'metrics.jsonl') for i in range(1, _HOSTS.value)]
  first = metrics.read(path) if os.path.exists(path) else []
  if not any(os.path.exists(other) for other in hosts):
    return 0, found  # the first host alone writes what such a stage measures
  for i, other in enumerate(hosts, 1):
    rows = metrics.read(other) if os.path.exists(other) else []
    if len(rows) != len(first):
      found.append(f'{len(first)} rows of metrics on host 0 and {len(rows)} on host {i}')
    for mine, theirs in zip(first, rows):
      for key in mine.keys() | theirs.keys():
        if not any(part in key for part in _TIMED) and mine.get(key) != theirs.get(key):
          found.append(f'{key} at step {mine.get("step")} is {mine.get(key)} on host 0 and {theirs.get(key)} on '
                       f'host {i}')
  return len(first), found


def _failure(codes: list[int], work: str) -> str:
  """The host that failed of itself: not one that was killed, nor one that says that another is lost."""
  order = sorted(range(len(codes)), key=lambda i: (codes[i] == 0, codes[i] < 0, codes[i] == 5))
  log = os.path.join(work, f'host_{order[0]}.txt')
  return f'host {order[0]} (exit {codes[order[0]]}): {_last(log)} ({log})'


def _last(log: str) -> str:
  with open(log, encoding='utf-8', errors='replace') as f:
    lines = [line.strip() for line in f if line.strip() and not line.startswith(_NOISE)]
  said = next((line for line in reversed(lines) if line.startswith('r1jax: ')), lines[-1] if lines else 'said nothing')
  return said[:400]


def _of_now() -> dict:
  """What a rehearsal that is still true was made by: this code, on as many devices."""
  code = hashlib.sha256()
  for path in sorted(pathlib.Path(__file__).parents[1].rglob('*.py')):
    code.update(path.read_bytes())
  return dict(hosts=_HOSTS.value, devices=_DEVICES.value, code=code.hexdigest())


def _other(work: str) -> str:
  """The work dir of a rehearsed r1.py:tiny, which the config begins with."""
  place = os.path.dirname(work)
  run, noted = (os.path.join(place, 'r1_tiny', name) for name in ('run', 'green.json'))
  if os.path.exists(noted) and pathlib.Path(noted).read_text(encoding='utf-8') == json.dumps(_of_now()):
    _say(f'it begins with a finished r1.py:tiny: {run}, rehearsed by this code, is taken')
    return run
  _say('it begins with a finished r1.py:tiny: that one is rehearsed first ...')
  done = subprocess.run([sys.executable, '-m', 'r1jax.rehearse', '--config=experiments/r1.py:tiny', f'--work={place}',
                         f'--hosts={_HOSTS.value}', f'--devices={_DEVICES.value}'], check=False)
  if done.returncode:
    raise UserError('r1.py:tiny, which it begins with, does not rehearse')
  return run


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
  sys.exit(main(sys.argv))
