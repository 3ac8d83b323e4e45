"""The families against transformers' own modelling code, decoding against teacher forcing, sizes against the published.

Random tiny configs; the import is part of what is compared. Without torch (extra `parity`) the comparisons are
skipped and say so; the rest needs nothing.
"""

import dataclasses
import functools
import importlib.util
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import decoding
from r1jax import convert
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.convert import __main__ as convert_main
from r1jax.models import layers, zoo
from r1jax.models.decoder import split_layers
from r1jax.types import Request, UserError

SEEDS = (0, 1, 2)
FAMILIES = ('nano', 'nano-llama', 'nano-qwen', 'nano-qwen3', 'nano-deepseek')


def parity():
  if importlib.util.find_spec('torch') is None:
    pytest.skip("comparison with transformers needs the extra parity: pip install -e '.[parity]'")
  return importlib.import_module('torch'), importlib.import_module('transformers')


DENSE = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-6, initializer_range=0.3,
             eos_token_id=1, bos_token_id=0, pad_token_id=0)
MLA = dict(DENSE, num_key_value_heads=4, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=2, n_group=4,
           topk_group=2, first_k_dense_replace=1, q_lora_rank=24, kv_lora_rank=20, qk_nope_head_dim=8,
           qk_rope_head_dim=4, v_head_dim=12, n_shared_experts=1, routed_scaling_factor=2.5)
LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 1e4, 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 32}
YARN = {'rope_type': 'yarn', 'rope_theta': 1e4, 'factor': 4.0, 'original_max_position_embeddings': 16,
        'beta_fast': 32, 'beta_slow': 1, 'mscale': 1.0, 'mscale_all_dim': 1.0}
CASES = {
    'llama': ('Llama', DENSE, {}),
    'llama-tied-mqa': ('Llama', DENSE, dict(tie_word_embeddings=True, num_key_value_heads=1)),
    'llama-scaled': ('Llama', DENSE, dict(rope_parameters=LLAMA3, num_key_value_heads=4)),
    'llama-head_dim': ('Llama', DENSE, dict(head_dim=12)),
    'qwen': ('Qwen2', DENSE, {}),
    'qwen-tied': ('Qwen2', DENSE, dict(tie_word_embeddings=True)),
    'llama3.2': ('Llama', DENSE, dict(tie_word_embeddings=True, rope_parameters={**LLAMA3, 'factor': 32.0},
                                      head_dim=16)),
    'r1-distill-qwen': ('Qwen2', DENSE, dict(tie_word_embeddings=False, rope_parameters={
        'rope_type': 'default', 'rope_theta': 1e4})),
    'r1-distill-llama': ('Llama', DENSE, dict(tie_word_embeddings=False, rope_parameters=LLAMA3, rms_norm_eps=1e-5)),
    'qwen3': ('Qwen3', DENSE, dict(head_dim=12)),
    'qwen3-tied-mqa': ('Qwen3', DENSE, dict(head_dim=16, tie_word_embeddings=True, num_key_value_heads=1)),
    'deepseek': ('DeepseekV3', MLA, {}),
    'deepseek-yarn': ('DeepseekV3', MLA, dict(rope_parameters=YARN)),
    'deepseek-yarn-factors': ('DeepseekV3', MLA, dict(rope_parameters={**YARN, 'mscale': 0.7, 'mscale_all_dim': 0.4})),
    'deepseek-one-group': ('DeepseekV3', MLA, dict(n_group=1, topk_group=1, num_experts_per_tok=3)),
    'deepseek-epsilon': ('DeepseekV3', MLA, dict(rms_norm_eps=1e-3)),
    'deepseek-unnormalised': ('DeepseekV3', MLA, dict(norm_topk_prob=False, n_shared_experts=2)),
}


