"""Command: n samples a question -> pass@1, pass@k, cons@k, length.

  python -m r1jax.evaluate --checkpoint=DIR --tasks=chain_sum --samples=64 --temperature=0.6 --top_p=0.95 \\
      --max_tokens=32768 --workdir=DIR
  python -m r1jax.evaluate --checkpoint=hf:OWNER/NAME --tasks=jsonl:FILE --workdir=DIR

Started again on the same work dir it goes on behind the last batch of questions. Exit codes: 0, 2 a user's mistake (one
line on stderr), 143 asked to stop by SIGTERM, 130 by Ctrl-C.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import sys
from typing import Iterator

from r1jax import Command
from r1jax import convert
from r1jax import environment
from r1jax import errors
from r1jax import metrics
from r1jax import terminal
from r1jax import outputs
from r1jax import paths
from r1jax import workdir as workdir_lib
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.engine import checkpoint
from r1jax.engine import compile_cache
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import precision
from r1jax.exceptions import UserError
from r1jax.stages import common
from r1jax.stages.evaluate import Evaluator, as_metrics, scores, so_far, write
from r1jax.stages.evaluate import majority, pass_at_k  # public here

log = logging.getLogger('r1jax')

_FREE = ('workdir', 'tasks', 'mesh', 'batch', 'slots')  # flags that change no answer


def _pairs(text: str, flag: str, wants: str) -> dict[str, str]:
  """'a=b,c=d' as a map."""
  pairs = [pair.split('=', 1) for pair in text.split(',') if pair]
  if any(len(pair) != 2 for pair in pairs):
    raise UserError(f'--{flag}={text!r}: wants {wants}')
  return dict(pairs)


def _mesh(text: str):
  """'fsdp=4,tensor=2' -> Mesh."""
  sizes = _pairs(text, 'mesh', 'AXIS=DEVICES[,AXIS=DEVICES]')
  for axis, size in sizes.items():
    if axis not in mesh_lib.AXES or not size.lstrip('-').isdigit():
      raise UserError(f'--mesh={text!r}: wants AXIS=DEVICES with axes of {", ".join(mesh_lib.AXES)}')
  return mesh_lib.create({axis: int(size) for axis, size in sizes.items()})


def parser() -> errors.Parser:
  """The command's flags; what parse_args gives is what `results` takes."""
  parser = errors.Parser(prog='r1jax evaluate', description=__doc__)
  add = parser.add_argument
  add('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what convert wrote; a Hugging Face "
      'directory, hf:OWNER/NAME[@REVISION] of the hub, or a GGUF file, which are imported into the work dir once')
  add('--tasks', required=True, help='names, with commas between them')
  add('--workdir', required=True)
  add('--samples', type=int, default=64)  # section 3, as the three that follow
  add('--temperature', type=float, default=0.6)
  add('--top_p', type=float, default=0.95)
  add('--max_tokens', type=int, default=0, help='default: as the checkpoint was trained, else 32768 or what the '
      'model has positions for')
  add('--max_prompt', type=int, default=0, help='default: as the checkpoint was trained, else 1024')
  add('--batch', type=int, default=8, help='questions at a time')
  add('--slots', type=int, default=0, help='completions decoded at a time; default: batch x samples')
  add('--seed', type=int, default=0)
  add('--template', default='',
      help="how questions are put; default: as the checkpoint was trained, else the task's own")
  add('--answer_type', default='auto', help="of a file's rows that name none")
  add('--columns', default='', help='question=NAME,answer=NAME: of a file with other names')
  add('--mesh', default='data=-1', help='AXIS=DEVICES[,..] of data, fsdp, tensor, expert; default: all on data, each '
      'with all weights')
  add('--dtype', default='', choices=('', 'float32', 'bfloat16'),
      help='of the computation; default: bfloat16 where the weights are kept so, else float32')
  return parser


