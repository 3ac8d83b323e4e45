"""What the machine could do: a workload's products by themselves, memory, and what choosing a token costs.

Each figure is the best of a few tries: it is a limit.
"""

from concurrent.futures import ThreadPoolExecutor
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.bench import table
from r1jax.bench import workload as workload_lib
from r1jax.engine import choose as choose_lib
from r1jax.engine import mesh as mesh_lib

_REPEATS = 5
_BYTES = 256 << 20  # beyond every cache


def row(load: workload_lib.Workload, say=print) -> dict:
  """GFLOP/s of the products of an update and of a decode step, GB/s, milliseconds of choosing."""
  sizes, slots = load.model.config, min(load.c.slots or 512, load.c.groups * load.c.samples)
  numpy_too = mesh_lib.platform(load.mesh) == 'cpu' and sizes.dtype == 'float32'
  found = {}
  for name, measure in {'update_limit_gflops': lambda: update_products(sizes, load.c.micro_tokens, numpy_too),
                        'decode_limit_gflops': lambda: decode_products(sizes, slots, numpy_too),
                        'memory_gbytes_per_second': lambda: memory(numpy_too),
                        'choose_ms': lambda: choosing(slots, sizes.vocab_size)}.items():
    found[name] = measure()
    say(f'{load.name} {name}: ' + ', '.join(f'{k} {v:.3g}' for k, v in found[name].items()))
  return table.row(load.name, 'limits', device=jax.devices()[0].device_kind, **found)


def best(run) -> float:
  """Seconds of the fastest of a few calls, after one that is not counted."""
  run()
  seconds = []
  for _ in range(_REPEATS):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
  return min(seconds)


def _random(shape: tuple[int, ...], dtype: str) -> jax.Array:
  """Not constants: a GPU draws less power for them, and multiplies them faster than anything real."""
  return jax.random.normal(jax.random.key(sum(shape)), shape, dtype)


def products(config) -> list[tuple[int, int, int]]:
  """(inputs, outputs, how many) of a dense model's products."""
  D, F, q, kv = config.dim, config.ffn_dim, config.heads * config.head_dim, config.kv_heads * config.head_dim
  return [(D, q, config.layers), (D, kv, 2 * config.layers), (q, D, config.layers), (D, F, 2 * config.layers),
          (F, D, config.layers), (D, config.vocab_size, 1)]


def update_products(config, rows: int, numpy_too: bool) -> dict[str, float]:
  """GFLOP/s over all products of a forward and backward pass of so many rows, one after the other."""
  forward_backward = jax.jit(lambda x, w, g: (x @ w, g @ w.T, x.T @ g))
  seconds, flops = {'jax': 0.0, 'numpy': 0.0}, 0
  for inputs, outputs, times in products(config):
    shapes = (rows, inputs), (inputs, outputs), (rows, outputs)
    x, w, g = (_random(shape, config.dtype) for shape in shapes)
    seconds['jax'] += times * best(lambda x=x, w=w, g=g: jax.block_until_ready(forward_backward(x, w, g)))
    if numpy_too:
      x, w, g = (np.full(shape, 0.01, np.float32) for shape in shapes)
      out = np.empty_like(g), np.empty_like(x), np.empty_like(w)

      def by_numpy(x=x, w=w, g=g, out=out):
        np.matmul(x, w, out=out[0])
        np.matmul(g, w.T, out=out[1])
        np.matmul(x.T, g, out=out[2])

      seconds['numpy'] += times * best(by_numpy)
    flops += times * 6 * rows * inputs * outputs
  return {name: flops / s / 1e9 for name, s in seconds.items() if s}


def decode_products(config, rows: int, numpy_too: bool) -> dict[str, float]:
  """GFLOP/s over all products of one decode step, whose weights come from memory; 'turned': weights on the left."""
  found, kinds = {}, [(i, o) for i, o, times in products(config) for _ in range(times)]
  flops = sum(2 * rows * i * o for i, o in kinds)
  xs = {i: _random((rows, i), config.dtype) for i, _ in kinds}
  ways = {'jax': (lambda xs, ws: [xs[w.shape[0]] @ w for w in ws], lambda i, o: (i, o)),
          'turned': (lambda xs, ws: [w @ xs[w.shape[1]].T for w in ws], lambda i, o: (o, i))}
  for name, (multiply, shape) in ways.items():
    weights = [_random(shape(*kind), config.dtype) for kind in kinds]
    multiply = jax.jit(multiply)
    found[name] = flops / best(lambda: jax.block_until_ready(multiply(xs, weights))) / 1e9
  if numpy_too:
    xs = {i: np.full((rows, i), 0.01, np.float32) for i, _ in kinds}
    weights = [np.full(kind, 0.01, np.float32) for kind in kinds]
    found['numpy'] = flops / best(lambda: [xs[w.shape[0]] @ w for w in weights]) / 1e9
  return found


def memory(numpy_too: bool) -> dict[str, float]:
  """GB/s: read, and copied (read and written)."""
  x = jnp.ones(_BYTES // 4, jnp.float32)
  total, scaled = jax.jit(jnp.sum), jax.jit(lambda x: x * 3)
  found = {'read': _BYTES / best(lambda: total(x).block_until_ready()) / 1e9,
           'copied': 2 * _BYTES / best(lambda: scaled(x).block_until_ready()) / 1e9}
  if numpy_too:
    n = os.cpu_count() or 1
    parts, out = (np.array_split(np.full(_BYTES // 4, value, np.float32), n) for value in (1, 0))
    with ThreadPoolExecutor(n) as pool:
      read = _BYTES / best(lambda: list(pool.map(np.sum, parts))) / 1e9
      copied = 2 * _BYTES / best(lambda: list(pool.map(np.copyto, out, parts))) / 1e9
    found = {'read': max(found['read'], read), 'copied': max(found['copied'], copied)}
  return found


def choosing(rows: int, vocab_size: int) -> dict[str, float]:
  """Milliseconds of one token for every row: as the sampler chooses, and other ways."""
  logits = jax.random.normal(jax.random.key(0), (rows, vocab_size), jnp.float32)
  keys = jax.random.split(jax.random.key(1), rows)
  gumbel = lambda logits, keys: jax.vmap(jax.random.categorical)(keys, logits)
  ways = {'choose': lambda logits, keys: choose_lib.choose(logits, keys, temperature=1.0),
          'choose, top-p 0.95': lambda logits, keys: choose_lib.choose(logits, keys, temperature=1.0, top_p=0.95),
          'Gumbel noise': gumbel, 'log_softmax alone': lambda logits, keys: jax.nn.log_softmax(logits)}
  found = {}
  for name, way in ways.items():
    way = jax.jit(way)
    found[name] = 1e3 * best(lambda way=way: jax.block_until_ready(way(logits, keys)))
  return found
