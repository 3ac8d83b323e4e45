"""What every stage does before its loop: mesh, tokenizer, model, weights, where a run stands."""

import collections
import ctypes
import dataclasses
import itertools
import json
import logging
import os
import pathlib
import sys
from typing import Any, Callable, Iterator
import zlib

import jax

from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import hosts
from r1jax.engine import params as params_lib
from r1jax.engine import mesh as mesh_lib
from r1jax import disk
from r1jax import metrics
from r1jax import stopping
from r1jax.exceptions import UserError
from r1jax.models import attention
from r1jax.models import zoo
from r1jax.data import prompts
from r1jax.data.tokenizer import Tokenizer
from r1jax.stages import adapters


log = logging.getLogger('r1jax')


def load_model(path: str, **overrides):
  """(model, tokenizer, step_dir) of a checkpoint: a stage's work dir, one step's dir, or what convert wrote.

  `overrides` replace how the model is computed (dtype, remat), never its sizes.
  """
  stage_dir, step_dir = checkpoint.find(path)
  config_path = os.path.join(stage_dir, 'model.json')
  if not disk.exists(config_path):
    raise UserError(f'no model.json in {stage_dir}')
  try:
    model = zoo.build(zoo.from_dict({**json_files.read(config_path), **overrides}))
  except (TypeError, ValueError) as e:  # fields that it has not got, of another version or another program
    raise UserError(f'{config_path}: {e}') from e
  return model, Tokenizer(stage_dir), step_dir


def attention_path(wanted: str, dtype: str, mesh) -> str:
  """The way attention is computed: `wanted`, or with 'auto' that of the mesh's platform (models/attention.py)."""
  if wanted == 'auto':
    by_platform = {'tpu': 'splash', 'gpu': 'cudnn' if dtype == 'bfloat16' and not _before_ampere(mesh) else 'xla'}
    return by_platform.get(mesh_lib.platform(mesh), 'xla')
  if wanted not in attention.PATHS:
    raise UserError(f"config.attention={wanted!r} is not one of auto, {', '.join(attention.PATHS)}")
  needs = {'splash': 'tpu', 'cudnn': 'gpu'}.get(wanted)
  if needs and mesh_lib.platform(mesh) != needs:
    raise UserError(f"config.attention={wanted!r} runs on {needs.upper()}s alone, this is a {mesh_lib.platform(mesh)}: "
                    "take 'auto'" + (", or 'splash_interpret', slow, for tests" if wanted == 'splash' else ''))
  return wanted


def _before_ampere(mesh) -> bool:
  """GPUs that have neither bfloat16 nor cuDNN's attention."""
  return float(getattr(mesh.devices.flat[0], 'compute_capability', 0) or 8) < 8


def computed(config, mesh) -> dict:
  """How a stage computes its model, for load_model."""
  if config.dtype == 'bfloat16' and _before_ampere(mesh):
    log.info('this GPU has no bfloat16 (compute capability %s, which begins at 8.0): XLA keeps values so and '
             'multiplies them in float32', mesh.devices.flat[0].compute_capability)
  return {'dtype': config.dtype, 'remat': config.remat,
          'attention': attention_path(config.attention, config.dtype, mesh)}


def host_directory(workdir: str) -> str:
  """Where this process writes what each has of its own: the stage's work dir, of the others below its hosts/."""
  return workdir if jax.process_index() == 0 else os.path.join(workdir, 'hosts', str(jax.process_index()))


ORIGIN = 'origin.json'  # {source, hub, commit, dtype} of the weights that a model began with


def origin(directory: str) -> dict:
  """ORIGIN of a checkpoint; {} where it began from nothing."""
  return json_files.read(os.path.join(directory, ORIGIN), {})


def save_model(directory: str, model, tokenizer, *, made_from: str | None = None, prompt: dict | None = None,
               lora=None) -> None:
  """Writes what load_model reads, weights aside. How it was computed here is nobody's business later.

  Args:
    made_from: a checkpoint whose weights this one began with: its origin goes along.
    prompt: what it is trained to be asked with (prompts.record).
    lora: the adapters that its checkpoints hold beside those weights (engine/lora.py); None: they hold all.
  """
  disk.make(directory)
  adapters.save(directory, lora, made_from and checkpoint.find(made_from)[1])
  if jax.process_index():
    return
  if made_from and (known := origin(checkpoint.find(made_from)[0])):
    json_files.write(os.path.join(directory, ORIGIN), known)
  record = os.path.join(directory, prompts.RECORD)
  if prompt:
    json_files.write(record, prompt)
  elif os.path.exists(record):  # of an earlier start
    os.remove(record)
  sizes = dataclasses.replace(model.config, dtype='float32', remat='none', attention='xla')
  json_files.write(os.path.join(directory, 'model.json'), dataclasses.asdict(sizes))
  tokenizer.save(directory)


