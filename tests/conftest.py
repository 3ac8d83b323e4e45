"""What the tests stand on: eight fake CPU devices, a compile cache, the nano model; and skips are said aloud.

All of it is set in the environment before jax is imported, so processes that tests start have it too.
"""

import gc
import hashlib
from importlib import metadata
import math
import os
import pathlib
import platform

DEVICES = 8


def _machine() -> str:
  """Short name of this CPU: compiled code is kept apart for each, as one may lack another's instructions."""
  cpu = pathlib.Path('/proc/cpuinfo')
  flags = next((line for line in cpu.read_text().splitlines() if line.startswith(('flags', 'Features'))),
               '') if cpu.exists() else platform.processor()
  return f'{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}'


os.environ.setdefault('JAX_PLATFORMS', 'cpu')
_FLAG = '--xla_force_host_platform_device_count'
if _FLAG not in os.environ.get('XLA_FLAGS', ''):
  # Most of the suite's time is XLA's compiler: what it computes is tested here, not how fast. (moe_test.py's step with
  # its emitters of fusions 40 s, without 29 s.)
  QUICK = '--xla_backend_optimization_level=0'
  if metadata.version('jaxlib').startswith('0.10.'):  # later ones do not know the flag, and abort
    QUICK += ' --xla_cpu_use_fusion_emitters=false'
  # XLA ends the process where a device waits 40 s for another in a collective: with eight on two busy cores one may,
  # and pytest-xdist then hangs.
  QUICK += ' --xla_cpu_collective_call_terminate_timeout_seconds=600'
  os.environ['R1JAX_TEST_XLA_FLAGS'] = QUICK  # of programs that tests start with one device, as a user has
  os.environ['XLA_FLAGS'] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}={DEVICES} {QUICK}".strip()
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR',
                      str(pathlib.Path(__file__).resolve().parent.parent / '.jax_cache' / _machine()))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')

import pytest  # noqa: E402  after the environment


@pytest.fixture(autouse=True)
def _few_maps():
  """Compiled programs that nobody asks for any more are forgotten before the kernel's limit of a process's maps
  (vm.max_map_count, 65,530), behind which XLA's compiler dies of a segmentation fault."""
  yield
  _few_maps.done += 1
  if _few_maps.done % 20 == 0 and len(pathlib.Path('/proc/self/maps').read_bytes().splitlines()) > 30_000:
    import jax
    jax.clear_caches()
    gc.collect()


_few_maps.done = 0


@pytest.fixture(scope='session')
def nano():
  """(model, params) of the zoo's 'nano', float32. Not to be donated: copy the parameters first."""
  from r1jax.engine import params as params_lib
  from r1jax.models import zoo
  model = zoo.build(zoo.get('nano'))
  return model, params_lib.init(model, seed=0)


@pytest.fixture(scope='module')
def one_device():
  """Stages run on one device, as on a laptop, where their mesh names no number;
  on eight all takes several times as long."""
  import jax
  from r1jax.engine import mesh as mesh_lib
  create = mesh_lib.create
  named = lambda shape: math.prod(size for size in shape.values() if size > 0)
  mesh_lib.create = lambda shape, devices=None: create(
      shape, devices or mesh_lib._devices or jax.devices()[:named(shape)])
  yield
  mesh_lib.create = create


# The longest first: files are dealt out whole, so that no fixture of theirs is made twice.
LONG = ('plan', 'pipeline', 'r1', 'parity', 'rewards_attacks', 'convert', 'attention', 'models', 'colabs', 'update',
        'moe', 'rewards_math_pairs', 'preference', 'rewards_code', 'rewards_sandbox')


def pytest_collection_modifyitems(items):
  place = {f'{name}_test': i for i, name in enumerate(LONG)}
  items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def pytest_terminal_summary(terminalreporter):
  """A test that did not run is no test that passed: name each, and why."""
  skipped = terminalreporter.stats.get('skipped', [])
  if not skipped:
    return
  terminalreporter.section(f'{len(skipped)} skipped')
  for report in skipped:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    terminalreporter.line(f'{report.nodeid}: {reason.removeprefix("Skipped: ")}')
