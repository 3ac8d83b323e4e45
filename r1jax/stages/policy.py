"""What an RL stage does on the devices: samples from the policy, and learns from what it said."""

import logging
import time
from typing import Any, Callable, Iterator

import jax
import numpy as np

from r1jax import limits
from r1jax import metrics
from r1jax.data import prompts
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import packing
from r1jax.engine import params as params_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.engine import slots as slots_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.stages import batches
from r1jax.stages import carried
from r1jax.stages import common
from r1jax.stages import journal
from r1jax.stages import monitor
from r1jax.types import Completion, Prompts, Request

log = logging.getLogger('r1jax')


class Policy:
  """The programs of a policy, and the order of what they are given.

  Attributes:
    training: of its update.
    journal: where rollouts are noted; None: nowhere.
  """

  def __init__(self, config, c, name: str, model, tokenizer, mesh, encoded: list[np.ndarray],
               journal_: journal.Journal | None = None):
    """encoded: token ids of every question's prompt."""
    self._config, self._c, self._mesh, self._tokenizer, self._encoded = config, c, mesh, tokenizer, encoded
    self.journal, self._longest = journal_, limits.longest(c.max_tokens)
    multiple, longest = (128 if mesh_lib.platform(mesh) != 'cpu' else 8), max(map(len, encoded))
    width = min(-(-longest // multiple) * multiple, max(c.max_prompt, longest))
    self._per_rollout, self._seed, self._dtype = c.groups * c.minibatches, config.seed, config.dtype
    # What a sampler freed, glibc keeps: of SmolLM2 1 GB, which the update then has no room for (a tenth of a second).
    self._gives_back = mesh_lib.platform(mesh) == 'cpu' and not config.keep_freed_memory
    self._key = common.key(config.seed, name)
    self.choices = trainings.replayed(c, model)
    self._new_sampler = lambda entry, resume: sampler_lib.Sampler(
        model, mesh, slots=min(entry.slots or 512, self._per_rollout * c.samples), samples=c.samples, max_prompt=width,
        max_tokens=entry.tokens, eos_ids=prompts.eos_ids(tokenizer, c.template), pad_id=tokenizer.pad_id,
        temperature=c.temperature, resume=resume, choices=self.choices is not None).compile()
    self._samplers = {entry: self._new_sampler(entry, c.carry > 0) for entry in limits.samplers(c.max_tokens, c.slots)}
    built = trainings.rl(config, c, model, mesh, max_prompt=width)
    self.training, self._shapes, self._prompts_shape = built.training.compile(), built.shapes, built.prompts
    self._reference = c.kl_coef > 0
    same = built.reference is built.logps
    wanted = built.shapes if c.old_logps == 'trainer' or same else [self._gate_length()]
    self._logps = {'old_RxT': (self.training.prefix, {T: built.logps.rows[T].compile() for T in wanted})}
    if self._reference:
      self._logps['ref_RxT'] = self._logps['old_RxT'] if same else (
          built.reference.prefix.compile(), {T: built.reference.rows[T].compile() for T in built.shapes})
    copy = jax.jit(lambda params: params_lib.kept_as(params, c.ref_dtype))
    renewed = self._reference and c.ref_every
    copying = mesh_lib.Program(copy, (self.training.state.params,), mesh, mesh_lib.RULES)
    self._copy = copying.compile() if renewed else None
    self._lengths: dict[int, float] = {}  # question -> mean tokens of its completions when it was last asked
    self._carried: list[Request] = []
    self._row_of: dict[int, int] = {}  # of groups that are not finished
    self.drawing: dict = {}  # where drawing.Drawing stands, kept beside checkpoints
    self._begun: dict[int, carried.Carried] = {}  # rollout -> what it began with, of the last two
    self._oldest: dict[int, int] = {}  # rollout -> the oldest number of the journal that it reads

  # --- what is asked

  def begin(self, number: int, oldest: int) -> None:
    """Rollout `number` begins, which reads the journal from `oldest` on: what it begins with is what a restart in its
    middle goes back to."""
    self._begun = {n: kept for n, kept in self._begun.items() if n == number - 1} | {number: self._now()}
    self._oldest[number] = oldest

  def _now(self) -> carried.Carried:
    return carried.Carried(list(self._carried), dict(self._row_of), dict(self._lengths), self.drawing)

  def forget(self, before: int) -> None:
    """What the journal has of rollouts before this one."""
    self.journal.forget(self._oldest.get(before, before))
    self._oldest = {n: oldest for n, oldest in self._oldest.items() if n >= before}

  def request(self, group: int, row: int) -> Request:
    """A group that asks a question anew."""
    samples = self._c.samples
    return Request(group, self._encoded[row], tuple(range(group * samples, (group + 1) * samples)))

  def requests(self, chosen: np.ndarray, number: int, most: int | None = None) -> list[Request]:
    """Rollout `number`, or draw of that number: the questions `chosen`, behind what was carried over; most: tokens of a
    completion, where that is less than the longest of the run."""
    c = self._c
    extra = c.carry if c.carry and not number else 0
    chosen = list(map(int, chosen))
    chosen += [chosen[i % len(chosen)] for i in range(extra)]  # the first rollout begins more than it waits for
    new = []
    for place, row in enumerate(chosen):
      group = number * (self._per_rollout + c.carry) + place
      self._row_of[group] = row
      new.append(self.request(group, row))
    # The longest first, as the others then fill what they leave; those that nobody knows before them all.
    new.sort(key=lambda r: -self._lengths.get(self._row_of[r.group], np.inf))
    return _cut_at(self._carried + new, None if most == self._longest else most)

  def rows_of(self, requests: list[Request], rows: list[dict]) -> dict[int, dict]:
    """Group -> its question."""
    return {r.group: rows[self._row_of[r.group]] for r in requests}

  def sample(self, state, requests: list[Request], verdicts, clock: metrics.Clock, number: int = 0
             ) -> batches.Batch | None:
    """The groups of rollout `number`; each goes to `verdicts` as soon as it has ended. What an earlier start has
    sampled of it is taken from the journal.

    None: the run was asked to stop, and the journal has what was said so far.
    """
    said = self.journal and self.journal.read(number, requests, self.choices)
    if said is None or not said.whole:
      said = self._said(state, requests, said, verdicts, clock, number)
      if self.journal:
        with clock.span('checkpoint'):
          self.journal.write(number, said)
      if not said.whole:
        return None
    else:
      for request in said.given:
        self._ended(request, verdicts)
    self._carried = said.unfinished
    given = sorted(said.given, key=lambda r: r.group)
    rows = [self._row_of.pop(r.group) for r in given]
    return batches.Batch([r.group for r in given], rows, [r.prompt for r in given], [x for r in given for x in r.begun],
                 said.slot_use, said.steps, [r.choices for r in given])

  def _said(self, state, requests: list[Request], before: journal.Said | None, verdicts, clock: metrics.Clock,
            number: int) -> journal.Said:
    """The rollout itself, from what an earlier start has said of it, if anything."""
    entry = self._entry(number)
    sampler, most = self._samplers[entry], requests[0].limits and requests[0].limits[0]
    if before is not None:
      requests = _cut_at(before.given + before.unfinished, most)
      if not self._c.carry and any(c for r in before.unfinished for c in r.begun):
        log.info('rollout %d: what was left in the middle is prefilled, which takes programs of its own', number)
        sampler = self._new_sampler(entry, True)
    asked, given, noted = {r.group: r for r in requests}, [], time.monotonic()

    def stop(run) -> bool:
      nonlocal noted
      if time.monotonic() - noted > 60 * self._config.checkpoints.minutes:
        self.journal.write(number, journal.Said(given, run.so_far(), run.slot_use, run.steps, False))
        noted = time.monotonic()
      return hosts.stop_due(self._config.checkpoints.grace)

    with clock.span('weights'):  # their way to the sampler
      run = sampler(self.training.whole(state.params), requests, self._key, groups=self._per_rollout, clock=clock,
                    stop=stop if self.journal else None)
    for group, completions in run:
      given.append(asked[group]._replace(begun=tuple(completions), choices=run.choices.get(group)))
      self._ended(given[-1], verdicts)
    said = journal.Said(given, run.unfinished, run.slot_use, run.steps, not run.interrupted)
    if self._gives_back:
      del run
      common.release_memory()
    return said

  @property
  def _sampler(self) -> sampler_lib.Sampler:
    """Of the first rollout."""
    return self._samplers[min(self._samplers)]

  def _entry(self, number: int) -> limits.Entry:
    """What rollout `number` is sampled with."""
    return limits.sampler_at(self._samplers, number * limits.steps_a_rollout(self._c))

  def _ended(self, request: Request, verdicts) -> None:
    completions = list(request.begun)
    verdicts.add(request.group, completions)
    self._lengths[self._row_of[request.group]] = float(np.mean([len(x.tokens) for x in completions]))

  # --- what is learned

  def minibatches(self, batch: batches.Batch, number: int, state, clock: metrics.Clock, first: int = 0
                  ) -> list[batches.Minibatch]:
    """The rollout's groups, shuffled and dealt out to optimiser steps, a group never split; with their old and
    reference log-probs, which the devices compute while the host judges. Of several epochs each after the first has the
    same minibatches in another order. `first` of all are learned already: where they do not come again they have no
    micro-batches.

    Raises:
      Stopped: the run was asked to stop between two passes of log-probs; `state` is as it was.
    """
    c, G, passes = self._c, self._c.samples, batches.Passes(self._stop_due() if self.journal else None)
    shuffled = np.random.default_rng([self._seed, number]).permutation(self._per_rollout)
    out, ended_B, whole = [], np.array([x.stopped for x in batch.completions]), self.training.whole
    places = batches.in_epochs(c.minibatches, c.epochs, [self._seed, number])
    with clock.span('reference'):
      reference = self._device_reference(state)
      for place, part in enumerate(np.split(shuffled, c.minibatches)):
        asked = [batch.prompts[i] for i in part]
        prompts = self._prompts(asked, [batch.choices[i] for i in part] if self.choices else [])
        members = [(k, i * G + g) for k, i in enumerate(part) for g in range(G)]
        cut = packing.micro_batches([len(batch.completions[b].tokens) for _, b in members], self._shapes)
        micro_batches = []
        for T, units in cut if place in places[first:] else ():
          some = [members[u] for u in units]
          rows = self._outputs([batch.completions[b] for _, b in some], [k for k, _ in some], T, self._reference)
          micro_batches.append((T, mesh_lib.put(rows, self._mesh), [b for _, b in some]))
        if c.old_logps == 'trainer' and micro_batches:
          micro_batches = self._with_logps(whole(state.params), prompts, micro_batches, 'old_RxT', passes)
        if self._reference and micro_batches:
          micro_batches = self._with_logps(whole(reference), prompts, micro_batches, 'ref_RxT', passes)
        positions = prompts.tokens_NxP.size + sum(self._shapes[T].rows * T for T, _ in cut)
        real = sum(map(len, asked)) + sum(len(batch.completions[b].tokens) for _, b in members)
        out.append(batches.Minibatch(prompts, micro_batches, ended_B, positions, real))
    return [out[place] for place in places]

  def _device_reference(self, state):
    """The reference where programs can read it."""
    if not self._reference or self._c.ref_memory == 'device':
      return state.ref_params
    return jax.tree.map(lambda x: jax.device_put(x, x.sharding.with_memory_kind('device')), state.ref_params)

  def _stop_due(self) -> Callable[[], bool]:
    grace = self._config.checkpoints.grace
    return lambda: hosts.stop_due(grace)

  def _with_logps(self, params, prompts: Prompts, micro_batches, field: str, passes: batches.Passes):
    before, logps = self._logps[field]
    replay = bool(self.choices) and field == 'old_RxT'
    prefix, out = before(params, prompts if replay else prompts._replace(choices_NxPxLxk=None)), []
    for T, rows, numbers in micro_batches:
      chosen = [rows.choices_RxTxLxk] if replay else []
      passes.make_room()
      found = passes.add(logps[T](params, prefix, rows.tokens_RxT, rows.lengths_R, rows.prompt_R, *chosen))
      out.append((T, rows._replace(**{field: found}), numbers))
    return out

  def _outputs(self, completions: list[Completion], prompt_of: list[int], T: int, reference: bool) -> objective.Outputs:
    """On the host; advantages are to be put in."""
    return trainings.outputs(completions, prompt_of, [0.0] * len(completions), self._shapes[T], self._tokenizer.pad_id,
                             reference=reference, choices=self.choices)

  def _prompts(self, asked: list[np.ndarray], choices: list[np.ndarray]) -> Prompts:
    """On the devices; choices: of each, where they are replayed."""
    tokens, lengths = slots_lib.padded(asked, *self._prompts_shape, self._tokenizer.pad_id)
    chosen = trainings.chosen(choices, tokens.shape, self.choices) if self.choices else None
    return mesh_lib.put(Prompts(tokens, lengths, chosen), self._mesh)

  def learn(self, state, minibatches: list[batches.Minibatch], advantages_NxG: np.ndarray, clock: metrics.Clock
            ) -> Iterator[tuple[Any, dict]]:
    """(state, means) of each optimiser step, still on the devices. It ends early where the run was asked to stop: the
    state is then that of the last whole step."""
    stop = self._stop_due() if self.journal else None
    for minibatch in minibatches:
      with clock.span('update'):
        found = self.training.step(state, self.judged(minibatch, advantages_NxG), minibatch.prompts, stop)
      if found is None:
        return
      state = found[0]
      yield found

  def judged(self, minibatch: batches.Minibatch, advantages_NxG: np.ndarray) -> list[tuple[int, Any]]:
    """Its micro-batches with their advantages."""
    c, flat, out = self._c, np.asarray(advantages_NxG, np.float32).reshape(-1), []
    counts_B = batches.counts(c, minibatch.ended_B, flat) if trainings.leaves_out(c) else None

    def dealt(T, values_B, numbers):
      values_R = np.zeros(self._shapes[T].rows, np.float32)
      values_R[:len(numbers)] = values_B[numbers]
      return mesh_lib.put(values_R, self._mesh)

    for T, rows, numbers in minibatch.micro_batches:
      counts_R = None if counts_B is None else dealt(T, counts_B, numbers)
      out.append((T, rows._replace(advantages_R=dealt(T, flat, numbers), counts_R=counts_R)))
    return out

  def noted(self, minibatch: batches.Minibatch, advantages_NxG: np.ndarray) -> dict[str, np.ndarray]:
    """Its arrays on the host, by the names of objective.Outputs, a number in front: for people."""
    out = {'prompts/tokens': minibatch.prompts.tokens_NxP, 'prompts/lengths': minibatch.prompts.lengths_N}
    for i, (_, rows) in enumerate(self.judged(minibatch, advantages_NxG)):
      out |= {f'{i}/{name}': x for name, x in zip(rows._fields, rows) if x is not None}
    return mesh_lib.all_gather(out)

  def facts(self, batch: batches.Batch, minibatches: list[batches.Minibatch]) -> dict[str, float]:
    """How well rows and positions were used: live rows / rows over decode steps, real tokens / positions computed. No
    slot_use where nothing was decoded, as all was read from disk."""
    real, used = sum(m.tokens for m in minibatches), {'rollout/slot_use': batch.slot_use} if batch.slot_use else {}
    return {**used, 'rollout/tokens': float(sum(len(x.tokens) for x in batch.completions)),
            'update/tokens': float(real), 'update/token_use': real / sum(m.positions for m in minibatches)}

  def refresh_reference(self, state):
    """The policy becomes its own reference."""
    ref = self._copy(state.params)
    where = self.training.shardings.ref_params
    return state.replace(ref_params=jax.tree.map(jax.device_put, ref, where))

  # --- before the first rollout

  def _gate_length(self, tokens: int = 64) -> int:
    """T of the gate's micro-batch: the shortest that holds so many tokens."""
    return next(T for T in sorted(self._shapes) if T >= min(tokens, self._longest))

  def stop_if_apart(self, state, tokens: int = 64) -> None:
    """The gate (monitor.stop_if_apart): a small wave of completions, cut off after so many tokens, as the trainer sees
    them."""
    c = self._c
    T = self._gate_length()
    most = min(self._shapes[T].rows, self._sampler.slots)  # all begin at once, as none is waited for
    some = min(c.samples, most)
    groups = min(self._prompts_shape[0], most // some, len(self._encoded))
    requests = [Request(i, self._encoded[i], tuple(range(i * some, (i + 1) * some))) for i in range(groups)]
    key = jax.random.fold_in(self._key, 1 << 30)  # not the numbers of the first rollout
    params = self.training.whole(state.params)
    run = self._sampler(params, requests, key, most_steps=min(tokens, T))
    said = dict(run)
    completions = [Completion(x.tokens[:T], x.logps[:T], x.stopped, None if x.choices is None else x.choices[:T])
                   for i in range(groups) for x in said[i]]
    rows = self._outputs(completions, [i for i in range(groups) for _ in range(some)], T, False)
    prompts = self._prompts(self._encoded[:groups], [run.choices.get(i) for i in range(groups)])
    (_, rows_, _), = self._with_logps(params, prompts, [(T, mesh_lib.put(rows, self._mesh), [])], 'old_RxT',
                                      batches.Passes(None))
    mask = (np.arange(T) < rows.lengths_R[:, None]).astype(np.float32)
    found = {name: float(update.value(m)) for name, m in objective.gap_metrics(
        mesh_lib.all_gather(rows_.old_RxT), rows.sampler_RxT, mask).items()}
    monitor.stop_if_apart(found['mismatch/kl_nats_per_token'], found['mismatch/beyond_half_nat'], int(mask.sum()),
                          monitor.gap_limit(c, self._dtype))

  # --- what is carried over

  def save_carried(self, directory: str, number: int) -> None:
    """Beside a checkpoint that goes on with rollout `number`, which may be under way."""
    carried.write(directory, number, self._begun.get(number) or self._now(), self._config.checkpoints.keep)

  def restore_carried(self, directory: str, number: int) -> None:
    """What save_carried wrote; what it wrote of later rollouts is removed, as they come again."""
    self.drawing, self._begun, self._oldest = {}, {}, {}
    if (found := carried.read(directory, number, self._encoded, self.choices)) is not None:
      self._carried, self._row_of, self._lengths, self.drawing = found


def _cut_at(requests: list[Request], most: int | None) -> list[Request]:
  """The same with this limit of a completion's tokens."""
  return [r._replace(limits=most and (most,) * len(r.samples)) for r in requests]
