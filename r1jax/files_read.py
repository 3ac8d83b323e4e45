"""The files of a person's that a stage reads, noted by their content: own functions, rows, documents.

A stage is bound to what they held when it began, as to the values of its part of the config: docs/workdir.md.
"""

import ast
import functools
import hashlib
import os
import sys
from typing import Iterator

from r1jax import benchmarks
from r1jax import own
from r1jax.data import files

NOTE = 'files.json'  # in a stage's directory: {text of the config: {file: {sha256, size, mtime_ns}}}
_KEYS = ('path', 'source', 'examples')  # keys of a config whose value may be a path and nothing else


def noted(parts: list[dict], before: dict | None = None, *, verify: bool = False) -> dict:
  """NOTE of what parts of a config name; a file that is not there is left out.

  Args:
    before: an earlier NOTE, whose digests hold where a file has the same size and time.
    verify: read all the same.
  """
  before = before or {}
  return {text: {name: _entry(path, {} if verify else before.get(text, {}).get(name, {}))
                 for name, path in _files(text, path)}
          for part in parts for text, path in _named(part)}


def moved(before: dict, now: dict) -> dict[str, str]:
  """{what a config names now: what it named before}, of files that lie elsewhere, under their old names, and hold what
  they held."""
  found = {}
  for text in now.keys() - before.keys():
    same = [old for old in before.keys() - now.keys() - set(found.values())
            if now[text] and _short(old) == _short(text) and _digests(before[old]) == _digests(now[text])]
    if same:
      found[text] = min(same)
  return found


def changes(before: dict, now: dict) -> list[str]:
  """A clause for each file that holds something else than it did; of one that is gone nothing is known."""
  found = {}
  for text in sorted(now.keys() & before.keys()):
    was, is_ = _digests(before[text]), _digests(now[text])
    for name in sorted(was.keys() | is_.keys()) if was and is_ else ():
      if was.get(name) != is_.get(name):
        found[_clause(name, was.get(name), is_.get(name))] = None  # once, of a file with several functions
  return list(found)


def _clause(name: str, was: str | None, is_: str | None) -> str:
  if was and is_:
    return f'{name} has changed since: its sha256 was {was[:12]}, now {is_[:12]}'
  return f'{name} is read as well now' if is_ else f'{name} is read no more'


def as_before(value, renamed: dict[str, str]):
  """A config's value with the names that files had (`moved`)."""
  if isinstance(value, dict):
    return {renamed.get(key, key): as_before(of, renamed) for key, of in value.items()}
  if isinstance(value, (list, tuple)):
    return [as_before(of, renamed) for of in value]
  return renamed.get(value, value) if isinstance(value, str) else value


def _named(value, key: str = '') -> Iterator[tuple[str, str]]:
  """(text, path) of each file or folder that is named below a value of a config."""
  if isinstance(value, dict):
    for inner, of in value.items():
      if own.names(inner) and of:  # a reward that counts
        yield inner, inner.partition(':')[0]
      else:
        yield from _named(of, inner)
  elif isinstance(value, (list, tuple)):
    for of in value:
      yield from _named(of, 'source')  # tasks may be sources alone
  elif isinstance(value, str) and (path := _path(value, key)):
    yield value, path


def _path(text: str, key: str) -> str:
  kind, _, path = text.partition(':')
  if own.names(text):
    return kind
  if kind in ('jsonl', 'parquet') or (benchmarks.known(text) and path != benchmarks.STANDIN):
    return path
  return text if key in _KEYS and text.endswith(files.ENDINGS) else ''


def _short(text: str) -> str:
  """The text, folders left out."""
  kind, colon, name = text.partition(':')
  if own.names(text):
    return f'{os.path.basename(kind)}:{name}'
  return f'{kind}{colon}{os.path.basename(name)}' if colon else os.path.basename(text)


def _files(text: str, path: str) -> list[tuple[str, str]]:
  """[(its name, seen from the folder of `path`, where it is)], of `path` and of what belongs to it."""
  if os.path.isdir(path):
    found = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(files.ENDINGS)]
  elif os.path.isfile(path):
    found = sorted(_with_imports(os.path.abspath(path))) if own.names(text) else [path]
  else:
    found = []
  return [(os.path.relpath(file, os.path.dirname(os.path.abspath(path))), file) for file in found]


def _with_imports(path: str, found: set[str] | None = None) -> set[str]:
  """A file of Python and the modules that lie beside it and that it, or one of them, imports."""
  found = set() if found is None else found
  found.add(path)
  try:
    with open(path, 'rb') as f:
      tree = ast.parse(f.read())
  except (SyntaxError, ValueError):  # who runs it says so
    return found
  wanted = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
  wanted |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
  for name in {name.partition('.')[0] for name in wanted} - set(sys.stdlib_module_names):
    beside = os.path.join(os.path.dirname(path), name)
    inside = [os.path.join(beside, each) for each in (os.listdir(beside) if os.path.isdir(beside) else ())]
    for file in (f'{beside}.py', *inside):
      if file.endswith('.py') and file not in found and os.path.isfile(file):
        _with_imports(file, found)
  return found


def _entry(path: str, before: dict) -> dict:
  stat = os.stat(path)
  looks = {'size': stat.st_size, 'mtime_ns': stat.st_mtime_ns}
  known = before.get('sha256') if {key: before.get(key) for key in looks} == looks else None
  return {'sha256': known or _sha256(path, stat.st_size, stat.st_mtime_ns), **looks}


@functools.lru_cache(maxsize=256)
def _sha256(path: str, *looks: int) -> str:
  del looks  # of the file that is known by them
  with open(path, 'rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()


def _digests(entry: dict) -> dict[str, str]:
  return {name: each['sha256'] for name, each in entry.items()}
