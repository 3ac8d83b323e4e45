"""What the boxes of one machine share: a cache that other uids may read, an interpreter they may run, numbered slots.

As root a box runs under the uid of its slot, so two boxes never have the same one, and what one left behind is known.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import signal
import stat
import sys
import tempfile
import time

from r1jax.exceptions import UserError

FIRST_UID, SLOTS = 63000, 512


class BoxFailed(Exception):
  """The box did not do its part; nothing is known about the program."""


def open_directory(path: str) -> None:
  """Makes a directory that others may read, whatever the umask."""
  if not os.path.isdir(path):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)


@contextlib.contextmanager
def locked(name: str):
  """One process of this user at a time."""
  with open(os.path.join(cache_directory(), f'{name}.lock'), 'wb') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def cache_directory() -> str:
  """Where compiled programs are kept; others may read it, as boxes run under other uids."""
  path = os.environ.get('R1JAX_SANDBOX_CACHE') or os.path.join(tempfile.gettempdir(), f'r1jax-sandbox-{os.getuid()}')
  open_directory(path)
  owner = os.lstat(path)
  if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != os.getuid() or owner.st_mode & 0o022:
    raise UserError(f'{path} is a link, belongs to another user or is writable by others: remove it, or set '
                    'R1JAX_SANDBOX_CACHE')
  return path


@functools.lru_cache(maxsize=None)
def interpreter() -> str:
  """A Python that another uid may run: this one, or else the system's.

  Raises:
    UserError: there is none.
  """
  own = os.path.realpath(sys.executable)
  for candidate in (own, '/usr/bin/python3'):
    if os.path.exists(candidate) and (os.getuid() != 0 or _others_may_enter(candidate)):
      return os.path.realpath(candidate)
  raise UserError(f'other users cannot run {own}, and there is no /usr/bin/python3: install python3 to judge programs')


def _others_may_enter(path: str) -> bool:
  if not os.stat(path).st_mode & 0o005 == 0o005:
    return False
  while (path := os.path.dirname(path)) != '/':
    if not os.stat(path).st_mode & 0o001:
      return False
  return True


def prefix() -> str | None:
  """The installation that the interpreter needs, where it is not below /usr."""
  directory = os.path.dirname(os.path.dirname(interpreter()))
  return None if directory.startswith('/usr') else directory


@contextlib.contextmanager
def slot():
  """A number that no other box on this machine has while it is held."""
  directory = slots_directory()
  for _ in range(600):
    for number in range(SLOTS):
      fd = os.open(os.path.join(directory, str(number)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
      try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        os.close(fd)
        continue
      try:
        yield number
      finally:
        os.close(fd)
      return
    time.sleep(0.1)
  raise BoxFailed(f'all {SLOTS} boxes of this machine were in use for a minute')


def slots_directory() -> str:
  """One for all runs of this user, wherever their caches lie: uids belong to slots."""
  path = f'/tmp/r1jax-slots-{os.getuid()}'
  os.makedirs(path, mode=0o700, exist_ok=True)
  if os.lstat(path).st_uid != os.getuid() or not stat.S_ISDIR(os.lstat(path).st_mode):
    raise UserError(f'{path} is not a directory of this user: remove it')
  return path


def left_behind() -> list[int]:
  """Processes under the uid of a slot that nobody holds (as root; others have no uids of their own)."""
  found = []
  for name in os.listdir('/proc') if os.getuid() == 0 else ():
    with contextlib.suppress(OSError):
      slot = os.stat(f'/proc/{name}').st_uid - FIRST_UID if name.isdigit() else -1
      if 0 <= slot < SLOTS:
        with open(f'/proc/{name}/stat', 'rb') as stat_, open(os.path.join(slots_directory(), str(slot)), 'rb') as lock:
          fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
          if stat_.read().rpartition(b')')[2].split()[0] != b'Z':
            found.append(int(name))
  return found


def sweep() -> None:
  """Kills what a box left that was killed in the milliseconds before its processes were tied to each other."""
  for pid in left_behind():
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, signal.SIGKILL)


def kept(name: str, data: bytes) -> str:
  """A file of the cache with these bytes, whole whenever a box reads it: others start at the same time."""
  path = os.path.join(cache_directory(), f'{name}-{hashlib.sha256(data).hexdigest()[:16]}')
  with locked(name):
    if not os.path.exists(path):
      with open(f'{path}.new', 'wb') as f:
        f.write(data)
      os.rename(f'{path}.new', path)
  return path
