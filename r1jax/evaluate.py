"""Command: n samples a question -> pass@1, pass@k, cons@k, length.

  python -m r1jax.evaluate --checkpoint=DIR --tasks=chain_sum --samples=64 --temperature=0.6 --top_p=0.95 \\
      --max_tokens=32768 --workdir=DIR
  python -m r1jax.evaluate --checkpoint=hf:OWNER/NAME --tasks=jsonl:FILE --workdir=DIR

  python -m r1jax.evaluate --rescore --workdir=DIR

All tasks share the slots. Started again on the same work dir it goes on with the questions that have no samples yet.
SimpleQA, FRAMES, AlpacaEval and ArenaHard are judged by a model that --judge_url and --judge_model name (its key is in
$R1JAX_JUDGE_KEY). --rescore grades the samples again and asks no model; --workdir may be a run's, too. Exit codes: 0, 2
a user's mistake (one line on stderr), 143 asked to stop by SIGTERM, 130 by Ctrl-C.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import sys
from typing import Iterator

from r1jax import benchmarks as benchmarks_lib
from r1jax import Command
from r1jax import convert
from r1jax import disk
from r1jax import environment
from r1jax import errors
from r1jax import files_read
from r1jax import metrics
from r1jax import terminal
from r1jax import outputs
from r1jax import own
from r1jax import paths
from r1jax import workdir as workdir_lib
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.engine import json_files
from r1jax.engine import compile_cache
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import precision
from r1jax.exceptions import UserError
from r1jax.rewards import judge as judge_lib
from r1jax.stages import adapters
from r1jax.stages import asking
from r1jax.stages import benchmarks
from r1jax.stages import checking
from r1jax.stages import common
from r1jax.stages import judges
from r1jax.stages import rescore
from r1jax.stages import scoring
from r1jax.stages import trial
from r1jax.stages.scoring import majority, pass_at_k  # public here

log = logging.getLogger('r1jax')

_FREE = ('workdir', 'tasks', 'mesh', 'batch', 'slots', 'rescore', 'judge_url')  # flags that change no answer
_GRACE = 5.0  # seconds after SIGTERM in which questions may still end; those that have not are sampled again
_CHANGES = 20  # verdicts that are others after --rescore, of a task, which the log lists


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
  add('--checkpoint', default='', help="a stage's work dir, one step's dir, or what convert wrote; a Hugging Face "
      'directory, hf:OWNER/NAME[@REVISION] of the hub, or a GGUF file, which are imported into the work dir once')
  add('--tasks', default='', help='names, with commas between them')
  add('--workdir', required=True)
  add('--samples', type=int, default=64)  # section 3, as the three that follow
  add('--temperature', type=float, default=0.6)
  add('--top_p', type=float, default=0.95)
  add('--max_tokens', type=int, default=0, help='default: as the checkpoint was trained, else 32768 or what the '
      'model has positions for')
  add('--max_prompt', type=int, default=0, help='default: as the checkpoint was trained, else 1024')
  add('--batch', type=int, default=8, help='questions at a time, where --slots says nothing')
  add('--slots', type=int, default=0, help='completions decoded at a time; default: batch x samples')
  add('--seed', type=int, default=0)
  add('--template', default='',
      help='how questions are put; default: as the checkpoint was trained; of a published model, which was not, '
      "by its tokenizer's chat template (chat), else the task's")
  add('--answer_type', default='auto', help="of a file's rows that name none")
  add('--columns', default='', help='question=NAME,answer=NAME: of a file with other names')
  add('--mesh', default='data=-1', help='AXIS=DEVICES[,..] of data, fsdp, tensor, expert; default: all on data, each '
      'with all weights')
  add('--dtype', default='', choices=('', 'float32', 'bfloat16'),
      help='of the computation; default: bfloat16 where the weights are kept so, else float32')
  add('--judge_url', default='', help='an OpenAI-compatible endpoint, http://HOST:8000/v1, for benchmarks that a model '
      'judges; its answers are kept in judged/ of the work dir, its key is in $R1JAX_JUDGE_KEY')
  add('--judge_model', default='', help='the name of a model there')
  add('--rescore', action='store_true', help='asks no model: grades what stands in --workdir again, of this command, a '
      'stage or a whole run')
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
  if a.rescore:
    yield from rescored(a.workdir)
    return
  if missing := [f'--{flag}' for flag in ('checkpoint', 'tasks') if not getattr(a, flag)]:
    raise UserError(f'the following arguments are required: {", ".join(missing)}')
  for flag, least in (('samples', 1), ('batch', 1), ('max_prompt', 0), ('max_tokens', 0), ('slots', 0), ('seed', 0),
                      ('temperature', 0)):
    if getattr(a, flag) < least:
      raise UserError(f'--{flag}={getattr(a, flag)} must be at least {least}')
  if not 0 < a.top_p <= 1:
    raise UserError(f'--top_p={a.top_p} must be more than 0 and at most 1')
  a.checkpoint, workdir = paths.local(a.checkpoint, '--checkpoint'), paths.local(a.workdir, '--workdir')
  hosts.join()
  compile_cache.use('auto')
  mesh, place = _mesh(a.mesh), common.host_directory(workdir)
  named = {name: source for source, name in _named(a.tasks).items()}
  why = judges.none_for_evaluation('endpoint' if _judge_given(a) else '', benchmarks_lib.JUDGE_FLAGS)
  lacking = benchmarks.left_out(named, why)
  columns = _pairs(a.columns, 'columns', 'question=NAME,answer=NAME')
  found = {name: _rows_of(source, answer_type=a.answer_type, columns=columns) for name, source in named.items()
           if name not in lacking}  # before a model is imported
  judge = _judge(a, {name: rows for name, (rows, _) in found.items()}, why, place)
  trial.graders([row for rows, _ in found.values() for row in rows])
  foreign = paths.is_foreign(a.checkpoint)
  if foreign:
    with workdir_lib.made(workdir), workdir_lib.held(workdir):
      a.checkpoint = convert.as_checkpoint(a.checkpoint, os.path.join(workdir, 'imported'))
  model, tokenizer, step_dir = common.load_model(a.checkpoint)
  a.dtype = a.dtype or str(adapters.kept_in(step_dir))
  precision.use(a.dtype)
  _fit(a, model.config.max_length, prompts.trained_with(tokenizer.directory) or {})
  model, tokenizer, step_dir = common.load_model(
      a.checkpoint, dtype=a.dtype, attention=common.attention_path('auto', a.dtype, mesh))
  asked = [_asked(a, name, *read, tokenizer, os.path.join(workdir, 'eval', name), foreign=foreign)
           for name, read in found.items()]
  evaluation = asking.Evaluation(
      model, tokenizer, mesh, asked, log_path=os.path.join(place, 'log.txt'), stream=sys.stderr,
      said=asked[0].name if len(asked) == 1 else f'{len(asked)} tasks', max_prompt=a.max_prompt,
      max_tokens=a.max_tokens, batch=a.batch, temperature=a.temperature, top_p=a.top_p, seed=a.seed, slots=a.slots,
      grace=_GRACE, judge=judge, judge_model=a.judge_model, key='--max_prompt')
  with (workdir_lib.made(place), workdir_lib.held(workdir), mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES),
        metrics.Writer(place, 'evaluate') as writer):
    writer.truncate(-1)  # what stands is written again
    environment.note(workdir, seed=a.seed)
    for name, why in lacking.items():
      benchmarks.note(os.path.join(workdir, 'eval', name), name, why)
    common.told_by_first(lambda: [_prepared(a, task, workdir, step_dir) for task in asked])
    for _, result in evaluation(functools.cache(lambda: common.load_sampling_params(model, step_dir, mesh))):
      use = {'rollout/slot_use': result['slot_use']} if result.get('slot_use') is not None else {}
      writer.write(int(os.path.basename(step_dir)), {'model': 'final', **scoring.as_metrics(result), **use})
      yield result


def _rows_of(source: str, **given) -> tuple[list[dict], dict]:
  """tasks.named; its errors name the flag."""
  try:
    return tasks.named(source, **given)
  except UserError as e:
    raise type(e)(str(e).replace('name the columns in task.columns', '--columns=question=NAME,answer=NAME')
                  .replace('task.columns', '--columns')) from e


def _judge_given(a) -> bool:
  """Raises UserError for half of a judge."""
  for flag, other in (('judge_url', 'judge_model'), ('judge_model', 'judge_url')):
    if getattr(a, flag) and not getattr(a, other):
      raise UserError(f'--{flag}={getattr(a, flag)} needs --{other}: {benchmarks_lib.JUDGE_FLAGS}')
  return bool(a.judge_url)


def _judge(a, asked: dict[str, list[dict]], why: str, place: str) -> judge_lib.Judge | None:
  """The judge of the flags; None where nobody needs it.

  Raises:
    UserError: one is needed and `why` there is none, or it does not answer.
  """
  needing = [name for name, rows in asked.items() if any(map(judge_lib.needed, rows))]
  if needing and why:
    raise UserError(f'{needing[0]} {why}')
  if not needing:
    if a.judge_url:
      log.info('--judge_url=%s: no task needs a judge, it is not asked', a.judge_url)
    return None
  checking.graders([row for rows in asked.values() for row in rows if judge_lib.needed(row)], judged=True)
  named = {'url': a.judge_url, 'model': a.judge_model}
  judges.look(named)
  log.info('%s: judged by %s at %s, answers in %s', ', '.join(needing), a.judge_model, a.judge_url,
           os.path.join(place, judges.ANSWERS))
  return judges.for_evaluation(named, place, _GRACE)


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


def _asked(a, name: str, rows: list[dict], template: str, tokenizer, directory: str, *,
           foreign: bool = False) -> asking.Task:
  """A task with all its questions; template: its own; foreign: the checkpoint is a published one, as it is."""
  trained, told = prompts.trained_with(tokenizer.directory), {}
  if not a.template and trained:
    template = trained['template']
    told = {key: trained[key] for key in ('prefill', 'system') if trained.get(key)}
    log.info('template %r%s, as the checkpoint was trained; --template=NAME for another', template,
             ''.join(f' with the {key} {text!r}' for key, text in told.items()))
  elif not a.template and tokenizer.chat_template:
    chat, task = (prompts.CHAT, "the tokenizer's own"), (template, "the task's")
    (template, whose), (other, others) = (chat, task) if foreign else (task, chat)
    log.info('%s: template %r, %s; --template=%s for %s', name, template, whose, other, others)
  template = a.template or template
  prompts.check(template)
  prompts.warn_if_other(tokenizer, template, '--template')
  return asking.Task(name, [{**told, **row, 'task': name} for row in rows], template, directory, a.samples)


def _prepared(a, task: asking.Task, workdir: str, step_dir: str) -> None:
  """The task's directory: what another start has sampled in the same way is gone on with, else set aside."""
  rows, directory = task.rows, task.directory
  settings = {**{key: value for key, value in vars(a).items() if key not in _FREE}, 'template': task.template,
              'checkpoint': os.path.realpath(step_dir),
              'weights': outputs.look_at(outputs.below(os.path.join(step_dir, 'params')), step_dir),
              'questions': hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()}
  graders = {row['reward'] for row in rows if own.names(row.get('reward') or '')}
  if graders:  # what they are, wherever they lie
    settings['graders'] = sorted({entry['sha256'] for files in files_read.noted([dict.fromkeys(graders, 1)]).values()
                                  for entry in files.values()})
  if not any(map(judge_lib.needed, rows)):
    settings.pop('judge_model')  # it says nothing of these
  path = os.path.join(directory, asking.SETTINGS)
  before = workdir_lib.read(path, None)
  if before is not None and before != settings:
    log.warning('%s: %s: what was sampled so is moved to set_aside/', task.name, '; '.join(
        f'{key} was {before.get(key)!r}, now {settings.get(key)!r}' for key in sorted({*before, *settings})
        if before.get(key) != settings.get(key)))
    workdir_lib.move_aside(workdir, directory)
  disk.make(directory)
  json_files.write(path, settings)


