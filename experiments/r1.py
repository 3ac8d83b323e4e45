"""DeepSeek-R1: cold start, reasoning RL, rejection sampling, SFT, RL for all scenarios (section 2.3; tables 4 and 5).

  python -m r1jax.main --config=experiments/r1.py:tiny --workdir=runs/r1_tiny
  python -m r1jax.main --config=experiments/r1.py:no-language --config.from_run=runs/r1_tiny \\
      --workdir=runs/r1_no_language
  python -m r1jax.main --config=experiments/r1.py:qwen2.5-7b --config.base.source=DIR --workdir=runs/r1_7b
  python -m r1jax.plan --config=experiments/r1.py:deepseek-v3 --without-files

STAGES is the recipe, a row a stage, with what it learns with at each size; SIZES is where it runs, and what devices
hold at once. no-language is the ablation of section 2.3.2: reasoning RL again, from a finished tiny run's cold start,
without the language reward (as --config.rewards.language=0 does in a whole run).

tiny: sums in two languages, and the tiny world's general questions (r1jax/data/scenarios.py). What each stage
reaches, and the price of the language reward: docs/results.md.

qwen2.5-1.5b and -7b: the whole recipe with shorter contexts and fewer samples than the paper's. deepseek-v3: the
paper's own.
Not yet run; docs/plans.md says what was planned by compiler. They need weights, and files in the working directory that
are the user's own, as the paper's are not public: questions.jsonl, shown.jsonl (worked examples: question, reasoning,
answer), general.jsonl (prompt, completion), prompts.jsonl (general questions), and preferences:
helpful.jsonl, harmless.jsonl, second.jsonl. They are evaluated on AIME 2024, from the hub
(--config.evaluate.task.source=jsonl:FILE without it). Questions that no rule can grade are judged by DeepSeek-V3, as in
2.3.3, where --config.reject.judge.url says where it runs; else left out.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common

# Reward models, for stage 4 of the table below: size -> keys. tiny's learn from the policy's own samples and a rule.
MODELS = {
    'tiny': dict(source='policy', samples=16, pairs=24, epochs=3.0, batch=32, length=96,
                 optimizer=dict(learning_rate=1e-3, decay='cosine', weight_decay=0.01)),
    'qwen2.5-7b': dict(epochs=1.0, batch=32, length=8192, optimizer=dict(learning_rate=6e-6, decay='constant')),
    'deepseek-v3': dict(epochs=1.0, batch=256, length=8192, optimizer=dict(learning_rate=6e-6, decay='constant')),
}

# The recipe: stage -> what runs, what it takes, its keys at every size, {size: its keys there, which override}. `base`
# is in SIZES. deepseek-v3's numbers are v2's, unverified, or said to be ours.
STAGES = {
    # R1-Zero (2.2) beside the paper's four stages, as its outputs are one source of the cold start.
    'zero': ('rl', dict(checkpoint='base'), dict(
        template='r1_zero', rewards=dict(accuracy=1.0, format=1.0), samples=16, temperature=1.0, kl_coef=0.001,
        ref_every=400, clip_low=0.2, clip_high=0.2), {
            'tiny': dict(learning_rate=3e-4, steps=48, groups=16, minibatches=2, max_tokens=64, ref_every=0),
            'qwen2.5-7b': dict(learning_rate=1e-6, steps=800, groups=32, minibatches=4, max_tokens=7168),
            'deepseek-v3': dict(learning_rate=3e-6, steps=10400, groups=32, minibatches=16, micro_tokens=32 * 65536,
                                slots=128, max_tokens=((0, 32768), (8200, 65536)))}),
    'evaluate_zero': ('evaluate', dict(base='base', zero='zero'), None, {}),  # None: with the keys of `evaluate`

    # Stage 1, cold start (2.3.1): thousands of long chains of thought from four sources, and SFT on them. How many of
    # each, filters and the short warmup (it is few steps) are ours; so are epochs, batch and rate, taken from stage 3.
    'cold_data': ('cold_start', dict(base='base', zero='zero'), dict(
        format='r1', few_shot=dict(questions=1000, shots=1, examples='shown.jsonl'),
        reflection=dict(questions=1000, ask=dict(en=' Reflect on each step, and verify the answer before you give it.',
                                                 zh=' 请反思每一步，并在回答之前验证答案。'),
                        prefill=dict(en=' <think>', zh=' <think>')),
        zero=dict(questions=2000), samples=4, keep=2, temperature=1.0, top_p=1.0,
        filters=dict(format=True, language=0.9, paragraph=4000, code=True)), {
            # Readable: at least half of the words in the question's language. At 0.6 the cold start mixed too little
            # for the ablation to show much (0.89; after RL without the language reward 0.88, with it 0.99;
            # seed 0).
            'tiny': dict(few_shot=dict(questions=256, shots=2, examples='worked'), zero=dict(questions=512),
                         reflection=dict(questions=256, ask=dict(en=' Check it.', zh=' 请检查。'),
                                         prefill=dict(en=' <think> Step by step:', zh=' <think> 逐步计算:')),
                         max_tokens=64, filters=dict(language=0.5, paragraph=0)),
            'qwen2.5-7b': dict(max_tokens=7168),
            'deepseek-v3': dict(max_tokens=32768)}),
    'cold_start': ('sft', dict(checkpoint='base', data='cold_data'), dict(
        format='r1', optimizer=dict(decay='cosine', final_share=0.1, weight_decay=0.0)), {
            'tiny': dict(epochs=3.0, batch=16, length=144, optimizer=dict(learning_rate=2e-3, warmup=10)),
            'qwen2.5-7b': dict(epochs=2.0, batch=32, length=8192, optimizer=dict(learning_rate=5e-5, warmup=5)),
            'deepseek-v3': dict(epochs=2.0, batch=128, length=32768, optimizer=dict(learning_rate=5e-5, warmup=5))}),

    # Stage 2, reasoning RL (2.3.2): both rewards, summed. They stand in config.rewards (see get_config).
    'rl': ('rl', dict(checkpoint='cold_start'), dict(
        template='r1', rewards=dict(accuracy=1.0, format=0.0, language=1.0), samples=16, temperature=1.0, kl_coef=0.001,
        ref_every=400, clip_low=0.2, clip_high=0.2), {
            'tiny': dict(learning_rate=3e-4, steps=48, groups=16, minibatches=2, max_tokens=64, ref_every=0),
            'qwen2.5-7b': dict(learning_rate=1e-6, steps=400, groups=32, minibatches=4, max_tokens=7168),
            'deepseek-v3': dict(learning_rate=3e-6, steps=10400, groups=32, minibatches=16, max_tokens=32768,
                                clip_low=10.0, clip_high=10.0)}),
    'evaluate_rl': ('evaluate', dict(cold_start='cold_start', rl='rl'), None, {}),

    # Stage 3 (2.3.3): what is right and readable of stage 2's samples, about 600k, and about 200k others; then SFT of
    # the base again, two epochs. 600k, 200k and the epochs are the paper's; how many samples, and what is kept, ours.
    'reject': ('reject', dict(checkpoint='rl'), dict(
        template='r1', temperature=1.0, top_p=1.0, filters=dict(format=True, language=0.9, paragraph=4000, code=True),
        judge=dict(kind='auto', model='deepseek-ai/DeepSeek-V3'),
        general=dict(source='general.jsonl', false=0.0, harm=0.0)), {
            'tiny': dict(task=dict(size=8192), samples=3, keep=2, max_tokens=64, reasoning=9000,
                         filters=dict(language=0.95, paragraph=400),
                         judge=dict(kind='', model='', max_prompt=1024, max_tokens=64),
                         general=dict(source='scenarios', count=3000, false=0.25, harm=0.3)),
            'qwen2.5-7b': dict(samples=8, keep=4, max_tokens=7168, reasoning=60_000, general=dict(count=20_000)),
            'deepseek-v3': dict(samples=16, keep=8, max_tokens=32768, reasoning=600_000, general=dict(count=200_000))}),
    'sft': ('sft', dict(checkpoint='base', data='reject'), dict(
        format='r1', optimizer=dict(decay='cosine', final_share=0.1, weight_decay=0.0)), {
            'tiny': dict(epochs=2.0, batch=16, length=144, optimizer=dict(learning_rate=2e-3, warmup=10)),
            'qwen2.5-7b': dict(epochs=2.0, batch=32, length=8192, optimizer=dict(learning_rate=5e-5, warmup=100)),
            'deepseek-v3': dict(epochs=2.0, batch=128, length=32768, optimizer=dict(learning_rate=5e-5, warmup=100))}),

    # Stage 4, RL for all scenarios (2.3.4): reward models, then RL. `second` is for the last evaluation: no policy is
    # trained against it. The weights of the rewards are ours. v2 has 1,700 steps, general questions in the last 400:
    # here 1,696, as a rollout is 16 of them.
    'helpful': ('preference', dict(checkpoint='sft'), dict(
        template='r1', kind='pairs', source='helpful.jsonl'), MODELS),
    'harmless': ('preference', dict(checkpoint='sft'), dict(
        template='r1', kind='labels', source='harmless.jsonl'), {
            **MODELS, 'deepseek-v3': dict(MODELS['deepseek-v3'], micro_tokens=32 * 8192)}),  # single rows, no pairs
    'second': ('preference', dict(checkpoint='sft'), dict(
        template='r1', kind='pairs', source='second.jsonl'), {
            **MODELS, 'tiny': dict(MODELS['tiny'], split='base', samples=8, pairs=8, epochs=2.0)}),  # other questions
    'scenarios': ('rl', dict(checkpoint='sft', helpful='helpful', harmless='harmless'), dict(
        template='r1', rewards=dict(accuracy=1.0, format=0.5, language=0.5, helpful=1.0, harmless=1.0),
        general=dict(source='jsonl:prompts.jsonl', share=0.5, from_step=0), samples=16, temperature=1.0, kl_coef=0.001,
        ref_every=400, clip_low=0.2, clip_high=0.2), {
            'tiny': dict(learning_rate=2e-4, steps=40, groups=16, minibatches=2, max_tokens=64, ref_every=0,
                         general=dict(source='scenarios')),
            'qwen2.5-7b': dict(learning_rate=1e-6, steps=200, groups=32, minibatches=4, max_tokens=7168),
            'deepseek-v3': dict(learning_rate=3e-6, steps=1696, groups=32, minibatches=16, max_tokens=32768,
                                temperature=0.7, general=dict(from_step=1296))}),

    # Section 3's numbers are deepseek-v3's.
    'evaluate': ('evaluate', dict(sft='sft', final='scenarios', reward_helpful='helpful', reward_harmless='harmless',
                                  reward_second='second'), dict(
        template='r1', templates=dict(base='r1_zero', zero='r1_zero'), temperature=0.6, top_p=0.95,
        general=dict(source='jsonl:prompts.jsonl', models=('sft', 'final'))), {
            'tiny': dict(task=dict(size=256), samples=16, max_tokens=64, temperature=1.0, top_p=1.0,
                         general=dict(source='scenarios', samples=16)),
            'qwen2.5-7b': dict(samples=16, max_tokens=7168, general=dict(samples=1)),
            'deepseek-v3': dict(samples=64, max_tokens=32768, general=dict(samples=4))}),
}

CHAIN_SUM = dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)
SUMS = dict(source='reasoning_gym:chain_sum', params=CHAIN_SUM, chinese=0.25)
# The tiny base's text, fixed before any RL: a quarter in Chinese, half of the worked lines mixed; lines in one language
# slip three times as often as mixed ones (why: r1jax/data/corpus.py).
MIXTURE = dict(textbook=0.62, worked=0.3, broken_format=0.08, guess_right=0.08, slip=0.015, slip_mixed=0.005,
               noticed=0.5, spoken=True, chinese=0.25, mixed=0.5, checked=0.05, paired=0.1, boxed=0.5, facts=0.2)
TINY_BASE = dict(
    corpus='arithmetic', documents=56000, template='r1_zero', model='tiny', vocab_size=576, spare_tokens=8, task=SUMS,
    mixture=MIXTURE, steps=2600, batch=8, batch_of='rows', length=144, micro_tokens=8 * 144,  # as r1_zero.py's base
    log_every=20,
    optimizer=dict(learning_rate=3e-3, warmup=50, decay='cosine', final_share=0.05, weight_decay=0.01))

# Size -> the size in whose numbers it learns.
LEARNS_AS = {'qwen2.5-1.5b': 'qwen2.5-7b'}
# Where it runs: size -> its base, by what and with which keys; where questions come from; keys of the whole config; and
# keys of all stages in which the same runs: what devices hold at once, the room for a prompt, tiny's evaluations in RL.
SIZES = {
    'tiny': dict(
        base=('sft', TINY_BASE), questions=SUMS,
        config=dict(topology='cpu:1', logit_elements=1 << 21, keep_freed_memory=True),
        kinds=dict(
            rl=dict(micro_tokens=1536, slots=256, max_prompt=36, eval_every=16, eval_questions=48,
                    task=dict(size=4096)),
            sft=dict(micro_tokens=16 * 144, batch_of='rows'),  # as docs/results.md's figures were measured
            preference=dict(micro_tokens=3072, sample_batch=64, max_prompt=36, max_tokens=64),
            cold_start=dict(batch=64, max_prompt=128), reject=dict(batch=128, max_prompt=36),
            evaluate=dict(batch=32, slots=256, max_prompt=36))),
    'qwen2.5-1.5b': dict(  # one host of eight small chips: half as many at once
        base=('convert', dict(source='', model='qwen2.5-1.5b')), questions=dict(source='jsonl:questions.jsonl'),
        config=dict(topology='v5e:2x4', mesh=dict(data=1, fsdp=4, tensor=2, expert=1), logit_elements=1 << 28,
                    dtype='bfloat16', remat='full', checkpoints=dict(every=100, minutes=15.0)),
        kinds=dict(
            rl=dict(micro_tokens=4 * 7168, slots=64, eval_every=40),
            sft=dict(micro_tokens=4 * 8192, batch_of='documents'),  # as at full size, below
            preference=dict(micro_tokens=8 * 8192),
            cold_start=dict(batch=16, max_prompt=4096),
            reject=dict(batch=8),
            evaluate=dict(batch=4, slots=64, task=dict(source=common.AIME_2024)))),
    'qwen2.5-7b': dict(
        base=('convert', dict(source='', model='qwen2.5-7b')), questions=dict(source='jsonl:questions.jsonl'),
        config=dict(topology='v5p:2x2x2', mesh=dict(data=1, fsdp=8, tensor=1, expert=1), logit_elements=1 << 29,
                    dtype='bfloat16', remat='full', checkpoints=dict(every=100, minutes=15.0)),
        kinds=dict(
            rl=dict(micro_tokens=8 * 7168, slots=128, eval_every=40),  # 480 samples for every 20,480
            sft=dict(micro_tokens=8 * 8192, batch_of='documents'),  # as at full size, below
            preference=dict(micro_tokens=16 * 8192),
            cold_start=dict(batch=32, max_prompt=4096),  # worked examples stand before the question
            reject=dict(batch=8),
            evaluate=dict(batch=8, slots=128, task=dict(source=common.AIME_2024)))),
    'deepseek-v3': dict(
        base=('convert', dict(source='', model='deepseek-v3-base')), questions=dict(source='jsonl:questions.jsonl'),
        config=dict(topology='v5p:8x8x8', mesh=dict(data=1, fsdp=32, tensor=1, expert=16), logit_elements=1 << 32,
                    dtype='bfloat16', remat='full', checkpoints=dict(every=100, minutes=15.0)),
        kinds=dict(
            rl=dict(micro_tokens=32 * 32768, slots=256, eval_every=160),  # 480 samples for every 81,920
            # The paper's batch of 128 most plausibly counts samples. As packed rows of 32,768, each of which holds 6 to
            # 7 samples of 4,800 tokens, two epochs of 800k would be 1,900 steps instead of 12,500, at the same rate.
            sft=dict(micro_tokens=32 * 32768, batch_of='documents'),
            preference=dict(micro_tokens=2 * 32 * 8192),  # a pair a shard
            cold_start=dict(batch=32, max_prompt=8192), reject=dict(batch=32),
            evaluate=dict(batch=32, slots=256, task=dict(source=common.AIME_2024)))),
}

# What runs -> keys that neither table speaks of. Those of rl and evaluate are in common.py.
KINDS = dict(
    sft=dict(corpus='stage', path='', steps=0, log_every=10),
    cold_start=dict(slots=0, task=dict(seed=1, params={}, answer_type='', chinese=0.0)),
    reject=dict(slots=0, max_prompt=1024,
                task=dict(size=0, seed=1, params={}, prefill='', answer_type='', chinese=0.0),
                judge=common.JUDGE),
    preference=dict(split='train', samples=8, pairs=16, sample_batch=32, slots=0, max_prompt=1024, max_tokens=7168,
                    temperature=1.0, steps=0, log_every=10, optimizer=dict(warmup=0, weight_decay=0.0)))


VARIANTS = {
    'tiny': 'all fourteen stages of R1 on a laptop; nothing is downloaded',
    'no-language': "reasoning RL without the language reward; wants a finished r1:tiny, --config.from_run",
    'qwen2.5-1.5b': 'the whole recipe on one host of eight small chips; wants weights and your own files',
    'qwen2.5-7b': 'the whole recipe on eight chips; wants weights and your own files',
    'deepseek-v3': 'R1 itself (section 2.3), 512 chips; wants weights and your own files',
}
# config -> topology -> the keys that make it fit there, beside its own.
_ONE = {'mesh.fsdp': 1, 'mesh.tensor': 1}  # GPU
_LORA = {**_ONE, 'lora.rank': 16, **{f'{stage}.learning_rate': 1e-5 for stage in ('zero', 'rl', 'scenarios')},
         **{f'{stage}.optimizer.learning_rate': rate for stage, rate in dict(
             cold_start=2e-4, sft=2e-4, helpful=6e-5, harmless=6e-5, second=6e-5).items()}}  # adapters want more
_L4 = {**_LORA, **{f'{stage}.slots': 16 for stage in ('zero', 'rl', 'scenarios', 'evaluate', 'cold_data', 'reject')},
       **{f'{stage}.micro_tokens': 8192 for stage in ('zero', 'rl', 'scenarios', 'cold_start', 'sft')},
       **{f'{stage}.micro_tokens': 16384 for stage in ('helpful', 'harmless', 'second')},
       'XLA_PYTHON_CLIENT_MEM_FRACTION': 0.95}  # two reward models lie beside the last stage
_ALL = 'an update of all weights needs 35.0 GiB in SFT, 49.6 in RL'
TOPOLOGIES = {'qwen2.5-1.5b': {'v5e:2x4': {}, 'v6e:2x4': {}, 'v5p:2x2x2': {}, 'h100:1x8': {},
                               'h100:1x1': _ONE, 'h100:1x1 LoRA': _LORA,
                               'l4:1x1': _ALL, 'l4:1x1 LoRA': _L4, 't4:1x1': _ALL}}


def get_config(arg: str = 'tiny') -> ConfigDict:
  if arg == 'no-language':
    return no_language()
  if arg not in SIZES:
    raise ValueError(f'r1.py has no {arg!r}: one of tiny, no-language, {", ".join(list(SIZES)[1:])}')
  config, size = common.defaults(), SIZES[arg]
  config.name = f'r1_{arg}'
  config.update(size['config'])
  runs, config.base = size['base']
  stages = [dict(name='base', run=runs, inputs={})]
  kinds = dict(KINDS, rl=config.rl.to_dict(), evaluate=config.evaluate.to_dict())
  for name, (runs, inputs, keys, at) in STAGES.items():
    if keys is None:
      stages.append(dict(name=name, run=runs, config='evaluate', inputs=dict(inputs)))
      continue
    stages.append(dict(name=name, run=runs, inputs=dict(inputs)))
    stage = ConfigDict(kinds[runs])
    if 'task' in stage:
      stage.task.update(size['questions'])
    with stage.ignore_type():  # max_tokens may be a number or a schedule
      for values in (size['kinds'][runs], keys, at[LEARNS_AS.get(arg, arg)]):
        stage.update(values)
    config[name] = stage
  config.stages = tuple(stages)
  # Reasoning RL has no weights of its own but the config's: so --config.rewards.language=0 is the ablation.
  config.rewards.update(config.rl.rewards)
  config.rl.rewards = ConfigDict()
  return config


def no_language() -> ConfigDict:
  """Section 2.3.2's ablation on a finished tiny run's cold start: what the language reward does, and its price."""
  config = get_config('tiny')
  config.name = 'r1_no_language'
  config.from_run = ''
  config.rewards.language = 0.0
  config.stages = (dict(name='rl', run='rl', inputs=dict(checkpoint='from_run/cold_start')),
                   dict(name='evaluate', run='evaluate', inputs=dict(with_language='from_run/rl', final='rl')))
  config.evaluate.general.models = ()
  return config
