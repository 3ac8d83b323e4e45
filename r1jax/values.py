"""What each value of a config may be, by the name of its key: looked at before anything runs."""

import math
import re

from r1jax import expect
from r1jax import limits
from r1jax import trackers
from r1jax.exceptions import UserError

_CHOICES = {
    'dtype': ('float32', 'bfloat16'), 'ref_dtype': ('float32', 'bfloat16'), 'ref_memory': ('device', 'host'),
    'remat': ('none', 'full', 'dots'), 'attention': ('auto', 'xla', 'splash', 'splash_interpret', 'cudnn'),
    'ratio': ('token', 'sequence', 'gspo'), 'aggregate': ('sequence_mean', 'token_mean', 'fixed_length'),
    'scale': ('std', 'none', 'rloo', 'batch_std', 'global'), 'surrogate': ('clip', 'cispo', 'reinforce'),
    'kl': ('k1', 'k2', 'k3'), 'is_kind': ('truncate', 'mask'),
    'old_logps': ('sampler', 'trainer'), 'decay': ('constant', 'linear', 'cosine'),
    'batch_of': ('documents', 'rows'), 'mode': ('', 'drop_solved', 'prioritized', 'easy_first'),
    'dynamic_by': ('reward', 'accuracy'), 'form': ('head', 'implicit'),
    'estimate': ('soft', 'hard'), 'combine': ('product', 'min'), 'base_dtype': ('', 'float32', 'bfloat16', 'int8'),
}
# Key -> (least, largest, whether the least itself will do). What is not here may be any number of its kind.
_ONE, _ZERO, _SHARE = (1, math.inf, True), (0, math.inf, True), (0, 1, True)
_RANGES = {
    **dict.fromkeys(('groups', 'samples', 'minibatches', 'batch', 'sample_batch', 'micro_tokens', 'max_prompt',
                     'max_tokens', 'length', 'eval_questions', 'eval_samples', 'documents', 'vocab_size', 'every',
                     'keep', 'log_every', 'step_tokens', 'cap', 'expand', 'simulations', 'logit_elements', 'askings',
                     'prefixes'), _ONE),
    **dict.fromkeys(('steps', 'epochs', 'size', 'slots', 'carry', 'ref_every', 'eval_every', 'sample_groups', 'warmup',
                     'kl_coef', 'entropy_coef', 'clip_low', 'clip_high', 'is_cap', 'mismatch_limit', 'overlong_buffer',
                     'temperature', 'dynamic_tries',
                     'weight_decay', 'seed', 'bad_steps', 'minutes', 'grace', 'bias_rate', 'balance_loss', 'max_length',
                     'rope_theta', 'spare_tokens', 'questions', 'shots', 'paragraph', 'pairs', 'reasoning', 'count',
                     'from_step', 'explore', 'rank', 'factor', 'original_length', 'max_calls', 'max_tokens_total'),
                    _ZERO),
    'beta': _ZERO, 'rollouts': _ZERO, 'rollout_temperature': _ZERO, 'least_auc': _SHARE,  # of a model of steps
    **dict.fromkeys(('holdout', 'share', 'chinese', 'final_share', 'b1', 'b2', 'language', 'false', 'harm', 'low',
                     'high', 'lag'), _SHARE),
    'timeout': (0, math.inf, False), 'parallel': _ONE, 'tries': _ONE,  # of a judge
    'alpha': (0, math.inf, False),  # of adapters
    'learning_rate': (0, math.inf, False), 'clip_norm': (0, math.inf, False), 'top_p': (0, 1, False),
}
_MOST = (1 << 31) - 1  # what an index on a device holds
_OF_SEVERAL = ('logit_elements',)  # over all devices: no index
_AXES = ('data', 'fsdp', 'tensor', 'expert')
_NOT_OURS = ('params', 'columns', 'prefill', 'templates', 'ask')  # of others, or texts
# Other things of the same name.
_OF_A_PART = {('cold_start', 'keep'): _ZERO, ('reject', 'keep'): _ZERO,
              ('rl', 'epochs'): _ONE}
_TEXTS = ('separators', 'stop')
_SCALINGS = ('', 'llama3', 'yarn')
_ADAPTERS = {'rank': int, 'alpha': (int, float), 'targets': (str, tuple, list), 'base_dtype': str}  # of `lora`
_JUDGES = ('', 'auto', 'endpoint', 'model')


