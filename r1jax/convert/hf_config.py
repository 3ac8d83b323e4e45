"""config.json of Hugging Face <-> our Config."""

import json
import math

from r1jax.exceptions import UserError

# model_type -> what of it is read here.
FAMILIES = {'llama': 'Llama 2 to 3.3, SmolLM2, R1-Distill-Llama', 'qwen2': 'Qwen2, Qwen2.5, R1-Distill-Qwen',
            'qwen3': 'Qwen3 without experts', 'deepseek_v3': 'DeepSeek-V3, R1'}
BLOCK = 128  # DeepSeek's fp8: one scale for 128 x 128 weights

# Ours -> theirs, where it is a plain copy.
_DENSE = {'vocab_size': 'vocab_size', 'dim': 'hidden_size', 'layers': 'num_hidden_layers',
          'heads': 'num_attention_heads', 'kv_heads': 'num_key_value_heads', 'ffn_dim': 'intermediate_size',
          'norm_eps': 'rms_norm_eps', 'tied': 'tie_word_embeddings', 'max_length': 'max_position_embeddings'}
_DEEPSEEK_V3 = {**{k: v for k, v in _DENSE.items() if k != 'kv_heads'},
                'expert_dim': 'moe_intermediate_size', 'experts': 'n_routed_experts',
                'experts_per_token': 'num_experts_per_tok', 'q_rank': 'q_lora_rank', 'kv_rank': 'kv_lora_rank',
                'nope_dim': 'qk_nope_head_dim', 'rope_dim': 'qk_rope_head_dim', 'value_dim': 'v_head_dim',
                'dense_layers': 'first_k_dense_replace', 'shared_experts': 'n_shared_experts', 'groups': 'n_group',
                'groups_kept': 'topk_group', 'routed_scaling': 'routed_scaling_factor',
                'normalise_top_k': 'norm_topk_prob'}
_DEFAULTS = {'tie_word_embeddings': False, 'n_shared_experts': 1}
_LENGTH = 'original_max_position_embeddings'
_SCALING = {'llama3': {'factor': 'factor', 'original_length': _LENGTH, 'low': 'low_freq_factor',
                       'high': 'high_freq_factor'},
            'yarn': {'factor': 'factor', 'original_length': _LENGTH, 'low': 'beta_slow', 'high': 'beta_fast',
                     'mscale': 'mscale', 'mscale_all_dim': 'mscale_all_dim'}}
_SCALING_DEFAULTS = {'beta_slow': 1, 'beta_fast': 32, 'mscale': 0.0, 'mscale_all_dim': 0.0}


