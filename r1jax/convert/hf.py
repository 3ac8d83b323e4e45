"""Hugging Face directories, in and out: config.json, safetensors in any number of files, tokenizer.json."""

import glob
import json
import logging
import os
import shutil

import ml_dtypes  # registers bfloat16 with numpy, which safetensors needs to read it
import numpy as np
import safetensors
import safetensors.numpy

from r1jax.engine import checkpoint
from r1jax.convert import table
from r1jax.convert.source import Source
from r1jax.data.tokenizer import as_tokenizer_json
from r1jax.types import UserError

log = logging.getLogger('r1jax')
_BLOCK = 128  # DeepSeek's fp8: one scale for 128 x 128 weights
_SHARD_BYTES = 5 << 30

# Ours -> theirs, where it is a plain copy.
_DENSE = {'vocab_size': 'vocab_size', 'dim': 'hidden_size', 'layers': 'num_hidden_layers',
          'heads': 'num_attention_heads', 'kv_heads': 'num_key_value_heads', 'ffn_dim': 'intermediate_size',
          'norm_eps': 'rms_norm_eps', 'tied': 'tie_word_embeddings', 'max_length': 'max_position_embeddings'}
_DEEPSEEK_V3 = {**{k: v for k, v in _DENSE.items() if k != 'kv_heads'},
                'expert_dim': 'moe_intermediate_size', 'experts': 'n_routed_experts',
                'experts_per_token': 'num_experts_per_tok', 'q_rank': 'q_lora_rank', 'kv_rank': 'kv_lora_rank',
                'nope_dim': 'qk_nope_head_dim', 'rope_dim': 'qk_rope_head_dim', 'value_dim': 'v_head_dim',
                'dense_layers': 'first_k_dense_replace', 'shared_experts': 'n_shared_experts', 'groups': 'n_group',
                'groups_kept': 'topk_group', 'routed_scaling': 'routed_scaling_factor',
                'normalise_top_k': 'norm_topk_prob'}
_DEFAULTS = {'tie_word_embeddings': False, 'n_shared_experts': 1}
_LENGTH = 'original_max_position_embeddings'
_SCALING = {'llama3': {'factor': 'factor', 'original_length': _LENGTH, 'low': 'low_freq_factor',
                       'high': 'high_freq_factor'},
            'yarn': {'factor': 'factor', 'original_length': _LENGTH, 'low': 'beta_slow', 'high': 'beta_fast',
                     'mscale': 'mscale', 'mscale_all_dim': 'mscale_all_dim'}}
_SCALING_DEFAULTS = {'beta_slow': 1, 'beta_fast': 32, 'mscale': 0.0, 'mscale_all_dim': 0.0}


