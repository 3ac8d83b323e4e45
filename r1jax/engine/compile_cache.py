"""What XLA compiles is kept on disk, so that no later start waits for it again."""

import logging
import os
import tempfile

import jax

log = logging.getLogger(__name__)


def use(setting: str) -> None:
  """Keeps compiled programs on disk; says where in the log.

  Args:
    setting: as config.compile_cache: 'auto', ~/.cache/r1jax/xla; '', nowhere; or a directory. The environment's
      JAX_COMPILATION_CACHE_DIR goes before all of them.
  """
  named = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  if named is not None:
    log.info('compiled programs: JAX_COMPILATION_CACHE_DIR=%s', named)
    return
  if not setting:
    log.info("compiled programs: kept nowhere, as compile_cache=''")
    return
  if setting == 'auto':
    setting = os.path.join(os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'r1jax', 'xla')
  directory = os.path.abspath(os.path.expanduser(setting))
  try:
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
      pass
  except OSError as e:
    log.warning('compiled programs: kept nowhere, as compile_cache=%s cannot be written to (%s)', directory, e.strerror)
    return
  jax.config.update('jax_compilation_cache_dir', directory)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 1.0)  # what compiles faster is not worth a file
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
  log.info('compiled programs: kept in %s', directory)
