"""Attention's three ways against a plain reference: numbers, gradients, who sees whom, on one device and on a mesh.

The Pallas kernels run in Pallas' interpreter; cuDNN's call runs by jax's own XLA implementation of the same function.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import decoding
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
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
  ends = np.array([128, 90, 5, 1])[:, None]
  if kind == 'right-padded':
    return np.where(at < ends, at, NOWHERE), None, None
  lengths = np.array([7, 30])  # 'prefix': two prompts of width 40, two completions each
  return np.where(at < ends, np.repeat(lengths, 2)[:, None] + at, NOWHERE), None, lengths


def softmax_attention(q, k, v, mask_BxTxS, scale):
  """For gradients: what jax makes of the formula."""
  k, v = (jnp.repeat(x, H // K, axis=1) for x in (k, v))
  scores = jnp.where(mask_BxTxS[:, None], jnp.einsum('bhtd,bhsd->bhts', q, k) * scale, -1e30)
  return jnp.einsum('bhts,bhse->bhte', jax.nn.softmax(scores), v)


def behind_prompts(k, v, *prefix):
  """Keys and values of rows two of which follow each prompt."""
  return [jnp.concatenate([jnp.repeat(p, 2, axis=0), x], axis=2) for p, x in zip(prefix, (k, v))] or [k, v]


@pytest.mark.parametrize('values', [d, 8])
@pytest.mark.parametrize('kind', ['whole', 'packed', 'right-padded', 'prefix'])
@pytest.mark.parametrize('path', ['xla', 'splash_interpret', 'cudnn'])
def test_every_path_gives_the_reference(monkeypatch, path, kind, values):
  if path == 'cudnn':
    monkeypatch.setattr(attention, '_cudnn', functools.partial(attention._cudnn, implementation='xla'))
  positions, segments, prompt = rows(kind)
  args = draw(0, (B, H, T, d), (B, K, T, d), (B, K, T, values))
  mask, behind = positions[:, None, :] <= positions[:, :, None], ()
  if segments is not None:
    mask &= segments[:, None, :] == segments[:, :, None]
  if prompt is not None:
    args += draw(1, (2, K, 40, d), (2, K, 40, values))
    shared = np.broadcast_to(np.repeat(np.arange(40) < prompt[:, None], 2, axis=0)[:, None], (B, T, 40))
    mask = np.concatenate([shared, mask], axis=2)
    behind = (jnp.asarray(prompt, jnp.int32), jnp.asarray([0, 0, 1, 1]), 40)
  seen = attention.where(path, jnp.asarray(positions, jnp.int32),
                         None if segments is None else jnp.asarray(segments, jnp.int32), *behind)
  real = (positions != NOWHERE)[:, None, :, None]  # what padding attends to is nobody's business

  def ours(q, k, v, *prefix):
    return attention.attend(q, k, v, seen, prefix or None, scale=0.3, path=path)

  def wanted(q, k, v, *prefix):
    return softmax_attention(q, *behind_prompts(k, v, *prefix), mask, 0.3)

  def loss(attend):
    def f(*args):
      out = attend(*args)
      return jnp.sum(jnp.where(real, jnp.sin(out), 0.0)), out
    return jax.grad(f, tuple(range(len(args))), has_aux=True)

  grads, out = loss(ours)(*args)
  by_autodiff, same = loss(wanted)(*args)
  by_loops = plain(args[0], *behind_prompts(*args[1:]), mask, 0.3)
  for found in (out, same):
    np.testing.assert_allclose(np.where(real, found, 0), np.where(real, by_loops, 0), atol=2e-5)
  for a, b in zip(grads, by_autodiff):  # a prompt's keys, too: its group learns through them
    np.testing.assert_allclose(a, b, atol=5e-5)


@pytest.mark.parametrize('length', [0, 1, 127, 128, 129, 256])
@pytest.mark.parametrize('latent', [False, True])
def test_the_decode_kernel_reads_the_filled_part_only(length, latent):
  S, L, R = 256, 3, 5
  q, k, v = draw(length, (B, K, R, d), (L, B, K, S, d), (L, B, K, S, 24))
  cached, values = ((k,), k[..., :8]) if latent else ((k, v), v)
  poisoned = tuple(x.at[:, :, :, length:].set(jnp.nan).at[0].set(jnp.nan) for x in cached)
  # The kernel masks scores, so NaN keys past the end must not reach the sum by way of the values either.
  poisoned = tuple(jnp.where(jnp.isnan(x), 1e9, x) for x in poisoned)
  out, lse = decode_kernel.attend(q, attention.as_stored(poisoned), jnp.int32(1), jnp.full(B, length),
                                  value_dim=8 if latent else None, interpret=True)
  if not length:  # a row that has ended, or is free
    assert (out == 0).all() and (lse < -1e29).all()
    return
  scores = np.einsum('bkrd,bksd->bkrs', q, k[1, :, :, :length])
  wanted = np.einsum('bkrs,bkse->bkre', jax.nn.softmax(scores), values[1, :, :, :length])
  np.testing.assert_allclose(out, wanted, atol=2e-5)
  np.testing.assert_allclose(lse, jax.nn.logsumexp(scores, axis=-1), atol=2e-5)


def test_rows_of_different_length_in_the_decode_kernel():
  q, k, v = draw(0, (B, K, 2, d), (1, B, K, 128, d), (1, B, K, 128, d))
  lengths = np.array([1, 40, 100, 128])
  out, _ = decode_kernel.attend(q, attention.as_stored((k, v)), jnp.int32(0), jnp.asarray(lengths), interpret=True)
  for b, n in enumerate(lengths):
    probs = jax.nn.softmax(jnp.einsum('krd,ksd->krs', q[b], k[0, b, :, :n]))
    np.testing.assert_allclose(out[b], jnp.einsum('krs,ksd->krd', probs, v[0, b, :, :n]), atol=2e-5)


# --- one new token a row

FILLED, LIVE = np.array([0, 5, 77, 128]), np.array([True, True, False, True])
CASES = [  # latent, stacked, mesh
    (False, False, None), (False, True, None), (True, False, None), (True, True, None),
    (False, True, {'fsdp': 2, 'tensor': 2}), (True, True, {'fsdp': 2, 'tensor': 2})]


def on(mesh, f, *args):
  if mesh is None:
    return jax.jit(f)(*args)
  with mesh_lib.use_mesh(mesh_lib.create(mesh, jax.devices()[:4]), mesh_lib.DECODE_RULES):
    return jax.jit(f)(*args)


def in_a_stack(kv, stacked):
  """(one layer's arrays; or three layers', of which it is the second, and its number)."""
  return (tuple(jnp.stack([x + 9, x, x - 9]) for x in kv), jnp.int32(1)) if stacked else (kv, None)


@pytest.mark.parametrize('path', ['xla', 'splash_interpret'])
@pytest.mark.parametrize('latent, stacked, mesh', CASES)
def test_a_new_token_sees_what_its_row_has_filled_the_chunk_so_far_and_itself(latent, stacked, mesh, path):
  """Rows of all lengths; nothing of what lies past their ends, of the chunk's later columns, of a cache whose row has
  ended."""
  S, C, n, now, e = 4, 128, 6, 3, 12
  heads, width = (1, 24) if latent else (K, d)
  q, = draw(0, (S, H, 1, width))
  shapes = lambda columns: [(S, heads, columns, width)] + ([] if latent else [(S, heads, columns, e)])
  new, recent, kept = (tuple(draw(i, *shapes(columns))) for i, columns in ((1, 1), (2, n), (3, C)))
  junk = (jnp.arange(C) >= np.where(LIVE, FILLED, 0)[:, None])[:, None, :, None]
  kept = tuple(jnp.where(junk, 1e3, x) for x in kept)
  recent = tuple(x.at[:, :, now:].set(-1e3) for x in recent)
  stored, layer = in_a_stack(attention.as_stored(kept), stacked)
  step = attention.Step(jnp.asarray(FILLED), jnp.int32(now), jnp.asarray(LIVE))
  attend = lambda *args: attention.attend_cache(*args, step, scale=0.3, path=path, value_dim=e if latent else None)
  out, after = on(mesh, attend, q, new, stored, layer, attention.as_stored(recent))

  for s in range(S):
    seen = [np.concatenate([x[s, :, :FILLED[s] if LIVE[s] else 0], r[s, :, :now], y[s]], axis=1)
            for x, r, y in zip(kept, recent, new)]
    k, v = seen if not latent else (seen[0], seen[0][..., :e])
    wanted = plain(q[s:s + 1], k[None], v[None], np.ones((1, 1, k.shape[1]), bool), 0.3)
    np.testing.assert_allclose(out[s], wanted[0], atol=2e-5)
  for found, before, own in zip(after, recent, new):
    found = np.asarray(found if latent or found.shape[2] == n else jnp.swapaxes(found, -1, -2))
    np.testing.assert_array_equal(found, before.at[:, :, now].set(own[:, :, 0]))  # and it is kept for those behind it


@pytest.mark.parametrize('latent, stacked, mesh', CASES)
def test_a_chunk_is_appended_behind_each_rows_own_columns(latent, stacked, mesh):
  S, C, n = 4, 32, 6
  heads, width = (1, 24) if latent else (K, d)
  shapes = lambda columns: [(S, heads, columns, width)] + ([] if latent else [(S, heads, columns, 12)])
  kept, recent = (tuple(draw(i, *shapes(columns))) for i, columns in ((1, C), (2, n)))
  filled = np.array([0, 5, 20, C - n])
  stored, chunk = (in_a_stack(attention.as_stored(x), stacked)[0] for x in (kept, recent))
  found = on(mesh, functools.partial(attention.append, stacked=stacked), stored, chunk, jnp.asarray(filled))
  for s in range(S):
    wanted = attention.as_stored(tuple(x[s].at[:, filled[s]:filled[s] + n].set(r[s]) for x, r in zip(kept, recent)))
    for a, b in zip(found, wanted):
      for layer, off in ((0, 9), (1, 0), (2, -9)) if stacked else ((None, 0),):
        np.testing.assert_array_equal(a[s] if layer is None else a[layer, s], b + off)


# The second takes half a minute; last run 2026-11-26, the same.
@pytest.mark.parametrize('name', ['nano', pytest.param('nano-deepseek', marks=pytest.mark.slow)])
def test_a_model_samples_and_learns_the_same_by_splash_on_a_mesh(name):
  """Prefill, decoding behind a shared prefix and teacher forcing: splash and its decode kernel against XLA."""
  built = [zoo.build(zoo.get(name, layers=2, attention=path)) for path in ('xla', 'splash_interpret')]
  params = params_lib.init(built[0], 3)
  params = jax.tree.map(lambda x: 3 * x if x.ndim > 2 else x, params)
  rng, tail = np.random.default_rng(0), 4
  prompts = decoding.right_padded([rng.integers(3, 512, n) for n in (8, 5)], 8)
  completions = jnp.asarray(rng.integers(3, 512, (4, tail)), jnp.int32)

  def run(model, params):
    behind = (prompts, [0, 0, 1, 1], completions)
    return decoding.teacher_forced(model, params, *behind), decoding.stepwise(model, params, *behind, columns=128)

  wanted = jax.jit(functools.partial(run, built[0]))(params)
  with mesh_lib.use_mesh(mesh_lib.create({'fsdp': 2, 'tensor': 2}, jax.devices()[:4])):
    found = jax.jit(functools.partial(run, built[1]))(params)
  for a, b in zip(found, wanted):
    np.testing.assert_allclose(a, b, atol=3e-4)
  np.testing.assert_allclose(wanted[0], wanted[1], atol=3e-4)
