"""What a chip can do, and topologies as they are written: KIND:AxBxC, of GPUs KIND:HOSTSxGPUS."""

import math
import os
from typing import NamedTuple

from r1jax.exceptions import UserError

GIB = 1 << 30
SHARE = 'XLA_PYTHON_CLIENT_MEM_FRACTION'


class Chip(NamedTuple):
  """Per chip, but for devices: how many JAX devices a chip shows, between which its memory and work are divided."""
  flops: float  # bfloat16, a second
  hbm_bytes: float  # what XLA's TPU compiler gives a program (it says so when one does not fit); on others the nominal
  hbm_bandwidth: float  # bytes a second
  link_bandwidth: float  # interconnect, bytes a second in one direction, all links together
  devices: int = 1
  platform: str = 'tpu'
  network_bandwidth: float = 0.0  # of a GPU, to other hosts, bytes a second in one direction


# Google Cloud's TPU pages (cloud.google.com/tpu/docs: v5e, v5p, v6e, tpu7x), 2026-11; the interconnect there is
# bidirectional: v5e 400 GB/s, v5p 1,200, v6e 800, tpu7x 1,200; half of it goes one way.
CHIPS = {
    'v5e': Chip(197e12, 15.75 * GIB, 819e9, 200e9),
    'v5p': Chip(459e12, 95.74 * GIB, 2765e9, 600e9),
    'v6e': Chip(918e12, 31.25 * GIB, 1640e9, 400e9),
    'tpu7x': Chip(2307e12, 189.5 * GIB, 7380e9, 600e9, devices=2),
    # NVIDIA's data sheets, 2026-11: dense bfloat16, NVLink in one direction, one 400 (A100: 200) Gb/s port a GPU.
    # Memory is the whole of the device, of which JAX takes a share: Topology.available.
    'a100': Chip(312e12, 85100068864, 2039e9, 300e9, platform='gpu', network_bandwidth=25e9),
    'h100': Chip(989e12, 84942979072, 3352e9, 450e9, platform='gpu', network_bandwidth=50e9),
    'h200': Chip(989e12, 151397597184, 4800e9, 450e9, platform='gpu', network_bandwidth=50e9),
    # One of a workstation or of Colab, on PCIe. T4: float32, in which XLA multiplies the bfloat16 that it has not.
    'l4': Chip(121e12, 24152899584, 300e9, 32e9, platform='gpu', network_bandwidth=12.5e9),
    't4': Chip(8.1e12, 15835660288, 320e9, 16e9, platform='gpu', network_bandwidth=12.5e9),
    # Two cores of an AMD EPYC virtual machine, measured 2026-11-23: numpy's matmul and its copy.
    'cpu': Chip(150e9, 24e9, 25e9, 25e9, platform='cpu'),
}

_FLAT = ('v5e', 'v6e')  # slices of two axes; of the others' three axes there are too many to list
_FLAT_SHAPES = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')  # the same pages

CHIPS |= {'a100-80': CHIPS['a100'], 'a100-40': CHIPS['a100']._replace(hbm_bytes=42505273344, hbm_bandwidth=1555e9)}


