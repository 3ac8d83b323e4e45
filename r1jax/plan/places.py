"""Where a topology's devices lie: stand-ins with their hosts, and the axes of a mesh that lead from host to host.

No compiler is needed for them: what is checked before one is asked (plan/__main__.py), and what is rehearsed
(rehearse/), sees a mesh as a run would lay it.
"""

import dataclasses
import itertools

import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.plan import chips

_KINDS = {'v5e': 'TPU v5 lite', 'v5p': 'TPU v5', 'v6e': 'TPU v6 lite', 'tpu7x': 'TPU7x'}  # as jax calls them


@dataclasses.dataclass(frozen=True)
class Device:  # no tuple, which numpy would take apart
  """As much of a device as a mesh asks for."""
  id: int
  process_index: int
  platform: str
  coords: tuple[int, ...] = ()
  core_on_chip: int = 0
  device_kind: str = ''
  slice_index: int = 0


def devices(where: chips.Topology) -> list[Device]:
  """The topology's devices, each with its host: of TPUs 2 x 2 chips a host, of up to eight v5e or v6e all of them
  (Google Cloud's TPU pages, 2026-11); of GPUs as written."""
  platform = where.chip.platform
  if platform != 'tpu':
    return [Device(i, i * where.hosts // where.devices, platform) for i in range(where.devices)]
  shape = (*where.shape, *[1] * (3 - len(where.shape)))
  block = shape if where.hosts == 1 else (2, 2, 1)
  blocks = [-(-n // b) for n, b in zip(shape, block)]
  found = []
  for coords in itertools.product(*(range(n) for n in reversed(shape))):
    x, y, z = reversed(coords)
    host = (z // block[2] * blocks[1] + y // block[1]) * blocks[0] + x // block[0]
    for core in range(where.chip.devices):
      found.append(Device(len(found), host, platform, (x, y, z), core, _KINDS[where.kind]))
  return found


def crossing(where: chips.Topology, mesh: dict[str, int]) -> tuple[str, ...]:
  """Axes of the mesh along which a step may lead to another host, where it lies as a run would lay it.

  Raises:
    UserError: it does not fit the topology.
  """
  hosts = np.vectorize(lambda d: d.process_index, otypes=[int])(mesh_lib.dealt(mesh, devices(where)))
  return tuple(axis for i, axis in enumerate(mesh_lib.AXES) if np.any(np.diff(hosts, axis=i)))
