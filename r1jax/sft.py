"""Stage: documents -> packed rows -> update -> checkpoint. Pre-training of the tiny base, and every SFT."""

import os
import time

import grain
import jax.numpy as jnp
import numpy as np

from r1jax import checkpoint
from r1jax import corpus
from r1jax import mesh as mesh_lib
from r1jax import metrics
from r1jax import packing
from r1jax import programs
from r1jax import prompts
from r1jax import stage
from r1jax import tasks
from r1jax import tokenizer as tokenizer_lib
from r1jax import update
from r1jax.models import zoo
from r1jax.types import UserError


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  mesh_lib.check_divides(f'{name}.batch', c.batch // c.micro_batches, mesh_lib.create(config.mesh))
  if c.corpus == 'arithmetic':
    prompts.render(c.template, '')
    zoo.get(c.model)
  elif c.corpus == 'jsonl':
    if not os.path.exists(c.path):
      raise UserError(f'{name}.path={c.path!r} is no file: give a JSONL of {{"prompt", "completion"}}')
  else:
    raise UserError(f"{name}.corpus={c.corpus!r} is not a corpus: 'arithmetic' or 'jsonl'")


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """Trains config[name].steps steps from scratch, or from inputs['checkpoint']."""
  c = config[name]
  mesh = mesh_lib.create(config.mesh)
  texts = _texts(c, config)
  if 'checkpoint' in inputs:
    model, tokenizer, step_dir = stage.load_model(inputs['checkpoint'], **stage.computed(config, mesh))
    params = stage.load_params(model, step_dir, mesh)
  else:
    tokenizer = tokenizer_lib.train(
        (prompt + completion for prompt, completion in texts[:4000]), stage.host_directory(workdir), vocab_size=c.vocab_size,
        pieces=prompts.fixed_parts(c.template) + corpus.whole_pieces())
    model = zoo.build(zoo.get(c.model, vocab_size=tokenizer.vocab_size, **stage.computed(config, mesh)))
    params = update.init_params(model, config.seed)
  stage.save_model(workdir, model, tokenizer)
  packed = packing.pack([(tokenizer.encode(p), tokenizer.encode(t) + [tokenizer.eos_ids[0]]) for p, t in texts],
                        length=c.length)
  train(config, name, workdir, model, params, packed, mesh)


def _texts(c, config) -> list[tuple[str, str]]:
  """(prompt, completion) texts of the stage's documents."""
  if c.corpus == 'jsonl':
    return corpus.from_jsonl(c.path)
  rows = tasks.load(c.task.source, size=c.documents, seed=config.seed, split='base', params=c.task.params.to_dict())
  render = lambda question: prompts.render(c.template, question)
  return list(corpus.documents(rows, render, seed=config.seed, mixture=corpus.Mixture(**c.mixture)))


def train(config, name: str, workdir: str, model, params, packed: packing.Packed, mesh) -> None:
  """The loop. Batch number i is a pure function of the seed and i, so resuming needs only the number."""
  c = config[name]
  built = programs.sft(config, c, model, mesh)
  step_fn = built.step.compile()
  rows = grain.MapDataset.source(np.arange(len(packed.tokens_BxT))).seed(config.seed).shuffle().repeat()
  checkpoints = checkpoint.Checkpoints(workdir, keep=config.checkpoints.keep)
  place = stage.host_directory(workdir)
  writer = metrics.Writer(place, name)
  progress = metrics.Progress(c.steps, name, os.path.join(place, 'log.txt'))
  with programs.use_mesh(mesh):
    restored = checkpoints.restore(built.state, built.shardings)
    state = built.fresh(params) if restored is None else restored[0]
    del params
    step, clock = int(state.step), time.monotonic()  # one batch a step: the position in the data is the step
    writer.truncate(step)
    while step < c.steps:
      chosen = np.asarray([rows[step * c.batch + i] for i in range(c.batch)])
      batch = mesh_lib.put(packing.Packed(*(a[chosen] for a in packed)), mesh)
      state, means = step_fn(state, batch)
      step += 1
      state = state.replace(position=jnp.int32(step))
      stop = mesh_lib.any_process(checkpoint.stop_requested.is_set())
      if step % c.log_every == 0 or step == c.steps:
        means = {k: float(v) for k, v in means.items()}
        seconds, clock = time.monotonic() - clock, time.monotonic()
        learned = float(np.sum(packed.mask_BxT[chosen]))
        writer.write(step, {**means, 'step/seconds': seconds / c.log_every,
                            'update/tokens_per_second': c.batch * c.length * c.log_every / seconds,
                            'tokens/learned': learned})
        progress.update(step, loss=means['loss'])
      if step % config.checkpoints.every == 0 or step == c.steps or stop:
        checkpoints.save(state, {'stage': name})
      if stop and step < c.steps:
        raise checkpoint.Stopped(f'{name} stopped at step {step}')
  checkpoints.close()
  writer.close()
