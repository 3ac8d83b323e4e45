"""python -m r1jax.main --config=NAME:ARG --workdir=DIR [--rerun=STAGE] [--config.KEY=VALUE ...]

Started again on the same DIR it goes on where it stopped. Exit codes: 0 finished, 2 a user's mistake (one line on
stderr), 4 the run stopped itself, 5 another host of the run is lost or has failed, 143 asked to stop by SIGTERM, 130 by
Ctrl-C (state saved; a second Ctrl-C kills it at once, and the same command goes on from what is on disk).
"""

import ctypes
import logging
import os
import sys

from absl import flags
import jax

from r1jax import errors
from r1jax import options
from r1jax import pipeline
from r1jax import terminal
from r1jax.engine import compile_cache
from r1jax.engine import hosts
from r1jax.engine import precision
from r1jax.engine import profile
from r1jax.rewards.sandbox import boxes

log = logging.getLogger('r1jax')

_WORKDIR = flags.DEFINE_string('workdir', None, 'where everything of this run is written')
_UNSAFE = flags.DEFINE_bool(boxes.FLAG, False, 'run programs that a model wrote with no isolation at all; also wants '
                            f'the environment variable {boxes.VARIABLE}=1')
_RERUN = flags.DEFINE_string('rerun', '', 'STAGE[,STAGE]: make these anew, and what depends on them where it changes')
_VERIFY = flags.DEFINE_bool('verify', False, 'read and hash what every finished stage passes on, not only where files '
                            'have other sizes or times than when it ended')
_CHECK = flags.DEFINE_bool('check', False, 'look at all that is looked at before the first stage begins, and end: a '
                           'mistake is exit 2 and one line. Nothing is written to the work dir; weights and files of '
                           'the hub come into its cache')
_PROFILE = flags.DEFINE_string('profile', '', 'FIRST:LAST: trace these optimiser steps of every stage that is run, to '
                               'STAGE/profile')


def _keep_freed_memory() -> None:
  """Tells glibc to keep what XLA's CPU backend frees, and not to give it back and fault it in again at every step.

  A step of the tiny base takes 0.12 s with it and 0.21 s without (2 cores, 2026-11-23). It costs memory where arrays
  are large, so it is for small models only: config.keep_freed_memory. XLA's threads must not have started yet, so
  whether a device is an accelerator is not asked of JAX: beside one it would only make XLA's compiler wait for itself.
  """
  if not sys.platform.startswith('linux') or not _computes_on_cpu():
    return
  try:
    mallopt = ctypes.CDLL('libc.so.6').mallopt
  except (OSError, AttributeError):  # another C library
    return
  for option, value in ((-8, 1), (-4, 0), (-1, (1 << 31) - 1), (-2, 64 << 20)):
    mallopt(option, value)  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h


def _computes_on_cpu() -> bool:
  """Whether JAX will take the CPU, as far as can be told before it starts."""
  named = os.environ.get('JAX_PLATFORMS')
  if named:
    return named.split(',')[0] == 'cpu'
  return not any(map(os.path.exists, ('/dev/nvidia0', '/dev/accel0', '/dev/vfio/0', '/dev/kfd')))


def _say_devices() -> None:
  """What it runs on, in one line; JAX itself falls back to the CPU where it finds no driver that it knows."""
  devices = jax.devices()
  log.info('devices: %d x %s, %d of them on this host, jax %s', len(devices), devices[0].device_kind,
           jax.local_device_count(), jax.__version__)
  if devices[0].platform == 'cpu' and os.path.exists('/dev/nvidia0') and not os.environ.get('JAX_PLATFORMS'):
    log.warning('this host has a GPU that JAX does not use: install the extra that fits its driver, r1jax[cuda13] (580 '
                'or newer) or r1jax[cuda12], or say JAX_PLATFORMS=cpu')


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  terminal.use()
  errors.stop_on_signals()
  return errors.run(_run, argv)


def _run(argv: list[str]) -> int:
  config = options.parse(argv, needed=('workdir',))
  return errors.run(_work, config, place=_WORKDIR.value)


def _work(config) -> int:
  profile.steps = profile.parse(_PROFILE.value) if _PROFILE.value else None
  hosts.join()
  compile_cache.use(config.get('compile_cache', 'auto'))
  if _UNSAFE.value:
    os.environ[boxes.FLAG_SET] = '1'  # rewards run in processes of their own
  if config.keep_freed_memory:
    _keep_freed_memory()
  _say_devices()  # it starts XLA's threads
  precision.use(config.dtype)
  rerun = tuple(filter(None, _RERUN.value.split(',')))
  if _CHECK.value:
    pipeline.look(config, _WORKDIR.value, rerun)
    return 0
  pipeline.run(config, _WORKDIR.value, rerun, verify=_VERIFY.value)
  return 0


if __name__ == '__main__':
  sys.exit(hosts.run(main, sys.argv))
