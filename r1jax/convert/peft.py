"""export --adapter: a checkpoint's adapters alone, as the package peft keeps them.

  adapter_config.json         rank, alpha, names of the modules, the base's name
  adapter_model.safetensors   base_model.model.MODULE.lora_A.weight [rank, in], .lora_B.weight [out, rank], float32
  tokenizer.json, tokenizer_config.json, chat_template.jinja   what they were trained to be asked with (export.py)

peft puts them on the base's own export, or on the source that it was imported from.
"""

import glob
import logging
import math
import os
import shutil

import numpy as np
from safetensors.numpy import save_file

from r1jax import paths
from r1jax.convert import export
from r1jax.convert import fingerprint
from r1jax.convert import table
from r1jax.data import prompts
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import leaves
from r1jax.engine import lora
from r1jax.exceptions import UserError
from r1jax.stages import adapters
from r1jax.stages import common

log = logging.getLogger('r1jax')

_PREFIX = 'base_model.model.'


def tensors(step_dir: str, found: dict, config) -> dict[str, np.ndarray]:
  """Module -> (A [rank, in], B [out, rank]), by their names for the modules."""
  own, out = leaves.open_each(step_dir), {}
  read = {path: np.asarray(leaf.read().result(), np.float32) for path, leaf in own.items()}
  for name, place in table.places(config).items():
    if f'{place.path}/a' not in read:
      continue
    a, b = (read[f'{place.path}/{which}'][place.at] for which in 'ab')
    inputs = place.row.inputs
    of_b = place._replace(shape=b.shape, row=place.row._replace(inputs=1))
    out[name.removesuffix('.weight')] = (
        np.ascontiguousarray(a.reshape(math.prod(a.shape[:inputs]), -1).T),
        np.ascontiguousarray(table.to_theirs(b, of_b, config, 'hf')))  # rows of B are turned as those of the kernel
  return out


def export_adapter(path: str, out: str):
  """Writes the adapters of a checkpoint to `out`; returns the model's Config.

  Raises:
    UserError: it holds none, or stands on others; `out` is not empty.
  """
  path, out = paths.local(path, '--checkpoint'), paths.local(out, '--out')
  if os.path.isdir(out) and os.listdir(out):
    raise UserError(f'--out={out} is not empty: take another directory')
  model, tokenizer, step_dir = common.load_model(path)
  found = adapters.read(step_dir)
  if found is None:
    raise UserError(f'{path} holds whole weights, no adapters: export it without --adapter')
  if model.config.reward_head:
    raise UserError(f'{path} is a reward model, whose head peft has no place for')
  there = adapters.base_of(step_dir, found)
  if adapters.read(there):
    raise UserError(f'{path} holds adapters of {there}, which holds adapters itself: peft puts one pair on whole '
                    'weights; export it merged, without --adapter')
  if model.mixture and (lost := [name for name in found['targets'] if name in lora.FEED_FORWARD]):
    raise UserError(f'{path} has adapters on {", ".join(lost)} of dense layers and shared experts, which peft takes '
                    'for those of the routed experts: export it merged, without --adapter, or train '
                    '--config.lora.targets=attention')
  checkpoint.intact(step_dir, below='params')
  modules = tensors(step_dir, found, model.config)
  names = sorted({name.rpartition('.')[2] for name in modules})
  base, revision = _base_name(there, tokenizer.directory)
  new = not os.path.exists(out)
  try:
    os.makedirs(out, exist_ok=True)
    save_file({f'{_PREFIX}{name}.lora_{which}.weight': x for name, both in modules.items()
               for which, x in zip('AB', both)}, os.path.join(out, 'adapter_model.safetensors'), {'format': 'pt'})
    json_files.write(os.path.join(out, 'adapter_config.json'), {
        'peft_type': 'LORA', 'task_type': 'CAUSAL_LM', 'base_model_name_or_path': base,
        'revision': revision, 'r': found['rank'], 'lora_alpha': found['alpha'], 'target_modules': names,
        'lora_dropout': 0.0, 'bias': 'none', 'fan_in_fan_out': False, 'use_rslora': False, 'inference_mode': True})
    export.write_tokenizer(out, model.config, tokenizer, prompts.trained_with(tokenizer.directory))
  except OSError as e:
    if new:
      shutil.rmtree(out, ignore_errors=True)
    raise UserError(f'--out={out} cannot be written: {e.strerror}') from e
  log.info('%s: adapters of %d modules, for peft on %s', out, len(modules), base)
  if base == there:
    log.warning('peft does not find %s by itself: export it too (r1jax convert export --checkpoint=%s) and give peft '
                'that directory as the base', there, os.path.dirname(os.path.dirname(there)))
  return model.config


def _base_name(there: str, stage_dir: str) -> tuple[str, str | None]:
  """(what peft may load as the base, its revision): where adapters stand on what was imported as it is, the hub's name
  or the directory; the step itself, which only its own export stands for, of a stage that trained all weights, and of
  an import from GGUF, or with positions turned otherwise than its source says."""
  imported = json_files.read(os.path.join(there, 'meta.json'), {})
  source = imported.get('source')
  if not source or '.gguf' in source or imported.get('rope_theta') or imported.get('rope_scaling'):
    return there, None
  origin = common.origin(stage_dir)
  if origin.get('hub'):
    return origin['hub'], origin.get('commit')
  if fingerprint.changed(source, there):
    log.warning('%s holds other weights than those that the adapters stand on', source)
    return there, None
  place = os.path.abspath(os.path.expanduser(source))
  whole = [glob.glob(os.path.join(glob.escape(place), name)) for name in ('config.json', '*.safetensors')]
  return (place if all(whole) else there), None
