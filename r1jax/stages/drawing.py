"""Which groups an RL stage learns from: rollout after rollout, asked, sampled and judged.

Plainly a rollout is a draw: the next questions, all of which count. Beside that

  rl.dynamic_tries  draws until all groups of the rollout carry a signal (DAPO, arXiv:2503.14476, section 3.2)
  rl.curriculum     questions are passed by, by what was said of them so far (data/curriculum.py)
  rl.lag            a rollout is drawn by the policy from before the update that runs beside it (asynchronous RLHF,
                    arXiv:2410.18252; AReaL, arXiv:2505.24298)

What a start in the middle needs is in the journal, whose numbers are those of draws, and in `Policy.drawing`, which
stands beside checkpoints. Every host draws and decides alike, as verdicts are gathered before they decide anything.
"""

from typing import Callable, NamedTuple

import numpy as np

from r1jax import limits
from r1jax import metrics
from r1jax import stopping
from r1jax.data import curriculum
from r1jax.stages import batches
from r1jax.stages import judging
from r1jax.stages import policy
from r1jax.types import Completion, Request


class Drawn(NamedTuple):
  """A rollout whose groups are chosen."""
  batch: batches.Batch
  verdicts: judging.Verdicts
  judged: Callable[[], judging.Judged]  # waits for the verdicts; asked once
  facts: dict[str, float]  # for metrics.jsonl, beside those of its completions


class _Group(NamedTuple):
  """Of a draw: a question, and what was said and measured of its answers."""
  number: int
  row: int
  prompt: np.ndarray
  completions: list[Completion]
  measured: dict[str, np.ndarray]  # by reward models, [G]
  signal: bool  # rewards are not all equal
  choices: np.ndarray | None = None  # the experts of its prompt's tokens, where they are replayed


