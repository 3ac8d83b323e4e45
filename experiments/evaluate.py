"""Section 3: a checkpoint asked the paper's benchmarks by its protocol; tables 2, 4, 5 and 6 beside its numbers.

  python -m r1jax.main --config=experiments/evaluate.py:math --config.checkpoint=runs/r1_zero/2_rl --workdir=runs/math
  python -m r1jax.main --config=experiments/evaluate.py:r1-distill-qwen-1.5b --workdir=runs/distill_1_5b
  python -m r1jax.tables --workdir=runs/math,runs/distill_1_5b

64 samples a question at temperature 0.6 and top-p 0.95, up to 32,768 tokens. paper: every benchmark of the tables that
r1jax runs itself by rules; math, code, knowledge: some of them; judged: those that a model at evaluate.judge.url
grades, one sample a question. Those of lm-eval, inspect_ai and the endpoint have commands of their own
(docs/benchmarks.md). Data: NAME.jsonl of each in the folder $R1JAX_DATA, or the published set by the package datasets;
one without is left out, and said to be NOT RUN. --config.evaluate.template= is how questions are put: that in which the
checkpoint was trained.

r1-distill-*: the six published distills, from the hub or its cache (or --config.base.source=DIR), in their own chat
template: what they score here is what table 5 prints, or our protocol is not the paper's. Not yet run. A plan wants
their sizes: --config.base.source=DIR, or --config.base.model=qwen2.5-7b of one as large.

smoke: the base that ships with the package on stand-ins, ten questions of our own in each published layout; seconds.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common
import distill

MATH = ('aime_2024', 'aime_2025', 'math_500', 'cnmo_2024')
CODE = ('livecodebench', 'codeforces', 'humaneval', 'humaneval_mul')
KNOWLEDGE = ('gpqa_diamond', 'drop', 'cluewsc')
TABLE5 = ('aime_2024', 'math_500', 'gpqa_diamond', 'livecodebench', 'codeforces')
JUDGED = ('simpleqa', 'c_simpleqa', 'frames', 'alpaca_eval', 'arena_hard')  # by evaluate.judge; NOT RUN without
SUITES = {'paper': (*MATH, *KNOWLEDGE, *CODE), 'math': MATH, 'code': CODE, 'knowledge': KNOWLEDGE,
          'judged': JUDGED}
# config -> (model of the hub, the student of distill.py that it is)
PUBLISHED = {f'r1-distill-{student}': (f'deepseek-ai/DeepSeek-R1-Distill-{name}', student) for student, name in (
    ('qwen-1.5b', 'Qwen-1.5B'), ('qwen-7b', 'Qwen-7B'), ('qwen-14b', 'Qwen-14B'), ('qwen-32b', 'Qwen-32B'),
    ('llama-8b', 'Llama-8B'), ('llama-70b', 'Llama-70B'))}

VARIANTS = {
    'paper': "section 3's benchmarks that rules grade here; wants a checkpoint, --config.checkpoint, and their data",
    'math': 'AIME 2024 and 2025, MATH-500, CNMO 2024; wants a checkpoint and data',
    'code': 'LiveCodeBench, Codeforces, HumanEval in Python and in eight languages; wants a checkpoint and data',
    'knowledge': 'GPQA Diamond, DROP, CLUEWSC; wants a checkpoint and data',
    'judged': 'SimpleQA, FRAMES, AlpacaEval, ArenaHard; wants a checkpoint, data and evaluate.judge.url',
    'smoke': 'stand-ins of three benchmarks on the base that ships; wants nothing',
    **{name: f'the published {hub.partition("/")[2]} by this protocol (table 5); wants weights and data'
       for name, (hub, _) in PUBLISHED.items()},
}


def get_config(arg: str = 'paper') -> ConfigDict:
  if arg not in VARIANTS:
    raise ValueError(f'evaluate.py has no {arg!r}: one of {", ".join(VARIANTS)}')
  config = common.defaults()
  config.name = f'evaluate_{arg}'
  config.evaluate.batch = 8
  config.evaluate.max_prompt = 8192  # DROP shows three passages; a contest's problem may be long
  if arg == 'smoke':
    return smoke(config)
  if arg in PUBLISHED:
    return published(config, *PUBLISHED[arg])
  config.topology, config.dtype = 'v5p:2x2x1', 'bfloat16'
  config.mesh.data, config.mesh.fsdp = 1, -1
  config.checkpoints.minutes = 15.0
  config.checkpoint = ''
  config.base = ConfigDict(dict(model='qwen2.5-7b'))  # whose sizes a plan has, that is not given the checkpoint
  config.stages = (dict(name='evaluate', run='evaluate', inputs=dict(final='from_run/base')),)
  config.evaluate.tasks = SUITES[arg]
  if arg == 'judged':
    config.evaluate.samples = 1  # as their own programs ask; each sample is a request to the judge, or two
  return config


def published(config: ConfigDict, hub: str, student: str) -> ConfigDict:
  """Weights as they are published, on the topology that the student is trained on."""
  _, _, topology, mesh, at_once = distill.STUDENTS[student]
  config.topology, config.dtype = topology, 'bfloat16'
  config.mesh = {**dict(data=1, fsdp=1, tensor=1, expert=1), **mesh}
  config.checkpoints.minutes = 15.0
  config.stages = (dict(name='base', run='convert', inputs={}),
                   dict(name='evaluate', run='evaluate', inputs=dict(final='base')))
  config.base = ConfigDict(dict(source=hub, model=''))
  config.evaluate.template = 'chat'
  config.evaluate.tasks = TABLE5
  config.evaluate.batch, config.evaluate.slots = mesh['fsdp'], mesh['fsdp'] * at_once
  return config


def smoke(config: ConfigDict) -> ConfigDict:
  """Every part of an evaluation, on a model that has never read a word of such questions."""
  config.stages = (dict(name='base', run='convert', inputs={}),
                   dict(name='evaluate', run='evaluate', inputs=dict(final='base')))
  config.base = ConfigDict(dict(source='tiny-base', model='tiny'))
  config.model.max_length = 1024  # it reads letters one by one
  config.evaluate.tasks = ('aime_2024:standin', 'gpqa_diamond:standin', 'drop:standin')
  config.evaluate.samples, config.evaluate.batch = 2, 4
  config.evaluate.max_prompt, config.evaluate.max_tokens = 960, 16
  return config
