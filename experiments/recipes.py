"""The public recipes of reinforcement learning from rules, as configs: what others published, each number with its
source, and what it should reach, which the run looks at as it goes.

  r1jax train recipes:gsm8k-1.5b --workdir=runs/gsm8k
  python -m r1jax.main --config=experiments/recipes.py:countdown-1gpu --workdir=runs/countdown
  python -m r1jax.plan --config=experiments/recipes.py:dapo-32b --without-files

None has been run here yet; docs/plans.md says what was planned by compiler, for the topologies that are named below.
Weights and data come from the hub by name (extra `hub`), Countdown's from reasoning-gym. `config.recipe` is the
document: paper or page, model, data, what the source reached and on which hardware, the source of every number
(`sources`) and what of the source is not here (`missing`). `config.expect` is what the run is to reach
(r1jax/expect.py): WORKDIR/recipe.json says whether it did, and the report shows it beside the curve.

A source's "step" is mostly a rollout; steps here are optimiser steps, `rl.minibatches` of them a rollout. What is ours
in every recipe: slots, micro-batches, mesh and how often it is evaluated, which change no result; b2=0.999, torch's
default, where a source names no other; and thresholds a little under what was reached, as graders, prompts and seeds
differ.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common
from document import GSM8K, MATH_500, OURS, Recipe

MATH_3_TO_5 = 'hf:hkust-nlp/SimpleRL-Zoo-Data/simplelr_qwen_level3to5/train.parquet'  # 8,000 of MATH, levels 3 to 5
BOXED = 'Please reason step by step, and put your final answer within \\boxed{}.'
IN_TAGS = ' Think inside <think> </think> tags, then answer inside <answer> </answer> tags,'
VERL = 'volcengine/verl'
GREEDY = f'{VERL}: its validation is one sample, greedily'
VERL_LOSS = f'{VERL}, verl/trainer/config/ppo_trainer.yaml and ppo/core_algos.py'

VARIANTS = {
    'gsm8k-0.5b': "verl's GSM8K with Qwen2.5-0.5B-Instruct, 1,024 x 5; eight small chips or one GPU",
    'gsm8k-1.5b': "verl's GSM8K with Qwen2.5-1.5B-Instruct, 1,024 x 5: 0.78 to 0.80; eight small chips or one GPU",
    'countdown-3b': "TinyZero: Qwen2.5-3B on Countdown, 256 x 5; wants weights alone",
    'countdown-1gpu': 'nanoAhaMoment: Qwen2.5-3B on Countdown, 16 x 4, one GPU of 80 GB; wants weights alone',
    'simplerl-0.5b': 'SimpleRL-Zoo: Qwen2.5-0.5B on MATH, levels 3 to 5, 1,024 x 8: MATH-500 34.4',
    'simplerl-1.5b': 'SimpleRL-Zoo: Qwen2.5-1.5B on MATH, levels 3 to 5, 1,024 x 8: MATH-500 59.0',
    'simplerl-7b': 'SimpleRL-Zoo: Qwen2.5-7B on MATH, levels 3 to 5, 1,024 x 8: MATH-500 78.2',
    'dr-grpo-1.5b': 'Dr. GRPO: Qwen2.5-Math-1.5B, 128 x 8, 3,000 tokens, no KL',
    'dr-grpo-7b': 'Dr. GRPO: Qwen2.5-Math-7B, 128 x 8, 3,000 tokens, no KL: AIME 2024 43.3',
    'deepscaler-1.5b': 'DeepScaleR: R1-Distill-Qwen-1.5B in stages of 8k, 16k and 24k tokens: AIME 2024 28.8 to 43.1',
    'open-rs-1.5b': 'Open-RS: R1-Distill-Qwen-1.5B, 12 x 6, 3,584 tokens, four GPUs: AIME 2024 46.7',
    'orz-7b': 'Open-Reasoner-Zero: Qwen2.5-7B, 128 x 64, 8,000 tokens, no KL; as GRPO',
    'dapo-32b': 'DAPO: Qwen2.5-32B, 512 x 16, 20,480 tokens: AIME 2024 50 to 52; 128 chips',
}
# config -> topology -> the keys that make it fit there, beside its own; the first is config.topology.
TOPOLOGIES = {
    'gsm8k-0.5b': {'v5e:2x4': {}, 'h100:1x8': {}, 'h100:1x1': {'mesh.fsdp': 1}},
    'gsm8k-1.5b': {'v5e:2x4': {}, 'h100:1x8': {},
                   'h100:1x1': {'mesh.fsdp': 1, 'rl.micro_tokens': 32768, 'rl.slots': 256, 'evaluate.slots': 256,
                                'XLA_PYTHON_CLIENT_MEM_FRACTION': 0.95}},
    'countdown-3b': {'v6e:2x4': {}, 'h100:1x8': {}},
    'countdown-1gpu': {'h100:1x1': {}},
    'simplerl-0.5b': {'v5e:2x4': {}, 'h100:1x8': {}},
    'simplerl-1.5b': {'v6e:2x4': {}, 'h100:1x8': {}},
    'simplerl-7b': {'v5p:2x2x2': {}, 'h100:1x8': {}},
    'dr-grpo-1.5b': {'v5e:2x4': {'rl.slots': 256}, 'h100:1x8': {}},
    'dr-grpo-7b': {'v5p:2x2x2': {}, 'h100:1x8': {}},
    'deepscaler-1.5b': {'v5p:2x2x2': {}, 'h100:1x8': {}},
    'open-rs-1.5b': {'v5p:2x2x1': {}, 'h100:1x4': {}},
    'orz-7b': {'v5p:2x2x4': {}, 'h100:2x8': {}},
    'dapo-32b': {'v5p:4x4x8': {}, 'h100:16x8': {}},
}


def get_config(arg: str = 'gsm8k-1.5b') -> ConfigDict:
  if arg not in VARIANTS:
    raise ValueError(f'recipes.py has no {arg!r}: one of {", ".join(VARIANTS)}')
  name, _, size = arg.rpartition('-')
  make = {'gsm8k': gsm8k, 'countdown': tinyzero, 'simplerl': simplerl, 'dr-grpo': dr_grpo, 'deepscaler': deepscaler,
          'open-rs': open_rs, 'orz': orz, 'dapo': dapo}[name]
  return (nano_aha if arg == 'countdown-1gpu' else make)(size).config


def _recipe(arg: str, model: str, hub: str, **more) -> Recipe:
  return Recipe(arg, model, hub, tuple(TOPOLOGIES[arg]), **more)


def gsm8k(size: str) -> Recipe:
  """verl's own example on GSM8K (its baselines' page), with the two smallest Qwen2.5 that are instructed.

  15 of its epochs are 105 rollouts; "after 140 steps" are 140, 560 optimiser steps here. The answer is asked for in a
  box where verl asks for it behind ####, which our grader does not read.
  """
  r = _recipe(
      f'gsm8k-{size}', f'qwen2.5-{size}', f'Qwen/Qwen2.5-{size.upper()}-Instruct', fsdp=8,
      title=f'GRPO on GSM8K with Qwen2.5-{size.upper()}-Instruct, as verl has it',
      page='https://verl.readthedocs.io/en/latest/algo/baseline.html',
      data='openai/gsm8k, 7,473 questions, 1,319 of the test',
      hardware='8 GPUs (the script: n_gpus_per_node=8)',
      reached={'0.5b': 'its page: 0.543 by GRPO with LoRA, 0.567 by PPO, from 0.364',
               '1.5b': '0.78 to 0.80 after 140 steps, as others quote it; its page: 0.779 by GRPO with LoRA'}[size],
      missing='the prompt is ours: the box in a system prompt')
  script = f'{VERL}, examples/grpo_trainer/run_qwen2-7b.sh'
  r.put(script, groups=256, samples=5, minibatches=4, learning_rate=1e-6, max_prompt=512)
  r.put(f'{VERL}, docs/algo/baseline.md: logs "prompt512-resp1024" (the script: 512)', max_tokens=1024)
  r.put(script, steps=560)  # 140 of its steps
  r.put(VERL_LOSS, kl_coef=0.001, kl='k3', clip_low=0.2, clip_high=0.2, temperature=1.0, aggregate='token_mean')
  r.put(VERL_LOSS, 'rl.optimizer', weight_decay=0.01, clip_norm=1.0, warmup=0)
  r.put(f'{VERL}, verl/utils/reward_score/gsm8k.py: right or not', 'rewards', accuracy=1.0, format=0.0)
  r.ask(dict(source=GSM8K + 'train'), dict(source=GSM8K + 'test'), OURS, 'chat', system=BOXED)
  r.put(OURS, micro_tokens=8 * 8 * 1024, slots=512)
  r.measure(every=80, questions=1319, samples=1, batch=512, slots=512, source=GREEDY, temperature=0.0, top_p=1.0)
  least = {'0.5b': 0.5, '1.5b': 0.76}[size]
  r.expect(GSM8K + 'test', least, r.config.recipe.reached, step=560)
  return r


def _countdown(seed: int, size: int) -> dict:
  """Three or four numbers, as Jiayi-Pan/Countdown-Tasks-3to4 has them; targets up to 100, and 4,096 questions (its
  327,680), are ours: reasoning-gym makes about a hundred a second, and one in five is for training."""
  return dict(source='reasoning_gym:countdown', size=size, seed=seed, params=ConfigDict(dict(
      min_numbers=3, max_numbers=4, min_value=1, max_value=99, min_target=10, max_target=100)))


def tinyzero(size: str) -> Recipe:
  """TinyZero: Countdown from the 3B base, by its script for PPO, whose critic five samples a question replace."""
  r = _recipe(
      f'countdown-{size}', 'qwen2.5-3b', 'Qwen/Qwen2.5-3B', fsdp=8, title='TinyZero: Countdown with Qwen2.5-3B',
      page='https://github.com/Jiayi-Pan/TinyZero',
      data='reasoning-gym countdown (the source: Jiayi-Pan/Countdown-Tasks-3to4)',
      hardware='2 GPUs (README)', reached='its README gives no number: "sophisticated reasoning skills" of the 3B base',
      missing="PPO's critic; its KL in the reward (use_kl_loss is off) is a term of the loss here; its 0.1 for any "
              'wrong answer in tags is paid for the whole format')
  script = 'Jiayi-Pan/TinyZero, scripts/train_tiny_zero.sh'
  r.put(script, groups=128, minibatches=2, learning_rate=1e-6, kl_coef=0.001, max_prompt=256, max_tokens=1024)
  r.put('256 questions are the script\'s, five samples of each ours: ' + OURS, samples=5)
  r.put('Jiayi-Pan/TinyZero, verl/trainer/config/ppo_trainer.yaml', clip_low=0.2, clip_high=0.2, temperature=1.0,
        entropy_coef=0.001, kl='k3', aggregate='token_mean')
  r.put(VERL_LOSS, 'rl.optimizer', weight_decay=0.01, clip_norm=1.0, warmup=0)
  r.put('Jiayi-Pan/TinyZero, verl/utils/reward_score/countdown.py: 1, or 0.1', 'rewards', accuracy=0.9, format=0.1)
  r.put(OURS, steps=800)  # 400 of its steps
  r.ask(_countdown(1, 4096), _countdown(2, 512), 'Jiayi-Pan/TinyZero, examples/data_preprocess/countdown.py, almost',
        'r1_zero', prefill=' <think>')
  r.put(OURS, micro_tokens=8 * 8 * 1024, slots=512, ref_dtype='bfloat16')
  r.measure(every=40, questions=512, samples=1, batch=512, slots=512, source=GREEDY, temperature=0.0, top_p=1.0)
  r.expect('countdown', 0.5, f'{OURS}; nanoAhaMoment has about 0.6 with the same base', step=800)
  return r


def nano_aha(size: str) -> Recipe:
  """nanoAhaMoment: the same game and base on one GPU of 80 GB, on-policy, 64 samples a step."""
  del size
  r = _recipe(
      'countdown-1gpu', 'qwen2.5-3b', 'Qwen/Qwen2.5-3B', fsdp=1,
      title='nanoAhaMoment: Countdown with Qwen2.5-3B on one GPU',
      page='https://github.com/McGill-NLP/nano-aha-moment',
      data='reasoning-gym countdown (the source: Jiayi-Pan/Countdown-Tasks-3to4)', hardware='1 GPU of 80 GB (README)',
      reached='about 0.60 on Countdown (README, its 3B checkpoint), within 1,000 iterations',
      missing='"Let me solve this step by step." before <think>, which our format reward counts against; its 0.5 for '
              'the format around another text than an equation; its top-p 0.999, against tokens that its tokenizer '
              'has not')
  script = 'McGill-NLP/nano-aha-moment, nano_r1_script.py'
  r.put(script, groups=16, samples=4, minibatches=1, steps=1000, learning_rate=1e-6, kl_coef=0.001, temperature=1.0,
        max_tokens=1024, surrogate='reinforce', aggregate='token_mean', kl='k3')
  r.put(script, 'rl.optimizer', b1=0.9, weight_decay=0.0, clip_norm=1.0, warmup=0)
  r.put(script, 'rewards', accuracy=1.0, format=1.0)
  r.put(OURS, max_prompt=256)
  r.ask(_countdown(1, 4096), _countdown(2, 512), f'{script}, almost', 'chat', prefill='<think>',
        system='You are a helpful assistant. You first think about the reasoning process in the mind and then provide '
               'the user with the answer.' + IN_TAGS + ' for example <answer>(1 + 2) / 3</answer>.')
  r.put(OURS, micro_tokens=8 * 1024, slots=64, ref_dtype='bfloat16')
  r.put(f'{OURS}, in bfloat16 for room (the script: 0.999)', 'rl.optimizer', b2=0.98, dtype='bfloat16')
  r.measure(every=50, questions=128, samples=1, batch=64, slots=64, source=script, temperature=0.3, top_p=1.0)
  r.put(script, eval_every=25)
  r.expect('countdown', 0.55, 'README: about 0.60', step=1000)
  return r


def simplerl(size: str) -> Recipe:
  """SimpleRL-Zoo: zero RL from Qwen2.5's bases on 8,000 questions of MATH, about 100 steps of 1,024 x 8."""
  reached = {'0.5b': (0.158, 0.344), '1.5b': (0.296, 0.59), '7b': (0.646, 0.782)}[size]
  r = _recipe(
      f'simplerl-{size}', f'qwen2.5-{size}', f'Qwen/Qwen2.5-{size.upper()}', fsdp=8,
      title=f'SimpleRL-Zoo with Qwen2.5-{size.upper()}', page='https://arxiv.org/abs/2503.18892',
      data='hkust-nlp/SimpleRL-Zoo-Data, simplelr_qwen_level3to5: 8,000 of MATH, levels 3 to 5',
      hardware='2 x 8 H100, about 100 steps in 15 h (7B, 14B); at least one of 80 GB (0.5B) (README)',
      reached=f'MATH-500 {100 * reached[0]:.1f} to {100 * reached[1]:.1f} (README), one sample at temperature 1, '
              'top-p 0.95',
      missing='the box is asked for in the system prompt, not behind the question; its data come in three difficulties '
              'and with two prompts, and which went with 0.5B and 1.5B its README does not say: here the ones of 7B')
  readme, script = 'hkust-nlp/simpleRL-reason, README.md', 'hkust-nlp/simpleRL-reason, train_grpo_math_tune_ray.sh'
  r.put(readme, samples=8, kl_coef=1e-4, entropy_coef=0.001, max_tokens=8192)
  r.put(f'{readme}: 1,024 questions; {script}: in minibatches of 256', groups=256, minibatches=4)
  r.put(script, learning_rate=5e-7, max_prompt=1024, clip_low=0.2, clip_high=0.2, kl='k3', temperature=1.0)
  r.put(f'{readme}: about 100 steps', steps=400)
  r.put(VERL_LOSS, aggregate='token_mean')
  r.put(VERL_LOSS, 'rl.optimizer', weight_decay=0.01, clip_norm=1.0, warmup=0)
  r.put('arXiv:2503.18892: right or not, no format', 'rewards', accuracy=1.0, format=0.0)
  columns = dict(question='extra_info.question', answer='reward_model.ground_truth')
  r.ask(dict(source=MATH_3_TO_5, columns=columns), dict(source=MATH_500), f'{readme}, almost', 'chat', system=BOXED)
  tokens = {'0.5b': 8 * 2, '1.5b': 8 * 2, '7b': 8}[size] * 8192
  r.put(OURS, micro_tokens=tokens, slots=256)
  if size == '7b':
    r.put(OURS, ref_dtype='bfloat16')
  r.measure(every=40, questions=128, samples=4, batch=64, slots=256, source=readme, temperature=1.0, top_p=0.95)
  r.expect(MATH_500, round(reached[1] - 0.03, 3), f'README: {100 * reached[1]:.1f} after about 100 steps', step=400)
  r.expect(MATH_500, round(reached[1] - 0.02, 3), f'README: {100 * reached[1]:.1f}')
  return r


