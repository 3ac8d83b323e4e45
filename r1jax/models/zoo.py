"""A name -> a Config. Sizes from the models' public config.json."""

import dataclasses

from r1jax.models import dense
from r1jax.types import UserError

_DENSE = {
    # r1_zero.py:tiny. 1.0M parameters; the vocabulary is that of the tokenizer trained with it.
    'tiny': dict(vocab_size=512, dim=128, layers=4, heads=4, kv_heads=2, ffn_dim=512, max_length=256,
                 unroll=4),
    # A few thousand parameters, for tests.
    'nano': dict(vocab_size=512, dim=32, layers=2, heads=4, kv_heads=2, ffn_dim=64, max_length=256),
    # HuggingFaceTB/SmolLM2-135M(-Instruct) config.json
    'smollm2-135m': dict(vocab_size=49152, dim=576, layers=30, heads=9, kv_heads=3, ffn_dim=1536,
                         rope_theta=1e5, norm_eps=1e-5, tied=True, max_length=8192),
    # Qwen/Qwen2.5-1.5B config.json
    'qwen2.5-1.5b': dict(vocab_size=151936, dim=1536, layers=28, heads=12, kv_heads=2, ffn_dim=8960,
                         rope_theta=1e6, norm_eps=1e-6, qkv_bias=True, tied=True, max_length=131072),
}
_DENSE['smollm2-135m-instruct'] = _DENSE['smollm2-135m']


def get(name: str, **overrides) -> dense.Config:
  """Config of a published or tiny model; keyword arguments replace its fields.

  Raises:
    UserError: no such model, or no such field.
  """
  if name not in _DENSE:
    raise UserError(f'no model {name!r}: one of {", ".join(sorted(_DENSE))}')
  fields = {f.name for f in dataclasses.fields(dense.Config)}
  for key in overrides:
    if key not in fields:
      raise UserError(f'model has no field {key!r}: one of {", ".join(sorted(fields))}')
  return dense.Config(**{**_DENSE[name], **overrides})


def build(config: dense.Config) -> dense.Model:
  """The flax module of a config."""
  return dense.Model(config)


def from_dict(values: dict) -> dense.Config:
  """Config from the fields in a model.json."""
  return dense.Config(**values)