def their_model(tmp_path, case, seed):
  """(transformers' model, our model, our params) by way of a directory on disk."""
  torch, transformers = parity()
  family, base, facts = CASES[case]
  torch.manual_seed(seed)
  theirs = getattr(transformers, f'{family}ForCausalLM')(
      getattr(transformers, f'{family}Config')(**{**base, **facts})).eval()
  with torch.no_grad():
    for name, value in [*theirs.named_parameters(), *theirs.named_buffers()]:
      if name.endswith('bias'):
        value.normal_(std=0.3)  # zero at the start, in both
      elif name.endswith('norm.weight'):
        value.uniform_(0.5, 1.5)
      elif name.endswith('mlp.gate.weight') or 'experts.' in name:
        value.normal_(std=0.3)
  theirs.save_pretrained(tmp_path)
  config, params = convert.load_hf(str(tmp_path))
  return theirs, zoo.build(config), params


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('case', CASES)
def test_logits_equal_transformers(tmp_path, case, seed):
  torch, _ = parity()
  theirs, model, params = their_model(tmp_path, case, seed)
  tokens = np.random.default_rng(seed).integers(2, 96, (2, 48))
  with torch.no_grad():
    wanted = theirs(torch.tensor(tokens)).logits.float().numpy()
  found = jax.jit(model.apply)({'params': params}, jnp.asarray(tokens, jnp.int32))
  worst = np.max(np.abs(found - wanted)) / max(1.0, np.max(np.abs(wanted)))
  assert worst < 1e-4, worst


@pytest.mark.parametrize('case', ['llama-scaled', 'qwen', 'qwen3', 'deepseek-yarn'])
def test_greedy_text_equals_transformers(tmp_path, case):
  """Our sampler (shared prefix, cache, MLA absorbed) against generate, from prompts of different lengths."""
  torch, _ = parity()
  theirs, model, params = their_model(tmp_path, case, 0)
  rows, width, T = [[5, 9, 33, 70], [17, 4, 90, 21, 8, 44, 61]], 8, 24
  mesh = mesh_lib.create({}, jax.devices()[:1])
  sampler = sampler_lib.Sampler(model, mesh, slots=4, samples=2, max_prompt=width, max_tokens=T, eos_ids=(1,), pad_id=0,
                                temperature=0.0).compile()
  requests = [Request(i, np.asarray(ids, np.int32), (2 * i, 2 * i + 1)) for i, ids in enumerate(rows)]
  for group, completions in sampler(jax.tree.map(jnp.asarray, params), requests, jax.random.key(0)):
    ids = torch.tensor([rows[group]])
    with torch.no_grad():
      said = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=T,
                             min_new_tokens=None)[0, ids.shape[1]:].tolist()
    for completion in completions:
      assert completion.tokens.tolist() == said


@pytest.mark.parametrize('case', ['llama-scaled', 'llama-tied-mqa', 'llama3.2', 'qwen', 'qwen3',
                                  'qwen3-tied-mqa', 'r1-distill-qwen', 'r1-distill-llama', 'deepseek-yarn'])
def test_import_export_import_is_the_identity_and_transformers_reads_it(tmp_path, case):
  torch, transformers = parity()
  theirs, model, params = their_model(tmp_path / 'theirs', case, 1)
  write_tokenizer(tmp_path / 'theirs')
  ours, out, again = (str(tmp_path / name) for name in ('ours', 'out', 'again'))
  assert convert_main.main(['', 'import', f'--source={tmp_path / "theirs"}', f'--out={ours}']) == 0
  assert convert_main.main(['', 'export', f'--checkpoint={ours}', f'--out={out}']) == 0
  assert convert_main.main(['', 'import', f'--source={out}', f'--out={again}']) == 0
  for directory in (out, again):
    read = convert.load_hf(directory) if directory == out else None
    if read:
      assert read[0] == model.config
      assert_bitwise(read[1], params)
  loaded = transformers.AutoModelForCausalLM.from_pretrained(out, dtype='float32').eval()
  state, wanted = loaded.state_dict(), theirs.state_dict()
  assert state.keys() == wanted.keys()
  for name, value in wanted.items():
    assert torch.equal(state[name], value), name
  tokens = torch.tensor([[3, 50, 7, 21, 9]])
  with torch.no_grad():
    assert torch.equal(loaded(tokens).logits, theirs(tokens).logits)
  read = transformers.AutoTokenizer.from_pretrained(out)
  assert read('abc ba').input_ids == read.backend_tokenizer.encode('abc ba').ids and read.eos_token_id == 1


def write_tokenizer(directory):
  import tokenizers
  vocab = {'<pad>': 0, '</s>': 1, **{chr(c): 2 + c - 32 for c in range(32, 126)}}
  hf = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  hf.add_special_tokens(['<pad>', '</s>'])
  hf.save(str(directory / 'tokenizer.json'))


def assert_bitwise(a, b):
  leaves = jax.tree_util.tree_leaves_with_path
  for (path, x), (_, y) in zip(leaves(a), leaves(b), strict=True):
    assert x.dtype == y.dtype and x.shape == y.shape, path
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=str(path))