class Drawing:
  """The rollouts of a stage, in order; begun where `actor.drawing` says that an earlier start has come."""

  def __init__(self, config, c, actor: policy.Policy, scorer: judging.Scorer, tokenizer, rows: list[dict], order,
               models: dict, clock: metrics.Clock):
    """order: questions.Order of the rows. models: reward -> the model that gives it."""
    self._c, self._actor, self._scorer, self._tokenizer, self._rows = c, actor, scorer, tokenizer, rows
    self._order, self._models, self._clock = order, models, clock
    self._groups, self._ready = c.groups * c.minibatches, {}
    self._curriculum = curriculum.Curriculum(
        order, c.curriculum.mode, rows, self._groups, askings=c.curriculum.askings,
        seed=config.seed) if c.curriculum.mode else None
    stands = actor.drawing
    self._draws = stands.get('draws', 0)
    self._left = self._restored(stands)
    if self._curriculum and 'curriculum' in stands:
      self._curriculum.restore(stands['curriculum'])
    self._note_state()

  # --- rollouts

  def rollout(self, state, number: int) -> Drawn:
    """Rollout `number`, by the policy of `state` or as `ahead` has drawn it.

    Raises:
      Stopped: the run was asked to stop, and the journal has what was said so far.
    """
    return self._ready.pop(number, None) or self._drawn(state, number)

  def ahead(self, state, number: int) -> None:
    """With rl.lag, draws rollout `number` by the policy of `state`, which an update then moves on from. Raises Stopped,
    as `rollout` does."""
    if self._c.lag and number * limits.steps_a_rollout(self._c) < self._c.steps:
      self._ready[number] = self._drawn(state, number)

  def sampled(self, rollouts: int) -> int:
    """Groups that so many rollouts took, those without a signal among them."""
    return (self._draws if self._c.dynamic_tries else rollouts) * self._groups

  def _drawn(self, state, number: int) -> Drawn:
    begun = number * limits.steps_a_rollout(self._c)
    if self._c.dynamic_tries:
      self._actor.begin(number, self._draws - bool(self._left))
      return self._dynamic(state, number, begun)
    self._actor.begin(number, number)
    with self._clock.span('admit'):
      most = limits.at(self._c.max_tokens, begun)
      requests = self._actor.requests(self._chosen(number, begun), number, most)
      verdicts = self._verdicts(number, self._actor.rows_of(requests, self._rows), most)
    batch = self._sampled(state, requests, verdicts, number)

    def judged() -> judging.Judged:
      found = verdicts.result(batch.groups, batch.completions, self._measure(batch, verdicts, begun))
      self._note(batch, found.by_name.get('accuracy'))
      return found

    return Drawn(batch, verdicts, judged, self._facts())

  def _sampled(self, state, requests: list[Request], verdicts, number: int) -> batches.Batch:
    batch = self._actor.sample(state, requests, verdicts, self._clock, number)
    if batch is None:
      raise stopping.Stopped('stopped while it sampled')
    return batch

  def _verdicts(self, number: int, rows: dict[int, dict], most: int) -> judging.Verdicts:
    return self._scorer.begin(number, rows, self._tokenizer, samples=self._c.samples, divided=not self._models,
                              max_tokens=most)

  def _measure(self, batch: batches.Batch, verdicts: judging.Verdicts, begun: int) -> dict[str, np.ndarray]:
    """What reward models say of completions; only the model of steps is asked before questions may be general."""
    if not self._models:
      return {}
    verdicts.wait()
    texts = [text for group in batch.groups for text in verdicts.texts[group]]
    answered = [self._rows[row] for row, group in zip(batch.rows, batch.groups) for _ in verdicts.texts[group]]
    general = begun >= self._c.general.from_step
    return {reward: ask(answered, texts) for reward, ask in self._models.items() if reward == 'process' or general}

  # --- until every group has a signal

  def _dynamic(self, state, number: int, begun: int) -> Drawn:
    """Groups that were left over, then draw after draw, until the rollout is full of groups with a signal or the tries
    are used up; then others fill it. Groups with a signal beyond it are left over for the next rollout: fewer than a
    rollout takes, so none grows older than one."""
    c, most, before, draws = self._c, limits.at(self._c.max_tokens, begun), self._left, []
    verdicts = self._verdicts(number, {g.number: self._rows[g.row] for g in before}, most)
    for group in before:
      verdicts.add(group.number, group.completions)
    with self._clock.span('judge_wait'):
      found, right, errors = self._looked(before, verdicts, begun)[0], [], 0
    while sum(g.signal for g in found) < self._groups and len(draws) < c.dynamic_tries:
      with self._clock.span('admit'):
        requests = self._actor.requests(self._chosen(self._draws, begun), self._draws, most)
        verdicts.ask(self._scorer.limited(self._actor.rows_of(requests, self._rows), most))
      batch = self._sampled(state, requests, verdicts, self._draws)
      self._draws += 1
      draws.append(batch)
      with self._clock.span('judge_wait'):
        groups, accuracy_B, more = self._looked(_groups_of(batch, c.samples), verdicts, begun)
      self._note(batch, accuracy_B)
      found += groups
      right += list(accuracy_B)
      errors += more
    good, others = ([g for g in found if g.signal is signal] for signal in (True, False))
    chosen, self._left = (good + others)[:self._groups], good[self._groups:]
    self._note_state()
    batch = _batch_of(sorted(chosen, key=lambda g: g.number), draws)
    measured = _joined(sorted(chosen, key=lambda g: g.number))
    return Drawn(batch, verdicts, lambda: verdicts.result(batch.groups, batch.completions, measured), {
        'dynamic/draws': float(len(draws)), 'dynamic/groups': float(len(draws) * self._groups),
        'dynamic/carried_over': float(len(before)),
        'dynamic/without_signal': float(max(self._groups - len(good), 0)),
        'dynamic/accuracy': float(np.nanmean(right)) if np.isfinite(right).any() else np.nan,
        'rollout/tokens': float(sum(len(x.tokens) for draw in draws for x in draw.completions)),
        # Of all that was sampled: errors alike make a group without a signal, which would be replaced and not be seen.
        **({'rewards/errors': errors / (len(draws) * self._groups * c.samples)} if draws else {}), **self._facts()})

  def _looked(self, groups: list[_Group], verdicts: judging.Verdicts,
              begun: int) -> tuple[list[_Group], np.ndarray, int]:
    """(the groups, each with whether it has a signal, whether each completion is right, verdicts that are errors)."""
    if not groups:
      return [], np.zeros(0), 0
    measured = self._measure(_batch_of(groups, []), verdicts, begun)
    total_B, accuracy_B, errors = verdicts.look([g.number for g in groups], measured)
    G, out = self._c.samples, []
    for i, group in enumerate(groups):
      some = slice(i * G, i * G + G)
      out.append(group._replace(signal=self._has_signal(total_B[some], accuracy_B[some]),
                                measured={name: values[some] for name, values in measured.items()}))
    return out, accuracy_B, errors

  def _has_signal(self, total_G: np.ndarray, accuracy_G: np.ndarray) -> bool:
    """Rewards differ; by accuracy, where it speaks of the question, the right answers among them too (DAPO, eq. 11)."""
    if np.ptp(total_G) == 0:
      return False
    return self._c.dynamic_by == 'reward' or bool(np.isnan(accuracy_G).all() or np.ptp(accuracy_G) > 0)

  # --- which questions, and what is known of them

  def _chosen(self, draw: int, step: int) -> np.ndarray:
    return self._curriculum(step) if self._curriculum else self._order(draw, step)

  def _note(self, batch: batches.Batch, accuracy_B) -> None:
    """How often the questions of a draw were answered rightly."""
    if self._curriculum and accuracy_B is not None:
      for row, rate in zip(batch.rows, np.asarray(accuracy_B).reshape(-1, self._c.samples).mean(axis=1)):
        self._curriculum.note(row, rate)
    self._note_state()

  def _facts(self) -> dict[str, float]:
    return {'curriculum/left_out': self._curriculum.left_out} if self._curriculum else {}

  # --- where it stands

  def _note_state(self) -> None:
    """Of what is drawn so far; groups that are left over are all of the last draw, which the journal has."""
    self._actor.drawing = {
        **({'draws': self._draws, 'left': [[g.number, g.row] for g in self._left]} if self._c.dynamic_tries else {}),
        **({'curriculum': self._curriculum.state()} if self._curriculum else {})}

  def _restored(self, stands: dict) -> list[_Group]:
    """The groups that were left over."""
    left = stands.get('left', ())
    if not left:
      return []
    asked = [self._actor.request(group, row) for group, row in left]
    found = self._actor.journal.groups(self._draws - 1, asked, self._actor.choices)
    return [_Group(r.group, row, r.prompt, list(r.begun), {}, True, r.choices)
            for r, (_, row) in zip(found or (), left)]


def _groups_of(batch: batches.Batch, samples: int) -> list[_Group]:
  experts = batch.choices or [None] * len(batch.groups)
  return [_Group(number, row, prompt, batch.completions[i * samples:(i + 1) * samples], {}, False, choices)
          for i, (number, row, prompt, choices) in enumerate(zip(batch.groups, batch.rows, batch.prompts, experts))]


def _batch_of(groups: list[_Group], draws: list[batches.Batch]) -> batches.Batch:
  """One rollout; its slot use is that of all the draws."""
  steps = sum(draw.steps for draw in draws)
  used = sum(draw.slot_use * draw.steps for draw in draws) / max(steps, 1)
  return batches.Batch([g.number for g in groups], [g.row for g in groups], [g.prompt for g in groups],
                      [x for g in groups for x in g.completions], used, steps, [g.choices for g in groups])


def _joined(groups: list[_Group]) -> dict[str, np.ndarray]:
  """What was measured of all of them, [N * G]."""
  return {name: np.concatenate([g.measured[name] for g in groups]) for name in groups[0].measured}
