"""In the box: runs one program on one test at a time, and says what came of it. Standard library only.

At the strong level this is pid 1 of the box: signals from within do not reach it, whatever outlives a test is killed
with kill(-1) and reaped here. JSON and raw bytes in, JSON and raw bytes out. Expected outputs never come here, and a
test comes only when the one before it is done, so there is nothing to steal.
"""

# Each box is a fresh interpreter, so imports are most of what a box costs: C modules in place of their wrappers take
# 10 ms instead of 40.
from binascii import a2b_base64, b2a_base64
import _ctypes
import _signal as signal
import os
import resource
import select
import sys
import time

if __name__ != '__main__':  # in the box they stand in one file (boxes._inside)
  from r1jax.rewards.sandbox.solution import run_source
  from r1jax.rewards.sandbox.usage import FILES, cpu_seconds, disk_bytes, inodes_used, memory_bytes, processes_beside
  from r1jax.rewards.sandbox.values import dumps, loads

CHUNK = 1 << 16  # bytes read at once
TICK = 0.01  # seconds between two looks at memory
TAIL = 4000  # bytes of stderr that are kept
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_PRCTL = _ctypes.dlsym(_ctypes.dlopen(None, 0), 'prctl')


def prctl(option, value):
  if _ctypes.call_function(_PRCTL, (option, value, 0, 0, 0)):
    raise OSError(f'prctl({option})')


def main(settings):
  """Serves until the other end closes. The child's memory is a copy of ours, but it cannot look back into ours."""
  prctl(_PR_SET_DUMPABLE, 0)
  signal.signal(signal.SIGINT, signal.SIG_DFL)  # to pid 1, a signal from within comes only where it has a handler
  hard = resource.getrlimit(resource.RLIMIT_AS)[1]
  resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # whoever started the box may have had a limit of its own
  if settings['level'] != 'strong':
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
  while True:
    size = _receive(4)
    job = loads(_receive(int.from_bytes(size, 'little')).decode())
    given = {name: _receive(n) for name, n in job['given'].items()}
    reply, parts = run(job, given, settings)
    reply = dumps(reply).encode()
    _send(len(reply).to_bytes(4, 'little') + reply)
    for part in parts:
      _send(part)
      part[:] = bytes(len(part))


def _send(data):
  rest = memoryview(data)
  while rest:
    rest = rest[os.write(1, rest):]


def _receive(n):
  """n bytes of standard input, in memory that can be wiped; the end of input ends the box."""
  data = bytearray(n)
  view = memoryview(data)
  while view:
    got = os.readv(0, [view])
    if not got:
      sys.exit(0)
    view = view[got:]
  return data


class Kept:
  """What comes out of a pipe. The next test is a copy of this process: so it is read into places that are wiped."""

  def __init__(self, fd):
    self.fd, self.size, self._chunks = fd, 0, []

  def take(self):
    """Reads once; False at the end."""
    at = self.size % CHUNK
    if not at and self.size == CHUNK * len(self._chunks):
      self._chunks.append(bytearray(CHUNK))
    got = os.readv(self.fd, [memoryview(self._chunks[-1])[at:]])
    self.size += got
    return got > 0

  def drain(self, most):
    os.set_blocking(self.fd, False)
    try:
      while self.size <= most and self.take():
        pass
    except BlockingIOError:
      pass
    os.close(self.fd)

  def end(self, most):
    """A copy of the last `most` bytes, to be wiped too."""
    data = bytearray(self.size)
    for i, chunk in enumerate(self._chunks):
      data[i * CHUNK:] = memoryview(chunk)[:self.size - i * CHUNK]
    start = max(0, self.size - most)
    if start:
      data[:start], data = bytes(start), data[start:]
    return data

  def wipe(self):
    for chunk in self._chunks:
      chunk[:] = bytes(CHUNK)


