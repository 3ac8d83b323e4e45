"""A snapshot of a model in a hub's cache: which one, and what it has not got. No network."""

import glob
import json
import os
import re

from r1jax.exceptions import UserError

_INDEX = 'model.safetensors.index.json'


def of_cache(cache: str) -> str:
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


def lacks(snapshot: str) -> str:
  """What a snapshot has not got of what it speaks of; '' where it is whole, or has only what is refused anyway."""
  at = lambda name: os.path.join(snapshot, name)
  for name in ('config.json', 'tokenizer.json'):
    if not os.path.exists(at(name)):
      return f'{name} is not there'
  found = {os.path.basename(path) for path in glob.glob(os.path.join(glob.escape(snapshot), '*.safetensors'))}
  if gone := sorted(name for name in found if not os.path.exists(at(name))):
    return f'{gone[0]} is a link to nothing'
  if os.path.exists(at(_INDEX)):
    try:
      with open(at(_INDEX), encoding='utf-8') as f:
        named_there = set(json.load(f)['weight_map'].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
      return ''  # who opens it says what is wrong with it
    if gone := sorted(named_there - found):
      return f'{_INDEX} names {gone[0]}, which is not there'
    return ''
  numbered = [match for name in found if (match := re.fullmatch(r'model-\d+-of-(\d+)\.safetensors', name))]
  if numbered and 'model.safetensors' not in found and len(numbered) != int(numbered[0][1]):
    return f'{len(numbered)} of {numbered[0][1]} files of weights are there'
  others = glob.glob(os.path.join(glob.escape(snapshot), '*.bin'))
  return '' if found or others else 'no *.safetensors is there'


def needs_no(snapshot: str, name: str) -> bool:
  """Whether a small file is there, or another one that says the same: a chat template in tokenizer_config.json."""
  if os.path.exists(os.path.join(snapshot, name)):
    return True
  if name != 'chat_template.jinja':
    return False
  try:
    with open(os.path.join(snapshot, 'tokenizer_config.json'), encoding='utf-8') as f:
      return bool(json.load(f).get('chat_template'))
  except (OSError, ValueError, AttributeError):
    return False


def note_none(snapshot: str, name: str) -> None:
  """That a commit has no such file, as huggingface_hub notes it, whose try_to_load_from_cache then says so."""
  place = os.path.join(os.path.dirname(os.path.dirname(snapshot)), '.no_exist', os.path.basename(snapshot))
  os.makedirs(place, exist_ok=True)
  with open(os.path.join(place, name), 'w', encoding='utf-8'):
    pass
