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

_BOOL, _STRING, _INTEGER = (functools.partial(define, allow_override=True)
                            for define in (flags.DEFINE_bool, flags.DEFINE_string, flags.DEFINE_integer))
_HOSTS = _INTEGER('hosts', 2, 'processes')
_DEVICES = _INTEGER('devices', 4, 'fake devices of each')
_WORK = _STRING('work', os.path.join('runs', 'rehearsal'), 'what is written; what stood there is removed')
_STAGES = _STRING('stages', '', 'NAME[,NAME]: these, and what they need; default: all')
_LIMIT = _INTEGER('limit', 2400, 'seconds after which the run counts as stuck')

# Rehearsals of one family compile the same programs; environment's own directory goes before.
_CACHE = {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3', 'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '0',
          'JAX_COMPILATION_CACHE_DIR': os.environ.get('JAX_COMPILATION_CACHE_DIR') or os.path.join(
              os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'r1jax', 'rehearse')}
_GRACE = 60  # seconds that the other hosts have to end after one has failed
_NOISE = ('For simplicity, JAX', '-----', '[Gloo]')
_TIMED = ('time/', 'seconds', '_per_second')


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its hosts end with it
  try:
    config = options.parse(argv)
    work = os.path.join(os.path.abspath(_WORK.value), config.name or 'config')
    shutil.rmtree(work, ignore_errors=True)
    return rehearse(config, work)
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2


def rehearse(config, work: str) -> int:
  """One config's; exit code."""
  from r1jax.plan import chips, places
  from r1jax.rehearse import inputs, judge, layout, shrink
  start, count = time.time(), _HOSTS.value * _DEVICES.value
  mesh, across = layout.small(config.mesh.to_dict(), count), ()
  if chips.topology(config.topology).devices > 1:
    across = places.crossing(chips.topology(config.topology), config.mesh.to_dict())
  shape = ' x '.join(f'{axis} {n}' for axis, n in mesh.items() if n > 1)
  _say(f'{config.name}: {_HOSTS.value} hosts x {_DEVICES.value} devices, {shape}; across hosts: '
       f'{", ".join(across) or "as it comes"}, as on {config.topology}')
  if _STAGES.value:
    _choose(config, tuple(_STAGES.value.split(',')))
  os.makedirs(work, exist_ok=True)
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
  return {**kept, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices} '
          '--xla_backend_optimization_level=0', **_CACHE, **more}


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
  from r1jax.engine import checkpoint  # here, as jax looks for a TPU unless main has told it not to
  path = os.path.join(rundir, 'pipeline.json')  # written whole or not at all
  return checkpoint.read_json(path, {'stages': []})['stages']


def _progress(rundir: str, shown: set) -> None:
  for entry in _entries(rundir):
    if entry['name'] not in shown:
      shown.add(entry['name'])
      _say(f'  {entry["name"]} ({entry["run"]}): {entry["seconds"]} s')


def _found(rundir: str) -> dict:
  """{'lines': a row a finished stage, 'wrong': what differs between hosts}."""
  lines, wrong = [], []
  for entry in _entries(rundir):
    name, differing = entry['name'], _differences(os.path.join(rundir, entry['directory']))
    wrong += [f'stage {name}: {text}' for text in differing]
    facts = ', '.join(f'{key} {value}' for key, value in (entry.get('facts') or {}).items()
                      if not isinstance(value, dict))
    lines.append(f'{name:14s} {entry["run"]:11s} {entry["seconds"]:7.1f} s  '
                 f'{"hosts differ: " + differing[0] if differing else "hosts agree"}  {facts}'[:160])
  return {'lines': lines, 'wrong': wrong}


def _differences(directory: str) -> list[str]:
  """What the other hosts' metrics say otherwise than the first one's; times aside."""
  path, found = os.path.join(directory, 'metrics.jsonl'), []
  hosts = os.path.join(directory, 'hosts')
  if not os.path.exists(path) or not os.path.isdir(hosts):
    return []
  first = metrics.read(path)
  for i in sorted(os.listdir(hosts)):
    other = os.path.join(hosts, i, 'metrics.jsonl')
    if not os.path.exists(other):
      continue
    for mine, theirs in zip(first, metrics.read(other)):
      for key in mine.keys() | theirs.keys():
        if not any(part in key for part in _TIMED) and mine.get(key) != theirs.get(key):
          found.append(f'{key} at step {mine.get("step")} is {mine.get(key)} on host 0 and {theirs.get(key)} on '
                       f'host {i}')
  return found


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
