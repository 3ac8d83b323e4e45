"""python -m r1jax.main --config=experiments/NAME.py[:ARG] --workdir=DIR [--rerun=STAGE] [--config.KEY=VALUE ...]

Started again on the same DIR it goes on where it stopped. Exit codes: 0 finished, 2 a user's mistake (one line on
stderr), 4 the run stopped itself, 143 asked to stop by SIGTERM (state saved).
"""

import ctypes
import logging
import os
import signal
import sys

from absl import flags
import jax

from r1jax.engine import checkpoint
from r1jax import options
from r1jax import pipeline
from r1jax.rewards.sandbox import boxes
from r1jax.types import RunStopped, UserError

_WORKDIR = flags.DEFINE_string('workdir', None, 'where everything of this run is written')
_UNSAFE = flags.DEFINE_bool(boxes.FLAG, False, 'run programs that a model wrote with no isolation at all; also wants the '
                            f'environment variable {boxes.VARIABLE}=1')
_RERUN = flags.DEFINE_string('rerun', '', 'STAGE[,STAGE]: make these anew, and what depends on them where it changes')
_PROFILE = flags.DEFINE_bool('profile', False, 'write a JAX profile to WORKDIR/profile')


def _keep_freed_memory() -> None:
  """Tells glibc to keep what XLA's CPU backend frees, and not to give it back and fault it in again at every step.

  A step of the tiny base takes 0.12 s with it and 0.21 s without (2 cores, 2026-11-23). It costs memory where arrays
  are large, so it is for small models only: config.keep_freed_memory. XLA's threads must not have started yet.
  """
  if not sys.platform.startswith('linux'):
    return
  try:
    mallopt = ctypes.CDLL('libc.so.6').mallopt
  except (OSError, AttributeError):  # another C library
    return
  for option, value in ((-8, 1), (-4, 0), (-1, (1 << 31) - 1), (-2, 64 << 20)):
    mallopt(option, value)  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h


def _join_hosts() -> None:
  """One process a host: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say which this one is."""
  address = os.environ.get('JAX_COORDINATOR_ADDRESS')
  if address is None:
    return
  try:
    processes, process = (int(os.environ[name]) for name in ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'))
  except (KeyError, ValueError) as e:
    raise UserError('JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers') from e
  jax.distributed.initialize(address, processes, process)


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
  logging.getLogger('r1jax').setLevel(logging.INFO)
  if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: checkpoint.stop_requested.set())
  try:
    config = options.parse(argv, needed=('workdir',))
    _join_hosts()
    if _UNSAFE.value:
      os.environ[boxes.FLAG_SET] = '1'  # rewards run in processes of their own
    if config.keep_freed_memory:
      _keep_freed_memory()
    if _PROFILE.value:
      jax.profiler.start_trace(os.path.join(_WORKDIR.value, 'profile'))
    pipeline.run(config, _WORKDIR.value, tuple(filter(None, _RERUN.value.split(','))))
    if _PROFILE.value:
      jax.profiler.stop_trace()
    return 0
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  except RunStopped as e:
    print(f'r1jax: the run stopped itself: {e}', file=sys.stderr)
    return 4
  except checkpoint.Stopped as e:
    print(f'r1jax: {e}; the same command goes on', file=sys.stderr)
    return 143


if __name__ == '__main__':
  sys.exit(main(sys.argv))
