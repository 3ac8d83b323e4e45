"""A checkpoint of ours -> a Hugging Face directory that transformers and vLLM load and prompt as it was trained."""

import collections
import concurrent.futures
import json
import logging
import os
import shutil

import numpy as np

from r1jax import paths
from r1jax import terminal
from r1jax.convert import card
from r1jax.convert import chat_template
from r1jax.convert import table
from r1jax.convert import verify
from r1jax.convert.hf_config import facts_of
from r1jax.data import prompts
from r1jax.data.tokenizer import as_tokenizer_json
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file
from r1jax.stages import adapters
from r1jax.stages import common

log = logging.getLogger('r1jax')

_SHARD_BYTES = 5 << 30
_AHEAD = 4  # tensors that are read and turned while one is written
_NAMES = {'float32': 'F32', 'bfloat16': 'BF16', 'float16': 'F16'}  # as safetensors calls them
_FLOAT32 = ('router_bias',)  # published as float32, whatever the rest is kept in


def export_model(path: str, out: str, *, dtype: str | None = None, look: bool = False, name: str = ''):
  """Writes a checkpoint as a Hugging Face directory; each part of it is read once, when it is written.

  Args:
    dtype: of the weights; None: what the model's source was published in, else as they are kept.
    look: it is loaded by transformers, and vLLM where that is installed (verify.py), and goes again where they read
      another model there.
    name: of the model, in its card; '': the directory's.

  Raises:
    UserError: no checkpoint there, `out` is not empty, or something else than the checkpoint is read there.
  """
  if look:
    verify.ready()
  path, out = paths.local(path, '--checkpoint'), paths.local(out, '--out')
  if os.path.isdir(out) and os.listdir(out):
    raise UserError(f'--out={out} is not empty: take another directory')
  model, tokenizer, step_dir = common.load_model(path)
  if model.config.reward_head:
    raise UserError(f'{path} is a reward model, whose head no program that reads a Llama or Qwen has a place for: '
                    'export a stage that answers')
  parts = adapters.Parts(step_dir)
  leaves = parts.leaves
  shapes = table.shapes(model.config)
  for leaf, shape in shapes.items():
    if leaf not in leaves or leaves[leaf].shape != shape:
      found = leaves[leaf].shape if leaf in leaves else 'nothing'
      raise UserError(f'{step_dir} does not hold this model: {leaf} is {found}, expected {shape}')
  origin, prompt = common.origin(tokenizer.directory), prompts.trained_with(tokenizer.directory)
  kept = str(np.dtype(leaves['embedding'].dtype.numpy_dtype))
  if dtype is None:
    dtype = origin.get('dtype', kept)
    log.info('%s: weights are written as %s, %s', out, dtype,
             'as the source was published' if 'dtype' in origin else 'as they are kept')
  new = not os.path.exists(out)
  said = card.text(model.config, origin=origin, prompt=prompt, stage_dir=tokenizer.directory, step_dir=step_dir,
                   name=name or os.path.basename(os.path.normpath(out)))
  try:
    with concurrent.futures.ThreadPoolExecutor(1) as pool, terminal.doing(f'writing {out}'):
      whole = pool.submit(_intact, parts.steps)  # beside the writing, which takes longer
      try:
        write_hf(out, model.config, parts, tokenizer, dtype=dtype, prompt=prompt, said=said)
      finally:
        whole.result()  # that it is torn says more than what came of it
    if look:
      with terminal.doing(f'asking {out}'):
        found = verify.check(path, out, dtype)
      for line in found:
        log.info('%s: %s', out, line)
  except BaseException:
    shutil.rmtree(out, ignore_errors=True)
    if not new:
      os.makedirs(out, exist_ok=True)
    raise
  return model.config


def _intact(step_dirs: list[str]) -> None:
  for step_dir in step_dirs:
    checkpoint.intact(step_dir, below='params')


