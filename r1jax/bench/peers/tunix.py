"""tunix's GRPOLearner on a bench's inputs, on a CPU in float32: python -P tunix.py SPEC.json, of environments.py.

tunix puts BOS before every prompt. Its Llama 3 turns keys by a theta of its own, whatever rope_theta says: the same
work, other numbers. Its sampler gets one key for all steps where no seed is given. Nothing ends a completion
(eos_tokens=[-1]).
"""

import json
import os
import statistics
import sys
import time

from flax import nnx
from grain import python as grain
import jax
import jax.numpy as jnp
import optax
import tokenizers
from tunix.models.llama3 import model as llama
from tunix.models.llama3 import params as llama_params
from tunix.rl import rl_cluster
from tunix.rl.grpo import grpo_learner
from tunix.rl.rollout import base_rollout

_NOTE = 'its Llama ignores rope_theta: the same work, other numbers'
_REMAT = {'none': llama.RematConfig.NONE, 'decoder': llama.RematConfig.DECODER, 'block': llama.RematConfig.BLOCK}


class Words:
  """A tokenizer as tunix asks for it."""

  def __init__(self, directory: str, bos: int, eos: int):
    self._inner = tokenizers.Tokenizer.from_file(os.path.join(directory, 'tokenizer.json'))
    self._bos, self._eos = bos, eos

  def encode(self, text, **_):
    return self._inner.encode(text, add_special_tokens=False).ids

  def decode(self, ids, **_):
    return self._inner.decode([int(i) for i in ids])

  def bos_id(self):
    return self._bos

  def eos_id(self):
    return self._eos

  def pad_id(self):
    return 0


class Phases:
  """Seconds of each phase of each step; a phase ends when its arrays are there."""

  def __init__(self):
    self.found, self._now = [], {}

  def timed(self, name: str, function, result):
    """function, timed as `name`; result: what it returns -> the arrays to wait for."""

    def call(*args, **kwargs):
      start = time.perf_counter()
      out = function(*args, **kwargs)
      jax.block_until_ready(result(out))
      self._now[name] = self._now.get(name, 0.0) + time.perf_counter() - start
      return out

    return call

  def step(self, function, result):
    """The same of a whole step, which ends the phases' figures."""
    inner = self.timed('step', function, result)

    def call(*args, **kwargs):
      self._now = {}
      out = inner(*args, **kwargs)
      self.found.append(self._now)
      print(f'step {len(self.found) - 1}:', {k: round(v, 3) for k, v in self._now.items()}, flush=True)
      return out

    return call


def model_config(directory: str, remat: str) -> llama.ModelConfig:
  with open(os.path.join(directory, 'config.json'), encoding='utf-8') as f:
    c = json.load(f)
  return llama.ModelConfig(
      num_layers=c['num_hidden_layers'], vocab_size=c['vocab_size'], embed_dim=c['hidden_size'],
      hidden_dim=c['intermediate_size'], num_heads=c['num_attention_heads'], head_dim=c['head_dim'],
      num_kv_heads=c['num_key_value_heads'], rope_theta=int(c['rope_theta']), norm_eps=c['rms_norm_eps'],
      weight_tying=c['tie_word_embeddings'], remat_config=_REMAT[remat])


