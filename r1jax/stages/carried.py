"""What a rollout begins with from those before it, beside checkpoints: unfinished groups, lengths, what was drawn."""

import base64
import os
from typing import NamedTuple

import numpy as np

from r1jax import disk
from r1jax import metrics
from r1jax.engine import checksums
from r1jax.engine import mesh as mesh_lib
from r1jax.types import Completion, Request


class Carried(NamedTuple):
  requests: list[Request]  # groups that go on, with what they said
  row_of: dict[int, int]  # group -> the number of its question
  lengths: dict[int, float]  # question -> tokens of its last answers, which order a rollout
  drawing: dict  # where the drawing of questions stands (drawing.py)


def write(directory: str, number: int, what: Carried, keep: int) -> None:
  """For a checkpoint that goes on with rollout `number`, which may be under way. The first host writes for all, so that
  others can go on from it; the newest `keep` + 1 stay, as the newest checkpoint may not be whole yet."""
  if not mesh_lib.first_process():
    return
  plain = lambda x: None if x is None else [x.tokens.tolist(), x.logps.tolist(), x.stopped, _text(x.choices)]
  listed = [{'group': r.group, 'row': what.row_of[r.group], 'samples': r.samples, 'begun': [plain(x) for x in r.begun],
             'choices': _text(r.choices)} for r in what.requests]
  text = {'requests': listed, 'lengths': {str(k): v for k, v in what.lengths.items()},
          **({'drawing': what.drawing} if what.drawing else {})}
  metrics.replace_file(os.path.join(directory, f'{number:08d}.json'), checksums.sealed(text))
  for path in sorted(_files(directory))[:-1 - keep]:
    os.remove(path)


def read(directory: str, number: int, encoded: list[np.ndarray], choices: tuple | None) -> Carried | None:
  """What write wrote for rollout `number`, None for nothing; what it wrote of later ones is removed: they come again.

  Args:
    encoded: token ids of every question's prompt.
    choices: a model's choices(), where experts are replayed.
  """
  for path in _files(directory) if mesh_lib.first_process() else ():
    if int(os.path.basename(path)[:-5]) > number:
      os.remove(path)
  path = os.path.join(directory, f'{number:08d}.json')
  if not disk.exists(path):
    return None
  kept = checksums.opened(path)
  experts = lambda text: None if not choices or text is None else np.frombuffer(
      base64.b64decode(text), choices[1]).reshape(-1, *choices[0])
  begun = lambda x: None if x is None else Completion(
      np.asarray(x[0], np.int32), np.asarray(x[1], np.float32), x[2], experts(x[3] if len(x) > 3 else None))
  requests = [Request(r['group'], encoded[r['row']], tuple(r['samples']), tuple(begun(x) for x in r['begun']),
                      choices=experts(r.get('choices'))) for r in kept['requests']]
  return Carried(requests, {r['group']: r['row'] for r in kept['requests']},
                 {int(k): v for k, v in kept['lengths'].items()}, kept.get('drawing', {}))


def check(directory: str, number: int) -> None:
  """For Checkpoints.restore: what a checkpoint that goes on with rollout `number` needs beside it. Without it, or with
  another, it would learn from other data.

  Raises:
    ValueError: it is torn.
  """
  path = os.path.join(directory, f'{number:08d}.json')
  try:
    if not isinstance(kept := checksums.opened(path), dict) or not {'requests', 'lengths'} <= kept.keys():
      raise ValueError('it holds something else')
  except FileNotFoundError:  # an older version wrote none
    if others := _files(directory):
      raise ValueError(f'{path} is not there, as {os.path.basename(others[-1])} is') from None
  except ValueError as e:
    raise ValueError(f'{path} is torn: {e}') from e


def _files(directory: str) -> list[str]:
  return [os.path.join(directory, name) for name in disk.names(directory, '.json')]


def _text(choices: np.ndarray | None) -> str | None:
  return None if choices is None else base64.b64encode(choices.tobytes()).decode()
