"""The disk that a run writes to: whether it is still the one that it began on, and what its errors mean.

A mount that goes away leaves an empty folder under its name, and a removed folder is made again by whoever creates
parents: a run that does not look goes on there, without what it had. So a run watches its directories (`watched`), and
whatever writes into them asks first (`check`, `make`). Reading has the opposite fault: a file that cannot be read at
the moment is not one that is torn or not there, and os.path.exists() says False of both.
"""

import contextlib
import errno
import logging
import os
import re
import time
from typing import Callable, Iterator

from r1jax.exceptions import UserError, first_line

log = logging.getLogger('r1jax')

FULL = (errno.ENOSPC, errno.EDQUOT)
# Of a disk, or the way to one, that is not as it was: NFS's stale handle, a FUSE daemon that has ended (GCSFuse).
AWAY = (errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOLINK,
        errno.ESHUTDOWN)
# Sockets know these as well: a disk's only where they come with a file's name.
_AWAY_OF_FILES = (errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH)
# Of a read, what says something of the file itself. All others are of the moment, or of who reads.
_OF_THE_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG)
_LASTING = (errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE)  # of the moment, but not of seconds
PAUSES = (1.0, 4.0)  # seconds before a read that failed for the moment is tried again


class Gone(UserError, OSError):
  """A directory of the run is not there any more, or not the one that it was. An OSError too: what lives with a disk
  that cannot be written lives with this."""


# --- the directories of a run


class Place:
  """A directory as it was when this was made."""

  def __init__(self, path: str):
    self.path, self.taken = os.path.abspath(path), ''  # taken: who else has it now, if anybody
    # Held open, so that its number is given to no other: some file systems give it again at once.
    self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stat = os.fstat(self._fd)
    self._noted = stat.st_dev, stat.st_ino

  def why(self) -> str:
    """What is wrong with it; '' for nothing."""
    if self.taken:
      return self.taken
    try:
      now = patiently(os.stat, self.path)
      if (now.st_dev, now.st_ino) == self._noted or os.path.samestat(now, os.fstat(self._fd)):
        return ''
    except (FileNotFoundError, NotADirectoryError):
      return (f'{self.path} is gone: removed, or its disk is not mounted any more. Nothing more is written there: '
              'mount it again or put it back, then the same command goes on from its last whole checkpoint')
    except OSError as e:
      if e.errno != errno.ESTALE or not exists(self.path):
        return line(e.errno, self.path)
    return (f'{self.path} is another directory than when this began (unmounted, mounted anew, or removed and made '
            'again). Nothing more is written there: see that it is the one with the checkpoints, then the same command '
            'goes on')

  def check(self) -> None:
    """Raises Gone where it is not what it was, or a watched directory that it lies in."""
    if why := _why(self.path) or self.why():
      raise Gone(why)

  def holds(self, path: str) -> bool:
    return path == self.path or path.startswith(self.path.rstrip(os.sep) + os.sep)

  def close(self) -> None:
    if self._fd is not None:
      os.close(self._fd)
      self._fd = None


_places: list[Place] = []  # that are watched, outer ones first


def place(directory: str) -> Place:
  """A directory to look at again: `check()` raises Gone where it is not what it is now. For who closes it."""
  return Place(directory)


@contextlib.contextmanager
def watched(directory: str) -> Iterator[Place]:
  """While it lasts, nothing is written below `directory` by replace_file, make and others that `check` unless it is the
  one that it is now. What fails inside for want of it is one line.

  Raises:
    Gone: from within.
  """
  there = Place(directory)
  _places.append(there)
  try:
    yield there
  except (OSError, ValueError, UserError) as e:
    if not isinstance(e, Gone) and (why := _why(there.path)):
      raise Gone(why) from e
    raise
  finally:
    _places.remove(there)
    there.close()


def _why(path: str) -> str:
  path = os.path.abspath(path)
  return next((why for each in list(_places) if each.holds(path) and (why := each.why())), '')


def check(path) -> None:
  """Raises Gone where a watched directory that `path` lies in is not what it was; call it before writing there."""
  if why := _why(path):
    raise Gone(why)


