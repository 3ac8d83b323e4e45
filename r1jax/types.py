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

NOWHERE = 1 << 30  # the position of padding: after every query, so nobody looks at it


class UserError(Exception):
  """Something the user can mend: main prints its one line to stderr and exits with 2."""


class RunStopped(Exception):
  """A run that stops itself (NaN, sampler and trainer disagree): one line, exit 4."""


class Prompts(NamedTuple):
  """Token ids of N prompts, padded on the left so that the last token is always at P - 1."""
  tokens_NxP: jax.Array  # int32
  lengths_N: jax.Array  # int32, tokens that are not padding


class Rollout(NamedTuple):
  """What the sampler did: G completions for each of N prompts."""
  tokens_BxT: jax.Array  # int32, right-padded; the end-of-sequence token is kept, it is an action
  logps_BxT: jax.Array  # float32, nats, of the distribution sampled from; 0 past the end
  lengths_B: jax.Array  # int32, tokens up to and with the end-of-sequence token
  stopped_B: jax.Array  # bool, True: ended by itself; False: cut off at max_tokens


class Batch(NamedTuple):
  """What one optimiser step of GRPO learns from: whole groups only."""
  prompts_NxP: jax.Array  # int32, left-padded
  prompt_lengths_N: jax.Array  # int32
  completions_BxT: jax.Array  # int32, right-padded
  lengths_B: jax.Array  # int32; the mask comes from here, never from token values
  sampler_logps_BxT: jax.Array  # float32, as stored by the rollout
  old_logps_BxT: jax.Array  # float32, the policy at rollout time: the sampler's, or recomputed
  ref_logps_BxT: jax.Array | None  # float32; None when kl_coef == 0
  advantages_B: jax.Array  # float32
