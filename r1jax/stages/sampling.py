"""Questions -> n completions each, for the stages that sample from a checkpoint:
evaluate, cold_start, reject, preference."""

import functools
from typing import Iterator, NamedTuple

from r1jax import stopping
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import hosts
from r1jax.engine import rollout
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import common
from r1jax.types import Completion, Request, UserError


class Sampled(NamedTuple):
  """Completions of some questions: texts[i][g] is what sample g of rows[i] says, completions[i][g] its tokens."""
  rows: list[dict]
  texts: list[list[str]]
  completions: list[list[Completion]]


@functools.lru_cache(maxsize=4)
def _sampler(model, mesh, **sizes) -> sampler_lib.Sampler:
  """Compiled once for all checkpoints of one size that are asked alike, as an evaluation compares several."""
  with terminal.doing('compiling the sampler'):
    return sampler_lib.Sampler(model, mesh, **sizes).compile()


class Generator:
  """Samples a fixed number of completions a question; the compiled sampler is kept between calls."""

  def __init__(self, model, tokenizer, mesh, *, template: str, samples: int, max_prompt: int, max_tokens: int,
               batch: int, temperature: float, top_p: float, seed: int, slots: int = 0, name: str = 'evaluate',
               grace: float | None = None):
    """batch: questions given out at a time. slots: completions decoded at a time, 0: batch * samples. name: of the
    stage, for messages and for its random numbers. grace: seconds after SIGTERM in which a batch may still end; None:
    it is always waited for."""
    if max_prompt + max_tokens > model.config.max_length:
      raise UserError(f'{name}: max_prompt={max_prompt} + max_tokens={max_tokens} exceed the model\'s '
                      f'max_length={model.config.max_length}: lower them')
    self._tokenizer, self._batch, self._template, self._max_prompt = tokenizer, batch, template, max_prompt
    self.settings = {'n_samples': samples, 'temperature': temperature, 'top_p': top_p, 'max_tokens': max_tokens}
    self._key, self._name = common.key(seed, name), name
    self._stop = None if grace is None else lambda _: hosts.stop_due(grace)
    self._sampler = _sampler(
        model, mesh, slots=slots or batch * samples, samples=samples, max_prompt=max_prompt, max_tokens=max_tokens,
        eos_ids=prompts.eos_ids(tokenizer, template), pad_id=tokenizer.pad_id, temperature=temperature, top_p=top_p)

  @property
  def slots(self) -> int:
    """Completions decoded at a time, as many as the mesh deals out evenly."""
    return self._sampler.slots

  def begin(self, params, requests: list[Request]) -> rollout.Rollout:
    """A rollout of requests of one's own, with the key and the settings of this one."""
    return self._sampler(params, requests, self._key, stop=self._stop)

  def arrange(self, params):
    """Weights as __call__ does it for itself: for who calls often."""
    return self._sampler.arrange(params)

  def __call__(self, params, rows: list[dict], first: int = 0) -> Iterator[Sampled]:
    """A batch of questions after the other, while those behind it are sampled already.

    first: the questions before it are left out; those behind it are answered as they would have been.

    Raises:
      UserError: a prompt is longer than max_prompt.
      Stopped: the run was asked to stop, in the middle of a batch.
    """
    n = self.settings['n_samples']
    ended, start = {}, first
    run = self._begin(params, rows, first)
    for group, completions in run:
      ended[group] = completions
      while start < len(rows) and all(i in ended for i in range(start, min(start + self._batch, len(rows)))):
        some = range(start, min(start + self._batch, len(rows)))
        start += len(some)
        given = [ended.pop(i) for i in some]
        texts = self._tokenizer.decode_batch([c.tokens for group in given for c in group])
        yield Sampled([rows[i] for i in some], [texts[k * n:k * n + n] for k in range(len(given))], given)
    if run.interrupted:
      raise stopping.Stopped(f'{self._name} stopped within a batch of questions, which is sampled again')

  def as_they_end(self, params, rows: list[dict]) -> Iterator[tuple[int, list[str], list[Completion]]]:
    """(number of a question, what its samples say, their tokens), in the order in which their last samples end.

    Raises:
      UserError: a prompt is longer than max_prompt.
    """
    for group, completions in self._begin(params, rows, 0):
      yield group, self._tokenizer.decode_batch([c.tokens for c in completions]), completions

  def _begin(self, params, rows: list[dict], first: int) -> rollout.Rollout:
    n = self.settings['n_samples']
    encoded = prompts.encode(rows, self._tokenizer, template=self._template, max_prompt=self._max_prompt,
                             key=f'{self._name.partition(" ")[0]}.max_prompt')
    requests = [Request(i, encoded[i], tuple(range(i * n, i * n + n))) for i in range(first, len(rows))]
    return self.begin(params, requests)