def write_hf(out: str, config, leaf, tokenizer, *, dtype: str, prompt: dict | None = None, said: str = '',
             shard_bytes: int = _SHARD_BYTES) -> None:
  """Weights, config.json, generation_config.json, tokenizer, chat template, README.md.

  Args:
    leaf: (path, at) -> the part `at` (layer, expert) of one of our leaves, as numpy; read when it is written.
    dtype: of the weights: 'float32', 'bfloat16' or 'float16'.
    prompt: what it was trained to be asked with (prompts.record); None: nothing is known.
    said: the card, to which what is said of the chat template is added.

  Raises:
    UserError: not enough room; a float16 that cannot hold a weight.
  """
  os.makedirs(out, exist_ok=True)
  tensors = {name: (table.their_shape(place), 'float32' if place.path.endswith(_FLOAT32) else dtype, place)
             for name, place in table.places(config).items()}
  needed, free = sum(_bytes(shape, kind) for shape, kind, _ in tensors.values()), shutil.disk_usage(out).free
  if needed > free:
    raise UserError(f'--out={out} needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free there')
  shards, size = [{}], 0
  for name, (shape, kind, place) in tensors.items():
    if shards[-1] and size + _bytes(shape, kind) > shard_bytes:
      shards.append({})
      size = 0
    shards[-1][name] = (shape, kind, place)
    size += _bytes(shape, kind)
  files = ['model.safetensors'] if len(shards) == 1 else [
      f'model-{i:05d}-of-{len(shards):05d}.safetensors' for i in range(1, len(shards) + 1)]
  for number, (file, shard) in enumerate(zip(files, shards), 1):
    terminal.now(f'file {number} of {len(files)}, {len(shard)} tensors')
    _write_shard(os.path.join(out, file), shard, config, leaf)
  if len(shards) > 1:
    weight_map = {name: file for file, shard in zip(files, shards) for name in shard}
    json_files.write(os.path.join(out, 'model.safetensors.index.json'),
                     {'metadata': {'total_size': needed}, 'weight_map': weight_map})
  template = write_tokenizer(out, config, tokenizer, prompt)
  eos = list(prompts.eos_ids(tokenizer, prompt['template']) if prompt else tokenizer.eos_ids)
  json_files.write(os.path.join(out, 'generation_config.json'), {
      'bos_token_id': bos_of(tokenizer), 'eos_token_id': eos if len(eos) > 1 else eos[0],
      'pad_token_id': tokenizer.pad_id, 'do_sample': True, 'temperature': 0.6, 'top_p': 0.95})  # section 3 of the paper
  replace_file(os.path.join(out, 'README.md'), (said + template).encode())
  # Written last: a directory without it is nobody's model.
  facts = facts_of(config, dtype, eos, tokenizer.pad_id, bos_of(tokenizer))
  json_files.write(os.path.join(out, 'config.json'), facts)


def bos_of(tokenizer) -> int | None:
  """The id of what begins a text: by itself, or where a chat template names it."""
  return tokenizer.find(tokenizer.special['bos_token']) if tokenizer.special['bos_token'] else None


def _bytes(shape: tuple[int, ...], kind: str) -> int:
  return int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize


def _write_shard(path: str, shard: dict, config, leaf) -> None:
  """A safetensors file, tensor by tensor: its header is known before any weight is read."""
  header, at = {'__metadata__': {'format': 'pt'}}, 0
  for name, (shape, kind, _) in shard.items():
    header[name] = {'dtype': _NAMES[kind], 'shape': list(shape), 'data_offsets': [at, at + _bytes(shape, kind)]}
    at += _bytes(shape, kind)
  head = json.dumps(header).encode()
  head += b' ' * (-len(head) % 8)

  def made(name: str) -> np.ndarray:
    _, kind, place = shard[name]
    return turned(_cast(leaf(place.path, place.at), kind, name), place, config)

  temporary, waiting, names = path + '.tmp', collections.deque(), iter(shard)
  with open(temporary, 'wb') as f, concurrent.futures.ThreadPoolExecutor(2) as pool:
    f.write(len(head).to_bytes(8, 'little') + head)
    for name in names:
      waiting.append(pool.submit(made, name))
      if len(waiting) > _AHEAD:
        f.write(waiting.popleft().result().data)
    while waiting:
      f.write(waiting.popleft().result().data)
  os.replace(temporary, path)


def _cast(x: np.ndarray, kind: str, name: str) -> np.ndarray:
  """Raises UserError where float16 overflows: its largest number is 65,504."""
  if x.dtype == np.dtype(kind):
    return x
  with np.errstate(over='ignore'):
    out = x.astype(kind)
  if kind == 'float16' and not np.isfinite(out).all():
    raise UserError(f'tensor {name} has numbers that float16 cannot hold: take --dtype=bfloat16 or float32')
  return out


def turned(x: np.ndarray, place, config) -> np.ndarray:
  """table.to_theirs, in the order of memory, as bytes."""
  y = table.to_theirs(x, place, config, 'hf')
  if y.flags.c_contiguous or y.ndim != 2:
    return np.ascontiguousarray(y).reshape(-1).view(np.uint8)
  out = np.empty(y.shape, y.dtype)
  table.copy(out, y)
  return out.reshape(-1).view(np.uint8)


def write_tokenizer(out: str, config, tokenizer, prompt: dict | None) -> str:
  """tokenizer.json, tokenizer_config.json, chat_template.jinja; returns what the card says of the last."""
  as_tokenizer_json(tokenizer, os.path.join(out, 'tokenizer.json'))
  name = tokenizer.piece
  facts = {'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': name(tokenizer.eos_ids[0]),
           'pad_token': name(tokenizer.pad_id), 'clean_up_tokenization_spaces': False,
           'model_max_length': config.max_length}
  if tokenizer.special['bos_token']:
    facts |= {'bos_token': tokenizer.special['bos_token'], 'add_bos_token': tokenizer.bos_id is not None}
  text, said = chat_template.of(tokenizer, prompt)
  if text:
    facts['chat_template'] = text
    replace_file(os.path.join(out, 'chat_template.jinja'), text.encode())
  json_files.write(os.path.join(out, 'tokenizer_config.json'), facts)
  return said
