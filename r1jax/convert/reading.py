"""Tensors of a source -> our arrays: whole, as numpy; or dealt out over devices, of which each host reads its part.

How much of the source a host reads. Weights are trained split along their width, which for most kernels is the
columns of the tensor in the file: dealt out as they are trained, each of 128 hosts wants 80 bytes of every row of 10
KB, so every page of every file. Therefore each device first gets rows: tensors, one for every four hosts where that
divides, are laid end to end and cut into equal runs. Then the devices exchange rows for columns (all_to_all, over the
links that training takes), and each puts what it has now in its place. So n hosts together read every matrix once,
each 1/n of it in runs that are long. All read the vectors (norms, biases), and two hosts read a row of fp8's scales
where their runs meet within its block of 128 rows.

Beside its share a host holds the rows on their way, up to four times: as read, by device, exchanged, turned. By
arithmetic that is one tensor of four hosts or more and two of two; measured on two CPU hosts with Qwen2.5-0.5B's sizes,
2.7 of the largest tensor, buffers of the collectives among them.
"""

import functools
import math
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from r1jax import stopping
from r1jax.convert import table
from r1jax.convert.source import Source
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib

STOPPED = 'stopped while weights were read, which is begun again'


class Leaf(NamedTuple):
  """One of our arrays, and the tensors that it is made of."""
  shape: tuple[int, ...]
  dtype: np.dtype
  names: dict[tuple[int, ...], str]  # layer and expert -> name
  place: table.Place  # of any of them: they are alike but for `at`

  @property
  def leading(self) -> int:
    """Axes before those of one tensor: layers, experts."""
    return len(self.place.at)


class Piece(NamedTuple):
  """Rows of a tensor that a device gets, and where among its own they lie."""
  tensor: int  # of those that are read together
  start: int
  stop: int
  at: int


def mesh_over(devices, width: int) -> jax.sharding.Mesh:
  """Devices, those of a host side by side, to split axes of `width` over: as many ways as divide it."""
  devices = sorted(devices, key=lambda d: (d.process_index, d.id))
  ways = math.gcd(len(devices), width)
  dealt = np.asarray(devices).reshape(ways, -1).T.reshape(-1, ways, 1, 1)
  return jax.sharding.Mesh(dealt, mesh_lib.AXES, axis_types=(jax.sharding.AxisType.Auto,) * len(mesh_lib.AXES))


def whole(source: Source, leaf: Leaf, config) -> np.ndarray:
  """A leaf as numpy. Memory: it and one tensor."""
  out = np.empty(leaf.shape, leaf.dtype)
  for at, name in leaf.names.items():
    part = table.to_ours(source.read(name), leaf.place, config, source.layout)
    table.copy(out[at], part) if part.ndim else out.__setitem__(at, part)
  return out


def dealt(source: Source, leaf: Leaf, config, sharding: NamedSharding) -> jax.Array:
  """A leaf over the devices of a mesh of `mesh_over`, laid out by `sharding`; all its processes call this together.

  Raises:
    ValueError: a sharding that splits anything but the width.
    Stopped: the run is asked to stop; on all of them.
  """
  theirs = table.their_shape(leaf.place)
  if len(theirs) == 1:
    found = whole(source, leaf, config)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: found[index])
  mesh = sharding.mesh
  n = _together(leaf, len({d.process_index for d in mesh.devices.flat}))
  plan = Plan.of(leaf, sharding, n)
  order = table.row_order(leaf.place, config, source.layout)
  empty, put = _exchange(leaf.shape, leaf.dtype, leaf.leading, bool(leaf.place.row.inputs), sharding, plan,
                         None if order is None else tuple(order.tolist()))
  out = empty()
  rows = NamedSharding(mesh, PartitionSpec(('fsdp', 'data'), None))
  ats = list(leaf.names)
  for first in range(0, len(ats), n):
    if hosts.stop_asked():
      raise stopping.Stopped(STOPPED)
    parts = _read(source, [leaf.names[at] for at in ats[first:first + n]], plan, leaf.dtype, rows)
    out = put(out, parts, np.asarray(ats[first], np.int32))
    del parts
    jax.block_until_ready(out)  # or what is read next would pile up beside it
  return out