def check_length(model, needed: int, name: str) -> None:
  """Raises UserError where texts may be longer than the model has positions."""
  if needed > model.config.max_length:
    raise UserError(f"{name}: texts of up to {needed} tokens exceed the model's max_length={model.config.max_length}: "
                    'lower them, or import it with config.model.max_length (often with rope_theta or rope_scaling)')


def load_params(model, step_dir: str, mesh):
  """A checkpoint's weights in float32, dealt out over the mesh as for training."""
  boxed = params_lib.abstract(model)
  shapes = mesh_lib.with_shardings(mesh_lib.unbox(boxed), mesh_lib.param_shardings(boxed, mesh))
  return adapters.load(model, step_dir, shapes, mesh, mesh_lib.RULES)


def load_sampling_params(model, step_dir: str, mesh):
  """A checkpoint's weights in the layout for sampling (engine/params.py)."""
  return adapters.load(model, step_dir, params_lib.sampling_shapes(model, mesh), mesh, mesh_lib.DECODE_RULES)


def key(seed: int, name: str) -> jax.Array:
  """The key of a stage: no two stages of a run draw the same numbers."""
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def say_resumed(name: str, step: int, steps: int, workdir: str, restored: bool) -> None:
  """Where a stage goes on, and from what."""
  if restored:
    log.info('%s: resuming at step %d of %d, from %s', name, step, steps,
             os.path.join(workdir, 'checkpoints', str(step)))


def told_by_first(make: Callable[[], Any]) -> Any:
  """What make() gives on the first host, as JSON has it, on every host: of records that it alone keeps, so that a stage
  may go on on other hosts than it was begun on. Hosts call it together.

  Raises:
    UserError: on all of them, where make() raises it on the first.
  """
  if mesh_lib.processes() == 1:
    return make()
  said = b''
  if mesh_lib.first_process():
    try:
      said = zlib.compress(json.dumps(['', make()]).encode())
    except UserError as e:
      said = zlib.compress(json.dumps([str(e), None]).encode())
  wrong, value = json.loads(zlib.decompress(mesh_lib.from_first(said)))
  if wrong:
    raise UserError(wrong)
  return value


def in_turn(look: Callable[[], Any]) -> Any:
  """look(), by the first host before the others: what it downloads from the hub then lies where all that share its
  cache find it, and what it refuses is refused by all. Hosts call it together."""
  found = []
  if mesh_lib.processes() > 1:
    told_by_first(lambda: found.append(look()))
  return found[0] if found else look()


def stop_if_asked(name: str) -> None:
  """Raises Stopped after SIGTERM, on every host: for loops whose batches are on disk, or are soon made again."""
  if hosts.stop_asked():
    raise stopping.Stopped(f'{name} stopped between two batches')


def checkpoints(config, workdir: str, started: float) -> checkpoint.Checkpoints:
  """A training stage's, as config.checkpoints has it; started: when the stage began, of time.monotonic."""
  return checkpoint.Checkpoints(
      workdir, keep=config.checkpoints.keep, minutes=config.checkpoints.minutes, since=started)