def cluster(spec: dict, words: Words) -> rl_cluster.RLCluster:
  """Actor, reference and sampler on this process's CPU."""
  automatic = (jax.sharding.AxisType.Auto,) * 2
  mesh = jax.make_mesh((1, 1), ('fsdp', 'tp'), devices=jax.devices()[:1], axis_types=automatic)
  config = model_config(spec['hf'], spec['tunix']['remat'])
  load = llama_params.create_model_from_safe_tensors
  with mesh:
    actor, reference = (load(spec['hf'], config, mesh, dtype=jnp.float32) for _ in range(2))
  kinds = {x.dtype for x in jax.tree.leaves(nnx.state(actor, nnx.Param))}
  assert kinds == {jnp.dtype('float32')}, kinds
  whole, part = len(spec['prompts']), spec['tunix']['prompts']
  sizes = {} if part == whole else dict(
      mini_batch_size=whole, train_micro_batch_size=part, rollout_micro_batch_size=whole,
      compute_logps_micro_batch_size=whole)
  training = rl_cluster.RLTrainingConfig(actor_optimizer=optax.adamw(spec['learning_rate'], weight_decay=0.0),
                                         eval_every_n_steps=1 << 20, max_steps=spec['steps'] + 1, **sizes)
  sampling = base_rollout.RolloutConfig(
      max_tokens_to_generate=spec['max_tokens'], max_prompt_length=spec['prompt_tokens'],
      kv_cache_size=spec['prompt_tokens'] + spec['max_tokens'], temperature=1.0, top_p=1.0, top_k=None, eos_tokens=[-1])
  roles = (rl_cluster.Role.ACTOR, rl_cluster.Role.REFERENCE, rl_cluster.Role.ROLLOUT)
  return rl_cluster.RLCluster(
      actor=actor, reference=reference, tokenizer=words, cluster_config=rl_cluster.ClusterConfig(
          role_to_mesh={role: mesh for role in roles}, rollout_engine='vanilla', offload_to_cpu=False,
          training_config=training, rollout_config=sampling))


def digits(prompts, completions, **_):
  return [float(sum(map(str.isdigit, text))) for text in completions]


def train(spec: dict) -> list[dict[str, float]]:
  """Seconds of each step; the first compiles."""
  where, phases = cluster(spec, Words(spec['hf'], spec['prompts'][0][0], 2)), Phases()
  weights = lambda _: jax.tree.leaves(nnx.state(where.actor_trainer.model, nnx.Param))
  where.get_ref_per_token_logps = phases.timed('reference', where.get_ref_per_token_logps, lambda out: out)
  where.update_actor = phases.timed('update', where.update_actor, weights)
  generate = where.generate

  def checked(*args, **kwargs):
    out = generate(*args, **kwargs)
    assert {len(x) for x in out.tokens} == {spec['max_tokens']}, 'a completion is not as long as it should be'
    asked = {tuple(int(i) for i in row) for row in out.left_padded_prompt_tokens}
    assert asked == {tuple(ids) for ids in spec['prompts']}, 'tunix reads other tokens than it was given'
    return out

  where.generate = phases.timed('rollout', checked, lambda out: out.tokens)
  learner = grpo_learner.GRPOLearner(rl_cluster=where, reward_fns=digits, algo_config=grpo_learner.GRPOConfig(
      num_generations=spec['samples'], num_iterations=1, beta=spec['kl_coef'], epsilon=0.2))
  learner._run_global_step = phases.step(learner._run_global_step, weights)
  data = grain.MapDataset.source(spec['texts'] * (spec['steps'] + 1)).batch(len(spec['texts']))
  learner.train(data.map(lambda texts: {'prompts': texts}))
  return phases.found[:spec['steps'] + 1]


def peak_bytes() -> int:
  with open('/proc/self/status', encoding='utf-8') as f:
    return int(next(line for line in f if line.startswith('VmHWM:')).split()[1]) << 10


def main(path: str) -> None:
  with open(path, encoding='utf-8') as f:
    spec = json.load(f)
  found = train(spec)[1:]
  median = lambda name: statistics.median(step[name] for step in found)
  tokens, sampling = len(spec['prompts']) * spec['samples'] * spec['max_tokens'], median('rollout')
  print(json.dumps({
      'workload': spec['workload'], 'program': 'tunix', 'step_seconds': median('step'), 'rollout_seconds': sampling,
      'rollout_tokens_per_second': tokens / sampling, 'reference_seconds': median('reference'),
      'update_seconds': median('update'), 'peak_bytes': peak_bytes(), 'slot_use': None, 'token_use': None,
      'steps': len(found), 'note': _NOTE}))


if __name__ == '__main__':
  main(sys.argv[1])
