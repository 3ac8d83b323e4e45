"""What each objective reaches: runs experiments/objectives.py as a sweep and writes results/objectives.json.

  python docs/objectives_table.py --workdir=DIR [--seeds=2] [--only=NAME,NAME] [--write] [--config.KEY=VALUE ...]

Runs that are finished are passed by, so the same command goes on. Without --write the table is printed, nothing else.
The page shows it between <!-- table: objectives --> and <!-- end -->, by python docs/tables.py --write.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
REACHED = 0.7  # pass@1 on held-out questions, while it trains
SHARE = 0.75  # of the tokens that the default samples in all: where accuracy is compared at equal sampled tokens
COLUMNS = {
    'objective': {'title': 'objective', 'format': 'text'}, 'what': {'title': '', 'format': 'text'},
    'pass1': {'title': 'pass@1', 'format': '.3f'}, 'tokens': {'title': 'tokens an answer', 'format': '.1f'},
    'entropy': {'title': 'entropy, nats', 'format': '.3f'},
    'steps_to': {'title': f'steps to {REACHED:g}', 'format': 'd'},
    'sampled': {'title': 'tokens sampled', 'format': ',d'},
    'at_equal_tokens': {'title': 'pass@1 after equal tokens', 'format': '.3f'},
    'no_signal': {'title': 'groups without a signal', 'format': '.2f'}}


def rows_of(path: pathlib.Path) -> list[dict]:
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(rows: list[dict]) -> list[tuple[int, int, float]]:
  """(step, tokens sampled until then, pass@1 on held-out questions) of a stage's metrics, where it was measured."""
  sampled, seen, out = 0, set(), []
  for row in rows:
    if row.get('rollout') not in seen and 'rollout/tokens' in row:
      seen.add(row['rollout'])
      sampled += int(row['rollout/tokens'])
    score = next((value for name, value in row.items() if name.startswith('eval/') and name.endswith('/pass@1')), None)
    if score is not None:
      out.append((int(row['step']), sampled, score))
  return out


def reached(points: list[tuple[int, int, float]]) -> int | None:
  """The first step at which pass@1 is at least REACHED; None: at none."""
  return next((step for step, _, score in points if score >= REACHED), None)


def at_tokens(points: list[tuple[int, int, float]], tokens: float) -> float | None:
  """pass@1 after so many sampled tokens, on the line between two measurements; None where fewer were sampled."""
  for (_, before, low), (_, after, high) in zip(points, points[1:]):
    if before <= tokens <= after and after > before:
      return low + (high - low) * (tokens - before) / (after - before)
  return None


def no_signal(rows: list[dict]) -> float:
  """The share of groups that an update learns nothing from; of dynamic sampling that of those that could not be
  replaced, by its own measure (rl.dynamic_by)."""
  drawn = [row['dynamic/without_signal'] / (row['dynamic/groups'] / row['dynamic/draws']) for row in rows
           if row.get('dynamic/draws')]
  found = drawn or [row['groups/no_signal'] for row in rows]
  return sum(found) / len(found)


def of_run(directory: pathlib.Path) -> dict:
  """What one run gave, and its curve."""
  rows = rows_of(directory / '2_rl/metrics.jsonl')
  final = next(row for row in rows_of(directory / '3_evaluate/metrics.jsonl') if row.get('model') == 'final')
  score = lambda name: next(value for key, value in final.items() if key.startswith('eval/') and key.endswith(name))
  learned = [row for row in rows if 'entropy/nats_per_token' in row]
  last = learned[-8:]
  mean = lambda name, some: sum(row[name] for row in some) / len(some)
  points = curve(rows)
  return {'pass1': score('/pass@1'), 'tokens': score('/length_tokens'), 'entropy': mean('entropy/nats_per_token', last),
          'steps_to': reached(points), 'sampled': points[-1][1] if points else 0,
          'no_signal': no_signal(learned), 'curve': points}


def table(workdir: pathlib.Path, named: dict[str, str], seeds: int) -> list[dict]:
  """A row an objective, a value a seed; named: objective -> what it is, the default first."""
  place = lambda name, seed: workdir / '__'.join([name] + ([f'seed={seed}'] if seeds > 1 else []))
  runs = {name: [of_run(place(name, seed)) for seed in range(seeds)] for name in named}
  default = runs[next(iter(named))]
  tokens = SHARE * sum(run['sampled'] for run in default) / len(default)
  out = []
  for name, of in runs.items():
    row = {'objective': f'`{name}`', 'what': named[name]}
    for key in COLUMNS:
      if key == 'at_equal_tokens':
        row[key] = [at_tokens(run['curve'], tokens) for run in of]
      elif key not in row:
        row[key] = [run[key] for run in of]
    out.append(row)
  return out


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True, type=pathlib.Path)
  parser.add_argument('--seeds', type=int, default=2)
  parser.add_argument('--only', default='', help='objectives, with commas between, the default first')
  parser.add_argument('--write', action='store_true', help='results/objectives.json')
  args, more = parser.parse_known_args(argv)
  spec = importlib.util.spec_from_file_location('objectives', ROOT / 'experiments/objectives.py')
  experiment = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(experiment)
  names = args.only.split(',') if args.only else list(experiment.VARIANTS)
  if unknown := [name for name in names if name not in experiment.VARIANTS]:
    parser.error(f'no objective {unknown[0]!r}: one of {", ".join(experiment.VARIANTS)}')
  command = [sys.executable, '-m', 'r1jax.sweep', '--config=objectives', f'--workdir={args.workdir}',
             f'--seeds={args.seeds}', *([f'--only={args.only}'] if args.only else []), *more]
  if code := subprocess.run(command, cwd=os.getcwd(), check=False).returncode:
    return code
  rows = table(args.workdir, {name: experiment.VARIANTS[name] for name in names}, args.seeds)
  git = ['git', 'rev-parse', '--short', 'HEAD']
  commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
  import jax  # its version alone
  found = {'id': 'objectives', 'command': ' '.join(['python docs/objectives_table.py --workdir=DIR', *argv_told(argv)]),
           'commit': commit.stdout.strip(), 'hardware': f'{os.cpu_count()} cores, {platform.machine()}',
           'date': datetime.date.today().isoformat(), 'software': {'jax': jax.__version__}, 'label': 'measured',
           'seeds': list(range(args.seeds)), 'columns': COLUMNS, 'rows': rows}
  if args.write:
    (ROOT / 'results/objectives.json').write_text(json.dumps(found, indent=1) + '\n')
  sys.path.insert(0, str(ROOT / 'docs'))
  import tables
  print(tables.markdown(found), end='')
  return 0


def argv_told(argv: list[str]) -> list[str]:
  """The flags that change numbers."""
  return [arg for arg in argv if arg.startswith(('--seeds', '--only', '--config'))]


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
