"""Orbax checkpoints of a TrainState, in two items: `params` alone is what others load, `rest` resumes the run.

It is written in the background: save() returns when the state lies in host memory, and training goes on meanwhile.
It becomes visible by one rename when it is whole. One that cannot be read all the same (a torn disk), or not as it
was written (checksums.py), is set aside with a warning, and the one before it is taken.
"""

import contextlib
import glob
import logging
import math
import os
import re
import shutil
import threading
import time
from typing import Any, Callable

import jax
import numpy as np
import orbax.checkpoint as ocp

from r1jax import disk
from r1jax.engine import checksums
from r1jax.engine import json_files
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError, first_line

log = logging.getLogger('r1jax')


def _short(record: logging.LogRecord) -> bool:
  """Orbax logs an error in each thread that it passes, with its traceback, before it raises it: leaves a line."""
  if f'{os.sep}orbax{os.sep}' in record.pathname:
    record.exc_info = None
  return True


logging.getLogger('absl').addFilter(_short)


class Checkpoints:
  """The checkpoints/ of one stage. Every process makes the same calls, as Orbax waits for all of them.

  close() belongs in a `finally`: a Python that exits gives up what is still being written.
  """

  def __init__(self, workdir: str, *, keep: int = 3, minutes: float = math.inf, since: float | None = None):
    """minutes: between two checkpoints, after which `due` is true; the first one counts from `since` (time.monotonic),
    when the stage began: compiling is lost time too."""
    self._directory = os.path.join(os.path.abspath(workdir), 'checkpoints')
    self._keep, self._minutes = keep, minutes
    self._last = time.monotonic() if since is None else since
    self._sealing, self._written = None, threading.Event()  # the thread that notes checksums; nothing is being saved
    disk.make(self._directory)
    self._place = disk.place(self._directory)  # Orbax and TensorStore make again what is not there
    if mesh_lib.first_process():  # what a process that was killed had half written
      for part in glob.glob(os.path.join(glob.escape(self._directory), '*.orbax-checkpoint-tmp*')):
        shutil.rmtree(part, ignore_errors=True)
    self._open()

  @property
  def stage(self) -> str:
    """The stage's directory."""
    return os.path.dirname(self._directory)

  def _open(self) -> None:
    options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, enable_async_checkpointing=True)
    self._manager = ocp.CheckpointManager(self._directory, options=options, item_handlers={
        'params': _handler(), 'rest': _handler(), 'meta': ocp.JsonCheckpointHandler()})

  def save(self, state, meta: dict) -> None:
    """Begins to save a TrainState under its own step; its arrays may be donated or changed as soon as this returns.

    Raises:
      UserError: this one, or the one before, cannot be written; on every host, where one of them finds the directory
        gone.
    """
    step, rest = int(state.step), _rest(state)
    self._last = time.monotonic()
    self._stop_if_gone()
    if step in self._manager.all_steps():
      return
    with _one_line(self._directory):
      self._manager.save(step, args=ocp.args.Composite(
          params=ocp.args.PyTreeSave(state.params, save_args=chunks(state.params)),
          rest=ocp.args.PyTreeSave(rest, save_args=chunks(rest)),
          meta=ocp.args.JsonSave(meta)))
    self._seal(step)

  def _stop_if_gone(self) -> None:
    why = ''
    try:
      self._place.check()
    except disk.Gone as e:
      why = str(e)
    if mesh_lib.any_process(bool(why)):
      raise disk.Gone(why or f'{self._directory} is gone on another host: see that all have it as it was, then the '
                      'same command goes on')

  def due(self) -> bool:
    """Whether `minutes` have passed since the last one; one answer on all hosts."""
    return math.isfinite(self._minutes) and mesh_lib.any_process(time.monotonic() - self._last >= 60 * self._minutes)

  def wait(self) -> None:
    """Returns when the last save is on disk: before Stopped says so, or somebody else reads it.

    Raises:
      UserError: it could not be written, or not into the directory that the others are in.
    """
    if self._manager is not None:
      try:
        with _one_line(self._directory):
          self._manager.wait_until_finished()
        self._place.check()
      finally:
        self._written.set()
        if self._sealing is not None:
          self._sealing.join()

  def _seal(self, step: int) -> None:
    """Notes the checksums of a checkpoint as soon as it is whole, beside whatever goes on."""
    self._written.set()  # Orbax has waited for the one before
    if self._sealing is not None:
      self._sealing.join()
    step_dir, self._written = os.path.join(self._directory, str(step)), threading.Event()

    def seal(written=self._written):
      while not os.path.isdir(step_dir) and not written.wait(0.02):
        pass
      with contextlib.suppress(OSError):  # it could not be written, or is removed already
        if os.path.isdir(step_dir):
          checksums.write(step_dir)

    self._sealing = threading.Thread(target=seal, name='checksums')
    self._sealing.start()

  def restore(self, state, shardings, beside: Callable[[Any], None] | None = None):
    """The newest readable state laid out like `state` (arrays or shapes), and its meta; None if there is none. Those
    that are torn are set aside when an earlier one was read.

    Args:
      beside: raises ValueError where what belongs to a state that was read is torn: then that state is as well.

    Raises:
      UserError: one cannot be read for the moment, or all are torn; all stay where they are.
    """
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings)
    self.wait()
    torn = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      step_dir = os.path.join(self._directory, str(step))
      found, why, error = _read(step_dir, abstract, beside)
      if mesh_lib.any_process(error is not None):
        raise UserError(_of_the_moment(step_dir, error)) from error
      if not mesh_lib.any_process(found is None):  # where one cannot read its part, none goes on from this one
        self._set_aside(torn)
        return found
      del found  # before the next: memory may not hold two
      torn[step] = why or 'by another process'
      log.warning('checkpoint %s cannot be read (%s): trying the one before', step_dir, torn[step])
    if torn:
      name = os.path.basename(self.stage)
      raise UserError(f'none of the checkpoints {", ".join(map(str, sorted(torn)))} in {self._directory} can be read '
                      f'({torn[max(torn)]}): put one of them back as it was, or make the stage anew with '
                      f'--rerun={name.partition("_")[2] or name}')
    return None

  def _set_aside(self, torn: dict[int, str]) -> None:
    """torn: step -> why it is. A good one before them was read: they are in nobody's way, and no start needs them."""
    if not torn:
      return
    self._manager.close()
    for step in torn if mesh_lib.first_process() else ():
      aside = os.path.join(self.stage, f'torn_checkpoint_{step}')
      log.warning('checkpoint %d, which cannot be read, is moved to %s', step, aside)
      shutil.rmtree(aside, ignore_errors=True)
      os.replace(os.path.join(self._directory, str(step)), aside)
    mesh_lib.barrier(f'torn ones of {self._directory} are set aside')
    self._open()

  def close(self) -> None:
    """wait(), and the end of it; a second call does nothing."""
    try:
      self.wait()
    finally:
      manager, self._manager = self._manager, None
      self._place.close()
      if manager is not None:
        manager.close()


