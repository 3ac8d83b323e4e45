"""A work dir: held by one start at a time, by one experiment; what is made again goes to set_aside/, never away."""

import contextlib
import itertools
import logging
import os

from r1jax import disk
from r1jax import lock
from r1jax import paths
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')


def read(path: str, missing):
  """A JSON file of the run's own; `missing` where there is none.

  Raises:
    UserError: it is torn (written by rename, so somebody has changed it).
  """
  try:
    return json_files.read(path, missing)
  except UserError as e:
    raise UserError(f'{str(e).partition(":")[0]}: remove it; what it says of stages is then found out again') from e


@contextlib.contextmanager
def made(workdir: str):
  """The directory is there; one that was made here goes again where nothing came into it, as of a refused start.

  Raises:
    UserError: nothing can be written, or it is somebody's repository.
  """
  before = os.path.isdir(workdir)
  _check_not_sources(workdir)
  _make(workdir)
  try:
    yield
  finally:
    if not before:
      with contextlib.suppress(OSError):  # it is not empty: it stays
        os.rmdir(workdir)


# The root of a repository has one of these, a work dir of ours one of those.
_REPOSITORY, _RUN = ('.git', '.hg', '.svn'), ('pipeline.json', 'environment.json')


def _check_not_sources(workdir: str) -> None:
  there = lambda names: next((name for name in names if os.path.lexists(os.path.join(workdir, name))), '')
  if there(_RUN):
    return
  if found := there(_REPOSITORY):
    raise UserError(f'--workdir={workdir} is the root of a repository ({found} is there), and stages would be written '
                    f'among its files: take a folder of its own, as --workdir={os.path.join(workdir, "runs", "NAME")}')
  paths.check_not_a_model(workdir, '--workdir')


def _make(workdir: str) -> None:
  try:
    os.makedirs(workdir, exist_ok=True)
    probe = os.path.join(workdir, f'.writable.{os.getpid()}')
    with open(probe, 'w', encoding='utf-8'):
      pass
    os.remove(probe)
  except OSError as e:
    raise UserError(f'cannot write to --workdir={workdir}: {e.strerror}') from e


@contextlib.contextmanager
def held(workdir: str):
  """For as long as a run goes on: a second start on the same work dir is an error, on every host of it (lock.py), and
  so is a work dir that goes away or becomes another one (disk.py).

  Raises:
    UserError: another process holds it.
  """
  with disk.watched(workdir) as place:
    mine, said = None, ''
    if mesh_lib.first_process():
      try:
        mine = lock.Lock(os.path.join(workdir, 'lock'), place)
      except (UserError, OSError) as e:
        said = str(e) if isinstance(e, UserError) else disk.line(e.errno, e.filename or workdir) or (
            f'{workdir} cannot be held ({e.strerror or e}): mend that, or take another --workdir')
    if mesh_lib.any_process(bool(said)):
      raise UserError(said or f'{workdir} is in use by another process')
    try:
      yield
    finally:
      if mine is not None:
        mine.release()


def check(workdir: str, config: dict) -> str | None:
  """The name of another experiment that has begun there and may go; None where there is none. Nothing is written.

  Raises:
    UserError: it holds finished stages of another experiment, or is somebody's repository.
  """
  _check_not_sources(workdir)
  theirs = read(os.path.join(workdir, 'config.json'), None)
  if theirs is None or theirs.get('name') == config.get('name'):
    return None
  if finished := [entry['name'] for entry in read(os.path.join(workdir, 'pipeline.json'), {'stages': []})['stages']]:
    raise UserError(f"{workdir} holds a run with name={theirs.get('name')!r}, now {config.get('name')!r}, and its "
                    f'stages {", ".join(finished)} are finished: take another --workdir')
  return str(theirs.get('name'))


def claim(workdir: str, config: dict) -> None:
  """Writes config.json; another experiment may have the work dir while none of that one's stages is finished.

  Raises:
    UserError: as check.
  """
  theirs = check(workdir, config)
  mesh_lib.barrier('each has looked before the first one writes')
  if theirs is not None:
    log.warning('%s was begun by %r, which has finished no stage: what it left is moved to set_aside/', workdir,
                theirs)
    if mesh_lib.first_process():
      for name in sorted(os.listdir(workdir)):
        if name.partition('_')[0].isdigit():
          move_aside(workdir, os.path.join(workdir, name))
    mesh_lib.barrier('what another experiment began is set aside')
  json_files.write(os.path.join(workdir, 'config.json'), config)


def move_aside(workdir: str, directory: str) -> None:
  """A stage's directory -> set_aside/NAME.1, .2 and so on; nothing where there is none."""
  disk.check(directory)
  for times in itertools.count(1):
    aside = os.path.join(workdir, 'set_aside', f'{os.path.basename(directory)}.{times}')
    if not disk.exists(aside):
      break
  if disk.exists(directory):
    disk.make(os.path.dirname(aside))
    os.replace(directory, aside)


# Maps whose keys are a person's; of all others they are the program's, and one that is missing is older than the key.
# Keys that came later -> what was done before they were there.
_SINCE = {'dynamic_by': 'reward', 'form': 'head', 'beta': 0.0}
_MAPS = ('rewards', 'templates', 'prefill', 'params', 'columns', 'ask', 'mixture')


def differences(before, now, prefix: str = ''):
  """(key, value before, value now) of two configs as dicts, but of keys that one of another version has not got; of
  those in _SINCE where they are not as that version did."""
  own = prefix.rstrip('.').rpartition('.')[2] in _MAPS
  for key in sorted(set(before) | set(now)):
    if not own and not (key in before and key in now):
      if key in now and now[key] != _SINCE.get(key, now[key]):
        yield f'{prefix}{key}', _SINCE[key], now[key]
      continue
    x, y = before.get(key), now.get(key)
    if isinstance(x, dict) and isinstance(y, dict):
      yield from differences(x, y, f'{prefix}{key}.')
    elif x != y and (x or y):  # a weight of 0 is none
      yield f'{prefix}{key}', x, y
