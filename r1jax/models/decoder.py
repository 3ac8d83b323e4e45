"""What every family shares: embedding, stacks of scanned blocks, final norm, unembedding, and the cache's shape.

Layers of one kind are scanned, so compile time does not grow with depth and every weight has a leading axis L. A
sampler may hold them apart instead, `params['blocks']` a tuple of layers (`split_layers`): XLA's CPU and GPU backends
copy each layer's weights out of the stack before they multiply with them, at every token.

  hidden    whole rows, alone or behind prompts (Prefix): training, teacher forcing, prefill
  decode    one new token a row behind what its cache holds
"""

import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from r1jax.models import attention
from r1jax.models.layers import (FEW_ROWS, PRODUCT, RMSNorm, Turned, constrain, matmul, rope, turned_product, weight,
                                 wide)
from r1jax.types import NOWHERE


class Prefix(NamedTuple):
  """What completions need of the N prompts before them: what attention keeps, and where the first token comes from."""
  kv_LxNx: tuple[jax.Array, ...]  # dense: keys and values [L, N, K, P, d]; MLA: latents [L, N, 1, P, c + r]
  hidden_NxD: jax.Array  # of each prompt's last token
  lengths_N: jax.Array  # int32; a prompt fills the first of its P columns


class Cache(NamedTuple):
  """What attention keeps of S rows while they are decoded; row s has filled the first columns[s] of its C columns.

  Each entry of kv is one array for all layers, [L, S, ...], or a tuple of one a layer. Dense: keys [S, K, d, C] and
  values [S, K, C, d]; MLA: latents [S, 1, C, c + r].
  """
  kv: tuple
  columns_S: jax.Array  # int32


def split_layers(model, params: dict, *, turn: bool = False) -> dict:
  """params with each stack of layers as a tuple of layers; turn: their kernels Turned, for CPUs."""
  inputs = model.turned() if turn else {}

  def one(path, x):
    n = inputs.get(path[-1].key)
    return x if n is None else Turned(x.reshape(math.prod(x.shape[:n]), -1).T)

  apart = lambda stack, n: tuple(jax.tree_util.tree_map_with_path(
      one, jax.tree.map(lambda x, i=i: x[i], stack)) for i in range(n))
  return {**params, **{name: apart(params[name], length) for name, _, length in model.stacks()}}


