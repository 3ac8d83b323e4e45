"""A program compiled, and run on one test after the other: raw replies of the box, no verdicts."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from typing import NamedTuple

from r1jax.exceptions import UserError
from r1jax.rewards.sandbox import boxes
from r1jax.rewards.sandbox import languages
from r1jax.rewards.sandbox import places
from r1jax.rewards.sandbox.boxes import BoxFailed
from r1jax.rewards.sandbox.verdicts import Limits, Result, Verdict

MARGIN = 20.0  # seconds beyond a program's own time on the wall, after which its box is given up
_BIG = 512 << 20  # disk for the compiled header
KEPT = 1000  # compiled programs, of a few MB each
_NAME = re.compile(r'[A-Za-z0-9_$+][A-Za-z0-9_$+.-]*')


class Reply(NamedTuple):
  """What a program did on one test."""
  status: str  # 'exit' | 'signal' | 'wall' | 'cpu' | 'memory' | 'output' | 'disk'
  code: int  # exit code or signal
  seconds: float  # of CPU
  stdout: bytes
  stderr: bytes  # its end
  returned: bytes  # by a call, as tagged JSON


class Program:
  """A program ready to be run; close it. One box serves as long as it stays clean, unless `fresh`."""

  def __init__(self, code: str, language: str, limits: Limits, *, call: str | None = None, fresh: bool = False):
    """Compiles. `failed` then says why the program cannot run, or is None.

    Raises:
      UserError: no such language, no toolchain for it, no isolation here, or its functions cannot be called.
    """
    self.name = languages.find(language)
    self._row, self._level = languages.require(self.name), boxes.level()
    self._source = languages.callable_source(self.name, code, call) if call else code
    self._limits, self._fresh = limits, fresh
    self._box, self._left = None, limits.total_seconds
    self._readable, self.failed = {}, None
    if self._row.compile:
      self._readable, self.failed = _compiled(self.name, self._source, limits, self._level)

  def run(self, stdin: str = '', call: dict | None = None, *, output_bytes: int = 0) -> Reply | Result:
    """One test: the program's Reply, or a Result where there is none to have.

    Args:
      call: of solution.call_functions.
      output_bytes: of what may be said, if more than the limits have.
    """
    if self._left <= 0:
      return Result(Verdict.TLE, 0.0, 'the time of all tests together is used up')
    why = ''
    for _ in range(2):  # an infrastructure failure is no fault of the program: once more, then IE
      try:
        return self._ask(stdin, call, output_bytes)
      except BoxFailed as e:
        self.close()
        why = str(e)
      except TimeoutError:
        self.close()
        return Result(Verdict.TLE, self._limits.seconds, 'the box did not answer in time')
    return Result(Verdict.IE, 0.0, why)

  def _ask(self, stdin, call, output_bytes) -> Reply:
    if self._box is None:
      self._box = boxes.Box(self._level, disk_bytes=self._limits.disk_bytes, readable=self._readable,
                            etc=() if self.name == 'cpp' else self._row.etc, managed=self._row.managed)
    limits = self._limits
    job, given = {'limits': {
        'seconds': limits.seconds, 'wall_seconds': limits.wall_seconds, 'memory_bytes': limits.memory_bytes,
        'output_bytes': max(limits.output_bytes, output_bytes), 'disk_bytes': limits.disk_bytes,
        'processes': limits.processes,
        'address_space': self._row.address_space}}, {'stdin': stdin.encode('utf-8', 'surrogatepass')}
    if self.name == 'python':
      given |= {'source': self._source.encode('utf-8', 'surrogatepass'), 'call': json.dumps(call).encode()}
    else:
      job['argv'] = self._box.paths(self._row.run)
      job['files'] = {} if self._row.compile else {self._row.source: self._source}
    reply = self._box.ask(job, limits.wall_seconds + MARGIN, **given)
    self._left -= reply['wall']
    if self._fresh or not reply['clean'] or reply['status'] not in ('exit', 'signal'):
      self.close()
    return _decoded(reply)

  def close(self) -> None:
    if self._box is not None:
      self._box.close()
    self._box = None

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


def output_of(code: str, stdin: str, limits: Limits = Limits(), output_bytes: int = 0) -> str | None:
  """What a Python program of ours prints in a box of its own, with LeetCode's names; None unless it ends well."""
  with Program(code, 'python', limits) as program:
    reply = program.run(stdin, {}, output_bytes=output_bytes)
  ended = isinstance(reply, Reply) and (reply.status, reply.code) == ('exit', 0)
  return reply.stdout.decode(errors='replace') if ended else None


def _decoded(reply: dict) -> Reply:
  return Reply(reply['status'], reply['code'], reply['cpu'], reply['stdout'], reply['stderr'], reply['result'])


# --- compiling ---


