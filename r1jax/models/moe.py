"""Mixture of experts as in DeepSeek-V3: sigmoid router, group-limited top-k, shared expert, nothing dropped.

The router runs in float32. The bias enters the choice of experts only; weights are the unbiased scores. It is moved
by load after each update (`balance`), not by a gradient. Dispatch drops nothing, so that sampler and trainer agree.

Choices can be replayed (R3, "Rollout Routing Replay", arXiv 2510.11370): `choosing` notes which experts each token of
a pass went to, `replaying` sends it to those again, weighed by the scores that the router gives them now.
"""

import functools
import math

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from r1jax.models.layers import SwiGLU, spec_for, weight

CHUNK = 4096  # tokens whose copies, one for each of their experts, are held at once on a device


def route(scores_SxE: jax.Array, bias_E: jax.Array, *, top_k: int, groups: int, groups_kept: int, scaling: float,
          normalise: bool) -> tuple[jax.Array, jax.Array]:
  """(weights_Sxk, ids_Sxk): each token's experts (DeepSeek-V3 report, eqs. 12 to 16, section 2.1.2).

  A group's score is the sum of its two best biased scores; experts outside the `groups_kept` best groups are out.
  """
  ids_Sxk = choose(scores_SxE, bias_E, top_k=top_k, groups=groups, groups_kept=groups_kept)
  return weigh(scores_SxE, ids_Sxk, scaling=scaling, normalise=normalise), ids_Sxk


