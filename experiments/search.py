"""The paper's attempts that failed (section 4.2): process reward models, and Monte Carlo tree search.

  python -m r1jax.main --config=experiments/search.py:prm  --config.from_run=runs/r1_tiny --workdir=runs/prm_tiny
  python -m r1jax.main --config=experiments/search.py:mcts --config.from_run=runs/r1_tiny --workdir=runs/mcts_tiny
  python -m r1jax.plan --config=experiments/search.py:prm-qwen2.5-7b --without-files

prm: a model that scores each step reranks n answers and guides a beam; then RL against it, with accuracy beside it as
the hacking monitor. mcts: a value model guides a tree of steps; actor and value are trained in turns. In both the model
of steps learns from roll-outs of each step (Math-Shepherd), and is refused where its AUC on held-out questions is under
steps.least_auc; searches stand beside plain sampling for as many tokens. Both start from the cold start of a finished
r1.py:tiny. prm-qwen2.5-7b, mcts-qwen2.5-7b: from the base itself, with weights (--config.base.source=DIR) and the
user's questions.jsonl. Planned by compiler (docs/plans.md), not yet run.
"""

import os
import sys

from ml_collections import ConfigDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # it is loaded by its path: see common.py
import common
import r1


VARIANTS = {
    'prm': 'a process reward model reranks, guides beams and is trained against; wants a finished r1:tiny,'
           ' --config.from_run',
    'mcts': 'a value model guides a tree search (section 4.2); wants a finished r1:tiny, --config.from_run',
    'prm-qwen2.5-7b': 'prm at 7B on eight chips; wants weights and questions',
    'mcts-qwen2.5-7b': 'mcts at 7B on eight chips; wants weights and questions',
}


def get_config(arg: str = 'prm') -> ConfigDict:
  variants = {'prm': (prm, 'tiny'), 'mcts': (mcts, 'tiny'),
              'prm-qwen2.5-7b': (prm, '7b'), 'mcts-qwen2.5-7b': (mcts, '7b')}
  if arg not in variants:
    raise ValueError(f'search.py has no {arg!r}: one of {", ".join(variants)}')
  make, size = variants[arg]
  config = common.defaults()
  (_tiny if size == 'tiny' else _published)(config)
  config.name = f'search_{arg}'
  if size == 'tiny':
    return make(config, 'from_run/cold_start', ())
  return make(config, 'base', (dict(name='base', run='convert', inputs={}),))


def prm(config: ConfigDict, actor: str, before: tuple) -> ConfigDict:
  """Reranking and guided search work; RL against the model is what it was not worth (and may be gamed)."""
  config.stages = (
      *before, dict(name='steps', run='process', inputs=dict(checkpoint=actor)),
      dict(name='rerank', run='search', inputs=dict(checkpoint=actor, steps='steps')),
      dict(name='beam', run='search', inputs=dict(checkpoint=actor, steps='steps')),
      dict(name='rl', run='rl', inputs=dict(checkpoint=actor, process='steps')),
      dict(name='evaluate', run='evaluate', inputs=dict(base=actor, final='rl')))
  config.steps.kind = 'process'
  config.rerank, config.beam = _search(config, 'rerank'), _search(config, 'beam')
  config.rl.rewards = dict(process=1.0)
  del config.any_search, config.actor  # what no stage reads would be set to no effect
  return config


def mcts(config: ConfigDict, actor: str, before: tuple) -> ConfigDict:
  """Two turns: search on training questions, the actor learns its right answers, the value model from roll-outs of that
  actor. How the search's own prefixes ended is too little to learn from at this size (AUC 0.54): value.source='stage'
  with inputs=dict(checkpoint='actor', data='search') would take it."""
  config.stages = (
      *before, dict(name='steps', run='process', inputs=dict(checkpoint=actor)),
      dict(name='search', run='search', inputs=dict(checkpoint=actor, steps='steps')),
      dict(name='actor', run='sft', inputs=dict(checkpoint=actor, data='search')),
      dict(name='value', run='process', inputs=dict(checkpoint='actor')),
      dict(name='before', run='search', inputs=dict(checkpoint=actor, steps='steps')),
      dict(name='after', run='search', config='before', inputs=dict(checkpoint='actor', steps='value')),
      dict(name='evaluate', run='evaluate', inputs=dict(base=actor, final='actor')))
  config.steps.kind, config.steps.estimate = 'value', 'soft'
  config.value = config.steps.copy_and_resolve_references()
  config.search, config.before = _search(config, 'mcts'), _search(config, 'mcts')
  config.search.split, config.search.task.seed, config.search.task.size = 'train', 3, 2 * config.search.task.size
  del config.any_search
  return config


