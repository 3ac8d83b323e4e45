"""How a trained reward model is asked: what it is shown of a completion, and its scores as rewards in 0..1.

preference.py trains them; rl.py's last stage and evaluate.py ask them.
"""

import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import terminal
from r1jax.engine import hosts
from r1jax.engine import losses
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import params as params_lib
from r1jax.data import prompts
from r1jax.stages import adapters
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.models import zoo
from r1jax.rewards import format as form_lib


def with_head(model, step_dir: str, mesh):
  """(the model with a reward head, its weights): those of a checkpoint without one, the head [dim] at zero."""
  head = zoo.build(zoo.from_dict({**vars(model.config), 'reward_head': True}))
  where = mesh_lib.param_shardings(params_lib.abstract(head), mesh)['reward_head']  # dealt out like all weights
  zeros = jax.jit(lambda: jnp.zeros(model.config.dim, jnp.float32), out_shardings=where)()
  return head, {**common.load_params(model, step_dir, mesh), 'reward_head': zeros}


def by_question(rows: list[dict], every: int) -> tuple[list[dict], list[dict]]:
  """(learned from, held out): all rows of every `every`-th question, row['id'], are held out."""
  ids = sorted({row['id'] for row in rows}, key=lambda i: tasks.digest_of(str(i)))
  out = set(ids[::every])
  return [row for row in rows if row['id'] not in out], [row for row in rows if row['id'] in out]


def seen(kind: str, text: str, row: dict) -> str:
  """The part of a completion that a reward model of this kind is shown (section 2.3.4)."""
  return form_lib.full(text, row) if kind == 'labels' else form_lib.summary(text, row) or ''


def encode(questions: list[str], responses: list[str], tokenizer, *, template: str, length: int):
  """(tokens [n, length], lengths [n]) of prompt, response and end; the middle of what is longer is left out."""
  tokens, lengths = np.full((len(questions), length), tokenizer.pad_id, np.int32), np.zeros(len(questions), np.int32)
  for i, (question, response) in enumerate(zip(questions, responses)):
    ids = prompts.ids(tokenizer, template, {'question': question}) + tokenizer.encode(response) + [tokenizer.eos_ids[0]]
    ids = ids if len(ids) <= length else ids[:length // 2] + ids[len(ids) - (length - length // 2):]
    tokens[i, :len(ids)], lengths[i] = ids, len(ids)
  return tokens, lengths


def _shards_up(batch: int, mesh) -> int:
  shards = mesh_lib.batch_shards(mesh)
  return -(-batch // shards) * shards


def _in_batches(program, params, arrays: tuple, mesh, batch: int, grace: float | None = None) -> np.ndarray:
  """program(params, *arrays) some rows at a time; every host has all rows, and gets all results.

  Raises:
    Stopped: between two batches, `grace` seconds after SIGTERM; None: never.
  """
  n, found = len(arrays[0]), []
  for start in range(0, n, batch):
    if grace is not None:
      hosts.leave_if_due(grace, 'a reward model was asked')
    chosen = [min(i, n - 1) for i in range(start, start + batch)]  # the last batch is filled up
    found.append(mesh_lib.all_gather(program(params, *mesh_lib.put(tuple(a[chosen] for a in arrays), mesh))))
  return np.concatenate(found)[:n]


def _program(model, mesh, of, rows: int, length: int, *, more: int = 0):
  """of(params as for sampling, tokens [rows, length], lengths [rows], and `more` arrays like the last), compiled."""
  dealt = mesh_lib.batch_sharding(mesh)
  number = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=dealt)
  args = (params_lib.sampling_shapes(model, mesh), jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=dealt),
          *(number,) * (1 + more))
  return mesh_lib.Program(jax.jit(of, out_shardings=dealt), args, mesh, mesh_lib.DECODE_RULES)


