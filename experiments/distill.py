"""The distilled students: SFT of six published bases on R1's own samples, nothing else (section 2.4; table 5).

  python -m r1jax.main --config=experiments/distill.py:qwen-1.5b --config.base.source=DIR \\
      --config.student.path=FILE.jsonl --workdir=runs/distill_qwen_1_5b
  python -m r1jax.plan --config=experiments/distill.py:qwen-1.5b --without-files
  python -m r1jax.main --config=experiments/distill.py:tiny --config.from_run=runs/r1_tiny --workdir=runs/distill_tiny

FILE.jsonl: data.jsonl of an R1's rejection sampling (r1.py: 8_reject), in that R1's format; the paper's 800k are not
public. For other rows of {"prompt", "completion"}, in the published models' layout: --config.student.format=
--config.evaluate.template=deepseek_r1. Two to three epochs (two here), batch of 64 documents, learning rate by
student, cosine down to a tenth (paper v2, unverified); a step packs its documents into rows of 32,768 tokens. bfloat16,
layers computed again in the backward pass, nothing offloaded to hosts. Planned by compiler (docs/plans.md), not yet
run.

tiny distils a finished r1.py:tiny into a student a third of its size, by that run's rejection-sampled data. What it
reaches: docs/results.md.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common
import r1

# The paper's 64 most plausibly counts samples. As packed rows, each of which holds 6 to 7 samples of 4,800 tokens, two
# epochs of its 800k would be 3,700 steps instead of 25,000, at the same rate.
BATCH = 64
# student -> base, learning rate, topology, mesh, samples drawn at once in the evaluation
STUDENTS = {
    'qwen-1.5b': ('qwen2.5-math-1.5b', 1e-4, 'v5e:4x4', dict(fsdp=16), 4),
    'qwen-7b': ('qwen2.5-math-7b', 8e-5, 'v5p:2x2x4', dict(fsdp=16), 16),
    'qwen-14b': ('qwen2.5-14b', 7e-5, 'v5p:2x4x4', dict(fsdp=16, tensor=2), 8),
    'qwen-32b': ('qwen2.5-32b', 6e-5, 'v5p:4x4x4', dict(fsdp=16, tensor=4), 8),
    'llama-8b': ('llama-3.1-8b', 5e-5, 'v5p:2x2x4', dict(fsdp=16), 8),
    'llama-70b': ('llama-3.3-70b-instruct', 2e-5, 'v5p:4x4x8', dict(fsdp=16, tensor=8), 16),
}


VARIANTS = {
    'tiny': 'the tiny R1 into a student a third of its size; wants a finished r1:tiny, --config.from_run',
    **{name: f'{base} on samples of R1 (section 2.4), {topology}; wants weights and samples'
       for name, (base, _, topology, _, _) in STUDENTS.items()},
}
# config -> topology -> the keys that make it fit there, beside its own: one host of eight in place of its slice, or one
# GPU; or a text, why none do.
_EIGHT = {'mesh.fsdp': 8, 'student.micro_tokens': 8 * 32768, 'evaluate.batch': 8, 'evaluate.slots': 32}
_ONE = {'mesh.fsdp': 1, 'student.micro_tokens': 32768, 'evaluate.batch': 1, 'logit_elements': 1 << 26}
TOPOLOGIES = {'qwen-1.5b': {'v5e:4x4': {},
                            **dict.fromkeys(('v5e:2x4', 'v6e:2x4', 'v5p:2x2x2', 'h100:1x8'), _EIGHT),
                            'h100:1x1': {**_ONE, 'evaluate.slots': 32},
                            'h100:1x1 LoRA': {**_ONE, 'evaluate.slots': 32, 'lora.rank': 16},
                            'l4:1x1': 'an update of all weights needs 37.5 GiB',
                            'l4:1x1 LoRA': {**_ONE, 'evaluate.slots': 8, 'lora.rank': 16},
                            't4:1x1': "cuDNN's attention does not run there, and XLA's of 32,768 positions does not "
                                      'fit'}}


def get_config(arg: str = 'qwen-1.5b') -> ConfigDict:
  if arg == 'tiny':
    return tiny(common.defaults())
  if arg not in STUDENTS:
    raise ValueError(f'distill.py has no {arg!r}: one of tiny, {", ".join(STUDENTS)}')
  model, learning_rate, topology, mesh, at_once = STUDENTS[arg]
  config = common.defaults()
  config.name = f'distill_{arg}'
  config.topology = topology
  config.mesh = {**dict(data=1, fsdp=1, tensor=1, expert=1), **mesh}
  config.dtype, config.remat = 'bfloat16', 'full'
  config.logit_elements = 1 << 30
  config.checkpoints.every, config.checkpoints.minutes = 500, 15.0
  config.stages = (dict(name='base', run='convert', inputs={}),
                   dict(name='student', run='sft', inputs=dict(checkpoint='base')),
                   dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='student')))
  config.base = ConfigDict(dict(source='', model=model))
  if 'math' in model:  # bases of 4,096 positions; the published students have these
    config.model.max_length = 131072
  # Documents: the paper's batch of 64 most plausibly counts samples, of which a packed row holds 6 to 7.
  config.student = ConfigDict(dict(
      corpus='jsonl', path='', format='r1', steps=0, epochs=2.0, batch=BATCH, batch_of='documents',
      micro_tokens=mesh['fsdp'] * 32768, length=32768, log_every=10,  # a row on each shard
      optimizer=dict(learning_rate=learning_rate, warmup=100, decay='cosine', final_share=0.1, weight_decay=0.0)))
  evaluate = config.evaluate
  evaluate.template = 'r1'
  evaluate.templates = dict(base='r1_zero')
  evaluate.task.source = 'jsonl:questions.jsonl'
  evaluate.batch, evaluate.slots = mesh['fsdp'], mesh['fsdp'] * at_once
  return config


def tiny(config: ConfigDict) -> ConfigDict:
  """A base of 0.36M parameters on the tiny R1's own text and tokenizer, then SFT on what that R1's third stage kept.

  The base is smaller than R1's and has read less. Trained as long as that (2,600 steps) it calculates so well (pass@16
  0.980) that RL alone ends where distillation ends, at 0.96 (seed 0): table 6, which starts from it too,
  compares what a small base cannot find by itself.
  """
  teacher = r1.get_config('tiny')
  config.name = 'distill_tiny'
  config.stages = (dict(name='base', run='sft', inputs=dict(tokenizer='from_run/base')),
                   dict(name='student', run='sft', inputs=dict(checkpoint='base', data='from_run/reject')),
                   dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='student')))
  config.from_run = ''
  config.keep_freed_memory, config.logit_elements = teacher.keep_freed_memory, teacher.logit_elements
  config.base = teacher.base
  config.base.update(model='tiny-student', documents=28000, steps=800)
  config.student = teacher.sft
  config.evaluate = teacher.evaluate
  config.evaluate.general = common.defaults().evaluate.general  # sums only
  return config
