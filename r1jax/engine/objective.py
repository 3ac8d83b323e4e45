"""The losses that stages train with, as update.Training takes them: loss_fn(params, prefix, rows)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import limits
from r1jax.engine import grpo
from r1jax.engine import lora as lora_lib
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import optim
from r1jax.engine import packing
from r1jax.engine import update
from r1jax.models import moe
from r1jax.models.decoder import Prefix
from r1jax.models.layers import constrain
from r1jax.types import NOWHERE, Completion, Max, Sum, UserError


class Outputs(NamedTuple):
  """A micro-batch of GRPO: R outputs, each behind its prompt. A row of length 0 is padding and counts nowhere."""
  tokens_RxT: Any  # int32
  lengths_R: Any  # int32; the mask comes from here, never from token values
  prompt_R: Any  # int32, which of the minibatch's prompts it follows
  sampler_RxT: Any  # float32, log-probs as stored by the rollout
  old_RxT: Any  # float32, of the policy at rollout time: the sampler's, or recomputed
  ref_RxT: Any  # float32; None when kl_coef == 0
  advantages_R: Any  # float32
  counts_R: Any = None  # float32, 0: left out of the loss, not of what is said of completions; None: none is
  choices_RxTxLxk: Any = None  # experts that the sampler sent each token to; None: the router chooses (rl.moe_replay)


def completion_hidden(apply, params, prefix: Prefix, tokens_RxT, lengths_R, prompt_R):
  """[R, T, D]: what each token of completions behind their prompts is predicted from, by teacher forcing."""
  T = tokens_RxT.shape[1]
  # Whole on every device: XLA's TPU compiler aborts on numbers taken from other devices' rows by number (2026-11-26).
  prefix = prefix._replace(lengths_N=constrain(prefix.lengths_N, None))
  hidden_RxTxD = prefix.hidden_NxD[prompt_R][:, None]
  # The last token predicts nothing; its place is computed all the same, so that T stays a multiple of a block.
  if T > 1:
    at = jnp.arange(T)
    positions_RxT = jnp.where(at < lengths_R[:, None] - 1, prefix.lengths_N[prompt_R][:, None] + at, NOWHERE)
    rest, _ = apply({'params': params}, tokens_RxT, positions_RxT, prefix=prefix, prompt_B=prompt_R, method='hidden')
    hidden_RxTxD = jnp.concatenate([hidden_RxTxD, rest[:, :-1]], axis=1)
  return hidden_RxTxD


def completion_logps(apply, params, prefix: Prefix, tokens_RxT, lengths_R, prompt_R, *, temperature: float,
                     chunk: int = 128, entropy_gradient: bool = False):
  """(logps_RxT, entropy_RxT) of completions behind their prompts by teacher forcing, nats: what the sampler should have
  said."""
  hidden_RxTxD = completion_hidden(apply, params, prefix, tokens_RxT, lengths_R, prompt_R)
  unembed = lambda hidden: apply({'params': params}, hidden, method='unembed')
  return losses.token_logps(unembed, hidden_RxTxD, tokens_RxT, temperature=temperature, chunk=chunk,
                            entropy_gradient=entropy_gradient)


def grpo_loss(apply, c, *, chunk: int = 128, experts: bool = False):
  """grpo.policy_loss on log-probs at the sampler's temperature, less c.entropy_coef times the entropy, as c.aggregate
  takes its mean; c: a stage's part of the config."""

  def loss_fn(params, prefix, rows: Outputs):
    replayed = moe.replaying(apply, rows.choices_RxTxLxk)
    recorded, seen = moe.recording(replayed) if experts else (apply, [])
    logps, entropy = completion_logps(recorded, params, prefix, rows.tokens_RxT, rows.lengths_R, rows.prompt_R,
                                      temperature=c.temperature, chunk=chunk, entropy_gradient=c.entropy_coef > 0)
    mask = losses.length_mask(rows.lengths_R, rows.tokens_RxT.shape[1])
    weights = grpo.importance_weights(rows.old_RxT, rows.sampler_RxT, cap=c.is_cap,
                                      kind=c.is_kind) if c.is_cap else None
    numerator, denominator, metrics = grpo.policy_loss(
        logps, rows.old_RxT, rows.ref_RxT, rows.advantages_R, mask, clip_low=c.clip_low, clip_high=c.clip_high,
        kl_coef=c.kl_coef, ratio=c.ratio, aggregate=c.aggregate, max_length=limits.longest(c.max_tokens),
        is_weights_BxT=weights, surrogate=c.surrogate, kl=c.kl, counts_B=rows.counts_R)
    if c.entropy_coef:
      learned = mask if rows.counts_R is None else jnp.where(rows.counts_R[:, None] > 0, mask, 0.0)
      numerator = numerator - c.entropy_coef * grpo.aggregated(entropy, learned, c.aggregate)
    count = jnp.sum(mask)
    metrics = {**metrics, **gap_metrics(jax.lax.stop_gradient(logps), rows.sampler_RxT, mask),
               'entropy/nats_per_token': (losses.masked_sum(jax.lax.stop_gradient(entropy), mask), count)}
    return numerator, denominator, metrics | _expert_load(seen) | _routed_otherwise(seen, rows.choices_RxTxLxk)

  return loss_fn


