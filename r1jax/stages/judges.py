"""The generative judge of a stage: an endpoint, or a checkpoint that answers in this process (../rewards/judge)."""

from concurrent import futures
import json
import logging
import os
import time

from r1jax import paths
from r1jax import rewards
from r1jax import stopping
from r1jax.data import prompts
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import InputError, RunStopped, UserError, about
from r1jax.rewards import judge as judge_lib
from r1jax.stages import common
from r1jax.stages import sampling

log = logging.getLogger('r1jax')

ANSWERS = 'judged'  # below a stage's work dir: an endpoint's replies
_SLOTS = 32  # completions that a judge in this process decodes at a time, at least


def check(c, key: str) -> None:
  """Raises UserError for values of the part `key` of the config that cannot be."""
  if c.kind == 'model' or c.kind == 'auto' and c.checkpoint:
    with about(f'{key}.template', c.template):
      prompts.render(c.template, 'a question')
  judge_lib.create(c.to_dict())


def check_files(c, key: str) -> None:
  """Raises UserError for a judge that does not answer, or a checkpoint that cannot be one. One of another program,
  which the run will import, is looked at by checks.py."""
  kind = judge_lib.kind_of(c)
  if kind == 'endpoint':
    judge_lib.connect(c.to_dict()).look()
  if kind == 'model' and not paths.is_foreign(c.checkpoint):
    with about(f'{key}.checkpoint', c.checkpoint):
      common.check_length(common.load_model(c.checkpoint)[0], c.max_prompt + c.max_tokens, key)


def alike(key: str, was, is_) -> bool:
  """Whether a change of 'STAGE.judge.KEY' leaves all verdicts as they are: an endpoint may move, and cost more."""
  part, _, name = key.rpartition('.')
  return part.endswith('.judge') and (name in judge_lib.FREE or name == 'url' and bool(was and is_))


def ways(name: str) -> str:
  """How a stage is given one."""
  return f'{name}.judge.url=http://HOST:8000/v1, or {name}.judge.checkpoint=DIR'


def endpoint(c: dict, directory: str, grace: float) -> judge_lib.Endpoint:
  """The endpoint of the part `c` of a config, its replies kept in directory/ANSWERS; it is waited for until `grace`
  seconds after SIGTERM, and then raises stopping.Stopped."""

  def stop():
    if stopping.requested.is_set() and time.monotonic() - (stopping.requested.at or 0) >= grace:
      raise stopping.Stopped('stopped while a judge was asked; what it has answered is kept')

  return judge_lib.connect(c, os.path.join(directory, ANSWERS), stop)


def none_for_evaluation(kind: str, way: str) -> str:
  """Why an evaluation's questions for a judge are left out, with the way out; '' where they can be judged.

  kind: of the judge that is given. way: how to give one.
  """
  return '' if kind == 'endpoint' else f'needs a judge: {way}'


def for_evaluation(c: dict, directory: str, grace: float) -> judge_lib.Judge:
  """The endpoint of the part `c` of a config beside a sampler: the first host asks it, and `Shared` tells the others.
  """
  return judge_lib.Judge(together=endpoint(c, directory, grace) if mesh_lib.first_process() else _elsewhere)


def _elsewhere(prompts_: list[str]) -> list[str]:
  raise AssertionError(f'{len(prompts_)} prompts for a judge, which the first host alone asks')


def look(c: dict) -> None:
  """Whether somebody is there, seen from the first host, which alone asks.

  Raises:
    UserError: on all hosts, nobody is.
  """
  if mesh_lib.processes() == 1:
    return judge_lib.connect(c).look()
  why = ''
  if mesh_lib.first_process():
    try:
      judge_lib.connect(c).look()
    except UserError as e:
      why = str(e)
  if why := mesh_lib.from_first(why.encode()).decode():
    raise InputError(why)


class Shared:
  """Records of questions for a judge, on every host of an evaluation: the first one's judge is asked, once for all.

  Hosts call `submit` and `share` together and in the same order. What the first one has found goes to the others in
  `share`, not when it is found: its judge answers in a thread, and hosts may meet in none but their main one.
  """

  def __init__(self, together):
    """together: a grading.Together."""
    self._together, self._alone = together, mesh_lib.processes() == 1
    self._waiting: list[tuple[futures.Future, futures.Future | None]] = []  # the record, and on the first host its own

  def submit(self, row: dict, said) -> futures.Future:
    """The record, once it is judged; on several hosts once it is shared."""
    mine = self._together.submit(row, said) if mesh_lib.first_process() else None
    if self._alone:
      return mine
    self._waiting.append((futures.Future(), mine))
    return self._waiting[-1][0]

  def share(self, wait: bool = False) -> None:
    """Those that are judged go to all hosts; wait: until all are. What the judge has raised is then every host's."""
    while self._waiting:
      found, failure = json.loads(mesh_lib.from_first(json.dumps(self._found(wait)).encode()))
      for place, record in found:
        self._waiting[place][0].set_result(record)
      gone = {place for place, _ in found}
      self._waiting = [each for place, each in enumerate(self._waiting) if place not in gone]
      if failure:
        kind, text = failure
        for record, _ in self._waiting:
          record.set_exception(_FAILURES[kind](text))
        self._waiting = []
      if not wait:
        return

  def _found(self, wait: bool) -> tuple[list, tuple | None]:
    """([(place, record)], (kind, text) of what was raised or None), of the first host."""
    jobs = [mine for _, mine in self._waiting]
    if jobs[0] is None:
      return [], None
    if wait:
      futures.wait(jobs, return_when=futures.FIRST_COMPLETED)
    done = [(place, job) for place, job in enumerate(jobs) if job.done()]
    raised = next((job.exception() for _, job in done if job.exception()), None)
    kind = raised and next((name for name, known in _FAILURES.items() if isinstance(raised, known)), UserError.__name__)
    return ([(place, job.result()) for place, job in done if not job.exception()],
            (kind, str(raised) or type(raised).__name__) if raised else None)


