"""Models of the hub by name: hf:OWNER/NAME[@REVISION], hf:OWNER/NAME/FILE.gguf[@REVISION] -> its cache, by
huggingface_hub.

What the cache holds whole is taken from there, so that a machine without a network, and one that starts again, works on
the same commit; what it lacks is downloaded into it, and a download that broke off is gone on with. Tokens are those of
`hf auth login` or HF_TOKEN.
"""

import concurrent.futures
import contextlib
import fnmatch
import glob
import logging
import os
import re
import shutil
import sys
from typing import NamedTuple

from r1jax import paths
from r1jax import stopping
from r1jax import terminal
from r1jax.convert import snapshot
from r1jax.convert import tokenizer_files
from r1jax.convert.files import only_adapter, parts, read_json
from r1jax.convert.hf_config import sizes_of
from r1jax.engine import hosts
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

_SMALL = ['*.json', '*.jinja', 'tokenizer.model']
_FILES = [*_SMALL, '*.safetensors']  # what a model of the hub is read from
_BESIDE = ('tokenizer_config.json', 'generation_config.json', 'chat_template.jinja')
_SAID = set()  # (name, commit) that this process has asked the hub about
_NOT = ['consolidated*', '*/*', 'adapter_*']  # folders hold other things: checkpoints of a trainer, onnx/, original/
_NAME = re.compile(r'([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/([\w./-]+\.gguf))?(?:@([\w./-]+))?')
_SECONDS = 20  # in which the hub is to answer
_COMMIT = re.compile(r'models--([^/]+)--([^/]+)/snapshots/([0-9a-f]{7,64})')


class Named(NamedTuple):
  """A model of the hub."""
  name: str  # OWNER/NAME
  file: str = ''  # of it, a GGUF file; '': the directory
  revision: str = ''  # branch, tag or commit; '': main

  @property
  def text(self) -> str:
    """As it is written in a config."""
    at = f'@{self.revision}' if self.revision else ''
    return paths.HUB + self.name + (f'/{self.file}' if self.file else '') + at


def named(source: str) -> Named | None:
  """What a source says of the hub; None where it is a path.

  Raises:
    UserError: hf: before what is no name.
  """
  if source.startswith('hf://'):  # an address, which find.local refuses
    return None
  found = _NAME.fullmatch(source.removeprefix(paths.HUB))
  if source.startswith(paths.HUB) and not found:
    raise UserError(f'--source={source}: wants hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/FILE.gguf')
  if not found or (not source.startswith(paths.HUB) and os.path.exists(source)):
    return None
  return Named(found[1], found[2] or '', found[3] or '')


def origin(source: str, path: str) -> tuple[str, str]:
  """(OWNER/NAME, commit) of a source that lies in a hub's cache at `path`, or came from there; '' where unknown."""
  # As it is named first: a file's link in a snapshot leads to a blob, which knows no commit.
  found = _COMMIT.search(os.path.abspath(path)) or _COMMIT.search(os.path.realpath(path))
  if found:
    return f'{found[1]}/{found[2]}', found[3]
  asked = named(source)
  return (asked.name, '') if asked else ('', '')


def pinned(source: str, known: dict) -> str:
  """A source at the commit that an import of it, which broke off, has noted in its work dir.

  known: common.origin of that.
  """
  asked = named(source)
  if not asked or known.get('source') != source or not known.get('commit') or known.get('hub') != asked.name:
    return source
  log.info('%s: commit %s, as this work dir began with', source, known['commit'], extra=terminal.ONCE)
  return asked._replace(revision=known['commit']).text


def is_whole(asked: Named) -> bool:
  """Whether the cache has all that it speaks of, so that nothing is downloaded."""
  there = _cached(_package(asked)[0], asked)
  return bool(there) and (bool(asked.file) or not snapshot.lacks(there))


