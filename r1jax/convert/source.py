"""A checkpoint of another program, opened but not read."""

import os
from typing import Callable, NamedTuple

import numpy as np

from r1jax.engine import json_files
from r1jax.metrics import replace_file


class TokenizerFiles(NamedTuple):
  """What a checkpoint of ours has beside its weights to read and write text."""
  json: str  # tokenizer.json
  facts: dict  # tokenizer_r1jax.json (data/tokenizer.py)

  def write(self, directory: str) -> None:
    """By whichever process calls it."""
    replace_file(os.path.join(directory, 'tokenizer.json'), self.json.encode())
    json_files.write(os.path.join(directory, 'tokenizer_r1jax.json'), self.facts, every_host=True)


class Source(NamedTuple):
  path: str
  layout: str  # of the table: 'hf' | 'gguf' | 'gguf_neox'
  sizes: dict  # fields of our Config
  shapes: dict[str, tuple[int, ...]]
  dtypes: dict[str, np.dtype]  # in which a tensor is kept here: float32 or bfloat16
  kinds: dict[str, str]  # as the source calls them: BF16, F16, Q8_0 ..
  read: Callable[..., np.ndarray]  # (name) -> a tensor; (name, start, stop) -> those rows of it, no others are read
  tokenizer: Callable[[], TokenizerFiles]  # UserError: one that cannot be used
