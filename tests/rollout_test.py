"""r1jax.engine.rollout: the sampler says what the model says, row by row, whatever the slots;
and the trainer hears the same."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import metrics
from r1jax.engine import choose as choose_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import params as params_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import slots as slots_lib
from r1jax.models import zoo
from r1jax.types import NOWHERE, Completion, Prompts, Request

G, P, T, PAD = 4, 6, 44, 0
PROMPTS = [[11, 12, 13, 14, 15], [21, 22], [31, 32, 33]]
# Any of these ends a completion; PAD is one of them, and the others are spread so that rows end at many lengths.
EOS = (PAD, *range(5, 512, 25))
KEY = 3

# Most of these tests' time is XLA's: what it computes is tested here, not how fast.
jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache
def family(name, dtype='float32'):
  """(model, params), with larger weights than at the start: a distribution with likely and unlikely tokens, so that
  mistakes show. In DeepSeek's layers they stay as they are: larger ones lose 1e-5 nats to float32's rounding, whoever
  computes them."""
  two = dict(layers=2)  # of either kind one where a family has two
  model = zoo.build(zoo.get(name, dtype=dtype, **two))
  params = params_lib.init(zoo.build(zoo.get(name, **two)), 0)
  size = lambda path: 1.2 if name != 'nano-deepseek' else 1.7 if path[-1].key == 'unembedding' else 1.0
  return model, jax.tree_util.tree_map_with_path(lambda path, x: (size(path) * x).astype(dtype), params)


def requests_of(prompts=PROMPTS, samples=G):
  return [Request(n, np.asarray(ids, np.int32), tuple(range(n * samples, (n + 1) * samples)))
          for n, ids in enumerate(prompts)]


class Sampler(sampler_lib.Sampler):
  """Compiles a program when it is first run, for tests that need few of them; `compile` has a test of its own."""

  def run(self, what, *args):
    if what not in self._compiled:
      self._compiled[what] = self.program(*what).compile()
    return super().run(what, *args)


def sampler(model, *, mesh=None, sizes=(64,), **changes):
  """sizes: of the cache; None: those that the sampler would take."""
  settings = {**dict(slots=4, samples=G, max_prompt=P, max_tokens=T, eos_ids=EOS, pad_id=PAD, steps=4), **changes}
  made = Sampler(model, mesh or mesh_lib.create({}, jax.devices()[:1]), **settings)
  if sizes:
    made.buckets = sizes
    made.widths = (made.max_prompt, *sizes) if len(made.widths) > 1 else made.widths
  return made


def roll(sample, params, requests, key=KEY, **limits):
  """(sample number -> its completion, the rollout)."""
  numbers = {r.group: r.samples for r in requests}
  run, out = sample(params, requests, jax.random.key(key), **limits), {}
  for group, completions in run:
    out |= dict(zip(numbers[group], completions, strict=True))
  return out, run


def assert_same(found, wanted, atol=1e-6):
  assert found.keys() == wanted.keys()
  for n in wanted:
    np.testing.assert_array_equal(found[n].tokens, wanted[n].tokens, err_msg=f'sample {n}')
    np.testing.assert_allclose(found[n].logps, wanted[n].logps, atol=atol, err_msg=f'sample {n}')
    assert found[n].stopped == wanted[n].stopped


def assert_same_up_to_near_ties(found, wanted):
  """float32 against float64: a draw that falls on a border may go either way, and another text follows."""
  assert found.keys() == wanted.keys()
  agreed = 0
  for n in wanted:
    a, b = found[n], wanted[n]
    shorter = min(len(a.tokens), len(b.tokens))
    apart = np.flatnonzero(a.tokens[:shorter] != b.tokens[:shorter])
    upto = int(apart[0]) if len(apart) else shorter
    np.testing.assert_allclose(a.logps[:upto], b.logps[:upto], atol=1e-5)
    agreed += upto == len(b.tokens) == len(a.tokens)
  assert agreed >= len(wanted) - 1


# --- slots, and one row at a time

def one_at_a_time(model, params, requests):
  """What each sample says: for every token a plain forward over its whole row. No cache, no slots, no neighbours."""

  @jit
  def step(params, ids, last, sample, t):
    logits = model.apply({'params': params}, ids[None])[:, last]
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY), sample), t)
    return choose_lib.choose(logits, key[None], temperature=1.0)

  out = {}
  for request in requests:
    for sample in request.samples:
      ids, n, logps = np.zeros(P + T, np.int32), len(request.prompt), []
      ids[:n] = request.prompt
      for t in range(T):
        token, logp = step(params, ids, n + t - 1, sample, t)
        ids[n + t] = token[0]
        logps.append(float(logp[0]))
        if ids[n + t] in EOS:
          break
      said = ids[n:n + t + 1]
      out[sample] = Completion(said, np.asarray(logps, np.float32), bool(said[-1] in EOS))
  return out


@functools.cache
def alone(name):
  with jax.enable_x64(True):
    return one_at_a_time(*family(name, 'float64'), requests_of())


def reordered():
  """The same samples in other orders and other groups."""
  asked = requests_of()
  shuffled = [Request(10 + n, asked[p].prompt, numbers) for n, (p, numbers) in enumerate(
      [(2, (11, 8)), (0, (2,)), (1, (7, 5, 6)), (0, (0, 3, 1)), (2, (9, 10)), (1, (4,))])]
  return {'as asked': asked, 'reversed': [r._replace(samples=r.samples[::-1]) for r in asked[::-1]],
          'shuffled': shuffled}


def begun(wanted, seed):
  """Every sample cut at a place of its own, some at their very beginning, some where they have ended; with log-probs of
  another policy on what they have."""
  rng = np.random.default_rng(seed)

  def cut(n):
    whole = wanted[n]
    at = int(rng.choice([0, len(whole.tokens), rng.integers(0, len(whole.tokens) + 1)], p=[0.15, 0.15, 0.7]))
    return Completion(whole.tokens[:at], whole.logps[:at] - 1, False) if at or rng.random() < 0.5 else None

  return [r._replace(begun=tuple(cut(n) for n in r.samples)) for r in requests_of()]


def marked(wanted, requests):
  """What is to come of `begun`: what was said before keeps the log-probs of the policy that said it."""
  out = dict(wanted)
  for n, before in ((n, x) for r in requests for n, x in zip(r.samples, r.begun) if x):
    out[n] = wanted[n]._replace(logps=np.concatenate([before.logps, wanted[n].logps[len(before.logps):]]))
  return out


SIZES = (16, 32, 48, 64)
SLOTS = [  # family, slots, steps of a chunk, sizes of the cache, whether completions may be begun
    ('nano', 1, 16, (64,), False), ('nano', 3, 4, SIZES, True), ('nano', 8, 1, (64,), False),
    ('nano', 12, 4, (32, 64), False), ('nano-deepseek', 3, 4, (32, 64), True), ('nano-deepseek', 12, 16, (64,), False)]


@pytest.mark.parametrize('name, slots, steps, sizes, resume', SLOTS)
def test_slots_say_what_one_row_at_a_time_says(name, slots, steps, sizes, resume):
  """Token for token in float64: any number of slots, any chunk, orders and groups,
  sizes of the cache, whatever was begun."""
  wanted = alone(name)
  lengths = sorted(len(x.tokens) for x in wanted.values())
  assert lengths[0] < 8 and lengths[-1] == T and any(x.stopped for x in wanted.values())  # some end soon, some never
  assert np.std(np.concatenate([x.logps for x in wanted.values()])) > 0.5
  with jax.enable_x64(True):
    model, params = family(name, 'float64')
    sample = sampler(model, slots=slots, steps=steps, sizes=sizes, resume=resume)
    if len(sizes) == len(SIZES) and jax.default_backend() == 'cpu':  # as it would have them
      assert sampler(model, slots=slots, steps=steps, sizes=None).buckets == sizes
    for requests in reordered().values():
      found, run = roll(sample, params, requests)
      assert_same(found, wanted)
      assert run.live == sum(lengths) and run.unfinished == []
    for seed in range(4 if resume else 0):
      requests = begun(wanted, seed)
      found, run = roll(sample, params, requests)
      assert_same(found, marked(wanted, requests))
      assert run.live == sum(lengths) - sum(len(x.tokens) for r in requests for x in r.begun if x)
    if resume:  # rollouts that end after one group each, with what is left carried into the next
      found, left, rollouts = {}, requests_of(), 0
      while left:
        some, run = roll(sample, params, left, groups=1)
        found, left, rollouts = found | some, run.unfinished, rollouts + 1
      assert_same(found, wanted)
      assert rollouts == len(PROMPTS)
  assert {what[1] for what in sample._compiled if what[0] == 'decode'} == set(sizes)  # every size was met


@pytest.mark.parametrize('name, platform', [('nano', 'gpu'), ('nano', 'tpu')])
def test_slots_of_an_accelerator_say_the_same(monkeypatch, name, platform):
  """There a chunk is under way while the host reads the one before;
  on TPU layers are stacked and a kernel reads the cache."""
  monkeypatch.setattr(mesh_lib, 'platform', lambda mesh: platform)
  with jax.enable_x64(platform == 'gpu'):
    model, params = family(name, 'float64' if platform == 'gpu' else 'float32')
    if platform == 'tpu':
      model = zoo.build(zoo.get(name, layers=2, attention='splash_interpret'))
    sample = sampler(model, slots=3, sizes=(32, 64) if platform == 'gpu' else None)
    found, run = roll(sample, params, requests_of())
    assert isinstance(sample.slots_shapes(64).cache.kv[0], tuple) == (platform == 'gpu')
  if platform == 'gpu':
    assert_same(found, alone(name))
  else:
    assert sample.buckets == (128,)
    assert_same_up_to_near_ties(found, alone(name))
  assert run.live == sum(len(x.tokens) for x in found.values())


@pytest.mark.parametrize('name, mesh', [
    ('nano', {'fsdp': 2, 'tensor': 2}), ('nano-deepseek', {'fsdp': 2, 'expert': 2})])
def test_slots_on_a_mesh_say_the_same(name, mesh):
  with jax.enable_x64(True):
    model, params = family(name, 'float64')
    mesh = mesh_lib.create(mesh, jax.devices()[:4])
    sample = sampler(model, slots=3, mesh=mesh, sizes=(32, 64) if name == 'nano' else (64,))
    assert sample.slots == 4  # dealt out evenly
    found, _ = roll(sample, params, requests_of())
  assert_same(found, alone(name))


# --- sampler, trainer and plain model

@functools.cache
def at_one():
  """(sampler, params, its completions) of nano in float32 at temperature 1, in fewer slots than samples."""
  model, params = family('nano')
  sample = sampler(model)
  return sample, params, roll(sample, params, requests_of())[0]


def prompts_of(rows=PROMPTS, width=P, pad=PAD):
  return Prompts(*map(jnp.asarray, slots_lib.padded([np.asarray(ids) for ids in rows], len(rows), width, pad)))


def rows_of(said, width=T, fill=PAD):
  """(tokens_RxT, lengths_R, prompt_R, sampler_RxT) of completions by sample number."""
  tokens, logps = np.full((len(said), width), fill, np.int32), np.zeros((len(said), width), np.float32)
  for b in range(len(said)):
    tokens[b, :len(said[b].tokens)], logps[b, :len(said[b].tokens)] = said[b].tokens[:width], said[b].logps[:width]
  lengths = np.array([min(len(said[b].tokens), width) for b in range(len(said))], np.int32)
  return tokens, lengths, np.arange(len(said), dtype=np.int32) // (len(said) // len(PROMPTS)), logps


@functools.cache
def trainer(name, temperature=1.0):
  model, _ = family(name)

  @jit
  def logps(params, prompts, tokens, lengths, prompt_R):
    prefix = slots_lib.prefill(model.apply, params, prompts)
    return objective.completion_logps(model.apply, params, prefix, tokens, lengths, prompt_R, temperature=temperature,
                                      chunk=16)

  return logps


def teacher_logits(model, params, said):
  """[B, T, V] of a plain forward over each whole row: no cache, no prefix, no positions."""
  tokens, _, prompt, _ = rows_of(said)
  ids = [np.concatenate([PROMPTS[n], row, np.zeros(P - len(PROMPTS[n]), np.int32)]) for n, row in zip(prompt, tokens)]
  at = np.array([len(PROMPTS[n]) for n in prompt])[:, None] - 1 + np.arange(T)
  logits = jit(model.apply)({'params': params}, jnp.asarray(np.asarray(ids, np.int32)))
  return jnp.take_along_axis(logits, jnp.asarray(at)[..., None], axis=1)


def logps_of(logits_BxTxV, tokens_BxT, temperature=1.0):
  logps = jax.nn.log_softmax(logits_BxTxV / temperature, axis=-1)
  return np.asarray(jnp.take_along_axis(logps, jnp.asarray(tokens_BxT)[..., None], axis=-1)[..., 0])


def test_greedy_is_the_argmax_of_teacher_forcing():
  model, params = family('nano')
  said, _ = roll(sampler(model, temperature=0, samples=1, eos_ids=(512,), steps=16), params, requests_of(samples=1))
  tokens, lengths, _, logps = rows_of(said)
  np.testing.assert_array_equal(tokens, jnp.argmax(teacher_logits(model, params, said), -1))
  assert (lengths == T).all() and not any(x.stopped for x in said.values()) and (logps == 0).all()
  assert len(set(tokens.ravel().tolist())) > 3  # the model does not say one thing only


@pytest.mark.parametrize('temperature', [1.0, 0.7])
def test_stored_log_probs_are_those_of_trainer_and_model(temperature):
  model, params = family('nano')
  said = at_one()[2]
  if temperature != 1.0:
    said, _ = roll(sampler(model, temperature=temperature), params, requests_of(), key=5)
  *rows, logps = rows_of(said)
  heard, entropy = trainer('nano', temperature)(params, prompts_of(), *rows)
  logits = teacher_logits(model, params, said)
  plain = logps_of(logits, rows[0], temperature)
  here = np.arange(T) < rows[1][:, None]
  assert 2 * len(said) < here.sum() < T * len(said)  # ragged
  assert np.std(plain[here]) > 0.5
  np.testing.assert_allclose(logps[here], plain[here], atol=1e-5)
  np.testing.assert_allclose(np.asarray(heard)[here], plain[here], atol=1e-5)
  p = jax.nn.softmax(logits / temperature, axis=-1)
  np.testing.assert_allclose(np.asarray(entropy)[here], -jnp.sum(p * jnp.log(p), -1)[here], atol=1e-5)


@pytest.mark.parametrize('name', [name for name in zoo.names() if name.startswith('nano')])
def test_sampler_and_trainer_are_less_than_1e_5_nats_apart(name):
  """In float32, with slots that are refilled; and float32's text is float64's."""
  _, params = family(name)
  said = at_one()[2] if name == 'nano' else roll(sampler(family(name)[0]), params, requests_of())[0]
  *rows, logps = rows_of(said)
  heard, _ = trainer(name)(params, prompts_of(), *rows)
  here = np.arange(T) < rows[1][:, None]
  assert here.sum() > 100
  gap = {k: v for k, v in objective.gap_metrics(heard, logps, here.astype(np.float32)).items()}
  assert float(gap['mismatch/logp_max_abs'].value) <= 1e-5
  if name in ('nano', 'nano-deepseek'):
    assert_same_up_to_near_ties(said, alone(name))


def test_completions_of_one_token():
  _, params, said = at_one()
  tokens, lengths, prompt, logps = rows_of(said)
  got, _ = trainer('nano')(params, prompts_of(), tokens[:, :1], np.minimum(lengths, 1), prompt)
  np.testing.assert_allclose(got, logps[:, :1], atol=1e-5)


def test_prompt_positions():
  got = slots_lib.prompt_positions(prompts_of([[1, 2, 3], [4]], width=3))
  np.testing.assert_array_equal(got, [[0, 1, 2], [0, NOWHERE, NOWHERE]])


def test_padding_on_the_right_changes_nothing():
  """Neither that of prompts nor that of completions: nobody looks at it, whatever it holds."""
  model, params = family('nano')
  prefix, other = (jit(functools.partial(slots_lib.prefill, model.apply))(params, prompts_of(pad=pad))
                   for pad in (PAD, 99))
  np.testing.assert_array_equal(prefix.hidden_NxD, other.hidden_NxD)
  for n, ids in enumerate(PROMPTS):
    assert len(ids) < P
    for a, b in zip(prefix.kv_LxNx, other.kv_LxNx):
      np.testing.assert_array_equal(a[:, n, :, :len(ids)], b[:, n, :, :len(ids)])
      assert (np.asarray(a[:, n, :, len(ids):]) != np.asarray(b[:, n, :, len(ids):])).any()
  tokens, lengths, prompt, logps = rows_of(at_one()[2])
  here = np.arange(T) < lengths[:, None]
  heard = [np.asarray(trainer('nano')(params, prompts_of(pad=pad), np.where(here, tokens, pad), lengths, prompt)[0])
           for pad in (PAD, 99)]
  assert not here.all(axis=1).all()
  np.testing.assert_array_equal(heard[0][here], heard[1][here])


# --- keys

def test_a_sample_depends_on_its_number_and_the_key_alone():
  sample, params, wanted = at_one()
  only, _ = roll(sample, params, requests_of()[:1])
  assert_same(only, {n: wanted[n] for n in range(G)}, atol=1e-5)
  more = Request(7, np.asarray(PROMPTS[0], np.int32), (2, 900, 0))
  other, _ = roll(sample, params, [*requests_of([[41], [51] * 6])[1:], more])
  assert_same({n: other[n] for n in (0, 2)}, {n: wanted[n] for n in (0, 2)}, atol=1e-5)
  same, _ = roll(sample, params, requests_of())
  assert_same(same, wanted, atol=1e-5)
  texts = {tuple(x.tokens.tolist()) for x in wanted.values()}
  assert len(texts) == len(wanted)  # samples of a group differ
  assert tuple(other[900].tokens.tolist()) not in texts  # another number says something else, another key too
  again = [tuple(x.tokens.tolist()) for x in roll(sample, params, requests_of(), key=4)[0].values()]
  assert all(text not in texts for text in again if len(text) > 3)


def test_rows_that_have_ended_do_not_change_the_others():
  """One long sample among many that end at once: as alone."""
  sample, params, wanted = at_one()
  longest = max(wanted, key=lambda n: len(wanted[n].tokens))
  soon = [n for n in wanted if len(wanted[n].tokens) < len(wanted[longest].tokens) // 2]
  assert len(soon) > 3
  one = lambda n: Request(n, np.asarray(PROMPTS[n // G], np.int32), (n,))
  found, run = roll(sample, params, [one(longest), *map(one, soon)])
  assert_same(found, {n: wanted[n] for n in (longest, *soon)}, atol=1e-5)
  assert run.slot_use < 1


# --- ends, by models whose next token follows from the last one

def scripted(logits_VxV):
  """(model, params): after token v, what row v says. All but the embedding and the unembedding is zero."""
  V = len(logits_VxV)
  model = zoo.build(zoo.get('nano', vocab_size=V, dim=V, layers=1, heads=1, kv_heads=1, ffn_dim=8, tied=False,
                            norm_eps=0.0))
  params = jax.tree.map(jnp.zeros_like, params_lib.init(model, 0))
  ones = lambda path, x: jnp.ones_like(x) if path[-1].key == 'scale' else x
  params = jax.tree_util.tree_map_with_path(ones, params)
  return model, {**params, 'embedding': jnp.eye(V), 'unembedding': jnp.asarray(logits_VxV, jnp.float32) / V**0.5}


@functools.cache
def countdown(**settings):
  """A sampler, and params with which the prompt [n] says n - 1, n - 2, .. 0, which ends it: n tokens."""
  model, params = scripted(60 * np.eye(24)[np.maximum(np.arange(24) - 1, 0)])
  made = dict(slots=2, samples=1, max_prompt=1, max_tokens=15, eos_ids=(0,), steps=16, sizes=(32,), resume=True)
  return sampler(model, **{**made, **settings}), params


def constant(probabilities, n, key=0, **settings):
  """(n completions of a model that always says the same, the rollout)."""
  logits = np.full(8, -1e9)
  logits[:len(probabilities)] = np.log(probabilities)
  model, params = scripted(np.tile(logits, (8, 1)))
  sample = sampler(model, **{**dict(slots=n, samples=n, max_prompt=1), **settings})
  said, run = roll(sample, params, requests_of([[1]], n), key)
  return [said[i] for i in range(n)], run


def counts(lengths):
  """A request a completion, of that many tokens."""
  return requests_of([[n] for n in lengths], 1)


def test_several_tokens_end_a_completion_and_are_kept():
  lasts = set()
  _, _, said = at_one()
  assert any(x.stopped for x in said.values()) and not all(x.stopped for x in said.values())
  for tokens, logps, stopped, _ in said.values():
    ended = np.isin(tokens, EOS)
    assert stopped == ended[-1] and not ended[:-1].any()  # the first end is the last token
    assert stopped or len(tokens) == T
    assert len(logps) == len(tokens) and (logps < 0).all()  # an end is an action: it has a log-prob
    assert tokens.dtype == np.int32 and logps.dtype == np.float32
    lasts |= {int(tokens[-1])} if stopped else set()
  assert len(lasts) > 2


def test_the_end_is_kept_where_it_looks_like_padding():
  """pad == eos: the length says that the end was said."""
  said, _ = constant([0.5, 0.5], 64, max_tokens=8, eos_ids=(PAD,))
  for x in said:
    assert x.stopped == (x.tokens[-1] == PAD) and (x.tokens[:-1] == 1).all()
    assert x.stopped or len(x.tokens) == 8
    np.testing.assert_allclose(x.logps, np.log(0.5), rtol=1e-5)
  lengths = [len(x.tokens) for x in said]
  assert min(lengths) == 1 and max(lengths) > 3


def test_the_loop_stops_when_all_rows_have_ended():
  said, run = constant([0.5, 0.5], 4, max_tokens=8, eos_ids=(0, 1), steps=16)
  assert run.steps == 1 and all(len(x.tokens) == 1 for x in said) and run.slot_use == 1


def test_an_end_at_the_limit_is_an_end_and_past_it_is_not():
  sample, params = countdown()
  said, _ = roll(sample, params, counts([14, 15, 16]))
  assert [said[n].tokens.tolist() for n in range(3)] == [[*range(n, n - 15, -1)][:n + 1] for n in (13, 14, 15)]
  assert [said[n].stopped for n in range(3)] == [True, True, False]


def test_a_sampler_without_an_end_is_refused():
  with pytest.raises(ValueError, match='eos_ids is empty'):
    sampler(family('nano')[0], eos_ids=())


def test_slot_use_is_counted_by_hand():
  """Two slots, completions of 3, 5, 2 and 6 tokens: 3 steps until the first ends, 2 until the second and the third do,
  6 for the last beside an empty row. A clock has two spans."""
  sample, params = countdown()
  clock = metrics.Clock()
  said, run = roll(sample, params, counts([3, 5, 2, 6]), clock=clock)
  assert [len(said[n].tokens) for n in range(4)] == [3, 5, 2, 6]
  assert (run.steps, run.live) == (11, 16) and run.slot_use == 16 / 22
  assert {'admit', 'decode'} <= clock.lap().keys()


def test_a_rollout_may_end_after_some_groups_and_leaves_the_rest_with_what_it_has():
  sample, params = countdown()
  requests = counts([3, 5, 2, 6])
  said, run = roll(sample, params, requests, groups=1)
  assert list(said) == [0] and run.steps == 3
  assert [r.group for r in run.unfinished] == [1, 2, 3]
  (second,), *others = (r.begun for r in run.unfinished)
  assert second.tokens.tolist() == [4, 3, 2] and not second.stopped and others == [(None,), (None,)]
  # The second and the third end together: one of them is given, the other is carried over whole, and costs no step.
  said, run = roll(sample, params, run.unfinished, groups=1)
  assert list(said) == [1] and said[1].tokens.tolist() == [4, 3, 2, 1, 0] and run.steps == 2
  third, fourth = run.unfinished
  assert third.begun[0].tokens.tolist() == [1, 0] and third.begun[0].stopped and fourth.begun == (None,)
  said, run = roll(sample, params, run.unfinished)
  assert [said[n].tokens.tolist() for n in (2, 3)] == [[1, 0], [5, 4, 3, 2, 1, 0]]
  assert run.steps == 6 and not run.unfinished


def test_groups_are_given_as_their_last_members_end():
  sample, params = countdown(steps=2)
  assert [group for group, _ in sample(params, counts([9, 2, 3]), jax.random.key(0))] == [1, 2, 0]
  # The last member counts, not the first that ends.
  both = [Request(n, np.asarray([n], np.int32), (2 * n, 2 * n + 1), limits=(99, 1)) for n in (5, 3)]
  assert [group for group, _ in sample(params, both, jax.random.key(0))] == [5, 3]
  # More groups than there are is all of them.
  assert sorted(group for group, _ in sample(params, counts([3, 2]), jax.random.key(0), groups=5)) == [0, 1]
  assert list(sample(params, [], jax.random.key(0))) == []


def test_samples_may_have_limits_of_their_own():
  """Lower than the sampler's; a sample that was begun keeps to its limit, and one that has reached it is over."""
  sample, params = countdown()
  whole = Completion(np.arange(8, 5, -1, dtype=np.int32), np.zeros(3, np.float32), False)
  request = Request(0, np.asarray([9], np.int32), (0, 1, 2), begun=(None, whole, whole), limits=(4, 3, 99))
  said, run = roll(sample, params, [request])
  found = [said[n] for n in range(3)]
  assert [x.tokens.tolist() for x in found] == [[8, 7, 6, 5], [8, 7, 6], [8, 7, 6, 5, 4, 3, 2, 1, 0]]
  assert [x.stopped for x in found] == [False, False, True] and run.live == 4 + 0 + 6


