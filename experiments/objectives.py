"""GRPO beside what other papers changed of it (docs/objectives.md), each on the tiny job from the base that comes
along.

  r1jax sweep objectives --workdir=DIR --seeds=2              all of them, one page that compares them
  python docs/objectives_table.py --workdir=DIR --seeds=2     the same, and results/objectives.json
  r1jax train objectives:dapo --workdir=DIR                   one

What they reached stands in docs/objectives.md.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import r1_zero

# Name -> (what it is, the values of rl that make it). gspo's clips are those of its paper; cispo's has no lower
# bound either, its upper one is ours.
_NO_KL = dict(kl_coef=0.0)
_FEW = dict(size=256)  # so few questions that each is asked five times: pass rates that a curriculum may go by
_OVERLONG = dict(rewards=dict(accuracy=1.0, format=1.0, overlong=1.0), overlong_buffer=8)
OBJECTIVES = {
    'grpo': ('the default: GRPO as DeepSeekMath has it', {}),
    'sequence': ('one ratio an output, equations 1 and 2 as printed', dict(ratio='sequence')),
    'gspo': ('GSPO', dict(ratio='gspo', clip_low=3e-4, clip_high=4e-4)),
    'cispo': ('CISPO', dict(surrogate='cispo', clip_low=1.0, clip_high=2.0, aggregate='token_mean')),
    'reinforce': ('no ratio', dict(surrogate='reinforce')),
    'clip_higher': ("DAPO's clip", dict(clip_high=0.28)),
    'token_mean': ("DAPO's mean", dict(aggregate='token_mean')),
    'dr_grpo': ('Dr. GRPO', dict(scale='none', aggregate='fixed_length', **_NO_KL)),
    'rloo': ('RLOO', dict(scale='rloo')),
    'reinforce_pp': ('REINFORCE++', dict(scale='global', kl='k2')),
    'reinforce_pp_baseline': ('REINFORCE++ with a baseline', dict(scale='batch_std', kl='k2')),
    'no_kl': ('no reference', _NO_KL),
    'k2': ('another estimator of the KL', dict(kl='k2')),
    'k1': ('one without a gradient in the mean', dict(kl='k1')),
    'entropy': ('a bonus for entropy', dict(entropy_coef=0.003)),
    'drop_truncated': ('completions that were cut off left out', dict(drop_truncated=True)),
    'drop_equal': ('groups without a signal left out', dict(drop_equal=True)),
    'overlong': ("DAPO's shaping of length", _OVERLONG),
    'dynamic': ('groups without a signal replaced', dict(dynamic_tries=4)),
    'dapo': ('DAPO', dict(clip_high=0.28, aggregate='token_mean', dynamic_tries=4, dynamic_by='accuracy', **_OVERLONG,
                          **_NO_KL)),
    'truncated_is': ("the trainer's log-probs, weights at most 2", dict(old_logps='trainer', is_cap=2.0)),
    'masked_is': ("the trainer's log-probs, weights from 1/2 to 2",
                  dict(old_logps='trainer', is_cap=2.0, is_kind='mask')),
    'epochs': ('each rollout gone over twice', dict(epochs=2)),
    'lag': ('sampled by the policy of one update before', dict(lag=1)),
    'lag_truncated_is': ('the same, corrected by weights at most 2', dict(lag=1, old_logps='trainer', is_cap=2.0)),
    'few': ('the default with 256 questions', dict(task=_FEW)),
    'drop_solved': ('of 256, questions that were solved left out',
                    dict(task=_FEW, curriculum=dict(mode='drop_solved'))),
    'prioritized': ('of 256, questions asked by how often they fail',
                    dict(task=_FEW, curriculum=dict(mode='prioritized', askings=4))),
    'longer': ('a limit of length that grows', dict(max_tokens=((0, 32), (40, 48)))),
    'carry': ('groups that may be left unfinished', dict(carry=4)),
}
VARIANTS = {name: said for name, (said, _) in OBJECTIVES.items()}


def get_config(arg: str = 'grpo') -> ConfigDict:
  """The tiny job with one of them; evaluated every eight steps."""
  if arg not in VARIANTS:
    raise ValueError(f'objectives.py has no {arg!r}: one of {", ".join(VARIANTS)}')
  config = r1_zero.get_config('tiny-rl')
  config.name = f'objectives_{arg}'
  config.rl.eval_every = 8  # 512 samples for every 2,048 that it learns from
  base, rl, evaluate = config.stages
  config.stages = (base, rl, dict(evaluate, inputs=dict(final='rl')))  # the base is the same for all of them
  with config.ignore_type():  # a limit may be a schedule
    config.rl.update(OBJECTIVES[arg][1])
  return config


def sweep(add) -> None:
  """Every objective, the default first."""
  for name in VARIANTS:
    add(name)
