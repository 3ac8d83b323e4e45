"""Data sets of the hub from files of one's own: what a harness's task names by its hub id is read from a folder.

DIR is a copy of the data set's repository, as `hf download --repo-type=dataset` leaves it, or has a file a split:
DIR/test.jsonl, or DIR/CONFIG/test.jsonl where the task names a config; .json, .csv and .parquet too, also several of a
split (test-00000-of-00002.parquet).
"""

import contextlib
import logging
import os
import re
from typing import Iterator

from r1jax import paths
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_KINDS = {'.jsonl': 'json', '.json': 'json', '.csv': 'csv', '.parquet': 'parquet'}
_FILE = re.compile(r'(?P<split>[A-Za-z_]+)(-\d+-of-\d+)?(?P<ending>\.jsonl|\.json|\.csv|\.parquet)')


def pairs(text: str, name: str = 'data') -> dict[str, str]:
  """'HUB_ID=DIR,HUB_ID=DIR' as a map.

  Raises:
    UserError: of another form, or nothing there.
  """
  found = {}
  for part in filter(None, text.split(',')):
    hub, _, place = part.partition('=')
    if not hub or not place:
      raise UserError(f'{name}={text!r}: wants HUB_ID=DIR[,HUB_ID=DIR]')
    found[hub] = paths.local(place, name)
    if not os.path.exists(found[hub]):
      raise UserError(f'{name}={text!r}: nothing at {found[hub]}')
  return found


def flag(args: list[str]) -> tuple[dict[str, str], list[str]]:
  """(the map that --data gives, the other arguments)."""
  rest, texts = [], []
  words = iter(args)
  for word in words:
    if word == '--data' or word.startswith('--data='):
      texts.append(word.partition('=')[2] if '=' in word else next(words, ''))
    else:
      rest.append(word)
  return pairs(','.join(texts), '--data'), rest


@contextlib.contextmanager
def instead(places: dict[str, str]) -> Iterator[None]:
  """Within it `datasets.load_dataset` reads the data sets of `places` from there; all others as ever.

  Raises:
    UserError: the package datasets is not installed.
  """
  if not places:
    yield
    return
  try:
    import datasets
  except ImportError as e:
    raise UserError("--data needs the package datasets: pip install 'r1jax[eval]' or 'r1jax[lm-eval]'") from e
  load = datasets.load_dataset

  def ours(path, name=None, data_dir=None, split=None, **kwargs):
    if path not in places:
      return load(path, name, data_dir=data_dir, split=split, **kwargs)
    kwargs.pop('revision', None)  # of the hub
    kwargs.pop('trust_remote_code', None)
    kind, files = _files(places[path], name or data_dir, split)
    if not files:
      log.info('%s is read from %s as a repository', path, places[path])
      return load(places[path], name, data_dir=data_dir, split=split, **kwargs)
    log.info('%s%s is read from %s', path, f' ({name or data_dir})' if name or data_dir else '',
             ', '.join(sorted(name for names in files.values() for name in names)))
    return load(kind, data_files=files, split=split)

  datasets.load_dataset = ours
  try:
    yield
  finally:
    datasets.load_dataset = load


def _files(place: str, config: str | None, split: str | None) -> tuple[str, dict[str, list[str]]]:
  """(how they are read, split -> files); none where there is no file named by a split.

  Raises:
    UserError: files of several kinds, or the wanted split is not among them.
  """
  below = os.path.join(place, config) if config else place
  place = below if os.path.isdir(below) else place
  found, kinds = {}, set()
  for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
    if match := _FILE.fullmatch(name):
      found.setdefault(match['split'], []).append(os.path.join(place, name))
      kinds.add(_KINDS[match['ending']])
  if len(kinds) > 1:
    raise UserError(f'{place} has files of several kinds, {", ".join(sorted(kinds))}: leave one')
  wanted = (split or '').partition('[')[0]
  if found and wanted and wanted != 'all' and not set(wanted.split('+')) <= found.keys():
    raise UserError(f'{place} has no split {wanted!r}: it has {", ".join(sorted(found))}')
  return next(iter(kinds), ''), found