def make(directory) -> None:
  """os.makedirs, but that no watched directory is made again.

  Raises:
    Gone: one that this lies in is not what it was.
  """
  check(directory)
  directory = os.path.abspath(directory)
  if exists(directory):
    return
  above = max((each.path for each in list(_places) if each.holds(directory)), key=len, default='')
  if not above:
    os.makedirs(directory, exist_ok=True)
    return
  for name in os.path.relpath(directory, above).split(os.sep):
    above = os.path.join(above, name)
    with contextlib.suppress(FileExistsError):
      os.mkdir(above)  # without what it lies in it fails: that has gone since


# --- what is there


def stat(path: str) -> os.stat_result | None:
  """None where nothing is there; an OSError where that cannot be told."""
  try:
    return patiently(os.stat, path)
  except (FileNotFoundError, NotADirectoryError):
    return None


def exists(path: str) -> bool:
  """os.path.exists, but that a disk which does not answer is an OSError and not False."""
  return stat(path) is not None


def names(directory: str, ending: str = '') -> list[str]:
  """Of what is in it, in order; [] where it is not there, where glob would also say so of one that cannot be read."""
  try:
    return sorted(name for name in patiently(os.listdir, directory) if name.endswith(ending))
  except (FileNotFoundError, NotADirectoryError):
    return []


def files(directory: str) -> list[str]:
  """Every file in it and in what it holds, in order; os.walk leaves out what it cannot read."""
  def fail(e):
    if not isinstance(e, (FileNotFoundError, NotADirectoryError)):
      raise e

  return [os.path.join(base, name) for base, _, inside in sorted(os.walk(directory, onerror=fail))
          for name in sorted(inside)]


# --- errors


def number_in(e: BaseException) -> int | None:
  """The system's number (errno) in an error; TensorStore has it in a ValueError's text."""
  if isinstance(number := getattr(e, 'errno', None), int):
    return number
  found = re.search(r"os_error_code='(\d+)'", str(e))
  return int(found[1]) if found else None


def number_of(e: BaseException | None) -> int | None:
  """The same of an error or of what it was raised from."""
  while e is not None:
    if (number := number_in(e)) is not None:
      return number
    e = e.__cause__ or (None if e.__suppress_context__ else e.__context__)
  return None


def of_the_moment(e: BaseException) -> bool:
  """Whether what was read may be as good as it was: the disk was away, or the reader may not, or has no room."""
  return isinstance(e, Gone) or number_of(e) not in (None, *_OF_THE_FILE)


def reason(e: BaseException | None) -> str:
  """In words; None: of an error that another process met."""
  number = number_of(e)
  return 'as another process says' if e is None else os.strerror(number) if number else first_line(e)


def patiently(read: Callable, *args):
  """read(*args), twice tried again after some seconds where the disk does not answer for the moment."""
  for pause in PAUSES:
    try:
      return read(*args)
    except Exception as e:  # pylint: disable=broad-except  raised again, but for the system's own
      if isinstance(e, Gone) or not of_the_moment(e) or number_of(e) in (*_LASTING, *FULL, errno.EROFS):
        raise
      log.warning('%s: tried again in %g s', first_line(e), pause)
    time.sleep(pause)
  return read(*args)


def line(number: int | None, name: str = '', place_: str = '') -> str | None:
  """One line with the way out for the system's number in an error; None where a disk has nothing to do with it.

  Args:
    name: of the file, where it is known. place_: what is written to.
  """
  said = name or place_ or 'the disk that is written to'
  if number in FULL:
    return f'{os.strerror(number)}: free some in {said}, then the same command goes on'
  if number in AWAY or name and number in _AWAY_OF_FILES:
    return (f'{os.strerror(number)}: {name or place_ or "a disk"}: its disk, or the way to it, is not as it was; mount '
            'it again or mend it, then the same command goes on')
  if number == errno.EROFS:
    return f'{os.strerror(number)}: {said}: mount it for writing, then the same command goes on'
  return None
