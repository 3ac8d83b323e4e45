"""What every experiment shares: all keys there are, with the paper's values where it gives them.

A config is data. Values from the paper's second version (arXiv 2501.12948v2) are known here from secondary sources
only and marked "v2, unverified".

How a file of this folder imports another: --config=FILE and the tests load it by its path, which puts its folder on no
search path. So it puts it there itself, first, as Python does for a script, and then imports plainly. That holds from
any working directory and for a copy of the folder under any name. One process should load from one folder only.
"""

from ml_collections import ConfigDict

# prefill: opens every answer on the model's behalf; rewards count it in. chinese: the share of generated sums that are
# asked in Chinese. reward: what grades it, instead of what its rows ask for. system: a system prompt, for template
# 'chat'. rl.task may be a list of such tasks; share: of its questions in each rollout. Of a file: answer_type of rows
# that name none; columns, where names are none of data/columns.py's; strict: a row that cannot be asked is an error;
# split: 'base', 'train' or 'heldout', else it is asked whole; holdout: the share of it that an evaluation with the same
# holdout asks, and training does not.
_TASK = dict(source='', size=0, params={}, prefill='', answer_type='auto', chinese=0.0,
             columns=dict(question='', answer=''), strict=False, split='', holdout=0.0, reward='',
             system='', share=0.0)

# GRPO's choices: docs/objectives.md has each with its paper.
_OBJECTIVE = dict(
    ratio='token',  # or 'sequence' (eqs. 1 and 2 as printed), 'gspo'
    surrogate='clip',  # or 'cispo', 'reinforce'
    aggregate='sequence_mean',  # or 'token_mean' (DAPO), 'fixed_length' (Dr. GRPO)
    scale='std',  # of advantages; or 'none' (Dr. GRPO), 'rloo', 'batch_std' and 'global' (REINFORCE++)
    kl='k3',  # the estimator in the loss; or 'k2', 'k1'
    entropy_coef=0.0,  # of a bonus, in units of the objective a nat
    drop_truncated=False,  # completions cut off at max_tokens are left out of the loss; their rewards still count
    drop_equal=False)  # groups of equal rewards are in no mean, instead of adding zeros to it

# How rollouts are drawn and used, in the same table. curriculum.mode: 'drop_solved', 'prioritized' or 'easy_first';
# askings: of a question, the last ones, that its pass rate is of; low, high: rows whose column `pass_rate` lies
# elsewhere are not asked.
_DRAWING = dict(
    epochs=1,  # times that a rollout's minibatches are gone over
    dynamic_tries=0,  # groups of equal rewards are replaced, by at most so many times the rollout's groups (DAPO)
    dynamic_by='reward',  # or 'accuracy': groups of all right or all wrong answers, whatever other rewards say of them
    lag=0,  # 1: a rollout is sampled by the policy from before the update that runs beside it
    curriculum=dict(mode='', askings=1, low=0.0, high=1.0))


# Figure 2 and section 3: 30 rows of problem and answer. Without the hub: --config.evaluate.task.source=jsonl:FILE.
AIME_2024 = 'hf:HuggingFaceH4/aime_2024'
# Who grades what no rule can, in rejection sampling (2.3.3) and in evaluations (3). kind: '' nobody, 'endpoint',
# 'model', or 'auto': whichever of url and checkpoint is given. An endpoint has url, as http://HOST:8000/v1, and model,
# a name there; its key is in $R1JAX_JUDGE_KEY. parallel: requests under way; timeout: seconds of one; tries: of one
# question in a row. max_calls, max_tokens_total: what all its answers may cost, prompts counted in; 0: no limit.
# answers: where they are kept, if not in the stage's judged/. A checkpoint answers in this process: template,
# max_prompt and slots are its.
JUDGE = dict(kind='', url='', model='', checkpoint='', template='plain', max_prompt=8192, max_tokens=1024, slots=0,
             parallel=16, timeout=120.0, tries=5, max_calls=0, max_tokens_total=0, answers='')


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
  config.trackers = ()  # 'wandb', 'trackio', beside metrics.jsonl; the extras of these names install them
  config.keep_freed_memory = False  # small models on a CPU: faster, see main.py
  config.compile_cache = 'auto'  # where compiled programs are kept: ~/.cache/r1jax/xla; '': nowhere; or a directory
  config.logit_elements = 1 << 30  # entries of the largest array of logits, over all devices
  # Mixture of experts: step of the router's bias towards equal load at each update, and the weight of the
  # sequence-wise balance loss in SFT. DeepSeek-V3's pre-training: 0.001 and 0.0001 (report, section 4.2).
  config.experts = dict(bias_rate=0.0, balance_loss=0.0)
  # LoRA (docs/lora.md): rank 0 trains all weights; else adapters alone, in every stage that learns from a checkpoint. A
  # stage's own part may have a section of this name. The change is alpha / rank times a b. targets: 'all', 'attention',
  # 'mlp' or kernels by name, as 'q,v'. base_dtype: of the frozen weights; '': as config.dtype, 'int8': whole numbers.
  config.lora = dict(rank=0, alpha=32.0, targets='all', base_dtype='')
  config.stages = ()
  config.expect = ()  # thresholds that the run looks at as it goes: r1jax/expect.py, recipes.py
  # What an import has otherwise than its source; 0, '' and (): as there. rope_theta=40000.0 is what people give
  # Qwen2.5-Math for longer answers; stop: texts of tokens that end an answer, beside the source's own.
  config.model = dict(rope_theta=0.0, max_length=0, stop=(), rope_scaling=dict(kind='', factor=0.0, original_length=0))
  # every: optimiser steps; minutes: at least so often by the clock, 15 in variants whose checkpoints are large. grace:
  # seconds after SIGTERM in which a step may still end by itself; then it is left in the middle.
  config.checkpoints = dict(every=50, keep=3, minutes=2.0, grace=5.0)
  # Weights; 0: off. The paper's R1 adds language; it has none of the last three (r1jax/rewards/length.py).
  # Others by 'FILE.py:NAME', a function (completion, row) -> number, or by the name of an entry point 'r1jax.rewards'.
  config.rewards = ConfigDict(allow_dotted_keys=True)
  config.rewards.update(accuracy=1.0, format=1.0, language=0.0, truncated=0.0, overlong=0.0, repetition=0.0)
  config.rewards.update(helpful=0.0, harmless=0.0, process=0.0)  # by models: R1's last stage; section 4.2

  config.rl = _rl()
  config.evaluate = ConfigDict(dict(  # section 3
      template='r1_zero',
      templates={},  # model -> its template, where it is another
      task=dict(_TASK, seed=2),
      tasks=(),  # more of them, each {'source': .., ..}: asked beside it, over the same slots
      general=dict(source='', size=0, samples=8, models=()),  # questions without a rule, and models that answer them
      judge=dict(JUDGE, kind='auto'),
      samples=64,
      slots=0,  # completions decoded at once; 0: batch x samples
      batch=16, max_prompt=1024, max_tokens=32768, temperature=0.6, top_p=0.95, prefill={}))
  return config


