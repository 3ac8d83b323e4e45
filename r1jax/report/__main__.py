"""python -m r1jax.report --workdir=DIR[,DIR]: one page for one run, or one that compares several.

The flag is defined here and not beside `write`, since r1jax.main has a --workdir of its own.
"""

import os
import sys

from absl import app, flags

from r1jax import report

_WORKDIR = flags.DEFINE_list('workdir', [], 'A work dir, or several with commas between them to be compared.')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    _fail(f'unexpected argument {argv[1]!r}; work dirs are given as --workdir=DIR[,DIR]')
  if not _WORKDIR.value:
    _fail('--workdir=DIR[,DIR] is missing')
  for workdir in _WORKDIR.value:
    if not os.path.isdir(workdir):
      _fail(f'no such directory: {workdir}')
  if len(_WORKDIR.value) > 1:
    path, warnings = report.compare(_WORKDIR.value)
  else:
    path, warnings = report.write_checked(_WORKDIR.value[0])
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
