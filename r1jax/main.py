"""python -m r1jax.main --config=experiments/NAME.py[:ARG] --workdir=DIR [--config.KEY=VALUE ...]

Started again on the same DIR it goes on where it stopped. Exit codes: 0 finished, 2 a user's mistake (one line on
stderr), 4 the run stopped itself, 143 asked to stop by SIGTERM (state saved).
"""

import logging
import os
import signal
import sys

from absl import flags
import jax
from ml_collections import config_flags

from r1jax import checkpoint
from r1jax import pipeline
from r1jax.types import RunStopped, UserError

_CONFIG = config_flags.DEFINE_config_file('config', None, 'experiments/NAME.py[:ARG]', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'where everything of this run is written')
_PROFILE = flags.DEFINE_bool('profile', False, 'write a JAX profile to WORKDIR/profile')


def parse(argv: list[str]) -> None:
  """Flags -> config; every mistake becomes a UserError of one line."""
  try:
    rest = flags.FLAGS(argv)
    if _CONFIG.value is None or not _WORKDIR.value:
      raise UserError('--config=experiments/NAME.py[:ARG] and --workdir=DIR are needed')
  except UserError:
    raise
  except Exception as e:  # absl and ml_collections raise many kinds, the config file itself any
    raise UserError(' '.join(str(e).split()) or type(e).__name__) from e
  if len(rest) > 1:
    raise UserError(f'unexpected argument {rest[1]!r}: options start with --')


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
  logging.getLogger('r1jax').setLevel(logging.INFO)
  if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: checkpoint.stop_requested.set())
  try:
    parse(argv)
    if _PROFILE.value:
      jax.profiler.start_trace(os.path.join(_WORKDIR.value, 'profile'))
    pipeline.run(_CONFIG.value, _WORKDIR.value)
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
