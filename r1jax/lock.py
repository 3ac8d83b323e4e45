"""Who holds a work dir: one process, whatever disk it lies on.

The file system's own lock (flock) ends with its process, however that ends, but some know none (Lustre without `-o
flock`), and some keep it to one machine (`localflock`, NFS with local_lock, GCSFuse) and give it to each. So the holder
also touches the file every BEAT seconds, and of another machine such signs count: one whose last is younger than
SILENCE is waited for, and holds it if another one comes.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time

from r1jax import disk
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

BEAT = 5.0  # seconds between two signs of life
SILENCE = 30.0  # without one, after which a holder on another machine counts as gone
SETTLE = 1.0  # without locks two may begin at once: after so long each looks whether its name stayed
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EPERM)


class Lock:
  """A lock file that this process holds, until `release`."""

  def __init__(self, path: str, taken: disk.Place):
    """taken: the directory, which is marked where somebody else is found to have it.

    Raises:
      UserError: another process holds it.
      OSError: that cannot be told.
    """
    self._path, self._taken, self._over = path, taken, threading.Event()
    self._me = {'host': socket.gethostname(), 'pid': os.getpid(), 'since': time.strftime('%Y-%m-%d %H:%M:%S'),
                **_machine()}
    self._file = self._take()
    threading.Thread(target=self._live, name='lock', daemon=True).start()

  def _take(self):
    while True:
      file = open(self._path, 'a+', encoding='utf-8')
      try:
        locks = self._flock(file)
        holder = _holder(self._path)
        if holder and not self._is_over(holder, locks):
          _wait_for(self._path, holder)
        with contextlib.suppress(FileNotFoundError):
          if os.path.samestat(os.stat(self._path), os.fstat(file.fileno())):
            self._write(file, settle=not locks)
            return file
      except BaseException:
        file.close()
        raise
      file.close()  # its holder has removed it between two calls

  def _flock(self, file) -> bool:
    """Whether the file system has locks; then this process has this one."""
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      return True
    except BlockingIOError:
      raise UserError(_in_use(self._path, _holder(self._path))) from None
    except OSError as e:
      if e.errno not in _NO_LOCKS:
        raise
      log.info('%s: this disk has no locks (%s): a sign of life every %g s stands for one', self._path,
               os.strerror(e.errno), BEAT)
      return False

  def _is_over(self, holder: dict, locks: bool) -> bool:
    """Whether a holder that is noted is known to have ended. Of this machine the lock says it, else its process.

    Raises:
      UserError: it is known to live.
    """
    if 'boot' not in holder:  # of an older version
      here = seen = holder.get('host') == self._me['host']
    else:
      here = holder['boot'] == self._me['boot']
      seen = here and holder.get('pids') == self._me['pids']  # containers number their processes anew
    if here and locks:
      return True
    if seen and _alive(holder.get('pid')):
      raise UserError(_in_use(self._path, holder))
    return seen

  def _write(self, file, settle: bool) -> None:
    file.truncate(0)
    json.dump(self._me, file)
    file.flush()
    if settle:
      time.sleep(SETTLE)
      if (holder := _holder(self._path)) != self._me:
        raise UserError(_in_use(self._path, holder))

  def _live(self) -> None:
    """Signs of life; and a look at whether somebody took this one's silence for its end."""
    while not self._over.wait(BEAT):
      try:
        holder = _holder(self._path)
        if holder and holder != self._me:
          self._taken.taken = _in_use(self._path, holder) + '; nothing more is written by this one'
          return
        os.utime(self._path)
      except OSError:  # the run's own writes say so
        pass

  def release(self) -> None:
    self._over.set()
    with contextlib.suppress(OSError):
      if _holder(self._path) == self._me:
        os.remove(self._path)
    self._file.close()


def _machine() -> dict:
  """{boot: of the machine, a start of it; pids: the namespace that numbers its processes}; {} where they have none."""
  try:
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as f:
      return {'boot': f.read().strip(), 'pids': os.readlink('/proc/self/ns/pid')}
  except OSError:
    return {'boot': socket.gethostname(), 'pids': ''}


def _holder(path: str) -> dict:
  try:
    with open(path, encoding='utf-8') as f:  # opened anew: NFS then asks its server
      found = json.load(f)
      return found if isinstance(found, dict) else {}
  except (FileNotFoundError, ValueError):
    return {}


def _in_use(path: str, holder: dict) -> str:
  who = (f'process {holder.get("pid")} on {holder.get("host")}, since {holder.get("since")}' if holder
         else 'another process')
  return (f'{os.path.dirname(path)} is in use by {who}: wait for it, stop it, or take another --workdir (where nothing '
          f'runs any more, remove {path})')


def _wait_for(path: str, holder: dict) -> None:
  """Returns when a holder on another machine has given no sign of life for SILENCE seconds.

  Raises:
    UserError: it has given one.
  """
  def sign():
    with contextlib.suppress(FileNotFoundError), open(path, 'rb') as f:
      return os.fstat(f.fileno()).st_mtime
    return None  # it has ended, and removed its lock

  last = sign()
  age = _now(os.path.dirname(path)) - last if last else SILENCE
  left = min(SILENCE - age, SILENCE)
  if left > 0:
    log.warning('%s was held by process %s on %s %.0f s ago: waiting %.0f s to see whether it lives', path,
                holder.get('pid'), holder.get('host'), max(age, 0), left)
  end = time.monotonic() + left
  while time.monotonic() < end:
    time.sleep(min(1.0, BEAT))
    if (now := sign()) is None:
      return
    if now != last or _holder(path) != holder:
      raise UserError(_in_use(path, _holder(path) or holder))
  log.warning('%s: process %s on %s, which held it, has given no sign of life for %.0f s: taken over', path,
              holder.get('pid'), holder.get('host'), max(age, SILENCE))


def _now(directory: str) -> float:
  """By the clock that the disk's times are of, a server's maybe."""
  probe = os.path.join(directory, f'.clock.{os.getpid()}')
  try:
    with open(probe, 'wb') as f:
      return os.fstat(f.fileno()).st_mtime
  finally:
    os.remove(probe)


def _alive(pid) -> bool:
  """Whether another process has that number: in a container that was started again it may be one's own."""
  if pid == os.getpid():
    return False
  try:
    os.kill(int(pid), 0)
  except (TypeError, ValueError, ProcessLookupError):
    return False
  except PermissionError:
    pass
  return True