def dr_grpo(size: str) -> Recipe:
  """Dr. GRPO: no division by lengths or by the groups' deviation, no KL, from Qwen2.5-Math with its own prompt."""
  r = _recipe(
      f'dr-grpo-{size}', f'qwen2.5-math-{size}', f'Qwen/Qwen2.5-Math-{size.upper()}', fsdp=8,
      title=f'Dr. GRPO with Qwen2.5-Math-{size.upper()}', page='https://arxiv.org/abs/2503.20783',
      data={'7b': 'hkust-nlp/SimpleRL-Zoo-Data (the source: MATH, levels 3 to 5, datasets/train/math_lvl3to5_8k)',
            '1.5b': 'nlile/hendrycks-MATH-benchmark, 12,000 of MATH (the source: datasets/train/math_12k)'}[size],
      hardware='8 A100, 27 h (README, 7B); 8 A100 of 40 GB (1.5B)',
      reached={'7b': 'AIME 2024 43.3 (abstract), greedy', '1.5b': 'in a figure alone (assets/benchmark.png)'}[size],
      missing='')
  script = f'sail-sg/understand-r1-zero, examples/qwen2.5-math-{size}.sh'
  r.put(f'{script}: 128 questions, 8 updates of 128 outputs', groups=16, samples=8, minibatches=8)
  r.put(script, learning_rate=1e-6, kl_coef=0.0, temperature=1.0, max_prompt=1024, max_tokens=3000)
  r.put(f'{script}: --critic_type drgrpo', scale='none', aggregate='fixed_length')
  r.put(OURS, clip_low=0.2, clip_high=0.2, steps=4000)  # 500 rollouts: 8 epochs of 8,000; the script stops at 20
  r.put('sail-sg/oat, oat/args.py: its defaults', 'rl.optimizer', b1=0.9, b2=0.95, weight_decay=0.0, clip_norm=1.0)
  r.put(OURS, 'rl.optimizer', warmup=0)
  r.put('sail-sg/understand-r1-zero, train_zero_math.py: right or not', 'rewards', accuracy=1.0, format=0.0)
  train = (dict(source=MATH_3_TO_5, columns=dict(question='extra_info.question', answer='reward_model.ground_truth'))
           if size == '7b' else dict(source='hf:nlile/hendrycks-MATH-benchmark@train'))
  r.ask(train, dict(source=MATH_500), f'{script}: --prompt_template qwen_math', 'chat', system=BOXED)
  r.put(OURS, micro_tokens=8 * {'1.5b': 8, '7b': 4}[size] * 3000, slots=512)
  r.measure(every=160, questions=500, samples=1, batch=256, slots=256, source=f'{script}: --eval_temperature 0',
            temperature=0.0, top_p=1.0)
  r.put(script, 'evaluate', samples=1)
  with r.config.ignore_type():
    r.config.evaluate.tasks = (dict(source=common.AIME_2024, system=BOXED),)
  r.expect(MATH_500, {'1.5b': 0.68, '7b': 0.74}[size], OURS, step=4000)
  if size == '7b':
    r.expect(common.AIME_2024, 0.34, 'abstract: 43.3, greedy; one standard error of 30 questions is 0.09')
  return r


