"""Attention's three ways against a plain reference: numbers, gradients, who sees whom, on one device and on a mesh.

The Pallas kernels run in Pallas' interpreter; cuDNN's call runs by jax's own XLA implementation of the same function.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.engine import programs
from r1jax.engine import update
from r1jax.models import attention, decode_kernel, zoo
from r1jax.types import NOWHERE

B, H, K, T, d = 4, 4, 2, 128, 16


def plain(q, k, v, mask_BxTxS, scale):
  """Loops over rows and heads in float64."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  out = np.zeros((*q.shape[:3], v.shape[-1]))
  for b in range(q.shape[0]):
    for h in range(q.shape[1]):
      kv = h // (q.shape[1] // k.shape[1])
      scores = np.where(mask_BxTxS[b], q[b, h] @ k[b, kv].T * scale, -np.inf)
      scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
      out[b, h] = scores / scores.sum(axis=-1, keepdims=True) @ v[b, kv]
  return out


def draw(seed, *shapes):
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def rows(kind):
  """(positions, segments or None, prompt positions or None) of what the stages ask for."""
  at = np.broadcast_to(np.arange(T), (B, T))
  if kind == 'whole':
    return at, None, None
  if kind == 'packed':
    segments = np.where(np.arange(T) < 50, 1, np.where(np.arange(T) < 110, 2, 0)) * np.ones((B, 1), int)
    positions = np.where(segments == 1, at, np.where(segments == 2, at - 50, NOWHERE))
    return positions, segments, None
  if kind == 'left-padded':
    pad = np.array([0, 3, 60, 127])[:, None]
    return np.where(at < pad, NOWHERE, at - pad), None, None
  lengths = np.array([7, 30])  # 'prefix': two prompts of width 40, two completions each
  prompt = np.arange(40) - (40 - lengths[:, None])
  return np.repeat(lengths, 2)[:, None] + np.arange(T), None, np.where(prompt < 0, NOWHERE, prompt)


@pytest.mark.parametrize('values', [d, 8])
@pytest.mark.parametrize('kind', ['whole', 'packed', 'left-padded', 'prefix'])
@pytest.mark.parametrize('path', ['xla', 'splash_interpret', 'cudnn'])
def test_every_path_gives_the_reference(monkeypatch, path, kind, values):
  if path == 'cudnn':
    monkeypatch.setattr(attention, '_cudnn', functools.partial(attention._cudnn, implementation='xla'))
  positions, segments, prompt = rows(kind)
  q, k, v = draw(0, (B, H, T, d), (B, K, T, d), (B, K, T, values))
  mask = positions[:, None, :] <= positions[:, :, None]
  if segments is not None:
    mask &= segments[:, None, :] == segments[:, :, None]
  prefix, all_k, all_v = None, k, v
  if prompt is not None:
    prefix = draw(1, (2, K, 40, d), (2, K, 40, values))
    all_k, all_v = (np.concatenate([np.repeat(p, 2, axis=0), x], axis=2) for p, x in zip(prefix, (k, v)))
    shared = np.broadcast_to(np.repeat(prompt != NOWHERE, 2, axis=0)[:, None], (B, T, 40))
    mask = np.concatenate([shared, mask], axis=2)
  seen = attention.where(path, jnp.asarray(positions, jnp.int32), jnp.asarray(positions, jnp.int32),
                         None if segments is None else jnp.asarray(segments, jnp.int32),
                         None if prompt is None else jnp.asarray(prompt, jnp.int32))
  real = (positions != NOWHERE)[:, None, :, None]  # what padding attends to is nobody's business

  def loss(q, k, v, path, seen):
    out = attention.attend(q, k, v, seen, prefix, scale=0.3, path=path)
    return jnp.sum(jnp.where(real, jnp.sin(out), 0.0)), out

  grads, out = jax.grad(loss, (0, 1, 2), has_aux=True)(q, k, v, path, seen)
  wanted = plain(q, all_k, all_v, mask, 0.3)
  np.testing.assert_allclose(np.where(real, out, 0), np.where(real, wanted, 0), atol=2e-5)
  by_xla = attention.where('xla', *(jnp.asarray(positions, jnp.int32),) * 2,
                           None if segments is None else jnp.asarray(segments, jnp.int32),
                           None if prompt is None else jnp.asarray(prompt, jnp.int32))
  for found, same in zip(grads, jax.grad(loss, (0, 1, 2), has_aux=True)(q, k, v, 'xla', by_xla)[0]):
    np.testing.assert_allclose(found, same, atol=5e-5)