def gap_metrics(logps_RxT, sampler_RxT, mask_RxT) -> dict:
  """How far the trainer's log-probs are from the sampler's, on tokens of the sampler's: nats.

  kl_nats_per_token: k3, unbiased for KL(sampler || trainer). beyond_half_nat: share of tokens whose gap is over 0.5.
  """
  gap, count = jnp.where(mask_RxT > 0, logps_RxT - sampler_RxT, 0.0), jnp.sum(mask_RxT)
  return {'mismatch/logp_mean_abs': (jnp.sum(jnp.abs(gap)), count), 'mismatch/logp_max_abs': Max(jnp.max(jnp.abs(gap))),
          'mismatch/kl_nats_per_token': (jnp.sum(losses.kl_k3(0.0, gap)), count),
          'mismatch/beyond_half_nat': (jnp.sum((jnp.abs(gap) > 0.5).astype(jnp.float32)), count)}


def cross_entropy_loss(model, *, chunk: int, balance_share: float = 0.0):
  """Of packed documents; balance_share: of a mixture's sequence-wise balance loss, each row weighed by its tokens."""

  def loss_fn(params, prefix, rows: packing.Packed):
    del prefix
    weights, (apply, seen) = {'params': params}, _recorded(model)
    hidden, _ = apply(weights, rows.tokens_BxT, rows.positions_BxT, rows.segment_ids_BxT, method='hidden')
    unembed = lambda h: model.apply(weights, h, method='unembed')
    logps, _ = losses.token_logps(unembed, hidden, rows.targets_BxT, chunk=chunk)
    numerator, denominator, metrics = losses.cross_entropy(logps, rows.mask_BxT)
    if seen and balance_share:
      balance_B = jnp.mean(seen[0]['balance'], axis=0)
      numerator = numerator + balance_share * jnp.sum(balance_B * jnp.sum(rows.mask_BxT, axis=1))
    return numerator, denominator, metrics | _expert_load(seen)

  return loss_fn


class Judged(NamedTuple):
  """What a reward model learns from: pairs, the better response first, or single responses with labels."""
  tokens_BxT: Any  # int32, prompt and response, right-padded
  lengths_B: Any  # int32; 0: padding, that counts nowhere
  labels_B: Any  # float32, 1: safe; not read for pairs


