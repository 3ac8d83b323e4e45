"""r1jax.engine.continuous: what joins a running batch says what it would say alone, and what a rollout says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax.engine import choose
from r1jax.engine import continuous
from r1jax.engine import mesh as mesh_lib
import rollout_test

PROMPTS = [np.asarray(ids, np.int32) for ids in rollout_test.PROMPTS]
KINDS = [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)]  # temperature, top_p
LIMIT = 44


class Sampler(continuous.Sampler):
  """Compiles a program when it is first run."""

  def run(self, what, *args):
    if what not in self._compiled:
      self._compiled[what] = self.program(*what).compile()
    return super().run(what, *args)


@functools.cache
def sampler(slots=4, sizes=None):
  model, params = rollout_test.family('nano')
  made = Sampler(model, mesh_lib.create({}, jax.devices()[:1]), slots=slots, length=64, eos_ids=rollout_test.EOS,
                 pad_id=0, steps=4)
  if sizes:
    made.widths, made.buckets = (16,), sizes
  return made, params


@functools.cache
def wanted(temperature, top_p, seed=3):
  """What a rollout says: sample number -> tokens."""
  model, params = rollout_test.family('nano')
  one = rollout_test.sampler(model, temperature=temperature, top_p=top_p, samples=2)
  said, _ = rollout_test.roll(one, params, rollout_test.requests_of(samples=2), key=seed)
  return {number: completion.tokens.tolist() for number, completion in said.items()}


def asks(kind: int, first_name: int, seed=3, **more):
  """Two samples of each prompt, sampled in a way of KINDS."""
  return [[continuous.Ask(first_name + 2 * n + g, ids, seed, 2 * n + g, LIMIT, *KINDS[kind], **more) for g in range(2)]
          for n, ids in enumerate(PROMPTS)]


def drain(running, said, joining=()):
  """Runs until all has ended; joining: groups that are added one by one, a chunk apart."""
  joining = list(joining)
  while running.busy or joining:
    if joining:
      running.add(joining.pop(0))
    for one in running.step():
      assert one.name not in said or not said[one.name][1], 'it had ended'
      tokens, _ = said.setdefault(one.name, ([], False))
      said[one.name] = tokens + one.tokens.tolist(), one.done
  return {name: tokens for name, (tokens, done) in said.items() if done}


@pytest.mark.parametrize('kind', range(len(KINDS)))
def test_it_says_what_a_rollout_says(kind):
  running = continuous.Running(*sampler())
  for group in asks(kind, 0):
    running.add(group)
  assert drain(running, {}) == wanted(*KINDS[kind])
  assert running.live == sum(map(len, wanted(*KINDS[kind]).values())) and not running.rows and not running.waiting


@pytest.mark.parametrize('slots, sizes', [(1, (64,)), (3, (32, 64)), (8, (32, 48, 64))])
def test_rows_of_all_kinds_side_by_side_that_join_one_after_the_other(slots, sizes):
  running = continuous.Running(*sampler(slots, sizes))
  groups = [group for kind in range(len(KINDS)) for group in asks(kind, 10 * kind)]
  groups = [groups[i] for i in np.random.default_rng(0).permutation(len(groups))]
  found = drain(running, {}, groups)
  for kind in range(len(KINDS)):
    assert {name - 10 * kind: said for name, said in found.items() if name // 10 == kind} == wanted(*KINDS[kind])
  assert running.prefilled == len(KINDS) * sum(map(len, PROMPTS))  # once for both samples of each


def test_another_seed_says_something_else():
  running = continuous.Running(*sampler())
  for group in asks(0, 0, seed=2**40 + 3):
    running.add(group)
  found = drain(running, {})
  assert found.keys() == wanted(*KINDS[0]).keys() and found != wanted(*KINDS[0])
  assert found == drain_alone(2**40 + 3)


def drain_alone(seed):
  """Each completion in a batch of its own."""
  out = {}
  for group in asks(0, 0, seed=seed):
    for ask in group:
      running = continuous.Running(*sampler())
      running.add([ask])
      out |= drain(running, {})
  return out


@pytest.mark.parametrize('platform', ['cpu', 'gpu'])
def test_cancelled_rows_are_free_at_once_and_change_nobody(monkeypatch, platform):
  """Also where a chunk is under way while the host reads the one before."""
  monkeypatch.setattr(mesh_lib, 'platform', lambda mesh: platform)
  running, said = continuous.Running(*sampler(4, (64,))), {}
  for group in asks(0, 0):
    running.add(group)
  hasty = [ask._replace(name=100 + ask.name) for group in asks(1, 0) for ask in group]
  running.add(hasty[:2])
  running.add(hasty[2:4])
  assert running.waiting == 10
  for _ in range(3):
    for one in running.step():
      said[one.name] = said.get(one.name, ([], False))[0] + one.tokens.tolist(), one.done
  rows = [row.name for row in running._rows if row]
  running.cancel({100, 101, 102, rows[0]})
  assert len([row for row in running._rows if row]) == len(rows) - 1
  found = drain(running, said)
  assert 103 in found and not {100, 101, 102} & found.keys()
  left = {name: tokens for name, tokens in wanted(*KINDS[0]).items() if name != rows[0]}
  assert {name: found[name] for name in left} == left
  running.cancel({1, 2, 3})  # long gone
  assert not running.busy


def test_limits_are_each_completions_own():
  running = continuous.Running(*sampler())
  group = [ask._replace(limit=limit) for ask, limit in zip(asks(2, 0)[0], (1, 7))]
  running.add(group)
  assert [len(said) for _, said in sorted(drain(running, {}).items())] == [1, min(7, len(wanted(*KINDS[2])[1]))]
  with pytest.raises(ValueError, match='65 tokens of a prompt and its completion, the sampler has 64'):
    running.add([group[0]._replace(limit=60)])


def test_log_probs_are_the_models_own_whatever_it_is_sampled_by():
  running = continuous.Running(*sampler())
  running.add([ask._replace(heard=True) for ask in asks(1, 0)[0]])
  running.add(asks(1, 10)[1])  # whom nobody hears
  heard = {0: [], 1: []}
  while running.busy:
    for one in running.step():
      if one.name >= 10:
        assert one.logps is None and one.top_ids is None
      else:
        heard[one.name].append(one)
  model, params = rollout_test.family('nano')
  for parts in heard.values():
    tokens = np.concatenate([part.tokens for part in parts])
    ids = np.concatenate([PROMPTS[0], tokens])
    logits = model.apply({'params': params}, jnp.asarray(ids)[None])[0, len(PROMPTS[0]) - 1:-1]
    logps = np.asarray(jax.nn.log_softmax(logits))
    np.testing.assert_allclose(np.concatenate([part.logps for part in parts]),
                               np.take_along_axis(logps, tokens[:, None], 1)[:, 0], atol=1e-5)
    top = np.concatenate([part.top_logps for part in parts])
    np.testing.assert_allclose(top, -np.sort(-logps, axis=1)[:, :continuous.TOP], atol=1e-5)
    best = np.concatenate([part.top_ids for part in parts])
    np.testing.assert_allclose(np.take_along_axis(logps, best, 1), top, atol=1e-5)


def test_all_that_it_runs_is_compiled_ahead():
  """Sizes as it chooses them: every width and every size of the cache is met, and nothing is compiled on the way."""
  model, params = rollout_test.family('nano')
  one = continuous.Sampler(model, mesh_lib.create({}, jax.devices()[:1]), slots=2, length=300, eos_ids=(511,), pad_id=0,
                           steps=8)
  assert one.widths == (64, 80, 300) and one.buckets == (80, 160, 320)
  met, run = set(), one.run

  def watched(what, *args):
    met.add(what)
    return run(what, *args)

  one.compile()
  one.run = watched
  compiled = set(one._compiled)
  running = continuous.Running(one, params)
  for name, n in enumerate((3, 290, 70, 64, 200)):
    running.add([continuous.Ask(name, np.full(n, 7, np.int32), 0, 0, 10)])
    drain(running, {})
  assert set(one._compiled) == compiled and met <= compiled
  assert {what[1] for what in met if what[0] == 'prefill'} == set(one.widths)
  assert {what[1] for what in met if what[0] == 'decode'} == set(one.buckets)


# --- the choice

def test_each_row_is_chosen_as_if_it_were_alone():
  rng = np.random.default_rng(1)
  logits = jnp.asarray(rng.normal(size=(6, 700)) * 3, jnp.float32)
  keys = jax.vmap(jax.random.key)(jnp.arange(6, dtype=jnp.uint32))
  rows = [(1.0, 1.0), (0.6, 0.95), (0.0, 1.0), (2.0, 0.5), (0.6, 1.0), (1.0, 0.0)]
  each = choose.Wanted(*map(jnp.asarray, np.asarray(rows, np.float32).T), jnp.ones(6, bool))
  token, logp, ids, logps = choose.choose_each(logits, keys, each, top=5)
  for b, (temperature, top_p) in enumerate(rows):
    one, _ = choose.choose(logits[b:b + 1], keys[b:b + 1], temperature=temperature, top_p=top_p)
    assert int(one[0]) == int(token[b]), rows[b]
  assert int(token[5]) == int(jnp.argmax(logits[5])) == int(ids[5, 0])  # top_p 0 leaves the likeliest
  whole = jax.nn.log_softmax(logits)
  np.testing.assert_allclose(logp, np.take_along_axis(np.asarray(whole), np.asarray(token)[:, None], 1)[:, 0], rtol=1e-6)
  np.testing.assert_array_equal(logps, jax.lax.top_k(whole, 5)[0])
  deaf = choose.choose_each(logits, keys, each._replace(heard_B=jnp.zeros(6, bool)), top=5)
  np.testing.assert_array_equal(deaf[0], token)
  assert not np.any(deaf[1]) and not np.any(deaf[3])