def deepscaler(size: str) -> Recipe:
  """DeepScaleR: R1's smallest distill learns with 8k tokens first, then with 16k and 24k. Three stages, each from the
  one before; "at step 1,040 and 1,520 the context length is extended" (its page's figure 1), of 2 updates each here."""
  r = _recipe(
      f'deepscaler-{size}', 'r1-distill-qwen-1.5b', 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B', fsdp=8,
      title='DeepScaleR-1.5B', page='https://pretty-radio-b75.notion.site/DeepScaleR-Surpassing-O1-Preview-with-a-1-5B-'
      'Model-by-Scaling-RL-19681902c1468005bed8ca303013a4e2',
      data='agentica-org/DeepScaleR-Preview-Dataset, about 40,000 questions',
      hardware='8 A100 of 80 GB for 8k, 32 for 16k and 24k; 3,800 A100 hours',
      reached='AIME 2024 28.8 to 43.1, MATH-500 82.8 to 87.8 (its page), 16 samples a question at temperature 0.6',
      missing='the box is asked for in a system prompt, not behind the question')
  script = 'agentica-project/rllm, scripts/deepscaler/train/deepscaler_1.5b_8k.sh'
  r.put(script, groups=64, samples=8, minibatches=2, learning_rate=1e-6, kl_coef=0.001, kl='k3', temperature=0.6,
        max_prompt=1024, max_tokens=8192)
  r.put(f'{VERL_LOSS}, as rllm carries it', clip_low=0.2, clip_high=0.2, entropy_coef=0.001, aggregate='token_mean')
  r.put(f'{VERL_LOSS}, as rllm carries it', 'rl.optimizer', weight_decay=0.01, clip_norm=1.0, warmup=0)
  r.put('agentica-project/rllm, rllm/rewards/math_reward.py: right or not', 'rewards', accuracy=1.0, format=0.0)
  r.ask(dict(source='hf:agentica-org/DeepScaleR-Preview-Dataset'), dict(source=common.AIME_2024),
        'agentica-project/rllm, scripts/data/deepscaler_dataset.py, almost', 'chat', system=BOXED)
  r.put(OURS, micro_tokens=8 * 24576, slots=256)
  r.measure(every=80, questions=30, samples=16, batch=16, slots=256, source=script, temperature=0.6, top_p=1.0)
  config, stages = r.config, (('rl_8k', 8192, 8, 2080), ('rl_16k', 16384, 16, 960), ('rl_24k', 24576, 16, 480))
  config.stages = (config.stages[0],
                   *(dict(name=name, run='rl', inputs=dict(checkpoint=before[0])) for before, (name, *_) in zip(
                       (('base',), *stages), stages)),
                   dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='rl_24k')))
  sources = config.recipe.sources
  config.recipe.sources = tuple(pair for pair in sources if not pair[0].startswith('rl.'))
  for name, tokens, samples, steps in stages:
    config[name] = config.rl.copy_and_resolve_references()
    config.recipe.sources += tuple((key.replace('rl', name, 1), said) for key, said in sources if key[:3] == 'rl.')
    r.put(script.replace('8k', name[3:]), name, max_tokens=tokens, samples=samples)
    r.put(OURS if name == 'rl_24k' else 'its page, figure 1', name, steps=steps)
  del config.rl  # what no stage reads would be set to no effect
  config.evaluate.max_tokens = 24576
  r.expect(common.AIME_2024, 0.41, 'its page: 43.1')
  for (name, *_, steps), least in zip(stages, (0.31, 0.36, 0.4)):
    r.expect(common.AIME_2024, least, f'{OURS}, read off its figure 1', step=steps, stage=name)
  return r