def _sizes(directory: str, facts: dict) -> dict:
  """Fields of our Config from a config.json, or UserError for what we cannot compute."""
  family = facts.get('model_type')
  scaling = facts.get('rope_parameters') or {}  # transformers 5; before: rope_theta and rope_scaling
  theta = float(facts.get('rope_theta') or scaling.get('rope_theta') or 1e4)
  scaling = facts.get('rope_scaling') or scaling
  kind = scaling.get('rope_type', scaling.get('type', 'default'))
  quantised = facts.get('quantization_config') or {}
  needs = {
      'model_type': (family, ('llama', 'qwen2', 'deepseek_v3')),
      'hidden_act': (facts.get('hidden_act', 'silu'), ('silu',)),
      'rope_type': (kind, ('default', 'llama3', 'yarn')),
      'quant_method': (quantised.get('quant_method'), (None, 'fp8')),
      'weight_block_size': (quantised.get('weight_block_size', [_BLOCK] * 2), ([_BLOCK] * 2,)),
      'rope_scaling.attention_factor': (scaling.get('attention_factor'), (None,)),
      'rope_scaling.truncate': (scaling.get('truncate', True), (True,)),
      **{key: (bool(facts.get(key)), (False,)) for key in ('attention_bias', 'mlp_bias', 'use_sliding_window')}}
  if family == 'deepseek_v3':
    needs |= {key: (facts.get(key, wanted), (wanted,)) for key, wanted in (
        ('scoring_func', 'sigmoid'), ('topk_method', 'noaux_tc'), ('moe_layer_freq', 1), ('rope_interleave', True))}
  for key, (value, supported) in needs.items():
    if value not in supported:
      raise UserError(f'{directory}/config.json has {key}={value!r}: supported is {" or ".join(map(repr, supported))}')
  names = _DEEPSEEK_V3 if family == 'deepseek_v3' else _DENSE
  facts = {**_DEFAULTS, **facts}
  if family != 'deepseek_v3' and not facts.get('num_key_value_heads'):
    facts['num_key_value_heads'] = facts.get('num_attention_heads')
  try:
    sizes = {ours: facts[theirs] for ours, theirs in names.items()}
    if kind != 'default':
      scaling = {**_SCALING_DEFAULTS, **scaling}
      sizes['rope_scaling'] = {'kind': kind, **{k: scaling[v] for k, v in _SCALING[kind].items()}}
  except KeyError as e:
    raise UserError(f'{directory}/config.json has no {e}') from e
  for ours, theirs in names.items():
    if sizes[ours] is None:
      raise UserError(f'{directory}/config.json has {theirs}=null: supported is a number')
  if family == 'deepseek_v3':
    return {**sizes, 'family': family, 'rope_theta': theta}
  return {**sizes, 'rope_theta': theta, 'qkv_bias': family == 'qwen2',
          'head_dim': facts.get('head_dim') or sizes['dim'] // sizes['heads']}


def _facts(config, dtype: str, tokenizer) -> dict:
  """config.json of our Config."""
  v3 = config.family == 'deepseek_v3'
  kind = 'deepseek_v3' if v3 else 'qwen2' if config.qkv_bias else 'llama'
  architecture = {'deepseek_v3': 'DeepseekV3ForCausalLM', 'qwen2': 'Qwen2ForCausalLM', 'llama': 'LlamaForCausalLM'}
  eos = list(tokenizer.eos_ids)
  facts = {'architectures': [architecture[kind]], 'model_type': kind, 'hidden_act': 'silu', 'torch_dtype': dtype,
           'rope_theta': config.rope_theta, 'eos_token_id': eos if len(eos) > 1 else eos[0], 'bos_token_id': None,
           'pad_token_id': tokenizer.pad_id, 'attention_bias': False}
  facts |= {theirs: getattr(config, ours) for ours, theirs in (_DEEPSEEK_V3 if v3 else _DENSE).items()}
  if v3:
    facts |= {'num_key_value_heads': config.heads, 'scoring_func': 'sigmoid', 'topk_method': 'noaux_tc',
              'moe_layer_freq': 1, 'num_nextn_predict_layers': 0}
  else:
    facts |= {'head_dim': config.head_dim, 'mlp_bias': False}
  if (s := config.rope_scaling) is not None:
    facts['rope_scaling'] = {'rope_type': s.kind, 'type': s.kind,
                             **{theirs: getattr(s, ours) for ours, theirs in _SCALING[s.kind].items()}}
  return facts


def open_hf(directory: str) -> Source:
  """A directory of a Llama, Qwen2 or DeepSeek-V3 model, told from its config.json.

  Raises:
    UserError: another family, a feature that models/ does not have, a shard that is missing or cut short.
  """
  facts = read_json(directory, 'config.json')
  sizes = _sizes(directory, facts)
  files, kinds = {}, {}
  for file in _shards(directory):
    try:
      with safetensors.safe_open(file, framework='numpy') as f:
        for name in f.keys():
          part = f.get_slice(name)
          files[name], kinds[name] = (file, tuple(part.get_shape())), part.get_dtype()
    except (safetensors.SafetensorError, OSError) as e:
      raise UserError(f'{file} cannot be read as safetensors: {e}; fetch it again') from e
  scales = {name for name in files if name.endswith('_scale_inv')}
  extra = [name for name in files if _is_beyond(name, sizes['layers'])]
  if extra:
    log.warning('%s: %d tensors of the multi-token-prediction block are left out', directory, len(extra))
  left_out = scales | set(extra) | {name for name in files if name.endswith('rotary_emb.inv_freq')}
  if sizes['tied']:
    left_out.add('lm_head.weight')  # some write the embedding twice
  shapes = {name: shape for name, (_, shape) in files.items() if name not in left_out}
  for name in shapes:
    if kinds[name] == 'F8_E4M3' and name + '_scale_inv' not in files:
      raise UserError(f'{directory}: tensor {name} is fp8 and has no {name}_scale_inv beside it')

  def read(name):
    file = files[name][0]
    if kinds[name] == 'F8_E4M3':
      return _dequantised(_raw(file, name), _one(files[name + '_scale_inv'][0], name + '_scale_inv'), name)
    return _one(file, name)

  dtypes = {name: np.dtype(np.float32 if kinds[name] == 'F32' else ml_dtypes.bfloat16) for name in shapes}
  return Source(directory, 'hf', sizes, shapes, dtypes, read, lambda out: _import_tokenizer(directory, facts, out))


def _shards(directory: str) -> list[str]:
  found = sorted(glob.glob(os.path.join(glob.escape(directory), '*.safetensors')))
  index = read_json(directory, 'model.safetensors.index.json', needed=False)
  if index:
    found = sorted({os.path.join(directory, name) for name in index.get('weight_map', {}).values()})
  for file in found:
    if not os.path.exists(file):
      raise UserError(f'{directory}/model.safetensors.index.json names {os.path.basename(file)}, which is not there')
  if not found:
    raise UserError(f'no *.safetensors in {directory}')
  return found


def _is_beyond(name: str, layers: int) -> bool:
  """Whether a tensor belongs to a layer after the last: DeepSeek-V3's multi-token-prediction block."""
  parts = name.split('.')
  return len(parts) > 2 and parts[1] == 'layers' and parts[2].isdigit() and int(parts[2]) >= layers


def _one(file: str, name: str) -> np.ndarray:
  with safetensors.safe_open(file, framework='numpy') as f:  # closed again, so that pages read do not pile up
    return f.get_tensor(name)


def _raw(file: str, name: str) -> np.ndarray:
  """An fp8 tensor, which safetensors' numpy side does not read: bytes as its header says they lie."""
  with open(file, 'rb') as f:
    size = int.from_bytes(f.read(8), 'little')
    entry = json.loads(f.read(size))[name]
    start, end = entry['data_offsets']
    f.seek(8 + size + start)
    return np.frombuffer(f.read(end - start), ml_dtypes.float8_e4m3fn).reshape(entry['shape'])


def _dequantised(x: np.ndarray, scale: np.ndarray, name: str) -> np.ndarray:
  """Each block of 128 x 128 times its own scale; the last ones may be cut off by the tensor's edge."""
  wanted = tuple(-(-n // _BLOCK) for n in x.shape)
  if scale.shape != wanted:
    raise UserError(f'tensor {name}_scale_inv has shape {scale.shape}, expected {wanted}')
  out = x.astype(np.float32)
  for i in range(wanted[0]):  # row of blocks by row of blocks, so that nothing of the tensor's size is built beside it
    out[i * _BLOCK:(i + 1) * _BLOCK] *= np.repeat(scale[i].astype(np.float32), _BLOCK)[:x.shape[1]]
  return out


def _import_tokenizer(directory: str, facts: dict, out: str) -> None:
  if not os.path.exists(os.path.join(directory, 'tokenizer.json')):
    raise UserError(f'no tokenizer.json in {directory}')
  facts = {**facts, **read_json(directory, 'generation_config.json', needed=False)}
  eos, pad = facts.get('eos_token_id'), facts.get('pad_token_id')
  eos = eos if isinstance(eos, list) else [eos]
  if None in eos:
    raise UserError(f'no eos_token_id in {directory}/generation_config.json or config.json')
  said = read_json(directory, 'tokenizer_config.json', needed=False)
  template = said.get('chat_template')
  if isinstance(template, list):  # several, by name
    template = next((t['template'] for t in template if t.get('name') == 'default'), template[0]['template'])
  if os.path.exists(path := os.path.join(directory, 'chat_template.jinja')):
    with open(path, encoding='utf-8') as f:
      template = f.read()
  shutil.copyfile(os.path.join(directory, 'tokenizer.json'), os.path.join(out, 'tokenizer.json'))
  checkpoint.write_json(os.path.join(out, 'tokenizer_r1jax.json'), {
      'eos_ids': eos, 'pad_id': eos[0] if pad is None else pad, 'chat_template': template, 'special': _special(said)})


def _special(said: dict) -> dict[str, str]:
  """Texts of the tokens that chat templates name: in tokenizer_config.json a text, or an object with its content."""
  names = ('bos_token', 'eos_token', 'pad_token', 'unk_token')
  found = {name: said[name] for name in names if said.get(name)}
  return {name: token['content'] if isinstance(token, dict) else token for name, token in found.items()}


def read_json(directory: str, name: str, needed: bool = True) -> dict:
  path = os.path.join(directory, name)
  if not needed and not os.path.exists(path):
    return {}
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except (OSError, ValueError) as e:
    raise UserError(f'{path} cannot be read: {e}') from e


def write_hf(out: str, config, leaf, tokenizer, *, dtype: str | None = None, shard_bytes: int = _SHARD_BYTES) -> None:
  """A directory that transformers and vLLM load: weights, config.json, generation_config.json, tokenizer.

  Args:
    leaf: (path, at) -> the part `at` (layer, expert) of one of our leaves, as numpy; read when it is written.
    dtype: of the weights; None: each as it is kept.
  """
  os.makedirs(out, exist_ok=True)
  shards, current, size, kinds = [], {}, 0, set()

  def flush():
    shards.append(list(current))
    safetensors.numpy.save_file(current, os.path.join(out, f'part-{len(shards)}.safetensors'), {'format': 'pt'})
    current.clear()

  for name, place in table.places(config).items():
    x = leaf(place.path, place.at)
    if dtype is not None and not place.path.endswith('router_bias'):
      x = x.astype(dtype)
    x = np.ascontiguousarray(table.to_theirs(x, place, config, 'hf'))
    if current and size + x.nbytes > shard_bytes:
      flush()
      size = 0
    current[name], size = x, size + x.nbytes
    kinds.add(str(x.dtype))
  flush()
  weight_map = {}
  for i, names in enumerate(shards, 1):
    final = 'model.safetensors' if len(shards) == 1 else f'model-{i:05d}-of-{len(shards):05d}.safetensors'
    os.replace(os.path.join(out, f'part-{i}.safetensors'), os.path.join(out, final))
    weight_map |= dict.fromkeys(names, final)
  if len(shards) > 1:
    checkpoint.write_json(os.path.join(out, 'model.safetensors.index.json'), {'metadata': {}, 'weight_map': weight_map})
  _export_tokenizer(out, tokenizer)
  eos = list(tokenizer.eos_ids)
  checkpoint.write_json(os.path.join(out, 'generation_config.json'), {
      'eos_token_id': eos if len(eos) > 1 else eos[0], 'pad_token_id': tokenizer.pad_id, 'do_sample': True,
      'temperature': 0.6, 'top_p': 0.95})  # section 3 of the paper
  # Written last: a directory without it is nobody's model.
  main = 'bfloat16' if 'bfloat16' in kinds else 'float32'
  checkpoint.write_json(os.path.join(out, 'config.json'), _facts(config, main, tokenizer))


def _export_tokenizer(out: str, tokenizer) -> None:
  as_tokenizer_json(tokenizer, os.path.join(out, 'tokenizer.json'))
  name = tokenizer.piece
  facts = {'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': name(tokenizer.eos_ids[0]),
           'pad_token': name(tokenizer.pad_id), 'clean_up_tokenization_spaces': False, 'model_max_length': int(1e9)}
  if tokenizer.special['bos_token']:
    facts['bos_token'] = tokenizer.special['bos_token']
  if tokenizer.chat_template:
    facts['chat_template'] = tokenizer.chat_template
  checkpoint.write_json(os.path.join(out, 'tokenizer_config.json'), facts)

