"""r1jax as a provider of inspect_ai: inspect eval TASK --model r1jax/PATH -M slots=64.

inspect_registry.py says so to inspect.
"""

import contextlib
import logging
from typing import Any, Iterator

import anyio
import anyio.from_thread
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (ChatCompletionChoice, ChatMessage, ChatMessageAssistant, ContentReasoning, ContentText,
                              GenerateConfig, Logprob, Logprobs, ModelAPI, ModelInfo, ModelOutput, ModelUsage,
                              TopLogprob, set_model_info)

from r1jax import api
from r1jax.exceptions import UserError
from r1jax.harness import asking
from r1jax.harness import messages

log = logging.getLogger('r1jax')

CONNECTIONS = 1024  # calls that wait at a time, where inspect asks for a fixed number
# Of GenerateConfig, what changes an answer and is not to be had here.
_OTHERS = ('top_k', 'frequency_penalty', 'presence_penalty', 'logit_bias', 'best_of', 'prompt_logprobs',
           'response_schema', 'modalities')


@contextlib.contextmanager
def one_line() -> Iterator[None]:
  """A UserError as what inspect prints in one line."""
  try:
    yield
  except UserError as e:
    raise PrerequisiteError(f'r1jax: {e}') from e


class R1JaxAPI(ModelAPI):
  """A checkpoint in this process. Calls that come together are answered together, in slots."""

  def __init__(self, model_name: str, base_url: str | None = None, api_key: str | None = None,
               config: GenerateConfig = GenerateConfig(), *, template: str | None = None, dtype: str | None = None,
               slots: int = asking.SLOTS, seed: int = 0, turns: str = 'refuse', split: bool = True,
               **others: Any):
    """
    Args:
      model_name: what r1jax.load takes.
      template, dtype: as there.
      slots: completions decoded at a time. seed: of calls without one.
      turns: 'refuse' or 'join' (messages.text).
      split: reasoning and answer are apart in what a call gives, where the format marks them; False: one text.

    Raises:
      PrerequisiteError: another -M, no such model, or a number that cannot be.
    """
    super().__init__(model_name, base_url, api_key, [], config)
    with one_line():
      if others:
        raise UserError(f'-M {", ".join(sorted(others))}: not known, there are template, dtype, slots, seed, turns '
                        'and split')
      if turns not in messages.TALKS:
        raise UserError(f'-M turns={turns}: one of {", ".join(messages.TALKS)}')
    with one_line():
      self._model = api.load(model_name, template=template, dtype=dtype)
      self._service = asking.Service(asking.Asker(self._model, slots=slots, seed=seed))
    self._turns, self._split, self._slots, self._told = turns, split, slots, False
    # What it does not know it would ask a second instance of this class for.
    set_model_info(f'r1jax/{model_name}', ModelInfo(context_length=self._model.config.max_length))

  def max_connections(self) -> int:
    return CONNECTIONS

  def connection_key(self) -> str:
    return f'r1jax:{self._model.path}'

  def close(self) -> None:
    self._service.close()

  async def count_text_tokens(self, text: str) -> int:
    return len(self._model.tokenizer.encode(text))

  async def generate(self, input: list[ChatMessage], tools, tool_choice, config: GenerateConfig) -> ModelOutput:
    """The answers of the model; see inspect_ai.model.ModelAPI.

    Raises:
      PrerequisiteError: tools, or a setting that there is not; messages that the template has no place for.
    """
    with one_line():
      ask = self._ask(input, tools, config)
    if not self._told and not config.max_connections:
      self._told = True
      log.warning('inspect hands over few calls at first, and 100 at a time at most: --max-connections=%d fills the %d '
                  'slots', CONNECTIONS, self._slots)
    length, positions = len(ask.prompt), self._model.config.max_length
    if length >= positions:
      return ModelOutput.from_content(self.model_name, '', 'model_length',
                                      error=f'a prompt of {length} tokens, the model has {positions} positions')
    samples = await self._answered(ask)
    said = sum(len(sample.ids) for sample in samples)
    return ModelOutput(
        model=self.model_name, choices=[self._choice(sample, ask, config) for sample in samples],
        usage=ModelUsage(input_tokens=length, output_tokens=said, total_tokens=length + said,
                         reasoning_tokens=sum(len(self._model.tokenizer.encode(self._apart(s)[0])) for s in samples)))

  def _ask(self, input: list[ChatMessage], tools, config: GenerateConfig) -> asking.Ask:
    if tools:
      raise UserError(f'r1jax/{self.model_name} is given {len(tools)} tools, and knows none: a task without')
    if other := [name for name in _OTHERS if getattr(config, name, None) is not None]:
      raise UserError(f'r1jax/{self.model_name} knows no {", ".join(other)}: leave it out')
    talk = [{'role': message.role, 'content': self._text(message)} for message in input]
    default = lambda value, otherwise: otherwise if value is None else value
    return asking.Ask(
        self._model.tokenizer.encode_prompt(messages.text(self._model, talk, turns=self._turns)),
        samples=default(config.num_choices, 1), max_tokens=config.max_tokens, seed=config.seed,
        temperature=default(config.temperature, 1.0), top_p=default(config.top_p, 1.0),
        stop=tuple(config.stop_seqs or ()), heard=bool(config.logprobs))

  async def _answered(self, ask: asking.Ask) -> list[asking.Said]:
    """The caller waits in its event loop, the model is asked in a thread."""
    done, found, token = anyio.Event(), [], anyio.lowlevel.current_token()

    def tell(what) -> None:
      found.append(what)
      try:
        anyio.from_thread.run_sync(done.set, token=token)
      except RuntimeError:  # nobody waits any longer: the loop has ended
        pass

    with one_line():
      key = self._service.submit(ask, tell)
    try:
      await done.wait()
    except BaseException:  # cancelled: a limit of time, or the end of the evaluation
      self._service.release(key)
      raise
    if isinstance(found[0], Exception):
      raise found[0]
    return found[0]

  def _choice(self, sample: asking.Said, ask: asking.Ask, config: GenerateConfig) -> ChatCompletionChoice:
    reasoning, answer = self._apart(sample)
    content = [ContentReasoning(reasoning=reasoning), ContentText(text=answer)] if reasoning else answer
    cut = len(sample.ids) == self._model.config.max_length - len(ask.prompt)
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=content, model=self.model_name, source='generate'),
        stop_reason='stop' if sample.finish == 'stop' else 'model_length' if cut else 'max_tokens',
        logprobs=self._logprobs(sample, config.top_logprobs or 0) if ask.heard else None)

  def _logprobs(self, sample: asking.Said, most: int) -> Logprobs:
    """The model's own, a token each, whatever temperature it was sampled at; with the `most` likeliest beside it."""
    piece = lambda i: str(self._model.tokenizer.piece(int(i)))
    return Logprobs(content=[
        Logprob(token=piece(i), logprob=float(p), top_logprobs=[
            TopLogprob(token=piece(j), logprob=float(q)) for j, q in zip(ids[:most], logps)] or None)
        for i, p, ids, logps in zip(sample.ids, sample.logps, sample.top_ids, sample.top_logps)])

  def _apart(self, sample: asking.Said) -> tuple[str, str]:
    return messages.apart(self._model, sample.text) if self._split else ('', self._model.prefill + sample.text)

  def _text(self, message: ChatMessage) -> str:
    """A message's text; of an earlier answer what was meant for the user, as DeepSeek-R1's own template has it."""
    if not isinstance(message.content, str):
      for part in message.content:
        if part.type not in ('text', 'reasoning'):
          raise UserError(f'a message holds {part.type}: r1jax/{self.model_name} reads text alone')
    return message.text

