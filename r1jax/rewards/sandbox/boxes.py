"""A box: one supervisor (inside.py) with a program below it, confined as strongly as this machine allows.

  strong     bubblewrap: every namespace of its own, no network, nothing to see but /usr read-only, a sized tmpfs, no
             capabilities, the filter of seccomp.py; as root each box runs under a uid of its own
  confined   where no namespace can be had (most containers): Landlock, the same filter, a uid of its own (needs root)
  none       nothing but resource limits; only by a long flag of main and an environment variable together
"""

import base64
import contextlib
import functools
import glob
import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time

from r1jax.exceptions import UserError
from r1jax.rewards.sandbox import places
from r1jax.rewards.sandbox import seccomp
from r1jax.rewards.sandbox.places import BoxFailed

LEVELS = ('strong', 'confined', 'none')
FLAG, VARIABLE = 'run_model_code_without_isolation', 'R1JAX_RUN_MODEL_CODE_WITHOUT_ISOLATION'
FLAG_SET = 'R1JAX_FLAG_RUN_MODEL_CODE_WITHOUT_ISOLATION'  # how main tells its worker processes of the flag
PATH = '/usr/local/bin:/usr/bin:/bin'
# Node gives up where OpenSSL's configuration is there and may not be read, as without a mount namespace.
_ENVIRONMENT = {'PATH': PATH, 'HOME': '/tmp', 'LANG': 'C.UTF-8', 'PYTHONHASHSEED': '0', 'OPENSSL_CONF': '/dev/null'}
_HERE = os.path.dirname(__file__)
_INSIDE = [os.path.join(_HERE, name) for name in ('values.py', 'solution.py', 'usage.py', 'inside.py')]
_LANDLOCK = os.path.join(_HERE, 'landlock.py')
_DESCRIPTORS = (('', 'fd'), ('/0', 'stdin'), ('/1', 'stdout'), ('/2', 'stderr'))
_DEVICES = ('/dev/null', '/dev/random', '/dev/urandom')


