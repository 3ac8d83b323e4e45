"""plan --all: every config on every topology that its file names, one row each, into results/plans_all.json.

A file of experiments/ may have TOPOLOGIES: config -> topology -> keys that make it fit there beside the config's own,
or a text, why none do; a word behind the topology ('h100:1x1 LoRA') tells two rows of one topology apart. A config that
it does not name is planned for its own `topology`. What has been planned is passed by while what decides its memory is
the same (`digest`), programs that another plan has compiled are not compiled again (in the cache directory), and a row
is written as soon as it is known: killed, the command goes on where it stopped.
"""

import contextlib
import datetime
import hashlib
from importlib import metadata
import json
import os
import subprocess
import sys
from typing import Iterator, NamedTuple

import jax

from r1jax import configs
from r1jax import environment
from r1jax import errors
from r1jax import paths
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file
from r1jax.plan import chips
from r1jax.plan import fit

GIB = 1 << 30
FILE = os.path.join('results', 'plans_all.json')
WITHOUT = ('evaluate', 'bench')  # ask a checkpoint of any model, or none that has sizes of its own
NOT_YET, YES, NO = 'not planned yet', 'yes', 'no'
COLUMNS = {
    'config': {'title': 'config', 'format': 'text', 'merge': True},
    'topology': {'title': 'topology (chips)', 'format': 'text'},
    'values': {'title': 'beside its own', 'format': 'text'},
    'phases': {'title': 'phases', 'format': 'text'},
    'largest': {'title': 'the largest', 'format': 'text'},
    'used_gib': {'title': 'GiB a device', 'format': '.1f'},
    'available_gib': {'title': 'of', 'format': '.1f'},
    'fits': {'title': 'fits', 'format': 'text'}}
# Values that decide what lies on a device, wherever they stand; a key that is added somewhere changes no digest.
_DECIDE = ('mesh', 'data', 'fsdp', 'tensor', 'expert', 'dtype', 'remat', 'attention', 'logit_elements', 'groups',
           'samples', 'minibatches', 'micro_tokens', 'slots', 'carry', 'ref_dtype', 'ref_memory', 'max_prompt',
           'max_tokens', 'length', 'batch', 'batch_of', 'sample_batch', 'step_tokens', 'keep', 'expand', 'kind',
           'kl_coef', 'old_logps', 'model', 'vocab_size', 'max_length', 'top_p', 'rank', 'targets', 'base_dtype',
           'moe_replay', 'entropy_coef', 'is_cap', 'drop_truncated', 'drop_equal', 'form')
_AS_WITHOUT = {'form': 'head'}  # what is compiled as before the key was there: older plans stand


class Pair(NamedTuple):
  """A config on a topology."""
  config: str  # NAME:ARG
  topology: str
  values: dict | str  # keys beside its own; or why there are none with which it fits
  label: str = ''  # where a topology is named more than once

  @property
  def key(self) -> str:
    return ' '.join(filter(None, (self.config, '@', self.topology, self.label)))


def pairs(only: tuple[str, ...] = ()) -> Iterator[Pair]:
  """In the order of `r1jax configs`. only: NAME or NAME:ARG of those that are wanted.

  Raises:
    UserError: no such config, or topology of one.
  """
  found = False
  for name in configs.names():
    module = configs.module(os.path.join(configs.DIRECTORY, f'{name}.py'))
    for arg in module.VARIANTS if name not in WITHOUT else ():
      if only and name not in only and f'{name}:{arg}' not in only:
        continue
      found = True
      named = getattr(module, 'TOPOLOGIES', {}).get(arg) or {module.get_config(arg).topology: {}}
      for text, values in named.items():
        topology, _, label = text.partition(' ')
        chips.topology(topology)
        yield Pair(f'{name}:{arg}', topology, values, label)
  if only and not found:
    raise UserError(f'--only={",".join(only)}: no such config that can be planned; r1jax configs lists them, of which '
                    f'{" and ".join(WITHOUT)} have no model of their own')


