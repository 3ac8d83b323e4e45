"""README.md of an export: what it began with, what it was trained by and on, what it scores, how it is asked."""

import os

from r1jax import frames
from r1jax.engine import json_files
from r1jax.engine import lora

# What a reader wants to know of a stage that learned; of another stage, whatever of it stands there.
_SAID = ('steps', 'epochs', 'groups', 'samples', 'minibatches', 'batch', 'learning_rate', 'kl_coef', 'ref_every',
         'clip_low', 'clip_high', 'ratio', 'aggregate', 'scale', 'temperature', 'max_prompt', 'max_tokens', 'length',
         'b1', 'b2', 'weight_decay', 'clip_norm', 'warmup', 'decay')
_OTHERWISE = {  # said where they are not this
    'surrogate': 'clip', 'kl': 'k3', 'entropy_coef': 0, 'drop_truncated': False, 'drop_equal': False, 'is_cap': 0,
    'is_kind': 'truncate', 'old_logps': 'sampler', 'dynamic_tries': 0,
    'dynamic_by': 'reward', 'lag': 0, 'carry': 0, 'moe_replay': False}
_LEARN = {'sft': 'supervised training', 'rl': 'GRPO', 'preference': 'a reward model', 'process': 'a model of steps',
          'convert': 'import', 'reject': 'rejection sampling', 'cold_start': 'cold-start data'}


def text(config, *, origin: dict, prompt: dict | None, name: str, stage_dir: str, step_dir: str) -> str:
  """The card.

  Args:
    config: of the model. origin, prompt: common.origin, prompts.trained_with of the checkpoint.
    name: of the model, its heading.
    stage_dir, step_dir: of the checkpoint; the work dir above it says the rest, where there is one.
  """
  run = os.path.dirname(stage_dir)
  record = json_files.read(os.path.join(run, 'pipeline.json'), {}) or {}
  made = json_files.read(os.path.join(stage_dir, 'config.json'), {}) if record else {}
  stage = next((entry['name'] for entry in record.get('stages', ())
                if entry['directory'] == os.path.basename(stage_dir)), os.path.basename(stage_dir).partition('_')[2])
  base = origin.get('hub', '')
  front = ['---', 'library_name: transformers', 'pipeline_tag: text-generation', 'tags:', '- r1jax',
           *([f'base_model: {base}'] if base else []), '---']
  said = [*front, '', f'# {name}', '',
          f'{config.param_count():,} parameters, {config.max_length:,} positions, exported by r1jax'
          + (f', which began with the weights of `{base or _file(origin["source"])}`' if base or origin.get('source')
             else '')
          + (f' (commit `{origin["commit"]}`)' if origin.get('commit') else '') + '.', '']
  if made:
    said += _recipe(made, stage, os.path.basename(step_dir)) + _scores(run, made, stage)
  said += ['## Prompt', '',
           f'Trained with the prompt template `{prompt["template"]}`.' if prompt else
           'Nothing is known of the prompts that it was trained on.', '',
           'generation_config.json has the sampling of section 3 of the paper, temperature 0.6 and top_p 0.95.', '', '']
  return '\n'.join(said)


def _recipe(config: dict, stage: str, step: str) -> list[str]:
  """Experiment, seed, and each stage up to this one: what it does, its values and data."""
  specs = config.get('stages', ())
  wanted = _before(specs, stage)
  rows = [_row(spec['name'], _LEARN.get(spec['run'], spec['run']), _values(config, spec), _data(config, spec))
          for spec in specs if spec['name'] in wanted]
  known, document = config.get('recipe', {}), ''
  if known:
    document = (f' It follows {known["title"]}, {known["page"]}'
                + (f'; otherwise than there: {known["missing"]}' if known.get('missing') else '') + '.')
  return ['## Recipe', '', f'r1jax experiment `{config.get("name", "")}`, seed {config.get("seed", 0)}, stage '
          f'`{stage}` at step {step}.{document}', '', *_table('stage what values data', rows), '']


def _rewards(config: dict, part: dict) -> str:
  weights = {key: value for key, value in (part.get('rewards') or config.get('rewards', {})).items() if value}
  over = f' of the last {part["overlong_buffer"]} tokens' if weights.get('overlong') else ''
  return 'rewards ' + ' + '.join(f'{_file(key)} x {value:g}{over * (key == "overlong")}' for key, value
                                 in weights.items()) if weights else ''


