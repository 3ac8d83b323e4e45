"""A name -> a Config. Sizes from the models' public config.json, https://huggingface.co/OWNER/NAME."""

import dataclasses

from r1jax.exceptions import UserError
from r1jax.models import deepseek_v3, dense
from r1jax.models.layers import RopeScaling

_FAMILIES = {'dense': dense, 'deepseek_v3': deepseek_v3}

# meta-llama/Llama-3.1-8B and Llama-3.3-70B-Instruct
_LLAMA3 = dict(vocab_size=128256, rope_theta=5e5, norm_eps=1e-5, tied=False, max_length=131072,
               rope_scaling=RopeScaling('llama3', factor=8.0, original_length=8192, low=1.0, high=4.0))
# meta-llama/Llama-3.2-1B, -3B: tied, and stretched further
_LLAMA32 = dict(_LLAMA3, tied=True, ffn_dim=8192, kv_heads=8,
                rope_scaling=RopeScaling('llama3', factor=32.0, original_length=8192, low=1.0, high=4.0))
_QWEN = dict(vocab_size=152064, rope_theta=1e6, norm_eps=1e-6, qkv_bias=True, tied=False, max_length=131072)
_QWEN_1_5B = dict(_QWEN, vocab_size=151936, dim=1536, layers=28, heads=12, kv_heads=2, ffn_dim=8960, tied=True)
_QWEN_7B = dict(_QWEN, dim=3584, layers=28, heads=28, kv_heads=4, ffn_dim=18944)
# Qwen/Qwen3-0.6B-Base, and so on. Heads have 128 numbers, whatever the width; the chat models have 40,960 positions.
_QWEN3 = dict(vocab_size=151936, rope_theta=1e6, norm_eps=1e-6, qk_norm=True, head_dim=128, kv_heads=8, tied=True,
              max_length=32768)
# The Math bases have a context of 4,096. The distills made from them keep their theta and are read to 131,072.
_MATH = dict(rope_theta=1e4, max_length=4096)
_QWEN_14B = dict(_QWEN, dim=5120, layers=48, heads=40, kv_heads=8, ffn_dim=13824, norm_eps=1e-5)
_QWEN_32B = dict(_QWEN, dim=5120, layers=64, heads=40, kv_heads=8, ffn_dim=27648, norm_eps=1e-5)
_LLAMA_8B = dict(_LLAMA3, dim=4096, layers=32, heads=32, kv_heads=8, ffn_dim=14336)
_LLAMA_70B = dict(_LLAMA3, dim=8192, layers=80, heads=64, kv_heads=8, ffn_dim=28672)
_SMOLLM2 = dict(vocab_size=49152, dim=576, layers=30, heads=9, kv_heads=3, ffn_dim=1536, rope_theta=1e5,
                norm_eps=1e-5, tied=True, max_length=8192)
_YARN = dict(factor=40.0, original_length=4096, low=1.0, high=32.0, mscale=1.0, mscale_all_dim=1.0)