def _rl() -> ConfigDict:
  """GRPO: how questions are asked, what is learned from."""
  rl = ConfigDict()
  rl.template = 'r1_zero'
  rl.task = dict(_TASK, seed=1)
  # Questions without a rule ('scenarios', jsonl:FILE): this share of the groups from a step on; for reward models.
  rl.general = dict(source='', size=0, share=0.0, from_step=0)
  rl.rewards = ConfigDict(allow_dotted_keys=True)  # this stage's own weights; empty: config.rewards
  rl.steps = 10400  # v2, unverified
  rl.groups = 32  # questions an optimiser step; v2, unverified
  rl.samples = 16  # G; v2, unverified
  rl.minibatches = 16  # optimiser steps a rollout; v2, unverified
  rl.micro_tokens = 1 << 20  # positions whose activations are held at once, over all devices; at least a row a shard
  rl.slots = 0  # completions decoded at once; 0: a rollout's all, at most 512
  rl.carry = 0  # groups that a rollout may leave unfinished, to be gone on with in the next
  rl.ref_dtype, rl.ref_memory = 'float32', 'device'  # of the reference policy: or 'bfloat16', 'host'
  rl.max_prompt = 1024
  rl.max_tokens = 32768  # v2, unverified
  rl.overlong_buffer = 4096  # tokens before max_tokens in which the reward `overlong` falls to -1 (DAPO's)
  rl.temperature = 1.0  # v2, unverified
  rl.learning_rate = 3e-6  # v2, unverified
  rl.optimizer = dict(warmup=0, decay='constant', b1=0.9, b2=0.95, weight_decay=0.0, clip_norm=1.0, dtype='float32')
  rl.kl_coef = 0.001  # v2, unverified
  rl.ref_every = 400  # v2, unverified; 0: never
  rl.clip_low = 0.2
  rl.clip_high = 0.2
  rl.update(_OBJECTIVE)
  rl.update(_DRAWING)
  rl.old_logps = 'sampler'  # 'trainer': recomputed, one more forward pass a rollout
  rl.is_cap = 0.0  # > 0: importance sampling, needs old_logps = 'trainer'
  rl.is_kind = 'truncate'  # weights over the cap become the cap; 'mask': those beyond it or below 1 / cap become 0
  # Mixtures of experts: the trainer sends each token to the experts that the sampler chose (R3, arXiv 2510.11370).
  rl.moe_replay = False
  # Nats of KL a token between sampler and trainer before the first rollout; 0: by dtype (5e-4, 5e-3).
  rl.mismatch_limit = 0.0
  rl.bad_steps = 3  # updates in a row that are skipped as not finite, before the run stops itself
  # Figure 2: pass@1 and the vote on the first questions of evaluate.task, so many samples of each, every so many
  # optimiser steps (0: never). At the defaults 1,024 samples for the 81,920 of ten rollouts.
  rl.eval_every = 160
  rl.eval_questions = 64
  rl.eval_samples = 16
  rl.sample_groups = 2  # groups a rollout whose completions are written to samples/
  return rl
