"""DeepSeek-R1: cold start, reasoning RL, rejection sampling, SFT, RL for all scenarios (section 2.3; tables 4 and 5).

  python -m r1jax.main --config=experiments/r1.py:tiny --workdir=runs/r1_tiny
  python -m r1jax.main --config=experiments/r1.py:no-language --config.from_run=runs/r1_tiny --workdir=runs/r1_no_language
  python -m r1jax.plan --config=experiments/r1.py:deepseek-v3

tiny: 35 to 37 minutes on 2 CPU cores, seeds 0 and 1, 2026-11-25; README.md has what it reached. no-language: its reasoning RL
again, from the same cold start, without the language reward (as --config.rewards.language=0 does in a whole run).
qwen2.5-7b and deepseek-v3: planned by compiler (README.md), not yet run.
"""

import importlib.util
import os

from ml_collections import ConfigDict

_SPEC = importlib.util.spec_from_file_location('common', os.path.join(os.path.dirname(__file__), 'common.py'))
common = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(common)

CHAIN_SUM = dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)
# The tiny base's text, fixed before any RL: a quarter in Chinese, half of the worked lines mixed; lines in one language
# slip three times as often as mixed ones (why: r1jax/data/corpus.py).
MIXTURE = dict(textbook=0.62, worked=0.3, broken_format=0.08, guess_right=0.08, slip=0.015, slip_mixed=0.005, noticed=0.5,
               spoken=True, chinese=0.25, mixed=0.5, checked=0.05, paired=0.1, boxed=0.5, facts=0.2)


def get_config(arg: str = 'tiny') -> ConfigDict:
  variants = {'tiny': tiny, 'no-language': no_language, 'qwen2.5-7b': qwen_7b, 'deepseek-v3': deepseek_v3}
  if arg not in variants:
    raise ValueError(f'r1.py has no {arg!r}: one of {", ".join(variants)}')
  return variants[arg](common.defaults())


def stages(base: str) -> tuple[dict, ...]:
  """R1-Zero beside it, as its outputs are one source of the cold start; then the paper's four stages."""
  models = lambda *names: {name: name for name in names}
  return (
      dict(name='base', run=base, inputs={}),
      dict(name='zero', run='rl', inputs=dict(checkpoint='base')),
      dict(name='evaluate_zero', run='evaluate', config='evaluate', inputs=models('base', 'zero')),
      dict(name='cold_data', run='cold_start', inputs=dict(base='base', zero='zero')),
      dict(name='cold_start', run='sft', inputs=dict(checkpoint='base', data='cold_data')),
      dict(name='rl', run='rl', inputs=dict(checkpoint='cold_start')),
      dict(name='evaluate_rl', run='evaluate', config='evaluate', inputs=models('cold_start', 'rl')),
      dict(name='reject', run='reject', inputs=dict(checkpoint='rl')),
      dict(name='sft', run='sft', inputs=dict(checkpoint='base', data='reject')),
      dict(name='helpful', run='preference', inputs=dict(checkpoint='sft')),
      dict(name='harmless', run='preference', inputs=dict(checkpoint='sft')),
      dict(name='second', run='preference', inputs=dict(checkpoint='sft')),  # nobody trains against it
      dict(name='scenarios', run='rl', inputs=dict(checkpoint='sft', helpful='helpful', harmless='harmless')),
      dict(name='evaluate', run='evaluate',
           inputs=dict(sft='sft', final='scenarios', reward_helpful='helpful', reward_harmless='harmless', reward_second='second')))


def _sft(**values) -> ConfigDict:
  """Keys of an SFT stage whose documents an earlier stage wrote."""
  config = ConfigDict(dict(corpus='stage', path='', format='r1', steps=0, epochs=2.0, batch=128, micro_batches=1, length=32768,
                           log_every=10, optimizer=dict(learning_rate=5e-5, warmup=0, decay='cosine', final_share=0.1,
                                                        weight_decay=0.0)))
  config.update(values)
  return config


def _preference(kind: str, **values) -> ConfigDict:
  """Keys of a reward model's stage; learning rate, batch, one epoch and length 8,192 are v2's, unverified."""
  config = ConfigDict(dict(kind=kind, source='policy', split='train', template='r1', samples=8, pairs=16, sample_batch=32,
                           max_prompt=1024, max_tokens=7168, temperature=1.0, steps=0, epochs=1.0, batch=256, micro_batches=1,
                           length=8192, log_every=10,
                           optimizer=dict(learning_rate=6e-6, warmup=0, decay='constant', weight_decay=0.0)))
  config.update(values)
  return config


