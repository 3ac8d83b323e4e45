"""Rows of r1jax: a rollout, the reference's log-probs and an update, by the classes that a run uses (stages/policy.py).

Workloads with drawn lengths (W3) also have the static way: 16 rows at a time until the longest ends, in a cache and an
update padded to the longest there may be. It lives here alone, and shares with the other way every program that it can.
"""

import contextlib
import resource
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import metrics
from r1jax.bench import table
from r1jax.bench import workload as workload_lib
from r1jax.engine import grpo
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import profile
from r1jax.stages import batches
from r1jax.stages import common
from r1jax.stages import policy
from r1jax.types import Request


class Static(policy.Policy):
  """The static way: rows wait for the longest beside them, cache and outputs are padded to max_tokens."""

  def __init__(self, *args):
    super().__init__(*args)
    self._sampler.buckets = self._sampler.buckets[-1:]
    self._sampler.compile()
    longest = max(self._shapes)
    self._shapes = {longest: self._shapes[longest]}

  def sample(self, state, requests: list[Request], verdicts, clock: metrics.Clock) -> batches.Batch:
    del verdicts
    params, ended, steps, live = self._sampler.arrange(state.params), {}, 0, 0
    at_once = max(1, self._sampler.slots // self._c.samples)
    for first in range(0, len(requests), at_once):
      run = self._sampler(params, requests[first:first + at_once], self._key, clock=clock)
      ended |= dict(run)
      steps, live = steps + run.steps, live + run.live
    groups = sorted(ended)
    rows = [self._row_of.pop(group) for group in groups]
    return batches.Batch(groups, rows, [self._encoded[row] for row in rows], [x for g in groups for x in ended[g]],
                         live / (steps * self._sampler.slots), steps)


class _Verdicts:
  """What a rollout tells of its groups; here nobody judges before all have ended."""

  def add(self, group, completions):
    del group, completions


def rewards(tokenizer, completions) -> np.ndarray:
  """Digits in each text, as the peers are asked for too; of a model without words, even tokens."""
  if tokenizer is None:
    return np.array([np.sum(x.tokens % 2 == 0) for x in completions], np.float32)
  texts = tokenizer.decode_batch([x.tokens for x in completions])
  return np.array([sum(map(str.isdigit, text)) for text in texts], np.float32)


def one_step(actor, state, number: int, load: workload_lib.Workload, limits_NxG: np.ndarray):
  """(state, batch, facts): all that stages/rl.py does in a step but judging. Waits for the devices where a figure ends.

  limits_NxG: tokens of each sample of each prompt.
  """
  clock, times = metrics.Clock(), [time.perf_counter()]

  def mark(done=None):
    jax.block_until_ready(done)
    times.append(time.perf_counter())

  requests = [r._replace(limits=tuple(map(int, limits_NxG[r.group % len(limits_NxG)])))
              for r in actor.requests(np.arange(load.c.groups), number)]
  batch = actor.sample(state, requests, _Verdicts(), clock)
  mark()
  minibatches = actor.minibatches(batch, number, state, clock)
  mark([rows for m in minibatches for _, rows, _ in m.micro_batches])
  scores = rewards(load.tokenizer, batch.completions).reshape(-1, load.c.samples)
  advantages = np.asarray(grpo.group_advantages(scores, scale=load.c.scale))
  mark()
  means = []
  for state, mean in actor.learn(state, minibatches, advantages, clock):
    means.append(mean)
  mark((state, means))
  sampling, reference, _, learning = np.diff(times)
  facts = dict(step_seconds=times[-1] - times[0], rollout_seconds=sampling, reference_seconds=reference,
               update_seconds=learning, gap=float(means[0]['mismatch/logp_max_abs']), decode_steps=batch.steps,
               slot_use=batch.slot_use, token_use=actor.facts(batch, minibatches)['update/token_use'])
  return state, batch, facts


def row(load: workload_lib.Workload, steps: int, *, static: bool = False, trace: str = '', say=print) -> dict:
  """Medians of `steps` steps, after one that is not counted.

  Args:
    static: the static way.
    trace: where --profile writes.
  """
  kind = Static if static else policy.Policy
  actor = kind(load.config, load.c, 'rl', load.model, workload_lib.NoEnd(), load.mesh, load.prompts)
  with mesh_lib.use_mesh(load.mesh), contextlib.closing(profile.trace(trace)) as traced:
    state = actor.training.fresh(load.params())
    common.release_memory()
    actor.stop_if_apart(state)
    found = []
    for number in range(steps + 1):
      traced.at(number)
      limits_NxG = load.limits(number)
      state, batch, facts = one_step(actor, state, number, load, limits_NxG)
      traced.behind(number, state)
      tokens = np.array([len(x.tokens) for x in batch.completions])
      assert (tokens == limits_NxG.reshape(-1)).all(), 'a sample is not as long as it should be'
      say(f'{load.name} step {number} of {steps}: ' + ', '.join(f'{k} {v:.4g}' for k, v in facts.items()))
      found.append(facts)
  return _row(load, 'static' if static else 'r1jax', found[1:], tokens)


def _row(load, program: str, found: list[dict], tokens) -> dict:
  median = lambda key: float(statistics.median(f[key] for f in found))
  sizes = load.model.config
  work = (sizes, list(map(len, load.prompts)), tokens, load.c.samples)
  steps, itemsize = int(median('decode_steps')), jnp.dtype(sizes.dtype).itemsize
  read = workload_lib.rollout_bytes(*work, steps=steps, itemsize=itemsize)
  sampling, learning = median('rollout_seconds'), median('update_seconds')
  return table.row(
      load.name, program, step_seconds=median('step_seconds'), rollout_seconds=sampling,
      rollout_tokens_per_second=float(tokens.sum()) / sampling, reference_seconds=median('reference_seconds'),
      update_seconds=learning, peak_bytes=peak_bytes(), slot_use=median('slot_use'), token_use=median('token_use'),
      update_gflops=workload_lib.update_flops(*work) / learning / 1e9,
      rollout_gflops=workload_lib.rollout_flops(*work) / sampling / 1e9,
      rollout_gbytes_per_second=read / sampling / 1e9, decode_steps=steps,
      gap_nats=max(f['gap'] for f in found), steps=len(found),
      device=jax.devices()[0].device_kind)


def peak_bytes() -> int:
  """The most that was held: by the device where it says so, else by this process."""
  stats = jax.devices()[0].memory_stats() or {}
  if stats.get('peak_bytes_in_use') and jax.default_backend() != 'cpu':
    return int(stats['peak_bytes_in_use'])
  try:  # of this program alone: getrusage also knows what the process was before
    with open('/proc/self/status', encoding='utf-8') as f:
      return int(next(line for line in f if line.startswith('VmHWM:')).split()[1]) << 10
  except (OSError, StopIteration):
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == 'darwin' else 10)