def _of_the_moment(step_dir: str, error: Exception | None) -> str:
  if isinstance(error, disk.Gone):
    return str(error)
  return (f'{step_dir} cannot be read now ({disk.reason(error)}), and stays as it is: mend that, mount the disk '
          'again, or move this checkpoint away, so that the one before is taken; then the same command goes on')


def _handler(**kw) -> ocp.PyTreeCheckpointHandler:
  """Without compression: zstd makes weights 8 to 20 % smaller, and writing and reading them many times slower than a
  disk is."""
  return ocp.PyTreeCheckpointHandler(use_compression=False, **kw)


def _read(step_dir: str, abstract, beside: Callable | None):
  """((state, meta), '', None); (None, why it is torn, None); or (None, '', why it cannot be read, be it torn or not).
  Each process reads alone.

  CheckpointManager.restore ends in a barrier, where those that could read would wait for one that could not.
  """
  alone = ocp.options.MultiprocessingOptions(primary_host=jax.process_index(), active_processes={jax.process_index()})

  def read():
    if not checksums.is_written(step_dir):
      log.info('%s has no checksums: it was written by an older version, or stopped before they were noted', step_dir)
    checksums.check(step_dir)
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler(), multiprocessing_options=alone) as checkpointer:
      found = checkpointer.restore(step_dir, args=ocp.args.Composite(
          params=ocp.args.StandardRestore(abstract.params),
          rest=ocp.args.StandardRestore(_rest(abstract)),
          meta=ocp.args.JsonRestore()))
    state = abstract.replace(params=found['params'], **found['rest'])
    if beside:
      beside(state)
    return state, found['meta']

  try:
    return disk.patiently(read), '', None
  except Exception as e:  # what a torn file raises depends on where it is torn
    if isinstance(e, MemoryError) or 'RESOURCE_EXHAUSTED' in str(e):
      raise
    try:
      disk.check(step_dir)
    except disk.Gone as gone:
      return None, '', gone
    return (None, '', e) if disk.of_the_moment(e) else (None, first_line(e), None)


@contextlib.contextmanager
def _one_line(directory: str):
  """A full disk is the user's to mend: one line. TensorStore raises a ValueError with the system's number in it."""
  try:
    yield
  except disk.Gone:
    raise
  except (OSError, ValueError) as e:
    number = disk.number_in(e)
    if number is None and not isinstance(e, OSError):
      raise
    reason = getattr(e, 'strerror', None) or (os.strerror(number) if number else first_line(e))
    raise UserError(f'no checkpoint could be written to {directory}: {reason}; mend that and give the same command '
                    'again, which goes on from the last whole one') from e


_LEAST = 1 << 20  # bytes of a layer: leaves of smaller ones stay whole