@pytest.fixture(scope='module', params=FAMILIES)
def family(request):
  model = zoo.build(zoo.get(request.param))
  params = params_lib.init(model, 3)
  # Larger weights than at the start, so that attention and routing are decided.
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params)
  return model, params


@pytest.mark.parametrize('apart', [False, True])
def test_decoding_behind_a_prompt_equals_whole_rows(family, apart):
  """Two prompts of different lengths, two completions each: step by step, by teacher forcing, and alone."""
  model, params = family
  rng, lengths = np.random.default_rng(1), (6, 4)
  asked = [rng.integers(3, 512, n).astype(np.int32) for n in lengths]
  prompts, tail = decoding.right_padded(asked, 6), jnp.asarray(rng.integers(3, 512, (4, 7)), jnp.int32)
  held = split_layers(model, params) if apart else params
  behind = (prompts, [0, 0, 1, 1], tail)
  found = jax.jit(lambda p: decoding.teacher_forced(model, p, *behind))(held)
  stepped = jax.jit(lambda p: decoding.stepwise(model, p, *behind, apart=apart))(held)
  apply = jax.jit(functools.partial(model.apply, method='hidden'))
  for b in range(4):
    n = lengths[b // 2]
    wanted, _ = apply({'params': params}, jnp.concatenate([asked[b // 2], tail[b]])[None])
    np.testing.assert_allclose(found[b], wanted[0, n:], atol=2e-4, rtol=2e-4)
    np.testing.assert_allclose(stepped[b], wanted[0, n:], atol=2e-4, rtol=2e-4)


def test_layers_apart_and_turned_kernels_are_the_same_model():
  """Hidden states and keys, of whole rows and step by step: what a sampler on a CPU holds against what is trained."""
  model = zoo.build(zoo.get('nano-qwen'))
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params_lib.init(model, 3))
  params['blocks']['q_bias'] = jax.random.normal(jax.random.key(1), params['blocks']['q_bias'].shape)
  rng = np.random.default_rng(1)
  prompts = decoding.right_padded([rng.integers(3, 512, n) for n in (6, 4)], 6)
  tail = jnp.asarray(rng.integers(3, 512, (2, 5)), jnp.int32)
  whole = jax.jit(lambda p: model.apply({'params': p}, prompts.tokens_NxP, method='hidden'))
  steps = jax.jit(lambda p, apart: decoding.stepwise(model, p, prompts, [0, 1], tail, apart=apart), static_argnums=1)
  wanted, stepped = whole(params), steps(params, False)
  for turn in (False, True):
    held = split_layers(model, params, turn=turn)
    is_turned = lambda x: isinstance(x, layers.Turned)
    kernels = sum(map(is_turned, jax.tree.leaves(held, is_leaf=is_turned)))
    assert kernels == turn * 7 * model.config.layers  # q k v o gate up down
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole(held), wanted)
    np.testing.assert_allclose(steps(held, True), stepped, atol=1e-5)


@pytest.mark.parametrize('name', ['nano', 'nano-llama'])
def test_logits_of_a_bfloat16_model_are_not_rounded_to_bfloat16(name):
  """Tied and not, for rows and for whole sequences: they leave the product in float32 and as exact."""
  model = zoo.build(zoo.get(name, dtype='bfloat16'))
  params = params_lib.init(model, 3)
  table = params['embedding'].T if model.config.tied else params['unembedding']
  hidden = 30 * jax.random.normal(jax.random.key(0), (2, 8, 32)).astype(jnp.bfloat16)
  wanted = np.einsum('btd,dv->btv', np.float64(hidden), np.float64(table.astype(jnp.bfloat16)))
  for rows in (hidden, hidden[:, 0]):
    logits = jax.jit(functools.partial(model.apply, method='unembed'))({'params': params}, rows)
    assert logits.dtype == jnp.float32
    assert np.mean(np.asarray(logits.astype(jnp.bfloat16).astype(jnp.float32) == logits)) < 0.1
    np.testing.assert_allclose(logits, wanted if rows.ndim == 3 else wanted[:, 0], atol=1e-4)


@pytest.mark.parametrize('name', ['nano-qwen', 'nano-qwen3', 'nano-deepseek'])
def test_a_mesh_does_not_change_the_model(name):
  """fsdp, tensor and expert axes, training and decoding layouts: logits and gradients as on one device."""
  model = zoo.build(zoo.get(name))
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params_lib.init(model, 3))
  tokens = np.random.default_rng(2).integers(3, 512, (4, 16)).astype(np.int32)
  loss = lambda p, t: jnp.mean(jnp.square(model.apply({'params': p}, t)))
  wanted, grads = jax.jit(jax.value_and_grad(loss))(params, tokens)
  mesh = mesh_lib.create({'fsdp': 2, 'tensor': 2, 'expert': 2}, jax.devices()[:8])
  boxed = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32)))['params']
  for rules in (mesh_lib.RULES, mesh_lib.DECODE_RULES):
    with mesh_lib.use_mesh(mesh, rules):
      laid = jax.device_put(params, mesh_lib.param_shardings(boxed, mesh, rules))
      found, dealt = jax.jit(jax.value_and_grad(loss))(laid, mesh_lib.put(tokens, mesh))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * max(1.0, float(np.abs(b).max()))),
                 jax.device_get(dealt), grads)


