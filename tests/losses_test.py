"""r1jax.engine.losses: chunks change nothing but the memory, masks come from lengths, k3 is a distance."""

import math

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import losses

B, T, D, V, CHUNK = 2, 11, 3, 97, 4  # T is no multiple of CHUNK; V is like no other size


def inputs(seed=0):
  rng = np.random.default_rng(seed)
  normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  return normal(B, T, D), normal(D, V), jnp.asarray(rng.integers(0, V, (B, T)))


def plain(hidden, kernel, targets, temperature):
  """The [B, T, V] way."""
  logps = jax.nn.log_softmax(hidden @ kernel / temperature, axis=-1)
  entropy = -jnp.sum(jax.nn.softmax(hidden @ kernel / temperature, axis=-1) * logps, axis=-1)
  return jnp.take_along_axis(logps, targets[..., None], axis=-1)[..., 0], entropy


def chunked(hidden, kernel, targets, temperature, chunk=CHUNK):
  return losses.token_logps(lambda h: h @ kernel, hidden, targets, temperature=temperature, chunk=chunk)


def weighed(f, *args):
  """One number in which every log-prob has a weight of its own. The entropy is for looking at: it has no gradient."""
  weights = np.random.default_rng(7).normal(size=(B, T))

  def number(hidden, kernel, targets):
    logps, entropy = f(hidden, kernel, targets, *args)
    return jnp.sum(logps * weights) + jnp.sum(jax.lax.stop_gradient(entropy))

  return number


@pytest.mark.parametrize('chunk, temperature', [(1, 1.0), (4, 0.7), (10, 1.0), (11, 1.0), (128, 0.7)])
def test_chunks_change_nothing(chunk, temperature):
  hidden, kernel, targets = inputs()
  want = plain(hidden, kernel, targets, temperature)
  got = jax.jit(chunked, static_argnums=(3, 4))(hidden, kernel, targets, temperature, chunk)
  np.testing.assert_allclose(got, want, atol=1e-5)
  assert got[0].shape == (B, T) and got[0].dtype == jnp.float32


def test_chunks_change_no_gradient():
  args, temperature = inputs(), 0.7
  want = jax.jit(jax.grad(weighed(plain, temperature), argnums=(0, 1)))(*args)
  got = jax.jit(jax.grad(weighed(chunked, temperature), argnums=(0, 1)))(*args)
  for a, b in zip(got, want):
    np.testing.assert_allclose(a, b, atol=2e-5)


def test_the_entropy_has_no_gradient():
  gradient = jax.grad(lambda hidden, kernel, targets: chunked(hidden, kernel, targets, 0.7)[1].sum(), argnums=(0, 1))
  assert all((g == 0).all() for g in jax.jit(gradient)(*inputs()))


def test_log_probs_of_large_logits_and_of_float64():
  """Logits of 200 overflow no exponential; what is computed in float64 stays so."""
  hidden, kernel, targets = inputs()
  for wanted, x64 in (('float32', False), ('float64', True)):
    with jax.enable_x64(x64):
      args = [jnp.asarray(x, wanted) * 10 for x in (hidden, kernel)]
      want = jax.value_and_grad(weighed(plain, 1.0))(*args, targets)
      got = jax.value_and_grad(weighed(chunked, 1.0))(*args, targets)
      assert jnp.abs(args[0] @ args[1]).max() > 200
      assert all(x.dtype == wanted for x in got)
      for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-4 if wanted == 'float32' else 1e-12)


def test_log_probs_and_entropy_by_hand():
  # Logits ln 1, ln 3: probabilities 1/4 and 3/4. At temperature 1/2 they are squared: 1/10 and 9/10.
  hidden, targets = jnp.log(jnp.asarray([[[1.0, 3.0]]])), jnp.asarray([[1]])
  for temperature, p in ((1.0, 0.75), (0.5, 0.9)):
    logps, entropy = losses.token_logps(lambda h: h, hidden, targets, temperature=temperature)
    np.testing.assert_allclose(logps, [[math.log(p)]], rtol=1e-6)
    np.testing.assert_allclose(entropy, [[-p * math.log(p) - (1 - p) * math.log(1 - p)]], rtol=1e-6)


@pytest.mark.parametrize('temperature', [0.0, -1.0])
def test_a_greedy_temperature_is_refused(temperature):
  with pytest.raises(ValueError, match='temperature=.* must be > 0'):
    chunked(*inputs(), temperature)


