"""Whole numbers of more than 4,300 digits, which Python does not read or write unasked."""

import contextlib
import sys


@contextlib.contextmanager
def allowed():
  """They may be read and written: of a user's own rows, as what takes long in a model's answer must not."""
  before = sys.get_int_max_str_digits()
  sys.set_int_max_str_digits(0)
  try:
    yield
  finally:
    sys.set_int_max_str_digits(before)
