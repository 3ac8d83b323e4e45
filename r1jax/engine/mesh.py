"""One mesh for every platform: four axes, one table from what an array means to where it lies, programs compiled for
it."""

import contextlib
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax.experimental import mesh_utils
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import numpy as np

from r1jax.exceptions import UserError

AXES = ('data', 'fsdp', 'tensor', 'expert')

# Logical axis -> mesh axes, for training: weights are split over fsdp (and tensor), batches over data and fsdp.
# Between blocks activations are also split along their length, over the axes that split heads within a block. The
# expert axis splits heads and the vocabulary too, so that its devices have work outside the experts.
RULES = (
    ('batch', ('data', 'fsdp')),
    ('length', ('tensor', 'expert')),
    ('embed', 'fsdp'),
    ('hidden', None),  # the width of activations; only weights are split along 'embed'
    ('heads', ('tensor', 'expert')),
    ('kv_heads', ('tensor', 'expert')),
    ('head', None),
    ('mlp', 'tensor'),
    ('vocab', ('tensor', 'expert')),
    ('experts', 'expert'),
    ('layers', None),
)

# For decoding: no weight is gathered at every step, so none is split along its width; experts, nearly all of a
# mixture's weights, are dealt out over fsdp instead, and each expert over the axes that split heads.
_DECODE = {'embed': None, 'experts': 'fsdp', 'mlp': ('tensor', 'expert'), 'length': None}
DECODE_RULES = tuple((name, _DECODE.get(name, axes)) for name, axes in RULES)


# A rehearsal's: sizes of a mesh -> the host of each of its places (r1jax/rehearse/layout.py).
hosts_of_places = None

# What `create` takes where it is given no devices; None: all that there are.
_devices = None


@contextlib.contextmanager
def over(devices):
  """Context in which `create` lays meshes over devices that need not be there (plan/places.py has stand-ins): such a
  mesh knows its axes, its platform and its hosts, which is what checks ask for. Nothing runs on it."""
  global _devices
  before, _devices = _devices, devices
  try:
    yield
  finally:
    _devices = before


class use_mesh:
  """Context in which models' activations are laid out on a mesh by rules."""

  def __init__(self, mesh, rules=RULES):
    self._contexts = [jax.set_mesh(mesh), nn.logical_axis_rules(rules)]

  def __enter__(self):
    for context in self._contexts:
      context.__enter__()

  def __exit__(self, *error):
    for context in reversed(self._contexts):
      context.__exit__(*error)


class Program(NamedTuple):
  """A jitted function with what it is compiled for, so that it is compiled before any weight is loaded."""
  jitted: Any
  args: tuple  # trees of ShapeDtypeStruct with shardings
  mesh: Any
  rules: tuple
  options: dict = {}  # XLA's, of this program alone

  def lower(self):
    with use_mesh(self.mesh, self.rules):
      return self.jitted.lower(*self.args)

  def compile(self):
    return self.lower().compile(compiler_options=self.options)


def create(shape: dict[str, int], devices=None) -> jax.sharding.Mesh:
  """Mesh with the axes of AXES; one entry of `shape` may be -1 (all the devices that are left).

  devices: all that there are, or those of the context `over`, if not given.

  Raises:
    UserError: the product of the axes is not the number of devices.
  """
  if devices is None:
    devices = jax.devices() if _devices is None else _devices
  return jax.sharding.Mesh(dealt(shape, devices), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def dealt(shape: dict[str, int], devices) -> np.ndarray:
  """The devices, an array with the axes of AXES; raises as `create`."""
  sizes = [int(shape.get(axis, 1)) for axis in AXES]
  if sizes.count(-1) > 1:
    raise UserError(f'mesh={dict(zip(AXES, sizes))} has more than one -1: give all axes but one a size')
  if -1 in sizes:
    rest = math.prod(s for s in sizes if s != -1)
    sizes[sizes.index(-1)] = max(len(devices) // rest, 1)
  if math.prod(sizes) != len(devices):
    ones = ', '.join(f'{axis}=1' for axis, size in zip(AXES, sizes) if size != 1)
    way = f' ({ones} for one)' if len(devices) == 1 else ''
    raise UserError(f'mesh={dict(zip(AXES, sizes))} needs {math.prod(sizes)} devices, found {len(devices)}: '
                    f'change config.mesh{way}')
  if hosts_of_places is not None:
    return _by_host(hosts_of_places(tuple(sizes)), devices)
  if devices[0].platform == 'tpu':  # neighbours on the torus become neighbours on the mesh
    return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
  return np.asarray(devices).reshape(sizes)


def _by_host(hosts: np.ndarray, devices) -> np.ndarray:
  """A device of hosts[place] at each place, in their order."""
  left = {host: [d for d in devices if d.process_index == host] for host in set(hosts.flat)}
  out = np.empty(hosts.shape, object)
  for place, host in np.ndenumerate(hosts):
    out[place] = left[host].pop(0)
  return out


def batch_shards(mesh) -> int:
  """Number of pieces that the batch axis is cut into."""
  return mesh.shape['data'] * mesh.shape['fsdp']


def check_divides(name: str, size: int, mesh) -> None:
  """Raises UserError when `size` rows cannot be dealt out evenly."""
  devices = batch_shards(mesh)
  if size % devices:
    raise UserError(f'{name}={size} is not a multiple of the {devices} devices on mesh axes data x fsdp: '
                    f'use a multiple of {devices}, or give devices to config.mesh.tensor')


def batch_sharding(mesh) -> NamedSharding:
  """Rows dealt out over data and fsdp, everything else whole."""
  return NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))