def rewards(model, params, tokens_BxT, lengths_B, apply=None):
  """[B]: the reward head at each row's last token. apply: instead of model.apply, to record."""
  weights = {'params': params}
  at = jnp.arange(tokens_BxT.shape[1])
  positions = jnp.where(at < lengths_B[:, None], at, NOWHERE)
  hidden, _ = (apply or model.apply)(weights, tokens_BxT, positions, method='hidden')
  last = jnp.take_along_axis(hidden, jnp.maximum(lengths_B - 1, 0)[:, None, None], axis=1)[:, 0]
  return model.apply(weights, last, method='reward')


def preference_loss(model, *, pairs: bool):
  """Bradley-Terry on pairs, else the log-loss of labels."""

  def loss_fn(params, prefix, rows: Judged):
    del prefix
    apply, seen = _recorded(model)
    rewards_B = rewards(model, params, rows.tokens_BxT, rows.lengths_B, apply)
    real = (rows.lengths_B > 0).astype(jnp.float32)
    margin, label, real = ((rewards_B[0::2] - rewards_B[1::2], 1.0, real[0::2]) if pairs else
                           (rewards_B, rows.labels_B, real))
    each = jnp.where(real > 0, losses.log_loss(margin, label), 0.0)
    right = (margin > 0) == (jnp.asarray(label) > 0.5)
    numerator, count = jnp.sum(each), jnp.sum(real)
    metrics = {'loss': (numerator, count), 'accuracy/train': (jnp.sum(right * real), count)}
    return numerator, count, metrics | _expert_load(seen)

  return loss_fn


class Steps(NamedTuple):
  """What a model of steps learns from (stages/process.py)."""
  tokens_BxT: Any  # int32, prompt and answer, right-padded
  lengths_B: Any  # int32
  mask_BxT: Any  # float32, at the last token of each step what it weighs, else 0
  labels_BxT: Any  # float32 in 0..1, 1: right


def step_rewards(model, params, tokens_BxT, lengths_B, apply=None):
  """[B, T]: the reward head at every token. apply: as of rewards."""
  weights, at = {'params': params}, jnp.arange(tokens_BxT.shape[1])
  positions = jnp.where(at < lengths_B[:, None], at, NOWHERE)
  hidden, _ = (apply or model.apply)(weights, tokens_BxT, positions, method='hidden')
  return model.apply(weights, hidden, method='reward')


def process_loss(model):
  """The log-loss of each step's label."""

  def loss_fn(params, prefix, rows: Steps):
    del prefix
    apply, seen = _recorded(model)
    logits = step_rewards(model, params, rows.tokens_BxT, rows.lengths_B, apply)
    count = jnp.sum(rows.mask_BxT)
    numerator = losses.masked_sum(losses.log_loss(logits, rows.labels_BxT), rows.mask_BxT)
    right = losses.masked_sum(((logits > 0) == (rows.labels_BxT > 0.5)).astype(jnp.float32), rows.mask_BxT)
    return numerator, count, {'loss': (numerator, count), 'accuracy/train': (right, count)} | _expert_load(seen)

  return loss_fn


def _recorded(model):
  """(model.apply, a list that it fills with what a mixture's router did; it stays empty for a dense model)."""
  return moe.recording(model.apply) if model.mixture else (model.apply, [])


def _expert_load(seen) -> dict:
  return {'experts/load': Sum(sum(s['load'] for s in seen))} if seen else {}


def _routed_otherwise(seen, choices_RxTxLxk) -> dict:
  """Under a replay, the share of tokens, a layer each, whose experts the trainer's router would not have chosen."""
  if not seen or choices_RxTxLxk is None:
    return {}
  k = choices_RxTxLxk.shape[-1]
  return {'mismatch/routed_otherwise': (sum(jnp.sum(s['otherwise']) for s in seen),
                                        sum(jnp.sum(s['load']) for s in seen) / k)}


def move_router_bias(rate: float):
  """update.apply's `after` for a mixture of experts: the router's bias moves by load (moe.balance)."""

  def after(params, sums):
    load_LxE = sums['experts/load']
    worst = jnp.max(jnp.max(load_LxE, axis=1) / jnp.maximum(jnp.mean(load_LxE, axis=1), 1e-9))
    return moe.balance(params, load_LxE, rate=rate) if rate else params, {'router/load_max_over_mean': worst}

  return after


