"""Stage: answers searched for with a model of steps, the paper's attempts that failed (section 4.2).

  'rerank'   n whole answers, the one whose steps score best (the model's `combine`)
  'beam'     step by step, the best prefixes kept
  'mcts'     a tree of steps: UCT by a value model, at most `cap` extensions a node, answers from its ends

Answers are cut into steps by separators. All questions of a batch search at the same time: each round picks a prefix a
question and the sampler extends all of them at once. Every token that it samples is counted, those of prefixes that it
gives up among them, and beside its numbers stand those of plain sampling for as many tokens (matched.py). On the
training split a search leaves data.jsonl (right answers, for the actor) and steps.jsonl (prefixes and how they ended,
for the value model), so that both are trained in turns.
"""

import collections
import contextlib
import logging
import os
from typing import NamedTuple

import jax
import numpy as np

from r1jax.stages import evaluate
from r1jax.engine import mesh as mesh_lib
from r1jax import metrics
from r1jax import terminal
from r1jax.data import prompts
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import reject
from r1jax.stages import reward_model
from r1jax.stages import scoring
from r1jax.stages import tree
from r1jax import rewards
from r1jax.stages import common
from r1jax.data import tasks
from r1jax.data.sources import SPLITS
from r1jax.stages import checking
from r1jax.stages import gradable
from r1jax.stages import matched
from r1jax.rewards import pool
from r1jax.types import Request, UserError

log = logging.getLogger('r1jax')

KINDS = ('rerank', 'beam', 'mcts')
FACTS = ('pass@1', 'voted', 'any', 'mean', 'different', 'spent')  # of its summary, that the run notes of the stage


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
          for row in gradable.questions(c.task, key=f'{name}.task', split=c.split, template=c.template)]


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
      self._sampler = sampler_lib.Sampler(
          model, mesh, slots=c.slots or c.batch * samples, samples=samples, max_prompt=self._width,
          max_tokens=c.step_tokens, longest=self._width, eos_ids=(*self._eos_ids, *separators), pad_id=tokenizer.pad_id,
          temperature=c.temperature).compile()
    self._params = self._sampler.arrange(params)

  def begin(self, start: int) -> None:
    """The batch whose first question is number `start`: what it samples depends on no batch before it."""
    self._key, self._round = jax.random.fold_in(self._seed, start), 0

  def __call__(self, asked: list[list[int]], nodes: list[tree.Node]) -> list[list[tree.Node]]:
    """`samples` children of each node (fewer where two say the same); asked[i] are the prompt's ids of nodes[i]."""
    requests = [Request(i, np.asarray(prompt + node.ids, np.int32), tuple(range(i * self._n, (i + 1) * self._n)))
                for i, (prompt, node) in enumerate(zip(asked, nodes))]
    key = jax.random.fold_in(self._key, self._round)
    self._round += 1
    said = dict(self._sampler(self._params, requests, key))
    found = []
    for i, node in enumerate(nodes):
      tree.root_of(node).spent += sum(len(completion.tokens) for completion in said[i])
      steps = {tuple(completion.tokens.tolist()) for completion in said[i]}
      found.append([tree.Node(node.ids + list(step), node) for step in sorted(steps)])
    every = [(prompt, child) for prompt, children in zip(asked, found) for child in children]
    scored = self._judge.steps([prompt + child.ids for prompt, child in every], [len(prompt) for prompt, _ in every])
    for (prompt, child), score in zip(every, scored):
      child.done = child.ids[-1] in self._eos_ids or len(child.ids) + self._c.step_tokens > self._c.max_tokens
      child.value = float(score[len(prompt) + len(child.ids) - 1])
    return found


