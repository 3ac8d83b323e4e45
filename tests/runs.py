"""What tests of whole runs share: experiments by name, and what a run has left, without what depends on the clock."""

import importlib.util
import json
import logging
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def module(name: str):
  """experiments/NAME.py, as --config loads it."""
  spec = importlib.util.spec_from_file_location(name, ROOT / 'experiments' / f'{name}.py')
  found = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(found)
  return found


def experiment(name: str, *arg: str, **overrides):
  """The config of NAME.py[:ARG]; overrides: 'rl.steps' and so on."""
  config = module(name).get_config(*arg)
  config.update_from_flattened_dict(overrides)
  return config


def leaves(node, prefix: str = ''):
  """(key, value) of each value of a config's part, 'optimizer.b1' and so on."""
  for key, value in node.items():
    if hasattr(value, 'items') and len(value):
      yield from leaves(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def rows(path: pathlib.Path) -> list[dict]:
  """Rows of a metrics.jsonl, times aside; none where it does not stand yet."""
  timed = lambda name: name.startswith('time/') or name.endswith(('seconds', 'tokens_per_second'))
  found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
  return [{k: v for k, v in row.items() if not timed(k)} for row in found]


def newest(stage: pathlib.Path) -> pathlib.Path:
  """The directory of a stage's newest checkpoint."""
  return max((stage / 'checkpoints').glob('[0-9]*'), key=lambda path: int(path.name))


def weights(step_dir: pathlib.Path) -> dict[str, np.ndarray]:
  """Every array of a checkpoint, by name, on whatever devices it was written."""
  import jax
  import orbax.checkpoint as ocp
  logging.getLogger('absl').setLevel(logging.ERROR)  # an item alone has no metadata of its own
  out, as_numpy = {}, lambda _: ocp.RestoreArgs(restore_type=np.ndarray)
  for item in ('params', 'rest'):
    with ocp.PyTreeCheckpointer() as checkpointer:
      tree = checkpointer.restore(step_dir / item, restore_args=jax.tree.map(
          as_numpy, checkpointer.metadata(step_dir / item).item_metadata.tree))
    out |= {item + jax.tree_util.keystr(path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
  return out
