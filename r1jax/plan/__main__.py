"""python -m r1jax.plan --config=NAME:ARG [--topology=KIND:AxBxC] [--fit] [--lengths=MEAN[:SIGMA]] [--json]
[--without-files] [--config.KEY=VALUE ...]
python -m r1jax.plan --all [--write] [--only=NAME[:ARG]]     every config on the topologies that it names: every.py

First what a run looks at before it starts, on the topology's devices: values, lengths, rows that the mesh deals out,
and the files that it reads, which --without-files leaves out. Then compilers.

Exit codes: 0 every phase fits, 2 a user's mistake or no compiler for the topology, 3 a phase does not fit.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile

from absl import flags

from r1jax import errors
from r1jax import limits
from r1jax import options
from r1jax import stage_models
from r1jax import terminal
from r1jax.exceptions import UserError
from r1jax.plan import chips
from r1jax.plan import every
from r1jax.plan import fit as fit_lib
from r1jax.plan import phases as phases_lib
from r1jax.plan import places
from r1jax.plan import run as run_lib
from r1jax.plan.chips import GIB, SHARE, topology

_TOPOLOGY = flags.DEFINE_string('topology', None, "KIND:AxBxC; default: the config's own")
_JSON = flags.DEFINE_bool('json', False, 'print one JSON object')
_LENGTHS = flags.DEFINE_string('lengths', '', 'MEAN[:SIGMA]: tokens of completions, log-normal, cut at max_tokens; '
                               'default: half of it, sigma 1. The mean also of documents, where a batch counts them')
_VERDICT = flags.DEFINE_float('verdict_seconds', 0.0, 'of one judge on one completion, where rules run programs or ask '
                              'a clock')
_ONLY = flags.DEFINE_string('only', None, "STAGE/PHASE[,STAGE/PHASE]: plan these alone; STAGE/run: an RL stage's run "
                            'by formula')
_WITHOUT_FILES = flags.DEFINE_bool('without-files', False, 'ask for nothing that a run reads on its machine: weights, '
                                   "questions and others' runs, what judges; sizes are those that names tell")
flags.DEFINE_alias('without_files', 'without-files')
_FIT = flags.DEFINE_bool('fit', False, 'look for micro_tokens, slots, remat and dtypes with which it fits the '
                         'topology, and print the flags that say so')
flags.DEFINE_bool('all', False, 'every config on every topology that it names; --only then takes NAME[:ARG] (every.py)')
flags.DEFINE_bool('write', False, f'with --all: plan what {every.FILE} has not, and write it there')
_CHILD = flags.DEFINE_string('child', None, 'STAGE/PHASE[,STAGE/PHASE]: compile here, print an entry each; for the '
                             'command itself')

KNOWN = 'R1JAX_PLAN_KNOWN'  # environment variable: where children tell each other what they have compiled
KEPT = 'R1JAX_PLAN_KEPT'  # environment variable: the same, of plans of one topology one after the other
_COMPILERS = {  # platform -> packages of which one is needed, the extra that has one
    'tpu': (('libtpu',), 'plan'), 'gpu': (('jax_plugins.xla_cuda13', 'jax_plugins.xla_cuda12'), 'plan-gpu')}


def _installed(package: str) -> bool:
  try:
    return importlib.util.find_spec(package) is not None
  except ModuleNotFoundError:  # not even the package around it
    return False


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  terminal.use()
  if '--all' in argv:
    return every.main(argv[1:])
  try:
    config = options.parse(argv)
    where = topology(_TOPOLOGY.value or config.topology)
    if _WITHOUT_FILES.value:
      phases_lib.by_name(config)
    if _CHILD.value:
      for name in _CHILD.value.split(','):
        print(json.dumps(_entry(config, phases_lib.Phase(*name.split('/')), where)), flush=True)
      return 0
    fitted = {**fit_lib.mesh_of(config, where), **fit_lib.one_limit(config, phases_lib.learning(config))} if (
        _FIT.value) else {}
    fit_lib.apply(config, fitted)
    if _FIT.value:
      fitted |= fit_lib.starts(config, phases_lib.phases(config), where)
      fit_lib.apply(config, fitted)
    phases_lib.check(config, where, files=not _WITHOUT_FILES.value)
    chosen = _chosen(config)
    models = stage_models.Models(config)
    for phase in chosen:
      phases_lib.model_of(config, phase.stage, models)
    for name in phases_lib.learning(config):
      run_lib.lengths(_LENGTHS.value, limits.longest(config[name].max_tokens))
    for name in phases_lib.documents(config):
      run_lib.lengths(_LENGTHS.value, config[name].length, 'length')
    across = places.crossing(where, config.mesh.to_dict())
    packages, extra = _COMPILERS.get(where.chip.platform, ((), ''))
    if packages and not any(map(_installed, packages)):
      raise UserError(f"compiling for {where.kind} needs the package {packages[0]}: pip install 'r1jax[{extra}]'")
    found, runs = [], {}
    with tempfile.TemporaryDirectory(prefix='r1jax_plan_') as own:
      known = os.environ.get(KEPT) or own
      if _FIT.value:
        chosen, fitted, found = _fit(argv, config, chosen, where, fitted, known)
        fit_lib.apply(config, fitted)
        phases_lib.check(config, where, files=not _WITHOUT_FILES.value)  # what is printed may be run
      for phase in chosen:
        number, what = len(found) + len(runs) + 1, 'planning' if phase.phase == 'run' else 'compiling'
        with terminal.doing(f'{number} of {len(chosen)}: {phase.stage}/{phase.phase}: {what} for {where.name}'):
          entry = _in_child([*argv, *_as_flags(fitted)], phase, where, known)
        found += [entry] if phase.phase != 'run' else []
        runs |= {phase.stage: entry} if phase.phase == 'run' else {}
  except (UserError, OSError) as e:
    if (said := errors.line_of(e)) is None:
      raise
    print(f'r1jax: {said}', file=sys.stderr)
    return 2
  if _JSON.value:
    print(json.dumps({'config': config.name, 'topology': where.name, 'chips': where.chips, 'across_hosts': across,
                      **({'fit': fitted} if _FIT.value else {}), 'phases': found, 'run': runs}))
  else:
    print('\n\n'.join([f'across hosts: {", ".join(across) or "none"}']
                      + [table(config.name, where, found)] * bool(found)
                      + [run_table(entry, where) for entry in runs.values()]
                      + [f'fits {where.name} with: {fit_lib.flags(fitted) or "its own values"}'] * _FIT.value))
  if not all(entry['fits'] for entry in found):
    for entry in found:
      if not entry['fits']:
        print(f'r1jax: {entry["stage"]}/{entry["phase"]} does not fit {where.name}: '
              f'{advice(entry, where.chip.hbm_bytes * (where.chip.platform == "gpu"))}', file=sys.stderr)
    return 3
  return 0


def _as_flags(changes: dict) -> list[str]:
  return [f'--config.{key}={value}' for key, value in changes.items()]


def _fit(argv, config, chosen, where, mesh: dict, known: str) -> tuple[list, dict, list[dict]]:
  """(phases that are left to be planned, values that fit, the plan of the others)."""
  def measure(changes, phase):
    with terminal.doing(f'{phase.stage}/{phase.phase}: compiling for {where.name} with {fit_lib.flags(changes)}'):
      return _in_child([*argv, *_as_flags({**mesh, **changes})], phase, where, known)

  changes, found = fit_lib.fit(config, [phase for phase in chosen if phase.phase != 'run'], where, measure)
  return [phase for phase in chosen if phase.phase == 'run'], {**mesh, **changes}, found


def _chosen(config) -> list[phases_lib.Phase]:
  everything = phases_lib.phases(config) + [phases_lib.Phase(name, 'run') for name in phases_lib.learning(config)]
  if not _ONLY.value:
    return everything
  wanted = [phases_lib.Phase(*(name.split('/') + [''])[:2]) for name in _ONLY.value.split(',')]
  for phase in wanted:
    if phase not in everything:
      raise UserError(f'--only={phase.stage}/{phase.phase}: this config has '
                      f'{", ".join(f"{p.stage}/{p.phase}" for p in everything)}')
  return wanted


def _entry(config, phase, where) -> dict:
  try:
    if phase.phase == 'run':
      return phases_lib.run_of(config, phase.stage, where, _LENGTHS.value, _VERDICT.value)
    return phases_lib.compile_phase(config, phase, where, os.environ.get(KNOWN, ''), _LENGTHS.value)
  except RuntimeError as e:
    if 'cuDNN' not in str(e):
      raise
    raise UserError("cuDNN's attention is compiled by cuDNN itself: pip install 'r1jax[plan-gpu]', or plan with "
                    '--config.attention=xla') from e


def _in_child(argv, phase, where, known: str) -> dict:
  """Compiles in a process of its own: its environment, its memory, its crash."""
  command = [sys.executable, '-m', 'r1jax.plan', *argv[1:], f'--child={phase.stage}/{phase.phase}']
  env = {**phases_lib.environment(where), KNOWN: known}
  done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
  if done.returncode:
    said = [line for line in done.stderr.splitlines() if line.strip()] or ['it said nothing']
    last = next((line for line in reversed(said) if line.startswith('r1jax: ')), said[-1]).removeprefix('r1jax: ')
    raise UserError(f'{phase.stage}/{phase.phase} does not compile for {where.name}: {last[:400]}')
  return json.loads(done.stdout.splitlines()[-1])


def table(name: str, where, found: list[dict]) -> str:
  """The plan as text, bytes per device."""
  lines = [f'{name} on {where.name} ({_machines(where)}), per device, planned by compiler',
           f'{"phase":18} {"params":>8} {"optim.":>8} {"grads":>8} {"activ.":>8} {"cache":>8} {"total":>8}  '
           f'of {"avail.":>8}  fits  {"FLOPs":>9} {"at least":>10} {"binds":>13} {"tokens/s":>10} {"MFU at most":>11}']
  gib = lambda x: '?' if x is None else f'{x / GIB:.2f}'
  for e in found:
    hbm = e['hbm_bytes']
    lines.append(
        f'{e["stage"] + "/" + e["phase"]:18} ' + ' '.join(
            f'{gib(hbm[k]):>8}' for k in ('params', 'optimizer', 'gradients', 'activations', 'cache', 'total'))
        + f'  of {gib(hbm["available"]):>8}  {"yes " if e["fits"] else "NO  "}  {e["flops"]:9.2e} '
        f'{_seconds(e["roofline_seconds"]):>10} {e["bound"]:>13} {e["tokens_per_second"]:>10.3g} '
        f'{e["mfu_bound"]:>11.1%}')
  for e in found:
    if saved := e.get('checkpoint_bytes'):
      lines.append(f'a checkpoint of {e["stage"]} is {gib(saved["whole"])} GiB on disk (checkpoints.keep says how many '
                   f'stay); while one is written, a host holds {gib(saved["host"])} GiB of it')
    if replay := e.get('replay_bytes'):
      lines.append(f'{e["stage"]}.moe_replay keeps {replay["token"]} bytes a token: {gib(replay["device"])} GiB of the '
                   f'total, and {gib(replay["host"])} GiB on every host, if all are as long as may be')
  if chips.emulates_bfloat16(where):
    lines.append(f'{where.kind} has no bfloat16: XLA keeps values so and multiplies them in float32, of which FLOPs '
                 'and times are')
  return '\n'.join(lines)


def _machines(where) -> str:
  takes = where.available * where.chip.devices
  share = f', of {where.chip.hbm_bytes / GIB:.1f} GiB JAX takes {takes / GIB:.1f}: {SHARE}'
  return (f'{where.chips} chips, {where.hosts} host{"s" * (where.hosts > 1)}'
          + (share if where.chip.platform == 'gpu' else ''))


def run_table(run: dict, where) -> str:
  """An RL stage's run as text, beside the static way of the same run."""
  static, of = run['static'], run['lengths']
  rows = [(name, _seconds(run['seconds'][name]), _seconds(static['seconds'][name])) for name in run['seconds']]
  shares = (('rows at work', 'slot_use'), ('positions real', 'token_use'))
  rows += [(name, f'{run[key]:.2f}', f'{static[key]:.2f}') for name, key in shares]
  rows += [('binds', *(f"{way['bound']}, {way['bound_by']}" for way in (run, static)))]
  rows += [('the run', *(f"{way['days']:.3g} days" for way in (run, static))),
           ('', *(f"{way['chip_hours']:,.0f} chip-hours" for way in (run, static)))]
  lines = [f"{run['stage']} on {where.name} ({_machines(where)}): {run['rollouts']:,} rollouts of "
           f"{run['outputs']:,} outputs, planned {run['planned']}" + ('; of the last part' if 'parts' in run else ''),
           f"log-normal lengths, mean {of['mean']:,.0f} tokens, median {of['median']:,.0f}, sigma {of['sigma']:g}, "
           f"{of['cut']:.1%} cut at {of['most']:,}; judging: {run['judging_assumes']}",
           f'{"a rollout":16} {"slots":>22} {"static waves, padded":>22}']
  lines += [f'{name:16} {now:>22} {before:>22}' for name, now, before in rows]
  for part in run.get('parts', ()):
    lines.append(f"from step {part['from_step']:,}, {part['slots']} slots, at most {part['lengths']['most']:,} tokens: "
                 f"{part['rollouts']:,} rollouts of {_seconds(part['seconds']['total'])}, {part['days']:.3g} days")
  if 'paper' in run:
    paper = run['paper']
    lines.append(f"the paper's R1-Zero: about {paper['hours']} h ({paper['hours'] / 24:.1f} days) on {paper['chips']} "
                 f"{paper['kind'].upper()} ({paper['source']})")
  return '\n'.join(lines)