def run(config, name: str, workdir: str, inputs: dict[str, str]) -> dict:
  """Searches with inputs['checkpoint'] as the policy and inputs['steps'] as the model of steps;
  returns what it found."""
  c = config[name]
  mesh, rows = mesh_lib.create(config.mesh), _rows(c, name)
  model, tokenizer, step_dir = common.load_model(inputs['checkpoint'], **common.computed(config, mesh))
  rows = prompts.ready(rows, tokenizer, template=c.template, max_prompt=c.max_prompt, key=f'{name}.max_prompt')
  place = common.host_directory(workdir)
  progress = terminal.Progress(len(rows), name, os.path.join(place, 'log.txt'))
  batches = common.Batches(workdir)
  with (mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), pool.Pool(workers=os.cpu_count() or 2) as judges,
        contextlib.ExitStack() as behind):
    params = common.load_sampling_params(model, step_dir, mesh)
    judge = reward_model.RewardModel(inputs['steps'], config, mesh, batch=c.batch)
    search = _searcher(config, c, rows, model, tokenizer, mesh, params, judge, behind, first=batches.done(''))
    plain = matched.Plain(c, name, model, tokenizer, mesh, params, config.seed, _each(c)) if _compares(c) else None
    kept = list(batches.kept())
    for start in range(batches.done(''), len(rows), c.batch):
      some = rows[start:start + c.batch]
      asked = [prompts.ids(tokenizer, c.template, {**row, 'prefill': ''}) for row in some]
      found = search(asked, start)
      steps = [_outcomes(root, prompt, row, tokenizer, judges) for prompt, root, row in zip(asked, found.trees, some)]
      drawn = plain(asked, found.spent, start) if plain else found.order or [None] * len(some)
      kept += [{'record': _whole_record(c, row, answers, spent, of_plain, tokenizer, judges), 'steps': of_row}
               for row, answers, spent, of_plain, of_row in zip(some, found.answers, found.spent, drawn,
                                                                steps or [[]] * len(some))]
      batches.add('', len(some), kept[-len(some):])
      progress.update(batches.done(''), accuracy=float(np.mean([of['record']['chosen'] for of in kept])))
      common.stop_if_asked(name)
  records, steps = [of['record'] for of in kept], [row for of in kept for row in of['steps']]
  solutions = [{'id': row['id'], 'kind': c.kind, 'prompt': prompts.text(c.template, {**row, 'prefill': ''}),
                'completion': sample['text'], 'language': row.get('language', 'en'), 'reasoned': True}
               for row, record in zip(rows, records) for sample in record['samples'] if sample['correct']]
  task, result = rows[0]['task'], _summary(records)
  label = c.kind if c.split == 'heldout' else f'{c.kind}_on_training_questions'
  evaluate.write(os.path.join(workdir, 'eval', f'{task}.{label}'), records, result)
  with metrics.Writer(place, name) as writer:
    writer.truncate(-1)
    measured = {f'eval/{task}/{k}': v for k, v in result.items() if isinstance(v, float)}
    writer.write(int(os.path.basename(step_dir)), {'model': label, **measured})
  if c.split == 'train':
    if not solutions:
      raise UserError(f'{name}: no right answer was found in {len(rows)} questions: '
                      'the actor has nothing to learn from')
    reject.write(workdir, solutions, {'questions': len(rows), 'right answers': len(solutions)}, title=name,
                 prompt=prompts.record(c.template))
    if mesh_lib.first_process() and steps:
      metrics.replace_file(os.path.join(workdir, 'steps.jsonl'), b''.join(metrics.encode(row) for row in steps))
  if 'plain_voted' in result:
    log.info('%s: %.1f tokens a question: right %.3f; plain sampling for %.1f tokens: pass@1 %.3f, its vote %.3f', name,
             result['spent'], result['pass@1'], result['plain_spent'], result['plain_pass@1'], result['plain_voted'])
  return {'questions': len(rows), 'samples': sum(len(r['samples']) for r in records), 'samples_out': len(solutions), **{
      k: v for k, v in result.items() if k in FACTS or k.startswith('plain_')}}


def _each(c) -> int:
  """Steps that are sampled of a prefix at a time."""
  return c.samples // c.keep if c.kind == 'beam' else c.expand


def _compares(c) -> bool:
  """Whether plain answers are drawn beside the search; those that are reranked are plain answers themselves."""
  return c.compare and c.kind != 'rerank'


class Found(NamedTuple):
  """Of each question of a batch."""
  answers: list[list[tuple[str, float, int]]]  # (text, score, tokens), best first
  spent: list[int]  # tokens that were sampled
  trees: list[tree.Node]  # of 'mcts' alone
  order: list[list[int]] | None = None  # of 'rerank': as which sample each answer was drawn


