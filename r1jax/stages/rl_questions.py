"""The questions that RL learns from: which there are, in which order a rollout asks them, and how."""

import collections
import logging

from r1jax import limits
from r1jax.data import curriculum
from r1jax.data import general as general_lib
from r1jax.data import overlap
from r1jax.data import prompts
from r1jax.data import questions
from r1jax.data import tasks
from r1jax.exceptions import UserError, about
from r1jax.stages import gradable

log = logging.getLogger('r1jax')


def warn_if_shared(measured, key: str, c, rows: list[dict], name: str) -> None:
  """Where both the questions that are learned from and those of the evaluation come from files."""
  sources = ', '.join(task.source for task in tasks.several(c.task))
  if not (any(tasks.is_file(task.source) for task in tasks.several(c.task)) and tasks.is_file(measured.source)):
    return
  with about(f'{key}.source', measured.source):
    both = overlap.shared(rows, tasks.asked(measured, split='heldout', template=c.template))
  if both:
    log.warning('%s: %d questions of %s.source=%s are among those that %s learns from, %s, or share ten words in a row '
                'with them: scores on them may be too high; part the files, or give both tasks one holdout', name, both,
                key, measured.source, name, sources)


def rows_of(c, name: str = '') -> tuple[list[dict], list[dict]]:
  """(questions that reason, general ones); name: of the stage, for errors."""
  at = dict(split='train', template=c.template)
  seed, bounds = tasks.several(c.task)[0].seed, c.curriculum
  reasoning = curriculum.within(gradable.questions(c.task, key=name and f'{name}.task', **at), bounds.low, bounds.high,
                                f'{name or "rl"}.curriculum')
  if bounds.mode == 'easy_first':
    curriculum.hardness(reasoning, f"{name or 'rl'}.curriculum.mode='easy_first'")
  return (reasoning,
          general_lib.questions(c.general, seed=seed, key=f'{name}.general', **at) if c.general.source else [])


def shares(c, reasoning: list[dict]) -> tuple[tuple[int, float], ...]:
  """(rows, share of the groups) of each of several tasks; () of one, or where all rows are alike."""
  several = tasks.several(c.task)
  if not any(task.get('share', 0.0) for task in several) or len(several) == 1:
    return ()
  counts = collections.Counter(row['task'] for row in reasoning)
  if empty := [name for name in tasks.names_of(several) if not counts[name]]:
    raise UserError(f'no question of task {empty[0]!r} is left to ask: take it out of the list')
  return tuple((counts[name], task.share) for name, task in zip(tasks.names_of(several), several))


def asked_with(c) -> dict:
  """prompts.record of what the stage trains; a prefill, a system prompt where all its tasks have the same."""
  found = {key: {task.get(key, '') for task in tasks.several(c.task)} for key in ('prefill', 'system')}
  return prompts.record(c.template, **{key: of.pop() if len(of) == 1 else '' for key, of in found.items()},
                        max_prompt=c.max_prompt, max_tokens=limits.longest(c.max_tokens))


def ordered(config, c, tokenizer, per_rollout: int, key: str) -> tuple[list[dict], int, questions.Order]:
  """The questions of rows_of that fit, how many of them, the last ones, are general, and which a rollout asks. key: of
  c.max_prompt."""
  reasoning, general = (some and prompts.ready(some, tokenizer, template=c.template, max_prompt=c.max_prompt, key=key)
                        for some in rows_of(c))
  return reasoning + general, len(general), questions.Order(
      len(reasoning), len(general), per_rollout, seed=config.seed, share=c.general.share, first=c.general.from_step,
      tasks=shares(c, reasoning))
