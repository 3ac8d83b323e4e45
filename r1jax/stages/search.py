"""Stage: answers searched for with a model of steps, the paper's attempts that failed (section 4.2).

  'rerank'   n whole answers, the one whose worst step is best
  'beam'     step by step, the best prefixes kept
  'mcts'     a tree of steps: UCT by a value model, at most `cap` extensions a node, answers from its ends

Answers are cut into steps by separators. All questions of a batch search at the same time: each round picks a prefix a
question and the sampler extends all of them at once. On the training split a search leaves data.jsonl (right answers,
for the actor) and steps.jsonl (prefixes and how they ended, for the value model), so that both are trained in turns.
"""

import contextlib
import dataclasses
import math
import os

import jax
import numpy as np

from r1jax.stages import evaluate
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax import terminal
from r1jax.engine import rollout
from r1jax.data import prompts
from r1jax.stages import reject
from r1jax.stages import reward_model
from r1jax.stages import scoring
from r1jax import rewards
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.data.sources import SPLITS
from r1jax.stages import checking
from r1jax.stages import judging
from r1jax.rewards import pool
from r1jax.types import Request, UserError

KINDS = ('rerank', 'beam', 'mcts')


FREE = ('slots',)  # keys that change nothing it makes


def check(config, name: str) -> None:
  """Raises UserError for what would fail later."""
  c = config[name]
  if c.kind not in KINDS:
    raise UserError(f"{name}.kind={c.kind!r} is not one of {', '.join(KINDS)}")
  if c.kind == 'beam' and c.samples % c.keep:
    raise UserError(f'{name}.samples={c.samples} is not a multiple of {name}.keep={c.keep}, the prefixes that stay')
  mesh_lib.create(config.mesh)
  prompts.check(c.template)
  if c.split not in SPLITS:
    raise UserError(f'{name}.split={c.split!r} is not one of {", ".join(SPLITS)}')
  if c.kind != 'rerank' and not 0 < c.step_tokens <= c.max_tokens:
    raise UserError(f'{name}.step_tokens={c.step_tokens} of a step must lie between 1 and {name}.max_tokens='
                    f'{c.max_tokens} of the answer')
  checking.task(tasks.only(c.task), f'{name}.task')


def check_files(config, name: str) -> list[checking.Asked]:
  """Raises UserError for questions that cannot be read or judged on this machine."""
  rows = _rows(config[name], name)
  checking.graders(rows)
  return [checking.asked(config[name], name, rows)]


def _rows(c, name: str) -> list[dict]:
  return [{**row, 'task': tasks.name_of(tasks.only(c.task).source)}
          for row in judging.questions(c.task, key=f'{name}.task', split=c.split, template=c.template)]


@dataclasses.dataclass
class Node:
  """A prefix of an answer."""
  ids: list[int]
  parent: 'Node | None' = None
  children: list = dataclasses.field(default_factory=list)
  done: bool = False  # ended by itself, or no room is left
  full: bool = False  # the sampler finds no other step behind it
  value: float = 0.0  # what the model of steps says of its last step
  total: float = 0.0  # sum of values backed up through it
  visits: int = 0

  def mean(self) -> float:
    return self.total / self.visits if self.visits else self.value


