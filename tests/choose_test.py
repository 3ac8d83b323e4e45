"""r1jax.engine.choose: tokens come as often as the distribution says,
one of probability 0 never, and their log-probs are its."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import choose as choose_lib

# Most of these tests' time is XLA's: what it computes is tested here, not how fast.
jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache
def program(bits='drawn', **settings_):
  del bits  # traced apart
  return jit(functools.partial(choose_lib.choose, **{'temperature': 1.0, **settings_}))


def choose(logits, keys, **settings_):
  return program(**settings_)(logits, keys)


@pytest.fixture
def by_words(monkeypatch):
  """choose() with the keys as its random bits, two words a row: what it draws is said by the test."""
  monkeypatch.setattr(jax.random, 'bits', lambda key, shape, dtype: key)
  return program('said')


def words(u0, u1):
  """Random bits of which two numbers in [0, 1) are made."""
  at = lambda u: (np.minimum(np.asarray(u, np.float64) * 2**32, 2**32 - 1)).astype(np.uint32)
  return jnp.asarray(np.stack(np.broadcast_arrays(at(u0), at(u1)), axis=-1))


LARGEST = (2**24 - 1) / 2**24  # of the floats below 1 that a draw can be
EVEN = (np.arange(1024) + 0.5) / 1024


# --- the distribution that is sampled from

P4 = [0.15, 0.5, 0.05, 0.3]
HALF = np.sqrt(P4) / np.sum(np.sqrt(P4))  # at temperature 2: 0.208, 0.379, 0.120, 0.294


@pytest.mark.parametrize('settings_, want', [
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
def test_distributions_by_hand(settings_, want):
  logits = jnp.log(jnp.asarray([P4]))
  got = jax.nn.softmax(choose_lib.adjusted_logits(logits, **{'temperature': 1.0, **settings_}))
  np.testing.assert_allclose(got, [want], atol=1e-6)

  n = 2000
  token, logp = choose(jnp.tile(logits, (n, 1)), jax.random.split(jax.random.key(1), n), **settings_)
  np.testing.assert_allclose(logp, np.log(np.maximum(want, 1e-30))[token], atol=1e-5)  # of what was sampled from
  np.testing.assert_allclose(np.bincount(token, minlength=4) / n, want, atol=4 * 0.5 / n**0.5)


def test_greedy_choice():
  token, logp = choose_lib.choose(jnp.asarray([[1.0, 3.0], [2.0, 0.0]]), None, temperature=0, top_k=0, top_p=1.0)
  np.testing.assert_array_equal(token, [1, 0])
  np.testing.assert_array_equal(logp, [0, 0])


def some_logits(kind, V, rng):
  if kind == 'flat':
    return np.zeros(V)
  if kind == 'peaked':
    return 3 * rng.normal(size=V)
  out = np.where(rng.random(V) < 0.1, rng.normal(size=V), -np.inf)  # 'sparse': nine in ten are impossible
  out[V // 2] = 0.0
  return out


SIZES = [1, 255, 256, 257, 1000]  # below, at and beyond the 256 of a block, and no multiple of it


@pytest.mark.parametrize('kind', ['flat', 'peaked', 'sparse'])
@pytest.mark.parametrize('V', SIZES)
def test_draws_spread_evenly_meet_each_token_as_often_as_its_probability_says(by_words, V, kind):
  """Both levels of the inverse, without luck: with draws on a grid each share is right to a few of the grid's steps."""
  logits = some_logits(kind, V, np.random.default_rng(V)).astype(np.float32)
  probs = np.exp(np.float64(logits) - logits.max())
  probs /= probs.sum()
  blocks = np.pad(probs, (0, -V % 256)).reshape(-1, 256)
  rows = jnp.broadcast_to(logits, (len(EVEN), V))

  token, _ = by_words(rows, words(EVEN, 0.5))
  found = np.bincount(np.asarray(token) // 256, minlength=len(blocks)) / len(EVEN)
  np.testing.assert_allclose(found, blocks.sum(axis=1), atol=1.5 / len(EVEN))
  for block in range(len(blocks)):
    if blocks[block].sum() < 1e-6:
      continue
    before = blocks[:block].sum()
    token, logp = by_words(rows, words(before + 0.5 * blocks[block].sum(), EVEN))
    assert (np.asarray(token) // 256 == block).all()
    found = np.bincount(np.asarray(token) - 256 * block, minlength=256) / len(EVEN)
    np.testing.assert_allclose(found, blocks[block] / blocks[block].sum(), atol=1.5 / len(EVEN))
    np.testing.assert_allclose(logp, np.log(probs[token]), atol=1e-5)


@pytest.mark.parametrize('settings_', [dict(), dict(temperature=0.7, top_p=0.9), dict(top_k=20)])
def test_tokens_come_as_often_as_the_distribution_says(settings_):
  """With jax's own bits: chi-square over 300 tokens, and log-probs to the digit."""
  V, n = 300, 8000
  logits = jnp.asarray(2 * np.random.default_rng(0).normal(size=V), jnp.float32)
  p = np.float64(jax.nn.softmax(choose_lib.adjusted_logits(logits[None], **{'temperature': 1.0, **settings_}))[0])
  token, logp = choose(jnp.broadcast_to(logits, (n, V)), jax.random.split(jax.random.key(7), n), **settings_)
  count, often = np.bincount(token, minlength=V), n * p >= 5
  assert count[p == 0].sum() == 0 and often.sum() > 5
  chi, degrees = np.sum(np.square(count - n * p)[often] / (n * p)[often]), often.sum() - 1
  assert abs(chi - degrees) < 5 * (2 * degrees)**0.5
  np.testing.assert_allclose(logp, np.log(np.maximum(p, 1e-30))[token], atol=1e-5)


# --- never what has no probability

# 594 blocks are those of a vocabulary of 152,064 (Qwen2.5), whose sums XLA adds up in a tree.
@pytest.mark.parametrize('N', [1, 3, 256, 594, 1000])
def test_nothing_of_weight_0_is_ever_chosen(N):
  """Draws at the very borders, where running sums that should be equal differ by rounding."""
  rng, inverse = np.random.default_rng(N), jit(choose_lib._inverse)
  for _ in range(3):
    weights = np.where(rng.random(N) < 0.15, rng.exponential(size=N), 0).astype(np.float32)
    weights[rng.integers(N)] = 1.0
    border = np.cumsum(np.float64(weights)) / np.sum(np.float64(weights))
    near = np.round(np.unique(border)[:, None] * 2**24) + np.arange(-3, 4)
    u = np.clip(np.concatenate([near.ravel(), [0, 2**24 - 1]]), 0, 2**24 - 1) / 2**24
    u = np.pad(u, (0, -len(u) % 512))
    found = np.asarray(inverse(jnp.broadcast_to(weights, (len(u), N)), jnp.asarray(u, jnp.float32)))
    assert (weights[found] > 0).all()
    # ... and what is chosen is what the draw says, give or take that rounding.
    assert (border[found] >= u - 1e-6).all()
    assert (border[found] - weights[found] / weights.sum(dtype=float) <= u + 1e-6).all()


@pytest.mark.parametrize('V', SIZES)
def test_the_smallest_and_the_largest_draw_choose_the_first_and_the_last_that_is_possible(by_words, V):
  rng = np.random.default_rng(V)
  possible = np.sort(rng.choice(V, max(1, V // 3), replace=False))
  logits = np.full(V, -np.inf, np.float32)
  logits[possible] = rng.normal(size=len(possible))
  token, logp = by_words(jnp.broadcast_to(logits, (2, V)), words([0, LARGEST], [0, LARGEST]))
  assert token.tolist() == [possible[0], possible[-1]] and np.isfinite(logp).all()


def test_almost_all_mass_in_one_block_leaves_the_others_what_they_have(by_words):
  """A block of 1e-5 is met as often as that; within it a token of 1e-8 of all, which one draw of 24 bits could not tell
  from its neighbour of twice as much."""
  logits = np.full(1024, -np.inf, np.float32)
  logits[300], logits[700:703] = 0.0, np.log([1e-8, 2e-8, 1e-5 - 3e-8])
  rows = jnp.broadcast_to(logits, (1024, 1024))
  u = 1 - 1e-5 + (EVEN - 0.5) * 2e-5
  token, _ = by_words(rows, words(np.minimum(u, LARGEST), 0.0))
  assert set(token.tolist()) == {300, 700}
  np.testing.assert_allclose(u[np.argmax(np.asarray(token) == 700)], 1 - 1e-5, atol=2e-7)
  token, logp = by_words(rows, words(1 - 5e-6, EVEN * 6e-3))
  found = np.bincount(token, minlength=703)[700:] / 1024
  np.testing.assert_allclose(found, [1 / 6, 2 / 6, 3 / 6], atol=2e-3)
  np.testing.assert_allclose(logp, logits[token], atol=2e-5)


# --- top-p without a sort

def kept_by_sorting(logits, p):
  """Sets of tokens: those that surely stay, those that may by rounding. A token stays where those larger than it hold
  less than p; equals stay or go together, the largest always stay."""
  logits = np.float64(logits)
  order = np.sort(logits)[::-1]
  before = np.concatenate([[0], np.cumsum(np.exp(order - order[0]))]) / np.sum(np.exp(order - order[0]))

  def larger(by):  # what those hold that are larger by that
    return before[np.searchsorted(-order, -logits - by, side='left')]

  return larger(0) < p - 1e-6, (larger(1e-6) < p + 1e-6) | (logits >= order[0] - 1e-6)


def equal_neighbours(logits):
  order = np.argsort(logits, kind='stable')
  same = logits[order[1:]] == logits[order[:-1]]
  return order[1:][same], order[:-1][same]


@functools.cache
def top_p(p):
  return jit(functools.partial(choose_lib.adjusted_logits, temperature=1.0, top_p=p))


def keeps_what_sorting_keeps(logits_BxV, p):
  kept_BxV = np.isfinite(np.asarray(top_p(p)(logits_BxV)))
  for logits, kept in zip(logits_BxV, kept_BxV):
    surely, maybe = kept_by_sorting(logits, p)
    assert (kept >= surely).all() and (kept <= maybe).all() and kept[np.argmax(logits)]
    assert all(kept[i] == kept[j] for i, j in zip(*equal_neighbours(logits)))


P_VALUES = [0.0, 1e-9, 0.3, 0.5, 0.95, 1 - 1e-3, 1 - 1e-7]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20, width=32)), min_size=8, max_size=8),
       st.sampled_from(P_VALUES))
def test_top_p_without_a_sort_keeps_what_sorting_keeps(logits, p):
  keeps_what_sorting_keeps(np.asarray([logits], np.float32), p)


@pytest.mark.parametrize('p', P_VALUES)
def test_top_p_of_a_vocabulary(p):
  rng = np.random.default_rng(1)
  keeps_what_sorting_keeps(np.stack([3 * rng.normal(size=1000), np.round(rng.normal(size=1000)), np.zeros(1000),
                                     np.where(np.arange(1000) == 5, 0, -np.inf)]).astype(np.float32), p)
