"""Verdicts on completions: rewards per completion, found group by group while others are still sampled."""

from concurrent import futures
import contextlib
import hashlib
import json
import logging
import os
import queue
from typing import Callable, NamedTuple

import numpy as np

from r1jax import disk
from r1jax import metrics
from r1jax.engine import checksums
from r1jax.engine import mesh as mesh_lib
from r1jax.rewards import pool as pool_lib
from r1jax.stages import gradable
from r1jax.stages import monitor
from r1jax.stages import second
from r1jax.stages import trial
from r1jax.types import Completion, RunStopped, UserError

log = logging.getLogger('r1jax')

LOOK_SECONDS = 0.2  # between two looks at whether to stop, while verdicts are waited for
MODELS = ('helpful', 'harmless', 'process')  # rewards that a model gives, not a module of rewards/
_NO_CLOCK = ('int', 'rational', 'decimal', 'choice', 'text')  # answers that are never judged against a clock


def workers() -> int:
  """Judges that a host runs beside what drives its devices."""
  return max(1, (os.cpu_count() or 2) - 1)


def counted(weights: dict[str, float]) -> dict[str, float]:
  """Those of rewards that count, accuracy first: its verdicts are those that a second grader sees. UserError for none.
  """
  found = {name: weights[name] for name in sorted(weights, key=lambda n: n != 'accuracy') if weights[name]}
  if not found:
    raise UserError(f'all rewards are off ({weights}): nothing to learn from')
  return found


class Judged(NamedTuple):
  """Verdicts on the B completions of a rollout."""
  total_B: np.ndarray  # float32, weighted sum: what GRPO sees
  by_name: dict[str, np.ndarray]  # reward name -> [B] values, unweighted; NaN where it does not speak of a completion
  reasons: dict[str, dict[int, str]]  # reward name -> completion -> reason, of this host's completions
  errors: int  # verdicts that are no verdict
  second: dict[str, float]  # what the second grader found, see second.py


class Scorer:
  """Weighted sum of rewards.

  Verdicts are kept on disk until a checkpoint has passed their rollout (`forget`): one that hung on a clock (a
  timed-out expression) would otherwise differ when an interrupted run samples the same rollout again.
  """

  def __init__(self, weights: dict[str, float], workdir: str, rows: list[dict], *, overlong_buffer: int = 0,
               stop: Callable[[], None] | None = None):
    """overlong_buffer: in tokens, for the rewards of length.py. stop: called while verdicts are waited for, by all
    hosts together; it raises Stopped where the run is to stop."""
    self.stop, self.closed = stop, False
    self.weights = gradable.watched(counted(weights), rows)
    self.directory = os.path.join(workdir, 'verdicts')
    self.pool = pool_lib.Pool(workers=workers())
    self.thread = futures.ThreadPoolExecutor(1, thread_name_prefix='rewards')
    self._overlong_buffer = overlong_buffer
    ruled = [name for name in self.weights if name not in MODELS]
    if 'language' in ruled:
      gradable.check_languages(rows, "give the reward 'language' the weight 0")
    if self.weights.get('accuracy') and any(row.get('reward') == 'judge' for row in rows):
      raise UserError("questions for a judge: a judge grades data and evaluations, never a step of RL")
    asked = lambda: ((gradable.module(name, row), row) for name in ruled for row in rows if gradable.applies(name, row))
    gradable.start({name for name, _ in asked()}, [r for r in rows if not r.get('scenario')])
    gradable.check_ideal({name: self.weights[name] for name in ruled}, rows[0])
    trial.rewards_of(asked(), self.pool, overlong_buffer=overlong_buffer)

  def begin(self, number: int, rows: dict[int, dict], tokenizer, *, samples: int, max_tokens: int = 0,
            divided: bool = True) -> 'Verdicts':
    """Rollout `number` begins, whose group g asks rows[g]; max_tokens: of a completion in it, for the rewards of
    length.py; divided: hosts judge groups in turn, and share what they find."""
    return Verdicts(self, number, self.limited(rows, max_tokens), tokenizer, samples, divided)

  def limited(self, rows: dict[int, dict], max_tokens: int) -> dict[int, dict]:
    """Rows of groups with the limits that rewards of length read."""
    lengths = {'max_tokens': max_tokens, 'overlong_buffer': self._overlong_buffer}
    return {group: {**row, **lengths} for group, row in rows.items()}

  def complete(self, row: dict, completion: Completion) -> dict:
    """A row with what rewards of length read."""
    return {**row, 'tokens': len(completion.tokens), 'stopped': completion.stopped}

  def forget(self, before: int) -> None:
    """Verdicts of rollouts that no restart will sample again."""
    for name in disk.names(self.directory, '.json'):
      if int(name[:-5]) < before:
        os.remove(os.path.join(self.directory, name))

  def close(self) -> None:
    """What is not judged by now is not waited for: a restart judges it."""
    self.closed = True
    self.thread.shutdown(wait=False, cancel_futures=True)
    self.pool.close()
    self.thread.shutdown()


