"""FLOPs and bytes of a phase by formula, and the time that compute, HBM and interconnect each need at least.

XLA's cost analysis counts the body of a loop once, so none of this is read from the compiler. The formulas leave out
what is small beside the rest (norms, rotations, the router, the sampler's softmax).
"""

from typing import NamedTuple

from r1jax.plan.chips import Topology

BF16, F32 = 2, 4


class Work(NamedTuple):
  """Of one phase, once: FLOPs over all chips, bytes of one device."""
  model_flops: float  # what the mathematics asks for
  flops: float  # with what is computed again in the backward pass
  hbm_bytes: float
  link_bytes: float


class Sizes(NamedTuple):
  """What the formulas read of a model on a mesh."""
  active: int  # weights a token is multiplied with, unembedding aside
  params: int
  vocabulary: int  # weights of the unembedding
  attention: float  # FLOPs of a query against a key, all layers
  decode_attention: float  # the same when decoding (MLA: in the latent)
  cache_width: int
  layers: int
  dim: int
  moe_layers: int
  batch_shards: int  # mesh axes data x fsdp
  model_shards: int  # mesh axes tensor x expert
  fsdp: int


def sizes_of(config, mesh_shape: dict) -> Sizes:
  return Sizes(config.active_weights(), config.param_count(), config.vocab_size * config.dim, config.attention_flops(),
               config.decode_attention_flops(), config.cache_width(), config.layers, config.dim,
               config.layers - getattr(config, 'dense_layers', config.layers), mesh_shape['data'] * mesh_shape['fsdp'],
               mesh_shape['tensor'] * mesh_shape['expert'], mesh_shape['fsdp'])


def prefill(s: Sizes, prompts: int, width: int) -> Work:
  """The prompts of one wave, once each; only the last position is unembedded."""
  tokens = prompts * width
  flops = 2 * s.active * tokens + s.attention * prompts * width**2 / 2 + 2 * s.vocabulary * prompts
  local = tokens / s.batch_shards
  weights = s.params * BF16 / _decode_shards(s)
  return Work(flops, flops, weights + 12 * local * s.dim * BF16 * s.layers / s.model_shards, _tensor_bytes(s, local))


def decode(s: Sizes, rows: int, prompt: int, length: int) -> Work:
  """One token for every row, in the middle of the completion: half the cache is filled."""
  flops = 2 * (s.active + s.vocabulary) * rows + s.decode_attention * rows * (prompt + length / 2)
  local = rows / s.batch_shards
  heads_shared = s.moe_layers > 0  # MLA's latent is whole on every device of a row
  cache = local * (length / 2) * s.cache_width * BF16 / (1 if heads_shared else s.model_shards)
  weights = s.params * BF16 / _decode_shards(s)
  gathered = s.moe_layers * 2 * local * s.dim * BF16 * (s.fsdp - 1)  # experts lie over fsdp too
  return Work(flops, flops, weights + cache, _tensor_bytes(s, local) + gathered)


def update(s: Sizes, rows: int, length: int, prompt: int, micro_batches: int, *, remat: bool, mean_length=None) -> Work:
  """One optimiser step on `rows` outputs of `length` tokens (behind prompts of `prompt`, whose own cost is left out).

  Forward, backward (twice the products) and with remat the forward once more; the vocabulary pass is always computed
  again. Weights are gathered once a pass and micro-batch; gradients are scattered once a micro-batch.
  """
  tokens = rows * length
  span = (mean_length or length) / 2 + prompt
  forward = 2 * s.active * tokens + s.attention * tokens * span
  unembedding = 2 * s.vocabulary * tokens
  model = 3 * (forward + unembedding)
  passes = 4 if remat else 3
  local = tokens / s.batch_shards
  shards = s.batch_shards * s.model_shards
  gathered = s.params * BF16 / s.model_shards
  state = s.params * F32 * 7 / shards  # parameters, two moments, gradient: each read, all but the gradient written
  activations = passes * 16 * local * s.dim * BF16 * s.layers / s.model_shards
  hbm = micro_batches * (passes - 1) * gathered + state + activations
  spread = (s.fsdp - 1) / s.fsdp
  link = micro_batches * spread * gathered * (passes - 1 + F32 / BF16) + passes * _tensor_bytes(s, local)
  return Work(model, passes * forward + 4 * unembedding, hbm, link)


def _tensor_bytes(s: Sizes, local: float) -> float:
  """Two gathers and two scatters a layer, of what a device does not hold of its rows' activations."""
  return 4 * s.layers * local * s.dim * BF16 * (s.model_shards - 1) / s.model_shards


def _decode_shards(s: Sizes) -> int:
  """Pieces that the sampler's weights are cut into; experts are nearly all of a mixture's."""
  return s.model_shards * (s.fsdp if s.moe_layers else 1)


def seconds(work: Work, where: Topology) -> dict[str, float]:
  """Seconds that each resource needs at its peak; the largest binds."""
  chip = where.chip
  return {'compute': work.flops / (where.chips * chip.flops),
          'hbm': work.hbm_bytes * chip.devices / chip.hbm_bandwidth,
          'interconnect': work.link_bytes * chip.devices / where.link_bandwidth}
