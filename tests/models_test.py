"""The families against transformers' own modelling code, decoding against teacher forcing, sizes against the published.

Random tiny configs; the import is part of what is compared. Without torch (extra `parity`) the comparisons are
skipped and say so; the rest needs nothing.
"""

import dataclasses
import functools
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import convert
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import programs
from r1jax.engine import rollout
from r1jax.engine import update
from r1jax.convert import __main__ as convert_main
from r1jax.models import zoo
from r1jax.types import NOWHERE, Prompts, UserError

SEEDS = (0, 1, 2)
FAMILIES = ('nano', 'nano-llama', 'nano-qwen', 'nano-deepseek')


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
    'deepseek': ('DeepseekV3', MLA, {}),
    'deepseek-yarn': ('DeepseekV3', MLA, dict(rope_parameters=YARN)),
    'deepseek-yarn-factors': ('DeepseekV3', MLA, dict(rope_parameters={**YARN, 'mscale': 0.7, 'mscale_all_dim': 0.4})),
    'deepseek-one-group': ('DeepseekV3', MLA, dict(n_group=1, topk_group=1, num_experts_per_tok=3)),
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


@pytest.mark.parametrize('case', ['llama-scaled', 'qwen', 'deepseek-yarn'])
def test_greedy_text_equals_transformers(tmp_path, case):
  """Our sampler (shared prefix, cache, MLA absorbed) against generate, from prompts of different lengths."""
  torch, _ = parity()
  theirs, model, params = their_model(tmp_path, case, 0)
  rows, width, T = [[5, 9, 33, 70], [17, 4, 90, 21, 8, 44, 61]], 8, 24
  tokens = np.zeros((2, width), np.int32)
  for i, ids in enumerate(rows):
    tokens[i, width - len(ids):] = ids
  sample = rollout.make_sampler(model.apply, model.empty_cache, samples=2, max_tokens=T, eos_ids=(1,), pad_id=0,
                                temperature=0.0).sample
  out = jax.jit(sample)(params, Prompts(jnp.asarray(tokens), jnp.asarray([len(r) for r in rows])), jax.random.key(0))
  for b in range(4):
    ids = torch.tensor([rows[b // 2]])
    with torch.no_grad():
      said = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=T,
                             min_new_tokens=None)[0, ids.shape[1]:].tolist()
    n = int(out.lengths_B[b])
    assert np.asarray(out.tokens_BxT[b, :n]).tolist() == said[:n] and n == len(said)


@pytest.mark.parametrize('case', ['llama-scaled', 'llama-tied-mqa', 'qwen', 'deepseek-yarn'])
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


def test_decoding_with_the_cache_equals_teacher_forcing(family):
  model, params = family
  tokens = np.random.default_rng(0).integers(3, 512, (2, 20)).astype(np.int32)
  wanted = jax.jit(model.apply)({'params': params}, tokens)
  unembed = jax.jit(functools.partial(model.apply, method='unembed'))
  step = jax.jit(lambda token, at, cache: model.apply({'params': params}, token, at, cache=cache, method='hidden'))
  cache, found = model.empty_cache(2, 20), []
  for t in range(20):
    hidden, cache = step(tokens[:, t:t + 1], np.full((2, 1), t, np.int32), cache)
    found.append(unembed({'params': params}, hidden))
  np.testing.assert_allclose(np.concatenate(found, axis=1), wanted, atol=2e-4, rtol=2e-4)


def test_a_shared_prefix_equals_whole_rows(family):
  """Left-padded prompts, two completions each, by teacher forcing and step by step."""
  model, params = family
  rng = np.random.default_rng(1)
  prompts, lengths, tail = rng.integers(3, 512, (2, 6)).astype(np.int32), [6, 4], rng.integers(3, 512, (4, 5))
  positions = np.stack([np.where(np.arange(6) < 6 - n, NOWHERE, np.arange(6) - (6 - n)) for n in lengths])
  apply = jax.jit(functools.partial(model.apply, method='hidden'))
  _, prefix = apply({'params': params}, prompts, positions.astype(np.int32))
  at = np.repeat(lengths, 2)[:, None] + np.arange(5)
  found, _ = apply({'params': params}, tail.astype(np.int32), at.astype(np.int32), prefix=prefix)
  cache, stepped = model.empty_cache(4, 5), []
  for t in range(5):
    hidden, cache = apply({'params': params}, tail[:, t:t + 1].astype(np.int32), at[:, t:t + 1].astype(np.int32),
                          cache=cache, prefix=prefix)
    stepped.append(hidden)
  for b in range(4):
    n = lengths[b // 2]
    row = np.concatenate([prompts[b // 2, 6 - n:], tail[b]])[None].astype(np.int32)
    wanted, _ = apply({'params': params}, row)
    np.testing.assert_allclose(found[b], wanted[0, n:], atol=2e-4, rtol=2e-4)
    np.testing.assert_allclose(np.concatenate(stepped, axis=1)[b], wanted[0, n:], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize('name', ['nano-qwen', 'nano-deepseek'])
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
