"""float32 that is float32: by default a GPU multiplies float32 arrays in TF32, and a TPU in bfloat16."""

import logging
import os

import jax

log = logging.getLogger(__name__)


def use(dtype: str) -> None:
  """Products of float32 arrays at full precision where a run computes in float32; says so in the log.

  Without it the sampler and the trainer, whose programs differ, would be 1e-3 nats apart where config.dtype promises
  1e-5. The environment's JAX_DEFAULT_MATMUL_PRECISION goes before it. Products of bfloat16 arrays are exact either way.

  Args:
    dtype: as config.dtype.
  """
  if jax.default_backend() == 'cpu' or dtype not in ('float32', 'float64'):
    return
  named = os.environ.get('JAX_DEFAULT_MATMUL_PRECISION')
  if named:
    log.info('products of float32: JAX_DEFAULT_MATMUL_PRECISION=%s', named)
    return
  jax.config.update('jax_default_matmul_precision', 'highest')
  log.info('products of float32: at full precision (JAX_DEFAULT_MATMUL_PRECISION=default is faster and rounds to TF32 '
           "or bfloat16; config.dtype='bfloat16' is faster still)")