class Verdicts:
  """Of one rollout, found by a thread beside the devices: groups are added as they end, texts are made and judged in
  the batches that have come together meanwhile.

  Attributes:
    texts: group -> its completions' texts, of the groups that this host judges, once they are made.
  """

  def __init__(self, scorer: Scorer, number: int, rows: dict[int, dict], tokenizer, samples: int, divided: bool):
    self._scorer, self._rows, self._tokenizer, self._samples = scorer, rows, tokenizer, samples
    self._divided = divided and mesh_lib.processes() > 1
    self.texts: dict[int, list[str]] = {}
    self._names = [name for name in scorer.weights if name not in MODELS]
    self._found: dict[tuple[int, int], list] = {}  # (group, sample) -> [[value, reason] of each name that applies]
    self._path = os.path.join(scorer.directory, f'{number:08d}.json')
    self._kept, self._again = self._read()
    self._new, self._jobs = False, []
    self._waiting = queue.SimpleQueue()

  def _read(self):
    if not disk.exists(self._path):
      return {}, None
    try:
      kept = checksums.opened(self._path)
      return dict(kept['groups']), kept['again']
    except (KeyError, TypeError, ValueError) as e:  # each host judges groups of its own: no other need know
      log.warning('%s is torn (%s): judged again', self._path, e)
      return {}, None

  def ask(self, rows: dict[int, dict]) -> None:
    """More groups of the rollout: those that were there stay."""
    self._rows.update(rows)

  def add(self, group: int, completions: list[Completion]) -> None:
    """A group has ended."""
    if not self._divided or mesh_lib.is_local(group):
      self._waiting.put((group, completions))
      self._jobs.append(self._scorer.thread.submit(self._judge))

  def _judge(self) -> None:
    """All groups that wait, together: one pass of the tokenizer, one of the judges."""
    groups = []
    while not self._waiting.empty():
      groups.append(self._waiting.get())
    if not groups:
      return
    texts = iter(self._tokenizer.decode_batch([c.tokens for _, completions in groups for c in completions]))
    items, where = [], []
    for group, completions in groups:
      self.texts[group] = [next(texts) for _ in completions]
      digest = self._digest(group)
      kept = self._kept.get(digest)
      for g, (text, completion) in enumerate(zip(self.texts[group], completions)):
        b, row = (group, g), self._scorer.complete(self._rows[group], completion)
        self._found[b] = list(kept[g]) if kept else []
        for name in () if kept else self._names:
          if gradable.applies(name, row):
            items.append((gradable.module(name, row), text, row))
            where.append(b)
    if self._scorer.closed:
      return
    for b, verdict in zip(where, self._scorer.pool.score(items) if items else ()):
      self._found[b].append([verdict.value, verdict.reason])
    self._new |= bool(items)

  def _digest(self, group: int) -> str:
    said = [group, self._names, self._rows[group]['id'], self.texts[group]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()

  def wait(self) -> None:
    """Returns when every group that was added is judged; raises what judging raised.

    Raises:
      Stopped: by the scorer's `stop`, on every host. They look together, as that wants.
    """
    stop = self._scorer.stop
    while stop is not None and mesh_lib.any_process(bool(futures.wait(self._jobs, LOOK_SECONDS).not_done)):
      stop()
    for job in self._jobs:
      job.result()

  def rows_of(self, groups: list[int]) -> np.ndarray:
    """Which of the completions of these groups, in order, this host has texts of."""
    G = self._samples
    return np.asarray([i * G + g for i, group in enumerate(groups) if group in self.texts for g in range(G)], np.int64)

  def result(self, groups: list[int], completions: list[Completion],
             measured: dict[str, np.ndarray] | None = None) -> Judged:
    """Verdicts on all completions, on every host.

    Args:
      groups, completions: all of the rollout; samples of a group stand side by side.
      measured: values [B] of rewards that reward models gave (reward_model.RewardModel).
    """
    self.wait()
    n, again, names = len(completions), self._second(groups, completions), list(self._scorer.weights)
    mine, values, reasons = self._values(groups, measured)
    errors, again = self._over_hosts(self._errors(values, reasons), again)
    values = self._agreed(values, mine, n)
    return Judged(self._total(values).astype(np.float32), {name: values[:, j] for j, name in enumerate(names)}, reasons,
                  errors, {**second.NOTHING, **again})

  def look(self, groups: list[int],
           measured: dict[str, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """(total_B, accuracy_B, verdicts that are errors) of some of the rollout's groups while others are to come, on
    every host; NaN where nothing is right or wrong."""
    self.wait()
    mine, values, reasons = self._values(groups, measured)
    errors, _ = self._over_hosts(self._errors(values, reasons), {})
    values, names = self._agreed(values, mine, len(groups) * self._samples), list(self._scorer.weights)
    right = values[:, names.index('accuracy')] if 'accuracy' in names else np.full(len(values), np.nan, np.float32)
    return self._total(values).astype(np.float32), right, errors

  def _over_hosts(self, errors: int, facts: dict) -> tuple[int, dict]:
    """errors of all hosts: where each has judged rows of its own, together; and the means of facts."""
    shared = mesh_lib.mean_over_hosts({'errors': float(errors), **facts})
    return round(shared.pop('errors') * (mesh_lib.processes() if self._divided else 1)), shared

  def _agreed(self, values: np.ndarray, mine: np.ndarray, n: int) -> np.ndarray:
    """The same values of all n completions on every host. Where each has judged all of them, by its own clock, the
    first one's count: what is sampled and learned next follows from them."""
    return mesh_lib.gather_rows(values, mine, n) if self._divided else mesh_lib.of_first(values)

  def _errors(self, values, reasons) -> int:
    """How many verdicts are none, which the log tells."""
    errors = [r for name in self._names for r in reasons[name].values() if r.startswith(('error', 'timeout'))]
    if errors:
      log.warning('%d of %d verdicts are errors; the first: %s', len(errors), values.size, errors[0])
    return len(errors)

  def _total(self, values_Bxk: np.ndarray) -> np.ndarray:
    """[B]. No matrix product: its last bit may differ between rows of equal values, which are to be a group's without a
    signal."""
    return (np.nan_to_num(values_Bxk) * np.asarray(list(self._scorer.weights.values()), np.float32)).sum(axis=1)

  def _values(self, groups: list[int], measured):
    """(numbers of this host's completions, their values by reward, reward -> completion -> reason)."""
    G, names, mine = self._samples, list(self._scorer.weights), self.rows_of(groups)
    values, reasons = np.full((len(mine), len(names)), np.nan, np.float32), {name: {} for name in names}
    for k, b in enumerate(mine.tolist()):
      found = iter(self._found[groups[b // G], b % G])
      for j, name in enumerate(names):
        if gradable.applies(name, self._rows[groups[b // G]]):
          values[k, j], reasons[name][b] = (measured[name][b], 'measured') if name in MODELS else next(found)
    return mine, values, reasons

  def _second(self, groups: list[int], completions: list[Completion]) -> dict[str, float]:
    """What the second grader found, and all verdicts on disk where a clock was kept;
    replayed where no verdict is new."""
    if self._again is None or self._new:
      G, verdicts, rows, texts = self._samples, [], [], []
      for b in self.rows_of(groups).tolist():
        group, g = groups[b // G], b % G
        if 'accuracy' in self._names and gradable.applies('accuracy', self._rows[group]):
          verdicts.append(self._found[group, g][0])
          rows.append(self._scorer.complete(self._rows[group], completions[b]))
          texts.append(self.texts[group][g])
      self._again = second.again(self._scorer.pool, verdicts or None, rows, texts)
      timed = any(gradable.module('accuracy', row) != 'math' or row.get('answer_type') not in _NO_CLOCK for row in rows)
      if timed:
        kept = {self._digest(i): [self._found[i, g] for g in range(G)] for i in sorted(self.texts)}
        metrics.replace_file(self._path, checksums.sealed({'groups': kept, 'again': self._again}))
    return self._again

  def stop_if_unjudged(self, facts: dict) -> None:
    """monitor.stop_if_unjudged; verdicts that are none are not kept then, so that a restart asks again."""
    try:
      monitor.stop_if_unjudged(facts)
    except RunStopped:
      with contextlib.suppress(FileNotFoundError):
        os.remove(self._path)
      raise

  def text_facts(self, groups: list[int], of_text, k: int) -> futures.Future:
    """of_text(row, text, words=), k values, of every completion of this host's, beside the devices; for `gathered`."""
    rows, G = self.rows_of(groups), self._samples
    every = -(-len(groups) * G // 512)  # of so many words are counted

    def count():
      at = [(groups[b // G], b % G, b % every == 0) for b in rows.tolist()]
      values = [of_text(self._rows[i], self.texts[i][g], words=words) for i, g, words in at]
      return rows, np.asarray(values, np.float64).reshape(len(rows), k)  # a host may have none

    return self._scorer.thread.submit(count)

  def gathered(self, counted: futures.Future, n: int) -> np.ndarray:
    """[n, k]: text_facts of all n completions, from all hosts."""
    rows, values = counted.result()
    return mesh_lib.gather_rows(values, rows, n) if self._divided else values