def digest(pair: Pair) -> str:
  """Of what decides the plan's memory: the same for configs that differ in a learning rate, a task or a name."""
  config = configs.config(pair.config)
  fit.apply(config, pair.values if isinstance(pair.values, dict) else {})
  found = dict(_leaves(json.loads(json.dumps(config.to_dict()))))
  name = lambda key: key.rpartition('.')[2]
  kept = {key: value for key, value in found.items()
          if name(key) in _DECIDE and value and value != _AS_WITHOUT.get(name(key))}
  stages = [[spec['name'], spec['run'], sorted(spec['inputs'])] for spec in config.stages]
  text = json.dumps([pair.topology, kept, stages], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _leaves(node, prefix: str = '') -> Iterator[tuple[str, object]]:
  for key, value in node.items():
    if key in ('recipe', 'expect', 'task', 'stages', 'mixture', 'judge') or key == 'lora' and value.get('rank') == 0:
      continue
    if isinstance(value, dict):
      yield from _leaves(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def available_on(pair: Pair) -> float:
  """Bytes of a device, by the share of its memory that the pair names."""
  where = chips.topology(pair.topology)
  share = pair.values.get(chips.SHARE) if isinstance(pair.values, dict) else None
  return where.at_share(float(share)) if share else where.available


def row_of(pair: Pair, phases: list[dict] | None) -> dict:
  """phases: of `plan --json`; None: not planned yet."""
  where = chips.topology(pair.topology)
  named = ' '.join(filter(None, (f'{pair.topology} ({where.chips})', pair.label)))
  available = available_on(pair)
  row = {'config': f'`{pair.config}`', 'topology': named, 'values': said(pair.values), 'phases': '', 'largest': '',
         'used_gib': None, 'available_gib': round(available / GIB, 2), 'fits': NOT_YET}
  if isinstance(pair.values, str):
    return {**row, 'fits': NO}
  if phases is None:
    return row
  total = lambda entry: entry['hbm_bytes']['total'] if entry['compiled'] else float('inf')
  most = max(phases, key=total)
  used = None if total(most) == float('inf') else round(total(most) / GIB, 2)
  return {**row, 'phases': str(len(phases)), 'largest': f'{most["stage"]}/{most["phase"]}', 'used_gib': used,
          'available_gib': round(most['hbm_bytes']['available'] / GIB, 2),
          'fits': YES if all(entry['fits'] for entry in phases) else NO}


def said(values: dict | str) -> str:
  if isinstance(values, str):
    return values
  plain = {key: value for key, value in values.items() if key != chips.SHARE}
  share = f'{float(values[chips.SHARE]):.0%} of the memory' if chips.SHARE in values else ''
  flags = ', '.join(f'{key}={value}' for key, value in plain.items())
  return ', '.join(filter(None, (f'`{flags}`' if flags else '', share)))


class Table:
  """results/plans_all.json: a row a pair, and beside them the digest of what each was planned from."""

  def __init__(self, path: str):
    self._path, self._old = path, {}
    if os.path.exists(path):
      with open(path, encoding='utf-8') as f:
        self._old = json.load(f)
    self._planned = dict(self._old.get('planned', {}))  # key -> {digest, commit, phases}

  def stands(self, pair: Pair) -> bool:
    if isinstance(pair.values, str):
      return True
    known = self._planned.get(pair.key)
    # A share of the memory changes nothing that a compiler says, but what fits.
    return (known is not None and known['digest'] == digest(pair)
            and all(round(phase['hbm_bytes']['available'] - available_on(pair)) == 0 for phase in known['phases']))

  def add(self, pair: Pair, phases: list[dict]) -> None:
    kept = [{**{key: entry[key] for key in ('stage', 'phase', 'compiled', 'fits')},
             'hbm_bytes': {key: entry['hbm_bytes'][key] for key in ('total', 'available')}} for entry in phases]
    self._planned[pair.key] = {'digest': digest(pair), 'commit': _commit(), 'phases': kept}

  def write(self) -> None:
    """Of all pairs that there are now; what was planned from other values counts as not planned."""
    everything = list(pairs())
    known = {pair.key: self._planned[pair.key] for pair in everything
             if pair.key in self._planned and self.stands(pair)}
    rows = [row_of(pair, known.get(pair.key, {}).get('phases')) for pair in everything]
    found = {'id': 'plans_all', 'command': 'python -m r1jax.plan --all --write', 'commit': _commit(),
             'hardware': ('no accelerator: compiled on 2 cores for the topology of each row, at the commit that '
                          '`planned` names'),
             'date': datetime.date.today().isoformat(),
             'software': {'jax': jax.__version__, **_versions('libtpu', 'jax-cuda13-plugin')},
             'label': 'planned by compiler', 'columns': COLUMNS, 'rows': rows, 'planned': known}
    if {**found, 'commit': '', 'date': ''} != {**self._old, 'commit': '', 'date': ''}:
      replace_file(self._path, (json.dumps(found, ensure_ascii=False, indent=1) + '\n').encode('utf-8'))
      self._old = found


def _versions(*packages: str) -> dict[str, str]:
  """Of those that are installed; of the others those that the rows that stand were planned by are not known here."""
  found = {}
  for name in packages:
    with contextlib.suppress(metadata.PackageNotFoundError):
      found[name] = metadata.version(name)
  return found


def _commit() -> str:
  return (environment.commit() or '0' * 7)[:7]


def plan(pair: Pair) -> list[dict]:
  """`phases` of its plan.

  Raises:
    UserError: it cannot be planned.
  """
  values = dict(pair.values)
  share = values.pop(chips.SHARE, None)
  cache = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'r1jax', 'plans',
                       f'{pair.topology.replace(":", "_")}-{jax.__version__}' + (f'-{share}' if share else ''))
  os.makedirs(cache, exist_ok=True)
  env = {**os.environ, 'R1JAX_PLAN_KEPT': cache, **({chips.SHARE: str(share)} if share else {})}
  command = [sys.executable, '-m', 'r1jax.plan', f'--config={configs.find(pair.config)}', f'--topology={pair.topology}',
             '--without-files', '--json', *(f'--config.{key}={value}' for key, value in values.items())]
  done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
  if done.returncode not in (0, 3):
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ['it said nothing']
    raise UserError(f'{pair.key}: {lines[-1].removeprefix("r1jax: ")}')
  return json.loads(done.stdout.splitlines()[-1])['phases']


def main(argv: list[str]) -> int:
  """argv: without the command's own name. Exit codes: 0 all fit or are not planned yet, 2 a mistake, 3 one does not."""
  return errors.run(_run, argv)


def _run(argv: list[str]) -> int:
  parser = errors.Parser(prog='r1jax plan --all', description=__doc__)
  parser.add_argument('--all', action='store_true', help='every config on every topology that it names')
  parser.add_argument('--write', action='store_true', help=f'plan what {FILE} has not, and write it there')
  parser.add_argument('--only', default='', help='NAME[:ARG][,NAME[:ARG]]: these configs alone')
  parser.add_argument('--topology', default='', help='this one alone')
  parser.add_argument('--file', default=FILE, help='the table')
  a = parser.parse_args(argv)
  table, code = Table(paths.local(a.file, '--file')), 0
  named = list(pairs(tuple(filter(None, a.only.split(',')))))
  wanted = [pair for pair in named if a.topology in ('', pair.topology)]
  if not wanted:
    raise UserError(f'--topology={a.topology}: no such config is planned for it, but for '
                    + ', '.join(dict.fromkeys(pair.topology for pair in named)))
  missing = [pair for pair in wanted if not table.stands(pair)]
  print(f'{len(wanted)} plans, {len(missing)} of them to be compiled', flush=True)
  if a.write:
    table.write()
  for number, pair in enumerate(missing, 1):
    print(f'{number} of {len(missing)}: {pair.key} {said(pair.values)}', flush=True)
    if not a.write:
      continue
    try:
      phases = plan(pair)
    except UserError as e:
      print(f'r1jax: {e}', file=sys.stderr, flush=True)
      code = 2
      continue
    table.add(pair, phases)
    table.write()
    row = row_of(pair, phases)
    code = code or (3 if row['fits'] == NO else 0)
    print(f'  {row["largest"]}: {row["used_gib"]} of {row["available_gib"]} GiB, fits: {row["fits"]}', flush=True)
  return code
