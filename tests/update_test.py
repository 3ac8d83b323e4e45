"""r1jax.engine.update and objective: one step is one step, however its outputs are cut up and wherever they lie, and it
is the arithmetic of whole rows."""

import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from r1jax.engine import grpo
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import optim
from r1jax.engine import packing
from r1jax.engine import params as params_lib
from r1jax.engine import slots as slots_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.models import zoo
from r1jax.stages import policy
from r1jax.types import NOWHERE, Completion, Max, Prompts, Sum, UserError

MODES = [('token', 'sequence_mean'), ('token', 'token_mean'), ('token', 'fixed_length'), ('sequence', 'sequence_mean')]
N, G = 8, 2
EOS = PAD = 3
EIGHT = dict(data=2, fsdp=2, tensor=2)

# No clipping by norm, so that the gradient can be read off the first moment after one step.
ADAMW = dict(b1=0.9, weight_decay=0.1, clip_norm=1e9)
ADAM = optim.create(learning_rate=1e-3, steps=10, **ADAMW)


def numbers(ratio='token', aggregate='sequence_mean', *, T=24, P=6, **changes):
  """A stage's part of the config, as trainings.rl reads it."""
  return ConfigDict({**dict(
      temperature=0.7, is_cap=0.0, is_kind='truncate', clip_low=0.2, clip_high=0.3, kl_coef=0.1, ratio=ratio,
      aggregate=aggregate, surrogate='clip', kl='k3', entropy_coef=0.0, drop_truncated=False, drop_equal=False,
      max_tokens=T, max_prompt=P, groups=N, samples=G, micro_tokens=120, ref_dtype='float32', ref_memory='device',
      steps=10, learning_rate=1e-3, optimizer=ADAMW), **changes})


CONFIG = ConfigDict(dict(seed=0, logit_elements=1 << 20, experts=dict(bias_rate=0.0, balance_loss=0.0)))


# --- outputs, and the old way: each a whole row of prompt and completion, padded to the longest there may be


class Case(NamedTuple):
  """What a minibatch is made of, as ragged as a rollout leaves it."""
  prompts: list  # N arrays of token ids
  completions: list  # N * G
  old: list  # arrays as long as their completions
  ref: list
  advantages: np.ndarray


class Whole(NamedTuple):
  """The same as arrays that are as wide as anything could be."""
  rows_BxS: Any  # prompt and completion, padded on the right
  starts_B: Any  # tokens of the prompt
  tokens_BxT: Any
  lengths_B: Any
  sampler_BxT: Any
  old_BxT: Any
  ref_BxT: Any
  advantages_B: Any


