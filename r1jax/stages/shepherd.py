"""Labels of steps by roll-outs: how often a policy that goes on from a step ends right.

Math-Shepherd (Wang et al. 2024, arXiv:2312.08935): N completions of each prefix; its soft estimation is the share of
them that end right, its hard estimation whether any does. The last step, the answer, is as right as
the answer. So labels need nobody who knows what a step is, and no rule for it.
"""

from typing import NamedTuple

import numpy as np

from r1jax import stopping
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import hosts
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import common
from r1jax.stages import reject
from r1jax.types import Request


class Asked(NamedTuple):
  """A question and the answers whose steps are labelled."""
  number: int  # of the question in the whole stage
  row: dict
  prompt: list[int]
  answers: list[list[int]]
  ends: list[list[int]]  # of each answer the places of its steps' last tokens


class Prefix(NamedTuple):
  """A beginning of an answer that is gone on with."""
  answer: int  # its number among those given
  end: int  # the place of its last token in the answer


def balanced(right: list[bool], keep: int) -> list[int]:
  """The numbers of at most `keep` answers to a question, in order: of right ones and of wrong ones no more than half
  each, the first that there are."""
  most, taken, found = -(-keep // 2), {True: 0, False: 0}, []
  for i, is_right in enumerate(right):
    if taken[is_right] < most and len(found) < keep:
      taken[is_right] += 1
      found.append(i)
  return found


def evenly(ends: list[int], most: int) -> list[int]:
  """At most `most` of the ends, spread evenly, the first among them."""
  if len(ends) <= most:
    return ends
  return [ends[i * len(ends) // most] for i in range(most)]


def estimate(verdicts: list, kind: str) -> float | None:
  """A step's label from the verdicts on its roll-outs; None where no roll-out has a verdict.

  kind: 'soft', the share of right ones, or 'hard', whether there is one.
  """
  told = [v.value == 1.0 for v in verdicts if reject.wrong(v) != 'no verdict']
  if not told:
    return None
  return float(any(told)) if kind == 'hard' else sum(told) / len(told)


class Labeller:
  """Answers to some questions -> the labels of their steps; the compiled sampler is kept between calls."""

  def __init__(self, config, c, name: str, model, tokenizer, mesh, params, judges):
    self._c, self._name, self._tokenizer, self._judges = c, name, tokenizer, judges
    self._grace, self._key = config.checkpoints.grace, common.key(config.seed, f'{name} labels')
    with terminal.doing('compiling the sampler of roll-outs'):
      self._sampler = sampler(c, model, mesh, eos_ids=prompts.eos_ids(tokenizer, c.template),
                              pad_id=tokenizer.pad_id).compile()
    self._params = self._sampler.arrange(params)

  def __call__(self, asked: list[Asked]) -> list[list[dict[int, float]]]:
    """Of each question and answer {place of a step's end in the answer: label}, of all ends but the last.

    What a roll-out says depends on its question and nothing beside it in `asked`.

    Raises:
      Stopped: the run was asked to stop.
    """
    requests, owners = [], []
    most, n = self._c.keep * self._c.prefixes, self._c.rollouts  # of a question; of a prefix
    for i, of in enumerate(asked):
      for k, (ids, prefixes) in enumerate(distinct(of.answers, of.ends, self._c.prefixes).items()):
        samples = tuple(range((of.number * most + k) * n, (of.number * most + k + 1) * n))
        requests.append(Request(len(requests), np.asarray([*of.prompt, *ids], np.int32), samples,
                                limits=(self._c.max_tokens - len(ids),) * n))
        owners.append((i, prefixes))
    found = [[{} for _ in of.answers] for of in asked]
    for group, verdicts in self._verdicts(asked, requests, owners):
      i, prefixes = owners[group]
      label = estimate(verdicts, self._c.estimate)
      for prefix in prefixes if label is not None else ():
        found[i][prefix.answer][prefix.end] = label
    return found

  def _verdicts(self, asked: list[Asked], requests: list[Request], owners: list[tuple[int, list[Prefix]]]):
    """(group, verdicts on what its roll-outs make of the prefix), as they end."""
    run = self._sampler(self._params, requests, self._key, stop=lambda _: hosts.stop_due(self._grace))
    for group, completions in run:
      i, (first, *_) = owners[group]
      row, begun = asked[i].row, asked[i].answers[first.answer][:first.end + 1]
      texts = self._tokenizer.decode_batch([np.asarray(begun + said.tokens.tolist()) for said in completions])
      yield group, self._judges.score([(row.get('reward', 'math'), text, row) for text in texts])
    if run.interrupted:
      raise stopping.Stopped(f'{self._name} stopped within a batch of roll-outs, which is sampled again')


def sampler(c, model, mesh, *, eos_ids, pad_id: int) -> sampler_lib.Sampler:
  """Of a stage's roll-outs: prompts of any prefix, and what is left of the answer's tokens behind it."""
  return sampler_lib.Sampler(
      model, mesh, slots=c.slots or c.sample_batch * c.rollouts, samples=c.rollouts,
      max_prompt=c.max_prompt + c.max_tokens, max_tokens=c.max_tokens, longest=c.max_prompt + c.max_tokens,
      eos_ids=eos_ids, pad_id=pad_id, temperature=c.rollout_temperature)


def distinct(answers: list[list[int]], ends: list[list[int]], most: int) -> dict[tuple, list[Prefix]]:
  """The prefixes of a question's answers that are gone on with, equal ones together: tokens -> where they stand.

  The last end of an answer is none: there the answer itself is judged.
  """
  found = {}
  for number, (ids, places) in enumerate(zip(answers, ends)):
    for end in evenly(places[:-1], most):
      found.setdefault(tuple(ids[:end + 1]), []).append(Prefix(number, end))
  return found
