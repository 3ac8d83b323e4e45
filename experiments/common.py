"""What every experiment shares: all keys there are, with the paper's values where it gives them.

A config is data. Values from the paper's second version (arXiv 2501.12948v2) are known here from secondary sources
only and marked "v2, unverified".
"""

import importlib.util
import os

from ml_collections import ConfigDict


def sibling(name: str):
  """Another experiment of this folder, as a module: a config may be made from another's parts."""
  spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(__file__), f'{name}.py'))
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def defaults() -> ConfigDict:
  """R1-Zero's GRPO stage and an evaluation as in section 3; experiments fill in model, task and sizes."""
  config = ConfigDict()
  config.name = ''
  config.seed = 0
  config.topology = 'cpu:1'  # what it is meant for: python -m r1jax.plan
  config.mesh = dict(data=-1, fsdp=1, tensor=1, expert=1)
  config.dtype = 'float32'  # of activations; parameters are float32
  config.remat = 'none'
  config.attention = 'auto'  # by platform: 'splash' on TPU, 'cudnn' on GPU in bfloat16, else 'xla'
  config.keep_freed_memory = False  # small models on a CPU: faster, see main.py
  config.logit_elements = 1 << 30  # entries of the largest array of logits, over all devices
  # Mixture of experts: step of the router's bias towards equal load at each update, and the weight of the
  # sequence-wise balance loss in SFT. DeepSeek-V3's pre-training: 0.001 and 0.0001 (report, section 4.2).
  config.experts = dict(bias_rate=0.0, balance_loss=0.0)
  config.stages = ()
  config.checkpoints = dict(every=50, keep=3)  # in optimiser steps
  # Weights; 0: off. The paper's R1 adds language; it has none of the last three (r1jax/rewards/length.py).
  config.rewards = dict(accuracy=1.0, format=1.0, language=0.0, truncated=0.0, overlong=0.0, repetition=0.0)
  config.rewards.update(helpful=0.0, harmless=0.0, process=0.0)  # by models: R1's last stage; section 4.2

  rl = ConfigDict()
  rl.template = 'r1_zero'
  # prefill opens every answer on the model's behalf; rewards count it in. answer_type: of a file's rows that name none
  rl.task = dict(source='', size=0, seed=1, params=ConfigDict(), prefill='', answer_type='', chinese=0.0)  # chinese: share of generated sums asked in Chinese
  # Questions without a rule ('scenarios', jsonl:FILE): this share of the groups from a step on; for reward models.
  rl.general = dict(source='', size=0, share=0.0, from_step=0)
  rl.rewards = ConfigDict()  # this stage's own weights; empty: config.rewards
  rl.steps = 10400  # v2, unverified
  rl.groups = 32  # questions an optimiser step; v2, unverified
  rl.samples = 16  # G; v2, unverified
  rl.minibatches = 16  # optimiser steps a rollout; v2, unverified
  rl.micro_groups = 32  # groups whose activations are held at once
  rl.micro_samples = 0  # of each group's outputs, held at once; 0: all
  rl.rollout_groups = 0  # groups sampled at once; 0: a rollout's all
  rl.max_prompt = 1024
  rl.max_tokens = 32768  # v2, unverified
  rl.overlong_buffer = 4096  # tokens before max_tokens in which the reward `overlong` falls to -1 (DAPO's)
  rl.temperature = 1.0  # v2, unverified
  rl.learning_rate = 3e-6  # v2, unverified
  rl.optimizer = dict(warmup=0, decay='constant', b1=0.9, b2=0.95, weight_decay=0.0, clip_norm=1.0)
  rl.kl_coef = 0.001  # v2, unverified
  rl.ref_every = 400  # v2, unverified; 0: never
  rl.clip_low = 0.2
  rl.clip_high = 0.2
  rl.ratio = 'token'
  rl.aggregate = 'sequence_mean'
  rl.scale = 'std'
  rl.old_logps = 'sampler'  # 'trainer': recomputed, one more forward pass a rollout
  rl.is_cap = 0.0  # > 0: truncated importance sampling, needs old_logps = 'trainer'
  rl.mismatch_limit = 0.5  # nats, between sampler and trainer before the first update
  rl.eval_every = 0  # optimiser steps; 0: never
  rl.eval_questions = 64
  rl.sample_groups = 2  # groups a rollout whose completions are written to samples/
  config.rl = rl

  config.evaluate = ConfigDict(dict(  # section 3
      template='r1_zero', task=dict(source='', size=0, seed=2, params=ConfigDict(), prefill='', answer_type='', chinese=0.0),
      templates=ConfigDict(),  # model -> its template, where it is another
      general=dict(source='', size=0, samples=8, models=()),  # questions without a rule, asked of these models
      samples=64,
      at_once=0,  # samples of a question drawn at a time; 0: all
      batch=16, max_prompt=1024, max_tokens=32768, temperature=0.6, top_p=0.95, prefill=ConfigDict()))
  return config