def tiny_base(model: str = 'tiny', documents: int = 56000, steps: int = 2600) -> ConfigDict:
  """The base that R1 starts from, or with other arguments that of its students."""
  return ConfigDict(dict(
      corpus='arithmetic', documents=documents, template='r1_zero', model=model, vocab_size=576, spare_tokens=8,
      task=dict(source='reasoning_gym:chain_sum', params=CHAIN_SUM, chinese=0.25), mixture=MIXTURE,
      steps=steps, batch=8, micro_batches=1, length=144, log_every=20,
      optimizer=dict(learning_rate=3e-3, warmup=50, decay='cosine', final_share=0.05, weight_decay=0.01)))


def tiny_student(config: ConfigDict) -> None:
  """What distill.py:tiny and table6.py:tiny have in common: R1's held-out sums, and a base that is smaller and has read less.

  Trained as long as R1's (2,600 steps) it calculates so well (pass@16 0.980) that RL alone ends where distillation ends,
  at 0.96 (seed 0, 2026-11-25): table 6 compares what a small base cannot find by itself.
  """
  config.from_run = ''
  config.keep_freed_memory = True
  config.logit_elements = 1 << 21
  config.base = tiny_base(model='tiny-student', documents=28000, steps=800)
  tiny_evaluate(config.evaluate)


def tiny_sft(epochs: float) -> ConfigDict:
  return _sft(batch=16, length=144, epochs=epochs, optimizer=dict(learning_rate=2e-3, warmup=10, decay='cosine', final_share=0.1,
                                                                  weight_decay=0.0))


def tiny_rl(rl: ConfigDict, template: str, steps: int) -> ConfigDict:
  rl.template = template
  rl.task.update(source='reasoning_gym:chain_sum', size=4096, seed=1, params=ConfigDict(CHAIN_SUM), chinese=0.25)
  rl.steps, rl.groups, rl.samples, rl.minibatches, rl.micro_groups = steps, 16, 16, 2, 16
  rl.max_prompt, rl.max_tokens = 36, 64
  rl.learning_rate, rl.kl_coef, rl.ref_every = 3e-4, 0.001, 0
  rl.eval_every, rl.eval_questions = 16, 48
  return rl


def tiny_evaluate(evaluate: ConfigDict) -> None:
  evaluate.task.update(source='reasoning_gym:chain_sum', size=256, seed=2, params=ConfigDict(CHAIN_SUM), chinese=0.25)
  evaluate.samples, evaluate.batch = 16, 32
  evaluate.max_prompt, evaluate.max_tokens = 36, 64
  evaluate.temperature, evaluate.top_p = 1.0, 1.0
  evaluate.template = 'r1'
  evaluate.templates = dict(base='r1_zero', zero='r1_zero')