class Scores:
  """(questions, responses) -> raw rewards, some at a time; the compiled program is kept."""

  def __init__(self, model, tokenizer, mesh, params, *, length: int, batch: int, grace: float | None = None):
    """grace: seconds after SIGTERM, after which a call raises Stopped between two batches; None: it never does."""
    self._grace = grace
    self._tokenizer, self._mesh, self._params, self._length = tokenizer, mesh, params, length
    self._batch = _shards_up(batch, mesh)
    of = lambda params, tokens, lengths: objective.rewards(model, params, tokens, lengths)
    with terminal.doing('compiling a reward model'):
      self._program = _program(model, mesh, of, self._batch, length).compile()

  def __call__(self, questions: list[str], responses: list[str], *, template: str) -> np.ndarray:
    tokens, lengths = encode(questions, responses, self._tokenizer, template=template, length=self._length)
    return _in_batches(self._program, self._params, (tokens, lengths), self._mesh, self._batch,
                       self._grace).astype(np.float64)


def ends(ids: list[int], tokenizer, separators) -> list[int]:
  """Positions of the tokens that end a step: their text ends in a separator, or nothing follows."""
  closes = lambda i: tokenizer.decode([i]).rstrip(' ').endswith(tuple(separators))
  return [at for at, i in enumerate(ids) if at == len(ids) - 1 or closes(i)]


class Reader:
  """(params, token ids, where answers begin) -> a number at each token, some rows at a time; the compiled program is
  kept. Of form 'head' the reward head's, of form 'implicit' the log-probability of the answer so far."""

  def __init__(self, form: str, model, pad_id: int, mesh, *, length: int, batch: int, logit_elements: int,
               grace: float | None = None):
    """grace: as for Scores."""
    self._pad_id, self._mesh, self._length, self._grace = pad_id, mesh, length, grace
    self._batch = _shards_up(batch, mesh)
    chunk = losses.chunk_positions(logit_elements, self._batch, model.config.vocab_size)
    of = {'head': lambda params, tokens, lengths, starts: objective.step_rewards(model, params, tokens, lengths),
          'implicit': lambda *args: objective.answer_logps(model, *args, chunk=chunk)}[form]
    with terminal.doing('compiling a model of steps'):
      self._program = _program(model, mesh, of, self._batch, length, more=1).compile()

  def __call__(self, params, rows: list[list[int]], starts: list[int]) -> list[np.ndarray]:
    """One array a row, as long as the row or as the model reads."""
    tokens, lengths = np.full((len(rows), self._length), self._pad_id, np.int32), np.zeros(len(rows), np.int32)
    for i, ids in enumerate(rows):
      tokens[i, :len(ids)], lengths[i] = ids[:self._length], min(len(ids), self._length)
    found = _in_batches(self._program, params, (tokens, lengths, np.asarray(starts, np.int32)), self._mesh, self._batch,
                        self._grace) if rows else []
    return [found[i, :len(ids)] for i, ids in enumerate(rows)]


class StepScores:
  """(token ids, where answers begin) -> the probability of 'right' after each token, one array a row."""

  def __init__(self, read: Reader, params, *, reference=None, beta: float = 0.0, slope: float = 1.0,
               shift: float = 0.0):
    """
    Args:
      reference: of form 'implicit', whose weights the answer's log-probability is held against, times `beta`.
      slope, shift: of its log-odds (step_quality.platt).
    """
    self._read, self._params, self._reference, self._beta = read, params, reference, beta
    self.slope, self.shift = slope, shift

  def log_odds(self, rows: list[list[int]], starts: list[int]) -> list[np.ndarray]:
    """As they were learned, an array a row, as long as the row or as the model reads."""
    found = self._read(self._params, rows, starts)
    if self._reference is None:
      return found
    return [self._beta * (own - of) for own, of in zip(found, self._read(self._reference, rows, starts))]

  def __call__(self, rows: list[list[int]], starts: list[int]) -> list[np.ndarray]:
    return [probability(self.slope * x + self.shift) for x in self.log_odds(rows, starts)]