class Extender:
  """Prefixes -> one more step for each, sampled from the policy and scored: all prefixes of a batch at once."""

  def __init__(self, c, model, tokenizer, mesh, params, judge: reward_model.RewardModel, seed: int, samples: int):
    self._c, self._tokenizer, self._mesh, self._params, self._judge, self._n = c, tokenizer, mesh, None, judge, samples
    self._seed = common.key(seed, c.kind)
    self.begin(0)
    self._width, self._eos_ids = c.max_prompt + c.max_tokens, prompts.eos_ids(tokenizer, c.template)
    separators = [i for i in range(tokenizer.vocab_size)
                  if tokenizer.decode([i]).rstrip(' ').endswith(tuple(c.separators))]
    with terminal.doing('compiling the sampler'):
      self._sampler = rollout.Sampler(
          model, mesh, slots=c.slots or c.batch * samples, samples=samples, max_prompt=self._width,
          max_tokens=c.step_tokens, eos_ids=(*self._eos_ids, *separators), pad_id=tokenizer.pad_id,
          temperature=c.temperature).compile()
    self._params = self._sampler.arrange(params)

  def begin(self, start: int) -> None:
    """The batch whose first question is number `start`: what it samples depends on no batch before it."""
    self._key, self._round = jax.random.fold_in(self._seed, start), 0

  def __call__(self, asked: list[list[int]], nodes: list[Node]) -> list[list[Node]]:
    """`samples` children of each node (fewer where two say the same); asked[i] are the prompt's ids of nodes[i]."""
    requests = [Request(i, np.asarray(prompt + node.ids, np.int32), tuple(range(i * self._n, (i + 1) * self._n)))
                for i, (prompt, node) in enumerate(zip(asked, nodes))]
    key = jax.random.fold_in(self._key, self._round)
    self._round += 1
    said = dict(self._sampler(self._params, requests, key))
    found = []
    for i, node in enumerate(nodes):
      steps = {tuple(completion.tokens.tolist()) for completion in said[i]}
      found.append([Node(node.ids + list(step), node) for step in sorted(steps)])
    every = [(prompt, child) for prompt, children in zip(asked, found) for child in children]
    scored = self._judge.steps([prompt + child.ids for prompt, child in every])
    for (prompt, child), score in zip(every, scored):
      child.done = child.ids[-1] in self._eos_ids or len(child.ids) + self._c.step_tokens > self._c.max_tokens
      child.value = float(score[len(prompt) + len(child.ids) - 1])
    return found


def worst(node: Node) -> float:
  """The least value of the steps that lead to a node."""
  return min([node.value] + ([worst(node.parent)] if node.parent and node.parent.parent else []))


def beam(extend, asked: list[list[int]], *, keep: int) -> list[list[Node]]:
  """Of each question the `keep` prefixes whose worst step is best,
  extended until they end: the ends found, best first."""
  live = [[Node([])] for _ in asked]
  ended = [[] for _ in asked]
  while any(live):
    found = [[] for _ in asked]
    for turn in range(max(map(len, live))):
      # One prefix a question at a time, as the sampler's batch has a row for each.
      some = [i for i, nodes in enumerate(live) if len(nodes) > turn]
      for i, children in zip(some, extend([asked[i] for i in some], [live[i][turn] for i in some])):
        found[i] += children
    for i, children in enumerate(found):
      best = sorted(children, key=worst, reverse=True)[:keep]
      ended[i] += [node for node in best if node.done]
      live[i] = [node for node in best if not node.done][:max(0, keep - len(ended[i]))]
  return [sorted(nodes, key=worst, reverse=True) for nodes in ended]


def mcts(extend, asked: list[list[int]], *, simulations: int, cap: int, explore: float) -> list[Node]:
  """The root of each question's tree after `simulations` rounds of select, expand, evaluate, back up (UCT)."""
  roots = [Node([]) for _ in asked]
  for _ in range(simulations):
    leaves = [select(root, cap=cap, explore=explore) for root in roots]
    open_ = [i for i, leaf in enumerate(leaves) if not leaf.done]
    for i, children in zip(open_, extend([asked[i] for i in open_], [leaves[i] for i in open_]) if open_ else ()):
      known = {tuple(child.ids) for child in leaves[i].children}
      new = [child for child in children if tuple(child.ids) not in known][:cap - len(leaves[i].children)]
      leaves[i].children += new
      for child in new:
        back_up(child, child.value)
      if not new:
        leaves[i].full = True
        back_up(leaves[i], leaves[i].mean())
    for leaf in leaves:
      if leaf.done:
        back_up(leaf, leaf.value)
  return roots


def select(root: Node, *, cap: int, explore: float) -> Node:
  """Down from the root by UCT through nodes that have all their children (`cap`, or as many as there are), to one that
  has not or has ended."""
  node = root
  while node.children and (len(node.children) >= cap or node.full):
    node = max(node.children, key=lambda n: n.mean() + explore * math.sqrt(math.log(node.visits + 1) / (n.visits + 1)))
  return node