class Topology(NamedTuple):
  name: str  # as it was given
  kind: str
  shape: tuple[int, ...]  # of a GPU's: hosts x GPUs of a host

  @property
  def chip(self) -> Chip:
    return CHIPS[self.kind]

  @property
  def link_bandwidth(self) -> float:
    """Of a chip, in one direction: GPUs of several hosts are as fast as the network between them."""
    several = self.chip.platform == 'gpu' and math.prod(self.shape[:-1]) > 1
    return self.chip.network_bandwidth if several else self.chip.link_bandwidth

  @property
  def chips(self) -> int:
    return math.prod(self.shape)

  @property
  def devices(self) -> int:
    return self.chips * self.chip.devices

  @property
  def hosts(self) -> int:
    """Machines: GPUs as written; up to eight chips of v5e and v6e are one, else four chips are (Google Cloud's TPU
    pages, 2026-11)."""
    if self.chip.platform == 'gpu':
      return math.prod(self.shape[:-1])
    if self.chip.platform == 'cpu' or self.kind in ('v5e', 'v6e') and self.chips <= 8:
      return 1
    return -(-self.chips // 4)

  @property
  def available(self) -> float:
    """Bytes that JAX has on a device: of a GPU 75 % of its memory, or the share that the environment variable
    XLA_PYTHON_CLIENT_MEM_FRACTION names."""
    return self.at_share(float(os.environ.get(SHARE, 0.75)) if self.chip.platform == 'gpu' else 1.0)

  def at_share(self, share: float) -> float:
    """Bytes of a device where JAX takes this share of its memory."""
    return self.chip.hbm_bytes * share / self.chip.devices


def topology(name: str) -> Topology:
  """'v5p:4x4x8' -> Topology.

  Raises:
    UserError: another form, or no such chip.
  """
  kind, _, shape = name.partition(':')
  if kind not in CHIPS:
    known = ', '.join(f'{chip} ({CHIPS[chip].hbm_bytes / 1e9:.0f} GB)' for chip in CHIPS)
    raise UserError(f'topology {name!r}: no chip {kind!r}, one of {known}; another is planned for by one of its memory')
  sizes = shape.split('x')
  if not shape or not all(s.isdigit() and int(s) for s in sizes):
    raise UserError(f'topology {name!r} is not of the form {kind}:AxB or {kind}:AxBxC')
  found = Topology(name, kind, tuple(int(s) for s in sizes))
  if kind in _FLAT and shape not in _FLAT_SHAPES:
    raise UserError(f'topology {name!r}: {kind} is to be had as {", ".join(_FLAT_SHAPES)}')
  form = {'cpu': 'A', 'gpu': 'HOSTSxGPUS'}.get(found.chip.platform, 'AxB' if kind in _FLAT else 'AxBxC')
  if len(sizes) != len(form.split('x')):
    raise UserError(f'topology {name!r} is not of the form {kind}:{form}')
  return found


# What XLA's GPU compiler asks of a device that is not there; the figures are those of
# xla/backends/gpu/target_config/specs (openxla/xla, 2026-11). Chip -> compute capability, cores, units a core, shared
# memory of a core, of a block at most, L2, GHz, name. Those of the L4 and T4, and the bytes of their memory and of the
# A100 of 40 GB, are from memory of NVIDIA's data sheets and of what such devices report.
_GPUS = {
    'a100': (8.0, 108, 64, 167936, 166912, 41943040, 1.41, 'NVIDIA A100-SXM4-80GB'),
    'a100-40': (8.0, 108, 64, 167936, 166912, 41943040, 1.41, 'NVIDIA A100-SXM4-40GB'),
    'l4': (8.9, 58, 128, 102400, 101376, 50331648, 2.04, 'NVIDIA L4'),
    't4': (7.5, 40, 64, 65536, 65536, 4194304, 1.59, 'Tesla T4'),
    'h100': (9.0, 132, 128, 233472, 232448, 52428800, 1.98, 'NVIDIA H100 80GB HBM3'),
    'h200': (9.0, 132, 128, 233472, 232448, 52428800, 1.98, 'NVIDIA H200'),
}


def emulates_bfloat16(where: Topology) -> bool:
  """Whether it is older than bfloat16 (GPUs before Ampere)."""
  return where.chip.platform == 'gpu' and _GPUS[where.kind][0] < 8


def gpu_target(kind: str) -> str:
  """The target config of a GPU, in protobuf's text form."""
  capability, cores, units, shared, block, l2, clock, name = _GPUS.get(kind) or _GPUS[kind.partition('-')[0]]
  major, minor = str(capability).split('.')
  threads = 1024 if capability == 7.5 else 1536 if capability == 8.9 else 2048
  chip = CHIPS[kind]
  return f'''
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {threads}
  shared_memory_per_block: 49152 shared_memory_per_core: {shared} shared_memory_per_block_optin: {block}
  core_count: {cores} fpus_per_core: {units} clock_rate_ghz: {clock} l2_cache_size: {l2}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {int(chip.hbm_bandwidth)} device_memory_size: {int(chip.hbm_bytes)}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{name}"
'''