def tiny(config: ConfigDict) -> ConfigDict:
  """All of it on a laptop: sums in two languages, and the tiny world's general questions (r1jax/data/scenarios.py)."""
  config.name = 'r1_tiny'
  config.keep_freed_memory = True
  config.logit_elements = 1 << 21
  config.stages = stages('sft')
  config.base = tiny_base()
  config.rewards.update(accuracy=1.0, format=0.0, language=1.0)  # of reasoning RL: summed, as in section 2.3.2
  config.zero = tiny_rl(config.rl.copy_and_resolve_references(), 'r1_zero', 48)
  config.zero.rewards = dict(accuracy=1.0, format=1.0)
  config.cold_data = ConfigDict(dict(
      format='r1', task=dict(source='reasoning_gym:chain_sum', seed=1, params=CHAIN_SUM, answer_type='', chinese=0.25),
      few_shot=dict(questions=256, shots=2, examples='worked'),
      reflection=dict(questions=256, ask=dict(en=' Check it.', zh=' 请检查。'),
                      prefill=dict(en=' <think> Step by step:', zh=' <think> 逐步计算:')),
      zero=dict(questions=512), samples=4, keep=2, batch=64, max_prompt=128, max_tokens=64, temperature=1.0, top_p=1.0,
      # Readable: at least half of the words in the question's language. At 0.6 the cold start mixed too little for the
      # ablation to show much (0.89; after RL without the language reward 0.88, with it 0.99; seed 0, 2026-11-25).
      filters=dict(format=True, language=0.5, paragraph=0, code=True)))
  config.cold_start = tiny_sft(epochs=3.0)
  tiny_rl(config.rl, 'r1', 48)
  config.reject = ConfigDict(dict(
      template='r1', task=dict(source='reasoning_gym:chain_sum', size=8192, seed=1, params=CHAIN_SUM, prefill='',
                               answer_type='', chinese=0.25),
      samples=3, at_once=0, keep=2, batch=128, max_prompt=36, max_tokens=64, temperature=1.0, top_p=1.0, reasoning=9000,
      filters=dict(format=True, language=0.95, paragraph=400, code=True),
      judge=dict(kind='', url='', model='', checkpoint='', template='plain', max_prompt=1024, max_tokens=64),
      general=dict(source='scenarios', count=3000, false=0.25, harm=0.3)))
  config.sft = tiny_sft(epochs=2.0)  # as in the paper
  tiny_model = dict(max_prompt=36, max_tokens=64, batch=32, length=96, epochs=3.0, sample_batch=64, samples=16, pairs=24,
                    optimizer=dict(learning_rate=1e-3, warmup=0, decay='cosine', weight_decay=0.01))
  config.helpful = _preference('pairs', **tiny_model)
  config.harmless = _preference('labels', **tiny_model)
  config.second = _preference('pairs', **{**tiny_model, 'split': 'base', 'samples': 8, 'pairs': 8, 'epochs': 2.0})  # other questions, other pairs
  config.scenarios = tiny_rl(config.rl.copy_and_resolve_references(), 'r1', 40)
  config.scenarios.general = dict(source='scenarios', size=0, share=0.5, from_step=0)
  config.scenarios.rewards = dict(accuracy=1.0, format=0.5, language=0.5, helpful=1.0, harmless=1.0)
  config.scenarios.learning_rate = 2e-4
  tiny_evaluate(config.evaluate)
  config.evaluate.general = dict(source='scenarios', size=0, samples=16, models=('sft', 'final'))
  return config


def no_language(config: ConfigDict) -> ConfigDict:
  """The ablation of section 2.3.2 on a finished tiny run's cold start: what the language reward does, and its price."""
  config = tiny(config)
  config.name = 'r1_no_language'
  config.from_run = ''
  config.rewards.language = 0.0
  config.stages = (dict(name='rl', run='rl', inputs=dict(checkpoint='from_run/cold_start')),
                   dict(name='evaluate', run='evaluate', inputs=dict(with_language='from_run/rl', final='rl')))
  config.evaluate.general.models = ()
  return config


def qwen_7b(config: ConfigDict) -> ConfigDict:
  """The whole recipe on one host of eight chips: shorter contexts and fewer samples than the paper's.

  Files that are the user's own, as the paper's are not public: questions.jsonl, shown.jsonl (worked examples:
  question, reasoning, answer), general.jsonl (prompt, completion), prompts.jsonl (general questions), and preferences.
  """
  config.topology = 'v5p:2x2x2'
  config.base = ConfigDict(dict(source='', model='qwen2.5-7b'))
  config.mesh = dict(data=1, fsdp=8, tensor=1, expert=1)
  _published(config, 'qwen2.5-7b', length=8192, max_tokens=7168, sft_batch=32, sft_cuts=4, pairs=32, pair_cuts=4)
  for rl in (config.zero, config.rl, config.scenarios):
    rl.groups, rl.minibatches, rl.micro_groups, rl.micro_samples, rl.rollout_groups = 32, 4, 8, 1, 8
    rl.learning_rate = 1e-6
  config.zero.steps, config.rl.steps, config.scenarios.steps = 800, 400, 200
  config.scenarios.general.from_step = 0
  config.reject.update(samples=8, keep=4, reasoning=60_000, batch=8)
  config.reject.general.count = 20_000
  config.evaluate.batch, config.evaluate.samples, config.evaluate.at_once, config.evaluate.max_tokens = 8, 16, 16, 7168
  config.evaluate.task.source, config.evaluate.general.samples = 'jsonl:questions.jsonl', 1
  config.logit_elements = 1 << 29
  return config


