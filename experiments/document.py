"""What a recipe is made of: a config whose values come each with their source, and its document (recipes.py)."""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common

OURS = 'not given by the source: ours'
GSM8K = 'hf:openai/gsm8k/main@'
MATH_500 = 'hf:HuggingFaceH4/MATH-500@test'
SCORES = {GSM8K + 'test': 'eval/openai_gsm8k_main_test/pass@1', MATH_500: 'eval/HuggingFaceH4_MATH-500_test/pass@1',
          common.AIME_2024: 'eval/HuggingFaceH4_aime_2024/pass@1', 'countdown': 'eval/countdown/pass@1'}


class Recipe:
  """A config that is filled in value by value, each with its source."""

  def __init__(self, arg: str, model: str, hub: str, topologies: tuple[str, ...], *, fsdp: int, tensor: int = 1,
               **document):
    """hub: where the weights are; document: of config.recipe."""
    config = self.config = common.defaults()
    config.name, config.topology = f'recipe_{arg}', topologies[0]
    config.dtype, config.remat, config.logit_elements = 'bfloat16', 'full', 1 << 28
    config.mesh = dict(data=1, fsdp=fsdp, tensor=tensor, expert=1)
    config.checkpoints.every, config.checkpoints.minutes = 100, 15.0
    config.stages = (dict(name='base', run='convert', inputs={}),
                     dict(name='rl', run='rl', inputs=dict(checkpoint='base')),
                     dict(name='evaluate', run='evaluate', inputs=dict(base='base', final='rl')))
    config.base = ConfigDict(dict(source=f'hf:{hub}', model=model))
    config.recipe = ConfigDict({'model': hub, 'missing': '', 'topologies': topologies, **document, 'sources': ()})
    self.put("torch's default, as the source names no other", 'rl.optimizer', b1=0.9, b2=0.999)
    config.rl.ref_every = 0  # no source with a KL replaces its reference while it learns

  def put(self, source: str, part: str = 'rl', **values) -> None:
    """Values of a part of the config, all from one source."""
    at = self.config
    for name in part.split('.'):
      at = at[name]
    with at.ignore_type():
      at.update(values)
    self._said(part, values, source)

  def _said(self, part: str, keys, source: str) -> None:
    names = [f'{part}.{key}' for key in keys]
    before = tuple(pair for pair in self.config.recipe.sources if pair[0] not in names)
    self.config.recipe.sources = (*before, *((name, source) for name in names))

  def ask(self, train: dict, heldout: dict, source: str, template: str, **more) -> None:
    """Questions to learn from and to be measured on, in the same words; more: keys of both tasks (system, prefill)."""
    for part, task in (('rl', train), ('evaluate', heldout)):
      self.config[part].task.update({**task, **more})
      self.config[part].template = template
    self._said('rl', ('task', 'template'), source)

  def measure(self, *, every: int, questions: int, samples: int, batch: int, slots: int, source: str = OURS,
              **values) -> None:
    """How often the run is evaluated, how the end is, and what devices hold at once; values: of the evaluation, from
    source."""
    rl, evaluate = self.config.rl, self.config.evaluate
    rl.eval_every, rl.eval_questions, rl.eval_samples = every, questions, samples
    evaluate.batch, evaluate.slots, evaluate.samples = batch, slots, samples
    evaluate.max_prompt, evaluate.max_tokens = rl.max_prompt, rl.max_tokens
    self._said('rl', ('eval_every', 'eval_questions', 'eval_samples'), OURS)
    self._said('evaluate', ('samples', 'max_prompt', 'max_tokens'), OURS)
    self.put(source, 'evaluate', **values)

  def expect(self, task: str, least: float, says: str, *, step: int = 0, stage: str = 'rl') -> None:
    """By a step of RL, or (step 0) of the final model in the last evaluation."""
    where = dict(stage=stage) if step else dict(stage='evaluate', model='final')
    self.config.expect += (dict(where, metric=SCORES[task], step=step, least=least, says=says),)