class Batches:
  """What each batch of questions gave, on disk as soon as it is judged: an interrupted stage goes on behind the last,
  on however many hosts. The first one writes, into the stage's directory, which all of them read.

  batches.jsonl has a small row a batch, kept.jsonl what was kept of all of them, a line each; the row is written behind
  its lines and says where they end, so that what a kill leaves half written is cut off, and nothing is held or written
  again.
  """

  def __init__(self, directory: str):
    """directory: the stage's.

    Raises:
      UserError: what stands there cannot be gone on with.
    """
    self._path, self.kept_path = (os.path.join(directory, name) for name in ('batches.jsonl', 'kept.jsonl'))
    self._writes = mesh_lib.first_process()
    rows = _whole_rows(self._path)
    if any('end' not in row for row in rows):
      raise UserError(f'{self._path} was written by an earlier version of r1jax: move its directory away')
    there = disk.stat(self.kept_path)
    size = there.st_size if there else 0
    rows = list(itertools.takewhile(lambda row: row['end'] <= size, rows))
    together = mesh_lib.min_over_hosts(len(rows))  # hosts go on together
    if mesh_lib.any_process(len(rows) != together):
      raise UserError(f'{directory} is not the same on every host: --workdir must be one directory, which all share')
    self._rows = rows[:together]
    if self._rows:
      log.info('%s: resuming behind %d questions, of which %d rows are kept', os.path.basename(directory),
               sum(row['questions'] for row in self._rows), self.kept_count())
    if self._writes:
      metrics.replace_file(self._path, b''.join(metrics.encode(row) for row in self._rows))
      with open(self.kept_path, 'ab') as f:
        f.truncate(self._end())

  def _end(self) -> int:
    return self._rows[-1]['end'] if self._rows else 0

  def add(self, source: str, questions: int, kept: list[dict], reasons: dict[str, int] | None = None) -> None:
    """So many questions of a source were asked, this was kept, and so many samples turned away, by reason."""
    lines = b''.join(metrics.encode(sample) for sample in kept)
    self._rows.append({'source': source, 'questions': questions, 'kept': len(kept),
                       'turned_away': dict(reasons or {}), 'end': self._end() + len(lines), 'crc32': zlib.crc32(lines)})
    if self._writes:
      disk.check(self._path)
      for path, data in ((self.kept_path, lines), (self._path, metrics.encode(self._rows[-1]))):
        with open(path, 'ab') as f:
          f.write(data)
          f.flush()
          os.fsync(f.fileno())

  def written(self) -> None:
    """Returns, on all hosts, when the first one has written what was added: then `kept` has it on each."""
    mesh_lib.barrier(f'{self.kept_path} is written')

  def remove(self) -> None:
    """For a stage that has written all of it elsewhere."""
    if self._writes:
      os.remove(self._path)
      os.remove(self.kept_path)

  def done(self, source: str) -> int:
    """Questions of a source that are judged."""
    return sum(row['questions'] for row in self._rows if row['source'] == source)

  def kept(self, source: str | None = None) -> Iterator[dict]:
    """What was kept, of one source or of all, read again: what stood there at the start, and what `written` speaks of.

    Raises:
      UserError: it is other than it was written.
    """
    start = 0
    with open(self.kept_path, 'rb') as f:
      for number, row in enumerate(self._rows, 1):
        if source in (None, row['source']):
          f.seek(start)
          lines = f.read(row['end'] - start)
          if zlib.crc32(lines) != row.get('crc32', zlib.crc32(lines)):  # an older version noted none
            raise UserError(f'{self.kept_path} is other than it was written, behind byte {start}: take line {number} '
                            f'of {self._path} and those behind it out, then the same command asks that batch again')
          yield from map(json.loads, lines.splitlines())
        start = row['end']

  def kept_count(self, source: str | None = None) -> int:
    return sum(row['kept'] for row in self._rows if source in (None, row['source']))

  @property
  def reasons(self) -> collections.Counter:
    """Why samples were turned away: reason -> count."""
    return sum((collections.Counter(row['turned_away']) for row in self._rows), collections.Counter())


def _whole_rows(path: str) -> list[dict]:
  """Of a batches.jsonl; none where it is not there. A row that is torn, and those behind it, are made again."""
  rows = []
  if disk.exists(path):
    for number, line in enumerate(disk.patiently(pathlib.Path(path).read_bytes).split(b'\n')[:-1], 1):
      try:
        rows.append(dict(json.loads(line)))
      except (TypeError, ValueError) as e:
        log.warning('%s, line %d is torn (%s): that batch and those behind it are asked again', path, number, e)
        break
  return rows


def made_once(path: str, make) -> list[dict]:
  """The rows of a JSONL; where it does not stand yet, the first host writes what make() gives on every host."""
  if mesh_lib.any_process(not disk.exists(path)):  # hosts must not look one after the other has written
    rows = make()
    if mesh_lib.first_process():
      metrics.replace_file(path, b''.join(metrics.encode(row) for row in rows))
    mesh_lib.barrier(f'{path} is written')
  return metrics.read(path)


def release_memory() -> None:
  """Gives what was freed back to the system: compiling and importing leave hundreds of MB behind with glibc."""
  if sys.platform.startswith('linux'):
    try:
      ctypes.CDLL('libc.so.6').malloc_trim(0)
    except (OSError, AttributeError):  # another C library
      pass
