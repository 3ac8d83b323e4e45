"""Which tensor of theirs each leaf of ours is, for every family, and how its numbers are ordered there.

Theirs are [out, in], ours [in ..., out ...], with leading axes for the layer and the expert. A tensor seen in our
layout is a numpy view of it, both ways, so that tensors go one at a time straight into their place.
"""

import math
from typing import NamedTuple

from flax import traverse_util
import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.models import zoo


class Row(NamedTuple):
  """A leaf's names elsewhere; the first {} stands for the layer, a second one for the expert."""
  hf: str
  inputs: int | None  # leading axes of a kernel that are its input; 0: a vector; None: a table, as it is
  gguf: str = ''
  rotary: str = ''  # rows that RoPE turns and others order otherwise: 'gguf' whole heads, 'mla' the end of each head


DENSE = {
    'embedding': Row('model.embed_tokens.weight', None, 'token_embd.weight'),
    'blocks/attention_norm/scale': Row('model.layers.{}.input_layernorm.weight', 0, 'blk.{}.attn_norm.weight'),
    'blocks/q': Row('model.layers.{}.self_attn.q_proj.weight', 1, 'blk.{}.attn_q.weight', 'gguf'),
    'blocks/k': Row('model.layers.{}.self_attn.k_proj.weight', 1, 'blk.{}.attn_k.weight', 'gguf'),
    'blocks/v': Row('model.layers.{}.self_attn.v_proj.weight', 1, 'blk.{}.attn_v.weight'),
    'blocks/q_bias': Row('model.layers.{}.self_attn.q_proj.bias', 0, 'blk.{}.attn_q.bias', 'gguf'),
    'blocks/k_bias': Row('model.layers.{}.self_attn.k_proj.bias', 0, 'blk.{}.attn_k.bias', 'gguf'),
    'blocks/v_bias': Row('model.layers.{}.self_attn.v_proj.bias', 0, 'blk.{}.attn_v.bias'),
    'blocks/q_norm/scale': Row('model.layers.{}.self_attn.q_norm.weight', 0, 'blk.{}.attn_q_norm.weight'),
    'blocks/k_norm/scale': Row('model.layers.{}.self_attn.k_norm.weight', 0, 'blk.{}.attn_k_norm.weight'),
    'blocks/o': Row('model.layers.{}.self_attn.o_proj.weight', 2, 'blk.{}.attn_output.weight'),
    'blocks/mlp_norm/scale': Row('model.layers.{}.post_attention_layernorm.weight', 0, 'blk.{}.ffn_norm.weight'),
    'blocks/mlp/gate': Row('model.layers.{}.mlp.gate_proj.weight', 1, 'blk.{}.ffn_gate.weight'),
    'blocks/mlp/up': Row('model.layers.{}.mlp.up_proj.weight', 1, 'blk.{}.ffn_up.weight'),
    'blocks/mlp/down': Row('model.layers.{}.mlp.down_proj.weight', 1, 'blk.{}.ffn_down.weight'),
    'final_norm/scale': Row('model.norm.weight', 0, 'output_norm.weight'),
    'unembedding': Row('lm_head.weight', 1, 'output.weight'),
}

_MLA = {
    'attention_norm/scale': Row('input_layernorm.weight', 0),
    'attention/q_a': Row('self_attn.q_a_proj.weight', 1),
    'attention/q_norm/scale': Row('self_attn.q_a_layernorm.weight', 0),
    'attention/q_b': Row('self_attn.q_b_proj.weight', 1, rotary='mla'),
    'attention/kv_a': Row('self_attn.kv_a_proj_with_mqa.weight', 1, rotary='mla'),
    'attention/kv_norm/scale': Row('self_attn.kv_a_layernorm.weight', 0),
    'attention/kv_b': Row('self_attn.kv_b_proj.weight', 1),
    'attention/o': Row('self_attn.o_proj.weight', 2),
    'mlp_norm/scale': Row('post_attention_layernorm.weight', 0),
}
_SWIGLU = {name: f'{name}_proj.weight' for name in ('gate', 'up', 'down')}
_STACKS = {
    'dense_blocks': _MLA | {f'mlp/{ours}': Row(f'mlp.{theirs}', 1) for ours, theirs in _SWIGLU.items()},
    'moe_blocks': _MLA | {
        'moe/router': Row('mlp.gate.weight', 1), 'moe/router_bias': Row('mlp.gate.e_score_correction_bias', 0),
        **{f'moe/{ours}': Row('mlp.experts.{}.' + theirs, 1) for ours, theirs in _SWIGLU.items()},
        **{f'moe/shared/{ours}': Row(f'mlp.shared_experts.{theirs}', 1) for ours, theirs in _SWIGLU.items()}},
}
DEEPSEEK_V3 = {name: DENSE[name] for name in ('embedding', 'final_norm/scale', 'unembedding')} | {
    f'{stack}/{ours}': row._replace(hf='model.layers.{}.' + row.hf)
    for stack, rows in _STACKS.items() for ours, row in rows.items()}

TABLES = {'dense': DENSE, 'deepseek_v3': DEEPSEEK_V3}


