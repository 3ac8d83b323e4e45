"""A workload of experiments/bench.py as stages/policy.py reads it; and what its mathematics asks for."""

from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from r1jax.bench import inputs as inputs_lib
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.models import zoo
from r1jax.stages import common


class NoEnd(NamedTuple):
  """What a Policy asks of a tokenizer, of one that ends nothing: a completion is as long as its limit."""
  eos_ids: tuple[int, ...] = (-1,)
  pad_id: int = 0


class Workload(NamedTuple):
  name: str
  w: ConfigDict  # its part of experiments/bench.py
  config: ConfigDict  # a run's
  c: ConfigDict  # its RL stage
  mesh: object
  model: object
  tokenizer: object  # of the weights; None where they are made here
  step_dir: str
  prompts: list[np.ndarray]
  lengths: np.ndarray | None  # [prompts * samples]; None: all are max_tokens long

  def limits(self, rollout: int) -> np.ndarray:
    """[N, G]: tokens of each sample of a rollout: the same lengths, dealt out anew, as nobody knows them before."""
    shape = self.c.groups, self.c.samples
    if self.lengths is None:
      return np.full(shape, self.c.max_tokens)
    return np.random.default_rng([1, rollout]).permutation(self.lengths).reshape(shape)

  def params(self):
    """Weights as they are trained."""
    if self.w.source == 'fresh':
      return params_lib.init(self.model, self.config.seed)
    return common.load_params(self.model, self.step_dir, self.mesh)


def run_config(config: ConfigDict, name: str) -> ConfigDict:
  """A run's config whose stage `rl` does what workload `name` says."""
  w, out = config[name], ConfigDict(config.to_dict())
  out.update({key: w[key] for key in ('dtype', 'remat', 'logit_elements', 'keep_freed_memory')})
  out.rl.update(groups=w.prompts, samples=w.samples, minibatches=1, micro_tokens=w.micro_tokens, slots=w.slots, carry=0,
                max_prompt=w.prompt_tokens, max_tokens=w.max_tokens, temperature=1.0, kl_coef=w.kl_coef,
                learning_rate=w.learning_rate, ref_every=0)
  return out


def lengths(w, seed: int = 0) -> np.ndarray | None:
  """[prompts * samples] int32, drawn once: log-normal with w.lengths' mean and sigma, cut off at max_tokens."""
  if not w.lengths.mean:
    return None
  mu = np.log(w.lengths.mean) - w.lengths.sigma**2 / 2
  drawn = np.random.default_rng(seed).lognormal(mu, w.lengths.sigma, w.prompts * w.samples)
  return np.clip(np.rint(drawn), 1, w.max_tokens).astype(np.int32)


def load(config: ConfigDict, name: str, work: str) -> Workload:
  """The workload on this process's devices; its inputs stand in the work dir."""
  w, run, found = config[name], run_config(config, name), inputs_lib.read(work, name)
  mesh = mesh_lib.create(run.mesh)
  if w.source == 'fresh':
    computed = {**common.computed(run, mesh), 'unroll': w.unroll}
    model = zoo.build(zoo.get(w.model, **w.sizes.to_dict(), **computed))
    tokenizer, step_dir = None, ''
  else:
    model, tokenizer, step_dir = common.load_model(found.checkpoint, **common.computed(run, mesh), unroll=w.unroll)
  prompts = [np.asarray(ids, np.int32) for ids in found.prompts]
  return Workload(name, w, run, run.rl, mesh, model, tokenizer, step_dir, prompts, lengths(w))


# --- FLOPs and bytes, from real tokens: what is computed again, or for padding, does not count


def update_flops(model, prompt_lengths, completion_lengths, samples: int) -> float:
  """Of one update: each prompt once for its group, every completion, forward and twice that backward."""
  P, T = np.asarray(prompt_lengths, np.float64), np.asarray(completion_lengths, np.float64)
  pairs = np.sum(P**2) / 2 + np.sum(T * np.repeat(P, samples) + T**2 / 2)  # of a query and a key before it
  body = 2 * model.active_weights() * (P.sum() + T.sum()) + model.attention_flops() * pairs
  return 3 * float(body + 2 * model.vocab_size * model.dim * T.sum())


def rollout_flops(model, prompt_lengths, completion_lengths, samples: int) -> float:
  """Of one rollout: the same products as the update's forward pass."""
  return update_flops(model, prompt_lengths, completion_lengths, samples) / 3


def rollout_bytes(model, prompt_lengths, completion_lengths, samples: int, *, steps: int, itemsize: int) -> float:
  """Read in one rollout: all weights at each decode step, of the cache what rows have filled."""
  P, T = np.repeat(np.asarray(prompt_lengths, np.float64), samples), np.asarray(completion_lengths, np.float64)
  filled = float(np.sum(T * P + T**2 / 2))
  weights = model.active_weights() + model.vocab_size * model.dim
  return itemsize * (steps * weights + filled * model.cache_width())