def open_rs(size: str) -> Recipe:
  """Open-RS: the same distill on four small GPUs in a day, 7,000 questions."""
  r = _recipe(
      f'open-rs-{size}', 'r1-distill-qwen-1.5b', 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B', fsdp=4, title='Open-RS3',
      page='https://arxiv.org/abs/2503.16219', data='knoveleng/open-rs, 7,000 questions',
      hardware='4 A40 of 48 GB, 24 h (README)',
      reached='AIME 2024 46.7 (README, Open-RS3), one sample at temperature 0.6',
      missing='its cosine reward, by length: right or wrong is paid in its place, with the same weight; the words of '
              'its system prompt, which asks for the same')
  recipe = 'knoveleng/open-rs, recipes/grpo.yaml'
  r.put(f'{recipe}: 6 a device, 3 devices, 4 micro-batches (README: --num_processes=3)', groups=12, minibatches=1)
  r.put(recipe, samples=6, steps=500, learning_rate=1e-6, temperature=0.7, max_prompt=512, max_tokens=3584)
  r.put(f'{recipe}: down to a tenth, which ours does', 'rl.optimizer', warmup=50, decay='cosine')
  r.put("TRL's default of that time, as the file names none", kl_coef=0.04)
  r.put("TRL's default", 'rl.optimizer', weight_decay=0.0, clip_norm=1.0)
  r.put(OURS, clip_low=0.2, clip_high=0.2)
  r.put(recipe, 'rewards', accuracy=2.0, format=1.0)
  r.ask(dict(source='hf:knoveleng/open-rs'), dict(source=common.AIME_2024), f'{recipe}, almost', 'chat',
        system='You are a helpful assistant.' + IN_TAGS + ' which ends with \\boxed{}. Answer in English.')
  r.put(OURS, micro_tokens=4 * 4 * 3584, slots=72)
  r.measure(every=100, questions=30, samples=4, batch=16, slots=64, source='README', temperature=0.6, top_p=0.95)
  r.config.evaluate.max_tokens = 32768 - 512
  r.expect(common.AIME_2024, 0.37, 'README: 46.7, one sample; one standard error of 30 questions is 0.09')
  return r


