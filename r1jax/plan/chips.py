"""What a chip can do, and topologies as they are written: KIND:AxBxC."""

import math
from typing import NamedTuple

from r1jax.types import UserError

GIB = 1 << 30


class Chip(NamedTuple):
  """Per chip, but for devices: how many JAX devices a chip shows, between which its memory and work are divided."""
  flops: float  # bfloat16, a second
  hbm_bytes: float  # what XLA's TPU compiler gives a program (it says so when one does not fit); on others the nominal
  hbm_bandwidth: float  # bytes a second
  link_bandwidth: float  # interconnect, bytes a second in one direction, all links together
  devices: int = 1


# Google Cloud's TPU pages (cloud.google.com/tpu/docs: v5e, v5p, v6e, tpu7x), 2026-11; the interconnect there is
# bidirectional: v5e 400 GB/s, v5p 1,200, v6e 800, tpu7x 1,200; half of it goes one way.
CHIPS = {
    'v5e': Chip(197e12, 15.75 * GIB, 819e9, 200e9),
    'v5p': Chip(459e12, 95.74 * GIB, 2765e9, 600e9),
    'v6e': Chip(918e12, 31.25 * GIB, 1640e9, 400e9),
    'tpu7x': Chip(2307e12, 189.5 * GIB, 7380e9, 600e9, devices=2),
    # Two cores of an AMD EPYC virtual machine, measured 2026-11-23: numpy's matmul and its copy.
    'cpu': Chip(150e9, 24e9, 25e9, 25e9),
}


class Topology(NamedTuple):
  name: str  # as it was given
  kind: str
  shape: tuple[int, ...]

  @property
  def chip(self) -> Chip:
    return CHIPS[self.kind]

  @property
  def chips(self) -> int:
    return math.prod(self.shape)

  @property
  def devices(self) -> int:
    return self.chips * self.chip.devices


def topology(name: str) -> Topology:
  """'v5p:4x4x8' -> Topology.

  Raises:
    UserError: another form, or no such chip.
  """
  kind, _, shape = name.partition(':')
  if kind not in CHIPS:
    raise UserError(f'topology {name!r}: no chip {kind!r}, one of {", ".join(CHIPS)}')
  sizes = shape.split('x')
  if not shape or not all(s.isdigit() and int(s) for s in sizes):
    raise UserError(f'topology {name!r} is not of the form {kind}:AxB or {kind}:AxBxC')
  return Topology(name, kind, tuple(int(s) for s in sizes))
