"""Table 6 (section 4.1): from one small base, RL alone against distillation from the larger R1, on the same questions.

  python -m r1jax.main --config=experiments/table6.py:tiny --config.from_run=runs/r1_tiny --workdir=runs/table6_tiny
  python -m r1jax.plan --config=experiments/table6.py:qwen2.5-32b --without-files

tiny: a base of 0.36M parameters, R1-Zero's recipe on it, and SFT on the samples of a finished r1.py:tiny (1.06M).
What they reach, and what the result depends on: docs/results.md.

qwen2.5-32b: the paper's own comparison, RL for over 10K steps against the 32B student, with weights, questions.jsonl
and the samples that distill.py tells of. Planned by compiler (docs/plans.md), not yet run.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common
import distill
import r1
import r1_zero


VARIANTS = {
    'tiny': 'RL alone against distillation from one small base; wants a finished r1:tiny, --config.from_run',
    'qwen2.5-32b': "the paper's own comparison (section 4.1), 128 chips; wants weights, questions, samples",
}


def get_config(arg: str = 'tiny') -> ConfigDict:
  variants = {'tiny': tiny, 'qwen2.5-32b': qwen_32b}
  if arg not in variants:
    raise ValueError(f'table6.py has no {arg!r}: one of {", ".join(variants)}')
  return variants[arg](common.defaults())


def _stages(base: str, data: dict, **tokenizer) -> tuple[dict, ...]:
  return (dict(name='base', run=base, inputs=tokenizer),
          dict(name='rl', run='rl', inputs=dict(checkpoint='base')),
          dict(name='distilled', run='sft', inputs=dict(checkpoint='base', **data)),
          dict(name='evaluate', run='evaluate', inputs=dict(base='base', rl_alone='rl', distilled='distilled')))


def tiny(config: ConfigDict) -> ConfigDict:
  """Both ways from a base a third of the tiny R1's size."""
  student, teacher = distill.get_config('tiny'), r1.get_config('tiny')
  config.name = 'table6_tiny'
  config.stages = _stages('sft', dict(data='from_run/reject'), tokenizer='from_run/base')
  for key in ('from_run', 'keep_freed_memory', 'logit_elements', 'base', 'evaluate'):
    config[key] = student[key]
  config.rl = teacher.rl
  config.rl.template, config.rl.steps = 'r1_zero', 80
  config.distilled = student.student
  config.evaluate.templates = dict(base='r1_zero', rl_alone='r1_zero')
  return config


def qwen_32b(config: ConfigDict) -> ConfigDict:
  """Qwen2.5-32B: over 10K steps of RL (as r1_zero.py:qwen2.5-32b), and the 32B student (as distill.py:qwen-32b)."""
  config = r1_zero.qwen_32b(config)
  student = distill.get_config('qwen-32b')
  config.name = 'table6_qwen2.5-32b'
  config.stages = _stages('convert', {})
  config.distilled = student.student
  config.distilled.micro_tokens = 32 * 32768  # a row a shard: this mesh has twice as many as the student's own
  config.evaluate.templates = dict(distilled=student.evaluate.template)
  return config
