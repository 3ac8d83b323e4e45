"""GGUF files of the architectures llama, qwen2 and qwen3, read by the package gguf."""

import os

import numpy as np

from r1jax.convert import gguf_tokenizer
from r1jax.convert.files import parts
from r1jax.convert.source import Source
from r1jax.exceptions import UserError
from r1jax.models.layers import RopeScaling, rope_factors


_FAMILIES = ('llama', 'qwen2', 'qwen3')


def open_gguf(path: str, stop: tuple[str, ...] = ()) -> Source:
  """A GGUF file (or its parts) of a Llama, Qwen2 or Qwen3 model, in any quantisation that the gguf package can undo.

  Raises:
    UserError: not a GGUF file, or one of another architecture.
  """
  try:
    import gguf
  except ImportError as e:
    raise UserError("reading GGUF needs the package gguf: pip install gguf") from e
  readers = [_reader(gguf, part) for part in _all(path)]
  reader, tensors = readers[0], {t.name: t for each in readers for t in each.tensors}

  def fact(key, default=None):
    field = reader.fields.get(key)
    if field is None and default is None:
      raise UserError(f'{path} has no {key} in its metadata')
    return default if field is None else field.contents()

  if fact('split.count', 1) > len(readers):
    raise UserError(f'{path} is one of {fact("split.count")} parts by what it holds, not by its name: call them as '
                    'they were, NAME-00001-of-0000N.gguf, or join them (llama-gguf-split --merge)')
  family = fact('general.architecture')
  if family not in _FAMILIES:
    raise UserError(f'{path} holds the architecture {family!r}: supported is {" or ".join(map(repr, _FAMILIES))}')
  of = lambda key, default=None: fact(f'{family}.{key}', default)
  if of('rope.scaling.type', 'none') != 'none':
    raise UserError(f'{path} has {family}.rope.scaling.type={of("rope.scaling.type")!r}: not supported in a GGUF file; '
                    'import the Hugging Face directory that it was made from')
  if of('expert_count', 0):
    raise UserError(f'{path} is a mixture of {of("expert_count")} experts: supported are dense models')
  dim, heads = of('embedding_length'), of('attention.head_count')
  if heads < 1:
    raise UserError(f'{path} has {family}.attention.head_count={heads}')
  width = of('attention.key_length', of('rope.dimension_count', dim // heads))
  theta = float(of('rope.freq_base', 1e4))
  for key in ('rope.dimension_count', 'attention.value_length'):
    if of(key, width) != width:
      raise UserError(f'{path} has {family}.{key}={of(key)}, but heads of {width}: supported are heads whose numbers '
                      'are all turned, and values as long as keys')
  factors = tensors.pop('rope_freqs.weight', None)
  sizes = dict(
      vocab_size=len(fact('tokenizer.ggml.tokens')), dim=dim, layers=of('block_count'),
      heads=heads, kv_heads=of('attention.head_count_kv', heads), ffn_dim=of('feed_forward_length'),
      head_dim=width, rope_theta=theta,
      # Stored in float32: 1e-5 comes out as 9.999999747e-06.
      norm_eps=float(str(np.float32(of('attention.layer_norm_rms_epsilon')))),
      qkv_bias=family == 'qwen2', qk_norm=family == 'qwen3', tied='output.weight' not in tensors,
      max_length=of('context_length'),
      **({} if factors is None else {'rope_scaling': _scaling(path, np.asarray(factors.data, float), theta, width)}))
  kinds = {name: t.tensor_type.name for name, t in tensors.items()}

  def read(name, start=0, stop=None):
    tensor = tensors[name]  # mapped, a row of blocks each of its rows
    try:
      rows = tensor.data[start:stop]
      return gguf.quants.dequantize(rows, tensor.tensor_type).reshape(len(rows), *tensor.shape.tolist()[-2::-1])
    except NotImplementedError as e:
      raise UserError(f'{path}: tensor {name} has quantisation {tensor.tensor_type.name}, which the package gguf '
                      'cannot undo') from e

  for name, kind in kinds.items():
    if gguf.GGMLQuantizationType[kind] not in _readable(gguf):
      raise UserError(f'{path}: tensor {name} has quantisation {kind}, which the package gguf cannot undo')
  shapes = {name: tuple(t.shape.tolist()[::-1]) for name, t in tensors.items()}
  dtypes = {name: np.dtype('bfloat16' if kind == 'BF16' else np.float32) for name, kind in kinds.items()}
  return Source(path, 'gguf' if family == 'llama' else 'gguf_neox', sizes, shapes, dtypes, kinds, read,
                lambda: gguf_tokenizer.of_file(path, fact, sizes['vocab_size'], stop))


def _all(path: str) -> list[str]:
  """A file, or all parts of the model that it is one of.

  Raises:
    UserError: a part is not there.
  """
  found = parts(path)
  if gone := [part for part in found if not os.path.exists(part)]:
    raise UserError(f'{path} is one of {len(found)} parts, and {os.path.basename(gone[0])} is not beside it: fetch it')
  return found


def _reader(gguf, path: str):
  try:
    return gguf.GGUFReader(path)
  except Exception as e:  # pylint: disable=broad-except  what a torn file raises depends on where it is torn
    raise UserError(f'{path} cannot be read as GGUF: {" ".join(str(e).split()) or type(e).__name__}') from e


def _readable(gguf) -> set:
  """Quantisations that the package can undo, by its own table."""
  plain = {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16}
  return plain | set(getattr(gguf.quants, '_type_traits', gguf.GGMLQuantizationType))


def _scaling(path: str, factors: np.ndarray, theta: float, width: int) -> RopeScaling:
  """Llama 3.1's scaling, which a GGUF file holds as the divisor of each frequency.

  Raises:
    UserError: divisors of another scaling.
  """
  for length in (8192, 4096, 16384, 32768) if factors.shape == (width // 2,) else ():
    found = RopeScaling('llama3', factor=float(factors.max()), original_length=length, low=1.0, high=4.0)
    if np.allclose(rope_factors(found, theta, width), factors, rtol=1e-4):
      return found
  raise UserError(f"{path}: rope_freqs.weight is not Llama 3's scaling: import the Hugging Face directory that the "
                  'file was made from')
