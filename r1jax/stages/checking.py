"""What several stages look at before any of them works: rewards and what grades their questions.

A stage's `check` sees its values, on any machine; its `check_files` what it reads and what judges on this one.
"""

from typing import Callable, NamedTuple

from r1jax import own
from r1jax import rewards
from r1jax.data import prompts
from r1jax.data import task_check
from r1jax.data import tasks
from r1jax.exceptions import UserError, about
from r1jax.rewards import judge as judge_lib
from r1jax.stages import gradable
from r1jax.stages import judging
from r1jax.stages import trial


class Asked(NamedTuple):
  """Questions that a stage puts to its models."""
  key: str  # of max_prompt in the config
  max_prompt: int
  template: Callable[[str], str]  # the name of an input -> the template in which that model is asked
  rows: list[dict]

  def check(self, label: str, tokenizer) -> None:
    """UserError where most prompts are longer than max_prompt, a warning where some are.

    label: the input that the tokenizer is of.
    """
    prompts.check_fit(self.rows, tokenizer, template=self.template(label), max_prompt=self.max_prompt, key=self.key)


def asked(c, name: str, rows: list[dict]) -> Asked:
  """Of the part `name` of the config."""
  return Asked(f'{name}.max_prompt', c.max_prompt, lambda label: c.get('templates', {}).get(label, c.template), rows)


def task(c, key: str, *, sized: bool = True) -> None:
  """Of a stage's task at `key` of the config, or its list of them: UserError for what no row is needed to see.

  sized: it says itself how many questions it asks.
  """
  task_check.check(c, key, sized=sized)
  for one in tasks.several(c):
    if one.get('reward'):
      with about(f'{key}.reward', one.reward):
        _there_is(one.reward)


def weights(given: dict[str, float], *, max_tokens: int, overlong_buffer: int) -> None:
  """Of a stage's rewards.

  Raises:
    UserError: all are off, there is none of a name, or one that looks at lengths has nothing to go by.
  """
  wanted = judging.counted(given)
  if 'overlong' in wanted and not 0 < overlong_buffer <= max_tokens:
    raise UserError(f"overlong_buffer={overlong_buffer}: the reward 'overlong' needs 1 to max_tokens={max_tokens}")
  for name in wanted:
    if name != 'accuracy' and name not in judging.MODELS:
      _there_is(name)


def _there_is(name: str) -> None:
  if name == 'judge':
    raise UserError("'judge' is no reward: a judge grades data and evaluations, never a step of RL")
  if not own.names(name):  # a user's file is read with the others
    try:
      rewards.get(name)
    except ValueError as e:
      raise UserError(str(e)) from e


def graders(rows: list[dict], *, judged: bool = False) -> None:
  """UserError where what grades these rows does not work on this machine, or cannot grade one of them.

  judged: a judge may be asked; else rows that want one are refused.
  """
  for row in rows:
    if judge_lib.needed(row):
      if not judged:
        _there_is('judge')
      judge_lib.verdicts.kind_of(row)
  gradable.start_graders(rows)
  trial.graders(rows)
