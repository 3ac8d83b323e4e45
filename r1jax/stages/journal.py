"""What rollouts said, on disk until a checkpoint has passed them: a run that is started again samples nothing twice.

STAGE/rollouts/NNNNNNNN.npz, written by rename by the first host and read by all. Its members carry zip's checksums, so
a torn one is noticed; it is then sampled again.
"""

import glob
import logging
import os
from typing import NamedTuple

import numpy as np

from r1jax import disk
from r1jax import metrics
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.types import Completion, Request

log = logging.getLogger('r1jax')


class Said(NamedTuple):
  """Of one rollout, whole or as far as it came; each request with what its samples have said so far."""
  given: list[Request]  # finished groups, in the order in which they ended
  unfinished: list[Request]
  slot_use: float  # of the decode steps that ran
  steps: int
  whole: bool  # it has all the groups that it was asked for


class Journal:
  """The rollouts of one stage."""

  def __init__(self, workdir: str):
    self._directory = os.path.join(workdir, 'rollouts')
    kept = disk.names(self._directory, '.npz')
    if mesh_lib.first_process():
      for part in glob.glob(os.path.join(glob.escape(self._directory), '.*.tmp')):  # of a start that was killed
        os.remove(part)
    # Later ones are new, and nobody need look for them.
    self._last = mesh_lib.min_over_hosts(max((int(name[:-4]) for name in kept), default=-1))

  def _path(self, number: int) -> str:
    return os.path.join(self._directory, f'{number:08d}.npz')

  def write(self, number: int, said: Said) -> None:
    """Rollout `number`, in place of what was noted of it before."""
    if not mesh_lib.first_process():
      return
    requests = [*said.given, *said.unfinished]
    members = [c or Completion(np.zeros(0, np.int32), np.zeros(0, np.float32), False)
               for r in requests for c in r.begun or [None] * len(r.samples)]
    joined = lambda arrays, dtype: np.concatenate([np.zeros(0, dtype), *arrays])
    metrics.replace_arrays(
        self._path(number), groups=[r.group for r in requests], prompts=joined([r.prompt for r in requests], np.int32),
        prompt_lengths=[len(r.prompt) for r in requests], samples=[r.samples for r in requests],
        lengths=[len(c.tokens) for c in members], stopped=[c.stopped for c in members],
        tokens=joined([c.tokens for c in members], np.int32), logps=joined([c.logps for c in members], np.float32),
        counts=[len(said.given), said.steps, said.whole], slot_use=said.slot_use,
        **_choices([c.choices for c in members], [r.choices for r in requests]))

  def read(self, number: int, requests: list[Request], choices: tuple | None = None) -> Said | None:
    """What stands of rollout `number`, if it asked the same; None: nothing, and it is to be sampled. On all hosts the
    same.

    choices: a model's choices(), where experts are replayed: what has none of that shape is not taken.
    """
    if number > self._last:
      return None
    said, why = self._taken(number, choices)
    if said is not None and _asked(said.given + said.unfinished) != _asked(requests):
      said, why = None, 'it asked other questions'
    if mesh_lib.any_process(said is None):
      if os.path.exists(self._path(number)):
        log.warning('%s is not taken (%s): this rollout is sampled again', self._path(number),
                    why or 'another process cannot read it')
      return None
    log.info('rollout %d: %d groups are taken from %s%s', number, len(said.given), self._path(number),
             '' if said.whole else f', {len(said.unfinished)} go on from what they had said')
    return said

  def groups(self, number: int, requests: list[Request], choices: tuple | None = None) -> list[Request] | None:
    """These of the groups that rollout `number` has finished, with what they said; None where one is not there. On all
    hosts the same."""
    said, why = self._taken(number, choices)
    found = {r.group: r for r in said.given} if said else {}
    chosen = [found[r.group] for r in requests if r.group in found]
    if mesh_lib.any_process(_asked(chosen) != _asked(requests)):
      log.warning('%s does not give the %d groups that were left over (%s): others are sampled in their place',
                  self._path(number), len(requests), why or 'it has others')
      return None
    return chosen

  def _taken(self, number: int, choices: tuple | None) -> tuple[Said | None, str]:
    """(what stands, ''), or (None, why it cannot be taken).

    Raises:
      UserError: on all hosts, where one cannot read it for the moment: what it says was paid for, and is not torn.
    """
    said, why, error = None, '', None
    try:
      said, why = disk.patiently(self._read, number, choices)
    except Exception as e:  # pylint: disable=broad-except  what a torn file raises depends on where it is torn
      why = f'{type(e).__name__}: {e}'
      error = e if disk.of_the_moment(e) else None
    if mesh_lib.any_process(error is not None):
      raise UserError(f'{self._path(number)} cannot be read now ({disk.reason(error)}): mend that, mount the disk '
                      'again, or remove it to sample this rollout again; then the same command goes on') from error
    return said, why

  def _read(self, number: int, choices: tuple | None) -> tuple[Said | None, str]:
    with np.load(self._path(number), allow_pickle=False) as file:
      x = {name: file[name] for name in file.files}
    if choices and x.get('choices', np.zeros(0)).shape[1:] != choices[0]:
      return None, 'the experts of its tokens are not in it'
    ends, prompt_ends = np.cumsum(x['lengths']), np.cumsum(x['prompt_lengths'])
    cut = lambda of, stops: [of[a:b].copy() for a, b in zip([0, *stops.tolist()], stops.tolist())]
    experts = cut(x['choices'], ends) if choices else [None] * len(ends)
    said = [Completion(*each) if len(each[0]) else None for each in zip(
        cut(x['tokens'], ends), cut(x['logps'], ends), map(bool, x['stopped']), experts)]
    G = x['samples'].shape[1] if len(x['groups']) else 0
    requests = [Request(int(group), prompt, tuple(map(int, samples)), tuple(said[i * G:i * G + G]))
                for i, (group, prompt, samples) in enumerate(zip(
                    x['groups'], cut(x['prompts'], prompt_ends), x['samples']))]
    if choices:
      of_prompts = cut(x['prompt_choices'], np.cumsum(x['prompt_chosen']))
      requests = [r._replace(choices=each if len(each) else None) for r, each in zip(requests, of_prompts)]
    given, steps, whole = map(int, x['counts'])
    return Said(requests[:given], requests[given:], float(x['slot_use']), steps, bool(whole)), ''

  def forget(self, before: int) -> None:
    """Rollouts that no restart will ask for."""
    if mesh_lib.first_process():
      for name in disk.names(self._directory, '.npz'):
        if int(name[:-4]) < before:
          os.remove(os.path.join(self._directory, name))


def forget_after(workdir: str, number: int) -> None:
  """Rollouts behind this one, by a first process: what they were drawn by comes otherwise now."""
  directory = os.path.join(workdir, 'rollouts')
  for name in os.listdir(directory) if os.path.isdir(directory) else ():
    if name.endswith('.npz') and not name.startswith('.') and int(name[:-4]) > number:
      os.remove(os.path.join(directory, name))


def _choices(members: list, prompts: list) -> dict:
  """The arrays of the experts of completions and of prompts that were computed; {} where none are kept."""
  kept = [x for x in members if x is not None]
  if not kept:
    return {}
  # One that has said nothing has none, nor has a prompt that was not computed yet.
  none = np.zeros((0, *kept[0].shape[1:]), kept[0].dtype)
  joined = lambda arrays: np.concatenate([none, *(x for x in arrays if x is not None)])
  return {'choices': joined(members), 'prompt_choices': joined(prompts),
          'prompt_chosen': [0 if x is None else len(x) for x in prompts]}


def _asked(requests: list[Request]) -> dict:
  return {r.group: (r.samples, r.prompt.tobytes()) for r in requests}
