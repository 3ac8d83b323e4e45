"""A talk -> the text of a prompt, by a model's template, and an answer -> reasoning and what is meant for the user."""

from typing import Sequence

from r1jax import api
from r1jax.data import formats
from r1jax.data import prompts
from r1jax.exceptions import UserError

TALKS = ('refuse', 'join')  # what happens to turns that a template has no place for


def text(model: api.Model, talk: Sequence[dict], *, turns: str = 'refuse') -> str:
  """The prompt that a talk is, up to where the model begins to answer; with what opens answers on its behalf.

  Args:
    talk: {'role': 'system' | 'user' | 'assistant', 'content': text}.
    turns: of a template of one question: 'refuse', or 'join' them all, empty lines between them, as the question.

  Raises:
    UserError: a role that nobody has, no user's turn at the end, turns that the template has no place for.
  """
  if turns not in TALKS:
    raise UserError(f'turns={turns!r}: one of {", ".join(TALKS)}')
  roles = [turn['role'] for turn in talk]
  for role in roles:
    if role not in ('system', 'user', 'assistant'):
      raise UserError(f'a message of role {role!r}: system, user and assistant have a place in a prompt')
  if not roles or roles[-1] != 'user':
    last = f'of role {roles[-1]!r}' if roles else 'none'
    raise UserError(f'the last message is {last}: only a user is answered')
  if turns == 'join' and model.template != prompts.CHAT:
    talk = [{'role': 'user', 'content': '\n\n'.join(turn['content'] for turn in talk)}]
  return prompts.talk(model.tokenizer, model.template, talk, system=model.system, prefill=model.prefill,
                      way_out=": turns=join puts them together, template=chat takes the tokenizer's own")


def form(model: api.Model) -> formats.Tagged | formats.Marked | formats.Opened:
  """How answers are laid out."""
  return prompts.answer_format(model.tokenizer, model.template)


def apart(model: api.Model, said: str) -> tuple[str, str]:
  """(reasoning, what is meant for the user) of an answer, the prefill counted in; ('', all) where none is marked.

  Of reasoning that never closes nothing is meant for the user.
  """
  layout, whole = form(model), model.prefill + said
  reasoning = layout.reasoning(whole)
  return (reasoning, layout.summary(whole) or '') if reasoning else ('', whole)
