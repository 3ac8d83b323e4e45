"""Values of an rl stage that cannot be, and options that cannot go together (docs/objectives.md)."""

import logging

from r1jax import limits
from r1jax.data import tasks
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')


def check(c, name: str, weights: dict[str, float]) -> None:
  """Raises UserError for what has no meaning, alone or together; says what has little. weights: of the rewards."""
  _values(c, name)
  _objective(c, name)
  _stale(c, name)
  if c.dynamic_tries:
    _dynamic(c, name, weights)
  _curriculum(c, name, weights)
  _general(c, name)
  _say_unread(c, name, weights)
  _say_late(c, name)


def _say_unread(c, name: str, weights: dict[str, float]) -> None:
  """Values that are not the default, and that nothing reads while others are as they are."""
  unread = [(key, f'{name}.kl_coef=0 has neither a KL nor a reference') for key, plain in (
      ('kl', ('k3',)), ('ref_dtype', ('float32',)), ('ref_memory', ('device',)), ('ref_every', (0, 400)))
      if not c.kl_coef and c[key] not in plain]
  if c.surrogate == 'reinforce':
    why = f"{name}.surrogate='reinforce' has no ratio"
    unread += [(key, why) for key in ('clip_low', 'clip_high') if c[key] != 0.2]
    if c.old_logps == 'trainer' and not c.is_cap:
      unread.append(('old_logps', f'{why}, and {name}.is_cap=0 no weights'))
  if c.overlong_buffer != 4096 and not weights.get('overlong'):
    unread.append(('overlong_buffer', "the reward 'overlong' has the weight 0"))
  for key, why in unread:
    log.warning('%s.%s=%r is not read: %s', name, key, c[key], why)
  if c.dynamic_by != 'reward' and not c.dynamic_tries:
    log.warning('%s.dynamic_by=%r is not read: %s.dynamic_tries=0', name, c.dynamic_by, name)
  if c.curriculum.mode not in ('drop_solved', 'prioritized') and c.curriculum.askings != 1:
    log.warning('%s.curriculum.askings=%d is not read: %s.curriculum.mode is %s', name, c.curriculum.askings, name,
                c.curriculum.mode or 'empty')
  for key in ('share', 'from_step') if not c.general.source else ():
    if c.general[key]:
      log.warning('%s.general.%s=%s is not read: %s.general.source is empty', name, key, c.general[key], name)


def _say_late(c, name: str) -> None:
  """What would begin behind the stage's last step, or its last rollout."""
  late = [(f'{key}={c[key]}', step) for key in limits.KEYS for step, _ in limits.schedule(c[key], f'{name}.{key}')]
  late += [(f'general.from_step={c.general.from_step}', c.general.from_step)] if c.general.source else []
  for said, step in late:
    if step > (last := c.steps - limits.steps_a_rollout(c)):
      log.warning('%s.%s: no rollout begins at step %d or behind it, the last of %s.steps=%d begins at %d', name, said,
                  step, name, c.steps, last)
  if c.optimizer.get('warmup', 0) >= c.steps:
    log.warning('%s.optimizer.warmup=%d is not over before the last of %s.steps=%d: %s.learning_rate=%g is not reached',
                name, c.optimizer.warmup, name, c.steps, name, c.learning_rate)


def _general(c, name: str) -> None:
  per = c.groups * c.minibatches
  if c.general.source and 0 < c.general.share < 1 and not round(c.general.share * per):
    raise UserError(f'{name}.general.share={c.general.share} of the {per} groups of a rollout ({name}.groups x '
                    f'{name}.minibatches) is none: at least {1 / per:.3g}, or an empty {name}.general.source')


def _values(c, name: str) -> None:
  if c.samples < 2 and c.scale != 'global':
    raise UserError(f'{name}.samples={c.samples}: a group of one has no baseline (eq. 3), give at least 2, or '
                    f"{name}.scale='global', whose baseline is the rollout's mean")
  if c.samples * c.groups * c.minibatches < 2:
    raise UserError(f'{name}.samples x {name}.groups x {name}.minibatches = 1: a rollout of one has no baseline')
  if c.temperature <= 0:
    raise UserError(f'{name}.temperature={c.temperature} must be > 0: a greedy policy has no gradient')
  if c.steps % (per := limits.steps_a_rollout(c)):
    inner = f' x {name}.epochs={c.epochs}' if c.epochs > 1 else ''
    raise UserError(f'{name}.steps={c.steps} is not a multiple of {name}.minibatches={c.minibatches}{inner}: '
                    f'use {c.steps // per * per or per}')
  if c.is_cap and c.old_logps != 'trainer':
    raise UserError(f"{name}.is_cap={c.is_cap} compares trainer and sampler: it needs {name}.old_logps='trainer', "
                    f'not {c.old_logps!r}')
  for key, known in (('old_logps', ('sampler', 'trainer')), ('ref_memory', ('device', 'host')),
                     ('ref_dtype', ('float32', 'bfloat16'))):
    if c[key] not in known:
      raise UserError(f'{name}.{key}={c[key]!r} is not one of {", ".join(known)}')
  if c.carry < 0:
    raise UserError(f'{name}.carry={c.carry} must be >= 0')
  if c.carry and c.old_logps == 'trainer':
    raise UserError(f"{name}.carry={c.carry} trains on tokens of earlier policies, which only the sampler has seen: "
                    f"{name}.old_logps must be 'sampler', not {c.old_logps!r}")


