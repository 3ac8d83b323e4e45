"""The jitted programs of a stage: what rl.py, sft.py and evaluate.py run and what plan.py plans, by the same code.

Each is made from a model, the stage's settings and a mesh, with shapes and shardings of all it takes, so that it is
compiled before any weight is loaded. Two layouts of the same weights: for training they are split over fsdp and
float32; for sampling they are whole along the width, in the dtype they are computed in (mesh.DECODE_RULES).
"""

from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from r1jax.engine import grpo
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import optim
from r1jax.engine import packing
from r1jax.engine import rollout
from r1jax.engine import update
from r1jax.models import moe
from r1jax.types import Batch, Prompts

_FLOAT32 = ('scale', 'router', 'router_bias', 'reward_head')  # leaves that models use in float32 whatever the dtype


class use_mesh:
  """Context in which models' activations are laid out on a mesh by rules."""

  def __init__(self, mesh, rules=mesh_lib.RULES):
    self._contexts = [jax.set_mesh(mesh), nn.logical_axis_rules(rules)]

  def __enter__(self):
    for context in self._contexts:
      context.__enter__()

  def __exit__(self, *error):
    for context in reversed(self._contexts):
      context.__exit__(*error)


class Program(NamedTuple):
  """A jitted function with what it is compiled for."""
  jitted: Any
  args: tuple  # trees of ShapeDtypeStruct with shardings
  mesh: Any
  rules: tuple

  def lower(self):
    with use_mesh(self.mesh, self.rules):
      return self.jitted.lower(*self.args)

  def compile(self):
    return self.lower().compile()


def sampling_shapes(model, mesh):
  """Shapes, dtypes and shardings of the weights that a sampler takes."""
  boxed = update.abstract_params(model)
  shardings = mesh_lib.param_shardings(boxed, mesh, mesh_lib.DECODE_RULES)

  def one(path, leaf, sharding):
    dtype = jnp.float32 if path[-1].key in _FLOAT32 else model.config.dtype
    return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)

  return jax.tree_util.tree_map_with_path(one, mesh_lib.unbox(boxed), shardings)


def samples_from_trained(model, mesh) -> bool:
  """Whether a sampler takes the weights just as they are trained: float32, in the same layout."""
  wanted = sampling_shapes(model, mesh)
  trained = mesh_lib.param_shardings(update.abstract_params(model), mesh)
  return jax.tree.all(jax.tree.map(lambda w, t: w.dtype == jnp.float32 and w.sharding.is_equivalent_to(t, len(w.shape)),
                                   wanted, trained))


def to_sampling(model, mesh):
  """params as they are trained -> params as a sampler takes them; the identity where nothing changes."""
  if samples_from_trained(model, mesh):
    return lambda params: params
  wanted = sampling_shapes(model, mesh)
  cast = lambda params: jax.tree.map(lambda x, w: x.astype(w.dtype), params, wanted)
  return jax.jit(cast, out_shardings=jax.tree.map(lambda w: w.sharding, wanted))


class Sampling(NamedTuple):
  sample: Program  # (params, prompts, key, first) -> Rollout
  prefill: Program
  step: Program  # one token; its state is donated
  cache: Any  # shapes of the cache


def sampling(model, mesh, *, prompts: int, max_prompt: int, samples: int, max_tokens: int, eos_ids, pad_id: int,
             temperature: float, top_p: float = 1.0) -> Sampling:
  """`samples` completions for each of `prompts` prompts at once."""
  parts = rollout.make_sampler(model.apply, model.empty_cache, samples=samples, max_tokens=max_tokens, eos_ids=eos_ids,
                               pad_id=pad_id, temperature=temperature, top_p=top_p)
  rows, whole = mesh_lib.batch_sharding(mesh), mesh_lib.replicated(mesh)
  params = sampling_shapes(model, mesh)
  asked = _prompts(prompts, max_prompt, mesh)
  key = jax.eval_shape(lambda: jax.random.key(0))
  key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole)
  first = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
  # Weights that one part does not read lie there all the same, and are counted.
  make = lambda f, args, **kw: Program(jax.jit(f, keep_unused=True, **kw), args, mesh, mesh_lib.DECODE_RULES)
  with use_mesh(mesh, mesh_lib.DECODE_RULES):
    hidden, prefix = jax.eval_shape(parts.prefill, params, asked)
    state = jax.eval_shape(parts.start, hidden)
    lay = lambda tree, batch_axis: jax.tree.map(lambda x: _laid_out(x, batch_axis, mesh), tree)
    prefix = prefix._replace(kv_LxNx=lay(prefix.kv_LxNx, 1), positions_NxP=lay(prefix.positions_NxP, 0))
    cache = state.cache._replace(kv_LxBx=lay(state.cache.kv_LxBx, 1), positions_BxS=lay(state.cache.positions_BxS, 0))
    state = rollout.Decoding(*(cache if name == 'cache' else lay(value, 0) for name, value in state._asdict().items()))
  keys = jax.ShapeDtypeStruct((prompts * samples,), key.dtype, sharding=rows)
  where = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
  return Sampling(
      make(parts.sample, (params, asked, key, first), out_shardings=rows),
      make(parts.prefill, (params, asked), out_shardings=(rows, where(prefix))),
      make(parts.step, (params, asked, prefix, keys, state), donate_argnums=4, out_shardings=where(state)), cache)