def orz(size: str) -> Recipe:
  """Open-Reasoner-Zero at 7B by its own GRPO script: one update a rollout of 128 x 64, nothing that holds it back."""
  r = _recipe(
      f'orz-{size}', 'qwen2.5-7b', 'Qwen/Qwen2.5-7B', fsdp=16, title='Open-Reasoner-Zero-7B as GRPO',
      page='https://arxiv.org/abs/2503.24290', data='Open-Reasoner-Zero/orz_math_57k_collection',
      hardware='32 GPUs (script)', reached='curves alone at 7B, and for PPO (figure 1)',
      missing='its stop at "</answer>" and "User:"')
  script = 'Open-Reasoner-Zero/Open-Reasoner-Zero, playground/orz_7b_grpo.py'
  r.put(script, groups=128, samples=64, minibatches=1, learning_rate=1e-6, kl_coef=0.0, temperature=1.0,
        max_prompt=2048, max_tokens=8000)
  r.put(script, 'rl.optimizer', warmup=50)
  base = 'Open-Reasoner-Zero/Open-Reasoner-Zero, orz/exps/examples/ppo/ppo_base_exp.py'
  r.put(base, 'rl.optimizer', b1=0.9, b2=0.95, weight_decay=0.0, clip_norm=1.0)
  # Its `if std := np.std(...) > 0` divides by True; advantage_normalize then divides by the deviation of all.
  r.put('Open-Reasoner-Zero/Open-Reasoner-Zero, playground/orz_7b_ppo.py, orz/ppo/trainer.py', scale='batch_std')
  r.put(OURS, clip_low=0.2, clip_high=0.2, steps=300)
  r.put('Open-Reasoner-Zero/Open-Reasoner-Zero, playground/orz_7b_ppo.py: right and ended, or not', 'rewards',
        accuracy=1.0, format=0.0)
  r.ask(dict(source='hf:Open-Reasoner-Zero/orz_math_57k_collection',
             columns=dict(question='0.value', answer='1.ground_truth.value')), dict(source=MATH_500),
        'Open-Reasoner-Zero/Open-Reasoner-Zero, playground/zero_setting_base.py, almost', 'r1_zero', prefill=' <think>')
  r.put(OURS, micro_tokens=16 * 2 * 8000, slots=512)
  r.measure(every=10, questions=128, samples=4, batch=64, slots=256, temperature=1.0, top_p=1.0)
  r.put(script, eval_every=10)
  r.expect(MATH_500, 0.74, OURS, step=300)
  return r