def chunks(tree):
  """How each leaf is cut up on disk: a layer a piece, of a mixture an expert, so that one is read alone.

  The first axis of a leaf with three or more is its layers (models/decoder.py), the second of those below `moe` with
  four its experts (models/moe.py).
  """
  def of_leaf(path, x):
    if getattr(x, 'ndim', 0) < 3:
      return ocp.SaveArgs()
    leading = 2 if x.ndim == 4 and any(getattr(entry, 'key', None) == 'moe' for entry in path) else 1
    shape = x.sharding.shard_shape(x.shape) if isinstance(x, jax.Array) else x.shape
    part = int(np.prod(shape[leading:])) * x.dtype.itemsize
    if part * (shape[1] if leading == 2 else 1) < _LEAST:
      return ocp.SaveArgs()
    return ocp.SaveArgs(chunk_byte_size=part, shard_axes=tuple(range(leading)))  # Orbax cuts these axes all the way

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def _rest(state) -> dict:
  rest = {k: getattr(state, k) for k in state.__dataclass_fields__ if k != 'params'}
  return {k: v for k, v in rest.items() if v is not None}


def find(path: str) -> tuple[str, str]:
  """(stage dir, step dir) for a stage's work dir (its newest step) or for one step's dir.

  Raises:
    UserError: nothing like a checkpoint there.
  """
  name, path = path, os.path.abspath(path)
  if disk.exists(os.path.join(path, 'params')):
    return os.path.dirname(os.path.dirname(path)), path
  root = os.path.join(path, 'checkpoints')
  steps = sorted(int(name) for name in disk.names(root) if name.isdigit())
  if not steps:
    stages = sorted(os.path.basename(os.path.dirname(found)) for found in glob.glob(
        os.path.join(glob.escape(path), '*', 'checkpoints')))
    there = f'; it holds the stages {", ".join(stages)}: give one of them' if stages else ''
    if not there and not disk.exists(path) and re.fullmatch(r'[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*', name):
      there = f'; a model of the hub is hf:{name}'
    raise UserError(f'no checkpoint in {path}: expected {path}/checkpoints/STEP{there}')
  return path, os.path.join(root, str(steps[-1]))


def save_params(directory: str, params, meta: dict) -> None:
  """Weights alone, as step 0 of a stage: what convert writes."""
  step = os.path.join(os.path.abspath(directory), 'checkpoints', '0')
  temporary = step + '.tmp'
  if mesh_lib.first_process():
    for old in (step, temporary):
      shutil.rmtree(old, ignore_errors=True)
  mesh_lib.barrier(f'{step} is free')
  # Orbax would copy numpy arrays before it writes them, in case they change meanwhile: as much memory once more.
  handlers = ocp.type_handlers.create_type_handler_registry(
      (np.ndarray, ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)),
      (jax.Array, ocp.type_handlers.ArrayHandler()))
  # Pieces on their way to the disk are copies: so many at a time, beside all weights.
  with ocp.Checkpointer(_handler(type_handler_registry=handlers, save_concurrent_gb=2)) as checkpointer:
    checkpointer.save(os.path.join(temporary, 'params'), args=ocp.args.PyTreeSave(
        params, save_args=chunks(params), ocdbt_target_data_file_size=256 << 20))
  json_files.write(os.path.join(temporary, 'meta.json'), meta)
  mesh_lib.barrier(f'{temporary} is whole')
  checksums.write(temporary)
  mesh_lib.barrier(f'{temporary} has its checksums')
  if mesh_lib.first_process():
    os.replace(temporary, step)
  mesh_lib.barrier(f'{step} stands')


def load_params(step_dir: str, abstract, shardings):
  """Weights of one checkpoint onto a mesh.

  Raises:
    UserError: the tree or a shape in it is another one, or a file is torn.
  """
  intact(step_dir, below='params')
  target = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings)
  with ocp.StandardCheckpointer() as checkpointer:
    try:
      return checkpointer.restore(os.path.join(step_dir, 'params'), target)
    except Exception as e:  # pylint: disable=broad-except  what a torn file raises depends on where it is torn
      if disk.of_the_moment(e):
        raise
      raise UserError(f'{step_dir} does not hold this model, or is torn: {first_line(e)}') from e


def intact(step_dir: str, below: str = '') -> None:
  """Raises UserError, on every process, where a file of a checkpoint, or `below` a folder of it, is other than it was
  written."""
  said = ''
  way = 'take another step of that stage, or give the command of its run again with --verify, which mends it'
  try:
    disk.patiently(lambda: checksums.check(step_dir, below=below))
  except UserError as e:
    said = str(e)
  except OSError as e:
    said, way = _of_the_moment(step_dir, e).split(': ', 1)
  if mesh_lib.any_process(bool(said)):
    raise UserError(f'{said or f"{step_dir} is torn, as another process says"}: {way}')