def _seconds(s: float) -> str:
  return f'{s * 1e3:.3g} ms' if s < 1 else f'{s:.3g} s'


def advice(entry: dict, whole: float = 0.0) -> str:
  """What to change, by what takes the most; whole: bytes of a GPU, of which JAX takes a share."""
  hbm = entry['hbm_bytes']
  if hbm['total'] is None:
    size = f'the compiler ran out: {entry["reason"]}'
  else:
    size = f'{hbm["total"] / GIB:.2f} GiB of {hbm["available"] / GIB:.2f}'
    if whole and hbm['total'] <= 0.95 * whole:
      return f'{size} that JAX takes by default; with the environment variable {SHARE}=0.95 it fits'
  changes = {'params': "rl.ref_dtype='bfloat16' or rl.ref_memory='host' where a KL has a reference, more chips, or "
                       'more of them on config.mesh.fsdp or tensor',
             'optimizer': "optimizer.dtype='bfloat16', or more chips on config.mesh.fsdp",
             'gradients': 'more chips on config.mesh.fsdp or tensor: they are float32 and as many as the weights, '
                          'however small a micro-batch is',
             'cache': 'a smaller `slots` of the stage (config.rl.slots, config.evaluate.slots), or more chips on '
                      'config.mesh.tensor',
             'activations': "config.remat='full', a smaller micro_tokens of the stage, a smaller config.logit_elements"}
  largest = max(changes, key=lambda k: hbm[k] if hbm[k] is not None else float('inf'))
  return f'{size}; most of it is {largest}: {changes[largest]}'


if __name__ == '__main__':
  sys.exit(main(sys.argv))