def main(argv: list[str]) -> int:
  """The command in this module's docstring; exit 2 and one line for a mistake."""
  terminal.use()
  with contextlib.suppress(ValueError):  # not in a thread
    errors.stop_on_signals()
  return errors.run(lambda: _run(parser().parse_args(argv[1:])))


def _run(a) -> int:
  for result in results(a):
    print(json.dumps(result), flush=True)
  return 0


def results(a) -> Iterator[dict]:
  """The scores.json of each task, as it ends; all is written to --workdir.

  Raises:
    UserError: flags that do not go together, no such checkpoint or task, a work dir that is in use.
  """
  for flag, least in (('samples', 1), ('batch', 1), ('max_prompt', 0), ('max_tokens', 0), ('slots', 0), ('seed', 0),
                      ('temperature', 0)):
    if getattr(a, flag) < least:
      raise UserError(f'--{flag}={getattr(a, flag)} must be at least {least}')
  if not 0 < a.top_p <= 1:
    raise UserError(f'--top_p={a.top_p} must be more than 0 and at most 1')
  a.checkpoint, workdir = paths.local(a.checkpoint, '--checkpoint'), paths.local(a.workdir, '--workdir')
  hosts.join()
  compile_cache.use('auto')
  mesh = _mesh(a.mesh)
  if convert.find.is_foreign(a.checkpoint):
    with workdir_lib.made(workdir), workdir_lib.held(workdir):
      a.checkpoint = convert.as_checkpoint(a.checkpoint, os.path.join(workdir, 'imported'))
  model, tokenizer, step_dir = common.load_model(a.checkpoint)
  a.dtype = a.dtype or str(checkpoint.kept_in(step_dir))
  precision.use(a.dtype)
  _fit(a, model.config.max_length, prompts.trained_with(tokenizer.directory) or {})
  model, tokenizer, step_dir = common.load_model(
      a.checkpoint, dtype=a.dtype, attention=common.attention_path('auto', a.dtype, mesh))
  asked = [_asked(a, name, tokenizer) for name in _named(a.tasks)]  # before weights are loaded
  place = common.host_directory(workdir)
  with (workdir_lib.made(place), workdir_lib.held(workdir), mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES),
        metrics.Writer(place, 'evaluate') as writer):
    params = functools.cache(lambda: common.load_sampling_params(model, step_dir, mesh))
    writer.truncate(-1)  # what stands is written again
    environment.note(workdir, seed=a.seed)
    for name, rows, template in asked:
      result = _evaluated(a, name, rows, template, model, tokenizer, mesh, params, place, step_dir)
      writer.write(int(os.path.basename(step_dir)), {'model': 'final', **as_metrics(result)})
      yield result