def _objective(c, name: str) -> None:
  if c.ratio != 'token' and (c.aggregate != 'sequence_mean' or c.is_cap or c.surrogate != 'clip'):
    raise UserError(f"{name}.ratio={c.ratio!r} gives one term an output: it needs {name}.aggregate='sequence_mean', "
                    f"{name}.surrogate='clip' and {name}.is_cap=0, not {c.aggregate!r}, {c.surrogate!r} and {c.is_cap}")
  if c.ratio == 'sequence' and c.kl != 'k3':
    raise UserError(f"{name}.ratio='sequence' has eq. 2 as printed: it needs {name}.kl='k3', not {c.kl!r}")
  if c.drop_equal and c.scale == 'global':
    raise UserError(f"{name}.drop_equal=True leaves out groups of equal rewards, which have an advantage with "
                    f"{name}.scale='global': give one of them")
  if c.is_kind != 'truncate' and not c.is_cap:  # else it would be taken for a correction
    raise UserError(f'{name}.is_kind={c.is_kind!r} is how weights over {name}.is_cap are treated, and {name}.is_cap=0 '
                    f"has none: give {name}.is_cap=2 with {name}.old_logps='trainer', or {name}.is_kind='truncate'")
  if c.is_kind == 'mask' and c.is_cap <= 1:
    raise UserError(f"{name}.is_cap={c.is_cap} with {name}.is_kind='mask' keeps weights from 1 / cap "
                    'to cap: more than 1')
  if 0 < c.is_cap < 1:
    log.warning('%s.is_cap=%s: weights are about 1 where trainer and sampler agree, and all of these are cut to it',
                name, c.is_cap)
  if c.kl == 'k1' and c.kl_coef:
    log.warning("%s.kl='k1': as a term of the loss its gradient is zero in the mean; 'k2' has that of the KL", name)
  if c.surrogate == 'reinforce' and limits.steps_a_rollout(c) > 1:
    log.warning("%s.surrogate='reinforce' has no ratio, and from the second of %d minibatches on the policy is not the "
                'one that sampled', name, limits.steps_a_rollout(c))


def _stale(c, name: str) -> None:
  """Tokens of an earlier policy than the one that an update begins with."""
  if c.carry and c.surrogate == 'reinforce':
    raise UserError(f"{name}.carry={c.carry} learns from tokens of an earlier policy, for which {name}.surrogate="
                    f"'reinforce' has no correction: set {name}.carry=0, or take another surrogate")
  both = ' both learn from tokens of an earlier policy, and together from those of two updates ago: give one of them'
  for key in ('lag', 'dynamic_tries'):
    if not c[key]:
      continue
    if c.carry:
      raise UserError(f'{name}.{key}={c[key]} and {name}.carry={c.carry}' + both)
    if c.old_logps == 'trainer' and not c.is_cap:
      raise UserError(f"{name}.{key}={c[key]} learns from tokens of an earlier policy, and {name}.old_logps='trainer' "
                      f"with {name}.is_cap=0 takes them for the present one's: take {name}.old_logps='sampler', or "
                      f'{name}.is_cap=2')
    if c.surrogate == 'reinforce' and not c.is_cap:
      raise UserError(f"{name}.{key}={c[key]} learns from tokens of an earlier policy, for which "
                      f"{name}.surrogate='reinforce' has no correction: take {name}.old_logps='trainer' with "
                      f'{name}.is_cap=2, or another surrogate')
  if c.lag and c.dynamic_tries:
    raise UserError(f'{name}.lag={c.lag} and {name}.dynamic_tries={c.dynamic_tries}' + both)


def _dynamic(c, name: str, weights: dict[str, float]) -> None:
  if c.dynamic_tries == 1:
    raise UserError(f'{name}.dynamic_tries=1 samples a rollout once, and no group can be replaced: at least 2, or 0')
  if c.scale == 'global':
    raise UserError(f"{name}.dynamic_tries={c.dynamic_tries} replaces groups of equal rewards, which have an advantage "
                    f"with {name}.scale='global': give one of them")
  if c.dynamic_by == 'accuracy' and not weights.get('accuracy'):
    raise UserError(f"{name}.dynamic_by='accuracy' goes by right answers: it needs the reward 'accuracy', whose weight "
                    'is 0')
  finer = [reward for reward, weight in weights.items() if weight and reward not in ('accuracy', 'format', 'truncated')]
  if c.dynamic_by == 'reward' and finer and weights.get('accuracy'):
    log.warning('%s.dynamic_tries=%d: a group of right answers alone counts as one with a signal where the reward %s '
                "differs; with %s.dynamic_by='accuracy' (DAPO, eq. 11) it is replaced", name, c.dynamic_tries,
                ' or '.join(finer), name)


def _curriculum(c, name: str, weights: dict[str, float]) -> None:
  mode, low, high = c.curriculum.mode, c.curriculum.low, c.curriculum.high
  key, several = f'{name}.curriculum', tasks.several(c.task)
  if low > high:
    raise UserError(f'{key}.low={low} is more than {key}.high={high}: no question has such a pass rate')
  if (low, high) != (0.0, 1.0) or mode == 'easy_first':
    said = f'{key}.mode={mode!r}' if mode == 'easy_first' else f'{key}.low={low} and {key}.high={high}'
    made = [task.source for task in several if not tasks.is_file(task.source)]
    if made:
      raise UserError(f'{said} read a column of a file, and {name}.task.source={made[0]!r} is none')
  if mode in ('drop_solved', 'prioritized') and not weights.get('accuracy'):
    raise UserError(f"{key}.mode={mode!r} goes by right answers: it needs the reward 'accuracy', whose weight is 0")
  if mode and len(several) > 1 and any(task.get('share', 0.0) for task in several):
    raise UserError(f'{key}.mode={mode!r} passes questions by, and {name}.task has shares, which say how many of each '
                    'task are asked: give one of them')
  if mode == 'easy_first' and c.general.source:
    raise UserError(f"{key}.mode='easy_first' and {name}.general.source={c.general.source!r}: general questions have "
                    'no place in an order by difficulty, give one of them')
