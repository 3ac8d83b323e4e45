"""Where a mesh's axes cross hosts on a topology, and fake devices laid so that they cross them here too."""

import dataclasses
import itertools
import math

import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.plan import chips

_KINDS = {'v5e': 'TPU v5 lite', 'v5p': 'TPU v5', 'v6e': 'TPU v6 lite', 'tpu7x': 'TPU7x'}  # as jax calls them


@dataclasses.dataclass(frozen=True)
class _Device:  # no tuple, which numpy would take apart
  """As much of a device as jax.experimental.mesh_utils asks for."""
  id: int
  process_index: int
  coords: tuple[int, ...] = ()
  core_on_chip: int = 0
  device_kind: str = ''
  platform: str = 'gpu'
  slice_index: int = 0


def devices(where: chips.Topology) -> list[_Device]:
  """The topology's devices, each with its host: of TPUs 2 x 2 chips a host, of up to eight v5e or v6e all of them
  (Google Cloud's TPU pages, 2026-11); of GPUs as written."""
  if where.chip.platform != 'tpu':
    return [_Device(i, i * where.hosts // where.devices) for i in range(where.devices)]
  shape = (*where.shape, *[1] * (3 - len(where.shape)))
  block = shape if where.hosts == 1 else (2, 2, 1)
  blocks = [-(-n // b) for n, b in zip(shape, block)]
  found = []
  for coords in itertools.product(*(range(n) for n in reversed(shape))):
    x, y, z = reversed(coords)
    host = (z // block[2] * blocks[1] + y // block[1]) * blocks[0] + x // block[0]
    for core in range(where.chip.devices):
      found.append(_Device(len(found), host, (x, y, z), core, _KINDS[where.kind], 'tpu'))
  return found


def crossing(where: chips.Topology, mesh: dict[str, int]) -> tuple[str, ...]:
  """Axes of the mesh along which a step may lead to another host, where it lies as a run would lay it.

  Raises:
    UserError: it does not fit the topology.
  """
  hosts = np.vectorize(lambda d: d.process_index, otypes=[int])(mesh_lib.dealt(mesh, devices(where)))
  return tuple(axis for i, axis in enumerate(mesh_lib.AXES) if np.any(np.diff(hosts, axis=i)))


def small(mesh: dict[str, int], count: int) -> dict[str, int]:
  """The mesh on `count` devices: every axis that has more than one has two, the rest goes to fsdp, else to data.

  Raises:
    UserError: they do not divide.
  """
  sizes = {axis: 2 if mesh.get(axis, 1) not in (0, 1) else 1 for axis in mesh_lib.AXES}
  rest, over = divmod(count, math.prod(sizes.values()))
  if over or not rest:
    raise UserError(f'{count} devices for a mesh of {math.prod(sizes.values())} at least: give --hosts and --devices '
                    'whose product is a multiple of it')
  sizes['fsdp' if sizes['fsdp'] > 1 else 'data'] *= rest
  return sizes


def arrange(sizes: tuple[int, ...], across: tuple[str, ...], hosts: int) -> np.ndarray:
  """[*sizes] int: the host of each place of a mesh of `sizes` (as AXES), so that every axis of `across` leads from one
  host to another, as far as that many hosts allow; each host has as many places."""
  order = [i for i, axis in enumerate(mesh_lib.AXES) if axis in across and sizes[i] > 1]
  order = order or [i for i, n in enumerate(sizes) if n > 1][:1]
  index = np.indices(sizes)
  if hosts == 1 or not order:
    return np.zeros(sizes, int)
  parts = _parts(sizes, order, hosts)
  if math.prod(parts) != hosts:
    return np.arange(math.prod(sizes)).reshape(sizes) * hosts // math.prod(sizes)
  # Fewer hosts than axes to cross: a step along one that got none turns the hosts of the others.
  turned, out = sum(index[i] for i in order if parts[i] == 1), np.zeros(sizes, int)
  for i, n in enumerate(parts):
    out = out * n + (index[i] * n // sizes[i] + turned) % n
  return out


def _parts(sizes: tuple[int, ...], order: list[int], hosts: int) -> list[int]:
  """Into how many hosts each axis is cut: those of `order` first, in halves."""
  parts, left = [1] * len(sizes), hosts
  for i in [*order, *order * 5, *list(range(len(sizes))) * 5]:
    if left % 2 == 0 and sizes[i] % (2 * parts[i]) == 0:
      parts[i], left = 2 * parts[i], left // 2
  return parts
