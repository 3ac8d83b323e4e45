"""--fit: values of memory with which a config fits a topology, found by asking the compiler as rarely as may be.

Looked for one after the other: what the stage that learns must give up before its smallest micro-batch fits (first what
changes no number: logit_elements, remat; then dtypes; then where the reference lies), the largest micro_tokens, the
largest slots of each stage that samples. A phase's memory is nearly a line in its micro-batch, or its slots: two
compilations tell where it ends, a third is asked whether that holds.
"""

import logging
import math
from typing import Callable

from r1jax import limits
from r1jax.engine import lora
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import optim
from r1jax.exceptions import UserError
from r1jax.plan import chips
from r1jax.plan.chips import SHARE, Topology

log = logging.getLogger('r1jax')

ROOM = 0.97  # of what a device has: the compiler of another version may need a little more


def mesh_of(config, where: Topology) -> dict:
  """{} where the config's mesh deals out the topology's devices; else weights and rows over all of them."""
  sizes = {axis: int(config.mesh.get(axis, 1)) for axis in mesh_lib.AXES}
  fixed = math.prod(size for size in sizes.values() if size != -1)
  if fixed == where.devices or (-1 in sizes.values() and not where.devices % fixed):
    return {}
  return {f'mesh.{axis}': where.devices if axis == 'fsdp' else 1 for axis in mesh_lib.AXES}


def apply(config, changes: dict) -> None:
  """Sets 'rl.slots' and the like in a config."""
  for key, value in changes.items():
    *path, last = key.split('.')
    at = config
    for part in path:
      at = at[part]
    with at.unlocked(), at.ignore_type():
      at[last] = value


def one_limit(config, stages: list[str]) -> dict:
  """Slots that are a schedule -> the fewest of it, from which one number is looked for."""
  several = [name for name in stages if not isinstance(config[name].slots, int)]
  return {f'{name}.slots': limits.shortest(config[name].slots) for name in several}


