"""models/moe.py: routing by hand, dispatch against a loop,
load and its bias, and a GRPO step on DeepSeek-V3's shape."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import objective
from r1jax.engine import packing
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import slots as slots_lib
from r1jax.engine import trainings
from r1jax.models import attention, deepseek_v3, layers, moe, zoo
from r1jax.types import NOWHERE, Prompts, Request


def test_the_bias_chooses_and_does_not_weigh():
  scores = jnp.array([[0.9, 0.8, 0.2, 0.1]])
  route = lambda bias: moe.route(scores, jnp.array(bias), top_k=2, groups=1, groups_kept=1, scaling=2.5, normalise=True)
  weights, ids = route([0.0, 0.0, 0.0, 0.0])
  assert ids.tolist() == [[0, 1]]
  np.testing.assert_allclose(weights, [[2.5 * 0.9 / 1.7, 2.5 * 0.8 / 1.7]], rtol=1e-6)
  weights, ids = route([0.0, -1.0, 0.0, 0.75])
  assert ids.tolist() == [[0, 3]]
  np.testing.assert_allclose(weights, [[2.5 * 0.9 / 1.0, 2.5 * 0.1 / 1.0]], rtol=1e-6)


def test_a_group_is_judged_by_its_two_best():
  # The single best expert (0.99) is in group 0, whose two best make 1.0; group 1's make 1.2.
  scores = jnp.array([[0.99, 0.01, 0.6, 0.6, 0.3, 0.3]])
  _, ids = moe.route(scores, jnp.zeros(6), top_k=2, groups=3, groups_kept=1, scaling=1.0, normalise=True)
  assert sorted(ids[0].tolist()) == [2, 3]
  _, ids = moe.route(scores, jnp.zeros(6), top_k=2, groups=3, groups_kept=2, scaling=1.0, normalise=True)
  assert sorted(ids[0].tolist())[0] == 0


@pytest.mark.parametrize('chunk, path', [(4096, 'xla'), (5, 'xla'), (4096, 'splash_interpret')])
def test_dispatch_drops_nothing(monkeypatch, chunk, path):
  """All tokens to one expert, or spread: against a loop over tokens, gradients too, in chunks too."""
  monkeypatch.setattr(moe, 'CHUNK', chunk)
  rng = np.random.default_rng(0)
  B, T, D, F, E, k = 2, 8, 6, 10, 4, 2
  x, gate, up = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((B, T, D), (E, D, F), (E, D, F)))
  down = jnp.asarray(rng.normal(size=(E, F, D)), jnp.float32)
  weights = jnp.asarray(rng.uniform(size=(B, T, k)), jnp.float32)
  spread = jnp.asarray(np.stack([rng.permutation(E)[:k] for _ in range(B * T)]).reshape(B, T, k))
  crowded = jnp.broadcast_to(jnp.array([3, 1]), (B, T, k))

  def loop(x, gate, up, down, ids):
    out = jnp.zeros((B, T, D))
    for j in range(k):
      g, u, d = (w[ids[..., j]] for w in (gate, up, down))
      h = jax.nn.silu(jnp.einsum('btd,btdf->btf', x, g)) * jnp.einsum('btd,btdf->btf', x, u)
      out += weights[..., j:j + 1] * jnp.einsum('btf,btfd->btd', h, d)
    return out

  for ids in (spread, crowded):
    ours = lambda *a, i=ids: moe.experts(a[0], i, weights, *a[1:], path=path)
    theirs = lambda *a, i=ids: loop(*a, i)
    np.testing.assert_allclose(ours(x, gate, up, down), theirs(x, gate, up, down), atol=1e-4)
    total = lambda f: jax.grad(lambda *a: jnp.sum(jnp.sin(f(*a))), (0, 1, 2, 3))(x, gate, up, down)
    for a, b in zip(total(ours), total(theirs)):
      np.testing.assert_allclose(a, b, atol=2e-4)


def test_sequence_balance_is_one_when_balanced_and_leaves_padding_out():
  scores, ids = jnp.full((1, 4, 4), 0.5), jnp.array([[[0, 1], [2, 3], [0, 1], [2, 3]]])
  np.testing.assert_allclose(moe.sequence_balance(scores, ids, jnp.ones((1, 4), bool)), [1.0], rtol=1e-6)
  lopsided = jnp.array([[[0, 1]] * 4])
  peaked = jnp.broadcast_to(jnp.array([0.8, 0.2, 0.0, 0.0]), (1, 4, 4))
  # f = (2, 2, 0, 0), P = (0.8, 0.2, 0, 0)
  np.testing.assert_allclose(moe.sequence_balance(peaked, lopsided, jnp.ones((1, 4), bool)), [2.0], rtol=1e-6)
  real = jnp.array([[True, True, False, False]])
  np.testing.assert_allclose(moe.sequence_balance(scores, ids, real), [1.0], rtol=1e-6)


def test_the_bias_moves_towards_equal_load():
  params = {'moe_blocks': {'moe': {'router_bias': jnp.zeros((2, 3)), 'other': jnp.ones(1)}}, 'rest': jnp.ones(2)}
  moved = moe.balance(params, jnp.array([[4.0, 1.0, 1.0], [2.0, 2.0, 2.0]]), rate=0.01)
  np.testing.assert_allclose(moved['moe_blocks']['moe']['router_bias'], [[-0.01, 0.01, 0.01], [0, 0, 0]], atol=1e-7)
  assert moved['rest'] is params['rest'] and moved['moe_blocks']['moe']['other'] is params['moe_blocks']['moe']['other']


def test_the_load_counts_real_tokens_alone():
  """Not the padding of rows, nor of a row that is all padding."""
  model = zoo.build(zoo.get('nano-deepseek', layers=2))
  lengths, tokens = np.array([6, 2, 0]), np.random.default_rng(0).integers(3, 512, (3, 6)).astype(np.int32)
  positions = np.where(np.arange(6) < lengths[:, None], np.arange(6), NOWHERE).astype(np.int32)
  params = params_lib.init(model, 0)

  @jax.jit
  def router(tokens):
    apply, seen = moe.recording(model.apply)
    apply({'params': params}, tokens, positions, method='hidden')
    return seen[0]

  seen = router(tokens), router(np.where(positions == NOWHERE, 7, tokens))
  np.testing.assert_array_equal(seen[0]['load'].sum(axis=1), [model.config.experts_per_token * lengths.sum()])
  for name in ('load', 'balance'):
    np.testing.assert_array_equal(seen[0][name], seen[1][name])
    assert np.isfinite(seen[0][name]).all()


def test_decoding_counts_live_rows_alone_and_dead_ones_do_not_change_them():
  c = zoo.get('nano-deepseek', layers=2)
  model, block = zoo.build(c), deepseek_v3.MoEBlock(c, parent=None)
  layer = jax.tree.map(lambda x: x[0], params_lib.init(model, 0)['moe_blocks'])
  live, filled = jnp.asarray([True, False, True, True, False]), jnp.asarray([3, 4, 0, 8, 1])
  shapes = lambda columns: [x[0].shape for x in model.empty_cache(5, columns, apart=True).kv]
  kept, recent = (tuple(jax.random.normal(jax.random.key(n), shape) for shape in shapes(n)) for n in (8, 4))
  cos_sin = layers.rope(filled[:, None], c.rope_dim, c.rope_theta, c.rope_scaling)

  @jax.jit
  def decode(x, kept):
    step = attention.Step(filled, jnp.int32(2), live)
    (out, _), sown = block.apply({'params': layer}, x, None, None, cos_sin, step, kept, recent, mutable=['experts'])
    return out, sown['experts']['moe']['load'][0]

  x = jax.random.normal(jax.random.key(0), (5, 1, c.dim))
  out, load = decode(x, kept)
  assert load.sum() == c.experts_per_token * 3
  dead = ~live[:, None, None]
  other, same = decode(jnp.where(dead, 5.0, x), tuple(jnp.where(dead[..., None], 9.0, k) for k in kept))
  np.testing.assert_array_equal(load, same)
  np.testing.assert_allclose(out[live], other[live], atol=1e-6)


def test_a_grpo_step_moves_the_bias_by_load_alone():
  """Rollout, then one update on a mesh: sampler and trainer agree, the optimiser leaves the bias alone, load is
  counted."""
  rate, model = 0.05, zoo.build(zoo.get('nano-deepseek', layers=2))
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params_lib.init(model, 0))
  params['moe_blocks']['moe']['router_bias'] += jnp.linspace(-0.2, 0.2, 8)
  rng, lengths, N, G, T = np.random.default_rng(0), (5, 3, 4, 5), 4, 2, 6
  asked = [rng.integers(3, 512, n).astype(np.int32) for n in lengths]
  one = mesh_lib.create({}, jax.devices()[:1])
  sampler = sampler_lib.Sampler(model, one, slots=8, samples=G, max_prompt=5, max_tokens=T, eos_ids=(1,),
                                pad_id=0).compile()
  requests = [Request(i, ids, (2 * i, 2 * i + 1)) for i, ids in enumerate(asked)]
  said = dict(sampler(params, requests, jax.random.key(0)))
  completions = [c for i in range(N) for c in said[i]]

  mesh = mesh_lib.create({'fsdp': 2, 'expert': 2, 'tensor': 2}, jax.devices()[:8])
  c = ConfigDict(dict(groups=N, samples=G, max_prompt=5, max_tokens=T, micro_tokens=4 * T, temperature=1.0,
                      clip_low=0.2, clip_high=0.2, kl_coef=0.001, ratio='token', aggregate='sequence_mean', is_cap=0.0,
                      surrogate='clip', kl='k3', entropy_coef=0.0, drop_truncated=False, drop_equal=False,
                      steps=10, learning_rate=0.01, optimizer=dict(weight_decay=0.1), ref_dtype='float32',
                      ref_memory='device'))
  config = ConfigDict(dict(seed=0, logit_elements=1 << 20, experts=dict(bias_rate=rate, balance_loss=0.0)))
  built = trainings.rl(config, c, model, mesh)
  training = built.training.compile()
  micro_batches = []
  for size, some in packing.micro_batches([len(x.tokens) for x in completions], built.shapes):
    rows = trainings.outputs([completions[b] for b in some], [b // G for b in some], [1.0 - 2 * (b % G) for b in some],
                             built.shapes[size], 0, reference=True)
    micro_batches.append((size, mesh_lib.put(rows, mesh)))
  prompts = mesh_lib.put(Prompts(*slots_lib.padded(asked, *built.prompts, 0)), mesh)
  with mesh_lib.use_mesh(mesh):
    laid_out = jax.device_put(jax.tree.map(np.array, params), training.shardings.params)  # it is donated
    state, means = training.step(training.fresh(laid_out), micro_batches, prompts)
  assert len(micro_batches) > 1 and float(means['mismatch/logp_max_abs']) < 1e-3
  before, after = (np.asarray(p['moe_blocks']['moe']['router_bias']) for p in (params, state.params))
  steps = (after - before) / rate  # whole: no gradient, no weight decay
  np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
  assert set(np.round(steps).astype(int).ravel()) <= {-1, 0, 1} and np.any(np.round(steps) != 0)
  assert float(means['router/load_max_over_mean']) >= 1 and not any(k.startswith('experts/') for k in means)


def test_a_bias_that_does_not_move_is_measured_all_the_same():
  params = {'moe_blocks': {'moe': {'router_bias': jnp.zeros((2, 8))}}}
  unmoved, means = objective.move_router_bias(0.0)(params, {'experts/load': jnp.ones((2, 8))})
  assert unmoved is params and float(means['router/load_max_over_mean']) == 1