# --- a stage's programs, from its part of the config


def chunk_for(config, model, rows: int) -> int:
  """Positions of the vocabulary pass that are held at once for so many rows."""
  return losses.chunk_positions(config.logit_elements, rows, model.config.vocab_size)


def check(c, mesh, longest: int) -> None:
  """Raises UserError for a token budget or an optimiser that cannot be."""
  packing.shapes(longest, tokens=c.micro_tokens, shards=mesh_lib.batch_shards(mesh), multiple=8)
  try:
    optim.create(**{'learning_rate': 0.0, **c.optimizer}, steps=1)
  except (TypeError, ValueError) as e:
    raise UserError(str(e)) from e


def _shapes(c, mesh, longest: int, most: int, *, buckets: bool) -> dict[int, packing.Shape]:
  """Of micro-batches of rows of up to `longest` tokens, of which a minibatch has `most`; without buckets all are that
  long."""
  multiple = 128 if mesh_lib.platform(mesh) != 'cpu' else 8
  shards = mesh_lib.batch_shards(mesh)
  if buckets:
    return packing.shapes(longest, tokens=c.micro_tokens, shards=shards, multiple=multiple, most=most)
  return {longest: packing.shapes(longest, tokens=c.micro_tokens, shards=shards, multiple=longest, most=most)[longest]}