def fetched(asked: Named, stop: tuple[str, ...] = ()) -> str:
  """The snapshot, or the GGUF file, in the hub's cache; stop: as of open_source.

  Raises:
    UserError: no huggingface_hub, no such model, revision or file, a gated one, no way to the hub.
  """
  huggingface_hub, errors = _package(asked)
  there = _cached(huggingface_hub, asked)
  lacks = '' if asked.file or not there else snapshot.lacks(there)
  if there and not lacks:
    if not asked.file:
      _unless_stopped(lambda: _fetch_beside(huggingface_hub, asked, there), asked)
    log.info("%s: commit %s, of the hub's cache", asked.text, origin('', there)[1] or 'unknown', extra=terminal.ONCE)
    return there
  try:
    with _quiet(huggingface_hub):
      _look(huggingface_hub, asked, lacks)
      if not asked.file:  # what needs no weights, before gigabytes of them come
        small = _unless_stopped(lambda: _downloaded(huggingface_hub, asked, _SMALL), asked)
        _look_at_small(small, stop)
      found = _unless_stopped(lambda: _downloaded(huggingface_hub, asked), asked)
    if not asked.file:
      _fetch_beside(huggingface_hub, asked, found)
  except UserError:
    raise
  except Exception as e:  # pylint: disable=broad-except  many kinds, by version
    raise UserError(_line(asked, e, errors, lacks)) from e
  log.info('%s: commit %s, downloaded to %s', asked.text, origin('', found)[1] or 'unknown', found)
  return found


def _fetch_beside(hub, asked: Named, there: str) -> None:
  """What may stand beside a model and says how it is asked and where its answers end, where a cache neither holds it
  nor knows that there is none: a program that wanted weights alone has left it so. Where the hub cannot be asked, or
  does not answer, that is said once, and there is none."""
  commit = origin('', there)[1]
  missing = [name for name in _BESIDE if not snapshot.needs_no(there, name) and not hub.try_to_load_from_cache(
      asked.name, name, revision=commit)] if commit else []
  if not missing or (asked.name, commit) in _SAID:
    return
  _SAID.add((asked.name, commit))
  try:
    with _quiet(hub):
      info = hub.HfApi().model_info(asked.name, revision=commit, timeout=_SECONDS)
      held = {file.rfilename for file in info.siblings or ()}
      for name in missing:
        if name in held:
          hub.hf_hub_download(asked.name, name, revision=commit)
          log.info('%s: %s was not in the hub cache: downloaded', asked.text, name)
        else:
          snapshot.note_none(there, name)
  except Exception as e:  # pylint: disable=broad-except  many kinds, by version
    log.warning('%s: the hub cache is without %s, and the hub says nothing of it (%s): taken for none', asked.text,
                ', '.join(name for name in missing if not os.path.exists(os.path.join(there, name))), type(e).__name__)


def _look_at_small(directory: str, stop: tuple[str, ...]) -> None:
  """Raises UserError for a config.json or tokenizer that cannot be read; what is to be said of them is said when the
  whole is opened."""
  facts, level = read_json(directory, 'config.json'), log.level
  log.setLevel(logging.ERROR)
  try:
    tokenizer_files.of_directory(directory, facts, sizes_of(directory, facts)['vocab_size'], stop)
  finally:
    log.setLevel(level)


def _unless_stopped(download, asked: Named):
  """download(), which goes on for hours; it ends with this process where the run is asked to stop: those threads of
  huggingface_hub that load the files would be waited for otherwise."""
  pool = concurrent.futures.ThreadPoolExecutor(1)
  found = pool.submit(download)
  try:
    while not concurrent.futures.wait([found], timeout=0.5).done:
      if hosts.stop_heard():
        hosts.end_now(f'stopped while {asked.text} was downloaded; the same command goes on with what is there',
                      stopping.code())
    return found.result()
  finally:
    pool.shutdown(wait=False)  # nor does who interrupts a notebook wait for it


