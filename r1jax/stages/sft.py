"""Stage: documents -> packed rows -> update -> checkpoint. Pre-training of the tiny base, and every SFT."""

from concurrent import futures
import contextlib
import functools
import itertools
import logging
import os
import time

import grain
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from r1jax.engine import params as params_lib
from r1jax.engine import hosts
from r1jax.engine import lora
from r1jax.data import corpus
from r1jax.data import formats
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax import stopping
from r1jax import terminal
from r1jax.engine import packing
from r1jax.engine import profile
from r1jax.data import prompts
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.stages import monitor
from r1jax.stages import tokenise
from r1jax.data import tasks
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.models import zoo
from r1jax.types import NOWHERE, UserError

log = logging.getLogger('r1jax')


FREE = ('micro_tokens', 'log_every')  # keys that change nothing it makes


def reads(c: dict) -> tuple[str, ...]:
  """What its numbers depend on beside its own part (pipeline.py): a model from scratch has no adapters."""
  return ('seed', 'dtype', 'experts', *(() if 'model' in c else ('lora',)))


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  trainings.check(c, mesh_lib.create(config.mesh), c.length)
  if c.get('format'):
    formats.get(c.format)
  if not c.steps and not c.get('epochs'):
    raise UserError(f'{name}.steps=0 and no {name}.epochs: nothing to train')
  if c.corpus == 'arithmetic':
    prompts.render(c.template, '')
    zoo.get(c.model)
    checking.task(c.task, f'{name}.task', sized=False)
  elif c.corpus not in ('stage', 'jsonl'):  # an earlier stage writes it, or a user
    raise UserError(f"{name}.corpus={c.corpus!r} is not a corpus: 'arithmetic', 'jsonl' or 'stage'")


def check_files(config, name: str) -> None:
  """Raises UserError where there are no documents of a user's."""
  c = config[name]
  if c.corpus == 'jsonl' and not os.path.exists(c.path):
    raise UserError(f'{name}.path={c.path!r} is no file: give a JSONL of {{"prompt", "completion"}}')


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Trains config[name].steps steps (or .epochs) from scratch, or from inputs['checkpoint']; returns what it took in.

  With `corpus='stage'` documents are those of inputs['data']; `format` adds the format's tokens to the tokenizer.
  inputs['tokenizer']: a checkpoint whose tokenizer a model from scratch takes over. `batch` counts what `batch_of`
  names: packed rows, or documents, which a step packs into as many rows as they need.
  """
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  source = _source(c, config, inputs)
  place = common.host_directory(workdir)
  if 'checkpoint' in inputs:
    model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
    known = tokenizer.vocab_size
    if c.get('format'):
      tokenizer = tokenizer_lib.add_special_tokens(tokenizer, list(formats.get(c.format).tokens), place,
                                                   limit=model.config.vocab_size)
    if lora.section(config, c) and tokenizer.vocab_size > known:
      log.warning('%s: %s.format=%r adds %d tokens, whose embeddings lora.rank=%d leaves as the base has them', name,
                  name, c.format, tokenizer.vocab_size - known, lora.section(config, c).rank)
    begin = functools.partial(common.load_params, model, step_dir, mesh)
  else:
    tokenizer = _tokenizer(c, source, inputs, place)
    rows = tokenizer.vocab_size + c.get('spare_tokens', 0)
    model = zoo.build(zoo.get(c.model, vocab_size=rows, **common.computed(config, mesh)))
    begin = functools.partial(params_lib.init, model, config.seed)
  common.check_length(model, c.length, name)
  common.save_model(workdir, model, tokenizer, made_from=inputs.get('checkpoint'), prompt=_asked_with(c, inputs),
                    lora=lora.of(config, c, model))
  documents = tokenise.documents(source, tokenizer, workdir, name)
  del source  # generated documents hold what they are made of
  fitting = _fitting(documents.totals_N, c.length, name)
  if len(documents) and not len(fitting):
    raise UserError(f'{name}: all {len(documents)} documents are longer than {name}.length={c.length} tokens: raise it')
  rows = packing.first_fit(documents.totals_N[fitting] - 1, length=c.length)
  units = [fitting[row] for row in rows] if _of_rows(c) else fitting[:, None]
  if not c.steps:
    c = ConfigDict(c.to_dict())
    c.steps = max(1, round(c.epochs * len(units) / c.batch))
  if c.optimizer.get('warmup', 0) >= c.steps:
    log.warning('%s: %d steps of warm-up, %d steps in all: the learning rate never reaches %g', name,
                c.optimizer.warmup, c.steps, c.optimizer.learning_rate)
  places = c.batch * float(documents.totals_N[fitting].mean())
  if not _of_rows(c):
    log.info('%s: %d documents of %.0f tokens in the mean, %d steps: a step of %d documents fills about %.1f rows of '
             '%d', name, len(fitting), places / c.batch, c.steps, c.batch, places / c.length, c.length)
  training = trainings.sft(config, c, model, mesh, places)
  take = functools.partial(_micro_batches, training, documents, units, of_rows=_of_rows(c))
  # The weights are loaded last, as documents may have faults.
  train(config, c, name, workdir, training, begin(), take, len(units), mesh)
  tokenise.remove(workdir)
  learned = documents.totals_N[fitting] - np.maximum(documents.prompts_N[fitting], 1)
  return {'documents': len(fitting), 'too_long': len(documents) - len(fitting),
          'rows': len(rows), 'steps': c.steps, 'tokens_learned_an_epoch': int(learned.sum()),
          'epochs': round(c.steps * c.batch / len(units), 2)}


def _of_rows(c) -> bool:
  return c.get('batch_of', 'rows') == 'rows'


def _micro_batches(training, documents, units, chosen, *, of_rows: bool) -> list:
  """A step's micro-batches: the documents of the chosen units, read, and packed into rows."""
  longest, rows = max(training.rows), [units[i].tolist() for i in chosen]
  lengths = [longest] * len(rows)
  if not of_rows:
    numbers = [i for unit in rows for i in unit]
    places = (documents.totals_N[numbers] - 1).tolist()
    found = packing.of_batch(places, {T: packing.Shape(*of[0].shape) for T, of in training.rows.items()})
    rows = [[numbers[i] for i in row] for row in found]
    lengths = [sum(places[i] for i in row) for row in found]
  packed = packing.fill(rows, documents.read([i for row in rows for i in row]), longest)
  return trainings.cut(training, packed, lengths)


