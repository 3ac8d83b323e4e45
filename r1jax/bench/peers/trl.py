"""TRL's GRPOTrainer on a bench's inputs, on a CPU in float32: python -P trl.py SPEC.json, of environments.py.

TRL would take bfloat16, gradient checkpointing, the loss "dapo" and no KL by itself: all of that is set. The end of a
completion is held back until it has its full length (min_new_tokens).
"""

import contextlib
import json
import statistics
import sys
import time

import datasets
import torch
import transformers
import trl


class Stopwatch:
  """Seconds by name since the last lap."""

  def __init__(self):
    self._seconds, self._start = {}, time.perf_counter()

  @contextlib.contextmanager
  def count(self, name: str):
    start = time.perf_counter()
    yield
    self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

  def lap(self) -> dict[str, float]:
    now = time.perf_counter()
    seconds, self._seconds, self._start = {**self._seconds, 'step': now - self._start}, {}, now
    return seconds


class Timed(trl.GRPOTrainer):
  """The trainer with its phases timed: sampling, the reference's log-probs, and all that comes before the gradient."""

  def __init__(self, watch: Stopwatch, spec: dict, **kwargs):
    self._watch, self._spec = watch, spec
    super().__init__(**kwargs)

  def _generate_single_turn(self, prompt_ids, *args, **kwargs):
    asked = {tuple(ids) for ids in prompt_ids}
    assert asked <= {tuple(ids) for ids in self._spec['prompts']}, 'TRL reads other tokens than it was given'
    with self._watch.count('rollout'):
      out = super()._generate_single_turn(prompt_ids, *args, **kwargs)
    assert {len(ids) for ids in out[0]} == {self._spec['max_tokens']}, 'a completion is shorter than it should be'
    return out

  def _get_per_token_logps_and_entropies(self, *args, **kwargs):
    if torch.is_grad_enabled():
      return super()._get_per_token_logps_and_entropies(*args, **kwargs)
    with self._watch.count('reference'):
      return super()._get_per_token_logps_and_entropies(*args, **kwargs)

  def _generate_and_score_completions(self, *args, **kwargs):
    with self._watch.count('before'):
      return super()._generate_and_score_completions(*args, **kwargs)


class Laps(transformers.TrainerCallback):
  """Seconds of every optimiser step, from the end of the one before it."""

  def __init__(self, watch: Stopwatch):
    self.found, self._watch = [], watch

  def on_train_begin(self, *args, **kwargs):
    self._watch.lap()

  def on_step_end(self, *args, **kwargs):
    self.found.append(self._watch.lap())
    print(f'step {len(self.found) - 1}:', {k: round(v, 3) for k, v in self.found[-1].items()}, flush=True)


def digits(completions, **_):
  return [float(sum(map(str.isdigit, text))) for text in completions]


def train(spec: dict) -> list[dict[str, float]]:
  """Seconds of each step, the first of which compiles nothing but warms up all the same."""
  torch.set_num_threads(spec['threads'])
  batch, micro = len(spec['prompts']) * spec['samples'], spec['trl']['micro_batch']
  config = trl.GRPOConfig(
      output_dir=spec['scratch'], use_cpu=True, bf16=False, fp16=False, model_init_kwargs={'dtype': 'float32'},
      gradient_checkpointing=spec['trl']['checkpointing'], loss_type='grpo', beta=spec['kl_coef'], epsilon=0.2,
      num_iterations=1,
      per_device_train_batch_size=micro, gradient_accumulation_steps=batch // micro,
      num_generations=spec['samples'],
      max_completion_length=spec['max_tokens'], generation_kwargs={'min_new_tokens': spec['max_tokens']},
      temperature=1.0, top_p=1.0, top_k=0, learning_rate=spec['learning_rate'], lr_scheduler_type='constant',
      weight_decay=0.0, max_steps=spec['steps'] + 1, shuffle_dataset=False, report_to=[],
      logging_strategy='no', save_strategy='no', disable_tqdm=True, seed=0)
  rows = datasets.Dataset.from_list([{'prompt': spec['bos'] + text} for text in spec['texts']] * (spec['steps'] + 1))
  watch = Stopwatch()
  laps = Laps(watch)
  trainer = Timed(
      watch, spec, model=spec['hf'], reward_funcs=digits, args=config, train_dataset=rows, callbacks=[laps],
      processing_class=transformers.AutoTokenizer.from_pretrained(spec['hf'], padding_side='left'))
  kinds = {parameter.dtype for parameter in trainer.model.parameters()}
  assert kinds == {torch.float32}, kinds
  assert trainer.model.is_gradient_checkpointing == spec['trl']['checkpointing']
  trainer.train()
  return laps.found


def peak_bytes() -> int:
  with open('/proc/self/status', encoding='utf-8') as f:
    return int(next(line for line in f if line.startswith('VmHWM:')).split()[1]) << 10


def main(path: str) -> None:
  with open(path, encoding='utf-8') as f:
    spec = json.load(f)
  found = train(spec)[1:]
  median = lambda value: statistics.median(map(value, found))
  tokens, sampling = len(spec['prompts']) * spec['samples'] * spec['max_tokens'], median(lambda lap: lap['rollout'])
  print(json.dumps({
      'workload': spec['workload'], 'program': 'trl', 'step_seconds': median(lambda lap: lap['step']),
      'rollout_seconds': sampling,
      'rollout_tokens_per_second': tokens / sampling,
      'reference_seconds': median(lambda lap: lap.get('reference', 0.0)),
      'update_seconds': median(lambda lap: lap['step'] - lap['before']), 'peak_bytes': peak_bytes(),
      'slot_use': None, 'token_use': None, 'steps': len(found), 'version': trl.__version__}))


if __name__ == '__main__':
  main(sys.argv[1])
