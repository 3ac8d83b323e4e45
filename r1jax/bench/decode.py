"""Whether a decode step costs what is filled, or what is allocated."""

import statistics

import jax
import numpy as np

from r1jax import metrics
from r1jax.bench import table
from r1jax.bench import workload as workload_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import sampler as sampler_lib
from r1jax.types import Request


def rows(load: workload_lib.Workload, steps: int, say=print) -> list[dict]:
  """A row for each of load.w.decode.columns: seconds of a decode step of rows that have filled a few of them."""
  decode = load.w.decode
  found = []
  for columns in decode.columns:
    seconds, bucket = step_seconds(load, decode.rows, decode.filled, columns, steps)
    found.append(table.row(load.name, f'decode {columns}', step_seconds=seconds, columns=bucket,
                           decode_rows=decode.rows, filled=decode.filled))
    say(f'{load.name} decode, {columns} columns allocated, {decode.filled} filled: {1e3 * seconds:.3g} ms, in a cache '
        f'of {bucket}')
  return found


def step_seconds(load, slots: int, filled: int, columns: int, repeats: int) -> tuple[float, int]:
  """(median seconds of a decode step behind prompts of `filled` tokens, columns of the cache that the sampler took)."""
  chunk = min(16, columns - filled - 1)
  sampler = sampler_lib.Sampler(
      load.model, load.mesh, slots=slots, samples=slots, max_prompt=filled, max_tokens=columns - filled - chunk,
      eos_ids=(-1,), pad_id=0, steps=chunk).compile()
  prompt = np.random.default_rng(0).integers(4, load.model.config.vocab_size, filled).astype(np.int32)
  with mesh_lib.use_mesh(load.mesh):
    params, found = sampler.arrange(load.params()), []
    for i in range(repeats + 1):
      clock, request = metrics.Clock(), Request(0, prompt, tuple(range(i * slots, (i + 1) * slots)))
      run = sampler(params, [request], jax.random.key(0), most_steps=1, clock=clock)
      list(run)
      found.append(clock.lap()['decode'] / run.steps)
  return statistics.median(found[1:]), sampler.buckets[0]