def whole(case: Case, P, T) -> Whole:
  prompts = [case.prompts[b // G] for b in range(len(case.completions))]
  pad = lambda arrays, width=T, fill=0: packing.padded(arrays, packing.Shape(len(arrays), width), fill)
  tokens, lengths = [c.tokens for c in case.completions], lambda arrays: np.array(list(map(len, arrays)))
  return Whole(pad([np.concatenate(both) for both in zip(prompts, tokens)], P + T, PAD), lengths(prompts),
               pad(tokens, fill=PAD), lengths(tokens), pad([c.logps for c in case.completions]), pad(case.old),
               pad(case.ref), case.advantages)


def whole_logps(logits_of, params, w: Whole):
  """(logps, entropy), both [B, T], of completions by the logits of whole rows, at the sampler's temperature."""
  logps_BxSxV = jax.nn.log_softmax(logits_of(params, w.rows_BxS, w.starts_B) / 0.7)
  at = w.starts_B[:, None] - 1 + jnp.arange(w.tokens_BxT.shape[1])
  at_BxTxV = jnp.take_along_axis(logps_BxSxV, at[..., None], axis=1)
  entropy = -jnp.sum(jnp.exp(at_BxTxV) * at_BxTxV, axis=2)
  return jnp.take_along_axis(at_BxTxV, w.tokens_BxT[..., None], axis=2)[..., 0], entropy


def by_hand(logits_of, policy_loss, params, w: Whole, **mode):
  """(loss, what metrics must say) of a minibatch, in one piece."""
  logps, entropy = whole_logps(logits_of, params, w)
  mask = (jnp.arange(w.tokens_BxT.shape[1]) < w.lengths_B[:, None]).astype(jnp.float32)
  numerator, denominator, metrics = policy_loss(
      logps, w.old_BxT, w.ref_BxT, w.advantages_B, mask, clip_low=0.2, clip_high=0.3, kl_coef=0.1,
      max_length=w.tokens_BxT.shape[1], **mode)
  gap, count = jnp.where(mask > 0, jnp.abs(logps - w.sampler_BxT), 0), mask.sum()
  means = {name: total / count for name, (total, count) in metrics.items()}
  means |= {'entropy/nats_per_token': (entropy * mask).sum() / count, 'mismatch/logp_mean_abs': gap.sum() / count,
            'mismatch/logp_max_abs': gap.max(), 'mismatch/beyond_half_nat': (gap > 0.5).sum() / count}
  return numerator / denominator, {**means, 'loss': numerator / denominator}


def ragged(logits_of, params, vocab, seed, *, P=6, T=24, empty=False) -> Case:
  """N groups of G completions of 1 to T tokens (one of none), a little off the policy; what ends them pads them too."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(1, T + 1, N * G)
  lengths[:2] = T, 1
  if empty:
    lengths[rng.integers(2, N * G)] = 0
  prompt_lengths = rng.integers(1, P + 1, N)
  tokens = rng.integers(4, vocab, (N * G, T)).astype(np.int32)
  prompts = [row[P - n:].astype(np.int32) for row, n in zip(rng.integers(4, vocab, (N, P)), prompt_lengths)]
  for row, n in zip(tokens, lengths):
    row[max(n - 1, 0):] = EOS
  cut = lambda rows: [row[:n].astype(rows.dtype) for row, n in zip(rows, lengths)]
  blank = [np.zeros(T, np.float32)] * (N * G)
  all_tokens = Case(prompts, [Completion(row, blank[0], True) for row in tokens], blank, blank, None)
  logps = np.asarray(jax.jit(whole_logps, static_argnums=0)(logits_of, params, whole(all_tokens, P, T))[0])
  off = lambda: (logps + rng.normal(0, 0.3, (N * G, T))).astype(np.float32)
  old, ref = off(), off()
  advantages = rng.normal(0, 1, N * G).astype(np.float32)
  return Case(prompts, [Completion(t, l, True) for t, l in zip(cut(tokens), cut(old))], cut(old), cut(ref), advantages)


def cut_up(case: Case, shapes) -> list[tuple[int, objective.Outputs]]:
  """Its micro-batches, on the host, as stages/policy.py makes them."""
  out = []
  for T, units in packing.micro_batches([len(c.tokens) for c in case.completions], shapes):
    rows = trainings.outputs([case.completions[u] for u in units], [u // G for u in units], case.advantages[units],
                             shapes[T], PAD, reference=True)
    part = lambda arrays: packing.padded([arrays[u] for u in units], shapes[T], np.float32(0))
    out.append((T, rows._replace(old_RxT=part(case.old), ref_RxT=part(case.ref))))
  return out


def prompts_of(case: Case, mesh, P):
  return mesh_lib.put(Prompts(*slots_lib.padded(case.prompts, N, P, PAD)), mesh)


def begin(training, params):
  """The state at step 0, from a copy of the weights."""
  return training.fresh(jax.device_put(jax.tree.map(jnp.array, params), training.shardings.params))


def gradient_of(state):
  """What the optimiser was given in the first step."""
  return jax.tree.map(lambda mu: np.asarray(mu) / 0.1, optax.tree_utils.tree_get(state.opt_state, 'mu'))


def take_steps(training, params, case: Case, shapes, *, P=6, steps=1):
  """(state, means) after some steps on the same outputs."""
  mesh = training.mesh
  with mesh_lib.use_mesh(mesh):
    state, micro_batches = begin(training, params), update.put_micro_batches(cut_up(case, shapes), mesh)
    for _ in range(steps):
      state, means = training.step(state, micro_batches, prompts_of(case, mesh, P))
  assert int(state.step) == steps
  return state, {name: float(mean) for name, mean in jax.device_get(means).items()}


@jax.jit
def after_adam(params, gradient):
  return optax.apply_updates(params, ADAM.update(gradient, ADAM.init(params), params)[0])


def close_where_it_matters(got, want, gradient):
  """Parameters after AdamW to 1e-5. Its first step is rate * sign(gradient), so a gradient that is all rounding says
  nothing: those under 1e-4 are left out."""
  counts = np.abs(gradient) > 1e-4
  np.testing.assert_allclose(got[counts], np.asarray(want)[counts], atol=1e-5, rtol=0)


# --- a model small enough to compile forty steps of

VOCAB, WIDTH = 19, 6


class Toy:
  """Each token sees itself, its position and the sum of its prompt."""
  mixture, config = False, types.SimpleNamespace(vocab_size=VOCAB, dim=WIDTH, dtype='float32')

  def init(self, key, _):
    keys, normal = jax.random.split(key), jax.random.normal
    return {'params': {'embedding': normal(keys[0], (VOCAB, WIDTH)), 'out': normal(keys[1], (WIDTH, VOCAB))}}

  def apply(self, weights, x, positions=None, segments=None, *, prefix=None, prompt_B=None, method):
    p = weights['params']
    if method == 'unembed':
      return x @ p['out']
    h = p['embedding'][x]
    if prefix is None:
      return jnp.tanh(h), (h[None, :, None],)  # one layer, one head
    seen = jnp.arange(prefix.kv_LxNx[0].shape[3]) < prefix.lengths_N[:, None]
    sums = jnp.sum(jnp.where(seen[..., None], prefix.kv_LxNx[0][0, :, 0], 0.0), axis=1)
    return jnp.tanh(h + 0.1 * positions[..., None] + sums[prompt_B][:, None]), None

  @staticmethod
  def whole(p, rows_BxS, starts_B):
    """Logits of whole rows, by the same rule."""
    h, at = p['embedding'][rows_BxS], jnp.arange(rows_BxS.shape[1])
    behind = at >= starts_B[:, None]
    sums = jnp.sum(jnp.where(behind[..., None], 0.0, h), axis=1, keepdims=True)
    return jnp.tanh(h + jnp.where(behind[..., None], 0.1 * at[:, None] + sums, 0.0)) @ p['out']


TOY = Toy()
TOY_PARAMS = TOY.init(jax.random.key(0), None)['params']


def toy_documents(seed) -> packing.Packed:
  rng = np.random.default_rng(seed)
  ids = lambda n: rng.integers(0, VOCAB, n).tolist()
  documents = [(ids(a), ids(b)) for a, b in zip(rng.integers(0, 4, 40), rng.integers(2, 8, 40))]
  return packing.Packed(*(a[:N] for a in packing.pack(documents, length=12)))


def toy_steps(what, micro_tokens, devices):
  """Two functions of a seed: ((loss, means), gradient) of a whole minibatch, and (state, means) after a step of it."""
  mesh = mesh_lib.create({'data': devices}, jax.devices()[:devices])
  if what == 'sft':
    c = ConfigDict(dict(length=12, batch=N, micro_tokens=micro_tokens // 2, steps=10,
                        optimizer=dict(ADAMW, learning_rate=1e-3)))
    training, loss_fn = trainings.sft(CONFIG, c, TOY, mesh).compile(), objective.cross_entropy_loss(TOY, chunk=128)
    quotient = lambda params, rows: (lambda n, d, m: (n / d, {}))(*loss_fn(params, None, rows))
    quotient = jax.jit(jax.value_and_grad(quotient, has_aux=True))

    def step(seed):
      batch = toy_documents(seed)
      micro_batches = update.put_micro_batches(trainings.cut(training, batch, [12] * N), mesh)
      assert len(micro_batches) == -(-N // training.rows[12][0].shape[0]) > 1
      with mesh_lib.use_mesh(mesh):
        return training.step(begin(training, TOY_PARAMS), micro_batches)

    return lambda seed: quotient(TOY_PARAMS, toy_documents(seed)), step
  built = trainings.rl(CONFIG, numbers(*what, micro_tokens=micro_tokens), TOY, mesh)
  training, case = built.training.compile(), functools.partial(ragged, TOY.whole, TOY_PARAMS, VOCAB, empty=True)
  quotient = functools.partial(by_hand, TOY.whole, grpo.policy_loss, ratio=what[0], aggregate=what[1])
  quotient = jax.jit(jax.value_and_grad(quotient, has_aux=True))
  return (lambda seed: quotient(TOY_PARAMS, whole(case(seed), 6, 24)),
          lambda seed: take_steps(training, TOY_PARAMS, case(seed), built.shapes))


@pytest.mark.parametrize('what', MODES + ['sft'], ids=str)
def test_a_step_does_not_depend_on_how_the_batch_is_cut_up(what):
  """Gradients to 5e-6 of the largest (the prompts' part comes by a pass of its own), parameters after a step of AdamW
  to 1e-5, for budgets of tokens x devices.

  They are compared with the gradient of numerator / denominator of the whole batch, taken without update.py.
  """
  for micro_tokens, devices in [(96, 4)] + [(24, 1), (60, 1)] * (what in (MODES[0], 'sft')):
    in_one_piece, step = toy_steps(what, micro_tokens, devices)
    for seed in range(3):
      (loss, means), gradient = in_one_piece(seed)
      largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
      assert 0.01 < largest < 100
      state, got = step(seed)
      at = f'{micro_tokens=} {devices=} {seed=}'
      close = lambda a, b, atol: np.testing.assert_allclose(a, b, atol=atol, rtol=0, err_msg=at)
      jax.tree.map(lambda a, b: close(a, b, 5e-6 * largest), gradient_of(state), gradient)
      jax.tree.map(close_where_it_matters, jax.device_get(state.params), after_adam(TOY_PARAMS, gradient), gradient)
      close(got['loss'], loss, 1e-5)
      close(got['grad_norm'], optax.global_norm(gradient), 1e-5 * largest)
      for name, mean in means.items():
        close(got[name], mean, 1e-5)


def test_a_batch_without_a_token_has_no_gradient():
  built = trainings.rl(CONFIG, numbers(), TOY, mesh_lib.create({}, jax.devices()[:1]))
  said, nothing = Completion(np.zeros(0, np.int32), np.zeros(0, np.float32), False), [np.zeros(0, np.float32)] * (N * G)
  case = ragged(TOY.whole, TOY_PARAMS, VOCAB, 0)._replace(completions=[said] * (N * G), old=nothing, ref=nothing)
  state, means = take_steps(built.training.compile(), TOY_PARAMS, case, built.shapes)
  assert all((g == 0).all() for g in jax.tree.leaves(gradient_of(state)))
  assert means['loss'] == 0 and means['grad_norm'] == 0


# --- the whole model: the new way against the old


def switched(*args, ratio, **numbers):
  """grpo.policy_loss of the mode whose number is `ratio`, known only when it runs: one compilation for all of them."""

  def of(mode):
    def one(*args):
      settings = {**numbers, 'ratio': mode[0], 'aggregate': mode[1]}
      numerator, denominator, metrics = grpo.policy_loss(*args, **settings)
      return numerator, denominator, {name: m for name, m in metrics.items() if name != 'clip/log_ratio_limited'}
    return one

  return jax.lax.switch(ratio, [of(mode) for mode in MODES], *args)


class Bench:
  """nano's update in a dtype on a mesh, for every mode and several budgets of tokens, and the same by hand.

  Attributes:
    shapes: budget -> (T -> shape). 'one': all outputs in one micro-batch; 'row': one of the longest a device.
  """
  P, T = 6, 24

  def __init__(self, dtype: str, shape: dict, budgets: tuple[str, ...]):
    self.dtype, devices = dtype, int(np.prod([1, *shape.values()]))
    self.mesh = mesh_lib.create(shape, jax.devices()[:devices])
    self.model = zoo.build(zoo.get('nano', dtype=dtype))
    shards = mesh_lib.batch_shards(self.mesh)
    tokens = {'one': N * G * self.T, 'many': 120 * shards, 'row': self.T * shards}
    self.shapes = {budget: packing.shapes(self.T, tokens=tokens[budget], shards=shards, most=N * G,
                                          multiple=self.T if budget == 'one' else 8) for budget in budgets}
    self.logits = lambda params, rows, starts: self.model.apply({'params': params}, rows)
    with self.x64(), pytest.MonkeyPatch.context() as patch:
      self.params = jax.tree.map(lambda x: x.astype(dtype), params_lib.init(self.model, 0))
      abstract, cast = params_lib.abstract, lambda x: jax.ShapeDtypeStruct(x.shape, dtype)
      patch.setattr(params_lib, 'abstract', lambda model: jax.tree.map(cast, abstract(model)))
      patch.setattr(objective, 'grpo', types.SimpleNamespace(policy_loss=switched))
      # A micro-batch says of what mode it is, beside its rows. Programs go by shapes, so that budgets share them.
      outputs = lambda s: trainings._arrays(objective.Outputs, s, self.mesh, none=('counts_R', 'choices_RxTxLxk'))
      arrays = lambda s: (self._mode(jax.ShapeDtypeStruct, s), outputs(s))
      rows = {tuple(s): arrays(s) for shapes in self.shapes.values() for s in shapes.values()}
      self.training = update.Training(self.model, self.mesh, ADAM, self._loss, rows, seed=0, prompts=(N, self.P),
                                      reference='float32').compile()
    hand = functools.partial(by_hand, self.logits, switched)
    self._quotient = jax.jit(jax.value_and_grad(lambda params, w, mode: hand(params, w, ratio=mode), has_aux=True))

  def x64(self):
    return jax.enable_x64(self.dtype == 'float64')

  def _mode(self, make, shape):
    return make((shape.rows,), jnp.int32, sharding=mesh_lib.batch_sharding(self.mesh))

  def _loss(self, params, prefix, rows):
    mode_R, outputs = rows
    c = types.SimpleNamespace(**{**numbers().to_dict(), 'ratio': mode_R[0]})
    return objective.grpo_loss(self.model.apply, c)(params, prefix, outputs)

  def case(self, seed, **settings) -> Case:
    with self.x64():
      return ragged(self.logits, self.params, 512, seed, P=self.P, T=self.T, **settings)

  def in_one_piece(self, case: Case, mode=MODES[0]):
    """((loss, means), gradient) by hand."""
    with self.x64():
      return self._quotient(self.params, whole(case, self.P, self.T), MODES.index(mode))

  def micro_batches(self, case: Case, budget: str, mode=MODES[0]):
    """On the host, with the names of their programs."""
    mode_R = lambda rows: np.full(rows.lengths_R.shape, MODES.index(mode), np.int32)
    return [(rows.tokens_RxT.shape, (mode_R(rows), rows)) for _, rows in cut_up(case, self.shapes[budget])]

  def step(self, case: Case, micro_batches, prompts=None):
    """(state, means) after a step."""
    with self.x64(), mesh_lib.use_mesh(self.mesh):
      prompts = prompts_of(case, self.mesh, self.P) if prompts is None else prompts
      micro_batches = update.put_micro_batches(micro_batches, self.mesh)
      state, means = self.training.step(begin(self.training, self.params), micro_batches, prompts)
      return state, jax.device_get(means)


def difference(got, want) -> float:
  """|got - want| / |want|"""
  flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
  return np.linalg.norm(flat(got) - flat(want)) / np.linalg.norm(flat(want))


@pytest.fixture(scope='module')
def bench():
  """Bench of float32 on one device."""
  return Bench('float32', {}, ('many',))


@pytest.fixture(scope='module')
def bench64():
  return Bench('float64', {}, ('one', 'row'))


@pytest.fixture(scope='module')
def eight64():
  return Bench('float64', EIGHT, ('row',))


@pytest.mark.parametrize('mode', MODES, ids=str)
@pytest.mark.parametrize('name', ['bench', 'bench64', 'eight64'])
def test_an_update_is_the_arithmetic_of_whole_rows(name, mode, request):
  """The gradient of a step, prompts computed once and outputs cut up by a budget of tokens, against the gradient of one
  loss over [B, P + T] rows. In float64 each leaf to 1e-9; in float32 the loss to 1e-5, the gradient to 1e-4 of its
  norm."""
  b = request.getfixturevalue(name)
  for seed, budget in enumerate(b.shapes):
    case = b.case(seed)
    assert {1, b.T} <= {len(c.tokens) for c in case.completions} and len(set(map(len, case.prompts))) > 2
    (loss, means), gradient = b.in_one_piece(case, mode)
    micro_batches = b.micro_batches(case, budget, mode)
    assert (len(micro_batches) == 1) == (budget == 'one')
    state, got = b.step(case, micro_batches)
    np.testing.assert_allclose(got['loss'], loss, **(dict(rtol=1e-9) if b.dtype == 'float64' else dict(atol=1e-5)))
    for metric, mean in means.items():
      np.testing.assert_allclose(got[metric], mean, rtol=1e-5, atol=1e-6, err_msg=metric)
    gradient, found = jax.device_get(gradient), gradient_of(state)
    if b.dtype == 'float64':
      worst = max(jax.tree.leaves(jax.tree.map(difference, found, gradient)))
      assert worst < 1e-9, f'{budget}: {worst}'
    assert difference(found, gradient) < 1e-4
    np.testing.assert_allclose(got['grad_norm'], optax.global_norm(gradient), rtol=1e-5)


def test_weights_are_dealt_out_over_eight_devices(eight64):
  kernel = eight64.training.state.params['blocks']['mlp']['gate']  # [L, D, F]: fsdp splits D, tensor splits F
  L, D, F = kernel.shape
  assert kernel.sharding.shard_shape(kernel.shape) == (L, D // 2, F // 2)


def test_prompts_learn_from_all_that_follows_them(bench):
  """Members of a group lie in several micro-batches, and what each asks of its prompt comes back to the weights once,
  at the end; without it the gradient is another one."""
  case = bench.case(5)
  micro_batches = bench.micro_batches(case, 'many')
  followed = [set(rows.prompt_R[rows.lengths_R > 0].tolist()) for _, (_, rows) in micro_batches]
  assert sum(sum(n in prompts for prompts in followed) > 1 for n in range(N)) > 2
  _, want = bench.in_one_piece(case)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(bench.training._compiled, ('prompt_gradient',), lambda params, sums, prompts: sums)
    state, _ = bench.step(case, micro_batches)
  assert difference(gradient_of(state), jax.device_get(want)) > 1e-2
  state, _ = bench.step(case, micro_batches)
  assert difference(gradient_of(state), jax.device_get(want)) < 1e-4


@pytest.mark.parametrize('mode', MODES, ids=str)
def test_what_pads_a_micro_batch_does_no_harm(bench, mode):
  """NaN and any tokens where a row has ended, in rows that are none, and behind prompts: the same bits."""
  case, rng = bench.case(6), np.random.default_rng(0)
  clean, dirty = bench.micro_batches(case, 'many', mode), []
  assert any((rows.lengths_R == 0).any() for _, (_, rows) in clean)
  for name, (mode_R, rows) in clean:
    real_R, inside = rows.lengths_R > 0, np.arange(rows.tokens_RxT.shape[1]) < rows.lengths_R[:, None]
    nan = lambda where, x: np.where(where, x, np.float32(np.nan))
    any_of = lambda n, x: rng.integers(0, n, x.shape, np.int32)
    dirty.append((name, (mode_R, objective.Outputs(
        np.where(inside, rows.tokens_RxT, any_of(512, rows.tokens_RxT)), rows.lengths_R,
        np.where(real_R, rows.prompt_R, any_of(N, rows.prompt_R)), nan(inside, rows.sampler_RxT),
        nan(inside, rows.old_RxT), nan(inside, rows.ref_RxT), nan(real_R, rows.advantages_R)))))
  tokens, lengths = slots_lib.padded(case.prompts, N, bench.P, PAD)
  behind = np.arange(bench.P) >= lengths[:, None]
  assert behind.any()
  tokens = np.where(behind, rng.integers(0, 512, tokens.shape, np.int32), tokens)
  prompts = mesh_lib.put(Prompts(tokens, lengths), bench.mesh)
  (want, want_means), (got, got_means) = bench.step(case, clean), bench.step(case, dirty, prompts)
  jax.tree.map(np.testing.assert_array_equal, got_means, want_means)
  jax.tree.map(np.testing.assert_array_equal, got.params, want.params)


def test_steps_of_other_lengths_compile_nothing(bench):
  """Counted by jax's own events, those that its disk cache answers among them."""
  cases, compiled = [bench.case(seed) for seed in (7, 8, 9)], []
  listener = lambda event, seconds, **_: compiled.append(event) if 'backend_compile' in event else None
  with mesh_lib.use_mesh(bench.mesh):
    state = begin(bench.training, bench.params)
    for number, case in enumerate(cases):
      micro_batches = update.put_micro_batches(bench.micro_batches(case, 'many'), bench.mesh)
      state, _ = bench.training.step(state, micro_batches, prompts_of(case, bench.mesh, bench.P))
      if number == 0:
        jax.monitoring.register_event_duration_secs_listener(listener)
  assert len({tuple(len(c.tokens) for c in case.completions) for case in cases}) == 3
  found = list(compiled)
  jax.jit(lambda x: x * 3.25 + number)(jnp.ones(7))
  jax.monitoring.unregister_event_duration_listener(listener)
  assert len(compiled) > len(found), 'the counter counts nothing'
  assert not found


# --- a mixture of experts


def test_a_mixture_learns_behind_its_prompts_and_its_router_counts_what_is_real():
  """nano-deepseek: latents as the prompts' keys, the gradient of whole rows; loads of completions, without padding."""
  model, P, T = zoo.build(zoo.get('nano-deepseek', layers=2)), 6, 8
  params = params_lib.init(model, 0)
  logits = lambda params, rows, starts: model.apply({'params': params}, rows)
  case = ragged(logits, params, 512, 0, P=P, T=T)
  (_, rows), = cut_up(case, {T: packing.Shape(N * G + 2, T)})
  w, loss_fn = whole(case, P, T), objective.grpo_loss(model.apply, numbers(T=T, P=P), experts=True)

  @jax.jit
  def got(params, prompts, rows):
    prefix = slots_lib.prefill(model.apply, params, prompts)
    zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)
    numerator, denominator, metrics = zeros(jax.eval_shape(loss_fn, params, prefix, rows))
    sums = update.Sums(zeros(params), zeros(prefix), numerator, denominator, metrics)
    return update.prompt_gradient(model.apply, params, update.gradient(loss_fn, params, sums, prefix, rows), prompts)

  @jax.jit
  def want(params):
    quotient = functools.partial(by_hand, logits, grpo.policy_loss)
    (loss, _), gradient = jax.value_and_grad(quotient, has_aux=True)(params, w)
    at = jnp.arange(P + T)

    def load(ends):
      positions = jnp.where(at < ends[:, None], at, NOWHERE)
      _, sown = model.apply({'params': params}, w.rows_BxS, positions, method='hidden', mutable=['experts'])
      return sown['experts']['moe_blocks']['moe']['load'][0]

    # The last token predicts nothing, so nobody computes it.
    return loss, gradient, jax.lax.map(load, jnp.stack([w.starts_B + w.lengths_B - 1, w.starts_B]))

  sums = got(params, Prompts(*slots_lib.padded(case.prompts, N, P, PAD)), rows)
  loss, gradient, (load_LxE, of_prompts) = want(params)
  np.testing.assert_allclose(sums.numerator / sums.denominator, loss, atol=1e-5)
  assert difference(jax.tree.map(lambda g: g / sums.denominator, sums.grads), gradient) < 1e-4
  np.testing.assert_array_equal(sums.metrics['experts/load'].value, load_LxE - of_prompts)
  real = sum(len(c.tokens) - 1 for c in case.completions)
  np.testing.assert_array_equal((load_LxE - of_prompts).sum(axis=1), model.config.experts_per_token * real)


# --- metrics


def test_metrics_of_micro_batches_come_together_by_their_type():
  one = {'mean': (jnp.float32(6), jnp.float32(2)), 'max': Max(jnp.float32(3)), 'sum': Sum(jnp.array([1.0, 2.0]))}
  two = {'mean': (jnp.float32(1), jnp.float32(5)), 'max': Max(jnp.float32(2)), 'sum': Sum(jnp.array([3.0, 5.0]))}
  for a, b in ((one, two), (two, one)):
    merged = {name: update.add(a[name], b[name]) for name in a}
    assert {name: type(m) for name, m in merged.items()} == {'mean': tuple, 'max': Max, 'sum': Sum}
    assert update.value(merged['mean']) == 1 and update.value(merged['max']) == 3
    np.testing.assert_array_equal(update.value(merged['sum']), [4, 7])
  assert update.value((jnp.float32(0), jnp.float32(0))) == 0  # of nothing


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
  """'unembedding' is a kernel, though it ends as 'embedding' does."""
  params = {'blocks': {'gate': np.ones((2, 3, 4), np.float32), 'norm': {'scale': np.ones((2, 3), np.float32)},
                       'q_bias': np.ones((2, 3, 4), np.float32)}, 'unembedding': np.ones((3, 5), np.float32),
            'final_norm': {'scale': np.ones(3, np.float32)}, 'embedding': np.ones((5, 3), np.float32)}
  optimizer = optim.create(learning_rate=0.5, steps=10, weight_decay=0.1)
  updates, _ = optimizer.update(jax.tree.map(np.zeros_like, params), optimizer.init(params), params)
  for decays in (updates['blocks']['gate'], updates['unembedding']):
    np.testing.assert_allclose(decays, -0.05, rtol=1e-6)
  for still in (updates['blocks']['norm']['scale'], updates['blocks']['q_bias'], updates['final_norm']['scale'],
                updates['embedding']):
    assert (still == 0).all()


def test_the_gradient_is_clipped_by_its_global_norm():
  params = {'a': np.zeros(1, np.float32), 'b': np.zeros(1, np.float32)}
  optimizer = optim.create(learning_rate=1.0, steps=10, b1=0.0, clip_norm=1.0)
  _, state = optimizer.update({'a': np.float32([3.0]), 'b': np.float32([4.0])}, optimizer.init(params), params)
  mu = optax.tree_utils.tree_get(state, 'mu')
  np.testing.assert_allclose([mu['a'][0], mu['b'][0]], [0.6, 0.8], rtol=1e-6)


def test_moments_in_bfloat16_step_as_those_in_float32():
  """They are computed in float32 and only kept in bfloat16, whose steps are 2^-8: the first update is the same, the
  third differs by about that."""
  rng = np.random.default_rng(0)
  params = {'kernel': rng.normal(size=(40, 5)).astype(np.float32)}
  gradients = [{'kernel': rng.normal(size=(40, 5)).astype(np.float32)} for _ in range(3)]
  found = {}
  for dtype in ('float32', 'bfloat16'):
    optimizer = optim.create(learning_rate=0.1, steps=10, dtype=dtype)
    state, updates = optimizer.init(params), []
    for gradient in gradients:
      update_, state = jax.jit(optimizer.update)(gradient, state, params)
      updates.append(update_['kernel'])
      moments = [optax.tree_utils.tree_get(state, name)['kernel'] for name in ('mu', 'nu')]
      assert all(m.dtype == dtype for m in moments)
    assert update_['kernel'].dtype == jnp.float32 and state[1].count.dtype == jnp.int32
    found[dtype] = updates, moments
  (exact, exact_moments), (kept, kept_moments) = found['float32'], found['bfloat16']
  np.testing.assert_array_equal(kept[0], exact[0])
  assert 0 < np.abs(kept[2] - exact[2]).max() < 0.1 * 2**-6  # of a rate of 0.1
  for a, b in zip(kept_moments, exact_moments):
    np.testing.assert_allclose(a.astype(jnp.float32), b, atol=2**-7 * np.abs(b).max())


def test_moments_lie_where_and_as_the_optimiser_keeps_them(nano):
  """Of the state that is compiled for, by which memory is planned."""
  c = numbers(optimizer=dict(ADAMW, dtype='bfloat16'))
  state = trainings.rl(CONFIG, c, nano[0], mesh_lib.create(EIGHT)).training.state
  for name in ('mu', 'nu'):
    moment = optax.tree_utils.tree_get(state.opt_state, name)
    assert {x.dtype for x in jax.tree.leaves(moment)} == {jnp.dtype('bfloat16')}
    jax.tree.map(lambda m, p: np.testing.assert_(m.sharding == p.sharding), moment, state.params)
  assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype('float32')}


@pytest.mark.parametrize('optimizer, message', [
    (dict(dtype='float16'), r"optimizer\.dtype='float16' is not one of 'float32', 'bfloat16'"),
    (dict(dtype='bfloat16', b2=0.999), r"optimizer\.dtype='bfloat16' loses changes as small as 1 - b2=0\.001 "),
    (dict(decay='step'), "decay='step' is not one of"), (dict(rate=1.0), "'rate'")])
def test_an_optimiser_that_cannot_be_is_one_line(optimizer, message):
  with pytest.raises(UserError, match=message) as raised:
    trainings.check(numbers(optimizer=optimizer), mesh_lib.create({}, jax.devices()[:1]), 16)
  assert '\n' not in str(raised.value)


def test_a_budget_under_one_row_a_device_is_one_line():
  mesh = mesh_lib.create({'data': 4}, jax.devices()[:4])
  trainings.check(numbers(micro_tokens=64), mesh, 16)
  message = r'micro_tokens=63 are fewer than one row of 16 tokens on each of 4 .*: at least 64$'
  with pytest.raises(UserError, match=message) as raised:
    trainings.check(numbers(micro_tokens=63), mesh, 16)
  assert '\n' not in str(raised.value)


# --- the reference


@pytest.mark.parametrize('memory', ['device', 'pinned_host'])
def test_a_reference_in_bfloat16_stays_so_when_it_is_renewed(nano, memory):
  """And it is a copy: weights that are donated later do not take it with them. Norms stay float32, as models read
  them."""
  c = numbers(ref_dtype='bfloat16', ref_memory='host' if memory == 'pinned_host' else 'device')
  training = trainings.rl(CONFIG, c, nano[0], mesh_lib.create(EIGHT)).training
  actor = policy.Policy.__new__(policy.Policy)  # without its programs
  actor.training, actor._copy = training, jax.jit(lambda params: params_lib.kept_as(params, c.ref_dtype))

  def right(state, params):
    refs = jax.tree_util.tree_leaves_with_path(state.ref_params)
    for (path, ref), x, p in zip(refs, jax.tree.leaves(params), jax.tree.leaves(state.params)):
      assert ref.dtype == (jnp.float32 if path[-1].key == 'scale' else jnp.bfloat16)
      assert ref.sharding.memory_kind == memory
      assert ref.sharding.is_equivalent_to(p.sharding.with_memory_kind(memory), ref.ndim)
      np.testing.assert_array_equal(ref.astype(jnp.float32), x.astype(ref.dtype).astype(jnp.float32))

  state = begin(training, nano[1])
  right(state, nano[1])
  moved = jax.tree.map(lambda x: 1.25 * x, state.params)
  state = actor.refresh_reference(state.replace(params=moved))
  jax.tree.map(lambda x: x.delete(), moved)
  right(state.replace(params=begin(training, nano[1]).params), jax.tree.map(lambda x: 1.25 * x, nano[1]))


# --- what the step learns from


@functools.cache
def nano_logits():
  """Of nano's whole rows; one function, so that it is compiled once."""
  model = zoo.build(zoo.get('nano'))
  return lambda params, rows, starts: model.apply({'params': params}, rows)


def test_the_end_token_gets_gradient_where_it_is_padding_too(nano):
  """With pad == eos, through grpo_loss and nano: every token up to and with the end, and none after it."""
  model, params = nano
  P, T = 5, 7
  case = ragged(nano_logits(), params, 512, 0, P=P, T=T)
  (_, rows), = cut_up(case, {T: packing.Shape(N * G, T)})
  assert (rows.tokens_RxT[np.arange(N * G), rows.lengths_R - 1] == EOS).all() and PAD == EOS
  prompts = Prompts(*slots_lib.padded(case.prompts, N, P, PAD))

  def apply(weights, *args, method, **kwargs):
    p = weights['params']
    out = model.apply({'params': p['model']}, *args, method=method, **kwargs)
    return out + p['at_RxTxV'] if method == 'unembed' else out  # a handle on each position's logits

  def numerator(at_RxTxV):
    p, loss_fn = {'model': params, 'at_RxTxV': at_RxTxV}, objective.grpo_loss(apply, numbers(clip_low=10, clip_high=10))
    return loss_fn(p, slots_lib.prefill(apply, p, prompts), rows)[0]

  gradient = np.abs(jax.jit(jax.grad(numerator))(jnp.zeros((N * G, T, 512))))
  said = np.take_along_axis(gradient, rows.tokens_RxT[..., None], axis=-1)[..., 0]
  inside = np.arange(T) < rows.lengths_R[:, None]
  assert (said[inside] > 1e-4).all()
  assert (gradient[~inside] == 0).all()


def toy_rows(seed):
  """(outputs in one micro-batch, the prefix of their prompts)."""
  case = ragged(TOY.whole, TOY_PARAMS, VOCAB, seed)
  (_, rows), = cut_up(case, {24: packing.Shape(N * G, 24)})
  return rows, slots_lib.prefill(TOY.apply, TOY_PARAMS, Prompts(*slots_lib.padded(case.prompts, N, 6, PAD)))


def test_policy_log_probs_are_at_the_samplers_temperature():
  """On the policy that sampled, at 0.7, every ratio is 1: nothing is clipped, no gap is seen, the loss is -mean(A)."""
  rows, prefix = toy_rows(1)
  old, _ = objective.completion_logps(TOY.apply, TOY_PARAMS, prefix, rows.tokens_RxT, rows.lengths_R, rows.prompt_R,
                                      temperature=0.7)
  on_policy = rows._replace(old_RxT=old, sampler_RxT=old, ref_RxT=old)
  numerator, denominator, metrics = jax.jit(objective.grpo_loss(TOY.apply, numbers()))(TOY_PARAMS, prefix, on_policy)
  np.testing.assert_allclose(numerator / denominator, -rows.advantages_R.mean(), rtol=1e-5)
  for name in ('clip/low', 'clip/high', 'kl/nats_per_token', 'mismatch/logp_mean_abs', 'mismatch/logp_max_abs',
               'mismatch/kl_nats_per_token'):
    np.testing.assert_allclose(update.value(metrics[name]), 0, atol=1e-5, err_msg=name)


def test_importance_weights_come_from_trainer_over_sampler():
  rows, prefix = toy_rows(2)
  rows = rows._replace(sampler_RxT=rows.old_RxT - np.log(1.5).astype(np.float32))
  loss = lambda cap: jax.jit(objective.grpo_loss(TOY.apply, numbers(kl_coef=0.0, is_cap=cap)))(TOY_PARAMS, prefix, rows)
  plain, capped = loss(0.0)[0], loss(1.2)[0]
  np.testing.assert_allclose(capped, 1.2 * plain, rtol=1e-5)


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


def test_golden_step(nano):
  """Two steps of AdamW on nano, seed 0, against the numbers of 2026-11-23 (jax 0.10.2, CPU), to 1e-4. They were made by
  an update of another build, in one batch padded to T, behind prompts padded on the left."""
  model, params = nano
  P, T = 5, 7
  case = ragged(nano_logits(), params, 512, 0, P=P, T=T, empty=True)
  built = trainings.rl(CONFIG, numbers(P=P, T=T, micro_tokens=35), model, mesh_lib.create({}, jax.devices()[:1]))
  state, means = take_steps(built.training.compile(), params, case, built.shapes, P=P, steps=2)
  names = ('loss', 'grad_norm', 'kl/nats_per_token', 'entropy/nats_per_token', 'mismatch/logp_max_abs')
  got = {name: means[name] for name in names}
  got |= {'/'.join(k.key for k in path): float(jnp.sum(jnp.abs(leaf)))
          for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)}
  shown = ''.join(f'    {name!r}: {value:.7g},\n' for name, value in got.items())
  same = got.keys() == GOLDEN.keys() and all(abs(got[k] - GOLDEN[k]) <= 1e-4 * abs(GOLDEN[k]) for k in got)
  assert same, ('a step gives other numbers than before. If it should, say why in the commit, and renew by putting '
                f'this into tests/update_test.py:\n\nGOLDEN = {{\n{shown}}}')
  jax.tree.map(np.testing.assert_array_equal, state.ref_params, params)  # the reference stands still