def test_most_steps_cuts_off():
  """Chunks of two steps; the first row ends after three, the third takes its place; five are over four."""
  sample, params = countdown(steps=2)
  said, run = roll(sample, params, counts([3, 9, 8, 6]), most_steps=4)
  assert {n: x.tokens.tolist() for n, x in said.items()} == {0: [2, 1, 0], 1: [8, 7, 6, 5, 4], 2: [7, 6]}
  assert [said[n].stopped for n in range(3)] == [True, False, False] and run.steps == 5


# --- chance

def test_samples_and_steps_draw_independently_and_as_often_as_the_model_says():
  p, n = np.array([0.5, 0.3, 0.2]), 4000
  said, run = constant(p, n, max_tokens=3, eos_ids=(7,), sizes=(8,))
  assert run.steps == 3
  tokens = np.stack([x.tokens for x in said])
  for a, b in ((0, 1), (1, 2), (0, 2)):
    seen = collections.Counter(zip(tokens[:, a].tolist(), tokens[:, b].tolist()))
    found = np.array([[seen[i, j] / n for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(found, np.outer(p, p), atol=4 * 0.5 / n**0.5)  # four standard errors at most
  neighbours = np.mean(tokens[1:, 0] == tokens[:-1, 0])
  np.testing.assert_allclose(neighbours, np.sum(p**2), atol=4 * 0.5 / n**0.5)


# --- programs

def test_nothing_is_compiled_in_a_second_rollout():
  """Other prompts, lengths and begun completions, through every size of the cache: `compile` has made it all."""
  model, params = scripted(60 * np.eye(32)[np.maximum(np.arange(32) - 1, 0)])
  sample = sampler_lib.Sampler(model, mesh_lib.create({}, jax.devices()[:1]), slots=2, samples=1, max_prompt=2,
                               max_tokens=20, eos_ids=(0,), pad_id=0, steps=4, resume=True).compile()
  assert sample.buckets == (16, 32)
  programs = set(sample._compiled)
  roll(sample, params, counts([3, 2]))
  seen = []
  listen = lambda event, duration, **kw: seen.append(event) if 'backend_compile' in event else None
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    jax.jit(lambda x: x * 3.25 + len(seen))(1.0)
    assert seen  # the listener hears
    seen.clear()
    asked = [Request(n, np.asarray([1, last], np.int32), (n,)) for n, last in enumerate([20, 1, 17, 9, 19])]
    said, run = roll(sample, params, asked, groups=4)
    again = [r._replace(group=9 + r.group, samples=(9 + r.group,)) for r in asked[1:]]
    more, _ = roll(sample, params, [*run.unfinished, *again])
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert {len(x.tokens) for x in (said | more).values()} == {20, 1, 17, 9, 19} and run.unfinished[0].begun[0]
  assert not seen and set(sample._compiled) == programs


def test_what_was_not_compiled_is_not_run():
  model, params = scripted(np.zeros((8, 8)))
  sample = sampler_lib.Sampler(model, mesh_lib.create({}, jax.devices()[:1]), slots=1, samples=1, max_prompt=1,
                               max_tokens=2, eos_ids=(0,), pad_id=0)
  with pytest.raises(KeyError, match='call compile'):
    list(sample(params, counts([1]), jax.random.key(0)))
