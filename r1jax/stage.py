"""What every stage does before its loop: mesh, tokenizer, model, weights, where a run stands."""

import dataclasses
import json
import os

from flax import linen as nn
import jax

from r1jax import checkpoint
from r1jax import mesh as mesh_lib
from r1jax import update
from r1jax.models import zoo
from r1jax.tokenizer import Tokenizer
from r1jax.types import UserError


def load_model(path: str, **overrides):
  """(model, tokenizer, step_dir) of a checkpoint: a stage's work dir, one step's dir, or what convert wrote.

  `overrides` replace how the model is computed (dtype, remat), never its sizes.
  """
  stage_dir, step_dir = checkpoint.find(path)
  config_path = os.path.join(stage_dir, 'model.json')
  if not os.path.exists(config_path):
    raise UserError(f'no model.json in {stage_dir}')
  with open(config_path, encoding='utf-8') as f:
    sizes = json.load(f)
  model = zoo.build(zoo.from_dict({**sizes, **overrides}))
  return model, Tokenizer(stage_dir), step_dir


def save_model(directory: str, model, tokenizer) -> None:
  """Writes what load_model reads, weights aside."""
  os.makedirs(directory, exist_ok=True)
  checkpoint.write_json(os.path.join(directory, 'model.json'), dataclasses.asdict(model.config))
  tokenizer.save(directory)


def load_params(model, step_dir: str, mesh):
  """A checkpoint's weights, dealt out over the mesh."""
  boxed = update.abstract_params(model)
  return checkpoint.load_params(step_dir, mesh_lib.unbox(boxed), mesh_lib.param_shardings(boxed, mesh))


def use_mesh(mesh):
  """Context in which models' activations are laid out by mesh.RULES."""
  return _Contexts(jax.set_mesh(mesh), nn.logical_axis_rules(mesh_lib.RULES))


class _Contexts:

  def __init__(self, *contexts):
    self._contexts = contexts

  def __enter__(self):
    for context in self._contexts:
      context.__enter__()

  def __exit__(self, *error):
    for context in reversed(self._contexts):
      context.__exit__(*error)
