"""inspect_ai's sandbox interface over the same boxes: import this module, then Task(..., sandbox='r1jax').

Every exec runs in a fresh box into which the sample's files are put, and out of which they are taken again; processes
do not outlive it. pip install inspect_ai.
"""

import asyncio
import base64
import posixpath

from inspect_ai.util import ExecResult, SandboxEnvironment, sandboxenv

from r1jax.rewards.sandbox import boxes
from r1jax.rewards.sandbox import languages
from r1jax.rewards.sandbox.verdicts import Limits

HOME = '/tmp'
DEFAULT_SECONDS = 60.0


@sandboxenv(name='r1jax')
class BoxEnvironment(SandboxEnvironment):
  """Files of one sample, below /tmp, and commands on them."""

  def __init__(self, limits: Limits = Limits(processes=128)):
    super().__init__()
    self._files: dict[str, bytes] = {}
    self._limits = limits

  @classmethod
  async def sample_init(cls, task_name, config, metadata) -> dict[str, SandboxEnvironment]:
    return {'default': cls()}

  @classmethod
  async def sample_cleanup(cls, task_name, config, environments, interrupted) -> None:
    """Nothing is left to clean up: a box ends with its command."""

  async def exec(self, cmd, input=None, cwd=None, env=None, user=None, timeout=None, timeout_retry=True,
                 concurrency=True) -> ExecResult[str]:  # pylint: disable=redefined-builtin
    """Runs cmd. TimeoutError past `timeout` (default 60 s); PermissionError for another user than the box's own."""
    if user is not None:
      raise PermissionError(f'a box has one user of its own; it cannot run commands as {user!r}')
    return await asyncio.to_thread(self._exec, cmd, input or b'', _below(cwd or '.'), env or {},
                                   timeout or DEFAULT_SECONDS)

  def _exec(self, cmd, given, directory, env, seconds) -> ExecResult[str]:
    limits = self._limits
    job = {'argv': list(cmd), 'environment': env, 'directory': directory, 'collect': [''], 'always': True,
           'files': {name: {'base64': base64.b64encode(data).decode()} for name, data in self._files.items()},
           'limits': {'seconds': seconds, 'wall_seconds': seconds, 'memory_bytes': limits.memory_bytes,
                      'output_bytes': 10 << 20, 'disk_bytes': limits.disk_bytes, 'processes': limits.processes,
                      'address_space': False}}
    with boxes.Box(boxes.level(), disk_bytes=limits.disk_bytes, etc=languages.ETC) as box:
      reply = box.ask(job, seconds + 20, stdin=given.encode() if isinstance(given, str) else given)
    self._files = {name: base64.b64decode(data) for name, data in reply['files'].items()}
    if reply['status'] in ('wall', 'cpu'):
      raise TimeoutError(f'{cmd[0]} ran past {seconds} s')
    code = reply['code'] if reply['status'] == 'exit' else 128 + reply['code']
    text = lambda name: reply[name].decode(errors='replace')
    return ExecResult(code == 0, code, text('stdout'), text('stderr'))

  async def write_file(self, file: str, contents: str | bytes) -> None:
    self._files[_below(file)] = contents.encode() if isinstance(contents, str) else contents

  async def read_file(self, file: str, text: bool = True) -> str | bytes:
    """FileNotFoundError when there is none."""
    name = _below(file)
    if name not in self._files:
      raise FileNotFoundError(file)
    return self._files[name].decode() if text else self._files[name]


def _below(path: str) -> str:
  """A path below the box's home, relative to it. PermissionError for any other."""
  name = posixpath.relpath(posixpath.normpath(posixpath.join(HOME, path)), HOME)
  if name.startswith('..'):
    raise PermissionError(f'{path} is not below {HOME}, all that a box may write to')
  return '' if name == '.' else name