class Decoder(nn.Module):
  """apply(tokens) -> logits; methods `hidden`, `decode` and `unembed` for everything that must stay small.

  A family gives `stacks`: (name, class of block, number of layers), in order, and `cache_dims`. A block is called with
  (x, layer, prefix_kv, cos_sin, where) and returns (x, its keys and values); or with (x, layer, None, cos_sin, step,
  stored, recent), for one new token, and returns (x, recent).
  """
  config: Any
  mixture = False  # of experts: its blocks sow what the router did

  def setup(self):
    c = self.config
    self.embedding = weight(self, 'embedding', (c.vocab_size, c.dim), ('vocab', 'embed'), fan_in=c.dim)
    for name, block, length in self.stacks():
      if c.remat != 'none':
        policy = {'full': None, 'dots': jax.checkpoint_policies.save_only_these_names(PRODUCT)}[c.remat]
        block = nn.remat(block, policy=policy, prevent_cse=False)
      stacked = nn.scan(block, variable_axes={'params': 0, 'experts': 0, 'choices': 0, 'replay': 0},
                        split_rngs={'params': True}, length=length, unroll=min(c.unroll, length),
                        in_axes=(0, 0, nn.broadcast, nn.broadcast),
                        metadata_params={nn.PARTITION_NAME: 'layers'})
      setattr(self, name, stacked(c))
    self.final_norm = RMSNorm(c.norm_eps)
    if not c.tied:
      self.unembedding = weight(self, 'unembedding', (c.dim, c.vocab_size), ('embed', 'vocab'), fan_in=c.dim)
    if c.reward_head:
      self.reward_head = weight(self, 'reward_head', (c.dim,), ('embed',), fan_in=c.dim)

  def stacks(self) -> list[tuple[str, type, int]]:
    raise NotImplementedError

  def kernels(self) -> dict[str, int]:
    """Kernels that may be held Adapted or Int8, by name: how many of their first axes are inputs."""
    raise NotImplementedError

  def turned(self) -> dict[str, int]:
    """Kernels that may be held Turned, by name: how many of their first axes are inputs."""
    return {}

  @nn.nowrap
  def choices(self) -> tuple[tuple[int, int], Any] | None:
    """((L, k), dtype) of the experts that a token is sent to, L the layers that are mixtures; None: a dense model."""
    return None

  def cache_dims(self) -> tuple[tuple[int, int], ...]:
    """(key heads, width) of each array that the cache keeps."""
    raise NotImplementedError

  @nn.nowrap
  def empty_cache(self, rows: int, columns: int, *, apart: bool = False) -> Cache:
    """apart: one array a layer."""
    c = self.config
    shapes = [x.shape for x in jax.eval_shape(lambda: attention.as_stored(
        tuple(jnp.zeros((rows, heads, columns, width)) for heads, width in self.cache_dims())))]
    names = ('batch', 'kv_heads', None, None)
    if apart:
      made = tuple(tuple(constrain(jnp.zeros(s, c.dtype), *names) for _ in range(c.layers)) for s in shapes)
    else:
      made = tuple(constrain(jnp.zeros((c.layers, *s), c.dtype), 'layers', *names) for s in shapes)
    return Cache(made, jnp.zeros(rows, jnp.int32))

  def __call__(self, tokens_BxT):
    """Logits [B, T, V], float32: for tests and exports; training goes through losses.token_logps."""
    return self.unembed(self.hidden(tokens_BxT)[0])

  def _embed(self, tokens_BxT):
    # Looked up in a table whose rows are whole: split along D, XLA would deal the rows out anew for every batch.
    table_VxD = constrain(self.embedding.astype(self.config.dtype), 'vocab', 'hidden')
    return constrain(jnp.take(table_VxD, tokens_BxT, axis=0), 'batch', 'length', 'hidden')

  def _rope(self, positions_BxT):
    c = self.config
    return rope(jnp.where(positions_BxT == NOWHERE, 0, positions_BxT), c.rope_dim, c.rope_theta, c.rope_scaling)

  def _layers_apart(self, name: str):
    """The layers of a stack where they are held apart, else None."""
    found = self.variables.get('params', {}).get(name)
    return found if isinstance(found, tuple) else None

  def _layer(self, block, params, replayed, *args):
    """(What a layer applied by itself gives, the ids [B, T, k] of the experts that it used where they are asked
    for and it has some, else None); replayed: its part of the collection 'replay', or None."""
    variables = {'params': params} if replayed is None else {'params': params, 'replay': replayed}
    if not self.is_mutable_collection('choices'):
      return block.apply(variables, *args), None
    out, sown = block.apply(variables, *args, mutable=['choices'])
    return out, sown['choices']['moe']['ids'][0] if 'choices' in sown else None

  def hidden(self, tokens_BxT, positions_BxT=None, segment_ids_BxT=None, prefix: Prefix | None = None, prompt_B=None):
    """Last hidden states [B, T, D] after the final norm, and these tokens' keys and values.

    Args:
      tokens_BxT: int32.
      positions_BxT: int32, NOWHERE for padding; None: 0 .. T-1.
      segment_ids_BxT: int32; tokens see only their own segment (packed rows).
      prefix: row b follows prompt prompt_B[b] and sees all of it.

    Returns: (hidden, kv_LxBx as in Prefix)
    """
    c = self.config
    B, T = tokens_BxT.shape
    if positions_BxT is None:
      positions_BxT = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32), (B, T))
    x_BxTxD, behind = self._embed(tokens_BxT), prefix is not None
    where = attention.where(c.attention, positions_BxT, segment_ids_BxT, prefix.lengths_N if behind else None, prompt_B,
                            prefix.kv_LxNx[0].shape[3] if behind else 0)
    cos_sin, first, kept, chosen = self._rope(positions_BxT), 0, [], []
    for name, block, length in self.stacks():
      part = slice(first, first + length)
      shared = tuple(kv[part] for kv in prefix.kv_LxNx) if behind else None
      apart = self._layers_apart(name)
      if apart is None:
        x_BxTxD, new_kv = getattr(self, name)(x_BxTxD, jnp.arange(part.start, part.stop), shared, cos_sin, where)
      else:
        each, replayed = [], self.variables.get('replay', {}).get(name)
        for i, params in enumerate(apart):
          at = lambda tree, i=i: jax.tree.map(lambda s: s[i], tree)
          (x_BxTxD, kv), ids = self._layer(block(c, parent=None), params, at(replayed), x_BxTxD, first + i, at(shared),
                                           cos_sin, where)
          each.append(kv)
          chosen += [] if ids is None else [ids[None]]
        new_kv = tuple(jnp.stack(parts) for parts in zip(*each))
      first, kept = part.stop, kept + [new_kv]
    if chosen:
      self.sow('choices', 'ids', jnp.concatenate(chosen))
    kv = kept[0] if len(kept) == 1 else tuple(jnp.concatenate(parts) for parts in zip(*kept))
    return self.final_norm(x_BxTxD), kv

  def decode(self, token_S, position_S, cache: Cache, recent, step: attention.Step):
    """The hidden state [S, D] after one new token a row, and `recent` with that token's keys and values in it.

    Args:
      recent: tuple of [L, S, K, n, d], or of tuples of L arrays where the cache holds layers apart.
    """
    c = self.config
    x_Sx1xD, cos_sin = self._embed(token_S[:, None]), self._rope(position_S[:, None])
    first, kept, chosen, held_apart = 0, [], [], isinstance(cache.kv[0], tuple)
    for name, block, length in self.stacks():
      part, params = slice(first, first + length), self.variables['params'][name]
      block = block(c, parent=None)
      if held_apart:
        new = []
        for i in range(length):
          at = lambda parts, i=first + i: tuple(x[i] for x in parts)
          here = params[i] if isinstance(params, tuple) else jax.tree.map(lambda x, i=i: x[i], params)
          (x_Sx1xD, out), ids = self._layer(block, here, None, x_Sx1xD, None, None, cos_sin, step, at(cache.kv),
                                            at(recent))
          new.append(out)
          chosen += [] if ids is None else [ids[None]]
        kept.append(tuple(zip(*new)))
      else:
        def one(x, at):
          params, layer, recent = at
          (x, recent), ids = self._layer(block, params, None, x, layer, None, cos_sin, step, cache.kv, recent)
          return x, (recent, ids)

        layers = (params, jnp.arange(part.start, part.stop), tuple(r[part] for r in recent))
        x_Sx1xD, (new, ids) = jax.lax.scan(one, x_Sx1xD, layers)
        kept.append(new)
        chosen += [] if ids is None else [ids]
      first = part.stop
    if chosen:
      self.sow('choices', 'ids', jnp.concatenate(chosen))
    join = (lambda parts: sum(parts, ())) if held_apart else jnp.concatenate
    recent = kept[0] if len(kept) == 1 else tuple(join(parts) for parts in zip(*kept))
    return self.final_norm(x_Sx1xD)[:, 0], recent

  def reward(self, hidden_BxD):
    """[B] float32: what a reward model says at a response's last token (preference.py)."""
    return wide(hidden_BxD) @ self.reward_head

  def unembed(self, hidden_BxTxD):
    """Logits, float32 as they leave the product: rounded to bfloat16 first, those above 32 would lie 0.25 apart."""
    dtype, c = hidden_BxTxD.dtype, self.config
    out = jnp.promote_types(dtype, jnp.float32)
    if c.tied and self._few_rows(hidden_BxTxD):
      return turned_product(hidden_BxTxD, self.embedding.astype(dtype), out)
    return matmul(hidden_BxTxD, (self.embedding.T if c.tied else self.unembedding).astype(dtype), out)

  def _few_rows(self, hidden) -> bool:
    """Whether weights are better the left-hand side of a product (layers.Turned): on one CPU, for a sampler's rows."""
    one_cpu = jax.default_backend() == 'cpu' and jax.sharding.get_abstract_mesh().size <= 1
    return one_cpu and hidden.ndim == 2 and len(hidden) <= FEW_ROWS
