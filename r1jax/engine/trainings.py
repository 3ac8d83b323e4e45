"""What a stage trains with, from its part of the config: its update.Training, and batches cut for its programs."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import limits
from r1jax.engine import lora as lora_lib
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import optim
from r1jax.engine import packing
from r1jax.engine import update
from r1jax.models import moe
from r1jax.types import NOWHERE, Completion, UserError


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
  floats = ('sampler_RxT', 'old_RxT', 'ref_RxT', 'advantages_R', 'counts_R', 'mask_BxT', 'labels_B', 'labels_BxT',
            'reference_BxT')
  size = lambda name: tuple(shape) if name.endswith('xT') else (shape.rows,)
  dtype = lambda name: jnp.float32 if name in floats else jnp.int32
  return kind(*(None if name in none else jax.ShapeDtypeStruct(size(name), dtype(name), sharding=dealt)
                for name in kind._fields))


def _training(config, c, model, mesh, loss_fn, rows, **kw) -> update.Training:
  try:
    optimizer = optim.create(steps=max(c.steps, 1), **kw.pop('rate', {}), **c.optimizer)
  except ValueError as e:
    raise UserError(str(e)) from e
  after = objective.move_router_bias(config.experts.bias_rate) if model.mixture else None
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
  rows = {T: _arrays(objective.Outputs, shape, mesh, none=(*none, 'choices_RxTxLxk')) for T, shape in shapes.items()}
  if choices:
    rows = {T: of._replace(choices_RxTxLxk=jax.ShapeDtypeStruct(
        (*shapes[T], *choices[0]), choices[1], sharding=mesh_lib.batch_sharding(mesh))) for T, of in rows.items()}
  loss_fn = objective.grpo_loss(model.apply, c, chunk=chunk, experts=model.mixture)
  training = _training(config, c, model, mesh, loss_fn, rows, rate={'learning_rate': c.learning_rate}, prompts=prompts,
                       reference=reference, ref_memory=c.ref_memory, choices=choices)
  forward = jax.jit(lambda params, prefix, tokens, lengths, prompt, chosen=None: objective.completion_logps(
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


def replayed(c, model, said: str = 'the model') -> tuple | None:
  """The model's choices(), where a stage replays the sampler's (c.moe_replay). said: which model it is, for the error.

  Raises:
    UserError: there are none, in a dense model.
  """
  if not c.get('moe_replay'):
    return None
  if not model.mixture:
    raise UserError(f'{said} (family {model.config.family!r}) has no experts to be replayed: set moe_replay=False')
  return model.choices()


def chosen(arrays: list, shape: tuple[int, int], choices: tuple) -> np.ndarray:
  """[*shape, L, k] on the host: the choices [n, L, k] of each row, 0 behind them; choices: a model's."""
  out = np.zeros((*shape, *choices[0]), choices[1])
  for row, array in zip(out, arrays):
    row[:len(array)] = array
  return out


def outputs(completions: list[Completion], prompt_of: list[int], advantages, shape: packing.Shape, pad_id: int, *,
            reference: bool, choices: tuple | None = None) -> objective.Outputs:
  """A micro-batch on the host; old log-probs are the sampler's, the reference's are to be put in. choices: the model's,
  where they are replayed."""
  some = lambda values, dtype: packing.padded([np.asarray(values, dtype)], packing.Shape(1, shape.rows))[0]
  sampler = packing.padded([c.logps for c in completions], shape, np.float32(0))
  return objective.Outputs(packing.padded([c.tokens for c in completions], shape, pad_id),
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
      if x is None:
        return None
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
  loss_fn = objective.cross_entropy_loss(model, chunk=chunk, balance_share=config.experts.balance_loss)
  return _training(config, c, model, mesh, loss_fn, rows)


def preference(config, c, model, mesh) -> update.Training:
  """A reward model's: c.kind 'pairs' or 'labels'."""
  pairs = c.kind == 'pairs'
  each = 2 * mesh_lib.batch_shards(mesh) if pairs else 1  # both members of a pair lie on one device
  shapes = _shapes(c, mesh, c.length, -(-c.batch * 2 // each) * each if pairs else c.batch, buckets=True)
  rows = {T: _arrays(objective.Judged, packing.Shape(max(s.rows // each, 1) * each, T), mesh)
          for T, s in shapes.items()}
  return _training(config, c, model, mesh, objective.preference_loss(model, pairs=pairs), rows)


def process(config, c, model, mesh) -> update.Training:
  """A model of steps: c.form 'head' or 'implicit'."""
  shapes = _shapes(c, mesh, c.length, c.batch, buckets=True)
  none = () if c.form == 'implicit' else ('starts_B', 'reference_BxT')
  rows = {T: _arrays(objective.Steps, shape, mesh, none=none) for T, shape in shapes.items()}
  chunk = chunk_for(config, model, max(shape.rows for shape in shapes.values()))
  return _training(config, c, model, mesh, objective.process_loss(model, c.beta, chunk=chunk), rows)