def run(job, given, settings):
  """One test: fork, watch, kill what is left, clean up. Returns (what happened, [stdout, end of stderr, result])."""
  limits = job['limits']
  for name, content in job.get('files', {}).items():
    target = os.path.join(settings['home'], name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, 'wb') as f:
      f.write(a2b_base64(content['base64']) if isinstance(content, dict) else content.encode('utf-8', 'surrogatepass'))
    os.chmod(target, 0o755)
  path = os.path.join(settings['home'], '.stdin')
  stdin = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
  os.unlink(path)
  rest = memoryview(given['stdin'])
  while rest:
    rest = rest[os.write(stdin, rest):]
  os.lseek(stdin, 0, os.SEEK_SET)
  pipes = [os.pipe() for _ in range(3)]
  before = inodes_used(settings['home'])
  begin = time.monotonic()
  pid = os.fork()
  if pid == 0:
    _child(job, given, settings, stdin, [w for _, w in pipes])
  os.close(stdin)
  for _, write in pipes:
    os.close(write)
  kept = [Kept(r) for r, _ in pipes]
  status, seen = _watch(pid, kept, limits, settings, begin, before)
  wall = time.monotonic() - begin
  code, cpu = _end(pid, settings)
  for one in kept:
    one.drain(limits['output_bytes'])
  if status == 'ended':
    status = 'signal' if os.WIFSIGNALED(code) else 'exit'
    if sum(one.size for one in kept) > limits['output_bytes']:
      status = 'output'
  collecting = job.get('collect') and (code == 0 or job.get('always'))
  files = _collected(settings['home'], tuple(job['collect'])) if collecting else {}
  if status == 'exit' and settings['level'] == 'strong' and inodes_used(settings['home']) > FILES + before:
    status = 'disk'
  clean = _clean(settings['writable'])
  parts = [one.end(most) for one, most in zip(kept, (1 << 62, TAIL, 1 << 62))]
  for one in kept:
    one.wipe()
  for data in given.values():
    data[:] = bytes(len(data))
  reply = {'status': status, 'code': os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code),
           'cpu': max(cpu, seen), 'wall': wall, 'files': files, 'clean': clean, 'parts': [len(part) for part in parts]}
  return reply, parts


def _collected(home, ends):
  """{name below home: base64} of plain files whose names end so; links are nobody's."""
  files, stack = {}, [home]
  while stack and len(files) < FILES:
    with os.scandir(stack.pop()) as entries:
      for entry in entries:
        if entry.is_dir(follow_symlinks=False):
          stack.append(entry.path)
        elif entry.is_file(follow_symlinks=False) and entry.name.endswith(ends):
          with open(entry.path, 'rb') as f:
            files[os.path.relpath(entry.path, home)] = b2a_base64(f.read(), newline=False).decode()
  return files


def _watch(pid, kept, limits, settings, begin, inodes):
  """Reads what the child says until it ends or breaks a limit: (what ended it, seconds of CPU as seen from outside)."""
  poll, child = select.poll(), os.pidfd_open(pid)
  by_fd = {one.fd: one for one in kept}
  for fd in (*by_fd, child):
    poll.register(fd, select.POLLIN)
  status, look, seen = None, begin + TICK, {}
  while status is None:
    for fd, _ in poll.poll(TICK * 1000):
      if fd == child:
        status = 'ended'
      elif by_fd[fd].size > limits['output_bytes']:
        status = 'output'
      elif not by_fd[fd].take():
        poll.unregister(fd)
    now = time.monotonic()
    if sum(one.size for one in kept) > limits['output_bytes']:
      status = 'output'
    elif status is None and now - begin > limits['wall_seconds']:
      status = 'wall'
    elif status is None and now >= look:
      look = now + TICK
      pids = processes_beside()
      for other in pids:  # what nobody waits for is in nobody's account of CPU time
        seen[other] = max(cpu_seconds(other), seen.get(other, 0.0))
      if sum(seen.values()) > limits['seconds']:
        status = 'cpu'
      elif memory_bytes(pids) > limits['memory_bytes']:
        status = 'memory'
      elif (inodes_used(settings['home']) > FILES + inodes if settings['level'] == 'strong'
            else disk_bytes(settings['writable']) > limits['disk_bytes']):
        status = 'disk'
  os.close(child)
  return status, sum(seen.values())


