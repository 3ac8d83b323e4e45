"""models/moe.py: routing by hand, dispatch against a loop,
load and its bias, and a GRPO step on DeepSeek-V3's shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import optim
from r1jax.engine import programs
from r1jax.engine import rollout
from r1jax.engine import update
from r1jax.models import moe, zoo
from r1jax.types import Batch, Prompts


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


class Numbers:
  temperature, clip_low, clip_high, kl_coef, ratio = 1.0, 0.2, 0.2, 0.001, 'token'
  aggregate, max_tokens, is_cap = 'sequence_mean', 6, 0.0


def test_a_grpo_step_moves_the_bias_by_load_alone():
  """Rollout, then one update: sampler and trainer agree, the optimiser leaves the bias alone, load is counted."""
  rate, model = 0.05, zoo.build(zoo.get('nano-deepseek'))
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params_lib.init(model, 0))
  params['moe_blocks']['moe']['router_bias'] += jnp.linspace(-0.2, 0.2, 8)
  rng = np.random.default_rng(0)
  asked = Prompts(rng.integers(3, 512, (4, 5)).astype(np.int32), np.array([5, 3, 4, 5], np.int32))
  sample = rollout.make_sampler(model.apply, model.empty_cache, samples=2, max_tokens=6, eos_ids=(1,), pad_id=0).sample
  out = jax.device_get(jax.jit(sample)(params, asked, jax.random.key(0)))
  batch = Batch(*asked, out.tokens_BxT, out.lengths_B, out.logps_BxT, out.logps_BxT, out.logps_BxT,
                np.tile([1.0, -1.0], 4).astype(np.float32))
  optimizer = optim.create(steps=10, learning_rate=0.01, weight_decay=0.1)
  mesh = mesh_lib.create({'fsdp': 2, 'expert': 2, 'tensor': 2}, jax.devices()[:8])
  shardings = update.state_shardings(params_lib.abstract(model), optimizer, mesh, reference=False)
  step = update.make_update(programs.make_rl_loss(model.apply, Numbers, experts=True), optimizer, mesh, shardings,
                            groups=4, micro_batches=2, after=programs._move_router_bias(rate))
  state = update.fresh(jax.tree.map(jnp.copy, params), optimizer, seed=0, reference=False)
  with mesh_lib.use_mesh(mesh):
    state, means = step(jax.device_put(state, shardings), mesh_lib.put(batch, mesh))
  assert float(means['mismatch/logp_max_abs']) < 1e-3
  before, after = (np.asarray(p['moe_blocks']['moe']['router_bias']) for p in (params, state.params))
  steps = (after - before) / rate  # whole: no gradient, no weight decay
  np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
  assert set(np.round(steps).astype(int).ravel()) <= {-1, 0, 1} and np.any(np.round(steps) != 0)
  unmoved, means_of_none = programs._move_router_bias(0.0)(params, {'experts/load': jnp.ones((2, 8))})
  assert unmoved is params and float(means_of_none['router/load_max_over_mean']) == 1
  assert float(means['router/load_max_over_mean']) >= 1 and not any(k.startswith('experts/') for k in means)
  moved = jax.tree.map(lambda a, b: bool(np.any(np.asarray(a) != np.asarray(b))), state.params, params)
  assert moved['moe_blocks']['moe']['router'] and moved['moe_blocks']['moe']['gate']