def _laid_out(x, batch_axis: int, mesh):
  """A part of the decoding state where it will lie: rows over the batch axes, key heads as the rules say."""
  names = [None] * len(x.shape)
  if x.shape:
    names[batch_axis] = 'batch'
  if len(x.shape) == 5:
    names[2] = 'kv_heads'
  boxed = nn.Partitioned(jax.ShapeDtypeStruct(x.shape, x.dtype), tuple(names))
  sharding = mesh_lib.param_shardings({'x': boxed}, mesh, mesh_lib.DECODE_RULES)['x']
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _prompts(n: int, width: int, mesh) -> Prompts:
  rows = mesh_lib.batch_sharding(mesh)
  return Prompts(jax.ShapeDtypeStruct((n, width), jnp.int32, sharding=rows),
                 jax.ShapeDtypeStruct((n,), jnp.int32, sharding=rows))


class Training(NamedTuple):
  shardings: update.TrainState
  state: update.TrainState  # shapes, with shardings
  fresh: Any  # params -> TrainState at step 0; params are donated
  step: Program  # (state, batch) -> (state, means)
  logps: Program | None = None  # RL: (params, prompts, completions) -> their log-probs


def _training(config, model, mesh, optimizer, reference: bool, batch, loss_fn, **cut) -> Training:
  boxed = update.abstract_params(model)
  shardings = update.state_shardings(boxed, optimizer, mesh, reference=reference)
  fresh = lambda p: update.fresh(p, optimizer, seed=config.seed, reference=reference)
  state = mesh_lib.with_shardings(jax.eval_shape(fresh, mesh_lib.unbox(boxed)), shardings)
  step = update.make_update(loss_fn, optimizer, mesh, shardings, **cut,
                            after=_move_router_bias(config.experts.bias_rate) if _is_moe(model) else None)
  fresh = jax.jit(fresh, out_shardings=shardings, donate_argnums=0)
  return Training(shardings, state, fresh, Program(step, (state, batch), mesh, mesh_lib.RULES))


def chunk_for(config, model, outputs: int) -> int:
  """Positions of the vocabulary pass that are held at once for so many outputs."""
  return losses.chunk_positions(config.logit_elements, outputs, model.config.vocab_size)