def sizes_of(directory: str, facts: dict) -> dict:
  """Fields of our Config from a config.json, or UserError for what we cannot compute."""
  family = facts.get('model_type')
  if not isinstance(family, str) or family not in FAMILIES:
    named = facts.get('architectures')
    of = f' ({", ".join(map(str, named))})' if isinstance(named, list) and named else ''
    raise UserError(f'{directory}/config.json has model_type={family!r}{of}: supported is '
                    f'{" or ".join(f"{name!r} ({what})" for name, what in FAMILIES.items())}')
  for key in ('rope_parameters', 'rope_scaling', 'quantization_config'):
    if not isinstance(facts.get(key) or {}, dict):
      raise UserError(f'{directory}/config.json has {key}={json.dumps(facts[key])[:80]}: supported is an object')
  given = facts.get('rope_parameters') or {}  # transformers 5; before: rope_theta and rope_scaling
  if any(isinstance(value, dict) for value in given.values()):
    raise UserError(f'{directory}/config.json has rope_parameters for each kind of layer ({", ".join(given)}): '
                    'supported are the same for all')
  theta = next((value for value in (given.get('rope_theta'), facts.get('rope_theta')) if value is not None), 1e4)
  theta = _number(directory, 'rope_theta', theta, least=1.0)
  scaling = facts.get('rope_scaling') or given
  kind = scaling.get('rope_type', scaling.get('type', 'default'))
  quantised = facts.get('quantization_config') or {}
  needs = {
      'hidden_act': (facts.get('hidden_act', 'silu'), ('silu',)),
      'rope_type': (kind, ('default', 'llama3', 'yarn')),
      'quant_method': (quantised.get('quant_method'), (None, 'fp8')),
      'weight_block_size': (quantised.get('weight_block_size', [BLOCK] * 2), ([BLOCK] * 2,)),
      'rope_scaling.attention_factor': (scaling.get('attention_factor'), (None,)),
      'partial_rotary_factor': (next((of['partial_rotary_factor'] for of in (given, facts)
                                      if of.get('partial_rotary_factor') is not None), 1), (1,)),
      'layer_types': (next((kind for kind in facts.get('layer_types') or () if kind != 'full_attention'),
                           'full_attention'), ('full_attention',)),
      'rope_scaling.truncate': (scaling.get('truncate', True), (True,)),
      **{key: (bool(facts.get(key)), (False,)) for key in ('attention_bias', 'mlp_bias', 'use_sliding_window')}}
  if family == 'deepseek_v3':
    needs |= {key: (facts.get(key, wanted), (wanted,)) for key, wanted in (
        ('scoring_func', 'sigmoid'), ('topk_method', 'noaux_tc'), ('moe_layer_freq', 1), ('rope_interleave', True))}
  for key, (value, supported) in needs.items():
    if value not in supported:
      raise UserError(f'{directory}/config.json has {key}={value!r}: supported is {" or ".join(map(repr, supported))}')
  names = _DEEPSEEK_V3 if family == 'deepseek_v3' else _DENSE
  facts = {**_DEFAULTS, **facts}
  if family != 'deepseek_v3' and not facts.get('num_key_value_heads'):
    facts['num_key_value_heads'] = facts.get('num_attention_heads')
  try:
    sizes = {ours: facts[theirs] for ours, theirs in names.items()}
    if kind != 'default':
      scaling = {**_SCALING_DEFAULTS, **{k: v for k, v in scaling.items() if v is not None}}
      sizes['rope_scaling'] = {'kind': kind, **{k: _number(directory, f'rope_scaling.{v}', scaling[v], least=0.0)
                                                for k, v in _SCALING[kind].items()}}
  except KeyError as e:
    raise UserError(f'{directory}/config.json has no {e}') from e
  for ours, theirs in names.items():
    if theirs in _FLAGS:
      if not isinstance(sizes[ours], bool):
        raise UserError(f'{directory}/config.json has {theirs}={json.dumps(sizes[ours])[:80]}: supported is true or '
                        'false')
      continue
    whole = theirs not in _FRACTIONS
    sizes[ours] = _number(directory, theirs, sizes[ours], whole=whole, least=0 if theirs in _MAY_BE_ZERO else 1 if whole
                          else 0.0)
  if family == 'deepseek_v3':
    return {**sizes, 'family': family, 'rope_theta': theta}
  width = facts.get('head_dim', 128 if family == 'qwen3' else None)  # what transformers takes where it is left out
  if width is None:
    width = sizes['dim'] // sizes['heads']
  width = _number(directory, 'head_dim', width, whole=True, least=2)
  if width % 2:
    raise UserError(f'{directory}/config.json has head_dim={width}: supported is an even number, as RoPE turns pairs')
  return {**sizes, 'rope_theta': theta, 'qkv_bias': family == 'qwen2', 'qk_norm': family == 'qwen3',
          'head_dim': width}


_FLAGS = ('tie_word_embeddings', 'norm_topk_prob')
_FRACTIONS = ('rms_norm_eps', 'routed_scaling_factor')
_MAY_BE_ZERO = ('first_k_dense_replace', 'n_shared_experts')


def _number(directory: str, key: str, value, *, whole: bool = False, least: float = 0.0):
  """A value of config.json that must be a number, as it is.

  Raises:
    UserError: text, null, not finite, or too small.
  """
  if (not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value)
      or (whole and not isinstance(value, int))):
    raise UserError(f'{directory}/config.json has {key}={json.dumps(value)[:80]}: supported is a '
                    f'{"whole " if whole else ""}number')
  if value < least:
    raise UserError(f'{directory}/config.json has {key}={value}: supported is at least {least}')
  return value if whole else float(value) if key == 'rope_theta' else value


_ARCHITECTURES = {'deepseek_v3': 'DeepseekV3ForCausalLM', 'qwen2': 'Qwen2ForCausalLM', 'qwen3': 'Qwen3ForCausalLM',
                  'llama': 'LlamaForCausalLM'}


def facts_of(config, dtype: str, eos: list[int], pad_id: int, bos_id: int | None = None) -> dict:
  """config.json of our Config."""
  v3 = config.family == 'deepseek_v3'
  kind = 'deepseek_v3' if v3 else 'qwen3' if config.qk_norm else 'qwen2' if config.qkv_bias else 'llama'
  facts = {'architectures': [_ARCHITECTURES[kind]], 'model_type': kind, 'hidden_act': 'silu', 'torch_dtype': dtype,
           'rope_theta': config.rope_theta, 'eos_token_id': eos if len(eos) > 1 else eos[0], 'bos_token_id': bos_id,
           'pad_token_id': pad_id, 'attention_bias': False}
  facts |= {theirs: getattr(config, ours) for ours, theirs in (_DEEPSEEK_V3 if v3 else _DENSE).items()}
  if v3:
    facts |= {'num_key_value_heads': config.heads, 'scoring_func': 'sigmoid', 'topk_method': 'noaux_tc',
              'moe_layer_freq': 1, 'num_nextn_predict_layers': 0}
  else:
    facts |= {'head_dim': config.head_dim, 'mlp_bias': False}
  if (s := config.rope_scaling) is not None:
    facts['rope_scaling'] = {'rope_type': s.kind, 'type': s.kind,
                             **{theirs: getattr(s, ours) for ours, theirs in _SCALING[s.kind].items()}}
  return facts
