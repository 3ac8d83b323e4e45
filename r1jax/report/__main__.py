"""python -m r1jax.report --workdir=DIR[,DIR]: one page for one run, or one that compares several.

The flag is defined here and not beside `write`, since r1jax.main has a --workdir of its own.
"""

import os
import sys

from absl import app, flags

from r1jax import paths
from r1jax import report
from r1jax.exceptions import UserError

_WORKDIR = flags.DEFINE_list('workdir', [], 'A work dir, or several with commas between them to be compared.')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    _fail(f'unexpected argument {argv[1]!r}; work dirs are given as --workdir=DIR[,DIR]')
  if not _WORKDIR.value:
    _fail('--workdir=DIR[,DIR] is missing')
  try:
    workdirs = [paths.local(workdir, '--workdir') for workdir in _WORKDIR.value]
    for workdir in workdirs:
      if not os.path.isdir(workdir):
        _fail(f'no such directory: {workdir}')
    path, warnings = report.compare(workdirs) if len(workdirs) > 1 else report.write_checked(workdirs[0])
  except UserError as error:
    _fail(str(error))
  except OSError as error:
    _fail(f'the report cannot be written: {error.strerror}: {error.filename}')
  print(path)
  if warnings:
    _fail('; '.join(warnings))


def _fail(message: str) -> None:
  print(message, file=sys.stderr)
  sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    _fail(str(error))


if __name__ == '__main__':
  app.run(main, flags_parser=_parse)