def rl(config, c, model, mesh) -> Training:
  """The update of GRPO, and the log-probs of a micro-batch's outputs under any weights."""
  optimizer = optim.create(steps=c.steps, learning_rate=c.learning_rate, **c.optimizer)
  rows, reference = mesh_lib.batch_sharding(mesh), c.kl_coef > 0
  N, B, T = c.groups, c.groups * c.samples, c.max_tokens
  shape = lambda dtype, *sizes: jax.ShapeDtypeStruct(sizes, dtype, sharding=rows)
  logps_BxT = shape(jnp.float32, B, T)
  batch = Batch(*_prompts(N, c.max_prompt, mesh), shape(jnp.int32, B, T), shape(jnp.int32, B), logps_BxT, logps_BxT,
                logps_BxT if reference else None, shape(jnp.float32, B))
  cuts = c.samples // (c.micro_samples or c.samples)
  outputs = c.micro_groups * c.samples // cuts  # whose activations are held at once
  chunk = chunk_for(config, model, outputs)
  loss_fn = make_rl_loss(model.apply, c, chunk, experts=_is_moe(model))
  built = _training(config, model, mesh, optimizer, reference, batch, loss_fn, groups=c.groups,
                    micro_batches=c.groups // c.micro_groups, micro_samples=cuts)
  logps = jax.jit(lambda params, asked, tokens: rollout.completion_logps(
      model.apply, params, asked, tokens, temperature=c.temperature, chunk=chunk)[0],
                  out_shardings=rows)
  args = (built.state.params, _prompts(c.micro_groups, c.max_prompt, mesh), shape(jnp.int32, outputs, T))
  return built._replace(logps=Program(logps, args, mesh, mesh_lib.RULES))


def wave_of(c) -> int:
  """Prompts that are sampled at once: all of a rollout's, unless c.rollout_groups says fewer."""
  return c.rollout_groups or c.groups * c.minibatches


def make_rl_loss(apply, c, chunk: int = 128, experts: bool = False):
  """loss_fn(params, Batch) for update.make_update: grpo.policy_loss on log-probs at the sampler's temperature."""

  def loss_fn(params, batch: Batch):
    asked = Prompts(batch.prompts_NxP, batch.prompt_lengths_N)
    recorded, seen = moe.recording(apply) if experts else (apply, [])
    logps, entropy = rollout.completion_logps(recorded, params, asked, batch.completions_BxT, temperature=c.temperature,
                                             chunk=chunk)
    mask = losses.length_mask(batch.lengths_B, batch.completions_BxT.shape[1])
    weights = None
    if c.is_cap:
      weights = grpo.importance_weights(batch.old_logps_BxT, batch.sampler_logps_BxT, cap=c.is_cap)
    numerator, denominator, sums = grpo.policy_loss(
        logps, batch.old_logps_BxT, batch.ref_logps_BxT, batch.advantages_B, mask, clip_low=c.clip_low,
        clip_high=c.clip_high, kl_coef=c.kl_coef, ratio=c.ratio, aggregate=c.aggregate, max_length=c.max_tokens,
        is_weights_BxT=weights)
    count = jnp.sum(mask)
    gap = jax.lax.stop_gradient(jnp.where(mask > 0, logps - batch.sampler_logps_BxT, 0.0))
    sums |= {'entropy/nats_per_token': (losses.masked_sum(jax.lax.stop_gradient(entropy), mask), count),
             'mismatch/logp_mean_abs': (jnp.sum(jnp.abs(gap)), count),
             'mismatch/logp_max_abs': (jnp.max(jnp.abs(gap)), jnp.float32(1)),
             'mismatch/kl_nats_per_token': (jnp.sum(losses.kl_k3(-gap, 0.0)), count)}
    return numerator, denominator, sums | _expert_load(seen)

  return loss_fn


def sft(config, c, model, mesh) -> Training:
  """The update of supervised fine-tuning and of pre-training, on packed rows."""
  optimizer = optim.create(steps=c.steps, **c.optimizer)
  chunk = chunk_for(config, model, c.batch // c.micro_batches)
  share = config.experts.balance_loss

  def loss_fn(params, batch: packing.Packed):
    weights = {'params': params}
    apply, seen = _recorded(model)
    hidden, _ = apply(weights, batch.tokens_BxT, batch.positions_BxT, batch.segment_ids_BxT, method='hidden')
    logps, _ = losses.token_logps(lambda h: model.apply(weights, h, method='unembed'), hidden, batch.targets_BxT,
                                  chunk=chunk)
    numerator, denominator, sums = losses.cross_entropy(logps, batch.mask_BxT)
    if seen and share:  # each row's balance counts as its tokens do
      balance_B = jnp.mean(seen[0]['balance'], axis=0)
      numerator = numerator + share * jnp.sum(balance_B * jnp.sum(batch.mask_BxT, axis=1))
    return numerator, denominator, sums | _expert_load(seen)

  rows = mesh_lib.batch_sharding(mesh)
  shape = lambda dtype: jax.ShapeDtypeStruct((c.batch, c.length), dtype, sharding=rows)
  dtypes = {'mask_BxT': jnp.float32}
  batch = packing.Packed(*(shape(dtypes.get(name, jnp.int32)) for name in packing.Packed._fields))
  return _training(config, model, mesh, optimizer, False, batch, loss_fn, groups=c.batch, micro_batches=c.micro_batches)


class Judged(NamedTuple):
  """What a reward model learns from: pairs, the better response first, or single responses with labels."""
  tokens_BxT: Any  # int32, prompt and response, right-padded
  lengths_B: Any  # int32
  labels_B: Any  # float32, 1: safe; not read for pairs


def _recorded(model):
  """(model.apply, a list that it fills with what a mixture's router did; it stays empty for a dense model)."""
  return moe.recording(model.apply) if _is_moe(model) else (model.apply, [])


def _rewards(model, params, tokens_BxT, lengths_B, apply=None):
  """[B]: the reward head at each row's last token. apply: instead of model.apply, to record."""
  weights = {'params': params}
  hidden, _ = (apply or model.apply)(weights, tokens_BxT, method='hidden')
  last = jnp.take_along_axis(hidden, (lengths_B - 1)[:, None, None], axis=1)[:, 0]
  return model.apply(weights, last, method='reward')


def preference(config, c, model, mesh) -> Training:
  """The update of a reward model: Bradley-Terry on pairs (c.kind 'pairs'), else the log-loss of labels."""
  each = 2 if c.kind == 'pairs' else 1

  def loss_fn(params, batch: Judged):
    apply, seen = _recorded(model)
    rewards_B = _rewards(model, params, batch.tokens_BxT, batch.lengths_B, apply)
    margin, label = ((rewards_B[0::2] - rewards_B[1::2], 1.0) if each == 2 else (rewards_B, batch.labels_B))
    numerator, count = losses.log_loss(margin, label), jnp.float32(margin.shape[0])
    right = jnp.sum((margin > 0) == (jnp.asarray(label) > 0.5))
    return numerator, count, {'loss': (numerator, count), 'accuracy/train': (right, count)} | _expert_load(seen)

  rows = mesh_lib.batch_sharding(mesh)
  shape = lambda dtype, *sizes: jax.ShapeDtypeStruct(sizes, dtype, sharding=rows)
  B = c.batch * each
  batch = Judged(shape(jnp.int32, B, c.length), shape(jnp.int32, B), shape(jnp.float32, B))
  optimizer = optim.create(steps=c.steps, **c.optimizer)
  return _training(config, model, mesh, optimizer, False, batch, loss_fn, groups=c.batch, micro_batches=c.micro_batches)


class Steps(NamedTuple):
  """What a model of steps learns from (process.py)."""
  tokens_BxT: Any  # int32, prompt and answer, right-padded
  mask_BxT: Any  # float32, 1 at the last token of each step
  labels_BxT: Any  # float32, 1: right


def _step_rewards(model, params, tokens_BxT, apply=None):
  """[B, T]: the reward head at every token. apply: as of _rewards."""
  weights = {'params': params}
  hidden, _ = (apply or model.apply)(weights, tokens_BxT, method='hidden')
  return model.apply(weights, hidden, method='reward')


def process(config, c, model, mesh) -> Training:
  """The update of a model of steps: the log-loss of each step's label."""

  def loss_fn(params, batch: Steps):
    apply, seen = _recorded(model)
    logits = _step_rewards(model, params, batch.tokens_BxT, apply)
    count = jnp.sum(batch.mask_BxT)
    numerator = -losses.masked_sum(jax.nn.log_sigmoid(jnp.where(batch.labels_BxT > 0, logits, -logits)), batch.mask_BxT)
    right = losses.masked_sum(((logits > 0) == (batch.labels_BxT > 0)).astype(jnp.float32), batch.mask_BxT)
    return numerator, count, {'loss': (numerator, count), 'accuracy/train': (right, count)} | _expert_load(seen)

  rows = mesh_lib.batch_sharding(mesh)
  shape = lambda dtype: jax.ShapeDtypeStruct((c.batch, c.length), dtype, sharding=rows)
  optimizer = optim.create(steps=c.steps, **c.optimizer)
  return _training(config, model, mesh, optimizer, False, Steps(shape(jnp.int32), shape(jnp.float32), shape(jnp.float32)), loss_fn,
                   groups=c.batch, micro_batches=c.micro_batches)


def scoring_steps(model, mesh, *, rows: int, length: int) -> Program:
  """(params as a sampler takes them, tokens [rows, length]) -> probabilities of 'right' [rows, length]."""
  dealt = mesh_lib.batch_sharding(mesh)
  args = (sampling_shapes(model, mesh), jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=dealt))
  scored = jax.jit(lambda params, tokens: jax.nn.sigmoid(_step_rewards(model, params, tokens)), out_shardings=dealt)
  return Program(scored, args, mesh, mesh_lib.DECODE_RULES)


def scoring(model, mesh, *, rows: int, length: int) -> Program:
  """(params as a sampler takes them, tokens [rows, length], lengths) -> rewards [rows]."""
  dealt = mesh_lib.batch_sharding(mesh)
  args = (sampling_shapes(model, mesh), jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=dealt),
          jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=dealt))
  scored = jax.jit(lambda params, tokens, lengths: _rewards(model, params, tokens, lengths), out_shardings=dealt)
  return Program(scored, args, mesh, mesh_lib.DECODE_RULES)


def _is_moe(model) -> bool:
  return model.config.family == 'deepseek_v3'


def _expert_load(seen) -> dict:
  return {'experts/load': (sum(s['load'] for s in seen), jnp.float32(1))} if seen else {}


def _move_router_bias(rate: float):
  """update.make_update's `after` for a mixture of experts."""

  def after(params, sums):
    load_LxE = sums['experts/load']
    worst = jnp.max(jnp.max(load_LxE, axis=1) / jnp.maximum(jnp.mean(load_LxE, axis=1), 1e-9))
    return moe.balance(params, load_LxE, rate=rate) if rate else params, {'router/load_max_over_mean': worst}

  return after

