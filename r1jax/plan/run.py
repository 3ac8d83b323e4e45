"""A whole RL run by formula: completions of lengths that differ, through the slots, the micro-batches and back.

Lengths are quantiles of a log-normal distribution, so that a plan says the same each time. Slots are played through
chunk by chunk as engine/rollout.Rollout fills them, micro-batches are cut by the function that the stage calls; each
program then takes what plan/roofline.py says, at 100 % of peak, one after the other. Beside it the same run the static
way: waves of 32 groups until the longest ends, and an update that is padded to max_tokens.
"""

import collections
import math
import statistics
from typing import Callable, NamedTuple

import numpy as np

from r1jax import limits
from r1jax.engine import packing
from r1jax.exceptions import UserError
from r1jax.plan import roofline
from r1jax.plan.chips import Topology

STATIC_GROUPS = 32  # of a wave
JUDGES = 64  # processes that judge, a host
PAPER = dict(hours=198, chips=512, kind='h800',  # R1-Zero
             source='secondary: version 2 of the paper as others quote it')


class Lengths(NamedTuple):
  """--lengths, for a stage."""
  mean: float  # tokens, of what is really said: after the cut
  sigma: float
  most: int


def lengths(text: str, most: int, key: str = 'max_tokens') -> Lengths:
  """'MEAN[:SIGMA]' -> Lengths; '': half of `most`, sigma 1. key: of the config, that says what is most.

  Raises:
    UserError: another form, or a mean that no cut at `most` leaves.
  """
  mean, _, sigma = (text or str(most / 2)).partition(':')
  try:
    found = Lengths(float(mean), float(sigma or 1.0), most)
  except ValueError:
    raise UserError(f'--lengths={text!r} is not of the form MEAN[:SIGMA], in tokens') from None
  if not 1 <= found.mean < 0.99 * most or found.sigma < 0:
    raise UserError(f'--lengths={text!r}: the mean must lie between 1 and 99 % of {key}={most}, '
                    'sigma be at least 0')
  return found