def _tokenizer(c, source, inputs: dict[str, str], place: str):
  """Of a model from scratch: that of an earlier stage, or one trained on the documents' beginning."""
  if 'tokenizer' in inputs:
    return tokenizer_lib.Tokenizer(inputs['tokenizer'])
  later = corpus.later_texts() if c.mixture.get('spoken') else []
  first = (prompt + completion for prompt, completion in itertools.islice(source, 4000))
  return tokenizer_lib.train(
      (*first, *later), place, vocab_size=c.vocab_size,
      pieces=prompts.fixed_parts(c.template) + corpus.whole_pieces(spoken=bool(later)))


def _asked_with(c, inputs: dict[str, str]) -> dict | None:
  """prompts.record of the documents; None where nothing tells."""
  if c.corpus == 'arithmetic':
    return prompts.record(c.template)
  known = prompts.trained_with(inputs['data'] if c.corpus == 'stage' else os.path.dirname(c.path))
  if known is None and c.get('format'):
    known = prompts.record(formats.get(c.format).template)
  if known is None:
    log.warning('%s: nothing says how the prompts of its documents are made: an export will not carry them', c.path)
  return known


def _source(c, config, inputs: dict[str, str]) -> tokenise.Jsonl | tokenise.Generated:
  """The (prompt, completion) texts of the stage's documents."""
  if c.corpus == 'stage':
    return tokenise.Jsonl(os.path.join(inputs['data'], 'data.jsonl'))
  if c.corpus == 'jsonl':
    return tokenise.Jsonl(c.path)

  @functools.cache
  def questions():
    return tasks.load(c.task.source, size=c.documents, seed=config.seed, split='base', params=c.task.params.to_dict(),
                      chinese=c.task.get('chinese', 0.0))

  def texts():
    render = lambda question: prompts.render(c.template, question)
    return corpus.documents(questions(), render, seed=config.seed, mixture=corpus.Mixture(**c.mixture))

  part = {key: c.to_dict()[key] for key in ('corpus', 'documents', 'task', 'mixture', 'template')}
  return tokenise.Generated(texts, {**part, 'seed': config.seed})


def _fitting(totals_N: np.ndarray, length: int, name: str) -> np.ndarray:
  """The numbers of the documents that a row of `length` holds; how many are left out is said in a warning."""
  fitting = np.flatnonzero(totals_N <= length + 1)  # the last token is a target alone
  if len(fitting) < len(totals_N):
    log.warning('%s: %d of %d documents are longer than %s.length=%d tokens and left out', name,
                len(totals_N) - len(fitting), len(totals_N), name, length)
  return fitting


