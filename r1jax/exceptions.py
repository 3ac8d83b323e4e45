"""What a run is ended by, beside what is a fault of the program. No jax: judges and the report do without it."""

import contextlib


class UserError(Exception):
  """Something the user can mend: a command prints its one line to stderr and exits with 2."""


class InputError(UserError):
  """What a run reads on this machine (files, weights, programs that judge) is missing, or cannot be used."""


class RunStopped(Exception):
  """A run that stops itself (NaN, sampler and trainer disagree): one line, exit 4."""


@contextlib.contextmanager
def about(key: str, value: str):
  """Puts a key of the config before what is wrong with what its value names; nothing where the key is ''."""
  try:
    yield
  except UserError as e:
    if not key:
      raise
    raise UserError(f'{key}={value!r}: {e}') from e


def first_line(e: Exception) -> str:
  """What another library's error says, short enough for the one line of ours."""
  return f'{type(e).__name__}: {str(e).splitlines()[0][:300] if str(e) else ""}'