# Parameter counts by hand from the sizes on each model's card, in weights; the cards round to what is in brackets.
@pytest.mark.parametrize('name, count', [
    ('smollm2-135m', 134_515_008), ('smollm2-135m-instruct', 134_515_008),  # 135M
    ('qwen2.5-1.5b', 1_543_714_304), ('qwen2.5-math-1.5b', 1_543_714_304),  # 1.54B
    ('qwen2.5-0.5b', 494_032_768), ('qwen2.5-3b', 3_085_938_688),  # 0.49B, 3.09B
    ('qwen3-0.6b', 596_049_920), ('qwen3-1.7b', 1_720_574_976),  # 0.6B, 1.7B
    ('qwen3-4b', 4_022_468_096), ('qwen3-8b', 8_190_735_360),  # 4.0B, 8.2B
    ('llama-3.2-1b', 1_235_814_400), ('llama-3.2-3b', 3_212_749_824),  # 1.23B, 3.21B
    ('r1-distill-qwen-1.5b', 1_777_088_000), ('r1-distill-qwen-7b', 7_615_616_512),  # 1.78B, 7.62B
    ('r1-distill-qwen-14b', 14_770_033_664), ('r1-distill-qwen-32b', 32_763_876_352),
    ('r1-distill-llama-8b', 8_030_261_248), ('r1-distill-llama-70b', 70_553_706_496),
    ('qwen2.5-7b', 7_615_616_512), ('qwen2.5-math-7b', 7_615_616_512),  # 7.61B
    ('qwen2.5-14b', 14_770_033_664), ('qwen2.5-32b', 32_763_876_352),  # 14.7B, 32.5B
    ('llama-3.1-8b', 8_030_261_248), ('llama-3.3-70b-instruct', 70_553_706_496),  # 8B, 70B
    ('deepseek-v3-base', 671_026_419_200)])  # 671B
def test_parameter_counts(name, count):
  config = zoo.get(name)
  assert config.param_count() == count
  shapes = jax.tree.leaves(mesh_lib.unbox(jax.eval_shape(
      lambda: zoo.build(config).init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32)))['params']))
  assert sum(int(np.prod(x.shape)) for x in shapes) == count


def test_every_published_model_says_where_it_is_published():
  assert zoo.HUB.keys() == {name for name in zoo.names() if not name.startswith(('tiny', 'nano'))}
  assert all(re.fullmatch(r'[\w-]+/[\w.-]+', where) for where in zoo.HUB.values())
  assert zoo.HUB['smollm2-135m-instruct'] == 'HuggingFaceTB/SmolLM2-135M-Instruct'
  assert zoo.HUB['r1-distill-llama-8b'] == 'deepseek-ai/DeepSeek-R1-Distill-Llama-8B'
  assert zoo.HUB['qwen3-0.6b'] == 'Qwen/Qwen3-0.6B-Base'


def test_config_survives_json():
  for name in zoo.names():
    config = zoo.get(name)
    assert zoo.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize('change, words', [
    (dict(experts_per_token=5), 'experts_per_token=5 is more than the 4'), (dict(groups=3), 'groups must'),
    (dict(dense_layers=0), 'dense_layers=0'), (dict(groups=8), 'best two')])
def test_sizes_that_make_no_model_are_refused(change, words):
  with pytest.raises(ValueError, match=words):
    zoo.get('nano-deepseek', **change)
  with pytest.raises(UserError, match='no field'):
    zoo.get('nano-deepseek', kv_heads=2)
