"""Command: tables 2, 4, 5 and 6 of the paper with its numbers, ours, and NOT RUN: why, side by side.

  python -m r1jax.tables --workdir=DIR[,DIR] [--tables=2,5] [--format=text|csv|latex]

DIR is the work dir of `r1jax evaluate`, or of a pipeline with stages that evaluate. What other programs run (lm-eval,
inspect_ai, alpaca_eval ..) is named with its command; docs/benchmarks.md says where their results go. Exit codes: 0, 2
a user's mistake (one line on stderr).
"""

import argparse
import pathlib
import sys

from r1jax import paths
from r1jax.benchmarks import paper
from r1jax.exceptions import UserError
from r1jax.report import tables

FORMATS = {'text': tables.text, 'csv': tables.as_csv, 'latex': tables.latex}


class _Parser(argparse.ArgumentParser):

  def error(self, message: str):
    raise UserError(message)


def parser() -> argparse.ArgumentParser:
  parser = _Parser(prog='r1jax tables', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True, help='several with commas between them')
  parser.add_argument('--tables', default='2,4,5,6')
  parser.add_argument('--format', choices=FORMATS, default='text')
  return parser


def main(argv: list[str]) -> int:
  try:
    sys.stdout.write(_run(parser().parse_args(argv[1:])))
    return 0
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2


def _run(a) -> str:
  wanted = [f'table{number.strip()}' for number in a.tables.split(',') if number.strip()]
  if unknown := [name for name in wanted if name not in paper.TABLES] or not wanted:
    raise UserError(f'--tables={a.tables}: ' + (f'{unknown[0]} is none of ' if wanted else 'one or several of ')
                    + ', '.join(name.removeprefix('table') for name in paper.TABLES))
  workdirs = [pathlib.Path(paths.local(path, '--workdir')) for path in a.workdir.split(',') if path]
  for path in workdirs:
    if not path.is_dir():
      raise UserError(f'--workdir={path}: no such directory')
    if not tables.is_workdir(path):
      raise UserError(f'{path} has no eval/: nothing was evaluated there')
  found = tables.models(workdirs)
  if not found:
    print(f'r1jax: nothing of these tables was evaluated in {a.workdir}: below are the paper\'s numbers alone. '
          f'What was evaluated: r1jax report --workdir={a.workdir} --format=markdown', file=sys.stderr)
  return '\n'.join(FORMATS[a.format](tables.build(name, found)) for name in wanted)


if __name__ == '__main__':
  sys.exit(main(sys.argv))