def _adapters(config: dict, part: dict) -> str:
  found = lora.section(config, part)
  if not found:
    return ''
  beside = f', beside a base in {found.base_dtype}' if found.base_dtype else ''
  return f'LoRA of rank {found.rank}, alpha {found.alpha:g}, on {found.targets}{beside}'


def _row(*cells) -> str:
  return f'| {" | ".join(map(str, cells))} |'


def _table(head: str, rows: list[str]) -> list[str]:
  """head: names of columns, with spaces between them."""
  return [_row(*head.split()), '|---' * len(head.split()) + '|', *rows]


def _before(specs, stage: str) -> set[str]:
  """A stage and all that it was made from."""
  found, waiting = set(), [stage]
  inputs = {spec['name']: list(spec['inputs'].values()) for spec in specs}
  while waiting:
    name = waiting.pop()
    if name in inputs and name not in found:
      found.add(name)
      waiting += inputs[name]
  return found


def _values(config: dict, spec: dict) -> str:
  part = config.get(spec.get('config', spec['name']), {})
  given = {**part.get('optimizer', {}), **part}
  said = [f'{key}={given[key]}' for key in _SAID if given.get(key) not in (None, '', ())]
  said += [f'{key}={given[key]}' for key, plain in _OTHERWISE.items() if given.get(key, plain) != plain]
  curriculum = part.get('curriculum', {})
  said += [f'curriculum.{key}={curriculum[key]}' for key, plain in dict(mode='', low=0.0, high=1.0).items()
           if curriculum.get(key, plain) != plain]
  if curriculum.get('mode') in ('drop_solved', 'prioritized'):
    said.append(f'curriculum.askings={curriculum["askings"]}')
  if spec['run'] in ('sft', 'rl', 'preference', 'process'):
    said.append(_adapters(config, part))
  return ', '.join(filter(None, [*said, _rewards(config, part) if spec['run'] == 'rl' else '']))


def _data(config: dict, spec: dict) -> str:
  """Sources by name; of a file its own name alone, as folders are nobody's business."""
  part = config.get(spec.get('config', spec['name']), {})
  tasks = part.get('task', ())
  found = [task.get('source', '') for task in (tasks if isinstance(tasks, (list, tuple)) else [tasks])]
  found += [part.get('source', '')]
  found += [part.get('path', ''), '' if part.get('path') else part.get('corpus', '')]
  made = [name for key, name in spec['inputs'].items() if key != 'checkpoint']
  return ', '.join(f'what {" and ".join(made) or "a stage"} made' if source == 'stage' else f'`{_file(source)}`'
                   for source in found if isinstance(source, str) and source)


def _file(source: str) -> str:
  """'jsonl:/home/me/q.jsonl' -> 'jsonl:q.jsonl', 'mine/rewards.py:brief' -> 'rewards.py:brief'; names stay."""
  if source.startswith(('hf:', 'tfds:', 'reasoning_gym:')):
    return source
  return ':'.join(os.path.basename(part.rstrip('/')) for part in source.split(':'))


def _scores(run: str, config: dict, stage: str) -> list[str]:
  """What the run's evaluations gave this stage, and its base beside it."""
  names = {}  # of a model in an evaluation -> stage
  for spec in config.get('stages', ()):
    if spec['run'] == 'evaluate':
      names |= spec['inputs']
  of = lambda row: names.get(row['model'].partition('_')[0], row['model'])
  rows = [row for row in frames.read(run).scores if of(row) in (stage, 'base') and row.get('pass@1') is not None]
  if stage not in map(of, rows):
    return []
  cells = lambda row, n: (
      _file(row['task']), row['model'], _number(row['pass@1']), _number(row.get('pass@1_stderr')),
      _number(row.get(f'cons@{n}')), n, row['n_questions'], row.get('temperature'), row.get('top_p'),
      f'{row.get("length_tokens", 0):.0f}')
  table = [_row(*cells(row, row['n_samples'])) for row in rows]
  called = next(model for model, of_stage in names.items() if of_stage == stage)
  return ['## Scores', '', f'Of the evaluation in its run; `{called}` is this model, majority that of all samples.', '',
          *_table('task model pass@1 s.e. majority samples questions temperature top-p tokens', table), '']


def _number(value) -> str:
  return '' if value is None else f'{value:.3f}'
