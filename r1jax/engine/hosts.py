"""The processes of a run, one a host, joined."""

import logging
import os

import jax

from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')


def join() -> None:
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