class Place(NamedTuple):
  """One tensor of theirs: the leaf it is part of, and where in that leaf."""
  path: str
  at: tuple[int, ...]  # layer, expert
  shape: tuple[int, ...]  # of that part, in our layout
  row: Row


def shapes(config) -> dict[str, tuple[int, ...]]:
  """Leaf of ours -> its shape."""
  boxed = params_lib.abstract(zoo.build(config))
  return {path: x.shape for path, x in traverse_util.flatten_dict(mesh_lib.unbox(boxed), sep='/').items()}


def places(config, layout: str = 'hf') -> dict[str, Place]:
  """Name of each tensor in that layout ('hf' | 'gguf' | 'gguf_neox', where RoPE turns i with i + d/2) -> its place."""
  out = {}
  for path, shape in shapes(config).items():
    row = TABLES[config.family][path]
    name = row.hf if layout == 'hf' else row.gguf
    stacked = name.count('{}')
    first = config.dense_layers if path.startswith('moe_blocks') else 0
    for at in np.ndindex(*shape[:stacked]):
      outside = (at[0] + first, *at[1:]) if at else ()
      out[name.format(*outside)] = Place(path, at, shape[stacked:], row)
  return out


def their_shape(place: Place) -> tuple[int, ...]:
  shape, inputs = place.shape, place.row.inputs
  if inputs is None:
    return shape
  if inputs == 0:
    return (math.prod(shape),)
  return math.prod(shape[inputs:]), math.prod(shape[:inputs])


def to_ours(x: np.ndarray, place: Place, config, layout: str) -> np.ndarray:
  """Their tensor in our layout and order: a view, but for rows that RoPE turns."""
  x = _reorder(x, place, config, layout, halves_from_pairs)
  return x.reshape(place.shape) if not place.row.inputs else x.T.reshape(place.shape)


def row_order(place: Place, config, layout: str) -> np.ndarray | None:
  """Which row of theirs each row is once it is in our order; None: as they come."""
  rows = np.arange(their_shape(place)[0])
  order = _reorder(rows, place, config, layout, halves_from_pairs)
  return None if order is rows else order


def to_theirs(x: np.ndarray, place: Place, config, layout: str) -> np.ndarray:
  """The way back."""
  x = x.reshape(their_shape(place)) if not place.row.inputs else x.reshape(their_shape(place)[::-1]).T
  return _reorder(x, place, config, layout, pairs_from_halves)


_TILE = 128  # rows and columns turned at a time: both sides of a tile stay in the cache


def copy(out: np.ndarray, x: np.ndarray) -> None:
  """out[...] = x; of a matrix that lies the other way round tile by tile, several times as fast."""
  if x.ndim != 2 and out.flags.c_contiguous and x.size == out.size and x.ndim > 1 and x.strides[0] == x.itemsize:
    flat = x.reshape(x.shape[0], -1)  # [in, heads, width], the turned view of a matrix
    if np.shares_memory(flat, x):
      x, out = flat, out.reshape(flat.shape)
  if x.ndim != 2 or x.flags.c_contiguous:
    out[...] = x
    return
  if x.dtype == out.dtype and x.dtype.itemsize in (2, 4):  # numpy moves whole numbers faster than bfloat16
    whole = {2: np.uint16, 4: np.uint32}[x.dtype.itemsize]
    x = x.T.view(whole).T if x.T.flags.c_contiguous else x
    out = out.view(whole) if x.dtype == whole else out
  for i in range(0, x.shape[0], _TILE):
    for j in range(0, x.shape[1], _TILE):
      out[i:i + _TILE, j:j + _TILE] = x[i:i + _TILE, j:j + _TILE]


def _reorder(x, place, config, layout, order):
  if place.row.rotary == 'gguf' and layout == 'gguf':
    return order(x, x.shape[0] // config.head_dim, config.head_dim)
  if place.row.rotary == 'mla':
    return order(x, config.heads if place.path.endswith('q_b') else 1, config.rope_dim)
  return x


def halves_from_pairs(x: np.ndarray, heads: int, turned: int) -> np.ndarray:
  """Orders the rows that RoPE turns, the last `turned` of each head, as ours are.

  llama.cpp and DeepSeek turn neighbours (0, 1), (2, 3), ..; ours, as Hugging Face's Llama, turns i with i + d/2.
  """
  y = x.reshape(heads, -1, *x.shape[1:])
  keep, pairs = y[:, :-turned], y[:, -turned:]
  halves = pairs.reshape(heads, turned // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(pairs.shape)
  return np.concatenate([keep, halves], axis=1).reshape(x.shape)


def pairs_from_halves(x: np.ndarray, heads: int, turned: int) -> np.ndarray:
  """Undoes halves_from_pairs."""
  y = x.reshape(heads, -1, *x.shape[1:])
  keep, halves = y[:, :-turned], y[:, -turned:]
  pairs = halves.reshape(heads, 2, turned // 2, *x.shape[1:]).swapaxes(1, 2).reshape(halves.shape)
  return np.concatenate([keep, pairs], axis=1).reshape(x.shape)