def train(config, c, name: str, workdir: str, training: update.Training, params, take, n: int, mesh):
  """The loop, c.steps long; returns the trained weights. Batch i is a pure function of the seed and i, so that resuming
  needs only the number, on any number of hosts. It is made while the devices work on the one before, whose metrics are
  read when the next one is under way.

  Args:
    take: numbers of c.batch of the `n` rows -> the micro-batches (trainings.cut) of a step.
  """
  started = time.monotonic()
  with terminal.doing(f'{name}: compiling the update'):
    training.compile()
  rows = grain.MapDataset.source(np.arange(n)).seed(config.seed).shuffle().repeat()
  place = common.host_directory(workdir)
  checkpoints = common.checkpoints(config, workdir, started)
  trace = profile.trace(os.path.join(workdir, 'profile'))
  with (mesh_lib.use_mesh(mesh), contextlib.closing(checkpoints), contextlib.closing(trace),
        contextlib.closing(metrics.Writer(place, name)) as writer, futures.ThreadPoolExecutor(1) as ahead):
    restored = checkpoints.restore(training.state, training.shardings)
    state = training.fresh(params) if restored is None else training.resumed(
        restored[0], lambda params=params: params)
    del params
    step = int(state.step)  # one batch a step: the position in the data is the step
    common.say_resumed(name, step, c.steps, workdir, restored is not None)
    log_ = _Log(writer, terminal.Progress(c.steps, name, os.path.join(place, 'log.txt')), step, c.get('bad_steps', 3))
    writer.truncate(step)
    due = lambda: hosts.stop_due(config.checkpoints.grace)
    batch = lambda i: take(np.asarray([rows[i * c.batch + k] for k in range(c.batch)]))
    coming = ahead.submit(batch, step) if step < c.steps else None
    while step < c.steps:
      trace.at(step + 1)
      micro_batches = coming.result()
      if step + 1 < c.steps:
        coming = ahead.submit(batch, step + 1)
      found = training.step(state, update.put_micro_batches(micro_batches, mesh), stop=due)
      if found is None:  # asked to stop in the middle of it
        log_.flush()
        checkpoints.save(state, {'stage': name})
        checkpoints.wait()
        raise stopping.Stopped(f'{name} stopped at step {step}')
      state, means = found
      step += 1
      trace.behind(step, means)
      state = state.replace(position=jnp.int32(step))
      last, stop, noted = step == c.steps, hosts.stop_asked(), step % c.log_every == 0
      log_.count(step, means, [rows for _, rows in micro_batches])
      if noted or last:
        log_.note(step, means, [rows for _, rows in micro_batches])
      if step % config.checkpoints.every == 0 or last or stop or (noted and checkpoints.due()):
        log_.flush()  # first: a row that a checkpoint has passed does not come again
        checkpoints.save(state, {'stage': name})
      if stop or last or step % c.log_every == 1:
        log_.flush()
      if stop and not last:
        checkpoints.wait()
        raise stopping.Stopped(f'{name} stopped at step {step}')
  return training.whole(state.params)


class _Log:
  """Rows of metrics.jsonl, written a step after theirs, when the devices have something else to do."""

  def __init__(self, writer: metrics.Writer, progress: terminal.Progress, step: int, bad_steps: int):
    self._writer, self._progress, self._noted, self._clock, self._row = writer, progress, step, time.monotonic(), None
    self._skips = monitor.Skipped(bad_steps, os.path.dirname(writer.path), (
        f'give a lower {writer.stage}.optimizer.learning_rate, with which {writer.stage} begins anew'))
    self._skipped, self._before = 0, None  # since the last row; the step before

  def count(self, step: int, means: dict, micro_batches: list) -> None:
    """Of every step: whether its update was skipped, which is asked when the next one is under way.

    Raises:
      RunStopped: more than `bad_steps` in a row were; the last one's batch is kept.
    """
    self._look()
    self._before = step, means, micro_batches

  def _look(self) -> None:
    """At the step before, unless that has been done."""
    if self._before is not None:
      (step, means, micro_batches), self._before = self._before, None
      self._skipped += self._skips.look(step, means, lambda: {
          f'{i}/{name}': x for i, rows in enumerate(micro_batches) for name, x in zip(rows._fields, rows)
          if x is not None})

  def note(self, step: int, means: dict, micro_batches: list) -> None:
    self.flush()
    since, self._noted = step - self._noted, step
    places = sum(rows.tokens_BxT.size for rows in micro_batches)
    real = sum(int(np.sum(rows.positions_BxT != NOWHERE)) if hasattr(rows, 'positions_BxT')
               else int(np.sum(rows.lengths_B)) for rows in micro_batches)
    facts = {'update/token_use': real / places}
    if hasattr(micro_batches[0], 'mask_BxT'):
      facts['tokens/learned'] = float(sum(np.sum(rows.mask_BxT) for rows in micro_batches))
    self._row = (step, since, real, means, facts)

  def flush(self) -> None:
    """Waits for the devices to finish the step that was noted, if there is one, and writes its row."""
    if self._row is None:
      return
    (step, since, real, means, facts), self._row = self._row, None
    means = {name: float(mean) for name, mean in means.items()}
    if self._before and self._before[0] == step:
      self._look()
    means['update/skipped'], self._skipped = float(self._skipped), 0  # since the row before
    seconds, self._clock = time.monotonic() - self._clock, time.monotonic()
    self._writer.write(step, {**means, 'step/seconds': seconds / since,
                              'update/tokens_per_second': real * since / seconds, **facts})
    self._progress.update(step, loss=means['loss'], **{'tokens/s': real * since / seconds})
