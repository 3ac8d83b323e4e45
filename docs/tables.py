"""results/NAME.json as Markdown, CSV or LaTeX, and the tables of README and docs made from them, and from the code.

  python docs/tables.py NAME [--format=markdown|csv|latex]
  python docs/tables.py --write     every block between <!-- table: NAME --> and <!-- end --> in README.md and docs/*.md
  python docs/tables.py --check     exit 1 where a block is not what its file says

A value that is a list has one number a seed of the file's `seeds`.
"""

import argparse
import csv
import io
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELDS = ('id', 'command', 'commit', 'hardware', 'date', 'software', 'label', 'columns', 'rows')
LABELS = ('measured', 'planned by compiler', 'planned by formula', 'rehearsed', 'source')
_BLOCK = re.compile(r'(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)', re.DOTALL)


def load(name: str) -> dict:
  """A table of results/.

  Raises:
    ValueError: it lacks a field, or a row a column, or its label is none of LABELS.
  """
  table = json.loads((ROOT / 'results' / f'{name}.json').read_text())
  if missing := [field for field in FIELDS if field not in table]:
    raise ValueError(f'results/{name}.json has no {", ".join(missing)}')
  if table['label'] not in LABELS or table['id'] != name:
    raise ValueError(f'results/{name}.json: label {table["label"]!r}, id {table["id"]!r}')
  for row in table['rows']:
    if set(row) != set(table['columns']):
      raise ValueError(f'results/{name}.json: a row has {sorted(row)}, the columns are {sorted(table["columns"])}')
  return table


def names() -> list[str]:
  return sorted(path.stem for path in (ROOT / 'results').glob('*.json'))


def cell(value, form: str) -> str:
  """A value by its column's format: a Python one, 'text', 'time' (seconds), 'yes' (a truth value)."""
  if value is None:
    return ''
  if isinstance(value, list):
    return ' / '.join(cell(v, form) for v in value)
  if isinstance(value, str) or form == 'text':
    return str(value)
  if form == 'yes':
    return 'yes' if value else 'no'
  if form == 'time':
    return f'{value * 1000:.3g} ms' if value < 0.9995 else f'{value:.3g} s'
  return format(value, form)


