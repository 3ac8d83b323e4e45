"""results/search_tiny.json from finished work dirs of search:prm and search:mcts, one of each a seed.

  python docs/search.py --prm=DIR,DIR [--mcts=DIR,DIR] --commit=COMMIT --hardware=TEXT [--command=TEXT]

What a run has not measured stays empty. Then: python docs/tables.py --write
"""

import argparse
import datetime
import functools
import json
import pathlib
import sys

import jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from r1jax import metrics  # noqa: E402

COMMAND = '; '.join(f'r1jax sweep search:{arg} --workdir=DIR --seeds=2 --config.from_run=R1' for arg in ('prm', 'mcts'))
STEPS = (('auc', 'AUC on held-out questions'), ('ece', 'calibration error'), ('auc_by_rule', 'AUC by the rule'),
         ('right_share', 'share of right steps'), ('heldout_steps', 'steps held out'))
SEARCH = (('pass@1', 'right, of the answer chosen'), ('voted', 'right, of the vote weighed by scores'),
          ('different', 'right among different answers: what chance chooses'), ('any', 'one of those found is right'),
          ('spent', 'tokens a question'),
          ('plain_pass@1', 'plain sampling, as many tokens: pass@1'), ('plain_voted', 'plain sampling: its vote'))
RL = (('reward/process', 'score of the steps'), ('accuracy/mean', 'right, training questions'))


def facts(workdir: pathlib.Path) -> dict[str, dict]:
  """Stage -> what it said when it ended."""
  noted = json.loads((workdir / 'pipeline.json').read_text())
  return {entry['name']: entry.get('facts', {}) for entry in noted['stages']}


def figures(workdir: pathlib.Path) -> dict[tuple[str, str], float]:
  """(stage, what) -> the number of one run, in the table's order."""
  found = {}
  for name, of in facts(workdir).items():
    for key, title in STEPS if 'auc' in of else SEARCH if 'spent' in of else ():
      found[f'`{name}`', title] = of.get(key)
  for path in sorted(workdir.glob('*_rl/metrics.jsonl')):
    rows = [row for row in metrics.read(path) if 'reward/process' in row]
    for key, title in RL if rows else ():
      for when, row in (('first', rows[0]), ('last', rows[-1])):
        found['`rl`', f'{title}, {when} step'] = row[key]
  for path in sorted(workdir.glob('*_evaluate/metrics.jsonl')):
    for row in metrics.read(path):
      name = next(key for key in row if key.endswith('/pass@1'))
      found['`evaluate`', f'pass@1 {"before" if row["model"] == "base" else "after"}'] = row[name]
  return found


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--prm', default='')
  parser.add_argument('--mcts', default='')
  parser.add_argument('--commit', required=True)
  parser.add_argument('--hardware', required=True)
  parser.add_argument('--command', default=COMMAND)
  args = parser.parse_args(argv)
  rows, seeds = [], 0
  for config in ('prm', 'mcts'):
    runs = [figures(pathlib.Path(path)) for path in getattr(args, config).split(',') if path]
    seeds = max(seeds, len(runs))
    for stage, what in dict.fromkeys(key for run in runs for key in run):
      rows.append({'config': f'`search:{config}`', 'stage': stage, 'what': what,
                   'value': [run.get((stage, what)) for run in runs]})
  column = lambda title, form, **more: {'title': title, 'format': form, **more}
  table = {'id': 'search_tiny', 'command': args.command, 'commit': args.commit, 'hardware': args.hardware,
           'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d'),
           'software': {'jax': jax.__version__}, 'label': 'measured', 'seeds': list(range(seeds)),
           'columns': {'config': column('config', 'text', merge=True), 'stage': column('stage', 'text', merge=True),
                       'what': column('what', 'text'), 'value': column('value', '.4g')}, 'rows': rows}
  say = functools.partial(json.dumps, ensure_ascii=False)
  inner = {'columns': '{\n%s\n }' % ',\n'.join(f'  {say(k)}: {say(v)}' for k, v in table['columns'].items()),
           'rows': '[\n%s\n ]' % ',\n'.join(f'  {say(row)}' for row in rows)}
  lines = ',\n'.join(f' {say(key)}: {inner.get(key) or say(value)}' for key, value in table.items())
  (ROOT / 'results/search_tiny.json').write_text(f'{{\n{lines}\n}}\n')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
