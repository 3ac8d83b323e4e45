"""python -m r1jax.plan --config=experiments/NAME.py[:ARG] [--topology=KIND:AxBxC] [--json] [--config.KEY=VALUE ...]

Exit codes: 0 every phase fits, 2 a user's mistake or no compiler for the topology, 3 a phase does not fit.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile

from absl import flags

from r1jax import options
from r1jax.plan import phases as phases_lib
from r1jax.plan.chips import GIB, topology
from r1jax.types import UserError

_TOPOLOGY = flags.DEFINE_string('topology', None, "KIND:AxBxC; default: the config's own")
_JSON = flags.DEFINE_bool('json', False, 'print one JSON object')
_ONLY = flags.DEFINE_string('only', None, 'STAGE/PHASE[,STAGE/PHASE]: plan these alone')
_CHILD = flags.DEFINE_string('child', None, 'STAGE/PHASE[,STAGE/PHASE]: compile here, print an entry each; for the command itself')

KNOWN = 'R1JAX_PLAN_KNOWN'  # environment variable: where children tell each other what they have compiled
_COMPILERS = {'tpu': ('libtpu', 'plan'), 'gpu': ('jax_plugins.xla_cuda13', 'plan-gpu')}  # platform -> package, extra


def _installed(package: str) -> bool:
  try:
    return importlib.util.find_spec(package) is not None
  except ModuleNotFoundError:  # not even the package around it
    return False


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  try:
    config = options.parse(argv)
    where = topology(_TOPOLOGY.value or config.topology)
    phases_lib.check(config, where)
    if _CHILD.value:
      for name in _CHILD.value.split(','):
        print(json.dumps(_compiled(config, phases_lib.Phase(*name.split('/')), where, os.environ.get(KNOWN, ''))), flush=True)
      return 0
    package, extra = _COMPILERS.get(where.chip.platform, (None, ''))
    if package and not _installed(package):
      raise UserError(f"compiling for {where.kind} needs the package {package}: pip install 'r1jax[{extra}]'")
    found = []
    with tempfile.TemporaryDirectory(prefix='r1jax_plan_') as known:
      for phase in _chosen(config):
        if not _JSON.value:
          print(f'{phase.stage}/{phase.phase}: compiling for {where.name} ...', file=sys.stderr, flush=True)
        found.append(_in_child(argv, phase, where, known))
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  if _JSON.value:
    print(json.dumps({'config': config.name, 'topology': where.name, 'chips': where.chips, 'phases': found}))
  else:
    print(table(config.name, where, found))
  if not all(entry['fits'] for entry in found):
    for entry in found:
      if not entry['fits']:
        print(f'r1jax: {entry["stage"]}/{entry["phase"]} does not fit {where.name}: {advice(entry)}', file=sys.stderr)
    return 3
  return 0


def _chosen(config) -> list[phases_lib.Phase]:
  everything = phases_lib.phases(config)
  if not _ONLY.value:
    return everything
  wanted = [phases_lib.Phase(*(name.split('/') + [''])[:2]) for name in _ONLY.value.split(',')]
  for phase in wanted:
    if phase not in everything:
      raise UserError(f'--only={phase.stage}/{phase.phase}: this config has '
                      f'{", ".join(f"{p.stage}/{p.phase}" for p in everything)}')
  return wanted


def _compiled(config, phase, where, known: str) -> dict:
  try:
    return phases_lib.compile_phase(config, phase, where, known)
  except RuntimeError as e:
    if 'cuDNN' not in str(e):
      raise
    raise UserError("cuDNN's attention is compiled by cuDNN itself: pip install 'r1jax[plan-gpu]', or plan with "
                    '--config.attention=xla') from e


def _in_child(argv, phase, where, known: str) -> dict:
  """Compiles in a process of its own: its environment, its memory, its crash."""
  command = [sys.executable, '-m', 'r1jax.plan', *argv[1:], f'--child={phase.stage}/{phase.phase}']
  done = subprocess.run(command, env={**phases_lib.environment(where), KNOWN: known}, capture_output=True, text=True, check=False)
  if done.returncode:
    said = [line for line in done.stderr.splitlines() if line.strip()] or ['it said nothing']
    last = next((line for line in reversed(said) if line.startswith('r1jax: ')), said[-1])
    raise UserError(f'{phase.stage}/{phase.phase} does not compile for {where.name}: {last[:400]}')
  return json.loads(done.stdout.splitlines()[-1])


def table(name: str, where, found: list[dict]) -> str:
  """The plan as text, bytes per device."""
  lines = [f'{name} on {where.name} ({where.chips} chips), per device, planned by compiler',
           f'{"phase":18} {"params":>8} {"optim.":>8} {"activ.":>8} {"cache":>8} {"total":>8}  of {"avail.":>8}  fits  '
           f'{"FLOPs":>9} {"at least":>10} {"binds":>13} {"tokens/s":>10} {"MFU at most":>11}']
  gib = lambda x: '?' if x is None else f'{x / GIB:.2f}'
  for e in found:
    hbm = e['hbm_bytes']
    lines.append(
        f'{e["stage"] + "/" + e["phase"]:18} ' + ' '.join(
            f'{gib(hbm[k]):>8}' for k in ('params', 'optimizer', 'activations', 'cache', 'total'))
        + f'  of {gib(hbm["available"]):>8}  {"yes " if e["fits"] else "NO  "}  {e["flops"]:9.2e} '
        f'{_seconds(e["roofline_seconds"]):>10} {e["bound"]:>13} {e["tokens_per_second"]:>10.3g} {e["mfu_bound"]:>11.1%}')
  return '\n'.join(lines)


def _seconds(s: float) -> str:
  return f'{s * 1e3:.3g} ms' if s < 1 else f'{s:.3g} s'


def advice(entry: dict) -> str:
  """What to change, by what takes the most."""
  hbm = entry['hbm_bytes']
  if hbm['total'] is None:
    size = f'the compiler ran out: {entry["reason"]}'
  else:
    size = f'{hbm["total"] / GIB:.2f} GiB of {hbm["available"] / GIB:.2f}'
  changes = {'params': 'more chips, or more of them on config.mesh.fsdp or tensor',
             'optimizer': 'more chips on config.mesh.fsdp',
             'cache': 'a smaller rl.rollout_groups or evaluate.at_once, or more chips on config.mesh.tensor',
             'activations': "config.remat='full', a smaller rl.micro_groups or rl.micro_samples (more micro_batches), "
                            'a smaller config.logit_elements'}
  largest = max(changes, key=lambda k: hbm[k] if hbm[k] is not None else float('inf'))
  return f'{size}; most of it is {largest}: {changes[largest]}'


if __name__ == '__main__':
  sys.exit(main(sys.argv))