def choose(scores_SxE: jax.Array, bias_E: jax.Array, *, top_k: int, groups: int, groups_kept: int) -> jax.Array:
  """ids_Sxk of `route`, int32; without a gradient."""
  S, E = scores_SxE.shape
  biased = jax.lax.stop_gradient(scores_SxE + bias_E)
  if groups > 1:
    best_two = jax.lax.top_k(biased.reshape(S, groups, E // groups), 2)[0].sum(axis=-1)
    kept = jax.lax.top_k(best_two, groups_kept)[1]
    open_SxG = jnp.any(kept[:, :, None] == jnp.arange(groups), axis=1)
    biased = jnp.where(jnp.repeat(open_SxG, E // groups, axis=1), biased, -jnp.inf)
  return jax.lax.top_k(biased, top_k)[1]


def weigh(scores_SxE: jax.Array, ids_Sxk: jax.Array, *, scaling: float, normalise: bool) -> jax.Array:
  """weights_Sxk of `route`, whoever chose the experts."""
  weights_Sxk = jnp.take_along_axis(scores_SxE, ids_Sxk, axis=-1)
  if normalise:
    weights_Sxk = weights_Sxk / (jnp.sum(weights_Sxk, axis=-1, keepdims=True) + 1e-20)
  return weights_Sxk * scaling


def sequence_balance(scores_BxTxE: jax.Array, ids_BxTxk: jax.Array, real_BxT: jax.Array) -> jax.Array:
  """[B]: sum_i f_i P_i over each row's real tokens (DeepSeek-V3 report, eqs. 17 to 20); 1 when balanced."""
  E, k = scores_BxTxE.shape[-1], ids_BxTxk.shape[-1]
  real = real_BxT.astype(jnp.float32)[..., None]
  count = jnp.maximum(jnp.sum(real, axis=1), 1.0)
  chosen = jnp.sum(jax.nn.one_hot(ids_BxTxk, E), axis=2)
  f_BxE = jnp.sum(chosen * real, axis=1) * E / (k * count)
  share = scores_BxTxE / (jnp.sum(scores_BxTxE, axis=-1, keepdims=True) + 1e-20)
  return jnp.sum(f_BxE * jnp.sum(share * real, axis=1) / count, axis=-1)


class MoE(nn.Module):
  """Shared expert + weighted sum of each token's top-k experts.

  Sows into 'experts': load [E] (tokens that the router sends to each expert) and balance [B] (`sequence_balance`), of
  the router's own choices, which are what its bias can change, whatever is replayed; with a replay also otherwise, the
  number of tokens whose experts it would not have chosen. Into 'choices': the ids [B, T, k] that were used. In 'replay'
  it looks for ids [B, T, k] to be used; where they are negative its own are.
  """
  config: object  # deepseek_v3.Config

  @nn.compact
  def __call__(self, x_BxTxD, real_BxT):
    c, (B, T, D) = self.config, x_BxTxD.shape
    E, F, k = c.experts, c.expert_dim, c.experts_per_token
    out_scale = (2 * c.layers)**-0.5
    router = weight(self, 'router', (D, E), ('embed', None), fan_in=D)
    bias_E = self.param('router_bias', nn.with_logical_partitioning(nn.initializers.zeros, (None,)), (E,), jnp.float32)
    gate = weight(self, 'gate', (E, D, F), ('experts', 'embed', 'mlp'), fan_in=D)
    up = weight(self, 'up', (E, D, F), ('experts', 'embed', 'mlp'), fan_in=D)
    down = weight(self, 'down', (E, F, D), ('experts', 'mlp', 'embed'), fan_in=F, scale=out_scale)
    with jax.named_scope('router'):
      logits = jnp.einsum('btd,de->bte', x_BxTxD.astype(jnp.float32), router, precision=jax.lax.Precision.HIGHEST)
      scores = jax.nn.sigmoid(logits)
      own = choose(scores.reshape(-1, E), jax.lax.stop_gradient(bias_E), top_k=k, groups=c.groups,
                   groups_kept=c.groups_kept).reshape(B, T, k)
      ids = self._used(own, real_BxT)
      weights = weigh(scores.reshape(-1, E), ids.reshape(-1, k), scaling=c.routed_scaling,
                      normalise=c.normalise_top_k).reshape(B, T, k)
    real_BxTx1 = real_BxT[..., None]
    self.sow('experts', 'load', jnp.zeros(E).at[own].add(jnp.broadcast_to(real_BxTx1, own.shape).astype(jnp.float32)))
    self.sow('experts', 'balance', sequence_balance(scores, own, real_BxT))
    self.sow('choices', 'ids', ids.astype(id_dtype(E)))
    with jax.named_scope('experts'):
      out = experts(x_BxTxD, ids, weights, *(w.astype(x_BxTxD.dtype) for w in (gate, up, down)), path=c.attention)
    return out + SwiGLU(F * c.shared_experts, out_scale, name='shared')(x_BxTxD)

  def _used(self, own_BxTxk, real_BxT):
    """The ids to be used: those of 'replay', where there are any."""
    given = self.get_variable('replay', 'ids')
    if given is None:
      return own_BxTxk
    ids = given.astype(own_BxTxk.dtype)
    if jnp.issubdtype(given.dtype, jnp.signedinteger):
      ids = jnp.where(ids < 0, own_BxTxk, ids)
    differs = jnp.any(jnp.sort(ids, axis=-1) != jnp.sort(own_BxTxk, axis=-1), axis=-1)
    self.sow('experts', 'otherwise', jnp.sum((differs & real_BxT).astype(jnp.float32)))
    return ids


def experts(x_BxTxD, ids_BxTxk, weights_BxTxk, gate_ExDxF, up_ExDxF, down_ExFxD, *, path: str = 'xla') -> jax.Array:
  """sum_k weight_k * SwiGLU_{id_k}(x), with experts dealt out over the mesh axes of 'experts'.

  Every device of an expert group sees all the group's tokens, works on those sent to its own experts, and the parts
  are summed: more traffic than sending each token to its experts, but shapes that do not depend on the routing.

  Args:
    path: as of attention.attend. 'splash' means TPU: grouped products by jax's megablox kernel there, by
      jax.lax.ragged_dot elsewhere (XLA's TPU backend computes every row with every expert for it).
  """
  B, E, F = x_BxTxD.shape[0], *gate_ExDxF.shape[::2]
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return _local(x_BxTxD, ids_BxTxk, weights_BxTxk, gate_ExDxF, up_ExDxF, down_ExFxD, first=0, path=path)
  as_tuple = lambda axes: (axes,) if isinstance(axes, str) else axes or ()
  owners, inner = (as_tuple(axes) for axes in spec_for(('experts', 'mlp'), (E, F)))
  row = jax.P(tuple(axis for axis in as_tuple(spec_for(('batch',), (B,))[0]) if axis not in owners))
  summed = owners + inner

  def shard(x, ids, weights, gate, up, down):
    first = jax.lax.axis_index(owners) * gate.shape[0] if owners else 0
    out = _local(x, ids, weights, gate, up, down, first=first, path=path)
    return jax.lax.psum(out, summed) if summed else out

  return jax.shard_map(shard, in_specs=(row, row, row, jax.P(owners, None, inner), jax.P(owners, None, inner),
                                        jax.P(owners, inner, None)), out_specs=row,
                       check_vma=False)(x_BxTxD, ids_BxTxk, weights_BxTxk, gate_ExDxF, up_ExDxF, down_ExFxD)


def _local(x_BxTxD, ids_BxTxk, weights_BxTxk, gate, up, down, *, first, path):
  """The part of `experts` that the experts first .. first + len(gate) contribute."""
  (B, T, D), k = x_BxTxD.shape, ids_BxTxk.shape[-1]
  S = B * T
  flat = (x_BxTxD.reshape(S, D), ids_BxTxk.reshape(S, k), weights_BxTxk.reshape(S, k))
  one = functools.partial(_tokens, gate=gate, up=up, down=down, first=first, path=path)
  if S <= CHUNK:
    return one(flat).reshape(B, T, D)
  n = math.ceil(S / CHUNK)
  cut = lambda x: jnp.pad(x, ((0, n * CHUNK - S), (0, 0))).reshape(n, CHUNK, -1)
  out = jax.lax.map(jax.checkpoint(one), tuple(cut(x) for x in flat))
  return out.reshape(n * CHUNK, D)[:S].reshape(B, T, D)


def _tokens(flat, *, gate, up, down, first, path):
  x_SxD, ids_Sxk, weights_Sxk = flat
  S, k = ids_Sxk.shape
  mine = gate.shape[0]
  local = ids_Sxk.reshape(-1) - first
  local = jnp.where((local >= 0) & (local < mine), local, mine)  # `mine`: somebody else's, sorted to the end
  order = jnp.argsort(local)
  sizes = jnp.bincount(local, length=mine + 1)[:mine].astype(jnp.int32)
  ours = (local[order] < mine)[:, None]
  product = functools.partial(_grouped_product, sizes=sizes, path=path)
  # Rows past the last group hold anything, forward and backward: masked on the way in for the gradient's sake.
  rows = jnp.where(ours, x_SxD[order // k], 0)
  out = product(nn.silu(product(rows, gate)) * product(rows, up), down)
  out_SxkxD = jnp.where(ours, out, 0)[jnp.argsort(order)].reshape(S, k, -1)
  return jnp.einsum('skd,sk->sd', out_SxkxD, weights_Sxk, preferred_element_type=jnp.float32).astype(x_SxD.dtype)


def _grouped_product(rows, kernels, *, sizes, path):
  """Each run of `sizes` rows times its own kernel."""
  if not path.startswith('splash'):
    return jax.lax.ragged_dot(rows, kernels, group_sizes=sizes)
  from jax.experimental.pallas.ops.tpu.megablox import ops
  tile = 512 if len(rows) >= 512 else 128
  padded = jnp.pad(rows, ((0, -len(rows) % tile), (0, 0)))
  side = max(min(1024, *kernels.shape[1:]) // 128 * 128, 128)  # of both axes: the backward pass changes them over
  return ops.gmm(padded, kernels, sizes, rows.dtype, (tile, side, side), None, None, False,
                 path == 'splash_interpret')[:len(rows)]


def balance(params: dict, load_LxE: jax.Array, *, rate: float) -> dict:
  """Moves each layer's router_bias by `rate` towards equal load (DeepSeek-V3 report, section 2.1.2)."""
  bias = params['moe_blocks']['moe']['router_bias']
  moved = bias + rate * jnp.sign(jnp.mean(load_LxE, axis=-1, keepdims=True) - load_LxE)
  moe = {**params['moe_blocks']['moe'], 'router_bias': moved}
  return {**params, 'moe_blocks': {**params['moe_blocks'], 'moe': moe}}


def recording(apply):
  """(apply, seen): an apply that also appends what the MoE layers sow in each pass over hidden states to `seen`."""
  seen = []

  def call(variables, *args, **kwargs):
    if kwargs.get('method') != 'hidden':
      return apply(variables, *args, **kwargs)
    out, sown = apply(variables, *args, mutable=['experts'], **kwargs)
    seen.append({name: value[0] for name, value in sown['experts']['moe_blocks']['moe'].items()})
    return out

  return call, seen


# --- choices that are kept and replayed


def id_dtype(experts: int) -> np.dtype:
  """Of a kept choice: a byte for up to 256 experts."""
  return np.dtype(np.uint8 if experts <= 256 else np.uint16)


def choosing(apply):
  """(apply, seen): an apply that also appends to `seen` the experts [B, T, L, k] that each pass sent its tokens to, L
  the layers that are mixtures."""
  seen = []

  def call(variables, *args, **kwargs):
    if kwargs.get('method') not in ('hidden', 'decode'):
      return apply(variables, *args, **kwargs)
    out, sown = apply(variables, *args, mutable=['choices'], **kwargs)
    sown = sown['choices']
    (ids_LxBxTxk,) = sown['ids'] if 'ids' in sown else sown['moe_blocks']['moe']['ids']
    seen.append(jnp.moveaxis(ids_LxBxTxk, 0, 2))
    return out

  return call, seen


def replaying(apply, choices_BxTxLxk):
  """An apply whose passes over hidden states send tokens to these experts (integers; of a signed type where some may be
  negative, which stands for the router's own choice); None: `apply` itself."""
  if choices_BxTxLxk is None:
    return apply

  def call(variables, *args, **kwargs):
    if kwargs.get('method') == 'hidden':
      ids_LxBxTxk = jnp.moveaxis(choices_BxTxLxk, 2, 0)
      variables = {**variables, 'replay': {'moe_blocks': {'moe': {'ids': ids_LxBxTxk}}}}
    return apply(variables, *args, **kwargs)

  return call