def dapo(size: str) -> Recipe:
  """DAPO at 32B: clip-higher, dynamic sampling, the token mean, overlong answers punished softly, no KL."""
  r = _recipe(
      f'dapo-{size}', 'qwen2.5-32b', 'Qwen/Qwen2.5-32B', fsdp=32, tensor=4, title='DAPO with Qwen2.5-32B',
      page='https://arxiv.org/abs/2503.14476',
      data='open-r1/DAPO-Math-17k-Processed (the source: BytedTsinghua-SIA/DAPO-Math-17k, each row a hundred times)',
      hardware='16 x 8 GPUs (script)', reached='AIME 2024 52, without dynamic sampling 50 (recipe/dapo/README.md)',
      missing='the prompt is ours')
  script = f'{VERL}, recipe/dapo/run_dapo_qwen2.5_32b.sh'
  r.put(script, groups=32, samples=16, minibatches=16, learning_rate=1e-6, kl_coef=0.0, clip_low=0.2, clip_high=0.28,
        aggregate='token_mean', overlong_buffer=4096, temperature=1.0, max_prompt=2048, max_tokens=20480)
  r.put(f'{script}: 10 of its steps', 'rl.optimizer', warmup=160)
  r.put(script, 'rl.optimizer', weight_decay=0.1, clip_norm=1.0)
  r.put(f'{script}: 1 or -1, and the penalty', 'rewards', accuracy=2.0, format=0.0, overlong=1.0)
  r.put(f'{script}: max_num_gen_batches, 10 of gen_prompt_bsz, 3 x 512 questions', dynamic_tries=30)
  r.put(f'{script}: filter_groups_metric=acc', dynamic_by='accuracy')
  r.put('DAPO\'s README: half the steps of R1-Zero-Qwen-32B, which has over 10,000 (section 4.1)', steps=5120)
  r.ask(dict(source='hf:open-r1/DAPO-Math-17k-Processed/all@train'), dict(source=common.AIME_2024), OURS, 'chat',
        system=BOXED)
  r.put(OURS, micro_tokens=32 * 20480, slots=512)
  r.config.logit_elements = 1 << 32
  r.measure(every=160, questions=30, samples=32, batch=32, slots=512, source="DAPO's README", temperature=1.0,
            top_p=0.7)
  r.expect(common.AIME_2024, 0.46, 'recipe/dapo/README.md: 52, 50 without dynamic sampling', step=5120)
  return r