def _searcher(config, c, rows: list[dict], model, tokenizer, mesh, params, judge, behind, *, first: int):
  """A function of a batch: (ids of its prompts, number of its first question) -> Found.

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

    def ranked(asked, start):
      ranks = [_ranked(judge, row, record) for row, record in zip(rows[start:], next(found))]
      return Found([answers for answers, _ in ranks], [sum(n for *_, n in answers) for answers, _ in ranks], [],
                   [order for _, order in ranks])

    return ranked
  extend = Extender(c, model, tokenizer, mesh, params, judge, config.seed, _each(c))
  score = tree.worst if c.kind == 'beam' else lambda node: node.value
  answers = lambda nodes: [(tokenizer.decode(node.ids), score(node), len(node.ids)) for node in nodes]

  def beams(asked, start):
    extend.begin(start)
    roots = [tree.Node([]) for _ in asked]
    ended = tree.beam(extend, asked, keep=c.keep, roots=roots)
    return Found([answers(nodes) for nodes in ended], [root.spent for root in roots], [])

  def trees(asked, start):
    extend.begin(start)
    roots = tree.mcts(extend, asked, simulations=c.simulations, cap=c.cap, explore=c.explore)
    ends = [[node for node in tree.nodes_of(root) if node.done] for root in roots]
    best = [sorted(nodes, key=lambda n: (n.mean(), n.visits), reverse=True) for nodes in ends]
    return Found([answers(nodes) for nodes in best], [root.spent for root in roots], roots)

  return beams if c.kind == 'beam' else trees


def _summary(records: list[dict]) -> dict:
  """scores.json: 'pass@1' is of the answer chosen, 'any' whether one of those found is right, 'mean' over all found;
  'different': the share of right ones among different answers, what a model that knows nothing would choose, as right
  answers are more often alike than wrong ones; 'spent': tokens sampled a question, 'plain_': of as many tokens of plain
  sampling, 'plain_voted' their vote."""
  mean = lambda of: float(np.mean([of(record) for record in records]))
  right = lambda record: [sample['correct'] for sample in record['samples']]
  lengths = [sample['tokens'] for record in records for sample in record['samples']]
  plain = [record['plain'] for record in records if 'plain' in record]
  return {'task': records[0]['task'], 'n_questions': len(records), 'n_samples': max(len(r['samples']) for r in records),
          'pass@1': mean(lambda r: r['chosen']), 'voted': mean(lambda r: r['voted']),
          'any': mean(lambda r: any(right(r))), 'mean': mean(lambda r: np.mean(right(r) or [0.0])),
          'different': mean(lambda r: np.mean(list({s['text']: s['correct'] for s in r['samples']}.values()) or [0.0])),
          'length_tokens': float(np.mean(lengths or [0.0])), 'spent': mean(lambda r: r['spent']),
          **({f'plain_{key}': float(np.mean([of[key] for of in plain])) for key in plain[0]} if plain else {})}


def _whole_record(c, row: dict, answers, spent: int, drawn: list | None, tokenizer, judges) -> dict:
  """_record, with what was spent and what plain sampling makes of it: of 'rerank' the same answers, in the order in
  which they were drawn, each one vote.

  Args:
    drawn: plain answers (matched.Drawn), of 'rerank' their numbers; None: nothing is compared.
  """
  record = {**_record(row, answers, judges), 'spent': spent}
  if c.kind == 'rerank':
    by_number = dict(zip(drawn, record['samples']))
    record['plain'] = _votes(row, [by_number[i] for i in sorted(by_number)], [True] * len(answers))
  elif drawn is not None:
    record['plain'] = _plain(row, drawn, tokenizer, judges)
  return record


def _plain(row: dict, drawn: list[matched.Drawn], tokenizer, judges: pool.Pool) -> dict:
  """What plain sampling finds: pass@1 over whole answers, the vote and `any` over all that was drawn."""
  found = [(tokenizer.decode(of.tokens), 0.0, len(of.tokens)) for of in drawn]
  return _votes(row, _record(row, found, judges)['samples'], [of.whole for of in drawn])


def _votes(row: dict, samples: list[dict], whole: list[bool]) -> dict:
  right = [sample['correct'] for sample in samples]
  return {'spent': sum(sample['tokens'] for sample in samples), 'samples': sum(whole),
          'pass@1': float(np.mean([r for r, w in zip(right, whole) if w] or [0.0])),
          'voted': scoring.voted_right(samples, row), 'any': any(right)}


def _ranked(judge, row: dict, record: dict) -> tuple[list[tuple[str, float, int]], list[int]]:
  """((text, score, tokens) of whole answers, the highest score first; as which sample each was drawn)."""
  texts = [sample['text'] for sample in record['samples']]
  scores = judge([row] * len(texts), texts)
  order = sorted(range(len(texts)), key=lambda i: -scores[i])
  return [(texts[i], float(scores[i]), record['samples'][i]['tokens']) for i in order], order


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


def _outcomes(root: tree.Node, prompt: list[int], row: dict, tokenizer, judges: pool.Pool) -> list[dict]:
  """Rows of steps.jsonl: each end of the tree, and every step on its way labelled by how what stands behind it ended:
  the share of right ends, as of roll-outs (shepherd.py)."""
  ended = [node for node in tree.nodes_of(root) if node.done]
  verdicts = judges.score([(row.get('reward', 'math'), tokenizer.decode(node.ids), row) for node in ended])
  judged = [(node, verdict.value == 1.0) for node, verdict in zip(ended, verdicts)
            if reject.wrong(verdict) != 'no verdict']
  behind = collections.defaultdict(list)  # id of a node -> whether each end behind it is right
  for node, right in judged:
    for way in tree.way(node):
      behind[id(way)].append(right)
  return [{'id': row['id'], 'ids': prompt + node.ids, 'start': len(prompt),
           'ends': [len(prompt) + len(way.ids) - 1 for way in tree.way(node)],
           'labels': [float(np.mean(behind[id(way)])) for way in tree.way(node)]} for node, _ in judged]