def probability(log_odds: np.ndarray) -> np.ndarray:
  """The sigmoid, float64, however large they are."""
  return np.exp(-np.logaddexp(0, -np.asarray(log_odds, np.float64)))


class RewardModel:
  """A trained one: completions -> rewards in 0..1. Of pairs' models the sigmoid of the standardised score, as a
  Bradley-Terry score has no zero; of labels' the probability of 'safe'."""

  def __init__(self, directory: str, config, mesh, *, batch: int):
    with open(os.path.join(directory, 'reward_model.json'), encoding='utf-8') as f:
      self.facts = json.load(f)
    model, tokenizer, step_dir = common.load_model(directory, **common.computed(config, mesh))
    with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES):
      params = common.load_sampling_params(model, step_dir, mesh)
      if self.facts['kind'] == 'steps':
        self._tokenizer, form = tokenizer, self.facts.get('form', 'head')
        read = Reader(form, model, tokenizer.pad_id, mesh, length=self.facts['length'], batch=batch,
                      logit_elements=config.logit_elements, grace=config.checkpoints.grace)
        reference = load_reference(directory, self.facts['reference'], model, mesh) if form == 'implicit' else None
        self.steps = StepScores(read, params, reference=reference, beta=self.facts.get('beta', 0.0),
                                slope=self.facts.get('slope', 1.0), shift=self.facts.get('shift', 0.0))
      else:
        self._scores = Scores(model, tokenizer, mesh, params, length=self.facts['length'], batch=batch,
                              grace=config.checkpoints.grace)

  def __call__(self, rows: list[dict], texts: list[str]) -> np.ndarray:
    """float32 [len(rows)]; each row is a question with its format, each text a completion.

    A model of steps says `combined` of its probabilities over the steps of the answer.

    Raises:
      Stopped: checkpoints.grace seconds after SIGTERM, between two batches.
    """
    if self.facts['kind'] == 'steps':
      asked = [prompts.ids(self._tokenizer, self.facts['template'], row) for row in rows]
      encoded = [(prompt, self._tokenizer.encode(text) + [self._tokenizer.eos_ids[0]])
                 for prompt, text in zip(asked, texts)]
      return np.array([self.answer(len(p), ids, found) for (p, ids), found in zip(
          encoded, self.steps([p + ids for p, ids in encoded], [len(p) for p, _ in encoded]))], np.float32)
    shown = [seen(self.facts['kind'], text, row) for text, row in zip(texts, rows)]
    raw = self._scores([row['question'] for row in rows], shown, template=self.facts['template'])
    return (1 / (1 + np.exp(-(raw - self.facts['mean']) / self.facts['std']))).astype(np.float32)

  def answer(self, start: int, ids: list[int], found: np.ndarray) -> float:
    """What the probabilities at the steps' ends make of an answer that begins at `start`;
    0 for what was not read to its end."""
    at = [start + end for end in ends(ids, self._tokenizer, self.facts['separators'])]
    if not at or at[-1] >= len(found):
      return 0.0
    return combined([float(found[i]) for i in at], self.facts.get('combine', 'min'))


def reference_of(directory: str, step_dir: str) -> dict:
  """What reward_model.json says of the step of a checkpoint that an implicit one is held against; the first host, which
  writes it, reads the weights."""
  digest = adapters.digest(step_dir) if mesh_lib.first_process() else ''
  return {'base': os.path.relpath(step_dir, os.path.abspath(directory)), 'digest': digest}


def load_reference(directory: str, found: dict, model, mesh):
  """Its weights in the layout for sampling.

  Raises:
    UserError: it is gone, or holds other weights than then.
  """
  there = os.path.normpath(os.path.join(directory, found['base']))
  adapters.check_weights(there, found['digest'], f'{directory} is held against {there}', 'reward_model.json')
  return common.load_sampling_params(model, there, mesh)


def combined(steps: list[float], how: str) -> float:
  """An answer's score from its steps': 'product' (Lightman et al. 2023), or 'min' (Math-Shepherd)."""
  return math.prod(steps) if how == 'product' else min(steps)