@pytest.mark.parametrize('length', [1, 127, 128, 129, 256])
@pytest.mark.parametrize('latent', [False, True])
def test_the_decode_kernel_reads_the_filled_part_only(length, latent):
  S, L, R = 256, 3, 5
  q, k, v = draw(length, (B, K, R, d), (L, B, K, S, d), (L, B, K, S, 24))
  cached, values = ((k,), k[..., :8]) if latent else ((k, v), v)
  poisoned = tuple(x.at[:, :, :, length:].set(jnp.nan).at[0].set(jnp.nan) for x in cached)
  # The kernel masks scores, so NaN keys past the end must not reach the sum by way of the values either.
  poisoned = tuple(jnp.where(jnp.isnan(x), 1e9, x) for x in poisoned)
  out, lse = decode_kernel.attend(q, poisoned, jnp.int32(1), jnp.full(B, length), value_dim=8 if latent else None,
                                  interpret=True)
  scores = np.einsum('bkrd,bksd->bkrs', q, k[1, :, :, :length])
  wanted = np.einsum('bkrs,bkse->bkre', jax.nn.softmax(scores), values[1, :, :, :length])
  np.testing.assert_allclose(out, wanted, atol=2e-5)
  np.testing.assert_allclose(lse, jax.nn.logsumexp(scores, axis=-1), atol=2e-5)


def test_rows_of_different_length_in_the_decode_kernel():
  q, k, v = draw(0, (B, K, 2, d), (1, B, K, 128, d), (1, B, K, 128, d))
  lengths = np.array([1, 40, 100, 128])
  out, _ = decode_kernel.attend(q, (k, v), jnp.int32(0), jnp.asarray(lengths), interpret=True)
  for b, n in enumerate(lengths):
    probs = jax.nn.softmax(jnp.einsum('krd,ksd->krs', q[b], k[0, b, :, :n]))
    np.testing.assert_allclose(out[b], jnp.einsum('krs,ksd->krd', probs, v[0, b, :, :n]), atol=2e-5)


@pytest.mark.parametrize('name, mesh', [('nano', None), ('nano', {'fsdp': 2, 'tensor': 2}),
                                        ('nano-deepseek', {'fsdp': 2, 'tensor': 2})])
def test_a_model_samples_and_learns_the_same_by_splash(name, mesh):
  """Prefill, decoding behind a shared prefix and teacher forcing: splash and its decode kernel against XLA."""
  built = [zoo.build(zoo.get(name, attention=path)) for path in ('xla', 'splash_interpret')]
  params = params_lib.init(built[0], 3)
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params)
  rng, tail = np.random.default_rng(0), 3
  prompts = rng.integers(3, 512, (2, 8)).astype(np.int32)
  completions = rng.integers(3, 512, (4, tail)).astype(np.int32)
  lengths = np.array([8, 5])
  positions = np.arange(8) - (8 - lengths[:, None])
  positions = np.where(positions < 0, NOWHERE, positions).astype(np.int32)

  def run(model, params):
    at = np.repeat(lengths, 2)[:, None] + np.arange(tail)
    _, prefix = model.apply({'params': params}, prompts, positions, method='hidden')
    whole, _ = model.apply({'params': params}, completions, at.astype(np.int32), prefix=prefix, method='hidden')
    cache, steps = model.empty_cache(4, tail), []
    for t in range(tail):
      hidden, cache = model.apply({'params': params}, completions[:, t:t + 1], at[:, t:t + 1].astype(np.int32),
                                  cache=cache, prefix=prefix, method='hidden')
      steps.append(hidden)
    return whole, jnp.concatenate(steps, axis=1)

  wanted = jax.jit(functools.partial(run, built[0]))(params)
  if mesh is None:
    found = jax.jit(functools.partial(run, built[1]))(params)
  else:
    with mesh_lib.use_mesh(mesh_lib.create(mesh, jax.devices()[:4])):
      found = jax.jit(functools.partial(run, built[1]))(params)
  for a, b in zip(found, wanted):
    np.testing.assert_allclose(a, b, atol=3e-4)
  np.testing.assert_allclose(wanted[0], wanted[1], atol=3e-4)
