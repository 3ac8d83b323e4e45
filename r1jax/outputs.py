"""What a stage passes on, as one digest: of its model, tokenizer and newest weights, or of its data or scores."""

import contextlib
import hashlib
import json
import logging
import os

import jax
from jax.experimental import multihost_utils
import numpy as np

from r1jax import disk
from r1jax.engine import checkpoint
from r1jax.engine import checksums
from r1jax.engine import leaves
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

# What goes with weights.
SMALL_FILES = ('model.json', 'lora.json', 'reward_model.json', 'prompt.json', 'tokenizer.model', 'tokenizer.json',
               'tokenizer_r1jax.json')
# Where weights lie that others stand on, their digest beside it: who moves them writes it anew, and passes on the same.
PLACES = {'lora.json': ('base',), 'reward_model.json': ('reference', 'base')}


def passed_on(directory: str, records=(), *, verify: bool = False) -> dict:
  """{'output': the digest of what a stage passes on, 'files': how its files look}, the same output on every process.

  Only the first process hashes, a second for every 0.8 GB (7 hours for all stages of DeepSeek-V3's R1), and only where
  none of `records` was made from files of these names, sizes and times. Weights that are torn pass nothing on: None.
  """
  output, files = None, None
  if mesh_lib.first_process():
    files = look(directory)
    fitting = [record for record in records if record and record.get('files') == files and not verify]
    if records and not fitting:
      log.info('%s: reading and hashing all of it, as %s', directory,
               '--verify asks' if verify else 'no record has its files, sizes and times')
    if fitting:
      output = fitting[0]['output']
    elif not (records and is_torn(directory)):
      output = digest(directory)
      before = {record.get('output') for record in records if record}
      if before and output not in before and _has_place(directory):
        older = digest(directory, places=True)
        output = older if older in before else output
  return {'output': from_first(output), 'files': files}


def is_torn(directory: str) -> bool:
  """Whether the newest checkpoint is other than it was written; the log says how."""
  try:
    disk.patiently(lambda: checksums.check(checkpoint.find(directory)[1], whole=True))
  except UserError as e:
    if disk.exists(os.path.join(directory, 'checkpoints')):
      log.warning('%s', e)
      return True
  return False


def from_first(output: str | None) -> str | None:
  """The first process's digest, on every process."""
  if jax.process_count() == 1:
    return output
  there, digits = multihost_utils.broadcast_one_to_all(
      (np.array(output is not None), np.frombuffer(bytes.fromhex(output or '00' * 32), np.uint8)))
  return bytes(digits).hex() if there else None


def look(stage_dir: str) -> str:
  """Number and size of the files that digest() reads, and a sha256 over the name, size and mtime_ns of each.

  One line, not a list: DeepSeek-V3's weights lie in thousands of files, and the report shows pipeline.json.
  """
  files = [os.path.join(stage_dir, name) for name in (*SMALL_FILES, 'data.jsonl')]
  files += scores(stage_dir)
  with contextlib.suppress(UserError):  # no checkpoint
    files += below(os.path.join(checkpoint.find(stage_dir)[1], 'params'))
  return look_at(files, stage_dir)


def look_at(files: list[str], stage_dir: str) -> str:
  """`look`, of these files."""
  looks = [(os.path.relpath(file, stage_dir), found) for file in files if (found := disk.stat(file))]
  h = hashlib.sha256()
  for name, found in looks:
    h.update(f'{name} {found.st_size} {found.st_mtime_ns}\n'.encode())
  return f'{len(looks)} files, {sum(found.st_size for _, found in looks)} bytes, {h.hexdigest()}'


def scores(stage_dir: str) -> list[str]:
  """The files of an evaluation: records, and the scores that the report and the user read; none of another stage."""
  records = below(os.path.join(stage_dir, 'eval'))
  return records and [*records, os.path.join(stage_dir, 'metrics.jsonl')]


def below(directory: str) -> list[str]:
  """Every file in it and in what it holds, in order."""
  return disk.files(directory)


def digest(stage_dir: str, *, places: bool = False) -> str | None:
  """sha256 over what a stage passes on.

  Weights count by their values: the same ones saved twice lie in files of other names, or elsewhere (PLACES).

  Args:
    places: with the values of PLACES, as it was noted until 2026-11-28.
  """
  files = [os.path.join(stage_dir, name) for name in SMALL_FILES]
  h, step_dir = hashlib.sha256(), ''
  try:
    step_dir = checkpoint.find(stage_dir)[1]
    leaves.hash_each(step_dir, h)
  except UserError:  # no checkpoint, or a torn one
    files += below(os.path.join(step_dir, 'params')) if step_dir else scores(stage_dir)
    files.append(os.path.join(stage_dir, 'data.jsonl'))
  any_file = bool(step_dir)
  for file in files:
    if disk.exists(file):
      any_file = True
      name = os.path.relpath(file, stage_dir)
      h.update(name.encode())
      with open(file, 'rb') as f:
        if name in PLACES and not places:
          h.update(_without_place(f.read(), PLACES[name]))
        while block := f.read(1 << 20):
          h.update(block)
  return h.hexdigest() if any_file else None


def _has_place(stage_dir: str) -> bool:
  """Whether a file of PLACES says where others lie: without, both digests are one, and weights are read for one."""
  for name, path in PLACES.items():
    if disk.exists(file := os.path.join(stage_dir, name)):
      with open(file, 'rb') as f:
        text = f.read()
      if _without_place(text, path) != text:
        return True
  return False


def _without_place(text: bytes, path: tuple[str, ...]) -> bytes:
  """A JSON object without the value at `path`; as it is where it has none, or is no JSON object."""
  try:
    part = whole = json.loads(text)
  except ValueError:
    return text
  for key in path[:-1]:
    part = part.get(key) if isinstance(part, dict) else None
  if not isinstance(part, dict) or path[-1] not in part:
    return text
  del part[path[-1]]
  return json.dumps(whole, sort_keys=True).encode()
