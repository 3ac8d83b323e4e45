"""WORKDIR/environment.json: by what each start of a run was made. It never stops a run: what is not known is null."""

import datetime
import importlib.metadata
import logging
import os
import platform
import shlex
import socket
import subprocess
import sys
from typing import Any, Callable

import jax

from r1jax import workdir as workdir_lib
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib

log = logging.getLogger('r1jax')

FILE = 'environment.json'
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def note(workdir: str, *, seed: int | None = None) -> None:
  """Adds this start to environment.json, {"starts": [..]}, by rename; the first process does."""
  if not mesh_lib.first_process():
    return
  path = os.path.join(workdir, FILE)
  try:
    before = workdir_lib.read(path, {})
    starts = before['starts'] if isinstance(before.get('starts'), list) else []
  except Exception as e:  # pylint: disable=broad-except  torn, or somebody else's
    log.warning('%s: %s: begun anew', path, e)
    starts = []
  now = start(seed)
  if starts and (said := moved(starts[-1], now)):
    log.info('%s', said)
  try:
    json_files.write(path, {'starts': [*starts, now]})
  except Exception as e:  # pylint: disable=broad-except  a full disk: the run says so itself
    log.warning('%s is not written: %s', path, e)


def moved(before: dict, now: dict) -> str:
  """Says that a run goes on on other hosts or devices than its last start had; '' where it does not, or nobody knows.
  """
  sizes = [(each.get('hosts'), each.get('devices')) for each in (before, now)]
  if sizes[0] == sizes[1] or not all(isinstance(n, int) for each in sizes for n in each):
    return ''
  was, is_ = (f'{hosts} host{"s" * (hosts > 1)} with {devices} device{"s" * (devices > 1)} in all'
              for hosts, devices in sizes)
  return f'this run was on {was}, now on {is_}: what is finished stays, and what is begun goes on'


def start(seed: int | None = None) -> dict[str, Any]:
  """This one, in the words of environment.json."""
  made_by = commit()
  device = _or_none(lambda: jax.devices()[0])
  return {
      'command': command(),
      'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
      'r1jax': sys.modules[__package__].__version__,
      'commit': made_by,
      'dirty': None if made_by is None else _or_none(lambda: bool(_git('status', '--porcelain', '-uno'))),
      'python': platform.python_version(),
      'packages': {name: _or_none(importlib.metadata.version, name) for name in PACKAGES},
      'platform': device and device.platform,
      'device_kind': device and device.device_kind,
      'devices': _or_none(jax.device_count),
      'hosts': _or_none(jax.process_count),
      'host': _or_none(socket.gethostname),
      'system': platform.platform(),
      'cpu': _or_none(_cpu),
      'cpu_count': os.cpu_count(),
      'seed': seed,
      'config': config_of(sys.orig_argv),
  }


def _cpu() -> str | None:
  """The processor's name: platform.processor() says only 'x86_64' on Linux."""
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo', encoding='utf-8') as f:
      for line in f:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  return platform.processor() or None


def command() -> str:
  """What was typed: `python -m r1jax.main ..` or `r1jax train ..`."""
  given = sys.orig_argv[1:]  # sys.argv has the file of a module, and what `r1jax train` makes of its arguments
  while given and given[0].startswith('-') and given[0] not in ('-m', '-c'):  # the interpreter's own
    given = given[1:]
  if not given or given[0] in ('-m', '-c'):
    return shlex.join(['python', *given])
  return shlex.join([os.path.basename(given[0]), *given[1:]])


def config_of(argv: list[str]) -> str | None:
  """The config as it was given, --config=NAME or `train NAME`; None where there is none."""
  for argument, following in zip(argv, [*argv[1:], '']):
    if argument.startswith('--config='):
      return argument.partition('=')[2]
    if argument in ('--config', 'train') and following and not following.startswith('-'):
      return following
  return None


def commit() -> str | None:
  """Of the checkout that this package lies in; None where it was installed."""
  return _or_none(_git, 'rev-parse', 'HEAD')


def _git(*arguments: str) -> str:
  """Of the checkout that this package lies in; an error where it was installed.

  A package in somebody else's repository (a virtual environment in it) is no checkout of ours.
  """
  package = os.path.dirname(os.path.abspath(__file__))
  said = lambda *of: subprocess.run(['git', '-C', package, *of], capture_output=True, text=True, timeout=10,
                                    check=True).stdout.strip()
  said('ls-files', '--error-unmatch', '__init__.py')
  return said(*arguments)


def _or_none(what: Callable, *arguments: Any) -> Any:
  try:
    return what(*arguments)
  except Exception:  # pylint: disable=broad-except  of whatever kind: it is not known
    return None
