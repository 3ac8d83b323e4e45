"""r1jax sweep NAME:ARG --workdir=DIR [--seeds=N] [--part=I/N] [--config.KEY=VALUE[,VALUE ...] ...]

  r1jax sweep r1_zero:tiny --workdir=runs/sweep --seeds=3 --config.rl.learning_rate=1e-4,3e-4

  r1jax sweep objectives --workdir=runs/objectives --seeds=2 [--only=NAME,NAME]

Every choice of the values with commas between them, with seeds 0 to N - 1, one run after another, each in a folder of
DIR named by its choices; then one page that compares them, DIR/report/compare.html. Before the first begins, each is
looked at as a run looks at itself before its first stage (weights of the hub are downloaded then; a run cannot begin
from another of the same sweep). Started again it goes on: what is finished is looked at and
passed by. A value that holds a comma itself is given in brackets or braces, and is one value. The first run that fails
ends the sweep with its exit code; Ctrl-C and SIGTERM stop the run under way, which saves its state. --part=2/8 on the
second of eight hosts that share DIR: every eighth run from the second on; the page is made by r1jax report when all are
done.

A config file may have a sweep of its own, a function sweep(add): each add(ARG, **{'rl.steps': 40}) is a run of
FILE.py:ARG (without an ARG: of FILE.py) with those values, and the choices of the command line are made for each. It is
taken where no ARG is given; --only keeps some of its ARGs.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile

from r1jax import configs
from r1jax import errors
from r1jax import own as own_lib
from r1jax import paths
from r1jax.exceptions import UserError


def choices(args: list[str], seeds: int) -> list[dict[str, str]]:
  """{key: value} of every run, in order, keys that have several values and the seed first.

  Raises:
    UserError: an argument that is no --config.KEY=VALUE, an empty value, or the seed given twice.
  """
  values = {}
  for arg in args:
    key, equals, text = arg.removeprefix('--config.').partition('=')
    if not arg.startswith('--config.') or not equals:
      raise UserError(f'unexpected argument {arg!r}: a sweep takes --workdir, --seeds, --only, --part, --check '
                      'and --config.KEY=VALUE[,VALUE]')
    whole = text[:1] in ('(', '[', '{')
    values[key] = [text] if whole else text.split(',')
    if not all(values[key]) and len(values[key]) > 1:
      raise UserError(f'{arg}: a value between two commas is empty')
  if seeds > 1 and 'seed' in values:
    raise UserError(f'--seeds={seeds} and --config.seed={",".join(values["seed"])}: give one of them')
  if seeds > 1:
    values['seed'] = [str(seed) for seed in range(seeds)]
  return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def added(config: str, only: str = '') -> list[dict[str, str]]:
  """{'': ARG, key: value} of each run of the config's own sweep; [{}] where it has none, or an ARG is given.

  Args:
    config: FILE.py[:ARG].
    only: ARGs with commas between: those runs alone.

  Raises:
    UserError: `only` names none of its runs, or that function fails.
  """
  path, colon, _ = config.partition(':')
  found, own = [], None if colon else getattr(configs.module(path), 'sweep', None)
  if own is not None:
    add = lambda arg='', **values: found.append({'': arg, **{key: str(value) for key, value in values.items()}})
    try:
      own(add)
    except Exception as e:  # pylint: disable=broad-except  it is a user's
      raise UserError(f'sweep(add) of {config} failed ({own_lib.told(e, own)})') from e
  named = [run[''] for run in found]
  if unknown := [name for name in only.split(',') if only and name not in named]:
    raise UserError(f'--only={only}: the sweep of {config} has no {unknown[0]!r}' + (
        f', but {", ".join(dict.fromkeys(named))}' if named else ''))
  return [run for run in found if not only or run[''] in only.split(',')] or [{}]


def folder(run: dict[str, str], several: list[str]) -> str:
  """The name of a run's work dir: what is chosen in it, of the keys that have several values."""
  said = [f'{key.rpartition(".")[2]}={run[key]}' if key else run[key] for key in several if key in run]
  return re.sub(r'[^\w.=+-]+', '_', '__'.join(said)) or 'run'


def _part(text: str) -> tuple[int, int]:
  found = re.fullmatch(r'(\d+)/(\d+)', text)
  if not found or not 1 <= int(found[1]) <= int(found[2]):
    raise UserError(f'--part={text}: I/N, the I-th of N hosts, as 1/4')
  return int(found[1]), int(found[2])


