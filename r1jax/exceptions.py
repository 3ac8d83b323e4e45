"""What a run is ended by, beside what is a fault of the program. No jax: judges and the report do without it."""


class UserError(Exception):
  """Something the user can mend: a command prints its one line to stderr and exits with 2."""


class RunStopped(Exception):
  """A run that stops itself (NaN, sampler and trainer disagree): one line, exit 4."""