def _kill_all(settings):
  if settings['own_uid'] or os.getpid() == 1:
    try:
      os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
      pass
  else:
    for pid in processes_beside():
      try:
        os.kill(pid, signal.SIGKILL)
      except ProcessLookupError:
        pass


def _end(pid, settings):
  """Kills what is left and reaps it: (the program's wait status, seconds of CPU)."""
  _kill_all(settings)
  _, code, usage = os.wait4(pid, 0)
  while True:
    try:
      found, _, more = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
      return code, usage.ru_utime + usage.ru_stime
    if not found:
      _kill_all(settings)
      time.sleep(0.001)


def _clean(roots):
  """Empties the places that may be written to; False when there is more in them than is worth it."""
  count = 0

  def empty(directory):
    nonlocal count
    os.chmod(directory, 0o700)
    with os.scandir(directory) as entries:
      for entry in entries:
        count += 1
        if count > FILES:
          return False
        if entry.is_dir(follow_symlinks=False):
          if not empty(entry.path):
            return False
          os.rmdir(entry.path)
        else:
          os.unlink(entry.path)
    return True

  try:
    for root in roots:
      if not empty(root):
        return False
      os.chmod(root, 0o1777)
      os.utime(root, (0, 0))
  except (OSError, RecursionError):
    return False
  return True


# --- the child ---


def _child(job, given, settings, stdin, writes):
  """Never returns: becomes the program."""
  code = 1
  try:
    os.setsid()
    high = [os.dup(fd) for fd in (stdin, *writes)]  # so that no dup2 below overwrites one still wanted
    for target, fd in enumerate(high):
      os.dup2(fd, target)  # 0 stdin, 1 stdout, 2 stderr, 3 the result of a call
    os.closerange(4, 1024)
    _limit(job['limits'], settings)
    os.chdir(os.path.join(settings['home'], job.get('directory', '')))
    prctl(_PR_SET_DUMPABLE, 1)
    if settings['level'] == 'confined':
      _confine(settings)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
      signal.signal(number, signal.SIG_DFL)
    if 'source' in given:
      os.environ.clear()
      os.environ.update(settings['environment'])
      run_source(given['source'].decode('utf-8', 'surrogatepass'), loads(given['call'].decode()))
    else:
      environment = {**settings['environment'], **job.get('environment', {})}
      os.environ['PATH'] = environment['PATH']
      os.execvpe(job['argv'][0], job['argv'], environment)
  except BaseException as e:  # pylint: disable=broad-except
    os.write(2, f'{type(e).__name__}: {e}'.encode())
    code = 126
  finally:
    os._exit(code)


def _limit(limits, settings):
  seconds = int(limits['seconds']) + (limits['seconds'] % 1 > 0)
  wanted = [(resource.RLIMIT_CORE, 0, 0), (resource.RLIMIT_NOFILE, 256, 256),
            (resource.RLIMIT_FSIZE, limits['disk_bytes'], limits['disk_bytes']),
            (resource.RLIMIT_STACK, 64 << 20, 64 << 20), (resource.RLIMIT_CPU, seconds, seconds + 1)]
  if settings['level'] == 'strong' or settings['own_uid']:
    wanted.append((resource.RLIMIT_NPROC, limits['processes'], limits['processes']))
  if limits['address_space']:
    most = limits['memory_bytes'] + (256 << 20)
    wanted.append((resource.RLIMIT_AS, most, most))
  for which, soft, hard in wanted:
    most = resource.getrlimit(which)[1]
    if most != resource.RLIM_INFINITY:
      soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


def _confine(settings):
  """Where no namespace can be had: landlock.py, which lies beside the real file."""
  names = {}
  with open(settings['landlock'], encoding='utf-8') as f:
    exec(compile(f.read(), settings['landlock'], 'exec'), names)
  names['confine'](settings, prctl)


if __name__ == '__main__':
  main(loads(sys.argv[1]))