def _shapes_of_documents(c, mesh, places: float) -> dict[int, packing.Shape]:
  """Of micro-batches for batches of documents: rows of c.length, and of 5/8 of it.

  A batch seldom fills whole micro-batches of the longest rows. With the second length, by formula, 0.59 / 0.64 / 0.76
  of the positions are real for 0.59 / 0.59 / 0.62 (128 documents on 32 shards, 64 on 16, rows of 32,768, mean 4,800;
  32 on 8, rows of 8,192, mean 2,500; log-normal, sigma 1); with three more 0.61 / 0.68 / 0.79, each minutes of
  compiling at full size.
  """
  multiple, shards = 128 if mesh_lib.platform(mesh) != 'cpu' else 8, mesh_lib.batch_shards(mesh)
  up = lambda n, step: -(-math.ceil(n) // step) * step
  sizes = {min(up(5 / 8 * c.length, multiple), c.length), c.length}
  most = lambda T: up(1.1 * places / T, shards) if places else up(c.batch, shards)
  return {T: packing.Shape(max(min(c.micro_tokens // T // shards * shards, most(T)), shards), T) for T in sorted(sizes)}


def _arrays(kind, shape: packing.Shape, mesh, *, none: tuple[str, ...] = ()):
  """Shapes of a micro-batch: names end in their axes, integers but for what is a number of the loss."""
  dealt = mesh_lib.batch_sharding(mesh)
  floats = ('sampler_RxT', 'old_RxT', 'ref_RxT', 'advantages_R', 'counts_R', 'mask_BxT', 'labels_B', 'labels_BxT')
  size = lambda name: tuple(shape) if name.endswith('xT') else (shape.rows,)
  dtype = lambda name: jnp.float32 if name in floats else jnp.int32
  return kind(*(None if name in none else jax.ShapeDtypeStruct(size(name), dtype(name), sharding=dealt)
                for name in kind._fields))


def _training(config, c, model, mesh, loss_fn, rows, **kw) -> update.Training:
  try:
    optimizer = optim.create(steps=max(c.steps, 1), **kw.pop('rate', {}), **c.optimizer)
  except ValueError as e:
    raise UserError(str(e)) from e
  after = move_router_bias(config.experts.bias_rate) if model.mixture else None
  return update.Training(model, mesh, optimizer, loss_fn, rows, seed=config.seed, after=after,
                         lora=lora_lib.of(config, c, model), **kw)


def leaves_out(c) -> bool:
  """Whether some outputs of a rollout may be left out of the loss."""
  return bool(c.drop_truncated or c.drop_equal)


class LogProbs(NamedTuple):
  """The forward passes of a policy's log-probs, or of the reference's, whose weights may be kept in another dtype and
  whose experts are its own router's choice."""
  prefix: mesh_lib.Program  # (params, prompts) -> what rows need of them
  rows: dict[int, mesh_lib.Program]  # T -> (params, prefix, tokens, lengths, prompt_R[, choices]) -> log-probs [R, T]


class RL(NamedTuple):
  """The programs of GRPO's update."""
  training: update.Training
  shapes: dict[int, packing.Shape]
  logps: LogProbs
  reference: LogProbs | None  # None without one; `logps` itself where its weights are as the policy's
  prompts: tuple[int, int]
  choices: tuple | None = None  # the model's choices(), where they are replayed


def rl(config, c, model, mesh, max_prompt: int | None = None) -> RL:
  """GRPO. max_prompt: columns of the prompts, where the stage knows that they need fewer than c.max_prompt."""
  shards = mesh_lib.batch_shards(mesh)
  shapes = _shapes(c, mesh, limits.longest(c.max_tokens), c.groups * c.samples, buckets=True)
  prompts = (-(-c.groups // shards) * shards, max_prompt or c.max_prompt)
  reference = c.ref_dtype if c.kl_coef > 0 else None
  chunk = chunk_for(config, model, max(s.rows for s in shapes.values()))
  none = (*(() if reference else ('ref_RxT',)), *(() if leaves_out(c) else ('counts_R',)))
  choices = replayed(c, model)
  rows = {T: _arrays(Outputs, shape, mesh, none=(*none, 'choices_RxTxLxk')) for T, shape in shapes.items()}
  if choices:
    rows = {T: of._replace(choices_RxTxLxk=jax.ShapeDtypeStruct(
        (*shapes[T], *choices[0]), choices[1], sharding=mesh_lib.batch_sharding(mesh))) for T, of in rows.items()}
  training = _training(config, c, model, mesh, grpo_loss(model.apply, c, chunk=chunk, experts=model.mixture), rows,
                       rate={'learning_rate': c.learning_rate}, prompts=prompts, reference=reference,
                       ref_memory=c.ref_memory, choices=choices)
  forward = jax.jit(lambda params, prefix, tokens, lengths, prompt, chosen=None: completion_logps(
      moe.replaying(model.apply, chosen), params, prefix, tokens, lengths, prompt, temperature=c.temperature,
      chunk=chunk)[0], out_shardings=mesh_lib.batch_sharding(mesh))
  before = training.prefix_shapes()

  def log_probs(params, replay: bool) -> LogProbs:
    each = {T: (*rows[T][:3], *([rows[T].choices_RxTxLxk] if replay else [])) for T in shapes}
    return LogProbs(training.program('prefix', params=params, replay=replay), {
        T: mesh_lib.Program(forward, (params, before, *each[T]), mesh, mesh_lib.RULES) for T in shapes})

  logps = log_probs(training.params, bool(choices))
  others = None if reference is None else logps
  if reference is not None and (reference != 'float32' or choices):
    others = log_probs(training.params if training.lora else mesh_lib.with_shardings(
        training.state.ref_params, training.shardings.params), False)
  return RL(training, shapes, logps, others, prompts, choices)


def replayed(c, model) -> tuple | None:
  """The model's choices(), where a stage replays the sampler's (c.moe_replay).

  Raises:
    UserError: there are none, in a dense model.
  """
  if not c.get('moe_replay'):
    return None
  if not model.mixture:
    raise UserError(f'rl.moe_replay=True replays which experts the sampler chose, and family {model.config.family!r} '
                    'has none: set it to False')
  return model.choices()


def chosen(arrays: list, shape: tuple[int, int], choices: tuple) -> np.ndarray:
  """[*shape, L, k] on the host: the choices [n, L, k] of each row, 0 behind them; choices: a model's."""
  out = np.zeros((*shape, *choices[0]), choices[1])
  for row, array in zip(out, arrays):
    row[:len(array)] = array
  return out


def outputs(completions: list[Completion], prompt_of: list[int], advantages, shape: packing.Shape, pad_id: int, *,
            reference: bool, choices: tuple | None = None) -> Outputs:
  """A micro-batch on the host; old log-probs are the sampler's, the reference's are to be put in. choices: the model's,
  where they are replayed."""
  some = lambda values, dtype: packing.padded([np.asarray(values, dtype)], packing.Shape(1, shape.rows))[0]
  sampler = packing.padded([c.logps for c in completions], shape, np.float32(0))
  return Outputs(packing.padded([c.tokens for c in completions], shape, pad_id),
                 some([len(c.tokens) for c in completions], np.int32), some(prompt_of, np.int32), sampler, sampler,
                 sampler if reference else None, some(advantages, np.float32), None,
                 chosen([c.choices for c in completions], shape, choices) if choices else None)


def cut(training: update.Training, batch, lengths, *, each: int = 1) -> list[tuple[int, Any]]:
  """A batch on the host, [n * each, ...] arrays -> (T, micro-batch) of the shapes that `training` is compiled for.

  lengths: of its n units, the longest of the `each` rows that stay together.
  """
  size = {T: packing.Shape(rows[0].shape[0] // each, T) for T, rows in training.rows.items()}
  out = []
  for T, units in packing.micro_batches(lengths, size):
    chosen = np.asarray([unit * each + i for unit in units for i in range(each)])
    fill = lambda name: NOWHERE if name == 'positions_BxT' else 0

    def one(name, x):
      part = np.full((size[T].rows * each, *([T] if x.ndim > 1 else [])), fill(name), x.dtype)
      part[:len(chosen)] = x[chosen, :T] if x.ndim > 1 else x[chosen]
      return part

    out.append((T, type(batch)(*(one(name, x) for name, x in zip(batch._fields, batch)))))
  return out


def sft(config, c, model, mesh, places: float = 0.0) -> update.Training:
  """Supervised fine-tuning and pre-training, on packed rows.

  places: of a batch that counts documents, the tokens that it has in the mean, where the stage knows; a micro-batch of
    more would be padding.
  """
  shapes = _shapes(c, mesh, c.length, c.batch, buckets=False)
  if c.get('batch_of') == 'documents':
    shapes = _shapes_of_documents(c, mesh, places)
  chunk = chunk_for(config, model, max(shape.rows for shape in shapes.values()))
  rows = {T: _arrays(packing.Packed, shape, mesh) for T, shape in shapes.items()}
  loss_fn = cross_entropy_loss(model, chunk=chunk, balance_share=config.experts.balance_loss)
  return _training(config, c, model, mesh, loss_fn, rows)


def preference(config, c, model, mesh) -> update.Training:
  """A reward model's: c.kind 'pairs' or 'labels'."""
  pairs = c.kind == 'pairs'
  each = 2 * mesh_lib.batch_shards(mesh) if pairs else 1  # both members of a pair lie on one device
  shapes = _shapes(c, mesh, c.length, -(-c.batch * 2 // each) * each if pairs else c.batch, buckets=True)
  rows = {T: _arrays(Judged, packing.Shape(max(s.rows // each, 1) * each, T), mesh) for T, s in shapes.items()}
  return _training(config, c, model, mesh, preference_loss(model, pairs=pairs), rows)


def process(config, c, model, mesh) -> update.Training:
  """A model of steps."""
  shapes = _shapes(c, mesh, c.length, c.batch, buckets=True)
  rows = {T: _arrays(Steps, shape, mesh) for T, shape in shapes.items()}
  return _training(config, c, model, mesh, process_loss(model), rows)
