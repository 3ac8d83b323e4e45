"""r1jax.engine.update: one step is one step, however the batch is cut up and wherever it lies."""

import contextlib
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from r1jax.engine import losses
from r1jax.engine import params as params_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import optim
from r1jax.engine import packing
from r1jax.engine import programs
from r1jax.engine import rollout
from r1jax.engine import update
from r1jax.types import Batch, Prompts

MODES = [('token', 'sequence_mean'), ('token', 'token_mean'), ('token', 'fixed_length'),
         ('sequence', 'sequence_mean')]
N, G, P, T = 8, 2, 5, 7
EOS = PAD = 3


def numbers(ratio='token', aggregate='sequence_mean', **changes):
  """What make_loss reads of a config."""
  return types.SimpleNamespace(**{**dict(
      temperature=0.7, is_cap=0.0, clip_low=0.2, clip_high=0.3, kl_coef=0.1, ratio=ratio, aggregate=aggregate,
      max_tokens=T), **changes})


def ragged_batch(apply, params, vocab, seed, *, empty=True) -> Batch:
  """N groups of G completions of 1 to T tokens (one of none), off the policy a little, padded with the end token."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(1, T + 1, N * G)
  lengths[:2] = T, 1
  if empty:
    lengths[rng.integers(2, N * G)] = 0
  prompt_lengths = rng.integers(1, P + 1, N)
  tokens = rng.integers(4, vocab, (N * G, T))
  prompts = rng.integers(4, vocab, (N, P))
  prompts[np.arange(P) < P - prompt_lengths[:, None]] = PAD
  for row, n in zip(tokens, lengths):
    row[max(n - 1, 0):] = EOS  # the end is said once, the rest is padding of the same id
  prompts, lengths, prompt_lengths, tokens = (x.astype(np.int32) for x in (prompts, lengths, prompt_lengths, tokens))
  logps = jax.jit(lambda *asked: rollout.completion_logps(
      apply, params, Prompts(*asked), tokens, temperature=0.7)[0])(prompts, prompt_lengths)
  off = lambda: (np.asarray(logps) + rng.normal(0, 0.3, (N * G, T))).astype(np.float32)
  old = off()
  return Batch(prompts, prompt_lengths, tokens, lengths, old, old, off(),
               rng.normal(0, 1, N * G).astype(np.float32))


# --- a model small enough to compile forty steps of

VOCAB, WIDTH = 19, 6


def toy_apply(weights, x, positions=None, *, prefix=None, method):
  """Each token sees itself, its position and the sum of its prompt."""
  p = weights['params']
  if method == 'unembed':
    return x @ p['out']
  h = p['embedding'][x]
  if prefix is not None:
    return jnp.tanh(h + 0.1 * positions[..., None] + jnp.repeat(prefix, len(x) // len(prefix), 0)[:, None]), None
  return jnp.tanh(h), jnp.sum(jnp.where((positions < P)[..., None], h, 0.0), axis=1)


def toy_params(seed=0):
  keys = jax.random.split(jax.random.key(seed))
  return {'embedding': jax.random.normal(keys[0], (VOCAB, WIDTH)), 'out': jax.random.normal(keys[1], (WIDTH, VOCAB))}


@functools.cache
def make_toy_loss(what):
  if what == 'sft':
    def loss_fn(params, batch):
      weights = {'params': params}
      hidden = toy_apply(weights, batch.tokens_BxT, batch.positions_BxT, method='hidden')[0]
      logps, _ = losses.token_logps(lambda h: toy_apply(weights, h, method='unembed'), hidden, batch.targets_BxT)
      return losses.cross_entropy(logps, batch.mask_BxT)
    return loss_fn
  return programs.make_rl_loss(toy_apply, numbers(*what))


def toy_batch(what, seed):
  if what != 'sft':
    return ragged_batch(toy_apply, toy_params(), VOCAB, seed)
  rng = np.random.default_rng(seed)
  ids = lambda n: rng.integers(0, VOCAB, n).tolist()
  documents = [(ids(a), ids(b)) for a, b in zip(rng.integers(0, 4, 40), rng.integers(2, 8, 40))]
  return packing.Packed(*(a[:N] for a in packing.pack(documents, length=12)))


# No clipping by norm, so that the gradient can be read off the first moment after one step.
ADAM = optim.create(learning_rate=1e-3, steps=10, b1=0.9, weight_decay=0.1, clip_norm=1e9)
_steps = {}  # compiled once for all seeds


def take_steps(loss_fn, params, batch, *, shape=None, devices=1, micro_batches=1, micro_samples=1, model=None,
               steps=1):
  """(state, metrics) after some steps on a mesh."""
  mesh = mesh_lib.create(shape or {'data': devices}, jax.devices()[:devices])
  boxed = params if model is None else params_lib.abstract(model)
  shardings = update.state_shardings(boxed, ADAM, mesh, reference=False)
  key = (loss_fn, devices, str(shape), micro_batches, micro_samples)
  if key not in _steps:
    _steps[key] = update.make_update(loss_fn, ADAM, mesh, shardings, groups=N, micro_batches=micro_batches,
                                     micro_samples=micro_samples)
  with mesh_lib.use_mesh(mesh) if model is not None else contextlib.nullcontext():
    state = jax.device_put(update.fresh(jax.tree.map(jnp.copy, params), ADAM, seed=0, reference=False), shardings)
    for _ in range(steps):
      state, metrics = _steps[key](state, mesh_lib.put(batch, mesh))
  assert int(state.step) == steps
  return state, jax.device_get(metrics)


@jax.jit
def after_adam(params, gradient):
  return optax.apply_updates(params, ADAM.update(gradient, ADAM.init(params), params)[0])


def gradient_of(state):
  """What the optimiser was given in the first step."""
  return jax.tree.map(lambda mu: np.asarray(mu) / 0.1, optax.tree_utils.tree_get(state.opt_state, 'mu'))


def close_where_it_matters(got, want, gradient):
  """Parameters after AdamW to 1e-5. Its first step is rate * sign(gradient), so a gradient that is all rounding says
  nothing: those under 1e-4 are left out."""
  counts = np.abs(gradient) > 1e-4
  np.testing.assert_allclose(got[counts], np.asarray(want)[counts], atol=1e-5, rtol=0)


@pytest.mark.parametrize('what', MODES + ['sft'], ids=str)
def test_a_step_does_not_depend_on_how_the_batch_is_cut_up(what):
  """Gradients to 2e-6 of the largest, parameters after a step of AdamW to 1e-5, for k micro-batches x d devices.

  They are compared with the gradient of numerator / denominator of the whole batch, taken without update.py.
  """
  loss_fn, params = make_toy_loss(what), toy_params()
  quotient = jax.jit(jax.value_and_grad(lambda p, b: (lambda n, d, m: (n / d, m))(*loss_fn(p, b)), has_aux=True))
  for seed in range(3):
    batch = toy_batch(what, seed)
    (loss, sums), gradient = quotient(params, batch)
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
    assert 0.01 < largest < 100
    cuts = [(2, 4, 1)] + [(4, 1, 1)] * (what in (MODES[0], 'sft')) + [(2, 4, 2)] * (what == MODES[0])
    for k, d, g in cuts:  # g: outputs of a group dealt to g micro-batches
      state, metrics = take_steps(loss_fn, params, batch, devices=d, micro_batches=k, micro_samples=g)
      close = lambda a, b, atol: np.testing.assert_allclose(a, b, atol=atol, rtol=0, err_msg=f'{k=} {d=} {g=} {seed=}')
      jax.tree.map(lambda a, b: close(a, b, 2e-6 * largest), gradient_of(state), gradient)
      jax.tree.map(close_where_it_matters, jax.device_get(state.params), after_adam(params, gradient), gradient)
      close(metrics['loss'], loss, 1e-5)
      close(metrics['grad_norm'], optax.global_norm(gradient), 1e-5 * largest)
      for name, (total, count) in sums.items():
        if name != 'loss':
          close(metrics[name], total / count, 1e-5)


def test_groups_that_do_not_divide_are_refused():
  mesh = mesh_lib.create({}, jax.devices()[:1])
  with pytest.raises(ValueError, match='groups=8 is not a multiple of micro_batches=3'):
    update.make_update(None, ADAM, mesh, None, groups=8, micro_batches=3)


def test_a_batch_without_a_token_has_no_gradient():
  params = toy_params()
  batch = toy_batch(MODES[0], 0)
  batch = batch._replace(lengths_B=0 * batch.lengths_B)
  state, metrics = take_steps(make_toy_loss(MODES[0]), params, batch, micro_batches=4)
  assert all((g == 0).all() for g in jax.tree.leaves(gradient_of(state)))
  assert metrics['loss'] == 0 and metrics['grad_norm'] == 0


# --- the optimiser

def test_schedules_by_hand():
  rate = lambda decay, warmup=2: optim.schedule(
      learning_rate=4.0, warmup=warmup, steps=10, decay=decay, final_share=0.5)
  at = lambda f: [float(f(step)) for step in (0, 1, 2, 6, 10, 99)]
  np.testing.assert_allclose(at(rate('constant')), [0, 2, 4, 4, 4, 4])
  np.testing.assert_allclose(at(rate('linear')), [0, 2, 4, 3, 2, 2])
  np.testing.assert_allclose(at(rate('cosine')), [0, 2, 4, 3, 2, 2], rtol=1e-6)
  assert float(rate('linear', warmup=0)(0)) == 4 and float(rate('linear', warmup=0)(10)) == 2
  with pytest.raises(ValueError, match="decay='step' is not one of constant, linear, cosine"):
    rate('step')


def test_kernels_decay_and_nothing_else_does():
  params = {'blocks': {'gate': np.ones((2, 3, 4), np.float32), 'norm': {'scale': np.ones((2, 3), np.float32)},
                       'q_bias': np.ones((2, 3, 4), np.float32)},
            'final_norm': {'scale': np.ones(3, np.float32)}, 'embedding': np.ones((5, 3), np.float32)}
  optimizer = optim.create(learning_rate=0.5, steps=10, weight_decay=0.1)
  updates, _ = optimizer.update(jax.tree.map(np.zeros_like, params), optimizer.init(params), params)
  np.testing.assert_allclose(updates['blocks']['gate'], -0.05, rtol=1e-6)
  for still in (updates['blocks']['norm']['scale'], updates['blocks']['q_bias'], updates['final_norm']['scale'],
                updates['embedding']):
    assert (still == 0).all()


def test_the_gradient_is_clipped_by_its_global_norm():
  params = {'a': np.zeros(1, np.float32), 'b': np.zeros(1, np.float32)}
  optimizer = optim.create(learning_rate=1.0, steps=10, b1=0.0, clip_norm=1.0)
  _, state = optimizer.update({'a': np.float32([3.0]), 'b': np.float32([4.0])}, optimizer.init(params), params)
  mu = optax.tree_utils.tree_get(state, 'mu')
  np.testing.assert_allclose([mu['a'][0], mu['b'][0]], [0.6, 0.8], rtol=1e-6)


# --- what the step learns from

def test_the_end_token_gets_gradient_where_it_is_padding_too(nano):
  """With pad == eos, through make_loss and nano: every token up to and with the end, and none after it."""
  model, params = nano
  batch = ragged_batch(model.apply, params, 512, 0, empty=False)
  assert (batch.completions_BxT[np.arange(N * G), batch.lengths_B - 1] == EOS).all()

  def apply(weights, *args, method, **kwargs):
    p = weights['params']
    out = model.apply({'params': p['model']}, *args, method=method, **kwargs)
    return out + p['at_BxTxV'] if method == 'unembed' else out  # a handle on each position's logits

  c = numbers(clip_low=10, clip_high=10)
  f = lambda at: programs.make_rl_loss(apply, c)({'model': params, 'at_BxTxV': at}, batch)[0]
  gradient = np.abs(jax.jit(jax.grad(f))(jnp.zeros((N * G, T, 512))))
  said = np.take_along_axis(gradient, batch.completions_BxT[..., None], axis=-1)[..., 0]
  inside = np.arange(T) < batch.lengths_B[:, None]
  assert (said[inside] > 1e-4).all()
  assert (gradient[~inside] == 0).all()


def test_policy_log_probs_are_at_the_samplers_temperature():
  """On the policy that sampled, at 0.7, every ratio is 1: nothing is clipped, no gap is seen, the loss is -mean(A)."""
  params, batch = toy_params(), toy_batch(MODES[0], 1)
  asked = Prompts(batch.prompts_NxP, batch.prompt_lengths_N)
  old, _ = jax.jit(lambda p: rollout.completion_logps(
      toy_apply, p, asked, batch.completions_BxT, temperature=0.7))(params)
  on_policy = batch._replace(old_logps_BxT=old, sampler_logps_BxT=old, ref_logps_BxT=old)
  numerator, denominator, sums = jax.jit(make_toy_loss(MODES[0]))(params, on_policy)
  np.testing.assert_allclose(numerator / denominator, -batch.advantages_B[batch.lengths_B > 0].mean(), rtol=1e-5)
  for name in ('clip/low', 'clip/high', 'kl/nats_per_token', 'mismatch/logp_mean_abs', 'mismatch/logp_max_abs'):
    np.testing.assert_allclose(sums[name][0], 0, atol=1e-5, err_msg=name)


def test_importance_weights_come_from_trainer_over_sampler():
  params, batch = toy_params(), toy_batch(MODES[0], 2)
  batch = batch._replace(sampler_logps_BxT=batch.old_logps_BxT - np.log(1.5).astype(np.float32))
  plain, capped = (jax.jit(programs.make_rl_loss(toy_apply, numbers(kl_coef=0.0, is_cap=cap)))(params, batch)[0]
                   for cap in (0.0, 1.2))
  np.testing.assert_allclose(capped, 1.2 * plain, rtol=1e-5)


# --- the whole model

@pytest.fixture(scope='module')
def nano_case(nano):
  """(model, params, loss_fn, batch)."""
  model, params = nano
  return model, params, programs.make_rl_loss(model.apply, numbers()), ragged_batch(model.apply, params, 512, 0)


def test_eight_devices_give_the_numbers_of_one(nano_case):
  """data 2 x fsdp 2 x tensor 2, two micro-batches: gradients to 1e-5 of the largest, the rest to 1e-5."""
  model, params, loss_fn, batch = nano_case
  one, want = take_steps(loss_fn, params, batch, model=model)
  eight, got = take_steps(loss_fn, params, batch, model=model, shape=dict(data=2, fsdp=2, tensor=2), devices=8,
                          micro_batches=2)
  kernel = eight.params['blocks']['mlp']['gate']  # [L, D, F]: fsdp splits D, tensor splits F
  L, D, F = kernel.shape
  assert kernel.addressable_shards[0].data.shape == (L, D // 2, F // 2)
  assert want.keys() == got.keys()
  for name in want:
    np.testing.assert_allclose(got[name], want[name], atol=1e-5, rtol=1e-5, err_msg=name)
  largest = max(np.abs(g).max() for g in jax.tree.leaves(gradient_of(one)))
  assert largest > 1e-2
  close = lambda a, b, atol: np.testing.assert_allclose(a, b, atol=atol, rtol=0)
  jax.tree.map(lambda a, b: close(a, b, 1e-5 * largest), gradient_of(eight), gradient_of(one))
  jax.tree.map(close_where_it_matters, *jax.device_get((eight.params, one.params)), gradient_of(one))


GOLDEN = {
    'loss': -0.1299589,
    'grad_norm': 1.379904,
    'kl/nats_per_token': 0.2384876,
    'entropy/nats_per_token': 5.142497,
    'mismatch/logp_max_abs': 2.343588,
    'blocks/attention_norm/scale': 64.00061,
    'blocks/k': 139.9387,
    'blocks/mlp/down': 206.2575,
    'blocks/mlp/gate': 576.2297,
    'blocks/mlp/up': 578.6345,
    'blocks/mlp_norm/scale': 64.007,
    'blocks/o': 144.4063,
    'blocks/q': 287.8747,
    'blocks/v': 147.6093,
    'embedding': 2313.265,
    'final_norm/scale': 31.99815,
}


def test_golden_step(nano_case):
  """Two steps of AdamW on nano, seed 0, against the numbers of 2026-11-23 (jax 0.10.2, CPU), to 1e-4."""
  model, params, loss_fn, batch = nano_case
  state, metrics = take_steps(loss_fn, params, batch, model=model, steps=2)
  names = ('loss', 'grad_norm', 'kl/nats_per_token', 'entropy/nats_per_token', 'mismatch/logp_max_abs')
  got = {name: float(metrics[name]) for name in names}
  got |= {'/'.join(k.key for k in path): float(jnp.sum(jnp.abs(leaf)))
          for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)}
  shown = ''.join(f'    {name!r}: {value:.7g},\n' for name, value in got.items())
  same = got.keys() == GOLDEN.keys() and all(abs(got[k] - GOLDEN[k]) <= 1e-4 * abs(GOLDEN[k]) for k in got)
  assert same, ('a step gives other numbers than before. If it should, say why in the commit, and renew by putting '
                f'this into tests/update_test.py:\n\nGOLDEN = {{\n{shown}}}')
