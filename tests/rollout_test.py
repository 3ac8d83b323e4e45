"""r1jax.engine.rollout: the sampler says what the model says, and the trainer hears the same."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import rollout
from r1jax.types import NOWHERE, Prompts

G, T, PAD = 4, 12, 0
PROMPTS = [[11, 12, 13, 14, 15], [21, 22], [31, 32, 33]]
# Any of these ends a completion; PAD is one of them, and the others are spread so that rows end at many lengths.
EOS = (PAD, *range(5, 512, 9))


# Most of these tests' time is XLA's: what it computes is tested here, not how fast.
jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@pytest.fixture(scope='module')
def peaked(nano):
  """nano with larger weights: a distribution with likely and unlikely tokens, so that mistakes show."""
  model, params = nano
  return model, jax.tree.map(lambda p: p * 1.3, params)


def prompts_of(rows, P=6):
  tokens = np.full((len(rows), P), PAD, np.int32)
  for i, ids in enumerate(rows):
    tokens[i, P - len(ids):] = ids
  return Prompts(jnp.asarray(tokens), jnp.asarray([len(r) for r in rows], jnp.int32))


def sampler(model, **changes):
  settings = {**dict(samples=G, max_tokens=T, eos_ids=EOS, pad_id=PAD), **changes}
  return jit(rollout.make_sampler(model.apply, model.empty_cache, **settings).sample)


@pytest.fixture(scope='module')
def at_one(peaked):
  """(sample, prompts, Rollout) at temperature 1."""
  model, params = peaked
  sample, asked = sampler(model), prompts_of(PROMPTS)
  return sample, asked, jax.device_get(sample(params, asked, jax.random.key(3)))


def teacher_logits(model, params, asked, completions_BxT):
  """[B, T, V] of a plain forward over each whole row: no cache, no prefix, no padding on the left."""
  P, lengths = asked.tokens_NxP.shape[1], np.asarray(asked.lengths_N)
  rows, at = [], []
  for b, completion in enumerate(np.asarray(completions_BxT)):
    n = lengths[b * len(lengths) // len(completions_BxT)]
    prompt = np.asarray(asked.tokens_NxP)[b * len(lengths) // len(completions_BxT), P - n:]
    rows.append(np.concatenate([prompt, completion, np.zeros(P - n, np.int32)]))
    at.append(n - 1 + np.arange(len(completion)))
  logits = jit(model.apply)({'params': params}, jnp.asarray(rows))
  return jnp.take_along_axis(logits, jnp.asarray(at)[..., None], axis=1)


def logps_of(logits_BxTxV, tokens_BxT, temperature=1.0):
  logps = jax.nn.log_softmax(logits_BxTxV / temperature, axis=-1)
  return np.asarray(jnp.take_along_axis(logps, jnp.asarray(tokens_BxT)[..., None], axis=-1)[..., 0])


def inside(out):
  return np.arange(out.tokens_BxT.shape[1]) < out.lengths_B[:, None]


# --- sampler, trainer and plain model

def test_greedy_is_the_argmax_of_teacher_forcing(peaked):
  model, params = peaked
  asked = prompts_of(PROMPTS)
  out = jax.device_get(sampler(model, temperature=0, samples=1, eos_ids=(512,))(params, asked, jax.random.key(0)))
  np.testing.assert_array_equal(out.tokens_BxT, jnp.argmax(teacher_logits(model, params, asked, out.tokens_BxT), -1))
  assert (out.lengths_B == T).all() and not out.stopped_B.any() and (out.logps_BxT == 0).all()
  assert len(set(out.tokens_BxT.ravel().tolist())) > 3  # the model does not say one thing only


@pytest.mark.parametrize('temperature', [1.0, 0.7])
def test_stored_log_probs_are_those_of_trainer_and_model(peaked, at_one, temperature):
  model, params = peaked
  _, asked, out = at_one
  if temperature != 1.0:
    out = jax.device_get(sampler(model, temperature=temperature)(params, asked, jax.random.key(5)))
  trainer, entropy = jit(lambda p, a, t: rollout.completion_logps(
      model.apply, p, a, t, temperature=temperature, chunk=5))(params, asked, out.tokens_BxT)
  logits = teacher_logits(model, params, asked, out.tokens_BxT)
  plain = logps_of(logits, out.tokens_BxT, temperature)
  here = inside(out)
  assert 2 * G * len(PROMPTS) < here.sum() < T * G * len(PROMPTS)  # ragged
  assert np.std(plain[here]) > 0.5
  np.testing.assert_allclose(out.logps_BxT[here], plain[here], atol=1e-5)
  np.testing.assert_allclose(np.asarray(trainer)[here], plain[here], atol=1e-5)
  p = jax.nn.softmax(logits / temperature, axis=-1)
  np.testing.assert_allclose(np.asarray(entropy)[here], -jnp.sum(p * jnp.log(p), -1)[here], atol=1e-5)


def test_completions_of_one_token(peaked, at_one):
  model, params = peaked
  _, asked, out = at_one
  got, _ = jit(lambda p, a, t: rollout.completion_logps(model.apply, p, a, t, temperature=1.0))(
      params, asked, out.tokens_BxT[:, :1])
  np.testing.assert_allclose(got, out.logps_BxT[:, :1], atol=1e-5)


def test_prompt_positions():
  got = rollout.prompt_positions(prompts_of([[1, 2, 3], [4]], P=3))
  np.testing.assert_array_equal(got, [[0, 1, 2], [NOWHERE, NOWHERE, 0]])


def test_padding_on_the_left_changes_nothing(peaked, at_one):
  """Nobody looks at it. (How wide it is does not matter either: the plain model above has none.)"""
  _, params = peaked
  sample, asked, out = at_one
  padding = np.asarray(rollout.prompt_positions(asked)) == NOWHERE
  assert padding.any(axis=1).all()
  again = jax.device_get(sample(params, asked._replace(tokens_NxP=jnp.where(padding, 99, asked.tokens_NxP)),
                                jax.random.key(3)))
  np.testing.assert_array_equal(again.tokens_BxT, out.tokens_BxT)
  np.testing.assert_array_equal(again.logps_BxT, out.logps_BxT)


# --- ends

def test_several_tokens_end_a_completion_and_are_kept(at_one):
  _, _, out = at_one
  assert out.stopped_B.any() and not out.stopped_B.all()
  lasts = set()
  for tokens, logps, n, stopped in zip(*out):
    ended = np.isin(tokens[:n], EOS)
    assert stopped == ended[-1] and not ended[:-1].any()  # the first end is the last token
    assert stopped or n == T
    assert (logps[:n] < 0).all()  # an end is an action: it has a log-prob
    assert (logps[n:] == 0).all() and (tokens[n:] == PAD).all()
    lasts |= {int(tokens[n - 1])} if stopped else set()
  assert len(lasts) > 2


def test_the_end_is_kept_where_it_looks_like_padding():
  """pad == eos: the length says that the end was said."""
  out = constant_model([0.5, 0.5], samples=64, max_tokens=8, eos_ids=(PAD,))
  said = out.tokens_BxT != PAD
  np.testing.assert_array_equal(out.lengths_B[out.stopped_B], said[out.stopped_B].sum(axis=1) + 1)
  np.testing.assert_allclose(out.logps_BxT[inside(out)], np.log(0.5), rtol=1e-6)
  assert (out.lengths_B == 1).any() and (out.lengths_B > 3).any()


@pytest.mark.parametrize('eos_ids, steps', [((0, 1), 1), ((7,), 8)])
def test_the_loop_stops_when_all_rows_have_ended(eos_ids, steps):
  calls = []
  out = constant_model([0.5, 0.5], samples=4, max_tokens=8, eos_ids=eos_ids, on_choice=lambda: calls.append(1))
  assert len(calls) == steps and (out.lengths_B == steps).all()


def test_a_sampler_without_an_end_is_refused():
  with pytest.raises(ValueError, match='eos_ids is empty'):
    rollout.make_sampler(None, None, samples=1, max_tokens=1, eos_ids=(), pad_id=0)


# --- keys

def test_a_row_does_not_depend_on_its_neighbours(peaked, at_one):
  _, params = peaked
  sample, _, out = at_one
  alone = jax.device_get(sample(params, prompts_of(PROMPTS[:1]), jax.random.key(3)))
  other = jax.device_get(sample(params, prompts_of([PROMPTS[0], [41], [51] * 6]), jax.random.key(3)))
  for again in (alone, other):
    np.testing.assert_array_equal(again.tokens_BxT[:G], out.tokens_BxT[:G])
    np.testing.assert_array_equal(again.lengths_B[:G], out.lengths_B[:G])
  assert (other.tokens_BxT[G:] != out.tokens_BxT[G:]).any()


def test_rows_of_a_group_differ_and_keys_decide(peaked, at_one):
  _, params = peaked
  sample, asked, out = at_one
  assert len({tuple(row) for row in out.tokens_BxT.tolist()}) == G * len(PROMPTS)
  same = jax.device_get(sample(params, asked, jax.random.key(3)))
  np.testing.assert_array_equal(same.tokens_BxT, out.tokens_BxT)
  assert (jax.device_get(sample(params, asked, jax.random.key(4))).tokens_BxT != out.tokens_BxT).any()


def constant_model(probabilities, *, on_choice=None, **settings):
  """Rollout of a model that always says the same."""
  logits = jnp.log(jnp.asarray(probabilities))

  def apply(weights, x, *_, method, cache=None, prefix=None):
    if method == 'hidden':
      return jnp.zeros((*x.shape, 1)), cache
    if on_choice is not None:
      jax.debug.callback(on_choice)
    return jnp.broadcast_to(logits, (*x.shape[:-1], len(logits)))

  sample = rollout.make_sampler(apply, lambda rows, slots: jnp.int32(0), pad_id=PAD, **settings).sample
  out = jax.device_get(jit(sample)({}, prompts_of([[1]]), jax.random.key(0)))
  jax.effects_barrier()
  return out


def test_rows_and_steps_draw_independently_and_as_often_as_the_model_says():
  p, n = np.array([0.5, 0.3, 0.2]), 4000
  out = constant_model(p, samples=n, max_tokens=3, eos_ids=(7,))
  for a, b in ((0, 1), (1, 2), (0, 2)):
    seen = collections.Counter(zip(out.tokens_BxT[:, a].tolist(), out.tokens_BxT[:, b].tolist()))
    found = np.array([[seen[i, j] / n for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(found, np.outer(p, p), atol=4 * 0.5 / n**0.5)  # four standard errors at most
  neighbours = np.mean(out.tokens_BxT[1:, 0] == out.tokens_BxT[:-1, 0])
  np.testing.assert_allclose(neighbours, np.sum(p**2), atol=4 * 0.5 / n**0.5)


# --- the distribution that is sampled from

P4 = [0.15, 0.5, 0.05, 0.3]
HALF = np.sqrt(P4) / np.sum(np.sqrt(P4))  # at temperature 2: 0.208, 0.379, 0.120, 0.294


@pytest.mark.parametrize('settings, want', [
    (dict(), P4),
    (dict(temperature=2.0), HALF),
    (dict(temperature=0.5), np.square(P4) / np.sum(np.square(P4))),
    (dict(top_k=1), [0, 1, 0, 0]),
    (dict(top_k=2), [0, 0.625, 0, 0.375]),
    (dict(top_k=4), P4),
    (dict(top_p=0.45), [0, 1, 0, 0]),
    (dict(top_p=0.55), [0, 0.625, 0, 0.375]),  # 0.5 does not reach it, 0.8 does
    (dict(top_p=0.78), [0, 0.625, 0, 0.375]),
    (dict(top_p=0.85), [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    (dict(top_p=0.99), P4),
    (dict(top_p=1e-9), [0, 1, 0, 0]),
    (dict(top_p=0.0), [0, 1, 0, 0]),  # the largest always stays
    (dict(temperature=2.0, top_p=0.45), np.array([0, HALF[1], 0, HALF[3]]) / (HALF[1] + HALF[3])),  # temperature first
    (dict(top_k=3, top_p=0.82), [0, 0.625, 0, 0.375]),  # of what top-k left, 0.8 / 0.95 reach it
])
def test_distributions_by_hand(settings, want):
  logits = jnp.log(jnp.asarray([P4]))
  got = jax.nn.softmax(rollout.adjusted_logits(logits, **{'temperature': 1.0, **settings}))
  np.testing.assert_allclose(got, [want], atol=1e-6)

  n = 2000
  token, logp = rollout.choose(jnp.tile(logits, (n, 1)), jax.random.split(jax.random.key(1), n),
                               **{**dict(temperature=1.0, top_k=0, top_p=1.0), **settings})
  np.testing.assert_allclose(logp, np.log(np.maximum(want, 1e-30))[token], atol=1e-5)  # of what was sampled from
  np.testing.assert_allclose(np.bincount(token, minlength=4) / n, want, atol=4 * 0.5 / n**0.5)


def test_greedy_choice():
  token, logp = rollout.choose(jnp.asarray([[1.0, 3.0], [2.0, 0.0]]), None, temperature=0, top_k=0, top_p=1.0)
  np.testing.assert_array_equal(token, [1, 0])
  np.testing.assert_array_equal(logp, [0, 0])


def test_sampling_in_waves_changes_nothing(at_one, peaked):
  """Half the prompts at a time, told where their rows stand: the same tokens."""
  sample, asked, whole = at_one
  half = len(PROMPTS) // 2
  parts = [jax.device_get(sample(peaked[1], Prompts(*(a[i:i + half] for a in asked)), jax.random.key(3), i * G))
           for i in range(0, 2 * half, half)]
  n = 2 * half * G
  np.testing.assert_array_equal(np.concatenate([p.tokens_BxT for p in parts]), whole.tokens_BxT[:n])
  np.testing.assert_allclose(np.concatenate([p.logps_BxT for p in parts]), whole.logps_BxT[:n], atol=1e-5)