def markdown(table: dict) -> str:
  """Where a column says `merge`, what is as in the row above is left out."""
  columns, above, lines = table['columns'], {}, []
  lines.append('| ' + ' | '.join(c['title'] for c in columns.values()) + ' |')
  lines.append('|' + '---|' * len(columns))
  for row in table['rows']:
    same, cells = True, []
    for key, column in columns.items():
      same = same and bool(column.get('merge')) and above.get(key) == row[key]
      cells.append('' if same else cell(row[key], column['format']))
    above = row
    lines.append('| ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines) + '\n'


def as_csv(table: dict) -> str:
  """One line a row, numbers in full; of a value for each seed a column NAME.SEED each."""
  seeds = table.get('seeds', [])
  many = {key for key in table['columns'] if any(isinstance(row[key], list) for row in table['rows'])}
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow([n for key in table['columns'] for n in ([f'{key}.{s}' for s in seeds] if key in many else [key])])
  for row in table['rows']:
    cells = []
    for key in table['columns']:
      values = (row[key] or [None] * len(seeds)) if key in many else [row[key]]
      cells += ['' if v is None else v for v in values]
    writer.writerow(cells)
  return out.getvalue()


def latex(table: dict) -> str:
  """A tabular with booktabs' rules."""
  columns = table['columns']
  kinds = ''.join('l' if c['format'] in ('text', 'yes') else 'r' for c in columns.values())
  lines = [f'% results/{table["id"]}.json: {table["label"]}, commit {table["commit"]}, {table["hardware"]}',
           f'\\begin{{tabular}}{{{kinds}}}', '\\toprule',
           ' & '.join(_tex(c['title']) for c in columns.values()) + ' \\\\', '\\midrule']
  lines += [' & '.join(_tex(cell(row[k], c['format'])) for k, c in columns.items()) + ' \\\\' for row in table['rows']]
  return '\n'.join([*lines, '\\bottomrule', '\\end{tabular}']) + '\n'


def _tex(text: str) -> str:
  parts = re.split(r'`([^`]*)`', text)
  escaped = [re.sub(r'([&%#_$])', r'\\\1', part) for part in parts]
  return ''.join(f'\\texttt{{{p}}}' if i % 2 else p for i, p in enumerate(escaped))


def block(name: str, path: pathlib.Path) -> str:
  """What stands between the markers: the table, and where its numbers are from."""
  table = load(name)
  up = '' if path.parent == ROOT else '../'
  label = table['label'][0].upper() + table['label'][1:]
  about = (f'{label}: `{table["command"]}`; {table["hardware"]}; commit {table["commit"]}, {table["date"]}; '
           f'[results/{name}.json]({up}results/{name}.json).')
  return f'\n{markdown(table)}\n<small>{about}</small>\n\n'


# --- tables of r1jax/benchmarks


def _benchmarks() -> str:
  from r1jax.benchmarks import TABLE

  where = lambda row: ', '.join(name.removeprefix('table') for name in row.tables) or 'none'
  lines = ['| benchmark | `--tasks=` | tables | counted | questions | prompt | judge | run by |', '|' + '---|' * 8]
  for row in TABLE.values():
    counted = f'{row.shots}-shot {row.metric}' if row.shots else row.metric
    lines.append(f'| {row.title} | `{row.name}` | {where(row)} | {counted} | {row.questions or "of the file"} | '
                 f'{row.prompt_from} | {row.judge or "none"} | {"r1jax" if row.runs == "ours" else row.runs} |')
  return '\n'.join(lines)


def _benchmark_data() -> str:
  from r1jax.benchmarks import TABLE

  lines = ['| benchmark | published as | licence | checked in |', '|---|---|---|---|']
  for row in TABLE.values():
    source = f'`{row.source}`' if row.source != 'file' else 'a file of yours' + (f': {row.file}' if row.file else '')
    lines.append(f'| {row.title} | {source} | {row.licence} | {row.checked or "not checked"} |')
  return '\n'.join(lines)


def _benchmark_commands() -> str:
  from r1jax.benchmarks import TABLE

  lines = ['| benchmark | by | its command |', '|---|---|---|']
  for row in TABLE.values():
    if row.command:
      by = row.official or row.runs
      command = row.command.partition(', then ')[2] if by == 'endpoint' else row.command
      lines.append(f'| {row.title} | {by}: {row.task} | `{command}` |')
  return '\n'.join(lines)


def _benchmark_prompts() -> str:
  from r1jax.benchmarks.table import ASIS, TABLE

  asked = {}
  for row in TABLE.values():
    if row.runs == 'ours' and row.prompt != ASIS:
      asked.setdefault((row.prompt_from, row.prompt), []).append(row.title)
  plain = ', '.join(row.title for row in TABLE.values() if row.runs == 'ours' and row.prompt == ASIS)
  whole = f'The question as it is, without a word more: {plain}.'
  return '\n\n'.join([whole] + [f'{", ".join(titles)} ({origin}):\n\n```text\n{prompt.replace("{{}}", "{}")}\n```'
                             for (origin, prompt), titles in asked.items()])


def _recipes() -> str:
  import os
  from r1jax import configs

  module = configs.module(os.path.join(configs.DIRECTORY, 'recipes.py'))
  lines = ['| config | source | data | it reached | on | planned for | is to reach |', '|' + '---|' * 7]
  for arg in module.VARIANTS:
    config = module.get_config(arg)
    recipe = config.recipe
    when = lambda entry: f' by step {entry["step"]}' if entry['step'] else ' at the end'
    wanted = ', '.join(f'{entry["metric"].split("/")[1]} {entry["least"]:g}{when(entry)}' for entry in config.expect)
    lines.append(f'| `recipes:{arg}` | [{recipe.title}]({recipe.page}) | {recipe.data} | {recipe.reached} | '
                 f'{recipe.hardware} | {", ".join(recipe.topologies)} | {wanted} |')
  return '\n'.join(lines)


FROM_CODE = {'recipes': _recipes, 'benchmarks': _benchmarks, 'benchmark_data': _benchmark_data,
             'benchmark_commands': _benchmark_commands, 'benchmark_prompts': _benchmark_prompts}


def rendered(path: pathlib.Path) -> str:
  """The page with its tables as results/, or the code, has them."""
  made = lambda name: f'\n{FROM_CODE[name]()}\n\n' if name in FROM_CODE else block(name, path)
  return _BLOCK.sub(lambda m: m[1] + made(m[2]) + m[4], path.read_text())


def pages() -> list[pathlib.Path]:
  return [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', nargs='?', choices=names(), help='a table of results/')
  parser.add_argument('--format', choices=('markdown', 'csv', 'latex'), default='markdown')
  parser.add_argument('--write', action='store_true')
  parser.add_argument('--check', action='store_true')
  args = parser.parse_args(argv)
  stale = [path for path in pages() if rendered(path) != path.read_text()]
  if args.write:
    for path in stale:
      path.write_text(rendered(path))
  elif args.check:
    print('\n'.join(f'{path.relative_to(ROOT)}: python docs/tables.py --write' for path in stale))
    return 1 if stale else 0
  elif args.name:
    print({'markdown': markdown, 'csv': as_csv, 'latex': latex}[args.format](load(args.name)), end='')
  else:
    parser.print_help()
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
