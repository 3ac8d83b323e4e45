"""A checkpoint of another program, opened but not read."""

from typing import Callable, NamedTuple

import numpy as np


class Source(NamedTuple):
  path: str
  layout: str  # the column of the table: 'gguf' | 'hf'
  sizes: dict  # fields of our Config
  shapes: dict[str, tuple[int, ...]]
  dtypes: dict[str, np.dtype]  # in which a tensor is kept here: float32 or bfloat16
  read: Callable[[str], np.ndarray]
  write_tokenizer: Callable[[str], None]  # into a directory
