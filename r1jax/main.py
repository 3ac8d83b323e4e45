"""python -m r1jax.main --config=experiments/NAME.py[:ARG] --workdir=DIR [--rerun=STAGE] [--config.KEY=VALUE ...]

Started again on the same DIR it goes on where it stopped. Exit codes: 0 finished, 2 a user's mistake (one line on
stderr), 4 the run stopped itself, 143 asked to stop by SIGTERM (state saved).
"""

import ctypes
import errno
import logging
import os
import signal
import sys

from absl import flags
import jax

from r1jax.engine import checkpoint
from r1jax.engine import compile_cache
from r1jax.engine import profile
from r1jax import options
from r1jax import pipeline
from r1jax.rewards.sandbox import boxes
from r1jax.types import RunStopped, UserError

log = logging.getLogger('r1jax')

_WORKDIR = flags.DEFINE_string('workdir', None, 'where everything of this run is written')
_UNSAFE = flags.DEFINE_bool(boxes.FLAG, False, 'run programs that a model wrote with no isolation at all; also wants '
                            f'the environment variable {boxes.VARIABLE}=1')
_RERUN = flags.DEFINE_string('rerun', '', 'STAGE[,STAGE]: make these anew, and what depends on them where it changes')
_VERIFY = flags.DEFINE_bool('verify', False, 'read and hash what every finished stage passes on, not only where files '
                            'have other sizes or times than when it ended')
_PROFILE = flags.DEFINE_string('profile', '', 'FIRST:LAST: trace these optimiser steps of every stage that is run, to '
                               'STAGE/profile')


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
  """Connects this process with the others of the run, one a host.

  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one it is, an empty address that it is alone;
  else JAX finds out for itself where the environment shows several.
  """
  address = os.environ.get('JAX_COORDINATOR_ADDRESS')
  if address:
    try:
      processes, process = (int(os.environ[name]) for name in ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'))
    except (KeyError, ValueError) as e:
      raise UserError('JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers') from e
    log.info('hosts: process %d of %d, coordinator %s', process, processes, address)
    jax.distributed.initialize(address, processes, process)
    return
  shown = _cluster() if address is None else ''
  if not shown:
    log.info('hosts: this process alone')
    return
  log.info("hosts: as JAX's own detection finds them, for %s is set", shown)
  try:
    jax.distributed.initialize()
  except (OSError, ValueError, RuntimeError) as e:
    reason = str(e).partition('\n')[0]
    raise UserError(f'{shown} speaks of several processes, but JAX cannot join them ({reason}): set JAX_NUM_PROCESSES, '
                    'JAX_PROCESS_ID and JAX_COORDINATOR_ADDRESS, or the last alone to nothing for a single one') from e


def _cluster() -> str:
  """The environment variable that shows several processes as jax.distributed can join them; '' where none does."""
  env = os.environ

  def several(name: str) -> bool:
    return env.get(name, '').isdigit() and int(env[name]) > 1

  shown = {
      'TPU_WORKER_HOSTNAMES': ',' in env.get('TPU_WORKER_HOSTNAMES', ''),  # a slice of TPUs on GKE
      # JAX sets it where it finds chips. On a TPU VM only Google's metadata server knows the hosts, be it one or many.
      'TPU_ML_PLATFORM': (jax.config.jax_platforms or '').startswith('tpu')
                         and not env.keys() & {'TPU_WORKER_HOSTNAMES', 'TPU_PROCESS_ADDRESSES', 'TPU_SKIP_MDS_QUERY'},
      'MEGASCALE_NUM_SLICES': several('MEGASCALE_NUM_SLICES'),
      # srun's step; the shell of salloc and the script of sbatch have the count too, and are one process.
      'SLURM_NTASKS': 'SLURM_JOB_ID' in env and 'SLURM_STEP_NODELIST' in env and several('SLURM_NTASKS'),
      'OMPI_COMM_WORLD_SIZE': several('OMPI_COMM_WORLD_SIZE'),
      'JOB_COMPLETION_INDEX': 'KUBERNETES_SERVICE_HOST' in env and 'JOB_COMPLETION_INDEX' in env,  # an indexed job
  }
  return next((name for name, there in shown.items() if there and name in env), '')


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
  logging.getLogger('r1jax').setLevel(logging.INFO)
  if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: checkpoint.stop_requested.set())
  try:
    config = options.parse(argv, needed=('workdir',))
    profile.steps = profile.parse(_PROFILE.value) if _PROFILE.value else None
    _join_hosts()
    compile_cache.use(config.get('compile_cache', 'auto'))
    if _UNSAFE.value:
      os.environ[boxes.FLAG_SET] = '1'  # rewards run in processes of their own
    if config.keep_freed_memory:
      _keep_freed_memory()
    pipeline.run(config, _WORKDIR.value, tuple(filter(None, _RERUN.value.split(','))), verify=_VERIFY.value)
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
  except OSError as e:
    if e.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    place = e.filename or _WORKDIR.value
    print(f'r1jax: {e.strerror}: free some in {place}, then the same command goes on', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(main(sys.argv))