def replicated(mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def unbox(boxed):
  """Takes the names off a tree of flax-partitioned leaves. (flax's own also constrains them to the mesh in use,
  which shapes cannot be.)"""
  is_box = lambda x: isinstance(x, nn.Partitioned)
  return jax.tree.map(lambda x: x.value if is_box(x) else x, boxed, is_leaf=is_box)


def sharding(names: tuple[str | None, ...], shape: tuple[int, ...], mesh, rules=RULES) -> NamedSharding:
  """Where an array whose axes mean `names` lies; an axis that its mesh axes do not divide stays whole."""
  out = []
  for axis, size in zip(nn.logical_to_mesh_axes(names, rules=rules) if names else (), shape):
    axes = (axis,) if isinstance(axis, str) else (axis or ())
    out.append(axis if axes and size % math.prod(mesh.shape[n] for n in axes) == 0 else None)
  return NamedSharding(mesh, PartitionSpec(*out))


def param_shardings(boxed, mesh, rules=RULES):
  """Shardings for a tree of flax-partitioned leaves (arrays or shapes), from the names on them.

  A dimension that its mesh axes do not divide stays whole, so that tiny models run on any mesh.
  """
  specs = nn.get_partition_spec(boxed)
  return jax.tree.map(lambda spec, leaf: sharding(tuple(spec), leaf.shape, mesh, rules), specs, unbox(boxed),
                      is_leaf=lambda x: isinstance(x, PartitionSpec))


def with_shardings(shapes, shardings):
  """A tree of ShapeDtypeStructs that says where each array will lie: what compiling ahead of time takes."""
  return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def put(tree, mesh):
  """Host arrays, the same on every process, -> device arrays with rows dealt out over the mesh."""
  dealt = batch_sharding(mesh)
  one = lambda x: jax.make_array_from_callback(np.shape(x), dealt, lambda index: np.asarray(x)[index])
  return jax.tree.map(one, tree)


def all_gather(tree):
  """Device arrays -> whole arrays on every host."""
  return multihost_utils.process_allgather(tree, tiled=True) if jax.process_count() > 1 else jax.device_get(tree)


def gather_rows(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
  """[n, ...]: every host's values for its own `rows`, of n in all; each row is some host's. All hosts get all."""
  whole = np.zeros((n, *values.shape[1:]), values.dtype)
  whole[rows] = values
  if jax.process_count() == 1:
    return whole
  owned = np.zeros(n, bool)
  owned[rows] = True
  parts, owners = multihost_utils.process_allgather((whole, owned))
  return parts[np.argmax(owners, axis=0), np.arange(n)]


def is_local(number: int) -> bool:
  """Whether a piece of host work with this number is this process's: every process_count-th is."""
  return number % jax.process_count() == jax.process_index()


def mean_over_hosts(values: dict[str, float]) -> dict[str, float]:
  """The mean of each value over hosts; NaN and what a host has not are left out."""
  if jax.process_count() == 1:
    return values
  names = sorted(values)
  found = multihost_utils.process_allgather(np.array([values[name] for name in names], np.float64))
  with np.errstate(all='ignore'):
    means = np.nansum(found, axis=0) / np.sum(~np.isnan(found), axis=0)
  return {name: float(mean) for name, mean in zip(names, means) if not np.isnan(mean)}


def processes() -> int:
  return jax.process_count()


def any_process(flag: bool) -> bool:
  """Whether it is set on one of them: all must take the same branch."""
  return bool(np.any(multihost_utils.process_allgather(np.array(flag)))) if jax.process_count() > 1 else flag


def min_over_hosts(value: int) -> int:
  """The smallest over processes."""
  return int(np.min(multihost_utils.process_allgather(np.array(value)))) if jax.process_count() > 1 else value


def first_process() -> bool:
  return jax.process_index() == 0


def barrier(where: str) -> None:
  """Waits until every process is there."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(where)


def from_first(data: bytes) -> bytes:
  """What the first process has, on all of them; the others' own is not looked at."""
  if jax.process_count() == 1:
    return data
  size = int(multihost_utils.broadcast_one_to_all(np.array(len(data))))
  mine = np.frombuffer(data, np.uint8) if first_process() else np.zeros(size, np.uint8)
  return np.asarray(multihost_utils.broadcast_one_to_all(mine)).astype(np.uint8).tobytes()


def of_first(values: np.ndarray) -> np.ndarray:
  """The first process's array, on all of them: of what each found alone, by its own clock, and all must go on with
  alike. Shape and dtype are the same everywhere."""
  return np.frombuffer(from_first(values.tobytes()), values.dtype).reshape(values.shape).copy()


def platform(mesh) -> str:
  """'cpu', 'gpu' or 'tpu'."""
  return mesh.devices.flat[0].platform

