"""python -m r1jax.bench --config=experiments/bench.py[:W1|W2|W3|W4] [--peers] [--json] [--work=DIR] [--steps=N]
  [--only=PROGRAM] [--profile=FIRST:LAST] [--config.KEY=VALUE ...]

Each program in a process of its own, one after the other; nothing else may run beside it. Exit codes: 0 measured, 2 a
user's mistake or a program that failed (one line on stderr; the table has what was measured before).
"""

import datetime
import functools
import json
import os
import subprocess
import sys

from absl import flags

from r1jax import metrics
from r1jax import options
from r1jax.bench import environments
from r1jax.bench import inputs
from r1jax.bench import table
from r1jax.exceptions import UserError

_BOOL, _STRING, _INTEGER = (  # other commands have flags of the same names
    functools.partial(define, allow_override=True)
    for define in (flags.DEFINE_bool, flags.DEFINE_string, flags.DEFINE_integer))
_PEERS = _BOOL('peers', False, 'TRL and tunix too, in environments of their own below --work')
_JSON = _BOOL('json', False, 'print one JSON object a row')
_WORK = _STRING('work', os.path.join('runs', 'bench'), 'weights, prompts, environments and logs')
_STEPS = _INTEGER('steps', 0, 'steps that are timed, after one that is not; 0: as the config says')
_ONLY = _STRING('only', '', 'PROGRAM[,PROGRAM]: these alone, of r1jax, static, trl, tunix, limits, decode')
_PROFILE = _STRING('profile', '', 'FIRST:LAST: trace these steps of r1jax, to WORK/profile/WORKLOAD')
_CHILD = _STRING('child', '', 'WORKLOAD/PROGRAM: measure here; for the command itself')

# What config.keep_freed_memory sets by mallopt (main.py), for a process that begins with it.
_KEEP_FREED = {'MALLOC_ARENA_MAX': '1', 'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': str((1 << 31) - 1),
               'MALLOC_TOP_PAD_': str(64 << 20)}
_SLOWS_NUMPY = ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE')


def programs(w, *, peers: bool) -> list[str]:
  """What is measured of a workload, in order. w: its part of the config."""
  if w.lengths.mean:
    return ['r1jax', 'static']
  beside = [peer for peer in table.PEERS if peers and w[peer]]
  return ['r1jax', *beside, 'limits', *(['decode'] if w.decode else [])]


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  try:
    config = options.parse(argv)
    if _CHILD.value:
      return _measure(config, *_CHILD.value.split('/'))
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  _warn_if_busy()
  found, mistake = [], None
  try:
    for name, program in _wanted(config):
      rows = _in_child(argv, config, name, program)
      found += rows
      if _JSON.value:
        _print(rows)
  except UserError as e:
    mistake = e
  if _JSON.value:
    _print([table.row(name, 'ratios', ratios=ratios) for name, ratios in table.ratios(found).items()])
  elif found:
    print(table.text(found, f'{_machine()}, {datetime.date.today()}'))
  if mistake:
    print(f'r1jax: {mistake}', file=sys.stderr)
    return 2
  return 0


def _wanted(config) -> list[tuple[str, str]]:
  """(workload, program) in order; their inputs stand in --work."""
  only = [program for program in _ONLY.value.split(',') if program]
  chosen = [(name, program) for name in config.workloads for program in programs(config[name], peers=_PEERS.value)
            if not only or program in only]
  if not chosen:
    raise UserError(f'--only={_ONLY.value} names no program of {", ".join(config.workloads)}')
  for name in dict.fromkeys(name for name, _ in chosen):
    _say(f'{name}: weights and prompts ...')
    inputs.prepare(config[name], name, _WORK.value, peers=any((name, peer) in chosen for peer in table.PEERS))
  return chosen


def _in_child(argv: list[str], config, name: str, program: str) -> list[dict]:
  """A program's rows, from a process of its own: its memory, its threads, its crash."""
  w = config[name]
  steps = _STEPS.value or w.steps
  env = {key: value for key, value in os.environ.items() if key not in _SLOWS_NUMPY}
  if program in table.PEERS:
    command, more = environments.command(program, w, name, _WORK.value, steps, _say), environments.variables()
  else:
    command = [sys.executable, '-m', 'r1jax.bench', *argv[1:], f'--child={name}/{program}']
    more = dict(_KEEP_FREED) if w.keep_freed_memory else {}
    if config.compile_cache and 'JAX_COMPILATION_CACHE_DIR' not in env:
      more['JAX_COMPILATION_CACHE_DIR'] = os.path.join(os.path.abspath(_WORK.value), 'xla')
  log = os.path.join(_WORK.value, 'logs', f'{name}_{program}.txt')
  os.makedirs(os.path.dirname(log), exist_ok=True)
  _say(f'{name} {program}: {steps} steps after one; {log}')
  rows = []
  with open(log, 'w', encoding='utf-8') as err, subprocess.Popen(
      command, env={**env, **more}, stdout=subprocess.PIPE, stderr=err, text=True) as child:
    for line in child.stdout:
      if line.startswith('{"workload"'):
        rows.append(json.loads(line))
      else:
        _say(line.rstrip())
  if child.returncode:
    with open(log, encoding='utf-8') as f:
      said = [line for line in f.read().splitlines() if line.strip()] or [f'exit code {child.returncode}']
    last = next((line for line in reversed(said) if line.startswith('r1jax: ')), said[-1])
    raise UserError(f'{name}/{program}: {last.removeprefix("r1jax: ")[:400]}')
  return rows


def _measure(config, name: str, program: str) -> int:
  """What a child does: a program's rows on stdout."""
  import jax  # here and not above, as the command itself asks for no device
  from r1jax.bench import decode, limits, ours, workload
  from r1jax.engine import precision, profile
  w, steps = config[name], _STEPS.value or config[name].steps
  if w.accelerator and jax.default_backend() == 'cpu' and not (_STEPS.value and w.model.startswith('nano')):
    raise UserError(f'{name} is for an accelerator, and there is none; to try it on a CPU: --steps=1 '
                    f'--config.{name}.model=nano')
  profile.steps = profile.parse(_PROFILE.value) if _PROFILE.value else None
  precision.use(w.dtype)
  load = workload.load(config, name, _WORK.value)
  if program == 'limits':
    rows = [limits.row(load, _said)]
  elif program == 'decode':
    rows = decode.rows(load, steps, _said)
  else:
    trace = os.path.join(_WORK.value, 'profile', name)
    rows = [ours.row(load, steps, static=program == 'static', trace=trace, say=_said)]
  _print(rows)
  return 0


def _print(rows: list[dict]) -> None:
  for row in rows:
    print(metrics.encode(row).decode(), end='', flush=True)


def _said(text: str) -> None:
  print(text, flush=True)


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def _warn_if_busy() -> None:
  load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0
  if load > 0.5:
    _say(f'r1jax: the machine is busy (load {load:.1f}): these figures will be no measure of anything')


def _machine() -> str:
  """'2 cores of an AMD EPYC 7B13'."""
  kind = 'CPU'
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as f:
      kind = next((line.partition(':')[2].strip() for line in f if line.startswith('model name')), kind)
  except OSError:
    pass
  return f'{os.cpu_count()} cores, {kind}'


if __name__ == '__main__':
  sys.exit(main(sys.argv))