def _compiled(name: str, source: str, limits: Limits, level: str) -> tuple[dict[str, str], Result | None]:
  """({directory of the compiled program: its place in the box}, why it does not compile).
  Kept by hash of the source."""
  row = languages.LANGUAGES[name]
  digest = _digest(name, languages.version(name), row.compile, source)
  directory = os.path.join(places.cache_directory(), 'programs', digest)
  readable = {directory: '/prog'}
  if os.path.isdir(directory):
    return readable, None
  header = _header(level) if name == 'cpp' else {}
  job = {'files': {row.source: source}, 'collect': list(row.collect),
         'limits': _compiler_limits(limits.compile_seconds, limits.compile_memory_bytes, limits.disk_bytes)}
  reply, why = None, ''
  for _ in range(2):
    try:
      reply = _in_box(job, row.compile, level, header, row)
      break
    except (BoxFailed, TimeoutError) as e:
      why = str(e) or 'the compiler did not end'
  if reply is None:
    return {}, Result(Verdict.IE, 0.0, why)
  if reply['status'] != 'exit' or reply['code'] or not reply['files']:
    said = (reply['stderr'] + reply['stdout']).decode(errors='replace')
    return {}, Result(Verdict.CE, reply['cpu'],
                      ' '.join(said.split())[:300] or f'the compiler was stopped: {reply["status"]}')
  if not all(_NAME.fullmatch(file) for file in reply['files']):
    return {}, Result(Verdict.CE, reply['cpu'], 'it compiles to files with other names than one program has: '
                                                f'{sorted(reply["files"])[:3]}')
  _keep(directory, {file: base64.b64decode(data) for file, data in reply['files'].items()})
  return readable, None


def _compiler_limits(seconds: float, memory_bytes: int, disk_bytes: int) -> dict:
  return {'seconds': seconds, 'wall_seconds': 3 * seconds + 1, 'memory_bytes': memory_bytes, 'output_bytes': 1 << 20,
          'disk_bytes': disk_bytes, 'processes': 64, 'address_space': False}


def _in_box(job: dict, command: tuple[str, ...], level: str, readable: dict[str, str], row: languages.Language) -> dict:
  limits = job['limits']
  with boxes.Box(level, disk_bytes=limits['disk_bytes'], readable=readable, etc=row.etc, managed=row.managed) as box:
    argv = box.paths(tuple(languages.real(word[1:-1]) if word.startswith('{') else word for word in command))
    return box.ask({**job, 'argv': argv}, limits['wall_seconds'] + MARGIN)


def _digest(*parts) -> str:
  return hashlib.sha256(json.dumps(parts).encode('utf-8', 'surrogatepass')).hexdigest()


def _keep(directory: str, files: dict[str, bytes]) -> None:
  """Files that came out of a box, under names of theirs that are nothing but names; visible when all are whole."""
  places.open_directory(os.path.dirname(directory))
  _forget(os.path.dirname(directory))
  with tempfile.TemporaryDirectory(dir=places.cache_directory()) as scratch:
    whole = os.path.join(scratch, 'program')
    os.mkdir(whole)
    for name, data in files.items():
      with open(os.path.join(whole, name), 'wb') as f:
        f.write(data)
        os.fchmod(f.fileno(), 0o755)
    os.chmod(whole, 0o755)
    with contextlib.suppress(OSError):  # another worker was first
      os.rename(whole, directory)


def _forget(directory: str) -> None:
  """Makes room: programs come by the thousand, and few come again."""
  names = os.listdir(directory)
  if len(names) > KEPT:
    paths = sorted((os.path.join(directory, name) for name in names), key=os.path.getmtime)
    for path in paths[:KEPT // 4]:
      shutil.rmtree(path, ignore_errors=True)


def _header(level: str) -> dict[str, str]:
  """<bits/stdc++.h> compiled ahead: a program that includes it takes 2.4 s to compile without (2 cores, 2026-11)."""
  flags = tuple(word for word in languages.LANGUAGES['cpp'].compile if word.startswith(('-std', '-O', '-w', '-f')))
  directory = os.path.join(places.cache_directory(), 'headers', _digest(languages.version('cpp'), flags))
  with places.locked('header'):  # one worker compiles it, the others wait
    if not os.path.isdir(directory):
      _compile_header(directory, flags, level)
  return {directory: '/header'}


def _compile_header(directory: str, flags: tuple[str, ...], level: str) -> None:
  job = {'files': {'stdc++.h': '#include <bits/stdc++.h>\n'}, 'collect': ['.gch'],
         'limits': _compiler_limits(120.0, 2 << 30, _BIG)}
  reply = _in_box(job, ('/usr/bin/g++', *flags, '-x', 'c++-header', '-o', '/tmp/stdc++.h.gch', '/tmp/stdc++.h'),
                  level, {}, languages.LANGUAGES['cpp'])
  if reply['status'] != 'exit' or reply['code']:
    raise UserError(f'g++ cannot compile <bits/stdc++.h>: {reply["stderr"].decode(errors="replace")[:200]}')
  with tempfile.TemporaryDirectory(dir=places.cache_directory()) as scratch:
    flat, nested = os.path.join(scratch, 'flat'), os.path.join(scratch, 'header')
    _keep(os.path.join(flat, 'bits'), {'stdc++.h.gch': base64.b64decode(reply['files']['stdc++.h.gch'])})
    os.rename(flat, nested)
    os.chmod(nested, 0o755)
    places.open_directory(os.path.dirname(directory))
    os.rename(nested, directory)