def _search(config: ConfigDict, kind: str) -> ConfigDict:
  found = config.any_search.copy_and_resolve_references()
  found.kind = kind
  return found


def _keys(**values) -> tuple[ConfigDict, ConfigDict]:
  """(keys of a model of steps, keys of a search)."""
  shared = dict(template='r1', separators=(',', '.'), **values)
  # form: 'head', a scalar read off the hidden state at a step's end, or 'implicit', beta times the log-ratio of the
  # answer so far between the reader and the policy that it began as (Yuan et al. 2024, arXiv:2412.01981), of which
  # each step's has all steps before it: take the least, combine='min';
  # samples: answers a question, of which `keep` are labelled, right ones and wrong ones alike; rollouts: completions of
  # each step (Math-Shepherd's N; 0: labels by rule, or by how the answer ends), of at most `prefixes` steps an answer;
  # estimate: 'hard', whether a completion ends right, or 'soft', the share that does; balance: right steps and wrong
  # ones weigh the same in the loss; least_auc: on held-out questions, under which it is refused; combine: an answer's
  # score from its steps', 'product' or 'min'.
  steps = ConfigDict(dict(
      shared, kind='process', form='head', beta=0.0, source='policy', temperature=1.0, samples=8, keep=4, rollouts=8,
      rollout_temperature=1.0, estimate='hard', prefixes=16, balance=True, least_auc=0.75, combine='product',
      sample_batch=64, slots=0, batch=32, micro_tokens=32 * 104, length=104, steps=0, epochs=1.0, log_every=10,
      optimizer=dict(learning_rate=1e-3, warmup=10, decay='cosine', weight_decay=0.01)))
  search = ConfigDict(dict(
      shared, split='heldout', temperature=1.0, samples=16, batch=32, keep=4, step_tokens=16, simulations=32, cap=3,
      expand=3, explore=0.2, compare=True, slots=0))  # compare: plain sampling for as many tokens beside it
  return steps, search


def _tiny(config: ConfigDict) -> None:
  start = r1.get_config('tiny')
  config.from_run = ''
  for key in ('keep_freed_memory', 'logit_elements', 'base', 'rl', 'evaluate'):  # base: of the run it starts from
    config[key] = start[key]
  config.steps, config.any_search = _keys(max_prompt=36, max_tokens=64)
  # At 1.0 one step in sixty is wrong. At 1.5 most wrong answers are no slips but lines that break off, and a model that
  # knows them (AUC 0.86) cannot rerank answers sampled at 1.0.
  config.steps.update(temperature=1.2, samples=16, epochs=2.0)
  # A head on the policy's own four layers does not learn to hold a token against what they said a place before it; the
  # policy's log-probability has that (docs/results.md). Each step's has all steps before it, so the least one counts.
  config.steps.update(form='implicit', beta=0.2, combine='min')
  task = dict(r1.SUMS, prefill='', answer_type='')
  config.steps.task, config.any_search.task = dict(task, size=1024, seed=1), dict(task, size=256, seed=2)
  config.rl.steps = 32
  config.actor = start.sft
  config.evaluate.task.size = 128
  config.evaluate.general = common.defaults().evaluate.general  # sums only
  config.evaluate.templates = ConfigDict()  # its base is the cold start, which knows R1's


def _published(config: ConfigDict) -> None:
  """Qwen2.5-7B on eight chips; a step is a line."""
  start = r1.get_config('qwen2.5-7b')
  for key in ('topology', 'mesh', 'base', 'dtype', 'remat', 'logit_elements', 'rl', 'evaluate', 'checkpoints'):
    config[key] = start[key]
  config.evaluate.general.source, config.evaluate.general.models = '', ()
  # No cold start comes before: all ask the base in the template of R1-Zero.
  config.rl.template = config.evaluate.template = 'r1_zero'
  config.evaluate.templates = ConfigDict()
  config.steps, config.any_search = _keys(max_prompt=1024, max_tokens=7168)
  config.steps.update(batch=32, micro_tokens=8 * 8192, length=8192, sample_batch=8)
  config.steps.optimizer.learning_rate = 6e-6  # as r1.py's reward models
  config.any_search.update(batch=8, step_tokens=256)
  config.steps.separators = config.any_search.separators = ('\n',)
  config.steps.template = config.any_search.template = 'r1_zero'
  task = dict(source='jsonl:questions.jsonl', params={}, prefill='', answer_type='', chinese=0.0)
  config.steps.task, config.any_search.task = dict(task, size=0, seed=1), dict(task, size=0, seed=2)
  config.actor = start.cold_start
  config.actor.format = 'r1_zero'
