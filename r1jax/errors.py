"""What goes wrong -> one line with the way out, and an exit code: in one place for every command."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys

from r1jax import disk
from r1jax import stopping
from r1jax import terminal
from r1jax.exceptions import RunStopped, UserError

log = logging.getLogger('r1jax')

_MEMORY = ('it takes fewer of: micro_tokens and logit_elements in an update, slots (and batch x samples) in sampling, '
           'max_tokens in both; or more devices on the mesh')
_WAYS = {  # what files say, and the way out
    PermissionError: 'give this user the right to it, or name another place',
    FileNotFoundError: 'put it there or name another, then the same command goes on',
    IsADirectoryError: 'a file is wanted: name one, or move this away',
    NotADirectoryError: 'a directory is wanted: name one, or move this away'}


class Parser(argparse.ArgumentParser):
  """A wrong flag is a UserError, one line, and not argparse's usage; a description stays as it was written."""

  def __init__(self, **kwargs):
    super().__init__(**{'formatter_class': argparse.RawDescriptionHelpFormatter, 'allow_abbrev': False, **kwargs})

  def error(self, message):
    raise UserError(f'{message} (--help lists them)')


def line_of(e: BaseException, place: str = '') -> str | None:
  """One line for what a person can mend; None for what is a fault of the program."""
  if isinstance(e, UserError):
    return str(e)
  text = ' '.join(str(e).split())
  if isinstance(e, MemoryError) or (type(e).__name__ in ('XlaRuntimeError', 'JaxRuntimeError')
                                    and 'RESOURCE_EXHAUSTED' in text):
    wanted = re.search(r'(?:allocate|allocating|of size|Allocation of)\s+([\d.]+ ?[KMGT]?i?B|\d+)', text)
    size = f' ({_size(wanted[1])} at once)' if wanted else ''
    return f'out of memory on a device or this host{size}: {_MEMORY}'
  number, name = disk.number_in(e), getattr(e, 'filename', None)
  if said := disk.line(number, name, place):
    return said
  way = next((way for kind, way in _WAYS.items() if isinstance(e, kind)), '')
  if not way:
    return None
  return f'{os.strerror(number)}: {name}: {way}' if name and number else f'{text[:200]}: {way}'


def _size(text: str) -> str:
  return f'{int(text) / 2**30:.1f} GiB' if text.isdigit() else text


def stop_on_signals() -> None:
  """SIGTERM and Ctrl-C ask the run to stop, with its state saved; a second Ctrl-C ends it at once. A handler that
  somebody has put up before, or a parent's wish that Ctrl-C is ignored, stays."""
  for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) == default:
      signal.signal(number, _asked_to_stop)


def _asked_to_stop(number: int, _) -> None:
  if not stopping.requested.is_set():
    stopping.requested.by = number
  stopping.requested.set()
  if signal.getsignal(signal.SIGINT) == _asked_to_stop:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    erase = '\r\x1b[K' if os.isatty(2) else ''
    with contextlib.suppress(OSError):  # not print(): this may have come in the middle of one
      behind = terminal.under_way() or 'this chunk'
      os.write(2, f'{erase}r1jax: stopping after {behind}, with its state saved; '
                  'Ctrl-C again kills it at once\n'.encode())


def run(command, *args, place: str = '') -> int:
  """The exit code of command(*args), which returns one itself; what went wrong is said on stderr. place: what it writes
  to.

  2: a person's mistake; 4: the run stopped itself; 143: asked to stop by SIGTERM, with its state saved, 130: by Ctrl-C.
  What is none of these is raised, with its traceback.
  """
  try:
    try:
      return command(*args)
    finally:
      terminal.settle()
  except RunStopped as e:
    print(f'r1jax: the run stopped itself: {e}', file=sys.stderr)
    return 4
  except stopping.Stopped as e:
    print(f'r1jax: {e}; the same command goes on', file=sys.stderr)
    return stopping.code()
  except KeyboardInterrupt:
    print('r1jax: stopped by Ctrl-C; the same command goes on from what is on disk', file=sys.stderr)
    return 130
  except Exception as e:  # pylint: disable=broad-except  it is raised again, if it is none of ours
    said = _line_of_chain(e, place)
    if said is None:
      raise
    print(f'r1jax: {said}', file=sys.stderr)
    return 2


def _line_of_chain(e: BaseException, place: str) -> str | None:
  """line_of an exception, else of what it was raised from: a full disk reaches us as some library's complaint. What it
  was raised beside counts only where that is a want of room, memory or a disk: it would hide a fault of ours.
  """
  line, meant = line_of(e, place), True
  while line is None:
    meant, e = bool(e.__cause__), e.__cause__ or (None if e.__suppress_context__ else e.__context__)
    if e is None:
      return None
    line = line_of(e, place)
    if line and not meant and not line.startswith(('out of memory', *map(os.strerror, disk.FULL + disk.AWAY))):
      line = None
  return line