def _fit(a, positions: int, trained: dict) -> None:
  """Fills in --max_prompt and --max_tokens: as the checkpoint was trained (prompts.record), else what it has room for.

  Raises:
    UserError: more tokens than the model has positions.
  """
  for flag, otherwise in (('max_prompt', lambda: min(1024, positions // 2)),
                          ('max_tokens', lambda: min(32768, positions - a.max_prompt))):
    given, as_trained = getattr(a, flag), trained.get(flag)
    if given and as_trained and given != as_trained:
      log.warning('--%s=%d, but the checkpoint was trained with %d', flag, given, as_trained)
    if not given:
      setattr(a, flag, as_trained or otherwise())
      log.info('--%s=%d, %s', flag, getattr(a, flag), 'as the checkpoint was trained' if as_trained else
               f'as the model has {positions} positions')
  if a.max_tokens < 1 or a.max_prompt + a.max_tokens > positions:
    raise UserError(f"max_prompt={a.max_prompt} + max_tokens={a.max_tokens} exceed the model's max_length={positions}: "
                    'lower them')


def _named(tasks_: str) -> dict[str, str]:
  """Source -> the name that its results are written under."""
  named = {source: tasks.name_of(source) for source in tasks_.split(',')}
  twice = [source for source, short in named.items() if list(named.values()).count(short) > 1]
  if twice:
    raise UserError(f'--tasks: {" and ".join(twice)} would both be written as {named[twice[0]]!r}: '
                    'evaluate them in two work dirs')
  return named


def _asked(a, source: str, tokenizer) -> tuple[str, list[dict], str]:
  """(name, questions that fit, template) of a task."""
  rows, template = tasks.named(source, answer_type=a.answer_type,
                               columns=_pairs(a.columns, 'columns', 'question=NAME,answer=NAME'))
  trained, told = prompts.trained_with(tokenizer.directory), {}
  if not a.template and trained:
    template = trained['template']
    told = {key: trained[key] for key in ('prefill', 'system') if trained.get(key)}
    log.info('template %r%s, as the checkpoint was trained; --template=NAME for another', template,
             ''.join(f' with the {key} {text!r}' for key, text in told.items()))
  template = a.template or template
  prompts.check(template)
  prompts.warn_if_other(tokenizer, template, '--template')
  name = tasks.name_of(source)
  rows = [{**told, **row, 'task': name} for row in rows]
  prompts.ready(rows, tokenizer, template=template, max_prompt=a.max_prompt)
  return name, rows, template


def _evaluated(a, name: str, rows, template: str, model, tokenizer, mesh, params, place: str, step_dir: str) -> dict:
  """scores.json of a task; what another start has sampled in the same way is gone on with."""
  directory = os.path.join(place, 'eval', name)
  settings = {**{key: value for key, value in vars(a).items() if key not in _FREE}, 'template': template,
              'checkpoint': os.path.realpath(step_dir),
              'weights': outputs.look_at(outputs.below(os.path.join(step_dir, 'params')), step_dir),
              'questions': hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()}
  path = os.path.join(directory, 'settings.json')
  before = workdir_lib.read(path, None)
  if before is not None and before != settings:
    log.warning('%s: %s: what was sampled so is moved to set_aside/', name, '; '.join(
        f'{key} was {before.get(key)!r}, now {settings.get(key)!r}' for key in sorted({*before, *settings})
        if before.get(key) != settings.get(key)))
    workdir_lib.move_aside(place, directory)
  os.makedirs(directory, exist_ok=True)
  checkpoint.write_json(path, settings, every_host=True)
  if not mesh_lib.any_process(not os.path.exists(os.path.join(directory, 'scores.json'))):
    log.info('%s stands: skipped', name)
    return workdir_lib.read(os.path.join(directory, 'scores.json'), {})
  batches = common.Batches(directory, every_host=True)
  evaluator = Evaluator(model, tokenizer, mesh, rows, template=template, samples=a.samples, max_prompt=a.max_prompt,
                        max_tokens=a.max_tokens, batch=a.batch, temperature=a.temperature, top_p=a.top_p, seed=a.seed,
                        slots=a.slots)
  progress = terminal.Progress(len(evaluator.rows), name, os.path.join(directory, 'log.txt'), sys.stderr)
  records = list(batches.kept())
  if records:
    log.info('%s: resuming behind question %d of %d', name, len(records), len(evaluator.rows))
  with contextlib.closing(evaluator), contextlib.closing(progress.start(len(records))):
    if batches.done('') < len(evaluator.rows):
      for batch in evaluator.by_batch(params(), batches.done('')):
        batches.add('', len(batch), batch)
        records += batch
        progress.update(batches.done(''), **so_far(records))
        if batches.done('') < len(evaluator.rows):
          common.stop_if_asked(name)
  result = scores(records, evaluator.rows, evaluator.settings, name)
  write(directory, records, result)
  batches.remove()
  return result


sys.modules[__name__].__class__ = Command  # r1jax.evaluate(model, tasks), beside r1jax.evaluate.pass_at_k


if __name__ == '__main__':
  sys.exit(hosts.run(main, sys.argv))
