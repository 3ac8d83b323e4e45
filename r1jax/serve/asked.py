"""A model as it is asked over HTTP: messages -> token ids, tokens -> text, reasoning apart or in place."""

import numpy as np

from r1jax.data import formats
from r1jax.data import prompts
from r1jax.exceptions import UserError
from r1jax.serve import text as text_lib
from r1jax.serve.protocol import Refused

REASONING = ('apart', 'inline')


class Asked:
  """How one checkpoint is asked.

  Attributes:
    format: of its answers (data/formats.py).
  """

  def __init__(self, tokenizer, template: str, *, prefill: str = '', system: str = '', vocab: int, length: int,
               reasoning: str = 'apart'):
    """
    Args:
      prefill, system: what opens an answer, and a chat that has no system message, on the model's behalf.
      vocab: rows of its embedding.
      length: tokens of a prompt and its completion together.
      reasoning: 'apart' or 'inline'.
    """
    self.tokenizer, self._template, self._prefill, self._system = tokenizer, template, prefill, system
    self._vocab, self.length, self._apart = vocab, length, reasoning == 'apart'
    self.format = prompts.answer_format(tokenizer, template)

  def text(self, stop: tuple[str, ...], *, chat_turn: bool) -> text_lib.Text:
    """Of one choice; chat_turn: the prompt was built from messages."""
    split = None
    if chat_turn and self._apart:
      marked = isinstance(self.format, formats.Marked)
      opening, closing = (self.format.mark,) * 2 if marked else (formats.THINK, formats.THINK_END)
      split = text_lib.Split(opening, closing, inside=isinstance(self.format, formats.Opened))
      split.push(self._prefill)
    return text_lib.Text(self.tokenizer, stop, split)

  def chat_prompt(self, messages: list[dict]) -> np.ndarray:
    """Token ids of a chat, up to where the model begins to answer.

    Raises:
      Refused: 400, where the model's template has no place for them.
    """
    try:
      return self._ids(prompts.talk(self.tokenizer, self._template, messages, system=self._system,
                                    prefill=self._prefill), 'messages')
    except UserError as e:
      raise Refused(400, f'messages: {e}', param='messages') from e

  def prompt(self, prompt: str | list[int]) -> np.ndarray:
    """Token ids of a text, or what was given as ids.

    Raises:
      Refused: 400, no tokens, ids that the model has not got.
    """
    if isinstance(prompt, str):
      return self._ids(prompt, 'prompt')
    if (largest := max(prompt)) >= self._vocab:
      raise Refused(400, f'prompt: token id {largest} of a model with {self._vocab}', param='prompt')
    return self._checked(prompt, 'prompt')

  def _ids(self, text: str, param: str) -> np.ndarray:
    return self._checked(self.tokenizer.encode_prompt(text), param)

  def _checked(self, ids: list[int], param: str) -> np.ndarray:
    if not ids:
      raise Refused(400, f'{param}: the prompt has no tokens', param=param)
    if len(ids) >= self.length:
      raise Refused(400, f'{param}: the prompt has {len(ids)} tokens, the server takes {self.length} of a prompt and '
                    'its completion together', param=param, code='context_length_exceeded')
    return np.asarray(ids, np.int32)

  def limit(self, prompt: np.ndarray, wanted: int | None, param: str) -> int:
    """Tokens of a choice.

    Raises:
      Refused: 400, more than there is room for behind the prompt.
    """
    room = self.length - len(prompt)
    if wanted is not None and wanted > room:
      raise Refused(400, f'{param}={wanted} behind a prompt of {len(prompt)} tokens: the server takes {self.length} '
                    f'together, so up to {room}', param=param, code='context_length_exceeded')
    return room if wanted is None else wanted
