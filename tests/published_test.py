"""Models as hubs keep them, with made-up weights: each is read to the bit, or refused in one line before any weight is.

The shapes of what is published: config.json of several programs and years, shards and what lies beside them,
tokenizers and chat templates, GGUF files, a hub's cache. Exports are asked by transformers as r1jax asks its own.
"""

import functools
import json
import os
import shutil
from typing import NamedTuple

from flax import traverse_util
import ml_dtypes
import numpy as np
import pytest
import safetensors
import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers, processors

from r1jax import convert
from r1jax.convert import table
from r1jax.data import chat, prompts
from r1jax.data.tokenizer import Tokenizer
from r1jax.engine import checkpoint
from r1jax.models import dense, layers, zoo
from r1jax.stages import common
from r1jax.types import UserError

BF16, F16, F32, F64 = ml_dtypes.bfloat16, np.float16, np.float32, np.float64
KINDS = {np.dtype(kind): name for kind, name in (
    (BF16, 'BF16'), (F16, 'F16'), (F32, 'F32'), (F64, 'F64'), (np.int8, 'I8'), (np.int64, 'I64'), (np.uint8, 'U8'),
    (np.uint32, 'U32'), (np.bool_, 'BOOL'), (ml_dtypes.float8_e4m3fn, 'F8_E4M3'), (ml_dtypes.float8_e5m2, 'F8_E5M2'))}
GONE = object()  # a field or a file that is not there
POINTER = f'version https://git-lfs.github.com/spec/v1\noid sha256:{"ab" * 32}\nsize 988097824\n'
PAGE = '<!DOCTYPE html>\n<html><head><title>429 Too Many Requests</title></head></html>\n'

EOS, IM_START, IM_END, BOS = '<|endoftext|>', '<|im_start|>', '<|im_end|>', '<s>'
LLAMA_BOS, R1_BOS = '<|begin_of_text|>', '<｜begin▁of▁sentence｜>'
SPECIAL = [EOS, IM_START, IM_END, BOS, LLAMA_BOS, R1_BOS, '<｜User｜>', '<｜Assistant｜>', '<|start_header_id|>',
           '<|end_header_id|>', '<|eot_id|>', '<pad>']
MERGES = ['h e', 'l l', 'he ll', 'Ġ hell', '1 2', '12 3']
# 'Ġwhole' is a token that no merges make.
TOKENS = [*SPECIAL, '<think>', *sorted(pre_tokenizers.ByteLevel.alphabet()),
          *(merge.replace(' ', '') for merge in MERGES), 'Ġwhole']
ROWS = len(TOKENS) + 5
QWEN_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
              r'\s+(?!\S)|\s+')

D, L, H, K, F, d = 16, 2, 2, 1, 24, 8
LLAMA = dict(architectures=['LlamaForCausalLM'], model_type='llama', vocab_size=ROWS, hidden_size=D,
             num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=K, intermediate_size=F, hidden_act='silu',
             rms_norm_eps=1e-5, rope_theta=500000.0, max_position_embeddings=64, tie_word_embeddings=True,
             eos_token_id=0, bos_token_id=3, torch_dtype='bfloat16')
QWEN = dict(architectures=['Qwen2ForCausalLM'], model_type='qwen2')
QWEN3 = dict(architectures=['Qwen3ForCausalLM'], model_type='qwen3', head_dim=12)  # not hidden_size / heads
WANTED = dict(vocab_size=ROWS, dim=D, layers=L, heads=H, kv_heads=K, ffn_dim=F, head_dim=d, rope_theta=5e5,
              norm_eps=1e-5, tied=True, max_length=64)
V3 = dict(architectures=['DeepseekV3ForCausalLM'], model_type='deepseek_v3', moe_intermediate_size=8,
          n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, n_shared_experts=1,
          first_k_dense_replace=1, q_lora_rank=8, kv_lora_rank=8, qk_nope_head_dim=4, qk_rope_head_dim=4, v_head_dim=4,
          routed_scaling_factor=2.5, norm_topk_prob=True, scoring_func='sigmoid', topk_method='noaux_tc',
          num_key_value_heads=H, tie_word_embeddings=False, num_nextn_predict_layers=1,
          rope_scaling=dict(type='yarn', factor=40, original_max_position_embeddings=4096, beta_fast=32, beta_slow=1,
                            mscale=1.0, mscale_all_dim=1.0))


def case(name, *values):
  return pytest.param(*values, id=name)


# What lies in a directory of a hub.


def weights_of(facts, dtype=F32):
  """Made-up weights for a config.json, by the names that transformers gives them."""
  sizes = {key: facts[key] if isinstance(facts.get(key), int) and facts[key] > 0 else LLAMA[key]
           for key in ('vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size')}
  rows, dim, count, heads, ffn = sizes.values()
  kv = facts.get('num_key_value_heads') if isinstance(facts.get('num_key_value_heads'), int) else heads
  width = facts.get('head_dim') if isinstance(facts.get('head_dim'), int) else dim // heads
  shapes = {'model.embed_tokens.weight': (rows, dim), 'model.norm.weight': (dim,)}
  if facts.get('tie_word_embeddings') is not True:
    shapes['lm_head.weight'] = (rows, dim)
  swiglu = lambda prefix, n: {f'{prefix}.gate_proj.weight': (n, dim), f'{prefix}.up_proj.weight': (n, dim),
                              f'{prefix}.down_proj.weight': (dim, n)}
  for i in range(count):
    block = {'input_layernorm.weight': (dim,), 'post_attention_layernorm.weight': (dim,)}
    if facts['model_type'] == 'deepseek_v3':
      block |= {f'self_attn.{name}.weight': shape for name, shape in {
          'q_a_proj': (8, dim), 'q_a_layernorm': (8,), 'q_b_proj': (heads * 8, 8), 'kv_a_proj_with_mqa': (12, dim),
          'kv_a_layernorm': (8,), 'kv_b_proj': (heads * 8, 8), 'o_proj': (dim, heads * 4)}.items()}
      if i:
        block |= {'mlp.gate.weight': (4, dim), 'mlp.gate.e_score_correction_bias': (4,)}
        for prefix in (*(f'mlp.experts.{e}' for e in range(4)), 'mlp.shared_experts'):
          block |= swiglu(prefix, 8)
    else:
      block |= {'self_attn.q_proj.weight': (heads * width, dim), 'self_attn.k_proj.weight': (kv * width, dim),
                'self_attn.v_proj.weight': (kv * width, dim), 'self_attn.o_proj.weight': (dim, heads * width)}
      if facts['model_type'] == 'qwen3':
        block |= {'self_attn.q_norm.weight': (width,), 'self_attn.k_norm.weight': (width,)}
      if facts['model_type'] == 'qwen2':
        block |= {f'self_attn.{x}_proj.bias': (n * width,) for x, n in (('q', heads), ('k', kv), ('v', kv))}
    if 'mlp.gate.weight' not in block:
      block |= swiglu('mlp', ffn)
    shapes |= {f'model.layers.{i}.{name}': shape for name, shape in block.items()}
  rng = np.random.default_rng(0)
  return {name: rng.normal(size=shape).astype(F32 if name.endswith('correction_bias') else dtype)
          for name, shape in shapes.items()}


def ours(theirs, config):
  """Path -> the leaf that weights_of must become, written out by index; dense models."""
  each = lambda name, f=lambda x: x: np.stack([f(theirs[f'model.layers.{i}.{name}']) for i in range(config.layers)])
  width = config.head_dim
  heads = lambda n: lambda x: np.stack([x[h * width:(h + 1) * width].T for h in range(n)], axis=1)  # [D, n, d]
  out = lambda x: np.stack([x[:, h * width:(h + 1) * width].T for h in range(config.heads)])  # [H, d, D]
  tree = {'embedding': theirs['model.embed_tokens.weight'], 'final_norm/scale': theirs['model.norm.weight'],
          'blocks/attention_norm/scale': each('input_layernorm.weight'),
          'blocks/mlp_norm/scale': each('post_attention_layernorm.weight'),
          'blocks/q': each('self_attn.q_proj.weight', heads(config.heads)),
          'blocks/k': each('self_attn.k_proj.weight', heads(config.kv_heads)),
          'blocks/v': each('self_attn.v_proj.weight', heads(config.kv_heads)),
          'blocks/o': each('self_attn.o_proj.weight', out)}
  tree |= {f'blocks/mlp/{x}': each(f'mlp.{x}_proj.weight', np.transpose) for x in ('gate', 'up', 'down')}
  if config.qk_norm:
    tree |= {f'blocks/{x}_norm/scale': each(f'self_attn.{x}_norm.weight') for x in 'qk'}
  if config.qkv_bias:
    tree |= {f'blocks/{x}_bias': each(f'self_attn.{x}_proj.bias', lambda y: y.reshape(-1, width)) for x in 'qkv'}
  if not config.tied:
    tree['unembedding'] = theirs['lm_head.weight'].T
  return tree


def assert_bits(params, wanted, kept):
  """Every bit of every leaf; kept: path -> dtype, '' for those that are not named."""
  assert params.keys() == wanted.keys()
  for path, x in wanted.items():
    dtype = np.dtype(kept.get(path, kept['']))
    assert params[path].dtype == dtype and params[path].shape == x.shape, path
    whole = np.dtype(f'u{dtype.itemsize}')
    found, x = (np.ascontiguousarray(y.astype(dtype)).view(whole) for y in (params[path], x))
    np.testing.assert_array_equal(found, x, err_msg=path)


@functools.cache
def byte_level(*, bos='', sequence=False, qwen=False, add=(), **changes):
  """A tokenizer.json of bytes; bos: what its post-processor puts before a text; qwen: with Qwen2.5's splits."""
  made = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(TOKENS)},
                                                    [tuple(merge.split(' ')) for merge in MERGES]))
  made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
  if qwen:
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(QWEN_WORDS), 'isolated'),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
  made.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in SPECIAL])
  made.add_tokens([tokenizers.AddedToken(token, normalized=False) for token in ('<think>', *add)])
  if bos:
    made.post_processor = processors.TemplateProcessing(single=f'{bos} $A', pair=f'{bos} $A {bos} $B',
                                                        special_tokens=[(bos, TOKENS.index(bos))])
  if sequence:
    whole = [made.post_processor] if bos else []
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), *whole])
  data = json.loads(made.to_str())
  return json.dumps(data | {key: json.loads(value) for key, value in changes.items()}, ensure_ascii=False)


@functools.cache
def metaspace():
  """A tokenizer.json as Llama 2's and Mistral's are: U+2581 for a space, bytes for what it has not got."""
  vocab = ['<unk>', '<s>', '</s>', *(f'<0x{i:02X}>' for i in range(256)), '▁', *'helowrdt', 'he', '▁he', 'll',
           '▁hell', '▁hello']
  made = tokenizers.Tokenizer(tokenizers.models.BPE(
      {token: i for i, token in enumerate(vocab)}, [('h', 'e'), ('▁', 'he'), ('l', 'l'), ('▁he', 'll'), ('▁hell', 'o')],
      unk_token='<unk>', fuse_unk=True, byte_fallback=True))
  made.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
  made.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(),
                                    decoders.Strip(' ', 1, 0)])
  made.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in vocab[:3]])
  made.post_processor = processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
  return made.to_str()