def shapes(jaxpr):
  """Shapes of everything a jaxpr computes, inside its loops and checkpoints too."""
  for eqn in jaxpr.eqns:
    yield from (v.aval.shape for v in eqn.outvars if hasattr(v.aval, 'shape'))
    for value in jax.tree.leaves(list(eqn.params.values())):
      inner = getattr(value, 'jaxpr', value)  # a ClosedJaxpr holds one
      if hasattr(inner, 'eqns'):
        yield from shapes(inner)


def largest_over_vocabulary(f):
  return max(math.prod(s) for s in shapes(jax.make_jaxpr(f)(*inputs()).jaxpr) if V in s)


@pytest.mark.parametrize('wrap', [lambda f: f, lambda f: jax.grad(f, argnums=(0, 1))], ids=['forward', 'gradient'])
def test_no_array_of_tokens_by_vocabulary(wrap):
  assert largest_over_vocabulary(wrap(weighed(plain, 1.0))) >= B * T * V  # so the search does find one
  assert largest_over_vocabulary(wrap(weighed(chunked, 1.0))) == B * CHUNK * V


@pytest.mark.parametrize('elements, positions', [(B * V * 5, 5), (B * V * 5 - 1, 4), (1, 1)])
def test_chunks_are_as_large_as_the_logits_may_be(elements, positions):
  assert losses.chunk_positions(elements, B, V) == positions


def test_the_mask_comes_from_lengths():
  np.testing.assert_array_equal(losses.length_mask(jnp.asarray([0, 1, 3]), 3), [[0, 0, 0], [1, 0, 0], [1, 1, 1]])


def test_cross_entropy_by_hand():
  logps = jnp.asarray([[-1.0, -2.0, jnp.nan], [-4.0, jnp.nan, -jnp.inf]])
  numerator, denominator, metrics = losses.cross_entropy(logps, jnp.asarray([[1.0, 1, 0], [1, 0, 0]]))
  assert (numerator, denominator) == (7, 3) and metrics == {'loss': (7, 3)}


def test_the_log_loss_is_of_each():
  """-log sigmoid(x) where the label is 1, -log sigmoid(-x) where it is 0, between them their mean; none overflows."""
  x = jnp.asarray([[0.0, 2.0], [-1.0, 300.0]])
  got = losses.log_loss(x, jnp.asarray([[1.0, 0.0], [0.5, 1.0]]))
  want = [[math.log(2), math.log(1 + math.exp(2))], [(math.log(1 + math.e) + math.log(1 + 1 / math.e)) / 2, 0]]
  np.testing.assert_allclose(got, want, rtol=1e-6)
  np.testing.assert_allclose(losses.log_loss(x, 0.0)[1, 1], 300, rtol=1e-6)


def test_masked_sum_has_no_gradient_outside():
  mask = jnp.asarray([[1.0, 0.0]])
  value, gradient = jax.value_and_grad(lambda x: losses.masked_sum(x, mask))(jnp.asarray([[3.0, jnp.nan]]))
  assert value == 3 and (gradient == mask).all()


@settings(max_examples=200, deadline=None)
@given(st.floats(-60, 0, width=32), st.floats(-60, 0, width=32))
def test_k3_is_never_negative(logp, ref):
  k3 = float(losses.kl_k3(jnp.float32(logp), jnp.float32(ref)))
  assert k3 >= -1e-6 * abs(logp - ref)  # float32 rounding
  assert k3 == 0 if logp == ref else True


@pytest.mark.parametrize('logp, ref, k3', [(-1, -1, 0), (0, math.log(2), 1 - math.log(2)), (-2, -3, math.exp(-1)),
                                           (0, 1e-3, 5.0017e-7)])  # exp(d) - d - 1 is off by a fifth here
def test_k3_by_hand(logp, ref, k3):
  np.testing.assert_allclose(losses.kl_k3(jnp.float32(logp), jnp.float32(ref)), k3, rtol=1e-3)


def test_k3_is_unbiased_and_k1_agrees():
  p, q = jnp.asarray([0.5, 0.3, 0.2]), jnp.asarray([0.2, 0.2, 0.6])
  kl = float(jnp.sum(p * jnp.log(p / q)))
  for estimator in (losses.kl_k1, losses.kl_k3):
    np.testing.assert_allclose(jnp.sum(p * estimator(jnp.log(p), jnp.log(q))), kl, rtol=1e-5)