def quantiles(n: int, asked: Lengths) -> np.ndarray:
  """[n] int64: lengths in an order in which every stretch has about the mean of all, so that no order of groups is
  lucky."""
  normal = np.array([statistics.NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
  drawn = lambda mu: np.clip(np.rint(np.exp(mu + asked.sigma * normal)), 1, asked.most)
  low, high = -1.0, math.log(asked.most) + 10 * asked.sigma + 1  # of the logarithm of the median before the cut
  for _ in range(60):
    middle = (low + high) / 2
    low, high = (middle, high) if drawn(middle).mean() < asked.mean else (low, middle)
  # The golden section spreads best.
  stride = next(k for k in range(max(round(n * 0.618), 1), 2 * n) if math.gcd(k, n) == 1)
  return drawn(high)[np.arange(n) * stride % n].astype(np.int64)


class Spent(collections.Counter):
  """Seconds of programs run one after the other, and what each resource needed of them."""

  def add(self, work: roofline.Work, where: Topology, times: float = 1) -> None:
    found = roofline.seconds(work, where)
    self['seconds'] += times * max(found.values())
    for name, s in found.items():
      self[name] += times * s

  @property
  def bound(self) -> str:
    return max(('compute', 'hbm', 'interconnect'), key=lambda name: self[name])


class Filled(NamedTuple):
  """What a rollout did."""
  steps: int
  live: int  # row-steps that chose a token
  refills: int

  def slot_use(self, rows: int) -> float:
    return self.live / max(self.steps * rows, 1)


def through_slots(lengths_B: np.ndarray, *, rows: int, chunk: int, ahead: int,
                  step: Callable[[int, int, float, int], None]) -> Filled:
  """Outputs through slots, a chunk at a time, as Rollout does it.

  Args:
    lengths_B: in the order in which they are begun.
    rows, chunk: S, and decode steps of a chunk at most; it ends early when a sixteenth of the rows have ended and
      others wait.
    ahead: chunks dispatched before the results of one are read.
    step: called of each chunk with (steps; of the live rows: how many, tokens chosen so far in the middle of the chunk,
      those of the longest at its end).
  """
  waiting, flying = collections.deque(lengths_B.tolist()), collections.deque()
  left, said = np.zeros((2, rows), np.int64)  # tokens to come, tokens chosen
  taken = np.zeros(rows, bool)  # rows that the host believes to be at work
  steps = live = refills = 0
  while waiting or left.any():
    free = np.flatnonzero(~taken)[:len(waiting)]
    if len(free):
      left[free], said[free], taken[free] = [waiting.popleft() for _ in free], 0, True
      refills += 1
    working = left > 0
    if working.any():
      n, enough = min(chunk, int(left.max())), max(1, rows // 16)
      if waiting and working.sum() >= enough:
        n = min(n, int(np.partition(left[working], enough - 1)[enough - 1]))
      step(n, int(working.sum()), float(said[working].sum() + working.sum() * n / 2), int(said[working].max()) + n)
      gone = np.minimum(left, n)
      steps, live, left, said = steps + n, live + int(gone.sum()), left - gone, said + gone
      flying.append(working & (left == 0))
    if len(flying) > ahead or not working.any():
      taken &= ~flying.popleft()
  return Filled(steps, live, refills)


def in_waves(lengths_B: np.ndarray, *, rows: int, step: Callable[[int, int, float, int], None]) -> Filled:
  """The static way: `rows` outputs at a time until the longest of them ends; rows that have ended go on costing. step:
  as of through_slots, called of each wave."""
  steps = live = refills = 0
  for start in range(0, len(lengths_B), rows):
    wave = lengths_B[start:start + rows]
    longest = int(wave.max())
    step(longest, len(wave), len(wave) * longest / 2, longest)
    steps, live, refills = steps + longest, live + int(wave.sum()), refills + 1
  return Filled(steps, live, refills)


class Judge(NamedTuple):
  """A reward model."""
  tokens: int  # that it reads of a completion
  implicit: bool = False  # a language model and the one it is held against read them, each to its vocabulary


class Stage(NamedTuple):
  """What the formulas read of an RL stage, from its programs and its part of the config."""
  c: object
  sizes: roofline.Sizes
  where: Topology
  remat: bool
  moment_bytes: int
  shapes: dict  # T -> packing.Shape of micro-batches
  slots: int
  chunk: int
  prompts: int  # prefilled at a time
  width: int  # of a prompt
  buckets: tuple[int, ...]
  kernel: bool  # decoding reads what is filled, not what is allocated
  reward_models: tuple[Judge, ...]
  verdict_seconds: float
  rollouts: int


def of_stage(s: Stage, asked: Lengths) -> dict:
  """The `run` of --json."""
  c = s.c
  rollouts, outputs = s.rollouts, c.groups * c.minibatches * c.samples
  lengths_B = quantiles(outputs, asked)
  now, before = _rollout(s, lengths_B), _static_rollout(s, lengths_B)
  now |= _update(s, lengths_B)
  before |= _static_update(s, outputs, asked.most)
  for way in (now, before):
    way['weights'] = Spent()
    way['weights'].add(roofline.weights(s.sizes), s.where)
    way['judging'] = _judging(s, outputs, way)
  real, places = int(lengths_B.sum()), {'now': now.pop('places'), 'before': outputs * asked.most}
  summary = lambda way, positions: {
      **_whole(way, rollouts, s.where), 'slot_use': way['filled'], 'decode_steps': way['steps'],
      'token_use': real / positions}
  return {'planned': 'by formula, 100 % of peak', 'outputs': outputs, 'rollouts': rollouts,
          'lengths': {'mean': float(lengths_B.mean()), 'median': float(np.median(lengths_B)), 'sigma': asked.sigma,
                      'most': asked.most, 'cut': float((lengths_B == asked.most).mean())},
          'judging_assumes': _assumed(s), **summary(now, places['now']), 'static': summary(before, places['before'])}


def together(parts: list[dict]) -> dict:
  """A run of several parts, each as of_stage has it: sums of what sums up, of the rest what the last part has."""
  sums = lambda ways, keys: {key: sum(way[key] for way in ways) for key in keys}
  days = ('days', 'chip_hours')
  return {**parts[-1], **sums(parts, ('rollouts', *days)),
          'static': {**parts[-1]['static'], **sums([part['static'] for part in parts], days)}, 'parts': parts}


def _whole(way: dict, rollouts: int, where: Topology) -> dict:
  """Seconds of a rollout's parts, and the run that they make."""
  parts = {name: spent for name, spent in way.items() if isinstance(spent, Spent)}
  seconds = {name: float(spent['seconds']) for name, spent in parts.items()}
  seconds['total'] = sum(seconds.values())
  binds = max(parts, key=lambda name: seconds[name])
  days = seconds['total'] * rollouts / 86400
  return {'seconds': seconds, 'days': days, 'chip_hours': days * 24 * where.chips, 'bound': binds,
          'bound_by': parts[binds].bound}


# --- now

def _rollout(s: Stage, lengths_B: np.ndarray) -> dict:
  prefill, decode = Spent(), Spent()
  groups = len(lengths_B) // s.c.samples
  prefill.add(roofline.prefill(s.sizes, s.prompts, s.width), s.where, -(-groups // s.prompts))

  def step(n: int, live: int, said: float, longest: int) -> None:
    columns = said + s.width * live
    if not s.kernel:  # the whole of the bucket, row by row
      columns = s.slots * next((b for b in s.buckets if b >= s.width + longest), s.buckets[-1])
    decode.add(roofline.decode_step(s.sizes, s.slots, columns), s.where, n)

  ahead = 1 if s.where.chip.platform != 'cpu' else 0
  filled = through_slots(lengths_B, rows=s.slots, chunk=s.chunk, ahead=ahead, step=step)
  decode.add(roofline.admit(s.sizes, s.slots, s.width), s.where, filled.refills)
  return {'prefill': prefill, 'decode': decode, 'steps': filled.steps, 'filled': filled.slot_use(s.slots)}


def _update(s: Stage, lengths_B: np.ndarray) -> dict:
  """Reference and update by real tokens, and the positions that they compute."""
  c, reference, update, places = s.c, Spent(), Spent(), 0
  passes = (c.kl_coef > 0) + (c.old_logps == 'trainer')
  for part in np.split(lengths_B, c.minibatches):
    update.add(roofline.prompts(s.sizes, c.groups, s.width, remat=s.remat), s.where, c.epochs)
    reference.add(roofline.prefill(s.sizes, c.groups, s.width), s.where, passes)
    for T, _ in packing.micro_batches(part.tolist(), s.shapes):
      rows = s.shapes[T].rows
      places += rows * T
      update.add(roofline.gradient(s.sizes, rows, T, s.width, remat=s.remat), s.where, c.epochs)
      reference.add(roofline.reference(s.sizes, rows, T, s.width), s.where, passes)
    update.add(roofline.optimizer(s.sizes, s.moment_bytes), s.where, c.epochs)
  return {'reference': reference, 'update': update, 'places': places}


# --- before

def _static_rollout(s: Stage, lengths_B: np.ndarray) -> dict:
  prefill, decode = Spent(), Spent()
  groups = min(STATIC_GROUPS, len(lengths_B) // s.c.samples)
  rows = groups * s.c.samples

  def step(n: int, _: int, said: float, __: int) -> None:  # a prompt's keys were shared by its group: next to nothing
    decode.add(roofline.decode_step(s.sizes, rows, said), s.where, n)

  filled = in_waves(lengths_B, rows=rows, step=step)
  prefill.add(roofline.prefill(s.sizes, groups, s.width), s.where, filled.refills)
  return {'prefill': prefill, 'decode': decode, 'steps': filled.steps, 'filled': filled.slot_use(rows)}


def _static_update(s: Stage, outputs: int, longest: int) -> dict:
  c, reference, update = s.c, Spent(), Spent()
  rows = outputs // c.minibatches
  cuts = -(-rows // s.shapes[max(s.shapes)].rows)
  step = roofline.update(s.sizes, rows, longest, s.width, cuts, remat=s.remat, moment_bytes=s.moment_bytes)
  update.add(step, s.where, limits.steps_a_rollout(c))
  passes = (c.kl_coef > 0) + (c.old_logps == 'trainer')
  reference.add(roofline.reference(s.sizes, rows / cuts, longest, s.width), s.where, passes * cuts * c.minibatches)
  return {'reference': reference, 'update': update}


# --- judging

def _judging(s: Stage, outputs: int, way: dict) -> Spent:
  """What is not over when the reference pass is: verdicts come while others are sampled, reward models after them."""
  spent, workers = Spent(), JUDGES * _hosts(s.where)
  last = s.c.samples * s.verdict_seconds / workers  # the group that ends last
  behind = max(0.0, outputs * s.verdict_seconds / workers - way['decode']['seconds']) + last
  spent['seconds'] += max(0.0, behind - way['reference']['seconds'])
  for tokens, implicit in s.reward_models:
    rows = min(s.c.groups, outputs)
    one = roofline.reference(s.sizes, rows, tokens, 0)
    head = one._replace(flops=one.flops - 2 * s.sizes.vocabulary * rows * tokens)
    spent.add(one if implicit else head, s.where, (1 + implicit) * -(-outputs // rows))
  return spent


def _hosts(where: Topology) -> int:
  return math.prod(where.shape[:-1]) if where.chip.platform == 'gpu' else max(1, where.chips // 4)


def _assumed(s: Stage) -> str:
  said = (f'{s.verdict_seconds:g} s a verdict on {JUDGES} judges of each of {_hosts(s.where)} hosts'
          if s.verdict_seconds else
          'rules without a clock take no time that does not hide (--verdict_seconds=X for others)')
  said += f'; {len(s.reward_models)} reward models read all completions' if s.reward_models else ''
  tries = s.c.dynamic_tries
  return said + (f'; each rollout is drawn once, where rl.dynamic_tries={tries} draws up to {tries} times' if tries
                 else '')
