"""A small mesh for a large one, and fake devices laid so that its axes cross hosts as they do on a topology
(plan/places.py)."""

import math

import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError


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


def crossing(sizes: tuple[int, ...], across: tuple[str, ...], hosts: int) -> tuple[str, ...]:
  """The axes of a mesh of `sizes` that do lead from one host to another."""
  placed = arrange(sizes, across, hosts)
  return tuple(axis for i, axis in enumerate(mesh_lib.AXES) if np.any(np.diff(placed, axis=i)))


def _parts(sizes: tuple[int, ...], order: list[int], hosts: int) -> list[int]:
  """Into how many hosts each axis is cut: those of `order` first, in halves."""
  parts, left = [1] * len(sizes), hosts
  for i in [*order, *order * 5, *list(range(len(sizes))) * 5]:
    if left % 2 == 0 and sizes[i] % (2 * parts[i]) == 0:
      parts[i], left = 2 * parts[i], left // 2
  return parts