def starts(config, phases, where: Topology) -> dict:
  """What is looked for, of a config whose own values cannot begin on the topology: micro_tokens of less than a row a
  device, slots that devices do not deal out evenly."""
  rows, found = _rows(config, where), {}
  for phase in phases:
    c = config[phase.stage]
    least = rows * _longest(c) if phase.phase == 'update' else 0
    if least > c.get('micro_tokens', least):
      found[f'{phase.stage}.micro_tokens'] = least
    if phase.phase == 'decode' and c.get('slots', 0) % rows:
      found[f'{phase.stage}.slots'] = max(rows, c.slots // rows * rows)
  return found


def fit(config, phases, where: Topology, measure: Callable) -> tuple[dict, list[dict]]:
  """(values that fit, the plan of each phase with them).

  Args:
    config: on the topology's mesh. phases: of phases.phases.
    measure: (changes, phase) -> an entry of the plan.

  Raises:
    UserError: nothing that is looked for makes it fit.
  """
  rows = _rows(config, where)
  changes, found = {}, {}
  for phase in phases:
    if phase.phase == 'update':
      changes |= _learning(config, phase, where, rows, changes, measure, found)
  for phase in phases:
    if phase.phase == 'decode':
      changes |= _sampling(config, phase, where, rows, changes, measure, found)
  for phase in phases:
    if phase.phase == 'prefill':
      found[phase] = measure(changes, phase)
  return changes, [found[phase] for phase in phases if phase in found]


def flags(changes: dict) -> str:
  """As they are given on a command line."""
  return ' '.join(f'--config.{key}={value}' for key, value in changes.items())


def _rows(config, where: Topology) -> int:
  """Pieces that a batch is cut into."""
  sizes = {axis: int(config.mesh.get(axis, 1)) for axis in mesh_lib.AXES}
  left = where.devices // math.prod(size for size in sizes.values() if size != -1)
  return math.prod(left if sizes[axis] == -1 else sizes[axis] for axis in ('data', 'fsdp'))


def ladder(config, stage: str, where: Topology) -> list[dict]:
  """What a stage that learns may give up, each step with those before it; the first gives up nothing."""
  c, steps = config[stage], [{}]
  few = 1 << int(math.log2(max(2.0, 0.05 * where.available * where.devices / 4)))  # float32 logits: a 20th of a device
  if config.logit_elements > few:
    steps.append({'logit_elements': few})
  if config.remat != 'full':
    steps.append({'remat': 'full'})
  if config.dtype == 'float32' and not chips.emulates_bfloat16(where):
    steps.append({'dtype': 'bfloat16'})
  adapters = lora.section(config, c)
  coarse = max(c.optimizer.get('b1', 0.9), c.optimizer.get('b2', 0.95)) <= optim.COARSEST_BETA
  smaller = {f'{stage}.optimizer.dtype': 'bfloat16'} if c.optimizer.get('dtype') == 'float32' and coarse else {}
  copied = c.get('kl_coef') and not adapters  # a reference beside the policy; adapters have the base for one
  smaller |= {f'{stage}.ref_dtype': 'bfloat16'} if copied and c.get('ref_dtype') == 'float32' else {}
  if smaller:
    steps.append(smaller)
  if adapters and not adapters.get('base_dtype'):
    steps.append({f'{stage}.lora.base_dtype' if 'lora' in c else 'lora.base_dtype': 'int8'})
  if copied and c.get('ref_memory') == 'device':
    steps.append({f'{stage}.ref_memory': 'host'})
  return [{key: value for step in steps[:i + 1] for key, value in step.items()} for i in range(len(steps))]


def _longest(c) -> int:
  """Positions of the longest row that a stage learns from."""
  return c.get('length') or limits.longest(c.max_tokens)


def _learning(config, phase, where, rows, before, measure, found) -> dict:
  c, name = config[phase.stage], f'{phase.stage}.micro_tokens'
  longest = _longest(c)
  outputs = c.groups * c.samples if 'groups' in c else c.batch
  least, most = rows * longest, max(1, outputs // rows) * rows * longest
  entry = None
  for given in ladder(config, phase.stage, where):
    changes = {**before, **given}
    entry = measure({**changes, name: least}, phase)
    if _fits(entry):
      break
    log.info('%s/update with %s: %s', phase.stage, flags(given) or 'its own values', _needs(entry))
  else:
    raise UserError(f'{phase.stage}/update does not fit {where.name}, even with {flags({**changes, name: least})}: '
                    f'{_needs(entry)}; {_way_out(entry, where)}')
  size, found[phase] = _largest(least, most, entry, lambda n: measure({**changes, name: n}, phase))
  return {**given, name: size}


def _sampling(config, phase, where, rows, before, measure, found) -> dict:
  c, name = config[phase.stage], f'{phase.stage}.slots'
  if 'groups' in c:
    most = min(512, c.groups * c.get('minibatches', 1) * c.samples)
  else:
    most = min(c.slots or math.inf, c.get('sample_batch', c.get('batch', 1)) * c.get('samples', 1))
  most = max(rows, most // rows * rows)
  entry = measure({**before, name: rows}, phase)
  if not _fits(entry):
    raise UserError(f'{phase.stage}/decode does not fit {where.name}, even with --config.{name}={rows}: '
                    f'{_needs(entry)}; {_way_out(entry, where)}')
  size, found[phase] = _largest(rows, most, entry, lambda n: measure({**before, name: n}, phase))
  return {name: size}


def _largest(least: int, most: int, entry: dict, measure: Callable) -> tuple[int, dict]:
  """(the largest of least, 2 least, 4 least .. most that fits, its entry); entry: of the least."""
  sizes = [least << i for i in range(64) if least << i <= most]
  if len(sizes) == 1:
    return least, entry
  known = {0: entry, 1: measure(sizes[1])}
  if not _fits(known[1]):
    return least, entry
  reach = _between(sizes[0], entry, sizes[1], known[1])
  guess = max(1, max(i for i, size in enumerate(sizes) if size <= max(reach, sizes[1])))
  fits, fails = 1, guess + 1  # what lies beyond the line fails: memory grows no slower than it
  while fails - fits > 1:
    known[guess] = measure(sizes[guess])
    fits, fails = (guess, fails) if _fits(known[guess]) else (fits, guess)
    reach = _between(sizes[fits], known[fits], sizes[guess], known[guess]) if fails == guess else math.inf
    under = [i for i in range(fits + 1, fails) if sizes[i] <= reach]
    guess = (fits + fails) // 2 if math.isinf(reach) else max(under, default=fits + 1)
  return sizes[fits], known[fits]


def _between(small: int, a: dict, large: int, b: dict) -> float:
  """The size at which a line through two plans reaches what a device has; inf where the compiler gave no number."""
  if not b['compiled']:
    return math.inf
  slope = max(1.0, _total(b) - _total(a)) / (large - small)
  return small + (ROOM * a['hbm_bytes']['available'] - _total(a)) / slope


def _fits(entry: dict) -> bool:
  return entry['compiled'] and _total(entry) <= ROOM * entry['hbm_bytes']['available']


def _total(entry: dict) -> float:
  return entry['hbm_bytes']['total'] if entry['compiled'] else math.inf


def _needs(entry: dict) -> str:
  total, available = _total(entry), entry['hbm_bytes']['available']
  return (f'the compiler runs out of {available / 2**30:.2f} GiB' if math.isinf(total) else
          f'{total / 2**30:.2f} GiB of {available / 2**30:.2f} a device')


def _way_out(entry: dict, where: Topology) -> str:
  if where.chip.platform == 'gpu' and _total(entry) <= 0.95 * ROOM * where.chip.hbm_bytes:
    return f'with the environment variable {SHARE}=0.95, of this plan and of the run, it fits'
  return 'take more chips, a smaller model, or fewer tokens'
