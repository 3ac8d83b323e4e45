"""Paths as a person means them."""

import os

from r1jax.exceptions import UserError


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
