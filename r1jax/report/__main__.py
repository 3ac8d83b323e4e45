"""python -m r1jax.report --workdir=DIR[,DIR] [--watch[=SECONDS]]: one page for one run, or one that compares several.

DIR may be a pattern in quotes, as 'runs/sweep/*'. With --watch the page is written again whenever the run has written
something, and reads itself again in the browser, until the run ends. The page is one file, to open or to mail; the
samples are pages of their own beside it.
"""

import glob
import os
import pathlib
import sys
import time

from absl import app, flags

from r1jax import paths
from r1jax import report
from r1jax.exceptions import UserError
from r1jax.report import runs
from r1jax.report import state

# The flags are defined here and not beside `write`, since r1jax.main has a --workdir of its own.
_WORKDIR = flags.DEFINE_list('workdir', [], 'A work dir, or several with commas between them to be compared.')
_WATCH = flags.DEFINE_integer('watch', 0, 'Seconds between two looks at a run that goes on; 0: write once.',
                              lower_bound=0)
_OUT = flags.DEFINE_string('out', '', 'Where the page of several runs is written; else in report/ of the first.')
_FORMAT = flags.DEFINE_enum('format', 'html', ['html', 'markdown', 'csv', 'latex'],
                           'A page, or the table of results alone.')
EVERY = 10  # seconds, of --watch without a number


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    _fail(f'unexpected argument {argv[1]!r}; work dirs are given as --workdir=DIR[,DIR]')
  if not _WORKDIR.value:
    _fail('--workdir=DIR[,DIR] is missing')
  try:
    workdirs = _workdirs(_WORKDIR.value)
    out = paths.local(_OUT.value, '--out') if _OUT.value else ''
    if out and (len(workdirs) < 2 or _FORMAT.value != 'html'):
      raise UserError(f'--out={out} is of a page of several runs: that of one is in its report/, and --format writes '
                      'to the terminal')
    if _WATCH.value:
      _watch(workdirs)
    if _FORMAT.value != 'html':
      print(runs.text(workdirs, _FORMAT.value), end='')
      return
    path, warnings = report.compare(workdirs, out) if len(workdirs) > 1 else report.write_checked(workdirs[0])
  except UserError as error:
    _fail(str(error))
  except KeyboardInterrupt:
    sys.exit(130)
  except OSError as error:
    _fail(f'the report cannot be written: {error.strerror}: {error.filename}')
  print(path)
  if warnings:
    _fail('; '.join(warnings))


def _workdirs(given: list[str]) -> list[str]:
  """Each directory that is named, or that a pattern matches and that holds a run."""
  found = []
  for each in given:
    each = paths.local(each, '--workdir')
    if os.path.isdir(each):
      found.append(each)
    elif not (matched := [d for d in sorted(glob.glob(each)) if report.load.is_run(pathlib.Path(d))]):
      _fail(f'no such directory: {each}')
    else:
      found += matched
  return found


def _watch(workdirs: list[str]) -> None:
  """Writes the page whenever there is something new, until no process holds the work dir."""
  if len(workdirs) > 1:
    raise UserError(f'--watch is of one work dir, not of {len(workdirs)}')
  path, written, running = pathlib.Path(workdirs[0]), -1.0, True
  if not state.is_held(path):
    print(f'no process of this host holds {path}: the report is written once, --watch has nothing to wait for',
          file=sys.stderr)
    return
  while running:
    running, changed = state.is_held(path), state.last_change(path)
    if changed > written and running:
      page, _ = report.write_checked(path, reload=_WATCH.value)
      if written < 0:
        print(f'{page}: written again as the run goes on; Ctrl-C ends that', flush=True)
      written = changed
    if running:
      time.sleep(_WATCH.value)


def _fail(message: str) -> None:
  print(f'r1jax: {message}', file=sys.stderr)
  sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
  if any(arg in ('--help', '-h') for arg in argv[1:]):
    print(__doc__.strip() + '\n')
    for flag in (_WORKDIR, _WATCH, _FORMAT, _OUT):
      print(f'  --{flag.name:10} {flags.FLAGS[flag.name].help}')
    sys.exit(0)
  try:
    return flags.FLAGS([f'--watch={EVERY}' if each in ('--watch', '-watch') else each for each in argv])
  except flags.Error as error:
    _fail(str(error))


if __name__ == '__main__':
  app.run(main, flags_parser=_parse)