def check(config) -> None:
  """Raises UserError for the first value that cannot be."""
  _stages(config.stages)
  trackers.check(config.get('trackers', ()))
  expect.check(config)
  parts = {spec.get('config', spec['name']): spec['run'] for spec in config.stages}
  for key, value in config.items():
    if key == 'mesh':
      _mesh(value)
    elif key == 'topology' and not re.fullmatch(r'[a-z]\w*:\d+(x\d+)*', str(value)):
      raise UserError(f"topology={value!r}: wants KIND:AxBxC, as 'cpu:1', 'v5p:4x4x8', 'h100:1x8' (r1jax plan)")
    elif key in parts or key == 'evaluate' or not hasattr(value, 'items'):
      _look(key, value, parts.get(key, ''))
    elif key in ('checkpoints', 'experts', 'model', 'rewards', 'lora'):
      _look(key, value, '')
  for spec in config.stages:
    part = config[spec.get('config', spec['name'])] if spec.get('config', spec['name']) in config else {}
    for key in limits.KEYS:
      if key in part:
        limits.schedule(part[key], f'{spec["name"]}.{key}')
        if spec['run'] != 'rl' and not isinstance(part[key], int):
          raise UserError(f'{spec["name"]}.{key}={part[key]!r}: a schedule is for RL alone, give one number')
    if spec['run'] == 'rl' and part.get('steps') == 0:
      raise UserError(f'{spec["name"]}.steps=0: nothing to train')


RUNS = ('sft', 'rl', 'evaluate', 'cold_start', 'reject', 'preference', 'process', 'search', 'convert')


def _stages(stages) -> None:
  """Each is {name, run, inputs}, its name its own."""
  if not stages:
    raise UserError('stages is empty: nothing to run')
  for spec in stages:
    if not hasattr(spec, 'keys') or not {'name', 'run', 'inputs'} <= set(spec.keys()) or not hasattr(
        spec['inputs'], 'items'):
      raise UserError(f"stages has {spec!r}: each is an object with name, run and inputs, "
                      "as {'name': 'rl', 'run': 'rl', 'inputs': {'checkpoint': 'base'}}")
    if spec['run'] not in RUNS:
      raise UserError(f'stage {spec["name"]!r} has run={spec["run"]!r}: one of {", ".join(RUNS)}')
  names = [spec['name'] for spec in stages]
  if twice := [name for name in names if names.count(name) > 1]:
    raise UserError(f'two stages are named {twice[0]!r}: their directories and inputs go by name')


def _look(key: str, value, run: str) -> None:
  """At a value, or at all below it."""
  *_, above, name = ('', *key.split('.'))
  if hasattr(value, 'items'):
    if name == 'lora':
      _adapters(key, value)
    for inner, of in value.items():
      if name == 'rewards':  # a name may hold dots
        _number(f'{key}.{inner}', of, (-math.inf, math.inf, True))
      elif inner not in _NOT_OURS:
        _look(f'{key}.{inner}', of, run)
  elif name in _CHOICES and isinstance(value, str) and value not in _CHOICES[name]:
    choices = ', '.join(choice or "''" for choice in _CHOICES[name])
    raise UserError(f'{key}={value!r} is not one of {choices}')
  elif (above, name) == ('rope_scaling', 'kind') and value not in _SCALINGS:
    raise UserError(f"{key}={value!r} is not one of {', '.join(map(repr, _SCALINGS))}")
  elif (above, name) == ('judge', 'kind') and key.count('.') > 1 and value not in _JUDGES:  # of a stage's own judge
    raise UserError(f'{key}={value!r} is not one of {", ".join(map(repr, _JUDGES))}')
  elif name in _TEXTS and not all(isinstance(text, str) and text for text in value):
    raise UserError(f"{key}={value!r}: wants texts, as --config.{key}=\"('TEXT',)\"")
  else:
    _number(key, value, _SHARE if above == 'mixture' else _OF_A_PART.get((run, name), _RANGES.get(name)))


def _adapters(key: str, section) -> None:
  """A section `lora`, which a stage's part may have, too, written by hand: an unknown key would train all weights."""
  for name, value in section.items():
    if name not in _ADAPTERS:
      raise UserError(f'{key}.{name}={value!r}: {key} has no such key, it has {", ".join(_ADAPTERS)}')
    if not isinstance(value, _ADAPTERS[name]) or isinstance(value, bool):
      wanted = {'rank': 'a whole number', 'alpha': 'a number'}.get(name, 'a text')
      raise UserError(f'{key}.{name}={value!r}: wants {wanted}')


def _number(key: str, value, within: tuple | None) -> None:
  """within: as in _RANGES; None: any."""
  if within is None or isinstance(value, bool) or not isinstance(value, (int, float)):
    return
  least, most, itself = within
  if isinstance(value, int) and value > _MOST and key not in _OF_SEVERAL:
    raise UserError(f'{key}={value} must be at most {_MOST}')
  if not math.isfinite(value) and least == -math.inf:
    raise UserError(f'{key}={value} is no number that weighs anything')
  if not (least <= value if itself else least < value) or not value <= most or not math.isfinite(value):
    between = f'{"at least" if itself else "more than"} {least}' + (f' and at most {most}' if most < math.inf else '')
    raise UserError(f'{key}={value} must be {between}')


def _mesh(mesh) -> None:
  for axis, size in mesh.items():
    if axis not in _AXES:
      raise UserError(f'mesh.{axis}: axes are {", ".join(_AXES)}')
    if size != -1 and size < 1:
      raise UserError(f'mesh.{axis}={size} must be at least 1, or -1 for all devices that are left')