def rescored(workdir: str) -> Iterator[dict]:
  """The scores.json of each evaluation below a work dir, made again from its samples; metrics.jsonl, and what a run has
  noted of the stage, follow. The log says which verdicts are others today.

  Raises:
    UserError: no evaluation there, or a question that has not exactly n samples.
  """
  workdir = os.path.normpath(paths.local(workdir, '--workdir'))
  found = rescore.directories(workdir)
  run = os.path.dirname(workdir) if os.path.exists(os.path.join(os.path.dirname(workdir), 'pipeline.json')) else workdir
  with workdir_lib.held(run):
    for directory in found:
      again, name = rescore.rescore(directory), os.path.relpath(directory, workdir)
      for change in again.changes[:_CHANGES]:
        log.warning('%s: %s', name, change)
      log.info('%s: %s', name, f'{len(again.changes)} verdicts are others than they were' + (
          f', the first {_CHANGES} of them above' if len(again.changes) > _CHANGES else '')
               if again.changes else 'every verdict is what it was')
      stage, _, label = directory.rpartition(f'{os.sep}eval{os.sep}')
      if again.result != again.before:
        _note_again(stage, label, again.result)
      yield again.result


def _note_again(stage: str, label: str, result: dict) -> None:
  """New scores in the stage's metrics.jsonl, and in the pipeline.json that says what the stage passes on."""
  path, task = os.path.join(stage, 'metrics.jsonl'), result['task']
  model = label.removeprefix(task).removeprefix('.') or 'final'
  if os.path.exists(path):
    numbers = scoring.as_metrics(result) if task != scoring.GENERAL else {
        f'eval/{task}/{key}': value for key, value in result.items() if isinstance(value, float)}
    rows = [{**row, **numbers} if row.get('model') == model and any(key.startswith(f'eval/{task}/') for key in row)
            else row for row in metrics.read(path)]
    metrics.replace_file(path, b''.join(metrics.encode(row) for row in rows))
  noted = os.path.join(os.path.dirname(stage), 'pipeline.json')
  pipeline = workdir_lib.read(noted, None)
  for entry in (pipeline or {}).get('stages', ()):
    if entry['directory'] == os.path.basename(stage):
      entry.update(outputs.passed_on(stage))
      json_files.write(noted, pipeline)


sys.modules[__name__].__class__ = Command  # r1jax.evaluate(model, tasks), beside r1jax.evaluate.pass_at_k


if __name__ == '__main__':
  sys.exit(hosts.run(main, sys.argv))
