"""Stage: documents -> packed rows -> update -> checkpoint. Pre-training of the tiny base, and every SFT."""

import logging
import os
import time

import grain
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from r1jax.engine import checkpoint
from r1jax.data import corpus
from r1jax.data import formats
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax.engine import packing
from r1jax.engine import programs
from r1jax.data import prompts
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.engine import update
from r1jax.models import zoo
from r1jax.types import UserError

log = logging.getLogger('r1jax')


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.check_divides(f'{name}.batch', c.batch // c.micro_batches, mesh_lib.create(config.mesh))
  if c.get('format'):
    formats.get(c.format)
  if not c.steps and not c.get('epochs'):
    raise UserError(f'{name}.steps=0 and no {name}.epochs: nothing to train')
  if c.corpus == 'arithmetic':
    prompts.render(c.template, '')
    zoo.get(c.model)
  elif c.corpus == 'stage':
    pass  # an earlier stage writes it
  elif c.corpus == 'jsonl':
    if not os.path.exists(c.path):
      raise UserError(f'{name}.path={c.path!r} is no file: give a JSONL of {{"prompt", "completion"}}')
  else:
    raise UserError(f"{name}.corpus={c.corpus!r} is not a corpus: 'arithmetic', 'jsonl' or 'stage'")


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Trains config[name].steps steps (or .epochs) from scratch, or from inputs['checkpoint']; returns what it took in.

  With `corpus='stage'` documents are those of inputs['data']; `format` adds the format's tokens to the tokenizer.
  inputs['tokenizer']: a checkpoint whose tokenizer a model from scratch takes over.
  """
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  texts = _texts(c, config, inputs)
  place = common.host_directory(workdir)
  if 'checkpoint' in inputs:
    model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
    if c.get('format'):
      tokenizer = tokenizer_lib.add_special_tokens(tokenizer, list(formats.get(c.format).tokens), place,
                                                   limit=model.config.vocab_size)
    params = common.load_params(model, step_dir, mesh)
  else:
    if 'tokenizer' in inputs:
      tokenizer = tokenizer_lib.Tokenizer(inputs['tokenizer'])
    else:
      later = corpus.later_texts() if c.mixture.get('spoken') else []
      tokenizer = tokenizer_lib.train(
          (*(prompt + completion for prompt, completion in texts[:4000]), *later), place, vocab_size=c.vocab_size,
          pieces=prompts.fixed_parts(c.template) + corpus.whole_pieces(spoken=bool(later)))
    rows = tokenizer.vocab_size + c.get('spare_tokens', 0)
    model = zoo.build(zoo.get(c.model, vocab_size=rows, **common.computed(config, mesh)))
    params = update.init_params(model, config.seed)
  common.save_model(workdir, model, tokenizer)
  fitting = _fitting(texts, tokenizer, c.length, name)
  if texts and not fitting:
    raise UserError(f'{name}: all {len(texts)} documents are longer than {name}.length={c.length} tokens: raise it')
  packed = packing.pack(fitting, length=c.length)
  if not c.steps:
    c = ConfigDict(c.to_dict())
    c.steps = max(1, round(c.epochs * len(packed.tokens_BxT) / c.batch))
  if c.optimizer.get('warmup', 0) >= c.steps:
    log.warning('%s: %d steps of warm-up, %d steps in all: the learning rate never reaches %g', name, c.optimizer.warmup,
                c.steps, c.optimizer.learning_rate)
  take = lambda chosen: packing.Packed(*(a[chosen] for a in packed))
  train(config, c, name, workdir, programs.sft(config, c, model, mesh), params, take, len(packed.tokens_BxT), mesh)
  return {'documents': len(fitting), 'too_long': len(texts) - len(fitting), 'rows': len(packed.tokens_BxT),
          'tokens_learned_an_epoch': int(packed.mask_BxT.sum()), 'steps': c.steps, 'epochs': round(c.steps * c.batch / len(packed.tokens_BxT), 2)}


def _texts(c, config, inputs: dict[str, str]) -> list[tuple[str, str]]:
  """(prompt, completion) texts of the stage's documents."""
  if c.corpus == 'stage':
    return corpus.from_jsonl(os.path.join(inputs['data'], 'data.jsonl'))
  if c.corpus == 'jsonl':
    return corpus.from_jsonl(c.path)
  rows = tasks.load(c.task.source, size=c.documents, seed=config.seed, split='base', params=c.task.params.to_dict(),
                    chinese=c.task.get('chinese', 0.0))
  render = lambda question: prompts.render(c.template, question)
  return list(corpus.documents(rows, render, seed=config.seed, mixture=corpus.Mixture(**c.mixture)))


def _fitting(texts: list[tuple[str, str]], tokenizer, length: int, name: str) -> list[tuple[list[int], list[int]]]:
  """(prompt ids, completion ids) of the documents that a row of `length` holds; how many are left out is said in a warning."""
  documents = [formats.encode(tokenizer, *text) for text in texts]
  fitting = [document for document in documents if sum(map(len, document)) <= length + 1]  # the last token is a target alone
  if len(fitting) < len(documents):
    log.warning('%s: %d of %d documents are longer than %s.length=%d tokens and left out', name,
                len(documents) - len(fitting), len(documents), name, length)
  return fitting


def train(config, c, name: str, workdir: str, built: programs.Training, params, take, n: int, mesh):
  """The loop, c.steps long; returns the trained weights. Batch i is a pure function of the seed and i, so that resuming
  needs only the number.

  Args:
    take: numbers of c.batch of the `n` rows -> a batch as built.step takes it.
  """
  step_fn = built.step.compile()
  rows = grain.MapDataset.source(np.arange(n)).seed(config.seed).shuffle().repeat()
  checkpoints = checkpoint.Checkpoints(workdir, keep=config.checkpoints.keep)
  place = common.host_directory(workdir)
  writer = metrics.Writer(place, name)
  progress = metrics.Progress(c.steps, name, os.path.join(place, 'log.txt'))
  with programs.use_mesh(mesh):
    restored = checkpoints.restore(built.state, built.shardings)
    state = built.fresh(params) if restored is None else restored[0]
    del params
    step, clock = int(state.step), time.monotonic()  # one batch a step: the position in the data is the step
    logged = step
    writer.truncate(step)
    while step < c.steps:
      chosen = np.asarray([rows[step * c.batch + i] for i in range(c.batch)])
      batch = take(chosen)
      state, means = step_fn(state, mesh_lib.put(batch, mesh))
      step += 1
      state = state.replace(position=jnp.int32(step))
      stop = mesh_lib.any_process(checkpoint.stop_requested.is_set())
      if step % c.log_every == 0 or step == c.steps:
        means = {k: float(v) for k, v in means.items()}
        seconds, clock = time.monotonic() - clock, time.monotonic()
        since, logged = step - logged, step
        learned = {'tokens/learned': float(np.sum(batch.mask_BxT))} if hasattr(batch, 'mask_BxT') else {}
        writer.write(step, {**means, 'step/seconds': seconds / since,
                            'update/tokens_per_second': batch.tokens_BxT.size * since / seconds, **learned})
        progress.update(step, loss=means['loss'])
      if step % config.checkpoints.every == 0 or step == c.steps or stop:
        checkpoints.save(state, {'stage': name})
      if stop and step < c.steps:
        raise checkpoint.Stopped(f'{name} stopped at step {step}')
  checkpoints.close()
  writer.close()
  return state.params
