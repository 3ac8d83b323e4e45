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
  """Some prompts, once each; only the last position is unembedded."""
  tokens = prompts * width
  flops = 2 * s.active * tokens + s.attention * prompts * width**2 / 2 + 2 * s.vocabulary * prompts
  local = tokens / s.batch_shards
  weights = s.params * BF16 / _decode_shards(s)
  return Work(flops, flops, weights + 12 * local * s.dim * BF16 * s.layers / s.model_shards, _tensor_bytes(s, local))


def admit(s: Sizes, rows: int, width: int) -> Work:
  """Prompts copied into the cache: the first columns of every row are read, chosen and written."""
  return Work(0, 0, 3 * _cache_bytes(s, rows * width), 0)


def decode(s: Sizes, rows: int, prompt: int, length: int) -> Work:
  """One token for every row, in the middle of the completion: half of its columns are filled."""
  return decode_step(s, rows, rows * (prompt + length / 2))


def decode_step(s: Sizes, rows: int, columns: float) -> Work:
  """One token for every row; `columns` of the cache are read, over all rows. Rows that have ended are multiplied,
  too."""
  flops = 2 * (s.active + s.vocabulary) * rows + s.decode_attention * columns
  local = rows / s.batch_shards
  weights = s.params * BF16 / _decode_shards(s)
  gathered = s.moe_layers * 2 * local * s.dim * BF16 * (s.fsdp - 1)  # experts lie over fsdp too
  return Work(flops, flops, weights + _cache_bytes(s, columns), _tensor_bytes(s, local) + gathered)


def gradient(s: Sizes, rows: int, length: int, prompt: int, *, remat: bool) -> Work:
  """One micro-batch of `rows` outputs of `length` tokens behind prompts of `prompt`, whose own cost is `prompts`'.

  Forward, backward (twice the products) and with remat the forward once more; the vocabulary pass is always computed
  again. Weights are gathered once a pass, gradients are scattered and added to the sums.
  """
  tokens = rows * length
  forward, unembedding = _forward(s, tokens, length / 2 + prompt), 2 * s.vocabulary * tokens
  passes = 4 if remat else 3
  local = tokens / s.batch_shards
  gathered = s.params * BF16 / s.model_shards
  sums = 3 * s.params * F32 / _shards(s)  # they and the gradient are read, they are written
  hbm = (passes - 1) * gathered + sums + passes * _activation_bytes(s, local)
  link = _spread(s) * gathered * (passes - 1 + F32 / BF16) + passes * _tensor_bytes(s, local)
  return Work(3 * (forward + unembedding), passes * forward + 4 * unembedding, hbm, link)


def prompts(s: Sizes, number: int, width: int, *, remat: bool) -> Work:
  """What a step spends on its prompts: once forward for the rows behind them, once more forward and back with what
  those ask."""
  once, tokens = reference(s, number, width, 0), number * width
  forward, passes = _forward(s, tokens, width / 2), 4 if remat else 3
  local, gathered = tokens / s.batch_shards, s.params * BF16 / s.model_shards
  back = Work(3 * forward, passes * forward,
              (passes - 1) * gathered + 3 * s.params * F32 / _shards(s) + passes * _activation_bytes(s, local),
              _spread(s) * gathered * (passes - 1 + F32 / BF16) + passes * _tensor_bytes(s, local))
  return total([once._replace(model_flops=0, flops=forward), back])  # the mathematics asks for them once


def reference(s: Sizes, rows: int, length: int, prompt: int) -> Work:
  """Log-probs alone, of rows as `gradient` takes them: once forward."""
  tokens = rows * length
  flops = _forward(s, tokens, length / 2 + prompt) + 2 * s.vocabulary * tokens
  local, gathered = tokens / s.batch_shards, s.params * BF16 / s.model_shards
  return Work(flops, flops, gathered + _activation_bytes(s, local), _spread(s) * gathered + _tensor_bytes(s, local))


def optimizer(s: Sizes, moment_bytes: int = F32) -> Work:
  """AdamW: parameters and two moments read and written, the gradient read."""
  return Work(0, 0, s.params * (3 * F32 + 4 * moment_bytes) / _shards(s), 0)


def update(s: Sizes, rows: int, length: int, prompt: int, micro_batches: int, *, remat: bool,
           moment_bytes: int = F32) -> Work:
  """One optimiser step on `rows` outputs of `length` tokens, cut into so many equal micro-batches; prompts left out."""
  one = gradient(s, rows / micro_batches, length, prompt, remat=remat)
  return total([one] * micro_batches + [optimizer(s, moment_bytes)])


def weights(s: Sizes) -> Work:
  """Trained weights dealt out anew in the sampler's layout and dtype: each device fetches what it does not hold."""
  wanted = s.params * BF16 / _decode_shards(s)
  return Work(0, 0, s.params * F32 / _shards(s) + wanted, wanted * _spread(s))


def total(works) -> Work:
  return Work(*map(sum, zip(*works)))


def _forward(s: Sizes, tokens: float, span: float) -> float:
  """FLOPs of the layers for so many tokens, each of which sees `span` keys."""
  return 2 * s.active * tokens + s.attention * tokens * span


def _activation_bytes(s: Sizes, local: float) -> float:
  return 16 * local * s.dim * BF16 * s.layers / s.model_shards


def _cache_bytes(s: Sizes, columns: float) -> float:
  """Of so many columns over all rows, on one device. MLA's latent is whole on every device of a row."""
  return columns / s.batch_shards * s.cache_width * BF16 / (1 if s.moe_layers else s.model_shards)


def _shards(s: Sizes) -> int:
  """Pieces that trained weights are cut into."""
  return s.fsdp * s.model_shards


def _spread(s: Sizes) -> float:
  """Share of a weight that a device has to fetch to have all of its rows' part."""
  return (s.fsdp - 1) / s.fsdp


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
