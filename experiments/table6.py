"""Table 6 (section 4.1): from one small base, RL alone against distillation from the larger R1, on the same questions.

  python -m r1jax.main --config=experiments/table6.py:tiny --config.from_run=runs/r1_tiny --workdir=runs/table6_tiny
  python -m r1jax.plan --config=experiments/table6.py:qwen2.5-32b

tiny: a base of 0.36M parameters, R1-Zero's recipe on it, and SFT on the samples of a finished r1.py:tiny (1.06M); measured:
README.md. qwen2.5-32b: the paper's own comparison; not yet run.
"""

import importlib.util
import os

from ml_collections import ConfigDict

_SPEC = importlib.util.spec_from_file_location('common', os.path.join(os.path.dirname(__file__), 'common.py'))
common = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(common)


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
  r1 = common.sibling('r1')
  config.name = 'table6_tiny'
  config.stages = _stages('sft', dict(data='from_run/reject'), tokenizer='from_run/base')
  r1.tiny_student(config)
  r1.tiny_rl(config.rl, 'r1_zero', 80)
  config.distilled = r1.tiny_sft(epochs=2.0)
  config.evaluate.templates = dict(base='r1_zero', rl_alone='r1_zero')
  return config


def qwen_32b(config: ConfigDict) -> ConfigDict:
  """Qwen2.5-32B: over 10K steps of RL (as r1_zero.py:qwen2.5-32b), and the 32B student (as distill.py:qwen-32b)."""
  config = common.sibling('r1_zero').qwen_32b(config)
  student = common.sibling('distill').get_config('qwen-32b')
  config.name = 'table6_qwen2.5-32b'
  config.stages = _stages('convert', {})
  config.distilled = student.student
  config.evaluate.templates = dict(distilled=student.evaluate.template)
  return config
