"""Imports directories onto all devices and says what this process read of each: `python import_bytes.py OUT STAGE
SOURCES`; and imports nano-deepseek among them into STAGE as a command does.

Run in a process of its own, or in several (JAX_COORDINATOR_ADDRESS ..), by tests/import_bytes_test.py.
"""

import collections
import hashlib
import json
import sys

from flax import traverse_util
import jax
import numpy as np

from r1jax import convert
from r1jax.convert import hf, reading
from r1jax.engine import hosts


def tensors(source):
  """Name -> (file, start, end, shape), by the headers alone."""
  out = {}
  for file in hf.shards(source):
    with open(file, 'rb') as f:
      size = int.from_bytes(f.read(8), 'little')
      for name, entry in json.loads(f.read(size)).items():
        if name != '__metadata__':
          out[name] = (file, *(8 + size + at for at in entry['data_offsets']), entry['shape'])
  return out


def asked():
  """Bytes that this process has got by read(), as the kernel counts them."""
  with open('/proc/self/io', encoding='ascii') as f:
    return int(f.readline().split()[1])


def digest(params):
  h = hashlib.sha256()
  for path, x in sorted(traverse_util.flatten_dict(params, sep='/').items()):
    h.update(f'{path} {x.shape} {x.dtype}'.encode() + np.ascontiguousarray(x).tobytes())
  return h.hexdigest()


def same_bits(dealt, whole):
  """Whether all that this process has of an array is what the whole has there."""
  bits = lambda x: np.ascontiguousarray(x).view(np.uint8)
  return dealt.shape == whole.shape and dealt.dtype == whole.dtype and all(
      np.array_equal(bits(shard.data), bits(whole[shard.index])) for shard in dealt.addressable_shards)


def imported(source):
  there, opened, spans = tensors(source), convert.open_source(source), collections.defaultdict(list)
  plain, dealt, on_the_way = hf._bytes, reading._read, []

  def counted(file, start, end):
    name = next(name for name, (f, a, b, _) in there.items() if f == file and a <= start and end <= b)
    spans[name].append((start - there[name][1], end - there[name][1]))
    return plain(file, start, end)

  def read(*args):
    rows = dealt(*args)
    on_the_way.append(sum(shard.data.nbytes for shard in rows.addressable_shards))
    return rows

  hf._bytes, reading._read = counted, read
  _, params = convert.load(opened, dtype=None, devices=jax.devices())
  hf._bytes, reading._read = plain, dealt
  before = asked()
  convert.load(opened, dtype=None, devices=jax.devices())  # compiled: no cache of XLA's is read
  got = asked() - before
  _, whole = convert.load(opened, dtype=None)
  kept = [name for name in opened.shapes if len(opened.shapes[name]) == 2]
  return {
      'spans': spans, 'sizes': {name: b - a for name, (_, a, b, _) in there.items()}, 'asked': got,
      'matrices': kept + [name for name in there if name.endswith('_scale_inv') and name[:-len('_scale_inv')] in kept],
      'on_the_way': max(on_the_way),
      'largest': max(int(np.prod(opened.shapes[name])) * opened.dtypes[name].itemsize for name in kept),
      'held': sum(shard.data.nbytes for x in jax.tree.leaves(params) for shard in x.addressable_shards),
      'whole': sum(x.nbytes for x in jax.tree.leaves(whole)),
      'same': jax.tree.all(jax.tree.map(same_bits, params, whole)), 'digest': digest(whole)}


def main(out, imported_to, *sources):
  hosts.join()
  found = [imported(source) for source in sources]
  convert.import_model(next(s for s in sources if s.endswith('nano-deepseek')), out=imported_to)
  with open(out, 'w', encoding='utf-8') as f:
    json.dump(found, f)


if __name__ == '__main__':
  main(*sys.argv[1:])
