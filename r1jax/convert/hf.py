"""Hugging Face directories, read: config.json, safetensors in any number of files, tokenizer.json."""

import errno
import functools
import glob
import hashlib
import json
import logging
import os
import re

import ml_dtypes  # registers bfloat16 with numpy, which safetensors needs to read it
import numpy as np
import safetensors

from r1jax.convert import tokenizer_files
from r1jax.convert.files import again, is_pointer, only_adapter, read_json
from r1jax.convert.hf_config import BLOCK, sizes_of
from r1jax.convert.source import Source
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_EMBEDDING = 'model.embed_tokens.weight'
# As safetensors calls what a tensor is kept in -> in which we keep it. bfloat16 has fewer digits than float16.
_KEPT = {'F64': np.float32, 'F32': np.float32, 'F16': np.float32, 'BF16': ml_dtypes.bfloat16,
         'F8_E4M3': ml_dtypes.bfloat16}
_READ = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': ml_dtypes.bfloat16, 'F8_E4M3': ml_dtypes.float8_e4m3fn}
_SCALES = ('F32', 'BF16', 'F16')  # of fp8 weights


def open_hf(directory: str, stop: tuple[str, ...] = ()) -> Source:
  """A directory of a Llama, Qwen2 or DeepSeek-V3 model, told from its config.json.

  Raises:
    UserError: another family, a feature that models/ does not have, a shard that is missing or cut short, layers
      that config.json does not speak of.
  """
  facts = read_json(directory, 'config.json')
  sizes = sizes_of(directory, facts)
  files, kinds, places, read_from = {}, {}, {}, shards(directory)
  _say_left(directory, read_from)
  for file in read_from:
    try:
      with safetensors.safe_open(file, framework='numpy') as f:
        for name in f.keys():
          if name in files and _digest_of(files[name][0], name) != _digest_of(file, name):
            raise UserError(f'{directory}: tensor {name} lies in {os.path.basename(files[name][0])} and, otherwise, in '
                            f'{os.path.basename(file)}: fetch both again')
          part = f.get_slice(name)
          files[name], kinds[name] = (file, tuple(part.get_shape())), part.get_dtype()
      places |= spans(file)
    except (safetensors.SafetensorError, OSError) as e:
      why = 'it is a git-lfs pointer, not the file: run `git lfs pull` there, or' if is_pointer(file) else f'{e};'
      raise UserError(f'{file} cannot be read as safetensors: {why} {again(file)}') from e
  scales = {name for name in files if name.endswith('_scale_inv')}
  extra = _beyond(directory, files, sizes, facts)
  left_out = scales | extra | {name for name in files if name.endswith('rotary_emb.inv_freq')}
  if sizes['tied'] and {'lm_head.weight', _EMBEDDING} <= files.keys():  # some write the embedding twice
    head, table = (_digest_of(files[name][0], name) for name in ('lm_head.weight', _EMBEDDING))
    if head != table:
      raise UserError(f'{directory}/config.json says tie_word_embeddings=true, but lm_head.weight is not '
                      f'{_EMBEDDING}: set it to false there, so that both are read')
    left_out.add('lm_head.weight')
  shapes = {name: shape for name, (_, shape) in files.items() if name not in left_out}
  for name in scales:
    of = name.removesuffix('_scale_inv')
    if kinds.get(of) != 'F8_E4M3':
      raise UserError(f'{directory}: {name} scales {of}, which is '
                      f'{"kept as " + kinds[of] if of in kinds else "not there"}: only fp8 weights have scales; fetch '
                      'both again')
    if kinds[name] not in _SCALES:
      raise UserError(f'{directory}: {name} is kept as {kinds[name]}: supported is {", ".join(_SCALES)}')
  for name in shapes:
    if kinds[name] == 'F8_E4M3' and name + '_scale_inv' not in files:
      raise UserError(f'{directory}: tensor {name} is fp8 and has no {name}_scale_inv beside it')
    if kinds[name] == 'F8_E4M3':
      scale, wanted = files[name + '_scale_inv'][1], tuple(-(-n // BLOCK) for n in shapes[name])
      if scale != wanted:
        raise UserError(f'{directory}: tensor {name}_scale_inv has shape {scale}, expected {wanted}')
    if kinds[name] not in _KEPT:
      raise UserError(f'{directory}: tensor {name} is kept as {kinds[name]}: supported is {", ".join(_KEPT)}')

  def read(name, start=0, stop=None):
    x = _rows(places[name], files[name][1], kinds[name], start, stop)
    if kinds[name] != 'F8_E4M3':
      return x
    scale = name + '_scale_inv'
    end = start + len(x)
    return _dequantised(x, _rows(places[scale], files[scale][1], kinds[scale], start // BLOCK, -(-end // BLOCK)),
                        start % BLOCK)

  return Source(directory, 'hf', sizes, shapes, {name: np.dtype(_KEPT[kinds[name]]) for name in shapes},
                {name: kinds[name] for name in shapes}, read,
                lambda: tokenizer_files.of_directory(directory, facts, sizes['vocab_size'], stop))


def shards(directory: str) -> list[str]:
  """The files that hold the model: those of the index, else model.safetensors, else model-I-of-N.safetensors, else all
  but what people keep beside a model.

  Raises:
    UserError: there are none, or not all.
  """
  index = read_json(directory, 'model.safetensors.index.json', needed=False)
  if index:
    weight_map = index.get('weight_map')
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
      raise UserError(f'{directory}/model.safetensors.index.json has no weight_map of tensors to files: fetch it again')
    found = sorted({os.path.join(directory, name) for name in weight_map.values()})
    for file in found:
      if not os.path.abspath(file).startswith(os.path.join(os.path.abspath(directory), '')):
        raise UserError(f'{directory}/model.safetensors.index.json names {os.path.relpath(file, directory)}, which is '
                        'not in that directory: put its files there')
      if not os.path.exists(file):
        raise UserError(f'{directory}/model.safetensors.index.json names {os.path.basename(file)}, which is not there: '
                        'fetch it')
    if found:
      return found
  names = sorted(os.path.basename(file) for file in glob.glob(os.path.join(glob.escape(directory), '*.safetensors')))
  if 'model.safetensors' in names:
    return [os.path.join(directory, 'model.safetensors')]
  numbered = [(name, match) for name in names if (match := re.fullmatch(r'model-(\d+)-of-(\d+)\.safetensors', name))]
  if numbered and len(numbered) != int(numbered[0][1][2]):
    raise UserError(f'{directory} holds {len(numbered)} of the {int(numbered[0][1][2])} files that their names speak '
                    'of, and no model.safetensors.index.json: fetch the others')
  whole = [name for name, _ in numbered] or [
      name for name in names if not name.startswith(('consolidated', 'adapter_', 'optimizer'))]
  if whole:
    return [os.path.join(directory, name) for name in whole]
  if 'adapter_model.safetensors' in names:
    raise only_adapter(directory)
  if glob.glob(os.path.join(glob.escape(directory), '*.bin')):
    raise UserError(f'no *.safetensors in {directory}, only *.bin, which may run code when they are read: write '
                    'safetensors with transformers, AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT)')
  beside = f', only {", ".join(names)}' if names else ''
  raise UserError(f'no *.safetensors of a model in {directory}{beside}: fetch the weights')


def _say_left(directory: str, taken: list[str]) -> None:
  """Weights that lie beside those that are read."""
  beside = {os.path.basename(file) for ending in ('safetensors', 'gguf')
            for file in glob.glob(os.path.join(glob.escape(directory), f'*.{ending}'))}
  if left := sorted(beside - set(map(os.path.basename, taken))):
    log.warning('%s: %s %s read, not %s', directory, os.path.basename(taken[0]) if len(taken) == 1 else
                f'the {len(taken)} files from {os.path.basename(taken[0])} on', 'is' if len(taken) == 1 else 'are',
                ', '.join(left[:4]) + (f' and {len(left) - 4} more' if len(left) > 4 else ''))


def _beyond(directory: str, files: dict, sizes: dict, facts: dict) -> set[str]:
  """Tensors of the multi-token-prediction blocks that DeepSeek-V3 declares, which come after its layers.

  Raises:
    UserError: layers that config.json does not speak of.
  """
  layers = sizes['layers']
  declared = facts.get('num_nextn_predict_layers') or 0 if facts.get('model_type') == 'deepseek_v3' else 0
  of_layer = {}
  for name in files:
    parts = name.split('.')
    if len(parts) > 2 and parts[1] == 'layers' and parts[2].isdigit() and int(parts[2]) >= layers:
      of_layer.setdefault(int(parts[2]), []).append(name)
  unknown = [layer for layer in of_layer if layer >= layers + declared]
  if unknown:
    raise UserError(f'{directory} has weights of layer {max(unknown)}, but its config.json says num_hidden_layers='
                    f'{layers}, which are layers 0 to {layers - 1}: they do not belong together, fetch both again')
  extra = {name for names in of_layer.values() for name in names}
  if extra:
    log.warning('%s: %d tensors of the multi-token-prediction block are left out', directory, len(extra))
  return extra


def _digest_of(file: str, name: str) -> bytes:
  """A digest of a tensor as it lies in its file; read again only where the file is another since."""
  found = os.stat(file)
  return _digest_once(file, name, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest_once(file: str, name: str, *version) -> bytes:
  del version
  h, (_, start, end) = hashlib.sha256(), spans(file).get(name, (file, 0, 0))
  for at in range(start, end, 1 << 24):
    h.update(_bytes(file, at, min(at + (1 << 24), end)))
  return h.digest()


def spans(file: str) -> dict[str, tuple[str, int, int]]:
  """Name -> (file, start, end) of a tensor's bytes, as a header says that safetensors has looked at."""
  with open(file, 'rb') as f:
    size = int.from_bytes(f.read(8), 'little')
    header = json.loads(f.read(size))
  return {name: (file, *(8 + size + at for at in entry['data_offsets']))
          for name, entry in header.items() if name != '__metadata__'}


def _rows(span: tuple[str, int, int], shape: tuple[int, ...], kind: str, start: int, stop: int | None) -> np.ndarray:
  """Rows of a tensor as they lie there: nothing else is read."""
  file, first, end = span
  row = (end - first) // max(shape[0], 1)
  stop = shape[0] if stop is None else min(stop, shape[0])
  data = _bytes(file, first + start * row, first + stop * row)
  return data.view(_READ[kind]).reshape(stop - start, *shape[1:])


def _bytes(file: str, start: int, end: int) -> np.ndarray:
  """[end - start] uint8.

  Raises:
    OSError: the file ends before.
  """
  out = np.empty(end - start, np.uint8)
  with open(file, 'rb', buffering=0) as f:  # closed again, so that pages read do not pile up
    f.seek(start)
    left = memoryview(out)
    while left:
      n = f.readinto(left)
      if not n:
        raise OSError(errno.EIO, 'ends before its tensors do', file)
      left = left[n:]
  return out


def _dequantised(x: np.ndarray, scale: np.ndarray, first: int) -> np.ndarray:
  """Each block of 128 x 128 times its own scale; the first and last ones may be cut off, by the tensor's edge or by
  where the rows begin: `first` rows into a block."""
  out = x.astype(np.float32)
  for i, factors in enumerate(scale):  # row of blocks by row of blocks: nothing of the tensor's size is built beside it
    out[max(i * BLOCK - first, 0):(i + 1) * BLOCK - first] *= np.repeat(factors.astype(np.float32), BLOCK)[:x.shape[1]]
  return out