def back_up(node: Node | None, value: float) -> None:
  while node is not None:
    node.visits, node.total, node = node.visits + 1, node.total + value, node.parent


def nodes_of(root: Node) -> list[Node]:
  return [root] + [node for child in root.children for node in nodes_of(child)]


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Searches with inputs['checkpoint'] as the policy and inputs['steps'] as the model of steps;
  returns what it found."""
  c = config[name]
  mesh, rows = mesh_lib.create(config.mesh), _rows(c, name)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  rows = prompts.ready(rows, tokenizer, template=c.template, max_prompt=c.max_prompt, key=f'{name}.max_prompt')
  place = common.host_directory(workdir)
  progress = terminal.Progress(len(rows), name, os.path.join(place, 'log.txt'))
  batches = common.Batches(place, every_host=True)
  with (mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges,
        contextlib.ExitStack() as behind):
    params = common.load_sampling_params(model, step_dir, mesh)
    judge = reward_model.RewardModel(inputs['steps'], config, mesh, batch=c.batch)
    search = _searcher(config, c, rows, model, tokenizer, mesh, params, judge, behind, first=batches.done(''))
    kept = list(batches.kept())
    for start in range(batches.done(''), len(rows), c.batch):
      some = rows[start:start + c.batch]
      asked = [prompts.ids(tokenizer, c.template, {**row, 'prefill': ''}) for row in some]
      ended, roots = search(asked, start)
      steps = [_outcomes(root, prompt, row, tokenizer, judges) for prompt, root, row in zip(asked, roots, some)]
      kept += [{'record': _record(row, found, judges), 'steps': of_row}
               for row, found, of_row in zip(some, ended, steps or [[]] * len(some))]
      batches.add('', len(some), kept[-len(some):])
      progress.update(batches.done(''), accuracy=float(np.mean([of['record']['chosen'] for of in kept])))
      common.stop_if_asked(name)
  records, steps = [of['record'] for of in kept], [row for of in kept for row in of['steps']]
  solutions = [{'id': row['id'], 'kind': c.kind, 'prompt': prompts.text(c.template, {**row, 'prefill': ''}),
                'completion': sample['text'], 'language': row.get('language', 'en'), 'reasoned': True}
               for row, record in zip(rows, records) for sample in record['samples'] if sample['correct']]
  task, result = rows[0]['task'], _summary(records)
  evaluate.write(os.path.join(place, 'eval', f'{task}.{c.kind}'), records, result)
  with metrics.Writer(place, name) as writer:
    writer.truncate(-1)
    measured = {f'eval/{task}/{k}': v for k, v in result.items() if isinstance(v, float)}
    writer.write(int(os.path.basename(step_dir)), {'model': c.kind, **measured})
  if c.split == 'train':
    if not solutions:
      raise UserError(f'{name}: no right answer was found in {len(rows)} questions: '
                      'the actor has nothing to learn from')
    reject.write(workdir, solutions, {'questions': len(rows), 'right answers': len(solutions)}, title=name,
                 prompt=prompts.record(c.template))
    if mesh_lib.first_process() and steps:
      metrics.replace_file(os.path.join(workdir, 'steps.jsonl'), b''.join(metrics.encode(row) for row in steps))
  return {'questions': len(rows), 'samples': sum(len(r['samples']) for r in records), 'samples_out': len(solutions), **{
      k: result[k] for k in ('pass@1', 'voted', 'any', 'mean')}}


def _searcher(config, c, rows: list[dict], model, tokenizer, mesh, params, judge, behind, *, first: int):
  """A function of a batch: (ids of its prompts, number of its first question) -> (of each question the answers found as
  (text, score, tokens), best first; the trees, of 'mcts' alone).

  Args:
    behind: an ExitStack, for what must be closed when the search is over.
    first: the question that is asked first.
  """
  if c.kind == 'rerank':
    evaluator = evaluate.Evaluator(
        model, tokenizer, mesh, rows, template=c.template, samples=c.samples, max_prompt=c.max_prompt,
        max_tokens=c.max_tokens, batch=c.batch, temperature=c.temperature, top_p=1.0, seed=config.seed)
    behind.callback(evaluator.close)
    found = evaluator.by_batch(params, first)
    return lambda asked, start: ([_ranked(judge, row, record) for row, record in zip(rows[start:], next(found))], [])
  each = c.samples // c.keep if c.kind == 'beam' else c.expand
  extend = Extender(c, model, tokenizer, mesh, params, judge, config.seed, each)
  score = worst if c.kind == 'beam' else lambda node: node.value
  answers = lambda nodes: [(tokenizer.decode(node.ids), score(node), len(node.ids)) for node in nodes]

  def beams(asked, start):
    extend.begin(start)
    return [answers(nodes) for nodes in beam(extend, asked, keep=c.keep)], []

  def trees(asked, start):
    extend.begin(start)
    roots = mcts(extend, asked, simulations=c.simulations, cap=c.cap, explore=c.explore)
    ends = [[node for node in nodes_of(root) if node.done] for root in roots]
    return [answers(sorted(nodes, key=lambda n: (n.mean(), n.visits), reverse=True)) for nodes in ends], roots

  return beams if c.kind == 'beam' else trees


def _summary(records: list[dict]) -> dict:
  """scores.json: 'pass@1' is of the answer chosen, 'any' whether one of those found is right, 'mean' over all found."""
  mean = lambda of: float(np.mean([of(record) for record in records]))
  right = lambda record: [sample['correct'] for sample in record['samples']]
  lengths = [sample['tokens'] for record in records for sample in record['samples']]
  return {'task': records[0]['task'], 'n_questions': len(records), 'n_samples': max(len(r['samples']) for r in records),
          'pass@1': mean(lambda r: r['chosen']), 'voted': mean(lambda r: r['voted']),
          'any': mean(lambda r: any(right(r))), 'mean': mean(lambda r: np.mean(right(r) or [0.0])),
          'length_tokens': float(np.mean(lengths or [0.0]))}


def _ranked(judge, row: dict, record: dict) -> list[tuple[str, float, int]]:
  """(text, score, tokens) of whole answers, the one whose worst step is best first."""
  texts = [sample['text'] for sample in record['samples']]
  scored = zip(texts, judge([row] * len(texts), texts), [sample['tokens'] for sample in record['samples']])
  return sorted(((text, float(score), n) for text, score, n in scored), key=lambda entry: -entry[1])


def _record(row: dict, found: list[tuple[str, float, int]], judges: pool.Pool) -> dict:
  """As in samples.jsonl, best first; 'chosen': the first is right; 'voted': the answer with the most score is."""
  grader = rewards.get(row.get('reward', 'math'))
  verdicts = judges.score([(row.get('reward', 'math'), text, row) for text, _, _ in found])
  samples = []
  for (text, score, n), verdict in zip(found, verdicts):
    answer = grader.extract(text, row)
    answer = None if answer is None else grader.normalise(answer, row['answer_type'])
    samples.append({'text': text, 'tokens': n, 'finish': 'stop', 'answer': answer, 'correct': verdict.value == 1.0,
                    'reason': verdict.reason, 'score': score})
  return {'task': row['task'], 'id': row['id'], 'prompt': row['question'], 'gold': row['answer'], 'samples': samples,
          'chosen': bool(samples and samples[0]['correct']),
          'voted': scoring.voted_right(samples, row, [s['score'] for s in samples])}


def _outcomes(root: Node, prompt: list[int], row: dict, tokenizer, judges: pool.Pool) -> list[dict]:
  """Rows of steps.jsonl: each end of the tree, and every step on its way labelled by how it ended."""
  ended = [node for node in nodes_of(root) if node.done]
  verdicts = judges.score([(row.get('reward', 'math'), tokenizer.decode(node.ids), row) for node in ended])
  out = []
  for node, verdict in zip(ended, verdicts):
    if reject.wrong(verdict) == 'no verdict':
      continue
    at, way = [], node
    while way.parent is not None:
      at.append(len(prompt) + len(way.ids) - 1)
      way = way.parent
    out.append({'id': row['id'], 'ids': prompt + node.ids, 'ends': at[::-1],
                'labels': [verdict.value == 1.0] * len(at)})
  return out
