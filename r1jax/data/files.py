"""Rows of a user's file: JSON lines, one JSON array, parquet; .gz and .zst of the first two; a folder of such files."""

import gzip
import io
import json
import os
import re

from r1jax.data import long_numbers
from r1jax.exceptions import UserError

ENDINGS = ('.jsonl', '.json', '.ndjson', '.jsonl.gz', '.json.gz', '.jsonl.zst', '.json.zst', '.parquet')


def read(path: str) -> list[tuple[int, str, object]]:
  """(number, file and line or row, value) of each; blank lines left out. A folder's files in the order of their names;
  hf:OWNER/NAME[/CONFIG][@SPLIT]: of the hub; hf:OWNER/NAME/FOLDER/FILE.parquet[@REVISION]: one file of it.

  Raises:
    UserError: missing, empty or of another kind, or a line that is no JSON.
  """
  if path.startswith('hf:'):
    return _hub(path)
  if not os.path.exists(path):
    raise UserError(f'no file {path}: give one that is there')
  if os.path.isdir(path):
    names = sorted(name for name in os.listdir(path) if name.endswith(ENDINGS))
    if not names:
      raise UserError(f'{path} is a folder without a file that ends in {", ".join(ENDINGS)}')
    found = [row for name in names for row in read(os.path.join(path, name))]
    return [(number, where, row) for number, (_, where, row) in enumerate(found, 1)]
  rows = _parquet(path) if path.endswith('.parquet') else _json(path)
  if not rows:
    raise UserError(f'{path} is empty')
  return rows


def _json(path: str) -> list[tuple[int, str, object]]:
  data = _bytes(path)
  if data[:64].lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'[':
    try:
      found = loads(data)
    except (ValueError, RecursionError) as e:
      raise UserError(f'{path}: neither a JSON array nor one object a line ({e})') from e
    return [(number, f'{path}: row {number}', row) for number, row in enumerate(found, 1)]
  rows = []
  for number, line in enumerate(data.split(b'\n'), 1):  # json finds the encoding of each line
    if not line.strip():
      continue
    try:
      rows.append((number, f'{path}:{number}', loads(line)))
    except (ValueError, RecursionError) as e:
      way = (': a table is wanted as parquet, as pandas.read_csv(FILE).to_parquet(OTHER) writes it'
             if path.endswith(('.csv', '.tsv')) else '')
      raise UserError(f'{path}:{number}: not JSON ({e}){way}') from e
  return rows


def loads(text: bytes):
  """json.loads, whole numbers of more than 4,300 digits included: what a user's own file may hold."""
  try:
    return json.loads(text)
  except json.JSONDecodeError:
    raise
  except ValueError:
    with long_numbers.allowed():
      return json.loads(text)


def _bytes(path: str) -> bytes:
  with open(path, 'rb') as f:
    data = f.read()
  try:
    if data[:2] == b'\x1f\x8b':
      return gzip.decompress(data)
    if data[:4] == b'\x28\xb5\x2f\xfd':
      try:
        import zstandard
      except ImportError as e:
        raise UserError(f"{path}: reading .zst needs the package zstandard: pip install 'r1jax[data]'") from e
      reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
      return reader.read()
  except Exception as e:  # pylint: disable=broad-except  zlib's and zstandard's errors are their own
    if isinstance(e, UserError):
      raise
    raise UserError(f'{path} is compressed, and cannot be read ({e})') from e
  return data


def _parquet(path: str) -> list[tuple[int, str, object]]:
  try:
    import pyarrow.parquet
  except ImportError as e:
    raise UserError("reading parquet needs the package pyarrow: pip install 'r1jax[data]'") from e
  try:
    rows = pyarrow.parquet.read_table(path).to_pylist()
  except (OSError, ValueError) as e:
    raise UserError(f'{path} is no parquet file ({str(e).splitlines()[0]})') from e
  return [(number, f'{path}: row {number}', row) for number, row in enumerate(rows, 1)]


_HUB_FILE = re.compile(rf'([^/@]+/[^/@]+)/([^@]+(?:{"|".join(map(re.escape, ENDINGS))}))(?:@(.+))?')


def _hub_file(source: str, name: str, file: str, revision: str | None) -> str:
  """Where a file of a data set of the hub lies: in its cache, or downloaded there."""
  try:
    import huggingface_hub
  except ImportError as e:
    raise UserError(f"{source}: files of the hub need the package huggingface_hub: pip install 'r1jax[hub]'") from e
  asked = dict(repo_id=name, filename=file, repo_type='dataset', revision=revision)
  try:
    return huggingface_hub.hf_hub_download(**asked, local_files_only=True)
  except Exception:  # pylint: disable=broad-except  not in the cache: of many kinds, by version
    pass
  try:
    return huggingface_hub.hf_hub_download(**asked)
  except Exception as e:  # pylint: disable=broad-except
    said = next(iter(str(e).splitlines()), '')
    raise UserError(f"{source} cannot be read ({type(e).__name__}: {said}): without a network it must lie in the hub's "
                    'cache') from e


def _hub(source: str) -> list[tuple[int, str, object]]:
  if found := _HUB_FILE.fullmatch(source.removeprefix('hf:')):
    rows = read(_hub_file(source, *found.groups()))
    return [(number, f'{source}: row {number}', row) for number, (_, _, row) in enumerate(rows, 1)]
  try:
    import datasets
  except ImportError as e:
    raise UserError(f"{source}: data sets of the hub need the package datasets: pip install 'r1jax[hub]'") from e
  name, _, split = source.removeprefix('hf:').partition('@')
  config = None
  if not os.path.isdir(name) and name.count('/') == 2:
    name, _, config = name.rpartition('/')
  try:
    data = datasets.load_dataset(name, config, split=split or 'train')
  except Exception as e:  # pylint: disable=broad-except  it raises many kinds; the way out is the same
    said = next(iter(str(e).splitlines()), '')
    raise UserError(f'{source} cannot be read ({type(e).__name__}: {said}): without a network it must lie in the cache '
                    'of datasets') from e
  return [(number, f'{source}: row {number}', row) for number, row in enumerate(data, 1)]