_MODELS = {
    # r1_zero.py:tiny. 1.0M parameters; the vocabulary is that of the tokenizer trained with it.
    'tiny': dict(vocab_size=512, dim=128, layers=4, heads=4, kv_heads=2, ffn_dim=512, max_length=256, unroll=4),
    # distill.py:tiny, table6.py:tiny. 0.36M parameters.
    'tiny-student': dict(vocab_size=512, dim=96, layers=3, heads=4, kv_heads=2, ffn_dim=256, max_length=256, unroll=3),
    # A few thousand parameters, for tests: one a family.
    'nano': dict(vocab_size=512, dim=32, layers=2, heads=4, kv_heads=2, ffn_dim=64, max_length=256),
    'nano-llama': dict(vocab_size=512, dim=32, layers=2, heads=4, kv_heads=2, ffn_dim=64, max_length=256, tied=False,
                       rope_theta=5e5, rope_scaling=RopeScaling('llama3', factor=8.0, original_length=32)),
    'nano-qwen': dict(vocab_size=512, dim=32, layers=2, heads=4, kv_heads=2, ffn_dim=64, max_length=256, qkv_bias=True),
    'nano-qwen3': dict(vocab_size=512, dim=32, layers=2, heads=4, kv_heads=2, ffn_dim=64, head_dim=12, max_length=256,
                       qk_norm=True, tied=False),
    'nano-deepseek': dict(
        family='deepseek_v3', vocab_size=512, dim=32, layers=3, heads=4, ffn_dim=64, expert_dim=16, experts=8,
        experts_per_token=2, q_rank=24, kv_rank=16, nope_dim=8, rope_dim=4, value_dim=8, dense_layers=1, groups=4,
        groups_kept=2, routed_scaling=2.5, max_length=256,
        rope_scaling=RopeScaling('yarn', **{**_YARN, 'factor': 4.0, 'original_length': 64})),
    'smollm2-135m': _SMOLLM2,  # HuggingFaceTB/SmolLM2-135M
    'smollm2-135m-instruct': _SMOLLM2,  # HuggingFaceTB/SmolLM2-135M-Instruct
    'qwen2.5-0.5b': dict(_QWEN, vocab_size=151936, dim=896, layers=24, heads=14, kv_heads=2, ffn_dim=4864, tied=True,
                         max_length=32768),
    'qwen2.5-1.5b': _QWEN_1_5B,  # Qwen/Qwen2.5-1.5B, and so on
    'qwen2.5-3b': dict(_QWEN, vocab_size=151936, dim=2048, layers=36, heads=16, kv_heads=2, ffn_dim=11008, tied=True,
                       max_length=32768),
    'qwen2.5-7b': _QWEN_7B,
    'qwen2.5-math-1.5b': {**_QWEN_1_5B, **_MATH},
    'qwen2.5-math-7b': {**_QWEN_7B, **_MATH},
    # These two bases have 1e-5 where their Instruct models have 1e-6.
    'qwen2.5-14b': _QWEN_14B,
    'qwen2.5-32b': _QWEN_32B,
    'qwen3-0.6b': dict(_QWEN3, dim=1024, layers=28, heads=16, ffn_dim=3072),
    'qwen3-1.7b': dict(_QWEN3, dim=2048, layers=28, heads=16, ffn_dim=6144),
    'qwen3-4b': dict(_QWEN3, dim=2560, layers=36, heads=32, ffn_dim=9728),
    'qwen3-8b': dict(_QWEN3, dim=4096, layers=36, heads=32, ffn_dim=12288, tied=False),
    'llama-3.1-8b': _LLAMA_8B,
    'llama-3.2-1b': dict(_LLAMA32, dim=2048, layers=16, heads=32),
    'llama-3.2-3b': dict(_LLAMA32, dim=3072, layers=28, heads=24),
    'llama-3.3-70b-instruct': _LLAMA_70B,
    # deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B, and so on: their bases' sizes; 1.5B has a head of its own. Positions,
    # theta and epsilon are from memory of these repositories' config.json; an import takes what the source says.
    'r1-distill-qwen-1.5b': {**_QWEN_1_5B, 'tied': False, 'rope_theta': 1e4},
    'r1-distill-qwen-7b': {**_QWEN_7B, 'rope_theta': 1e4},
    'r1-distill-qwen-14b': _QWEN_14B,
    'r1-distill-qwen-32b': _QWEN_32B,
    'r1-distill-llama-8b': _LLAMA_8B,
    'r1-distill-llama-70b': _LLAMA_70B,
    'deepseek-v3-base': dict(  # deepseek-ai/DeepSeek-V3-Base
        family='deepseek_v3', vocab_size=129280, dim=7168, layers=61, heads=128, ffn_dim=18432, expert_dim=2048,
        experts=256, experts_per_token=8, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128,
        dense_layers=3, shared_experts=1, groups=8, groups_kept=4, routed_scaling=2.5, norm_eps=1e-6, max_length=163840,
        rope_scaling=RopeScaling('yarn', **_YARN)),
}


# Where their weights are published: hf:OWNER/NAME.
HUB = {
    **{f'smollm2-135m{kind}': f'HuggingFaceTB/SmolLM2-135M{kind.title()}' for kind in ('', '-instruct')},
    **{f'qwen2.5-{size}b': f'Qwen/Qwen2.5-{size}B' for size in ('0.5', '1.5', '3', '7', '14', '32')},
    **{f'qwen2.5-math-{size}b': f'Qwen/Qwen2.5-Math-{size}B' for size in ('1.5', '7')},
    **{f'qwen3-{size}b': f'Qwen/Qwen3-{size}B-Base' for size in ('0.6', '1.7', '4', '8')},
    **{f'llama-{kind}b': f'meta-llama/Llama-{kind}B' for kind in ('3.1-8', '3.2-1', '3.2-3')},
    'llama-3.3-70b-instruct': 'meta-llama/Llama-3.3-70B-Instruct',
    **{f'r1-distill-{kind}b': f'deepseek-ai/DeepSeek-R1-Distill-{kind.title()}B' for kind in (
        'qwen-1.5', 'qwen-7', 'qwen-14', 'qwen-32', 'llama-8', 'llama-70')},
    'deepseek-v3-base': 'deepseek-ai/DeepSeek-V3-Base',
}


def get(name: str, **overrides):
  """Config of a published or tiny model; keyword arguments replace its fields.

  Raises:
    UserError: no such model, or no such field.
  """
  if name not in _MODELS:
    raise UserError(f'no model {name!r}: one of {", ".join(sorted(_MODELS))}')
  values = _MODELS[name]
  fields = {f.name for f in dataclasses.fields(_FAMILIES[values.get('family', 'dense')].Config)}
  for key in overrides:
    if key not in fields:
      raise UserError(f'model has no field {key!r}: one of {", ".join(sorted(fields))}')
  return from_dict({**values, **overrides})


def names() -> list[str]:
  return sorted(_MODELS)


def build(config):
  """The flax module of a config."""
  return _FAMILIES[config.family].Model(config)


def from_dict(values: dict):
  """Config from its fields, as in a model.json."""
  values = dict(values)
  if isinstance(values.get('rope_scaling'), dict):
    values['rope_scaling'] = RopeScaling(**values['rope_scaling'])
  return _FAMILIES[values.get('family', 'dense')].Config(**values)