@contextlib.contextmanager
def _quiet(hub):
  """That it tries again is not said line by line, what came of it is; bars are for who looks at a terminal."""
  said = logging.getLogger('huggingface_hub')
  level, bars = said.level, not sys.stderr.isatty() and not hub.utils.are_progress_bars_disabled()
  said.setLevel(logging.ERROR)
  if bars:
    hub.utils.disable_progress_bars()
  try:
    yield
  finally:
    said.setLevel(level)
    if bars:
      hub.utils.enable_progress_bars()


def _info(hub, asked: Named):
  """(what the hub says of a model, names of its weights), before anything is downloaded: without a way to it, a
  download would give what lies in the cache, however little that is.

  Raises:
    UserError: no such file, or files of another kind. Whatever the hub says.
  """
  info = hub.HfApi().model_info(asked.name, revision=asked.revision or None, timeout=_SECONDS, files_metadata=True)
  files = [file.rfilename for file in info.siblings or ()]
  page = f'{_endpoint()}/{asked.name}/tree/{asked.revision or "main"}'
  ggufs = [file for file in files if file.endswith('.gguf')]
  wanted = parts(asked.file) if asked.file else []
  if gone := [file for file in wanted if file not in files]:
    raise UserError(f'{asked.text}: {asked.name} has no file {gone[0]}: ' + (
        f'it has {", ".join(ggufs[:8])}' if ggufs else f'{page} lists them'))
  weights = [file for file in files if fnmatch.fnmatch(file, '*.safetensors') and not any(
      fnmatch.fnmatch(file, left_out) for left_out in _NOT)]
  if not asked.file and 'adapter_config.json' in files and ('config.json' not in files or not (
      weights or fnmatch.filter(files, 'pytorch_model*'))):
    raise only_adapter(asked.text)
  if not asked.file and ggufs and not weights:
    raise UserError(f'{asked.text} holds {len(ggufs)} GGUF files: name one of them, '
                    f'{Named(asked.name, ggufs[0], asked.revision).text}')
  if not asked.file and not weights:
    others = sorted({os.path.splitext(file)[1] for file in files} & {'.bin', '.pt', '.pth', '.ckpt'})
    raise UserError(f'{asked.text} has no *.safetensors' + (
        f', only *{others[0]}, which may run code when they are read: write safetensors with transformers, '
        f"AutoModelForCausalLM.from_pretrained('{asked.name}').save_pretrained(OUT)" if others else f': see {page}'))
  if not asked.file and 'config.json' not in files:
    raise UserError(f'{asked.text} has no config.json: see {page}')
  return info, wanted or weights


def _look(hub, asked: Named, lacks: str) -> None:
  """Asks the hub what it has.

  Raises:
    UserError: as _info, or no room for it. Whatever the hub says.
  """
  info, weights = _info(hub, asked)
  _room(hub, asked, [file for file in info.siblings or () if file.rfilename in weights])
  log.info('%s: commit %s is not in the hub cache%s%s: downloading it', asked.text, info.sha,
           f' as a whole ({lacks})' if lacks else '',
           f' of this host, {hub.constants.HF_HUB_CACHE} (HF_HOME on a disk of all hosts: once for all)'
           if hosts.several() else '')


def _room(hub, asked: Named, files: list) -> None:
  """Raises UserError where the cache's disk cannot hold the weights, files of model_info, that are not in it yet."""
  cache = os.path.abspath(hub.constants.HF_HUB_CACHE)
  blobs = at = os.path.join(cache, f'models--{asked.name.replace("/", "--")}', 'blobs')
  while not os.path.isdir(at):
    at = os.path.dirname(at)
  held = lambda file: os.path.exists(os.path.join(blobs, file.lfs.sha256 if file.lfs else str(file.blob_id)))
  needed = sum(file.size or 0 for file in files if not held(file))
  needed -= sum(map(os.path.getsize, glob.glob(os.path.join(glob.escape(blobs), '*.incomplete'))))
  if needed > (free := shutil.disk_usage(at).free):
    raise UserError(f"{asked.text} needs {needed / 2**30:.1f} GiB in the hub's cache {cache}, "
                    f'{free / 2**30:.1f} GiB are free there: HF_HOME=DIR of a larger disk')