class Box:
  """One running box. Use as a context manager; after BoxFailed or TimeoutError it must be closed."""

  def __init__(self, level: str, *, disk_bytes: int, readable: dict[str, str] | None = None, etc: tuple[str, ...] = (),
               managed: bool = False):
    """readable: path on this machine -> path in the box, read-only; etc: what else of /etc, where it exists;
    managed: seccomp.py."""
    self._stack = contextlib.ExitStack()
    try:
      present = {path: path for path in etc if os.path.exists(path)}
      self._start(level, managed, disk_bytes, {**(readable or {}), **present})
    except BaseException:
      self._stack.close()
      raise

  def _start(self, level, managed, disk_bytes, readable):
    slot = self._stack.enter_context(places.slot())
    self._real = {}  # without a mount namespace: path in the box -> where it really is
    own_uid = os.getuid() == 0
    uid = places.FIRST_UID + slot
    as_user = ['/usr/bin/setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups'] if own_uid else []
    settings = {'level': level, 'own_uid': own_uid, 'environment': _ENVIRONMENT}
    fds = []
    if level == 'strong':
      settings |= {'home': '/tmp', 'writable': ['/tmp']}
      filter_ = self._stack.enter_context(open(_filter(managed), 'rb'))
      fds = [filter_.fileno()]
      walls = _bubblewrap(disk_bytes, {**readable, _inside(): '/inside.pyc'}, *fds)
      command = [*as_user, *walls, places.interpreter(), '-I', '-S', '/inside.pyc']
    else:
      home = tempfile.mkdtemp(prefix='r1jax-box-')
      # rm, as a program can leave directories too deep for Python's recursion.
      self._stack.callback(subprocess.run, ['/bin/rm', '-rf', '--', home], check=False, stderr=subprocess.DEVNULL)
      if own_uid:
        os.chown(home, uid, uid)
      self._real = {'/tmp': home, **{inside: outside for outside, inside in readable.items() if inside != outside}}
      seen = ('/usr', '/bin', '/lib', '/lib64', '/etc/ld.so.cache', places.prefix(), *readable)
      settings |= {
          'home': home, 'writable': [home], 'devices': list(_DEVICES),
          'readable': [p for p in seen if p and os.path.exists(p)],
          'environment': {**_ENVIRONMENT, 'HOME': home, 'TMPDIR': home},
          'landlock': _landlock(),
          'seccomp': base64.b64encode(seccomp.program(confined=True, managed=managed)).decode()
                     if level == 'confined' else ''}
      command = [*as_user, places.interpreter(), '-I', '-S', _inside()]
      self._stack.callback(self._sweep, uid if own_uid else None)
    self.process = subprocess.Popen(
        [*command, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        bufsize=0, pass_fds=fds, env={'PATH': PATH}, cwd='/', start_new_session=True)
    self._stack.callback(self._kill)

  def paths(self, command: tuple[str, ...]) -> list[str]:
    """A command with the box's paths in it, as they are at this level."""
    if not self._real:
      return list(command)
    inside = re.compile('(' + '|'.join(map(re.escape, self._real)) + ')(?=/|$)')
    return [inside.sub(lambda match: self._real[match[1]], word, count=1) for word in command]  # once: /prog/prog

  def ask(self, job: dict, seconds: float, **given: bytes) -> dict:
    """The supervisor's reply, with the bytes of 'stdout', 'stderr' and 'result'. `given`: stdin, source, call.

    Raises:
      TimeoutError: none after `seconds`; BoxFailed: the supervisor is gone. The box must be closed after either.
    """
    given = {'stdin': b'', **given}
    head = json.dumps({**job, 'given': {name: len(data) for name, data in given.items()}}).encode()
    request = memoryview(b''.join((len(head).to_bytes(4, 'little'), head, *given.values())))
    exchange = self._exchange(request, time.monotonic() + seconds)
    try:
      head = json.loads(exchange(int.from_bytes(exchange(4), 'little')))
      return head | dict(zip(('stdout', 'stderr', 'result'), map(exchange, head['parts'])))
    except (ValueError, KeyError, TypeError) as e:
      raise BoxFailed(f'no reply: {type(e).__name__} {e}') from e

  def _exchange(self, request: memoryview, end: float):
    """Returns read(n) -> n bytes; writes the request meanwhile, as the pipes allow."""
    into, out, buffer = self.process.stdin.fileno(), self.process.stdout.fileno(), bytearray()
    os.set_blocking(into, False)
    poll = select.poll()
    poll.register(out, select.POLLIN)
    poll.register(into, select.POLLOUT)

    def read(n: int) -> bytes:
      nonlocal request
      while len(buffer) < n:
        left = end - time.monotonic()
        if left <= 0:
          raise TimeoutError
        for fd, _ in poll.poll(left * 1000):
          if fd == out:
            got = os.read(out, 1 << 20)
            if not got:
              raise BoxFailed(self._last_words())
            buffer.extend(got)
          elif request:
            try:
              request = request[os.write(into, request):]
            except BrokenPipeError:
              request = request[:0]
            if not request:
              poll.unregister(into)
      data = bytes(buffer[:n])
      del buffer[:n]
      return data

    return read

  def _last_words(self) -> str:
    os.set_blocking(self.process.stderr.fileno(), False)
    said = self.process.stderr.read() or b''
    return ' '.join(said.decode(errors='replace').split())[-300:] or 'the box is gone and said nothing'

  def _kill(self):
    self.process.kill()  # of the strong level's, the kernel kills all with it: --die-with-parent and a PID namespace
    self.process.wait()
    for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
      pipe.close()

  def _sweep(self, uid):
    """Whatever a confined program left running under its uid."""
    if uid is not None:
      subprocess.run(['/usr/bin/setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups',
                      '/bin/kill', '-KILL', '--', '-1'], check=False, capture_output=True)

  def close(self):
    self._stack.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


@functools.lru_cache(maxsize=None)
def _inside() -> str:
  """What runs in a box, one file, compiled for the interpreter that will run it: 8 ms less a box."""
  source = '\n'.join(open(path, encoding='utf-8').read() for path in _INSIDE)
  digest = hashlib.sha256((source + places.interpreter()).encode()).hexdigest()[:16]
  path = os.path.join(places.cache_directory(), f'inside-{digest}.pyc')
  with places.locked('inside'):  # threads of one process too
    if not os.path.exists(path):
      with open(f'{path}.py', 'w', encoding='utf-8') as f:
        f.write(source)
      compile_ = 'import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], doraise=True)'
      subprocess.run([places.interpreter(), '-I', '-S', '-c', compile_, f'{path}.py', f'{path}.new'], check=True)
      os.chmod(f'{path}.new', 0o644)
      os.rename(f'{path}.new', path)
  return path


@functools.lru_cache(maxsize=None)
def _filter(managed: bool) -> str:
  """The filter of system calls as a file."""
  return places.kept('seccomp', seccomp.program(managed=managed))


@functools.lru_cache(maxsize=None)
def _landlock() -> str:
  """landlock.py where every uid may read it."""
  with open(_LANDLOCK, 'rb') as f:
    return places.kept('landlock', f.read())


@functools.lru_cache(maxsize=None)
def _packages() -> list[str]:
  """Directories of installed packages that a box would see."""
  roots = ['/usr/lib', '/usr/local/lib', *([os.path.join(places.prefix(), 'lib')] if places.prefix() else [])]
  found = [path for root in roots for kind in ('dist-packages', 'site-packages')
           for path in glob.glob(f'{root}/python3*/{kind}')]
  return [path for path in found if os.path.isdir(path) and not os.path.islink(path) and os.listdir(path)]


def _bubblewrap(disk_bytes: int, readable: dict[str, str], seccomp_fd: int) -> list[str]:
  args = [shutil.which('bwrap'), '--unshare-all', '--unshare-user', '--disable-userns', '--new-session',
          '--die-with-parent', '--as-pid-1', '--cap-drop', 'ALL', '--hostname', 'box', '--clearenv',
          '--ro-bind', '/usr', '/usr']
  for name in ('bin', 'sbin', 'lib', 'lib64', 'lib32'):
    if os.path.islink(f'/{name}'):
      args += ['--symlink', os.readlink(f'/{name}'), f'/{name}']
    elif os.path.exists(f'/{name}'):
      args += ['--ro-bind', f'/{name}', f'/{name}']
  if places.prefix():
    args += ['--ro-bind', places.prefix(), places.prefix()]
  for path in _packages():  # data sets with their answers may be installed beside the interpreter
    args += ['--tmpfs', path]
  for path in ('/dev/null', '/dev/urandom'):  # a shared mapping of /dev/zero is memory that belongs to nobody
    args += ['--dev-bind', path, path]
  links = (('urandom', 'random'), ('/tmp', 'shm'), *((f'/proc/self/fd{n}', word) for n, word in _DESCRIPTORS))
  for target, name in links:
    args += ['--symlink', target, f'/dev/{name}']
  args += ['--proc', '/proc', '--size', str(disk_bytes), '--perms', '1777', '--tmpfs', '/tmp']
  for outside, inside in readable.items():
    args += ['--ro-bind', outside, inside]
  return [*args, '--remount-ro', '/', '--chdir', '/tmp', '--seccomp', str(seccomp_fd), '--']


@functools.lru_cache(maxsize=None)
def level() -> str:
  """The strongest level that works here; found by trying.

  Raises:
    UserError: none does, and the override is not given in both places.
  """
  reasons = []
  for candidate in LEVELS[:2]:
    why = _why_not(candidate)
    if why is None:
      return candidate
    reasons.append(f'{candidate}: {why}')
  if os.environ.get(FLAG_SET) == '1' and os.environ.get(VARIABLE) == '1':
    return 'none'
  raise UserError('programs that a model wrote cannot be run safely here (' + '; '.join(reasons) + '). Install '
                  f'bubblewrap and pyseccomp, or accept the danger with --{FLAG} and {VARIABLE}=1')


def _why_not(candidate: str) -> str | None:
  try:
    import pyseccomp  # noqa: F401  both levels filter system calls
  except (ImportError, OSError, RuntimeError) as e:
    return f"no seccomp ({e}): pip install 'r1jax[sandbox]'"
  if candidate == 'strong' and not shutil.which('bwrap'):
    return 'no bubblewrap'
  if candidate == 'confined' and os.getuid() != 0:
    return 'needs root, for a uid of its own'
  try:
    with Box(candidate, disk_bytes=1 << 20) as box:
      limits = dict(seconds=5, wall_seconds=10, memory_bytes=1 << 28, output_bytes=1000, disk_bytes=1 << 20,
                    processes=8, address_space=True)
      reply = box.ask({'limits': limits}, 20, source=b'print(1)', call=b'null')
      return None if reply['stdout'] == b'1\n' else (f'a program that prints 1 printed {reply["stdout"]!r} '
                                                     f'({reply["stderr"][-200:]!r})')
  except (BoxFailed, TimeoutError, OSError) as e:
    return f'{e}' or type(e).__name__