def say(judge, c, name: str, needing: int, of: int) -> None:
  """One line: who judges, or what is left out."""
  if judge is None:
    log.warning('%s: %d of %d questions need a judge, none is given: left out; %s', name, needing, of, ways(name))
    return
  kind = judge_lib.kind_of(c)
  log.info('%s: %d of %d questions are judged by %s', name, needing, of,
           f'{c.model} at {c.url}' if kind == 'endpoint' else c.checkpoint)


def create(config, c, mesh, directory: str) -> judge_lib.Judge | None:
  """The judge that the part `c` of the config asks for; None for none.

  An endpoint is asked by the first host alone, which tells the others: so all take the same samples, and none is paid
  for twice. A checkpoint runs on all of them.

  Args:
    directory: of the stage, which keeps an endpoint's replies.
  """
  if judge_lib.kind_of(c) != 'endpoint':
    return judge_lib.create(c.to_dict(), in_process(config, c, mesh))
  if not mesh_lib.first_process():
    return judge_lib.Judge(together=_told)
  asking = endpoint(c.to_dict(), directory, config.checkpoints.grace)
  return judge_lib.Judge(together=asking if mesh_lib.processes() == 1 else lambda prompts_: _telling(asking, prompts_))


_FAILURES = {kind.__name__: kind for kind in (UserError, RunStopped, stopping.Stopped)}


def _telling(asking, prompts_: list[str]) -> list[str]:
  """On the first of several hosts: the replies, which the others learn of too, or why there are none."""
  try:
    replies = asking(prompts_)
  except tuple(_FAILURES.values()) as e:
    mesh_lib.from_first(json.dumps([type(e).__name__, str(e)]).encode())
    raise
  mesh_lib.from_first(json.dumps(['', replies]).encode())
  return replies


def _told(prompts_: list[str]) -> list[str]:
  """On the others."""
  del prompts_  # the same ones
  failure, found = json.loads(mesh_lib.from_first(b''))
  if failure:
    raise _FAILURES[failure](found)
  return found


def in_process(config, c, mesh):
  """prompts -> replies of the checkpoint c.checkpoint, greedily, many at a time in the slots; None for another kind.
  The reply to a prompt that is longer than c.max_prompt is '', no verdict."""
  if judge_lib.kind_of(c) != 'model':
    return None
  model, tokenizer, step_dir = common.load_model(c.checkpoint, **common.computed(config, mesh))
  shards = mesh_lib.batch_shards(mesh)
  slots = c.get('slots', 0) or -(-_SLOTS // shards) * shards
  generator = sampling.Generator(
      model, tokenizer, mesh, template=c.template, samples=1, max_prompt=c.max_prompt, max_tokens=c.max_tokens,
      batch=slots, temperature=0.0, top_p=1.0, seed=0, slots=slots, name='judge', grace=config.checkpoints.grace)
  params = generator.arrange(common.load_sampling_params(model, step_dir, mesh))  # once, not for every batch

  def ask(asked: list[str]) -> list[str]:
    found = dict.fromkeys(asked, '')  # equal ones have one reply, it is greedy
    short = [prompt for prompt in found
             if len(prompts.ids(tokenizer, c.template, {'question': prompt})) <= c.max_prompt]
    rows = [{'id': str(i), 'question': prompt} for i, prompt in enumerate(short)]
    for sampled in generator(params, rows):
      found.update({row['question']: texts[0] for row, texts in zip(sampled.rows, sampled.texts)})
    return [found[prompt] for prompt in asked]

  return ask


def score(pool, judge: judge_lib.Judge | None, items: list[tuple[str, str, dict]]) -> list:
  """pool.score(items) of (reward, completion, row), but those whose reward is 'judge' by the judge, all at once;
  without one they are errors, no zeros."""
  judged = [i for i, (reward, _, _) in enumerate(items) if reward == 'judge']
  ruled = [i for i, (reward, _, _) in enumerate(items) if reward != 'judge']
  found = dict(zip(ruled, pool.score([items[i] for i in ruled]) if ruled else ()))
  if judge is None:
    found.update(dict.fromkeys(judged, rewards.error('no judge is given')))
  else:
    found.update(zip(judged, judge.grade([items[i][2] for i in judged], [items[i][1] for i in judged])))
  return [found[i] for i in range(len(items))]


class Pool:
  """A rewards.pool.Pool that puts rows whose reward is 'judge' to a judge, for who knows a pool alone."""

  def __init__(self, pool, judge: judge_lib.Judge | None):
    self._pool, self._judge = pool, judge

  def score(self, items: list[tuple[str, str, dict]]) -> list:
    return score(self._pool, self._judge, items)

  def __getattr__(self, name: str):
    return getattr(self._pool, name)
