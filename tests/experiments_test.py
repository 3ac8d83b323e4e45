"""experiments/: every variant is data that its stages accept."""

import importlib.util
import json
import pathlib

import pytest

from r1jax import pipeline

ROOT = pathlib.Path(__file__).resolve().parent.parent


def load(name):
  spec = importlib.util.spec_from_file_location(name, ROOT / 'experiments' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize('name, arg', [('r1_zero', 'tiny'), ('r1_zero', 'smollm2')])
def test_a_variant_is_json_and_its_stages_accept_it(name, arg, tmp_path):
  config = load(name).get_config(arg)
  assert json.loads(json.dumps(config.to_dict()))['name'] == f'{name}_{arg}'
  config.mesh.data, config.mesh.tensor = 1, -1  # the tests' eight devices would not divide every batch
  pipeline._check(config)


def test_an_unknown_variant_is_named():
  with pytest.raises(ValueError, match="has no 'huge': one of tiny, smollm2"):
    load('r1_zero').get_config('huge')
