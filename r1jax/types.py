"""The vocabulary: what travels between the hops, field by field, and the letters used in names.

Letters (in code, configs and docstrings):

  N  prompts (groups) in a batch       T  completion positions      K  key/value heads
  G  samples a prompt (group size)     S  key positions             L  layers
  B  outputs, B = N * G, prompt-major  V  vocabulary                E  experts
  P  prompt positions                  D  width   F  feed-forward   H  query heads   d  head width

An array's name ends in its shape: `logps_BxT`. Row b of a B-array belongs to prompt b // G.
"""

from typing import NamedTuple

import jax
import numpy as np

from r1jax.exceptions import RunStopped, UserError  # under this name for all that have jax

NOWHERE = 1 << 30  # the position of padding: after every query, so nobody looks at it


class Prompts(NamedTuple):
  """Token ids of N prompts, padded on the right."""
  tokens_NxP: jax.Array  # int32
  lengths_N: jax.Array  # int32, tokens that are not padding; at least 1
  choices_NxPxLxk: jax.Array | None = None  # experts that tokens are sent to (models/moe.replaying); None: the router's


class Completion(NamedTuple):
  """What the sampler said, on the host, as long as it is: no padding."""
  tokens: np.ndarray  # int32; the end-of-sequence token is kept, it is an action
  logps: np.ndarray  # float32, nats, of the distribution sampled from
  stopped: bool  # ended by itself; False: cut off at the limit
  choices: np.ndarray | None = None  # [n, L, k], the experts that each token was sent to, where they are kept


class Request(NamedTuple):
  """A group that a rollout is asked for: one prompt, some samples of it."""
  group: int  # the caller's number
  prompt: np.ndarray  # int32 token ids
  samples: tuple[int, ...]  # a number each, its own in the whole stage: its randomness comes from it
  begun: tuple[Completion | None, ...] | None = None  # what each has said already, in an earlier rollout
  limits: tuple[int, ...] | None = None  # tokens that each may say at most, where that is less than the sampler's limit
  choices: np.ndarray | None = None  # [n, L, k], the experts of the prompt's tokens, where it was computed before


class Finished(NamedTuple):
  """A group whose members have all ended."""
  group: int
  completions: list[Completion]


class Max(NamedTuple):
  """A metric of which the largest counts. One that is a plain (total, count) pair is a mean."""
  value: jax.Array


class Sum(NamedTuple):
  """A metric that adds up, over micro-batches and devices."""
  value: jax.Array