def deepseek_v3(config: ConfigDict) -> ConfigDict:
  """The paper's own: DeepSeek-V3-Base, 32,768 tokens, about 600k + 200k samples, learning rates of v2 (unverified)."""
  config.topology = 'v5p:8x8x8'
  config.base = ConfigDict(dict(source='', model='deepseek-v3-base'))
  config.mesh = dict(data=1, fsdp=32, tensor=1, expert=16)
  _published(config, 'deepseek-v3', length=32768, max_tokens=32768, sft_batch=128, sft_cuts=4, pairs=256, pair_cuts=16)
  for rl in (config.zero, config.rl, config.scenarios):
    rl.micro_groups, rl.micro_samples, rl.rollout_groups = 32, 1, 32
  config.rl.clip_low = config.rl.clip_high = 10.0  # v2, unverified
  config.scenarios.temperature, config.scenarios.steps, config.scenarios.general.from_step = 0.7, 1696, 1296  # v2: 1,700, last 400
  config.evaluate.batch, config.evaluate.at_once = 32, 16
  config.evaluate.task.source = 'jsonl:questions.jsonl'
  config.logit_elements = 1 << 32
  return config


def _published(config: ConfigDict, name: str, *, length: int, max_tokens: int, sft_batch: int, sft_cuts: int, pairs: int,
               pair_cuts: int) -> None:
  """What the variants with published weights share: bfloat16, layers computed again in the backward pass, the user's files."""
  config.name = f'r1_{name}'
  config.dtype, config.remat = 'bfloat16', 'full'
  config.stages = stages('convert')
  config.checkpoints.every = 100
  config.rewards.update(accuracy=1.0, format=0.0, language=1.0)
  config.rl.max_tokens = max_tokens
  config.rl.task.source, config.rl.template = 'jsonl:questions.jsonl', 'r1'
  config.zero = config.rl.copy_and_resolve_references()
  config.zero.template, config.zero.rewards = 'r1_zero', dict(accuracy=1.0, format=1.0)
  config.scenarios = config.rl.copy_and_resolve_references()
  config.scenarios.general = dict(source='jsonl:prompts.jsonl', size=0, share=0.5, from_step=0)
  config.scenarios.rewards = dict(accuracy=1.0, format=0.5, language=0.5, helpful=1.0, harmless=1.0)
  sampling = dict(max_prompt=1024, max_tokens=max_tokens, batch=32, temperature=1.0, top_p=1.0)
  config.cold_data = ConfigDict(dict(
      format='r1', task=dict(source='jsonl:questions.jsonl', seed=1, params=ConfigDict(), answer_type='', chinese=0.0),
      few_shot=dict(questions=1000, shots=1, examples='shown.jsonl'),
      reflection=dict(questions=1000, ask=dict(en=' Reflect on each step, and verify the answer before you give it.',
                                               zh=' 请反思每一步，并在回答之前验证答案。'),
                      prefill=dict(en=' <think>', zh=' <think>')),
      zero=dict(questions=2000), samples=4, keep=2, **sampling,
      filters=dict(format=True, language=0.9, paragraph=4000, code=True)))
  config.cold_data.max_prompt = 8192 if length > 8192 else 4096  # worked examples before the question
  optimizer = dict(learning_rate=5e-5, warmup=100, decay='cosine', final_share=0.1, weight_decay=0.0)  # v2, unverified
  config.cold_start = _sft(batch=sft_batch, micro_batches=sft_cuts, length=length,
                           optimizer={**optimizer, 'warmup': 5})  # some thousand samples are few steps
  config.reject = ConfigDict(dict(
      template='r1', task=dict(source='jsonl:questions.jsonl', size=0, seed=1, params=ConfigDict(), prefill='', answer_type='', chinese=0.0),
      samples=16, at_once=0, keep=8, reasoning=600_000, **sampling,
      filters=dict(format=True, language=0.9, paragraph=4000, code=True),
      judge=dict(kind='', url='', model='', checkpoint='', template='plain', max_prompt=8192, max_tokens=1024),
      general=dict(source='general.jsonl', count=200_000, false=0.0, harm=0.0)))
  config.sft = _sft(batch=sft_batch, micro_batches=sft_cuts, length=length, optimizer=optimizer)
  given = dict(batch=pairs, micro_batches=pair_cuts, length=min(length, 8192))
  config.helpful = _preference('pairs', **given, source='helpful.jsonl')
  config.harmless = _preference('labels', **given, source='harmless.jsonl')
  config.second = _preference('pairs', **given, source='second.jsonl')
  config.evaluate.template = 'r1'
  config.evaluate.templates = dict(base='r1_zero', zero='r1_zero')
  config.evaluate.general = dict(source='jsonl:prompts.jsonl', size=0, samples=4, models=('sft', 'final'))