def put(path, value):
  """A file: tensors by name as safetensors, other objects as JSON, text and bytes as they are."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  if path.endswith('.safetensors') and isinstance(value, dict):
    header, at = {'__metadata__': {'format': 'pt'}}, 0  # by hand, for dtypes that safetensors does not write from numpy
    for name, x in value.items():
      header[name] = {'dtype': KINDS[x.dtype], 'shape': list(x.shape), 'data_offsets': [at, at + x.nbytes]}
      at += x.nbytes
    head = json.dumps(header).encode()
    value = len(head).to_bytes(8, 'little') + head + b''.join(np.ascontiguousarray(x).tobytes() for x in value.values())
  elif not isinstance(value, (str, bytes)):
    value = json.dumps(value, ensure_ascii=False)
  with open(path, 'wb') as f:
    f.write(value if isinstance(value, bytes) else value.encode())


def publish(path, config=(), files=(), weights=None):
  """A directory as it is published; `config` changes fields of config.json, `files` what lies there."""
  facts = LLAMA | dict(config)
  everything = {
      'config.json': {key: value for key, value in facts.items() if value is not GONE},
      'model.safetensors': weights_of(facts) if weights is None else weights, 'tokenizer.json': byte_level(),
      'tokenizer_config.json': {'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': EOS, 'bos_token': BOS},
      'generation_config.json': {'eos_token_id': 0}} | dict(files)
  for name, value in everything.items():
    if value is not GONE:
      put(os.path.join(path, name), value)
  return str(path)


def shards(weights, count, *, index=True, missing=(), beside=None):
  """Files of a model in several parts; index: True, or what stands there instead; missing: numbers left out."""
  names = [f'model-{i:05d}-of-{count:05d}.safetensors' for i in range(1, count + 1)]
  parts = {name: dict(list(weights.items())[i::count]) for i, name in enumerate(names)}
  weight_map = {key: name for name, part in parts.items() for key in part}
  files = {name: part for i, (name, part) in enumerate(parts.items(), 1) if i not in missing}
  if index:
    files['model.safetensors.index.json'] = index if index is not True else {
        'metadata': {'total_size': sum(x.nbytes for x in weights.values())}, 'weight_map': weight_map}
  return {'model.safetensors': GONE} | files | (beside or {})


# What is done with them.


@pytest.fixture(scope='module', autouse=True)
def _shapes_once():
  """The leaves of a config are found by tracing its model, which takes longer than all the rest: once for each."""
  real, known = table.shapes, {}

  def shapes(config):
    if repr(config) not in known:
      known[repr(config)] = real(config)
    return dict(known[repr(config)])

  table.shapes = shapes
  yield
  table.shapes = real


@pytest.fixture(scope='module', autouse=True)
def _offline():
  """Whatever is asked for is here, or nowhere."""
  constants = pytest.importorskip('huggingface_hub.constants')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('HF_HUB_OFFLINE', '1')  # read when the package is imported, which may have been before
    patch.setattr(constants, 'HF_HUB_OFFLINE', True)
    yield


@pytest.fixture
def reads(monkeypatch):
  """Names of tensors whose numbers were read, by whatever way."""
  names, real, opened = [], safetensors.safe_open, convert.open_source

  class Counted:
    def __init__(self, *args, **kw):
      self._file = real(*args, **kw)

    def __enter__(self):
      self._file.__enter__()
      return self

    def __exit__(self, *args):
      return self._file.__exit__(*args)

    def __getattr__(self, name):
      return getattr(self._file, name)

    def get_tensor(self, name):
      names.append(name)
      return self._file.get_tensor(name)

  def open_source(*args, **kw):
    source = opened(*args, **kw)
    return source._replace(read=lambda name: (names.append(name), source.read(name))[1])

  monkeypatch.setattr(safetensors, 'safe_open', Counted)
  monkeypatch.setattr(convert, 'open_source', open_source)
  return names


class Imported(NamedTuple):
  config: object
  params: dict  # path -> numpy
  tokenizer: Tokenizer
  out: str


@pytest.fixture
def imports(tmp_path, monkeypatch, reads):
  """source -> what an import makes of it, but for the writing of its weights."""
  def run(source, **kw):
    saved, out = [], str(tmp_path / 'out')
    monkeypatch.setattr(checkpoint, 'save_params', lambda directory, params, meta: saved.append(params))
    config = convert.import_model(source, out=out, **kw)
    assert reads
    return Imported(config, traverse_util.flatten_dict(saved[0], sep='/'), Tokenizer(out), out)
  return run


@pytest.fixture
def refuses(tmp_path, reads):
  """Asserts that an import is refused in one line with these words, before a tensor is read, and leaves nothing."""
  def run(source, words, **kw):
    out = tmp_path / 'out'
    with pytest.raises(UserError) as error:
      convert.import_model(source, out=str(out), **kw)
    said = str(error.value)
    assert '\n' not in said and all(word in said for word in words), said
    assert not out.exists() and not reads
  return run


# config.json.

LLAMA3 = dict(low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
YARN = dict(factor=4.0, original_max_position_embeddings=32768)
llama3 = functools.partial(layers.RopeScaling, 'llama3', original_length=8192, low=1.0, high=4.0)
yarn = functools.partial(layers.RopeScaling, 'yarn', factor=4.0, original_length=32768, low=1, high=32)


@pytest.mark.parametrize('changes, wanted', [
    case('llama as it is', {}, {}),
    case('qwen2.5 with sliding window switched off',
         QWEN | dict(sliding_window=32768, use_sliding_window=False, use_mrope=False, max_window_layers=24,
                     rope_theta=1000000.0, max_position_embeddings=32768, rms_norm_eps=1e-6, attention_dropout=0.0),
         dict(qkv_bias=True, rope_theta=1e6, max_length=32768, norm_eps=1e-6)),
    case('qwen2.5 untied', QWEN | dict(tie_word_embeddings=False), dict(qkv_bias=True, tied=False)),
    case('qwen3',
         QWEN3 | dict(attention_bias=False, max_position_embeddings=40960, max_window_layers=28, rope_scaling=None,
                      rope_theta=1000000, sliding_window=None, use_sliding_window=False, rms_norm_eps=1e-6),
         dict(qk_norm=True, head_dim=12, rope_theta=1e6, norm_eps=1e-6, max_length=40960)),
    case('qwen3 untied', QWEN3 | dict(tie_word_embeddings=False, layer_types=['full_attention'] * L),
         dict(qk_norm=True, head_dim=12, tied=False)),
    case('qwen3 stretched', QWEN3 | dict(rope_scaling={'rope_type': 'yarn', **YARN}),
         dict(qk_norm=True, head_dim=12, rope_scaling=yarn())),
    case('transformers 5 of a qwen2',
         QWEN | dict(rope_theta=GONE, torch_dtype=GONE, dtype='bfloat16', layer_types=['full_attention'] * L,
                     rope_parameters={'rope_theta': 1000000.0, 'rope_type': 'default'}, sliding_window=None,
                     pad_token_id=None, use_sliding_window=False, transformers_version='5.17.0'),
         dict(qkv_bias=True, rope_theta=1e6)),
    case('transformers 5 of a llama 3.1',
         dict(rope_theta=GONE, rope_parameters={'rope_type': 'llama3', 'factor': 8.0, 'rope_theta': 5e5, **LLAMA3},
              dtype='float32', torch_dtype=GONE, head_dim=d, mlp_bias=False, attention_bias=False, pretraining_tp=1),
         dict(rope_scaling=llama3(factor=8.0))),
    case('transformers 5 of a yarn',
         QWEN | dict(rope_theta=None, rope_parameters={'rope_type': 'yarn', 'rope_theta': 10000, **YARN}),
         dict(qkv_bias=True, rope_theta=1e4, rope_scaling=yarn())),
    case('rope_parameters before rope_theta, as transformers 5 has it',
         dict(rope_theta=10000.0, rope_parameters={'rope_type': 'default', 'rope_theta': 1000000.0}),
         dict(rope_theta=1e6)),
    case('an integer theta', dict(rope_theta=10000, max_position_embeddings=131072, sliding_window=4096),
         dict(rope_theta=1e4, max_length=131072)),
    case('an integer theta of ten millions', dict(rope_theta=10000000), dict(rope_theta=1e7)),
    case('no theta', dict(rope_theta=GONE), dict(rope_theta=1e4)),
    case('llama 3.1', dict(rope_scaling={'rope_type': 'llama3', 'factor': 8.0, **LLAMA3}),
         dict(rope_scaling=llama3(factor=8.0))),
    case('llama 3.2', dict(rope_scaling={'rope_type': 'llama3', 'factor': 32.0, **LLAMA3}, head_dim=8),
         dict(rope_scaling=llama3(factor=32.0))),
    case('llama 3.2 with type, and an integer factor', dict(rope_scaling={'type': 'llama3', 'factor': 32, **LLAMA3}),
         dict(rope_scaling=llama3(factor=32.0))),
    case('yarn with type', QWEN | dict(rope_scaling={'type': 'yarn', **YARN}),
         dict(qkv_bias=True, rope_scaling=yarn())),
    case('yarn with both and betas',
         QWEN | dict(rope_scaling={'type': 'yarn', 'rope_type': 'yarn', 'beta_fast': 16, 'beta_slow': 2, **YARN}),
         dict(qkv_bias=True, rope_scaling=yarn(low=2, high=16))),
    case('yarn with nulls', QWEN | dict(rope_scaling={'rope_type': 'yarn', 'beta_fast': None, 'beta_slow': None,
                                                      'attention_factor': None, **YARN}),
         dict(qkv_bias=True, rope_scaling=yarn())),
    case('rope_scaling null', dict(rope_scaling=None, rope_parameters=None), {}),
    case('rope_scaling empty', dict(rope_scaling={}), {}),
    case('rope_scaling default', dict(rope_scaling={'rope_type': 'default'}), {}),
    case('head_dim null', dict(head_dim=None), {}),
    case('head_dim that is not dim / heads', dict(head_dim=12), dict(head_dim=12)),
    case('key and value heads null', dict(num_key_value_heads=None), dict(kv_heads=H)),
    case('key and value heads left out', dict(num_key_value_heads=GONE), dict(kv_heads=H)),
    case('tie_word_embeddings left out', dict(tie_word_embeddings=GONE), dict(tied=False)),
    case('two ends and float32', dict(eos_token_id=[0, 2], torch_dtype='float32', rope_scaling=None), {}),
    case('one layer', dict(num_hidden_layers=1), dict(layers=1)),
    case('an unpadded vocabulary', dict(vocab_size=len(TOKENS)), dict(vocab_size=len(TOKENS))),
    case('quantization_config null', dict(quantization_config=None, pad_token_id=None, torch_dtype=None), {}),
    case('quantization_config empty', dict(quantization_config={}), {}),
    case('fields of other programs',
         dict(_name_or_path='/content/model', unsloth_version='2025.1', auto_map={'AutoConfig': 'a.B'}, use_cache=True,
              task_specific_params=None, bos_token='<s>', id2label={'0': 'LABEL_0'}, initializer_range=0.02,
              vision_config={}, max_window_layers=28, model_max_length=99, num_nextn_predict_layers=0), {}),
])
def test_a_config_is_read(tmp_path, imports, changes, wanted):
  found = imports(publish(tmp_path / 'hub', changes))
  config = dense.Config(**WANTED | wanted)
  assert found.config == config and isinstance(found.config.rope_theta, float)
  weights = weights_of(LLAMA | changes)
  assert_bits(found.params, ours(weights, config), {'': F32})
  with open(os.path.join(found.out, 'model.json'), encoding='utf-8') as f:
    assert zoo.from_dict(json.load(f)) == config


def test_a_config_with_a_byte_order_mark_is_read(tmp_path, imports):
  text = json.dumps(LLAMA, indent=2).replace('\n', '\r\n')
  found = imports(publish(tmp_path / 'hub', files={'config.json': b'\xef\xbb\xbf' + text.encode()}))
  assert found.config == dense.Config(**WANTED)


@pytest.mark.parametrize('changes, words', [
    *(case(f'family {kind}', dict(model_type=kind), [f"model_type='{kind}'", "'llama'", "'qwen2'", "'qwen3'",
                                                                "'deepseek_v3'"])
      for kind in ('qwen3_moe', 'qwen3_next', 'mistral', 'smollm3', 'kimi_k2', 'deepseek_v32', 'qwen2_5_vl', 'internlm2',
                   'gemma2', 'phi3', 'qwen2_moe', 'llama4')),
    case('no family', dict(model_type=GONE), ['model_type']),
    case('family null', dict(model_type=None), ['model_type']),
    case('family a list', dict(model_type=['llama']), ['model_type']),
    *(case(f'activation {kind}', dict(hidden_act=kind), [f"hidden_act='{kind}'"])
      for kind in ('gelu', 'gelu_pytorch_tanh', 'relu2')),
    case('biases', dict(attention_bias=True), ['attention_bias=True']),
    case('biases of the mlp', dict(mlp_bias=True), ['mlp_bias=True']),
    case('a sliding window', QWEN | dict(use_sliding_window=True, sliding_window=32), ['use_sliding_window=True']),
    case('layers with a sliding window',
         QWEN | dict(use_sliding_window=True, sliding_window=32, layer_types=['full_attention', 'sliding_attention']),
         ['sliding']),
    *(case(f'{name} {kind}', {'rope_scaling': {name: kind, 'factor': 2.0}}, [f"'{kind}'", "'llama3'", "'yarn'"])
      for name, kind in (('type', 'linear'), ('rope_type', 'linear'), ('type', 'dynamic'), ('rope_type', 'longrope'))),
    case('mrope', {'rope_scaling': {'type': 'mrope', 'mrope_section': [2, 1, 1]}}, ["'mrope'"]),
    case('linear of transformers 5', dict(rope_parameters={'rope_type': 'linear', 'factor': 2.0, 'rope_theta': 1e4}),
         ["'linear'"]),
    case('yarn without the length before', {'rope_scaling': {'type': 'yarn', 'factor': 4.0}},
         ['original_max_position_embeddings']),
    case('yarn of transformers 5 without the length before',
         dict(rope_theta=GONE, rope_parameters={'rope_type': 'yarn', 'factor': 4.0, 'rope_theta': 1e6}),
         ['original_max_position_embeddings']),
    case('yarn without a factor', {'rope_scaling': {'type': 'yarn', 'original_max_position_embeddings': 64}},
         ["no 'factor'"]),
    case('yarn with its own factor of attention', {'rope_scaling': {'type': 'yarn', 'attention_factor': 1.2, **YARN}},
         ['attention_factor']),
    case('llama3 without a factor of frequency',
         {'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0, 'original_max_position_embeddings': 8192}},
         ['low_freq_factor']),
    case('llama3 with a factor in quotes', {'rope_scaling': {'rope_type': 'llama3', **LLAMA3, 'factor': '8.0'}},
         ['factor']),
    case('llama3 with a length in quotes', {'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0, **LLAMA3,
                                                             'original_max_position_embeddings': '8192'}},
         ['original_max_position_embeddings']),
    case('llama3 with a factor null', {'rope_scaling': {'rope_type': 'llama3', **LLAMA3, 'factor': None}}, ['factor']),
    case('rope_scaling a text', dict(rope_scaling='yarn'), ['rope_scaling']),
    case('rope_scaling a list', dict(rope_scaling=['llama3', 8.0]), ['rope_scaling']),
    case('rope_parameters a text', dict(rope_parameters='default'), ['rope_parameters']),
    case('rope_parameters by kind of layer',
         dict(rope_theta=GONE, rope_parameters={'full_attention': {'rope_theta': 1e6, 'rope_type': 'default'}}),
         ['rope_parameters']),
    case('yarn with mscale in quotes', {'rope_scaling': {'type': 'yarn', 'mscale': '1.0', **YARN}}, ['mscale']),
    *(case(f'quantised by {how["quant_method"]}', dict(quantization_config=how), [how['quant_method']]) for how in (
        dict(quant_method='bitsandbytes', load_in_8bit=True), dict(quant_method='awq', bits=4, group_size=128),
        dict(quant_method='gptq', bits=4), dict(quant_method='compressed-tensors', format='int-quantized'),
        dict(quant_method='int8', activation_scheme='dynamic'), dict(quant_method='mxfp4'),
        dict(quant_method='quanto', weights='int8'))),
    case('fp8 without blocks', dict(quantization_config=dict(quant_method='fp8', weight_block_size=None)),
         ['weight_block_size']),
    case('quantization_config a text', dict(quantization_config='int8'), ['quantization_config']),
    *(case(f'{name} in quotes', {name: value}, [name]) for name, value in (
        ('rms_norm_eps', '1e-6'), ('hidden_size', '16'), ('num_hidden_layers', '2'), ('num_attention_heads', 'two'),
        ('num_key_value_heads', '1'), ('vocab_size', str(ROWS)), ('head_dim', '8'), ('rope_theta', 'ten thousand'),
        ('max_position_embeddings', '64'), ('intermediate_size', '24'),
        ('tie_word_embeddings', 'true'))),
    *(case(f'{name} null', {name: None}, [name]) for name in (
        'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'vocab_size', 'rms_norm_eps', 'intermediate_size',
        'max_position_embeddings')),
    *(case(f'{name} left out', {name: GONE}, [name]) for name in ('hidden_size', 'vocab_size', 'rms_norm_eps')),
    *(case(f'{name} {value}', {name: value}, [name]) for name, value in (
        ('num_attention_heads', 0), ('num_hidden_layers', 0), ('hidden_size', -16), ('head_dim', [8]),
        ('head_dim', 7), ('rope_theta', [1e4]), ('hidden_size', 16.5))),
    case('heads that do not divide', dict(num_attention_heads=4, num_key_value_heads=3), ['heads=4', 'kv_heads=3']),
    case('deepseek without a rank of queries', V3 | dict(q_lora_rank=None), ['q_lora_rank']),
    case('deepseek in int8', V3 | dict(quantization_config=dict(quant_method='int8')), ["'int8'"]),
    case('deepseek with softmax scores', V3 | dict(scoring_func='softmax'), ["scoring_func='softmax'"]),
    case('deepseek with experts in each second layer', V3 | dict(moe_layer_freq=2), ['moe_layer_freq=2']),
    case('deepseek with no groups', V3 | dict(n_group=0), ['n_group']),
    case('deepseek with a rank in quotes', V3 | dict(kv_lora_rank='8'), ['kv_lora_rank']),
])
def test_a_config_is_refused(tmp_path, refuses, changes, words):
  refuses(publish(tmp_path / 'hub', changes), ['config.json' if 'heads=4' not in words else 'heads=4', *words])


def test_a_theta_in_quotes_is_that_number_or_refused(tmp_path):
  try:
    found = convert.config_of(convert.open_source(publish(tmp_path / 'hub', dict(rope_theta='1000000.0'))))
  except UserError as e:
    assert 'rope_theta' in str(e)
  else:
    assert found.rope_theta == 1e6


@pytest.mark.parametrize('text, words', [
    case('torn', json.dumps(LLAMA)[:-40], []), case('empty', '', []), case('a list', [LLAMA], ['list']),
    case('a text', '"llama"', []), case('a number', '12', []), case('null', 'null', []),
    case('a git-lfs pointer', POINTER, ['git-lfs', 'git lfs pull']), case('a web page', PAGE, []),
    case('utf-16', json.dumps(LLAMA).encode('utf-16'), []), case('two objects', json.dumps(LLAMA) * 2, []),
])
def test_what_is_no_config_is_refused(tmp_path, refuses, text, words):
  refuses(publish(tmp_path / 'hub', files={'config.json': text}), ['config.json', *words])


@pytest.mark.parametrize('changes', [
    case('as published', {}),
    case('with ue8m0 scales', dict(quantization_config=dict(quant_method='fp8', fmt='e4m3', scale_fmt='ue8m0',
                                                            weight_block_size=[128, 128]))),
    case('transformers 5', dict(rope_scaling=GONE, rope_theta=GONE, rope_interleave=True, dtype='bfloat16',
                                rope_parameters={**V3['rope_scaling'], 'rope_type': 'yarn', 'rope_theta': 5e5})),
])
def test_a_deepseek_is_read_and_its_prediction_block_left_out(tmp_path, imports, changes):
  facts = V3 | changes
  weights = weights_of(LLAMA | facts, BF16)
  block = {f'model.layers.2.{name}': np.ones(shape, BF16) for name, shape in (
      ('enorm.weight', (D,)), ('hnorm.weight', (D,)), ('eh_proj.weight', (D, 2 * D)), ('input_layernorm.weight', (D,)))}
  found = imports(publish(tmp_path / 'hub', facts, shards(weights | block, 2)))
  c = found.config
  assert (c.family, c.experts, c.experts_per_token, c.dense_layers, c.routed_scaling) == ('deepseek_v3', 4, 2, 1, 2.5)
  assert c.rope_theta == 5e5 and c.rope_scaling == layers.RopeScaling('yarn', 40, 4096, 1, 32, 1.0, 1.0)
  assert {path: x.dtype for path, x in found.params.items() if x.dtype != BF16} == {'moe_blocks/moe/router_bias': F32}
  for e in range(4):
    np.testing.assert_array_equal(found.params['moe_blocks/moe/down'][0, e],
                                  weights[f'model.layers.1.mlp.experts.{e}.down_proj.weight'].T)
  np.testing.assert_array_equal(found.params['unembedding'], weights['lm_head.weight'].T)


def test_the_context_of_a_copy_is_kept_beside_a_name(tmp_path, imports):
  """A Qwen2.5-Math with another theta and more positions is still one."""
  facts = QWEN | dict(vocab_size=512, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
                      intermediate_size=64, rope_theta=300000, max_position_embeddings=131072)
  found = imports(publish(tmp_path / 'hub', facts), model='nano-qwen')
  assert found.config.max_length == 131072 and found.config.rope_theta == 3e5


# Weights.


def mixed(*dtypes, norms=None):
  """Weights of a layer in each dtype; what is in no layer in the first."""
  out = {}
  for name, x in weights_of(LLAMA).items():
    dtype = dtypes[int(name.split('.')[2])] if '.layers.' in name else dtypes[0]
    out[name] = x.astype(norms if norms and 'norm' in name else dtype)
  return out


PLAIN = weights_of(LLAMA)
LAYER = ('blocks/q', 'blocks/k', 'blocks/v', 'blocks/o', 'blocks/mlp/gate', 'blocks/mlp/up', 'blocks/mlp/down',
         'blocks/attention_norm/scale', 'blocks/mlp_norm/scale')
NORMS = ('blocks/attention_norm/scale', 'blocks/mlp_norm/scale', 'final_norm/scale')
ROTARY = {f'model.layers.{i}.self_attn.rotary_emb.inv_freq': np.ones(d // 2, F32) for i in range(L)}
TWICE = {'lm_head.weight': PLAIN['model.embed_tokens.weight']}
OTHER = {'tok_embeddings.weight': np.ones((ROWS, D), BF16), 'layers.0.attention.wq.weight': np.ones((D, D), BF16)}
ADAPTER = {'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight': np.ones((2, D), F32)}


@pytest.mark.parametrize('weights, kept', [
    case('BF16', mixed(BF16, BF16), {'': BF16}),
    case('F16', mixed(F16, F16), {'': F32}),
    case('F32', mixed(F32, F32), {'': F32}),
    case('F64', mixed(F64, F64), {'': F32}),
    case('a layer BF16, one F32', mixed(BF16, F32), {'': BF16} | dict.fromkeys(LAYER, F32)),
    case('a layer F32, one BF16', mixed(F32, BF16), {'': F32}),
    case('a layer F16, one BF16', mixed(F16, BF16), {'': F32}),
    case('a layer BF16, one F16', mixed(BF16, F16), {'': BF16} | dict.fromkeys(LAYER, F32)),
    case('norms F32, the rest BF16', mixed(BF16, BF16, norms=F32), {'': BF16} | dict.fromkeys(NORMS, F32)),
    case('norms F16, the rest BF16', mixed(BF16, BF16, norms=F16), {'': BF16} | dict.fromkeys(NORMS, F32)),
    case('the last layer F64', mixed(BF16, F64), {'': BF16} | dict.fromkeys(LAYER, F32)),
])
def test_weights_are_kept_in_a_dtype_that_holds_them(tmp_path, imports, weights, kept):
  found = imports(publish(tmp_path / 'hub', weights=weights))
  wide = {name: x.astype(F32) for name, x in weights.items()}
  assert_bits(found.params, ours(wide, found.config), kept)


@pytest.mark.parametrize('files', [
    case('two files and an index', shards(PLAIN, 2)),
    case('three files, complete, without an index', shards(PLAIN, 3, index=False)),
    case('a file for each tensor', shards(PLAIN, len(PLAIN))),
    case('a file for each tensor without an index', shards(PLAIN, len(PLAIN), index=False)),
    case('an index of one file',
         {'model.safetensors.index.json': {'weight_map': dict.fromkeys(PLAIN, 'model.safetensors')}}),
    case('files with names of their own', {
        'model.safetensors': GONE, 'first.safetensors': dict(list(PLAIN.items())[:9]),
        'second.safetensors': dict(list(PLAIN.items())[9:])}),
    case('an index that says more', shards(PLAIN, 2, index={
        'metadata': {}, 'weight_map': {name: f'model-0000{1 + i % 2}-of-00002.safetensors'
                                       for i, name in enumerate(PLAIN)}, 'version': 2})),
    case('consolidated.safetensors beside', {'consolidated.safetensors': OTHER}),
    case('consolidated beside files without an index', shards(PLAIN, 2, index=False, beside={
        'consolidated-00001-of-00001.safetensors': OTHER})),
    case('consolidated beside files with an index', shards(PLAIN, 2, beside={'consolidated.safetensors': OTHER})),
    case('an adapter beside', {'adapter_model.safetensors': ADAPTER, 'adapter_config.json': {'peft_type': 'LORA'}}),
    case('an adapter beside files without an index', shards(PLAIN, 2, index=False, beside={
        'adapter_model.safetensors': ADAPTER})),
    case('an optimizer beside', {'optimizer.safetensors': {'state.0.exp_avg': np.ones(D, F32)}, 'optimizer.pt': 'x'}),
    case('the same weights as *.bin beside', {'pytorch_model.bin': b'PK\x03\x04', 'training_args.bin': b'PK\x03\x04',
                                              'pytorch_model.bin.index.json': {'weight_map': {}}}),
    case('consolidated.00.pth and original/ beside', {
        'consolidated.00.pth': b'PK', 'original/consolidated.00.pth': b'PK', 'original/params.json': {'dim': 16}}),
    case('a GGUF file beside', {'model-Q4_K_M.gguf': b'GGUF'}),
    case('rotary frequencies', {'model.safetensors': PLAIN | ROTARY}),
    case('rotary frequencies of the model', {
        'model.safetensors': PLAIN | {'model.rotary_emb.inv_freq': np.ones(d // 2, F32)}}),
    case('lm_head written twice', {'model.safetensors': PLAIN | TWICE}),
    case('lm_head written twice, in a file of its own', shards(PLAIN | TWICE, 19)),
])
def test_the_files_of_a_model_are_found(tmp_path, imports, files):
  found = imports(publish(tmp_path / 'hub', files=files))
  assert found.config == dense.Config(**WANTED)
  assert_bits(found.params, ours(PLAIN, found.config), {'': F32})


def test_a_tied_lm_head_of_other_numbers_is_no_copy(tmp_path, reads):
  """transformers 5 does not tie the two then: refused, or read as untied; never left out."""
  other = weights_of(LLAMA | dict(tie_word_embeddings=False))
  source = publish(tmp_path / 'hub', files={'model.safetensors': other})
  try:
    config, params = convert.load(convert.open_source(source))
  except UserError as e:
    assert 'lm_head.weight' in str(e)
  else:
    assert not config.tied
    np.testing.assert_array_equal(params['unembedding'], other['lm_head.weight'].T)


def named(change):
  return {'model.safetensors': {change(name): x for name, x in PLAIN.items()}}


def but(*left_out, **more):
  """The weights without those that end so, and with others."""
  return {'model.safetensors': {name: x for name, x in PLAIN.items() if not name.endswith(left_out or ('\0',))} | {
      name.replace('__', '.'): x for name, x in more.items()}}


def of_kind(dtype, ending='up_proj.weight'):
  return {'model.safetensors': {name: x.astype(dtype) if name.endswith(ending) else x for name, x in PLAIN.items()}}


def cut(by):
  """A file whose last bytes are gone."""
  head = json.dumps({'model.norm.weight': {'dtype': 'F32', 'shape': [D], 'data_offsets': [0, 4 * D]}}).encode()
  return (len(head).to_bytes(8, 'little') + head + bytes(4 * D))[:-by]


FOUR = weights_of(LLAMA | dict(num_hidden_layers=4))
INDEX = 'model.safetensors.index.json'


@pytest.mark.parametrize('config, files, words', [
    *(case(f'kept as {name}', {}, of_kind(kind), ['up_proj.weight', name]) for kind, name in (
        (np.int8, 'I8'), (np.int64, 'I64'), (np.uint8, 'U8'), (np.bool_, 'BOOL'), (ml_dtypes.float8_e5m2, 'F8_E5M2'))),
    case('bitsandbytes without its name', {'quantization_config': {'load_in_8bit': True}}, of_kind(np.int8), ['I8']),
    case('MLX, packed', {'quantization': {'group_size': 64, 'bits': 4}},
         {'model.safetensors': of_kind(np.uint32)['model.safetensors'] | {
             'model.layers.0.mlp.up_proj.scales': np.ones((F, 1), F16)}}, ['U32']),
    case('fp8 without scales', {}, of_kind(ml_dtypes.float8_e4m3fn), ['up_proj.weight_scale_inv']),
    case('a scale of a weight that is no fp8', {},
         but(model__layers__0__mlp__up_proj__weight_scale_inv=np.ones((1, 1), F32)),
         ['up_proj.weight_scale_inv', 'kept as F32', 'only fp8']),
    case('a scale of nothing', {}, but(model__layers__0__x__weight_scale_inv=np.ones((1, 1), F32)), ['not there']),
    case('fp8 with scales in whole numbers', {}, {'model.safetensors': of_kind(ml_dtypes.float8_e4m3fn)[
        'model.safetensors'] | {f'model.layers.{i}.mlp.up_proj.weight_scale_inv': np.ones((1, 1), np.int8)
                                for i in range(2)}},
         ['up_proj.weight_scale_inv', 'kept as I8']),
    case('a norm as integers', {}, of_kind(np.int64, 'norm.weight'), ['I64']),
    case('a file missing, no index', {}, shards(PLAIN, 3, index=False, missing=[2]), ['2 of the 3']),
    case('the first file missing, no index', {}, shards(PLAIN, 2, index=False, missing=[1]), ['1 of the 2']),
    case('a file missing that the index names', {}, shards(PLAIN, 3, missing=[3]),
         [INDEX, 'model-00003-of-00003.safetensors']),
    case('a stale index beside one whole file', {},
         {INDEX: {'weight_map': dict.fromkeys(PLAIN, 'model-00001-of-00004.safetensors')}},
         [INDEX, 'model-00001-of-00004.safetensors']),
    case('a stale index that knows half the files', {}, shards(PLAIN, 2, index={
        'weight_map': dict.fromkeys(PLAIN, 'model-00001-of-00002.safetensors')}), ['no tensor model.']),
    case('a torn index', {}, shards(PLAIN, 2, index='{"metadata": {"total_size": 98'), [INDEX]),
    case('an index that is a list', {}, shards(PLAIN, 2, index=list(PLAIN)), [INDEX]),
    case('an index whose map is a list', {}, shards(PLAIN, 2, index={'weight_map': list(PLAIN)}), [INDEX]),
    case('an index whose map is null', {}, shards(PLAIN, 2, index={'weight_map': None}), [INDEX]),
    case('an index whose map names no files', {}, shards(PLAIN, 2, index={'weight_map': {'model.norm.weight': 1}}),
         [INDEX]),
    case('an index that is a pointer', {}, shards(PLAIN, 2, index=POINTER), [INDEX, 'git-lfs']),
    case('an adapter alone', {}, {'model.safetensors': GONE, 'adapter_model.safetensors': ADAPTER,
                                  'adapter_config.json': {'peft_type': 'LORA'}}, ['adapter', 'merge']),
    case('an adapter alone, without a config.json', {},
         {'config.json': GONE, 'model.safetensors': GONE, 'adapter_model.safetensors': ADAPTER,
          'adapter_config.json': {'peft_type': 'LORA', 'base_model_name_or_path': 'OWNER/BASE'}}, ['adapter']),
    case('*.bin alone', {}, {'model.safetensors': GONE, 'pytorch_model.bin': b'PK\x03\x04'}, ['*.bin', 'safetensors']),
    case('*.bin in parts alone', {}, {
        'model.safetensors': GONE, 'pytorch_model-00001-of-00002.bin': b'PK', 'pytorch_model-00002-of-00002.bin': b'PK',
        'pytorch_model.bin.index.json': {'weight_map': {}}}, ['*.bin', 'safetensors']),
    case('consolidated alone', {}, {'model.safetensors': GONE, 'consolidated.safetensors': OTHER},
         ['consolidated.safetensors']),
    case('no weights', {}, {'model.safetensors': GONE}, ['no *.safetensors']),
    case('a pointer', {}, {'model.safetensors': POINTER}, ['model.safetensors', 'git-lfs', 'git lfs pull']),
    case('a file of two a pointer', {}, shards(PLAIN, 2) | {'model-00002-of-00002.safetensors': POINTER},
         ['model-00002-of-00002.safetensors', 'git-lfs']),
    case('an empty file', {}, {'model.safetensors': b''}, ['model.safetensors cannot be read']),
    case('a web page', {}, {'model.safetensors': PAGE}, ['model.safetensors cannot be read']),
    case('a file cut short', {}, {'model.safetensors': cut(3)}, ['model.safetensors cannot be read']),
    case('a torn header', {}, {'model.safetensors': (4000).to_bytes(8, 'little') + b'{"a": ' + bytes(4000)},
         ['model.safetensors cannot be read']),
    case('more layers than config.json says', {}, {'model.safetensors': FOUR}, ['layer 3', 'num_hidden_layers=2']),
    case('one layer more', {'num_hidden_layers': 3}, {'model.safetensors': FOUR}, ['layer 3', 'num_hidden_layers=3']),
    case('more layers of a qwen2 that declares a prediction block', QWEN | {'num_nextn_predict_layers': 2},
         {'model.safetensors': weights_of(LLAMA | QWEN | dict(num_hidden_layers=4))}, ['num_hidden_layers=2']),
    case('more layers in a later file', {}, shards(FOUR, 3), ['num_hidden_layers=2']),
    case('fewer layers', {'num_hidden_layers': 4}, {'model.safetensors': PLAIN}, ['no tensor model.layers.2.', 'more']),
    *(case(f'prefix {prefix}', {}, named(lambda name, p=prefix: p + name), ['no tensor model.']) for prefix in (
        '_orig_mod.', 'base_model.model.', 'module.', 'language_model.')),
    case('prefix model.language_model.', {}, named(lambda name: name.replace('model.', 'model.language_model.', 1)),
         ['no tensor model.']),
    case('without the prefix', {}, named(lambda name: name.removeprefix('model.')), ['no tensor model.']),
    case('a resized vocabulary', {}, {'model.safetensors': weights_of(LLAMA | dict(vocab_size=ROWS + 8))},
         ['model.embed_tokens.weight', str(ROWS + 8), str(ROWS)]),
    case('a vocabulary smaller than config.json says', {'vocab_size': ROWS + 64}, {'model.safetensors': PLAIN},
         ['model.embed_tokens.weight', str(ROWS + 64), str(ROWS)]),
    case('untied, the head resized alone', {'tie_word_embeddings': False},
         but(lm_head__weight=np.ones((ROWS + 1, D), F32)), ['lm_head.weight', str(ROWS + 1)]),
    case('untied, no head', {'tie_word_embeddings': False}, {'model.safetensors': PLAIN}, ['no tensor lm_head.weight']),
    case('tie_word_embeddings left out, no head', {'tie_word_embeddings': GONE}, {'model.safetensors': PLAIN},
         ['no tensor lm_head.weight']),
    case('tied, the embedding under the name of the head', {},
         but('embed_tokens.weight', lm_head__weight=PLAIN['model.embed_tokens.weight']),
         ['no tensor model.embed_tokens.weight']),
    case('a llama with biases', {}, but(model__layers__0__self_attn__q_proj__bias=np.ones(D, F32)), ['q_proj.bias']),
    case('a qwen2 without biases', QWEN, {'model.safetensors': PLAIN}, ['q_proj.bias']),
    case('norms of queries, as qwen3 has', {}, but(model__layers__0__self_attn__q_norm__weight=np.ones(d, F32)),
         ['q_norm.weight']),
    case('a kernel turned round', {},
         but('0.mlp.up_proj.weight', model__layers__0__mlp__up_proj__weight=np.ones((D, F), F32)),
         ['model.layers.0.mlp.up_proj.weight', '(16, 24)', '(24, 16)']),
    case('queries, keys and values in one', {},
         but('q_proj.weight', 'k_proj.weight', 'v_proj.weight',
             model__layers__0__self_attn__qkv_proj__weight=np.ones((32, D), F32)), ['no tensor', 'q_proj.weight']),
    case('another head_dim', {'head_dim': 4}, {'model.safetensors': PLAIN}, ['k_proj.weight', 'expected (4, 16)']),
    case('deepseek with a prediction block that it does not declare', V3 | dict(num_nextn_predict_layers=GONE),
         {'model.safetensors': weights_of(LLAMA | V3) | {'model.layers.2.enorm.weight': np.ones(D, F32)}},
         ['layer 2', 'num_hidden_layers=2']),
    case('deepseek in fp8 with a scale of another shape',
         V3 | dict(quantization_config=dict(quant_method='fp8', weight_block_size=[128, 128])),
         {'model.safetensors': {name: x.astype(ml_dtypes.float8_e4m3fn) if 'up_proj' in name else x
                                for name, x in weights_of(LLAMA | V3).items()} | {
             f'{name}_scale_inv': np.ones((2, 1), F32) for name in weights_of(LLAMA | V3) if 'up_proj' in name}},
         ['up_proj.weight_scale_inv', '(2, 1)']),
])
def test_weights_are_refused(tmp_path, refuses, config, files, words):
  refuses(publish(tmp_path / 'hub', config, files), words)


# Tokenizers.

TRUNCATION = json.dumps({'direction': 'Right', 'max_length': 8, 'strategy': 'LongestFirst', 'stride': 0})
PADDING = json.dumps({'strategy': {'Fixed': 512}, 'direction': 'Right', 'pad_to_multiple_of': None, 'pad_id': 0,
                      'pad_type_id': 0, 'pad_token': EOS})
LONGEST = json.dumps({'strategy': 'BatchLongest', 'direction': 'Left', 'pad_to_multiple_of': 8, 'pad_id': 11,
                      'pad_type_id': 0, 'pad_token': '<pad>'})
TEXT = 'he hell 123 whole é<think>'
PIECES = ['he', 'Ġhell', 'Ġ', '123', 'Ġwhole', 'Ġ', 'Ã', '©', '<think>']


def spelled(pieces):
  """Ids; 'Ġwhole' by its letters, as the merges alone give it."""
  return [TOKENS.index(token) for piece in pieces for token in (piece if piece == 'Ġwhole' else [piece])]


@pytest.mark.parametrize('changes', [
    case('truncation', dict(truncation=TRUNCATION)), case('padding', dict(padding=PADDING)),
    case('both', dict(truncation=TRUNCATION, padding=PADDING)), case('padding to the longest', dict(padding=LONGEST))])
@pytest.mark.parametrize('bos', ['', BOS])
def test_a_tokenizer_neither_cuts_nor_fills(tmp_path, imports, changes, bos):
  found = imports(publish(tmp_path / 'hub', files={'tokenizer.json': byte_level(bos=bos, **changes)}))
  ids = spelled(PIECES)
  assert found.tokenizer.encode(TEXT) == ids and found.tokenizer.decode(ids) == TEXT
  assert found.tokenizer.encode_prompt('he' * 99) == ([3] if bos else []) + spelled(['he'] * 99)
  with open(os.path.join(found.out, 'tokenizer.json'), encoding='utf-8') as f:
    written = json.load(f)
  assert written['truncation'] is None and written['padding'] is None


CONFIG, GENERATION, NAMES = 'config.json', 'generation_config.json', 'tokenizer_config.json'


@pytest.mark.parametrize('config, generation, names, eos, pad', [
    case('generation_config first', {'eos_token_id': 1}, {'eos_token_id': 2}, {'eos_token': EOS}, (2,), 2),
    case('a list', {'eos_token_id': 0}, {'eos_token_id': [2, 0, 10], 'pad_token_id': 11}, {}, (2, 0, 10), 11),
    case('a list that says one twice', {}, {'eos_token_id': [0, 2, 0]}, {}, (0, 2), 0),
    case('a list in config.json alone', {'eos_token_id': [0, 2]}, GONE, {}, (0, 2), 0),
    case('generation_config null', {'eos_token_id': 2}, {'eos_token_id': None}, {}, (2,), 2),
    case('generation_config without one', {'eos_token_id': 2}, {'do_sample': True}, {'eos_token': EOS}, (2,), 2),
    case('no generation_config', {'eos_token_id': 2, 'pad_token_id': 0}, GONE, {}, (2,), 0),
    case('config.json null, a name alone', {'eos_token_id': None}, {'eos_token_id': None}, {'eos_token': IM_END}, (2,),
         2),
    case('a name alone, as an object', {'eos_token_id': GONE}, GONE, {'eos_token': {
        '__type': 'AddedToken', 'content': IM_END, 'lstrip': False, 'normalized': False, 'special': True}}, (2,), 2),
    case('no tokenizer_config', {}, {'eos_token_id': 0}, GONE, (0,), 0),
    case('the last row', {}, {'eos_token_id': ROWS - 1}, {}, (ROWS - 1,), ROWS - 1),
    case('pad null', {}, {'eos_token_id': 2, 'pad_token_id': None}, {}, (2,), 2),
    case('pad null in both', {'pad_token_id': None}, {'eos_token_id': 2, 'pad_token_id': None}, {}, (2,), 2),
    case('pad null in generation_config alone', {'pad_token_id': 11}, {'eos_token_id': 0, 'pad_token_id': None}, {},
         (0,), 11),
    case('pad -1', {'pad_token_id': -1}, {'eos_token_id': 0}, {}, (0,), 0),
    case('pad past the rows', {}, {'eos_token_id': 0, 'pad_token_id': ROWS}, {}, (0,), 0),
])
def test_ends_and_fill_are_found(tmp_path, imports, config, generation, names, eos, pad):
  found = imports(publish(tmp_path / 'hub', config, {GENERATION: generation, NAMES: names})).tokenizer
  assert found.eos_ids == eos and found.pad_id == pad


@pytest.mark.parametrize('tokenizer, names, begins', [
    case('a post-processor', dict(bos=BOS), {'bos_token': BOS}, True),
    case('a post-processor, told so', dict(bos=BOS), {'bos_token': BOS, 'add_bos_token': True}, True),
    case('a post-processor, an object', dict(bos=BOS), {'bos_token': {'content': BOS, 'special': True}}, True),
    case('a post-processor, null', dict(bos=BOS), {'bos_token': BOS, 'add_bos_token': None}, True),
    case('a post-processor in a sequence', dict(bos=BOS, sequence=True), {'bos_token': BOS}, True),
    case('a post-processor, no name', dict(bos=BOS), {}, True),
    case('a post-processor, no tokenizer_config', dict(bos=BOS), GONE, True),
    case('a post-processor of bytes alone', dict(sequence=True), {'bos_token': BOS}, False),
    case('none, told not to', {}, {'bos_token': BOS, 'add_bos_token': False}, False),
    case('none, named alone', {}, {'bos_token': BOS}, False),
    case('none, told to without a name', {}, {'add_bos_token': True}, False),
    case('none, its name null', {}, {'bos_token': None, 'add_bos_token': False}, False),
])
def test_what_begins_a_text(tmp_path, imports, tokenizer, names, begins):
  found = imports(publish(tmp_path / 'hub', files={'tokenizer.json': byte_level(**tokenizer), NAMES: names})).tokenizer
  assert found.bos_id == (3 if begins else None)
  ids, first = spelled(['he', 'Ġhell']), [3] if begins else []
  assert found.encode_prompt('he hell') == first + ids and found.encode('he hell') == ids
  assert found.encode_prompt('<s>he hell') == [3, *ids]  # once


TURNS = ("{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{%- endfor %}"
         "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}")
TOOLS = 'tools: {{ tools }}'


@pytest.mark.parametrize('files, wanted', [
    case('a text', {NAMES: {'chat_template': TURNS}}, TURNS),
    case('a list of named ones', {NAMES: {'chat_template': [
        {'name': 'tool_use', 'template': TOOLS}, {'name': 'default', 'template': TURNS}]}}, TURNS),
    case('a list of one', {NAMES: {'chat_template': [{'name': 'default', 'template': TURNS}]}}, TURNS),
    case('a list without default', {NAMES: {'chat_template': [{'name': 'rag', 'template': TURNS}]}}, TURNS),
    case('an empty list', {NAMES: {'chat_template': []}}, None),
    case('by name', {NAMES: {'chat_template': {'tool_use': TOOLS, 'default': TURNS}}}, TURNS),
    case('a file', {'chat_template.jinja': TURNS}, TURNS),
    case('a file before a text', {'chat_template.jinja': TURNS, NAMES: {'chat_template': TOOLS}}, TURNS),
    case('a file and more of them', {
        'chat_template.jinja': TURNS, 'additional_chat_templates/tool_use.jinja': TOOLS}, TURNS),
    case('a file without a tokenizer_config', {'chat_template.jinja': TURNS, NAMES: GONE}, TURNS),
    case('null', {NAMES: {'chat_template': None}}, None),
    case('none', {NAMES: {}}, None),
])
def test_a_chat_template_is_found(tmp_path, imports, files, wanted):
  found = imports(publish(tmp_path / 'hub', files=files)).tokenizer
  assert found.chat_template == wanted
  if wanted:
    assert chat.render(found, 'é {x}') == '<|im_start|>user\né {x}<|im_end|>\n<|im_start|>assistant\n'
    assert prompts.eos_ids(found, prompts.CHAT) == (0, 2)


@pytest.mark.parametrize('config, files, words', [
    *(case(f'eos {value} in {file}', {'eos_token_id': value if file == CONFIG else GONE},
           {GENERATION: {'eos_token_id': value} if file == GENERATION else {}, NAMES: {}}, ['eos_token_id', *words])
      for value, words in ((-1, ['-1']), (99999, ['99999']), (ROWS, [str(ROWS)]), ([0, 99999], ['99999']),
                           ([0, -1], ['-1']), (EOS, [EOS]), (0.5, ['0.5']), ([], []), ([[0]], []), ({'id': 0}, []),
                           ([0, None], ['None']))
      for file in (CONFIG, GENERATION)),
    case('eos nowhere', {'eos_token_id': GONE}, {GENERATION: GONE, NAMES: GONE}, ['eos_token_id']),
    case('eos null everywhere', {'eos_token_id': None},
         {GENERATION: {'eos_token_id': None}, NAMES: {'eos_token': None}}, ['eos_token_id']),
    case('eos a name that is no token', {'eos_token_id': None}, {GENERATION: GONE, NAMES: {'eos_token': '</s>'}},
         ['eos']),
    *(case(f'pad {value}', {}, {GENERATION: {'eos_token_id': 0, 'pad_token_id': value}}, ['pad_token_id'])
      for value in ('<pad>', [0], {'id': 0}, 1.5)),
    case('ids past the rows', {'vocab_size': len(TOKENS) - 10}, {}, ['Ġwhole', str(len(TOKENS) - 10)]),
    case('one id past the rows', {'vocab_size': len(TOKENS) - 1}, {}, ['Ġwhole', str(len(TOKENS) - 1)]),
    case('tokens added past the rows', {'vocab_size': len(TOKENS) + 1},
         {'tokenizer.json': byte_level(add=('<tool>', '</tool>'))}, ['</tool>', str(len(TOKENS) + 1)]),
    case('tokenizer.model alone', {}, {'tokenizer.json': GONE, 'tokenizer.model': b'\n\x0e\n\x05<unk>'},
         ['tokenizer.model', 'save_pretrained']),
    case('vocab.json and merges.txt alone', {}, {'tokenizer.json': GONE, 'vocab.json': {'a': 0}, 'merges.txt': 'h e'},
         ['no tokenizer.json']),
    case('no tokenizer', {}, {'tokenizer.json': GONE, NAMES: GONE}, ['no tokenizer.json']),
    case('a pointer', {}, {'tokenizer.json': POINTER}, ['tokenizer.json', 'git-lfs', 'git lfs pull']),
    case('torn', {}, {'tokenizer.json': byte_level()[:-300]}, ['tokenizer.json cannot be read']),
    case('empty', {}, {'tokenizer.json': ''}, ['tokenizer.json cannot be read']),
    case('a list', {}, {'tokenizer.json': '[]'}, ['tokenizer.json cannot be read']),
    case('of an unknown kind', {}, {'tokenizer.json': {'version': '1.0', 'model': {'type': 'Tiktoken', 'vocab': {}}}},
         ['tokenizer.json cannot be read']),
    case('without tokens', {}, {'tokenizer.json': tokenizers.Tokenizer(tokenizers.models.BPE()).to_str()},
         ['tokenizer.json']),
    case('tokenizer_config torn', {}, {NAMES: '{"eos_token": '}, [NAMES]),
    case('tokenizer_config a list', {}, {NAMES: '[]'}, [NAMES]),
    case('tokenizer_config a pointer', {}, {NAMES: POINTER}, [NAMES, 'git-lfs']),
    case('tokenizer_config without the text of a token', {}, {NAMES: {'bos_token': {'id': 3}}}, [NAMES, 'bos_token']),
    case('a token that is a number', {}, {NAMES: {'bos_token': 3, 'add_bos_token': True}}, [NAMES, 'bos_token']),
    case('an end that is a number', {'eos_token_id': GONE}, {GENERATION: GONE, NAMES: {'eos_token': 7}},
         [NAMES, 'eos_token']),
    case('generation_config torn', {}, {GENERATION: '{"eos_token_id": [0,'}, [GENERATION]),
    case('generation_config a pointer', {}, {GENERATION: POINTER}, [GENERATION, 'git-lfs']),
    case('chat_template.jinja a pointer', {}, {'chat_template.jinja': POINTER}, ['chat_template.jinja', 'git-lfs']),
    case('chat_template a number', {}, {NAMES: {'chat_template': 7}}, [NAMES, 'chat_template']),
    case('chat_template a list of texts', {}, {NAMES: {'chat_template': [TURNS]}}, [NAMES, 'chat_template']),
    case('chat_template a list without texts', {}, {NAMES: {'chat_template': [{'name': 'default'}]}},
         [NAMES, 'chat_template']),
])
def test_a_tokenizer_is_refused(tmp_path, refuses, config, files, words):
  refuses(publish(tmp_path / 'hub', config, files), words)


def test_a_stop_token_is_added_or_refused(tmp_path, imports, refuses):
  source = publish(tmp_path / 'hub')
  refuses(source, ['<|nobody|>'], stop=('<|nobody|>',))
  assert imports(source, stop=(IM_END, EOS)).tokenizer.eos_ids == (0, 2)


def test_what_stood_in_out_before_is_left_alone(tmp_path):
  source, out = publish(tmp_path / 'hub', {'eos_token_id': -1}, {GENERATION: GONE}), tmp_path / 'out'
  put(str(out / 'notes.txt'), 'mine')
  with pytest.raises(UserError, match='-1'):
    convert.import_model(source, out=str(out))
  assert os.listdir(out) == ['notes.txt']


# GGUF.

TO_GGUF = {'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', 'lm_head': 'output', 'model.layers': 'blk',
           'input_layernorm': 'attn_norm', 'post_attention_layernorm': 'ffn_norm', 'self_attn.q_proj': 'attn_q',
           'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
           'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down'}


ARCH = {'qwen2': QWEN, 'qwen3': QWEN3}


def write_gguf(path, weights=None, *, arch='llama', pre='smollm', model='gpt2', change=lambda tensors: None, bos=None,
               eos=0, merges=MERGES, kind='', facts=(), more=lambda writer: None):
  """What llama.cpp's converter writes. kind: a quantisation of the mlp; facts: of the architecture, None: left out."""
  gguf = pytest.importorskip('gguf', reason="reading GGUF is the extra 'smollm2'")
  tensors = {}
  for name, x in (weights or weights_of(LLAMA | ARCH.get(arch, {}))).items():
    for theirs, short in TO_GGUF.items():
      name = name.replace(theirs, short)
    if arch == 'llama' and ('attn_q' in name or 'attn_k' in name):  # its converter turns Llama's heads, and no others
      x = x.reshape(-1, 2, d // 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
    tensors[name] = np.ascontiguousarray(x)
  change(tensors)
  writer = gguf.GGUFWriter(path, arch)
  sizes = {'embedding_length': D, 'block_count': L, 'feed_forward_length': F, 'context_length': 64,
           'attention.head_count': H, 'attention.head_count_kv': K, 'rope.dimension_count': d} | dict(facts)
  for key, value in sizes.items():
    if value is not None:
      add = writer.add_string if isinstance(value, str) else writer.add_uint32
      add(f'{arch}.{key}', value)
  writer.add_float32(f'{arch}.attention.layer_norm_rms_epsilon', 1e-5)
  writer.add_float32(f'{arch}.rope.freq_base', 5e5)
  writer.add_tokenizer_model(model)
  writer.add_tokenizer_pre(pre)
  writer.add_token_list(TOKENS)
  writer.add_token_types([3] * len(SPECIAL) + [4] + [1] * (len(TOKENS) - len(SPECIAL) - 1))
  writer.add_token_merges(merges)
  if eos is not None:
    writer.add_eos_token_id(eos)
  if bos is not None:
    writer.add_bos_token_id(bos)
  more(writer)
  for name, x in tensors.items():
    if kind and '.ffn_' in name and x.ndim == 2:
      raw = gguf.GGMLQuantizationType[kind]
      writer.add_tensor(name, x.astype(F16) if kind == 'F16' else gguf.quants.quantize(x, raw), raw_dtype=raw)
    else:
      writer.add_tensor(name, x)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return str(path)


def freqs(**scaling):
  """A change of the tensors: with the divisors of a scaling beside."""
  factors = layers.rope_factors(layers.RopeScaling('llama3', **{
      'low': 1.0, 'high': 4.0, 'original_length': 8192, **scaling}), 5e5, d)
  return lambda tensors: tensors.update({'rope_freqs.weight': factors.astype(F32)})


GGUF_WORDS = {  # pre -> pieces of 'he hell 123 whole' and of 'e' with an accent of its own
    'smollm': (['he', 'Ġhell', 'Ġ', '123', *'Ġwhole'], ['e', 'Ì', 'ģ']),
    'llama-bpe': (['he', 'Ġhell', 'Ġ', '123', 'Ġwhole'], ['e', 'Ì', 'ģ']),
    'qwen2': (['he', 'Ġhell', 'Ġ', '1', '2', '3', *'Ġwhole'], ['Ã', '©']),
}
GGUF_WORDS['deepseek-r1-qwen'] = GGUF_WORDS['qwen2']
TOK = len(TOKENS)


def gguf_weights(facts=()):
  """Made-up weights whose embedding has a row for each token, as GGUF files have."""
  return weights_of(LLAMA | {'vocab_size': TOK} | dict(facts))


@pytest.mark.parametrize('given, wanted, begins', [
    case('smollm', dict(), {}, False),
    case('smollm, its beginning told', dict(bos=3, more=lambda w: w.add_add_bos_token(True)), {}, True),
    case('llama-bpe', dict(pre='llama-bpe', bos=3), {}, True),
    case('llama-bpe, told', dict(pre='llama-bpe', bos=3, more=lambda w: w.add_add_bos_token(True)), {}, True),
    case('llama-bpe, told not to', dict(pre='llama-bpe', bos=3, more=lambda w: w.add_add_bos_token(False)), {}, False),
    case('qwen2', dict(arch='qwen2', pre='qwen2'), dict(qkv_bias=True), False),
    case('qwen2, a beginning that is not added',
         dict(arch='qwen2', pre='qwen2', bos=0, more=lambda w: w.add_add_bos_token(False)), dict(qkv_bias=True), False),
    case('deepseek-r1-qwen',
         dict(arch='qwen2', pre='deepseek-r1-qwen', bos=3, more=lambda w: w.add_add_bos_token(True)),
         dict(qkv_bias=True), True),
    case('qwen2 untied', dict(arch='qwen2', pre='qwen2', weights=gguf_weights(QWEN | dict(tie_word_embeddings=False))),
         dict(qkv_bias=True, tied=False), False),
    # Its converter writes the width of heads as that of keys, and no dimension_count.
    case('qwen3', dict(arch='qwen3', pre='qwen2', facts={
        'attention.key_length': 12, 'attention.value_length': 12, 'rope.dimension_count': None}),
         dict(qk_norm=True, head_dim=12), False),
    case('qwen3 untied', dict(arch='qwen3', pre='qwen2', weights=gguf_weights(QWEN3 | dict(tie_word_embeddings=False)),
                              facts={'attention.key_length': 12, 'rope.dimension_count': 12}),
         dict(qk_norm=True, head_dim=12, tied=False), False),
    case('llama 3.1', dict(pre='llama-bpe', bos=3, change=freqs(factor=8.0)),
         dict(rope_scaling=llama3(factor=8.0)), True),
    case('llama 3.2', dict(pre='llama-bpe', bos=3, change=freqs(factor=32.0)),
         dict(rope_scaling=llama3(factor=32.0)), True),
    case('untied', dict(weights=gguf_weights(dict(tie_word_embeddings=False))), dict(tied=False), False),
    case('all heads have keys', dict(weights=gguf_weights(dict(num_key_value_heads=H)),
                                     facts={'attention.head_count_kv': None}), dict(kv_heads=H), False),
    case('scaling none', dict(facts={'rope.scaling.type': 'none'}), {}, False),
])
def test_a_gguf_file_is_read(tmp_path, imports, given, wanted, begins):
  given = {'weights': gguf_weights(ARCH.get(given.get('arch'), {}))} | given
  found = imports(write_gguf(tmp_path / 'model.gguf', **given))
  config = dense.Config(**WANTED | {'vocab_size': TOK} | wanted)
  assert found.config == config
  assert_bits(found.params, ours(given['weights'], config), {'': F32})
  assert found.tokenizer.eos_ids == (0,) and found.tokenizer.bos_id == (given.get('bos') if begins else None)
  for text, pieces in zip(('he hell 123 whole', 'e\u0301'), GGUF_WORDS[given.get('pre', 'smollm')]):
    ids = [TOKENS.index(piece) for piece in pieces]
    assert found.tokenizer.encode(text) == ids, text
    assert found.tokenizer.encode_prompt(text) == ([given['bos']] if begins else []) + ids
  assert found.tokenizer.encode('<|im_end|><think>') == [2, TOKENS.index('<think>')]


@pytest.mark.parametrize('kind, dtype', [('F16', F32), ('BF16', BF16), ('Q8_0', F32), ('Q4_0', F32), ('Q5_1', F32)])
def test_a_quantised_gguf_file_is_read(tmp_path, imports, kind, dtype):
  facts = dict(vocab_size=TOK, hidden_size=32, intermediate_size=64, head_dim=8)
  weights = weights_of(LLAMA | facts)
  found = imports(write_gguf(tmp_path / 'model.gguf', weights, kind=kind,
                             facts={'embedding_length': 32, 'feed_forward_length': 64}))
  wanted = ours(weights, found.config)
  for x in ('gate', 'up', 'down'):
    path = f'blocks/mlp/{x}'
    exact, read = wanted.pop(path), found.params.pop(path)
    assert read.dtype == dtype and 0 < np.abs(read.astype(F32) - exact).max() < 0.5
  assert_bits(found.params, wanted, {'': F32})


def q4_k(block):
  """256 numbers of a block of 144 bytes, as ggml lays them out: eight parts, each with a scale and a least of 6 bits."""
  scale, least = (float(x) for x in block[:4].view(F16))
  q, out = [int(x) for x in block[4:16]], []
  for part in range(8):
    if part < 4:
      s, m = q[part] & 63, q[part + 4] & 63
    else:
      s, m = (q[part + 4] & 15) | (q[part - 4] >> 6) << 4, (q[part + 4] >> 4) | (q[part] >> 6) << 4
    nibbles = block[16 + part // 2 * 32:][:32] >> (4 * (part % 2)) & 15
    out += [scale * s * int(x) - least * m for x in nibbles]
  return out


def q6_k(block):
  """Of 210 bytes: low nibbles, high pairs of bits, sixteen scales of a byte, one of them all."""
  low, high, scales, whole = block[:128], block[128:192], block[192:208].view(np.int8), float(block[208:].view(F16)[0])
  out = np.zeros(256)
  for i in range(256):
    half, quarter, at = i // 128, i % 128 // 32, i % 32
    nibble = int(low[half * 64 + quarter % 2 * 32 + at]) >> (4 * (quarter // 2)) & 15
    bits = int(high[half * 32 + at]) >> (2 * quarter) & 3
    out[i] = whole * int(scales[i // 16]) * ((nibble | bits << 4) - 32)
  return out


@pytest.mark.parametrize('kind, size, exact', [('Q4_K', 144, q4_k), ('Q6_K', 210, q6_k)])
def test_a_gguf_file_in_k_quants_is_read(tmp_path, imports, monkeypatch, kind, size, exact):
  """Blocks made up, as no Python writes them, and undone by hand."""
  gguf = pytest.importorskip('gguf', reason="reading GGUF is the extra 'smollm2'")
  rng = np.random.default_rng(0)
  blocks = rng.integers(0, 256, (D, size), np.uint8)
  for row in blocks:  # its halves must be numbers
    scales = rng.uniform(0.001, 0.01, 2).astype(F16).view(np.uint8)
    row[:4], row[-2:] = (scales, row[-2:]) if kind == 'Q4_K' else (row[:4], scales[:2])
  write, name = gguf.GGUFWriter.add_tensor, 'blk.1.ffn_down.weight'
  monkeypatch.setattr(gguf.GGUFWriter, 'add_tensor', lambda self, tensor, x, **kw: write(
      self, tensor, blocks, raw_dtype=gguf.GGMLQuantizationType[kind]) if tensor == name else write(
          self, tensor, x, **kw))
  found = imports(write_gguf(tmp_path / 'model.gguf', gguf_weights(dict(intermediate_size=256)),
                             facts={'feed_forward_length': 256}))
  wanted = np.array([exact(row) for row in blocks])
  np.testing.assert_allclose(found.params['blocks/mlp/down'][1], wanted.T, rtol=1e-5, atol=1e-6)


def test_a_gguf_file_may_end_in_several_tokens(tmp_path, imports):
  more = lambda writer: (writer.add_eot_token_id(2), writer.add_eom_token_id(10), writer.add_pad_token_id(11),
                         writer.add_chat_template(TURNS))
  found = imports(write_gguf(tmp_path / 'model.gguf', gguf_weights(), pre='llama-bpe', bos=4, more=more)).tokenizer
  assert found.eos_ids == (0, 2, 10) and found.pad_id == 11 and found.chat_template == TURNS
  assert found.special['bos_token'] == LLAMA_BOS


def without(ending):
  return lambda tensors: [tensors.pop(name) for name in list(tensors) if name.endswith(ending)]


@pytest.mark.parametrize('given, words', [
    case('an unknown split', dict(pre='tekken'), ["pre='tekken'", 'smollm']),
    case('no split that is named', dict(pre='default'), ["pre='default'"]),
    case("sentencepiece's tokenizer", dict(model='llama'), ["model='llama'"]),
    *(case(f'architecture {arch}', dict(arch=arch), [f"'{arch}'", "'qwen2'"])
      for arch in ('gemma2', 'qwen3moe', 'phi3', 'gpt2')),
    case('heads turned in part', dict(facts={'attention.key_length': 8, 'rope.dimension_count': 4}),
         ['rope.dimension_count=4', 'heads of 8']),
    case('a qwen3 without norms', dict(arch='qwen3', pre='qwen2', change=without('k_norm.weight'), facts={
        'attention.key_length': 12, 'rope.dimension_count': None}), ['blk.0.attn_k_norm.weight']),
    case('a foreign scaling', dict(change=lambda t: t.update({'rope_freqs.weight': np.array([1, 1, 2, 5], F32)})),
         ['rope_freqs.weight']),
    case('a scaling of other turns', dict(change=freqs(factor=8.0, low=1.5, high=8.0)),
         ['rope_freqs.weight']),
    case('a scaling of another width', dict(change=lambda t: t.update({'rope_freqs.weight': np.ones(7, F32)})),
         ['rope_freqs.weight']),
    *(case(f'scaling {kind}', dict(facts={'rope.scaling.type': kind}), [f"'{kind}'"]) for kind in ('linear', 'yarn')),
    case('experts', dict(facts={'expert_count': 8}), ['8 experts']),
    case('a merge with two spaces', dict(merges=[*MERGES, 'h  e']), ['merges', "'h  e'"]),
    case('a merge of one', dict(merges=[*MERGES, 'he']), ['merges', "'he'"]),
    case('an empty merge', dict(merges=['', *MERGES]), ['merges']),
    case('a merge of what is no token', dict(merges=[*MERGES, 'he Ġnobody']), ['merges']),
    case('a merge that makes no token', dict(merges=[*MERGES, 'l he']), ['merges']),
    case('eos nowhere', dict(eos=None), ['eos_token_id']),
    case('eos past the tokens', dict(eos=99999), ['99999']),
    case('a beginning past the tokens', dict(bos=99999, pre='llama-bpe'), ['99999']),
    case('no length', dict(facts={'context_length': None}), ['context_length']),
    case('no heads', dict(facts={'attention.head_count': None}), ['attention.head_count']),
    case('heads 0', dict(facts={'attention.head_count': 0, 'rope.dimension_count': None}), ['head_count']),
    case('heads that do not divide', dict(facts={'attention.head_count_kv': 3}), ['heads']),
    case('fewer layers', dict(facts={'block_count': 4}), ['blk.2.']),
    case('more layers', dict(facts={'block_count': 1}), ['blk.1.']),
    case('a tensor missing', dict(change=without('attn_v.weight')), ['no tensor blk.0.attn_v.weight']),
    case('biases of a llama', dict(change=lambda t: t.update({'blk.0.attn_q.bias': np.ones(D, F32)})),
         ['blk.0.attn_q.bias']),
    case('a qwen2 without biases', dict(arch='qwen2', pre='qwen2', change=without('.bias')), ['blk.0.attn_q.bias']),
    case('more rows than tokens', dict(weights=gguf_weights(dict(vocab_size=TOK + 8))),
         ['token_embd.weight', str(TOK + 8)]),
    case('integers', dict(change=lambda t: t.update({'blk.0.ffn_up.weight': t['blk.0.ffn_up.weight'].astype(np.int8)})),
         ['blk.0.ffn_up.weight', 'I8']),
])
def test_a_gguf_file_is_refused(tmp_path, refuses, given, words):
  given = {'weights': gguf_weights(ARCH.get(given.get('arch'), {}))} | given
  refuses(write_gguf(tmp_path / 'model.gguf', **given), words)


@pytest.mark.parametrize('torn', [
    case('cut in its weights', lambda whole: whole[:-4000]), case('cut in its metadata', lambda whole: whole[:900]),
    case('empty', lambda whole: b''), case('a pointer', lambda whole: POINTER.encode()),
    case('a web page', lambda whole: PAGE.encode()), case('another magic', lambda whole: b'GGML' + whole[4:])])
def test_a_torn_gguf_file_is_refused(tmp_path, refuses, torn):
  path = tmp_path / 'model.gguf'
  write_gguf(path, gguf_weights())
  path.write_bytes(torn(path.read_bytes()))
  refuses(str(path), ['model.gguf'])


def test_a_directory_of_gguf_files(tmp_path, imports, refuses):
  (tmp_path / 'hub').mkdir()
  write_gguf(tmp_path / 'hub' / 'model-Q8_0.gguf', gguf_weights())
  other = tmp_path / 'hub' / 'model-F16.gguf'
  write_gguf(other, gguf_weights())
  refuses(str(tmp_path / 'hub'), ['2 GGUF files'])
  os.remove(other)
  assert imports(str(tmp_path / 'hub')).config.vocab_size == TOK


def in_parts(directory, counts=(10, 10), only=None):
  """A model as llama.cpp's gguf-split leaves it, so many tensors in each file, its metadata in the first."""
  weights, files, at = gguf_weights(), [], 0
  directory.mkdir()
  for i, count in enumerate(counts, 1):
    names, at = list(weights)[at:at + count], at + count
    more = lambda w, i=i: (w.add_uint16('split.no', i - 1), w.add_uint16('split.count', len(counts)))
    files.append(directory / f'model-q8_0-{i:05d}-of-{len(counts):05d}.gguf')
    if only is None or i in only:
      write_gguf(files[-1], {name: weights[name] for name in names} or {'x': np.ones(1, F32)}, more=more,
                 change=lambda tensors: tensors.pop('x', None))
  return weights, files


@pytest.mark.parametrize('counts, named', [
    case('by its first', (7, 7, 6), 0), case('by its last', (7, 7, 6), 2), case('by its directory', (10, 10), None),
    case('the first with no tensors', (0, 20), 0)])
def test_a_gguf_file_in_parts_is_read(tmp_path, imports, counts, named):
  weights, files = in_parts(tmp_path / 'hub', counts)
  found = imports(str(tmp_path / 'hub' if named is None else files[named]))
  assert_bits(found.params, ours(weights, found.config), {'': F32})


def test_a_part_that_is_not_there_or_has_another_name_is_named(tmp_path, refuses):
  _, files = in_parts(tmp_path / 'hub', only=(1,))
  for source in (files[0], tmp_path / 'hub'):
    refuses(str(source), ['one of 2 parts', 'model-q8_0-00002-of-00002.gguf is not beside it'])
  os.rename(files[0], tmp_path / 'hub' / 'model.gguf')
  refuses(str(tmp_path / 'hub'), ['one of 2 parts', 'llama-gguf-split --merge'])


def test_a_gguf_file_beside_a_config_alone(tmp_path, imports):
  directory = publish(tmp_path / 'hub', files={'config.json': {'model_type': 'llama'}, 'model.safetensors': GONE})
  write_gguf(tmp_path / 'hub' / 'model.gguf', gguf_weights())
  assert imports(directory).config.vocab_size == TOK


# Where they lie.


def in_cache(root, name, revision='5fee7c4ed634dc66c6e318c8ac2897b8b9154536', *, main=None, **published):
  """A model in a hub's cache: blobs, a snapshot of links to them, and refs/main; returns its root."""
  model = os.path.join(root, 'models--' + name.replace('/', '--'))
  files = publish(os.path.join(root, 'made', name, revision), **published)
  snapshot = os.path.join(model, 'snapshots', revision)
  os.makedirs(os.path.join(model, 'blobs'), exist_ok=True)
  os.makedirs(snapshot)
  for i, file in enumerate(os.listdir(files)):
    blob = f'{revision[:6]}{i:034d}'
    os.rename(os.path.join(files, file), os.path.join(model, 'blobs', blob))
    os.symlink(os.path.join('..', '..', 'blobs', blob), os.path.join(snapshot, file))
  if main is not False:
    put(os.path.join(model, 'refs', 'main'), main or revision)
  return model


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """An empty hub cache, and no way to the hub."""
  root = str(tmp_path / 'cache')
  monkeypatch.setenv('HF_HUB_CACHE', root)
  monkeypatch.setattr(pytest.importorskip('huggingface_hub.constants'), 'HF_HUB_CACHE', root)
  monkeypatch.chdir(tmp_path)
  return root


OLD, NEW = 'a' * 40, 'b' * 40
SHORT = {'num_hidden_layers': 1}


@pytest.mark.parametrize('revisions, main, source, count', [
    case('its root', [NEW], NEW, '{model}', 2),
    case('its root with a slash', [NEW], NEW, '{model}/', 2),
    case('its root, refs/main with a line end', [NEW], NEW + '\n', '{model}', 2),
    case('its root, of two what refs/main says', [OLD, NEW], OLD, '{model}', 1),
    case('its root, without refs/main', [NEW], False, '{model}', 2),
    case('its root, refs/main of what is not there', [NEW], 'c' * 40, '{model}', 2),
    case('a snapshot', [OLD, NEW], NEW, '{model}/snapshots/' + OLD, 1),
    case('a name', [NEW], NEW, 'OWNER/NAME-1.5B', 2),
    case('a name, of two what refs/main says', [OLD, NEW], OLD, 'OWNER/NAME-1.5B', 1),
    case('a name and a revision', [OLD, NEW], NEW, 'OWNER/NAME-1.5B@' + OLD, 1),
])
def test_a_hub_cache_is_read(cache, imports, revisions, main, source, count):
  for revision in revisions:
    model = in_cache(cache, 'OWNER/NAME-1.5B', revision, main=main, config=SHORT if revision == OLD else {})
  found = imports(source.format(model=model))
  assert found.config == dense.Config(**WANTED | {'layers': count})
  with open(os.path.join(found.out, common.ORIGIN), encoding='utf-8') as f:
    assert json.load(f)['hub'] == 'OWNER/NAME-1.5B'


@pytest.mark.parametrize('broken, words', [
    case('config.json', 'config.json', ['config.json']),
    case('the weights', 'model.safetensors', ['model.safetensors']),
    case('tokenizer.json', 'tokenizer.json', ['tokenizer.json']),
    case('tokenizer_config.json', NAMES, [NAMES]),
    case('generation_config.json', GENERATION, [GENERATION]),
])
def test_a_broken_link_is_named(cache, refuses, broken, words):
  model = in_cache(cache, 'OWNER/NAME')
  snapshot = os.path.join(model, 'snapshots', os.listdir(os.path.join(model, 'snapshots'))[0])
  os.remove(os.path.realpath(os.path.join(snapshot, broken)))
  refuses(model, words)


@pytest.mark.parametrize('source, words', [
    case('a name that is not there', 'OWNER/NOBODY', ['OWNER/NOBODY', 'hf download OWNER/NOBODY']),
    case('a revision that is not there', 'OWNER/NAME@' + 'd' * 40, ['OWNER/NAME']),
    case('two snapshots without refs/main', '{root}/models--OWNER--TWO', ['2 snapshots', 'snapshots/']),
    case('no snapshot', '{root}/models--OWNER--NONE', ['0 snapshots']),
    case('the whole cache', '{root}', ['--source']),
    case('*.bin alone', 'OWNER/BIN', ['models--OWNER--BIN', '*.bin']),
    case('half of what its index names', 'OWNER/HALF', [INDEX, 'model-00002-of-00002.safetensors']),
    case('one of its files', '{root}/models--OWNER--NAME/snapshots/' + NEW + '/model.safetensors',
         ['model.safetensors']),
    case('a name of ours', 'qwen2.5-1.5b', ['try hf:Qwen/Qwen2.5-1.5B']),
    case('a path that is not there', '{root}/models/qwen', ['neither']),
    case('a directory with nothing of a model', '{root}/models--OWNER--NONE/refs', ['neither']),
    case('a file that is no model', '{root}/models--OWNER--NONE/refs/main', ['cannot be read as GGUF']),
    case('gs://', 'gs://bucket/models/qwen', ['gs://bucket', 'address']),
    case('s3://', 's3://bucket/qwen', ['s3://bucket', 'address']),
    case('hf://', 'hf://OWNER/NAME', ['hf://', 'give OWNER/NAME']),
    case('https://', 'https://huggingface.co/OWNER/NAME/tree/main', ['https://huggingface.co', 'give OWNER/NAME,']),
    case('nobody at home', '~nobody-of-that-name/models', ['~nobody-of-that-name']),
])
def test_a_source_is_refused(cache, refuses, source, words):
  pytest.importorskip('gguf', reason="reading GGUF is the extra 'smollm2'")
  in_cache(cache, 'OWNER/NAME', NEW)
  in_cache(cache, 'OWNER/HALF', files=shards(PLAIN, 2, missing=[2]))
  in_cache(cache, 'OWNER/BIN', files={'model.safetensors': GONE, 'pytorch_model.bin': b'PK'})
  for revision in (OLD, NEW):
    in_cache(cache, 'OWNER/TWO', revision, main=False)
  os.makedirs(os.path.join(cache, 'models--OWNER--NONE', 'snapshots'))
  put(os.path.join(cache, 'models--OWNER--NONE', 'refs', 'main'), OLD)
  refuses(source.format(root=cache), words)


def test_an_empty_source_is_not_where_one_stands(tmp_path, monkeypatch, refuses):
  monkeypatch.chdir(publish(tmp_path / 'hub'))
  refuses('', ['--source'])


def test_the_home_directory_and_links_to_directories(tmp_path, monkeypatch, imports):
  monkeypatch.setenv('HOME', str(tmp_path))
  publish(tmp_path / 'models' / 'x')
  os.symlink(tmp_path / 'models' / 'x', tmp_path / 'link')
  for source in ('~/models/x', '~/link', str(tmp_path / 'models' / 'x') + '/'):
    assert imports(source).config == dense.Config(**WANTED)
    shutil.rmtree(tmp_path / 'out')


# As transformers has it.

LOOP = ("{%- for m in messages %}{%- if loop.first and m['role'] == 'system' %}{{ '<|im_start|>' }}{%- endif %}\n"
        "  {{- m['content'] | trim }}{{ '<|im_end|>' }}\n{% endfor %}\n"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
ASKED = ['What is 2 + 2?', ' he hell  123\n whole\n', 'é e\u0301 日本 {x} {{ y }} \\n "q" \'s',
         '<think>a</think><|im_end|>b', '']


@pytest.mark.parametrize('files', [
    case('truncation and padding', {'tokenizer.json': byte_level(truncation=TRUNCATION, padding=PADDING)}),
    case('a beginning by a post-processor', {'tokenizer.json': byte_level(bos=BOS)}),
    case('a beginning by a sequence of them', {'tokenizer.json': byte_level(bos=BOS, sequence=True)}),
    case('add_bos_token', {NAMES: {'bos_token': BOS, 'eos_token': EOS, 'add_bos_token': True}}),
    case('add_bos_token false over a post-processor', {
        'tokenizer.json': byte_level(bos=BOS), NAMES: {'bos_token': BOS, 'eos_token': EOS, 'add_bos_token': False}}),
    case('a beginning without a name', {'tokenizer.json': byte_level(bos=BOS), NAMES: {'eos_token': EOS}}),
    case('U+2581 for spaces', {'tokenizer.json': metaspace(), GENERATION: {'eos_token_id': 2},
                               NAMES: {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>'}}),
    case('a template in a file', {'chat_template.jinja': '{{ bos_token }}' + LOOP}),
    case('a template among several', {NAMES: {'bos_token': BOS, 'eos_token': EOS, 'chat_template': [
        {'name': 'other', 'template': TURNS}, {'name': 'default', 'template': LOOP + '{{ eos_token }}'}]}}),
])
def test_ids_and_templates_are_those_of_transformers(tmp_path, imports, files):
  transformers = pytest.importorskip('transformers')
  files = {name: {'tokenizer_class': 'PreTrainedTokenizerFast', **value} if name == NAMES else value
           for name, value in files.items()}
  source = publish(tmp_path / 'hub', files=files)
  found, theirs = imports(source).tokenizer, transformers.AutoTokenizer.from_pretrained(source)
  for text in (*ASKED, 'he' * 600):
    assert found.encode(text) == theirs(text, add_special_tokens=False).input_ids, text
    assert found.encode_prompt(text) == theirs(text).input_ids, text
    assert found.decode(found.encode(text)) == theirs.decode(theirs(text).input_ids, skip_special_tokens=True), text
  if found.chat_template:
    for text in ASKED:
      for system in ('', 'Be brief.'):
        messages = [{'role': 'system', 'content': system}] * bool(system) + [{'role': 'user', 'content': text}]
        assert chat.render(found, text, system) == theirs.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
  """(beginning, how it is told, chat template) -> a checkpoint with a tokenizer like that; each is made once."""
  known = {}

  def get(bos, how, template=None, config=(), qwen=False):
    key = (bos, how, template, config)
    if key not in known:
      path = tmp_path_factory.mktemp('model')
      names = {} if how in ('none', 'unnamed') else {'bos_token': bos}
      names |= {'told': {'add_bos_token': True}, 'not added': {'add_bos_token': False}}.get(how, {})
      tokenizer = byte_level(bos=bos if how in ('adds', 'unnamed') else '', qwen=qwen)
      source = publish(path / 'hub', dict(num_hidden_layers=1) | dict(config), {
          'tokenizer.json': tokenizer, NAMES: {'eos_token': EOS, 'chat_template': template, **names}})
      convert.import_model(source, out=str(path / 'model'))
      known[key] = str(path / 'model')
    return known[key]

  return get


def exported(checkpoint_dir, out, prompt=None):
  """(our tokenizer, transformers') of a checkpoint and its export, with that prompt on record."""
  transformers = pytest.importorskip('transformers')
  model, tokenizer, _ = common.load_model(checkpoint_dir)
  common.save_model(checkpoint_dir, model, tokenizer, prompt=prompt)
  convert.export_model(checkpoint_dir, out)
  with open(os.path.join(out, GENERATION), encoding='utf-8') as f:
    found = json.load(f)['eos_token_id']
  ends = prompts.eos_ids(tokenizer, prompt['template']) if prompt else tokenizer.eos_ids
  assert (found if isinstance(found, list) else [found]) == list(ends)
  return tokenizer, transformers.AutoTokenizer.from_pretrained(out)


def asks_the_same(checkpoint_dir, out, template, prefill):
  """Compares ids of what transformers and r1jax ask."""
  tokenizer, theirs = exported(checkpoint_dir, out, prompts.record(template, prefill=prefill))
  for question in ASKED:
    row, = prompts.for_model([{'id': 'q', 'question': question, 'prefill': prefill}], tokenizer, template)
    found = theirs.apply_chat_template([{'role': 'user', 'content': question}], add_generation_prompt=True,
                                       tokenize=True, return_dict=False)
    assert found == prompts.ids(tokenizer, template, row), question


HOW = ('none', 'adds', 'told', 'not added', 'unnamed')
OWN = {'llama3': LLAMA_BOS, 'deepseek_r1': R1_BOS}  # templates that write the beginning themselves


@pytest.mark.parametrize('how, prefills', [
    ('none', ['', '<think>\n']), ('adds', ['', '<think>\n', " it's\t\\n {{ x }}"]), ('told', ['<think>\n']),
    ('not added', ['']), ('unnamed', [''])], ids=HOW)
@pytest.mark.parametrize('template', list(prompts.TEMPLATES))
def test_an_export_is_asked_as_it_was_trained(tmp_path, models, template, how, prefills):
  for i, prefill in enumerate(prefills):
    asks_the_same(models(OWN.get(template, BOS), how), str(tmp_path / f'out{i}'), template, prefill)


@pytest.mark.parametrize('how', ['adds', 'told', 'unnamed'])
@pytest.mark.parametrize('template', list(OWN))
def test_an_export_begins_as_its_tokenizer_does_whatever_the_template_says(tmp_path, models, template, how):
  asks_the_same(models(BOS, how), str(tmp_path / 'out'), template, '<think>\n')


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('text', [TURNS, '{{ bos_token }}' + TURNS], ids=['no beginning', 'a beginning'])
def test_an_export_with_the_chat_template_of_its_source(tmp_path, models, text, how):
  asks_the_same(models(BOS, how, text), str(tmp_path / 'out'), prompts.CHAT, '')


@pytest.mark.parametrize('how', ['none', 'adds'])
def test_an_export_with_the_chat_template_of_its_source_opens_answers_too(tmp_path, models, how):
  asks_the_same(models(BOS, how, TURNS), str(tmp_path / 'out'), prompts.CHAT, '<think>\n')


@pytest.mark.parametrize('template', ['r1_zero', 'qwen2.5'])
def test_an_export_of_a_qwen2_is_asked_as_it_was_trained(tmp_path, models, template):
  """transformers has splits of its own for this family, whatever tokenizer.json says: they must be the source's."""
  checkpoint_dir = models(BOS, 'none', config=(('model_type', 'qwen2'),), qwen=True)
  asks_the_same(checkpoint_dir, str(tmp_path / 'out'), template, '<think>\n')


@pytest.mark.parametrize('how', HOW)
def test_an_export_reads_plain_text_as_r1jax_does(tmp_path, models, how):
  """What begins a text stands in tokenizer.json too: transformers 5 hears add_bos_token no more."""
  tokenizer, theirs = exported(models(BOS, how), str(tmp_path / 'out'))
  for text in ASKED:
    assert theirs(text).input_ids == tokenizer.encode_prompt(text), text
    assert theirs(text, add_special_tokens=False).input_ids == tokenizer.encode(text), text


def test_a_gguf_file_goes_out_with_its_tokenizer(tmp_path):
  path = write_gguf(tmp_path / 'model.gguf', gguf_weights(), pre='llama-bpe', bos=4)
  convert.import_model(path, out=str(tmp_path / 'model'))
  tokenizer, theirs = exported(str(tmp_path / 'model'), str(tmp_path / 'out'))
  for text in (*ASKED, 'he hell 1234567 whole'):
    assert theirs(text).input_ids == tokenizer.encode_prompt(text) and tokenizer.bos_id == 4, text


@pytest.mark.parametrize('dtype', [BF16, F16, F32], ids=['BF16', 'F16', 'F32'])
@pytest.mark.parametrize('changes', [
    case('llama3', dict(rope_scaling={'rope_type': 'llama3', 'factor': 32.0, **LLAMA3},
                        max_position_embeddings=131072)),
    case('yarn', QWEN | dict(rope_scaling={'type': 'yarn', **YARN}, rope_theta=1000000.0, tie_word_embeddings=False))])
def test_an_export_is_the_source_again(tmp_path, changes, dtype):
  """Bit for bit in the source's dtype, and with its positions and scaling."""
  weights = weights_of(LLAMA | changes, dtype)
  source = publish(tmp_path / 'hub', changes, weights=weights)
  config = convert.import_model(source, out=str(tmp_path / 'model'))
  convert.export_model(str(tmp_path / 'model'), str(tmp_path / 'out'))
  assert convert.config_of(convert.open_source(str(tmp_path / 'out'))) == config
  with safetensors.safe_open(tmp_path / 'out' / 'model.safetensors', framework='numpy') as f:
    assert set(f.keys()) == set(weights)
    for name, x in weights.items():
      found = f.get_tensor(name)
      assert found.dtype == x.dtype, name
      np.testing.assert_array_equal(found.view(np.uint8), x.view(np.uint8), err_msg=name)
  with open(tmp_path / 'out' / 'config.json', encoding='utf-8') as f:
    facts = json.load(f)
  assert facts['max_position_embeddings'] == config.max_length and facts['rope_theta'] == config.rope_theta
  assert facts['rope_scaling'].items() >= changes['rope_scaling'].items()
