"""The losses that stages train with, as update.Training takes them: loss_fn(params, prefix, rows)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from r1jax import limits
from r1jax.engine import grpo
from r1jax.engine import losses
from r1jax.engine import packing
from r1jax.models import moe
from r1jax.models.decoder import Prefix
from r1jax.models.layers import constrain
from r1jax.types import NOWHERE, Max, Sum


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
    if c.is_cap:
      metrics['importance/cut'] = (jnp.sum(mask * grpo.importance_cut(
          rows.old_RxT, rows.sampler_RxT, cap=c.is_cap, kind=c.is_kind)), count)
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
  hidden = _hidden(apply or model.apply, params, tokens_BxT, lengths_B)
  last = jnp.take_along_axis(hidden, jnp.maximum(lengths_B - 1, 0)[:, None, None], axis=1)[:, 0]
  return model.apply({'params': params}, last, method='reward')


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
  starts_B: Any  # int32, where the answer begins; None: a reward head, which need not know
  reference_BxT: Any  # float32, the reference's answer_logps; None likewise
  mask_BxT: Any  # float32, at the last token of each step what it weighs, else 0
  labels_BxT: Any  # float32 in 0..1, 1: right


def _hidden(apply, params, tokens_BxT, lengths_B):
  """[B, T, D] of rows that are right-padded."""
  at = jnp.arange(tokens_BxT.shape[1])
  positions = jnp.where(at < lengths_B[:, None], at, NOWHERE)
  return apply({'params': params}, tokens_BxT, positions, method='hidden')[0]


def step_rewards(model, params, tokens_BxT, lengths_B, apply=None):
  """[B, T]: the reward head at every token. apply: as of rewards."""
  hidden = _hidden(apply or model.apply, params, tokens_BxT, lengths_B)
  return model.apply({'params': params}, hidden, method='reward')


def answer_logps(model, params, tokens_BxT, lengths_B, starts_B, *, chunk: int = 128, apply=None):
  """[B, T]: at every token the log-probability of the answer up to it and with it, nats; 0 before `starts_B`, behind a
  row's end that of its whole answer.

  beta times this less a reference's is the Q value of a prefix (Yuan et al. 2024, arXiv:2412.01981, section 3).
  """
  hidden = _hidden(apply or model.apply, params, tokens_BxT, lengths_B)
  unembed = lambda h: model.apply({'params': params}, h, method='unembed')
  logps, _ = losses.token_logps(unembed, hidden, jnp.roll(tokens_BxT, -1, axis=1), chunk=chunk)
  own, at = jnp.roll(logps, 1, axis=1), jnp.arange(tokens_BxT.shape[1])  # each token's, at its own place
  answer = (at > 0) & (at >= starts_B[:, None]) & (at < lengths_B[:, None])
  return jnp.cumsum(jnp.where(answer, own, 0.0), axis=1)


def process_loss(model, beta: float = 0.0, *, chunk: int = 128):
  """The log-loss of each step's label by the reward head; with beta > 0 by the implicit reward, which needs none."""

  def loss_fn(params, prefix, rows: Steps):
    del prefix
    apply, seen = _recorded(model)
    if beta:
      logits = beta * (answer_logps(model, params, rows.tokens_BxT, rows.lengths_B, rows.starts_B, chunk=chunk,
                                    apply=apply) - rows.reference_BxT)
    else:
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

