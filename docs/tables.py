"""Tables from results/*.json: Markdown, CSV, LaTeX, and the blocks of README.md and docs/ that are made of them.

  python docs/tables.py                                  # which tables there are
  python docs/tables.py --format=latex r1_zero_tiny      # one of them: markdown, csv or latex
  python docs/tables.py --write                          # every block of README.md and docs/*.md anew

A block stands between `<!-- table: NAME -->` and `<!-- end -->`; `NAME columns=a,b KEY=VALUE,VALUE notes=no`
takes some columns, the rows whose KEY is such a VALUE, and leaves the notes out. A result has rows of named values, the columns to show (name, title, format of a number, the name of its standard
error) and where they come from: label, command, commit, hardware, software, date; a row's own commit or date goes first.
"""

import argparse
import csv
import io
import json
import pathlib
import re
import shlex
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'(<!-- table: (?P<what>.+?) -->\n).*?(<!-- end -->)', re.DOTALL)
LABELS = ('measured', 'planned by compiler', 'planned by formula', 'rehearsed', 'source')
KEYS = {'id', 'title', 'label', 'command', 'commit', 'hardware', 'date', 'software', 'columns', 'notes', 'rows'}


def load(name: str) -> dict:
  """results/NAME.json; raises FileNotFoundError where there is none, ValueError where it is not as it must be."""
  result = json.loads((ROOT / 'results' / f'{name}.json').read_text(encoding='utf-8'))
  if set(result) != KEYS or result['id'] != name or result['label'] not in LABELS:
    raise ValueError(f'results/{name}.json: keys {sorted(set(result) ^ KEYS)}, id {result.get("id")!r}, '
                     f'label {result.get("label")!r}: not those of a result')
  shown = {column['name'] for column in result['columns']}
  missing = shown - {key for row in result['rows'] for key in row}
  if missing:
    raise ValueError(f'results/{name}.json: no row has {sorted(missing)}')
  return result


def names() -> list[str]:
  return sorted(path.stem for path in (ROOT / 'results').glob('*.json'))


def select(result: dict, words: list[str]) -> dict:
  """The result with the columns and rows that `words` of a block ask for."""
  for key, _, value in (word.partition('=') for word in words):
    if key == 'notes':
      result = {**result, 'notes': []}
    elif key == 'columns':
      wanted = value.split(',')
      by_name = {column['name']: column for column in result['columns']}
      result = {**result, 'columns': [by_name[name] for name in wanted]}
    else:
      rows = [row for row in result['rows'] if str(row[key]) in value.split(',')]
      result = {**result, 'rows': rows}
  return result


def cell(column: dict, row: dict) -> str:
  """One value as it is shown, its standard error behind it; nothing where there is none."""
  value = row.get(column['name'])
  if value is None:
    return ''
  shown = format(value, column['format']) if 'format' in column and not isinstance(value, str) else str(value)
  error = row.get(column.get('stderr'))
  return shown if error is None else f'{shown} ± {error:{column["format"]}}'


def grid(result: dict) -> tuple[list[str], list[list[str]]]:
  titles = [column.get('title', column['name']) for column in result['columns']]
  return titles, [[cell(column, row) for column in result['columns']] for row in result['rows']]


def provenance(result: dict) -> str:
  """Where the numbers come from, in one line."""
  dates = [result['date']] if result['date'] else sorted({row['date'] for row in result['rows'] if row.get('date')})
  commits = ([result['commit']] if result['commit'] else
             sorted({row['commit'] for row in result['rows'] if row.get('commit')}))
  shown = any(column['name'] == 'date' for column in result['columns'])
  parts = [result['label'], result['hardware'], result['software'], '' if shown else ', '.join(dates),
           'commit ' + ', '.join(commits) if commits else '']
  return '; '.join(part for part in parts if part)


def markdown(result: dict) -> str:
  titles, rows = grid(result)
  lines = ['| ' + ' | '.join(titles) + ' |', '|' + ' --- |' * len(titles)]
  lines += ['| ' + ' | '.join(value.replace('\n', ' ') for value in row) + ' |' for row in rows]
  source = f'*{_plain(provenance(result))}*; `results/{result["id"]}.json`'
  source += f'; `{result["command"]}`' if result['command'] else ''
  return '\n\n'.join(['\n'.join(lines), *([' '.join(map(_plain, result['notes']))] if result['notes'] else []), source]) + '\n'


def _plain(text: str) -> str:
  """Text in which Markdown finds no tags and no emphasis."""
  return re.sub(r'([<>*_])', r'\\\1', text)


def comma_separated(result: dict) -> str:
  """Every value of every row as it is in the file, not rounded."""
  keys = list(dict.fromkeys(key for row in result['rows'] for key in row))
  out = io.StringIO()
  writer = csv.DictWriter(out, keys, lineterminator='\n')
  writer.writeheader()
  writer.writerows(result['rows'])
  return out.getvalue()


def latex(result: dict) -> str:
  """A tabular of booktabs with the source as a comment and the caption's text beside it."""
  titles, rows = grid(result)
  numbers = [all(isinstance(row.get(column['name']), (int, float, type(None))) for row in result['rows'])
             for column in result['columns']]
  body = [' & '.join(map(_tex, row)) + r' \\' for row in rows]
  return '\n'.join([
      f'% {provenance(result)}', *([f'% {result["command"]}'] if result['command'] else []),
      r'\begin{tabular}{' + ''.join('r' if number else 'l' for number in numbers) + '}', r'\toprule',
      ' & '.join(map(_tex, titles)) + r' \\', r'\midrule', *body, r'\bottomrule', r'\end{tabular}', ''])


def _tex(text: str) -> str:
  text = re.sub(r'\*\*(.+?)\*\*', r'\1', text.replace('`', ''))
  text = re.sub(r'([&%$#_{}])', r'\\\1', text)
  return text.replace('±', r'$\pm$').replace('->', r'$\to$').replace('^', r'\^{}').replace('~', r'\~{}')


FORMATS = {'markdown': markdown, 'csv': comma_separated, 'latex': latex}


def rendered(text: str) -> str:
  """A page's text with each of its blocks made anew."""
  def block(match):
    name, *words = shlex.split(match['what'])
    return f'{match[1]}{markdown(select(load(name), words))}{match[3]}'
  return BLOCK.sub(block, text)


def pages() -> list[pathlib.Path]:
  return [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', nargs='?', choices=names(), metavar='NAME', help='a file of results/, without .json')
  parser.add_argument('--format', choices=FORMATS, default='markdown')
  parser.add_argument('--write', action='store_true', help='write the blocks of README.md and docs/ anew')
  flags = parser.parse_args(argv[1:])
  if flags.write:
    for page in pages():
      text = page.read_text(encoding='utf-8')
      if rendered(text) != text:
        page.write_text(rendered(text), encoding='utf-8')
        print(page.relative_to(ROOT))
  elif flags.name:
    print(FORMATS[flags.format](load(flags.name)), end='')
  else:
    print('\n'.join(f'{name}: {load(name)["title"]} ({load(name)["label"]})' for name in names()))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