def _together(leaf: Leaf, processes: int) -> int:
  """How many tensors are read at a time: at most one for every four hosts, a number that divides the last leading
  axis."""
  along = leaf.shape[leaf.leading - 1] if leaf.leading else 1
  return max(n for n in range(1, along + 1) if along % n == 0 and n <= max(processes // 4, 1))


class Plan(NamedTuple):
  """Which rows of `n` tensors [rows, columns] each device reads: the devices' (fsdp, data), number fsdp * data_size +
  data, share all rows laid end to end; where the width is the tensors' rows, a place of fsdp those that it keeps."""
  n: int
  rows: int
  columns: int
  fsdp: int
  data: int
  split: str  # '' | 'rows' | 'columns': what the width is in the file; '': all devices keep all

  @classmethod
  def of(cls, leaf: Leaf, sharding: NamedSharding, n: int) -> 'Plan':
    rows, columns = table.their_shape(leaf.place)
    shard = sharding.shard_shape(leaf.shape)
    inputs = leaf.leading + (leaf.place.row.inputs or 0)
    mine = math.prod(shard[leaf.leading:inputs]), math.prod(shard[inputs:])  # columns, rows
    if leaf.place.row.inputs is None:
      mine = shard[-1], shard[-2]
    fsdp, data = sharding.mesh.shape['fsdp'], sharding.mesh.shape['data']
    split = {(columns, rows): '', (columns // fsdp, rows): 'columns', (columns, rows // fsdp): 'rows'}.get(mine)
    if split is None or shard[:leaf.leading] != leaf.shape[:leaf.leading]:
      raise ValueError(f'{leaf.place.path}: {leaf.shape} laid out as {sharding.spec}: only a width can be split')
    return cls(n, rows, columns, fsdp, data, split)

  @property
  def each(self) -> int:
    """Rows that a device gets of all tensors together; the last ones may get fewer."""
    if self.split == 'rows':
      return self.n * -(-self.rows // self.fsdp // self.data)
    return -(-self.n * self.rows // (self.fsdp * self.data))

  def pieces(self, number: int) -> list[Piece]:
    """Of the device with that number."""
    if self.split != 'rows':
      first, last = number * self.each, min((number + 1) * self.each, self.n * self.rows)
      return [Piece(i, max(first, begin) - begin, min(last, begin + self.rows) - begin, max(begin - first, 0))
              for i in range(first // self.rows, -(-last // self.rows)) if first < last
              for begin in [i * self.rows]]
    part, (place, among) = self.each // self.n, divmod(number, self.data)
    kept = self.rows // self.fsdp
    start, stop = place * kept + among * part, place * kept + min((among + 1) * part, kept)
    return [Piece(i, start, stop, i * part) for i in range(self.n) if start < stop]


def _read(source: Source, names: list[str], plan: Plan, dtype, rows: NamedSharding) -> jax.Array:
  """[devices * plan.each, columns]: each device's rows, of which this process reads those of its own, every run of them
  once."""
  shape = (plan.fsdp * plan.data * plan.each, plan.columns)
  where = {(index[0].start or 0) // plan.each: device
           for device, index in rows.addressable_devices_indices_map(shape).items()}
  parts = {number: np.zeros((plan.each, plan.columns), dtype) for number in where}
  wanted = sorted((piece, number) for number in where for piece in plan.pieces(number))
  while wanted:
    run = [wanted.pop(0)]
    while wanted and wanted[0][0].tensor == run[0][0].tensor and wanted[0][0].start == run[-1][0].stop:
      run.append(wanted.pop(0))
    first = run[0][0].start
    found = source.read(names[run[0][0].tensor], first, run[-1][0].stop)
    for piece, number in run:
      parts[number][piece.at:piece.at + piece.stop - piece.start] = found[piece.start - first:piece.stop - first]
    del found
  return jax.make_array_from_single_device_arrays(
      shape, rows, [jax.device_put(parts.pop(number), device) for number, device in where.items()])


@functools.cache  # leaves of one shape share what is compiled
def _exchange(shape, dtype, leading: int, turned: bool, sharding: NamedSharding, plan: Plan, order: tuple | None):
  """Two jitted functions: () -> a leaf of zeros; (a leaf, rows as `_read` deals them out, where the first tensor goes)
  -> the leaf with them, which is donated.

  Numbers move as whole numbers, so that no backend rounds or cleans what it carries.
  """
  bits = {2: np.uint16, 4: np.uint32}[dtype.itemsize]
  gathered = functools.partial(jax.lax.all_gather, axis_name='data', tiled=True)

  def place(out, x, at):
    x = jax.lax.bitcast_convert_type(x, bits)
    if plan.split == 'rows':
      x = gathered(x.reshape(plan.n, -1, plan.columns), axis=1)[:, :plan.rows // plan.fsdp]
    else:
      x = gathered(x, axis=0)
      if plan.split == 'columns':
        x = jax.lax.all_to_all(x, 'fsdp', split_axis=1, concat_axis=0, tiled=True)
      else:
        x = jax.lax.all_gather(x, 'fsdp', axis=0, tiled=True)
      x = x[:plan.n * plan.rows].reshape(plan.n, plan.rows, -1)
    x = x if order is None else x[:, np.array(order)]
    x = x.swapaxes(1, 2) if turned else x
    lead = (*(1,) * (leading - 1), plan.n)[:leading]
    x = jax.lax.bitcast_convert_type(x.reshape(*lead, *out.shape[leading:]), dtype)
    return jax.lax.dynamic_update_slice(out, x, [at[i] for i in range(leading)] + [0] * (out.ndim - leading))

  mapped = jax.shard_map(place, mesh=sharding.mesh, out_specs=sharding.spec, check_vma=False, in_specs=(
      sharding.spec, PartitionSpec(('fsdp', 'data'), None), PartitionSpec()))
  return (jax.jit(lambda: jax.numpy.zeros(shape, dtype), out_shardings=sharding), jax.jit(mapped, donate_argnums=0))
