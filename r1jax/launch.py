"""r1jax.train: a run in a process of its own, as a terminal starts it, so that who started it can look on.

It is the command `python -m r1jax.main`, whose lines, exit codes and going on it has; nothing here knows a stage.
"""

import atexit
import collections
import json
import logging
import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any, Iterator

from r1jax import configs
from r1jax import frames
from r1jax import paths
from r1jax.exceptions import RunStopped, UserError

log = logging.getLogger('r1jax')

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_runs = {}  # work dir -> the last Run that this process has started there


class Run:
  """A run on its way.

  Attributes:
    workdir: where it writes.
    command: what is typed for the same in a terminal.
  """

  def __init__(self, command: list[str], workdir: str, *, show: bool, given: tempfile.TemporaryDirectory | None):
    self.workdir, self._show = workdir, show
    options = [arg.removeprefix('--config=') for arg in command[3:]]
    self.command = shlex.join(['r1jax', 'train', *options])
    self._given, self._lines = given, collections.deque(maxlen=200)
    # Beside this one's package, wherever it was started; of a session of its own, as Ctrl-C is for who waits.
    path = os.pathsep.join(filter(None, (os.path.dirname(_PACKAGE), os.environ.get('PYTHONPATH'))))
    self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
                                     encoding='utf-8', errors='replace', env={**os.environ, 'PYTHONPATH': path},
                                     start_new_session=True)
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()
    atexit.register(self.stop)  # a run that nobody looks on would hold its work dir

  def _read(self) -> None:
    for line in self._process.stdout:
      self._lines.append(line.rstrip('\n'))
      if self._show:
        print(line, end='', flush=True)

  @property
  def running(self) -> bool:
    return self._process.poll() is None

  @property
  def tables(self) -> frames.Tables:
    """What there is of it now."""
    os.makedirs(self.workdir, exist_ok=True)
    return frames.read(self.workdir)

  @property
  def status(self) -> str:
    """The last line that it said."""
    return next((line for line in reversed(self._lines) if line.strip()), 'starting')

  def watch(self, seconds: float = 3.0) -> Iterator[frames.Tables]:
    """What there is of it, every so many seconds, and at last what there is at its end; stopped in between (Ctrl-C, or
    the stop button of a notebook), it stops the run with its state saved, and `train` goes on.

    Raises:
      UserError, RunStopped: as `wait`.
    """
    try:
      while self.running:
        try:
          self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
          yield self.tables
    except (KeyboardInterrupt, GeneratorExit):
      self.stop()
      raise
    yield self.wait()

  def stop(self) -> None:
    """Asks it to save its state and end, and waits for that."""
    if self.running:
      self._process.send_signal(signal.SIGTERM)
    self._process.wait()

  def wait(self) -> frames.Tables:
    """Its tables, when it has ended. Interrupted, it stops the run with its state saved.

    Raises:
      UserError: it was a mistake (exit 2), or it failed. RunStopped: it stopped itself (4), or was asked to (143, 130).
    """
    try:
      code = self._process.wait()
    except KeyboardInterrupt:
      self.stop()
      raise
    self._reader.join(10)
    if code:
      if not self._show:
        print(*list(self._lines)[-11:-1], sep='\n', file=sys.stderr)  # what led to it
      said = self.status.removeprefix('r1jax: ')
      raise (RunStopped if code in (4, 130, 143, -signal.SIGTERM) else UserError)(
          said if code in (2, 4, 130, 143) else f'exit code {code}: {said}')
    return self.tables


def train(config: Any, workdir: str | os.PathLike, *, wait: bool = True, **overrides: Any) -> Any:
  """Runs a config's stages, or goes on where the same call stopped.

  In a process of its own, which takes the accelerator: train before this process loads a model on one.

  Args:
    config: 'r1_zero:tiny', a path 'FILE.py[:ARG]', or a ConfigDict.
    workdir: everything of the run is written there.
    wait: False: returns at once, a Run to look on with (.watch(), .tables, .wait(), .stop()).
    overrides: keys of the config, **{'rl.steps': 40}.

  Returns:
    The run's Tables, or with wait=False the Run.

  Raises:
    UserError: no such config; what the run says of a mistake, one line. RunStopped: it stopped itself.
  """
  _refuse_a_taken_accelerator()
  name, given = _as_file(config)
  workdir = os.path.abspath(paths.local(os.fspath(workdir), 'workdir'))
  command = [sys.executable, '-m', 'r1jax.main', f'--config={name}', f'--workdir={workdir}',
             *(f'--config.{key}={_value(value)}' for key, value in overrides.items())]
  if workdir in _runs:
    _runs[workdir].stop()  # of a cell that was interrupted, and is run again
  run = _runs[workdir] = Run(command, workdir, show=wait, given=given)
  return run.wait() if wait else run


def _as_file(config: Any) -> tuple[str, tempfile.TemporaryDirectory | None]:
  """(what --config takes, the directory that it lies in where it is made for this)."""
  if isinstance(config, (str, os.PathLike)):
    configs.find(os.fspath(config))  # a mistake is seen here, before a process starts
    return os.fspath(config), None
  if not hasattr(config, 'to_dict'):
    raise UserError(f"config={config!r}: wants 'NAME:ARG', a path 'FILE.py[:ARG]' or a ConfigDict")
  given = tempfile.TemporaryDirectory(prefix='r1jax_config_')
  with open(os.path.join(given.name, 'config.pickle'), 'wb') as f:
    pickle.dump(config, f)
  path = os.path.join(given.name, 'given.py')
  with open(path, 'w', encoding='utf-8') as f:
    f.write('import os, pickle\n\n\ndef get_config():\n'
            "  with open(os.path.join(os.path.dirname(__file__), 'config.pickle'), 'rb') as f:\n"
            '    return pickle.load(f)\n')
  return path, given


def _value(value: Any) -> str:
  """As --config.KEY=VALUE takes it."""
  if isinstance(value, (dict, list, tuple)):
    return repr(value)
  return json.dumps(value) if isinstance(value, bool) else str(value)


def _refuse_a_taken_accelerator() -> None:
  """UserError where this process has the GPUs or TPUs, which a second one would not get."""
  if 'jax' not in sys.modules:
    return
  from jax._src import xla_bridge  # nothing public tells without starting a backend
  import jax
  if xla_bridge.backends_are_initialized() and jax.default_backend() != 'cpu':
    raise UserError(f'this process holds the {jax.default_backend().upper()}, which the run needs: train in a fresh '
                    'one (restart the kernel), before a model is loaded')
