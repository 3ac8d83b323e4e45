"""What the processes of a rehearsal do: teach a nano base, or be one host of the run."""

import functools
import glob
import json
import os
import pickle
import resource
import sys
import time

import jax
from ml_collections import ConfigDict
from safetensors.numpy import load_file

from r1jax import checks
from r1jax import convert
from r1jax import errors
from r1jax import pipeline
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.rehearse import DID
from r1jax.rehearse import inputs
from r1jax.rehearse import layout

_TEACH = dict(corpus='jsonl', format='', steps=400, batch=4, length=256, micro_tokens=4 * 256, log_every=100,
              optimizer=dict(learning_rate=3e-3, warmup=10, decay='cosine', final_share=0.1, weight_decay=0.0))


def teach(config, work: str, model: str, out: str) -> int:
  """A published base that answers: random weights imported, trained on a few turns, exported."""
  raw = inputs.publish(os.path.join(work, 'random', model), work, model)
  small = config.copy_and_resolve_references()
  small.unlock()
  small.mesh, small.dtype, small.remat = dict(data=1, fsdp=1, tensor=1, expert=1), 'float32', 'none'
  small.expect, small.base = (), ConfigDict(dict(source=raw, model=''))
  small.taught = ConfigDict(dict(_TEACH, path=inputs.taught(work)))
  small.stages = (dict(name='base', run='convert', inputs={}),
                  dict(name='taught', run='sft', inputs=dict(checkpoint='base')))
  small.model.update(max_length=0, rope_theta=0.0)
  small.checkpoints.every = 1000
  directory = os.path.join(work, 'taught', model)
  pipeline.run(small, directory)
  convert.export_model(os.path.join(directory, '2_taught'), out)
  (file,) = glob.glob(os.path.join(out, '*.safetensors'))
  tensors = load_file(file)
  os.remove(file)
  inputs.in_two(out, tensors)
  inputs.chat(out)
  return 0


def host(config, workdir: str, across: tuple[str, ...]) -> int:
  """One host of the run, devices laid so that the axes of `across` cross hosts."""
  hosts.join()
  mesh_lib.hosts_of_places = functools.partial(layout.arrange, across=across, hosts=jax.process_count())
  for module in {checks.module(spec) for spec in config.stages}:
    module.run = _noted(module.run, os.path.join(os.path.dirname(workdir), DID))
  pipeline.run(config, workdir)
  return 0


def _noted(run, place: str):
  """run, of a stage, that notes in place/STAGE.HOST.json what this host did for it."""
  def noted(config, part, directory, inputs_):
    seconds, read = time.process_time(), _bytes_read()
    facts = run(config, part, directory, inputs_)
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, f'{os.path.basename(directory)}.{jax.process_index()}.json'), 'w',
              encoding='utf-8') as f:
      json.dump({'cpu_seconds': time.process_time() - seconds, 'bytes_read': _bytes_read() - read,
                 'peak_bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}, f)
    return facts
  return noted


def _bytes_read() -> int:
  """By this process so far, from files and the page cache."""
  with open('/proc/self/io', encoding='utf-8') as f:
    return int(next(line for line in f if line.startswith('rchar')).split()[1])


def main(argv: list[str]) -> int:
  """argv: 'teach' MODEL OUT, or 'host' WORKDIR AXES; the config is a pickle on stdin."""
  given = pickle.load(sys.stdin.buffer)
  if argv[0] == 'teach':
    return errors.run(teach, given['config'], given['work'], *argv[1:])
  return errors.run(host, given['config'], argv[1], tuple(filter(None, argv[2].split(','))), place=argv[1])


if __name__ == '__main__':
  import logging
  logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
  logging.getLogger('r1jax').setLevel(logging.INFO)
  sys.exit(hosts.run(main, sys.argv[1:]))