def _package(asked: Named):
  try:
    import huggingface_hub
    from huggingface_hub import errors
  except ImportError as e:
    raise UserError(f"{asked.text} needs huggingface_hub: pip install 'r1jax[hub]', or give a directory") from e
  return huggingface_hub, errors


def config_of(asked: Named) -> str:
  """A directory with the model's config.json alone, for who wants its sizes and no weights.

  Raises:
    UserError: as fetched.
  """
  huggingface_hub, errors = _package(asked)
  get = lambda **kw: os.path.dirname(huggingface_hub.hf_hub_download(
      asked.name, 'config.json', revision=asked.revision or None, **kw))
  try:
    return get(local_files_only=True)
  except Exception:  # pylint: disable=broad-except  not in the cache: many kinds, by version
    pass
  try:
    _info(huggingface_hub, asked)
    return get()
  except UserError:
    raise
  except Exception as e:  # pylint: disable=broad-except
    raise UserError(_line(asked, e, errors, '')) from e


def _cached(hub, asked: Named) -> str | None:
  """Where it lies in the cache, whole or not; no network."""
  try:
    if asked.file:
      return _files(hub, asked, local_files_only=True)
    return hub.snapshot_download(asked.name, revision=asked.revision or None, local_files_only=True,
                                 allow_patterns=_FILES, ignore_patterns=_NOT)
  except Exception:  # pylint: disable=broad-except  not in the cache: many kinds, by version
    return None


def _files(hub, asked: Named, **given) -> str:
  """A GGUF file in the cache, and beside it the other parts of one that was cut."""
  return {part: hub.hf_hub_download(asked.name, part, revision=asked.revision or None, **given)
          for part in parts(asked.file)}[asked.file]


def _downloaded(hub, asked: Named, files=tuple(_FILES)) -> str:
  if asked.file:
    return _files(hub, asked)
  return hub.snapshot_download(asked.name, revision=asked.revision or None, allow_patterns=list(files),
                               ignore_patterns=_NOT)


def _endpoint() -> str:
  return os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')


def _line(asked: Named, e: Exception, errors, lacks: str) -> str:
  """What went wrong, and the way out."""
  status = getattr(getattr(e, 'response', None), 'status_code', None)
  cause = e.__cause__
  while status is None and cause is not None:
    status, cause = getattr(getattr(cause, 'response', None), 'status_code', None), cause.__cause__
  page = f'{_endpoint()}/{asked.name}'
  if isinstance(e, errors.GatedRepoError) or status == 403:
    return (f'{asked.text} is gated, and this login may not read it: accept its terms on {page}, then `hf auth login` '
            'here (or HF_TOKEN=TOKEN)')
  if isinstance(e, errors.RevisionNotFoundError):
    return f'{asked.text}: {asked.name} has no revision {asked.revision or "main"!r}: {page}/commits lists them'
  if isinstance(e, errors.RepositoryNotFoundError) or status == 401:
    return (f'the hub has no model {asked.name}, or it is private: look at the spelling, {page}; for a private one '
            '`hf auth login`')
  reason = f'{type(e).__name__}: {" ".join(str(e).split())[:200]}'
  there = f'is not whole in the hub cache ({lacks})' if lacks else 'is neither a path here nor in the hub cache'
  return (f'{asked.text} {there} and cannot be downloaded ({reason}): start again where the hub can be reached, which '
          f'goes on with what is there, or bring it from there, `hf download {asked.name} --local-dir DIR`, and give '
          f'DIR in place of {asked.text}')