def _code_of(command: list[str], **to) -> int:
  """The exit code of a run; to: where its output goes. Who asks this process to stop asks the run, and it is waited for
  while it saves its state; a second Ctrl-C, which reaches both, kills it."""
  asked, began = [], []

  def ask(number, _):
    asked.append(number)
    for child in began:
      child.send_signal(signal.SIGTERM)  # of a Ctrl-C it knows as well, and a second SIGTERM is none

  before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) != signal.SIG_IGN}
  try:
    began.append(subprocess.Popen(command, **to))
    if asked:
      began[0].send_signal(signal.SIGTERM)
    code = began[0].wait()
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  if asked:
    return 130 if asked[0] == signal.SIGINT else 143
  return code if code >= 0 else 128 - code  # killed by a signal, as a shell says it


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  return errors.run(_run, argv)


def _run(argv: list[str]) -> int:
  parser = errors.Parser(prog='r1jax sweep', description=__doc__)
  parser.add_argument('--config', required=True, help='NAME:ARG, or a path FILE.py[:ARG]')
  parser.add_argument('--workdir', required=True, help='where the folders of the runs are written')
  parser.add_argument('--seeds', type=int, default=1, help='of each choice: 0 to N - 1')
  parser.add_argument('--only', default='', help="of a config's own sweep: these runs, with commas between")
  parser.add_argument('--part', default='1/1', help='I/N: every N-th run from the I-th on, on one of N hosts')
  parser.add_argument('--check', action='store_true', help='look at what each run looks at before it begins, and end')
  a, rest = parser.parse_known_args(argv[1:])
  if a.seeds < 1:
    raise UserError(f'--seeds={a.seeds} must be at least 1')
  part, parts = _part(a.part)
  config, place = configs.find(a.config), paths.local(a.workdir, '--workdir')
  chosen = choices(rest, a.seeds)
  runs, every = ([{**first, **run} for first in some for run in chosen]
                 for some in (added(config, a.only), added(config)))
  several = [key for key in dict.fromkeys(key for run in every for key in run)
             if len({run.get(key) for run in every}) > 1]  # a run's folder has one name, whatever --only keeps
  names = [folder(run, several) for run in runs]
  if len(set(names)) < len(names):
    raise UserError(f'two runs of the sweep would share the folder {max(names, key=names.count)}: give each value once')
  command = lambda run, name, *more: [
      sys.executable, '-m', 'r1jax.main', f'--config={config}' + (f':{run[""]}' if run.get('') else ''), *more,
      *(f'--config.{key}={value}' for key, value in run.items() if key), f'--workdir={os.path.join(place, name)}']
  mine = list(zip(range(1, len(runs) + 1), runs, names))[part - 1::parts]
  apart = {tuple(pair for pair in run.items() if pair[0] != 'seed' or not pair[1].isdigit()): (i, run, name)
           for i, run, name in reversed(mine)}  # one of those that differ in the seed alone
  seeds = ', one of those that differ in the seed alone' if len(apart) < len(mine) else ''
  print(f'looking at {len(apart)} of {len(mine)} runs before the first begins{seeds}', flush=True)
  for i, run, name in reversed(apart.values()):  # a mistake in the last one is said before the first begins
    with tempfile.TemporaryFile('w+', errors='replace') as told:
      code = _code_of(command(run, name, '--check'), stdout=told, stderr=told)
      told.seek(0)
      said = [line for line in told.read().splitlines() if line.strip()] or [f'exit code {code}']
    if code in (130, 143):
      return code
    if code:
      last = next((line for line in reversed(said) if line.startswith('r1jax: ')), said[-1]).removeprefix('r1jax: ')
      raise UserError(last + f' (run {i} of {len(runs)}: {name})' * (len(runs) > 1))
  if a.check:
    print('looked at: nothing stands in the way of a start')
    return 0
  for i, run, name in mine:
    print(f'run {i} of {len(runs)}: {name}', flush=True)
    if code := _code_of(command(run, name)):
      print(f'r1jax: the sweep ends at {name}, exit code {code}; the same command goes on', file=sys.stderr)
      return code
  if parts > 1:
    print(f'part {a.part}: {len(mine)} of {len(runs)} runs are finished; when all are, the page: '
          f"r1jax report --workdir='{place}/*' --out={place}/report")
  elif len(runs) > 1:
    page = [sys.executable, '-m', 'r1jax.report', f'--out={os.path.join(place, "report")}',
            f'--workdir={",".join(os.path.join(place, name) for name in names)}']
    print('the page that compares them:', flush=True)
    return subprocess.run(page, check=False).returncode
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
